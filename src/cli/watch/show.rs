//! A NOTIFY as people read it, and as a script does.

use crate::cli::terminal::line;
use crate::ua::document::{self, Device, Person, Presence, Service};
use crate::ua::subscription::{Notice, Phase};
use crate::ua::watchers::{self, Watcher, Watchers};
use ims::sip::header::media_type::MediaType;
use ims::time::Timestamp;
use ims::time::datetime;
use serde_json::{Map, Value, json};

/// What a NOTIFY brings.
enum Told {
    Presence(Presence),
    Watchers(Watchers),
}

/// A document, or why it cannot be shown.
fn told(kind: &str, body: &[u8]) -> Result<Told, String> {
    let media_type = MediaType::parse(kind);
    let is = |of, subtype| media_type.is_some_and(|kind| kind.is(of, subtype));
    if is("application", "pidf+xml") {
        document::read(body).map(Told::Presence)
    } else if is("application", "watcherinfo+xml") {
        watchers::read(body).map(Told::Watchers)
    } else {
        Err(format!("a body of type {kind} ({} bytes)", body.len()))
    }
}

/// Several lines, without the last line end. `fetched`: the end of the subscription is no news.
pub fn text(presentity: &str, now: Timestamp, notice: &Notice, fetched: bool) -> String {
    let mut out = heading(presentity, now, notice, fetched);
    let kind = notice.content_type.as_deref();
    for text in kind
        .map(|kind| details(kind, &notice.body))
        .unwrap_or_default()
    {
        out.push_str("\n  ");
        out.push_str(&line(&text));
    }
    out
}

/// When, who, and the subscription.
pub fn heading(resource: &str, now: Timestamp, notice: &Notice, fetched: bool) -> String {
    let time = datetime::format(now);
    let clock = time.get(11..19).unwrap_or(&time);
    format!("{clock} {resource} {}", subscription(notice, fetched))
}

/// What a document says, line by line.
pub fn details(kind: &str, body: &[u8]) -> Vec<String> {
    let presence = match told(kind, body) {
        Err(why) => return vec![format!("cannot be shown: {why}")],
        Ok(Told::Watchers(told)) if told.full && told.watchers.is_empty() => {
            return vec!["nobody watches".into()];
        }
        Ok(Told::Watchers(told)) => return told.watchers.iter().map(watcher).collect(),
        Ok(Told::Presence(presence)) => presence,
    };
    let mut lines: Vec<String> = presence.services.iter().flat_map(service).collect();
    lines.extend(presence.persons.iter().flat_map(person));
    lines.extend(presence.devices.iter().flat_map(device));
    lines.extend(presence.notes.iter().map(|note| format!("note: {note}")));
    if lines.is_empty() {
        lines.push("nothing known".into());
    }
    lines
}

/// A watcher in plain words.
fn watcher(watcher: &Watcher) -> String {
    let uri = &watcher.uri;
    let who = match &watcher.display_name {
        Some(name) => format!("{name} <{uri}>"),
        None => uri.clone(),
    };
    let does = match (watcher.status.as_str(), watcher.event.as_str()) {
        ("active", "approved") => "watches: was allowed",
        ("active", _) => "watches",
        ("pending", _) => "asks to watch: not yet decided",
        ("waiting", _) => "asked to watch and is gone: not yet decided",
        ("terminated", "rejected") => "watches no more: rejected",
        ("terminated", "approved") => "may watch when it comes again",
        ("terminated", "giveup") => "asked in vain",
        ("terminated", "timeout") => "watches no more",
        (status, event) => return format!("{who}: {status} ({event})"),
    };
    let left = match watcher.expiration {
        Some(left) => format!(", {left} s left"),
        None => String::new(),
    };
    format!("{who} {does}{left}")
}

fn phase(notice: &Notice) -> &'static str {
    match notice.state {
        Phase::Active => "active",
        Phase::Pending => "pending",
        Phase::Terminated => "terminated",
    }
}

