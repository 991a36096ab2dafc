//! A request: is it new, may its peer be believed, who serves it, and how it is answered.

use super::{Effect, Fetched, Node, Outbox, Report, headers};
use crate::charge::{Besides, BodyFacts, Booked, Chargeable, Event, Role};
use crate::event::subscription::SubscriptionId;
use crate::isc::{self, Caller, Charging};
use crate::presence::filter;
use crate::reject::{Reject, phrase};
use crate::sip::coding::ACCEPT_ENCODING;
use crate::sip::header::p_associated_uri::PAssociatedUri;
use crate::sip::reply::{self, reply_to};
use crate::sip::{Aor, Scheme, Uri};
use crate::sip::{Flow, Headers, KnownMethod, Method, Name, Request, Writer};
use crate::time::{Seconds, Timestamp};
use crate::transaction::{Key, Verdict};
use crate::xml::patch;

/// A request of a trusted peer on its way through the node, with what ISC says about it.
pub(super) struct Ask<'a> {
    pub request: &'a Request<'a>,
    pub caller: Caller,
    pub charging: Charging,
    /// What came of the content that the request refers to, where it had to be fetched.
    pub fetched: Option<&'a Fetched>,
}

/// What has come of the waiting of a request.
pub(super) enum Brought<'a> {
    Nothing,
    /// Content that it refers to.
    Content(&'a Fetched),
    /// It is not to be served.
    Refusal(Reject),
}

/// What a served request is answered with, beside the headers that every response has.
#[derive(Debug, Default)]
pub(super) struct Reply {
    pub status: u16,
    pub phrase: Option<&'static str>,
    pub to_tag: Option<String>,
    pub headers: Vec<(Name, String)>,
    /// Media type and bytes.
    pub body: Option<(&'static str, String)>,
    /// Give back the Record-Routes: the response opens a dialog (RFC 3261 §12.1.1).
    pub record_route: bool,
}

impl Reply {
    pub fn new(status: u16) -> Reply {
        Reply {
            status,
            ..Reply::default()
        }
    }

    pub fn with(mut self, name: Name, value: impl Into<String>) -> Reply {
        self.headers.push((name, value.into()));
        self
    }

