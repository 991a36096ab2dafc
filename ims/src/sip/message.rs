//! A message that passed every general rule of RFC 3261 §7 and §8, or the reason why it did not.

use super::header::address::NameAddr;
use super::header::cseq::CSeq;
use super::header::via::Via;
use super::method::Method;
use super::name::Name;
use super::text::{elements, number};

/// What some bytes turned out to be.
#[derive(Debug)]
pub enum Incoming<'a> {
    Request(Request<'a>),
    Response(Response<'a>),
    /// A request that breaks a rule; [`Malformed::answer`] writes the answer, if there may be one.
    Malformed(Malformed<'a>),
    /// CRLF CRLF, or a lone CRLF: RFC 5626 §3.5.1. On a stream a ping (double) is answered with CRLF.
    KeepAlive,
    /// Nothing that can or may be answered; the text says why.
    Ignored(&'static str),
}

/// A request. What every request must carry is taken apart once; the rest is read on demand.
#[derive(Debug)]
pub struct Request<'a> {
    pub method: Method<'a>,
    /// Request-URI as it stood: a well-formed URI of a scheme we know.
    pub uri: &'a str,
    pub headers: Headers<'a>,
    pub body: &'a [u8],
    /// Topmost Via.
    pub via: Via<'a>,
    pub from: NameAddr<'a>,
    pub to: NameAddr<'a>,
    pub call_id: &'a str,
    pub cseq: CSeq<'a>,
    /// `Max-Forwards`; `None` when absent, which RFC 2543 allowed.
    pub max_forwards: Option<u8>,
}

/// A response.
#[derive(Debug)]
pub struct Response<'a> {
    /// 100 to 699.
    pub status: u16,
    pub reason: &'a str,
    pub headers: Headers<'a>,
    pub body: &'a [u8],
    /// Topmost Via: ours, if the response is for us.
    pub via: Via<'a>,
    pub cseq: CSeq<'a>,
}

impl<'a> Response<'a> {
    /// Read when it is asked for: a response finds its request by the top Via and CSeq alone (RFC 3261 §17.1.3).
    pub fn to(&self) -> Option<NameAddr<'a>> {
        self.headers.get(Name::To).and_then(NameAddr::parse)
    }
}

/// A request that breaks a rule, with whatever of it can be read.
#[derive(Debug)]
pub struct Malformed<'a> {
    /// Status of the answer: 400, 414, 416, 505 or 513.
    pub status: u16,
    /// Fixed text, used as reason phrase; never holds anything from the message.
    pub reason: &'static str,
    /// Method, when the start-line shows one. An ACK is never answered, RFC 3261 §17.1.1.3.
    pub method: Option<Method<'a>>,
    /// The lines that are sound in themselves.
    pub headers: Headers<'a>,
    /// Topmost Via; without one there is nowhere to answer to.
    pub via: Option<Via<'a>>,
}

/// One header line, unfolded and trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    pub name: Name,
    /// Name as it stood.
    pub text: &'a str,
    pub value: &'a str,
}

/// The header lines of a message in their order.
#[derive(Clone, Debug, Default)]
pub struct Headers<'a> {
    lines: Vec<Line<'a>>,
}

impl<'a> Headers<'a> {
    pub(crate) fn new(lines: Vec<Line<'a>>) -> Headers<'a> {
        Headers { lines }
    }

    /// Every line in order.
    pub fn iter(&self) -> impl Iterator<Item = &Line<'a>> + '_ {
        self.lines.iter()
    }

    /// Value of the first line called `name`.
    pub fn get(&self, name: Name) -> Option<&'a str> {
        self.lines.iter().find(|l| l.name == name).map(|l| l.value)
    }

    /// Value of each line called `name`, in order.
    pub fn lines(&self, name: Name) -> impl Iterator<Item = &'a str> + '_ {
        self.lines
            .iter()
            .filter(move |l| l.name == name)
            .map(|l| l.value)
    }

    /// Comma-separated elements over every line called `name`, in order: `a, b` + `c` gives three.
    pub fn values(&self, name: Name) -> impl Iterator<Item = &'a str> + '_ {
        self.lines(name).flat_map(elements)
    }

    /// Value of the first line with a name that is not in [`Name`], in any case.
    pub fn other(&self, name: &str) -> Option<&'a str> {
        self.lines
            .iter()
            .find(|l| l.name == Name::Other && l.text.eq_ignore_ascii_case(name))
            .map(|l| l.value)
    }

    /// Number of lines called `name`.
    pub fn count(&self, name: Name) -> usize {
        self.lines.iter().filter(|l| l.name == name).count()
    }

    pub fn has(&self, name: Name) -> bool {
        self.get(name).is_some()
    }

    /// A header whose value is one decimal number: outer `None` absent, inner `None` no such number.
    pub fn number<T: TryFrom<u64>>(&self, name: Name) -> Option<Option<T>> {
        self.get(name).map(number::<T>)
    }
}
