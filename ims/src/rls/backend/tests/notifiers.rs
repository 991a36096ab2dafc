//! What notifiers answer and tell, and what the watcher of the list is told of it.

use super::bench::{Bench, N, PIDF, member, onlooker};
use crate::event::onlooker::Extent;
use crate::event::subscriber::Answer;
use crate::rls::BackEnds;
use crate::rls::backend::Bounds;
use crate::time::Seconds;

fn one(state: &str, body: &str) -> Vec<(u32, String, String)> {
    vec![(0, state.to_owned(), body.to_owned())]
}

#[test]
fn the_subscribe_asks_on_behalf_of_the_watcher_through_his_core() {
    let (_, sent) = Bench::asking();
    for line in [
        "SUBSCRIBE sip:bob@b.test SIP/2.0",
        "Route: <sip:scscf.ims.test:6060;orig;lr>",
        "To: <sip:bob@b.test>",
        "P-Asserted-Identity: <sip:alice@ims.test>",
        "P-Served-User: <sip:alice@ims.test>;sescase=orig;regstate=reg",
        "Event: presence",
        "Accept: application/pidf+xml",
        "Max-Forwards: 70",
    ] {
        assert!(
            sent.text.lines().any(|l| l == line),
            "{line} is missing in\n{}",
            sent.text
        );
    }
    assert!(sent.one("From").starts_with("<sip:alice@ims.test>;tag="));
    let vector = sent.one("P-Charging-Vector");
    assert_eq!(
        vector,
        format!(
            "icid-value=\"{}@10.0.0.1:5060\";orig-ioi=ims.test",
            sent.tag()
        )
    );
    for absent in ["Privacy", "Supported", "Content-Type"] {
        assert_eq!(sent.header(absent), [""; 0], "{absent}");
    }
}

#[test]
fn a_watcher_who_withholds_the_identity_does_so_there_too() {
    let mut bench = Bench::new();
    let mut alice = onlooker("sip:alice@ims.test", 1);
    alice.anonymous = true;
    alice.display_name = Some("Alice".into());
    bench.want(&alice, 0, "sip:bob@b.test");
    bench.wait(100);
    let sent = bench.only();
    let from = sent.one("From");
    assert!(
        from.starts_with("\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag="),
        "{from}"
    );
    assert_eq!(sent.one("Privacy"), "id");
    assert_eq!(
        sent.one("P-Asserted-Identity"),
        "<sip:alice@ims.test>",
        "the trust domain knows, without the name"
    );
    assert!(!sent.text.contains("Alice"), "{}", sent.text);
}

#[test]
fn whoever_is_nobody_and_whatever_is_no_user_is_not_asked_for() {
    let mut bench = Bench::new();
    let mut nobody = onlooker("sip:alice@ims.test", 1);
    (nobody.asserted, nobody.anonymous) = (Vec::new(), true);
    assert!(bench.want(&nobody, 0, "sip:bob@b.test"));
    assert_eq!(bench.told(), one("rejected", ""));
    let alice = onlooker("sip:alice@ims.test", 2);
    for (place, uri) in [(0, "http://b.test/bob"), (1, "sip:b.test"), (2, "bob")] {
        assert!(bench.want(&alice, place, uri));
        assert_eq!(
            bench.told_to(member(2, place)),
            one("noresource", ""),
            "{uri}"
        );
    }
    bench.wait(100);
    assert!(bench.sent.is_empty());
}