    /// The 2xx to a SUBSCRIBE, from the subscription of this number and Contact. `opens`: its dialog.
    pub fn subscribed(
        status: u16,
        id: SubscriptionId,
        contact: String,
        lifetime: Seconds,
        opens: bool,
    ) -> Reply {
        let mut reply = Reply::new(status)
            .with(Name::Contact, contact)
            .with(Name::Expires, lifetime.to_string());
        reply.to_tag = Some(id.to_string());
        reply.record_route = opens;
        match opens {
            // RFC 6665 §4.4.4: in responses that open a dialog
            true => reply.with(Name::AllowEvents, headers::ALLOW_EVENTS),
            false => reply,
        }
    }
}

impl From<Reject> for Reply {
    /// The answer to a refused request, with the header that its status demands.
    fn from(reject: Reject) -> Reply {
        let (status, phrase) = reject.status();
        let reply = Reply {
            status,
            phrase: Some(phrase),
            ..Reply::default()
        };
        match reject {
            Reject::BadEvent => reply.with(Name::AllowEvents, headers::ALLOW_EVENTS),
            Reject::UnsupportedMedia { accept } => reply.with(Name::Accept, accept),
            Reject::UnsupportedEncoding => reply.with(Name::AcceptEncoding, ACCEPT_ENCODING),
            Reject::BadExtension(tags) => reply.with(Name::Unsupported, tags),
            Reject::ExtensionRequired(tag) => reply.with(Name::Require, tag),
            Reject::NotAcceptableHere { why } => reply.with(Name::Warning, warning(&why)),
            Reject::NotAcceptable { accept } => reply.with(Name::Accept, accept),
            Reject::MethodNotAllowed => reply.with(Name::Allow, headers::ALLOW),
            Reject::IntervalTooBrief { min } => reply.with(Name::MinExpires, min.to_string()),
            Reject::Busy { retry_after } => reply.with(Name::RetryAfter, retry_after.to_string()),
            Reject::BadPatch { report, .. } => Reply {
                body: report.map(|report| (patch::ERROR_MEDIA_TYPE, report.into())),
                ..reply
            },
            Reject::OutOfOrder
            | Reject::BadGateway(_)
            | Reject::GatewayTimeout(_)
            | Reject::Bad(_)
            | Reject::Internal(_)
            | Reject::UnsupportedScheme
            | Reject::TooLarge
            | Reject::StaleEtag
            | Reject::NoDialog
            | Reject::Merged
            | Reject::Forbidden(_)
            | Reject::PaymentRequired
            | Reject::NotFound => reply,
        }
    }
}

/// A miscellaneous warning (RFC 3261 §20.43) with a text that may quote what the peer sent.
fn warning(why: &str) -> String {
    let plain = |c: char| match c {
        '"' => '\'',
        ' ' | '!' | '#'..='[' | ']'..='~' => c,
        _ => ' ',
    };
    let text: String = why.chars().map(plain).collect();
    format!("399 presentia \"{text}\"")
}

/// How long a peer that meets a draining or full node is asked to stay away.
pub(super) const AWAY: Seconds = Seconds(30);

impl Node {
    pub(super) fn request(
        &mut self,
        now: Timestamp,
        flow: Flow,
        request: &Request<'_>,
        copy: Option<Vec<u8>>,
        out: &mut Outbox,
    ) {
        let key = match self.transactions.request(now, &flow, request) {
            Verdict::New(key) => key,
            Verdict::Again(stored) => {
                out.reports.push(Report::Retransmission);
                if let Some(bytes) = stored {
                    // behind the commits under way: the first copy may still be waiting for its own
                    out.held.push(Effect::Send {
                        to: reply_to(&request.via, &flow),
                        bytes,
                        ticket: None,
                    });
                }
                return;
            }
            Verdict::Ack => return,
            Verdict::Cancel { key, known } => {
                // every request here has its final response before a CANCEL can come: it changes nothing
                let reply = if known {
                    Reply::new(200)
                } else {
                    Reject::NoDialog.into()
                };
                return self.answer(now, key, &flow, request, reply, out);
            }
            Verdict::Merged(key) => {
                out.reports.push(Report::Answered {
                    method: known(&request.method),
                    status: 482,
                });
                return self.answer(now, key, &flow, request, Reject::Merged.into(), out);
            }
            Verdict::Overload => return self.refuse_statelessly(&flow, request, out),
        };
        // copies that come while it waits find the transaction, and no answer yet
        if let Some(bytes) = copy {
            if let Some(asking) = self.asks_credit(&flow, request) {
                return self.awaits_credit(now, (flow, key), (request, asking), bytes, out);
            }
            if self.waits(now, (flow, key), request, bytes, out) {
                return;
            }
        }
        self.respond(now, (flow, key), request, Brought::Nothing, out);
    }

    /// Serves a request and answers it.
    pub(super) fn respond(
        &mut self,
        now: Timestamp,
        (flow, key): (Flow, Key),
        request: &Request<'_>,
        brought: Brought<'_>,
        out: &mut Outbox,
    ) {
        let known = known(&request.method);
        let call_id = tracing::field::display(request.call_id);
        let span = tracing::info_span!("request", %call_id, method = request.method.as_str(), icid = tracing::field::Empty, status = tracing::field::Empty);
        let _entered = span.enter();
        let reply = self.serve(now, flow, request, brought, out);
        self.settle_credit(now, key, &reply, out);
        span.record("status", reply.status);
        if reply.status >= 400 {
            tracing::debug!(
                status = reply.status,
                phrase = reply.phrase,
                "request refused"
            );
        } else {
            tracing::debug!(status = reply.status, "request served");
        }
        out.reports.push(Report::Answered {
            method: known,
            status: reply.status,
        });
        self.answer(now, key, &flow, request, reply, out);
    }

