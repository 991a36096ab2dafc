//! Whole documents over XCAP: every row of RFC 4825 §8 that concerns them.

mod content;
mod edits;
mod hostile;
mod lists;
mod parts;
mod sketch;
mod touched;
mod usages;

use super::*;
use crate::sip::Aor;
use crate::xml::guard::Limits;
use bytes::Bytes;
use std::collections::BTreeMap;

const INDEX: &str = "pres-rules/users/sip:bob@ims.test/index";
const OMA: &str = "org.openmobilealliance.pres-rules/users/sip:bob@ims.test/pres-rules";
const TYPE: &str = "application/auth-policy+xml";
const EMPTY: &str = "<ruleset xmlns='urn:ietf:params:xml:ns:common-policy'/>";

/// A ruleset with the given rules; prefixes cr, pr, ocp and op are bound.
fn ruleset(rules: &str) -> String {
    format!(
        "<cr:ruleset xmlns:cr='urn:ietf:params:xml:ns:common-policy' xmlns:pr='urn:ietf:params:xml:ns:pres-rules' \
         xmlns:ocp='urn:oma:xml:xdm:common-policy' xmlns:op='urn:oma:xml:prs:pres-rules'>{rules}</cr:ruleset>"
    )
}

fn bob() -> Identity {
    Identity::User("\"sip:bob@ims.test\"".to_owned())
}

fn request(method: &str, target: &str, body: &str) -> Request {
    Request {
        method: Method::named(method),
        target: target.to_owned(),
        query: None,
        content_type: (method == "PUT").then(|| TYPE.to_owned()),
        content_encoding: None,
        if_match: None,
        if_none_match: None,
        body: Bytes::copy_from_slice(body.as_bytes()),
        identity: bob(),
    }
}

/// Bob has a telephone number too.
const BOBS: [&str; 2] = ["sip:bob@ims.test", "tel:+36105550001"];

struct Stored<'a>(&'a BTreeMap<DocumentKey, Document>);

impl Documents for Stored<'_> {
    fn document(&self, key: &DocumentKey) -> Option<&Document> {
        self.0.get(key)
    }

    fn held(&self, owner: &Aor) -> Held {
        Held::by(owner, self.0)
    }

    fn same_user(&self, one: &Aor, other: &Aor) -> bool {
        let bob = |aor: &Aor| BOBS.contains(&aor.as_str());
        one == other || (bob(one) && bob(other))
    }

    /// What stands in for the presence service: the entity of the document element.
    fn entity_of(&self, presence: &[u8]) -> Result<String, String> {
        let text = std::str::from_utf8(presence).unwrap();
        let document = roxmltree::Document::parse(text).unwrap();
        match document.root_element().attribute("entity") {
            Some(entity) => Ok(entity.to_owned()),
            None => Err("Missing Entity".to_owned()),
        }
    }
}

/// A server with its documents; entity-tags count up.
struct Server {
    xdm: Xdm,
    documents: BTreeMap<DocumentKey, Document>,
    tags: u32,
}

impl Server {
    fn new() -> Server {
        Server::with(Settings::default())
    }

    fn with(settings: Settings) -> Server {
        Server {
            xdm: Xdm::new(settings).unwrap(),
            documents: BTreeMap::new(),
            tags: 0,
        }
    }

    fn send(&mut self, request: &Request) -> Response {
        let mut new_etag = || {
            self.tags += 1;
            format!("t{}", self.tags)
        };
        let outcome = self
            .xdm
            .handle(request, &Stored(&self.documents), &mut new_etag);
        match outcome.change {
            Some(Change::Put { key, document }) => {
                self.documents.insert(key, document);
            }
            Some(Change::Delete { key }) => {
                self.documents.remove(&key);
            }
            None => {}
        }
        outcome.response
    }

    fn put(&mut self, target: &str, body: &str) -> Response {
        self.send(&request("PUT", target, body))
    }
}

/// The element of a conflict report and its phrase.
fn conflict(response: &Response) -> (String, String) {
    assert_eq!(
        response.content_type.as_deref(),
        Some("application/xcap-error+xml")
    );
    let document = guard::parse(&response.body, &Limits::default()).unwrap();
    let node = document
        .descendants()
        .find(|n| n.attribute("phrase").is_some())
        .unwrap();
    (
        node.tag_name().name().to_owned(),
        node.attribute("phrase").unwrap().to_owned(),
    )
}

