//! `presentia charging`: the records that a CDF has refused for good.

use super::terminal::{line, say};
use super::{Exit, Failure};
use crate::charging::{Quarantined, quarantine};
use crate::config::Config;
use crate::store::{self, Engine, StoreError};
use ims::charge::record;
use std::path::PathBuf;

const AFTER_HELP: &str = "\
Examples:
  presentia charging list --config /etc/presentia.toml
  presentia charging release --config /etc/presentia.toml
  presentia charging release 1882618704334389248 --config /etc/presentia.toml

Works on the store of a server that is stopped. A line of the list is, separated by tabs: number, Result-Code (0: not
sent), CDF, SIP method, IMS charging identifier, reason. Released records are sent, with the T flag, when the server
runs again. The number is the one in the server's log; see docs/charging.md.

Exit status: 0 done, 2 wrong usage, 74 the store cannot be used (a running server has it), 78 no such configuration.";

/// List charging records that a CDF refused for good, or send them once more
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
    /// Configuration file of the server. Without it every default applies
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Print one line for each record in quarantine
    List,
    /// Put records back into the spool: these, or all of them
    Release {
        #[arg(value_name = "NUMBER")]
        numbers: Vec<u64>,
    },
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let config = match &args.config {
        Some(path) => Config::load(path).map_err(|error| Failure::new(Exit::Config, error))?,
        None => Config::default(),
    };
    let path = &config.store.path;
    if !path.exists() {
        let message = format!("there is no store at {}", path.display());
        return Err(Failure::new(Exit::Store, message));
    }
    let in_store = |error: StoreError| Failure::new(Exit::Store, error);
    let mut engine = store::open(&config.store).map_err(in_store)?;
    match &args.action {
        Action::List => list(engine.as_ref()).map_err(in_store),
        Action::Release { numbers } => {
            let count = quarantine::release(engine.as_mut(), numbers).map_err(in_store)?;
            say(&format!("{count} released"));
            Ok(())
        }
    }
}

fn list(engine: &dyn Engine) -> Result<(), StoreError> {
    let mut heard = true;
    quarantine::each(&*engine.reader(), |number, quarantined| {
        heard = heard && say(&describe(number, quarantined));
    })
}

fn describe(number: u64, quarantined: Option<&Quarantined>) -> String {
    let Some(Quarantined {
        record: bytes,
        result,
        peer,
        reason,
        ..
    }) = quarantined
    else {
        return format!("{number}\t-\t-\t-\t-\tcannot be read");
    };
    let event = record::read(bytes).ok();
    let method = event.as_ref().map_or("-", |event| event.method.as_str());
    let icid = event
        .as_ref()
        .and_then(|event| event.icid.as_deref())
        .unwrap_or("-");
    let (peer, icid, reason) = (line(peer), line(icid), line(reason));
    format!("{number}\t{result}\t{peer}\t{method}\t{icid}\t{reason}")
}