    /// RFC 3261 §8.2: inspects the method, the header fields, then processes the request.
    fn serve(
        &mut self,
        now: Timestamp,
        flow: Flow,
        request: &Request<'_>,
        brought: Brought<'_>,
        out: &mut Outbox,
    ) -> Reply {
        let method = request.method;
        let chargeable = match method {
            Method::Known(KnownMethod::Options) => {
                return headers::require(request)
                    .map_or_else(Reply::from, |()| options(self.presence.published_types()));
            }
            Method::Known(KnownMethod::Publish) => Chargeable::Publish,
            Method::Known(KnownMethod::Subscribe) => Chargeable::Subscribe,
            Method::Known(KnownMethod::Register) => Chargeable::Register,
            Method::Known(KnownMethod::Notify) => return self.notify(now, flow, request, out),
            _ => return Reject::MethodNotAllowed.into(),
        };
        // RFC 3324, RFC 3325 §5: what a peer outside the trust domain asserts is worth nothing
        if !self.settings.trust.trusts(flow.remote.ip()) {
            out.reports.push(Report::Untrusted);
            return Reject::Forbidden(phrase::UNTRUSTED).into();
        }
        let (fetched, refused) = match brought {
            Brought::Nothing => (None, None),
            Brought::Content(fetched) => (Some(fetched), None),
            Brought::Refusal(reject) => (None, Some(reject)),
        };
        let ask = Ask {
            request,
            caller: Caller::of(&request.headers),
            charging: Charging::of(&request.headers),
            fetched,
        };
        if let Some(icid) = &ask.charging.icid {
            tracing::Span::current().record("icid", tracing::field::display(icid));
        }
        let served = match refused {
            Some(reject) => Err(reject),
            None => self.dispatch(now, &ask, chargeable, out),
        };
        let mut reply = served.unwrap_or_else(Reply::from);
        if let Some(vector) = ask.charging.answer_vector(&self.settings.presence.own_ioi) {
            reply.headers.push((Name::PChargingVector, vector));
        }
        self.note_payers(&ask, chargeable, &reply, out);
        self.charge(now, &ask, chargeable, &reply, out);
        reply
    }

    /// NOTIFY: what others tell us. It is charged where it is for a watcher; see docs/charging.md.
    fn notify(
        &mut self,
        now: Timestamp,
        flow: Flow,
        request: &Request<'_>,
        out: &mut Outbox,
    ) -> Reply {
        if !self.settings.trust.trusts(flow.remote.ip()) {
            out.reports.push(Report::Untrusted);
            return Reject::NoDialog.into();
        }
        let ask = Ask {
            request,
            caller: Caller::default(), // whoever knows our tag is the notifier
            charging: Charging::of(&request.headers),
            fetched: None,
        };
        let tag = request.to.tag().and_then(SubscriptionId::parse);
        let is_for_watcher = tag.is_some_and(|id| self.back_ends.owns(id));
        let mut reply = self.notified(now, &ask, out).unwrap_or_else(Reply::from);
        if is_for_watcher {
            self.charge(now, &ask, Chargeable::Notify, &reply, out);
        }
        if let Some(vector) = ask.charging.answer_vector(&self.settings.presence.own_ioi) {
            reply.headers.push((Name::PChargingVector, vector));
        }
        reply
    }

    fn dispatch(
        &mut self,
        now: Timestamp,
        ask: &Ask<'_>,
        chargeable: Chargeable,
        out: &mut Outbox,
    ) -> Result<Reply, Reject> {
        match chargeable {
            Chargeable::Subscribe => headers::require_beside(ask.request, headers::LIST_OPTIONS)?,
            _ => headers::require(ask.request)?,
        }
        match chargeable {
            Chargeable::Publish => self.publish(now, ask, out),
            Chargeable::Subscribe => self.subscribe(now, ask, out),
            Chargeable::Register => self.register(now, ask, out),
            Chargeable::Notify => Err(Reject::NoDialog),
        }
    }

    /// Refuses what would be new state, where no more is taken.
    pub(super) fn admits_new_state(&self, held: usize, capacity: usize) -> Result<(), Reject> {
        if self.draining || self.low_space || held >= capacity {
            Err(Reject::Busy { retry_after: AWAY })
        } else {
            Ok(())
        }
    }

    /// The presentity that a Request-URI names (RFC 3903 §6, step 1; TS 24.229 §5.7.1.3A).
    pub(super) fn presentity(&self, request: &Request<'_>) -> Result<Aor, Reject> {
        let uri = Uri::parse(request.uri).ok_or(Reject::Bad("Bad Request-URI"))?;
        if !matches!(
            uri.scheme,
            Scheme::Sip | Scheme::Sips | Scheme::Tel | Scheme::Pres
        ) {
            return Err(Reject::UnsupportedScheme);
        }
        let named = isc::target(request).ok_or(Reject::NotFound)?;
        let presentity = self.directory.registrar.canonical(&named);
        let home = presentity.is_tel()
            || presentity.user().is_some()
                && self
                    .settings
                    .home_domains
                    .iter()
                    .any(|d| d == presentity.host());
        let known = || self.presence.knows(&presentity) || self.directory.knows(&presentity);
        if home && (!self.settings.known_presentities_only || known()) {
            Ok(presentity)
        } else {
            Err(Reject::NotFound)
        }
    }

