//! `presentia charging`: the accounts, the records that a CDF has refused, the last ones, and what one would look like.

mod arguments;
mod enquiry;
mod explain;
mod place;
mod report;
mod unpaid;

use super::terminal::{line, say};
use super::{Exit, Failure};
use crate::charging::cdr::Cdr;
use crate::charging::desk::Wanted;
use arguments::{Form, One, Order};
use place::Place;
use std::path::PathBuf;
use std::time::Duration;

const AFTER_HELP: &str = "\
Examples:
  presentia charging report
  presentia charging list
  presentia charging release 1882618704334389248 --why \"ticket 4711: CDF repaired\"
  presentia charging export --format csv >refused.csv
  presentia charging unpaid list
  presentia charging unpaid resend 1882618704334389249 --why \"ticket 4712: topped up\"
  presentia charging unpaid forget 1882618704334389249 --why \"ticket 4712: account corrected\"
  presentia charging trace --icid 4f3a9c
  presentia charging tail
  presentia charging price PUBLISH sip:bob@home1.example
  presentia charging balance tel:+15551230001 --units 10
  presentia charging explain PUBLISH --config /etc/presentia.toml
  presentia charging explain PUBLISH --profile cdf.profile.toml --dictionary site.avps.toml
  presentia charging explain SUBSCRIBE --credit initial --config /etc/presentia.toml
  presentia charging list --config /etc/presentia.toml

Asks the server at --server, which must trust this machine ([http] trusted_proxies). With
--config instead, works on the store of a server that is stopped. A line of the list is,
separated by tabs: number, Result-Code (0: not sent), CDF, SIP method, IMS charging identifier,
reason. Released records are sent again. The number is the one in the server's log; see
docs/charging.md, and --help of report, trace and unpaid.

Exit status: 0 done, 1 refused, not paid, not enough credit, or the accounts do not add up, 2 wrong usage,
69 no server, 74 the store cannot be used (a running server has it), 78 no such configuration.";

const REPORT_HELP: &str = "\
Tables, separated by tabs, one line for each hour (UTC) and below it one for each CDF or OCS:
  hour      emitted = acknowledged + quarantined + exported + waiting, and what is missing
  charges   asked = settled + free + no credit + refused + unavailable + returned + given up + open
  unpaid    listed = collected + forgotten + on the list
  CCRs      sent, with T, refunds, answers by class of Result-Code, without an answer, units debited

Exit status: 0 all of it adds up, 1 something is missing.";

const TRACE_HELP: &str = "\
A line of JSON for each: state waiting, acknowledged, quarantined or exported of a record; open or
unpaid of a charge; answered, unreadable, unanswered or not sent of a CCR. Of what has come to its end
the last 1,000 records and 4,000 CCRs of the running server are known.

Exit status: 0 something was found, 1 nothing.";

/// Look after charging: accounts, quarantine, what nobody pays, traces, live view
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
    /// Configuration file: of a server that is stopped, whose store is used; for explain, what is explained
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The server's HTTP listener
    #[arg(
        long,
        global = true,
        value_name = "URL",
        default_value = "http://127.0.0.1:8080"
    )]
    server: String,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Print one line for each record in quarantine
    List,
    /// Print a record or a charge: in quarantine, waiting or open, unpaid, or lately sent
    Show(One),
    /// Print the records in quarantine as CDRs
    Export(Form),
    /// Put records back into the spool: these, or all of them
    Release {
        /// As the list has them
        #[arg(value_name = "NUMBER")]
        numbers: Vec<u64>,
        #[command(flatten)]
        order: Order,
    },
    /// What no OCS takes: services that are not paid for, and refunds that are owed
    #[command(after_help = unpaid::AFTER_HELP)]
    Unpaid {
        #[command(subcommand)]
        action: unpaid::Action,
    },
    /// Print what became of all events and charges, hour by hour, CDF by CDF and OCS by OCS
    #[command(after_help = REPORT_HELP)]
    Report {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Print what became of a SIP request: its records, its charges, and what OCSs were asked for it
    #[command(after_help = TRACE_HELP)]
    #[command(group = clap::ArgGroup::new("request").required(true).multiple(true))]
    Trace {
        /// IMS charging identifier, icid-value of P-Charging-Vector
        #[arg(long, value_name = "ICID", group = "request")]
        icid: Option<String>,
        /// Call-ID of the SIP request
        #[arg(long, value_name = "CALL-ID", group = "request")]
        call_id: Option<String>,
    },
    /// Print records as they come to their end, and CCRs as they are answered
    Tail {
        /// Print what there is and end
        #[arg(long)]
        once: bool,
    },
    /// Ask the OCS of a user what a request would cost, over the running server
    Price(enquiry::Price),
    /// Ask the OCS of a user whether the account covers something, over the running server
    Balance(enquiry::Balance),
    /// Print the request that a SIP method makes of a CDF or an OCS, AVP by AVP
    Explain(explain::Args),
}

