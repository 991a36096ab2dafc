//! What the tables of Rf and Ro have in common: a row, and how what a peer got is told in words.

use super::{Peer, Record, one};

/// One request. What its peers are told to do with it, how it ends, and what each of them gets.
#[derive(Debug)]
pub struct Row<End> {
    pub name: &'static str,
    pub script: &'static str,
    pub end: End,
    pub first: &'static [&'static str],
    pub second: &'static [&'static str],
}

pub const fn row<End: Copy>(
    name: &'static str,
    script: &'static str,
    end: End,
    first: &'static [&'static str],
    second: &'static [&'static str],
) -> Row<End> {
    Row {
        name,
        script,
        end,
        first,
        second,
    }
}

impl<End> Row<End> {
    pub fn wanted(&self) -> [Vec<String>; 2] {
        [list(self.first), list(self.second)]
    }
}

pub fn list(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The T flags of what a CDF got of a row.
pub fn flags(cdf: &Peer, row: &str) -> Vec<String> {
    let records = cdf.of(row);
    records.iter().map(|r| one(r, "T").to_owned()).collect()
}

/// What an OCS got of a row.
pub fn asked(ocs: &Peer, row: &str) -> Vec<String> {
    ocs.of(row).iter().map(word).collect()
}

/// A request for credit in a word: what is asked, the units used, and the T flag.
pub fn word(record: &Record) -> String {
    let value = |name: &str| record.get(name).map(|values| values[0].as_str());
    let what = match (value("CC-Request-Type"), value("Requested-Action")) {
        (Some("1"), _) => "initial",
        (Some("2"), _) => "update",
        (Some("3"), _) => "final",
        (Some("4"), Some("0")) => "debit",
        (Some("4"), Some("1")) => "refund",
        (Some("4"), Some("2")) => "balance",
        (Some("4"), Some("3")) => "price",
        other => panic!("{other:?} in {record:#?}"),
    };
    let used = match (what, value("CC-Service-Specific-Units")) {
        ("final" | "update", units) => format!(" {}", units.unwrap_or("0")),
        _ => String::new(),
    };
    let t = if one(record, "T") == "1" { " T" } else { "" };
    format!("{what}{used}{t}")
}

/// No peer may find an AVP that it does not know.
pub fn all_known(records: &[Record], at: &str) {
    let names = records.iter().flat_map(|record| record.keys());
    let unknown: Vec<&String> = names.filter(|name| name.starts_with('?')).collect();
    assert_eq!(unknown, Vec::<&String>::new(), "{at}");
}
