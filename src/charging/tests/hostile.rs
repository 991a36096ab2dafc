//! CDFs that misbehave, over real sockets: what brought another Diameter stack down ends a connection here at most, and
//! the record that was under way arrives all the same.

use super::*;

/// Service-Information AVPs, each inside the other.
fn nested(depth: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for level in (1..=depth).rev() {
        let [_, a, b, c] = ((level * 12) as u32).to_be_bytes();
        bytes.extend([0, 0, 3, 105, 192, a, b, c, 0, 0, 40, 175]);
    }
    bytes
}

/// A DWR with these bytes behind its AVPs.
fn dwr(more: &[u8]) -> Vec<u8> {
    let mut w = Writer::hop_request(CMD_DEVICE_WATCHDOG, 1, 2);
    w.utf8(&ORIGIN_HOST, "cdf1.test")
        .utf8(&ORIGIN_REALM, "ims.test");
    let mut message = w.finish(1_000).unwrap();
    message.extend_from_slice(more);
    let length = (message.len() as u32).to_be_bytes();
    message[1..4].copy_from_slice(&length[1..]);
    message
}

fn request(command: u32, application: u32) -> Vec<u8> {
    let mut w = Writer::request(command, application);
    w.utf8(&ORIGIN_HOST, "cdf1.test")
        .utf8(&ORIGIN_REALM, "ims.test");
    w.finish(1_000).unwrap()
}

/// A success for nobody, or for this request with something changed.
fn success(hop_by_hop: u32, session: &str) -> Vec<u8> {
    let header = diameter::message::Header {
        flags: diameter::message::Flags(0xc0),
        command: CMD_ACCOUNTING,
        application: APP_ACCOUNTING,
        hop_by_hop,
        end_to_end: 1,
    };
    let mut w = Writer::answer(&header, ResultCode::SUCCESS);
    w.utf8(&SESSION_ID, session).u32(&RESULT_CODE, 2001);
    w.finish(1_000).unwrap()
}

const UNKNOWN: [u8; 12] = [0, 1, 0x55, 0x55, 0, 0, 0, 12, 1, 2, 3, 4];
const UNKNOWN_M: [u8; 12] = [0, 1, 0x55, 0x55, 0x40, 0, 0, 12, 1, 2, 3, 4];

/// What a CDF says while an accounting request waits for its answer, and the Result-Code that it is told for it. The
/// connection goes on.
fn survived() -> Vec<(&'static str, Vec<u8>, Option<u32>)> {
    let avp = |bytes: &[u8]| dwr(bytes);
    vec![
        ("a watchdog", dwr(&[]), Some(2001)),
        ("5,000 nested groups", dwr(&nested(5_000)), Some(5012)),
        ("an unknown AVP without M", dwr(&UNKNOWN), Some(2001)),
        ("an unknown AVP with M", dwr(&UNKNOWN_M), Some(5001)),
        (
            "an AVP of length 0",
            avp(&[0, 0, 1, 8, 64, 0, 0, 0]),
            Some(5014),
        ),
        (
            "an AVP of length 7",
            avp(&[0, 0, 1, 8, 64, 0, 0, 7]),
            Some(5014),
        ),
        (
            "an AVP longer than its message",
            avp(&[0, 0, 1, 8, 64, 0xff, 0xff, 0xff]),
            Some(5014),
        ),
        (
            "an Unsigned32 of length 10",
            avp(&[0, 0, 1, 22, 64, 0, 0, 10, 1, 2, 0, 0]),
            Some(5014),
        ),
        (
            "an Unsigned32 of length 16",
            avp(&[0, 0, 1, 22, 64, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 1]),
            Some(5014),
        ),
        ("an unknown command", request(9_999, 3), Some(3001)),
        ("an unknown application", request(271, 77), Some(3007)),
        ("an answer to nobody", success(7, "nobody"), None),
    ]
}

/// What a CDF says, at the same time, that cannot be framed any more.
fn ended() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("header length 0", vec![1, 0, 0, 0]),
        ("header length 1", vec![1, 0, 0, 1]),
        ("header length 2", vec![1, 0, 0, 2]),
        ("header length 3", vec![1, 0, 0, 3]),
        ("version 2", vec![2, 0, 0, 20]),
        ("more than may be", vec![1, 0xff, 0xff, 0xfc]),
        (
            "another protocol",
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        ),
    ]
}

