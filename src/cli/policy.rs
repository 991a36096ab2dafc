//! `presentia policy`: who may watch, in plain words.

mod check;
mod oma;
mod order;
mod splice;
mod view;
mod xml;

use super::session::{block_on, identity};
use super::terminal::{body, line, note, say};
use super::xdmc::access::{Access, Reply, Wish, Xdms};
use super::xdmc::address::segment;
use super::{Exit, Failure};
use bytes::Bytes;
use check::{Checker, Finding};
use hyper::Method;
use ims::presence::rules::Handling;
use ims::sip::Aor;
use serde_json::{Value, json};
use view::{Change, NotUnderstood, View, handling, told};

const AFTER_HELP: &str = "\
Examples:
  presentia policy accept sip:alice@ims.test --as sip:bob@ims.test
  presentia policy reject sip:eve@ims.test tel:+36105550009 --as sip:bob@ims.test
  presentia policy polite-block sip:carol@ims.test --as sip:bob@ims.test
  presentia policy default defer --as sip:bob@ims.test
  presentia policy anonymous reject --as sip:bob@ims.test
  presentia policy show --as sip:bob@ims.test
  presentia policy check sip:alice@ims.test --as sip:bob@ims.test
  presentia policy remove sip:alice@ims.test --as sip:bob@ims.test --dry-run
  presentia policy accept sip:alice@ims.test --as sip:bob@ims.test --oma --root http://xcap.example.net/xcap-root

The lists stand in the owner's presence rules, as an order of this server (docs/xcap.md), or with --oma in the rules and
lists of OMA, which other servers know. An edit changes what it says and leaves every other byte as it is; a document that
it could spoil is left alone. After an edit you are told what the server will decide, by the server's own code.
With --json, standard output has one object: owner, changed, documents, policy and decisions.

Exit status: 0 done, 1 refused, 2 wrong usage, 3 others kept changing the document, 69 no server,
78 no password where one was named.";

/// Say who may watch you, and see what that means
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    access: Access,
    /// Use the rules and lists of OMA, for servers that do not know an order
    #[arg(long, global = true)]
    oma: bool,
    /// Name of the document of rules
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        default_value = "index",
        conflicts_with = "oma"
    )]
    document: String,
    /// XCAP root as it is written into rules that name lists. Default: --root
    #[arg(long, global = true, value_name = "URL")]
    anchor_root: Option<String>,
    /// Print the document as it would be, and put nothing
    #[arg(long, global = true)]
    dry_run: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Print the lists
    Show,
    /// Let these watchers see everything
    Accept(People),
    /// Refuse these watchers
    Reject(People),
    /// Show these watchers somebody who is never there
    PoliteBlock(People),
    /// Let these watchers wait for a decision
    Defer(People),
    /// Take these watchers off every list
    Remove(People),
    /// Say what becomes of watchers on no list: accept, polite-block, defer or reject
    Default {
        #[arg(value_name = "HANDLING", value_parser = handling)]
        handling: Handling,
    },
    /// Say what becomes of watchers who do not say who they are: accept, polite-block, defer or reject
    Anonymous {
        #[arg(value_name = "HANDLING", value_parser = handling)]
        handling: Handling,
    },
    /// Remove the policy: the operator's default holds again
    Reset,
    /// Say what the server will decide about a watcher, and why
    Check {
        /// Without one: whoever does not say who it is
        #[arg(value_name = "WATCHER", value_parser = identity)]
        watcher: Option<Aor>,
    },
}

#[derive(Debug, clap::Args)]
struct People {
    #[arg(value_name = "WATCHER", required = true, value_parser = identity)]
    people: Vec<Aor>,
}

/// Times that an edit is made on a document that others change as well.
const TRIES: usize = 5;

pub fn run(args: &Args) -> Result<(), Failure> {
    let owner = args.access.identity.as_ref().ok_or_else(|| {
        let message = "whose policy? Name the owner, as in --as sip:bob@ims.test";
        Failure::new(Exit::Failed, message)
    })?;
    block_on(async {
        let xdms = args.access.open(Some(owner))?;
        let session = Session { args, owner, xdms };
        let list = |handling, people: &People| Change::List(handling, people.people.clone());
        let change = match &args.action {
            Action::Show => return session.show().await,
            Action::Check { watcher } => return session.check(watcher.as_ref()).await,
            Action::Reset => return session.reset().await,
            Action::Accept(people) => list(Handling::Allow, people),
            Action::Reject(people) => list(Handling::Block, people),
            Action::PoliteBlock(people) => list(Handling::PoliteBlock, people),
            Action::Defer(people) => list(Handling::Confirm, people),
            Action::Remove(people) => Change::Remove(people.people.clone()),
            Action::Default { handling } => Change::Default(*handling),
            Action::Anonymous { handling } => Change::Anonymous(*handling),
        };
        session.edit(&change).await
    })
}

/// One command about one owner's policy.
struct Session<'a> {
    args: &'a Args,
    owner: &'a Aor,
    xdms: Xdms<'a>,
}

