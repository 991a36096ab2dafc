//! What the XCAP commands have in common: which XDMS, as whom, and what its answers mean.

use super::address::{self, Binding, Kind};
use super::conflict::Conflict;
use crate::cli::login::Login;
use crate::cli::session::identity;
use crate::cli::terminal::line;
use crate::cli::{Exit, Failure};
use crate::ua::Credentials;
use crate::ua::http;
use crate::ua::tls::Trust;
use crate::ua::xcap::{self, Ask, Client, Identity};
use bytes::Bytes;
use hyper::{Method, header};
use ims::sip::Aor;
use std::path::PathBuf;

/// Where systems keep the authorities that they trust.
const BUNDLES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// Options of every XCAP client: which XDMS, as whom
#[derive(Debug, clap::Args)]
pub struct Access {
    /// XCAP root of the XDMS or Aggregation Proxy
    #[arg(
        long,
        global = true,
        value_name = "URL",
        default_value = "http://127.0.0.1:8080/xcap-root"
    )]
    pub root: String,
    /// Act as this identity. Without a password it is asserted as a trusted proxy does. Default: the user in PATH
    #[arg(long = "as", global = true, value_name = "IDENTITY", value_parser = identity)]
    pub identity: Option<Aor>,
    /// The identity that is asked for (X-3GPP-Intended-Identity) where it is another than that of --as
    #[arg(long, global = true, value_name = "IDENTITY", value_parser = identity)]
    intended: Option<Aor>,
    #[command(flatten)]
    login: Login,
    /// Authorities that vouch for an https:// root, in PEM. Default: those of the system
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Print one JSON object for each answer
    #[arg(long, global = true)]
    pub json: bool,
}

/// A request to a resource, before it has an address.
#[derive(Clone, Debug)]
pub struct Wish<'a> {
    pub method: Method,
    pub path: &'a str,
    pub bindings: &'a [Binding],
    pub if_match: Option<String>,
    pub if_none_match: Option<String>,
    pub content: Option<(String, Bytes)>,
}

impl<'a> Wish<'a> {
    pub fn get(path: &'a str) -> Wish<'a> {
        Wish {
            method: Method::GET,
            path,
            bindings: &[],
            if_match: None,
            if_none_match: None,
            content: None,
        }
    }

    /// A document in place of what had the entity-tag `known`, or of nothing.
    pub fn put(path: &'a str, kind: &str, document: Bytes, known: Option<&str>) -> Wish<'a> {
        Wish {
            method: Method::PUT,
            if_match: known.map(str::to_owned),
            if_none_match: known.is_none().then(|| "*".to_owned()),
            content: Some((kind.to_owned(), document)),
            ..Wish::get(path)
        }
    }
}

/// What an XDMS answers.
#[derive(Clone, Debug)]
pub struct Reply {
    pub method: Method,
    pub status: u16,
    /// As it stands in the header, with its quotes.
    pub etag: Option<String>,
    pub content_type: Option<String>,
    pub length: Option<u64>,
    allow: Option<String>,
    retry_after: Option<String>,
    pub body: Bytes,
}

/// One client with its identity.
#[derive(Debug)]
pub struct Xdms<'a> {
    access: &'a Access,
    client: Client,
}

impl Access {
    /// What is proved where a proof is asked for.
    pub fn credentials(&self, acting: Option<&Aor>) -> Result<Option<Credentials>, Failure> {
        self.login.credentials(acting)
    }

    /// Who may vouch for the XDMS, where it is reached over TLS.
    fn trust(&self) -> Result<Option<Trust>, Failure> {
        if !self.root.starts_with("https:") && self.ca.is_none() {
            return Ok(None);
        }
        let known = || BUNDLES.iter().map(PathBuf::from).find(|file| file.exists());
        let Some(file) = self.ca.clone().or_else(known) else {
            return Ok(None);
        };
        let pem = std::fs::read(&file).map_err(|error| error.to_string());
        let trust = pem.and_then(|pem| Trust::of(&pem));
        trust.map(Some).map_err(|why| {
            let message = format!("no authorities can be read from {} ({why})", file.display());
            Failure::new(Exit::Config, line(&message))
        })
    }

    /// A client for requests about the documents of `owner`, who is acted as where nobody else is named.
    pub fn open(&self, owner: Option<&Aor>) -> Result<Xdms<'_>, Failure> {
        let acting = self.identity.as_ref().or(owner);
        let credentials = self.credentials(acting)?;
        let text = |aor: &Aor| aor.as_str().to_owned();
        // who proves a password is a client; who does not must be the proxy that the XDMS trusts (TS 24.109 §6)
        let asserted = acting.filter(|_| credentials.is_none()).map(text);
        let client = Client::new(Identity {
            intended: self.intended.as_ref().or(acting).map(text),
            asserted,
            credentials,
            trust: self.trust()?,
        });
        let client = client.map_err(|error| Failure::new(Exit::Internal, error))?;
        Ok(Xdms {
            access: self,
            client,
        })
    }
}

