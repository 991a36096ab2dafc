//! Resource lists, permanent presence state, capabilities, and the order of lists.

use super::*;

const LISTS: &str = "resource-lists/users/sip:bob@ims.test/index";
const STATE: &str = "pidf-manipulation/users/sip:bob@ims.test/index";
const CAPS: &str = "xcap-caps/global/index";

fn lists(content: &str) -> String {
    format!(
        "<resource-lists xmlns='urn:ietf:params:xml:ns:resource-lists'>{content}</resource-lists>"
    )
}

fn typed(server: &mut Server, target: &str, kind: &str, body: &str) -> Response {
    server.send(&Request {
        content_type: Some(kind.to_owned()),
        ..request("PUT", target, body)
    })
}

fn put_lists(server: &mut Server, content: &str) -> Response {
    typed(
        server,
        LISTS,
        "application/resource-lists+xml",
        &lists(content),
    )
}

#[test]
fn resource_lists_are_kept_within_their_constraints() {
    let member = "<entry uri='sip:a@x.test'><display-name xml:lang='en'>A</display-name></entry>";
    let far = "http://xcap.example/resource-lists/users/sip:b@x.test/index/~~/resource-lists/list";
    for (case, content, refused) in [
        ("no list", String::new(), None),
        (
            "members of every kind, in any order, and extensions behind them",
            format!(
                "<list name='a'><display-name>A</display-name><external anchor='{far}'/>{member}<list name='b'/>\
                 <entry-ref ref='resource-lists/users/sip:b@x.test/i/~~/resource-lists/list/entry%5b1%5d'/>\
                 <x xmlns='urn:x'/></list>"
            ),
            None,
        ),
        (
            "the same name in lists of different parents",
            "<list name='a'><list name='a'/></list><list name='b'><list name='a'/></list>".into(),
            None,
        ),
        (
            "names that differ in case",
            "<list name='a'/><list name='A'/>".into(),
            None,
        ),
        ("two lists without a name", "<list/><list/>".into(), None),
        (
            "one entry in two lists",
            format!("<list>{member}</list><list>{member}</list>"),
            None,
        ),
        (
            "OMA's well-known lists",
            "<list name='oma_grantedcontacts'/><list name='oma_blockedcontacts'/>".into(),
            None,
        ),
        (
            "the same name twice",
            "<list name='a'/><list/><list name='a'/>".into(),
            Some(("uniqueness-failure", "resource-lists/list%5B3%5D/@name")),
        ),
        (
            "the same name twice further down",
            "<list><list name='a'/><list name='a'/></list>".into(),
            Some((
                "uniqueness-failure",
                "resource-lists/list%5B1%5D/list%5B2%5D/@name",
            )),
        ),
        (
            "an entry twice",
            format!("<list>{member}{member}</list>"),
            Some((
                "uniqueness-failure",
                "resource-lists/list%5B1%5D/entry%5B2%5D/@uri",
            )),
        ),
        (
            "a reference twice",
            "<list><entry-ref ref='a/b'/><entry-ref ref='a/b'/></list>".into(),
            Some((
                "uniqueness-failure",
                "resource-lists/list%5B1%5D/entry-ref%5B2%5D/@ref",
            )),
        ),
        (
            "an external list twice",
            format!("<list><external anchor='{far}'/><external anchor='{far}'/></list>"),
            Some((
                "uniqueness-failure",
                "resource-lists/list%5B1%5D/external%5B2%5D/@anchor",
            )),
        ),
        (
            "an absolute reference",
            format!("<list><entry-ref ref='{far}'/></list>"),
            Some(("constraint-failure", "relative")),
        ),
        (
            "a reference from the root of the host",
            "<list><entry-ref ref='/resource-lists/x'/></list>".into(),
            Some(("constraint-failure", "relative")),
        ),
        (
            "a relative anchor",
            "<list><external anchor='resource-lists/users/x'/></list>".into(),
            Some(("constraint-failure", "absolute")),
        ),
        (
            "an anchor without a host",
            "<list><external anchor='http:///x'/></list>".into(),
            Some(("constraint-failure", "absolute")),
        ),
        (
            "an entry outside a list",
            member.into(),
            Some(("schema-validation-error", "entry")),
        ),
        (
            "an entry without a URI",
            "<list><entry/></list>".into(),
            Some(("schema-validation-error", "uri")),
        ),
        (
            "a name of the vocabulary that it has not",
            "<list><member/></list>".into(),
            Some(("schema-validation-error", "member")),
        ),
    ] {
        let response = put_lists(&mut Server::new(), &content);
        match refused {
            None => assert_eq!(response.status, 201, "{case}: {:?}", response.body),
            Some((element, phrase)) => {
                assert_eq!(response.status, 409, "{case}");
                let (found, words) = conflict(&response);
                let report = std::str::from_utf8(&response.body).unwrap();
                assert_eq!(found, element, "{case}: {words}");
                assert!(report.contains(phrase), "{case}: {report}");
            }
        }
    }
}

