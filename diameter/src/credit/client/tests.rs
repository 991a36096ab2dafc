//! What the owner is told to do, and in which order.

use super::super::Denial;
use super::*;
use crate::dictionary::*;
use crate::route::Through;
use crate::write::Writer;

const NOW: Instant = Instant(1_000_000);
const PEER: PeerId = PeerId(3);
const CONNECTION: ConnectionId = ConnectionId {
    peer: PEER,
    generation: 1,
};

fn client() -> Client {
    Client::new(Policy::default(), UnitsIn::Command, 2)
}

fn orders(client: &mut Client) -> Vec<Order> {
    std::iter::from_fn(|| client.poll_order()).collect()
}

/// A CCA of ocs9.test to the last question.
fn answer(session: &str, kind: i32, number: u32, result: u32) -> Outcome {
    let request = Writer::request(CMD_CREDIT_CONTROL, APP_CREDIT_CONTROL);
    let header = Message::parse(&request.finish(100).unwrap())
        .unwrap()
        .header;
    let mut w = Writer::answer(&header, ResultCode(result));
    w.utf8(&SESSION_ID, session)
        .u32(&RESULT_CODE, result)
        .utf8(&ORIGIN_HOST, "ocs9.test")
        .i32(&CC_REQUEST_TYPE, kind)
        .u32(&CC_REQUEST_NUMBER, number);
    Outcome::Answer(w.finish(1_000).unwrap())
}

/// A client with a session that was granted, under this key.
fn lasting(key: u64) -> Client {
    let mut client = client();
    client.begin(NOW, key, "a".into(), Charge::Lasting).unwrap();
    client.outcome(NOW, key, Some(PEER), &answer("a", 1, 0, 2001));
    client
}

fn keep(owed: Owed, server: Option<&str>) -> Order {
    let server = server.map(str::to_owned);
    Order::Keep {
        key: 1,
        kept: Kept {
            owed,
            server,
            renewals: 0,
            terms: Default::default(),
        },
    }
}

#[test]
fn what_must_be_stored_goes_before_what_depends_on_it() {
    let mut client = client();
    client.begin(NOW, 1, "a".into(), Charge::Debit).unwrap();
    let begun = orders(&mut client);
    assert_eq!(begun[0], keep(Owed::Undo, None));
    assert!(matches!(&begun[1], Order::Ask { key: 1, session_id, .. } if session_id == "a"));
    client.outcome(NOW, 1, Some(PEER), &answer("a", 4, 0, 2001));
    let decision = Decision::Granted;
    let granted = Order::Decided { key: 1, decision };
    assert_eq!(
        orders(&mut client),
        [keep(Owed::Refund, Some("ocs9.test")), granted]
    );
    client.ended(NOW, 1, 1);
    assert_eq!(orders(&mut client), [Order::Forget { key: 1 }]);
    assert!(client.is_empty() && client.deadline().is_none());
}

#[test]
fn a_session_stays_with_the_server_that_granted_it() {
    let mut client = client();
    client.begin(NOW, 1, "a".into(), Charge::Reserve).unwrap();
    client.outcome(NOW, 1, Some(PEER), &answer("a", 1, 0, 2001));
    orders(&mut client);
    client.ended(NOW, 1, 1);
    let asked = orders(&mut client);
    let Some(Order::Ask {
        through,
        avoid,
        bound,
        ..
    }) = asked.last()
    else {
        panic!("{asked:?}");
    };
    let server = Some("ocs9.test".to_owned());
    let way = Some(Through {
        peer: PEER,
        server: server.clone(),
    });
    assert_eq!((through, *avoid, bound), (&way, None, &server));
}

#[test]
fn an_answer_to_something_else_is_none() {
    for (case, outcome, asks_again) in [
        ("its own", answer("a", 4, 0, 2001), false),
        ("another session", answer("b", 4, 0, 2001), true),
        ("another type", answer("a", 1, 0, 2001), true),
        ("another number", answer("a", 4, 1, 2001), true),
        ("no message", Outcome::Answer(vec![1, 0, 0, 20]), true),
        ("unreadable", Outcome::Unreadable, true),
    ] {
        let mut client = client();
        client.begin(NOW, 1, "a".into(), Charge::Debit).unwrap();
        orders(&mut client);
        client.outcome(NOW, 1, Some(PEER), &outcome);
        let asked = orders(&mut client)
            .into_iter()
            .find_map(|order| match order {
                Order::Ask {
                    question, avoid, ..
                } => Some((question.retransmitted, avoid)),
                _ => None,
            });
        assert_eq!(asked, asks_again.then_some((true, Some(PEER))), "{case}");
    }
}

