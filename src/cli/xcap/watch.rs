//! `presentia xcap watch`: changes of documents as they happen, over SIP (RFC 5875).

use crate::cli::follow::{Audience, Follower};
use crate::cli::session::{Way, failure};
use crate::cli::terminal::{line, note, say};
use crate::cli::xdmc::access::{Access, Wish, Xdms};
use crate::cli::xdmc::address::{self, owner};
use crate::cli::{Exit, Failure};
use crate::driver::Clock;
use crate::ua::subscription::{Lists, Notice, Phase, Topic};
use crate::ua::xcap_diff::{self, Change, Copy, MEDIA_TYPE, Step, Told, What, bare};
use crate::ua::{self, Subscription};
use ims::sip::Aor;
use ims::time::datetime;
use ims::xml::text::escaped;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Documents of which copies are kept.
const COPIES: usize = 1_000;

/// Follow changes of documents: keep a copy of each, print what becomes of it
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A document, an element or attribute of one, or a collection, which ends with a slash
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<String>,
    /// How much the server may tell: no-patching, xcap-patching or aggregate
    #[arg(long, value_name = "MODE", default_value = "xcap-patching", value_parser = ["no-patching", "xcap-patching", "aggregate"])]
    mode: String,
    /// Get each document after a patch, and compare
    #[arg(long)]
    verify: bool,
    /// Keep the copies as files in this folder
    #[arg(long, value_name = "FOLDER")]
    save: Option<PathBuf>,
    /// SIP URI of the notifier. Default: the identity that watches
    #[arg(long, value_name = "URI", value_parser = notifier)]
    notifier: Option<Aor>,
    /// Print the present state and end
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    way: Way,
}

fn notifier(text: &str) -> Result<Aor, String> {
    Aor::parse(text).ok_or_else(|| "expected a SIP URI such as sip:xdms.ims.test".into())
}

pub async fn run(access: &Access, args: &Args) -> Result<(), Failure> {
    let first = args.paths.iter().find_map(|path| owner(path));
    let acting = access.identity.clone().or(first).ok_or_else(|| {
        let message = "as whom? Name an identity, as in --as sip:bob@ims.test";
        Failure::new(Exit::Failed, message)
    })?;
    let body = list(access, &args.paths)?;
    let xdms = access.open(Some(&acting))?;
    let credentials = access.credentials(Some(&acting))?;
    let mut session = args.way.open(&acting, credentials).await?;
    let topic = Topic {
        package: "xcap-diff",
        parameters: format!(";diff-processing={}", args.mode),
        accept: MEDIA_TYPE,
        body: Some(("application/resource-lists+xml".into(), body.into())),
        lists: Lists::Not,
    };
    let to = args.notifier.clone().unwrap_or(acting);
    let subscription =
        Subscription::new(session.line.clone(), to.as_str(), topic, args.way.expires()).await;
    let audience = Watcher {
        access,
        args,
        xdms,
        copies: BTreeMap::new(),
        clock: Clock::start(),
    };
    let mut follower = Follower {
        subscription,
        audience,
    };
    let done = match args.once {
        true => follower.fetch(&mut session).await,
        false => follower.follow(&mut session).await,
    };
    session.close().await;
    done
}

/// What is subscribed to, RFC 5875 §4.4: URIs relative to the XCAP root, which the notifier knows.
fn list(access: &Access, paths: &[String]) -> Result<String, Failure> {
    let mut out = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list>",
    );
    let root = address::url(&access.root, "", &[])?.to_string();
    for path in paths {
        let uri = address::url(&access.root, path, &[])?.to_string();
        let below = uri.strip_prefix(&root).unwrap_or(&uri);
        out += &format!("<entry uri=\"{}\"/>", escaped(below));
    }
    Ok(out + "</list></resource-lists>\n")
}

struct Watcher<'a> {
    access: &'a Access,
    args: &'a Args,
    xdms: Xdms<'a>,
    /// By the path below the XCAP root.
    copies: BTreeMap<String, Copy>,
    clock: Clock,
}

