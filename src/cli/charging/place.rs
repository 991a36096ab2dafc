//! Where charging records are looked at: a running server, or the store of one that is stopped.

use super::super::session::block_on;
use super::super::terminal::line;
use super::super::{Exit, Failure};
use super::arguments::Order as Ordered;
use crate::charging::accounts::Report;
use crate::charging::cdr::Cdr;
use crate::charging::desk::{self, Resent, SHOWN_MAX, Wanted};
use crate::charging::names::Names;
use crate::charging::online::enquiry::Said;
use crate::charging::online::open;
use crate::charging::{quarantine, unpaid};
use crate::config::Config;
use crate::http::charging::{Asked, Forgotten, Order, PATH, Refused, Released, Tail};
use crate::store::{self, Engine, StoreError};
use crate::ua::http::{self, Request, exchange};
use bytes::Bytes;
use hyper::{Method, Uri, header};
use ims::charge::record;
use ims::record::Table;
use serde::de::DeserializeOwned;
use std::path::Path;

/// What is to be done where no server answers.
const ELSEWHERE: &str = "; --server names the HTTP listener of a running server, --config FILE opens the store of a stopped one";

const ASKS_NOBODY: &str = "a server that is stopped asks nobody: leave --config out, and name a running one with --server";

/// One of the two.
pub(super) enum Place {
    Server(String),
    Store {
        engine: Box<dyn Engine>,
        sender: crate::charging::acr::Sender,
    },
}

fn in_store(error: StoreError) -> Failure {
    Failure::new(Exit::Store, error)
}

impl Place {
    pub fn open(config: Option<&Path>, server: &str) -> Result<Place, Failure> {
        let Some(path) = config else {
            return Ok(Place::Server(server.trim_end_matches('/').to_owned()));
        };
        let config = Config::load(path).map_err(|error| Failure::new(Exit::Config, error))?;
        let path = &config.store.path;
        if !path.exists() {
            let message = format!("there is no store at {}", path.display());
            return Err(Failure::new(Exit::Store, message));
        }
        let engine = store::open(&config.store).map_err(in_store)?;
        let names = Names::load(&*engine.reader()).map_err(in_store)?;
        let sender = super::explain::sender(&config)?.named(&names);
        Ok(Place::Store { engine, sender })
    }

    pub fn quarantine(&self, wanted: &Wanted) -> Result<Vec<Cdr>, Failure> {
        match self {
            Place::Server(server) => get(server, "/quarantine", &query(wanted)),
            Place::Store { engine, sender } => {
                let mut found = Vec::new();
                quarantine::each(&*engine.reader(), |number, quarantined| {
                    found.extend(desk::show(sender, number, quarantined, wanted));
                })
                .map_err(in_store)?;
                Ok(found)
            }
        }
    }

    pub fn trace(&self, wanted: &Wanted) -> Result<Vec<Cdr>, Failure> {
        match self {
            Place::Server(server) => get(server, "/trace", &query(wanted)),
            Place::Store { engine, sender } => {
                let mut found = self.quarantine(wanted)?;
                self.unpaid(wanted, |cdr| {
                    found.push(cdr.clone());
                    true
                })?;
                open::each(&*engine.reader(), sender, wanted, |cdr| found.push(cdr))
                    .map_err(in_store)?;
                let waiting = engine.reader().scan(Table::Charging, &[], usize::MAX);
                for (_, value) in waiting.map_err(in_store)? {
                    if let Ok(event) = record::read(&value)
                        && wanted.is(&event)
                    {
                        found.push(Cdr::new(sender, &event, "waiting"));
                    }
                }
                Ok(found)
            }
        }
    }

    pub fn report(&self) -> Result<Report, Failure> {
        match self {
            Place::Server(server) => get(server, "/report", ""),
            Place::Store { engine, .. } => Report::read(&*engine.reader()).map_err(in_store),
        }
    }

    pub fn tail(&self, after: u64) -> Result<(u64, Vec<Cdr>), Failure> {
        match self {
            Place::Server(server) => {
                let Tail { last, records } = get(server, "/tail", &format!("?after={after}"))?;
                Ok((last, records))
            }
            Place::Store { .. } => {
                let message = "a server that is stopped sends nothing: leave --config out, and name a running one with --server";
                Err(Failure::new(Exit::Failed, message))
            }
        }
    }

    /// Asks an OCS through the running server: `/price` or `/balance`.
    pub fn enquire(&self, below: &str, pairs: &[(&str, Option<&str>)]) -> Result<Said, Failure> {
        match self {
            Place::Server(server) => get(server, below, &written(pairs)),
            Place::Store { .. } => Err(Failure::new(Exit::Failed, ASKS_NOBODY)),
        }
    }

    pub fn release(&mut self, numbers: &[u64], ordered: &Ordered) -> Result<u64, Failure> {
        match self {
            Place::Store { engine, .. } => {
                quarantine::release(engine.as_mut(), numbers).map_err(in_store)
            }
            Place::Server(server) => {
                let Released { released } =
                    ask(server, Method::POST, "/release", order(numbers, ordered))?;
                Ok(released)
            }
        }
    }

