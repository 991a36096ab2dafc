//! Overload of a peer, as it says in its answers (RFC 7683): the loss algorithm, for the side that reacts.
//!
//! A report holds for the peer whose answer carried it, and for everything of the answer's application that is sent
//! there: most requests do not name hosts, so a host report and a realm report come to the same here (§5.2.1.2).

use crate::Instant;
use crate::dictionary::*;
use crate::message::Message;
use crate::write::Writer;

/// The default algorithm, the only one (§7.2): OLR_DEFAULT_ALGO.
const LOSS: u64 = 1;
/// OC-Validity-Duration when a report has none, in seconds (§7.5).
const VALIDITY: u32 = 30;
/// Longest OC-Validity-Duration, in seconds (§7.5); a longer one is a wrong one and is taken as absent.
const VALIDITY_MAX: u32 = 86_400;

/// Says that we heed overload reports (§5.1.1): in every request.
pub(crate) fn offer(writer: &mut Writer) {
    writer.group(&OC_SUPPORTED_FEATURES, |w| {
        w.u64(&OC_FEATURE_VECTOR, LOSS);
    });
}

/// What a peer wants spared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overload {
    sequence: u64,
    /// How many of a hundred requests are to go elsewhere, or to wait.
    percent: u32,
    until: Instant,
}

impl Overload {
    /// Reads the report of an answer. `None`: it has none, or none that is of use.
    fn read(answer: &Message<'_>, now: Instant) -> Option<Overload> {
        let report = answer.find(&OC_OLR)?.group();
        let sequence = report.find_def(&OC_SEQUENCE_NUMBER)?.u64()?;
        let number = |def| report.find_def(def).and_then(|avp| avp.u32());
        let validity = number(&OC_VALIDITY_DURATION)
            .filter(|seconds| *seconds <= VALIDITY_MAX)
            .unwrap_or(VALIDITY);
        // §7.7: "values greater than 100 are interpreted as 100"
        let percent = number(&OC_REDUCTION_PERCENTAGE).unwrap_or(0).min(100);
        Some(Overload {
            sequence,
            percent,
            until: now.after(u64::from(validity) * 1_000),
        })
    }

    /// What holds after an answer. §5.2.1.2: a report with a sequence number that is not above the known one is a
    /// repetition; one with validity 0 or no reduction ends the condition.
    pub fn after(known: Option<Overload>, answer: &Message<'_>, now: Instant) -> Option<Overload> {
        let known = known.filter(|overload| overload.until > now);
        match (Overload::read(answer, now), known) {
            (Some(new), Some(old)) if new.sequence <= old.sequence => Some(old),
            (Some(new), _) => Some(new).filter(|new| new.until > now),
            (None, old) => old,
        }
    }

    /// Whether this request is one of those to be spared; `dice` is any number at random.
    pub fn spares(&self, now: Instant, dice: u32) -> bool {
        self.until > now && dice % 100 < self.percent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::ResultCode;

    fn answer(fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let request = Writer::request(CMD_ACCOUNTING, APP_ACCOUNTING)
            .finish(100)
            .unwrap();
        let header = Message::parse(&request).unwrap().header;
        let mut w = Writer::answer(&header, ResultCode::SUCCESS);
        w.group(&OC_OLR, fill);
        w.finish(1_000).unwrap()
    }

    fn report(sequence: u64, percent: u32, validity: u32) -> Vec<u8> {
        answer(|w| {
            w.u64(&OC_SEQUENCE_NUMBER, sequence)
                .i32(&OC_REPORT_TYPE, 0)
                .u32(&OC_REDUCTION_PERCENTAGE, percent)
                .u32(&OC_VALIDITY_DURATION, validity);
        })
    }

    fn after(known: Option<Overload>, bytes: &[u8], now: u64) -> Option<Overload> {
        Overload::after(known, &Message::parse(bytes).unwrap(), Instant(now))
    }

    #[test]
    fn a_report_holds_until_it_expires_or_a_newer_one_replaces_it() {
        let first = after(None, &report(1, 40, 10), 0);
        let overload = first.unwrap();
        assert_eq!((overload.percent, overload.until), (40, Instant(10_000)));
        assert_eq!(after(first, &report(1, 90, 99), 5), first, "a repetition");
        let newer = after(first, &report(2, 90, 10), 5).unwrap();
        assert_eq!(newer.percent, 90);
        assert_eq!(after(first, &report(3, 40, 0), 5), None, "it is over");
        let expired = after(first, &report(1, 50, 10), 10_000).unwrap();
        assert_eq!(expired.percent, 50, "what expired is forgotten");
    }

    #[test]
    fn values_out_of_range_are_read_as_the_rfc_says() {
        let above = after(None, &report(1, 250, 100_000), 0).unwrap();
        assert_eq!((above.percent, above.until), (100, Instant(30_000)));
        assert_eq!(after(None, &answer(|_| {}), 0), None, "no sequence number");
    }

    #[test]
    fn as_many_requests_are_spared_as_the_peer_asks() {
        let overload = after(None, &report(1, 25, 10), 0).unwrap();
        let spared = |now| (0..100).filter(|d| overload.spares(now, *d)).count();
        assert_eq!(spared(Instant(0)), 25);
        assert_eq!(spared(Instant(10_000)), 0);
    }
}
