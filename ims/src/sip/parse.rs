//! Bytes to message: one pass, nothing copied, every general rule checked (RFC 3261 §7, §8.1.1, §18.3).

use super::header::address::NameAddr;
use super::header::cseq::CSeq;
use super::header::via::Via;
use super::limits::Limits;
use super::message::{Headers, Incoming, Line, Malformed, Request, Response};
use super::method::Method;
use super::name::Name;
use super::text::{elements, is_token, number, trim};
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
type Fault = (u16, &'static str);

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
    let mut scan = Scan {
        rest: bytes,
        fault: None,
        ended: false,
    };
    let start = match scan.line() {
        Some(line) => line,
        None => return Incoming::Ignored("no line"),
    };
    let Ok(start) = std::str::from_utf8(start) else {
        return Incoming::Ignored("start-line is not UTF-8");
    };
    let mut fault = if start.len() > limits.max_line {
        Some((414, "Request-URI Too Long"))
    } else {
        None
    };
    let headers = scan.headers(limits, &mut fault);
    if too_large {
        fault.get_or_insert((513, "Message Too Large"));
    }
    let fault = scan.fault.or(fault);
    let message = Parts {
        headers,
        body: scan.rest,
        fault,
        framing,
        limits,
    };
    match StartLine::parse(start) {
        StartLine::Request { method, uri, fault } => message.request(method, uri, fault),
        StartLine::Response { status, reason } => message.response(status, reason),
        StartLine::Neither(why) => Incoming::Ignored(why),
    }
}

/// Walks through the header part line by line.
struct Scan<'a> {
    rest: &'a mut [u8],
    /// A line that did not end as it must, or an octet that must not be there.
    fault: Option<Fault>,
    /// Whether the empty line was seen.
    ended: bool,
}

impl<'a> Scan<'a> {
    /// The next line without its end, unfolded; `None` at the end of the bytes or after the empty line.
    fn line(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() || self.ended {
            return None;
        }
        let mut from = 0;
        let end = loop {
            let Some(lf) = memchr::memchr(b'\n', self.rest.get(from..)?).map(|at| from + at) else {
                self.fault.get_or_insert((400, "Header Part Does Not End"));
                let cut: &'a mut [u8] = std::mem::take(&mut self.rest);
                return Some(cut);
            };
            let has_cr = lf > 0 && self.rest.get(lf - 1) == Some(&b'\r');
            if !has_cr {
                self.fault
                    .get_or_insert((400, "Line Feed Without Carriage Return"));
            }
            // A first line cannot be folded into an empty one: that would hide the end of the header part.
            let empty = lf == usize::from(has_cr);
            if !empty && matches!(self.rest.get(lf + 1), Some(b' ' | b'\t')) {
                // §7.3.1: a line break followed by white space is a single space; same length keeps it zero-copy.
                for at in [lf.checked_sub(1).filter(|_| has_cr), Some(lf)]
                    .into_iter()
                    .flatten()
                {
                    if let Some(byte) = self.rest.get_mut(at) {
                        *byte = b' ';
                    }
                }
                from = lf + 1;
                continue;
            }
            break lf;
        };
        let (line, rest) = std::mem::take(&mut self.rest).split_at_mut(end + 1);
        self.rest = rest;
        let line: &'a [u8] = line;
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            self.ended = true;
            return None;
        }
        if !controls_hold(line) {
            self.fault.get_or_insert((400, "Control Character"));
        }
        Some(line)
    }

    fn headers(&mut self, limits: &Limits, fault: &mut Option<Fault>) -> Headers<'a> {
        let mut lines = Vec::with_capacity(32);
        while let Some(line) = self.line() {
            if lines.len() >= limits.max_headers {
                fault.get_or_insert((513, "Too Many Header Fields"));
                continue;
            }
            if line.len() > limits.max_line {
                fault.get_or_insert((513, "Header Field Too Long"));
                continue;
            }
            match split_line(line) {
                Ok(Some(line)) => lines.push(line),
                Ok(None) => {}
                Err(found) => {
                    fault.get_or_insert(found);
                }
            }
        }
        if !self.ended {
            // Every line was there but the empty one was not: the message was cut.
            fault.get_or_insert((400, "Header Part Does Not End"));
        }
        Headers::new(lines, limits.max_list)
    }
}

/// Name and value of a line. A value that is not UTF-8 is against the grammar; where the header is meant
/// for people it is passed over (`Ok(None)`), where it decides something the message is refused.
fn split_line(line: &[u8]) -> Result<Option<Line<'_>>, Fault> {
    let colon = memchr::memchr(b':', line).ok_or((400, "Header Field Without Colon"))?;
    let (name, value) = line.split_at(colon);
    let text = std::str::from_utf8(name)
        .map(trim_end)
        .map_err(|_| (400, "Bad Header Field Name"))?;
    if !is_token(text) {
        return Err((400, "Bad Header Field Name"));
    }
    let name = Name::parse(text);
    match std::str::from_utf8(value.get(1..).unwrap_or(&[])) {
        Ok(value) => Ok(Some(Line {
            name,
            text,
            value: trim(value),
        })),
        Err(_) => match name {
            Name::Other
            | Name::Subject
            | Name::UserAgent
            | Name::Server
            | Name::Organization
            | Name::Warning => Ok(None),
            _ => Err((400, "Header Field Is Not UTF-8")),
        },
    }
}

