//! A TCP relay between the server and its CDF that can part them as a broken network does: nothing passes, nothing is
//! closed, and nobody is told. It keeps a sample of what passes, for Wireshark.

use crate::diameter_table::{Capture, Packet, number};
use crate::harness::free_port;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::SystemTime;

/// Of each connection the first messages in each direction are kept, and then one in so many.
const FIRST: usize = 200;
const ONE_IN: usize = 100;

#[derive(Debug, Default)]
struct State {
    held: bool,
    ended: bool,
    streams: Vec<TcpStream>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    /// Waits while the network is broken; false when the relay has ended.
    fn passes(&self) -> bool {
        let mut state = self.state.lock().unwrap();
        while state.held && !state.ended {
            state = self.changed.wait(state).unwrap();
        }
        !state.ended
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
        self.changed.notify_all();
    }
}

/// The relay. Dropped, it closes everything.
#[derive(Debug)]
pub struct Relay {
    pub port: u16,
    shared: Arc<Shared>,
    accepts: Option<JoinHandle<()>>,
}

impl Relay {
    pub fn to(port: u16, capture: &Capture) -> Relay {
        let listener = TcpListener::bind(("127.0.0.1", free_port())).unwrap();
        let own = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let (inner, capture) = (shared.clone(), capture.clone());
        let accepts = std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                if !inner.passes() {
                    return;
                }
                // nobody listens: the client sees its connection end
                if let Ok(server) = TcpStream::connect(("127.0.0.1", port)) {
                    pair(client, server, &inner, &capture);
                }
            }
        });
        Relay {
            port: own,
            shared,
            accepts: Some(accepts),
        }
    }

    /// From now on nothing passes, in either direction. What was on its way waits, as TCP keeps it.
    pub fn part(&self) {
        self.shared.change(|state| state.held = true);
    }

    /// What waited goes on, late.
    pub fn heal(&self) {
        self.shared.change(|state| state.held = false);
    }

    /// What waited is lost, and both sides are told.
    pub fn reset(&self) {
        self.shared.change(|state| {
            state.held = false;
            for stream in state.streams.drain(..) {
                let _ = stream.shutdown(Shutdown::Both); // it may have ended by itself
            }
        });
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.change(|state| state.ended = true);
        self.reset();
        let _ = TcpStream::connect(("127.0.0.1", self.port)); // wakes the thread that accepts
        if let Some(accepts) = self.accepts.take() {
            let _ = accepts.join();
        }
    }
}

fn pair(client: TcpStream, server: TcpStream, shared: &Arc<Shared>, capture: &Capture) {
    for stream in [&client, &server] {
        let _ = stream.set_nodelay(true); // it may have ended already
    }
    let Ok(near) = client.peer_addr() else {
        return;
    };
    let far = SocketAddr::from(([127, 0, 0, 1], 3868)); // where Wireshark looks for Diameter
    let both = [(&client, &server, near, far), (&server, &client, far, near)];
    for (from, to, source, target) in both {
        let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        let (shared, sample) = (shared.clone(), Sample::new(source, target, capture));
        std::thread::spawn(move || copy(from, to, &shared, sample));
    }
    shared.change(|state| {
        state.streams.retain(|stream| stream.peer_addr().is_ok());
        state.streams.extend([client, server]);
    });
}

fn copy(mut from: TcpStream, mut to: TcpStream, shared: &Shared, mut sample: Sample) {
    let mut buffer = [0; 65_536];
    while let Ok(size @ 1..) = from.read(&mut buffer) {
        // freeDiameter gathers small answers until the first one is acknowledged; that it would be told too late here
        // is no fault of a network.
        let _ = socket2::SockRef::from(&from).set_tcp_quickack(true);
        if !shared.passes() || to.write_all(&buffer[..size]).is_err() {
            break;
        }
        sample.take(&buffer[..size]);
    }
    // The end of one side is the end of the other, but not before the network has healed.
    if shared.passes() {
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }
}

/// What is kept of one direction of a connection.
struct Sample {
    ends: (SocketAddr, SocketAddr),
    capture: Capture,
    /// What has come of the message that is not whole yet.
    part: Vec<u8>,
    count: usize,
}

impl Sample {
    fn new(from: SocketAddr, to: SocketAddr, capture: &Capture) -> Sample {
        Sample {
            ends: (from, to),
            capture: capture.clone(),
            part: Vec::new(),
            count: 0,
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.part.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(head) = self.part.get(at..at + 4) {
            let length = number(&head[1..]) as usize;
            let Some(message) = self.part.get(at..at + length.max(20)) else {
                break;
            };
            if self.count < FIRST || self.count.is_multiple_of(ONE_IN) {
                self.capture.lock().unwrap().push(Packet {
                    at: SystemTime::now(),
                    from: self.ends.0,
                    to: self.ends.1,
                    bytes: message.to_vec(),
                });
            }
            self.count += 1;
            at += message.len();
        }
        self.part.drain(..at);
    }
}
