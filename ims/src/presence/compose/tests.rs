//! What several publications say together, seen through a view that grants everything.

use super::*;
use crate::presence::content::view;
use crate::presence::pidf::{Limits, parse};
use crate::presence::rules::Permissions;

const ROOT: &str = "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:dm='urn:ietf:params:xml:ns:pidf:data-model' \
    xmlns:r='urn:ietf:params:xml:ns:pidf:rpid' xmlns:op='urn:oma:xml:prs:pidf:oma-pres' entity='sip:bob@home1.test'>";

fn publication(inside: &str) -> Contribution {
    let whole = inside.starts_with("<presence") || inside.starts_with("<p:presence");
    let body = if whole {
        inside.to_owned()
    } else {
        format!("{ROOT}{inside}</presence>")
    };
    parse(body.as_bytes(), &Limits::default()).unwrap_or_else(|error| panic!("{error:?} in {body}"))
}

/// The document composed of these publications, the oldest first, without prolog and root.
fn composed(publications: &[&str]) -> String {
    with_registration(publications, None)
}

fn with_registration(publications: &[&str], registration: Option<&RegistrationFacts>) -> String {
    let contributions: Vec<Contribution> = publications
        .iter()
        .map(|inside| publication(inside))
        .collect();
    let sources: Vec<Source<'_>> = (1u64..)
        .zip(&contributions)
        .map(|(order, contribution)| Source {
            contribution,
            at: Timestamp(order),
            order,
        })
        .collect();
    let forwards = content(&compose(&sources, registration));
    let backwards: Vec<Source<'_>> = sources.iter().rev().copied().collect();
    assert_eq!(
        content(&compose(&backwards, registration)),
        forwards,
        "the order of the slice means nothing"
    );
    forwards
}

fn content(composed: &Composed) -> String {
    let bytes = view(composed, &Permissions::all(), "sip:bob@home1.test")
        .into_bytes()
        .to_vec();
    let text = String::from_utf8(bytes).unwrap();
    assert!(parse(text.as_bytes(), &Limits::default()).is_ok(), "{text}");
    let start = text.find("entity=\"sip:bob@home1.test\">").unwrap() + 28;
    text[start..].trim_end_matches("</presence>").to_owned()
}

#[test]
fn tuples() {
    let desk = "<tuple id='a'><status><basic>open</basic></status><contact>sip:bob@home1.test</contact></tuple>";
    for (case, publications, expected) in [
        (
            "different tuples stand side by side",
            [
                desk,
                "<tuple id='b'><status><basic>closed</basic></status><contact>tel:+15550100</contact></tuple>",
            ],
            "<tuple id=\"a\"><status><basic>open</basic></status><contact>sip:bob@home1.test</contact></tuple>\
             <tuple id=\"b\"><status><basic>closed</basic></status><contact>tel:+15550100</contact></tuple>",
        ),
        (
            "one contact, but a class on one only: what rules grant by class stays apart",
            [
                desk,
                "<tuple id='b'><status/><r:class>w</r:class><contact>sip:bob@home1.test</contact></tuple>",
            ],
            "<tuple id=\"a\"><status><basic>open</basic></status><contact>sip:bob@home1.test</contact></tuple>\
             <tuple id=\"b\"><status/><r:class>w</r:class><contact>sip:bob@home1.test</contact></tuple>",
        ),
        (
            "one service, elements of both",
            [
                desk,
                "<tuple id='b'><status/><op:willingness><op:basic>open</op:basic></op:willingness><contact>sip:bob@home1.test</contact><note>n</note></tuple>",
            ],
            "<tuple id=\"a\"><status><basic>open</basic></status><op:willingness><op:basic>open</op:basic></op:willingness>\
             <contact>sip:bob@home1.test</contact><note>n</note></tuple>",
        ),
        (
            "one service, a conflict: both stay, the younger under another id",
            [
                desk,
                "<tuple id='a'><status><basic>closed</basic></status><contact>sip:bob@home1.test</contact></tuple>",
            ],
            "<tuple id=\"a\"><status><basic>open</basic></status><contact>sip:bob@home1.test</contact></tuple>\
             <tuple id=\"a-2\"><status><basic>closed</basic></status><contact>sip:bob@home1.test</contact></tuple>",
        ),
        (
            "equal but for spelling: one",
            [
                desk,
                "<p:presence xmlns:p='urn:ietf:params:xml:ns:pidf' xmlns='urn:x' entity='sip:bob@home1.test'><p:tuple id='z'><p:status> <p:basic><![CDATA[open]]></p:basic></p:status><p:contact>sip:bob@home1.test</p:contact></p:tuple></p:presence>",
            ],
            "<tuple id=\"a\"><status><basic>open</basic></status><contact>sip:bob@home1.test</contact></tuple>",
        ),
        (
            "the newest timestamp, from whichever publication",
            [
                "<tuple id='a'><status/><contact>a:b</contact><timestamp>2026-01-01T10:00:00+02:00</timestamp></tuple>",
                "<tuple id='b'><status/><contact>a:b</contact><timestamp>2026-01-01T09:00:00Z</timestamp></tuple>",
            ],
            "<tuple id=\"a\"><status/><contact>a:b</contact><timestamp>2026-01-01T09:00:00Z</timestamp></tuple>",
        ),
        (
            "nothing says that two tuples without contact are one",
            [
                "<tuple id='a'><status><basic>open</basic></status></tuple>",
                "<tuple id='b'><status><basic>open</basic></status></tuple>",
            ],
            "<tuple id=\"a\"><status><basic>open</basic></status></tuple><tuple id=\"b\"><status><basic>open</basic></status></tuple>",
        ),
    ] {
        assert_eq!(composed(&publications), expected, "{case}");
    }
}

