//! Whole documents over XCAP: every row of RFC 4825 §8 that concerns them.

use super::*;
use crate::sip::Aor;
use bytes::Bytes;
use proptest::prelude::*;
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
        let outcome = self.xdm.handle(request, &self.documents, &mut new_etag);
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
    assert_eq!(response.content_type, Some("application/xcap-error+xml"));
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
        (got.status, got.content_type, got.etag.as_deref()),
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
        ("a node is not offered yet", "GET", node, bob(), 501),
        ("nor for change", "PUT", node, bob(), 501),
        ("nor to others", "GET", node, Identity::Unknown, 403),
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

#[test]
fn a_document_that_may_not_be_stored_is_explained() {
    let twice = ruleset("<cr:rule id='a'/><cr:rule id='a'/>");
    let known = ruleset("<cr:rule id='a'><cr:actions><pr:handling/></cr:actions></cr:rule>");
    let value = ruleset(
        "<cr:rule id='a'><cr:actions><pr:sub-handling>maybe</pr:sub-handling></cr:actions></cr:rule>",
    );
    let doctype = format!("<!DOCTYPE ruleset>{EMPTY}");
    let deep = ruleset(&format!("{}{}", "<x>".repeat(64), "</x>".repeat(64)));
    let latin = format!("<?xml version='1.0' encoding='ISO-8859-1'?>{EMPTY}");
    for (case, target, body, element, phrase) in [
        ("no XML", INDEX, "hello", "not-well-formed", "1:1"),
        ("an empty body", INDEX, "", "not-well-formed", ""),
        ("a tag left open", INDEX, "<a>", "not-well-formed", ""),
        (
            "another encoding",
            INDEX,
            latin.as_str(),
            "not-utf-8",
            "ISO-8859-1",
        ),
        (
            "a document type",
            INDEX,
            doctype.as_str(),
            "constraint-failure",
            "document type",
        ),
        (
            "a document type, to an OMA client",
            OMA,
            doctype.as_str(),
            "local-constraint-failure",
            "document type",
        ),
        (
            "deep nesting",
            INDEX,
            deep.as_str(),
            "constraint-failure",
            "deeper",
        ),
        (
            "another document",
            INDEX,
            "<a/>",
            "schema-validation-error",
            "ruleset",
        ),
        (
            "an element that is no document",
            INDEX,
            "<class xmlns='urn:ietf:params:xml:ns:pres-rules'/>",
            "schema-validation-error",
            "ruleset",
        ),
        (
            "the same id twice",
            INDEX,
            twice.as_str(),
            "schema-validation-error",
            "the id \"a\" is used twice",
        ),
        (
            "an unknown name of a known vocabulary",
            INDEX,
            known.as_str(),
            "schema-validation-error",
            "/ruleset/rule/actions/handling",
        ),
        (
            "a value",
            INDEX,
            value.as_str(),
            "schema-validation-error",
            "\"allow\", \"polite-block\"",
        ),
        (
            "a sub-directory",
            "pres-rules/users/sip:bob@ims.test/a/b",
            EMPTY,
            "no-parent",
            "sub-directories",
        ),
        (
            "another name under the OMA usage",
            "org.openmobilealliance.pres-rules/users/sip:bob@ims.test/index",
            EMPTY,
            "constraint-failure",
            "pres-rules",
        ),
    ] {
        let mut server = Server::new();
        server.put(INDEX, EMPTY);
        server.put(OMA, EMPTY);
        let before = server.documents.clone();
        let response = server.put(target, body);
        assert_eq!(response.status, 409, "{case}");
        let (found, words) = conflict(&response);
        assert_eq!(found, element, "{case}: {words}");
        assert!(words.contains(phrase), "{case}: {words}");
        assert_eq!(server.documents, before, "{case}");
    }
}

