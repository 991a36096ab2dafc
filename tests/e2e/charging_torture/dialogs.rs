//! The subscriptions of the client: those that it holds, and what it has been told in each that there ever was.

use crate::harness::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// CSeq of the last request in a dialog: above all others.
const LAST: u64 = 1_000_000;

/// A dialog opened by SUBSCRIBE, as its next request needs it.
#[derive(Clone, Debug)]
pub struct Watch {
    pub presentity: String,
    pub call_id: String,
    pub target: String,
    pub to: String,
    /// Of its last request.
    pub cseq: u64,
}

/// What was told in a dialog.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// When each NOTIFY came, by its CSeq.
    pub notifies: BTreeMap<u64, Instant>,
    /// Subscription-State of the NOTIFY that said the end.
    pub end: Option<String>,
    /// How it is reached, which the client knows from here also when its SUBSCRIBE was never answered.
    reached: Option<Watch>,
}

impl Told {
    /// When its end was told.
    pub fn ended(&self) -> Option<&Instant> {
        self.end.as_ref()?;
        self.notifies.values().next_back()
    }

    /// When it was told that there was no more credit.
    pub fn withdrawn(&self) -> Option<&Instant> {
        let end = self.end.as_ref()?;
        end.contains("probation").then(|| self.ended())?
    }
}

#[derive(Debug, Default)]
pub struct Dialogs {
    /// Those that may be refreshed.
    pub watches: Vec<Watch>,
    /// By Call-ID.
    pub told: BTreeMap<String, Told>,
    /// Those of which the server knew nothing any more.
    pub gone: Vec<String>,
}

impl Dialogs {
    /// A SUBSCRIBE was accepted. Its end may have been told before.
    pub fn opened(&mut self, presentity: &str, answer: &Message) {
        self.goes_on(Watch {
            presentity: presentity.to_owned(),
            call_id: answer.get("call-id").to_owned(),
            target: answer.uri("contact"),
            to: answer.get("to").to_owned(),
            cseq: answer.cseq(),
        });
    }

    pub fn goes_on(&mut self, watch: Watch) {
        let told = self.told.get(&watch.call_id);
        if told.is_none_or(|told| told.end.is_none()) {
            self.watches.push(watch);
        }
    }

    /// A request met 481.
    pub fn gone(&mut self, call_id: &str) {
        self.gone.push(call_id.to_owned());
    }

    /// A NOTIFY, which the client has answered.
    pub fn told(&mut self, notify: &Message) {
        let call_id = notify.get("call-id").to_owned();
        let told = self.told.entry(call_id.clone()).or_default();
        told.notifies
            .entry(notify.cseq())
            .or_insert_with(Instant::now);
        let state = notify.get("subscription-state");
        if state.starts_with("terminated") {
            told.end = Some(state.to_owned());
            self.watches.retain(|watch| watch.call_id != call_id);
        } else {
            told.reached.get_or_insert_with(|| Watch {
                presentity: notify.uri("from"),
                call_id,
                target: notify.uri("contact"),
                to: notify.get("from").to_owned(),
                cseq: LAST,
            });
        }
    }

    /// Every dialog whose end was not told, for one more request each.
    pub fn alive(&mut self) -> Vec<Watch> {
        self.watches.clear();
        let open = self.told.values().filter(|told| told.end.is_none());
        open.filter_map(|told| told.reached.clone()).collect()
    }

    /// Call-IDs of those that live, as far as the client has been told.
    pub fn held(&self) -> BTreeSet<String> {
        let open = self.told.iter().filter(|(_, told)| told.end.is_none());
        open.map(|(call_id, _)| call_id.clone()).collect()
    }

    /// NOTIFYs of a dialog.
    pub fn count(&self, call_id: &str) -> usize {
        self.told.get(call_id).map_or(0, |told| told.notifies.len())
    }

    /// NOTIFYs in all of them.
    pub fn notifies(&self) -> usize {
        self.told.values().map(|told| told.notifies.len()).sum()
    }
}