impl Peer {
    async fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Reads until the end of the connection.
    async fn until_closed(&mut self) {
        while self.next().await.is_some() {}
    }
}

#[tokio::test]
async fn what_a_cdf_says_beside_its_answers_is_answered_and_disturbs_none() {
    let cdf = Cdf::listening("cdf1.test").await;
    let bench = Bench::new(&[("cdf1.test", cdf.address())], "");
    let charging = bench.start();
    let mut peer = cdf.accept().await;
    bench.until_up("cdf1.test").await;
    for (number, (case, message, told)) in survived().into_iter().enumerate() {
        charging.committed(bench.store([number as u64 + 1]).await);
        let (received, acr) = peer.accounting().await;
        assert!(!received.retransmitted, "{case}");
        peer.say(&message).await;
        if let Some(told) = told {
            let answer = peer.next().await.expect(case);
            let answer = Message::parse(&answer).unwrap();
            assert!(!answer.header.flags.request(), "{case}");
            let result = answer.find(&RESULT_CODE).and_then(|avp| avp.u32());
            assert_eq!(result, Some(told), "{case}");
        }
        peer.answer(&acr, 2001).await;
        bench.until_stored(0).await;
    }
}

/// A record is under way, something is done to its connection, and in its next life it is sent with T and taken.
async fn outlived<F: Future<Output = ()>>(case: &str, act: impl FnOnce(Peer, Vec<u8>) -> F) {
    let cdf = Cdf::listening("cdf1.test").await;
    let bench = Bench::new(&[("cdf1.test", cdf.address())], "");
    let charging = bench.start();
    let peer = cdf.accept().await;
    charging.committed(bench.store([1]).await);
    let mut peer = peer;
    let (first, acr) = peer.accounting().await;
    act(peer, acr).await;
    bench.until_stored(1).await;
    charging.shutdown(Duration::from_millis(200)).await;
    // It may have connected again before its end; nobody is behind that any more.
    let stale = || tokio::time::timeout(Duration::from_millis(20), cdf.listener.accept());
    while stale().await.is_ok() {}
    let _charging = bench.start();
    let mut peer = cdf.accept().await;
    let (again, acr) = peer.accounting().await;
    assert!(again.retransmitted, "{case}");
    assert_eq!(
        (again.session, again.end_to_end),
        (first.session, first.end_to_end),
        "{case}"
    );
    peer.answer(&acr, 2001).await;
    bench.until_stored(0).await;
}

#[tokio::test]
async fn what_cannot_be_framed_or_closes_half_way_loses_no_record() {
    for (case, bytes) in ended() {
        outlived(case, |mut peer, _| async move {
            peer.say(&bytes).await;
            peer.until_closed().await;
        })
        .await;
    }
    outlived("closed with a request pending", |peer, _| async move {
        drop(peer);
    })
    .await;
    outlived("half closed", |mut peer, _| async move {
        peer.stream.shutdown().await.unwrap();
        peer.until_closed().await;
    })
    .await;
    outlived(
        "closed in the middle of an answer",
        |mut peer, acr| async move {
            let session = session(1);
            let hop = Message::parse(&acr).unwrap().header.hop_by_hop;
            let answer = success(hop, &session);
            peer.say(&answer[..answer.len() - 1]).await;
            peer.stream.shutdown().await.unwrap();
            peer.until_closed().await;
        },
    )
    .await;
}

/// RFC 6733 §7.1.5: the answer goes before the end, over the socket too.
#[tokio::test]
async fn what_cannot_be_framed_is_told_why_before_the_connection_ends() {
    let whole = dwr(&[]);
    for (case, start, told) in [
        ("version 2", [2, 0, 0, 20], 5011),
        ("no multiple of 4", [1, 0, 0, 22], 5015),
        ("more than may be", [1, 0xff, 0xff, 0xfc], 5015),
    ] {
        let cdf = Cdf::listening("cdf1.test").await;
        let bench = Bench::new(&[("cdf1.test", cdf.address())], "");
        let _charging = bench.start();
        let mut peer = cdf.accept().await;
        bench.until_up("cdf1.test").await;
        peer.say(&[&start[..], &whole[4..]].concat()).await;
        let answer = peer.next().await.unwrap();
        let answer = Message::parse(&answer).unwrap();
        let code = answer.find(&RESULT_CODE).and_then(|avp| avp.u32());
        assert_eq!(code, Some(told), "{case}");
        assert!(peer.next().await.is_none(), "{case}");
    }
}

