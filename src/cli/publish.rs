//! `presentia publish`: a Presence Source.

use super::session::{Connection, GRACE, Session, block_on, failure, identity};
use super::terminal::{line, note, say};
use super::{Exit, Failure};
use crate::ua::publication::Granted;
use crate::ua::{self, Publication, refresh_after};
use bytes::Bytes;
use ims::sip::Aor;
use ims::xml::guard::is_xml_char;
use ims::xml::text::escaped;
use std::io::Read;
use std::path::{Path, PathBuf};

const AFTER_HELP: &str = "\
Examples:
  presentia publish sip:bob@ims.test --basic open --note \"in the lab\"
  presentia publish sip:bob@ims.test --activity meeting --expires 600
  presentia publish sip:bob@ims.test --pidf state.xml --once
  presentia publish sip:bob@ims.test --basic open --proxy 192.0.2.5:5060 --register --password-env BOB_PASSWORD

The publication is refreshed until SIGINT or SIGTERM, then it is removed.

Exit status: 0 published (and removed), 1 refused, 2 wrong usage, 69 no server, 78 no password where one was named.";

/// Publish presence and keep it fresh
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Whose presence
    #[arg(value_name = "PRESENTITY", value_parser = identity)]
    presentity: Aor,
    /// Whether the presentity can be reached
    #[arg(long, value_name = "open|closed", default_value = "open", value_parser = ["open", "closed"])]
    basic: String,
    /// Free text
    #[arg(long, value_name = "TEXT", value_parser = text)]
    note: Option<String>,
    /// What the person does: a word of RFC 4480 such as meeting, away, busy or on-the-phone, or free text; may be repeated
    #[arg(long, value_name = "WORD", value_parser = text)]
    activity: Vec<String>,
    /// Contact address of the service
    #[arg(long, value_name = "URI", value_parser = text)]
    contact: Option<String>,
    /// Publish this PIDF document as it is (- reads standard input)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["basic", "note", "activity", "contact"])]
    pidf: Option<PathBuf>,
    /// Publish as this identity. Default: the presentity
    #[arg(long = "as", value_name = "IDENTITY", value_parser = identity)]
    identity: Option<Aor>,
    /// Publish once and leave the publication to run out
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    session: Connection,
}

/// Tries of a first publication that the server puts off.
const FIRST_TRIES: u32 = 4;

/// Text that XML can carry.
fn text(text: &str) -> Result<String, String> {
    match text.chars().all(is_xml_char) {
        true => Ok(text.to_owned()),
        false => Err("a character in it cannot stand in XML".into()),
    }
}

pub fn run(args: &Args) -> Result<(), Failure> {
    block_on(publish(args))
}

async fn publish(args: &Args) -> Result<(), Failure> {
    let given = match &args.pidf {
        Some(path) => Some(read(path)?),
        None => None,
    };
    let identity = args.identity.as_ref().unwrap_or(&args.presentity);
    let mut session = args.session.open(identity).await?;
    // two sources must not give their services the same name
    let document = given.unwrap_or_else(|| document(args, &session.line.agent().unique()).into());
    let expires = args.session.expires();
    let publication = Publication::new(
        session.line.clone(),
        args.presentity.clone(),
        document,
        expires,
    );
    let done = keep(args, &mut session, publication).await;
    session.close().await;
    done
}

/// Publishes, refreshes until the signal, removes.
async fn keep(
    args: &Args,
    session: &mut Session,
    mut publication: Publication,
) -> Result<(), Failure> {
    let presentity = args.presentity.as_str();
    let doing = format!("cannot publish {presentity}");
    let refused = |error: &ua::Error| explained(failure(&doing, error), error, args);
    let interrupted = || {
        let what = format!("{doing}: interrupted before the server granted it");
        Failure::new(Exit::Unavailable, what)
    };
    let mut granted: Option<Granted> = None;
    let mut failures = 0;
    loop {
        let Some(result) = session.stop.within(GRACE, publication.publish()).await else {
            return Err(interrupted());
        };
        let pause = match result {
            Ok(new) => {
                failures = 0;
                told(presentity, &new, granted.is_some());
                refresh_after(granted.insert(new).expires)
            }
            Err(error) => {
                failures += 1;
                // a server that was never there is more likely a wrong address than a passing trouble
                let silent = matches!(error, ua::Error::Lost(_));
                let hopeless = granted.is_none() && (silent || failures >= FIRST_TRIES);
                match error.pause(failures).filter(|_| !hopeless) {
                    None => return Err(refused(&error)),
                    Some(pause) => {
                        note(&format!("{doing}: {error}; again in {} s", pause.as_secs()));
                        pause
                    }
                }
            }
        };
        if args.once && granted.is_some() {
            return Ok(());
        }
        if tokio::time::timeout(pause, session.stop.asked())
            .await
            .is_ok()
        {
            if granted.is_none() {
                return Err(interrupted());
            }
            break;
        }
    }
    match tokio::time::timeout(GRACE, publication.remove()).await {
        Ok(Ok(())) => {
            say(&format!("removed {presentity}"));
            Ok(())
        }
        Ok(Err(error)) => Err(failure(
            &format!("cannot remove the publication of {presentity}"),
            &error,
        )),
        Err(_) => Err(Failure::new(
            Exit::Unavailable,
            format!(
                "the publication of {presentity} could not be removed within {} s; it runs out by itself",
                GRACE.as_secs()
            ),
        )),
    }
}

