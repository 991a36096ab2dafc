//! What the presence service keeps in memory of presentities and watchers, and how it is stored.

use super::onlook::Gathering;
use super::partial::Held;
use super::permanent::Permanent;
use super::roll::Roll;
use super::visit::Visit;
use super::winfo::Observer;
use super::wishes::Wishes;
use crate::dialog::Dialog;
use crate::event::debts::Debtor;
use crate::event::notice::LastBody;
use crate::event::pace::Rhythm;
use crate::event::publication::Publication;
use crate::event::subscription::{State, SubscriptionId};
use crate::event::tag::TagKey;
use crate::event::tag::{Condition, QUENCHED};
use crate::isc::Charging;
use crate::presence::compose::{Composed, Policy, RegistrationFacts, Source, compose};
use crate::presence::content::Authorized;
use crate::presence::filter::Filters;
use crate::presence::pidf::Contribution;
use crate::presence::rules::{Decision, Ruleset};
use crate::sip::Aor;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Number of a publication: older ones have smaller numbers, and none is given twice. Milliseconds of its
/// creation above 20 random bits.
pub fn publication_number(now: Timestamp, random: u64) -> u64 {
    now.0 << 20 | random & 0xf_ffff
}

/// Everything about one presentity that this service owns.
#[derive(Debug, Default)]
pub struct Presentity {
    pub publications: Vec<Publication<Contribution>>,
    /// State that never runs out (RFC 4827), under each identity of the presentity that has some.
    pub permanent: Vec<Permanent>,
    pub registration: Option<Registered>,
    /// The same as a source of composition.
    pub facts: Option<RegistrationFacts>,
    /// Subscriptions to it.
    pub watchers: BTreeSet<SubscriptionId>,
    /// Those among them that wait for a decision, the one that gives up first in front.
    pub waiting: BTreeSet<(Timestamp, SubscriptionId)>,
    /// Subscriptions to who watches it.
    pub observers: BTreeSet<SubscriptionId>,
    /// Its virtual subscriptions: it is a member of lists.
    pub gathering: Option<Box<Gathering>>,
    /// What observers have still to be told.
    pub roll: Roll,
    /// When its watchers last changed while somebody observed them, for what a restart owes.
    pub watched_at: Timestamp,
    /// Its policy documents, parsed at first need and dropped when one changes.
    pub rulesets: Option<Arc<[Arc<Ruleset>]>>,
    /// When somebody is asked to look for expired publications; one entry at a time.
    pub look_at: Option<Timestamp>,
    /// What its watchers were shown before a restart is worked out, or there was none.
    pub views_known: bool,
    /// When what a watcher may see last changed, for what a restart owes.
    pub touched_at: Timestamp,
}

impl Presentity {
    /// Nothing left that is worth a place in memory.
    pub fn is_idle(&self) -> bool {
        self.publications.is_empty()
            && self.permanent.is_empty()
            && self.registration.is_none()
            && self.watchers.is_empty()
            && self.observers.is_empty()
            && self.gathering.is_none()
    }

    /// Whether somebody watches its state, or may as soon as its rules allow it.
    pub fn is_watched(&self) -> bool {
        let members = self
            .gathering
            .as_ref()
            .is_some_and(|g| !g.presence.is_empty());
        members || !self.watchers.is_empty()
    }

    /// Takes over what the network says of the presentity's registration.
    pub fn set_registration(&mut self, presentity: &Aor, registration: Option<Registered>) {
        self.registration = registration;
        // an identity that no document can hold is shown without its registration
        self.facts = registration.and_then(|r| {
            RegistrationFacts::new(presentity.as_str(), None, r.active, r.since).ok()
        });
    }

    /// The raw document of all sources. Not for a watcher's eyes.
    pub fn compose(&self, policy: &Policy, tags: &TagKey) -> Composed {
        let publications = self.publications.iter().map(|p| Source {
            contribution: &p.state,
            at: p.changed_at,
            order: p.number,
            mark: tags.mark(p.number),
        });
        // the oldest of all by number, so that no published id has to give way for it; as new as its last change
        let permanent = (0..).zip(&self.permanent).map(|(order, p)| Source {
            contribution: &p.contribution,
            at: p.at,
            order,
            mark: tags.mark(order),
        });
        let sources: Vec<Source<'_>> = permanent.chain(publications).collect();
        compose(&sources, self.facts.as_ref(), policy)
    }
}

/// Registration state of the presentity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered {
    pub active: bool,
    /// When it became so.
    pub since: Timestamp,
}

