//! SUBSCRIBE: what is taken and what is refused, refreshes and ends, and the names before RFC 5875.

use super::*;

#[test]
fn what_is_wrong_with_a_subscribe_is_said() {
    let list = wanted(&[LIST]);
    let many: Vec<String> = (0..101).map(|n| format!("{LIST}{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let (most, too_many) = (wanted(&many[1..]), wanted(&many));
    for (case, who, event, more, body, status) in [
        ("in order", BOB, "xcap-diff", "", list.as_str(), 200),
        ("nobody asks", "", "xcap-diff", "", &list, 403),
        ("another package", BOB, "xcap-diffs", "", &list, 489),
        (
            "its type is named",
            BOB,
            "xcap-diff",
            "Accept: text/plain, application/xcap-diff+xml\r\n",
            &list,
            200,
        ),
        (
            "its type is not taken",
            BOB,
            "xcap-diff",
            "Accept: application/pidf+xml\r\n",
            &list,
            406,
        ),
        (
            "a body of another type",
            BOB,
            "xcap-diff",
            "Content-Type: text/plain\r\n",
            "x",
            415,
        ),
        (
            "one that may be ignored",
            BOB,
            "xcap-diff",
            "Content-Type: text/plain\r\nContent-Disposition: x;handling=optional\r\n",
            "x",
            200,
        ),
        ("no XML", BOB, "xcap-diff", "", "x", 400),
        (
            "another document",
            BOB,
            "xcap-diff",
            "",
            "<resource-lists/>",
            400,
        ),
        (
            "a bomb",
            BOB,
            "xcap-diff",
            "",
            "<!DOCTYPE a [<!ENTITY b \"c\">]><resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"/>",
            400,
        ),
        (
            "no list in it",
            BOB,
            "xcap-diff",
            "",
            "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"/>",
            200,
        ),
        ("as many as may be", BOB, "xcap-diff", "", &most, 200),
        ("one more", BOB, "xcap-diff", "", &too_many, 488),
        ("too brief", BOB, "xcap-diff", "Expires: 59\r\n", &list, 423),
        ("without a body", BOB, "xcap-diff", "", "", 200),
        (
            "a URI that is none",
            BOB,
            "xcap-diff",
            "",
            &wanted(&["\u{0}", "", "::::", "/", "//x", "a/../b"].map(|u| u.trim_matches('\0'))),
            200,
        ),
    ] {
        let mut bench = bench();
        let sent = bench.ask_for(who, event, more, body);
        assert_eq!(sent[0].status(), status, "{case}: {}", sent[0].text);
        assert_eq!(sent.len(), if status == 200 { 2 } else { 1 }, "{case}");
        if status == 200 {
            valid(sent[1].body());
        }
    }
}

#[test]
fn the_server_and_every_user_of_the_domain_may_be_asked() {
    for (uri, status) in [
        ("sip:ims.test", 200),
        ("sip:xdms@ims.test", 200),
        ("sip:10.0.0.1:5060", 200),
        ("sip:10.0.0.1", 200),
        ("tel:+361", 200),
        ("sip:elsewhere.test", 404),
        ("http://ims.test/", 416),
    ] {
        let mut bench = bench();
        let head = format!(
            "Event: xcap-diff\r\nP-Asserted-Identity: <{BOB}>\r\nContact: <sip:10.0.0.2:5060>\r\nTo: <sip:x@ims.test>\r\n\
             Content-Type: application/resource-lists+xml\r\n"
        );
        let sent = bench.ask("SUBSCRIBE", uri, &head, &wanted(&[LIST]));
        assert_eq!(sent[0].status(), status, "{uri}");
    }
}

#[test]
fn one_user_has_so_many_subscriptions_and_a_server_more() {
    let mut bench = Bench::new(with(|xdm| xdm.diff.max_subscriptions_per_user = 2));
    for (who, status) in [
        (BOB, 200),
        (BOB, 200),
        (BOB, 403),
        (CAROL, 200),
        (SERVER, 200),
        (SERVER, 200),
        (SERVER, 200),
    ] {
        let sent = bench.ask_for(who, "xcap-diff", "", &wanted(&[LIST]));
        assert_eq!(sent[0].status(), status, "{who}");
    }
    assert_eq!(bench.node.census().document_subscriptions, 6);
}

#[test]
fn a_collection_of_more_than_is_shown_is_refused() {
    let mut bench = Bench::new(with(|xdm| xdm.diff.max_documents = 1));
    let uri = ["resource-lists/users/"];
    bench.edit(BOB, LIST, &list(&["a"]));
    assert_eq!(
        bench.ask_for(SERVER, "xcap-diff", "", &wanted(&uri))[0].status(),
        200
    );
    bench.edit(CAROL, &LIST.replace("bob", "carol"), &list(&["a"]));
    assert_eq!(
        bench.ask_for(SERVER, "xcap-diff", "", &wanted(&uri))[0].status(),
        403
    );
    assert_eq!(
        bench.ask_for(BOB, "xcap-diff", "", &wanted(&uri))[0].status(),
        200,
        "of his own there is one"
    );
}

#[test]
fn a_refresh_brings_the_whole_state_and_a_new_list_replaces_the_old_one() {
    let mut bench = bench();
    let (e1, _) = bench.edit(BOB, LIST, &list(&["a"]));
    let (opened, _) = bench.told_of("xcap-diff", &[LIST]);
    let sent = bench.follow_on(&opened, BOB, "xcap-diff", "", "");
    assert_eq!(sent[0].status(), 200);
    assert_eq!(
        said(&bench.told(&sent[1..])),
        [format!("document {LIST} >{e1}")],
        "the list stays"
    );
    let sent = bench.follow_on(&opened, BOB, "xcap-diff", "", &wanted(&[RULES]));
    assert!(said(&bench.told(&sent[1..])).is_empty());
    bench.wait(5_000);
    assert!(bench.edit(BOB, LIST, "").1.is_empty());
    let rules = "<ruleset xmlns=\"urn:ietf:params:xml:ns:common-policy\"/>";
    let (e2, sent) = bench.edit(BOB, RULES, rules);
    assert_eq!(
        said(&bench.told(&sent)),
        [format!("document {RULES} >{e2}")]
    );
}

#[test]
fn a_refresh_while_a_notify_is_under_way_is_told_behind_its_answer() {
    let mut bench = bench();
    let first = bench.ask_for(BOB, "xcap-diff", "", &wanted(&[LIST]));
    let (e1, _) = bench.edit(BOB, LIST, &list(&["a"]));
    let sent = bench.follow_on(&first[0], BOB, "xcap-diff", "", "");
    assert_eq!(sent.len(), 1, "the answer alone: {sent:?}");
    let sent = bench.answer(&first[1], 200, "");
    assert_eq!(said(&bench.told(&sent)), [format!("document {LIST} >{e1}")]);
    assert!(bench.wait(20_000).is_empty(), "and the change is in it");
}

#[test]
fn who_has_the_state_is_not_told_it_again() {
    let mut bench = bench();
    bench.edit(BOB, LIST, &list(&["a"]));
    let uris = [LIST, RULES];
    let (opened, first) = bench.told_of("xcap-diff", &uris);
    let known = format!("Suppress-If-Match: {}\r\n", first.get("SIP-ETag"));
    let sent = bench.follow_on(&opened, BOB, "xcap-diff", &known, &wanted(&[RULES, LIST]));
    assert_eq!(
        (sent.len(), sent[0].status()),
        (1, 204),
        "whatever the order of the list"
    );
    let (e2, sent) = bench.edit(BOB, LIST, &list(&["b"]));
    assert!(bench.told(&sent).contains(&e2), "and changes are told");
    let sent = bench.follow_on(&opened, BOB, "xcap-diff", &known, "");
    assert_eq!((sent.len(), sent[0].status()), (2, 200));
    assert_eq!(
        said(&bench.told(&sent[1..])),
        [format!("document {LIST} >{e2}")]
    );
    // outside a dialog only the body is left out (RFC 5839 §6.3)
    let known = format!("Suppress-If-Match: {}\r\n", sent[1].get("SIP-ETag"));
    let sent = bench.ask_for(BOB, "xcap-diff", &known, &wanted(&uris));
    assert_eq!((sent.len(), sent[1].body()), (2, ""));
    // nothing at all until asked again
    bench.wait(5_000);
    let sent = bench.follow_on(&opened, BOB, "xcap-diff", "Suppress-If-Match: *\r\n", "");
    assert_eq!((sent.len(), sent[0].status()), (1, 204));
    let (_, sent) = bench.edit(BOB, LIST, &list(&["c"]));
    assert!(
        !sent
            .iter()
            .any(|s| s.get("Call-ID") == opened.get("Call-ID"))
    );
}

#[test]
fn a_fetch_and_an_end_bring_the_state_once() {
    let mut bench = bench();
    let (e1, _) = bench.edit(BOB, LIST, &list(&["a"]));
    let sent = bench.ask_for(BOB, "xcap-diff", "Expires: 0\r\n", &wanted(&[LIST]));
    assert_eq!(
        sent[1].get("Subscription-State"),
        "terminated;reason=timeout"
    );
    assert_eq!(
        said(&bench.told(&sent[1..])),
        [format!("document {LIST} >{e1}")]
    );
    let (opened, _) = bench.told_of("xcap-diff", &[LIST]);
    let sent = bench.follow_on(&opened, BOB, "xcap-diff", "Expires: 0\r\n", "");
    assert_eq!(
        sent[1].get("Subscription-State"),
        "terminated;reason=timeout"
    );
    assert_eq!(
        said(&bench.told(&sent[1..])),
        [format!("document {LIST} >{e1}")]
    );
    assert_eq!(bench.node.census().document_subscriptions, 0);
    assert!(
        !bench
            .store
            .keys()
            .any(|(t, _)| *t == Table::DiffSubscription)
    );
    assert_eq!(
        bench.follow_on(&opened, BOB, "xcap-diff", "", "")[0].status(),
        481
    );
}

#[test]
fn a_subscription_that_runs_out_ends_with_a_notify() {
    let mut bench = bench();
    bench.told_of("xcap-diff", &[LIST]);
    let sent = bench.wait(3_595_000);
    assert_eq!(sent.len(), 1);
    assert_eq!(
        sent[0].get("Subscription-State"),
        "terminated;reason=timeout"
    );
    bench.answer(&sent[0], 200, "");
    assert_eq!(bench.node.census().document_subscriptions, 0);
}

#[test]
fn a_refresh_is_of_the_same_subscriber_package_and_dialog() {
    let mut bench = bench();
    let (opened, _) = bench.told_of("xcap-diff", &[LIST]);
    for (who, event, status) in [
        (CAROL, "xcap-diff", 403),
        (BOB, "presence", 481),
        (BOB, "xcap-diff;id=1", 481),
        (BOB, "ua-profile;profile-type=application;auid=a", 481),
        (BOB, "xcap-diff", 200),
    ] {
        let sent = bench.follow_on(&opened, who, event, "", "");
        assert_eq!(sent[0].status(), status, "{who} {event}");
    }
}

#[test]
fn a_notify_that_fails_ends_the_subscription_or_is_told_again() {
    for (status, more, lives) in [
        (481, "", false),
        (408, "", false),
        (489, "", false),
        (500, "", true),
        (503, "Retry-After: 7\r\n", true),
    ] {
        let mut bench = bench();
        let (e1, _) = bench.edit(BOB, LIST, &list(&["a"]));
        bench.told_of("xcap-diff;diff-processing=xcap-patching", &[LIST]);
        let (e2, sent) = bench.edit(BOB, LIST, &list(&["a", "b"]));
        assert!(bench.answer(&sent[0], status, more).is_empty());
        assert_eq!(
            bench.node.census().document_subscriptions == 1,
            lives,
            "{status}"
        );
        if lives {
            let sent = bench.wait(6_999);
            assert!(sent.is_empty(), "{status}");
            let sent = bench.wait(if more.is_empty() { 23_001 } else { 1 });
            assert_eq!(
                said(&bench.told(&sent)),
                [format!("document {LIST} {e1}>{e2} add")],
                "{status}"
            );
        }
    }
}

#[test]
fn a_notify_that_nobody_answers_ends_the_subscription() {
    let mut bench = bench();
    bench.ask_for(BOB, "xcap-diff", "", &wanted(&[LIST]));
    bench.wait(33_000);
    assert_eq!(bench.node.census().document_subscriptions, 0);
}

#[test]
fn the_names_before_are_understood() {
    let tree = "resource-lists/users/sip:bob@ims.test/";
    for (event, status, sel) in [
        (
            "ua-profile;profile-type=\"application\";auid=\"resource-lists\"",
            200,
            Some(LIST),
        ),
        (
            "ua-profile;profile-type=application;auid=resource-lists",
            200,
            Some(LIST),
        ),
        (
            "ua-profile;profile-type=application;app-id=resource-lists",
            200,
            Some(LIST),
        ),
        (
            "ua-profile;profile-type=\"application\";auid=\"resource-lists\";document=\"index\"",
            200,
            Some(LIST),
        ),
        (
            "ua-profile;profile-type=Application;document=\"resource-lists/users/sip:bob@ims.test/index\"",
            200,
            Some(LIST),
        ),
        (
            "ua-profile;profile-type=application;auid=resource-lists;document=\"resource-lists/users/sip:bob@ims.test/index\"",
            200,
            Some(LIST),
        ),
        (
            "ua-profile;profile-type=application;document=\"http://xcap.ims.test/root/resource-lists/users/sip:bob@ims.test/index\"",
            200,
            Some("http://xcap.ims.test/root/resource-lists/users/sip:bob@ims.test/index"),
        ),
        (
            "ua-profile;profile-type=application;auid=resource-lists;vendor=v;model=m;version=1",
            200,
            Some(LIST),
        ),
        (
            "ua-profile;profile-type=application;auid=resource-lists;document=other",
            200,
            None,
        ),
        (
            "ua-profile;profile-type=application;auid=\"a/../resource-lists\"",
            200,
            None,
        ),
        (
            "sip-profile;profile-type=application;auid=resource-lists",
            200,
            Some(LIST),
        ),
        ("xcap-diff;auid=resource-lists", 200, Some(LIST)),
        ("ua-profile;profile-type=application", 400, None),
        (
            "ua-profile;profile-type=application;document=index",
            400,
            None,
        ),
        ("ua-profile;profile-type=device", 489, None),
        ("ua-profile", 489, None),
    ] {
        let mut bench = bench();
        let (e1, _) = bench.edit(BOB, LIST, &list(&["a"]));
        let head = format!(
            "Event: {event}\r\nP-Asserted-Identity: <{BOB}>\r\nContact: <sip:10.0.0.2:5060>\r\n"
        );
        let sent = bench.ask("SUBSCRIBE", BOB, &head, "");
        assert_eq!(sent[0].status(), status, "{event}");
        if status != 200 {
            continue;
        }
        assert_eq!(sent[1].get("Event"), event.split(';').next().unwrap());
        assert_eq!(sent[1].get("Content-Type"), "application/xcap-diff+xml");
        let expected: Vec<String> = sel
            .iter()
            .map(|sel| format!("document {sel} >{e1}"))
            .collect();
        assert_eq!(said(&bench.told(&sent[1..])), expected, "{event}");
        bench.wait(5_000);
        let (_, sent) = bench.edit(BOB, LIST, "");
        assert_eq!(sent.len(), expected.len(), "{event}");
    }
    assert!(LIST.starts_with(tree));
}

#[test]
fn without_a_list_it_is_everything_of_whom_the_request_names() {
    for (uri, who, sees) in [
        (BOB, BOB, true),
        ("sip:ims.test", BOB, true),
        (BOB, CAROL, false),
        (BOB, SERVER, true),
    ] {
        let mut bench = bench();
        let (e1, _) = bench.edit(BOB, LIST, &list(&["a"]));
        let head = format!(
            "Event: xcap-diff\r\nP-Asserted-Identity: <{who}>\r\nContact: <sip:10.0.0.2:5060>\r\n"
        );
        let sent = bench.ask("SUBSCRIBE", uri, &head, "");
        let expected: Vec<String> = sees
            .then(|| format!("document {LIST} >{e1}"))
            .into_iter()
            .collect();
        assert_eq!(said(&bench.told(&sent[1..])), expected, "{uri} {who}");
    }
}

#[test]
fn what_the_server_can_is_announced() {
    let mut bench = bench();
    let sent = bench.ask("OPTIONS", "sip:ims.test", "", "");
    assert_eq!(
        sent[0].get("Allow-Events"),
        "presence, presence.winfo, xcap-diff, ua-profile"
    );
    let publish = "Event: xcap-diff\r\nContent-Type: application/xcap-diff+xml\r\n";
    assert_eq!(
        bench.ask("PUBLISH", BOB, publish, "<x/>")[0].status(),
        489,
        "nobody publishes documents"
    );
}
