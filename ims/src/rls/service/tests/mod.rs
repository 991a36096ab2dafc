//! List subscriptions over members that are made up.

mod changes;
mod limits;
mod requests;

use super::*;
use crate::charge::{Ledger, Triggers};
use crate::dialog::Dialog;
use crate::event::notice::Answer;
use crate::event::onlooker::{Content, Extent, Instance, Onlooker};
use crate::event::quota::Quota;
use crate::event::subscribe::{Accepted, Opening, Renewal};
use crate::event::subscription::State;
use crate::event::turn::{Outgoing, Random};
use crate::isc::{Caller, Charging};
use crate::record::{Batch, Op, Table, decode};
use crate::reject::Reject;
use crate::rls::list::{Kind, List, Listed, Resource, Source};
use crate::rls::reading::{self, Level, Phase, Told};
use crate::sip::{self, Aor, Framing, Incoming, Request};
use crate::time::Seconds;
use bytes::Bytes;
use std::cell::RefCell;
use std::sync::Arc;

const ALICE: &str = "sip:alice@ims.test";
const FRIENDS: &str = "sip:friends@ims.test";

/// Presentities of `ims.test`, each with what it says to anybody.
#[derive(Debug, Default)]
struct Made {
    says: BTreeMap<String, (State, String)>,
    joined: BTreeMap<SubscriptionId, (Member, String)>,
    onlookers: BTreeMap<SubscriptionId, Onlooker>,
    stirred: Vec<Member>,
    next: u64,
    /// Instances that were asked for.
    asked: usize,
}

impl Made {
    fn says(&mut self, name: &str, note: &str) {
        self.is(name, State::Active, note);
    }

    fn is(&mut self, name: &str, state: State, note: &str) {
        let uri = format!("sip:{name}@ims.test");
        self.says.insert(uri.clone(), (state, note.to_owned()));
        let all = self.joined.values().filter(|(_, who)| *who == uri);
        self.stirred.extend(all.map(|(member, _)| *member));
    }
}

impl Presentities for Made {
    fn look_on(&mut self, _turn: &mut Turn<'_>, onlooker: Onlooker) -> Result<(), Reject> {
        if onlooker.filter.as_deref() == Some(b"bad") {
            return Err(Reject::Bad("Bad Filter"));
        }
        self.onlookers.insert(onlooker.list, onlooker);
        Ok(())
    }

    fn filters(&mut self, list: SubscriptionId) -> Option<Arc<[u8]>> {
        self.onlookers.get(&list)?.filter.clone()
    }

    fn join(&mut self, _: &mut Turn<'_>, member: Member, uri: &str) -> Option<SubscriptionId> {
        assert!(self.onlookers.contains_key(&member.list));
        if !uri.ends_with("@ims.test") {
            return None;
        }
        self.next += 1;
        let id = SubscriptionId(self.next);
        self.joined.insert(id, (member, uri.to_owned()));
        Some(id)
    }

    fn instance(&mut self, _: &mut Turn<'_>, id: SubscriptionId, _extent: Extent) -> Instance {
        self.asked += 1;
        let (_, uri) = &self.joined[&id];
        match self.says.get(uri) {
            Some((state, note)) => Instance {
                state: *state,
                tag: note
                    .bytes()
                    .fold(7u64, |t, b| t.wrapping_mul(31).wrapping_add(u64::from(b))),
                content: (*state == State::Active).then(|| Content {
                    media_type: "text/plain".into(),
                    bytes: note.clone().into(),
                }),
            },
            None => Instance {
                state: State::Pending,
                tag: 0,
                content: None,
            },
        }
    }

    fn part(&mut self, _: &mut Turn<'_>, id: SubscriptionId) {
        assert!(self.joined.remove(&id).is_some());
    }

    fn look_away(&mut self, _: &mut Turn<'_>, list: SubscriptionId) {
        self.onlookers.remove(&list);
        self.joined.retain(|_, (member, _)| member.list != list);
    }

    fn take_stirred(&mut self) -> Vec<Member> {
        std::mem::take(&mut self.stirred)
    }
}

/// Lists by URI.
#[derive(Debug, Default)]
struct Written {
    lists: BTreeMap<String, Listed>,
    read: RefCell<BTreeSet<SubscriptionId>>,
}

impl Catalogue for Written {
    fn find(&self, _: &str, _: &[Aor], _: &str, _: bool) -> Result<Option<Source>, Reject> {
        Ok(None)
    }

