//! Digest challenges and credentials: `WWW-Authenticate`, `Authorization` and their proxy forms
//! (RFC 3261 §22.4, RFC 7616, RFC 8760). Only the text; the hash is computed where the secret is.

use crate::sip::text::{Params, find_outside, quote, trim, unquote};
use std::borrow::Cow;
use std::fmt;

/// Most parameters that are looked at.
const MAX_PARAMS: usize = 32;

/// A challenge or credentials: scheme and comma-separated parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest<'a> {
    params: Vec<(&'a str, &'a str)>,
}

impl<'a> Digest<'a> {
    /// `None` when the scheme is not `Digest`.
    pub fn parse(value: &'a str) -> Option<Digest<'a>> {
        let (scheme, mut rest) = trim(value).split_once([' ', '\t'])?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let mut params = Vec::new();
        while !rest.is_empty() && params.len() < MAX_PARAMS {
            let end = find_outside(rest, b",", false).unwrap_or(rest.len());
            let one = rest.get(..end)?;
            if let Some((name, value)) = Params::loose(one).iter().next() {
                params.push((name, value?));
            }
            rest = rest.get(end + 1..).unwrap_or("");
        }
        Some(Digest { params })
    }

    /// Parameter without quotes: `realm`, `nonce`, `opaque`, `algorithm`, `qop`, `stale`, `nextnonce`, ...
    pub fn param(&self, name: &str) -> Option<Cow<'a, str>> {
        self.params
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| unquote(v))
    }

    /// Whether `qop` offers `auth`.
    pub fn offers_auth(&self) -> bool {
        self.param("qop")
            .is_some_and(|q| q.split(',').any(|v| trim(v).eq_ignore_ascii_case("auth")))
    }

    /// Whether a new nonce comes with right credentials (`stale=true`).
    pub fn is_stale(&self) -> bool {
        self.param("stale")
            .is_some_and(|s| s.eq_ignore_ascii_case("true"))
    }
}

/// Credentials to print. `response` is computed by the caller over the same values.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    pub username: &'a str,
    pub realm: &'a str,
    pub nonce: &'a str,
    pub uri: &'a str,
    /// Lower-case hexadecimal.
    pub response: &'a str,
    /// As in the challenge; absent there, absent here.
    pub algorithm: Option<&'a str>,
    pub opaque: Option<&'a str>,
    /// Client nonce and nonce count, sent with `qop=auth`.
    pub qop: Option<(&'a str, u32)>,
}

impl fmt::Display for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest username=")?;
        let mut quoted = [
            ("", self.username),
            (",realm=", self.realm),
            (",nonce=", self.nonce),
            (",uri=", self.uri),
            (",response=", self.response),
        ]
        .into_iter()
        .chain(self.opaque.map(|o| (",opaque=", o)));
        quoted.try_for_each(|(name, value)| {
            f.write_str(name)?;
            quote(value, f)
        })?;
        if let Some(algorithm) = self.algorithm {
            write!(f, ",algorithm={algorithm}")?;
        }
        if let Some((cnonce, count)) = self.qop {
            f.write_str(",qop=auth,cnonce=")?;
            quote(cnonce, f)?;
            write!(f, ",nc={count:08x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_read() {
        let value = "Digest realm=\"ims.test\", nonce=\"a,b=\\\"c\", algorithm=SHA-256 , qop=\"auth,auth-int\",stale=TRUE, opaque=\"\"";
        let Some(challenge) = Digest::parse(value) else {
            panic!("{value}")
        };
        for (name, want) in [
            ("realm", Some("ims.test")),
            ("nonce", Some("a,b=\"c")),
            ("ALGORITHM", Some("SHA-256")),
            ("opaque", Some("")),
            ("domain", None),
        ] {
            assert_eq!(challenge.param(name).as_deref(), want, "{name}");
        }
        assert!(challenge.offers_auth() && challenge.is_stale());
        assert_eq!(Digest::parse("Basic realm=\"x\""), None);
        assert_eq!(Digest::parse("Digest"), None);
        assert_eq!(Digest::parse("Digest flag"), None);
    }

    #[test]
    fn credentials_print_what_a_server_reads() {
        let credentials = Credentials {
            username: "bob\"@x",
            realm: "ims.test",
            nonce: "n",
            uri: "sip:ims.test",
            response: "00ff",
            algorithm: Some("MD5"),
            opaque: Some("o"),
            qop: Some(("c", 1)),
        };
        let text = credentials.to_string();
        let Some(read) = Digest::parse(&text) else {
            panic!("{text}")
        };
        for (name, want) in [
            ("username", "bob\"@x"),
            ("nc", "00000001"),
            ("qop", "auth"),
            ("cnonce", "c"),
            ("opaque", "o"),
            ("response", "00ff"),
            ("algorithm", "MD5"),
        ] {
            assert_eq!(read.param(name).as_deref(), Some(want), "{name}");
        }
    }
}