fn subscription(notice: &Notice, fetched: bool) -> String {
    let mut text = match (notice.state, notice.reason.as_deref()) {
        // the end that was asked for
        (Phase::Terminated, Some("timeout")) if fetched => return "now".into(),
        (Phase::Terminated, Some("timeout")) => return "subscription over".into(),
        _ => phase(notice).to_owned(),
    };
    if notice.state == Phase::Pending {
        text += " (waits for the presentity's decision)";
    }
    if let Some(reason) = &notice.reason {
        text += &format!(" ({reason})");
    }
    if let Some(left) = notice.expires {
        text += &format!(", {left} s left");
    }
    line(&text)
}

/// A headline, then lines of detail that say what is there.
fn lines(head: String, details: Vec<(&str, Option<String>)>) -> Vec<String> {
    let details = details
        .into_iter()
        .filter_map(|(name, value)| Some(format!("  {name}: {}", value?)));
    std::iter::once(head).chain(details).collect()
}

fn list(values: &[String]) -> Option<String> {
    (!values.is_empty()).then(|| values.join(", "))
}

fn notes(values: &[String]) -> Vec<(&'static str, Option<String>)> {
    values
        .iter()
        .map(|note| ("note", Some(note.clone())))
        .collect()
}

fn service(service: &Service) -> Vec<String> {
    let head = format!(
        "service {}: {}",
        service.id,
        service.basic.as_deref().unwrap_or("state not told")
    );
    let contact = service
        .contact
        .as_ref()
        .map(|contact| match &service.priority {
            Some(priority) => format!("{contact} (priority {priority})"),
            None => contact.clone(),
        });
    let mut details = vec![
        ("description", service.description.clone()),
        ("contact", contact),
        ("registration", service.registration.clone()),
        ("willingness", service.willingness.clone()),
        ("devices", list(&service.devices)),
    ];
    details.extend(notes(&service.notes));
    details.push(("since", service.timestamp.clone()));
    lines(head, details)
}

fn person(person: &Person) -> Vec<String> {
    let head = match list(&person.activities) {
        Some(activities) => format!("person {}: {activities}", person.id),
        None => format!("person {}", person.id),
    };
    let mut details = vec![
        ("mood", list(&person.moods)),
        ("place", list(&person.place)),
        ("willingness", person.willingness.clone()),
    ];
    details.extend(notes(&person.notes));
    details.push(("since", person.timestamp.clone()));
    lines(head, details)
}

fn device(device: &Device) -> Vec<String> {
    let head = format!("device {}", device.id);
    let mut details = vec![
        ("identity", device.device_id.clone()),
        ("networks", list(&device.networks)),
    ];
    details.extend(notes(&device.notes));
    details.push(("since", device.timestamp.clone()));
    lines(head, details)
}

/// One line. `presence` is null when the NOTIFY carries no such document, `watchers` is there when it carries one of
/// those, `error` says why one could not be read.
pub fn json(presentity: &str, now: Timestamp, notice: &Notice) -> String {
    let kind = notice.content_type.as_deref();
    let told = kind.map(|kind| document(kind, &notice.body));
    let none = || Map::from_iter([("presence".to_owned(), Value::Null)]);
    let mut object = envelope("presentity", presentity, now, notice);
    object.extend(told.unwrap_or_else(none));
    object.entry("error").or_insert(Value::Null);
    Value::from(object).to_string()
}

/// When, who, and the subscription.
pub fn envelope(name: &str, uri: &str, now: Timestamp, notice: &Notice) -> Map<String, Value> {
    let subscription = json!({
        "state": phase(notice),
        "reason": notice.reason,
        "expires": notice.expires.map(|s| s.0),
        "retry_after": notice.retry_after.map(|s| s.0),
    });
    Map::from_iter([
        ("time".to_owned(), datetime::format(now).into()),
        (name.to_owned(), uri.into()),
        ("subscription".to_owned(), subscription),
    ])
}

