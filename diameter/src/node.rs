//! The whole node behind one door: `handle` is told the time and what happened, `poll_output` says what to do.

mod reception;
mod requests;

use crate::Instant;
use crate::association::{Association, Tools};
use crate::base::{Applications, Goodbye, Local};
use crate::dictionary::{APP_ACCOUNTING, APP_CREDIT_CONTROL};
use crate::fault::{FrameError, ResultCode};
use crate::message::{Header, Message};
use crate::peer::Side;
use crate::route::{PeerId, Pending, Through};
use crate::vocabulary::Vocabulary;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use reception::Reception;
use requests::Lost;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

/// How the node behaves. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Its applications are those of all peers together; each is offered what it takes of them.
    pub local: Local,
    /// Twinit (RFC 3539 §3.4.1), at least 6,000.
    pub watchdog: u64,
    pub accounting: Limits,
    pub credit_control: Limits,
    /// How long a connection, a CEA, a DPA may each take.
    pub connect_timeout: u64,
    /// First and longest wait before connecting again.
    pub backoff: (u64, u64),
    /// Longest message sent, in bytes.
    pub max_message: usize,
    /// AVPs that the operator has made known.
    pub vocabulary: Vocabulary,
    /// Whether overload reports of peers are asked for and heeded (RFC 7683).
    pub overload_control: bool,
}

/// What holds for the requests of one application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a request may stay unanswered, in milliseconds.
    pub answer_timeout: u64,
    /// Requests in flight at most. Those of another application do not count.
    pub max_pending: usize,
}

/// One peer, with one connection for all that it serves (RFC 6733 §2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerSettings {
    /// Its DiameterIdentity; `None`: whatever it says it is.
    pub host: Option<String>,
    /// Destination-Realm of what is sent to it; `None`: the realm it says it is in.
    pub realm: Option<String>,
    /// What it takes of accounting; `None`: this application is not offered to it.
    pub accounting: Option<Share>,
    /// What it takes of credit control; `None`: this application is not offered to it.
    pub credit_control: Option<Share>,
}

/// What a peer takes of the requests of an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The lowest number that is up is chosen.
    pub priority: u16,
    /// Whether it takes requests that do not name it.
    pub general: bool,
}

impl PeerSettings {
    /// What is offered to this peer.
    pub fn applications(&self) -> Applications {
        Applications {
            accounting: self.accounting.is_some(),
            credit_control: self.credit_control.is_some(),
        }
    }

    fn share(&self, application: u32) -> Option<Share> {
        match application {
            APP_ACCOUNTING => self.accounting,
            APP_CREDIT_CONTROL => self.credit_control,
            _ => None,
        }
    }
}

/// One connection. Its name is used once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId {
    /// To whom it was made; [`PeerId::CALLER`] where it was made to us.
    pub peer: PeerId,
    pub generation: u32,
}

impl ConnectionId {
    /// A connection that was made to us, by the caller's count of them.
    pub fn accepted(count: u32) -> ConnectionId {
        ConnectionId {
            peer: PeerId::CALLER,
            generation: count,
        }
    }
}

/// A request to send. Destination and identifiers are put in for each peer that it is sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The caller's name for it, among those of its application.
    pub ticket: u64,
    /// The same each time this request is sent; its first bit must be 0.
    pub end_to_end: u32,
    /// Whether it may have been received already: the T flag (RFC 6733 §3).
    pub retransmitted: bool,
    /// Where it belongs after what was asked before: tried before all others.
    pub through: Option<Through>,
    /// Peers to be tried first, by name; they also get a Destination-Host.
    pub prefer: Vec<PeerId>,
    /// The peer that has just failed it.
    pub avoid: Option<PeerId>,
    /// The server that holds the session of this request, its Destination-Host: the request goes to this peer, or
    /// through the agents in `through` and `prefer`, and is not moved when one of them goes (RFC 8506 §5.7).
    pub bound: Option<String>,
    /// A finished message without Destination-Realm and Destination-Host.
    pub message: Vec<u8>,
}

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// The time has come that [`Node::deadline`] asked for.
    Tick,
    Connected {
        connection: ConnectionId,
        local: IpAddr,
    },
    ConnectFailed {
        connection: ConnectionId,
        why: String,
    },
    /// Somebody has connected, who by source address or certificate may be one of `peers`. A CER says who it is.
    Accepted {
        /// Made by [`ConnectionId::accepted`].
        connection: ConnectionId,
        /// Our address on it.
        local: IpAddr,
        peers: Vec<PeerId>,
    },
    /// One framed message.
    Received {
        connection: ConnectionId,
        message: &'a [u8],
    },
    /// The stream cannot be framed; `start` is what stood where a message should begin.
    Garbled {
        connection: ConnectionId,
        start: &'a [u8],
        error: FrameError,
    },
    Disconnected {
        connection: ConnectionId,
    },
    Request(Request),
    /// The answer to what came as [`Output::Asked`].
    Reply {
        connection: ConnectionId,
        request: &'a [u8],
        result: ResultCode,
    },
    /// Ends every association with a DPR.
    Stop,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    Connect {
        connection: ConnectionId,
    },
    Send {
        connection: ConnectionId,
        bytes: Vec<u8>,
    },
    Close {
        connection: ConnectionId,
    },
    /// Each request gets exactly one.
    Answered {
        /// Application-Id of the request.
        application: u32,
        ticket: u64,
        peer: Option<PeerId>,
        outcome: Outcome,
    },
    PeerState {
        peer: PeerId,
        condition: Condition,
        why: String,
    },
    /// The peer asks about a session of credit control: a well-formed RAR or ASR, to be answered with
    /// [`Input::Reply`].
    Asked {
        connection: ConnectionId,
        request: Vec<u8>,
    },
    /// Somebody who connected is not let in.
    Refused {
        connection: ConnectionId,
        /// Who it says it is, if it got so far.
        host: Option<String>,
        why: &'static str,
    },
    /// The peer has restarted: its Origin-State-Id has risen, and the sessions it had are gone (RFC 6733 §8.16).
    Restarted {
        peer: PeerId,
    },
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A well-formed answer.
    Answer(Vec<u8>),
    /// An answer that cannot be read.
    Unreadable,
    /// Sent, and nothing came back: it may have been received.
    Unanswered,
    /// Not sent: no peer is up.
    NoPeer,
    /// Not sent: too many are in flight.
    Full,
    /// Not sent: every peer that is up wants to be spared it (RFC 7683).
    Spared,
    /// Not sent: longer than a message may be.
    TooLong,
}

