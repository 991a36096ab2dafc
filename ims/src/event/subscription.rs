//! The notifier's state machine of one subscription (RFC 6665 §4.2, RFC 3857 §4.7.1), for any package.

use crate::partition;
use crate::sip::Aor;
use crate::sip::text::push_hex;
use crate::time::Seconds;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Number of a subscription: the partition of its resource in the upper 12 bits, random below. It is our
/// dialog tag and begins our branch, so that requests and responses find home without a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SubscriptionId(pub u64);

impl fmt::Display for SubscriptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl SubscriptionId {
    /// The number of a subscription to `resource`; without one it is in partition 0. `rest`: random, its upper bits count.
    pub fn of(resource: Option<&Aor>, rest: u64) -> SubscriptionId {
        let partition = resource.map_or(0, |aor| u64::from(partition::of(aor)));
        SubscriptionId(partition << 52 | rest >> 12)
    }

    /// Sixteen hexadecimal digits: the tag of our side.
    pub fn text(self) -> String {
        let mut text = String::with_capacity(16);
        push_hex(&mut text, self.0, 16);
        text
    }

    /// The number in a dialog tag; `None` for a tag that is not one of ours.
    pub fn parse(tag: &str) -> Option<SubscriptionId> {
        let hex = tag.len() == 16
            && tag
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if hex {
            u64::from_str_radix(tag, 16).ok().map(SubscriptionId)
        } else {
            None
        }
    }
}

/// State of a subscription that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Accepted and not yet authorised: told that it is pending, and nothing else.
    Pending,
    Active,
    Terminated(End),
    /// Over for the watcher before anybody decided, and remembered, so that the presentity still can (RFC 3857
    /// §4.7.1). Its last NOTIFY said that it timed out; no other follows.
    Waiting,
}

impl State {
    /// Whether the watcher still has a subscription: a request in its dialog is served.
    pub fn is_alive(self) -> bool {
        matches!(self, State::Pending | State::Active)
    }
}

/// Why a subscription ended, as its last NOTIFY says (RFC 6665 §4.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// It ran out, was ended by the watcher, or was a fetch.
    Timeout,
    /// The presentity's policy no longer allows it.
    Rejected,
    /// The watcher cannot be reached: no NOTIFY tells it.
    Unreachable,
    /// The node leaves: the watcher should subscribe again at once, which brings it to another node. Or there is no credit
    /// for the subscription, and a new one asks anew.
    Deactivated,
    /// The node leaves for a while, or there is no credit for now: the watcher should come back after that time.
    Probation { retry_after: Seconds },
    /// Nobody decided in time.
    GaveUp,
    /// There is no such presentity any more.
    NoResource,
    /// It was waiting, and the presentity allows it from now on: the next SUBSCRIBE is served.
    Approved,
}

impl End {
    /// The `reason` parameter; `None` where nobody is left to tell.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            End::Timeout => Some("timeout"),
            End::Rejected => Some("rejected"),
            End::Deactivated => Some("deactivated"),
            End::Probation { .. } => Some("probation"),
            End::GaveUp => Some("giveup"),
            End::NoResource => Some("noresource"),
            End::Unreachable | End::Approved => None,
        }
    }

    /// The `retry-after` parameter.
    pub fn retry_after(self) -> Option<Seconds> {
        match self {
            End::Probation { retry_after } => Some(retry_after),
            End::Timeout
            | End::Rejected
            | End::Unreachable
            | End::Deactivated
            | End::GaveUp
            | End::NoResource
            | End::Approved => None,
        }
    }
}

/// What happens to a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Policy grants it (also politely).
    Allowed,
    /// Policy has no answer yet.
    Undecided,
    /// Policy refuses it.
    Denied,
    /// The watcher asked for more time.
    Refreshed,
    /// The resource has new state for this watcher.
    Changed,
    /// Its time is over.
    Expired,
    /// The watcher asked for an end.
    Unsubscribed,
    /// A NOTIFY failed in a way that ends the subscription.
    WatcherGone,
    /// The node leaves, or there is no credit: the watcher is told how to go on.
    Leaving(End),
    /// The give-up timer: nobody has decided for too long.
    GaveUp,
    /// The presentity is no longer served.
    NoResource,
}

/// Which NOTIFY the step owes the watcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owed {
    Nothing,
    /// Now, whatever the pacing: an answer to a request, or a change of the subscription itself.
    Immediate,
    /// New state, subject to pacing.
    Paced,
}

