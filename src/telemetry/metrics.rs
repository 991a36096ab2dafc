//! Numbers for Prometheus. Counting costs one atomic addition: every label is resolved when the server starts.

use crate::store::committer::Observer;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// A set of label values known in full beforehand, so that each has its own counter from the start.
pub trait Label: Copy + 'static {
    const ALL: &'static [Self];
    fn index(self) -> usize;
    fn as_str(self) -> &'static str;
}

macro_rules! labels {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }
        impl Label for $name {
            const ALL: &'static [Self] = &[$($name::$variant,)+];
            fn index(self) -> usize { self as usize }
            fn as_str(self) -> &'static str { match self { $($name::$variant => $text,)+ } }
        }
    };
}

labels! {
    /// Request methods that are counted by name; a hostile peer cannot add to them.
    Method {
        Publish = "PUBLISH",
        Subscribe = "SUBSCRIBE",
        Notify = "NOTIFY",
        Register = "REGISTER",
        Options = "OPTIONS",
        Message = "MESSAGE",
        Invite = "INVITE",
        Ack = "ACK",
        Bye = "BYE",
        Cancel = "CANCEL",
        Get = "GET",
        Head = "HEAD",
        Put = "PUT",
        Delete = "DELETE",
        Other = "other",
    }
}

impl From<&str> for Method {
    fn from(name: &str) -> Method {
        let known = Method::ALL.iter().find(|method| method.as_str() == name);
        known.copied().unwrap_or(Method::Other)
    }
}

labels! {
    /// What became of a NOTIFY.
    NotifyOutcome {
        /// 2xx.
        Delivered = "delivered",
        /// The watcher no longer knows the subscription (RFC 6665 §4.2.2): 481 and its like.
        Gone = "gone",
        /// Any other final refusal.
        Refused = "refused",
        /// No answer within 64*T1, or no way to send it.
        TimedOut = "timeout",
    }
}

labels! {
    /// Why input was dropped or refused before any service saw it.
    Rejected {
        /// Not a message of the protocol.
        Malformed = "malformed",
        /// Above a size or count limit.
        TooLarge = "too_large",
        /// From an address that is not trusted.
        Untrusted = "untrusted",
        /// A response or ACK that belongs to no transaction.
        Stray = "stray",
        /// More work than the queues hold.
        Overload = "overload",
        /// Too slow or too quiet a connection.
        Idle = "idle",
        /// More connections than allowed.
        Connections = "connections",
        /// Asked too often, or guessed passwords.
        Rate = "rate",
        /// Wrong password.
        Credentials = "credentials",
    }
}

labels! {
    /// Queues whose depth tells of overload.
    Queue {
        /// Inputs waiting for the driver.
        Driver = "driver",
        /// Batches waiting for the disk.
        Store = "store",
        /// XCAP requests waiting for the driver.
        Xcap = "xcap",
        /// Requests waiting for a Diameter answer.
        Charging = "charging",
    }
}

labels! {
    /// What the server holds.
    Held {
        Publications = "publications",
        Subscriptions = "subscriptions",
        Registrations = "registrations",
        Followed = "followed_registrations",
        Documents = "documents",
        /// Subscriptions of others to changes of documents.
        DocumentSubscriptions = "document_subscriptions",
        /// Subscriptions to lists, and members of these, each as often as it is watched.
        ListSubscriptions = "list_subscriptions",
        ListMembers = "list_members",
        /// Members of lists who are watched in other networks, each once for each watcher, and our dialogs with these.
        BackEnds = "back_ends",
        BackEndDialogs = "back_end_dialogs",
        /// Copies of documents of other XDMSs.
        RemoteDocuments = "remote_documents",
        /// Users whose documents on other XDMSs are followed by the xcap-diff package.
        RemoteFollowed = "remote_followed",
        /// Other XDMSs that do not answer.
        RemoteSilent = "remote_xdms_silent",
        /// Sessions of credit control that last as long as a subscription.
        CreditSessions = "credit_sessions",
        ServerTransactions = "server_transactions",
        ClientTransactions = "client_transactions",
        Connections = "connections",
        HttpConnections = "http_connections",
    }
}

labels! {
    /// What became of a charging record.
    ChargingOutcome {
        /// The CDF answered with success.
        Acknowledged = "acknowledged",
        /// The CDF refused it for good; it lies in quarantine.
        Quarantined = "quarantined",
        /// Sent again after a time-out or a lost connection.
        Resent = "resent",
        /// Written to a file, since the spool was at its limit.
        Exported = "exported",
    }
}