#[test]
fn components_of_one_publication_are_never_joined() {
    let twins = "<tuple id='a'><status/><contact>a:b</contact></tuple><tuple id='b'><status/><contact>a:b</contact></tuple>";
    assert_eq!(
        composed(&[twins, "<note>n</note>"])
            .matches("<tuple")
            .count(),
        2
    );
}

#[test]
fn persons_and_devices() {
    for (case, publications, expected) in [
        (
            "persons join",
            [
                "<dm:person id='p'><r:mood><r:happy/></r:mood></dm:person>",
                "<dm:person id='q'><r:activities><r:meal/></r:activities></dm:person>",
            ],
            "<dm:person id=\"p\"><r:mood><r:happy/></r:mood><r:activities><r:meal/></r:activities></dm:person>",
        ),
        (
            "persons who differ stay apart",
            [
                "<dm:person id='p'><r:mood><r:happy/></r:mood></dm:person>",
                "<dm:person id='p'><r:mood><r:sad/></r:mood></dm:person>",
            ],
            "<dm:person id=\"p\"><r:mood><r:happy/></r:mood></dm:person><dm:person id=\"p-2\"><r:mood><r:sad/></r:mood></dm:person>",
        ),
        (
            "persons of different classes stay apart",
            [
                "<dm:person id='p'><r:class>w</r:class></dm:person>",
                "<dm:person id='q'><r:mood><r:sad/></r:mood></dm:person>",
            ],
            "<dm:person id=\"p\"><r:class>w</r:class></dm:person><dm:person id=\"q\"><r:mood><r:sad/></r:mood></dm:person>",
        ),
        (
            "one device: the newest wins, the rest is kept",
            [
                "<dm:device id='d'><r:user-input>idle</r:user-input><r:time-offset>60</r:time-offset><dm:deviceID>urn:x:y</dm:deviceID></dm:device>",
                "<dm:device id='e'><r:user-input>active</r:user-input><dm:deviceID>urn:x:y</dm:deviceID><dm:note>n</dm:note></dm:device>",
            ],
            "<dm:device id=\"d\"><r:user-input>active</r:user-input><r:time-offset>60</r:time-offset><dm:deviceID>urn:x:y</dm:deviceID><dm:note>n</dm:note></dm:device>",
        ),
        (
            "ids inside elements are unique, too",
            [
                "<dm:person id='p'><r:mood id='m'><r:happy/></r:mood></dm:person>",
                "<dm:person id='q'><r:mood id='m'><r:sad/></r:mood></dm:person>",
            ],
            "<dm:person id=\"p\"><r:mood id='m'><r:happy/></r:mood></dm:person><dm:person id=\"q\"><r:mood id='m-2'><r:sad/></r:mood></dm:person>",
        ),
        (
            "notes of the documents, each once",
            ["<note>a</note>", "<note>a</note><note>b</note>"],
            "<note>a</note><note>b</note>",
        ),
    ] {
        assert_eq!(composed(&publications), expected, "{case}");
    }
}

