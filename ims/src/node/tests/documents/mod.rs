//! Changes of documents told to subscribers (RFC 5874, RFC 5875), by the door of the node.

mod changes;
mod parts;
mod property;
mod requests;
mod restart;

use super::*;

const CAROL: &str = "sip:carol@ims.test";
const LIST: &str = "resource-lists/users/sip:bob@ims.test/index";
const RULES: &str = "pres-rules/users/sip:bob@ims.test/index";
const SERVER: &str = "sip:ps@ims.test";

/// A document of one list with these entries.
pub(super) fn list(entries: &[&str]) -> String {
    let entries: String = entries
        .iter()
        .map(|name| format!("<entry uri=\"sip:{name}@ims.test\"/>"))
        .collect();
    format!(
        "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list name=\"l\">{entries}</list></resource-lists>"
    )
}

/// A body that asks for these URIs.
pub(super) fn wanted(uris: &[&str]) -> String {
    let entries: String = uris
        .iter()
        .map(|uri| format!("<entry uri=\"{}\"/>", crate::xml::text::escaped(uri)))
        .collect();
    format!(
        "<?xml version=\"1.0\"?><resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list>{entries}</list>\
         </resource-lists>"
    )
}

fn bench() -> Bench {
    Bench::new(with(|_| {}))
}

/// Settings with other bounds of subscriptions to documents, and one server of the operator.
fn with(change: impl FnOnce(&mut xdm::Settings)) -> Settings {
    let mut xdm = xdm::Settings::default();
    xdm.privileged.servers.insert(Aor::parse(SERVER).unwrap());
    xdm.diff.root = xdm::diff::Root::new(&[], "http://xcap.ims.test/root");
    change(&mut xdm);
    Settings {
        xdm: xdm::Xdm::new(xdm).unwrap(),
        ..settings()
    }
}

impl Bench {
    /// `user` puts, or deletes with an empty body: the entity-tag, and what is told.
    pub(super) fn edit(&mut self, user: &str, target: &str, body: &str) -> (String, Vec<Sent>) {
        let kind = match target.split('/').next().unwrap() {
            _ if target.contains("/~~/") => "application/xcap-el+xml",
            "resource-lists" => "application/resource-lists+xml",
            _ => "application/auth-policy+xml",
        };
        let request = xdm::Request {
            method: if body.is_empty() {
                xdm::Method::Delete
            } else {
                xdm::Method::Put
            },
            target: target.to_owned(),
            query: None,
            content_type: Some(kind.into()),
            content_encoding: None,
            if_match: None,
            if_none_match: None,
            body: body.to_owned().into(),
            identity: xdm::Identity::User(user.into()),
        };
        let sent = self.feed(Input::Xcap {
            number: 1,
            request: &request,
        });
        let mut effects = self.out.held.iter().chain(&self.out.free);
        let response = effects.find_map(|effect| match effect {
            Effect::Xcap { response, .. } => Some(response.clone()),
            _ => None,
        });
        let response = response.unwrap();
        assert!(response.status < 300, "{response:?}");
        (response.etag.unwrap_or_default().replace('"', ""), sent)
    }

    /// `who` asks to be told: the answer, and the NOTIFYs behind it.
    pub(super) fn ask_for(&mut self, who: &str, event: &str, more: &str, body: &str) -> Vec<Sent> {
        let mut head = format!("Event: {event}\r\nContact: <sip:10.0.0.2:5060>\r\n{more}");
        if !who.is_empty() {
            head.push_str(&format!("P-Asserted-Identity: <{who}>\r\n"));
        }
        if !body.is_empty() && !more.contains("Content-Type") {
            head.push_str("Content-Type: application/resource-lists+xml\r\n");
        }
        self.ask("SUBSCRIBE", "sip:xdms.ims.test", &head, body)
    }

    /// Bob is told of these, answers the first NOTIFY, and the pace lets the next one go at once.
    fn told_of(&mut self, event: &str, uris: &[&str]) -> (Sent, Sent) {
        let sent = self.follow(BOB, event, uris);
        (sent[0].clone(), sent[1].clone())
    }

    fn follow(&mut self, who: &str, event: &str, uris: &[&str]) -> Vec<Sent> {
        let sent = self.ask_for(who, event, "", &wanted(uris));
        assert_eq!(sent.len(), 2, "{sent:?}");
        assert_eq!(sent[0].status(), 200, "{}", sent[0].text);
        assert_eq!(self.answer(&sent[1], 200, "").len(), 0);
        assert!(self.wait(5_000).is_empty());
        sent
    }

    /// A SUBSCRIBE in the dialog that `opened` opened.
    fn follow_on(
        &mut self,
        opened: &Sent,
        who: &str,
        event: &str,
        more: &str,
        body: &str,
    ) -> Vec<Sent> {
        let head = format!(
            "To: {}\r\nCall-ID: {}\r\n{more}",
            opened.get("To"),
            opened.get("Call-ID")
        );
        self.ask_for(who, event, &head, body)
    }

    /// The only message, a NOTIFY, which is answered.
    fn told(&mut self, sent: &[Sent]) -> String {
        assert_eq!(sent.len(), 1, "{sent:?}");
        assert_eq!(sent[0].method(), "NOTIFY");
        assert_eq!(self.answer(&sent[0], 200, "").len(), 0);
        let body = sent[0].body().to_owned();
        valid(&body);
        body
    }
}

/// What is sent is valid (RFC 5874 §4).
fn valid(body: &str) {
    let source = crate::xml::schema::Source {
        name: "xcap-diff.xsd",
        text: include_str!("xcap-diff.xsd"),
    };
    let schema = crate::xml::schema::Schema::load(&[source]).unwrap();
    let document = roxmltree::Document::parse(body).unwrap_or_else(|e| panic!("{e}: {body}"));
    let unknown = crate::xml::schema::Unknown::Allowed;
    if let Err(invalid) = schema.validate(&document, unknown) {
        panic!("{invalid:?}: {body}");
    }
}

/// The children of a document in a few words: `document SEL PREVIOUS>NEW +operations`.
fn said(body: &str) -> Vec<String> {
    let document = roxmltree::Document::parse(body).unwrap_or_else(|e| panic!("{e}: {body}"));
    let root = document.root_element();
    assert_eq!(
        root.attribute("xcap-root"),
        Some("http://xcap.ims.test/root/")
    );
    let children = root.children().filter(|n| n.is_element());
    children
        .map(|n| {
            let value = |name| n.attribute(name).unwrap_or("");
            let inside = n.children().filter(|c| c.is_element());
            let inside: Vec<&str> = inside.map(|c| c.tag_name().name()).collect();
            let mut text = format!("{} {}", n.tag_name().name(), value("sel"));
            match n.tag_name().name() {
                "document" => text += &format!(" {}>{}", value("previous-etag"), value("new-etag")),
                _ => text += &format!(" {}", value("exists")),
            }
            if !inside.is_empty() {
                text += &format!(" {}", inside.join(","));
            }
            if n.tag_name().name() == "attribute" {
                text += &format!(" {}", n.text().unwrap_or("-"));
            }
            text
        })
        .collect()
}
