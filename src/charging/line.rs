//! The line to the charging systems: one Diameter node with its connections, for Rf and for Ro.
//!
//! There is one connection for each pair of identities (RFC 6733 §5.1), so whoever is CDF and OCS at once is one peer,
//! with a priority for each. The two applications are users of the line: they ask, and hear the outcome as [`News`].

use super::advice;
use super::directory::{Directory, Step};
use super::link::{self, Links};
use super::listen::{Door, Hall};
use super::online;
use super::settings::Checked;
use super::socket::Acknowledge;
use super::tls::Tls;
use crate::telemetry::Metrics;
use crate::telemetry::metrics::Held;
use diameter::Instant;
use diameter::base::{Applications, Local};
use diameter::dictionary::{APP_ACCOUNTING, APP_CREDIT_CONTROL, CMD_ACCOUNTING, SESSION_ID};
use diameter::fault::ResultCode;
use diameter::message::{Header, Message};
use diameter::node::{
    Condition, ConnectionId, Input, Limits, Node, Outcome, Output, PeerSettings, Request, Settings,
    Share,
};
use diameter::route::PeerId;
use ims::time::Timestamp;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;
use tracing::{info, warn};

/// What a peer is called in the log that only a `ccf` or an `ecf` names: over time there may be many.
const NAMED: &str = "named by the core";

/// Records under way at most while a question waits for its answer, where one system takes both.
const AHEAD: usize = 32;

/// What a user of the line hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// How a request ended. Each gets exactly one.
    Answered {
        /// Application-Id of the request.
        application: u32,
        ticket: u64,
        peer: Option<PeerId>,
        outcome: Outcome,
    },
    /// A RAR or ASR, to be answered with [`Line::reply`].
    Asked {
        connection: ConnectionId,
        request: Vec<u8>,
    },
    /// A record was sent that may have been received before.
    Resent { peer: PeerId, session_id: String },
}

/// The node, its connections and who they lead to.
#[derive(Debug)]
pub(super) struct Line {
    node: Node,
    links: Links,
    directory: Directory,
    metrics: Metrics,
    started: tokio::time::Instant,
    /// What is offered to peers that are named.
    named: Applications,
    /// Whether some peer of the configuration is CDF and OCS at once.
    shared: bool,
    /// Requests that wait for a peer which is being connected for the first time, and the values that name it.
    held: Vec<(Vec<String>, Request)>,
    /// Why each peer that is not up was not up when it was last said: each attempt fails in the same way.
    said: BTreeMap<PeerId, String>,
    max_message: usize,
    leaving: bool,
}

/// Everything a line is made of.
pub(super) struct Start<'a> {
    pub settings: &'a Checked,
    pub online: Option<&'a online::settings::Checked>,
    pub metrics: Metrics,
    pub tls: Option<Tls>,
    pub seed: [u8; 32],
    /// Where peers connect to us.
    pub doors: Vec<Door>,
    /// Is told what happens on connections; it is for [`Line::heard`].
    pub events: mpsc::Sender<(ConnectionId, link::Event)>,
}

impl Line {
    /// Begins to connect to the peers of the configuration.
    pub fn new(start: Start<'_>) -> Line {
        let Start {
            settings,
            online,
            metrics,
            tls,
            seed,
            doors,
            events,
        } = start;
        let max_message = settings.given.max_message_bytes as usize;
        let max_named = settings.given.dynamic_peers as usize;
        let mut line = Line {
            node: Node::new(node_settings(settings, online), seed),
            directory: Directory::new(max_named, tls.is_some()),
            links: Links::new(events.clone(), max_message, tls.clone()),
            metrics,
            started: tokio::time::Instant::now(),
            named: Applications {
                accounting: !settings.peers.is_empty() && settings.given.use_ccf,
                credit_control: online.is_some_and(|online| online.given.use_ecf),
            },
            shared: false,
            held: Vec::new(),
            said: BTreeMap::new(),
            max_message,
            leaving: false,
        };
        line.configure(settings, online);
        line.listen(doors, settings, tls, events);
        line
    }

