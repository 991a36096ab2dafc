//! `presentia charging explain`: the request that a configuration makes of an example, AVP by AVP.

use super::super::terminal::say;
use super::super::{Exit, Failure};
use crate::charging::acr::Sender;
use crate::charging::explain;
use crate::charging::settings::Checked;
use crate::config::Config;
use std::path::Path;

pub(super) fn run(config: Option<&Path>, method: &str, status: u16) -> Result<(), Failure> {
    let config = match config {
        Some(path) => Config::load(path).map_err(|error| Failure::new(Exit::Config, error))?,
        None => Config::default(),
    };
    let checked = checked(&config)?;
    let lines = explain::explain(&checked, method, status)
        .map_err(|why| Failure::new(Exit::Failed, why))?;
    for line in lines {
        if !say(&line) {
            break;
        }
    }
    Ok(())
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