#[test]
fn a_document_lives_from_put_to_delete() {
    let mut server = Server::new();
    let body = ruleset("<cr:rule id='a'/>");
    assert_eq!(server.send(&request("GET", INDEX, "")).status, 404);

    let created = server.put(INDEX, &body);
    assert_eq!(
        (created.status, created.etag.as_deref(), created.body.len()),
        (201, Some("\"t1\""), 0)
    );

    let got = server.send(&request("GET", INDEX, ""));
    assert_eq!(
        (got.status, got.content_type.as_deref(), got.etag.as_deref()),
        (200, Some(TYPE), Some("\"t1\""))
    );
    assert_eq!(got.body, body);
    assert_eq!(server.send(&request("HEAD", INDEX, "")), got);

    let replaced = server.put(INDEX, EMPTY);
    assert_eq!(
        (
            replaced.status,
            replaced.etag.as_deref(),
            replaced.body.len()
        ),
        (200, Some("\"t2\""), 0)
    );
    assert_eq!(server.send(&request("GET", INDEX, "")).body, EMPTY);

    let deleted = server.send(&request("DELETE", INDEX, ""));
    assert_eq!((deleted.status, deleted.etag), (200, None));
    assert_eq!(server.send(&request("GET", INDEX, "")).status, 404);
    assert_eq!(server.send(&request("DELETE", INDEX, "")).status, 404);
    assert_eq!(
        server.put(INDEX, &body).etag.as_deref(),
        Some("\"t3\""),
        "a tag never returns"
    );
}

#[test]
fn requests_are_refused_before_their_content_is_looked_at() {
    let mut server = Server::new();
    server.put(INDEX, EMPTY);
    let alice = Identity::User("\"sip:alice@ims.test\"".to_owned());
    let global = "pres-rules/global/index";
    let node = "pres-rules/users/sip:bob@ims.test/index/~~/ruleset/rule%5b1%5d";
    for (case, method, target, identity, status) in [
        (
            "an unknown usage",
            "GET",
            "resource-listx/users/sip:bob@ims.test/index",
            bob(),
            404,
        ),
        (
            "no document",
            "GET",
            "pres-rules/users/sip:bob@ims.test",
            bob(),
            404,
        ),
        (
            "a user that is no URI",
            "PUT",
            "pres-rules/users/bob/index",
            bob(),
            404,
        ),
        (
            "a broken escape",
            "GET",
            "pres-rules/users/sip:bob@ims.test/%zz",
            bob(),
            400,
        ),
        ("POST", "POST", INDEX, bob(), 405),
        ("POST by nobody", "POST", INDEX, Identity::Unknown, 405),
        ("PATCH", "PATCH", INDEX, bob(), 405),
        ("methods are case-sensitive", "get", INDEX, bob(), 405),
        ("nobody reads", "GET", INDEX, Identity::Unknown, 403),
        ("nobody writes", "PUT", INDEX, Identity::Unknown, 403),
        ("nobody deletes", "DELETE", INDEX, Identity::Unknown, 403),
        ("another user reads", "GET", INDEX, alice.clone(), 403),
        ("another user writes", "PUT", INDEX, alice.clone(), 403),
        ("another user deletes", "DELETE", INDEX, alice.clone(), 403),
        (
            "another user asks for what is not there",
            "GET",
            "pres-rules/users/sip:bob@ims.test/x",
            alice,
            403,
        ),
        ("a server reads", "GET", INDEX, Identity::Server, 200),
        ("a user in the global tree", "PUT", global, bob(), 403),
        (
            "a server in the global tree",
            "GET",
            global,
            Identity::Server,
            404,
        ),
        (
            "the owner in another spelling",
            "GET",
            "/pres-rules/users/sip%3Abob%40IMS.test/index",
            bob(),
            200,
        ),
        (
            "the other usage has its own documents",
            "GET",
            OMA,
            bob(),
            404,
        ),
        ("an element that is not there", "GET", node, bob(), 404),
        (
            "an element, for others",
            "GET",
            node,
            Identity::Unknown,
            403,
        ),
    ] {
        let response = server.send(&Request {
            identity,
            ..request(method, target, EMPTY)
        });
        assert_eq!(response.status, status, "{case}");
        assert_eq!(response.allow.is_some(), status == 405, "{case}");
    }
    let mut strict = Server::with(Settings {
        unidentified: 401,
        ..Settings::default()
    });
    let nobody = Request {
        identity: Identity::Unknown,
        ..request("GET", INDEX, "")
    };
    assert_eq!(strict.send(&nobody).status, 401);
}

