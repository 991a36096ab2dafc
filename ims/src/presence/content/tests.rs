//! The promise of this module, on documents and grants made at random: what is granted appears, what is not does not,
//! and filtering again changes nothing.

use super::*;
use crate::presence::compose::{Policy, Source, compose};
use crate::presence::pidf::{Limits, parse};
use crate::presence::rules::{Attribute, Member, UserInput};
use crate::time::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;

const FULL: &str = include_str!("../../../../tests/data/pidf/oma-full.xml");

fn composed(body: &str) -> Composed {
    let contribution = parse(body.as_bytes(), &Limits::default())
        .unwrap_or_else(|error| panic!("{error:?}: {body}"));
    compose(
        &[Source {
            contribution: &contribution,
            at: Timestamp(0),
            order: 1,
            mark: 1,
        }],
        None,
        &Policy::default(),
    )
}

fn shown(body: &str, permissions: &Permissions) -> String {
    String::from_utf8(
        view(&composed(body), permissions, "sip:bob@home1.test")
            .into_bytes()
            .to_vec(),
    )
    .expect("UTF-8")
}

/// All components, no attributes.
fn components() -> Permissions {
    Permissions::components(Provide::All, Provide::All, Provide::All)
}

fn services(services: Provide) -> Permissions {
    Permissions::components(services, Provide::default(), Provide::default())
}

fn set(members: &[Member]) -> Provide {
    Provide::Some(members.iter().cloned().collect())
}

#[test]
fn nothing_granted_is_a_valid_document_without_components() {
    let document = shown(FULL, &Permissions::none());
    assert!(document.ends_with("<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:bob@home1.test\"></presence>"), "{document}");
}

#[test]
fn each_attribute_appears_by_its_own_permission_only() {
    let texts = [
        (Attribute::Activities, "<rpid:meeting/>"),
        (Attribute::Class, "<rpid:class>"),
        (
            Attribute::DeviceId,
            "</op:service-description><pdm:deviceID>",
        ),
        (Attribute::Mood, "<rpid:happy/>"),
        (Attribute::PlaceIs, "<rpid:noisy/>"),
        (Attribute::PlaceType, "<rpid:place-type>"),
        (Attribute::Privacy, "<rpid:privacy>"),
        (Attribute::Relationship, "<rpid:self/>"),
        (Attribute::Sphere, "<rpid:sphere>"),
        (Attribute::StatusIcon, "bob.png"),
        (Attribute::TimeOffset, "<rpid:time-offset>"),
        (Attribute::Note, "tuple note"),
        (Attribute::Willingness, "<op:willingness>"),
        (Attribute::NetworkAvailability, "<op:network-availability>"),
        (
            Attribute::SessionParticipation,
            "<op:session-participation>",
        ),
        (Attribute::RegistrationState, "<op:registration-state>"),
        (Attribute::BarringState, "<op:barring-state>"),
    ];
    for (granted, _) in texts {
        let mut permissions = components();
        permissions.grant(granted);
        let document = shown(FULL, &permissions);
        for (attribute, text) in texts {
            assert_eq!(
                document.contains(text),
                attribute == granted,
                "{granted:?} granted, {attribute:?}: {document}"
            );
        }
        for always in [
            "<basic>open</basic>",
            "sip:bob@home1.test</contact>",
            "<rpid:electronic/>",
            "</timestamp>",
            "</pdm:timestamp>",
            "</pdm:deviceID><pdm:timestamp>",
        ] {
            if granted != Attribute::Note || !always.contains("deviceID") {
                assert!(document.contains(always), "{always}: {document}");
            }
        }
    }
}

#[test]
fn notes_of_tuple_person_device_and_document_go_together() {
    let mut permissions = components();
    permissions.grant(Attribute::Note);
    let document = shown(FULL, &permissions);
    for note in ["tuple note", "document note", "person note", "device note"] {
        assert!(document.contains(note), "{note}");
    }
    assert!(
        !document.contains("in the meeting"),
        "a note within activities follows activities"
    );
}

