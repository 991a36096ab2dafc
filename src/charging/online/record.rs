//! What is owed, as the store keeps it: the charge as it was asked for, and what is left to do about it.

use super::trail::Fate;
use crate::charging::unpaid::Loss;
use diameter::credit::client::{Given, Kept};
use diameter::credit::{Owed, Terms};
use diameter::ro::{FailureHandling, Measure, Reason};
use ims::charge::{Event, record};
use ims::record::{decode, encode};
use serde::{Deserialize, Serialize};

/// A record of [`Table::Credit`](ims::record::Table::Credit).
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    debt: Debt,
    /// Origin-Host of the server that holds the session.
    server: Option<String>,
    /// The event in the form of charging records, which says its own version.
    event: Vec<u8>,
    ecf: Vec<String>,
}

/// [`Owed`] on disk: variants are numbered, so new ones go last.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Debt {
    Debit,
    Undo,
    Refund,
    Close {
        number: u32,
        used: u64,
        report: Option<(u32, u64)>,
    },
    Open {
        number: u32,
        used: u64,
        report: Option<(u32, u64)>,
        /// By its number on the wire (RFC 8506 §8.14).
        ccfh: u8,
        failover: bool,
    },
    Uncontrolled,
    /// Of a charge whose first session this may not be.
    Session {
        renewals: u32,
        /// The last grant, where units are counted.
        quota: Option<u64>,
        debt: SessionDebt,
    },
    /// The service was given and no OCS will take this: it goes on the list of what is unpaid.
    Unpaid(Loss),
    /// Nothing is owed, and the charging thread has yet to say so and forget it. Of a version without accounts of this.
    Settled,
    /// The same, and how it ended.
    Over(Over),
    /// [`Debt::Session`] of which more has to be known.
    Told {
        renewals: u32,
        quota: Option<u64>,
        /// Units are seconds.
        seconds: bool,
        /// When they began to run, in milliseconds since 1970.
        since: Option<u64>,
        /// Reporting-Reason of `report`, by its number on the wire.
        reason: Option<u8>,
        debt: SessionDebt,
    },
}

/// How a charge ended of which nothing is owed any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Over {
    pub fate: Fate,
    /// The OCS of the configuration that answered last.
    pub ocs: String,
    /// Units that it has debited, and that no batch has counted.
    pub units: u64,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum SessionDebt {
    Close {
        number: u32,
        used: u64,
        report: Option<(u32, u64)>,
    },
    Open {
        number: u32,
        used: u64,
        report: Option<(u32, u64)>,
        ccfh: u8,
        failover: bool,
    },
    Free,
    Given {
        used: u64,
    },
}

fn ccfh(failure: FailureHandling) -> u8 {
    match failure {
        FailureHandling::Terminate => 0,
        FailureHandling::Continue => 1,
        FailureHandling::RetryAndTerminate => 2,
    }
}

fn failure(ccfh: u8) -> FailureHandling {
    match ccfh {
        1 => FailureHandling::Continue,
        2 => FailureHandling::RetryAndTerminate,
        _ => FailureHandling::Terminate,
    }
}

/// What a record leaves to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Left {
    Owed(Kept),
    Unpaid(Loss),
}

/// The value that goes with the batch that gives the service; `None` when nothing is left to be done.
pub fn given(given: &Given, event: &[u8], ecf: &[String]) -> Option<Vec<u8>> {
    let Given { kept, unsettled } = given;
    let loss = unsettled
        .as_ref()
        .and_then(|(owed, said)| Loss::of(owed, said.as_ref()));
    let Some(loss) = loss else {
        return write(kept, event, ecf);
    };
    Some(encode(&Stored {
        debt: Debt::Unpaid(loss),
        server: kept.server.clone(),
        event: event.to_vec(),
        ecf: ecf.to_vec(),
    }))
}

/// The value of a record that owes nothing while its charge is not over.
pub fn over(over: Over) -> Vec<u8> {
    encode(&Stored {
        debt: Debt::Over(over),
        server: None,
        event: Vec::new(),
        ecf: Vec::new(),
    })
}