    fn read(&self, list: SubscriptionId, source: &Source) -> Listed {
        self.read.borrow_mut().insert(list);
        match source {
            Source::Service { uri, .. } => self.lists.get(&**uri).cloned().unwrap_or_default(),
            Source::Contained { document, .. } => {
                let names = std::str::from_utf8(document).unwrap();
                Listed {
                    list: Some(Arc::new(list_of(&names.split(' ').collect::<Vec<_>>()))),
                    ..Listed::default()
                }
            }
        }
    }

    fn forget(&self, list: SubscriptionId) {
        self.read.borrow_mut().remove(&list);
    }
}

/// Everybody of `far.test`.
#[derive(Debug, Default)]
struct Far {
    wanted: BTreeMap<Member, String>,
    says: BTreeMap<String, Vec<(u32, Instance)>>,
    stirred: Vec<Member>,
}

impl BackEnds for Far {
    fn want(&mut self, _: &mut Turn<'_>, member: Member, _: &Onlooker, uri: &str) -> bool {
        let known = uri.ends_with("@far.test");
        if known {
            self.wanted.insert(member, uri.to_owned());
        }
        known
    }

    fn instances(&mut self, member: Member, _: Extent) -> Vec<(u32, Instance)> {
        self.says
            .get(&self.wanted[&member])
            .cloned()
            .unwrap_or_default()
    }

    fn is_awaited(&self, member: Member) -> bool {
        !self.says.contains_key(&self.wanted[&member])
    }

    fn drop(&mut self, _: &mut Turn<'_>, member: Member) {
        assert!(self.wanted.remove(&member).is_some());
    }

    fn take_stirred(&mut self) -> Vec<Member> {
        std::mem::take(&mut self.stirred)
    }
}

/// A list of these users of `ims.test`; a name with an `@` is a whole address, `(` begins a list inside, `)` ends it.
fn list_of(names: &[&str]) -> List {
    let mut levels = vec![List {
        uri: FRIENDS.into(),
        ..List::default()
    }];
    for name in names.iter().filter(|name| !name.is_empty()) {
        if let Some(inside) = name.strip_prefix('(') {
            levels.push(List {
                uri: format!("sip:{inside}@ims.test").into(),
                ..List::default()
            });
        } else {
            let closes = *name == ")";
            let kind = match closes {
                true => Kind::List(Box::new(levels.pop().unwrap())),
                false if *name == "excess" => Kind::Excess,
                false => Kind::Presentity,
            };
            let uri = match &kind {
                Kind::List(list) => list.uri.clone(),
                _ if name.contains('@') => format!("sip:{name}").into(),
                _ => format!("sip:{name}@ims.test").into(),
            };
            levels.last_mut().unwrap().resources.push(Resource {
                uri,
                names: Vec::new(),
                kind,
            });
        }
    }
    levels.pop().unwrap()
}

struct Bench {
    service: Service,
    made: Made,
    written: Written,
    far: Far,
    random: Random,
    ledger: Ledger,
    now: u64,
    store: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    serial: u32,
}

/// A NOTIFY of ours.
#[derive(Clone, Debug)]
struct Notify {
    ticket: crate::event::turn::Ticket,
    text: String,
    at: u64,
}

impl Notify {
    fn get(&self, name: &str) -> &str {
        let head = self.text.split("\r\n\r\n").next().unwrap();
        let mut lines = head.split("\r\n").filter_map(|line| line.split_once(": "));
        lines
            .find(|(n, _)| *n == name)
            .map_or("", |(_, value)| value)
    }

    fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").unwrap().1
    }

    /// In a few words: `0 full bob=here carol/pending dave`.
    fn said(&self) -> String {
        said(&self.read())
    }

    fn read(&self) -> Level {
        let body = Bytes::copy_from_slice(self.body().as_bytes());
        reading::read(self.get("Content-Type"), &body, &reading::Limits::default()).unwrap()
    }
}

fn said(level: &Level) -> String {
    let mut text = format!(
        "{} {}",
        level.version,
        if level.full { "full" } else { "part" }
    );
    for resource in &level.resources {
        let name = resource.uri.trim_start_matches("sip:");
        text += &format!(" {}", name.trim_end_matches("@ims.test"));
        for instance in &resource.instances {
            match (&instance.told, instance.phase) {
                (Some(Told::State(content)), Phase::Active) => {
                    text += &format!("={}", String::from_utf8_lossy(&content.bytes));
                }
                (Some(Told::List(level)), _) => text += &format!("({})", said(level)),
                (_, phase) => text += &format!("/{}", phase.text()),
            }
            text += &instance
                .reason
                .as_ref()
                .map_or(String::new(), |r| format!(":{r}"));
        }
    }
    text
}

