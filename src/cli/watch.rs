//! `presentia watch`: a Watcher.

mod list;
mod show;

use super::follow::{Audience, Follower};
use super::session::{Connection, block_on, failure, identity};
use super::terminal::{body, note, say};
use super::{Exit, Failure};
use crate::driver::Clock;
use crate::ua::subscription::{Lists, Notice, Topic};
use crate::ua::{self, Subscription};
use ims::sip::{Aor, Uri};
use list::{News, Watched};

const AFTER_HELP: &str = "\
Examples:
  presentia watch sip:bob@ims.test                          bob's own view: shown without any policy
  presentia watch sip:bob@ims.test --as sip:alice@ims.test  as alice, when bob's policy allows her
  presentia watch sip:bob@ims.test --once --json            the present state, for a script
  presentia watch sip:bob@ims.test --event presence.winfo   who watches bob, and who waits for his decision
  presentia watch 'sip:alice@ims.test;pres-list=rcs' --as sip:alice@ims.test  everybody on that list, by one subscription
  presentia watch sip:rls@ims.test --as sip:alice@ims.test --members sip:bob@ims.test,tel:+12015550001
  presentia watch sip:bob@ims.test --as sip:alice@ims.test --proxy 192.0.2.5:5060 --register --password-env ALICE_PASSWORD

Each NOTIFY is printed as it comes, until SIGINT or SIGTERM ends the subscription. Of a list, those members are printed of
which a NOTIFY speaks, and with --json all that is known of all; where a NOTIFY was lost, the whole is asked for again.

Exit status: 0 shown to the end, 1 refused or ended for good by the server, 2 wrong usage, 69 no server,
78 no password where one was named.";

/// What is watched: an event package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Package {
    #[value(name = "presence")]
    Presence,
    /// Who watches the presentity
    #[value(name = "presence.winfo")]
    Watchers,
    /// Who is told of that
    #[value(name = "presence.winfo.winfo")]
    WatchersOfWatchers,
}

impl Package {
    /// Its name, and what we can read of it.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Package::Presence => ("presence", "application/pidf+xml"),
            Package::Watchers => ("presence.winfo", "application/watcherinfo+xml"),
            Package::WatchersOfWatchers => ("presence.winfo.winfo", "application/watcherinfo+xml"),
        }
    }
}

/// Watch presence, or who watches: print each state as it arrives
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Whose presence, or a list: which it is, the server says
    #[arg(value_name = "PRESENTITY", value_parser = resource)]
    presentity: Resource,
    /// Watch as this identity. Default: the presentity itself, which needs no policy
    #[arg(long = "as", value_name = "IDENTITY", value_parser = identity)]
    identity: Option<Aor>,
    /// Event package: the presence, or who watches it
    #[arg(long, value_enum, default_value = "presence", value_name = "PACKAGE")]
    event: Package,
    /// Print each NOTIFY as one JSON object on a line
    #[arg(long, conflicts_with = "raw")]
    json: bool,
    /// Print the body of each NOTIFY as it came
    #[arg(long)]
    raw: bool,
    /// Fetch the present state and end
    #[arg(long)]
    once: bool,
    /// Say at once that lists are understood, rather than when the server demands it (RFC 4662)
    #[arg(long)]
    list: bool,
    /// Watch these, with PRESENTITY as the list server that is given the list of them (RFC 5367)
    #[arg(long, value_name = "IDENTITY,...", value_delimiter = ',', value_parser = identity)]
    members: Vec<Aor>,
    #[command(flatten)]
    session: Connection,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    block_on(watch(args))
}

