//! URIs as they stand in a message: a checked view and the comparison of RFC 3261 §19.1.4.

pub use super::aor::Aor;
use super::text::{Params, hex, number};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Longest URI that is looked into, in octets. The line limit bounds it on the wire as well.
pub const MAX_URI: usize = 8_192;

/// Scheme of a URI. The named ones may stand in a Request-URI sent to us; any other is answered 416.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme<'a> {
    Sip,
    Sips,
    /// Telephone number, RFC 3966.
    Tel,
    /// Presentity, RFC 3859.
    Pres,
    /// Instant inbox, RFC 3860.
    Im,
    Urn,
    Other(&'a str),
}

impl<'a> Scheme<'a> {
    fn parse(text: &'a str) -> Option<Scheme<'a>> {
        let first = text.bytes().next()?;
        let rest = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
        if !first.is_ascii_alphabetic() || !text.bytes().all(rest) {
            return None;
        }
        let named = [
            ("sip", Scheme::Sip),
            ("sips", Scheme::Sips),
            ("tel", Scheme::Tel),
            ("pres", Scheme::Pres),
            ("im", Scheme::Im),
            ("urn", Scheme::Urn),
        ];
        let found = named
            .into_iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(text));
        Some(found.map_or(Scheme::Other(text), |(_, scheme)| scheme))
    }

    /// Scheme in lower case where it is a known one.
    pub fn as_str(&self) -> &'a str {
        match self {
            Scheme::Sip => "sip",
            Scheme::Sips => "sips",
            Scheme::Tel => "tel",
            Scheme::Pres => "pres",
            Scheme::Im => "im",
            Scheme::Urn => "urn",
            Scheme::Other(other) => other,
        }
    }
}

/// A URI. Parts that a scheme does not have are empty or `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uri<'a> {
    raw: &'a str,
    pub scheme: Scheme<'a>,
    /// User part without password, escapes untouched; the number of a `tel:`; everything of an opaque URI.
    pub user: Option<&'a str>,
    pub password: Option<&'a str>,
    /// Host as it stands, an IPv6 literal with its brackets; empty for `tel:` and opaque URIs.
    pub host: &'a str,
    pub port: Option<u16>,
    pub params: Params<'a>,
    /// Headers after `?`, without it.
    pub headers: Option<&'a str>,
}

impl<'a> Uri<'a> {
    /// A URI with nothing around it: no angle brackets, no white space, no control characters.
    pub fn parse(raw: &'a str) -> Option<Uri<'a>> {
        if raw.len() > MAX_URI
            || raw
                .bytes()
                .any(|b| b <= b' ' || matches!(b, b'<' | b'>' | b'"' | 0x7f))
        {
            return None;
        }
        let (scheme, rest) = raw.split_once(':')?;
        let scheme = Scheme::parse(scheme)?;
        if rest.is_empty() {
            return None;
        }
        match scheme {
            Scheme::Sip | Scheme::Sips | Scheme::Pres | Scheme::Im => {
                Self::hierarchical(raw, scheme, rest)
            }
            Scheme::Tel => Self::telephone(raw, rest),
            Scheme::Urn | Scheme::Other(_) => Some(Uri::opaque(raw, scheme, rest)),
        }
    }

    /// Text as it stood.
    pub fn as_str(&self) -> &'a str {
        self.raw
    }

    /// `sip` or `sips`.
    pub fn is_sip(&self) -> bool {
        matches!(self.scheme, Scheme::Sip | Scheme::Sips)
    }

    pub fn is_tel(&self) -> bool {
        self.scheme == Scheme::Tel
    }

