//! The listener against raw sockets, with a port that tells what it was asked.

mod limits;
mod overrides;

use super::listen::HEAD_MAX;
use super::*;
use crate::store::committer::Settings;
use crate::store::{Committer, memory::Memory};
use ims::node::{Override, Scope};
use ims::presence::rules::Handling;
use ims::time::Timestamp;
use std::net::SocketAddr;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Answers every request at once with what `answer` makes of it, or waits for ever.
struct Stub {
    answer: fn(&xdm::Request) -> Result<xdm::Response, Busy>,
    /// Decisions that are held back.
    held: Mutex<Option<Vec<oneshot::Sender<xdm::Response>>>>,
}

impl Port for Stub {
    fn submit(&self, request: xdm::Request) -> Result<oneshot::Receiver<xdm::Response>, Busy> {
        let (decide, decision) = oneshot::channel();
        let response = (self.answer)(&request)?;
        match self.held.lock().unwrap().as_mut() {
            Some(held) => held.push(decide),
            None => decide.send(response).unwrap(),
        }
        Ok(decision)
    }

    /// Says what it was asked to impose, and knows of one override.
    fn administer(&self, request: Administration) -> Result<oneshot::Receiver<Administered>, Busy> {
        let (decide, decision) = oneshot::channel();
        let of = |scope, handling, by, why| Override {
            scope,
            handling,
            by,
            why,
            at: Timestamp(7),
        };
        let known = Scope::parse("sip:bob@ims.test", "*").unwrap();
        let one = of(known.clone(), Handling::Block, "a".into(), "b".into());
        let answer = match request {
            Administration::List => Administered::All(vec![one]),
            Administration::Impose {
                scope,
                handling,
                by,
                why,
            } => Administered::Imposed {
                before: (scope == known).then_some(one),
                now: of(scope, handling, by, why),
            },
            Administration::Lift(scope) if scope == known => Administered::Lifted(one),
            Administration::Lift(_) => Administered::Absent,
        };
        decide.send(answer).unwrap();
        Ok(decision)
    }
}

/// The request as text, so that a test can compare it whole.
fn echo(request: &xdm::Request) -> Result<xdm::Response, Busy> {
    let who = match &request.identity {
        xdm::Identity::User(user) => user.as_str(),
        xdm::Identity::Server => "server",
        xdm::Identity::Unknown => "unknown",
    };
    let body = format!(
        "{:?} {} {:?} {who} {}",
        request.method,
        request.target,
        request.query,
        request.body.len()
    );
    Ok(xdm::Response {
        content_type: Some("text/plain".into()),
        etag: Some("\"e1\"".into()),
        body: body.into(),
        ..xdm::Response::empty(200)
    })
}

struct Running {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    done: tokio::task::JoinHandle<()>,
    port: Arc<Stub>,
    metrics: Metrics,
    readiness: Arc<Readiness>,
    _store: Committer,
}

async fn start(
    configuration: &str,
    answer: fn(&xdm::Request) -> Result<xdm::Response, Busy>,
) -> Running {
    let mut config = Config::parse(configuration, "test").unwrap();
    config.http.listen = Some("127.0.0.1:0".parse().unwrap());
    let store = Committer::start(
        Box::new(Memory::new()),
        Settings {
            queue: 8,
            reserve: 0,
            gather: Duration::ZERO,
        },
        (),
    )
    .unwrap();
    let readiness = Arc::new(Readiness::new(store.watch()));
    let port = Arc::new(Stub {
        answer,
        held: Mutex::default(),
    });
    let metrics = Metrics::new();
    let listener = bind(config.http.listen.unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = Service::new(
        Arc::new(config),
        port.clone(),
        metrics.clone(),
        readiness.clone(),
    )
    .unwrap();
    let (stop, stopping) = watch::channel(false);
    let done = tokio::spawn(serve(listener, false, Arc::new(service), stopping));
    Running {
        address,
        stop,
        done,
        port,
        metrics,
        readiness,
        _store: store,
    }
}

impl Running {
    /// Sends bytes on a new connection and reads until it is closed.
    async fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        // A server that closes while we still send resets the connection; what it said before counts.
        let _ = stream.read_to_string(&mut answer).await;
        answer
    }

    async fn get(&self, path: &str, headers: &str) -> String {
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n"
        ))
        .await
    }
}

#[tokio::test]
async fn a_request_reaches_the_port_whole_and_its_answer_comes_back() {
    let server = start("", echo).await;
    let put = "PUT /xcap-root/pres-rules/users/sip:a@b/index?xmlns(p=urn:x) HTTP/1.1\r\nHost: x\r\n\
               X-3GPP-Asserted-Identity: \"sip:a@b\"\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    let answer = server.ask(put).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    for part in [
        "content-type: text/plain\r\n",
        "etag: \"e1\"\r\n",
        "server: Presentia\r\n",
        "date: ",
        "Put /pres-rules/users/sip:a@b/index Some(\"xmlns(p=urn:x)\") \"sip:a@b\" 5",
    ] {
        assert!(answer.contains(part), "{part} is missing in:\n{answer}");
    }
}

