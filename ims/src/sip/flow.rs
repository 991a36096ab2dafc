//! Where a message came from and where one goes.

use std::net::SocketAddr;

/// Transport protocol of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    Udp,
    Tcp,
}

impl Transport {
    /// Whether the transport itself delivers (RFC 3261 §17: no retransmission, timers J and K are zero).
    pub fn is_reliable(self) -> bool {
        match self {
            Transport::Udp => false,
            Transport::Tcp => true,
        }
    }

    /// Name in a Via, RFC 3261 §20.42.
    pub fn as_str(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
        }
    }

    /// The transport named in a Via or a `transport` parameter, in any case; `None` for one we do not speak.
    pub fn parse(token: &str) -> Option<Transport> {
        if token.eq_ignore_ascii_case("udp") {
            Some(Transport::Udp)
        } else if token.eq_ignore_ascii_case("tcp") {
            Some(Transport::Tcp)
        } else {
            None
        }
    }
}

/// One path to a peer, as the transport saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow {
    pub transport: Transport,
    /// Our end.
    pub local: SocketAddr,
    /// The peer's end; the source address of what arrived.
    pub remote: SocketAddr,
    /// Number of the connection, given by the transport; 0 for UDP.
    pub connection: u64,
}

/// Where a message is to go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Destination {
    /// A path that is known.
    Flow(Flow),
    /// A host still to be resolved by RFC 3263. An IPv6 literal stands without brackets.
    Host {
        host: Box<str>,
        port: Option<u16>,
        transport: Option<Transport>,
    },
}

impl Destination {
    /// The same place by another transport. A connection is not carried over.
    pub fn over(&self, transport: Transport) -> Destination {
        match self {
            Destination::Flow(flow) => Destination::Host {
                host: flow.remote.ip().to_string().into(),
                port: Some(flow.remote.port()),
                transport: Some(transport),
            },
            Destination::Host { host, port, .. } => Destination::Host {
                host: host.clone(),
                port: *port,
                transport: Some(transport),
            },
        }
    }

    /// Transport when it is already decided.
    pub fn transport(&self) -> Option<Transport> {
        match self {
            Destination::Flow(flow) => Some(flow.transport),
            Destination::Host { transport, .. } => *transport,
        }
    }
}
