//! What filters select and when they fire, table by table.

use super::*;
use crate::presence::compose::{Policy, Source, compose};
use crate::presence::content;
use crate::presence::pidf;
use crate::presence::rules::Permissions;
use crate::time::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;

const ENTITY: &str = "sip:bob@home1.test";
const FULL: &str = include_str!("../../../../tests/data/pidf/oma-full.xml");

/// An authorised document: there is no way to one but through the content rules.
fn authorised(document: &str) -> Authorized {
    let contribution = pidf::parse(document.as_bytes(), &pidf::Limits::default())
        .unwrap_or_else(|error| panic!("{error:?}: {document}"));
    let source = Source {
        contribution: &contribution,
        at: Timestamp(1),
        order: 1,
        mark: 1,
    };
    content::view(
        &compose(&[source], None, &Policy::default()),
        &Permissions::all(),
        ENTITY,
    )
}

fn document(inside: &str) -> Authorized {
    authorised(&format!(
        "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:dm='urn:ietf:params:xml:ns:pidf:data-model' \
         xmlns:r='urn:ietf:params:xml:ns:pidf:rpid' xmlns:op='urn:oma:xml:prs:pidf:oma-pres' \
         entity='{ENTITY}'>{inside}</presence>"
    ))
}

/// Two services and a person.
const TWO: &str = "<tuple id='im'><status><basic>closed</basic></status><r:class>IM</r:class>\
    <contact priority='0.8'>im:bob@home1.test</contact><note xml:lang='en'>writing</note></tuple>\
    <tuple id='voice'><status><basic>open</basic></status><r:class>voice</r:class>\
    <contact>tel:+15550100</contact></tuple>\
    <dm:person id='p'><r:activities><r:away/><r:meal/></r:activities><r:mood><r:happy/></r:mood>\
    <r:time-offset>120</r:time-offset></dm:person>";

fn filter_set(filters: &str) -> String {
    format!(
        "<filter-set xmlns='{NAMESPACE}'><ns-bindings>\
         <ns-binding prefix='p' urn='urn:ietf:params:xml:ns:pidf'/>\
         <ns-binding prefix='r' urn='urn:ietf:params:xml:ns:pidf:rpid'/>\
         <ns-binding prefix='dm' urn='urn:ietf:params:xml:ns:pidf:data-model'/>\
         <ns-binding prefix='op' urn='urn:oma:xml:prs:pidf:oma-pres'/>\
         </ns-bindings>{filters}</filter-set>"
    )
}

fn resource() -> Vec<Aor> {
    ["sip:bob@home1.test", "tel:+15550100"]
        .into_iter()
        .filter_map(Aor::parse)
        .collect()
}

fn filters(inside: &str) -> Result<Filters, FilterError> {
    Filters::default().update(filter_set(inside).as_bytes(), "presence", &resource())
}

fn filter(inside: &str) -> Arc<Filter> {
    let filters = filters(&format!("<filter id='1'>{inside}</filter>"));
    filters
        .unwrap_or_else(|error| panic!("{error}: {inside}"))
        .active()
        .unwrap_or_else(|| panic!("idle: {inside}"))
        .clone()
}

fn what(inside: &str) -> Arc<Filter> {
    filter(&format!("<what>{inside}</what>"))
}

/// A document without prolog, declarations and the tags of its root.
fn inside(document: &Authorized) -> String {
    let text = String::from_utf8(document.bytes().to_vec()).unwrap();
    let read = pidf::parse(text.as_bytes(), &pidf::Limits::default());
    assert!(read.is_ok(), "{read:?}: {text}");
    let start = text.find("entity=").unwrap() + 7 + ENTITY.len() + 3;
    text[start..].trim_end_matches("</presence>").to_owned()
}

