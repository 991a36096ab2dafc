//! The node: takes one input, decides, and says what to commit and what to send. The single door of the crate.
//!
//! The program gives it the time and an [`Input`]; the node fills an [`Outbox`]. Effects in [`Outbox::free`]
//! promise nothing and may leave at once; those in [`Outbox::held`] leave when [`Outbox::batch`] is committed, and
//! in the order of the turns. That is the one rule that makes every answer durable.

mod appear;
mod back_ends;
mod catalogue;
mod credit;
mod directory;
mod door;
mod fetch;
mod headers;
mod lists;
mod overrides;
mod presentities;
mod publish;
mod recover;
mod reg_event;
mod register;
mod remote;
mod request;
mod rls;
mod rules;
mod sent;
mod settled;
mod subscribe;
#[cfg(test)]
mod tests;
mod xcap;
mod xcap_diff;

pub use door::{Census, Effect, Input, Outbox, Report, Settings};
pub use fetch::{Fetch, Fetched, HttpAnswer};
pub use overrides::{Administered, Administration, BadOverride, Override, Scope};
pub use recover::Recovery;
pub use remote::Asked;

use crate::charge::Ledger;
use crate::event::quota::Quota;
use crate::event::tag::TagKey;
use crate::event::turn::Random;
use crate::presence::service as presence;
use crate::registration::Registrar;
use crate::rls as list_server;
use crate::sip::{self, Flow, Framing, Incoming, Malformed};
use crate::time::Timestamp;
use crate::transaction::{self, Layer};
use crate::xdm;
use crate::xdm::remote::Remote;
use credit::Credits;
use directory::Directory;
use fetch::Fetches;
use overrides::Overrides;
use rules::Rules;
use sent::{Sent, Usage, charged};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// One node: everything it knows, and nothing of the world.
#[derive(Debug)]
pub struct Node {
    settings: Settings,
    random: Random,
    transactions: Layer<Sent>,
    presence: presence::Service,
    diff: xdm::diff::Service,
    back_ends: list_server::backend::Service,
    lists: list_server::service::Service,
    directory: Directory,
    fetches: Fetches,
    credits: Credits,
    /// Credit for NOTIFYs.
    quota: Quota,
    /// SUBSCRIBEs that wait for a document of another XDMS.
    awaited: lists::Awaited,
    ledger: Ledger,
    /// No new state is taken.
    draining: bool,
    low_space: bool,
    /// SUBSCRIBEs of ours that wait for an answer.
    subscribing: usize,
    /// The mark of settled NOTIFYs last written, and when to look again.
    settled: Timestamp,
    settle_at: Timestamp,
}

impl Node {
    /// An empty node. `seed` is random and secret: tags, branches and entity-tags come from it.
    pub fn new(settings: Settings, seed: [u8; 32]) -> Node {
        let mut random = Random::new(seed);
        let mut hash = || {
            ahash::RandomState::with_seeds(
                random.number(),
                random.number(),
                random.number(),
                random.number(),
            )
        };
        let (tables, transactions, registrations) = (hash(), hash(), hash());
        let (lists, rules, remote, diff) = (hash(), hash(), hash(), hash());
        let served = catalogue::Kept::new(settings.lists.clone(), hash());
        let back_ends = hash();
        let list_server = hash();
        let followed = appear::follow(&settings);
        let tags = TagKey(std::array::from_fn(|_| random.number()));
        Node {
            transactions: Layer::new(settings.transactions, transactions),
            presence: presence::Service::new(settings.presence.clone(), tables, tags),
            diff: xdm::diff::Service::new(appear::told(&settings.presence), diff, tags),
            back_ends: list_server::backend::Service::new(
                back_ends::settings(&settings),
                tags,
                back_ends,
            ),
            lists: list_server::service::Service::new(
                settings.list_server.clone(),
                appear::tells_of_lists(&settings.presence),
                list_server,
                tags,
            ),
            directory: Directory {
                registrar: Registrar::new(settings.registration, followed.clone(), registrations),
                documents: BTreeMap::new(),
                remote: Remote::new(
                    settings.remote.clone(),
                    followed.own,
                    followed.timer_n,
                    remote,
                ),
                modified: BTreeMap::new(),
                services: settings.xdm.services(),
                shown: None,
                permanent: BTreeMap::new(),
                catalogue: served,
                lists: RefCell::new(settings.xdm.lists(lists)),
                rules: RefCell::new(Rules::new(rules)),
                overrides: Overrides::new(settings.overrides),
                pidf: settings.presence.pidf,
            },
            fetches: Fetches::default(),
            credits: Credits::default(),
            quota: Quota::new(settings.online.notify),
            awaited: lists::Awaited::default(),
            ledger: Ledger::new(settings.triggers.clone(), 1).with_payer(settings.notify_payer),
            settings,
            random,
            draining: false,
            low_space: false,
            subscribing: 0,
            settled: Timestamp::default(),
            settle_at: Timestamp::default(),
        }
    }

