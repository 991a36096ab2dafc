//! The node by its door: messages in, effects out.

mod catalogue;
mod coding;
mod composition;
mod conditional;
mod content;
mod credit;
mod documents;
mod elements;
mod elsewhere;
mod filter;
mod hours;
mod inline;
mod leave;
mod limits;
mod list;
mod lists;
mod notify;
mod onlook;
mod overrides;
mod partial;
mod partial_notification;
mod permanent;
mod policy;
mod polite;
mod rates;
mod reg_event;
mod register;
mod remote;
mod requests;
mod restart;
mod rfc6665;
mod usages;
mod winfo;
mod withheld;

use super::*;
use crate::charge::{self, Triggers};
use crate::event::farewell::Farewell;
use crate::event::lifetime::Lifetimes;
use crate::event::turn::{Ticket, Turn};
use crate::isc::Trust;
use crate::presence::rules::Handling;
use crate::presence::{compose, external, object, pidf};
use crate::record::{KEY_MAX, Op, Table};
use crate::registration;
use crate::sip::{Aor, Destination, Transport};
use crate::time::{Millis, Seconds};
use bytes::Bytes;
use std::net::SocketAddr;

const BOB: &str = "sip:bob@ims.test";
const ALICE: &str = "sip:alice@ims.test";

/// A node with a clock, and what its last input caused.
struct Bench {
    settings: Settings,
    node: Node,
    now: u64,
    out: Outbox,
    /// What was said about credit since somebody asked.
    credit: Vec<Effect>,
    /// What is committed: every batch, at once.
    store: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    serial: u32,
    peer: SocketAddr,
    transport: Transport,
}

/// A message that the node sent.
#[derive(Clone, Debug)]
struct Sent {
    to: Destination,
    text: String,
    /// As it is on the wire.
    bytes: Bytes,
    ticket: Option<Ticket>,
}

impl Sent {
    fn status(&self) -> u16 {
        let code = self.text.strip_prefix("SIP/2.0 ").and_then(|t| t.get(..3));
        code.and_then(|c| c.parse().ok()).unwrap_or(0)
    }

    fn method(&self) -> &str {
        self.text.split(' ').next().unwrap()
    }

    fn all(&self, name: &str) -> Vec<&str> {
        let head = self.text.split("\r\n\r\n").next().unwrap();
        let lines = head.split("\r\n").filter_map(|line| line.split_once(": "));
        lines.filter(|(n, _)| *n == name).map(|(_, v)| v).collect()
    }

    fn get(&self, name: &str) -> &str {
        self.all(name).first().copied().unwrap_or("")
    }

    fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").unwrap().1
    }
}

fn settings() -> Settings {
    let lifetimes = Lifetimes {
        min: Seconds(60),
        default: Seconds(3600),
        max: Seconds(7200),
    };
    Settings {
        home_domains: vec!["ims.test".into()],
        product: String::new(),
        trust: Trust::new(vec!["10.0.0.0/8".parse().unwrap()]),
        limits: sip::Limits::default(),
        transactions: transaction::Settings::default(),
        presence: presence::Settings {
            publication: lifetimes,
            subscription: lifetimes,
            publications_per_presentity: 10,
            subscriptions_per_presentity: 10,
            notify_interval: Millis(5_000),
            compress_above: 200,
            default_handling: Some(Handling::Allow), // where there are no rules
            pidf: pidf::Limits::default(),
            watcher_info: presence::WatcherInfo::default(),
            external: external::Settings {
                servers: Vec::new(),
                timeout: Millis(5_000),
                waiting: 2,
            },
            objects: object::Limits {
                bytes: 1_000,
                count: 3,
            },
            composition: compose::Policy::default(),
            own_ioi: "ims.test".into(),
            own_address: "10.0.0.1:5060".into(),
            own_contact: "10.0.0.1:5060".into(),
            udp_max: 1_300,
        },
        registration: registration::Settings {
            default_expires: Seconds(600),
            max_expires: Seconds(7200),
            terminated_retention: Seconds(60),
            capacity: 2,
            reg_event: false,
            aliases: registration::Aliases::Tel,
        },
        xdm: xdm::Xdm::new(xdm::Settings::default()).unwrap(),
        remote: xdm::remote::Settings::default(),
        list_server: Default::default(),
        lists: crate::rls::list::Settings::default(),
        back_ends: crate::rls::backend::Bounds::default(),
        triggers: Triggers::OFF,
        payer: charge::Payer::default(),
        notify_payer: charge::NotifyPayer::default(),
        online: charge::credit::Online::OFF,
        farewell: None,
        phrases: BTreeMap::new(),
        publish_needs_registration: false,
        pending_status: 202,
        publishers: Vec::new(),
        known_presentities_only: false,
        publications: 10,
        subscriptions: 10,
        documents: 10,
        overrides: 4,
    }
}

