//! Sets of IP addresses: `192.0.2.1`, `192.0.2.0/24`, `2001:db8::/32`.

use serde::{Deserialize, Deserializer};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// An address with the number of leading bits that count (RFC 4632 §3.1, RFC 4291 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    bits: u8,
}

impl Cidr {
    /// One address alone.
    pub fn host(address: IpAddr) -> Cidr {
        let address = address.to_canonical();
        Cidr {
            address,
            bits: width(address),
        }
    }

    /// Whether `address` is in the set. An IPv4 address seen through an IPv6 socket (`::ffff:192.0.2.1`) is
    /// taken as the IPv4 address that it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        let shift = u32::from(width(self.address) - self.bits);
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                u32::from(own).checked_shr(shift) == u32::from(other).checked_shr(shift)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                u128::from(own).checked_shr(shift) == u128::from(other).checked_shr(shift)
            }
            _ => false,
        }
    }
}

/// Whether any of `sets` holds `address`.
pub fn any_contains(sets: &[Cidr], address: IpAddr) -> bool {
    sets.iter().any(|set| set.contains(address))
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl FromStr for Cidr {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Cidr, &'static str> {
        const EXPECTED: &str = "expected an IP address or ADDRESS/BITS, for example 192.0.2.0/24";
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| EXPECTED)?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| EXPECTED)?;
        let bits = bits.unwrap_or(width(address));
        if bits > width(address) {
            Err(EXPECTED)
        } else {
            Ok(Cidr { address, bits })
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bits == width(self.address) {
            true => self.address.fmt(f),
            false => write!(f, "{}/{}", self.address, self.bits),
        }
    }
}

impl<'de> Deserialize<'de> for Cidr {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Cidr, D::Error> {
        String::deserialize(from)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn membership() {
        for (set, address, member) in [
            ("127.0.0.0/8", "127.255.0.1", true),
            ("127.0.0.0/8", "128.0.0.1", false),
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/33", "2001:db8:7fff::1", true),
            ("2001:db8::/33", "2001:db8:8000::1", false),
            ("192.0.2.0/24", "::ffff:192.0.2.77", true),
        ] {
            let parsed: Cidr = set.parse().unwrap();
            assert_eq!(
                parsed.contains(address.parse().unwrap()),
                member,
                "{address} in {set}"
            );
            assert_eq!(parsed.to_string(), set, "printed as written");
        }
    }

    #[test]
    fn what_is_no_set_of_addresses_is_refused() {
        for text in [
            "",
            "localhost",
            "192.0.2.1/33",
            "::1/129",
            "192.0.2.1/",
            "192.0.2.1/-1",
            "192.0.2.1/24/8",
        ] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }
}