#[test]
fn what_is_included_is_delivered_with_what_leads_to_it() {
    let im = "<tuple id=\"im\"><status><basic>closed</basic></status><r:class>IM</r:class>\
              <contact priority='0.8'>im:bob@home1.test</contact><note xml:lang='en'>writing</note></tuple>";
    for (case, selection, shown) in [
        (
            "a service by its class",
            "<include>/p:presence/p:tuple[r:class=\"IM\"]</include>",
            im,
        ),
        (
            "the same, spread over lines",
            "<include type='xpath'>\n //p:tuple [ r:class = 'IM' or\n r:class='SMS' ]\n</include>",
            im,
        ),
        (
            "one element, with the elements above it and what they must have",
            "<include>//p:tuple[p:status/p:basic=\"open\"]/p:contact</include>",
            "<tuple id=\"voice\"><status><basic>open</basic></status><contact>tel:+15550100</contact></tuple>",
        ),
        (
            "an attribute, and the element that has it",
            "<include>//p:contact/@priority</include>",
            "<tuple id=\"im\"><status><basic>closed</basic></status><contact priority='0.8'>im:bob@home1.test</contact></tuple>",
        ),
        (
            "a condition on the element itself",
            "<include>//p:basic[.=\"open\"]</include>",
            "<tuple id=\"voice\"><status><basic>open</basic></status></tuple>",
        ),
        (
            "a condition on numbers",
            "<include>//r:time-offset[.&gt;60]</include><include>//r:time-offset[.&lt;60]</include>",
            "<dm:person id=\"p\"><r:time-offset>120</r:time-offset></dm:person>",
        ),
        (
            "a condition on an attribute, wildcards",
            "<include>/*/p:tuple[@id=\"voice\"]/*[.=\"open\"]</include>",
            "<tuple id=\"voice\"><status><basic>open</basic></status></tuple>",
        ),
        (
            "both conditions",
            "<include>//p:tuple[*/p:basic=\"open\" and r:class=\"IM\"]</include>",
            "",
        ),
        (
            "a part of an element",
            "<include>//r:away</include>",
            "<dm:person id=\"p\"><r:activities><r:away/></r:activities></dm:person>",
        ),
        (
            "a name without prefix is in no namespace",
            "<include>/presence/tuple</include>",
            "",
        ),
        (
            "a namespace",
            "<include type='namespace'>urn:ietf:params:xml:ns:pidf:rpid</include>",
            "<tuple id=\"im\"><status><basic>closed</basic></status><r:class>IM</r:class></tuple>\
             <tuple id=\"voice\"><status><basic>open</basic></status><r:class>voice</r:class></tuple>\
             <dm:person id=\"p\"><r:activities><r:away/><r:meal/></r:activities><r:mood><r:happy/></r:mood>\
             <r:time-offset>120</r:time-offset></dm:person>",
        ),
    ] {
        let filtered = what(selection).apply(&document(TWO));
        assert_eq!(inside(&filtered), shown, "{case}");
    }
}

#[test]
fn what_is_excluded_is_not_delivered_unless_the_document_needs_it() {
    for (case, selection, shown) in [
        (
            "persons and notes",
            "<exclude>/p:presence/dm:person</exclude><exclude>//p:note</exclude><exclude>//p:contact</exclude>",
            "<tuple id=\"im\"><status><basic>closed</basic></status><r:class>IM</r:class></tuple>\
             <tuple id=\"voice\"><status><basic>open</basic></status><r:class>voice</r:class></tuple>",
        ),
        (
            "an exception to what is included",
            "<include>//p:tuple[r:class='voice']</include><exclude>//r:class</exclude>",
            "<tuple id=\"voice\"><status><basic>open</basic></status><contact>tel:+15550100</contact></tuple>",
        ),
        (
            "the status of a tuple is put back",
            "<include>//p:tuple[r:class='voice']/p:contact</include><exclude>//p:status</exclude>",
            "<tuple id=\"voice\"><status><basic>open</basic></status><contact>tel:+15550100</contact></tuple>",
        ),
        (
            "an id is put back, a priority not",
            "<include>//p:tuple[r:class='IM']/p:contact</include><exclude>//@id</exclude><exclude>//p:contact/@priority</exclude>",
            "<tuple id=\"im\"><status><basic>closed</basic></status><contact>im:bob@home1.test</contact></tuple>",
        ),
        (
            "basic may go, a mood may not lose its only value",
            "<exclude>//p:basic</exclude><exclude>//p:tuple[@id='im']</exclude><exclude>//p:contact</exclude>\
             <exclude>//r:class</exclude><exclude>//r:mood/*</exclude><exclude>//r:activities</exclude>",
            "<tuple id=\"voice\"><status></status></tuple>\
             <dm:person id=\"p\"><r:mood><r:happy/></r:mood><r:time-offset>120</r:time-offset></dm:person>",
        ),
        (
            "a namespace",
            "<exclude type='namespace'>urn:ietf:params:xml:ns:pidf:data-model</exclude>\
             <exclude type='namespace'>urn:ietf:params:xml:ns:pidf:rpid</exclude><exclude>//p:note</exclude>",
            "<tuple id=\"im\"><status><basic>closed</basic></status>\
             <contact priority='0.8'>im:bob@home1.test</contact></tuple>\
             <tuple id=\"voice\"><status><basic>open</basic></status><contact>tel:+15550100</contact></tuple>",
        ),
        ("everything that can go", "<exclude>//*</exclude>", ""),
    ] {
        let filtered = what(selection).apply(&document(TWO));
        assert_eq!(inside(&filtered), shown, "{case}");
    }
}