#[test]
fn user_input_shows_as_much_as_its_level() {
    for (level, element) in [
        (UserInput::False, None),
        (
            UserInput::Bare,
            Some("<user-input xmlns=\"urn:ietf:params:xml:ns:pidf:rpid\">idle</user-input>"),
        ),
        (
            UserInput::Thresholds,
            Some(
                "<user-input xmlns=\"urn:ietf:params:xml:ns:pidf:rpid\" idle-threshold=\"600\">idle</user-input>",
            ),
        ),
        (
            UserInput::Full,
            Some(
                "<rpid:user-input idle-threshold=\"600\" last-input=\"2026-01-02T03:04:05Z\" id=\"ui1\">idle</rpid:user-input>",
            ),
        ),
    ] {
        let mut permissions = components();
        permissions.user_input = level;
        let document = shown(FULL, &permissions);
        match element {
            None => assert!(!document.contains("user-input"), "{document}"),
            Some(element) => assert!(document.contains(element), "{document}"),
        }
    }
}

#[test]
fn components_are_chosen_by_what_names_them() {
    let tuple = |members: &[Member]| services(set(members));
    let device = |members: &[Member]| {
        Permissions::components(Provide::default(), Provide::default(), set(members))
    };
    let person = |members: &[Member]| {
        Permissions::components(Provide::default(), set(members), Provide::default())
    };
    for (case, permissions, ids) in [
        (
            "a service by class",
            tuple(&[Member::Class("work".into())]),
            vec!["im"],
        ),
        (
            "a class differs by case",
            tuple(&[Member::Class("Work".into())]),
            vec![],
        ),
        (
            "a service by occurrence",
            tuple(&[Member::OccurrenceId("mail".into())]),
            vec!["mail"],
        ),
        (
            "a service by URI",
            tuple(&[Member::ServiceUri("SIP:bob@HOME1.test".into())]),
            vec!["im"],
        ),
        (
            "services by scheme",
            tuple(&[Member::ServiceUriScheme("mailto".into())]),
            vec!["mail"],
        ),
        (
            "a service by OMA service-id",
            tuple(&[Member::ServiceId(
                "org.openmobilealliance:IM-session".into(),
            )]),
            vec!["im"],
        ),
        (
            "a set is a union",
            tuple(&[
                Member::OccurrenceId("mail".into()),
                Member::OccurrenceId("im".into()),
            ]),
            vec!["im", "mail"],
        ),
        (
            "a deviceID names no service",
            tuple(&[Member::DeviceId(
                "urn:uuid:48662e19-5fbf-43fc-a2fd-d23002787599".into(),
            )]),
            vec![],
        ),
        (
            "a device by deviceID",
            device(&[Member::DeviceId(
                "URN:uuid:48662E19-5fbf-43fc-a2fd-d23002787599".into(),
            )]),
            vec!["d1"],
        ),
        (
            "a device by occurrence",
            device(&[Member::OccurrenceId("d1".into())]),
            vec!["d1"],
        ),
        (
            "a person by class",
            person(&[Member::Class("private".into())]),
            vec!["p1"],
        ),
        (
            "a person by occurrence",
            person(&[Member::OccurrenceId("p2".into())]),
            vec![],
        ),
    ] {
        let document = shown(FULL, &permissions);
        let found: Vec<&str> = ["im", "mail", "p1", "d1"]
            .into_iter()
            .filter(|id| document.contains(&format!(" id=\"{id}\"")))
            .collect();
        assert_eq!(found, ids, "{case}: {document}");
    }
}

#[test]
fn unknown_attributes_are_granted_by_name_and_never_stand_for_known_ones() {
    let mut permissions = components();
    permissions.grant_unknown("urn:example:extension", "secret");
    permissions.grant_unknown("urn:ietf:params:xml:ns:pidf:rpid", "mood");
    permissions.grant_unknown("urn:example:other", "queue");
    let document = shown(FULL, &permissions);
    assert!(
        document.contains("<x:secret level=\"3\">tuple extension</x:secret>"),
        "{document}"
    );
    for withheld in ["mood", "queue", "weather"] {
        assert!(!document.contains(withheld), "{withheld}: {document}");
    }
}

#[test]
fn a_withheld_element_leaves_no_trace_in_the_declarations() {
    let document = shown(FULL, &services(Provide::All));
    for trace in ["urn:example:extension", "data-model"] {
        assert!(!document.contains(trace), "{trace}: {document}");
    }
}

#[test]
fn everything_is_shown_to_the_presentity_itself() {
    let document = shown(FULL, &Permissions::all());
    for text in [
        "long",
        "tuple extension",
        "sunny",
        "document note",
        "noisy",
        "<op:active/>",
        "mailto:",
    ] {
        assert!(document.contains(text), "{text}");
    }
}

