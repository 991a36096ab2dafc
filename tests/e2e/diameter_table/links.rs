//! Lines that are cut, watchdogs that are lost, goodbyes of both sides, peers that die and come back.

use super::peer::{MAKES, each_make};
use super::row::{asked, flags, list};
use super::tap::number;
use super::*;

/// Flag R and the command code of a message.
fn kind(bytes: &[u8]) -> (bool, u32) {
    (bytes[4] & 0x80 != 0, number(&bytes[5..8]))
}

const WATCHDOG: u32 = 280;
const DISCONNECT: u32 = 282;

/// How many messages of this kind the server sent, and its peers.
fn passed(lab: &Lab, wanted: (bool, u32)) -> (usize, usize) {
    let capture = lab.capture.lock().unwrap();
    let of = |ours: bool| {
        let side = capture
            .iter()
            .filter(|packet| (packet.to.port() == 3868) == ours);
        side.filter(|packet| kind(&packet.bytes) == wanted).count()
    };
    (of(true), of(false))
}

fn t(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| one(record, "T")).collect()
}

/// Waits until a CDF has this row, once and with this T flag.
fn comes(cdf: &Peer, row: &str, flag: &str) {
    settles(row, PATIENCE, &list(&[flag]), || flags(cdf, row));
}

/// Session-Id, number and End-to-End Identifier: what a duplicate is recognised by (RFC 6733 §9.4).
fn names(records: &[Record]) -> Vec<[String; 3]> {
    let name = |record: &Record| {
        ["Session-Id", "Accounting-Record-Number", "E2E"].map(|name| one(record, name).to_owned())
    };
    let mut names: Vec<_> = records.iter().map(name).collect();
    names.sort();
    names
}

/// CHG-02.
#[test]
fn records_go_to_the_other_cdf_when_a_line_breaks_and_come_back_when_it_is_whole() {
    each_make(&MAKES, |make| {
        let lab = Lab::new("rf links", make);
        let (mut first, mut second) = (lab.peer(make, "cdf1.test"), lab.peer(make, "cdf2.test"));
        first.launch();
        second.start();
        first.until_listening();
        let server = offline(&[&first, &second], "answer_timeout_ms = 60000");
        until_up(&server, first.host, SOON);
        until_up(&server, second.host, SOON);

        // the line is cut under records that are not answered
        (0..3).for_each(|i| publish(&server, &format!("cut{i}"), "!cdf1=silent"));
        let lost = first.sessions(3, SOON);
        first.tap.cut();
        let moved = second.sessions(3, SOON);
        until(&server, SOON, DEPTH, 0);
        assert_eq!(
            (t(&lost), t(&moved)),
            (vec!["0"; 3], vec!["1"; 3]),
            "{make:?}"
        );
        assert_eq!(names(&lost), names(&moved), "{make:?}");

        // after three watchdogs the first one is used again (RFC 3539 §3.4.1)
        until_up(&server, first.host, REOPENED);
        let row = until_taken(&server, &first, "reopened");
        comes(&first, &row, "0");

        // it says goodbye: nothing is lost, nothing is doubted, and it is used again at once
        first.terminate();
        until_down(&server, first.host, SOON);
        publish(&server, "goodbye", "");
        comes(&second, "goodbye", "0");
        first.start();
        until_up(&server, first.host, SOON);
        publish(&server, "returned", "");
        comes(&first, "returned", "0");

        // it takes records and watchdogs and says nothing: others take over once it is suspect
        first.tap.lose(Loss::Watchdogs);
        publish(&server, "suspect", "!cdf1=silent");
        comes(&first, "suspect", "0");
        comes(&second, "suspect", "1");
        assert_eq!(
            names(&first.of("suspect")),
            names(&second.of("suspect")),
            "{make:?}"
        );
        first.tap.lose(Loss::Nothing);
        server.stop();

        let (ours, theirs) = passed(&lab, (true, DISCONNECT));
        assert!(
            ours >= 1 && theirs >= 1,
            "goodbyes of both sides: {ours}, {theirs}, {make:?}"
        );
        let (ours, _) = passed(&lab, (true, WATCHDOG));
        let (_, answers) = passed(&lab, (false, WATCHDOG));
        assert!(
            ours >= 3 && answers >= 3,
            "watchdogs: {ours}, {answers}, {make:?}"
        );
    });
}

/// A PUBLISH that is held up by `first`, while `meanwhile` happens; its status.
fn held(
    server: &Server,
    first: &Peer,
    row: &str,
    script: &str,
    meanwhile: impl FnOnce(),
) -> Option<u16> {
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| ask(server, &publication(row, script)).status());
        settles(row, SOON, &1, || first.of(row).len());
        meanwhile();
        asking.join().unwrap()
    })
}

