//! Node selectors (RFC 4825 §6.3): which element, attribute or set of bindings of a document a URI names.

use super::pointer::{self, Bindings};
use super::{Unselectable, decoded};
use crate::xml::schema::is_ncname;
use crate::xml::text::unescaped;
use std::fmt::Write;

/// Longest node selector and longest query, in bytes as received.
const LONGEST: usize = 4096;

/// Most steps: no document nests deeper (`xml::guard::Limits::depth`).
const STEPS: usize = 64;

/// The expanded name of an element or attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// As the client wrote it; empty: none.
    pub prefix: Box<str>,
    /// Empty: no namespace.
    pub namespace: Box<str>,
    pub local: Box<str>,
}

/// One step: the children of the context of this name, of these the one at this position, of these those with this
/// attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// `None` is the wildcard.
    pub name: Option<Name>,
    /// Counted from 1; 0 matches nothing.
    pub position: Option<u32>,
    pub attribute: Option<(Name, Box<str>)>,
    /// The step as the client wrote it, percent-decoded.
    text: Box<str>,
}

/// What a selector names besides an element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Terminal {
    Attribute(Name),
    /// The namespace bindings in scope, `namespace::*`.
    Namespaces,
}

/// A node selector with its names expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSelector {
    /// From the document element on; never empty.
    pub steps: Vec<Step>,
    pub terminal: Option<Terminal>,
}

impl NodeSelector {
    /// Reads what follows `/~~/` in a path, and the query, both still percent-encoded. Names of elements without a
    /// prefix are in `default_namespace`, that of the application usage; empty: in none.
    pub fn parse(
        path: &str,
        query: Option<&str>,
        default_namespace: &str,
    ) -> Result<NodeSelector, Unselectable> {
        let query = query.unwrap_or_default();
        if path.len() > LONGEST || query.len() > LONGEST {
            return Err(Unselectable::TooLong);
        }
        // §6.3: the grammar is that of the text behind the percent-encoding, which is undone once.
        let path = decoded(path).ok_or(Unselectable::Malformed)?;
        let query = decoded(query).ok_or(Unselectable::Malformed)?;
        let mut reader = Reader {
            rest: &path,
            bindings: Bindings::parse(&query),
            default_namespace,
            unbound: false,
        };
        // What is not of the grammar is an extension-selector, and none is understood (§8).
        let selector = reader.selector()?.ok_or(Unselectable::Outside)?;
        match reader.unbound {
            true => Err(Unselectable::Unbound),
            false => Ok(selector),
        }
    }

    /// The first `count` steps as a client may write them in a URI: percent-encoded, with the query that binds their
    /// prefixes.
    pub fn beginning(&self, count: usize) -> String {
        let mut path = String::new();
        let mut query = String::new();
        for step in self.steps.iter().take(count) {
            if !path.is_empty() {
                path.push('/');
            }
            encode(&step.text, &mut path);
            let tested = step.attribute.as_ref().map(|(name, _)| name);
            for name in step.name.iter().chain(tested) {
                let part = pointer::part(&name.prefix, &name.namespace);
                let own = ["", "xml", "xmlns"].contains(&&*name.prefix);
                if !own && !query.contains(&encoded(&part)) {
                    encode(&part, &mut query);
                }
            }
        }
        if !query.is_empty() {
            path.push('?');
            path.push_str(&query);
        }
        path
    }
}

fn encoded(text: &str) -> String {
    let mut out = String::new();
    encode(text, &mut out);
    out
}

/// Percent-encodes what may not stand in a segment of a path (RFC 3986 §3.3).
fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => out.push(char::from(byte)),
            b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+'
            | b',' | b';' | b'=' | b':' | b'@' => out.push(char::from(byte)),
            // writing to a String does not fail
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
    bindings: Bindings,
    default_namespace: &'a str,
    /// Whether a prefix was met that the query does not bind.
    unbound: bool,
}

