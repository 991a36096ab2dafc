//! The whole of charging against a scripted CDF over a real socket, with a store in memory.

mod callers;
mod desk;
mod hostile;

use super::acr::tests::full;
use super::settings::Settings;
use super::*;
use crate::store::Engine;
use crate::store::committer;
use crate::store::memory::{Disk, Memory};
use diameter::dictionary::*;
use diameter::fault::ResultCode;
use diameter::frame::Framer;
use diameter::message::Message;
use diameter::write::Writer;
use ims::record::Batch;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A CDF: what it is told to do with each connection.
struct Cdf {
    listener: TcpListener,
    host: &'static str,
}

/// One accounting request as the CDF received it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Received {
    session: String,
    retransmitted: bool,
    end_to_end: u32,
}

/// A connection of the CDF after its CEA.
struct Peer {
    stream: TcpStream,
    framer: Framer,
    host: &'static str,
}

impl Cdf {
    async fn listening(host: &'static str) -> Cdf {
        Cdf {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            host,
        }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    async fn accept(&self) -> Peer {
        let (stream, _) = tokio::time::timeout(PATIENCE, self.listener.accept())
            .await
            .unwrap()
            .unwrap();
        stream.set_nodelay(true).unwrap();
        let mut peer = Peer {
            stream,
            framer: Framer::new(65_536),
            host: self.host,
        };
        let cer = peer.next().await.unwrap();
        peer.answer(&cer, 2001).await;
        peer
    }
}

impl Peer {
    /// The next message; `None` at the end.
    async fn next(&mut self) -> Option<Vec<u8>> {
        let mut buffer = [0; 4_096];
        loop {
            if let Some(message) = self.framer.next_message().unwrap() {
                return Some(message.to_vec());
            }
            let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut buffer))
                .await
                .expect("a message in time");
            match read {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.framer.push(&buffer[..count]),
            }
        }
    }

    async fn answer(&mut self, request: &[u8], result: u32) {
        let request = Message::parse(request).unwrap();
        let mut w = Writer::answer(&request.header, ResultCode(result));
        if let Some(session) = request.find(&SESSION_ID) {
            w.utf8(&SESSION_ID, session.text().unwrap());
        }
        w.u32(&RESULT_CODE, result)
            .utf8(&ORIGIN_HOST, self.host)
            .utf8(&ORIGIN_REALM, "ims.test");
        w.u32(&ACCT_APPLICATION_ID, 3);
        let bytes = w.finish(65_536).unwrap();
        self.stream.write_all(&bytes).await.unwrap();
    }

    /// The next accounting request, with watchdogs answered on the way.
    async fn accounting(&mut self) -> (Received, Vec<u8>) {
        loop {
            let bytes = self.next().await.expect("an accounting request");
            let message = Message::parse(&bytes).unwrap();
            if message.header.command != CMD_ACCOUNTING {
                self.answer(&bytes, 2001).await;
                continue;
            }
            let received = Received {
                session: message
                    .find(&SESSION_ID)
                    .unwrap()
                    .text()
                    .unwrap()
                    .to_owned(),
                retransmitted: message.header.flags.retransmitted(),
                end_to_end: message.header.end_to_end,
            };
            return (received, bytes);
        }
    }
}

/// A store in memory with charging on top.
struct Bench {
    disk: Disk,
    reader: Arc<dyn Reader>,
    committer: Arc<Committer>,
    settings: Checked,
    metrics: Metrics,
}

impl Bench {
    fn new(peers: &[(&str, SocketAddr)], extra: &str) -> Bench {
        Bench::on(Memory::new(), peers, extra)
    }

