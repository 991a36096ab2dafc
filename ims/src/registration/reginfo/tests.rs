//! Registration information: the reader, the version rules, and both under random input.

use super::*;
use proptest::prelude::*;

const BOB: &str = "sip:bob@ims.test";

fn document(version: &str, state: &str, inside: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n<reginfo xmlns=\"{NAMESPACE}\" version=\"{version}\" state=\"{state}\">{inside}</reginfo>"
    )
}

fn parse(text: &str) -> Result<Document, ReginfoError> {
    Document::parse(text.as_bytes())
}

/// A registration with contacts: id and state of each.
fn bob(state: &str, contacts: &[(&str, &str)]) -> String {
    let contacts: String = contacts
        .iter()
        .map(|(id, state)| {
            format!("<contact id=\"{id}\" state=\"{state}\" event=\"registered\" expires=\"60\"><uri>sip:x@y</uri></contact>")
        })
        .collect();
    format!("<registration aor=\"{BOB}\" id=\"r1\" state=\"{state}\">{contacts}</registration>")
}

#[test]
fn what_kamailio_writes_is_read() {
    let text = "<?xml version=\"1.0\"?>\n<reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"3\" state=\"full\">\n\
        \t<registration aor=\"sip:alice@ims.test\" id=\"0x7f270c057880\" state=\"active\">\n\
        \t\t<contact id=\"0x1\" state=\"terminated\" event=\"expired\" expires=\"0\" q=\"0.000\">\n\
        \t\t\t<uri>sip:alice@127.0.0.1:33585</uri>\n\t\t</contact>\n\
        \t\t<contact id=\"0x7f270c057cd0\" state=\"active\" event=\"registered\" expires=\"496\" q=\"0.000\">\n\
        \t\t\t<uri>sip:alice@127.0.0.1:45344</uri>\n\t\t</contact>\n\t</registration>\n\
        \t<registration aor=\"tel:+36105550001\" id=\"0x7f270c058668\" state=\"terminated\">\n\t</registration>\n</reginfo>\n";
    let read = parse(text).unwrap();
    assert_eq!((read.version, read.full), (3, true));
    let [alice, tel] = read.registrations.as_slice() else {
        panic!("{read:?}")
    };
    assert_eq!(
        (alice.aor.as_str(), alice.state),
        ("sip:alice@ims.test", State::Active)
    );
    assert_eq!(alice.contacts.len(), 2);
    assert_eq!(alice.contacts[1].expires, Some(Seconds(496)));
    assert_eq!(
        (tel.aor.as_str(), tel.state),
        ("tel:+36105550001", State::Terminated)
    );
}

#[test]
fn what_is_unknown_is_passed_over_and_every_event_has_its_name() {
    // RFC 5628 §5: GRUUs beside the URI; RFC 3680 §5.1: display-name and unknown-param
    let inside = "<registration aor=\" SIP:bob@IMS.test \" id=\"a\" state=\"active\" x=\"y\">\
        <contact id=\"1\" state=\"active\" event=\"created\" duration-registered=\"7\" q=\"0.8\" callid=\"c\" cseq=\"9\">\
        <uri>sip:bob@pc</uri><display-name xml:lang=\"en\">B</display-name><unknown-param name=\"+sip.instance\">\
        \"&lt;urn:uuid:1&gt;\"</unknown-param><gr:pub-gruu xmlns:gr=\"urn:ietf:params:xml:ns:gruuinfo\" uri=\"sip:b;gr=1\"/>\
        </contact></registration><registration aor=\"im:bob@ims.test\" id=\"b\" state=\"init\"/><other xmlns=\"urn:x\"/>";
    let read = parse(&document("0", "partial", inside)).unwrap();
    assert_eq!(read.registrations.len(), 1, "im: is no address of ours");
    assert_eq!(read.registrations[0].aor.as_str(), BOB);
    for event in [
        "registered",
        "created",
        "refreshed",
        "shortened",
        "expired",
        "deactivated",
        "probation",
        "unregistered",
        "rejected",
    ] {
        let inside = format!(
            "<registration aor=\"{BOB}\" id=\"a\" state=\"active\"><contact id=\"1\" state=\"active\" event=\"{event}\" \
             expires=\"5\" retry-after=\"6\"><uri>sip:x</uri></contact></registration>"
        );
        assert!(parse(&document("1", "full", &inside)).is_ok(), "{event}");
    }
}

