//! Connections that others make: what is awaited of them until a CER says whose they are (RFC 6733 §5.6.1). From then on
//! they belong to that peer's state machine.

use super::{ConnectionId, Node, Output, PeerSettings};
use crate::Instant;
use crate::association::{Association, Caller};
use crate::base::{Remote, read_cer};
use crate::dictionary::{CMD_CAPABILITIES_EXCHANGE, ORIGIN_HOST};
use crate::fault::{Fault, FrameError, ResultCode};
use crate::grammar::is_identity;
use crate::message::{Header, Message};
use crate::peer::Side;
use crate::route::PeerId;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Who has connected and not said a CER.
#[derive(Debug, Default)]
pub(super) struct Reception {
    /// How many may wait here; 0: nobody is let in.
    max: usize,
    waiting: BTreeMap<ConnectionId, Visitor>,
}

#[derive(Debug)]
struct Visitor {
    /// Our address on the connection.
    local: IpAddr,
    /// Whom it may be from, by its source address or its certificate.
    peers: Vec<PeerId>,
    /// When it is turned away.
    until: Instant,
}

impl Reception {
    pub fn deadline(&self) -> Option<Instant> {
        self.waiting.values().map(|visitor| visitor.until).min()
    }

    pub fn has(&self, connection: ConnectionId) -> bool {
        self.waiting.contains_key(&connection)
    }

    pub fn forget(&mut self, connection: ConnectionId) {
        self.waiting.remove(&connection);
    }
}

impl Node {
    /// From now on connections of peers are taken, at most `half_open` at a time that have not said who they are.
    pub fn listen(&mut self, half_open: usize) {
        self.reception.max = half_open;
    }

    /// A peer that connects to us, and to which no connection is made. Nobody else can be it: its host must be given.
    pub fn expect_peer(&mut self, settings: PeerSettings) -> PeerId {
        let id = PeerId(self.next_peer);
        self.next_peer += 1;
        self.peers.insert(id, Association::passive(id, settings));
        id
    }

    /// Whose connection this is, once it is known.
    pub fn peer_of(&self, connection: ConnectionId) -> Option<PeerId> {
        self.whose(connection).map(|(peer, _)| peer)
    }

    /// Connections that have not said who they are.
    pub fn half_open(&self) -> usize {
        self.reception.waiting.len()
    }

    /// The peer that has this connection at present, and who made it.
    pub(super) fn whose(&self, connection: ConnectionId) -> Option<(PeerId, Side)> {
        let side = |peer: &Association| Some((peer.id, peer.side_of(connection)?));
        match connection.peer {
            PeerId::CALLER => self.peers.values().find_map(side),
            id => self.peers.get(&id).and_then(side),
        }
    }

    pub(super) fn accepted(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        local: IpAddr,
        peers: Vec<PeerId>,
    ) {
        let taken = self.reception.has(connection) || self.whose(connection).is_some();
        if taken {
            return; // the caller's mistake: names of connections are used once
        }
        if self.stopping || self.reception.waiting.len() >= self.reception.max {
            return self.turn_away(connection, None, "no room for connections without a CER");
        }
        let until = now.after(self.settings.connect_timeout);
        let visitor = Visitor {
            local,
            peers,
            until,
        };
        self.reception.waiting.insert(connection, visitor);
    }

    /// The first message of a connection. "The logic that handles incoming connections SHOULD close and discard the
    /// connection if any message other than a CER arrives".
    pub(super) fn introduced(&mut self, now: Instant, connection: ConnectionId, bytes: &[u8]) {
        let Some(visitor) = self.reception.waiting.remove(&connection) else {
            return;
        };
        let is_cer = |h: &Header| h.flags.request() && h.command == CMD_CAPABILITIES_EXCHANGE;
        let Some(header) = Header::read(bytes).filter(is_cer) else {
            return self.turn_away(connection, None, "something else came before the CER");
        };
        match Message::parse(bytes) {
            Err(fault) => self.refuse(connection, &header, visitor.local, None, &fault),
            Ok(cer) => match self.recognise(&visitor, &cer) {
                Err(fault) => self.refuse(connection, &header, visitor.local, Some(&cer), &fault),
                Ok((id, remote)) => {
                    let caller = Caller {
                        connection,
                        local: visitor.local,
                        cer: header,
                        remote,
                    };
                    self.with(id, now, |peer, tools| peer.called(caller, tools));
                }
            },
        }
    }

