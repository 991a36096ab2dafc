//! Lists of every shape, from the documents to the NOTIFY: nested, external, referred to, in a loop, too long.

use super::super::catalogue::{ROOT, external, inline, service};
use super::*;
use crate::rls::list::Nesting;
use crate::xdm::DocumentKey;

/// Alice's list of this name, as a service refers to it.
fn at(list: &str) -> String {
    format!(
        "<resource-list>{ROOT}/users/{ALICE}/index/~~/resource-lists/list%5B@name=%22{list}%22%5D</resource-list>"
    )
}

fn entry(user: &str) -> String {
    format!("<entry uri=\"sip:{user}@ims.test\"/>")
}

fn watch(bench: &mut Bench) -> (u16, Option<Sent>) {
    let sent = bench.ask_list(ALICE, FRIENDS, &format!("{ACCEPT}{SUPPORTED}"), "");
    if let Some(notify) = sent.get(1) {
        bench.answer(notify, 200, "");
    }
    (sent[0].status(), sent.get(1).cloned())
}

/// Lets time pass while every NOTIFY is answered: the NOTIFYs, `first` among them.
fn answered(bench: &mut Bench, first: Vec<Sent>, millis: u64) -> Vec<Sent> {
    let (end, mut open, mut told) = (bench.now + millis, first, Vec::new());
    loop {
        while let Some(notify) = open.pop().filter(|s| s.method() == "NOTIFY") {
            open.extend(bench.answer(&notify, 200, ""));
            told.push(notify);
        }
        match bench.node.next_deadline().filter(|at| at.0 <= end) {
            Some(at) => {
                bench.now = bench.now.max(at.0);
                open = bench.feed(Input::Deadline);
            }
            None => break,
        }
    }
    bench.now = end;
    told
}

/// The members in a NOTIFY, without their state; those that are refused with the reason.
fn members(notify: &Sent) -> String {
    let level = read(notify);
    let one = |r: &reading::Resource| {
        let user = r
            .uri
            .trim_start_matches("sip:")
            .trim_end_matches("@ims.test");
        let reason = r.instances.iter().find_map(|i| i.reason.as_deref());
        reason.map_or(user.to_owned(), |reason| format!("{user}!{reason}"))
    };
    let all: Vec<String> = level.resources.iter().map(one).collect();
    all.join(" ")
}

#[test]
fn whatever_its_shape_a_list_is_told_flat_with_every_member_once() {
    let lists = format!(
        "<list name=\"l\">{}<list name=\"inner\">{}</list>{}{}{}{}{}</list><list name=\"other\">{}{}</list>",
        entry("a"),
        entry("b"),
        external(ALICE, "list%5B2%5D"),
        format_args!(
            "<entry-ref ref=\"resource-lists/users/{ALICE}/index/~~/resource-lists/list%5B@name=%22other%22%5D/entry%5B@uri=%22sip:d@ims.test%22%5D\"/>"
        ),
        entry("c"),
        "<entry uri=\"bob\"/>",
        entry("alice-second"),
        entry("c"),
        entry("d"),
    );
    let mut bench = Bench::new(settings());
    bench.lists_of(ALICE, &lists);
    let second = service(
        "sip:alice-second@ims.test",
        &inline(&["e", "a", "alice-friends"]),
    );
    bench.services(ALICE, "index", &[service(FRIENDS, &at("l")), second]);
    let (status, notify) = watch(&mut bench);
    assert_eq!(status, 200);
    assert_eq!(
        members(&notify.unwrap()),
        "a b c d bob!noresource e alice-friends!noresource"
    );
}

#[test]
fn a_loop_is_served_in_part_or_refused_as_configured() {
    let ring = format!(
        "<list name=\"l\">{}{}</list><list name=\"m\">{}{}</list>",
        entry("a"),
        external(ALICE, "list%5B2%5D"),
        external(ALICE, "list%5B1%5D"),
        entry("b"),
    );
    for (refuses, expected) in [(false, (200, Some("a b"))), (true, (502, None))] {
        let mut bench = Bench::lists(|settings| settings.lists.limits.refuses = refuses);
        bench.lists_of(ALICE, &ring);
        bench.services(ALICE, "index", &[service(FRIENDS, &at("l"))]);
        let (status, notify) = watch(&mut bench);
        let shown = notify.as_ref().map(members);
        assert_eq!((status, shown.as_deref()), expected);
    }
}

