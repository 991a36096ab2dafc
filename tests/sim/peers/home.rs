//! An S-CSCF that serves the reg event package (RFC 3680) beside its third-party REGISTER: contacts that come, go and run
//! out, de-registration by the network, dialogs that it forgets, documents that get lost before they are sent.

use super::{Alarm, Client, News, Peer, Season, Turn};
use crate::promises::Meaning;
use crate::text::{Message, between};
use ims::sip::Transport;
use std::collections::{BTreeMap, VecDeque};

/// Longest subscription granted, in seconds: half of it is how late a lost document is noticed.
const LONGEST: u64 = 240;
/// Longest registration, in seconds: a de-registration of which nobody heard is over by then.
const REGISTRATION: u64 = 500;

#[derive(Debug)]
struct Dialog {
    call_id: String,
    /// Branch of the SUBSCRIBE that opened it, to know it again.
    branch: String,
    /// Our side and theirs, with tags.
    us: String,
    them: String,
    target: String,
    cseq: u64,
    version: u64,
    expires_at: u64,
    due: bool,
}

/// One implicit set: a SIP and a tel identity.
#[derive(Debug)]
struct User {
    identity: String,
    /// Contact to its end.
    contacts: BTreeMap<u64, u64>,
    /// Contacts that ended since the last document.
    gone: Vec<u64>,
    dialogs: Vec<Dialog>,
    /// `Expires` of third-party REGISTERs still to be sent.
    registers: VecDeque<u64>,
}

/// What the request under way is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Work {
    Register,
    Notify(String),
}

#[derive(Debug)]
pub struct Home {
    client: Client,
    users: Vec<User>,
    open: Option<Work>,
    act: u64,
    serial: u64,
    /// As Kamailio 5.6: no NOTIFY after a refresh, and none of the next registration in an old dialog.
    kamailio: bool,
}

impl Home {
    pub fn new(presentities: Vec<String>, kamailio: bool) -> Home {
        let user = |identity| User {
            identity,
            contacts: BTreeMap::new(),
            gone: Vec::new(),
            dialogs: Vec::new(),
            registers: VecDeque::new(),
        };
        Home {
            client: Client::new(Transport::Udp),
            users: presentities.into_iter().map(user).collect(),
            open: None,
            act: 0,
            serial: 0,
            kamailio,
        }
    }

    /// Who is registered.
    pub fn registered(&self) -> impl Iterator<Item = (&str, bool)> {
        let users = self.users.iter();
        users.map(|user| (user.identity.as_str(), !user.contacts.is_empty()))
    }

    fn plan(&mut self, pause: u64, turn: &mut Turn<'_>) {
        self.act += 1;
        turn.wakes.push((turn.now + pause, Alarm::Act(self.act)));
    }

    fn act(&mut self, turn: &mut Turn<'_>) {
        for user in &mut self.users {
            user.expire(turn.now);
        }
        match turn.season {
            Season::Storm => self.storm(turn),
            Season::Quiet => {
                for user in &mut self.users {
                    user.renew(turn.now);
                }
            }
            Season::End => {}
        }
        self.pump(turn);
        let pause = turn.dice.between(500, 8_000);
        self.plan(pause, turn);
    }

    fn storm(&mut self, turn: &mut Turn<'_>) {
        let number = turn.dice.between(0, self.users.len() as u64) as usize;
        let contact = turn.dice.between(0, 3);
        let expires = turn.dice.between(30, REGISTRATION);
        let what = turn.dice.between(0, 100);
        let kamailio = self.kamailio;
        let user = &mut self.users[number];
        match what {
            0..40 => {
                let is_new = user.contacts.is_empty();
                user.contacts.insert(contact, turn.now + expires * 1000);
                user.registers.push_back(expires);
                // dialogs of a registration that has ended are told nothing of the next
                if !(kamailio && is_new) {
                    user.changed();
                }
            }
            // one contact goes: Expires: 0 says it, whoever else stays
            40..60 if user.contacts.remove(&contact).is_some() => {
                user.gone.push(contact);
                user.registers.push_back(0);
                user.changed();
            }
            // the network withdraws the registration: only the dialogs are told
            60..75 => user.withdraw(),
            // it forgets whom it tells
            75..80 => user.dialogs.clear(),
            // a document is lost before it is sent
            80..85 if !kamailio => {
                for dialog in &mut user.dialogs {
                    dialog.version += 1;
                    dialog.due = false;
                }
            }
            _ => {}
        }
    }

