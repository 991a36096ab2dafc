//! The built-in simple types (XML Schema 1.0 part 2): which character sequences each one takes.

use crate::xml::guard::is_xml_char;
use std::cmp::Ordering;

/// A built-in type. Those not named here are not supported and are reported when a schema is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Builtin {
    AnySimpleType,
    String,
    NormalizedString,
    Token,
    Language,
    Name,
    NcName,
    NmToken,
    Id,
    IdRef,
    QName,
    Boolean,
    Decimal,
    /// An integer type with its name and inclusive bounds in decimal, where it has them.
    Integer(&'static str, Option<&'static str>, Option<&'static str>),
    Float,
    DateTime,
    Date,
    Time,
    AnyUri,
    Base64Binary,
    HexBinary,
}

/// What happens to white space before a value is looked at (part 2 §4.3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Whitespace {
    Preserve,
    Replace,
    Collapse,
}

impl Builtin {
    /// Every supported name in the XML Schema namespace.
    pub const ALL: [(&'static str, Builtin); 34] = {
        use Builtin::*;
        const fn integer(
            name: &'static str,
            min: Option<&'static str>,
            max: Option<&'static str>,
        ) -> (&'static str, Builtin) {
            (name, Integer(name, min, max))
        }
        [
            ("anySimpleType", AnySimpleType),
            ("string", String),
            ("normalizedString", NormalizedString),
            ("token", Token),
            ("language", Language),
            ("Name", Name),
            ("NCName", NcName),
            ("NMTOKEN", NmToken),
            ("ID", Id),
            ("IDREF", IdRef),
            ("QName", QName),
            ("boolean", Boolean),
            ("decimal", Decimal),
            integer("integer", None, None),
            integer("nonPositiveInteger", None, Some("0")),
            integer("negativeInteger", None, Some("-1")),
            integer("nonNegativeInteger", Some("0"), None),
            integer("positiveInteger", Some("1"), None),
            integer(
                "long",
                Some("-9223372036854775808"),
                Some("9223372036854775807"),
            ),
            integer("int", Some("-2147483648"), Some("2147483647")),
            integer("short", Some("-32768"), Some("32767")),
            integer("byte", Some("-128"), Some("127")),
            integer("unsignedLong", Some("0"), Some("18446744073709551615")),
            integer("unsignedInt", Some("0"), Some("4294967295")),
            integer("unsignedShort", Some("0"), Some("65535")),
            integer("unsignedByte", Some("0"), Some("255")),
            ("float", Float),
            ("double", Float),
            ("dateTime", DateTime),
            ("date", Date),
            ("time", Time),
            ("anyURI", AnyUri),
            ("base64Binary", Base64Binary),
            ("hexBinary", HexBinary),
        ]
    };

    pub fn whitespace(self) -> Whitespace {
        match self {
            Builtin::AnySimpleType | Builtin::String => Whitespace::Preserve,
            Builtin::NormalizedString => Whitespace::Replace,
            _ => Whitespace::Collapse,
        }
    }

    /// Whether length facets count the characters of the value.
    pub fn is_text(self) -> bool {
        use Builtin::*;
        matches!(
            self,
            String
                | NormalizedString
                | Token
                | Language
                | Name
                | NcName
                | NmToken
                | Id
                | IdRef
                | AnyUri
        )
    }

    /// Whether values have the order of decimal numbers.
    pub fn is_number(self) -> bool {
        matches!(self, Builtin::Decimal | Builtin::Integer(..))
    }

    /// Whether `value`, its white space already normalised, is of this type. A QName's prefix and the
    /// uniqueness of an ID are checked by the validator, which knows the document.
    pub fn takes(self, value: &str) -> bool {
        match self {
            Builtin::AnySimpleType
            | Builtin::String
            | Builtin::NormalizedString
            | Builtin::Token => true,
            Builtin::Language => language(value),
            Builtin::Name => name(value, true),
            Builtin::NcName | Builtin::Id | Builtin::IdRef => name(value, false),
            Builtin::NmToken => {
                !value.is_empty() && value.chars().all(|c| c == ':' || is_name_char(c))
            }
            Builtin::QName => match value.split_once(':') {
                Some((prefix, local)) => name(prefix, false) && name(local, false),
                None => name(value, false),
            },
            Builtin::Boolean => matches!(value, "true" | "false" | "1" | "0"),
            Builtin::Decimal => decimal(value).is_some(),
            Builtin::Integer(_, min, max) => {
                let digits = value.strip_prefix(['+', '-']).unwrap_or(value);
                all_digits(digits)
                    && min.is_none_or(|min| compare(value, min) != Some(Ordering::Less))
                    && max.is_none_or(|max| compare(value, max) != Some(Ordering::Greater))
            }
            Builtin::Float => matches!(value, "INF" | "-INF" | "NaN") || float(value),
            Builtin::DateTime => value
                .split_once('T')
                .is_some_and(|(d, t)| day(d) && time(t)),
            Builtin::Date => date(value),
            Builtin::Time => time(value),
            Builtin::AnyUri => any_uri(value),
            Builtin::Base64Binary => base64(value),
            Builtin::HexBinary => {
                value.len().is_multiple_of(2) && value.bytes().all(|b| b.is_ascii_hexdigit())
            }
        }
    }
}

/// NameStartChar without the colon, XML 1.0 §2.3.
fn is_name_start(c: char) -> bool {
    matches!(c, 'A'..='Z' | '_' | 'a'..='z' | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}'
        | '\u{f8}'..='\u{2ff}' | '\u{370}'..='\u{37d}' | '\u{37f}'..='\u{1fff}' | '\u{200c}'..='\u{200d}'
        | '\u{2070}'..='\u{218f}' | '\u{2c00}'..='\u{2fef}' | '\u{3001}'..='\u{d7ff}'
        | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}' | '\u{10000}'..='\u{effff}')
}

