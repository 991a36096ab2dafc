//! Requests for parts of a document as no client makes them: good selectors and bodies with pieces cut, doubled,
//! exchanged and spoilt. What is refused changes nothing, what is put is read back, what is deleted is gone, and the
//! whole can always be read. The same as the fuzz targets `xcap_selector` and `xcap_edit`, for a bounded time and with
//! the same outcome each run of a seed.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use ims::sip::Aor;
use ims::xdm::selector::NodeSelector;
use ims::xdm::{
    Change, Document, DocumentKey, Documents, Held, Identity, Method, Request, Response, Settings,
    Xdm, node,
};
use ims::xml::guard::{self, Limits};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::collections::BTreeMap;

const INDEX: &str = "resource-lists/users/sip:bob@ims.test/index";
const NAMESPACE: &str = "urn:ietf:params:xml:ns:resource-lists";
const LISTS: &str = "<?xml version=\"1.0\"?>\n<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\" \
    xmlns:x='urn:x'>\n <list name=\"a\"> <entry uri=\"sip:a@x.test\"/><!-- </list> --><entry uri='sip:b@x.test' x:k = \"&lt;v\"/>\
    <list name='b'/><x:y><x:z/></x:y></list>\n<list/></resource-lists>\n";

const SELECTORS: [&str; 10] = [
    "resource-lists/list[@name=\"a\"]/entry[@uri=\"sip:c@x.test\"]",
    "resource-lists/list[1]/entry[2][@uri='sip:b@x.test']",
    "resource-lists/*[2]",
    "resource-lists/list[@name='a']/x:y/x:z",
    "*/*[1]/*[4]/namespace::*",
    "resource-lists/list[1]/entry[2]/@x:k",
    "resource-lists/list[@name=%22a%22]/@name",
    "resource-lists/list%5B1%5D/list/list%5B@name=%22n%22%5D",
    "resource-lists/list[1]/entry[1]/display-name",
    "resource-lists",
];

const BODIES: [&str; 9] = [
    "<entry uri=\"sip:c@x.test\"><display-name>C</display-name></entry>",
    "<entry uri='sip:b@x.test'/>",
    "<list><entry uri='sip:d@x.test'/></list>",
    "<x:z xmlns:x='urn:x'>t<!-- c --></x:z>",
    "\"a\"",
    "'&lt;&#60;\u{e9}'",
    "<list name=\"n\"/>",
    "<display-name xml:lang='en'>A</display-name>",
    "<resource-lists xmlns='urn:ietf:params:xml:ns:resource-lists'/>",
];

/// Pieces that mean something where they do not belong.
const SALT: [&str; 18] = [
    "<",
    ">",
    "\"",
    "'",
    "&",
    "&#0;",
    "]]>",
    "<!--",
    " xmlns=''",
    "</list>",
    "[1]",
    "[@",
    "/",
    "@",
    "::*",
    "%",
    "\u{0}\u{e9}",
    "*",
];

/// One act of spoiling: which, where, how long, and another place.
type Act = (u8, usize, usize, usize);

fn spoilt(text: &str, acts: &[Act]) -> String {
    let mut chars: Vec<String> = text.chars().map(String::from).collect();
    for (kind, at, length, other) in acts {
        let count = chars.len().max(1);
        let (at, other) = (at % count, other % count);
        let end = (at + 1 + length % 8).min(chars.len());
        match kind % 4 {
            0 => drop(chars.drain(at.min(end)..end)),
            1 => {
                let piece = chars[at.min(end)..end].to_vec();
                chars.splice(other..other, piece);
            }
            2 if chars.len() > 1 => chars.swap(at, other),
            _ => chars.insert(at.min(chars.len()), SALT[length % SALT.len()].to_owned()),
        }
    }
    chars.concat()
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    prop::collection::vec((0..4u8, 0..1_000usize, 0..64usize, 0..1_000usize), 0..4)
}

struct Stored(BTreeMap<DocumentKey, Document>);

impl Documents for Stored {
    fn document(&self, key: &DocumentKey) -> Option<&Document> {
        self.0.get(key)
    }

    fn held(&self, owner: &Aor) -> Held {
        Held::by(owner, &self.0)
    }

    fn entity_of(&self, _: &[u8]) -> Result<String, String> {
        Err("no presence here".to_owned())
    }
}

/// A server with one document of lists; entity-tags count up.
struct Server<'a> {
    xdm: &'a Xdm,
    stored: Stored,
    tags: u32,
}

