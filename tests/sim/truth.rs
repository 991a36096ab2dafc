//! What should be so: a model of presence written from the standards, which sees only requests and their answers.
//! It knows nothing of the server's records, caches or timers; where those may lag, it says by how much.

use std::collections::BTreeMap;

/// `<sub-handling>` of a rule, weakest first (RFC 5025 §3.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Handling {
    Block,
    Confirm,
    PoliteBlock,
    Allow,
}

impl Handling {
    pub const ALL: [Handling; 4] = [
        Handling::Block,
        Handling::Confirm,
        Handling::PoliteBlock,
        Handling::Allow,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Handling::Block => "block",
            Handling::Confirm => "confirm",
            Handling::PoliteBlock => "polite-block",
            Handling::Allow => "allow",
        }
    }
}

/// A rule of a presentity for one watcher.
#[derive(Clone, Debug)]
pub struct Rule {
    pub watcher: String,
    pub handling: Handling,
    /// Milliseconds from and until which it applies.
    pub validity: Option<(u64, u64)>,
    pub sphere: Option<&'static str>,
}

/// What a publication says.
#[derive(Clone, Debug)]
pub struct Content {
    /// Text of its only note: unique in the world, so that a document tells which publications it shows.
    pub note: String,
    pub sphere: Option<&'static str>,
}

#[derive(Clone, Debug)]
pub struct Publication {
    pub etag: String,
    pub content: Content,
    pub expires_at: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct Registration {
    /// End of the registration.
    pub until: u64,
    /// End of the memory of it.
    pub forgotten: u64,
}

#[derive(Clone, Debug)]
pub struct Subscription {
    pub expires_at: u64,
    /// Record-Routes of the SUBSCRIBE, in order.
    pub routes: Vec<String>,
}

/// One thing that an answered request makes true.
#[derive(Clone, Debug)]
pub enum Change {
    /// A PUBLISH: new, or in place of `old`; without content a refresh; with `expires_at` of now a removal.
    Published {
        presentity: String,
        old: Option<String>,
        etag: String,
        content: Option<Content>,
        expires_at: u64,
        at: u64,
    },
    Rules {
        presentity: String,
        rules: Vec<Rule>,
    },
    Registered {
        presentity: String,
        identity: String,
        registration: Registration,
    },
    Subscribed {
        tag: String,
        subscription: Subscription,
    },
    /// The subscription with this tag of ours ended.
    Over { tag: String },
}

/// What a watcher is shown: notes in order, and the registration state.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct View {
    pub notes: Vec<String>,
    pub registration: Option<&'static str>,
}

/// What a watcher should be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Refused, or ended by the presentity.
    Rejected,
    Pending,
    Active(View),
}

#[derive(Clone, Debug, Default)]
pub struct Truth {
    pub publications: BTreeMap<String, Vec<Publication>>,
    pub rules: BTreeMap<String, Vec<Rule>>,
    /// By presentity, then by its identities.
    pub registrations: BTreeMap<String, BTreeMap<String, Registration>>,
    /// By the tag of the server's side.
    pub subscriptions: BTreeMap<String, Subscription>,
    /// Registrations are followed at an S-CSCF: requests alone do not tell who is registered.
    pub follows: bool,
    /// Whom that S-CSCF says to be registered, or not, when it matters.
    pub certain: BTreeMap<String, bool>,
}

impl Truth {
    pub fn apply(&mut self, change: &Change) {
        match change.clone() {
            Change::Published {
                presentity,
                old,
                etag,
                content,
                expires_at,
                at,
            } => {
                let all = self.publications.entry(presentity).or_default();
                all.retain(|p| p.expires_at + 3_600_000 > at); // long gone: not even a candidate
                let content = match (&old, content) {
                    (Some(old), content) => {
                        let index = all.iter().position(|p| p.etag == *old);
                        let before = index.map(|i| all.remove(i).content);
                        content.or(before).expect("a refresh of what is there")
                    }
                    (None, content) => content.expect("new state has content"),
                };
                if expires_at > at {
                    all.push(Publication {
                        etag,
                        content,
                        expires_at,
                    });
                }
            }
            Change::Rules { presentity, rules } => {
                self.rules.insert(presentity, rules);
            }
            Change::Registered {
                presentity,
                identity,
                registration,
            } => {
                let identities = self.registrations.entry(presentity).or_default();
                identities.insert(identity, registration);
            }
            Change::Subscribed { tag, subscription } => {
                self.subscriptions.insert(tag, subscription);
            }
            Change::Over { tag } => {
                self.subscriptions.remove(&tag);
            }
        }
    }

