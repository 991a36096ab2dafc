//! Whom the core names in P-Charging-Function-Addresses: `ccf` for records, `ecf` for questions, primary and secondary, and
//! those of the configuration where it names nobody (TS 24.229 §4.5.3).

use super::peer::{MAKES, each_make};
use super::row::{all_known, asked, flags, list};
use super::*;

/// What the core says, by the first labels of whom it names; who gets the record, and who is asked.
type Case = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
    &'static str,
    &'static str,
);

const TABLE: &[Case] = &[
    ("nobody", &[], &[], "cdf1", "ocs1"),
    ("ccf", &["cdf2"], &[], "cdf2", "ocs1"),
    ("ecf", &[], &["ocs2"], "cdf1", "ocs2"),
    ("both", &["cdf2"], &["ocs2"], "cdf2", "ocs2"),
    (
        "secondaries",
        &["dead", "cdf2"],
        &["dead", "ocs2"],
        "cdf2",
        "ocs2",
    ),
    ("dead", &["dead"], &["dead"], "cdf1", "ocs1"),
    ("configured", &["cdf1"], &["ocs1"], "cdf1", "ocs1"),
];

/// CHG-01 and CHG-03.
#[test]
fn whom_the_core_names_gets_the_record_and_is_asked() {
    each_make(&MAKES, |make| {
        let lab = Lab::new("named", make);
        let mut all =
            ["cdf1.test", "cdf2.test", "ocs1.test", "ocs2.test"].map(|host| lab.peer(make, host));
        all.iter_mut().for_each(Peer::launch);
        all.iter_mut().for_each(Peer::until_listening);
        let [cdf1, _, ocs1, _] = &all;
        let mut settings = asking("ps.test", &[ocs1], "publish = \"iec\"\ntx_ms = 8000");
        settings += &place("charging.peers", cdf1, 0);
        let server = Server::start(&settings);
        for peer in [cdf1, ocs1] {
            until_up(&server, peer.host, SOON);
        }
        let known = |label: &str| {
            all.iter()
                .find(|peer| peer.host.split('.').next() == Some(label))
        };
        let at = |label: &&str| known(label).map_or(1, |peer| peer.tap.port);
        for (row, ccf, ecf, cdf, ocs) in TABLE {
            let values = |name: &'static str, labels: &[&str]| -> Vec<String> {
                let value =
                    |label| format!("{name}=\"aaa://127.0.0.1:{};transport=tcp\"", at(label));
                labels.iter().map(value).collect()
            };
            let said = [values("ccf", ccf), values("ecf", ecf)].concat().join(";");
            let mut request = publication(row, "");
            if !said.is_empty() {
                request = request.with("P-Charging-Function-Addresses", said);
            }
            let here = format!("{row} at {make:?}");
            assert_eq!(ask(&server, &request).status(), Some(200), "{here}");
            for peer in &all {
                let label = label_of(peer);
                let here = format!("{here}, {label}");
                settles(&here, SOON, &wanted(label, cdf, ocs), || got(peer, row));
                let named = ccf.contains(&label) || ecf.contains(&label);
                for record in peer.of(row) {
                    let host = record
                        .get("Destination-Host")
                        .map(|hosts| hosts[0].as_str());
                    assert_eq!(host, named.then_some(peer.host), "{here}");
                    all_known(&[record], &here);
                }
            }
        }
        until(&server, SOON, DEPTH, 0);
        server.stop();
        for ((row, _, _, cdf, ocs), peer) in TABLE
            .iter()
            .flat_map(|row| all.iter().map(move |peer| (row, peer)))
        {
            let wanted = wanted(label_of(peer), cdf, ocs);
            assert_eq!(
                got(peer, row),
                wanted,
                "{row} at {make:?}, {}, afterwards",
                peer.host
            );
        }
    });
}

fn label_of(peer: &Peer) -> &'static str {
    peer.host.split('.').next().unwrap()
}

fn got(peer: &Peer, row: &str) -> Vec<String> {
    match peer.host.starts_with("cdf") {
        true => flags(peer, row),
        false => asked(peer, row),
    }
}

fn wanted(label: &str, cdf: &str, ocs: &str) -> Vec<String> {
    match label {
        label if label == cdf => list(&["0"]),
        label if label == ocs => list(&["debit"]),
        _ => Vec::new(),
    }
}
