//! Parts of documents: the examples of RFC 4825 §7 and §8.

mod properties;
mod refusals;

use super::*;
use crate::xdm::media::{ATTRIBUTE, ELEMENT, NAMESPACES};
use crate::xdm::usage::{Names, Readers, Rules};
use std::sync::Arc;

/// A usage without a schema; a document with an element `bad`, or without `need` where it had one, is invalid.
#[derive(Debug)]
struct Free;

impl Rules for Free {
    fn check(&self, candidate: &Candidate<'_>) -> Result<Standing, Conflict> {
        let names = |name: &str| {
            let mut nodes = candidate.document.descendants();
            nodes.any(|node| node.tag_name().name() == name)
        };
        let had = candidate.documents.document(candidate.key);
        let needs = had.is_some_and(|old| old.bytes.windows(5).any(|w| w == b"<need"));
        if names("bad") {
            return Err(Conflict::SchemaValidation("bad".into()));
        }
        if needs && !names("need") {
            return Err(Conflict::Constraint("need".into()));
        }
        Ok(Standing::Unknown)
    }

    fn namespaces(&self) -> Vec<String> {
        Vec::new()
    }
}

/// One document of a usage without a schema.
pub(super) struct Sheet {
    xdm: Xdm,
    usage: Usage,
    documents: BTreeMap<DocumentKey, Document>,
    tags: u32,
}

impl Sheet {
    pub(super) fn new(document: &str, namespace: &str, limits: Limits) -> Sheet {
        let bytes = Bytes::copy_from_slice(document.as_bytes());
        let etag = "t0".to_owned();
        Sheet {
            xdm: Xdm::new(Settings::default()).unwrap(),
            usage: Usage {
                auid: "test".into(),
                media_type: TYPE.into(),
                namespace: namespace.to_owned().into(),
                limits,
                users: Kept::Put(Names::Any),
                global: Kept::Nothing,
                readers: Readers::Everybody,
                shown: false,
                rules: Arc::new(Free),
            },
            documents: BTreeMap::from([(Sheet::key(), Document::new(etag, bytes))]),
            tags: 0,
        }
    }

    fn key() -> DocumentKey {
        DocumentKey::user(Aor::parse("sip:bob@ims.test").unwrap(), "test", "index")
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.documents[&Sheet::key()].bytes).unwrap()
    }

    /// Sends a request for the part that a selector, not percent-encoded, names.
    pub(super) fn send(&mut self, method: &str, path: &str, query: &str, body: &[u8]) -> Response {
        let path = path.replace('%', "%25");
        let selector = match NodeSelector::parse(&path, Some(query), &self.usage.namespace) {
            Ok(selector) => selector,
            Err(error) => return unselectable(error).response(403, false),
        };
        let kind = match selector.terminal {
            None => ELEMENT,
            Some(_) => ATTRIBUTE,
        };
        let request = Request {
            content_type: Some(kind.to_owned()),
            body: Bytes::copy_from_slice(body),
            ..request(method, "", "")
        };
        let documents = self.documents.clone();
        let part = Part {
            usage: &self.usage,
            key: &Sheet::key(),
            selector: &selector,
            documents: &Stored(&documents),
        };
        let mut new_etag = || {
            self.tags += 1;
            format!("t{}", self.tags)
        };
        let outcome = match method {
            "GET" => crate::xdm::parts::read(&request, &part, documents.get(&Sheet::key())),
            "PUT" => self.xdm.put_part(&request, &part, &mut new_etag),
            _ => self.xdm.delete_part(&request, &part, &mut new_etag),
        };
        match outcome {
            Ok(outcome) => {
                if let Some(Change::Put { key, document }) = outcome.change {
                    self.documents.insert(key, document);
                }
                outcome.response
            }
            Err(reject) => reject.response(403, false),
        }
    }

    /// Status of a request and, of a conflict, the condition.
    pub(super) fn told(&mut self, method: &str, path: &str, body: &str) -> String {
        let response = self.send(method, path, "", body.as_bytes());
        match response.status {
            409 => conflict_name(&response),
            status => status.to_string(),
        }
    }
}

pub(super) fn conflict_name(response: &Response) -> String {
    format!("409 {}", conflict(response).0)
}

/// The document of RFC 4825 §8.2.3.
const ROOT: &str = "<?xml version=\"1.0\"?>\n<root>\n <el1 att=\"first\"/>\n <el1 att=\"second\"/>\n <!-- comment -->\n <el2 att=\"first\"/>\n</root>\n";

