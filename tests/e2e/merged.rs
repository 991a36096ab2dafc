//! What several XDMSs behind one root make together: the capabilities, and the directory of a user's documents.

use crate::harness::{Response, SOON, Server, eventually, free_port, http, peers};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const BOB: &str = "sip:bob@ims.test";
const CAPS: &str = "xcap-caps/global/index";
const DIRECTORY: &str =
    "org.openmobilealliance.xcap-directory/users/sip:bob@ims.test/directory.xml";
const LISTS: &str = "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list name=\"l\"/></resource-lists>";
const RULES: &str = "<ruleset xmlns=\"urn:ietf:params:xml:ns:common-policy\"/>";
const MARKS: &str = r#"<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:example:marks">
  <xs:element name="marks"/></xs:schema>"#;

fn ask(server: &Server, who: &str, method: &str, path: &str, more: (&str, &str)) -> Response {
    let identity = format!("\"{who}\"");
    let headers = [("X-3GPP-Asserted-Identity", identity.as_str()), more];
    http(
        server.http,
        method,
        &format!("/xcap-root/{path}"),
        &headers,
        "",
    )
}

fn get(server: &Server, path: &str) -> Response {
    ask(server, BOB, "GET", path, ("X-None", "none"))
}

fn put(server: &Server, auid: &str, kind: &str, body: &str) {
    let headers = [
        ("X-3GPP-Asserted-Identity", "\"sip:bob@ims.test\""),
        ("Content-Type", kind),
    ];
    let path = format!("/xcap-root/{auid}/users/{BOB}/index");
    let put = http(server.http, "PUT", &path, &headers, body);
    assert!([200, 201].contains(&put.status), "{auid}: {}", put.head);
}

/// A server that is asked for documents and says the same each time.
fn says(body: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let text = format!(
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(text.as_bytes()); // the other side may have had enough
        }
    });
    address
}

/// xmllint's verdict by the schema that the program carries.
fn is_valid(server: &Server, document: &str, schema: &str) {
    if !peers(&["xmllint"]) {
        return;
    }
    let file = server.folder().join("document.xml");
    fs::write(&file, document).expect("a file");
    let schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("ims/src/xml/schemas");
    let output = Command::new("xmllint")
        .args(["--nonet", "--noout", "--schema"])
        .arg(schemas.join(schema))
        .arg(&file)
        .output()
        .expect("xmllint");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{document}");
}

fn remote(keys: &str, root: impl std::fmt::Display) -> String {
    format!("[[xcap.remotes]]\n{keys}\nroot = 'http://{root}/xcap-root'\ntimeout_ms = 400\n")
}

/// A second server with usages of its own.
fn far() -> Server {
    let mut far = Server::prepare("");
    let usage = |auid: &str| {
        format!(
            "[[xcap.usages]]\nauid = \"{auid}\"\nmedia_type = \"application/x+xml\"\n\
             namespace = \"urn:example:marks\"\nschemas = [\"{}\"]\n",
            far.folder().join("marks.xsd").display()
        )
    };
    let usages = usage("com.example.far") + &usage("com.example.unreached");
    fs::write(far.folder().join("marks.xsd"), MARKS).expect("a schema");
    far.change(&usages);
    far.launch();
    far
}

#[test]
fn capabilities_and_directory_of_several_servers_are_merged() {
    let far = far();
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let hostile = says("<!DOCTYPE x [<!ENTITY a \"b\">]><x>&a;</x>".into());
    let dead = format!("127.0.0.1:{}", free_port());
    let server = Server::start(
        &[
            remote("auids = ['pres-rules', 'com.example.far']", far.http),
            remote("auids = ['rls-services']", &dead),
            remote(
                "auids = ['pidf-manipulation']",
                silent.local_addr().expect("an address"),
            ),
            remote("auids = ['com.example.hostile']", hostile),
            remote("domains = ['far.test']", &dead),
        ]
        .concat(),
    );
    let began = Instant::now();
    let caps = get(&server, CAPS);
    assert_eq!(caps.status, 200, "{}", caps.head);
    assert!(began.elapsed() < SOON, "each is waited for as long as set");
    is_valid(&server, &caps.body, "xcap-caps.xsd");
    for (said, times) in [
        ("<auid>com.example.far</auid>", 1),
        ("<auid>pres-rules</auid>", 1),
        ("<auid>com.example.unreached</auid>", 0),
        ("<namespace>urn:example:marks</namespace>", 1),
    ] {
        assert_eq!(caps.body.matches(said).count(), times, "{}", caps.body);
    }

    put(
        &server,
        "resource-lists",
        "application/resource-lists+xml",
        LISTS,
    );
    put(&server, "pres-rules", "application/auth-policy+xml", RULES);
    // what is there under a usage that is not asked for there is not shown
    put(
        &far,
        "resource-lists",
        "application/resource-lists+xml",
        &LISTS.replace("\"l\"", "\"other\""),
    );
    let all = get(&server, DIRECTORY);
    assert_eq!(all.status, 200, "{}", all.head);
    is_valid(&server, &all.body, "xcap-directory.xsd");
    for said in [
        "<folder auid=\"com.example.hostile\"><error-code>502</error-code></folder>",
        "<folder auid=\"pidf-manipulation\"><error-code>504</error-code></folder>",
        "<folder auid=\"rls-services\"><error-code>502</error-code></folder>",
        "<folder auid=\"pres-rules\"><entry uri=\"pres-rules/users/sip:bob@ims.test/index\"",
        "<folder auid=\"resource-lists\"><entry uri=\"resource-lists/users/sip:bob@ims.test/index\"",
    ] {
        assert!(all.body.contains(said), "{said}: {}", all.body);
    }
    assert_eq!(all.body.matches("<entry").count(), 2, "{}", all.body);
    for uri in ["pres-rules", "resource-lists"].map(|a| format!("{a}/users/{BOB}/index")) {
        let tag = get(&server, &uri).header("etag").unwrap().replace('"', "");
        let entry = format!("uri=\"{uri}\" etag=\"{tag}\"");
        assert!(all.body.contains(&entry), "{entry}: {}", all.body);
    }

    // a user all of whose documents are at a server that is down
    let carol = DIRECTORY.replace(BOB, "sip:carol@far.test");
    let none = ("X-None", "none");
    let lost = ask(&server, "sip:carol@far.test", "GET", &carol, none);
    assert_eq!(lost.status, 200, "{}", lost.head);
    is_valid(&server, &lost.body, "xcap-directory.xsd");
    assert!(!lost.body.contains("<entry"), "{}", lost.body);
    let folder = "<folder auid=\"resource-lists\"><error-code>502</error-code></folder>";
    assert!(lost.body.contains(folder), "{}", lost.body);
    server.stop();
    far.stop();
}

