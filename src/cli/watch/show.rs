//! A NOTIFY as people read it, and as a script does.

use crate::cli::terminal::line;
use crate::ua::document::{self, Device, Person, Presence, Service};
use crate::ua::subscription::{Notice, Phase};
use ims::presence::datetime;
use ims::sip::header::media_type::MediaType;
use ims::time::Timestamp;
use serde_json::{Value, json};

/// The presence document of a NOTIFY: none, one, or why it cannot be shown.
fn presence(notice: &Notice) -> Option<Result<Presence, String>> {
    let kind = notice.content_type.as_deref()?;
    let is_pidf = MediaType::parse(kind).is_some_and(|kind| kind.is("application", "pidf+xml"));
    Some(match is_pidf {
        true => document::read(&notice.body),
        false => Err(format!(
            "a body of type {kind} ({} bytes)",
            notice.body.len()
        )),
    })
}

/// Several lines, without the last line end. `fetched`: the end of the subscription is no news.
pub fn text(presentity: &str, now: Timestamp, notice: &Notice, fetched: bool) -> String {
    let time = datetime::format(now);
    let clock = time.get(11..19).unwrap_or(&time);
    let mut out = format!("{clock} {presentity} {}", subscription(notice, fetched));
    let mut add = |text: String| {
        out.push_str("\n  ");
        out.push_str(&line(&text));
    };
    match presence(notice) {
        None => {}
        Some(Err(why)) => add(format!("cannot be shown: {why}")),
        Some(Ok(presence)) => {
            presence
                .services
                .iter()
                .flat_map(service)
                .for_each(&mut add);
            presence.persons.iter().flat_map(person).for_each(&mut add);
            presence.devices.iter().flat_map(device).for_each(&mut add);
            presence
                .notes
                .iter()
                .for_each(|note| add(format!("note: {note}")));
            let said = presence.services.len()
                + presence.persons.len()
                + presence.devices.len()
                + presence.notes.len();
            if said == 0 {
                add("nothing known".into());
            }
        }
    }
    out
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

/// One line. `presence` is null when the NOTIFY carries no document, `error` says why one could not be read.
pub fn json(presentity: &str, now: Timestamp, notice: &Notice) -> String {
    let (presence, error) = match presence(notice) {
        None => (Value::Null, Value::Null),
        // a document of plain strings and lists always becomes JSON
        Some(Ok(presence)) => (
            serde_json::to_value(presence).unwrap_or_default(),
            Value::Null,
        ),
        Some(Err(why)) => (Value::Null, Value::from(why)),
    };
    let object = json!({
        "time": datetime::format(now),
        "presentity": presentity,
        "subscription": {
            "state": phase(notice),
            "reason": notice.reason,
            "expires": notice.expires.map(|s| s.0),
            "retry_after": notice.retry_after.map(|s| s.0),
        },
        "presence": presence,
        "error": error,
    });
    object.to_string()
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
