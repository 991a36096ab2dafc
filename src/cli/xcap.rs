//! `presentia xcap`: an XDMC.

use super::session::{block_on, identity};
use super::terminal::{body, line, note, say};
use super::{Exit, Failure};
use crate::ua::http::{self, Request, Response, exchange};
use bytes::Bytes;
use hyper::header::{self, HeaderName};
use hyper::{Method, Uri};
use ims::sip::Aor;
use ims::sip::text::hex;
use ims::xml::guard;
use ims::xml::text::escaped;
use std::io::Read;
use std::path::{Path, PathBuf};

const AFTER_HELP: &str = "\
Examples:
  presentia xcap allow sip:alice@ims.test --as sip:bob@ims.test
  presentia xcap get pres-rules/users/sip:bob@ims.test/index > rules.xml
  presentia xcap put pres-rules/users/sip:bob@ims.test/index rules.xml
  presentia xcap put pres-rules/users/sip:bob@ims.test/index rules.xml --if-match '\"4f2a\"'
  presentia xcap delete pres-rules/users/sip:bob@ims.test/index
  presentia xcap get pres-rules/users/sip:bob@ims.test/index --root http://xdms.example.net:8080/xcap-root

A PATH is application usage, users or global, user, document. The entity-tag of a document goes to standard error, the
document to standard output. Plain HTTP only: HTTPS is not offered yet.

Exit status: 0 done, 1 refused or not there, 2 wrong usage, 69 no server.";

/// Read and change documents of an XDMS over XCAP
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
    /// XCAP root
    #[arg(
        long,
        global = true,
        value_name = "URL",
        default_value = "http://127.0.0.1:8080/xcap-root"
    )]
    root: String,
    /// Act as this identity, asserted as a trusted proxy does. Default: the user in PATH
    #[arg(long = "as", global = true, value_name = "IDENTITY", value_parser = identity)]
    identity: Option<Aor>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Print a document, or the part that a node selector names
    Get {
        #[arg(value_name = "PATH")]
        path: String,
        #[command(flatten)]
        only: Conditions,
    },
    /// Put a document
    Put {
        #[arg(value_name = "PATH")]
        path: String,
        /// The document; - reads standard input
        #[arg(value_name = "FILE", default_value = "-")]
        file: PathBuf,
        /// Content-Type. Default: that of the application usage, or of the element or attribute selected
        #[arg(long, value_name = "TYPE")]
        content_type: Option<String>,
        #[command(flatten)]
        only: Conditions,
    },
    /// Remove a document
    Delete {
        #[arg(value_name = "PATH")]
        path: String,
        #[command(flatten)]
        only: Conditions,
    },
    /// Put a first policy that lets watchers see everything; refused where the owner has one already
    Allow {
        /// Who may watch
        #[arg(value_name = "WATCHER", required = true, value_parser = identity)]
        watchers: Vec<Aor>,
    },
}

#[derive(Debug, Default, clap::Args)]
struct Conditions {
    /// Only if the document still has this entity-tag
    #[arg(long, value_name = "ETAG")]
    if_match: Option<String>,
    /// Only if the document does not have this entity-tag; * only if there is none
    #[arg(long, value_name = "ETAG")]
    if_none_match: Option<String>,
}

/// The policy document of RFC 5025 that the server reads first.
const RULES: &str = "application/auth-policy+xml";

pub fn run(args: &Args) -> Result<(), Failure> {
    let none = Conditions::default();
    match &args.action {
        Action::Get { path, only } => args.act(Method::GET, path, only, None),
        Action::Delete { path, only } => args.act(Method::DELETE, path, only, None),
        Action::Put {
            path,
            file,
            content_type,
            only,
        } => {
            let kind = content_type.as_deref().or_else(|| media_type(path));
            let kind = kind.ok_or_else(|| {
                Failure::new(
                    Exit::Failed,
                    format!(
                        "{path}: the type of its document is not known; name it with --content-type"
                    ),
                )
            })?;
            args.act(Method::PUT, path, only, Some((kind, read(file)?)))
        }
        Action::Allow { watchers } => {
            let owner = args.identity.as_ref().ok_or_else(|| {
                Failure::new(
                    Exit::Failed,
                    "whose presence? Name the owner, as in --as sip:bob@ims.test",
                )
            })?;
            let first = Conditions {
                if_none_match: Some("*".into()),
                ..none
            };
            let path = format!("pres-rules/users/{}/index", owner.as_str());
            args.act(
                Method::PUT,
                &path,
                &first,
                Some((RULES, Bytes::from(allowing(watchers)))),
            )?;
            say(&format!(
                "{} now lets in: {}",
                owner.as_str(),
                names(watchers)
            ));
            Ok(())
        }
    }
}

