//! The promises, each a checker of its own. [`Promises`] watches the border of the server: what goes in, what the node
//! decides, what is committed, and what leaves.

pub mod lists;

use crate::picture::Picture;
use crate::text::{Message, between};
use crate::truth::{Change, Content, Registration, Rule, Subscription, Told, Truth, View};
use ims::charge::Event;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

/// How late the server notices that something ended: its deadlines fall on whole seconds, and the disk may be busy.
const LAG: u64 = 1_200;
/// How long news takes to a watcher on a quiet network: the pause between two NOTIFYs (5 s) and the way.
const NEWS: u64 = 6_000;
/// What must have happened in some world, or the simulation shows nothing of it.
pub const PATCHES: &str = "NOTIFYs with a patch";
pub const TOLD_NOTHING_NEW: &str = "SUBSCRIBEs answered 204";
/// After this a retransmission may be taken for a new request: 64·T1, timer J.
const TIMER_J: u64 = 32_000;

/// What a request of a peer was about, as the peer knows it.
#[derive(Clone, Debug, Default)]
pub struct Meaning {
    pub presentity: String,
    pub watcher: String,
    pub content: Option<Content>,
}

/// A broken promise: which, and what was seen.
#[derive(Clone, Debug)]
pub struct Broken(pub String);

#[derive(Debug)]
struct Handled {
    at: u64,
    turn: u64,
    incarnation: u64,
    /// The turn has something to commit for it.
    changes: bool,
    answer: u64,
}

/// What is known of one dialog of the server.
#[derive(Debug, Default)]
struct Dialog {
    highest: u32,
    /// NOTIFYs that left: CSeq to what it said and when it first left.
    left: BTreeMap<u32, (u64, u64)>,
    answered: BTreeSet<u32>,
    /// A final response came that ends the subscription.
    refused: bool,
}

/// What one turn will have made true once it is committed.
#[derive(Debug, Default)]
struct Turn {
    changes: Vec<Change>,
    charges: Vec<String>,
    delivered: Delivered,
}

/// NOTIFYs that were taken, as far as that is committed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Delivered {
    /// Those of active subscriptions.
    pub active: u64,
    pub all: u64,
}

#[derive(Debug, Default)]
pub struct Promises {
    /// What the running server has decided.
    pub live: Truth,
    /// What it has committed.
    pub durable: Truth,
    charging: Option<bool>,
    retention: u64,
    pending: BTreeMap<u64, Turn>,
    committed: BTreeSet<u64>,
    handled: BTreeMap<String, Handled>,
    etags: BTreeMap<String, u64>,
    dialogs: BTreeMap<(String, String), Dialog>,
    /// What the NOTIFYs of a dialog that were decided on make together.
    pictures: BTreeMap<(String, String), Picture>,
    /// What was shown under an entity-tag.
    shown: BTreeMap<String, View>,
    /// Highest CSeq that the running server decided on, by dialog.
    made: BTreeMap<(String, String), u32>,
    /// Chargeable transactions whose turn was committed, by what their event must say.
    charged: BTreeMap<String, u64>,
    /// Events that a CDF has taken: number to what it says.
    records: BTreeMap<u64, (String, u64)>,
    /// NOTIFYs that say that a subscription is active, by branch.
    active: BTreeSet<String>,
    pub delivered: Delivered,
    incarnation: u64,
    crashed_at: u64,
    restarted_at: u64,
    pub broken: Vec<Broken>,
    pub counts: BTreeMap<String, u64>,
}

impl Promises {
    /// `failures`: failed requests are charged too; `retention`: how long the end of a registration is remembered, in
    /// milliseconds.
    pub fn new(failures: bool, retention: u64, follows: bool) -> Promises {
        let truth = Truth {
            follows,
            ..Truth::default()
        };
        Promises {
            charging: Some(failures),
            retention,
            live: truth.clone(),
            durable: truth,
            ..Promises::default()
        }
    }

    fn hold(&mut self, kept: bool, promise: &str, seen: impl FnOnce() -> String) {
        if !kept {
            self.broken.push(Broken(format!("{promise}: {}", seen())));
        }
    }

    pub fn count(&mut self, what: &str) {
        *self.counts.entry(what.to_owned()).or_default() += 1;
    }

    fn lag(&self, now: u64) -> u64 {
        if now < self.restarted_at + 3_000 {
            now.saturating_sub(self.crashed_at) + LAG
        } else {
            LAG
        }
    }

