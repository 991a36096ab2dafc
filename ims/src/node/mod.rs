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
mod settled;
mod subscribe;
#[cfg(test)]
mod tests;
mod xcap;
mod xcap_diff;

use fetch::Fetches;
pub use fetch::{Fetch, Fetched, HttpAnswer};
pub use overrides::{Administered, Administration, BadOverride, Override, Scope};
pub use recover::Recovery;
pub use remote::Asked;

use crate::charge::{Ledger, Triggers};
use crate::event::farewell::Farewell;
use crate::event::notice::Answer;
use crate::event::quota::Quota;
use crate::event::tag::TagKey;
use crate::event::turn::{Outgoing, Random, Ticket, Turn};
use crate::isc::Trust;
use crate::presence::service as presence;
use crate::record::Batch;
use crate::registration::{self, Registrar};
use crate::sip::Aor;
use crate::sip::{self, Destination, Flow, Framing, Incoming, KnownMethod, Malformed};
use crate::time::Timestamp;
use crate::transaction::{self, Layer};
use crate::xdm::remote::Remote;
use crate::{charge, rls as list_server, xdm};
use bytes::Bytes;
use credit::Credits;
use directory::Directory;
use overrides::Overrides;
use rules::Rules;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// How the node behaves, from the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Domains whose users are served here, lower case.
    pub home_domains: Vec<String>,
    /// `Server` of our responses.
    pub product: String,
    pub trust: Trust,
    pub limits: sip::Limits,
    pub transactions: transaction::Settings,
    pub presence: presence::Settings,
    pub registration: registration::Settings,
    pub xdm: xdm::Xdm,
    /// Documents that are kept on other XDMSs.
    pub remote: xdm::remote::Settings,
    /// What lists may consist of that are subscribed to.
    pub lists: crate::rls::list::Settings,
    /// Members of lists that are not served here.
    pub back_ends: list_server::backend::Bounds,
    /// Subscriptions to lists.
    pub list_server: list_server::service::Settings,
    pub triggers: Triggers,
    /// On whose account requests go.
    pub payer: charge::Payer,
    /// Requests that ask for credit before they are served.
    pub online: charge::credit::Online,
    /// What subscriptions are told when the node leaves; without it they wait in the store for its return.
    pub farewell: Option<Farewell>,
    /// Reason phrases of the operator, each under the one of [`reject::phrase`](crate::reject::phrase) that it
    /// replaces: handsets act on them.
    pub phrases: BTreeMap<String, String>,
    /// A user publishes only while the network says that he is registered.
    pub publish_needs_registration: bool,
    /// 200 or 202 to a SUBSCRIBE that waits for the presentity's decision.
    pub pending_status: u16,
    /// Identities of application servers that may publish for others.
    pub publishers: Vec<Aor>,
    /// Only presentities that the network, a document or a publication has made known are served; otherwise
    /// every user of a home domain is.
    pub known_presentities_only: bool,
    /// Publications and subscriptions of the whole node; one more is refused with 503.
    pub publications: usize,
    pub subscriptions: usize,
    /// Documents of the whole node.
    pub documents: usize,
    /// Overrides of the whole node.
    pub overrides: usize,
}

/// One thing that happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// A whole message from a flow.
    Message { flow: Flow, bytes: &'a mut [u8] },
    /// A request of ours could not be handed to its transport.
    Undeliverable(Ticket),
    /// An XCAP request; the answer carries the same number.
    Xcap {
        number: u64,
        request: &'a xdm::Request,
    },
    /// An operator's request about overrides; the answer carries the same number.
    Administer {
        number: u64,
        request: &'a Administration,
    },
    /// The instant of [`Node::next_deadline`] has come.
    Deadline,
    /// An HTTP server answered, or did not ([`Effect::Fetch`]).
    Fetched { number: u64, fetched: Fetched },
    /// The answer to [`Effect::Credit`].
    Credit {
        number: u64,
        answer: charge::credit::Answer,
    },
    /// A lasting service may use so many units, counted since it began or was recovered; `None`: as many as it likes. It
    /// waits with more until it hears another number, or that it has to end.
    CreditAllowed { number: u64, units: Option<u64> },
    /// A lasting service that was granted has to end.
    CreditWithdrawn {
        number: u64,
        why: charge::credit::Withdrawal,
    },
}

