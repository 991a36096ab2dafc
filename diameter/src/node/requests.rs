//! The way of a request: to which peer it goes, and to which other one when that fails (RFC 6733 §5.1, §5.5.4, §6.1).

use super::{Condition, Limits, Node, Outcome, Output, Request};
use crate::Instant;
use crate::association::Association;
use crate::dictionary::{
    APP_ACCOUNTING, DESTINATION_HOST, DESTINATION_REALM, REDIRECT_HOST, RESULT_CODE,
};
use crate::fault::ResultCode;
use crate::message::{Header, Message};
use crate::overload;
use crate::route::{Candidate, PeerId, Waiting, choose, first};
use crate::write::{Writer, stamp};
use rand_chacha::rand_core::Rng;

impl Node {
    pub(super) fn request(&mut self, now: Instant, request: Request) {
        let Request {
            ticket,
            end_to_end,
            retransmitted,
            through,
            prefer,
            avoid,
            bound,
            message,
        } = request;
        let before = first(through.as_ref(), &prefer);
        let application = Header::read(&message).map_or(0, |header| header.application);
        let asked = (application, ticket);
        if self.pending.count(application) >= self.limits(application).max_pending {
            return self.finish(asked, None, Outcome::Full);
        }
        let mut up: Vec<Candidate> = self.candidates(application).collect();
        if let Some(server) = &bound {
            let way = self.way_to(server, &before);
            up.retain(|candidate| way.is_empty() || way.contains(&candidate.id));
        }
        let willing = self.willing(now, application, &up);
        match choose(&willing, &before, avoid) {
            None if willing.len() < up.len() => self.finish(asked, None, Outcome::Spared),
            None => self.finish(asked, None, Outcome::NoPeer),
            Some(peer) => {
                let waiting = Waiting {
                    application,
                    ticket,
                    end_to_end,
                    peer,
                    request: message,
                    through,
                    prefer,
                    bound,
                    retransmitted,
                    redirected: false,
                };
                self.transmit(now, waiting);
            }
        }
    }

    /// The peers through which a server is reached: itself, else the agents it was reached through; none means any.
    fn way_to(&self, server: &str, agents: &[PeerId]) -> Vec<PeerId> {
        let is = |peer: &&Association| {
            let host = peer.settings.host.as_deref();
            host.is_some_and(|host| host.eq_ignore_ascii_case(server))
        };
        match self.peers.values().find(is) {
            Some(peer) => vec![peer.id],
            None => agents.to_vec(),
        }
    }

    /// The peers that are up and serve an application.
    pub(super) fn candidates(&self, application: u32) -> impl Iterator<Item = Candidate> {
        let up = self.peers.values().filter(move |peer| {
            peer.condition() == Condition::Up && peer.applications.serves(application)
        });
        up.filter_map(move |peer| {
            let share = peer.settings.share(application)?;
            Some(Candidate {
                id: peer.id,
                priority: share.priority,
                general: share.general,
                load: self.pending.load(peer.id),
            })
        })
    }

    fn limits(&self, application: u32) -> Limits {
        match application {
            APP_ACCOUNTING => self.settings.accounting,
            _ => self.settings.credit_control,
        }
    }

    /// Those that do not want to be spared this request (RFC 7683 §5.2.2: the loss algorithm throws dice for each).
    fn willing(&mut self, now: Instant, application: u32, up: &[Candidate]) -> Vec<Candidate> {
        let mut willing = up.to_vec();
        willing.retain(|candidate| {
            let peer = self.peers.get(&candidate.id);
            match peer.and_then(|peer| peer.overload.get(&application)) {
                Some(overload) => !overload.spares(now, self.random.next_u32()),
                None => true,
            }
        });
        willing
    }

