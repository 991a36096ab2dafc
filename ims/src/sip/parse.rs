//! Bytes to message: one pass, nothing copied, every general rule checked (RFC 3261 §7, §8.1.1, §18.3).

use super::header::address::NameAddr;
use super::header::cseq::CSeq;
use super::header::via::Via;
use super::limits::Limits;
use super::message::{Headers, Incoming, Malformed, Request, Response};
use super::method::Method;
use super::name::Name;
use super::scan::Scan;
use super::start_line::StartLine;
use super::text::{elements, number};
use super::uri::{Scheme, Uri};

/// How the end of a message is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// One message a datagram: without Content-Length the body ends with it, and what comes after the
    /// body is discarded (§18.3).
    Datagram,
    /// Content-Length is what ends the message, so it must be there (§18.3).
    Stream,
}

/// Why a message is refused: status and a fixed text for the reason phrase.
pub(super) type Fault = (u16, &'static str);

/// Reads one message. Folded lines are unfolded in place, which is why `bytes` is mutable.
pub fn parse<'a>(bytes: &'a mut [u8], framing: Framing, limits: &Limits) -> Incoming<'a> {
    let lead = bytes
        .iter()
        .take_while(|b| matches!(b, b'\r' | b'\n'))
        .count();
    let too_large = bytes.len() > limits.max_message;
    let Some(bytes) = bytes.get_mut(lead..).filter(|b| !b.is_empty()) else {
        return if lead > 0 {
            Incoming::KeepAlive
        } else {
            Incoming::Ignored("empty")
        };
    };
    let mut scan = Scan::new(bytes);
    let Some(start) = scan.line() else {
        return Incoming::Ignored("no line");
    };
    let Ok(start) = std::str::from_utf8(start) else {
        return Incoming::Ignored("start-line is not UTF-8");
    };
    if start.len() > limits.max_line {
        scan.fault.get_or_insert((414, "Request-URI Too Long"));
    }
    let headers = scan.headers(limits);
    if too_large {
        scan.fault.get_or_insert((513, "Message Too Large"));
    }
    let message = Parts {
        headers,
        body: scan.rest,
        fault: scan.fault,
        framing,
        limits,
    };
    match StartLine::parse(start) {
        StartLine::Request { method, uri, fault } => message.request(method, uri, fault),
        StartLine::Response { status, reason } => message.response(status, reason),
        StartLine::Neither(why) => Incoming::Ignored(why),
    }
}

/// Header fields that must stand at most once, because two of them would mean two different messages.
const fn is_single(name: Name) -> bool {
    matches!(
        name,
        Name::CallId
            | Name::CSeq
            | Name::From
            | Name::To
            | Name::MaxForwards
            | Name::ContentLength
            | Name::ContentType
            | Name::Event
            | Name::Expires
            | Name::SubscriptionState
            | Name::SipEtag
            | Name::MinExpires
    )
}

/// A message whose lines are known.
struct Parts<'a, 'l> {
    headers: Headers<'a>,
    body: &'a [u8],
    fault: Option<Fault>,
    framing: Framing,
    limits: &'l Limits,
}

/// What requests and responses have in common.
struct Common<'a> {
    via: Via<'a>,
    from: NameAddr<'a>,
    to: NameAddr<'a>,
    call_id: &'a str,
    cseq: CSeq<'a>,
    body: &'a [u8],
}

