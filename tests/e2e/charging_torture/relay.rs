//! A TCP relay between the server and its CDF that can part them as a broken network does: nothing passes, nothing is
//! closed, and nobody is told.

use crate::harness::free_port;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

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
    pub fn to(port: u16) -> Relay {
        let listener = TcpListener::bind(("127.0.0.1", free_port())).unwrap();
        let own = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let inner = shared.clone();
        let accepts = std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                if !inner.passes() {
                    return;
                }
                // nobody listens: the client sees its connection end
                if let Ok(server) = TcpStream::connect(("127.0.0.1", port)) {
                    pair(client, server, &inner);
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

fn pair(client: TcpStream, server: TcpStream, shared: &Arc<Shared>) {
    for stream in [&client, &server] {
        let _ = stream.set_nodelay(true); // it may have ended already
    }
    let both = [(&client, &server), (&server, &client)];
    for (from, to) in both.map(|(a, b)| (a.try_clone().unwrap(), b.try_clone().unwrap())) {
        let shared = shared.clone();
        std::thread::spawn(move || copy(from, to, &shared));
    }
    shared.change(|state| {
        state.streams.retain(|stream| stream.peer_addr().is_ok());
        state.streams.extend([client, server]);
    });
}

fn copy(mut from: TcpStream, mut to: TcpStream, shared: &Shared) {
    let mut buffer = [0; 65_536];
    while let Ok(size @ 1..) = from.read(&mut buffer) {
        if !shared.passes() || to.write_all(&buffer[..size]).is_err() {
            break;
        }
    }
    // The end of one side is the end of the other, but not before the network has healed.
    if shared.passes() {
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }
}
