//! Credit that lasts as long as a subscription, at OCSs of other makes: what each of them does to an open session, and
//! what the watcher and the OCS then hear.

use super::peer::{MAKES, each_make};
use super::ro::word;
use super::*;

/// One subscription. What its OCS is told, what it may hear of its RAR or ASR, and the end: the watcher's own, or the reason
/// that it is told.
struct Row {
    name: &'static str,
    script: &'static str,
    told: Option<(&'static str, &'static [&'static str])>,
    end: &'static str,
}

const fn row(
    name: &'static str,
    script: &'static str,
    told: Option<(&'static str, &'static [&'static str])>,
    end: &'static str,
) -> Row {
    Row {
        name,
        script,
        told,
        end,
    }
}

const OWN: &str = "timeout";
const WITHDRAWN: &str = "probation";

/// A RAR is answered with 2002, or with 2001 where an update is under way at that moment (RFC 8506 §5.5).
const TABLE: &[Row] = &[
    row("kept", "", None, OWN),
    row(
        "asked-again",
        "!ocs1=2001+rar,2001",
        Some(("RAA", &["2002", "2001"])),
        OWN,
    ),
    row(
        "aborted",
        "!ocs1=2001+asr,2001",
        Some(("ASA", &["2001"])),
        WITHDRAWN,
    ),
    row("last-units", "!ocs1=2001+fui,2001", None, WITHDRAWN),
    row("limited", "!ocs1=2001,4012", None, WITHDRAWN),
    row("renewed", "!ocs1=2001+vt=1,2001", None, OWN),
];

/// CHG-03.
#[test]
fn what_an_ocs_does_to_a_session_reaches_the_watcher_and_its_end_the_ocs() {
    each_make(&MAKES, |make| {
        let lab = Lab::new("ro sessions", make);
        let mut ocs = lab.peer(make, "ocs1.test");
        ocs.start();
        let more = "subscribe = \"session\"\ntx_ms = 5000\nanswer_timeout_ms = 5000\n\
                    [charging.online.sessions]\nquota = 3\nlag_ms = 100";
        let server = online("ps1.test", &[&ocs], more);
        until_up(&server, ocs.host, SOON);
        std::thread::scope(|scope| {
            for row in TABLE {
                let asks = row.told.is_some();
                if !(asks && make == Make::FreeDiameter) {
                    let (server, ocs) = (&server, &ocs);
                    scope.spawn(move || run(row, server, ocs, make));
                }
            }
        });
        server.stop();
    });
}

fn run(row: &Row, server: &Server, ocs: &Peer, make: Make) {
    let at = format!("{} at {make:?}", row.name);
    let user = format!("sip:{}@ims.test", row.name);
    let icid = format!("icid-value=\"{}{}\"", row.name, row.script);
    let mut watcher = Ua::new(server.sip);
    let subscribe = Request::subscribe(&user, &user).with("P-Charging-Vector", &icid);
    let (mut dialog, first) = watcher.watch(&subscribe);
    assert!(
        first.get("subscription-state").starts_with("active"),
        "{at}"
    );
    let words = || ocs.of(row.name).iter().map(word).collect::<Vec<_>>();
    if let Some((answer, results)) = row.told {
        let session = one(&ocs.of(row.name)[0], "Session-Id").to_owned();
        let heard = || {
            let answers = ocs.records();
            let of = |record: &&Record| {
                record.contains_key(answer) && one(record, "Session-Id") == session
            };
            answers
                .iter()
                .find(of)
                .map(|record| one(record, "Result-Code").to_owned())
        };
        let heard = eventually(SOON, heard).unwrap_or_else(|| panic!("{at}: no {answer}"));
        assert!(results.contains(&heard.as_str()), "{at}: {heard}");
    }
    if row.end == OWN {
        let updates = || {
            words()
                .iter()
                .filter(|word| word.starts_with("update"))
                .count()
        };
        let wanted = usize::from(row.name != "kept");
        eventually(SOON, || (updates() >= wanted).then_some(()))
            .unwrap_or_else(|| panic!("{at}: {:?}", words()));
        assert_eq!(watcher.ask(&dialog.refresh(0)).status(), Some(200), "{at}");
    }
    let last = loop {
        let told = watcher.notify(&dialog.call_id);
        if told.get("subscription-state").starts_with("term") {
            break told.get("subscription-state").to_owned();
        }
    };
    assert!(last.contains(row.end), "{at}: {last}");
    // a session that its server has refused to go on with is over there (RFC 8506 Table 6)
    let over = if row.name == "limited" {
        "update"
    } else {
        "final"
    };
    let ended = || {
        words()
            .last()
            .filter(|word| word.starts_with(over))
            .map(|_| ())
    };
    eventually(SOON, ended).unwrap_or_else(|| panic!("{at}: {:?}", words()));
    assert_eq!(words()[0], "initial", "{at}");
    let numbers: Vec<String> = ocs
        .of(row.name)
        .iter()
        .map(|r| one(r, "CC-Request-Number").to_owned())
        .collect();
    let rising: Vec<String> = (0..numbers.len()).map(|n| n.to_string()).collect();
    assert_eq!(numbers, rising, "{at}");
}
