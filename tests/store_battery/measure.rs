//! What a commit costs; figures in docs/store.md.

use crate::{Place, noise};
use ims::record::{Batch, Table};
use std::time::{Duration, Instant};

/// CPU of the whole process, in microseconds.
fn cpu_us() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000
}

/// The batches of one PUBLISH with its charging record, and of the CDF's answer to an earlier one.
fn publish(number: u64, fresh: bool) -> Batch {
    let presentity = if fresh { number } else { number % 2000 };
    let key = format!("sip:user{presentity:07}@ims.test/{presentity:016x}");
    let mut batch = Batch::default();
    batch.put_bytes(Table::Publication, key.as_bytes(), &noise(number, 60));
    batch.put_bytes(Table::Body, key.as_bytes(), &noise(number, 900));
    batch.put_bytes(Table::Touched, &key.as_bytes()[..24], &number.to_be_bytes());
    batch.put_bytes(Table::Charging, &number.to_be_bytes(), &noise(number, 300));
    if let Some(answered) = number.checked_sub(500) {
        batch.delete(Table::Charging, &answered.to_be_bytes());
    }
    batch
}

/// `cargo test --release --test store_battery measure -- --ignored --nocapture`; figures in docs/store.md.
#[test]
#[ignore = "a measurement"]
fn measure() {
    for fresh in [true, false] {
        for group in [16, 64, 256] {
            let directory = || tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
            for (engine, place) in [
                ("fjall", Place::Fjall(directory())),
                ("journal", Place::Journal(directory())),
            ] {
                run(engine, place, fresh, group);
            }
        }
    }
}

fn run(engine: &str, place: Place, fresh: bool, group: u64) {
    let mut store = place.open();
    let (started, cpu) = (Instant::now(), cpu_us());
    let (mut making, mut count) = (0, 0);
    while started.elapsed() < Duration::from_secs(4) {
        let before = cpu_us();
        let batches: Vec<Batch> = (count..count + group).map(|n| publish(n, fresh)).collect();
        making += cpu_us() - before;
        store.commit(&batches).unwrap();
        count += group;
    }
    let (took, used) = (started.elapsed(), cpu_us() - cpu - making);
    drop(store);
    let opening = Instant::now();
    drop(place.open());
    println!(
        "{engine:9} fresh={fresh:5} group={group:3}: {:6.0} PUBLISH/s, {:5.1} us CPU each, opened in {:?}",
        count as f64 / took.as_secs_f64(),
        used as f64 / count as f64,
        opening.elapsed(),
    );
}