fn told(presentity: &str, granted: &Granted, again: bool) {
    let verb = match (again, granted.whole) {
        (false, _) => "published",
        (true, false) => "refreshed",
        (true, true) => "published anew", // the server had forgotten it
    };
    say(&line(&format!(
        "{verb} {presentity}: entity-tag {}, for {} s",
        granted.tag, granted.expires
    )));
}

fn explained(mut failure: Failure, error: &ua::Error, args: &Args) -> Failure {
    if let ua::Error::Refused(answer) = error {
        failure.message += match answer.status {
            403 if args.identity.is_some() => {
                ". Only the presentity itself may publish: leave out --as"
            }
            403 => {
                ". Either the server does not trust this address to assert identities ([trust] peers), or policy forbids it"
            }
            404 => {
                ". The server does not know this presentity: is its domain one of the server's home domains ([sip] home_domains)?"
            }
            400 | 415 => ". The document is not one that the server takes",
            413 => ". The document is larger than the server takes",
            _ => "",
        };
    }
    failure
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
    read.map(Bytes::from).map_err(|error| {
        Failure::new(
            Exit::Failed,
            format!("{}: cannot be read ({error})", path.display()),
        )
    })
}

/// Activities that RFC 4480 §3.2 names; any other is its `other`.
const ACTIVITIES: [&str; 27] = [
    "appointment",
    "away",
    "breakfast",
    "busy",
    "dinner",
    "holiday",
    "in-transit",
    "looking-for-work",
    "lunch",
    "meal",
    "meeting",
    "on-the-phone",
    "other",
    "performance",
    "permanent-absence",
    "playing",
    "presentation",
    "shopping",
    "sleeping",
    "spectator",
    "steering",
    "travel",
    "tv",
    "unknown",
    "vacation",
    "working",
    "worship",
];

/// The document that the options describe.
fn document(args: &Args, unique: &str) -> String {
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
         xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" \
         entity=\"{}\">\n  <tuple id=\"t{unique}\"><status><basic>{}</basic></status>",
        escaped(args.presentity.as_str()),
        escaped(&args.basic)
    );
    for (name, value) in [("contact", &args.contact), ("note", &args.note)] {
        if let Some(value) = value {
            xml += &format!("<{name}>{}</{name}>", escaped(value));
        }
    }
    xml += "</tuple>\n";
    if !args.activity.is_empty() {
        let activities =
            args.activity
                .iter()
                .map(|word| match ACTIVITIES.contains(&word.as_str()) {
                    true => format!("<rpid:{word}/>"),
                    false => format!("<rpid:other>{}</rpid:other>", escaped(word)),
                });
        let activities: String = activities.collect();
        xml += &format!(
            "  <dm:person id=\"p{unique}\"><rpid:activities>{activities}</rpid:activities></dm:person>\n"
        );
    }
    xml += "</presence>\n";
    xml
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ua::document;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn args(options: &[&str]) -> Args {
        let words = ["publish", "sip:bob@ims.test"].iter().chain(options);
        Line::try_parse_from(words).unwrap().args
    }

    #[test]
    fn the_document_says_what_the_options_say() {
        let made = super::document(
            &args(&[
                "--basic",
                "closed",
                "--note",
                "a < b & \"c\"",
                "--activity",
                "meeting",
                "--activity",
                "<asleep>",
                "--contact",
                "tel:+361",
            ]),
            "1",
        );
        let presence = document::read(made.as_bytes()).unwrap();
        let service = presence.services.first().unwrap();
        assert_eq!(presence.entity, "sip:bob@ims.test");
        assert_eq!(
            (service.basic.as_deref(), service.contact.as_deref()),
            (Some("closed"), Some("tel:+361"))
        );
        assert_eq!(service.notes, ["a < b & \"c\""]);
        assert_eq!(
            presence.persons.first().unwrap().activities,
            ["meeting", "<asleep>"]
        );
        let plain = super::document(&args(&[]), "1");
        let presence = document::read(plain.as_bytes()).unwrap();
        assert_eq!(
            presence.services.first().unwrap().basic.as_deref(),
            Some("open")
        );
        assert!(presence.persons.is_empty());
    }

    /// Our own server takes what we make.
    #[test]
    fn the_document_is_valid() {
        let made = super::document(
            &args(&[
                "--note",
                "x",
                "--activity",
                "tv",
                "--activity",
                "y",
                "--contact",
                "sip:b@192.0.2.1",
            ]),
            "1",
        );
        ims::presence::pidf::parse(made.as_bytes(), &ims::presence::pidf::Limits::default())
            .unwrap();
    }

    #[test]
    fn what_xml_cannot_carry_is_refused_at_once() {
        let words = ["publish", "sip:bob@ims.test", "--note", "a\u{1b}b"];
        assert!(Line::try_parse_from(words).is_err());
    }
}