#[test]
fn each_final_response_is_told_with_its_reason() {
    for (status, told, asks_again) in [
        (403, one("rejected", ""), false),
        (603, one("rejected", ""), false),
        (404, one("noresource", ""), false),
        (604, one("noresource", ""), false),
        (302, one("noresource", ""), false),
        (482, one("noresource", ""), false),
        (489, one("noresource", ""), false),
        (408, one("probation", ""), true),
        (480, one("probation", ""), true),
        (500, one("probation", ""), true),
        (503, one("probation", ""), true),
        (200, vec![], false),
        (202, vec![], false),
    ] {
        let (mut bench, sent) = Bench::asking();
        assert!(bench.service.is_awaited(member(1, 0)));
        bench.service.take_stirred();
        bench.answer(&sent, status);
        assert_eq!(bench.told(), told, "{status}");
        let stirred = if status < 300 {
            vec![]
        } else {
            vec![member(1, 0)]
        };
        assert_eq!(bench.service.take_stirred(), stirred, "{status}");
        assert_eq!(
            bench.service.is_awaited(member(1, 0)),
            status < 300,
            "{status}"
        );
        if status >= 300 {
            bench.wait(60_000);
            assert_eq!(!bench.sent.is_empty(), asks_again, "{status}");
        }
    }
}

#[test]
fn a_pause_and_a_minimum_that_a_server_names_are_kept() {
    let (mut bench, sent) = Bench::asking();
    let busy = Answer {
        status: 503,
        retry_after: Some(Seconds(600)),
        ..Answer::default()
    };
    bench.answer_with(&sent, busy);
    bench.wait(599_000);
    assert!(bench.sent.is_empty());
    while bench.sent.is_empty() {
        bench.wait(1_000);
        assert!(bench.now.0 < 1_000_000 + 760_000, "a quarter more at most");
    }
    let again = bench.only();
    assert_ne!(again.tag(), sent.tag(), "another dialog");
    assert_ne!(
        again.one("P-Charging-Vector"),
        sent.one("P-Charging-Vector"),
        "of its own"
    );
    let brief = Answer {
        status: 423,
        min_expires: Some(Seconds(7200)),
        ..Answer::default()
    };
    bench.answer_with(&again, brief);
    assert_eq!(bench.only().one("Expires"), "7200");
}

#[test]
fn a_member_who_never_answers_is_told_of_and_asked_ever_more_rarely() {
    let (mut bench, _) = Bench::asking();
    bench.wait(N.0 + 1_000);
    assert_eq!(bench.told(), one("probation", ""));
    bench.wait(24 * 3_600_000);
    let attempts = bench.sent.len();
    assert!((12..=36).contains(&attempts), "{attempts} in a day");
    assert_eq!(bench.told(), one("giveup", ""), "after hours");
    assert!(bench.store.is_empty());
}

#[test]
fn what_a_notifier_tells_is_told_and_nothing_of_it_before_it_allows() {
    let (mut bench, sent) = Bench::asking();
    assert_eq!(
        bench.notify(&sent, "n", "pending", "<hidden/>"),
        200,
        "before the 200"
    );
    assert_eq!(bench.told(), one("pending", ""));
    bench.answer(&sent, 200);
    bench.notify(&sent, "n", "active;expires=3600", "<p/>");
    assert_eq!(bench.told(), one("active", "<p/>"));
    assert_eq!(bench.service.take_stirred(), [member(1, 0)]);

    bench.notify(&sent, "n", "active", "<p/>");
    assert_eq!(bench.service.take_stirred(), [], "the same is no news");
    bench.notify(&sent, "n", "active", "");
    assert_eq!(bench.told(), [], "no state any more");
    bench.notify(&sent, "n", "active", "<q/>");
    let change = bench.service.instances(member(1, 0), Extent::Change);
    assert!(change[0].1.content.is_some());
    let change = bench.service.instances(member(1, 0), Extent::Change);
    assert!(change[0].1.content.is_none(), "it counts as told");

    bench.notify(&sent, "n", "pending", "");
    assert_eq!(bench.told(), one("pending", ""), "withdrawn");
}

#[test]
fn an_active_instance_without_state_is_none_yet() {
    let (mut bench, sent) = Bench::asking();
    bench.notify(&sent, "n", "active", "");
    assert_eq!(bench.told(), []);
}