    /// Which peer a CER is from: "the identity of the connecting peer can be uniquely determined from the Origin-Host".
    fn recognise(&self, visitor: &Visitor, cer: &Message<'_>) -> Result<(PeerId, Remote), Fault> {
        let local = &self.settings.local;
        let mut remote = read_cer(cer, local.applications, &self.settings.vocabulary)?;
        let is = |host: &Option<String>| {
            let host = host.as_deref();
            host.is_some_and(|host| host.eq_ignore_ascii_case(&remote.host))
        };
        // Nobody else has our own name; whoever says it would tie every election.
        let ours = local.host.eq_ignore_ascii_case(&remote.host);
        let mut peers = self.peers.values().filter(|peer| is(&peer.settings.host));
        let peer = peers.find(|peer| visitor.peers.contains(&peer.id) && !ours);
        // §5.3: "a CER was received from an unknown peer"
        let peer = peer.ok_or(Fault::new(ResultCode::UNKNOWN_PEER))?;
        remote.applications = remote.applications.and(peer.offered(local));
        match remote.applications.is_empty() {
            true => Err(Fault::new(ResultCode::NO_COMMON_APPLICATION)),
            false => Ok((peer.id, remote)),
        }
    }

    fn refuse(
        &mut self,
        connection: ConnectionId,
        cer: &Header,
        here: IpAddr,
        of: Option<&Message<'_>>,
        fault: &Fault,
    ) {
        let bytes = self.settings.local.cea(cer, fault, here);
        self.out.push_back(Output::Send { connection, bytes });
        let host = of.and_then(|cer| cer.find(&ORIGIN_HOST)?.text());
        let host = host.filter(|host| is_identity(host)).map(str::to_owned);
        let why = match fault.result {
            ResultCode::UNKNOWN_PEER => "no peer of this name may connect from there (3010)",
            ResultCode::NO_COMMON_APPLICATION => "it offers no application that we have (5010)",
            ResultCode::NO_COMMON_SECURITY => "it wants TLS after the CER (5017)",
            _ => "its CER is faulty",
        };
        self.turn_away(connection, host, why);
    }

    fn turn_away(&mut self, connection: ConnectionId, host: Option<String>, why: &'static str) {
        self.out.push_back(Output::Close { connection });
        self.out.push_back(Output::Refused {
            connection,
            host,
            why,
        });
    }

    /// The stream of a connection cannot be read any further.
    pub(super) fn garbled(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        start: &[u8],
        error: FrameError,
    ) {
        if self.reception.has(connection) {
            self.reception.forget(connection);
            return self.turn_away(connection, None, "it does not speak Diameter");
        }
        self.on(connection, now, |peer, side, tools| {
            peer.garbled(side, start, error, tools)
        });
    }

    /// Turns away those who have not said a CER for too long.
    pub(super) fn tidy_reception(&mut self, now: Instant) {
        let waiting = &mut self.reception.waiting;
        let late = waiting.extract_if(.., |_, visitor| visitor.until <= now);
        let late: Vec<ConnectionId> = late.map(|(connection, _)| connection).collect();
        for connection in late {
            self.turn_away(connection, None, "no CER in time");
        }
    }

    /// Turns everybody away.
    pub(super) fn close_reception(&mut self) {
        for connection in std::mem::take(&mut self.reception.waiting).into_keys() {
            self.out.push_back(Output::Close { connection });
        }
    }
}
