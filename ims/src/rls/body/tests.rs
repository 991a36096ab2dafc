use super::*;
use crate::event::subscription::End;
use crate::sip::header::media_type::MediaType;
use crate::xml::schema::{Schema, Unknown};
use crate::xml::schemas::RLMI;

const LIST: &str = "sip:friends@lists.ims.test;pres-list=rcs";

fn pidf(text: &str) -> Content {
    Content {
        media_type: "application/pidf+xml".into(),
        bytes: Bytes::copy_from_slice(text.as_bytes()),
    }
}

fn name(lang: Option<&str>, text: &str) -> Name {
    Name {
        lang: lang.map(Into::into),
        text: text.into(),
    }
}

/// Fields of a part and its bytes, and whether RLMI in it is valid.
fn parts(body: &Body) -> Vec<(String, String, String)> {
    let media = MediaType::parse(&body.content_type).unwrap();
    let parts = multipart::parse(&media, &body.bytes, 1000).unwrap();
    assert_eq!(multipart::root(&media, &parts), Ok(0));
    let schema = Schema::load(&RLMI).unwrap();
    let text = |part: &multipart::Part<'_>| {
        assert!(part.is_plain());
        let text = String::from_utf8(part.body.to_vec()).unwrap();
        if part.field("Content-Type") == Some(rlmi::MEDIA_TYPE) {
            let tree = roxmltree::Document::parse(&text).unwrap();
            let verdict = schema.validate(&tree, Unknown::RefusedInKnownNamespaces);
            assert!(verdict.is_ok(), "{verdict:?} {text}");
        }
        let id = part.id().unwrap().to_owned();
        (id, part.field("Content-Type").unwrap().to_owned(), text)
    };
    parts.iter().map(text).collect()
}

#[test]
fn a_body_reads_as_in_the_standard() {
    let mut level = Level::new(LIST, 7, true, &[name(Some("fr"), "Amis")], 0xabc);
    level.resource("sip:bob@ims.test", &[name(None, "Bob <B> & Co")]);
    level.instance("1", State::Active, Some(&pidf("<presence/>")));
    level.resource("sip:dave@ims.test", &[]);
    level.instance("2", State::Terminated(End::Rejected), None);
    level.resource("sip:ed@ims.test", &[]);
    level.instance("3", State::Pending, None);
    level.resource("sip:new@ims.test", &[]);
    let body = level.finish();
    assert_eq!(
        &*body.content_type,
        "multipart/related;type=\"application/rlmi+xml\";start=\"<0000000000000abc.0@lists.ims.test>\";\
         boundary=part-0000000000000abc"
    );
    let parts = parts(&body);
    assert_eq!(
        parts[0].2,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <list xmlns=\"urn:ietf:params:xml:ns:rlmi\" uri=\"sip:friends@lists.ims.test;pres-list=rcs\" version=\"7\" \
         fullState=\"true\"><name xml:lang=\"fr\">Amis</name>\
         <resource uri=\"sip:bob@ims.test\"><name>Bob &lt;B&gt; &amp; Co</name>\
         <instance id=\"1\" state=\"active\" cid=\"0000000000000abc.1@lists.ims.test\"/></resource>\
         <resource uri=\"sip:dave@ims.test\"><instance id=\"2\" state=\"terminated\" reason=\"rejected\"/></resource>\
         <resource uri=\"sip:ed@ims.test\"><instance id=\"3\" state=\"pending\"/></resource>\
         <resource uri=\"sip:new@ims.test\"></resource></list>"
    );
    assert_eq!(parts[1].0, "0000000000000abc.1@lists.ims.test");
    assert_eq!(parts[1].1, "application/pidf+xml");
    assert_eq!(parts[1].2, "<presence/>");
    assert_eq!(parts.len(), 2);
}

#[test]
fn every_state_is_one_of_three_and_a_terminated_one_has_a_reason() {
    let retry_after = crate::time::Seconds(9);
    for (state, written) in [
        (State::Pending, ("pending", None)),
        (State::Active, ("active", None)),
        (State::Waiting, ("terminated", Some("timeout"))),
        (
            State::Terminated(End::NoResource),
            ("terminated", Some("noresource")),
        ),
        (
            State::Terminated(End::GaveUp),
            ("terminated", Some("giveup")),
        ),
        (
            State::Terminated(End::Probation { retry_after }),
            ("terminated", Some("probation")),
        ),
        (
            State::Terminated(End::Unreachable),
            ("terminated", Some("deactivated")),
        ),
        (
            State::Terminated(End::Approved),
            ("terminated", Some("deactivated")),
        ),
    ] {
        assert_eq!(rlmi::state_of(state), written, "{state:?}");
    }
}