    /// Sends what waits, one request at a time.
    fn pump(&mut self, turn: &mut Turn<'_>) {
        if self.client.is_busy() {
            return;
        }
        self.serial += 1;
        let serial = self.serial;
        for user in &mut self.users {
            if let Some(expires) = user.registers.pop_front() {
                self.open = Some(Work::Register);
                let head = user.register(expires, serial, turn);
                return self.client.send(&head, "", turn);
            }
            user.dialogs.retain(|dialog| dialog.expires_at > turn.now);
            if let Some(at) = user.dialogs.iter().position(|dialog| dialog.due) {
                let (head, body) = user.notify(at, turn);
                self.open = Some(Work::Notify(user.dialogs[at].call_id.clone()));
                return self
                    .client
                    .send_typed("application/reginfo+xml", &head, &body, turn);
            }
        }
    }

    /// The dialog of a NOTIFY that was refused, or that nobody answered, is over.
    fn drop_dialog(&mut self, call_id: &str) {
        for user in &mut self.users {
            user.dialogs.retain(|dialog| dialog.call_id != call_id);
        }
    }

    fn subscribed(&mut self, request: &Message, turn: &mut Turn<'_>) {
        let kamailio = self.kamailio;
        let call_id = request.get("call-id").to_owned();
        let asked = request.expires().unwrap_or(3_600);
        let granted = asked.min(turn.dice.between(60, LONGEST));
        let known = self.users.iter_mut().find_map(|user| {
            let known = user.dialogs.iter().position(|d| d.call_id == call_id);
            known.map(|at| (user, at))
        });
        let reply = |status: u16, to: &str, more: &str, turn: &mut Turn<'_>| {
            let text = String::from_utf8(request.answer(status, more)).expect("UTF-8");
            let old = format!("to: {}\r\n", request.get("to"));
            let bytes = text
                .replacen(&old, &format!("to: {to}\r\n"), 1)
                .into_bytes();
            turn.sends.push((Transport::Udp, bytes));
        };
        let expires = format!("Expires: {granted}\r\nContact: <sip:{}>\r\n", turn.me);
        if let Some((user, at)) = known {
            let dialog = &mut user.dialogs[at];
            let us = dialog.us.clone();
            dialog.expires_at = turn.now + granted.max(30) * 1000;
            let again = dialog.branch == request.branch();
            reply(200, &us, &expires, turn);
            if asked == 0 {
                user.dialogs.remove(at);
            } else if !again && !kamailio {
                dialog.due = true;
            }
        } else if !request.tag_in_to().is_empty() {
            reply(481, request.get("to"), "", turn);
        } else if turn.season == Season::Storm && turn.dice.percent(10) {
            reply(503, request.get("to"), "Retry-After: 5\r\n", turn);
        } else {
            let uri = request
                .start
                .split(' ')
                .nth(1)
                .unwrap_or_default()
                .to_owned();
            let found = self.users.iter_mut().find(|user| user.names(&uri));
            let Some(user) = found.filter(|user| !user.contacts.is_empty()) else {
                return reply(480, request.get("to"), "", turn);
            };
            let us = format!("{};tag={:x}", request.get("to"), turn.dice.number());
            reply(200, &us, &expires, turn);
            user.dialogs.push(Dialog {
                call_id,
                branch: request.branch().to_owned(),
                us,
                them: request.get("from").to_owned(),
                target: between(request.get("contact"), "<", ">")[0].to_owned(),
                cseq: turn.dice.between(1, 9),
                version: turn.dice.between(0, 9),
                expires_at: turn.now + granted * 1000,
                due: true,
            });
        }
        self.pump(turn);
    }
}

impl User {
    fn tel(&self) -> String {
        format!(
            "tel:+1555{}",
            self.identity.bytes().map(u64::from).sum::<u64>()
        )
    }

    fn names(&self, uri: &str) -> bool {
        uri == self.identity || uri == self.tel()
    }

    fn changed(&mut self) {
        for dialog in &mut self.dialogs {
            dialog.due = true;
        }
    }

    fn withdraw(&mut self) {
        if !self.contacts.is_empty() {
            self.gone.extend(self.contacts.keys());
            self.contacts.clear();
            self.changed();
        }
    }

    fn expire(&mut self, now: u64) {
        let over: Vec<u64> = self
            .contacts
            .iter()
            .filter(|(_, until)| **until <= now)
            .map(|(contact, _)| *contact)
            .collect();
        if !over.is_empty() {
            self.contacts.retain(|_, until| *until > now);
            self.gone.extend(over);
            self.changed();
        }
    }

