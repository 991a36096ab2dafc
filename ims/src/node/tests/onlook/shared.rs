//! What many virtual subscriptions share.

use super::*;

#[test]
fn a_change_is_rendered_once_for_each_outcome_however_many_lists_show_it() {
    let mut settings = settings();
    settings.presence.subscriptions_per_presentity = 1_000;
    settings.presence.notify_interval = Millis(0);
    let mut bench = Bench::new(settings);
    bench.rules("polite-block", "");
    bench.publish("", "first");
    let mut all: Vec<Seen> = (0..200)
        .map(|n| {
            let who = match n % 2 {
                0 => ALICE.to_owned(),
                _ => BOB.to_owned(),
            };
            let onlooker = onlooker(&bench, 100 + n, &who);
            bench.watch(onlooker, BOB)
        })
        .collect();
    let before = bench.node.presence.rendered();
    bench.publish("", "second");
    let stirred: Vec<bool> = all.iter_mut().map(|seen| bench.hear(seen)).collect();
    let who: Vec<bool> = (0..200).map(|n| n % 2 == 1).collect();
    assert_eq!(stirred, who, "who is politely blocked sees nothing of it");
    assert_eq!(bench.node.presence.rendered() - before, 2);
    assert_eq!(bench.node.presence.virtual_subscriptions(), 200);
}

#[test]
fn a_rule_that_names_a_list_is_followed_when_the_list_changes() {
    let mut bench = Bench::strict();
    lists::put_lists(&mut bench, &[("friends", &["sip:carol@ims.test"])]);
    lists::put_rules(&mut bench, &lists::rules("allow"));
    bench.publish("", "here");
    let mut seen = bench.watch(onlooker(&bench, 7, ALICE), BOB);
    assert_eq!(seen.state, State::Pending);
    lists::put_lists(&mut bench, &[("friends", &[ALICE])]);
    assert!(bench.hear(&mut seen));
    assert_eq!(seen.state, State::Active);
    assert!(seen.body().contains("<tuple "), "{}", seen.body());
    lists::put_lists(&mut bench, &[("friends", &[])]);
    assert!(bench.hear(&mut seen));
    assert_eq!((seen.state, seen.content.as_ref()), (State::Pending, None));
}

#[test]
fn a_member_is_named_once_until_it_is_taken() {
    let mut settings = settings();
    settings.presence.notify_interval = Millis(0);
    let mut bench = Bench::new(settings);
    let seen = bench.watch(onlooker(&bench, 7, ALICE), BOB);
    let bob = Aor::parse(BOB).unwrap();
    let once = [Member {
        list: SubscriptionId(7),
        place: 0,
    }];
    bench.local(|local, turn| {
        let directory = local.directory;
        let registered = |local: &mut Local<'_>, turn: &mut Turn<'_>, active| {
            let since = turn.now;
            let facts = presence::Registered { active, since };
            let presence = &mut *local.presence;
            presence.registration_changed(turn, directory, &bob, Some(facts));
            local.take_stirred()
        };
        assert_eq!(registered(local, turn, true), once);
        assert!(registered(local, turn, false).is_empty());
        let taken = local.instance(turn, seen.id, Extent::Change);
        assert!(taken.content.is_some());
        assert_eq!(registered(local, turn, true), once);
        // back to what the watcher knows: there is nothing to say when it is taken
        assert!(registered(local, turn, false).is_empty());
        let again = local.instance(turn, seen.id, Extent::Change);
        assert_eq!((again.content, again.tag), (None, taken.tag));
        // one that parts is named no more
        let facts = presence::Registered {
            active: true,
            since: turn.now,
        };
        let presence = &mut *local.presence;
        presence.registration_changed(turn, directory, &bob, Some(facts));
        local.look_away(turn, SubscriptionId(7));
        assert!(local.take_stirred().is_empty());
    });
}
