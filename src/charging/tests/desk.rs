//! What the operator sees and does while records go to a CDF: accounts, quarantine, trace, files.

use super::*;
use crate::charging::accounts::Report;
use crate::charging::cdr::Cdr;
use crate::charging::desk::Wanted;
use ims::charge::{Booked, record};
use std::task::{Context, Poll};

const HOUR: u32 = 480_000;

/// Events of an hour as the ledger writes them, in the store.
async fn emit(bench: &Bench, count: u32) -> Vec<Event> {
    let mut batch = Batch::default();
    let mut events = Vec::new();
    for sequence in 0..count {
        let booked = Booked {
            hour: HOUR,
            sequence,
            notifies: 0,
        };
        let event = Event {
            booked,
            icid: Some(format!("icid-{sequence}")),
            ..full(u64::from(sequence) + 1)
        };
        let key = Event::key(event.number);
        batch.put_bytes(Table::Charging, &key, &record::write(&event));
        events.push(event);
    }
    batch.put(Table::ChargingEmitted, &HOUR.to_be_bytes(), &count);
    compress(&mut batch);
    let (done, stored) = oneshot::channel();
    bench
        .committer
        .submit(batch, Box::new(move |outcome| done.send(outcome).unwrap()));
    stored.await.unwrap().unwrap();
    events
}

/// Waits until the accounts are as wanted.
async fn until(charging: &Charging, wanted: impl Fn(&Report) -> bool) -> Report {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let report = charging.desk().report().unwrap();
        if wanted(&report) {
            return report;
        }
        assert!(tokio::time::Instant::now() < end, "{report:?}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn every_event_is_accounted_for_from_emission_through_quarantine_to_its_release() {
    let cdf = Cdf::listening("cdf1.ims.test").await;
    let bench = Bench::new(&[("cdf1.ims.test", cdf.address())], "");
    emit(&bench, 5).await;
    let charging = bench.start();
    let mut peer = cdf.accept().await;
    for _ in 0..5 {
        let (received, bytes) = peer.accounting().await;
        let refused = received.session.contains(";3;");
        peer.answer(&bytes, if refused { 5004 } else { 2001 }).await;
    }
    let report = until(&charging, |report| report.hours[0].waiting == 0).await;
    let hour = &report.hours[0];
    assert!(report.adds_up, "{report:?}");
    assert_eq!(
        (hour.emitted, hour.acknowledged, hour.quarantined),
        (5, 4, 1)
    );
    assert_eq!(hour.peers["cdf1.ims.test"].refused, 1);
    assert_eq!(hour.resent, 5, "they lay in the store at the start");

    let desk = charging.desk();
    let refused = desk.quarantine(&Wanted::default()).unwrap();
    assert_eq!((refused.len(), refused[0].result), (1, Some(5004)));
    assert_eq!(desk.release(&[77]).await, Ok(0), "no such record");
    assert_eq!(desk.release(&[]).await, Ok(1));
    let (again, bytes) = peer.accounting().await;
    assert_eq!(again.session, refused[0].session_id, "the same record");
    peer.answer(&bytes, 2001).await;
    let report = until(&charging, |report| report.hours[0].acknowledged == 5).await;
    assert!(
        report.adds_up && report.hours[0].quarantined == 0,
        "{report:?}"
    );

    let (last, records) = desk.tail(0);
    assert_eq!(
        (last, records.len()),
        (6, 6),
        "four, one refused, one released"
    );
    assert_eq!(desk.tail(5).1.len(), 1);
    let wanted = Wanted {
        icid: Some("icid-2".into()),
        ..Wanted::default()
    };
    let traced = desk.trace(&wanted).unwrap();
    assert_eq!(traced.len(), 1, "{traced:?}");
    assert_eq!(traced[0].state, "acknowledged");
    charging.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_release_goes_on_when_whoever_ordered_it_leaves() {
    let cdf = Cdf::listening("cdf1.ims.test").await;
    let bench = Bench::new(&[("cdf1.ims.test", cdf.address())], "");
    emit(&bench, 1).await;
    let charging = bench.start();
    let mut peer = cdf.accept().await;
    let (refused, bytes) = peer.accounting().await;
    peer.answer(&bytes, 5004).await;
    until(&charging, |report| report.hours[0].quarantined == 1).await;
    let desk = charging.desk();
    {
        // as when an HTTP client closes its connection: the order is looked at once
        let mut order = std::pin::pin!(desk.release(&[]));
        let look = |context: &mut Context<'_>| Poll::Ready(order.as_mut().poll(context));
        assert!(std::future::poll_fn(look).await.is_pending());
    }
    let (again, bytes) = peer.accounting().await;
    assert_eq!(again.session, refused.session);
    peer.answer(&bytes, 2001).await;
    until(&charging, |report| report.hours[0].acknowledged == 1).await;
}

#[tokio::test]
async fn what_the_accounts_miss_at_a_start_is_told() {
    let cdf = Cdf::listening("cdf1.ims.test").await;
    let bench = Bench::new(&[("cdf1.ims.test", cdf.address())], "");
    emit(&bench, 3).await;
    let mut batch = Batch::default();
    batch.delete(Table::Charging, &Event::key(2));
    let (done, stored) = oneshot::channel();
    bench
        .committer
        .submit(batch, Box::new(move |outcome| done.send(outcome).unwrap()));
    stored.await.unwrap().unwrap();
    let charging = bench.start();
    assert!(
        bench
            .metrics
            .encode()
            .contains("charging_missing_records 1")
    );
    let report = charging.desk().report().unwrap();
    assert_eq!(report.hours[0].missing, 1);
    assert_eq!(report.hours[0].missing_names(), "1");
}

/// Every line of the files of an export that are complete.
fn exported(folder: &std::path::Path) -> Vec<Cdr> {
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let complete = paths
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "jsonl"));
    let texts = complete.map(|path| std::fs::read_to_string(path).unwrap());
    texts
        .flat_map(|text| {
            text.lines()
                .map(|l| serde_json::from_str(l).unwrap())
                .collect::<Vec<_>>()
        })
        .collect()
}

