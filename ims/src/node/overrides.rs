//! What the operator imposes above the presentities' own rules (OMA architecture §6.1.5): who may watch whom,
//! whatever the presentity says. Durable, and each with who ordered it and why.

use super::{Effect, Node, Outbox};
use crate::presence::rules::Handling;
use crate::presence::service::Reach;
use crate::record::Table;
use crate::sip::Aor;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Longest name of whoever orders an override, and longest reason, in bytes.
const LONGEST_NAME: usize = 128;
const LONGEST_REASON: usize = 1024;
/// Longest domain name (RFC 1035 §2.3.4).
const LONGEST_DOMAIN: usize = 253;

/// Everybody, in place of a presentity or watcher.
const ALL: &str = "*";

/// Whom an override is about. Ordered: what is more specific stands first among those of one presentity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope {
    /// `None`: every presentity.
    presentity: Option<Aor>,
    watcher: Whom,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Whom {
    One(Aor),
    /// In lower case, without a port.
    Domain(Box<str>),
    Everybody,
}

/// Why something is no override.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadOverride {
    Presentity,
    Watcher,
    By,
    Why,
}

impl fmt::Display for BadOverride {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadOverride::Presentity => {
                f.write_str("the presentity is an identity such as sip:bob@ims.test, or *")
            }
            BadOverride::Watcher => f.write_str(
                "the watcher is an identity such as sip:alice@ims.test, a domain such as ims.test, or *",
            ),
            BadOverride::By => write!(
                f,
                "by names who orders it, in one line of 1 to {LONGEST_NAME} bytes"
            ),
            BadOverride::Why => write!(
                f,
                "why says the reason, in one line of 1 to {LONGEST_REASON} bytes"
            ),
        }
    }
}

impl Scope {
    /// An identity or `*`, and an identity, a domain or `*`.
    pub fn parse(presentity: &str, watcher: &str) -> Result<Scope, BadOverride> {
        let presentity = match presentity.trim() {
            ALL => None,
            text => Some(Aor::parse(text).ok_or(BadOverride::Presentity)?),
        };
        let watcher = match watcher.trim() {
            ALL => Whom::Everybody,
            text if text.contains(':') => Whom::One(Aor::parse(text).ok_or(BadOverride::Watcher)?),
            text => Whom::Domain(domain(text).ok_or(BadOverride::Watcher)?),
        };
        Ok(Scope {
            presentity,
            watcher,
        })
    }

    pub fn presentity(&self) -> &str {
        self.presentity.as_ref().map_or(ALL, Aor::as_str)
    }

    pub fn watcher(&self) -> &str {
        match &self.watcher {
            Whom::One(aor) => aor.as_str(),
            Whom::Domain(domain) => domain,
            Whom::Everybody => ALL,
        }
    }

    /// Presentity, NUL, watcher, as written. They are on disk.
    fn encode(&self) -> Vec<u8> {
        format!("{}\0{}", self.presentity(), self.watcher()).into_bytes()
    }

    fn decode(key: &[u8]) -> Option<Scope> {
        let (presentity, watcher) = std::str::from_utf8(key).ok()?.split_once('\0')?;
        Scope::parse(presentity, watcher).ok()
    }
}

fn domain(text: &str) -> Option<Box<str>> {
    let text = text.trim_end_matches('.');
    let label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let good = text.len() <= LONGEST_DOMAIN && text.split('.').all(label);
    good.then(|| text.to_ascii_lowercase().into())
}

/// An override as stored. Key: its scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Imposed {
    /// As [`Handling::word`].
    handling: Box<str>,
    by: Box<str>,
    why: Box<str>,
    at: Timestamp,
}

/// An override as the operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    pub scope: Scope,
    pub handling: Handling,
    /// Who ordered it, and why.
    pub by: String,
    pub why: String,
    /// When it was set.
    pub at: Timestamp,
}

/// What an operator asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Administration {
    /// All overrides.
    List,
    /// A new override, or another in place of one.
    Impose {
        scope: Scope,
        handling: Handling,
        by: String,
        why: String,
    },
    /// No override any more.
    Lift(Scope),
}

impl Administration {
    /// An order to impose, if whoever gives it says who they are and why.
    pub fn impose(
        scope: Scope,
        handling: Handling,
        by: &str,
        why: &str,
    ) -> Result<Administration, BadOverride> {
        Administration::said(by, why)?;
        Ok(Administration::Impose {
            scope,
            handling,
            by: by.trim().to_owned(),
            why: why.trim().to_owned(),
        })
    }

    /// Whether an order says who gives it and why, fit for the log.
    pub fn said(by: &str, why: &str) -> Result<(), BadOverride> {
        let line = |text: &str, longest| {
            let text = text.trim();
            !text.is_empty() && text.len() <= longest && !text.chars().any(char::is_control)
        };
        if !line(by, LONGEST_NAME) {
            return Err(BadOverride::By);
        }
        if !line(why, LONGEST_REASON) {
            return Err(BadOverride::Why);
        }
        Ok(())
    }
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Administered {
    All(Vec<Override>),
    /// It stands, in place of the one before.
    Imposed {
        now: Override,
        before: Option<Override>,
    },
    /// It stood until now.
    Lifted(Override),
    /// There is no such override.
    Absent,
    /// No more than so many are kept.
    Full(usize),
}

/// All overrides.
#[derive(Debug, Default)]
pub(super) struct Overrides {
    all: BTreeMap<Scope, (Handling, Imposed)>,
    most: usize,
}

impl Overrides {
    pub fn new(most: usize) -> Overrides {
        Overrides {
            all: BTreeMap::new(),
            most,
        }
    }

