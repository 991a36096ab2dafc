//! Who may subscribe to which list, and how it is answered.

use super::*;

#[test]
fn a_list_is_told_whole_and_then_what_changes() {
    let mut bench = Bench::new(settings());
    bench.write_services(&[(FRIENDS, &["bob", "carol"])]);
    bench.state_of("bob", "here");
    let (accepted, first) = bench.watch_friends();
    assert_eq!(accepted.get("Require"), "eventlist");
    assert_eq!(accepted.get("Expires"), "3600");
    assert!(accepted.get("Contact").starts_with("<sip:p"));
    assert_eq!(said(&first), "0 full bob=here carol=-");
    bench.wait(10_000);
    let sent = bench.state_of("carol", "away");
    assert_eq!(sent.len(), 1);
    assert_eq!(said(&sent[0]), "1 part carol=away");
    bench.answer(&sent[0], 200, "");
    bench.wait(10_000);
    let sent = bench.renew_list(&accepted, "", "");
    assert_eq!(
        (sent[0].status(), sent[0].get("Require")),
        (200, "eventlist")
    );
    assert_eq!(said(&sent[1]), "2 full bob=here carol=away");
    bench.answer(&sent[1], 200, "");
    let sent = bench.renew_list(&accepted, "Expires: 0\r\n", "");
    assert_eq!(said(&sent[1]), "3 full bob=here carol=away");
    assert_eq!(
        sent[1].get("Subscription-State"),
        "terminated;reason=timeout"
    );
    bench.answer(&sent[1], 200, "");
    assert_eq!(bench.node.census().lists, Default::default());
    let lists = |table: &Table| {
        let of_lists = [
            Table::ListSubscription,
            Table::ListWishes,
            Table::ListVersion,
        ];
        of_lists.contains(table)
    };
    assert!(
        !bench.store.keys().any(|(table, _)| lists(table)),
        "nothing is left"
    );
}

#[test]
fn a_subscribe_to_a_list_is_refused_for_what_is_wrong_with_it() {
    let all = format!("{ACCEPT}{SUPPORTED}");
    for (case, who, uri, head, status, header) in [
        (
            "no such list: somebody",
            ALICE,
            "sip:nobody@ims.test",
            &*all,
            200,
            ("Expires", "3600"),
        ),
        (
            "a URI of lists only",
            ALICE,
            "sip:alice@ims.test;pres-list=x",
            &all,
            404,
            ("", ""),
        ),
        ("of somebody else", BOB, FRIENDS, &all, 403, ("", "")),
        ("of nobody", "", FRIENDS, &all, 403, ("", "")),
        (
            "no support",
            ALICE,
            FRIENDS,
            ACCEPT,
            421,
            ("Require", "eventlist"),
        ),
        (
            "pidf alone",
            ALICE,
            FRIENDS,
            "Supported: eventlist\r\nAccept: application/pidf+xml\r\n",
            406,
            (
                "Accept",
                "multipart/related, application/rlmi+xml, application/pidf+xml",
            ),
        ),
        (
            "a list alone",
            ALICE,
            FRIENDS,
            "Supported: eventlist\r\nAccept: application/rlmi+xml, multipart/related\r\n",
            406,
            ("", ""),
        ),
        (
            "another package",
            ALICE,
            FRIENDS,
            &format!("{all}Event: presence.winfo.winfo\r\n"),
            489,
            ("", ""),
        ),
        (
            "an extension nobody knows",
            ALICE,
            FRIENDS,
            &format!("{all}Require: magic, eventlist\r\n"),
            420,
            ("Unsupported", "magic"),
        ),
        (
            "too brief",
            ALICE,
            FRIENDS,
            &format!("{all}Expires: 1\r\n"),
            423,
            ("Min-Expires", "60"),
        ),
        (
            "demanded is supported",
            ALICE,
            FRIENDS,
            &format!("{ACCEPT}Require: eventlist\r\n"),
            200,
            ("Require", "eventlist"),
        ),
    ] {
        let mut bench = Bench::new(settings());
        bench.write_services(&[(FRIENDS, &["bob"])]);
        let sent = bench.ask_list(who, uri, head, "");
        assert_eq!(sent[0].status(), status, "{case}: {}", sent[0].text);
        assert_eq!(sent[0].get(header.0), header.1, "{case}");
        if status > 200 {
            assert_eq!(sent.len(), 1, "{case}");
            assert_eq!(bench.node.census().lists, Default::default(), "{case}");
        }
    }
}

