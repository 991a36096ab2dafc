//! Bodies of several parts: MIME multipart (RFC 2046 §5.1) and `multipart/related` (RFC 2387), whose parts refer to each
//! other by `cid:` URIs (RFC 2392).

use super::header::media_type::MediaType;
use super::text::{is_token, trim};
use memchr::memmem;
use std::borrow::Cow;

/// Most bytes in the head of one part, and most header fields in it.
const HEAD: usize = 4096;
const FIELDS: usize = 16;
/// Longest boundary, RFC 2046 §5.1.1.
const BOUNDARY: usize = 70;

/// One part. Its bytes are as they came: a content transfer encoding is not undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    fields: Vec<(&'a str, Cow<'a, str>)>,
    pub body: &'a [u8],
}

/// Why a body is not what its `Content-Type` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The parameter `boundary` is missing or none.
    Boundary,
    /// The body is not divided by that boundary, or not to its end.
    Undivided,
    /// A part has a head that is none, or too long.
    Head,
    /// More parts than the caller takes.
    TooMany,
    /// Two parts have one `Content-ID`.
    SameId,
    /// `start` names no part, or `type` is not the type of the root (RFC 2387 §3.1, §3.2).
    Root,
}

impl<'a> Part<'a> {
    /// A header field of the part, by its name in any case.
    pub fn field(&self, name: &str) -> Option<&str> {
        let found = self
            .fields
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| &**value)
    }

    pub fn media_type(&self) -> Option<MediaType<'_>> {
        self.field("Content-Type").and_then(MediaType::parse)
    }

    /// `Content-ID` without its angle brackets.
    pub fn id(&self) -> Option<&str> {
        self.field("Content-ID").and_then(bare_id)
    }

    /// The bytes are the content: no transfer encoding that would have to be undone (RFC 2045 §6.2).
    pub fn is_plain(&self) -> bool {
        let encoding = self.field("Content-Transfer-Encoding").map(trim);
        encoding.is_none_or(|encoding| {
            ["7bit", "8bit", "binary"]
                .iter()
                .any(|plain| plain.eq_ignore_ascii_case(encoding))
        })
    }
}

/// A content id without angle brackets; `None` for what is none.
fn bare_id(value: &str) -> Option<&str> {
    let id = trim(value).strip_prefix('<')?.strip_suffix('>')?;
    let fine = |b: u8| b.is_ascii_graphic() && !matches!(b, b'<' | b'>' | b'"' | b'\\');
    (!id.is_empty() && id.bytes().all(fine)).then_some(id)
}

/// The parts of a multipart body, `most` of them at most, with different `Content-ID`s.
pub fn parse<'a>(
    media: &MediaType<'_>,
    body: &'a [u8],
    most: usize,
) -> Result<Vec<Part<'a>>, Fault> {
    let boundary = media.param("boundary").ok_or(Fault::Boundary)?;
    if !is_boundary(&boundary) {
        return Err(Fault::Boundary);
    }
    let mut rest = after_preamble(body, &boundary).ok_or(Fault::Undivided)?;
    let delimiter = format!("\r\n--{boundary}");
    let finder = memmem::Finder::new(&delimiter);
    let mut parts: Vec<Part<'a>> = Vec::new();
    loop {
        let (content, behind) = until_delimiter(rest, &finder).ok_or(Fault::Undivided)?;
        if parts.len() >= most {
            return Err(Fault::TooMany);
        }
        parts.push(part(content)?);
        match behind {
            Behind::Part(next) => rest = next,
            Behind::End => break,
        }
    }
    let mut ids: Vec<&str> = parts.iter().filter_map(Part::id).collect();
    ids.sort_unstable();
    match ids.windows(2).any(|pair| pair.first() == pair.last()) {
        true => Err(Fault::SameId),
        false => Ok(parts),
    }
}

