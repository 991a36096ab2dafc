//! Peers that connect to us: who is let in, what is bounded, and the election when both connect.

use super::*;
use crate::charging::socket::{Acknowledge, Socket};
use crate::charging::tls::tests::certificates;

/// An address to listen at.
fn free() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// Nothing listens there: a peer of the configuration that is expected from this address.
fn from(ip: &str) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), 9)
}

/// Peers that only connect to us, and where we listen for them.
fn expecting(peers: &[(&str, SocketAddr)], extra: &str) -> (Bench, SocketAddr) {
    let door = free();
    let mut extra = format!("listen = '{door}'\n{extra}\n");
    for (host, address) in peers {
        extra += &format!("[[peers]]\nhost = '{host}'\naddress = '{address}'\nconnect = false\n");
    }
    (Bench::new(&[], &extra), door)
}

fn cer(host: &str) -> Vec<u8> {
    let mut w = Writer::hop_request(CMD_CAPABILITIES_EXCHANGE, 1, 2);
    let ip = diameter::avp::Address::Ip([127, 0, 0, 1].into());
    w.utf8(&ORIGIN_HOST, host)
        .utf8(&ORIGIN_REALM, "ims.test")
        .address(&HOST_IP_ADDRESS, &ip)
        .u32(&VENDOR_ID, 0)
        .utf8(&PRODUCT_NAME, "test")
        .u32(&ACCT_APPLICATION_ID, 3);
    w.finish(1_000).unwrap()
}

fn result(message: &[u8]) -> Option<u32> {
    Message::parse(message).ok()?.find(&RESULT_CODE)?.u32()
}

/// A peer that connects from this address.
async fn call(door: SocketAddr, ip: &str, host: &'static str) -> Peer {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket
        .bind(SocketAddr::new(ip.parse().unwrap(), 0))
        .unwrap();
    Peer {
        stream: socket.connect(door).await.unwrap(),
        framer: Framer::new(65_536),
        host,
    }
}

#[tokio::test]
async fn a_peer_that_connects_from_its_address_gets_the_records() {
    let (bench, door) = expecting(&[("cdf1.test", from("127.0.0.1"))], "");
    let charging = bench.start();
    charging.committed(bench.store([1]).await);
    let mut peer = call(door, "127.0.0.1", "cdf1.test").await;
    peer.stream.write_all(&cer("cdf1.test")).await.unwrap();
    assert_eq!(result(&peer.next().await.unwrap()), Some(2001));
    let (received, acr) = peer.accounting().await;
    assert_eq!(received.session, session(1));
    peer.answer(&acr, 2001).await;
    bench.until_stored(0).await;
    // a second connection of it is turned away, and the first goes on
    let mut second = call(door, "127.0.0.1", "cdf1.test").await;
    second.stream.write_all(&cer("cdf1.test")).await.unwrap();
    assert_eq!(result(&second.next().await.unwrap()), Some(5012));
    assert_eq!(second.next().await, None);
    charging.committed(bench.store([2]).await);
    let (_, acr) = peer.accounting().await;
    peer.answer(&acr, 2001).await;
    bench.until_stored(0).await;
}

#[tokio::test]
async fn who_connects_must_be_who_he_says_from_where_he_is() {
    let peers = [
        ("cdf1.test", from("127.0.0.1")),
        ("cdf2.test", from("127.0.0.2")),
    ];
    let (bench, door) = expecting(&peers, "");
    let _charging = bench.start();
    for (case, ip, host, told) in [
        ("as configured", "127.0.0.2", "cdf2.test", Some(2001)),
        ("another one's name", "127.0.0.1", "cdf2.test", Some(3010)),
        ("a name nobody has", "127.0.0.1", "cdf3.test", Some(3010)),
        (
            "our own name",
            "127.0.0.1",
            "presentia.ims.test",
            Some(3010),
        ),
        ("from nowhere known", "127.0.0.3", "cdf1.test", None),
    ] {
        let mut peer = call(door, ip, host).await;
        // it may be gone already
        let _ = peer.stream.write_all(&cer(host)).await;
        let told_now = peer.next().await.and_then(|answer| result(&answer));
        assert_eq!(told_now, told, "{case}");
        if told != Some(2001) {
            assert_eq!(peer.next().await, None, "{case}");
        }
    }
}

