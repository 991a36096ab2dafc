//! Header names: the ones we know, in full and compact form (IANA registry), in any case.

macro_rules! names {
    ($($variant:ident = $long:literal $(, $short:literal)?;)*) => {
        /// A header name. The order means nothing.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Name {
            $(#[doc = $long] $variant,)*
            /// A name we do not know; the line keeps it as text.
            Other,
        }

        impl Name {
            /// Every known name.
            pub const ALL: &'static [Name] = &[$(Name::$variant),*];

            /// Full name as registered; empty for [`Name::Other`].
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Name::$variant => $long,)*
                    Name::Other => "",
                }
            }

            /// Compact form, if one is registered.
            pub const fn compact(self) -> Option<&'static str> {
                match self {
                    $($(Name::$variant => Some($short),)?)*
                    _ => None,
                }
            }
        }
    };
}

names! {
    Via = "Via", "v";
    From = "From", "f";
    To = "To", "t";
    CallId = "Call-ID", "i";
    CSeq = "CSeq";
    MaxForwards = "Max-Forwards";
    Contact = "Contact", "m";
    Route = "Route";
    RecordRoute = "Record-Route";
    ContentLength = "Content-Length", "l";
    ContentType = "Content-Type", "c";
    ContentEncoding = "Content-Encoding", "e";
    ContentDisposition = "Content-Disposition";
    ContentLanguage = "Content-Language";
    MimeVersion = "MIME-Version";
    Event = "Event", "o";
    AllowEvents = "Allow-Events", "u";
    Expires = "Expires";
    MinExpires = "Min-Expires";
    SubscriptionState = "Subscription-State";
    SipEtag = "SIP-ETag";
    SipIfMatch = "SIP-If-Match";
    SuppressIfMatch = "Suppress-If-Match";
    Accept = "Accept";
    AcceptEncoding = "Accept-Encoding";
    AcceptLanguage = "Accept-Language";
    AcceptContact = "Accept-Contact", "a";
    RejectContact = "Reject-Contact", "j";
    RequestDisposition = "Request-Disposition", "d";
    Allow = "Allow";
    Supported = "Supported", "k";
    Require = "Require";
    ProxyRequire = "Proxy-Require";
    Unsupported = "Unsupported";
    RetryAfter = "Retry-After";
    Date = "Date";
    Server = "Server";
    UserAgent = "User-Agent";
    Subject = "Subject", "s";
    Organization = "Organization";
    Warning = "Warning";
    ErrorInfo = "Error-Info";
    AlertInfo = "Alert-Info";
    CallInfo = "Call-Info";
    Timestamp = "Timestamp";
    Priority = "Priority";
    InReplyTo = "In-Reply-To";
    ReplyTo = "Reply-To";
    ReferredBy = "Referred-By", "b";
    ReferTo = "Refer-To", "r";
    SessionExpires = "Session-Expires", "x";
    MinSe = "Min-SE";
    Identity = "Identity", "y";
    IdentityInfo = "Identity-Info", "n";
    Privacy = "Privacy";
    PAssertedIdentity = "P-Asserted-Identity";
    PPreferredIdentity = "P-Preferred-Identity";
    PAssertedService = "P-Asserted-Service";
    PPreferredService = "P-Preferred-Service";
    PServedUser = "P-Served-User";
    PAssociatedUri = "P-Associated-URI";
    PCalledPartyId = "P-Called-Party-ID";
    PAccessNetworkInfo = "P-Access-Network-Info";
    PVisitedNetworkId = "P-Visited-Network-ID";
    PChargingVector = "P-Charging-Vector";
    PChargingFunctionAddresses = "P-Charging-Function-Addresses";
    PUserDatabase = "P-User-Database";
    PProfileKey = "P-Profile-Key";
    Path = "Path";
    ServiceRoute = "Service-Route";
    HistoryInfo = "History-Info";
    Reason = "Reason";
    Replaces = "Replaces";
    Join = "Join";
    RSeq = "RSeq";
    RAck = "RAck";
    SecurityClient = "Security-Client";
    SecurityServer = "Security-Server";
    SecurityVerify = "Security-Verify";
    Authorization = "Authorization";
    WwwAuthenticate = "WWW-Authenticate";
    ProxyAuthorization = "Proxy-Authorization";
    ProxyAuthenticate = "Proxy-Authenticate";
    AuthenticationInfo = "Authentication-Info";
    SessionId = "Session-ID";
    ResourcePriority = "Resource-Priority";
    AcceptResourcePriority = "Accept-Resource-Priority";
    Geolocation = "Geolocation";
    FeatureCaps = "Feature-Caps";
    FlowTimer = "Flow-Timer";
}

