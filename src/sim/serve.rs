//! The simulator among its sockets: one task owns the accounts, each connection has one that reads and one that writes.

use super::journal::Journal;
use super::ocs::{Ocs, Terms};
use super::pcap::Pcap;
use super::script::{Act, Script};
use super::tree;
use diameter::acceptor::{Acceptor, Output};
use diameter::base::Local;
use diameter::dictionary::*;
use diameter::frame::Framer;
use diameter::message::Message;
use diameter::write::Writer;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Longest message taken, in bytes.
const MESSAGE_MAX: usize = 1 << 20;

/// Connections at once.
const CONNECTIONS_MAX: usize = 64;

/// Bytes taken from a socket at once.
const READ: usize = 16_384;

/// Messages that wait to be written to one peer.
const QUEUE: usize = 65_536;

/// How a simulator behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    pub local: Local,
    pub script: Script,
    pub terms: Terms,
    /// Before each answer.
    pub delay: Duration,
    /// After the begin of a session, its server asks for it again (RAR).
    pub rar_after: Option<Duration>,
    /// One JSON object a line instead of indented text.
    pub json: bool,
    /// File that gets what passes, for Wireshark.
    pub pcap: Option<PathBuf>,
    /// Where the accounts of an OCS outlive it.
    pub journal: Option<PathBuf>,
}

/// What happened.
enum Event {
    Accepted(TcpStream),
    Received(u64, Vec<u8>),
    Gone(u64),
    /// A RAR is due for this session.
    Due(String),
}

struct Line {
    acceptor: Acceptor,
    writer: mpsc::Sender<Vec<u8>>,
    /// Its own end and the peer's.
    ends: (SocketAddr, SocketAddr),
}

/// Serves until nobody reads its output, or `commands` says `quit`. A closed `commands` changes nothing. `tell` takes
/// each line of output and says whether somebody reads on.
pub async fn serve(
    settings: Settings,
    listener: TcpListener,
    mut commands: mpsc::Receiver<String>,
    tell: impl FnMut(&str) -> bool,
) {
    let (events, mut happened) = mpsc::channel(1_024);
    let accepted = events.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if accepted.send(Event::Accepted(stream)).await.is_err() {
                return;
            }
        }
    });
    let mut simulator = Simulator {
        ocs: Ocs::new(settings.terms.clone()),
        journal: None,
        settings,
        lines: BTreeMap::new(),
        next: 0,
        capture: None,
        events,
        tell,
        began: Instant::now(),
    };
    simulator.begin_capture();
    if let Some(path) = simulator.settings.journal.clone()
        && let Err(error) = simulator.take_up(&path)
    {
        simulator.note("the journal cannot be used", &error.to_string());
        return;
    }
    let mut listening = true;
    loop {
        let goes_on = tokio::select! {
            Some(event) = happened.recv() => simulator.happened(event),
            command = commands.recv(), if listening => match command {
                Some(command) => simulator.commanded(&command),
                None => {
                    listening = false;
                    true
                }
            },
        };
        if !goes_on {
            return;
        }
    }
}

/// A running simulator.
struct Simulator<T> {
    settings: Settings,
    ocs: Ocs,
    journal: Option<Journal>,
    lines: BTreeMap<u64, Line>,
    next: u64,
    capture: Option<Pcap<File>>,
    events: mpsc::Sender<Event>,
    tell: T,
    began: Instant,
}

impl<T: FnMut(&str) -> bool> Simulator<T> {
    /// Goes through what an earlier simulator was asked.
    fn take_up(&mut self, path: &Path) -> std::io::Result<()> {
        let (journal, asked) = Journal::open(path)?;
        for (told, bytes) in asked {
            if let Ok(message) = Message::parse(&bytes) {
                self.ocs.answer(&self.settings.local, &message, told);
            }
        }
        self.ocs.duplicates = 0;
        self.journal = Some(journal);
        Ok(())
    }