pub fn run(args: &Args) -> Result<(), Failure> {
    if let Action::Explain(example) = &args.action {
        return explain::run(args.config.as_deref(), example);
    }
    let mut place = Place::open(args.config.as_deref(), &args.server)?;
    match &args.action {
        Action::List => {
            for cdr in place.quarantine(&Wanted::default())? {
                if !say(&described(&cdr)) {
                    break;
                }
            }
            Ok(())
        }
        Action::Show(One { number }) => {
            let number = Some(*number);
            let wanted = Wanted {
                number,
                ..Wanted::default()
            };
            found(&place.trace(&wanted)?)
        }
        Action::Trace { icid, call_id } => {
            let wanted = Wanted {
                icid: icid.clone(),
                call_id: call_id.clone(),
                ..Wanted::default()
            };
            found(&place.trace(&wanted)?)
        }
        Action::Export(form) => {
            let cdrs = place.quarantine(&Wanted::default())?;
            form.begin();
            cdrs.iter().all(|cdr| form.say(cdr));
            Ok(())
        }
        Action::Release { numbers, order } => {
            let count = place.release(numbers, order)?;
            say(&format!("{count} released"));
            Ok(())
        }
        Action::Unpaid { action } => unpaid::run(&mut place, action),
        Action::Report { json } => report::run(&place.report()?, *json),
        Action::Tail { once } => tail(&mut place, *once),
        Action::Price(price) => enquiry::price(&place, price),
        Action::Balance(balance) => enquiry::balance(&place, balance),
        Action::Explain(_) => Ok(()), // done above
    }
}

#[cfg(test)]
impl Args {
    /// What `explain` prints; `None` for other actions.
    pub(super) fn explained(&self) -> Option<Result<Vec<String>, Failure>> {
        match &self.action {
            Action::Explain(example) => Some(explain::lines(self.config.as_deref(), example)),
            _ => None,
        }
    }
}

fn found(cdrs: &[Cdr]) -> Result<(), Failure> {
    if cdrs.is_empty() {
        let message = "nothing of that: not waiting or open, not in quarantine or unpaid, not among the last ones";
        return Err(Failure::new(Exit::Failed, message));
    }
    for cdr in cdrs {
        if !say(&cdr.to_json()) {
            break;
        }
    }
    Ok(())
}

fn described(cdr: &Cdr) -> String {
    let icid = cdr.icid.as_deref().unwrap_or("-");
    let (cdf, icid, reason) = (line(&cdr.cdf), line(icid), line(&cdr.reason));
    let result = cdr.result.unwrap_or(0);
    format!(
        "{}\t{result}\t{cdf}\t{}\t{icid}\t{reason}",
        cdr.number, cdr.method
    )
}

fn tail(place: &mut Place, once: bool) -> Result<(), Failure> {
    let mut after = 0;
    loop {
        let (last, records) = place.tail(after)?;
        // a server that has been started anew counts from 0
        after = last;
        for cdr in records {
            if !say(&cdr.to_json()) {
                return Ok(());
            }
        }
        if once {
            return Ok(());
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}
