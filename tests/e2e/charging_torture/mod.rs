//! Charging under everything that goes wrong at once, counted from outside.
//!
//! A client keeps dozens of requests under way while the server and its CDFs are killed with SIGKILL, the network
//! between them breaks, and the disk fills up. In the end each request that was answered has exactly one record, each
//! that was not has at most one, and what came more than once says so with the T flag (RFC 6733 §3).
//!
//! - [`rf`], [`ro`] and [`sessions`] are the tests, and what they hold: records, debits and reservations, and sessions that
//!   last as long as a subscription;
//! - [`world`] is the server among its peers, each behind a [`relay`] that can break, on a [`disk`] that can fill up;
//! - [`driver`] is the client, [`asking`] what it asks, [`dialogs`] what it is told;
//! - [`tally`] and [`ledger`] judge what a CDF and an OCS have written down.
//!
//! `PRESENTIA_TEST_EVENTS` is the number of requests, `PRESENTIA_TEST_SEED` what chance begins with.

mod asking;
mod chance;
mod dialogs;
mod disk;
mod driver;
mod ledger;
mod peers;
mod relay;
mod rf;
mod ro;
mod sessions;
mod tally;
mod world;

use std::fs;
use std::path::{Path, PathBuf};

/// The number of requests of a run, unless the environment says otherwise.
fn events(usual: usize) -> usize {
    number("PRESENTIA_TEST_EVENTS").map_or(usual, |n| usize::try_from(n).unwrap())
}

/// What chance begins with.
fn seed(usual: u64) -> u64 {
    number("PRESENTIA_TEST_SEED").unwrap_or(usual)
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is no number: {text}")),
    )
}

/// Where the peers of a run write. It stays behind when the run fails.
#[derive(Debug)]
struct Place(PathBuf);

impl Place {
    fn new(name: &str, seed: u64) -> Place {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{seed}"));
        let _ = fs::remove_dir_all(&path); // of a run that failed
        fs::create_dir_all(&path).unwrap();
        Place(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.0); // what is left over is in target/
        }
    }
}
