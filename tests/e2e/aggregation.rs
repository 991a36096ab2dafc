//! The server as its own aggregation proxy: TLS, Digest, HTTP/2, rates, and other document servers behind its root. curl and
//! OpenSSL are the other side, so that no mistake of ours meets itself.

use crate::harness::{SOON, Server, eventually, free_port, http, peers};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

const BOB: &str = "/xcap-root/resource-lists/users/sip:bob@ims.test/index";
const ALICE: &str = "/xcap-root/resource-lists/users/sip:alice@ims.test/index";
const KIND: &str = "Content-Type: application/resource-lists+xml";
const LISTS: &str = "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list name=\"l\"/></resource-lists>";
/// Fingerprint and address of the tests' client that nobody trusts.
const STRANGER: &str = "127.0.0.2";

/// A server with TLS and users bob and alice, whose passwords are `secret-bob` and `secret-alice`.
struct Proxy {
    server: Server,
    tls: u16,
}

impl Proxy {
    /// `OWN` in the configuration is the address of the plain listener.
    fn start(more: &str) -> Proxy {
        let tls = free_port();
        let mut server = Server::prepare(&format!(
            "[http]\ntls_listen = '127.0.0.1:{tls}'\ncertificate = 'cert.pem'\nkey = 'key.pem'\n\
             trusted_proxies = ['127.0.0.1']\n[xcap.digest]\nusers = 'users'\n"
        ));
        server.change(&more.replace("OWN", &server.http.to_string()));
        certificate(server.folder(), "cert", "key");
        let users = ["bob", "alice"].map(|name| user(name, &format!("secret-{name}")));
        fs::write(server.folder().join("users"), users.concat()).unwrap();
        server.launch();
        Proxy { server, tls }
    }

    fn secure(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.tls)
    }

    fn plain(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.http)
    }

    /// curl in the server's directory; what it wrote of the answers.
    fn curl(&self, words: &[&str]) -> String {
        curl(self.server.folder(), words)
    }

    /// Status of a request by a user with a password.
    fn by(&self, user: &str, words: &[&str]) -> String {
        let user = format!("{user}@ims.test:secret-{user}");
        let common = ["--cacert", "cert.pem", "--digest", "-u", &user];
        self.status(&[&common, words].concat())
    }

    /// Statuses of requests, without those of challenges that curl has met.
    fn status(&self, words: &[&str]) -> String {
        let common = ["-o", "answer", "-w", "%{http_code} "];
        self.curl(&[&common, words].concat()).trim().to_owned()
    }

    fn answer(&self) -> String {
        fs::read_to_string(self.server.folder().join("answer")).unwrap_or_default()
    }
}

fn curl(folder: &Path, words: &[&str]) -> String {
    let mut curl = Command::new("curl");
    curl.args(["-s", "--path-as-is", "-m", "20"]).args(words);
    let output = curl.current_dir(folder).output().expect("curl");
    String::from_utf8_lossy(&output.stdout).replace('\r', "")
}

/// A line of the credentials file, as the program writes it.
fn user(name: &str, password: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_presentia"))
        .args(["passwd", &format!("{name}@ims.test"), "--realm", "ims.test"])
        .args(["--identity", &format!("sip:{name}@ims.test")])
        .args(
            ["--identity", "tel:+36105550001"]
                .iter()
                .filter(|_| name == "bob"),
        )
        .args(["--password-env", "P"])
        .env("P", password)
        .output()
        .expect("presentia passwd");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A certificate of its own for localhost.
fn certificate(folder: &Path, certificate: &str, key: &str) {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args([
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
        ])
        .args([
            "-keyout",
            &format!("{key}.pem"),
            "-out",
            &format!("{certificate}.pem"),
        ])
        .current_dir(folder)
        .output()
        .expect("openssl");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
}

fn ready() -> bool {
    peers(&["curl", "openssl"])
}

fn hang_up(server: &Server) {
    let pid = rustix::process::Pid::from_raw(server.pid()).expect("a process id");
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).expect("SIGHUP");
}

