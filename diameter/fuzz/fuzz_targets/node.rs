//! The bytes of a peer, in pieces, through the framer into a node: see `harness::node`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| harness::node(input));
