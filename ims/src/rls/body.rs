//! The body of a NOTIFY of a list subscription (RFC 4662 §5): `multipart/related` of the meta-information and the states
//! that it points at.

use super::list::Name;
use super::rlmi;
use crate::event::onlooker::Content;
use crate::event::subscription::State;
use crate::sip::coding::Coding;
use crate::sip::multipart::{self, Outgoing};
use crate::sip::text::push_hex;
use bytes::Bytes;

/// Type of the body.
pub const MEDIA_TYPE: &str = "multipart/related";

/// A body, as it leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// Value of `Content-Type`: `multipart/related` with `boundary`, `type` and `start`.
    pub content_type: Box<str>,
    pub bytes: Bytes,
    /// `Content-Encoding`.
    pub coding: Option<Coding>,
}

impl Body {
    /// The same in a coding; unchanged where the coding makes it no smaller.
    pub fn coded(self, coding: Coding) -> Body {
        let bytes = coding.encode(&self.bytes);
        if bytes.len() >= self.bytes.len() {
            return self;
        }
        Body {
            bytes: bytes.into(),
            coding: Some(coding),
            ..self
        }
    }
}

/// Writes one level of a list: resource by resource, each with its instances, and then the whole.
///
/// A list within the list is written by a level of its own, which [`Level::inside`] begins and [`Level::list`] takes.
#[derive(Clone, Debug)]
pub struct Level {
    writer: rlmi::Writer,
    parts: Vec<Part>,
    /// Makes content ids and boundaries: one of a kind for each body.
    mark: u64,
    /// What tells the content ids of this level from those of others in the same body: empty for the outermost.
    path: String,
    /// Right side of the content ids.
    host: String,
}

/// A part beside the meta-information.
#[derive(Clone, Debug)]
struct Part {
    id: String,
    content: Content,
}

impl Level {
    /// Begins the outermost level. `uri` is the list's as the watcher wrote it; `version` is 0 in the first NOTIFY of the
    /// subscription and one more in each that follows (§5.2). `mark` must be another number for each body, as one drawn
    /// for the NOTIFY, or the subscription's mixed with the version: content ids are made of it.
    pub fn new(uri: &str, version: u32, full: bool, names: &[Name], mark: u64) -> Level {
        Level {
            writer: rlmi::Writer::new(uri, version, full, names),
            parts: Vec::new(),
            mark,
            path: String::new(),
            host: host(uri),
        }
    }

    /// Begins a level for an instance of the resource written last, which is a list itself. It has its own version.
    pub fn inside(&self, uri: &str, version: u32, full: bool, names: &[Name]) -> Level {
        Level {
            path: format!("{}{}-", self.path, self.parts.len() + 1),
            host: self.host.clone(),
            ..Level::new(uri, version, full, names, self.mark)
        }
    }

    /// The next resource, as it is written in the list.
    pub fn resource(&mut self, uri: &str, names: &[Name]) {
        self.writer.resource(uri, names);
    }

    /// An instance of the resource written last. `id` is one of a kind among those of the resource, and stays while the
    /// subscription lives.
    ///
    /// §5.5: an active instance MUST have a `cid`. So one without a state is left out: it is not known yet, or follows
    /// in a later NOTIFY (§4.5).
    pub fn instance(&mut self, id: &str, state: State, content: Option<&Content>) {
        let cid = content.map(|content| self.part(content.clone()));
        if cid.is_some() || state != State::Active {
            self.writer.instance(id, state, cid.as_deref());
        }
    }

    /// The instance that is a list itself: its level is a part of the body (§5.5).
    pub fn list(&mut self, id: &str, state: State, level: Level) {
        let Body {
            content_type,
            bytes,
            ..
        } = level.finish();
        let content = Content {
            media_type: content_type,
            bytes,
        };
        self.instance(id, state, Some(&content));
    }

    /// The body, whole.
    pub fn finish(self) -> Body {
        let root = self.cid(0);
        let rlmi = self.writer.finish();
        // §5.1: the root MUST be the meta-information
        let id = bracketed(&root);
        let mut parts = Vec::with_capacity(self.parts.len() + 1);
        parts.push(Outgoing {
            fields: fields(&id, rlmi::MEDIA_TYPE),
            body: rlmi.as_bytes(),
        });
        let ids: Vec<String> = self.parts.iter().map(|part| bracketed(&part.id)).collect();
        for (part, id) in self.parts.iter().zip(&ids) {
            parts.push(Outgoing {
                fields: fields(id, &part.content.media_type),
                body: &part.content.bytes,
            });
        }
        let mark = self.mark ^ level_mark(&self.path);
        let written = multipart::related(rlmi::MEDIA_TYPE, Some(&root), &parts, mark);
        Body {
            content_type: written.media_type.into(),
            bytes: written.bytes.into(),
            coding: None,
        }
    }

    /// Takes a part in; its content id.
    fn part(&mut self, content: Content) -> String {
        let id = self.cid(self.parts.len() + 1);
        self.parts.push(Part {
            id: id.clone(),
            content,
        });
        id
    }

    /// Content id of a part of this level, counted from 1; 0 is the root.
    fn cid(&self, number: usize) -> String {
        let mut id = String::with_capacity(64);
        push_hex(&mut id, self.mark, 16);
        id.push('.');
        id.push_str(&self.path);
        id.push_str(&number.to_string());
        id.push('@');
        id.push_str(&self.host);
        id
    }
}

fn fields<'a>(id: &'a str, media_type: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("Content-Transfer-Encoding", "binary"),
        ("Content-ID", id),
        ("Content-Type", media_type),
    ]
}

fn bracketed(id: &str) -> String {
    format!("<{id}>")
}

/// Boundaries of levels differ: one level's is looked for in the parts of the other.
fn level_mark(path: &str) -> u64 {
    path.bytes()
        .fold(0, |mark: u64, b| mark.rotate_left(8) ^ u64::from(b))
}

/// The host of a URI, where it can stand in a content id; content ids are one of a kind without it (RFC 2045 §7).
fn host(uri: &str) -> String {
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
    let behind = uri.rsplit_once('@').map_or("", |(_, behind)| behind);
    let end = behind.find([';', '?', ':', '>']).unwrap_or(behind.len());
    let host = behind.get(..end).unwrap_or_default();
    if !host.is_empty() && host.len() <= 255 && host.bytes().all(fine) {
        host.to_owned()
    } else {
        "rls.invalid".to_owned()
    }
}

#[cfg(test)]
mod tests;