fn trim_end(s: &str) -> &str {
    s.trim_end_matches([' ', '\t'])
}

/// Whether no control character stands bare. TAB is white space; any other, and DEL, may only follow a
/// backslash (`quoted-pair`, §25.1), and CR and LF not even there.
fn controls_hold(line: &[u8]) -> bool {
    let bad = |b: u8| (b < b' ' && b != b'\t') || b == 0x7f;
    if !line.iter().fold(false, |found, b| found | bad(*b)) {
        return true;
    }
    let mut escaped = false;
    for &b in line {
        if bad(b) && (!escaped || matches!(b, b'\r' | b'\n')) {
            return false;
        }
        escaped = b == b'\\' && !escaped;
    }
    true
}

enum StartLine<'a> {
    Request {
        method: Option<Method<'a>>,
        uri: &'a str,
        fault: Option<Fault>,
    },
    Response {
        status: u16,
        reason: &'a str,
    },
    Neither(&'static str),
}

impl<'a> StartLine<'a> {
    fn parse(line: &'a str) -> StartLine<'a> {
        if line
            .get(..4)
            .is_some_and(|s| s.eq_ignore_ascii_case("SIP/"))
        {
            return Self::status_line(line);
        }
        let Some((before, version)) = trim_end(line).rsplit_once(' ') else {
            return StartLine::Neither("neither a request nor a response");
        };
        let Some(number) = version
            .get(..4)
            .filter(|s| s.eq_ignore_ascii_case("SIP/"))
            .and(version.get(4..))
        else {
            return StartLine::Neither("neither a request nor a response");
        };
        let (method, uri) = before.split_once(' ').unwrap_or((before, ""));
        let method = is_token(method).then(|| Method::new(method));
        let is_number = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        let fault = match number.split_once('.') {
            Some((major, minor)) if is_number(major) && is_number(minor) && number != "2.0" => {
                Some((505, "Version Not Supported"))
            }
            Some(("2", "0")) if method.is_some() && line.len() == trim_end(line).len() => None,
            _ => Some((400, "Bad Request Line")),
        };
        StartLine::Request { method, uri, fault }
    }

    fn status_line(line: &'a str) -> StartLine<'a> {
        let mut words = line.splitn(3, ' ');
        let (version, code, reason) = (words.next(), words.next(), words.next().unwrap_or(""));
        let status = code
            .filter(|c| c.len() == 3)
            .and_then(number::<u16>)
            .filter(|s| (100..700).contains(s));
        match (version, status) {
            (Some(version), Some(status)) if version.eq_ignore_ascii_case("SIP/2.0") => {
                StartLine::Response { status, reason }
            }
            _ => StartLine::Neither("malformed status line"),
        }
    }
}

/// Header fields that must stand at most once, because two of them would mean two different messages.
const SINGLE: [Name; 12] = [
    Name::CallId,
    Name::CSeq,
    Name::From,
    Name::To,
    Name::MaxForwards,
    Name::ContentLength,
    Name::ContentType,
    Name::Event,
    Name::Expires,
    Name::SubscriptionState,
    Name::SipEtag,
    Name::MinExpires,
];

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
        match self.fault.map_or_else(|| self.check(), Err) {
            // §8.1.3.3: a user agent discards a response with more than its own Via.
            Ok(_)
                if self
                    .headers
                    .lines(Name::Via)
                    .flat_map(elements)
                    .nth(1)
                    .is_some() =>
            {
                Incoming::Ignored("response for somebody else")
            }
            Ok(Common {
                via,
                from,
                to,
                call_id,
                cseq,
                body,
            }) => {
                let headers = self.headers;
                Incoming::Response(Response {
                    status,
                    reason,
                    headers,
                    body,
                    via,
                    from,
                    to,
                    call_id,
                    cseq,
                })
            }
            // A response is never answered, so a broken one is dropped with its cause.
            Err((_, why)) => Incoming::Ignored(why),
        }
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
        if SINGLE.iter().any(|name| self.headers.count(*name) > 1) {
            return Err((400, "Repeated Header Field"));
        }
        let need = |name, missing| self.headers.get(name).ok_or((400, missing));
        let via = self.vias()?;
        let from = NameAddr::parse(need(Name::From, "Missing From")?).ok_or((400, "Bad From"))?;
        let to = NameAddr::parse(need(Name::To, "Missing To")?).ok_or((400, "Bad To"))?;
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