labels! {
    /// What became of requests for credit, and of what they were for.
    CreditOutcome {
        /// Requests sent, each sending.
        Asked = "asked",
        /// Of these, sent again with the T flag.
        Resent = "resent",
        /// Of these, refunds.
        Refunding = "refunding",
        /// Services that were granted, also without an answer as the failure handling has it.
        Granted = "granted",
        /// Granted free of charge.
        Free = "free",
        /// Refused: the account does not cover it.
        NoCredit = "no_credit",
        /// Refused: the OCS does not serve the user.
        Refused = "refused",
        /// Refused: nobody could say.
        Unavailable = "unavailable",
        /// Lasting services that lost their credit.
        Withdrawn = "withdrawn",
        /// Charges of which nothing is owed any more.
        Settled = "settled",
        /// Charges that the OCS refuses for good.
        GivenUp = "given_up",
        /// Prices and balances that were asked about.
        Enquired = "enquired",
    }
}

labels! {
    /// What another XDMS answered to a question for a document.
    RemoteAnswer {
        Document = "document",
        Unchanged = "unchanged",
        Absent = "absent",
        /// Too large, or no valid document of its usage and user.
        Unusable = "unusable",
        /// Another status.
        Refused = "refused",
        /// No connection, or too late.
        Silence = "silence",
    }
}

/// Statuses counted by number: 100 to 699, as SIP has them; others fall on 0.
const STATUSES: usize = 600;

/// One counter for each method and status.
#[derive(Debug)]
struct ByStatus(Vec<AtomicU64>);

impl ByStatus {
    fn new() -> ByStatus {
        ByStatus(
            (0..Method::ALL.len() * STATUSES)
                .map(|_| AtomicU64::new(0))
                .collect(),
        )
    }

