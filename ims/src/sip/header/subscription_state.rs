//! `Subscription-State`, RFC 6665 §8.2.3.

use crate::sip::header::expires;
use crate::sip::text::{Params, is_token, trim};
use crate::time::Seconds;
use std::fmt;

/// State as it is named on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State<'a> {
    Active,
    Pending,
    Terminated,
    Other(&'a str),
}

/// The header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriptionState<'a> {
    pub state: State<'a>,
    pub expires: Option<Seconds>,
    /// Why it ended: `deactivated`, `probation`, `rejected`, `timeout`, `giveup`, `noresource`, `invariant`.
    pub reason: Option<&'a str>,
    pub retry_after: Option<Seconds>,
}

impl<'a> SubscriptionState<'a> {
    pub fn parse(value: &'a str) -> Option<SubscriptionState<'a>> {
        let value = trim(value);
        let (state, params) = value.split_at(value.find(';').unwrap_or(value.len()));
        let params = Params::parse(params)?;
        let state = trim(state);
        let state = match () {
            () if state.eq_ignore_ascii_case("active") => State::Active,
            () if state.eq_ignore_ascii_case("pending") => State::Pending,
            () if state.eq_ignore_ascii_case("terminated") => State::Terminated,
            () if is_token(state) => State::Other(state),
            () => return None,
        };
        Some(SubscriptionState {
            state,
            expires: params.value("expires").and_then(expires::parse),
            reason: params.value("reason"),
            retry_after: params.value("retry-after").and_then(expires::parse),
        })
    }
}

impl fmt::Display for SubscriptionState<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::Active => "active",
            State::Pending => "pending",
            State::Terminated => "terminated",
            State::Other(other) => other,
        })?;
        if let Some(reason) = self.reason {
            write!(f, ";reason={reason}")?;
        }
        if let Some(expires) = self.expires {
            write!(f, ";expires={expires}")?;
        }
        match self.retry_after {
            Some(after) => write!(f, ";retry-after={after}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_back() {
        for (value, printed) in [
            ("active;expires=600", Some("active;expires=600")),
            (
                "Terminated ; reason=timeout",
                Some("terminated;reason=timeout"),
            ),
            (
                "terminated;reason=probation;retry-after=30",
                Some("terminated;reason=probation;retry-after=30"),
            ),
            ("pending", Some("pending")),
            ("later;expires=x", Some("later")),
            ("", None),
            ("active;expires=\"", None),
        ] {
            let state = SubscriptionState::parse(value);
            assert_eq!(state.map(|s| s.to_string()).as_deref(), printed, "{value}");
            if let Some(printed) = printed {
                assert_eq!(SubscriptionState::parse(printed), state, "{value}");
            }
        }
    }
}
