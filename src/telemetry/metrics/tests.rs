use super::*;

#[test]
fn what_is_counted_is_shown() {
    let metrics = Metrics::new();
    metrics.request(Method::Publish, 200);
    metrics.request(Method::Publish, 200);
    metrics.request(Method::from("SUBSCRIBE"), 403);
    metrics.notify(NotifyOutcome::Gone);
    metrics.rejected(Rejected::Malformed);
    metrics.set_held(Held::Subscriptions, 3);
    metrics.change_held(Held::Subscriptions, -1);
    metrics.set_queue(Queue::Store, 7);
    metrics.set_spool(11, 3_025);
    metrics.set_peer("cdf.ims.test", true);
    metrics
        .commit_observer()
        .committed(4, Duration::from_micros(900));
    let text = metrics.encode();
    for line in [
        r#"presentia_sip_requests_total{method="PUBLISH",status="200"} 2"#,
        r#"presentia_sip_requests_total{method="SUBSCRIBE",status="403"} 1"#,
        r#"presentia_notifies_total{outcome="gone"} 1"#,
        r#"presentia_notifies_total{outcome="delivered"} 0"#,
        r#"presentia_rejected_inputs_total{reason="malformed"} 1"#,
        r#"presentia_held{kind="subscriptions"} 2"#,
        r#"presentia_queue_depth{queue="store"} 7"#,
        "presentia_charging_spool_depth 11",
        "presentia_charging_spool_bytes 3025",
        r#"presentia_diameter_peer_open{peer="cdf.ims.test"} 1"#,
        "presentia_commit_seconds_count 1",
        "presentia_commit_batches_sum 4.0",
        "# EOF",
    ] {
        assert!(
            text.lines().any(|shown| shown == line),
            "{line} is missing in:\n{text}"
        );
    }
}

#[test]
fn a_hostile_method_or_status_makes_no_new_counter() {
    let metrics = Metrics::new();
    for status in [0, 99, 700, u16::MAX] {
        metrics.request(Method::from("X-\"}\n"), status);
    }
    let text = metrics.encode();
    assert!(
        text.contains(r#"presentia_sip_requests_total{method="other",status="100"} 4"#),
        "{text}"
    );
    assert_eq!(text.matches("presentia_sip_requests_total{").count(), 1);
}
