//! Registrations followed at their S-CSCF by the reg event package (RFC 3680; TS 24.229 §5.7.1.1): which contacts an
//! implicit registration set has, and the ends of which no third-party REGISTER tells.
//!
//! One subscription for each implicit set, to the identity whose third-party REGISTER came first. It decides nothing
//! about presence: what it learns leaves as [`News`].

mod heard;
mod recover;
mod refusals;

pub use heard::Notify;
pub use recover::Record;

use super::reginfo::{self, Tables};
use crate::event::deadlines::Deadlines;
use crate::event::subscriber::{Answer, Backoff, Ended, Next, Own, Subscriber, Terms};
use crate::event::subscription::SubscriptionId;
use crate::event::turn::{Ticket, Turn};
use crate::isc::Charging;
use crate::record::Table;
use crate::sip::Aor;
use crate::time::{Millis, Seconds, Timestamp};
use indexmap::IndexMap;
use refusals::Refusals;

/// The package.
pub const PACKAGE: &str = "reg";
/// How long `Expires: 0` of a third-party REGISTER waits for what the S-CSCF says of all contacts, 5 s: Kamailio sends
/// it when one of two contacts goes. Then it is believed.
const DOUBT: Millis = Millis(5_000);
/// Shortest lifetime asked for, an hour: a registration of a minute is renewed again and again.
const SHORTEST: Seconds = Seconds(3600);

/// How registrations are followed.
#[derive(Clone, Debug)]
pub struct Settings {
    pub own: Own,
    /// 64·T1: how long a SUBSCRIBE waits for its NOTIFY.
    pub timer_n: Millis,
}

/// What a third-party REGISTER says about where to ask.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The S-CSCF: its Contact.
    pub scscf: &'a str,
    /// Us as the service profile names us: the Request-URI.
    pub as_uri: &'a str,
    /// Lifetime of the registration.
    pub lifetime: Seconds,
    pub charging: &'a Charging,
}

/// What was learnt of an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// It is registered, at least until then.
    Active { identity: Aor, until: Timestamp },
    /// It is not registered any more.
    Ended { identity: Aor },
    /// Nobody follows it any more: what third-party REGISTER said counts again.
    Unvouched { identity: Aor },
}

/// One implicit set that is followed.
#[derive(Debug)]
struct Entry {
    scscf: Box<str>,
    as_uri: Box<str>,
    lifetime: Seconds,
    charging: Charging,
    /// `None` between two attempts.
    subscriber: Option<Subscriber>,
    retry_at: Option<Timestamp>,
    backoff: Backoff,
    tables: Tables,
    /// Documents in a row whose version was not above the one known.
    older: u8,
    /// Identities of which a REGISTER said that they are gone, and until when the S-CSCF may contradict.
    doubts: Vec<(Aor, Timestamp)>,
    /// When a REGISTER last said that somebody of the set is there, and none has said since that he is gone.
    registered_at: Option<Timestamp>,
    /// A first document contradicted that: when a new subscription asks again.
    ask_again_at: Option<Timestamp>,
    look_at: Option<Timestamp>,
    /// The identity that is subscribed to is registered no more; others of its set are while this subscription lives.
    orphan: bool,
}

/// A subscription that we have ended and that waits for its last NOTIFY.
#[derive(Debug)]
struct Last {
    subscriber: Subscriber,
    as_uri: Box<str>,
}

/// An entry of the deadline queue.
#[derive(Clone, Debug)]
enum Look {
    Entry(Aor),
    Last(SubscriptionId),
}

type Map<K, V> = IndexMap<K, V, ahash::RandomState>;

/// Every registration that is followed.
#[derive(Debug)]
pub struct RegEvents {
    settings: Settings,
    /// By the identity that is subscribed to.
    entries: Map<Aor, Entry>,
    /// Our dialog tags.
    ids: Map<SubscriptionId, Aor>,
    /// Identity of a followed set to the one that is subscribed to.
    covered: Map<Aor, Aor>,
    last: Map<SubscriptionId, Last>,
    looks: Deadlines<Look>,
    refusals: Refusals,
}

