//! The watcher's picture, rebuilt from the NOTIFYs of its list, shows what subscriptions of its own would, whatever
//! members publish, their rules say, the list becomes, the watcher answers, and whenever the process ends.

use super::*;
use crate::rls::picture::{Picture, Taken, What};

const PEOPLE: [&str; 5] = ["ann", "ben", "cem", "dee", "eva"];

/// The watcher with its one subscription.
struct Watcher {
    picture: Picture,
    opened: Sent,
    /// NOTIFYs that it has not answered.
    open: Vec<Sent>,
    last_cseq: u32,
}

struct World {
    bench: Bench,
    dice: Random,
    watcher: Watcher,
    etags: BTreeMap<&'static str, String>,
    listed: Vec<&'static str>,
}

fn cseq(notify: &Sent) -> u32 {
    let number = notify.get("CSeq").split(' ').next();
    number.and_then(|n| n.parse().ok()).unwrap()
}

impl World {
    fn new(seed: u8) -> World {
        let mut settings = settings();
        settings.subscriptions = 1_000;
        settings.publications = 1_000;
        settings.documents = 1_000;
        settings.presence.subscriptions_per_presentity = 100;
        settings.list_server.max_notify = [400, 2_000, 60_000][usize::from(seed) % 3];
        let mut bench = Bench::new(settings);
        let listed = vec!["ann", "ben", "cem"];
        bench.write_services(&[(FRIENDS, &listed)]);
        let sent = bench.ask_list(ALICE, FRIENDS, &format!("{ACCEPT}{SUPPORTED}"), "");
        let watcher = Watcher {
            picture: Picture::default(),
            opened: sent[0].clone(),
            open: Vec::new(),
            last_cseq: 0,
        };
        let mut world = World {
            bench,
            dice: Random::new([seed; 32]),
            watcher,
            etags: BTreeMap::new(),
            listed,
        };
        world.hear(&sent[1..]);
        world
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.dice.number() % sides
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        let at = self.roll(all.len() as u64);
        all[at as usize]
    }

    /// The watcher takes what is new; what comes again it knows.
    fn hear(&mut self, sent: &[Sent]) {
        let own = self.watcher.opened.get("Call-ID").to_owned();
        let of_list = |sent: &&Sent| sent.method() == "NOTIFY" && sent.get("Call-ID") == own;
        for notify in sent.iter().filter(of_list) {
            if cseq(notify) <= self.watcher.last_cseq {
                continue;
            }
            assert!(
                self.watcher.open.is_empty(),
                "one before is not answered: {} then {}",
                self.watcher.open[0].text,
                notify.text
            );
            self.watcher.last_cseq = cseq(notify);
            self.watcher.open.push(notify.clone());
        }
    }

    /// Answers what is open: with success it is taken, else it is lost.
    fn settle_answers(&mut self, success: bool) {
        let Some(notify) = self.watcher.open.pop() else {
            return;
        };
        if success {
            let taken = self.watcher.picture.take(read(&notify));
            assert_ne!(taken, Taken::Stale);
        }
        let status = if success { 200 } else { 500 };
        let sent = self.bench.answer(&notify, status, "");
        self.hear(&sent);
    }

    fn publish(&mut self, who: &'static str) {
        let uri = format!("sip:{who}@ims.test");
        let known = self.etags.get(who).cloned();
        let ends = known.is_some() && self.roll(5) == 0;
        let note = format!("n{}", self.roll(4));
        let mut head = format!(
            "Event: presence\r\nP-Asserted-Identity: <{uri}>\r\nContent-Type: application/pidf+xml\r\n"
        );
        if let Some(etag) = known {
            head.push_str(&format!("SIP-If-Match: {etag}\r\n"));
        }
        if ends {
            head.push_str("Expires: 0\r\n");
        }
        let body = if ends {
            String::new()
        } else {
            pidf(&note).replace(BOB, &uri)
        };
        let head = match ends {
            true => head.replace("Content-Type: application/pidf+xml\r\n", ""),
            false => head,
        };
        let sent = self.bench.ask("PUBLISH", &uri, &head, &body);
        match sent[0].status() {
            200 if ends => self.etags.remove(who),
            200 => self.etags.insert(who, sent[0].get("SIP-ETag").to_owned()),
            412 => self.etags.remove(who), // it ran out
            other => panic!("{other}"),
        };
        self.hear(&sent);
    }

