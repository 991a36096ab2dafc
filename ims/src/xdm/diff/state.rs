//! One subscription to documents, in memory and as stored.

use super::Store;
use super::component::Component;
use super::pending::{Mode, Pending};
use super::place::{self, Place};
use super::scope::Scope;
use super::wanted::{Package, Wanted};
use crate::dialog::Dialog;
use crate::event::debts::Debtor;
use crate::event::notice::{LastBody, Notice};
use crate::event::subscription::{State, SubscriptionId};
use crate::event::tag::Condition;
use crate::isc::Charging;
use crate::sip::Aor;
use crate::time::Timestamp;
use crate::xdm::{DocumentKey, Identity};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A subscription as stored. Key: its number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SubscriptionRecord {
    pub package: Package,
    /// Request-URI of the SUBSCRIBE.
    pub entity: Box<str>,
    /// Asserted identities, canonical.
    pub subscriber: Vec<Box<str>>,
    pub event_id: Option<Box<str>>,
    pub state: State,
    pub expires_at: Timestamp,
    /// Last SUBSCRIBE: it is owed a NOTIFY.
    pub renewed_at: Timestamp,
    /// CSeq numbers up to here may have been used: after a restart ours goes on above, never back.
    pub cseq_reserved: u32,
    pub dialog: Dialog,
    pub charging: Charging,
    /// The SUBSCRIBE came through a proxy that stays in the path.
    pub inside: bool,
    pub mode: Mode,
    pub wanted: Wanted,
    pub condition: Option<Condition>,
}

/// One resource of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    /// As the subscriber wrote it: "octet-by-octet" what is told (RFC 5875 §4.6).
    pub sel: Box<str>,
    pub place: Place,
}

#[derive(Debug)]
pub struct Subscription {
    pub id: SubscriptionId,
    pub record: SubscriptionRecord,
    /// Who reads, as for an XCAP GET.
    pub identity: Identity,
    /// A server or an administrator of the operator.
    pub reads_all: bool,
    pub resources: Vec<Resource>,
    /// Collections of the list, as far as the subscriber could read them.
    pub scopes: Vec<Scope>,
    pub owed: Pending,
    /// What the NOTIFY under way says. There is never more than one (RFC 5875 §4.7).
    pub sent: Option<Pending>,
    /// It is over, and its last NOTIFY is still to be sent.
    pub last_is_owed: bool,
    /// Since when something is owed or unanswered.
    pub owed_since: Option<Timestamp>,
    /// No NOTIFY of changes before this instant.
    pub not_before: Timestamp,
    pub last_body: Option<LastBody>,
    /// When a look at it is scheduled; one entry at a time.
    pub look_at: Option<Timestamp>,
    pub stored: bool,
}

impl Debtor for Subscription {
    fn owed_since(&mut self) -> &mut Option<Timestamp> {
        &mut self.owed_since
    }
}

impl Subscription {
    pub fn new(id: SubscriptionId, record: SubscriptionRecord, store: &Store<'_>) -> Subscription {
        let mut subscription = Subscription {
            id,
            record,
            identity: Identity::Unknown,
            reads_all: false,
            resources: Vec::new(),
            scopes: Vec::new(),
            owed: Pending::default(),
            sent: None,
            last_is_owed: false,
            owed_since: None,
            not_before: Timestamp::default(),
            last_body: None,
            look_at: None,
            stored: false,
        };
        subscription.resolve(store);
        subscription
    }

    /// Finds out what the list names and who asks, once for each SUBSCRIBE.
    pub fn resolve(&mut self, store: &Store<'_>) {
        let asked = &self.record.subscriber;
        let users: Vec<Aor> = asked.iter().filter_map(|user| Aor::parse(user)).collect();
        self.identity = store.identity(&users);
        self.reads_all = store.reads_all(&users);
        self.resources = match &self.record.wanted {
            Wanted::Uris(uris) => uris
                .iter()
                .map(|uri| Resource {
                    sel: uri.clone(),
                    place: store.settings().root.place(uri, &store.xdm.usages),
                })
                .collect(),
            Wanted::Home(owner) => Aor::parse(owner)
                .map(|owner| Resource {
                    sel: Box::default(),
                    place: Place::Collection(Scope::home(owner)),
                })
                .into_iter()
                .collect(),
        };
        let mut names: Vec<Aor> = users;
        for user in names.clone() {
            for name in store.directory.names(&user) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        self.scopes = self
            .collections()
            .flat_map(|scope| match self.reads_all {
                true => vec![scope.clone()],
                false => scope.clone().narrowed(&names),
            })
            .collect();
        self.scopes.sort();
        self.scopes.dedup();
    }

    fn collections(&self) -> impl Iterator<Item = &Scope> {
        self.resources
            .iter()
            .filter_map(|resource| match &resource.place {
                Place::Collection(scope) => Some(scope),
                Place::Document(_) | Place::Component(_) | Place::Nothing => None,
            })
    }

    /// Documents that the list names, for themselves or for a part of them.
    pub fn keys(&self) -> impl Iterator<Item = &DocumentKey> {
        self.resources
            .iter()
            .filter_map(|resource| match &resource.place {
                Place::Document(key) => Some(key),
                Place::Component(component) => Some(&component.key),
                Place::Collection(_) | Place::Nothing => None,
            })
    }

    pub fn components(&self) -> impl Iterator<Item = (usize, &Component)> {
        let all = self.resources.iter().enumerate();
        all.filter_map(|(at, resource)| match &resource.place {
            Place::Component(component) => Some((at, component)),
            Place::Document(_) | Place::Collection(_) | Place::Nothing => None,
        })
    }

    /// How a document is named to the subscriber, once, whatever the overlaps (RFC 5875 §4.7); `None` for one that it
    /// did not ask for.
    pub fn sel(&self, key: &DocumentKey) -> Option<Cow<'_, str>> {
        let named = self
            .resources
            .iter()
            .find(|resource| matches!(&resource.place, Place::Document(own) if own == key));
        if let Some(resource) = named {
            return Some(Cow::Borrowed(&resource.sel));
        }
        let mut scopes = self.collections();
        let inside = scopes.any(|scope| scope.contains(key));
        inside.then(|| Cow::Owned(place::path(key)))
    }

    /// Whether nothing is told until the subscriber asks again (`Suppress-If-Match: *`).
    pub fn is_quenched(&self) -> bool {
        self.record.condition == Some(Condition::Always)
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
            require: None,
            tag: None,
            body: None,
        }
    }
}
