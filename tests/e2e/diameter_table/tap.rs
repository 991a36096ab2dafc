//! What stands between the server and a foreign peer: it passes messages on, keeps a copy of each, and breaks in all the
//! ways in which a network can.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use crate::harness::{SOON, eventually};

/// Command code of DWR and DWA (RFC 6733 §5.5).
const WATCHDOG: u32 = 280;

/// One message that passed, as if the peer were at Diameter's own port.
#[derive(Debug)]
pub struct Packet {
    pub at: SystemTime,
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
}

/// Everything that passed through the taps of a test, in order.
pub type Capture = Arc<Mutex<Vec<Packet>>>;

/// What does not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    Nothing,
    Watchdogs,
    Everything,
}

#[derive(Debug)]
struct Shared {
    loss: Loss,
    /// The server's side of each connection, and the peer's.
    streams: Vec<(TcpStream, TcpStream)>,
    /// Answers to what the test asked itself, by Hop-by-Hop Identifier.
    asked: BTreeMap<u32, Option<Vec<u8>>>,
    connections: u16,
}

/// A port in front of a peer.
#[derive(Clone, Debug)]
pub struct Tap {
    pub port: u16,
    shared: Arc<Mutex<Shared>>,
}

impl Tap {
    /// In front of `peer`, on a port of its own.
    pub fn new(peer: u16, capture: &Capture) -> Tap {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Shared {
            loss: Loss::Nothing,
            streams: Vec::new(),
            asked: BTreeMap::new(),
            connections: 0,
        };
        let tap = Tap {
            port,
            shared: Arc::new(Mutex::new(shared)),
        };
        let (own, capture) = (tap.clone(), capture.clone());
        // It ends with the process of the tests.
        std::thread::spawn(move || {
            while let Ok((server, _)) = listener.accept() {
                own.connected(server, peer, &capture);
            }
        });
        tap
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap()
    }

    /// A peer that does not listen makes a connection that ends at once.
    fn connected(&self, server: TcpStream, peer: u16, capture: &Capture) {
        let Ok(other) = TcpStream::connect(("127.0.0.1", peer)) else {
            return;
        };
        let mut shared = self.shared();
        shared.connections += 1;
        // Each connection has an address of its own in the capture.
        let [high, low] = self.port.to_be_bytes();
        let near = SocketAddr::from(([127, 1, high, low], 20_000 + shared.connections));
        let far = SocketAddr::from(([127, 0, 0, 1], 3868));
        for stream in [&server, &other] {
            stream.set_nodelay(true).unwrap();
        }
        let copies = || (server.try_clone().unwrap(), other.try_clone().unwrap());
        shared.streams.push(copies());
        for (from_server, (server, other)) in [(true, copies()), (false, copies())] {
            let (tap, capture) = (self.clone(), capture.clone());
            let (read, write) = if from_server {
                (server, other)
            } else {
                (other, server)
            };
            let (from, to) = if from_server {
                (near, far)
            } else {
                (far, near)
            };
            std::thread::spawn(move || {
                tap.pass(read, write, from_server, |bytes| {
                    let bytes = bytes.to_vec();
                    let at = SystemTime::now();
                    capture.lock().unwrap().push(Packet {
                        at,
                        from,
                        to,
                        bytes,
                    });
                });
            });
        }
    }

    /// Until either side ends.
    fn pass(
        &self,
        mut read: TcpStream,
        mut write: TcpStream,
        from_server: bool,
        keep: impl Fn(&[u8]),
    ) {
        let mut head = [0; 20];
        while read.read_exact(&mut head).is_ok() {
            let length = number(&head[1..4]) as usize;
            let mut message = head.to_vec();
            message.resize(length, 0);
            if read.read_exact(&mut message[20..]).is_err() {
                break;
            }
            let mut shared = self.shared();
            let lost = match shared.loss {
                Loss::Nothing => false,
                Loss::Watchdogs => number(&head[5..8]) == WATCHDOG,
                Loss::Everything => true,
            };
            if lost {
                continue;
            }
            keep(&message);
            let answers = head[4] & 0x80 == 0;
            if from_server
                && answers
                && let Some(place) = shared.asked.get_mut(&number(&head[12..16]))
            {
                *place = Some(message);
                continue;
            }
            drop(shared);
            if write.write_all(&message).is_err() {
                break;
            }
        }
        let _ = write.shutdown(Shutdown::Both); // it may be gone
        let _ = read.shutdown(Shutdown::Both);
    }

    pub fn lose(&self, loss: Loss) {
        self.shared().loss = loss;
    }

    /// Ends all connections without a word.
    pub fn cut(&self) {
        for (server, peer) in self.shared().streams.drain(..) {
            let _ = server.shutdown(Shutdown::Both); // it may have ended
            let _ = peer.shutdown(Shutdown::Both);
        }
    }

    /// Asks the server something in the peer's place, on the youngest connection; the answer. Its Hop-by-Hop
    /// Identifier must be like no other. The capture has the answer only: what is asked is wrong on purpose.
    pub fn ask(&self, request: &[u8]) -> Vec<u8> {
        let id = number(&request[12..16]);
        {
            let mut shared = self.shared();
            shared.asked.insert(id, None);
            let (server, _) = shared.streams.last_mut().expect("a connection");
            server.write_all(request).unwrap();
        }
        let answered = || self.shared().asked.get(&id)?.clone();
        eventually(SOON, answered).expect("an answer")
    }
}

/// Up to four octets, the most significant one first.
pub fn number(octets: &[u8]) -> u32 {
    octets
        .iter()
        .fold(0, |sum, octet| sum << 8 | u32::from(*octet))
}