impl Bench {
    /// Whom no rule names is rejected, as the AD has it.
    fn strict() -> Bench {
        let mut settings = settings();
        settings.presence.default_handling = None;
        Bench::new(settings)
    }

    fn new(settings: Settings) -> Bench {
        let mut bench = Bench {
            node: Node::new(settings.clone(), [7; 32]),
            settings,
            now: 1_790_000_000_000,
            out: Outbox::default(),
            credit: Vec::new(),
            store: BTreeMap::new(),
            serial: 0,
            peer: "10.0.0.2:5060".parse().unwrap(),
            transport: Transport::Udp,
        };
        bench.restart(0); // on an empty store
        bench
    }

    /// Gives the node an input; everything that it sends, the held behind the free.
    fn feed(&mut self, input: Input<'_>) -> Vec<Sent> {
        self.out = Outbox::default();
        self.node.handle(Timestamp(self.now), input, &mut self.out);
        self.commit();
        self.sent(true)
    }

    fn commit(&mut self) {
        let effects = self.out.free.iter().chain(&self.out.held);
        let of_credit = |effect: &&Effect| {
            use Effect::{Credit, CreditEnded, CreditUsed};
            matches!(effect, Credit(_) | CreditUsed { .. } | CreditEnded { .. })
        };
        self.credit.extend(effects.filter(of_credit).cloned());
        for op in &self.out.batch.ops {
            let (Op::Put { key, .. } | Op::Delete { key, .. }) = op;
            assert!(key.len() <= KEY_MAX, "no engine takes it: {op:?}");
            match op {
                Op::Put { table, key, value } => {
                    self.store.insert((*table, key.to_vec()), value.to_vec());
                }
                Op::Delete { table, key } => {
                    self.store.remove(&(*table, key.to_vec()));
                }
            }
        }
    }

    /// A new process on the same store, after so many milliseconds.
    fn restart(&mut self, away: u64) -> Recovery {
        self.now += away;
        // other numbers in each process, as in life
        let seed = 8u32.wrapping_add(self.serial).to_le_bytes()[0];
        self.node = Node::new(self.settings.clone(), [seed; 32]);
        let mut recovery = Recovery::default();
        for table in Table::ALL {
            for ((_, key), value) in self.store.iter().filter(|((t, _), _)| *t == table) {
                self.node.recover(&mut recovery, table, key, value);
            }
        }
        self.out = Outbox::default();
        let now = Timestamp(self.now);
        self.node.recovered(now, &mut recovery, &mut self.out);
        self.commit();
        assert_eq!(recovery.unreadable, 0);
        recovery
    }

    /// Bob writes his rules: handling, conditions beside the identity.
    fn rules(&mut self, handling: &str, conditions: &str) -> Vec<Sent> {
        self.rules_of(BOB, handling, conditions)
    }

    fn rules_of(&mut self, user: &str, handling: &str, conditions: &str) -> Vec<Sent> {
        let body = format!(
            "<ruleset xmlns=\"urn:ietf:params:xml:ns:common-policy\" xmlns:pr=\"urn:ietf:params:xml:ns:pres-rules\">\
             <rule id=\"r\"><conditions><identity><one id=\"{ALICE}\"/></identity>{conditions}</conditions><actions>\
             <pr:sub-handling>{handling}</pr:sub-handling></actions><transformations><pr:provide-services>\
             <pr:all-services/></pr:provide-services><pr:provide-all-attributes/></transformations></rule></ruleset>"
        );
        self.put_rules(user, &body)
    }

    /// `user` writes this document of rules.
    fn put_rules(&mut self, user: &str, body: &str) -> Vec<Sent> {
        let request = xdm::Request {
            method: xdm::Method::Put,
            target: format!("pres-rules/users/{user}/index"),
            query: None,
            content_type: Some("application/auth-policy+xml".into()),
            content_encoding: None,
            if_match: None,
            if_none_match: None,
            body: body.to_owned().into(),
            identity: xdm::Identity::User(user.into()),
        };
        let sent = self.feed(Input::Xcap {
            number: 1,
            request: &request,
        });
        let taken = |effect: &Effect| matches!(effect, Effect::Xcap { response, .. } if response.status < 300);
        let mut effects = self.out.held.iter().chain(&self.out.free);
        assert!(effects.any(taken), "{:?}", self.out);
        sent
    }

