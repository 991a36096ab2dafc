//! The clients at servers that are not ours: a registrar, an S-CSCF, another presence server.

use super::*;

/// A registrar and presence server that asks for SHA-256 and sends by a Service-Route; gives the requests that came.
fn registrar(socket: &UdpSocket, requests: usize) -> Vec<Message> {
    socket.set_read_timeout(Some(SOON)).unwrap();
    let me = socket.local_addr().unwrap();
    let mut seen: Vec<Message> = Vec::new();
    let mut buffer = [0; 65_535];
    while seen.len() < requests {
        let (length, peer) = socket.recv_from(&mut buffer).expect("a request");
        let Some(request) = Message::parse(&buffer[..length]).filter(|m| !m.first.is_empty())
        else {
            continue; // the probe for a listener
        };
        let proved = request.get("authorization").contains("nc=");
        let challenge =
            "WWW-Authenticate: Digest realm=\"r\",nonce=\"n\",algorithm=SHA-256,qop=\"auth\"\r\n";
        let (status, more) = match (request.is_request("REGISTER"), proved) {
            (_, false) => ("401 Unauthorized", challenge.to_owned()),
            (true, true) => (
                "200 OK",
                format!("Service-Route: <sip:orig@{me};lr>\r\nExpires: 600\r\n"),
            ),
            (false, true) => ("200 OK", "SIP-ETag: e1\r\nExpires: 600\r\n".to_owned()),
        };
        let answer = request
            .answer(status)
            .replace("Content-Length", &format!("{more}Content-Length"));
        socket.send_to(answer.as_bytes(), peer).unwrap();
        if !seen.iter().any(|known| known.branch() == request.branch()) {
            seen.push(request);
        }
    }
    seen
}

#[test]
fn a_registrar_gets_its_proof_and_its_service_route_is_followed() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let me: SocketAddr = socket.local_addr().unwrap();
    let proxy = me.to_string();
    let who = ["--user", "bob-private", "--password-env", "PASSWORD_OF_BOB"];
    let publish = ["publish", BOB, "--once", "--proxy", &proxy, "--register"];
    let mut client = Client::start(&[&publish[..], &who].concat());
    let seen = registrar(&socket, 4);
    let (status, text) = client.ends();
    assert!(status.success(), "{text}");
    let methods: Vec<&str> = seen
        .iter()
        .filter_map(|m| m.first.split(' ').next())
        .collect();
    assert_eq!(
        methods,
        ["REGISTER", "REGISTER", "PUBLISH", "REGISTER"],
        "registered, published, deregistered"
    );
    let unproved = "username=\"bob-private\",realm=\"ims.test\",nonce=\"\"";
    assert!(
        seen[0].get("authorization").contains(unproved),
        "{:?}",
        seen[0]
    );
    for (index, count) in [(1, "nc=00000001"), (2, "nc=00000002"), (3, "nc=00000003")] {
        assert!(
            seen[index].get("authorization").contains(count),
            "{:?}",
            seen[index]
        );
    }
    for (index, header, want) in [
        (0, "cseq", "1 REGISTER".to_owned()),
        (1, "cseq", "2 REGISTER".to_owned()),
        (0, "route", format!("<sip:{me};lr>")), // the registrar lies behind the proxy
        (2, "route", format!("<sip:orig@{me};lr>")), // the proxy is the first of the Service-Route
        (2, "p-preferred-identity", format!("<{BOB}>")),
        (2, "p-asserted-identity", String::new()), // asserting is the proxy's
        (3, "expires", "0".to_owned()),
    ] {
        assert_eq!(seen[index].get(header), want, "{header} of request {index}");
    }
}

#[test]
fn a_wrong_password_is_not_tried_for_ever() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let me = socket.local_addr().unwrap().to_string();
    let refusing = std::thread::spawn(move || {
        socket.set_read_timeout(Some(SOON * 3)).unwrap();
        let mut buffer = [0; 65_535];
        let mut branches = std::collections::BTreeSet::new();
        while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            if &buffer[..length] == b"end" {
                break;
            }
            let Some(request) = Message::parse(&buffer[..length]).filter(|m| !m.first.is_empty())
            else {
                continue; // the probe for a listener
            };
            let challenge = "WWW-Authenticate: Digest realm=\"r\",nonce=\"n\"\r\nContent-Length";
            let answer = request
                .answer("401 Unauthorized")
                .replace("Content-Length", challenge);
            socket.send_to(answer.as_bytes(), peer).unwrap();
            branches.insert(request.branch().to_owned());
        }
        branches.len()
    });
    for password in [&[][..], &["--password", "wrong"]] {
        let (text, code) = run(&[&["publish", BOB, "--server", &me][..], password].concat());
        assert!(
            code == Some(1) && text.contains("password"),
            "{code:?} {text}"
        );
    }
    let done = UdpSocket::bind("127.0.0.1:0").unwrap();
    done.send_to(b"end", &me).unwrap();
    assert_eq!(
        refusing.join().unwrap(),
        3,
        "one request without a password, two with"
    );
}

/// The lab with S-CSCF, HSS and our server, started and held. Dropped, it is stopped.
struct Lab {
    child: Child,
    scscf: String,
    http: String,
    _folder: TempDir,
}

