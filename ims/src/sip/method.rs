//! Request methods. A method we do not know is still a request that deserves an answer.

use std::fmt;

/// The methods registered when the vocabulary crate was made; every one this server acts on is among them.
pub use rsip::Method as KnownMethod;

/// Method of a request line or a CSeq. Compared case-sensitively, RFC 3261 §7.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method<'a> {
    Known(KnownMethod),
    /// Any other token; the service answers 405 (or 501).
    Other(&'a str),
}

impl<'a> Method<'a> {
    pub const ACK: Method<'static> = Method::Known(KnownMethod::Ack);
    pub const BYE: Method<'static> = Method::Known(KnownMethod::Bye);
    pub const CANCEL: Method<'static> = Method::Known(KnownMethod::Cancel);
    pub const INVITE: Method<'static> = Method::Known(KnownMethod::Invite);
    pub const MESSAGE: Method<'static> = Method::Known(KnownMethod::Message);
    pub const NOTIFY: Method<'static> = Method::Known(KnownMethod::Notify);
    pub const OPTIONS: Method<'static> = Method::Known(KnownMethod::Options);
    pub const PUBLISH: Method<'static> = Method::Known(KnownMethod::Publish);
    pub const REGISTER: Method<'static> = Method::Known(KnownMethod::Register);
    pub const SUBSCRIBE: Method<'static> = Method::Known(KnownMethod::Subscribe);

    /// The method named by `token`, which the caller has checked to be a token.
    pub fn new(token: &'a str) -> Method<'a> {
        ALL.iter()
            .find(|m| name(**m) == token)
            .map_or(Method::Other(token), |m| Method::Known(*m))
    }

    /// The method, if it is one of the registered ones.
    pub fn known(&self) -> Option<KnownMethod> {
        match self {
            Method::Known(known) => Some(*known),
            Method::Other(_) => None,
        }
    }

    /// The method as it stands on the wire.
    pub fn as_str(&self) -> &'a str {
        match self {
            Method::Known(known) => name(*known),
            Method::Other(token) => token,
        }
    }
}

impl fmt::Display for Method<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PartialEq<KnownMethod> for Method<'_> {
    fn eq(&self, other: &KnownMethod) -> bool {
        matches!(self, Method::Known(known) if known == other)
    }
}

/// The known methods, the frequent ones first.
const ALL: [KnownMethod; 14] = [
    KnownMethod::Publish,
    KnownMethod::Subscribe,
    KnownMethod::Notify,
    KnownMethod::Register,
    KnownMethod::Options,
    KnownMethod::Ack,
    KnownMethod::Bye,
    KnownMethod::Cancel,
    KnownMethod::Info,
    KnownMethod::Invite,
    KnownMethod::Message,
    KnownMethod::PRack,
    KnownMethod::Refer,
    KnownMethod::Update,
];

/// Upper-case name of a known method (`rsip` prints by allocating).
pub const fn name(method: KnownMethod) -> &'static str {
    match method {
        KnownMethod::Ack => "ACK",
        KnownMethod::Bye => "BYE",
        KnownMethod::Cancel => "CANCEL",
        KnownMethod::Info => "INFO",
        KnownMethod::Invite => "INVITE",
        KnownMethod::Message => "MESSAGE",
        KnownMethod::Notify => "NOTIFY",
        KnownMethod::Options => "OPTIONS",
        KnownMethod::PRack => "PRACK",
        KnownMethod::Publish => "PUBLISH",
        KnownMethod::Refer => "REFER",
        KnownMethod::Register => "REGISTER",
        KnownMethod::Subscribe => "SUBSCRIBE",
        KnownMethod::Update => "UPDATE",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_read_and_printed_as_it_stands() {
        for known in ALL {
            assert_eq!(Method::new(name(known)), Method::Known(known));
        }
        for (token, known) in [
            ("PUBLISH", true),
            ("publish", false),
            ("NEWMETHOD", false),
            ("PRACK", true),
        ] {
            let method = Method::new(token);
            assert_eq!(matches!(method, Method::Known(_)), known, "{token}");
            assert_eq!(method.as_str(), token);
        }
    }
}
