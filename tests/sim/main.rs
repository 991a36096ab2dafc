//! Deterministic simulation: the real node under virtual time, network and disk, with faults, from a seed.
//!
//! `SIM_SEED=n` runs one seed, `SIM_SEEDS=n` so many after the fixed ones, `SIM_HOURS=n` makes the long world longer.
//! A failure prints its seed, how to replay it, and the last messages.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod dice;
mod disk;
mod documents;
mod network;
mod ocs;
mod peers;
mod picture;
mod promises;
mod server;
mod settings;
mod text;
mod truth;
mod world;

use ims::xdm::{self, Xdm};
use network::Weather;
use ocs::Charged;
use std::collections::BTreeSet;
use world::{Plan, World};

/// A plan drawn from its seed: small worlds of every kind of weather.
fn small(seed: u64) -> Plan {
    let mut dice = dice::Dice::new(seed ^ 0x51ed);
    Plan {
        seed,
        presentities: dice.between(1, 4) as usize,
        sources: dice.between(1, 4) as usize,
        watchers: dice.between(1, 5) as usize,
        weather: Weather {
            loss: *dice.pick(&[0, 5, 20, 40]),
            duplication: *dice.pick(&[0, 5, 20]),
            slow: *dice.pick(&[0, 5, 30]),
            slowest: *dice.pick(&[200, 5_000]),
        },
        storm: 600,
        crash_every: *dice.pick(&[0, 20, 100]),
        slow_disk: *dice.pick(&[20, 600]),
        conditions: dice.percent(50),
        follows: false,
        lists: 0,
        charged: Charged::Nothing,
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().expect("a number"))
}

fn fail_if_broken(world: &World, name: &str) {
    if let Some(broken) = world.promises.broken.first() {
        let plan = world.plan();
        panic!(
            "{}\nbroken: {}\nreplay: SIM_SEED={} cargo test --release --test sim {name}\n{plan:?}",
            world.tail(),
            broken.0,
            plan.seed
        );
    }
}

/// A storm, a calm in which everybody converges, and an end after which nothing is left.
fn live_through(plan: Plan, xdm: &Xdm, name: &str) -> World {
    let mut world = World::new(plan, xdm);
    world.run(plan.storm);
    fail_if_broken(&world, name);
    world.calm_down();
    world.run(700); // refreshes that find out, Retry-After, pacing, 64·T1: all of it fits
    world.check_watchers();
    world.check_withdrawn();
    fail_if_broken(&world, name);
    world.fall_silent();
    world.run(4_000); // longer than any lifetime
    check_nothing_is_left(&mut world);
    world.promises.check_charging();
    world.check_credit();
    fail_if_broken(&world, name);
    world
}

fn check_nothing_is_left(world: &mut World) {
    let census = world.census();
    let left = census.presence.presentities
        + census.presence.publications
        + census.presence.subscriptions
        + census.lists.subscriptions
        + census.lists.members
        + census.registrations
        + census.followed
        + census.server_transactions
        + census.client_transactions;
    let records = world.soft_records();
    world.promises.check(
        "nothing is left when everything has run out",
        left == 0,
        || format!("{census:?}"),
    );
    world.promises.check(
        "the store holds nothing of what has run out",
        records.is_empty(),
        || records.join("\n"),
    );
}

fn seeds(fixed: std::ops::Range<u64>) -> Vec<u64> {
    match number("SIM_SEED") {
        Some(seed) => vec![seed],
        None => (fixed.start..fixed.end + number("SIM_SEEDS").unwrap_or(0)).collect(),
    }
}

fn xdm() -> Xdm {
    Xdm::new(xdm::Settings::default()).expect("the schemas load")
}

#[test]
fn every_promise_is_kept_through_loss_duplication_reordering_and_crashes() {
    let xdm = xdm();
    let mut seen = BTreeSet::new();
    for seed in seeds(1..101) {
        let world = live_through(small(seed), &xdm, "every_promise");
        if number("SIM_SEED").is_some() {
            println!("{} events, {:#?}", world.events, world.promises.counts);
            return;
        }
        seen.extend(world.promises.counts.into_keys());
    }
    for what in [promises::PATCHES, promises::TOLD_NOTHING_NEW] {
        assert!(seen.contains(what), "no {what} in any world");
    }
}

