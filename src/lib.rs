//! The world around the deciding crates: sockets, disks, clocks, operators.
//!
//! `ims` decides what an IMS presence application server answers and `diameter` how a charging node speaks;
//! neither owns a socket, a file or a clock. This crate moves their inputs in and their effects out.
#![forbid(unsafe_code)]

pub mod admin;
pub mod charging;
pub mod cli;
pub mod config;
pub mod driver;
pub mod http;
pub mod server;
pub mod sim;
pub mod store;
pub mod telemetry;
pub mod transport;
pub mod ua;