    fn on(engine: Memory, peers: &[(&str, SocketAddr)], extra: &str) -> Bench {
        let mut text = format!("reconnect_min_ms = 10\n{extra}\n");
        for (priority, (host, address)) in peers.iter().enumerate() {
            text += &format!(
                "[[peers]]\nhost = '{host}'\naddress = '{address}'\npriority = {priority}\n"
            );
        }
        let settings: Settings = toml::from_str(&text).unwrap();
        let (disk, reader) = (engine.disk(), engine.reader());
        let store = committer::Settings {
            queue: 1_000,
            reserve: 0,
            gather: Duration::ZERO,
        };
        let committer = Arc::new(Committer::start(Box::new(engine), store, ()).unwrap());
        let settings = settings.complete("ims.test").unwrap();
        Bench {
            disk,
            reader,
            committer,
            settings,
            metrics: Metrics::new(),
        }
    }

    fn start(&self) -> Charging {
        self.start_above(0)
    }

    /// A process whose numbers begin with `first`.
    fn start_above(&self, first: u64) -> Charging {
        let settings = self.settings.clone();
        start(
            settings,
            None,
            self.reader.clone(),
            self.committer.clone(),
            self.metrics.clone(),
            first,
        )
        .unwrap()
    }

    /// Puts events in the store, as the batch of a state change does.
    async fn store(&self, numbers: impl IntoIterator<Item = u64>) -> Vec<Event> {
        let events: Vec<Event> = numbers.into_iter().map(full).collect();
        let mut batch = Batch::default();
        for event in &events {
            let record = ims::charge::record::write(event);
            batch.put_bytes(Table::Charging, &Event::key(event.number), &record);
        }
        let (done, stored) = oneshot::channel();
        self.committer
            .submit(batch, Box::new(move |outcome| done.send(outcome).unwrap()));
        stored.await.unwrap().unwrap();
        events
    }

    /// Waits until charging takes this peer for up: a CEA that was sent need not have been read.
    async fn until_up(&self, host: &str) {
        let line = format!("diameter_peer_open{{peer=\"{host}\"}} 1");
        self.until_metric(&line).await;
    }

    async fn until_metric(&self, line: &str) {
        let end = tokio::time::Instant::now() + PATIENCE;
        while !self.metrics.encode().contains(line) {
            assert!(
                tokio::time::Instant::now() < end,
                "{}",
                self.metrics.encode()
            );
            tokio::task::yield_now().await;
        }
    }

    /// Waits until the store holds so many charging records.
    async fn until_stored(&self, count: u64) {
        let end = tokio::time::Instant::now() + PATIENCE;
        while waiting(&*self.reader).unwrap().0 != count {
            assert!(
                tokio::time::Instant::now() < end,
                "{:?} instead of {count}",
                waiting(&*self.reader)
            );
            tokio::task::yield_now().await;
        }
    }
}

fn session(number: u64) -> String {
    format!("presentia.ims.test;0;{number};1700000000123")
}

#[test]
fn events_are_told_in_their_order_also_where_some_have_to_be_read_back() {
    let (orders, mut ordered) = mpsc::channel(1);
    let unseen = Arc::<Unseen>::default();
    let offline = Offline {
        orders,
        unseen: unseen.clone(),
    };
    let taken = |ordered: &mut mpsc::Receiver<Order>| match ordered.try_recv() {
        Ok(Order::Committed(events)) => Some(events[0].number),
        _ => None,
    };
    offline.committed(vec![full(1)]);
    offline.committed(vec![full(2)]); // there is no room for it
    assert_eq!(unseen.take(&ordered), None, "1 goes before");
    assert_eq!(taken(&mut ordered), Some(1));
    offline.committed(vec![full(3), full(4)]);
    assert_eq!(taken(&mut ordered), None, "2 goes before");
    assert_eq!(unseen.take(&ordered), Some((2, 4, 3)));
    offline.committed(vec![full(5)]);
    assert_eq!(
        (taken(&mut ordered), unseen.take(&ordered)),
        (Some(5), None)
    );
}

