//! `presentia xcap`: an XDMC.

mod edit;
mod listing;
mod watch;

use super::session::block_on;
use super::terminal::{body, note, plain, say};
use super::xdmc::access::{Access, Reply, Wish};
use super::xdmc::address::{Binding, Kind, media_type, owner};
use super::xdmc::conflict::Conflict;
use super::{Exit, Failure};
use bytes::Bytes;
use hyper::Method;
use ims::sip::Aor;
use ims::xml::text::escaped;
use serde::Serialize;
use std::io::Read;
use std::path::{Path, PathBuf};

const AFTER_HELP: &str = "\
Examples:
  presentia xcap get pres-rules/users/sip:bob@ims.test/index > rules.xml
  presentia xcap put pres-rules/users/sip:bob@ims.test/index rules.xml
  presentia xcap put pres-rules/users/sip:bob@ims.test/index rules.xml --if-match '\"4f2a\"'
  presentia xcap delete pres-rules/users/sip:bob@ims.test/index
  presentia xcap get 'resource-lists/users/sip:bob@ims.test/index/~~/resource-lists/list[@name=\"friends\"]'
  presentia xcap put 'resource-lists/users/sip:bob@ims.test/index/~~/resource-lists/list[1]/@name' --value family
  presentia xcap get 'pres-rules/users/sip:bob@ims.test/index/~~/cp:ruleset' --ns cp=urn:ietf:params:xml:ns:common-policy
  presentia xcap get 'pres-rules/users/sip:bob@ims.test/index/~~/ruleset/namespace::*'
  presentia xcap edit pres-rules/users/sip:bob@ims.test/index --with 'sed s/alice@/carol@/'
  presentia xcap watch pres-rules/users/sip:bob@ims.test/index --verify
  presentia xcap watch resource-lists/users/sip:bob@ims.test/ --json --server 127.0.0.1:5080
  presentia xcap directory sip:bob@ims.test
  presentia xcap caps --as sip:bob@ims.test --json
  presentia xcap get pres-rules/users/sip:bob@ims.test/index --user bob@ims.test --password-file bob.secret

A PATH is application usage, users or global, user, document; /~~/ and a node selector name an element, an attribute or
namespace bindings (RFC 4825). What cannot stand in a URI is escaped for you. A document goes to standard output, its
entity-tag to standard error. With --json, standard output has one object: path, status, etag, content_type, length, body
and error (condition, phrase, ancestor, exists).

Exit status: 0 done, 1 refused or not there, 2 wrong usage, 3 a condition does not hold (412), 69 no server,
78 no password where one was named.";

/// Read and change documents of an XDMS over XCAP
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    access: Access,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Print a document, or the part that a node selector names
    Get {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        only: Conditions,
    },
    /// Print entity-tag, type and length without the document
    Head {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        only: Conditions,
    },
    /// Put a document, or the part that a node selector names
    Put {
        #[command(flatten)]
        place: Place,
        /// What is put; - reads standard input
        #[arg(value_name = "FILE", default_value = "-")]
        file: PathBuf,
        /// What is put, in place of FILE: an attribute's value mostly
        #[arg(long, value_name = "TEXT", conflicts_with = "file")]
        value: Option<String>,
        /// Content-Type. Default: that of the application usage, or of the element or attribute selected
        #[arg(long = "type", value_name = "TYPE")]
        content_type: Option<String>,
        #[command(flatten)]
        only: Conditions,
    },
    /// Remove a document, or the part that a node selector names
    Delete {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        only: Conditions,
    },
    Edit(edit::Args),
    Watch(watch::Args),
    /// Print which application usages, extensions and namespaces an XDMS knows
    Caps,
    /// Print which documents a user has
    Directory {
        /// Whose. Default: --as
        #[arg(id = "whose", value_name = "USER", value_parser = super::session::identity)]
        user: Option<Aor>,
    },
}

/// A resource
#[derive(Debug, clap::Args)]
struct Place {
    #[arg(value_name = "PATH")]
    path: String,
    /// Bind a prefix that the node selector uses, as in pr=urn:ietf:params:xml:ns:pres-rules; may be repeated
    #[arg(long = "ns", value_name = "PREFIX=URI", value_parser = Binding::parse)]
    bindings: Vec<Binding>,
}

#[derive(Debug, clap::Args)]
struct Conditions {
    /// Only if the document still has this entity-tag
    #[arg(long, value_name = "ETAG")]
    if_match: Option<String>,
    /// Only if the document does not have this entity-tag; * only if there is none
    #[arg(long, value_name = "ETAG")]
    if_none_match: Option<String>,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    block_on(act(args))
}

