//! End to end: the server as a process, spoken to over its sockets. One binary, one module a subject.
//!
//! A test that needs a foreign peer (Kamailio, SIPp, freeDiameter) says so and passes over itself when the peer is not
//! installed, unless `PRESENTIA_TEST_PEERS=required`, which `tests/run` sets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod aggregation;
mod authorisation;
mod charging_enquiries;
mod charging_events;
mod charging_line;
mod charging_recipes;
mod charging_torture;
mod charging_unpaid;
mod clients;
mod conformance;
mod content;
mod diameter_callers;
mod diameter_names;
mod diameter_peers;
mod diameter_table;
mod documents;
mod durability;
mod harness;
mod hostile;
mod lab;
mod merged;
mod online_accounts;
mod online_grants;
mod online_notify;
mod online_sessions;
mod online_units;
mod operation;
mod overload;
mod parts;
mod publication;
mod remote;
mod remote_lists;
mod requests;
mod rls;
mod simulators;
mod subscription;
mod torture;
mod traffic;
mod transport;
mod usages;
mod watchers;
mod xcap;
mod xdmc;
mod xdmc_tls;
mod xdmc_watch;