/// The values of one header in what curl wrote with `-i` or `-v`.
fn values<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let fields = text
        .lines()
        .filter_map(|line| line.trim_start_matches("> ").split_once(": "));
    fields
        .filter(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
        .collect()
}

#[test]
fn a_user_proves_a_password_with_each_hash_over_each_version_of_http() {
    if !ready() {
        return;
    }
    for hash in ["MD5", "SHA-256"] {
        let proxy = Proxy::start(&format!("xcap.digest.algorithms = ['{hash}']"));
        let url = proxy.secure(BOB);
        for version in ["--http1.1", "--http2"] {
            let put = [version, "-X", "PUT", "-H", KIND, "-d", LISTS, url.as_str()];
            let status = proxy.by("bob", &put);
            assert!(
                ["201", "200"].contains(&status.as_str()),
                "{hash} {version}: {status}"
            );
            assert_eq!(proxy.by("bob", &[version, &url]), "200", "{hash} {version}");
            assert_eq!(proxy.answer(), LISTS);
            assert_eq!(proxy.by("alice", &[version, &url]), "403", "not hers");
        }
        let challenge = proxy.curl(&["--cacert", "cert.pem", "-i", &url]);
        assert!(challenge.contains(" 401"), "{challenge}");
        let challenges = values(&challenge, "www-authenticate");
        assert!(challenges.len() == 1 && challenges[0].contains(&format!("algorithm={hash}")));
        // without TLS nobody is asked for a password, and nobody is believed
        let plain = proxy.plain(BOB);
        assert_eq!(proxy.by("bob", &["--interface", STRANGER, &plain]), "403");
        proxy.server.stop();
    }
}

#[test]
fn a_replay_is_refused_with_a_new_nonce() {
    if !ready() {
        return;
    }
    let proxy = Proxy::start("xcap.digest.allow_plain = true");
    let url = proxy.plain("/xcap-root/xcap-caps/global/index");
    let mut tracing = Command::new("curl");
    tracing.args([
        "-s",
        "-v",
        "--digest",
        "-u",
        "bob@ims.test:secret-bob",
        &url,
        &url,
    ]);
    let traced = tracing.output().unwrap();
    let trace = String::from_utf8_lossy(&traced.stderr).replace('\r', "");
    let proofs = values(&trace, "authorization");
    assert_eq!(proofs.len(), 2, "{trace}");
    for proof in proofs {
        let path = "/xcap-root/xcap-caps/global/index";
        let again = http(
            proxy.server.http,
            "GET",
            path,
            &[("Authorization", proof)],
            "",
        );
        assert_eq!(again.status, 401);
        assert!(again.head.contains("stale=true"), "{}", again.head);
        let asserted = ("X-3GPP-Asserted-Identity", "\"sip:bob@ims.test\"");
        let both = [("Authorization", proof), asserted];
        let both = http(proxy.server.http, "GET", path, &both, "");
        assert_eq!(
            both.status, 401,
            "credentials go before what a trusted proxy asserts"
        );
        let elsewhere = http(
            proxy.server.http,
            "GET",
            BOB,
            &[("Authorization", proof)],
            "",
        );
        assert_eq!(elsewhere.status, 400, "for another resource");
    }
    proxy.server.stop();
}

#[test]
fn who_guesses_a_password_waits_longer_each_time() {
    if !ready() {
        return;
    }
    let proxy = Proxy::start("xcap.digest.max_failures = 2");
    let (ca, url) = (["--cacert", "cert.pem", "--digest"], proxy.secure(BOB));
    let guess = |name: &str| proxy.status(&[&ca[..], &["-u", name, &url]].concat());
    assert_eq!(guess("bob@ims.test:a"), "401");
    assert_eq!(guess("bob@ims.test:b"), "401");
    assert_eq!(guess("bob@ims.test:c"), "429");
    assert_eq!(
        guess("bob@ims.test:secret-bob"),
        "429",
        "even the right one, from there"
    );
    let other = [
        &ca[..],
        &[
            "--interface",
            STRANGER,
            "-u",
            "bob@ims.test:secret-bob",
            &url,
        ],
    ];
    assert_eq!(
        proxy.status(&other.concat()),
        "404",
        "bob elsewhere is let in"
    );
    let right = || (guess("bob@ims.test:secret-bob") == "404").then_some(());
    assert!(eventually(SOON, right).is_some(), "after the wait");
    let metrics = http(proxy.server.http, "GET", "/metrics", &[], "").body;
    assert!(
        metrics.contains("rejected_inputs_total{reason=\"credentials\"} 2"),
        "{metrics}"
    );
    proxy.server.stop();
}

