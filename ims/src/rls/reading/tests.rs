use super::*;
use crate::event::subscription::{End, State};
use crate::rls::body;
use proptest::prelude::*;

const RLMI: &str = "<list xmlns=\"urn:ietf:params:xml:ns:rlmi\" uri=\"sip:l@x\" version=\"3\" fullState=\"1\">\
    <resource uri=\"sip:a@x\"><instance id=\"i\" state=\"active\" cid=\"s@x\"/></resource></list>";
const TYPE: &str = "multipart/related;type=\"application/rlmi+xml\";start=\"<r@x>\";boundary=\"b\"";

fn written(rlmi: &str, head: &str, state: &str) -> Bytes {
    format!(
        "--b\r\nContent-Type: application/rlmi+xml\r\nContent-ID: <r@x>\r\n\r\n{rlmi}\r\n--b\r\n{head}\
         Content-ID: <s@x>\r\n\r\n{state}\r\n--b--\r\n"
    )
    .into()
}

fn outcome(content_type: &str, rlmi: &str, head: &str) -> Result<Option<Told>, Fault> {
    let limits = Limits::default();
    let level = read(content_type, &written(rlmi, head, "<s/>"), &limits)?;
    Ok(level.resources[0].instances[0].told.clone())
}

#[test]
fn a_body_is_read_or_refused_for_the_right_reason() {
    let pidf = "Content-Type: application/pidf+xml\r\n";
    let state = Some(Told::State(Content {
        media_type: "application/pidf+xml".into(),
        bytes: Bytes::from_static(b"<s/>"),
    }));
    let with = |from: &str, to: &str| {
        assert!(RLMI.contains(from), "{from}");
        RLMI.replace(from, to)
    };
    let encoded = format!("{pidf}Content-Transfer-Encoding: base64\r\n");
    for (case, rlmi, head, expected) in [
        ("whole", RLMI.to_owned(), pidf, Ok(state.clone())),
        (
            "cid in brackets",
            with("\"s@x\"", "\"&lt;s@x&gt;\""),
            pidf,
            Ok(state),
        ),
        ("cid of no part", with("s@x", "t@x"), pidf, Ok(None)),
        ("a part without type", RLMI.to_owned(), "", Ok(None)),
        ("a part in base64", RLMI.to_owned(), &encoded, Ok(None)),
        (
            "no version",
            with(" version=\"3\"", ""),
            pidf,
            Err(Fault::Attribute("version")),
        ),
        (
            "version below 0",
            with("\"3\"", "\"-1\""),
            pidf,
            Err(Fault::Attribute("version")),
        ),
        (
            "version above 2^32-1",
            with("\"3\"", "\"4294967296\""),
            pidf,
            Err(Fault::Attribute("version")),
        ),
        (
            "fullState",
            with("\"1\"", "\"yes\""),
            pidf,
            Err(Fault::Attribute("fullState")),
        ),
        (
            "no uri",
            with(" uri=\"sip:a@x\"", ""),
            pidf,
            Err(Fault::Attribute("uri")),
        ),
        (
            "no id",
            with(" id=\"i\"", ""),
            pidf,
            Err(Fault::Attribute("id")),
        ),
        (
            "state",
            with("active", "asleep"),
            pidf,
            Err(Fault::Attribute("state")),
        ),
        (
            "another namespace",
            with("ns:rlmi", "ns:other"),
            pidf,
            Err(Fault::Root),
        ),
    ] {
        assert_eq!(outcome(TYPE, &rlmi, head), expected, "{case}");
    }
    for (case, content_type, fault) in [
        ("no multipart", "application/rlmi+xml", Fault::Type),
        ("mixed", "multipart/mixed;boundary=\"b\"", Fault::Type),
        (
            "no boundary",
            "multipart/related",
            Fault::Parts(multipart::Fault::Boundary),
        ),
        (
            "another root",
            "multipart/related;start=\"<s@x>\";boundary=\"b\"",
            Fault::Root,
        ),
    ] {
        assert_eq!(outcome(content_type, RLMI, pidf), Err(fault), "{case}");
    }
    let bomb = "<!DOCTYPE list [<!ENTITY a \"a\">]><list/>";
    assert!(matches!(
        outcome(TYPE, bomb, pidf),
        Err(Fault::Document(Refusal::NotTaken(_)))
    ));
}

#[test]
fn lists_are_read_to_the_limit_of_their_nesting() {
    let nested = |levels: usize| {
        let mut inner = body::Level::new("sip:0@x", 0, true, &[], 0);
        for number in 1..levels {
            let mark = number as u64;
            let mut outer = body::Level::new(&format!("sip:{number}@x"), 0, true, &[], mark);
            outer.resource("sip:below@x", &[]);
            outer.list("1", State::Active, inner);
            inner = outer;
        }
        inner.finish()
    };
    let limits = Limits::default();
    for (levels, is_read) in [(1, true), (limits.levels, true), (limits.levels + 1, false)] {
        let body = nested(levels);
        let outcome = read(&body.content_type, &body.bytes, &limits);
        assert_eq!(outcome.is_ok(), is_read, "{levels}");
    }
    let few = Limits { parts: 1, ..limits };
    let body = nested(2);
    assert_eq!(
        read(&body.content_type, &body.bytes, &few),
        Err(Fault::Parts(multipart::Fault::TooMany))
    );
}

