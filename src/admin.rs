//! Pages for the operator's machinery: numbers, life and readiness.

use crate::store::Health;
use crate::store::committer::Watch;
use crate::telemetry::Metrics;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether this server should be sent new work, and why not.
pub struct Readiness {
    store: Watch,
    listening: AtomicBool,
    draining: AtomicBool,
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Readiness").field(&self.check()).finish()
    }
}

impl Readiness {
    /// Not ready until [`set_listening`](Readiness::set_listening).
    pub fn new(store: Watch) -> Readiness {
        Readiness {
            store,
            listening: AtomicBool::new(false),
            draining: AtomicBool::new(false),
        }
    }

    /// All listeners are bound and recovery is done.
    pub fn set_listening(&self) {
        self.listening.store(true, Ordering::Relaxed);
    }

    /// The server takes no new work any more.
    pub fn set_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// `Err` says what is missing.
    pub fn check(&self) -> Result<(), String> {
        if self.draining.load(Ordering::Relaxed) {
            return Err("draining".into());
        }
        if !self.listening.load(Ordering::Relaxed) {
            return Err("starting".into());
        }
        match self.store.health() {
            Health::Good => Ok(()),
            Health::LowSpace => Err("little disk space left: new state is refused".into()),
            Health::Failed(error) => Err(error.to_string()),
        }
    }
}

/// A page: status, content type, text.
pub(crate) type Page = (u16, &'static str, String);

/// The page at `path`, if it is one of ours.
pub(crate) fn page(path: &str, metrics: &Metrics, readiness: &Readiness) -> Option<Page> {
    const TEXT: &str = "text/plain; charset=utf-8";
    match path {
        "/healthz" => Some((200, TEXT, "alive\n".into())),
        "/readyz" => Some(match readiness.check() {
            Ok(()) => (200, TEXT, "ready\n".into()),
            Err(why) => (503, TEXT, format!("not ready: {why}\n")),
        }),
        "/metrics" => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            metrics.set_store_healthy(readiness.store.health() == Health::Good);
            Some((200, kind, metrics.encode()))
        }
        _ => None,
    }
}
