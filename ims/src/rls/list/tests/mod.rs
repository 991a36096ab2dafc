//! Lists read from documents that are told in a few words: an anchor is `document#list/list` or `document#list@entry`.

mod contained;
mod hostile;
mod property;
mod rules;

use super::sheet::{Sheet, Step};
use super::*;
use std::collections::BTreeMap;

/// Documents by name, and services.
#[derive(Debug, Default)]
pub(super) struct Places {
    sheets: Vec<(String, Arc<Sheet>)>,
    services: BTreeMap<String, Result<String, Absent>>,
    absent: BTreeMap<String, Absent>,
}

/// A document around its lists.
pub(super) fn document(lists: &str) -> String {
    format!(
        "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\">{lists}</resource-lists>"
    )
}

impl Places {
    pub fn with(mut self, name: &str, lists: &str) -> Places {
        let sheet = Sheet::read(document(lists).as_bytes(), usize::MAX).unwrap();
        self.sheets.push((name.to_owned(), Arc::new(sheet)));
        self
    }

    pub fn without(mut self, name: &str, absent: Absent) -> Places {
        self.absent.insert(name.to_owned(), absent);
        self
    }

    pub fn service(mut self, uri: &str, anchor: Result<&str, Absent>) -> Places {
        let anchor = anchor.map(str::to_owned);
        self.services.insert(uri.to_owned(), anchor);
        self
    }

    fn sheet(&self, name: &str) -> Result<(u32, Arc<Sheet>), Absent> {
        if let Some(absent) = self.absent.get(name) {
            return Err(*absent);
        }
        let found = (0..).zip(&self.sheets).find(|(_, (n, _))| n == name);
        let (at, (_, sheet)) = found.ok_or(Absent::Missing)?;
        Ok((at, sheet.clone()))
    }

    pub fn read(&self, anchor: &str, limits: &Limits) -> Listed {
        let found = self.list(0, anchor).map(Some);
        super::read("sip:list@x.test", found, self, limits, hash())
    }
}

pub(super) fn hash() -> ahash::RandomState {
    ahash::RandomState::with_seeds(1, 2, 3, 4)
}

fn steps(text: &str) -> Vec<Step<'_>> {
    text.split('/').map(step).collect()
}

fn step(text: &str) -> Step<'_> {
    let position = text.parse().ok();
    Step {
        position,
        value: position.is_none().then_some(text),
    }
}

impl References for Places {
    fn list(&self, _: u32, anchor: &str) -> Result<Found, Absent> {
        let (document, list) = anchor.split_once('#').ok_or(Absent::Unreadable)?;
        let (document, sheet) = self.sheet(document)?;
        let at = sheet.list(&steps(list)).ok_or(Absent::Missing)?;
        Ok(Found {
            sheet,
            at,
            document,
        })
    }

    fn entry(&self, _: u32, reference: &str) -> Result<Found, Absent> {
        let (document, rest) = reference.split_once('#').ok_or(Absent::Unreadable)?;
        let (list, entry) = rest.split_once('>').ok_or(Absent::Missing)?;
        let (document, sheet) = self.sheet(document)?;
        let mut all = steps(list);
        all.push(step(entry));
        let at = sheet.entry(&all).ok_or(Absent::Missing)?;
        Ok(Found {
            sheet,
            at,
            document,
        })
    }

    fn service(&self, from: u32, uri: &str) -> Result<Option<Found>, Absent> {
        match self.services.get(uri) {
            None => Ok(None),
            Some(Ok(anchor)) => self.list(from, anchor).map(Some),
            Some(Err(absent)) => Err(*absent),
        }
    }
}

/// A list in a line: URIs without scheme and host, `!` what cannot be subscribed to, `+` beyond the limit.
pub(super) fn shown(list: &List) -> String {
    let one = |resource: &Resource| {
        let short = resource.uri.strip_prefix("sip:").unwrap_or(&resource.uri);
        let short = short.strip_suffix("@x.test").unwrap_or(short);
        match &resource.kind {
            Kind::Presentity => short.to_owned(),
            Kind::Excess => format!("{short}+"),
            Kind::Refused(end) => format!("{short}!{}", end.reason().unwrap()),
            Kind::List(list) => format!("{short}({})", shown(list)),
        }
    };
    let all: Vec<String> = list.resources.iter().map(one).collect();
    all.join(" ")
}

/// The same of what was read, with its faults behind a bar.
pub(super) fn told(listed: &Listed) -> String {
    let list = listed
        .list
        .as_ref()
        .map_or("none".to_owned(), |list| shown(list));
    let stalled = if listed.stalled { " ..." } else { "" };
    match listed.faults.join(", ") {
        faults if faults.is_empty() => format!("{list}{stalled}"),
        faults => format!("{list}{stalled} | {faults}"),
    }
}