    /// The identities of a caller with the canonical form of each.
    pub(super) fn watcher(&self, caller: &Caller) -> Vec<Aor> {
        let mut all: Vec<Aor> = Vec::with_capacity(caller.identities.len());
        for identity in &caller.identities {
            for aor in [
                identity.clone(),
                self.directory.registrar.canonical(identity),
            ] {
                if !all.contains(&aor) {
                    all.push(aor);
                }
            }
        }
        all
    }

    /// Writes the response, keeps it for those who ask again, and sends it: behind the batch if there is one.
    fn answer(
        &mut self,
        now: Timestamp,
        key: Key,
        flow: &Flow,
        request: &Request<'_>,
        reply: Reply,
        out: &mut Outbox,
    ) {
        let to = reply_to(&request.via, flow);
        let tag = reply
            .to_tag
            .unwrap_or_else(|| format!("{:016x}", self.random.number()));
        let phrase = reply.phrase.map(|phrase| {
            let own = self.settings.phrases.get(phrase);
            own.map_or(phrase, String::as_str)
        });
        let mut writer = reply::response(request, reply.status, phrase, Some(&tag), flow.remote);
        if reply.record_route {
            writer.record_routes(request);
        }
        for (name, value) in &reply.headers {
            writer.header(*name, value);
        }
        self.sign(&mut writer);
        if let Some((media_type, body)) = &reply.body {
            writer.body(media_type, body.as_bytes());
        }
        let bytes = writer.finish();
        self.transactions.respond(now, key, &to, bytes.clone());
        let effect = Effect::Send {
            to,
            bytes,
            ticket: None,
        };
        // what changed nothing promises nothing; the rest goes before the NOTIFYs of the same turn
        if out.batch.is_empty() && out.held.is_empty() {
            out.free.push(effect);
        } else {
            out.held.insert(0, effect);
        }
    }

    fn sign(&self, writer: &mut Writer<'_>) {
        if !self.settings.product.is_empty() {
            writer.header(Name::Server, &self.settings.product);
        }
    }

    /// No transaction is left to keep an answer in: says so without one.
    fn refuse_statelessly(&mut self, flow: &Flow, request: &Request<'_>, out: &mut Outbox) {
        let mut writer = reply::response(request, 503, None, Some("overload"), flow.remote);
        writer.number(Name::RetryAfter, AWAY.0);
        self.sign(&mut writer);
        out.reports.push(Report::Overloaded);
        out.reports.push(Report::Answered {
            method: known(&request.method),
            status: 503,
        });
        out.free.push(Effect::Send {
            to: reply_to(&request.via, flow),
            bytes: writer.finish(),
            ticket: None,
        });
    }

    /// Writes the charging record of a request that has its final response (TS 32.260 §5.2.1).
    fn charge(
        &mut self,
        now: Timestamp,
        ask: &Ask<'_>,
        method: Chargeable,
        reply: &Reply,
        out: &mut Outbox,
    ) {
        if !self.ledger.wants(method, reply.status) {
            return;
        }
        let mut event = self.event(now, ask, method, reply.status);
        if method == Chargeable::Subscribe {
            let id = reply.to_tag.as_deref().and_then(SubscriptionId::parse);
            event.besides.members = id.and_then(|id| self.lists.members(id));
        }
        self.ledger.write(&mut out.batch, event);
        out.held
            .extend(self.ledger.take().into_iter().map(super::charged));
    }

    /// What the SUBSCRIBE said that opened the dialog of this one.
    pub(super) fn opened(&self, request: &Request<'_>) -> Option<(&Charging, &str)> {
        if request.method != Method::Known(KnownMethod::Subscribe) {
            return None;
        }
        let id = request.to.tag().and_then(SubscriptionId::parse)?;
        let opened = self.presence.opened(id, request.call_id);
        let opened = opened.or_else(|| self.lists.opened(id, request.call_id));
        opened.or_else(|| self.diff.opened(id, request.call_id))
    }