#[test]
fn the_end_that_a_notifier_names_decides_what_is_told_and_when_it_is_asked_again() {
    for (state, told, within) in [
        // it would take a new one at once: what it told stands until then
        (
            "terminated;reason=deactivated",
            one("active", "<p/>"),
            Some(0),
        ),
        ("terminated;reason=timeout", one("active", "<p/>"), Some(0)),
        (
            "terminated;reason=probation;retry-after=90",
            one("probation", ""),
            Some(115),
        ),
        ("terminated;reason=giveup", one("giveup", ""), Some(40)),
        ("terminated", one("probation", ""), Some(40)),
        ("terminated;reason=rejected", one("rejected", ""), None),
        ("terminated;reason=noresource", one("noresource", ""), None),
        ("terminated;reason=invariant", one("noresource", ""), None),
    ] {
        let (mut bench, sent) = Bench::active();
        assert_eq!(bench.notify(&sent, "n", state, ""), 200, "{state}");
        assert_eq!(bench.told(), told, "{state}");
        assert!(bench.store.is_empty(), "{state}: no dialog to come back to");
        assert_eq!(bench.notify(&sent, "n", "active", "<x/>"), 481, "{state}");
        bench.wait(within.unwrap_or(900) * 1000);
        assert_eq!(bench.sent.len(), usize::from(within.is_some()), "{state}");
    }
}

#[test]
fn a_refusal_stands_until_the_list_is_asked_for_again() {
    let (mut bench, sent) = Bench::asking();
    bench.answer(&sent, 403);
    let alice = onlooker("sip:alice@ims.test", 1);
    bench.wait(60_000);
    bench.want(&alice, 0, "sip:bob@b.test");
    bench.wait(100);
    assert!(bench.sent.is_empty(), "not each minute");
    bench.wait(300_000);
    bench.want(&alice, 0, "sip:bob@b.test");
    bench.wait(100);
    let again = bench.only();
    bench.notify(&again, "n", "active", "<p/>");
    assert_eq!(bench.told(), one("active", "<p/>"));
}

#[test]
fn a_notifier_that_forgot_us_is_asked_anew_and_its_state_stands_meanwhile() {
    let (mut bench, _) = Bench::active();
    bench.wait(3_100_000);
    let refresh = bench.only();
    assert!(
        refresh
            .text
            .starts_with("SUBSCRIBE sip:10.0.0.2:6060 SIP/2.0")
    );
    assert_eq!(refresh.header("P-Served-User"), [""; 0]);
    bench.answer(&refresh, 481);
    assert_eq!(bench.told(), one("active", "<p/>"));
    let again = bench.only();
    assert_eq!(again.uri(), "sip:bob@b.test");
    bench.answer(&again, 503);
    assert_eq!(bench.told(), one("probation", ""), "not for longer");
}

#[test]
fn bad_notifys_get_their_answers_and_change_nothing() {
    let (mut bench, sent) = Bench::active();
    for (case, from, body, status) in [
        ("no XML", ("n", 10), (PIDF, "<p"), 400),
        ("another type", ("n", 10), ("text/plain", "p"), 415),
        ("old", ("n", 0), (PIDF, "<q/>"), 500),
        ("again", ("n", 1), (PIDF, "<q/>"), 200),
    ] {
        let got = bench.notify_as(&sent, from, "active", body, "");
        assert_eq!(got, status, "{case}");
        assert_eq!(bench.told(), one("active", "<p/>"), "{case}");
    }
    bench.wait(N.0);
    let late = bench.notify_as(&sent, ("m", 1), "active", (PIDF, "<q/>"), "");
    assert_eq!(late, 481, "another notifier after Timer N");
    let mut other = sent.clone();
    other.text = other.text.replace("-sub", "-other");
    assert_eq!(
        bench.notify(&other, "n", "active", "<q/>"),
        481,
        "another call"
    );
    assert_eq!(bench.told(), one("active", "<p/>"));
    let no_contact = bench.notify_as(&sent, ("n", 11), "active", (PIDF, "<q/>"), "Contact: *\r\n");
    assert_eq!(no_contact, 400);
    assert_eq!(bench.told(), one("active", "<p/>"));
}

