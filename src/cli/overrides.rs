//! `presentia override`: what the operator imposes above the rules of presentities.

use super::session::block_on;
use super::terminal::{line, say};
use super::{Exit, Failure};
use crate::http::overrides::{Lifted, Ordered, PATH, Refused, Shown};
use crate::ua::http::{self, Request, Response, exchange};
use bytes::Bytes;
use hyper::{Method, Uri, header};
use ims::node::Scope;
use serde::Serialize;

const AFTER_HELP: &str = "\
Examples:
  presentia override set sip:bob@ims.test sip:alice@ims.test block --why \"court order 12/26\"
  presentia override set \"*\" example.org polite-block --why \"abuse, ticket 4711\" --by anna
  presentia override set sip:pressroom@ims.test \"*\" allow --why \"public identity\"
  presentia override list
  presentia override remove \"*\" example.org --why \"ticket 4711 closed\"

PRESENTITY is an identity or *; WATCHER an identity, a domain or *. The more specific goes first, and then the stricter. An
override stands above all rules of the presentity and acts on running subscriptions at once. The server must trust this
machine ([http] trusted_proxies). A line of the list is, separated by tabs: presentity, watcher, handling, by, milliseconds
since 1970, why.

Exit status: 0 done, 1 refused or not there, 2 wrong usage, 69 no server.";

/// Impose who may watch whom, above the rules of presentities; every change is audited
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
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
    /// Impose a handling, in place of one that stands
    Set {
        #[command(flatten)]
        whom: Whom,
        #[arg(value_name = "HANDLING", value_parser = ["allow", "polite-block", "confirm", "block"])]
        handling: String,
        #[command(flatten)]
        said: Said,
    },
    /// Print what stands
    List,
    /// Let the presentity's own rules decide again
    Remove {
        #[command(flatten)]
        whom: Whom,
        #[command(flatten)]
        said: Said,
    },
}

#[derive(Debug, clap::Args)]
struct Whom {
    #[arg(value_name = "PRESENTITY")]
    presentity: String,
    #[arg(value_name = "WATCHER")]
    watcher: String,
}

#[derive(Debug, clap::Args)]
struct Said {
    /// The reason, for the audit log
    #[arg(long, value_name = "TEXT")]
    why: String,
    /// Who orders it, for the audit log. Default: the user of this session
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    match &args.action {
        Action::List => {
            let all: Vec<Shown> = read(&args.ask(Method::GET, "", &())?)?;
            for shown in all {
                if !say(&described(&shown)) {
                    break;
                }
            }
            Ok(())
        }
        Action::Set {
            whom,
            handling,
            said,
        } => {
            let ordered = Ordered {
                handling: handling.clone(),
                by: said.by()?,
                why: said.why.clone(),
            };
            let shown: Shown = read(&args.ask(Method::PUT, &whom.path()?, &ordered)?)?;
            say(&described(&shown));
            Ok(())
        }
        Action::Remove { whom, said } => {
            let lifted = Lifted {
                by: said.by()?,
                why: said.why.clone(),
            };
            args.ask(Method::DELETE, &whom.path()?, &lifted)?;
            say("removed");
            Ok(())
        }
    }
}

impl Args {
    fn ask<T: Serialize>(
        &self,
        method: Method,
        below: &str,
        body: &T,
    ) -> Result<Response, Failure> {
        let url = format!("{}{PATH}{below}", self.server.trim_end_matches('/'));
        let url: Uri = url.parse().map_err(|error| {
            Failure::new(Exit::Failed, line(&format!("{url}: no address ({error})")))
        })?;
        let body = match method {
            Method::GET => Bytes::new(),
            // plain structs of text always serialise
            _ => serde_json::to_vec(body).unwrap_or_default().into(),
        };
        let request = Request {
            method,
            url,
            headers: vec![(header::CONTENT_TYPE, "application/json".into())],
            body,
        };
        let response = block_on(async {
            exchange(request, None).await.map_err(|error| {
                let exit = match &error {
                    http::Error::Unreachable { .. } | http::Error::NoAnswer { .. } => {
                        Exit::Unavailable
                    }
                    http::Error::Url(_)
                    | http::Error::NoTrust(_)
                    | http::Error::Tls { .. }
                    | http::Error::Header(_) => Exit::Failed,
                };
                Failure::new(exit, line(&error.to_string()))
            })
        })?;
        match response.status {
            200..300 => Ok(response),
            status => Err(refusal(status, &response.body)),
        }
    }
}

impl Whom {
    /// The path of the override, with everything escaped that a segment may not hold.
    fn path(&self) -> Result<String, Failure> {
        Scope::parse(&self.presentity, &self.watcher)
            .map_err(|error| Failure::new(Exit::Failed, error))?;
        let escaped = |text: &str| -> String {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:@*+".contains(&b);
            text.bytes()
                .map(|b| match plain(b) {
                    true => char::from(b).to_string(),
                    false => format!("%{b:02X}"),
                })
                .collect()
        };
        Ok(format!(
            "/{}/{}",
            escaped(self.presentity.trim()),
            escaped(self.watcher.trim())
        ))
    }
}

impl Said {
    fn by(&self) -> Result<String, Failure> {
        let named = self.by.clone();
        let session = || {
            ["SUDO_USER", "USER", "LOGNAME"]
                .iter()
                .find_map(|name| std::env::var(name).ok())
        };
        named
            .or_else(session)
            .filter(|by| !by.trim().is_empty())
            .ok_or_else(|| Failure::new(Exit::Failed, "who orders it? Name yourself with --by"))
    }
}

fn read<T: serde::de::DeserializeOwned>(response: &Response) -> Result<T, Failure> {
    serde_json::from_slice(&response.body).map_err(|error| {
        let message =
            format!("the answer is not understood ({error}); is --server a Presentia server?");
        Failure::new(Exit::Failed, message)
    })
}

fn refusal(status: u16, body: &[u8]) -> Failure {
    let said = serde_json::from_slice::<Refused>(body).map(|refused| refused.error);
    let why = said.unwrap_or_else(|_| match status {
        404 => "not there: the server does not trust this machine ([http] trusted_proxies), or is of another make".into(),
        503 => "the server is busy; try again".into(),
        _ => "no reason given".to_owned(),
    });
    Failure::new(Exit::Failed, line(&format!("refused ({status}): {why}")))
}

fn described(shown: &Shown) -> String {
    let Shown {
        presentity,
        watcher,
        handling,
        by,
        why,
        at,
    } = shown;
    format!(
        "{presentity}\t{watcher}\t{handling}\t{}\t{at}\t{}",
        line(by),
        line(why)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_override_has_a_path_that_any_identity_fits_into() {
        for (presentity, watcher, path) in [
            ("sip:bob@ims.test", "*", Some("/sip:bob@ims.test/*")),
            ("*", "ims.test", Some("/*/ims.test")),
            (
                "tel:+361;phone-context=a.b",
                "sip:a/b?@x",
                Some("/tel:+361%3Bphone-context%3Da.b/sip:a%2Fb%3F@x"),
            ),
            ("*", "sip:a%2Fb@x", Some("/*/sip:a%252Fb@x")),
            ("bob", "*", None),
        ] {
            let whom = Whom {
                presentity: presentity.into(),
                watcher: watcher.into(),
            };
            assert_eq!(whom.path().ok().as_deref(), path, "{presentity} {watcher}");
        }
    }
}