#[test]
fn what_is_hidden_leaves_no_declaration_behind() {
    let filter = what("<include>//p:basic</include>");
    let plain = document("<tuple id='a'><status><basic>open</basic></status></tuple>");
    let rich = document(
        "<tuple id='a'><status><basic>open</basic></status><r:class>x</r:class></tuple>\
         <dm:person id='p'><r:sphere><r:home/></r:sphere></dm:person>",
    );
    assert_ne!(plain.bytes(), rich.bytes());
    assert_eq!(filter.apply(&plain).bytes(), filter.apply(&rich).bytes());
}

/// The examples of RFC 4661 §6 and RFC 4660 §7, as far as they are about presence.
#[test]
fn the_examples_of_the_documents_are_taken() {
    for example in [
        "<what><include type=\"xpath\">\n/p:presence/p:tuple[r:class=\"IM\" or r:class=\"SMS\"\n or r:class=\"MMS\"]/p:status/p:basic\n</include></what>",
        "<trigger><changed from=\"CLOSED\" to=\"OPEN\">\n/p:presence/p:tuple/p:status/p:basic\n</changed></trigger>",
        "<what><include>/p:presence/p:tuple/\n p:status[r:label=\"game-X\"]</include></what>",
        "<what><include type=\"namespace\">urn:ietf:params:xml:ns:pidf</include><exclude>/p:presence/p:tuple/p:note</exclude></what>",
        "<what><include>//p:watcher[@duration-subscribed&lt;500]</include><include>/*/p:watcher[@event=\"rejected\"]</include>\
         <include>//*[p:status/p:basic=\"open\"]</include><include>//p:watcher/@duration-subscribed</include></what>",
    ] {
        filter(example);
    }
}

const BASIC: &str = "/p:presence/p:tuple/p:status/p:basic";

/// A tuple with that status and a person with that offset and those activities.
fn state(id: &str, basic: &str, offset: &str, activities: &str) -> Authorized {
    document(&format!(
        "<tuple id='{id}'><status><basic>{basic}</basic></status></tuple><dm:person id='p'>\
         <r:activities>{activities}</r:activities><r:time-offset>{offset}</r:time-offset></dm:person>"
    ))
}

#[test]
fn a_trigger_fires_on_its_change_and_on_no_other() {
    let before = state("a", "closed", "60", "<r:away/>");
    let opened = state("a", "open", "60", "<r:away/>");
    let moved = state("a", "closed", "180", "<r:away/>");
    let busy = state("a", "closed", "60", "<r:away/><r:busy/>");
    let renamed = state("b", "open", "60", "<r:away/>");
    let changed =
        |attributes: &str| format!("<trigger><changed {attributes}>{BASIC}</changed></trigger>");
    let offset =
        |by: &str| format!("<trigger><changed by='{by}'>//r:time-offset</changed></trigger>");
    for (case, trigger, after, fires) in [
        ("any change of it", changed(""), &opened, true),
        ("a change of something else", changed(""), &busy, false),
        (
            "from and to",
            changed("from='closed' to='open'"),
            &opened,
            true,
        ),
        (
            "without regard to case",
            changed("from='CLOSED' to='OPEN'"),
            &opened,
            true,
        ),
        ("to another value", changed("to='closed'"), &opened, false),
        ("from another value", changed("from='open'"), &opened, false),
        (
            "in a tuple with another id",
            changed("to='open'"),
            &renamed,
            true,
        ),
        ("by at least so much", offset("120"), &moved, true),
        ("by less", offset("120.5"), &moved, false),
        (
            "something new",
            "<trigger><added>//r:busy</added></trigger>".into(),
            &busy,
            true,
        ),
        (
            "nothing gone",
            "<trigger><removed>//r:away</removed></trigger>".into(),
            &busy,
            false,
        ),
        (
            "the same removed",
            "<trigger><removed>//r:busy</removed></trigger>".into(),
            &before,
            false,
        ),
        (
            "a tuple of another id is a new one",
            "<trigger><added>//p:tuple</added></trigger>".into(),
            &renamed,
            true,
        ),
        (
            "and the old one is gone",
            "<trigger><removed>//p:tuple</removed></trigger>".into(),
            &renamed,
            true,
        ),
        (
            "an attribute",
            "<trigger><changed>//p:tuple/@id</changed></trigger>".into(),
            &renamed,
            true,
        ),
        (
            "an element whose inside changed",
            "<trigger><changed>//r:activities</changed></trigger>".into(),
            &busy,
            true,
        ),
        (
            "all of one trigger",
            format!("<trigger><changed>{BASIC}</changed><added>//r:busy</added></trigger>"),
            &opened,
            false,
        ),
        (
            "any of several triggers",
            format!(
                "<trigger><changed>{BASIC}</changed></trigger><trigger><added>//r:busy</added></trigger>"
            ),
            &busy,
            true,
        ),
        (
            "no trigger",
            "<what><include>//p:tuple</include></what>".into(),
            &busy,
            true,
        ),
    ] {
        assert_eq!(filter(&trigger).fires(&before, after), fires, "{case}");
        assert!(!filter(&trigger).fires(after, after), "{case}: no change");
    }
}