impl<'a> Parts<'a, '_> {
    fn request(
        self,
        method: Option<Method<'a>>,
        uri: &'a str,
        fault: Option<Fault>,
    ) -> Incoming<'a> {
        let checked = fault
            .or(self.fault)
            .map_or(Ok(()), Err)
            .and_then(|()| self.check_request(method, uri));
        match (checked, method) {
            (Ok((common, max_forwards)), Some(method)) => {
                let Common {
                    via,
                    from,
                    to,
                    call_id,
                    cseq,
                    body,
                } = common;
                let headers = self.headers;
                Incoming::Request(Request {
                    method,
                    uri,
                    headers,
                    body,
                    via,
                    from,
                    to,
                    call_id,
                    cseq,
                    max_forwards,
                })
            }
            (Ok(_), None) => Incoming::Ignored("no method"),
            (Err((status, reason)), method) => {
                let via = self.top_via();
                Incoming::Malformed(Malformed {
                    status,
                    reason,
                    method,
                    headers: self.headers,
                    via,
                })
            }
        }
    }

    fn response(self, status: u16, reason: &'a str) -> Incoming<'a> {
        match self.fault.map_or_else(|| self.check_response(), Err) {
            Ok((via, cseq, body)) => Incoming::Response(Response {
                status,
                reason,
                headers: self.headers,
                body,
                via,
                cseq,
            }),
            // A response is never answered, so a broken one is dropped with its cause.
            Err((_, why)) => Incoming::Ignored(why),
        }
    }

    /// What a response needs to find its request, and nothing else: one comes for each NOTIFY.
    fn check_response(&self) -> Result<(Via<'a>, CSeq<'a>, &'a [u8]), Fault> {
        if self.repeats_a_single_one() {
            return Err((400, "Repeated Header Field"));
        }
        let mut vias = self.headers.lines(Name::Via).flat_map(elements);
        let via = vias.next().ok_or((400, "Missing Via"))?;
        // §8.1.3.3: a user agent discards a response with more than its own Via
        if vias.next().is_some() {
            return Err((400, "Response For Somebody Else"));
        }
        let via = Via::parse(via).ok_or((400, "Bad Via"))?;
        let cseq = self.headers.get(Name::CSeq).and_then(CSeq::parse);
        Ok((via, cseq.ok_or((400, "Bad CSeq"))?, self.body()?))
    }

    fn check_request(
        &self,
        method: Option<Method<'a>>,
        uri: &'a str,
    ) -> Result<(Common<'a>, Option<u8>), Fault> {
        let common = self.check()?;
        if Some(common.cseq.method) != method {
            return Err((400, "CSeq Method Does Not Match"));
        }
        let max_forwards = match self.headers.get(Name::MaxForwards) {
            None => None,
            Some(value) => Some(number::<u8>(value).ok_or((400, "Bad Max-Forwards"))?),
        };
        match Uri::parse(uri) {
            None => Err((400, "Bad Request-URI")),
            Some(Uri {
                scheme: Scheme::Other(_),
                ..
            }) => Err((416, "Unsupported URI Scheme")),
            // §19.1.1, table 1: headers have no place in a Request-URI.
            Some(Uri {
                headers: Some(_), ..
            }) => Err((400, "Header Fields In Request-URI")),
            Some(_) => Ok((common, max_forwards)),
        }
    }

    fn check(&self) -> Result<Common<'a>, Fault> {
        if self.repeats_a_single_one() {
            return Err((400, "Repeated Header Field"));
        }
        let need = |name, missing| self.headers.get(name).ok_or((400, missing));
        let via = self.vias()?;
        let from = NameAddr::parse(need(Name::From, "Missing From")?).ok_or((400, "Bad From"))?;
        let to = NameAddr::parse(need(Name::To, "Missing To")?).ok_or((400, "Bad To"))?;
        // A tag without value would hide the one that we add, and with it the dialog.
        let mute = |address: &NameAddr<'_>| address.params.has("tag") && address.tag().is_none();
        if mute(&from) || mute(&to) {
            return Err((400, "Bad Tag"));
        }
        let call_id = need(Name::CallId, "Missing Call-ID")?;
        if call_id.is_empty() || !call_id.bytes().all(|b| b.is_ascii_graphic()) {
            return Err((400, "Bad Call-ID"));
        }
        let cseq = CSeq::parse(need(Name::CSeq, "Missing CSeq")?).ok_or((400, "Bad CSeq"))?;
        Ok(Common {
            via,
            from,
            to,
            call_id,
            cseq,
            body: self.body()?,
        })
    }

    fn repeats_a_single_one(&self) -> bool {
        let mut seen = 0u128; // one bit for each name; there are fewer than 128
        self.headers
            .iter()
            .filter(|line| is_single(line.name))
            .any(|line| {
                let bit = 1u128 << (line.name as u32);
                let repeated = seen & bit != 0;
                seen |= bit;
                repeated
            })
    }

    /// The topmost Via, all of them counted and read.
    fn vias(&self) -> Result<Via<'a>, Fault> {
        let mut top = None;
        let mut count = 0;
        for element in self.headers.lines(Name::Via).flat_map(elements) {
            count += 1;
            if count > self.limits.max_vias {
                return Err((513, "Too Many Via Header Fields"));
            }
            // Only the topmost is ours to understand; the others are copied as they stand.
            if top.is_none() {
                top = Some(Via::parse(element).ok_or((400, "Bad Via"))?);
            }
        }
        top.ok_or((400, "Missing Via"))
    }

    fn top_via(&self) -> Option<Via<'a>> {
        self.headers
            .lines(Name::Via)
            .flat_map(elements)
            .next()
            .and_then(Via::lenient)
    }

    fn body(&self) -> Result<&'a [u8], Fault> {
        match (self.headers.get(Name::ContentLength), self.framing) {
            (None, Framing::Datagram) => Ok(self.body),
            (None, Framing::Stream) => Err((400, "Missing Content-Length")),
            (Some(value), _) => {
                let length = number::<usize>(value).ok_or((400, "Bad Content-Length"))?;
                self.body
                    .get(..length)
                    .ok_or((400, "Content-Length Beyond Message"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = "PUBLISH sip:bob@ims.test SIP/2.0\r\n\
        Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKa\r\n\
        Max-Forwards: 70\r\n\
        From: <sip:bob@ims.test>;tag=1\r\n\
        To: <sip:bob@ims.test>\r\n\
        Call-ID: a@b\r\n\
        CSeq: 1 PUBLISH\r\n\
        Event: presence\r\n\
        Content-Length: 4\r\n\
        \r\n\
        body";

    /// Status of the refusal, 0 for an accepted request, 1 for an accepted response, 2 for silence.
    fn verdict_of(bytes: &[u8], framing: Framing, limits: &Limits) -> u16 {
        match parse(&mut bytes.to_vec(), framing, limits) {
            Incoming::Request(_) => 0,
            Incoming::Response(_) => 1,
            Incoming::Malformed(bad) => bad.status,
            Incoming::KeepAlive | Incoming::Ignored(_) => 2,
        }
    }

    fn verdict(text: &str) -> u16 {
        verdict_of(text.as_bytes(), Framing::Datagram, &Limits::default())
    }

    #[test]
    fn a_request_is_taken_apart() {
        let mut bytes = REQUEST.as_bytes().to_vec();
        let Incoming::Request(req) = parse(&mut bytes, Framing::Datagram, &Limits::default())
        else {
            panic!("a request")
        };
        assert_eq!(
            (req.method, req.uri, req.body),
            (Method::PUBLISH, "sip:bob@ims.test", &b"body"[..])
        );
        assert_eq!(
            (req.call_id, req.cseq.number, req.max_forwards),
            ("a@b", 1, Some(70))
        );
        assert_eq!(
            (req.from.tag(), req.to.tag(), req.via.branch),
            (Some("1"), None, Some("z9hG4bKa"))
        );
        assert_eq!(req.headers.get(Name::Event), Some("presence"));
    }

    #[test]
    fn each_rule_has_its_refusal() {
        for (case, from, to, want) in [
            ("as it is", "", "", 0),
            (
                "leading line ends mean nothing",
                "PUBLISH sip:",
                "\r\n\r\nPUBLISH sip:",
                0,
            ),
            ("compact names", "Call-ID:", "i:", 0),
            ("space before the colon", "Call-ID:", "CALL-id \t:", 0),
            ("a folded line", "Call-ID: a@b", "Call-ID:\r\n\t a@b", 0),
            (
                "folded over an empty line",
                "CSeq: 1 PUBLISH",
                "CSeq: 1\r\n \r\n PUBLISH",
                0,
            ),
            ("unknown method", "PUBLISH", "NOSUCH", 0),
            (
                "tel in the Request-URI",
                "sip:bob@ims.test SIP/2.0",
                "tel:+361 SIP/2.0",
                0,
            ),
            ("IPv6 in Via", "10.0.0.1:5060", "[2001:db8::1]:5060", 0),
            ("no Max-Forwards", "Max-Forwards: 70\r\n", "", 0),
            (
                "no Content-Length in a datagram",
                "Content-Length: 4\r\n",
                "",
                0,
            ),
            (
                "Content-Length shorter than the datagram",
                "Content-Length: 4",
                "Content-Length: 3",
                0,
            ),
            (
                "method in lower case is another method than the one in CSeq",
                "PUBLISH sip:",
                "publish sip:",
                400,
            ),
            (
                "Content-Length longer than the datagram",
                "Content-Length: 4",
                "Content-Length: 5",
                400,
            ),
            ("Content-Length twice", "Event: presence", "l: 4", 400),
            (
                "Content-Length no number",
                "Content-Length: 4",
                "Content-Length: four",
                400,
            ),
            (
                "Max-Forwards at its limit",
                "Max-Forwards: 70",
                "Max-Forwards: 255",
                0,
            ),
            (
                "Max-Forwards beyond it",
                "Max-Forwards: 70",
                "Max-Forwards: 256",
                400,
            ),
            ("CSeq at its limit", "CSeq: 1", "CSeq: 2147483647", 0),
            ("CSeq beyond it", "CSeq: 1", "CSeq: 2147483648", 400),
            (
                "CSeq of another method",
                "CSeq: 1 PUBLISH",
                "CSeq: 1 NOTIFY",
                400,
            ),
            ("no Call-ID", "Call-ID: a@b\r\n", "", 400),
            ("empty Call-ID", "Call-ID: a@b", "Call-ID:", 400),
            ("space in Call-ID", "Call-ID: a@b", "Call-ID: a b", 400),
            ("Call-ID twice", "Event: presence", "i: a@b", 400),
            ("no From", "From: <sip:bob@ims.test>;tag=1\r\n", "", 400),
            (
                "broken From",
                "From: <sip:bob@ims.test>",
                "From: <sip:bob@ims.test",
                400,
            ),
            ("tag without value", ";tag=1", ";tag", 400),
            ("empty tag", ";tag=1", ";tag=", 400),
            ("To twice", "Event: presence", "t: <sip:bob@ims.test>", 400),
            ("Event twice", "Max-Forwards: 70", "o: presence", 400),
            (
                "a line without colon",
                "Event: presence",
                "Event presence",
                400,
            ),
            (
                "a name that is no token",
                "Event: presence",
                "Ev ent: presence",
                400,
            ),
            (
                "a line feed alone",
                "Event: presence\r\n",
                "Event: presence\n",
                400,
            ),
            (
                "a carriage return alone",
                "presence\r\n",
                "pres\rence\r\n",
                400,
            ),
            ("a NUL", "Event: presence", "Event: pres\0ence", 400),
            (
                "an escaped NUL in a quoted string",
                "From: <",
                "From: \"\\\0\" <",
                0,
            ),
            ("an escaped line feed", "From: <", "From: \"\\\n\" <", 400),
            (
                "version 3",
                "SIP/2.0\r\nVia: SIP/2.0/",
                "SIP/3.0\r\nVia: SIP/3.0/",
                505,
            ),
            ("no such version", "test SIP/2.0", "test SIP/two", 400),
            (
                "unknown scheme",
                "sip:bob@ims.test SIP/2.0",
                "mailto:bob@ims.test SIP/2.0",
                416,
            ),
            ("no URI", "sip:bob@ims.test SIP/2.0", "bob SIP/2.0", 400),
            ("URI missing", "sip:bob@ims.test SIP/2.0", "SIP/2.0", 400),
            (
                "no Via",
                "Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKa\r\n",
                "",
                400,
            ),
            ("broken Via", "UDP 10.0.0.1", "UDP 10.0.0.1.1", 400),
            ("not SIP", "SIP/2.0\r\nVia", "HTTP/1.1\r\nVia", 2),
            ("no header part", REQUEST, "hello", 2),
            ("cut in the header part", "\r\n\r\nbody", "\r\n", 400),
            (
                "cut in a line",
                "\r\nContent-Length: 4\r\n\r\nbody",
                "",
                400,
            ),
        ] {
            assert!(REQUEST.contains(from), "{case}: the change applies");
            let text = if from.is_empty() {
                REQUEST.to_owned()
            } else {
                REQUEST.replacen(from, to, 1)
            };
            let text = if case == "unknown method" {
                text.replace("1 PUBLISH", "1 NOSUCH")
            } else {
                text
            };
            assert_eq!(verdict(&text), want, "{case}");
        }
    }

    #[test]
    fn octets_that_are_not_utf8_are_refused_only_where_they_decide_something() {
        for (case, at, want) in [
            ("Subject", "Subject: ", 0),
            ("unknown", "X-Name: ", 0),
            ("From", "From: ", 400),
            ("Event", "o: ", 400),
        ] {
            let (head, tail) = REQUEST
                .split_once("Max-Forwards: 70\r\n")
                .unwrap_or_default();
            let bytes = [
                head.as_bytes(),
                at.as_bytes(),
                b"J\xf6rg\r\n",
                tail.as_bytes(),
            ]
            .concat();
            assert_eq!(
                verdict_of(&bytes, Framing::Datagram, &Limits::default()),
                want,
                "{case}"
            );
        }
    }

    #[test]
    fn on_a_stream_the_length_must_be_told() {
        let without = REQUEST.replace("Content-Length: 4\r\n", "");
        assert_eq!(
            verdict_of(without.as_bytes(), Framing::Stream, &Limits::default()),
            400
        );
        assert_eq!(
            verdict_of(REQUEST.as_bytes(), Framing::Stream, &Limits::default()),
            0
        );
    }

    #[test]
    fn each_limit_holds_at_its_edge() {
        let all = Limits::default();
        let lines = REQUEST
            .split("\r\n\r\n")
            .next()
            .unwrap_or("")
            .lines()
            .count()
            - 1;
        let longest = REQUEST.lines().map(str::len).max().unwrap_or(0);
        let two = REQUEST.replace("Event: presence", "v: SIP/2.0/UDP a, SIP/2.0/UDP b");
        for (case, text, limits, want) in [
            (
                "size",
                REQUEST,
                Limits {
                    max_message: REQUEST.len(),
                    ..all
                },
                0,
            ),
            (
                "size and one",
                REQUEST,
                Limits {
                    max_message: REQUEST.len() - 1,
                    ..all
                },
                513,
            ),
            (
                "lines",
                REQUEST,
                Limits {
                    max_headers: lines,
                    ..all
                },
                0,
            ),
            (
                "lines and one",
                REQUEST,
                Limits {
                    max_headers: lines - 1,
                    ..all
                },
                513,
            ),
            (
                "line",
                REQUEST,
                Limits {
                    max_line: longest,
                    ..all
                },
                0,
            ),
            (
                "line and one",
                REQUEST,
                Limits {
                    max_line: longest - 1,
                    ..all
                },
                513,
            ),
            (
                "start-line",
                REQUEST,
                Limits {
                    max_line: 20,
                    ..all
                },
                414,
            ),
            ("hops", &two, Limits { max_vias: 3, ..all }, 0),
            ("hops and one", &two, Limits { max_vias: 2, ..all }, 513),
            ("values", &two, Limits { max_list: 1, ..all }, 0),
            ("values and one", &two, Limits { max_list: 0, ..all }, 513),
        ] {
            assert_eq!(
                verdict_of(text.as_bytes(), Framing::Datagram, &limits),
                want,
                "{case}"
            );
        }
    }

    #[test]
    fn responses_are_accepted_or_dropped_but_never_answered() {
        let response = REQUEST.replace("PUBLISH sip:bob@ims.test SIP/2.0", "SIP/2.0 200 OK");
        for (case, from, to, want) in [
            ("as it is", "200 OK", "200 OK", 1),
            ("no reason", "200 OK", "200", 1),
            ("status out of range", "200 OK", "700 Odd", 2),
            ("four digits", "200 OK", "2000 Odd", 2),
            ("two Vias", "z9hG4bKa", "z9hG4bKa, SIP/2.0/UDP 10.0.0.2", 2),
            ("no CSeq", "CSeq: 1 PUBLISH\r\n", "", 2),
            ("another version", "SIP/2.0 200", "SIP/3.0 200", 2),
        ] {
            assert_eq!(verdict(&response.replacen(from, to, 1)), want, "{case}");
        }
    }

    #[test]
    fn keep_alives_and_noise() {
        for (case, bytes, keep_alive) in [
            ("double", &b"\r\n\r\n"[..], true),
            ("single", b"\r\n", true),
            ("nothing", b"", false),
            ("NULs", b"\0\0\0\0", false),
            ("STUN", b"\0\x01\0\0\x21\x12\xa4\x42", false),
            ("a line", b"hello\r\n", false),
        ] {
            let mut bytes = bytes.to_vec();
            let got = parse(&mut bytes, Framing::Datagram, &Limits::default());
            assert_eq!(
                matches!(got, Incoming::KeepAlive),
                keep_alive,
                "{case}: {got:?}"
            );
            assert_eq!(matches!(got, Incoming::Ignored(_)), !keep_alive, "{case}");
        }
    }
}