#[test]
fn a_new_element_stands_where_the_selector_says() {
    // The examples of §8.2.3: selectors, body, and what stands before and behind it in the result.
    let third = "<el1 att=\"third\"/>";
    let second = "<el2 att=\"2\"/>";
    for (selectors, body, before) in [
        (
            &[
                "root/el1[@att=\"third\"]",
                "root/el1[3][@att=\"third\"]",
                "root/*[3][@att=\"third\"]",
                "root/el1[3]",
            ][..],
            third,
            "<el1 att=\"second\"/>",
        ),
        (
            &["root/el3", "root/el3[1]", "root/el3[@att='first']"],
            "<el3 att=\"first\"/>",
            " <el2 att=\"first\"/>\n",
        ),
        (
            &[
                "root/el2[@att=\"2\"]",
                "root/el2[2][@att=\"2\"]",
                "root/el2[2]",
                "root/*[@att='2']",
            ],
            second,
            "<el2 att=\"first\"/>",
        ),
        (&["root/*[2][@att=\"2\"]"], second, "<el1 att=\"first\"/>"),
        (&["root/el2[1][@att=\"2\"]"], second, "<!-- comment -->\n "),
        (&["root/*[1][@att=\"2\"]"], second, "<root>\n "),
        (&["root/*[@att=\"third\"]"], third, "<el1 att=\"second\"/>"),
        (
            &["root/*[@x='1']"],
            "<el3 x='1'/>",
            "<el2 att=\"first\"/>\n",
        ),
        (
            &["root/el2/el3", "root/*[3]/*", "root/el2/*[1]"],
            "<el3/>",
            "",
        ),
    ] {
        for selector in selectors {
            let mut sheet = Sheet::new(ROOT, "", Limits::default());
            let put = sheet.send("PUT", selector, "", body.as_bytes());
            assert_eq!(
                (put.status, put.etag.as_deref()),
                (201, Some("\"t1\"")),
                "{selector}"
            );
            assert!(put.body.is_empty());
            let expected = match before {
                "" => ROOT.replace("<el2 att=\"first\"/>", "<el2 att=\"first\"><el3/></el2>"),
                before => {
                    let at = ROOT.find(before).unwrap() + before.len();
                    format!("{}{body}{}", &ROOT[..at], &ROOT[at..])
                }
            };
            assert_eq!(sheet.text(), expected, "{selector}");
            let got = sheet.send("GET", selector, "", b"");
            assert_eq!(
                (got.status, got.content_type.as_deref(), &got.body[..]),
                (200, Some(ELEMENT), body.as_bytes())
            );
            assert_eq!(got.etag, put.etag);
            // Idempotent, and the same again changes nothing.
            let again = sheet.send("PUT", selector, "", body.as_bytes());
            assert_eq!(
                (again.status, again.etag.as_deref()),
                (200, Some("\"t1\"")),
                "{selector}"
            );
            assert_eq!(sheet.text(), expected);
            let deleted = sheet.send("DELETE", selector, "", b"");
            if deleted.status == 200 {
                assert_eq!(deleted.etag.as_deref(), Some("\"t2\""));
                let emptied = expected.replacen(body, "", 1);
                assert_eq!(sheet.text(), emptied, "white space stays: {selector}");
                assert_eq!(sheet.send("GET", selector, "", b"").status, 404);
                assert_eq!(sheet.send("DELETE", selector, "", b"").status, 404);
            } else {
                assert_eq!(conflict_name(&deleted), "409 cannot-delete", "{selector}");
            }
        }
    }
}

#[test]
fn an_element_is_replaced_in_its_place() {
    for (selector, body, expected) in [
        (
            "root/el1[1]",
            "<el1 att='0'>x</el1>",
            ROOT.replacen("<el1 att=\"first\"/>", "<el1 att='0'>x</el1>", 1),
        ),
        // another name, selected by its place
        (
            "root/*[1]",
            "<new xmlns='urn:n'><el1/></new>",
            ROOT.replacen("<el1 att=\"first\"/>", "<new xmlns='urn:n'><el1/></new>", 1),
        ),
        (
            "root",
            "<root/>",
            "<?xml version=\"1.0\"?>\n<root/>\n".to_owned(),
        ),
        (
            "*",
            "\r\n<other/>\n",
            "<?xml version=\"1.0\"?>\n<other/>\n".to_owned(),
        ),
    ] {
        let mut sheet = Sheet::new(ROOT, "", Limits::default());
        assert_eq!(sheet.told("PUT", selector, body), "200", "{selector}");
        assert_eq!(sheet.text(), expected, "{selector}");
    }
}