/// One thing to do.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Send a message. With a ticket, tell the node when it cannot be delivered.
    Send {
        to: Destination,
        bytes: Bytes,
        ticket: Option<Ticket>,
    },
    /// Answer an XCAP request.
    Xcap {
        number: u64,
        response: Box<xdm::Response>,
    },
    /// Answer an operator.
    Administered {
        number: u64,
        answer: Box<Administered>,
    },
    /// Get something over HTTP.
    Fetch(Box<Fetch>),
    /// A charging record is committed and may go to a CDF.
    Charge(Box<charge::Event>),
    /// Ask for credit. It is answered by [`Input::Credit`] with its number.
    Credit(Box<charge::credit::Request>),
    /// A lasting service goes on and has used so many units more. It is said with none when the service has begun, after
    /// the batch that says so, and before anything else of it.
    CreditUsed { number: u64, units: u64 },
    /// A service that was granted has been given, or not: then what it cost is given back. A lasting one is over.
    CreditEnded { number: u64, delivered: bool },
}

/// Something worth counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// A request was answered for the first time.
    Answered {
        method: Option<KnownMethod>,
        status: u16,
    },
    /// A NOTIFY got its final response, 408 for none.
    Notified { status: u16 },
    /// A SUBSCRIBE of ours got its final response, 408 for none.
    Subscribed { status: u16 },
    /// Another XDMS was asked for a document.
    Asked(Asked),
    /// A request came again and was answered from memory.
    Retransmission,
    /// A message was not understood and got no answer.
    Dropped,
    /// A response answers nothing that waits: it came too late, or answers what was never ours.
    Stray,
    /// A request from a peer that is not trusted was refused; [`Report::Answered`] counts it too.
    Untrusted,
    /// A new request was refused because there are as many transactions as may be; [`Report::Answered`] counts it too.
    Overloaded,
}

/// What an input caused.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Commit this before anything of `held` leaves.
    pub batch: Batch,
    pub held: Vec<Effect>,
    pub free: Vec<Effect>,
    pub reports: Vec<Report>,
}

/// Whose request is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    /// NOTIFY to a watcher.
    Presence,
    /// NOTIFY to whoever is told of documents.
    Documents,
    /// NOTIFY to the watcher of a list.
    List,
    /// SUBSCRIBE to an S-CSCF.
    RegEvent,
    /// SUBSCRIBE to another XDMS.
    XcapDiff,
    /// SUBSCRIBE on behalf of a watcher of a list.
    BackEnd,
}

impl Usage {
    const ALL: [Usage; 6] = [
        Usage::Presence,
        Usage::Documents,
        Usage::List,
        Usage::RegEvent,
        Usage::XcapDiff,
        Usage::BackEnd,
    ];

    fn method(self) -> sip::Method<'static> {
        sip::Method::Known(match self {
            Usage::Presence | Usage::Documents | Usage::List => KnownMethod::Notify,
            Usage::RegEvent | Usage::XcapDiff | Usage::BackEnd => KnownMethod::Subscribe,
        })
    }
}

/// A request of ours under way, as the transaction layer keeps it for us.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    usage: Usage,
    ticket: Ticket,
    at: Timestamp,
    falls_back: bool,
}

/// Figures for the operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    pub presence: presence::Census,
    /// Subscriptions to changes of documents.
    pub document_subscriptions: usize,
    /// Subscriptions to lists, and their members.
    pub lists: list_server::service::Census,
    pub registrations: usize,
    /// Subscriptions of ours by which registrations are followed.
    pub followed: usize,
    pub documents: usize,
    /// Documents of other XDMSs.
    pub remote: xdm::remote::Census,
    /// Members of lists that are watched elsewhere.
    pub back_ends: list_server::backend::Census,
    pub server_transactions: usize,
    pub client_transactions: usize,
}

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

