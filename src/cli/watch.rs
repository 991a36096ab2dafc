//! `presentia watch`: a Watcher.

mod show;

use super::follow::{Audience, Follower};
use super::session::{Connection, block_on, failure, identity};
use super::terminal::{body, say};
use super::{Exit, Failure};
use crate::driver::Clock;
use crate::ua::subscription::{Notice, Topic};
use crate::ua::{self, Subscription};
use ims::sip::Aor;

const AFTER_HELP: &str = "\
Examples:
  presentia watch sip:bob@ims.test                          bob's own view: shown without any policy
  presentia watch sip:bob@ims.test --as sip:alice@ims.test  as alice, when bob's policy allows her
  presentia watch sip:bob@ims.test --once --json            the present state, for a script
  presentia watch sip:bob@ims.test --event presence.winfo   who watches bob, and who waits for his decision
  presentia watch sip:bob@ims.test --as sip:alice@ims.test --proxy 192.0.2.5:5060 --register --password-env ALICE_PASSWORD

Each NOTIFY is printed as it comes, until SIGINT or SIGTERM ends the subscription.

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
    /// Whose presence
    #[arg(value_name = "PRESENTITY", value_parser = identity)]
    presentity: Aor,
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
        args.presentity.clone(),
        Topic::plain(args.event.names()),
        args.session.expires(),
    )
    .await;
    let audience = Watcher {
        args,
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

impl Args {
    fn watcher(&self) -> &Aor {
        self.identity.as_ref().unwrap_or(&self.presentity)
    }
}

struct Watcher<'a> {
    args: &'a Args,
    clock: Clock,
}

impl Audience for Watcher<'_> {
    async fn take(&mut self, notice: &Notice) -> bool {
        self.print(notice)
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
    fn print(&self, notice: &Notice) -> bool {
        let presentity = self.args.presentity.as_str();
        let now = self.clock.now();
        match (self.args.raw, self.args.json) {
            (true, _) => notice.body.is_empty() || body(&notice.body),
            (_, true) => say(&show::json(presentity, now, notice)),
            _ => say(&show::text(presentity, now, notice, self.args.once)),
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