#[test]
fn the_body_must_be_of_the_usages_type_and_size() {
    let size = EMPTY.len();
    for (case, content_type, encoding, max_document, status) in [
        ("the type", Some(TYPE), None, size, 201),
        (
            "with a charset",
            Some("application/auth-policy+xml; charset=UTF-8"),
            None,
            size,
            201,
        ),
        ("no coding", Some(TYPE), Some("Identity"), size, 201),
        (
            "another charset",
            Some("application/auth-policy+xml; charset=latin1"),
            None,
            size,
            409,
        ),
        ("no type", None, None, size, 415),
        ("any XML", Some("application/xml"), None, size, 415),
        (
            "an element",
            Some("application/xcap-el+xml"),
            None,
            size,
            415,
        ),
        ("compressed", Some(TYPE), Some("gzip"), size, 415),
        ("one byte too long", Some(TYPE), None, size - 1, 413),
    ] {
        let mut server = Server::with(Settings {
            max_document,
            ..Settings::default()
        });
        let put = Request {
            content_type: content_type.map(str::to_owned),
            content_encoding: encoding.map(str::to_owned),
            ..request("PUT", INDEX, EMPTY)
        };
        assert_eq!(server.send(&put).status, status, "{case}");
    }
}

#[test]
fn conditions_guard_every_method() {
    let cases = [
        ("GET the same", "GET", None, Some("\"t1\""), 304),
        ("GET another", "GET", None, Some("\"t0\""), 200),
        ("GET any but it is there", "GET", None, Some("*"), 304),
        ("HEAD the same", "HEAD", None, Some("W/\"t1\""), 304),
        ("GET only this", "GET", Some("\"t0\""), None, 412),
        (
            "PUT on the state seen",
            "PUT",
            Some("\"t0\", \"t1\""),
            None,
            200,
        ),
        ("PUT on a state gone by", "PUT", Some("\"t0\""), None, 412),
        ("PUT weakly", "PUT", Some("W/\"t1\""), None, 412),
        ("PUT if there", "PUT", Some("*"), None, 200),
        ("PUT to create", "PUT", None, Some("*"), 412),
        ("PUT unless seen", "PUT", None, Some("\"t1\""), 412),
        ("DELETE the state seen", "DELETE", Some("\"t1\""), None, 200),
        (
            "DELETE a state gone by",
            "DELETE",
            Some("\"t0\""),
            None,
            412,
        ),
        ("nonsense", "PUT", Some("t1"), None, 400),
    ];
    for (case, method, if_match, if_none_match, status) in cases {
        let mut server = Server::new();
        server.put(INDEX, EMPTY);
        let before = server.documents.clone();
        let conditional = Request {
            if_match: if_match.map(str::to_owned),
            if_none_match: if_none_match.map(str::to_owned),
            ..request(method, INDEX, &ruleset("<cr:rule id='a'/>"))
        };
        let response = server.send(&conditional);
        assert_eq!(response.status, status, "{case}");
        assert_eq!(
            response.etag.is_some(),
            matches!(status, 200 | 304) && method != "DELETE",
            "{case}"
        );
        assert_eq!(
            server.documents != before,
            status == 200 && matches!(method, "PUT" | "DELETE"),
            "{case}"
        );
    }
    for (case, method, if_match, if_none_match, status) in [
        ("PUT to create", "PUT", None, Some("*"), 201),
        ("PUT to replace", "PUT", Some("*"), None, 412),
        ("PUT to replace one state", "PUT", Some("\"t1\""), None, 412),
        ("GET what is not there", "GET", Some("\"t1\""), None, 404),
        (
            "DELETE what is not there",
            "DELETE",
            Some("\"t1\""),
            None,
            404,
        ),
    ] {
        let conditional = Request {
            if_match: if_match.map(str::to_owned),
            if_none_match: if_none_match.map(str::to_owned),
            ..request(method, INDEX, EMPTY)
        };
        assert_eq!(
            Server::new().send(&conditional).status,
            status,
            "{case}, not there"
        );
    }
    // A condition that fails is told before a body that would fail (RFC 9110 §13.2.1).
    let stale = Request {
        if_match: Some("\"t0\"".to_owned()),
        ..request("PUT", INDEX, "no XML")
    };
    assert_eq!(Server::new().send(&stale).status, 412);
}
