//! Changes of whole documents and of collections, in each mode.

use super::*;

/// A list that is longer than a patch of two entries.
const BASE: [&str; 6] = ["someone", "anyone", "nobody", "everyone", "others", "rest"];

#[test]
fn the_first_notify_lists_what_is_there_and_each_change_follows() {
    let mut bench = bench();
    let (e1, _) = bench.edit(BOB, LIST, &list(&["a"]));
    let sent = bench.ask_for(BOB, "xcap-diff", "", &wanted(&[LIST, RULES]));
    assert_eq!(sent[0].status(), 200);
    assert_eq!(sent[0].get("Expires"), "3600");
    assert!(sent[0].get("Allow-Events").contains("xcap-diff"));
    let notify = &sent[1];
    assert_eq!(notify.get("Event"), "xcap-diff");
    assert_eq!(notify.get("Content-Type"), "application/xcap-diff+xml");
    assert_eq!(notify.get("Subscription-State"), "active;expires=3600");
    let first = bench.told(&sent[1..]);
    assert_eq!(
        said(&first),
        [format!("document {LIST} >{e1}")],
        "what is not there is not spoken of"
    );
    bench.wait(5_000);

    let (e2, sent) = bench.edit(BOB, LIST, &list(&["a", "b"]));
    let body = bench.told(&sent);
    assert_eq!(said(&body), [format!("document {LIST} {e1}>{e2}")]);
    bench.wait(5_000);
    let (_, sent) = bench.edit(BOB, LIST, "");
    let body = bench.told(&sent);
    assert_eq!(said(&body), [format!("document {LIST} {e2}>")]);
    bench.wait(5_000);
    let (e3, sent) = bench.edit(BOB, LIST, &list(&["a"]));
    assert_eq!(said(&bench.told(&sent)), [format!("document {LIST} >{e3}")]);
}

#[test]
fn a_mode_is_never_more_complex_than_the_one_asked_for() {
    for (event, expected) in [
        ("xcap-diff", vec!["{1}>{3}"]),
        ("xcap-diff;diff-processing=no-patching", vec!["{1}>{3}"]),
        ("xcap-diff;diff-processing=what-is-this", vec!["{1}>{3}"]),
        (
            "xcap-diff;diff-processing=xcap-patching",
            vec!["{1}>{2} add", "{2}>{3} add"],
        ),
        (
            "xcap-diff;diff-processing=\"xcap-patching\"",
            vec!["{1}>{2} add", "{2}>{3} add"],
        ),
        ("xcap-diff;diff-processing=aggregate", vec!["{1}>{3} add"]),
    ] {
        let mut bench = bench();
        let (e1, _) = bench.edit(BOB, LIST, &list(&BASE));
        let sent = bench.ask_for(BOB, event, "", &wanted(&[LIST]));
        // two changes before the first NOTIFY is answered
        let (e2, none) = bench.edit(BOB, LIST, &list(&[&BASE[..], &["b"]].concat()));
        assert!(none.is_empty(), "{event}: one NOTIFY at a time");
        let (e3, none) = bench.edit(BOB, LIST, &list(&[&BASE[..], &["b", "c"]].concat()));
        assert!(none.is_empty());
        assert!(
            bench.answer(&sent[1], 200, "").is_empty(),
            "nor before the pace allows"
        );
        let sent = bench.wait(5_000);
        let body = bench.told(&sent);
        let expected: Vec<String> = expected
            .iter()
            .map(|text| {
                let text = text
                    .replace("{1}", &e1)
                    .replace("{2}", &e2)
                    .replace("{3}", &e3);
                format!("document {LIST} {text}")
            })
            .collect();
        assert_eq!(said(&body), expected, "{event}");
        assert!(bench.wait(20_000).is_empty(), "{event}: it is told once");
    }
}

#[test]
fn a_change_of_form_alone_is_told_by_its_tags() {
    let mut bench = bench();
    let (e1, _) = bench.edit(BOB, LIST, &list(&["a"]));
    bench.told_of("xcap-diff;diff-processing=xcap-patching", &[LIST]);
    let spaced = list(&["a"]).replace("><", "> <");
    let (e2, sent) = bench.edit(BOB, LIST, &spaced);
    assert_eq!(
        said(&bench.told(&sent)),
        [format!("document {LIST} {e1}>{e2}")]
    );
}