    /// What is imposed on a watcher of a presentity, each under all its identities. One for the presentity goes before
    /// one for everybody, then one for the watcher before its domain before everybody, then the stricter.
    pub fn of(&self, presentity: &[Aor], watcher: &[Aor]) -> Option<Handling> {
        if self.all.is_empty() {
            return None;
        }
        let ones = || watcher.iter().cloned().map(Whom::One);
        let domains = || watcher.iter().filter_map(domain_of).map(Whom::Domain);
        let named: Vec<Option<&Aor>> = presentity.iter().map(Some).collect();
        for presentities in [named.as_slice(), &[None]] {
            let strictest = |whom: &mut dyn Iterator<Item = Whom>| {
                let scopes = whom.flat_map(|watcher| {
                    presentities.iter().map(move |presentity| Scope {
                        presentity: presentity.cloned(),
                        watcher: watcher.clone(),
                    })
                });
                scopes
                    .filter_map(|scope| self.all.get(&scope))
                    .map(|(handling, _)| *handling)
                    .min()
            };
            let imposed = strictest(&mut ones())
                .or_else(|| strictest(&mut domains()))
                .or_else(|| strictest(&mut [Whom::Everybody].into_iter()));
            if imposed.is_some() {
                return imposed;
            }
        }
        None
    }

    /// Takes an override from the store.
    pub fn recover(&mut self, key: &[u8], imposed: Imposed) -> Option<()> {
        let handling = Handling::parse(&imposed.handling)?;
        self.all.insert(Scope::decode(key)?, (handling, imposed));
        Some(())
    }
}

/// The domain of an identity, without a port; a `tel:` identity is in none.
fn domain_of(identity: &Aor) -> Option<Box<str>> {
    let host = identity.host();
    let host = match host.rfind(':') {
        Some(colon) if !host.ends_with(']') => host.get(..colon)?,
        _ => host,
    };
    (!host.is_empty()).then(|| host.trim_end_matches('.').into())
}

fn shown(scope: &Scope, (handling, imposed): &(Handling, Imposed)) -> Override {
    Override {
        scope: scope.clone(),
        handling: *handling,
        by: imposed.by.to_string(),
        why: imposed.why.to_string(),
        at: imposed.at,
    }
}

impl Node {
    pub(super) fn administer(
        &mut self,
        now: Timestamp,
        number: u64,
        request: &Administration,
        out: &mut Outbox,
    ) {
        let overrides = &mut self.directory.overrides;
        let (answer, changed) = match request {
            Administration::List => {
                let all = overrides.all.iter();
                let all = all.map(|(scope, imposed)| shown(scope, imposed)).collect();
                (Administered::All(all), None)
            }
            Administration::Impose { scope, .. }
                if overrides.all.len() >= overrides.most && !overrides.all.contains_key(scope) =>
            {
                (Administered::Full(overrides.most), None)
            }
            Administration::Impose {
                scope,
                handling,
                by,
                why,
            } => {
                let imposed = Imposed {
                    handling: handling.word().into(),
                    by: by.as_str().into(),
                    why: why.as_str().into(),
                    at: now,
                };
                out.batch.put(Table::Override, &scope.encode(), &imposed);
                let imposed = (*handling, imposed);
                let now = shown(scope, &imposed);
                let before = overrides.all.insert(scope.clone(), imposed);
                let before = before.map(|before| shown(scope, &before));
                (Administered::Imposed { now, before }, Some(scope))
            }
            Administration::Lift(scope) => match overrides.all.remove(scope) {
                None => (Administered::Absent, None),
                Some(imposed) => {
                    out.batch.delete(Table::Override, &scope.encode());
                    (Administered::Lifted(shown(scope, &imposed)), Some(scope))
                }
            },
        };
        if let Some(scope) = changed {
            self.act_on(now, scope, out);
        }
        let effect = Effect::Administered {
            number,
            answer: Box::new(answer),
        };
        if out.batch.is_empty() {
            out.free.push(effect);
        } else {
            out.held.insert(0, effect);
        }
    }

    /// Live subscriptions follow what the operator imposes.
    fn act_on(&mut self, now: Timestamp, scope: &Scope, out: &mut Outbox) {
        let presentity = scope.presentity.as_ref();
        let presentity = presentity.map(|p| self.directory.registrar.canonical(p));
        self.turn(now, out, |presence, directory, turn| {
            let reach = match (&presentity, &scope.watcher) {
                (Some(presentity), _) => Reach::Presentity(presentity),
                (None, Whom::One(watcher)) => Reach::Watcher(watcher),
                (None, Whom::Domain(_) | Whom::Everybody) => Reach::Everybody,
            };
            presence.imposed_changed(turn, directory, reach);
        });
    }
}
