//! Presence documents, patches and filters as no client writes them: good ones with pieces cut, doubled, exchanged and
//! spoilt. What is refused is refused without a panic; what is taken keeps its promises. The same as the fuzz targets
//! `pidf`, `patch` and `filter`, for a bounded time and with the same outcome each run of a seed.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use ims::presence::compose::{Policy, Source, compose};
use ims::presence::content::{Authorized, view};
use ims::presence::filter::Filters;
use ims::presence::partial::{self, Copy, Difference, Partial};
use ims::presence::pidf::{self, Limits};
use ims::presence::rules::Permissions;
use ims::sip::Aor;
use ims::time::Timestamp;
use ims::xml::guard;
use ims::xml::patch::same;
use proptest::prelude::*;

const WHOLE: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
    xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" xmlns:r=\"urn:ietf:params:xml:ns:pidf:rpid\" \
    xmlns:x=\"urn:example:x\" entity=\"sip:bob@ims.test\">\n <tuple id=\"t1\"><status><basic>open</basic>\
    <x:s a=\"1\"/></status><r:class>IM</r:class><x:a xmlns:x=\"urn:example:y\"><x:b x:k=\"v\">&lt;text&#33;</x:b></x:a>\
    <contact priority=\"0.5\">sip:bob@ims.test</contact><note xml:lang=\"en\">here</note></tuple>\n \
    <tuple id=\"t2\"><status/><note><![CDATA[<&]]></note></tuple><note>all</note>\n \
    <dm:person id=\"p1\"><r:activities id=\"a1\"><r:busy/> <!-- c --><r:away/></r:activities></dm:person>\
    <dm:device id=\"d1\"><dm:deviceID>urn:x:y</dm:deviceID></dm:device><?p q?></presence>";

const PATCH: &str = "<p:pidf-diff xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:p=\"urn:ietf:params:xml:ns:pidf-diff\" \
    xmlns:d=\"urn:ietf:params:xml:ns:pidf:data-model\" xmlns:q=\"urn:ietf:params:xml:ns:pidf:rpid\" version=\"2\">\
    <p:replace sel=\"*/tuple[@id='t1']/status/basic/text()\">closed</p:replace>\
    <p:add sel=\"presence/note\" pos=\"before\"><tuple id=\"t3\"><status/><q:class>x</q:class></tuple></p:add>\
    <p:remove sel=\"*/d:person/q:activities/q:busy\" ws=\"after\"/><p:add sel=\"id('p1')\" type=\"@k\">v</p:add>\
    <p:remove sel=\"*/d:person/@k\"/><p:replace sel=\"*/tuple[2]/note\"><note>new</note></p:replace>\
    <p:add sel=\"*\" type=\"namespace::n\">urn:n</p:add><p:remove sel=\"*/processing-instruction('p')\"/></p:pidf-diff>";

const FILTER: &str = "<filter-set xmlns=\"urn:ietf:params:xml:ns:simple-filter\"><ns-bindings>\
    <ns-binding prefix=\"p\" urn=\"urn:ietf:params:xml:ns:pidf\"/></ns-bindings><filter id=\"1\"><what>\
    <include type=\"xpath\">/p:presence/p:tuple[@id=\"t1\"]/p:status/p:basic</include><exclude>//p:note</exclude></what>\
    <trigger><changed from=\"open\" to=\"closed\">/p:presence/p:tuple/p:status/p:basic</changed></trigger></filter></filter-set>";

/// Pieces that mean something where they do not belong.
const SALT: [&str; 14] = [
    "<",
    ">",
    "\"",
    "&",
    "&#0;",
    "]]>",
    "<!--",
    " xmlns=\"\"",
    " xmlns:x=\"urn:z\"",
    "<x:z/>",
    "</tuple>",
    "[1]",
    "*/*",
    "\u{0}é",
];

/// One act of spoiling: which, where, how long, and another place.
type Act = (u8, usize, usize, usize);

/// Tokens of markup, so that what is moved is often a whole tag or text.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = vec![String::new()];
    for c in text.chars() {
        if matches!(c, '<' | ' ' | '[' | '/') || tokens.last().is_some_and(|t| t.ends_with('>')) {
            tokens.push(String::new());
        }
        if let Some(last) = tokens.last_mut() {
            last.push(c);
        }
    }
    tokens
}

