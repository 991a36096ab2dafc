//! `presentia policy`: rules edited, and what they decide.

use super::*;

/// What is said after an edit is what the server then does.
#[test]
fn a_policy_is_edited_and_decides_as_it_is_told() {
    let server = Server::start("");
    let (root, sip) = (root(&server), server.sip.to_string());
    let policy = |options: &[&str]| {
        let common = ["--as", BOB, "--root", &root];
        said(&[&["policy"][..], options, &common].concat(), "")
    };
    let watch = |watcher: &str| {
        let options = [
            "watch", BOB, "--as", watcher, "--once", "--json", "--server", &sip,
        ];
        said(&options, "")
    };
    assert!(policy(&["show"]).done().out.contains("there is no policy"));
    let told = policy(&["accept", ALICE]).done().out;
    assert!(
        told.contains(&format!("{ALICE} is accepted: list 1 of the order decides")),
        "{told}"
    );
    policy(&["reject", EVE]).done();
    policy(&["default", "defer"]).done();
    policy(&["anonymous", "reject"]).done();
    let shown = policy(&["show", "--json"]).done().json();
    assert_eq!(shown["policy"]["default"], "confirm");
    assert_eq!(shown["policy"]["anonymous"], "block");
    assert_eq!(shown["policy"]["lists"][0]["people"][0], EVE);
    assert_eq!(
        watch(ALICE).done().json()["subscription"]["state"],
        "terminated"
    );
    assert_eq!(watch(EVE).code, Some(1), "rejected");
    let deferred = policy(&["check", "sip:dave@ims.test", "--json"])
        .done()
        .json();
    assert_eq!(deferred["decisions"][0]["handling"], "confirm");
    let dry = policy(&["accept", EVE, "--dry-run"]).done().out;
    assert!(
        dry.contains("<list handling=\"block\">") && dry.contains("is accepted"),
        "{dry}"
    );
    assert_eq!(watch(EVE).code, Some(1), "nothing was put");
    policy(&["accept", EVE]).done();
    assert_eq!(watch(EVE).code, Some(0));
    policy(&["remove", ALICE]).done();
    policy(&["reset"]).done();
    assert_eq!(watch(EVE).code, Some(1));
    server.stop();
}

/// XCP-04: several devices of one user edit at once, and none undoes what another has said.
#[test]
fn edits_at_the_same_time_lose_nothing() {
    let server = Server::start("");
    let root = root(&server);
    let people = ["sip:a@x", "sip:b@x", "sip:c@x", "sip:d@x"];
    let devices = people.map(|person| {
        let root = root.clone();
        std::thread::spawn(move || {
            said(
                &["policy", "accept", person, "--as", BOB, "--root", &root],
                "",
            )
            .done();
        })
    });
    for device in devices {
        device.join().unwrap();
    }
    let shown = said(
        &["policy", "show", "--as", BOB, "--root", &root, "--json"],
        "",
    )
    .done()
    .json();
    let list = shown["policy"]["lists"][0]["people"].as_array().unwrap();
    let mut listed: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
    listed.sort_unstable();
    assert_eq!(listed, people);
    server.stop();
}

#[test]
fn a_policy_in_the_words_of_oma_decides_the_same() {
    let server = Server::start("");
    let (root, sip) = (root(&server), server.sip.to_string());
    let policy = |options: &[&str]| {
        let common = ["--as", BOB, "--root", &root, "--oma", "--json"];
        said(&[&["policy"][..], options, &common].concat(), "")
            .done()
            .json()
    };
    let watch = |watcher: &str| {
        let options = ["watch", BOB, "--as", watcher, "--once", "--server", &sip];
        said(&options, "").code
    };
    let accepted = policy(&["accept", ALICE]);
    assert_eq!(
        accepted["decisions"][0]["reason"], "external-list",
        "{accepted}"
    );
    assert_eq!(
        accepted["decisions"][0]["rules"][0],
        "wp_prs_grantedcontacts"
    );
    assert_eq!(
        policy(&["polite-block", EVE])["decisions"][0]["handling"],
        "polite-block"
    );
    assert_eq!(
        (watch(ALICE), watch("sip:dave@ims.test")),
        (Some(0), Some(1))
    );
    assert_eq!(policy(&["default", "accept"])["policy"]["default"], "allow");
    assert_eq!(watch("sip:dave@ims.test"), Some(0));
    assert_eq!(
        policy(&["reject", ALICE])["decisions"][0]["handling"],
        "block"
    );
    assert_eq!(watch(ALICE), Some(1));
    server.stop();
}

#[test]
fn a_policy_of_another_kind_is_left_alone() {
    let server = Server::start("");
    let root = root(&server);
    let theirs = rules(ALICE, "allow");
    assert_eq!(server.put_rules(BOB, &theirs), 201);
    let policy = |options: &[&str]| {
        let common = ["--as", BOB, "--root", &root];
        said(&[&["policy"][..], options, &common].concat(), "")
    };
    let refused = policy(&["accept", EVE]);
    assert!(
        refused.code == Some(1) && refused.err.contains("left alone: its rules decide"),
        "{}",
        refused.err
    );
    let why = policy(&["check", ALICE]).done().out;
    assert!(
        why.contains("is accepted: a rule names this watcher"),
        "{why}"
    );
    let kept = said(&["xcap", "get", RULES, "--root", &root], "")
        .done()
        .out;
    assert_eq!(kept, theirs);
    let nobody = said(&["policy", "show", "--root", &root], "");
    assert!(
        nobody.code == Some(1) && nobody.err.contains("whose policy"),
        "{}",
        nobody.err
    );
    server.stop();
}
