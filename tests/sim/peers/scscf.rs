//! The S-CSCF: third-party REGISTER as Kamailio's `ims_isc` sends it, a new Call-ID and CSeq 10 each time.

use super::{Alarm, Client, News, Peer, Season, Turn};
use crate::promises::Meaning;
use crate::text::{Message, between};
use ims::sip::Transport;

#[derive(Debug)]
pub struct Scscf {
    client: Client,
    presentities: Vec<String>,
    act: u64,
    serial: u64,
}

impl Scscf {
    pub fn new(presentities: Vec<String>) -> Scscf {
        Scscf {
            client: Client::new(Transport::Udp),
            presentities,
            act: 0,
            serial: 0,
        }
    }

    fn plan(&mut self, pause: u64, turn: &mut Turn<'_>) {
        self.act += 1;
        turn.wakes.push((turn.now + pause, Alarm::Act(self.act)));
    }

    fn act(&mut self, turn: &mut Turn<'_>) {
        if turn.season != Season::Storm || self.client.is_busy() {
            return;
        }
        self.serial += 1;
        let user = turn.dice.pick(&self.presentities).clone();
        let tel = format!("tel:+1555{}", user.bytes().map(u64::from).sum::<u64>());
        // one REGISTER for each identity, in any order
        let identity = if turn.dice.percent(30) { &tel } else { &user };
        let expires = if turn.dice.percent(30) {
            0
        } else {
            turn.dice.between(30, 900)
        };
        let head = format!(
            "REGISTER sip:as.ims.test SIP/2.0\r\nFrom: <sip:{me}>;tag={serial:x}\r\nTo: <{identity}>\r\n\
             Call-ID: {serial:x}-reg@{me}\r\nCSeq: 10 REGISTER\r\nContact: <sip:{me}>\r\nExpires: {expires}\r\n\
             Event: registration\r\nP-Associated-URI: <{user}>, <sip:other@ims.test, {tel}>\r\n",
            me = turn.me,
            serial = self.serial,
        );
        self.client.send(&head, "", turn);
    }
}

impl Peer for Scscf {
    fn receive(&mut self, message: &Message, _: Transport, turn: &mut Turn<'_>) {
        if message.status().is_some() && self.client.answers(message) {
            let pause = turn.dice.between(1_000, 60_000);
            self.plan(pause, turn);
        }
    }

    fn wake(&mut self, alarm: Alarm, turn: &mut Turn<'_>) {
        match alarm {
            Alarm::Act(number) if number >= self.act => self.act(turn),
            Alarm::Act(_) => {}
            Alarm::Resend(serial) => {
                if self.client.resend(serial, turn) == News::TimedOut {
                    self.plan(1_000, turn);
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
}
