//! An XDMS that does not answer, or nothing that can be read; the copies that count meanwhile.

use super::*;

#[test]
fn while_it_cannot_be_read_watchers_wait_or_are_rejected_as_the_operator_says() {
    for (case, mode, body) in [
        ("nobody is there", Mode::Down, ""),
        ("it hangs", Mode::Hangs, ""),
        ("it is overloaded", Mode::Says(503), ""),
        ("it forbids", Mode::Says(403), ""),
        ("it redirects", Mode::Says(302), ""),
        ("unchanged, of what was never had", Mode::Says(304), ""),
        ("no XML", Mode::Answers, "garbage"),
        (
            "another document",
            Mode::Answers,
            "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\"/>",
        ),
        (
            "entities",
            Mode::Answers,
            "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>",
        ),
        ("huge", Mode::Answers, "huge"),
    ] {
        for (unreadable, status) in [(Unreadable::Pending, 202), (Unreadable::Rejected, 403)] {
            let mut settings = remote(None);
            settings.servers[0].unreadable = unreadable;
            let mut world = World::with(settings);
            world.bench.publish("", "secret");
            world.mode = mode;
            let body = if body == "huge" {
                "x".repeat(300_000)
            } else {
                body.to_owned()
            };
            world.put(RULES, &body);
            assert_eq!(
                world.subscribe("").status(),
                202,
                "{case}: it is asked first"
            );
            world.confirm();
            world.pass(10_000);
            assert!(
                world.told.iter().all(|s| !s.contains("secret")),
                "{case}: {:?}",
                world.told
            );
            let ends = world
                .told
                .last()
                .is_some_and(|s| s.starts_with("terminated"));
            assert_eq!(
                ends,
                unreadable == Unreadable::Rejected,
                "{case}: {:?}",
                world.told
            );
            assert_eq!(world.subscribe("").status(), status, "{case}");
            world.confirm();
            // and it comes back
            world.mode = Mode::Answers;
            world.put(RULES, &allow(""));
            world.pass(POLL + 5_000);
            world.subscribe("");
            let said = world.confirm();
            assert!(
                said.last().is_some_and(|s| s == "active secret"),
                "{case}: {said:?}"
            );
        }
    }
}

#[test]
fn a_copy_counts_while_its_xdms_is_silent_and_no_longer_than_the_operator_allows() {
    let mut world = World::new();
    world.bench.publish("", "hello");
    world.put(RULES, &allow(""));
    world.subscribe("Expires: 7200\r\n");
    world.confirm();
    world.mode = Mode::Down;
    world.told.clear();
    world.pass(STALE - 10_000);
    assert_eq!(world.told, [] as [&str; 0]);
    assert_eq!(
        world.subscribe("").status(),
        200,
        "a new watcher is let in by the copy"
    );
    world.confirm();
    world.told.clear();
    assert_eq!(world.bench.node.census().remote.silent, 1);
    world.pass(POLL + 20_000);
    assert_eq!(world.told, ["pending ", "pending "]);
    assert_eq!(world.subscribe("").status(), 202);
    world.confirm();
    world.told.clear();
    world.mode = Mode::Answers;
    world.pass(31_000);
    assert_eq!(
        world.told, ["active hello"; 3],
        "back within its longest pause"
    );
    assert_eq!(world.bench.node.census().remote.silent, 0);
}

#[test]
fn an_xdms_that_is_down_is_not_asked_for_every_watcher() {
    let mut world = World::new();
    world.mode = Mode::Down;
    world.subscribe("");
    world.confirm();
    world.pass(300_000);
    assert!(world.asked.len() < 30, "{}", world.asked.len());
}

#[test]
fn after_a_restart_the_copy_decides_until_its_xdms_answers() {
    let mut world = World::new();
    let first = world.bench.publish("Expires: 7200\r\n", "hello");
    world.put(RULES, &allow(""));
    world.subscribe("Expires: 7200\r\n");
    world.confirm();
    world.bench.restart(5_000);
    world.mode = Mode::Down;
    world.serve();
    world.told.clear();
    let if_match = |answer: &Sent| format!("SIP-If-Match: {}\r\n", answer.get("SIP-ETag"));
    let published = world.bench.publish(&if_match(&first), "again");
    world.sent = world.bench.sent(true);
    world.serve();
    assert_eq!(published.status(), 200);
    world.pass(6_000);
    assert_eq!(
        world.told,
        ["active again"],
        "decided from the copy in the store"
    );
    // one that is too old decides nothing
    world.bench.restart(STALE);
    world.serve();
    world.told.clear();
    world.pass(10_000);
    world.bench.publish(&if_match(&published), "secret");
    world.sent = world.bench.sent(true);
    world.pass(6_000);
    assert!(
        world.told.iter().all(|s| s == "pending "),
        "{:?}",
        world.told
    );
    assert!(!world.told.is_empty());
    world.mode = Mode::Answers;
    world.pass(31_000);
    assert_eq!(world.told.last().map(String::as_str), Some("active secret"));
}
