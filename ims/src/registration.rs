//! Who is registered in the IMS, learnt from third-party REGISTER (TS 24.229 §5.4.1.7, §5.7.1.1), and which
//! identities name the same subscriber.
//!
//! The key is the identity in `To`: Kamailio sends every third-party REGISTER with a new Call-ID and the same
//! CSeq. `Expires: 0` is all that a de-registration says, even while another contact is still registered, and
//! one by the network says nothing at all; the reg event package tells more ([`reg_event`]).

mod network;
pub mod reg_event;
pub mod reginfo;

pub use network::Changes;

use crate::event::deadlines::Deadlines;
use crate::event::turn::Turn;
use crate::isc::Charging;
use crate::record::Table;
use crate::reject::Reject;
use crate::sip::Aor;
use crate::time::{Seconds, Timestamp};
use indexmap::IndexMap;
use reg_event::RegEvents;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Most identities of one implicit registration set that are kept.
const MOST_IDENTITIES: usize = 32;
/// Longest opaque value (service information, access network) that is kept, in bytes.
const LONGEST_VALUE: usize = 8 * 1024;

/// How registrations are kept, from the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Lifetime when the REGISTER names none.
    pub default_expires: Seconds,
    /// Longest lifetime believed.
    pub max_expires: Seconds,
    /// How long "not registered any more" is shown before it is forgotten.
    pub terminated_retention: Seconds,
    /// Registrations kept; one more is refused.
    pub capacity: usize,
    /// Whether registrations are followed at their S-CSCF (RFC 3680).
    pub reg_event: bool,
    pub aliases: Aliases,
}

/// Which identities of an implicit registration set are one presentity, named by the default identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aliases {
    /// Its tel identities; each SIP identity is a presentity of its own.
    Tel,
    /// All of them.
    Set,
}

/// A third-party REGISTER of a trusted S-CSCF.
#[derive(Clone, Debug)]
pub struct ThirdParty {
    /// `To`: the public user identity that registered.
    pub identity: Aor,
    /// `None` when the request names no lifetime.
    pub expires: Option<Seconds>,
    /// Contact: the S-CSCF that serves the user.
    pub scscf: Option<String>,
    /// Identities of the implicit registration set, from P-Associated-URI.
    pub associated: Vec<Aor>,
    /// `<service-info>` of the body, opaque, as the HSS wrote it.
    pub service_info: Option<String>,
    pub access_network: Option<String>,
    pub charging: Charging,
}

/// Registration state of one identity, as stored. Key: the identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    pub active: bool,
    /// When `active` last changed.
    pub since: Timestamp,
    /// End of the registration, or of the memory of it.
    pub expires_at: Timestamp,
    pub scscf: Option<Box<str>>,
    pub associated: Vec<Box<str>>,
    pub service_info: Option<Box<str>>,
    pub access_network: Option<Box<str>>,
    pub charging: Charging,
}

/// What a third-party REGISTER did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub lifetime: Seconds,
    /// The identity was not registered before, or is no longer.
    pub changed: bool,
    /// Subscribers who gained or lost an identity.
    pub renamed: BTreeSet<Aor>,
}

/// Registrations and aliases of the node.
#[derive(Debug)]
pub struct Registrar {
    settings: Settings,
    registrations: IndexMap<Aor, Registration, ahash::RandomState>,
    /// Identity to the default identity of its set.
    aliases: IndexMap<Aor, Aor, ahash::RandomState>,
    /// The same the other way round.
    others: IndexMap<Aor, Vec<Aor>, ahash::RandomState>,
    looks: Deadlines<Aor>,
    /// When a look at an identity is scheduled; one entry at a time, however often it is refreshed.
    scheduled: IndexMap<Aor, Timestamp, ahash::RandomState>,
    /// `None` where registrations are not followed.
    reg_events: Option<RegEvents>,
    /// Records of registrations that were followed before that was turned off.
    unfollowed: Vec<Aor>,
}

impl Registrar {
    /// `reg_event`: how registrations are followed, where the settings want it.
    pub fn new(
        settings: Settings,
        reg_event: reg_event::Settings,
        hash: ahash::RandomState,
    ) -> Registrar {
        let follow = settings.reg_event;
        Registrar {
            reg_events: follow.then(|| RegEvents::new(reg_event, hash.clone())),
            unfollowed: Vec::new(),
            settings,
            registrations: IndexMap::with_hasher(hash.clone()),
            aliases: IndexMap::with_hasher(hash.clone()),
            others: IndexMap::with_hasher(hash.clone()),
            scheduled: IndexMap::with_hasher(hash),
            looks: Deadlines::default(),
        }
    }

    /// Identities that are registered or were a short while ago.
    pub fn len(&self) -> usize {
        self.registrations.len()
    }

    pub fn is_empty(&self) -> bool {
        self.registrations.is_empty()
    }

    /// Whether the identity, or its alias, is or was registered.
    pub fn knows(&self, identity: &Aor) -> bool {
        self.registrations.contains_key(&self.canonical(identity))
    }

