//! The watchdog of one connection (RFC 3539 Appendix A, with DWR and DWA as RFC 6733 §5.5 asks).
//!
//! Its table stands beside the arms. Two rows are elsewhere: opening and reopening (`AttemptOpen`) follow the
//! reconnect backoff of [`crate::association`], and a connection that a DPR ended in good order is forgotten, since
//! REOPEN is the remedy for links that break.

/// What is believed of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Never opened.
    Initial,
    /// Up: requests may be sent.
    Okay,
    /// Silent for two intervals: requests go elsewhere until it says something.
    Suspect,
    /// Closed.
    Down,
    /// Open again after it had broken: used once it has answered three DWRs.
    Reopen,
}

/// Status with the variables of the algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watchdog {
    pub status: Status,
    /// A DWR has not been answered.
    pending: bool,
    /// DWAs received in REOPEN; -1 after one was missed.
    answers: i8,
}

/// What happened on the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Answer,
    OtherMessage,
    TimerElapsed,
    ConnectionUp,
    ConnectionDown,
}

/// What is to be done besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    SendWatchdog,
    /// Tw again, with its jitter.
    SetWatchdog,
    /// Resend elsewhere what is unanswered.
    FailOver,
    CloseConnection,
}

impl Watchdog {
    pub const INITIAL: Watchdog = Watchdog {
        status: Status::Initial,
        pending: false,
        answers: 0,
    };

    /// Whether a DWR is under way.
    pub fn awaits_answer(self) -> bool {
        self.pending
    }

    /// One row of the table. Failback needs no action: the choice of peer looks at the status each time.
    #[must_use]
    pub fn step(self, event: Event) -> (Watchdog, &'static [Action]) {
        use Action::*;
        use Event::*;
        use Status::*;
        let pending = self.pending && event != Answer;
        let to = |status| Watchdog {
            status,
            pending,
            answers: self.answers,
        };
        match (self.status, event) {
            (Okay | Suspect, Answer | OtherMessage) => (to(Okay), &[SetWatchdog]),
            (Reopen, Answer) => {
                let answers = self.answers + 1;
                let status = if answers >= 3 { Okay } else { Reopen };
                (
                    Watchdog {
                        status,
                        pending,
                        answers,
                    },
                    &[],
                )
            }
            (Reopen, OtherMessage) => (to(Reopen), &[]),
            (Initial | Down, Answer | OtherMessage | TimerElapsed) => (to(self.status), &[]),

            (Okay | Reopen, TimerElapsed) if !self.pending => (
                Watchdog {
                    pending: true,
                    ..self
                },
                &[SendWatchdog, SetWatchdog],
            ),
            (Okay, TimerElapsed) => (to(Suspect), &[FailOver, SetWatchdog]),
            (Suspect, TimerElapsed) => (to(Down), &[CloseConnection]),
            (Reopen, TimerElapsed) if self.answers < 0 => (to(Down), &[CloseConnection]),
            (Reopen, TimerElapsed) => (
                Watchdog {
                    answers: -1,
                    ..self
                },
                &[SetWatchdog],
            ),

            (Initial, ConnectionUp) => (
                Watchdog {
                    status: Okay,
                    pending: false,
                    answers: 0,
                },
                &[SetWatchdog],
            ),
            (Down, ConnectionUp) => (
                Watchdog {
                    status: Reopen,
                    pending: true,
                    answers: 0,
                },
                &[SendWatchdog, SetWatchdog],
            ),
            (Okay | Suspect | Reopen, ConnectionUp) => (self, &[]), // there is one connection a peer

            (Initial, ConnectionDown) => (self, &[]), // an attempt that failed: still never opened
            (Okay, ConnectionDown) => (to(Down), &[FailOver]),
            (Suspect | Reopen | Down, ConnectionDown) => (to(Down), &[]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Action::*;
    use super::Event::*;
    use super::Status::*;
    use super::*;

    fn at(status: Status, pending: bool, answers: i8) -> Watchdog {
        Watchdog {
            status,
            pending,
            answers,
        }
    }

    #[test]
    fn the_table_of_rfc_3539() {
        let rows: &[(Watchdog, Event, &[Action], Watchdog)] = &[
            (
                at(Okay, true, 0),
                Answer,
                &[SetWatchdog],
                at(Okay, false, 0),
            ),
            (
                at(Okay, true, 0),
                OtherMessage,
                &[SetWatchdog],
                at(Okay, true, 0),
            ),
            (
                at(Suspect, true, 0),
                Answer,
                &[SetWatchdog],
                at(Okay, false, 0),
            ),
            (
                at(Suspect, true, 0),
                OtherMessage,
                &[SetWatchdog],
                at(Okay, true, 0),
            ),
            (at(Reopen, true, 2), Answer, &[], at(Okay, false, 3)),
            (at(Reopen, true, 1), Answer, &[], at(Reopen, false, 2)),
            (at(Reopen, true, -1), Answer, &[], at(Reopen, false, 0)),
            (at(Reopen, true, 1), OtherMessage, &[], at(Reopen, true, 1)),
            (
                at(Initial, false, 0),
                OtherMessage,
                &[],
                at(Initial, false, 0),
            ),
            (at(Down, true, 0), Answer, &[], at(Down, false, 0)),
            (
                at(Okay, false, 0),
                TimerElapsed,
                &[SendWatchdog, SetWatchdog],
                at(Okay, true, 0),
            ),
            (
                at(Okay, true, 0),
                TimerElapsed,
                &[FailOver, SetWatchdog],
                at(Suspect, true, 0),
            ),
            (
                at(Suspect, true, 0),
                TimerElapsed,
                &[CloseConnection],
                at(Down, true, 0),
            ),
            (
                at(Reopen, false, 1),
                TimerElapsed,
                &[SendWatchdog, SetWatchdog],
                at(Reopen, true, 1),
            ),
            (
                at(Reopen, true, -1),
                TimerElapsed,
                &[CloseConnection],
                at(Down, true, -1),
            ),
            (
                at(Reopen, true, 0),
                TimerElapsed,
                &[SetWatchdog],
                at(Reopen, true, -1),
            ),
            (
                at(Initial, false, 0),
                ConnectionUp,
                &[SetWatchdog],
                at(Okay, false, 0),
            ),
            (
                at(Down, false, 0),
                ConnectionUp,
                &[SendWatchdog, SetWatchdog],
                at(Reopen, true, 0),
            ),
            (
                at(Okay, false, 0),
                ConnectionDown,
                &[FailOver],
                at(Down, false, 0),
            ),
            (at(Suspect, true, 0), ConnectionDown, &[], at(Down, true, 0)),
            (at(Reopen, true, 1), ConnectionDown, &[], at(Down, true, 1)),
            (
                at(Initial, false, 0),
                ConnectionDown,
                &[],
                at(Initial, false, 0),
            ),
        ];
        for (before, event, actions, after) in rows {
            assert_eq!(
                before.step(*event),
                (*after, *actions),
                "{before:?} {event:?}"
            );
        }
    }
}
