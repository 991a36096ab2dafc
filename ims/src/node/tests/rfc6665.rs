//! RFC 6665 §4.2 and §4.4 and RFC 3856 §6, clause by clause, where no other test has the clause.

use super::*;

/// The NOTIFY in what was sent.
fn notify(sent: &[Sent]) -> &Sent {
    sent.iter().find(|s| s.method() == "NOTIFY").unwrap()
}

#[test]
fn the_id_of_an_event_is_one_token_and_comes_back_in_every_notify() {
    let mut bench = Bench::new(settings());
    for (event, status) in [
        ("presence;id=7", 200),
        ("presence; ID=a.b-c", 200),
        ("presence;id=", 489),
        ("presence;id", 489),
        ("presence;id=\"7\"", 489),
        ("presence;id=1;id=2", 489),
    ] {
        let head = format!(
            "Event: {event}\r\nP-Asserted-Identity: <{ALICE}>\r\nContact: <sip:10.0.0.2>\r\n"
        );
        let sent = bench.ask("SUBSCRIBE", BOB, &head, "");
        assert_eq!(sent[0].status(), status, "{event}");
        if status == 200 {
            let id = event.split_once('=').unwrap().1;
            assert_eq!(notify(&sent).get("Event"), format!("presence;id={id}"));
        } else {
            assert_eq!(sent.len(), 1, "{event}");
        }
    }
}

#[test]
fn a_subscribe_in_the_dialog_is_of_the_same_event_and_id() {
    // §4.5.2, §8.2.1: an id never matches its absence
    for (opened, again, status) in [
        ("presence", "presence", 200),
        ("presence", "presence;id=1", 481),
        ("presence;id=1", "presence", 481),
        ("presence;id=1", "presence;id=2", 481),
        ("presence;id=1", "presence;x=y;id=1", 200),
        ("presence", "dialog", 489),
        ("presence", "presence.winfo", 481),
    ] {
        let mut bench = Bench::new(settings());
        let head = |event: &str| {
            format!(
                "Event: {event}\r\nP-Asserted-Identity: <{ALICE}>\r\nContact: <sip:10.0.0.2>\r\n"
            )
        };
        let sent = bench.ask("SUBSCRIBE", BOB, &head(opened), "");
        let within = format!(
            "{}To: {}\r\nCall-ID: {}\r\n",
            head(again),
            sent[0].get("To"),
            sent[0].get("Call-ID")
        );
        let sent = bench.ask("SUBSCRIBE", BOB, &within, "");
        assert_eq!(sent[0].status(), status, "{opened}, then {again}");
    }
}

#[test]
fn two_events_or_two_lifetimes_are_no_request() {
    let mut bench = Bench::new(settings());
    for more in ["Event: presence\r\n", "Expires: 600\r\nExpires: 60\r\n"] {
        let sent = bench.subscribe(more);
        assert_eq!((sent[0].status(), sent.len()), (400, 1), "{more}");
    }
}

#[test]
fn the_lifetime_is_said_in_the_answer_and_in_every_notify_and_a_refresh_may_shorten_it() {
    // §4.2.1.1: never longer than asked; §4.1.3: expires while it lives, and no more at its end
    let mut bench = Bench::new(settings());
    let sent = bench.subscribe("Expires: 600\r\n");
    let opened = sent[0].clone();
    assert_eq!(opened.get("Expires"), "600");
    assert_eq!(
        opened.get("Allow-Events"),
        "presence, presence.winfo, xcap-diff, ua-profile"
    ); // §4.4.4
    assert_eq!(
        notify(&sent).get("Subscription-State"),
        "active;expires=600"
    );
    bench.answer(notify(&sent), 200, "");
    let sent = bench.renew(&opened, "Expires: 60\r\n");
    assert_eq!(sent[0].get("Expires"), "60");
    assert_eq!(notify(&sent).get("Subscription-State"), "active;expires=60");
    bench.answer(notify(&sent), 200, "");
    let over = bench.wait(61_000);
    assert_eq!(
        notify(&over).get("Subscription-State"),
        "terminated;reason=timeout"
    );
    bench.answer(notify(&over), 200, "");
    assert_eq!(bench.renew(&opened, "")[0].status(), 481);
}

#[test]
fn a_refresh_too_brief_is_refused_and_leaves_the_subscription_alone() {
    // §4.2.1.1: 423 with the minimum, and only below an hour; §4.1.2.2: a refusal other than 481 ends nothing
    let mut settings = settings();
    settings.presence.subscription.min = Seconds(5000);
    settings.presence.subscription.default = Seconds(5000);
    let mut bench = Bench::new(settings);
    let opened = bench.subscribe("")[0].clone();
    let brief = bench.renew(&opened, "Expires: 3599\r\n");
    assert_eq!(
        (brief[0].status(), brief[0].get("Min-Expires")),
        (423, "5000")
    );
    assert_eq!(brief.len(), 1);
    let hour = bench.renew(&opened, "Expires: 3600\r\n");
    assert_eq!((hour[0].status(), hour[0].get("Expires")), (200, "3600"));
}