    /// Who charges a request. The core names them in the first request of a dialog, and not in those that follow
    /// (TS 24.229 §5.4.3.2), as it gives a dialog one icid.
    pub(super) fn addresses<'a>(&'a self, ask: &'a Ask<'_>) -> &'a Charging {
        let silent = ask.charging.ccf.is_empty() && ask.charging.ecf.is_empty();
        let opened = self.opened(ask.request).filter(|_| silent);
        opened.map_or(&ask.charging, |(charging, _)| charging)
    }

    pub(super) fn event(
        &self,
        now: Timestamp,
        ask: &Ask<'_>,
        method: Chargeable,
        status: u16,
    ) -> Event {
        let headers = &ask.request.headers;
        let text = |value: &Option<Box<str>>| value.as_deref().map(str::to_owned);
        let package = headers
            .get(Name::Event)
            .and_then(crate::sip::header::event::Event::parse);
        let is_register = method == Chargeable::Register;
        let opened = self.opened(ask.request);
        let called = match opened {
            _ if is_register => ask.request.to.uri,
            // the Request-URI is a handle of ours, which says nothing to anybody
            Some((_, entity)) => entity,
            None => ask.request.uri,
        };
        let vector = match opened {
            Some((charging, _)) if ask.charging.icid.is_none() => charging,
            _ => &ask.charging,
        };
        let canonical = Aor::parse(called).map(|aor| self.directory.registrar.canonical(&aor));
        Event {
            number: 0,
            method,
            role: Role::Terminating,
            package: package.map(|event| event.package.to_owned()),
            expires: headers::expires(headers).ok().flatten().map(|s| s.0),
            call_id: ask.request.call_id.to_owned(),
            calling: if is_register {
                vec![called.to_owned()]
            } else {
                ask.caller.asserted.clone()
            },
            called: called.to_owned(),
            requested: canonical
                .filter(|aor| aor.as_str() != called)
                .map(|aor| aor.as_str().to_owned()),
            icid: text(&vector.icid),
            orig_ioi: text(&vector.orig_ioi),
            term_ioi: Some(self.settings.presence.own_ioi.clone()),
            access_network: isc::access_network(headers),
            service: isc::asserted_service(headers),
            associated: match is_register {
                true => others_of_set(headers, called),
                false => Vec::new(),
            },
            requested_at: now,
            answered_at: now,
            status,
            body: (!ask.request.body.is_empty()).then(|| BodyFacts {
                content_type: headers
                    .get(Name::ContentType)
                    .unwrap_or_default()
                    .to_owned(),
                length: u32::try_from(ask.request.body.len()).unwrap_or(u32::MAX),
                disposition: headers.get(Name::ContentDisposition).map(str::to_owned),
            }),
            ccf: self
                .addresses(ask)
                .ccf
                .iter()
                .map(|a| a.to_string())
                .collect(),
            booked: Booked::default(),
            besides: Besides {
                payers: match is_register {
                    true => Vec::new(), // the user of the registration, who is `calling`
                    false => self.payers(ask, method),
                },
                members: None,
            },
        }
    }
}

/// The other identities of the implicit registration set of `own` (RFC 7315 §4.1).
fn others_of_set(headers: &Headers<'_>, own: &str) -> Vec<String> {
    let own = Aor::parse(own);
    let set = PAssociatedUri::parse(headers).aors().into_iter();
    set.filter(|aor| own.as_ref() != Some(aor))
        .map(|aor| aor.as_str().to_owned())
        .collect()
}

fn known(method: &Method<'_>) -> Option<KnownMethod> {
    match method {
        Method::Known(known) => Some(*known),
        Method::Other(_) => None,
    }
}

/// RFC 3261 §11.2: what could be asked of this server.
fn options(published_types: &str) -> Reply {
    Reply::new(200)
        .with(Name::Allow, headers::ALLOW)
        .with(Name::AllowEvents, headers::ALLOW_EVENTS)
        .with(
            Name::Accept,
            format!("{published_types}, {}", filter::MEDIA_TYPE),
        )
        .with(Name::AcceptEncoding, ACCEPT_ENCODING)
        .with(Name::Supported, headers::SUPPORTED)
}
