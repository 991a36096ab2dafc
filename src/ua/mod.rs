//! A SIP user agent and an HTTP client for the commands that use a presence service from outside: the Presence
//! Source, the Watcher and the XDMC of the architecture document.
//!
//! [`Agent`] owns the sockets and the transactions, [`Line`] is one identity with its way into the network and its
//! password; [`Registration`], [`Publication`] and [`Subscription`] are the procedures upon it. Messages are written
//! and read by `ims::sip`, retransmitted by `ims::transaction`.

pub mod agent;
pub mod digest;
pub mod document;
pub mod http;
pub mod line;
pub mod message;
pub mod publication;
pub mod registration;
mod stream;
pub mod subscription;
pub mod tls;
pub mod watchers;
pub mod xcap;
pub mod xcap_diff;

pub use agent::{Agent, Lost};
pub use line::{Credentials, Line, Route};
pub use message::{Answer, Arrived};
pub use publication::Publication;
pub use registration::Registration;
pub use subscription::Subscription;

use ims::time::Seconds;
use std::time::Duration;

/// Why a procedure did not reach its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Lost(#[from] Lost),
    /// A final answer that asks for nothing we could do better.
    #[error("{} {}", .0.status, .0.reason)]
    Refused(Box<Answer>),
    #[error("{0} asks for a password, and none was given")]
    NoPassword(String),
    #[error("{0} does not accept this user and password")]
    WrongPassword(String),
    #[error(
        "no challenge of {0} can be met: it asks for something else than Digest with MD5 or SHA-256"
    )]
    StrangeChallenge(String),
    #[error("the answer of {0} lacks its {1}")]
    Incomplete(String, &'static str),
    #[error("{0} refuses each form of the request that it asked for itself")]
    Circling(String),
    #[error("no NOTIFY came within {} s", .0.as_secs())]
    NoNotify(Duration),
}

impl Error {
    /// How long to wait before the same is tried again; `None` when that would change nothing.
    ///
    /// `failures` is how often it has failed in a row, from 1.
    pub fn pause(&self, failures: u32) -> Option<Duration> {
        let backoff =
            Duration::from_secs(1 << failures.saturating_sub(1).min(5)).min(LONGEST_PAUSE);
        match self {
            Error::Lost(_) | Error::NoNotify(_) | Error::Circling(_) => Some(backoff),
            // RFC 3261 §21.5: these may pass
            Error::Refused(answer) if matches!(answer.status, 408 | 500 | 502 | 503 | 504) => Some(
                answer
                    .retry_after()
                    .map_or(backoff, |asked| asked.max(backoff)),
            ),
            Error::Refused(_)
            | Error::NoPassword(_)
            | Error::WrongPassword(_)
            | Error::StrangeChallenge(_)
            | Error::Incomplete(..) => None,
        }
    }
}

/// Longest pause of our own choice between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// When to refresh what was granted for `lifetime`: 600 s before its end when it is longer than 1200 s, else at half of
/// it. The rule of TS 24.229 §5.1.1.4.1 for registrations serves the other lifetimes as well. Never sooner than half a
/// second: a server that grants nothing must not be asked in a loop.
pub fn refresh_after(lifetime: Seconds) -> Duration {
    let lifetime = u64::from(lifetime.0.max(1));
    Duration::from_millis(if lifetime > 1200 {
        (lifetime - 600) * 1000
    } else {
        lifetime * 500
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_refreshed_well_before_its_end() {
        for (case, lifetime, after_ms) in [
            ("an hour", 3600, 3_000_000),
            ("just over the threshold", 1201, 601_000),
            ("the threshold", 1200, 600_000),
            ("the shortest", 1, 500),
            ("none at all", 0, 500),
        ] {
            assert_eq!(
                refresh_after(Seconds(lifetime)),
                Duration::from_millis(after_ms),
                "{case}"
            );
        }
    }

    #[test]
    fn what_may_pass_is_tried_again_later_and_later() {
        let silent = Error::Lost(Lost::Silent("192.0.2.1:5060".into()));
        let pauses = [1, 2, 3, 6, 40].map(|n| silent.pause(n).map(|p| p.as_secs()));
        assert_eq!(pauses, [1, 2, 4, 30, 30].map(Some));
        for (case, status, retry_after, pause) in [
            ("overload with its own wish", 503, Some("20"), Some(20)),
            ("overload in a hurry", 503, Some("0"), Some(1)),
            ("overload without a wish", 503, None, Some(1)),
            ("forbidden", 403, Some("20"), None),
        ] {
            let answer = Answer::made(status, &[("Retry-After", retry_after)]);
            let again = Error::Refused(Box::new(answer)).pause(1);
            assert_eq!(again.map(|p| p.as_secs()), pause, "{case}");
        }
    }
}