#[test]
fn a_refresh_may_move_the_watcher_and_one_without_contact_leaves_it() {
    let mut bench = Bench::new(settings());
    let opened = bench.subscribe("")[0].clone();
    let head = |contact: &str| {
        format!(
            "Event: presence\r\nP-Asserted-Identity: <{ALICE}>\r\nTo: {}\r\nCall-ID: {}\r\n{contact}",
            opened.get("To"),
            opened.get("Call-ID")
        )
    };
    for (case, contact, status, target) in [
        (
            "another address",
            "Contact: <sip:a@10.0.0.9:5070>\r\n",
            200,
            "sip:a@10.0.0.9:5070",
        ),
        ("none", "", 200, "sip:a@10.0.0.9:5070"),
        ("no address", "Contact: *\r\n", 400, "sip:a@10.0.0.9:5070"),
        (
            "two",
            "Contact: <sip:a@1.1.1.1>, <sip:a@2.2.2.2>\r\n",
            400,
            "sip:a@10.0.0.9:5070",
        ),
        ("none again", "", 200, "sip:a@10.0.0.9:5070"),
    ] {
        let sent = bench.ask("SUBSCRIBE", BOB, &head(contact), "");
        assert_eq!(sent[0].status(), status, "{case}");
        if status == 200 {
            let line = notify(&sent).text.split(' ').nth(1).unwrap().to_owned();
            assert_eq!(line, target, "{case}");
            bench.answer(notify(&sent), 200, "");
        }
    }
}

#[test]
fn each_subscribe_says_what_it_takes() {
    // §4.1.2.1, §3.1.3: Accept is of each SUBSCRIBE; to end a subscription nothing need be taken
    let mut bench = Bench::new(settings());
    let opened = bench.subscribe("")[0].clone();
    let refused = bench.renew(&opened, "Accept: text/plain\r\n");
    assert_eq!((refused[0].status(), refused.len()), (406, 1));
    assert_eq!(refused[0].get("Accept"), "application/pidf+xml");
    assert_eq!(
        bench.renew(&opened, "Accept: application/*\r\n")[0].status(),
        200
    );
    let ended = bench.renew(&opened, "Accept: text/plain\r\nExpires: 0\r\n");
    assert_eq!(ended[0].status(), 200);
    let unknown = opened.get("To").replace(|c: char| c.is_ascii_digit(), "0");
    let head = format!("To: {unknown}\r\nAccept: text/plain\r\n");
    assert_eq!(
        bench.subscribe(&head)[0].status(),
        481,
        "the dialog comes first"
    );
}

#[test]
fn two_devices_of_one_watcher_have_two_subscriptions() {
    // SUB-24; §4.5.2
    let mut bench = Bench::new(settings());
    let contact = |port: u16| {
        format!(
            "Event: presence\r\nP-Asserted-Identity: <{ALICE}>\r\nContact: <sip:10.0.0.2:{port}>\r\n"
        )
    };
    let first = bench.ask("SUBSCRIBE", BOB, &contact(5071), "");
    let second = bench.ask("SUBSCRIBE", BOB, &contact(5072), "");
    assert_ne!(first[0].get("To"), second[0].get("To"));
    for sent in [&first, &second] {
        bench.answer(notify(sent), 200, "");
    }
    bench.wait(6_000);
    bench.publish("", "both");
    let told: Vec<Sent> = bench.sent(true);
    let told: Vec<&Sent> = told.iter().filter(|s| s.method() == "NOTIFY").collect();
    assert_eq!(told.len(), 2);
    // one is gone, the other stays
    bench.answer(told[0], 481, "");
    bench.answer(told[1], 200, "");
    bench.wait(6_000);
    assert_eq!(bench.node.presence.census().subscriptions, 1);
    bench.publish("", "one");
    let left = bench.sent(true);
    let left: Vec<&Sent> = left.iter().filter(|s| s.method() == "NOTIFY").collect();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].get("Call-ID"), told[1].get("Call-ID"));
}

#[test]
fn who_is_not_served_is_not_found() {
    // SUB-23; RFC 3856 §6.6: a presentity that does not exist
    for (case, whom, registered_only, status) in [
        ("another domain", "sip:bob@elsewhere.test", false, 404),
        ("nobody in particular", "sip:ims.test", false, 404),
        (
            "a user of the home domain",
            "sip:nobody@ims.test",
            false,
            200,
        ),
        (
            "one that the network has not reported",
            "sip:nobody@ims.test",
            true,
            404,
        ),
        ("another kind of address", "mailto:bob@ims.test", false, 416),
    ] {
        for package in ["presence", "presence.winfo"] {
            let mut settings = settings();
            settings.known_presentities_only = registered_only;
            let mut bench = Bench::new(settings);
            let head = format!(
                "Event: {package}\r\nP-Asserted-Identity: <{ALICE}>\r\nContact: <sip:10.0.0.2>\r\n\
                 To: <sip:bob@ims.test>\r\n"
            );
            let sent = bench.ask("SUBSCRIBE", whom, &head, "");
            assert_eq!(sent[0].status(), status, "{case}, {package}");
        }
    }
}

#[test]
fn a_pending_watcher_is_told_its_state_and_lifetime_and_nothing_of_the_presentity() {
    // RFC 3856 §6.6.2; RFC 6665 §4.1.3
    let mut bench = Bench::strict();
    bench.publish("", "secret");
    bench.rules("confirm", "");
    let sent = bench.subscribe("Expires: 600\r\n");
    let pending = notify(&sent);
    assert_eq!(pending.get("Subscription-State"), "pending;expires=600");
    assert_eq!((pending.body(), pending.get("Content-Type")), ("", ""));
    let fetched = bench.subscribe("Expires: 0\r\n");
    assert_eq!(notify(&fetched).body(), "");
}