    /// The identity under which a subscriber's state is kept: the default one for an alias of a known set.
    pub fn canonical(&self, identity: &Aor) -> Aor {
        self.aliases.get(identity).unwrap_or(identity).clone()
    }

    /// The identity and the others that name the same subscriber.
    pub fn identities(&self, canonical: &Aor) -> Vec<Aor> {
        let others = self
            .others
            .get(canonical)
            .map(Vec::as_slice)
            .unwrap_or_default();
        std::iter::once(canonical).chain(others).cloned().collect()
    }

    /// Registration of an identity, if any is known.
    pub fn get(&self, identity: &Aor) -> Option<&Registration> {
        self.registrations.get(identity)
    }

    /// Registration state of a subscriber: registered while any of its identities is. S-CSCFs register each identity
    /// on its own, and the tel identity of a subscriber who went away is no news of one who is there.
    pub fn state_of(&self, canonical: &Aor) -> Option<(bool, Timestamp)> {
        let identities = self.identities(canonical);
        let known = identities
            .iter()
            .filter_map(|identity| self.registrations.get(identity));
        let (active, ended): (Vec<_>, Vec<_>) = known.partition(|r| r.active);
        let since = active.iter().map(|r| r.since).min();
        let until = ended.iter().map(|r| r.since).max();
        since
            .map(|since| (true, since))
            .or(until.map(|until| (false, until)))
    }

    /// Every subscriber of whom a registration is known, after a restart.
    pub fn subscribers(&self) -> BTreeSet<Aor> {
        let identities = self.registrations.keys();
        identities
            .map(|identity| self.canonical(identity))
            .collect()
    }

    /// Takes over a third-party REGISTER.
    pub fn register(&mut self, turn: &mut Turn<'_>, request: &ThirdParty) -> Result<Taken, Reject> {
        let lifetime = request
            .expires
            .unwrap_or(self.settings.default_expires)
            .min(self.settings.max_expires);
        let known = self.registrations.get(&request.identity);
        if lifetime == Seconds(0) {
            return Ok(Taken {
                lifetime,
                changed: self.told_gone(turn, &request.identity),
                renamed: BTreeSet::new(),
            });
        }
        if known.is_none() && self.registrations.len() >= self.settings.capacity {
            return Err(Reject::Busy {
                retry_after: Seconds(30),
            });
        }
        let was_active = known.is_some_and(|r| r.active);
        let since = known.filter(|r| r.active).map_or(turn.now, |r| r.since);
        let registration = registration(request, since, turn.now + lifetime);
        turn.batch.put(
            Table::Registration,
            request.identity.as_str().as_bytes(),
            &registration,
        );
        self.schedule(registration.expires_at, &request.identity);
        self.registrations
            .insert(request.identity.clone(), registration);
        Ok(Taken {
            lifetime,
            changed: !was_active,
            renamed: self.learn_aliases(turn, &request.associated),
        })
    }

    /// `Expires: 0`. While the S-CSCF tells us of its contacts that may mean one of several: its word is awaited.
    fn told_gone(&mut self, turn: &mut Turn<'_>, identity: &Aor) -> bool {
        if let Some(reg_events) = &mut self.reg_events
            && reg_events.doubts(turn, identity)
        {
            return false;
        }
        let now = turn.now;
        let changed = self.deregister(turn, identity, now);
        if let Some(reg_events) = &mut self.reg_events {
            reg_events.ended(turn, identity);
        }
        changed
    }

    /// The subscriber is not registered any more since `at`; it is remembered as such for a while.
    fn deregister(&mut self, turn: &mut Turn<'_>, identity: &Aor, at: Timestamp) -> bool {
        let known = self.registrations.get_mut(identity).filter(|r| r.active);
        let Some(registration) = known else {
            return false;
        };
        registration.active = false;
        registration.since = at;
        registration.expires_at = at + self.settings.terminated_retention;
        turn.batch.put(
            Table::Registration,
            identity.as_str().as_bytes(),
            registration,
        );
        let forgotten = registration.expires_at;
        self.schedule(forgotten, identity);
        true
    }

    /// Asks for a look at an identity, unless one comes earlier: that one then asks again.
    fn schedule(&mut self, at: Timestamp, identity: &Aor) {
        if self.scheduled.get(identity).is_none_or(|&then| at < then) {
            self.scheduled.insert(identity.clone(), at);
            self.looks.at(at, identity.clone());
        }
    }

