//! Requests and their answers, beside what PUBLISH and SUBSCRIBE do.

use super::*;

#[test]
fn each_method_gets_the_answer_of_its_kind() {
    for (case, method, uri, head, status, wanted) in [
        (
            "OPTIONS tells what is served",
            "OPTIONS",
            "sip:10.0.0.1",
            "",
            200,
            "Allow: OPTIONS, PUBLISH",
        ),
        (
            "an extension that is not supported is named",
            "OPTIONS",
            "sip:10.0.0.1",
            "Require: foo, 100rel\r\n",
            420,
            "Unsupported: foo, 100rel",
        ),
        (
            "also in a SUBSCRIBE",
            "SUBSCRIBE",
            BOB,
            "Event: presence\r\nRequire: gruu\r\n",
            420,
            "Unsupported: gruu",
        ),
        (
            "a session is not served",
            "MESSAGE",
            BOB,
            "",
            405,
            "Allow: OPTIONS",
        ),
        (
            "nor a method of the future",
            "FOO",
            BOB,
            "",
            405,
            "Allow: OPTIONS",
        ),
        (
            "a NOTIFY belongs to no subscription of ours",
            "NOTIFY",
            BOB,
            "Event: presence\r\n",
            481,
            "",
        ),
        (
            "another package is refused with those served",
            "SUBSCRIBE",
            BOB,
            "Event: dialog\r\n",
            489,
            "Allow-Events: presence",
        ),
        (
            "so is none",
            "SUBSCRIBE",
            BOB,
            "",
            489,
            "Allow-Events: presence",
        ),
        (
            "a user of another domain is not found",
            "SUBSCRIBE",
            "sip:bob@other.test",
            "Event: presence\r\n",
            404,
            "",
        ),
        (
            "a URI that names no presentity",
            "SUBSCRIBE",
            "mailto:bob@ims.test",
            "Event: presence\r\n",
            416,
            "",
        ),
        ("a CANCEL of nothing", "CANCEL", BOB, "", 481, ""),
    ] {
        let mut bench = Bench::new(settings());
        let sent = bench.ask(method, uri, head, "");
        assert_eq!(sent.len(), 1, "{case}");
        assert_eq!(sent[0].status(), status, "{case}: {}", sent[0].text);
        assert!(sent[0].text.contains(wanted), "{case}: {}", sent[0].text);
        assert!(bench.out.batch.is_empty(), "{case}: nothing is stored");
    }
}

#[test]
fn who_is_not_trusted_is_refused_whatever_he_asserts() {
    let mut bench = Bench::new(settings());
    bench.peer = "192.0.2.1:5060".parse().unwrap();
    for answer in [bench.publish("", "open"), bench.subscribe("").remove(0)] {
        assert_eq!(answer.status(), 403, "{}", answer.text);
    }
    assert_eq!(bench.node.census().presence, presence::Census::default());
}

#[test]
fn a_refused_invite_is_repeated_until_its_ack_and_then_forgotten() {
    let mut bench = Bench::new(settings());
    let invite = bench.write("INVITE", BOB, "", "");
    let refused = bench.text(&invite);
    assert_eq!(refused[0].status(), 405);
    assert_eq!(bench.wait(500).len(), 1, "timer G");
    assert_eq!(
        bench.wait(1_000).len(),
        1,
        "and again after twice the pause"
    );
    assert_eq!(
        bench.text(&invite)[0].text,
        refused[0].text,
        "a retransmission"
    );
    let ack = invite.replace("INVITE", "ACK").replace(
        &format!("To: <{BOB}>"),
        &format!("To: {}", refused[0].get("To")),
    );
    assert!(bench.text(&ack).is_empty(), "an ACK is never answered");
    assert!(bench.text(&ack).is_empty(), "nor is another");
    assert!(bench.wait(4_999).is_empty(), "no more copies");
    assert_eq!(
        bench.node.census().server_transactions,
        1,
        "timer I absorbs late copies"
    );
    bench.wait(1);
    assert_eq!(bench.node.census().server_transactions, 0);
}

#[test]
fn an_invite_that_nobody_acknowledges_is_given_up_after_64_t1() {
    let mut bench = Bench::new(settings());
    bench.ask("INVITE", BOB, "", "");
    assert_eq!(bench.wait(31_999).len(), 10);
    bench.wait(1);
    assert_eq!(bench.node.census().server_transactions, 0);
    assert!(bench.wait(60_000).is_empty());
}

#[test]
fn a_cancel_of_what_is_answered_changes_nothing() {
    let mut bench = Bench::new(settings());
    let publish = bench.write(
        "PUBLISH",
        BOB,
        &format!("Event: presence\r\nP-Asserted-Identity: <{BOB}>\r\nContent-Type: application/pidf+xml\r\n"),
        &pidf("here"),
    );
    assert_eq!(bench.text(&publish)[0].status(), 200);
    let head = publish.split("\r\nEvent").next().unwrap();
    let cancel = head.replace("PUBLISH", "CANCEL") + "\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(bench.text(&cancel)[0].status(), 200);
    assert_eq!(bench.node.census().presence.publications, 1);
}

#[test]
fn a_request_that_comes_again_has_one_effect_and_the_same_answer_behind_the_commit() {
    let mut bench = Bench::new(settings());
    let publish = bench.write(
        "PUBLISH",
        BOB,
        &format!("Event: presence\r\nP-Asserted-Identity: <{BOB}>\r\nContent-Type: application/pidf+xml\r\n"),
        &pidf("here"),
    );
    let first = bench.text(&publish);
    assert!(
        bench.sent(false).is_empty(),
        "the answer waits for the commit"
    );
    let again = bench.text(&publish);
    assert!(bench.sent(false).is_empty(), "and so does its copy");
    assert_eq!(first[0].text, again[0].text);
    assert!(bench.out.batch.is_empty());
    assert_eq!(bench.node.census().presence.publications, 1);
    // the same request by another path: another branch, served once (RFC 3261 §8.2.2.2)
    let other = publish.replace("z9hG4bK", "z9hG4bKother");
    assert_eq!(bench.text(&other)[0].status(), 482);
    assert_eq!(bench.node.census().presence.publications, 1);
}