    fn change(&mut self, turn: u64, change: Change) {
        self.live.apply(&change);
        self.pending.entry(turn).or_default().changes.push(change);
    }

    /// The node answered a request for the first time, or again.
    pub fn answered(
        &mut self,
        now: u64,
        turn: u64,
        request: &Message,
        response: &Message,
        meaning: &Meaning,
        changes: bool,
    ) {
        let branch = request.branch().to_owned();
        let answer = hash(&format!("{response:?}"));
        if let Some(before) = self.handled.get(&branch) {
            let remembers = before.incarnation == self.incarnation && now < before.at + TIMER_J;
            if remembers {
                let same = before.answer == answer && !changes;
                return self.hold(
                    same,
                    "a retransmitted request has one effect and the same answer",
                    || format!("{request:?} answered {response:?}"),
                );
            }
            self.count("requests handled again after a restart");
        }
        self.handled.insert(
            branch,
            Handled {
                at: now,
                turn,
                incarnation: self.incarnation,
                changes,
                answer,
            },
        );
        let status = response.status().unwrap_or_default();
        self.count(&format!("{} {status}", request.method()));
        let success = (200..300).contains(&status);
        // what we are told by others is not charged
        let chargeable = request.method() != "NOTIFY";
        if chargeable && self.charging.is_some_and(|failures| failures || success) {
            let key = format!(
                "{} {status} {}",
                request.method(),
                request.icid().unwrap_or_default()
            );
            self.pending.entry(turn).or_default().charges.push(key);
        }
        match request.method() {
            "PUBLISH" => self.published(now, turn, request, response, meaning),
            "SUBSCRIBE" => self.subscribed(now, turn, request, response, meaning),
            "REGISTER" if status == 200 => self.registered(now, turn, response, meaning),
            _ => {}
        }
    }

    fn published(
        &mut self,
        now: u64,
        turn: u64,
        request: &Message,
        response: &Message,
        meaning: &Meaning,
    ) {
        let old = request
            .has("sip-if-match")
            .then(|| request.get("sip-if-match").to_owned());
        let there = old
            .as_ref()
            .is_some_and(|tag| self.live.has(&meaning.presentity, tag, now));
        let status = response.status().unwrap_or_default();
        if old.is_some() {
            self.hold(
                (status == 412) != there && (there || status == 412),
                "an acknowledged publication is there until it expires, and no longer",
                || format!("there: {there}, {request:?} answered {status}"),
            );
        }
        if status != 200 {
            return;
        }
        let etag = response.get("sip-etag").to_owned();
        let known = self.etags.insert(etag.clone(), now);
        self.hold(
            known.is_none(),
            "an entity-tag is never given twice",
            || etag.clone(),
        );
        if old.is_some() && !there {
            return; // already broken above
        }
        let lifetime = response.expires().unwrap_or_default();
        if old.is_none() && lifetime == 0 {
            return;
        }
        let change = Change::Published {
            presentity: meaning.presentity.clone(),
            old,
            etag,
            content: meaning.content.clone(),
            expires_at: now + lifetime * 1000,
            at: now,
        };
        self.change(turn, change);
    }

    fn subscribed(
        &mut self,
        now: u64,
        turn: u64,
        request: &Message,
        response: &Message,
        meaning: &Meaning,
    ) {
        let status = response.status().unwrap_or_default();
        let tag = response.tag_in_to().to_owned();
        let lifetime = response.expires().unwrap_or_default();
        if !request.tag_in_to().is_empty() {
            let lives = self.lives(now, request.tag_in_to());
            self.hold(
                !(status == 481 && lives),
                "no acknowledged subscription is lost",
                || format!("{request:?} answered 481"),
            );
        } else {
            let lag = self.lag(now);
            let told = self
                .live
                .may_be_told(&meaning.presentity, &meaning.watcher, now, lag);
            let may = match status {
                // a list that is not written yet is somebody who has no rules
                200 | 403 if meaning.presentity.starts_with(lists::LIST) => true,
                403 => told.contains(&Told::Rejected),
                200 | 202 => told.iter().any(|t| *t != Told::Rejected),
                _ => true,
            };
            self.hold(may, "a watcher gets in when the rules say so", || {
                format!("{status} to {} of {}", meaning.watcher, meaning.presentity)
            });
        }
        if !(200..300).contains(&status) {
            return;
        }
        if status == 204 {
            self.count(TOLD_NOTHING_NEW);
            let lag = self.lag(now);
            let told = self
                .live
                .may_be_told(&meaning.presentity, &meaning.watcher, now, lag);
            let known = self.shown.get(request.get("suppress-if-match")).cloned();
            let kept = known
                .as_ref()
                .is_some_and(|view| told.contains(&Told::Active(view.clone())));
            self.hold(
                kept,
                "who is told that nothing is new has the present state",
                || format!("{known:?} of {told:?}: {request:?}"),
            );
        }
        if lifetime == 0 {
            return self.change(turn, Change::Over { tag });
        }
        let known = self.live.subscriptions.get(request.tag_in_to());
        let subscription = Subscription {
            expires_at: now + lifetime * 1000,
            routes: match known {
                Some(before) => before.routes.clone(), // a refresh leaves the route set alone
                None => request.all("record-route").map(str::to_owned).collect(),
            },
        };
        self.change(turn, Change::Subscribed { tag, subscription });
    }

