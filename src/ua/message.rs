//! Messages that own their text: what a client sends, and what came back.

use bytes::Bytes;
use ims::sip::header::{address::NameAddr, expires, retry_after};
use ims::sip::text::elements;
use ims::sip::{Flow, Headers, Method, Name, Request, Response, Transport, write};
use ims::time::Seconds;
use ims::transaction::Key;
use std::time::Duration;

/// A request to send. The agent adds Via and Max-Forwards.
#[derive(Clone, Debug)]
pub struct Draft {
    pub method: Method<'static>,
    pub uri: String,
    pub lines: Vec<(Name, String)>,
    /// Content-Type and body.
    pub body: Option<(String, Bytes)>,
}

impl Draft {
    pub fn write(&self, transport: Transport, sent_by: &str, branch: &str) -> Bytes {
        let mut writer = write::request(self.method, &self.uri);
        writer
            .via(transport, sent_by, branch)
            .number(Name::MaxForwards, 70);
        for (name, value) in &self.lines {
            writer.header(*name, value);
        }
        if let Some((kind, body)) = &self.body {
            writer.body(kind, body);
        }
        writer.finish()
    }
}

/// Header lines and body, taken out of the buffer of a message.
#[derive(Clone, Debug, Default)]
pub struct Content {
    lines: Vec<(Name, String)>,
    pub body: Bytes,
}

impl Content {
    fn of(headers: &Headers<'_>, body: &[u8]) -> Content {
        let lines = headers
            .iter()
            .map(|line| (line.name, line.value.to_owned()));
        Content {
            lines: lines.collect(),
            body: Bytes::copy_from_slice(body),
        }
    }

    /// Value of the first line called `name`.
    pub fn get(&self, name: Name) -> Option<&str> {
        self.lines(name).next()
    }

    /// Value of each line called `name`.
    pub fn lines(&self, name: Name) -> impl Iterator<Item = &str> {
        let named = self.lines.iter().filter(move |(n, _)| *n == name);
        named.map(|(_, value)| value.as_str())
    }

    /// Comma-separated elements over every line called `name`.
    pub fn values(&self, name: Name) -> impl Iterator<Item = &str> {
        self.lines(name).flat_map(elements)
    }

    /// `Expires` or `Min-Expires`.
    pub fn seconds(&self, name: Name) -> Option<Seconds> {
        expires::parse(self.get(name)?)
    }

    /// URI of the first Contact.
    pub fn contact(&self) -> Option<&str> {
        NameAddr::parse(self.values(Name::Contact).next()?).map(|contact| contact.uri)
    }
}

/// A final answer to a request of ours.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub reason: String,
    pub to_tag: Option<String>,
    pub content: Content,
}

impl Answer {
    pub fn of(response: &Response<'_>) -> Answer {
        Answer {
            status: response.status,
            reason: response.reason.to_owned(),
            to_tag: response.to().and_then(|to| to.tag().map(str::to_owned)),
            content: Content::of(&response.headers, response.body),
        }
    }

    pub fn is_success(&self) -> bool {
        self.status / 100 == 2
    }

    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = retry_after::parse(self.content.get(Name::RetryAfter)?)?;
        Some(Duration::from_secs(seconds.0.into()))
    }

    /// An answer for tests, with those of the lines that have a value.
    #[cfg(test)]
    pub fn made(status: u16, lines: &[(&str, Option<&str>)]) -> Answer {
        let lines = lines
            .iter()
            .filter_map(|(name, value)| Some((Name::parse(name), (*value)?.to_owned())));
        Answer {
            status,
            reason: "Made".into(),
            to_tag: None,
            content: Content {
                lines: lines.collect(),
                body: Bytes::new(),
            },
        }
    }
}

/// A request that came in and waits for its answer.
#[derive(Debug)]
pub struct Arrived {
    pub call_id: String,
    pub from_tag: Option<String>,
    pub to_tag: Option<String>,
    pub cseq: u32,
    pub content: Content,
    pub(super) flow: Flow,
    pub(super) key: Key,
    /// The request as it came, from which its answer is made.
    pub(super) bytes: Vec<u8>,
}

impl Arrived {
    pub(super) fn of(request: &Request<'_>, flow: Flow, key: Key, bytes: Vec<u8>) -> Arrived {
        Arrived {
            call_id: request.call_id.to_owned(),
            from_tag: request.from.tag().map(str::to_owned),
            to_tag: request.to.tag().map(str::to_owned),
            cseq: request.cseq.number,
            content: Content::of(&request.headers, request.body),
            flow,
            key,
            bytes,
        }
    }
}
