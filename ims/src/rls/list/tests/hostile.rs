//! Lists that are made to cost: each limit holds, and what is left is served.

use super::*;

fn entries(range: std::ops::Range<usize>) -> String {
    let entry = |n| format!("<entry uri=\"sip:u{n}@x.test\"/>");
    range.map(entry).collect()
}

#[test]
fn each_limit_holds_at_its_boundary() {
    let base = Limits {
        members: 3,
        listed: 5,
        lists: 2,
        depth: 3,
        references: 2,
        ..Limits::default()
    };
    let list = |members: &str| format!("<list name=\"l\">{members}</list>");
    let refer = |n: usize| "<entry-ref ref='b#m>1'/>".repeat(n);
    for (case, members, expected) in [
        ("as many members as may be", entries(0..3), "u0 u1 u2"),
        (
            "one more is listed",
            entries(0..4),
            "u0 u1 u2 u3+ | more members than are subscribed to",
        ),
        (
            "and more are not even listed",
            entries(0..7),
            "u0 u1 u2 u3+ u4+ | more members than are subscribed to, more members than are told of",
        ),
        (
            "as many lists as may be",
            "<list/>".repeat(2) + &entries(0..1),
            "u0",
        ),
        (
            "one list more",
            format!(
                "<list/><list/><list>{}</list>{}",
                entries(5..6),
                entries(0..1)
            ),
            "u0 | more lists than are read",
        ),
        (
            "as deep as may be",
            format!("<list><list>{}</list></list>", entries(0..1)),
            "u0",
        ),
        ("as many references as may be", refer(2), "v"),
        (
            "one reference more",
            refer(3) + &entries(0..1),
            "v u0 | more references than are followed",
        ),
    ] {
        let places = Places::default()
            .with("a", &list(&members))
            .with("b", "<list name='m'><entry uri='sip:v@x.test'/></list>");
        assert_eq!(told(&places.read("a#l", &base)), expected, "{case}");
    }
    let deeper = Limits { lists: 9, ..base };
    let deep = format!("<list><list><list>{}</list></list></list>", entries(0..1));
    let places = Places::default().with("a", &list(&deep));
    assert_eq!(
        told(&places.read("a#l", &deeper)),
        " | lists are nested too deeply"
    );
}

#[test]
fn documents_count_together() {
    let places = Places::default()
        .with("a", "<list name='l'><external anchor='b#l'/><external anchor='b#m'/><external anchor='c#l'/><entry uri='sip:z@x.test'/></list>")
        .with("b", &format!("<list name='l'>{}</list><list name='m'>{}</list>", entries(0..1), entries(1..2)))
        .with("c", &format!("<list name='l'>{}</list>", entries(2..3)));
    let bytes: Vec<usize> = places.sheets.iter().map(|(_, s)| s.bytes()).collect();
    let limits = |bytes| Limits {
        bytes,
        ..Limits::default()
    };
    let all = bytes.iter().sum();
    assert_eq!(told(&places.read("a#l", &limits(all))), "u0 u1 u2 z");
    assert_eq!(
        told(&places.read("a#l", &limits(all - 1))),
        "u0 u1 z | more documents than are read"
    );
}

#[test]
fn a_chain_and_a_ring_of_lists_end() {
    let mut places = Places::default();
    for n in 0..100 {
        let lists = format!(
            "<list name='l'>{}<external anchor='d{}#l'/></list>",
            entries(n..n + 1),
            (n + 1) % 100
        );
        places = places.with(&format!("d{n}"), &lists);
    }
    let limits = Limits {
        depth: 32,
        ..Limits::default()
    };
    let listed = places.read("d0#l", &limits);
    assert_eq!(listed.list.unwrap().resources.len(), 32);
    assert_eq!(&*listed.faults[0], "lists are nested too deeply");
}

#[test]
fn many_lists_that_all_name_one_another_are_each_read_once() {
    let mut places = Places::default();
    for n in 0..30 {
        let others: String = (0..30)
            .map(|other| format!("<external anchor='d{other}#l'/>"))
            .collect();
        let lists = format!("<list name='l'>{others}{}</list>", entries(n..n + 1));
        places = places.with(&format!("d{n}"), &lists);
    }
    let limits = Limits {
        depth: 32,
        references: 2_000,
        lists: 1_000,
        ..Limits::default()
    };
    let listed = places.read("d0#l", &limits);
    assert_eq!(listed.list.unwrap().resources.len(), 30);
    assert!(!listed.stalled);
}

#[test]
fn ten_thousand_members_of_which_many_are_the_same_stay_in_order() {
    let all = entries(0..10_000) + &entries(0..10_000);
    let places = Places::default().with("a", &format!("<list name='l'>{all}</list>"));
    let limits = Limits {
        members: 10_000,
        ..Limits::default()
    };
    let listed = places.read("a#l", &limits);
    let list = listed.list.unwrap();
    assert_eq!(list.resources.len(), 10_000);
    assert!(
        list.resources
            .iter()
            .enumerate()
            .all(|(n, r)| *r.uri == format!("sip:u{n}@x.test"))
    );
    assert_eq!(listed.faults.len(), 0);
}

#[test]
fn a_member_of_any_length_is_told_or_dropped() {
    let uri = |length: usize| format!("<entry uri=\"sip:{}@x\"/>", "a".repeat(length - 6));
    let places = Places::default().with(
        "a",
        &format!("<list name='l'>{}{}</list>", uri(1024), uri(1025)),
    );
    let listed = places.read("a#l", &Limits::default());
    assert_eq!(listed.list.unwrap().resources.len(), 1);
    assert_eq!(listed.faults.len(), 1);
}

#[test]
fn what_is_no_document_of_lists_is_none() {
    for (case, text) in [
        ("nothing", String::new()),
        ("no XML", "<resource-lists".to_owned()),
        (
            "another namespace",
            "<resource-lists xmlns='urn:x'/>".into(),
        ),
        (
            "another document",
            "<x xmlns='urn:ietf:params:xml:ns:resource-lists'/>".into(),
        ),
        ("nested too deeply", document(&"<list>".repeat(70))),
        (
            "nested too deeply, and well-formed",
            document(&("<list>".repeat(70) + &"</list>".repeat(70))),
        ),
        ("too long", document(&" ".repeat(1_000))),
    ] {
        assert_eq!(Sheet::read(text.as_bytes(), 1_000), None, "{case}");
    }
    assert_eq!(Sheet::read(b"\xff\xfe<\0", 1_000), None);
}
