//! Changes of documents on other XDMSs as these tell them: subscriptions of ours to the `xcap-diff` package (RFC 5875), one
//! for each XDMS and user whose documents are in use.

use super::changes::{self, Change};
use super::settings::{Server, below_root};
use crate::event::subscriber::{Answer, Backoff, Ended, Next, Order, Own, Subscriber, Terms};
use crate::event::subscription::SubscriptionId;
use crate::event::turn::{Ticket, Turn};
use crate::reject::Reject;
use crate::sip::header::subscription_state::SubscriptionState;
use crate::sip::{Aor, Request};
use crate::time::{Millis, Seconds, Timestamp};
use crate::xdm::key::DocumentKey;
use crate::xml::text::escaped;
use indexmap::IndexMap;
use std::collections::BTreeSet;

/// The package. Entity-tags are enough: a changed document is got whole (RFC 5875 §4.3).
pub const PACKAGE: &str = "xcap-diff";
const EVENT: &str = "xcap-diff;diff-processing=no-patching";
/// Lifetime asked for (RFC 5875 §4.5).
const LIFETIME: Seconds = Seconds(3600);
/// Pause after which a notifier that has failed often is asked again.
const GIVEN_UP: Seconds = Seconds(3600);
/// Documents named in one subscription; what is above it is polled.
const MOST: usize = 64;

/// A NOTIFY, taken apart.
#[derive(Debug)]
pub struct Notify<'a> {
    /// Our dialog tag.
    pub id: SubscriptionId,
    pub request: &'a Request<'a>,
    pub state: SubscriptionState<'a>,
    /// `None` without a body.
    pub changes: Option<Vec<Change>>,
}

/// What a NOTIFY says.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub changes: Vec<Change>,
    /// Documents of which a notifier that tells of everything said nothing.
    pub unnamed: Vec<DocumentKey>,
    /// The subscription is over: these are asked for by polling from now on.
    pub left: Vec<DocumentKey>,
}

/// Number of the XDMS, and the user.
pub(super) type Place = (usize, Aor);

#[derive(Debug, Default)]
struct Following {
    documents: BTreeSet<DocumentKey>,
    subscriber: Option<Subscriber>,
    retry_at: Option<Timestamp>,
    backoff: Backoff,
    /// The notifier knows of other documents than these.
    outdated: bool,
    /// The next NOTIFY tells of every document.
    full: bool,
    /// It waits for its last NOTIFY.
    ending: bool,
    look_at: Option<Timestamp>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Follows {
    own: Own,
    timer_n: Millis,
    all: IndexMap<Place, Following, ahash::RandomState>,
    ids: IndexMap<SubscriptionId, Place, ahash::RandomState>,
    /// Places to be looked at, and when.
    looks: Vec<(Timestamp, Place)>,
}

impl Follows {
    pub fn new(own: Own, timer_n: Millis, hash: ahash::RandomState) -> Follows {
        Follows {
            own,
            timer_n,
            all: IndexMap::with_hasher(hash.clone()),
            ids: IndexMap::with_hasher(hash),
            looks: Vec::new(),
        }
    }

    /// Whether a dialog tag is one of ours.
    pub fn owns(&self, id: SubscriptionId) -> bool {
        self.ids.contains_key(&id)
    }

    /// Subscriptions that are asked for or open.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Looks that have been asked for since the last call.
    pub fn take_looks(&mut self) -> Vec<(Timestamp, Place)> {
        std::mem::take(&mut self.looks)
    }

    /// Whether the XDMS would tell if this document changed.
    pub fn covers(&self, server: usize, key: &DocumentKey) -> bool {
        let place = key.owner().map(|owner| (server, owner.clone()));
        let following = place.and_then(|place| self.all.get(&place));
        following.is_some_and(|f| {
            let active = f.subscriber.as_ref().is_some_and(Subscriber::is_active);
            active && !f.outdated && f.documents.contains(key)
        })
    }

    /// This document is in use: its changes are wanted.
    pub fn add(&mut self, turn: &mut Turn<'_>, server: (usize, &Server), key: &DocumentKey) {
        let (Some(owner), Some(_)) = (key.owner(), &server.1.notifier) else {
            return;
        };
        let place = (server.0, owner.clone());
        let following = self.all.entry(place.clone()).or_default();
        if following.documents.len() >= MOST || !following.documents.insert(key.clone()) {
            return;
        }
        following.outdated = following.subscriber.is_some();
        self.go_on(turn, server.1, &place);
    }

