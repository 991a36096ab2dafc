//! CHG-03 at the node: a request waits for credit, is served or refused as the answer has it, and is asked for once.

mod allowed;
mod notifies;
mod payers;
mod sessions;

use super::documents::{list as document, wanted};
use super::*;
use crate::charge::credit::{Answer, Online, Parting, Request, Settled, Verdict};
use crate::charge::{Chargeable, Event};
use crate::reject::phrase;

fn online() -> Online {
    Online {
        publish: true,
        subscribe: true,
        lasting: false,
        register: true,
        notify: false,
        parting: Parting::Deactivated,
        payment_required: true,
        waiting: 2,
        patience: Millis(5_000),
    }
}

fn bench(online: Online) -> Bench {
    Bench::new(Settings {
        online,
        ..settings()
    })
}

impl Bench {
    /// What asks for credit since the last input.
    fn asked(&self) -> Vec<Request> {
        let effects = self.out.free.iter().chain(&self.out.held);
        let credit = |effect: &Effect| match effect {
            Effect::Credit(request) => Some((**request).clone()),
            _ => None,
        };
        effects.filter_map(credit).collect()
    }

    /// What was said about credit since the last call, in a few words, with numbers in the order of their coming.
    fn credit_talk(&mut self, names: &mut Vec<u64>) -> Vec<String> {
        let mut name = |number: u64| {
            let known = names.iter().position(|n| *n == number);
            known.unwrap_or_else(|| {
                names.push(number);
                names.len() - 1
            })
        };
        let said = |effect: Effect| match effect {
            Effect::Credit(request) => {
                let lasting = if request.lasting { " lasting" } else { "" };
                let method = request.event.method.as_str();
                format!("{} asks{lasting} {method}", name(request.number))
            }
            Effect::CreditWanted { number } => format!("{} wants", name(number)),
            Effect::CreditUsed { number, units } => format!("{} used {units}", name(number)),
            Effect::CreditEnded { number, delivered } => match delivered {
                true => format!("{} ended", name(number)),
                false => format!("{} back", name(number)),
            },
            other => format!("{other:?}"),
        };
        std::mem::take(&mut self.credit)
            .into_iter()
            .map(said)
            .collect()
    }

    /// Charges whose service ended, and whether it was given.
    fn ended(&self) -> Vec<(u64, bool)> {
        let effects = self.out.free.iter().chain(&self.out.held);
        let ended = |effect: &Effect| match effect {
            Effect::CreditEnded { number, delivered } => Some((*number, *delivered)),
            _ => None,
        };
        effects.filter_map(ended).collect()
    }

    fn credit(&mut self, number: u64, verdict: Verdict, settled: Settled) -> Vec<Sent> {
        let answer = Answer { verdict, settled };
        self.feed(Input::Credit { number, answer })
    }

    fn owed(&self, number: u64) -> Option<&Vec<u8>> {
        self.store
            .get(&(Table::Credit, number.to_be_bytes().into()))
    }
}

/// Subscribes: the 200 and the first NOTIFY.
type Subscribe = fn(&mut Bench) -> Vec<Sent>;

