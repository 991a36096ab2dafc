//! A subscription, from the side of its subscriber (RFC 6665 §4.1, RFC 3856 §6).

use super::line::{Call, Line, Request, Way};
use super::message::{Answer, Arrived, Content};
use super::{Error, Lost};
use bytes::Bytes;
use ims::dialog::{Dialog, Hop};
use ims::rls::reading;
use ims::sip::header::event::Event;
use ims::sip::header::subscription_state::{State, SubscriptionState};
use ims::sip::{Destination, Method, Name};
use ims::time::Seconds;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Timer N: how long a NOTIFY may take to follow a SUBSCRIBE (RFC 6665 §4.1.2.4).
pub const TIMER_N: Duration = Duration::from_secs(32);
/// Option tag of notifications about lists (RFC 4662 §3).
const EVENTLIST: &str = "eventlist";
/// Times a notifier may ask for a longer lifetime, or for knowledge of lists, before we give up.
const TRIES: usize = 3;

/// One subscription to one presentity or list, or what is left of it when its dialog has ended.
#[derive(Debug)]
pub struct Subscription {
    line: Arc<Line>,
    /// Request-URI of a SUBSCRIBE that begins a dialog.
    resource: String,
    topic: Topic,
    /// Notifications about a list are asked for.
    as_list: bool,
    inbox: mpsc::Receiver<Arrived>,
    call: Call,
    expires: Seconds,
    dialog: Option<Dialog>,
}

/// What is subscribed to.
#[derive(Clone, Debug)]
pub struct Topic {
    pub package: &'static str,
    /// Parameters of `Event`, each with its semicolon.
    pub parameters: String,
    /// Document types that are understood.
    pub accept: &'static str,
    /// Content-Type and body of each SUBSCRIBE.
    pub body: Option<(String, Bytes)>,
    pub lists: Lists,
}

/// Whether the resource may be a list (RFC 4662).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lists {
    /// Not understood.
    Not,
    /// Told when the notifier demands it (421).
    WhereAsked,
    /// Told at once.
    Understood,
    /// The SUBSCRIBE brings this list, of type `application/resource-lists+xml` (RFC 5367).
    Contained(Bytes),
}

impl Topic {
    /// A package that needs nothing but its name and what is accepted.
    pub fn plain((package, accept): (&'static str, &'static str)) -> Topic {
        Topic {
            package,
            parameters: String::new(),
            accept,
            body: None,
            lists: Lists::Not,
        }
    }

    fn event(&self) -> String {
        format!("{}{}", self.package, self.parameters)
    }
}

/// What a NOTIFY says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub state: Phase,
    /// Seconds left.
    pub expires: Option<Seconds>,
    pub reason: Option<String>,
    pub retry_after: Option<Seconds>,
    /// Content-Type without which there is no body.
    pub content_type: Option<String>,
    pub body: Bytes,
}

/// State of the subscription; one that is not known is as good as active (RFC 6665 §4.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Active,
    Pending,
    Terminated,
}

/// What to do after the end of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Again(Duration),
    /// Trying again would change nothing.
    Over,
}

/// RFC 6665 §4.1.3: by the reason that the notifier gives, and its `retry-after`.
pub fn after_end(reason: Option<&str>, retry_after: Option<Seconds>) -> Next {
    let later =
        Next::Again(retry_after.map_or(Duration::ZERO, |s| Duration::from_secs(s.0.into())));
    match reason {
        Some("deactivated" | "timeout") => Next::Again(Duration::ZERO), // retry-after means nothing here
        Some("rejected" | "noresource" | "invariant") => Next::Over,
        Some(_) | None => later, // probation, giveup, and what we do not know
    }
}

impl Subscription {
    /// A subscription that is not yet asked for.
    pub async fn new(
        line: Arc<Line>,
        resource: impl Into<String>,
        topic: Topic,
        expires: Seconds,
    ) -> Subscription {
        let inbox = line.agent().listen().await;
        let call = line.call();
        Subscription {
            line,
            resource: resource.into(),
            as_list: matches!(topic.lists, Lists::Understood | Lists::Contained(_)),
            topic,
            inbox,
            call,
            expires,
            dialog: None,
        }
    }

    /// Opens a dialog anew; gives the lifetime granted. The first NOTIFY may have come before.
    pub async fn open(&mut self) -> Result<Seconds, Error> {
        self.call = self.line.call();
        self.dialog = None;
        self.ask_for(self.expires).await
    }

    /// Asks for the present state only (RFC 6665 §4.4.3).
    pub async fn fetch(&mut self) -> Result<Notice, Error> {
        self.call = self.line.call();
        self.dialog = None;
        self.ask_for(Seconds(0)).await?;
        self.notice_within(TIMER_N).await
    }

    /// Renews the lifetime in the dialog; gives what is granted.
    pub async fn refresh(&mut self) -> Result<Seconds, Error> {
        self.ask_for(self.expires).await
    }