impl Reader<'_> {
    fn selector(&mut self) -> Result<Option<NodeSelector>, Unselectable> {
        let mut steps = Vec::new();
        loop {
            if !steps.is_empty()
                && let Some(terminal) = self.terminal()
            {
                let terminal = Some(terminal);
                return Ok(Some(NodeSelector { steps, terminal }));
            }
            let Some(step) = self.step() else {
                return Ok(None);
            };
            if steps.len() == STEPS {
                return Err(Unselectable::TooLong);
            }
            steps.push(step);
            match self.rest.strip_prefix('/') {
                Some(rest) => self.rest = rest,
                None if self.rest.is_empty() => break,
                None => return Ok(None),
            }
        }
        let terminal = None;
        Ok(Some(NodeSelector { steps, terminal }))
    }

    /// The last segment, where it is no step.
    fn terminal(&mut self) -> Option<Terminal> {
        if self.rest == "namespace::*" {
            return Some(Terminal::Namespaces);
        }
        let name = self.name(self.rest.strip_prefix('@')?, "")?;
        Some(Terminal::Attribute(name))
    }

    fn step(&mut self) -> Option<Step> {
        let whole = self.rest;
        let end = whole.find(['[', '/']).unwrap_or(whole.len());
        let (name, rest) = whole.split_at_checked(end)?;
        let name = match name {
            "*" => None,
            name => Some(self.name(name, self.default_namespace)?),
        };
        self.rest = rest;
        let position = match self.rest.strip_prefix('[') {
            Some(inside) if inside.starts_with(|c: char| c.is_ascii_digit()) => {
                let (digits, rest) = inside.split_once(']')?;
                if !digits.bytes().all(|b| b.is_ascii_digit()) {
                    return None;
                }
                self.rest = rest;
                // No document has as many elements as do not fit.
                Some(digits.parse().unwrap_or(u32::MAX))
            }
            _ => None,
        };
        let attribute = match self.rest.strip_prefix("[@") {
            Some(inside) => Some(self.test(inside)?),
            None => None,
        };
        let length = whole.len() - self.rest.len();
        Some(Step {
            name,
            position,
            attribute,
            text: whole.get(..length)?.into(),
        })
    }

    /// An attribute and its value, from behind `[@` to behind `]`.
    fn test(&mut self, inside: &'_ str) -> Option<(Name, Box<str>)> {
        let (name, value) = inside.split_once('=')?;
        let name = self.name(name, "")?;
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let (value, rest) = value.get(1..)?.split_once(quote)?;
        let rest = rest.strip_prefix(']')?;
        // `rest` is a tail of what is being read
        self.rest = self.rest.get(self.rest.len() - rest.len()..)?;
        Some((name, normalized(value)?))
    }

    /// A qualified name, expanded; without a prefix it is in `default`.
    fn name(&mut self, qualified: &str, default: &str) -> Option<Name> {
        let (prefix, local) = match qualified.split_once(':') {
            Some((prefix, local)) if is_ncname(prefix) => (prefix, local),
            Some(_) => return None,
            None => ("", qualified),
        };
        if !is_ncname(local) {
            return None;
        }
        let namespace = match prefix {
            "" => default,
            prefix => self.bindings.namespace(prefix).unwrap_or_else(|| {
                self.unbound = true;
                ""
            }),
        };
        Some(Name {
            prefix: prefix.into(),
            namespace: namespace.into(),
            local: local.into(),
        })
    }
}

