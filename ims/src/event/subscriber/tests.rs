//! The subscriber against its notifier, step by step.

use super::*;
use crate::isc::Charging;
use crate::sip::{self, Destination, Framing, Incoming, Limits};

const N: Millis = Millis(32_000);
const HOUR: Seconds = Seconds(3600);
const ME: &str = "sip:as.ims.test";

struct Bench {
    subscriber: Subscriber,
    now: Timestamp,
    cseq: u32,
}

impl Bench {
    /// A subscription whose first SUBSCRIBE has left.
    fn asking() -> Bench {
        let now = Timestamp(1_000_000);
        let id = SubscriptionId(0x1230_0000_0000_0001);
        Bench {
            subscriber: Subscriber::start(now, id, HOUR, N),
            now,
            cseq: 0,
        }
    }

    /// One whose dialog is open.
    fn active() -> Bench {
        let mut bench = Bench::asking();
        assert_eq!(bench.answer(200), Next::Nothing);
        assert_eq!(bench.notify("active;expires=3600"), Ok(Next::Nothing));
        bench
    }

    fn answer(&mut self, status: u16) -> Next {
        self.answer_with(Answer {
            status,
            expires: Some(HOUR),
            ..Answer::default()
        })
    }

    fn answer_with(&mut self, answer: Answer) -> Next {
        let cseq = self.subscriber.cseq;
        self.subscriber.answered(self.now, cseq, &answer)
    }

    /// The next NOTIFY of the notifier.
    fn notify(&mut self, state: &str) -> Result<Next, Reject> {
        self.cseq += 1;
        let cseq = self.cseq;
        self.notify_as("n", cseq, state, "")
    }

    fn notify_as(&mut self, tag: &str, cseq: u32, state: &str, more: &str) -> Result<Next, Reject> {
        let id = self.subscriber.id;
        let call = format!("{id}-sub");
        let mut bytes = format!(
            "NOTIFY sip:p123@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK{cseq}{tag}\r\n\
             From: <sip:bob@ims.test>;tag={tag}\r\nTo: <{ME}>;tag={id}\r\nCall-ID: {call}\r\nCSeq: {cseq} NOTIFY\r\n\
             Contact: <sip:10.0.0.2:6060>\r\n{more}Content-Length: 0\r\n\r\n"
        )
        .into_bytes();
        let Incoming::Request(request) =
            sip::parse(&mut bytes, Framing::Datagram, &Limits::default())
        else {
            panic!("a NOTIFY")
        };
        if self.subscriber.order(&request)? == Order::Again {
            return Ok(Next::Nothing);
        }
        let state = SubscriptionState::parse(state).unwrap();
        self.subscriber.heard(self.now, &request, &state, ME)
    }

    fn wait(&mut self, seconds: u64) -> Next {
        self.now = self.now + Millis(seconds * 1000);
        self.subscriber.due(self.now)
    }

    /// What would be sent now: destination and text.
    fn sent(&self) -> (Destination, String) {
        let own = Own {
            address: "10.0.0.1:5060".into(),
            contact: "10.0.0.1:5060".into(),
            ioi: "ims.test".into(),
            udp_max: 1_300,
        };
        let charging = Charging {
            ccf: vec!["aaa://cdf".into()],
            ..Charging::default()
        };
        let terms = Terms {
            resource: "sip:bob@ims.test",
            hop: "sip:10.0.0.2:6060",
            identity: ME,
            behalf: None,
            package: "reg",
            accept: "application/reginfo+xml",
            charging: Some(&charging),
            body: None,
        };
        let outgoing = self.subscriber.request(&own, &terms).unwrap();
        let text = String::from_utf8(outgoing.bytes.to_vec()).unwrap();
        (outgoing.to, text)
    }
}

