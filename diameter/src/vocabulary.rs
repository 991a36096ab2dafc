//! AVPs that an operator makes known beside those of [`crate::dictionary`]: a vendor's own, or newer than this program.

use crate::dictionary::{self, Def, Kind};
use std::collections::BTreeMap;

/// One AVP, of the built-in dictionary or of the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known<'a> {
    pub name: &'a str,
    pub code: u32,
    /// 0: IETF.
    pub vendor: u32,
    pub kind: Kind,
    /// M flag that we set.
    pub mandatory: bool,
}

impl From<&'static Def> for Known<'static> {
    fn from(def: &'static Def) -> Known<'static> {
        Known {
            name: def.name,
            code: def.code,
            vendor: def.vendor,
            kind: def.kind,
            mandatory: def.mandatory,
        }
    }
}

/// The operator's AVPs; together with the built-in ones they can be found by name and by code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vocabulary {
    by_code: BTreeMap<(u32, u32), Word>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Word {
    name: String,
    kind: Kind,
    mandatory: bool,
}

/// Why an AVP cannot be added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Clash {
    #[error("code {code} of vendor {vendor} is {name} already")]
    Code {
        code: u32,
        vendor: u32,
        name: String,
    },
    #[error("{0} is the name of another AVP")]
    Name(String),
    #[error("{0:?} is no name: letters, digits and hyphens are")]
    NoName(String),
}

impl Vocabulary {
    /// Makes an AVP known. The built-in ones cannot be changed: the node depends on them.
    pub fn add(
        &mut self,
        name: &str,
        code: u32,
        vendor: u32,
        kind: Kind,
        mandatory: bool,
    ) -> Result<(), Clash> {
        let octet = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if name.is_empty() || name.len() > 128 || !name.bytes().all(octet) {
            return Err(Clash::NoName(name.to_owned()));
        }
        if let Some(known) = self.find(vendor, code) {
            let name = known.name.to_owned();
            return Err(Clash::Code { code, vendor, name });
        }
        if self.named(name).is_some() {
            return Err(Clash::Name(name.to_owned()));
        }
        let word = Word {
            name: name.to_owned(),
            kind,
            mandatory,
        };
        self.by_code.insert((vendor, code), word);
        Ok(())
    }

    /// The AVP of this vendor and code.
    pub fn find(&self, vendor: u32, code: u32) -> Option<Known<'_>> {
        let built_in = dictionary::lookup(vendor, code).map(Known::from);
        built_in.or_else(|| self.of_operator(vendor, code))
    }

    /// The AVP of this name, whatever its case.
    pub fn named(&self, name: &str) -> Option<Known<'_>> {
        let built_in = dictionary::all()
            .iter()
            .find(|def| def.name.eq_ignore_ascii_case(name))
            .map(Known::from);
        built_in.or_else(|| {
            let mut words = self.by_code.iter();
            words
                .find(|(_, word)| word.name.eq_ignore_ascii_case(name))
                .map(known)
        })
    }

    /// Of the operator's own.
    pub fn of_operator(&self, vendor: u32, code: u32) -> Option<Known<'_>> {
        self.by_code.get_key_value(&(vendor, code)).map(known)
    }

    /// How many the operator has added.
    pub fn len(&self) -> usize {
        self.by_code.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_code.is_empty()
    }
}

fn known<'a>((&(vendor, code), word): (&(u32, u32), &'a Word)) -> Known<'a> {
    Known {
        name: &word.name,
        code,
        vendor,
        kind: word.kind,
        mandatory: word.mandatory,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_avp_is_added_once_and_never_over_another() {
        let mut words = Vocabulary::default();
        for (name, code, vendor, refused) in [
            ("Site-Number", 1, 9_999, None),
            ("Site-Number", 2, 9_999, Some("a name that is taken")),
            ("origin-host", 3, 9_999, Some("a name of the base protocol")),
            ("Other", 1, 9_999, Some("a code that is taken")),
            ("Other", 264, 0, Some("a code of the base protocol")),
            ("Other", 264, 9_999, None),
            ("", 5, 9_999, Some("no name")),
            ("a b", 5, 9_999, Some("a name with a space")),
        ] {
            let added = words.add(name, code, vendor, Kind::Utf8, false);
            assert_eq!(added.is_err(), refused.is_some(), "{name} {refused:?}");
        }
        assert_eq!(words.len(), 2);
    }

    #[test]
    fn built_in_and_added_avps_are_found_alike() {
        let mut words = Vocabulary::default();
        words.add("Site-Number", 7, 9_999, Kind::U32, true).unwrap();
        let site = words.named("site-number");
        assert_eq!(site, words.find(9_999, 7));
        assert_eq!(site.map(|k| (k.code, k.kind)), Some((7, Kind::U32)));
        assert_eq!(words.named("Session-Id").map(|k| k.code), Some(263));
        assert_eq!(words.find(9_999, 8), None);
    }
}
