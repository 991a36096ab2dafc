//! What is stored: keys and values of one atomic batch. Values only; engines live in the program.
//!
//! A record is a table, a key and a value of compact bytes (postcard). The layout of each table's value is
//! defined by the module that owns it; `docs/store.md` lists keys and versions.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Longest key, in bytes. Keys are made of numbers and of what peers write, each part of which has a bound of its own
/// where it is read: addresses of record, Call-IDs, names of documents.
pub const KEY_MAX: usize = 4_096;

/// Tables of the store. The number is on disk: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// Publication without its body: presentity, entity-tag, expiry.
    Publication = 1,
    /// Body of a publication, written once for each change of state and not at a refresh.
    Body = 2,
    /// Subscription with its dialog.
    Subscription = 3,
    /// Registration state learnt from third-party REGISTER.
    Registration = 4,
    /// `tel:` identity to the presentity it names.
    Alias = 5,
    /// XML document with its entity-tag.
    Document = 6,
    /// Charging event not yet acknowledged by a CDF.
    Charging = 7,
    /// The node itself: format version, reserved ranges, watermarks.
    Node = 8,
    /// Last instant at which what watchers see of a presentity changed.
    Touched = 9,
    /// Charging event that a CDF refused for good; kept for the operator.
    Quarantine = 10,
    /// What a watcher asks for besides plain state.
    Wishes = 11,
    /// Filters of a subscription, in the words of the watcher.
    Filters = 12,
    /// When a document of permanent presence state last changed.
    PermanentSince = 13,
    /// Package of a subscription, and how it came to its state.
    Visit = 14,
    /// Last instant at which the watchers of a presentity changed, where somebody observes them.
    Watched = 15,
    /// Subscription that is owed a NOTIFY for longer than the mark of settled ones may wait.
    Held = 16,
    /// Registration followed at its S-CSCF by the reg event package.
    RegEvent = 17,
    /// Objects that a publication brought beside its body.
    Objects = 18,
    /// What the operator imposes above the rules of presentities.
    Override = 19,
    /// Copy of a document of another XDMS on which live subscriptions rest.
    RemoteCopy = 20,
    /// Subscription to changes of documents, with its dialog.
    DiffSubscription = 21,
    /// Change of a document that may still be owed to subscribers.
    DiffTouched = 22,
    /// When a document last changed.
    Modified = 23,
    /// Subscription to a list, with its dialog.
    ListSubscription = 24,
    /// What the watcher of a list asks for, and the list that its SUBSCRIBE brought.
    ListWishes = 25,
    /// How far the watcher of a list was told: versions and the tag of what it has.
    ListVersion = 26,
    /// Subscription of ours to a member of a list that is not served here, with its dialogs and what it told.
    BackEnd = 27,
    /// NOTIFYs that will share a charging record.
    Coalesced = 28,
    /// How many charging events were written in an hour.
    ChargingEmitted = 29,
    /// What became of the charging events of an hour.
    ChargingSettled = 30,
    /// What is owed to an account or by it (online charging).
    Credit = 31,
    /// Number of the charge that lasts as long as a subscription.
    CreditSession = 32,
    /// Which of the charging events of an hour a CDF has, or a file.
    ChargingEnded = 33,
    /// What is owed to an account or by it and that no OCS takes; kept for the operator.
    Unpaid = 35,
    /// How many charges began in an hour, what became of them, and what was asked of each OCS.
    CreditAccounts = 36,
    /// On whose account a subscription goes, where its own record does not say it.
    SubscriptionPayer = 37,
    /// Under which Session-Id an OCS was asked again for an entry of [`Table::Unpaid`].
    UnpaidAsked = 38,
    /// From which number of a charging event on the node has had which Origin-Host.
    ChargingName = 41,
}

impl Table {
    /// Every table, in the order in which recovery reads them.
    pub const ALL: [Table; 38] = [
        Table::Node,
        Table::Document,
        Table::Modified,
        Table::PermanentSince,
        Table::Override,
        Table::RemoteCopy,
        Table::Registration,
        Table::Alias,
        Table::RegEvent,
        Table::Body,
        Table::Objects,
        Table::Publication,
        Table::Touched,
        Table::Watched,
        Table::Wishes,
        Table::Filters,
        Table::Visit,
        Table::Subscription,
        Table::Held,
        Table::DiffTouched,
        Table::DiffSubscription,
        Table::ListWishes,
        Table::ListVersion,
        Table::ListSubscription,
        Table::BackEnd,
        Table::Coalesced,
        Table::Charging,
        Table::Quarantine,
        Table::ChargingEmitted,
        Table::ChargingSettled,
        Table::ChargingEnded,
        Table::Credit,
        Table::Unpaid,
        Table::UnpaidAsked,
        Table::CreditAccounts,
        Table::CreditSession,
        Table::SubscriptionPayer,
        Table::ChargingName,
    ];
}

/// One change of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    Put {
        table: Table,
        key: Box<[u8]>,
        value: Box<[u8]>,
    },
    Delete {
        table: Table,
        key: Box<[u8]>,
    },
}

/// Changes that become true together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    pub ops: Vec<Op>,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    pub fn put<T: Serialize>(&mut self, table: Table, key: &[u8], value: &T) {
        self.ops.push(Op::Put {
            table,
            key: key.into(),
            value: encode(value).into(),
        });
    }

    /// Writes bytes that are stored as they are (a body, a document).
    pub fn put_bytes(&mut self, table: Table, key: &[u8], value: &[u8]) {
        self.ops.push(Op::Put {
            table,
            key: key.into(),
            value: value.into(),
        });
    }

    /// The same of a value that is given away: a document is long.
    pub fn put_owned(&mut self, table: Table, key: &[u8], value: Vec<u8>) {
        self.ops.push(Op::Put {
            table,
            key: key.into(),
            value: value.into(),
        });
    }

    pub fn delete(&mut self, table: Table, key: &[u8]) {
        self.ops.push(Op::Delete {
            table,
            key: key.into(),
        });
    }

    pub fn append(&mut self, other: &mut Batch) {
        self.ops.append(&mut other.ops);
    }
}

/// Compact bytes of a record.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    // postcard into a growing vector fails only for types that refuse to be serialised; ours are plain structs.
    postcard::to_allocvec(value).unwrap_or_default()
}

/// A record from its bytes; `None` when the bytes are not such a record.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    postcard::from_bytes(bytes).ok()
}

/// Format of the records in a store. A store with a higher version is refused at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format(pub u16);

/// The format written by this version.
pub const FORMAT: Format = Format(1);
