//! A message as a tree of AVPs: to be shown, and to be changed before it is sent. What is not changed is not copied.

use crate::avp::{Address, time};
use crate::dictionary::Kind;
use crate::message::{AVP_MANDATORY, AVP_VENDOR, Avp, Avps, DEPTH_MAX, Message};
use crate::vocabulary::{Known, Vocabulary};
use std::borrow::Cow;

/// One AVP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch<'a> {
    pub code: u32,
    /// 0: IETF.
    pub vendor: u32,
    pub mandatory: bool,
    pub content: Content<'a>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    Data(Cow<'a, [u8]>),
    Group(Vec<Branch<'a>>),
}

impl<'a> Branch<'a> {
    /// An AVP of a known kind.
    pub fn new(known: &Known<'_>, content: Content<'a>) -> Branch<'a> {
        Branch {
            code: known.code,
            vendor: known.vendor,
            mandatory: known.mandatory,
            content,
        }
    }

    /// Appends the AVP as it is sent.
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let mandatory = if self.mandatory { AVP_MANDATORY } else { 0 };
        let vendor = if self.vendor == 0 { 0 } else { AVP_VENDOR };
        out.extend_from_slice(&self.code.to_be_bytes());
        out.extend_from_slice(&[mandatory | vendor, 0, 0, 0]);
        if self.vendor != 0 {
            out.extend_from_slice(&self.vendor.to_be_bytes());
        }
        match &self.content {
            Content::Data(data) => out.extend_from_slice(data),
            Content::Group(branches) => branches.iter().for_each(|branch| branch.write(out)),
        }
        // a length above 24 bits is cut here; the writer refuses the message around it
        let [.., a, b, c] = ((out.len() - start) as u64).to_be_bytes();
        if let Some(field) = out.get_mut(start + 5..start + 8) {
            field.copy_from_slice(&[a, b, c]);
        }
        out.resize(out.len().next_multiple_of(4), 0);
    }
}

/// The AVPs of a message. Groups are those that the dictionary or the operator says are groups.
pub fn read<'a>(message: &Message<'a>, vocabulary: &Vocabulary) -> Vec<Branch<'a>> {
    branches(message.avps(), vocabulary, 1)
}

fn branches<'a>(avps: Avps<'a>, vocabulary: &Vocabulary, depth: u8) -> Vec<Branch<'a>> {
    let mut branches = Vec::with_capacity(avps.likely());
    for avp in avps {
        let (code, vendor, mandatory) = (avp.code, avp.vendor, avp.mandatory());
        if depth < DEPTH_MAX && is_group(&avp, vocabulary) {
            let inner = self::branches(avp.group(), vocabulary, depth + 1);
            branches.push(Branch {
                code,
                vendor,
                mandatory,
                content: Content::Group(inner),
            });
        } else {
            let content = Content::Data(Cow::Borrowed(avp.data));
            branches.push(Branch {
                code,
                vendor,
                mandatory,
                content,
            });
        }
    }
    branches
}

fn is_group(avp: &Avp<'_>, vocabulary: &Vocabulary) -> bool {
    match avp.def() {
        Some(def) => def.kind == Kind::Grouped,
        None => {
            let known = vocabulary.of_operator(avp.vendor, avp.code);
            known.is_some_and(|known| known.kind == Kind::Grouped)
        }
    }
}