#[test]
fn merged_documents_have_conditions_parts_and_rights() {
    let far = far();
    let server = Server::start(&remote(
        "auids = ['pres-rules', 'com.example.far']",
        far.http,
    ));
    put(&server, "pres-rules", "application/auth-policy+xml", RULES);
    let all = get(&server, DIRECTORY);
    let tag = all.header("etag").expect("an entity-tag").to_owned();
    assert_eq!(get(&server, DIRECTORY).header("etag"), Some(tag.as_str()));
    let folder = format!("{DIRECTORY}/~~/xcap-directory/folder%5B@auid=%22pres-rules%22%5D");
    let far_usage = format!("{CAPS}/~~/xcap-caps/auids/auid%5B1%5D");
    let none = ("X-None", "none");
    for (case, who, method, path, more, status) in [
        (
            "not changed",
            BOB,
            "GET",
            DIRECTORY,
            ("If-None-Match", tag.as_str()),
            304,
        ),
        (
            "the same",
            BOB,
            "GET",
            DIRECTORY,
            ("If-Match", tag.as_str()),
            200,
        ),
        ("another", BOB, "GET", DIRECTORY, ("If-Match", "\"x\""), 412),
        (
            "no condition at all",
            BOB,
            "GET",
            DIRECTORY,
            ("If-Match", "x"),
            400,
        ),
        ("headers only", BOB, "HEAD", DIRECTORY, none, 200),
        ("a folder", BOB, "GET", &folder, none, 200),
        (
            "a part of the capabilities",
            BOB,
            "GET",
            &far_usage,
            none,
            200,
        ),
        (
            "no such part",
            BOB,
            "GET",
            &folder.replace("pres", "none"),
            none,
            404,
        ),
        (
            "a prefix without meaning",
            BOB,
            "GET",
            &format!("{DIRECTORY}/~~/a:b"),
            none,
            400,
        ),
        (
            "somebody else",
            "sip:eve@ims.test",
            "GET",
            DIRECTORY,
            none,
            403,
        ),
        ("nobody changes it", BOB, "DELETE", DIRECTORY, none, 405),
        ("nobody changes that", BOB, "DELETE", CAPS, none, 403),
    ] {
        let answer = ask(&server, who, method, path, more);
        assert_eq!(answer.status, status, "{case}: {}", answer.head);
    }
    let part = get(&server, &folder);
    assert!(
        part.body.starts_with("<folder auid=\"pres-rules\"><entry "),
        "{}",
        part.body
    );
    assert_eq!(part.header("content-type"), Some("application/xcap-el+xml"));
    assert_eq!(
        get(&server, &far_usage).body,
        "<auid>com.example.far</auid>"
    );
    let identity = [("X-None", "none")];
    let path = format!("/xcap-root/{DIRECTORY}");
    assert_eq!(http(server.http, "GET", &path, &identity, "").status, 403);
    // a change at the other server changes the whole
    put(
        &far,
        "pres-rules",
        "application/auth-policy+xml",
        &RULES.replace("/>", "></ruleset>"),
    );
    let changed = ask(&server, BOB, "GET", DIRECTORY, ("If-None-Match", &tag));
    assert_eq!(changed.status, 200, "{}", changed.head);
    server.stop();
    far.stop();
}

#[test]
fn servers_that_name_one_another_are_asked_once_each() {
    let (mut one, mut other) = (Server::prepare(""), Server::prepare(""));
    let log = "http.access_log = 'access.log'\n";
    one.change(&format!(
        "{log}{}",
        remote("auids = ['pres-rules']", other.http)
    ));
    let back = remote("auids = ['resource-lists']", one.http);
    let itself = remote("auids = ['rls-services']", other.http);
    other.change(&format!("{log}{back}{itself}"));
    one.launch();
    other.launch();
    put(
        &one,
        "resource-lists",
        "application/resource-lists+xml",
        LISTS,
    );
    let all = get(&one, DIRECTORY);
    assert_eq!(all.body.matches("<entry").count(), 1, "{}", all.body);
    assert!(!all.body.contains("error-code"), "{}", all.body);
    let there = get(&other, DIRECTORY);
    assert_eq!(there.body.matches("<entry").count(), 1, "{}", there.body);
    let asked = |server: &Server| {
        let text = fs::read_to_string(server.folder().join("access.log")).unwrap_or_default();
        text.lines()
            .filter(|line| line.contains("directory"))
            .count()
    };
    // its own, one of the other; and those of the other: its own, that of the one, and that of itself
    let counts = || ((asked(&one), asked(&other)) == (2, 3)).then_some(());
    let counted = eventually(Duration::from_secs(5), counts);
    assert!(counted.is_some(), "{:?}", (asked(&one), asked(&other)));
    one.stop();
    other.stop();
}