const SUBSCRIBE: sip::Method<'static> = sip::Method::Known(KnownMethod::Subscribe);

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
            ledger: Ledger::new(settings.triggers.clone(), 1),
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

    /// No NOTIFY waits for its answer (a SUBSCRIBE of ours is tried again after the next start), and nobody is still to
    /// be told that the node leaves.
    pub fn is_quiet(&self) -> bool {
        self.transactions.clients() <= self.subscribing
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

    /// A response to a request of ours.
    fn response(&mut self, now: Timestamp, response: &sip::Response<'_>, out: &mut Outbox) {
        let Some(answer) = self.transactions.response(now, response) else {
            out.reports.push(Report::Stray);
            return;
        };
        if answer.is_final {
            self.ended(now, answer.user, Some(response), out);
        }
    }

    /// A request of ours is over: answered, or not.
    fn ended(
        &mut self,
        now: Timestamp,
        sent: Sent,
        response: Option<&sip::Response<'_>>,
        out: &mut Outbox,
    ) {
        if let Usage::Presence | Usage::Documents | Usage::List = sent.usage {
            let delivered = response.is_some_and(|r| (200..300).contains(&r.status));
            self.notify_answered(sent.ticket, delivered, out);
        }
        match sent.usage {
            Usage::Presence => {
                let answer = response.map_or(Answer::TIMEOUT, headers::answer);
                self.answered(now, sent, answer, out);
            }
            Usage::Documents => {
                let answer = response.map_or(Answer::TIMEOUT, headers::answer);
                self.told_of_documents(now, sent, answer, out);
            }
            Usage::List => {
                let answer = response.map_or(Answer::TIMEOUT, headers::answer);
                self.told_of_list(now, sent, answer, out);
            }
            Usage::RegEvent => {
                let answer = response.map_or(reg_event::NOBODY, reg_event::answer);
                self.subscribe_answered(now, sent.ticket, &answer, out);
            }
            Usage::XcapDiff => {
                let answer = response.map_or(reg_event::NOBODY, reg_event::answer);
                self.changes_answered(now, sent.ticket, &answer, out);
            }
            Usage::BackEnd => {
                let answer = response.map_or(reg_event::NOBODY, reg_event::answer);
                self.back_end_answered(now, (sent.ticket, sent.at), &answer, out);
            }
        }
    }

    fn answered(&mut self, now: Timestamp, sent: Sent, answer: Answer, out: &mut Outbox) {
        out.reports.push(Report::Notified {
            status: answer.status,
        });
        self.turn(now, out, |presence, directory, turn| {
            presence.answered(turn, directory, sent.ticket, answer, sent.at);
        });
    }

    fn told_of_documents(&mut self, now: Timestamp, sent: Sent, answer: Answer, out: &mut Outbox) {
        out.reports.push(Report::Notified {
            status: answer.status,
        });
        self.diff_turn(now, out, |diff, store, turn| {
            diff.answered(turn, store, sent.ticket, answer, sent.at);
        });
    }

    /// The transport could not take a request of ours. One that only its size put on TCP leaves over UDP
    /// (RFC 3261 §18.1.1); for another it is as if nobody had answered (§8.1.3.1).
    fn undeliverable(&mut self, now: Timestamp, ticket: Ticket, out: &mut Outbox) {
        let branch = ticket.branch();
        let mut usages = Usage::ALL.into_iter();
        let found = usages.find_map(|u| self.transactions.undeliverable(&branch, u.method()));
        let Some((sent, bytes, to)) = found else {
            return;
        };
        if sent.falls_back {
            self.presence.took_no_tcp(now, &to);
            self.diff.took_no_tcp(now, &to);
            self.lists.took_no_tcp(now, &to);
            let to = to.over(sip::Transport::Udp);
            let bytes = sip::write::over_udp(&bytes);
            let again = Sent {
                falls_back: false,
                ..sent
            };
            self.transactions.start(
                now,
                to.clone(),
                &branch,
                sent.usage.method(),
                bytes.clone(),
                again,
            );
            out.held.push(Effect::Send {
                to,
                bytes,
                ticket: Some(ticket),
            });
        } else {
            self.ended(now, sent, None, out);
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

    /// Runs a step of the presence service and sends what it wants sent.
    fn turn<R>(
        &mut self,
        now: Timestamp,
        out: &mut Outbox,
        step: impl FnOnce(&mut presence::Service, &Directory, &mut Turn<'_>) -> R,
    ) -> R {
        let mut turn = Turn::new(
            now,
            &mut self.random,
            &mut out.batch,
            &mut self.ledger,
            &mut self.quota,
        );
        let result = step(&mut self.presence, &self.directory, &mut turn);
        let outgoing = turn.outgoing;
        self.send_all(now, outgoing, Usage::Presence, out);
        result
    }

    /// Starts a client transaction for each request and releases charging records, behind the batch.
    fn send_all(
        &mut self,
        now: Timestamp,
        outgoing: Vec<Outgoing>,
        usage: Usage,
        out: &mut Outbox,
    ) {
        out.held.extend(self.ledger.take().into_iter().map(charged));
        for Outgoing {
            ticket,
            to,
            falls_back,
            bytes,
        } in outgoing
        {
            self.subscribing += usize::from(usage.method() == SUBSCRIBE);
            let sent = Sent {
                usage,
                ticket,
                at: now,
                falls_back,
            };
            self.transactions.start(
                now,
                to.clone(),
                &ticket.branch(),
                usage.method(),
                bytes.clone(),
                sent,
            );
            out.held.push(Effect::Send {
                to,
                bytes,
                ticket: Some(ticket),
            });
        }
    }
}

/// A committed charging event as an effect.
fn charged(event: charge::Event) -> Effect {
    Effect::Charge(Box::new(event))
}
