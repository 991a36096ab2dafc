//! `If-Match` and `If-None-Match` (RFC 9110 §13.1, RFC 4825 §8.2.6).

/// Most entity-tags in one header.
const TAGS: usize = 64;

/// What the headers say of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Holds,
    /// `If-Match` names no tag the resource has, or `If-None-Match` names one: 412.
    Fails,
    /// As `Fails`, by `If-None-Match`: for GET and HEAD this is 304.
    Unchanged,
}

/// The headers make no sense: 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Evaluates both headers against the entity-tag of the resource, `None` when it does not exist.
pub fn evaluate(
    if_match: Option<&str>,
    if_none_match: Option<&str>,
    etag: Option<&str>,
) -> Result<Verdict, Malformed> {
    if let Some(header) = if_match {
        // §13.1.1 compares strongly: a weak tag never matches.
        let matched = names(
            header,
            |tag, weak| !weak && Some(tag) == etag,
            etag.is_some(),
        )?;
        if !matched {
            return Ok(Verdict::Fails);
        }
    }
    if let Some(header) = if_none_match {
        // §13.1.2 compares weakly.
        let matched = names(header, |tag, _| Some(tag) == etag, etag.is_some())?;
        if matched {
            return Ok(Verdict::Unchanged);
        }
    }
    Ok(Verdict::Holds)
}

/// Whether `*` or one of the listed tags names the resource.
fn names(header: &str, same: impl Fn(&str, bool) -> bool, exists: bool) -> Result<bool, Malformed> {
    let blank = |c: char| c == ' ' || c == '\t';
    if header.trim_matches(blank) == "*" {
        return Ok(exists);
    }
    let mut rest = header;
    let mut matched = false;
    let mut count = 0;
    loop {
        // Empty members of a list are allowed (RFC 9110 §5.6.1.2).
        rest = rest.trim_start_matches(|c| blank(c) || c == ',');
        if rest.is_empty() {
            return if count == 0 {
                Err(Malformed)
            } else {
                Ok(matched)
            };
        }
        let (weak, quoted) = match rest.strip_prefix("W/") {
            Some(quoted) => (true, quoted),
            None => (false, rest),
        };
        let (tag, after) = quoted
            .strip_prefix('"')
            .and_then(|tag| tag.split_once('"'))
            .ok_or(Malformed)?;
        rest = after.trim_start_matches(blank);
        count += 1;
        // A comma inside a tag is part of it; one must part it from the next.
        if tag.chars().any(|c| c.is_control() || c == ' ')
            || !(rest.is_empty() || rest.starts_with(','))
            || count > TAGS
        {
            return Err(Malformed);
        }
        matched |= same(tag, weak);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_compared_with_the_resource() {
        use Verdict::*;
        for (case, if_match, if_none_match, etag, expected) in [
            ("no condition", None, None, Some("a"), Ok(Holds)),
            ("the same tag", Some("\"a\""), None, Some("a"), Ok(Holds)),
            ("another tag", Some("\"b\""), None, Some("a"), Ok(Fails)),
            (
                "one of several",
                Some("\"b\" , ,\"a\""),
                None,
                Some("a"),
                Ok(Holds),
            ),
            (
                "a comma in a tag",
                Some("\"b,c\",\"a\""),
                None,
                Some("a"),
                Ok(Holds),
            ),
            (
                "a weak tag to match",
                Some("W/\"a\""),
                None,
                Some("a"),
                Ok(Fails),
            ),
            ("any, there", Some(" * "), None, Some("a"), Ok(Holds)),
            ("any, not there", Some("*"), None, None, Ok(Fails)),
            ("a tag, not there", Some("\"a\""), None, None, Ok(Fails)),
            ("none, there", None, Some("*"), Some("a"), Ok(Unchanged)),
            ("none, not there", None, Some("*"), None, Ok(Holds)),
            (
                "not this one",
                None,
                Some("\"a\""),
                Some("a"),
                Ok(Unchanged),
            ),
            (
                "not this one, weakly",
                None,
                Some("W/\"a\""),
                Some("a"),
                Ok(Unchanged),
            ),
            ("not another one", None, Some("\"b\""), Some("a"), Ok(Holds)),
            (
                "both hold",
                Some("\"a\""),
                Some("\"b\""),
                Some("a"),
                Ok(Holds),
            ),
            (
                "the first fails",
                Some("\"b\""),
                Some("\"a\""),
                Some("a"),
                Ok(Fails),
            ),
            ("case matters", Some("\"A\""), None, Some("a"), Ok(Fails)),
            ("no quotes", Some("a"), None, Some("a"), Err(Malformed)),
            (
                "quotes left open",
                Some("\"a"),
                None,
                Some("a"),
                Err(Malformed),
            ),
            ("nothing", Some(""), None, Some("a"), Err(Malformed)),
            (
                "no comma",
                Some("\"a\" \"b\""),
                None,
                Some("a"),
                Err(Malformed),
            ),
            (
                "any among others",
                Some("*, \"a\""),
                None,
                Some("a"),
                Err(Malformed),
            ),
            (
                "lower case w",
                None,
                Some("w/\"a\""),
                Some("a"),
                Err(Malformed),
            ),
        ] {
            assert_eq!(evaluate(if_match, if_none_match, etag), expected, "{case}");
        }
        let many = |n: usize| vec!["\"b\""; n].join(",");
        assert_eq!(evaluate(Some(&many(64)), None, Some("a")), Ok(Fails));
        assert_eq!(evaluate(Some(&many(65)), None, Some("a")), Err(Malformed));
    }
}