    /// Shows what no OCS takes, in order, until `show` has had enough. A server is asked page by page.
    pub fn unpaid(
        &self,
        wanted: &Wanted,
        mut show: impl FnMut(&Cdr) -> bool,
    ) -> Result<(), Failure> {
        let mut wanted = wanted.clone();
        loop {
            let page: Vec<Cdr> = match self {
                Place::Server(server) => get(server, "/unpaid", &query(&wanted))?,
                Place::Store { engine, sender } => {
                    unpaid::listed(&*engine.reader(), sender, &wanted, SHOWN_MAX)
                        .map_err(in_store)?
                }
            };
            if !page.iter().all(&mut show) {
                return Ok(());
            }
            let last = page.last().filter(|_| page.len() >= SHOWN_MAX);
            match last.and_then(|cdr| cdr.number.parse().ok()) {
                Some(last) => wanted.after = Some(last),
                None => return Ok(()),
            }
        }
    }

    /// Has an OCS asked again for the entries of a charge.
    pub fn resend(&self, number: u64, ordered: &Ordered) -> Result<Vec<Resent>, Failure> {
        match self {
            Place::Store { .. } => Err(Failure::new(Exit::Failed, ASKS_NOBODY)),
            Place::Server(server) => {
                let order = order(&[number], ordered);
                let Asked { asked } = ask(server, Method::POST, "/resend", order)?;
                Ok(asked)
            }
        }
    }

    /// Takes entries off that list.
    pub fn forget(&mut self, numbers: &[u64], ordered: &Ordered) -> Result<u64, Failure> {
        match self {
            Place::Store { engine, .. } => {
                unpaid::forget(engine.as_mut(), numbers).map_err(in_store)
            }
            Place::Server(server) => {
                let Forgotten { forgotten } =
                    ask(server, Method::POST, "/forget", order(numbers, ordered))?;
                Ok(forgotten)
            }
        }
    }
}

/// The body of an order, with who gives it.
fn order(numbers: &[u64], Ordered { why, by }: &Ordered) -> Vec<u8> {
    let session = || std::env::var("SUDO_USER").or_else(|_| std::env::var("USER"));
    let by = by.clone().or_else(|| session().ok());
    let order = Order {
        numbers: numbers.iter().map(u64::to_string).collect(),
        by: by.unwrap_or_else(|| "unknown".to_owned()),
        why: why.clone(),
    };
    // plain structs of text always serialise
    serde_json::to_vec(&order).unwrap_or_default()
}

fn query(wanted: &Wanted) -> String {
    let number = wanted.number.map(|number| number.to_string());
    let after = wanted.after.map(|number| number.to_string());
    written(&[
        ("icid", wanted.icid.as_deref()),
        ("call_id", wanted.call_id.as_deref()),
        ("number", number.as_deref()),
        ("after", after.as_deref()),
    ])
}

/// A query of what is there, escaped.
fn written(pairs: &[(&str, Option<&str>)]) -> String {
    let escaped = |text: &str| -> String {
        text.bytes()
            .map(
                |b| match b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
                    true => char::from(b).to_string(),
                    false => format!("%{b:02X}"),
                },
            )
            .collect()
    };
    let pairs: Vec<String> = pairs
        .iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", escaped((*value)?))))
        .collect();
    format!("?{}", pairs.join("&"))
}

fn get<T: DeserializeOwned>(server: &str, below: &str, query: &str) -> Result<T, Failure> {
    ask(server, Method::GET, &format!("{below}{query}"), Vec::new())
}

fn ask<T: DeserializeOwned>(
    server: &str,
    method: Method,
    below: &str,
    body: Vec<u8>,
) -> Result<T, Failure> {
    let failed = |why: String| Failure::new(Exit::Failed, line(&why));
    let url = format!("{server}{PATH}{below}");
    let url: Uri = url
        .parse()
        .map_err(|error| failed(format!("{url}: no address ({error})")))?;
    let request = Request {
        method,
        url,
        headers: vec![(header::CONTENT_TYPE, "application/json".into())],
        body: Bytes::from(body),
    };
    let response = block_on(async {
        exchange(request, None).await.map_err(|error| match &error {
            http::Error::Unreachable { .. } | http::Error::NoAnswer { .. } => {
                Failure::new(Exit::Unavailable, line(&format!("{error}{ELSEWHERE}")))
            }
            _ => Failure::new(Exit::Failed, line(&error.to_string())),
        })
    })?;
    if !(200..300).contains(&response.status) {
        let said = serde_json::from_slice::<Refused>(&response.body).map(|refused| refused.error);
        let why = said.unwrap_or_else(|_| match response.status {
            404 => "not there: charging is off, or the server does not trust this machine ([http] trusted_proxies)".into(),
            _ => "no reason given".into(),
        });
        return Err(failed(format!("refused ({}): {why}", response.status)));
    }
    serde_json::from_slice(&response.body).map_err(|error| {
        failed(format!(
            "the answer is not understood ({error}); is --server a Presentia server?"
        ))
    })
}
