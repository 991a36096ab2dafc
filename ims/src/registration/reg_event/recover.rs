//! Followed registrations in the store: each goes on in its dialog after a restart, or is subscribed to anew, paced.

use super::{Entry, RegEvents};
use crate::dialog::Dialog;
use crate::event::subscriber::{Backoff, Subscriber};
use crate::event::subscription::SubscriptionId;
use crate::event::turn::Turn;
use crate::isc::Charging;
use crate::record::{Batch, Table};
use crate::registration::reginfo::Tables;
use crate::sip::Aor;
use crate::time::{Millis, Seconds, Timestamp};
use serde::{Deserialize, Serialize};

/// New attempts after a restart leave one in each such step: a hundred a second.
const SPREAD: Millis = Millis(10);

/// A followed registration as stored. Key: the identity that is subscribed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    scscf: Box<str>,
    as_uri: Box<str>,
    lifetime: Seconds,
    charging: Charging,
    /// Our tag, lifetime asked for, end and dialog of the subscription that is open.
    open: Option<(SubscriptionId, Seconds, Timestamp, Dialog)>,
    tables: Tables,
    doubts: Vec<(Aor, Timestamp)>,
}

impl RegEvents {
    pub(super) fn store(&self, turn: &mut Turn<'_>, key: &Aor) {
        let Some(entry) = self.entries.get(key) else {
            return;
        };
        let open = entry.subscriber.as_ref().and_then(|s| {
            let dialog = s.dialog()?.clone();
            Some((s.id, s.lifetime(), s.expires_at(), dialog))
        });
        let record = Record {
            scscf: entry.scscf.clone(),
            as_uri: entry.as_uri.clone(),
            lifetime: entry.lifetime,
            charging: entry.charging.clone(),
            open,
            tables: entry.tables.clone(),
            doubts: entry.doubts.clone(),
        };
        turn.batch
            .put(Table::RegEvent, key.as_str().as_bytes(), &record);
    }

    /// Takes a followed registration from the store.
    pub fn recover(&mut self, identity: &Aor, record: Record) {
        let subscriber = record.open.map(|(id, lifetime, ends, dialog)| {
            self.ids.insert(id, identity.clone());
            let timer_n = self.settings.timer_n;
            Subscriber::recover(id, dialog, lifetime, ends, timer_n)
        });
        let entry = Entry {
            scscf: record.scscf,
            as_uri: record.as_uri,
            lifetime: record.lifetime,
            charging: record.charging,
            subscriber,
            retry_at: None,
            backoff: Backoff::default(),
            tables: record.tables,
            older: 0,
            doubts: record.doubts,
            registered_at: None,
            ask_again_at: None,
            look_at: None,
            orphan: false,
        };
        self.entries.insert(identity.clone(), entry);
        self.cover(identity);
    }

    /// Everything is read: what is open goes on, the rest is asked for again, one after the other, while its identity
    /// `is_registered`.
    pub fn recovered(
        &mut self,
        now: Timestamp,
        is_registered: &dyn Fn(&Aor) -> bool,
        batch: &mut Batch,
    ) {
        let mut at = now;
        let keys: Vec<Aor> = self.entries.keys().cloned().collect();
        for key in keys {
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.orphan = !is_registered(&key);
                match &mut entry.subscriber {
                    Some(subscriber) if subscriber.expires_at() > now => subscriber.resume(now),
                    lost if entry.orphan => {
                        if let Some(old) = lost.take() {
                            self.ids.swap_remove(&old.id);
                        }
                        self.uncover(&key);
                        self.entries.swap_remove(&key);
                        batch.delete(Table::RegEvent, key.as_str().as_bytes());
                    }
                    lost => {
                        at = at + SPREAD;
                        entry.retry_at = Some(at);
                        if let Some(old) = lost.take() {
                            self.ids.swap_remove(&old.id);
                        }
                        self.unvouched(&key);
                    }
                }
            }
            self.schedule(&key);
        }
    }
}