/// CHG-03.
#[test]
fn credit_is_asked_elsewhere_when_a_line_breaks_and_debits_wait_for_an_ocs() {
    each_make(&MAKES, |make| {
        let lab = Lab::new("ro links", make);
        let (mut first, mut second) = (lab.peer(make, "ocs1.test"), lab.peer(make, "ocs2.test"));
        first.launch();
        second.start();
        first.until_listening();
        let ocss = [&first, &second];
        let patient = "tx_ms = 8000\nanswer_timeout_ms = 60000";
        let debits = online("ps1.test", &ocss, &format!("publish = \"iec\"\n{patient}"));
        let sessions = online("ps2.test", &ocss, &format!("publish = \"ecur\"\n{patient}"));
        for server in [&debits, &sessions] {
            ocss.iter().for_each(|ocs| until_up(server, ocs.host, SOON));
        }

        // RFC 8506 §6.5 and §5.7: the other one is asked, with T
        let cut = || first.tap.cut();
        assert_eq!(
            held(&debits, &first, "cut", "!ocs1=silent", cut),
            Some(200),
            "{make:?}"
        );
        let rows = [(&first, vec!["debit"]), (&second, vec!["debit T"])];
        rows.iter()
            .for_each(|(ocs, row)| assert_eq!(asked(ocs, "cut"), *row, "{make:?}"));
        let same = |name: &str| {
            let all = [first.of("cut"), second.of("cut")].concat();
            one(&all[0], name) == one(&all[1], name)
        };
        assert!(
            ["Session-Id", "CC-Request-Number", "E2E"]
                .into_iter()
                .all(same),
            "{make:?}"
        );
        assert_eq!(ask(&debits, &publication("down", "")).status(), Some(200));
        assert_eq!(asked(&second, "down"), ["debit"], "{make:?}");

        // a session cannot be opened while nobody is there, and a debit waits
        first.kill9();
        second.kill9();
        for server in [&debits, &sessions] {
            [&first, &second]
                .iter()
                .for_each(|ocs| until_down(server, ocs.host, SOON));
        }
        let refused = ask(&sessions, &publication("nobody", ""));
        assert_eq!(refused.status(), Some(503), "{make:?}");
        assert!(!refused.get("retry-after").is_empty(), "{make:?}");
        assert_eq!(
            ask(&debits, &publication("waits", "")).status(),
            Some(200),
            "{make:?}"
        );
        second.start();
        settles("waits", REOPENED, &vec!["debit T".to_owned()], || {
            asked(&second, "waits")
        });
        debits.stop();
        sessions.stop();
        assert_eq!(asked(&second, "nobody"), Vec::<String>::new(), "{make:?}");
    });
}

/// CHG-03: packets are lost in a network that does not say so.
#[test]
fn a_partition_is_decided_by_tx_and_the_failure_handling() {
    each_make(&MAKES, |make| {
        let lab = Lab::new("ro partition", make);
        let mut ocs = lab.peer(make, "ocs1.test");
        ocs.start();
        let short = "tx_ms = 1000\nanswer_timeout_ms = 1500";
        let rows = [
            ("ps1.test", "publish = \"iec\"", 200, "debit T"),
            (
                "ps2.test",
                "publish = \"iec\"\nddfh = \"continue\"",
                200,
                "",
            ),
            ("ps3.test", "publish = \"ecur\"", 503, ""),
            (
                "ps4.test",
                "publish = \"ecur\"\nccfh = \"continue\"",
                200,
                "final 1",
            ),
            (
                "ps5.test",
                "publish = \"ecur\"\nccfh = \"retry_and_terminate\"",
                200,
                "final 1",
            ),
        ];
        let start = |(host, mode, ..): &(&str, &str, u16, &str)| {
            online(host, &[&ocs], &format!("{mode}\n{short}"))
        };
        let servers: Vec<Server> = rows.iter().map(start).collect();
        servers
            .iter()
            .for_each(|server| until_up(server, ocs.host, SOON));
        ocs.tap.lose(Loss::Everything);
        for ((host, _, status, _), server) in rows.iter().zip(&servers) {
            let answer = ask(server, &publication(host, ""));
            assert_eq!(answer.status(), Some(*status), "{host} at {make:?}");
        }
        ocs.tap.lose(Loss::Nothing);
        for (host, _, _, owed) in rows {
            let owed: Vec<String> = (!owed.is_empty())
                .then(|| owed.to_owned())
                .into_iter()
                .collect();
            settles(&format!("{host} at {make:?}"), REOPENED, &owed, || {
                asked(&ocs, host)
            });
        }
        servers.into_iter().for_each(Server::stop);
    });
}