#[tokio::test]
async fn an_identity_is_believed_from_a_trusted_proxy_only() {
    const TRUSTED: &str = "";
    const OTHERS: &str = "http.trusted_proxies = ['192.0.2.1']";
    for (case, trust, headers, believed) in [
        (
            "3GPP header",
            TRUSTED,
            "X-3GPP-Asserted-Identity: \"sip:a@b\"\r\n",
            "\"sip:a@b\"",
        ),
        (
            "OMA header",
            TRUSTED,
            "X-XCAP-Asserted-Identity: sip:a@b\r\n",
            "sip:a@b",
        ),
        (
            "3GPP goes first",
            TRUSTED,
            "X-XCAP-Asserted-Identity: o\r\nX-3GPP-Asserted-Identity: t\r\n",
            "t",
        ),
        (
            "several in one line",
            TRUSTED,
            "X-3GPP-Asserted-Identity: \"sip:a@b\", \"tel:+361\"\r\n",
            "\"sip:a@b\", \"tel:+361\"",
        ),
        (
            "a line of the client beside that of its proxy",
            TRUSTED,
            "X-3GPP-Asserted-Identity: \"sip:a@b\"\r\nX-3GPP-Asserted-Identity: \"sip:c@d\"\r\n",
            "unknown",
        ),
        ("none", TRUSTED, "", "unknown"),
        (
            "SIP header",
            TRUSTED,
            "P-Asserted-Identity: \"Bob\" <sip:a@b>\r\n",
            "\"sip:a@b\"",
        ),
        (
            "SIP header from somebody else",
            OTHERS,
            "P-Asserted-Identity: <sip:a@b>\r\n",
            "unknown",
        ),
        (
            "empty",
            TRUSTED,
            "X-3GPP-Asserted-Identity:  \r\n",
            "unknown",
        ),
        (
            "not text",
            TRUSTED,
            "X-3GPP-Asserted-Identity: \u{e9}\r\n",
            "unknown",
        ),
        (
            "from somebody else",
            OTHERS,
            "X-3GPP-Asserted-Identity: \"sip:a@b\"\r\n",
            "unknown",
        ),
    ] {
        let server = start(trust, echo).await;
        let answer = server.get("/xcap-root/x", headers).await;
        assert!(
            answer.ends_with(&format!(" None {believed} 0")),
            "{case}: {answer}"
        );
    }
}

#[tokio::test]
async fn a_refusal_for_want_of_identity_has_the_configured_status() {
    let refuse = |_: &xdm::Request| Ok(xdm::Response::empty(403));
    for (configuration, headers, status, challenge) in [
        ("", "", "403 Forbidden", false),
        ("xcap.unknown_identity = 401", "", "401 Unauthorized", true),
        (
            "xcap.unknown_identity = 401",
            "X-3GPP-Asserted-Identity: sip:c@d\r\n",
            "403 Forbidden",
            false,
        ),
    ] {
        let answer = start(configuration, refuse)
            .await
            .get("/xcap-root/x", headers)
            .await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{configuration}: {answer}"
        );
        assert_eq!(
            answer.contains("www-authenticate: "),
            challenge,
            "{configuration}"
        );
    }
}

#[tokio::test]
async fn methods_and_paths_around_the_root() {
    let server = start("", echo).await;
    for (case, line, status, part) in [
        (
            "OPTIONS below the root",
            "OPTIONS /xcap-root/x",
            "200 OK",
            "allow: GET, HEAD, PUT, DELETE, OPTIONS",
        ),
        (
            "HEAD has the headers of GET",
            "HEAD /xcap-root/x",
            "200 OK",
            "content-length: 22\r\n",
        ),
        (
            "HEAD has no body",
            "HEAD /xcap-root/x",
            "200 OK",
            "\r\n\r\n",
        ),
        ("beside the root", "GET /xcap-rootx/y", "404 Not Found", ""),
        ("the root itself", "GET /xcap-root", "404 Not Found", ""),
        ("nothing", "GET /", "404 Not Found", ""),
        ("life", "GET /healthz", "200 OK", "alive"),
        (
            "not ready before it listens",
            "GET /readyz",
            "503 Service Unavailable",
            "not ready: starting",
        ),
        (
            "numbers",
            "GET /metrics",
            "200 OK",
            "presentia_http_requests_total",
        ),
        (
            "a page is not written",
            "PUT /metrics",
            "405 Method Not Allowed",
            "allow: GET, HEAD",
        ),
    ] {
        let answer = server
            .ask(&format!(
                "{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            ))
            .await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}\r\n")) && answer.contains(part),
            "{case}: {answer}"
        );
        if line.starts_with("HEAD") {
            assert!(answer.ends_with("\r\n\r\n"), "{case}: {answer}");
        }
    }
    server.readiness.set_listening();
    assert!(server.get("/readyz", "").await.ends_with("ready\n"));
    server.readiness.set_draining();
    assert!(
        server
            .get("/readyz", "")
            .await
            .ends_with("not ready: draining\n")
    );
}

#[tokio::test]
async fn the_administration_pages_do_not_exist_for_others() {
    let server = start("http.trusted_proxies = []", echo).await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert!(
            server.get(path, "").await.starts_with("HTTP/1.1 404 "),
            "{path}"
        );
    }
}
