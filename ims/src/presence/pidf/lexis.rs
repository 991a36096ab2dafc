//! The lexical rules of XML 1.0: characters, names, references.

use crate::xml::text::escaped;
use std::borrow::Cow;

/// Why a text is not XML this server reads, with the byte at which it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub what: &'static str,
    pub at: usize,
}

const ILLEGAL: Malformed = Malformed {
    what: "Character not allowed in XML",
    at: 0,
};

pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// White space of XML at both ends removed.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\r', '\n'])
}

/// Bytes that end or question a run of plain text.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0x20;
    while byte < 256 {
        plain[byte] = true;
        byte += 1;
    }
    plain[b'\t' as usize] = true;
    plain[b'\n' as usize] = true;
    plain[b'\r' as usize] = true;
    plain[b'<' as usize] = false;
    plain[b'&' as usize] = false;
    plain[b']' as usize] = false;
    plain[b'"' as usize] = false;
    plain[b'\'' as usize] = false;
    plain[0xEF] = false; // first byte of U+F000..U+FFFF, where the two non-characters are
    plain
};

/// U+FFFE or U+FFFF at `at`: UTF-8, but not XML (XML §2.2).
fn non_character(bytes: &[u8], at: usize) -> bool {
    matches!(bytes.get(at..at + 3), Some([0xEF, 0xBF, 0xBE | 0xBF]))
}

/// Checks a run in which `<` and `&` have no meaning; `offset` is that of its first byte.
pub(crate) fn characters(bytes: &[u8], offset: usize) -> Result<(), Malformed> {
    for (i, byte) in bytes.iter().enumerate() {
        if (*byte < 0x20 && !is_space(*byte)) || (*byte == 0xEF && non_character(bytes, i)) {
            return Err(Malformed {
                at: offset + i,
                ..ILLEGAL
            });
        }
    }
    Ok(())
}

/// End of the character data that begins at `at`: the next `<`, or the end of the bytes.
pub(crate) fn text(bytes: &[u8], mut at: usize) -> Result<usize, Malformed> {
    while let Some(&byte) = bytes.get(at) {
        if PLAIN[usize::from(byte)] {
            at += 1;
            continue;
        }
        match byte {
            b'<' => return Ok(at),
            b'&' => at = reference(bytes, at)?,
            b'"' | b'\'' => at += 1,
            b']' if bytes[at..].starts_with(b"]]>") => {
                return Err(Malformed {
                    what: "]]> in text",
                    at,
                });
            }
            b']' => at += 1,
            0xEF if !non_character(bytes, at) => at += 3,
            _ => return Err(Malformed { at, ..ILLEGAL }),
        }
    }
    Ok(at)
}

/// Offset of the quote that closes the attribute value beginning at `at`.
pub(crate) fn attribute_value(bytes: &[u8], mut at: usize, quote: u8) -> Result<usize, Malformed> {
    while let Some(&byte) = bytes.get(at) {
        if PLAIN[usize::from(byte)] {
            at += 1;
            continue;
        }
        match byte {
            _ if byte == quote => return Ok(at),
            b'<' => {
                return Err(Malformed {
                    what: "< in attribute value",
                    at,
                });
            }
            b'&' => at = reference(bytes, at)?,
            b'"' | b'\'' | b']' => at += 1,
            0xEF if !non_character(bytes, at) => at += 3,
            _ => return Err(Malformed { at, ..ILLEGAL }),
        }
    }
    Err(Malformed {
        what: "Attribute value not closed",
        at,
    })
}

/// Checks the reference at `at` and gives the offset after it.
fn reference(bytes: &[u8], at: usize) -> Result<usize, Malformed> {
    // Longest: `&#x0010FFFF;`, with some room for leading zeros.
    let window = &bytes[at..bytes.len().min(at + 24)];
    let end = window.iter().position(|b| *b == b';');
    match end.and_then(|end| Some((end, std::str::from_utf8(&window[1..end]).ok()?))) {
        Some((end, name)) if referenced(name).is_some() => Ok(at + end + 1),
        _ => Err(Malformed {
            what: "Entity reference not accepted",
            at,
        }),
    }
}