#[test]
fn more_changes_than_are_kept_fall_back_to_tags_and_patches_come_again_after_that() {
    let mut bench = Bench::new(with(|xdm| xdm.diff.max_changes = 3));
    let (e1, _) = bench.edit(BOB, LIST, &list(&["a"]));
    let sent = bench.ask_for(
        BOB,
        "xcap-diff;diff-processing=xcap-patching",
        "",
        &wanted(&[LIST]),
    );
    let mut last = String::new();
    for n in 0..4 {
        last = bench.edit(BOB, LIST, &list(&["a", &format!("b{n}")])).0;
    }
    bench.answer(&sent[1], 200, "");
    let sent = bench.wait(5_000);
    assert_eq!(
        said(&bench.told(&sent)),
        [format!("document {LIST} {e1}>{last}")]
    );
    bench.wait(5_000);
    let (e2, sent) = bench.edit(BOB, LIST, &list(&["a", "b3", "c"]));
    assert_eq!(
        said(&bench.told(&sent)),
        [format!("document {LIST} {last}>{e2} add")]
    );
}

#[test]
fn a_body_that_would_be_too_long_has_tags_only() {
    let mut bench = Bench::new(with(|xdm| xdm.diff.max_body = 700));
    let (e1, _) = bench.edit(BOB, LIST, &list(&["a"]));
    bench.told_of("xcap-diff;diff-processing=aggregate", &[LIST]);
    let many: Vec<String> = (0..40).map(|n| format!("somebody{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let (e2, sent) = bench.edit(BOB, LIST, &list(&many));
    assert_eq!(
        said(&bench.told(&sent)),
        [format!("document {LIST} {e1}>{e2}")]
    );
}

#[test]
fn what_came_and_went_between_two_notifys_is_not_told() {
    let mut bench = bench();
    let sent = bench.ask_for(BOB, "xcap-diff", "", &wanted(&[LIST]));
    bench.edit(BOB, LIST, &list(&["a"]));
    bench.edit(BOB, LIST, "");
    bench.answer(&sent[1], 200, "");
    assert!(bench.wait(20_000).is_empty());
}

#[test]
fn a_collection_is_what_its_reader_may_read_of_it_now_and_later() {
    let rules = "<ruleset xmlns=\"urn:ietf:params:xml:ns:common-policy\"/>";
    for (case, who, uri, sees) in [
        (
            "of the owner",
            BOB,
            "resource-lists/users/sip:bob@ims.test/",
            vec![LIST],
        ),
        ("of all users", BOB, "resource-lists/users/", vec![LIST]),
        ("of a usage", BOB, "resource-lists/", vec![LIST]),
        (
            "of everything",
            BOB,
            "http://xcap.ims.test/root/",
            vec![LIST, RULES],
        ),
        (
            "with an escape",
            BOB,
            "resource-lists/users/sip%3Abob%40ims.test/",
            vec![LIST],
        ),
        (
            "without the last slash",
            BOB,
            "resource-lists/users/sip:bob@ims.test",
            vec![],
        ),
        ("of another usage", BOB, "pidf-manipulation/", vec![]),
        (
            "of somebody else",
            CAROL,
            "resource-lists/users/sip:bob@ims.test/",
            vec![],
        ),
        (
            "of all users, by somebody else",
            CAROL,
            "resource-lists/users/",
            vec![],
        ),
        ("by a server", SERVER, "resource-lists/users/", vec![LIST]),
        (
            "below a directory that is not there",
            BOB,
            "resource-lists/users/sip:bob@ims.test/d/",
            vec![],
        ),
    ] {
        let mut bench = bench();
        let (e1, _) = bench.edit(BOB, LIST, &list(&["a"]));
        bench.edit(BOB, RULES, rules);
        let sent = bench.ask_for(who, "xcap-diff", "", &wanted(&[uri]));
        let told = said(sent[1].body());
        let sels: Vec<&str> = told.iter().map(|t| t.split(' ').nth(1).unwrap()).collect();
        let mut expected = sees.clone();
        expected.sort();
        assert_eq!(sels, expected, "{case}");
        bench.answer(&sent[1], 200, "");
        bench.wait(5_000);
        let (e2, sent) = bench.edit(BOB, LIST, &list(&["b"]));
        if sees.contains(&LIST) {
            assert_eq!(
                said(&bench.told(&sent)),
                [format!("document {LIST} {e1}>{e2}")],
                "{case}"
            );
        } else {
            assert!(sent.is_empty() && bench.wait(20_000).is_empty(), "{case}");
        }
    }
}

#[test]
fn what_is_asked_for_twice_is_told_once_and_in_the_words_of_the_asker() {
    let mut bench = bench();
    let (e1, _) = bench.edit(BOB, LIST, &list(&["a"]));
    let absolute = "http://xcap.ims.test/root/resource-lists/users/sip%3abob@ims.test/index";
    let uris = [
        absolute,
        LIST,
        "resource-lists/users/sip:bob@ims.test/",
        absolute,
    ];
    let sent = bench.ask_for(BOB, "xcap-diff", "", &wanted(&uris));
    assert_eq!(
        said(&bench.told(&sent[1..])),
        [format!("document {absolute} >{e1}")]
    );
}

#[test]
fn somebody_elses_documents_look_like_none() {
    let mut bench = bench();
    bench.edit(BOB, LIST, &list(&["a"]));
    let there = bench.ask_for(CAROL, "xcap-diff", "", &wanted(&[LIST]));
    let missing = bench.ask_for(
        CAROL,
        "xcap-diff",
        "",
        &wanted(&[LIST.replace("bob", "nobody").as_str()]),
    );
    assert_eq!(there[1].body(), missing[1].body());
    assert_eq!(there[1].get("SIP-ETag"), missing[1].get("SIP-ETag"));
    assert!(said(there[1].body()).is_empty());
    bench.answer(&there[1], 200, "");
    bench.wait(5_000);
    assert!(bench.edit(BOB, LIST, "").1.is_empty());
}

#[test]
fn a_thousand_subscribers_of_one_change_are_all_told_of_it_at_once() {
    let mut settings = with(|xdm| xdm.diff.max_subscriptions_per_user = 2_000);
    settings.subscriptions = 2_000;
    settings.transactions.max_transactions = 10_000;
    let mut bench = Bench::new(settings);
    let (e1, _) = bench.edit(BOB, LIST, &list(&["a"]));
    let event = "xcap-diff;diff-processing=aggregate";
    for _ in 0..1_000 {
        let sent = bench.ask_for(BOB, event, "", &wanted(&[LIST]));
        bench.answer(&sent[1], 200, "");
    }
    bench.wait(5_000);
    let (e2, sent) = bench.edit(BOB, LIST, &list(&["a", "b"]));
    assert_eq!(sent.len(), 1_000);
    assert!(sent.iter().all(|s| s.body() == sent[0].body()));
    assert_eq!(
        said(sent[0].body()),
        [format!("document {LIST} {e1}>{e2} add")]
    );
}

#[test]
fn what_the_server_makes_of_documents_is_told_when_these_change() {
    let directory = "org.openmobilealliance.xcap-directory/users/sip:bob@ims.test/directory.xml";
    let mut bench = bench();
    bench.edit(BOB, LIST, &list(&["a"]));
    let (_, first) = bench.told_of("xcap-diff;diff-processing=xcap-patching", &[directory]);
    let was = said(first.body());
    assert_eq!(was.len(), 1, "{was:?}");
    let (_, sent) = bench.edit(BOB, LIST, &list(&["a", "b"]));
    let told = said(&bench.told(&sent));
    let before = was[0].rsplit('>').next().unwrap();
    assert!(
        told[0].starts_with(&format!("document {directory} {before}>")),
        "{told:?}"
    );
    let of_carol = LIST.replace("bob", "carol");
    assert!(bench.edit(CAROL, &of_carol, &list(&["a"])).1.is_empty());
}

#[test]
fn what_one_reader_was_granted_is_not_shown_to_the_next_who_subscribes() {
    let mut settings = with(|_| {});
    settings.presence.default_handling = None;
    let mut bench = Bench::new(settings);
    bench.rules("allow", ""); // alice may see presence, and with it the icon
    let icon = format!("org.openmobilealliance.pres-content/users/{BOB}/oma_status-icon/happy");
    let body = "<content xmlns=\"urn:oma:xml:prs:pres-content\"><mime-type>image/png</mime-type>\
        <encoding>base64</encoding><data>AAAA</data></content>";
    for (who, method) in [(BOB, xdm::Method::Put), (ALICE, xdm::Method::Get)] {
        let request = xdm::Request {
            method,
            target: icon.clone(),
            query: None,
            content_type: Some("application/vnd.oma.pres-content+xml".into()),
            content_encoding: None,
            if_match: None,
            if_none_match: None,
            body: body.into(),
            identity: xdm::Identity::User(who.into()),
        };
        bench.feed(Input::Xcap {
            number: 1,
            request: &request,
        });
        let mut effects = bench.out.held.iter().chain(&bench.out.free);
        let taken =
            |e: &Effect| matches!(e, Effect::Xcap { response, .. } if response.status < 300);
        assert!(effects.any(taken), "{who}: {:?}", bench.out);
    }
    for (who, sees) in [(CAROL, 0), (BOB, 1)] {
        let sent = bench.ask_for(who, "xcap-diff", "", &wanted(&[&icon]));
        assert_eq!(said(sent[1].body()).len(), sees, "{who}");
    }
}
