//! freeDiameter as a relay between the server and the peers: two relays, each with a CDF and an OCS of its own behind it,
//! and dead ones behind it.

use super::peer::{MAKES, each_make};
use super::row::{asked, flags, list};
use super::*;

/// CHG-01 to CHG-03, with whatever make behind the relays.
#[test]
fn relays_route_by_realm_and_what_one_cannot_deliver_goes_through_the_other() {
    if !Make::FreeDiameter.is_there() {
        return;
    }
    each_make(&MAKES, |make| {
        let lab = Lab::new("relays", make);
        let mut behind =
            ["cdf1.test", "ocs1.test", "cdf2.test", "ocs2.test"].map(|host| lab.peer(make, host));
        behind.iter_mut().for_each(Peer::launch);
        behind.iter_mut().for_each(Peer::until_listening);
        let [mut cdf1, mut ocs1, cdf2, ocs2] = behind;
        let mut relays = [
            lab.relay("dra1.test", &[&cdf1, &ocs1]),
            lab.relay("dra2.test", &[&cdf2, &ocs2]),
        ];
        relays.iter_mut().for_each(Peer::launch);
        relays.iter_mut().for_each(Peer::until_listening);
        let [first, second] = &relays;
        for relay in &relays {
            relay.until_connected(2);
        }
        let patient = "tx_ms = 8000\nanswer_timeout_ms = 30000";
        // Rf and Ro share a connection to each relay
        let mut settings = asking(
            "ps.test",
            &[first, second],
            &format!("publish = \"iec\"\n{patient}"),
        );
        for (priority, relay) in relays.iter().enumerate() {
            settings += &place("charging.peers", relay, priority);
        }
        let server = Server::start(&settings);
        let sessions = online(
            "ps2.test",
            &[first, second],
            &format!("publish = \"ecur\"\n{patient}"),
        );
        for server in [&server, &sessions] {
            relays
                .iter()
                .for_each(|relay| until_up(server, relay.host, SOON));
        }
        let at = |row: &str| format!("{row} behind a relay, {make:?}");

        // the realm is served behind the relay, which says that it was on the way
        publish(&server, "plain", "");
        settles(&at("plain"), SOON, &list(&["0"]), || flags(&cdf1, "plain"));
        assert_eq!(asked(&ocs1, "plain"), ["debit"]);
        for record in [&cdf1.of("plain")[0], &ocs1.of("plain")[0]] {
            assert_eq!(record["Route-Record"][0], "ps.test"); // freeDiameter behind it adds where it got it from
        }
        assert_eq!(
            ask(&sessions, &publication("session", "")).status(),
            Some(200)
        );
        settles(&at("session"), SOON, &list(&["initial", "final 1"]), || {
            asked(&ocs1, "session")
        });
        assert_eq!(
            ask(&sessions, &publication("spent", "!ocs1=4012")).status(),
            Some(402)
        );

        // the line to the first relay breaks under a record and a debit
        publish(&server, "record", "!cdf1=silent");
        settles(&at("record"), SOON, &1, || cdf1.of("record").len());
        let status = std::thread::scope(|scope| {
            let debit =
                scope.spawn(|| ask(&server, &publication("debit", "!ocs1=silent")).status());
            settles(&at("debit"), SOON, &1, || ocs1.of("debit").len());
            first.tap.cut();
            debit.join().unwrap()
        });
        assert_eq!(status, Some(200), "{}", at("debit"));
        settles(&at("record"), SOON, &list(&["1"]), || {
            flags(&cdf2, "record")
        });
        assert_eq!(asked(&ocs2, "debit"), ["debit T"]);
        for (row, before, after) in [("record", &cdf1, &cdf2), ("debit", &ocs1, &ocs2)] {
            for name in ["Session-Id", "E2E"] {
                assert_eq!(
                    one(&before.of(row)[0], name),
                    one(&after.of(row)[0], name),
                    "{}",
                    at(row)
                );
            }
        }
        for server in [&server, &sessions] {
            until_up(server, first.host, REOPENED);
            until_taken(server, &ocs1, "reopened");
        }

        // those behind the first relay die: it answers 3002, and the second one is asked, without T
        cdf1.kill9();
        ocs1.kill9();
        for host in ["cdf1.test", "ocs1.test"] {
            first.until_said(&format!("-> 'STATE_CLOSED'\t'{host}'"), 1);
        }
        publish(&server, "dead", "");
        settles(&at("dead"), PATIENCE, &list(&["0"]), || {
            flags(&cdf2, "dead")
        });
        assert_eq!(asked(&ocs2, "dead"), ["debit"]);
        assert_eq!(
            ask(&sessions, &publication("dead-session", "")).status(),
            Some(200)
        );
        settles(&at("dead"), SOON, &list(&["initial", "final 1"]), || {
            asked(&ocs2, "dead-session")
        });
        server.stop();
        sessions.stop();
        assert!(
            lab.judged()
                .contains("Result-Code: DIAMETER_UNABLE_TO_DELIVER (3002)"),
            "{make:?}"
        );
    });
}
