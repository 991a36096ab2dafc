//! More requests than the server takes at once (ROB-03): it serves as many as it can, says to the others when to come
//! again, and keeps nothing of them.
//!
//! What a server can do in a second depends on the machine, so its capacity is set here: as many transactions as
//! `max_transactions` says begin in each T4, since that is how long an answered one keeps its place when it is needed.

use crate::harness::{Message, Request, SOON, Server, Ua, pidf};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Transactions that begin in each [`T4`].
const CAPACITY: usize = 100;
const T4: Duration = Duration::from_secs(3);
/// As in RFC 3261 §17.1.1.1; a request without an answer is sent again.
const T1: Duration = Duration::from_millis(500);

fn user(number: usize) -> String {
    format!("sip:u{number}@ims.test")
}

/// How a number of requests were answered.
#[derive(Debug, Default)]
struct Answers {
    /// Texts of requests with the entity-tags that answered them.
    served: Vec<(String, String)>,
    turned_away: usize,
}

/// Sends a first publication for each of `users`, and takes every answer.
fn publish(ua: &mut Ua, users: impl Iterator<Item = usize>) -> Answers {
    let mut open = BTreeMap::new();
    for number in users {
        let (user, note) = (user(number), "overload");
        let text = ua.write(&Request::publish(&user, &pidf(&user, "open", note)));
        let sent = Message::parse(text.as_bytes()).unwrap();
        ua.send(text.as_bytes());
        open.insert(sent.branch().to_owned(), text);
    }
    let end = Instant::now() + SOON;
    let mut answers = Answers::default();
    while !open.is_empty() {
        assert!(Instant::now() < end, "{} are never answered", open.len());
        let Some(answer) = ua.any_response(T1) else {
            open.values().for_each(|text| ua.send(text.as_bytes()));
            continue;
        };
        let Some(text) = open.remove(answer.branch()) else {
            continue; // of a request that had to be sent again
        };
        match answer.status() {
            Some(200) => answers
                .served
                .push((text, answer.get("sip-etag").to_owned())),
            Some(503) => {
                let after = answer.get("retry-after").parse::<u32>();
                assert!(after.is_ok_and(|s| s > 0), "no Retry-After: {answer:?}");
                answers.turned_away += 1;
            }
            other => panic!("{other:?} to\n{text}"),
        }
    }
    answers
}

#[test]
fn at_twice_its_capacity_a_server_serves_as_many_and_tells_the_others_when_to_come_again() {
    let mut server = Server::start(&format!(
        "[sip]\nmax_transactions = {CAPACITY}\nt4_ms = {}",
        T4.as_millis()
    ));
    let mut ua = Ua::new(server.sip);
    let (mut served, mut turned_away) = (0, 0);
    const WAVES: usize = 3;
    for wave in 0..WAVES {
        let began = Instant::now();
        let first = wave * 2 * CAPACITY;
        let answers = publish(&mut ua, first..first + 2 * CAPACITY);
        assert!(
            answers.served.len() >= CAPACITY && answers.turned_away > 0,
            "wave {wave}: {} served, {} turned away",
            answers.served.len(),
            answers.turned_away
        );
        served += answers.served.len();
        turned_away += answers.turned_away;

        // a copy of one that was served is answered from memory while there is no room for anything new
        let (text, tag) = answers.served.last().unwrap();
        let again = ua.ask_text(text).unwrap();
        if began.elapsed() < T4 {
            assert_eq!((again.status(), again.get("sip-etag")), (Some(200), &**tag));
        }
        // places become free when T4 has passed, whatever is asked meanwhile
        while wave + 1 < WAVES && began.elapsed() < T4 + T1 {
            ua.pump(Duration::from_millis(50));
        }
    }
    let metric = |name: &str| {
        let value = server.metric(name);
        usize::try_from(value.unwrap_or_else(|| panic!("no {name}"))).unwrap()
    };
    let held = |kind: &str| metric(&format!("presentia_held{{kind=\"{kind}\"}}"));
    let counted = |kind: &str| {
        let name = format!("presentia_rejected_inputs_total{{reason=\"{kind}\"}}");
        metric(&name)
    };
    // the census is taken once a second
    let settled = crate::harness::eventually(SOON, || {
        (held("publications") >= served).then_some(held("server_transactions"))
    });
    assert!(
        settled.is_some_and(|transactions| transactions <= CAPACITY),
        "{served} served, {} publications, {settled:?} transactions",
        held("publications")
    );
    // copies of requests that were turned away count too
    assert!(counted("overload") >= turned_away);
    server.healthy();
    server.stop();
}

#[test]
fn what_is_turned_away_takes_no_memory() {
    const FLOOD: usize = 5_000;
    /// Allowed growth, in KiB: a fifth of what the requests are long, were they kept.
    const GROWTH: u64 = 1024;
    // nothing that was answered gives its place away within the test
    let server = Server::start(&format!(
        "[sip]\nmax_transactions = {CAPACITY}\nt4_ms = 60000"
    ));
    let mut ua = Ua::new(server.sip);
    let flood = |ua: &mut Ua, from: usize, count: usize| {
        let mut all = Answers::default();
        for at in (from..from + count).step_by(CAPACITY) {
            let answers = publish(ua, at..at + CAPACITY);
            all.served.extend(answers.served);
            all.turned_away += answers.turned_away;
        }
        all
    };
    let first = flood(&mut ua, 0, 1_000); // buffers and tables reach their size
    assert_eq!((first.served.len(), first.turned_away), (CAPACITY, 900));
    let before = server.resident_kib();
    let second = flood(&mut ua, 1_000, FLOOD);
    assert_eq!((second.served.len(), second.turned_away), (0, FLOOD));
    let after = server.resident_kib();
    assert!(
        after <= before + GROWTH,
        "{before} KiB before, {after} after {FLOOD} requests of some 700 bytes"
    );
    server.stop();
}