    /// Begins to take connections of the peers of the configuration.
    fn listen(
        &mut self,
        doors: Vec<Door>,
        settings: &Checked,
        tls: Option<Tls>,
        events: mpsc::Sender<(ConnectionId, link::Event)>,
    ) {
        if doors.is_empty() {
            return;
        }
        let half_open = settings.given.listen_half_open as usize;
        self.node.listen(half_open);
        let hall = Hall {
            callers: self.directory.callers(),
            tls,
            half_open,
            patience: Duration::from_millis(settings.given.connect_timeout_ms.0),
            max_message: self.max_message,
            events,
        };
        hall.open(doors);
    }

    fn configure(&mut self, settings: &Checked, online: Option<&online::settings::Checked>) {
        let cdfs = &settings.peers;
        let ocss = online.map_or(&[][..], |online| &online.peers);
        let of = |priority| {
            let general = true;
            Some(Share { priority, general })
        };
        let only_ocss = ocss
            .iter()
            .filter(|ocs| !cdfs.iter().any(|cdf| cdf.is(&ocs.host)));
        for peer in cdfs.iter().chain(only_ocss) {
            let cdf = cdfs.iter().find(|cdf| cdf.is(&peer.host));
            let ocs = ocss.iter().find(|ocs| ocs.is(&peer.host));
            self.shared |= cdf.is_some() && ocs.is_some();
            self.metrics.set_peer(&peer.host, false);
            let known = PeerSettings {
                host: Some(peer.host.clone()),
                realm: Some(peer.realm.clone()),
                accounting: cdf.and_then(|cdf| of(cdf.priority)),
                credit_control: ocs.and_then(|ocs| of(ocs.priority)),
            };
            let id = match peer.connect {
                true => self.node.add_peer(self.now(), known),
                false => self.node.expect_peer(known),
            };
            let (host, place) = (peer.host.clone(), peer.place.clone());
            self.directory.configured(id, host, place);
        }
    }

