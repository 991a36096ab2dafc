//! `P-Served-User`, RFC 5502 §6.

use crate::sip::header::address::NameAddr;
use crate::sip::message::Headers;
use crate::sip::name::Name;
use std::fmt;

/// `sescase`: on whose side of the session the service runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionCase {
    Originating,
    Terminating,
}

/// `regstate` of the served user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistrationState {
    Registered,
    Unregistered,
}

/// The user on whose behalf the S-CSCF asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PServedUser<'a> {
    /// URI as the S-CSCF wrote it.
    pub uri: &'a str,
    pub case: Option<SessionCase>,
    pub registration: Option<RegistrationState>,
}

impl<'a> PServedUser<'a> {
    /// `None` without the header, with two of them, or with one that is no address. Parameters with
    /// values we do not know are as good as absent.
    pub fn parse(headers: &Headers<'a>) -> Option<PServedUser<'a>> {
        let value = headers
            .get(Name::PServedUser)
            .filter(|_| headers.count(Name::PServedUser) == 1)?;
        let address = NameAddr::parse(value)?;
        let is = |name: &str, want: &str| {
            address
                .param(name)
                .is_some_and(|v| v.eq_ignore_ascii_case(want))
        };
        Some(PServedUser {
            uri: address.uri,
            case: match () {
                () if is("sescase", "orig") => Some(SessionCase::Originating),
                () if is("sescase", "term") => Some(SessionCase::Terminating),
                () => None,
            },
            registration: match () {
                () if is("regstate", "reg") => Some(RegistrationState::Registered),
                () if is("regstate", "unreg") => Some(RegistrationState::Unregistered),
                () => None,
            },
        })
    }
}

impl fmt::Display for PServedUser<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.uri)?;
        f.write_str(match self.case {
            Some(SessionCase::Originating) => ";sescase=orig",
            Some(SessionCase::Terminating) => ";sescase=term",
            None => "",
        })?;
        f.write_str(match self.registration {
            Some(RegistrationState::Registered) => ";regstate=reg",
            Some(RegistrationState::Unregistered) => ";regstate=unreg",
            None => "",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::Line;

    #[test]
    fn what_is_printed_is_read_back() {
        for (value, printed) in [
            (
                "<sip:bob@ims.test>; sescase=orig; regstate=reg",
                Some("<sip:bob@ims.test>;sescase=orig;regstate=reg"),
            ),
            (
                "sip:bob@ims.test;sescase=TERM;regstate=unreg",
                Some("<sip:bob@ims.test>;sescase=term;regstate=unreg"),
            ),
            ("<tel:+361>;sescase=orig-cdiv;x", Some("<tel:+361>")),
            ("", None),
            ("bob;sescase=orig", None),
        ] {
            let line = |value| Line {
                name: Name::PServedUser,
                text: "P-Served-User",
                value,
            };
            let headers = Headers::new(vec![line(value)]);
            let served = PServedUser::parse(&headers);
            assert_eq!(
                served.as_ref().map(|s| s.to_string()).as_deref(),
                printed,
                "{value}"
            );
            if let Some(printed) = printed {
                assert_eq!(
                    PServedUser::parse(&Headers::new(vec![line(printed)])),
                    served,
                    "{value}"
                );
            }
            assert_eq!(
                PServedUser::parse(&Headers::new(vec![line(value), line(value)])),
                None,
                "two name nobody"
            );
        }
    }
}
