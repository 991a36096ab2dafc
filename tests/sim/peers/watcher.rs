//! A watcher (RFC 6665 §4.1): subscribes, refreshes, ends, fetches, and answers NOTIFYs, not always kindly.

use super::{Alarm, Client, News, Peer, Season, Turn};
use crate::picture::{Picture, Wish};
use crate::promises::lists::{self, LIST};
use crate::promises::{Meaning, view};
use crate::text::{Message, param};
use crate::truth::{Told, View};
use ims::rls::picture::{self, Taken};
use ims::sip::Transport;
use std::collections::BTreeMap;

/// How it answers NOTIFYs at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Kind,
    Silent,
    Failing(u16),
}

#[derive(Debug)]
struct Dialog {
    call_id: String,
    our_tag: String,
    /// Tag of the server, once a 2xx or a NOTIFY has told it.
    tag: Option<String>,
    cseq: u32,
    /// CSeq of the last NOTIFY taken.
    notified: u32,
    expires_at: u64,
    told: Option<Told>,
    picture: Picture,
    /// Where it is a list.
    friends: picture::Picture,
}

#[derive(Debug)]
pub struct Watcher {
    client: Client,
    name: String,
    uri: String,
    presentity: String,
    wish: Wish,
    dialog: Option<Dialog>,
    /// The last state shown, by its entity-tag: it outlives dialogs.
    known: Option<(String, Told)>,
    lost: Option<String>,
    mood: Mood,
    mood_ends: u64,
    act: u64,
    serial: u64,
    /// Answers given, by branch: a NOTIFY that comes again gets the same.
    given: BTreeMap<String, (u64, Option<Vec<u8>>)>,
    /// Answers to NOTIFYs over UDP and over TCP.
    pub heard: [u64; 2],
}

impl Dialog {
    /// Each NOTIFY of a list builds on the one before it.
    fn take_list(&mut self, notify: &Message) -> Result<(), String> {
        if notify.body.is_empty() {
            return Ok(());
        }
        match self.friends.take(lists::read(notify)?) {
            Taken::News { lost: false, .. } => Ok(()),
            taken => Err(format!("{taken:?}: {notify:?}")),
        }
    }
}

impl Watcher {
    pub fn new(
        name: &str,
        uri: &str,
        presentity: &str,
        transport: Transport,
        wish: Wish,
    ) -> Watcher {
        Watcher {
            client: Client::new(transport),
            name: name.to_owned(),
            uri: uri.to_owned(),
            presentity: presentity.to_owned(),
            wish,
            dialog: None,
            known: None,
            lost: None,
            mood: Mood::Kind,
            mood_ends: 0,
            act: 0,
            serial: 0,
            given: BTreeMap::new(),
            heard: [0; 2],
        }
    }

    pub fn watches(&self) -> (&str, &str) {
        (&self.uri, &self.presentity)
    }

    /// What it was last told, while it is subscribed.
    pub fn told(&self) -> Option<&Told> {
        self.dialog.as_ref().and_then(|dialog| dialog.told.as_ref())
    }

    /// What it knows of its list.
    pub fn friends(&self) -> picture::Picture {
        let friends = self.dialog.as_ref().map(|d| d.friends.clone());
        friends.unwrap_or_default()
    }

    fn watches_list(&self) -> bool {
        self.presentity.starts_with(LIST)
    }

    fn plan(&mut self, pause: u64, turn: &mut Turn<'_>) {
        self.act += 1;
        turn.wakes.push((turn.now + pause, Alarm::Act(self.act)));
    }

    fn act(&mut self, turn: &mut Turn<'_>) {
        if turn.season == Season::End || self.client.is_busy() {
            return;
        }
        if self
            .dialog
            .as_ref()
            .is_some_and(|d| d.expires_at <= turn.now)
        {
            self.dialog = None; // no refresh came through in time
        }
        match &self.dialog {
            None => {
                let fetch = turn.season == Season::Storm && turn.dice.percent(10);
                self.subscribe(turn, fetch);
            }
            Some(dialog) => {
                let over = turn.season == Season::Storm && turn.dice.percent(15);
                if dialog.tag.is_some() {
                    self.renew(turn, over);
                }
            }
        }
    }

    fn lifetime(turn: &mut Turn<'_>) -> u64 {
        match turn.season {
            Season::Storm => turn.dice.between(60, 600),
            _ => 300,
        }
    }

