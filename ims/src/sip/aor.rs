//! The canonical address of record: the one spelling under which we know a user.

use super::text::hex;
use super::uri::{Scheme, Uri, is_separator, is_unreserved};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;
use std::net::Ipv6Addr;
use std::sync::Arc;

/// Longest address of record, in bytes. Keys of the store are made of one or two, and must fit
/// [`KEY_MAX`](crate::record::KEY_MAX); addresses of an IMS core have less than a hundred.
pub const LONGEST: usize = 1_024;

/// An address of record in canonical form (RFC 3261 §10.3 step 5): equal exactly when the text is equal.
///
/// - `sips:` and `pres:` become `sip:`: one person, one presence (RFC 3856 §5);
/// - password, parameters and headers are dropped, and so is the default port of the scheme;
/// - the host is in lower case, an IPv6 literal in its shortest form;
/// - the user keeps its case; escapes are undone where the character may stand bare, else upper case;
/// - a `tel:` number loses its visual separators and every parameter but `phone-context`.
///
/// None is longer than [`LONGEST`]. Cloning is cheap (shared text).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Aor(Arc<str>);

impl Aor {
    /// The canonical form of `text`; `None` for anything but a `sip`, `sips`, `pres` or `tel` URI, and for one that is too
    /// long.
    pub fn parse(text: &str) -> Option<Aor> {
        Aor::of(&Uri::parse(text)?)
    }

    /// The canonical form of a URI that is already taken apart.
    pub fn of(uri: &Uri<'_>) -> Option<Aor> {
        let mut out = String::with_capacity(uri.as_str().len() + 4);
        let default_port = match uri.scheme {
            Scheme::Sip | Scheme::Pres => 5060,
            Scheme::Sips => 5061, // 5060 goes as well: what is left must be canonical as `sip:`
            Scheme::Tel => {
                telephone(uri, &mut out)?;
                return Aor::within_bounds(out);
            }
            Scheme::Im | Scheme::Urn | Scheme::Other(_) => return None,
        };
        out.push_str("sip:");
        if let Some(user) = uri.user {
            canonical_user(user, &mut out)?;
            out.push('@');
        }
        match uri.bare_host().parse::<Ipv6Addr>() {
            Ok(v6) => out.push_str(&format!("[{v6}]")),
            Err(_) => out.extend(uri.host.chars().map(|c| c.to_ascii_lowercase())),
        }
        if let Some(port) = uri.port.filter(|p| *p != default_port && *p != 5060) {
            out.push_str(&format!(":{port}"));
        }
        Aor::within_bounds(out)
    }

