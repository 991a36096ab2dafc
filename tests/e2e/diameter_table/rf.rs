//! Rf, by Result-Code and silence: what becomes of a record whatever its CDFs say.

use super::peer::{MAKES, Pair, each_make};
use super::row::{Row, all_known, flags, row};
use super::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Acknowledged,
    Quarantined,
}
use End::{Acknowledged, Quarantined};

/// A refusal is no reason for the T flag (RFC 6733 §3), silence is; a CDF that may have the record is told so by T
/// also when another one refused it in between.
const TABLE: &[Row<End>] = &[
    row("accepted", "", Acknowledged, &["0"], &[]),
    row("limited", "!cdf1=2002", Acknowledged, &["0"], &[]),
    row("unroutable", "!cdf1=3002", Acknowledged, &["0"], &["0"]),
    row("busy", "!cdf1=3004", Acknowledged, &["0"], &["0"]),
    row("looping", "!cdf1=3005", Acknowledged, &["0"], &["0"]),
    row("full", "!cdf1=4002", Acknowledged, &["0"], &["0"]),
    row("failing", "!cdf1=4001", Acknowledged, &["0"], &["0"]),
    row(
        "twice",
        "!cdf1=4002,2001!cdf2=4002",
        Acknowledged,
        &["0", "0"],
        &["0"],
    ),
    row("silent", "!cdf1=silent", Acknowledged, &["0"], &["1"]),
    row(
        "deaf",
        "!cdf1=silent,2001!cdf2=silent",
        Acknowledged,
        &["0", "1"],
        &["1"],
    ),
    row("unable", "!cdf1=5012", Quarantined, &["0"], &[]),
    row("unknown", "!cdf1=5030", Quarantined, &["0"], &[]),
    row("missing", "!cdf1=5005", Quarantined, &["0"], &[]),
];

/// CHG-01 and CHG-02.
#[test]
fn every_answer_of_a_cdf_and_its_silence_have_the_right_consequence() {
    each_make(&MAKES, |make| answers(make, false));
}

/// CHG-01 and CHG-02: with freeDiameter as a relay in front of each CDF.
#[test]
fn every_answer_of_a_cdf_behind_a_relay_has_the_same_consequence() {
    if Make::FreeDiameter.is_there() {
        each_make(&MAKES, |make| answers(make, true));
    }
}

fn answers(make: Make, relayed: bool) {
    let lab = Lab::new(
        if relayed {
            "rf answers relayed"
        } else {
            "rf answers"
        },
        make,
    );
    let Pair {
        first,
        second,
        doors,
    } = Pair::start(&lab, make, ["cdf1.test", "cdf2.test"], relayed);
    let doors: Vec<&Peer> = if relayed {
        doors.iter().collect()
    } else {
        vec![&first, &second]
    };
    let server = offline(&doors, "answer_timeout_ms = 1000");
    doors
        .iter()
        .for_each(|door| until_up(&server, door.host, SOON));
    for row in TABLE {
        publish(&server, row.name, row.script);
    }
    until(&server, PATIENCE, DEPTH, 0);
    for row in TABLE {
        let at = format!("{} at {make:?}", row.name);
        let got = [&first, &second].map(|cdf| flags(cdf, row.name));
        assert_eq!(got, row.wanted(), "{at}");
        let all: Vec<Record> = [first.of(row.name), second.of(row.name)].concat();
        for name in ["Session-Id", "Accounting-Record-Number", "E2E"] {
            let same = all
                .iter()
                .all(|record| one(record, name) == one(&all[0], name));
            assert!(same, "{at}: {name} of {all:#?}");
        }
        all_known(&all, &at);
    }
    let count = |outcome: &str| {
        metric(
            &server,
            &format!("presentia_charging_records_total{{outcome=\"{outcome}\"}}"),
        )
    };
    let quarantined = TABLE.iter().filter(|row| row.end == Quarantined).count();
    assert_eq!(
        count("quarantined"),
        i64::try_from(quarantined).ok(),
        "{make:?}"
    );
    assert_eq!(
        count("acknowledged"),
        i64::try_from(TABLE.len() - quarantined).ok(),
        "{make:?}"
    );
    server.stop();
}