#[test]
fn options_tell_of_lists() {
    let mut bench = Bench::new(settings());
    let sent = bench.ask("OPTIONS", "sip:ims.test", "", "");
    assert_eq!(
        sent[0].get("Supported"),
        "eventlist, recipient-list-subscribe"
    );
}

#[test]
fn a_fetch_is_one_notify() {
    let mut bench = Bench::new(settings());
    bench.write_services(&[(FRIENDS, &["bob"])]);
    let head = format!("{ACCEPT}{SUPPORTED}Expires: 0\r\n");
    let sent = bench.ask_list(ALICE, FRIENDS, &head, "");
    assert_eq!((sent[0].status(), sent.len()), (200, 2));
    assert_eq!(said(&sent[1]), "0 full bob=-");
    bench.answer(&sent[1], 200, "");
    assert_eq!(bench.node.census().lists, Default::default());
}

#[test]
fn a_list_may_come_with_the_request() {
    let mut bench = Bench::new(settings());
    bench.state_of("bob", "here");
    let list = |names: &[&str]| documents_list(names);
    let head = format!(
        "{ACCEPT}{SUPPORTED}Require: recipient-list-subscribe\r\nContent-Type: application/resource-lists+xml\r\n\
         Content-Disposition: recipient-list\r\n"
    );
    let mut settings = settings();
    settings.list_server.uri = Aor::parse("sip:rls@ims.test");
    let sent = bench.ask_list(ALICE, "sip:rls@ims.test", &head, &list(&["bob"]));
    assert_eq!(
        (sent[0].status(), sent[0].get("Unsupported")),
        (420, "recipient-list-subscribe")
    );
    let mut bench = Bench::new(settings);
    bench.state_of("bob", "here");
    let sent = bench.ask_list(ALICE, BOB, &head, &list(&["bob"]));
    assert_eq!(sent[0].status(), 420, "not there");
    let sent = bench.ask_list("", "sip:rls@ims.test", &head, &list(&["bob"]));
    assert_eq!(sent[0].status(), 403, "nobody is asserted");
    let sent = bench.ask_list(
        ALICE,
        "sip:rls@ims.test",
        &format!("{ACCEPT}{SUPPORTED}"),
        "",
    );
    assert_eq!(sent[0].status(), 400, "no list");
    let sent = bench.ask_list(ALICE, "sip:rls@ims.test", &head, &list(&["bob", "carol"]));
    assert_eq!(sent[0].status(), 200, "{}", sent[0].text);
    assert_eq!(said(&sent[1]), "0 full bob=here carol=-");
    bench.answer(&sent[1], 200, "");
    let opened = sent[0].clone();
    let sent = bench.renew_list(&opened, "", "");
    assert_eq!(said(&sent[1]), "1 full bob=here carol=-", "the list stays");
    bench.answer(&sent[1], 200, "");
    let head =
        "Content-Type: application/resource-lists+xml\r\nContent-Disposition: recipient-list\r\n";
    let sent = bench.renew_list(&opened, head, &list(&["dave"]));
    assert_eq!(said(&sent[1]), "2 full dave=-", "until another comes");
}

fn documents_list(names: &[&str]) -> String {
    let entries: String = names
        .iter()
        .map(|name| format!("<entry uri=\"sip:{name}@ims.test\"/>"))
        .collect();
    format!(
        "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list>{entries}</list></resource-lists>"
    )
}
