//! Passwords of `presentia xcap` and `presentia policy`: proved, stale, missing, wrong.

use super::*;

/// A server that asks for a proof and takes it with any nonce of its own but the first; gives the requests it got.
fn proving(
    listener: TcpListener,
    algorithm: &'static str,
    requests: usize,
) -> JoinHandle<Vec<String>> {
    std::thread::spawn(move || {
        let mut seen = Vec::new();
        for stream in listener.incoming().take(requests) {
            let mut stream = stream.unwrap();
            let head = head_of(&mut stream);
            let nonce = |text: &str| text.contains("nonce=\"n2\"");
            let challenge = |more: &str, nonce: &str| {
                format!(
                    "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"r\", qop=\"auth\", \
                     algorithm={algorithm}, nonce=\"{nonce}\"{more}\r\nContent-Length: 0\r\n\r\n"
                )
            };
            let answer = match head.to_ascii_lowercase().contains("authorization: digest") {
                false => challenge("", "n1"),
                true if !nonce(&head) => challenge(", stale=true", "n2"),
                true => "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 2\r\n\r\nok".to_owned(),
            };
            stream.write_all(answer.as_bytes()).unwrap();
            seen.push(head);
        }
        seen
    })
}

fn head_of(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head += &line;
        if line.trim().is_empty() {
            break;
        }
    }
    reader.take(length).read_to_end(&mut Vec::new()).unwrap();
    head
}

/// Digest over HTTP: the proof, the nonce that was too old, and what is told to whom.
#[test]
fn a_password_is_proved_and_a_stale_nonce_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "bob-secret\nsecond line\n").unwrap();
    for (algorithm, password) in [
        ("SHA-256", ["--password-file", secret.to_str().unwrap()]),
        ("MD5", ["--password-env", "PASSWORD_OF_BOB"]),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let root = format!("http://{}/root", listener.local_addr().unwrap());
        let server = proving(listener, algorithm, 3);
        let get = [
            "xcap",
            "get",
            RULES,
            "--root",
            &root,
            "--user",
            "bob-private",
        ];
        let said = said(&[&get[..], &password].concat(), "").done();
        assert_eq!(said.out, "ok");
        let seen = server.join().unwrap();
        for head in &seen {
            let head = head.to_ascii_lowercase();
            assert!(
                head.contains(&format!("x-3gpp-intended-identity: \"{BOB}\"")),
                "{head}"
            );
            assert!(!head.contains("asserted-identity"), "{head}");
            assert!(!head.contains("bob-secret"), "{head}");
        }
        let proofs = [&seen[1], &seen[2]];
        assert!(
            proofs
                .iter()
                .all(|head| head.contains("nc=00000001")
                    && head.contains("username=\"bob-private\""))
        );
        assert!(
            proofs[1].contains("uri=\"/root/pres-rules/users/sip:bob@ims.test/index\""),
            "{}",
            proofs[1]
        );
    }
}

#[test]
fn a_missing_or_wrong_password_is_told() {
    let challenge = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n\
                     Content-Length: 0\r\n\r\n";
    for (password, requests, word) in [
        (&[][..], 1, "asks for a password"),
        (
            &["--password-env", "PASSWORD_OF_BOB"],
            2,
            "does not accept this user",
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let root = format!("http://{}/root", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            for stream in listener.incoming().take(requests) {
                let mut stream = stream.unwrap();
                head_of(&mut stream);
                stream.write_all(challenge.as_bytes()).unwrap();
            }
        });
        let get = ["xcap", "get", RULES, "--root", &root];
        let said = said(&[&get[..], password].concat(), "");
        assert!(
            said.code == Some(1) && said.err.contains(word),
            "{}",
            said.err
        );
        server.join().unwrap();
    }
    let nowhere: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let root = format!("http://{nowhere}/root");
    for (options, code) in [
        (vec!["xcap", "get", RULES, "--root", &root], 69),
        (vec!["policy", "show", "--as", BOB, "--root", &root], 69),
        (
            vec![
                "xcap",
                "get",
                RULES,
                "--root",
                &root,
                "--password-file",
                "/nowhere",
            ],
            78,
        ),
        (vec!["xcap", "get"], 2),
        (vec!["policy", "default", "maybe", "--as", BOB], 2),
    ] {
        assert_eq!(said(&options, "").code, Some(code), "{options:?}");
    }
}