#[test]
fn the_notify_may_come_before_the_200_and_opens_the_dialog() {
    let mut bench = Bench::asking();
    assert_eq!(bench.notify("active;expires=600"), Ok(Next::Nothing));
    assert!(bench.subscriber.is_active());
    assert_eq!(bench.answer(200), Next::Nothing);
    assert!(bench.subscriber.is_active());
    let (_, text) = bench.sent();
    assert!(
        text.starts_with("SUBSCRIBE sip:10.0.0.2:6060 SIP/2.0\r\n"),
        "{text}"
    );
    assert!(text.contains("To: <sip:bob@ims.test>;tag=n\r\n"), "{text}");
}

#[test]
fn the_first_subscribe_says_who_asks_for_what_and_takes_the_route() {
    let (to, text) = Bench::asking().sent();
    for line in [
        "SUBSCRIBE sip:bob@ims.test SIP/2.0",
        "Route: <sip:10.0.0.2:6060;lr>",
        "From: <sip:as.ims.test>;tag=1230000000000001",
        "To: <sip:bob@ims.test>",
        "Call-ID: 1230000000000001-sub",
        "CSeq: 1 SUBSCRIBE",
        "Contact: <sip:p123@10.0.0.1:5060>",
        "Event: reg",
        "Accept: application/reginfo+xml",
        "Expires: 3600",
        "P-Asserted-Identity: <sip:as.ims.test>",
        "P-Charging-Vector: icid-value=\"1230000000000001@10.0.0.1:5060\";orig-ioi=ims.test",
        "P-Charging-Function-Addresses: ccf=\"aaa://cdf\"",
    ] {
        assert!(
            text.lines().any(|l| l == line),
            "{line} is missing in\n{text}"
        );
    }
    assert!(matches!(
        to,
        Destination::Host {
            port: Some(6060),
            ..
        }
    ));
}

#[test]
fn without_a_notify_within_timer_n_there_is_no_subscription() {
    let mut bench = Bench::asking();
    bench.answer(200);
    assert_eq!(bench.subscriber.next_deadline(), Some(bench.now + N));
    assert_eq!(bench.wait(31), Next::Nothing);
    assert_eq!(bench.wait(1), Next::Over(Ended::Later(None)));
    assert_eq!(bench.notify("active"), Err(Reject::NoDialog), "too late");
}

#[test]
fn each_answer_to_the_first_subscribe_has_its_consequence() {
    for (status, next) in [
        (200, Next::Nothing),
        (202, Next::Nothing),
        (302, Next::Over(Ended::Later(None))),
        (403, Next::Over(Ended::Refused(403))),
        (404, Next::Over(Ended::Later(None))),
        (408, Next::Over(Ended::Later(None))),
        (423, Next::Over(Ended::Refused(423))), // without Min-Expires
        (480, Next::Over(Ended::Later(None))),
        (481, Next::Over(Ended::Later(None))),
        (489, Next::Over(Ended::Refused(489))),
        (500, Next::Over(Ended::Later(None))),
        (503, Next::Over(Ended::Later(None))),
        (603, Next::Over(Ended::Refused(603))),
    ] {
        assert_eq!(Bench::asking().answer(status), next, "{status}");
    }
    let busy = Answer {
        status: 503,
        retry_after: Some(Seconds(9)),
        ..Answer::default()
    };
    let next = Bench::asking().answer_with(busy);
    assert_eq!(next, Next::Over(Ended::Later(Some(Seconds(9)))));
}

#[test]
fn each_answer_to_a_refresh_has_its_consequence() {
    for (status, next) in [
        (200, Next::Nothing),
        (408, Next::Nothing), // nobody answered: it stands until it runs out
        (500, Next::Nothing),
        (503, Next::Nothing),
        (404, Next::Over(Ended::Later(None))),
        (405, Next::Over(Ended::Refused(405))),
        (480, Next::Over(Ended::Later(None))),
        (481, Next::Over(Ended::Again)),
        (489, Next::Over(Ended::Refused(489))),
    ] {
        let mut bench = Bench::active();
        assert_eq!(bench.wait(3_000), Next::Send);
        assert_eq!(bench.answer(status), next, "{status}");
    }
}

