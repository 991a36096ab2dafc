//! What the client asks next.

use super::dialogs::Watch;
use super::driver::{Asked, Driver, Outcome, Person, WINDOW, Who, icid};
use crate::harness::{Request, pidf};
use std::time::Duration;

impl Driver {
    /// Sends one request of any kind, if somebody has nothing under way.
    pub(super) fn begin(&mut self) {
        let at = self.chance.below(self.crowd.people);
        let person = &mut self.people[at];
        let uri = person.uri.clone();
        let watchable = self.crowd.watches > 0 && self.padding == 0 && !person.long;
        match self.chance.below(100) {
            0..5 if watchable && self.dialogs.watches.len() < self.crowd.watches => {
                person.watched = true;
                self.ask(Who::NewWatch, &uri, Request::subscribe(&uri, &uri));
            }
            5..12 if !self.dialogs.watches.is_empty() => {
                let at = self.chance.below(self.dialogs.watches.len());
                let watch = self.dialogs.watches.swap_remove(at);
                let ends = self.chance.below(4) == 0;
                self.refresh(watch, ends);
            }
            12..14 if watchable => {
                let fetch = Request::subscribe(&uri, &uri).without("Expires");
                self.ask(Who::Fetch, &uri, fetch.with("Expires", 0));
            }
            _ => self.publish(),
        }
    }

    /// Ends every subscription that may live still.
    pub fn leave(&mut self) {
        for watch in self.dialogs.alive() {
            while self.flight.len() >= WINDOW {
                self.pump(Duration::from_millis(5));
            }
            self.refresh(watch, true);
        }
    }

    fn publish(&mut self) {
        let Some(at) = self.idle.pop_front() else {
            return;
        };
        let mut who = Who::Person(at);
        if self.newcomers && self.chance.below(2) == 0 {
            let born = self.born();
            who = Who::Newcomer(at, std::mem::replace(&mut self.people[at], born));
        }
        let (serial, person) = (self.asked.len(), &mut self.people[at]);
        let padding = if person.watched { 0 } else { self.padding };
        person.long |= padding > 0;
        let Person { uri, etag, .. } = person.clone();
        let note = format!("{} {}", icid(serial), "x".repeat(padding));
        let document = pidf(&uri, "open", &note);
        let request = match etag {
            None => Request::publish(&uri, &document),
            Some(etag) => match self.chance.below(3) {
                0 => Request::publish(&uri, "").with("SIP-If-Match", etag),
                _ => Request::publish(&uri, &document).with("SIP-If-Match", etag),
            },
        };
        self.ask(who, &uri, request);
    }

    fn refresh(&mut self, watch: Watch, ends: bool) {
        let expires = if ends { 0 } else { 600 };
        let request = Request::new("SUBSCRIBE", &watch.target)
            .with("P-Asserted-Identity", format!("<{}>", watch.presentity))
            .with("From", format!("<{}>;tag=w", watch.presentity))
            .with("To", &watch.to)
            .with("Call-ID", &watch.call_id)
            .with("CSeq", format!("{} SUBSCRIBE", watch.cseq + 1))
            .with("Event", "presence")
            .with("Accept", "application/pidf+xml")
            .with("Expires", expires);
        let presentity = watch.presentity.clone();
        let who = match ends {
            true => Who::EndOfWatch,
            false => Who::Watch(Watch {
                cseq: watch.cseq + 1,
                ..watch
            }),
        };
        self.ask(who, &presentity, request);
    }

    fn ask(&mut self, who: Who, presentity: &str, request: Request) {
        let serial = self.asked.len();
        let vector = format!("icid-value=\"{}\";orig-ioi=ims.test", icid(serial));
        let request = request.with("P-Charging-Vector", vector);
        let shows = request.method == "PUBLISH" && !request.body.is_empty();
        let newcomer = shows && !request.has("SIP-If-Match");
        let method = if request.method == "PUBLISH" {
            "PUBLISH"
        } else {
            "SUBSCRIBE"
        };
        let sent = self.flight.send(serial, &request, who);
        self.asked.push(Asked {
            method,
            call_id: sent.get("call-id").to_owned(),
            presentity: presentity.to_owned(),
            shows,
            newcomer,
            outcome: Outcome::UnderWay,
        });
    }
}
