//! The canonical spelling of a URI (RFC 4826 §5): two that name the same service of resource lists are the same text.

use super::text::hex;
use super::uri::{Scheme, Uri, is_separator, is_unreserved};
use std::borrow::Cow;
use std::net::Ipv6Addr;

/// What may stand bare in a user part, beside unreserved characters (RFC 3261 §25.1), and in a password.
const USER: &[u8] = b"&=+$,;?/";
const PASSWORD: &[u8] = b"&=+$,";
/// The same in a URI parameter.
const PARAMETER: &[u8] = b"[]/:&+$";

/// The canonical spelling of `text`; a text that is no URI is its own, without white space around it.
pub fn canonical(text: &str) -> Cow<'_, str> {
    let text = text.trim();
    match Uri::parse(text) {
        Some(uri) => of(&uri),
        None => Cow::Borrowed(text),
    }
}

/// RFC 4826 §5: scheme, host and parameters in lower case, no escape of a character that may stand bare, parameters in
/// the order of their names, no headers. A telephone number loses its visual separators (RFC 3966 §4).
pub fn of<'a>(uri: &Uri<'a>) -> Cow<'a, str> {
    if is_canonical(uri) {
        return Cow::Borrowed(uri.as_str());
    }
    let mut out = String::with_capacity(uri.as_str().len());
    match uri.scheme {
        Scheme::Sip | Scheme::Sips | Scheme::Pres | Scheme::Im => hierarchical(uri, &mut out),
        Scheme::Tel => {
            out.push_str("tel:");
            let number = uri.user.unwrap_or_default().bytes();
            let digits = number.filter(|b| !is_separator(*b));
            out.extend(digits.map(|b| char::from(b.to_ascii_lowercase())));
        }
        Scheme::Urn | Scheme::Other(_) => return Cow::Borrowed(uri.as_str()),
    }
    parameters(uri, &mut out);
    Cow::Owned(out)
}

/// Whether a SIP URI is its own canonical spelling, as nearly all are; `false`: it may be so, too.
fn is_canonical(uri: &Uri<'_>) -> bool {
    let text = uri.as_str();
    let plain = |b: u8| b.is_ascii() && !matches!(b, b'%' | b';' | b'?' | b'[');
    let lower = |text: &str| !text.bytes().any(|b| b.is_ascii_uppercase());
    let is_sip = text.starts_with("sip:") || text.starts_with("sips:");
    is_sip && text.bytes().all(plain) && lower(uri.host)
}

fn hierarchical(uri: &Uri<'_>, out: &mut String) {
    out.push_str(uri.scheme.as_str());
    out.push(':');
    if let Some(user) = uri.user {
        unescaped(user, USER, false, out);
        if let Some(password) = uri.password {
            out.push(':');
            unescaped(password, PASSWORD, false, out);
        }
        out.push('@');
    }
    match uri.bare_host().parse::<Ipv6Addr>() {
        Ok(v6) => out.push_str(&format!("[{v6}]")),
        Err(_) => out.extend(uri.host.chars().map(|c| c.to_ascii_lowercase())),
    }
    if let Some(port) = uri.port {
        out.push_str(&format!(":{port}"));
    }
}

/// In the lexical order of their names.
fn parameters(uri: &Uri<'_>, out: &mut String) {
    let one = |(name, value): (&str, Option<&str>)| {
        let mut text = String::new();
        unescaped(name, PARAMETER, true, &mut text);
        let length = text.len();
        if let Some(value) = value {
            text.push('=');
            unescaped(value, PARAMETER, true, &mut text);
        }
        (text, length)
    };
    let mut all: Vec<(String, usize)> = uri.params.iter().map(one).collect();
    all.sort_by(|(a, n), (b, m)| a.get(..*n).cmp(&b.get(..*m)));
    for (parameter, _) in all {
        out.push(';');
        out.push_str(&parameter);
    }
}

/// `text` with every escape undone that need not be, the others in upper case.
fn unescaped(text: &str, bare: &[u8], lower: bool, out: &mut String) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&b) = bytes.get(at) {
        let digit = |at: usize| bytes.get(at).copied().and_then(hex);
        let byte = match (b, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                at += 3;
                high * 16 + low
            }
            _ => {
                at += 1;
                b
            }
        };
        if is_unreserved(byte) || bare.contains(&byte) {
            let byte = if lower {
                byte.to_ascii_lowercase()
            } else {
                byte
            };
            out.push(char::from(byte));
        } else {
            out.push('%');
            let digit = |n: u8| char::from(b"0123456789ABCDEF"[usize::from(n & 15)]);
            out.extend([digit(byte >> 4), digit(byte)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_uri_is_one_text() {
        for (text, want) in [
            (
                "sip:%6aoe%20smith@example.com",
                "sip:joe%20smith@example.com",
            ),
            ("SIP:Joe@EXAMPLE.com", "sip:Joe@example.com"),
            (" sip:joe@example.com\n", "sip:joe@example.com"),
            (
                "sip:joe@x.test;Transport=UDP;PRES-list=Rcs;lr",
                "sip:joe@x.test;lr;pres-list=rcs;transport=udp",
            ),
            ("sip:joe@x.test;ab=1;a=2", "sip:joe@x.test;a=2;ab=1"),
            (
                "sip:joe@x.test;a=%c3%A9;b=%41",
                "sip:joe@x.test;a=%C3%A9;b=a",
            ),
            ("sip:joe@x.test?subject=a", "sip:joe@x.test"),
            ("sip:joe:a%62c@x.test:5060", "sip:joe:abc@x.test:5060"),
            ("sip:x.test;a", "sip:x.test;a"),
            ("sip:jo%3be@x.test", "sip:jo;e@x.test"),
            ("sip:jos\u{e9}@x.test", "sip:jos%C3%A9@x.test"),
            ("sip:a@[2001:DB8:0::1]", "sip:a@[2001:db8::1]"),
            ("sips:joe@X.test", "sips:joe@x.test"),
            ("pres:joe@X.test", "pres:joe@x.test"),
            ("tel:+36-1 55", "tel:+36-1 55"),
            ("tel:+36-1-(55);ext=1;cic=A", "tel:+36155;cic=a;ext=1"),
            ("urn:service:SOS", "urn:service:SOS"),
            ("no uri", "no uri"),
        ] {
            assert_eq!(canonical(text), want, "{text}");
            assert_eq!(canonical(want), want, "canonical form of {want} is itself");
        }
    }

    #[test]
    fn what_differs_stays_different() {
        let all = [
            "sip:joe@x.test",
            "sip:Joe@x.test",
            "sips:joe@x.test",
            "sip:joe@x.test:5060",
            "sip:joe@x.test;pres-list=a",
            "sip:joe@x.test;pres-list=b",
            "sip:joe@x.test;pres-list",
            "sip:joe%40x.test@x.test",
            "sip:x.test",
        ];
        for (n, one) in all.iter().enumerate() {
            for other in all.iter().skip(n + 1) {
                assert_ne!(canonical(one), canonical(other), "{one} {other}");
            }
        }
    }
}
