//! The body of a NOTIFY, as it leaves.

use super::Authorized;
use crate::event::watcherinfo;
use crate::presence::partial;
use crate::presence::pidf::MEDIA_TYPE;
use crate::sip::coding::Coding;
use bytes::Bytes;

/// What a watcher is sent: an [`Authorized`] document in the form that this watcher takes, or a list of watchers. Made of
/// nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    media_type: &'static str,
    coding: Option<Coding>,
    bytes: Bytes,
}

impl Body {
    /// The whole document as it is.
    pub fn full(document: &Authorized) -> Body {
        Body {
            media_type: MEDIA_TYPE,
            coding: None,
            bytes: document.bytes().clone(),
        }
    }

    /// Who watches.
    pub fn watchers(document: &watcherinfo::Document) -> Body {
        Body {
            media_type: watcherinfo::MEDIA_TYPE,
            coding: None,
            bytes: document.bytes().clone(),
        }
    }

    /// A partial document in its turn (RFC 5263).
    pub fn partial(document: &partial::Body, version: u32) -> Body {
        Body {
            media_type: partial::MEDIA_TYPE,
            coding: None,
            bytes: document.numbered(version),
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
            coding: Some(coding),
            bytes: bytes.into(),
        }
    }

    pub fn media_type(&self) -> &'static str {
        self.media_type
    }

    pub fn coding(&self) -> Option<Coding> {
        self.coding
    }

    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}