    /// A tel identity names the first SIP identity of its set: the default public identity (TS 24.229 §5.4.1.2.2F).
    /// So do the others where the operator wants one presentity for the whole set.
    fn learn_aliases(&mut self, turn: &mut Turn<'_>, associated: &[Aor]) -> BTreeSet<Aor> {
        let mut renamed = BTreeSet::new();
        let Some(default) = associated.iter().find(|aor| !aor.is_tel()) else {
            return renamed;
        };
        if let Some(before) = self.aliases.swap_remove(default) {
            // it has a set of its own now
            turn.batch.delete(Table::Alias, default.as_str().as_bytes());
            if let Some(others) = self.others.get_mut(&before) {
                others.retain(|aor| aor != default);
            }
            renamed.extend([before, default.clone()]);
        }
        let whole = self.settings.aliases == Aliases::Set;
        let members = associated.iter().filter(|aor| *aor != default);
        for alias in members
            .filter(|aor| whole || aor.is_tel())
            .take(MOST_IDENTITIES)
        {
            if self.aliases.get(alias) != Some(default) {
                renamed.extend([self.canonical(alias), default.clone()]);
                let named = self.others.swap_remove(alias).unwrap_or_default();
                for alias in named.iter().chain([alias]) {
                    turn.batch
                        .put(Table::Alias, alias.as_str().as_bytes(), &default.as_str());
                    self.set_alias(alias, default);
                }
            }
        }
        renamed
    }

    fn set_alias(&mut self, alias: &Aor, canonical: &Aor) {
        if let Some(before) = self.aliases.insert(alias.clone(), canonical.clone())
            && let Some(others) = self.others.get_mut(&before)
        {
            others.retain(|aor| aor != alias);
        }
        self.others
            .entry(canonical.clone())
            .or_default()
            .push(alias.clone());
    }

    /// When [`Registrar::on_deadline`] wants to be called next.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let subscriptions = self.reg_events.as_ref().and_then(RegEvents::next_deadline);
        [self.looks.next(), subscriptions]
            .into_iter()
            .flatten()
            .min()
    }

    /// Ends what has run out, and keeps our subscriptions alive.
    pub fn on_deadline(&mut self, turn: &mut Turn<'_>) -> Changes {
        let mut changes = self.look_at_subscriptions(turn);
        let mut due = self.looks.due(turn.now);
        due.retain(|identity| self.look(turn, identity));
        changes.changed.extend(due);
        changes
    }

    fn look(&mut self, turn: &mut Turn<'_>, identity: &Aor) -> bool {
        self.scheduled.swap_remove(identity);
        let Some(registration) = self.registrations.get(identity) else {
            return false;
        };
        let at = registration.expires_at;
        if at > turn.now {
            self.schedule(at, identity); // it was renewed
            return false;
        }
        let active = registration.active;
        if let Some(reg_events) = &mut self.reg_events {
            let vouched = reg_events.vouched_until(identity, turn.now);
            if let Some(until) = vouched.filter(|_| active) {
                self.schedule(until, identity); // its S-CSCF would tell if it were over
                return false;
            }
            reg_events.ended(turn, identity);
        }
        if active {
            // it ended when it ran out, however late that is noticed after a time of standstill
            return self.deregister(turn, identity, at);
        }
        turn.batch
            .delete(Table::Registration, identity.as_str().as_bytes());
        self.registrations.swap_remove(identity);
        true
    }

    /// Takes a registration from the store.
    pub fn recover(&mut self, key: &[u8], registration: Registration) -> Option<()> {
        let identity = Aor::parse(std::str::from_utf8(key).ok()?)?;
        self.schedule(registration.expires_at, &identity);
        self.registrations.insert(identity, registration);
        Some(())
    }

    /// Takes an alias from the store.
    pub fn recover_alias(&mut self, key: &[u8], canonical: &str) -> Option<()> {
        let alias = Aor::parse(std::str::from_utf8(key).ok()?)?;
        let canonical = Aor::parse(canonical)?;
        if alias.is_tel() || self.settings.aliases == Aliases::Set {
            self.set_alias(&alias, &canonical);
        }
        Some(())
    }
}

fn registration(request: &ThirdParty, since: Timestamp, expires_at: Timestamp) -> Registration {
    let bounded = |value: &Option<String>| {
        value
            .as_deref()
            .filter(|v| v.len() <= LONGEST_VALUE)
            .map(Into::into)
    };
    Registration {
        active: true,
        since,
        expires_at,
        scscf: bounded(&request.scscf),
        associated: request
            .associated
            .iter()
            .take(MOST_IDENTITIES)
            .map(|aor| aor.as_str().into())
            .collect(),
        service_info: bounded(&request.service_info),
        access_network: bounded(&request.access_network),
        charging: request.charging.clone(),
    }
}

/// `<service-info>` of a 3GPP IMS body, as text. Kamailio writes it unescaped, so the body need not be XML
/// (TS 24.229 §7.6); it may stand alone or in a part of multipart/mixed beside copies of the UE's REGISTER.
pub fn service_info(body: &[u8]) -> Option<String> {
    let body = std::str::from_utf8(body).ok()?;
    let (_, rest) = body.split_once("<service-info>")?;
    let (info, _) = rest.rsplit_once("</service-info>")?;
    (info.len() <= LONGEST_VALUE).then(|| info.to_owned())
}

#[cfg(test)]
mod tests;