impl Lab {
    fn start() -> Lab {
        let folder = tempfile::tempdir().unwrap();
        let said = folder.path().join("said");
        let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/run");
        let child = Command::new("python3")
            .args(["-u".as_ref(), run.as_os_str()])
            .args([
                "--hold",
                "--isc",
                "udp",
                "--server",
                env!("CARGO_BIN_EXE_presentia"),
                "--keep",
            ])
            .arg(folder.path().join("lab"))
            .stdin(Stdio::null())
            .stdout(File::create(&said).unwrap())
            .spawn()
            .unwrap();
        let mut lab = Lab {
            child,
            scscf: String::new(),
            http: String::new(),
            _folder: folder,
        };
        let line = eventually(SOON * 3, || {
            let text = fs::read_to_string(&said).unwrap();
            text.lines()
                .find(|line| line.starts_with("S-CSCF"))
                .map(str::to_owned)
        });
        let line = line.expect("the lab starts");
        let word = |prefix: &str| line.split_whitespace().find_map(|w| w.strip_prefix(prefix));
        lab.scscf = word("sip:").unwrap().to_owned();
        lab.http = word("http://").unwrap().to_owned();
        lab
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            signal(&self.child, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait(); // its status says nothing
    }
}

/// As subscribers of Kamailio's S-CSCF: REGISTER with Digest, Service-Route, PUBLISH, SUBSCRIBE, NOTIFY.
#[test]
fn two_subscribers_meet_through_an_s_cscf() {
    if !peers(&["kamailio", "kamcmd", "sipp", "python3"]) {
        return;
    }
    let lab = Lab::start();
    allow_alice(&format!("http://{}/xcap-root", lab.http));
    for transport in ["udp", "tcp"] {
        let way = [
            "--proxy",
            &lab.scscf,
            "--register",
            "--transport",
            transport,
        ];
        let alice = ["--as", ALICE, "--password-env", "PASSWORD_OF_ALICE"];
        let watcher = Client::start(&[&["watch", BOB][..], &alice, &way].concat());
        watcher.says("active");
        let bob = ["--note", "in the lab", "--password-env", "PASSWORD_OF_BOB"];
        let source = Client::start(&[&["publish", BOB][..], &bob, &way].concat());
        watcher.says("note: in the lab");
        watcher.says("registration: active");
        let (status, text) = source.interrupt();
        assert!(
            status.success() && text.contains("removed"),
            "{transport}: {status} {text}"
        );
        watcher.says_so("a state without the note", without_note);
        let (status, text) = watcher.interrupt();
        assert!(
            status.success() && !text.contains("could not"),
            "{transport}: {status} {text}"
        );
    }
    let wrong = ["--register", "--password", "wrong"];
    let (text, code) = run(&[
        &["publish", BOB, "--once", "--proxy", &lab.scscf][..],
        &wrong,
    ]
    .concat());
    assert!(
        code == Some(1) && text.contains("cannot register"),
        "{code:?} {text}"
    );
}

/// Kamailio's own presence server behind Digest. Dropped, it is stopped.
struct Foreign {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Foreign {
    fn start(algorithm: &str, proxy: bool) -> Foreign {
        let folder = tempfile::tempdir().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/kamailio/presence.cfg");
        let mut command = Command::new("kamailio");
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
        command.env("PATH", path).arg("-f").arg(config);
        command
            .args(["-DD", "-E", "-m", "64", "-M", "8", "-Y"])
            .arg(folder.path());
        for transport in ["udp", "tcp"] {
            command.args(["-l", &format!("{transport}:{address}")]);
        }
        command.args(["-A", &format!("ALGORITHM=\"{algorithm}\"")]);
        command.args(["-A", &format!("SERVER=\"sip:{address}\"")]);
        if proxy {
            command.args(["-A", "WITH_PROXY=1"]);
        }
        let log = File::create(folder.path().join("log")).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let foreign = Foreign {
            child,
            address,
            _folder: folder,
        };
        let ready = eventually(SOON, || std::net::TcpStream::connect(address).ok());
        let log = || fs::read_to_string(foreign._folder.path().join("log")).unwrap_or_default();
        assert!(ready.is_some(), "Kamailio does not listen:\n{}", log());
        foreign
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            signal(&self.child, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait(); // its status says nothing
    }
}

/// What judges our Digest, PUBLISH, SUBSCRIBE and answers to NOTIFY here is nothing of ours.
#[test]
fn a_presence_server_that_is_not_ours_understands_the_clients() {
    if !peers(&["kamailio"]) {
        return;
    }
    for (algorithm, proxy, transport) in [("SHA-256", false, "udp"), ("MD5", true, "tcp")] {
        let foreign = Foreign::start(algorithm, proxy);
        let server = foreign.address.to_string();
        let way = [
            "--server",
            &server,
            "--transport",
            transport,
            "--password",
            "geheim",
        ];
        let watcher = Client::start(&[&["watch", BOB, "--as", ALICE][..], &way].concat());
        watcher.says("active");
        let source = Client::start(
            &[
                &["publish", BOB, "--note", "abroad", "--expires", "2"][..],
                &way,
            ]
            .concat(),
        );
        watcher.says("note: abroad");
        source.says("refreshed");
        let (status, text) = source.interrupt();
        assert!(
            status.success() && text.contains("removed"),
            "{algorithm}: {status} {text}"
        );
        let (status, text) = watcher.interrupt();
        assert!(
            status.success() && text.contains("subscription over"),
            "{algorithm}: {status} {text}"
        );
        let wrong = [
            "publish",
            BOB,
            "--once",
            "--server",
            &server,
            "--password",
            "falsch",
        ];
        let (text, code) = run(&wrong);
        assert!(
            code == Some(1) && text.contains("does not accept"),
            "{algorithm}: {code:?} {text}"
        );
    }
}
