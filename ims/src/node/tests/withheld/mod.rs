//! No element that the rules withhold appears in any NOTIFY: whole, partial, filtered or of watcher information.
//!
//! Everything that is published carries a mark of its own, so what a NOTIFY shows is known from its bytes. Random
//! rules, documents, filters, restarts and waits go into a node; of each NOTIFY that comes out, [`oracle`] says from the
//! values that the rules and documents were written from, and from nothing of the server's, which marks it may have.

pub(super) mod oracle;
pub(super) mod steps;

use super::*;
use crate::presence::partial::{self, Copy};
use oracle::{Truth, Verdict};
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use std::collections::BTreeSet;
use steps::{Step, TYPE};

/// The watchers of Bob.
pub(super) const WATCHERS: [&str; 3] = [
    "sip:mkw0x@ims.test",
    "sip:mkw1x@ims.test",
    "sip:mkw2x@ims.test",
];
pub(super) const PARTIAL: &str =
    "Accept: application/pidf+xml;q=0.3, application/pidf-diff+xml;q=1\r\n";

/// Every mark in a text: `mk`, letters and digits, `x`.
fn marks(text: &str) -> BTreeSet<String> {
    let behind = text.split("mk").skip(1);
    behind
        .filter_map(|rest| rest.split_once('x').map(|(mark, _)| mark))
        .filter(|mark| mark.bytes().all(|b| b.is_ascii_alphanumeric()))
        .map(|mark| format!("mk{mark}x"))
        .collect()
}

/// A patch without its selectors, which name what the watcher has, and the marks in these.
fn without_selectors(body: &str) -> (String, BTreeSet<String>) {
    let (mut plain, mut named) = (String::new(), BTreeSet::new());
    let mut rest = body;
    while let Some((before, selector)) = rest.split_once(" sel=") {
        plain.push_str(before);
        let quote = selector.chars().next().unwrap();
        let (selector, behind) = selector[1..].split_once(quote).unwrap();
        named.extend(marks(selector));
        rest = behind;
    }
    plain.push_str(rest);
    (plain, named)
}

/// What a watcher's dialog has seen.
#[derive(Default)]
struct Dialog {
    who: usize,
    opened: Option<Sent>,
    winfo: bool,
    filtered: bool,
    partial: bool,
    /// Marks that it was shown.
    shown: BTreeSet<String>,
    copy: Copy,
    over: bool,
}

struct World {
    bench: Bench,
    truth: Truth,
    etags: [String; 2],
    dialogs: BTreeMap<String, Dialog>,
    /// NOTIFYs by dialog and CSeq: what comes again is not looked at again.
    seen: BTreeSet<(String, String)>,
    showed: Showed,
}

/// NOTIFYs that showed something: a test in which nothing is shown proves nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Showed {
    whole: usize,
    patches: usize,
    filtered: usize,
    watchers: usize,
}

impl World {
    fn new() -> World {
        World {
            bench: Bench::strict(),
            truth: Truth::default(),
            etags: Default::default(),
            dialogs: BTreeMap::new(),
            seen: BTreeSet::new(),
            showed: Showed::default(),
        }
    }

    /// Looks at what was sent and answers it, and what that brings, until nothing comes.
    fn look(&mut self, mut sent: Vec<Sent>) {
        while let Some(message) = sent.pop() {
            if message.method() != "NOTIFY" {
                continue;
            }
            let call = message.get("Call-ID").to_owned();
            if self.seen.insert((call, message.get("CSeq").to_owned())) {
                self.check(&message);
            }
            sent.extend(self.bench.answer(&message, 200, ""));
        }
    }

