//! The command line: one file a command, each with its arguments and what it does.
//!
//! A new command is a file with `Args` and `run`, and a line in [`Command`].

mod charging;
mod config;
mod conformance;
mod follow;
mod login;
mod overrides;
mod passwd;
mod policy;
mod publish;
mod serve;
mod session;
mod sim;
mod terminal;
mod watch;
mod xcap;
mod xdmc;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Exit statuses, after sysexits(3) where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// What was asked about is not so: a check failed.
    Failed = 1,
    /// A condition on the version of a document does not hold.
    Condition = 3,
    /// A peer or address that is needed cannot be had; EX_UNAVAILABLE.
    Unavailable = 69,
    /// A defect of this program; EX_SOFTWARE.
    Internal = 70,
    /// The store cannot be used; EX_IOERR.
    Store = 74,
    /// The configuration is refused; EX_CONFIG.
    Config = 78,
}

/// Why a command ends without success: one sentence for people, a status for scripts.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    pub message: String,
}

impl Failure {
    pub fn new(exit: Exit, message: impl ToString) -> Failure {
        Failure {
            exit,
            message: message.to_string(),
        }
    }
}

const AFTER_HELP: &str = "\
Examples:
  presentia serve                             SIP on 127.0.0.1:5080, HTTP on :8080, data in ./data
  presentia config > presentia.toml           every setting with its default, explained
  presentia serve --config presentia.toml     a server of your own
  presentia watch sip:bob@ims.test            what is known of bob, as it changes
  presentia publish sip:bob@ims.test --basic open --note \"in the lab\"

Exit status: 0 success, 1 a check failed, 2 wrong usage, 69 an address or peer cannot be had,
70 a defect of this program, 74 the store cannot be used, 78 the configuration is refused.";

/// IMS presence application server: Presence Server, Resource List Server and XDMS behind an S-CSCF.
#[derive(Debug, Parser)]
#[command(name = "presentia", version, after_help = AFTER_HELP, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Args),
    Config(config::Args),
    Charging(charging::Args),
    Conformance(conformance::Args),
    Override(overrides::Args),
    Passwd(passwd::Args),
    Policy(policy::Args),
    Publish(publish::Args),
    Sim(sim::Args),
    Watch(watch::Args),
    Xcap(xcap::Args),
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve(args) => serve::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Charging(args) => charging::run(&args),
        Command::Conformance(args) => return conformance::run(&args),
        Command::Override(args) => overrides::run(&args),
        Command::Passwd(args) => passwd::run(&args),
        Command::Policy(args) => policy::run(&args),
        Command::Publish(args) => publish::run(&args),
        Command::Sim(args) => sim::run(&args),
        Command::Watch(args) => watch::run(&args),
        Command::Xcap(args) => xcap::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("presentia: {}", failure.message);
            ExitCode::from(failure.exit as u8)
        }
    }
}

#[cfg(test)]
mod tests;
