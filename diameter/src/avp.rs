//! AVP data as values (RFC 6733 §4.2, §4.3). Each reader refuses data of the wrong length.

use crate::message::Avp;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

impl<'a> Avp<'a> {
    /// Unsigned32.
    pub fn u32(&self) -> Option<u32> {
        Some(u32::from_be_bytes(self.data.try_into().ok()?))
    }

    /// Unsigned64.
    pub fn u64(&self) -> Option<u64> {
        Some(u64::from_be_bytes(self.data.try_into().ok()?))
    }

    /// Integer64.
    pub fn i64(&self) -> Option<i64> {
        Some(i64::from_be_bytes(self.data.try_into().ok()?))
    }

    /// Integer32 and Enumerated.
    pub fn i32(&self) -> Option<i32> {
        Some(i32::from_be_bytes(self.data.try_into().ok()?))
    }

    /// UTF8String, DiameterIdentity, DiameterURI.
    pub fn text(&self) -> Option<&'a str> {
        std::str::from_utf8(self.data).ok()
    }

    /// Time as seconds since 1970.
    pub fn time(&self) -> Option<u64> {
        Some(time::from_wire(self.data.try_into().ok()?))
    }

    pub fn address(&self) -> Option<Address<'a>> {
        Address::read(self.data)
    }
}

/// The Time format: seconds since 1900 in 32 bits, which wrap on 2036-02-07T06:28:16Z.
pub mod time {
    /// Seconds from 1900 to 1970.
    const UNIX_EPOCH: u64 = 2_208_988_800;

    /// RFC 6733 §4.3.1 with RFC 5905 §6: the wrapped count is sent; the receiver knows the era by the first bit.
    pub fn to_wire(unix_seconds: u64) -> [u8; 4] {
        let [.., a, b, c, d] = unix_seconds.wrapping_add(UNIX_EPOCH).to_be_bytes();
        [a, b, c, d]
    }

    /// RFC 4330 §3, which RFC 6733 follows: "If bit 0 is set, the UTC time is in the range 1968-2036 ...
    /// If bit 0 is not set, the time is in the range 2036-2104". Before 1970 is taken as 1970.
    pub fn from_wire(data: [u8; 4]) -> u64 {
        let seconds = u64::from(u32::from_be_bytes(data));
        let era = if data[0] & 0x80 != 0 { 0 } else { 1 << 32 };
        (seconds + era).saturating_sub(UNIX_EPOCH)
    }
}

/// Address: a family of the IANA registry and its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address<'a> {
    Ip(IpAddr),
    /// A number in UTF-8 (family 8).
    E164(&'a str),
    /// Any other family, as it came.
    Other(u16, &'a [u8]),
}

impl<'a> Address<'a> {
    pub(crate) fn read(data: &'a [u8]) -> Option<Address<'a>> {
        let (family, value) = data.split_first_chunk::<2>()?;
        Some(match u16::from_be_bytes(*family) {
            1 => Address::Ip(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?).into()),
            2 => Address::Ip(Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?).into()),
            8 => Address::E164(std::str::from_utf8(value).ok()?),
            family => Address::Other(family, value),
        })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Address::Ip(IpAddr::V4(ip)) => {
                out.extend_from_slice(&[0, 1]);
                out.extend_from_slice(&ip.octets());
            }
            Address::Ip(IpAddr::V6(ip)) => {
                out.extend_from_slice(&[0, 2]);
                out.extend_from_slice(&ip.octets());
            }
            Address::E164(number) => {
                out.extend_from_slice(&[0, 8]);
                out.extend_from_slice(number.as_bytes());
            }
            Address::Other(family, value) => {
                out.extend_from_slice(&family.to_be_bytes());
                out.extend_from_slice(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dictionary::*;
    use crate::message::Message;
    use crate::write::Writer;

    /// What `fill` wrote, read back as the first AVP.
    fn round<R>(fill: impl FnOnce(&mut Writer), read: impl FnOnce(Avp<'_>) -> R) -> R {
        let mut writer = Writer::request(CMD_ACCOUNTING, APP_ACCOUNTING);
        fill(&mut writer);
        let bytes = writer.finish(1_000).unwrap();
        read(Message::parse(&bytes).unwrap().avps().next().unwrap())
    }

    #[test]
    fn time_passes_the_end_of_its_first_era() {
        const WRAP: u64 = 2_085_978_496; // 2036-02-07T06:28:16Z
        for (case, unix, wire) in [
            ("1970", 0, [0x83, 0xaa, 0x7e, 0x80]),
            (
                "2023-11-14T22:13:20Z",
                1_700_000_000,
                [0xe8, 0xfe, 0x6f, 0x80],
            ),
            ("the last second of era 0", WRAP - 1, [0xff; 4]),
            ("the first second of era 1", WRAP, [0; 4]),
            ("2040", 2_208_988_800, [0x07, 0x54, 0xfd, 0x00]),
        ] {
            assert_eq!(time::to_wire(unix), wire, "{case}");
            assert_eq!(time::from_wire(wire), unix, "{case}");
        }
    }

    #[test]
    fn every_address_family_comes_back() {
        for address in [
            Address::Ip([127, 0, 0, 1].into()),
            Address::Ip([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into()),
            Address::E164("15551230001"),
            Address::Other(6, &[1, 2, 3]),
        ] {
            round(
                |w| _ = w.address(&HOST_IP_ADDRESS, &address),
                |avp| assert_eq!(avp.address(), Some(address)),
            );
        }
    }

    #[test]
    fn numbers_and_text_come_back() {
        round(
            |w| _ = w.i32(&CAUSE_CODE, -2),
            |avp| assert_eq!(avp.i32(), Some(-2)),
        );
        round(
            |w| _ = w.i64(&VALUE_DIGITS, -(1 << 40)),
            |avp| assert_eq!(avp.i64(), Some(-(1 << 40))),
        );
        round(
            |w| _ = w.u64(&ACCOUNTING_SUB_SESSION_ID, 1 << 40),
            |avp| assert_eq!(avp.u64(), Some(1 << 40)),
        );
        round(
            |w| _ = w.octets(&CLASS, &[0xff]),
            |avp| assert_eq!((avp.text(), avp.data), (None, &[0xff][..])),
        );
        round(
            |w| _ = w.time(&EVENT_TIMESTAMP, 5),
            |avp| assert_eq!(avp.time(), Some(5)),
        );
    }

    #[test]
    fn data_of_another_length_is_no_number() {
        for text in ["", "abc", "abcde", "abcdefg"] {
            round(
                |w| _ = w.utf8(&USER_NAME, text),
                |avp| {
                    assert_eq!(
                        (avp.u32(), avp.i32(), avp.u64(), avp.time()),
                        (None, None, None, None),
                        "{text}"
                    );
                },
            );
        }
        for data in [&[0][..], &[0, 1, 1, 2, 3], &[0, 2, 1], &[0, 8, 0xff]] {
            round(
                |w| _ = w.octets(&CLASS, data),
                |avp| assert_eq!(avp.address(), None, "{data:?}"),
            );
        }
    }
}
