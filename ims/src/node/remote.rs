//! Documents of other XDMSs at the node: questions to them, their answers, and what these change for watchers.

use super::directory::Directory;
use super::fetch::{Fetch, Fetched};
use super::request::{Ask, Reply};
use super::{Effect, Node, Outbox, Report, Usage, headers};
use crate::event::subscriber::{Answer as Answered, Order};
use crate::event::subscription::SubscriptionId;
use crate::event::turn::{Ticket, Turn};
use crate::presence::external::Fault;
use crate::presence::service as presence;
use crate::registration::Registrar;
use crate::reject::Reject;
use crate::sip::Name;
use crate::sip::header::event::Event;
use crate::sip::header::media_type::MediaType;
use crate::sip::header::subscription_state::SubscriptionState;
use crate::time::Timestamp;
use crate::xdm::lists::Lists;
use crate::xdm::remote::{self, Answer, Notify, Remote, changes};
use crate::xdm::{DocumentKey, usage};

/// What came of a question to another XDMS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A document.
    Document,
    /// It is as it was.
    Unchanged,
    /// There is none.
    Absent,
    /// Something that cannot be used.
    Unusable,
    /// Another status.
    Refused,
    /// Nothing, or too late.
    Silence,
}

/// How often changes are followed up within one input; a list may name a list, and so on. What is left then is looked
/// at with the next input.
const ROUNDS: usize = 32;

impl Node {
    /// Asks for what was read and is not known, and has what has changed take effect.
    pub(super) fn remote_step(&mut self, now: Timestamp, out: &mut Outbox) {
        for _ in 0..ROUNDS {
            if !self.directory.remote.is_asked() {
                return;
            }
            let (remote, fetches) = (&mut self.directory.remote, &mut self.fetches);
            for ask in remote.prepare(now, &mut || fetches.number()) {
                let fetch = question(&ask, &self.settings.xdm);
                out.free.push(Effect::Fetch(Box::new(fetch)));
            }
            let changed = self.directory.remote.take_changed();
            if changed.is_empty() {
                return; // what is still queued waits for answers
            }
            for key in changed {
                self.changed(now, &key, out);
            }
        }
    }