/// XCP-06: what a client says of itself counts for nothing, beside credentials and without.
#[test]
fn an_identity_that_a_client_asserts_itself_is_not_believed() {
    if !ready() {
        return;
    }
    let proxy = Proxy::start("");
    let (bob, alice) = (proxy.secure(BOB), proxy.secure(ALICE));
    let put = ["-X", "PUT", "-H", KIND, "-d", LISTS, alice.as_str()];
    assert_eq!(proxy.by("alice", &put), "201");
    for name in [
        "X-3GPP-Asserted-Identity",
        "X-XCAP-Asserted-Identity",
        "P-Asserted-Identity",
    ] {
        let spoof = format!("{name}: <sip:alice@ims.test>");
        let beside = ["--interface", STRANGER, "-H", &spoof];
        let ask = |url: &str| proxy.by("bob", &[&beside[..], &[url]].concat());
        assert_eq!(ask(&alice), "403", "{name} beside credentials");
        assert_eq!(ask(&bob), "404", "{name} takes nothing away");
        let ca = [
            "--cacert",
            "cert.pem",
            "--interface",
            STRANGER,
            "-H",
            &spoof,
        ];
        assert_eq!(
            proxy.status(&[&ca[..], &[&alice]].concat()),
            "401",
            "{name} alone"
        );
        let plain = proxy.plain(ALICE);
        let without = ["--interface", STRANGER, "-H", &spoof, &plain];
        assert_eq!(proxy.status(&without), "403", "{name} without TLS");
        assert_eq!(
            proxy.status(&["-H", &spoof, &plain]),
            "200",
            "{name} by a trusted proxy"
        );
    }
    proxy.server.stop();
}

#[test]
fn the_intended_identity_is_one_of_the_users_own() {
    if !ready() {
        return;
    }
    let proxy = Proxy::start("");
    let bob = proxy.secure(BOB);
    for (identity, status) in [
        ("\"sip:bob@ims.test\"", "404"),
        ("sip:bob@IMS.test", "404"),
        ("\"sip:alice@ims.test\"", "403"),
        ("\"sip:bob@ims.test\", \"sip:alice@ims.test\"", "403"),
        ("\"tel:+36105550001\"", "403"), // bob's, but the tree is not known to be its
    ] {
        let header = format!("X-3GPP-Intended-Identity: {identity}");
        assert_eq!(
            proxy.by("bob", &["-H", &header, &bob]),
            status,
            "{identity}"
        );
    }
    proxy.server.stop();
}

