//! Application usages at the node: services of resource lists, directories, icons, global trees, and who reaches them.

use super::*;
use crate::sip::Aor;
use crate::xdm::authorize::Privileged;
use crate::xdm::usage::Readers;
use crate::xdm::usage::declared::Declaration;
use crate::xdm::{Method, Request, Response, Xdm};
use crate::xml::schema::{Schema, Unknown};
use crate::xml::{guard, schemas};

const SERVICES: &str = "application/rls-services+xml";
const LISTS: &str = "application/resource-lists+xml";
const RLS: &str = "sip:rls.ims.test";
const PS: &str = "sip:ps.ims.test";
const ROOT: &str = "sip:root@ims.test";
const UNION: &str = "rls-services/global/index";

fn bench() -> Bench {
    let set = |user: &str| [Aor::parse(user).unwrap()].into();
    let bookmarks = "<xs:schema xmlns:xs='http://www.w3.org/2001/XMLSchema' targetNamespace='urn:b' elementFormDefault='qualified'>\
        <xs:element name='bookmarks'><xs:complexType><xs:sequence><xs:element name='url' type='xs:anyURI' minOccurs='0' \
        maxOccurs='unbounded'/></xs:sequence></xs:complexType></xs:element></xs:schema>";
    let mut bench = Bench::new(settings());
    let documents = crate::xdm::Settings {
        privileged: Privileged {
            servers: set(PS),
            administrators: set(ROOT),
            global_readers: set(RLS),
        },
        roots: vec!["http://xcap.ims.test/root".into()],
        declared: vec![Declaration {
            auid: "com.example.bookmarks".into(),
            media_type: "application/vnd.example.bookmarks+xml".into(),
            namespace: "urn:b".into(),
            schemas: vec![("b.xsd".into(), bookmarks.into())],
            name: Some("index".into()),
            bytes: 1000,
            global: Some(Readers::Trusted),
        }],
        ..crate::xdm::Settings::default()
    };
    bench.settings.xdm = Xdm::new(documents).unwrap();
    bench.settings.presence.default_handling = None;
    bench.restart(0);
    bench
}

fn ask(
    bench: &mut Bench,
    who: &str,
    method: &str,
    target: &str,
    kind: &str,
    body: &str,
) -> Response {
    let request = Request {
        method: Method::named(method),
        target: target.into(),
        query: None,
        content_type: Some(kind.into()),
        content_encoding: None,
        if_match: None,
        if_none_match: None,
        body: body.to_owned().into(),
        identity: xdm::Identity::User(who.into()),
    };
    bench.feed(Input::Xcap {
        number: 1,
        request: &request,
    });
    let mut effects = bench.out.held.iter().chain(&bench.out.free);
    let answer = effects.find_map(|effect| match effect {
        Effect::Xcap { response, .. } => Some((**response).clone()),
        _ => None,
    });
    answer.unwrap()
}

fn get(bench: &mut Bench, who: &str, target: &str) -> Response {
    ask(bench, who, "GET", target, "", "")
}

fn text(response: &Response) -> &str {
    std::str::from_utf8(&response.body).unwrap()
}

fn index_of(user: &str) -> String {
    format!("rls-services/users/{user}/index")
}

/// A document of services; `user` is whose list stands behind each.
fn services(user: &str, uris: &[&str]) -> String {
    let service = |uri: &&str| {
        format!(
            "<service uri=\"{uri}\"><resource-list>http://xcap.ims.test/root/resource-lists/users/{user}/index/~~/\
             resource-lists/list%5B@name=%22a%22%5D</resource-list><packages><package>presence</package></packages></service>"
        )
    };
    let all: String = uris.iter().map(service).collect();
    format!("<rls-services xmlns=\"urn:ietf:params:xml:ns:rls-services\">{all}</rls-services>")
}

fn uris(response: &Response) -> Vec<String> {
    assert_eq!(response.status, 200);
    let document = guard::parse(&response.body, &guard::Limits::default()).unwrap();
    let schema = Schema::load(&schemas::RLS_SERVICES).unwrap();
    assert_eq!(
        schema.validate(&document, Unknown::RefusedInKnownNamespaces),
        Ok(())
    );
    let named = document
        .descendants()
        .filter_map(|node| node.attribute("uri"));
    named.map(str::to_owned).collect()
}