#[test]
fn a_filter_that_is_not_taken_is_refused_with_its_reason() {
    let include = |expression: &str| {
        filter_set(&format!(
            "<filter id='1'><what><include>{expression}</include></what></filter>"
        ))
    };
    let set = |inside: &str| filter_set(inside);
    let many = "<filter id='x'/>".repeat(MOST_FILTERS + 1);
    let long = format!("/p:presence[p:a='{}']", "x".repeat(3000));
    let steps = "/p:a".repeat(300);
    for (case, body, malformed) in [
        ("no XML", "hello".to_owned(), true),
        (
            "cut off",
            "<filter-set xmlns='urn:ietf:params:xml:ns:simple-filter'>".to_owned(),
            true,
        ),
        (
            "a document type",
            format!("<!DOCTYPE a>{}", set("<filter id='1'/>")),
            true,
        ),
        (
            "too long",
            format!("{}<!--{}-->", set("<filter id='1'/>"), "x".repeat(LONGEST)),
            true,
        ),
        (
            "another document",
            "<presence xmlns='urn:ietf:params:xml:ns:pidf'/>".to_owned(),
            false,
        ),
        ("no filter", set(""), false),
        ("no id", set("<filter/>"), false),
        (
            "twice the same id",
            set("<filter id='1' uri='sip:a@h'/><filter id='1' uri='sip:b@h'/>"),
            false,
        ),
        (
            "uri and domain",
            set("<filter id='1' uri='sip:a@h' domain='h'/>"),
            false,
        ),
        (
            "two for one resource",
            set("<filter id='1'/><filter id='2' uri='sip:bob@home1.test'/>"),
            false,
        ),
        (
            "two for one domain",
            set("<filter id='1' domain='h'/><filter id='2' domain='H'/>"),
            false,
        ),
        (
            "an element nobody knows",
            set("<filter id='1'><when/></filter>"),
            false,
        ),
        (
            "an attribute nobody knows",
            set("<filter id='1' name='x'/>"),
            false,
        ),
        (
            "a boolean that is none",
            set("<filter id='1' remove='yes'/>"),
            false,
        ),
        ("too many", set(&many), false),
        (
            "a type nobody knows",
            set("<filter id='1'><what><include type='xquery'>x</include></what></filter>"),
            false,
        ),
        (
            "by without number",
            set("<filter id='1'><trigger><changed by='x'>//p:a</changed></trigger></filter>"),
            false,
        ),
        (
            "by beside a word",
            set(
                "<filter id='1'><trigger><changed by='1' to='x'>//p:a</changed></trigger></filter>",
            ),
            false,
        ),
        (
            "another package",
            set("<filter id='1'/>").replace("<filter-set ", "<filter-set package='x' "),
            false,
        ),
        ("an empty expression", include(""), false),
        (
            "a relative expression",
            include("p:presence/p:tuple"),
            false,
        ),
        ("a prefix without binding", include("/q:presence"), false),
        (
            "no end of a condition",
            include("/p:presence[p:a='b'"),
            false,
        ),
        ("no end of a text", include("/p:presence[p:a='b]"), false),
        ("a function", include("/p:presence[count(p:a)=1]"), false),
        ("a position", include("/p:presence[1]"), false),
        ("an axis", include("/child::p:presence"), false),
        (
            "a condition in a condition",
            include("/p:presence[p:a[p:b='c']='d']"),
            false,
        ),
        (
            "something behind an attribute",
            include("/p:presence/@a/p:b"),
            false,
        ),
        ("an attribute of nothing", include("/@a"), false),
        ("a union", include("/p:a | /p:b"), false),
        ("an expression too long", include(&long), false),
        ("too many steps", include(&steps), false),
    ] {
        let error = Filters::default()
            .update(body.as_bytes(), "presence", &resource())
            .expect_err(case);
        assert_eq!(
            matches!(error, FilterError::Malformed(_)),
            malformed,
            "{case}: {error}"
        );
    }
}

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