    /// Ends it; the final NOTIFY tells what was left to tell.
    pub async fn end(&mut self) -> Result<Notice, Error> {
        self.ask_for(Seconds(0)).await?;
        let end = tokio::time::Instant::now() + TIMER_N;
        loop {
            let left = end.saturating_duration_since(tokio::time::Instant::now());
            let notice = self.notice_within(left).await?;
            if notice.state == Phase::Terminated {
                return Ok(notice);
            }
        }
    }

    /// The next NOTIFY, at most so late.
    pub async fn notice_within(&mut self, limit: Duration) -> Result<Notice, Error> {
        match tokio::time::timeout(limit, self.notice()).await {
            Ok(notice) => notice,
            Err(_) => Err(Error::NoNotify(limit)),
        }
    }

    /// The next NOTIFY of this subscription; those that belong to none are answered 481. May be dropped and called
    /// again.
    pub async fn notice(&mut self) -> Result<Notice, Error> {
        loop {
            let arrived = self.inbox.recv().await.ok_or(Error::Lost(Lost::Ended))?;
            let (status, notice) = self.take(&arrived);
            self.line.agent().answer(arrived, status).await;
            if let Some(notice) = notice {
                return Ok(notice);
            }
        }
    }

    async fn ask_for(&mut self, expires: Seconds) -> Result<Seconds, Error> {
        let mut asked = expires;
        for _ in 0..TRIES {
            let answer = self.subscribe(asked).await?;
            match (answer.status, answer.content.seconds(Name::MinExpires)) {
                (200..300, _) => {
                    self.confirmed(&answer);
                    return Ok(answer.content.seconds(Name::Expires).unwrap_or(asked));
                }
                (423, Some(min)) if asked.0 > 0 && min > asked => {
                    (asked, self.expires) = (min, min); // RFC 6665 §4.1.2.1
                }
                // RFC 4662 §4.1: what is subscribed to is a list only
                (421, _) if self.may_be_list(&answer) => self.as_list = true,
                _ => return Err(Error::Refused(Box::new(answer))),
            }
        }
        Err(Error::Circling(self.line.peer()))
    }

    /// Whether knowledge of lists is all that the notifier misses.
    fn may_be_list(&self, answer: &Answer) -> bool {
        let mut required = answer.content.values(Name::Require);
        self.topic.lists == Lists::WhereAsked
            && !self.as_list
            && required.any(|tag| tag.eq_ignore_ascii_case(EVENTLIST))
    }

    async fn subscribe(&mut self, expires: Seconds) -> Result<Answer, Error> {
        let initial = format!("<{}>", self.resource);
        let (uri, to, way) = match &self.dialog {
            None => (self.resource.clone(), initial, Way::Initial),
            Some(dialog) => {
                let path = dialog.path();
                let request_uri = path.request_uri.to_owned();
                let routes = path.routes.into_iter().map(written).collect();
                let (to, transport) = self.next_hop(dialog).await;
                let way = Way::Dialog {
                    routes,
                    to,
                    transport,
                };
                (request_uri, dialog.remote.to_string(), way)
            }
        };
        let mut request = Request {
            method: Method::SUBSCRIBE,
            uri: &uri,
            to,
            way,
            lines: vec![
                (Name::Contact, self.line.contact()),
                (Name::Event, self.topic.event()),
                (Name::Accept, self.topic.accept.into()),
                (Name::Expires, expires.to_string()),
            ],
            body: self.topic.body.clone(),
        };
        self.mention_lists(&mut request);
        self.line.ask(&mut self.call, request).await
    }

    /// What a SUBSCRIBE to a list has beside the others.
    fn mention_lists(&self, request: &mut Request<'_>) {
        if !self.as_list {
            return;
        }
        request.lines.push((Name::Supported, EVENTLIST.into()));
        for (name, value) in &mut request.lines {
            if *name == Name::Accept {
                // RFC 4662 §4.1: both types MUST be accepted, beside those of the package
                *value = reading::accepted(value);
            }
        }
        // RFC 5367 §4, §6: the list comes with the SUBSCRIBE that opens the dialog, and not again
        if let (Lists::Contained(list), None) = (&self.topic.lists, &self.dialog) {
            let lines = &mut request.lines;
            lines.push((Name::Require, "recipient-list-subscribe".into()));
            lines.push((Name::ContentDisposition, "recipient-list".into()));
            request.body = Some(("application/resource-lists+xml".into(), list.clone()));
        }
    }

    /// The address of the next hop in the dialog; where its name cannot be looked up, the way that led there before.
    async fn next_hop(&self, dialog: &Dialog) -> (SocketAddr, Option<ims::sip::Transport>) {
        let route = self.line.route();
        let Some((
            Destination::Host {
                host,
                port,
                transport,
            },
            named,
        )) = dialog.path().destination()
        else {
            return (route.address, route.transport);
        };
        let transport = if named { transport } else { route.transport };
        let address = super::line::look_up(&host, port).await;
        (address.unwrap_or(route.address), transport)
    }

