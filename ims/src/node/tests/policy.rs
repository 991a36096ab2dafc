//! Rules that rest on the sphere or on time, on live subscriptions.

use super::*;

const HOME: &str = "<sphere value=\"home\"/>";

fn at(bench: &mut Bench, sphere: &str, note: &str, etag: &str) -> Sent {
    let body = pidf(note).replace(
        "</presence>",
        &format!(
            "<dm:person xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" id=\"p\"><r:sphere \
             xmlns:r=\"urn:ietf:params:xml:ns:pidf:rpid\"><r:{sphere}/></r:sphere></dm:person></presence>"
        ),
    );
    let head = format!(
        "Event: presence\r\nP-Asserted-Identity: <{BOB}>\r\nContent-Type: application/pidf+xml\r\n{etag}"
    );
    let answer = bench.ask("PUBLISH", BOB, &head, &body).remove(0);
    assert_eq!(answer.status(), 200, "{}", answer.text);
    answer
}

fn if_match(answer: &Sent) -> String {
    format!("SIP-If-Match: {}\r\n", answer.get("SIP-ETag"))
}

/// The NOTIFYs of the last input: their state and body.
fn told(bench: &Bench) -> Vec<(String, String)> {
    let notifies = bench
        .sent(true)
        .into_iter()
        .filter(|s| s.method() == "NOTIFY");
    notifies
        .map(|n| (n.get("Subscription-State").to_owned(), n.body().to_owned()))
        .collect()
}

#[test]
fn a_sphere_that_grants_no_more_ends_the_subscription_also_after_a_restart() {
    for restarts in [false, true] {
        let mut bench = Bench::strict();
        let home = at(&mut bench, "home", "first", "");
        bench.rules("allow", HOME);
        let sent = bench.subscribe("");
        assert!(sent[1].body().contains("first"));
        bench.answer(&sent[1], 200, "");
        bench.wait(6_000);
        if restarts {
            bench.restart(10);
        }
        at(&mut bench, "work", "secret", &if_match(&home));
        let told = told(&bench);
        assert_eq!(told.len(), 1, "after a restart: {restarts}");
        let (state, body) = &told[0];
        assert_eq!(
            state, "terminated;reason=rejected",
            "after a restart: {restarts}"
        );
        assert_eq!(body, "", "after a restart: {restarts}");
    }
}

#[test]
fn a_watcher_let_in_by_a_new_sphere_never_sees_what_the_old_one_hid() {
    let mut bench = Bench::strict();
    let both = "</conditions><actions><pr:sub-handling>confirm</pr:sub-handling></actions></rule>\
                <rule id=\"s\"><conditions><identity><one id=\"sip:alice@ims.test\"/></identity><sphere value=\"home\"/>";
    bench.rules("allow", both);
    let work = at(&mut bench, "work", "secret", "");
    let sent = bench.subscribe("");
    assert!(
        sent[1].get("Subscription-State").starts_with("pending"),
        "{}",
        sent[1].text
    );
    bench.answer(&sent[1], 200, "");
    // somebody else's view renders the state of work
    let own = format!(
        "Event: presence\r\nP-Asserted-Identity: <{BOB}>\r\nContact: <sip:10.0.0.2>\r\nExpires: 0\r\n"
    );
    assert!(
        bench.ask("SUBSCRIBE", BOB, &own, "")[1]
            .body()
            .contains("secret")
    );
    at(&mut bench, "home", "hello", &if_match(&work));
    let told = told(&bench);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].0.starts_with("active"));
    assert!(
        told[0].1.contains("hello") && !told[0].1.contains("secret"),
        "{told:?}"
    );
}

#[test]
fn a_rule_whose_hours_end_ends_the_subscription_also_over_a_restart() {
    // 1,790,000,000 s after the epoch is 2026-09-21T14:13:20Z
    let until =
        "<validity><from>2026-09-21T00:00:00Z</from><until>2026-09-21T14:14:20Z</until></validity>";
    for (case, restart) in [
        ("without a restart", None),
        ("a restart within the hours", Some(1_000)),
        ("a restart after them", Some(100_000)),
    ] {
        let mut bench = Bench::strict();
        bench.rules("allow", until);
        let sent = bench.subscribe("");
        assert!(
            sent[1].get("Subscription-State").starts_with("active"),
            "{case}"
        );
        bench.answer(&sent[1], 200, "");
        bench.wait(6_000);
        if let Some(away) = restart {
            bench.restart(away);
        }
        let mut states = Vec::new();
        for _ in 0..100 {
            for notify in bench.wait(1_000) {
                bench.answer(&notify, 200, "");
                states.push(notify.get("Subscription-State").to_owned());
            }
        }
        assert_eq!(
            states.last().map(String::as_str),
            Some("terminated;reason=rejected"),
            "{case}: {states:?}"
        );
        assert_eq!(bench.renew(&sent[0], "")[0].status(), 481, "{case}");
    }
}