/// With work for each pair of siblings this would take minutes.
#[test]
fn an_expensive_filter_costs_little_on_a_large_document() {
    let many = "<x:a/>".repeat(8000);
    let whole = document(&format!(
        "<tuple id='t'><status/><x:all xmlns:x='urn:x'>{many}</x:all></tuple>"
    ));
    let greedy =
        "<include>//*[..='x' or .='y']//*[..='x']//*[p:a='b' and */*='c']/@*</include>".repeat(20);
    assert_eq!(inside(&what(&greedy).apply(&whole)), "");
    let trigger = filter("<trigger><changed>//*</changed></trigger>");
    let later = document(&format!(
        "<tuple id='t'><status/><x:all xmlns:x='urn:x'>{many}<x:a/></x:all></tuple>"
    ));
    assert!(trigger.fires(&whole, &later));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is selected, the outcome is a presence document, made of elements of the one it comes from, and
    /// selecting from it again changes nothing that is included by name.
    #[test]
    fn a_filtered_document_is_valid_and_never_more(
        includes in vec((any::<bool>(), 0..NAMES.len(), any::<bool>()), 0..3),
        excludes in vec((any::<bool>(), 0..NAMES.len(), any::<bool>()), 0..3),
        rich in any::<bool>(),
    ) {
        let expression = |(deep, at, attribute): &(bool, usize, bool)| format!(
            "{}{}{}",
            if *deep { "//" } else { "/p:presence/*/" },
            NAMES[*at],
            if *attribute { "/@*" } else { "" }
        );
        let mut selection = String::new();
        for include in &includes {
            selection.push_str(&format!("<include>{}</include>", expression(include)));
        }
        for exclude in &excludes {
            selection.push_str(&format!("<exclude>{}</exclude>", expression(exclude)));
        }
        let whole = if rich { authorised(FULL) } else { document(TWO) };
        let set = filters(&format!("<filter id='1'><what>{selection}</what></filter>")).unwrap();
        if let Some(filter) = set.active() {
            let filtered = filter.apply(&whole);
            let text = std::str::from_utf8(filtered.bytes()).unwrap();
            prop_assert!(pidf::parse(filtered.bytes(), &pidf::Limits::default()).is_ok(), "{text}");
            let (all, left) = (tree(whole.bytes()).unwrap(), tree(filtered.bytes()).unwrap());
            let every = |document: &roxmltree::Document<'_>| -> std::collections::BTreeSet<String> {
                document.descendants().filter(|n| n.is_element())
                    .map(|n| format!("{:?}", n.tag_name())).collect()
            };
            prop_assert!(every(&left).is_subset(&every(&all)));
            prop_assert!(filtered.bytes().len() <= whole.bytes().len());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever stands in an expression, it is read or refused, and what is read can be applied.
    #[test]
    fn no_expression_is_too_strange(tokens in vec(0..TOKENS.len(), 0..24), noise in ".{0,12}", at in 0..24usize) {
        let mut expression: String = tokens.iter().map(|token| TOKENS[*token]).collect();
        let at = expression.char_indices().map(|(i, _)| i).nth(at).unwrap_or(0);
        if noise.len() % 3 == 0 {
            expression.insert_str(at, &noise);
        }
        let escaped = crate::xml::text::escaped(&expression);
        let set = filters(&format!(
            "<filter id='1'><what><include>{escaped}</include></what><trigger><changed>{escaped}</changed></trigger></filter>"
        ));
        if let Ok(set) = set && let Some(filter) = set.active() {
            let (two, one) = (document(TWO), state("a", "open", "60", "<r:away/>"));
            filter.fires(&one, &two);
            inside(&filter.apply(&two));
        }
    }
}

/// What expressions are made of.
const TOKENS: &[&str] = &[
    "/",
    "//",
    "*",
    "p:tuple",
    "p:presence",
    "r:class",
    "p:*",
    "q:x",
    ":",
    "@id",
    "@",
    "@*",
    "[",
    "]",
    "[.='IM']",
    "[r:class=\"IM\" or p:note>'1']",
    "=",
    "<",
    ">",
    "'",
    "\"",
    "..",
    ".",
    " and ",
    " or ",
    "60",
    "-",
    "\u{e9}",
    "\n",
    "1.5",
];

const NAMES: &[&str] = &[
    "*",
    "p:tuple",
    "p:status",
    "p:basic",
    "p:contact",
    "p:note",
    "p:timestamp",
    "r:class",
    "r:activities",
    "r:mood",
    "r:*",
    "op:*",
    "op:service-description",
    "op:version",
    "op:network",
    "op:willingness",
    "dm:person",
    "dm:device",
    "dm:deviceID",
    "dm:*",
];