#[test]
fn oma_constraints_hold_where_its_vocabulary_is_used() {
    let anonymous =
        "<cr:rule id='z'><cr:conditions><ocp:anonymous-request/></cr:conditions></cr:rule>";
    let rule = |conditions: &str, handling: &str, transformations: &str| {
        format!(
            "<cr:rule id='a'><cr:conditions>{conditions}</cr:conditions><cr:actions><pr:sub-handling>{handling}\
             </pr:sub-handling></cr:actions><cr:transformations>{transformations}</cr:transformations></cr:rule>"
        )
    };
    let list = |uri: &str| {
        rule(
            &format!("<ocp:external-list><ocp:entry anc='{uri}'/></ocp:external-list>"),
            "allow",
            "",
        )
    };
    let two = "<cr:identity><cr:many/></cr:identity><cr:identity><cr:many/></cr:identity>";
    let all = "<pr:provide-all-attributes/>";
    let own = "http://xcap.ims.test/xcap-root/resource-lists/users/sip:bob@ims.test/index/~~/resource-lists/list%5b1%5d";
    let (complex, transform, foreign, outside) = (
        "Complex rules",
        "transformations",
        "another user",
        "this XCAP root",
    );
    for (case, rules, refused) in [
        (
            "one of each kind",
            rule("<ocp:other-identity/>", "allow", all),
            None,
        ),
        ("two identities, no OMA", rule(two, "allow", all), None),
        (
            "two identities",
            rule(two, "allow", "") + anonymous,
            Some(complex),
        ),
        (
            "two of an OMA kind",
            rule("<ocp:other-identity/><ocp:other-identity/>", "allow", ""),
            Some(complex),
        ),
        (
            "transformations of a block rule, no OMA",
            rule("", "block", all),
            None,
        ),
        (
            "transformations of a block rule",
            rule("", "block", all) + anonymous,
            Some(transform),
        ),
        (
            "empty transformations of a block rule",
            rule("", "block", " <!-- --> ") + anonymous,
            None,
        ),
        (
            "an OMA permission of a confirm rule",
            rule(
                "",
                "confirm",
                "<op:provide-willingness>1</op:provide-willingness>",
            ),
            Some(transform),
        ),
        ("an own list", list(own), None),
        (
            "an own list in another spelling",
            list("https://ims.test/resource-lists/users/sip%3Abob%40ims.test/x"),
            None,
        ),
        (
            "another user's list",
            list("http://ims.test/resource-lists/users/sip:alice@ims.test/index"),
            Some(foreign),
        ),
        (
            "traversal to another user's list",
            list(
                "http://ims.test/resource-lists/users/sip:bob@ims.test%2f..%2fsip:alice@ims.test/index",
            ),
            Some(foreign),
        ),
        (
            "a list for everybody",
            list("http://ims.test/resource-lists/global/index"),
            Some(foreign),
        ),
        (
            "no list",
            list("http://ims.test/pres-rules/users/sip:bob@ims.test/index"),
            Some(outside),
        ),
        ("a file", list("file:///etc/passwd"), Some(outside)),
    ] {
        let response = Server::new().put(INDEX, &ruleset(&rules));
        match refused {
            None => assert_eq!(response.status, 201, "{case}: {:?}", response.body),
            Some(phrase) => {
                let (element, words) = conflict(&response);
                assert_eq!(
                    (response.status, element.as_str()),
                    (409, "constraint-failure"),
                    "{case}"
                );
                assert!(words.contains(phrase), "{case}: {words}");
            }
        }
    }
    let rooted = |root: &str| {
        Server::with(Settings {
            roots: vec![root.to_owned()],
            ..Settings::default()
        })
    };
    assert_eq!(
        rooted("http://xcap.ims.test/xcap-root/")
            .put(INDEX, &ruleset(&list(own)))
            .status,
        201
    );
    assert_eq!(
        rooted("http://xcap.ims.test")
            .put(INDEX, &ruleset(&list(own)))
            .status,
        409
    );
    let mut open = Server::with(Settings {
        foreign_lists: true,
        ..Settings::default()
    });
    assert_eq!(
        open.put(INDEX, &ruleset(&list("http://elsewhere.test/list")))
            .status,
        201
    );
}

#[test]
fn a_user_keeps_no_more_than_the_quota() {
    let limits = Settings {
        max_documents_per_user: 2,
        max_bytes_per_user: 3 * EMPTY.len(),
        ..Settings::default()
    };
    let mut server = Server::with(limits);
    let path = |user: &str, name: &str| format!("pres-rules/users/sip:{user}@ims.test/{name}");
    let longer = |n: usize| EMPTY.to_owned() + &" ".repeat(n);
    assert_eq!(server.put(&path("bob", "a"), EMPTY).status, 201);
    assert_eq!(server.put(OMA, EMPTY).status, 201);
    let full = server.put(&path("bob", "c"), EMPTY);
    assert_eq!(
        (full.status, conflict(&full).0.as_str()),
        (409, "constraint-failure")
    );
    assert_eq!(
        server.put(&path("bob", "a"), &longer(EMPTY.len())).status,
        200,
        "up to the last byte"
    );
    assert_eq!(
        server
            .put(&path("bob", "a"), &longer(EMPTY.len() + 1))
            .status,
        409,
        "one byte more"
    );
    server.xdm.settings.max_bytes_per_user = 1;
    assert_eq!(
        server.put(&path("bob", "a"), &longer(1)).status,
        200,
        "over a lowered limit it may shrink"
    );
    let other = Request {
        identity: Identity::Server,
        ..request("PUT", &path("eve", "a"), EMPTY)
    };
    server.xdm.settings.max_bytes_per_user = EMPTY.len();
    assert_eq!(
        server.send(&other).status,
        201,
        "each user has a quota of their own"
    );
}