/// NameChar without the colon.
fn is_name_char(c: char) -> bool {
    is_name_start(c)
        || matches!(c, '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
}

/// Whether `value` is a name without colon, Namespaces in XML 1.0 §3.
pub(crate) fn is_ncname(value: &str) -> bool {
    name(value, false)
}

fn name(value: &str, colon: bool) -> bool {
    let mut chars = value.chars();
    chars
        .next()
        .is_some_and(|c| is_name_start(c) || (colon && c == ':'))
        && chars.all(|c| is_name_char(c) || (colon && c == ':'))
}

/// RFC 3066 as part 2 §3.3.3 writes it down.
fn language(value: &str) -> bool {
    value.split('-').enumerate().all(|(index, tag)| {
        (1..=8).contains(&tag.len())
            && tag
                .bytes()
                .all(|b| b.is_ascii_alphabetic() || (index > 0 && b.is_ascii_digit()))
    })
}

fn all_digits(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit())
}

/// Sign, digits before and digits after the point, without meaningless zeros.
fn decimal(value: &str) -> Option<(bool, &str, &str)> {
    let digits = value.strip_prefix(['+', '-']).unwrap_or(value);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let ok = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if !ok(whole) || !ok(part) || (whole.is_empty() && part.is_empty()) {
        return None;
    }
    let (whole, part) = (whole.trim_start_matches('0'), part.trim_end_matches('0'));
    let negative = value.starts_with('-') && !(whole.is_empty() && part.is_empty());
    Some((negative, whole, part))
}

/// Order of two decimal numbers of any length; none when one is no number.
pub(super) fn compare(a: &str, b: &str) -> Option<Ordering> {
    let ((a_negative, a_whole, a_part), (b_negative, b_whole, b_part)) = (decimal(a)?, decimal(b)?);
    let size = a_whole
        .len()
        .cmp(&b_whole.len())
        .then(a_whole.cmp(b_whole))
        .then(a_part.cmp(b_part));
    Some(match (a_negative, b_negative) {
        (false, true) => Ordering::Greater,
        (true, false) => Ordering::Less,
        (false, false) => size,
        (true, true) => size.reverse(),
    })
}

fn float(value: &str) -> bool {
    let (mantissa, exponent) = match value.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (value, None),
    };
    decimal(mantissa).is_some()
        && exponent.is_none_or(|e| all_digits(e.strip_prefix(['+', '-']).unwrap_or(e)))
}