    /// Value of a parameter.
    pub fn param(&self, name: &str) -> Option<&'a str> {
        self.params.value(name)
    }

    pub fn has_param(&self, name: &str) -> bool {
        self.params.has(name)
    }

    /// Host without brackets, for a scheme that has one.
    pub fn host(&self) -> Option<&'a str> {
        Some(self.bare_host()).filter(|h| !h.is_empty())
    }

    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Host without the brackets of an IPv6 literal; empty for a scheme without host.
    pub fn bare_host(&self) -> &'a str {
        self.host
            .strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .unwrap_or(self.host)
    }

    fn opaque(raw: &'a str, scheme: Scheme<'a>, rest: &'a str) -> Uri<'a> {
        Uri {
            raw,
            scheme,
            user: Some(rest),
            password: None,
            host: "",
            port: None,
            params: Params::default(),
            headers: None,
        }
    }

    /// `sip:user:password@host:port;parameters?headers`. No part but the user may hold a bare `@`, so
    /// the first one ends the user even when that user holds `;` or `?` (RFC 4475 §3.1.1.13).
    fn hierarchical(raw: &'a str, scheme: Scheme<'a>, rest: &'a str) -> Option<Uri<'a>> {
        let (userinfo, after) = match rest.split_once('@') {
            Some((user, after)) => (Some(user), after),
            None => (None, rest),
        };
        if after.contains('@') {
            return None;
        }
        let (user, password) = match userinfo {
            None => (None, None),
            Some(info) => match info.split_once(':') {
                Some((user, password)) => (Some(user), Some(password)),
                None => (Some(info), None),
            },
        };
        let good = |part: Option<&str>, extra: &[u8]| part.is_none_or(|p| escapes_hold(p, extra));
        if user == Some("") || !good(user, b"&=+$,;?/") || !good(password, b"&=+$,") {
            return None;
        }
        let (before, headers) = match after.split_once('?') {
            Some((before, headers)) => (before, Some(headers)),
            None => (after, None),
        };
        if headers.is_some_and(|h| h.is_empty() || !escapes_hold(h, b"[]/?:+$&=")) {
            return None;
        }
        let split = before.find(';').unwrap_or(before.len());
        let (hostport, params) = before.split_at(split);
        let (host, port) = host_and_port(hostport)?;
        let params = uri_params(params)?;
        Some(Uri {
            raw,
            scheme,
            user,
            password,
            host,
            port,
            params,
            headers,
        })
    }

    /// `tel:number;parameters`, RFC 3966 §3.
    fn telephone(raw: &'a str, rest: &'a str) -> Option<Uri<'a>> {
        let split = rest.find(';').unwrap_or(rest.len());
        let (number, params) = rest.split_at(split);
        let digits = number.strip_prefix('+').unwrap_or(number);
        let global = number.starts_with('+');
        let good = |b: u8| match b {
            b'0'..=b'9' | b'-' | b'.' | b'(' | b')' => true,
            b'*' | b'#' | b'A'..=b'F' | b'a'..=b'f' => !global,
            _ => false,
        };
        if !digits.bytes().all(good)
            || !digits
                .bytes()
                .any(|b| b.is_ascii_alphanumeric() || b == b'*' || b == b'#')
        {
            return None;
        }
        let mut uri = Uri::opaque(raw, Scheme::Tel, number);
        uri.params = uri_params(params)?;
        Some(uri)
    }
}

/// Visual separators of a telephone number, RFC 3966 §5.1.1: they carry no meaning.
pub(crate) const fn is_separator(b: u8) -> bool {
    matches!(b, b'-' | b'.' | b'(' | b')')
}

/// `unreserved` of RFC 3261 §25.1.
pub(crate) const fn is_unreserved(b: u8) -> bool {
    b.is_ascii_alphanumeric()
        || matches!(
            b,
            b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')'
        )
}

/// Whether every `%` starts an escape and every other byte is unreserved, in `extra`, or not ASCII.
/// Bare UTF-8 is not in the grammar but occurs in the field and does no harm.
fn escapes_hold(text: &str, extra: &[u8]) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&b) = bytes.get(at) {
        if b == b'%' {
            let pair = (
                bytes.get(at + 1).copied().and_then(hex),
                bytes.get(at + 2).copied().and_then(hex),
            );
            if !matches!(pair, (Some(_), Some(_))) {
                return false;
            }
            at += 3;
        } else if is_unreserved(b) || extra.contains(&b) || !b.is_ascii() {
            at += 1;
        } else {
            return false;
        }
    }
    true
}

/// Parameters of a URI: like those of a header but escaped, never quoted.
fn uri_params(text: &str) -> Option<Params<'_>> {
    let good = text.split(';').all(|p| escapes_hold(p, b"[]/:&+$=,@"));
    if good { Params::parse(text) } else { None }
}

