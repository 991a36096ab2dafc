//! What a restart keeps.

use super::*;

#[test]
fn a_publication_and_a_subscription_live_on() {
    let mut bench = Bench::new(settings());
    let published = bench.publish("Expires: 600\r\n", "here");
    let sent = bench.subscribe("Expires: 600\r\n");
    bench.wait(10);
    bench.answer(&sent[1], 200, "");
    let cseq = |notify: &Sent| -> u32 {
        let number = notify.get("CSeq").split(' ').next();
        number.unwrap().parse().unwrap()
    };
    bench.wait(2_000);
    let recovery = bench.restart(10_000);
    assert_eq!(
        recovery.owed, 0,
        "what was told and answered is not told again"
    );
    assert!(bench.wait(10_000).is_empty());

    let etag = format!("SIP-If-Match: {}\r\n", published.get("SIP-ETag"));
    assert_eq!(bench.publish(&etag, "moved").status(), 200);
    let told: Vec<Sent> = bench
        .sent(true)
        .into_iter()
        .filter(|s| s.method() == "NOTIFY")
        .collect();
    assert!(told[0].body().contains("moved"));
    assert!(cseq(&told[0]) > cseq(&sent[1]), "it never goes back");
    assert_eq!(told[0].get("Subscription-State"), "active;expires=578");
    assert_eq!(bench.renew(&sent[0], "")[0].status(), 200);
}

#[test]
fn a_change_that_was_not_delivered_is_told_after_the_restart() {
    let mut bench = Bench::new(settings());
    let sent = bench.subscribe("");
    bench.answer(&sent[1], 200, "");
    bench.wait(6_000);
    bench.publish("", "unheard"); // its NOTIFY leaves, and nobody answers before the crash
    let recovery = bench.restart(1_000);
    assert_eq!(recovery.owed, 1);
    let told = bench.wait(100);
    assert_eq!(told.len(), 1);
    assert!(told[0].body().contains("unheard"));
}

#[test]
fn what_ran_out_while_the_server_was_away_is_never_shown() {
    let mut bench = Bench::new(settings());
    // somebody else's ends first: looked at first, and alone in the turn
    let carol = "sip:carol@ims.test";
    let head = format!(
        "Event: presence\r\nP-Asserted-Identity: <{carol}>\r\nContent-Type: application/pidf+xml\r\nExpires: 60\r\n"
    );
    let body = pidf("else").replace(BOB, carol);
    assert_eq!(bench.ask("PUBLISH", carol, &head, &body)[0].status(), 200);
    bench.publish("Expires: 62\r\n", "short");
    bench.publish("Expires: 3600\r\n", "long");
    let sent = bench.subscribe("");
    bench.answer(&sent[1], 200, "");
    bench.restart(100_000);
    bench.now += 5; // the first deadline is looked at when all of it is due
    let told = bench.wait(100);
    assert_eq!(told.len(), 1);
    assert!(
        told[0].body().contains("long") && !told[0].body().contains("short"),
        "{}",
        told[0].text
    );
}

#[test]
fn a_clock_that_was_set_back_makes_no_change_count_as_told() {
    let mut bench = Bench::new(settings());
    let sent = bench.subscribe("");
    bench.answer(&sent[1], 200, "");
    bench.wait(6_000);
    bench.now -= 600_000;
    bench.restart(0);
    for told in bench.wait(10_000) {
        bench.answer(&told, 200, "");
    }
    bench.publish("", "unheard");
    assert_eq!(bench.restart(100).owed, 1);
    assert!(bench.wait(100)[0].body().contains("unheard"));
}

#[test]
fn a_refresh_whose_answer_was_lost_is_answered_after_the_restart_and_an_older_one_is_not() {
    let mut bench = Bench::new(settings());
    let sent = bench.subscribe("");
    let head = |cseq: u32| {
        format!(
            "To: {}\r\nCall-ID: {}\r\nCSeq: {cseq} SUBSCRIBE\r\nEvent: presence\r\nContact: <sip:10.0.0.2:5060>\r\n",
            sent[0].get("To"),
            sent[0].get("Call-ID")
        )
    };
    let refresh = bench.write("SUBSCRIBE", BOB, &head(20), "");
    assert_eq!(bench.text(&refresh)[0].status(), 200);
    bench.restart(100);
    assert_eq!(bench.text(&refresh)[0].status(), 200);
    assert_eq!(bench.node.census().presence.subscriptions, 1);
    for (cseq, status) in [(19, 500), (21, 200)] {
        let answer = bench.ask("SUBSCRIBE", BOB, &head(cseq), "").remove(0);
        assert_eq!(answer.status(), status, "CSeq {cseq}");
    }
}

#[test]
fn after_a_restart_too_nobody_is_told_of_a_change_that_he_cannot_see() {
    for handling in ["polite-block", "allow"] {
        let mut bench = Bench::new(settings());
        bench.rules(handling, "");
        bench.publish("", "here");
        let sent = bench.subscribe("");
        bench.answer(&sent[1], 200, "");
        bench.wait(6_000);
        bench.restart(1_000);
        bench.publish("", "news");
        let told = bench.sent(true).iter().any(|s| s.method() == "NOTIFY");
        assert_eq!(told, handling == "allow", "{handling}");
        assert!(handling == "allow" || bench.wait(10_000).is_empty());
    }
}
