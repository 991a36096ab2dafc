//! Which filters count: their ids, and whom they are for.

use super::*;

fn expected(filters: &Filters) -> Option<String> {
    let read = document(TWO);
    filters.active().map(|filter| inside(&filter.apply(&read)))
}

#[test]
fn a_refresh_replaces_removes_and_switches_filters_by_their_ids() {
    let class = |id, class| {
        format!("<filter id='{id}'><what><include>//r:class[.='{class}']</include></what></filter>")
    };
    let shows = |name: &str, basic: &str, class: &str| {
        Some(format!(
            "<tuple id=\"{name}\"><status><basic>{basic}</basic></status><r:class>{class}</r:class></tuple>"
        ))
    };
    let (im, voice) = (shows("im", "closed", "IM"), shows("voice", "open", "voice"));
    let first = filters(&class("1", "IM")).unwrap();
    assert_eq!(expected(&first), im);
    let update = |filters: &Filters, inside: &str| {
        filters.update(filter_set(inside).as_bytes(), "presence", &resource())
    };
    let second = update(&first, &class("1", "voice")).unwrap();
    assert_eq!(expected(&second), voice, "replaced");
    let off = update(&second, "<filter id='1' enabled='false'/>").unwrap();
    assert_eq!(
        (expected(&off), off.is_empty()),
        (None, false),
        "switched off"
    );
    let on = update(&off, "<filter id='1' enabled='1'/>").unwrap();
    assert_eq!(expected(&on), voice, "switched on again");
    let gone = update(&on, "<filter id='1' remove='true'/>").unwrap();
    assert!(gone.is_empty(), "removed");
    assert!(
        update(&on, &class("2", "IM")).is_err(),
        "another id for the same resource"
    );
    let elsewhere = update(
        &on,
        "<filter id='2' uri='sip:carol@home2.test'><what><include>//p:note</include></what></filter>",
    );
    assert_eq!(
        expected(&elsewhere.unwrap()),
        voice,
        "one for another resource is kept and not used"
    );
    let stored = Filters::from_texts(on.texts().to_vec(), &resource()).unwrap();
    assert_eq!(
        expected(&stored),
        voice,
        "and all of it comes back from what is stored"
    );
}

#[test]
fn a_filter_is_used_for_its_resource_or_else_for_its_domain() {
    let im = "<what><include>//p:tuple[r:class='IM']/p:status</include></what>";
    let none = "<what><include>//p:nothing</include></what>";
    for (case, set, used) in [
        (
            "its URI",
            format!("<filter id='1' uri='sip:bob@home1.test'>{im}</filter>"),
            true,
        ),
        (
            "another identity of the presentity",
            format!("<filter id='1' uri='tel:+15550100'>{im}</filter>"),
            true,
        ),
        (
            "its domain",
            format!("<filter id='1' domain='HOME1.test'>{im}</filter>"),
            true,
        ),
        (
            "another domain",
            format!("<filter id='1' domain='home2.test'>{im}</filter>"),
            false,
        ),
        (
            "another resource",
            format!("<filter id='1' uri='sip:carol@home1.test'>{im}</filter>"),
            false,
        ),
        (
            "the resource goes before the domain",
            format!(
                "<filter id='1' domain='home1.test'>{none}</filter><filter id='2'>{im}</filter>"
            ),
            true,
        ),
        (
            "an empty one is none",
            "<filter id='1'><what/><trigger/></filter>".into(),
            false,
        ),
    ] {
        let im = "<tuple id=\"im\"><status><basic>closed</basic></status></tuple>";
        assert_eq!(
            expected(&filters(&set).unwrap()).as_deref(),
            used.then_some(im),
            "{case}"
        );
    }
}
