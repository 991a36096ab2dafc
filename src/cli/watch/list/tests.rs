use super::*;
use crate::ua::subscription::Phase as Whole;
use ims::event::onlooker::Content;
use ims::event::subscription::{End, State};
use ims::rls::body::{Body, Level};
use ims::time::Seconds;

const PIDF: &str = "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:bob@x\"><tuple id=\"t1\">\
    <status><basic>open</basic></status></tuple></presence>";

fn name(text: &str) -> Vec<Name> {
    vec![Name {
        lang: None,
        text: text.into(),
    }]
}

fn notice(body: Body) -> Notice {
    Notice {
        state: Whole::Active,
        expires: Some(Seconds(60)),
        reason: None,
        retry_after: None,
        content_type: Some(body.content_type.into()),
        body: body.bytes,
    }
}

fn pidf() -> Content {
    Content {
        media_type: "application/pidf+xml".into(),
        bytes: PIDF.into(),
    }
}

fn first() -> Notice {
    let mut level = Level::new("sip:l@x;pres-list=rcs", 0, true, &name("Friends"), 1);
    level.resource("sip:bob@x", &name("Bob\nB"));
    level.instance("1", State::Active, Some(&pidf()));
    level.resource("sip:carol@x", &[]);
    level.instance("1", State::Pending, None);
    level.resource("sip:dave@x", &[]);
    level.resource("sip:team@x", &[]);
    let mut inner = level.inside("sip:team@x", 0, true, &[]);
    inner.resource("sip:eve@x", &[]);
    inner.instance("1", State::Terminated(End::Rejected), None);
    level.list("1", State::Active, inner);
    notice(level.finish())
}

fn news(watched: &mut Watched, notice: &Notice) -> Vec<Box<str>> {
    match watched.take(notice) {
        News::Of(changed) => changed,
        other => panic!("{other:?}"),
    }
}

#[test]
fn people_see_each_member_and_then_those_that_change() {
    let mut watched = Watched::default();
    let first = first();
    let changed = news(&mut watched, &first);
    assert_eq!(
        watched.text(Timestamp(0), &first, false, &changed),
        "00:00:00 sip:l@x;pres-list=rcs active, 60 s left; 4 members of Friends\n  Bob B <sip:bob@x>: active\n    \
         service t1: open\n  sip:carol@x: pending (waits for a decision)\n  sip:dave@x: not known yet\n  \
         sip:team@x: list\n    sip:eve@x: terminated (rejected)"
    );
    let mut level = Level::new("sip:l@x;pres-list=rcs", 1, false, &[], 2);
    level.resource("sip:carol@x", &[]);
    level.instance("1", State::Active, Some(&pidf()));
    let second = notice(level.finish());
    let changed = news(&mut watched, &second);
    assert_eq!(
        watched.text(Timestamp(0), &second, false, &changed),
        "00:00:00 sip:l@x;pres-list=rcs active, 60 s left; 4 members of Friends\n  sip:carol@x: active\n    service t1: open"
    );
    assert!(!watched.misses);
    assert_eq!(watched.take(&second), News::Stale);
}

#[test]
fn a_script_gets_all_that_is_known() {
    let mut watched = Watched::default();
    let first = first();
    let changed = news(&mut watched, &first);
    let line = watched.json(Timestamp(0), &first, &changed[..1]);
    assert!(!line.contains('\n'), "{line}");
    let object: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(object["list"], "sip:l@x;pres-list=rcs");
    assert_eq!(object["version"], 0);
    assert_eq!(object["changed"], json!(["sip:bob@x"]));
    assert_eq!(object["members"][0]["names"], json!(["Bob\nB"]));
    let bob = &object["members"][0]["instances"][0];
    assert_eq!(bob["presence"]["services"][0]["basic"], "open");
    assert_eq!(object["members"][1]["instances"][0]["state"], "pending");
    let eve = &object["members"][3]["instances"][0]["members"][0];
    assert_eq!(eve["instances"][0]["reason"], "rejected");
}

#[test]
fn what_is_lost_is_noticed_and_what_is_no_list_is_left_alone() {
    let mut watched = Watched::default();
    news(&mut watched, &first());
    let level = Level::new("sip:l@x;pres-list=rcs", 2, false, &[], 2);
    assert!(news(&mut watched, &notice(level.finish())).is_empty());
    assert!(watched.misses);
    let mut plain = first();
    plain.content_type = Some("application/pidf+xml".into());
    assert_eq!(watched.take(&plain), News::None);
    plain.content_type = first().content_type;
    plain.body = "--".into();
    assert!(matches!(watched.take(&plain), News::Unreadable(_)));
}

#[test]
fn members_become_a_list() {
    let members = ["sip:bob@x", "tel:+12015550001"].map(|text| Aor::parse(text).unwrap());
    let list = contained(&members);
    assert!(
        list.ends_with("<list><entry uri=\"sip:bob@x\"/><entry uri=\"tel:+12015550001\"/></list></resource-lists>"),
        "{list}"
    );
}