    /// Handles one input.
    pub fn handle(&mut self, now: Timestamp, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Message { flow, bytes } => self.message(now, flow, bytes, out),
            Input::Undeliverable(ticket) => self.undeliverable(now, ticket, out),
            Input::Xcap { number, request } => self.xcap(now, number, request, out),
            Input::Administer { number, request } => self.administer(now, number, request, out),
            Input::Deadline => self.deadline(now, out),
            Input::Fetched { number, fetched } => self.fetched(now, number, &fetched, out),
            Input::Credit { number, answer } => self.credit_answered(now, number, answer, out),
            Input::CreditAllowed { number, units } => self.credit_allowed(number, units),
            Input::CreditWithdrawn { number, why } => {
                self.credit_withdrawn(now, number, why, out);
            }
        }
        self.remote_step(now, out);
        self.back_ends_due(now, out);
        self.rls_step(now, out);
        self.credit_step(now, out);
    }

    /// When [`Input::Deadline`] is wanted.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let own = [
            self.presence.next_deadline(),
            self.diff.next_deadline(),
            self.lists.next_deadline(),
            self.directory.registrar.next_deadline(),
            self.fetches.next_deadline(),
            self.credits.next_deadline(),
            self.awaited.next_deadline(),
            self.directory.remote.next_deadline(),
            self.back_ends.next_deadline(),
            self.ledger.next_deadline(),
        ];
        let settle = (self.settled_is_behind()).then_some(self.settle_at);
        own.into_iter()
            .chain([self.transactions.next_deadline(), settle])
            .flatten()
            .min()
    }

    /// Takes no new state from now on; what is known is served and told.
    pub fn drain(&mut self, now: Timestamp) {
        self.draining = true;
        if let Some(farewell) = self.settings.farewell {
            self.presence.leave(now, farewell);
            self.diff.leave(now, farewell);
            self.lists.leave(now, farewell);
        }
    }

    /// The disk is nearly full, or no longer: new state is refused meanwhile.
    pub fn refuse_new_state(&mut self, refuse: bool) {
        self.low_space = refuse;
    }

    /// No NOTIFY waits for its answer (a SUBSCRIBE of ours is tried again after the next start), nobody for credit, and
    /// nobody is still to be told that the node leaves.
    pub fn is_quiet(&self) -> bool {
        self.transactions.clients() <= self.subscribing
            && self.credits.is_quiet()
            && self.presence.has_left()
            && self.diff.has_left()
            && self.lists.has_left()
    }

    pub fn census(&self) -> Census {
        Census {
            presence: self.presence.census(),
            document_subscriptions: self.diff.len(),
            lists: self.lists.census(),
            registrations: self.directory.registrar.len(),
            followed: self.directory.registrar.followed(),
            documents: self.directory.documents.len(),
            remote: self.directory.remote.census(),
            back_ends: self.back_ends.census(),
            server_transactions: self.transactions.servers(),
            client_transactions: self.transactions.clients(),
        }
    }

    fn message(&mut self, now: Timestamp, flow: Flow, bytes: &mut [u8], out: &mut Outbox) {
        let framing = if flow.transport.is_reliable() {
            Framing::Stream
        } else {
            Framing::Datagram
        };
        let limits = self.settings.limits;
        let copy = self.copy_to_wait(bytes);
        match sip::parse(bytes, framing, &limits) {
            Incoming::Request(request) => self.request(now, flow, &request, copy, out),
            Incoming::Response(response) => self.response(now, &response, out),
            Incoming::Malformed(malformed) => self.malformed(flow, &malformed, out),
            Incoming::KeepAlive => {}
            Incoming::Ignored(_) => out.reports.push(Report::Dropped),
        }
    }

    /// A request that breaks a rule is told so, without a transaction: nothing of it is kept.
    fn malformed(&mut self, flow: Flow, malformed: &Malformed<'_>, out: &mut Outbox) {
        match malformed.answer(&flow) {
            Some((to, bytes)) => {
                out.reports.push(Report::Answered {
                    method: None,
                    status: malformed.status(),
                });
                out.free.push(Effect::Send {
                    to,
                    bytes,
                    ticket: None,
                });
            }
            None => out.reports.push(Report::Dropped),
        }
    }

    fn deadline(&mut self, now: Timestamp, out: &mut Outbox) {
        let mut events = Vec::new();
        self.transactions.on_deadline(now, &mut events);
        for event in events {
            match event {
                transaction::Event::Retransmit { to, bytes } => out.held.push(Effect::Send {
                    to,
                    bytes,
                    ticket: None,
                }),
                transaction::Event::TimedOut { user } => self.ended(now, user, None, out),
            }
        }
        self.turn(now, out, |presence, directory, turn| {
            presence.on_deadline(turn, directory)
        });
        self.diff_turn(now, out, |diff, store, turn| diff.on_deadline(turn, store));
        self.rls_turn(now, out, |lists, turn, world| {
            lists.on_deadline(turn, world)
        });
        self.expire_registrations(now, out);
        self.expire_fetches(now, out);
        self.expire_credits(now, out);
        self.remote_due(now, out);
        self.expire_awaited(now, out);
        self.ledger.close_due(&mut out.batch, now);
        out.held.extend(self.ledger.take().into_iter().map(charged));
        self.settle(now, out);
    }
}
