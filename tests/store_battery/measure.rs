//! What a commit costs; figures in docs/store.md.

use crate::{Place, noise};
use ims::record::{Batch, Table};

/// CPU of the whole process, in microseconds.
fn cpu_us() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<u64> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|f| f.parse().unwrap())
        .collect();
    (fields[0] + fields[1]) * 10_000
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
            let place = Place::Embedded(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap());
            let mut store = place.open();
            let (started, cpu) = (std::time::Instant::now(), cpu_us());
            let (mut making, count) = (0, 200_000u64.min(group * 1500));
            for first in (0..count).step_by(group as usize) {
                let before = cpu_us();
                let batches: Vec<Batch> =
                    (first..first + group).map(|n| publish(n, fresh)).collect();
                making += cpu_us() - before;
                store.commit(&batches).unwrap();
            }
            let (took, used) = (started.elapsed(), cpu_us() - cpu - making);
            drop(store);
            println!(
                "fresh={fresh} group={group}: {:.0} PUBLISH/s, {:.1} us CPU each",
                count as f64 / took.as_secs_f64(),
                used as f64 / count as f64
            );
        }
    }
}