#[test]
fn an_active_instance_without_state_is_left_out_as_is_one_of_no_resource() {
    let mut level = Level::new(LIST, 0, true, &[], 1);
    level.instance("stray", State::Pending, None);
    level.resource("sip:bob@ims.test", &[]);
    level.instance("1", State::Active, None);
    let body = level.finish();
    assert!(!parts(&body)[0].2.contains("instance"));
}

#[test]
fn a_list_within_the_list_is_a_part_with_content_ids_of_its_own() {
    let mut level = Level::new(LIST, 3, true, &[], 5);
    level.resource("sip:bob@ims.test", &[]);
    level.instance("1", State::Active, Some(&pidf("<a/>")));
    level.resource("sip:team@ims.test", &[]);
    let mut inner = level.inside("sip:team@ims.test", 0, false, &[]);
    inner.resource("sip:eve@ims.test", &[]);
    let mut innermost = inner.inside("sip:deep@ims.test", 9, true, &[]);
    innermost.resource("sip:fay@ims.test", &[]);
    innermost.instance("1", State::Active, Some(&pidf("<c/>")));
    inner.list("7", State::Active, innermost);
    level.list("2", State::Active, inner);
    level.resource("sip:zoe@ims.test", &[]);
    level.instance("1", State::Active, Some(&pidf("<d/>")));
    let body = level.finish();
    let outer = parts(&body);
    let types: Vec<&str> = outer
        .iter()
        .map(|p| p.1.split(';').next().unwrap())
        .collect();
    assert_eq!(
        types,
        [
            rlmi::MEDIA_TYPE,
            "application/pidf+xml",
            MEDIA_TYPE,
            "application/pidf+xml"
        ]
    );
    let nested = |part: &(String, String, String)| {
        parts(&Body {
            content_type: part.1.clone().into(),
            bytes: part.2.clone().into(),
            coding: None,
        })
    };
    let inner = nested(&outer[2]);
    let innermost = nested(&inner[1]);
    assert_eq!(innermost[1].2, "<c/>");
    let mut ids: Vec<&str> = [&outer, &inner, &innermost]
        .iter()
        .flat_map(|level| level.iter().map(|part| part.0.as_str()))
        .collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "{ids:?}");
    assert_eq!(all, 8);
}

#[test]
fn no_part_can_end_the_body_nor_can_a_name_end_the_document() {
    let evil = "x\r\n--part-0000000000000001--\r\n\r\n--part-0000000000000001\r\n";
    let mut level = Level::new(
        "sip:o'neil&co@b_c",
        0,
        true,
        &[name(Some("\"/>"), "</list>\u{0}")],
        1,
    );
    level.resource("sip:bob@ims.test", &[]);
    level.instance("<1>", State::Active, Some(&pidf(evil)));
    let body = level.finish();
    let parts = parts(&body);
    assert_eq!(parts.len(), 2);
    assert_eq!(parts[1].2, evil);
    assert!(parts[1].0.ends_with("@rls.invalid"), "{}", parts[1].0);
}

#[test]
fn a_coding_is_of_the_whole_body_and_only_where_it_helps() {
    let mut level = Level::new(LIST, 0, true, &[], 1);
    level.resource("sip:bob@ims.test", &[]);
    level.instance("1", State::Active, Some(&pidf(&"<tuple/>".repeat(100))));
    let plain = level.finish();
    let coded = plain.clone().coded(Coding::Gzip);
    assert_eq!(coded.coding, Some(Coding::Gzip));
    assert_eq!(coded.content_type, plain.content_type);
    assert_eq!(
        Coding::Gzip.decode(&coded.bytes, 1 << 20).unwrap(),
        plain.bytes
    );
    let short = Body {
        content_type: "a/b".into(),
        bytes: Bytes::from_static(b"x"),
        coding: None,
    };
    assert_eq!(short.clone().coded(Coding::Deflate), short);
}
