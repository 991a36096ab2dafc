//! Content indirection (RFC 4483) against a web server of the test.

use crate::harness::{Request, SOON, Server, Ua, pidf};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

const BOB: &str = "sip:bob@ims.test";

/// A web server with few paths. It ends with the test.
fn web(document: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(mut stream), document) = (stream, document.clone()) else {
                return;
            };
            std::thread::spawn(move || {
                let mut head = [0; 4096];
                let length = stream.read(&mut head).unwrap_or(0);
                let head = String::from_utf8_lossy(&head[..length]).into_owned();
                let path = head.split(' ').nth(1).unwrap_or("").to_owned();
                let answer = |status: &str, more: &str, body: &str| {
                    format!(
                        "HTTP/1.1 {status}\r\nContent-Type: application/pidf+xml\r\n{more}Content-Length: {}\r\n\r\n{body}",
                        body.len()
                    )
                };
                let text = match path.as_str() {
                    "/bob.xml" => answer("200 OK", "", &document),
                    "/moved" => answer("302 Found", "Location: /bob.xml\r\n", ""),
                    "/large" => answer("200 OK", "", &"x".repeat(200_000)),
                    "/endless" => {
                        // a body without length that never ends, as long as somebody reads it
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
                        while stream.write_all(&[b'x'; 1024]).is_ok() {}
                        return;
                    }
                    "/silent" => return std::thread::sleep(Duration::from_secs(20)),
                    "/broken" => "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx".to_owned(),
                    _ => answer("404 Not Found", "", ""),
                };
                let _ = stream.write_all(text.as_bytes());
            });
        }
    });
    address
}

fn elsewhere(url: &str, more: &str) -> Request {
    Request::publish(BOB, "").body(
        &format!("message/external-body;access-type=\"URL\";URL=\"{url}\"{more}"),
        "Content-Type: application/pidf+xml\r\n\r\n",
    )
}

#[test]
fn a_publication_is_fetched_from_the_server_that_the_operator_lists() {
    let document = pidf(BOB, "open", "fetched");
    let web = web(document.clone());
    let nobody = crate::harness::free_port();
    let server = Server::start(&format!(
        "[publication]\ncontent_servers = [\"{web}\", \"127.0.0.1:{nobody}\"]\ncontent_timeout_ms = 3000\n"
    ));
    let mut bob = Ua::new(server.sip);
    let size = format!(";size={}", document.len());
    for (case, url, more, status) in [
        ("as announced", format!("http://{web}/bob.xml"), &*size, 200),
        (
            "another size",
            format!("http://{web}/bob.xml"),
            ";size=7",
            400,
        ),
        ("a redirection", format!("http://{web}/moved"), "", 502),
        ("not there", format!("http://{web}/other"), "", 502),
        ("too large", format!("http://{web}/large"), "", 413),
        ("without end", format!("http://{web}/endless"), "", 413),
        ("cut off", format!("http://{web}/broken"), "", 502),
        (
            "nobody listens",
            format!("http://127.0.0.1:{nobody}/a"),
            "",
            502,
        ),
        ("not listed", "http://127.0.0.2/a".to_owned(), "", 403),
    ] {
        let answer = bob.ask(&elsewhere(&url, more));
        assert_eq!(answer.status(), Some(status), "{case}");
    }
    let text = bob.write(&elsewhere(&format!("http://{web}/silent"), ""));
    bob.send(text.as_bytes());
    // meanwhile everybody else is served
    let mut other = Ua::new(server.sip);
    let (_, seen) = other.watch(&Request::subscribe(BOB, BOB));
    assert!(seen.body.contains("fetched"), "{}", seen.body);
    let early = bob.any_response(Duration::from_millis(1));
    assert!(early.is_none(), "others wait for a silent server");
    let answer = bob.any_response(SOON).expect("an answer");
    assert_eq!(answer.status(), Some(504));
    server.stop();
}