#[tokio::test]
async fn a_record_reaches_the_cdf_and_leaves_the_store_with_its_answer() {
    let cdf = Cdf::listening("cdf1.test").await;
    let bench = Bench::new(&[("cdf1.test", cdf.address())], "");
    let charging = bench.start();
    let mut peer = cdf.accept().await;
    charging.committed(bench.store([1]).await);
    let (received, bytes) = peer.accounting().await;
    assert_eq!((received.session, received.end_to_end), (session(1), 1));
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(
        message.find(&DESTINATION_REALM).unwrap().text(),
        Some("ims.test")
    );
    bench.until_stored(1).await;
    peer.answer(&bytes, 2001).await;
    bench.until_stored(0).await;
}

#[tokio::test]
async fn what_was_in_flight_when_the_cdf_died_is_sent_again_with_t_and_nothing_is_lost() {
    let cdf = Cdf::listening("cdf1.test").await;
    let bench = Bench::new(
        &[("cdf1.test", cdf.address())],
        "max_in_flight = 8\nspool_memory_records = 16",
    );
    let charging = bench.start();
    let mut peer = cdf.accept().await;
    let mut received: BTreeMap<String, Vec<bool>> = BTreeMap::new();
    charging.committed(bench.store(0..100).await);
    for i in 0..20 {
        let (record, bytes) = peer.accounting().await;
        received
            .entry(record.session)
            .or_default()
            .push(record.retransmitted);
        if i < 12 {
            peer.answer(&bytes, 2001).await;
        }
    }
    drop(peer); // eight are in flight
    // A link that broke is used again after three watchdogs, which take their time; a peer that comes back by
    // another name of ours does not, so a restart of the server stands in for it here.
    charging.shutdown(Duration::from_secs(5)).await;
    let again = bench.start();
    let mut peer = cdf.accept().await;
    while received.len() < 100 || received.values().map(Vec::len).sum::<usize>() < 108 {
        let (record, bytes) = peer.accounting().await;
        received
            .entry(record.session)
            .or_default()
            .push(record.retransmitted);
        peer.answer(&bytes, 2001).await;
    }
    bench.until_stored(0).await;
    assert_eq!(received.len(), 100, "every record has arrived");
    let twice: Vec<_> = received.values().filter(|flags| flags.len() > 1).collect();
    assert_eq!(twice.len(), 8, "only what was in flight came twice");
    assert!(
        twice.iter().all(|flags| flags[1..].iter().all(|t| *t)),
        "and the second time with T"
    );
    drop(peer);
    again.shutdown(Duration::from_secs(5)).await;
}