    /// Runs a step of what is kept of other XDMSs and sends the SUBSCRIBEs it wants sent.
    fn remote_turn<R>(
        &mut self,
        now: Timestamp,
        out: &mut Outbox,
        step: impl FnOnce(&mut Remote, &dyn Fn(&DocumentKey) -> bool, &mut Turn<'_>) -> R,
    ) -> R {
        self.step(now, Usage::XcapDiff, out, |rooms, turn| {
            let Directory {
                registrar,
                lists,
                remote,
                catalogue,
                ..
            } = rooms.directory;
            let (presence, lists, awaited) = (&*rooms.presence, lists.get_mut(), rooms.awaited);
            let in_use = |key: &DocumentKey| {
                let listed = catalogue.is_used(key) || awaited.waits_for(key);
                listed || is_in_use(presence, registrar, lists, key)
            };
            step(remote, &in_use, turn)
        })
    }

    /// An XDMS answered a question, or did not.
    pub(super) fn remote_fetched(
        &mut self,
        now: Timestamp,
        number: u64,
        fetched: &Fetched,
        out: &mut Outbox,
    ) {
        let Some(key) = self.directory.remote.answered(number) else {
            return; // given up on
        };
        let answer = self.judge(&key, fetched);
        out.reports.push(Report::Asked(match &answer {
            Answer::Document { .. } => Asked::Document,
            Answer::Unchanged => Asked::Unchanged,
            Answer::Absent => Asked::Absent,
            Answer::Unusable => Asked::Unusable,
            Answer::Refused(_) => Asked::Refused,
            Answer::Silence => Asked::Silence,
        }));
        self.remote_turn(now, out, |remote, in_use, turn| {
            let used = in_use(&key);
            remote.settle(turn, &key, answer, used);
        });
    }

    /// What an HTTP answer says of a document (RFC 4825 §8.3).
    fn judge(&self, key: &DocumentKey, fetched: &Fetched) -> Answer {
        let answer = match fetched {
            Ok(answer) => answer,
            Err(Fault::TooLarge) => return Answer::Unusable,
            Err(Fault::Unreachable | Fault::Refused | Fault::TimedOut) => return Answer::Silence,
        };
        match answer.status {
            200 => {
                let media_type = answer.media_type.as_deref();
                let xdm = &self.settings.xdm;
                match xdm.verify(key, media_type, &answer.bytes, &self.directory) {
                    Ok(()) => Answer::Document {
                        etag: answer.etag.clone(),
                        bytes: answer.bytes.clone(),
                    },
                    Err(why) => {
                        let auid = key.auid.as_str();
                        tracing::warn!(auid, %why, "a document of another XDMS cannot be used");
                        Answer::Unusable
                    }
                }
            }
            304 => Answer::Unchanged,
            404 | 410 => Answer::Absent,
            status => {
                tracing::debug!(status, "another XDMS refuses a document");
                Answer::Refused(status)
            }
        }
    }

    /// Does what has become due, and gives up on questions of which nothing was heard.
    pub(super) fn remote_due(&mut self, now: Timestamp, out: &mut Outbox) {
        self.remote_turn(now, out, |remote, in_use, turn| remote.due(turn, in_use));
        while let Some(number) = self.directory.remote.overdue(now) {
            self.remote_fetched(now, number, &Err(Fault::TimedOut), out);
        }
    }

    /// A NOTIFY for a subscription of ours to changes of documents (RFC 5875), answered once what it says is committed.
    pub(super) fn remote_notified(
        &mut self,
        now: Timestamp,
        ask: &Ask<'_>,
        id: SubscriptionId,
        out: &mut Outbox,
    ) -> Result<Reply, Reject> {
        let request = ask.request;
        let order = self.directory.remote.order(id, request)?;
        headers::require(request)?;
        let event = request.headers.get(Name::Event).and_then(Event::parse);
        if !event.is_some_and(|e| e.package == remote::PACKAGE && e.id.is_none()) {
            return Err(Reject::BadEvent);
        }
        if order == Order::Again {
            return Ok(Reply::new(200));
        }
        let state = request.headers.get(Name::SubscriptionState);
        let state = state.and_then(SubscriptionState::parse);
        let body = headers::body(request, changes::LONGEST)?;
        let mut told = None;
        if !body.is_empty() {
            let kind = request.headers.get(Name::ContentType);
            let kind = kind.and_then(MediaType::parse);
            if !kind.is_some_and(|kind| kind.is("application", "xcap-diff+xml")) {
                return Err(Reject::UnsupportedMedia {
                    accept: changes::MEDIA_TYPE,
                });
            }
            told = Some(changes::read(&body).ok_or(Reject::Bad("Bad XCAP Diff"))?);
        }
        let notify = Notify {
            id,
            request,
            state: state.ok_or(Reject::Bad("Missing Or Bad Subscription-State"))?,
            changes: told,
        };
        self.remote_turn(now, out, |remote, _, turn| remote.notified(turn, notify))?;
        Ok(Reply::new(200))
    }

    /// The final response to a SUBSCRIBE of ours to changes came, or none did.
    pub(super) fn changes_answered(
        &mut self,
        now: Timestamp,
        ticket: Ticket,
        answer: &Answered,
        out: &mut Outbox,
    ) {
        self.subscribing = self.subscribing.saturating_sub(1);
        out.reports.push(Report::Subscribed {
            status: answer.status,
        });
        self.remote_turn(now, out, |remote, _, turn| {
            remote.subscribe_answered(turn, ticket, answer);
        });
    }
}

/// The GET of a question.
fn question(ask: &remote::Ask<'_>, xdm: &crate::xdm::Xdm) -> Fetch {
    let server = ask.server;
    // TS 24.109 §6: the servers of the core trust one another's word
    let identity = format!("\"{}\"", server.identity);
    let mut headers = vec![("x-3gpp-asserted-identity", identity)];
    if let Some(media_type) = xdm.media_type(&ask.key.auid) {
        headers.push(("accept", media_type.to_owned()));
    }
    headers.extend(ask.etag.clone().map(|etag| ("if-none-match", etag)));
    Fetch {
        number: ask.number,
        tls: server.root.tls,
        host: server.root.host.clone(),
        port: server.root.port,
        path: server.root.path_of(&ask.key),
        headers,
        limit: xdm.longest(&ask.key.auid).unwrap_or(0),
        timeout: server.timeout,
    }
}

/// Whether somebody watches a presentity whose rules, lists or state this document holds.
fn is_in_use(
    presence: &presence::Service,
    registrar: &Registrar,
    lists: &Lists,
    key: &DocumentKey,
) -> bool {
    let watched = |user| presence.is_watched(&registrar.canonical(user));
    key.owner().is_some_and(watched)
        || key.auid == usage::resource_lists::AUID
            && lists.readers(key).any(|reader| presence.is_watched(reader))
}
