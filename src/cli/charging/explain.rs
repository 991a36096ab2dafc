//! `presentia charging explain`: the request that a configuration makes of an example, AVP by AVP.

use super::super::terminal::say;
use super::super::{Exit, Failure};
use crate::charging::acr::Sender;
use crate::charging::explain::{self, Example};
use crate::charging::settings::Checked;
use crate::config::Config;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[arg(value_name = "METHOD", value_parser = ["PUBLISH", "SUBSCRIBE", "NOTIFY", "REGISTER"])]
    method: String,
    /// Status of the final response
    #[arg(long, value_name = "CODE", default_value = "200", value_parser = clap::value_parser!(u16).range(100..700))]
    status: u16,
    /// The request for credit instead of the record
    #[arg(long, value_name = "REQUEST", value_parser = explain::QUESTIONS)]
    credit: Option<String>,
    /// Profile that is applied, in place of charging.profile, or of charging.online.profile with --credit
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// File with AVPs beside the built-in ones, in addition to charging.dictionary; may be given more than once
    #[arg(long, value_name = "FILE")]
    dictionary: Vec<PathBuf>,
    /// Which side sends it. Default: Presentia for NOTIFY, the peer for the others
    #[arg(long, value_name = "SIDE", value_parser = ["sent", "received"])]
    direction: Option<String>,
    /// IMS charging identifier of the example
    #[arg(long, value_name = "ICID")]
    icid: Option<String>,
    /// Call-ID of the example
    #[arg(long, value_name = "CALL-ID")]
    call_id: Option<String>,
}

pub(super) fn run(config: Option<&Path>, args: &Args) -> Result<(), Failure> {
    for line in lines(config, args)? {
        if !say(&line) {
            break;
        }
    }
    Ok(())
}

pub(super) fn lines(config: Option<&Path>, args: &Args) -> Result<Vec<String>, Failure> {
    let mut config = match config {
        Some(path) => Config::load(path).map_err(|error| Failure::new(Exit::Config, error))?,
        None => Config::default(),
    };
    let charging = &mut config.charging;
    charging.dictionary.extend(args.dictionary.iter().cloned());
    if let Some(profile) = args.profile.clone() {
        match args.credit {
            None => charging.profile = profile,
            Some(_) => charging.online.profile = profile,
        }
    }
    let checked = checked(&config)?;
    let example = Example {
        method: args.method.clone(),
        status: args.status,
        sent: args.direction.as_deref().map(|side| side == "sent"),
        icid: args.icid.clone(),
        call_id: args.call_id.clone(),
    };
    let lines = match &args.credit {
        None => explain::explain(&checked, &example),
        Some(question) => {
            let online = config.charging.online.complete(&checked);
            let online = online.map_err(|bad| Failure::new(Exit::Config, bad))?;
            explain::explain_credit(&checked, &online, &example, question)
        }
    };
    lines.map_err(|why| Failure::new(Exit::Failed, why))
}

/// The settings of charging, completed; also where it is off.
fn checked(config: &Config) -> Result<Checked, Failure> {
    let home = config.sip.home_domains.first();
    let home = home.map_or("localhost", String::as_str);
    let mut checked = config
        .charging
        .complete(home)
        .map_err(|bad| Failure::new(Exit::Config, bad))?;
    if checked.as_uri.is_empty() {
        checked.as_uri = config.as_uri();
    }
    Ok(checked)
}

pub(super) fn sender(config: &Config) -> Result<Sender, Failure> {
    Ok(Sender::of(&checked(config)?))
}