#[test]
fn a_list_may_be_longer_than_a_set_of_rules() {
    let members = |count: usize| -> String {
        (0..count)
            .map(|n| format!("<entry uri='sip:user-{n:06}@ims.test'><display-name>User {n}</display-name></entry>"))
            .collect()
    };
    let mut server = Server::new();
    let ten_thousand = format!("<list name='a'>{}</list>", members(10_000));
    assert_eq!(put_lists(&mut server, &ten_thousand).status, 201);
    let too_long = format!("<list name='a'>{}</list>", members(14_000));
    assert_eq!(put_lists(&mut server, &too_long).status, 413);
}

#[test]
fn permanent_state_is_one_document_about_its_owner() {
    let about = |entity: &str| format!("<presence entity='{entity}'/>");
    let own = about("sip:bob@ims.test");
    for (case, target, kind, body, status, words) in [
        ("the owner's", STATE, PIDF, own.as_str(), 201, ""),
        (
            "under the owner's number",
            STATE,
            PIDF,
            &about("tel:+36-10-555-0001"),
            201,
            "",
        ),
        (
            "about another",
            STATE,
            PIDF,
            &about("sip:alice@ims.test"),
            409,
            "not its owner",
        ),
        (
            "about nobody",
            STATE,
            PIDF,
            "<presence/>",
            409,
            "Missing Entity",
        ),
        (
            "another name",
            "pidf-manipulation/users/sip:bob@ims.test/other",
            PIDF,
            &own,
            409,
            "index",
        ),
        ("another type", STATE, "application/xml", &own, 415, ""),
    ] {
        let response = typed(&mut Server::new(), target, kind, body);
        assert_eq!(response.status, status, "{case}");
        if status == 409 {
            assert!(conflict(&response).1.contains(words), "{case}");
        }
    }
}

const PIDF: &str = "application/pidf+xml";

#[test]
fn the_capabilities_are_told_to_everybody_who_is_known_and_changed_by_nobody() {
    use crate::xml::schema::{Schema, Unknown};
    let mut server = Server::new();
    let answer = server.send(&request("GET", CAPS, ""));
    assert_eq!(
        (answer.status, answer.content_type.as_deref()),
        (200, Some("application/xcap-caps+xml"))
    );
    let document = guard::parse(&answer.body, &Limits::default()).unwrap();
    let schema = Schema::load(&crate::xml::schemas::XCAP_CAPS).unwrap();
    assert_eq!(
        schema.validate(&document, Unknown::RefusedInKnownNamespaces),
        Ok(())
    );
    let listed = |element: &str| -> Vec<String> {
        let nodes = document
            .descendants()
            .filter(|n| n.tag_name().name() == element);
        nodes.map(|n| n.text().unwrap().to_owned()).collect()
    };
    assert_eq!(
        listed("auid"),
        [
            "xcap-caps",
            "pres-rules",
            "org.openmobilealliance.pres-rules",
            "resource-lists",
            "rls-services",
            "org.openmobilealliance.group-usage-list",
            "pidf-manipulation",
            "org.openmobilealliance.pres-content",
            "org.openmobilealliance.xcap-directory",
        ]
    );
    let namespaces = listed("namespace");
    for namespace in [
        "urn:ietf:params:xml:ns:xcap-caps",
        "urn:ietf:params:xml:ns:common-policy",
        "urn:ietf:params:xml:ns:pres-rules",
        "urn:ietf:params:xml:ns:resource-lists",
        "urn:ietf:params:xml:ns:pidf",
        "urn:oma:xml:xdm:common-policy",
        "urn:presentia:xml:ordered-policy",
        "urn:presentia:xml:notification-rules",
    ] {
        assert!(namespaces.iter().any(|n| n == namespace), "{namespace}");
    }
    for (case, method, target, identity, status) in [
        ("nobody asks", "GET", CAPS, Identity::Unknown, 403),
        ("a user changes them", "PUT", CAPS, bob(), 403),
        ("a user removes them", "DELETE", CAPS, bob(), 403),
        ("a server changes them", "PUT", CAPS, Identity::Server, 405),
        (
            "a server removes them",
            "DELETE",
            CAPS,
            Identity::Server,
            405,
        ),
        (
            "another document",
            "GET",
            "xcap-caps/global/other",
            bob(),
            404,
        ),
        (
            "a user's own",
            "PUT",
            "xcap-caps/users/sip:bob@ims.test/index",
            bob(),
            404,
        ),
    ] {
        let answer = server.send(&Request {
            identity,
            ..request(method, target, "<xcap-caps/>")
        });
        assert_eq!(answer.status, status, "{case}");
    }
    let again = server.send(&Request {
        if_none_match: answer.etag,
        ..request("GET", CAPS, "")
    });
    assert_eq!(again.status, 304, "and have an entity-tag as any document");
}

