//! Random and hostile requests.

use super::*;
use crate::sip::Aor;
use proptest::prelude::*;

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
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the promise is about time on this machine"
)]
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
