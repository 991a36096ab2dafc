//! `presentia charging price` and `balance`: what the OCS of a user says, through the running server.

use super::super::terminal::{line, say};
use super::super::{Exit, Failure};
use super::place::Place;
use crate::charging::online::enquiry::Said;

/// What is asked about the price.
#[derive(Debug, clap::Args)]
pub(super) struct Price {
    #[arg(value_name = "METHOD", value_parser = ["PUBLISH", "SUBSCRIBE", "NOTIFY", "REGISTER"])]
    method: String,
    /// SIP URI or number of who would pay
    #[arg(value_name = "USER")]
    user: String,
    #[command(flatten)]
    more: More,
}

/// What is asked about the balance.
#[derive(Debug, clap::Args)]
pub(super) struct Balance {
    /// SIP URI or number of who would pay
    #[arg(value_name = "USER")]
    user: String,
    /// What for
    #[arg(long, value_name = "METHOD", default_value = "SUBSCRIBE", value_parser = ["PUBLISH", "SUBSCRIBE", "NOTIFY", "REGISTER"])]
    method: String,
    #[command(flatten)]
    more: More,
}

#[derive(Debug, clap::Args)]
struct More {
    /// How many units
    #[arg(long, value_name = "N", default_value_t = 1)]
    units: u64,
    /// OCSs to ask in place of the configured ones, as an ecf names them, separated by commas
    #[arg(long, value_name = "OCS")]
    ecf: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn price(place: &Place, asked: &Price) -> Result<(), Failure> {
    let said = ask(place, "/price", (&asked.method, &asked.user), &asked.more)?;
    match &said.price {
        _ if asked.more.json => {}
        Some(price) => {
            let unit = price.unit.as_deref();
            let unit = unit.map(|unit| format!(" per {}", line(unit)));
            say(&format!(
                "{} of currency {}{}",
                line(&price.value),
                price.currency,
                unit.unwrap_or_default()
            ));
        }
        None => {}
    }
    end(&said)
}

pub(super) fn balance(place: &Place, asked: &Balance) -> Result<(), Failure> {
    let said = ask(place, "/balance", (&asked.method, &asked.user), &asked.more)?;
    match said.enough {
        _ if asked.more.json => {}
        Some(true) => _ = say("enough credit"),
        Some(false) | None => {}
    }
    end(&said)?;
    match said.enough {
        Some(false) => Err(Failure::new(Exit::Failed, "not enough credit")),
        _ => Ok(()),
    }
}

fn ask(
    place: &Place,
    below: &str,
    (method, user): (&str, &str),
    more: &More,
) -> Result<Said, Failure> {
    let units = more.units.to_string();
    let pairs = [
        ("method", Some(method)),
        ("user", Some(user)),
        ("units", Some(&*units)),
        ("ecf", more.ecf.as_deref()),
    ];
    let said = place.enquire(below, &pairs)?;
    if more.json {
        // plain structs of text and numbers always serialise
        say(&serde_json::to_string(&said).unwrap_or_default());
    }
    Ok(said)
}

/// A failure where the OCS has not said what was asked.
fn end(said: &Said) -> Result<(), Failure> {
    let Some(error) = &said.error else {
        return Ok(());
    };
    let error = line(error);
    Err(match (said.result, &said.ocs) {
        (Some(result), Some(ocs)) => {
            Failure::new(Exit::Failed, format!("{}: {result}, {error}", line(ocs)))
        }
        (Some(result), None) => Failure::new(Exit::Failed, format!("{result}, {error}")),
        (None, _) => Failure::new(Exit::Unavailable, error),
    })
}
