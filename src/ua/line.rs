//! One identity with its way into the network: what every request of a client has in common.

use super::digest::{self, Challenge};
use super::message::{Answer, Draft};
use super::{Agent, Error};
use crate::transport::resolve::SIP_PORT;
use bytes::Bytes;
use ims::sip::{Aor, Method, Name, NameAddr, Transport, Uri};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// User and password for Digest.
#[derive(Clone)]
pub struct Credentials {
    /// In IMS the private identity, `bob@ims.test`.
    pub user: String,
    pub password: String,
}

// The password stays out of every log.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Where the requests of a line go first.
#[derive(Clone, Debug)]
pub struct Route {
    pub address: SocketAddr,
    /// `None`: UDP, and TCP for what is large (RFC 3261 §18.1.1).
    pub transport: Option<Transport>,
    /// Value of `Route` when the address is that of a proxy; without one it is the application server itself, to which
    /// we are the trusted peer that asserts identities (TS 24.229 §5.7.1).
    pub proxy: Option<String>,
}

/// An identity, the way of its requests, and what the network has told it.
#[derive(Debug)]
pub struct Line {
    agent: Agent,
    identity: Aor,
    route: Route,
    credentials: Option<Credentials>,
    learnt: Mutex<Learnt>,
}

#[derive(Debug, Default)]
struct Learnt {
    /// Service-Route of the registration, in order (RFC 3608).
    service_route: Vec<String>,
    /// The challenge of the registrar or server (401), and that of the proxy (407).
    challenges: [Option<Challenge>; 2],
}

/// What stays from request to request: Call-ID, From with its tag, and the count.
#[derive(Debug)]
pub struct Call {
    pub id: String,
    pub tag: String,
    from: String,
    cseq: u32,
}

/// A request of a line.
#[derive(Debug)]
pub struct Request<'a> {
    pub method: Method<'static>,
    pub uri: &'a str,
    /// `To`, with a tag in a dialog.
    pub to: String,
    pub way: Way,
    pub lines: Vec<(Name, String)>,
    pub body: Option<(String, Bytes)>,
}

/// By which way a request goes.
#[derive(Clone, Debug)]
pub enum Way {
    /// As every initial request: by the Service-Route and the outbound proxy.
    Initial,
    /// To the registrar: by the outbound proxy, never by the Service-Route (RFC 3608 §6.1).
    Registrar,
    /// As the dialog has it: route set in order, next hop, and whether it asks for TCP.
    Dialog {
        routes: Vec<String>,
        to: SocketAddr,
        transport: Option<Transport>,
    },
}

impl Line {
    pub fn new(
        agent: Agent,
        identity: Aor,
        route: Route,
        credentials: Option<Credentials>,
    ) -> Line {
        Line {
            agent,
            identity,
            route,
            credentials,
            learnt: Mutex::default(),
        }
    }

    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    pub fn identity(&self) -> &Aor {
        &self.identity
    }

    pub fn route(&self) -> &Route {
        &self.route
    }

    /// The peer that requests go to, for messages to people.
    pub fn peer(&self) -> String {
        self.route.address.to_string()
    }

    /// A Call-ID and a tag of their own.
    pub fn call(&self) -> Call {
        let tag = self.agent.unique();
        Call {
            id: format!("{}@{}", self.agent.unique(), self.agent.local().ip()),
            from: format!("<{}>;tag={tag}", self.identity.as_str()),
            tag,
            cseq: 0,
        }
    }

    /// Our Contact: the identity's user at our address.
    pub fn contact(&self) -> String {
        let user = self
            .identity
            .user()
            .filter(|_| !self.identity.is_tel())
            .unwrap_or("presentia");
        let transport = match self.route.transport {
            Some(Transport::Tcp) => ";transport=tcp",
            Some(Transport::Udp) | None => "",
        };
        format!("<sip:{user}@{}{transport}>", self.agent.local())
    }

    pub fn set_service_route(&self, route: Vec<String>) {
        self.learnt().service_route = route;
    }

    fn learnt(&self) -> MutexGuard<'_, Learnt> {
        self.learnt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request and gives the final answer, after a challenge the one to the proof.
    pub async fn ask(&self, call: &mut Call, request: Request<'_>) -> Result<Answer, Error> {
        let mut fresh = false;
        loop {
            call.cseq += 1;
            let draft = self.draft(call, &request);
            let (to, transport) = match request.way {
                Way::Dialog { to, transport, .. } => (to, transport),
                Way::Initial | Way::Registrar => (self.route.address, self.route.transport),
            };
            let answer = self.agent.ask(draft, to, transport).await?;
            let (slot, header) = match answer.status {
                401 => (0, Name::WwwAuthenticate),
                407 => (1, Name::ProxyAuthenticate),
                _ => {
                    if let (Some(info), Some(challenge)) = (
                        answer.content.get(Name::AuthenticationInfo),
                        &mut self.learnt().challenges[0],
                    ) {
                        challenge.renew(info);
                    }
                    return Ok(answer);
                }
            };
            if self.credentials.is_none() {
                return Err(Error::NoPassword(self.peer()));
            }
            let challenge = Challenge::choose(answer.content.lines(header));
            let challenge = challenge.ok_or_else(|| Error::StrangeChallenge(self.peer()))?;
            if fresh && !challenge.is_stale {
                return Err(Error::WrongPassword(self.peer()));
            }
            // one more try at the most, unless the nonce alone was too old
            fresh = true;
            self.learnt().challenges[slot] = Some(challenge);
        }
    }

