//! `presentia charging unpaid`: what no OCS takes, until somebody has settled it by hand.

use super::super::terminal::{line, say};
use super::super::{Exit, Failure};
use super::place::Place;
use super::{exported, found};
use crate::charging::cdr::{CSV_COLUMNS, Cdr};
use crate::charging::desk::Wanted;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// Print one line for each entry
    List,
    /// Print an entry
    Show {
        #[arg(value_name = "NUMBER")]
        number: u64,
    },
    /// Print all entries as CDRs
    Export {
        #[arg(long, value_name = "FORMAT", default_value = "json", value_parser = ["json", "csv"])]
        format: String,
    },
    /// Take entries off the list: they have been settled by hand
    Forget {
        #[arg(value_name = "NUMBER", required = true)]
        numbers: Vec<u64>,
        /// The reason, for the audit log of a running server
        #[arg(long, value_name = "TEXT", default_value = "ordered by the operator")]
        why: String,
        /// Who orders it, for the audit log. Default: the user of this session
        #[arg(long, value_name = "NAME")]
        by: Option<String>,
    },
}

pub(super) fn run(place: &mut Place, action: &Action) -> Result<(), Failure> {
    match action {
        Action::List => place.unpaid(&Wanted::default(), |cdr| say(&described(cdr))),
        Action::Show { number } => {
            let wanted = Wanted {
                number: Some(*number),
                ..Wanted::default()
            };
            let mut entries = Vec::new();
            place.unpaid(&wanted, |cdr| {
                entries.push(cdr.clone());
                true
            })?;
            found(&entries)
        }
        Action::Export { format } => {
            if format == "csv" {
                say(CSV_COLUMNS);
            }
            place.unpaid(&Wanted::default(), |cdr| say(&exported(cdr, format)))
        }
        Action::Forget { numbers, why, by } => {
            let count = place.forget(numbers, why, by.as_deref())?;
            say(&format!("{count} forgotten"));
            match count {
                0 => Err(Failure::new(Exit::Failed, "no such entry")),
                _ => Ok(()),
            }
        }
    }
}

/// Number, what is owed, units, Result-Code (0: no answer), OCS, SIP method, IMS charging identifier, reason.
fn described(cdr: &Cdr) -> String {
    let credit = cdr.credit.clone().unwrap_or_default();
    let icid = cdr.icid.as_deref().unwrap_or("-");
    let ocs = if cdr.cdf.is_empty() { "-" } else { &cdr.cdf };
    format!(
        "{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}",
        cdr.number,
        line(&credit.what),
        credit.units.unwrap_or(0),
        cdr.result.unwrap_or(0),
        line(ocs),
        cdr.method,
        line(icid),
        line(&cdr.reason)
    )
}
