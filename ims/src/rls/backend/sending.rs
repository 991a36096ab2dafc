//! SUBSCRIBEs of ours: when they leave, what is in them, and what comes of each step of a dialog.

use super::entry::{Entry, Leg, Opening, Slot};
use super::flow::{Job, Number};
use super::outcome::Verdict;
use super::settings::{Core, Way, originating};
use super::{Service, content, filter};
use crate::charge::Event;
use crate::event::subscriber::{Behalf, Next, Own, Subscriber, Terms};
use crate::event::subscription::{State, SubscriptionId};
use crate::event::turn::{Outgoing, Random, Turn};
use crate::sip::Aor;
use crate::time::{Millis, Seconds, Timestamp};

/// Pause after which a resource that could not be had for hours is tried again.
const GIVEN_UP: Seconds = Seconds(3600);
/// Pause while no new state is taken: the server leaves, or its disk is full.
const PUT_OFF: Millis = Millis(30_000);
/// Requests that leave in one step; the next follow in the next.
const MOST_JOBS: usize = 256;

impl Service {
    /// When [`Service::due`] wants to be called.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let all = [self.looks.next(), self.flow.next(), self.sweep_at];
        all.into_iter().flatten().min()
    }

    /// Does what has become due. `admits`: whether new state is taken.
    pub fn due(&mut self, turn: &mut Turn<'_>, core: &dyn Core, admits: bool) {
        if self.sweep_at.is_some_and(|at| at <= turn.now) {
            self.sweep();
        }
        for number in self.looks.due(turn.now) {
            self.look(turn, number);
        }
        for _ in 0..MOST_JOBS {
            match self.flow.take(turn.now, turn.random) {
                Some((domain, Job::Open(number))) => match self.entries.contains_key(&number) {
                    true => self.open(turn, core, number, admits),
                    false => self.flow.done(&domain),
                },
                Some((_, Job::Refresh(number))) => self.refresh(turn, number),
                Some((_, Job::End(number))) => self.end(turn, number),
                None => break,
            }
        }
    }

    fn look(&mut self, turn: &mut Turn<'_>, number: Number) {
        let Some(entry) = self.entries.get_mut(&number) else {
            return;
        };
        entry.look_at = None;
        // from behind: a dialog that is over leaves its place
        for place in (0..entry.legs.len()).rev() {
            let leg = self
                .entries
                .get_mut(&number)
                .and_then(|e| e.legs.get_mut(place));
            if let Some(leg) = leg {
                let next = leg.subscriber.due(turn.now);
                let verdict = match next {
                    Next::Over(ended) => Verdict::of_deadline(ended),
                    Next::Nothing | Next::Send => Verdict::Later(None),
                };
                self.carry_out(turn, number, place, next, verdict);
            }
        }
        let Some(entry) = self.entries.get(&number) else {
            return;
        };
        if entry.legs.is_empty() && entry.retry_at.is_some_and(|at| at <= turn.now) {
            self.queue(number, Job::Open(number));
        }
        self.schedule(number);
    }

    /// Sends the SUBSCRIBE that opens a dialog, for an entry whose turn was taken.
    fn open(&mut self, turn: &mut Turn<'_>, core: &dyn Core, number: Number, admits: bool) {
        let Some(entry) = self.entries.get_mut(&number) else {
            return;
        };
        entry.queued = false;
        entry.counted = true;
        if entry.closing || entry.members.is_empty() || !entry.legs.is_empty() {
            return self.settle(turn, number);
        }
        if !admits {
            entry.retry_at = Some(turn.now + PUT_OFF);
            return self.settle(turn, number);
        }
        entry.retry_at = None;
        entry.way = way(entry, core, self.settings.bounds.core.as_deref());
        if entry.way.is_none() {
            tracing::debug!("no way into the core for a back-end subscription");
            self.failed(turn, number, Millis(0), Verdict::Later(None));
            return self.settle(turn, number);
        }
        let id = self.new_id(turn.random, number);
        let Some(entry) = self.entries.get_mut(&number) else {
            return;
        };
        let lifetime = spread(
            entry.lifetime(turn.now, self.settings.bounds.lifetime),
            turn.random,
        );
        let timer_n = self.settings.timer_n;
        entry.opening = Some(Opening {
            id,
            until: turn.now + timer_n,
        });
        entry.legs.push(Leg {
            subscriber: Subscriber::start(turn.now, id, lifetime, timer_n),
            slot: None,
        });
        self.ids.insert(id, number);
        self.tickets.insert(id, number);
        self.send(turn, number, 0);
        self.settle(turn, number);
    }

    /// A number that no dialog has: the partition of the watcher above random bits.
    pub(super) fn new_id(&self, random: &mut Random, number: Number) -> SubscriptionId {
        let entry = self.entries.get(&number);
        let watcher = entry.and_then(|entry| Aor::parse(entry.key.watcher()));
        random.subscription(watcher.as_ref(), |id| {
            self.ids.contains_key(&id) || self.tickets.contains_key(&id)
        })
    }

    /// After a restart: what has changed meanwhile is asked for, and whether the notifier still knows of us.
    fn refresh(&mut self, turn: &mut Turn<'_>, number: Number) {
        let Some(entry) = self.entries.get_mut(&number) else {
            return;
        };
        entry.queued = false;
        for place in (0..entry.legs.len()).rev() {
            self.ask_state(turn, number, place);
        }
        self.schedule(number);
    }

    /// Asks a notifier for full state.
    pub(super) fn ask_state(&mut self, turn: &mut Turn<'_>, number: Number, place: usize) {
        let entry = self.entries.get_mut(&number);
        let Some(leg) = entry.and_then(|entry| entry.legs.get_mut(place)) else {
            return;
        };
        let next = leg.subscriber.ask_state(turn.now);
        self.carry_out(turn, number, place, next, Verdict::Again);
    }

    /// Nobody wants it any more, unless somebody has come meanwhile.
    fn end(&mut self, turn: &mut Turn<'_>, number: Number) {
        let Some(entry) = self.entries.get_mut(&number) else {
            return;
        };
        if entry.closing || !entry.members.is_empty() {
            return;
        }
        entry.closing = true;
        entry.opening = None;
        let key = entry.key.clone();
        if std::mem::take(&mut entry.stored) {
            let key = number.to_be_bytes();
            turn.batch.delete(crate::record::Table::BackEnd, &key);
        }
        let places = entry.legs.len();
        self.forget_key(&key, number);
        for place in (0..places).rev() {
            let leg = self
                .entries
                .get_mut(&number)
                .and_then(|e| e.legs.get_mut(place));
            if let Some(leg) = leg {
                let next = leg.subscriber.end(turn.now);
                self.carry_out(turn, number, place, next, Verdict::Later(None));
            }
        }
        if self.entries.get(&number).is_some_and(|e| e.legs.is_empty()) {
            self.remove(turn, number);
        }
    }

    /// Does what a step of a dialog wants; `verdict`: what it means when it is over.
    pub(super) fn carry_out(
        &mut self,
        turn: &mut Turn<'_>,
        number: Number,
        place: usize,
        next: Next,
        verdict: Verdict,
    ) {
        match next {
            Next::Nothing => {}
            Next::Send => self.send(turn, number, place),
            Next::Over(_) => self.leg_over(turn, number, place, verdict),
        }
        self.settle(turn, number);
    }

    fn send(&mut self, turn: &mut Turn<'_>, number: Number, place: usize) {
        let Some(entry) = self.entries.get(&number) else {
            return;
        };
        let Some(leg) = entry.legs.get(place) else {
            return;
        };
        let request = written(
            entry,
            &leg.subscriber,
            &self.settings.own,
            self.settings.bounds.nested,
        );
        // where a URI names no host it stays unsent, and Timer N finds that out
        turn.outgoing.extend(request);
    }

    /// A dialog is over.
    fn leg_over(&mut self, turn: &mut Turn<'_>, number: Number, place: usize, verdict: Verdict) {
        let Some(entry) = self.entries.get_mut(&number) else {
            return;
        };
        if place >= entry.legs.len() {
            return;
        }
        let leg = entry.legs.remove(place);
        self.tickets.swap_remove(&leg.subscriber.ticket);
        if !entry.legs.is_empty() {
            if let Some(slot) = leg.slot.and_then(|slot| entry.slots.get_mut(slot)) {
                *slot = Slot::new(State::Terminated(verdict.end_of_one()));
                self.stir(number);
            }
            return;
        }
        entry.opening = None;
        self.ids.swap_remove(&leg.subscriber.id);
        if entry.closing {
            return self.remove(turn, number);
        }
        self.failed(turn, number, leg.subscriber.lived(turn.now), verdict);
    }

    /// No dialog is left, having lived for so long: when the next is tried, and what the watcher is told until then.
    fn failed(&mut self, turn: &mut Turn<'_>, number: Number, lived: Millis, verdict: Verdict) {
        let Some(entry) = self.entries.get_mut(&number) else {
            return;
        };
        let pause = entry.backoff.pause(verdict.ended(), lived, turn.random);
        let wait = pause.unwrap_or_else(|| Millis::from(GIVEN_UP));
        entry.retry_at = Some(turn.now + wait);
        let refused = matches!(verdict, Verdict::Refused(_));
        entry.refused_at = refused.then_some(turn.now);
        tracing::debug!(?verdict, wait = wait.0, "a back-end subscription is over");
        // A notifier that would take a new one at once only moves: what it has told stands until the next answer, which
        // Timer N bounds. Of several instances nobody knows which come back.
        let again = wait == Millis(0);
        if !(again && entry.slots.len() <= 1) {
            let end = State::Terminated(verdict.end(pause));
            if entry.slots.is_empty() {
                entry.slots.push(Slot::new(end));
            }
            for slot in &mut entry.slots {
                *slot = Slot::new(end);
            }
            self.stir(number);
        }
        if again {
            self.queue(number, Job::Open(number));
        }
    }

    /// Keeps the store, the deadlines and the count of its domain in step with an entry.
    pub(super) fn settle(&mut self, turn: &mut Turn<'_>, number: Number) {
        self.store(turn, number);
        if let Some(entry) = self.entries.get_mut(&number)
            && entry.counted
            && !entry.is_asking()
        {
            entry.counted = false;
            self.flow.done(&entry.domain);
        }
        self.schedule(number);
    }

    pub(super) fn schedule(&mut self, number: Number) {
        let Some(entry) = self.entries.get_mut(&number) else {
            return;
        };
        if let Some(at) = entry.next_deadline()
            && entry.look_at.is_none_or(|scheduled| at < scheduled)
        {
            entry.look_at = Some(at);
            self.looks.at(at, number);
        }
    }

    /// Ends what the store had and nobody has asked for since.
    fn sweep(&mut self) {
        self.sweep_at = None;
        for entry in self.entries.values() {
            if entry.members.is_empty() && !entry.closing {
                self.flow.push(&entry.domain, Job::End(entry.number));
            }
        }
    }
}

