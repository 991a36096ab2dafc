//! Ro, by Result-Code, silence and failure handling: what becomes of a PUBLISH, and what its OCSs are asked.

use super::peer::{MAKES, Pair, each_make};
use super::row::{Row, all_known, asked, row, word};
use super::*;

/// A server and what is asked of it.
struct Group {
    host: &'static str,
    settings: &'static str,
    /// How a row ends is the status of its PUBLISH.
    rows: &'static [Row<u16>],
}

/// RFC 8506 §6.5, §7 and Table 5. Rows that are called `refunded...` name an entity-tag that is not there, so that the
/// service fails after the debit.
const DEBITS: &[Row<u16>] = &[
    row("accepted", "", 200, &["debit"], &[]),
    row("limited", "!ocs1=2002", 200, &["debit"], &[]),
    row("denied", "!ocs1=4010", 402, &["debit"], &[]),
    row("spent", "!ocs1=4012", 402, &["debit"], &[]),
    row("inside", "!ocs1=4012+in", 402, &["debit"], &[]),
    row("free", "!ocs1=4011", 200, &["debit"], &[]),
    row("rejected", "!ocs1=5003", 403, &["debit"], &[]),
    row("unknown", "!ocs1=5030", 403, &["debit"], &[]),
    row("unrated", "!ocs1=5031", 503, &["debit"], &[]),
    row("unable", "!ocs1=5012", 503, &["debit"], &[]),
    row("strange", "!ocs1=5006", 503, &["debit"], &[]),
    row("transient", "!ocs1=4001", 503, &["debit"], &[]),
    row("told", "!ocs1=5031+ddfh=1", 200, &["debit"], &[]),
    row("unroutable", "!ocs1=3002", 200, &["debit"], &["debit"]),
    row("busy", "!ocs1=3004", 200, &["debit"], &["debit"]),
    row("twice", "!ocs1=3004!ocs2=3004", 503, &["debit"], &["debit"]),
    row("silent", "!ocs1=silent", 200, &["debit"], &["debit T"]),
    row(
        "stored",
        "!ocs1=silent!ocs2=silent,2001",
        200,
        &["debit"],
        &["debit T", "debit T"],
    ),
    row("refunded", "", 412, &["debit", "refund"], &[]),
    row(
        "refunded-late",
        "!ocs1=2001,silent,2001",
        412,
        &["debit", "refund", "refund T"],
        &[],
    ),
];

const CONTINUED: &[Row<u16>] = &[
    row("denied", "!ocs1=4010", 403, &["debit"], &[]),
    row("spent", "!ocs1=4012", 403, &["debit"], &[]),
    row("rejected", "!ocs1=5003", 403, &["debit"], &[]),
    row("unrated", "!ocs1=5031", 200, &["debit"], &[]),
    row("unable", "!ocs1=5012", 200, &["debit"], &[]),
    row("told", "!ocs1=5012+ddfh=0", 503, &["debit"], &[]),
    row("twice", "!ocs1=3002!ocs2=3004", 200, &["debit"], &["debit"]),
    row(
        "mute",
        "!ocs1=silent!ocs2=silent",
        200,
        &["debit"],
        &["debit T"],
    ),
];

/// RFC 8506 §5.7, §7 and Tables 3 and 4.
const TERMINATED: &[Row<u16>] = &[
    row("accepted", "", 200, &["initial", "final 1"], &[]),
    row("failed", "", 412, &["initial", "final 0"], &[]),
    row("denied", "!ocs1=4010", 402, &["initial"], &[]),
    row("spent", "!ocs1=4012", 402, &["initial"], &[]),
    row("free", "!ocs1=4011", 200, &["initial"], &[]),
    row("rejected", "!ocs1=5003", 403, &["initial"], &[]),
    row("unknown", "!ocs1=5030", 403, &["initial"], &[]),
    row("unrated", "!ocs1=5031", 503, &["initial"], &[]),
    row("unable", "!ocs1=5012", 503, &["initial"], &[]),
    row("told", "!ocs1=5031+ccfh=1", 200, &["initial"], &[]),
    row("told-retry", "!ocs1=5031+ccfh=2", 503, &["initial"], &[]),
    row(
        "busy",
        "!ocs1=3004",
        200,
        &["initial"],
        &["initial", "final 1"],
    ),
    row(
        "twice",
        "!ocs1=3002!ocs2=3002",
        503,
        &["initial"],
        &["initial"],
    ),
    // what may have been set aside is given back
    row("silent", "!ocs1=silent", 503, &["initial", "final 0"], &[]),
    // RFC 8506 §8.4: only where the server has said so may the session go on at another one
    row(
        "kept",
        "!ocs1=2001,silent,2001",
        200,
        &["initial", "final 1", "final 1 T"],
        &[],
    ),
    row(
        "moved",
        "!ocs1=2001+fo=1,silent",
        200,
        &["initial", "final 1"],
        &["final 1 T"],
    ),
];

const GOES_ON: &[Row<u16>] = &[
    row("unrated", "!ocs1=5031", 200, &["initial"], &[]),
    row("told", "!ocs1=5031+ccfh=0", 503, &["initial"], &[]),
    row(
        "twice",
        "!ocs1=3002!ocs2=3002",
        200,
        &["initial"],
        &["initial"],
    ),
    row("denied", "!ocs1=4012", 402, &["initial"], &[]),
];

