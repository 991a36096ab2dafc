//! A presence source (RFC 3903 §4): publishes, refreshes, modifies and removes, and starts anew after a 412.

use super::{Alarm, Client, News, Peer, Season, Turn};
use crate::documents::pidf;
use crate::promises::Meaning;
use crate::text::Message;
use crate::truth::Content;
use ims::sip::Transport;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Publishing,
    Refreshing,
    Removing,
}

#[derive(Debug)]
pub struct Source {
    client: Client,
    name: String,
    presentity: String,
    etag: Option<String>,
    version: u64,
    content: Option<Content>,
    doing: Option<Doing>,
    /// Granted lifetime in seconds.
    lifetime: u64,
    act: u64,
    cseq: u64,
    /// Notes long enough that NOTIFYs leave the size of a datagram.
    verbose: bool,
}

impl Source {
    pub fn new(name: &str, presentity: &str, transport: Transport, verbose: bool) -> Source {
        Source {
            client: Client::new(transport),
            name: name.to_owned(),
            presentity: presentity.to_owned(),
            etag: None,
            version: 0,
            content: None,
            doing: None,
            lifetime: 0,
            act: 0,
            cseq: 0,
            verbose,
        }
    }

    fn plan(&mut self, pause: u64, turn: &mut Turn<'_>) {
        self.act += 1;
        turn.wakes.push((turn.now + pause, Alarm::Act(self.act)));
    }

    fn act(&mut self, turn: &mut Turn<'_>) {
        if turn.season == Season::End || self.client.is_busy() {
            return;
        }
        let quiet = turn.season == Season::Quiet;
        match &self.etag {
            None if quiet && self.content.is_none() => {}
            None => self.publish(turn, Doing::Publishing, quiet),
            Some(_) if quiet => self.publish(turn, Doing::Refreshing, false),
            Some(_) => match turn.dice.between(0, 10) {
                0 => self.publish(turn, Doing::Removing, false),
                1..=4 => self.publish(turn, Doing::Refreshing, false),
                _ => self.publish(turn, Doing::Publishing, false),
            },
        }
    }

    /// Sends a PUBLISH; `same`: with the content that it had.
    fn publish(&mut self, turn: &mut Turn<'_>, doing: Doing, same: bool) {
        if doing == Doing::Publishing && !same {
            self.version += 1;
            let padding = if self.verbose && turn.dice.percent(50) {
                "x".repeat(1_200)
            } else {
                String::new()
            };
            self.content = Some(Content {
                note: format!("{}v{}{padding}", self.name, self.version),
                sphere: *turn.dice.pick(&[None, None, Some("home"), Some("work")]),
            });
        }
        self.doing = Some(doing);
        self.cseq += 1;
        let expires = match doing {
            Doing::Removing => 0,
            _ if turn.season == Season::Quiet => 600,
            _ => turn.dice.between(60, 400),
        };
        let presentity = &self.presentity;
        let mut head = format!(
            "PUBLISH {presentity} SIP/2.0\r\nFrom: <{presentity}>;tag={}\r\nTo: <{presentity}>\r\n\
             Call-ID: {}-{}@{}\r\nCSeq: {} PUBLISH\r\nEvent: presence\r\nExpires: {expires}\r\n\
             P-Asserted-Identity: <{presentity}>\r\n",
            self.name,
            self.name,
            self.cseq,
            turn.me.ip(),
            self.cseq
        );
        if let Some(etag) = &self.etag {
            head.push_str(&format!("SIP-If-Match: {etag}\r\n"));
        }
        let body = match (&self.content, doing) {
            (Some(content), Doing::Publishing) => pidf(presentity, content),
            _ => String::new(),
        };
        self.client.send(&head, &body, turn);
    }

    fn answered(&mut self, response: &Message, turn: &mut Turn<'_>) {
        let doing = self.doing.take();
        let status = response.status().unwrap_or_default();
        match status {
            200 if doing == Some(Doing::Removing) => {
                self.etag = None;
                self.content = None;
            }
            200 => {
                self.etag = Some(response.get("sip-etag").to_owned());
                self.lifetime = response.expires().unwrap_or_default();
            }
            412 => {
                self.etag = None;
                if doing != Some(Doing::Removing) && turn.season != Season::End {
                    return self.publish(turn, Doing::Publishing, true); // RFC 3903 §4.1: start anew
                }
            }
            _ => {}
        }
        let pause = match turn.season {
            Season::Storm => turn.dice.between(500, 45_000),
            _ => (self.lifetime * 500).max(1_000),
        };
        self.plan(pause, turn);
    }
}

impl Peer for Source {
    fn receive(&mut self, message: &Message, _: Transport, turn: &mut Turn<'_>) {
        if message.status().is_some() && self.client.answers(message) {
            self.answered(message, turn);
        }
    }

    fn wake(&mut self, alarm: Alarm, turn: &mut Turn<'_>) {
        match alarm {
            Alarm::Act(number) if number >= self.act => self.act(turn),
            Alarm::Act(_) => {}
            Alarm::Resend(serial) => {
                if self.client.resend(serial, turn) == News::TimedOut {
                    // whether it was taken is not known; the tag it had tells at the next try
                    self.doing = None;
                    let pause = turn.dice.between(500, 10_000);
                    self.plan(pause, turn);
                }
            }
        }
    }

    fn meaning(&self, request: &Message) -> Meaning {
        let content = self.content.clone().filter(|_| !request.body.is_empty());
        Meaning {
            presentity: self.presentity.clone(),
            watcher: String::new(),
            content,
        }
    }
}
