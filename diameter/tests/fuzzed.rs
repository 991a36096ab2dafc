//! What the fuzz targets do, without a fuzzer: their first inputs, what was found with them, and random changes of both.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    dead_code,
    reason = "a test stops at what it did not expect"
)]

#[path = "../fuzz/src/lib.rs"]
mod harness;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

#[test]
fn first_inputs_and_random_changes_of_them_are_survived() {
    let seeds = harness::seeds();
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut below = |limit: usize| random.next_u32() as usize % limit.max(1);
    for seed in &seeds {
        harness::node(seed);
        harness::acceptor(seed);
    }
    for _ in 0..20_000 {
        let mut input = seeds[below(seeds.len())].clone();
        for _ in 0..1 + below(5) {
            let (at, other) = (below(input.len()), &seeds[below(seeds.len())]);
            match below(5) {
                0 => input[at] = below(256) as u8,
                1 => input[at] ^= 1 << below(8),
                2 => input.truncate(at.max(2)),
                3 => input.extend_from_slice(&other[below(other.len())..]),
                _ => {
                    // a length is where it hurts
                    let at = 2 + below(input.len()) / 4 * 4;
                    if let Some(field) = input.get_mut(at + 1..at + 4) {
                        field.copy_from_slice(&[0, below(2) as u8, below(256) as u8]);
                    }
                }
            }
        }
        harness::node(&input);
        harness::acceptor(&input);
    }
}
