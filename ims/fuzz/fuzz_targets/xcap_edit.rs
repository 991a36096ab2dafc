//! Any PUT and DELETE of a part of a document of lists: decided without a panic; what is put is read back; what is
//! deleted is gone; a refusal changes nothing; and the whole can always be read.
//!
//! Input: a line with the selector (behind `resource-lists/`), then the body.
#![no_main]

use bytes::Bytes;
use ims::sip::Aor;
use ims::xdm::{
    Change, Document, DocumentKey, Documents, Held, Identity, Method, Request, Settings, Xdm,
};
use ims::xml::guard::{self, Limits};
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;
use std::sync::OnceLock;

static XDM: OnceLock<Xdm> = OnceLock::new();

const INDEX: &str = "resource-lists/users/sip:bob@ims.test/index";
const LISTS: &str = "<?xml version=\"1.0\"?>\n<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\" xmlns:x='urn:x'>\
    <list name=\"a\"> <entry uri=\"sip:a@x.test\"/><!-- c --><entry uri='sip:b@x.test' x:k = \"&lt;v\"/>\
    <list name='b'/><x:y><x:z/></x:y></list>\n<list/></resource-lists>\n";

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

fuzz_target!(|data: &[u8]| {
    let line = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let (line, body) = data.split_at(line);
    let selector = String::from_utf8_lossy(line).into_owned();
    let xdm = XDM.get_or_init(|| Xdm::new(Settings::default()).expect("our schemas load"));
    let mut stored = Stored(BTreeMap::new());
    let mut tags = 0;
    let mut ask = |method, target: String, kind: &str, body: &[u8]| {
        let request = Request {
            method,
            target,
            query: Some("xmlns(x=urn:x)".to_owned()),
            content_type: Some(kind.to_owned()),
            content_encoding: None,
            if_match: None,
            if_none_match: None,
            body: Bytes::copy_from_slice(body),
            identity: Identity::Server,
        };
        let outcome = xdm.handle(&request, &stored, &mut || {
            tags += 1;
            format!("t{tags}")
        });
        if let Some(Change::Put { key, document }) = outcome.change {
            stored.0.insert(key, document);
        }
        outcome.response
    };
    let whole = INDEX.to_owned();
    let part = format!("{INDEX}/~~/resource-lists/{selector}");
    let kind = match selector.rsplit('/').next() {
        Some(last) if last.starts_with('@') => "application/xcap-att+xml",
        _ => "application/xcap-el+xml",
    };
    let made = ask(
        Method::Put,
        whole.clone(),
        "application/resource-lists+xml",
        LISTS.as_bytes(),
    );
    assert_eq!(made.status, 201);
    let body = body.get(1..).unwrap_or_default();
    let put = ask(Method::Put, part.clone(), kind, body);
    let got = ask(Method::Get, part.clone(), kind, b"");
    let result = ask(Method::Get, whole.clone(), kind, b"");
    if matches!(put.status, 200 | 201) {
        assert_eq!((got.status, &got.body[..]), (200, body.trim_ascii()));
        assert!(guard::parse(&result.body, &Limits::default()).is_ok());
        let again = ask(Method::Put, part.clone(), kind, body);
        assert_eq!((again.status, again.etag), (200, put.etag));
    } else {
        assert!(put.status >= 400);
        assert_eq!(result.body, LISTS);
    }
    let deleted = ask(Method::Delete, part.clone(), kind, b"");
    if deleted.status == 200 {
        assert_eq!(ask(Method::Get, part, kind, b"").status, 404);
    }
    let last = ask(Method::Get, whole, kind, b"");
    assert!(guard::parse(&last.body, &Limits::default()).is_ok());
});
