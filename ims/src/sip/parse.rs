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

/// Longest Call-ID, in bytes. It is part of keys of the store ([`KEY_MAX`](crate::record::KEY_MAX)); user agents write less
/// than a hundred.
pub const CALL_ID_MAX: usize = 1_024;

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
        if call_id.len() > CALL_ID_MAX {
            return Err((400, "Call-ID Too Long"));
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
mod tests;
