//! A virtual subscription shows what a direct subscription of the same watcher shows, whatever happens.
//!
//! Random publications, rules, orders of the operator, registrations, filters, refreshes, restarts and waits go into a
//! node. Each watcher has a direct
//! subscription to Bob and a list in which Bob is a member; the picture that each has of him is the same after each step,
//! and so are the two rows of the watcher in watcher information.

use super::super::withheld::oracle::Truth;
use super::super::withheld::steps::{self, Step, TYPE};
use super::super::withheld::{PARTIAL, WATCHERS};
use super::*;
use crate::presence::partial::{self, Copy};
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};

/// What happens beside the steps that publishers, watchers and rules make.
#[derive(Clone, Debug)]
enum Beside {
    Impose(usize, Handling),
    Lift(usize),
    Register(&'static str, bool),
}

fn beside() -> impl Strategy<Value = Beside> {
    let handling = prop_oneof![
        Just(Handling::Block),
        Just(Handling::Confirm),
        Just(Handling::PoliteBlock),
        Just(Handling::Allow),
    ];
    let identity = prop_oneof![Just(BOB), Just("tel:+36105550001")];
    prop_oneof![
        (0..4usize, handling).prop_map(|(who, handling)| Beside::Impose(who, handling)),
        (0..4usize).prop_map(Beside::Lift),
        (identity, any::<bool>()).prop_map(|(who, on)| Beside::Register(who, on)),
    ]
}

/// One watcher, twice.
struct Pair {
    who: usize,
    partial: bool,
    filter: Option<usize>,
    direct: Direct,
    list: u64,
    since: u64,
    seen: Seen,
    copy: Copy,
}

#[derive(Default)]
struct Direct {
    refused: bool,
    opened: Option<Sent>,
    state: String,
    copy: Copy,
}

impl Direct {
    fn is_over(&self) -> bool {
        self.refused || self.state.starts_with("terminated")
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Compared {
    shown: usize,
    patches: usize,
    pending: usize,
    refused: usize,
    rows: usize,
}

/// A watcher's row: number, status and URI.
type Rows = BTreeMap<String, (String, String)>;

struct World {
    bench: Bench,
    truth: Truth,
    etags: [String; 2],
    pairs: BTreeMap<usize, Pair>,
    lists: u64,
    /// What bob knows of his watchers by a dialog, and by a list.
    observed: Rows,
    observing: Option<Seen>,
    compared: Compared,
}

fn rows(body: &str, rows: &mut Rows) {
    let tree = roxmltree::Document::parse(body).unwrap();
    if tree.root_element().attribute("state") == Some("full") {
        rows.clear();
    }
    for watcher in tree
        .descendants()
        .filter(|n| n.has_tag_name((crate::event::watcherinfo::NAMESPACE, "watcher")))
    {
        let text = |name| watcher.attribute(name).unwrap().to_owned();
        let row = (text("status"), watcher.text().unwrap().to_owned());
        match row.0.as_str() {
            "terminated" => rows.remove(&text("id")),
            _ => rows.insert(text("id"), row),
        };
    }
}

/// A document as it is; one that was put together of changes without its declarations of namespaces, since a change
/// declares them where it needs them.
fn plain(document: &Option<String>, partial: bool) -> Option<String> {
    let document = document.as_ref()?;
    if !partial {
        return Some(document.clone());
    }
    let mut parts = document.split(" xmlns");
    let mut plain = parts.next()?.to_owned();
    for part in parts {
        let quote = part.find(['"', '\''])?;
        let mark = part[quote..].chars().next()?;
        plain.push_str(part[quote + 1..].split_once(mark)?.1);
    }
    Some(plain)
}

fn take(copy: &mut Copy, media_type: &str, body: &str) {
    if media_type == partial::MEDIA_TYPE {
        let taken = copy.take(body.as_bytes(), &pidf::Limits::default());
        assert!(taken.is_ok(), "{taken:?}: {body}");
    } else {
        copy.document = Some(body.to_owned());
    }
}

impl World {
    fn new() -> World {
        let mut settings = settings();
        settings.presence.default_handling = None;
        settings.presence.subscriptions_per_presentity = 1_000;
        settings.subscriptions = 1_000;
        let mut world = World {
            bench: Bench::new(settings),
            truth: Truth::default(),
            etags: Default::default(),
            pairs: BTreeMap::new(),
            lists: 0,
            observed: Rows::new(),
            observing: None,
            compared: Compared::default(),
        };
        let sent = world.subscribe_to("presence.winfo", BOB, "", "");
        world.listen(sent);
        world.observe();
        world
    }

    /// Bob has a list of watcher information with himself in it.
    fn observe(&mut self) {
        let mut own = onlooker(&self.bench, 1, BOB);
        own.package = "presence.winfo";
        self.observing = Some(self.bench.watch(own, BOB));
    }

    fn subscribe_to(&mut self, package: &str, who: &str, more: &str, body: &str) -> Vec<Sent> {
        let head = format!(
            "Event: {package}\r\nP-Asserted-Identity: <{who}>\r\nContact: <sip:10.0.0.2:5060>\r\n{more}"
        );
        self.bench.ask("SUBSCRIBE", BOB, &head, body)
    }

    /// Takes and answers NOTIFYs, and what these bring.
    fn listen(&mut self, mut sent: Vec<Sent>) {
        while let Some(notify) = sent.pop() {
            if notify.method() != "NOTIFY" {
                continue;
            }
            if notify.get("Event") == "presence.winfo" {
                if !notify.body().is_empty() {
                    rows(notify.body(), &mut self.observed);
                }
            } else {
                self.told(&notify);
            }
            sent.extend(self.bench.answer(&notify, 200, ""));
        }
        self.pull();
    }

    fn told(&mut self, notify: &Sent) {
        let call = notify.get("Call-ID");
        let owns = |d: &Direct| d.opened.as_ref().is_some_and(|o| o.get("Call-ID") == call);
        let found = self.pairs.values_mut().find(|pair| owns(&pair.direct));
        if let Some(pair) = found {
            let state = notify.get("Subscription-State").split(";expires").next();
            pair.direct.state = state.unwrap().to_owned();
            if !notify.body().is_empty() {
                take(
                    &mut pair.direct.copy,
                    notify.get("Content-Type"),
                    notify.body(),
                );
            }
        }
    }

    /// The list server pulls what was stirred.
    fn pull(&mut self) {
        let mut brought = Vec::new();
        for who in 0..WATCHERS.len() {
            let Some(mut pair) = self.pairs.remove(&who) else {
                continue;
            };
            if self.bench.node.presence.is_stirred(pair.seen.id) {
                self.take_pair(&mut pair, Extent::Change);
                brought.extend(self.bench.sent(true));
            }
            self.pairs.insert(who, pair);
        }
        if let Some(mut seen) = self.observing.take() {
            if self.bench.hear(&mut seen) {
                brought.extend(self.bench.sent(true));
            }
            self.observing = Some(seen);
        }
        if !brought.is_empty() {
            self.listen(brought);
        }
        self.come_again();
    }

    /// A direct subscription that is over comes again when the list says that it may.
    fn come_again(&mut self) {
        let over = |pair: &Pair| pair.direct.is_over() && pair.seen.state.is_alive();
        if let Some((who, pair)) = self.pairs.iter_mut().find(|(_, pair)| over(pair)) {
            pair.direct = Direct::default();
            let who = *who;
            self.direct(who, true); // which looks for the next
        }
    }

    fn take_pair(&mut self, pair: &mut Pair, extent: Extent) {
        if self.bench.take(&mut pair.seen, extent) {
            let (media_type, body) = pair.seen.content.clone().unwrap();
            self.compared.patches += usize::from(body.contains("<p:pidf-diff"));
            take(&mut pair.copy, &media_type, &body);
        } else if pair.seen.state != State::Active {
            pair.copy.document = None;
        }
    }

    fn onlooker_of(&self, pair: &Pair, with_filter: bool) -> Onlooker {
        let filter = pair.filter.filter(|_| with_filter);
        let document = filter.map(|at| steps::filter_set(steps::FILTERS[at]));
        Onlooker {
            takes: Takes {
                partial: pair.partial,
                ..Takes::default()
            },
            filter: document.map(|d| d.into_bytes().into()),
            since: Timestamp(pair.since),
            ..onlooker(&self.bench, pair.list, WATCHERS[pair.who])
        }
    }

    /// A SUBSCRIBE of the direct one: initial, or in its dialog.
    fn direct(&mut self, who: usize, with_filter: bool) -> u16 {
        let pair = &self.pairs[&who];
        let mut more = if pair.partial { PARTIAL } else { "" }.to_owned();
        let mut body = String::new();
        if let Some(at) = pair.filter.filter(|_| with_filter) {
            more.push_str(TYPE);
            body = steps::filter_set(steps::FILTERS[at]);
        }
        if let Some(opened) = &pair.direct.opened {
            let (to, call) = (opened.get("To"), opened.get("Call-ID"));
            more.push_str(&format!("To: {to}\r\nCall-ID: {call}\r\n"));
        }
        let sent = self.subscribe_to("presence", WATCHERS[who], &more, &body);
        let answer = sent[0].clone();
        if answer.status() < 300 {
            let pair = self.pairs.get_mut(&who).unwrap();
            pair.direct.opened.get_or_insert(answer.clone());
        } else {
            self.pairs.get_mut(&who).unwrap().direct.refused = true;
        }
        self.listen(sent);
        answer.status()
    }

    fn begin(&mut self, who: usize, filter: Option<usize>, partial: bool) {
        if let Some(old) = self.pairs.remove(&who) {
            if let Some(opened) = &old.direct.opened {
                let (to, call) = (opened.get("To"), opened.get("Call-ID"));
                let more = format!("To: {to}\r\nCall-ID: {call}\r\nExpires: 0\r\n");
                let sent = self.subscribe_to("presence", WATCHERS[who], &more, "");
                self.listen(sent);
            }
            let sent = self.bench.look_away(old.list);
            self.listen(sent);
        }
        self.lists += 1;
        let mut pair = Pair {
            who,
            partial,
            filter,
            direct: Direct::default(),
            list: 1_000 + self.lists,
            since: self.bench.now,
            seen: Seen {
                id: SubscriptionId(0),
                state: State::Pending,
                tag: 0,
                content: None,
            },
            copy: Copy::default(),
        };
        let onlooker = self.onlooker_of(&pair, true);
        self.bench.look_on(onlooker).unwrap();
        let (id, sent) = self.bench.join(pair.list, 0, BOB);
        pair.seen.id = id;
        self.listen(sent);
        self.take_pair(&mut pair, Extent::Full);
        self.pairs.insert(who, pair);
        let sent = self.bench.sent(true);
        self.listen(sent);
        self.direct(who, true);
    }

    fn refresh(&mut self, who: usize, filter: Option<usize>) {
        let Some(mut pair) = self.pairs.remove(&who) else {
            return;
        };
        pair.filter = filter.or(pair.filter);
        let onlooker = self.onlooker_of(&pair, filter.is_some());
        let (done, sent) = self
            .bench
            .local(|local, turn| local.look_on(turn, onlooker));
        done.unwrap();
        self.take_pair(&mut pair, Extent::Full);
        self.pairs.insert(who, pair);
        let more = self.bench.sent(true);
        self.listen(sent.into_iter().chain(more).collect());
        self.direct(who, filter.is_some());
    }

    fn restart(&mut self) {
        self.bench.restart(500);
        for who in 0..WATCHERS.len() {
            let Some(mut pair) = self.pairs.remove(&who) else {
                continue;
            };
            let onlooker = self.onlooker_of(&pair, true);
            self.bench.look_on(onlooker).unwrap();
            let (id, sent) = self.bench.join(pair.list, 0, BOB);
            assert!(sent.is_empty(), "nobody went, nobody came: {sent:?}");
            pair.seen.id = id;
            self.take_pair(&mut pair, Extent::Full); // as the list server does, who does not know what it told
            assert!(self.bench.sent(true).is_empty());
            self.pairs.insert(who, pair);
        }
        self.observe();
        self.wait(11_000); // what is owed leaves step by step after a restart
        // from here on both know what they were told
        for who in 0..WATCHERS.len() {
            self.refresh(who, None);
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Publish(source, shape) => {
                let body = self.truth.publish(*source, shape);
                let matches = match self.etags[*source].as_str() {
                    "" => String::new(),
                    etag => format!("SIP-If-Match: {etag}\r\n"),
                };
                self.publish(*source, &matches, &body);
            }
            Step::Withdraw(source) => {
                let etag = std::mem::take(&mut self.etags[*source]);
                if !etag.is_empty() {
                    self.truth.withdraw(*source);
                    let head = format!("SIP-If-Match: {etag}\r\nExpires: 0\r\n");
                    self.publish(*source, &head, "");
                    self.etags[*source].clear();
                }
            }
            Step::Rules(rules) => {
                let document = self.truth.rule(rules, self.bench.now);
                let sent = self.bench.put_rules(BOB, &document);
                self.listen(sent);
            }
            Step::Subscribe {
                who,
                filter,
                partial,
            } => self.begin(*who, *filter, *partial),
            Step::Refresh { who, filter } => self.refresh(*who, *filter),
            Step::Observe(_) => {}
            Step::Wait(seconds) => self.wait(u64::from(*seconds) * 1_000),
            Step::Restart => self.restart(),
        }
    }

    fn beside(&mut self, beside: &Beside) {
        let of = |who: usize| WATCHERS.get(who).copied().unwrap_or("*");
        let sent = match beside {
            Beside::Impose(who, handling) => {
                overrides::impose(&mut self.bench, BOB, of(*who), *handling)
            }
            Beside::Lift(who) => {
                let scope = Scope::parse(BOB, of(*who)).unwrap();
                let request = Administration::Lift(scope);
                self.bench.feed(Input::Administer {
                    number: 7,
                    request: &request,
                })
            }
            Beside::Register(identity, on) => {
                let expires = if *on { 600 } else { 0 };
                register::kamailio(&mut self.bench, identity, expires);
                self.bench.sent(true)
            }
        };
        self.listen(sent);
    }

    fn publish(&mut self, source: usize, head: &str, body: &str) {
        let head = format!(
            "Event: presence\r\nP-Asserted-Identity: <{BOB}>\r\nContent-Type: application/pidf+xml\r\n{head}"
        );
        let sent = self.bench.ask("PUBLISH", BOB, &head, body);
        let answer = sent.iter().find(|s| s.text.starts_with("SIP/2.0")).unwrap();
        assert_eq!(answer.status(), 200, "{}: {body}", answer.text);
        self.etags[source] = answer.get("SIP-ETag").to_owned();
        self.listen(sent);
    }

    fn wait(&mut self, millis: u64) {
        let end = self.bench.now + millis;
        while let Some(at) = self.bench.node.next_deadline().filter(|at| at.0 <= end) {
            self.bench.now = self.bench.now.max(at.0);
            let sent = self.bench.feed(Input::Deadline);
            self.listen(sent);
        }
        self.bench.now = end;
    }

    /// Both pictures of each watcher are the same. One whose dialog is over subscribes again: the list shows what comes
    /// of that.
    fn compare(&mut self) {
        for who in 0..WATCHERS.len() {
            let Some(pair) = self.pairs.get(&who) else {
                continue;
            };
            if pair.direct.is_over() {
                self.pairs.get_mut(&who).unwrap().direct = Direct::default();
                if self.direct(who, true) >= 300 {
                    let refused = State::Terminated(End::Rejected);
                    assert_eq!(self.pairs[&who].seen.state, refused);
                    self.compared.refused += 1;
                    continue;
                }
            }
            let pair = &self.pairs[&who];
            match pair.direct.state.as_str() {
                "pending" => {
                    assert_eq!(pair.seen.state, State::Pending);
                    self.compared.pending += 1;
                }
                "active" => {
                    assert_eq!(pair.seen.state, State::Active);
                    let (direct, list) = (&pair.direct.copy.document, &pair.copy.document);
                    assert_eq!(
                        plain(direct, pair.partial),
                        plain(list, pair.partial),
                        "{who}"
                    );
                    self.compared.shown += usize::from(direct.is_some());
                }
                other => panic!("{other}"),
            }
        }
        self.compare_rows();
    }

    /// Each watcher is there twice, in the same state.
    fn compare_rows(&mut self) {
        let sent = self.subscribe_to("presence.winfo", BOB, "Expires: 0\r\n", "");
        let fetched = sent.iter().find(|s| s.method() == "NOTIFY").unwrap();
        let mut now = Rows::new();
        rows(fetched.body(), &mut now);
        let brought = self.bench.answer(&fetched.clone(), 200, "");
        self.listen(brought);
        for (who, uri) in WATCHERS.iter().enumerate() {
            let alive = now.values().filter(|(s, u)| u == uri && s != "waiting");
            let states: Vec<&str> = alive.map(|(status, _)| status.as_str()).collect();
            let state = self.pairs.get(&who).map(|pair| pair.seen.state);
            match state {
                Some(State::Active) => assert_eq!(states, ["active", "active"]),
                Some(State::Pending) => assert_eq!(states, ["pending", "pending"]),
                _ => assert!(states.is_empty(), "{states:?}"),
            }
            self.compared.rows += states.len();
        }
    }

    /// After a while, whoever was told changes knows what a full document says.
    fn compare_observed(&mut self) {
        self.wait(80_000); // every rule that holds for a time is over
        self.compare();
        self.wait(11_000);
        let sent = self.subscribe_to("presence.winfo", BOB, "Expires: 0\r\n", "");
        let fetched = sent.iter().find(|s| s.method() == "NOTIFY").unwrap();
        let mut now = Rows::new();
        rows(fetched.body(), &mut now);
        assert_eq!(now, self.observed, "in a dialog");
        let mut listed = Rows::new();
        let seen = self.observing.as_ref().unwrap();
        rows(seen.body(), &mut listed);
        assert_eq!(now, listed, "in a list");
    }
}

#[test]
fn a_member_of_a_list_shows_exactly_what_a_subscription_of_its_own_would() {
    let config = ProptestConfig {
        cases: 150,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0x115),
        ..ProptestConfig::default()
    };
    let all = std::cell::Cell::new(Compared::default());
    let what = (steps::steps(), prop::collection::vec(beside(), 0..8));
    let result = TestRunner::new(config).run(&what, |(steps, beside)| {
        let mut world = World::new();
        for (at, step) in steps.iter().enumerate() {
            world.step(step);
            world.compare();
            if let Some(beside) = beside.get(at / 3).filter(|_| at % 3 == 0) {
                world.beside(beside);
                world.compare();
            }
        }
        world.compare_observed();
        let (sum, more) = (all.get(), world.compared);
        all.set(Compared {
            shown: sum.shown + more.shown,
            patches: sum.patches + more.patches,
            pending: sum.pending + more.pending,
            refused: sum.refused + more.refused,
            rows: sum.rows + more.rows,
        });
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
    let all = all.get();
    let enough = all.shown > 500 && all.patches > 10 && all.pending > 50 && all.refused > 100;
    assert!(enough && all.rows > 500, "{all:?}");
}
