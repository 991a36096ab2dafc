//! Answers: what of a request goes into a response, and where the response goes
//! (RFC 3261 §8.2.6, §18.2; RFC 3581 §4).

use super::flow::{Destination, Flow, Transport};
use super::header::via::Via;
use super::message::{Headers, Malformed, Request};
use super::method::KnownMethod;
use super::name::Name;
use super::status;
use super::text::{find_outside, trim};
use super::write::{Neutral, Writer, push_number, push_value};
use ahash::RandomState;
use bytes::Bytes;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

/// Starts the response to `req`: every Via in order (the top one with `received` and `rport`), From, To
/// with `to_tag` unless it has one, Call-ID and CSeq. A 100 gets no tag (§8.2.6.2). `reason` of `None` is
/// the registered phrase. `source` is where the request came from.
pub fn response<'b>(
    req: &Request<'_>,
    status: u16,
    reason: Option<&str>,
    to_tag: Option<&str>,
    source: SocketAddr,
) -> Writer<'b> {
    let tag = to_tag.filter(|_| status != 100 && req.to.tag().is_none());
    start(&req.headers, &req.via, (status, reason), tag, source)
}

impl Malformed<'_> {
    /// Status of the answer.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The answer, complete, and where it goes; `None` when there may be none: it is an ACK, its method
    /// cannot be read, or no Via says who asked. No state is kept, so the tag follows from the request
    /// itself and a retransmission gets the same one (RFC 3261 §8.2.7).
    pub fn answer(&self, flow: &Flow) -> Option<(Destination, Bytes)> {
        let via = self.via.as_ref()?;
        if self.method? == KnownMethod::Ack {
            return None;
        }
        let to = self.headers.get(Name::To).unwrap_or("");
        let has_tag = to.split(';').any(|p| {
            trim(p)
                .get(..4)
                .is_some_and(|t| t.eq_ignore_ascii_case("tag="))
        });
        let hash = RandomState::with_seeds(1, 2, 3, 4).hash_one((
            via.as_str(),
            self.headers.get(Name::CallId),
            to,
        ));
        let tag = format!("{hash:016x}");
        let tag = if has_tag { None } else { Some(tag.as_str()) };
        let bytes = start(
            &self.headers,
            via,
            (self.status, Some(self.reason)),
            tag,
            flow.remote,
        )
        .finish();
        Some((reply_to(via, flow), bytes))
    }
}

/// Where the response to a request goes. Over TCP the connection it came by (§18.2.2). Over UDP the
/// address it came from: its port with `rport` (RFC 3581 §4), else the port of sent-by or 5060.
///
/// `maddr` is not followed: we serve no multicast, and a unicast `maddr` would let anybody aim our
/// answers at somebody else.
pub fn reply_to(via: &Via<'_>, source: &Flow) -> Destination {
    let mut flow = *source;
    if flow.transport == Transport::Udp && via.rport().is_none() {
        flow.remote.set_port(via.port.unwrap_or(5060));
    }
    Destination::Flow(flow)
}

/// Where a response to `via` goes once its connection is gone: a new one to the address it came from,
/// port of sent-by or 5060 (§18.2.2).
pub fn reply_elsewhere(via: &Via<'_>, source: &Flow) -> Destination {
    Destination::Host {
        host: source.remote.ip().to_string().into(),
        port: Some(via.port.unwrap_or(5060)),
        transport: Some(source.transport),
    }
}

fn start<'b>(
    headers: &Headers<'_>,
    top: &Via<'_>,
    line: (u16, Option<&str>),
    tag: Option<&str>,
    source: SocketAddr,
) -> Writer<'b> {
    let copied = [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq];
    let size = headers
        .iter()
        .filter(|l| copied.contains(&l.name))
        .map(|l| l.value.len() + 12)
        .sum::<usize>();
    let (status, reason) = line;
    let mut writer =
        Writer::status_line(status, reason.unwrap_or(status::reason(status)), size + 320);
    for (index, line) in headers.lines(Name::Via).enumerate() {
        writer.raw_line("Via", |out| match index {
            0 => push_top_via(out, top, line, source),
            _ => push_value(out, line),
        });
    }
    for name in [Name::From, Name::To, Name::CallId, Name::CSeq] {
        let Some(value) = headers.get(name) else {
            continue;
        };
        writer.raw_line(name.as_str(), |out| {
            push_value(out, value);
            if let Some(tag) = tag.filter(|_| name == Name::To) {
                out.extend_from_slice(b";tag=");
                push_value(out, tag);
            }
        });
    }
    writer
}

/// The first Via line: its first value with what we saw of the sender, then the rest as it stood.
/// `received` when sent-by does not name the source (§18.2.1) or `rport` asks for it (RFC 3581 §4).
fn push_top_via(out: &mut Vec<u8>, top: &Via<'_>, line: &str, source: SocketAddr) {
    let rport = top.rport().is_some();
    let source_ip = source.ip().to_canonical();
    let same = top
        .bare_host()
        .parse::<IpAddr>()
        .is_ok_and(|ip| ip.to_canonical() == source_ip);
    let element_end = find_outside(line, b",", true).unwrap_or(line.len());
    let (element, rest) = line.split_at(element_end);
    if (same && !rport && !top.params.has("received")) || element.trim().is_empty() {
        push_value(out, line);
        return;
    }
    push_value(out, element.split(';').next().unwrap_or(element).trim_end());
    for (name, value) in top.params.iter() {
        if name.eq_ignore_ascii_case("received") || name.eq_ignore_ascii_case("rport") {
            continue; // what the sender says of itself here is not what we saw
        }
        out.push(b';');
        push_value(out, name);
        if let Some(value) = value {
            out.push(b'=');
            push_value(out, value);
        }
    }
    if !same || rport {
        // Writing into a vector cannot fail.
        let _ = write!(Neutral(out), ";received={source_ip}");
    }
    if rport {
        out.extend_from_slice(b";rport=");
        push_number(out, u64::from(source.port()));
    }
    push_value(out, rest);
}
