//! A SIP client that keeps many requests under way and remembers what became of each.
//!
//! Each request has an icid of its own, so that its charging record can be told from all others.

use crate::harness::{Message, Request, pidf};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// Presentities that publish at the same time.
const PEOPLE: usize = 400;
/// Requests on their way at the same time.
const WINDOW: usize = 48;
/// Subscriptions held at the same time.
const WATCHES: usize = 40;
/// A request without an answer is sent again after this time, as a transaction over UDP does.
const AGAIN: Duration = Duration::from_millis(500);
/// Longest silence of a server that should live.
const SILENCE: Duration = Duration::from_secs(30);

/// Numbers that look like chance and are the same for the same seed (SplitMix64).
#[derive(Clone, Debug)]
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
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
struct Person {
    uri: String,
    etag: Option<String>,
    watched: bool,
    /// The document does not fit into the datagram of a NOTIFY, so nobody should watch it.
    long: bool,
}

/// A dialog opened by SUBSCRIBE.
#[derive(Clone, Debug)]
struct Watch {
    presentity: String,
    call_id: String,
    target: String,
    to: String,
    cseq: u64,
}

/// Which part of the client a request belongs to.
#[derive(Clone, Debug)]
enum Who {
    Person(usize),
    /// Somebody new in that place; whose place it was comes back when he is refused.
    Newcomer(usize, Person),
    NewWatch,
    Fetch,
    /// Refreshes it.
    Watch(Watch),
    EndOfWatch,
}

#[derive(Debug)]
struct Waiting {
    who: Who,
    text: String,
    sent: Instant,
}

/// The client.
#[derive(Debug)]
pub struct Driver {
    socket: UdpSocket,
    server: SocketAddr,
    me: String,
    /// Also SUBSCRIBE, not only PUBLISH.
    watching: bool,
    chance: Chance,
    people: Vec<Person>,
    idle: VecDeque<usize>,
    born: usize,
    watches: Vec<Watch>,
    under_way: BTreeMap<usize, Waiting>,
    heard: Instant,
    looked: Instant,
    /// Every request, by its serial number, which is also in its icid.
    pub asked: Vec<Asked>,
    /// CSeqs of the NOTIFYs that came, by Call-ID.
    pub notified: BTreeMap<String, BTreeSet<u64>>,
    /// Answers that nothing explains.
    pub wrong: Vec<String>,
    /// Refusals are no surprise now: 5xx, and 402 when there is no credit.
    pub may_refuse: bool,
    /// Half of the publications are by people who have not published before.
    pub newcomers: bool,
    /// Bytes by which documents that nobody watches are longer than they need be.
    pub padding: usize,
    pub answered: usize,
}

/// The icid of a request.
pub fn icid(serial: usize) -> String {
    format!("torture-{serial}")
}

impl Driver {
    pub fn new(server: SocketAddr, seed: u64, watching: bool) -> Driver {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let me = socket.local_addr().unwrap().to_string();
        let mut driver = Driver {
            socket,
            server,
            me,
            watching,
            chance: Chance(seed),
            people: Vec::new(),
            idle: (0..PEOPLE).collect(),
            born: 0,
            watches: Vec::new(),
            under_way: BTreeMap::new(),
            heard: Instant::now(),
            looked: Instant::now(),
            asked: Vec::new(),
            notified: BTreeMap::new(),
            wrong: Vec::new(),
            may_refuse: false,
            newcomers: false,
            padding: 0,
            answered: 0,
        };
        driver.people = (0..PEOPLE).map(|_| driver.born()).collect();
        driver
    }