#[test]
fn an_attribute_is_put_read_and_deleted() {
    for (case, document, path, body, status, expected) in [
        (
            "replaced",
            "<r><a b = 'c' d='e'/></r>",
            "r/a/@b",
            "\"x\"",
            200,
            "<r><a b = \"x\" d='e'/></r>",
        ),
        (
            "created",
            "<r><a d='e'/></r>",
            "r/a/@b",
            "\"x 'y'\"",
            201,
            "<r><a b=\"x 'y'\" d='e'/></r>",
        ),
        (
            "the first",
            "<r><a/></r>",
            "r/a/@b",
            "'x'",
            201,
            "<r><a b='x'/></r>",
        ),
        (
            "of an element with content",
            "<r><a>t</a></r>",
            "r/a/@b",
            "''",
            201,
            "<r><a b=''>t</a></r>",
        ),
        (
            "in the namespace, as the document has it",
            "<r xmlns:q='urn:p'><a/></r>",
            "r/a/@p:b",
            "'x'",
            201,
            "<r xmlns:q='urn:p'><a q:b='x'/></r>",
        ),
        (
            "its own prefix before others",
            "<r xmlns:q='urn:p' xmlns:p='urn:p' xmlns='urn:d'><d:a xmlns:d=''/></r>",
            "r/@p:b",
            "'x'",
            201,
            "<r p:b='x' xmlns:q='urn:p' xmlns:p='urn:p' xmlns='urn:d'><d:a xmlns:d=''/></r>",
        ),
        (
            "xml:lang",
            "<r/>",
            "r/@xml:lang",
            "\"en\"",
            201,
            "<r xml:lang=\"en\"/>",
        ),
    ] {
        let document = document.replace("<d:a xmlns:d=''/>", "<d:a xmlns:d='urn:e'/>");
        let expected = expected.replace("<d:a xmlns:d=''/>", "<d:a xmlns:d='urn:e'/>");
        let query = "xmlns(p=urn:p)";
        let path = if document.contains("urn:d") {
            path.replacen('r', "*", 1)
        } else {
            path.to_owned()
        };
        let mut sheet = Sheet::new(&document, "", Limits::default());
        let put = sheet.send("PUT", &path, query, body.as_bytes());
        assert_eq!(put.status, status, "{case}");
        assert_eq!(sheet.text(), expected, "{case}");
        let got = sheet.send("GET", &path, query, b"");
        assert_eq!(
            (got.status, got.content_type.as_deref(), &got.body[..]),
            (200, Some(ATTRIBUTE), body.as_bytes()),
            "{case}"
        );
        assert_eq!(
            (got.etag, put.etag.as_deref()),
            (put.etag.clone(), Some("\"t1\""))
        );
        let again = sheet.send("PUT", &path, query, body.as_bytes());
        assert_eq!(
            (again.status, again.etag.as_deref()),
            (200, Some("\"t1\"")),
            "{case}"
        );
        let deleted = sheet.send("DELETE", &path, query, b"");
        assert_eq!(
            (deleted.status, deleted.etag.as_deref()),
            (200, Some("\"t2\"")),
            "{case}"
        );
        assert_eq!(sheet.send("GET", &path, query, b"").status, 404, "{case}");
        assert_eq!(
            sheet.send("DELETE", &path, query, b"").status,
            404,
            "{case}"
        );
        if status == 201 {
            assert_eq!(sheet.text(), document, "{case}");
        }
    }
}

#[test]
fn bindings_are_read_and_never_written() {
    let document = "<foo xmlns=\"urn:d\"><n:bar xmlns:n=\"urn:1\"><baz/></n:bar></foo>";
    let mut sheet = Sheet::new(document, "urn:d", Limits::default());
    let (path, query) = ("foo/a:bar/namespace::*", "xmlns(a=urn:1)");
    let got = sheet.send("GET", path, query, b"");
    assert_eq!(
        (got.status, got.content_type.as_deref()),
        (200, Some(NAMESPACES))
    );
    assert_eq!(got.body, "<n:bar xmlns:n=\"urn:1\" xmlns=\"urn:d\"/>");
    for (method, path) in [
        ("PUT", path),
        ("DELETE", path),
        ("PUT", "no/namespace::*"),
        ("DELETE", "no/namespace::*"),
    ] {
        let refused = sheet.send(method, path, query, b"<a/>");
        assert_eq!(refused.status, 405, "{method}");
        assert!(
            refused
                .allow
                .is_some_and(|allow| allow.starts_with("GET, "))
        );
    }
    assert_eq!(sheet.send("GET", "no/namespace::*", query, b"").status, 404);
    assert_eq!(sheet.text(), document);
}

#[test]
fn an_element_is_given_without_the_bindings_around_it() {
    let document = "\u{feff}<?xml version='1.0' encoding='utf-8'?><f xmlns='urn:d' xmlns:p='urn:p'>é<p:a p:x='1' >\u{1F600}<b/><!-- c --><?i?></p:a ></f>";
    let mut sheet = Sheet::new(document, "urn:d", Limits::default());
    let got = sheet.send("GET", "f/*", "", b"");
    assert_eq!(
        got.body,
        "<p:a p:x='1' >\u{1F600}<b/><!-- c --><?i?></p:a >"
    );
    assert_eq!(sheet.told("PUT", "f/*", "<p:a>ü</p:a>"), "200");
    assert_eq!(
        sheet.text(),
        document.replace(
            "<p:a p:x='1' >\u{1F600}<b/><!-- c --><?i?></p:a >",
            "<p:a>ü</p:a>"
        )
    );
    // Its redundant declarations stay (§8.2.3).
    assert_eq!(
        sheet.told("PUT", "f/b", "<b xmlns='urn:d' xmlns:p='urn:p'/>"),
        "201"
    );
    assert!(
        sheet
            .text()
            .ends_with("<b xmlns='urn:d' xmlns:p='urn:p'/></f>")
    );
}