    /// Whether the server must know this subscription: nothing has happened that ends it.
    fn lives(&self, now: u64, tag: &str) -> bool {
        let Some(subscription) = self.live.subscriptions.get(tag) else {
            return false;
        };
        let dialogs = self.dialogs.iter().filter(|((_, t), _)| t == tag);
        let gone = |dialog: &Dialog| {
            let open = dialog
                .left
                .iter()
                .filter(|(cseq, _)| !dialog.answered.contains(cseq));
            dialog.refused
                || open
                    .into_iter()
                    .any(|(_, (_, at))| now >= at + TIMER_J - LAG)
        };
        subscription.expires_at > now && !dialogs.map(|(_, d)| d).any(gone)
    }

    fn registered(&mut self, now: u64, turn: u64, response: &Message, meaning: &Meaning) {
        let lifetime = response.expires().unwrap_or_default() * 1000;
        let identity = uri(response.get("to"));
        let known = self.live.registrations.get(&meaning.presentity);
        let before = known.and_then(|all| all.get(&identity)).copied();
        let registration = match before {
            _ if lifetime > 0 => Registration {
                until: now + lifetime,
                forgotten: now + lifetime + self.retention,
            },
            Some(known) if known.until > now => Registration {
                until: now,
                forgotten: now + self.retention,
            },
            // not registered (any more): nothing changes
            _ => return,
        };
        let change = Change::Registered {
            presentity: meaning.presentity.clone(),
            identity,
            registration,
        };
        self.change(turn, change);
    }

    pub fn rules_written(&mut self, turn: u64, presentity: &str, rules: &[Rule]) {
        let change = Change::Rules {
            presentity: presentity.to_owned(),
            rules: rules.to_vec(),
        };
        self.change(turn, change);
    }

    /// Whether a NOTIFY was decided on before: what is made now only leaves again.
    pub fn is_repeated(&mut self, notify: &Message) -> bool {
        let key = (
            notify.get("call-id").to_owned(),
            notify.tag_in_from().to_owned(),
        );
        let made = self.made.entry(key).or_default();
        let repeated = notify.cseq() <= *made;
        *made = notify.cseq().max(*made);
        repeated
    }

    /// The node has decided on a NOTIFY: it shows what the watcher may see now, and nothing else.
    pub fn notify_made(&mut self, now: u64, turn: u64, notify: &Message) {
        if notify.get("subscription-state").starts_with("active") {
            self.active.insert(notify.branch().to_owned());
        }
        if notify.get("require") == "eventlist" {
            return self.list_notify_made(now, turn, notify);
        }
        let tag = notify.tag_in_from().to_owned();
        let state = notify.get("subscription-state").to_owned();
        let (presentity, watcher) = parties(notify);
        let lag = self.lag(now);
        let possible = self.live.may_be_told(&presentity, &watcher, now, lag);
        let shown = self.shown_by(notify);
        let told = |wanted: &Told| match wanted {
            Told::Rejected => shown.is_none() && state.starts_with("terminated"),
            Told::Pending => {
                shown.is_none() && (state.starts_with("pending") || state.starts_with("terminated"))
            }
            Told::Active(view) => {
                let over = state.starts_with("terminated");
                (over || state.starts_with("active")) && shown.as_ref().is_some_and(|v| v == view)
            }
        };
        // an end by time or by wish may come to one who was rejected meanwhile, and shows him nothing
        let ended = shown.is_none() && state.starts_with("terminated");
        self.hold(
            ended || possible.iter().any(told),
            "a NOTIFY shows what its watcher may see, and nothing else",
            || format!("{state}, shown {shown:?}, may be {possible:?}\n{notify:?}"),
        );
        if let Some(subscription) = self.live.subscriptions.get(&tag) {
            let routes: Vec<&str> = notify.all("route").collect();
            let kept = routes == subscription.routes;
            self.hold(
                kept,
                "a NOTIFY takes the route that its dialog recorded",
                || format!("{notify:?}"),
            );
        }
        if state.starts_with("terminated") {
            self.change(turn, Change::Over { tag });
        }
    }

