//! One charge under way: its machine, its Session-Id and what the store has of it.

use super::order::{Kept, Order, Said};
use crate::Instant;
use crate::credit::event::OneTime;
use crate::credit::session::Session;
use crate::credit::verdict::Told;
use crate::credit::{Input, Output, Owed, Policy, Question, Terms};
use crate::fault::Class;
use crate::message::Message;
use crate::node::ConnectionId;
use crate::ro::{CreditAnswer, UnitsIn};
use crate::route::{PeerId, Through};

#[derive(Debug)]
pub(super) enum Machine {
    Event(OneTime),
    Session(Box<Session>),
}

#[derive(Debug)]
pub(super) struct Entry {
    pub machine: Machine,
    /// That of the charge, and behind it which of its sessions this is, unless it is the first.
    pub session_id: String,
    pub renewals: u32,
    /// The question under way.
    pub asked: Option<Question>,
    pub server: Option<String>,
    pub said: Option<Box<Said>>,
    pub peer: Option<PeerId>,
    /// What the store has, as far as it was written here.
    pub kept: Option<Kept>,
    /// When what the store has is to catch up with what was used.
    pub late: Option<Instant>,
    /// What a service that lasts may use, by its session.
    pub limit: Option<u64>,
    /// The same as its owner was told; `None`: nothing yet.
    pub told: Option<Option<u64>>,
    /// Units used that the store has, or will have before the service is told more.
    pub stored: u64,
    /// What happened since the service was granted and before it is known what became of it: until then the store is
    /// written by whoever gives the service.
    pub handed: Option<Vec<Held>>,
    pub lasting: bool,
    pub deadline: Option<Instant>,
}

/// An input that waits, with the request that it is, if any.
pub(super) type Held = (Input, Option<(ConnectionId, Vec<u8>)>);

impl Entry {
    pub fn kept_for(&self, owed: Owed) -> Kept {
        Kept {
            owed,
            server: self.server.clone(),
            renewals: self.renewals,
            terms: match &self.machine {
                Machine::Event(_) => Terms::default(),
                Machine::Session(session) => session.terms(),
            },
        }
    }

    /// Units used, where the service is one that lasts and they are counted.
    pub fn counted(&self) -> Option<u64> {
        match &self.machine {
            Machine::Session(session) => session.counted(),
            Machine::Event(_) => None,
        }
    }

    /// Notes what the store has to say from now on, and whether that is to be written at once.
    pub fn keep(
        &mut self,
        key: u64,
        now: Instant,
        owed: Owed,
        out: &[Output],
        policy: &Policy,
    ) -> Option<Order> {
        let kept = (owed != Owed::Nothing).then(|| self.kept_for(owed));
        for output in out {
            if let Output::Allowed(limit) = output {
                self.limit = *limit;
            }
        }
        let is_quiet = out.iter().all(|o| matches!(o, Output::Allowed(_)));
        let is_far = self.is_far_behind(policy.lag_units);
        if kept != self.kept && is_quiet && !is_far && self.may_wait(now, kept.as_ref()) {
            self.late.get_or_insert(now.after(policy.lag));
            return None;
        }
        (self.late, self.stored) = (None, self.counted().unwrap_or(0));
        if kept == self.kept {
            return None;
        }
        self.kept.clone_from(&kept);
        Some(match kept {
            Some(kept) => Order::Keep { key, kept },
            None => Order::Forget { key },
        })
    }

    /// What a service that lasts is to be told of how much it may use: within its grant, and not so far beyond what the
    /// store has that a process which dies would give away more than `lag` units; 0: any number.
    pub fn tell(&mut self, key: u64, lag: u64) -> Option<Order> {
        let bound = self.counted().filter(|_| lag > 0);
        let bound = bound.map(|_| self.stored.saturating_add(lag));
        let units = match (self.limit, bound) {
            (Some(limit), Some(bound)) => Some(limit.min(bound)),
            (limit, bound) => limit.or(bound),
        };
        if !self.lasting || self.told == Some(units) {
            return None;
        }
        self.told = Some(units);
        Some(Order::Allowed { key, units })
    }

    /// Whether half of what the store may be behind is used.
    fn is_far_behind(&self, lag: u64) -> bool {
        let used = self.counted().unwrap_or(0);
        let behind = used.saturating_sub(self.stored);
        lag > 0 && behind.saturating_mul(2) >= lag
    }

    /// Another session follows, at whichever server takes it.
    pub fn renew(&mut self) {
        let behind = match self.renewals {
            0 => None,
            _ => self.session_id.rfind(';'),
        };
        let first = &self.session_id[..behind.unwrap_or(self.session_id.len())];
        let renewals = self.renewals.saturating_add(1);
        self.session_id = session_id_of(first, renewals);
        (self.renewals, self.server) = (renewals, None);
    }

    /// Whether the store may be behind for a while: a session goes on, and nothing but the count of its units, or what
    /// was learnt of them, has changed.
    fn may_wait(&self, now: Instant, kept: Option<&Kept>) -> bool {
        let open = |kept: &Kept| matches!(kept.owed, Owed::Open { .. } | Owed::Given { .. });
        self.late.is_none_or(|at| now < at)
            && kept.is_some_and(open)
            && self.kept.as_ref().is_some_and(open)
    }

    pub fn ask(&mut self, key: u64, question: Question) -> Order {
        self.asked = Some(question);
        // Until the server has named itself, or when it may be any, the choice is the node's.
        let bound = self.server.clone().filter(|_| question.bound);
        Order::Ask {
            key,
            session_id: self.session_id.clone(),
            renewals: self.renewals,
            question,
            through: self
                .peer
                .filter(|_| !question.elsewhere)
                .map(|peer| Through {
                    peer,
                    server: self.server.clone(),
                }),
            avoid: self.peer.filter(|_| question.elsewhere),
            bound,
        }
    }

    /// An answer that cannot be read, or belongs to something else, says nothing: it counts as none.
    pub fn read(&mut self, bytes: &[u8], question: &Question, units_in: UnitsIn) -> Input {
        let message = Message::parse(bytes).ok();
        let answer = message
            .as_ref()
            .and_then(|message| CreditAnswer::read(message, units_in))
            .filter(|a| a.answers(&self.session_id, question.kind, question.number));
        let Some(answer) = answer else {
            return Input::Lost;
        };
        let result = answer.service_result.unwrap_or(answer.result);
        if result.class() != Class::Success {
            self.said = Some(Box::new(Said {
                result,
                host: answer.origin_host.map(str::to_owned),
                message: answer.error_message.map(str::to_owned),
            }));
        }
        let told = Told::read(&answer, question.measure);
        if told.session_open {
            self.server = answer.origin_host.map(str::to_owned);
        }
        Input::Answered(told)
    }
}

/// The Session-Id of one session of a charge.
pub(super) fn session_id_of(first: &str, renewals: u32) -> String {
    match renewals {
        0 => first.to_owned(),
        _ => format!("{first};{renewals}"),
    }
}