/// The position of the root of a `multipart/related` body (RFC 2387 §3.2): the part that `start` names, else the first.
pub fn root(media: &MediaType<'_>, parts: &[Part<'_>]) -> Result<usize, Fault> {
    let position = match media.param("start") {
        Some(start) => {
            let start = bare_id(&start).ok_or(Fault::Root)?;
            parts.iter().position(|part| part.id() == Some(start))
        }
        None => (!parts.is_empty()).then_some(0),
    };
    let position = position.ok_or(Fault::Root)?;
    // the parameter is mandatory, but clients leave it out; one that contradicts the part is an error
    let named = media.param("type");
    let agrees = named.is_none_or(|named| {
        let actual = parts.get(position).and_then(Part::media_type);
        let named = MediaType::parse(&named);
        matches!((actual, named), (Some(a), Some(b)) if a.is(b.kind, b.subtype))
    });
    agrees.then_some(position).ok_or(Fault::Root)
}

/// What follows a delimiter.
enum Behind<'a> {
    Part(&'a [u8]),
    End,
}

/// Skips the preamble and the first delimiter.
fn after_preamble<'a>(body: &'a [u8], boundary: &str) -> Option<&'a [u8]> {
    let line = format!("--{boundary}");
    let mut at = 0;
    loop {
        let found = at + memmem::find(body.get(at..)?, line.as_bytes())?;
        let begins = found == 0 || body[..found].ends_with(b"\r\n");
        let behind = body.get(found + line.len()..)?;
        if let Some(rest) = end_of_line(behind).filter(|_| begins) {
            return Some(rest);
        }
        at = found + 1;
    }
}

/// Transport padding and the end of the line.
fn end_of_line(text: &[u8]) -> Option<&[u8]> {
    let padding = text
        .iter()
        .take_while(|b| matches!(b, b' ' | b'\t'))
        .count();
    text.get(padding..)?.strip_prefix(b"\r\n")
}

/// The content up to the next delimiter line, and what is behind that.
fn until_delimiter<'a>(
    text: &'a [u8],
    finder: &memmem::Finder<'_>,
) -> Option<(&'a [u8], Behind<'a>)> {
    let length = finder.needle().len();
    // a part may have an empty head and an empty body: then its delimiter has no line end before it but the last one
    if let Some(behind) = text.strip_prefix(finder.needle().get(2..)?)
        && let Some(behind) = after_boundary(behind)
    {
        return Some((b"", behind));
    }
    let mut at = 0;
    loop {
        let found = at + finder.find(text.get(at..)?)?;
        if let Some(behind) = after_boundary(text.get(found + length..)?) {
            return Some((&text[..found], behind));
        }
        at = found + 1; // the boundary of another body that begins like ours
    }
}

fn after_boundary(text: &[u8]) -> Option<Behind<'_>> {
    match text.strip_prefix(b"--") {
        Some(behind) => {
            // RFC 2046 §5.1.1: padding, then nothing or an epilogue on a line of its own
            let padding = behind
                .iter()
                .take_while(|b| matches!(b, b' ' | b'\t'))
                .count();
            let behind = behind.get(padding..)?;
            (behind.is_empty() || behind.starts_with(b"\r\n")).then_some(Behind::End)
        }
        None => end_of_line(text).map(Behind::Part),
    }
}

/// RFC 2046 §5.1.1: up to 70 characters, the last of them no space.
fn is_boundary(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&b);
    (1..=BOUNDARY).contains(&text.len()) && text.bytes().all(fine) && !text.ends_with(' ')
}