#[tokio::test]
async fn a_cdf_that_is_not_what_it_should_be_gets_no_record() {
    let cdf = Cdf::listening("cdf1.test").await;
    let bench = Bench::new(&[("cdf1.test", cdf.address())], "reconnect_max_ms = 20");
    let charging = bench.start();
    charging.committed(bench.store([1]).await);
    for case in ["another host", "no application", "a bomb", "a request"] {
        let (stream, _) = cdf.listener.accept().await.unwrap();
        let mut peer = Peer {
            stream,
            framer: Framer::new(65_536),
            host: "cdf1.test",
        };
        let cer = peer.next().await.unwrap();
        let header = Message::parse(&cer).unwrap().header;
        let mut cea = Writer::answer(&header, ResultCode::SUCCESS);
        cea.u32(&RESULT_CODE, 2001).utf8(&ORIGIN_REALM, "ims.test");
        match case {
            "another host" => cea
                .utf8(&ORIGIN_HOST, "cdf2.test")
                .u32(&ACCT_APPLICATION_ID, 3),
            "no application" => cea.utf8(&ORIGIN_HOST, "cdf1.test"),
            _ => cea
                .utf8(&ORIGIN_HOST, "cdf1.test")
                .u32(&ACCT_APPLICATION_ID, 3)
                .raw(&nested(5_000)),
        };
        let message = match case {
            "a request" => dwr(&[]),
            _ => cea.finish(65_536).unwrap(),
        };
        peer.say(&message).await;
        let next = peer.next().await;
        assert_eq!(next, None, "{case}: closed without a record");
    }
    let mut peer = cdf.accept().await;
    let (_, acr) = peer.accounting().await;
    // The realm of an answer is the answerer's own affair: agents have another one than the servers behind them.
    peer.answer(&acr, 2001).await;
    bench.until_stored(0).await;
}

#[tokio::test]
async fn a_late_success_does_not_disturb_the_record_that_was_sent_again() {
    let cdf = Cdf::listening("cdf1.test").await;
    let bench = Bench::new(&[("cdf1.test", cdf.address())], "answer_timeout_ms = 100");
    let charging = bench.start();
    let mut peer = cdf.accept().await;
    bench.until_up("cdf1.test").await;
    charging.committed(bench.store([1]).await);
    let (first, late) = peer.accounting().await;
    let (second, acr) = peer.accounting().await;
    assert!(!first.retransmitted && second.retransmitted);
    assert_eq!(first.session, second.session);
    peer.answer(&late, 5012).await; // of no effect, whatever it says
    peer.answer(&acr, 2001).await;
    bench.until_stored(0).await;
    charging.committed(bench.store([2]).await);
    let (third, acr) = peer.accounting().await;
    assert_eq!(third.session, session(2));
    peer.answer(&acr, 2001).await;
    bench.until_stored(0).await;
}

#[tokio::test]
async fn a_cdf_that_asks_and_does_not_read_is_left_with_its_answers_bounded() {
    let cdf = Cdf::listening("cdf1.test").await;
    let bench = Bench::new(&[("cdf1.test", cdf.address())], "");
    let _charging = bench.start();
    let mut peer = cdf.accept().await;
    bench.until_up("cdf1.test").await;
    // Each is answered with as many bytes.
    let mut w = Writer::request(9_999, APP_ACCOUNTING);
    w.utf8(&SESSION_ID, &"x".repeat(60_000))
        .utf8(&ORIGIN_HOST, "cdf1.test")
        .utf8(&ORIGIN_REALM, "ims.test");
    let large = w.finish(65_536).unwrap();
    // The sockets hold some megabytes; far below a gigabyte it has been disconnected.
    let flood = async {
        for _ in 0..16_384 {
            if peer.stream.write_all(&large).await.is_err() {
                return true;
            }
        }
        false
    };
    let left = tokio::time::timeout(PATIENCE, flood).await;
    assert_eq!(left, Ok(true), "it is disconnected");
}