#[test]
fn a_notifier_that_wants_to_be_asked_for_longer_is_asked_so_a_few_times() {
    let mut bench = Bench::asking();
    let brief = |min| Answer {
        status: 423,
        min_expires: Some(Seconds(min)),
        ..Answer::default()
    };
    for min in [4_000, 5_000, 6_000] {
        assert_eq!(bench.answer_with(brief(min)), Next::Send);
        let (_, text) = bench.sent();
        assert!(text.contains(&format!("Expires: {min}\r\n")), "{text}");
    }
    assert_eq!(
        bench.answer_with(brief(7_000)),
        Next::Over(Ended::Refused(423))
    );
    let same = Bench::asking().answer_with(brief(3_600));
    assert_eq!(
        same,
        Next::Over(Ended::Refused(423)),
        "what was asked for is no minimum"
    );
}

#[test]
fn it_is_refreshed_before_its_end_and_over_when_nobody_answers_until_then() {
    let mut bench = Bench::active();
    let refresh = Timestamp(bench.now.0 + 3_000_000);
    assert_eq!(
        bench.subscriber.next_deadline(),
        Some(refresh),
        "600 s before the end"
    );
    assert_eq!(bench.wait(3_000), Next::Send);
    assert_eq!(bench.answer(408), Next::Nothing);
    assert_eq!(bench.wait(60), Next::Send, "once more after a minute");
    assert_eq!(bench.answer(200), Next::Nothing);
    assert_eq!(bench.subscriber.expires_at(), bench.now + HOUR);

    let mut short = Bench::active();
    short.notify("active;expires=100").unwrap();
    assert_eq!(short.wait(50), Next::Send, "half-way");
    assert_eq!(short.answer(503), Next::Nothing);
    assert_eq!(short.wait(50), Next::Over(Ended::Again));
}

#[test]
fn a_refresh_for_time_needs_no_notify_and_one_for_state_does() {
    let mut time = Bench::active();
    assert_eq!(time.wait(3_000), Next::Send);
    time.answer(200);
    assert_eq!(time.wait(33), Next::Nothing);
    assert!(time.subscriber.is_active());

    let mut state = Bench::active();
    let now = state.now;
    assert_eq!(state.subscriber.ask_state(now), Next::Send);
    assert_eq!(
        state.subscriber.ask_state(now),
        Next::Nothing,
        "asked already"
    );
    state.answer(200);
    assert_eq!(state.wait(32), Next::Over(Ended::Again));

    let mut told = Bench::active();
    assert_eq!(told.subscriber.ask_state(told.now), Next::Send);
    told.notify("active;expires=3600").unwrap();
    told.answer(200);
    assert_eq!(told.wait(33), Next::Nothing);
}

#[test]
fn state_asked_for_while_a_subscribe_is_under_way_is_asked_for_after_it() {
    // the NOTIFY comes before the 200, and what it says is too old already
    let mut early = Bench::asking();
    assert_eq!(early.notify("active;expires=3600"), Ok(Next::Nothing));
    assert_eq!(early.subscriber.ask_state(early.now), Next::Nothing);
    assert_eq!(early.answer(200), Next::Send);
    assert_eq!(early.notify("active;expires=3600"), Ok(Next::Nothing));
    assert_eq!(early.answer(200), Next::Nothing, "once");

    let mut late = Bench::asking();
    assert_eq!(late.subscriber.ask_state(late.now), Next::Nothing);
    assert_eq!(late.answer(200), Next::Nothing);
    assert_eq!(late.notify("active;expires=3600"), Ok(Next::Send));

    // a refresh for time that fails: the one after it is for the state, too
    let mut refused = Bench::active();
    assert_eq!(refused.wait(3_000), Next::Send);
    assert_eq!(refused.subscriber.ask_state(refused.now), Next::Nothing);
    assert_eq!(refused.answer(503), Next::Nothing);
    assert_eq!(refused.wait(60), Next::Send);
    assert_eq!(refused.answer(200), Next::Send);
}