#[tokio::test]
async fn connections_that_say_nothing_are_few_and_short() {
    let silent = |timeout_ms| {
        let extra = format!("listen_half_open = 3\nconnect_timeout_ms = {timeout_ms}");
        expecting(&[("cdf1.test", from("127.0.0.1"))], &extra)
    };
    // Few: three are waited for, longer than this test lasts; the others are closed at once, without a word.
    let (bench, door) = silent(60_000);
    let _charging = bench.start();
    let mut callers = Vec::new();
    for _ in 0..20 {
        callers.push(call(door, "127.0.0.1", "cdf1.test").await);
    }
    let (waited_for, others) = callers.split_at_mut(3);
    for peer in others {
        assert_eq!(peer.next().await, None);
    }
    for peer in waited_for {
        peer.stream.write_all(&cer("cdf9.test")).await.unwrap();
        let told = peer.next().await.and_then(|answer| result(&answer));
        assert_eq!(told, Some(3010), "it was there still, and a stranger");
    }

    // Short: they have as long as is set, no less and not for ever; then there is room again.
    const SILENCE: Duration = Duration::from_millis(500);
    let (bench, door) = silent(SILENCE.as_millis());
    let _charging = bench.start();
    let began = tokio::time::Instant::now();
    let mut callers = Vec::new();
    for _ in 0..3 {
        callers.push(call(door, "127.0.0.1", "cdf1.test").await);
    }
    for peer in &mut callers {
        assert_eq!(peer.next().await, None);
        assert!(began.elapsed() >= SILENCE);
    }
    drop(callers);
    let mut peer = call(door, "127.0.0.1", "cdf1.test").await;
    peer.stream.write_all(&cer("cdf1.test")).await.unwrap();
    let told = peer.next().await.and_then(|answer| result(&answer));
    assert_eq!(told, Some(2001), "there is room again");
}

#[tokio::test]
async fn when_both_connect_one_connection_is_left_to_the_higher_name() {
    // ours is presentia.ims.test
    for (host, we_win) in [("aaa.test", true), ("zzz.test", false)] {
        let cdf = Cdf::listening(host).await;
        let door = free();
        let extra = format!("listen = '{door}'");
        let bench = Bench::new(&[(host, cdf.address())], &extra);
        let charging = bench.start();
        // Our connection, on which the CEA is held back, and theirs.
        let (stream, _) = cdf.listener.accept().await.unwrap();
        let mut ours = Peer {
            stream,
            framer: Framer::new(65_536),
            host,
        };
        let our_cer = ours.next().await.unwrap();
        let mut theirs = call(door, "127.0.0.1", host).await;
        theirs.stream.write_all(&cer(host)).await.unwrap();
        let mut left = match we_win {
            true => {
                assert_eq!(ours.next().await, None, "{host}");
                assert_eq!(result(&theirs.next().await.unwrap()), Some(2001), "{host}");
                theirs
            }
            false => {
                ours.answer(&our_cer, 2001).await;
                // Closed, or turned away where its CER was read only after our CEA: never let in.
                while let Some(told) = theirs.next().await {
                    assert_eq!(result(&told), Some(5012), "{host}");
                }
                ours
            }
        };
        bench.until_up(host).await;
        charging.committed(bench.store([1]).await);
        let (_, acr) = left.accounting().await;
        left.answer(&acr, 2001).await;
        bench.until_stored(0).await;
    }
}

#[tokio::test]
async fn over_tls_the_certificate_says_who_it_may_be() {
    let folder = tempfile::tempdir().unwrap();
    if !certificates(folder.path()) {
        return;
    }
    let file = |name: &str| folder.path().join(name).display().to_string();
    let door = free();
    let tls = |own: &str| {
        format!(
            "tls = {{ ca = '{}', certificate = '{}', key = '{}' }}",
            file("ca.pem"),
            file(&format!("{own}.pem")),
            file(&format!("{own}.key"))
        )
    };
    let peer = |host: &str| {
        format!(
            "[[peers]]\nhost = '{host}'\naddress = '127.0.0.9:9'\ntls = true\nconnect = false\n"
        )
    };
    let extra = format!(
        "listen_tls = '{door}'\n{}\n{}{}",
        tls("ps"),
        peer("cdf1.test"),
        peer("cdf2.test")
    );
    let bench = Bench::new(&[], &extra);
    let _charging = bench.start();
    for (case, own, host, told) in [
        (
            "the name of its certificate",
            "cdf",
            "cdf1.test",
            Some(2001),
        ),
        ("another name than that", "cdf", "cdf2.test", Some(3010)),
        ("a certificate of no peer", "ps", "cdf1.test", None),
    ] {
        let settings: Settings = toml::from_str(&tls(own)).unwrap();
        let tls = Tls::load(&settings.tls).unwrap().unwrap();
        let stream = TcpStream::connect(door).await.unwrap();
        let mut stream = tls
            .connect("ps.test", Socket::new(stream, Acknowledge::AtOnce).unwrap())
            .await
            .unwrap();
        let _ = stream.write_all(&cer(host)).await; // it may be gone already
        let mut framer = Framer::new(65_536);
        let mut buffer = [0; 4_096];
        let answer = loop {
            match tokio::time::timeout(PATIENCE, stream.read(&mut buffer)).await {
                Ok(Ok(count @ 1..)) => framer.push(&buffer[..count]),
                Ok(_) => break None,
                Err(_) => panic!("{case}: nothing in time"),
            }
            if let Some(message) = framer.next_message().unwrap() {
                break result(&message);
            }
        };
        assert_eq!(answer, told, "{case}");
    }
    // In the clear there is no way in.
    let mut plain = call(door, "127.0.0.1", "cdf1.test").await;
    plain.stream.write_all(&cer("cdf1.test")).await.unwrap();
    let mut buffer = Vec::new();
    let _ = plain.stream.read_to_end(&mut buffer).await; // an alert, then the end
    assert!(buffer.first() != Some(&1), "no CEA");
}
