//! `presentia charging unpaid`: what no OCS takes, until somebody has settled it by hand.

use super::super::terminal::{line, say};
use super::super::{Exit, Failure};
use super::arguments::{Form, One, Order};
use super::found;
use super::place::Place;
use crate::charging::cdr::Cdr;
use crate::charging::desk::Wanted;

pub(super) const AFTER_HELP: &str = "\
A line of the list is, separated by tabs: number, what is owed (debit, refund, report), units,
Result-Code (0: no answer, so that the OCS may have it), OCS, SIP method, IMS charging identifier,
reason. A line of resend: number, what is owed, units, Result-Code, OCS, and paid or why not. A number
may have several entries; they are resent and forgotten together.

Exit status of resend: 0 all of it is paid and off the list, 1 something is not.";

#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// Print one line for each entry
    List,
    /// Print the entries of a charge
    Show(One),
    /// Print all entries as CDRs
    Export(Form),
    /// Ask an OCS again for charges, once: what it takes goes off the list
    Resend {
        /// As the list has them
        #[arg(value_name = "NUMBER", required = true)]
        numbers: Vec<u64>,
        #[command(flatten)]
        order: Order,
    },
    /// Take entries off the list: they have been settled by hand
    Forget {
        /// As the list has them
        #[arg(value_name = "NUMBER", required = true)]
        numbers: Vec<u64>,
        #[command(flatten)]
        order: Order,
    },
}

pub(super) fn run(place: &mut Place, action: &Action) -> Result<(), Failure> {
    match action {
        Action::List => place.unpaid(&Wanted::default(), |cdr| say(&described(cdr))),
        Action::Show(One { number }) => {
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
        Action::Export(form) => {
            form.begin();
            place.unpaid(&Wanted::default(), |cdr| form.say(cdr))
        }
        Action::Resend { numbers, order } => resend(place, numbers, order),
        Action::Forget { numbers, order } => {
            let count = place.forget(numbers, order)?;
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

/// A line for each entry: number, what is owed, units, Result-Code, OCS, and `paid` or why not.
fn resend(place: &Place, numbers: &[u64], order: &Order) -> Result<(), Failure> {
    let mut owed = 0;
    for number in numbers {
        let asked = place.resend(*number, order)?;
        if asked.is_empty() {
            owed += 1;
            say(&format!("{number}\t-\t0\t0\t-\tno such entry"));
        }
        for entry in asked {
            owed += usize::from(!entry.paid);
            let said = &entry.said;
            let why = match entry.paid {
                true => "paid",
                false => said.error.as_deref().unwrap_or("refused"),
            };
            let (result, ocs) = (said.result.unwrap_or(0), said.ocs.as_deref().unwrap_or("-"));
            say(&format!(
                "{}\t{}\t{}\t{result}\t{}\t{}",
                line(&entry.number),
                line(&entry.what),
                entry.units,
                line(ocs),
                line(why)
            ));
        }
    }
    match owed {
        0 => Ok(()),
        _ => Err(Failure::new(Exit::Failed, "not all of it is paid")),
    }
}