    /// Somebody who has never published.
    fn born(&mut self) -> Person {
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
        self.heard = Instant::now();
        while self.asked.len() < end {
            while self.under_way.len() < WINDOW && self.asked.len() < end {
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
        self.heard = Instant::now();
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
        self.wait(SILENCE, |driver| driver.under_way.is_empty().then_some(()))
            .expect("every request is answered");
    }

    /// The server is dead: what it said is read, and what it did not answer is left, since nobody knows its fate.
    pub fn abandon(&mut self) {
        while self.take(Duration::from_millis(1)) {}
        for (serial, waiting) in std::mem::take(&mut self.under_way) {
            self.asked[serial].outcome = Outcome::Abandoned;
            if let Who::Person(at) | Who::Newcomer(at, _) = waiting.who {
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

    fn begin(&mut self) {
        let at = self.chance.below(PEOPLE);
        let person = &mut self.people[at];
        let uri = person.uri.clone();
        let watchable = self.watching && self.padding == 0 && !person.long;
        match self.chance.below(100) {
            0..5 if watchable && self.watches.len() < WATCHES => {
                person.watched = true;
                self.ask(Who::NewWatch, &uri, Request::subscribe(&uri, &uri));
            }
            5..12 if !self.watches.is_empty() => {
                let at = self.chance.below(self.watches.len());
                let watch = self.watches.swap_remove(at);
                let ends = self.chance.below(4) == 0;
                self.refresh(watch, ends);
            }
            12..14 if watchable => {
                let fetch = Request::subscribe(&uri, &uri).without("Expires");
                self.ask(Who::Fetch, &uri, fetch.with("Expires", 0));
            }
            _ => self.publish(),
        }
    }

    fn publish(&mut self) {
        let Some(at) = self.idle.pop_front() else {
            return;
        };
        let mut who = Who::Person(at);
        if self.newcomers && self.chance.below(2) == 0 {
            let born = self.born();
            who = Who::Newcomer(at, std::mem::replace(&mut self.people[at], born));
        }
        let (serial, person) = (self.asked.len(), &mut self.people[at]);
        let padding = if person.watched { 0 } else { self.padding };
        person.long |= padding > 0;
        let Person { uri, etag, .. } = person.clone();
        let note = format!("{} {}", icid(serial), "x".repeat(padding));
        let document = pidf(&uri, "open", &note);
        let request = match etag {
            None => Request::publish(&uri, &document),
            Some(etag) => match self.chance.below(3) {
                0 => Request::publish(&uri, "").with("SIP-If-Match", etag),
                _ => Request::publish(&uri, &document).with("SIP-If-Match", etag),
            },
        };
        self.ask(who, &uri, request);
    }

    fn refresh(&mut self, watch: Watch, ends: bool) {
        let expires = if ends { 0 } else { 600 };
        let request = Request::new("SUBSCRIBE", &watch.target)
            .with("P-Asserted-Identity", format!("<{}>", watch.presentity))
            .with("From", format!("<{}>;tag=w", watch.presentity))
            .with("To", &watch.to)
            .with("Call-ID", &watch.call_id)
            .with("CSeq", format!("{} SUBSCRIBE", watch.cseq + 1))
            .with("Event", "presence")
            .with("Accept", "application/pidf+xml")
            .with("Expires", expires);
        let presentity = watch.presentity.clone();
        let who = match ends {
            true => Who::EndOfWatch,
            false => Who::Watch(Watch {
                cseq: watch.cseq + 1,
                ..watch
            }),
        };
        self.ask(who, &presentity, request);
    }

    fn ask(&mut self, who: Who, presentity: &str, request: Request) {
        let serial = self.asked.len();
        let vector = format!("icid-value=\"{}\";orig-ioi=ims.test", icid(serial));
        let request = request.with("P-Charging-Vector", vector);
        let shows = request.method == "PUBLISH" && !request.body.is_empty();
        let newcomer = shows && !request.has("SIP-If-Match");
        let method = if request.method == "PUBLISH" {
            "PUBLISH"
        } else {
            "SUBSCRIBE"
        };
        let text = request.text("UDP", &self.me, serial as u64);
        let sent = Message::parse(text.as_bytes()).unwrap();
        self.asked.push(Asked {
            method,
            call_id: sent.get("call-id").to_owned(),
            presentity: presentity.to_owned(),
            shows,
            newcomer,
            outcome: Outcome::UnderWay,
        });
        let waiting = Waiting {
            who,
            text,
            sent: Instant::now(),
        };
        self.socket
            .send_to(waiting.text.as_bytes(), self.server)
            .unwrap();
        self.under_way.insert(serial, waiting);
    }

    /// Takes in what comes within `wait`, and sends again what has waited for too long.
    fn pump(&mut self, wait: Duration) {
        if self.take(wait) {
            self.heard = Instant::now();
        }
        if self.looked.elapsed() < Duration::from_millis(100) {
            return;
        }
        self.looked = Instant::now();
        for waiting in self.under_way.values_mut() {
            if waiting.sent.elapsed() > AGAIN {
                waiting.sent = Instant::now();
                let _ = self.socket.send_to(waiting.text.as_bytes(), self.server); // refused while it starts
            }
        }
        let silent = !self.under_way.is_empty() && self.heard.elapsed() > SILENCE;
        assert!(!silent, "no answer for {SILENCE:?}");
    }

    /// Takes in one datagram; true when there was one.
    fn take(&mut self, wait: Duration) -> bool {
        self.socket
            .set_read_timeout(Some(wait.max(Duration::from_micros(100))))
            .unwrap();
        let mut buffer = [0; 65_536];
        let Ok((size, peer)) = self.socket.recv_from(&mut buffer) else {
            return false;
        };
        let Some(message) = Message::parse(&buffer[..size]) else {
            return true;
        };
        match message.status() {
            Some(status @ 200..) => self.answered(status, &message),
            Some(_) => {}
            None => {
                let _ = self
                    .socket
                    .send_to(message.answer("200 OK").as_bytes(), peer);
                let known = self.notified.entry(message.get("call-id").to_owned());
                known.or_default().insert(message.cseq());
            }
        }
        true
    }

    fn answered(&mut self, status: u16, message: &Message) {
        // the branch ends in the serial number
        let serial = message.branch().rsplit_once('x');
        let serial = serial.and_then(|(_, serial)| serial.parse::<usize>().ok());
        let Some((serial, waiting)) = serial.and_then(|s| Some((s, self.under_way.remove(&s)?)))
        else {
            return;
        };
        self.answered += 1;
        self.asked[serial].outcome = Outcome::Answered(status);
        let good = (200..300).contains(&status);
        if !(good || self.may_refuse && (status == 402 || status >= 500)) {
            let asked = &self.asked[serial];
            self.wrong.push(format!(
                "{} {asked:?} was answered {}",
                icid(serial),
                message.first
            ));
        }
        match waiting.who {
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
            Who::NewWatch if good => self.watches.push(Watch {
                presentity: self.asked[serial].presentity.clone(),
                call_id: message.get("call-id").to_owned(),
                target: message.uri("contact"),
                to: message.get("to").to_owned(),
                cseq: message.cseq(),
            }),
            Who::Watch(watch) if good => self.watches.push(watch),
            Who::NewWatch | Who::Watch(_) | Who::Fetch | Who::EndOfWatch => {}
        }
    }
}
