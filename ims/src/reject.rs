//! Refusals, one for each answer on which a peer acts differently, and their place on the wire.

use crate::time::Seconds;

/// Why a request is refused. The status, the phrase and the headers follow from it, in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reject {
    // The peer's fault: the request is wrong.
    /// The request does not parse or misses what it must have; the phrase says what.
    Bad(&'static str),
    /// A partial publication that does not apply (RFC 5264 §4.3.2); `report` is the error document of RFC 5261 §5.1.
    BadPatch {
        phrase: &'static str,
        report: Option<Box<str>>,
    },
    /// `Event` is missing or names a package that is not served.
    BadEvent,
    /// The body is of a type that is not taken here; `accept` names those that are, empty for none
    /// (RFC 3261 §20.1).
    UnsupportedMedia { accept: &'static str },
    /// An encoding in `Content-Encoding` that is not taken here.
    UnsupportedEncoding,
    /// The URI scheme of the request is not one of a presentity.
    UnsupportedScheme,
    /// `Require` names these extensions, which are not supported.
    BadExtension(String),
    /// What is asked for takes this extension, and the peer does not support it.
    ExtensionRequired(&'static str),
    /// No type in `Accept` can be produced; `accept` names the one that would be.
    NotAcceptable { accept: &'static str },
    /// The method is known to SIP and not served here.
    MethodNotAllowed,
    /// The body is of a type that is taken, and what it asks for is not (RFC 4660 §5.4); the reason is for a Warning.
    NotAcceptableHere { why: Box<str> },
    /// A body above the configured limit.
    TooLarge,
    /// The asked lifetime is under the minimum.
    IntervalTooBrief { min: Seconds },
    /// The tag of `SIP-If-Match` names no publication.
    StaleEtag,
    /// The dialog or the transaction that the request belongs to is unknown.
    NoDialog,
    /// The same request came by another path before (RFC 3261 §8.2.2.2).
    Merged,
    /// A request in a dialog with a CSeq under one already seen (RFC 3261 §12.2.2).
    OutOfOrder,

    // Policy: the request is right and not granted.
    /// Not from a trusted peer, or the asserted identity may not do this.
    Forbidden(&'static str),
    /// The account of whoever pays does not cover it.
    PaymentRequired,
    /// The Request-URI names nobody who is served here.
    NotFound,

    // Ours: the server cannot.
    /// Something of our own does not read or apply; the phrase says what.
    Internal(&'static str),
    /// What the request refers to could not be had from its server; the phrase says why.
    BadGateway(&'static str),
    /// The same, and nothing came in time.
    GatewayTimeout(&'static str),
    /// A limit of the server is reached, or it is draining.
    Busy { retry_after: Seconds },
}

impl Reject {
    /// Status code and reason phrase.
    pub fn status(&self) -> (u16, &'static str) {
        match self {
            Reject::Bad(phrase) => (400, phrase),
            Reject::BadPatch { phrase, .. } => (400, phrase), // with the report
            Reject::Merged => (482, "Loop Detected"),
            Reject::BadEvent => (489, "Bad Event"), // with Allow-Events, RFC 6665 §8.3.2
            Reject::UnsupportedMedia { .. } => (415, "Unsupported Media Type"), // with Accept, RFC 3903 §6, step 5
            Reject::UnsupportedEncoding => (415, "Unsupported Content-Encoding"), // with Accept-Encoding
            Reject::UnsupportedScheme => (416, "Unsupported URI Scheme"),
            Reject::BadExtension(_) => (420, "Bad Extension"), // with Unsupported, RFC 3261 §8.2.2.3
            Reject::ExtensionRequired(_) => (421, "Extension Required"), // with Require, RFC 3261 §21.4.16
            Reject::NotAcceptableHere { .. } => (488, "Not Acceptable Here"), // with Warning
            Reject::NotAcceptable { .. } => (406, "Not Acceptable"),
            Reject::MethodNotAllowed => (405, "Method Not Allowed"), // with Allow
            Reject::TooLarge => (413, "Request Entity Too Large"),
            Reject::IntervalTooBrief { .. } => (423, "Interval Too Brief"), // with Min-Expires
            Reject::StaleEtag => (412, "Conditional Request Failed"),       // RFC 3903 §6, step 3
            Reject::NoDialog => (481, "Subscription Does Not Exist"),
            Reject::OutOfOrder => (500, "CSeq Out Of Order"),
            Reject::PaymentRequired => (402, "Payment Required"),
            Reject::Forbidden(phrase) => (403, phrase),
            Reject::Internal(phrase) => (500, phrase),
            Reject::NotFound => (404, "Not Found"),
            Reject::BadGateway(phrase) => (502, phrase),
            Reject::GatewayTimeout(phrase) => (504, phrase),
            // 503 makes an S-CSCF try the next server, which is what a full or draining node wants
            Reject::Busy { .. } => (503, "Service Unavailable"),
        }
    }
}

/// Reason phrases of 403. Handsets tell the causes of a 403 apart by them and nothing else (the Android capability
/// client knows "user not registered" and "not authorized for presence", in any case), so an operator may set his own.
pub mod phrase {
    /// The presentity's rules, or the default, refuse the watcher.
    pub const NOT_AUTHORIZED: &str = "Not Authorized For Presence";
    /// The publisher is not registered, as the network says.
    pub const NOT_REGISTERED: &str = "User Not Registered";
    /// The publisher is neither the presentity nor trusted to publish for others.
    pub const NOT_THE_PRESENTITY: &str = "Not The Presentity";
    /// A SUBSCRIBE in a dialog of somebody else.
    pub const NOT_THE_SUBSCRIBER: &str = "Not The Subscriber";
    pub const TOO_MANY_PUBLICATIONS: &str = "Too Many Publications";
    pub const TOO_MANY_WATCHERS: &str = "Too Many Watchers";
    /// The watcher has too many subscriptions that nobody has decided on.
    pub const TOO_MANY_PENDING: &str = "Too Many Pending Subscriptions";
    /// Watcher information is not for whoever asked.
    pub const NOT_AN_OBSERVER: &str = "Not Authorized For Watcher Information";
    /// A list is its owner's to subscribe to.
    pub const NOT_THE_OWNER: &str = "Not The Owner Of The List";
    /// The request did not come from an address of the trust domain.
    pub const UNTRUSTED: &str = "Not From A Trusted Peer";
    /// The account of whoever pays does not cover it, where that is answered with 403.
    pub const NO_CREDIT: &str = "No Credit";
    /// The charging system does not serve this user.
    pub const NOT_CHARGEABLE: &str = "User Not Known To Charging";

    /// Those that an operator may replace.
    pub const ALL: [&str; 12] = [
        NOT_AUTHORIZED,
        NOT_REGISTERED,
        NOT_THE_PRESENTITY,
        NOT_THE_SUBSCRIBER,
        TOO_MANY_PUBLICATIONS,
        TOO_MANY_WATCHERS,
        TOO_MANY_PENDING,
        NOT_AN_OBSERVER,
        NOT_THE_OWNER,
        UNTRUSTED,
        NO_CREDIT,
        NOT_CHARGEABLE,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_the_status_of_its_document() {
        for (reject, status) in [
            (Reject::Bad("x"), 400),
            (
                Reject::BadPatch {
                    phrase: "x",
                    report: None,
                },
                400,
            ),
            (Reject::Internal("x"), 500),
            (Reject::Forbidden("x"), 403),
            (Reject::NotFound, 404),
            (Reject::MethodNotAllowed, 405),
            (Reject::NotAcceptable { accept: "" }, 406),
            (Reject::StaleEtag, 412),
            (Reject::TooLarge, 413),
            (Reject::UnsupportedMedia { accept: "" }, 415),
            (Reject::UnsupportedEncoding, 415),
            (Reject::UnsupportedScheme, 416),
            (Reject::BadExtension(String::new()), 420),
            (Reject::ExtensionRequired("eventlist"), 421),
            (Reject::IntervalTooBrief { min: Seconds(60) }, 423),
            (Reject::NoDialog, 481),
            (Reject::Merged, 482),
            (Reject::NotAcceptableHere { why: "x".into() }, 488),
            (Reject::BadEvent, 489),
            (Reject::OutOfOrder, 500),
            (Reject::BadGateway("x"), 502),
            (Reject::GatewayTimeout("x"), 504),
            (
                Reject::Busy {
                    retry_after: Seconds(1),
                },
                503,
            ),
        ] {
            assert_eq!(reject.status().0, status, "{reject:?}");
        }
    }
}
