//! What the S-CSCF says of registrations beside its third-party REGISTER, taken over into the same state.

use super::reg_event::{News, Notify, Record, RegEvents, Source};
use super::{Registrar, Registration, ThirdParty};
use crate::event::subscriber::{Answer, Order};
use crate::event::subscription::SubscriptionId;
use crate::event::turn::{Ticket, Turn};
use crate::record::Table;
use crate::reject::Reject;
use crate::sip::{Aor, Request};
use crate::time::{Seconds, Timestamp};
use std::collections::BTreeSet;

/// What became different.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Identities that are registered now and were not, or the other way round.
    pub changed: BTreeSet<Aor>,
    /// Subscribers who gained or lost an identity.
    pub renamed: BTreeSet<Aor>,
}

impl Registrar {
    /// Subscriptions by which registrations are followed.
    pub fn followed(&self) -> usize {
        self.reg_events.as_ref().map_or(0, RegEvents::len)
    }

    /// Follows the registration that a REGISTER has just shown; `as_uri`: us, as it named us.
    pub fn follow(
        &mut self,
        turn: &mut Turn<'_>,
        request: &ThirdParty,
        as_uri: &str,
        lifetime: Seconds,
        fresh: bool,
    ) -> Changes {
        let (Some(reg_events), Some(scscf)) = (&mut self.reg_events, &request.scscf) else {
            return Changes::default();
        };
        let source = Source {
            scscf,
            as_uri,
            lifetime,
            charging: &request.charging,
        };
        let news = reg_events.registered(turn, &request.identity, &source, fresh);
        self.take_over(turn, news, None)
    }

    /// Whether a NOTIFY with this dialog tag is in order in a subscription of ours.
    pub fn order(&self, id: SubscriptionId, request: &Request<'_>) -> Result<Order, Reject> {
        let reg_events = self.reg_events.as_ref().ok_or(Reject::NoDialog)?;
        reg_events.order(id, request)
    }

    /// Takes over a NOTIFY that is in order.
    pub fn notified(
        &mut self,
        turn: &mut Turn<'_>,
        notify: &Notify<'_>,
    ) -> Result<Changes, Reject> {
        let reg_events = self.reg_events.as_mut().ok_or(Reject::NoDialog)?;
        let key = reg_events.resource(notify.id).cloned();
        let news = reg_events.notified(turn, notify)?;
        let mut changes = self.take_over(turn, news, key.as_ref());
        let told = notify.document.as_ref().map(|d| d.registrations.as_slice());
        let active = told.unwrap_or_default().iter();
        let active: Vec<Aor> = active
            .filter(|r| r.state == super::reginfo::State::Active)
            .map(|r| r.aor.clone())
            .collect();
        if let Some(key) = key.filter(|key| active.contains(key)) {
            let set = self.set_of(&key, active);
            changes.renamed.extend(self.learn_aliases(turn, &set));
        }
        Ok(changes)
    }

    /// The identities of a set, the default one first (TS 24.229 §5.4.1.2.2F): as P-Associated-URI had it, since
    /// registration information names none.
    fn set_of(&self, key: &Aor, active: Vec<Aor>) -> Vec<Aor> {
        let associated = self.registrations.get(key).map(|r| r.associated.as_slice());
        let associated = associated.unwrap_or_default().iter();
        let named = associated
            .filter_map(|text| Aor::parse(text))
            .find(|aor| !aor.is_tel());
        let sip = || active.iter().find(|aor| !aor.is_tel()).cloned();
        let own = Some(self.canonical(key)).filter(|aor| !aor.is_tel());
        let default = named.or(own).or_else(sip);
        default.into_iter().chain(active).collect()
    }

    /// The final response to a SUBSCRIBE of ours came, or none did (408).
    pub fn answered(&mut self, turn: &mut Turn<'_>, ticket: Ticket, answer: &Answer) -> Changes {
        let Some(reg_events) = &mut self.reg_events else {
            return Changes::default();
        };
        let news = reg_events.answered(turn, ticket, answer);
        self.take_over(turn, news, None)
    }

    /// Refreshes, ends and new attempts of our subscriptions that are due.
    pub(super) fn look_at_subscriptions(&mut self, turn: &mut Turn<'_>) -> Changes {
        let Some(reg_events) = &mut self.reg_events else {
            return Changes::default();
        };
        let news = reg_events.on_deadline(turn);
        self.take_over(turn, news, None)
    }

    fn take_over(&mut self, turn: &mut Turn<'_>, news: Vec<News>, key: Option<&Aor>) -> Changes {
        let mut changes = Changes::default();
        for news in news {
            match news {
                News::Active { identity, until } => {
                    if self.told_active(turn, &identity, until, key) {
                        changes.changed.insert(identity);
                    }
                }
                News::Ended { identity } => {
                    let now = turn.now;
                    if self.deregister(turn, &identity, now) {
                        changes.changed.insert(identity);
                    }
                }
                News::Unvouched { identity } => {
                    let ends = self.registrations.get(&identity).map(|r| r.expires_at);
                    if let Some(ends) = ends {
                        self.schedule(ends.max(turn.now), &identity);
                    }
                }
            }
        }
        changes
    }

    /// The S-CSCF says that the identity is registered: the end moves, and one that was not known is.
    fn told_active(
        &mut self,
        turn: &mut Turn<'_>,
        identity: &Aor,
        until: Timestamp,
        key: Option<&Aor>,
    ) -> bool {
        let longest = turn.now + self.settings.max_expires;
        let until = until.min(longest);
        let full = self.registrations.len() >= self.settings.capacity;
        let source = key.and_then(|key| self.registrations.get(key)).cloned();
        let known = self.registrations.get(identity).cloned();
        let mut registration = match (known, source) {
            (Some(known), _) => known,
            (None, Some(source)) if !full => Registration {
                active: false,
                service_info: None,
                ..source
            },
            _ => return false, // beyond the capacity, or nobody's
        };
        let was_active = registration.active;
        if was_active && until <= registration.expires_at {
            return false;
        }
        if !was_active {
            registration.active = true;
            registration.since = turn.now;
            registration.expires_at = turn.now;
        }
        registration.expires_at = registration.expires_at.max(until);
        turn.batch.put(
            Table::Registration,
            identity.as_str().as_bytes(),
            &registration,
        );
        self.schedule(registration.expires_at, identity);
        self.registrations.insert(identity.clone(), registration);
        !was_active
    }

    /// Takes a followed registration from the store.
    pub fn recover_followed(&mut self, key: &[u8], record: Record) -> Option<()> {
        let identity = Aor::parse(std::str::from_utf8(key).ok()?)?;
        match &mut self.reg_events {
            Some(reg_events) => reg_events.recover(&identity, record),
            None => self.unfollowed.push(identity),
        }
        Some(())
    }

    /// Everything is read. Where registrations are not followed any more, what is left of it is deleted.
    pub fn recovered(&mut self, now: Timestamp, batch: &mut crate::record::Batch) {
        if let Some(reg_events) = &mut self.reg_events {
            let registrations = &self.registrations;
            reg_events.recovered(now, &|aor| registrations.contains_key(aor), batch);
        }
        for identity in std::mem::take(&mut self.unfollowed) {
            batch.delete(Table::RegEvent, identity.as_str().as_bytes());
        }
    }
}