#[test]
fn one_prefix_for_two_namespaces() {
    let other = "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:r='urn:other' entity='sip:bob@home1.test'><tuple id='b'><status/><r:x><r:y/></r:x></tuple></presence>";
    let contributions = [
        publication("<tuple id='a'><status/><r:class>w</r:class></tuple>"),
        parse(other.as_bytes(), &Limits::default()).unwrap(),
    ];
    let sources = [
        Source {
            contribution: &contributions[0],
            at: Timestamp(1),
            order: 1,
        },
        Source {
            contribution: &contributions[1],
            at: Timestamp(2),
            order: 2,
        },
    ];
    assert_eq!(
        content(&compose(&sources, None)),
        "<tuple id=\"a\"><status/><r:class>w</r:class></tuple><tuple id=\"b\"><status/><r:x xmlns:r=\"urn:other\"><r:y/></r:x></tuple>"
    );
}

#[test]
fn sphere_is_what_all_say() {
    let person = |id: &str, sphere: &str| {
        format!("<dm:person id='{id}'><r:sphere>{sphere}</r:sphere></dm:person>")
    };
    let sphere = |publications: &[String]| {
        let contributions: Vec<Contribution> = publications
            .iter()
            .map(|inside| publication(inside))
            .collect();
        let sources: Vec<Source<'_>> = (1u64..)
            .zip(&contributions)
            .map(|(order, contribution)| Source {
                contribution,
                at: Timestamp(0),
                order,
            })
            .collect();
        compose(&sources, None).sphere().map(str::to_owned)
    };
    assert_eq!(sphere(&[]), None);
    assert_eq!(sphere(&["<note>n</note>".into()]), None);
    assert_eq!(sphere(&[person("a", "<r:work/>")]).as_deref(), Some("work"));
    assert_eq!(
        sphere(&[person("a", "<r:work/>"), person("b", "<r:work/>")]).as_deref(),
        Some("work")
    );
    assert_eq!(
        sphere(&[person("a", "<r:work/>"), person("b", "<r:home/>")]),
        None
    );
}

#[test]
fn registration() {
    let facts = |active| {
        RegistrationFacts::new(
            "sip:bob@home1.test",
            Some("urn:gsma:imei:90420156-025763-0"),
            active,
            Timestamp(0),
        )
        .unwrap()
    };
    let tuple = "<tuple id='a'><status><basic>closed</basic></status><contact>sip:bob@home1.test</contact></tuple>";
    assert_eq!(
        with_registration(&[], Some(&facts(true))),
        "<tuple id=\"ims-registration\"><status/><op:registration-state>active</op:registration-state><contact>sip:bob@home1.test</contact></tuple>\
         <dm:device id=\"ims-terminal\"><op:network-availability><op:network id=\"IMS\"><op:active/></op:network></op:network-availability>\
         <dm:deviceID>urn:gsma:imei:90420156-025763-0</dm:deviceID></dm:device>"
    );
    let joined = with_registration(&[tuple], Some(&facts(false)));
    assert!(joined.starts_with("<tuple id=\"a\"><status><basic>closed</basic></status><op:registration-state>terminated</op:registration-state>"), "{joined}");
    let ended = with_registration(&[], Some(&facts(false)));
    assert!(
        ended.contains("<op:registration-state>terminated</op:registration-state>")
            && ended.contains("<op:terminated/>"),
        "an ended registration alone, as long as it is remembered: {ended}"
    );
    assert!(compose(&[], None).is_empty(), "unavailable");
    let unnamed = RegistrationFacts::new("tel:+15550100", None, true, Timestamp(0)).unwrap();
    assert!(with_registration(&[], Some(&unnamed)).contains("<dm:deviceID>urn:uuid:"));
}

#[test]
fn registration_is_not_betrayed_to_those_who_may_not_see_it() {
    use crate::presence::rules::{Attribute, Provide};
    let facts = RegistrationFacts::new("sip:bob@home1.test", None, true, Timestamp(0)).unwrap();
    let registered = compose(&[], Some(&facts));
    let mut permissions = Permissions::components(Provide::All, Provide::All, Provide::All);
    assert_eq!(
        view(&registered, &permissions, "sip:b@c"),
        view(&Composed::default(), &permissions, "sip:b@c")
    );
    permissions.grant(Attribute::RegistrationState);
    let seen =
        String::from_utf8(view(&registered, &permissions, "sip:b@c").bytes().to_vec()).unwrap();
    assert!(
        seen.contains("registration-state") && !seen.contains("network"),
        "{seen}"
    );
}