    /// The time as the node counts it: in milliseconds since the line began.
    pub fn now(&self) -> Instant {
        Instant(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// A moment of the node's time as the runtime counts it.
    pub fn moment(&self, at: Instant) -> tokio::time::Instant {
        self.started + Duration::from_millis(at.0)
    }

    /// How many sessions of credit control are open.
    pub fn show_sessions(&self, open: usize) {
        self.metrics.set_held(Held::CreditSessions, open);
    }

    /// Longest message sent, in bytes.
    pub fn max_message(&self) -> usize {
        self.max_message
    }

    /// When [`Line::tick`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.node.deadline()
    }

    pub fn tick(&mut self) {
        self.node.handle(self.now(), Input::Tick);
    }

    /// Something has happened on a connection.
    pub fn heard(&mut self, connection: ConnectionId, event: link::Event) {
        let input = self.links.heard(connection, &event);
        self.node.handle(self.now(), input);
    }

    /// Sends what is to be sent, and says what else there is. To be asked until there is nothing.
    pub fn poll(&mut self) -> Option<News> {
        while let Some(output) = self.node.poll_output() {
            if let Some(news) = self.output(output) {
                return Some(news);
            }
        }
        None
    }

    fn output(&mut self, output: Output) -> Option<News> {
        match output {
            Output::Connect { connection } => self.connect(connection),
            Output::Close { connection } => self.links.close(connection),
            Output::Send { connection, bytes } => return self.send(connection, bytes),
            Output::Answered {
                application,
                ticket,
                peer,
                outcome,
            } => {
                return Some(News::Answered {
                    application,
                    ticket,
                    peer,
                    outcome,
                });
            }
            Output::Asked {
                connection,
                request,
            } => {
                return Some(News::Asked {
                    connection,
                    request,
                });
            }
            Output::Refused {
                connection,
                host,
                why,
            } => {
                let host = host.as_deref().unwrap_or("unknown");
                let number = connection.generation;
                warn!(peer = host, number, why, "charging connection is not taken");
            }
            Output::Restarted { peer } => {
                let peer = self.label(peer).unwrap_or(NAMED);
                info!(peer, "peer has restarted: its Origin-State-Id has risen");
            }
            Output::PeerState {
                peer,
                condition,
                why,
            } => {
                self.peer_state(peer, condition, &why);
            }
        }
        None
    }

    fn connect(&mut self, connection: ConnectionId) {
        match self.directory.place(connection.peer) {
            Some(place) => {
                // users wait for grants, nobody waits for an ACA
                let acknowledge = match self.node.wanted(connection.peer).credit_control {
                    true => Acknowledge::AtOnce,
                    false => Acknowledge::Soon,
                };
                self.links.connect(connection, place, acknowledge);
            }
            // Removed since; nothing waits for it.
            None => {
                let why = "nobody knows where it listens".to_owned();
                let failed = Input::ConnectFailed { connection, why };
                self.node.handle(self.now(), failed);
            }
        }
    }

    fn send(&mut self, connection: ConnectionId, bytes: Vec<u8>) -> Option<News> {
        let header = Header::read(&bytes);
        let again = header.is_some_and(|h| h.command == CMD_ACCOUNTING && h.flags.retransmitted());
        let news = again.then(|| News::Resent {
            peer: self.node.peer_of(connection).unwrap_or(connection.peer),
            session_id: session_id(&bytes),
        });
        if !self.links.send(connection, bytes) {
            self.links.close(connection);
            let gone = Input::Disconnected { connection };
            self.node.handle(self.now(), gone);
        }
        news
    }

    fn peer_state(&mut self, peer: PeerId, condition: Condition, why: &str) {
        if matches!(condition, Condition::Up | Condition::Closed) {
            self.directory.settled(peer);
            for (values, request) in std::mem::take(&mut self.held) {
                self.request_of(&values, request);
            }
        }
        let label = self.directory.label(peer);
        if let Some(host) = label {
            self.metrics.set_peer(host, condition == Condition::Up);
        }
        let host = label.unwrap_or(NAMED);
        match condition {
            Condition::Up => {
                self.said.remove(&peer);
                let serves = serves(self.node.applications(peer));
                info!(peer = host, serves, "charging peer is up");
            }
            Condition::Reopening => {
                info!(
                    peer = host,
                    "charging peer is back and must answer three watchdogs"
                );
            }
            Condition::Closed | Condition::Suspect => {
                let news = self.said.get(&peer).is_none_or(|said| said != why);
                if news && !self.leaving {
                    let at = self.directory.place(peer).filter(|_| label.is_some());
                    let at = at.map_or(String::new(), |place| place.to_string());
                    let check = advice::what_to_check(why);
                    warn!(peer = host, at, state = ?condition, why, check, "charging peer is not up");
                    self.said.insert(peer, why.to_owned());
                }
            }
            Condition::Connecting | Condition::Closing => {}
        }
    }

    /// Whether some peer can take a request of this application.
    pub fn is_up_for(&self, application: u32) -> bool {
        self.node.is_up_for(application)
    }

    /// Requests that are not answered, of both applications.
    pub fn in_flight(&self) -> usize {
        self.node.in_flight()
    }

    /// Whether a question waits for its answer behind as many records as it should: at a peer that takes both, one
    /// stands in line behind the others.
    pub fn is_crowded(&self) -> bool {
        self.shared
            && self.node.in_flight_of(APP_CREDIT_CONTROL) > 0
            && self.node.in_flight_of(APP_ACCOUNTING) >= AHEAD
    }

    pub fn request(&mut self, request: Request) {
        self.node.handle(self.now(), Input::Request(request));
    }

    /// Sends a request to one of those that these values name, if any of them can be reached: it waits for one that is
    /// being connected for the first time.
    pub fn request_of(&mut self, values: &[String], request: Request) {
        self.meet(values);
        let (named, wait) = self.named(values);
        let before = request.through.as_ref().map(|through| through.peer);
        if wait && !before.is_some_and(|peer| self.is_up(peer)) {
            return self.held.push((values.to_vec(), request));
        }
        self.request(Request {
            prefer: named,
            ..request
        });
    }

    fn is_up(&self, peer: PeerId) -> bool {
        self.node.condition(peer) == Some(Condition::Up)
    }

    /// Answers what came as [`News::Asked`].
    pub fn reply(&mut self, connection: ConnectionId, request: &[u8], result: ResultCode) {
        let reply = Input::Reply {
            connection,
            request,
            result,
        };
        self.node.handle(self.now(), reply);
    }

    /// Connects to the peers that these values of `ccf` or `ecf` name, as far as it is not done and there is room.
    pub fn meet(&mut self, values: &[String]) {
        if values.is_empty() {
            return;
        }
        let now = self.now();
        for step in self.directory.prepare(values, now.0) {
            match step {
                Step::Add { key, host, .. } => {
                    let share = Some(Share {
                        priority: u16::MAX,
                        general: false,
                    });
                    let named = PeerSettings {
                        host,
                        realm: None,
                        accounting: share.filter(|_| self.named.accounting),
                        credit_control: share.filter(|_| self.named.credit_control),
                    };
                    let id = self.node.add_peer(now, named);
                    self.directory.added(&key, id);
                }
                Step::Remove(id) => {
                    self.said.remove(&id);
                    self.node.remove_peer(now, id);
                }
            }
        }
    }

    /// The peers that these values name, in their order, and whether it is worth waiting for one of them, since it is
    /// being connected for the first time and none is up.
    pub fn named(&self, values: &[String]) -> (Vec<PeerId>, bool) {
        let (ids, unsettled) = self.directory.preferred(values);
        let wait = unsettled && !ids.iter().any(|id| self.is_up(*id));
        (ids, wait)
    }

    /// What to call a peer of the configuration.
    pub fn label(&self, peer: PeerId) -> Option<&str> {
        self.directory.label(peer)
    }

    /// Takes leave of every peer.
    pub fn leave(&mut self) {
        self.leaving = true;
        self.node.handle(self.now(), Input::Stop);
    }

    /// Whether every connection is closed for good.
    pub fn has_left(&self) -> bool {
        self.node.has_stopped()
    }
}

fn serves(applications: Applications) -> &'static str {
    match (applications.accounting, applications.credit_control) {
        (true, true) => "Rf and Ro",
        (true, false) => "Rf",
        (false, true) => "Ro",
        (false, false) => "nothing",
    }
}

