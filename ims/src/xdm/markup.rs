//! The tags of a well-formed document, without reading what stands between them.

use memchr::memmem::{self, Finder};
use std::ops::Range;

/// Goes from tag to tag. It ends where the text does, and where something is met that no document taken here has.
#[derive(Clone, Debug)]
pub(super) struct Tags<'a> {
    text: &'a str,
    at: usize,
}

/// One tag.
#[derive(Clone, Debug)]
pub(super) struct Tag {
    pub kind: Kind,
    /// From its `<` to its `>`.
    pub range: Range<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Start,
    /// Start and end in one.
    Empty,
    End,
}

impl<'a> Tags<'a> {
    /// The tags from a position on, at which no tag, comment or the like is half over.
    pub fn from(text: &'a str, at: usize) -> Tags<'a> {
        Tags { text, at }
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// Moves behind the next `end` that begins `from` bytes on or later.
    fn skip_past(&mut self, from: usize, end: &[u8]) -> Option<()> {
        let found = memmem::find(self.rest().get(from..)?, end)?;
        self.at += from + found + end.len();
        Some(())
    }

    /// Moves to the next byte that is one of these. Most tags and texts are short, so that eight bytes at a time are
    /// looked at here and not as many at once as a processor can.
    #[inline]
    fn seek<const N: usize>(&mut self, wanted: [u8; N]) -> Option<u8> {
        let mut rest = self.rest();
        let whole = rest.len();
        while let Some((eight, others)) = rest.split_first_chunk::<8>() {
            let word = u64::from_le_bytes(*eight);
            let found = wanted
                .iter()
                .fold(0, |found, byte| found | places(word, *byte));
            if found != 0 {
                let place = (found.trailing_zeros() / 8) as usize;
                self.at += whole - rest.len() + place;
                return eight.get(place).copied();
            }
            rest = others;
        }
        let place = rest.iter().position(|byte| wanted.contains(byte))?;
        self.at += whole - rest.len() + place;
        rest.get(place).copied()
    }

    /// Moves over a start tag or an empty-element tag.
    fn start_tag(&mut self) -> Option<Kind> {
        loop {
            let byte = self.seek([b'>', b'"', b'\''])?;
            self.at += 1;
            if byte == b'>' {
                break;
            }
            self.seek([byte])?;
            self.at += 1;
        }
        let before = self.text.as_bytes().get(self.at.checked_sub(2)?);
        Some(match before {
            Some(b'/') => Kind::Empty,
            _ => Kind::Start,
        })
    }
}

impl Iterator for Tags<'_> {
    type Item = Tag;

    fn next(&mut self) -> Option<Tag> {
        loop {
            self.seek([b'<'])?;
            let start = self.at;
            let kind = match self.rest().get(1)? {
                b'/' => {
                    self.seek([b'>'])?;
                    self.at += 1;
                    Kind::End
                }
                b'?' => {
                    self.skip_past(2, b"?>")?;
                    continue;
                }
                b'!' if self.rest().starts_with(b"<!--") => {
                    self.skip_past(4, b"-->")?;
                    continue;
                }
                b'!' if self.rest().starts_with(b"<![CDATA[") => {
                    self.skip_past(9, b"]]>")?;
                    continue;
                }
                b'!' => return None, // a document type declaration
                _ => self.start_tag()?,
            };
            let range = start..self.at;
            return Some(Tag { kind, range });
        }
    }
}

/// The highest bit of each byte of `word` that is `byte`, and perhaps of some behind the first such.
fn places(word: u64, byte: u8) -> u64 {
    const LOW: u64 = 0x0101_0101_0101_0101;
    let differs = word ^ (LOW * u64::from(byte));
    differs.wrapping_sub(LOW) & !differs & (LOW << 7)
}

/// Looks for a text in one range of a document after the other, each of which begins behind the one before: the document
/// is searched once, and not each of hundreds of tags.
#[derive(Clone, Debug)]
pub(super) struct Ahead<'a> {
    finder: Finder<'a>,
    /// Where it stands next, as far as has been looked; behind everything: nowhere.
    next: Option<usize>,
}

impl<'a> Ahead<'a> {
    pub fn of(wanted: &'a str) -> Ahead<'a> {
        Ahead {
            finder: Finder::new(wanted),
            next: None,
        }
    }

    /// Whether it begins in the range.
    pub fn is_in(&mut self, text: &str, range: &Range<usize>) -> bool {
        let next = match self.next.filter(|next| *next >= range.start) {
            Some(next) => next,
            None => {
                let rest = text.as_bytes().get(range.start..).unwrap_or_default();
                let found = self.finder.find(rest);
                found.map_or(usize::MAX, |found| range.start + found)
            }
        };
        self.next = Some(next);
        next < range.end
    }
}

/// The name in a tag, as it is written.
pub(super) fn qualified(tag: &str) -> &str {
    let name = tag.get(1..).unwrap_or_default();
    let end = name
        .bytes()
        .position(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n' | b'/' | b'>'));
    end.and_then(|end| name.get(..end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tags(text: &str) -> Vec<(Kind, &str)> {
        let tags = Tags::from(text, 0);
        tags.map(|Tag { kind, range }| (kind, &text[range]))
            .collect()
    }

    #[test]
    fn tags_are_told_from_what_looks_like_them() {
        let text = "\u{feff}<?xml version='1.0'?><!-- <no> --><a b='>' c = \"/>\n'\">x > y<![CDATA[<no/>]]>\
                    <é/><?p <no> ?><d e='/'></d\n></a>";
        let expected = [
            (Kind::Start, "<a b='>' c = \"/>\n'\">"),
            (Kind::Empty, "<é/>"),
            (Kind::Start, "<d e='/'>"),
            (Kind::End, "</d\n>"),
            (Kind::End, "</a>"),
        ];
        assert_eq!(tags(text), expected);
        for cut in [
            "<a b='",
            "<!-- <a/>",
            "<![CDATA[<a/>",
            "<!DOCTYPE a><a/>",
            "<a",
            "</a",
            "<",
        ] {
            assert_eq!(tags(cut), [], "{cut}");
        }
    }

    proptest! {
        #[test]
        fn a_byte_is_sought_as_it_is_found_one_by_one(text in "[<>\"a\u{80}\u{ff}é]{0,40}", at in 0..20_usize) {
            prop_assume!(text.is_char_boundary(at));
            let mut tags = Tags::from(&text, at);
            let expected = text.bytes().enumerate().skip(at).find(|(_, b)| b"<\"".contains(b));
            let sought = tags.seek([b'<', b'"']);
            prop_assert_eq!(sought, expected.map(|(_, byte)| byte));
            if let Some((place, _)) = expected {
                prop_assert_eq!(tags.at, place);
            }
        }

        #[test]
        fn what_is_looked_for_ahead_is_found_in_its_range(text in "[ab]{0,40}", mut cuts in prop::collection::vec(0..40_usize, 0..8)) {
            cuts.sort_unstable();
            let mut ahead = Ahead::of("ab");
            for cut in cuts.windows(2) {
                let range = cut[0].min(text.len())..cut[1].min(text.len());
                let expected = text.match_indices("ab").any(|(at, _)| range.contains(&at));
                prop_assert_eq!(ahead.is_in(&text, &range), expected, "{:?}", range);
            }
        }
    }
}
