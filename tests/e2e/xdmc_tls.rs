//! The XDMC over TLS with a password, against the server as its own aggregation proxy.

use crate::harness::{Server, certificates, free_port, peers, run};

const BOB: &str = "sip:bob@ims.test";
const RULES: &str = "pres-rules/users/sip:bob@ims.test/index";
const EVES: &str = "pres-rules/users/sip:eve@ims.test/index";

/// XCP-06: a user with a password over TLS reaches the own tree and no other; a false authority or password reaches
/// nothing.
#[test]
fn a_password_over_tls_opens_the_own_tree_and_no_other() {
    if !peers(&["openssl"]) {
        return;
    }
    let port = free_port();
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let at = |name: &str| folder.path().join(name).display().to_string();
    let user = [
        "bob@ims.test",
        "--realm",
        "ims.test",
        "--identity",
        BOB,
        "--password-env",
        "PASSWORD_OF_BOB",
    ];
    let (line, code) = run(&[&["passwd"][..], &user].concat());
    assert_eq!(code, Some(0), "{line}");
    std::fs::write(at("users"), line).unwrap();
    let server = Server::start(&format!(
        "[http]\ntls_listen = \"127.0.0.1:{port}\"\ncertificate = \"{}\"\nkey = \"{}\"\n[xcap.digest]\nusers = \"{}\"\n",
        at("tls.pem"),
        at("tls.key"),
        at("users")
    ));
    let (ca, other) = (at("ca.pem"), at("other.pem"));
    let root = format!("https://127.0.0.1:{port}/xcap-root");
    let secure = ["--root", &root, "--ca", &ca];
    let bob = ["--password-env", "PASSWORD_OF_BOB"];
    let (said, code) = run(&[
        &["policy", "accept", "sip:alice@ims.test", "--as", BOB][..],
        &secure,
        &bob,
    ]
    .concat());
    assert!(
        code == Some(0) && said.contains("is accepted: list 1"),
        "{said}"
    );
    let (said, code) = run(&[&["xcap", "get", RULES][..], &secure, &bob].concat());
    assert!(
        code == Some(0) && said.contains("sip:alice@ims.test"),
        "{said}"
    );
    for (case, options, code, word) in [
        (
            "another's tree",
            [&["xcap", "get", EVES, "--as", BOB][..], &secure, &bob].concat(),
            1,
            "does not let this identity",
        ),
        (
            "a wrong one",
            [
                &["xcap", "get", RULES][..],
                &secure,
                &["--password-env", "WRONG"],
            ]
            .concat(),
            1,
            "does not accept",
        ),
        (
            "another authority",
            [
                &["xcap", "get", RULES, "--root", &root, "--ca", &other][..],
                &bob,
            ]
            .concat(),
            1,
            "is its authority in the file of --ca",
        ),
    ] {
        let (said, ended) = run(&options);
        assert!(
            ended == Some(code) && said.contains(word),
            "{case}: {ended:?} {said}"
        );
    }
    server.stop();
}