    /// It is not any more.
    pub fn remove(&mut self, turn: &mut Turn<'_>, server: (usize, &Server), key: &DocumentKey) {
        let Some(owner) = key.owner() else { return };
        let place = (server.0, owner.clone());
        let Some(following) = self.all.get_mut(&place) else {
            return;
        };
        if following.documents.remove(key) {
            following.outdated = following.subscriber.is_some();
            self.go_on(turn, server.1, &place);
        }
    }

    /// Does what is to be done now: subscribe, name other documents, end.
    fn go_on(&mut self, turn: &mut Turn<'_>, server: &Server, place: &Place) {
        let Some(following) = self.all.get_mut(place) else {
            return;
        };
        let empty = following.documents.is_empty();
        let next = match &mut following.subscriber {
            None if empty => {
                self.all.swap_remove(place);
                return;
            }
            None if following.retry_at.is_some_and(|at| at > turn.now) => Next::Nothing,
            None => return self.subscribe(turn, server, place),
            Some(subscriber) if empty && !following.ending => {
                following.ending = true;
                subscriber.end(turn.now)
            }
            Some(subscriber) if !empty && following.outdated && subscriber.is_active() => {
                // RFC 5875 §4.2: the list of a refresh takes the place of the one before
                subscriber.ask_state(turn.now)
            }
            Some(_) => Next::Nothing,
        };
        self.carry_out(turn, server, place, next);
    }

    fn subscribe(&mut self, turn: &mut Turn<'_>, server: &Server, place: &Place) {
        let id = turn
            .random
            .subscription(Some(&place.1), |id| self.ids.contains_key(&id));
        let Some(following) = self.all.get_mut(place) else {
            return;
        };
        following.retry_at = None;
        following.subscriber = Some(Subscriber::start(turn.now, id, LIFETIME, self.timer_n));
        self.ids.insert(id, place.clone());
        self.send(turn, server, place);
        self.schedule(place);
    }

    /// Sends the SUBSCRIBE that is due, with the list as it is now.
    fn send(&mut self, turn: &mut Turn<'_>, server: &Server, place: &Place) {
        let Some(following) = self.all.get_mut(place) else {
            return;
        };
        (following.outdated, following.full) = (false, true);
        let (Some(subscriber), Some(notifier), Some(hop)) =
            (&following.subscriber, &server.notifier, server.hop())
        else {
            return;
        };
        let body = resources(&following.documents);
        let terms = Terms {
            resource: notifier,
            hop,
            identity: &server.identity,
            behalf: None,
            package: EVENT,
            accept: changes::MEDIA_TYPE,
            charging: None,
            body: Some((
                crate::xdm::usage::resource_lists::MEDIA_TYPE,
                body.as_bytes(),
            )),
        };
        // where the URI names no host it stays unsent, and Timer N finds that out
        turn.outgoing.extend(subscriber.request(&self.own, &terms));
    }

    /// Does what a step of the subscriber wants; the documents that nobody tells of any more.
    fn carry_out(
        &mut self,
        turn: &mut Turn<'_>,
        server: &Server,
        place: &Place,
        next: Next,
    ) -> Vec<DocumentKey> {
        match next {
            Next::Nothing => self.schedule(place),
            Next::Send => {
                self.send(turn, server, place);
                self.schedule(place);
            }
            Next::Over(ended) => return self.over(turn, server, place, ended),
        }
        Vec::new()
    }

    fn over(
        &mut self,
        turn: &mut Turn<'_>,
        server: &Server,
        place: &Place,
        ended: Ended,
    ) -> Vec<DocumentKey> {
        let Some(following) = self.all.get_mut(place) else {
            return Vec::new();
        };
        let Some(subscriber) = following.subscriber.take() else {
            return Vec::new();
        };
        self.ids.swap_remove(&subscriber.id);
        following.ending = false;
        if following.documents.is_empty() {
            self.all.swap_remove(place);
            return Vec::new();
        }
        if ended == Ended::Done {
            // documents came while it was being ended
            self.subscribe(turn, server, place);
            return Vec::new();
        }
        let lived = subscriber.lived(turn.now);
        let pause = following.backoff.pause(ended, lived, turn.random);
        let pause = pause.unwrap_or_else(|| Millis::from(GIVEN_UP));
        tracing::debug!(?ended, "an XDMS does not tell of changes: it is polled");
        following.retry_at = Some(turn.now + pause);
        let left = following.documents.iter().cloned().collect();
        self.schedule(place);
        left
    }

