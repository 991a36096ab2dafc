//! Application usages over HTTP: who reaches which tree, the audit log, what kill -9 leaves, usages by configuration.

use crate::harness::{Response, Server, http};
use std::fs;

const UNION: &str = "rls-services/global/index";
const DIRECTORY: &str =
    "org.openmobilealliance.xcap-directory/users/sip:bob@ims.test/directory.xml";

fn ask(server: &Server, who: &str, method: &str, target: &str, kind: &str, body: &str) -> Response {
    let identity = format!("\"{who}\"");
    let headers = [
        ("Content-Type", kind),
        ("X-3GPP-Asserted-Identity", identity.as_str()),
    ];
    let path = format!("/xcap-root/{target}");
    http(server.http, method, &path, &headers, body)
}

fn put_service(server: &Server, user: &str, uri: &str) -> Response {
    let body = format!(
        "<rls-services xmlns=\"urn:ietf:params:xml:ns:rls-services\"><service uri=\"{uri}\"><list/></service></rls-services>"
    );
    let target = format!("rls-services/users/{user}/index");
    ask(
        server,
        user,
        "PUT",
        &target,
        "application/rls-services+xml",
        &body,
    )
}

/// XCP-06, XCP-07, XCP-08, XCP-09.
#[test]
fn services_are_unique_and_indexed_for_trusted_servers_also_after_kill_9() {
    let mut server = Server::start(
        "[xcap]\nservers = [\"sip:ps.ims.test\"]\nglobal_readers = [\"sip:rls.ims.test\"]\n\
         administrators = [\"sip:root@ims.test\"]",
    );
    let (bob, alice) = ("sip:bob@ims.test", "sip:alice@ims.test");
    let get = |server: &Server, who: &str, target: &str| ask(server, who, "GET", target, "", "");
    assert_eq!(put_service(&server, bob, "sip:team@ims.test").status, 201);
    let taken = put_service(&server, alice, "sip:team@ims.test");
    assert_eq!(taken.status, 409);
    assert!(
        taken
            .body
            .contains("<alt-value>sip:team-2@ims.test</alt-value>"),
        "{}",
        taken.body
    );
    assert_eq!(put_service(&server, alice, "sip:a@ims.test").status, 201);

    for (who, status) in [
        ("sip:rls.ims.test", 200),
        ("sip:ps.ims.test", 200),
        (bob, 403),
    ] {
        assert_eq!(get(&server, who, UNION).status, status, "{who}");
    }
    let own = "rls-services/users/sip:bob@ims.test/index";
    assert_eq!(get(&server, "sip:ps.ims.test", own).status, 200);
    assert_eq!(
        ask(&server, "sip:ps.ims.test", "DELETE", own, "", "").status,
        403
    );
    let (union, directory) = (
        get(&server, "sip:rls.ims.test", UNION),
        get(&server, bob, DIRECTORY),
    );
    assert!(
        directory.body.contains("last-modified"),
        "{}",
        directory.body
    );
    let (first, second) = (union.body.find("sip:a@"), union.body.find("sip:team@"));
    assert!(first.is_some() && first < second, "sorted: {}", union.body);

    server.kill9();
    server.launch();
    assert_eq!(get(&server, "sip:rls.ims.test", UNION).body, union.body);
    assert_eq!(get(&server, bob, DIRECTORY).body, directory.body);
    assert_eq!(
        put_service(&server, alice, "sip:team@ims.test").status,
        409,
        "still taken"
    );
    assert_eq!(
        ask(&server, "sip:root@ims.test", "DELETE", own, "", "").status,
        200
    );
    let log = server.log();
    let told = |who: &str, method: &str| {
        log.lines().any(|line| {
            line.contains("documents of others")
                && line.contains(&format!("by=\"\\\"{who}"))
                && line.contains(method)
        })
    };
    assert!(told("sip:root@ims.test", "DELETE"), "{log}");
    assert!(
        !told(bob, "GET"),
        "who reads their own is not told of: {log}"
    );
    server.stop();
}

/// XCP-09: an application usage that only the configuration describes, and one that it describes wrongly.
#[test]
fn a_usage_of_the_configuration_is_served_and_a_bad_schema_stops_the_start() {
    let mut server = Server::prepare("");
    let schema = server.folder().join("b.xsd");
    let text = "<xs:schema xmlns:xs='http://www.w3.org/2001/XMLSchema' targetNamespace='urn:b' \
                elementFormDefault='qualified'><xs:element name='b' type='xs:boolean'/></xs:schema>";
    fs::write(&schema, text).expect("the schema");
    server.change(&format!(
        "[[xcap.usages]]\nauid = \"com.example.b\"\nmedia_type = \"application/b+xml\"\nnamespace = \"urn:b\"\n\
         schemas = [\"{}\"]",
        schema.display()
    ));
    server.launch();
    let bob = "sip:bob@ims.test";
    let target = "com.example.b/users/sip:bob@ims.test/any";
    let put = |server: &Server, body| ask(server, bob, "PUT", target, "application/b+xml", body);
    assert_eq!(put(&server, "<b xmlns='urn:b'>true</b>").status, 201);
    assert_eq!(put(&server, "<b xmlns='urn:b'>maybe</b>").status, 409);
    let got = ask(&server, bob, "GET", target, "", "");
    assert_eq!(got.header("content-type"), Some("application/b+xml"));
    let caps = ask(&server, bob, "GET", "xcap-caps/global/index", "", "");
    assert!(
        caps.body.contains("<auid>com.example.b</auid>"),
        "{}",
        caps.body
    );
    server.terminate();

    fs::write(
        &schema,
        "<xs:schema xmlns:xs='http://www.w3.org/2001/XMLSchema'>\n<xs:key/>",
    )
    .expect("it");
    let (status, log) = server.refuse();
    assert!(!status.success());
    assert!(
        log.contains("com.example.b") && log.contains("b.xsd"),
        "{log}"
    );
}