/// One line for a script.
#[derive(Debug, Default, Serialize)]
struct Event<'a> {
    time: String,
    /// `subscription`, `present`, `changed`, `removed`, `unreadable`, `part` or `part-removed`.
    event: &'a str,
    /// State of the subscription.
    state: Option<&'a str>,
    path: Option<&'a str>,
    previous_etag: Option<&'a str>,
    etag: Option<&'a str>,
    /// How the copy became what it is: `patch`, `get` or `nothing`.
    how: Option<&'a str>,
    /// With --verify, after a patch: `bytes` or `content` are those of the server, or they `differ`.
    verified: Option<&'a str>,
    /// The document, or the content of an element or attribute.
    content: Option<String>,
    /// Why nothing more can be said.
    error: Option<String>,
}

impl Audience for Watcher<'_> {
    async fn take(&mut self, notice: &Notice) -> bool {
        let state = match notice.state {
            Phase::Active => "active",
            Phase::Pending => "pending",
            Phase::Terminated => "terminated",
        };
        if notice.state != Phase::Active || notice.body.is_empty() {
            let event = Event {
                event: "subscription",
                state: Some(state),
                error: notice.reason.clone(),
                ..Event::default()
            };
            if !self.print(event) {
                return false;
            }
        }
        if notice.body.is_empty() {
            return true;
        }
        match xcap_diff::read(&notice.body) {
            Ok(all) => {
                for told in &all {
                    if !self.told(told).await {
                        return false;
                    }
                }
                true
            }
            Err(why) => self.print(Event {
                event: "unreadable",
                error: Some(why),
                ..Event::default()
            }),
        }
    }

    fn doing(&self) -> String {
        format!("cannot watch {}", line(&self.args.paths.join(", ")))
    }

    fn refused(&self, error: &ua::Error) -> Failure {
        let mut failure = failure(&self.doing(), error);
        if let ua::Error::Refused(answer) = error {
            failure.message += match answer.status {
                403 => {
                    ". The XDMS does not let this identity watch, or does not trust this address ([trust] peers)"
                }
                489 => ". The server does not serve the event package xcap-diff",
                _ => "",
            };
        }
        failure
    }

    fn ended(&self, notice: &Notice) -> Failure {
        let reason = notice.reason.as_deref().unwrap_or("no reason");
        let message = format!(
            "{}: the server has ended the subscription ({reason})",
            self.doing()
        );
        Failure::new(Exit::Failed, line(&message))
    }
}