    fn sent(&self, with_held: bool) -> Vec<Sent> {
        let held = self.out.held.iter().filter(|_| with_held);
        let effects = self.out.free.iter().chain(held);
        let sends = effects.filter_map(|effect| match effect {
            Effect::Send { to, bytes, ticket } => Some(Sent {
                to: to.clone(),
                text: String::from_utf8_lossy(bytes).into_owned(), // a body may be coded
                bytes: bytes.clone(),
                ticket: *ticket,
            }),
            _ => None,
        });
        sends.collect()
    }

    fn flow(&self) -> Flow {
        Flow {
            transport: self.transport,
            local: "10.0.0.1:5060".parse().unwrap(),
            remote: self.peer,
            connection: 1,
        }
    }

    fn text(&mut self, text: &str) -> Vec<Sent> {
        let flow = self.flow();
        let mut bytes = text.as_bytes().to_vec();
        self.feed(Input::Message {
            flow,
            bytes: &mut bytes,
        })
    }

    /// Writes a request of its own transaction: `head` is what differs from a plain one.
    fn write(&mut self, method: &str, uri: &str, head: &str, body: &str) -> String {
        self.serial += 1;
        let n = self.serial;
        let (via, peer) = (self.transport.as_str(), self.peer);
        let mut text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{via} {peer};branch=z9hG4bK{n}\r\nMax-Forwards: 70\r\n"
        );
        for (name, default) in [
            ("From", format!("<{ALICE}>;tag=a")),
            ("To", format!("<{uri}>")),
            ("Call-ID", format!("call-{n}")),
            ("CSeq", format!("{n} {method}")),
        ] {
            if !head.contains(&format!("{name}: ")) {
                text.push_str(&format!("{name}: {default}\r\n"));
            }
        }
        format!("{text}{head}Content-Length: {}\r\n\r\n{body}", body.len())
    }

    fn ask(&mut self, method: &str, uri: &str, head: &str, body: &str) -> Vec<Sent> {
        let text = self.write(method, uri, head, body);
        self.text(&text)
    }

    fn publish(&mut self, more: &str, note: &str) -> Sent {
        let head = format!(
            "Event: presence\r\nP-Asserted-Identity: <{BOB}>\r\nContent-Type: application/pidf+xml\r\n{more}"
        );
        let body = if note.is_empty() {
            String::new()
        } else {
            pidf(note)
        };
        self.ask("PUBLISH", BOB, &head, &body).remove(0)
    }

    /// Subscribes alice to bob: the answer and the NOTIFYs.
    fn subscribe(&mut self, more: &str) -> Vec<Sent> {
        let head = format!(
            "Event: presence\r\nP-Asserted-Identity: <{ALICE}>\r\nContact: <sip:10.0.0.2:5060>\r\n{more}"
        );
        self.ask("SUBSCRIBE", BOB, &head, "")
    }

    /// A SUBSCRIBE in the dialog that `opened` opened.
    fn renew(&mut self, opened: &Sent, more: &str) -> Vec<Sent> {
        let head = format!(
            "To: {}\r\nCall-ID: {}\r\n{more}",
            opened.get("To"),
            opened.get("Call-ID")
        );
        self.subscribe(&head)
    }

    /// The same for another watcher and package.
    fn renew_as(&mut self, opened: &Sent, who: &str, package: &str) -> Vec<Sent> {
        let head = format!(
            "Event: {package}\r\nP-Asserted-Identity: <{who}>\r\nContact: <sip:10.0.0.2:5060>\r\nTo: {}\r\n\
             Call-ID: {}\r\n",
            opened.get("To"),
            opened.get("Call-ID")
        );
        self.ask("SUBSCRIBE", BOB, &head, "")
    }

    /// The watcher answers a NOTIFY.
    fn answer(&mut self, notify: &Sent, status: u16, more: &str) -> Vec<Sent> {
        let copied: String = ["Via", "From", "To", "Call-ID", "CSeq"]
            .map(|name| format!("{name}: {}\r\n", notify.get(name)))
            .concat();
        self.text(&format!(
            "SIP/2.0 {status} Whatever\r\n{copied}{more}Content-Length: 0\r\n\r\n"
        ))
    }

    /// Lets so many milliseconds pass, with every deadline in them.
    fn wait(&mut self, millis: u64) -> Vec<Sent> {
        let end = self.now + millis;
        let mut sent = Vec::new();
        while let Some(at) = self.node.next_deadline().filter(|at| at.0 <= end) {
            self.now = self.now.max(at.0);
            sent.extend(self.feed(Input::Deadline));
        }
        self.now = end;
        sent
    }
}

fn pidf(note: &str) -> String {
    format!(
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"{BOB}\"><tuple id=\"t\"><status>\
         <basic>open</basic></status><note>{note}</note></tuple></presence>"
    )
}