    fn check(&mut self, notify: &Sent) {
        let now = self.bench.now;
        let dialog = self.dialogs.get_mut(notify.get("Call-ID")).unwrap();
        let body = notify.body();
        let state = notify.get("Subscription-State");
        dialog.over |= state.starts_with("terminated");
        if dialog.winfo {
            // a watcher sees its own entry alone (RFC 3857 §4.7.2)
            let others = WATCHERS
                .iter()
                .enumerate()
                .filter(|(n, _)| *n != dialog.who);
            for (_, other) in others {
                assert!(!body.contains(*other), "{other} in {body}");
            }
            self.showed.watchers += usize::from(body.contains("<watcher "));
            return;
        }
        let verdict = self.truth.verdict(dialog.who, now);
        let tells = state.starts_with("active") || state.contains("reason=timeout");
        if !tells || verdict == Verdict::Nothing {
            assert!(marks(body).is_empty(), "{verdict:?}, {state}: {body}");
        }
        let may = self.truth.may_see(dialog.who, now);
        let (plain, named) = without_selectors(body);
        for mark in marks(&plain) {
            assert!(
                may.contains(&mark),
                "{mark} is withheld from {}: {}",
                dialog.who,
                notify.text
            );
            dialog.shown.insert(mark);
        }
        for mark in named {
            assert!(
                dialog.shown.contains(&mark),
                "{mark} was never shown: {}",
                notify.text
            );
        }
        if body.is_empty() {
            return;
        }
        if notify.get("Content-Type") == partial::MEDIA_TYPE {
            assert!(dialog.partial, "{}", notify.text);
            let taken = dialog.copy.take(body.as_bytes(), &pidf::Limits::default());
            assert!(taken.is_ok(), "{taken:?}: {body}");
            self.showed.patches += usize::from(body.contains("<p:pidf-diff"));
        } else {
            dialog.copy.document = Some(body.to_owned());
        }
        // what the watcher has put together now is what it may see now
        let whole = dialog.copy.document.as_deref().unwrap();
        assert!(marks(whole).is_subset(&may), "{whole}");
        assert!(
            pidf::parse(whole.as_bytes(), &pidf::Limits::default()).is_ok(),
            "{whole}"
        );
        let shows = usize::from(!marks(whole).is_empty());
        self.showed.whole += shows;
        self.showed.filtered += shows * usize::from(dialog.filtered);
    }

    fn subscribe(
        &mut self,
        who: usize,
        more: &str,
        body: &str,
        mut dialog: Dialog,
    ) -> (u16, String) {
        let package = if dialog.winfo {
            "presence.winfo"
        } else {
            "presence"
        };
        let identity = WATCHERS.get(who).copied().unwrap_or(BOB);
        let again = dialog.opened.as_ref().map_or_else(String::new, |opened| {
            format!(
                "To: {}\r\nCall-ID: {}\r\n",
                opened.get("To"),
                opened.get("Call-ID")
            )
        });
        let head = format!(
            "Event: {package}\r\nP-Asserted-Identity: <{identity}>\r\nContact: <sip:10.0.0.2:5060>\r\n{again}{more}"
        );
        let sent = self.bench.ask("SUBSCRIBE", BOB, &head, body);
        let answer = sent[0].clone();
        dialog.who = who;
        if answer.status() < 300 {
            dialog.opened.get_or_insert(answer.clone());
            self.dialogs
                .insert(answer.get("Call-ID").to_owned(), dialog);
        } else if dialog.opened.is_some() {
            let call = answer.get("Call-ID").to_owned();
            self.dialogs.insert(call, dialog); // refused: it is as it was
        }
        self.look(sent);
        (answer.status(), answer.get("Call-ID").to_owned())
    }

