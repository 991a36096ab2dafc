//! The node after a restart: records of the store become state again.

use super::credit::LAST_CHARGE;
use super::directory::permanent;
use super::overrides::Imposed;
use super::settled::{SETTLE_EVERY, SETTLED};
use super::xcap_diff::store;
use super::{Node, Outbox};
use crate::charge;
use crate::presence::service::{
    self as presence, Bodies, RecoveredFilters, RecoveredVisits, RecoveredWishes,
};
use crate::record::{FORMAT, Table, decode};
use crate::rls::service as rls;
use crate::sip::Aor;
use crate::time::Timestamp;
use crate::xdm::diff::Recovered;
use crate::xdm::usage::rls_services::AUID;
use crate::xdm::{Document, DocumentKey};
use std::collections::BTreeSet;

/// Takes records in the order of [`Table::ALL`], keys ascending.
#[derive(Debug, Default)]
pub struct Recovery {
    bodies: Bodies,
    wishes: RecoveredWishes,
    filters: RecoveredFilters,
    visits: RecoveredVisits,
    diff: Recovered,
    lists: rls::Recovered,
    /// The store holds the key of entity-tags.
    has_tag_key: bool,
    settled: Timestamp,
    /// Records taken.
    pub records: usize,
    /// Records that are not what their table holds; they are left alone and told to the operator.
    pub unreadable: usize,
    /// NOTIFYs owed since before the restart.
    pub owed: usize,
    /// Charging events that no CDF has acknowledged.
    pub charging: usize,
}

impl Node {
    /// Takes one record.
    pub fn recover(&mut self, recovery: &mut Recovery, table: Table, key: &[u8], value: &[u8]) {
        recovery.records += 1;
        if !self.take(recovery, table, key, value) {
            recovery.unreadable += 1;
        }
    }

    fn take(&mut self, recovery: &mut Recovery, table: Table, key: &[u8], value: &[u8]) -> bool {
        match table {
            Table::Node if key == SETTLED => {
                decode(value).map(|at| recovery.settled = at).is_some()
            }
            Table::Node if key == TAG_KEY => self.recover_tag_key(recovery, value),
            Table::Node if key == LAST_CHARGE => self.credits.recover_mark(value),
            Table::Node => true,
            Table::Document => self.recover_document(key, value),
            Table::Modified => DocumentKey::decode(key)
                .zip(decode(value))
                .map(|(key, at)| self.directory.modified.insert(key, at))
                .is_some(),
            Table::PermanentSince => DocumentKey::decode(key)
                .zip(decode(value))
                .map(|(key, at)| self.directory.permanent.insert(key, at))
                .is_some(),
            Table::Override => decode::<Imposed>(value)
                .and_then(|imposed| self.directory.overrides.recover(key, imposed))
                .is_some(),
            Table::RemoteCopy => {
                decode(value).is_some_and(|record| self.directory.remote.recover(key, record))
            }
            Table::Registration => decode(value)
                .and_then(|record| self.directory.registrar.recover(key, record))
                .is_some(),
            Table::Alias => decode::<Box<str>>(value)
                .and_then(|to| self.directory.registrar.recover_alias(key, &to))
                .is_some(),
            Table::RegEvent => decode(value)
                .and_then(|record| self.directory.registrar.recover_followed(key, record))
                .is_some(),
            Table::Body => self.presence.recover_body(&mut recovery.bodies, key, value),
            Table::Objects => decode(value).is_some_and(|objects| {
                presence::Service::recover_objects(&mut recovery.bodies, key, objects)
            }),
            Table::Publication => decode(value).is_some_and(|record| {
                self.presence
                    .recover_publication(&mut recovery.bodies, key, record)
            }),
            Table::Touched => {
                decode(value).is_some_and(|at| self.presence.recover_touched(key, at))
            }
            Table::Watched => {
                decode(value).is_some_and(|at| self.presence.recover_watched(key, at))
            }
            Table::Visit => decode(value).is_some_and(|visit| recovery.visits.insert(key, visit)),
            Table::Wishes => {
                decode(value).is_some_and(|wishes| recovery.wishes.insert(key, wishes))
            }
            Table::Filters => {
                decode(value).is_some_and(|texts| recovery.filters.insert(key, texts))
            }
            Table::Subscription => decode(value).is_some_and(|record| {
                let (visits, wishes) = (&mut recovery.visits, &mut recovery.wishes);
                self.presence
                    .recover_subscription((visits, wishes), key, record)
            }),
            Table::Held => self.presence.recover_waiting(key),
            Table::DiffTouched => {
                decode(value).is_some_and(|touched| self.diff.recover_touched(key, touched))
            }
            Table::DiffSubscription => {
                decode(value).is_some_and(|record| recovery.diff.insert(key, record))
            }
            Table::ListWishes => {
                decode(value).is_some_and(|wishes| recovery.lists.wishes(key, wishes))
            }
            Table::ListVersion => decode(value).is_some_and(|told| recovery.lists.told(key, told)),
            Table::ListSubscription => {
                decode(value).is_some_and(|record| recovery.lists.subscription(key, record))
            }
            Table::BackEnd => decode(value)
                .and_then(|record| self.back_ends.recover(key, record))
                .is_some(),
            Table::Coalesced
            | Table::ChargingEmitted
            | Table::ChargingSettled
            | Table::ChargingEnded
            | Table::Credit
            | Table::Unpaid
            | Table::UnpaidAsked
            | Table::CreditAccounts
            | Table::CreditSession
            | Table::SubscriptionPayer
            | Table::ChargingName
            | Table::Charging
            | Table::Quarantine => self.recover_charging(recovery, table, key, value),
        }
    }