#[test]
fn a_forked_subscribe_makes_an_instance_of_each_notifier() {
    let (mut bench, sent) = Bench::active();
    for tag in ["m", "o"] {
        assert_eq!(
            bench.notify(&sent, tag, "active;expires=3600", &format!("<{tag}/>")),
            200
        );
    }
    let all = |bench: &mut Bench| {
        let told = bench.told().into_iter();
        told.map(|(id, state, body)| format!("{id} {state} {body}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        all(&mut bench),
        ["0 active <p/>", "1 active <m/>", "2 active <o/>"]
    );
    assert_eq!(bench.service.census().dialogs, 3);

    bench.notify(&sent, "m", "active", "<m2/>");
    assert_eq!(all(&mut bench)[1], "1 active <m2/>");
    bench.notify(&sent, "n", "terminated;reason=timeout", "");
    assert_eq!(
        all(&mut bench),
        ["0 timeout ", "1 active <m2/>", "2 active <o/>"]
    );
    bench.wait(3_100_000);
    let refreshes = std::mem::take(&mut bench.sent);
    assert_eq!(refreshes.len(), 2, "each is refreshed");
    assert_ne!(refreshes[0].ticket, refreshes[1].ticket);
    assert_eq!(refreshes[0].tag(), refreshes[1].tag());
    for refresh in &refreshes {
        bench.answer(refresh, 481);
    }
    let again = bench.only();
    assert_eq!(again.uri(), "sip:bob@b.test", "one for all that are gone");
    bench.notify(&again, "p", "active", "<p3/>");
    assert_eq!(all(&mut bench)[0], "0 active <p3/>");
}

#[test]
fn forks_are_bounded() {
    let (mut bench, sent) = Bench::asking();
    let statuses: Vec<u16> = (0..10)
        .map(|n| bench.notify(&sent, &format!("t{n}"), "active", "<p/>"))
        .collect();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 200, 200, 481, 481]);
}

#[test]
fn where_lists_are_allowed_elsewhere_a_change_of_one_asks_for_the_whole() {
    let mut bench = Bench::with(Bounds {
        nested: true,
        ..Bounds::default()
    });
    let mut alice = onlooker("sip:alice@ims.test", 1);
    bench.want(&alice, 0, "sip:team@b.test");
    bench.wait(100);
    let sent = bench.only();
    assert_eq!(sent.one("Supported"), "eventlist");
    assert_eq!(sent.one("Max-Forwards"), "58", "ten less than it came with");
    assert_eq!(
        sent.one("Accept"),
        "application/pidf+xml, multipart/related, application/rlmi+xml"
    );
    bench.answer(&sent, 200);
    let list = |version: u32, full: bool| {
        format!(
            "--b\r\nContent-Type: application/rlmi+xml\r\nContent-ID: <r@b>\r\n\r\n\
             <list xmlns=\"urn:ietf:params:xml:ns:rlmi\" uri=\"sip:team@b.test\" version=\"{version}\" fullState=\"{full}\"/>\
             \r\n--b--\r\n"
        )
    };
    let related = "multipart/related;boundary=b;type=\"application/rlmi+xml\"";
    let whole = list(0, true);
    bench.notify_as(
        &sent,
        ("n", 1),
        "active;expires=3600",
        (related, &whole),
        "",
    );
    assert_eq!(bench.told(), one("active", &whole));
    bench.notify_as(&sent, ("n", 2), "active", (related, &list(7, false)), "");
    assert_eq!(bench.told(), one("active", &whole), "state is kept");
    let refresh = bench.only();
    assert_eq!(refresh.tag(), sent.tag());
    bench.answer(&refresh, 200);
    let whole = list(8, true);
    bench.notify_as(&sent, ("n", 3), "active", (related, &whole), "");
    assert_eq!(bench.told(), one("active", &whole));

    alice.hops = 10;
    bench.want(&alice, 1, "sip:other@b.test");
    assert_eq!(
        bench.told_to(member(1, 1)),
        one("noresource", ""),
        "lists of lists of lists"
    );
}
