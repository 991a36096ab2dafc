//! A list as its watcher sees it: each member, live, over full and partial NOTIFYs (RFC 4662 §4.6).

use super::show;
use crate::cli::terminal::line;
use crate::ua::subscription::Notice;
use ims::rls::list::Name;
use ims::rls::picture::{Known, Picture, Row, Taken, What};
use ims::rls::reading::{self, Limits, Phase};
use ims::sip::Aor;
use ims::time::Timestamp;
use ims::xml::text::escaped;
use serde_json::{Value, json};

/// What is known of the list.
#[derive(Debug, Default)]
pub struct Watched {
    picture: Picture,
    /// A NOTIFY has not come that should have.
    pub misses: bool,
}

/// What a NOTIFY brings of a list.
#[derive(Debug, PartialEq, Eq)]
pub enum News {
    /// It is about no list.
    None,
    /// Nothing: it is older than what is known.
    Stale,
    /// Something that cannot be read, and why.
    Unreadable(String),
    /// The members that it speaks of.
    Of(Vec<Box<str>>),
}

impl Watched {
    pub fn take(&mut self, notice: &Notice) -> News {
        let Some(kind) = notice
            .content_type
            .as_deref()
            .filter(|k| reading::is_list(k))
        else {
            return News::None;
        };
        match reading::read(kind, &notice.body, &Limits::default()) {
            Err(fault) => News::Unreadable(fault.to_string()),
            Ok(level) => match self.picture.take(level) {
                Taken::Stale => News::Stale,
                Taken::News { lost, changed } => {
                    self.misses |= lost;
                    News::Of(changed)
                }
            },
        }
    }

    /// Several lines: the members that have changed.
    pub fn text(
        &self,
        now: Timestamp,
        notice: &Notice,
        fetched: bool,
        news: &[Box<str>],
    ) -> String {
        let mut out = show::heading(self.picture.uri(), now, notice, fetched);
        let count = self.picture.rows().count();
        out += &format!("; {count} member{}", if count == 1 { "" } else { "s" });
        if let Some(name) = self.picture.names().first() {
            out += &line(&format!(" of {}", name.text));
        }
        let changed = news
            .iter()
            .filter_map(|uri| Some((&**uri, self.picture.row(uri)?)));
        for text in changed.flat_map(|(uri, row)| member(uri, row)) {
            out.push_str("\n  ");
            out.push_str(&line(&text));
        }
        out
    }

    /// One line: all that is known, and what has changed.
    pub fn json(&self, now: Timestamp, notice: &Notice, news: &[Box<str>]) -> String {
        let mut object = show::envelope("list", self.picture.uri(), now, notice);
        object.insert(
            "changed".to_owned(),
            news.iter().map(|uri| Value::from(&**uri)).collect(),
        );
        object.extend(picture(&self.picture));
        object.insert("error".to_owned(), Value::Null);
        Value::from(object).to_string()
    }
}

/// One member in plain words.
fn member(uri: &str, row: &Row) -> Vec<String> {
    let who = match row.names.first() {
        Some(name) => format!("{} <{uri}>", name.text),
        None => uri.to_owned(),
    };
    if row.instances.is_empty() {
        return vec![format!("{who}: not known yet")];
    }
    let mut lines = Vec::new();
    for known in row.instances.values() {
        let phase = match (known.phase, &known.reason) {
            (Phase::Active, _) if matches!(known.state, What::List(_)) => "list",
            (Phase::Active, _) => "active",
            (Phase::Pending, _) => "pending (waits for a decision)",
            (Phase::Terminated, None) => "terminated",
            (Phase::Terminated, Some(reason)) => &format!("terminated ({reason})"),
        };
        lines.push(format!("{who}: {phase}"));
        lines.extend(state(known).into_iter().map(|text| format!("  {text}")));
    }
    lines
}

fn state(known: &Known) -> Vec<String> {
    match &known.state {
        What::Nothing => Vec::new(),
        What::State(content) => show::details(&content.media_type, &content.bytes),
        What::List(inner) => inner
            .rows()
            .flat_map(|(uri, row)| member(uri, row))
            .collect(),
    }
}

fn picture(picture: &Picture) -> serde_json::Map<String, Value> {
    let members = picture.rows().map(|(uri, row)| {
        let instances = row.instances.iter().map(|(id, known)| {
            let mut object = match &known.state {
                What::Nothing => serde_json::Map::new(),
                What::State(content) => show::document(&content.media_type, &content.bytes),
                What::List(inner) => self::picture(inner),
            };
            object.insert("id".to_owned(), Value::from(&**id));
            object.insert("state".to_owned(), Value::from(known.phase.text()));
            if let Some(reason) = &known.reason {
                object.insert("reason".to_owned(), Value::from(&**reason));
            }
            Value::from(object)
        });
        let instances: Vec<Value> = instances.collect();
        json!({ "uri": uri, "names": names(&row.names), "instances": instances })
    });
    let members: Value = members.collect();
    serde_json::Map::from_iter([
        ("version".to_owned(), picture.version().into()),
        ("names".to_owned(), names(picture.names())),
        ("members".to_owned(), members),
    ])
}

fn names(names: &[Name]) -> Value {
    names.iter().map(|name| Value::from(&*name.text)).collect()
}

/// A list of these members, as a SUBSCRIBE brings it (RFC 5367 §4).
pub fn contained(members: &[Aor]) -> String {
    let entry = |member: &Aor| format!("<entry uri=\"{}\"/>", escaped(member.as_str()));
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list>{}\
         </list></resource-lists>",
        members.iter().map(entry).collect::<String>()
    )
}

#[cfg(test)]
mod tests;