#[test]
fn a_service_uri_is_one_users_only_and_others_are_offered() {
    let mut bench = bench();
    let put = |bench: &mut Bench, user: &str, body: &str| {
        ask(bench, user, "PUT", &index_of(user), SERVICES, body)
    };
    let friends = ["sip:friends@ims.test", "sip:friends-2@ims.test"];
    assert_eq!(put(&mut bench, BOB, &services(BOB, &friends)).status, 201);
    assert_eq!(
        put(&mut bench, BOB, &services(BOB, &friends[..1])).status,
        200,
        "one's own may be put again"
    );
    put(&mut bench, BOB, &services(BOB, &friends));

    let wanted = ["sip:mine@ims.test", "SIP:friends@IMS.test"];
    let refused = put(&mut bench, ALICE, &services(ALICE, &wanted));
    assert_eq!(refused.status, 409);
    for part in [
        "<uniqueness-failure",
        "field=\"rls-services/service%5B2%5D/@uri\"",
        "<alt-value>SIP:friends-3@IMS.test</alt-value>",
    ] {
        assert!(text(&refused).contains(part), "{part}: {}", text(&refused));
    }
    assert!(
        !text(&refused).contains("<alt-value>SIP:friends-2@"),
        "that one is taken too"
    );

    for (case, uris, element) in [
        (
            "twice in one document",
            &["sip:x@ims.test", "sip:x@ims.test"][..],
            "uniqueness-failure",
        ),
        ("another user's identity", &[BOB], "uniqueness-failure"),
        (
            "one's own, as a list of it",
            &["sip:alice@ims.test;pres-list=work"],
            "",
        ),
        (
            "another user's, as a list of it",
            &["sip:bob@ims.test;pres-list=work"],
            "uniqueness-failure",
        ),
    ] {
        let answer = put(&mut bench, ALICE, &services(ALICE, uris));
        assert_eq!(answer.status == 409, !element.is_empty(), "{case}");
        assert!(text(&answer).contains(element), "{case}: {}", text(&answer));
    }

    ask(&mut bench, BOB, "DELETE", &index_of(BOB), "", "");
    assert_eq!(
        put(&mut bench, ALICE, &services(ALICE, &friends)).status,
        200,
        "free again"
    );
}

#[test]
fn a_service_refers_to_lists_of_its_owner_on_this_server() {
    let mut bench = bench();
    let good = services(BOB, &["sip:friends@ims.test"]);
    for (case, from, to) in [
        ("another host", "xcap.ims.test/root", "elsewhere.test/root"),
        ("another user's list", "users/sip:bob@", "users/sip:alice@"),
        ("a relative URI", "http://xcap.ims.test/root/", ""),
        ("no list", "/~~/resource-lists/list%5B@name=%22a%22%5D", ""),
        (
            "no usage of lists",
            "root/resource-lists",
            "root/pres-rules",
        ),
        ("no package", ">presence<", ">a b<"),
    ] {
        let body = good.replace(from, to);
        assert_ne!(body, good, "{case}");
        let answer = ask(&mut bench, BOB, "PUT", &index_of(BOB), SERVICES, &body);
        assert_eq!(answer.status, 409, "{case}");
        assert!(text(&answer).contains("<constraint-failure"), "{case}");
    }
    let inline = "<rls-services xmlns=\"urn:ietf:params:xml:ns:rls-services\" xmlns:l=\"urn:ietf:params:xml:ns:resource-lists\">\
        <service uri=\"sip:m@ims.test\"><list><l:entry uri=\"sip:a@b\"/><l:entry uri=\"sip:a@b\"/></list></service></rls-services>";
    let answer = ask(&mut bench, BOB, "PUT", &index_of(BOB), SERVICES, inline);
    assert!(
        text(&answer).contains("field=\"rls-services/service%5B1%5D/list%5B1%5D/*%5B2%5D/@uri\""),
        "{}",
        text(&answer)
    );
}