impl Server<'_> {
    fn ask(&mut self, method: Method, target: &str, body: &str) -> Response {
        let kind = match target.rsplit('/').next() {
            Some(last) if last.starts_with('@') => "application/xcap-att+xml",
            _ if target == INDEX => "application/resource-lists+xml",
            _ => "application/xcap-el+xml",
        };
        let request = Request {
            method,
            target: target.to_owned(),
            query: Some("xmlns(x=urn:x)".to_owned()),
            content_type: Some(kind.to_owned()),
            content_encoding: None,
            if_match: None,
            if_none_match: None,
            body: Bytes::copy_from_slice(body.as_bytes()),
            identity: Identity::Server,
        };
        let tags = &mut self.tags;
        let outcome = self.xdm.handle(&request, &self.stored, &mut || {
            *tags += 1;
            format!("t{tags}")
        });
        if let Some(Change::Put { key, document }) = outcome.change {
            self.stored.0.insert(key, document);
        }
        outcome.response
    }
}

fn tried(xdm: &Xdm, selector: &str, body: &str) -> Result<bool, TestCaseError> {
    let stored = Stored(BTreeMap::new());
    let mut server = Server {
        xdm,
        stored,
        tags: 0,
    };
    prop_assert_eq!(server.ask(Method::Put, INDEX, LISTS).status, 201);
    let part = format!("{INDEX}/~~/{selector}");
    let put = server.ask(Method::Put, &part, body);
    let result = server.ask(Method::Get, INDEX, "");
    let stored = matches!(put.status, 200 | 201);
    if stored {
        let got = server.ask(Method::Get, &part, "");
        let blank = [' ', '\t', '\r', '\n'];
        prop_assert_eq!(
            (got.status, &got.body[..]),
            (200, body.trim_matches(blank).as_bytes())
        );
        let again = server.ask(Method::Put, &part, body);
        prop_assert_eq!((again.status, again.etag), (200, put.etag));
    } else {
        prop_assert!((400..500).contains(&put.status), "{}", put.status);
        prop_assert_eq!(&result.body[..], LISTS.as_bytes());
    }
    let deleted = server.ask(Method::Delete, &part, "");
    if deleted.status == 200 {
        prop_assert_eq!(server.ask(Method::Get, &part, "").status, 404);
    }
    let last = server.ask(Method::Get, INDEX, "");
    prop_assert!(guard::parse(&last.body, &Limits::default()).is_ok());
    Ok(stored)
}

#[test]
fn unspoilt_they_are_understood() {
    let xdm = Xdm::new(Settings::default()).expect("our schemas load");
    let mut stored = 0;
    for selector in SELECTORS {
        let read = NodeSelector::parse(selector, Some("xmlns(x=urn:x)"), NAMESPACE);
        assert!(read.is_ok(), "{selector}");
        for body in BODIES {
            stored += usize::from(tried(&xdm, selector, body).expect("promises are kept"));
        }
    }
    assert!(
        stored >= SELECTORS.len(),
        "most selectors have a body: {stored}"
    );
}

#[test]
fn a_spoilt_request_for_a_part_is_refused_or_keeps_its_promises() {
    let xdm = Xdm::new(Settings::default()).expect("our schemas load");
    let mut runner = TestRunner::new(ProptestConfig::with_cases(2_000));
    let requests = (0..SELECTORS.len(), acts(), 0..BODIES.len(), acts());
    let outcome = runner.run(&requests, |(selector, one, body, two)| {
        let selector = spoilt(SELECTORS[selector], &one);
        tried(&xdm, &selector, &spoilt(BODIES[body], &two)).map(drop)
    });
    assert_eq!(outcome, Ok(()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_spoilt_selector_is_refused_or_written_as_it_was_read(which in 0..SELECTORS.len(), acts in acts(), document in acts()) {
        let selector = spoilt(SELECTORS[which], &acts);
        let Ok(selector) = NodeSelector::parse(&selector, Some("xmlns(x=urn:x)"), NAMESPACE) else {
            return Ok(());
        };
        let written = selector.beginning(usize::MAX);
        let (path, query) = written.split_once('?').unwrap_or((&written, ""));
        let again = NodeSelector::parse(path, Some(query), NAMESPACE);
        prop_assert_eq!(again.map(|s| s.steps), Ok(selector.steps.clone()));
        let document = spoilt(LISTS, &document);
        let Ok(document) = guard::parse(document.as_bytes(), &Limits::default()) else {
            return Ok(());
        };
        if let Some(found) = node::find(&document, &selector)
            && let Some(range) = found.range(&document)
        {
            let content = found.content(&document);
            prop_assert_eq!(document.input_text().get(range), Some(&*content));
        }
    }
}
