//! What changes under a list subscription: members, the list, the watcher's answers, the process.

use super::*;
use crate::event::subscription::End;

#[test]
fn changes_within_the_interval_are_told_together() {
    let mut bench = Bench::new(settings());
    bench.list("bob carol dave");
    bench.subscribe();
    assert_eq!(
        bench.says("bob", "1").len(),
        0,
        "the first NOTIFY was just now"
    );
    assert_eq!(bench.says("carol", "2").len(), 0);
    assert_eq!(bench.says("bob", "3").len(), 0);
    let sent = bench.wait(1_000);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].said(), "1 part bob=3 carol=2");
    bench.wait(5_000);
    assert_eq!(
        bench.says("dave", "4").len(),
        0,
        "the one before is not answered"
    );
    let sent = bench.answer(&sent[0], 200);
    assert_eq!(sent[0].said(), "2 part dave=4");
    bench.answer(&sent[0], 200);
    bench.wait(5_000);
    assert_eq!(
        bench.says("dave", "5")[0].said(),
        "3 part dave=5",
        "after a silence at once"
    );
}

#[test]
fn what_is_as_it_was_is_not_told() {
    let mut bench = Bench::new(settings());
    bench.list("bob");
    bench.made.says("bob", "here");
    bench.subscribe();
    bench.says("bob", "gone");
    bench.says("bob", "here");
    assert_eq!(bench.wait(10_000).len(), 0);
}

#[test]
fn a_member_elsewhere_that_has_nothing_to_say_yet_is_not_told() {
    let mut bench = Bench::new(settings());
    bench.list("bob x@far.test");
    bench.subscribe();
    let member = *bench.far.wanted.keys().next().unwrap();
    bench.far.stirred.push(member);
    assert_eq!(bench.stir().len(), 0);
    assert_eq!(bench.wait(10_000).len(), 0);
    let pending = Instance {
        state: State::Pending,
        tag: 0,
        content: None,
    };
    let uri = "sip:x@far.test";
    bench.far.says.insert(uri.into(), vec![(0, pending)]);
    bench.far.stirred.push(member);
    let sent = bench.stir();
    assert_eq!(sent[0].said(), "1 part x@far.test/pending");
    bench.answer(&sent[0], 200);
    bench.far.says.remove(uri);
    bench.far.stirred.push(member);
    bench.stir();
    assert_eq!(bench.wait(10_000)[0].said(), "2 part x@far.test");
}

#[test]
fn after_a_failed_notify_everything_is_told() {
    let mut bench = Bench::new(settings());
    bench.list("bob carol");
    bench.subscribe();
    bench.wait(2_000);
    let sent = bench.says("bob", "1");
    assert_eq!(bench.answer(&sent[0], 500).len(), 0);
    assert_eq!(bench.says("carol", "2").len(), 0, "not at once");
    let sent = bench.wait(30_000);
    assert_eq!(sent[0].said(), "2 full bob=1 carol=2");
    bench.answer(&sent[0], 481);
    assert!(bench.is_empty(), "481: the watcher is gone");
}

#[test]
fn a_list_that_changes_is_followed() {
    let mut bench = Bench::new(settings());
    bench.list("bob carol x@far.test");
    bench.made.says("dave", "new");
    let (id, _) = bench.subscribe();
    bench.wait(2_000);
    let ids = |bench: &Bench| bench.made.joined.keys().copied().collect::<Vec<_>>();
    let before = ids(&bench);
    let sent = bench.edit(id, "dave carol");
    assert_eq!(sent[0].said(), "1 full dave=new carol/pending");
    assert!(bench.far.wanted.is_empty());
    assert!(
        ids(&bench).contains(&before[1]),
        "carol is watched as before"
    );
    assert!(!ids(&bench).contains(&before[0]));
    bench.answer(&sent[0], 200);
    bench.wait(2_000);
    assert_eq!(bench.says("carol", "hi")[0].said(), "2 part carol=hi");
    assert_eq!(bench.edit(id, "dave carol").len(), 0, "nothing changed");
    assert_eq!(bench.service.census().members, 2);
}

#[test]
fn a_list_that_goes_ends_its_subscriptions() {
    let mut bench = Bench::new(settings());
    bench.list("bob x@far.test");
    let (id, _) = bench.subscribe();
    bench.written.lists.clear();
    let (_, sent) = bench.turn(|service, turn, world| service.list_changed(turn, world, id));
    assert_eq!(
        sent[0].get("Subscription-State"),
        "terminated;reason=noresource"
    );
    bench.answer(&sent[0], 200);
    assert!(bench.is_empty());
}

