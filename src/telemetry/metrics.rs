//! Numbers for Prometheus. Counting costs one atomic addition: every label is resolved when the server starts.

mod labels;
mod tables;

pub use labels::{
    ChargingOutcome, CreditOutcome, Held, Label, Method, NotifyOutcome, Queue, Rejected,
    RemoteAnswer,
};

use crate::store::committer::Observer;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tables::{Exposition, Fixed};

/// Every number of the server. Cloning gives another handle to the same numbers.
#[derive(Clone, Debug)]
pub struct Metrics {
    fixed: Arc<Fixed>,
    commit_seconds: Histogram,
    commit_batches: Histogram,
    spool_depth: Gauge,
    spool_bytes: Gauge,
    spool_alarms: Family<ReasonLabel, Gauge>,
    missing_records: Gauge,
    missing_charges: Gauge,
    ocs: Family<OcsLabel, Counter>,
    unpaid: Gauge,
    remote_silence: Gauge,
    peers: Family<PeerLabel, Gauge>,
    retransmissions: Counter,
    store_healthy: Gauge,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PeerLabel {
    peer: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OcsLabel {
    peer: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

impl Metrics {
    pub fn new() -> Metrics {
        // 100 us to 3.3 s: a group commit on flash takes about 0.3 to 5 ms.
        let seconds = (0..16).map(|n| 0.0001 * f64::from(1u32 << n));
        let batches = (0..11).map(|n| f64::from(1u32 << n));
        Metrics {
            fixed: Arc::new(Fixed::new()),
            commit_seconds: Histogram::new(seconds),
            commit_batches: Histogram::new(batches),
            spool_depth: Gauge::default(),
            spool_bytes: Gauge::default(),
            spool_alarms: Family::default(),
            missing_records: Gauge::default(),
            missing_charges: Gauge::default(),
            ocs: Family::default(),
            unpaid: Gauge::default(),
            remote_silence: Gauge::default(),
            peers: Family::default(),
            retransmissions: Counter::default(),
            store_healthy: Gauge::default(),
        }
    }

    /// A SIP request that was received, with the final status it was answered with.
    pub fn request(&self, method: Method, status: u16) {
        self.fixed.sip.add(method, status);
    }

    /// A SIP request that was sent, with the final status of its answer; 408 when there was none.
    pub fn sent(&self, method: Method, status: u16) {
        self.fixed.sent.add(method, status);
    }

    /// An HTTP request that was answered.
    pub fn http(&self, method: Method, status: u16) {
        self.fixed.http.add(method, status);
    }

    pub fn notify(&self, outcome: NotifyOutcome) {
        self.fixed.notifies.add(outcome, 1);
    }

    pub fn rejected(&self, reason: Rejected) {
        self.rejected_many(reason, 1);
    }

    pub fn rejected_many(&self, reason: Rejected, count: u64) {
        self.fixed.rejected.add(reason, count);
    }

    pub fn charging(&self, outcome: ChargingOutcome) {
        self.fixed.charging.add(outcome, 1);
    }

    pub fn credit(&self, outcome: CreditOutcome) {
        self.fixed.credit.add(outcome, 1);
    }

    pub fn remote(&self, answer: RemoteAnswer) {
        self.fixed.remote.add(answer, 1);
    }

    /// Seconds for which the XDMS that has been silent longest has not answered; 0 while all answer.
    pub fn set_remote_silence(&self, seconds: u64) {
        self.remote_silence
            .set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }

    /// A request that was absorbed because it repeats one already seen.
    pub fn retransmission(&self) {
        self.retransmissions.inc();
    }

    pub fn set_held(&self, what: Held, count: usize) {
        self.fixed
            .held
            .at(what)
            .store(i64::try_from(count).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// Adds `change`, which may be negative, to what is held.
    pub fn change_held(&self, what: Held, change: i64) {
        self.fixed
            .held
            .at(what)
            .fetch_add(change, Ordering::Relaxed);
    }

    pub fn held(&self, what: Held) -> i64 {
        self.fixed.held.at(what).load(Ordering::Relaxed)
    }

    pub fn set_queue(&self, queue: Queue, depth: usize) {
        self.fixed
            .queues
            .at(queue)
            .store(i64::try_from(depth).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// Charging records that wait for their acknowledgement, and the bytes that they take in the store.
    pub fn set_spool(&self, depth: u64, bytes: u64) {
        let gauge = |value| i64::try_from(value).unwrap_or(i64::MAX);
        self.spool_depth.set(gauge(depth));
        self.spool_bytes.set(gauge(bytes));
    }

    /// Whether an alarm of the spool is raised, by the name of its reason.
    pub fn set_spool_alarm(&self, reason: &'static str, raised: bool) {
        self.spool_alarms
            .get_or_create(&ReasonLabel { reason })
            .set(i64::from(raised));
    }

    /// Charging records that the accounts missed when the server started.
    pub fn set_missing_records(&self, missing: u64) {
        self.missing_records
            .set(i64::try_from(missing).unwrap_or(i64::MAX));
    }

    /// Charges, and entries of what no OCS takes, that the accounts missed when the server started.
    pub fn set_missing_charges(&self, missing: u64) {
        self.missing_charges
            .set(i64::try_from(missing).unwrap_or(i64::MAX));
    }

    /// Charges that no OCS takes, and that wait for the operator.
    pub fn set_unpaid(&self, count: u64) {
        self.unpaid.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Whether a Diameter peer, by its identity, is open for traffic. Peers come from the configuration and
    /// from P-Charging-Function-Addresses resolved against it, so their number is bounded.
    pub fn set_peer(&self, peer: &str, open: bool) {
        self.peers
            .get_or_create(&PeerLabel {
                peer: peer.to_owned(),
            })
            .set(i64::from(open));
    }

    /// Adds to what an OCS was asked and to what became of it. Only peers of the configuration have a name here, and
    /// all others one.
    pub fn ocs(&self, peer: &str, outcome: &'static str, more: u64) {
        let label = OcsLabel {
            peer: peer.to_owned(),
            outcome,
        };
        self.ocs.get_or_create(&label).inc_by(more);
    }

    /// Whether the store takes new state.
    pub fn set_store_healthy(&self, healthy: bool) {
        self.store_healthy.set(i64::from(healthy));
    }

    /// For the store's committing thread.
    pub fn commit_observer(&self) -> impl Observer + use<> {
        CommitObserver(self.clone())
    }

    /// All numbers in the text format of OpenMetrics 1.0.
    pub fn encode(&self) -> String {
        let mut registry = Registry::with_prefix("presentia");
        let m = self.clone();
        registry.register(
            "commit_seconds",
            "Time to make one group of batches durable",
            m.commit_seconds,
        );
        registry.register("commit_batches", "Batches in one group", m.commit_batches);
        registry.register(
            "charging_spool_depth",
            "Charging records not yet acknowledged",
            m.spool_depth,
        );
        registry.register(
            "charging_spool_bytes",
            "Bytes of these records in the store",
            m.spool_bytes,
        );
        registry.register(
            "charging_spool_alarm",
            "1 while the spool is near a limit",
            m.spool_alarms,
        );
        registry.register(
            "charging_missing_records",
            "Charging records that the accounts missed at the start",
            m.missing_records,
        );
        registry.register(
            "charging_missing_charges",
            "Charges for which an OCS was asked that the accounts missed at the start",
            m.missing_charges,
        );
        registry.register(
            "charging_ocs",
            "Requests, answers, units and charges, by the OCS that had them",
            m.ocs,
        );
        registry.register("charging_unpaid", "Charges that no OCS takes", m.unpaid);
        registry.register(
            "remote_xdms_silent_seconds",
            "How long another XDMS has not answered, the longest of all",
            m.remote_silence,
        );
        registry.register(
            "diameter_peer_open",
            "1 when the peer is open for traffic",
            m.peers,
        );
        registry.register(
            "sip_retransmissions",
            "Repeated SIP requests absorbed",
            m.retransmissions,
        );
        registry.register(
            "store_healthy",
            "1 when the store takes new state",
            m.store_healthy,
        );
        registry.register_collector(Box::new(Exposition(m.fixed)));
        let mut text = String::new();
        // Writing to a String does not fail; an encoder error would leave the text cut, which scrapers refuse.
        let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
        text
    }
}

struct CommitObserver(Metrics);

impl Observer for CommitObserver {
    fn committed(&mut self, batches: usize, took: Duration) {
        self.0.commit_seconds.observe(took.as_secs_f64());
        self.0.commit_batches.observe(batches as f64);
    }
}

#[cfg(test)]
mod tests;
