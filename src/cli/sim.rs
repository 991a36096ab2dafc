//! `presentia sim`: a CDF or an OCS for tests and for integrators.

mod client;

use super::session::block_on;
use super::terminal::{Stop, note, say};
use super::{Exit, Failure};
use crate::sim::ocs::Terms;
use crate::sim::ocs::units::Unit;
use crate::sim::script::{KINDS, Rule, Script};
use crate::sim::{Settings, serve};
use diameter::base::{Applications, Local};
use std::io::BufRead;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

const AFTER_HELP: &str = "\
Examples:
  presentia sim cdf                                         a CDF on 127.0.0.1:3868: takes all
  presentia sim cdf --answer 3004,3004,2001                 that is too busy twice
  presentia sim cdf --answer NOTIFY=5012 --answer silent@0.1
  presentia sim ocs --listen 127.0.0.1:3869 --quota 5 --final-unit
  presentia sim ocs --balance sip:bob@ims.test=0 --json     an empty account; JSON for a script
  presentia sim ocs --rar-after 2000 --validity 60 --ccfh 1
  presentia sim ocs --both --balance sip:bob@ims.test=1     CDF and OCS at once, one unit for bob
  presentia sim ocs --pcap ro.pcap                          for tshark -V -O diameter -r ro.pcap

An ANSWER is [KEY=]ACT[,ACT...]. Its KEY is a SIP method, or INITIAL, UPDATE, TERMINATION,
DEBIT, REFUND, BALANCE, PRICE; without one it is for every request. An ACT is a Result-Code,
silent, disconnect, or default (what the account says), with @0.1 for one time in ten. Acts
follow each other, the last one stays. The first ANSWER that fits a request decides.

While it runs, standard input takes lines: answer ANSWER, rar [SESSION], asr [SESSION],
balance ID[=UNITS], sessions, duplicates, disconnect (with DPR), quit.

Exit status: 0 ended by a signal or quit, 2 wrong usage, 69 the address cannot be had.";

/// Simulate a charging system: print what it is sent, and answer as told
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, clap::Subcommand)]
enum Role {
    /// A charging data function: offline charging, Rf
    #[command(after_help = AFTER_HELP)]
    Cdf {
        #[command(flatten)]
        common: Common,
    },
    /// An online charging system with accounts that count units: Ro
    #[command(after_help = AFTER_HELP)]
    Ocs {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        account: Account,
    },
    /// A client of an OCS: one charge, shown step by step, as a server would make it
    #[command(after_help = client::AFTER_HELP)]
    Client(client::Args),
}

#[derive(Debug, clap::Args)]
struct Common {
    /// Address to listen at
    #[arg(long, default_value = "127.0.0.1:3868", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Origin-Host. Default: cdf.test or ocs.test
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Origin-Realm
    #[arg(long, default_value = "test", value_name = "NAME")]
    realm: String,
    /// What is answered; may be given more than once
    #[arg(long, value_name = "ANSWER")]
    answer: Vec<Rule>,
    /// Milliseconds before each answer
    #[arg(long, default_value_t = 0, value_name = "MS")]
    delay: u64,
    /// Where chance begins: the same number gives the same run
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    seed: u64,
    /// Serve the other application too: accounting and credit control
    #[arg(long)]
    both: bool,
    /// Print each message as one JSON object on a line
    #[arg(long)]
    json: bool,
    /// Write what passes into a file for Wireshark, each message at once
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Account {
    /// Units in each account that has no balance of its own. Default: without end
    #[arg(long, value_name = "UNITS")]
    quota: Option<i64>,
    /// Units of one account, by SIP URI or number of its Subscription-Id; may be given more than once
    #[arg(long, value_name = "ID=UNITS", value_parser = balance)]
    balance: Vec<(String, i64)>,
    /// Units granted with one answer at most
    #[arg(long, value_name = "UNITS")]
    grant: Option<u64>,
    /// Validity-Time of a grant, in seconds
    #[arg(long, value_name = "SECONDS")]
    validity: Option<u32>,
    /// Unit-Quota-Threshold of a grant: the client asks for more when fewer units are left
    #[arg(long, value_name = "UNITS")]
    threshold: Option<u32>,
    /// Quota-Holding-Time of a grant, in seconds: units that lie unused so long are given back
    #[arg(long, value_name = "SECONDS")]
    holding: Option<u32>,
    /// Grant units of this kind, whatever is asked for: events, time, money or octets. Default: as asked for
    #[arg(long, value_name = "KIND")]
    unit: Option<Unit>,
    /// Announce the last units with Final-Unit-Indication
    #[arg(long)]
    final_unit: bool,
    /// Its Final-Unit-Action: 0 terminate, 1 redirect, 2 restrict access
    #[arg(long, default_value_t = 0, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(0..=2))]
    final_action: i32,
    /// Say that sessions may be moved to another server (CC-Session-Failover)
    #[arg(long)]
    failover: bool,
    /// Credit-Control-Failure-Handling: 0 terminate, 1 continue, 2 retry and terminate
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(0..=2))]
    ccfh: Option<i32>,
    /// Direct-Debiting-Failure-Handling: 0 terminate or buffer, 1 continue
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(0..=1))]
    ddfh: Option<i32>,
    /// Price of a unit in hundredths of a euro, told as Cost-Information
    #[arg(long, value_name = "CENTS")]
    price: Option<i64>,
    /// Put refusals into Multiple-Services-Credit-Control
    #[arg(long)]
    inside: bool,
    /// Keep the accounts in this file, so that they outlive the simulator; the file grows with each request
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Ask for each session again so many milliseconds after its begin
    #[arg(long, value_name = "MS")]
    rar_after: Option<u64>,
}

