//! PUBLISH: the six steps of RFC 3903 §6 on the publications of one presentity, and their expiry.

use super::body::{BodyType, State};
use super::state::{Presentity, publication_key, publication_number};
use super::{Directory, Service};
use crate::event::publication::{Action, Asked, Etag, Publication, PublicationRecord, decide};
use crate::event::turn::Turn;
use crate::presence::object::Object;
use crate::presence::pidf::Contribution;
use crate::record::Table;
use crate::reject::{Reject, phrase};
use crate::sip::Aor;
use crate::time::Seconds;

/// A PUBLISH whose Request-URI, `Event` and publisher are in order.
#[derive(Debug)]
pub struct Publish<'a> {
    pub presentity: &'a Aor,
    pub asked: Asked<'a>,
    /// What `Content-Type` names; `None` when there is none.
    pub body_type: Option<BodyType<'a>>,
    pub body: &'a [u8],
}

/// What the 200 says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    pub etag: Etag,
    pub lifetime: Seconds,
}

impl Service {
    /// Processes a PUBLISH. On an error nothing has changed (RFC 3903 §6: processing is atomic).
    pub fn publish(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        request: &Publish<'_>,
    ) -> Result<Published, Reject> {
        let existing = self.presentities.get(request.presentity);
        let publications = existing
            .map(|p| p.publications.as_slice())
            .unwrap_or_default();
        let action = decide(
            turn.now,
            publications,
            &request.asked,
            &self.settings.publication,
        )?; // steps 3 and 4
        // tags are drawn at random, so that one is never given twice for a Request-URI (step 6)
        let etag = Etag(turn.random.number());
        if !matches!(action, Action::Refresh { .. }) {
            self.remember_views(turn.now, directory, request.presentity);
        }
        match action {
            Action::Create { lifetime } => {
                let state = self.state(directory, request, None)?;
                self.create(turn, directory, request, state, etag, lifetime)
            }
            Action::Replace { index, lifetime } => {
                let present = self.presentities.get(request.presentity);
                let present = present.and_then(|p| p.publications.get(index));
                let state = self.state(directory, request, present.map(|p| &p.state))?;
                self.prolong(turn, request, index, etag, lifetime, Some(state));
                self.state_changed_with_sphere(turn, directory, request.presentity);
                Ok(Published { etag, lifetime })
            }
            Action::Refresh { index, lifetime } => {
                self.prolong(turn, request, index, etag, lifetime, None);
                Ok(Published { etag, lifetime })
            }
            Action::Remove { index } => {
                self.remove(turn, request.presentity, index);
                self.state_changed_with_sphere(turn, directory, request.presentity);
                self.forget_idle(turn, request.presentity);
                Ok(Published {
                    etag,
                    lifetime: Seconds(0),
                })
            }
        }
    }

    fn create(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        request: &Publish<'_>,
        state: State<'_>,
        etag: Etag,
        lifetime: Seconds,
    ) -> Result<Published, Reject> {
        if lifetime == Seconds(0) {
            // state that is over at once: accepted, and nothing to keep or to tell
            return Ok(Published { etag, lifetime });
        }
        let limit = self.settings.publications_per_presentity;
        if self
            .presentities
            .get(request.presentity)
            .is_some_and(|p| p.publications.len() >= limit)
        {
            // 403 and not 503: the server is not full, and a 503 would turn the S-CSCF away from it
            return Err(Reject::Forbidden(phrase::TOO_MANY_PUBLICATIONS));
        }
        self.admit_strangers(turn, directory, request.presentity);
        let entry = self
            .presentities
            .entry(request.presentity.clone())
            .or_default();
        let newest = entry.publications.iter().map(|p| p.number).max();
        let number = publication_number(turn.now, turn.random.number());
        let publication = Publication {
            // of two in one millisecond the second is the newer one all the same
            number: newest.map_or(number, |newest| number.max(newest + 1)),
            etag,
            expires_at: turn.now + lifetime,
            changed_at: turn.now,
            state: state.contribution,
        };
        let key = publication_key(request.presentity, publication.number);
        turn.batch.put_bytes(Table::Body, &key, &state.document);
        put_objects(turn, &key, &[], publication.state.objects());
        turn.batch
            .put(Table::Publication, &key, &record(&publication));
        entry.publications.push(publication);
        self.publications += 1;
        self.schedule_presentity(request.presentity);
        self.state_changed_with_sphere(turn, directory, request.presentity);
        Ok(Published { etag, lifetime })
    }

    /// A new tag and a new end, and new state if there is any.
    fn prolong(
        &mut self,
        turn: &mut Turn<'_>,
        request: &Publish<'_>,
        index: usize,
        etag: Etag,
        lifetime: Seconds,
        state: Option<State<'_>>,
    ) {
        let entry = self.presentities.get_mut(request.presentity);
        let Some(publication) = entry.and_then(|p| p.publications.get_mut(index)) else {
            return;
        };
        let key = publication_key(request.presentity, publication.number);
        publication.etag = etag;
        publication.expires_at = turn.now + lifetime;
        if let Some(state) = state {
            let before = publication.state.objects();
            put_objects(turn, &key, before, state.contribution.objects());
            publication.state = state.contribution;
            publication.changed_at = turn.now;
            turn.batch.put_bytes(Table::Body, &key, &state.document);
        }
        turn.batch
            .put(Table::Publication, &key, &record(publication));
        self.schedule_presentity(request.presentity);
    }

    fn remove(&mut self, turn: &mut Turn<'_>, presentity: &Aor, index: usize) {
        let Some(entry) = self.presentities.get_mut(presentity) else {
            return;
        };
        let publication = entry.publications.remove(index);
        let key = publication_key(presentity, publication.number);
        turn.batch.delete(Table::Publication, &key);
        turn.batch.delete(Table::Body, &key);
        put_objects(turn, &key, publication.state.objects(), &[]);
        self.publications -= 1;
    }

    /// Ends the publications whose time is over; their contribution disappears and watchers are told.
    pub(super) fn expire_publications(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        presentity: &Aor,
    ) {
        let now = turn.now;
        let over = |entry: &Presentity| entry.publications.iter().position(|p| p.expires_at <= now);
        if self
            .presentities
            .get(presentity)
            .is_some_and(|entry| over(entry).is_some())
        {
            self.remember_views(now, directory, presentity);
        }
        let mut changed = false;
        while let Some(index) = self.presentities.get(presentity).and_then(over) {
            self.remove(turn, presentity, index);
            changed = true;
        }
        if changed {
            self.state_changed_with_sphere(turn, directory, presentity);
        }
        self.schedule_presentity(presentity);
        self.forget_idle(turn, presentity);
    }
}

/// Writes the objects of a publication where they are not those that it had.
fn put_objects(turn: &mut Turn<'_>, key: &[u8], before: &[Object], after: &[Object]) {
    if before == after {
        return;
    }
    if after.is_empty() {
        turn.batch.delete(Table::Objects, key);
    } else {
        turn.batch.put(Table::Objects, key, &after);
    }
}

fn record(publication: &Publication<Contribution>) -> PublicationRecord {
    PublicationRecord {
        etag: publication.etag,
        expires_at: publication.expires_at,
        changed_at: publication.changed_at,
    }
}