/// How the charge of a record ended that owes nothing; `None` for one that does.
pub fn is_over(value: &[u8]) -> Option<Over> {
    match decode::<Stored>(value)?.debt {
        Debt::Over(over) => Some(over),
        Debt::Settled => Some(Over {
            fate: Fate::Given,
            ocs: String::new(),
            units: 0,
        }),
        _ => None,
    }
}

/// The value of a record; `None` when nothing is owed. The event is in the form of charging records.
pub fn write(kept: &Kept, event: &[u8], ecf: &[String]) -> Option<Vec<u8>> {
    let Kept {
        renewals, terms, ..
    } = *kept;
    let is_plain = terms == Terms::default();
    let session = |quota, debt| match is_plain {
        true => Debt::Session {
            renewals,
            quota,
            debt,
        },
        false => Debt::Told {
            renewals,
            quota,
            seconds: terms.measure == Measure::Seconds,
            since: None,
            reason: terms.reason.and_then(|why| why.code().try_into().ok()),
            debt,
        },
    };
    let debt = match kept.owed {
        Owed::Nothing => return None,
        Owed::Debit => Debt::Debit,
        Owed::Undo => Debt::Undo,
        Owed::Refund => Debt::Refund,
        Owed::Close {
            number,
            used,
            report,
        } if renewals == 0 && is_plain => Debt::Close {
            number,
            used,
            report,
        },
        Owed::Close {
            number,
            used,
            report,
        } => session(
            None,
            SessionDebt::Close {
                number,
                used,
                report,
            },
        ),
        Owed::Open {
            number,
            used,
            report,
            failure,
            failover,
            quota,
        } => session(
            quota,
            SessionDebt::Open {
                number,
                used,
                report,
                ccfh: ccfh(failure),
                failover,
            },
        ),
        Owed::Uncontrolled => session(None, SessionDebt::Free),
        Owed::Given { used } => session(None, SessionDebt::Given { used }),
    };
    Some(encode(&Stored {
        debt,
        server: kept.server.clone(),
        event: event.to_vec(),
        ecf: ecf.to_vec(),
    }))
}

/// What a record says; `None` when it cannot be read.
pub fn read(value: &[u8]) -> Option<(Left, Event, Vec<String>)> {
    let stored: Stored = decode(value)?;
    let event = record::read(&stored.event).ok()?;
    let mut terms = Terms::default();
    let (renewals, owed) = match stored.debt {
        Debt::Debit => (0, Owed::Debit),
        Debt::Undo => (0, Owed::Undo),
        Debt::Refund => (0, Owed::Refund),
        Debt::Uncontrolled => (0, Owed::Uncontrolled),
        Debt::Close {
            number,
            used,
            report,
        } => (
            0,
            of_session(
                None,
                SessionDebt::Close {
                    number,
                    used,
                    report,
                },
            ),
        ),
        Debt::Open {
            number,
            used,
            report,
            ccfh,
            failover,
        } => (
            0,
            of_session(
                None,
                SessionDebt::Open {
                    number,
                    used,
                    report,
                    ccfh,
                    failover,
                },
            ),
        ),
        Debt::Session {
            renewals,
            quota,
            debt,
        } => (renewals, of_session(quota, debt)),
        Debt::Told {
            renewals,
            quota,
            seconds,
            reason,
            debt,
            ..
        } => {
            if seconds {
                terms.measure = Measure::Seconds;
            }
            terms.reason = reason.and_then(|code| Reason::read(code.into()));
            (renewals, of_session(quota, debt))
        }
        Debt::Settled | Debt::Over(_) => return None,
        Debt::Unpaid(loss) => return Some((Left::Unpaid(loss), event, stored.ecf)),
    };
    let kept = Kept {
        owed,
        server: stored.server,
        renewals,
        terms,
    };
    Some((Left::Owed(kept), event, stored.ecf))
}