    /// What a NOTIFY shows: its document, whole or built on the ones before it, or, without a body, the state that its
    /// entity-tag named before.
    fn shown_by(&mut self, notify: &Message) -> Option<View> {
        let key = (
            notify.get("call-id").to_owned(),
            notify.tag_in_from().to_owned(),
        );
        let tag = notify.get("sip-etag").to_owned();
        if notify.body.contains("<p:pidf-diff") {
            self.count(PATCHES);
        }
        match self.pictures.entry(key).or_default().take(notify) {
            Ok(Some(document)) => {
                let view = view(&document);
                let before = self.shown.insert(tag, view.clone());
                let same = before.is_none_or(|before| before == view);
                self.hold(same, "an entity-tag names one state", || {
                    format!("{notify:?}")
                });
                Some(view)
            }
            Ok(None) if notify.get("subscription-state").starts_with("active") => {
                self.count("NOTIFYs without the state that is known");
                self.shown.get(&tag).cloned()
            }
            Ok(None) => None,
            Err(lost) => {
                self.hold(false, "a partial NOTIFY builds on those before it", || lost);
                None
            }
        }
    }

    /// NOTIFYs that had their final response (408: none) in this turn.
    pub fn notify_ended(&mut self, turn: u64, status: u16, response: Option<&Message>) {
        self.count(&format!("NOTIFY {status}"));
        let success = (200..300).contains(&status);
        if success && let Some(response) = response {
            let active = self.active.remove(response.branch());
            let delivered = &mut self.pending.entry(turn).or_default().delivered;
            delivered.all += 1;
            delivered.active += u64::from(active);
        }
        if self.charging.is_some_and(|failures| failures || success) {
            let key = format!("NOTIFY {status}");
            self.pending.entry(turn).or_default().charges.push(key);
        }
    }

    /// A response to a NOTIFY reached the server.
    pub fn notify_answered(&mut self, now: u64, response: &Message) {
        let key = (
            response.get("call-id").to_owned(),
            response.tag_in_from().to_owned(),
        );
        let Some(dialog) = self.dialogs.get_mut(&key) else {
            return;
        };
        let cseq = response.cseq();
        let late = |(_, at): &(u64, u64)| now + LAG >= at + TIMER_J;
        // too late, and the watcher counted as gone already
        dialog.refused |= dialog.left.get(&cseq).is_some_and(late);
        dialog.refused |= response.status() == Some(481);
        dialog.answered.insert(cseq);
    }

    pub fn turn_committed(&mut self, turn: u64) {
        let made = self.pending.remove(&turn).unwrap_or_default();
        self.committed.insert(turn);
        self.delivered.all += made.delivered.all;
        self.delivered.active += made.delivered.active;
        for change in &made.changes {
            self.durable.apply(change);
        }
        for key in made.charges {
            *self.charged.entry(key).or_default() += 1;
        }
    }

    /// A response leaves the server.
    pub fn response_left(&mut self, response: &Message) {
        let Some(handled) = self.handled.get(response.branch()) else {
            return; // the branch of a request that was refused without a transaction
        };
        let kept = !handled.changes || self.committed.contains(&handled.turn);
        self.hold(
            kept,
            "no answer leaves before what it promises is committed",
            || format!("{response:?}"),
        );
    }

    /// A NOTIFY leaves the server, for the first time or again.
    pub fn notify_left(&mut self, now: u64, notify: &Message) {
        let cseq = notify.cseq();
        let mut said = notify.clone();
        // sent again over another transport it names that one in its Via, and nothing else may differ
        said.headers.retain(|(name, _)| name != "via");
        let said = hash(&format!("{said:?}"));
        let key = (
            notify.get("call-id").to_owned(),
            notify.tag_in_from().to_owned(),
        );
        let dialog = self.dialogs.entry(key).or_default();
        let kept = match dialog.left.get(&cseq) {
            Some((before, _)) => *before == said,
            None => {
                let ahead = cseq > dialog.highest;
                dialog.left.insert(cseq, (said, now));
                dialog.highest = dialog.highest.max(cseq);
                ahead
            }
        };
        self.hold(
            kept,
            "the CSeq of NOTIFYs in a dialog never goes back, nor says two things",
            || format!("{notify:?}"),
        );
    }