fn date(value: &str) -> bool {
    // A zone begins behind the day; the minus signs before that belong to the date.
    let zone = value
        .rfind(['Z', '+'])
        .or_else(|| match value.rmatch_indices('-').next() {
            Some((at, _)) if value.get(at..).is_some_and(|z| z.contains(':')) => Some(at),
            _ => None,
        });
    let (d, z) = value
        .split_at_checked(zone.unwrap_or(value.len()))
        .unwrap_or((value, ""));
    day(d) && (z.is_empty() || time_zone(z))
}

/// `-?YYYY-MM-DD` of the Gregorian calendar; years of more than four digits allowed, year zero not.
fn day(value: &str) -> bool {
    let value = value.strip_prefix('-').unwrap_or(value);
    let mut parts = value.split('-');
    let (Some(year), Some(month), Some(day), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let long_enough = year.len() == 4 || (year.len() > 4 && !year.starts_with('0'));
    if !long_enough || !all_digits(year) || year.bytes().all(|b| b == b'0') {
        return false;
    }
    // The calendar repeats every 400 years, and 10,000 is a multiple of 400.
    let tail = year
        .get(year.len().saturating_sub(4)..)
        .and_then(|y| y.parse::<u32>().ok());
    let (Some(year), Some(month), Some(day)) = (tail, two(month), two(day)) else {
        return false;
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (1..=days).contains(&day)
}

fn two(digits: &str) -> Option<u32> {
    if digits.len() == 2 && all_digits(digits) {
        digits.parse().ok()
    } else {
        None
    }
}

/// `hh:mm:ss(.s+)?` and an optional zone. 24:00:00 is midnight at the end of the day.
fn time(value: &str) -> bool {
    let zone = value.find(['Z', '+', '-']).unwrap_or(value.len());
    let (clock, zone) = value.split_at_checked(zone).unwrap_or((value, ""));
    let mut parts = clock.split(':');
    let (Some(h), Some(m), Some(s), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let (s, fraction) = s.split_once('.').unwrap_or((s, "0"));
    let (Some(h), Some(m), Some(s)) = (two(h), two(m), two(s)) else {
        return false;
    };
    let midnight = h == 24 && m == 0 && s == 0 && fraction.bytes().all(|b| b == b'0');
    all_digits(fraction)
        && m < 60
        && s < 60
        && (h < 24 || midnight)
        && (zone.is_empty() || time_zone(zone))
}

/// `Z` or up to fourteen hours from it.
fn time_zone(value: &str) -> bool {
    if value == "Z" {
        return true;
    }
    let Some((h, m)) = value
        .strip_prefix(['+', '-'])
        .and_then(|v| v.split_once(':'))
    else {
        return false;
    };
    let (Some(h), Some(m)) = (two(h), two(m)) else {
        return false;
    };
    m < 60 && (h < 14 || (h == 14 && m == 0))
}

/// Part 2 §3.2.17: what is a URI reference once the characters that a URI cannot hold are escaped. So
/// spaces and letters of any script pass; a lone percent sign, a second fragment, or a colon behind
/// something that is no scheme do not. Brackets pass: RFC 2732 puts IPv6 addresses into them.
fn any_uri(value: &str) -> bool {
    let bytes = value.as_bytes();
    let percent = memchr::memchr_iter(b'%', bytes).all(|at| {
        bytes
            .get(at + 1..at + 3)
            .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
    });
    let fragments = memchr::memchr_iter(b'#', bytes).count();
    let first = value.split(['/', '?', '#']).next().unwrap_or_default();
    let scheme = first.split_once(':').is_none_or(|(scheme, _)| {
        let mut chars = scheme.bytes();
        chars.next().is_some_and(|b| b.is_ascii_alphabetic())
            && chars.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    });
    percent && fragments <= 1 && scheme && value.chars().all(is_xml_char)
}

fn base64(value: &str) -> bool {
    let digits: Vec<u8> = value.bytes().filter(|b| *b != b' ').collect();
    let padding = digits.iter().rev().take_while(|b| **b == b'=').count();
    let (body, _) = digits.split_at(digits.len() - padding);
    digits.len().is_multiple_of(4)
        && padding <= 2
        && body
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
        && match (padding, body.last()) {
            // The bits of the last digit that no byte uses are zero.
            (2, Some(last)) => b"AQgw".contains(last),
            (1, Some(last)) => b"AEIMQUYcgkosw048".contains(last),
            (0, _) => true,
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Builtin {
        Builtin::ALL
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, b)| *b)
            .unwrap()
    }

    #[test]
    fn values_are_taken_by_their_type() {
        for (kind, good, bad) in [
            ("boolean", "true false 1 0", "TRUE yes 2 -1"),
            ("decimal", "0 -1.5 +.5 5. 007", ". - 1e3 1,5 ++1"),
            ("integer", "0 -0 +12 99999999999999999999999", "1.0 - +- x"),
            (
                "unsignedInt",
                "0 -0 4294967295 00004294967295",
                "4294967296 -1",
            ),
            (
                "long",
                "-9223372036854775808 9223372036854775807",
                "9223372036854775808 -9223372036854775809",
            ),
            ("positiveInteger", "1 +1", "0 -1"),
            (
                "double",
                "1 1.5e-3 INF -INF NaN .5E+2",
                "inf +INF 1e e5 1e1.5",
            ),
            (
                "language",
                "en en-US x-klingon a-b1-c2",
                "en_US 1a toolonglang en-",
            ),
            ("NCName", "a _a a-1.b \u{e9}t\u{e9}", "1a -a a:b a*b"),
            ("Name", "a:b :a", "1a -"),
            ("NMTOKEN", "1a -a :x", "a*b"),
            ("QName", "a a:b", "a:b:c :a a: 1:a"),
            (
                "dateTime",
                "2005-08-01T17:00:00+01:00 2004-02-29T24:00:00Z -0044-03-15T12:00:00 12005-01-01T00:00:00.5 2000-02-29T00:00:00-14:00",
                "2005-08-01 2005-13-01T00:00:00 2005-02-29T00:00:00 1900-02-29T00:00:00 0000-01-01T00:00:00 \
                 2005-08-01T24:00:01 2005-08-01T17:00 2005-08-01T17:00:00+14:01 2005-08-01T17:00:60Z \
                 2005-08-01T17:00:00. 05-08-01T17:00:00 02005-01-01T00:00:00 2005-8-1T17:00:00 2005-08-01T7:00:00",
            ),
            (
                "date",
                "2005-08-01 2005-08-01Z 2005-08-01-05:00 2005-08-01+14:00",
                "2005-08 2005-08-32 2005-08-01T00:00:00",
            ),
            (
                "anyURI",
                "sip:a@b tel:+1 sip:a@[2001:db8::1]:5060 http://a/%7E?x#y a/b #f urn:x:\u{e9} ./1:a",
                "%zz a%2 a#b#c 1a:b :a a\u{e9}:b",
            ),
            ("base64Binary", "QQ== QUI= QUJD", "QQ QR== Q=== QUJ= Q!=="),
        ] {
            for value in good.split_whitespace() {
                assert!(named(kind).takes(value), "{kind} refuses {value}");
            }
            for value in bad.split_whitespace() {
                assert!(!named(kind).takes(value), "{kind} takes {value}");
            }
        }
        assert!(
            named("anyURI").takes("") && named("anyURI").takes("a b"),
            "emptiness and spaces"
        );
        for kind in [
            "boolean", "decimal", "integer", "NCName", "dateTime", "language", "QName", "NMTOKEN",
        ] {
            assert!(!named(kind).takes(""), "{kind} takes nothing");
        }
    }

    #[test]
    fn numbers_compare_whatever_their_length() {
        for (a, b, order) in [
            ("1", "01.0", Ordering::Equal),
            ("-0", "0", Ordering::Equal),
            ("10", "9", Ordering::Greater),
            ("-10", "-9", Ordering::Less),
            ("0.10", "0.09", Ordering::Greater),
            ("0.1", "0.11", Ordering::Less),
            ("-1", "1", Ordering::Less),
        ] {
            assert_eq!(compare(a, b), Some(order), "{a} {b}");
        }
        assert_eq!(compare("a", "1"), None);
    }
}
