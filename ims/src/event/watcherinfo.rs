//! Watcher information: who watches a resource, in which state and why (RFC 3857 for the states, RFC 3858 for the
//! document), for any package.

use super::subscription::{End, State};
use crate::time::Seconds;
use crate::xml::text::escaped;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// Type of the document.
pub const MEDIA_TYPE: &str = "application/watcherinfo+xml";
/// Its namespace (RFC 3858 §8.2).
pub const NAMESPACE: &str = "urn:ietf:params:xml:ns:watcherinfo";

/// What a watcher-list says of a subscription's state (RFC 3858 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Pending,
    Active,
    Waiting,
    Terminated,
}

impl Status {
    pub fn text(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::Active => "active",
            Status::Waiting => "waiting",
            Status::Terminated => "terminated",
        }
    }
}

impl From<State> for Status {
    fn from(state: State) -> Status {
        match state {
            State::Pending => Status::Pending,
            State::Active => Status::Active,
            State::Waiting => Status::Waiting,
            State::Terminated(_) => Status::Terminated,
        }
    }
}

/// What brought a subscription to its state (RFC 3857 §4.7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    Subscribe,
    Approved,
    Deactivated,
    Probation,
    Rejected,
    Timeout,
    GiveUp,
    NoResource,
}

impl Event {
    pub fn text(self) -> &'static str {
        match self {
            Event::Subscribe => "subscribe",
            Event::Approved => "approved",
            Event::Deactivated => "deactivated",
            Event::Probation => "probation",
            Event::Rejected => "rejected",
            Event::Timeout => "timeout",
            Event::GiveUp => "giveup",
            Event::NoResource => "noresource",
        }
    }

    /// The event of a transition; `before` is `None` for a subscription that begins. A watcher who is made to wait
    /// again has asked, and nobody has answered: `subscribe`, for which the figure has no name of its own.
    pub fn of(before: Option<State>, after: State) -> Event {
        match (before, after) {
            (Some(_), State::Active) => Event::Approved,
            (None, State::Active) | (_, State::Pending) => Event::Subscribe,
            (_, State::Waiting) => Event::Timeout,
            (_, State::Terminated(end)) => match end {
                End::Timeout => Event::Timeout,
                End::Rejected => Event::Rejected,
                // discarded without a change of policy
                End::Unreachable | End::Deactivated => Event::Deactivated,
                End::GaveUp => Event::GiveUp,
                End::Probation { .. } => Event::Probation,
                End::NoResource => Event::NoResource,
                End::Approved => Event::Approved,
            },
        }
    }
}

/// One `<watcher>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watcher<'a> {
    /// Names the subscription among all of its resource, and stays while it lives: written as 16 hexadecimal digits,
    /// which is a token (RFC 3858 §3).
    pub id: u64,
    pub uri: &'a str,
    pub display_name: Option<&'a str>,
    pub status: Status,
    pub event: Event,
    /// Until it runs out.
    pub expiration: Option<Seconds>,
    /// Since the SUBSCRIBE that opened it.
    pub duration: Option<Seconds>,
}

/// Whether a document replaces what its reader knows, or adds to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    Full,
    Partial,
}

/// A document that is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document(Bytes);

impl Document {
    /// The document, `application/watcherinfo+xml` in UTF-8.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }
}

/// A document about one resource and package, `watchers` in the order in which they are to be read.
pub fn document<'a>(
    version: u32,
    extent: Extent,
    resource: &str,
    package: &str,
    watchers: impl Iterator<Item = Watcher<'a>>,
) -> Document {
    let state = match extent {
        Extent::Full => "full",
        Extent::Partial => "partial",
    };
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<watcherinfo xmlns=\"{NAMESPACE}\" version=\"{version}\" \
         state=\"{state}\"><watcher-list resource=\"{}\" package=\"{}\">",
        escaped(resource),
        escaped(package)
    );
    for watcher in watchers {
        write_watcher(&mut out, &watcher);
    }
    out.push_str("</watcher-list></watcherinfo>");
    Document(out.into())
}