    /// The terminals refresh their registrations, and the S-CSCF says so.
    fn renew(&mut self, now: u64) {
        let soon = now + 60_000;
        if self.contacts.values().any(|until| *until < soon) {
            for until in self.contacts.values_mut() {
                *until = now + 300_000;
            }
            self.registers.push_back(300);
        }
    }

    fn register(&self, expires: u64, serial: u64, turn: &mut Turn<'_>) -> String {
        let (user, tel, me) = (&self.identity, self.tel(), turn.me);
        // mostly for the SIP identity, whichever the terminal registered
        let identity = if turn.dice.percent(20) { &tel } else { user };
        format!(
            "REGISTER sip:as.ims.test SIP/2.0\r\nFrom: <sip:{me}>;tag={serial:x}\r\nTo: <{identity}>\r\n\
             Call-ID: {serial:x}-reg@{me}\r\nCSeq: 10 REGISTER\r\nContact: <sip:{me}>\r\nExpires: {expires}\r\n\
             Event: registration\r\nP-Associated-URI: <{user}>, <sip:other@ims.test, {tel}>\r\n"
        )
    }

    /// A NOTIFY of the present state, full or partial.
    fn notify(&mut self, at: usize, turn: &mut Turn<'_>) -> (String, String) {
        let partial = turn.dice.percent(40) && self.dialogs[at].version > 0;
        let state = if self.contacts.is_empty() {
            "terminated"
        } else {
            "active"
        };
        let mut contacts = String::new();
        for (contact, until) in &self.contacts {
            let left = until.saturating_sub(turn.now) / 1000;
            contacts.push_str(&format!(
                "<contact id=\"{contact}\" state=\"active\" event=\"registered\" expires=\"{left}\"><uri>sip:x</uri></contact>"
            ));
        }
        for contact in self.gone.iter().filter(|c| !self.contacts.contains_key(c)) {
            contacts.push_str(&format!(
                "<contact id=\"{contact}\" state=\"terminated\" event=\"deactivated\"><uri>sip:x</uri></contact>"
            ));
        }
        let elements: String = [self.identity.clone(), self.tel()]
            .iter()
            .map(|aor| {
                format!("<registration aor=\"{aor}\" id=\"{aor}\" state=\"{state}\">{contacts}</registration>")
            })
            .collect();
        let dialog = &mut self.dialogs[at];
        dialog.due = false;
        dialog.cseq += 1;
        dialog.version += 1;
        let body = format!(
            "<reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"{}\" state=\"{}\">{elements}</reginfo>",
            dialog.version,
            if partial { "partial" } else { "full" },
        );
        let left = dialog.expires_at.saturating_sub(turn.now) / 1000;
        let head = format!(
            "NOTIFY {} SIP/2.0\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {} NOTIFY\r\nContact: <sip:{}>\r\n\
             Event: reg\r\nSubscription-State: active;expires={left}\r\n",
            dialog.target, dialog.us, dialog.them, dialog.call_id, dialog.cseq, turn.me
        );
        if self.dialogs.iter().all(|dialog| !dialog.due) {
            self.gone.clear();
        }
        (head, body)
    }
}

impl Peer for Home {
    fn receive(&mut self, message: &Message, _: Transport, turn: &mut Turn<'_>) {
        if message.method() == "SUBSCRIBE" && message.status().is_none() {
            return self.subscribed(message, turn);
        }
        if message.status().is_some() && self.client.answers(message) {
            if let Some(Work::Notify(call_id)) = self.open.take()
                && message.status() != Some(200)
            {
                self.drop_dialog(&call_id);
            }
            self.pump(turn);
        }
    }

    fn wake(&mut self, alarm: Alarm, turn: &mut Turn<'_>) {
        match alarm {
            Alarm::Act(number) if number >= self.act => self.act(turn),
            Alarm::Act(_) => {}
            Alarm::Resend(serial) => {
                if self.client.resend(serial, turn) == News::TimedOut {
                    if let Some(Work::Notify(call_id)) = self.open.take() {
                        self.drop_dialog(&call_id);
                    }
                    self.pump(turn);
                }
            }
        }
    }

    fn meaning(&self, request: &Message) -> Meaning {
        let user = between(request.get("p-associated-uri"), "<", ">");
        Meaning {
            presentity: user.first().map_or(String::new(), |u| (*u).to_owned()),
            ..Meaning::default()
        }
    }

    fn as_home(&self) -> Option<&Home> {
        Some(self)
    }
}
