//! Elements and attributes that are watched (RFC 5875 §4.1, RFC 5874 §3).

use super::*;

/// URI of a part of Bob's document.
fn part(selector: &str) -> String {
    format!("{LIST}/~~/{selector}")
}

#[test]
fn a_part_is_told_when_it_comes_changes_and_goes_and_never_for_another() {
    let entry = part("resource-lists/list/entry%5b@uri=%22sip:a@ims.test%22%5d");
    let name = part("resource-lists/list/@name");
    let mut bench = bench();
    let sent = bench.ask_for(BOB, "xcap-diff", "", &wanted(&[&entry, &name]));
    assert!(said(&bench.told(&sent[1..])).is_empty(), "neither is there");
    bench.wait(5_000);
    let (_, sent) = bench.edit(BOB, LIST, &list(&["a"]));
    let told = said(&bench.told(&sent));
    assert_eq!(
        told,
        [
            format!("element {entry} 1 entry"),
            format!("attribute {name} 1 l")
        ]
    );
    assert!(
        !sent[0].body().contains("etag"),
        "the document itself was not asked for"
    );
    bench.wait(5_000);
    let (_, sent) = bench.edit(BOB, LIST, &list(&["a", "b"]));
    assert!(
        sent.is_empty() && bench.wait(20_000).is_empty(),
        "something else changed"
    );
    let changed = list(&["a", "b"]).replace("\"l\"", "\"m\"");
    let (_, sent) = bench.edit(BOB, LIST, &changed);
    assert_eq!(said(&bench.told(&sent)), [format!("attribute {name} 1 m")]);
    bench.wait(5_000);
    let (_, sent) = bench.edit(BOB, LIST, "");
    let told = said(&bench.told(&sent));
    assert_eq!(
        told,
        [
            format!("element {entry} 0"),
            format!("attribute {name} 0 -")
        ]
    );
}

#[test]
fn only_the_latest_of_a_part_is_told_and_nothing_when_it_is_as_it_was() {
    let name = part("resource-lists/list/@name");
    let mut bench = bench();
    bench.edit(BOB, LIST, &list(&[]));
    let sent = bench.ask_for(
        BOB,
        "xcap-diff;diff-processing=xcap-patching",
        "",
        &wanted(&[&name]),
    );
    for value in ["m", "n"] {
        bench.edit(
            BOB,
            LIST,
            &list(&[]).replace("\"l\"", &format!("\"{value}\"")),
        );
    }
    bench.answer(&sent[1], 200, "");
    let sent = bench.wait(5_000);
    assert_eq!(said(&bench.told(&sent)), [format!("attribute {name} 1 n")]);
    bench.wait(10);
    for value in ["o", "n"] {
        assert!(
            bench
                .edit(
                    BOB,
                    LIST,
                    &list(&[]).replace("\"l\"", &format!("\"{value}\""))
                )
                .1
                .is_empty()
        );
    }
    assert!(bench.wait(20_000).is_empty());
}

#[test]
fn an_element_keeps_its_prefixes_and_has_their_declarations_around_it() {
    let body = "<rl:resource-lists xmlns:rl=\"urn:ietf:params:xml:ns:resource-lists\" xmlns=\"urn:x\" xmlns:y=\"urn:y\">\
        <rl:list name=\"l\" y:a=\"1\"><rl:display-name>B &amp; C</rl:display-name><z xmlns:q=\"urn:q\"><q:r/></z></rl:list></rl:resource-lists>";
    let uri = part("resource-lists/list");
    let prefixed = part("p:resource-lists/p:list?xmlns(p=urn:ietf:params:xml:ns:resource-lists)");
    let mut bench = bench();
    bench.edit(BOB, LIST, body);
    let sent = bench.ask_for(BOB, "xcap-diff", "", &wanted(&[&uri, &prefixed]));
    let told = bench.told(&sent[1..]);
    let document = roxmltree::Document::parse(&told).unwrap();
    let lists: Vec<_> = document
        .descendants()
        .filter(|n| n.tag_name().name() == "list")
        .collect();
    assert_eq!(lists.len(), 2, "{told}");
    let list = lists[0];
    assert_eq!(
        list.tag_name().namespace(),
        Some("urn:ietf:params:xml:ns:resource-lists")
    );
    assert_eq!(list.attribute(("urn:y", "a")), Some("1"));
    let z = list
        .children()
        .find(|n| n.tag_name().name() == "z")
        .unwrap();
    assert_eq!(z.tag_name().namespace(), Some("urn:x"));
    assert_eq!(
        z.first_child().unwrap().tag_name().namespace(),
        Some("urn:q")
    );
    let source = body
        .split_once("<rl:list")
        .unwrap()
        .1
        .split_once("</rl:list>")
        .unwrap()
        .0;
    assert!(
        told.contains(source),
        "as it stands in the document: {told}"
    );
}

#[test]
fn what_names_no_one_node_is_never_shown() {
    for selector in [
        "resource-lists/list/entry",        // two of them
        "resource-lists/list/namespace::*", // RFC 5875 §4.1: nobody may subscribe to these
        "resource-lists/list[",
        "resource-lists/p:list",
        "resource-lists/list/@nothing",
        "",
    ] {
        let mut bench = bench();
        bench.edit(BOB, LIST, &list(&["a", "b"]));
        let sent = bench.ask_for(BOB, "xcap-diff", "", &wanted(&[&part(selector)]));
        assert!(said(&bench.told(&sent[1..])).is_empty(), "{selector}");
        bench.wait(5_000);
        assert!(
            bench.edit(BOB, LIST, &list(&["c", "d"])).1.is_empty(),
            "{selector}"
        );
    }
}

#[test]
fn somebody_elses_parts_look_like_none() {
    let mut bench = bench();
    bench.edit(BOB, LIST, &list(&["a"]));
    let uri = part("resource-lists/list");
    let sent = bench.ask_for(CAROL, "xcap-diff", "", &wanted(&[&uri]));
    assert!(said(&bench.told(&sent[1..])).is_empty());
    bench.wait(5_000);
    assert!(bench.edit(BOB, LIST, &list(&["c"])).1.is_empty());
    let sent = bench.ask_for(SERVER, "xcap-diff", "", &wanted(&[&uri]));
    assert_eq!(
        said(&bench.told(&sent[1..])),
        [format!("element {uri} 1 list")]
    );
}

#[test]
fn content_that_would_be_too_long_is_left_out() {
    let mut bench = Bench::new(with(|xdm| xdm.diff.max_body = 700));
    let many: Vec<String> = (0..40).map(|n| format!("somebody{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    bench.edit(BOB, LIST, &list(&many));
    let uri = part("resource-lists/list");
    let sent = bench.ask_for(BOB, "xcap-diff", "", &wanted(&[&uri]));
    assert_eq!(said(&bench.told(&sent[1..])), [format!("element {uri} 1")]);
}

#[test]
fn an_edit_of_a_part_is_told_as_a_patch_of_the_document() {
    let mut bench = bench();
    let (e1, _) = bench.edit(BOB, LIST, &list(&["a"]));
    bench.told_of("xcap-diff;diff-processing=xcap-patching", &[LIST]);
    let entry = part("resource-lists/list/entry%5b2%5d");
    let (e2, sent) = bench.edit(BOB, &entry, "<entry uri=\"sip:b@ims.test\"/>");
    assert_eq!(
        said(&bench.told(&sent)),
        [format!("document {LIST} {e1}>{e2} add")]
    );
}