impl Watcher<'_> {
    /// Takes one thing that was told; false when nobody reads any more.
    async fn told(&mut self, told: &Told) -> bool {
        let (previous, new, change) = match &told.what {
            What::Part(content) => {
                return self.print(Event {
                    event: content.as_ref().map_or("part-removed", |_| "part"),
                    path: Some(&told.path),
                    content: content.clone(),
                    ..Event::default()
                });
            }
            What::Document {
                previous,
                new,
                change,
            } => (previous.as_deref(), new.as_deref(), change),
        };
        let copy = self.copies.get(&told.path);
        match xcap_diff::step(copy, previous, new, change) {
            Step::Known => true,
            Step::Gone => {
                let known = self.copies.remove(&told.path);
                self.forget(&told.path);
                self.print(Event {
                    event: "removed",
                    path: Some(&told.path),
                    previous_etag: previous.or(known.as_ref().map(|copy| copy.etag.as_str())),
                    ..Event::default()
                })
            }
            Step::Fetch => self.fetch(&told.path, previous).await,
            Step::Now(copy) => {
                let how = match change {
                    Change::Nothing => "nothing",
                    Change::Patch(_) | Change::Unknown => "patch",
                };
                self.patched(&told.path, previous, copy, how).await
            }
        }
    }

    /// Gets a document that the copy cannot be brought up to.
    async fn fetch(&mut self, path: &str, previous: Option<&str>) -> bool {
        let before = self.copies.get(path).cloned();
        let fetched = match self.get(path).await {
            Ok(Some(fetched)) => fetched,
            Ok(None) => {
                // gone meanwhile: that will be told
                self.copies.remove(path);
                return true;
            }
            Err(failure) => {
                return self.print(Event {
                    event: "unreadable",
                    path: Some(path),
                    error: Some(failure.message),
                    ..Event::default()
                });
            }
        };
        if before.as_ref() == Some(&fetched) {
            return true;
        }
        let event = match (&before, previous) {
            (None, Some(_)) | (Some(_), _) => "changed",
            (None, None) => "present",
        };
        let printed = self.print(Event {
            event,
            path: Some(path),
            previous_etag: before.as_ref().map(|b| b.etag.as_str()).or(previous),
            etag: Some(&fetched.etag),
            how: Some("get"),
            content: Some(text(&fetched)),
            ..Event::default()
        });
        self.keep(path, fetched);
        printed
    }

    /// Takes a version that a patch has made, after a look at the server's where that was asked for.
    async fn patched(
        &mut self,
        path: &str,
        previous: Option<&str>,
        mut copy: Copy,
        how: &str,
    ) -> bool {
        let mut verified = None;
        if self.args.verify
            && let Ok(Some(theirs)) = self.get(path).await
            && theirs.etag == copy.etag
        {
            // a newer one will be told: then there is nothing to compare with
            verified = Some(if theirs.bytes == copy.bytes {
                "bytes"
            } else if xcap_diff::same_content(&theirs.bytes, &copy.bytes) {
                "content"
            } else {
                "differ"
            });
            copy = theirs;
        }
        let printed = self.print(Event {
            event: "changed",
            path: Some(path),
            previous_etag: previous,
            etag: Some(&copy.etag),
            how: Some(how),
            verified,
            content: Some(text(&copy)),
            ..Event::default()
        });
        self.keep(path, copy);
        printed
    }

    async fn get(&self, path: &str) -> Result<Option<Copy>, Failure> {
        let reply = self.xdms.ask(Wish::get(path)).await?;
        if reply.status == 404 {
            return Ok(None);
        }
        let reply = reply.accepted(path)?;
        Ok(Some(Copy {
            etag: reply.etag.as_deref().map(bare).unwrap_or_default(),
            bytes: reply.body,
        }))
    }

    fn keep(&mut self, path: &str, copy: Copy) {
        if let Some(file) = self.file(path)
            && let Err(error) = std::fs::write(&file, &copy.bytes)
        {
            note(&line(&format!(
                "{} cannot be written ({error})",
                file.display()
            )));
        }
        while self.copies.len() >= COPIES && !self.copies.contains_key(path) {
            self.copies.pop_first(); // it is fetched when it changes again
        }
        self.copies.insert(path.to_owned(), copy);
    }

    fn forget(&self, path: &str) {
        if let Some(file) = self.file(path) {
            let _ = std::fs::remove_file(file); // it may never have been written
        }
    }

    /// Where a copy is kept. The path comes from the network, so no part of it makes a folder of its own.
    fn file(&self, path: &str) -> Option<PathBuf> {
        let name = address::segment(path).replace("..", "%2E%2E");
        Some(self.args.save.as_ref()?.join(name))
    }

    /// False when nobody reads any more.
    fn print(&self, mut event: Event<'_>) -> bool {
        event.time = datetime::format(self.clock.now());
        if self.access.json {
            return say(&super::json(&event));
        }
        say(&line(&described(&event)))
    }
}

fn text(copy: &Copy) -> String {
    String::from_utf8_lossy(&copy.bytes).into_owned()
}

/// An event for people.
fn described(event: &Event<'_>) -> String {
    let clock = event.time.split_once('T').map_or("", |(_, clock)| clock);
    let mut out = clock.get(..8).unwrap_or(clock).to_owned();
    out += &match (event.path, event.event) {
        (None, "subscription") => format!(" subscription {}", event.state.unwrap_or("over")),
        (None, other) => format!(" {other}"),
        (Some(path), "part") => {
            format!(" {path}: {}", event.content.as_deref().unwrap_or(""))
        }
        (Some(path), "part-removed") => format!(" {path}: not there"),
        (Some(path), other) => format!(" {path}: {other}"),
    };
    if let Some(etag) = event.etag {
        out += &format!(", entity-tag {etag}");
    }
    out += match event.how {
        Some("patch") => ", by a patch",
        Some("get") => ", fetched",
        Some(_) => ", same content",
        None => "",
    };
    match event.verified {
        Some("bytes") => out += ", verified: the same bytes as the server's",
        Some("content") => out += ", verified: the same content as the server's",
        Some(_) => out += ", WRONG: the server's document is another; fetched",
        None => {}
    }
    if let Some(error) = &event.error {
        out += &format!(" ({error})");
    }
    out
}
