//! Members of lists in watcher information, and lists of watcher information.

use super::super::winfo::{Report, reports};
use super::*;

const CAROL: &str = "sip:carol@ims.test";
const NOBODY: &str = "sip:anonymous@anonymous.invalid";
const WEEK: u64 = 7 * 24 * 3_600_000;

/// Status, event and URI of each watcher.
fn said(reports: &[Report]) -> Vec<(&str, &str, &str)> {
    reports.iter().flat_map(Report::rows).collect()
}

/// Bob observes his watchers in a dialog, and is told at once from now on.
fn observed(bench: &mut Bench) {
    let sent = bench.asks(BOB, "presence.winfo", "Expires: 7200\r\n");
    bench.confirm(&sent);
    bench.wait(6_000);
}

fn joins(bench: &mut Bench, list: u64, who: &str) -> (SubscriptionId, Vec<Report>) {
    let onlooker = onlooker(bench, list, who);
    join_as(bench, onlooker)
}

fn join_as(bench: &mut Bench, onlooker: Onlooker) -> (SubscriptionId, Vec<Report>) {
    let list = onlooker.list.0;
    bench.look_on(onlooker).unwrap();
    let (id, sent) = bench.join(list, 0, BOB);
    bench.confirm(&sent);
    (id, reports(&sent))
}

/// The full document of a fetch.
fn fetched(bench: &mut Bench) -> Report {
    let sent = bench.asks(BOB, "presence.winfo", "Expires: 0\r\n");
    bench.confirm(&sent);
    reports(&sent).remove(0)
}

#[test]
fn a_member_is_a_watcher_like_any_other_from_its_coming_to_its_end() {
    let mut bench = Bench::new(settings());
    bench.rules("confirm", "");
    observed(&mut bench);
    let (_, came) = joins(&mut bench, 7, ALICE);
    assert_eq!(said(&came), [("pending", "subscribe", ALICE)]);
    assert!(!came[0].full);
    let sent = bench.rules("allow", "");
    assert!(reports(&sent).is_empty(), "paced");
    let told = bench.hears(6_000);
    assert_eq!(said(&told), [("active", "approved", ALICE)]);
    assert_eq!(told[0].watchers[0].id, came[0].watchers[0].id);
    bench.wait(6_000);
    let sent = bench.look_away(7);
    bench.confirm(&sent);
    let gone = reports(&sent);
    assert_eq!(said(&gone), [("terminated", "timeout", ALICE)]);
    assert_eq!(gone[0].watchers[0].id, came[0].watchers[0].id);
    assert!(fetched(&mut bench).rows().is_empty());
}

#[test]
fn the_row_of_a_member_says_what_that_of_a_subscription_says() {
    let mut bench = Bench::new(settings());
    let everybody = "<ruleset xmlns=\"urn:ietf:params:xml:ns:common-policy\" \
                     xmlns:pr=\"urn:ietf:params:xml:ns:pres-rules\" xmlns:ocp=\"urn:oma:xml:xdm:common-policy\">\
                     <rule id=\"r\"><conditions><ocp:anonymous-request/></conditions><actions>\
                     <pr:sub-handling>allow</pr:sub-handling></actions></rule></ruleset>";
    bench.put_rules(BOB, everybody);
    let mut listed = onlooker(&bench, 7, ALICE);
    listed.display_name = Some("Alice L.".into());
    join_as(&mut bench, listed);
    let mut hidden = onlooker(&bench, 8, CAROL);
    hidden.anonymous = true;
    hidden.display_name = Some("Carol".into());
    join_as(&mut bench, hidden);
    bench.wait(100_000);
    let sent = bench.asks(BOB, "presence.winfo", "Expires: 0\r\n");
    let body = sent[1].body();
    bench.confirm(&sent);
    let alice = "display-name=\"Alice L.\" expiration=\"3500\" duration-subscribed=\"100\">sip:alice@ims.test<";
    assert!(body.contains(alice), "{body}");
    assert!(body.contains(NOBODY) && !body.contains("carol"), "{body}");
}