impl RegEvents {
    pub fn new(settings: Settings, hash: ahash::RandomState) -> RegEvents {
        RegEvents {
            settings,
            entries: IndexMap::with_hasher(hash.clone()),
            ids: IndexMap::with_hasher(hash.clone()),
            covered: IndexMap::with_hasher(hash.clone()),
            last: IndexMap::with_hasher(hash),
            looks: Deadlines::default(),
            refusals: Refusals::default(),
        }
    }

    /// Subscriptions of ours that are asked for or open.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.last.is_empty()
    }

    /// The identity that is subscribed to for the set of this one.
    fn key_of(&self, identity: &Aor) -> Option<Aor> {
        let own = self.entries.contains_key(identity).then_some(identity);
        self.covered.get(identity).or(own).cloned()
    }

    /// A third-party REGISTER came. `fresh`: it is news, not a refresh of a registration known before.
    pub fn registered(
        &mut self,
        turn: &mut Turn<'_>,
        identity: &Aor,
        source: &Source<'_>,
        fresh: bool,
    ) -> Vec<News> {
        let lifetime = source.lifetime.max(SHORTEST);
        let Some(key) = self.key_of(identity) else {
            let entry = Entry {
                scscf: source.scscf.into(),
                as_uri: source.as_uri.into(),
                lifetime,
                charging: source.charging.clone(),
                subscriber: None,
                retry_at: None,
                backoff: Backoff::default(),
                tables: Tables::default(),
                older: 0,
                doubts: Vec::new(),
                registered_at: Some(turn.now),
                ask_again_at: None,
                look_at: None,
                orphan: false,
            };
            self.entries.insert(identity.clone(), entry);
            self.subscribe(turn, identity);
            return Vec::new();
        };
        let Some(entry) = self.entries.get_mut(&key) else {
            return Vec::new();
        };
        entry.doubts.retain(|(doubted, _)| doubted != identity);
        entry.orphan &= key != *identity;
        entry.lifetime = lifetime;
        entry.registered_at = Some(turn.now);
        if let Some(subscriber) = &mut entry.subscriber {
            subscriber.wants(lifetime);
        }
        let moved = *entry.scscf != *source.scscf;
        (entry.scscf, entry.as_uri) = (source.scscf.into(), source.as_uri.into());
        // A subscription is about a registration: Kamailio 5.6 keeps that of one that ended, accepts its refresh, and
        // tells nothing of the next registration.
        let another = fresh && entry.tables.is_active(identity) != Some(true);
        let has_one = entry.subscriber.is_some();
        let gave_up = !has_one && entry.retry_at.is_none();
        if has_one && (moved || another && entry.tables.version().is_some()) || gave_up {
            entry.backoff.forgive();
            return self.anew(turn, &key);
        }
        Vec::new()
    }

    /// A third-party REGISTER said that the identity is gone. Whether the S-CSCF is asked for more before that is
    /// believed: it is, while we know of contacts from it or have just asked.
    pub fn doubts(&mut self, turn: &mut Turn<'_>, identity: &Aor) -> bool {
        let Some(key) = self.key_of(identity) else {
            return false;
        };
        let vouched = self.vouched_until(identity, turn.now).is_some();
        let Some(entry) = self.entries.get_mut(&key) else {
            return false;
        };
        entry.registered_at = None;
        let asking = entry.subscriber.as_ref().is_some_and(Subscriber::is_asking);
        if !vouched && !asking && entry.ask_again_at.is_none() {
            return false;
        }
        if !entry.doubts.iter().any(|(doubted, _)| doubted == identity) {
            entry.doubts.push((identity.clone(), turn.now + DOUBT));
        }
        self.ask_state(turn, &key);
        self.store(turn, &key);
        self.schedule(&key);
        true
    }

    /// Until when a live subscription stands for this identity's registration.
    pub fn vouched_until(&self, identity: &Aor, now: Timestamp) -> Option<Timestamp> {
        let entry = self.entries.get(self.covered.get(identity)?)?;
        let subscriber = entry.subscriber.as_ref().filter(|s| s.is_active())?;
        let stands =
            entry.tables.is_active(identity) == Some(true) && subscriber.expires_at() > now;
        stands.then(|| subscriber.expires_at())
    }

    /// The identity is not registered any more, or forgotten: nothing more is wanted of its S-CSCF, unless the
    /// subscription stands for others.
    pub fn ended(&mut self, turn: &mut Turn<'_>, identity: &Aor) {
        let others = |entry: &Entry| {
            let mut rows = entry.tables.rows().iter();
            rows.any(|row| row.aor != *identity && row.state == reginfo::State::Active)
        };
        match self.entries.get_mut(identity) {
            Some(entry) if others(entry) => entry.orphan = true,
            Some(_) => self.leave(turn, identity),
            None => {}
        }
    }

    /// Ends the subscription, telling the S-CSCF so where a dialog is open, and forgets the set.
    fn leave(&mut self, turn: &mut Turn<'_>, key: &Aor) {
        self.uncover(key);
        let Some(entry) = self.entries.swap_remove(key) else {
            return;
        };
        turn.batch.delete(Table::RegEvent, key.as_str().as_bytes());
        let Some(mut subscriber) = entry.subscriber else {
            return;
        };
        self.ids.swap_remove(&subscriber.id);
        if subscriber.end(turn.now) == Next::Send {
            let terms = terms(key, &entry.scscf, &entry.as_uri, &entry.charging);
            turn.outgoing
                .extend(subscriber.request(&self.settings.own, &terms));
            let id = subscriber.id;
            self.looks
                .at(turn.now + self.settings.timer_n, Look::Last(id));
            let as_uri = entry.as_uri;
            self.last.insert(id, Last { subscriber, as_uri });
        }
    }

    /// Starts an attempt, unless this S-CSCF has just refused the package.
    fn subscribe(&mut self, turn: &mut Turn<'_>, key: &Aor) {
        let id = self.new_id(turn, key);
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        (entry.retry_at, entry.ask_again_at) = (None, None);
        if let Some(until) = self.refusals.until(turn.now, &entry.scscf) {
            entry.retry_at = Some(until + Millis(turn.random.number() % 600_000)); // not all at once
        } else {
            let lifetime = entry.lifetime;
            entry.subscriber = Some(Subscriber::start(
                turn.now,
                id,
                lifetime,
                self.settings.timer_n,
            ));
            entry.tables = Tables::default();
            entry.older = 0;
            self.ids.insert(id, key.clone());
            self.send(turn, key);
        }
        self.store(turn, key);
        self.schedule(key);
    }

    /// A new subscription in place of the one there is, whose NOTIFYs are answered 481 from now on.
    fn anew(&mut self, turn: &mut Turn<'_>, key: &Aor) -> Vec<News> {
        if self.entries.get(key).is_some_and(|entry| entry.orphan) {
            return self.abandon(turn, key);
        }
        let Some(entry) = self.entries.get_mut(key) else {
            return Vec::new();
        };
        if let Some(old) = entry.subscriber.take() {
            self.ids.swap_remove(&old.id);
        }
        let news = self.unvouched(key);
        self.subscribe(turn, key);
        news
    }

    /// A number that no subscription has: the identity's partition above random bits.
    fn new_id(&self, turn: &mut Turn<'_>, identity: &Aor) -> SubscriptionId {
        turn.random.subscription(Some(identity), |id| self.owns(id))
    }

    /// Sends what the subscriber of this entry wants sent.
    fn send(&mut self, turn: &mut Turn<'_>, key: &Aor) {
        let Some(entry) = self.entries.get(key) else {
            return;
        };
        let terms = terms(key, &entry.scscf, &entry.as_uri, &entry.charging);
        let request = entry.subscriber.as_ref();
        match request.and_then(|s| s.request(&self.settings.own, &terms)) {
            Some(outgoing) => turn.outgoing.push(outgoing),
            // it stays unsent, and Timer N or the end of the subscription finds that out
            None => tracing::debug!("the URI of an S-CSCF names no host"),
        }
    }

    fn ask_state(&mut self, turn: &mut Turn<'_>, key: &Aor) {
        let now = turn.now;
        let subscriber = self
            .entries
            .get_mut(key)
            .and_then(|e| e.subscriber.as_mut());
        if subscriber.is_some_and(|s| s.ask_state(now) == Next::Send) {
            self.send(turn, key);
        }
    }

    /// The final response to a SUBSCRIBE of ours came, or none did (408).
    pub fn answered(&mut self, turn: &mut Turn<'_>, ticket: Ticket, answer: &Answer) -> Vec<News> {
        let id = ticket.subscription;
        if let Some(last) = self.last.get_mut(&id) {
            if last.subscriber.answered(turn.now, ticket.cseq, answer) != Next::Nothing {
                self.last.swap_remove(&id);
            }
            return Vec::new();
        }
        let Some(key) = self.ids.get(&id).cloned() else {
            return Vec::new();
        };
        let subscriber = self
            .entries
            .get_mut(&key)
            .and_then(|e| e.subscriber.as_mut());
        let next = subscriber.map_or(Next::Nothing, |s| s.answered(turn.now, ticket.cseq, answer));
        let news = self.carry_out(turn, &key, next);
        if next == Next::Nothing {
            self.store(turn, &key); // its end may have moved
        }
        news
    }

    /// Does what a step of the subscriber wants.
    fn carry_out(&mut self, turn: &mut Turn<'_>, key: &Aor, next: Next) -> Vec<News> {
        match next {
            Next::Nothing => {
                self.schedule(key);
                Vec::new()
            }
            Next::Send => {
                self.send(turn, key);
                self.store(turn, key); // its CSeq leaves behind the record
                self.schedule(key);
                Vec::new()
            }
            Next::Over(ended) => self.over(turn, key, ended),
        }
    }

    /// The subscription is over, the registration perhaps not: asks again when it makes sense.
    fn over(&mut self, turn: &mut Turn<'_>, key: &Aor, ended: Ended) -> Vec<News> {
        let now = turn.now;
        let Some(entry) = self.entries.get_mut(key) else {
            return Vec::new();
        };
        let Some(old) = entry.subscriber.take() else {
            return Vec::new();
        };
        self.ids.swap_remove(&old.id);
        if entry.orphan {
            return self.abandon(turn, key);
        }
        if let Ended::Refused(status) = ended {
            self.refusals.refused(now, &entry.scscf, status);
        }
        let pause = entry.backoff.pause(ended, old.lived(now), turn.random);
        tracing::debug!(
            ?ended,
            ?pause,
            "a subscription to the reg event package is over"
        );
        entry.retry_at = pause.map(|pause| now + pause);
        let news = self.unvouched(key);
        if pause == Some(Millis(0)) {
            self.subscribe(turn, key);
        } else {
            self.store(turn, key);
            self.schedule(key);
        }
        news
    }

    /// Nobody asks for this identity any more. The next REGISTER of another one of its set follows that one.
    fn abandon(&mut self, turn: &mut Turn<'_>, key: &Aor) -> Vec<News> {
        let news = self.unvouched(key);
        self.leave(turn, key);
        news
    }

    /// What was known of the set rests on nothing any more; what was in doubt is gone.
    fn unvouched(&mut self, key: &Aor) -> Vec<News> {
        self.uncover(key);
        let Some(entry) = self.entries.get_mut(key) else {
            return Vec::new();
        };
        let doubts = std::mem::take(&mut entry.doubts);
        let gone = doubts
            .into_iter()
            .map(|(identity, _)| News::Ended { identity });
        let tables = std::mem::take(&mut entry.tables);
        let rows = tables.rows().iter().map(|row| News::Unvouched {
            identity: row.aor.clone(),
        });
        gone.chain(rows).collect()
    }

    /// The identities of the set lead to this entry.
    fn cover(&mut self, key: &Aor) {
        let rows = self.entries.get(key).map(|entry| entry.tables.rows());
        for row in rows.unwrap_or_default() {
            let owner = self.covered.entry(row.aor.clone());
            owner.or_insert_with(|| key.clone());
        }
    }

    fn uncover(&mut self, key: &Aor) {
        let rows = self.entries.get(key).map(|entry| entry.tables.rows());
        for row in rows.unwrap_or_default() {
            if self.covered.get(&row.aor) == Some(key) {
                self.covered.swap_remove(&row.aor);
            }
        }
    }

    /// When [`RegEvents::on_deadline`] wants to be called next.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.looks.next()
    }

    /// Does what has become due: refreshes, ends, new attempts, doubts. One second's worth a call.
    pub fn on_deadline(&mut self, turn: &mut Turn<'_>) -> Vec<News> {
        let mut news = Vec::new();
        for look in self.looks.due(turn.now) {
            match look {
                Look::Entry(key) => news.extend(self.look(turn, &key)),
                Look::Last(id) => {
                    self.last.swap_remove(&id);
                }
            }
        }
        news
    }

    fn look(&mut self, turn: &mut Turn<'_>, key: &Aor) -> Vec<News> {
        let now = turn.now;
        let Some(entry) = self.entries.get_mut(key) else {
            return Vec::new();
        };
        if entry.look_at.is_none_or(|at| now < at) {
            return Vec::new(); // an earlier look stands in its place
        }
        entry.look_at = None;
        if entry.doubts.iter().any(|(_, until)| *until <= now) {
            // the S-CSCF did not contradict its REGISTER; what it says to a new subscription is the last word
            return self.anew(turn, key);
        }
        if entry.ask_again_at.is_some_and(|at| at <= now) {
            return self.anew(turn, key);
        }
        match &mut entry.subscriber {
            Some(subscriber) => {
                let next = subscriber.due(now);
                return self.carry_out(turn, key, next);
            }
            None if entry.retry_at.is_some_and(|at| at <= now) => self.subscribe(turn, key),
            None => self.schedule(key),
        }
        Vec::new()
    }

    /// Asks for a look at an entry at its next instant.
    fn schedule(&mut self, key: &Aor) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        let subscriber = entry
            .subscriber
            .as_ref()
            .and_then(Subscriber::next_deadline);
        let doubt = entry.doubts.iter().map(|(_, until)| *until).min();
        let next = [subscriber, entry.retry_at, entry.ask_again_at, doubt]
            .into_iter()
            .flatten()
            .min();
        if let Some(at) = next
            && entry.look_at.is_none_or(|scheduled| at < scheduled)
        {
            entry.look_at = Some(at);
            self.looks.at(at, Look::Entry(key.clone()));
        }
    }

    /// Whether a dialog tag is one of ours.
    pub fn owns(&self, id: SubscriptionId) -> bool {
        self.ids.contains_key(&id) || self.last.contains_key(&id)
    }
}

fn terms<'a>(key: &'a Aor, hop: &'a str, identity: &'a str, charging: &'a Charging) -> Terms<'a> {
    Terms {
        resource: key.as_str(),
        hop,
        identity,
        behalf: None,
        package: PACKAGE,
        accept: reginfo::MEDIA_TYPE,
        charging: Some(charging),
        body: None,
    }
}
