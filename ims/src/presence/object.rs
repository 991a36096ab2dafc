//! Inline objects: what a publication brings beside its document, and refers to by `cid:` (RFC 2387, RFC 2392), such as
//! a status icon.

use crate::presence::pidf::lexis::unescape;
use crate::reject::Reject;
use crate::sip::header::media_type::MediaType;
use crate::sip::multipart::{self, Fault, Part, content_id};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Media type of a body that has objects.
pub const RELATED: &str = "multipart/related";
/// Longest media type and content id kept, in bytes.
const NAME: usize = 255;
/// Room for the heads of the parts of a body, each.
const HEAD: usize = 4096;

/// Bounds on the objects of one publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest object, in bytes; 0: objects are not taken.
    pub bytes: usize,
    /// Most objects of one publication.
    pub count: usize,
}

impl Limits {
    /// Whether publications may bring objects.
    pub fn are_taken(&self) -> bool {
        self.bytes > 0 && self.count > 0
    }

    /// Largest body with objects, where the document alone may have so many bytes.
    pub fn body(&self, document: usize) -> usize {
        let object = self.bytes.saturating_add(HEAD);
        document.saturating_add(self.count.saturating_add(1).saturating_mul(object))
    }
}

/// One object of a publication.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Object {
    /// `Content-ID` without angle brackets.
    pub id: Box<str>,
    pub media_type: Box<str>,
    /// `Content-Transfer-Encoding`, where the bytes are in one.
    pub encoding: Option<Box<str>>,
    /// As published.
    #[serde(serialize_with = "write_bytes", deserialize_with = "read_bytes")]
    pub bytes: Bytes,
}

fn write_bytes<S: Serializer>(bytes: &Bytes, to: S) -> Result<S::Ok, S::Error> {
    bytes[..].serialize(to)
}

fn read_bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
    Vec::<u8>::deserialize(from).map(Bytes::from)
}

/// A body taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inline<'a> {
    /// `Content-Type` of the root.
    pub media_type: String,
    /// The document.
    pub root: &'a [u8],
    pub objects: Vec<Object>,
}

/// Takes a `multipart/related` body apart. A body that is not what its type says is answered 400, an object above the
/// limit, or too many, 413.
pub fn read<'a>(
    media: &MediaType<'_>,
    body: &'a [u8],
    limits: &Limits,
) -> Result<Inline<'a>, Reject> {
    let parts = multipart::parse(media, body, limits.count + 1).map_err(refused)?;
    let position = multipart::root(media, &parts).map_err(refused)?;
    let root = parts.get(position).ok_or(Reject::Bad("Bad Multipart"))?;
    let media_type = root.field("Content-Type");
    let media_type = media_type.ok_or(Reject::Bad("Missing Content-Type"))?;
    if !root.is_plain() {
        return Err(Reject::Bad("Root Part In A Transfer Encoding"));
    }
    let others = parts.iter().enumerate().filter(|(i, _)| *i != position);
    let objects = others
        .map(|(_, part)| object(part, limits))
        .collect::<Result<_, _>>()?;
    Ok(Inline {
        media_type: media_type.to_owned(),
        root: root.body,
        objects,
    })
}

fn refused(fault: Fault) -> Reject {
    match fault {
        Fault::TooMany => Reject::TooLarge,
        Fault::Boundary => Reject::Bad("Bad Boundary"),
        Fault::Undivided => Reject::Bad("Bad Multipart"),
        Fault::Head => Reject::Bad("Bad Head Of A Part"),
        Fault::SameId => Reject::Bad("Content-ID Given Twice"),
        Fault::Root => Reject::Bad("No Such Root Part"),
    }
}

fn object(part: &Part<'_>, limits: &Limits) -> Result<Object, Reject> {
    if part.body.len() > limits.bytes {
        return Err(Reject::TooLarge);
    }
    let id = part.id().filter(|id| id.len() <= NAME);
    let id = id.ok_or(Reject::Bad("Part Without Content-ID"))?;
    let media = part.media_type();
    let media = media.ok_or(Reject::Bad("Part Without Content-Type"))?;
    // a part of several parts, or one that is elsewhere, is no object
    let kind = |kind: &str| media.kind.eq_ignore_ascii_case(kind);
    let media_type = media.to_string();
    if kind("multipart") || kind("message") || media_type.len() > NAME {
        return Err(Reject::Bad("Part Is No Object"));
    }
    let encoding = part.field("Content-Transfer-Encoding");
    Ok(Object {
        id: id.into(),
        media_type: media_type.into(),
        encoding: encoding.filter(|e| e.len() <= NAME).map(Into::into),
        bytes: Bytes::copy_from_slice(part.body),
    })
}

/// The objects of a publication after a change: new ones in the place of old ones with their id, and of all those only
/// what the document refers to.
pub(super) fn named_in(document: &[u8], new: Vec<Object>, old: &[Object]) -> Vec<Object> {
    if new.is_empty() && old.is_empty() {
        return Vec::new();
    }
    let named = std::str::from_utf8(document).map(references);
    let named = named.unwrap_or_default();
    let replaced = |object: &&Object| !new.iter().any(|other| other.id == object.id);
    let kept: Vec<Object> = old.iter().filter(replaced).cloned().collect();
    new.into_iter()
        .chain(kept)
        .filter(|object| named.iter().any(|id| **id == *object.id))
        .collect()
}

