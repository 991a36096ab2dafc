//! Requests of our own: a turn of those who serve sends them, the transaction layer carries them, and each comes back
//! answered or not to who sent it.

use super::directory::Directory;
use super::{Effect, Node, Outbox, Report, Settings, headers, lists, reg_event};
use crate::charge;
use crate::event::notice::Answer;
use crate::event::turn::{Outgoing, Ticket, Turn};
use crate::presence::service as presence;
use crate::rls as list_server;
use crate::sip::{self, KnownMethod};
use crate::time::Timestamp;
use crate::xdm;

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
    pub usage: Usage,
    pub ticket: Ticket,
    pub at: Timestamp,
    pub falls_back: bool,
}

const SUBSCRIBE: sip::Method<'static> = sip::Method::Known(KnownMethod::Subscribe);

/// Those who serve, and what they read, apart from what a turn takes of the node.
pub(super) struct Rooms<'a> {
    pub settings: &'a Settings,
    pub directory: &'a mut Directory,
    pub presence: &'a mut presence::Service,
    pub diff: &'a mut xdm::diff::Service,
    pub lists: &'a mut list_server::service::Service,
    pub back_ends: &'a mut list_server::backend::Service,
    pub awaited: &'a lists::Awaited,
}

impl Node {
    /// A response to a request of ours.
    pub(super) fn response(
        &mut self,
        now: Timestamp,
        response: &sip::Response<'_>,
        out: &mut Outbox,
    ) {
        let Some(answer) = self.transactions.response(now, response) else {
            out.reports.push(Report::Stray);
            return;
        };
        if answer.is_final {
            self.ended(now, answer.user, Some(response), out);
        }
    }

    /// A request of ours is over: answered, or not.
    pub(super) fn ended(
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
    pub(super) fn undeliverable(&mut self, now: Timestamp, ticket: Ticket, out: &mut Outbox) {
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

    /// Runs a step of the presence service and sends what it wants sent.
    pub(super) fn turn<R>(
        &mut self,
        now: Timestamp,
        out: &mut Outbox,
        step: impl FnOnce(&mut presence::Service, &Directory, &mut Turn<'_>) -> R,
    ) -> R {
        self.step(now, Usage::Presence, out, |rooms, turn| {
            step(rooms.presence, rooms.directory, turn)
        })
    }

    /// Runs a step of those who serve, and sends the requests of this usage that it wants sent.
    pub(super) fn step<R>(
        &mut self,
        now: Timestamp,
        usage: Usage,
        out: &mut Outbox,
        step: impl FnOnce(Rooms<'_>, &mut Turn<'_>) -> R,
    ) -> R {
        let mut turn = Turn::new(
            now,
            &mut self.random,
            &mut out.batch,
            &mut self.ledger,
            &mut self.quota,
        );
        let rooms = Rooms {
            settings: &self.settings,
            directory: &mut self.directory,
            presence: &mut self.presence,
            diff: &mut self.diff,
            lists: &mut self.lists,
            back_ends: &mut self.back_ends,
            awaited: &self.awaited,
        };
        let result = step(rooms, &mut turn);
        let outgoing = turn.outgoing;
        self.send_all(now, outgoing, usage, out);
        result
    }

    /// Starts a client transaction for each request and releases charging records, behind the batch.
    pub(super) fn send_all(
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
pub(super) fn charged(event: charge::Event) -> Effect {
    Effect::Charge(Box::new(event))
}
