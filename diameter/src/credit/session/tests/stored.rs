//! A session beyond its process: what it leaves behind, and how it is taken up.

use super::*;
use crate::credit::Terms;

#[test]
fn an_earlier_process_leaves_what_has_to_be_told() {
    let policy = Policy::default();
    let mut world = World::start(STRICT, false);
    for (script, number, used, report) in [
        ("", 1, 0, None),
        ("2001", 1, 0, None),
        ("used", 1, 1, None),
        ("rar", 2, 0, Some((1, 1))),
        ("2001 given", 2, 1, None),
    ] {
        world.play(script);
        let owed = Owed::Close {
            number,
            used,
            report,
        };
        assert_eq!(world.session.owed(), owed, "{script}");
        let now = Instant(5);
        let session =
            Session::resume(owed, Terms::default(), now, &policy).expect("owed by a session");
        assert_eq!(session.owed(), owed);
        let done = Vec::new();
        let mut later = World {
            session,
            now,
            policy,
            done,
        };
        later.play(if report.is_some() {
            "due 2001 2001"
        } else {
            "due 2001"
        });
        let told = match report {
            Some((first, units)) => format!("U{first}:{units} T, T{number}:{used}"),
            None => format!("T{number}:{used} T"),
        };
        assert_eq!(
            (later.done.join(", "), later.session.is_done()),
            (told, true)
        );
    }
    assert!(Session::resume(Owed::Refund, Terms::default(), Instant(5), &policy).is_none());
}

#[test]
fn a_session_is_taken_up_where_its_process_left_it() {
    let policy = Policy::default();
    let open = |number, used, report| Owed::Open {
        number,
        used,
        report,
        failure: STRICT,
        failover: false,
        quota: None,
    };
    for (owed, script, told, over) in [
        // what was used is told, and more is asked for: no T, since nothing was sent with this number
        (
            open(3, 2, None),
            "due one used",
            "U3:2, up to 1, U4:1",
            false,
        ),
        (open(3, 2, None), "used failed due 2001", "T3:3", true),
        // an update whose fate is not known goes before
        (
            open(4, 2, Some((3, 5))),
            "due 2001 failed",
            "U3:5 T, T4:2",
            false,
        ),
        (open(4, 0, Some((3, 5))), "rar", "reply 2002, U3:5 T", false),
        (
            open(4, 1, Some((3, 5))),
            "asr due 2001",
            "reply 2001, withdrawn Aborted, U3:5 T, T4:1",
            false,
        ),
        // its server is waited for, and not for ever
        (
            open(3, 2, None),
            "due unsent due unsent due one",
            "U3:2, U3:2, U3:2, up to 1",
            false,
        ),
        (
            open(3, 2, None),
            "due lost due lost due lost due lost due lost due lost due lost",
            "U3:2, U3:2 T, U3:2 T, U3:2 T, U3:2 T, U3:2 T, U3:2 T, withdrawn Denied(Unavailable)",
            false,
        ),
        (
            open(3, 2, None),
            "due 4012",
            "U3:2, withdrawn Denied(NoCredit)",
            true,
        ),
        (Owed::Uncontrolled, "used rar failed", "reply 5002", true),
    ] {
        let now = Instant(5);
        let session =
            Session::resume(owed, Terms::default(), now, &policy).expect("owed by a session");
        assert_eq!(session.owed(), owed);
        let mut later = World {
            session,
            now,
            policy,
            done: Vec::new(),
        };
        later.play(script);
        assert_eq!(later.done.join(", "), told, "{owed:?}: {script}");
        assert_eq!(later.session.is_done(), over, "{owed:?}: {script}");
    }
}

#[test]
fn what_was_granted_and_what_was_given_away_outlive_the_process() {
    let policy = Policy::default();
    let resumed = |owed| {
        let now = Instant(5);
        let session =
            Session::resume(owed, Terms::default(), now, &policy).expect("owed by a session");
        assert_eq!(session.owed(), owed);
        World {
            session,
            now,
            policy,
            done: Vec::new(),
        }
    };
    let open = |failure, used, report| Owed::Open {
        number: 4,
        used,
        report,
        failure,
        failover: false,
        quota: Some(10),
    };
    // the rest of the grant is used while the server is waited for, and no more
    for (owed, left) in [
        (open(STRICT, 7, None), 3),
        (open(STRICT, 4, Some((3, 5))), 1),
        (open(STRICT, 12, None), 0),
    ] {
        let mut world = resumed(owed);
        assert_eq!(world.session.allowance(), Some(left), "{owed:?}");
        world.play("due tx");
        assert_eq!(world.done.len(), 1, "it waits: {:?}", world.done);
    }
    let mut lenient = resumed(open(CONTINUE, 10, None));
    lenient.play("due tx ten");
    assert_eq!(lenient.done.join(", "), "U4:10, any, up to 10");
    let mut away = resumed(open(CONTINUE, 10, None));
    away.play("due unsent");
    assert_eq!(away.done.join(", "), "U4:10, any");

    let mut given = World::begin(CONTINUE, false, true);
    given.play("unsent begun used used");
    assert_eq!(given.session.owed(), Owed::Given { used: 2 });
    let mut later = resumed(Owed::Given { used: 2 });
    later.play("used due ten rar ten failed 2001");
    let told = "anew, I0, up to 8, reply 2002, U1:3, up to 11, T2:0";
    assert_eq!(later.done.join(", "), told);
    assert!(later.session.is_done());
}
