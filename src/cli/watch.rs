//! `presentia watch`: a Watcher.

mod show;

use super::session::{Connection, GRACE, Session, block_on, failure, identity};
use super::terminal::{body, note, say};
use super::{Exit, Failure};
use crate::driver::Clock;
use crate::ua::subscription::{Next, Notice, Phase, TIMER_N, after_end};
use crate::ua::{self, Subscription, refresh_after};
use ims::sip::Aor;
use ims::time::Seconds;
use std::time::Duration;
use tokio::time::Instant;

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

/// Tries of a first subscription that the server puts off.
const FIRST_TRIES: u32 = 4;
/// An end that comes sooner than this after the beginning is a trouble, and not tried again at once.
const SOON: Duration = Duration::from_secs(5);

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
        args.event.names(),
        args.session.expires(),
    )
    .await;
    let mut watcher = Watcher {
        args,
        subscription,
        clock: Clock::start(),
    };
    let done = match args.once {
        true => watcher.fetch(&mut session).await,
        false => watcher.follow(&mut session).await,
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
    subscription: Subscription,
    clock: Clock,
}

/// How one subscription ended.
enum End {
    /// Somebody asked for it, or nobody reads any more.
    Asked,
    /// By the notifier.
    Terminated(Notice),
    /// By trouble on the way.
    Failed(ua::Error),
}

impl Watcher<'_> {
    async fn fetch(&mut self, session: &mut Session) -> Result<(), Failure> {
        let fetched = session.stop.within(GRACE, self.subscription.fetch()).await;
        let notice = fetched
            .ok_or_else(|| self.interrupted())?
            .map_err(|error| self.refused(&error))?;
        self.print(&notice);
        match over(&notice) {
            true => Err(self.ended(&notice)),
            false => Ok(()),
        }
    }

    /// Subscribes, and subscribes again as long as that has a point (RFC 6665 §4.1.3).
    async fn follow(&mut self, session: &mut Session) -> Result<(), Failure> {
        let mut failures = 0;
        let mut was_open = false;
        loop {
            let begun = Instant::now();
            let end = self.one(session, &mut was_open).await;
            failures = if begun.elapsed() > SOON {
                1
            } else {
                failures + 1
            };
            let pause = match end {
                End::Asked => return Ok(()),
                End::Terminated(notice) => {
                    match after_end(notice.reason.as_deref(), notice.retry_after) {
                        Next::Over => return Err(self.ended(&notice)),
                        Next::Again(pause) if failures == 1 => pause,
                        Next::Again(pause) => pause.max(Duration::from_secs(1 << failures.min(5))),
                    }
                }
                End::Failed(error) => {
                    // a server that was never there is more likely a wrong address than a passing trouble
                    let silent = matches!(error, ua::Error::Lost(_));
                    let hopeless = !was_open && (silent || failures >= FIRST_TRIES);
                    let pause = error.pause(failures).filter(|_| !hopeless);
                    let pause = pause.ok_or_else(|| self.refused(&error))?;
                    note(&format!(
                        "{}: {error}; again in {} s",
                        self.doing(),
                        pause.as_secs()
                    ));
                    pause
                }
            };
            if tokio::time::timeout(pause, session.stop.asked())
                .await
                .is_ok()
            {
                return Ok(());
            }
        }
    }

    /// One subscription from its SUBSCRIBE to its end.
    async fn one(&mut self, session: &mut Session, was_open: &mut bool) -> End {
        let granted = match session.stop.within(GRACE, self.subscription.open()).await {
            None => return End::Asked,
            Some(Err(error)) => return End::Failed(error),
            Some(Ok(granted)) => granted,
        };
        *was_open = true;
        let mut refresh_at = Instant::now() + refresh_after(granted);
        let mut dies_at = lives(granted);
        let mut first = Some(Instant::now() + TIMER_N);
        let mut failures = 0;
        loop {
            let wake = first.map_or(refresh_at, |first| first.min(refresh_at));
            let notice = tokio::select! {
                () = session.stop.asked() => return self.leave().await,
                notice = self.subscription.notice() => Some(notice),
                () = tokio::time::sleep_until(wake) => None,
            };
            match notice {
                Some(Err(error)) => return End::Failed(error),
                Some(Ok(notice)) => {
                    first = None;
                    if !self.print(&notice) {
                        return self.leave().await;
                    }
                    if notice.state == Phase::Terminated {
                        return End::Terminated(notice);
                    }
                    if let Some(left) = notice.expires {
                        // the notifier may shorten it (RFC 6665 §4.1.2.1)
                        dies_at = lives(left);
                        refresh_at = refresh_at.min(Instant::now() + refresh_after(left));
                    }
                }
                None if first.is_some_and(|at| at <= Instant::now()) => {
                    return End::Failed(ua::Error::NoNotify(TIMER_N));
                }
                None => match session
                    .stop
                    .within(GRACE, self.subscription.refresh())
                    .await
                {
                    None => return self.leave().await,
                    Some(Ok(granted)) => {
                        failures = 0;
                        (refresh_at, dies_at) =
                            (Instant::now() + refresh_after(granted), lives(granted));
                        first = Some(Instant::now() + TIMER_N); // a refresh brings a NOTIFY too
                    }
                    Some(Err(error)) => match error.pause(failures + 1) {
                        Some(pause) if Instant::now() + pause < dies_at => {
                            failures += 1;
                            note(&format!(
                                "{}: {error}; again in {} s",
                                self.doing(),
                                pause.as_secs()
                            ));
                            refresh_at = Instant::now() + pause;
                        }
                        _ if gone(&error) => return End::Terminated(lost()),
                        _ => return End::Failed(error),
                    },
                },
            }
        }
    }

    /// Unsubscribes and prints what the notifier still has to tell.
    async fn leave(&mut self) -> End {
        match tokio::time::timeout(GRACE, self.subscription.end()).await {
            Ok(Ok(last)) => drop(self.print(&last)),
            Ok(Err(error)) if gone(&error) => {}
            Ok(Err(error)) => note(&format!(
                "the subscription could not be ended ({error}); it runs out by itself"
            )),
            Err(_) => note("the end of the subscription was not confirmed; it runs out by itself"),
        }
        End::Asked
    }

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

    fn doing(&self) -> String {
        format!("cannot watch {}", self.args.presentity.as_str())
    }

    fn interrupted(&self) -> Failure {
        Failure::new(
            Exit::Unavailable,
            format!("{}: interrupted before the state came", self.doing()),
        )
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

/// Whether a terminated NOTIFY says that there is nothing to come back for.
fn over(notice: &Notice) -> bool {
    notice.state == Phase::Terminated && after_end(notice.reason.as_deref(), None) == Next::Over
}

/// Whether the notifier no longer knows the dialog: a new subscription may be had (RFC 6665 §4.1.2.2, RFC 5057 §5.1).
fn gone(error: &ua::Error) -> bool {
    matches!(error, ua::Error::Refused(answer) if matches!(answer.status, 404 | 405 | 410 | 416 | 480..=485 | 489 | 501 | 604))
}

/// As if the notifier had said so.
fn lost() -> Notice {
    Notice {
        state: Phase::Terminated,
        expires: None,
        reason: Some("deactivated".into()),
        retry_after: None,
        content_type: None,
        body: bytes::Bytes::new(),
    }
}

fn lives(left: Seconds) -> Instant {
    Instant::now() + Duration::from_secs(left.0.into())
}