#[test]
fn the_global_index_is_the_union_also_after_a_restart_and_only_trusted_servers_read_it() {
    let mut bench = bench();
    assert_eq!(uris(&get(&mut bench, RLS, UNION)), [""; 0]);
    for (user, uri) in [(BOB, "sip:z@ims.test"), (ALICE, "sip:a@ims.test")] {
        let body = services(user, &[uri]);
        let answer = ask(&mut bench, user, "PUT", &index_of(user), SERVICES, &body);
        assert_eq!(answer.status, 201);
    }
    let other = format!("rls-services/users/{BOB}/draft");
    let body = services(BOB, &["sip:draft@ims.test"]);
    ask(&mut bench, BOB, "PUT", &other, SERVICES, &body);

    let union = get(&mut bench, RLS, UNION);
    assert_eq!(uris(&union), ["sip:a@ims.test", "sip:z@ims.test"]);
    assert_eq!(get(&mut bench, RLS, UNION).etag, union.etag);
    let one = format!("{UNION}/~~/rls-services/service%5B@uri=%22sip:z@ims.test%22%5D");
    assert_eq!(get(&mut bench, PS, &one).status, 200, "one of them alone");
    for (who, status) in [(PS, 200), (ROOT, 200), (BOB, 403), (ALICE, 403)] {
        assert_eq!(get(&mut bench, who, UNION).status, status, "{who}");
    }
    assert_eq!(
        ask(&mut bench, ROOT, "PUT", UNION, SERVICES, &body).status,
        405,
        "nobody writes it"
    );

    bench.restart(1000);
    let again = get(&mut bench, RLS, UNION);
    assert_eq!((again.etag, again.body), (union.etag, union.body));
    let taken = services(ALICE, &["sip:draft@ims.test"]);
    assert_eq!(
        ask(&mut bench, ALICE, "PUT", &index_of(ALICE), SERVICES, &taken).status,
        409,
        "unique also among documents that are not indexed"
    );
    ask(&mut bench, ALICE, "DELETE", &index_of(ALICE), "", "");
    assert_eq!(uris(&get(&mut bench, RLS, UNION)), ["sip:z@ims.test"]);
}

#[test]
fn a_directory_shows_a_users_documents_as_they_are_now_and_after_a_restart() {
    let mut bench = bench();
    let directory = format!("org.openmobilealliance.xcap-directory/users/{BOB}/directory.xml");
    let empty = get(&mut bench, BOB, &directory);
    assert_eq!(empty.status, 200);
    let lists = format!("resource-lists/users/{BOB}/index");
    let body = "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"/>";
    bench.now += 1000;
    let etag = ask(&mut bench, BOB, "PUT", &lists, LISTS, body)
        .etag
        .unwrap();
    let at = crate::time::datetime::format(crate::time::Timestamp(bench.now));
    bench.now += 5000;
    let body_of_services = services(BOB, &["sip:z@ims.test"]);
    ask(
        &mut bench,
        BOB,
        "PUT",
        &index_of(BOB),
        SERVICES,
        &body_of_services,
    );

    let now = get(&mut bench, BOB, &directory);
    assert_ne!(now.etag, empty.etag);
    let document = guard::parse(&now.body, &guard::Limits::default()).unwrap();
    let schema = Schema::load(&schemas::XCAP_DIRECTORY).unwrap();
    assert_eq!(
        schema.validate(&document, Unknown::RefusedInKnownNamespaces),
        Ok(())
    );
    let entry = format!(
        "<folder auid=\"resource-lists\"><entry uri=\"http://xcap.ims.test/root/{lists}\" etag=\"{}\" last-modified=\"{at}\" \
         size=\"{}\"/></folder>",
        etag.trim_matches('"'),
        body.len()
    );
    assert!(text(&now).contains(&entry), "{}", text(&now));
    let folder = format!("{directory}/~~/xcap-directory/folder%5B@auid=%22resource-lists%22%5D");
    let part = get(&mut bench, BOB, &folder);
    assert_eq!(part.status, 200);
    assert!(!text(&part).contains("rls-services"), "{}", text(&part));
    assert_eq!(get(&mut bench, ALICE, &directory).status, 403);
    assert_eq!(
        ask(&mut bench, BOB, "DELETE", &directory, "", "").status,
        405
    );

    bench.restart(60_000);
    assert_eq!(get(&mut bench, BOB, &directory).body, now.body);
}

