//! `presentia sim client`: one charge against an OCS.

use super::super::session::block_on;
use super::super::terminal::say;
use super::super::{Exit, Failure};
use crate::sim::client::{self, Ask, End};
use diameter::credit::client::Charge;
use diameter::credit::{Decision, Policy};
use diameter::ro::{DebitFailureHandling, FailureHandling, UnitsIn};
use std::net::SocketAddr;
use std::time::Duration;

pub const AFTER_HELP: &str = "\
Examples:
  presentia sim client sip:bob@ims.test                       debit one unit at 127.0.0.1:3868
  presentia sim client sip:bob@ims.test --fails               and give it back, since the service failed
  presentia sim client sip:bob@ims.test --charge reserve --lasts 5000
  presentia sim client sip:bob@ims.test --charge price
  presentia sim client +15551230001 --peer 192.0.2.1:3868 --peer 192.0.2.2:3868 --tx 1000 --ddfh continue

What is asked, answered and decided is printed as it comes, and what a server would have to store before it asks.

Exit status: 0 granted or free, 1 denied, 2 wrong usage, 69 no OCS can be reached.";

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum What {
    /// One unit now, given back if the service fails
    Debit,
    /// A unit set aside, and reported when the service ends
    Reserve,
    /// Whether there is credit
    Balance,
    /// What it would cost
    Price,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum OnFailure {
    Terminate,
    Continue,
    Retry,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum OnDebitFailure {
    Buffer,
    Continue,
}

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Who pays: a SIP URI, or a number with its plus
    #[arg(value_name = "SUBSCRIBER")]
    subscriber: String,
    /// Address of an OCS; may be given more than once, primary first
    #[arg(long, default_value = "127.0.0.1:3868", value_name = "ADDRESS")]
    peer: Vec<SocketAddr>,
    #[arg(long, value_enum, default_value = "debit", value_name = "WHAT")]
    charge: What,
    /// SIP method that is charged
    #[arg(long, default_value = "SUBSCRIBE", value_name = "METHOD")]
    method: String,
    /// Milliseconds that the service lasts once it is granted
    #[arg(long, default_value_t = 0, value_name = "MS")]
    lasts: u64,
    /// The service fails in the end
    #[arg(long)]
    fails: bool,
    /// Tx: milliseconds that the user waits for a decision
    #[arg(long, default_value_t = 3_000, value_name = "MS")]
    tx: u64,
    /// Milliseconds after which a request counts as lost
    #[arg(long, default_value_t = 10_000, value_name = "MS")]
    answer_timeout: u64,
    /// Credit-Control-Failure-Handling where the OCS says none
    #[arg(long, value_enum, default_value = "terminate", value_name = "WORD")]
    ccfh: OnFailure,
    /// Direct-Debiting-Failure-Handling where the OCS says none
    #[arg(long, value_enum, default_value = "buffer", value_name = "WORD")]
    ddfh: OnDebitFailure,
    /// Ask for units at the level of the command, without Multiple-Services-Credit-Control
    #[arg(long)]
    plain_units: bool,
    /// Rating-Group of the service
    #[arg(long, value_name = "NUMBER")]
    rating_group: Option<u32>,
    /// Origin-Host
    #[arg(long, default_value = "ps.test", value_name = "NAME")]
    host: String,
    /// Origin-Realm
    #[arg(long, default_value = "ps.test", value_name = "NAME")]
    realm: String,
    /// Destination-Realm. Default: the realm of the OCS
    #[arg(long, value_name = "NAME")]
    destination_realm: Option<String>,
    /// Service-Context-Id
    #[arg(long, default_value = "32260@3gpp.org", value_name = "NAME")]
    service_context_id: String,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| Failure::new(Exit::Internal, error))?;
    let end = block_on(async { Ok(client::run(args.ask(), seed, say).await) })?;
    match end {
        End::Decided(Decision::Granted | Decision::Free) => Ok(()),
        End::Decided(Decision::Denied(why)) => {
            Err(Failure::new(Exit::Failed, format!("denied ({why:?})")))
        }
        End::NoServer => Err(Failure::new(Exit::Unavailable, "no OCS can be reached")),
    }
}

impl Args {
    fn ask(&self) -> Ask {
        Ask {
            peers: self.peer.clone(),
            host: self.host.clone(),
            realm: self.realm.clone(),
            destination: self.destination_realm.clone(),
            service_context_id: self.service_context_id.clone(),
            charge: match self.charge {
                What::Debit => Charge::Debit,
                What::Reserve => Charge::Reserve,
                What::Balance => Charge::CheckBalance,
                What::Price => Charge::PriceEnquiry,
            },
            subscriber: subscriber(&self.subscriber),
            method: self.method.clone(),
            lasts: Duration::from_millis(self.lasts),
            fails: self.fails,
            policy: Policy {
                tx: self.tx,
                failure: match self.ccfh {
                    OnFailure::Terminate => FailureHandling::Terminate,
                    OnFailure::Continue => FailureHandling::Continue,
                    OnFailure::Retry => FailureHandling::RetryAndTerminate,
                },
                debit_failure: match self.ddfh {
                    OnDebitFailure::Buffer => DebitFailureHandling::TerminateOrBuffer,
                    OnDebitFailure::Continue => DebitFailureHandling::Continue,
                },
                ..Policy::default()
            },
            units_in: match self.plain_units {
                true => UnitsIn::Command,
                false => UnitsIn::Services {
                    service_identifier: None,
                    rating_group: self.rating_group,
                },
            },
            answer_timeout: Duration::from_millis(self.answer_timeout),
            patience: Duration::from_secs(10),
        }
    }
}

/// Subscription-Id of a number, END_USER_E164, or of anything else, END_USER_SIP_URI (RFC 8506 §8.47).
fn subscriber(text: &str) -> (i32, String) {
    match text.strip_prefix('+') {
        Some(digits) => (0, digits.to_owned()),
        None => (2, text.to_owned()),
    }
}
