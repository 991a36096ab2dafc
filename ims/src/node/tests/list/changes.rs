//! What changes under a subscription to a list.

use super::*;

fn bench() -> (Bench, Sent) {
    let mut bench = Bench::new(settings());
    bench.write_services(&[(FRIENDS, &["bob", "carol"])]);
    bench.state_of("bob", "here");
    let (accepted, _) = bench.watch_friends();
    bench.wait(10_000);
    (bench, accepted)
}

#[test]
fn rules_count_as_for_a_subscription() {
    let (mut bench, _) = bench();
    let sent = bench.rules("block", "");
    assert_eq!(said(&sent[0]), "1 part bob/terminated:rejected");
    bench.answer(&sent[0], 200, "");
    bench.wait(10_000);
    let sent = bench.state_of("bob", "hidden");
    assert_eq!(sent.len(), 0);
}

#[test]
fn an_edit_of_the_list_is_told() {
    let (mut bench, _) = bench();
    bench.state_of("dave", "new");
    let sent = bench.write_services(&[(FRIENDS, &["carol", "dave"])]);
    assert_eq!(sent.len(), 1);
    assert_eq!(said(&sent[0]), "1 full carol=- dave=new");
    bench.answer(&sent[0], 200, "");
    bench.wait(10_000);
    assert_eq!(bench.state_of("bob", "alone").len(), 0);
    let sent = bench.write_services(&[]);
    assert_eq!(sent.len(), 1);
    assert_eq!(
        sent[0].get("Subscription-State"),
        "terminated;reason=noresource"
    );
    bench.answer(&sent[0], 200, "");
    assert_eq!(bench.node.census().lists, Default::default());
}

#[test]
fn a_list_subscription_outlives_the_process() {
    let (mut bench, accepted) = bench();
    bench.restart(0);
    assert_eq!(bench.wait(60_000).len(), 0, "the watcher has what there is");
    let sent = bench.state_of("carol", "away");
    assert_eq!(said(&sent[0]), "1 part carol=away");
    bench.restart(0);
    let sent = bench.wait(1_000);
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert_eq!(
        said(&sent[0]),
        "2 full bob=here carol=away",
        "its answer may be lost"
    );
    bench.answer(&sent[0], 200, "");
    let sent = bench.renew_list(&accepted, "", "");
    assert_eq!(said(&sent[1]), "3 full bob=here carol=away");
}

#[test]
fn one_change_of_one_member_is_one_part_for_each_list() {
    let mut bench = Bench::new(settings());
    let mut settings = settings();
    settings.presence.subscriptions_per_presentity = 100;
    let names: Vec<String> = (0..50).map(|n| format!("u{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    bench.write_services(&[(FRIENDS, &names)]);
    let (_, first) = bench.watch_friends();
    assert_eq!(read(&first).resources.len(), 50);
    bench.wait(10_000);
    let sent = bench.state_of("u7", "here");
    assert_eq!(said(&sent[0]), "1 part u7=here");
}