#[test]
fn servers_read_and_administrators_write_what_is_not_theirs_and_it_is_told() {
    let mut bench = bench();
    let (own, body) = (index_of(BOB), services(BOB, &["sip:z@ims.test"]));
    ask(&mut bench, BOB, "PUT", &own, SERVICES, &body);
    let global = "resource-lists/global/staff";
    let lists = "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"/>";
    for (who, method, target, kind, body, status, crossed) in [
        (BOB, "GET", own.as_str(), "", "", 200, false),
        (ALICE, "GET", &own, "", "", 403, false),
        (RLS, "GET", &own, "", "", 403, false),
        (PS, "GET", &own, "", "", 200, true),
        (PS, "PUT", &own, SERVICES, &body, 403, false),
        (PS, "DELETE", &own, "", "", 403, false),
        (ROOT, "PUT", &own, SERVICES, &body, 200, true),
        (BOB, "PUT", global, LISTS, lists, 403, false),
        (PS, "PUT", global, LISTS, lists, 403, false),
        (ROOT, "PUT", global, LISTS, lists, 201, true),
        (BOB, "GET", global, "", "", 200, false),
        ("nobody", "GET", global, "", "", 403, false),
        (BOB, "DELETE", global, "", "", 403, false),
        (ROOT, "DELETE", global, "", "", 200, true),
    ] {
        let answer = ask(&mut bench, who, method, target, kind, body);
        assert_eq!(answer.status, status, "{who} {method} {target}");
        assert_eq!(answer.crossed, crossed, "{who} {method} {target}");
    }
}

#[test]
fn an_icon_is_read_by_those_who_may_see_presence() {
    let mut bench = bench();
    let kind = "application/vnd.oma.pres-content+xml";
    let icon = format!("org.openmobilealliance.pres-content/users/{BOB}/oma_status-icon/happy");
    let body = "<content xmlns=\"urn:oma:xml:prs:pres-content\"><mime-type>image/png</mime-type>\
        <encoding>base64</encoding><data>AAAA</data></content>";
    assert_eq!(ask(&mut bench, BOB, "PUT", &icon, kind, body).status, 201);
    let elsewhere = icon.replace("oma_status-icon/", "");
    let misplaced = ask(&mut bench, BOB, "PUT", &elsewhere, kind, body);
    assert!(
        text(&misplaced).contains("<no-parent"),
        "{}",
        text(&misplaced)
    );
    assert_eq!(get(&mut bench, ALICE, &icon).status, 403, "no rules");
    for (handling, status) in [
        ("allow", 200),
        ("confirm", 403),
        ("allow", 200),
        ("block", 403),
    ] {
        bench.rules_of(BOB, handling, "");
        assert_eq!(get(&mut bench, ALICE, &icon).status, status, "{handling}");
    }
    bench.rules_of(BOB, "allow", "");
    assert_eq!(ask(&mut bench, ALICE, "DELETE", &icon, "", "").status, 403);
    assert_eq!(get(&mut bench, "sip:eve@ims.test", &icon).status, 403);
}

