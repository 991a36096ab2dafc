//! Who is registered in the IMS, learnt from third-party REGISTER (TS 24.229 §5.4.1.7, §5.7.1.1), and which
//! identities name the same subscriber.
//!
//! The key is the identity in `To`: Kamailio sends every third-party REGISTER with a new Call-ID and the same
//! CSeq. `Expires: 0` is all that a de-registration says, even while another contact is still registered, and
//! one by the network says nothing at all; the reg event package tells more, and is not consulted yet.

pub mod reginfo;

use crate::event::deadlines::Deadlines;
use crate::event::turn::Turn;
use crate::isc::Charging;
use crate::record::Table;
use crate::reject::Reject;
use crate::sip::Aor;
use crate::time::{Seconds, Timestamp};
use indexmap::IndexMap;
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
    /// `tel:` identity to the subscriber's SIP identity.
    aliases: IndexMap<Aor, Aor, ahash::RandomState>,
    /// The same the other way round.
    others: IndexMap<Aor, Vec<Aor>, ahash::RandomState>,
    looks: Deadlines<Aor>,
    /// When a look at an identity is scheduled; one entry at a time, however often it is refreshed.
    scheduled: IndexMap<Aor, Timestamp, ahash::RandomState>,
}

impl Registrar {
    pub fn new(settings: Settings, hash: ahash::RandomState) -> Registrar {
        Registrar {
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

    /// The identity under which a subscriber's state is kept: SIP for a tel identity of a known set.
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
            let now = turn.now;
            return Ok(Taken {
                lifetime,
                changed: self.deregister(turn, &request.identity, now),
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
    fn learn_aliases(&mut self, turn: &mut Turn<'_>, associated: &[Aor]) -> BTreeSet<Aor> {
        let mut renamed = BTreeSet::new();
        let Some(default) = associated.iter().find(|aor| !aor.is_tel()) else {
            return renamed;
        };
        for tel in associated
            .iter()
            .filter(|aor| aor.is_tel())
            .take(MOST_IDENTITIES)
        {
            if self.aliases.get(tel) != Some(default) {
                turn.batch
                    .put(Table::Alias, tel.as_str().as_bytes(), &default.as_str());
                renamed.extend([self.canonical(tel), default.clone()]);
                self.set_alias(tel, default);
            }
        }
        renamed
    }

    fn set_alias(&mut self, tel: &Aor, canonical: &Aor) {
        if let Some(before) = self.aliases.insert(tel.clone(), canonical.clone())
            && let Some(others) = self.others.get_mut(&before)
        {
            others.retain(|aor| aor != tel);
        }
        self.others
            .entry(canonical.clone())
            .or_default()
            .push(tel.clone());
    }

    /// When [`Registrar::on_deadline`] wants to be called next.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.looks.next()
    }

    /// Ends what has run out; gives the identities whose state changed.
    pub fn on_deadline(&mut self, turn: &mut Turn<'_>) -> Vec<Aor> {
        let mut due = self.looks.due(turn.now);
        due.retain(|identity| self.look(turn, identity));
        due
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
        if registration.active {
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
        let tel = Aor::parse(std::str::from_utf8(key).ok()?)?;
        self.set_alias(&tel, &Aor::parse(canonical)?);
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
