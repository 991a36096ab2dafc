//! Datagrams: one socket for each address listened on, read and written by the driver itself.

use super::ListenError;
use bytes::Bytes;
use ims::sip::{Flow, Transport};
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use tokio::net::UdpSocket;

/// Receive and send buffer asked of the kernel: at 1 KiB a message about 4,000 messages of a burst.
const BUFFER: usize = 4 << 20;
/// Datagrams that wait for room in the send buffer; more are dropped, as the network would.
const BACKLOG: usize = 16_384;
/// Largest UDP payload.
pub const DATAGRAM: usize = 65_535;

/// The datagram sockets of a server.
#[derive(Debug)]
pub struct Udp {
    sockets: Vec<UdpSocket>,
    addresses: Vec<SocketAddr>,
    backlog: VecDeque<(usize, SocketAddr, Bytes)>,
    /// Datagrams dropped because the backlog was full, since somebody last took note.
    pub dropped: u64,
}

impl Udp {
    /// Binds every address. Must run inside the driver's runtime.
    pub fn bind(addresses: &[SocketAddr]) -> Result<Udp, ListenError> {
        let mut sockets = Vec::with_capacity(addresses.len());
        for &address in addresses {
            let failed = |why| ListenError {
                protocol: "UDP",
                address,
                why,
                key: "[sip] listen_udp or --sip",
            };
            sockets.push(bind(address).map_err(failed)?);
        }
        let bound = |socket: &UdpSocket| {
            socket
                .local_addr()
                .unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)))
        };
        let addresses = sockets.iter().map(bound).collect();
        Ok(Udp {
            sockets,
            addresses,
            backlog: VecDeque::new(),
            dropped: 0,
        })
    }

    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Takes one datagram if one waits. Sockets are asked in turn, starting from `first`.
    pub fn receive(&self, first: usize, buffer: &mut [u8]) -> Option<(Flow, usize)> {
        for offset in 0..self.sockets.len() {
            let index = (first + offset) % self.sockets.len();
            let (Some(socket), Some(&local)) = (self.sockets.get(index), self.addresses.get(index))
            else {
                continue;
            };
            // an error here is the echo of an earlier send (ICMP); the next datagram may be fine
            match socket.try_recv_from(buffer) {
                Ok((length, remote)) => {
                    return Some((
                        Flow {
                            transport: Transport::Udp,
                            local,
                            remote,
                            connection: 0,
                        },
                        length,
                    ));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => tracing::debug!(%error, "datagram socket"),
            }
        }
        None
    }

    /// Sends from the socket at `local`, or from the first of the remote's family.
    pub fn send(&mut self, local: Option<SocketAddr>, remote: SocketAddr, bytes: Bytes) {
        let same_family = |a: &SocketAddr| a.is_ipv4() == remote.is_ipv4();
        let by_address = local.and_then(|local| self.addresses.iter().position(|a| *a == local));
        let Some(index) = by_address.or_else(|| self.addresses.iter().position(same_family)) else {
            tracing::debug!("no datagram socket of the peer's address family");
            return;
        };
        if !self.backlog.is_empty() || !self.try_send(index, remote, &bytes) {
            if self.backlog.len() < BACKLOG {
                self.backlog.push_back((index, remote, bytes));
            } else {
                self.dropped += 1;
            }
        }
    }

    /// `false` when the send buffer is full.
    fn try_send(&self, index: usize, remote: SocketAddr, bytes: &Bytes) -> bool {
        let Some(socket) = self.sockets.get(index) else {
            return true;
        };
        match socket.try_send_to(bytes, remote) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) => {
                tracing::debug!(%error, "datagram not sent");
                true
            }
            Ok(_) => true,
        }
    }

    /// Sends what waits, as far as there is room.
    pub fn flush(&mut self) {
        while let Some((index, remote, bytes)) = self.backlog.pop_front() {
            if !self.try_send(index, remote, &bytes) {
                self.backlog.push_front((index, remote, bytes));
                return;
            }
        }
    }

    /// Ready when a datagram waits, or when there is room again for the backlog.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let readable = self
            .sockets
            .iter()
            .any(|socket| socket.poll_recv_ready(cx).is_ready());
        let wanted = self
            .backlog
            .front()
            .and_then(|(index, ..)| self.sockets.get(*index));
        let writable = wanted.is_some_and(|socket| socket.poll_send_ready(cx).is_ready());
        if readable || writable {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // the kernel gives what it allows; a smaller buffer is not an error
    let _ = socket.set_recv_buffer_size(BUFFER);
    let _ = socket.set_send_buffer_size(BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}
