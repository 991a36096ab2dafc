//! Where a peer listens, as the configuration or P-Charging-Function-Addresses says it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Port of Diameter over TCP (RFC 6733 §2.1).
const PORT: u16 = 3868;

/// Port of Diameter over TLS, as it is registered; the text of RFC 6733 §2.1 says 5658.
const SECURE_PORT: u16 = 5868;

/// Where a peer listens, and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub at: At,
    /// The name that its certificate must have; `None`: without TLS.
    pub secure: Option<String>,
}

/// Where something listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    Address(SocketAddr),
    /// To be resolved at each attempt.
    Name(String, u16),
}

impl Place {
    /// Reads `192.0.2.1:3868`, `[2001:db8::1]:3868` or `cdf1.home1.net:3868`.
    pub fn parse(text: &str) -> Option<Place> {
        let at = match text.parse() {
            Ok(address) => At::Address(address),
            Err(_) => {
                let (host, port) = text.rsplit_once(':')?;
                let port = port.parse().ok().filter(|port| *port != 0)?;
                At::Name(is_name(host).then(|| host.to_owned())?, port)
            }
        };
        Some(Place { at, secure: None })
    }

    pub fn secured(self, secure: Option<String>) -> Place {
        Place { secure, ..self }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            At::Address(address) => write!(f, "{address}"),
            At::Name(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

/// A domain name that an address was not meant to be.
fn is_name(host: &str) -> bool {
    let label = |l: &str| {
        !l.is_empty()
            && l.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let number = host
        .split('.')
        .all(|l| l.bytes().all(|b| b.is_ascii_digit()));
    host.len() <= 255 && !number && host.split('.').all(label)
}

/// One value of `ccf` or `ecf`, lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub host: String,
    pub port: u16,
    pub secure: bool,
}

impl Named {
    /// Reads `aaa://host:port;transport=tcp`, `host`, `host:port` or an address, also in quotes or brackets. `None` for
    /// what names no server that can be reached by TCP: another scheme, SCTP, or no host name.
    pub fn read(value: &str) -> Option<Named> {
        let value = value
            .trim()
            .trim_matches(|c| matches!(c, '"' | '<' | '>'))
            .to_ascii_lowercase();
        // RFC 6733 §4.3.1: "aaa://" FQDN [ port ] [ transport ] [ protocol ]; TCP is meant when nothing is said, since
        // SCTP is not offered here.
        let (secure, rest) = match value.split_once("://") {
            Some(("aaa", rest)) => (false, rest),
            Some(("aaas", rest)) => (true, rest),
            Some(_) => return None,
            None => (false, value.as_str()),
        };
        let usual = if secure { SECURE_PORT } else { PORT };
        let mut parts = rest.split(';');
        let authority = parts.next()?;
        if parts.any(|param| matches!(param.split_once('='), Some(("transport", t)) if t != "tcp"))
        {
            return None;
        }
        if let Ok(IpAddr::V6(ip)) = authority.parse() {
            return Some(Named {
                host: ip.to_string(),
                port: usual,
                secure,
            });
        }
        if let Ok(SocketAddr::V6(at)) = authority.parse() {
            return Some(Named {
                host: at.ip().to_string(),
                port: at.port(),
                secure,
            });
        }
        let (host, port) = match authority.trim_matches(|c| matches!(c, '[' | ']')) {
            v6 if v6.parse::<std::net::Ipv6Addr>().is_ok() => (v6, usual),
            authority => match authority.split_once(':') {
                Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0)?),
                None => (authority, usual),
            },
        };
        let fine = host.parse::<IpAddr>().is_ok() || is_name(host);
        fine.then(|| Named {
            host: host.to_owned(),
            port,
            secure,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ccf_is_read_in_each_form_that_cores_send() {
        let named = |host: &str, port| {
            Some(Named {
                host: host.into(),
                port,
                secure: port >= SECURE_PORT,
            })
        };
        for (value, expected) in [
            ("cdf1.ims.test", named("cdf1.ims.test", 3868)),
            ("CDF1.ims.test", named("cdf1.ims.test", 3868)),
            (
                "\"aaa://cdf1.ims.test:3900;transport=tcp\"",
                named("cdf1.ims.test", 3900),
            ),
            ("<aaa://cdf1.ims.test>", named("cdf1.ims.test", 3868)),
            (
                "aaa://cdf1.ims.test;protocol=diameter;transport=tcp",
                named("cdf1.ims.test", 3868),
            ),
            ("192.0.2.5", named("192.0.2.5", 3868)),
            ("192.0.2.5:3869", named("192.0.2.5", 3869)),
            ("2001:db8::1", named("2001:db8::1", 3868)),
            ("[2001:db8::1]", named("2001:db8::1", 3868)),
            ("aaa://[2001:DB8::1]:3870", named("2001:db8::1", 3870)),
            ("aaa://cdf1.ims.test;transport=sctp", None),
            ("aaas://cdf1.ims.test", named("cdf1.ims.test", 5868)),
            ("aaas://[2001:db8::1]:5869", named("2001:db8::1", 5869)),
            ("sip:cdf1.ims.test", None),
            ("cdf1.ims.test:0", None),
            ("cdf1.ims.test:99999", None),
            ("cdf 1", None),
            ("a..b", None),
            ("../etc", None),
            ("", None),
        ] {
            assert_eq!(Named::read(value), expected, "{value}");
        }
    }

    #[test]
    fn a_place_is_an_address_or_a_name_with_a_port() {
        for (text, fine) in [
            ("192.0.2.1:3868", true),
            ("[2001:db8::1]:3868", true),
            ("cdf1.ims.test:3868", true),
            ("localhost:1", true),
            ("192.0.2.1", false),
            ("2001:db8::1:3868", false),
            ("cdf1.ims.test:0", false),
            ("192.0.2.999:3868", false),
            ("a b:1", false),
            (":3868", false),
        ] {
            assert_eq!(Place::parse(text).is_some(), fine, "{text}");
        }
    }
}
