//! Overrides of decisions, over HTTP.

use super::*;

#[tokio::test]
async fn overrides_are_listed_set_and_removed_by_trusted_peers_only() {
    let said = "{\"by\":\"op\",\"why\":\"t 1\"}";
    let order = "{\"handling\":\"allow\",\"by\":\"op\",\"why\":\"t 1\"}";
    let ask = |method: &str, path: &str, body: &str| {
        format!(
            "{method} /overrides{path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    };
    let (bob, alice) = ("/sip:bob@ims.test/*", "/*/sip%3Aalice%40ims.test");
    for (case, request, status, part) in [
        ("the list", ask("GET", "", ""), 200, "\"at\":7"),
        (
            "a new one",
            ask("PUT", alice, order),
            201,
            "\"watcher\":\"sip:alice@ims.test\"",
        ),
        (
            "another in place of one",
            ask("PUT", bob, order),
            200,
            "\"handling\":\"allow\"",
        ),
        (
            "the end of one",
            ask("DELETE", bob, said),
            200,
            "\"handling\":\"block\"",
        ),
        (
            "the end of none",
            ask("DELETE", alice, said),
            404,
            "no such override",
        ),
        (
            "a handling that there is not",
            ask("PUT", bob, &order.replace("allow", "maybe")),
            400,
            "polite-block",
        ),
        (
            "nobody orders it",
            ask("PUT", bob, &order.replace("op", " ")),
            400,
            "by names",
        ),
        (
            "no reason",
            ask("DELETE", bob, &said.replace("t 1", "")),
            400,
            "why says",
        ),
        ("no JSON", ask("PUT", bob, "allow"), 400, "error"),
        (
            "no presentity",
            ask("PUT", "/bob/*", order),
            400,
            "the presentity is",
        ),
        (
            "half a path",
            ask("PUT", "/sip:bob@ims.test", order),
            400,
            "/overrides/",
        ),
        ("a broken escape", ask("PUT", "/%4/*", order), 400, "escape"),
        (
            "another method",
            ask("POST", "", order),
            405,
            "allow: GET, HEAD",
        ),
        (
            "another method on one",
            ask("GET", bob, ""),
            405,
            "allow: PUT, DELETE",
        ),
        ("another page", ask("GET", "x", ""), 404, ""),
    ] {
        let server = start("", echo).await;
        let answer = server.ask(&request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{case}: {answer}"
        );
        assert!(answer.contains(part), "{case}: {answer}");
        let others = start("http.trusted_proxies = ['192.0.2.1']", echo).await;
        let answer = others.ask(&request).await;
        assert!(
            answer.starts_with("HTTP/1.1 404 "),
            "{case}, for others: {answer}"
        );
    }
}