    fn happened(&mut self, event: Event) -> bool {
        match event {
            Event::Accepted(stream) => self.accepted(stream),
            Event::Received(id, bytes) => {
                self.capture(id, &bytes, false);
                let outputs = self.lines.get_mut(&id).map(|l| l.acceptor.received(&bytes));
                self.carry_out(id, outputs.unwrap_or_default())
            }
            Event::Gone(id) => self.gone(id),
            Event::Due(session) => self.ask(CMD_RE_AUTH, &session),
        }
    }

    fn accepted(&mut self, stream: TcpStream) -> bool {
        let (Ok(address), Ok(peer)) = (stream.local_addr(), stream.peer_addr()) else {
            return true;
        };
        if self.lines.len() >= CONNECTIONS_MAX || stream.set_nodelay(true).is_err() {
            return true;
        }
        let (read, write) = stream.into_split();
        let (writer, waiting) = mpsc::channel(QUEUE);
        self.next += 1;
        let id = self.next;
        tokio::spawn(reads(
            read,
            self.events.clone(),
            move |framed| match framed {
                Framed::Message(bytes) => Event::Received(id, bytes),
                Framed::End => Event::Gone(id),
            },
        ));
        tokio::spawn(writes(write, waiting));
        let acceptor = Acceptor::new(self.settings.local.clone(), address.ip());
        let ends = (address, peer);
        self.lines.insert(
            self.next,
            Line {
                acceptor,
                writer,
                ends,
            },
        );
        true
    }

    fn gone(&mut self, id: u64) -> bool {
        match self.lines.remove(&id) {
            Some(line) => self.note("disconnected", line.acceptor.peer().unwrap_or("-")),
            None => true,
        }
    }

    fn carry_out(&mut self, id: u64, outputs: Vec<Output>) -> bool {
        for output in outputs {
            let goes_on = match output {
                Output::Send(bytes) => {
                    self.send(id, bytes, Duration::ZERO);
                    true
                }
                Output::Opened { host, .. } => self.note("connected", &host),
                Output::Request(bytes) => self.serve(id, &bytes),
                Output::Answer(bytes) => self.show(id, &bytes, None),
                Output::Close => self.gone(id),
            };
            if !goes_on {
                return false;
            }
        }
        true
    }

    /// Answers a request as the script and the accounts have it.
    fn serve(&mut self, id: u64, bytes: &[u8]) -> bool {
        let Ok(message) = Message::parse(bytes) else {
            return true;
        };
        let keys = Ocs::keys(&message);
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let told = match self.settings.script.decide(&keys) {
            Act::Silent => return self.show(id, bytes, Some("silent".into())),
            Act::Disconnect => {
                return self.show(id, bytes, Some("disconnect".into())) && self.gone(id);
            }
            Act::Result(code) => Some(code),
            Act::Default => None,
        };
        if let Some(Err(error)) = self
            .journal
            .as_mut()
            .map(|journal| journal.note(told, bytes))
        {
            self.note("the journal cannot be used", &error.to_string());
            return false;
        }
        let (result, answer) = self.ocs.answer(&self.settings.local, &message, told);
        // Printed before it is answered: what a client was told stays known when the simulator is killed.
        if !self.show(id, bytes, Some(result.into())) {
            return false;
        }
        self.send(id, answer, self.settings.delay);
        let session = message.find(&SESSION_ID).and_then(|avp| avp.text());
        if let (Some(wait), Some(session), true) =
            (self.settings.rar_after, session, keys.contains(&"INITIAL"))
        {
            let (events, session) = (self.events.clone(), session.to_owned());
            tokio::spawn(async move {
                tokio::time::sleep(wait).await;
                // a simulator that has ended has nobody to ask
                let _ = events.send(Event::Due(session)).await;
            });
        }
        true
    }

