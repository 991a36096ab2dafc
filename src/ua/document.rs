//! A presence document as a reader of it sees it: services, persons, devices (RFC 3863, RFC 4479, RFC 4480, OMA).

use ims::xml::{Node, guard};
use serde::Serialize;

const PIDF: &str = "urn:ietf:params:xml:ns:pidf";
const DATA_MODEL: &str = "urn:ietf:params:xml:ns:pidf:data-model";
const RPID: &str = "urn:ietf:params:xml:ns:pidf:rpid";
const OMA: &str = "urn:oma:xml:prs:pidf:oma-pres";

/// What a presence document says, as far as people ask for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Presence {
    pub entity: String,
    pub services: Vec<Service>,
    pub persons: Vec<Person>,
    pub devices: Vec<Device>,
    pub notes: Vec<String>,
}

/// A tuple.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Service {
    pub id: String,
    /// `open` or `closed`; absent in a tuple that says nothing of it.
    pub basic: Option<String>,
    pub contact: Option<String>,
    pub priority: Option<String>,
    /// OMA service-description: identifier and version.
    pub description: Option<String>,
    /// OMA registration-state.
    pub registration: Option<String>,
    /// OMA willingness.
    pub willingness: Option<String>,
    pub devices: Vec<String>,
    pub notes: Vec<String>,
    pub timestamp: Option<String>,
}

/// A person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Person {
    pub id: String,
    pub activities: Vec<String>,
    pub moods: Vec<String>,
    pub place: Vec<String>,
    /// OMA overriding-willingness.
    pub willingness: Option<String>,
    pub notes: Vec<String>,
    pub timestamp: Option<String>,
}

/// A device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Device {
    pub id: String,
    pub device_id: Option<String>,
    /// OMA network-availability: network and state.
    pub networks: Vec<String>,
    pub notes: Vec<String>,
    pub timestamp: Option<String>,
}

/// Reads a PIDF document; what is not known is passed over.
pub fn read(body: &[u8]) -> Result<Presence, String> {
    let document =
        guard::parse(body, &guard::Limits::default()).map_err(|refusal| refusal.to_string())?;
    let root = document.root_element();
    if !root.has_tag_name((PIDF, "presence")) {
        return Err("the document is not a presence document".into());
    }
    let mut presence = Presence {
        entity: root.attribute("entity").unwrap_or_default().to_owned(),
        notes: texts(root, &[PIDF], "note"),
        ..Presence::default()
    };
    for node in root.children().filter(Node::is_element) {
        match (node.tag_name().namespace(), node.tag_name().name()) {
            (Some(PIDF), "tuple") => presence.services.push(service(node)),
            (Some(DATA_MODEL), "person") => presence.persons.push(person(node)),
            (Some(DATA_MODEL), "device") => presence.devices.push(device(node)),
            _ => {}
        }
    }
    Ok(presence)
}

fn service(node: Node<'_, '_>) -> Service {
    let contact = child(node, PIDF, "contact");
    let described = child(node, OMA, "service-description");
    let part = |name| described.and_then(|d| child(d, OMA, name)).map(text);
    Service {
        id: id(node),
        basic: child(node, PIDF, "status")
            .and_then(|s| child(s, PIDF, "basic"))
            .map(text),
        contact: contact.map(text),
        priority: contact
            .and_then(|c| c.attribute("priority"))
            .map(str::to_owned),
        description: part("service-id").map(|id| match part("version") {
            Some(version) => format!("{id} {version}"),
            None => id,
        }),
        registration: child(node, OMA, "registration-state").map(text),
        willingness: willingness(node, "willingness"),
        devices: texts(node, &[DATA_MODEL], "deviceID"),
        notes: texts(node, &[PIDF], "note"),
        timestamp: child(node, PIDF, "timestamp").map(text),
    }
}

fn person(node: Node<'_, '_>) -> Person {
    let words = |name| {
        let lists = node
            .children()
            .filter(move |n| n.has_tag_name((RPID, name)));
        lists.flat_map(values).collect()
    };
    Person {
        id: id(node),
        activities: words("activities"),
        moods: words("mood"),
        place: words("place-type"),
        willingness: willingness(node, "overriding-willingness"),
        notes: texts(node, &[PIDF, DATA_MODEL], "note"),
        timestamp: child(node, DATA_MODEL, "timestamp").map(text),
    }
}

fn device(node: Node<'_, '_>) -> Device {
    let networks = child(node, OMA, "network-availability")
        .into_iter()
        .flat_map(|n| {
            let networks = n.children().filter(|n| n.has_tag_name((OMA, "network")));
            networks.map(|network| {
                let state = values(network).join(" ");
                format!("{} {state}", network.attribute("id").unwrap_or_default())
            })
        });
    Device {
        id: id(node),
        device_id: child(node, DATA_MODEL, "deviceID").map(text),
        networks: networks.collect(),
        notes: texts(node, &[PIDF, DATA_MODEL], "note"),
        timestamp: child(node, DATA_MODEL, "timestamp").map(text),
    }
}

