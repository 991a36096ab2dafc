//! Whether two URIs name the same resource, RFC 3261 §19.1.4 (RFC 3966 §4 for numbers).

use super::text::{Params, hex};
use super::uri::{Scheme, Uri, is_separator};
use std::net::Ipv6Addr;

impl Uri<'_> {
    /// Whether the two name the same resource, RFC 3261 §19.1.4 (RFC 3966 §4 for numbers).
    pub fn equivalent(&self, other: &Uri<'_>) -> bool {
        match (self.scheme, other.scheme) {
            (Scheme::Sip, Scheme::Sip)
            | (Scheme::Sips, Scheme::Sips)
            | (Scheme::Pres, Scheme::Pres)
            | (Scheme::Im, Scheme::Im) => {
                same_text(self.user, other.user)
                    && same_text(self.password, other.password)
                    && self.same_host(other)
                    && self.port == other.port
                    && same_params(&self.params, &other.params)
                    && same_headers(self.headers, other.headers)
            }
            (Scheme::Tel, Scheme::Tel) => self.same_number(other),
            _ => self.as_str() == other.as_str(),
        }
    }

    fn same_host(&self, other: &Uri<'_>) -> bool {
        match (
            self.bare_host().parse::<Ipv6Addr>(),
            other.bare_host().parse::<Ipv6Addr>(),
        ) {
            (Ok(a), Ok(b)) => a == b,
            _ => self.host.eq_ignore_ascii_case(other.host),
        }
    }

    fn same_number(&self, other: &Uri<'_>) -> bool {
        let covers = |a: &Params<'_>, b: &Params<'_>| {
            a.iter()
                .all(|(name, value)| b.find(name).is_some_and(|other| same_folded(value, other)))
        };
        digits(self).eq(digits(other))
            && covers(&self.params, &other.params)
            && covers(&other.params, &self.params)
    }
}

/// What counts of a telephone number.
fn digits<'a>(uri: &Uri<'a>) -> impl Iterator<Item = u8> + use<'a> {
    let number = uri.user.unwrap_or("").bytes();
    number
        .filter(|b| !is_separator(*b))
        .map(|b| b.to_ascii_lowercase())
}

/// Characters of `text` with the escapes of unreserved ones undone, so that `%61` equals `a` and
/// `%3B` does not equal `;` (§19.1.4: reserved characters differ from their escapes).
fn units(text: &str) -> impl Iterator<Item = (bool, u8)> + '_ {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        let b = *bytes.get(at)?;
        let escaped = match (
            b,
            bytes.get(at + 1).copied().and_then(hex),
            bytes.get(at + 2).copied().and_then(hex),
        ) {
            (b'%', Some(hi), Some(lo)) => Some(hi * 16 + lo),
            _ => None,
        };
        at += if escaped.is_some() { 3 } else { 1 };
        Some(match escaped {
            Some(e) if is_reserved(e) => (true, e),
            Some(e) => (false, e),
            None => (false, b),
        })
    })
}

/// `reserved` of RFC 3261 §25.1.
const fn is_reserved(b: u8) -> bool {
    matches!(
        b,
        b';' | b'/' | b'?' | b':' | b'@' | b'&' | b'=' | b'+' | b'$' | b','
    )
}

fn same_text(a: Option<&str>, b: Option<&str>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => units(a).eq(units(b)),
        (None, None) => true,
        _ => false,
    }
}

fn same_folded(a: Option<&str>, b: Option<&str>) -> bool {
    let fold = |s: &str| {
        units(s)
            .map(|(e, b)| (e, b.to_ascii_lowercase()))
            .collect::<Vec<_>>()
    };
    match (a, b) {
        (Some(a), Some(b)) => fold(a) == fold(b),
        (None, None) => true,
        _ => false,
    }
}

/// A parameter of both must be equal; one of these in only one of them makes a difference, others do not.
fn same_params(a: &Params<'_>, b: &Params<'_>) -> bool {
    const DECISIVE: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];
    let one_way = |a: &Params<'_>, b: &Params<'_>| {
        a.iter().all(|(name, value)| match b.find(name) {
            Some(other) => same_folded(value, other),
            None => !DECISIVE.iter().any(|d| d.eq_ignore_ascii_case(name)),
        })
    };
    one_way(a, b) && one_way(b, a)
}

/// Headers are never ignored; their order does not count.
fn same_headers(a: Option<&str>, b: Option<&str>) -> bool {
    let sorted = |h: Option<&str>| {
        let mut all: Vec<(String, Vec<(bool, u8)>)> = h
            .unwrap_or("")
            .split('&')
            .map(|one| one.split_once('=').unwrap_or((one, "")))
            .map(|(name, value)| (name.to_ascii_lowercase(), units(value).collect()))
            .collect();
        all.sort();
        all
    };
    a == b || sorted(a) == sorted(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 3261 §19.1.4, and our own for what they leave open.
    #[test]
    fn comparison_follows_the_rfc() {
        for (same, a, b) in [
            (
                true,
                "sip:%61lice@atlanta.com;transport=TCP",
                "sip:alice@AtLanTa.CoM;Transport=tcp",
            ),
            (
                true,
                "sip:carol@chicago.com",
                "sip:carol@chicago.com;newparam=5",
            ),
            (
                true,
                "sip:carol@chicago.com;newparam=5",
                "sip:carol@chicago.com;security=on",
            ),
            (
                true,
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            (
                true,
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
            (
                false,
                "SIP:ALICE@AtLanTa.CoM;Transport=udp",
                "sip:alice@AtLanTa.CoM;Transport=UDP",
            ),
            (false, "sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            (
                false,
                "sip:bob@biloxi.com",
                "sip:bob@biloxi.com;transport=udp",
            ),
            (
                false,
                "sip:bob@biloxi.com",
                "sip:bob@biloxi.com:6000;transport=tcp",
            ),
            (
                false,
                "sip:carol@chicago.com;newparam=5",
                "sip:carol@chicago.com;newparam=6",
            ),
            (
                false,
                "sip:carol@chicago.com",
                "sip:carol@chicago.com?Subject=next%20meeting",
            ),
            (false, "sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            (false, "sip:a@x", "sips:a@x"),
            (false, "sip:a%3Bb@x", "sip:a;b@x"),
            (true, "sip:a@[2001:DB8::1]", "sip:a@[2001:db8:0:0::1]"),
            (true, "tel:+1-555-123", "tel:+1555123"),
            (false, "tel:+1555123", "tel:1555123"),
            (
                false,
                "tel:123;phone-context=+1",
                "tel:123;phone-context=+2",
            ),
        ] {
            let (Some(x), Some(y)) = (Uri::parse(a), Uri::parse(b)) else {
                panic!("{a} and {b} are URIs")
            };
            assert_eq!(x.equivalent(&y), same, "{a} and {b}");
            assert_eq!(y.equivalent(&x), same, "{b} and {a}");
            assert!(x.equivalent(&x) && y.equivalent(&y));
        }
    }
}