/// The content ids that a document refers to by `cid:` URIs. A URI counts where it is all that an element or attribute
/// says: inside prose or another URI, which a watcher may see without what the object belongs to, it is no reference.
pub(super) fn references(text: &str) -> Vec<String> {
    let bytes = text.as_bytes();
    let mut ids = Vec::new();
    for colon in memchr::memchr_iter(b':', bytes) {
        let Some(start) = colon.checked_sub(3) else {
            continue;
        };
        let (before, rest) = text.split_at_checked(start).unwrap_or_default();
        let scheme = bytes.get(start..colon).unwrap_or_default();
        let begins = before
            .trim_ascii_end()
            .chars()
            .next_back()
            .is_none_or(|c| matches!(c, '>' | '"' | '\''));
        if !scheme.eq_ignore_ascii_case(b"cid") || !begins {
            continue;
        }
        let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '<' | '"' | '\'' | '>'));
        let (uri, after) = rest
            .split_at_checked(end.unwrap_or(rest.len()))
            .unwrap_or_default();
        let ends = after.trim_ascii_start().chars().next();
        if ends.is_none_or(|c| matches!(c, '<' | '"' | '\'')) {
            ids.extend(content_id(&unescape(uri)));
        }
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { bytes: 4, count: 2 };

    fn body(parts: &[&str]) -> String {
        let parts: String = parts
            .iter()
            .map(|part| format!("--b\r\n{part}\r\n"))
            .collect();
        format!("{parts}--b--\r\n")
    }

    #[test]
    fn a_publication_brings_the_objects_that_its_document_refers_to() {
        let root = "Content-Type: application/pidf+xml\r\n\r\n<a b='cid:x'>cid:i%40x</a>";
        let icon = "Content-Type: image/png; a=b\r\nContent-ID: <i@x>\r\n\r\npng";
        let other = "Content-Type: image/png\r\nContent-ID: <o@x>\r\n\r\npng";
        let media = MediaType::parse("multipart/related;boundary=b").unwrap();
        let read = |parts: &[&str]| {
            let body = body(parts);
            let inline = read(&media, body.as_bytes(), &LIMITS)?;
            let objects = named_in(inline.root, inline.objects, &[]);
            let ids = objects.iter().map(|o| o.id.to_string()).collect();
            Ok((inline.media_type, ids))
        };
        let pidf = || "application/pidf+xml".to_owned();
        let bad = |phrase| Err(Reject::Bad(phrase));
        let without = |line: &str| icon.replace(line, "");
        for (case, parts, outcome) in [
            (
                "an icon",
                vec![root, icon],
                Ok((pidf(), vec!["i@x".to_owned()])),
            ),
            (
                "an object that nobody refers to",
                vec![root, icon, other],
                Ok((pidf(), vec!["i@x".to_owned()])),
            ),
            ("no object", vec![root], Ok((pidf(), vec![]))),
            (
                "one too many",
                vec![root, icon, other, "\r\nx"],
                Err(Reject::TooLarge),
            ),
            (
                "an object too large",
                vec![root, &icon.replace("\npng", "\n12345")],
                Err(Reject::TooLarge),
            ),
            (
                "no id",
                vec![root, &without("Content-ID: <i@x>\r\n")],
                bad("Part Without Content-ID"),
            ),
            (
                "no type",
                vec![root, &without("Content-Type: image/png; a=b\r\n")],
                bad("Part Without Content-Type"),
            ),
            (
                "one id twice",
                vec![root, icon, icon],
                bad("Content-ID Given Twice"),
            ),
            (
                "a root without type",
                vec!["\r\n<a/>"],
                bad("Missing Content-Type"),
            ),
            (
                "a root in base64",
                vec!["Content-Type: a/b\r\nContent-Transfer-Encoding: base64\r\n\r\nPGEvPg=="],
                bad("Root Part In A Transfer Encoding"),
            ),
            (
                "parts in a part",
                vec![root, &icon.replace("image/png", "multipart/mixed")],
                bad("Part Is No Object"),
            ),
            (
                "an object elsewhere",
                vec![root, &icon.replace("image/png", "message/external-body")],
                bad("Part Is No Object"),
            ),
        ] {
            assert_eq!(read(&parts), outcome, "{case}");
        }
    }

    #[test]
    fn a_reference_is_all_that_an_element_or_attribute_says() {
        for (text, ids) in [
            ("<a>cid:x@y</a>", vec!["x@y"]),
            ("<a b=\"cid:x\" c='CID:y'/>", vec!["x", "y"]),
            ("<a> cid:a&amp;b </a>", vec!["a&b"]),
            ("<a>acid:x</a>", vec![]),
            ("<a>cid: x</a>", vec![]),
            ("<a>id:x</a>", vec![]),
            ("cid:%41%zz", vec![]),
            ("\u{e9}cid:x", vec![]),
            ("<a>http://h/cid:x</a>", vec![]),
            ("<a>look at cid:x</a>", vec![]),
            ("<a>cid:x is mine</a>", vec![]),
            ("<a>\n cid:x\n</a>", vec!["x"]),
            (":", vec![]),
        ] {
            assert_eq!(references(text), ids, "{text}");
        }
    }
}