/// Host and port of `text`: a name, an IPv4 address or a bracketed IPv6 address, then perhaps `:port`.
/// An underscore in a name is tolerated (internal host names carry it).
pub(crate) fn host_and_port(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, rest) = if text.starts_with('[') {
        let end = text.find(']')?;
        let (host, rest) = text.split_at(end + 1);
        host.get(1..end)?.parse::<Ipv6Addr>().ok()?;
        (host, rest)
    } else {
        let (host, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
        let label = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        if host.is_empty()
            || host.len() > 255
            || !host.bytes().all(label)
            || host.starts_with(['.', '-'])
        {
            return None;
        }
        let numeric = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if numeric && host.parse::<Ipv4Addr>().is_err() {
            return None;
        }
        (host, rest)
    };
    match rest.strip_prefix(':') {
        None if rest.is_empty() => Some((host, None)),
        None => None,
        Some(port) => number::<u16>(port).map(|p| (host, Some(p))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_uri() {
        type Parts<'a> = (
            Option<&'a str>,
            &'a str,
            Option<u16>,
            &'a str,
            Option<&'a str>,
        );
        let table: [(&str, Parts<'_>); 12] = [
            (
                "sip:alice@ims.test",
                (Some("alice"), "ims.test", None, "", None),
            ),
            ("sip:ims.test", (None, "ims.test", None, "", None)),
            (
                "SIPS:bob:pw@10.0.0.1:5061;lr",
                (Some("bob"), "10.0.0.1", Some(5061), ";lr", None),
            ),
            (
                "sip:[2001:db8::1]:5080;transport=tcp",
                (None, "[2001:db8::1]", Some(5080), ";transport=tcp", None),
            ),
            (
                "sip:user;par=u%40example.net@example.com",
                (
                    Some("user;par=u%40example.net"),
                    "example.com",
                    None,
                    "",
                    None,
                ),
            ),
            (
                "sip:a@x;p=q?Route=%3Csip:b%3E&x=y",
                (Some("a"), "x", None, ";p=q", Some("Route=%3Csip:b%3E&x=y")),
            ),
            (
                "sip:sip%3Auser%40example.com@company.com;other-param=summit",
                (
                    Some("sip%3Auser%40example.com"),
                    "company.com",
                    None,
                    ";other-param=summit",
                    None,
                ),
            ),
            (
                "tel:+1-555-123;phone-context=x",
                (Some("+1-555-123"), "", None, ";phone-context=x", None),
            ),
            ("tel:911", (Some("911"), "", None, "", None)),
            ("pres:alice@x", (Some("alice"), "x", None, "", None)),
            ("urn:service:sos", (Some("service:sos"), "", None, "", None)),
            (
                "soap.beep://192.0.2.103:3002",
                (Some("//192.0.2.103:3002"), "", None, "", None),
            ),
        ];
        for (text, (user, host, port, params, headers)) in table {
            let Some(uri) = Uri::parse(text) else {
                panic!("{text} is a URI")
            };
            assert_eq!(
                (
                    uri.user,
                    uri.host,
                    uri.port,
                    uri.params.as_str(),
                    uri.headers
                ),
                (user, host, port, params, headers),
                "{text}"
            );
            assert_eq!(uri.as_str(), text);
        }
    }

    #[test]
    fn what_is_no_uri_is_refused() {
        for text in [
            "",
            "sip:",
            "sip",
            ":x",
            "1sip:x",
            "sip:@x",
            "sip:a@",
            "sip:a@b@c",
            "sip:a b@x",
            "sip:a@x y",
            "sip:a%4@x",
            "sip:a%zz@x",
            "sip:a@x:",
            "sip:a@x:70000",
            "sip:a@x:-1",
            "sip:[::1",
            "sip:[zz]",
            "sip:::1",
            "<sip:a@x>",
            "sip:a@x\r\nEvil: 1",
            "sip:a@300.1.1.1",
            "sip:a@x?",
            "sip:a@x;lr x",
            "tel:",
            "tel:+",
            "tel:+abc",
            "tel:hello",
            "sip:a\"b@x",
            "sip:a@x/y",
        ] {
            assert_eq!(Uri::parse(text), None, "{text}");
        }
    }
}
