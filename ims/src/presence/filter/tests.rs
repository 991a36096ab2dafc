//! What filters select, table by table; when they fire, which are refused, which count and what they cost is in modules of
//! their own.

mod cost;
mod refused;
mod sets;
mod triggers;

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

/// A tuple with that status and a person with that offset and those activities.
fn state(id: &str, basic: &str, offset: &str, activities: &str) -> Authorized {
    document(&format!(
        "<tuple id='{id}'><status><basic>{basic}</basic></status></tuple><dm:person id='p'>\
         <r:activities>{activities}</r:activities><r:time-offset>{offset}</r:time-offset></dm:person>"
    ))
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