#[test]
fn certificates_and_credentials_are_read_again_while_connections_are_open() {
    if !ready() {
        return;
    }
    let proxy = Proxy::start("");
    let folder = proxy.server.folder();
    let url = proxy.secure(BOB);
    let fits = |ca: &str| proxy.status(&["--cacert", ca, &url]) == "401";
    assert!(fits("cert.pem"));
    let mut open = Command::new("openssl")
        .args([
            "s_client",
            "-quiet",
            "-connect",
            &format!("127.0.0.1:{}", proxy.tls),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut ask = |close: &str| {
        let request = format!("GET {BOB} HTTP/1.1\r\nHost: x\r\nConnection: {close}\r\n\r\n");
        open.stdin
            .as_mut()
            .unwrap()
            .write_all(request.as_bytes())
            .unwrap();
    };
    ask("keep-alive");
    fs::copy(folder.join("cert.pem"), folder.join("old.pem")).unwrap();

    // a key that is not the certificate's: what was there stays
    certificate(folder, "unused", "key");
    hang_up(&proxy.server);
    let told = || proxy.server.log().contains("stays in force").then_some(());
    assert!(eventually(SOON, told).is_some(), "{}", proxy.server.log());
    assert!(fits("old.pem"));

    certificate(folder, "cert", "key");
    fs::write(folder.join("users"), user("bob", "another")).unwrap();
    hang_up(&proxy.server);
    assert!(
        eventually(SOON, || fits("cert.pem").then_some(())).is_some(),
        "the new certificate"
    );
    assert!(!fits("old.pem"), "not the old one");
    let renewed = || {
        let words = [
            "--cacert",
            "cert.pem",
            "--digest",
            "-u",
            "bob@ims.test:another",
            &url,
        ];
        (proxy.status(&words) == "404").then_some(())
    };
    assert!(eventually(SOON, renewed).is_some(), "the new password");
    assert_eq!(proxy.by("bob", &[&url]), "401", "not the old one");

    ask("close");
    let mut answers = String::new();
    open.stdout
        .take()
        .unwrap()
        .read_to_string(&mut answers)
        .unwrap();
    assert_eq!(
        answers.matches("HTTP/1.1 401").count(),
        2,
        "the open connection went on: {answers}"
    );
    let _ = open.wait();
    proxy.server.stop();
}

#[test]
fn a_proxy_is_known_by_its_certificate() {
    if !ready() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path(), "ca", "ca-key");
    let issued = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ])
        .args([
            "-days",
            "2",
            "-subj",
            "/CN=aggregation",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca-key.pem",
        ])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "client-key.pem", "-out", "client.pem"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(issued.status.success(), "{issued:?}");
    let ca = folder.path().join("ca.pem");
    let proxy = Proxy::start(&format!(
        "http.client_ca = '{}'\nhttp.trusted_certificates = ['any']",
        ca.display()
    ));
    certificate(proxy.server.folder(), "other", "other-key");
    let key = folder.path().join("client-key.pem");
    let shown = folder.path().join("client.pem");
    let (shown, key) = (shown.to_str().unwrap(), key.to_str().unwrap());
    let url = proxy.secure(BOB);
    let asserted = "X-3GPP-Asserted-Identity: \"sip:bob@ims.test\"";
    let common = [
        "--cacert",
        "cert.pem",
        "--interface",
        STRANGER,
        "-H",
        asserted,
        &url,
    ];
    let with = |words: &[&str]| proxy.status(&[words, &common[..]].concat());
    assert_eq!(with(&["--cert", shown, "--key", key]), "404", "believed");
    assert_eq!(with(&[]), "401", "nobody");
    assert_eq!(
        with(&["--cert", "other.pem", "--key", "other-key.pem"]),
        "000",
        "no TLS at all"
    );
    proxy.server.stop();
}