fn session_id(request: &[u8]) -> String {
    let message = Message::parse(request).ok();
    let id = message
        .as_ref()
        .and_then(|message| message.find(&SESSION_ID)?.text());
    id.unwrap_or_default().to_owned()
}

fn node_settings(settings: &Checked, online: Option<&online::settings::Checked>) -> Settings {
    let given = &settings.given;
    let accounting = Limits {
        answer_timeout: given.answer_timeout_ms.0,
        max_pending: given.max_in_flight as usize,
    };
    Settings {
        local: Local {
            host: settings.origin_host.clone(),
            realm: settings.origin_realm.clone(),
            product: "Presentia".into(),
            state_id: u32::try_from(wall_clock().0 / 1000).unwrap_or(u32::MAX),
            applications: Applications {
                accounting: !settings.peers.is_empty(),
                credit_control: online.is_some(),
            },
        },
        watchdog: u64::from(given.watchdog_s.0) * 1000,
        accounting,
        credit_control: online.map_or(accounting, |online| online.given.limits()),
        connect_timeout: given.connect_timeout_ms.0,
        backoff: (given.reconnect_min_ms.0, given.reconnect_max_ms.0),
        max_message: given.max_message_bytes as usize,
        vocabulary: settings.vocabulary.clone(),
        overload_control: given.overload_control,
    }
}

/// The time of day.
pub(super) fn wall_clock() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