fn id(node: Node<'_, '_>) -> String {
    node.attribute("id").unwrap_or_default().to_owned()
}

fn willingness(node: Node<'_, '_>, name: &str) -> Option<String> {
    child(node, OMA, name)
        .and_then(|w| child(w, OMA, "basic"))
        .map(text)
}

fn child<'a, 'input>(
    node: Node<'a, 'input>,
    namespace: &str,
    name: &str,
) -> Option<Node<'a, 'input>> {
    node.children().find(|n| n.has_tag_name((namespace, name)))
}

fn text(node: Node<'_, '_>) -> String {
    let parts = node
        .children()
        .filter(Node::is_text)
        .filter_map(|n| n.text());
    parts.collect::<String>().trim().to_owned()
}

fn texts(node: Node<'_, '_>, namespaces: &[&str], name: &str) -> Vec<String> {
    let named = node
        .children()
        .filter(|n| namespaces.iter().any(|ns| n.has_tag_name((*ns, name))));
    named.map(text).collect()
}

/// The values that are written as elements: `<meeting/>` is meeting, `<other>text</other>` the text. Notes are not
/// among them.
fn values(list: Node<'_, '_>) -> Vec<String> {
    let elements = list
        .children()
        .filter(|n| n.is_element() && n.tag_name().name() != "note");
    let value = |n: Node<'_, '_>| match (n.tag_name().name(), text(n)) {
        ("other", text) if !text.is_empty() => text,
        (name, _) => name.to_owned(),
    };
    elements.map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_ask_for_is_read() {
        let body = format!(
            "<?xml version=\"1.0\"?><presence xmlns=\"{PIDF}\" xmlns:dm=\"{DATA_MODEL}\" xmlns:r=\"{RPID}\" xmlns:op=\"{OMA}\" \
             entity=\"sip:bob@ims.test\"><tuple id=\"t1\"><status><basic> open </basic></status>\
             <op:willingness><op:basic>closed</op:basic></op:willingness><op:registration-state>active</op:registration-state>\
             <op:service-description><op:service-id>im</op:service-id><op:version>1.0</op:version></op:service-description>\
             <dm:deviceID>urn:uuid:d1</dm:deviceID>\
             <contact priority=\"0.8\">sip:bob@192.0.2.1</contact><note>a<!-- -->b &amp; c</note><timestamp>2026-01-01T00:00:00Z</timestamp></tuple>\
             <tuple id=\"t2\"><status/></tuple><note>of all</note>\
             <dm:person id=\"p1\"><r:activities><r:note>x</r:note><r:meeting/><r:other>asleep</r:other></r:activities>\
             <r:mood><r:happy/></r:mood><dm:note>in the lab</dm:note></dm:person>\
             <dm:device id=\"d1\"><op:network-availability><op:network id=\"IMS\"><op:active/></op:network></op:network-availability>\
             <dm:deviceID>urn:uuid:d1</dm:deviceID></dm:device><unknown xmlns=\"urn:x\"/></presence>"
        );
        let own = |text: &str| Some(text.to_owned());
        let presence = read(body.as_bytes()).unwrap();
        let want = Service {
            id: "t1".into(),
            basic: own("open"),
            contact: own("sip:bob@192.0.2.1"),
            priority: own("0.8"),
            description: own("im 1.0"),
            registration: own("active"),
            willingness: own("closed"),
            devices: vec!["urn:uuid:d1".into()],
            notes: vec!["ab & c".into()],
            timestamp: own("2026-01-01T00:00:00Z"),
        };
        assert_eq!(presence.services.first(), Some(&want));
        assert_eq!(presence.services.get(1).map(|s| &s.basic), Some(&None));
        let person = presence.persons.first().unwrap();
        assert_eq!(
            (&person.activities[..], &person.moods[..]),
            (
                &["meeting".to_owned(), "asleep".into()][..],
                &["happy".to_owned()][..]
            )
        );
        assert_eq!(person.notes, ["in the lab"]);
        assert_eq!(
            presence.devices.first().map(|d| d.networks.clone()),
            Some(vec!["IMS active".to_owned()])
        );
        assert_eq!(
            (presence.entity.as_str(), &presence.notes[..]),
            ("sip:bob@ims.test", &["of all".to_owned()][..])
        );
    }

    #[test]
    fn what_is_no_presence_document_is_said_so() {
        for body in [
            &b""[..],
            b"<presence/>",
            b"\xff",
            b"<!DOCTYPE presence><presence/>",
        ] {
            assert!(read(body).is_err(), "{body:?}");
        }
    }
}
