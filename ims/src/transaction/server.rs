//! Server transactions (RFC 3261 §17.2): a request that comes again is answered from stored bytes.
//!
//! Non-INVITE: `Trying`, then `Completed` for timer J. No 408 is ever sent and no provisional response but 100
//! (RFC 4320 §4); we answer at once, so none is needed. INVITE: always refused here, so it goes to `Completed`
//! (timers G and H) and, at the ACK, to `Confirmed` (timer I).

use super::{Key, Settings};
use crate::sip::{Destination, Flow};
use crate::time::{Millis, Timestamp};
use ahash::RandomState;
use bytes::Bytes;
use indexmap::IndexMap;
use std::collections::{BTreeSet, VecDeque};

/// What a request is to its transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A new transaction: answer it with this key.
    New(Key),
    /// It came before. Send the stored response again, if there is one yet.
    Again(Option<Bytes>),
    /// An ACK: never answered.
    Ack,
    /// A CANCEL: its own transaction, and whether what it cancels is known (RFC 3261 §9.2).
    Cancel { key: Key, known: bool },
    /// A request that came before by another path, and is served in that transaction: answer 482 with this
    /// key (RFC 3261 §8.2.2.2).
    Merged(Key),
    /// No more transactions are taken.
    Overload,
}

#[derive(Debug)]
struct Transaction {
    is_invite: bool,
    is_reliable: bool,
    response: Option<Bytes>,
    /// INVITE over UDP: where its response goes again, and the pause until then. `None` once acknowledged.
    again: Option<Box<(Destination, Millis)>>,
    /// INVITE whose response was acknowledged: another ACK changes nothing.
    is_confirmed: bool,
    over_at: Timestamp,
    /// Its entry in `origins`, if it has one.
    origin: Option<Key>,
}

#[derive(Debug)]
pub(super) struct Table {
    settings: Settings,
    transactions: IndexMap<Key, Transaction, RandomState>,
    /// Which transaction serves a request outside a dialog, whatever path it came by.
    origins: IndexMap<Key, Key, RandomState>,
    /// Ends of timer J, H and I, in order of their constant durations.
    ends: VecDeque<(Timestamp, Key)>,
    confirmed: VecDeque<(Timestamp, Key)>,
    /// Timer G of refused INVITEs.
    repeats: BTreeSet<(Timestamp, Key)>,
}

