//! Who is told of whom, and under which name.

use super::*;

#[test]
fn a_watcher_that_is_not_the_presentity_sees_itself_alone_or_nothing() {
    for (case, rules, own_entry, status) in [
        ("allowed", "allow", true, 200),
        ("waits for a decision", "confirm", true, 200),
        ("politely blocked", "polite-block", true, 200),
        ("blocked", "block", true, 403),
        (
            "the operator serves the presentity alone",
            "allow",
            false,
            403,
        ),
    ] {
        let mut bench = Bench::strict();
        bench.settings.presence.watcher_info.own_entry = own_entry;
        bench.restart(0);
        bench.rules(rules, "");
        let own = bench.asks(BOB, "presence", "");
        bench.confirm(&own);
        let sent = bench.asks(ALICE, "presence.winfo", "");
        assert_eq!(sent[0].status(), status, "{case}");
        if status == 200 {
            assert_eq!(reports(&sent)[0].rows(), [], "{case}");
            bench.confirm(&sent);
            bench.wait(6_000);
            let (_, told) = bench.alice_subscribes("");
            let state = if rules == "confirm" {
                "pending"
            } else {
                "active"
            };
            assert_eq!(told[0].rows(), [(state, "subscribe", ALICE)], "{case}");
            bench.hears(6_000);
            let sent = bench.asks(BOB, "presence", "");
            assert!(
                reports(&sent).is_empty(),
                "{case}: somebody else's subscription"
            );
        }
        assert_eq!(
            bench.asks(CAROL, "presence.winfo", "")[0].status(),
            403,
            "{case}"
        );
    }
}

#[test]
fn what_a_politely_blocked_watcher_is_told_of_itself_is_what_an_allowed_one_is_told() {
    let run = |handling: &str| {
        let mut bench = Bench::strict();
        bench.rules(handling, "");
        let mut seen = Vec::new();
        let sent = bench.asks(ALICE, "presence.winfo", "");
        seen.extend(sent.iter().map(|s| s.text.clone()));
        bench.confirm(&sent);
        bench.wait(6_000);
        let sent = bench.subscribe("");
        seen.extend(sent.iter().map(|s| s.text.clone()));
        bench.confirm(&sent);
        bench.hears(30_000);
        seen
    };
    assert_eq!(run("allow"), run("polite-block"));
}

#[test]
fn what_becomes_of_its_waiting_is_not_told_to_the_watcher() {
    for handling in ["allow", "block"] {
        let mut bench = Bench::strict();
        bench.rules("confirm", "");
        let sent = bench.asks(ALICE, "presence.winfo", "");
        bench.confirm(&sent);
        bench.wait(6_000);
        let sent = bench.subscribe("Expires: 60\r\n");
        assert_eq!(reports(&sent)[0].rows(), [("pending", "subscribe", ALICE)]);
        bench.confirm(&sent);
        let told = bench.hears(70_000);
        assert_eq!(told[0].rows(), [("terminated", "timeout", ALICE)]);
        assert_eq!(told.len(), 1);
        let sent = bench.rules(handling, "");
        assert!(reports(&sent).is_empty(), "{handling}");
    }
}

#[test]
fn an_anonymous_watcher_is_shown_without_its_identity() {
    let anonymous = "<ruleset xmlns=\"urn:ietf:params:xml:ns:common-policy\" \
                     xmlns:pr=\"urn:ietf:params:xml:ns:pres-rules\" xmlns:ocp=\"urn:oma:xml:xdm:common-policy\">\
                     <rule id=\"r\"><conditions><ocp:anonymous-request/></conditions><actions>\
                     <pr:sub-handling>HANDLING</pr:sub-handling></actions></rule></ruleset>";
    for (handling, row) in [
        ("allow", ("active", "subscribe", NOBODY)),
        ("polite-block", ("active", "subscribe", NOBODY)),
        ("confirm", ("pending", "subscribe", NOBODY)),
    ] {
        let mut bench = Bench::strict();
        bench.put_rules(BOB, &anonymous.replace("HANDLING", handling));
        let head = format!(
            "Event: presence\r\nP-Asserted-Identity: \"Alice\" <{ALICE}>\r\nPrivacy: id\r\n\
             Contact: <sip:10.0.0.2:5060>\r\n"
        );
        let sent = bench.ask("SUBSCRIBE", BOB, &head, "");
        assert!([200, 202].contains(&sent[0].status()), "{handling}");
        bench.confirm(&sent);
        let sent = bench.asks(BOB, "presence.winfo", "");
        assert_eq!(reports(&sent)[0].rows(), [row], "{handling}");
        assert!(
            !sent[1].body().to_lowercase().contains("alice"),
            "{handling}"
        );
    }
}

#[test]
fn one_watcher_under_two_identities_is_shown_under_one_name() {
    let mut bench = Bench::new(settings());
    let both = format!("P-Asserted-Identity: <tel:+3611>, \"Alice A.\" <{ALICE}>\r\n");
    let head = format!("Event: presence\r\n{both}Contact: <sip:10.0.0.2:5060>\r\n");
    let sent = bench.ask("SUBSCRIBE", BOB, &head, "");
    bench.confirm(&sent);
    let sent = bench.asks(BOB, "presence.winfo", "");
    assert_eq!(reports(&sent)[0].rows(), [("active", "subscribe", ALICE)]);
    assert!(sent[1].body().contains("display-name=\"Alice A.\""));
    // under its number alone it is still itself in its own entry
    let head = "Event: presence.winfo\r\nP-Asserted-Identity: <tel:+3611>\r\nContact: <sip:10.0.0.2:5060>\r\n";
    let sent = bench.ask("SUBSCRIBE", BOB, head, "");
    assert_eq!(reports(&sent)[0].rows(), [("active", "subscribe", ALICE)]);
}

#[test]
fn administrators_are_told_of_everybody_and_nobody_but_the_presentity_of_observers() {
    let mut bench = Bench::strict();
    let desk = "sip:desk@ims.test";
    bench.settings.presence.watcher_info.administrators = vec![Aor::parse(desk).unwrap()];
    bench.restart(0);
    bench.rules("allow", "");
    bench.alice_subscribes("");
    let sent = bench.asks(desk, "presence.winfo", "");
    assert_eq!(reports(&sent)[0].rows(), [("active", "subscribe", ALICE)]);
    bench.confirm(&sent);
    let sent = bench.asks(BOB, "presence.winfo.winfo", "");
    let told = reports(&sent).remove(0);
    assert_eq!(told.package, "presence.winfo");
    assert_eq!(told.rows(), [("active", "subscribe", desk)]);
    assert_eq!(sent[1].get("Event"), "presence.winfo.winfo");
    bench.confirm(&sent);
    bench.wait(6_000);
    let sent = bench.asks(ALICE, "presence.winfo", "");
    let told = reports(&sent);
    assert!(
        told.iter()
            .any(|r| r.rows() == [("active", "subscribe", ALICE)] && !r.full)
    );
    assert_eq!(
        bench.asks(ALICE, "presence.winfo.winfo", "")[0].status(),
        403
    );
    let deeper = bench.asks(BOB, "presence.winfo.winfo.winfo", "");
    assert_eq!(deeper[0].status(), 489);
    bench.settings.presence.watcher_info.of_watcher_info = false;
    bench.restart(0);
    let refused = bench.asks(BOB, "presence.winfo.winfo", "");
    assert_eq!(refused[0].status(), 489);
    assert_eq!(
        refused[0].get("Allow-Events"),
        "presence, presence.winfo, xcap-diff, ua-profile"
    );
}
