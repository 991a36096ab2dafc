//! Third-party REGISTER, by the standard and as Kamailio's `ims_isc` sends it.

use super::*;

/// As measured: To names the one identity, a new Call-ID each time with CSeq 10, a Path that does not belong here,
/// a P-Associated-URI that is malformed as soon as a tel URI is in the set, service information unescaped.
pub(super) fn kamailio(bench: &mut Bench, identity: &str, expires: u32) -> Sent {
    let body = "<ims-3gpp version=\"1\"><service-info><a>1 & 2</a></service-info></ims-3gpp>";
    let call = bench.serial;
    let head = format!(
        "From: <sip:10.0.0.2:6060>;tag=k{call}\r\nTo: <{identity}>\r\nCall-ID: {call}-k\r\nCSeq: 10 REGISTER\r\n\
         Contact: <sip:10.0.0.2:6060>\r\nExpires: {expires}\r\nEvent: registration\r\nMax-Forwards: 10\r\n\
         Path: <sip:term@10.0.0.9;lr>\r\nP-Access-Network-Info: 3GPP-E-UTRAN-FDD\r\n\
         P-Associated-URI: <{BOB}>, <sip:bob.work@ims.test, tel:+36105550001>\r\n\
         P-Charging-Vector: icid-value=abc;orig-ioi=ims.test\r\nContent-Type: application/3gpp-ims+xml\r\n"
    );
    let text = bench.write("REGISTER", "sip:as.ims.test", &head, body);
    let text = text.replacen("Max-Forwards: 70\r\n", "", 1);
    bench.text(&text).remove(0)
}

#[test]
fn what_kamailio_sends_is_understood_each_time_anew() {
    let mut bench = Bench::new(settings());
    let answer = kamailio(&mut bench, BOB, 600);
    assert_eq!(
        (answer.status(), answer.get("Expires")),
        (200, "600"),
        "{}",
        answer.text
    );
    let watching = bench.subscribe("");
    assert!(
        watching[1].body().contains(">active<"),
        "{}",
        watching[1].text
    );
    bench.answer(&watching[1], 200, "");
    assert_eq!(
        kamailio(&mut bench, BOB, 600).status(),
        200,
        "a new Call-ID with the same CSeq"
    );
    assert_eq!(bench.sent(true).len(), 1, "a refresh is no news");
    assert_eq!(bench.node.census().registrations, 1);

    bench.publish("", "here");
    for told in bench.wait(5_000) {
        bench.answer(&told, 200, "");
    }
    assert_eq!(kamailio(&mut bench, BOB, 0).status(), 200);
    let told = bench.wait(5_000);
    assert!(told[0].body().contains(">terminated<"), "{}", told[0].text);
}

#[test]
fn the_tel_identity_of_a_registered_user_names_the_same_presentity() {
    let mut bench = Bench::new(settings());
    kamailio(&mut bench, BOB, 600);
    let head = "Event: presence\r\nP-Asserted-Identity: <tel:+36105550001>\r\nContent-Type: application/pidf+xml\r\n";
    let answer = bench
        .ask("PUBLISH", "tel:+36105550001", head, &pidf("by phone"))
        .remove(0);
    assert_eq!(answer.status(), 200, "{}", answer.text);
    assert!(bench.subscribe("")[1].body().contains("by phone"));
}

#[test]
fn rules_written_under_the_phone_number_count_as_soon_as_it_is_known_whose_it_is() {
    let mut bench = Bench::strict();
    bench.rules_of("tel:+36105550001", "allow", "");
    bench.publish("", "here");
    assert_eq!(bench.subscribe("")[0].status(), 403);
    kamailio(&mut bench, BOB, 600);
    let sent = bench.subscribe("");
    assert_eq!(sent[0].status(), 200, "{}", sent[0].text);
    bench.restart(100);
    assert_eq!(bench.subscribe("")[0].status(), 200);
}

#[test]
fn a_subscriber_is_registered_while_any_identity_is_and_a_restart_knows_it() {
    let mut bench = Bench::new(settings());
    kamailio(&mut bench, BOB, 600);
    kamailio(&mut bench, "tel:+36105550001", 600);
    kamailio(&mut bench, "tel:+36105550001", 0);
    let before = bench.subscribe("Expires: 0\r\n").remove(1);
    assert!(
        before.body().contains(">active<"),
        "the SIP identity still is"
    );
    bench.restart(1_000);
    let after = bench.subscribe("Expires: 0\r\n").remove(1);
    assert_eq!(after.body(), before.body());
    // all of it ends: nothing is left of either identity
    bench.wait(700_000);
    assert_eq!(bench.node.census(), Census::default());
}

#[test]
fn a_register_for_nobody_of_ours_or_beyond_the_capacity_is_refused() {
    let mut bench = Bench::new(settings());
    assert_eq!(
        kamailio(&mut bench, "sip:bob@other.test", 600).status(),
        404
    );
    for user in ["sip:a@ims.test", "sip:b@ims.test"] {
        assert_eq!(kamailio(&mut bench, user, 600).status(), 200);
    }
    assert_eq!(kamailio(&mut bench, "sip:c@ims.test", 600).status(), 503);
    assert_eq!(
        kamailio(&mut bench, "sip:a@ims.test", 900).status(),
        200,
        "a refresh"
    );
}

#[test]
fn a_body_that_must_be_understood_and_is_not_is_refused() {
    let mut bench = Bench::new(settings());
    for (disposition, status) in [
        ("render;handling=required", 415),
        ("render;handling=optional", 200),
    ] {
        let head = format!(
            "To: <{BOB}>\r\nContact: <sip:10.0.0.2>\r\nExpires: 600\r\nContent-Type: application/x-new\r\n\
             Content-Disposition: {disposition}\r\n"
        );
        let answer = bench
            .ask("REGISTER", "sip:as.ims.test", &head, "?")
            .remove(0);
        assert_eq!(answer.status(), status, "{disposition}");
    }
}
