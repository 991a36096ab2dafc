//! Wiring: what is started in which order, and how it ends.

mod documents;
mod settings;

use crate::admin::Readiness;
use crate::charging::online;
use crate::charging::{self, Charging};
use crate::cli::Exit;
use crate::config::Config;
use crate::driver::{self, Clock, Driver};
use crate::http::{self, BindError};
use crate::store::{self, Committer, Engine, Reader, StoreError};
use crate::telemetry::Metrics;
use crate::transport::ListenError;
use crate::transport::tcp::Tcp;
use crate::transport::udp::Udp;
use ims::node::{Node, Outbox, Recovery};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tracing::info;

/// Why the server cannot run, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Http(#[from] BindError),
    #[error(transparent)]
    HttpSetup(#[from] http::SetupError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Charging(#[from] charging::StartError),
    #[error(transparent)]
    ChargingSettings(#[from] charging::settings::BadValue),
    #[error("cannot wait for signals ({0})")]
    Signals(std::io::Error),
    #[error(
        "no random numbers from the system ({0}); tags and entity-tags cannot be made without them"
    )]
    Random(getrandom::Error),
    #[error(transparent)]
    Documents(#[from] documents::Error),
    #[error("cannot start threads ({0})")]
    Threads(std::io::Error),
    #[error(
        "the deciding thread ended unexpectedly; this is a defect, please report it with the log"
    )]
    Driver,
}

impl Error {
    /// The status with which the process ends.
    pub fn exit(&self) -> Exit {
        match self {
            Error::ChargingSettings(_)
            | Error::Charging(charging::StartError::Tls(_) | charging::StartError::Export(_))
            | Error::HttpSetup(http::SetupError::Unusable(_)) => Exit::Config,
            Error::Charging(charging::StartError::Listen(..)) => Exit::Unavailable,
            Error::Store(_) | Error::Charging(_) => Exit::Store,
            Error::Documents(why) if why.is_configured() => Exit::Config,
            Error::Http(_) | Error::Listen(_) => Exit::Unavailable,
            Error::Signals(_)
            | Error::Random(_)
            | Error::HttpSetup(http::SetupError::Random(_) | http::SetupError::Schema(_))
            | Error::Documents(_)
            | Error::Threads(_)
            | Error::Driver => Exit::Internal,
        }
    }
}

/// Runs until a signal asks for the end, or the store fails.
pub async fn run(config: Config) -> Result<(), Error> {
    let mut stop_asked = Signals::new()?;
    let mut running = Running::start(Arc::new(config)).await?;
    tokio::select! {
        result = &mut running.ended => Err(why(result)),
        () = stop_asked.recv() => running.stop().await,
    }
}

/// A server that listens.
struct Running {
    config: Arc<Config>,
    driver: driver::Handle,
    ended: Ended,
    readiness: Arc<Readiness>,
    charging: Option<Arc<Charging>>,
    stop_http: watch::Sender<bool>,
}

impl Running {
    /// Opens the store, recovers, binds every listener and starts the threads, in this order: nothing is
    /// answered before everything acknowledged earlier is back.
    async fn start(config: Arc<Config>) -> Result<Running, Error> {
        let metrics = Metrics::new();
        let clock = Clock::start();
        let engine = store::open(&config.store)?;
        let backlog = engine.reader();
        let (node, first, recovery) = recover(&config, engine.as_ref(), clock)?;
        let number = node.first_charge();
        let committer = Arc::new(start_committer(&config, engine, &metrics)?);
        let readiness = Arc::new(Readiness::new(committer.watch()));
        let (handle, inbox) = driver::channel(config.limits.queue);
        let tcp = listen_tcp(&config, &handle, &metrics).await?;
        let (stop_http, stopping) = watch::channel(false);
        let stored = (backlog, number);
        let charging = start_charging(&config, stored, &committer, &metrics, &handle)?;
        let http = http::Service::new(
            config.clone(),
            Arc::new(handle.clone()),
            metrics.clone(),
            readiness.clone(),
        )?;
        let http = http.with_charging(charging.as_ref().map(|charging| charging.desk()));
        let credit = charging.as_ref().and_then(|charging| charging.online());
        let http = http.with_enquiries(credit.as_ref().map(|online| online.enquirer()));
        let vouched = http::Vouched::new(&config.remote_xdms.servers);
        let vouched = vouched.map_err(http::SetupError::from)?;
        serve_http(&config, Arc::new(http), stopping).await?;
        let events = charging.clone();
        let driver = |udp| {
            let charging = events.map(charge_through);
            let door = (inbox, handle.clone());
            Driver::new(node, clock, (udp, tcp), committer, charging, metrics, door)
                .trusting(vouched)
                .asking(credit)
        };
        let ended = start_driver(&config, driver, first).await?;
        readiness.set_listening();
        announce(&config, &recovery);
        Ok(Running {
            config,
            driver: handle,
            ended,
            readiness,
            charging,
            stop_http,
        })
    }

    /// Drains and ends: no new work, answers finish, records are sent, within the configured time.
    async fn stop(mut self) -> Result<(), Error> {
        let drain = Duration::from_secs(u64::from(self.config.shutdown.drain_s.0));
        let until = Instant::now() + drain;
        info!(
            seconds = drain.as_secs(),
            "draining: no new work, answers finish"
        );
        self.readiness.set_draining();
        self.driver.drain(until);
        let drained = tokio::time::timeout_at((until + GRACE).into(), &mut self.ended).await;
        self.stop_http.send_replace(true);
        // the driver has ended and let go of its handles
        if let Some(charging) = self.charging.and_then(Arc::into_inner) {
            charging.shutdown(GRACE).await;
        }
        match drained {
            Ok(Ok(Ok(()))) => {
                info!("stopped");
                Ok(())
            }
            Ok(result) => Err(why(result)),
            Err(_) => Err(Error::Driver),
        }
    }
}

