//! What the SIP clients have in common: where they connect, as whom, and their registration.

use super::login::Login;
use super::terminal::{Stop, note, plain};
use super::{Exit, Failure};
use crate::ua::line::look_up;
use crate::ua::{self, Agent, Credentials, Line, Registration, Route, refresh_after};
use ims::sip::{Aor, Transport, Uri};
use ims::time::Seconds;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long an orderly end may take after the signal.
pub const GRACE: Duration = Duration::from_secs(5);

/// Options of every SIP client: with whom it talks, and as whom
#[derive(Debug, clap::Args)]
pub struct Connection {
    #[command(flatten)]
    way: Way,
    #[command(flatten)]
    login: Login,
    /// Password; other users of this machine can see it, so rather use --password-file or --password-env
    #[arg(long, value_name = "PASSWORD", conflicts_with_all = ["password_env", "password_file"])]
    password: Option<String>,
}

/// Options of the way into the network
#[derive(Debug, clap::Args)]
pub struct Way {
    /// SIP server that requests go to
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:5080", conflicts_with = "proxy", value_parser = place)]
    server: Place,
    /// Outbound proxy in its place, such as an S-CSCF: HOST:PORT or a SIP URI
    #[arg(long, value_name = "PROXY", value_parser = place)]
    proxy: Option<Place>,
    /// Transport: udp or tcp. Default: UDP, and TCP for requests above 1300 bytes
    #[arg(long, value_name = "NAME", value_parser = transport)]
    transport: Option<Transport>,
    /// Register the identity first, keep it registered, and deregister at the end
    #[arg(long)]
    register: bool,
    /// Lifetime to ask for, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u32).range(1..))]
    expires: u32,
}

/// A host with its port, and the URI in which it was named.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    uri: String,
    host: String,
    port: Option<u16>,
    transport: Option<Transport>,
}

fn place(text: &str) -> Result<Place, String> {
    let uri = match text.split_once(':') {
        Some(("sip", _)) => text.to_owned(),
        _ => format!("sip:{text}"),
    };
    let parsed = Uri::parse(&uri).filter(|uri| uri.headers.is_none());
    let parsed = parsed.ok_or("expected HOST, HOST:PORT or a SIP URI")?;
    let transport = match parsed.param("transport") {
        None => None,
        Some(name) => Some(transport(name)?),
    };
    Ok(Place {
        host: parsed.bare_host().to_owned(),
        port: parsed.port,
        transport,
        uri,
    })
}

fn transport(text: &str) -> Result<Transport, String> {
    Transport::parse(text).ok_or_else(|| "expected udp or tcp".into())
}

/// An identity as an argument: `sip:bob@ims.test` or `tel:+36105550001`.
pub fn identity(text: &str) -> Result<Aor, String> {
    let aor = Aor::parse(text).filter(|aor| aor.user().is_some());
    aor.ok_or_else(|| "expected an identity such as sip:bob@ims.test or tel:+36105550001".into())
}

/// A runtime for a command that talks and waits: one thread is plenty.
pub fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime =
        runtime.map_err(|error| Failure::new(Exit::Internal, format!("cannot start ({error})")))?;
    runtime.block_on(work)
}

/// What went wrong, while doing what.
pub fn failure(doing: &str, error: &ua::Error) -> Failure {
    let exit = match error {
        ua::Error::Lost(_) | ua::Error::NoNotify(_) => Exit::Unavailable,
        ua::Error::Refused(_)
        | ua::Error::Circling(_)
        | ua::Error::NoPassword(_)
        | ua::Error::WrongPassword(_)
        | ua::Error::StrangeChallenge(_)
        | ua::Error::Incomplete(..) => Exit::Failed,
    };
    let hint = match error {
        ua::Error::Lost(ua::Lost::Unreachable { .. } | ua::Lost::Silent(_)) => {
            "; is the server running there? Name another with --server, or start one: presentia serve"
        }
        ua::Error::NoPassword(_) => {
            "; give --password-file FILE or set PRESENTIA_PASSWORD, and --user where it is not the identity"
        }
        _ => "",
    };
    Failure::new(exit, plain(&format!("{doing}: {error}{hint}")))
}

/// A line that is connected and, where asked for, registered.
#[derive(Debug)]
pub struct Session {
    pub line: Arc<Line>,
    pub stop: Stop,
    registered: Option<Registered>,
}

/// A registration that is kept up in the background.
#[derive(Debug)]
struct Registered {
    end: oneshot::Sender<()>,
    task: JoinHandle<Registration>,
}

impl Connection {
    pub fn expires(&self) -> Seconds {
        self.way.expires()
    }

    /// Opens sockets and registers.
    pub async fn open(&self, identity: &Aor) -> Result<Session, Failure> {
        self.way.open(identity, self.credentials(identity)?).await
    }

    fn credentials(&self, identity: &Aor) -> Result<Option<Credentials>, Failure> {
        match &self.password {
            Some(password) => Ok(Some(self.login.proving(Some(identity), password.clone()))),
            None => self.login.credentials(Some(identity)),
        }
    }
}