#[test]
fn a_request_that_is_too_long_is_not_sent_and_not_stored() {
    let mut client = client();
    client.begin(NOW, 1, "a".into(), Charge::Debit).unwrap();
    orders(&mut client);
    client.outcome(NOW, 1, None, &Outcome::TooLong);
    let decision = Decision::Denied(Denial::Unavailable);
    let denied = Order::Decided { key: 1, decision };
    assert_eq!(orders(&mut client), [Order::Forget { key: 1 }, denied]);
}

#[test]
fn charges_are_bounded_and_what_is_owed_is_not() {
    let mut client = client();
    for key in [1, 2] {
        client
            .begin(NOW, key, key.to_string(), Charge::Debit)
            .unwrap();
    }
    let third = client.begin(NOW, 3, "3".into(), Charge::Debit);
    assert_eq!(third, Err(Full(2)));
    let kept = Kept {
        terms: Terms::default(),
        renewals: 0,
        owed: Owed::Refund,
        server: None,
    };
    client.resume(NOW, 4, "4".into(), kept, false);
    assert_eq!((client.len(), client.deadline()), (3, Some(NOW)));
    orders(&mut client);
    client.tick(NOW);
    assert!(matches!(
        orders(&mut client)[..],
        [Order::Ask { key: 4, .. }]
    ));
    let kept = Kept {
        terms: Terms::default(),
        renewals: 0,
        owed: Owed::Nothing,
        server: None,
    };
    client.resume(NOW, 5, "5".into(), kept, false);
    assert_eq!(orders(&mut client), [Order::Forget { key: 5 }]);
}

#[test]
fn timers_run_for_each_charge() {
    let mut client = client();
    client
        .begin(NOW, 1, "a".into(), Charge::CheckBalance)
        .unwrap();
    let later = NOW.after(500);
    client.begin(later, 2, "b".into(), Charge::Debit).unwrap();
    orders(&mut client);
    assert_eq!(client.deadline(), Some(NOW.after(3_000)));
    client.tick(NOW.after(3_499));
    let decision = Decision::Denied(Denial::Unavailable);
    assert_eq!(orders(&mut client), [Order::Decided { key: 1, decision }]);
    client.tick(NOW.after(3_500));
    let decision = Decision::Granted;
    assert_eq!(orders(&mut client), [Order::Decided { key: 2, decision }]);
    assert_eq!(client.deadline(), None);
}

#[test]
fn a_server_finds_its_session_and_no_other() {
    let about = |command: u32, session: &str| {
        let mut w = Writer::request(command, APP_CREDIT_CONTROL);
        w.utf8(&SESSION_ID, session);
        w.finish(100).unwrap()
    };
    for (case, command, session, result, follows) in [
        ("RAR", CMD_RE_AUTH, "a", 2002, "Ask"),
        ("RAR for nobody", CMD_RE_AUTH, "b", 5002, ""),
        ("ASR", CMD_ABORT_SESSION, "a", 2001, "Withdrawn"),
        ("ASR for nobody", CMD_ABORT_SESSION, "", 5002, ""),
    ] {
        let mut client = lasting(1);
        client.used(NOW, 1, 0);
        orders(&mut client);
        let request = about(command, session);
        client.asked(NOW, CONNECTION, &request);
        let orders: Vec<Order> = orders(&mut client)
            .into_iter()
            .filter(|order| !matches!(order, Order::Keep { .. }))
            .collect();
        let reply = Order::Reply {
            connection: CONNECTION,
            request,
            result: ResultCode(result),
        };
        assert_eq!(orders[0], reply, "{case}");
        let next = orders.get(1).map_or(String::new(), |o| format!("{o:?}"));
        assert!(
            next.starts_with(follows) && next.is_empty() == follows.is_empty(),
            "{case}: {next}"
        );
    }
}

#[test]
fn what_comes_while_the_service_is_being_given_waits_for_its_fate() {
    let mut w = Writer::request(CMD_ABORT_SESSION, APP_CREDIT_CONTROL);
    w.utf8(&SESSION_ID, "a");
    let abort = w.finish(100).unwrap();
    for (case, fate, expected) in [
        (
            "it was given",
            Some(0),
            &["Keep", "Reply", "Withdrawn", "Ask"][..],
        ),
        ("it failed", None, &["Keep", "Ask", "Reply"]),
    ] {
        let mut client = lasting(1);
        orders(&mut client);
        client.asked(NOW, CONNECTION, &abort);
        client.tick(NOW.after(600_000));
        assert_eq!(orders(&mut client), [], "{case}: another writes the store");
        match fate {
            Some(units) => client.used(NOW, 1, units),
            None => client.ended(NOW, 1, 0),
        }
        let words: Vec<String> = orders(&mut client)
            .iter()
            .map(|order| format!("{order:?}"))
            .collect();
        let mut rest = words.iter();
        for word in expected {
            assert!(
                rest.any(|w| w.starts_with(word)),
                "{case}: {word} in {words:?}"
            );
        }
    }
    // a server that asks without end is told so
    let mut client = lasting(1);
    orders(&mut client);
    for _ in 0..=HELD_MAX {
        client.asked(NOW, CONNECTION, &abort);
    }
    let busy = Order::Reply {
        connection: CONNECTION,
        request: abort,
        result: ResultCode::TOO_BUSY,
    };
    assert_eq!(orders(&mut client), [busy]);
}

