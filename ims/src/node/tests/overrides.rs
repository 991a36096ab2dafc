//! What the operator imposes, against the presentity's own rules and on live subscriptions.

use super::*;

fn scope(presentity: &str, watcher: &str) -> Scope {
    Scope::parse(presentity, watcher).unwrap()
}

fn administer(bench: &mut Bench, request: &Administration) -> (Administered, Vec<Sent>) {
    let sent = bench.feed(Input::Administer { number: 7, request });
    let effects = bench.out.held.iter().chain(&bench.out.free);
    let mut answers = effects.filter_map(|effect| match effect {
        Effect::Administered { number: 7, answer } => Some((**answer).clone()),
        _ => None,
    });
    (answers.next().unwrap(), sent)
}

pub(super) fn impose(
    bench: &mut Bench,
    presentity: &str,
    watcher: &str,
    handling: Handling,
) -> Vec<Sent> {
    let scope = scope(presentity, watcher);
    let order = Administration::impose(scope, handling, "operator", "ticket 4711").unwrap();
    let (answer, sent) = administer(bench, &order);
    assert!(matches!(answer, Administered::Imposed { .. }), "{answer:?}");
    sent
}

pub(super) fn lift(bench: &mut Bench, presentity: &str, watcher: &str) -> Vec<Sent> {
    let order = Administration::Lift(scope(presentity, watcher));
    let (answer, sent) = administer(bench, &order);
    assert!(matches!(answer, Administered::Lifted(_)), "{answer:?}");
    sent
}

/// The state that a NOTIFY tells, and whether it shows what bob published. The watcher answers it.
fn told(bench: &mut Bench, sent: &[Sent]) -> Vec<(String, bool)> {
    let notifies: Vec<Sent> = sent
        .iter()
        .filter(|s| s.method() == "NOTIFY")
        .cloned()
        .collect();
    let mut told = Vec::new();
    for notify in notifies {
        bench.answer(&notify, 200, "");
        let state = notify.get("Subscription-State");
        let state = state
            .split_once(";expires")
            .map_or(state, |(state, _)| state);
        told.push((state.to_owned(), notify.body().contains("hello")));
    }
    told
}

#[test]
fn an_operators_deny_beats_the_presentitys_allow_at_once_and_over_restarts() {
    for (presentity, watcher) in [
        (BOB, ALICE),
        (BOB, "IMS.test"),
        (BOB, "*"),
        ("*", ALICE),
        ("*", "ims.test"),
        ("*", "*"),
    ] {
        let case = format!("{presentity} {watcher}");
        let mut bench = Bench::strict();
        bench.publish("", "hello");
        bench.rules("allow", "");
        let sent = bench.subscribe("");
        assert_eq!(told(&mut bench, &sent), [("active".to_owned(), true)]);
        let sent = impose(&mut bench, presentity, watcher, Handling::Block);
        let rejected = ("terminated;reason=rejected".to_owned(), false);
        assert_eq!(told(&mut bench, &sent), [rejected], "{case}");
        assert_eq!(bench.subscribe("")[0].status(), 403, "{case}");
        bench.restart(1_000);
        assert_eq!(bench.subscribe("")[0].status(), 403, "{case}");
        lift(&mut bench, presentity, watcher);
        assert_eq!(bench.subscribe("")[0].status(), 200, "{case}");
        bench.restart(1_000);
        assert_eq!(bench.subscribe("")[0].status(), 200, "{case}");
    }
}

#[test]
fn what_is_imposed_acts_on_live_subscriptions_and_so_does_its_end() {
    let mut bench = Bench::strict();
    bench.publish("", "hello");
    bench.rules("confirm", "");
    let sent = bench.subscribe("");
    assert_eq!(told(&mut bench, &sent), [("pending".to_owned(), false)]);
    let sent = impose(&mut bench, "*", ALICE, Handling::Allow);
    assert_eq!(told(&mut bench, &sent), [("active".to_owned(), true)]);
    let sent = impose(&mut bench, "*", ALICE, Handling::PoliteBlock);
    assert_eq!(told(&mut bench, &sent), [("active".to_owned(), false)]);
    let sent = lift(&mut bench, "*", ALICE);
    assert_eq!(told(&mut bench, &sent), [("pending".to_owned(), false)]);
    let sent = impose(&mut bench, BOB, "example.org", Handling::Allow);
    assert!(told(&mut bench, &sent).is_empty(), "not this watcher");
    let sent = impose(&mut bench, "sip:carol@ims.test", ALICE, Handling::Allow);
    assert!(told(&mut bench, &sent).is_empty(), "not this presentity");
}