/// A stored body, mostly valid: a rule per id, some of them ill-formed or invalid.
fn bodies() -> impl Strategy<Value = String> {
    let rule = prop_oneof![
        6 => "[a-z]{1,3}".prop_map(|id| format!("<cr:rule id=\"{id}\"/>")),
        2 => "[ \n\t]{0,3}".prop_map(|blank| blank),
        1 => "[<&a-z>\"\u{e9}]{1,8}".prop_map(|noise| noise),
    ];
    prop::collection::vec(rule, 0..4).prop_map(|rules| ruleset(&rules.concat()))
}

proptest! {
    #[test]
    fn what_is_put_is_got_and_what_is_refused_changes_nothing(puts in prop::collection::vec((0..3_u8, bodies()), 1..8)) {
        let mut server = Server::new();
        for (name, body) in puts {
            let target = format!("pres-rules/users/sip:bob@ims.test/{name}");
            let before = server.documents.clone();
            let first = server.put(&target, &body);
            if first.status == 409 {
                prop_assert_eq!(&server.documents, &before);
                continue;
            }
            prop_assert!(matches!(first.status, 200 | 201));
            let got = server.send(&request("GET", &target, ""));
            prop_assert_eq!(&got.body[..], body.as_bytes());
            prop_assert_eq!(&got.etag, &first.etag);
            // Idempotent: the same PUT again leaves everything as it is.
            let after = server.documents.clone();
            let second = server.put(&target, &body);
            prop_assert_eq!((second.status, &second.etag), (200, &first.etag));
            prop_assert_eq!(&server.documents, &after);
        }
    }

    #[test]
    fn no_request_panics(target in ".{0,60}", body in prop::collection::vec(any::<u8>(), 0..200), tag in ".{0,10}") {
        let mut server = Server::new();
        let hostile = Request {
            body: Bytes::from(body),
            if_match: Some(tag.clone()),
            identity: Identity::User(tag),
            ..request("PUT", &target, "")
        };
        server.send(&hostile);
        server.send(&Request { target: INDEX.to_owned(), if_match: None, identity: bob(), ..hostile });
    }
}

#[test]
fn hostile_documents_are_refused_quickly() {
    let wide = |n: usize| (0..n).map(|i| format!(" a{i}=''")).collect::<String>();
    let spaces = |n: usize| {
        (0..n)
            .map(|i| format!("<x xmlns:p{i}='u{i}'>"))
            .collect::<String>()
    };
    let mut server = Server::new();
    let started = std::time::Instant::now();
    for (case, body) in [
        (
            "an entity bomb",
            "<!DOCTYPE a [<!ENTITY b 'bbbb'><!ENTITY c '&b;&b;&b;'>]><a>&c;</a>".to_owned(),
        ),
        ("a hundred thousand levels", "<a>".repeat(80_000)),
        (
            "twenty thousand attributes",
            format!("<a{}/>", wide(20_000)),
        ),
        ("namespaces all the way down", spaces(10_000)),
        ("a long name", format!("<{}/>", "a".repeat(250_000))),
        (
            "a long attribute name",
            format!("<a {}=''/>", "a".repeat(250_000)),
        ),
        (
            "a long list of rules",
            ruleset(&"<cr:rule id='a'/>".repeat(14_000)),
        ),
        (
            "a long value",
            ruleset(&format!("<cr:rule id='{}'/>", "a ".repeat(120_000))),
        ),
        ("comments", ruleset(&"<!---->".repeat(35_000)) + "<"),
        ("references", ruleset(&"&#60;".repeat(50_000))),
        ("open brackets", "<".repeat(250_000)),
        (
            "wildcard after wildcard",
            ruleset(&format!(
                "<cr:rule id='a'><cr:actions>{}<cr:x/></cr:actions></cr:rule>",
                "<x/>".repeat(50_000)
            )),
        ),
    ] {
        let response = server.put(INDEX, &body);
        assert_eq!(response.status, 409, "{case}");
        assert!(response.body.len() < 2_000, "{case}");
    }
    // A dozen documents of a quarter of a megabyte each; unoptimised and on a busy machine.
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    let own = DocumentKey::user(
        Aor::parse("sip:bob@ims.test").unwrap(),
        "pres-rules",
        "index",
    );
    assert_eq!(server.documents.get(&own), None);
}
