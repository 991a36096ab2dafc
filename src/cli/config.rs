//! `presentia config`: the default file, and the check of one.

use super::{Exit, Failure};
use crate::config::{Config, DEFAULT_FILE};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

const AFTER_HELP: &str = "\
Examples:
  presentia config > presentia.toml
  presentia config --check presentia.toml && systemctl restart presentia";

/// Print the complete default configuration file, or check one
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Read this file and say whether a server would accept it, instead of printing the default
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let text = match &args.check {
        None => DEFAULT_FILE.to_owned(),
        Some(path) => {
            let config = Config::load(path).map_err(|error| Failure::new(Exit::Config, error))?;
            format!("{} is accepted.\n{}", path.display(), config.summary())
        }
    };
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::new(
            Exit::Store,
            format!("cannot write to standard output ({error})"),
        )),
        _ => Ok(()), // a reader that has seen enough is no failure
    }
}