    pub fn crashed(&mut self, now: u64) {
        self.crashed_at = now;
        self.pending.clear();
        self.made.clear();
        self.pictures.clear();
        self.live = self.durable.clone();
        self.incarnation += 1;
        self.count("crashes");
    }

    pub fn restarted(&mut self, now: u64, unreadable: usize) {
        self.restarted_at = now;
        self.hold(
            unreadable == 0,
            "every record of the store can be read",
            || format!("{unreadable} cannot"),
        );
    }

    /// A CDF takes a record.
    pub fn recorded(&mut self, event: &Event) {
        let method = event.method.as_str();
        let key = match method {
            "NOTIFY" => format!("NOTIFY {}", event.status),
            _ => format!(
                "{method} {} {}",
                event.status,
                event.icid.as_deref().unwrap_or_default()
            ),
        };
        let said = hash(&format!("{event:?}"));
        let before = self.records.insert(event.number, (key.clone(), said));
        let same = before.is_none_or(|(_, earlier)| earlier == said);
        self.hold(
            same,
            "the number of a charging event names one event",
            || format!("{} is also {key}", event.number),
        );
    }

    /// At the end of a quiet time: the records are exactly the transactions.
    pub fn check_charging(&mut self) {
        let mut recorded: BTreeMap<String, u64> = BTreeMap::new();
        for (key, _) in self.records.values() {
            *recorded.entry(key.clone()).or_default() += 1;
        }
        let charged = std::mem::take(&mut self.charged);
        let wrong: Vec<String> = charged
            .keys()
            .chain(recorded.keys())
            .collect::<BTreeSet<_>>()
            .into_iter()
            .filter(|key| charged.get(*key) != recorded.get(*key))
            .map(|key| {
                format!(
                    "{key}: {:?} transactions, {:?} records",
                    charged.get(key),
                    recorded.get(key)
                )
            })
            .collect();
        self.hold(
            wrong.is_empty(),
            "each final response has exactly one charging record, crash or not",
            || wrong.join("\n"),
        );
        self.charged = charged;
    }

    /// At the end of a quiet time: the watcher sees what it should.
    pub fn check_watcher(
        &mut self,
        now: u64,
        presentity: &str,
        watcher: &str,
        seen: Option<&Told>,
    ) {
        // what ended just now may still be on its way
        let wanted = self.live.may_be_told(presentity, watcher, now, LAG + NEWS);
        let kept = wanted.iter().any(|wanted| match seen {
            None => *wanted == Told::Rejected,
            Some(seen) => wanted == seen,
        });
        self.hold(
            kept,
            "a watcher that stays converges to the last published state it may see",
            || format!("{watcher} of {presentity} sees {seen:?}, not {wanted:?}"),
        );
    }

    /// Who is registered where the S-CSCF alone knows; `None`: let nobody be sure of it.
    pub fn registrations_are(&mut self, known: Option<BTreeMap<String, bool>>) {
        self.live.certain = known.unwrap_or_default();
    }

    pub fn check(&mut self, promise: &str, kept: bool, seen: impl FnOnce() -> String) {
        self.hold(kept, promise, seen);
    }

    /// Forgets what can no longer matter, so that long runs stay small.
    pub fn forget_before(&mut self, now: u64) {
        let old = now.saturating_sub(120_000);
        self.handled.retain(|_, handled| handled.at > old);
        if let Some(turn) = self.handled.values().map(|h| h.turn).min() {
            self.committed = self.committed.split_off(&turn);
        }
    }
}

/// Who watches whom, from a NOTIFY: its `From` is the presentity and its `To` the watcher.
fn parties(notify: &Message) -> (String, String) {
    (uri(notify.get("from")), uri(notify.get("to")))
}

/// The URI between angle brackets.
fn uri(value: &str) -> String {
    between(value, "<", ">")
        .first()
        .map_or(String::new(), |u| (*u).to_owned())
}

/// What a document shows.
pub fn view(body: &str) -> View {
    let mut notes: Vec<String> = between(body, "<note>", "</note>")
        .into_iter()
        .map(str::to_owned)
        .collect();
    notes.sort();
    let registration = between(body, "registration-state>", "</")
        .first()
        .map(|state| {
            if *state == "active" {
                "active"
            } else {
                "terminated"
            }
        });
    View {
        notes,
        registration,
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