/// The state of a subscription that begins with this verdict (RFC 3857 §4.7.1, from `init`). A fetch is a subscription
/// that expires at once (RFC 6665 §4.4.3), and waits when nobody has decided on it. `None`: there never is one.
pub fn begin(verdict: Input, fetch: bool) -> Option<State> {
    match (verdict, fetch) {
        (Input::Allowed, false) => Some(State::Active),
        (Input::Allowed, true) => Some(State::Terminated(End::Timeout)),
        (Input::Undecided, false) => Some(State::Pending),
        (Input::Undecided, true) => Some(State::Waiting),
        _ => None,
    }
}

/// One step of the notifier, RFC 6665 §4.2 and RFC 3857 §4.7.1, figure 1. `Terminated` is final: a late input changes
/// nothing.
pub fn step(state: State, input: Input) -> (State, Owed) {
    use {Input::*, Owed::*, State::*};
    match (state, input) {
        (Terminated(_), _) => (state, Nothing),
        // the watcher was told of the end when the waiting began, and is told nothing of the rest
        (Waiting, Allowed) => (Terminated(End::Approved), Nothing),
        (Waiting, Denied) => (Terminated(End::Rejected), Nothing),
        (Waiting, Input::GaveUp) => (Terminated(End::GaveUp), Nothing),
        (Waiting, Input::NoResource) => (Terminated(End::NoResource), Nothing),
        (Waiting, _) => (Waiting, Nothing),
        (Pending, Expired | Unsubscribed) => (Waiting, Immediate),
        (Active, Expired | Unsubscribed) => (Terminated(End::Timeout), Immediate),
        (Pending, Input::GaveUp) => (Terminated(End::GaveUp), Immediate),
        (Active, Input::GaveUp) => (Active, Nothing), // somebody has decided
        (_, Denied) => (Terminated(End::Rejected), Immediate),
        (_, Leaving(end)) => (Terminated(end), Immediate),
        (_, Input::NoResource) => (Terminated(End::NoResource), Immediate),
        (_, WatcherGone) => (Terminated(End::Unreachable), Nothing), // nobody is left to tell
        (Pending, Allowed) => (Active, Immediate),
        (Active, Undecided) => (Pending, Immediate), // told that it waits, and nothing more from now on
        (Active, Allowed) | (Pending, Undecided) => (state, Nothing),
        (_, Refreshed) => (state, Immediate), // §4.2.1.2: a refresh brings a NOTIFY
        (Active, Changed) => (Active, Paced),
        (Pending, Changed) => (Pending, Nothing), // not yet authorised, so told nothing
    }
}

