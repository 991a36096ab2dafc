//! Too much, too slow, too many, and the end.

use super::*;

#[tokio::test]
async fn too_much_is_refused() {
    let server = start("http.max_body = 1000", echo).await;
    let chunk = format!("1f5\r\n{}\r\n", "b".repeat(501));
    for (case, request, status) in [
        (
            "the largest body",
            format!("Content-Length: 1000\r\n\r\n{}", "b".repeat(1000)),
            "200",
        ),
        (
            "a stated length above it",
            "Content-Length: 1001\r\n\r\n".into(),
            "413",
        ),
        (
            "chunks above it",
            format!("Transfer-Encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n"),
            "413",
        ),
        (
            "a head of twice the limit",
            format!("X: {}\r\n\r\n", "h".repeat(2 * HEAD_MAX as usize)),
            "431",
        ),
        ("more than 64 fields", "A: b\r\n".repeat(65) + "\r\n", "431"),
        (
            "two lengths",
            "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd".into(),
            "400",
        ),
    ] {
        let request =
            format!("PUT /xcap-root/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{request}");
        let answer = server.ask(&request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{case}: {answer}"
        );
    }
    for garbage in [
        "\r\n\r\n\r\nX\r\n\r\n",
        "GET\r\n\r\n",
        "\0\0\0\0\r\n\r\n",
        "GET /\u{1} HTTP/1.1\r\n\r\n",
    ] {
        let answer = server.ask(garbage).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 400 "),
            "{garbage:?}: {answer}"
        );
    }
    assert!(
        server
            .metrics
            .encode()
            .contains("rejected_inputs_total{reason=\"malformed\"}")
    );
}

#[tokio::test]
async fn the_slow_are_closed() {
    let server = start("http.head_timeout_s = 1\nhttp.body_timeout_s = 1", echo).await;
    for (case, sent, answered) in [
        ("nothing is sent", "", ""),
        ("half a head", "GET /xcap-root/x HTT", ""),
        (
            "half a body",
            "PUT /xcap-root/x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab",
            "HTTP/1.1 408 ",
        ),
        (
            "no second request",
            "GET /xcap-root/x HTTP/1.1\r\nHost: x\r\n\r\n",
            "HTTP/1.1 200 OK",
        ),
    ] {
        let answer = tokio::time::timeout(Duration::from_secs(20), server.ask(sent)).await;
        let answer = answer.unwrap_or_else(|_| panic!("{case}: never closed"));
        assert!(answer.starts_with(answered), "{case}: {answer}");
    }
}

#[tokio::test]
async fn overload_is_answered_503() {
    let server = start("", |_| Err(Busy)).await;
    let answer = server.get("/xcap-root/x", "").await;
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 2\r\n"),
        "{answer}"
    );
    let counted = r#"presentia_rejected_inputs_total{reason="overload"} 1"#;
    assert!(server.metrics.encode().contains(counted));
}

#[tokio::test]
async fn strangers_cannot_take_the_connections_of_trusted_hosts() {
    let server = start(
        "http.max_connections = 1\nhttp.trusted_proxies = ['127.0.0.1']",
        echo,
    )
    .await;
    let stranger = || async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        socket.connect(server.address).await.unwrap()
    };
    let mut first = stranger().await;
    first
        .write_all(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut byte = [0];
    first.read_exact(&mut byte).await.unwrap(); // it is being served
    let mut second = stranger().await;
    assert_eq!(
        second.read(&mut byte).await.unwrap_or(0),
        0,
        "the second stranger is closed at once"
    );
    assert!(
        server.get("/healthz", "").await.ends_with("alive\n"),
        "a trusted host gets through"
    );
}

#[tokio::test]
async fn stopping_finishes_what_is_under_way() {
    let server = start("", echo).await;
    *server.port.held.lock().unwrap() = Some(Vec::new());
    let mut under_way = TcpStream::connect(server.address).await.unwrap();
    under_way
        .write_all(b"GET /xcap-root/x HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let decide = loop {
        if let Some(decide) = server.port.held.lock().unwrap().as_mut().unwrap().pop() {
            break decide;
        }
        tokio::task::yield_now().await;
    };
    server.stop.send_replace(true);
    while TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await; // until the listener is closed
    }
    decide.send(xdm::Response::empty(200)).unwrap();
    let mut answer = String::new();
    under_way.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    server.done.await.unwrap();
}
