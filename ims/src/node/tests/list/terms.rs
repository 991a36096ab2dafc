//! What a SUBSCRIBE to a list asks for, and what it costs.

use super::*;
use crate::charge::{Chargeable, Outcomes};
use crate::sip::coding::Coding;

#[test]
fn lists_are_charged_as_presentities_are() {
    let mut settings = settings();
    settings.triggers = Triggers {
        subscribe: Outcomes::All,
        notify: Outcomes::All,
        ..Triggers::OFF
    };
    let mut bench = Bench::new(settings);
    bench.write_services(&[(FRIENDS, &["bob", "carol"])]);
    type Charged = (Chargeable, u16, String, Option<u32>);
    let charged = |bench: &Bench| -> Vec<Charged> {
        let events = bench.out.held.iter().filter_map(|effect| match effect {
            Effect::Charge(event) => {
                assert_eq!(event.payers(), [ALICE], "a list has no account");
                let body = event.body.as_ref().map(|body| body.content_type.clone());
                let (body, members) = (body.unwrap_or_default(), event.besides.members);
                Some((event.method, event.status, body, members))
            }
            _ => None,
        });
        events.collect()
    };
    bench.ask_list(ALICE, FRIENDS, ACCEPT, "");
    let refused = (Chargeable::Subscribe, 421, String::new(), None);
    assert_eq!(charged(&bench), [refused]);
    let sent = bench.ask_list(ALICE, FRIENDS, &format!("{ACCEPT}{SUPPORTED}"), "");
    let served = (Chargeable::Subscribe, 200, String::new(), Some(2));
    assert_eq!(charged(&bench), [served]);
    bench.answer(&sent[1], 200, "");
    let told = (
        Chargeable::Notify,
        200,
        "multipart/related".to_owned(),
        Some(2),
    );
    assert_eq!(charged(&bench), [told]);
}

#[test]
fn a_refresh_with_the_tag_of_what_it_has_brings_no_notify() {
    let mut bench = Bench::new(settings());
    bench.write_services(&[(FRIENDS, &["bob", "carol"])]);
    let (opened, first) = bench.watch_friends();
    let condition = |tag: &str| format!("Suppress-If-Match: {tag}\r\n");
    let tag = first.get("SIP-ETag").to_owned();
    let sent = bench.renew_list(&opened, &condition(&tag), "");
    assert_eq!((sent.len(), sent[0].status()), (1, 204));
    assert_eq!(sent[0].get("Require"), "eventlist");
    bench.wait(10_000);
    let sent = bench.state_of("bob", "here");
    bench.answer(&sent[0], 200, "");
    let newer = sent[0].get("SIP-ETag").to_owned();
    assert_ne!(newer, tag);
    let sent = bench.renew_list(&opened, &condition(&tag), "");
    assert_eq!(
        (sent.len(), sent[0].status()),
        (2, 200),
        "it has an older state"
    );
    assert_eq!(
        sent[1].get("SIP-ETag"),
        newer,
        "the same state has the same tag"
    );
    bench.answer(&sent[1], 200, "");
    let sent = bench.renew_list(&opened, &condition("*"), "");
    assert_eq!((sent.len(), sent[0].status()), (1, 204));
    bench.wait(10_000);
    assert_eq!(
        bench.state_of("carol", "away").len(),
        0,
        "until it asks again"
    );
    let sent = bench.renew_list(&opened, "", "");
    assert_eq!(said(&sent[1]), "3 full bob=here carol=away");
}

#[test]
fn a_large_body_leaves_in_the_coding_that_the_watcher_takes() {
    let mut settings = settings();
    settings.list_server.compress_above = 500;
    let mut bench = Bench::new(settings);
    bench.write_services(&[(FRIENDS, &["bob", "carol"])]);
    let head = format!("{ACCEPT}{SUPPORTED}Accept-Encoding: deflate\r\n");
    let sent = bench.ask_list(ALICE, FRIENDS, &head, "");
    assert_eq!(sent[1].get("Content-Encoding"), "deflate");
    let head = sent[1]
        .bytes
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .unwrap();
    let body = Coding::Deflate
        .decode(&sent[1].bytes[head + 4..], 100_000)
        .unwrap();
    let level = reading::read(
        sent[1].get("Content-Type"),
        &body.into(),
        &reading::Limits::default(),
    );
    assert_eq!(level.unwrap().resources.len(), 2);
}

#[test]
fn watcher_information_of_a_list_follows_the_watchers_of_each() {
    let mut bench = Bench::new(settings());
    bench.write_services(&[(FRIENDS, &["alice", "bob"])]);
    let accept = "Accept: application/rlmi+xml, multipart/related, application/watcherinfo+xml\r\n";
    let head = format!("Event: presence.winfo\r\n{accept}{SUPPORTED}");
    let sent = bench.ask_list(ALICE, FRIENDS, &head, "");
    assert_eq!(sent[0].status(), 200, "{}", sent[0].text);
    assert_eq!(
        said(&sent[1]),
        "0 full alice=- bob=-",
        "of bob's watchers those that she is"
    );
    assert!(sent[1].text.contains("application/watcherinfo+xml"));
    bench.answer(&sent[1], 200, "");
    bench.wait(10_000);
    let head = "Event: presence\r\nContact: <sip:10.0.0.2:5060>\r\nP-Asserted-Identity: <sip:bob@ims.test>\r\n";
    let sent = bench.ask("SUBSCRIBE", ALICE, head, "");
    let told = sent
        .iter()
        .find(|sent| sent.get("Event") == "presence.winfo");
    assert!(
        told.unwrap().text.contains("sip:bob@ims.test"),
        "alice is told of bob"
    );
}

#[test]
fn a_node_that_leaves_or_has_no_room_takes_no_lists() {
    for (case, change) in [
        (
            "full",
            (|bench: &mut Bench| bench.node.settings.subscriptions = 0) as fn(&mut Bench),
        ),
        ("no space", |bench| bench.node.refuse_new_state(true)),
        ("leaves", |bench| bench.node.drain(Timestamp(bench.now))),
    ] {
        let mut bench = Bench::new(settings());
        bench.write_services(&[(FRIENDS, &["bob"])]);
        change(&mut bench);
        let sent = bench.ask_list(ALICE, FRIENDS, &format!("{ACCEPT}{SUPPORTED}"), "");
        assert_eq!((sent[0].status(), sent.len()), (503, 1), "{case}");
        assert!(!sent[0].get("Retry-After").is_empty(), "{case}");
    }
}

#[test]
fn watchers_are_told_when_the_node_leaves() {
    let mut settings = settings();
    settings.farewell = Some(Farewell {
        end: crate::event::subscription::End::Deactivated,
        over: Millis(1_000),
    });
    let mut bench = Bench::new(settings);
    bench.write_services(&[(FRIENDS, &["bob"])]);
    bench.watch_friends();
    bench.node.drain(Timestamp(bench.now));
    let sent = bench.wait(2_000);
    assert_eq!(
        sent[0].get("Subscription-State"),
        "terminated;reason=deactivated"
    );
    assert!(!bench.node.is_quiet());
    bench.answer(&sent[0], 200, "");
    assert!(bench.node.is_quiet());
}