#[test]
fn what_is_wrong_is_refused() {
    let contact = |attributes: &str| {
        let inside = format!(
            "<registration aor=\"{BOB}\" id=\"a\" state=\"active\"><contact {attributes}><uri>sip:x</uri></contact></registration>"
        );
        document("1", "full", &inside)
    };
    let attribute = |name| Some(ReginfoError::Attribute(name));
    for (case, text, error) in [
        (
            "another root",
            "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\"/>".into(),
            Some(ReginfoError::NotReginfo),
        ),
        (
            "no namespace",
            "<reginfo version=\"1\" state=\"full\"/>".into(),
            Some(ReginfoError::NotReginfo),
        ),
        (
            "no version",
            format!("<reginfo xmlns=\"{NAMESPACE}\" state=\"full\"/>"),
            attribute("version"),
        ),
        (
            "a negative version",
            document("-1", "full", ""),
            attribute("version"),
        ),
        (
            "a version of 33 bits",
            document("4294967296", "full", ""),
            attribute("version"),
        ),
        (
            "a version that is no number",
            document("", "full", ""),
            attribute("version"),
        ),
        (
            "an unknown state",
            document("1", "whole", ""),
            attribute("state"),
        ),
        (
            "a registration of nobody",
            document("1", "full", "<registration id=\"a\" state=\"active\"/>"),
            attribute("aor"),
        ),
        (
            "without id",
            document(
                "1",
                "full",
                "<registration aor=\"sip:a@b\" state=\"active\"/>",
            ),
            attribute("id"),
        ),
        (
            "in a state that is none",
            document(
                "1",
                "full",
                "<registration aor=\"sip:a@b\" id=\"a\" state=\"on\"/>",
            ),
            attribute("state"),
        ),
        (
            "a contact without event",
            contact("id=\"1\" state=\"active\""),
            attribute("event"),
        ),
        (
            "shortened to what",
            contact("id=\"1\" state=\"active\" event=\"shortened\""),
            attribute("expires"),
        ),
        (
            "probation until when",
            contact("id=\"1\" state=\"terminated\" event=\"probation\""),
            attribute("retry-after"),
        ),
        (
            "an expiry in words",
            contact("id=\"1\" state=\"active\" event=\"created\" expires=\"soon\""),
            attribute("expires"),
        ),
        (
            "too long an id",
            contact(&format!(
                "id=\"{}\" state=\"active\" event=\"created\"",
                "i".repeat(129)
            )),
            attribute("id"),
        ),
        (
            "too many registrations",
            document("1", "full", &bob("active", &[]).repeat(33)),
            Some(ReginfoError::TooMany),
        ),
        (
            "too many contacts",
            document("1", "full", &bob("active", &[("c", "active"); 17])),
            Some(ReginfoError::TooMany),
        ),
    ] {
        assert_eq!(parse(&text).err(), error, "{case}");
    }
    for (case, text) in [
        (
            "an entity",
            "<!DOCTYPE r [<!ENTITY a \"b\">]><r>&a;</r>".to_owned(),
        ),
        (
            "not closed",
            format!("<reginfo xmlns=\"{NAMESPACE}\" version=\"1\" state=\"full\">"),
        ),
        ("deep", format!("{}{}", "<a>".repeat(17), "</a>".repeat(17))),
        ("long", document("1", "full", &" ".repeat(129 * 1024))),
        ("nothing", String::new()),
    ] {
        assert!(
            matches!(parse(&text), Err(ReginfoError::Refused(_))),
            "{case}"
        );
    }
    let long = contact("id=\"1\" state=\"active\" event=\"created\" expires=\"99999999999\"");
    let read = parse(&long).unwrap();
    assert_eq!(
        read.registrations[0].contacts[0].expires,
        Some(Seconds(u32::MAX))
    );
}

/// Gives the tables documents: version, full or partial, state, contacts.
fn take(tables: &mut Tables, version: u32, state: &str, inside: &str) -> Taken {
    let document = parse(&document(&version.to_string(), state, inside)).unwrap();
    tables.take(Timestamp(1_000), &document)
}

#[test]
fn versions_may_start_anywhere_and_then_count() {
    let mut tables = Tables::default();
    let active = bob("active", &[("c1", "active")]);
    assert_eq!(take(&mut tables, 7, "full", &active), Taken::InOrder);
    assert_eq!(
        take(
            &mut tables,
            8,
            "partial",
            &bob("active", &[("c2", "active")])
        ),
        Taken::InOrder
    );
    assert_eq!(tables.rows()[0].contacts(), 2);
    let old = bob("terminated", &[]);
    for version in [8, 7, 0] {
        assert_eq!(
            take(&mut tables, version, "full", &old),
            Taken::Older,
            "{version}"
        );
    }
    assert_eq!(tables.is_active(&Aor::parse(BOB).unwrap()), Some(true));
    let gap = bob("active", &[("c1", "terminated")]);
    assert_eq!(
        take(&mut tables, 10, "partial", &gap),
        Taken::Gap,
        "processed all the same"
    );
    assert_eq!(tables.rows()[0].contacts(), 1);
    assert_eq!(
        take(&mut tables, 20, "full", &active),
        Taken::InOrder,
        "full state needs no other"
    );
    assert_eq!(
        take(&mut Tables::default(), 3, "partial", &active),
        Taken::Gap
    );
    assert_eq!(take(&mut tables, u32::MAX, "full", &active), Taken::InOrder);
    assert_eq!(
        take(&mut tables, 0, "full", &active),
        Taken::Older,
        "no wrapping"
    );
}