#[test]
fn a_usage_that_is_only_configured_is_served_like_the_others() {
    let mut bench = bench();
    let kind = "application/vnd.example.bookmarks+xml";
    let own = format!("com.example.bookmarks/users/{BOB}/index");
    let good = "<bookmarks xmlns=\"urn:b\"><url>http://a.test</url></bookmarks>";
    let long = format!(
        "<bookmarks xmlns=\"urn:b\">{}</bookmarks>",
        " ".repeat(1000)
    );
    for (case, target, kind, body, status, said) in [
        ("a document", own.as_str(), kind, good, 201, ""),
        (
            "against its schema",
            &own,
            kind,
            "<bookmarks xmlns=\"urn:b\"><x/></bookmarks>",
            409,
            "schema-validation-error",
        ),
        (
            "of another namespace",
            &own,
            kind,
            "<bookmarks/>",
            409,
            "schema-validation-error",
        ),
        ("of another type", &own, LISTS, good, 415, ""),
        ("too long", &own, kind, &long, 413, ""),
        (
            "of another name",
            &own.replace("index", "x"),
            kind,
            good,
            409,
            "constraint-failure",
        ),
    ] {
        let answer = ask(&mut bench, BOB, "PUT", target, kind, body);
        assert_eq!(answer.status, status, "{case}");
        assert!(text(&answer).contains(said), "{case}: {}", text(&answer));
    }
    let url = format!("{own}/~~/bookmarks/url%5B1%5D");
    assert_eq!(get(&mut bench, BOB, &url).status, 200);
    let caps = get(&mut bench, BOB, "xcap-caps/global/index");
    for said in [
        "<auid>com.example.bookmarks</auid>",
        "<namespace>urn:b</namespace>",
    ] {
        assert!(text(&caps).contains(said), "{said}");
    }
    let global = "com.example.bookmarks/global/start";
    assert_eq!(ask(&mut bench, ROOT, "PUT", global, kind, good).status, 201);
    assert_eq!(get(&mut bench, BOB, global).status, 403);
    assert_eq!(get(&mut bench, PS, global).status, 200);
}

#[test]
fn a_usage_that_cannot_be_served_is_refused_at_start() {
    let good = Declaration {
        auid: "a".into(),
        media_type: "application/a+xml".into(),
        namespace: "urn:a".into(),
        schemas: vec![(
            "a.xsd".into(),
            "<xs:schema xmlns:xs='http://www.w3.org/2001/XMLSchema' targetNamespace='urn:a'><xs:element name='a'/></xs:schema>"
                .into(),
        )],
        name: None,
        bytes: 1000,
        global: None,
    };
    let broken = vec![("a.xsd".into(), "<xs:schema".into())];
    for (case, declared, said) in [
        ("good", vec![good.clone()], None),
        (
            "twice",
            vec![good.clone(), good.clone()],
            Some("of this name"),
        ),
        (
            "built in",
            vec![Declaration {
                auid: "pres-rules".into(),
                ..good.clone()
            }],
            Some("of this name"),
        ),
        (
            "another namespace",
            vec![Declaration {
                namespace: "urn:b".into(),
                ..good.clone()
            }],
            Some("targetNamespace"),
        ),
        (
            "a broken schema",
            vec![Declaration {
                schemas: broken,
                ..good.clone()
            }],
            Some("schema a.xsd, line 1"),
        ),
    ] {
        let documents = crate::xdm::Settings {
            declared,
            ..crate::xdm::Settings::default()
        };
        let refused = Xdm::new(documents).err().map(|failed| failed.to_string());
        assert_eq!(refused.is_some(), said.is_some(), "{case}: {refused:?}");
        assert!(
            refused
                .unwrap_or_default()
                .contains(said.unwrap_or_default()),
            "{case}"
        );
    }
}

/// What is quadratic takes minutes here.
#[test]
fn ten_thousand_entries_and_three_thousand_services_are_taken() {
    let mut bench = bench();
    let uris: Vec<String> = (0..3000).map(|n| format!("sip:s{n}@ims.test")).collect();
    let uris: Vec<&str> = uris.iter().map(String::as_str).collect();
    let entries: String = (0..10_000)
        .map(|n| format!("<entry uri=\"sip:u{n}@ims.test\"/>"))
        .collect();
    let lists = format!(
        "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list name=\"a\">{entries}</list></resource-lists>"
    );
    let target = format!("resource-lists/users/{BOB}/index");
    assert_eq!(
        ask(&mut bench, BOB, "PUT", &target, LISTS, &lists).status,
        201
    );
    let body = services(BOB, &uris);
    assert_eq!(
        ask(&mut bench, BOB, "PUT", &index_of(BOB), SERVICES, &body).status,
        201
    );
}
