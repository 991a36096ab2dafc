//! Subscriptions to lists, by the door of the node (RFC 4662).

mod changes;
mod elsewhere;
mod property;
mod requests;
mod shapes;
mod terms;

use super::*;
use crate::rls::reading::{self, Level, Phase, Told};

const FRIENDS: &str = "sip:alice-friends@ims.test";
const ACCEPT: &str = "Accept: application/rlmi+xml, multipart/related, application/pidf+xml\r\n";
const SUPPORTED: &str = "Supported: eventlist\r\n";

/// A document of services: each a URI with its members.
fn services(all: &[(&str, &[&str])]) -> String {
    let entry = |name: &&str| format!("<entry uri=\"sip:{name}@ims.test\"/>");
    let service = |(uri, names): &(&str, &[&str])| {
        let entries: String = names.iter().map(entry).collect();
        format!(
            "<service uri=\"{uri}\"><list xmlns:rl=\"urn:ietf:params:xml:ns:resource-lists\">{}</list><packages>\
             <package>presence</package><package>presence.winfo</package></packages></service>",
            entries.replace("<entry", "<rl:entry")
        )
    };
    let all: String = all.iter().map(service).collect();
    format!("<rls-services xmlns=\"urn:ietf:params:xml:ns:rls-services\">{all}</rls-services>")
}

/// What a NOTIFY says in a few words: `0 full bob=note carol/pending`.
fn said(notify: &Sent) -> String {
    let level = read(notify);
    let mut text = format!(
        "{} {}",
        level.version,
        if level.full { "full" } else { "part" }
    );
    for resource in &level.resources {
        let name = resource.uri.trim_start_matches("sip:");
        text += &format!(" {}", name.trim_end_matches("@ims.test"));
        for instance in &resource.instances {
            text += &match (&instance.told, instance.phase) {
                (Some(Told::State(content)), Phase::Active) => {
                    format!("={}", note(&String::from_utf8_lossy(&content.bytes)))
                }
                (_, phase) => format!("/{}", phase.text()),
            };
            text += &instance
                .reason
                .as_ref()
                .map_or(String::new(), |r| format!(":{r}"));
        }
    }
    text
}

fn note(document: &str) -> &str {
    let found = document
        .split_once("<note>")
        .and_then(|(_, rest)| rest.split_once("</note>"));
    found.map_or("-", |(note, _)| note)
}

fn read(notify: &Sent) -> Level {
    assert_eq!(notify.method(), "NOTIFY", "{}", notify.text);
    assert_eq!(notify.get("Require"), "eventlist");
    let head = notify.bytes.windows(4).position(|w| w == b"\r\n\r\n");
    let body = notify.bytes.slice(head.unwrap() + 4..);
    reading::read(
        notify.get("Content-Type"),
        &body,
        &reading::Limits::default(),
    )
    .unwrap()
}

impl Bench {
    /// Alice writes her services.
    pub(super) fn write_services(&mut self, all: &[(&str, &[&str])]) -> Vec<Sent> {
        let body = match all {
            [] => String::new(),
            all => services(all),
        };
        let request = xdm::Request {
            method: match all {
                [] => xdm::Method::Delete,
                _ => xdm::Method::Put,
            },
            target: format!("rls-services/users/{ALICE}/index"),
            query: None,
            content_type: Some("application/rls-services+xml".into()),
            content_encoding: None,
            if_match: None,
            if_none_match: None,
            body: body.into(),
            identity: xdm::Identity::User(ALICE.into()),
        };
        let sent = self.feed(Input::Xcap {
            number: 1,
            request: &request,
        });
        let taken = |effect: &Effect| matches!(effect, Effect::Xcap { response, .. } if response.status < 300);
        let mut effects = self.out.held.iter().chain(&self.out.free);
        assert!(effects.any(taken), "{:?}", self.out);
        sent
    }

    fn state_of(&mut self, user: &str, text: &str) -> Vec<Sent> {
        let uri = format!("sip:{user}@ims.test");
        let head = format!(
            "Event: presence\r\nP-Asserted-Identity: <{uri}>\r\nContent-Type: application/pidf+xml\r\n"
        );
        let body = pidf(text).replace(BOB, &uri);
        let mut sent = self.ask("PUBLISH", &uri, &head, &body);
        assert_eq!(sent[0].status(), 200, "{}", sent[0].text);
        sent.remove(0);
        sent
    }

    /// A SUBSCRIBE of `who` to `uri`.
    pub(super) fn ask_list(&mut self, who: &str, uri: &str, more: &str, body: &str) -> Vec<Sent> {
        let mut head = format!("Contact: <sip:10.0.0.2:5060>\r\n{more}");
        if !who.is_empty() {
            head.push_str(&format!("P-Asserted-Identity: <{who}>\r\n"));
        }
        if !more.contains("Event: ") {
            head.push_str("Event: presence\r\n");
        }
        self.ask("SUBSCRIBE", uri, &head, body)
    }

    /// Alice subscribes to her friends: the answer and the first NOTIFY, which is answered.
    fn watch_friends(&mut self) -> (Sent, Sent) {
        let sent = self.ask_list(ALICE, FRIENDS, &format!("{ACCEPT}{SUPPORTED}"), "");
        assert_eq!(sent.len(), 2, "{sent:?}");
        assert_eq!(sent[0].status(), 200, "{}", sent[0].text);
        assert_eq!(self.answer(&sent[1], 200, "").len(), 0);
        (sent[0].clone(), sent[1].clone())
    }

    /// A SUBSCRIBE in the dialog that `opened` opened.
    fn renew_list(&mut self, opened: &Sent, more: &str, body: &str) -> Vec<Sent> {
        let head = format!(
            "To: {}\r\nCall-ID: {}\r\n{ACCEPT}{SUPPORTED}{more}",
            opened.get("To"),
            opened.get("Call-ID")
        );
        self.ask_list(ALICE, FRIENDS, &head, body)
    }
}