#[test]
fn privacy_hides_the_watcher_from_the_presentity_and_not_from_the_operator() {
    let mut bench = Bench::new(settings());
    let anonymous = "<rule id=\"a\"><conditions><anonymous-request xmlns=\"urn:oma:xml:xdm:common-policy\"/></conditions>\
                     <actions><pr:sub-handling>allow</pr:sub-handling></actions></rule>";
    bench.rules(
        "allow",
        &format!("</conditions></rule>{anonymous}<rule id=\"x\"><conditions>"),
    );
    let hidden = "Privacy: id\r\nExpires: 0\r\n";
    assert_eq!(bench.subscribe(hidden)[0].status(), 200);
    impose(&mut bench, BOB, ALICE, Handling::Block);
    assert_eq!(bench.subscribe(hidden)[0].status(), 403);
}

#[test]
fn the_more_specific_goes_first_and_then_the_stricter() {
    let number = "tel:+3615550002";
    for (case, imposed, status) in [
        (
            "the watcher before its domain",
            &[
                (BOB, ALICE, Handling::Allow),
                (BOB, "ims.test", Handling::Block),
            ][..],
            200,
        ),
        (
            "its domain before everybody",
            &[
                (BOB, "*", Handling::Block),
                (BOB, "ims.test", Handling::Allow),
            ],
            200,
        ),
        (
            "the presentity before all presentities",
            &[("*", ALICE, Handling::Block), (BOB, "*", Handling::Allow)],
            200,
        ),
        (
            "one identity of the watcher against the other",
            &[
                (BOB, ALICE, Handling::Allow),
                (BOB, number, Handling::Block),
            ],
            403,
        ),
        (
            "another domain",
            &[
                (BOB, "example.org", Handling::Allow),
                ("*", "test", Handling::Allow),
            ],
            403,
        ),
    ] {
        let mut bench = Bench::strict();
        for (presentity, watcher, handling) in imposed {
            impose(&mut bench, presentity, watcher, *handling);
        }
        let head = format!(
            "Event: presence\r\nP-Asserted-Identity: <{ALICE}>\r\nP-Asserted-Identity: <{number}>\r\n\
             Contact: <sip:10.0.0.2:5060>\r\n"
        );
        let sent = bench.ask("SUBSCRIBE", BOB, &head, "");
        assert_eq!(sent[0].status(), status, "{case}");
    }
}

#[test]
fn an_override_says_who_ordered_it_and_why_and_their_number_is_bounded() {
    let mut bench = Bench::new(settings());
    let at = Timestamp(bench.now);
    for n in 0..4 {
        impose(
            &mut bench,
            &format!("sip:u{n}@ims.test"),
            "*",
            Handling::Block,
        );
    }
    let fifth = Administration::impose(scope(BOB, "*"), Handling::Block, "o", "w").unwrap();
    assert_eq!(administer(&mut bench, &fifth).0, Administered::Full(4));
    bench.restart(10);
    let again = scope("sip:U0@ims.test", "*"); // another user: case counts
    assert_eq!(
        administer(&mut bench, &Administration::Lift(again)).0,
        Administered::Absent
    );
    let again = scope("sips:u0@IMS.test;user=ip", "*");
    let order = Administration::impose(again, Handling::Allow, "second", "other").unwrap();
    let Administered::Imposed { before, .. } = administer(&mut bench, &order).0 else {
        panic!("replaced");
    };
    let before = before.unwrap();
    assert_eq!(
        (before.by.as_str(), before.why.as_str(), before.at),
        ("operator", "ticket 4711", at)
    );
    let Administered::All(all) = administer(&mut bench, &Administration::List).0 else {
        panic!("listed");
    };
    assert_eq!(all.len(), 4);
    assert_eq!(
        (all[0].by.as_str(), all[0].handling),
        ("second", Handling::Allow)
    );
}

#[test]
fn what_is_no_override_is_refused() {
    for (presentity, watcher, refused) in [
        ("bob", "*", BadOverride::Presentity),
        ("", "*", BadOverride::Presentity),
        ("mailto:bob@ims.test", "*", BadOverride::Presentity),
        (BOB, "", BadOverride::Watcher),
        (BOB, "a b", BadOverride::Watcher),
        (BOB, "a..b", BadOverride::Watcher),
        (BOB, "mailto:a@b", BadOverride::Watcher),
        (BOB, "a\0b", BadOverride::Watcher),
    ] {
        assert_eq!(Scope::parse(presentity, watcher), Err(refused), "{watcher}");
    }
    let long = "x".repeat(129);
    for (by, why, refused) in [
        ("", "why", BadOverride::By),
        (" ", "why", BadOverride::By),
        (long.as_str(), "why", BadOverride::By),
        ("me\nnot me", "why", BadOverride::By),
        ("me", "", BadOverride::Why),
        ("me", "a\u{1b}[2J", BadOverride::Why),
    ] {
        let order = Administration::impose(scope(BOB, "*"), Handling::Block, by, why);
        assert_eq!(order, Err(refused), "{by} {why}");
    }
}
