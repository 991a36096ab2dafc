//! What an S-CSCF says of a registration while it is still entering or removing it.

use super::*;

#[test]
fn a_first_document_that_contradicts_a_register_is_asked_for_again_before_it_is_believed() {
    for truth in ["active", "terminated"] {
        let mut bench = Bench::new(following());
        let hasty = bench.followed();
        assert_eq!(
            bench.tell_bob(&hasty, 4, "terminated", &[])[0].status(),
            200
        );
        assert_eq!(bench.registration_of(BOB), "active", "as REGISTER said");
        let anew = subscribes(&bench.wait(2_000)).remove(0);
        assert_ne!(anew.get("Call-ID"), hasty.get("Call-ID"));
        bench.granted(&anew);
        let contacts: &[&str] = if truth == "active" { &["c"] } else { &[] };
        bench.tell_bob(&anew, 4, truth, contacts);
        assert_eq!(bench.registration_of(BOB), truth, "its second word counts");
        let more = bench.wait(10_000);
        assert!(
            subscribes(&more).iter().all(|s| s.get("Expires") == "0"),
            "and is asked for once: {more:?}"
        );
    }
}

#[test]
fn a_first_document_that_is_corrected_at_once_is_not_asked_for_again() {
    let mut bench = Bench::new(following());
    let subscribe = bench.followed();
    bench.tell_bob(&subscribe, 4, "terminated", &[]);
    bench.tell_bob(&subscribe, 5, "active", &["c"]);
    let later = bench.wait(10_000);
    assert!(subscribes(&later).is_empty(), "{later:?}");
    assert_eq!(bench.registration_of(BOB), "active");
}

#[test]
fn expires_0_before_the_first_notify_waits_for_it() {
    for (state, contacts) in [("active", &["other"][..]), ("terminated", &[])] {
        let mut bench = Bench::new(following());
        let subscribe = bench.followed();
        assert_eq!(bench.third_party(BOB, 0)[0].status(), 200);
        assert_eq!(bench.registration_of(BOB), "active", "not yet");
        let told = bench.tell_bob(&subscribe, 4, state, contacts);
        assert_eq!(told[0].status(), 200);
        assert_eq!(bench.registration_of(BOB), state);
        // what was told may have left before the contact went
        let asked = subscribes(&told);
        assert_eq!(asked.len(), 1, "{told:?}");
        let expires = if state == "active" { "3600" } else { "0" };
        assert_eq!(asked[0].get("Expires"), expires);
    }
}

#[test]
fn expires_0_is_believed_after_five_seconds_where_no_notify_comes() {
    let mut bench = Bench::new(following());
    bench.followed();
    bench.third_party(BOB, 0);
    bench.wait(4_000);
    assert_eq!(bench.registration_of(BOB), "active");
    bench.wait(2_000);
    assert_eq!(bench.registration_of(BOB), "terminated");
}
