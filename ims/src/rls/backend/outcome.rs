//! What the end of a back-end subscription means: for the watcher, and for the next attempt.

use crate::event::subscriber::{Answer, Ended};
use crate::event::subscription::End;
use crate::sip::header::subscription_state::SubscriptionState;
use crate::time::{Millis, Seconds};

/// Why a back-end subscription is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The notifier lost it and would take a new one at once.
    Again,
    /// It cannot be had now; perhaps a pause was named.
    Later(Option<Seconds>),
    /// The notifier waited too long for a decision.
    GaveUp(Option<Seconds>),
    /// It will not be had.
    Refused(End),
}

impl Verdict {
    /// Of the final response to a SUBSCRIBE, 408 for none, that ended the subscription or kept it from beginning.
    pub fn of_answer(answer: &Answer) -> Verdict {
        match answer.status {
            // RFC 6665 §4.1.2.1: the usage is gone, or was granted for no time
            200..=299 | 481 => Verdict::Again,
            // whom the network has proven to be somebody is not let in
            401 | 403 | 407 | 433 | 603 | 607 => Verdict::Refused(End::Rejected),
            // nobody there (404, 410, 604), nobody there under this name (301, 302, 484, 485: another address is not
            // followed, since whoever answers could send us anywhere), or somebody without such state
            300..=399 | 404 | 405 | 410 | 414 | 416 | 484 | 485 | 489 | 501 | 604 => {
                Verdict::Refused(End::NoResource)
            }
            // asked in a way that this server does not take: a list where none is allowed (421), another type or
            // lifetime (406, 415, 423), an extension (420); or the way leads back (482, 483)
            400 | 402 | 406 | 413 | 415 | 420 | 421 | 423 | 482 | 483 | 488 | 493 | 505 | 513
            | 606 => Verdict::Refused(End::NoResource),
            // 408, 480, 486, 5xx, 600: now and not for ever
            _ => Verdict::Later(answer.retry_after),
        }
    }

    /// Of the last NOTIFY (RFC 6665 §4.1.3).
    pub fn of_state(state: &SubscriptionState<'_>) -> Verdict {
        match state.reason {
            Some("deactivated" | "timeout") => Verdict::Again,
            Some("rejected") => Verdict::Refused(End::Rejected),
            Some("noresource" | "invariant") => Verdict::Refused(End::NoResource),
            Some("giveup") => Verdict::GaveUp(state.retry_after),
            // probation, none, or one that we do not know
            _ => Verdict::Later(state.retry_after),
        }
    }

    /// Of a deadline.
    pub fn of_deadline(ended: Ended) -> Verdict {
        match ended {
            Ended::Again => Verdict::Again,
            Ended::Later(wanted) => Verdict::Later(wanted),
            Ended::Refused(_) => Verdict::Refused(End::NoResource),
            Ended::Done => Verdict::Later(None),
        }
    }

    /// What the back-off makes of it.
    pub fn ended(self) -> Ended {
        match self {
            Verdict::Again => Ended::Again,
            Verdict::Later(wanted) | Verdict::GaveUp(wanted) => Ended::Later(wanted),
            Verdict::Refused(_) => Ended::Refused(0),
        }
    }

    /// What the watcher is told, when the next attempt is after this pause.
    pub fn end(self, pause: Option<Millis>) -> End {
        match (self, pause) {
            (Verdict::Refused(end), _) => end,
            // RFC 4662 §4.5: a resource that will be tried again stays on the list as `probation`
            (Verdict::Again | Verdict::Later(_), Some(pause)) => End::Probation {
                retry_after: Seconds(u32::try_from(pause.0.div_ceil(1000)).unwrap_or(u32::MAX)),
            },
            (Verdict::GaveUp(_), _) | (_, None) => End::GaveUp,
        }
    }

    /// What the watcher is told where others of the resource's notifiers go on: this one is not asked again alone.
    pub fn end_of_one(self) -> End {
        match self {
            Verdict::Refused(end) => end,
            Verdict::Again => End::Timeout,
            Verdict::Later(_) | Verdict::GaveUp(_) => End::GaveUp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_has_its_meaning() {
        let rejected = Verdict::Refused(End::Rejected);
        let nobody = Verdict::Refused(End::NoResource);
        for (verdict, statuses) in [
            (rejected, &[401, 403, 407, 603][..]),
            (
                nobody,
                &[
                    301, 302, 404, 405, 410, 420, 421, 423, 482, 483, 489, 501, 604,
                ],
            ),
            (Verdict::Again, &[200, 481]),
            (
                Verdict::Later(None),
                &[408, 480, 486, 499, 500, 502, 503, 504, 580, 600],
            ),
        ] {
            for &status in statuses {
                let answer = Answer {
                    status,
                    ..Answer::default()
                };
                assert_eq!(Verdict::of_answer(&answer), verdict, "{status}");
            }
        }
        let busy = Answer {
            status: 503,
            retry_after: Some(Seconds(9)),
            ..Answer::default()
        };
        assert_eq!(Verdict::of_answer(&busy), Verdict::Later(Some(Seconds(9))));
    }

    #[test]
    fn each_last_notify_has_its_meaning_and_its_reason_in_rlmi() {
        let pause = Some(Millis(29_500));
        for (text, verdict, reason) in [
            ("terminated;reason=deactivated", Verdict::Again, "probation"),
            ("terminated;reason=timeout", Verdict::Again, "probation"),
            (
                "terminated;reason=probation;retry-after=7",
                Verdict::Later(Some(Seconds(7))),
                "probation",
            ),
            ("terminated", Verdict::Later(None), "probation"),
            ("terminated;reason=new", Verdict::Later(None), "probation"),
            ("terminated;reason=giveup", Verdict::GaveUp(None), "giveup"),
            (
                "terminated;reason=rejected",
                Verdict::Refused(End::Rejected),
                "rejected",
            ),
            (
                "terminated;reason=noresource",
                Verdict::Refused(End::NoResource),
                "noresource",
            ),
            (
                "terminated;reason=invariant",
                Verdict::Refused(End::NoResource),
                "noresource",
            ),
        ] {
            let state = SubscriptionState::parse(text).unwrap();
            assert_eq!(Verdict::of_state(&state), verdict, "{text}");
            assert_eq!(verdict.end(pause).reason(), Some(reason), "{text}");
        }
        let soon = Verdict::Later(None).end(pause);
        assert_eq!(soon.retry_after(), Some(Seconds(30)));
        assert_eq!(
            Verdict::Later(None).end(None),
            End::GaveUp,
            "no more attempts"
        );
    }
}
