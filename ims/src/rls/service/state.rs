//! One list subscription, in memory and as stored.

use super::seats::Seats;
use crate::dialog::Dialog;
use crate::event::debts::Debtor;
use crate::event::notice::{LastBody, Notice};
use crate::event::onlooker::{Onlooker, Takes};
use crate::event::pace::Rhythm;
use crate::event::subscription::{State, SubscriptionId};
use crate::event::tag::Condition;
use crate::isc::Charging;
use crate::rls::list::{List, Source};
use crate::sip::Aor;
use crate::sip::coding::Coding;
use crate::sip::header::rate::Rates;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Packages whose resources may be on a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Package {
    Presence,
    Watchers,
    WatchersOfWatchers,
}

impl Package {
    pub fn name(self) -> &'static str {
        match self {
            Package::Presence => "presence",
            Package::Watchers => "presence.winfo",
            Package::WatchersOfWatchers => "presence.winfo.winfo",
        }
    }
}

/// A list subscription as stored. Key: its number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListRecord {
    pub package: Package,
    /// Request-URI of the SUBSCRIBE.
    pub entity: Box<str>,
    /// Owner of the list; without one it is in the wishes (RFC 5367).
    pub owner: Option<Box<str>>,
    /// Asserted identities, canonical.
    pub watcher: Vec<Box<str>>,
    /// The same as the peer wrote them.
    pub asserted: Vec<Box<str>>,
    pub anonymous: bool,
    pub display_name: Option<Box<str>>,
    pub event_id: Option<Box<str>>,
    pub state: State,
    pub since: Timestamp,
    pub expires_at: Timestamp,
    /// Last SUBSCRIBE: it is owed a NOTIFY.
    pub renewed_at: Timestamp,
    pub dialog: Dialog,
    pub charging: Charging,
    /// The SUBSCRIBE came through a proxy that stays in the path.
    pub inside: bool,
}

/// What the SUBSCRIBE asks for besides. Key: the number of the subscription.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Wishes {
    /// State that the watcher has already (RFC 5839).
    pub condition: Option<Condition>,
    /// Coding of bodies that the watcher takes (RFC 3261 §20.2).
    pub coding: Option<Coding>,
    /// How often it wants to be told (RFC 6446).
    pub rates: Rates,
    /// `Max-Forwards` with which the SUBSCRIBE came: what is left for lists within lists (RFC 4662 §7.4).
    pub hops: u32,
    /// Partial documents of members (RFC 5263).
    pub partial: bool,
    /// Objects beside the documents of members.
    pub objects: bool,
    /// The filter document (RFC 4660), whole.
    pub filter: Option<Box<[u8]>>,
    /// The list that the SUBSCRIBE itself brought (RFC 5367).
    pub contained: Option<Box<[u8]>>,
}

/// How far a watcher was told, in the batch of each NOTIFY. Key: the number of the subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// `version` of the next NOTIFY (RFC 4662 §5.2).
    pub next: u32,
    /// CSeq of the last.
    pub cseq: u32,
    pub at: Timestamp,
    /// Tag of what the watcher has.
    pub tag: u64,
    /// The next versions of lists inside, by their URIs.
    pub inside: BTreeMap<Box<str>, u32>,
}

