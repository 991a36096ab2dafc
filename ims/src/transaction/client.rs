//! Client transactions without INVITE (RFC 3261 §17.1.2): retransmission with timer E, end with timer F.
//!
//! Timer K is not kept: a response that comes again finds no transaction and is dropped, which is all that K is for.

use super::{Key, Settings};
use crate::sip::Destination;
use crate::time::{Millis, Timestamp};
use ahash::RandomState;
use bytes::Bytes;
use indexmap::IndexMap;
use std::collections::{BTreeSet, VecDeque};

/// What a deadline brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<U> {
    /// Send these bytes again.
    Retransmit { to: Destination, bytes: Bytes },
    /// Nobody answered within 64·T1.
    TimedOut { user: U },
}

#[derive(Debug)]
struct Transaction<U> {
    user: U,
    to: Destination,
    bytes: Bytes,
    /// Pause before the next retransmission; `None` over a reliable transport.
    pause: Option<Millis>,
    /// The next look at this transaction.
    look_at: Timestamp,
    /// End of timer F.
    over_at: Timestamp,
}

#[derive(Debug)]
pub(super) struct Table<U> {
    settings: Settings,
    transactions: IndexMap<Key, Transaction<U>, RandomState>,
    /// First looks, which are all the same time ahead: one queue for UDP (T1), one for reliable ones (64·T1).
    first: [VecDeque<(Timestamp, Key)>; 2],
    later: BTreeSet<(Timestamp, Key)>,
}

impl<U: Copy> Table<U> {
    pub fn new(settings: Settings, hash: RandomState) -> Table<U> {
        Table {
            settings,
            transactions: IndexMap::with_hasher(hash),
            first: [VecDeque::new(), VecDeque::new()],
            later: BTreeSet::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.transactions.len()
    }

    pub fn start(&mut self, now: Timestamp, key: Key, to: Destination, bytes: Bytes, user: U) {
        let reliable = to.transport().is_some_and(|t| t.is_reliable());
        let over_at = now + self.settings.timeout();
        let (pause, look_at) = if reliable {
            (None, over_at)
        } else {
            (Some(self.settings.t1), now + self.settings.t1)
        };
        self.first[usize::from(reliable)].push_back((look_at, key));
        self.transactions.insert(
            key,
            Transaction {
                user,
                to,
                bytes,
                pause,
                look_at,
                over_at,
            },
        );
    }

    /// A response for this transaction; a final one ends it.
    pub fn response(&mut self, now: Timestamp, key: Key, status: u16) -> Option<U> {
        if status >= 200 {
            let over = self.transactions.swap_remove(&key)?;
            self.later.remove(&(over.look_at, key));
            return Some(over.user);
        }
        // §17.1.2.2: in Proceeding timer E goes on with T2
        let transaction = self.transactions.get_mut(&key)?;
        if let Some(pause) = &mut transaction.pause {
            *pause = self.settings.t2;
            self.later.remove(&(transaction.look_at, key));
            transaction.look_at = (now + self.settings.t2).min(transaction.over_at);
            self.later.insert((transaction.look_at, key));
        }
        Some(transaction.user)
    }

    pub fn remove(&mut self, key: Key) -> Option<(U, Bytes, Destination)> {
        let over = self.transactions.swap_remove(&key)?;
        self.later.remove(&(over.look_at, key));
        Some((over.user, over.bytes, over.to))
    }

    pub fn next_deadline(&self) -> Option<Timestamp> {
        let first = self.first.iter().filter_map(VecDeque::front);
        first.chain(self.later.first()).map(|&(at, _)| at).min()
    }

    pub fn on_deadline(&mut self, now: Timestamp, events: &mut Vec<Event<U>>) {
        for queue in 0..self.first.len() {
            while let Some((at, key)) = self.first[queue].pop_front_if(|(at, _)| *at <= now) {
                self.look(now, at, key, events);
            }
        }
        while let Some(&(at, key)) = self.later.first().filter(|&&(at, _)| at <= now) {
            self.later.remove(&(at, key));
            self.look(now, at, key, events);
        }
    }

    fn look(&mut self, now: Timestamp, at: Timestamp, key: Key, events: &mut Vec<Event<U>>) {
        let Some(transaction) = self.transactions.get_mut(&key).filter(|t| t.look_at == at) else {
            return;
        };
        if transaction.over_at <= now {
            let user = transaction.user;
            self.transactions.swap_remove(&key);
            events.push(Event::TimedOut { user }); // timer F
            return;
        }
        let Some(pause) = &mut transaction.pause else {
            return;
        };
        events.push(Event::Retransmit {
            to: transaction.to.clone(),
            bytes: transaction.bytes.clone(),
        });
        *pause = Millis((pause.0 * 2).min(self.settings.t2.0)); // timer E doubles up to T2
        transaction.look_at = (now + *pause).min(transaction.over_at);
        self.later.insert((transaction.look_at, key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::Transport;

    const SETTINGS: Settings = Settings {
        t1: Millis(500),
        t2: Millis(4000),
        t4: Millis(5000),
        max_transactions: 10,
    };
    const KEY: Key = Key(1, 2);

    fn table(transport: Transport) -> Table<u8> {
        let mut table = Table::new(SETTINGS, RandomState::with_seeds(1, 2, 3, 4));
        let to = Destination::Host {
            host: "h".into(),
            port: None,
            transport: Some(transport),
        };
        table.start(Timestamp(0), KEY, to, Bytes::from_static(b"NOTIFY"), 7);
        table
    }

    /// Runs all timers; gives the instants of retransmissions and of the end.
    fn run(table: &mut Table<u8>) -> (Vec<u64>, Option<u64>) {
        let (mut sent, mut over) = (Vec::new(), None);
        while let Some(at) = table.next_deadline() {
            let mut events = Vec::new();
            table.on_deadline(at, &mut events);
            for event in events {
                match event {
                    Event::Retransmit { .. } => sent.push(at.0),
                    Event::TimedOut { .. } => over = Some(at.0),
                }
            }
        }
        (sent, over)
    }

    #[test]
    fn over_udp_a_request_is_sent_again_with_doubled_pauses_and_given_up_after_64_t1() {
        let (sent, over) = run(&mut table(Transport::Udp));
        assert_eq!(
            sent,
            [
                500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500
            ]
        );
        assert_eq!(over, Some(32_000));
    }

    #[test]
    fn over_tcp_a_request_is_sent_once_and_given_up_after_64_t1() {
        assert_eq!(run(&mut table(Transport::Tcp)), (vec![], Some(32_000)));
    }

    #[test]
    fn a_provisional_response_slows_timer_e_to_t2() {
        let mut table = table(Transport::Udp);
        assert_eq!(table.response(Timestamp(100), KEY, 100), Some(7));
        let (sent, over) = run(&mut table);
        assert_eq!(sent, [4100, 8100, 12100, 16100, 20100, 24100, 28100]);
        assert_eq!(over, Some(32_000));
    }

    #[test]
    fn the_first_final_response_ends_it_and_a_second_finds_nothing() {
        let mut table = table(Transport::Udp);
        assert_eq!(table.response(Timestamp(100), KEY, 200), Some(7));
        assert_eq!(table.response(Timestamp(101), KEY, 200), None);
        assert_eq!(run(&mut table), (vec![], None));
        assert_eq!(table.len(), 0);
    }
}