fn spoilt(text: &str, acts: &[Act]) -> String {
    let mut tokens = tokens(text);
    for (kind, at, length, other) in acts {
        let count = tokens.len().max(1);
        let (at, other) = (at % count, other % count);
        let end = (at + 1 + length % 4).min(tokens.len());
        match kind % 5 {
            0 => drop(tokens.drain(at..end)),
            1 => {
                let piece = tokens[at..end].to_vec();
                tokens.splice(other..other, piece);
            }
            2 => tokens.swap(at, other),
            3 => tokens.insert(at, SALT[length % SALT.len()].to_owned()),
            _ => {
                let token = &mut tokens[at];
                let cut = token
                    .char_indices()
                    .nth(length % 8)
                    .map_or(token.len(), |(i, _)| i);
                token.truncate(cut);
            }
        }
        if tokens.is_empty() {
            tokens.push(String::new());
        }
    }
    tokens.concat()
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    prop::collection::vec((0..5u8, 0..1_000usize, 0..64usize, 0..1_000usize), 0..6)
}

fn shown(document: &str) -> Option<Authorized> {
    let contribution = pidf::parse(document.as_bytes(), &Limits::default()).ok()?;
    let source = Source {
        contribution: &contribution,
        at: Timestamp(1),
        order: 1,
        mark: 1,
    };
    let composed = compose(&[source], None, &Policy::default());
    Some(view(&composed, &Permissions::all(), "sip:bob@ims.test"))
}

fn text(document: &Authorized) -> String {
    String::from_utf8_lossy(document.bytes()).into_owned()
}

#[test]
fn unspoilt_they_are_taken() {
    assert!(shown(WHOLE).is_some());
    let Ok(Partial::Diff { diff, .. }) = partial::read(PATCH.as_bytes(), &Limits::default()) else {
        panic!("the patch is not read");
    };
    let patched = partial::patched(WHOLE.as_bytes(), &diff, &Limits::default());
    assert!(shown(&patched.expect("it applies")).is_some());
    assert!(
        Filters::default()
            .update(FILTER.as_bytes(), "presence", &[])
            .is_ok()
    );
    assert_eq!(tokens(WHOLE).concat(), WHOLE);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_presence_document_that_is_taken_is_shown_as_one_that_is_taken(one in acts(), two in acts()) {
        let Some(first) = shown(&spoilt(WHOLE, &one)) else {
            return Ok(());
        };
        prop_assert!(guard::parse(first.bytes(), &guard::Limits::default()).is_ok());
        let again = shown(&text(&first));
        prop_assert!(again.is_some(), "{}", text(&first));
        // A watcher who holds it follows to any other.
        let mut copy = Copy::default();
        let limits = Limits { body: 1 << 20, ..Limits::default() };
        prop_assert_eq!(copy.take(&partial::full(&first).numbered(1), &limits), Ok(()));
        prop_assert!(same(copy.document.as_deref().unwrap_or_default(), &text(&first)));
        let Some(second) = shown(&spoilt(WHOLE, &two)) else {
            return Ok(());
        };
        match partial::difference(&first, &second) {
            Difference::Nothing => prop_assert!(same(&text(&first), &text(&second))),
            Difference::Whole => {}
            Difference::Patch(patch) => {
                let patch = patch.numbered(2);
                let taken = copy.take(&patch, &limits);
                prop_assert_eq!(taken, Ok(()), "{:?}", patch);
                let document = copy.document.unwrap_or_default();
                prop_assert!(same(&document, &text(&second)), "{:?}\n{}\n{}", patch, document, text(&second));
            }
        }
    }

    #[test]
    fn a_patch_that_applies_leaves_a_document_and_one_that_does_not_a_reason(acts in acts()) {
        let spoilt = spoilt(PATCH, &acts);
        let limits = Limits::default();
        let applied = match partial::read(spoilt.as_bytes(), &limits) {
            Ok(Partial::Diff { diff, .. }) => partial::patched(WHOLE.as_bytes(), &diff, &limits),
            Ok(Partial::Full { document, .. }) => Ok(document),
            Err(failure) => Err(failure),
        };
        let (document, what) = match applied {
            Ok(document) => (document, "patched"),
            Err(failure) => match failure.document() {
                Some(report) => (report, "reported"),
                None => return Ok(()),
            },
        };
        let read = guard::parse(document.as_bytes(), &guard::Limits::default());
        prop_assert!(read.is_ok(), "{what}: {document}\nby {spoilt}");
    }

    #[test]
    fn a_filter_that_is_taken_leaves_a_document_of_what_was_there(filter in acts(), document in acts()) {
        let bob: Vec<Aor> = Aor::parse("sip:bob@ims.test").into_iter().collect();
        let filters = Filters::default().update(spoilt(FILTER, &filter).as_bytes(), "presence", &bob);
        let (Ok(filters), Some(before)) = (filters, shown(&spoilt(WHOLE, &document))) else {
            return Ok(());
        };
        let Some(filter) = filters.active() else {
            return Ok(());
        };
        let left = filter.apply(&before);
        prop_assert!(left.bytes().len() <= before.bytes().len());
        prop_assert!(guard::parse(left.bytes(), &guard::Limits::default()).is_ok(), "{}", text(&left));
        filter.fires(&before, &left);
    }
}
