//! What the measurements of the codec share, here and in the server's own `charging`: the loop, and how large a message is.

use diameter::dictionary::Kind;
use diameter::message::{Avp, Avps};
use std::hint::black_box;
use std::time::Instant;

/// Prints the shortest time that `run` took on average, of five series of `rounds`. What it returns is used up.
pub fn measure(what: &str, rounds: u32, mut run: impl FnMut() -> usize) {
    let mut best = f64::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        let sum: usize = (0..rounds).map(|_| run()).sum();
        black_box(sum);
        best = best.min(start.elapsed().as_secs_f64() / f64::from(rounds));
    }
    println!("{what}: {:.3} µs", best * 1e6);
}

/// AVPs with those in groups.
pub fn count(avps: Avps<'_>) -> usize {
    let one = |avp: Avp<'_>| match avp.def() {
        Some(def) if def.kind == Kind::Grouped => 1 + count(avp.group()),
        _ => 1,
    };
    avps.map(one).sum()
}