/// Where the SUBSCRIBE goes: to the S-CSCF of the watcher, else to the one that the operator names.
fn way(entry: &Entry, core: &dyn Core, configured: Option<&str>) -> Option<Way> {
    let asserted: Vec<Aor> = entry
        .key
        .asserted
        .iter()
        .filter_map(|uri| Aor::parse(uri))
        .collect();
    let known = core.way(&asserted);
    known.or_else(|| {
        Some(Way {
            hop: configured?.to_owned(),
            served: 0,
            registered: false,
            charging: crate::isc::Charging::default(),
        })
    })
}

/// The SUBSCRIBE that a dialog wants sent.
fn written(entry: &Entry, subscriber: &Subscriber, own: &Own, lists: bool) -> Option<Outgoing> {
    let way = entry.way.as_ref();
    let hop = way.map_or_else(String::new, |way| originating(&way.hop));
    subscriber.request(own, &terms(entry, &hop, lists)?)
}

/// The charging event of the SUBSCRIBE that a dialog has under way; its first hop is no part of it.
pub(super) fn charged(
    entry: &Entry,
    subscriber: &Subscriber,
    own: &Own,
    times: (Timestamp, Timestamp),
    status: u16,
) -> Option<Event> {
    Some(subscriber.charge(own, &terms(entry, "", false)?, times, status))
}

