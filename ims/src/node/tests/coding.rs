//! Bodies in a content coding, both ways.

use super::*;
use crate::sip::coding::Coding;

/// The body of a NOTIFY out of its coding.
fn inflated(sent: &Sent) -> String {
    let coding = match sent.get("Content-Encoding") {
        "gzip" => Coding::Gzip,
        "deflate" => Coding::Deflate,
        other => panic!("{other:?}: {}", sent.text),
    };
    let head = sent
        .bytes
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .unwrap();
    let body = sent.bytes.slice(head + 4..);
    assert_eq!(sent.get("Content-Length"), body.len().to_string());
    String::from_utf8(coding.decode(&body, 100_000).unwrap()).unwrap()
}

/// A PUBLISH of bob with this body as it is.
fn publish(bench: &mut Bench, more: &str, body: &[u8]) -> Sent {
    let head = format!(
        "Event: presence\r\nP-Asserted-Identity: <{BOB}>\r\nContent-Type: application/pidf+xml\r\n{more}"
    );
    let text = bench.write("PUBLISH", BOB, &head, "");
    let length = format!("Content-Length: {}", body.len());
    let mut bytes = text.replace("Content-Length: 0", &length).into_bytes();
    bytes.extend_from_slice(body);
    let flow = bench.flow();
    bench
        .feed(Input::Message {
            flow,
            bytes: &mut bytes,
        })
        .remove(0)
}

#[test]
fn a_body_above_the_limit_leaves_in_the_coding_that_its_watcher_takes() {
    let mut bench = Bench::new(settings());
    let long = "here ".repeat(100);
    bench.publish("", &long);
    let plain = bench.subscribe("").remove(1);
    for (case, head, coding) in [
        ("gzip", "Accept-Encoding: gzip\r\n", "gzip"),
        (
            "deflate",
            "Accept-Encoding: deflate, gzip;q=0.2\r\n",
            "deflate",
        ),
        (
            "a second one, from the gallery",
            "Accept-Encoding: *\r\n",
            "gzip",
        ),
    ] {
        let sent = bench.subscribe(head).remove(1);
        assert_eq!(sent.get("Content-Encoding"), coding, "{case}");
        assert_eq!(inflated(&sent), plain.body(), "{case}");
        assert_eq!(
            sent.get("SIP-ETag"),
            plain.get("SIP-ETag"),
            "the same state"
        );
        assert!(sent.bytes.len() < plain.bytes.len(), "{case}");
        bench.answer(&sent, 200, "");
    }
    for none in [
        "",
        "Accept-Encoding: identity\r\n",
        "Accept-Encoding: br\r\n",
    ] {
        assert_eq!(bench.subscribe(none)[1].body(), plain.body(), "{none}");
    }
}

#[test]
fn a_small_body_is_left_as_it_is_and_the_wish_is_kept_over_a_restart() {
    let mut bench = Bench::new(settings());
    bench.rules("polite-block", "");
    let sent = bench.subscribe("Accept-Encoding: gzip\r\n");
    assert_eq!(sent[1].all("Content-Encoding"), Vec::<&str>::new());
    bench.answer(&sent[1], 200, "");
    bench.wait(6_000);
    bench.restart(1_000);
    bench.publish("", &"here ".repeat(100));
    bench.rules("allow", "");
    let told = bench.sent(true);
    let notify = told.iter().find(|s| s.method() == "NOTIFY").unwrap();
    assert!(inflated(notify).contains("here here"));
    // a SUBSCRIBE without the header wants plain bodies again
    bench.answer(notify, 200, "");
    let refreshed = bench.renew(&sent[0], "");
    assert!(refreshed[1].body().contains("here here"));
}

#[test]
fn a_publication_in_a_coding_is_what_is_in_it() {
    for coding in [Coding::Gzip, Coding::Deflate] {
        let mut bench = Bench::new(settings());
        let head = format!("Content-Encoding: {}\r\n", coding.name());
        let body = coding.encode(pidf("packed").as_bytes());
        let answer = publish(&mut bench, &head, &body);
        assert_eq!(answer.status(), 200, "{}", answer.text);
        let stored = bench.store.iter().find(|((t, _), _)| *t == Table::Body);
        assert_eq!(stored.unwrap().1, &pidf("packed").into_bytes());
        assert!(bench.subscribe("")[1].body().contains("packed"));
    }
}

#[test]
fn a_body_in_no_known_coding_or_too_large_in_it_is_refused() {
    let zeros = vec![b' '; 1 << 20];
    let large = [pidf("x").into_bytes(), zeros[..40_000].to_vec()].concat();
    for (case, coding, body, status) in [
        ("unknown", "br", pidf("x").into_bytes(), 415),
        ("two", "gzip, gzip", pidf("x").into_bytes(), 415),
        ("not what it says", "gzip", pidf("x").into_bytes(), 400),
        ("a bomb", "gzip", Coding::Gzip.encode(&zeros), 413),
        (
            "too large inside",
            "deflate",
            Coding::Deflate.encode(&large),
            413,
        ),
    ] {
        let mut bench = Bench::new(settings());
        let answer = publish(
            &mut bench,
            &format!("Content-Encoding: {coding}\r\n"),
            &body,
        );
        assert_eq!(answer.status(), status, "{case}");
        let accept = if status == 415 {
            "gzip, deflate, identity"
        } else {
            ""
        };
        assert_eq!(answer.get("Accept-Encoding"), accept, "{case}");
        assert_eq!(bench.node.census().presence.publications, 0, "{case}");
    }
}