/// RFC 6733 §9.4: a CDF tells duplicates by Session-Id.
#[tokio::test]
async fn a_record_keeps_its_session_id_when_we_are_called_otherwise_after_a_restart() {
    let cdf = Cdf::listening("cdf1.test").await;
    let mut bench = Bench::new(&[("cdf1.test", cdf.address())], "");
    let charging = bench.start();
    let mut peer = cdf.accept().await;
    charging.committed(bench.store([1]).await);
    let (first, _) = peer.accounting().await;
    drop(peer);
    charging.shutdown(Duration::from_secs(5)).await;
    bench.settings.origin_host = "other.test".into();
    let again = bench.start_above(50);
    let mut peer = cdf.accept().await;
    bench.until_up("cdf1.test").await; // what comes before may have been sent before an outage
    again.committed(bench.store([60]).await);
    let mut sessions = Vec::new();
    for _ in 0..2 {
        let (record, bytes) = peer.accounting().await;
        sessions.push((record.session, record.retransmitted));
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(
            message.find(&ORIGIN_HOST).unwrap().text(),
            Some("other.test")
        );
        peer.answer(&bytes, 2001).await;
    }
    let new = session(60).replace("presentia.ims.test", "other.test");
    sessions.sort(); // which of them is first does not matter
    assert_eq!(sessions, [(new, false), (first.session, true)]);
    drop(peer);
    again.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn while_no_cdf_is_up_records_wait_and_then_come_once_with_t() {
    let cdf = Cdf::listening("cdf1.test").await;
    let address = cdf.address();
    drop(cdf);
    let bench = Bench::new(
        &[("cdf1.test", address)],
        "spool_memory_records = 16\nreconnect_max_ms = 100",
    );
    let charging = bench.start();
    charging.committed(bench.store(0..100).await);
    let listener = TcpListener::bind(address).await.unwrap();
    let mut peer = Cdf {
        listener,
        host: "cdf1.test",
    }
    .accept()
    .await;
    let mut sessions = Vec::new();
    for _ in 0..100 {
        let (record, bytes) = peer.accounting().await;
        assert!(record.retransmitted);
        sessions.push(record.session);
        peer.answer(&bytes, 2001).await;
    }
    assert_eq!(
        sessions,
        (0..100).map(session).collect::<Vec<_>>(),
        "in their order"
    );
    bench.until_stored(0).await;
    drop(charging);
}

#[tokio::test]
async fn a_refusal_for_good_moves_the_record_to_quarantine() {
    let cdf = Cdf::listening("cdf1.test").await;
    let bench = Bench::new(&[("cdf1.test", cdf.address())], "");
    let charging = bench.start();
    let mut peer = cdf.accept().await;
    charging.committed(bench.store([1, 2]).await);
    for result in [5004, 2002] {
        let (_, bytes) = peer.accounting().await;
        peer.answer(&bytes, result).await;
    }
    bench.until_stored(0).await;
    let quarantine = bench.reader.scan(Table::Quarantine, &[], 10).unwrap();
    let [(key, value)] = quarantine.as_slice() else {
        panic!("{quarantine:?}")
    };
    let kept: Quarantined = ims::record::decode(value).unwrap();
    assert_eq!(
        (key.as_slice(), kept.result, kept.peer.as_str()),
        (&Event::key(1)[..], 5004, "cdf1.test")
    );
    drop(charging);
}

#[tokio::test]
async fn a_refusal_for_now_is_followed_by_another_try_at_another_cdf() {
    let (first, second) = (
        Cdf::listening("cdf1.test").await,
        Cdf::listening("cdf2.test").await,
    );
    let bench = Bench::new(
        &[
            ("cdf1.test", first.address()),
            ("cdf2.test", second.address()),
        ],
        "",
    );
    let charging = bench.start();
    let (mut first, mut second) = (first.accept().await, second.accept().await);
    bench.until_up("cdf1.test").await;
    bench.until_up("cdf2.test").await;
    charging.committed(bench.store([1]).await);
    let (_, bytes) = first.accounting().await;
    first.answer(&bytes, 3004).await;
    let (record, bytes) = second.accounting().await;
    assert_eq!(
        (record.session, record.retransmitted),
        (session(1), false),
        "RFC 6733 §3: no T after an error answer"
    );
    second.answer(&bytes, 2001).await;
    bench.until_stored(0).await;
    drop(charging);
}

#[tokio::test]
async fn a_ccf_brings_the_record_to_the_cdf_it_names() {
    let (configured, named) = (
        Cdf::listening("cdf9.test").await,
        Cdf::listening("other.test").await,
    );
    let bench = Bench::new(&[("cdf9.test", configured.address())], "");
    let charging = bench.start();
    let mut fallback = configured.accept().await;
    bench.until_up("cdf9.test").await;
    let mut events = bench.store([1, 2]).await;
    events[0].ccf = vec![named.address().to_string()];
    events[1].ccf = Vec::new();
    charging.committed(events);
    let mut named = named.accept().await;
    let (record, bytes) = named.accounting().await;
    assert_eq!(record.session, session(1));
    let host = Message::parse(&bytes)
        .unwrap()
        .find(&DESTINATION_HOST)
        .unwrap()
        .text()
        .map(str::to_owned);
    assert_eq!(host.as_deref(), Some("other.test"));
    named.answer(&bytes, 2001).await;
    let (record, bytes) = fallback.accounting().await;
    assert_eq!(record.session, session(2));
    fallback.answer(&bytes, 2001).await;
    bench.until_stored(0).await;
    drop(charging);
}

#[tokio::test]
async fn a_ccf_that_nobody_answers_leaves_the_record_to_the_configured_cdf() {
    let configured = Cdf::listening("cdf9.test").await;
    let nobody = Cdf::listening("nobody.test").await.address(); // closed at once
    let bench = Bench::new(&[("cdf9.test", configured.address())], "");
    let charging = bench.start();
    let mut peer = configured.accept().await;
    let mut events = bench.store([1]).await;
    events[0].ccf = vec![nobody.to_string()];
    charging.committed(events);
    let (record, bytes) = peer.accounting().await;
    assert_eq!(record.session, session(1));
    peer.answer(&bytes, 2001).await;
    bench.until_stored(0).await;
    drop(charging);
}

#[tokio::test]
async fn shutdown_waits_for_answers_and_says_goodbye() {
    let cdf = Cdf::listening("cdf1.test").await;
    let bench = Bench::new(&[("cdf1.test", cdf.address())], "");
    let charging = bench.start();
    let mut peer = cdf.accept().await;
    charging.committed(bench.store([1]).await);
    let (_, acr) = peer.accounting().await;
    let ending = tokio::spawn(charging.shutdown(PATIENCE));
    peer.answer(&acr, 2001).await;
    let dpr = peer.next().await.unwrap();
    assert_eq!(
        Message::parse(&dpr).unwrap().header.command,
        CMD_DISCONNECT_PEER
    );
    peer.answer(&dpr, 2001).await;
    assert_eq!(peer.next().await, None);
    ending.await.unwrap();
    assert_eq!(waiting(&*bench.reader).unwrap().0, 0);
}

#[tokio::test]
async fn shutdown_is_bounded_when_no_answer_comes_and_the_record_stays() {
    let cdf = Cdf::listening("cdf1.test").await;
    let bench = Bench::new(&[("cdf1.test", cdf.address())], "");
    let charging = bench.start();
    let mut peer = cdf.accept().await;
    charging.committed(bench.store([1]).await);
    peer.accounting().await;
    let begun = tokio::time::Instant::now();
    charging.shutdown(Duration::from_millis(300)).await;
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(waiting(&*bench.reader).unwrap(), (1, Some(1)));
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_kept_aside_and_the_others_are_sent() {
    let cdf = Cdf::listening("cdf1.test").await;
    let mut engine = Memory::new();
    let mut batch = Batch::default();
    batch.put_bytes(Table::Charging, &Event::key(1), &[0xff; 3]);
    // of an earlier version, whose numbers began high
    batch.put(Table::Charging, &Event::key(300), &full(300));
    engine.commit(&[batch]).unwrap();
    let bench = Bench::on(engine, &[("cdf1.test", cdf.address())], "");
    let charging = bench.start();
    let mut peer = cdf.accept().await;
    let (record, bytes) = peer.accounting().await;
    assert_eq!((record.session, record.retransmitted), (session(300), true));
    peer.answer(&bytes, 2001).await;
    bench.until_stored(0).await;
    assert_eq!(
        bench.reader.scan(Table::Quarantine, &[], 10).unwrap().len(),
        1
    );
    assert!(bench.disk.commits() > 0);
    drop(charging);
}

#[tokio::test]
async fn records_that_are_handed_over_faster_than_they_are_taken_all_arrive_once() {
    const COUNT: u64 = 3 * QUEUE as u64;
    let cdf = Cdf::listening("cdf1.test").await;
    let bench = Bench::new(&[("cdf1.test", cdf.address())], "spool_memory_records = 16");
    let charging = bench.start();
    let mut peer = cdf.accept().await;
    bench.until_up("cdf1.test").await;
    for event in bench.store(0..COUNT).await {
        charging.committed(vec![event]);
    }
    let mut sessions = BTreeMap::new();
    while sessions.len() < COUNT as usize {
        let (record, bytes) = peer.accounting().await;
        *sessions.entry(record.session).or_insert(0) += 1;
        peer.answer(&bytes, 2001).await;
    }
    bench.until_stored(0).await;
    assert!(sessions.values().all(|times| *times == 1));
    drop(charging);
}