impl Xdms<'_> {
    /// Any answer.
    pub async fn ask(&self, wish: Wish<'_>) -> Result<Reply, Failure> {
        let url = address::url(&self.access.root, wish.path, wish.bindings)?;
        let ask = Ask {
            method: wish.method.clone(),
            url,
            if_match: wish.if_match.as_deref().map(quoted),
            if_none_match: wish.if_none_match.as_deref().map(quoted),
            content: wish.content,
        };
        let response = self.client.ask(&ask).await.map_err(|e| unanswered(&e))?;
        let text = |name| response.header(name).map(str::to_owned);
        Ok(Reply {
            method: wish.method,
            status: response.status,
            etag: text(header::ETAG),
            content_type: text(header::CONTENT_TYPE),
            length: text(header::CONTENT_LENGTH).and_then(|l| l.parse().ok()),
            allow: text(header::ALLOW),
            retry_after: text(header::RETRY_AFTER),
            body: response.body,
        })
    }

    /// A document with its entity-tag; `None` where there is none.
    pub async fn read(&self, path: &str) -> Result<Option<Reply>, Failure> {
        let reply = self.ask(Wish::get(path)).await?;
        match reply.status {
            404 => Ok(None),
            _ => reply.accepted(path).map(Some),
        }
    }
}

/// Why nothing was answered, as a failure of the command.
fn unanswered(error: &xcap::Error) -> Failure {
    let (exit, hint) = match error {
        xcap::Error::Http(http::Error::Unreachable { .. }) => (
            Exit::Unavailable,
            "; is the XDMS there? Name another with --root, or start one: presentia serve",
        ),
        xcap::Error::Http(http::Error::NoAnswer { .. }) => (Exit::Unavailable, ""),
        xcap::Error::NoPassword(_) => (
            Exit::Failed,
            "; give --password-file FILE or set PRESENTIA_PASSWORD, and --user where it is not the identity",
        ),
        xcap::Error::Http(http::Error::NoTrust(_)) => (Exit::Failed, "; name one with --ca"),
        xcap::Error::Http(http::Error::Tls { .. }) => (
            Exit::Failed,
            "; is its authority in the file of --ca, and its certificate about this name?",
        ),
        xcap::Error::Http(http::Error::Url(_) | http::Error::Header(_))
        | xcap::Error::WrongPassword(_)
        | xcap::Error::StrangeChallenge(_) => (Exit::Failed, ""),
    };
    Failure::new(exit, line(&format!("{error}{hint}")))
}

impl Reply {
    /// The reply if it is a success, or not modified.
    pub fn accepted(self, path: &str) -> Result<Reply, Failure> {
        match self.status {
            200..300 | 304 => Ok(self),
            _ => Err(self.refused(path)),
        }
    }

    /// What a 409 says.
    pub fn conflict(&self) -> Option<Conflict> {
        Conflict::read(&self.body).filter(|_| self.status == 409)
    }

    /// The refusal in words, with what can be done about it.
    pub fn refused(&self, path: &str) -> Failure {
        let why = match self.status {
            400 => "the XDMS cannot read the request; is PATH as in pres-rules/users/sip:bob@ims.test/index?".into(),
            401 | 403 => "the XDMS does not let this identity do that: the document is another user's, or this address is not \
                          trusted to assert identities ([http] trusted_proxies)"
                .into(),
            404 => format!("there is no such {}", Kind::of(path).word()),
            405 => format!(
                "not possible here; possible: {}",
                self.allow.as_deref().filter(|a| !a.is_empty()).unwrap_or("nothing")
            ),
            409 => self.conflict().map_or_else(|| "conflict, without a report".into(), |c| c.told()),
            412 => "the document has changed, or is (not) there, other than the condition asks".into(),
            413 => "the document is larger than the XDMS takes".into(),
            415 => "the Content-Type is not that of this application usage; name it with --type".into(),
            429 => format!("too many requests; try again{}", self.later()),
            501 => "the XDMS does not offer this".into(),
            503 => format!("the XDMS is busy; try again{}", self.later()),
            _ => "refused".to_owned(),
        };
        let exit = match self.status {
            412 => Exit::Condition,
            _ => Exit::Failed,
        };
        let message = format!("{path}: refused ({}): {why}", self.status);
        Failure::new(exit, line(&message))
    }

    fn later(&self) -> String {
        let seconds = self.retry_after.as_ref();
        seconds.map_or_else(String::new, |seconds| format!(" in {seconds} s"))
    }
}

/// An entity-tag as a header has it: quotes are easily lost to a shell.
fn quoted(tag: &str) -> String {
    match tag == "*" || tag.contains('"') {
        true => tag.to_owned(),
        false => format!("\"{tag}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_tags_get_their_quotes() {
        for (tag, want) in [
            ("*", "*"),
            ("4f2a", "\"4f2a\""),
            ("\"4f2a\"", "\"4f2a\""),
            ("W/\"a\"", "W/\"a\""),
            ("\"a\", \"b\"", "\"a\", \"b\""),
        ] {
            assert_eq!(quoted(tag), want);
        }
    }

    #[test]
    fn a_refusal_says_what_it_means_and_a_failed_condition_has_its_own_status() {
        for (status, exit, word) in [
            (404, Exit::Failed, "no such attribute"),
            (405, Exit::Failed, "possible: GET"),
            (409, Exit::Failed, "conflict, without a report"),
            (412, Exit::Condition, "has changed"),
            (415, Exit::Failed, "--type"),
            (503, Exit::Failed, "try again in 7 s"),
            (999, Exit::Failed, "refused"),
        ] {
            let reply = Reply {
                method: Method::PUT,
                status,
                etag: None,
                content_type: None,
                length: None,
                allow: Some("GET".into()),
                retry_after: Some("7".into()),
                body: Bytes::new(),
            };
            let failure = reply.refused("d/users/sip:b@x/index/~~/a/@b");
            assert_eq!(failure.exit, exit, "{status}");
            assert!(failure.message.contains(word), "{}", failure.message);
        }
    }
}