/// One line for each AVP, two spaces for each level: name, code, vendor where there is one, flags, value.
pub fn lines(branches: &[Branch<'_>], vocabulary: &Vocabulary) -> Vec<String> {
    let mut lines = Vec::new();
    for branch in branches {
        describe(branch, vocabulary, 0, &mut lines);
    }
    lines
}

fn describe(branch: &Branch<'_>, vocabulary: &Vocabulary, depth: usize, lines: &mut Vec<String>) {
    let known = vocabulary.find(branch.vendor, branch.code);
    let name = known.map_or("?", |known| known.name);
    let indent = "  ".repeat(depth);
    let vendor = match branch.vendor {
        0 => String::new(),
        vendor => format!(" vendor {vendor}"),
    };
    let flags = if branch.mandatory { " M" } else { "" };
    let value = match &branch.content {
        Content::Group(_) => String::new(),
        Content::Data(data) => {
            let kind = known.map_or(Kind::Octets, |known| known.kind);
            format!(" = {}", show(kind, data))
        }
    };
    lines.push(format!(
        "{indent}{name} ({}{vendor}{flags}){value}",
        branch.code
    ));
    if let Content::Group(inner) = &branch.content {
        for branch in inner {
            describe(branch, vocabulary, depth + 1, lines);
        }
    }
}

/// Data as text; what is not of its kind, in hexadecimal.
pub fn show(kind: Kind, data: &[u8]) -> String {
    let four = || data.try_into().ok();
    let eight = || data.try_into().ok();
    let text = match kind {
        Kind::Utf8 | Kind::Identity | Kind::Uri => plain(data),
        Kind::U32 => four().map(|b| u32::from_be_bytes(b).to_string()),
        Kind::I32 | Kind::Enumerated => four().map(|b| i32::from_be_bytes(b).to_string()),
        Kind::U64 => eight().map(|b| u64::from_be_bytes(b).to_string()),
        Kind::I64 => eight().map(|b| i64::from_be_bytes(b).to_string()),
        Kind::Time => four().map(|b| format!("@{}", time::from_wire(b))),
        Kind::Address => match Address::read(data) {
            Some(Address::Ip(ip)) => Some(ip.to_string()),
            Some(Address::E164(number)) => Some(number.to_owned()),
            _ => None,
        },
        Kind::Octets => plain(data),
        Kind::Grouped => None,
    };
    text.unwrap_or_else(|| data.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn plain(data: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(data).ok()?;
    (!text.chars().any(char::is_control)).then(|| text.to_owned())
}

/// Data of a kind from its text; `None` when the text is none of that kind.
pub fn data_of(kind: Kind, text: &str) -> Option<Vec<u8>> {
    Some(match kind {
        Kind::Octets | Kind::Utf8 | Kind::Identity | Kind::Uri => text.as_bytes().to_vec(),
        Kind::U32 => text.parse::<u32>().ok()?.to_be_bytes().to_vec(),
        Kind::I32 | Kind::Enumerated => text.parse::<i32>().ok()?.to_be_bytes().to_vec(),
        Kind::U64 => text.parse::<u64>().ok()?.to_be_bytes().to_vec(),
        Kind::I64 => text.parse::<i64>().ok()?.to_be_bytes().to_vec(),
        Kind::Time => time::to_wire(text.parse().ok()?).to_vec(),
        Kind::Address => {
            let mut data = Vec::new();
            Address::Ip(text.parse().ok()?).write(&mut data);
            data
        }
        Kind::Grouped => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dictionary::*;
    use crate::write::Writer;

    fn message() -> Vec<u8> {
        let mut w = Writer::request(CMD_ACCOUNTING, APP_ACCOUNTING);
        w.utf8(&SESSION_ID, "a;1").group(&SERVICE_INFORMATION, |w| {
            w.group(&IMS_INFORMATION, |w| {
                w.u32(&EXPIRES, 7).utf8(&CALLED_PARTY_ADDRESS, "tel:+1");
            });
        });
        w.finish(1_000).unwrap()
    }

    #[test]
    fn a_tree_is_written_as_it_was_read() {
        let bytes = message();
        let tree = read(&Message::parse(&bytes).unwrap(), &Vocabulary::default());
        let mut out = Vec::new();
        tree.iter().for_each(|branch| branch.write(&mut out));
        assert_eq!(out, bytes[20..]);
    }

    #[test]
    fn each_avp_is_a_line_with_its_name_code_flags_and_value() {
        let bytes = message();
        let words = Vocabulary::default();
        let lines = lines(&read(&Message::parse(&bytes).unwrap(), &words), &words);
        assert_eq!(
            lines,
            [
                "Session-Id (263 M) = a;1",
                "Service-Information (873 vendor 10415 M)",
                "  IMS-Information (876 vendor 10415 M)",
                "    Expires (888 vendor 10415 M) = 7",
                "    Called-Party-Address (832 vendor 10415 M) = tel:+1",
            ]
        );
    }

    #[test]
    fn values_are_read_from_text_and_shown_as_it() {
        for (kind, text) in [
            (Kind::Utf8, "abc"),
            (Kind::U32, "4294967295"),
            (Kind::I32, "-2"),
            (Kind::U64, "18446744073709551615"),
            (Kind::I64, "-9"),
            (Kind::Address, "192.0.2.1"),
            (Kind::Address, "2001:db8::1"),
        ] {
            assert_eq!(show(kind, &data_of(kind, text).unwrap()), text);
        }
        assert_eq!(show(Kind::Time, &data_of(Kind::Time, "5").unwrap()), "@5");
        for (kind, text) in [(Kind::U32, "-1"), (Kind::Address, "x"), (Kind::Grouped, "")] {
            assert_eq!(data_of(kind, text), None, "{text}");
        }
        assert_eq!(show(Kind::U32, &[1]), "01", "what is no number");
        assert_eq!(
            show(Kind::Utf8, &[0x1b, b'x']),
            "1b78",
            "what would move a cursor"
        );
    }
}
