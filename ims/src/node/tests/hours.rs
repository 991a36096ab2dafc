//! Rules that hold for a time: their edges on live subscriptions, near and far.

use super::*;

const HOUR: u64 = 3_600_000;

/// An instant so many milliseconds from the start of the bench (1,790,000,000 s after the epoch) as a rule has it.
fn instant(seconds: i64) -> String {
    // 2026-09-21T14:13:20Z; days of that month and the next are enough, and months ahead are named by their day
    let at = 14 * 3_600 + 13 * 60 + 20 + seconds;
    let (day, rest) = (at.div_euclid(86_400), at.rem_euclid(86_400));
    format!(
        "2026-09-{:02}T{:02}:{:02}:{:02}Z",
        21 + day,
        rest / 3_600,
        rest / 60 % 60,
        rest % 60
    )
}

fn between(from: &str, until: &str) -> String {
    format!("<validity><from>{from}</from><until>{until}</until></validity>")
}

/// Alice is allowed at these times, and waits at others.
fn put(bench: &mut Bench, validity: &str) {
    let otherwise = format!(
        "{validity}</conditions><actions><pr:sub-handling>allow</pr:sub-handling></actions></rule>\
         <rule id=\"o\"><conditions><identity><one id=\"{ALICE}\"/></identity>"
    );
    bench.rules("confirm", &otherwise);
}

/// The states told in the next so many milliseconds, as the watcher answers each NOTIFY and keeps refreshing.
fn states(bench: &mut Bench, opened: &Sent, millis: u64) -> Vec<String> {
    let mut states = Vec::new();
    let end = bench.now + millis;
    let mut refresh = bench.now + HOUR;
    while bench.now < end {
        let due = bench.node.next_deadline().map_or(end, |at| at.0);
        let next = due.clamp(bench.now, end.min(refresh));
        let mut sent = bench.wait(next - bench.now);
        if bench.now >= refresh {
            refresh += HOUR;
            sent.extend(bench.renew(opened, "Expires: 7200\r\n"));
        }
        for notify in sent.iter().filter(|s| s.method() == "NOTIFY") {
            bench.answer(notify, 200, "");
            let state = notify.get("Subscription-State");
            let state = state.split(';').next().unwrap().to_owned();
            if states.last() != Some(&state) {
                states.push(state);
            }
        }
    }
    states
}

#[test]
fn the_times_of_a_rule_are_kept_months_ahead_and_over_restarts() {
    let twice = between(&instant(60), &instant(120));
    let two = "<validity><from>2026-10-01T00:00:00Z</from><until>2026-10-02T00:00:00Z</until>\
               <from>2027-01-05T08:00:00+01:00</from><until>2027-01-05T09:00:00+01:00</until></validity>";
    let day = 24 * HOUR;
    for (case, validity, restarts, millis, expected) in [
        (
            "a minute",
            twice.as_str(),
            None,
            HOUR,
            &["pending", "active", "pending"][..],
        ),
        (
            "two intervals, one of them months ahead",
            two,
            None,
            120 * day,
            &["pending", "active", "pending", "active", "pending"],
        ),
        (
            "a restart before",
            twice.as_str(),
            Some(10),
            HOUR,
            &["pending", "active", "pending"],
        ),
        (
            "a standstill over the whole interval",
            twice.as_str(),
            Some(200_000),
            HOUR,
            &["pending"],
        ),
    ] {
        let mut settings = settings();
        settings.presence.default_handling = None;
        settings.presence.watcher_info.give_up = Seconds(u32::MAX); // who waits may wait for months
        let mut bench = Bench::new(settings);
        put(&mut bench, validity);
        let sent = bench.subscribe("Expires: 7200\r\n");
        bench.answer(&sent[1], 200, "");
        let first = sent[1].get("Subscription-State");
        assert!(first.starts_with("pending"), "{case}: {first}");
        if let Some(away) = restarts {
            bench.restart(away);
        }
        let mut told = vec!["pending".to_owned()];
        told.extend(states(&mut bench, &sent[0], millis));
        told.dedup();
        assert_eq!(told, expected, "{case}");
    }
}

#[test]
fn an_interval_holds_again_after_a_clock_that_was_ahead_is_set_back() {
    let mut bench = Bench::strict();
    put(&mut bench, &between(&instant(0), &instant(60)));
    bench.now += 100_000; // the clock is wrong
    let sent = bench.subscribe("Expires: 7200\r\n");
    assert!(sent[1].get("Subscription-State").starts_with("pending"));
    bench.answer(&sent[1], 200, "");
    bench.now -= 90_000; // set right while the server was down
    bench.restart(0);
    let told = states(&mut bench, &sent[0], 20_000);
    assert_eq!(told, ["active"]);
}

#[test]
fn an_interval_that_ends_before_it_begins_never_holds() {
    for (from, until) in [
        (instant(60), instant(0)),
        (instant(0), instant(0)),
        (instant(-60), instant(0)),
    ] {
        let mut bench = Bench::strict();
        put(&mut bench, &between(&from, &until));
        let sent = bench.subscribe("Expires: 7200\r\n");
        bench.answer(&sent[1], 200, "");
        assert!(sent[1].get("Subscription-State").starts_with("pending"));
        let told = states(&mut bench, &sent[0], 2 * HOUR);
        assert_eq!(told, ["pending"], "{from} to {until}");
    }
}
