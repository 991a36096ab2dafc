//! Credit that lasts as long as a subscription, at OCSs of other makes, direct and behind a relay: what each of them does to
//! an open session, and what the watcher and the OCS then hear.

use super::peer::{MAKES, each_make};
use super::row::{all_known, asked, word};
use super::*;

/// The answer to a RAR or ASR as the OCS hears it, and its Result-Code.
type Told = (&'static str, &'static str);

/// One subscription: what its OCS is told to do, and what must come of it.
struct Row {
    name: &'static str,
    script: &'static str,
    told: Option<Told>,
    /// The watcher's own, or the reason that it is told.
    end: &'static str,
    /// How the last thing that the OCS is asked begins.
    last: &'static str,
}

const fn row(
    name: &'static str,
    script: &'static str,
    told: Option<Told>,
    end: &'static str,
    last: &'static str,
) -> Row {
    Row {
        name,
        script,
        told,
        end,
        last,
    }
}

const OWN: &str = "timeout";
const WITHDRAWN: &str = "probation";

/// With units left no update is under way (RFC 8506 §5.5: that would be 2001).
const ASKED_AGAIN: Option<Told> = Some(("RAA", "2002"));
const ABORTED: Option<Told> = Some(("ASA", "2001"));

/// A session that its server has refused to go on with is over there (RFC 8506 Table 6).
const TABLE: &[Row] = &[
    row("kept", "", None, OWN, "final"),
    row(
        "asked-again",
        "!ocs1=2001+units=9+rar,2001",
        ASKED_AGAIN,
        OWN,
        "final",
    ),
    row(
        "asked-and-spent",
        "!ocs1=2001+units=9+rar,4012",
        ASKED_AGAIN,
        WITHDRAWN,
        "update",
    ),
    row(
        "aborted",
        "!ocs1=2001+units=9+asr,2001",
        ABORTED,
        WITHDRAWN,
        "final",
    ),
    row(
        "last-units",
        "!ocs1=2001+fui,2001",
        None,
        WITHDRAWN,
        "final",
    ),
    row("denied", "!ocs1=2001,4010", None, WITHDRAWN, "update"),
    row("limited", "!ocs1=2001,4012", None, WITHDRAWN, "update"),
    row("free", "!ocs1=2001,4011", None, OWN, "update"),
    row("unknown", "!ocs1=2001,5030", None, WITHDRAWN, "update"),
    row("unrated", "!ocs1=2001,5031", None, WITHDRAWN, "update"),
    row("renewed", "!ocs1=2001+vt=1,2001", None, OWN, "final"),
];

/// CHG-03.
#[test]
fn what_an_ocs_does_to_a_session_reaches_the_watcher_and_its_end_the_ocs() {
    each_make(&MAKES, |make| {
        let lab = Lab::new("ro sessions", make);
        let mut ocs = lab.peer(make, "ocs1.test");
        ocs.start();
        subscribe_to_all(&ocs, &ocs, &format!("{make:?}"));
    });
}

/// CHG-03: RAR and ASR are routed to us by Destination-Host, and our answers the way back.
#[test]
fn the_same_behind_a_relay() {
    if !Make::FreeDiameter.is_there() {
        return;
    }
    each_make(&MAKES, |make| {
        let lab = Lab::new("ro sessions relayed", make);
        let mut ocs = lab.peer(make, "ocs1.test");
        ocs.start();
        let mut relay = lab.relay("dra1.test", &[&ocs]);
        relay.start();
        relay.until_connected(1);
        subscribe_to_all(&relay, &ocs, &format!("{make:?} behind a relay"));
    });
}

/// The whole table at once, through the peer at the `door`.
fn subscribe_to_all(door: &Peer, ocs: &Peer, place: &str) {
    let more = "subscribe = \"session\"\ntx_ms = 5000\nanswer_timeout_ms = 5000\n\
                [charging.online.sessions]\nquota = 3\nlag_ms = 100";
    let server = online("ps1.test", &[door], more);
    until_up(&server, door.host, SOON);
    std::thread::scope(|scope| {
        for row in TABLE {
            let server = &server;
            scope.spawn(move || run(row, server, ocs, &format!("{} at {place}", row.name)));
        }
    });
    server.stop();
    for row in TABLE {
        let words = asked(ocs, row.name);
        assert!(
            words.last().is_some_and(|word| word.starts_with(row.last)),
            "{}, afterwards: {words:?}",
            row.name
        );
    }
}

fn run(row: &Row, server: &Server, ocs: &Peer, at: &str) {
    let user = format!("sip:{}@ims.test", row.name);
    let icid = format!("icid-value=\"{}{}\"", row.name, row.script);
    let mut watcher = Ua::new(server.sip);
    let subscribe = Request::subscribe(&user, &user).with("P-Charging-Vector", &icid);
    let (mut dialog, first) = watcher.watch(&subscribe);
    assert!(
        first.get("subscription-state").starts_with("active"),
        "{at}"
    );
    if let Some((answer, result)) = row.told {
        is_told(ocs, row, answer, result, at);
    }
    let updated = || {
        let records = ocs.of(row.name);
        let mut words = records.iter().map(word);
        words.any(|word| word.starts_with("update")).then_some(())
    };
    if row.end == OWN {
        if row.name != "kept" {
            eventually(SOON, updated).unwrap_or_else(|| panic!("{at}: {:?}", asked(ocs, row.name)));
        }
        assert_eq!(watcher.ask(&dialog.refresh(0)).status(), Some(200), "{at}");
    }
    let last = loop {
        let told = watcher.notify(&dialog.call_id);
        if told.get("subscription-state").starts_with("term") {
            break told.get("subscription-state").to_owned();
        }
    };
    assert!(last.contains(row.end), "{at}: {last}");
    let ended = || {
        let words = asked(ocs, row.name);
        words.last()?.starts_with(row.last).then_some(())
    };
    eventually(SOON, ended).unwrap_or_else(|| panic!("{at}: {:?}", asked(ocs, row.name)));
    let records = ocs.of(row.name);
    assert_eq!(word(&records[0]), "initial", "{at}");
    let numbers = records.iter().map(|r| one(r, "CC-Request-Number"));
    let rising: Vec<String> = (0..records.len()).map(|n| n.to_string()).collect();
    assert!(numbers.eq(&rising), "{at}: {records:#?}");
    all_known(&records, at);
}

/// The OCS hears the right answer to its RAR or ASR. The update that follows a RAR has no other cause: units are left.
fn is_told(ocs: &Peer, row: &Row, answer: &str, result: &str, at: &str) {
    let session = one(&ocs.of(row.name)[0], "Session-Id").to_owned();
    let heard = || {
        let lines = ocs.records();
        let answers = lines.iter().filter(|line| line.contains_key(answer));
        let mut own = answers.filter(|line| one(line, "Session-Id") == session);
        own.next().map(|line| one(line, "Result-Code").to_owned())
    };
    let heard = eventually(SOON, heard).unwrap_or_else(|| panic!("{at}: no {answer}"));
    assert_eq!(heard, result, "{at}");
}