/// A document as it was read, and as it is to be.
#[derive(Clone, Debug)]
struct Draft {
    path: String,
    kind: &'static str,
    etag: Option<String>,
    before: Option<String>,
    after: Option<String>,
}

impl Draft {
    fn is_changed(&self) -> bool {
        self.after.is_some() && self.after != self.before
    }

    fn text(&self) -> Option<&str> {
        self.after.as_deref().or(self.before.as_deref())
    }
}

impl Session<'_> {
    /// The documents that hold the policy: the rules, and with OMA's rules the lists.
    fn documents(&self) -> Vec<(String, &'static str)> {
        let user = segment(self.owner.as_str());
        const RULES: &str = "application/auth-policy+xml";
        match self.args.oma {
            false => {
                let name = segment(&self.args.document);
                vec![(format!("pres-rules/users/{user}/{name}"), RULES)]
            }
            // lists first: rules about lists that are not there yet decide in another way
            true => vec![
                (
                    format!("resource-lists/users/{user}/index"),
                    "application/resource-lists+xml",
                ),
                (
                    format!("org.openmobilealliance.pres-rules/users/{user}/pres-rules"),
                    RULES,
                ),
            ],
        }
    }

    async fn load(&self) -> Result<Vec<Draft>, Failure> {
        let mut drafts = Vec::new();
        for (path, kind) in self.documents() {
            let found = self.xdms.read(&path).await?;
            let etag = found.as_ref().and_then(|reply| reply.etag.clone());
            let text = |reply: Reply| {
                String::from_utf8(reply.body.to_vec())
                    .map_err(|_| self.refused(&path, &NotUnderstood::new("it is not in UTF-8")))
            };
            let before = found.map(text).transpose()?;
            drafts.push(Draft {
                path,
                kind,
                etag,
                before,
                after: None,
            });
        }
        Ok(drafts)
    }

    fn oma(&self) -> oma::Frame<'_> {
        oma::Frame {
            owner: self.owner,
            root: self
                .args
                .anchor_root
                .as_deref()
                .unwrap_or(&self.args.access.root),
        }
    }

    fn view(&self, drafts: &[Draft]) -> Result<View, Failure> {
        let refused = |draft: &Draft, why: NotUnderstood| self.refused(&draft.path, &why);
        match drafts {
            [rules] => {
                let view = rules.text().map(order::view).transpose();
                Ok(view.map_err(|why| refused(rules, why))?.unwrap_or_default())
            }
            [lists, rules] => self
                .oma()
                .view(rules.text(), lists.text())
                .map_err(|why| refused(rules, why)),
            _ => Ok(View::default()),
        }
    }

    async fn show(&self) -> Result<(), Failure> {
        let drafts = self.load().await?;
        let view = self.view(&drafts)?;
        self.tell(&drafts, &view, false, &[]);
        Ok(())
    }

    async fn check(&self, watcher: Option<&Aor>) -> Result<(), Failure> {
        let drafts = self.load().await?;
        let finding = self.checker(&drafts).await?.decide(watcher).await?;
        match self.args.access.json {
            true => {
                say(&json!({ "owner": self.owner.as_str(), "decisions": [finding] }).to_string())
            }
            false => say(&line(&finding.told)),
        };
        Ok(())
    }

    async fn checker<'s>(&'s self, drafts: &[Draft]) -> Result<Checker<'s>, Failure> {
        let known: Vec<&str> = drafts.iter().map(|draft| draft.path.as_str()).collect();
        let changed = drafts.iter().filter(|draft| draft.is_changed());
        let instead: Vec<(String, String)> = changed
            .filter_map(|draft| Some((draft.path.clone(), draft.after.clone()?)))
            .collect();
        Checker::new(&self.xdms, self.owner, &known, &instead).await
    }

    async fn reset(&self) -> Result<(), Failure> {
        let mut drafts = self.load().await?;
        // OMA's lists serve other rules as well, so they stay
        drafts.retain(|draft| draft.kind == "application/auth-policy+xml");
        let mut removed = false;
        for draft in &drafts {
            if draft.before.is_none() || self.args.dry_run {
                continue;
            }
            let wish = Wish {
                method: Method::DELETE,
                if_match: draft.etag.clone(),
                ..Wish::get(&draft.path)
            };
            self.xdms.ask(wish).await?.accepted(&draft.path)?;
            removed = true;
        }
        match self.args.access.json {
            true => say(&json!({ "owner": self.owner.as_str(), "changed": removed }).to_string()),
            false if self.args.dry_run => say("nothing removed"),
            false if removed => say("removed: the operator's default decides now"),
            false => say("there was no policy"),
        };
        Ok(())
    }

    async fn edit(&self, change: &Change) -> Result<(), Failure> {
        for left in (0..TRIES).rev() {
            let mut drafts = self.load().await?;
            self.change(&mut drafts, change)?;
            let changed = drafts.iter().any(Draft::is_changed);
            if !self.args.dry_run {
                match self.put(&drafts).await {
                    Err(failure) if failure.exit == Exit::Condition && left > 0 => {
                        note("somebody else has changed the document meanwhile; once more");
                        continue;
                    }
                    put => put?,
                }
            }
            let view = self.view(&drafts)?;
            let findings = self.findings(&drafts, change).await?;
            self.tell(&drafts, &view, changed, &findings);
            if let Change::List(wanted, _) = change
                && findings.iter().any(|f| f.handling != wanted.word())
            {
                note("that is not what you asked for: other documents or lists of yours decide");
            }
            return Ok(());
        }
        Ok(()) // not reached: the last try returns
    }

    fn change(&self, drafts: &mut [Draft], change: &Change) -> Result<(), Failure> {
        match drafts {
            [rules] => {
                let edited = order::edit(rules.before.as_deref(), change);
                let edited = edited.map_err(|why| self.refused(&rules.path, &why))?;
                rules.after = Some(edited);
            }
            [lists, rules] => {
                let frame = self.oma();
                let (before, known) = (rules.before.as_deref(), lists.before.as_deref());
                let edited = frame.edit(before, known, change);
                let (new_rules, new_lists) =
                    edited.map_err(|why| self.refused(&rules.path, &why))?;
                (rules.after, lists.after) = (Some(new_rules), new_lists);
            }
            _ => {}
        }
        Ok(())
    }

    async fn put(&self, drafts: &[Draft]) -> Result<(), Failure> {
        for draft in drafts.iter().filter(|draft| draft.is_changed()) {
            let text = Bytes::from(draft.after.clone().unwrap_or_default());
            let wish = Wish::put(&draft.path, draft.kind, text, draft.etag.as_deref());
            self.xdms.ask(wish).await?.accepted(&draft.path)?;
        }
        Ok(())
    }

    /// What the change means for those whom it is about.
    async fn findings(&self, drafts: &[Draft], change: &Change) -> Result<Vec<Finding>, Failure> {
        let about: Vec<Option<&Aor>> = match change {
            Change::List(_, people) | Change::Remove(people) => people.iter().map(Some).collect(),
            Change::Anonymous(_) => vec![None],
            Change::Default(_) => Vec::new(),
        };
        let mut findings = Vec::new();
        if !about.is_empty() {
            let mut checker = self.checker(drafts).await?;
            for watcher in about {
                findings.push(checker.decide(watcher).await?);
            }
        }
        Ok(findings)
    }

    /// Prints what stands, and what was found.
    fn tell(&self, drafts: &[Draft], view: &View, changed: bool, findings: &[Finding]) {
        if self.args.access.json {
            let object = json!({
                "owner": self.owner.as_str(),
                "changed": changed && !self.args.dry_run,
                "documents": drafts.iter().map(|draft| json!({
                    "path": draft.path,
                    "exists": draft.before.is_some(),
                    "document": if self.args.dry_run { draft.text() } else { None },
                })).collect::<Vec<Value>>(),
                "policy": shown(view),
                "decisions": findings,
            });
            say(&object.to_string());
            return;
        }
        if self.args.dry_run && changed {
            for draft in drafts.iter().filter(|draft| draft.is_changed()) {
                note(&line(&format!("not put, {} would be:", draft.path)));
                body(draft.text().unwrap_or("").as_bytes());
            }
        } else if findings.is_empty() {
            let nobody = drafts.iter().all(|draft| draft.text().is_none());
            for text in described(view, nobody) {
                say(&line(&text));
            }
        }
        for finding in findings {
            say(&line(&finding.told));
        }
    }

    fn refused(&self, path: &str, why: &NotUnderstood) -> Failure {
        let message = format!(
            "{path} is left alone: {why}. Edit it yourself with presentia xcap edit, or remove it with presentia policy reset"
        );
        Failure::new(Exit::Failed, line(&message))
    }
}

