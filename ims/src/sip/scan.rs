//! From octets to header lines: line ends, folding, control characters, limits (RFC 3261 §7.3, §25.1).

use super::limits::Limits;
use super::message::{Headers, Line};
use super::name::Name;
use super::parse::Fault;
use super::text::{is_token_bytes, trim};

/// Walks through the header part line by line.
pub(super) struct Scan<'a> {
    pub(super) rest: &'a mut [u8],
    /// A line that did not end as it must, or an octet that must not be there.
    pub(super) fault: Option<Fault>,
    /// Whether the empty line was seen.
    ended: bool,
}

impl<'a> Scan<'a> {
    pub fn new(rest: &'a mut [u8]) -> Scan<'a> {
        Scan {
            rest,
            fault: None,
            ended: false,
        }
    }

    /// The next line without its end, unfolded; `None` at the end of the bytes or after the empty line.
    pub fn line(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() || self.ended {
            return None;
        }
        let mut from = 0;
        let end = loop {
            let Some(lf) = memchr::memchr(b'\n', self.rest.get(from..)?).map(|at| from + at) else {
                self.fault.get_or_insert((400, "Header Part Does Not End"));
                let cut: &'a mut [u8] = std::mem::take(&mut self.rest);
                return Some(cut);
            };
            let has_cr = lf > 0 && self.rest.get(lf - 1) == Some(&b'\r');
            if !has_cr {
                self.fault
                    .get_or_insert((400, "Line Feed Without Carriage Return"));
            }
            // White space after the empty line belongs to the body.
            let empty = lf == usize::from(has_cr);
            if !empty && matches!(self.rest.get(lf + 1), Some(b' ' | b'\t')) {
                // §7.3.1: a line break followed by white space is a single space; same length keeps it zero-copy.
                for at in [lf.checked_sub(1).filter(|_| has_cr), Some(lf)]
                    .into_iter()
                    .flatten()
                {
                    if let Some(byte) = self.rest.get_mut(at) {
                        *byte = b' ';
                    }
                }
                from = lf + 1;
                continue;
            }
            break lf;
        };
        let (line, rest) = std::mem::take(&mut self.rest).split_at_mut(end + 1);
        self.rest = rest;
        let line: &'a [u8] = line;
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            self.ended = true;
            return None;
        }
        if !controls_hold(line) {
            self.fault.get_or_insert((400, "Control Character"));
        }
        Some(line)
    }

    /// Every header line up to the empty one, what breaks a rule left out and the first such remembered.
    pub fn headers(&mut self, limits: &Limits) -> Headers<'a> {
        let mut lines = Vec::with_capacity(32);
        // Counted line by line only when all that is left, body included, has too many.
        let mut commas = 0;
        let count_commas = memchr::memchr_iter(b',', self.rest).count() > limits.max_list;
        while let Some(line) = self.line() {
            if count_commas {
                commas += memchr::memchr_iter(b',', line).count();
            }
            if commas > limits.max_list {
                self.fault.get_or_insert((513, "Too Many Values"));
                continue;
            }
            if lines.len() >= limits.max_headers {
                self.fault.get_or_insert((513, "Too Many Header Fields"));
                continue;
            }
            if line.len() > limits.max_line {
                self.fault.get_or_insert((513, "Header Field Too Long"));
                continue;
            }
            match split_line(line) {
                Ok(Some(line)) => lines.push(line),
                Ok(None) => {}
                Err(found) => {
                    self.fault.get_or_insert(found);
                }
            }
        }
        if !self.ended {
            // Every line was there but the empty one was not: the message was cut.
            self.fault.get_or_insert((400, "Header Part Does Not End"));
        }
        Headers::new(lines)
    }
}

/// Name and value of a line. A value that is not UTF-8 is against the grammar; where the header is meant
/// for people it is passed over (`Ok(None)`), where it decides something the message is refused.
fn split_line(line: &[u8]) -> Result<Option<Line<'_>>, Fault> {
    let colon = memchr::memchr(b':', line).ok_or((400, "Header Field Without Colon"))?;
    let name = line.get(..colon).unwrap_or(&[]).trim_ascii_end();
    if !is_token_bytes(name) {
        return Err((400, "Bad Header Field Name"));
    }
    let Ok(line) = std::str::from_utf8(line) else {
        return match Name::parse(std::str::from_utf8(name).unwrap_or("")) {
            Name::Other
            | Name::Subject
            | Name::UserAgent
            | Name::Server
            | Name::Organization
            | Name::Warning => Ok(None),
            _ => Err((400, "Header Field Is Not UTF-8")),
        };
    };
    let text = line.get(..name.len()).unwrap_or("");
    Ok(Some(Line {
        name: Name::parse(text),
        text,
        value: trim(line.get(colon + 1..).unwrap_or("")),
    }))
}

/// Whether no control character stands bare. TAB is white space; any other, and DEL, may only follow a
/// backslash (`quoted-pair`, §25.1), and CR and LF not even there.
fn controls_hold(line: &[u8]) -> bool {
    let bad = |b: u8| (b < b' ' && b != b'\t') || b == 0x7f;
    if !line.iter().fold(false, |found, b| found | bad(*b)) {
        return true;
    }
    let mut escaped = false;
    for &b in line {
        if bad(b) && (!escaped || matches!(b, b'\r' | b'\n')) {
            return false;
        }
        escaped = b == b'\\' && !escaped;
    }
    true
}