impl Table {
    pub fn new(settings: Settings, hash: RandomState) -> Table {
        Table {
            settings,
            transactions: IndexMap::with_hasher(hash.clone()),
            origins: IndexMap::with_hasher(hash),
            ends: VecDeque::new(),
            confirmed: VecDeque::new(),
            repeats: BTreeSet::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.transactions.len()
    }

    /// `origin` is what a request outside a dialog has in common with its copies by other paths.
    pub fn request(
        &mut self,
        now: Timestamp,
        (key, origin): (Key, Option<Key>),
        flow: &Flow,
        is_invite: bool,
    ) -> Verdict {
        if let Some(known) = self.transactions.get(&key) {
            return Verdict::Again(known.response.clone());
        }
        if self.transactions.len() >= self.settings.max_transactions && !self.make_room(now) {
            return Verdict::Overload;
        }
        let over_at = now + self.settings.timeout();
        let is_reliable = flow.transport.is_reliable();
        let merged = origin.is_some_and(|origin| self.origins.contains_key(&origin));
        let origin = origin.filter(|_| !merged);
        if let Some(origin) = origin {
            self.origins.insert(origin, key);
        }
        self.transactions.insert(
            key,
            Transaction {
                is_invite,
                is_reliable,
                response: None,
                again: None,
                is_confirmed: false,
                over_at,
                origin,
            },
        );
        self.ends.push_back((over_at, key));
        if merged {
            Verdict::Merged(key)
        } else {
            Verdict::New(key)
        }
    }

    /// Where the table is full, the oldest transaction ends before its timer J if it was answered T4 ago: nothing
    /// of it is in the network any more, and serving a new request is worth more than absorbing a late repetition.
    fn make_room(&mut self, now: Timestamp) -> bool {
        let answered_before = now + self.settings.timeout();
        while let Some(&(at, key)) = self.ends.front() {
            match self.transactions.get(&key).filter(|t| t.over_at == at) {
                Some(t) if t.response.is_none() || at + self.settings.t4 > answered_before => {
                    return false;
                }
                Some(_) => {
                    self.ends.pop_front();
                    self.end(&key);
                    return true;
                }
                // it has a later end, or none any more
                None => drop(self.ends.pop_front()),
            }
        }
        false
    }

    fn end(&mut self, key: &Key) {
        if let Some(origin) = self.transactions.swap_remove(key).and_then(|t| t.origin) {
            self.origins.swap_remove(&origin);
        }
    }

    /// An ACK ends the retransmission of the response it acknowledges.
    pub fn ack(&mut self, now: Timestamp, key: Key) -> Verdict {
        let known = self.transactions.get_mut(&key);
        // Nothing is acknowledged before it was answered, and the first ACK is the one that counts: a flood
        // of them neither keeps the transaction alive nor fills the queue.
        if let Some(invite) =
            known.filter(|t| t.is_invite && t.response.is_some() && !t.is_confirmed)
        {
            invite.is_confirmed = true;
            invite.again = None;
            // timer I: T4 over UDP, zero over a reliable transport
            invite.over_at = if invite.is_reliable {
                now
            } else {
                now + self.settings.t4
            };
            self.confirmed.push_back((invite.over_at, key));
        }
        Verdict::Ack
    }

    pub fn cancel(
        &mut self,
        now: Timestamp,
        key: Key,
        cancelled: [Key; 4],
        flow: &Flow,
    ) -> Verdict {
        let known = cancelled
            .iter()
            .any(|key| self.transactions.contains_key(key));
        match self.request(now, (key, None), flow, false) {
            Verdict::New(key) => Verdict::Cancel { key, known },
            other => other,
        }
    }

    pub fn respond(&mut self, now: Timestamp, key: Key, to: &Destination, bytes: Bytes) {
        let Some(transaction) = self.transactions.get_mut(&key) else {
            return;
        };
        if transaction.is_reliable && !transaction.is_invite {
            self.end(&key); // timer J is zero: nothing comes again
            return;
        }
        transaction.response = Some(bytes);
        transaction.over_at = now + self.settings.timeout();
        self.ends.push_back((transaction.over_at, key));
        if transaction.is_invite && !transaction.is_reliable {
            transaction.again = Some(Box::new((to.clone(), self.settings.t1)));
            self.repeats.insert((now + self.settings.t1, key)); // timer G
        }
    }

    pub fn next_deadline(&self) -> Option<Timestamp> {
        let ends = [
            self.ends.front(),
            self.confirmed.front(),
            self.repeats.first(),
        ];
        ends.into_iter().flatten().map(|&(at, _)| at).min()
    }

    pub fn on_deadline(&mut self, now: Timestamp, send: &mut dyn FnMut(Destination, Bytes)) {
        loop {
            let due = |(at, _): &mut (Timestamp, Key)| *at <= now;
            let next = self.ends.pop_front_if(due);
            let Some((_, key)) = next.or_else(|| self.confirmed.pop_front_if(due)) else {
                break;
            };
            let known = self.transactions.get(&key);
            if known.is_some_and(|t| t.over_at <= now) {
                self.end(&key);
            }
        }
        while let Some(&(at, key)) = self.repeats.first().filter(|&&(at, _)| at <= now) {
            self.repeats.remove(&(at, key));
            let Some(transaction) = self.transactions.get_mut(&key) else {
                continue;
            };
            let (Some(again), Some(response)) = (&mut transaction.again, &transaction.response)
            else {
                continue;
            };
            let (to, pause) = &mut **again;
            send(to.clone(), response.clone());
            *pause = Millis((pause.0 * 2).min(self.settings.t2.0));
            self.repeats.insert((now + *pause, key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::Transport;
    use std::net::SocketAddr;

    const KEY: Key = Key(1, 2);
    const OTHER: Key = Key(3, 4);
    const RESPONSE: Bytes = Bytes::from_static(b"SIP/2.0 405 Method Not Allowed");

    fn flow(transport: Transport) -> Flow {
        let end = SocketAddr::from(([10, 0, 0, 1], 5060));
        Flow {
            transport,
            local: end,
            remote: end,
            connection: 1,
        }
    }

    fn table() -> Table {
        Table::new(Settings::default(), RandomState::with_seeds(1, 2, 3, 4))
    }

    /// A table in which the request under `KEY` came at 0 and was answered at 100.
    fn answered(transport: Transport, is_invite: bool) -> Table {
        let mut table = table();
        let flow = flow(transport);
        assert_eq!(
            table.request(Timestamp(0), (KEY, None), &flow, is_invite),
            Verdict::New(KEY)
        );
        assert_eq!(
            table.request(Timestamp(1), (KEY, None), &flow, is_invite),
            Verdict::Again(None),
            "not answered yet"
        );
        table.respond(Timestamp(100), KEY, &Destination::Flow(flow), RESPONSE);
        table
    }

    /// Runs all timers; gives the instants of retransmissions and the one after which nothing is left.
    fn run(table: &mut Table) -> (Vec<u64>, Option<u64>) {
        let (mut sent, mut empty) = (Vec::new(), None);
        while let Some(at) = table.next_deadline() {
            table.on_deadline(at, &mut |_, bytes| {
                assert_eq!(bytes, RESPONSE);
                sent.push(at.0);
            });
            if table.len() == 0 {
                empty.get_or_insert(at.0);
            }
        }
        (sent, empty)
    }

    #[test]
    fn over_udp_a_request_that_comes_again_gets_the_same_octets_until_timer_j() {
        let mut table = answered(Transport::Udp, false);
        let again = Verdict::Again(Some(RESPONSE));
        assert_eq!(
            table.request(Timestamp(32_099), (KEY, None), &flow(Transport::Udp), false),
            again
        );
        table.on_deadline(Timestamp(32_099), &mut |_, _| {
            panic!("a non-INVITE answer is sent only on demand")
        });
        assert_eq!(table.len(), 1);
        table.on_deadline(Timestamp(32_100), &mut |_, _| {
            panic!("a non-INVITE answer is sent only on demand")
        });
        assert_eq!(table.len(), 0);
        assert_eq!(
            table.request(Timestamp(32_101), (KEY, None), &flow(Transport::Udp), false),
            Verdict::New(KEY)
        );
    }

    #[test]
    fn over_tcp_nothing_is_kept_after_the_answer() {
        assert_eq!(answered(Transport::Tcp, false).len(), 0);
    }

    #[test]
    fn a_request_that_is_never_answered_is_forgotten_after_64_t1() {
        let mut table = table();
        table.request(Timestamp(0), (KEY, None), &flow(Transport::Udp), false);
        assert_eq!(run(&mut table), (vec![], Some(32_000)));
    }

    #[test]
    fn a_refused_invite_is_repeated_until_its_ack() {
        let doubled = vec![
            600, 1600, 3600, 7600, 11_600, 15_600, 19_600, 23_600, 27_600, 31_600,
        ];
        assert_eq!(
            run(&mut answered(Transport::Udp, true)),
            (doubled, Some(32_100)),
            "timer H without ACK"
        );
        let mut table = answered(Transport::Udp, true);
        assert_eq!(table.ack(Timestamp(700), KEY), Verdict::Ack);
        assert_eq!(run(&mut table), (vec![], Some(5700)), "timer I after it");
        assert_eq!(
            run(&mut answered(Transport::Tcp, true)),
            (vec![], Some(32_100)),
            "TCP needs no repetition"
        );
        let mut table = answered(Transport::Tcp, true);
        table.ack(Timestamp(700), KEY);
        assert_eq!(run(&mut table), (vec![], Some(700)));
    }

    #[test]
    fn only_the_first_ack_of_an_answered_invite_counts() {
        let mut table = answered(Transport::Udp, true);
        for at in 700..800 {
            table.ack(Timestamp(at), KEY);
        }
        assert_eq!(table.confirmed.len(), 1);
        assert_eq!(run(&mut table), (vec![], Some(5700)));
        let mut early = super::tests::table();
        early.request(Timestamp(0), (KEY, None), &flow(Transport::Udp), true);
        early.ack(Timestamp(1), KEY);
        early.respond(
            Timestamp(100),
            KEY,
            &Destination::Flow(flow(Transport::Udp)),
            RESPONSE,
        );
        assert_eq!(
            run(&mut early).0.len(),
            10,
            "an ACK before the answer acknowledges nothing"
        );
        let mut other = answered(Transport::Udp, false);
        assert_eq!(
            (other.ack(Timestamp(1), OTHER), other.ack(Timestamp(1), KEY)),
            (Verdict::Ack, Verdict::Ack)
        );
        assert_eq!(other.confirmed.len(), 0, "only an INVITE is acknowledged");
    }

    #[test]
    fn a_cancel_is_a_transaction_that_knows_whether_it_hits() {
        for (case, meant, known) in [("known", KEY, true), ("unknown", Key(9, 9), false)] {
            let mut table = answered(Transport::Udp, false);
            let flow = flow(Transport::Udp);
            let meant = [Key(7, 7), Key(7, 8), Key(7, 9), meant];
            assert_eq!(
                table.cancel(Timestamp(200), OTHER, meant, &flow),
                Verdict::Cancel { key: OTHER, known },
                "{case}"
            );
            table.respond(Timestamp(200), OTHER, &Destination::Flow(flow), RESPONSE);
            assert_eq!(
                table.cancel(Timestamp(300), OTHER, meant, &flow),
                Verdict::Again(Some(RESPONSE)),
                "{case}"
            );
        }
    }

    #[test]
    fn beyond_the_limit_new_requests_are_turned_away_and_old_ones_still_answered() {
        let settings = Settings {
            max_transactions: 1,
            ..Settings::default()
        };
        let mut table = Table::new(settings, RandomState::with_seeds(1, 2, 3, 4));
        let flow = flow(Transport::Udp);
        assert_eq!(
            table.request(Timestamp(0), (KEY, None), &flow, false),
            Verdict::New(KEY)
        );
        assert_eq!(
            table.request(Timestamp(0), (OTHER, None), &flow, false),
            Verdict::Overload
        );
        assert_eq!(
            table.request(Timestamp(0), (KEY, None), &flow, false),
            Verdict::Again(None)
        );
    }

    #[test]
    fn a_request_that_comes_by_another_path_is_merged_while_the_first_transaction_lives() {
        const COPY: Key = Key(5, 6);
        let flow = flow(Transport::Udp);
        let origin = Some(Key(7, 8));
        let mut table = table();
        let mut ask = |at, key| {
            table.on_deadline(Timestamp(at), &mut |_, _| ());
            let verdict = table.request(Timestamp(at), (key, origin), &flow, false);
            table.respond(Timestamp(at), key, &Destination::Flow(flow), RESPONSE);
            verdict
        };
        assert_eq!(ask(0, KEY), Verdict::New(KEY));
        assert_eq!(ask(1, KEY), Verdict::Again(Some(RESPONSE)));
        assert_eq!(ask(2, OTHER), Verdict::Merged(OTHER));
        assert_eq!(ask(3, OTHER), Verdict::Again(Some(RESPONSE)));
        assert_eq!(
            ask(40_000, COPY),
            Verdict::New(COPY),
            "timer J has ended it"
        );
        assert_eq!((table.transactions.len(), table.origins.len()), (1, 1));
    }

    #[test]
    fn a_full_table_lets_go_what_was_answered_t4_ago_and_nothing_younger() {
        let settings = Settings {
            max_transactions: 2,
            ..Settings::default()
        };
        let mut table = Table::new(settings, RandomState::with_seeds(1, 2, 3, 4));
        let flow = flow(Transport::Udp);
        let mut ask = |at, number, answer| {
            let key = Key(number, 0);
            let verdict = table.request(Timestamp(at), (key, None), &flow, false);
            if answer && verdict == Verdict::New(key) {
                table.respond(Timestamp(at), key, &Destination::Flow(flow), RESPONSE);
            }
            verdict
        };
        assert_eq!(ask(0, 1, true), Verdict::New(Key(1, 0)));
        assert_eq!(ask(1000, 2, false), Verdict::New(Key(2, 0)));
        assert_eq!(ask(4999, 3, true), Verdict::Overload, "too young");
        assert_eq!(
            ask(5000, 3, true),
            Verdict::New(Key(3, 0)),
            "the first goes"
        );
        assert_eq!(ask(5001, 2, false), Verdict::Again(None), "never answered");
        assert_eq!(ask(20_000, 4, true), Verdict::Overload, "it stays");
        assert_eq!(table.len(), 2);
    }

    /// Target of the design: 0.6 KiB with a stored response of some 350 octets, so 250 for the rest.
    #[test]
    fn a_transaction_is_small() {
        let entry = size_of::<Transaction>() + 2 * size_of::<Key>() + size_of::<usize>();
        let queued =
            2 * size_of::<(Timestamp, Key)>() + 2 * size_of::<Key>() + 2 * size_of::<usize>();
        assert!(entry + queued <= 250, "{entry} + {queued}");
    }
}