/// A peer as the operator sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    Closed,
    Connecting,
    /// Open, but it must first answer three watchdogs, since it broke before.
    Reopening,
    Up,
    /// Open and silent: requests go elsewhere.
    Suspect,
    Closing,
}

#[derive(Debug)]
pub struct Node {
    settings: Settings,
    random: ChaCha8Rng,
    peers: BTreeMap<PeerId, Association>,
    next_peer: u32,
    reception: Reception,
    pending: Pending,
    out: VecDeque<Output>,
    /// Answers that nobody waited for: late, doubled or invented.
    stray_answers: u64,
    stopping: bool,
}

impl Node {
    pub fn new(settings: Settings, seed: [u8; 32]) -> Node {
        let mut random = ChaCha8Rng::from_seed(seed);
        // RFC 6733 §3: identifiers start at random, so that those of an earlier life are not met again.
        let pending = Pending::new(random.next_u32());
        Node {
            settings,
            random,
            peers: BTreeMap::new(),
            next_peer: 0,
            reception: Reception::default(),
            pending,
            out: VecDeque::new(),
            stray_answers: 0,
            stopping: false,
        }
    }

    /// A new peer; a connection is asked for at once.
    pub fn add_peer(&mut self, now: Instant, settings: PeerSettings) -> PeerId {
        let id = PeerId(self.next_peer);
        self.next_peer += 1;
        self.peers.insert(id, Association::new(id, settings));
        if !self.stopping {
            self.with(id, now, |peer, tools| peer.start(tools));
        }
        id
    }