#[test]
fn http_2_is_spoken_with_and_without_tls_and_documents_come_compressed() {
    if !ready() {
        return;
    }
    let proxy = Proxy::start("http.compress_above = 100\nhttp.access_log = 'access.log'");
    let url = proxy.plain(BOB);
    let asserted = "X-3GPP-Asserted-Identity: \"sip:bob@ims.test\"";
    let long = LISTS.replace("\"l\"", &format!("\"{}\"", "l".repeat(2000)));
    let ask = |words: &[&str]| {
        let common = ["--http2-prior-knowledge", "-H", asserted, "-i"];
        proxy.curl(&[&common[..], words, &[&url]].concat())
    };
    let put = ask(&["-X", "PUT", "-H", KIND, "-d", &long]);
    assert!(put.starts_with("HTTP/2 201"), "{put}");
    let plain = ask(&[]);
    let tag = values(&plain, "etag")[0];
    assert!(
        plain.ends_with(&long) && values(&plain, "vary") == ["Accept-Encoding"],
        "{plain}"
    );
    let packed = ask(&["--compressed"]);
    let packed_tag = values(&packed, "etag")[0];
    assert!(
        packed.ends_with(&long) && packed.contains("content-encoding: gzip"),
        "{packed}"
    );
    assert_eq!(packed_tag, tag.trim_end_matches('"').to_owned() + "-gzip\"");
    for (case, header, words, status) in [
        (
            "not changed",
            format!("If-None-Match: {packed_tag}"),
            vec![],
            "304",
        ),
        (
            "the packed one is the document",
            format!("If-Match: {packed_tag}"),
            vec!["-X", "DELETE"],
            "200",
        ),
    ] {
        let answer = ask(&[&["-H", header.as_str()], &words[..]].concat());
        assert!(
            answer.starts_with(&format!("HTTP/2 {status}")),
            "{case}: {answer}"
        );
    }
    let options = ask(&["-X", "OPTIONS"]);
    assert_eq!(
        values(&options, "allow"),
        ["GET, HEAD, PUT, DELETE, OPTIONS"]
    );
    let log = || {
        let text = fs::read_to_string(proxy.server.folder().join("access.log")).ok()?;
        (text
            .lines()
            .filter(|line| line.contains("HTTP/2.0"))
            .count()
            >= 6)
            .then_some(text)
    };
    let log = eventually(SOON, log).expect("six lines in the access log");
    assert!(
        !log.contains("bob") && !log.contains("127.0.0.1"),
        "it names nobody: {log}"
    );
    proxy.server.stop();
}

#[test]
fn who_asks_too_often_is_told_when_to_come_again() {
    if !ready() {
        return;
    }
    let proxy = Proxy::start("http.peer_rate = 3\nhttp.user_rate = 2");
    let url = proxy.plain("/nothing");
    let many = vec![url.as_str(); 12];
    let stranger = [&["-i", "--interface", STRANGER][..], &many].concat();
    let answers = proxy.curl(&stranger);
    assert_eq!(
        answers.matches("HTTP/1.1 404").count(),
        6,
        "twice the rate: {answers}"
    );
    assert_eq!(answers.matches("retry-after: 1\n").count(), 6, "{answers}");
    let trusted = proxy.curl(&[&["-i"][..], &many].concat());
    assert_eq!(
        trusted.matches("HTTP/1.1 404").count(),
        12,
        "a trusted proxy: {trusted}"
    );
    let url = proxy.plain(BOB);
    let many = vec![url.as_str(); 8];
    let asserted = "X-3GPP-Asserted-Identity: \"sip:bob@ims.test\"";
    let user = proxy.curl(&[&["-i", "-H", asserted][..], &many].concat());
    assert!(
        user.matches("HTTP/1.1 429").count() >= 3,
        "one user through the proxy: {user}"
    );
    let url = proxy.plain("/xcap-root/pres-rules/users/sip:carol@ims.test/index");
    let spelled = (0..8).map(|n| format!("X-3GPP-Asserted-Identity: \"sip:carol@IMS.test;n={n}\""));
    let all: String = spelled
        .map(|header| proxy.curl(&["-i", "-H", &header, &url]))
        .collect();
    assert!(
        all.matches("HTTP/1.1 429").count() >= 2,
        "one user under many spellings: {all}"
    );
    proxy.server.stop();
}

