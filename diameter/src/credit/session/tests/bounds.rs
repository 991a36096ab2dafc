//! What a service may use that goes on without its server.

use super::*;

fn bounded(script: &str, handling: FailureHandling) -> World {
    let mut world = World::begin(handling, false, true);
    (world.policy.given, world.policy.again) = (3, 60_000);
    world.play(script);
    world
}

#[test]
fn what_is_given_away_without_a_server_is_bounded_and_its_end_is_that_of_terminate() {
    let end = "withdrawn Denied(Unavailable)";
    for (handling, script, told, over) in [
        // no session ever
        (
            CONTINUE,
            "unsent begun used used used",
            format!("I0, up to 3, Granted, {end}, unsettled"),
            true,
        ),
        // a session whose server is gone: what it used is told later
        (
            CONTINUE,
            "2001 begun used rar unsent used used used 2001",
            format!("I0, Granted, reply 2002, U1:1, up to 4, {end}, T2:4"),
            true,
        ),
        // while an answer is awaited
        (
            RETRY,
            "2001 begun rar tx used used used ten 2001",
            format!("I0, Granted, reply 2002, U1:0, up to 3, {end}, T2:3"),
            true,
        ),
        // each grant begins the count anew
        (
            CONTINUE,
            "unsent begun used used due ten rar ten rar unsent used used",
            "I0, up to 3, Granted, anew, I0, up to 10, reply 2002, U1:2, up to 12, reply 2002, \
             U2:0, up to 5"
                .to_owned(),
            false,
        ),
        // and failing again and again does not
        (
            CONTINUE,
            "unsent begun used due unsent used due unsent used",
            format!("I0, up to 3, Granted, anew, I0, anew, I0, {end}, unsettled"),
            true,
        ),
        // what is free is not given away
        (
            CONTINUE,
            "unsent begun due 4011 used used used used",
            "I0, up to 3, Granted, anew, I0, any".to_owned(),
            false,
        ),
    ] {
        let world = bounded(script, handling);
        assert_eq!(world.done.join(", "), told, "{script}");
        assert_eq!(world.session.is_done(), over, "{script}");
    }
}

#[test]
fn the_bound_outlives_the_process() {
    let resumed = |owed| {
        let (now, policy) = (Instant(5), bounded("", CONTINUE).policy);
        let session = Session::resume(owed, Default::default(), now, &policy).unwrap();
        World {
            session,
            now,
            policy,
            done: Vec::new(),
        }
    };
    let given = bounded("unsent begun used used", CONTINUE);
    let mut world = resumed(given.session.owed());
    assert_eq!(world.session.allowance(), Some(1));
    world.play("used");
    assert_eq!(
        world.done.join(", "),
        "withdrawn Denied(Unavailable), unsettled"
    );
    // of a session: what was used beyond its grant
    let mut world = resumed(Owed::Open {
        number: 4,
        used: 12,
        report: None,
        failure: CONTINUE,
        failover: false,
        quota: Some(10),
    });
    world.play("due unsent used");
    assert_eq!(
        world.done.join(", "),
        "U4:12, up to 1, withdrawn Denied(Unavailable)"
    );
}

/// Whatever an OCS answers or does not, a service never uses more than it was told it may, and what it uses beyond its
/// grants is never more than the bound.
#[test]
fn a_service_that_obeys_gives_away_no_more_than_the_bound_whatever_happens() {
    const STEPS: [&str; 12] = [
        "ten", "one", "unsent", "lost", "5031", "5002", "3004", "2001", "rar", "due", "used",
        "4011",
    ];
    let mut seed = 7_u64;
    let mut next = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    for _ in 0..3_000 {
        let mut world = bounded("ten begun", CONTINUE);
        let (mut used, mut most, mut away) = (0, Some(10), 0);
        for _ in 0..60 {
            let step = STEPS[next(STEPS.len())];
            let may = most.is_none_or(|most| used < most);
            let answers = !matches!(step, "rar" | "due" | "used");
            let skip = match step {
                "used" => !may,
                "due" => world.session.deadline().is_none(),
                _ => answers && !is_asked(&world),
            };
            if skip || world.session.service != Service::Granted {
                continue;
            }
            let (loose, free) = (world.session.loose, world.session.free);
            world.done.clear();
            world.play(step);
            if step == "used" {
                used += 1;
                away = if loose && !free { away + 1 } else { away };
                assert!(away <= 3, "given away");
            }
            for word in &world.done {
                if let Some(units) = word.strip_prefix("up to ") {
                    most = Some(units.parse::<u64>().unwrap());
                } else if word == "any" {
                    most = None;
                }
            }
            if !world.session.loose {
                away = 0;
            }
            let Session {
                free, quota, state, ..
            } = world.session;
            // by the word of the server, or while one that it has forgotten is opened again
            let uncounted = free || quota.is_none() || state == State::PendingI;
            assert!(most.is_some() || uncounted, "without a bound");
        }
    }
}

fn is_asked(world: &World) -> bool {
    matches!(
        world.session.state,
        State::PendingI | State::PendingU | State::PendingT
    )
}