fn settings() -> Settings {
    Settings {
        max_members_per_watcher: 2_000,
        max_members: 5_000,
        ..Settings::default()
    }
}

fn service(settings: Settings) -> Service {
    let network = Network {
        own: Own {
            address: "10.0.0.1:5060".into(),
            contact: "10.0.0.1:5060".into(),
            ioi: "ims.test".into(),
            udp_max: 1_300,
        },
        lifetimes: Lifetimes {
            min: Seconds(60),
            default: Seconds(3600),
            max: Seconds(7200),
        },
    };
    let hash = ahash::RandomState::with_seeds(1, 2, 3, 4);
    Service::new(settings, network, hash, TagKey([1, 2, 3, 4]))
}

/// Runs a request through the parser.
fn parsed<R>(text: &str, then: impl FnOnce(&Request<'_>) -> R) -> R {
    let mut bytes = text.as_bytes().to_vec();
    match sip::parse(&mut bytes, Framing::Datagram, &sip::Limits::default()) {
        Incoming::Request(request) => then(&request),
        other => panic!("{other:?}"),
    }
}

fn written(cseq: u32, to_tag: &str) -> String {
    format!(
        "SUBSCRIBE {FRIENDS} SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK{cseq}\r\nMax-Forwards: 70\r\n\
         From: <{ALICE}>;tag=a\r\nTo: <{FRIENDS}>{to_tag}\r\nCall-ID: c\r\nCSeq: {cseq} SUBSCRIBE\r\n\
         Contact: <sip:10.0.0.2:5060>\r\nEvent: presence\r\nContent-Length: 0\r\n\r\n"
    )
}

impl Bench {
    fn new(settings: Settings) -> Bench {
        Bench {
            service: service(settings),
            made: Made::default(),
            written: Written::default(),
            far: Far::default(),
            random: Random::new([7; 32]),
            ledger: Ledger::new(Triggers::OFF, 1),
            now: 1_790_000_000_000,
            store: BTreeMap::new(),
            serial: 0,
        }
    }

    /// The list of friends consists of these.
    fn list(&mut self, names: &str) {
        let names: Vec<&str> = names.split(' ').collect();
        let listed = Listed {
            list: Some(Arc::new(list_of(&names))),
            ..Listed::default()
        };
        self.written.lists.insert(FRIENDS.into(), listed);
    }

    fn turn<R>(
        &mut self,
        step: impl FnOnce(&mut Service, &mut Turn<'_>, &mut World<'_>) -> R,
    ) -> (R, Vec<Notify>) {
        let mut batch = Batch::default();
        let mut turn = Turn {
            now: Timestamp(self.now),
            random: &mut self.random,
            batch: &mut batch,
            ledger: &mut self.ledger,
            quota: &mut Quota::default(),
            outgoing: Vec::new(),
        };
        let mut world = World {
            presentities: &mut self.made,
            catalogue: &self.written,
            back_ends: &mut self.far,
        };
        let result = step(&mut self.service, &mut turn, &mut world);
        let at = self.now;
        let notify = |out: Outgoing| Notify {
            ticket: out.ticket,
            text: String::from_utf8_lossy(&out.bytes).into_owned(),
            at,
        };
        let sent = turn.outgoing.into_iter().map(notify).collect();
        for op in batch.ops {
            match op {
                Op::Put { table, key, value } => {
                    self.store.insert((table, key.to_vec()), value.to_vec())
                }
                Op::Delete { table, key } => self.store.remove(&(table, key.to_vec())),
            };
        }
        (result, sent)
    }

    fn subscribe_with(
        &mut self,
        expires: Option<u32>,
        source: Source,
        wishes: Wishes,
    ) -> (Result<Accepted, Reject>, Vec<Notify>) {
        self.serial += 1;
        let dialog = parsed(&written(self.serial, ""), |r| Dialog::open(r).unwrap());
        let caller = Caller {
            asserted: vec![ALICE.into()],
            ..Caller::default()
        };
        let charging = Charging::default();
        let request = Subscribe {
            source,
            package: Package::Presence,
            caller: &caller,
            display_name: None,
            wishes,
            opening: Opening {
                subscriber: vec![Aor::parse(ALICE).unwrap()],
                dialog,
                event_id: None,
                expires: expires.map(Seconds),
                charging: &charging,
                inside: false,
            },
        };
        self.turn(|service, turn, world| service.subscribe(turn, world, request))
    }

    /// Alice subscribes to her friends: the number and the only NOTIFY, answered.
    fn subscribe(&mut self) -> (SubscriptionId, Notify) {
        let source = friends();
        let (accepted, sent) = self.subscribe_with(None, source, Wishes::default());
        let id = accepted.unwrap().id;
        assert_eq!(sent.len(), 1);
        assert_eq!(self.answer(&sent[0], 200).len(), 0);
        (id, sent[0].clone())
    }

    fn renew_with(
        &mut self,
        id: SubscriptionId,
        expires: Option<u32>,
        wishes: Wishes,
        contained: Option<&str>,
    ) -> (Result<Accepted, Reject>, Vec<Notify>) {
        self.serial += 1;
        let text = written(self.serial, &format!(";tag={id}"));
        let contained = contained.map(|list| list.as_bytes().into());
        parsed(&text, |request| {
            let renew = Renew {
                package: Package::Presence,
                wishes,
                contained,
                renewal: Renewal {
                    id,
                    request,
                    subscriber: vec![Aor::parse(ALICE).unwrap()],
                    event_id: None,
                    expires: expires.map(Seconds),
                    acceptable: Ok(()),
                },
            };
            self.turn(|service, turn, world| service.renew(turn, world, renew))
        })
    }

    fn renew(&mut self, id: SubscriptionId, expires: u32) -> Vec<Notify> {
        let (accepted, sent) = self.renew_with(id, Some(expires), Wishes::default(), None);
        accepted.unwrap();
        sent
    }

    fn answer(&mut self, notify: &Notify, status: u16) -> Vec<Notify> {
        let answer = Answer {
            status,
            ..Answer::TIMEOUT
        };
        let (ticket, at) = (notify.ticket, Timestamp(notify.at));
        self.turn(|service, turn, world| service.answered(turn, world, ticket, answer, at))
            .1
    }

    /// What stirred is told.
    fn stir(&mut self) -> Vec<Notify> {
        let mut members = self.made.take_stirred();
        members.extend(self.far.take_stirred());
        self.turn(|service, turn, world| service.stirred(turn, world, members))
            .1
    }

    /// Somebody of `ims.test` says something else.
    fn says(&mut self, name: &str, note: &str) -> Vec<Notify> {
        self.made.says(name, note);
        self.stir()
    }

    /// Lets so many milliseconds pass, with every deadline in them.
    fn wait(&mut self, millis: u64) -> Vec<Notify> {
        let end = self.now + millis;
        let mut sent = Vec::new();
        while let Some(at) = self.service.next_deadline().filter(|at| at.0 <= end) {
            self.now = self.now.max(at.0);
            sent.extend(
                self.turn(|service, turn, world| service.on_deadline(turn, world))
                    .1,
            );
        }
        self.now = end;
        sent
    }

    /// The list changed.
    fn edit(&mut self, id: SubscriptionId, names: &str) -> Vec<Notify> {
        self.list(names);
        self.turn(|service, turn, world| service.list_changed(turn, world, id))
            .1
    }

    /// A new process on the same store; what members say is as it was.
    fn restart(&mut self, settled: u64) -> usize {
        self.service = service(self.service.settings.clone());
        self.made.joined.clear();
        self.made.onlookers.clear();
        self.far.wanted.clear();
        let mut recovered = Recovered::default();
        for ((table, key), value) in &self.store {
            assert!(match table {
                Table::ListSubscription => recovered.subscription(key, decode(value).unwrap()),
                Table::ListWishes => recovered.wishes(key, decode(value).unwrap()),
                Table::ListVersion => recovered.told(key, decode(value).unwrap()),
                other => panic!("{other:?}"),
            });
        }
        self.service
            .recovered(Timestamp(self.now), Timestamp(settled), &mut recovered)
    }

    /// Nothing is left of anybody.
    fn is_empty(&self) -> bool {
        self.service.census() == Census::default()
            && self.made.joined.is_empty()
            && self.made.onlookers.is_empty()
            && self.far.wanted.is_empty()
            && self.written.read.borrow().is_empty()
            && self.store.is_empty()
            && self.service.held.is_empty()
            && self.service.paced.is_empty()
            && self.service.gathering.is_empty()
    }
}

fn friends() -> Source {
    Source::Service {
        uri: FRIENDS.into(),
        owner: ALICE.into(),
    }
}