    fn step(&mut self) {
        let who = self.one_of(&PEOPLE);
        match self.roll(12) {
            0..4 => self.publish(who),
            4 | 5 => {
                let handling = self.one_of(&["allow", "block", "polite-block", "confirm"]);
                let uri = format!("sip:{who}@ims.test");
                let sent = self.bench.rules_of(&uri, handling, "");
                self.hear(&sent);
            }
            6 => {
                let chosen = self.roll(32);
                let chosen = PEOPLE
                    .iter()
                    .enumerate()
                    .filter(|(n, _)| chosen >> n & 1 == 1);
                self.listed = chosen.map(|(_, who)| *who).collect();
                let sent = self.bench.write_services(&[(FRIENDS, &self.listed)]);
                self.hear(&sent);
            }
            7 => {
                let success = self.roll(4) > 0;
                self.settle_answers(success);
            }
            8 => {
                self.settle_answers(true);
                let opened = self.watcher.opened.clone();
                let sent = self.bench.renew_list(&opened, "", "");
                assert_eq!(sent[0].status(), 200, "{}", sent[0].text);
                self.hear(&sent[1..]);
            }
            9 if self.roll(3) == 0 => {
                // what was on its way may be lost with the process: nobody asks for the answer
                self.watcher.open.clear();
                self.bench.restart(10);
            }
            _ => {
                self.settle_answers(true);
                let millis = self.roll(8_000);
                let sent = self.bench.wait(millis);
                self.hear(&sent);
            }
        }
    }

    /// Lets everything that is owed be told.
    fn rest(&mut self) {
        for _ in 0..200 {
            self.settle_answers(true);
            let sent = self.bench.wait(1_000);
            self.hear(&sent);
        }
        assert!(self.watcher.open.is_empty());
    }

    /// What a subscription of the watcher's own shows.
    fn direct(&mut self, uri: &str) -> (String, Option<String>) {
        let head = "Accept: application/pidf+xml\r\nExpires: 0\r\n";
        let sent = self.bench.ask_list(ALICE, uri, head, "");
        match sent[0].status() {
            403 => ("terminated".into(), None),
            202 => {
                self.bench.answer(&sent[1], 200, "");
                ("pending".into(), None)
            }
            200 => {
                self.bench.answer(&sent[1], 200, "");
                ("active".into(), Some(sent[1].body().to_owned()))
            }
            other => panic!("{other}"),
        }
    }

    fn compare(&mut self, when: &str) {
        let listed: Vec<String> = self
            .listed
            .iter()
            .map(|who| format!("sip:{who}@ims.test"))
            .collect();
        let mut known: Vec<String> = self
            .watcher
            .picture
            .rows()
            .map(|(uri, _)| uri.to_owned())
            .collect();
        known.sort();
        assert_eq!(known, listed, "{when}");
        for uri in listed {
            let expected = self.direct(&uri);
            let row = self.watcher.picture.row(&uri).unwrap();
            let shown = row.instances.values().next();
            let shown = shown.map(|known| {
                let state = match &known.state {
                    What::State(content) => {
                        Some(String::from_utf8_lossy(&content.bytes).into_owned())
                    }
                    _ => None,
                };
                (known.phase.text().to_owned(), state)
            });
            assert_eq!(shown, Some(expected), "{when}: {uri}");
        }
    }
}

#[test]
fn the_picture_of_a_list_is_what_subscriptions_to_its_members_would_show() {
    for seed in 0..24 {
        let mut world = World::new(seed);
        for round in 0..4 {
            for _ in 0..20 {
                world.step();
            }
            world.rest();
            world.compare(&format!("seed {seed}, round {round}"));
        }
    }
}
