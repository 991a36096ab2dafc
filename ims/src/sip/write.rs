//! Messages out. One buffer, no formatting machinery on the hot path, Content-Length always right, and
//! whatever a value holds it stays one value: the writer lets no line end through.

use super::flow::Transport;
use super::message::Request;
use super::method::Method;
use super::name::Name;
pub use super::reply::response;
use bytes::Bytes;
use std::fmt::{self, Write as _};

/// Octets set aside for the head of a request; a longer one grows.
const HEAD: usize = 1024;

/// Starts a request. The caller adds Via, From, To, Call-ID, CSeq and Max-Forwards.
pub fn request<'b>(method: Method<'_>, uri: &str) -> Writer<'b> {
    request_with_body(method, uri, 0)
}

/// The same with room for a body of `length` octets behind a head of usual size.
pub fn request_with_body<'b>(method: Method<'_>, uri: &str, length: usize) -> Writer<'b> {
    let mut out = Vec::with_capacity(HEAD + length);
    push_uri(&mut out, method.as_str());
    out.push(b' ');
    push_uri(&mut out, uri);
    out.extend_from_slice(b" SIP/2.0\r\n");
    Writer { out, body: None }
}

/// A message of ours written for TCP, for UDP instead: the transport in its topmost Via
/// (RFC 3261 §18.1.1). Anything else is given back unchanged.
pub fn over_udp(bytes: &Bytes) -> Bytes {
    const FROM: &[u8] = b"\r\nVia: SIP/2.0/TCP ";
    let head = memchr::memmem::find(bytes, b"\r\n\r\n").unwrap_or(bytes.len());
    let Some(at) = memchr::memmem::find(bytes.get(..head).unwrap_or(&[]), b"\r\nVia: ") else {
        return bytes.clone();
    };
    if !bytes.get(at..).is_some_and(|rest| rest.starts_with(FROM)) {
        return bytes.clone();
    }
    let mut out = bytes.to_vec();
    if let Some(token) = out.get_mut(at + FROM.len() - 4..at + FROM.len() - 1) {
        token.copy_from_slice(b"UDP");
    }
    Bytes::from(out)
}

/// A message being written. Header fields stand in the order in which they are added.
#[derive(Debug)]
pub struct Writer<'b> {
    out: Vec<u8>,
    body: Option<(&'b str, &'b [u8])>,
}

impl<'b> Writer<'b> {
    /// Starts a response with room for `capacity` octets.
    pub(crate) fn status_line(status: u16, reason: &str, capacity: usize) -> Writer<'b> {
        let mut out = Vec::with_capacity(capacity);
        out.extend_from_slice(b"SIP/2.0 ");
        push_number(&mut out, u64::from(status.clamp(100, 699)));
        out.push(b' ');
        push_value(&mut out, reason);
        out.extend_from_slice(b"\r\n");
        Writer { out, body: None }
    }

    /// Adds a header field. Control characters in `value` become spaces.
    pub fn header(&mut self, name: Name, value: &str) -> &mut Writer<'b> {
        self.field(name, |out| push_value(out, value));
        self
    }

    /// Adds a header field whose value is a number.
    pub fn number(&mut self, name: Name, value: u32) -> &mut Writer<'b> {
        self.field(name, |out| push_number(out, u64::from(value)));
        self
    }

    /// Adds a header field printed by a typed header.
    pub fn display(&mut self, name: Name, value: &impl fmt::Display) -> &mut Writer<'b> {
        self.field(name, |out| {
            // The adapter never fails, and a Display that fails by itself leaves a shorter value.
            let _ = write!(Neutral(out), "{value}");
        });
        self
    }

    /// Adds one header field whose value is the concatenation of `parts`.
    pub fn parts(&mut self, name: Name, parts: &[&str]) -> &mut Writer<'b> {
        self.field(name, |out| {
            parts.iter().for_each(|part| push_value(out, part))
        });
        self
    }

    /// Adds one line for each of `values`.
    pub fn each<'v>(
        &mut self,
        name: Name,
        values: impl IntoIterator<Item = &'v str>,
    ) -> &mut Writer<'b> {
        for value in values {
            self.field(name, |out| push_value(out, value));
        }
        self
    }

    /// Adds our Via: transport, `sent_by` (`host:port`), and the branch that will match the response. It asks
    /// for `rport`, so that the answer finds back through an address translator (RFC 3581 §3).
    pub fn via(&mut self, transport: Transport, sent_by: &str, branch: &str) -> &mut Writer<'b> {
        self.parts(
            Name::Via,
            &[
                "SIP/2.0/",
                transport.as_str(),
                " ",
                sent_by,
                ";rport;branch=",
                branch,
            ],
        )
    }

    /// Adds CSeq.
    pub fn cseq(&mut self, number: u32, method: Method<'_>) -> &mut Writer<'b> {
        self.field(Name::CSeq, |out| {
            push_number(out, u64::from(number));
            out.push(b' ');
            push_value(out, method.as_str());
        });
        self
    }

    /// Adds every Record-Route of `req` in order and unchanged, doubles included (RFC 3261 §12.1.1).
    pub fn record_routes(&mut self, req: &Request<'_>) -> &mut Writer<'b> {
        self.each(Name::RecordRoute, req.headers.lines(Name::RecordRoute))
    }

    /// Sets the body and its Content-Type.
    pub fn body(&mut self, content_type: &'b str, body: &'b [u8]) -> &mut Writer<'b> {
        self.body = Some((content_type, body));
        self
    }

    /// The whole message. The writer is empty afterwards.
    pub fn finish(&mut self) -> Bytes {
        let body = match self.body {
            Some((content_type, body)) => {
                self.out.extend_from_slice(b"Content-Type: ");
                push_value(&mut self.out, content_type);
                self.out.extend_from_slice(b"\r\n");
                body
            }
            None => &[],
        };
        self.out.extend_from_slice(b"Content-Length: ");
        push_number(&mut self.out, u64::try_from(body.len()).unwrap_or(u64::MAX));
        self.out.extend_from_slice(b"\r\n\r\n");
        self.out.extend_from_slice(body);
        let out = std::mem::take(&mut self.out);
        // A response is kept for 32 s as these bytes, a request until it is answered: not with much room to spare.
        if out.capacity() - out.len() > out.len() / 2 {
            return Bytes::from(out.into_boxed_slice());
        }
        Bytes::from(out)
    }

    /// One line, its value put together from raw pieces; dropped when it would contradict the writer.
    pub(crate) fn field(&mut self, name: Name, value: impl FnOnce(&mut Vec<u8>)) {
        if name == Name::Other || self.is_own(name) {
            return;
        }
        self.out.extend_from_slice(name.as_str().as_bytes());
        self.out.extend_from_slice(b": ");
        value(&mut self.out);
        self.out.extend_from_slice(b"\r\n");
    }

    fn is_own(&self, name: Name) -> bool {
        let own = name == Name::ContentLength || self.body.is_some() && name == Name::ContentType;
        debug_assert!(!own, "the writer itself adds {name:?}");
        own
    }
}