/// What a document says: `presence` always, and `watchers` or `error` where there is such.
pub fn document(kind: &str, body: &[u8]) -> Map<String, Value> {
    // a document of plain strings and lists always becomes JSON
    let (name, value) = match told(kind, body) {
        Ok(Told::Presence(presence)) => (
            "presence",
            serde_json::to_value(presence).unwrap_or_default(),
        ),
        Ok(Told::Watchers(watchers)) => (
            "watchers",
            serde_json::to_value(watchers).unwrap_or_default(),
        ),
        Err(why) => ("error", why.into()),
    };
    let mut object = Map::from_iter([(name.to_owned(), value)]);
    object.entry("presence").or_insert(Value::Null);
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use ims::time::Seconds;

    const BODY: &str = "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:bob@ims.test\"><tuple id=\"t1\">\
        <status><basic>open</basic></status><contact priority=\"0.5\">sip:b@192.0.2.1</contact><note>in\nthe lab</note></tuple></presence>";

    fn made(state: Phase, kind: Option<&str>, body: &str) -> Notice {
        Notice {
            state,
            expires: (state != Phase::Terminated).then_some(Seconds(60)),
            reason: (state == Phase::Terminated).then(|| "rejected".into()),
            retry_after: None,
            content_type: kind.map(str::to_owned),
            body: body.to_owned().into(),
        }
    }

    #[test]
    fn people_see_the_state_line_by_line() {
        let pidf = Some("application/pidf+xml;charset=utf-8");
        for (case, notice, shown) in [
            (
                "a service",
                made(Phase::Active, pidf, BODY),
                "active, 60 s left\n  service t1: open\n    contact: sip:b@192.0.2.1 (priority 0.5)\n    note: in the lab",
            ),
            (
                "pending",
                made(Phase::Pending, None, ""),
                "pending (waits for the presentity's decision), 60 s left",
            ),
            (
                "the end",
                made(Phase::Terminated, None, ""),
                "terminated (rejected)",
            ),
            (
                "an empty document",
                made(
                    Phase::Active,
                    pidf,
                    "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:b@x\"/>",
                ),
                "active, 60 s left\n  nothing known",
            ),
            (
                "another type",
                made(Phase::Active, Some("text/plain"), "x"),
                "active, 60 s left\n  cannot be shown: a body of type text/plain (1 bytes)",
            ),
        ] {
            let text = text("sip:bob@ims.test", Timestamp(3_600_000), &notice, false);
            assert_eq!(text, format!("01:00:00 sip:bob@ims.test {shown}"), "{case}");
        }
    }

    const WATCHERS: &str = "<watcherinfo xmlns=\"urn:ietf:params:xml:ns:watcherinfo\" version=\"1\" state=\"full\">\
        <watcher-list resource=\"sip:b@x\" package=\"presence\"><watcher id=\"1\" status=\"active\" event=\"subscribe\" \
        display-name=\"Alice\" expiration=\"9\">sip:a@x</watcher><watcher id=\"2\" status=\"waiting\" event=\"timeout\">\
        sip:c@x</watcher><watcher id=\"3\" status=\"terminated\" event=\"noresource\">sip:d@x</watcher></watcher-list>\
        </watcherinfo>";

    #[test]
    fn who_watches_is_told_in_plain_words() {
        let notice = made(Phase::Active, Some("application/watcherinfo+xml"), WATCHERS);
        let shown = text("sip:b@x", Timestamp(0), &notice, false);
        assert_eq!(
            shown,
            "00:00:00 sip:b@x active, 60 s left\n  Alice <sip:a@x> watches, 9 s left\n  sip:c@x asked to watch and is \
             gone: not yet decided\n  sip:d@x: terminated (noresource)"
        );
        let object: Value = serde_json::from_str(&json("sip:b@x", Timestamp(0), &notice)).unwrap();
        assert_eq!(object["watchers"]["watchers"][0]["display_name"], "Alice");
        assert_eq!(object["presence"], Value::Null);
    }

    #[test]
    fn a_script_gets_one_object_on_one_line() {
        let line = json(
            "sip:bob@ims.test",
            Timestamp(0),
            &made(Phase::Active, Some("application/pidf+xml"), BODY),
        );
        assert!(!line.contains('\n'), "{line}");
        let object: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["subscription"]["state"], "active");
        assert_eq!(object["subscription"]["expires"], 60);
        assert_eq!(object["presence"]["services"][0]["notes"][0], "in\nthe lab");
        let end: Value = serde_json::from_str(&json(
            "sip:b@x",
            Timestamp(0),
            &made(Phase::Terminated, None, ""),
        ))
        .unwrap();
        assert_eq!(
            (&end["presence"], &end["subscription"]["reason"]),
            (&Value::Null, &Value::from("rejected"))
        );
    }
}
