//! Permanent presence state (RFC 4827): one more source, which never runs out.

use super::*;

const NUMBER: &str = "tel:+3615550001";

fn put(bench: &mut Bench, user: &str, note: &str) -> Vec<Sent> {
    let body = format!(
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"{user}\"><tuple id=\"mail\"><status>\
         <basic>open</basic></status><contact>mailto:bob@ims.test</contact><note>{note}</note></tuple></presence>"
    );
    xcap(bench, xdm::Method::Put, user, &body)
}

fn delete(bench: &mut Bench, user: &str) -> Vec<Sent> {
    xcap(bench, xdm::Method::Delete, user, "")
}

fn xcap(bench: &mut Bench, method: xdm::Method, user: &str, body: &str) -> Vec<Sent> {
    let request = xdm::Request {
        method,
        target: format!("pidf-manipulation/users/{user}/index"),
        query: None,
        content_type: Some("application/pidf+xml".into()),
        content_encoding: None,
        if_match: None,
        if_none_match: None,
        body: body.to_owned().into(),
        identity: xdm::Identity::User(user.into()),
    };
    let sent = bench.feed(Input::Xcap {
        number: 1,
        request: &request,
    });
    let taken =
        |effect: &Effect| matches!(effect, Effect::Xcap { response, .. } if response.status < 300);
    assert!(bench.out.held.iter().any(taken), "{:?}", bench.out);
    sent
}

/// What alice sees now.
fn fetched(bench: &mut Bench) -> String {
    let sent = bench.subscribe("Expires: 0\r\n");
    bench.answer(&sent[1], 200, "");
    sent[1].body().to_owned()
}

#[test]
fn permanent_state_is_shown_without_any_publication_and_over_restarts() {
    let mut settings = settings();
    settings.known_presentities_only = true;
    let mut bench = Bench::new(settings);
    assert_eq!(bench.subscribe("")[0].status(), 404, "nobody knows bob");
    put(&mut bench, BOB, "away");
    assert!(
        fetched(&mut bench).contains("away"),
        "known by his document"
    );
    bench.restart(1_000_000_000);
    assert!(fetched(&mut bench).contains("away"));
}

#[test]
fn a_change_of_permanent_state_is_told_at_once_beside_what_is_published() {
    let mut bench = Bench::new(settings());
    put(&mut bench, BOB, "first");
    bench.publish("", "hello");
    let sent = bench.subscribe("");
    let both =
        |sent: &Sent, note: &str| sent.body().contains(note) && sent.body().contains("hello");
    assert!(both(&sent[1], "first"), "{}", sent[1].text);
    bench.answer(&sent[1], 200, "");
    bench.wait(6_000);
    let sent = put(&mut bench, BOB, "second");
    assert!(both(&sent[0], "second"), "{}", sent[0].text);
    assert!(!sent[0].body().contains("first"));
    bench.answer(&sent[0], 200, "");
    bench.wait(6_000);
    let sent = delete(&mut bench, BOB);
    assert!(both(&sent[0], "hello") && !sent[0].body().contains("second"));
    bench.answer(&sent[0], 200, "");
    bench.wait(6_000);
    bench.restart(10);
    assert!(!fetched(&mut bench).contains("second"), "gone for good");
}

#[test]
fn a_publication_that_runs_out_leaves_what_is_permanent() {
    let mut bench = Bench::new(settings());
    put(&mut bench, BOB, "away");
    bench.publish("Expires: 60\r\n", "hello");
    assert!(fetched(&mut bench).contains("hello"));
    bench.wait(61_000);
    let shown = fetched(&mut bench);
    assert!(
        shown.contains("away") && !shown.contains("hello"),
        "{shown}"
    );
}

#[test]
fn permanent_state_under_a_number_counts_when_the_number_is_known_to_be_his() {
    let mut bench = Bench::new(settings());
    put(&mut bench, NUMBER, "by phone");
    assert!(!fetched(&mut bench).contains("by phone"));
    let head = format!(
        "To: <{BOB}>\r\nExpires: 600\r\nContact: <sip:10.0.0.9>\r\nP-Associated-URI: <{BOB}>, <{NUMBER}>\r\n"
    );
    assert_eq!(
        bench.ask("REGISTER", "sip:ps.ims.test", &head, "")[0].status(),
        200
    );
    put(&mut bench, BOB, "by name");
    for case in ["at once", "after a restart"] {
        let shown = fetched(&mut bench);
        assert!(
            shown.contains("by phone") && shown.contains("by name"),
            "{case}: {shown}"
        );
        bench.restart(10);
    }
}

#[test]
fn a_sphere_kept_for_good_counts_for_rules() {
    let mut bench = Bench::strict();
    bench.rules("allow", "<sphere value=\"work\"/>");
    let at_work = format!(
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"{BOB}\"><dm:person \
         xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" id=\"p\"><r:sphere \
         xmlns:r=\"urn:ietf:params:xml:ns:pidf:rpid\"><r:work/></r:sphere></dm:person></presence>"
    );
    assert_eq!(bench.subscribe("")[0].status(), 403);
    xcap(&mut bench, xdm::Method::Put, BOB, &at_work);
    let sent = bench.subscribe("");
    assert_eq!(sent[0].status(), 200);
    bench.answer(&sent[1], 200, "");
    let sent = delete(&mut bench, BOB);
    assert_eq!(
        sent[0].get("Subscription-State"),
        "terminated;reason=rejected"
    );
}

#[test]
fn what_no_publish_may_bring_is_refused_and_changes_nothing() {
    let mut bench = Bench::new(settings());
    put(&mut bench, BOB, "kept");
    for (case, body) in [
        ("no presence document", "<presence/>".to_owned()),
        (
            "a tuple without status",
            format!(
                "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"{BOB}\"><tuple id=\"t\"/></presence>"
            ),
        ),
        ("about somebody else", pidf("x").replace(BOB, ALICE)),
    ] {
        let request = xdm::Request {
            method: xdm::Method::Put,
            target: format!("pidf-manipulation/users/{BOB}/index"),
            query: None,
            content_type: Some("application/pidf+xml".into()),
            content_encoding: None,
            if_match: None,
            if_none_match: None,
            body: body.into(),
            identity: xdm::Identity::User(BOB.into()),
        };
        bench.feed(Input::Xcap {
            number: 1,
            request: &request,
        });
        let refused = |effect: &Effect| matches!(effect, Effect::Xcap { response, .. } if response.status == 409);
        assert!(
            bench.out.free.iter().any(refused),
            "{case}: {:?}",
            bench.out
        );
    }
    assert!(fetched(&mut bench).contains("kept"));
}
