//! Lists (RFC 4662) where SIPp is too weak: over kill -9, above limits, long ones, and as our own client sees them.

use crate::harness::{Client, Message, Request, SOON, Server, Ua, eventually, pidf, rules, run};
use ims::event::onlooker::Content;
use ims::event::subscription::State;
use ims::rls::body::{Body, Level};
use ims::rls::picture::{Picture, Taken};
use ims::rls::reading::{Limits, read};
use serde_json::Value;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

const ALICE: &str = "sip:alice@ims.test";
const BOB: &str = "sip:bob@ims.test";
const LIST: &str = "sip:alice@ims.test;pres-list=rcs";
const QUICK: &str = "[rls]\nnotify_interval_ms = 0\n";

/// The list with these members, and the service for it.
fn serve(server: &Server, members: &[String]) {
    let entries: String = members
        .iter()
        .map(|uri| format!("<rl:entry uri=\"{uri}\"/>"))
        .collect();
    let services = format!(
        "<rls-services xmlns=\"urn:ietf:params:xml:ns:rls-services\" \
         xmlns:rl=\"urn:ietf:params:xml:ns:resource-lists\"><service uri=\"{LIST}\"><list>{entries}</list>\
         <packages><package>presence</package></packages></service></rls-services>"
    );
    server.put_lists(ALICE, "rls-services", &services);
}

fn published(ua: &mut Ua, user: &str, note: &str) {
    let answer = ua.ask(&Request::publish(user, &pidf(user, "open", note)));
    assert_eq!(answer.status(), Some(200), "{answer:?}");
}

fn subscribe() -> Request {
    Request::subscribe(ALICE, LIST)
        .without("Accept")
        .with("Supported", "eventlist")
        .with(
            "Accept",
            "application/pidf+xml, application/rlmi+xml, multipart/related",
        )
}