#[test]
fn a_member_whose_list_ends_undecided_waits_like_any_other_also_over_a_restart() {
    for restarts in [false, true] {
        let mut bench = Bench::new(settings());
        bench.rules("confirm", "");
        observed(&mut bench);
        let (_, came) = joins(&mut bench, 7, ALICE);
        bench.wait(6_000);
        let sent = bench.look_away(7);
        bench.confirm(&sent);
        let waits = reports(&sent);
        assert_eq!(said(&waits), [("waiting", "timeout", ALICE)]);
        assert_eq!(waits[0].watchers[0].id, came[0].watchers[0].id);
        assert_eq!(bench.node.presence.virtual_subscriptions(), 0);
        if restarts {
            bench.restart(1_000);
            let sent = bench.wait(10_000);
            bench.confirm(&sent);
            let to_alice = sent.iter().filter(|s| s.text.contains("Event: presence\r"));
            assert_eq!(to_alice.count(), 0, "nobody is told of it in a dialog");
            let now = fetched(&mut bench);
            assert_eq!(now.rows(), [("waiting", "timeout", ALICE)]);
            assert_eq!(now.watchers[0].id, came[0].watchers[0].id);
        }
        // she comes again by a list, which takes its place
        bench.wait(6_000);
        joins(&mut bench, 9, ALICE);
        assert_eq!(
            fetched(&mut bench).rows(),
            [("pending", "subscribe", ALICE)]
        );
        let sent = bench.look_away(9);
        bench.confirm(&sent);
        // nobody decides
        for _ in 0..WEEK / 3_000_000 + 1 {
            bench.hears(3_000_000);
        }
        assert!(fetched(&mut bench).rows().is_empty(), "given up");
    }
}

#[test]
fn nobody_decides_on_a_member_for_a_week() {
    let mut bench = Bench::new(settings());
    bench.rules("confirm", "");
    let mut lasts = onlooker(&bench, 7, ALICE);
    lasts.expires_at = Timestamp(bench.now + 2 * WEEK);
    let mut seen = bench.watch(lasts, BOB);
    bench.wait(WEEK - 2_000);
    assert!(!bench.hear(&mut seen) && seen.state == State::Pending);
    bench.wait(4_000);
    assert!(bench.hear(&mut seen));
    assert_eq!(seen.state, State::Terminated(End::GaveUp));
    assert!(fetched(&mut bench).rows().is_empty());
    // the watcher asks again
    let again = onlooker(&bench, 7, ALICE);
    bench.look_on(again).unwrap();
    assert!(bench.hear(&mut seen));
    assert_eq!(seen.state, State::Pending);
}

#[test]
fn a_restart_makes_no_watcher_come_or_go() {
    let mut bench = Bench::new(settings());
    bench.publish("", "here");
    observed(&mut bench);
    let (_, came) = joins(&mut bench, 7, ALICE);
    let onlooker = onlooker(&bench, 7, ALICE);
    assert_eq!(bench.hears(10_000), []);
    bench.restart(1_000);
    bench.look_on(onlooker).unwrap();
    let (id, sent) = bench.join(7, 0, BOB);
    assert!(sent.is_empty());
    let told = bench.hears(10_000);
    assert!(told.iter().all(|report| report.full), "{told:?}");
    let now = fetched(&mut bench);
    assert_eq!(now.rows(), [("active", "subscribe", ALICE)]);
    assert_eq!(now.watchers[0].id, came[0].watchers[0].id);
    // and nothing of its state is new
    assert!(!bench.node.presence.is_stirred(id));
    let sent = bench.look_away(7);
    assert_eq!(said(&reports(&sent)), [("terminated", "timeout", ALICE)]);
}

#[test]
fn members_count_against_the_bounds_of_subscriptions() {
    let mut settings = settings();
    settings.presence.subscriptions_per_presentity = 2;
    settings.presence.watcher_info.waiting_per_watcher = 1;
    let mut bench = Bench::new(settings);
    let full = State::Terminated(End::Rejected);
    assert_eq!(
        bench.watch(onlooker(&bench, 1, ALICE), BOB).state,
        State::Active
    );
    let direct = bench.subscribe("");
    assert_eq!(direct[0].status(), 200);
    let mut third = bench.watch(onlooker(&bench, 3, CAROL), BOB);
    assert_eq!(third.state, full);
    assert_eq!(bench.asks(CAROL, "presence", "")[0].status(), 403);
    // room is made, and the watcher asks again
    bench.look_away(1);
    let again = onlooker(&bench, 3, CAROL);
    bench.look_on(again).unwrap();
    assert!(bench.hear(&mut third));
    assert_eq!(third.state, State::Active);

    let mut bench = Bench::new(Settings {
        presence: presence::Settings {
            default_handling: Some(Handling::Confirm),
            ..bench.settings.presence.clone()
        },
        ..bench.settings.clone()
    });
    let first = bench.watch(onlooker(&bench, 1, ALICE), BOB);
    assert_eq!(first.state, State::Pending);
    let second = bench.watch(onlooker(&bench, 2, ALICE), CAROL);
    assert_eq!(
        second.state, full,
        "one undecided subscription of a watcher"
    );
    assert_eq!(bench.subscribe("")[0].status(), 403);
    // one that waits gives way
    bench.look_away(1);
    let again = onlooker(&bench, 2, ALICE);
    bench.look_on(again).unwrap();
    assert_eq!(
        bench.instance(second.id, Extent::Full).state,
        State::Pending
    );
    assert!(fetched(&mut bench).rows().is_empty());
}

