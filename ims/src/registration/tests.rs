//! Registrations by third-party REGISTER: lifetimes, news, ends, identities.

use super::*;
use crate::charge::{Ledger, Triggers};
use crate::event::quota::Quota;
use crate::event::turn::Random;
use crate::record::Batch;

#[test]
fn service_information_is_taken_as_it_stands() {
    for (case, body, found) in [
        (
            "plain",
            "<ims-3gpp version=\"1\"><service-info>tier=gold</service-info></ims-3gpp>",
            Some("tier=gold"),
        ),
        (
            "unescaped markup",
            "<service-info><a>1 & 2</a></service-info>",
            Some("<a>1 & 2</a>"),
        ),
        ("none", "<ims-3gpp version=\"1\"/>", None),
        ("cut off", "<service-info>tier", None),
    ] {
        assert_eq!(service_info(body.as_bytes()).as_deref(), found, "{case}");
    }
    assert_eq!(service_info(b"<service-info>\xff</service-info>"), None);
}

const BOB: &str = "sip:bob@ims.test";
const TEL: &str = "tel:+36105550001";

fn reg_event() -> reg_event::Settings {
    reg_event::Settings {
        own: crate::event::subscriber::Own {
            address: "10.0.0.1:5060".into(),
            contact: "10.0.0.1:5060".into(),
            ioi: "ims.test".into(),
            udp_max: 1_300,
        },
        timer_n: crate::time::Millis(32_000),
    }
}

/// A registrar with a clock.
struct Bench {
    registrar: Registrar,
    random: Random,
    batch: Batch,
    ledger: Ledger,
}

fn aor(text: &str) -> Aor {
    Aor::parse(text).unwrap()
}

impl Bench {
    fn new() -> Bench {
        let settings = Settings {
            default_expires: Seconds(600),
            max_expires: Seconds(1000),
            terminated_retention: Seconds(60),
            capacity: 2,
            reg_event: false,
            aliases: Aliases::Tel,
        };
        Bench {
            registrar: Registrar::new(
                settings,
                reg_event(),
                ahash::RandomState::with_seeds(1, 2, 3, 4),
            ),
            random: Random::new([7; 32]),
            batch: Batch::default(),
            ledger: Ledger::new(Triggers::OFF, 1),
        }
    }

    fn at<R>(&mut self, second: u64, act: impl FnOnce(&mut Registrar, &mut Turn<'_>) -> R) -> R {
        let mut turn = Turn {
            now: Timestamp(second * 1000),
            random: &mut self.random,
            batch: &mut self.batch,
            ledger: &mut self.ledger,
            quota: &mut Quota::default(),
            outgoing: Vec::new(),
        };
        act(&mut self.registrar, &mut turn)
    }

    fn register(
        &mut self,
        second: u64,
        identity: &str,
        expires: Option<u32>,
    ) -> Result<(u32, bool), Reject> {
        let request = ThirdParty {
            identity: aor(identity),
            expires: expires.map(Seconds),
            scscf: None,
            associated: vec![aor(TEL), aor(BOB), aor("sip:bob.work@ims.test")],
            service_info: None,
            access_network: None,
            charging: Charging::default(),
        };
        let outcome = self.at(second, |registrar, turn| registrar.register(turn, &request));
        outcome.map(|taken| (taken.lifetime.0, taken.changed))
    }

    fn state(&self) -> Option<(bool, u64)> {
        let state = self.registrar.state_of(&aor(BOB));
        state.map(|(active, since)| (active, since.0 / 1000))
    }
}

#[test]
fn a_lifetime_is_granted_as_asked_up_to_the_longest_believed() {
    for (case, asked, granted) in [
        ("none takes the default", None, 600),
        ("as asked", Some(30), 30),
        ("the longest itself", Some(1000), 1000),
        ("more is cut", Some(u32::MAX), 1000),
        ("zero ends it", Some(0), 0),
    ] {
        let outcome = Bench::new().register(5, BOB, asked);
        assert_eq!(outcome, Ok((granted, granted > 0)), "{case}");
    }
}

#[test]
fn a_registration_is_news_when_it_begins_and_when_it_ends() {
    let mut bench = Bench::new();
    assert_eq!(bench.register(10, BOB, Some(100)), Ok((100, true)));
    assert_eq!(
        bench.register(50, BOB, Some(100)),
        Ok((100, false)),
        "a refresh is none"
    );
    assert_eq!(bench.state(), Some((true, 10)));
    assert_eq!(bench.register(60, BOB, Some(0)), Ok((0, true)));
    assert_eq!(bench.state(), Some((false, 60)));
    assert_eq!(
        bench.register(61, BOB, Some(0)),
        Ok((0, false)),
        "it is over already"
    );
    assert_eq!(bench.register(70, BOB, Some(100)), Ok((100, true)));
    assert_eq!(bench.state(), Some((true, 70)));
}

#[test]
fn one_that_runs_out_is_remembered_for_a_while_and_then_forgotten() {
    for (case, looks, states) in [
        (
            "looked at in time",
            vec![110, 170],
            vec![Some((false, 110)), None],
        ),
        (
            "a second before",
            vec![109, 169],
            vec![Some((true, 10)), Some((false, 110))],
        ),
        (
            "after a standstill it ended when it ran out",
            vec![165, 170],
            vec![Some((false, 110)), None],
        ),
    ] {
        let mut bench = Bench::new();
        bench.register(10, BOB, Some(100)).unwrap();
        for (second, state) in looks.into_iter().zip(states) {
            while bench
                .registrar
                .next_deadline()
                .is_some_and(|at| at.0 <= second * 1000)
            {
                bench.at(second, Registrar::on_deadline);
            }
            assert_eq!(bench.state(), state, "{case}, at {second}");
        }
    }
}

#[test]
fn a_thousand_refreshes_leave_one_look() {
    let mut bench = Bench::new();
    for second in 0..1_000 {
        bench.register(second, BOB, Some(1000)).unwrap();
    }
    assert_eq!(bench.registrar.looks.len(), 1);
    while let Some(at) = bench.registrar.next_deadline() {
        bench.at(at.0 / 1000, Registrar::on_deadline);
    }
    assert!(bench.registrar.is_empty() && bench.registrar.scheduled.is_empty());
}

#[test]
fn a_tel_identity_names_the_default_identity_of_its_set() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.registrar.canonical(&aor(TEL)),
        aor(TEL),
        "before anybody said so"
    );
    bench.register(10, BOB, Some(100)).unwrap();
    assert_eq!(bench.registrar.canonical(&aor(TEL)), aor(BOB));
    assert_eq!(bench.registrar.identities(&aor(BOB)), [aor(BOB), aor(TEL)]);
    bench.register(20, TEL, Some(10)).unwrap();
    bench.register(25, TEL, Some(0)).unwrap();
    assert_eq!(
        bench.state(),
        Some((true, 10)),
        "the SIP identity still is registered"
    );
}

#[test]
fn beyond_the_capacity_a_new_identity_is_refused_and_a_known_one_is_not() {
    let mut bench = Bench::new();
    bench.register(1, BOB, None).unwrap();
    bench.register(1, "sip:carol@ims.test", None).unwrap();
    let refused = bench.register(1, "sip:dave@ims.test", None);
    assert!(matches!(refused, Err(Reject::Busy { .. })));
    assert_eq!(bench.register(2, BOB, None), Ok((600, false)));
    assert_eq!(
        bench.register(2, "sip:dave@ims.test", Some(0)),
        Ok((0, false))
    );
}