#[test]
fn an_order_of_lists_is_checked_when_it_is_put() {
    let order = |content: &str| {
        ruleset(&format!(
            "<cr:rule id='o'><cr:actions><ordered-policy xmlns='urn:presentia:xml:ordered-policy' {content}\
             </ordered-policy></cr:actions></cr:rule>"
        ))
    };
    let own =
        "http://ims.test/resource-lists/users/sip:bob@ims.test/index/~~/resource-lists/list[1]";
    let good = order(&format!(
        "default='confirm' anonymous='block'><list handling='block'><entry anc='{own}'/></list>\
         <list handling='allow'><one id='sip:a@x.test'/><one id='tel:+361'/></list>"
    ));
    let twice = good.replace(
        "</cr:ruleset>",
        "<cr:rule id='p'><cr:actions><ordered-policy xmlns='urn:presentia:xml:ordered-policy'/></cr:actions>\
         </cr:rule></cr:ruleset>",
    );
    let elsewhere = good.replace("cr:actions>", "cr:transformations>");
    for (case, body, refused) in [
        ("lists of both kinds of members", good.clone(), None),
        ("a default alone", order("default='polite-block'>"), None),
        (
            "the lists of one's own number",
            good.replace("sip:bob@ims.test/index", "tel:+36105550001/index"),
            None,
        ),
        (
            "another handling",
            order("default='maybe'>"),
            Some("schema-validation-error"),
        ),
        (
            "a list without handling",
            order("><list/>"),
            Some("schema-validation-error"),
        ),
        (
            "a member of another kind",
            order("><list handling='block'><many/></list>"),
            Some("schema-validation-error"),
        ),
        (
            "another user's list",
            good.replace("users/sip:bob", "users/sip:alice"),
            Some("constraint-failure"),
        ),
        ("two orders", twice, Some("constraint-failure")),
        (
            "where it would mean nothing",
            elsewhere,
            Some("constraint-failure"),
        ),
    ] {
        let response = Server::new().put(INDEX, &body);
        match refused {
            None => assert_eq!(response.status, 201, "{case}: {:?}", response.body),
            Some(element) => {
                assert_eq!(response.status, 409, "{case}");
                assert_eq!(conflict(&response).0, element, "{case}");
            }
        }
    }
}

#[test]
fn notification_rules_are_checked_when_they_are_put() {
    let rule = |inside: &str| {
        ruleset(&format!(
            "<cr:rule id='n'><cr:actions><notification xmlns='urn:presentia:xml:notification-rules' {inside}\
             </notification></cr:actions></cr:rule>"
        ))
    };
    let good = rule(
        "interval='60'><trigger><element name='basic'/><element ns='urn:x' name='y'/></trigger>\
         <quiet from='22:00' until='07:00' days='mon sun' time-offset='-300'/>",
    );
    let schema = Some("schema-validation-error");
    for (case, body, refused) in [
        ("all of it", good.clone(), None),
        ("none of it", rule(">"), None),
        ("more than a day", rule("interval='86401'>"), schema),
        ("a trigger on nothing", rule("><trigger/>"), schema),
        (
            "an element without name",
            rule("><trigger><element ns='urn:x'/></trigger>"),
            schema,
        ),
        (
            "an hour that is none",
            rule("><quiet from='24:00' until='07:00'/>"),
            schema,
        ),
        (
            "a day that is none",
            rule("><quiet from='22:00' until='07:00' days='monday'/>"),
            schema,
        ),
        (
            "a clock too far from UTC",
            rule("><quiet from='22:00' until='07:00' time-offset='841'/>"),
            schema,
        ),
        (
            "too many quiet periods",
            rule(&format!(
                ">{}",
                "<quiet from='22:00' until='07:00'/>".repeat(65)
            )),
            schema,
        ),
        (
            "elsewhere in a rule",
            good.replace("cr:actions>", "cr:transformations>"),
            Some("constraint-failure"),
        ),
    ] {
        let answer = Server::new().put(INDEX, &body);
        assert_eq!(
            answer.status,
            if refused.is_some() { 409 } else { 201 },
            "{case}"
        );
        if let Some(element) = refused {
            let report = String::from_utf8_lossy(&answer.body).into_owned();
            assert!(report.contains(element), "{case}: {report}");
        }
    }
}