impl Args {
    fn act(
        &self,
        method: Method,
        path: &str,
        only: &Conditions,
        document: Option<(&str, Bytes)>,
    ) -> Result<(), Failure> {
        let url = url(&self.root, path)?;
        let mut headers = Vec::new();
        if let Some(user) = self
            .identity
            .as_ref()
            .map(Aor::as_str)
            .map(str::to_owned)
            .or_else(|| owner(path))
        {
            // TS 24.109 §6: what a client intends, and what the proxy that authenticated it asserts
            headers.push((
                HeaderName::from_static("x-3gpp-intended-identity"),
                format!("\"{user}\""),
            ));
            headers.push((
                HeaderName::from_static("x-3gpp-asserted-identity"),
                format!("\"{user}\""),
            ));
        }
        let conditions = [
            (header::IF_MATCH, &only.if_match),
            (header::IF_NONE_MATCH, &only.if_none_match),
        ];
        headers.extend(
            conditions
                .into_iter()
                .filter_map(|(name, tag)| Some((name, quoted(tag.as_deref()?)))),
        );
        let mut content = Bytes::new();
        if let Some((kind, document)) = document {
            headers.push((header::CONTENT_TYPE, kind.to_owned()));
            content = document;
        }
        let request = Request {
            method: method.clone(),
            url,
            headers,
            body: content,
        };
        let response = block_on(async {
            exchange(request).await.map_err(|error| {
                let (exit, hint) = match &error {
                    http::Error::Unreachable { .. } => (Exit::Unavailable, "; is the XDMS there? Name another with --root, or start one: presentia serve"),
                    http::Error::NoAnswer { .. } => (Exit::Unavailable, ""),
                    http::Error::Url(_) | http::Error::Tls(_) | http::Error::Header(_) => (Exit::Failed, ""),
                };
                Failure::new(exit, line(&format!("{error}{hint}")))
            })
        })?;
        if let Some(tag) = response.header(header::ETAG) {
            note(&line(&format!("entity-tag {tag}")));
        }
        match response.status {
            200..300 if method == Method::GET => {
                body(&response.body);
                Ok(())
            }
            200..300 => Ok(()),
            304 => {
                note("not modified");
                Ok(())
            }
            _ => Err(self.refused(path, &response)),
        }
    }

    fn refused(&self, path: &str, response: &Response) -> Failure {
        let adding = matches!(self.action, Action::Allow { .. });
        let why = match response.status {
            400 => "the XDMS cannot read the request; is PATH as in pres-rules/users/sip:bob@ims.test/index?".into(),
            401 | 403 => "the XDMS does not let this identity do that: the document is another user's, or this address is not \
                          trusted to assert identities ([http] trusted_proxies)"
                .into(),
            404 => "there is no such document".into(),
            405 => format!("not possible here; possible: {}", response.header(header::ALLOW).unwrap_or("nothing")),
            409 => conflict(&response.body),
            412 if adding => format!(
                "a policy is there already. Add <one id=\"...\"/> to it:\n  presentia xcap get {path} > rules.xml\n  \
                 presentia xcap put {path} rules.xml"
            ),
            412 => "the document has changed, or is (not) there, other than the condition asks".into(),
            413 => "the document is larger than the XDMS takes".into(),
            415 => "the Content-Type is not that of this application usage; name it with --content-type".into(),
            501 => "the XDMS does not offer this yet".into(),
            503 => "the XDMS is busy; try again".into(),
            _ => "refused".to_owned(),
        };
        let message = format!("{path}: refused ({}): {why}", response.status);
        Failure::new(Exit::Failed, super::terminal::plain(&message))
    }
}