/// Head and body of a part.
fn part(content: &[u8]) -> Result<Part<'_>, Fault> {
    let (head, body) = if content.is_empty() {
        (&content[..0], content)
    } else if let Some(body) = content.strip_prefix(b"\r\n") {
        (&content[..0], body) // no header at all
    } else {
        match memmem::find(content.get(..HEAD + 4).unwrap_or(content), b"\r\n\r\n") {
            Some(end) => (&content[..end], &content[end + 4..]),
            // RFC 2046 §5.1.1: a part may end with its head
            None if content.len() <= HEAD => (content, &content[content.len()..]),
            None => return Err(Fault::Head),
        }
    };
    let head = std::str::from_utf8(head).map_err(|_| Fault::Head)?;
    let mut fields: Vec<(&str, Cow<'_, str>)> = Vec::new();
    for line in head.split("\r\n").filter(|line| !line.is_empty()) {
        if line.bytes().any(|b| b.is_ascii_control() && b != b'\t') {
            return Err(Fault::Head);
        }
        if line.starts_with([' ', '\t']) {
            // folded (RFC 822 §3.1.1): goes on with the field before
            let (_, value) = fields.last_mut().ok_or(Fault::Head)?;
            *value = format!("{value} {}", trim(line)).into();
            continue;
        }
        let (name, value) = line.split_once(':').ok_or(Fault::Head)?;
        let name = trim(name);
        if !is_token(name) || fields.len() >= FIELDS {
            return Err(Fault::Head);
        }
        fields.push((name, trim(value).into()));
    }
    Ok(Part { fields, body })
}

/// A part to write. Line ends and other control characters in a field are left out.
#[derive(Clone, Debug)]
pub struct Outgoing<'a> {
    pub fields: Vec<(&'a str, &'a str)>,
    pub body: &'a [u8],
}

/// A `multipart/related` body, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Value of `Content-Type`, with boundary and root.
    pub media_type: String,
    pub bytes: Vec<u8>,
}

/// Writes `multipart/related`: the first part is the root, of type `root`; `start` is its content id without brackets,
/// where it has one. `mark` makes the boundary; parts that contain it get another, whatever a hostile part holds.
pub fn related(root: &str, start: Option<&str>, parts: &[Outgoing<'_>], mark: u64) -> Written {
    let mut boundary = format!("part-{mark:016x}");
    let taken = |boundary: &str| {
        let finder = memmem::Finder::new(boundary);
        parts.iter().any(|part| {
            finder.find(part.body).is_some()
                || part
                    .fields
                    .iter()
                    .any(|(_, value)| value.contains(boundary))
        })
    };
    // a part of n bytes contains fewer than n of the numbers tried, so this ends
    let mut number = 0u64;
    while taken(&boundary) {
        number += 1;
        boundary = format!("part-{mark:016x}-{number}");
    }
    let mut media_type = format!("multipart/related;type=\"{root}\"");
    if let Some(start) = start {
        media_type.push_str(&format!(";start=\"<{start}>\""));
    }
    // last as in RFC 4662 §6, and without quotes, since it is a token: to Linphone 5.1 all that follows is the boundary
    media_type.push_str(&format!(";boundary={boundary}"));
    let length = |part: &Outgoing<'_>| part.body.len() + 128;
    let mut bytes = Vec::with_capacity(parts.iter().map(length).sum::<usize>() + 64);
    for part in parts {
        bytes.extend_from_slice(b"--");
        bytes.extend_from_slice(boundary.as_bytes());
        bytes.extend_from_slice(b"\r\n");
        for (name, value) in &part.fields {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend(value.bytes().filter(|b| !b.is_ascii_control()));
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(part.body);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"--");
    bytes.extend_from_slice(boundary.as_bytes());
    bytes.extend_from_slice(b"--\r\n");
    Written { media_type, bytes }
}

/// The content id that a `cid:` URI names, RFC 2392 §2: percent-encoding undone. `None` for what is no such URI.
pub fn content_id(uri: &str) -> Option<String> {
    let (scheme, rest) = uri.split_once(':')?;
    if !scheme.eq_ignore_ascii_case("cid") {
        return None;
    }
    let bytes = rest.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digits = (bytes.get(at + 1).copied(), bytes.get(at + 2).copied());
        match (byte, digits) {
            (b'%', (Some(high), Some(low))) => {
                out.push(super::text::hex(high)? << 4 | super::text::hex(low)?);
                at += 3;
            }
            (b'%', _) => return None,
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out).ok().filter(|id| !id.is_empty())
}

#[cfg(test)]
mod tests;