    fn draft(&self, call: &Call, request: &Request<'_>) -> Draft {
        let mut lines = vec![
            (Name::From, call.from.clone()),
            (Name::To, request.to.clone()),
            (Name::CallId, call.id.clone()),
            (Name::CSeq, format!("{} {}", call.cseq, request.method)),
        ];
        lines.extend(
            self.routes(&request.way)
                .into_iter()
                .map(|route| (Name::Route, route)),
        );
        if !matches!(request.way, Way::Registrar) {
            lines.push(self.claim());
        }
        lines.extend(request.lines.iter().cloned());
        lines.extend(self.proofs(request));
        lines.push((
            Name::UserAgent,
            concat!("presentia/", env!("CARGO_PKG_VERSION")).to_owned(),
        ));
        Draft {
            method: request.method,
            uri: request.uri.to_owned(),
            lines,
            body: request.body.clone(),
        }
    }

    /// Who we are: asserted to an application server that trusts us, preferred where a proxy decides (RFC 3325 §9).
    fn claim(&self) -> (Name, String) {
        let name = match self.route.proxy {
            None => Name::PAssertedIdentity,
            Some(_) => Name::PPreferredIdentity,
        };
        (name, format!("<{}>", self.identity.as_str()))
    }

    fn routes(&self, way: &Way) -> Vec<String> {
        let proxy = self.route.proxy.clone();
        match way {
            Way::Dialog { routes, .. } => routes.clone(),
            Way::Registrar => proxy.into_iter().collect(),
            Way::Initial => {
                let learnt = self.learnt();
                preloaded(proxy, &learnt.service_route)
            }
        }
    }

    /// `Authorization` and `Proxy-Authorization`, as far as challenges are known.
    fn proofs(&self, request: &Request<'_>) -> Vec<(Name, String)> {
        let Some(Credentials { user, password }) = &self.credentials else {
            return Vec::new();
        };
        let subject = digest::Request {
            method: request.method.as_str(),
            uri: request.uri,
        };
        let names = [Name::Authorization, Name::ProxyAuthorization];
        let mut learnt = self.learnt();
        let known = learnt.challenges.iter_mut().zip(names);
        let proofs = known.filter_map(|(challenge, name)| {
            Some((
                name,
                challenge
                    .as_mut()?
                    .prove(subject, user, password, &self.agent.unique()),
            ))
        });
        let mut proofs: Vec<_> = proofs.collect();
        let is_first = !proofs.iter().any(|(name, _)| *name == Name::Authorization);
        if matches!(request.way, Way::Registrar) && is_first {
            // TS 24.229 §5.1.1.2: the first REGISTER names the private identity without proving it
            let realm = self.identity.host();
            proofs.push((Name::Authorization, unproved(user, realm, request.uri)));
        }
        proofs
    }
}

fn unproved(user: &str, realm: &str, uri: &str) -> String {
    let credentials = ims::sip::header::digest::Credentials {
        username: user,
        realm,
        nonce: "",
        uri,
        response: "",
        algorithm: None,
        opaque: None,
        qop: None,
    };
    credentials.to_string()
}

/// The outbound proxy, then the Service-Route (RFC 3608 §6.1); the proxy only once when the Service-Route begins there.
fn preloaded(proxy: Option<String>, service_route: &[String]) -> Vec<String> {
    let place = |value: &str| {
        let uri = NameAddr::parse(value)?.uri;
        let uri = Uri::parse(uri)?;
        Some((uri.host.to_ascii_lowercase(), uri.port))
    };
    let is_first = |proxy: &String| {
        service_route
            .first()
            .is_some_and(|first| place(first) == place(proxy))
    };
    let proxy = proxy.filter(|proxy| !is_first(proxy));
    proxy
        .into_iter()
        .chain(service_route.iter().cloned())
        .collect()
}

/// The address of a host, by the system's resolver.
pub async fn look_up(host: &str, port: Option<u16>) -> Option<SocketAddr> {
    let mut found = tokio::net::lookup_host((host, port.unwrap_or(SIP_PORT)))
        .await
        .ok()?;
    found.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_route_follows_the_proxy_without_doubling_it() {
        let proxy = "<sip:127.0.0.1:5060;lr>".to_owned();
        let own = |routes: &[&str]| routes.iter().map(|r| (*r).to_owned()).collect::<Vec<_>>();
        for (case, service_route, want) in [
            ("not registered", vec![], vec!["<sip:127.0.0.1:5060;lr>"]),
            (
                "the proxy is the S-CSCF",
                vec!["<sip:orig@127.0.0.1:5060;lr>"],
                vec!["<sip:orig@127.0.0.1:5060;lr>"],
            ),
            (
                "the proxy is a P-CSCF",
                vec!["<sip:orig@scscf.ims.test;lr>", "<sip:b;lr>"],
                vec![
                    "<sip:127.0.0.1:5060;lr>",
                    "<sip:orig@scscf.ims.test;lr>",
                    "<sip:b;lr>",
                ],
            ),
        ] {
            assert_eq!(
                preloaded(Some(proxy.clone()), &own(&service_route)),
                own(&want),
                "{case}"
            );
        }
        assert!(preloaded(None, &[]).is_empty());
    }
}
