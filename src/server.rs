//! Wiring: what is started in which order, and how it ends.

use crate::admin::Readiness;
use crate::cli::Exit;
use crate::config::Config;
use crate::http::{self, BindError, Busy, XcapPort};
use crate::store::{self, Committer, StoreError};
use crate::telemetry::Metrics;
use ims::xdm::{Request, Response};
use std::sync::Arc;
use tokio::sync::{oneshot, watch};

/// Why the server cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Http(#[from] BindError),
    #[error("cannot wait for signals ({0})")]
    Signals(std::io::Error),
}

impl Error {
    /// The status with which the process ends.
    pub fn exit(&self) -> Exit {
        match self {
            Error::Store(_) => Exit::Store,
            Error::Http(_) => Exit::Unavailable,
            Error::Signals(_) => Exit::Internal,
        }
    }
}

/// Runs until a signal asks for the end.
pub async fn run(config: Config) -> Result<(), Error> {
    let metrics = Metrics::new();
    let settings = store::committer::Settings {
        queue: config.store.queue,
        reserve: config.store.min_free_bytes,
    };
    let committer = Committer::start(
        store::open(&config.store)?,
        settings,
        metrics.commit_observer(),
    )?;
    let readiness = Arc::new(Readiness::new(committer.watch()));
    let (stop, stopping) = watch::channel(false);
    eprint!("{}", config.summary());
    if let Some(address) = config.http.listen {
        let listener = http::bind(address).await?;
        let service = http::Service::new(
            Arc::new(config),
            Arc::new(Undecided),
            metrics,
            readiness.clone(),
        );
        tokio::spawn(http::serve(listener, Arc::new(service), stopping));
    }
    readiness.set_listening();
    tokio::signal::ctrl_c().await.map_err(Error::Signals)?;
    readiness.set_draining();
    stop.send_replace(true);
    Ok(())
}

/// Until the driver is there nothing is decided.
#[derive(Debug)]
struct Undecided;

impl XcapPort for Undecided {
    fn submit(&self, _: Request) -> Result<oneshot::Receiver<Response>, Busy> {
        Err(Busy)
    }
}