    fn step(&mut self, step: &Step) {
        let before = [0, 1, 2].map(|who| self.truth.handling(who, self.bench.now));
        match step {
            Step::Publish(source, shape) => {
                let body = self.truth.publish(*source, shape);
                let matches = match self.etags[*source].as_str() {
                    "" => String::new(),
                    etag => format!("SIP-If-Match: {etag}\r\n"),
                };
                let head = format!(
                    "Event: presence\r\nP-Asserted-Identity: <{BOB}>\r\n\
                     Content-Type: application/pidf+xml\r\n{matches}"
                );
                let sent = self.bench.ask("PUBLISH", BOB, &head, &body);
                let answer = sent.iter().find(|s| s.text.starts_with("SIP/2.0")).unwrap();
                assert_eq!(answer.status(), 200, "{}: {body}", answer.text);
                self.etags[*source] = answer.get("SIP-ETag").to_owned();
                self.ignorant(before, &sent);
                self.look(sent);
            }
            Step::Withdraw(source) => {
                let etag = std::mem::take(&mut self.etags[*source]);
                if !etag.is_empty() {
                    self.truth.withdraw(*source);
                    let head = format!(
                        "Event: presence\r\nP-Asserted-Identity: <{BOB}>\r\nSIP-If-Match: {etag}\r\nExpires: 0\r\n"
                    );
                    let sent = self.bench.ask("PUBLISH", BOB, &head, "");
                    self.ignorant(before, &sent);
                    self.look(sent);
                }
            }
            Step::Rules(rules) => {
                let document = self.truth.rule(rules, self.bench.now);
                let sent = self.bench.put_rules(BOB, &document);
                self.look(sent);
            }
            Step::Subscribe {
                who,
                filter,
                partial,
            } => {
                let dialog = Dialog {
                    filtered: filter.is_some(),
                    partial: *partial,
                    ..Dialog::default()
                };
                let more = if *partial { PARTIAL } else { "" };
                self.subscribe_with(*who, more, *filter, dialog);
            }
            Step::Refresh { who, filter } => {
                let alive = |d: &&String| {
                    let d = &self.dialogs[*d];
                    d.who == *who && !d.over && !d.winfo
                };
                let found = self.dialogs.keys().find(alive).cloned();
                if let Some(mut dialog) = found.and_then(|call| self.dialogs.remove(&call)) {
                    dialog.filtered |= filter.is_some();
                    let more = if dialog.partial { PARTIAL } else { "" };
                    self.subscribe_with(*who, more, *filter, dialog);
                }
            }
            Step::Observe(who) => {
                let dialog = Dialog {
                    winfo: true,
                    ..Dialog::default()
                };
                self.subscribe(*who, "", "", dialog);
            }
            Step::Wait(seconds) => {
                let end = self.bench.now + u64::from(*seconds) * 1000;
                while let Some(at) = self.bench.node.next_deadline().filter(|at| at.0 <= end) {
                    self.bench.now = self.bench.now.max(at.0);
                    let sent = self.bench.feed(Input::Deadline);
                    self.look(sent);
                }
                self.bench.now = end;
            }
            Step::Restart => {
                self.bench.restart(500);
            }
        }
    }

    fn subscribe_with(&mut self, who: usize, more: &str, filter: Option<usize>, dialog: Dialog) {
        match filter.and_then(|at| steps::FILTERS.get(at)) {
            Some(filter) => {
                let body = steps::filter_set(filter);
                self.subscribe(who, &format!("{more}{TYPE}"), &body, dialog)
            }
            None => self.subscribe(who, more, "", dialog),
        };
    }

    /// Who fetches without a filter is shown all that it may see: the oracle does not pass by asking for little.
    fn fetch_all(&mut self) {
        for who in 0..WATCHERS.len() {
            let now = self.bench.now;
            let (verdict, must) = (self.truth.verdict(who, now), self.truth.must_see(who, now));
            let (status, call) = self.subscribe(who, "Expires: 0\r\n", "", Dialog::default());
            assert_eq!(status == 403, verdict == Verdict::Refused, "{verdict:?}");
            let dialog = self.dialogs.get(&call);
            let shown = dialog.map(|d| d.shown.clone()).unwrap_or_default();
            let missing: Vec<&String> = must.difference(&shown).collect();
            assert!(
                missing.is_empty(),
                "{missing:?} not shown to {who}: {shown:?}"
            );
        }
    }

    /// What sources say is not told to who is blocked politely or has to wait.
    fn ignorant(&self, before: [Option<u8>; 3], sent: &[Sent]) {
        let now = self.bench.now;
        for notify in sent.iter().filter(|s| s.method() == "NOTIFY") {
            let dialog = &self.dialogs[notify.get("Call-ID")];
            let after = self.truth.handling(dialog.who, now);
            let blind = after == before[dialog.who] && matches!(after, Some(1 | 2));
            assert!(!blind || dialog.winfo, "{after:?} is told: {}", notify.text);
        }
    }
}

#[test]
fn no_element_that_the_rules_withhold_appears_in_any_notify() {
    let config = ProptestConfig {
        cases: 400,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0x5eed),
        ..ProptestConfig::default()
    };
    let all = std::cell::Cell::new(Showed::default());
    let result = TestRunner::new(config).run(&steps::steps(), |steps| {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.fetch_all();
        let (sum, more) = (all.get(), world.showed);
        all.set(Showed {
            whole: sum.whole + more.whole,
            patches: sum.patches + more.patches,
            filtered: sum.filtered + more.filtered,
            watchers: sum.watchers + more.watchers,
        });
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
    let Showed {
        whole,
        patches,
        filtered,
        watchers,
    } = all.get();
    let enough = whole > 800 && patches > 25 && filtered > 60 && watchers > 50;
    assert!(enough, "{:?}", all.get());
}