fn balance(text: &str) -> Result<(String, i64), String> {
    let parts = text.rsplit_once('=').map(|(id, units)| (id, units.parse()));
    match parts {
        Some((id, Ok(units))) if !id.is_empty() => Ok((id.to_owned(), units)),
        _ => Err("an account is written ID=UNITS".into()),
    }
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let (common, settings) = match &args.role {
        Role::Cdf { common } => {
            let settings = common.settings("cdf.test", Applications::ACCOUNTING);
            (common, settings)
        }
        Role::Ocs { common, account } => {
            let mut settings = common.settings("ocs.test", Applications::CREDIT_CONTROL);
            settings.rar_after = account.rar_after.map(Duration::from_millis);
            settings.terms = account.terms();
            settings.journal.clone_from(&account.journal);
            (common, settings)
        }
        Role::Client(args) => return client::run(args),
    };
    block_on(simulate(common.listen, settings))
}

impl Common {
    fn settings(&self, host: &str, applications: Applications) -> Settings {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let local = Local {
            host: self.host.clone().unwrap_or(host.to_owned()),
            realm: self.realm.clone(),
            product: "Presentia simulator".into(),
            state_id: since.map_or(1, |since| since.as_secs() as u32),
            applications: match self.both {
                true => Applications::BOTH,
                false => applications,
            },
        };
        for rule in &self.answer {
            if let Some(key) = rule.key().filter(|key| !known(key)) {
                note(&format!(
                    "no request of presence is called {key}, so this answer is never given; keys are {}, {}",
                    METHODS.join(", "),
                    KINDS.join(", ")
                ));
            }
        }
        Settings {
            local,
            script: Script::new(self.answer.clone(), self.seed),
            terms: Terms::default(),
            delay: Duration::from_millis(self.delay),
            rar_after: None,
            json: self.json,
            pcap: self.pcap.clone(),
            journal: None,
        }
    }
}

/// SIP methods that are charged.
const METHODS: [&str; 4] = ["PUBLISH", "SUBSCRIBE", "NOTIFY", "REGISTER"];

/// Whether a request can have this key.
fn known(key: &str) -> bool {
    KINDS.contains(&key) || METHODS.contains(&key)
}

impl Account {
    fn terms(&self) -> Terms {
        Terms {
            quota: self.quota,
            balances: self.balance.iter().cloned().collect(),
            grant: self.grant,
            validity: self.validity,
            threshold: self.threshold,
            holding: self.holding,
            unit: self.unit,
            final_unit: self.final_unit,
            final_action: self.final_action,
            failover: self.failover.then_some(true),
            ccfh: self.ccfh,
            ddfh: self.ddfh,
            price: self.price,
            inside: self.inside,
        }
    }
}

async fn simulate(listen: SocketAddr, settings: Settings) -> Result<(), Failure> {
    let unavailable = |error| {
        let why = format!("cannot listen at {listen} ({error}); --listen names another address");
        Failure::new(Exit::Unavailable, why)
    };
    let listener = TcpListener::bind(listen).await.map_err(unavailable)?;
    let at = listener.local_addr().map_err(unavailable)?;
    let mut stop = Stop::on_signals().map_err(|error| Failure::new(Exit::Internal, error))?;
    let host = &settings.local.host;
    match settings.json {
        true => say(&serde_json::json!({"event": "listening", "of": at.to_string()}).to_string()),
        false => say(&format!("{host} listens at {at}")),
    };
    let (commands, orders) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if commands.blocking_send(line).is_err() {
                return;
            }
        }
    });
    tokio::select! {
        () = serve(settings, listener, orders, say) => {}
        () = stop.asked() => {}
    }
    Ok(())
}
