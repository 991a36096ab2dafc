//! `Accept`, RFC 3261 §20.1 (ranges and weights as in HTTP).

use crate::sip::header::media_type::MediaType;
use crate::sip::message::Headers;
use crate::sip::name::Name;
use crate::sip::text::trim;

/// What the peer takes. Read element by element; one that makes no sense is passed over.
#[derive(Clone, Debug, Default)]
pub struct Accept<'a> {
    ranges: Vec<(MediaType<'a>, u16)>,
    present: bool,
}

impl<'a> Accept<'a> {
    pub fn parse(headers: &Headers<'a>) -> Accept<'a> {
        let mut accept = Accept {
            ranges: Vec::new(),
            present: headers.has(Name::Accept),
        };
        for element in headers.values(Name::Accept) {
            if let Some(media) = MediaType::parse(element) {
                let q = media
                    .params
                    .value("q")
                    .map_or(1000, |q| weight(trim(q)).unwrap_or(1000));
                accept.ranges.push((media, q));
            }
        }
        accept
    }

    /// Whether the header is there at all. Absent means the package's default type (RFC 6665 §3.1.3);
    /// present but empty means nothing is taken.
    pub fn is_present(&self) -> bool {
        self.present
    }

    /// Whether `name` (`type/subtype`) is taken.
    pub fn accepts(&self, name: &str) -> bool {
        self.weight(name) > 0
    }

    /// Weight of `name` where it is named itself and not by a range.
    pub fn named(&self, name: &str) -> Option<u16> {
        let (kind, subtype) = name.split_once('/')?;
        let mut ranges = self.ranges.iter();
        let found = ranges.find(|(range, _)| range.is(kind, subtype));
        found.map(|&(_, q)| q)
    }

    /// Weight of `name` in thousandths; the most specific range decides, 0 is a refusal.
    pub fn weight(&self, name: &str) -> u16 {
        let Some((kind, subtype)) = name.split_once('/') else {
            return 0;
        };
        let named = |range: &MediaType<'_>| range.is(kind, subtype);
        let rank = |range: &MediaType<'_>| {
            if named(range) {
                Some(2)
            } else if range.kind.eq_ignore_ascii_case(kind) && range.subtype == "*" {
                Some(1)
            } else if range.kind == "*" && range.subtype == "*" {
                Some(0)
            } else {
                None
            }
        };
        let best = self
            .ranges
            .iter()
            .filter_map(|(range, q)| rank(range).map(|r| (r, *q)))
            .max();
        best.map_or(0, |(_, q)| q)
    }
}

/// `0` to `1` with at most three decimals, in thousandths.
pub(in crate::sip) fn weight(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut thousandths = 0;
    for i in 0..3 {
        thousandths = thousandths * 10
            + fraction
                .as_bytes()
                .get(i)
                .map_or(0, |b| u16::from(b - b'0'));
    }
    match whole {
        "0" | "" => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::Line;

    fn accept(values: &[&'static str]) -> Accept<'static> {
        let lines = values.iter().map(|value| Line {
            name: Name::Accept,
            text: "Accept",
            value,
        });
        Accept::parse(&Headers::new(lines.collect()))
    }

    #[test]
    fn the_most_specific_range_decides() {
        for (case, values, weight) in [
            ("absent", vec![], 0),
            ("empty takes nothing", vec![""], 0),
            (
                "named",
                vec!["application/cpim-pidf+xml, application/pidf+xml"],
                1000,
            ),
            (
                "in any case, with parameters",
                vec!["Application/PIDF+XML;q=0.5;x=y"],
                500,
            ),
            (
                "on the second line",
                vec!["a/b", "application/pidf+xml;q=0.25"],
                250,
            ),
            ("any subtype", vec!["application/*;q=0.7, */*;q=0.1"], 700),
            ("anything", vec!["*/*"], 1000),
            (
                "anything but this",
                vec!["*/*, application/pidf+xml;q=0"],
                0,
            ),
            ("another type", vec!["text/plain"], 0),
            (
                "a broken element is passed over",
                vec!["pidf, application/pidf+xml"],
                1000,
            ),
        ] {
            let accept = accept(&values);
            assert_eq!(accept.weight("application/pidf+xml"), weight, "{case}");
            assert_eq!(accept.is_present(), !values.is_empty(), "{case}");
        }
    }

    #[test]
    fn a_range_names_nothing() {
        let accept = accept(&["*/*, Application/pidf-diff+xml;q=0.5"]);
        assert_eq!(accept.named("application/pidf-diff+xml"), Some(500));
        assert_eq!(accept.named("application/pidf+xml"), None);
    }
}