/// What a subscription owes its watcher.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Debt {
    #[default]
    Nothing,
    /// New state, when pacing and the unanswered NOTIFY allow, if a trigger fires.
    State,
    /// The present state, changed or not, when pacing allows (RFC 6446 §6.2).
    Repeat,
    /// What it may see has changed: no trigger is asked, and no quiet hours.
    Right,
    /// The whole state, as soon as the NOTIFY before it is answered: what a watcher of partial documents is owed for
    /// its SUBSCRIBE (RFC 5263 §4.4).
    Whole,
}

/// One watcher's subscription to one presentity.
#[derive(Debug)]
pub struct Subscription {
    pub id: SubscriptionId,
    pub presentity: Aor,
    pub record: SubscriptionRecord,
    /// Its package and its way to its state.
    pub visit: Visit,
    /// What it may see and has seen, where it observes watchers.
    pub observer: Option<Box<Observer>>,
    /// Number of its last change on the presentity's roll.
    pub rolled: u64,
    /// What it asks for besides plain state; none for most.
    pub wishes: Option<Box<Wishes>>,
    /// Which part of the state it asks for, and which changes; none for most.
    pub filters: Option<Box<Filters>>,
    /// What it holds, if it was ever sent partial documents.
    pub held: Option<Box<Held>>,
    /// The policy's verdict, recomputed at need after any change of what it rests on.
    pub decision: Option<Arc<Decision>>,
    /// NOTIFYs not yet answered.
    pub unanswered: u16,
    pub debt: Debt,
    /// Since when something is owed or unanswered.
    pub owed_since: Option<Timestamp>,
    /// No paced NOTIFY before this instant.
    pub not_before: Timestamp,
    /// When the last NOTIFY was sent.
    pub sent_at: Timestamp,
    /// The store knows that something is owed for long.
    pub waits: bool,
    /// When the state is repeated; none for most.
    pub rhythm: Option<Box<Rhythm>>,
    /// Tag of the state that the watcher has, so that a change which it cannot see is not told. 0: it must be told
    /// whatever the state.
    pub last_told: u64,
    /// What the watcher might see when it was last told, before its filter; kept where triggers compare with it.
    pub last_whole: Option<Authorized>,
    /// The body last sent, for the charging record.
    pub last_body: Option<LastBody>,
    /// When a look at this subscription is scheduled; one entry at a time.
    pub look_at: Option<Timestamp>,
    /// A fetch or an ended subscription that waits for the answer to its last NOTIFY.
    pub stored: bool,
}

impl Debtor for Subscription {
    fn owed_since(&mut self) -> &mut Option<Timestamp> {
        &mut self.owed_since
    }
}

impl Subscription {
    /// `Suppress-If-Match` of the last SUBSCRIBE, while it holds.
    pub fn condition(&self) -> Option<Condition> {
        self.wishes.as_ref().and_then(|w| w.condition)
    }

    /// Whether no state is told until the watcher asks again (`Suppress-If-Match: *`).
    pub fn is_quenched(&self) -> bool {
        self.condition() == Some(Condition::Always) && self.last_told == QUENCHED
    }

    /// What [`Subscription::last_told`] becomes with state of this tag.
    pub fn mark(&self, tag: u64) -> u64 {
        match self.condition() {
            Some(Condition::Always) => QUENCHED,
            Some(Condition::Tag(_)) | None => tag,
        }
    }
}

/// A subscription as stored. Key: its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionRecord {
    pub presentity: Box<str>,
    /// Request-URI of the SUBSCRIBE: the `entity` that this watcher sees.
    pub entity: Box<str>,
    /// Asserted identities, canonical.
    pub watcher: Vec<Box<str>>,
    /// The same as the peer wrote them.
    pub asserted: Vec<Box<str>>,
    pub anonymous: bool,
    pub event_id: Option<Box<str>>,
    pub state: State,
    pub expires_at: Timestamp,
    /// Last SUBSCRIBE: it is owed a NOTIFY.
    pub renewed_at: Timestamp,
    /// CSeq numbers up to here may have been used: after a restart ours goes on above, never back.
    pub cseq_reserved: u32,
    pub dialog: Dialog,
    pub charging: Charging,
    /// The SUBSCRIBE came from inside the trust domain through a proxy that stays in the path, so charging
    /// headers may go back along it (RFC 7315 §4.5, §4.6).
    pub inside: bool,
}

/// Key of a publication and of its body: presentity, a zero byte, its number.
pub fn publication_key(presentity: &Aor, number: u64) -> Vec<u8> {
    let mut key = presentity.as_str().as_bytes().to_vec();
    key.push(0);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// The presentity and the number in such a key.
pub fn parse_publication_key(key: &[u8]) -> Option<(Aor, u64)> {
    let (rest, number) = key.split_last_chunk::<8>()?;
    let presentity = rest.strip_suffix(&[0])?;
    Some((
        Aor::parse(std::str::from_utf8(presentity).ok()?)?,
        u64::from_be_bytes(*number),
    ))
}
