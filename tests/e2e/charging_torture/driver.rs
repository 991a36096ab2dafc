//! A SIP client that keeps many requests under way and remembers what became of each.
//!
//! Each request has an icid of its own, so that its charging record can be told from all others.

use super::chance::Chance;
use super::dialogs::{Dialogs, Watch};
use crate::harness::{Came, Flight, Message};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Requests on their way at the same time.
pub(super) const WINDOW: usize = 48;
/// Longest wait for the answers to what is under way.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many take part.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    /// Presentities that publish at the same time.
    pub people: usize,
    /// Subscriptions held at the same time; with none there are no SUBSCRIBEs at all.
    pub watches: usize,
}

impl Crowd {
    pub const USUAL: Crowd = Crowd {
        people: 400,
        watches: 40,
    };
    pub const PUBLISHING: Crowd = Crowd {
        people: 400,
        watches: 0,
    };
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    UnderWay,
    /// Its final response came.
    Answered(u16),
    /// The server was killed before the client had an answer.
    Abandoned,
}

/// A request that was sent.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: &'static str,
    pub call_id: String,
    pub presentity: String,
    /// It put a document in place whose note begins with the icid.
    pub shows: bool,
    /// It was the first publication of somebody.
    pub newcomer: bool,
    pub outcome: Outcome,
}

#[derive(Clone, Debug)]
pub(super) struct Person {
    pub uri: String,
    pub etag: Option<String>,
    pub watched: bool,
    /// The document does not fit into the datagram of a NOTIFY, so nobody should watch it.
    pub long: bool,
}

/// Which part of the client a request belongs to.
#[derive(Clone, Debug)]
pub(super) enum Who {
    Person(usize),
    /// Somebody new in that place; whose place it was comes back when he is refused.
    Newcomer(usize, Person),
    NewWatch,
    Fetch,
    /// Refreshes it.
    Watch(Watch),
    EndOfWatch,
}

/// The client.
#[derive(Debug)]
pub struct Driver {
    pub(super) flight: Flight<Who>,
    pub(super) crowd: Crowd,
    pub(super) chance: Chance,
    pub(super) people: Vec<Person>,
    pub(super) idle: VecDeque<usize>,
    born: usize,
    pub dialogs: Dialogs,
    /// Every request, by its serial number, which is also in its icid.
    pub asked: Vec<Asked>,
    /// Answers that nothing explains.
    pub wrong: Vec<String>,
    /// Refusals are no surprise now: 5xx, and 402 when there is no credit.
    pub may_refuse: bool,
    /// Half of the publications are by people who have not published before.
    pub newcomers: bool,
    /// Bytes by which documents that nobody watches are longer than they need be.
    pub padding: usize,
}

/// The icid of a request.
pub fn icid(serial: usize) -> String {
    format!("torture-{serial}")
}

impl Driver {
    pub fn new(server: SocketAddr, seed: u64, crowd: Crowd) -> Driver {
        let mut driver = Driver {
            flight: Flight::new(server),
            crowd,
            chance: Chance(seed),
            people: Vec::new(),
            idle: (0..crowd.people).collect(),
            born: 0,
            dialogs: Dialogs::default(),
            asked: Vec::new(),
            wrong: Vec::new(),
            may_refuse: false,
            newcomers: false,
            padding: 0,
        };
        driver.people = (0..crowd.people).map(|_| driver.born()).collect();
        driver
    }

    /// Somebody who has never published.
    pub(super) fn born(&mut self) -> Person {
        self.born += 1;
        Person {
            uri: format!("sip:p{}@ims.test", self.born),
            etag: None,
            watched: false,
            long: false,
        }
    }

    /// Sends `count` requests that are new, as fast as they are answered, or fewer when `stop` says so.
    pub fn send(&mut self, count: usize, mut stop: impl FnMut() -> bool) {
        let end = self.asked.len() + count;
        let mut looked = Instant::now();
        self.flight.rest();
        while self.asked.len() < end {
            while self.flight.len() < WINDOW && self.asked.len() < end {
                self.begin();
            }
            self.pump(Duration::from_millis(5));
            if looked.elapsed() > Duration::from_millis(20) {
                looked = Instant::now();
                if stop() {
                    return;
                }
            }
        }
    }

