//! A bench: the service, its clock, and what it has sent.

use crate::charge::{Event, Ledger, Outcomes, Triggers};
use crate::event::onlooker::{Extent, Instance, Member, Onlooker, Takes};
use crate::event::quota::Quota;
use crate::event::subscriber::{Answer, Order, Own};
use crate::event::subscription::{State, SubscriptionId};
use crate::event::tag::TagKey;
use crate::event::turn::{Outgoing, Random, Ticket, Turn};
use crate::isc::Charging;
use crate::record::{Batch, Op, Table, decode};
use crate::reject::Reject;
use crate::rls::BackEnds;
use crate::rls::backend::{Bounds, Core, Notify, Service, Settings, Way};
use crate::sip::header::subscription_state::SubscriptionState;
use crate::sip::{self, Aor, Framing, Incoming, Limits, Name};
use crate::time::{Millis, Seconds, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

pub const N: Millis = Millis(32_000);
pub const PIDF: &str = "application/pidf+xml";

/// An S-CSCF for everybody of the home domain.
pub struct Home;

impl Core for Home {
    fn way(&self, watcher: &[Aor]) -> Option<Way> {
        let served = watcher.iter().position(|aor| aor.host() == "ims.test")?;
        Some(Way {
            hop: "sip:scscf.ims.test:6060".into(),
            served,
            registered: true,
            charging: Charging::default(),
        })
    }
}

/// A SUBSCRIBE that has left.
#[derive(Clone, Debug)]
pub struct Sent {
    pub ticket: Ticket,
    pub text: String,
}

impl Sent {
    pub fn header(&self, name: &str) -> Vec<&str> {
        let values = self.text.lines().filter_map(|line| {
            let (n, value) = line.split_once(": ")?;
            (n == name).then_some(value)
        });
        values.collect()
    }

    pub fn one(&self, name: &str) -> &str {
        match self.header(name).as_slice() {
            [one] => one,
            other => panic!("{name}: {other:?} in\n{}", self.text),
        }
    }

    /// Request-URI.
    pub fn uri(&self) -> &str {
        self.text.split(' ').nth(1).unwrap()
    }

    /// Our dialog tag.
    pub fn tag(&self) -> &str {
        self.one("From").split(";tag=").nth(1).unwrap()
    }

    pub fn is_end(&self) -> bool {
        self.one("Expires") == "0"
    }
}

pub struct Bench {
    pub service: Service,
    pub now: Timestamp,
    pub sent: Vec<Sent>,
    /// Charging events of our SUBSCRIBEs.
    pub charged: Vec<Event>,
    pub admits: bool,
    /// The store.
    pub store: BTreeMap<Vec<u8>, Vec<u8>>,
    bounds: Bounds,
    random: Random,
    cseq: u32,
}

/// The list subscription with this number of a watcher.
pub fn onlooker(watcher: &str, list: u64) -> Onlooker {
    Onlooker {
        list: SubscriptionId(list),
        uri: "sip:friends@ims.test".into(),
        package: "presence",
        identities: vec![Aor::parse(watcher).unwrap()],
        asserted: vec![watcher.into()],
        anonymous: false,
        display_name: None,
        takes: Takes::default(),
        filter: None,
        hops: 68,
        since: Timestamp(1_000_000),
        expires_at: Timestamp(1_000_000 + 3_600_000),
    }
}

pub fn member(list: u64, place: u32) -> Member {
    Member {
        list: SubscriptionId(list),
        place,
    }
}

fn service(bounds: Bounds) -> Service {
    let own = Own {
        address: "10.0.0.1:5060".into(),
        contact: "10.0.0.1:5060".into(),
        ioi: "ims.test".into(),
        udp_max: 65_000,
    };
    let settings = Settings {
        own,
        timer_n: N,
        bounds,
    };
    let hash = ahash::RandomState::with_seeds(1, 2, 3, 4);
    Service::new(settings, TagKey([5, 6, 7, 8]), hash)
}

impl Bench {
    pub fn new() -> Bench {
        Bench::with(Bounds::default())
    }

    pub fn with(bounds: Bounds) -> Bench {
        Bench {
            service: service(bounds.clone()),
            now: Timestamp(1_000_000),
            sent: Vec::new(),
            admits: true,
            store: BTreeMap::new(),
            bounds,
            random: Random::new([9; 32]),
            cseq: 0,
            charged: Vec::new(),
        }
    }

    pub fn step<R>(&mut self, step: impl FnOnce(&mut Service, &mut Turn<'_>) -> R) -> R {
        let triggers = Triggers {
            subscribe_sent: Outcomes::All,
            ..Triggers::OFF
        };
        let (mut batch, mut ledger) = (Batch::default(), Ledger::new(triggers, 1));
        let mut turn = Turn {
            now: self.now,
            random: &mut self.random,
            batch: &mut batch,
            ledger: &mut ledger,
            quota: &mut Quota::default(),
            outgoing: Vec::new(),
        };
        let result = step(&mut self.service, &mut turn);
        for Outgoing { ticket, bytes, .. } in turn.outgoing {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            self.sent.push(Sent { ticket, text });
        }
        self.charged.extend(ledger.take());
        for op in batch.ops {
            match op {
                Op::Put {
                    table: Table::Charging | Table::ChargingEmitted,
                    ..
                } => {}
                Op::Put { table, key, value } => {
                    assert_eq!(table, Table::BackEnd);
                    self.store.insert(key.into(), value.into());
                }
                Op::Delete { key, .. } => drop(self.store.remove(&*key)),
            }
        }
        result
    }

    /// Does everything that is due now.
    pub fn due(&mut self) {
        while self
            .service
            .next_deadline()
            .is_some_and(|at| at <= self.now)
        {
            let admits = self.admits;
            self.step(|service, turn| service.due(turn, &Home, admits));
        }
    }

    /// Lets time pass, doing what becomes due on the way.
    pub fn wait(&mut self, millis: u64) {
        let until = self.now + Millis(millis);
        while let Some(at) = self.service.next_deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.due();
        }
        self.now = until;
    }

    pub fn want(&mut self, onlooker: &Onlooker, place: u32, uri: &str) -> bool {
        let member = member(onlooker.list.0, place);
        self.step(|service, turn| service.want(turn, member, onlooker, uri))
    }

    pub fn drop(&mut self, member: Member) {
        self.step(|service, turn| service.drop(turn, member));
    }

    /// The only SUBSCRIBE that has left since the last look.
    pub fn only(&mut self) -> Sent {
        let sent = std::mem::take(&mut self.sent);
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent.into_iter().next().unwrap()
    }

    /// Alice watches Bob of another domain, whose SUBSCRIBE has left.
    pub fn asking() -> (Bench, Sent) {
        let mut bench = Bench::new();
        assert!(bench.want(&onlooker("sip:alice@ims.test", 1), 0, "sip:bob@b.test"));
        bench.due();
        let sent = bench.only();
        (bench, sent)
    }

    /// The same, told of his state.
    pub fn active() -> (Bench, Sent) {
        let (mut bench, sent) = Bench::asking();
        bench.answer(&sent, 200);
        assert_eq!(bench.notify(&sent, "n", "active;expires=3600", "<p/>"), 200);
        assert_eq!(bench.told(), [(0, "active".into(), "<p/>".into())]);
        bench.service.take_stirred();
        (bench, sent)
    }

    pub fn answer(&mut self, sent: &Sent, status: u16) {
        self.answer_with(
            sent,
            Answer {
                status,
                expires: Some(Seconds(3600)),
                ..Answer::default()
            },
        );
    }

    pub fn answer_with(&mut self, sent: &Sent, answer: Answer) {
        let ticket = sent.ticket;
        let asked_at = self.now;
        self.step(|service, turn| service.answered(turn, ticket, &answer, asked_at));
        self.wait(100);
    }

    /// The notifier with this tag tells of its state; the status that it gets.
    pub fn notify(&mut self, sent: &Sent, tag: &str, state: &str, body: &str) -> u16 {
        self.cseq += 1;
        let cseq = self.cseq;
        self.notify_as(sent, (tag, cseq), state, (PIDF, body), "")
    }

    pub fn notify_as(
        &mut self,
        sent: &Sent,
        (tag, cseq): (&str, u32),
        state: &str,
        (media_type, body): (&str, &str),
        more: &str,
    ) -> u16 {
        let (id, call, from) = (sent.tag(), sent.one("Call-ID"), sent.one("From"));
        let mut bytes = format!(
            "NOTIFY sip:p123@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK{cseq}{tag}\r\n\
             From: <sip:bob@b.test>;tag={tag}\r\nTo: {from}\r\nCall-ID: {call}\r\nCSeq: {cseq} NOTIFY\r\n\
             Contact: <sip:10.0.0.2:6060>\r\n{more}Content-Type: {media_type}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes();
        let Incoming::Request(request) =
            sip::parse(&mut bytes, Framing::Datagram, &Limits::default())
        else {
            panic!("a NOTIFY")
        };
        let id = SubscriptionId::parse(id).unwrap();
        let now = self.now;
        let outcome = self.step(|service, turn| {
            if service.order(now, id, &request)? == Order::Again {
                return Ok(());
            }
            let media_type = request.headers.get(Name::ContentType);
            let told = service.read(id, media_type, request.body)?;
            let state = SubscriptionState::parse(state).unwrap();
            let notify = Notify {
                id,
                request: &request,
                state,
                told,
            };
            service.notified(turn, notify)
        });
        self.wait(100);
        outcome.map_or_else(|reject: Reject| reject.status().0, |()| 200)
    }

    /// What the first member of the first list is told: number, state or reason, and the bytes.
    pub fn told(&mut self) -> Vec<(u32, String, String)> {
        self.told_to(member(1, 0))
    }

    pub fn told_to(&mut self, member: Member) -> Vec<(u32, String, String)> {
        let all = self.service.instances(member, Extent::Full).into_iter();
        all.map(|(id, instance)| (id, named(&instance), bytes(&instance)))
            .collect()
    }

    /// Kills the process and starts it on what is stored.
    pub fn restart(&mut self) {
        self.service = service(self.bounds.clone());
        for (key, value) in self.store.clone() {
            let record = decode(&value).unwrap();
            self.service.recover(&key, record).unwrap();
        }
        let now = self.now;
        self.step(|service, turn| service.recovered(now, turn.batch));
        self.due();
    }
}

fn named(instance: &Instance) -> String {
    match instance.state {
        State::Active => "active".into(),
        State::Pending => "pending".into(),
        State::Terminated(end) => end.reason().unwrap_or("?").into(),
        State::Waiting => "waiting".into(),
    }
}

fn bytes(instance: &Instance) -> String {
    let content = instance.content.as_ref();
    content.map_or_else(String::new, |content| {
        String::from_utf8(content.bytes.to_vec()).unwrap()
    })
}

/// A filter document.
pub fn filters(inner: &str) -> Arc<[u8]> {
    let text =
        format!("<filter-set xmlns=\"urn:ietf:params:xml:ns:simple-filter\">{inner}</filter-set>");
    text.into_bytes().into()
}