/// The policy for scripts.
fn shown(view: &View) -> Value {
    let lists: Vec<Value> = view
        .lists
        .iter()
        .map(|list| {
            json!({
                "handling": list.handling.word(),
                "people": list.people,
                "lists": list.lists,
            })
        })
        .collect();
    json!({
        "default": view.default.map(Handling::word),
        "anonymous": view.anonymous.map(Handling::word),
        "lists": lists,
    })
}

/// The policy for people, line by line.
fn described(view: &View, nobody: bool) -> Vec<String> {
    if nobody {
        return vec!["there is no policy: the operator's default decides, and without one every watcher is rejected".into()];
    }
    let mut out = Vec::new();
    for list in &view.lists {
        let people = list.people.iter().cloned();
        let lists = list.lists.iter().map(|uri| format!("everybody on {uri}"));
        let members: Vec<String> = people.chain(lists).collect();
        if !members.is_empty() {
            out.push(format!("{}: {}", told(list.handling), members.join(", ")));
        }
    }
    let default = view.default.unwrap_or(Handling::Block);
    out.push(format!("everybody else: {}", told(default)));
    out.push(match view.anonymous {
        Some(handling) => format!("whoever does not say who it is: {}", told(handling)),
        None => "whoever does not say who it is: as the operator has set, and else rejected".into(),
    });
    out
}
