//! A document was put, changed or deleted: who is told of it, and what (RFC 5875 §4.7).

use super::component::{Component, Value};
use super::pending::{Change, Pending, Version, Was};
use super::{Service, Store};
use crate::event::subscription::{End, Input, State, SubscriptionId};
use crate::event::turn::Turn;
use crate::xdm::{Document, DocumentKey};
use std::sync::Arc;

/// Components of one document whose change is worked out once for all who watch them; others cost a walk each.
const SHARED: usize = 64;

/// A component before and after a change.
type Moved = (Option<Arc<Value>>, Option<Arc<Value>>);

/// Both versions of a document, read at the first need.
struct Reader<'a> {
    change: &'a Change,
    read: Option<[Option<roxmltree::Document<'a>>; 2]>,
    known: Vec<(Component, Moved)>,
}

impl<'a> Reader<'a> {
    fn moved(&mut self, component: &Component) -> Moved {
        if let Some((_, moved)) = self.known.iter().find(|(own, _)| own == component) {
            return moved.clone();
        }
        let change = self.change;
        let [before, after] = self.read.get_or_insert_with(|| {
            [&change.from, &change.to].map(|version| {
                let bytes = version.as_ref()?.bytes.as_deref()?;
                component.read(bytes)
            })
        });
        let find = |document: &Option<roxmltree::Document<'_>>| {
            document.as_ref().and_then(|d| component.find(d))
        };
        let moved = (find(before), find(after));
        if self.known.len() < SHARED {
            self.known.push((component.clone(), moved.clone()));
        }
        moved
    }
}

impl Service {
    /// Tells of a change, in the same batch. `old` and `new`: the document before and after it.
    pub fn changed(
        &mut self,
        turn: &mut Turn<'_>,
        store: &Store<'_>,
        key: &DocumentKey,
        (old, new): (Option<&Document>, Option<&Document>),
    ) {
        let watchers = self.index.of(key);
        if watchers.is_empty() || old.map(|d| &d.etag) == new.map(|d| &d.etag) {
            return;
        }
        self.changes += 1;
        let change = Change {
            number: self.changes,
            key: key.clone(),
            from: old.map(Version::of),
            to: new.map(Version::of),
        };
        self.touch(turn, &change);
        let mut reader = Reader {
            change: &change,
            read: None,
            known: Vec::new(),
        };
        for id in watchers {
            if !self.owe(store, id, &mut reader) {
                continue;
            }
            let owed = self.subscriptions.get(&id).map(|s| &s.owed);
            if owed.is_some_and(Pending::is_too_much) {
                // told to come again, it begins anew with the state as it is then
                self.end(turn, store, id, Input::Leaving(End::Deactivated));
            } else {
                self.show(turn, store, id);
            }
        }
    }

    /// Notes what a subscriber is owed of a change; `false`: nothing.
    fn owe(&mut self, store: &Store<'_>, id: SubscriptionId, reader: &mut Reader<'_>) -> bool {
        let most = store.settings().max_changes;
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return false;
        };
        let change = reader.change;
        let told = subscription.record.state == State::Active && !subscription.is_quenched();
        // RFC 5875 §7: "notifiers MUST obey the XCAP authorization rules when signalling resource changes"
        if !told || !store.may_read(&subscription.identity, &change.key) {
            return false;
        }
        if subscription.sel(&change.key).is_some() {
            let mode = subscription.record.mode;
            subscription.owed.add(mode, change, most);
        }
        let moved: Vec<(usize, Option<Arc<Value>>)> = subscription
            .components()
            .filter(|(_, component)| component.key == change.key)
            .filter_map(|(at, component)| {
                let (before, after) = reader.moved(component);
                (before != after).then_some((at, before))
            })
            .collect();
        for (at, before) in moved {
            let told = &mut subscription.owed.components;
            told.entry(at).or_insert(Was::Told(before));
        }
        !subscription.owed.is_empty()
    }
}