#[test]
fn a_list_inside_has_a_version_of_its_own() {
    let mut bench = Bench::new(settings());
    bench.list("bob (team carol dave )");
    let (id, first) = bench.subscribe();
    assert_eq!(
        first.said(),
        "0 full bob/pending team(0 full carol/pending dave/pending)"
    );
    bench.wait(2_000);
    let sent = bench.says("bob", "1");
    assert_eq!(sent[0].said(), "1 part bob=1");
    bench.answer(&sent[0], 200);
    bench.wait(2_000);
    let sent = bench.says("dave", "2");
    assert_eq!(sent[0].said(), "2 part team(1 part dave=2)");
    bench.answer(&sent[0], 200);
    bench.restart(0);
    let sent = bench.wait(1);
    let all = "3 full bob=1 team(2 full carol/pending dave=2)";
    assert_eq!(sent[0].said(), all);
    bench.answer(&sent[0], 200);
    bench.edit(id, "bob");
    let sent = bench.wait(2_000);
    assert_eq!(sent[0].said(), "4 full bob=1");
    bench.answer(&sent[0], 200);
    let sent = bench.edit(id, "(team carol )");
    assert_eq!(
        sent[0].said(),
        "5 full team(0 full carol/pending)",
        "it begins again"
    );
}

#[test]
fn after_a_restart_versions_and_instances_go_on() {
    let mut bench = Bench::new(settings());
    bench.list("bob carol");
    bench.made.says("bob", "here");
    let (_, first) = bench.subscribe();
    let told_at = bench.now;
    bench.wait(10_000);
    assert_eq!(bench.restart(told_at), 1, "its answer may not have come");
    let sent = bench.wait(1_000);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].said(), "1 full bob=here carol/pending");
    let instances = |notify: &Notify| {
        let level = notify.read();
        let ids = level.resources.iter().flat_map(|r| &r.instances);
        ids.map(|i| i.id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(instances(&sent[0]), instances(&first));
    assert_eq!(sent[0].get("CSeq"), "2 NOTIFY");
    assert_eq!(sent[0].get("SIP-ETag"), first.get("SIP-ETag"));
    bench.answer(&sent[0], 200);

    let settled = bench.now;
    assert_eq!(bench.restart(settled), 0);
    assert_eq!(bench.wait(5_000).len(), 0, "it has just that");
    assert_eq!(bench.says("carol", "new")[0].said(), "2 part carol=new");

    bench.restart(settled);
    bench.made.is("bob", State::Terminated(End::NoResource), "");
    let sent = bench.wait(5_000);
    assert_eq!(sent[0].said(), "3 full bob/terminated:noresource carol=new");
}

#[test]
fn rates_are_of_the_whole_list() {
    let mut bench = Bench::new(settings());
    bench.list("bob carol");
    let rates = |text: &str| {
        let params = crate::sip::text::Params::parse(text).unwrap();
        crate::sip::header::rate::Rates::parse(&params).unwrap()
    };
    let wishes = Wishes {
        rates: rates(";max-rate=0.1;min-rate=0.02"),
        ..Wishes::default()
    };
    let (accepted, sent) = bench.subscribe_with(None, friends(), wishes.clone());
    let id = accepted.unwrap().id;
    let state = sent[0].get("Subscription-State");
    assert_eq!(state, "active;expires=3600;max-rate=0.1;min-rate=0.02");
    bench.answer(&sent[0], 200);
    bench.wait(5_000);
    assert_eq!(bench.says("bob", "1").len(), 0);
    assert_eq!(bench.says("carol", "2").len(), 0);
    let sent = bench.wait(5_000);
    assert_eq!(
        sent[0].said(),
        "1 part bob=1 carol=2",
        "10 s after the one before"
    );
    bench.answer(&sent[0], 200);
    assert_eq!(bench.wait(49_999).len(), 0);
    let sent = bench.wait(1);
    assert_eq!(
        sent[0].said(),
        "2 full bob=1 carol=2",
        "50 s later, whatever changed"
    );
    bench.answer(&sent[0], 200);
    bench.restart(bench.now);
    let sent = bench.wait(1_000);
    bench.answer(&sent[0], 200);
    let sent = bench.wait(50_000);
    assert_eq!(sent.len(), 1, "a restart keeps the rates");
    bench.answer(&sent[0], 200);
    let (_, sent) = bench.renew_with(id, None, Wishes::default(), None);
    assert_eq!(
        sent[0].get("Subscription-State"),
        "active;expires=3600",
        "each SUBSCRIBE says them anew"
    );
    bench.answer(&sent[0], 200);
    assert_eq!(bench.wait(300_000).len(), 0);
    assert_eq!(bench.service.repeats.len(), 0);
}

#[test]
fn the_node_leaves() {
    let mut bench = Bench::new(settings());
    bench.list("bob");
    bench.subscribe();
    let farewell = Farewell {
        end: End::Deactivated,
        over: Millis(0),
    };
    bench.service.leave(Timestamp(bench.now), farewell);
    assert!(!bench.service.has_left());
    let sent = bench.wait(100);
    assert_eq!(
        sent[0].get("Subscription-State"),
        "terminated;reason=deactivated"
    );
    bench.answer(&sent[0], 200);
    assert!(bench.service.has_left() && bench.is_empty());
}