    /// The final response to a SUBSCRIBE of ours came, or none did; `None`: it was none of these.
    pub fn answered(
        &mut self,
        turn: &mut Turn<'_>,
        servers: &[Server],
        ticket: Ticket,
        answer: &Answer,
    ) -> Vec<DocumentKey> {
        let Some((place, server)) = self.place(servers, ticket.subscription) else {
            return Vec::new();
        };
        let subscriber = self.all.get_mut(&place).and_then(|f| f.subscriber.as_mut());
        let next = subscriber.map(|s| s.answered(turn.now, ticket.cseq, answer));
        let left = self.carry_out(turn, server, &place, next.unwrap_or(Next::Nothing));
        self.go_on(turn, server, &place);
        left
    }

    fn place<'s>(&self, servers: &'s [Server], id: SubscriptionId) -> Option<(Place, &'s Server)> {
        let place = self.ids.get(&id)?.clone();
        let server = servers.get(place.0)?;
        Some((place, server))
    }

    /// Whether a NOTIFY with this tag belongs to a subscription of these and is in order.
    pub fn order(&self, id: SubscriptionId, request: &Request<'_>) -> Result<Order, Reject> {
        let following = self.ids.get(&id).and_then(|place| self.all.get(place));
        let subscriber = following.and_then(|f| f.subscriber.as_ref());
        subscriber.ok_or(Reject::NoDialog)?.order(request)
    }

    /// Takes over a NOTIFY that is new and in order.
    pub fn notified(
        &mut self,
        turn: &mut Turn<'_>,
        servers: &[Server],
        notify: Notify<'_>,
    ) -> Result<Told, Reject> {
        let (place, server) = self.place(servers, notify.id).ok_or(Reject::NoDialog)?;
        let following = self.all.get_mut(&place).ok_or(Reject::NoDialog)?;
        let subscriber = following.subscriber.as_mut().ok_or(Reject::NoDialog)?;
        let next = subscriber.heard(turn.now, notify.request, &notify.state, &server.identity)?;
        let changes = notify.changes.unwrap_or_default();
        let changes: Vec<Change> = changes
            .into_iter()
            .filter(|change| following.documents.contains(&change.key))
            .collect();
        let mut unnamed = Vec::new();
        if std::mem::take(&mut following.full) {
            let named = |key: &DocumentKey| changes.iter().any(|change| change.key == *key);
            let all = following.documents.iter().filter(|key| !named(key));
            unnamed = all.cloned().collect();
        }
        let left = self.carry_out(turn, server, &place, next);
        self.go_on(turn, server, &place);
        Ok(Told {
            changes,
            unnamed,
            left,
        })
    }

    /// The instant of a look has come.
    pub fn due(
        &mut self,
        turn: &mut Turn<'_>,
        servers: &[Server],
        place: &Place,
    ) -> Vec<DocumentKey> {
        let (Some(following), Some(server)) = (self.all.get_mut(place), servers.get(place.0))
        else {
            return Vec::new();
        };
        following.look_at = None;
        let left = match &mut following.subscriber {
            Some(subscriber) => {
                let next = subscriber.due(turn.now);
                self.carry_out(turn, server, place, next)
            }
            None => Vec::new(),
        };
        self.go_on(turn, server, place);
        left
    }

    fn schedule(&mut self, place: &Place) {
        let Some(following) = self.all.get_mut(place) else {
            return;
        };
        let at = match &following.subscriber {
            Some(subscriber) => subscriber.next_deadline(),
            None => following.retry_at,
        };
        if let Some(at) = at
            && following.look_at.is_none_or(|scheduled| at < scheduled)
        {
            following.look_at = Some(at);
            self.looks.push((at, place.clone()));
        }
    }
}

/// The body of a SUBSCRIBE: the documents, by their paths below the XCAP root (RFC 5875 §4.4).
fn resources(documents: &BTreeSet<DocumentKey>) -> String {
    let mut body = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list>",
    );
    for key in documents {
        let uri = below_root(key);
        body.push_str("<entry uri=\"");
        body.push_str(&escaped(&uri));
        body.push_str("\"/>");
    }
    body.push_str("</list></resource-lists>");
    body
}