    fn within_bounds(text: String) -> Option<Aor> {
        (text.len() <= LONGEST).then(|| Aor(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `sip` or `tel`.
    pub fn scheme(&self) -> &str {
        self.0.split_once(':').map_or("", |(scheme, _)| scheme)
    }

    /// User in canonical spelling, or the number of a `tel:` without its parameters.
    pub fn user(&self) -> Option<&str> {
        let (scheme, rest) = self.0.split_once(':')?;
        match scheme {
            "tel" => rest.split(';').next(),
            _ => rest.split_once('@').map(|(user, _)| user),
        }
    }

    /// Host with a port that is not the default one; empty for `tel:`.
    pub fn host(&self) -> &str {
        let rest = self.0.strip_prefix("sip:").unwrap_or("");
        rest.split_once('@').map_or(rest, |(_, host)| host)
    }

    pub fn is_tel(&self) -> bool {
        self.0.starts_with("tel:")
    }
}

/// The user with every escape undone that may be, the others in upper case. `None` if an escape is broken.
fn canonical_user(user: &str, out: &mut String) -> Option<()> {
    let bytes = user.as_bytes();
    let mut at = 0;
    while let Some(&b) = bytes.get(at) {
        let byte = if b == b'%' {
            at += 3;
            hex(*bytes.get(at - 2)?)? * 16 + hex(*bytes.get(at - 1)?)?
        } else {
            at += 1;
            b
        };
        if is_unreserved(byte)
            || matches!(byte, b'&' | b'=' | b'+' | b'$' | b',' | b';' | b'?' | b'/')
        {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.extend(
                [byte >> 4, byte & 15].map(|n| char::from(b"0123456789ABCDEF"[usize::from(n)])),
            );
        }
    }
    Some(())
}

fn telephone(uri: &Uri<'_>, out: &mut String) -> Option<()> {
    let digits = |s: &str, out: &mut String| {
        out.extend(
            s.bytes()
                .filter(|b| !is_separator(*b))
                .map(|b| char::from(b.to_ascii_lowercase())),
        );
    };
    out.push_str("tel:");
    digits(uri.user?, out);
    if let Some(context) = uri
        .params
        .value("phone-context")
        .filter(|_| uri.user.is_some_and(|u| !u.starts_with('+')))
    {
        out.push_str(";phone-context=");
        if context.starts_with('+') {
            digits(context, out);
        } else {
            out.extend(context.chars().map(|c| c.to_ascii_lowercase()));
        }
    }
    Some(())
}

impl fmt::Display for Aor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Aor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Aor {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Serialize for Aor {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

/// Read back through [`Aor::parse`], so that a stored or configured text is canonical or refused.
impl<'de> Deserialize<'de> for Aor {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Aor, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        Aor::parse(&text).ok_or_else(|| D::Error::custom("not a sip or tel address of record"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_record_has_a_bounded_length_in_its_canonical_form() {
        let sip = |length: usize| format!("sip:{}@x", "b".repeat(length - 6));
        let tel = |length: usize| format!("tel:+{}", "1".repeat(length - 5));
        // an escape takes three
        let escaped = format!("sip:{}@x", "é".repeat(LONGEST / 6));
        for (text, is_one) in [
            (sip(LONGEST), true),
            (sip(LONGEST + 1), false),
            (tel(LONGEST), true),
            (tel(LONGEST + 1), false),
            (escaped, false),
        ] {
            assert_eq!(Aor::parse(&text).is_some(), is_one, "{text}");
        }
    }

    #[test]
    fn every_spelling_of_an_address_is_one_address() {
        for (text, want) in [
            (
                "sip:Bob%40x@IMS.test;user=phone?x=y",
                "sip:Bob%40x@ims.test",
            ),
            ("sips:%62ob@ims.test:5061", "sip:bob@ims.test"),
            ("sips:bob@ims.test:5060", "sip:bob@ims.test"),
            ("sip:bob@ims.test:5060", "sip:bob@ims.test"),
            ("sip:bob@ims.test:5070", "sip:bob@ims.test:5070"),
            ("pres:bob@ims.test", "sip:bob@ims.test"),
            ("sip:bob:secret@ims.test", "sip:bob@ims.test"),
            ("sip:ims.test", "sip:ims.test"),
            ("sip:b%c3%a9la@x", "sip:b%C3%A9la@x"),
            ("sip:béla@x", "sip:b%C3%A9la@x"),
            ("sip:a%2Fb;c@x", "sip:a/b;c@x"),
            (
                "sip:null-%00-null@example.com",
                "sip:null-%00-null@example.com",
            ),
            ("sip:a@[2001:DB8:0::1]", "sip:a@[2001:db8::1]"),
            ("tel:+36-1-(055).5500", "tel:+3610555500"),
            ("tel:+3610555500;ext=5;phone-context=x", "tel:+3610555500"),
            (
                "tel:7042;phone-context=Example.com;x=y",
                "tel:7042;phone-context=example.com",
            ),
            (
                "tel:*21#;phone-context=+36-1",
                "tel:*21#;phone-context=+361",
            ),
        ] {
            let aor = Aor::parse(text);
            assert_eq!(aor.as_ref().map(Aor::as_str), Some(want), "{text}");
            assert_eq!(Aor::parse(want), aor, "canonical form of {want} is itself");
        }
    }

    #[test]
    fn what_is_no_address_of_record_is_refused() {
        for text in [
            "",
            "bob",
            "bob@ims.test",
            "http://ims.test/",
            "urn:service:sos",
            "im:bob@x",
            "sip:a%4@x",
            "<sip:a@x>",
        ] {
            assert_eq!(Aor::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_address_is_taken_apart() {
        for (text, scheme, user, host) in [
            (
                "sip:+36-105-550-001@ims.test;user=phone",
                "sip",
                Some("+36-105-550-001"),
                "ims.test",
            ),
            ("sip:bob@ims.test", "sip", Some("bob"), "ims.test"),
            ("sip:ims.test:5070", "sip", None, "ims.test:5070"),
            ("tel:+361", "tel", Some("+361"), ""),
        ] {
            let Some(aor) = Aor::parse(text) else {
                panic!("{text}")
            };
            assert_eq!(
                (aor.scheme(), aor.user(), aor.host()),
                (scheme, user, host),
                "{text}"
            );
        }
    }

    #[test]
    fn storage_gives_back_the_same_address() {
        let Some(aor) = Aor::parse("sip:bob@ims.test") else {
            panic!("an address")
        };
        assert_eq!(
            crate::record::decode::<Aor>(&crate::record::encode(&aor)),
            Some(aor)
        );
        let odd = crate::record::encode(&"bob");
        assert_eq!(
            crate::record::decode::<Aor>(&odd),
            None,
            "text that is no address is refused"
        );
    }
}