const RETRIED: &[Row<u16>] = &[
    row("unrated", "!ocs1=5031", 503, &["initial"], &[]),
    row(
        "busy",
        "!ocs1=3004",
        200,
        &["initial"],
        &["initial", "final 1"],
    ),
    row(
        "silent",
        "!ocs1=silent,2001",
        200,
        &["initial", "final 1"],
        &[],
    ),
    row(
        "twice",
        "!ocs1=3002!ocs2=3002",
        503,
        &["initial"],
        &["initial"],
    ),
];

/// Tx and the time for an answer are long enough for a slow machine.
const GROUPS: &[Group] = &[
    Group {
        host: "ps1.test",
        settings: "publish = \"iec\"\ntx_ms = 2500\nanswer_timeout_ms = 3500",
        rows: DEBITS,
    },
    Group {
        host: "ps2.test",
        settings: "publish = \"iec\"\ntx_ms = 2500\nanswer_timeout_ms = 3500\nddfh = \"continue\"\n\
                   denied_status = 403\nmultiple_services = false",
        rows: CONTINUED,
    },
    Group {
        host: "ps3.test",
        settings: "publish = \"ecur\"\ntx_ms = 2500\nanswer_timeout_ms = 3500",
        rows: TERMINATED,
    },
    Group {
        host: "ps4.test",
        settings: "publish = \"ecur\"\ntx_ms = 2500\nanswer_timeout_ms = 3500\nccfh = \"continue\"",
        rows: GOES_ON,
    },
    Group {
        host: "ps5.test",
        settings: "publish = \"ecur\"\ntx_ms = 2500\nanswer_timeout_ms = 3500\nccfh = \"retry_and_terminate\"",
        rows: RETRIED,
    },
];

/// Users, and so icids, are different in each group.
fn id(group: &Group, row: &Row<u16>) -> String {
    format!("{}-{}", group.host.split('.').next().unwrap(), row.name)
}

fn run(group: &Group, row: &Row<u16>, server: &Server, ocss: [&Peer; 2], make: Make) {
    let id = id(group, row);
    let mut request = publication(&id, row.script);
    if row.end == 412 {
        request = request.with("SIP-If-Match", "gone");
    }
    let at = format!("{id} at {make:?}");
    let answer = ask(server, &request);
    assert_eq!(answer.status(), Some(row.end), "{at}");
    // RFC 3261 §20.33: who is refused for a failure of ours may come back
    assert_eq!(
        row.end == 503,
        !answer.get("retry-after").is_empty(),
        "{at}"
    );
    settles(&at, PATIENCE, &row.wanted(), || {
        ocss.map(|ocs| asked(ocs, &id))
    });
    let all: Vec<Record> = [ocss[0].of(&id), ocss[1].of(&id)].concat();
    for record in &all {
        // RFC 8506 §8.2: Session-Id and CC-Request-Number are what a duplicate is recognised by
        assert_eq!(
            one(record, "Session-Id"),
            one(&all[0], "Session-Id"),
            "{at}"
        );
        let first = word(record).starts_with("debit") || word(record).starts_with("initial");
        assert_eq!(
            one(record, "CC-Request-Number"),
            if first { "0" } else { "1" },
            "{at}"
        );
        let twin = all
            .iter()
            .find(|twin| one(twin, "CC-Request-Number") == one(record, "CC-Request-Number"));
        assert_eq!(
            twin.map(|twin| one(twin, "E2E")),
            Some(one(record, "E2E")),
            "{at}"
        );
    }
    all_known(&all, &at);
}

/// CHG-03.
#[test]
fn every_answer_of_an_ocs_and_its_silence_have_the_right_consequence() {
    each_make(&MAKES, |make| answers(make, false));
}

/// CHG-03: with freeDiameter as a relay in front of each OCS.
#[test]
fn every_answer_of_an_ocs_behind_a_relay_has_the_same_consequence() {
    if Make::FreeDiameter.is_there() {
        each_make(&MAKES, |make| answers(make, true));
    }
}

fn answers(make: Make, relayed: bool) {
    let lab = Lab::new(
        if relayed {
            "ro answers relayed"
        } else {
            "ro answers"
        },
        make,
    );
    let Pair {
        first,
        second,
        doors,
    } = Pair::start(&lab, make, ["ocs1.test", "ocs2.test"], relayed);
    let doors: Vec<&Peer> = if relayed {
        doors.iter().collect()
    } else {
        vec![&first, &second]
    };
    let (ocss, doors) = ([&first, &second], &doors[..]);
    std::thread::scope(|scope| {
        for group in GROUPS {
            scope.spawn(move || {
                let server = online(group.host, doors, group.settings);
                doors
                    .iter()
                    .for_each(|door| until_up(&server, door.host, SOON));
                std::thread::scope(|scope| {
                    for row in group.rows {
                        let server = &server;
                        scope.spawn(move || run(group, row, server, ocss, make));
                    }
                });
                server.stop();
                for row in group.rows {
                    let id = id(group, row);
                    let all = ocss.map(|ocs| asked(ocs, &id));
                    assert_eq!(all, row.wanted(), "{id} at {make:?}, afterwards");
                }
            });
        }
    });
}
