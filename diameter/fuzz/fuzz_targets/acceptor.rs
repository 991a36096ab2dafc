//! The bytes of a peer, in pieces, through the framer into the side that is connected to: see `harness::acceptor`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| harness::acceptor(input));
