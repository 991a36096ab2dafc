//! The body of a NOTIFY, as it leaves.

use super::Authorized;
use crate::event::watcherinfo;
use crate::presence::object::{Object, RELATED};
use crate::presence::partial;
use crate::presence::pidf::MEDIA_TYPE;
use crate::sip::coding::Coding;
use crate::sip::multipart::{self, Outgoing};
use bytes::Bytes;

/// What a watcher is sent: an [`Authorized`] document in the form that this watcher takes, or a list of watchers. Made of
/// nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    media_type: &'static str,
    /// `Content-Type` where it is more than the media type.
    content_type: Option<Box<str>>,
    coding: Option<Coding>,
    bytes: Bytes,
}

impl Body {
    /// The whole document as it is, with the objects that go with it.
    pub fn full(document: &Authorized) -> Body {
        let plain = Body {
            media_type: MEDIA_TYPE,
            content_type: None,
            coding: None,
            bytes: document.bytes().clone(),
        };
        plain.with(document.objects())
    }

    /// Who watches.
    pub fn watchers(document: &watcherinfo::Document) -> Body {
        Body {
            media_type: watcherinfo::MEDIA_TYPE,
            content_type: None,
            coding: None,
            bytes: document.bytes().clone(),
        }
    }

    /// A partial document in its turn (RFC 5263).
    pub fn partial(document: &partial::Body, version: u32) -> Body {
        Body {
            media_type: partial::MEDIA_TYPE,
            content_type: None,
            coding: None,
            bytes: document.numbered(version),
        }
    }

    /// The same as the root of `multipart/related` (RFC 2387), with these objects behind it; unchanged without any.
    pub fn with(self, objects: &[Object]) -> Body {
        if objects.is_empty() {
            return self;
        }
        let ids: Vec<String> = objects.iter().map(|o| format!("<{}>", o.id)).collect();
        let mut parts = vec![Outgoing {
            fields: vec![("Content-Type", self.content_type())],
            body: &self.bytes,
        }];
        for (object, id) in objects.iter().zip(&ids) {
            let mut fields = vec![("Content-Type", &*object.media_type), ("Content-ID", id)];
            if let Some(encoding) = &object.encoding {
                fields.push(("Content-Transfer-Encoding", encoding));
            }
            parts.push(Outgoing {
                fields,
                body: &object.bytes,
            });
        }
        let mark = fingerprint(&self.bytes);
        let written = multipart::related(self.media_type, None, &parts, mark);
        Body {
            media_type: RELATED,
            content_type: Some(written.media_type.into()),
            coding: None,
            bytes: written.bytes.into(),
        }
    }

    /// The same in a coding; unchanged where the coding makes it no smaller.
    pub fn coded(&self, coding: Coding) -> Body {
        let bytes = coding.encode(&self.bytes);
        if bytes.len() >= self.bytes.len() {
            return self.clone();
        }
        Body {
            media_type: self.media_type,
            content_type: self.content_type.clone(),
            coding: Some(coding),
            bytes: bytes.into(),
        }
    }

    pub fn media_type(&self) -> &'static str {
        self.media_type
    }

    /// Value of `Content-Type`: the media type with its parameters.
    pub fn content_type(&self) -> &str {
        self.content_type.as_deref().unwrap_or(self.media_type)
    }

    pub fn coding(&self) -> Option<Coding> {
        self.coding
    }

    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// FNV-1a: makes the boundary, which only has to be unlikely; that it is not in a part is looked up.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}
