//! `Via`, RFC 3261 §20.42 with `rport` of RFC 3581.

use crate::sip::text::{Params, is_token, number, trim};
use crate::sip::uri::host_and_port;
use std::net::IpAddr;

/// What every branch made by RFC 3261 starts with; only then is it unique, §8.1.1.7.
pub const MAGIC_COOKIE: &str = "z9hG4bK";

/// One Via value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via<'a> {
    raw: &'a str,
    /// `UDP`, `TCP`, or any token.
    pub transport: &'a str,
    /// Host of sent-by, an IPv6 literal with its brackets.
    pub host: &'a str,
    /// Port of sent-by, if given.
    pub port: Option<u16>,
    pub params: Params<'a>,
    pub branch: Option<&'a str>,
}

impl<'a> Via<'a> {
    /// One element of a Via line. White space may stand around `/`, `:` and `;` (RFC 4475 §3.1.1.1).
    /// Stray separators, tolerated elsewhere, here leave in doubt whose answer this is (§3.1.2.1).
    pub fn parse(raw: &'a str) -> Option<Via<'a>> {
        let stray = |via: &Via<'_>| {
            via.params
                .as_str()
                .split(';')
                .skip(1)
                .any(|p| trim(p).is_empty())
        };
        Via::lenient(raw).filter(|via| !stray(via) && via.version_is("2.0"))
    }

    /// A Via of any version, stray separators included: enough to send a refusal to (§3.1.2.16).
    pub(crate) fn lenient(raw: &'a str) -> Option<Via<'a>> {
        let (head, params) = raw.split_at(raw.find(';').unwrap_or(raw.len()));
        let (name, rest) = head.split_once('/')?;
        let (_version, rest) = rest.split_once('/')?;
        let rest = rest.trim_start_matches([' ', '\t']);
        let (transport, sent_by) = rest.split_once([' ', '\t'])?;
        let (host, port) = sent_by_parts(trim(sent_by))?;
        let params = Params::parse(params)?;
        let branch = params.value("branch").filter(|b| is_branch(b));
        let sound = trim(name).eq_ignore_ascii_case("SIP") && is_token(transport);
        if !sound || (branch.is_none() && params.has("branch")) {
            return None;
        }
        Some(Via {
            raw,
            transport,
            host,
            port,
            params,
            branch,
        })
    }

    fn version_is(&self, wanted: &str) -> bool {
        self.raw
            .split('/')
            .nth(1)
            .is_some_and(|version| trim(version) == wanted)
    }

    /// Text as it stood.
    pub fn as_str(&self) -> &'a str {
        self.raw
    }

    pub fn branch(&self) -> Option<&'a str> {
        self.branch
    }

    /// Host and port as given; a retransmission repeats them octet for octet.
    pub fn sent_by(&self) -> (&'a str, Option<u16>) {
        (self.host, self.port)
    }

    /// The branch, when it is unique by itself (§17.2.3): it carries the cookie and something after it.
    pub fn unique_branch(&self) -> Option<&'a str> {
        self.branch.filter(|b| {
            let cookie = b
                .get(..MAGIC_COOKIE.len())
                .is_some_and(|c| c.eq_ignore_ascii_case(MAGIC_COOKIE));
            cookie && b.len() > MAGIC_COOKIE.len()
        })
    }

    /// Host of sent-by without the brackets of an IPv6 literal.
    pub fn bare_host(&self) -> &'a str {
        self.host
            .strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .unwrap_or(self.host)
    }

    /// Address in `received`, if it is one.
    pub fn received(&self) -> Option<IpAddr> {
        let value = self.params.value("received")?;
        value
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse()
            .ok()
    }

    /// `rport`: outer `None` absent, inner `None` asked for, else the port the server saw.
    pub fn rport(&self) -> Option<Option<u16>> {
        self.params.find("rport").map(|v| v.and_then(number::<u16>))
    }
}

/// A branch is a token in the grammar; real ones also hold `=`, `:` and the like.
fn is_branch(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'<' | b'>'))
}

/// `host [: port]` with white space allowed around the colon.
fn sent_by_parts(text: &str) -> Option<(&str, Option<u16>)> {
    if !text.contains([' ', '\t']) {
        return host_and_port(text);
    }
    let (host, port) = text.rsplit_once(':')?;
    let (host, none) = host_and_port(trim(host))?;
    none.is_none()
        .then_some((host, Some(number::<u16>(trim(port))?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_via_is_taken_apart() {
        for (value, host, port, branch, unique) in [
            (
                "SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKab;rport",
                "10.0.0.1",
                Some(5060),
                Some("z9hG4bKab"),
                true,
            ),
            (
                "SIP/2.0/TCP [2001:db8::1]:5061 ;branch=z9hG4bKx",
                "[2001:db8::1]",
                Some(5061),
                Some("z9hG4bKx"),
                true,
            ),
            (
                "SIP  / 2.0\t/ UDP  192.0.2.2 : 5060 ; branch = 390skdjuw",
                "192.0.2.2",
                Some(5060),
                Some("390skdjuw"),
                false,
            ),
            (
                "SIP/2.0/UDP t1.example.com",
                "t1.example.com",
                None,
                None,
                false,
            ),
            (
                "SIP/2.0/UDP a;branch=z9hG4bK",
                "a",
                None,
                Some("z9hG4bK"),
                false,
            ),
            (
                "SIP/2.0/UNKNOWN a;branch=z9hG4bKq;received=2001:db8::1",
                "a",
                None,
                Some("z9hG4bKq"),
                true,
            ),
        ] {
            let Some(via) = Via::parse(value) else {
                panic!("{value}")
            };
            assert_eq!(
                (via.host, via.port, via.branch),
                (host, port, branch),
                "{value}"
            );
            assert_eq!(via.unique_branch().is_some(), unique, "{value}");
        }
        let seen = Via::parse("SIP/2.0/UDP a;received=[2001:db8::1];rport=99")
            .map(|v| (v.received(), v.rport()));
        assert_eq!(seen, Some(("2001:db8::1".parse().ok(), Some(Some(99)))));
    }

    #[test]
    fn a_broken_via_is_refused() {
        for value in [
            "",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP ",
            "SIP/3.0/UDP a",
            "HTTP/2.0/UDP a",
            "SIP/2.0/UDP a:",
            "SIP/2.0/UDP a:99999",
            "SIP/2.0/UDP a;branch=",
            "SIP/2.0/UDP a;branch=\"x",
            "SIP/2.0/UDP a b",
            "SIP/2.0/UDP [::1",
            "SIP/2.0/UDP ;branch=z",
            "SIP/2.0/UDP a;;branch=z",
            "SIP/2.0/UDP a;",
        ] {
            assert_eq!(Via::parse(value), None, "{value}");
        }
    }
}