async fn act(args: &Args) -> Result<(), Failure> {
    let one = |place, method, only| One {
        access: &args.access,
        place,
        method,
        only,
    };
    match &args.action {
        Action::Get { place, only } => one(place, Method::GET, only).go(None).await,
        Action::Head { place, only } => one(place, Method::HEAD, only).go(None).await,
        Action::Delete { place, only } => one(place, Method::DELETE, only).go(None).await,
        Action::Put {
            place,
            file,
            value,
            content_type,
            only,
        } => {
            let kind = typed(&place.path, content_type.as_deref())?;
            let content = match value {
                Some(value) if Kind::of(&place.path) == Kind::Attribute => att_value(value),
                Some(value) => Bytes::from(value.clone()),
                None => read(file)?,
            };
            one(place, Method::PUT, only)
                .go(Some((kind, content)))
                .await
        }
        Action::Edit(edit) => edit::run(&args.access, edit).await,
        Action::Watch(watch) => watch::run(&args.access, watch).await,
        Action::Caps => listing::caps(&args.access).await,
        Action::Directory { user } => listing::directory(&args.access, user.as_ref()).await,
    }
}

/// One request on its way.
struct One<'a> {
    access: &'a Access,
    place: &'a Place,
    method: Method,
    only: &'a Conditions,
}

impl One<'_> {
    async fn go(&self, content: Option<(String, Bytes)>) -> Result<(), Failure> {
        let path = &self.place.path;
        let xdms = self.access.open(owner(path).as_ref())?;
        let wish = Wish {
            method: self.method.clone(),
            path,
            bindings: &self.place.bindings,
            if_match: self.only.if_match.clone(),
            if_none_match: self.only.if_none_match.clone(),
            content,
        };
        let reply = xdms.ask(wish).await?;
        shown(self.access, path, &reply);
        reply.accepted(path).map(drop)
    }
}

/// What a script gets of an answer.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    path: &'a str,
    status: u16,
    etag: Option<&'a str>,
    content_type: Option<&'a str>,
    length: Option<u64>,
    /// Of an answer to GET.
    body: Option<String>,
    /// Of a 409.
    error: Option<Conflict>,
}

/// Prints an answer, whatever it is.
fn shown(access: &Access, path: &str, reply: &Reply) {
    let succeeded = (200..300).contains(&reply.status);
    if access.json {
        let has_body = succeeded && reply.method == Method::GET;
        let shown = Shown {
            path,
            status: reply.status,
            etag: reply.etag.as_deref(),
            content_type: reply.content_type.as_deref(),
            length: reply.length,
            body: has_body.then(|| String::from_utf8_lossy(&reply.body).into_owned()),
            error: reply.conflict(),
        };
        say(&json(&shown));
        return;
    }
    if let Some(tag) = &reply.etag {
        note(&super::terminal::line(&format!("entity-tag {tag}")));
    }
    match reply.method {
        _ if reply.status == 304 => note("not modified"),
        Method::GET if succeeded => drop(body(&reply.body)),
        Method::HEAD if succeeded => {
            let kind = reply.content_type.as_deref().unwrap_or("no type");
            let length = reply.length.map_or("unknown".into(), |l| l.to_string());
            say(&plain(&format!("{kind}, {length} bytes")));
        }
        _ => {}
    }
}

/// A struct of plain texts always becomes JSON.
fn json(shown: &impl Serialize) -> String {
    serde_json::to_string(shown).unwrap_or_default()
}

/// An attribute's value as it is put: in quotes, with what must not stand there escaped (RFC 4825 §15.2.2).
fn att_value(value: &str) -> Bytes {
    let is_quoted = |quote| value.len() > 1 && value.starts_with(quote) && value.ends_with(quote);
    match is_quoted('"') || is_quoted('\'') {
        true => Bytes::from(value.to_owned()),
        false => format!("\"{}\"", escaped(value)).into(),
    }
}

/// The type of what is put.
fn typed(path: &str, named: Option<&str>) -> Result<String, Failure> {
    if Kind::of(path) == Kind::Bindings {
        let message = format!("{path}: namespace bindings can be read, not written");
        return Err(Failure::new(Exit::Failed, message));
    }
    let kind = named.or_else(|| media_type(path)).map(str::to_owned);
    kind.ok_or_else(|| {
        let message = format!("{path}: the type of its document is not known; name it with --type");
        Failure::new(Exit::Failed, message)
    })
}

fn read(path: &Path) -> Result<Bytes, Failure> {
    let read = match path.as_os_str() == "-" {
        true => {
            let mut bytes = Vec::new();
            std::io::stdin()
                .lock()
                .read_to_end(&mut bytes)
                .map(|_| bytes)
        }
        false => std::fs::read(path),
    };
    let failed = |error| {
        Failure::new(
            Exit::Failed,
            format!("{}: cannot be read ({error})", path.display()),
        )
    };
    read.map(Bytes::from).map_err(failed)
}
