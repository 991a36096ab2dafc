//! The query of an XCAP URI: prefixes for its node selector (RFC 4825 §6.4).

/// Namespace of the prefix `xml`, which is bound without a query (XPointer xmlns() §3).
const XML: &str = "http://www.w3.org/XML/1998/namespace";

/// Namespace of the prefix `xmlns`, which no attribute that can be selected has.
const XMLNS: &str = "http://www.w3.org/2000/xmlns/";

/// Prefixes and their namespaces, in the order of the query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bindings(Vec<(Box<str>, Box<str>)>);

impl Bindings {
    /// Reads an XPointer expression whose percent-encoding has been undone. Parts of another scheme than `xmlns()` are
    /// ignored, "MUST" of §6.4, and so is everything from the first piece that is no part.
    pub(super) fn parse(query: &str) -> Bindings {
        let mut bindings = Vec::new();
        let mut rest = query.trim_start();
        while let Some((scheme, after)) = rest.split_once('(') {
            let Some((data, after)) = data(after) else {
                break;
            };
            if scheme == "xmlns"
                && let Some((prefix, uri)) = data.split_once('=')
                && !uri.trim_start().is_empty()
            {
                bindings.push((prefix.trim_end().into(), uri.trim_start().into()));
            }
            rest = after.trim_start();
        }
        Bindings(bindings)
    }

    /// The namespace of a prefix; the last of several bindings counts.
    pub(super) fn namespace(&self, prefix: &str) -> Option<&str> {
        match prefix {
            "xml" => return Some(XML),
            "xmlns" => return Some(XMLNS),
            _ => {}
        }
        let mut bindings = self.0.iter().rev();
        let (_, uri) = bindings.find(|(bound, _)| **bound == *prefix)?;
        Some(uri)
    }
}

/// An `xmlns()` part for a query, not yet percent-encoded.
pub(super) fn part(prefix: &str, namespace: &str) -> String {
    let mut escaped = String::with_capacity(namespace.len());
    for c in namespace.chars() {
        if matches!(c, '^' | '(' | ')') {
            escaped.push('^');
        }
        escaped.push(c);
    }
    format!("xmlns({prefix}={escaped})")
}

/// The data of a part, from behind its `(`, and what follows its `)`. A circumflex escapes parentheses and itself;
/// parentheses without one are balanced (XPointer framework §3.1).
fn data(text: &str) -> Option<(String, &str)> {
    let mut data = String::new();
    let mut open = 0_usize;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '^' => {
                let (_, escaped) = chars.next()?;
                if !matches!(escaped, '^' | '(' | ')') {
                    return None;
                }
                data.push(escaped);
                continue;
            }
            '(' => open += 1,
            ')' if open == 0 => return Some((data, text.get(at + 1..)?)),
            ')' => open -= 1,
            _ => {}
        }
        data.push(c);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_binds_prefixes() {
        for (case, query, expected) in [
            ("nothing", "", "a- b-"),
            ("one", "xmlns(a=urn:1)", "a=urn:1 b-"),
            ("two", "xmlns(a=urn:1)xmlns(b=urn:2)", "a=urn:1 b=urn:2"),
            (
                "white space between parts and in them",
                " xmlns( a=urn:1)  xmlns(b = urn:2) ",
                "a- b=urn:2",
            ),
            (
                "the last counts",
                "xmlns(a=urn:1)xmlns(a=urn:2)",
                "a=urn:2 b-",
            ),
            (
                "other schemes are ignored",
                "xpointer(id(\"a\"))xmlns(a=urn:1)element(/1/2)xmlns(b=urn:2)",
                "a=urn:1 b=urn:2",
            ),
            (
                "parentheses and circumflexes are escaped or balanced",
                "xmlns(a=u^(^)^^)xmlns(b=u(v)w)",
                "a=u()^ b=u(v)w",
            ),
            ("an unknown escape", "xmlns(a=u^x)xmlns(b=urn:2)", "a- b-"),
            ("left open", "xmlns(a=urn:1)xmlns(b=urn:2", "a=urn:1 b-"),
            ("bound to nothing", "xmlns(a=)xmlns(b=urn:2)", "a- b=urn:2"),
            ("no XPointer", "a=urn:1&b=urn:2", "a- b-"),
        ] {
            let bindings = Bindings::parse(query);
            let shown = ["a", "b"].map(|prefix| match bindings.namespace(prefix) {
                Some(uri) => format!("{prefix}={uri}"),
                None => format!("{prefix}-"),
            });
            assert_eq!(shown.join(" "), expected, "{case}");
        }
        let odd = "u(1)^)";
        let read = Bindings::parse(&part("p", odd));
        assert_eq!(read.namespace("p"), Some(odd));
        assert_eq!(read.namespace("xml"), Some(XML));
    }
}