    /// Answers what comes in for as long as `until` says nothing, at most for `limit`.
    pub fn wait<T>(
        &mut self,
        limit: Duration,
        mut until: impl FnMut(&mut Driver) -> Option<T>,
    ) -> Option<T> {
        let end = Instant::now() + limit;
        self.flight.rest();
        loop {
            if let Some(found) = until(self) {
                return Some(found);
            }
            if Instant::now() > end {
                return None;
            }
            let next = Instant::now() + Duration::from_millis(20);
            while let Some(left) = next.checked_duration_since(Instant::now()) {
                self.pump(left);
            }
        }
    }

    /// Waits until every request has its final response.
    pub fn settle(&mut self) {
        self.wait(PATIENCE, |driver| driver.flight.is_empty().then_some(()))
            .expect("every request is answered");
    }

    /// The server is dead: what it said is read, and what it did not answer is left, since nobody knows its fate.
    pub fn abandon(&mut self) {
        while let Some(came) = self.flight.take_rest() {
            self.came(came);
        }
        for (serial, who) in self.flight.abandon() {
            self.asked[serial].outcome = Outcome::Abandoned;
            if let Who::Person(at) | Who::Newcomer(at, _) = who {
                self.people[at] = self.born(); // whether its entity-tag still holds is not known either
                self.idle.push_back(at);
            }
        }
    }

    /// Who has published, with the last document that was acknowledged.
    pub fn published(&self) -> BTreeMap<&str, usize> {
        let mut last = BTreeMap::new();
        for (serial, asked) in self
            .asked
            .iter()
            .enumerate()
            .filter(|(_, asked)| asked.shows)
        {
            match asked.outcome {
                Outcome::Answered(200) => last.insert(asked.presentity.as_str(), serial),
                Outcome::Answered(_) => None,
                // whether it replaced the one before is not known
                Outcome::Abandoned | Outcome::UnderWay => last.remove(asked.presentity.as_str()),
            };
        }
        last
    }

    /// Takes in what comes within `wait`.
    pub(super) fn pump(&mut self, wait: Duration) {
        if let Some(came) = self.flight.take(wait) {
            self.came(came);
        }
    }

    fn came(&mut self, came: Came<Who>) {
        match came {
            Came::Answer {
                serial,
                status,
                about,
                message,
            } => self.answered(serial, status, about, &message),
            Came::Request(notify) => self.dialogs.told(&notify),
            Came::Other => {}
        }
    }

    fn answered(&mut self, serial: usize, status: u16, who: Who, message: &Message) {
        self.asked[serial].outcome = Outcome::Answered(status);
        let good = (200..300).contains(&status);
        // a refresh may meet the end of its subscription
        let crossed = status == 481 && matches!(who, Who::Watch(_) | Who::EndOfWatch);
        let refused = status == 402 || status >= 500 || crossed;
        if !(good || self.may_refuse && refused) {
            let asked = &self.asked[serial];
            self.wrong.push(format!(
                "{} {asked:?} was answered {}",
                icid(serial),
                message.first
            ));
        }
        match who {
            Who::Newcomer(at, before) if !good => {
                self.people[at] = before;
                self.idle.push_back(at);
            }
            Who::Person(at) | Who::Newcomer(at, _) => {
                if good {
                    self.people[at].etag = Some(message.get("sip-etag").to_owned());
                }
                self.idle.push_back(at); // a refusal has changed nothing: what held before holds still
            }
            Who::NewWatch if good => self.dialogs.opened(&self.asked[serial].presentity, message),
            Who::Watch(watch) if good => self.dialogs.goes_on(watch),
            Who::Watch(watch) if crossed => self.dialogs.gone(&watch.call_id),
            Who::NewWatch | Who::Watch(_) | Who::Fetch | Who::EndOfWatch => {}
        }
    }
}