fn write_watcher(out: &mut String, watcher: &Watcher<'_>) {
    // writing to a string does not fail
    let _ = write!(
        out,
        "<watcher id=\"{:016x}\" status=\"{}\" event=\"{}\"",
        watcher.id,
        watcher.status.text(),
        watcher.event.text()
    );
    if let Some(name) = watcher.display_name {
        let _ = write!(out, " display-name=\"{}\"", escaped(name));
    }
    if let Some(Seconds(left)) = watcher.expiration {
        let _ = write!(out, " expiration=\"{left}\"");
    }
    if let Some(Seconds(since)) = watcher.duration {
        let _ = write!(out, " duration-subscribed=\"{since}\"");
    }
    let _ = write!(out, ">{}</watcher>", escaped(watcher.uri));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::schema::{Schema, Unknown};
    use crate::xml::schemas::WATCHER_INFO;

    const BOB: &str = "sip:bob@ims.test";

    fn watcher(id: u64, status: Status, event: Event) -> Watcher<'static> {
        Watcher {
            id,
            uri: "sip:alice@ims.test",
            display_name: None,
            status,
            event,
            expiration: None,
            duration: None,
        }
    }

    fn is_valid(document: &str) -> bool {
        let schema = Schema::load(&WATCHER_INFO).unwrap();
        let tree = roxmltree::Document::parse(document).unwrap();
        schema.validate(&tree, Unknown::Allowed).is_ok()
    }

    #[test]
    fn a_document_reads_as_in_the_standard() {
        let all = Watcher {
            display_name: Some("Alice"),
            expiration: Some(Seconds(600)),
            duration: Some(Seconds(12)),
            ..watcher(255, Status::Active, Event::Approved)
        };
        let bare = watcher(1, Status::Pending, Event::Subscribe);
        let written = document(7, Extent::Partial, BOB, "presence", [all, bare].into_iter());
        assert_eq!(
            std::str::from_utf8(written.bytes()).unwrap(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <watcherinfo xmlns=\"urn:ietf:params:xml:ns:watcherinfo\" version=\"7\" state=\"partial\">\
             <watcher-list resource=\"sip:bob@ims.test\" package=\"presence\">\
             <watcher id=\"00000000000000ff\" status=\"active\" event=\"approved\" display-name=\"Alice\" \
             expiration=\"600\" duration-subscribed=\"12\">sip:alice@ims.test</watcher>\
             <watcher id=\"0000000000000001\" status=\"pending\" event=\"subscribe\">sip:alice@ims.test</watcher>\
             </watcher-list></watcherinfo>"
        );
    }

    #[test]
    fn whatever_is_said_is_valid() {
        let statuses = [
            Status::Pending,
            Status::Active,
            Status::Waiting,
            Status::Terminated,
        ];
        let events = [
            Event::Subscribe,
            Event::Approved,
            Event::Deactivated,
            Event::Probation,
            Event::Rejected,
            Event::Timeout,
            Event::GiveUp,
            Event::NoResource,
        ];
        let hostile = "<a b=\"c\">&'\u{0}\n</watcher>";
        let each = statuses
            .into_iter()
            .flat_map(|status| events.into_iter().map(move |event| (status, event)));
        let watchers = each.enumerate().map(|(id, (status, event))| Watcher {
            uri: if id % 2 == 0 {
                "tel:+36201234567"
            } else {
                hostile
            },
            display_name: Some(hostile),
            expiration: Some(Seconds(u32::MAX)),
            duration: Some(Seconds(0)),
            ..watcher(id as u64, status, event)
        });
        let written = document(0, Extent::Full, hostile, "presence.winfo", watchers);
        let text = std::str::from_utf8(written.bytes()).unwrap();
        assert!(is_valid(text), "{text}");
        let empty = document(u32::MAX, Extent::Full, BOB, "presence", std::iter::empty());
        assert!(is_valid(std::str::from_utf8(empty.bytes()).unwrap()));
    }

    #[test]
    fn the_schema_refuses_what_is_no_watcher_information() {
        let text = |from: &str, to: &str| {
            let one = [watcher(1, Status::Active, Event::Subscribe)];
            let written = document(0, Extent::Full, BOB, "presence", one.into_iter());
            std::str::from_utf8(written.bytes())
                .unwrap()
                .replace(from, to)
        };
        assert!(is_valid(&text("", "")));
        for (from, to) in [
            ("status=\"active\"", "status=\"asleep\""),
            ("status=\"active\"", ""),
            ("event=\"subscribe\"", "event=\"unsubscribe\""),
            ("version=\"0\"", "version=\"-1\""),
            ("state=\"full\"", "state=\"half\""),
            ("package=\"presence\"", ""),
            ("watcher id=\"0000000000000001\"", "watcher"),
        ] {
            assert!(!is_valid(&text(from, to)), "{from} as {to}");
        }
    }

    #[test]
    fn each_transition_has_the_event_of_the_figure() {
        use State::{Active, Pending, Terminated, Waiting};
        for (before, after, event) in [
            (None, Active, Event::Subscribe),
            (None, Pending, Event::Subscribe),
            (None, Waiting, Event::Timeout),
            (Some(Pending), Active, Event::Approved),
            (Some(Pending), Waiting, Event::Timeout),
            (Some(Active), Pending, Event::Subscribe),
            (Some(Active), Terminated(End::Timeout), Event::Timeout),
            (Some(Active), Terminated(End::Rejected), Event::Rejected),
            (Some(Pending), Terminated(End::GaveUp), Event::GiveUp),
            (Some(Waiting), Terminated(End::Approved), Event::Approved),
            (
                Some(Waiting),
                Terminated(End::NoResource),
                Event::NoResource,
            ),
            (
                Some(Active),
                Terminated(End::Probation {
                    retry_after: Seconds(9),
                }),
                Event::Probation,
            ),
            (
                Some(Active),
                Terminated(End::Deactivated),
                Event::Deactivated,
            ),
            (
                Some(Active),
                Terminated(End::Unreachable),
                Event::Deactivated,
            ),
        ] {
            assert_eq!(Event::of(before, after), event, "{before:?} to {after:?}");
        }
    }
}