/// What is subscribed to by way of `hop`, and on whose behalf.
fn terms<'a>(entry: &'a Entry, hop: &'a str, lists: bool) -> Option<Terms<'a>> {
    let key = &entry.key;
    let way = entry.way.as_ref();
    let served = way.and_then(|way| key.asserted.get(way.served));
    let body = key.filter.as_deref();
    Some(Terms {
        resource: key.member.as_str(),
        hop,
        identity: key.from(),
        behalf: Some(Behalf {
            asserted: &key.asserted,
            display_name: entry.display_name.as_deref(),
            served: (
                served.map_or(key.watcher(), |uri| uri),
                way.is_some_and(|way| way.registered),
            ),
            anonymous: key.anonymous,
            lists,
            max_forwards: key.hops,
        }),
        package: &key.package,
        accept: content::accept(&key.package, lists)?,
        body: body.map(|body| (filter::MEDIA_TYPE, body)),
        charging: way.map(|way| &way.charging),
    })
}

/// Up to a tenth less, so that what began together is not refreshed together.
fn spread(lifetime: Seconds, random: &mut Random) -> Seconds {
    const LONG: u64 = 600;
    let seconds = u64::from(lifetime.0);
    let less = match seconds > LONG {
        true => random.number() % (seconds / 10),
        false => 0,
    };
    Seconds(lifetime.0.saturating_sub(u32::try_from(less).unwrap_or(0)))
}