#[test]
fn absence_and_polite_block_cannot_be_told_apart() {
    let absent = view(&Composed::default(), &Permissions::all(), "tel:+15550100");
    assert_eq!(absent, neutral("tel:+15550100"));
    assert_eq!(
        absent.bytes(),
        &b"<?xml version=\"1.0\" encoding=\"UTF-8\"?><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"tel:+15550100\"><tuple id=\"service\"><status><basic>closed</basic></status></tuple></presence>"[..]
    );
}

#[test]
fn publishing_what_a_watcher_may_not_see_changes_nothing_for_that_watcher() {
    let person = FULL
        .replace("<tuple id=\"mail\">", "<!--")
        .replace("<contact>mailto:bob@home1.test</contact>", "-->");
    let only_person = {
        let start = person.find("  <pdm:person").expect("person");
        let head = person.find("  <tuple").expect("tuple");
        format!("{}{}", &person[..head], &person[start..])
    };
    for permissions in [Permissions::none(), services(Provide::All)] {
        let before = view(&Composed::default(), &permissions, "sip:bob@home1.test");
        assert_eq!(
            view(&composed(&only_person), &permissions, "sip:bob@home1.test"),
            before
        );
    }
}

#[test]
fn an_entity_cannot_break_out_of_its_attribute() {
    let document = String::from_utf8(
        view(
            &composed(FULL),
            &Permissions::none(),
            "sip:a\"><tuple/>&\u{1}",
        )
        .bytes()
        .to_vec(),
    )
    .expect("UTF-8");
    assert!(
        document.contains("entity=\"sip:a&quot;&gt;&lt;tuple/&gt;&amp;\u{fffd}\""),
        "{document}"
    );
}

/// An element of a component, what grants it, and a text that gives it away.
#[derive(Clone, Debug)]
struct Part {
    name: &'static str,
    grant: Option<Attribute>,
}

const PARTS: &[Part] = &[
    Part {
        name: "r:activities",
        grant: Some(Attribute::Activities),
    },
    Part {
        name: "r:mood",
        grant: Some(Attribute::Mood),
    },
    Part {
        name: "r:place-is",
        grant: Some(Attribute::PlaceIs),
    },
    Part {
        name: "r:place-type",
        grant: Some(Attribute::PlaceType),
    },
    Part {
        name: "r:privacy",
        grant: Some(Attribute::Privacy),
    },
    Part {
        name: "r:relationship",
        grant: Some(Attribute::Relationship),
    },
    Part {
        name: "r:sphere",
        grant: Some(Attribute::Sphere),
    },
    Part {
        name: "r:class",
        grant: Some(Attribute::Class),
    },
    Part {
        name: "r:status-icon",
        grant: Some(Attribute::StatusIcon),
    },
    Part {
        name: "r:unheard-of",
        grant: None,
    },
    Part {
        name: "x:foo",
        grant: None,
    },
    Part {
        name: "op:unheard-of",
        grant: None,
    },
];

/// Sort of component (tuple, person, device) and its parts.
fn components_at_random() -> impl Strategy<Value = Vec<(u8, Vec<usize>)>> {
    vec((0u8..3, vec(0..PARTS.len(), 0..6)), 0..6)
}

fn permissions_at_random() -> impl Strategy<Value = (Permissions, Vec<Attribute>)> {
    let attributes = proptest::sample::subsequence(
        PARTS.iter().filter_map(|p| p.grant).collect::<Vec<_>>(),
        0..=9,
    );
    (attributes, any::<[bool; 3]>()).prop_map(|(attributes, all)| {
        let provide = |all| {
            if all {
                Provide::All
            } else {
                set(&[
                    Member::Class("granted".into()),
                    Member::OccurrenceId("c1".into()),
                ])
            }
        };
        let mut permissions =
            Permissions::components(provide(all[0]), provide(all[1]), provide(all[2]));
        attributes
            .iter()
            .for_each(|attribute| permissions.grant(*attribute));
        (permissions, attributes)
    })
}

