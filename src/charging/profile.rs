//! Profiles: how the AVP tree of TS 32.299 is changed for a charging system that wants it otherwise. A TOML file says
//! what is copied elsewhere, dropped, set, mapped to another AVP, and added; it is applied in this order to every record,
//! or to every request for credit.

use crate::http::files;
use diameter::dictionary::*;
use diameter::message::Message;
use diameter::tree::{self, Branch, Content};
use diameter::vocabulary::{Known, Vocabulary};
use diameter::write::Writer;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// Longest file, in bytes.
const FILE_MAX: u64 = 1 << 20;

/// Rules of a profile at most.
const RULES_MAX: usize = 256;

/// What makes a record or a request for credit what it is; a profile leaves it alone (RFC 6733 §9.7.1, RFC 8506 §3.1).
const FIXED: [&Def; 10] = [
    &SESSION_ID,
    &ORIGIN_HOST,
    &ORIGIN_REALM,
    &ACCOUNTING_RECORD_TYPE,
    &ACCOUNTING_RECORD_NUMBER,
    &ACCT_APPLICATION_ID,
    &AUTH_APPLICATION_ID,
    &CC_REQUEST_TYPE,
    &CC_REQUEST_NUMBER,
    &REQUESTED_ACTION,
];

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Unread(#[from] files::FileError),
    #[error("{0}")]
    Toml(String),
    #[error("{}: {why}", file.display())]
    In { file: PathBuf, why: Box<Error> },
    #[error("line {line}: {why}")]
    At { line: usize, why: Box<Error> },
    #[error("{0}: no AVP of this name in the dictionary")]
    Unknown(String),
    #[error("{0}: what holds another AVP is a group")]
    NoGroup(String),
    #[error("{0}: an AVP that every record has as it is")]
    Fixed(String),
    #[error("{avp}: {value:?} is no value of its type")]
    Value { avp: String, value: String },
    #[error("{from} and {to} have different types")]
    Types { from: String, to: String },
    #[error("more than {RULES_MAX} rules")]
    TooMany,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    copy: Vec<Copied>,
    #[serde(default)]
    drop: Vec<Dropped>,
    #[serde(default)]
    set: Vec<Valued>,
    #[serde(default)]
    map: Vec<Mapped>,
    #[serde(default)]
    add: Vec<Valued>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Copied {
    avp: Spanned<String>,
    /// Path of the new AVP; the groups in it must be there.
    to: String,
    /// Only the first of several, for an AVP that may stand once.
    #[serde(default)]
    first: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Dropped {
    avp: Spanned<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Valued {
    avp: Spanned<String>,
    value: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mapped {
    avp: Spanned<String>,
    /// Name of the AVP that it becomes, in the same place.
    to: String,
}

/// Vendor and code of each group down to an AVP, and of the AVP.
type Way = Vec<(u32, u32)>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    /// Where it stands, the groups down to the new AVP, what that is, and whether the first one is enough.
    Copy(Way, Way, (u32, u32, bool), bool),
    Drop(Way),
    Set(Way, Vec<u8>),
    /// The AVP with other vendor, code and M flag.
    Map(Way, (u32, u32, bool)),
    /// The groups down to the new AVP, and the AVP.
    Add(Way, Branch<'static>),
}

/// A profile, ready to be applied. The empty one changes nothing and costs nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    rules: Vec<Rule>,
    vocabulary: Vocabulary,
}

impl Profile {
    pub fn load(path: &Path, vocabulary: &Vocabulary) -> Result<Profile, Error> {
        let bytes = files::read(path, FILE_MAX)?;
        let text = String::from_utf8(bytes).map_err(|why| Error::Toml(why.to_string()));
        let profile = text.and_then(|text| Profile::read(&text, vocabulary));
        profile.map_err(|why| Error::In {
            file: path.to_path_buf(),
            why: Box::new(why),
        })
    }

    fn read(text: &str, vocabulary: &Vocabulary) -> Result<Profile, Error> {
        let file: Written = toml::from_str(text).map_err(|why| {
            let start = why.span().map_or(0, |span| span.start);
            at(text, start, Error::Toml(why.message().to_owned()))
        })?;
        let mut rules = Vec::new();
        for Copied { avp, to, first } in &file.copy {
            let rule = copied(vocabulary, (avp.get_ref(), to), *first);
            rules.push(rule.map_err(|why| at(text, avp.span().start, why))?);
        }
        for Dropped { avp } in &file.drop {
            let rule = way(vocabulary, avp.get_ref()).map(|(way, _)| Rule::Drop(way));
            rules.push(rule.map_err(|why| at(text, avp.span().start, why))?);
        }
        for Valued { avp, value } in &file.set {
            let rule = set(vocabulary, avp.get_ref(), value);
            rules.push(rule.map_err(|why| at(text, avp.span().start, why))?);
        }
        for Mapped { avp, to } in &file.map {
            let rule = mapped(vocabulary, avp.get_ref(), to);
            rules.push(rule.map_err(|why| at(text, avp.span().start, why))?);
        }
        for Valued { avp, value } in &file.add {
            let rule = added(vocabulary, avp.get_ref(), value);
            rules.push(rule.map_err(|why| at(text, avp.span().start, why))?);
        }
        if rules.len() > RULES_MAX {
            return Err(Error::TooMany);
        }
        let vocabulary = vocabulary.clone();
        Ok(Profile { rules, vocabulary })
    }

    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The record as the profile has it, without its length yet. What cannot be read stays as it is.
    pub fn apply(&self, record: Vec<u8>) -> Writer {
        let Ok(message) = Message::parse(&record) else {
            return Writer::reopen(&record);
        };
        let mut branches = tree::read(&message, &self.vocabulary);
        for rule in &self.rules {
            rule.apply(&mut branches);
        }
        let header = message.header;
        let mut writer = Writer::request(header.command, header.application);
        let mut bytes = Vec::with_capacity(record.len() + 64);
        for branch in &branches {
            branch.write(&mut bytes);
        }
        writer.raw(&bytes);
        writer
    }
}

/// What is wrong, with its line: that of the byte `start` of the text.
fn at(text: &str, start: usize, why: Error) -> Error {
    let before = text.as_bytes().get(..start).unwrap_or_default();
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    let why = Box::new(why);
    Error::At { line, why }
}

fn copied(vocabulary: &Vocabulary, (avp, to): (&str, &str), first: bool) -> Result<Rule, Error> {
    let (from, old) = way(vocabulary, avp)?;
    let (mut groups, new) = way(vocabulary, to)?;
    same_type((avp, &old), (to, &new))?;
    groups.pop();
    let new = (new.vendor, new.code, new.mandatory);
    Ok(Rule::Copy(from, groups, new, first))
}

fn set(vocabulary: &Vocabulary, avp: &str, value: &str) -> Result<Rule, Error> {
    let (way, known) = way(vocabulary, avp)?;
    Ok(Rule::Set(way, data(&known, avp, value)?))
}

fn mapped(vocabulary: &Vocabulary, avp: &str, to: &str) -> Result<Rule, Error> {
    let (way, from) = way(vocabulary, avp)?;
    let named = vocabulary.named(to);
    let known = named.ok_or_else(|| Error::Unknown(to.to_owned()))?;
    same_type((avp, &from), (to, &known))?;
    let to = (known.vendor, known.code, known.mandatory);
    Ok(Rule::Map(way, to))
}

fn added(vocabulary: &Vocabulary, avp: &str, value: &str) -> Result<Rule, Error> {
    let (mut way, known) = way(vocabulary, avp)?;
    way.pop();
    let content = Content::Data(data(&known, avp, value)?.into());
    Ok(Rule::Add(way, Branch::new(&known, content)))
}

impl Rule {
    fn apply<'a>(&'a self, branches: &mut Vec<Branch<'a>>) {
        match self {
            Rule::Copy(from, groups, (vendor, code, mandatory), first) => {
                let mut found = Vec::new();
                each(branches, from, &mut |branch| found.push(branch.clone()));
                found.truncate(if *first { 1 } else { usize::MAX });
                for branch in &mut found {
                    (branch.vendor, branch.code, branch.mandatory) = (*vendor, *code, *mandatory);
                }
                add(branches, groups, &found);
            }
            Rule::Drop(way) => each_holder(branches, way, &mut |inner, last| {
                inner.retain(|branch| (branch.vendor, branch.code) != last);
            }),
            Rule::Set(way, data) => each(branches, way, &mut |branch| {
                branch.content = Content::Data(data.into());
            }),
            Rule::Map(way, (vendor, code, mandatory)) => each(branches, way, &mut |branch| {
                (branch.vendor, branch.code, branch.mandatory) = (*vendor, *code, *mandatory);
            }),
            Rule::Add(way, new) => add(branches, way, std::slice::from_ref(new)),
        }
    }
}

/// Puts AVPs at the end of each group that the way leads to, or of the message.
fn add<'a>(branches: &mut Vec<Branch<'a>>, way: &[(u32, u32)], new: &[Branch<'a>]) {
    match way.is_empty() {
        true => branches.extend_from_slice(new),
        false => each(branches, way, &mut |branch| {
            if let Content::Group(inner) = &mut branch.content {
                inner.extend_from_slice(new);
            }
        }),
    }
}

/// Every list of AVPs that may hold the last one of the way.
fn each_holder<'a>(
    branches: &mut Vec<Branch<'a>>,
    way: &[(u32, u32)],
    change: &mut impl FnMut(&mut Vec<Branch<'a>>, (u32, u32)),
) {
    match way {
        [] => {}
        [last] => change(branches, *last),
        [first, rest @ ..] => {
            for branch in branches.iter_mut() {
                if (branch.vendor, branch.code) == *first
                    && let Content::Group(inner) = &mut branch.content
                {
                    each_holder(inner, rest, change);
                }
            }
        }
    }
}

/// Every AVP at the end of the way.
fn each<'a>(
    branches: &mut Vec<Branch<'a>>,
    way: &[(u32, u32)],
    change: &mut impl FnMut(&mut Branch<'a>),
) {
    each_holder(branches, way, &mut |inner, last| {
        let found = inner.iter_mut();
        found
            .filter(|branch| (branch.vendor, branch.code) == last)
            .for_each(&mut *change);
    });
}

/// Reads `Service-Information/IMS-Information/Event-Type`: what the last AVP is, and the way to it.
fn way<'a>(vocabulary: &'a Vocabulary, path: &str) -> Result<(Way, Known<'a>), Error> {
    let mut way = Way::new();
    let mut last: Option<Known<'a>> = None;
    for name in path.split('/') {
        if last.is_some_and(|known| known.kind != Kind::Grouped) {
            return Err(Error::NoGroup(path.to_owned()));
        }
        let named = vocabulary.named(name.trim());
        let known = named.ok_or_else(|| Error::Unknown(name.to_owned()))?;
        way.push((known.vendor, known.code));
        last = Some(known);
    }
    let known = last.ok_or_else(|| Error::Unknown(path.to_owned()))?;
    let is_fixed = |def: &&Def| way == [(def.vendor, def.code)];
    if FIXED.iter().any(is_fixed) {
        return Err(Error::Fixed(path.to_owned()));
    }
    Ok((way, known))
}

/// Refuses to make an AVP of one type from one of another.
fn same_type(from: (&str, &Known<'_>), to: (&str, &Known<'_>)) -> Result<(), Error> {
    if from.1.kind == to.1.kind {
        return Ok(());
    }
    let (from, to) = (from.0.to_owned(), to.0.to_owned());
    Err(Error::Types { from, to })
}

fn data(known: &Known<'_>, avp: &str, value: &str) -> Result<Vec<u8>, Error> {
    tree::data_of(known.kind, value).ok_or_else(|| Error::Value {
        avp: avp.to_owned(),
        value: value.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::acr::tests::{full, sender};
    use super::*;

    fn words() -> Vocabulary {
        let mut words = Vocabulary::default();
        words.add("Site-Number", 7, 9_999, Kind::U32, true).unwrap();
        words
            .add("Site-Caller", 8, 9_999, Kind::Utf8, false)
            .unwrap();
        words
    }

    /// The lines of a full record under a profile.
    fn lines(text: &str) -> Vec<String> {
        let profile = Profile::read(text, &words()).unwrap();
        let sender = super::super::acr::Sender {
            profile,
            ..sender()
        };
        let bytes = sender.acr(&full(1), 65_536).unwrap();
        let message = Message::parse(&bytes).unwrap();
        tree::lines(&tree::read(&message, &words()), &words())
    }

    #[test]
    fn an_avp_is_dropped_set_mapped_or_added_and_everything_else_stays() {
        let before = lines("");
        let ims = "Service-Information/IMS-Information";
        for (case, profile, gone, came) in [
            (
                "drop a group",
                format!("[[drop]]\navp = '{ims}/Message-Body'"),
                5,
                None,
            ),
            (
                "drop each of several",
                format!("[[drop]]\navp = '{ims}/Calling-Party-Address'"),
                2,
                None,
            ),
            (
                "set",
                format!("[[set]]\navp = '{ims}/Cause-Code'\nvalue = '0'"),
                1,
                Some("    Cause-Code (861 vendor 10415 M) = 0"),
            ),
            (
                "map",
                format!("[[map]]\navp = '{ims}/Called-Party-Address'\nto = 'Site-Caller'"),
                1,
                Some("    Site-Caller (8 vendor 9999) = tel:+15551230002"),
            ),
            (
                "add at the top",
                "[[add]]\navp = 'Site-Number'\nvalue = '42'".to_owned(),
                0,
                Some("Site-Number (7 vendor 9999 M) = 42"),
            ),
            (
                "add in a group",
                format!("[[add]]\navp = '{ims}/Site-Number'\nvalue = '42'"),
                0,
                Some("    Site-Number (7 vendor 9999 M) = 42"),
            ),
            (
                "copy to the top",
                format!("[[copy]]\navp = '{ims}/User-Session-Id'\nto = 'Site-Caller'"),
                0,
                Some("Site-Caller (8 vendor 9999) = 4fa3c2b1@ue"),
            ),
            (
                "copy the first into a group",
                format!(
                    "[[copy]]\navp = '{ims}/Called-Party-Address'\nto = '{ims}/Site-Caller'\nfirst = true"
                ),
                0,
                Some("    Site-Caller (8 vendor 9999) = tel:+15551230002"),
            ),
            (
                "what is not there",
                "[[drop]]\navp = 'Route-Record'".to_owned(),
                0,
                None,
            ),
        ] {
            let after = lines(&profile);
            let lost = before.iter().filter(|line| !after.contains(line)).count();
            assert_eq!(lost, gone, "{case}: {after:#?}");
            let new: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
            assert_eq!(new, came.iter().collect::<Vec<_>>(), "{case}");
        }
    }

    #[test]
    fn a_profile_that_cannot_be_used_says_why() {
        for (case, text, said) in [
            ("no TOML", "[[drop", "line 1: unclosed"),
            ("an unknown AVP", "[[drop]]\navp='No-Such'", "No-Such"),
            ("no group", "[[drop]]\navp='Event-Timestamp/Event'", "group"),
            (
                "the Session-Id",
                "[[drop]]\navp='Session-Id'",
                "every record",
            ),
            (
                "no number",
                "[[add]]\navp='Site-Number'\nvalue='x'",
                "no value",
            ),
            (
                "a copy of another type",
                "[[copy]]\navp='Service-Context-Id'\nto='Site-Number'",
                "types",
            ),
            (
                "another type",
                "[[map]]\navp='Service-Context-Id'\nto='Site-Number'",
                "types",
            ),
        ] {
            let error = Profile::read(text, &words()).unwrap_err().to_string();
            assert!(error.contains(said), "{case}: {error}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_file_and_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cdf.profile.toml");
        for (text, said) in [
            ("# first\n[[drop]]\navp = 'Nope'\n", "line 3: Nope: no AVP"),
            (
                "[[drop]]\navp = 'Event-Timestamp'\nvalue = 'x'\n",
                "line 3: unknown field",
            ),
            ("\n[[drop]\n", "line 2: "),
            (
                "[[drop]]\navp = 'Event-Timestamp'\n[[set]]\nvalue = 'now'\navp = 'Event-Timestamp'\n",
                "line 5: Event-Timestamp: \"now\"",
            ),
        ] {
            std::fs::write(&file, text).unwrap();
            let why = Profile::load(&file, &words()).unwrap_err().to_string();
            let said = format!("{}: {said}", file.display());
            assert!(why.starts_with(&said), "{said}: {why}");
        }
    }
}
