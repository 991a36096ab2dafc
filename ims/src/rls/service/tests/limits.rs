//! How much a list subscription may cost.

use super::super::joining::SHARE;
use super::super::seats::Seat;
use super::*;

fn many(count: usize) -> String {
    let names: Vec<String> = (0..count).map(|n| format!("u{n}")).collect();
    names.join(" ")
}

#[test]
fn a_long_list_joins_in_shares_and_is_told_in_parts() {
    let mut bench = Bench::new(settings());
    bench.list(&many(2_000));
    for n in 0..2_000 {
        bench.made.says(&format!("u{n}"), &format!("{n:0>500}"));
    }
    let (_, sent) = bench.subscribe_with(None, friends(), Wishes::default());
    let first = sent[0].clone();
    assert_eq!(bench.made.joined.len(), SHARE);
    let level = first.read();
    assert!(level.full && level.resources.len() == 2_000);
    assert!(bench.made.asked <= SHARE);
    let mut picture = crate::rls::picture::Picture::default();
    picture.take(level);
    let mut sent = bench.answer(&first, 200);
    sent.extend(bench.wait(0));
    let mut notifies = 0;
    while let Some(notify) = sent.pop() {
        assert!(sent.is_empty(), "never more than one");
        notifies += 1;
        assert!(notify.body().len() < 70_000, "{}", notify.body().len());
        let taken = picture.take(notify.read());
        assert!(matches!(
            taken,
            crate::rls::picture::Taken::News { lost: false, .. }
        ));
        sent = bench.answer(&notify, 200);
        sent.extend(bench.wait(1_000));
    }
    assert!((20..60).contains(&notifies), "{notifies}");
    let known = picture
        .rows()
        .filter(|(_, row)| row.instances.len() == 1)
        .count();
    assert_eq!(known, 2_000);
}

#[test]
fn a_seat_is_small() {
    assert!(size_of::<Seat>() <= 32, "{}", size_of::<Seat>());
}

#[test]
fn subscriptions_and_members_are_bounded() {
    let bounds = |subscriptions, watcher, node| Settings {
        max_subscriptions_per_watcher: subscriptions,
        max_members_per_watcher: watcher,
        max_members: node,
        ..settings()
    };
    let busy = Reject::Busy {
        retry_after: Seconds(60),
    };
    for (case, settings, refused) in [
        ("within", bounds(2, 4, 4), None),
        (
            "subscriptions",
            bounds(1, 4, 4),
            Some(Reject::Forbidden("Too Many List Subscriptions")),
        ),
        (
            "members",
            bounds(2, 3, 4),
            Some(Reject::Forbidden("Too Many List Members")),
        ),
        ("members of all", bounds(2, 4, 3), Some(busy)),
    ] {
        let mut bench = Bench::new(settings);
        bench.list("bob carol");
        let (id, _) = bench.subscribe();
        let (second, _) = bench.subscribe_with(None, friends(), Wishes::default());
        assert_eq!(second.clone().err(), refused, "{case}");
        let sent = bench.renew(id, 0);
        bench.answer(&sent[0], 200);
        let left = usize::from(second.is_ok());
        let census = Census {
            subscriptions: left,
            members: 2 * left,
        };
        assert_eq!(bench.service.census(), census, "{case}");
    }
}

#[test]
fn seats_are_used_again() {
    let mut bench = Bench::new(settings());
    bench.list("bob carol");
    let (id, _) = bench.subscribe();
    for n in 0..100 {
        bench.edit(id, &format!("bob u{n}"));
        for notify in bench.wait(2_000) {
            bench.answer(&notify, 200);
        }
    }
    let seats = bench.service.subscriptions[&id].seats.size();
    assert!(seats <= 4, "{seats}");
}

#[test]
fn a_list_that_outgrows_its_watcher_ends_its_subscription() {
    let mut bench = Bench::new(Settings {
        max_members_per_watcher: 3,
        ..settings()
    });
    bench.list("bob carol");
    let (id, _) = bench.subscribe();
    bench.wait(1_000);
    let sent = bench.edit(id, "bob carol dave");
    assert_eq!(
        sent[0].said(),
        "1 full bob/pending carol/pending dave/pending"
    );
    bench.answer(&sent[0], 200);
    let sent = bench.edit(id, "bob carol dave eva");
    let over = "terminated;reason=probation;retry-after=60";
    assert_eq!(sent[0].get("Subscription-State"), over);
    bench.answer(&sent[0], 200);
    assert!(bench.is_empty());
    let (refused, _) = bench.subscribe_with(None, friends(), Wishes::default());
    assert_eq!(refused, Err(Reject::Forbidden("Too Many List Members")));
}

#[test]
fn many_short_lists_are_read_again_together_after_a_restart() {
    let mut bench = Bench::new(Settings {
        max_subscriptions_per_watcher: 200,
        ..settings()
    });
    bench.list("bob carol");
    for _ in 0..100 {
        bench.subscribe();
    }
    bench.restart(0);
    let mut turns = 0;
    let mut told = 0;
    while bench.service.next_deadline() == Some(Timestamp::default()) {
        let (_, sent) = bench.turn(|service, turn, world| service.on_deadline(turn, world));
        told += sent.len();
        turns += 1;
    }
    assert_eq!((turns, told), (2, 100));
}
