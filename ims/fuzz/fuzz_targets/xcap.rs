//! Any path, conditions and body: a PUT is decided without a panic, and what it stores is what is read back.
//!
//! Input: a byte of choices, a line with the path (empty: an ordinary one), then the body.
#![no_main]

use bytes::Bytes;
use ims::sip::Aor;
use ims::xdm::{
    Change, Document, DocumentKey, Documents, Held, Identity, Method, Request, Settings, Xdm,
};
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;
use std::sync::OnceLock;

static XDM: OnceLock<Xdm> = OnceLock::new();

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
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let line = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let (line, body) = data.split_at(line);
    let text = String::from_utf8_lossy(line).into_owned();
    let conditional = |bit: u8| (choice & bit != 0).then(|| text.clone());
    let ordinary = "pres-rules/users/sip:bob@ims.test/index";
    let put = Request {
        method: Method::Put,
        target: if choice & 1 == 0 {
            ordinary.to_owned()
        } else {
            text.clone()
        },
        query: None,
        content_type: Some("application/auth-policy+xml".to_owned()),
        content_encoding: conditional(2),
        if_match: conditional(4),
        if_none_match: conditional(8),
        body: Bytes::copy_from_slice(body.get(1..).unwrap_or_default()),
        identity: if choice & 16 == 0 {
            Identity::Server
        } else {
            Identity::User(text.clone())
        },
    };
    let xdm = XDM.get_or_init(|| Xdm::new(Settings::default()).expect("our schemas load"));
    let mut documents = Stored(BTreeMap::new());
    let outcome = xdm.handle(&put, &documents, &mut || "t1".to_owned());
    let Some(Change::Put { key, document }) = outcome.change else {
        assert!(outcome.response.status >= 400);
        return;
    };
    assert_eq!(outcome.response.status, 201);
    assert_eq!(DocumentKey::decode(&key.encode()).as_ref(), Some(&key));
    assert_eq!(
        Document::decode(&document.encode()).as_ref(),
        Some(&document)
    );
    documents.0.insert(key, document);
    let get = Request {
        method: Method::Get,
        if_match: None,
        if_none_match: None,
        identity: Identity::Server,
        ..put.clone()
    };
    let read = xdm.handle(&get, &documents, &mut || unreachable!());
    assert_eq!(
        (read.response.status, &read.response.body),
        (200, &put.body)
    );
});
