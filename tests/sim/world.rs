//! The world: one clock, one queue of what happens next, one server, its peers and the network between them.

use crate::dice::Dice;
use crate::documents::{ruleset, service};
use crate::network::{Network, Weather};
use crate::ocs::{Charged, Ocs, online};
use crate::peers::{
    Alarm, Peer, Season, Turn, home::Home, scscf::Scscf, source::Source, watcher::Watcher,
};
use crate::picture::Wish;
use crate::promises::lists::LIST;
use crate::promises::{Meaning, Promises};
use crate::server::Server;
use crate::settings::{RETENTION, settings};
use crate::text::Message;
use crate::truth::{Handling, Rule};
use ims::event::turn::Ticket;
use ims::node::Census;
use ims::record::Table;
use ims::sip::{Flow, Transport};
use ims::xdm::{self, Xdm};
use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hasher};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// When the world begins: an instant like any other, not zero.
const EPOCH: u64 = 1_790_000_000_000;
/// Lines of the trace that are kept for the report of a failure.
const TAIL: usize = 60;

/// What one world is made of.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub seed: u64,
    pub presentities: usize,
    /// Sources of each presentity.
    pub sources: usize,
    /// Watchers of each presentity.
    pub watchers: usize,
    pub weather: Weather,
    /// Length of the storm, in seconds.
    pub storm: u64,
    /// Mean time between crashes, in seconds; 0: none.
    pub crash_every: u64,
    /// Slowest commit, in milliseconds.
    pub slow_disk: u64,
    /// Rules that hold for a time, or in a sphere.
    pub conditions: bool,
    /// Registrations are followed at an S-CSCF that serves the reg event package.
    pub follows: bool,
    /// Lists of presentities, each with one watcher, who owns it.
    pub lists: usize,
    /// What asks for credit.
    pub charged: Charged,
}

#[derive(Debug)]
pub enum Happening {
    Arrival {
        transport: Transport,
        from: SocketAddr,
        to: SocketAddr,
        /// Process of the server that a stream belongs to.
        connection: u64,
        bytes: Vec<u8>,
    },
    Wake(usize, Alarm),
    Release(u64),
    Committed(u64),
    Deadline(u64),
    Undeliverable(u64, Ticket),
    Put(u64),
    Collect,
    Crash,
    Start,
    Fault,
    Policy,
    List,
    Edit(u64),
    /// The charging system decides on a question of this process.
    Credit(u64, u64),
    Withdraw(u64),
}

/// A document on its way to the server, until it says that it has it.
#[derive(Debug)]
struct Writing {
    presentity: String,
    rules: Vec<Rule>,
}

/// A list on its way to the server.
#[derive(Debug)]
struct Edit {
    list: usize,
    members: Vec<String>,
}

pub struct World {
    pub now: u64,
    plan: Plan,
    pub dice: Dice,
    queue: BTreeMap<(u64, u64), Happening>,
    serial: u64,
    pub server: Server,
    network: Network,
    pub season: Season,
    peers: Vec<(SocketAddr, bool, Box<dyn Peer>)>,
    places: BTreeMap<SocketAddr, usize>,
    meanings: BTreeMap<String, (u64, Meaning)>,
    writings: BTreeMap<u64, Writing>,
    edits: BTreeMap<u64, Edit>,
    /// Members of each list, as the server has said that it has them.
    listed: Vec<Vec<String>>,
    pub promises: Promises,
    pub ocs: Ocs,
    cdf_is_down_until: u64,
    trace: DefaultHasher,
    tail: VecDeque<String>,
    pub events: u64,
}

