//! What one edit of a document of lists costs, from request to validated result: `cargo bench -p ims --bench xcap`.
//!
//! The document is a list of 200 entries with display names, about 20 KB.

#![allow(clippy::expect_used, clippy::panic)]

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use ims::sip::Aor;
use ims::xdm::{
    Change, Document, DocumentKey, Documents, Held, Identity, Method, Request, Settings, Xdm,
};
use std::collections::BTreeMap;
use std::hint::black_box;

const INDEX: &str = "resource-lists/users/sip:bob@home1.test/index";

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

fn entry(n: usize, name: &str) -> String {
    format!(
        "    <entry uri=\"sip:user{n:04}@home1.test\">\n      <display-name>{name} {n:04}</display-name>\n    </entry>\n"
    )
}

fn document() -> String {
    let entries: String = (0..200).map(|n| entry(n, "Somebody of mine")).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\">\n  \
         <list name=\"friends\">\n{entries}  </list>\n</resource-lists>\n"
    )
}

fn request(method: Method, selector: &str, kind: &str, body: &str) -> Request {
    Request {
        method,
        target: format!("{INDEX}{selector}"),
        query: None,
        content_type: Some(kind.to_owned()),
        content_encoding: None,
        if_match: None,
        if_none_match: None,
        body: Bytes::copy_from_slice(body.as_bytes()),
        identity: Identity::User("\"sip:bob@home1.test\"".to_owned()),
    }
}

fn of_edits(c: &mut Criterion) {
    let xdm = Xdm::new(Settings::default()).expect("our schemas load");
    let mut stored = Stored(BTreeMap::new());
    let whole = request(
        Method::Put,
        "",
        "application/resource-lists+xml",
        &document(),
    );
    let put = xdm.handle(&whole, &stored, &mut || "t1".to_owned());
    let Some(Change::Put { key, document }) = put.change else {
        panic!("the document is not taken: {}", put.response.status)
    };
    let mut other = whole.clone();
    other.body = Bytes::from(String::from_utf8_lossy(&whole.body).replace("mine 0100", "his 0100"));
    stored.0.insert(key, document);
    let in_list = |place: &str| format!("/~~/resource-lists/list%5B@name=%22friends%22%5D/{place}");
    let element = "application/xcap-el+xml";
    let hundredth = in_list("entry%5B@uri=%22sip:user0100@home1.test%22%5D");
    let new = in_list("entry%5B@uri=%22sip:new@home1.test%22%5D");
    let uri = in_list("entry%5B101%5D/@uri");
    for (name, request, status) in [
        (
            "element replaced, 20 KB",
            request(
                Method::Put,
                &hundredth,
                element,
                entry(100, "No longer").trim(),
            ),
            200,
        ),
        (
            "element created, 20 KB",
            request(
                Method::Put,
                &new,
                element,
                "<entry uri='sip:new@home1.test'/>",
            ),
            201,
        ),
        (
            "element deleted, 20 KB",
            request(Method::Delete, &hundredth, element, ""),
            200,
        ),
        (
            "attribute replaced, 20 KB",
            request(
                Method::Put,
                &uri,
                "application/xcap-att+xml",
                "\"sip:x@home1.test\"",
            ),
            200,
        ),
        (
            "element read, 20 KB",
            request(Method::Get, &hundredth, element, ""),
            200,
        ),
        ("document replaced, 20 KB", other, 200),
    ] {
        let mut tag = || "t2".to_owned();
        let outcome = xdm.handle(&request, &stored, &mut tag);
        assert_eq!(outcome.response.status, status, "{name}");
        c.bench_function(name, |b| {
            b.iter(|| xdm.handle(black_box(&request), &stored, &mut || "t2".to_owned()));
        });
    }
}

criterion_group!(benches, of_edits);
criterion_main!(benches);