    fn subscribe(&mut self, turn: &mut Turn<'_>, fetch: bool) {
        self.serial += 1;
        let expires = if fetch { 0 } else { Watcher::lifetime(turn) };
        let dialog = Dialog {
            call_id: format!("{}-{}@{}", self.name, self.serial, turn.me.ip()),
            our_tag: format!("{:x}", turn.dice.number()),
            tag: None,
            cseq: 1,
            notified: 0,
            expires_at: turn.now + 40_000 + expires * 1000,
            told: None,
            picture: Picture::default(),
            friends: picture::Picture::default(),
        };
        self.dialog = Some(dialog);
        // an S-CSCF that is passed twice leaves two identical Record-Routes
        let route = format!("Record-Route: <sip:{};lr>\r\n", turn.me);
        let routes = match turn.dice.between(0, 3) {
            0 => String::new(),
            1 => route,
            _ => format!("{route}{route}"),
        };
        self.request(turn, expires, &routes);
    }

    fn renew(&mut self, turn: &mut Turn<'_>, over: bool) {
        let expires = if over { 0 } else { Watcher::lifetime(turn) };
        if let Some(dialog) = &mut self.dialog {
            dialog.cseq += 1;
        }
        self.request(turn, expires, "");
    }

    fn request(&mut self, turn: &mut Turn<'_>, expires: u64, routes: &str) {
        let Some(dialog) = &self.dialog else { return };
        let (uri, presentity, accept) = (&self.uri, &self.presentity, self.wish.accept());
        let (accept, more) = match self.watches_list() {
            true => (
                "application/rlmi+xml, multipart/related, application/pidf+xml",
                "Supported: eventlist\r\n",
            ),
            false => (accept, ""),
        };
        let condition = match &self.known {
            Some((tag, _)) if self.wish.conditional && turn.dice.percent(70) => {
                format!("Suppress-If-Match: {tag}\r\n")
            }
            _ => String::new(),
        };
        let to_tag = dialog
            .tag
            .as_ref()
            .map_or(String::new(), |tag| format!(";tag={tag}"));
        let head = format!(
            "SUBSCRIBE {presentity} SIP/2.0\r\n{routes}From: <{uri}>;tag={}\r\nTo: <{presentity}>{to_tag}\r\n\
             Call-ID: {}\r\nCSeq: {} SUBSCRIBE\r\nContact: <sip:{}>\r\nEvent: presence\r\nExpires: {expires}\r\n\
             Accept: {accept}\r\n{more}{condition}P-Asserted-Identity: <{uri}>\r\n",
            dialog.our_tag, dialog.call_id, dialog.cseq, turn.me
        );
        self.client.send(&head, "", turn);
    }

    fn answered(&mut self, response: &Message, turn: &mut Turn<'_>) {
        let status = response.status().unwrap_or_default();
        let lifetime = response.expires().unwrap_or_default();
        let mine = self
            .dialog
            .as_mut()
            .filter(|d| d.call_id == response.get("call-id"));
        match (status, mine) {
            (200 | 202 | 204, Some(dialog)) => {
                // the first of two dialogs that a retransmission over a restart may open is kept
                dialog
                    .tag
                    .get_or_insert_with(|| response.tag_in_to().to_owned());
                dialog.expires_at = turn.now + lifetime * 1000;
                if status == 204 {
                    dialog.told = self.known.as_ref().map(|(_, told)| told.clone());
                }
                if lifetime == 0 {
                    dialog.expires_at = turn.now + 32_000; // the last NOTIFY is still to come
                }
            }
            (481 | 403 | 404, _) => self.dialog = None,
            // refused before it began
            (400.., Some(dialog)) if dialog.tag.is_none() => self.dialog = None,
            _ => {}
        }
        let pause = match (turn.season, status, lifetime) {
            (Season::Storm, 200 | 202 | 204, 1..) => {
                turn.dice.between(5_000, lifetime * 1000 + 20_000)
            }
            (_, 200 | 202 | 204, 1..) => lifetime * 500,
            (_, 200 | 202 | 204, 0) => 33_000,
            (_, 481, _) => 100,
            (Season::Storm, ..) => turn.dice.between(5_000, 90_000),
            _ => 20_000,
        };
        self.plan(pause, turn);
    }