    fn recover_tag_key(&mut self, recovery: &mut Recovery, value: &[u8]) -> bool {
        let Some(key) = decode(value) else {
            return false;
        };
        recovery.has_tag_key = true;
        self.presence.recover_tag_key(key);
        self.diff.recover_tag_key(key);
        self.back_ends.recover_tag_key(key);
        self.lists.recover_tag_key(key);
        true
    }

    fn recover_document(&mut self, key: &[u8], value: &[u8]) -> bool {
        let (Some(key), Some(document)) = (DocumentKey::decode(key), Document::decode(value))
        else {
            return false;
        };
        if key.auid == permanent::AUID {
            // since when is in a table of its own, read behind this one
            let since = Timestamp::default();
            self.directory.permanent.insert(key.clone(), since);
        }
        if key.auid == AUID {
            self.directory.services.changed(&key, Some(&document));
        }
        self.directory.documents.insert(key, document);
        true
    }

    fn recover_charging(
        &mut self,
        recovery: &mut Recovery,
        table: Table,
        key: &[u8],
        value: &[u8],
    ) -> bool {
        match table {
            Table::Coalesced => self.ledger.recover_open(key, value),
            Table::ChargingEmitted => self.ledger.recover_count(key, value),
            Table::Charging | Table::Quarantine => {
                let Ok(number) = <[u8; 8]>::try_from(key).map(u64::from_be_bytes) else {
                    return false;
                };
                self.ledger.skip_past(number);
                recovery.charging += usize::from(table == Table::Charging);
                true
            }
            Table::Credit | Table::Unpaid => {
                let number = key.first_chunk().copied().map(u64::from_be_bytes);
                number.map(|n| self.credits.skip_past(n)).is_some() // the rest is the credit thread's
            }
            Table::CreditSession => self.recover_session(key, value),
            Table::SubscriptionPayer => self.ledger.payers.recover(key, value),
            _ => true, // what became of events is the charging thread's own
        }
    }

    /// Above every number that a charging event or a charge of an earlier run has.
    pub fn first_charge(&self) -> u64 {
        self.ledger.next().max(self.credits.next())
    }

    /// What presence shows of registrations: known when every identity and alias is read.
    fn recover_registrations(&mut self) {
        for subscriber in self.directory.registrar.subscribers() {
            let registered = self.registered(&subscriber);
            self.presence.recover_registration(&subscriber, registered);
        }
    }

    /// Permanent state is composed with the rest, under the name that the registrations say is the first.
    fn recover_permanent(&mut self) {
        let owners: BTreeSet<Aor> = self
            .directory
            .permanent
            .keys()
            .chain(self.directory.remote.keys())
            .filter_map(DocumentKey::owner)
            .map(|owner| self.directory.registrar.canonical(owner))
            .collect();
        for owner in owners {
            self.presence.take_permanent(&self.directory, &owner);
        }
    }

    /// Everything is read: writes the format, schedules what is due and owes what was not delivered.
    pub fn recovered(&mut self, now: Timestamp, recovery: &mut Recovery, out: &mut Outbox) {
        self.directory.remote.recovered(now, &mut out.batch);
        self.back_ends.recovered(now, &mut out.batch);
        self.recover_registrations();
        self.recover_permanent();
        self.directory.registrar.recovered(now, &mut out.batch);
        // set back since, the clock would make changes from now on look older than the mark, hence told
        let settled = recovery.settled.min(now);
        if settled < recovery.settled {
            out.batch.put(Table::Node, SETTLED, &settled);
        }
        let filters = &mut recovery.filters;
        recovery.owed = self
            .presence
            .recovered(now, settled, &self.directory, filters);
        recovery.owed += self.diff.recovered(
            now,
            settled,
            &store(&self.settings, &self.directory),
            &mut recovery.diff,
            &mut out.batch,
        );
        recovery.owed += self.lists.recovered(now, settled, &mut recovery.lists);
        self.credits.recovered(now);
        self.recovered_sessions(now, out);
        self.recovered_payers(out);
        self.settled = settled;
        self.settle_at = now + SETTLE_EVERY;
        out.batch.put(Table::Node, FORMAT_KEY, &FORMAT);
        if !recovery.has_tag_key {
            out.batch
                .put(Table::Node, TAG_KEY, &self.presence.tag_key());
        }
        // charging numbers used and acknowledged before the restart are not in the store: start a new range
        self.ledger
            .skip_past(charge::first_of(now).saturating_sub(1));
        self.remote_step(now, out);
    }
}

/// Key of the format record in [`Table::Node`].
pub const FORMAT_KEY: &[u8] = b"format";
/// Key of the secret of entity-tags in [`Table::Node`].
const TAG_KEY: &[u8] = b"tag-key";