#[tokio::test]
async fn a_spool_that_is_nearly_full_raises_an_alarm_while_nothing_is_exported_yet() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let extra = format!(
        "spool_max_records = 10\nexport = {{ directory = '{}' }}",
        folder.path().display()
    );
    let bench = Bench::new(&[("cdf1.ims.test", address)], &extra);
    emit(&bench, 8).await;
    let charging = bench.start();
    let alarm =
        |reason: &str, raised: u8| format!("charging_spool_alarm{{reason=\"{reason}\"}} {raised}");
    bench.until_metric(&alarm("limit", 1)).await;
    // the records are of the year 2023
    bench.until_metric(&alarm("age", 1)).await;
    let numbers = bench.metrics.encode();
    assert!(numbers.contains(&alarm("depth", 0)) && numbers.contains(&alarm("disk", 0)));
    let report = charging.desk().report().unwrap();
    assert_eq!((report.hours[0].exported, report.hours[0].waiting), (0, 8));
    charging.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn a_spool_at_its_limit_writes_its_oldest_records_to_files_and_loses_none() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let extra = format!(
        "spool_max_records = 4\nexport = {{ directory = '{}' }}",
        folder.path().display()
    );
    let bench = Bench::new(&[("cdf1.ims.test", address)], &extra);
    emit(&bench, 10).await;
    let charging = bench.start();
    let report = until(&charging, |report| report.hours[0].exported == 6).await;
    assert!(report.adds_up && report.hours[0].waiting == 4, "{report:?}");
    charging.shutdown(Duration::from_secs(1)).await;
    let cdrs = exported(folder.path());
    let icids: Vec<_> = cdrs.iter().filter_map(|cdr| cdr.icid.as_deref()).collect();
    assert_eq!(
        icids,
        ["icid-0", "icid-1", "icid-2", "icid-3", "icid-4", "icid-5"]
    );
    assert!(cdrs.iter().all(|cdr| cdr.state == "exported"));
}

#[tokio::test]
async fn a_spool_of_as_many_bytes_as_it_may_have_warns_and_exports_its_oldest_records_down_to_them()
{
    const MOST: u64 = 8_192;
    let folder = tempfile::tempdir().unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let extra = format!(
        "spool_max_bytes = {MOST}\nexport = {{ directory = '{}' }}",
        folder.path().display()
    );
    let bench = Bench::new(&[("cdf1.ims.test", address)], &extra);
    emit(&bench, 60).await;
    let stored = || bench.reader.scan(Table::Charging, &[], 100).unwrap();
    let lengths: Vec<u64> = stored().iter().map(|(_, v)| v.len() as u64).collect();
    assert!(lengths.iter().sum::<u64>() > MOST, "{lengths:?}");
    let mut fits = 0;
    let newest = lengths.iter().rev();
    let kept = newest.take_while(|length| {
        fits += **length;
        fits <= MOST
    });
    let kept = kept.count();
    let charging = bench.start();
    let exported_now = |report: &Report| report.hours[0].exported == 60 - kept as u32;
    let report = until(&charging, exported_now).await;
    assert!(report.adds_up, "{report:?}");
    let lie: u64 = stored().iter().map(|(_, v)| v.len() as u64).sum();
    assert_eq!(
        (report.waiting_bytes, bench.reader.spool_bytes()),
        (lie, lie)
    );
    assert!(lie <= MOST && kept == stored().len());
    bench
        .until_metric(&format!("charging_spool_bytes {lie}"))
        .await;
    bench
        .until_metric("charging_spool_alarm{reason=\"bytes\"} 1")
        .await;
    charging.shutdown(Duration::from_secs(1)).await;
    assert_eq!(exported(folder.path()).len(), 60 - kept, "the oldest");
}

#[tokio::test]
async fn with_all_records_exported_each_is_in_a_file_with_what_became_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let cdf = Cdf::listening("cdf1.ims.test").await;
    let extra = format!(
        "export = {{ directory = '{}', records = 'all' }}",
        folder.path().display()
    );
    let bench = Bench::new(&[("cdf1.ims.test", cdf.address())], &extra);
    emit(&bench, 3).await;
    let charging = bench.start();
    let mut peer = cdf.accept().await;
    for result in [2001, 5012, 2001] {
        let (_, bytes) = peer.accounting().await;
        peer.answer(&bytes, result).await;
    }
    until(&charging, |report| report.hours[0].waiting == 0).await;
    charging.shutdown(Duration::from_secs(5)).await;
    let mut states: Vec<_> = exported(folder.path())
        .into_iter()
        .map(|cdr| (cdr.number, cdr.state))
        .collect();
    states.sort();
    let expected = [
        ("1", "acknowledged"),
        ("2", "quarantined"),
        ("3", "acknowledged"),
    ];
    assert_eq!(states, expected.map(|(n, s)| (n.to_owned(), s.to_owned())));
}