    /// The 2xx to a SUBSCRIBE: it makes the dialog, unless a NOTIFY has done so already (RFC 6665 §4.4.1).
    fn confirmed(&mut self, answer: &Answer) {
        if self.dialog.is_none()
            && let Some(tag) = &answer.to_tag
        {
            // a response lists the proxies in the order in which it passed them (RFC 3261 §12.1.2)
            let routes = answer.content.values(Name::RecordRoute).collect::<Vec<_>>();
            self.dialog = self.made(tag, routes.into_iter().rev(), &answer.content, 0);
        } else if let (Some(dialog), Some(target)) = (&mut self.dialog, answer.content.contact()) {
            dialog.target = target.into();
        }
    }

    fn made<'a>(
        &self,
        remote_tag: &str,
        routes: impl Iterator<Item = &'a str>,
        content: &Content,
        cseq: u32,
    ) -> Option<Dialog> {
        Some(Dialog {
            call_id: self.call.id.as_str().into(),
            local: format!("<{}>;tag={}", self.line.identity().as_str(), self.call.tag).into(),
            remote: format!("<{}>;tag={remote_tag}", self.resource).into(),
            remote_tag: remote_tag.into(),
            target: content.contact()?.into(),
            routes: routes.map(Into::into).collect(),
            remote_cseq: cseq,
            local_cseq: 0,
        })
    }

    /// What a NOTIFY is to us: the status of its answer, and what it says.
    fn take(&mut self, arrived: &Arrived) -> (u16, Option<Notice>) {
        let ours =
            arrived.call_id == self.call.id && arrived.to_tag.as_ref() == Some(&self.call.tag);
        let event = arrived.content.get(Name::Event).and_then(Event::parse);
        let Some(from) = arrived.from_tag.as_deref().filter(|_| ours) else {
            return (481, None);
        };
        if !event.is_some_and(|event| event.package == self.topic.package && event.id.is_none()) {
            return (489, None);
        }
        match &mut self.dialog {
            // RFC 3856 §6.9: a fork makes no second subscription
            Some(dialog) if *dialog.remote_tag != *from => return (481, None),
            Some(dialog) if arrived.cseq < dialog.remote_cseq => return (500, None), // RFC 3261 §12.2.2
            Some(dialog) => {
                dialog.remote_cseq = arrived.cseq;
                if let Some(target) = arrived.content.contact() {
                    dialog.target = target.into();
                }
            }
            None => {
                let routes = arrived.content.values(Name::RecordRoute);
                self.dialog = self.made(from, routes, &arrived.content, arrived.cseq);
            }
        }
        let state = arrived.content.get(Name::SubscriptionState);
        let Some(state) = state.and_then(SubscriptionState::parse) else {
            return (400, None);
        };
        let notice = notice(&state, &arrived.content);
        if notice.state == Phase::Terminated {
            self.dialog = None;
        }
        (200, Some(notice))
    }
}

fn written(hop: Hop<'_>) -> String {
    match hop {
        Hop::Written(value) => value.to_owned(),
        Hop::Bare(uri) => format!("<{uri}>"),
    }
}

fn notice(state: &SubscriptionState<'_>, content: &Content) -> Notice {
    Notice {
        state: match state.state {
            State::Terminated => Phase::Terminated,
            State::Pending => Phase::Pending,
            State::Active | State::Other(_) => Phase::Active,
        },
        expires: state.expires,
        reason: state.reason.map(str::to_owned),
        retry_after: state.retry_after,
        content_type: content
            .get(Name::ContentType)
            .filter(|_| !content.body.is_empty())
            .map(str::to_owned),
        body: content.body.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_an_end_says_whether_to_come_back() {
        for (reason, retry_after, next) in [
            (Some("deactivated"), Some(9), Next::Again(Duration::ZERO)),
            (Some("timeout"), Some(9), Next::Again(Duration::ZERO)),
            (
                Some("probation"),
                Some(9),
                Next::Again(Duration::from_secs(9)),
            ),
            (Some("probation"), None, Next::Again(Duration::ZERO)),
            (Some("giveup"), Some(9), Next::Again(Duration::from_secs(9))),
            (Some("rejected"), Some(9), Next::Over),
            (Some("noresource"), None, Next::Over),
            (Some("invariant"), None, Next::Over),
            (
                Some("of-its-own"),
                Some(3),
                Next::Again(Duration::from_secs(3)),
            ),
            (None, Some(3), Next::Again(Duration::from_secs(3))),
        ] {
            assert_eq!(
                after_end(reason, retry_after.map(Seconds)),
                next,
                "{reason:?}"
            );
        }
    }
}
