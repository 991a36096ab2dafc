//! Offline charging by itself: `cargo bench --bench charging`. What a record costs to build, to compress and to read back,
//! and how many Rf transactions the charging thread does in a second of its own processor time against a peer that
//! answers everything at the least cost. Budgets: 0.5 µs for the request, 20 µs for the transaction (50,000 a second).
//! A program and not a test: the figures depend on the machine.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)] // a measurement reads the clock
#![allow(clippy::unwrap_used, clippy::expect_used)] // and ends where it cannot go on

use diameter::dictionary::*;
use diameter::frame::frame_length;
use diameter::message::{Header, Message};
use diameter::write::Writer;
use ims::charge::{BodyFacts, Booked, Chargeable, Event, Role, record};
use ims::record::{Batch, Table};
use ims::time::Timestamp;
use presentia::charging::acr::Sender;
use presentia::charging::settings::{Checked, Settings};
use presentia::store::journal::Journal;
use presentia::store::{Committer, Engine, committer};
use presentia::telemetry::Metrics;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

const RECORDS: u64 = 200_000;
const MAX: usize = 65_536;

fn main() {
    let settings = settings("127.0.0.1:3868".parse().unwrap(), 64);
    let sender = Sender::of(&settings);
    let event = event(1 << 60);
    let acr = sender.acr(&event, MAX).unwrap();
    let avps = count(Message::parse(&acr).unwrap().avps());
    let plain = record::write(&event);
    let packed = record::compress(&plain).unwrap();
    println!("request of {} bytes, {avps} AVPs", acr.len());
    println!(
        "record of {} bytes, compressed {}",
        plain.len(),
        packed.len()
    );
    measure("build and encode the request", || {
        sender
            .acr(black_box(&event), MAX)
            .map_or(0, |acr| acr.len())
    });
    measure("write the record", || {
        record::write(black_box(&event)).len()
    });
    measure("compress the record", || {
        record::compress(black_box(&plain)).map_or(0, |packed| packed.len())
    });
    measure("read the record", || {
        record::read(black_box(&plain)).map_or(0, |event| event.calling.len())
    });
    measure("read the compressed record", || {
        record::read(black_box(&packed)).map_or(0, |event| event.calling.len())
    });
    for in_flight in [64, 512] {
        replay(in_flight);
    }
}

fn measure(what: &str, mut run: impl FnMut() -> usize) {
    const ROUNDS: u32 = 200_000;
    let mut best = f64::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        let sum: usize = (0..ROUNDS).map(|_| run()).sum();
        black_box(sum);
        best = best.min(start.elapsed().as_secs_f64() / f64::from(ROUNDS));
    }
    println!("{what}: {:.3} µs", best * 1e6);
}

fn count(avps: diameter::message::Avps<'_>) -> usize {
    let one = |avp: diameter::message::Avp<'_>| match avp.def() {
        Some(def) if def.kind == Kind::Grouped => 1 + count(avp.group()),
        _ => 1,
    };
    avps.map(one).sum()
}

fn settings(peer: SocketAddr, in_flight: u32) -> Checked {
    let text = format!(
        "max_in_flight = {in_flight}\n[[peers]]\nhost = 'cdf1.home1.example.net'\naddress = '{peer}'\n"
    );
    let settings: Settings = toml::from_str(&text).unwrap();
    settings.complete("home1.example.net").unwrap()
}

/// A SUBSCRIBE with what a core says of it.
fn event(number: u64) -> Event {
    let text = |text: &str| Some(text.to_owned());
    Event {
        number,
        method: Chargeable::Subscribe,
        role: Role::Terminating,
        package: text("presence"),
        expires: Some(3600),
        call_id: format!("4fa3c2b1-{number}@ue1.home1.example.net"),
        calling: vec![
            "sip:alice@home1.example.net".into(),
            "tel:+15551230001".into(),
        ],
        called: "sip:bob@home1.example.net".into(),
        requested: text("sip:bob@home1.example.net"),
        icid: Some(format!("AyretyU0dm+6O2IrT5tAFrbHLso={number}")),
        orig_ioi: text("home1.example.net"),
        term_ioi: text("home1.example.net"),
        access_network: text("3GPP-E-UTRAN-FDD"),
        service: None,
        associated: vec![
            "sip:alice2@home1.example.net".into(),
            "tel:+15551230002".into(),
        ],
        requested_at: Timestamp(1_700_000_000_123),
        answered_at: Timestamp(1_700_000_000_140),
        status: 200,
        body: Some(BodyFacts {
            content_type: "application/pidf+xml".into(),
            length: 912,
            disposition: text("render"),
        }),
        ccf: Vec::new(),
        booked: Booked {
            hour: 472_222,
            sequence: number as u32,
            notifies: 0,
        },
        besides: Default::default(),
    }
}

