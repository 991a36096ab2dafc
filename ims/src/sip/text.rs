//! Small scanners shared by the header files: tokens, quoted strings, lists and parameters.

use std::borrow::Cow;

/// Whether `b` may stand in a token, RFC 3261 §25.1.
pub const fn is_token_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric()
        || matches!(
            b,
            b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~'
        )
}

/// Whether `s` is a token: at least one character, all of them allowed.
pub fn is_token(s: &str) -> bool {
    is_token_bytes(s.as_bytes())
}

/// The same for octets; a token is ASCII.
pub fn is_token_bytes(s: &[u8]) -> bool {
    !s.is_empty() && s.iter().all(|b| TOKEN[usize::from(*b)])
}

/// [`is_token_byte`] as a table: every header name and most parameters pass through here.
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0u8;
    while b < 128 {
        table[b as usize] = is_token_byte(b);
        b += 1;
    }
    table
};

/// `s` without linear white space at both ends. Folding has already become spaces.
pub fn trim(s: &str) -> &str {
    let space = |b: &u8| matches!(b, b' ' | b'\t');
    let bytes = s.as_bytes();
    let Some(last) = bytes.iter().rposition(|b| !space(b)) else {
        return "";
    };
    let first = bytes.iter().position(|b| !space(b)).unwrap_or(last);
    s.get(first..=last).unwrap_or("")
}

/// A decimal number of at most `T`'s range; no sign, no space, at least one digit.
pub fn number<T: TryFrom<u64>>(s: &str) -> Option<T> {
    if s.is_empty() || s.len() > 19 || !s.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    s.parse::<u64>().ok().and_then(|n| T::try_from(n).ok())
}

/// Appends the lowest `digits` hexadecimal digits of `n`, at most 16.
pub fn push_hex(out: &mut String, n: u64, digits: u32) {
    out.extend((0..digits.min(16)).rev().map(|at| {
        let digit = u32::try_from(n >> (4 * at) & 0xf).unwrap_or(0);
        char::from_digit(digit, 16).unwrap_or('0')
    }));
}

/// Length of the quoted string at the start of `s`, both quotes included; `None` if it does not end.
pub fn quoted_len(s: &str) -> Option<usize> {
    let bytes = s.as_bytes();
    if bytes.first() != Some(&b'"') {
        return None;
    }
    let mut at = 1;
    while let Some(&b) = bytes.get(at) {
        match b {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    None
}

/// Position of the first byte of `stops` outside quoted strings (and, if `angles`, outside `<...>`).
/// An unbalanced quote hides everything after it, so nothing is split out of a broken value.
pub fn find_outside(s: &str, stops: &[u8], angles: bool) -> Option<usize> {
    let bytes = s.as_bytes();
    let (mut at, mut depth) = (0usize, 0usize);
    while let Some(&b) = bytes.get(at) {
        match b {
            b'"' if depth == 0 => {
                at += quoted_len(s.get(at..)?)?;
                continue;
            }
            b'<' if angles => depth = 1,
            b'>' if angles => depth = 0,
            _ if depth == 0 && stops.contains(&b) => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

/// The comma-separated elements of one header value, quotes and angle brackets respected, trimmed.
/// Empty elements (`a,,b`) are passed over, as RFC 3261 implementations have always done.
#[derive(Clone, Debug)]
pub struct Elements<'a>(Option<&'a str>);

/// Elements of `value`.
pub fn elements(value: &str) -> Elements<'_> {
    Elements(Some(value))
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a str;
    fn next(&mut self) -> Option<&'a str> {
        loop {
            let rest = self.0?;
            let element = match find_outside(rest, b",", true) {
                Some(comma) => {
                    self.0 = rest.get(comma + 1..);
                    rest.get(..comma)?
                }
                None => {
                    self.0 = None;
                    rest
                }
            };
            let element = trim(element);
            if !element.is_empty() {
                return Some(element);
            }
        }
    }
}

/// Header or URI parameters: `;name=value;flag`, kept as they stand and read on demand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params<'a>(&'a str);

impl<'a> Params<'a> {
    /// Parameters of `text`, which is empty or starts with `;`. `None` when a name or value breaks the
    /// grammar (a quoted string that does not end, a name that is no token, white space inside a value).
    pub fn parse(text: &'a str) -> Option<Params<'a>> {
        let text = trim(text);
        if !text.is_empty() && !text.starts_with(';') {
            return None;
        }
        let params = Params(text);
        for (name, value) in params.iter() {
            let plain = |v: &str| {
                v.bytes()
                    .all(|b| b > b' ' && !matches!(b, b'"' | b',' | b'<' | b'>' | b';'))
            };
            let good = match value {
                None => true,
                Some(v) if v.starts_with('"') => quoted_len(v) == Some(v.len()),
                Some(v) => plain(v),
            };
            if !good || !is_token(name) {
                return None;
            }
        }
        Some(params)
    }

    /// Parameters of a header that has nothing before the first one, read as far as they make sense.
    pub fn loose(text: &'a str) -> Params<'a> {
        Params(trim(text))
    }

    /// Text as it stood.
    pub fn as_str(&self) -> &'a str {
        self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Name and value of each parameter; a quoted value keeps its quotes.
    pub fn iter(&self) -> ParamsIter<'a> {
        ParamsIter(self.0)
    }

    /// First parameter called `name` (in any case): outer `None` absent, inner `None` without value.
    pub fn find(&self, name: &str) -> Option<Option<&'a str>> {
        self.iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v)
    }

    /// Value of the first parameter called `name`, if it has one.
    pub fn value(&self, name: &str) -> Option<&'a str> {
        self.find(name).flatten()
    }

    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }
}