#[test]
fn nested_lists_are_told_in_a_level_of_their_own_where_the_operator_says_so() {
    let mut bench = Bench::lists(|settings| settings.lists.limits.nesting = Nesting::Kept);
    bench.services(
        ALICE,
        "index",
        &[
            service(FRIENDS, &inline(&["bob", "alice-inner"])),
            service("sip:alice-inner@ims.test", &inline(&["carol", "bob"])),
        ],
    );
    bench.state_of("carol", "inside");
    let (_, notify) = watch(&mut bench);
    let notify = notify.unwrap();
    assert_eq!(members(&notify), "bob alice-inner");
    let text = notify.body();
    assert!(text.contains("<note>inside</note>"), "{text}");
    assert_eq!(text.matches("<list ").count(), 2, "{text}");
}

#[test]
fn a_list_follows_every_document_that_it_rests_on() {
    let mut bench = Bench::new(settings());
    bench.services(ALICE, "index", &[service(FRIENDS, &at("l"))]);
    let (status, notify) = watch(&mut bench);
    assert_eq!(
        (status, members(&notify.unwrap()).as_str()),
        (200, ""),
        "there is no such list yet"
    );
    let mut seen = Vec::new();
    for lists in [
        format!("<list name=\"l\">{}</list>", entry("a")),
        format!(
            "<list name=\"l\">{}{}</list>",
            entry("a"),
            external(ALICE, "list%5B2%5D")
        ),
        format!(
            "<list name=\"l\">{}{}</list><list>{}</list>",
            entry("a"),
            external(ALICE, "list%5B2%5D"),
            entry("b")
        ),
        format!("<list name=\"k\">{}</list>", entry("a")),
    ] {
        bench.lists_of(ALICE, &lists);
        let sent = bench.sent(true);
        let notifies = answered(&mut bench, sent, 5_000);
        seen.push(notifies.last().map_or(String::new(), members));
    }
    assert_eq!(seen, ["a", "", "a b", ""]);
}

#[test]
fn above_the_maximum_members_are_listed_and_not_subscribed_to() {
    let mut bench = Bench::lists(|settings| settings.lists.limits.members = 2);
    bench.write_services(&[(FRIENDS, &["a", "b", "c"])]);
    bench.state_of("b", "seen");
    bench.state_of("c", "unseen");
    let (_, notify) = watch(&mut bench);
    let notify = notify.unwrap();
    assert_eq!(members(&notify), "a b c");
    assert!(notify.body().contains("seen") && !notify.body().contains("unseen"));
    bench.wait(10_000);
    assert_eq!(bench.state_of("c", "more").len(), 0);
}

#[test]
fn a_document_of_very_many_lists_is_read_again_in_slices() {
    let mut bench = Bench::lists(|settings| {
        settings.xdm = xdm::Xdm::new(xdm::Settings {
            foreign_lists: true,
            ..xdm::Settings::default()
        })
        .unwrap();
        settings.subscriptions = 100;
        settings.lists.limits.members = 20_000;
        settings.list_server.max_members_per_watcher = 1_000_000;
        settings.list_server.max_subscriptions_per_watcher = 100;
    });
    let all = |n: usize| -> String { (0..n).map(|n| entry(&format!("m{n}"))).collect() };
    bench.lists_of(BOB, &format!("<list>{}</list>", all(400)));
    let services: Vec<String> = (0..30)
        .map(|n| {
            let of_bob = format!("<list>{}</list>", external(BOB, "list"));
            service(&format!("sip:alice-{n}@ims.test"), &of_bob)
        })
        .collect();
    bench.services(ALICE, "index", &services);
    let changed = DocumentKey::user(Aor::parse(BOB).unwrap(), "resource-lists", "index");
    for n in 0..30 {
        let uri = format!("sip:alice-{n}@ims.test");
        let sent = bench.ask_list(ALICE, &uri, &format!("{ACCEPT}{SUPPORTED}"), "");
        assert_eq!(sent[0].status(), 200, "{}", sent[0].text);
        answered(&mut bench, sent, 5_000);
    }
    assert!(bench.node.directory.catalogue.is_used(&changed));
    bench.lists_of(BOB, &format!("<list>{}</list>", all(401)));
    let next = bench.node.awaited.next_deadline();
    assert_eq!(
        next,
        Some(Timestamp(bench.now + 1)),
        "the rest is for the next slice"
    );
    let sent = bench.sent(true);
    let sent = answered(&mut bench, sent, 30_000);
    let told: std::collections::BTreeSet<&str> = sent
        .iter()
        .filter(|s| s.method() == "NOTIFY")
        .map(|s| s.get("Call-ID"))
        .collect();
    assert_eq!(told.len(), 30, "and all are told");
    assert_eq!(bench.node.awaited.next_deadline(), None);
}
