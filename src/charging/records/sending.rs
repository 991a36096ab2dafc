//! The way of a record: read from the store, sent, answered, taken out of the store.

use super::Records;
use crate::charging::acr::RECORD_NUMBER;
use crate::charging::identifier;
use crate::charging::line::{Line, wall_clock};
use crate::charging::spool::{Fate, Sending};
use crate::telemetry::metrics::ChargingOutcome;
use diameter::Instant;
use diameter::fault::Class;
use diameter::message::Message;
use diameter::node::{Outcome, Request};
use diameter::rf::AccountingAnswer;
use diameter::route::PeerId;
use ims::charge::{Event, record};
use ims::record::Table;
use tracing::{debug, error, warn};

/// How long a record is put aside while a CDF that it names is being connected for the first time, in
/// milliseconds, again and again until that attempt has ended.
const NAMED_WAIT: u64 = 100;

/// Wait before the store is tried again after an error, in milliseconds.
pub(super) const STORE_WAIT: u64 = 1_000;

/// Records read from the store in one turn of the thread, so that those who wait for credit are not kept waiting.
const PAGE: usize = 256;

impl Records {
    /// Connects to the CDFs that an event names, if need be.
    pub(super) fn prepare(&self, line: &mut Line, event: &Event) {
        line.meet(self.named(event));
    }

    /// The CDFs that a record is for, if they are heeded.
    fn named<'a>(&self, event: &'a Event) -> &'a [String] {
        match self.use_ccf {
            true => &event.ccf,
            false => &[],
        }
    }

    /// Reads a page of records if there is room and there are any. Returns whether it did.
    pub(super) fn read_store(&mut self, line: &mut Line) -> bool {
        let now = line.now();
        if now < self.store_rest {
            return false;
        }
        let Some((from, room)) = self.spool.wants_read() else {
            return false;
        };
        let max = room.min(PAGE);
        let records = match self.reader.scan(Table::Charging, &Event::key(from), max) {
            Ok(records) => records,
            Err(error) => {
                error!(%error, "charging records cannot be read");
                self.store_rest = now.after(STORE_WAIT);
                self.spool.read_failed();
                return false;
            }
        };
        let full = records.len() == max;
        let (mut events, mut last) = (Vec::with_capacity(records.len()), None);
        for (key, value) in records {
            // A key of another length is none of ours; it stays for whoever put it there.
            let Ok(key) = <[u8; 8]>::try_from(key.as_slice()) else {
                continue;
            };
            let number = u64::from_be_bytes(key);
            last = Some(number);
            match record::read(&value).map(|event| (event.number == number).then_some(event)) {
                Ok(Some(event)) => events.push(event),
                damaged => {
                    let why = damaged.err().map(|why| why.to_string());
                    error!(
                        number,
                        why, "a charging record is damaged; it goes to quarantine"
                    );
                    self.metrics.charging(ChargingOutcome::Quarantined);
                    self.spool.unreadable(number, value, wall_clock());
                }
            }
        }
        for event in &events {
            self.prepare(line, event);
        }
        self.spool.read(events, last.filter(|_| full));
        true
    }

    pub(super) fn send(&mut self, line: &mut Line, sending: Sending) {
        let Sending {
            event,
            retransmitted,
            avoid,
        } = sending;
        let now = line.now();
        let (prefer, wait) = line.named(self.named(&event));
        if wait {
            return self.spool.postpone(event.number, now, NAMED_WAIT);
        }
        match self.sender.acr(&event, line.max_message()) {
            Ok(message) => {
                let request = Request {
                    ticket: event.number,
                    // the one it had, if it is sent again after a restart
                    end_to_end: identifier::of_record(event.number),
                    retransmitted,
                    through: None,
                    prefer,
                    avoid,
                    bound: None,
                    message,
                };
                line.request(request);
            }
            Err(too_long) => self.reject(
                now,
                event.number,
                None,
                0,
                String::new(),
                too_long.to_string(),
            ),
        }
    }

    /// A sending has ended.
    pub fn answered(&mut self, now: Instant, number: u64, peer: Option<PeerId>, outcome: Outcome) {
        let fate = match outcome {
            Outcome::Answer(bytes) => return self.judge(now, number, peer, &bytes),
            Outcome::Unreadable | Outcome::Unanswered => Fate::Unanswered,
            Outcome::NoPeer | Outcome::Full | Outcome::Spared => Fate::NotSent,
            Outcome::TooLong => {
                let reason = "longer than a message may be".to_owned();
                return self.reject(now, number, peer, 0, String::new(), reason);
            }
        };
        self.spool.ended(number, peer, fate, now, wall_clock());
    }

    /// What the answer to a record means for it.
    fn judge(&mut self, now: Instant, number: u64, peer: Option<PeerId>, bytes: &[u8]) {
        let message = Message::parse(bytes).ok();
        let answer = message.as_ref().and_then(AccountingAnswer::read);
        let session = self
            .spool
            .event(number)
            .map(|event| self.sender.session_id(event));
        let ours = answer
            .zip(session)
            .filter(|(answer, session)| answer.answers(session, RECORD_NUMBER));
        let fate = match ours {
            None => {
                warn!(
                    number,
                    "an accounting answer does not belong to its request; it counts as none"
                );
                Fate::Unanswered
            }
            Some((answer, _)) => match answer.result.class() {
                Class::Success => {
                    self.metrics.charging(ChargingOutcome::Acknowledged);
                    Fate::Acknowledged
                }
                Class::ProtocolError | Class::Transient => {
                    let (result, reason) = (answer.result.0, answer.error_message);
                    if self.spool.refusals() == 0 {
                        warn!(number, result, reason, "a CDF refuses records for now");
                    } else {
                        debug!(number, result, reason, "refused for now as well");
                    }
                    Fate::Refused
                }
                Class::Permanent => {
                    let text = |t: Option<&str>| t.unwrap_or_default().to_owned();
                    let (host, reason) = (text(answer.origin_host), text(answer.error_message));
                    return self.reject(now, number, peer, answer.result.0, host, reason);
                }
            },
        };
        self.spool.ended(number, peer, fate, now, wall_clock());
    }

    fn reject(
        &mut self,
        now: Instant,
        number: u64,
        id: Option<PeerId>,
        result: u32,
        peer: String,
        reason: String,
    ) {
        error!(
            number,
            result, peer, reason, "a charging record was refused for good; it goes to quarantine"
        );
        self.metrics.charging(ChargingOutcome::Quarantined);
        let fate = Fate::Rejected {
            result,
            peer,
            reason,
        };
        self.spool.ended(number, id, fate, now, wall_clock());
    }
}
