//! CHG-01, CHG-03: one system that is CDF and OCS, over one connection.

use super::*;
use ims::charge::record;

/// A server whose CDF is also its OCS.
fn both(address: &str, disk: &Disk) -> Process {
    let peer = format!("host = 'ocs.test'\naddress = '{address}'\n");
    let text = format!("{COMMON}{ONLINE}[[online.peers]]\n{peer}priority = 3\n[[peers]]\n{peer}");
    process_of(&text, disk)
}

/// Puts records in the store, as the batches of state changes do.
async fn store(committer: &Committer, numbers: std::ops::Range<u64>) {
    let mut batch = Batch::default();
    for number in numbers {
        let event = full(number);
        batch.put_bytes(Table::Charging, &Event::key(number), &record::write(&event));
    }
    let (done, stored) = oneshot::channel();
    committer.submit(batch, Box::new(move |outcome| _ = done.send(outcome)));
    stored.await.unwrap().unwrap();
}

#[test]
fn a_system_that_is_cdf_and_ocs_has_one_connection() {
    run(async {
        let ocs = Ocs::serving(Applications::BOTH, &[], 5).await;
        let disk = Memory::new().disk();
        let mut process = both(&ocs.address, &disk);
        process.until_up().await;
        store(&process.committer, 7..8).await;
        process.charging.committed(vec![full(7)]);
        process.online.ask(request(7));
        assert_eq!(process.answer(7).await.verdict, Verdict::Granted);
        until(|| ocs.seen("ACR").first().cloned(), "the record").await;
        assert_eq!(ocs.asked().len(), 1);
        assert_eq!(ocs.seen("connected").len(), 1);
        let ends: Vec<Value> = [ocs.seen("ACR"), ocs.asked()].concat();
        let ends: Vec<u64> = ends
            .iter()
            .map(|seen| seen["end_to_end"].as_u64().unwrap())
            .collect();
        assert_ne!(ends[0], ends[1], "of one number, in two applications");
        process.charging.shutdown(Duration::from_secs(1)).await;
        until(|| ocs.seen("disconnected").first().cloned(), "a goodbye").await;
    });
}

#[test]
fn a_flood_of_records_does_not_hold_up_a_question() {
    const BACKLOG: u64 = 5_000;
    run(async {
        let ocs = Ocs::serving(Applications::BOTH, &[], 50).await;
        let disk = Memory::new().disk();
        let mut process = both(&ocs.address, &disk);
        process.until_up().await;
        store(&process.committer, 0..BACKLOG).await;
        let events = (0..BACKLOG).map(full).collect();
        process.charging.committed(events);
        until(|| (ocs.seen("ACR").len() > 100).then_some(()), "records").await;
        for number in 0..5 {
            let before = ocs.seen("ACR").len();
            process.online.ask(request(number));
            assert_eq!(process.answer(number).await.verdict, Verdict::Granted);
            let between = ocs.seen("ACR").len() - before;
            // The window, and what goes while the charge is written to the store.
            assert!(between < 1_000, "{between} records went before the answer");
        }
        assert!(ocs.seen("ACR").len() < BACKLOG as usize, "it was a flood");
    });
}

#[test]
fn while_a_question_waits_at_a_system_that_is_both_few_records_are_under_way() {
    run(async {
        let ocs = Ocs::serving(Applications::BOTH, &["silent"], 5).await;
        let disk = Memory::new().disk();
        let mut process = both(&ocs.address, &disk);
        process.until_up().await;
        process.online.ask(request(7));
        until(|| ocs.asked().first().cloned(), "the question").await;
        store(&process.committer, 0..200).await;
        process.charging.committed((0..200).map(full).collect());
        process.answer(7).await; // Tx is over; the question is still under way
        assert_eq!(ocs.seen("ACR").len(), 32);
    });
}