fn charge_through(charging: Arc<Charging>) -> driver::Charging {
    Box::new(move |events| charging.committed(events))
}

/// Says what the server is, and what it found.
fn announce(config: &Config, recovery: &Recovery) {
    eprint!("{}", config.summary());
    let Recovery {
        records,
        owed,
        charging,
        unreadable,
        ..
    } = recovery;
    info!(records, owed, unsent = charging, "ready");
    if *unreadable > 0 {
        tracing::error!(
            records = unreadable,
            "records of the store could not be read and are left alone; see docs/store.md"
        );
    }
}

/// Opens the HTTP listeners, plain and over TLS, and looks after the files that they work with.
async fn serve_http(
    config: &Config,
    service: Arc<http::Service>,
    stop: watch::Receiver<bool>,
) -> Result<(), Error> {
    for (address, is_secure) in [(config.http.listen, false), (config.http.tls_listen, true)] {
        if let Some(address) = address {
            let listener = http::bind(address).await?;
            let service = service.clone();
            tokio::spawn(http::serve(listener, is_secure, service, stop.clone()));
        }
    }
    let hangups = signal(SignalKind::hangup()).map_err(Error::Signals)?;
    tokio::spawn(service.keep_current(hangups, stop));
    Ok(())
}

async fn listen_tcp(
    config: &Config,
    handle: &driver::Handle,
    metrics: &Metrics,
) -> Result<Tcp, Error> {
    let tcp = Tcp::new(
        settings::tcp(config),
        Handle::current(),
        handle.requests(),
        handle.notices(),
        metrics.clone(),
    );
    for &address in &config.sip.listen_tcp {
        tcp.listen(address).await?;
    }
    Ok(tcp)
}

/// Beyond the drain time: for the last commit and the last record.
const GRACE: Duration = Duration::from_secs(2);

type Ended = oneshot::Receiver<Result<(), StoreError>>;

fn why(ended: Result<Result<(), StoreError>, oneshot::error::RecvError>) -> Error {
    match ended {
        Ok(Err(error)) => Error::Store(error),
        Ok(Ok(())) | Err(_) => Error::Driver,
    }
}

/// A node with everything that the store holds, and what it wants done first.
fn recover(
    config: &Config,
    engine: &dyn Engine,
    clock: Clock,
) -> Result<(Node, Outbox, Recovery), Error> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(Error::Random)?;
    let mut node = Node::new(settings::node(config, documents::xdm(config)?), seed);
    let mut recovery = Recovery::default();
    engine
        .reader()
        .recover(&mut |table, key, value| node.recover(&mut recovery, table, key, value))?;
    let mut first = Outbox::default();
    node.recovered(clock.now(), &mut recovery, &mut first);
    Ok((node, first, recovery))
}

fn start_committer(
    config: &Config,
    engine: Box<dyn Engine>,
    metrics: &Metrics,
) -> Result<Committer, StoreError> {
    let settings = store::committer::Settings {
        queue: config.store.queue,
        reserve: config.store.min_free_bytes,
        gather: Duration::from_millis(config.store.gather_ms.0),
    };
    let observer = metrics.commit_observer();
    match config.charging.spool_compress {
        true => Committer::packing(engine, settings, observer, charging::compress),
        false => Committer::start(engine, settings, observer),
    }
}

/// Charging, where a CDF or an OCS is configured. `number` is above every one that it has used.
fn start_charging(
    config: &Config,
    (backlog, number): (Arc<dyn Reader>, u64),
    committer: &Arc<Committer>,
    metrics: &Metrics,
    handle: &driver::Handle,
) -> Result<Option<Arc<Charging>>, Error> {
    let mut checked = config.charging.complete(settings::home_domain(config))?;
    if checked.as_uri.is_empty() {
        checked.as_uri = config.as_uri();
    }
    let online = config.charging.online.check(&checked)?;
    if checked.peers.is_empty() && online.is_none() {
        return Ok(None);
    }
    let notices = handle.notices();
    let tell = Box::new(move |number, word| {
        // a driver that has ended has refused what waited
        let _ = notices.send(driver::Notice::Credit { number, word });
    });
    let online = online.map(|settings| online::Wanted { settings, tell });
    let (committer, metrics) = (committer.clone(), metrics.clone());
    let charging = charging::start(checked, online, backlog, committer, metrics, number)?;
    Ok(Some(Arc::new(charging)))
}

/// Starts the deciding thread with a runtime of its own; returns when its sockets are bound.
async fn start_driver(
    config: &Config,
    driver: impl FnOnce(Udp) -> Driver,
    first: Outbox,
) -> Result<Ended, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::Threads)?;
    let bound = {
        let _inside = runtime.enter();
        Udp::bind(&config.sip.listen_udp)
    };
    let udp = match bound {
        Ok(udp) => udp,
        Err(refusal) => {
            runtime.shutdown_background(); // dropping it here, inside another runtime, would panic
            return Err(refusal.into());
        }
    };
    let driver = driver(udp);
    let (end, ended) = oneshot::channel();
    let work = move || drop(end.send(runtime.block_on(driver.run(first))));
    std::thread::Builder::new()
        .name("driver".into())
        .spawn(work)
        .map_err(Error::Threads)?;
    Ok(ended)
}

/// The signals that ask for an end, and the one that would be an end without a word.
#[derive(Debug)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    _file_size: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Signals, Error> {
        let listen = |kind| signal(kind).map_err(Error::Signals);
        Ok(Signals {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            // A limit on file sizes (setrlimit(2), RLIMIT_FSIZE) kills by this signal, and where it is taken a write fails.
            _file_size: listen(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?,
        })
    }

    async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