/// What a conflict report says (RFC 4825 §11): the element that names the conflict, and its phrase.
fn conflict(report: &[u8]) -> String {
    let said = guard::parse(report, &guard::Limits::default())
        .ok()
        .and_then(|document| {
            let elements = document.descendants().filter(|node| node.is_element());
            // below xcap-error, and below OMA's extension element
            let named = elements
                .into_iter()
                .find(|node| !matches!(node.tag_name().name(), "xcap-error" | "extension"))?;
            Some(match named.attribute("phrase") {
                Some(phrase) => format!("{}: {phrase}", named.tag_name().name()),
                None => named.tag_name().name().to_owned(),
            })
        });
    said.unwrap_or_else(|| "conflict, without a report".into())
}

/// The address of a document. What cannot stand in a path is escaped; what is escaped already stays.
fn url(root: &str, path: &str) -> Result<Uri, Failure> {
    let whole = match path.contains("://") {
        true => path.to_owned(),
        false => format!(
            "{}/{}",
            root.trim_end_matches('/'),
            path.trim_start_matches('/')
        ),
    };
    let mut out = String::with_capacity(whole.len());
    for byte in whole.bytes() {
        match byte {
            b'"' | b'<' | b'>' | b'[' | b']' | b'^' | b'`' | b'{' | b'|' | b'}' | b'\\' | b'#' => {
                out += &format!("%{byte:02X}")
            }
            b'!'..=b'~' => out.push(char::from(byte)),
            _ => out += &format!("%{byte:02X}"),
        }
    }
    out.parse().map_err(|error| {
        Failure::new(
            Exit::Failed,
            line(&format!("{whole}: no address ({error})")),
        )
    })
}

/// The user whose tree a path is in: the segment after `users`.
fn owner(path: &str) -> Option<String> {
    let mut segments = path.split('/').skip_while(|segment| *segment != "users");
    let user = segments.nth(1)?.as_bytes();
    let mut bytes = Vec::with_capacity(user.len());
    let mut at = 0;
    while let Some(&byte) = user.get(at) {
        let pair = (
            user.get(at + 1).copied().and_then(hex),
            user.get(at + 2).copied().and_then(hex),
        );
        match (byte, pair) {
            (b'%', (Some(high), Some(low))) => {
                bytes.push(high * 16 + low);
                at += 3;
            }
            _ => {
                bytes.push(byte);
                at += 1;
            }
        }
    }
    let user = String::from_utf8(bytes).ok()?;
    Aor::parse(&user).map(|_| user)
}

/// The type of what is put at a path: by node selector (RFC 4825 §8.2.2) or application usage.
fn media_type(path: &str) -> Option<&'static str> {
    if let Some((_, node)) = path.split_once("/~~/") {
        let last = node.rsplit('/').next().unwrap_or(node);
        return Some(match last.starts_with('@') {
            true => "application/xcap-att+xml",
            false => "application/xcap-el+xml",
        });
    }
    let usage = path
        .split('/')
        .rev()
        .skip_while(|s| !matches!(*s, "users" | "global"))
        .nth(1)?;
    Some(match usage {
        "pres-rules" | "org.openmobilealliance.pres-rules" | "org.openmobilealliance.policy" => {
            RULES
        }
        "resource-lists" => "application/resource-lists+xml",
        "rls-services" => "application/rls-services+xml",
        "pidf-manipulation" => "application/pidf+xml",
        _ => return None,
    })
}

/// An entity-tag as a header has it: quotes are easily lost to a shell.
fn quoted(tag: &str) -> String {
    match tag == "*" || tag.contains('"') {
        true => tag.to_owned(),
        false => format!("\"{tag}\""),
    }
}

