//! What is owed, as the store keeps it: the charge as it was asked for, and what is left to do about it.

use diameter::credit::Owed;
use diameter::credit::client::Kept;
use diameter::ro::FailureHandling;
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
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
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
}

/// The value of a record; `None` when nothing is owed. The event is in the form of charging records.
pub fn write(kept: &Kept, event: &[u8], ecf: &[String]) -> Option<Vec<u8>> {
    let debt = match kept.owed {
        Owed::Nothing => return None,
        Owed::Debit => Debt::Debit,
        Owed::Undo => Debt::Undo,
        Owed::Refund => Debt::Refund,
        Owed::Close {
            number,
            used,
            report,
        } => Debt::Close {
            number,
            used,
            report,
        },
        Owed::Open {
            number,
            used,
            report,
            failure,
            failover,
        } => Debt::Open {
            number,
            used,
            report,
            ccfh: match failure {
                FailureHandling::Terminate => 0,
                FailureHandling::Continue => 1,
                FailureHandling::RetryAndTerminate => 2,
            },
            failover,
        },
        Owed::Uncontrolled => Debt::Uncontrolled,
    };
    Some(encode(&Stored {
        debt,
        server: kept.server.clone(),
        event: event.to_vec(),
        ecf: ecf.to_vec(),
    }))
}

/// What a record says; `None` when it cannot be read.
pub fn read(value: &[u8]) -> Option<(Kept, Event, Vec<String>)> {
    let stored: Stored = decode(value)?;
    let owed = match stored.debt {
        Debt::Debit => Owed::Debit,
        Debt::Undo => Owed::Undo,
        Debt::Refund => Owed::Refund,
        Debt::Close {
            number,
            used,
            report,
        } => Owed::Close {
            number,
            used,
            report,
        },
        Debt::Open {
            number,
            used,
            report,
            ccfh,
            failover,
        } => Owed::Open {
            number,
            used,
            report,
            failure: match ccfh {
                1 => FailureHandling::Continue,
                2 => FailureHandling::RetryAndTerminate,
                _ => FailureHandling::Terminate,
            },
            failover,
        },
        Debt::Uncontrolled => Owed::Uncontrolled,
    };
    let server = stored.server;
    let event = record::read(&stored.event).ok()?;
    Some((Kept { owed, server }, event, stored.ecf))
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
            },
            Owed::Open {
                number: 1,
                used: 0,
                report: None,
                failure: FailureHandling::Continue,
                failover: false,
            },
            Owed::Uncontrolled,
        ] {
            let kept = Kept {
                owed,
                server: Some("ocs9.test".into()),
            };
            let value = write(&kept, &record::write(&event), &ecf).unwrap();
            assert_eq!(read(&value), Some((kept, event.clone(), ecf.clone())));
            for end in 0..value.len() {
                assert!(read(&value[..end]).is_none(), "cut at {end}");
            }
        }
        let nothing = Kept {
            owed: Owed::Nothing,
            server: None,
        };
        assert_eq!(write(&nothing, &record::write(&event), &[]), None);
    }
}