/// The document, and for each marker in it whether the grant covers it.
fn document(
    components: &[(u8, Vec<usize>)],
    permissions: &Permissions,
    granted: &[Attribute],
) -> (String, Vec<(String, bool)>) {
    let mut parts = [const { String::new() }; 2];
    let mut markers = Vec::new();
    for (c, (sort, content)) in components.iter().enumerate() {
        let provide = [
            &permissions.services,
            &permissions.persons,
            &permissions.devices,
        ][usize::from(*sort)];
        let visible = *provide == Provide::All || c == 1;
        let mut inside = String::new();
        for (i, part) in content.iter().enumerate() {
            let marker = format!("marker-{c}-{i}-");
            let text = if PARTS[*part].name == "r:class" || PARTS[*part].name == "r:status-icon" {
                marker.clone()
            } else {
                format!("<r:note>{marker}</r:note>")
            };
            inside.push_str(&format!("<{0}>{text}</{0}>", PARTS[*part].name));
            markers.push((
                marker,
                visible
                    && PARTS[*part]
                        .grant
                        .is_some_and(|grant| granted.contains(&grant)),
            ));
        }
        let urn = format!("<d:deviceID>urn:x:{c}</d:deviceID>");
        match sort {
            0 => parts[0].push_str(&format!(
                "<tuple id='c{c}'><status><x:s>marker-{c}-s-</x:s></status>{inside}</tuple>"
            )),
            1 => parts[1].push_str(&format!("<d:person id='c{c}'>{inside}</d:person>")),
            _ => parts[1].push_str(&format!("<d:device id='c{c}'>{inside}{urn}</d:device>")),
        }
        markers.push((format!("marker-{c}-s-"), false));
    }
    let document = format!(
        "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:d='urn:ietf:params:xml:ns:pidf:data-model' \
         xmlns:r='urn:ietf:params:xml:ns:pidf:rpid' xmlns:op='urn:oma:xml:prs:pidf:oma-pres' xmlns:x='urn:x' \
         entity='sip:a@b'>{}{}<x:top>marker-top</x:top></presence>",
        parts[0], parts[1]
    );
    markers.push(("marker-top".into(), false));
    (document, markers)
}

proptest! {
    #[test]
    fn exactly_what_is_granted_appears(components in components_at_random(), (permissions, granted) in permissions_at_random()) {
        let (body, markers) = document(&components, &permissions, &granted);
        let shown = shown(&body, &permissions);
        for (marker, expected) in markers {
            prop_assert_eq!(shown.contains(&marker), expected, "{} of {} in {}", marker, body, shown);
        }
    }

    #[test]
    fn filtering_again_changes_nothing(components in components_at_random(), (permissions, granted) in permissions_at_random()) {
        let (body, _) = document(&components, &permissions, &granted);
        let once = shown(&body, &permissions);
        prop_assert_eq!(shown(&once, &permissions), once);
    }
}

/// An id tells nothing of a source that is hidden: what it shares with one changes nothing that is shown.
#[test]
fn an_id_gives_way_only_to_one_that_is_shown_too() {
    let service = |class: &str, contact: &str| {
        let body = format!(
            "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:r='urn:ietf:params:xml:ns:pidf:rpid' \
             entity='sip:bob@home1.test'><tuple id='t1'><status><basic>open</basic></status>\
             <r:class>{class}</r:class><r:user-input id='u1'>idle</r:user-input>\
             <contact>{contact}</contact></tuple></presence>"
        );
        parse(body.as_bytes(), &Limits::default()).expect("valid")
    };
    let contributions = [
        service("home", "sip:bob@home.test"),
        service("work", "sip:bob@work.test"),
        service("work", "tel:+12015550123"),
    ];
    let document = |sources: &[usize], classes: &[&str]| {
        let sources = sources.iter().map(|index| Source {
            contribution: &contributions[*index],
            at: Timestamp(0),
            order: *index as u64,
            mark: 0xa0 + *index as u64,
        });
        let composed = compose(&sources.collect::<Vec<_>>(), None, &Policy::default());
        let classes: Vec<Member> = classes.iter().map(|c| Member::Class((*c).into())).collect();
        let mut permissions = Permissions::all();
        permissions.services = set(&classes);
        let shown = view(&composed, &permissions, "sip:bob@home1.test").into_bytes();
        String::from_utf8(shown.to_vec()).expect("UTF-8")
    };
    assert_eq!(document(&[0, 1], &["work"]), document(&[1], &["work"]));
    assert_eq!(
        document(&[0, 1, 2], &["work"]),
        document(&[1, 2], &["work"])
    );
    let all = document(&[0, 1, 2], &["home", "work"]);
    for id in ["t1", "t1-a1", "t1-a2", "u1", "u1-a1", "u1-a2"] {
        assert_eq!(
            all.matches(&format!("id=\"{id}\"")).count()
                + all.matches(&format!("id='{id}'")).count(),
            1,
            "{id}: {all}"
        );
    }
}