#[test]
fn the_reason_of_the_end_says_whether_to_ask_again() {
    for (state, ended) in [
        ("terminated;reason=deactivated", Ended::Again),
        ("terminated;reason=timeout", Ended::Again),
        (
            "terminated;reason=probation;retry-after=9",
            Ended::Later(Some(Seconds(9))),
        ),
        ("terminated;reason=giveup", Ended::Later(None)),
        ("terminated", Ended::Later(None)),
        ("terminated;reason=new", Ended::Later(None)),
        ("terminated;reason=rejected", Ended::Refused(0)),
        ("terminated;reason=noresource", Ended::Refused(0)),
        ("terminated;reason=invariant", Ended::Refused(0)),
    ] {
        for mut bench in [Bench::active(), Bench::asking()] {
            assert_eq!(bench.notify(state), Ok(Next::Over(ended)), "{state}");
            assert_eq!(
                bench.notify("active"),
                Err(Reject::NoDialog),
                "nothing wakes the dead"
            );
        }
    }
}

#[test]
fn only_its_own_notifies_count_and_in_their_order() {
    let mut bench = Bench::active();
    let active = "active;expires=3600";
    assert_eq!(
        bench.notify_as("n", 5, active, ""),
        Ok(Next::Nothing),
        "CSeq may jump"
    );
    assert_eq!(
        bench.notify_as("n", 5, "terminated", ""),
        Ok(Next::Nothing),
        "it comes again"
    );
    assert_eq!(bench.notify_as("n", 4, active, ""), Err(Reject::OutOfOrder));
    assert_eq!(
        bench.notify_as("fork", 6, active, ""),
        Err(Reject::NoDialog),
        "another fork"
    );
    assert!(bench.subscriber.is_active());
}

#[test]
fn the_route_of_the_notify_is_the_route_back() {
    let mut bench = Bench::asking();
    let route = "Record-Route: <sip:10.0.0.7;lr>, <sip:10.0.0.8;lr>\r\n";
    bench.notify_as("n", 1, "active", route).unwrap();
    let (to, text) = bench.sent();
    assert!(
        text.contains("Route: <sip:10.0.0.7;lr>\r\nRoute: <sip:10.0.0.8;lr>\r\n"),
        "{text}"
    );
    assert!(matches!(to, Destination::Host { host, .. } if &*host == "10.0.0.7"));
}

#[test]
fn an_end_asked_for_waits_for_its_last_notify_or_for_nobody() {
    let mut bench = Bench::active();
    assert_eq!(bench.subscriber.end(bench.now), Next::Send);
    assert!(bench.sent().1.contains("Expires: 0\r\n"));
    assert_eq!(bench.answer(200), Next::Nothing);
    let last = bench.notify("terminated;reason=timeout");
    assert_eq!(last, Ok(Next::Over(Ended::Done)));

    let mut silent = Bench::active();
    silent.subscriber.end(silent.now);
    assert_eq!(silent.wait(32), Next::Over(Ended::Done));
    let mut gone = Bench::active();
    gone.subscriber.end(gone.now);
    assert_eq!(gone.answer(481), Next::Over(Ended::Done));
    assert_eq!(
        Bench::asking().subscriber.end(Timestamp(0)),
        Next::Over(Ended::Done)
    );
}

#[test]
fn it_goes_on_from_the_store_with_a_higher_cseq() {
    let mut bench = Bench::active();
    let dialog = bench.subscriber.dialog().unwrap().clone();
    let (id, ends) = (bench.subscriber.id, bench.subscriber.expires_at());
    bench.subscriber = Subscriber::recover(id, dialog, HOUR, ends, N);
    bench.subscriber.resume(bench.now);
    assert_eq!(
        bench.notify_as("n", 1, "active", ""),
        Ok(Next::Nothing),
        "told before the crash"
    );
    assert_eq!(bench.notify_as("n", 2, "active", ""), Ok(Next::Nothing));
    assert_eq!(bench.wait(3_000), Next::Send);
    assert!(bench.sent().1.contains("CSeq: 2 SUBSCRIBE\r\n"));
    assert_eq!(bench.subscriber.lived(bench.now), Millis(3_000_000));
}
