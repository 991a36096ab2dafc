//! Captures for Wireshark without its privileges: each Diameter message as one TCP segment, with headers made up from
//! the addresses of its connection, in a file of the classic pcap format (magic number `a1b2c3d4`, microseconds).

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::{SystemTime, UNIX_EPOCH};

/// LINKTYPE_RAW: packets begin with their IPv4 or IPv6 header.
const RAW_IP: u32 = 101;

/// Longest payload of one packet, in bytes; what is longer is several segments.
const SEGMENT: usize = 65_000;

/// Directions whose sequence numbers are kept; those of a capture with more connections begin anew.
const FLOWS_MAX: usize = 4_096;

/// A capture that is being written.
#[derive(Debug)]
pub struct Pcap<W> {
    out: W,
    /// The next sequence number of each direction.
    flows: BTreeMap<(SocketAddr, SocketAddr), u32>,
}

impl<W: Write> Pcap<W> {
    pub fn new(mut out: W) -> io::Result<Pcap<W>> {
        let mut head = Vec::with_capacity(24);
        head.extend(0xa1b2_c3d4_u32.to_be_bytes());
        head.extend([0, 2, 0, 4]); // version 2.4
        head.extend([0; 8]); // UTC, no statement on accuracy
        head.extend(u32::MAX.to_be_bytes()); // packets are whole
        head.extend(RAW_IP.to_be_bytes());
        out.write_all(&head)?;
        out.flush()?;
        Ok(Pcap {
            out,
            flows: BTreeMap::new(),
        })
    }

    /// Adds one message, and flushes, so that a reader of the file has it.
    pub fn message(
        &mut self,
        at: SystemTime,
        from: SocketAddr,
        to: SocketAddr,
        bytes: &[u8],
    ) -> io::Result<()> {
        if self.flows.len() >= FLOWS_MAX {
            self.flows.clear();
        }
        for payload in bytes.chunks(SEGMENT) {
            let heard = *self.flows.entry((to, from)).or_insert(1);
            let next = self.flows.entry((from, to)).or_insert(1);
            let segment = segment(from.port(), to.port(), (*next, heard), payload);
            let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
            *next = next.wrapping_add(length);
            let packet = packet(from.ip(), to.ip(), segment);
            let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
            let seconds = u32::try_from(since.as_secs()).unwrap_or(u32::MAX);
            let length = u32::try_from(packet.len()).unwrap_or(u32::MAX);
            // in one piece, so that a process that is killed leaves no half of it
            let head = [seconds, since.subsec_micros(), length, length];
            let mut record: Vec<u8> = head.into_iter().flat_map(u32::to_be_bytes).collect();
            record.extend(packet);
            self.out.write_all(&record)?;
        }
        self.out.flush()
    }
}

/// RFC 9293 §3.1, with PSH and ACK and without a checksum.
fn segment(from: u16, to: u16, (sequence, heard): (u32, u32), payload: &[u8]) -> Vec<u8> {
    let mut segment = Vec::with_capacity(20 + payload.len());
    segment.extend(from.to_be_bytes());
    segment.extend(to.to_be_bytes());
    segment.extend(sequence.to_be_bytes());
    segment.extend(heard.to_be_bytes());
    segment.extend([5 << 4, 0x18]); // a header of five words; PSH, ACK
    segment.extend(u16::MAX.to_be_bytes()); // window
    segment.extend([0; 4]); // checksum, urgent pointer
    segment.extend(payload);
    segment
}

fn packet(from: IpAddr, to: IpAddr, segment: Vec<u8>) -> Vec<u8> {
    const TCP: u8 = 6;
    const HOPS: u8 = 64;
    let mut packet = Vec::with_capacity(40 + segment.len());
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            // RFC 791 §3.1
            let length = u16::try_from(20 + segment.len()).unwrap_or(u16::MAX);
            packet.extend([4 << 4 | 5, 0]);
            packet.extend(length.to_be_bytes());
            packet.extend([0, 0, 0x40, 0]); // never fragmented
            packet.extend([HOPS, TCP, 0, 0]);
            packet.extend(from.octets());
            packet.extend(to.octets());
            let sum = checksum(&packet);
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        (from, to) => {
            // RFC 8200 §3
            let length = u16::try_from(segment.len()).unwrap_or(u16::MAX);
            packet.extend([6 << 4, 0, 0, 0]);
            packet.extend(length.to_be_bytes());
            packet.extend([TCP, HOPS]);
            packet.extend(v6(from).octets());
            packet.extend(v6(to).octets());
        }
    }
    packet.extend(segment);
    packet
}

fn v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// RFC 791 §3.1: the ones' complement of the ones' complement sum of all 16-bit words.
fn checksum(header: &[u8]) -> u16 {
    let words = header.chunks(2).map(|pair| match *pair {
        [high, low] => u32::from(high) << 8 | u32::from(low),
        _ => 0, // headers have an even length
    });
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_of_a_connection_follow_each_other() {
        let (client, server) = ("10.0.0.1:40000", "10.0.0.2:3868");
        let (client, server) = (client.parse().unwrap(), server.parse().unwrap());
        let mut pcap = Pcap::new(Vec::new()).unwrap();
        let at = UNIX_EPOCH + std::time::Duration::new(7, 5_000);
        pcap.message(at, client, server, &[1; 10]).unwrap();
        pcap.message(at, server, client, &[2; 4]).unwrap();
        pcap.message(at, client, server, &[3; 1]).unwrap();
        let all = pcap.out;
        assert_eq!(all.len(), 24 + 3 * (16 + 40) + 15);
        assert_eq!(&all[24..32], &[0, 0, 0, 7, 0, 0, 0, 5]);
        let third = &all[24 + 2 * 56 + 14 + 16..];
        assert_eq!(checksum(&third[..20]), 0, "of a header with its checksum");
        assert_eq!(
            &third[24..32],
            &[0, 0, 0, 11, 0, 0, 0, 5],
            "sequence, acknowledged"
        );
    }

    #[test]
    fn addresses_of_both_versions_have_headers() {
        let four: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let six: SocketAddr = "[::1]:2".parse().unwrap();
        for (from, to, head) in [(four, four, 0x45), (six, six, 0x60), (four, six, 0x60)] {
            let mut pcap = Pcap::new(Vec::new()).unwrap();
            pcap.message(UNIX_EPOCH, from, to, &[0; 20]).unwrap();
            assert_eq!(pcap.out[24 + 16], head);
        }
    }
}