#[test]
fn the_store_is_behind_what_was_used_by_no_more_than_was_agreed() {
    let mut client = lasting(1);
    client.used(NOW, 1, 0);
    orders(&mut client);
    client.used(NOW, 1, 1);
    client.used(NOW.after(900), 1, 2);
    assert_eq!(orders(&mut client), []);
    assert_eq!(client.deadline(), Some(NOW.after(1_000)));
    client.tick(NOW.after(1_000));
    let stored = orders(&mut client);
    let [Order::Keep { kept, .. }] = &stored[..] else {
        panic!("{stored:?}");
    };
    assert!(
        matches!(
            kept.owed,
            Owed::Open {
                number: 1,
                used: 3,
                ..
            }
        ),
        "{kept:?}"
    );
    assert_eq!(client.deadline(), None);
}

/// Whatever the OCS grants, a service that uses no more than it was told has used at most so many units of which the
/// store does not know: so many a process that is killed gives away.
#[test]
fn no_more_is_used_beyond_what_the_store_has_than_was_agreed() {
    for lag in [1, 2, 3, 10, 64] {
        let policy = Policy {
            lag_units: lag,
            lag: 3_600_000,
            units: 1_000,
            ..Policy::default()
        };
        let mut client = Client::new(policy, UnitsIn::Command, 2).with_sessions(2);
        client.begin(NOW, 1, "s".into(), Charge::Lasting).unwrap();
        orders(&mut client);
        client.outcome(NOW, 1, None, &Outcome::Answer(granted_1000()));
        let (mut used, mut most, mut stored) = (0, None, 0);
        let mut take = |client: &mut Client, used: u64| {
            for order in orders(client) {
                match order {
                    Order::Allowed { units, .. } => most = Some(units.expect("a bound")),
                    Order::Keep { kept, .. } => {
                        if let Owed::Open { used, .. } = kept.owed {
                            stored = used;
                        }
                    }
                    _ => {}
                }
            }
            assert!(used - stored <= lag, "{lag}: {used} used, {stored} stored");
            most.is_some_and(|most| used < most)
        };
        take(&mut client, used);
        client.used(NOW, 1, 0);
        for _ in 0..500 {
            assert!(take(&mut client, used), "{lag}: it goes on after {used}");
            used += 1;
            client.used(NOW, 1, 1);
        }
    }
}

/// A CCA that grants a thousand units.
fn granted_1000() -> Vec<u8> {
    let request = Writer::request(CMD_CREDIT_CONTROL, APP_CREDIT_CONTROL);
    let header = Message::parse(&request.finish(100).unwrap())
        .unwrap()
        .header;
    let mut w = Writer::answer(&header, ResultCode::SUCCESS);
    w.u32(&RESULT_CODE, 2001);
    w.group(&GRANTED_SERVICE_UNIT, |w| {
        _ = w.u64(&CC_SERVICE_SPECIFIC_UNITS, 1_000)
    });
    w.finish(1_000).unwrap()
}

#[test]
fn sessions_have_a_limit_of_their_own_and_are_taken_up_one_after_the_other() {
    let mut client = client().with_sessions(1);
    client.begin(NOW, 1, "1".into(), Charge::Lasting).unwrap();
    let full = client.begin(NOW, 2, "2".into(), Charge::Lasting);
    assert_eq!(full, Err(Full(1)));
    client.begin(NOW, 3, "3".into(), Charge::Debit).unwrap();
    let mut client = self::client().with_sessions(1);
    let open = Owed::Open {
        quota: None,
        number: 1,
        used: 0,
        report: None,
        failure: Policy::default().failure,
        failover: false,
    };
    for (key, lives, orders_then) in [
        (1, true, "Allowed"),
        (2, true, "Allowed"),
        (3, false, "Keep"),
    ] {
        let kept = Kept {
            terms: Terms::default(),
            renewals: 0,
            owed: open,
            server: None,
        };
        client.resume(NOW, key, key.to_string(), kept, lives);
        let told = orders(&mut client)
            .first()
            .map_or(String::new(), |o| format!("{o:?}"));
        assert!(told.starts_with(orders_then), "{told}");
    }
    for (at, key) in [(NOW, 1), (NOW, 3), (NOW.after(1), 2)] {
        client.tick(at);
        let asked: Vec<u64> = orders(&mut client)
            .iter()
            .filter_map(|order| match order {
                Order::Ask { key, .. } => Some(*key),
                _ => None,
            })
            .collect();
        assert!(asked.contains(&key) || key == 3, "{key} in {asked:?}");
    }
    assert_eq!(client.len(), 3, "what is owed is not bounded");
    // a service that lives and has no session is told to end
    let kept = Kept {
        terms: Terms::default(),
        renewals: 0,
        owed: Owed::Close {
            number: 1,
            used: 0,
            report: None,
        },
        server: None,
    };
    client.resume(NOW, 4, "4".into(), kept, true);
    assert!(matches!(
        orders(&mut client)[..],
        [Order::Withdrawn { key: 4, .. }]
    ));
}