/// Four levels of a few hundred instances that all name one part would be read billions of times.
#[test]
fn a_list_that_many_instances_name_is_read_once() {
    let many = |body: body::Body, mark: u64| {
        let cid = format!("{mark:016x}.1@x");
        let instances: String = (0..300)
            .map(|n| format!("<instance id=\"{n}\" state=\"active\" cid=\"{cid}\"/>"))
            .collect();
        let rlmi = format!(
            "<list xmlns=\"urn:ietf:params:xml:ns:rlmi\" uri=\"sip:l@x\" version=\"0\" fullState=\"true\">\
             <resource uri=\"sip:a@x\">{instances}</resource></list>"
        );
        let id = format!("<{cid}>");
        let parts = [
            multipart::Outgoing {
                fields: vec![("Content-Type", rlmi::MEDIA_TYPE)],
                body: rlmi.as_bytes(),
            },
            multipart::Outgoing {
                fields: vec![("Content-Type", &body.content_type), ("Content-ID", &id)],
                body: &body.bytes,
            },
        ];
        let written = multipart::related(rlmi::MEDIA_TYPE, None, &parts, mark);
        body::Body {
            content_type: written.media_type.into(),
            bytes: written.bytes.into(),
            coding: None,
        }
    };
    let mut body = body::Level::new("sip:0@x", 0, true, &[], 0).finish();
    for mark in 1..4 {
        body = many(body, mark);
    }
    let level = read(&body.content_type, &body.bytes, &Limits::default()).unwrap();
    let instances = &level.resources[0].instances;
    assert_eq!(instances.len(), 300);
    assert_eq!(instances.iter().filter(|i| i.told.is_some()).count(), 1);
}

#[test]
fn a_list_is_known_by_the_type_of_its_root() {
    for (content_type, expected) in [
        (TYPE, true),
        ("Multipart/Related; type=Application/RLMI+xml", true),
        ("multipart/related;type=\"application/pidf+xml\"", false),
        ("multipart/related", false),
        ("application/rlmi+xml", false),
    ] {
        assert_eq!(is_list(content_type), expected, "{content_type}");
    }
}

fn any_name() -> impl Strategy<Value = Name> {
    let lang = proptest::option::of("[a-z]{2}(-[A-Z]{2})?");
    // text is written as it is, except for what no document can carry
    ("[ -~é€]{0,12}", lang).prop_map(|(text, lang)| Name {
        text: text.into(),
        lang: lang.map(Into::into),
    })
}

fn any_state() -> impl Strategy<Value = State> {
    prop_oneof![
        Just(State::Active),
        Just(State::Pending),
        Just(State::Terminated(End::Rejected)),
        Just(State::Terminated(End::NoResource)),
    ]
}

fn any_content() -> impl Strategy<Value = Option<Content>> {
    let bytes = prop_oneof![
        "[ -~\r\n]{0,40}",
        "(\r\n--part-0000000000000007(--|-1)?\r\n){1,3}"
    ];
    proptest::option::of(bytes.prop_map(|text: String| Content {
        media_type: "application/pidf+xml;charset=\"UTF-8\"".into(),
        bytes: text.into(),
    }))
}

type Member = (String, Vec<Name>, Vec<(State, Option<Content>)>);

fn any_member() -> impl Strategy<Value = Member> {
    (
        "sip:[a-z&'<>]{1,8}@x",
        prop::collection::vec(any_name(), 0..3),
        prop::collection::vec((any_state(), any_content()), 0..3),
    )
}

fn wrote(level: &mut body::Level, members: &[Member]) -> Vec<Resource> {
    let mut resources = Vec::new();
    for (uri, names, instances) in members {
        level.resource(uri, names);
        let mut expected = Vec::new();
        for (number, (state, content)) in instances.iter().enumerate() {
            let id = number.to_string();
            level.instance(&id, *state, content.as_ref());
            if *state == State::Active && content.is_none() {
                continue;
            }
            expected.push(Instance {
                id: id.into(),
                phase: match state {
                    State::Active => Phase::Active,
                    State::Pending => Phase::Pending,
                    State::Waiting | State::Terminated(_) => Phase::Terminated,
                },
                reason: rlmi::state_of(*state).1.map(Into::into),
                told: content.clone().map(Told::State),
            });
        }
        resources.push(Resource {
            uri: uri.as_str().into(),
            names: names.clone(),
            instances: expected,
        });
    }
    resources
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        (version, full) in (any::<u32>(), any::<bool>()),
        names in prop::collection::vec(any_name(), 0..3),
        members in prop::collection::vec(any_member(), 0..6),
        below in prop::collection::vec(any_member(), 0..4),
    ) {
        let mut outer = body::Level::new("sip:l@x;a=\"b\"", version, full, &names, 7);
        let mut resources = wrote(&mut outer, &members);
        outer.resource("sip:team@x", &[]);
        let mut inner = outer.inside("sip:team@x", 5, !full, &names);
        let inside = wrote(&mut inner, &below);
        outer.list("0", State::Active, inner);
        let inner = Level {
            uri: "sip:team@x".into(),
            version: 5,
            full: !full,
            names: names.clone(),
            resources: inside,
        };
        resources.push(Resource {
            uri: "sip:team@x".into(),
            names: Vec::new(),
            instances: vec![Instance {
                id: "0".into(),
                phase: Phase::Active,
                reason: None,
                told: Some(Told::List(Box::new(inner))),
            }],
        });
        let body = outer.finish();
        let level = read(&body.content_type, &body.bytes, &Limits::default());
        let expected = Level { uri: "sip:l@x;a=\"b\"".into(), version, full, names, resources };
        prop_assert_eq!(level, Ok(expected));
    }

    #[test]
    fn nothing_that_comes_stops_the_reader(head in ".{0,40}", inside in "[ -~\r\n]{0,200}") {
        let _ = read(&head, &inside.clone().into(), &Limits::default());
        let _ = read(TYPE, &written(&inside, &head, &inside), &Limits::default());
    }
}
