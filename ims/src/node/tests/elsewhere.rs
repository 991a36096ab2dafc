//! Content indirection (RFC 4483): a PUBLISH whose body is fetched, and what it is answered when it cannot be.

use super::*;
use crate::presence::external::{Fault, server};

const URL: &str = "http://content.ims.test/bob.xml";
const INNER: &str = "Content-Type: application/pidf+xml\r\nContent-Disposition: render\r\n\r\n";

fn bench() -> Bench {
    let mut settings = settings();
    settings.presence.external.servers = vec![server("content.ims.test").unwrap()];
    Bench::new(settings)
}

impl Bench {
    /// Bob publishes what is elsewhere: the text of the request and what comes at once.
    fn publish_elsewhere(&mut self, params: &str, more: &str) -> (String, Vec<Sent>) {
        let head = format!(
            "Event: presence\r\nP-Asserted-Identity: <{BOB}>\r\n\
             Content-Type: message/external-body;access-type=\"URL\";{params}\r\n{more}"
        );
        let text = self.write("PUBLISH", BOB, &head, INNER);
        let sent = self.text(&text);
        (text, sent)
    }

    /// The fetch that was asked for last.
    fn asked_for(&self) -> Option<Fetch> {
        self.out.free.iter().find_map(|effect| match effect {
            Effect::Fetch(fetch) => Some((**fetch).clone()),
            _ => None,
        })
    }

    fn content(&mut self, number: u64, fetched: Fetched) -> Vec<Sent> {
        self.feed(Input::Fetched { number, fetched })
    }
}

fn here(text: &str) -> Fetched {
    Ok(HttpAnswer {
        status: 200,
        bytes: Bytes::copy_from_slice(text.as_bytes()),
        ..HttpAnswer::default()
    })
}

#[test]
fn a_publish_waits_for_its_content_and_is_then_served_as_if_it_had_brought_it() {
    let mut bench = bench();
    let (text, sent) = bench.publish_elsewhere(&format!("URL=\"{URL}\""), "");
    assert!(sent.is_empty(), "no answer yet");
    let fetch = bench.asked_for().unwrap();
    let asked = (fetch.host.as_str(), fetch.port, fetch.path.as_str());
    assert_eq!(asked, ("content.ims.test", 80, "/bob.xml"));
    assert!(bench.text(&text).is_empty(), "sent again: still no answer");
    assert_eq!(bench.asked_for(), None, "and no second fetch");

    let answer = bench
        .content(fetch.number, here(&pidf("fetched")))
        .remove(0);
    assert_eq!(answer.status(), 200, "{}", answer.text);
    assert!(answer.get("SIP-ETag").len() == 16 && answer.get("Expires") == "3600");
    assert!(bench.subscribe("")[1].body().contains("fetched"));
    assert_eq!(
        bench.text(&text)[0].text,
        answer.text,
        "sent again: the same answer"
    );
    assert!(bench.content(fetch.number, here(&pidf("twice"))).is_empty());
    bench.restart(1_000);
    assert!(
        bench.subscribe("")[1].body().contains("fetched"),
        "the content is stored, not its place"
    );
}

#[test]
fn content_that_is_not_what_it_should_be_is_refused_and_changes_nothing() {
    let document = pidf("fetched");
    let url = format!("URL=\"{URL}\"");
    let size = |by: usize| format!("{url};size={}", document.len() + by);
    let large = "x".repeat(100_000);
    for (case, params, fetched, status) in [
        ("as announced", size(0), here(&document), 200),
        ("of another size", size(1), here(&document), 400),
        (
            "with another hash",
            format!("{url};hash={}", "0".repeat(40)),
            here(&document),
            400,
        ),
        ("no document", url.clone(), here("<presence"), 400),
        (
            "about somebody else",
            url.clone(),
            here(&document.replace(BOB, ALICE)),
            400,
        ),
        (
            "larger than a document may be",
            url.clone(),
            here(&large),
            413,
        ),
        (
            "too large to be taken",
            url.clone(),
            Err(Fault::TooLarge),
            413,
        ),
        ("nobody there", url.clone(), Err(Fault::Unreachable), 502),
        ("not there", url.clone(), Err(Fault::Refused), 502),
        ("too late", url.clone(), Err(Fault::TimedOut), 504),
    ] {
        let mut bench = bench();
        bench.publish_elsewhere(&params, "");
        let number = bench.asked_for().expect(case).number;
        let answer = bench.content(number, fetched).remove(0);
        assert_eq!(answer.status(), status, "{case}: {}", answer.text);
        let held = usize::from(status == 200);
        assert_eq!(bench.node.census().presence.publications, held, "{case}");
    }
}

#[test]
fn what_can_be_refused_is_refused_without_a_fetch() {
    let url = format!("URL=\"{URL}\"");
    for (case, params, more, status) in [
        ("another server", "URL=\"http://evil.test/a\"", "", 403),
        (
            "another scheme",
            "URL=\"ftp://content.ims.test/a\"",
            "",
            415,
        ),
        ("no URL", "size=3", "", 400),
        ("too large", &format!("{url};size=1000000"), "", 413),
        ("another package", &url, "Event: foo\r\n", 489),
    ] {
        let mut bench = bench();
        let head = format!(
            "{}P-Asserted-Identity: <{BOB}>\r\nContent-Type: message/external-body;access-type=URL;{params}\r\n{more}",
            if more.is_empty() {
                "Event: presence\r\n"
            } else {
                ""
            }
        );
        let answer = bench.ask("PUBLISH", BOB, &head, INNER).remove(0);
        assert_eq!(answer.status(), status, "{case}: {}", answer.text);
        assert_eq!(bench.asked_for(), None, "{case}");
    }
    let mut bench = Bench::new(settings());
    let (_, sent) = bench.publish_elsewhere(&url, "");
    assert_eq!(sent[0].status(), 415, "not configured");
    let mut bench = self::bench();
    let head = format!(
        "Event: presence\r\nP-Asserted-Identity: <{ALICE}>\r\nContent-Type: message/external-body;access-type=URL;{url}\r\n"
    );
    let answer = bench.ask("PUBLISH", BOB, &head, INNER).remove(0);
    assert_eq!(
        (answer.status(), bench.asked_for()),
        (403, None),
        "not the presentity"
    );
}

#[test]
fn no_more_publishes_wait_than_the_operator_allows_and_none_for_ever() {
    let mut bench = bench();
    let url = format!("URL=\"{URL}\"");
    for _ in 0..2 {
        assert!(bench.publish_elsewhere(&url, "").1.is_empty());
    }
    let (_, sent) = bench.publish_elsewhere(&url, "");
    assert_eq!((sent[0].status(), sent[0].get("Retry-After")), (503, "10"));
    let answers = bench.wait(6_000);
    let statuses: Vec<u16> = answers.iter().map(Sent::status).collect();
    assert_eq!(statuses, [504, 504], "the program said nothing");
    assert!(
        bench.publish_elsewhere(&url, "").1.is_empty(),
        "there is room again"
    );
}