/// The value behind an AttValue, as a parser gives that of an attribute (XML 1.0 §3.3.3). An ampersand that begins no
/// reference stands for itself: many clients write URIs as they are.
fn normalized(value: &str) -> Option<Box<str>> {
    if value.contains('<') {
        return None;
    }
    let spaced = value.replace(['\t', '\n', '\r'], " ");
    Some(unescaped(&spaced).unwrap_or(spaced).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &Name) -> String {
        match &*name.namespace {
            "" => name.local.to_string(),
            namespace => format!("{{{namespace}}}{}", name.local),
        }
    }

    fn shown(path: &str, query: &str) -> String {
        let selector = match NodeSelector::parse(path, Some(query), "d") {
            Ok(selector) => selector,
            Err(error) => return format!("{error:?}"),
        };
        let steps = selector.steps.iter().map(|step| {
            let name = step.name.as_ref().map_or("*".to_owned(), named);
            let position = step.position.map_or(String::new(), |n| format!(" {n}"));
            let test = step.attribute.as_ref();
            let test = test.map_or(String::new(), |(name, value)| {
                format!(" @{}={value}", named(name))
            });
            format!("{name}{position}{test}")
        });
        let terminal = match &selector.terminal {
            None => String::new(),
            Some(Terminal::Attribute(name)) => format!(" / @{}", named(name)),
            Some(Terminal::Namespaces) => " / namespaces".to_owned(),
        };
        steps.collect::<Vec<_>>().join(" / ") + &terminal
    }

    #[test]
    fn a_selector_is_read_as_the_grammar_says() {
        let none = "";
        let two = "xmlns(a=urn:1)xmlns(b=urn:2)";
        for (case, path, query, expected) in [
            ("a name", "r", none, "{d}r"),
            ("names", "r/s/t", none, "{d}r / {d}s / {d}t"),
            ("wildcards", "*/*", none, "* / *"),
            ("prefixes", "a:r/b:s", two, "{urn:1}r / {urn:2}s"),
            ("a position", "r/s[12]", none, "{d}r / {d}s 12"),
            ("zeros before", "r/s[007]", none, "{d}r / {d}s 7"),
            ("position zero", "r/s[0]", none, "{d}r / {d}s 0"),
            (
                "a position past any",
                "r/s[99999999999999999999]",
                none,
                "{d}r / {d}s 4294967295",
            ),
            ("an attribute", "r/s[@n=\"v\"]", none, "{d}r / {d}s @n=v"),
            (
                "an attribute of a namespace, with the other quotes",
                "r/*[@a:n='\"v\"']",
                two,
                "{d}r / * @{urn:1}n=\"v\"",
            ),
            (
                "position and attribute",
                "r/*[2][@n=\"v\"]",
                none,
                "{d}r / * 2 @n=v",
            ),
            (
                "percent-encoded brackets and quotes",
                "r/s%5b2%5D%5B@n=%22v%22%5d",
                none,
                "{d}r / {d}s 2 @n=v",
            ),
            (
                "encoded once",
                "r/s[@n=\"%2541\"]",
                none,
                "{d}r / {d}s @n=%41",
            ),
            (
                "delimiters in a value",
                "r/s[@n=\"a/b][@c='d'\"]/t",
                none,
                "{d}r / {d}s @n=a/b][@c='d' / {d}t",
            ),
            (
                "references in a value",
                "r/s[@n=\"&lt;&#65;&quot;\"]",
                none,
                "{d}r / {d}s @n=<A\"",
            ),
            (
                "an ampersand for itself",
                "r/s[@n=\"http://x.test/?a=1&b=2\"]",
                none,
                "{d}r / {d}s @n=http://x.test/?a=1&b=2",
            ),
            (
                "white space in a value",
                "r/s[@n=\"a%09b%20c\"]",
                none,
                "{d}r / {d}s @n=a b c",
            ),
            (
                "letters beyond ASCII",
                "%C3%80/s[@n=\"%E3%82%A2\"]",
                none,
                "{d}À / {d}s @n=ア",
            ),
            (
                "an attribute at the end",
                "r/s/@n",
                none,
                "{d}r / {d}s / @n",
            ),
            (
                "one of a namespace at the end",
                "r/@xml:lang",
                none,
                "{d}r / @{http://www.w3.org/XML/1998/namespace}lang",
            ),
            ("bindings", "r/namespace::*", none, "{d}r / namespaces"),
            ("a prefix without a query", "a:r", none, "Unbound"),
            ("a prefix not in the query", "r/c:s", two, "Unbound"),
            ("a prefix of a test", "r/s[@c:n=\"v\"]", two, "Unbound"),
            ("a prefix of an attribute", "r/@c:n", two, "Unbound"),
            ("nothing", "", none, "Outside"),
            ("an attribute of nothing", "@n", none, "Outside"),
            ("bindings of nothing", "namespace::*", none, "Outside"),
            ("a slash at the end", "r/", none, "Outside"),
            ("an empty step", "r//s", none, "Outside"),
            ("a step behind an attribute", "r/@n/s", none, "Outside"),
            (
                "a step behind bindings",
                "r/namespace::*/s",
                none,
                "Outside",
            ),
            ("one binding", "r/namespace::p", none, "Outside"),
            ("an axis", "r/child::s", none, "Outside"),
            ("a function", "r/text()", none, "Outside"),
            ("any of any namespace", "r/a:*", two, "Outside"),
            ("any attribute", "r/@*", none, "Outside"),
            (
                "position behind attribute",
                "r/s[@n=\"v\"][1]",
                none,
                "Outside",
            ),
            ("two positions", "r/s[1][1]", none, "Outside"),
            ("two attributes", "r/s[@n=\"v\"][@m=\"v\"]", none, "Outside"),
            ("a position that is none", "r/s[1x]", none, "Outside"),
            ("a negative position", "r/s[-1]", none, "Outside"),
            ("no position", "r/s[]", none, "Outside"),
            ("left open", "r/s[@n=\"v\"", none, "Outside"),
            ("quotes left open", "r/s[@n=\"v]", none, "Outside"),
            ("no quotes", "r/s[@n=v]", none, "Outside"),
            ("an attribute without a value", "r/s[@n]", none, "Outside"),
            ("markup in a value", "r/s[@n=\"<\"]", none, "Outside"),
            ("something behind a test", "r/s[@n=\"v\"]x", none, "Outside"),
            ("no name", "r/1s", none, "Outside"),
            ("two colons", "r/a:b:s", two, "Outside"),
            ("white space", "r/s[ 1 ]", none, "Outside"),
            ("a broken escape", "r/s%5", none, "Malformed"),
            ("an escape that is no UTF-8", "r/s%ff", none, "Malformed"),
            ("a broken query", "r", "xmlns(a=%zz)", "Malformed"),
        ] {
            assert_eq!(shown(path, query), expected, "{case}: {path}");
        }
        let deep = |n: usize| vec!["s"; n].join("/");
        assert!(NodeSelector::parse(&deep(64), None, "").is_ok());
        let too_long = Err(Unselectable::TooLong);
        assert_eq!(NodeSelector::parse(&deep(65), None, ""), too_long);
        assert!(NodeSelector::parse(&"s".repeat(4096), None, "").is_ok());
        let long = "s".repeat(4097);
        assert_eq!(NodeSelector::parse(&long, None, ""), too_long);
        assert_eq!(NodeSelector::parse("s", Some(&long), ""), too_long);
    }

    #[test]
    fn the_beginning_of_a_selector_is_written_as_a_client_may_send_it() {
        let path = "a:r/*[2][@b:n=\"x/y%20%25z\"]/s/b:t/@q";
        let query = "xmlns(b=urn:%5e%5e)xmlns(a=u^(v)xmlns(c=urn:3)";
        let selector = NodeSelector::parse(path, Some(query), "d").unwrap();
        assert_eq!(selector.beginning(1), "a:r?xmlns(a=u%5E(v)");
        let all = selector.beginning(9);
        assert_eq!(
            all,
            "a:r/*%5B2%5D%5B@b:n=%22x%2Fy%20%25z%22%5D/s/b:t?xmlns(a=u%5E(v)xmlns(b=urn:%5E%5E)"
        );
        let (path, query) = all.split_once('?').unwrap();
        let again = NodeSelector::parse(path, Some(query), "d").unwrap();
        assert_eq!(again.steps, selector.steps);
        assert_eq!(selector.beginning(0), "");
    }
}
