//! What is promised to watchers of lists: of each member what a subscription of their own would show.

use super::{Change, LAG, NEWS, Promises, Told, uri, view};
use crate::text::Message;
use ims::rls::picture::{Picture, What};
use ims::rls::reading::{self, Limits, Phase, Told as Said};

/// URIs of lists in the world begin like this.
pub const LIST: &str = "sip:list";

/// A NOTIFY of a list, read.
pub fn read(notify: &Message) -> Result<reading::Level, String> {
    let body = bytes::Bytes::copy_from_slice(notify.body.as_bytes());
    reading::read(notify.get("content-type"), &body, &Limits::default())
        .map_err(|fault| format!("{fault}: {notify:?}"))
}

impl Promises {
    /// The node has decided on a NOTIFY of a list.
    pub fn list_notify_made(&mut self, now: u64, turn: u64, notify: &Message) {
        let watcher = uri(notify.get("to"));
        let over = notify.get("subscription-state").starts_with("terminated");
        self.count("NOTIFYs of lists");
        if !notify.body.is_empty() {
            match read(notify) {
                Ok(level) => self.judge_level(now, &watcher, &level, notify),
                Err(fault) => self.hold(false, "a NOTIFY of a list is RLMI", || fault),
            }
        } else {
            self.hold(over, "a NOTIFY of a list without RLMI is the last", || {
                format!("{notify:?}")
            });
        }
        let tag = notify.tag_in_from().to_owned();
        if over {
            self.change(turn, Change::Over { tag });
        }
    }

    fn judge_level(&mut self, now: u64, watcher: &str, level: &reading::Level, notify: &Message) {
        let lag = self.lag(now);
        if !level.full {
            self.count("partial NOTIFYs of lists");
        }
        for resource in &level.resources {
            let possible = self.live.may_be_told(&resource.uri, watcher, now, lag);
            for instance in &resource.instances {
                let shown = match &instance.told {
                    Some(Said::State(content)) => {
                        Some(view(&String::from_utf8_lossy(&content.bytes)))
                    }
                    _ => None,
                };
                let fits = match (instance.phase, shown) {
                    (Phase::Active, Some(shown)) => possible.contains(&Told::Active(shown)),
                    (Phase::Active, None) => false,
                    (phase, None) => possible.contains(&outcome(phase, instance.reason.as_deref())),
                    (_, Some(_)) => false,
                };
                self.hold(
                    fits,
                    "of a member a list shows what its watcher may see, and nothing else",
                    || {
                        format!(
                            "{} to {watcher}, may be {possible:?}\n{notify:?}",
                            resource.uri
                        )
                    },
                );
            }
        }
    }

    /// At the end of a quiet time: the watcher sees of each member what it should, and no other members.
    pub fn check_list(&mut self, now: u64, members: &[String], watcher: &str, seen: &Picture) {
        let listed: Vec<&str> = seen.rows().map(|(uri, _)| uri).collect();
        let mut wanted: Vec<&str> = members.iter().map(String::as_str).collect();
        wanted.sort_unstable();
        self.hold(
            listed == wanted,
            "a watcher of a list converges to its members",
            || format!("{watcher} sees {listed:?}, not {wanted:?}"),
        );
        for member in members {
            let possible = self.live.may_be_told(member, watcher, now, LAG + NEWS);
            let row = seen
                .row(member)
                .and_then(|row| row.instances.values().next());
            let told = row.map(|known| match &known.state {
                What::State(content) => {
                    Told::Active(view(&String::from_utf8_lossy(&content.bytes)))
                }
                _ => outcome(known.phase, known.reason.as_deref()),
            });
            let kept = told.as_ref().is_some_and(|told| possible.contains(told));
            self.hold(
                kept,
                "a watcher of a list converges to the last published state of each member that it may see",
                || format!("{watcher} of {member} sees {told:?}, not {possible:?}"),
            );
        }
    }
}

/// What an instance without a state says.
fn outcome(phase: Phase, reason: Option<&str>) -> Told {
    match (phase, reason) {
        // nobody decided for too long
        (Phase::Pending, _) | (Phase::Terminated, Some("giveup")) => Told::Pending,
        _ => Told::Rejected,
    }
}