#[test]
fn full_state_replaces_and_partial_state_updates() {
    let mut tables = Tables::default();
    let other = "<registration aor=\"tel:+361\" id=\"r2\" state=\"active\"/>";
    take(
        &mut tables,
        1,
        "full",
        &format!("{}{other}", bob("active", &[("c1", "active")])),
    );
    take(
        &mut tables,
        2,
        "partial",
        &bob("terminated", &[("c1", "terminated")]),
    );
    let (bob_, tel) = (Aor::parse(BOB).unwrap(), Aor::parse("tel:+361").unwrap());
    assert_eq!(
        (tables.is_active(&bob_), tables.is_active(&tel)),
        (Some(false), Some(true))
    );
    assert!(tables.any_active());
    take(&mut tables, 3, "full", &bob("init", &[]));
    assert_eq!(
        (tables.is_active(&bob_), tables.is_active(&tel)),
        (Some(false), None)
    );
    assert!(!tables.any_active());
}

#[test]
fn the_end_of_a_registration_is_that_of_its_last_contact() {
    let mut tables = Tables::default();
    take(
        &mut tables,
        1,
        "full",
        &bob("active", &[("a", "active"), ("b", "active")]),
    );
    assert_eq!(tables.rows()[0].expires_at(), Some(Timestamp(61_000)));
    take(&mut tables, 2, "full", &bob("active", &[]));
    assert_eq!(tables.rows()[0].expires_at(), None);
}

fn documents() -> impl Strategy<Value = Document> {
    let contact = ("[a-d]", any::<bool>(), proptest::option::of(0u32..100_000)).prop_map(
        |(id, active, expires)| Contact {
            id: id.into(),
            active,
            event: Event::Registered,
            expires: expires.map(Seconds),
        },
    );
    let states = prop_oneof![
        Just(State::Init),
        Just(State::Active),
        Just(State::Terminated)
    ];
    let registration = (
        "[a-z]{1,2}",
        "[r-z]",
        states,
        prop::collection::vec(contact, 0..20),
    )
        .prop_map(|(user, id, state, contacts)| Registration {
            aor: Aor::parse(&format!("sip:{user}@ims.test")).unwrap(),
            id: id.into(),
            state,
            contacts,
        });
    let registrations = prop::collection::vec(registration, 0..40);
    (0u32..8, any::<bool>(), registrations).prop_map(|(version, full, registrations)| Document {
        version,
        full,
        registrations,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_tables_stay_bounded_and_their_version_never_falls(all in prop::collection::vec(documents(), 0..12)) {
        let mut tables = Tables::default();
        for document in all {
            let before = tables.clone();
            match tables.take(Timestamp(5), &document) {
                Taken::Older => prop_assert_eq!(&tables, &before),
                Taken::InOrder | Taken::Gap => prop_assert!(tables.version > before.version),
            }
            prop_assert!(tables.rows.len() <= MOST_REGISTRATIONS);
            for row in &tables.rows {
                prop_assert!(row.contacts.len() <= MOST_CONTACTS);
                prop_assert!(row.state == State::Active || row.contacts.is_empty());
            }
        }
    }

    #[test]
    fn a_full_document_alone_gives_the_same_tables_as_after_others(first in documents(), mut last in documents()) {
        last.full = true;
        let mut after = Tables::default();
        after.take(Timestamp(5), &first);
        let mut alone = Tables::default();
        alone.take(Timestamp(5), &last);
        if after.take(Timestamp(5), &last) == Taken::InOrder {
            prop_assert_eq!(after, alone);
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..400) {
        let _ = Document::parse(&bytes);
        let text = document("1", "full", &bob("active", &[("c", "active")]));
        let mut bent = text.into_bytes();
        let at = cut % bent.len();
        bent[at] ^= bytes.first().copied().unwrap_or(1);
        let _ = Document::parse(&bent);
        bent.truncate(at);
        let refused = Document::parse(&bent).is_err();
        prop_assert!(refused);
    }
}