async fn watch(args: &Args) -> Result<(), Failure> {
    let mut session = args.session.open(args.watcher()).await?;
    let line = session.line.clone();
    let subscription = Subscription::new(
        line,
        args.presentity.as_str(),
        args.topic(),
        args.session.expires(),
    )
    .await;
    let audience = Watcher {
        args,
        clock: Clock::start(),
        list: Watched::default(),
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

impl Args {
    fn watcher(&self) -> &Aor {
        self.identity.as_ref().unwrap_or(&self.presentity.aor)
    }

    fn topic(&self) -> Topic {
        let lists = if !self.members.is_empty() {
            Lists::Contained(list::contained(&self.members).into())
        } else if self.list {
            Lists::Understood
        } else {
            Lists::WhereAsked
        };
        Topic {
            lists,
            ..Topic::plain(self.event.names())
        }
    }
}

/// What is subscribed to: a presentity, or a list, which a parameter may tell from others of its owner.
#[derive(Clone, Debug)]
struct Resource {
    aor: Aor,
    /// As it was written, where that has parameters.
    written: Option<String>,
}

impl Resource {
    fn as_str(&self) -> &str {
        self.written.as_deref().unwrap_or(self.aor.as_str())
    }
}

fn resource(text: &str) -> Result<Resource, String> {
    let aor = identity(text)?;
    let uri = Uri::parse(text).filter(|uri| !aor.is_tel() && uri.headers.is_none());
    let named = uri.is_some_and(|uri| uri.params.iter().next().is_some());
    Ok(Resource {
        aor,
        written: named.then(|| text.to_owned()),
    })
}

struct Watcher<'a> {
    args: &'a Args,
    clock: Clock,
    list: Watched,
}

impl Audience for Watcher<'_> {
    fn begin(&mut self) {
        self.list = Watched::default(); // versions begin at 0 again (RFC 4662 §5.2)
    }

    async fn take(&mut self, notice: &Notice) -> bool {
        self.print(notice)
    }

    fn misses_something(&mut self) -> bool {
        std::mem::take(&mut self.list.misses)
    }

    fn doing(&self) -> String {
        format!("cannot watch {}", self.args.presentity.as_str())
    }

    /// What stands between the watcher and the state, and what to do about it.
    fn refused(&self, error: &ua::Error) -> Failure {
        let mut failure = failure(&self.doing(), error);
        if let ua::Error::Refused(answer) = error {
            failure.message += &match answer.status {
                403 => self.not_allowed(),
                404 => ". The server does not know this presentity: is its domain one of the server's home domains ([sip] home_domains)?".into(),
                421 => ". It demands an extension that is not known here".into(),
                489 => format!(". The server does not serve the event package {}", self.args.event.names().0),
                _ => String::new(),
            };
        }
        failure
    }

    fn ended(&self, notice: &Notice) -> Failure {
        let reason = notice.reason.as_deref().unwrap_or("no reason");
        let mut message = super::terminal::line(&format!(
            "{}: the server has ended the subscription ({reason})",
            self.doing()
        ));
        if reason == "rejected" {
            message += &self.not_allowed();
        }
        Failure::new(Exit::Failed, message)
    }
}

impl Watcher<'_> {
    /// False when nobody reads any more.
    fn print(&mut self, notice: &Notice) -> bool {
        let presentity = self.args.presentity.as_str();
        let now = self.clock.now();
        let news = self.list.take(notice);
        if self.list.misses {
            note("a NOTIFY was lost: the whole list is asked for again");
        }
        match (self.args.raw, self.args.json, &news) {
            (true, _, _) => notice.body.is_empty() || body(&notice.body),
            (_, _, News::Stale) => true,
            (_, _, News::Unreadable(why)) => {
                note(&format!("{presentity}: a NOTIFY cannot be read: {why}"));
                true
            }
            (_, true, News::Of(news)) => say(&self.list.json(now, notice, news)),
            (_, false, News::Of(news)) => say(&self.list.text(now, notice, self.args.once, news)),
            (_, true, News::None) => say(&show::json(presentity, now, notice)),
            (_, false, News::None) => say(&show::text(presentity, now, notice, self.args.once)),
        }
    }

    fn not_allowed(&self) -> String {
        let (watcher, presentity) = (self.args.watcher().as_str(), self.args.presentity.as_str());
        if self.args.event != Package::Presence && watcher != presentity {
            return format!(
                ".\nWho watches {presentity} is for {presentity} to know; {watcher} sees itself at most"
            );
        }
        if watcher == presentity {
            return ". The server does not trust this address to assert identities ([trust] peers), or policy forbids it".into();
        }
        format!(
            ".\n{presentity} has no policy that lets {watcher} in. This would:\n  \
             presentia policy accept {watcher} --as {presentity}"
        )
    }
}