#[derive(Debug)]
pub struct Subscription {
    pub id: SubscriptionId,
    pub record: ListRecord,
    pub wishes: Box<Wishes>,
    /// As [`Wishes::contained`], shared with whoever reads it.
    pub source: Source,
    pub list: Arc<List>,
    pub seats: Seats,
    pub told: Told,
    /// Number of the list as it is: of its members and their names.
    pub shape: u64,
    /// The whole state is owed.
    pub whole: bool,
    /// What the last NOTIFY had no room for follows without a pause.
    pub hurry: bool,
    /// A NOTIFY waits for its answer. There is never more than one.
    pub unanswered: bool,
    /// When it is looked at again for what it owes.
    pub paced_at: Option<Timestamp>,
    /// After a restart, the list is still on its way from elsewhere.
    pub stalled: bool,
    /// It is over, and its last NOTIFY is still to be sent.
    pub last_is_owed: bool,
    /// Members came or went, or are called something else: the whole state is owed when pacing allows.
    pub reshaped: bool,
    /// Until when a fetch, or a subscription after a restart, waits for its members.
    pub gather_until: Option<Timestamp>,
    /// After a failure nothing is told before this instant, unless the watcher asks.
    pub pause_until: Timestamp,
    /// After a restart, the list is still to be read.
    pub restored: bool,
    /// After a restart, the whole state is told only where it is not what the watcher has.
    pub compares: bool,
    /// Nobody stands behind its members any more.
    pub parted: bool,
    /// Since when something is owed or unanswered.
    pub owed_since: Option<Timestamp>,
    /// No NOTIFY of changes before this instant.
    pub not_before: Timestamp,
    /// When the state is repeated; none for most.
    pub rhythm: Option<Box<Rhythm>>,
    pub last_body: Option<LastBody>,
    /// When a look at it is scheduled; one entry at a time.
    pub look_at: Option<Timestamp>,
    /// It is in the queue of those whose members join.
    pub joins: bool,
    pub stored: bool,
}

impl Debtor for Subscription {
    fn owed_since(&mut self) -> &mut Option<Timestamp> {
        &mut self.owed_since
    }
}

impl Subscription {
    /// A list is known by what it is read from.
    pub fn new(id: SubscriptionId, record: ListRecord, wishes: Wishes) -> Subscription {
        let source = source(&record, &wishes);
        Subscription {
            told: Told {
                next: 0,
                cseq: record.dialog.local_cseq,
                at: Timestamp::default(),
                tag: 0,
                inside: BTreeMap::new(),
            },
            id,
            record,
            wishes: Box::new(wishes),
            source,
            list: Arc::default(),
            seats: Seats::default(),
            shape: 0,
            whole: false,
            hurry: false,
            unanswered: false,
            last_is_owed: false,
            reshaped: false,
            gather_until: None,
            paced_at: None,
            stalled: false,
            pause_until: Timestamp::default(),
            restored: false,
            compares: false,
            parted: false,
            owed_since: None,
            not_before: Timestamp::default(),
            rhythm: None,
            last_body: None,
            look_at: None,
            joins: false,
            stored: false,
        }
    }

    /// On whose behalf the members are watched.
    pub fn onlooker(&self) -> Onlooker {
        let record = &self.record;
        Onlooker {
            list: self.id,
            uri: record.entity.clone(),
            package: record.package.name(),
            identities: record
                .watcher
                .iter()
                .filter_map(|w| Aor::parse(w))
                .collect(),
            asserted: record.asserted.clone(),
            anonymous: record.anonymous,
            display_name: record.display_name.clone(),
            takes: Takes {
                partial: self.wishes.partial,
                objects: self.wishes.objects,
                coding: None, // the body of a list is coded as a whole
            },
            filter: self.wishes.filter.as_deref().map(Arc::from),
            hops: self.wishes.hops,
            since: record.since,
            expires_at: record.expires_at,
        }
    }

    pub fn is_over(&self) -> bool {
        self.record.state != State::Active
    }

    /// Whether nothing is told until the watcher asks again (`Suppress-If-Match: *`).
    pub fn is_quenched(&self) -> bool {
        self.wishes.condition == Some(Condition::Always)
    }

    /// A NOTIFY in its dialog that says nothing yet.
    pub fn notice(&self) -> Notice<'_> {
        let record = &self.record;
        Notice {
            subscription: self.id,
            dialog: &record.dialog,
            charging: record.inside.then_some(&record.charging),
            package: record.package.name(),
            event_id: record.event_id.as_deref(),
            state: "",
            require: Some(EVENTLIST),
            tag: None,
            body: None,
        }
    }
}

/// The option tag: "MUST be in a Require header field of NOTIFY" (RFC 4662 §4.5).
pub const EVENTLIST: &str = "eventlist";

/// What the list of this subscription is read from.
pub fn source(record: &ListRecord, wishes: &Wishes) -> Source {
    let uri = record.entity.clone();
    match &record.owner {
        Some(owner) => Source::Service {
            uri,
            owner: owner.clone(),
        },
        None => Source::Contained {
            uri,
            document: wishes.contained.as_deref().unwrap_or_default().into(),
        },
    }
}