fn of_session(quota: Option<u64>, debt: SessionDebt) -> Owed {
    match debt {
        SessionDebt::Close {
            number,
            used,
            report,
        } => Owed::Close {
            number,
            used,
            report,
        },
        SessionDebt::Open {
            number,
            used,
            report,
            ccfh,
            failover,
        } => Owed::Open {
            number,
            used,
            report,
            failure: failure(ccfh),
            failover,
            quota,
        },
        SessionDebt::Free => Owed::Uncontrolled,
        SessionDebt::Given { used } => Owed::Given { used },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charging::acr;

    #[test]
    fn what_is_owed_comes_back_from_the_store() {
        let event = acr::tests::full(7);
        let ecf = vec!["ocs1".to_owned()];
        for owed in [
            Owed::Debit,
            Owed::Undo,
            Owed::Refund,
            Owed::Close {
                number: 2,
                used: 1,
                report: Some((1, 3)),
            },
            Owed::Open {
                number: 900,
                used: 7,
                report: Some((899, 10)),
                failure: FailureHandling::RetryAndTerminate,
                failover: true,
                quota: Some(40),
            },
            Owed::Open {
                number: 1,
                used: 0,
                report: None,
                failure: FailureHandling::Continue,
                failover: false,
                quota: None,
            },
            Owed::Uncontrolled,
            Owed::Given { used: 3 },
        ] {
            let of_event = matches!(owed, Owed::Debit | Owed::Undo | Owed::Refund);
            for renewals in if of_event { 0..1 } else { 0..3 } {
                let told = Terms {
                    measure: Measure::Seconds,
                    reason: Some(Reason::HoldingTime),
                };
                for terms in [Terms::default(), told] {
                    if of_event && terms == told {
                        continue;
                    }
                    let kept = Kept {
                        owed,
                        server: Some("ocs9.test".into()),
                        renewals,
                        terms,
                    };
                    let value = write(&kept, &record::write(&event), &ecf).unwrap();
                    let left = Left::Owed(kept);
                    assert_eq!(read(&value), Some((left, event.clone(), ecf.clone())));
                    for end in 0..value.len() {
                        assert!(read(&value[..end]).is_none(), "cut at {end}");
                    }
                }
            }
        }
        let nothing = Kept {
            owed: Owed::Nothing,
            server: None,
            renewals: 0,
            terms: Terms::default(),
        };
        assert_eq!(write(&nothing, &record::write(&event), &[]), None);
        let ended = Over {
            fate: Fate::Free,
            ocs: "ocs9.test".into(),
            units: 2,
        };
        let value = over(ended.clone());
        assert!(read(&value).is_none());
        assert_eq!(is_over(&value), Some(ended));
        let unsettled = Some((Owed::Debit, None));
        let unpaid = Given {
            kept: nothing,
            unsettled,
        };
        let value = given(&unpaid, &record::write(&event), &ecf).unwrap();
        let loss = Loss::of(&Owed::Debit, None).unwrap();
        assert_eq!(read(&value), Some((Left::Unpaid(loss), event, ecf)));
    }

    #[test]
    fn a_charge_that_a_version_without_accounts_has_settled_was_given() {
        let value = encode(&Stored {
            debt: Debt::Settled,
            server: None,
            event: Vec::new(),
            ecf: Vec::new(),
        });
        assert_eq!(is_over(&value).map(|over| over.fate), Some(Fate::Given));
    }

    /// The forms that were written before sessions could be opened again.
    #[test]
    fn what_an_older_version_stored_is_still_read() {
        let event = acr::tests::full(7);
        let report = Some((3, 5));
        for (debt, owed) in [
            (
                Debt::Open {
                    number: 4,
                    used: 1,
                    report,
                    ccfh: 1,
                    failover: true,
                },
                Owed::Open {
                    number: 4,
                    used: 1,
                    report,
                    failure: FailureHandling::Continue,
                    failover: true,
                    quota: None,
                },
            ),
            (
                Debt::Close {
                    number: 4,
                    used: 1,
                    report,
                },
                Owed::Close {
                    number: 4,
                    used: 1,
                    report,
                },
            ),
            (Debt::Uncontrolled, Owed::Uncontrolled),
        ] {
            let value = encode(&Stored {
                debt,
                server: None,
                event: record::write(&event),
                ecf: Vec::new(),
            });
            let Some((Left::Owed(kept), ..)) = read(&value) else {
                panic!("{owed:?}");
            };
            assert_eq!((kept.owed, kept.renewals), (owed, 0));
        }
    }
}