    fn add(&self, method: Method, status: u16) {
        let offset = usize::from(status)
            .checked_sub(100)
            .filter(|o| *o < STATUSES)
            .unwrap_or(0);
        if let Some(counter) = self.0.get(method.index() * STATUSES + offset) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn value(&self, method: Method, status: u16) -> u64 {
        let at = method.index() * STATUSES + usize::from(status).saturating_sub(100);
        self.0
            .get(at)
            .map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    fn each(&self) -> impl Iterator<Item = (Method, u16, u64)> {
        Method::ALL.iter().flat_map(move |method| {
            (100..700).map(move |status| (*method, status, self.value(*method, status)))
        })
    }
}

#[derive(Debug)]
struct Counters<L: Label>(Vec<AtomicU64>, std::marker::PhantomData<L>);

impl<L: Label> Counters<L> {
    fn new() -> Counters<L> {
        Counters(
            L::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            std::marker::PhantomData,
        )
    }

    fn at(&self, label: L) -> &AtomicU64 {
        &self.0[label.index()] // one for each of ALL, by construction
    }
}

#[derive(Debug)]
struct Gauges<L: Label>(Vec<AtomicI64>, std::marker::PhantomData<L>);

impl<L: Label> Gauges<L> {
    fn new() -> Gauges<L> {
        Gauges(
            L::ALL.iter().map(|_| AtomicI64::new(0)).collect(),
            std::marker::PhantomData,
        )
    }

    fn at(&self, label: L) -> &AtomicI64 {
        &self.0[label.index()]
    }
}

#[derive(Debug)]
struct Fixed {
    sip: ByStatus,
    sent: ByStatus,
    http: ByStatus,
    notifies: Counters<NotifyOutcome>,
    rejected: Counters<Rejected>,
    charging: Counters<ChargingOutcome>,
    credit: Counters<CreditOutcome>,
    remote: Counters<RemoteAnswer>,
    held: Gauges<Held>,
    queues: Gauges<Queue>,
}

/// Every number of the server. Cloning gives another handle to the same numbers.
#[derive(Clone, Debug)]
pub struct Metrics {
    fixed: Arc<Fixed>,
    commit_seconds: Histogram,
    commit_batches: Histogram,
    spool_depth: Gauge,
    spool_alarms: Family<ReasonLabel, Gauge>,
    missing_records: Gauge,
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
            fixed: Arc::new(Fixed {
                sip: ByStatus::new(),
                sent: ByStatus::new(),
                http: ByStatus::new(),
                notifies: Counters::new(),
                rejected: Counters::new(),
                charging: Counters::new(),
                credit: Counters::new(),
                remote: Counters::new(),
                held: Gauges::new(),
                queues: Gauges::new(),
            }),
            commit_seconds: Histogram::new(seconds),
            commit_batches: Histogram::new(batches),
            spool_depth: Gauge::default(),
            spool_alarms: Family::default(),
            missing_records: Gauge::default(),
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
        self.fixed
            .notifies
            .at(outcome)
            .fetch_add(1, Ordering::Relaxed);
    }

    pub fn rejected(&self, reason: Rejected) {
        self.fixed
            .rejected
            .at(reason)
            .fetch_add(1, Ordering::Relaxed);
    }

    pub fn charging(&self, outcome: ChargingOutcome) {
        self.fixed
            .charging
            .at(outcome)
            .fetch_add(1, Ordering::Relaxed);
    }

    pub fn credit(&self, outcome: CreditOutcome) {
        self.fixed
            .credit
            .at(outcome)
            .fetch_add(1, Ordering::Relaxed);
    }

    pub fn remote(&self, answer: RemoteAnswer) {
        self.fixed.remote.at(answer).fetch_add(1, Ordering::Relaxed);
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

    /// Charging records that wait for their acknowledgement.
    pub fn set_spool_depth(&self, depth: u64) {
        self.spool_depth
            .set(i64::try_from(depth).unwrap_or(i64::MAX));
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

    /// Whether a Diameter peer, by its identity, is open for traffic. Peers come from the configuration and
    /// from P-Charging-Function-Addresses resolved against it, so their number is bounded.
    pub fn set_peer(&self, peer: &str, open: bool) {
        self.peers
            .get_or_create(&PeerLabel {
                peer: peer.to_owned(),
            })
            .set(i64::from(open));
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

/// Turns the fixed tables into metric families when they are asked for.
#[derive(Debug)]
struct Exposition(Arc<Fixed>);

impl Collector for Exposition {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let fixed = &self.0;
        by_status(
            &mut encoder,
            "sip_requests",
            "SIP requests received, by method and final status",
            &fixed.sip,
        )?;
        by_status(
            &mut encoder,
            "sip_requests_sent",
            "SIP requests sent, by method and final status",
            &fixed.sent,
        )?;
        by_status(
            &mut encoder,
            "http_requests",
            "HTTP requests, by method and status",
            &fixed.http,
        )?;
        counters(
            &mut encoder,
            "notifies",
            "NOTIFY requests by outcome",
            "outcome",
            &fixed.notifies,
        )?;
        counters(
            &mut encoder,
            "rejected_inputs",
            "Inputs dropped or refused, by reason",
            "reason",
            &fixed.rejected,
        )?;
        counters(
            &mut encoder,
            "charging_records",
            "Charging records by outcome",
            "outcome",
            &fixed.charging,
        )?;
        counters(
            &mut encoder,
            "charging_credit",
            "Requests for credit and what became of them",
            "outcome",
            &fixed.credit,
        )?;
        counters(
            &mut encoder,
            "remote_documents_asked",
            "Questions to other XDMSs for documents, by what they answered",
            "answer",
            &fixed.remote,
        )?;
        gauges(
            &mut encoder,
            "held",
            "What the server holds, by kind",
            "kind",
            &fixed.held,
        )?;
        gauges(
            &mut encoder,
            "queue_depth",
            "Work that waits, by queue",
            "queue",
            &fixed.queues,
        )
    }
}

type Encoded = Result<(), std::fmt::Error>;

fn by_status(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    table: &ByStatus,
) -> Encoded {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (method, status, value) in table.each().filter(|(_, _, value)| *value > 0) {
        let labels = [
            ("method", method.as_str().to_owned()),
            ("status", status.to_string()),
        ];
        ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn counters<L: Label>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    label: &str,
    of: &Counters<L>,
) -> Encoded {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for value in L::ALL {
        let labels = [(label, value.as_str())];
        ConstCounter::new(of.at(*value).load(Ordering::Relaxed))
            .encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn gauges<L: Label>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    label: &str,
    of: &Gauges<L>,
) -> Encoded {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for value in L::ALL {
        let labels = [(label, value.as_str())];
        ConstGauge::new(of.at(*value).load(Ordering::Relaxed))
            .encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
