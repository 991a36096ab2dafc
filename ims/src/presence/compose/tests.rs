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
    by_policy(publications, registration, &Policy::default())
}

fn by_policy(
    publications: &[&str],
    registration: Option<&RegistrationFacts>,
    policy: &Policy,
) -> String {
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
            mark: order,
        })
        .collect();
    let forwards = content(&compose(&sources, registration, policy));
    let backwards: Vec<Source<'_>> = sources.iter().rev().copied().collect();
    assert_eq!(
        content(&compose(&backwards, registration, policy)),
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
            mark: 1,
        },
        Source {
            contribution: &contributions[1],
            at: Timestamp(2),
            order: 2,
            mark: 2,
        },
    ];
    assert_eq!(
        content(&compose(&sources, None, &Policy::default())),
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
                mark: order,
            })
            .collect();
        compose(&sources, None, &Policy::default())
            .sphere()
            .map(str::to_owned)
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
    assert!(
        compose(&[], None, &Policy::default()).is_empty(),
        "unavailable"
    );
    let unnamed = RegistrationFacts::new("tel:+15550100", None, true, Timestamp(0)).unwrap();
    assert!(with_registration(&[], Some(&unnamed)).contains("<dm:deviceID>urn:uuid:"));
}

#[test]
fn registration_is_not_betrayed_to_those_who_may_not_see_it() {
    use crate::presence::rules::{Attribute, Provide};
    let facts = RegistrationFacts::new("sip:bob@home1.test", None, true, Timestamp(0)).unwrap();
    let registered = compose(&[], Some(&facts), &Policy::default());
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

#[test]
fn the_operator_chooses_what_becomes_of_a_conflict() {
    let open = "<tuple id='a'><status><basic>open</basic></status><contact>a:b</contact></tuple>";
    let closed =
        "<tuple id='b'><status><basic>closed</basic></status><contact>a:b</contact></tuple>";
    let old = "<dm:person id='p'><r:mood><r:sad/></r:mood><dm:timestamp>1970-01-01T00:00:00.001Z</dm:timestamp></dm:person>";
    let older = "<dm:person id='q'><r:mood><r:happy/></r:mood><dm:timestamp>1970-01-01T00:00:00Z</dm:timestamp></dm:person>";
    let ahead = "<dm:person id='q'><r:mood><r:happy/></r:mood><dm:timestamp>2999-01-01T00:00:00Z</dm:timestamp></dm:person>";
    let device = "<dm:device id='d'><r:user-input>idle</r:user-input><dm:deviceID>urn:uuid:AB</dm:deviceID></dm:device>";
    let same = "<dm:device id='e'><r:user-input>active</r:user-input><dm:deviceID>urn:UUID:ab</dm:deviceID></dm:device>";
    let named =
        "<tuple id='n'><status/><dm:deviceID>urn:x:y</dm:deviceID><contact>a:b</contact></tuple>";
    let all = |joining| Policy {
        services: joining,
        persons: joining,
        devices: joining,
        ..Policy::default()
    };
    let (separate, apart, newest) = (
        all(Joining::Separate),
        all(Joining::KeepApart),
        all(Joining::Newest),
    );
    let any = Policy {
        any_device: true,
        ..Policy::default()
    };
    for (case, policy, publications, ids, lost) in [
        ("services stay apart", apart, [open, closed], "ab", ""),
        (
            "the newest service wins",
            newest,
            [open, closed],
            "a",
            ">open<",
        ),
        ("equal services are one", apart, [open, open], "a", ""),
        ("unless nothing is joined", separate, [open, open], "aa", ""),
        ("persons stay apart", apart, [old, older], "pq", ""),
        (
            "the newer person by its own timestamp",
            newest,
            [old, older],
            "p",
            "happy",
        ),
        (
            "a timestamp ahead of its publication counts as that",
            newest,
            [old, ahead],
            "p",
            "sad",
        ),
        (
            "devices of one UUID, however written",
            newest,
            [device, same],
            "d",
            "idle",
        ),
        ("devices may stay apart", apart, [device, same], "de", ""),
        (
            "a service of no device is another",
            apart,
            [open, named],
            "an",
            "",
        ),
        ("or the same as one of any", any, [open, named], "a", ""),
    ] {
        let shown = by_policy(&publications, None, &policy);
        let found: String = shown
            .split(" id=\"")
            .skip(1)
            .map(|rest| &rest[..1])
            .collect();
        assert_eq!(found, ids, "{case}: {shown}");
        assert!(lost.is_empty() || !shown.contains(lost), "{case}: {shown}");
    }
}

#[test]
fn of_three_sources_of_a_device_the_newest_counts_also_when_it_agrees_with_the_oldest() {
    let device = |input: &str| {
        publication(&format!(
            "<dm:device id='d'><r:user-input>{input}</r:user-input><dm:deviceID>urn:x:y</dm:deviceID></dm:device>"
        ))
    };
    let contributions = [device("idle"), device("active"), device("idle")];
    let sources: Vec<Source<'_>> = [(1, 10), (3, 20), (2, 30)]
        .into_iter()
        .zip(&contributions)
        .map(|((order, at), contribution)| Source {
            contribution,
            at: Timestamp(at),
            order,
            mark: order,
        })
        .collect();
    let shown = content(&compose(&sources, None, &Policy::default()));
    assert!(shown.contains(">idle<"), "{shown}");
}

#[test]
fn an_overriding_willingness_stands_beside_those_of_services_or_in_their_place() {
    let both = "<tuple id='a'><status/><op:willingness><op:basic>open</op:basic></op:willingness><contact>a:b</contact></tuple>\
        <dm:person id='p'><op:overriding-willingness><op:basic>closed</op:basic></op:overriding-willingness></dm:person>";
    let replaces = Policy {
        overriding_replaces: true,
        ..Policy::default()
    };
    for (case, publications, policy, services) in [
        ("beside", &[both][..], Policy::default(), true),
        ("in their place", &[both], replaces, false),
        (
            "whoever published it",
            &[both, "<tuple id='b'><status/><op:willingness/></tuple>"],
            replaces,
            false,
        ),
        (
            "nothing overrides",
            &["<tuple id='b'><status/><op:willingness/></tuple>"],
            replaces,
            true,
        ),
    ] {
        let shown = by_policy(publications, None, &policy);
        assert_eq!(
            shown.contains("<op:willingness"),
            services,
            "{case}: {shown}"
        );
        assert_eq!(
            shown.contains("overriding"),
            case != "nothing overrides",
            "{case}"
        );
    }
}

#[test]
fn elements_of_a_component_keep_their_order() {
    let mixed =
        "<tuple id='a'><status/><r:x>1</r:x><r:y/><r:x>2</r:x><contact>a:b</contact></tuple>";
    assert!(composed(&[mixed, "<note>n</note>"]).contains("<r:x>1</r:x><r:y/><r:x>2</r:x>"));
}