/// Everything that piled up while no CDF was there is delivered.
fn replay(in_flight: u32) {
    let directory = tempfile::tempdir().unwrap();
    let mut engine = Journal::open(directory.path()).unwrap();
    let hour = 472_222u32.to_be_bytes();
    for start in (0..RECORDS).step_by(1_000) {
        let mut batch = Batch::default();
        for number in start..start + 1_000 {
            let record = record::write(&event(number));
            batch.put_owned(Table::Charging, &Event::key(number), record);
        }
        batch.put(Table::ChargingEmitted, &hour, &(start as u32 + 1_000));
        presentia::charging::compress(&mut batch);
        engine.commit(&[batch]).unwrap();
    }
    let (reader, listener) = (engine.reader(), TcpListener::bind("127.0.0.1:0").unwrap());
    let address = listener.local_addr().unwrap();
    let peer = std::thread::Builder::new().name("null-peer".into());
    let taken = Arc::new(AtomicU64::new(0));
    let counter = taken.clone();
    let peer = peer.spawn(move || null_peer(&listener, &counter)).unwrap();
    let store = committer::Settings {
        queue: 1_000,
        reserve: 0,
        gather: Duration::from_millis(2),
    };
    let committer = Arc::new(Committer::start(Box::new(engine), store, ()).unwrap());
    let metrics = Metrics::new();
    let started = Instant::now();
    let settings = settings(address, in_flight);
    let charging =
        presentia::charging::start(settings, None, reader, committer, metrics.clone()).unwrap();
    let is_empty = || metrics.encode().contains("charging_spool_depth 0");
    while taken.load(Relaxed) < RECORDS || !is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let took = started.elapsed().as_secs_f64();
    let [thread, store, peer_cpu] = ["charging", "store", "null-peer"].map(threads);
    let records = RECORDS as f64;
    println!(
        "replay, {in_flight} in flight: {:.0} a second; of processor time for each: charging thread {:.1} µs \
         ({:.0} a second), store {:.1} µs, peer {:.1} µs",
        records / took,
        thread / records * 1e6,
        records / thread,
        store / records * 1e6,
        peer_cpu / records * 1e6
    );
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    runtime.block_on(charging.shutdown(Duration::from_secs(1)));
    peer.join().unwrap();
    assert_eq!(taken.load(Relaxed), RECORDS, "each record came once");
}

/// Seconds on a processor of the threads of this name that run now.
fn threads(name: &str) -> f64 {
    let mut nanos = 0u64;
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let read = |file| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
        if read("comm").trim() == name {
            let spent = read("schedstat");
            let spent = spent.split(' ').next().and_then(|n| n.parse::<u64>().ok());
            nanos += spent.unwrap_or(0);
        }
    }
    nanos as f64 / 1e9
}

/// Answers until the other side goes, and counts accounting requests.
fn null_peer(listener: &TcpListener, records: &AtomicU64) {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut bytes, mut held) = (vec![0; 1 << 20], 0);
    let mut out = Vec::new();
    while let Ok(read @ 1..) = stream.read(&mut bytes[held..]) {
        held += read;
        let mut at = 0;
        while let Ok(Some(length)) = frame_length(&bytes[at..held], MAX) {
            if at + length > held {
                break;
            }
            let request = &bytes[at..at + length];
            let header = Header::read(request).unwrap();
            if header.command == CMD_ACCOUNTING {
                records.fetch_add(1, Relaxed);
                accept(&mut out, request);
            } else if header.flags.request() {
                out.extend(base_answer(&header));
            }
            at += length;
        }
        bytes.copy_within(at..held, 0);
        held -= at;
        if stream.write_all(&out).is_err() {
            break;
        }
        out.clear();
    }
}

/// Header, Session-Id of the request, 2001 and the record: copied, not read.
fn accept(out: &mut Vec<u8>, request: &[u8]) {
    const RESULT: [u8; 24] = [
        0, 0, 1, 12, 64, 0, 0, 12, 0, 0, 7, 209, // Result-Code 2001
        0, 0, 1, 229, 64, 0, 0, 12, 0, 0, 0, 0, // Accounting-Record-Number 0
    ];
    let session = u32::from_be_bytes([0, request[25], request[26], request[27]]) as usize;
    let session = session.next_multiple_of(4);
    let start = out.len();
    out.extend_from_slice(&request[..20]);
    out[start + 4] &= 0x7f;
    out.extend_from_slice(&request[20..20 + session]);
    out.extend_from_slice(&RESULT);
    let [.., a, b, c] = (out.len() - start).to_be_bytes();
    out[start + 1..start + 4].copy_from_slice(&[a, b, c]);
}

fn base_answer(header: &Header) -> Vec<u8> {
    let mut w = Writer::answer(header, diameter::fault::ResultCode::SUCCESS);
    w.u32(&RESULT_CODE, 2001)
        .utf8(&ORIGIN_HOST, "cdf1.home1.example.net")
        .utf8(&ORIGIN_REALM, "home1.example.net");
    if header.command == CMD_CAPABILITIES_EXCHANGE {
        let local = diameter::avp::Address::Ip("127.0.0.1".parse().unwrap());
        w.address(&HOST_IP_ADDRESS, &local).u32(&VENDOR_ID, 0);
        w.utf8(&PRODUCT_NAME, "null").u32(&ACCT_APPLICATION_ID, 3);
    }
    w.finish(MAX).unwrap()
}
