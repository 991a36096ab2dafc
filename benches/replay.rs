//! What a replay costs those who wait: `cargo bench --bench replay`. A server has 100,000 charging records in its store and
//! no CDF. PUBLISHes come at a steady rate, first so, and then while a CDF has come up and takes all records at once.
//! A program and not a test: the figures depend on the machine.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)] // a measurement reads the clock
#![allow(clippy::unwrap_used, clippy::expect_used)] // and ends where it cannot go on

mod peer;

use ims::charge::{Event, record};
use ims::record::{Batch, Table};
use presentia::store::Engine;
use presentia::store::journal::Journal;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

const RECORDS: u64 = 100_000;
/// PUBLISHes a second, one after the other.
const RATE: u32 = 200;
/// How long they come without a CDF.
const BEFORE: Duration = Duration::from_secs(8);

fn main() {
    let directory = tempfile::tempdir().unwrap();
    fill(&directory.path().join("data"));
    let (cdf, sip, http) = (free_tcp(), free_udp(), free_tcp());
    let mut server = start(directory.path(), cdf, sip, http);
    let mut user = User::new(sip);
    user.until_ready();
    let start = Instant::now();
    let before = user.publish_while(|| start.elapsed() < BEFORE);
    let taken = Arc::new(AtomicU64::new(0));
    let counter = taken.clone();
    let listener = TcpListener::bind(cdf).unwrap();
    std::thread::spawn(move || peer::serve(&listener, &counter));
    while taken.load(Relaxed) == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let start = Instant::now();
    let during = user.publish_while(|| taken.load(Relaxed) < RECORDS);
    let took = start.elapsed().as_secs_f64();
    server.kill().unwrap();
    server.wait().unwrap();
    println!("{RECORDS} records, at most {RATE} PUBLISHes a second beside them");
    show("without a replay", before);
    show("during a replay", during);
    println!("replayed: {:.0} records a second", RECORDS as f64 / took);
}

fn show(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |part: f64| {
        let index = (times.len() as f64 * part) as usize;
        let time = times.get(index.min(times.len().saturating_sub(1)));
        time.map_or(0.0, |time| time.as_secs_f64() * 1e3)
    };
    println!(
        "{what}: {} PUBLISHes, 200 after {:.2} ms (median), {:.2} (p90), {:.2} (p99), {:.2} (longest)",
        times.len(),
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0)
    );
}

/// A store in which the records of an outage lie.
fn fill(path: &Path) {
    let mut engine = Journal::open(path).unwrap();
    let hour = 472_222u32.to_be_bytes();
    for start in (0..RECORDS).step_by(1_000) {
        let mut batch = Batch::default();
        for number in start..start + 1_000 {
            let event = peer::event(number);
            batch.put_owned(Table::Charging, &Event::key(number), record::write(&event));
        }
        batch.put(Table::ChargingEmitted, &hour, &(start as u32 + 1_000));
        presentia::charging::compress(&mut batch);
        engine.commit(&[batch]).unwrap();
    }
}

fn free_tcp() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

fn free_udp() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

fn start(directory: &Path, cdf: SocketAddr, sip: SocketAddr, http: SocketAddr) -> Child {
    let config = directory.join("presentia.toml");
    let text = format!(
        "[sip]\nhome_domains = ['home1.example.net']\n[log]\nlevel = 'error'\n\
         [charging]\nreconnect_min_ms = 50\nreconnect_max_ms = 100\n\
         [[charging.peers]]\nhost = '{}'\naddress = '{cdf}'\n",
        peer::HOST
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_presentia"));
    command.arg("serve").arg("--config").arg(config);
    command.args(["--sip", &sip.to_string(), "--http", &http.to_string()]);
    command.arg("--data").arg(directory.join("data"));
    command.stdout(Stdio::null()).spawn().unwrap()
}

/// Publishes for one presentity after the other.
struct User {
    socket: UdpSocket,
    local: SocketAddr,
    count: u32,
}

impl User {
    fn new(server: SocketAddr) -> User {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(server).unwrap();
        let local = socket.local_addr().unwrap();
        User {
            socket,
            local,
            count: 0,
        }
    }

    fn until_ready(&mut self) {
        let end = Instant::now() + Duration::from_secs(60);
        while self.publish(Duration::from_millis(200)).is_none() {
            assert!(Instant::now() < end, "the server does not answer");
        }
    }

    /// Publishes at the rate, or as fast as it is answered where that is less.
    fn publish_while(&mut self, goes_on: impl Fn() -> bool) -> Vec<Duration> {
        let mut times = Vec::new();
        while goes_on() {
            let sent = Instant::now();
            let answered = self.publish(Duration::from_secs(30));
            answered.expect("an answer to a PUBLISH");
            times.push(sent.elapsed());
            std::thread::sleep((Duration::from_secs(1) / RATE).saturating_sub(sent.elapsed()));
        }
        times
    }

    /// One PUBLISH; `None` where no 200 comes in time.
    fn publish(&mut self, patience: Duration) -> Option<()> {
        self.count += 1;
        let (n, local) = (self.count, self.local);
        let user = format!("sip:user{n}@home1.example.net");
        let body = format!(
            "<?xml version=\"1.0\"?><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"{user}\">\
             <tuple id=\"t\"><status><basic>open</basic></status></tuple></presence>"
        );
        let request = format!(
            "PUBLISH {user} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK-{n}\r\nMax-Forwards: 70\r\n\
             From: <{user}>;tag=f{n}\r\nTo: <{user}>\r\nCall-ID: replay-{n}\r\nCSeq: 1 PUBLISH\r\n\
             P-Asserted-Identity: <{user}>\r\nEvent: presence\r\nExpires: 3600\r\n\
             P-Charging-Vector: icid-value=replay-{n}\r\n\
             Content-Type: application/pidf+xml\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let end = Instant::now() + patience;
        self.socket.send(request.as_bytes()).ok()?;
        let mut buffer = [0; 4_096];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            self.socket
                .set_read_timeout(Some(left.max(Duration::from_millis(1))))
                .ok()?;
            let length = match self.socket.recv(&mut buffer) {
                Ok(length) => length,
                Err(_) if Instant::now() < end => continue,
                Err(_) => return None,
            };
            let answer = String::from_utf8_lossy(buffer.get(..length)?);
            if answer.contains(&format!("Call-ID: replay-{n}\r\n")) {
                return answer.starts_with("SIP/2.0 200").then_some(());
            }
        }
    }
}