/// Iterator over [`Params`].
#[derive(Clone, Debug)]
pub struct ParamsIter<'a>(&'a str);

impl<'a> Iterator for ParamsIter<'a> {
    type Item = (&'a str, Option<&'a str>);
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.0.strip_prefix(';').unwrap_or(self.0);
            if rest.is_empty() {
                return None;
            }
            let end = find_outside(rest, b";", false).unwrap_or(rest.len());
            let (one, tail) = rest.split_at(end);
            self.0 = tail;
            let one = trim(one);
            if one.is_empty() {
                continue; // `;;` and a trailing `;` are seen in the field and mean nothing
            }
            return Some(match one.split_once('=') {
                Some((name, value)) => (trim(name), Some(trim(value))),
                None => (one, None),
            });
        }
    }
}

/// The text of a quoted string without quotes and escapes; any other text as it stands.
pub fn unquote(s: &str) -> Cow<'_, str> {
    let Some(inner) = s.strip_prefix('"').and_then(|s| s.strip_suffix('"')) else {
        return Cow::Borrowed(s);
    };
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        out.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    Cow::Owned(out)
}

/// `s` as a quoted string, with `"` and `\` escaped, RFC 3261 §25.1.
pub fn quote(s: &str, out: &mut impl std::fmt::Write) -> std::fmt::Result {
    out.write_char('"')?;
    for c in s.chars() {
        if matches!(c, '"' | '\\') {
            out.write_char('\\')?;
        }
        out.write_char(c)?;
    }
    out.write_char('"')
}

/// Value of one hexadecimal digit.
pub const fn hex(b: u8) -> Option<u8> {
    match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        b'A'..=b'F' => Some(b - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_split_only_between_elements() {
        for (case, value, want) in [
            ("plain", "a, b ,c", vec!["a", "b", "c"]),
            (
                "inside angle brackets",
                "<sip:a,b@x>, <sip:c@x>",
                vec!["<sip:a,b@x>", "<sip:c@x>"],
            ),
            (
                "inside quotes",
                "\"x, \\\" y\" <sip:a@x>, b",
                vec!["\"x, \\\" y\" <sip:a@x>", "b"],
            ),
            ("empty elements mean nothing", ",a,, b,", vec!["a", "b"]),
            ("an open quote hides the rest", "a\"b, c", vec!["a\"b, c"]),
        ] {
            assert_eq!(elements(value).collect::<Vec<_>>(), want, "{case}");
        }
    }

    #[test]
    fn parameters_are_read_or_refused() {
        for (case, text, ok) in [
            ("none", "", true),
            ("flag and value", ";lr;tag=1", true),
            ("space around", "; a = b ; c", true),
            ("semicolon in quotes", ";q=\"a;b\"", true),
            ("trailing semicolon", ";a=b;", true),
            ("no semicolon", "a=b", false),
            ("open quote", ";a=\"b", false),
            ("space in a value", ";a=b c", false),
            ("name is no token", ";a@b=c", false),
        ] {
            assert_eq!(Params::parse(text).is_some(), ok, "{case}");
        }
        let p = Params::parse("; A=1;b;c=\"x;y\";a=2").unwrap_or_default();
        assert_eq!(p.value("a"), Some("1"));
        assert_eq!(p.find("b"), Some(None));
        assert_eq!(p.value("c"), Some("\"x;y\""));
        assert_eq!(p.find("d"), None);
    }

    #[test]
    fn numbers_stay_in_range() {
        for (text, want) in [
            ("0", Some(0u8)),
            ("255", Some(255)),
            ("256", None),
            ("-1", None),
            ("", None),
            ("1 ", None),
        ] {
            assert_eq!(number::<u8>(text), want, "{text}");
        }
        assert_eq!(number::<u32>("36893488147419103232"), None);
    }

    #[test]
    fn quoting_is_undone_by_unquoting() {
        for text in ["", "plain", "a\"b", "back\\slash", "é,;<>"] {
            let mut quoted = String::new();
            assert!(quote(text, &mut quoted).is_ok());
            assert_eq!(quoted_len(&quoted), Some(quoted.len()));
            assert_eq!(unquote(&quoted), text);
        }
    }
}