    /// Ends the association with a peer, which is forgotten once it is closed.
    pub fn remove_peer(&mut self, now: Instant, id: PeerId) {
        let why = Goodbye::NotNeeded;
        self.with(id, now, |peer, tools| peer.stop(why, tools));
    }

    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Tick => self.tick(now),
            Input::Connected { connection, local } => {
                self.on(connection, now, |peer, _, tools| {
                    peer.connected(local, tools)
                });
            }
            Input::ConnectFailed { connection, why } => {
                self.on(connection, now, |peer, _, tools| {
                    peer.connect_failed(why, tools)
                });
            }
            Input::Accepted {
                connection,
                local,
                peers,
            } => self.accepted(now, connection, local, peers),
            Input::Disconnected { connection } => {
                self.reception.forget(connection);
                self.on(connection, now, |peer, side, tools| {
                    peer.disconnected(side, tools)
                });
            }
            Input::Garbled {
                connection,
                start,
                error,
            } => {
                self.garbled(now, connection, start, error);
            }
            Input::Received {
                connection,
                message,
            } => self.received(now, connection, message),
            Input::Request(request) => self.request(now, request),
            Input::Reply {
                connection,
                request,
                result,
            } => {
                if let Ok(message) = Message::parse(request) {
                    self.on(connection, now, |peer, _, tools| {
                        peer.reply(&message, result, tools)
                    });
                }
            }
            Input::Stop => {
                self.stopping = true;
                self.close_reception();
                for id in self.ids() {
                    let why = Goodbye::Rebooting;
                    self.with(id, now, |peer, tools| peer.stop(why, tools));
                }
            }
        }
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When `Tick` is due at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        self.peers
            .values()
            .filter_map(Association::deadline)
            .chain(self.pending.deadline())
            .chain(self.reception.deadline())
            .min()
    }

    /// Whether some peer can take a request.
    pub fn is_up(&self) -> bool {
        self.peers
            .values()
            .any(|peer| peer.condition() == Condition::Up)
    }

    /// Whether some peer can take a request of this application.
    pub fn is_up_for(&self, application: u32) -> bool {
        self.candidates(application).next().is_some()
    }

    pub fn condition(&self, peer: PeerId) -> Option<Condition> {
        self.peers.get(&peer).map(Association::condition)
    }

    /// The connection that is open with a peer.
    pub fn connection(&self, peer: PeerId) -> Option<ConnectionId> {
        self.peers.get(&peer).and_then(Association::open_connection)
    }

    /// What a peer and we both serve, as of its last CEA.
    pub fn applications(&self, peer: PeerId) -> Applications {
        let peer = self.peers.get(&peer);
        peer.map(|peer| peer.applications).unwrap_or_default()
    }

    /// What a peer is to serve, whether it is connected or not.
    pub fn wanted(&self, peer: PeerId) -> Applications {
        let peer = self.peers.get(&peer);
        peer.map(|peer| peer.settings.applications())
            .unwrap_or_default()
    }

    /// Requests in flight.
    pub fn in_flight(&self) -> usize {
        self.pending.len()
    }

    /// Requests of an application in flight.
    pub fn in_flight_of(&self, application: u32) -> usize {
        self.pending.count(application)
    }

    pub fn stray_answers(&self) -> u64 {
        self.stray_answers
    }

    /// Whether every association is closed for good.
    pub fn has_stopped(&self) -> bool {
        self.stopping && self.peers.values().all(Association::has_left)
    }

    fn ids(&self) -> Vec<PeerId> {
        self.peers.keys().copied().collect()
    }

    fn tick(&mut self, now: Instant) {
        while let Some(lost) = self.pending.expired(now) {
            let asked = (lost.application, lost.ticket);
            self.finish(asked, Some(lost.peer), Outcome::Unanswered);
        }
        self.tidy_reception(now);
        for id in self.ids() {
            self.with(id, now, |peer, tools| peer.tick(tools));
        }
    }

    /// Lets a peer take a step if this is a present connection of it.
    fn on(
        &mut self,
        connection: ConnectionId,
        now: Instant,
        step: impl FnOnce(&mut Association, Side, &mut Tools<'_>),
    ) {
        if let Some((id, side)) = self.whose(connection) {
            self.with(id, now, |peer, tools| step(peer, side, tools));
        }
    }

    /// Lets a peer take a step, then does what follows from a change of its condition.
    fn with(
        &mut self,
        id: PeerId,
        now: Instant,
        step: impl FnOnce(&mut Association, &mut Tools<'_>),
    ) {
        let Node {
            settings,
            random,
            peers,
            pending,
            out,
            ..
        } = self;
        let Some(peer) = peers.get_mut(&id) else {
            return;
        };
        let before = peer.condition();
        step(
            peer,
            &mut Tools {
                now,
                settings,
                random,
                pending,
                out,
            },
        );
        let after = peer.condition();
        if before != after {
            let why = peer.why.clone();
            self.out.push_back(Output::PeerState {
                peer: id,
                condition: after,
                why,
            });
            match after {
                Condition::Suspect => self.fail_over(now, id, Lost::Perhaps),
                Condition::Closed => self.fail_over(now, id, Lost::Surely),
                _ => {}
            }
        }
        if !self.stopping && self.peers.get(&id).is_some_and(Association::has_left) {
            self.peers.remove(&id);
        }
    }

    fn received(&mut self, now: Instant, connection: ConnectionId, bytes: &[u8]) {
        let Some((id, side)) = self.whose(connection) else {
            return self.introduced(now, connection, bytes);
        };
        let Some(header) = Header::read(bytes) else {
            return;
        };
        let parsed = Message::parse(bytes);
        let mut answer = false;
        self.with(id, now, |peer, tools| match &parsed {
            Ok(message) => answer = peer.received(side, message, tools),
            Err(fault) if header.flags.request() => peer.refuse(side, bytes, fault, tools),
            Err(_) => answer = peer.unreadable(side, tools),
        });
        if !answer {
            return;
        }
        match self.pending.answered(header.hop_by_hop, id) {
            Some(waiting) => {
                let waiting = match &parsed {
                    Err(_) => waiting,
                    Ok(answer) => match self.redirect(now, answer, waiting) {
                        Ok(()) => return,
                        Err(waiting) => *waiting,
                    },
                };
                let asked = (waiting.application, waiting.ticket);
                let outcome = match parsed {
                    Ok(_) => Outcome::Answer(bytes.to_vec()),
                    Err(_) => Outcome::Unreadable,
                };
                self.finish(asked, Some(id), outcome);
            }
            None => self.stray_answers += 1,
        }
    }
}
