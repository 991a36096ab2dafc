//! What every command that follows something over SIP does: subscribe, refresh, come back, leave (RFC 6665 §4.1).

use super::session::{GRACE, Session};
use super::terminal::note;
use super::{Exit, Failure};
use crate::ua::subscription::{Next, Notice, Phase, TIMER_N, after_end};
use crate::ua::{self, Subscription, refresh_after};
use ims::time::Seconds;
use std::time::Duration;
use tokio::time::Instant;

/// Tries of a first subscription that the server puts off.
const FIRST_TRIES: u32 = 4;
/// An end that comes sooner than this after the beginning is a trouble, and not tried again at once.
const SOON: Duration = Duration::from_secs(5);

/// How long what was missed may still come in before it is asked for: no notifier makes us refresh faster.
const SOON_AGAIN: Duration = Duration::from_secs(1);

/// Who is told what the notifier says, and knows how to speak of it.
pub trait Audience {
    /// A subscription begins anew: what is known from before may no longer be so.
    fn begin(&mut self) {}
    /// Takes a NOTIFY; false when nobody reads any more.
    fn take(&mut self, notice: &Notice) -> impl Future<Output = bool>;
    /// Whether something that was told has not come: a refresh brings it once more (RFC 4662 §5.6.2).
    fn misses_something(&mut self) -> bool {
        false
    }
    /// "cannot do this or that".
    fn doing(&self) -> String;
    /// What stands in the way, and what to do about it.
    fn refused(&self, error: &ua::Error) -> Failure;
    /// Why the notifier has ended it for good.
    fn ended(&self, notice: &Notice) -> Failure;
}

/// A subscription with its audience.
#[derive(Debug)]
pub struct Follower<A> {
    pub subscription: Subscription,
    pub audience: A,
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

impl<A: Audience> Follower<A> {
    /// The present state, and the end.
    pub async fn fetch(&mut self, session: &mut Session) -> Result<(), Failure> {
        let fetched = session.stop.within(GRACE, self.subscription.fetch()).await;
        let notice = fetched
            .ok_or_else(|| self.interrupted())?
            .map_err(|error| self.audience.refused(&error))?;
        self.audience.take(&notice).await;
        match over(&notice) {
            true => Err(self.audience.ended(&notice)),
            false => Ok(()),
        }
    }

    /// Subscribes, and subscribes again as long as that has a point (RFC 6665 §4.1.3).
    pub async fn follow(&mut self, session: &mut Session) -> Result<(), Failure> {
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
                        Next::Over => return Err(self.audience.ended(&notice)),
                        Next::Again(pause) if failures == 1 => pause,
                        Next::Again(pause) => pause.max(Duration::from_secs(1 << failures.min(5))),
                    }
                }
                End::Failed(error) => {
                    // a server that was never there is more likely a wrong address than a passing trouble
                    let silent = matches!(error, ua::Error::Lost(_));
                    let hopeless = !was_open && (silent || failures >= FIRST_TRIES);
                    let pause = error.pause(failures).filter(|_| !hopeless);
                    let pause = pause.ok_or_else(|| self.audience.refused(&error))?;
                    note(&format!(
                        "{}: {error}; again in {} s",
                        self.audience.doing(),
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
        self.audience.begin();
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
                    if !self.audience.take(&notice).await {
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
                    if self.audience.misses_something() {
                        refresh_at = refresh_at.min(Instant::now() + SOON_AGAIN);
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
                                self.audience.doing(),
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
            Ok(Ok(last)) => drop(self.audience.take(&last).await),
            Ok(Err(error)) if gone(&error) => {}
            Ok(Err(error)) => note(&format!(
                "the subscription could not be ended ({error}); it runs out by itself"
            )),
            Err(_) => note("the end of the subscription was not confirmed; it runs out by itself"),
        }
        End::Asked
    }

    fn interrupted(&self) -> Failure {
        Failure::new(
            Exit::Unavailable,
            format!(
                "{}: interrupted before the state came",
                self.audience.doing()
            ),
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