    fn notified(&mut self, notify: &Message, transport: Transport, turn: &mut Turn<'_>) {
        if let Some((_, given)) = self.given.get(notify.branch()) {
            turn.sends
                .extend(given.clone().map(|bytes| (transport, bytes)));
            return;
        }
        if turn.season != Season::Storm {
            self.mood = Mood::Kind;
        } else if turn.now >= self.mood_ends {
            let moods = [
                Mood::Silent,
                Mood::Failing(481),
                Mood::Failing(500),
                Mood::Failing(503),
            ];
            let bad = turn.dice.percent(10);
            self.mood = if bad {
                *turn.dice.pick(&moods)
            } else {
                Mood::Kind
            };
            self.mood_ends = turn.now + turn.dice.between(1_000, 60_000);
        }
        let answer = match (self.mood, self.judge(notify)) {
            (Mood::Silent, _) => return,
            (_, Err(status)) => notify.answer(status, ""),
            (Mood::Kind, Ok(())) => {
                self.take(notify, turn);
                notify.answer(200, "")
            }
            (Mood::Failing(481), Ok(())) => {
                self.dialog = None;
                self.plan(5_000, turn);
                notify.answer(481, "")
            }
            (Mood::Failing(status), Ok(())) => notify.answer(status, "Retry-After: 20\r\n"),
        };
        self.heard[usize::from(transport == Transport::Tcp)] += 1;
        let old = turn.now.saturating_sub(60_000);
        self.given.retain(|_, (at, _)| *at > old);
        self.given
            .insert(notify.branch().to_owned(), (turn.now, Some(answer.clone())));
        turn.sends.push((transport, answer));
    }

    /// Whether a NOTIFY is in our dialog and in order (RFC 6665 §4.1.3, RFC 3261 §12.2.2).
    fn judge(&self, notify: &Message) -> Result<(), u16> {
        let ours =
            |d: &&Dialog| d.call_id == notify.get("call-id") && d.our_tag == notify.tag_in_to();
        let dialog = self.dialog.as_ref().filter(ours).ok_or(481u16)?;
        if dialog
            .tag
            .as_ref()
            .is_some_and(|tag| tag != notify.tag_in_from())
        {
            return Err(481);
        }
        if notify.cseq() <= dialog.notified {
            return Err(500);
        }
        Ok(())
    }

    fn take(&mut self, notify: &Message, turn: &mut Turn<'_>) {
        let Some(dialog) = &mut self.dialog else {
            return;
        };
        dialog
            .tag
            .get_or_insert_with(|| notify.tag_in_from().to_owned());
        dialog.notified = notify.cseq();
        let state = notify.get("subscription-state");
        let tag = notify.get("sip-etag");
        let taken = match self.presentity.starts_with(LIST) {
            true => dialog
                .take_list(notify)
                .map(|()| Some(Told::Active(View::default()))),
            false => dialog
                .picture
                .take(notify)
                .map(|taken| taken.map(|document| Told::Active(view(&document)))),
        };
        let told = match taken {
            Ok(Some(told)) => Some(told),
            // without a body it is state that we said we have, or none
            Ok(None) => {
                let known = self.known.as_ref().filter(|(known, _)| known == tag);
                known.map(|(_, told)| told.clone())
            }
            Err(lost) => {
                self.lost = Some(lost);
                return;
            }
        };
        if let Some(told) = &told {
            self.known = Some((tag.to_owned(), told.clone()));
        }
        if state.starts_with("terminated") {
            self.dialog = None;
            let pause = if state.contains("rejected") {
                15_000
            } else {
                1_000
            };
            return self.plan(turn.dice.between(100, pause), turn);
        }
        if let Some(left) = param(state, "expires").and_then(|e| e.parse::<u64>().ok()) {
            dialog.expires_at = turn.now + left * 1000;
        }
        dialog.told = Some(if state.starts_with("pending") {
            Told::Pending
        } else if let Some(told) = told {
            told
        } else {
            self.lost = Some(format!("no state, and none that is known: {notify:?}"));
            return;
        });
    }
}

impl Peer for Watcher {
    fn receive(&mut self, message: &Message, transport: Transport, turn: &mut Turn<'_>) {
        if message.status().is_none() {
            self.notified(message, transport, turn);
        } else if self.client.answers(message) {
            self.answered(message, turn);
        }
    }

    fn wake(&mut self, alarm: Alarm, turn: &mut Turn<'_>) {
        match alarm {
            Alarm::Act(number) if number >= self.act => self.act(turn),
            Alarm::Act(_) => {}
            Alarm::Resend(serial) => {
                if self.client.resend(serial, turn) == News::TimedOut {
                    if self.dialog.as_ref().is_some_and(|d| d.tag.is_none()) {
                        self.dialog = None;
                    }
                    let pause = turn.dice.between(500, 10_000);
                    self.plan(pause, turn);
                }
            }
        }
    }

    fn meaning(&self, _: &Message) -> Meaning {
        Meaning {
            presentity: self.presentity.clone(),
            watcher: self.uri.clone(),
            content: None,
        }
    }

    fn as_watcher(&self) -> Option<&Watcher> {
        Some(self)
    }

    fn lost(&mut self) -> Option<String> {
        self.lost.take()
    }
}