    fn begin_capture(&mut self) {
        let Some(path) = self.settings.pcap.clone() else {
            return;
        };
        match File::create(&path).and_then(Pcap::new) {
            Ok(capture) => self.capture = Some(capture),
            Err(error) => _ = self.note("no capture", &format!("{}: {error}", path.display())),
        }
    }

    /// A file that cannot be written is left for good.
    fn capture(&mut self, id: u64, bytes: &[u8], sent: bool) {
        let (Some(capture), Some(line)) = (&mut self.capture, self.lines.get(&id)) else {
            return;
        };
        let (own, peer) = line.ends;
        let (from, to) = if sent { (own, peer) } else { (peer, own) };
        if let Err(error) = capture.message(SystemTime::now(), from, to, bytes) {
            self.capture = None;
            self.note("the capture ends", &error.to_string());
        }
    }

    /// Queues a message; a peer that does not read loses it. A capture has it when it is queued.
    fn send(&mut self, id: u64, bytes: Vec<u8>, delay: Duration) {
        self.capture(id, &bytes, true);
        let Some(line) = self.lines.get(&id) else {
            return;
        };
        if delay.is_zero() {
            let _ = line.writer.try_send(bytes);
        } else {
            let writer = line.writer.clone();
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                let _ = writer.send(bytes).await;
            });
        }
    }

    /// Asks the client about one of its sessions.
    fn ask(&mut self, command: u32, session: &str) -> bool {
        let Some(known) = self.ocs.session(session).cloned() else {
            return self.note("no such session", session);
        };
        let local = &self.settings.local;
        let mut w = Writer::request(command, APP_CREDIT_CONTROL);
        w.utf8(&SESSION_ID, session)
            .utf8(&ORIGIN_HOST, &local.host)
            .utf8(&ORIGIN_REALM, &local.realm)
            .utf8(&DESTINATION_REALM, &known.realm)
            .utf8(&DESTINATION_HOST, &known.host)
            .u32(&AUTH_APPLICATION_ID, APP_CREDIT_CONTROL);
        if command == CMD_RE_AUTH {
            w.i32(&RE_AUTH_REQUEST_TYPE, 0); // AUTHORIZE_ONLY
        }
        let Ok(bytes) = w.finish(MESSAGE_MAX) else {
            return true;
        };
        // Straight to the client where it is connected; else through an agent.
        let of = |line: &Line| line.acceptor.peer() == Some(known.host.as_str());
        let direct = self.lines.iter().find(|(_, line)| of(line));
        let line = direct.or(self.lines.iter().next()).map(|(id, _)| *id);
        match line.and_then(|id| Some((id, self.lines.get_mut(&id)?))) {
            Some((id, line)) => {
                let outputs = line.acceptor.request(bytes);
                self.carry_out(id, outputs)
            }
            None => self.note("nobody is connected for", session),
        }
    }

    /// A line of standard input.
    fn commanded(&mut self, text: &str) -> bool {
        let (word, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let rest = rest.trim();
        match word {
            "" => true,
            "quit" => false,
            "rar" => self.ask_all(CMD_RE_AUTH, rest),
            "asr" => self.ask_all(CMD_ABORT_SESSION, rest),
            "answer" => match rest.parse() {
                Ok(rule) => {
                    self.settings.script.prepend(rule);
                    self.note("answers from now on", rest)
                }
                Err(why) => self.note("not understood", &why),
            },
            "balance" => match rest.split_once('=').map(|(id, n)| (id, n.trim().parse())) {
                Some((account, Ok(units))) => {
                    self.ocs.set_balance(account.trim(), units);
                    self.note("balance", rest)
                }
                _ => match self.ocs.balance(rest) {
                    Some(units) => self.note("balance", &format!("{rest}={units}")),
                    None => self.note("no such account", rest),
                },
            },
            "sessions" => {
                let ids: Vec<String> = self.ocs.sessions().map(|(id, _)| id.clone()).collect();
                ids.iter().all(|id| self.note("session", id))
            }
            "duplicates" => self.note("duplicates", &self.ocs.duplicates.to_string()),
            "disconnect" => {
                let ids: Vec<u64> = self.lines.keys().copied().collect();
                ids.into_iter().all(|id| {
                    let outputs = self.lines.get_mut(&id).map(|l| l.acceptor.disconnect());
                    self.carry_out(id, outputs.unwrap_or_default())
                })
            }
            word => self.note("not understood", word),
        }
    }

    fn ask_all(&mut self, command: u32, session: &str) -> bool {
        if !session.is_empty() {
            return self.ask(command, session);
        }
        let ids: Vec<String> = self.ocs.sessions().map(|(id, _)| id.clone()).collect();
        ids.iter().all(|id| self.ask(command, id))
    }

    /// Something else than a message.
    fn note(&mut self, what: &str, of: &str) -> bool {
        let millis = self.millis();
        let line = match self.settings.json {
            true => json!({"time": millis, "event": what, "of": of}).to_string(),
            false => format!("{} {what} {of}", seconds(millis)),
        };
        (self.tell)(&line)
    }

    /// A message that came, and what became of it.
    fn show(&mut self, id: u64, bytes: &[u8], answer: Option<Value>) -> bool {
        let Ok(message) = Message::parse(bytes) else {
            return true;
        };
        let from = self.lines.get(&id).and_then(|line| line.acceptor.peer());
        let from = from.unwrap_or("-");
        let (name, header) = (tree::command(&message), message.header);
        let (millis, t) = (self.millis(), header.flags.retransmitted());
        let line = if self.settings.json {
            json!({
                "time": millis,
                "event": name,
                "from": from,
                "t": t,
                "end_to_end": header.end_to_end,
                "answer": answer,
                "avps": tree::object(message.avps()),
            })
            .to_string()
        } else {
            let t = if t { " with T" } else { "" };
            let answer = match answer {
                Some(Value::String(word)) => format!(": {word}"),
                Some(code) => format!(": {code}"),
                None => String::new(),
            };
            let tree = tree::text(message.avps(), 1);
            let time = seconds(millis);
            format!("{time} {name} from {from}{t}{answer}\n{}", tree.trim_end())
        };
        (self.tell)(&line)
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Milliseconds as seconds with their fraction.
fn seconds(millis: u64) -> String {
    format!("{}.{:03}", millis / 1_000, millis % 1_000)
}

/// What comes out of a connection.
pub(super) enum Framed {
    Message(Vec<u8>),
    /// It is over, or cannot be framed any more.
    End,
}

/// Reads messages until the end of the connection, or until it cannot be framed.
pub(super) async fn reads<E>(
    mut read: OwnedReadHalf,
    events: mpsc::Sender<E>,
    event: impl Fn(Framed) -> E,
) {
    let mut framer = Framer::new(MESSAGE_MAX);
    let mut buffer = vec![0; READ];
    'connection: while let Ok(count @ 1..) = read.read(&mut buffer).await {
        framer.push(&buffer[..count]);
        loop {
            match framer.next_message() {
                Ok(Some(message)) => {
                    let message = Framed::Message(message);
                    if events.send(event(message)).await.is_err() {
                        return;
                    }
                }
                Ok(None) => break,
                Err(_) => break 'connection,
            }
        }
    }
    // whoever has ended does not need to know
    let _ = events.send(event(Framed::End)).await;
}

/// Writes what is queued until the queue is closed and empty.
pub(super) async fn writes(mut write: OwnedWriteHalf, mut waiting: mpsc::Receiver<Vec<u8>>) {
    let mut messages = Vec::new();
    while waiting.recv_many(&mut messages, 64).await > 0 {
        if write.write_all(&messages.concat()).await.is_err() {
            return;
        }
        messages.clear();
    }
    let _ = write.shutdown().await; // the peer sees the end either way
}

#[cfg(test)]
mod tests;
