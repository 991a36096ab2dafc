//! The ledger numbers the events, counts them by the hour, and writes each into the batch that makes its cause true.

use super::coalesce::{Coalescing, OpenRecords};
use super::{Booked, Chargeable, Event, NotifyPayer, Payers, Role, Triggers, record};
use crate::record::{Batch, Table, decode};
use crate::time::Timestamp;

/// Milliseconds of the intervals in which events are counted.
const HOUR: u64 = 3_600_000;

/// Numbers events and writes them.
#[derive(Debug)]
pub struct Ledger {
    triggers: Triggers,
    next: u64,
    /// The hour that is counted, and how many events it has. Hours never go back: a clock that does adds to the
    /// latest one.
    hour: u32,
    count: u32,
    open: OpenRecords,
    written: Vec<Event>,
    /// On whose account subscriptions go.
    pub payers: Payers,
}

impl Ledger {
    /// A ledger whose next event is numbered `next`: one above every number ever used in the store.
    pub fn new(triggers: Triggers, next: u64) -> Ledger {
        Ledger {
            triggers,
            next,
            hour: 0,
            count: 0,
            open: OpenRecords::default(),
            written: Vec::new(),
            payers: Payers::default(),
        }
    }

    /// The same with NOTIFYs on the account of `payer`.
    #[must_use]
    pub fn with_payer(self, payer: NotifyPayer) -> Ledger {
        Ledger {
            payers: Payers::new(payer),
            ..self
        }
    }

    /// Whether an event of this kind may be wanted; asks before the event is built. [`Ledger::write`] has the last
    /// word.
    pub fn wants(&self, method: Chargeable, status: u16) -> bool {
        self.triggers.may_charge(method, status)
    }

    /// Whether anything that happens in a subscription may be wanted.
    pub fn wants_subscriptions(&self) -> bool {
        let methods = [Chargeable::Subscribe, Chargeable::Notify];
        let wants = |method| self.wants(method, 200) || self.wants(method, 500);
        methods.into_iter().any(wants)
    }

    /// Commits the event with the batch if it is charged: by itself, or with others as one record later.
    pub fn write(&mut self, batch: &mut Batch, event: Event) {
        if !self.triggers.charge(&event) {
            return;
        }
        let is_told = event.method == Chargeable::Notify
            && event.role == Role::Originating
            && (200..300).contains(&event.status);
        match self.triggers.coalescing {
            Coalescing::Interval { length, open } if is_told => {
                if let Some(closed) = self.open.add(batch, &event, (length, open)) {
                    self.book(batch, closed);
                }
            }
            _ => self.book(batch, event),
        }
    }

    /// Writes the records whose interval is over.
    pub fn close_due(&mut self, batch: &mut Batch, now: Timestamp) {
        while let Some(event) = self.open.close_due(batch, now) {
            self.book(batch, event);
        }
    }

    /// When [`Ledger::close_due`] has something to do.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.open.next_deadline()
    }

    /// Records that still gather NOTIFYs.
    pub fn open_records(&self) -> usize {
        self.open.len()
    }

    fn book(&mut self, batch: &mut Batch, mut event: Event) {
        event.number = self.next;
        self.next += 1;
        let hour = u32::try_from(event.answered_at.0 / HOUR).unwrap_or(u32::MAX);
        if hour > self.hour {
            (self.hour, self.count) = (hour, 0);
        }
        event.booked = Booked {
            hour: self.hour,
            sequence: self.count,
            ..event.booked
        };
        self.count = self.count.saturating_add(1);
        let record = record::write(&event);
        batch.put_owned(Table::Charging, &Event::key(event.number), record);
        batch.put(
            Table::ChargingEmitted,
            &self.hour.to_be_bytes(),
            &self.count,
        );
        self.written.push(event);
    }

    /// The events written since the last call; they may be sent once their batch is committed.
    pub fn take(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.written)
    }

    /// Goes on above a number found in the store.
    pub fn skip_past(&mut self, number: u64) {
        self.next = self.next.max(number.saturating_add(1));
    }

    /// Goes on counting where the store says. `false`: that was no count.
    pub fn recover_count(&mut self, key: &[u8], value: &[u8]) -> bool {
        let (Ok(hour), Some(count)) = (<[u8; 4]>::try_from(key), decode::<u32>(value)) else {
            return false;
        };
        let hour = u32::from_be_bytes(hour);
        if hour >= self.hour {
            (self.hour, self.count) = (hour, count);
        }
        true
    }

    /// Takes up a record that gathered NOTIFYs. `false`: it is none.
    pub fn recover_open(&mut self, key: &[u8], value: &[u8]) -> bool {
        self.open.recover(key, value)
    }

    /// The number of the next event.
    pub fn next(&self) -> u64 {
        self.next
    }
}

#[cfg(test)]
mod tests;