/// One for each package.
fn packages() -> [(&'static str, Subscribe); 4] {
    [
        ("presence", |bench| bench.subscribe("")),
        ("presence.winfo", |bench| {
            bench.asks(BOB, "presence.winfo", "")
        }),
        ("xcap-diff", |bench| {
            bench.edit(
                BOB,
                "resource-lists/users/sip:bob@ims.test/index",
                &document(&["x"]),
            );
            let uri = "resource-lists/users/sip:bob@ims.test/index";
            bench.ask_for(BOB, "xcap-diff", "", &wanted(&[uri]))
        }),
        ("a list", |bench| {
            let friends = "sip:alice-friends@ims.test";
            bench.write_services(&[(friends, &["bob"])]);
            let more = "Accept: application/rlmi+xml, multipart/related, application/pidf+xml\r\n\
                        Supported: eventlist\r\n";
            bench.ask_list(ALICE, friends, more, "")
        }),
    ]
}

/// A PUBLISH of bob's, as text.
fn publish(bench: &mut Bench, more: &str) -> String {
    let head = format!(
        "Event: presence\r\nP-Asserted-Identity: <{BOB}>\r\nContent-Type: application/pidf+xml\r\n{more}"
    );
    bench.write("PUBLISH", BOB, &head, &pidf("here"))
}

#[test]
fn a_request_waits_and_is_asked_for_once_however_often_it_comes() {
    let mut bench = bench(online());
    let more = "P-Charging-Vector: icid-value=i1\r\nP-Charging-Function-Addresses: ccf=cdf1;ecf=ocs1;ecf=ocs2\r\n";
    let text = publish(&mut bench, more);
    assert!(bench.text(&text).is_empty(), "no answer yet");
    let asked = bench.asked().remove(0);
    let Event {
        method,
        number,
        icid,
        calling,
        ..
    } = asked.event;
    assert_eq!((method, number), (Chargeable::Publish, asked.number));
    assert_eq!((icid.as_deref(), calling[0].as_str()), (Some("i1"), BOB));
    assert_eq!(asked.ecf, ["ocs1", "ocs2"]);
    assert!(
        bench.text(&text).is_empty() && bench.asked().is_empty(),
        "a retransmission"
    );
    let answer = bench.credit(asked.number, Verdict::Granted, Settled::Unchanged);
    assert_eq!(answer[0].status(), 200);
    assert_eq!(bench.ended(), [(asked.number, true)]);
    assert_eq!(bench.text(&text)[0].status(), 200, "from memory");
    assert!(bench.asked().is_empty());
}

#[test]
fn what_is_not_granted_is_refused_as_the_operator_has_it() {
    for (verdict, payment_required, status, phrase) in [
        (Verdict::NoCredit, true, 402, "Payment Required"),
        (Verdict::NoCredit, false, 403, phrase::NO_CREDIT),
        (Verdict::Refused, true, 403, phrase::NOT_CHARGEABLE),
        (Verdict::Unavailable, true, 503, "Service Unavailable"),
    ] {
        let mut bench = bench(Online {
            payment_required,
            ..online()
        });
        let text = publish(&mut bench, "");
        bench.text(&text);
        let number = bench.asked()[0].number;
        let answer = bench.credit(number, verdict, Settled::Unchanged).remove(0);
        assert_eq!(answer.status(), status);
        assert!(
            answer
                .text
                .starts_with(&format!("SIP/2.0 {status} {phrase}\r\n"))
        );
        assert!(bench.ended().is_empty(), "nothing to give back");
        assert_eq!(bench.node.census().presence.publications, 0);
    }
}

#[test]
fn a_request_that_is_refused_afterwards_is_given_back() {
    let mut bench = bench(online());
    let text = publish(&mut bench, "SIP-If-Match: gone\r\n");
    bench.text(&text);
    let number = bench.asked()[0].number;
    let answer = bench.credit(number, Verdict::Granted, Settled::Nothing);
    assert_eq!(answer[0].status(), 412);
    assert_eq!(bench.ended(), [(number, false)]);
}

#[test]
fn what_is_owed_changes_in_the_batch_that_makes_the_service_true() {
    for (settled, left) in [
        (Settled::Unchanged, Some(vec![1])),
        (Settled::Nothing, None),
        (Settled::Owed(vec![2]), Some(vec![2])),
    ] {
        for (more, delivered) in [("", true), ("SIP-If-Match: gone\r\n", false)] {
            let mut bench = bench(online());
            let text = publish(&mut bench, more);
            bench.text(&text);
            let number = bench.asked()[0].number;
            let key = (Table::Credit, number.to_be_bytes().into());
            bench.store.insert(key, vec![1]);
            bench.credit(number, Verdict::Granted, settled.clone());
            let left = if delivered {
                left.clone()
            } else {
                Some(vec![1])
            };
            assert_eq!(bench.owed(number), left.as_ref(), "{settled:?} {delivered}");
            let released = |effect: &Effect| matches!(effect, Effect::CreditEnded { .. });
            assert!(bench.out.held.iter().any(released), "behind the batch");
        }
    }
}

#[test]
fn only_what_the_operator_names_and_what_begins_or_goes_on_asks() {
    let mut bench = bench(Online {
        register: false,
        ..online()
    });
    for (case, method, more, peer, asks) in [
        ("a subscription", "SUBSCRIBE", "", "10.0.0.2:5060", true),
        (
            "its end",
            "SUBSCRIBE",
            "To: <sip:bob@ims.test>;tag=0123456789abcdef\r\nExpires: 0\r\n",
            "10.0.0.2:5060",
            false,
        ),
        (
            "a fetch, which is a service",
            "SUBSCRIBE",
            "Expires: 0\r\n",
            "10.0.0.2:5060",
            true,
        ),
        ("another method", "REGISTER", "", "10.0.0.2:5060", false),
        ("nothing to charge", "OPTIONS", "", "10.0.0.2:5060", false),
        ("a stranger", "SUBSCRIBE", "", "192.0.2.1:5060", false),
    ] {
        bench.peer = peer.parse().unwrap();
        let head = format!(
            "Event: presence\r\nP-Asserted-Identity: <{ALICE}>\r\nContact: <sip:10.0.0.2:5060>\r\n{more}"
        );
        let answers = bench.ask(method, BOB, &head, "");
        assert_eq!(bench.asked().len(), usize::from(asks), "{case}");
        assert_eq!(answers.is_empty(), asks, "{case}");
    }
}

#[test]
fn a_subscription_that_is_granted_is_answered_and_told() {
    let mut bench = bench(online());
    assert!(bench.subscribe("").is_empty());
    let number = bench.asked()[0].number;
    let sent = bench.credit(number, Verdict::Granted, Settled::Unchanged);
    assert_eq!((sent[0].status(), sent[1].method()), (200, "NOTIFY"));
    let refresh = bench.renew(&sent[0], "");
    assert!(refresh.is_empty());
    let next = bench.asked()[0].number;
    assert!(next > number, "a charge of its own");
    let refused = bench.credit(next, Verdict::NoCredit, Settled::Unchanged);
    assert_eq!(refused[0].status(), 402);
}

#[test]
fn waiting_is_bounded_in_time_and_number() {
    let mut bench = bench(online());
    let texts: Vec<String> = (0..3).map(|_| publish(&mut bench, "")).collect();
    assert!(bench.text(&texts[0]).is_empty());
    let first = bench.asked()[0].number;
    assert!(bench.text(&texts[1]).is_empty());
    assert_eq!(bench.text(&texts[2])[0].status(), 503, "one too many");
    let answers = bench.wait(5_000);
    assert_eq!(
        answers.iter().map(Sent::status).collect::<Vec<_>>(),
        [503, 503]
    );
    bench.credit(first, Verdict::Granted, Settled::Nothing);
    assert_eq!(
        bench.ended(),
        [(first, false)],
        "a late grant is given back"
    );
}

#[test]
fn numbers_rise_over_a_restart() {
    let mut bench = bench(online());
    let text = publish(&mut bench, "");
    bench.text(&text);
    let number = bench.asked()[0].number;
    let key = (Table::Credit, (number + 7).to_be_bytes().into());
    bench.store.insert(key, vec![1]);
    bench.restart(0);
    let text = publish(&mut bench, "");
    bench.text(&text);
    assert!(bench.asked()[0].number > number + 7);
}

#[test]
fn a_clock_that_was_set_back_gives_no_number_again_though_nothing_is_owed() {
    let mut bench = bench(online());
    let ask = |bench: &mut Bench| {
        let text = publish(bench, "");
        bench.text(&text);
        let number = bench.asked()[0].number;
        bench.credit(number, Verdict::Granted, Settled::Nothing);
        number
    };
    let (mut before, start) = (Vec::new(), bench.now);
    for _ in 0..40 {
        before.push(ask(&mut bench));
        bench.now += 1_000;
    }
    let hours = 3_600_000;
    for away in [hours, 5_000] {
        bench.now = start - away;
        bench.restart(away);
        for _ in 0..40 {
            let number = ask(&mut bench);
            assert!(before.iter().all(|other| *other < number));
            before.push(number);
            bench.now += 1_000;
        }
    }
    // and where it was not, numbers begin with the time
    bench.restart(hours);
    assert_eq!(ask(&mut bench), charge::first_of(Timestamp(bench.now)));
}

#[test]
fn what_would_be_refused_for_want_of_room_is_not_asked_for_first() {
    type Happens = fn(&mut Bench);
    let cases: [(&str, Happens); 2] = [
        ("draining", |b| b.node.drain(Timestamp(b.now))),
        ("out of space", |b| b.node.refuse_new_state(true)),
    ];
    for (case, happens) in cases {
        let mut bench = bench(online());
        happens(&mut bench);
        let text = publish(&mut bench, "");
        let refused = bench.text(&text).remove(0);
        assert_eq!(
            (refused.status(), refused.get("Retry-After")),
            (503, "30"),
            "{case}"
        );
        let refused = bench.subscribe("").remove(0);
        assert_eq!(refused.status(), 503, "{case}");
        assert!(bench.asked().is_empty());
        // what goes on, and a fetch, which leaves nothing behind
        let text = publish(&mut bench, "SIP-If-Match: e\r\n");
        assert!(bench.text(&text).is_empty(), "{case}");
        assert_eq!(bench.asked().len(), 1, "{case}");
        assert!(bench.subscribe("Expires: 0\r\n").is_empty(), "{case}");
        assert_eq!(bench.asked().len(), 1, "{case}");
    }
}

#[test]
fn a_node_that_leaves_is_not_quiet_while_somebody_waits_for_credit() {
    let mut bench = bench(online());
    let text = publish(&mut bench, "");
    bench.text(&text);
    bench.node.drain(Timestamp(bench.now));
    assert!(!bench.node.is_quiet());
    let number = bench.asked()[0].number;
    bench.credit(number, Verdict::NoCredit, Settled::Unchanged);
    assert!(bench.node.is_quiet());
}