/// Whether the final response to a NOTIFY, or 408 for none, ends the subscription.
///
/// RFC 6665 §4.2.2: 404, 405, 410, 416, 480-485, 489, 501 and 604 MUST remove it, a timeout SHOULD. Others say
/// that this NOTIFY failed, not that the watcher is gone.
pub fn ends_subscription(status: u16) -> bool {
    matches!(
        status,
        404 | 405 | 408 | 410 | 416 | 480..=485 | 489 | 501 | 604
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use {Input::*, Owed::*, State::*};

    #[test]
    fn the_notifier_follows_its_table() {
        let rejected = Terminated(End::Rejected);
        let timeout = Terminated(End::Timeout);
        for (case, state, input, next, owed) in [
            (
                "a pending watcher that is allowed becomes active at once",
                Pending,
                Allowed,
                Active,
                Immediate,
            ),
            (
                "a pending watcher that is refused is told so",
                Pending,
                Denied,
                rejected,
                Immediate,
            ),
            (
                "an active watcher that is refused is told so",
                Active,
                Denied,
                rejected,
                Immediate,
            ),
            (
                "an active watcher whose policy is withdrawn waits",
                Active,
                Undecided,
                Pending,
                Immediate,
            ),
            (
                "a change reaches an active watcher, paced",
                Active,
                Changed,
                Active,
                Paced,
            ),
            (
                "a change never reaches a pending watcher",
                Pending,
                Changed,
                Pending,
                Nothing,
            ),
            (
                "a refresh is answered by a NOTIFY",
                Active,
                Refreshed,
                Active,
                Immediate,
            ),
            (
                "a refresh while pending is answered by a NOTIFY",
                Pending,
                Refreshed,
                Pending,
                Immediate,
            ),
            (
                "an end asked for is confirmed",
                Active,
                Unsubscribed,
                timeout,
                Immediate,
            ),
            ("an expiry is told", Active, Expired, timeout, Immediate),
            (
                "an expiry before a decision is told, and the watcher remembered",
                Pending,
                Expired,
                Waiting,
                Immediate,
            ),
            (
                "a watcher who leaves before a decision is remembered",
                Pending,
                Unsubscribed,
                Waiting,
                Immediate,
            ),
            (
                "nobody decides on a pending watcher for too long",
                Pending,
                Input::GaveUp,
                Terminated(End::GaveUp),
                Immediate,
            ),
            (
                "nobody waits for a decision that was made",
                Active,
                Input::GaveUp,
                Active,
                Nothing,
            ),
            (
                "who waits and is allowed may come again",
                Waiting,
                Allowed,
                Terminated(End::Approved),
                Nothing,
            ),
            (
                "who waits and is refused is not told",
                Waiting,
                Denied,
                rejected,
                Nothing,
            ),
            (
                "nobody decides on one who waits",
                Waiting,
                Input::GaveUp,
                Terminated(End::GaveUp),
                Nothing,
            ),
            (
                "who waits for somebody that is gone waits no more",
                Waiting,
                Input::NoResource,
                Terminated(End::NoResource),
                Nothing,
            ),
            (
                "who waits has no time left",
                Waiting,
                Expired,
                Waiting,
                Nothing,
            ),
            (
                "who waits need not be reachable",
                Waiting,
                WatcherGone,
                Waiting,
                Nothing,
            ),
            ("who waits sees nothing", Waiting, Changed, Waiting, Nothing),
            (
                "a node that leaves keeps those who wait",
                Waiting,
                Leaving(End::Deactivated),
                Waiting,
                Nothing,
            ),
            (
                "a presentity that is gone is told",
                Active,
                Input::NoResource,
                Terminated(End::NoResource),
                Immediate,
            ),
            (
                "a watcher that is gone is not told",
                Active,
                WatcherGone,
                Terminated(End::Unreachable),
                Nothing,
            ),
            (
                "a node that leaves says so to those who wait as well",
                Pending,
                Leaving(End::Deactivated),
                Terminated(End::Deactivated),
                Immediate,
            ),
            (
                "nothing wakes the dead",
                rejected,
                Allowed,
                rejected,
                Nothing,
            ),
        ] {
            assert_eq!(step(state, input), (next, owed), "{case}");
        }
    }

    #[test]
    fn a_subscription_begins_by_its_verdict() {
        for (case, verdict, fetch, state) in [
            ("allowed", Allowed, false, Some(Active)),
            ("undecided", Undecided, false, Some(Pending)),
            ("refused", Denied, false, None),
            (
                "an allowed fetch is over",
                Allowed,
                true,
                Some(Terminated(End::Timeout)),
            ),
            ("an undecided fetch waits", Undecided, true, Some(Waiting)),
            ("a refused fetch", Denied, true, None),
            ("what is no verdict opens nothing", Refreshed, false, None),
        ] {
            assert_eq!(begin(verdict, fetch), state, "{case}");
        }
    }

    #[test]
    fn the_stored_numbers_of_states_never_move() {
        for (state, stored) in [
            (Pending, &[0][..]),
            (Active, &[1]),
            (Terminated(End::Timeout), &[2, 0]),
            (Terminated(End::Rejected), &[2, 1]),
            (Terminated(End::Unreachable), &[2, 2]),
            (Waiting, &[3]),
        ] {
            assert_eq!(crate::record::encode(&state), stored, "{state:?}");
        }
    }

    #[test]
    fn the_listed_failures_of_a_notify_end_the_subscription_and_others_do_not() {
        for status in [
            404, 405, 408, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604,
        ] {
            assert!(ends_subscription(status), "{status}");
        }
        for status in [
            200, 202, 400, 403, 406, 413, 415, 420, 486, 487, 500, 503, 504, 600, 603,
        ] {
            assert!(!ends_subscription(status), "{status}");
        }
    }

    #[test]
    fn a_tag_that_is_not_ours_names_no_subscription() {
        let id = SubscriptionId(0x0123_4567_89ab_cdef);
        assert_eq!(SubscriptionId::parse(&id.to_string()), Some(id));
        for foreign in [
            "",
            "1",
            "0123456789ABCDEF",
            "0123456789abcdef0",
            "+123456789abcdef",
        ] {
            assert_eq!(SubscriptionId::parse(foreign), None, "{foreign}");
        }
    }
}
