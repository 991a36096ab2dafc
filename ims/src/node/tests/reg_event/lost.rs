//! An S-CSCF that refuses, subscriptions that are lost, and restarts.

use super::*;

#[test]
fn an_s_cscf_that_refuses_is_not_asked_for_each_user() {
    let mut bench = Bench::new(following());
    let first = bench.third_party(BOB, 600).remove(1);
    assert!(bench.answer(&first, 489, "").is_empty());
    assert_eq!(
        bench.third_party(ALICE, 600).len(),
        1,
        "the package is refused to everybody"
    );
    assert_eq!(
        bench.registration_of(BOB),
        "active",
        "third-party REGISTER counts"
    );
    assert_eq!(subscribes(&bench.wait(500_000)).len(), 0);
    assert_eq!(bench.third_party(BOB, 0).len(), 1);
    assert_eq!(bench.registration_of(BOB), "terminated");

    let mut one = Bench::new(following());
    let first = one.third_party(BOB, 600).remove(1);
    one.answer(&first, 403, "");
    assert_eq!(
        one.third_party(ALICE, 600).len(),
        2,
        "403 is about this user"
    );
}

#[test]
fn a_lost_subscription_is_asked_for_again_and_register_counts_meanwhile() {
    let mut bench = Bench::new(following());
    let subscribe = bench.followed();
    bench.tell_bob(&subscribe, 4, "active", &["c"]);
    let ended = bench.tell(&subscribe, 5, "terminated;reason=deactivated", "");
    let anew = subscribes(&ended).remove(0);
    assert!(!anew.get("To").contains("tag="));
    assert_ne!(anew.get("Call-ID"), subscribe.get("Call-ID"));
    // nobody answers: it waits longer each time, and the registration ends when its REGISTER said so
    let sent = bench.wait(700_000);
    let calls: std::collections::BTreeSet<String> = subscribes(&sent)
        .iter()
        .map(|s| s.get("Call-ID").to_owned())
        .collect();
    assert!((2..=6).contains(&calls.len()), "{}", calls.len());
    assert_eq!(
        bench.registration_of(BOB),
        "nothing",
        "it ended, and that is forgotten by now"
    );
    assert!(
        bench.wait(10_000_000).is_empty(),
        "nobody is registered, nobody is asked"
    );
    assert_eq!(bench.node.census(), Census::default());
}

#[test]
fn a_restart_goes_on_in_the_same_dialog() {
    let mut bench = Bench::new(following());
    let subscribe = bench.followed();
    bench.tell_bob(&subscribe, 4, "active", &["c"]);
    bench.restart(1_000);
    assert!(bench.wait(5_000).is_empty(), "no storm");
    assert_eq!(bench.node.census().followed, 1);
    let told = bench.tell_bob(&subscribe, 5, "terminated", &[]);
    assert_eq!(told[0].status(), 200, "{}", told[0].text);
    assert_eq!(bench.registration_of(BOB), "terminated");
    bench.restart(100_000);
    assert_eq!(
        bench.tell_bob(&subscribe, 6, "active", &["c"])[0].status(),
        481
    );
}

#[test]
fn what_was_not_open_at_a_restart_is_asked_for_one_after_the_other() {
    let mut settings = following();
    settings.registration.capacity = 1_000;
    let mut bench = Bench::new(settings);
    for n in 0..250 {
        bench.third_party(&format!("sip:u{n}@ims.test"), 600);
    }
    bench.restart(0);
    let mut each_second = Vec::new();
    for _ in 0..4 {
        each_second.push(
            subscribes(&bench.wait(1_000))
                .iter()
                .filter(|s| s.ticket.is_some())
                .count(),
        );
    }
    assert!(each_second.iter().all(|n| *n <= 101), "{each_second:?}");
    assert_eq!(each_second.iter().sum::<usize>(), 250, "{each_second:?}");
}

#[test]
fn turned_off_nobody_is_asked_and_what_is_stored_of_it_goes() {
    let mut bench = Bench::new(following());
    let subscribe = bench.followed();
    bench.tell_bob(&subscribe, 4, "active", &["c"]);
    assert!(
        bench
            .store
            .keys()
            .any(|(table, _)| *table == Table::RegEvent)
    );
    bench.settings.registration.reg_event = false;
    bench.restart(0);
    assert!(
        !bench
            .store
            .keys()
            .any(|(table, _)| *table == Table::RegEvent)
    );
    assert_eq!(
        bench.tell_bob(&subscribe, 5, "terminated", &[])[0].status(),
        481
    );
    assert_eq!(bench.third_party(ALICE, 600).len(), 1);
}
