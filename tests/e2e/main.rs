//! End to end: the server as a process, spoken to over its sockets. One binary, one module a subject.
//!
//! A test that needs a foreign peer (Kamailio, SIPp, freeDiameter) says so and passes over itself when the peer is not
//! installed, unless `PRESENTIA_TEST_PEERS=required`, which `tests/run` sets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(dead_code)] // until the modules below are joined, when the server runs

mod harness;