/// Lines of JSON that a client has printed.
fn lines(client: &Client) -> Vec<Value> {
    let out = client.out();
    let whole = out.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

fn note_of(line: &Value, member: &str) -> Option<String> {
    let members = line["members"].as_array()?;
    let member = members.iter().find(|m| m["uri"] == member)?;
    let note = &member["instances"][0]["presence"]["services"][0]["notes"][0];
    note.as_str().map(str::to_owned)
}

#[track_caller]
fn shows(client: &Client, member: &str, note: &str) -> Value {
    let seen = eventually(SOON, || {
        let last = lines(client).pop()?;
        (note_of(&last, member).as_deref() == Some(note)).then_some(last)
    });
    seen.unwrap_or_else(|| {
        panic!(
            "never showed {note}:\n{}\n{}",
            client.out(),
            client.text("err")
        )
    })
}

/// Nothing that a watcher of a list was promised is lost with the process: its dialog, its versions, its members.
#[test]
fn our_client_follows_a_list_over_kill_9() {
    let mut server = Server::start(QUICK);
    let sip = server.sip.to_string();
    let mut bob = Ua::new(server.sip);
    assert_eq!(server.put_rules(BOB, &rules(ALICE, "allow")), 201);
    serve(&server, &[BOB.to_owned(), ALICE.to_owned()]);
    published(&mut bob, BOB, "before");
    let watcher = Client::start(&["watch", LIST, "--as", ALICE, "--json", "--server", &sip]);
    let first = shows(&watcher, BOB, "before");
    assert_eq!(
        (&first["version"], &first["list"]),
        (&0.into(), &LIST.into())
    );
    server.kill9();
    server.launch();
    let mut bob = Ua::new(server.sip);
    published(&mut bob, BOB, "after");
    let seen = eventually(SOON, || lines(&watcher).pop().filter(|l| l["version"] != 0));
    let seen = seen.expect("a NOTIFY in the dialog that was open");
    assert_eq!(seen["changed"][0], BOB);
    // a lost version would have brought a refresh, and a word on standard error
    assert!(
        !watcher.text("err").contains("lost"),
        "{}",
        watcher.text("err")
    );
    let (status, text) = watcher.interrupt();
    assert!(status.success(), "{text}");
    server.stop();
}

/// A list that comes with the SUBSCRIBE (RFC 5367), by our client, in words and once.
#[test]
fn our_client_brings_a_list_along() {
    let server = Server::start(QUICK);
    let sip = server.sip.to_string();
    let mut bob = Ua::new(server.sip);
    assert_eq!(server.put_rules(BOB, &rules(ALICE, "allow")), 201);
    published(&mut bob, BOB, "in the lab");
    let members = format!("{BOB},sip:carol@ims.test");
    let rls = "sip:rls@ims.test";
    let way = ["--as", ALICE, "--members", &members, "--server", &sip];
    let (text, code) = run(&[&["watch", rls, "--once"][..], &way].concat());
    assert!(
        code == Some(0) && text.contains("2 members"),
        "{code:?} {text}"
    );
    assert!(text.contains(&format!("{BOB}: active")), "{text}");
    assert!(text.contains("note: in the lab"), "{text}");
    assert!(
        text.contains("sip:carol@ims.test: terminated (rejected)"),
        "{text}"
    );
    // a list of somebody else
    serve(&server, &[BOB.to_owned()]);
    let (text, code) = run(&["watch", LIST, "--as", "sip:eve@ims.test", "--server", &sip]);
    assert!(code == Some(1) && text.contains("403"), "{code:?} {text}");
    server.stop();
}

/// RLS-10: what is above the limit of one list is listed and not subscribed to; above that of a watcher there is no
/// subscription at all.
#[test]
fn members_above_the_limit_are_listed_without_state() {
    let limits = "[rls]\nnotify_interval_ms = 0\nmax_members = 2\nmax_members_per_watcher = 4\n";
    let server = Server::start(limits);
    let mut alice = Ua::new(server.sip);
    let members: Vec<String> = (0..3).map(|n| format!("sip:m{n}@ims.test")).collect();
    for member in &members {
        assert_eq!(server.put_rules(member, &rules(ALICE, "allow")), 201);
        published(&mut alice, member, "here");
    }
    serve(&server, &members);
    let (_, notify) = alice.watch(&subscribe());
    let level = read(
        notify.get("content-type"),
        &notify.body.clone().into(),
        &Limits::default(),
    );
    let level = level.unwrap();
    let told: Vec<bool> = level
        .resources
        .iter()
        .map(|r| r.instances.iter().any(|i| i.told.is_some()))
        .collect();
    assert_eq!(told, [true, true, false], "{level:?}");
    let second = alice.ask(&subscribe());
    assert_eq!(second.status(), Some(403), "{second:?}");
    server.stop();
}

/// A list whose states do not fit into one NOTIFY: all members at once, and their states in those that follow.
#[test]
fn a_long_list_is_told_in_several_notifys() {
    let server = Server::start("[rls]\nnotify_interval_ms = 0\nmax_notify = 20000\n");
    let mut alice = Ua::new(server.sip);
    let members: Vec<String> = (0..60).map(|n| format!("sip:m{n}@ims.test")).collect();
    for member in &members {
        assert_eq!(server.put_rules(member, &rules(ALICE, "allow")), 201);
        published(&mut alice, member, &"a long note ".repeat(40));
    }
    serve(&server, &members);
    let (_, first) = alice.watch(&subscribe());
    let mut picture = Picture::default();
    let mut take = |notify: &Message| {
        assert!(notify.body.len() < 24_000, "{} bytes", notify.body.len());
        let body = notify.body.clone().into();
        let level = read(notify.get("content-type"), &body, &Limits::default()).unwrap();
        assert!(matches!(
            picture.take(level),
            Taken::News { lost: false, .. }
        ));
        let known = |row: &ims::rls::picture::Row| row.instances.values().count() == 1;
        (
            picture.rows().count(),
            picture.rows().filter(|(_, row)| known(row)).count(),
        )
    };
    let (listed, mut known) = take(&first);
    assert!(
        listed == members.len() && known < listed,
        "{listed} {known}"
    );
    let mut notifys = 1;
    while known < members.len() {
        let next = alice.request(SOON).expect("the rest of the list");
        (_, known) = take(&next);
        notifys += 1;
    }
    assert!(notifys > 2, "{notifys} NOTIFYs");
    server.stop();
}

/// A notifier of the test's own.
struct Notifier {
    socket: UdpSocket,
    peer: Option<SocketAddr>,
    subscribe: Option<Message>,
    cseq: u32,
}

impl Notifier {
    fn next(&mut self) -> Message {
        let mut buffer = [0; 65_535];
        loop {
            let (length, peer) = self.socket.recv_from(&mut buffer).expect("a message");
            let message = Message::parse(&buffer[..length]).filter(|m| !m.first.is_empty());
            if let Some(message) = message {
                self.peer = Some(peer);
                return message;
            }
        }
    }

    fn send(&self, text: &str) {
        let peer = self.peer.expect("somebody has asked");
        self.socket.send_to(text.as_bytes(), peer).unwrap();
    }

    /// The next SUBSCRIBE, answered.
    fn subscribed(&mut self, status: &str, more: &str) -> Message {
        let request = loop {
            let message = self.next();
            if message.is_request("SUBSCRIBE") {
                break message;
            }
        };
        let me = self.socket.local_addr().unwrap();
        let to = request.get("to").to_owned();
        let mut answer = request.answer(status);
        if !to.contains("tag=") {
            answer = answer.replace(&to, &format!("{to};tag=n"));
        }
        let more = format!("Contact: <sip:{me}>\r\nExpires: 600\r\n{more}Content-Length");
        self.send(&answer.replace("Content-Length", &more));
        self.subscribe = Some(request.clone());
        request
    }

    /// A NOTIFY that says of bob what it is told; its answer is awaited.
    fn notify(&mut self, version: u32, full: bool, note: &str) {
        let mut level = Level::new(LIST, version, full, &[], version.into());
        level.resource(BOB, &[]);
        let state = Content {
            media_type: "application/pidf+xml".into(),
            bytes: pidf(BOB, "open", note).into(),
        };
        level.instance("1", State::Active, Some(&state));
        let Body {
            content_type,
            bytes,
            ..
        } = level.finish();
        self.cseq += 1;
        let subscribe = self.subscribe.clone().expect("a SUBSCRIBE");
        let (me, cseq) = (self.socket.local_addr().unwrap(), self.cseq);
        let head = format!(
            "NOTIFY {} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bKn{cseq}\r\nMax-Forwards: 70\r\n\
             From: <{LIST}>;tag=n\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} NOTIFY\r\nContact: <sip:{me}>\r\n\
             Event: presence\r\nRequire: eventlist\r\nSubscription-State: active;expires=600\r\n\
             Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
            subscribe.uri("contact"),
            subscribe.get("from"),
            subscribe.get("call-id"),
            bytes.len()
        );
        self.send(&(head + std::str::from_utf8(&bytes).unwrap()));
        loop {
            let message = self.next();
            if message.status() == Some(200) && message.get("cseq").contains("NOTIFY") {
                return;
            }
        }
    }
}

/// RFC 4662 §4.1, §5.6.2: the client learns that it watches a list, and asks for the whole when a NOTIFY was lost.
#[test]
fn our_client_asks_again_for_what_was_lost() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let me = socket.local_addr().unwrap().to_string();
    let watcher = Client::start(&["watch", LIST, "--as", ALICE, "--json", "--server", &me]);
    let mut notifier = Notifier {
        socket,
        peer: None,
        subscribe: None,
        cseq: 0,
    };
    let plain = notifier.subscribed("421 Extension Required", "Require: eventlist\r\n");
    assert_eq!(plain.get("supported"), "");
    let asked = notifier.subscribed("200 OK", "Require: eventlist\r\n");
    assert_eq!(asked.get("supported"), "eventlist");
    for kind in [
        "application/pidf+xml",
        "application/rlmi+xml",
        "multipart/related",
    ] {
        assert!(
            asked.get("accept").contains(kind),
            "{}",
            asked.get("accept")
        );
    }
    assert!(asked.first.contains(";pres-list=rcs"), "{}", asked.first);
    notifier.notify(0, true, "zero");
    notifier.notify(2, false, "two"); // 1 is lost
    let refresh = notifier.subscribed("200 OK", "Require: eventlist\r\n");
    assert!(refresh.get("to").contains("tag=n"), "in the dialog");
    notifier.notify(3, true, "three");
    notifier.notify(3, false, "three again"); // old
    shows(&watcher, BOB, "three");
    let versions: Vec<Value> = lines(&watcher)
        .into_iter()
        .map(|l| l["version"].clone())
        .collect();
    assert_eq!(versions, [0, 2, 3]);
    assert!(watcher.text("err").contains("lost"));
    notifier
        .socket
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let mut buffer = [0; 65_535];
    let more = notifier.socket.recv_from(&mut buffer).ok();
    assert!(more.is_none(), "asked again although nothing is missing");
}