/// The character a reference stands for, XML §4.1 and §4.6.
fn referenced(name: &str) -> Option<char> {
    match name {
        "amp" => return Some('&'),
        "lt" => return Some('<'),
        "gt" => return Some('>'),
        "quot" => return Some('"'),
        "apos" => return Some('\''),
        _ => {}
    }
    let digits = name.strip_prefix('#')?;
    let code = match digits.strip_prefix('x') {
        Some(hex) if hex.bytes().all(|b| b.is_ascii_hexdigit()) => {
            u32::from_str_radix(hex, 16).ok()?
        }
        None if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok()?,
        _ => return None,
    };
    let character = char::from_u32(code)?;
    let legal = matches!(character, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..);
    legal.then_some(character)
}

/// End of the name (XML §2.3, colons included) that begins at `at`; `None` when none begins there.
pub(crate) fn name(bytes: &[u8], at: usize) -> Option<usize> {
    let mut end = at;
    while let Some(&byte) = bytes.get(end) {
        let (ok, length) = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | b':' => (true, 1),
            b'0'..=b'9' | b'-' | b'.' => (end > at, 1),
            0x80.. => wide_name_character(bytes, end, end == at),
            _ => (false, 0),
        };
        if !ok {
            break;
        }
        end += length;
    }
    (end > at).then_some(end)
}

/// Whether a character beyond ASCII may stand in (or begin) a name, and its length in bytes.
fn wide_name_character(bytes: &[u8], at: usize, first: bool) -> (bool, usize) {
    let window = &bytes[at..bytes.len().min(at + 4)];
    let text = match std::str::from_utf8(window) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&window[..error.valid_up_to()]).unwrap_or(""),
    };
    let Some(character) = text.chars().next() else {
        return (false, 0);
    };
    let start = matches!(character,
        '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}' | '\u{370}'..='\u{37D}'
        | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}' | '\u{2070}'..='\u{218F}' | '\u{2C00}'..='\u{2FEF}'
        | '\u{3001}'..='\u{D7FF}' | '\u{F900}'..='\u{FDCF}' | '\u{FDF0}'..='\u{FFFD}' | '\u{10000}'..='\u{EFFFF}');
    let later = matches!(character, '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}');
    (start || (later && !first), character.len_utf8())
}

/// An `xs:ID` after white space is collapsed: a name without colon.
pub(crate) fn is_ncname(text: &str) -> bool {
    !text.contains(':') && name(text.as_bytes(), 0) == Some(text.len())
}

/// What follows `<?xml` up to `?>`: version 1.x, then an encoding that is UTF-8 or part of it, then standalone.
pub(crate) fn is_xml_declaration(content: &str) -> bool {
    let mut rest = content;
    let version = pseudo_attribute(&mut rest, "version");
    let versioned = version
        .and_then(|v| v.strip_prefix("1."))
        .is_some_and(|v| !v.is_empty() && v.bytes().all(|b| b.is_ascii_digit()));
    let encoding = pseudo_attribute(&mut rest, "encoding");
    let readable = encoding.is_none_or(|name| {
        name.eq_ignore_ascii_case("utf-8") || name.eq_ignore_ascii_case("us-ascii")
    });
    let standalone = pseudo_attribute(&mut rest, "standalone");
    versioned
        && readable
        && standalone.is_none_or(|value| matches!(value, "yes" | "no"))
        && trim(rest).is_empty()
}

fn pseudo_attribute<'a>(rest: &mut &'a str, name: &str) -> Option<&'a str> {
    let trimmed = rest.trim_start_matches([' ', '\t', '\r', '\n']);
    if trimmed.len() == rest.len() {
        return None; // white space must separate
    }
    let value = trim_start(trim_start(trimmed.strip_prefix(name)?).strip_prefix('=')?);
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let (value, after) = value[1..].split_once(quote)?;
    *rest = after;
    Some(value)
}

fn trim_start(text: &str) -> &str {
    text.trim_start_matches([' ', '\t', '\r', '\n'])
}

/// Text with its references resolved. `text` has passed [`text`] or [`attribute_value`].
pub(crate) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        let Some((name, after)) = after.split_once(';') else {
            break;
        };
        plain.extend(referenced(name));
        rest = after;
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

/// Appends text so that it can stand in an attribute value between double quotes, and in character data.
pub(crate) fn escape_into(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(escaped(text).as_bytes());
}
