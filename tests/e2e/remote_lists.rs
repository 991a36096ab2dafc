//! Lists on another server: services over GM-15, what they name over GM-16, changes of both over GM-17.

use crate::harness::{Message, Request, SOON, Server, Ua, eventually, http, pidf, rules};
use std::net::SocketAddr;
use std::time::Instant;

const ALICE: &str = "sip:alice@ims.test";
const BOB: &str = "sip:bob@ims.test";
const FRIENDS: &str = "sip:friends@ims.test";
const XDMS: &str = "[xcap]\nservers = [\"sip:ps.ims.test\"]";

/// The configuration of a server whose watchers' services and lists are at `xdms`.
fn elsewhere(xdms: SocketAddr, more: &str) -> String {
    format!(
        "[rls]\nnotify_interval_ms = 0\nwait_ms = 1000\n[[remote_xdms.servers]]\nauids = [\"rls-services\", \"resource-lists\"]\n\
         users = [\"ims.test\"]\nroot = \"http://{xdms}/xcap-root\"\nidentity = \"sip:ps.ims.test\"\ntimeout_ms = 500\n{more}\n\
         [shutdown]\ndrain_s = 0\n"
    )
}

fn put_list(server: &Server, members: &[&str]) {
    let entries: String = members
        .iter()
        .map(|user| format!("<entry uri=\"sip:{user}@ims.test\"/>"))
        .collect();
    let lists = format!(
        "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list name=\"f\">{entries}</list></resource-lists>"
    );
    server.put_lists(ALICE, "resource-lists", &lists);
}

/// The service of this URI, whose list is another document of the same server.
fn put_service(server: &Server, uri: &str) {
    let root = format!("http://{}/xcap-root", server.http);
    let services = format!(
        "<rls-services xmlns=\"urn:ietf:params:xml:ns:rls-services\"><service uri=\"{uri}\"><resource-list>\
         {root}/resource-lists/users/{ALICE}/index/~~/resource-lists/list%5B@name=%22f%22%5D</resource-list>\
         </service></rls-services>"
    );
    server.put_lists(ALICE, "rls-services", &services);
}

fn subscribe(uri: &str) -> Request {
    Request::subscribe(ALICE, uri)
        .without("Accept")
        .with("Supported", "eventlist")
        .with(
            "Accept",
            "application/pidf+xml, application/rlmi+xml, multipart/related",
        )
}

/// The members in a NOTIFY with full state.
fn members(notify: &Message) -> Option<Vec<String>> {
    let full = notify.body.contains("fullState=\"true\"");
    let all = notify.body.split("<resource uri=\"sip:").skip(1);
    let user = |resource: &str| resource.split('@').next().unwrap_or_default().to_owned();
    full.then(|| all.map(user).collect())
}

/// Takes NOTIFYs until one has these members.
#[track_caller]
fn until(ua: &mut Ua, call_id: &str, first: Message, expected: &[&str]) -> Message {
    let end = Instant::now() + SOON;
    let mut last = first;
    while members(&last).is_none_or(|members| members != expected) {
        assert!(Instant::now() < end, "never {expected:?}: {last:?}");
        last = ua.notify(call_id);
    }
    last
}

/// Nothing is polled within the test: a change can come by NOTIFY only (RFC 5875).
#[test]
fn services_and_lists_on_a_second_server_are_found_followed_and_outlive_it() {
    let mut xdms = Server::start(XDMS);
    put_list(&xdms, &["bob"]);
    put_service(&xdms, FRIENDS);
    let told = format!("poll_s = 3600\nsip = \"sip:{}\"", xdms.sip);
    let server = Server::start(&elsewhere(xdms.http, &told));
    assert_eq!(server.put_rules(BOB, &rules(ALICE, "allow")), 201);
    let mut bob = Ua::new(server.sip);
    bob.ask(&Request::publish(BOB, &pidf(BOB, "open", "with bob")));

    let mut alice = Ua::new(server.sip);
    let (dialog, first) = alice.watch(&subscribe(FRIENDS));
    let whole = until(&mut alice, &dialog.call_id, first, &["bob"]);
    assert!(whole.body.contains("with bob"), "{whole:?}");
    let followed = || {
        let text = http(server.http, "GET", "/metrics", &[], "").body;
        text.contains("presentia_held{kind=\"remote_followed\"} 1")
            .then_some(())
    };
    assert!(eventually(SOON, followed).is_some(), "GM-17");
    put_list(&xdms, &["bob", "carol"]);
    let last = alice.notify(&dialog.call_id);
    until(&mut alice, &dialog.call_id, last, &["bob", "carol"]);

    // it dies: what is known counts, also for another subscription
    xdms.kill9();
    let mut again = Ua::new(server.sip);
    let (dialog, first) = again.watch(&subscribe(FRIENDS));
    until(&mut again, &dialog.call_id, first, &["bob", "carol"]);
    server.stop();
}

/// What may be a list is not served as anything else, and nobody waits for long.
#[test]
fn a_list_on_a_server_that_is_away_is_an_answer_of_503_and_found_when_it_is_back() {
    let mut xdms = Server::start(XDMS);
    put_list(&xdms, &["bob"]);
    put_service(&xdms, FRIENDS);
    xdms.kill9();
    let server = Server::start(&elsewhere(xdms.http, "poll_s = 1"));
    let mut alice = Ua::new(server.sip);
    let begun = Instant::now();
    let refused = alice.ask(&subscribe(FRIENDS));
    assert_eq!(refused.status(), Some(503), "{refused:?}");
    assert!(!refused.get("retry-after").is_empty(), "{refused:?}");
    assert!(begun.elapsed() < SOON);
    xdms.launch();
    let back = eventually(SOON, || {
        let answer = alice.ask(&subscribe(FRIENDS));
        (answer.status() == Some(200)).then_some(answer)
    });
    let back = back.expect("the list is found again");
    assert_eq!(back.get("require"), "eventlist");
    server.stop();
    xdms.stop();
}
