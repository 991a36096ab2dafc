//! What the driver tells the metrics: each report of the node as it comes, and a census once a second.

use super::Driver;
use crate::telemetry::metrics::{Held, Method, NotifyOutcome, Queue, Rejected, RemoteAnswer};
use ims::event::subscription::ends_subscription;
use ims::node::{Asked, Report};
use ims::sip::KnownMethod;

impl Driver {
    pub(super) fn count(&self, report: Report) {
        match report {
            Report::Answered { method, status } => self.metrics.request(label(method), status),
            Report::Notified { status } => {
                self.metrics.sent(Method::Notify, status);
                self.metrics.notify(match status {
                    200..=299 => NotifyOutcome::Delivered,
                    408 => NotifyOutcome::TimedOut,
                    status if ends_subscription(status) => NotifyOutcome::Gone,
                    _ => NotifyOutcome::Refused,
                });
            }
            Report::Subscribed { status } => self.metrics.sent(Method::Subscribe, status),
            Report::Asked(asked) => self.metrics.remote(match asked {
                Asked::Document => RemoteAnswer::Document,
                Asked::Unchanged => RemoteAnswer::Unchanged,
                Asked::Absent => RemoteAnswer::Absent,
                Asked::Unusable => RemoteAnswer::Unusable,
                Asked::Refused => RemoteAnswer::Refused,
                Asked::Silence => RemoteAnswer::Silence,
            }),
            Report::Retransmission => self.metrics.retransmission(),
            Report::Dropped => self.metrics.rejected(Rejected::Malformed),
            Report::Stray => self.metrics.rejected(Rejected::Stray),
            Report::Untrusted => self.metrics.rejected(Rejected::Untrusted),
            Report::Overloaded => self.metrics.rejected(Rejected::Overload),
        }
    }

    /// What is held and what waits, as it is now.
    pub(super) fn take_census(&mut self) {
        let census = self.node.census();
        let (lists, elsewhere, remote) = (census.lists, census.back_ends, census.remote);
        for (what, count) in [
            (Held::Publications, census.presence.publications),
            (Held::Subscriptions, census.presence.subscriptions),
            (Held::Registrations, census.registrations),
            (Held::Followed, census.followed),
            (Held::Documents, census.documents),
            (Held::DocumentSubscriptions, census.document_subscriptions),
            (Held::ListSubscriptions, lists.subscriptions),
            (Held::ListMembers, lists.members),
            (Held::BackEnds, elsewhere.back_ends),
            (Held::BackEndDialogs, elsewhere.dialogs),
            (Held::RemoteDocuments, remote.copies),
            (Held::RemoteFollowed, remote.followed),
            (Held::RemoteSilent, remote.silent),
            (Held::ServerTransactions, census.server_transactions),
            (Held::ClientTransactions, census.client_transactions),
        ] {
            self.metrics.set_held(what, count);
        }
        let silence = remote.silent_since.map(|at| self.clock.now().since(at).0);
        self.metrics.set_remote_silence(silence.unwrap_or(0) / 1000);
        let waiting = self.inbox.waiting();
        self.metrics.set_queue(Queue::Driver, waiting);
        self.metrics.set_queue(Queue::Store, self.committer.depth());
        let unsent = std::mem::take(&mut self.udp.dropped);
        self.metrics.rejected_many(Rejected::Overload, unsent);
    }
}

fn label(method: Option<KnownMethod>) -> Method {
    match method {
        Some(KnownMethod::Publish) => Method::Publish,
        Some(KnownMethod::Subscribe) => Method::Subscribe,
        Some(KnownMethod::Register) => Method::Register,
        Some(KnownMethod::Options) => Method::Options,
        Some(KnownMethod::Notify) => Method::Notify,
        _ => Method::Other,
    }
}