impl Way {
    pub fn expires(&self) -> Seconds {
        Seconds(self.expires)
    }

    /// Opens sockets and registers.
    pub async fn open(
        &self,
        identity: &Aor,
        credentials: Option<Credentials>,
    ) -> Result<Session, Failure> {
        let internal = |error: std::io::Error| Failure::new(Exit::Internal, error);
        let mut stop = Stop::on_signals().map_err(internal)?;
        let place = self.proxy.as_ref().unwrap_or(&self.server);
        let address = look_up(&place.host, place.port).await;
        let address = address.ok_or_else(|| {
            Failure::new(
                Exit::Unavailable,
                format!("the name {} has no address", plain(&place.host)),
            )
        })?;
        let agent = Agent::start(address).await.map_err(|error| {
            Failure::new(
                Exit::Unavailable,
                format!("cannot open a socket towards {address} ({error})"),
            )
        })?;
        let route = Route {
            address,
            transport: self.transport.or(place.transport),
            proxy: self.proxy.as_ref().map(Place::route),
        };
        let line = Arc::new(Line::new(agent, identity.clone(), route, credentials));
        let registered = match self.register {
            true => Some(register(&line, self.expires(), &mut stop).await?),
            false => None,
        };
        Ok(Session {
            line,
            stop,
            registered,
        })
    }
}

impl Place {
    /// Value of `Route`: the URI as it was named, with `lr`.
    fn route(&self) -> String {
        let lr = if self.uri.contains(";lr") { "" } else { ";lr" };
        format!("<{}{lr}>", self.uri)
    }
}

async fn register(
    line: &Arc<Line>,
    expires: Seconds,
    stop: &mut Stop,
) -> Result<Registered, Failure> {
    let identity = line.identity().as_str().to_owned();
    let doing = format!("cannot register {identity}");
    let mut registration = Registration::new(line.clone(), expires);
    let granted = stop.within(GRACE, registration.register()).await;
    let granted =
        granted.ok_or_else(|| Failure::new(Exit::Unavailable, format!("{doing}: interrupted")))?;
    let mut granted = granted.map_err(|error| failure(&doing, &error))?;
    note(&format!("registered {identity} for {granted} s"));
    let (end, mut ended) = oneshot::channel();
    let task = tokio::spawn(async move {
        let mut failures = 0;
        let mut pause = refresh_after(granted);
        while tokio::time::timeout(pause, &mut ended).await.is_err() {
            match registration.register().await {
                Ok(lifetime) => {
                    (granted, failures) = (lifetime, 0);
                    pause = refresh_after(granted);
                }
                Err(error) => {
                    failures += 1;
                    pause = error
                        .pause(failures)
                        .unwrap_or_else(|| refresh_after(granted));
                    note(&format!(
                        "cannot renew the registration of {identity}: {error}; again in {} s",
                        pause.as_secs()
                    ));
                }
            }
        }
        registration
    });
    Ok(Registered { end, task })
}

impl Session {
    /// Deregisters, and lets what is written leave.
    pub async fn close(self) {
        if let Some(Registered { end, task }) = self.registered {
            drop(end); // which ends the task's wait
            let left = async {
                let mut registration = task.await.ok()?;
                registration.deregister().await.ok()
            };
            if !matches!(tokio::time::timeout(GRACE, left).await, Ok(Some(()))) {
                note("the registration could not be taken back; it ends by itself");
            }
        }
        self.line.agent().clone().close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_host_with_a_port_or_a_uri() {
        for (text, host, port, transport, route) in [
            (
                "127.0.0.1:5080",
                "127.0.0.1",
                Some(5080),
                None,
                "<sip:127.0.0.1:5080;lr>",
            ),
            (
                "as.ims.test",
                "as.ims.test",
                None,
                None,
                "<sip:as.ims.test;lr>",
            ),
            ("[::1]:5060", "::1", Some(5060), None, "<sip:[::1]:5060;lr>"),
            (
                "sip:orig@scscf:5060;lr;transport=TCP",
                "scscf",
                Some(5060),
                Some(Transport::Tcp),
                "<sip:orig@scscf:5060;lr;transport=TCP>",
            ),
        ] {
            let place = place(text).unwrap();
            assert_eq!(
                (place.host.as_str(), place.port, place.transport),
                (host, port, transport),
                "{text}"
            );
            assert_eq!(place.route(), route, "{text}");
        }
        for text in [
            "",
            "host:port",
            "a b",
            "sip:host;transport=sctp",
            "tel:+361",
            "host:70000",
        ] {
            assert!(place(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_identity_names_somebody() {
        for (text, good) in [
            ("sip:bob@ims.test", true),
            ("tel:+36-10-555-0001", true),
            ("sip:ims.test", false),
            ("bob@ims.test", false),
            ("http://ims.test", false),
        ] {
            assert_eq!(identity(text).is_ok(), good, "{text}");
        }
    }
}
