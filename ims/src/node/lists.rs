//! Lists at the node: SUBSCRIBEs that wait for the document that may name their list, which is on another XDMS (GM-15),
//! and list subscriptions whose list changed.

use super::request::Brought;
use super::{Node, Outbox};
use crate::event::subscription::SubscriptionId;
use crate::isc::Caller;
use crate::sip::header::option_tags::OptionTags;
use crate::sip::{self, Aor, Flow, Framing, Incoming, KnownMethod, Method, Name, Request};
use crate::time::{Millis, Timestamp};
use crate::transaction::Key;
use crate::xdm::DocumentKey;
use crate::xdm::usage::rls_services::AUID;
use std::collections::{BTreeMap, BTreeSet};

/// A SUBSCRIBE that waits.
#[derive(Debug)]
struct Waiting {
    flow: Flow,
    key: Key,
    /// The request as it came.
    bytes: Vec<u8>,
    /// The documents that are on their way.
    documents: Vec<DocumentKey>,
    until: Timestamp,
}

/// All that wait.
#[derive(Debug, Default)]
pub(super) struct Awaited {
    last: u64,
    waiting: BTreeMap<u64, Waiting>,
    /// List subscriptions whose list is still to be read again, and when that goes on.
    unread: BTreeSet<SubscriptionId>,
    unread_at: Timestamp,
}

/// A document may be part of the lists of very many: so many members are read again at once, some milliseconds' work,
/// and the rest after whatever else has come meanwhile.
const SLICE: usize = 5_000;
/// What a list counts for beside its members.
const LIST: usize = 50;
/// Until the next slice.
const BREATH: Millis = Millis(1);

impl Awaited {
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let waiting = self.waiting.values().map(|waiting| waiting.until).min();
        let unread = (!self.unread.is_empty()).then_some(self.unread_at);
        waiting.into_iter().chain(unread).min()
    }

    pub fn waits_for(&self, key: &DocumentKey) -> bool {
        let mut all = self.waiting.values();
        all.any(|waiting| waiting.documents.contains(key))
    }
}

impl Node {
    /// Whether a SUBSCRIBE may have to wait, so that its bytes are needed again.
    pub(super) fn may_await_list(&self, bytes: &[u8]) -> bool {
        self.directory.remote.serves(AUID) && bytes.starts_with(b"SUBSCRIBE ")
    }

    /// Has a SUBSCRIBE wait while the document that may name its list is on its way. `false`: it is to be answered as
    /// any other; where too many wait that is with 503.
    pub(super) fn awaits_list(
        &mut self,
        now: Timestamp,
        (flow, key): (Flow, Key),
        request: &Request<'_>,
        bytes: Vec<u8>,
    ) -> bool {
        let subscribe = matches!(request.method, Method::Known(KnownMethod::Subscribe));
        let opens = subscribe && request.to.tag().is_none();
        let mut tags = OptionTags::parse(&request.headers, Name::Supported);
        if !opens
            || !tags.any(|tag| tag.eq_ignore_ascii_case("eventlist"))
            || !self.settings.trust.trusts(flow.remote.ip())
            || self.awaited.waiting.len() >= self.settings.lists.waiting
        {
            return false;
        }
        let watcher = self.watcher(&Caller::of(&request.headers));
        let documents = self.directory.list_awaits(request.uri, &watcher);
        if documents.is_empty() {
            return false;
        }
        let waiting = Waiting {
            flow,
            key,
            bytes,
            documents,
            until: now + self.settings.lists.wait,
        };
        self.awaited.last += 1;
        self.awaited.waiting.insert(self.awaited.last, waiting);
        true
    }

    /// A document is here, or will not be: those that waited for it, and for no other, are answered.
    pub(super) fn list_document_came(
        &mut self,
        now: Timestamp,
        key: &DocumentKey,
        out: &mut Outbox,
    ) {
        let mut ready = Vec::new();
        for (number, waiting) in &mut self.awaited.waiting {
            let before = waiting.documents.len();
            waiting.documents.retain(|document| document != key);
            if waiting.documents.is_empty() && before > 0 {
                ready.push(*number);
            }
        }
        for number in ready {
            self.list_awaited(now, number, out);
        }
    }

    /// Those that have waited for long enough are answered as things are: 503, unless the document is here after all.
    /// And the next lists are read again.
    pub(super) fn expire_awaited(&mut self, now: Timestamp, out: &mut Outbox) {
        let over = |(_, waiting): &(&u64, &Waiting)| waiting.until <= now;
        while let Some((&number, _)) = self.awaited.waiting.iter().find(over) {
            self.list_awaited(now, number, out);
        }
        self.reread_lists(now, out);
    }

    fn list_awaited(&mut self, now: Timestamp, number: u64, out: &mut Outbox) {
        let Some(mut waiting) = self.awaited.waiting.remove(&number) else {
            return;
        };
        let framing = match waiting.flow.transport.is_reliable() {
            true => Framing::Stream,
            false => Framing::Datagram,
        };
        let limits = self.settings.limits;
        if let Incoming::Request(request) = sip::parse(&mut waiting.bytes, framing, &limits) {
            self.respond(
                now,
                (waiting.flow, waiting.key),
                &request,
                Brought::Nothing,
                out,
            );
        }
    }

    /// Lists of these subscriptions are to be read again.
    pub(super) fn rls_lists_changed(
        &mut self,
        now: Timestamp,
        lists: BTreeSet<SubscriptionId>,
        out: &mut Outbox,
    ) {
        let begins = self.awaited.unread.is_empty();
        self.awaited.unread.extend(lists);
        if begins {
            self.reread_lists(now, out);
        }
    }

    /// Reads lists again, in slices.
    fn reread_lists(&mut self, now: Timestamp, out: &mut Outbox) {
        let mut left = SLICE;
        while left > 0
            && let Some(id) = self.awaited.unread.pop_first()
        {
            self.rls_turn(now, out, |lists, turn, world| {
                lists.list_changed(turn, world, id);
            });
            left = left.saturating_sub(LIST + self.directory.catalogue.members(id));
        }
        self.awaited.unread_at = now + BREATH;
    }

    /// A subscriber gained or lost an identity: what belongs to whom may be another matter now.
    pub(super) fn list_owner_renamed(
        &mut self,
        now: Timestamp,
        subscriber: &Aor,
        out: &mut Outbox,
    ) {
        let registrar = &self.directory.registrar;
        let mut identities = registrar.identities(&registrar.canonical(subscriber));
        identities.push(subscriber.clone());
        let mut lists = BTreeSet::new();
        for identity in identities {
            let services = DocumentKey::user(identity, AUID, "");
            lists.extend(self.directory.catalogue.changed(&services));
        }
        self.rls_lists_changed(now, lists, out);
    }
}
