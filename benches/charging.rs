//! Offline charging by itself: `cargo bench --bench charging`. What a record costs to build, to compress and to read back,
//! and how many Rf transactions the charging thread does in a second of its own processor time against a peer that
//! answers everything at the least cost. Budgets: 0.5 µs for the request, 20 µs for the transaction (50,000 a second).
//! A program and not a test: the figures depend on the machine.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)] // a measurement reads the clock
#![allow(clippy::unwrap_used, clippy::expect_used)] // and ends where it cannot go on

#[path = "../diameter/benches/measure/mod.rs"]
mod measure;
mod peer;

use diameter::message::Message;
use ims::charge::{Event, record};
use ims::record::{Batch, Table};
use measure::count;
use peer::{HOST, MAX, event};
use presentia::charging::acr::Sender;
use presentia::charging::settings::{Checked, Settings};
use presentia::store::journal::Journal;
use presentia::store::{Committer, Engine, committer};
use presentia::telemetry::Metrics;
use std::hint::black_box;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

const RECORDS: u64 = 200_000;
const ROUNDS: u32 = 200_000;

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
    for in_flight in [64, 256, 1_024] {
        replay(in_flight);
    }
}

fn measure(what: &str, run: impl FnMut() -> usize) {
    measure::measure(what, ROUNDS, run);
}

fn settings(peer: SocketAddr, in_flight: u32) -> Checked {
    let text =
        format!("max_in_flight = {in_flight}\n[[peers]]\nhost = '{HOST}'\naddress = '{peer}'\n");
    let settings: Settings = toml::from_str(&text).unwrap();
    settings.complete("home1.example.net").unwrap()
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
    let peer = peer
        .spawn(move || peer::serve(&listener, &counter))
        .unwrap();
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
        presentia::charging::start(settings, None, reader, committer, metrics.clone(), 0).unwrap();
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
