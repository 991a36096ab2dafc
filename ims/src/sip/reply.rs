//! Answers: what of a request goes into a response, and where the response goes
//! (RFC 3261 §8.2.6, §18.2; RFC 3581 §4).

use super::flow::{Destination, Flow};
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

/// Where the response to a request goes. Over TCP the connection it came by, and the port of sent-by when that
/// is gone (§18.2.2). Over UDP the address it came from: its port with `rport` (RFC 3581 §4), else the port of
/// sent-by or 5060.
///
/// `maddr` is not followed: we serve no multicast, and a unicast `maddr` would let anybody aim our
/// answers at somebody else.
pub fn reply_to(via: &Via<'_>, source: &Flow) -> Destination {
    let mut flow = *source;
    if flow.transport.is_reliable() || via.rport().is_none() {
        flow.remote.set_port(via.port.unwrap_or(5060));
    }
    Destination::Flow(flow)
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
        writer.field(Name::Via, |out| match index {
            0 => push_top_via(out, top, line, source),
            _ => push_value(out, line),
        });
    }
    for name in [Name::From, Name::To, Name::CallId, Name::CSeq] {
        let Some(value) = headers.get(name) else {
            continue;
        };
        writer.field(name, |out| {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::{Framing, Incoming, Limits, Transport, parse};

    const SOURCE: &str = "10.0.0.1:6000";

    fn message(via: &str) -> String {
        format!(
            "SUBSCRIBE sip:bob@ims.test SIP/2.0\r\nVia: {via}\r\nv: SIP/2.0/TCP b;x, SIP/2.0/UDP c\r\n\
             f: \"A\" <sip:a@x>;tag=1\r\nt: <sip:bob@ims.test>\r\ni: c1\r\nCSeq: 04 SUBSCRIBE\r\n\
             Record-Route: <sip:p;r2=on;lr>,<sip:p;r2=on;lr>\r\nRecord-Route: <sip:p;r2=on;lr>\r\nl: 0\r\n\r\n"
        )
    }

    fn source() -> SocketAddr {
        SOURCE
            .parse()
            .unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    fn flow(transport: Transport) -> Flow {
        Flow {
            transport,
            local: SocketAddr::from(([10, 0, 0, 9], 5060)),
            remote: source(),
            connection: 3,
        }
    }

    fn with_request<R>(text: &str, run: impl FnOnce(&Request<'_>) -> R) -> R {
        let mut bytes = text.as_bytes().to_vec();
        match parse(&mut bytes, Framing::Datagram, &Limits::default()) {
            Incoming::Request(request) => run(&request),
            other => panic!("{text}: {other:?}"),
        }
    }

    fn answer(text: &str, status: u16, tag: Option<&str>) -> String {
        let bytes = with_request(text, |r| {
            response(r, status, None, tag, source())
                .record_routes(r)
                .finish()
        });
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[test]
    fn an_answer_gives_back_what_the_request_had() {
        assert_eq!(
            answer(
                &message("SIP/2.0/UDP 10.0.0.1:6000;branch=z9hG4bK1"),
                200,
                Some("t1")
            ),
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.0.0.1:6000;branch=z9hG4bK1\r\nVia: SIP/2.0/TCP b;x, SIP/2.0/UDP c\r\n\
             From: \"A\" <sip:a@x>;tag=1\r\nTo: <sip:bob@ims.test>;tag=t1\r\nCall-ID: c1\r\nCSeq: 04 SUBSCRIBE\r\n\
             Record-Route: <sip:p;r2=on;lr>,<sip:p;r2=on;lr>\r\nRecord-Route: <sip:p;r2=on;lr>\r\nContent-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn the_top_via_tells_what_we_saw() {
        for (case, via, want) in [
            (
                "the source itself",
                "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1",
                "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1",
            ),
            (
                "a name",
                "SIP/2.0/UDP h:5;branch=z9hG4bK1",
                "SIP/2.0/UDP h:5;branch=z9hG4bK1;received=10.0.0.1",
            ),
            (
                "another address",
                "SIP/2.0/UDP 10.0.0.2",
                "SIP/2.0/UDP 10.0.0.2;received=10.0.0.1",
            ),
            (
                "rport asked for",
                "SIP/2.0/UDP 10.0.0.1;rport;branch=z",
                "SIP/2.0/UDP 10.0.0.1;branch=z;received=10.0.0.1;rport=6000",
            ),
            (
                "what the sender claims is replaced",
                "SIP/2.0/UDP h;received=1.1.1.1;rport=9;a",
                "SIP/2.0/UDP h;a;received=10.0.0.1;rport=6000",
            ),
            (
                "a claim that is not needed goes",
                "SIP/2.0/UDP 10.0.0.1;received=1.1.1.1;a=\"b;c\"",
                "SIP/2.0/UDP 10.0.0.1;a=\"b;c\"",
            ),
            (
                "more on the line stays",
                "SIP/2.0/UDP h , SIP/2.0/UDP d;received=x",
                "SIP/2.0/UDP h;received=10.0.0.1, SIP/2.0/UDP d;received=x",
            ),
        ] {
            let text = answer(&message(via), 200, None);
            assert_eq!(
                text.lines().nth(1),
                Some(format!("Via: {want}").as_str()),
                "{case}"
            );
        }
    }

    #[test]
    fn only_a_to_without_tag_gets_one_and_a_100_gives_none() {
        let plain = message("SIP/2.0/UDP h");
        let tagged = plain.replace("t: <sip:bob@ims.test>", "t: <sip:bob@ims.test>;tag=old");
        for (case, text, status, want) in [
            ("final", &plain, 404, ";tag=new"),
            ("provisional", &plain, 100, ""),
            ("in a dialog", &tagged, 200, ";tag=old"),
        ] {
            let answer = answer(text, status, Some("new"));
            assert!(
                answer.contains(&format!("To: <sip:bob@ims.test>{want}\r\n")),
                "{case}: {answer}"
            );
        }
    }

    #[test]
    fn answers_go_where_they_are_awaited() {
        for (case, transport, via, port) in [
            (
                "UDP to the port of sent-by",
                Transport::Udp,
                "SIP/2.0/UDP h:5070",
                5070,
            ),
            ("UDP to 5060", Transport::Udp, "SIP/2.0/UDP h", 5060),
            (
                "UDP with rport to the source",
                Transport::Udp,
                "SIP/2.0/UDP h:5070;rport",
                6000,
            ),
            (
                "TCP by the same connection, else to the port of sent-by",
                Transport::Tcp,
                "SIP/2.0/TCP h:5070;rport",
                5070,
            ),
        ] {
            let to = with_request(&message(via), |r| reply_to(&r.via, &flow(transport)));
            let Destination::Flow(to) = to else {
                panic!("{case}")
            };
            assert_eq!(
                (to.remote.port(), to.remote.ip(), to.connection),
                (port, source().ip(), 3),
                "{case}"
            );
        }
    }

    #[test]
    fn a_malformed_request_is_answered_once_and_for_all_the_same_unless_it_is_an_ack() {
        let broken = message("SIP/2.0/UDP h").replace("i: c1\r\n", "");
        for (case, text, answered) in [
            ("no Call-ID", broken.clone(), true),
            ("an ACK", broken.replace("SUBSCRIBE", "ACK"), false),
            (
                "no method",
                broken.replace("SUBSCRIBE sip:", "SUB@ sip:"),
                false,
            ),
            (
                "no Via",
                broken.replace("Via: SIP/2.0/UDP h\r\n", "Via: h\r\n"),
                false,
            ),
        ] {
            let run = || match parse(
                &mut text.as_bytes().to_vec(),
                Framing::Datagram,
                &Limits::default(),
            ) {
                Incoming::Malformed(bad) => bad.answer(&flow(Transport::Udp)),
                other => panic!("{case}: {other:?}"),
            };
            assert_eq!(run().is_some(), answered, "{case}");
            assert_eq!(
                run(),
                run(),
                "{case}: a retransmission gets the same answer"
            );
        }
    }
}