/// Known names of `len` octets, so that a lookup compares with a handful and not with ninety.
const fn of_length(len: usize) -> &'static [Name] {
    use Name::*;
    match len {
        2 => &[To],
        3 => &[Via],
        4 => &[From, CSeq, Date, Path, Join, RSeq, RAck],
        5 => &[Route, Event, Allow],
        6 => &[Accept, Server, MinSe, Reason],
        7 => &[CallId, Contact, Expires, Require, Subject, Warning, Privacy],
        8 => &[SipEtag, Priority, ReplyTo, ReferTo, Identity, Replaces],
        9 => &[Supported, CallInfo, Timestamp],
        10 => &[UserAgent, ErrorInfo, AlertInfo, SessionId, FlowTimer],
        11 => &[
            MinExpires,
            Unsupported,
            RetryAfter,
            InReplyTo,
            ReferredBy,
            Geolocation,
        ],
        12 => &[
            MaxForwards,
            RecordRoute,
            ContentType,
            MimeVersion,
            AllowEvents,
            SipIfMatch,
            Organization,
            HistoryInfo,
            FeatureCaps,
        ],
        13 => &[
            ProxyRequire,
            IdentityInfo,
            PServedUser,
            PProfileKey,
            ServiceRoute,
            Authorization,
        ],
        14 => &[ContentLength, AcceptContact, RejectContact],
        15 => &[
            AcceptEncoding,
            AcceptLanguage,
            SessionExpires,
            PUserDatabase,
            SecurityClient,
            SecurityServer,
            SecurityVerify,
        ],
        16 => &[
            ContentEncoding,
            ContentLanguage,
            PAssociatedUri,
            WwwAuthenticate,
        ],
        17 => &[
            SuppressIfMatch,
            PCalledPartyId,
            PChargingVector,
            ResourcePriority,
        ],
        18 => &[SubscriptionState, PAssertedService, ProxyAuthenticate],
        19 => &[
            ContentDisposition,
            RequestDisposition,
            PAssertedIdentity,
            PPreferredService,
            ProxyAuthorization,
            AuthenticationInfo,
        ],
        20 => &[PPreferredIdentity, PVisitedNetworkId],
        21 => &[PAccessNetworkInfo],
        24 => &[AcceptResourcePriority],
        29 => &[PChargingFunctionAddresses],
        _ => &[],
    }
}

impl Name {
    /// The name spelt `text`, full or compact, in any case.
    pub fn parse(text: &str) -> Name {
        if let [letter] = text.as_bytes() {
            return of_letter(letter.to_ascii_lowercase());
        }
        let Some(first) = text.bytes().next() else {
            return Name::Other;
        };
        let same = |name: &&Name| {
            let full = name.as_str();
            // Most candidates differ in the first letter, so the rest is rarely looked at.
            full.as_bytes()
                .first()
                .is_some_and(|b| b.eq_ignore_ascii_case(&first))
                && full.eq_ignore_ascii_case(text)
        };
        of_length(text.len())
            .iter()
            .find(same)
            .copied()
            .unwrap_or(Name::Other)
    }
}

/// Compact forms, IANA "SIP Parameters: Header Fields".
const fn of_letter(letter: u8) -> Name {
    match letter {
        b'a' => Name::AcceptContact,
        b'b' => Name::ReferredBy,
        b'c' => Name::ContentType,
        b'd' => Name::RequestDisposition,
        b'e' => Name::ContentEncoding,
        b'f' => Name::From,
        b'i' => Name::CallId,
        b'j' => Name::RejectContact,
        b'k' => Name::Supported,
        b'l' => Name::ContentLength,
        b'm' => Name::Contact,
        b'n' => Name::IdentityInfo,
        b'o' => Name::Event,
        b'r' => Name::ReferTo,
        b's' => Name::Subject,
        b't' => Name::To,
        b'u' => Name::AllowEvents,
        b'v' => Name::Via,
        b'x' => Name::SessionExpires,
        b'y' => Name::Identity,
        _ => Name::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_each_of_its_forms() {
        for name in Name::ALL {
            assert_eq!(Name::parse(name.as_str()), *name);
            assert_eq!(Name::parse(&name.as_str().to_ascii_uppercase()), *name);
            if let Some(short) = name.compact() {
                assert_eq!(Name::parse(short), *name);
                assert_eq!(Name::parse(&short.to_ascii_uppercase()), *name);
            }
        }
    }

    #[test]
    fn all_twenty_compact_forms_are_known_and_no_other_letter_is() {
        let known: Vec<char> = ('a'..='z')
            .filter(|c| Name::parse(&c.to_string()) != Name::Other)
            .collect();
        assert_eq!(known.iter().collect::<String>(), "abcdefijklmnorstuvxy");
    }

    #[test]
    fn an_unknown_name_is_other() {
        for text in ["", "X-Foo", "Vi", "Viaa", "z", "P-Charging-Vectorr"] {
            assert_eq!(Name::parse(text), Name::Other, "{text}");
        }
    }
}