#[test]
fn documents_of_another_server_are_behind_the_same_root() {
    if !ready() {
        return;
    }
    let far = Server::start("sip.home_domains = ['ims.test', 'far.test']");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let down = free_port();
    let proxy = Proxy::start(&format!(
        "[[xcap.remotes]]\ndomains = ['far.test']\nroot = 'http://{}/xcap-root'\n\
         [[xcap.remotes]]\nauids = ['pres-rules']\nroot = 'http://127.0.0.1:{down}/xcap-root'\n\
         [[xcap.remotes]]\nauids = ['pidf-manipulation']\nroot = 'http://{}/x'\ntimeout_ms = 300\n\
         [[xcap.remotes]]\nauids = ['rls-services']\nroot = 'http://OWN/xcap-root'\n",
        far.http,
        silent.local_addr().unwrap()
    ));
    let carol = "/xcap-root/resource-lists/users/sip:carol@far.test/index";
    let (here, asserted) = (
        proxy.server.http,
        ("X-3GPP-Asserted-Identity", "\"sip:carol@far.test\""),
    );
    let ask = |to, method, path: &str, more: (&str, &str), body| {
        let kind = ("Content-Type", "application/resource-lists+xml");
        http(to, method, path, &[asserted, kind, more], body)
    };
    let none = ("X-None", "none");
    let put = ask(here, "PUT", carol, none, LISTS);
    assert_eq!(put.status, 201, "{}", put.head);
    let tag = put.header("etag").unwrap().to_owned();
    let there = ask(far.http, "GET", carol, none, "");
    assert_eq!(
        (there.status, there.body.as_str()),
        (200, LISTS),
        "it is there"
    );
    let attribute = format!(
        "{carol}/~~/a:resource-lists/a:list%5B1%5D/@name?xmlns(a=urn:ietf:params:xml:ns:resource-lists)"
    );
    let read = ask(here, "GET", &attribute, none, "");
    assert_eq!(
        (read.status, read.body.as_str()),
        (200, "\"l\""),
        "{}",
        read.head
    );
    let condition = ("If-Match", "\"another\"");
    assert_eq!(ask(here, "DELETE", carol, condition, "").status, 412);
    assert_eq!(
        ask(here, "GET", carol, ("If-None-Match", &tag), "").status,
        304
    );
    let eve = [("X-3GPP-Asserted-Identity", "\"sip:eve@far.test\"")];
    assert_eq!(
        http(here, "GET", carol, &eve, "").status,
        403,
        "the other server decides"
    );
    assert_eq!(
        http(here, "GET", carol, &[], "").status,
        403,
        "who is nobody gets no further"
    );
    assert_eq!(
        ask(here, "DELETE", carol, ("If-Match", &tag), "").status,
        200
    );
    for (case, path, status) in [
        (
            "nobody listens",
            "/xcap-root/pres-rules/users/sip:bob@ims.test/index",
            502,
        ),
        (
            "no answer",
            "/xcap-root/pidf-manipulation/users/sip:bob@ims.test/index",
            504,
        ),
        (
            "it leads back here",
            "/xcap-root/rls-services/users/sip:bob@ims.test/index",
            508,
        ),
        (
            "an unknown usage",
            "/xcap-root/com.example.none/users/sip:bob@ims.test/index",
            404,
        ),
    ] {
        let began = Instant::now();
        assert_eq!(ask(here, "GET", path, none, "").status, status, "{case}");
        assert!(began.elapsed() < SOON, "{case}");
    }
    proxy.server.stop();
    far.stop();
}

/// A client that opens requests and takes them back at once (CVE-2023-44487) is sent away, and nobody else notices.
#[test]
fn rapid_resets_end_the_connection_and_nothing_else() {
    let mut server = Server::start("");
    let mut stream = TcpStream::connect(server.http).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.set_write_timeout(Some(SOON)).unwrap();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]); // SETTINGS
    for request in 0..20_000u32 {
        let stream = (request * 2 + 1).to_be_bytes();
        bytes.extend([0, 0, 6, 1, 5]); // HEADERS, the only ones
        bytes.extend(stream);
        bytes.extend([0x82, 0x86, 0x84, 0x41, 1, b'x']); // GET http / of the authority x
        bytes.extend([0, 0, 4, 3, 0]); // RST_STREAM
        bytes.extend(stream);
        bytes.extend([0, 0, 0, 8]);
    }
    let before = server.resident_kib();
    let _ = stream.write_all(&bytes); // it may be closed before all is written
    let began = Instant::now();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer); // a reset tells as much
    assert!(began.elapsed() < SOON, "it was closed");
    assert!(server.resident_kib() < before + 20_000, "and held nothing");
    server.healthy();
    server.stop();
}