#[test]
fn a_list_of_watcher_information_shows_each_observer_what_it_may_see() {
    let mut bench = Bench::new(settings());
    let sent = bench.asks(CAROL, "presence", "");
    bench.confirm(&sent);
    let of = |bench: &Bench, list, who| Onlooker {
        package: "presence.winfo",
        ..onlooker(bench, list, who)
    };
    let own = of(&bench, 1, BOB);
    let mut bob = bench.watch(own, BOB);
    let others = of(&bench, 2, ALICE);
    let mut alice = bench.watch(others, BOB);
    let report = |seen: &Seen| {
        let (media_type, body) = seen.content.as_ref().unwrap();
        assert_eq!(media_type, "application/watcherinfo+xml");
        super::super::winfo::read(body)
    };
    let first = report(&bob);
    assert_eq!((first.version, first.full), (0, true));
    assert_eq!(first.rows(), [("active", "subscribe", CAROL)]);
    assert!(
        report(&alice).rows().is_empty(),
        "others are not hers to see"
    );
    // alice watches from now on
    bench.wait(6_000);
    let sent = bench.subscribe("");
    bench.confirm(&sent);
    assert!(bench.hear(&mut bob) && bench.hear(&mut alice));
    let (second, own) = (report(&bob), report(&alice));
    assert_eq!((second.version, second.full), (1, true));
    assert_eq!(second.rows().len(), 2);
    assert_eq!(own.rows(), [("active", "subscribe", ALICE)]);
    // what does not concern her does not stir her list
    bench.wait(6_000);
    let sent = bench.asks("sip:dave@ims.test", "presence", "");
    bench.confirm(&sent);
    assert!(bench.hear(&mut bob) && !bench.hear(&mut alice));
    assert_eq!(report(&bob).rows().len(), 3);
    // over a restart the numbers of documents go on
    let (since, version) = (bench.now - 18_000, report(&bob).version);
    bench.restart(1_000);
    let again = Onlooker {
        since: Timestamp(since),
        ..of(&bench, 1, BOB)
    };
    assert!(report(&bench.watch(again, BOB)).version > version);
    let again = Onlooker {
        since: Timestamp(since),
        ..of(&bench, 2, ALICE)
    };
    alice = bench.watch(again, BOB);
    // nor is anything told to one who is refused
    bench.wait(6_000);
    bench.rules("block", "");
    assert!(bench.hear(&mut alice));
    assert_eq!(alice.state, State::Terminated(End::Rejected));
    assert_eq!(alice.content, None);
}

#[test]
fn who_observes_by_a_dialog_or_by_a_list_is_itself_observed() {
    let mut bench = Bench::new(settings());
    let sent = bench.asks(CAROL, "presence.winfo", "");
    bench.confirm(&sent);
    let of = |bench: &Bench, list, who, package| Onlooker {
        package,
        ..onlooker(bench, list, who)
    };
    let alice = of(&bench, 1, ALICE, "presence.winfo");
    bench.watch(alice, BOB);
    let bob = of(&bench, 2, BOB, "presence.winfo.winfo");
    let mut bob = bench.watch(bob, BOB);
    let report = super::super::winfo::read(bob.body());
    assert_eq!(report.package, "presence.winfo");
    let mut rows = report.rows();
    rows.sort();
    let both = [ALICE, CAROL].map(|who| ("active", "subscribe", who));
    assert_eq!(rows, both);
    bench.wait(6_000);
    bench.look_away(1);
    assert!(bench.hear(&mut bob));
    let left = super::super::winfo::read(bob.body());
    assert_eq!(left.rows(), [("active", "subscribe", CAROL)]);
    // nobody but the presentity (RFC 3857 §4.6)
    let alice = of(&bench, 3, ALICE, "presence.winfo.winfo");
    let refused = State::Terminated(End::Rejected);
    assert_eq!(bench.watch(alice, BOB).state, refused);
}

#[test]
fn a_package_that_is_not_served_is_refused_for_lists_too() {
    let mut settings = settings();
    settings.presence.watcher_info.of_watcher_info = false;
    let mut bench = Bench::new(settings);
    for (package, served) in [
        ("presence", true),
        ("presence.winfo", true),
        ("presence.winfo.winfo", false),
        ("xcap-diff", false),
    ] {
        let list = Onlooker {
            package,
            ..onlooker(&bench, 7, ALICE)
        };
        let taken = bench.look_on(list);
        assert_eq!(taken.is_ok(), served, "{package}");
        assert!(served || taken == Err(Reject::BadEvent));
        bench.look_away(7);
    }
}