/// The question that is asked last: its Session-Id, the sessions before it, its number, and who is bound to it.
fn last_question(client: &mut Client) -> (String, u32, u32, Option<String>) {
    let mut asked = orders(client).into_iter().filter_map(|order| match order {
        Order::Ask {
            session_id,
            renewals,
            question,
            bound,
            ..
        } => Some((session_id, renewals, question.number, bound)),
        _ => None,
    });
    asked.next_back().expect("a question")
}

#[test]
fn a_session_that_follows_another_has_a_session_id_of_its_own() {
    let mut client = lasting(1);
    client.used(NOW, 1, 0);
    let host = Some("ocs9.test".to_owned());
    for (renewed, before, after) in [(1, "a", "a;1"), (2, "a;1", "a;2")] {
        // a report is taken, and the next one finds nothing
        for (number, result) in [(1, 2001), (2, 5002)] {
            ask_again(&mut client, before);
            let asked = last_question(&mut client);
            assert_eq!(
                asked,
                (before.to_owned(), renewed - 1, number, host.clone())
            );
            client.outcome(NOW, 1, Some(PEER), &answer(before, 2, number, result));
        }
        let asked = last_question(&mut client);
        assert_eq!(asked, (after.to_owned(), renewed, 0, None));
        client.outcome(NOW, 1, Some(PEER), &answer(after, 1, 0, 2001));
        orders(&mut client);
        ask_again(&mut client, before);
        let said = orders(&mut client);
        let [Order::Reply { result, .. }] = &said[..] else {
            panic!("{before} is over: {said:?}");
        };
        assert_eq!(*result, ResultCode::UNKNOWN_SESSION_ID);
    }
    // the next process asks under the last one
    let kept = client.if_given(1, NOW).expect("it goes on").kept;
    assert_eq!(kept.renewals, 2);
    let mut next = self::client();
    next.resume(NOW, 1, "a".into(), kept, true);
    assert!(matches!(
        orders(&mut next)[..],
        [Order::Allowed {
            key: 1,
            units: None
        }]
    ));
    next.tick(NOW);
    assert_eq!(last_question(&mut next).0, "a;2");
}

/// RAR for this session.
fn ask_again(client: &mut Client, session: &str) {
    let mut w = Writer::request(CMD_RE_AUTH, APP_CREDIT_CONTROL);
    w.utf8(&SESSION_ID, session);
    client.asked(NOW, CONNECTION, &w.finish(1_000).unwrap());
}

#[test]
fn those_that_go_on_without_a_session_ask_again_at_times_of_their_own() {
    let policy = Policy {
        failure: crate::ro::FailureHandling::Continue,
        ..Policy::default()
    };
    let mut client = Client::new(policy, UnitsIn::Command, 10_000);
    let mut due = BTreeSet::new();
    for key in 1..=1_000 {
        let key = key << 20;
        client
            .begin(NOW, key, key.to_string(), Charge::Lasting)
            .unwrap();
        client.outcome(NOW, key, None, &Outcome::NoPeer);
        client.used(NOW, key, 0);
        due.insert(client.entries[&key].deadline.unwrap());
    }
    let (first, last) = (due.first().unwrap(), due.last().unwrap());
    assert!(*first >= NOW.after(45_000) && *last <= NOW.after(75_000));
    assert!(due.len() > 300, "{} times", due.len());
    orders(&mut client);
    let mut most = 0;
    for milli in 45_000..75_000 {
        client.tick(NOW.after(milli));
        most = most.max(orders(&mut client).len());
    }
    assert!(most < 40, "{most} at once");
    assert_eq!(
        client.policy_of(7 << 20).again,
        client.policy_of(7 << 20).again
    );
    // very many ask no more often than a thousand in a second
    client.lasting = 200_000;
    assert!(client.policy_of(7 << 20).again >= 150_000);
}
