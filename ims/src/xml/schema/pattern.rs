//! Regular expressions of XML Schema (part 2 appendix F) rewritten for the `regex` crate, which matches in
//! time linear in the value. What has no counterpart is refused when the schema is loaded.

use regex::{Regex, RegexBuilder};

/// Longest pattern accepted, in bytes.
const LENGTH: usize = 16 * 1024;

/// Memory one compiled pattern may take, in bytes.
const COMPILED: usize = 1 << 20;

const NAME_START: &str = r"_:A-Za-z\u{c0}-\u{d6}\u{d8}-\u{f6}\u{f8}-\u{2ff}\u{370}-\u{37d}\u{37f}-\u{1fff}\u{200c}-\u{200d}\u{2070}-\u{218f}\u{2c00}-\u{2fef}\u{3001}-\u{d7ff}\u{f900}-\u{fdcf}\u{fdf0}-\u{fffd}\u{10000}-\u{effff}";
const NAME_MORE: &str = r"\-.0-9\u{b7}\u{300}-\u{36f}\u{203f}-\u{2040}";

/// Compiles a pattern; it must match the whole of a value.
pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > LENGTH {
        return Err(format!("a pattern is longer than {LENGTH} bytes"));
    }
    let rewritten = rewrite(pattern)?;
    RegexBuilder::new(&format!(r"\A(?:{rewritten})\z"))
        .size_limit(COMPILED)
        .build()
        .map_err(|error| format!("pattern \"{pattern}\": {error}"))
}

fn rewrite(pattern: &str) -> Result<String, String> {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut chars = pattern.chars().peekable();
    let mut classes = 0_usize;
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                let escaped = chars.next().ok_or("a pattern ends in a backslash")?;
                out.push_str(&escape(escaped, classes > 0)?);
            }
            '[' if classes == 0 => {
                classes = 1;
                out.push('[');
                if chars.peek() == Some(&'^') {
                    out.extend(chars.next());
                }
            }
            // Subtraction: [a-z-[aeiou]] is written [a-z--[aeiou]] here.
            '-' if classes > 0 && chars.peek() == Some(&'[') => {
                classes += 1;
                out.push_str("--");
                out.extend(chars.next());
                if chars.peek() == Some(&'^') {
                    out.extend(chars.next());
                }
            }
            '[' => return Err(format!("pattern \"{pattern}\" has a bracket in a class")),
            ']' if classes > 0 => {
                classes -= 1;
                out.push(']');
            }
            // Set operators here, plain characters there.
            '&' | '~' if classes > 0 => out.extend(['\\', c]),
            // Anchors here, plain characters there.
            '^' | '$' if classes == 0 => out.extend(['\\', c]),
            '.' if classes == 0 => out.push_str(r"[^\n\r]"),
            '(' if chars.peek() == Some(&'?') => {
                return Err(format!(
                    "pattern \"{pattern}\" has an operator that XML Schema lacks"
                ));
            }
            other => out.push(other),
        }
    }
    Ok(out)
}

fn escape(c: char, in_class: bool) -> Result<String, String> {
    let set = |inside: String, negated: bool| match (in_class, negated) {
        (_, false) => format!("[{inside}]"),
        (_, true) => format!("[^{inside}]"),
    };
    Ok(match c {
        'n' | 'r' | 't' | 'd' | 'D' => format!("\\{c}"),
        's' => set(" \\t\\n\\r".to_owned(), false),
        'S' => set(" \\t\\n\\r".to_owned(), true),
        'i' => set(NAME_START.to_owned(), false),
        'I' => set(NAME_START.to_owned(), true),
        'c' => set(format!("{NAME_START}{NAME_MORE}"), false),
        'C' => set(format!("{NAME_START}{NAME_MORE}"), true),
        '\\' | '|' | '.' | '-' | '^' | '?' | '*' | '+' | '{' | '}' | '(' | ')' | '[' | ']' => {
            format!("\\{c}")
        }
        other => {
            return Err(format!(
                "the escape \\{other} of a pattern is not supported"
            ));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_xml_schema_says() {
        for (pattern, good, bad) in [
            ("[A-Z]{2}", "DE SE", "D DEU de"),
            (r"0(.[0-9]{0,3})?", "0 0.5 0.123 0x5", "1 0.1234"),
            ("a|b", "a b", "ab c"),
            ("^a$", "^a$", "a"),
            (r"\i\c*", "a:b _1 \u{e9}", "1a -"),
            (r"[\i-[:]][\c-[:]]*", "ab1", "a:b :a"),
            ("[a-z-[aeiou]]+", "xyz", "xaz"),
            (r"[&~]+", "&& ~~", "a"),
            (r"\d+\.\d", "12.5", "12x5"),
            (r"[^\s]+", "ab", ""),
        ] {
            let regex = compile(pattern).unwrap();
            for value in good.split_whitespace() {
                assert!(regex.is_match(value), "{pattern} refuses {value}");
            }
            for value in bad.split_whitespace() {
                assert!(!regex.is_match(value), "{pattern} takes {value}");
            }
        }
        assert!(
            !compile("a").unwrap().is_match("a\n"),
            "a final line feed is part of the value"
        );
    }

    #[test]
    fn what_cannot_be_rewritten_is_refused() {
        for pattern in [
            r"\p{Lu}",
            r"\w",
            "(?:a)",
            r"a\",
            "[[a]]",
            "(",
            "((a{1000}){1000}){1000}",
        ] {
            assert!(compile(pattern).is_err(), "{pattern}");
        }
        assert!(compile(&"a".repeat(LENGTH + 1)).is_err());
    }
}
