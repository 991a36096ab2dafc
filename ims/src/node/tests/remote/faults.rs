//! Faults from a seed.

use super::*;

/// Whatever becomes of questions and of the node: while rules say that alice is blocked, or cannot be read and no copy that
/// allows her is young enough, she sees nothing new; and once everything works, what she sees is what the rules say.
#[test]
fn through_faults_from_a_seed_nobody_sees_what_no_fresh_rule_allows() {
    for seed in 1..=60u8 {
        let mut random = Random::new([seed; 32]);
        let mut world = World::new();
        let first = world.bench.publish("Expires: 7200\r\n", "note 0");
        let mut etag = format!(
            "SIP-If-Match: {}\r\nExpires: 7200\r\n",
            first.get("SIP-ETag")
        );
        world.put(RULES, &allow(""));
        world.subscribe("Expires: 7200\r\n");
        world.confirm();
        // when rules there last allowed her
        let (mut allows, mut allowed_at) = (true, world.bench.now);
        let confirm = ruleset("confirm", "<identity><many/></identity>");
        for step in 1..=40 {
            match random.number() % 8 {
                0 => world.mode = Mode::Down,
                1 => world.mode = Mode::Hangs,
                2 => world.mode = Mode::Says([500, 503, 403, 502][step % 4]),
                3 => {
                    world.bench.restart(1_000);
                    world.serve();
                }
                4 => {
                    allows = !allows;
                    let written = if allows { allow("") } else { confirm.clone() };
                    world.put(RULES, &written);
                }
                _ => world.mode = Mode::Answers,
            }
            let passed = 10_000 + random.number() % 110_000;
            world.pass(passed);
            if allows {
                allowed_at = world.bench.now;
            }
            world.told.clear();
            let answer = world.bench.publish(&etag, &format!("note {step}"));
            assert_eq!(answer.status(), 200, "seed {seed}, step {step}");
            etag = format!(
                "SIP-If-Match: {}\r\nExpires: 7200\r\n",
                answer.get("SIP-ETag")
            );
            world.sent = world.bench.sent(true);
            world.confirm();
            let shown = world.told.iter().any(|s| s.contains("note"));
            // it has been asked since: the longest pause of one that was down, and a poll
            let asked = world.mode == Mode::Answers && passed > 31_000 + POLL;
            let young = world.bench.now < allowed_at + STALE + POLL && !asked || allows;
            assert!(
                !shown || young,
                "seed {seed}, step {step}: {:?}",
                world.told
            );
        }
        world.mode = Mode::Answers;
        world.pass(2 * POLL);
        world.told.clear();
        let answer = world.bench.publish(&etag, "the end");
        assert_eq!(answer.status(), 200);
        world.sent = world.bench.sent(true);
        world.confirm();
        world.pass(6_000);
        let shown = world.told.iter().any(|s| s == "active the end");
        assert_eq!(shown, allows, "seed {seed}: {:?}", world.told);
    }
}
