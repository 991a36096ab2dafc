//! What a subscriber to a list knows of it, over full and partial NOTIFYs (RFC 4662 §4.6, §5.6).

use super::list::Name;
use super::reading::{Instance, Level, Phase, Resource, Told};
use crate::event::onlooker::Content;
use std::collections::BTreeMap;

/// The table of one list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    /// Of the NOTIFY that was taken last.
    version: Option<u32>,
    uri: Box<str>,
    names: Vec<Name>,
    /// By URI, as it is written.
    rows: BTreeMap<Box<str>, Row>,
}

/// What is known of one resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    pub names: Vec<Name>,
    /// By their ids.
    pub instances: BTreeMap<Box<str>, Known>,
}

/// What is known of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub phase: Phase,
    pub reason: Option<Box<str>>,
    pub state: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Not told.
    Nothing,
    /// As the package carries it; what came last, which may build on what came before (§4.6).
    State(Content),
    /// The resource is a list.
    List(Box<Picture>),
}

/// What came of a NOTIFY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is not newer than what is known: nothing of it counts.
    Stale,
    /// It counts. `lost`: one before it has not come, so the subscriber SHOULD ask for the whole by a refresh.
    /// `changed` are the resources that it speaks of, of this level.
    News { lost: bool, changed: Vec<Box<str>> },
}

impl Picture {
    /// URI of the list; empty before the first NOTIFY.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    pub fn names(&self) -> &[Name] {
        &self.names
    }

    pub fn version(&self) -> Option<u32> {
        self.version
    }

    pub fn row(&self, uri: &str) -> Option<&Row> {
        self.rows.get(uri)
    }

    /// All resources, by their URIs.
    pub fn rows(&self) -> impl Iterator<Item = (&str, &Row)> {
        self.rows.iter().map(|(uri, row)| (&**uri, row))
    }

    /// Takes what a NOTIFY says.
    pub fn take(&mut self, level: Level) -> Taken {
        let expected = self.version.map(|version| version.checked_add(1));
        let lost = match (level.full, expected) {
            // §5.6.1, §5.6.2: a version that is not higher is discarded
            (_, Some(None)) => return Taken::Stale,
            (_, Some(Some(next))) if level.version < next => return Taken::Stale,
            (true, _) => false, // says all, whatever came or did not come before
            (false, Some(Some(next))) => level.version > next,
            (false, None) => true, // §5.2: the first MUST contain full state
        };
        self.version = Some(level.version);
        self.uri = level.uri;
        // §5.6.1: full state flushes the table; lists in it have versions and tables of their own (§4.6)
        let mut before = match level.full {
            true => std::mem::take(&mut self.rows),
            false => BTreeMap::new(),
        };
        if level.full || !level.names.is_empty() {
            self.names = level.names;
        }
        let mut lost = lost;
        let mut changed = Vec::with_capacity(level.resources.len());
        for resource in level.resources {
            let Resource {
                uri,
                names,
                instances,
            } = resource;
            if let Some(row) = before.remove(&uri) {
                self.rows.insert(uri.clone(), row.lists());
            }
            let row = self.rows.entry(uri.clone()).or_default();
            lost |= row.take(names, instances, level.full);
            changed.push(uri);
        }
        Taken::News { lost, changed }
    }
}

impl Row {
    /// What outlives a flush: the tables of lists.
    fn lists(mut self) -> Row {
        self.instances
            .retain(|_, known| matches!(known.state, What::List(_)));
        self
    }

    /// True when a NOTIFY on a list within was lost.
    fn take(&mut self, names: Vec<Name>, instances: Vec<Instance>, full: bool) -> bool {
        if full || !names.is_empty() {
            self.names = names;
        }
        let mut lost = false;
        let mut before = std::mem::take(&mut self.instances);
        let none = instances.is_empty();
        for instance in instances {
            let known = before.remove(&instance.id).map(|known| known.state);
            let state = match (instance.told, known) {
                (Some(Told::State(content)), _) => What::State(content),
                (Some(Told::List(level)), known) => {
                    let mut picture = match known {
                        Some(What::List(picture)) => picture,
                        _ => Box::default(),
                    };
                    lost |= matches!(picture.take(*level), Taken::News { lost: true, .. });
                    What::List(picture)
                }
                (None, Some(known)) if instance.phase == Phase::Active => known,
                (None, _) => What::Nothing,
            };
            let known = Known {
                phase: instance.phase,
                reason: instance.reason,
                state,
            };
            self.instances.insert(instance.id, known);
        }
        // other instances of the resource are as they were, unless the resource is said to have none
        if !full && !none {
            self.instances.append(&mut before);
        }
        lost
    }
}

#[cfg(test)]
mod tests;