/// An S-CSCF with the reg event package: contacts come and go, the network de-registers without a REGISTER, documents and
/// dialogs are lost, and what watchers are shown converges to what the S-CSCF knows.
#[test]
fn the_registration_shown_converges_to_that_of_the_s_cscf() {
    let xdm = xdm();
    for seed in seeds(2_001..2_061) {
        let plan = Plan {
            follows: true,
            ..small(seed)
        };
        let world = live_through(plan, &xdm, "converges_to_that_of_the_s_cscf");
        if number("SIM_SEED").is_some() {
            println!("{} events, {:#?}", world.events, world.promises.counts);
        }
    }
}

/// Lists whose members come and go, watched by those who are also told of each member by its rules.
#[test]
fn a_list_shows_of_each_member_what_a_subscription_would_through_loss_and_crashes() {
    let xdm = xdm();
    let mut seen = BTreeSet::new();
    for seed in seeds(3_001..3_041) {
        let plan = Plan {
            lists: 2,
            watchers: 1,
            ..small(seed)
        };
        let world = live_through(plan, &xdm, "a_list_shows_of_each_member");
        if number("SIM_SEED").is_some() {
            println!("{} events, {:#?}", world.events, world.promises.counts);
            return;
        }
        seen.extend(world.promises.counts.into_keys());
    }
    assert!(
        seen.contains("partial NOTIFYs of lists"),
        "none in any world"
    );
}

/// A charging system that grants, denies, is silent and takes credit back, and dies of it as little as of anything else.
#[test]
fn credit_pays_for_what_is_delivered_through_loss_and_crashes() {
    let xdm = xdm();
    let mut seen = BTreeSet::new();
    for seed in seeds(4_001..4_061) {
        let kinds = [Charged::Subscriptions, Charged::Notifies, Charged::Both];
        let plan = Plan {
            charged: kinds[(seed % 3) as usize],
            lists: (seed % 2) as usize,
            ..small(seed)
        };
        let world = live_through(plan, &xdm, "credit_pays_for_what_is_delivered");
        if number("SIM_SEED").is_some() {
            println!("{} events, {:#?}", world.events, world.promises.counts);
            return;
        }
        seen.extend(world.promises.counts.into_keys());
    }
    for what in [
        "NOTIFY asks",
        "SUBSCRIBE asks",
        "sessions withdrawn",
        "questions without an answer",
    ] {
        assert!(seen.contains(what), "no {what} in any world");
    }
}

/// A disk that stalls and a server that dies every few seconds: most crashes fall between an answer that is decided and
/// its commit, or between the commit and the answer.
#[test]
fn nothing_acknowledged_is_lost_by_a_server_that_crashes_all_the_time() {
    let xdm = xdm();
    for seed in seeds(501..511) {
        let plan = Plan {
            crash_every: 4,
            slow_disk: 1_500,
            ..small(seed)
        };
        live_through(plan, &xdm, "crashes_all_the_time");
    }
}

/// Refreshes, expiries, reserved CSeq ranges and reconnections need hours to meet.
#[test]
fn every_promise_is_kept_for_hours() {
    let xdm = xdm();
    let hours = number("SIM_HOURS").unwrap_or(3);
    for seed in seeds(1_001..1_003) {
        let plan = Plan {
            presentities: 3,
            sources: 2,
            watchers: 3,
            storm: hours * 3_600,
            crash_every: 400,
            conditions: true,
            ..small(seed)
        };
        let world = live_through(plan, &xdm, "every_promise_is_kept_for_hours");
        println!(
            "seed {seed}: {} events, {:#?}",
            world.events, world.promises.counts
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_world_message_by_message() {
    let xdm = xdm();
    for seed in seeds(1..4) {
        let plan = Plan {
            storm: 200,
            ..small(seed)
        };
        let traces = [(); 2].map(|()| live_through(plan, &xdm, "the_same_seed").trace());
        assert_eq!(traces[0], traces[1], "seed {seed}");
    }
}