impl World {
    pub fn new(plan: Plan, xdm: &Xdm) -> World {
        let mut dice = Dice::new(plan.seed);
        let failures = dice.percent(50);
        let at = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 5060);
        let mut settings = settings(xdm.clone(), failures);
        settings.registration.reg_event = plan.follows;
        settings.online = online(plan.charged);
        let server = Server::new(at, settings, plan.slow_disk);
        let promises = Promises::new(failures, u64::from(RETENTION) * 1000, plan.follows);
        let mut world = World {
            now: EPOCH,
            plan,
            dice,
            queue: BTreeMap::new(),
            serial: 0,
            server,
            network: Network::new(plan.weather),
            season: Season::Storm,
            peers: Vec::new(),
            places: BTreeMap::new(),
            meanings: BTreeMap::new(),
            writings: BTreeMap::new(),
            edits: BTreeMap::new(),
            listed: vec![Vec::new(); plan.lists],
            promises,
            ocs: Ocs::default(),
            cdf_is_down_until: 0,
            trace: DefaultHasher::new(),
            tail: VecDeque::new(),
            events: 0,
        };
        world.populate();
        world
    }

    fn populate(&mut self) {
        let users: Vec<String> = (0..self.plan.presentities)
            .map(|n| format!("sip:p{n}@ims.test"))
            .collect();
        for (p, user) in users.iter().enumerate() {
            for s in 0..self.plan.sources {
                let transport = *self
                    .dice
                    .pick(&[Transport::Udp, Transport::Udp, Transport::Tcp]);
                let verbose = self.dice.percent(30);
                let source = Source::new(&format!("p{p}s{s}"), user, transport, verbose);
                self.settle([1, p, s], Box::new(source));
            }
            for w in 0..self.plan.watchers {
                let transport = *self
                    .dice
                    .pick(&[Transport::Udp, Transport::Udp, Transport::Tcp]);
                let uri = format!("sip:w{p}x{w}@ims.test");
                let wish = Wish {
                    partial: self.dice.percent(50),
                    conditional: self.dice.percent(50),
                };
                let watcher = Watcher::new(&format!("w{p}x{w}"), &uri, user, transport, wish);
                self.settle([2, p, w], Box::new(watcher));
            }
        }
        for l in 0..self.plan.lists {
            let transport = *self.dice.pick(&[Transport::Udp, Transport::Tcp]);
            let (uri, list) = (format!("sip:l{l}@ims.test"), format!("{LIST}{l}@ims.test"));
            let name = format!("l{l}");
            let watcher = Watcher::new(&name, &uri, &list, transport, Wish::default());
            self.settle([4, l, 0], Box::new(watcher));
        }
        if self.plan.lists > 0 {
            self.at(EPOCH + 50, Happening::List);
        }
        let scscf: Box<dyn Peer> = if self.plan.follows {
            let kamailio = self.dice.percent(50);
            Box::new(Home::new(users, kamailio))
        } else {
            Box::new(Scscf::new(users))
        };
        self.settle([3, 0, 0], scscf);
        self.start_server();
        self.at(EPOCH + 1_000, Happening::Collect);
        self.at(EPOCH + 2_000, Happening::Fault);
        self.at(EPOCH + 100, Happening::Policy);
        if self.plan.crash_every > 0 {
            let first = self.dice.between(1_000, self.plan.crash_every * 2_000);
            self.at(EPOCH + first, Happening::Crash);
        }
    }

    fn settle(&mut self, place: [usize; 3], peer: Box<dyn Peer>) {
        let [kind, group, member] = place.map(|n| n as u8);
        let at = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, kind, group, member + 1)), 5060);
        let takes_streams = self.dice.percent(50);
        let index = self.peers.len();
        self.places.insert(at, index);
        self.peers.push((at, takes_streams, peer));
        let first = self.dice.between(200, 20_000);
        self.at(EPOCH + first, Happening::Wake(index, Alarm::Act(u64::MAX)));
    }

    pub fn at(&mut self, when: u64, happening: Happening) {
        self.serial += 1;
        self.queue.insert((when, self.serial), happening);
    }

    /// Runs for so many seconds of virtual time, or until a promise is broken.
    pub fn run(&mut self, seconds: u64) {
        let end = self.now + seconds * 1000;
        while let Some(next) = self.queue.first_entry().filter(|e| e.key().0 <= end) {
            let ((when, _), happening) = next.remove_entry();
            self.now = when;
            self.events += 1;
            self.happens(happening);
            if !self.promises.broken.is_empty() {
                return;
            }
            if self.events.is_multiple_of(20_000) {
                self.promises.forget_before(self.now);
                let old = self.now.saturating_sub(120_000);
                self.meanings.retain(|_, (at, _)| *at > old);
            }
        }
        self.now = end;
    }

    fn happens(&mut self, happening: Happening) {
        let current = self.server.incarnation;
        match happening {
            Happening::Arrival {
                transport,
                from,
                to,
                connection,
                bytes,
            } => self.arrives(transport, from, to, connection, bytes),
            Happening::Wake(peer, alarm) => self.peer(peer, |peer, turn| peer.wake(alarm, turn)),
            Happening::Release(i) if i == current => self.release(),
            Happening::Committed(i) if i == current => self.committed(),
            Happening::Deadline(i) if i == current => self.server_deadline(),
            Happening::Undeliverable(i, ticket) if i == current => {
                self.server_undeliverable(ticket)
            }
            Happening::Credit(i, number) if i == current => self.credit_decided(number),
            Happening::Withdraw(number) => self.credit_withdrawn(number),
            Happening::Release(_) | Happening::Committed(_) | Happening::Credit(..) => {}
            Happening::Deadline(_) | Happening::Undeliverable(..) => {}
            Happening::Put(number) => self.put(number),
            Happening::Collect => self.collect(),
            Happening::Crash => self.crash_and_restart(),
            Happening::Start => self.start_server(),
            Happening::Fault => self.fault(),
            Happening::Policy => self.new_policy(),
            Happening::List => self.new_list(),
            Happening::Edit(number) => self.edit(number),
        }
    }

    fn arrives(
        &mut self,
        transport: Transport,
        from: SocketAddr,
        to: SocketAddr,
        connection: u64,
        bytes: Vec<u8>,
    ) {
        self.log(&format!(
            "{from} > {to} {transport:?}\n{}",
            String::from_utf8_lossy(&bytes)
        ));
        if to == self.server.at {
            let current = self.server.incarnation;
            if self.server.node.is_some() && (transport == Transport::Udp || connection == current)
            {
                let flow = Flow {
                    transport,
                    local: to,
                    remote: from,
                    connection: if transport == Transport::Udp {
                        0
                    } else {
                        current
                    },
                };
                self.server_receives(flow, bytes);
            }
        } else if let Some(&index) = self.places.get(&to) {
            let message = Message::parse(&bytes);
            self.peer(index, |peer, turn| peer.receive(&message, transport, turn));
            if let Some(lost) = self.peers[index].2.lost() {
                self.promises.check(
                    "a watcher can build on every NOTIFY it takes",
                    false,
                    || lost,
                );
            }
        }
    }

    /// Lets a peer do something and carries out what it wants.
    fn peer(&mut self, index: usize, act: impl FnOnce(&mut dyn Peer, &mut Turn<'_>)) {
        let (me, _, peer) = &mut self.peers[index];
        let me = *me;
        let mut turn = Turn {
            now: self.now,
            season: self.season,
            dice: &mut self.dice,
            me,
            sends: Vec::new(),
            wakes: Vec::new(),
        };
        act(peer.as_mut(), &mut turn);
        let (sends, wakes) = (turn.sends, turn.wakes);
        for (transport, bytes) in sends {
            let message = Message::parse(&bytes);
            if message.status().is_none() {
                let meaning = self.peers[index].2.meaning(&message);
                let branch = message.branch().to_owned();
                self.meanings.entry(branch).or_insert((self.now, meaning));
            }
            self.send(transport, me, self.server.at, bytes);
        }
        for (when, alarm) in wakes {
            self.at(when, Happening::Wake(index, alarm));
        }
    }

    /// What a request meant to the peer that sent it.
    pub fn meaning(&self, branch: &str) -> Meaning {
        let known = self
            .meanings
            .get(branch)
            .expect("every request is from a peer");
        known.1.clone()
    }

    pub fn send(&mut self, transport: Transport, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        let arrivals = self
            .network
            .arrivals(self.now, transport, from, to, &mut self.dice);
        let connection = self.server.incarnation;
        for when in arrivals {
            let bytes = bytes.clone();
            self.at(
                when,
                Happening::Arrival {
                    transport,
                    from,
                    to,
                    connection,
                    bytes,
                },
            );
        }
    }

    /// Whether a peer listens for streams.
    pub fn takes_streams(&self, at: SocketAddr) -> bool {
        self.places
            .get(&at)
            .is_some_and(|&index| self.peers[index].1)
    }

    fn crash_and_restart(&mut self) {
        if self.season != Season::Storm {
            return;
        }
        self.crash();
        let away = *self.dice.pick(&[50, 500, 5_000, 60_000]);
        let back = self.now + self.dice.between(10, away);
        self.at(back, Happening::Start);
        let next = self.dice.between(100, self.plan.crash_every * 2_000);
        self.at(back + next, Happening::Crash);
    }

    /// Cuts a peer off for a while, or the CDF.
    fn fault(&mut self) {
        if self.season != Season::Storm {
            return;
        }
        let (at, _, _) = self.dice.pick(&self.peers);
        let ip = at.ip();
        let until = self.now + self.dice.between(500, 50_000);
        self.network.cut_off(ip, until);
        if self.dice.percent(20) {
            self.cdf_is_down_until = self.now + self.dice.between(1_000, 120_000);
        }
        let next = self.now + self.dice.between(5_000, 60_000);
        self.at(next, Happening::Fault);
    }

    /// Somebody changes his rules.
    fn new_policy(&mut self) {
        if self.season != Season::Storm {
            return;
        }
        let p = self.dice.between(0, self.plan.presentities as u64);
        let presentity = format!("sip:p{p}@ims.test");
        let mut rules = Vec::new();
        let own = (0..self.plan.watchers).map(|w| format!("sip:w{p}x{w}@ims.test"));
        let of_lists = (0..self.plan.lists).map(|l| format!("sip:l{l}@ims.test"));
        for watcher in own.chain(of_lists) {
            for _ in 0..self.dice.between(0, 3) {
                let rule = self.rule(&watcher);
                rules.push(rule);
            }
        }
        self.serial += 1;
        let number = self.serial;
        self.writings.insert(number, Writing { presentity, rules });
        self.at(self.now + 5, Happening::Put(number));
        let next = self.now + self.dice.between(1_000, 40_000);
        self.at(next, Happening::Policy);
    }

    fn rule(&mut self, watcher: &str) -> Rule {
        let handling = match self.dice.percent(50) {
            true => Handling::Allow,
            false => *self.dice.pick(&Handling::ALL),
        };
        let conditions = self.plan.conditions && self.dice.percent(30);
        let second = |ms: u64| ms / 1000 * 1000;
        let from = second(self.now + self.dice.between(0, 60_000)) - 30_000;
        let until = from + 1_000 * self.dice.between(10, 120);
        Rule {
            watcher: watcher.to_owned(),
            handling,
            validity: (conditions && self.dice.percent(50)).then_some((from, until)),
            sphere: (conditions && self.dice.percent(50)).then_some("home"),
        }
    }

    fn put(&mut self, number: u64) {
        let Some(writing) = self.writings.get(&number) else {
            return;
        };
        let (presentity, rules) = (writing.presentity.clone(), writing.rules.clone());
        // over HTTP: tried again until the server says that it is written
        self.at(self.now + 3_000, Happening::Put(number));
        let body = ruleset(&rules);
        let request = xdm::Request {
            method: xdm::Method::Put,
            target: format!("pres-rules/users/{presentity}/index"),
            query: None,
            content_type: Some("application/auth-policy+xml".into()),
            content_encoding: None,
            if_match: None,
            if_none_match: None,
            body: body.into(),
            identity: xdm::Identity::User(presentity.clone()),
        };
        self.log(&format!("put {presentity} {rules:?}"));
        self.server_put(number, &presentity, rules, &request);
    }

    /// Somebody edits his list.
    fn new_list(&mut self) {
        if self.season != Season::Storm {
            return;
        }
        let list = self.dice.between(0, self.plan.lists as u64) as usize;
        let mut members = Vec::new();
        for p in 0..self.plan.presentities {
            if self.dice.percent(70) {
                members.push(format!("sip:p{p}@ims.test"));
            }
        }
        // one at a time: two on their way could arrive in either order
        if !self.edits.values().any(|edit| edit.list == list) {
            self.serial += 1;
            let number = self.serial;
            self.edits.insert(number, Edit { list, members });
            self.at(self.now + 5, Happening::Edit(number));
        }
        let next = self.now + self.dice.between(1_000, 60_000);
        self.at(next, Happening::List);
    }

    fn edit(&mut self, number: u64) {
        let Some(Edit { list, members }) = self.edits.get(&number) else {
            return;
        };
        let owner = format!("sip:l{list}@ims.test");
        let body = service(&format!("{LIST}{list}@ims.test"), members);
        self.at(self.now + 3_000, Happening::Edit(number));
        let request = xdm::Request {
            method: xdm::Method::Put,
            target: format!("rls-services/users/{owner}/index"),
            query: None,
            content_type: Some("application/rls-services+xml".into()),
            content_encoding: None,
            if_match: None,
            if_none_match: None,
            body: body.into(),
            identity: xdm::Identity::User(owner),
        };
        self.log(&format!("put list {number}"));
        self.server_edit(number, &request);
    }

    pub fn xcap_answered(&mut self, number: u64, status: u16) {
        if let Some(Edit { list, members }) = self.edits.remove(&number) {
            let taken = matches!(status, 200 | 201);
            let promise = "a valid list is taken";
            self.promises.check(promise, taken, || status.to_string());
            self.listed[list] = members;
        }
        let writing = self.writings.remove(&number);
        if writing.is_some() {
            self.promises.check(
                "a valid rules document is taken",
                matches!(status, 200 | 201),
                || status.to_string(),
            );
        }
    }

    /// The CDF takes what the spool has, and the spool hears of it.
    fn collect(&mut self) {
        if self.now >= self.cdf_is_down_until && self.server.node.is_some() {
            let events: Vec<_> = self.server.spool.values().take(50).cloned().collect();
            for event in &events {
                self.promises.recorded(event);
            }
            if !events.is_empty() && !self.dice.percent(5) {
                self.acknowledged(events.iter().map(|e| e.number).collect());
            }
        }
        let next = self.now + self.dice.between(50, 400);
        self.at(next, Happening::Collect);
    }

    /// Nothing breaks from now on, and nobody changes anything.
    pub fn calm_down(&mut self) {
        self.season = Season::Quiet;
        self.network.weather = Weather::CALM;
        self.network.heal();
        self.cdf_is_down_until = 0;
    }

    /// Everybody stops.
    pub fn fall_silent(&mut self) {
        self.season = Season::End;
    }

    pub fn plan(&self) -> Plan {
        self.plan
    }

    pub fn census(&self) -> Census {
        self.server
            .node
            .as_ref()
            .map(|n| n.census())
            .unwrap_or_default()
    }

    /// Records of the store that somebody's lifetime should have ended.
    pub fn soft_records(&self) -> Vec<String> {
        let hard = [
            Table::Node,
            Table::Document,
            Table::Modified,
            Table::PermanentSince,
            Table::Alias,
            Table::ChargingEmitted,
        ];
        let records = self.server.disk.records();
        records
            .filter(|(table, ..)| !hard.contains(table))
            .map(|(table, key, _)| format!("{table:?} {}", String::from_utf8_lossy(key)))
            .collect()
    }

    /// Judges what every watcher sees now.
    pub fn check_watchers(&mut self) {
        let homes = self.peers.iter().filter_map(|(_, _, peer)| peer.as_home());
        let registered: BTreeMap<String, bool> = homes
            .flat_map(Home::registered)
            .map(|(user, is)| (user.to_owned(), is))
            .collect();
        self.promises.registrations_are(Some(registered));
        for (_, _, peer) in &self.peers {
            if let Some(watcher) = peer.as_watcher() {
                let (uri, presentity) = watcher.watches();
                if let Some(number) = presentity.strip_prefix(LIST) {
                    let list = number
                        .split('@')
                        .next()
                        .and_then(|n| n.parse::<usize>().ok());
                    let members = list.and_then(|list| self.listed.get(list));
                    let members = members.map_or(&[][..], Vec::as_slice);
                    let seen = watcher.friends();
                    self.promises.check_list(self.now, members, uri, &seen);
                    continue;
                }
                self.promises
                    .check_watcher(self.now, presentity, uri, watcher.told());
            }
        }
        self.promises.registrations_are(None);
    }

    pub fn log(&mut self, line: &str) {
        self.trace.write(line.as_bytes());
        self.trace.write_u64(self.now);
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail
            .push_back(format!("{:>10} {line}", self.now - EPOCH));
    }

    /// One number for everything that happened.
    pub fn trace(&self) -> u64 {
        self.trace.finish()
    }

    pub fn tail(&self) -> String {
        let lines: Vec<&str> = self.tail.iter().map(String::as_str).collect();
        lines.join("\n")
    }
}
