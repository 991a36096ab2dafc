//! Simple types: a built-in type narrowed by facets, or a union of simple types.

use super::builtin::{Builtin, Whitespace, compare};
use super::model::{Components, Type, TypeId};
use regex::Regex;
use std::borrow::Cow;
use std::cmp::Ordering;

#[derive(Clone, Debug)]
pub(super) struct SimpleType {
    /// Name for a message; a type without one is named by what it restricts.
    pub label: String,
    pub base: Option<TypeId>,
    pub builtin: Builtin,
    pub whitespace: Whitespace,
    /// Own facets and those of every type this one restricts: all of them hold.
    pub facets: Vec<Facet>,
    /// Members of a union; empty for an atomic type.
    pub union: Vec<TypeId>,
}

/// One constraint on a value.
#[derive(Clone, Debug)]
pub(super) enum Facet {
    /// One of these, compared as written.
    Enumeration(Vec<String>),
    /// One of these; patterns of one derivation step are alternatives (part 2 §4.3.4).
    Pattern(Vec<Regex>),
    MinLength(usize),
    MaxLength(usize),
    /// The order that the value must not have to the bound.
    Bound {
        bound: String,
        never: Ordering,
        or_equal: bool,
    },
}

/// What the validator has to do with a value beyond taking it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Plain,
    Id,
    IdRef,
    QName,
}

impl SimpleType {
    pub fn of(label: &str, builtin: Builtin) -> SimpleType {
        SimpleType {
            label: label.to_owned(),
            base: None,
            builtin,
            whitespace: builtin.whitespace(),
            facets: Vec::new(),
            union: Vec::new(),
        }
    }

    /// Whether `raw` is a value of this type: what it means, or a phrase that completes "the value ...".
    pub fn check<'a>(
        &self,
        components: &Components,
        raw: &'a str,
    ) -> Result<(Cow<'a, str>, Meaning), String> {
        let value = normalised(raw, self.whitespace);
        let mut meaning = match self.builtin {
            Builtin::Id => Meaning::Id,
            Builtin::IdRef => Meaning::IdRef,
            Builtin::QName => Meaning::QName,
            _ => Meaning::Plain,
        };
        if !self.union.is_empty() {
            let members = self
                .union
                .iter()
                .filter_map(|id| match components.kind(*id) {
                    Some(Type::Simple(member)) => member.check(components, raw).ok(),
                    _ => None,
                });
            let Some((_, member)) = members.into_iter().next() else {
                return Err(format!("is not of type {}", self.label));
            };
            meaning = member;
        } else if !self.builtin.takes(&value) {
            return Err(format!("is not of type {}", self.label));
        }
        match self.facets.iter().find_map(|facet| facet.broken_by(&value)) {
            Some(phrase) => Err(phrase),
            None => Ok((value, meaning)),
        }
    }
}

impl Facet {
    fn broken_by(&self, value: &str) -> Option<String> {
        match self {
            Facet::Enumeration(values) if !values.iter().any(|v| v == value) => {
                Some(format!("is not one of {}", listed(values)))
            }
            Facet::Pattern(patterns) if !patterns.iter().any(|p| p.is_match(value)) => {
                Some("does not have the form its type asks for".to_owned())
            }
            Facet::MinLength(n) if value.chars().count() < *n => {
                Some(format!("is shorter than {n} characters"))
            }
            Facet::MaxLength(n) if value.chars().count() > *n => {
                Some(format!("is longer than {n} characters"))
            }
            Facet::Bound {
                bound,
                never,
                or_equal,
            } => match compare(value, bound) {
                Some(order) if order == *never || (!or_equal && order == Ordering::Equal) => {
                    Some(format!("is beyond {bound}"))
                }
                _ => None,
            },
            _ => None,
        }
    }
}

/// The first few of a list of words, quoted.
pub(super) fn listed(words: &[String]) -> String {
    const SHOWN: usize = 8;
    let mut text: Vec<String> = words
        .iter()
        .take(SHOWN)
        .map(|word| format!("\"{word}\""))
        .collect();
    if words.len() > SHOWN {
        text.push("...".to_owned());
    }
    text.join(", ")
}

/// White space normalised as the type asks for.
pub(super) fn normalised(raw: &str, whitespace: Whitespace) -> Cow<'_, str> {
    let blank = |b: u8| matches!(b, b' ' | b'\t' | b'\n' | b'\r');
    match whitespace {
        Whitespace::Preserve => Cow::Borrowed(raw),
        Whitespace::Replace if raw.bytes().any(|b| blank(b) && b != b' ') => {
            Cow::Owned(raw.replace(['\t', '\n', '\r'], " "))
        }
        Whitespace::Replace => Cow::Borrowed(raw),
        // Most values have none; this is found out without a branch for each byte.
        Whitespace::Collapse if raw.bytes().fold(true, |none, b| none & (b > b' ')) => {
            Cow::Borrowed(raw)
        }
        Whitespace::Collapse => {
            let trimmed = raw.trim_matches([' ', '\t', '\n', '\r']);
            let bytes = trimmed.as_bytes();
            let odd = bytes.iter().enumerate().any(|(at, b)| {
                blank(*b) && (*b != b' ' || bytes.get(at + 1).is_some_and(|next| blank(*next)))
            });
            if !odd {
                return Cow::Borrowed(trimmed);
            }
            let words = trimmed
                .split([' ', '\t', '\n', '\r'])
                .filter(|word| !word.is_empty());
            Cow::Owned(words.collect::<Vec<_>>().join(" "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_is_kept_replaced_or_collapsed() {
        let raw = "\t a \n b  ";
        assert_eq!(normalised(raw, Whitespace::Preserve), raw);
        assert_eq!(normalised(raw, Whitespace::Replace), "  a   b  ");
        assert_eq!(normalised(raw, Whitespace::Collapse), "a b");
        assert!(matches!(
            normalised(" a b ", Whitespace::Collapse),
            Cow::Borrowed("a b")
        ));
    }

    #[test]
    fn facets_of_every_step_hold_together() {
        let components = Components::default();
        let mut kind = SimpleType::of("letters", Builtin::Token);
        kind.facets = vec![
            Facet::Pattern(vec![
                Regex::new("^a+$").unwrap(),
                Regex::new("^b+$").unwrap(),
            ]),
            Facet::MaxLength(3),
            Facet::MinLength(2),
        ];
        for (value, ok) in [
            ("aa", true),
            (" bbb ", true),
            ("ab", false),
            ("aaaa", false),
            ("a", false),
        ] {
            assert_eq!(kind.check(&components, value).is_ok(), ok, "{value}");
        }
        let mut number = SimpleType::of("share", Builtin::Decimal);
        number.facets = vec![
            Facet::Bound {
                bound: "0".into(),
                never: Ordering::Less,
                or_equal: true,
            },
            Facet::Bound {
                bound: "1".into(),
                never: Ordering::Greater,
                or_equal: false,
            },
        ];
        for (value, ok) in [
            ("0", true),
            ("0.99", true),
            ("1.0", false),
            ("-0.1", false),
            ("x", false),
        ] {
            assert_eq!(number.check(&components, value).is_ok(), ok, "{value}");
        }
    }
}