    /// Whether a refresh with this entity-tag must be accepted.
    pub fn has(&self, presentity: &str, etag: &str, now: u64) -> bool {
        let all = self.publications.get(presentity).into_iter().flatten();
        all.into_iter()
            .any(|p| p.etag == etag && p.expires_at > now)
    }

    /// What the watcher may be told by a server that notices ends up to `lag` milliseconds late.
    pub fn may_be_told(&self, presentity: &str, watcher: &str, now: u64, lag: u64) -> Vec<Told> {
        let past = now.saturating_sub(lag);
        let all = self.publications.get(presentity).into_iter().flatten();
        let (live, rest): (Vec<_>, Vec<_>) = all.partition(|p| p.expires_at > now);
        let ending: Vec<_> = rest
            .into_iter()
            .filter(|p| p.expires_at >= past)
            .take(6)
            .collect();
        let mut possible = Vec::new();
        for subset in 0u32..1 << ending.len() {
            let some = ending
                .iter()
                .enumerate()
                .filter(|(i, _)| subset & 1 << i != 0);
            let shown: Vec<&Publication> =
                live.iter().copied().chain(some.map(|(_, p)| *p)).collect();
            for registration in self.registrations_between(presentity, past, now) {
                for at in [now, past] {
                    let told = self.told_with(presentity, watcher, at, &shown, registration);
                    if !possible.contains(&told) {
                        possible.push(told);
                    }
                }
            }
        }
        possible
    }

    fn told_with(
        &self,
        presentity: &str,
        watcher: &str,
        now: u64,
        live: &[&Publication],
        registration: Option<&'static str>,
    ) -> Told {
        match self.handling(presentity, watcher, now, live) {
            Handling::Block => Told::Rejected,
            Handling::Confirm => Told::Pending,
            Handling::PoliteBlock => Told::Active(View::default()),
            Handling::Allow => {
                let mut notes: Vec<String> = live.iter().map(|p| p.content.note.clone()).collect();
                notes.sort();
                Told::Active(View {
                    notes,
                    registration,
                })
            }
        }
    }

    /// The strongest of all rules that match; without one, blocked.
    fn handling(
        &self,
        presentity: &str,
        watcher: &str,
        now: u64,
        live: &[&Publication],
    ) -> Handling {
        let mut spheres: Vec<_> = live.iter().filter_map(|p| p.content.sphere).collect();
        spheres.dedup();
        let sphere = match spheres.as_slice() {
            [first, rest @ ..] if rest.iter().all(|s| s == first) => Some(*first),
            _ => None,
        };
        let rules = self.rules.get(presentity).into_iter().flatten();
        rules
            .filter(|rule| rule.watcher == watcher)
            .filter(|rule| {
                rule.validity
                    .is_none_or(|(from, until)| from <= now && now < until)
            })
            .filter(|rule| rule.sphere.is_none() || rule.sphere == sphere)
            .map(|rule| rule.handling)
            .max()
            .unwrap_or(Handling::Block)
    }

    fn registration(&self, presentity: &str, now: u64) -> Option<&'static str> {
        let known = self.registrations.get(presentity)?;
        // registered while any identity is
        if known.values().any(|r| now < r.until) {
            Some("active")
        } else if known.values().any(|r| now < r.forgotten) {
            Some("terminated")
        } else {
            None
        }
    }

    fn registrations_between(
        &self,
        presentity: &str,
        from: u64,
        now: u64,
    ) -> Vec<Option<&'static str>> {
        if self.follows {
            return match self.certain.get(presentity) {
                Some(true) => vec![Some("active")],
                Some(false) => vec![Some("terminated"), None],
                None => vec![Some("active"), Some("terminated"), None],
            };
        }
        let mut all = vec![self.registration(presentity, now)];
        for at in [from, from.midpoint(now)] {
            let then = self.registration(presentity, at);
            if !all.contains(&then) {
                all.push(then);
            }
        }
        // one who was away over both ends passes through "terminated"
        if all.len() > 1 && !all.contains(&Some("terminated")) {
            all.push(Some("terminated"));
        }
        all
    }
}