fn names(watchers: &[Aor]) -> String {
    watchers
        .iter()
        .map(Aor::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

/// A rule set that shows everything to the watchers (RFC 5025).
fn allowing(watchers: &[Aor]) -> String {
    let ones: String = watchers
        .iter()
        .map(|w| format!("<one id=\"{}\"/>", escaped(w.as_str())))
        .collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <ruleset xmlns=\"urn:ietf:params:xml:ns:common-policy\" xmlns:pr=\"urn:ietf:params:xml:ns:pres-rules\">\n  \
         <rule id=\"allowed\">\n    <conditions><identity>{ones}</identity></conditions>\n    \
         <actions><pr:sub-handling>allow</pr:sub-handling></actions>\n    <transformations>\n      \
         <pr:provide-devices><pr:all-devices/></pr:provide-devices>\n      \
         <pr:provide-persons><pr:all-persons/></pr:provide-persons>\n      \
         <pr:provide-services><pr:all-services/></pr:provide-services>\n      \
         <pr:provide-all-attributes/>\n    </transformations>\n  </rule>\n</ruleset>\n"
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_an_address() {
        for (root, path, want) in [
            (
                "http://h/xcap-root",
                "pres-rules/users/sip:bob@ims.test/index",
                "http://h/xcap-root/pres-rules/users/sip:bob@ims.test/index",
            ),
            (
                "http://h:8080/xcap-root/",
                "/a/global/b",
                "http://h:8080/xcap-root/a/global/b",
            ),
            (
                "http://h",
                "a/b c/~~/ruleset/rule[@id=\"1\"]",
                "http://h/a/b%20c/~~/ruleset/rule%5B@id=%221%22%5D",
            ),
            (
                "http://h",
                "a/sip%3abob@x?xmlns(p=urn:x)",
                "http://h/a/sip%3abob@x?xmlns(p=urn:x)",
            ),
            ("http://h", "http://other/x", "http://other/x"),
        ] {
            assert_eq!(url(root, path).unwrap().to_string(), want, "{path}");
        }
    }

    #[test]
    fn a_path_says_whose_it_is_and_what_type_it_has() {
        for (path, user, kind) in [
            (
                "pres-rules/users/sip:bob@ims.test/index",
                Some("sip:bob@ims.test"),
                Some(RULES),
            ),
            (
                "http://h/xcap-root/resource-lists/users/sip%3Abob@ims.test/index",
                Some("sip:bob@ims.test"),
                Some("application/resource-lists+xml"),
            ),
            (
                "pres-rules/users/tel:+361/index/~~/ruleset/rule%5b1%5d",
                Some("tel:+361"),
                Some("application/xcap-el+xml"),
            ),
            (
                "pres-rules/users/sip:b@x/index/~~/ruleset/rule/@id",
                Some("sip:b@x"),
                Some("application/xcap-att+xml"),
            ),
            ("pres-rules/global/index", None, Some(RULES)),
            ("own-usage/users/bob/doc", None, None),
        ] {
            assert_eq!(
                (owner(path).as_deref(), media_type(path)),
                (user, kind),
                "{path}"
            );
        }
    }

    #[test]
    fn a_conflict_is_told_in_words() {
        let report = |inner: &str| {
            format!("<xcap-error xmlns=\"urn:ietf:params:xml:ns:xcap-error\">{inner}</xcap-error>")
        };
        for (body, said) in [
            (
                report("<schema-validation-error phrase=\"no rule\"/>"),
                "schema-validation-error: no rule",
            ),
            (report("<cannot-insert/>"), "cannot-insert"),
            (
                report(
                    "<extension><local-constraint-failure xmlns=\"urn:oma:xml:xdm:xcap-error\" phrase=\"why\"/></extension>",
                ),
                "local-constraint-failure: why",
            ),
            ("nothing".to_owned(), "conflict, without a report"),
        ] {
            assert_eq!(conflict(body.as_bytes()), said);
        }
    }

    #[test]
    fn entity_tags_get_their_quotes() {
        for (tag, want) in [
            ("*", "*"),
            ("4f2a", "\"4f2a\""),
            ("\"4f2a\"", "\"4f2a\""),
            ("W/\"a\"", "W/\"a\""),
        ] {
            assert_eq!(quoted(tag), want);
        }
    }
}
