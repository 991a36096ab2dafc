//! One number for each value of a label, made when the server starts, and how a scraper is shown them.

use super::labels::{
    ChargingOutcome, CreditOutcome, Held, Label, Method, NotifyOutcome, Queue, Rejected,
    RemoteAnswer,
};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Statuses counted by number: 100 to 699, as SIP has them; others fall on 0.
const STATUSES: usize = 600;

/// One counter for each method and status.
#[derive(Debug)]
pub(super) struct ByStatus(Vec<AtomicU64>);

impl ByStatus {
    fn new() -> ByStatus {
        ByStatus(
            (0..Method::ALL.len() * STATUSES)
                .map(|_| AtomicU64::new(0))
                .collect(),
        )
    }

    pub fn add(&self, method: Method, status: u16) {
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

/// A number for each value of a label that only grows.
#[derive(Debug)]
pub(super) struct Counters<L: Label>(Vec<AtomicU64>, std::marker::PhantomData<L>);

impl<L: Label> Counters<L> {
    fn new() -> Counters<L> {
        Counters(
            L::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            std::marker::PhantomData,
        )
    }

    pub fn add(&self, label: L, count: u64) {
        self.at(label).fetch_add(count, Ordering::Relaxed);
    }

    fn at(&self, label: L) -> &AtomicU64 {
        &self.0[label.index()] // one for each of ALL, by construction
    }
}

/// A number for each value of a label that comes and goes.
#[derive(Debug)]
pub(super) struct Gauges<L: Label>(Vec<AtomicI64>, std::marker::PhantomData<L>);

impl<L: Label> Gauges<L> {
    fn new() -> Gauges<L> {
        Gauges(
            L::ALL.iter().map(|_| AtomicI64::new(0)).collect(),
            std::marker::PhantomData,
        )
    }

    pub fn at(&self, label: L) -> &AtomicI64 {
        &self.0[label.index()]
    }
}

/// Every table: what is counted at a cost of one atomic addition.
#[derive(Debug)]
pub(super) struct Fixed {
    pub sip: ByStatus,
    pub sent: ByStatus,
    pub http: ByStatus,
    pub notifies: Counters<NotifyOutcome>,
    pub rejected: Counters<Rejected>,
    pub charging: Counters<ChargingOutcome>,
    pub credit: Counters<CreditOutcome>,
    pub remote: Counters<RemoteAnswer>,
    pub held: Gauges<Held>,
    pub queues: Gauges<Queue>,
}

impl Fixed {
    pub fn new() -> Fixed {
        Fixed {
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
        }
    }
}

/// Turns the fixed tables into metric families when they are asked for.
#[derive(Debug)]
pub(super) struct Exposition(pub Arc<Fixed>);

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