    /// Sends to `waiting.peer`, with the destination that this peer is.
    fn transmit(&mut self, now: Instant, waiting: Waiting) {
        let asked = (waiting.application, waiting.ticket);
        let Some(peer) = self.peers.get(&waiting.peer) else {
            return self.finish(asked, None, Outcome::NoPeer);
        };
        let mut writer = Writer::reopen(&waiting.request);
        if let Some(realm) = &peer.settings.realm {
            writer.utf8(&DESTINATION_REALM, realm);
        }
        // Only a request that names its host gets it: another CDF would answer 3002 to a record that a fail-over
        // brought there (RFC 6733 §6.1.4).
        let named = || {
            let host = peer.settings.host.as_ref();
            host.filter(|_| waiting.prefer.contains(&peer.id))
        };
        let here = waiting.through.as_ref().filter(|way| way.peer == peer.id);
        let server = here.and_then(|way| way.server.as_ref());
        if let Some(host) = waiting.bound.as_ref().or(server).or_else(named) {
            writer.utf8(&DESTINATION_HOST, host);
        }
        if self.settings.overload_control {
            overload::offer(&mut writer);
        }
        let Ok(mut bytes) = writer.finish(self.settings.max_message) else {
            return self.finish(asked, None, Outcome::TooLong);
        };
        let connection = peer.connection();
        let hop_by_hop = self.pending.fresh();
        let again = waiting.retransmitted;
        stamp(&mut bytes, hop_by_hop, waiting.end_to_end, again);
        let deadline = now.after(self.limits(waiting.application).answer_timeout);
        self.pending.insert(hop_by_hop, deadline, waiting);
        self.out.push_back(Output::Send { connection, bytes });
    }

    /// Sends what a peer owes to another one, with the T flag and the same End-to-End Identifier (RFC 6733 §5.5.4).
    pub(super) fn fail_over(&mut self, now: Instant, from: PeerId, lost: Lost) {
        for hop_by_hop in self.pending.sent_to(from) {
            let Some(waiting) = self.pending.get(hop_by_hop) else {
                continue;
            };
            let up: Vec<Candidate> = match waiting.bound {
                None => self.candidates(waiting.application).collect(),
                Some(_) => Vec::new(),
            };
            let other = choose(&up, &waiting.first(), Some(from)).filter(|id| *id != from);
            if other.is_none() && lost == Lost::Perhaps {
                continue; // nowhere to go: the answer may still come
            }
            let Some(mut waiting) = self.pending.answered(hop_by_hop, from) else {
                continue;
            };
            match other {
                Some(other) => {
                    waiting.peer = other;
                    waiting.retransmitted = true;
                    self.transmit(now, waiting);
                }
                None => {
                    let asked = (waiting.application, waiting.ticket);
                    self.finish(asked, Some(from), Outcome::Unanswered);
                }
            }
        }
    }

    /// Sends what a redirect agent has answered to the server that it names (RFC 6733 §6.1.8), where that is a peer
    /// which is up: a stranger's word makes no new ones. `Err`: the answer is the end of this request.
    pub(super) fn redirect(
        &mut self,
        now: Instant,
        answer: &Message<'_>,
        waiting: Waiting,
    ) -> Result<(), Box<Waiting>> {
        let result = answer.find(&RESULT_CODE).and_then(|avp| avp.u32());
        let indicated =
            answer.header.flags.error() && result == Some(ResultCode::REDIRECT_INDICATION.0);
        if !indicated || waiting.redirected || waiting.bound.is_some() {
            return Err(Box::new(waiting));
        }
        let named = answer.avps().filter(|avp| avp.is(&REDIRECT_HOST));
        let mut hosts = named.filter_map(|avp| uri_host(avp.text()?));
        let candidates: Vec<Candidate> = self.candidates(waiting.application).collect();
        let other = hosts.find_map(|host| {
            let is = |c: &&Candidate| {
                let peer = self.peers.get(&c.id);
                let known = peer.and_then(|peer| peer.settings.host.as_deref());
                known.is_some_and(|known| known.eq_ignore_ascii_case(host))
            };
            candidates.iter().find(is).map(|c| c.id)
        });
        match other.filter(|id| *id != waiting.peer) {
            None => Err(Box::new(waiting)),
            Some(peer) => {
                let waiting = Waiting {
                    peer,
                    redirected: true,
                    ..waiting
                };
                self.transmit(now, waiting);
                Ok(())
            }
        }
    }

    pub(super) fn finish(
        &mut self,
        (application, ticket): (u32, u64),
        peer: Option<PeerId>,
        outcome: Outcome,
    ) {
        self.out.push_back(Output::Answered {
            application,
            ticket,
            peer,
            outcome,
        });
    }
}

/// The host of a DiameterURI (RFC 6733 §4.3.1): `aaa://host:port;transport=tcp`.
fn uri_host(uri: &str) -> Option<&str> {
    let (_, rest) = uri.split_once("://")?;
    rest.split([':', ';'])
        .next()
        .filter(|host| !host.is_empty())
}

/// Whether a peer that went may still answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    Perhaps,
    Surely,
}