/// Writes through [`push_value`].
pub(crate) struct Neutral<'a>(pub &'a mut Vec<u8>);

impl fmt::Write for Neutral<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        push_value(self.0, s);
        Ok(())
    }
}

/// Appends `value` so that it stays inside its line. A control character becomes a space, except one that
/// follows a backslash and ends no line: a peer's quoted-pair is given back as it came (RFC 4475 §3.1.1.2).
pub(crate) fn push_value(out: &mut Vec<u8>, value: &str) {
    let bad = |b: u8| (b < b' ' && b != b'\t') || b == 0x7f;
    let bytes = value.as_bytes();
    if !bytes.iter().fold(false, |found, b| found | bad(*b)) {
        out.extend_from_slice(bytes);
        return;
    }
    let mut escaped = false;
    for &b in bytes {
        let keep = !bad(b) || (escaped && !matches!(b, b'\r' | b'\n'));
        out.push(if keep { b } else { b' ' });
        escaped = b == b'\\' && !escaped;
    }
}

/// Appends a URI to a request line, where a space would end it as well.
fn push_uri(out: &mut Vec<u8>, uri: &str) {
    out.extend(
        uri.bytes()
            .map(|b| if b <= b' ' || b == 0x7f { b'_' } else { b }),
    );
}

/// Appends a decimal number.
pub(crate) fn push_number(out: &mut Vec<u8>, mut n: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        if let Some(digit) = digits.get_mut(at) {
            *digit = b'0' + u8::try_from(n % 10).unwrap_or(0);
        }
        n /= 10;
        if n == 0 || at == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(at..).unwrap_or(&[]));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &Bytes) -> &str {
        std::str::from_utf8(bytes).unwrap_or("")
    }

    #[test]
    fn a_request_is_written_in_the_order_given() {
        let mut writer = request(Method::NOTIFY, "sip:w@10.0.0.2");
        writer
            .via(Transport::Tcp, "10.0.0.1:5060", "z9hG4bK1")
            .cseq(7, Method::NOTIFY)
            .number(Name::MaxForwards, 70)
            .each(Name::Route, ["<sip:a;lr>", "<sip:a;lr>"])
            .parts(Name::Contact, &["<sip:", "p001@ims.test", ">"])
            .body("text/plain", b"\0\xff");
        let bytes = writer.finish();
        let want = b"NOTIFY sip:w@10.0.0.2 SIP/2.0\r\nVia: SIP/2.0/TCP 10.0.0.1:5060;rport;branch=z9hG4bK1\r\n\
            CSeq: 7 NOTIFY\r\nMax-Forwards: 70\r\nRoute: <sip:a;lr>\r\nRoute: <sip:a;lr>\r\nContact: <sip:p001@ims.test>\r\n\
            Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n\0\xff";
        assert_eq!(bytes, &want[..]);
        let again = over_udp(&bytes);
        assert_eq!(
            text(&again.slice(..70)).replace("UDP", "TCP"),
            text(&bytes.slice(..70))
        );
        assert!(text(&again.slice(..70)).contains("Via: SIP/2.0/UDP 10.0.0.1"));
        assert_eq!(over_udp(&again), again, "what is for UDP already stays");
    }

    #[test]
    fn no_value_leaves_its_line() {
        let evil = "a\r\nEvil: 1\r\n\r\nb\0\n";
        let mut writer = request(Method::OPTIONS, "sip:a b\r\nEvil: 1");
        writer
            .header(Name::To, evil)
            .header(Name::Subject, evil)
            .parts(Name::From, &[evil])
            .display(Name::Contact, &evil);
        writer.via(Transport::Udp, evil, evil).body(evil, b"");
        let bytes = writer.finish();
        let lines: Vec<&str> = text(&bytes).split("\r\n").collect();
        assert_eq!(lines.len(), 10, "{lines:?}");
        assert!(lines.iter().all(|l| !l.starts_with("Evil")), "{lines:?}");
        assert!(!text(&bytes).contains('\0'));
    }

    #[test]
    fn numbers_are_written() {
        for n in [0, 9, 10, 4_294_967_295, u64::MAX] {
            let mut out = Vec::new();
            push_number(&mut out, n);
            assert_eq!(String::from_utf8(out).ok(), Some(n.to_string()));
        }
    }
}
