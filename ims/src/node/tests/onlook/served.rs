//! Who is served here as a member of a list, and who becomes so.

use super::*;

const PHONE: &str = "tel:+36105550001";

fn noresource() -> State {
    State::Terminated(End::NoResource)
}

#[test]
fn a_member_is_served_here_like_the_request_uri_of_a_subscribe() {
    let mut bench = Bench::new(settings());
    register::kamailio(&mut bench, BOB, 600);
    bench.publish("", "here");
    bench.look_on(onlooker(&bench, 7, ALICE)).unwrap();
    for (case, uri, entity) in [
        ("as it is", BOB, Some(BOB)),
        (
            "as a presence URI",
            "pres:bob@ims.test",
            Some("pres:bob@ims.test"),
        ),
        (
            "with parameters and another spelling of the host",
            "sip:bob@IMS.test;user=phone",
            Some("sip:bob@IMS.test;user=phone"),
        ),
        ("by his number", PHONE, Some(PHONE)),
        ("a number of somebody else", "tel:+36105550009", None),
        ("another domain", "sip:bob@other.test", None),
        ("no user", "sip:ims.test", None),
        ("another scheme", "im:bob@ims.test", None),
        ("no URI at all", "bob", None),
    ] {
        let list = SubscriptionId(7);
        let member = Member { list, place: 0 };
        let (id, _) = bench.local(|local, turn| local.join(turn, member, uri));
        let shown = id.map(|id| {
            let content = bench.instance(id, Extent::Full).content.unwrap();
            let body = String::from_utf8(content.bytes.to_vec()).unwrap();
            assert!(body.contains(">here<"), "{case}: {body}");
            assert!(
                body.contains(&format!("entity=\"{}\"", entity.unwrap())),
                "{case}: {body}"
            );
        });
        assert_eq!(shown.is_some(), entity.is_some(), "{case}");
    }
    let (_, sent) = bench.local(|local, turn| {
        let member = Member {
            list: SubscriptionId(8),
            place: 0,
        };
        assert_eq!(
            local.join(turn, member, BOB),
            None,
            "a list that nobody looks at"
        );
    });
    assert!(sent.is_empty());
}

#[test]
fn a_user_whom_nothing_makes_known_is_no_resource_until_something_does() {
    type Happens = fn(&mut Bench);
    let registered: Happens = |bench| {
        register::kamailio(bench, BOB, 600);
    };
    let ruled: Happens = |bench| {
        bench.rules("allow", "");
    };
    for (case, happens) in [("a registration", registered), ("a document", ruled)] {
        let mut bench = Bench::new(Settings {
            known_presentities_only: true,
            ..settings()
        });
        assert_eq!(bench.subscribe("")[0].status(), 404, "{case}");
        let mut seen = bench.watch(onlooker(&bench, 7, ALICE), BOB);
        assert_eq!(
            (seen.state, seen.tag, seen.body()),
            (noresource(), 0, ""),
            "{case}"
        );
        assert_eq!(
            bench.subscribe("")[0].status(),
            404,
            "{case}: a list makes nobody known"
        );
        bench.look_on(onlooker(&bench, 7, ALICE)).unwrap();
        assert!(!bench.hear(&mut seen), "{case}");
        happens(&mut bench);
        assert!(bench.hear(&mut seen), "{case}");
        assert_eq!(seen.state, State::Active, "{case}");
        assert!(
            seen.body().contains("<presence "),
            "{case}: {}",
            seen.body()
        );
        bench.look_away(7);
    }
}

#[test]
fn a_member_whose_uri_becomes_another_name_of_somebody_follows_him() {
    let mut bench = Bench::new(settings());
    let head = format!(
        "Event: presence\r\nP-Asserted-Identity: <{PHONE}>\r\nContent-Type: application/pidf+xml\r\n"
    );
    let answer = bench
        .ask(
            "PUBLISH",
            PHONE,
            &head,
            &pidf("by phone").replace(BOB, PHONE),
        )
        .remove(0);
    assert_eq!(answer.status(), 200, "{}", answer.text);
    bench.publish("", "at home");
    let mut seen = bench.watch(onlooker(&bench, 7, ALICE), PHONE);
    assert!(seen.body().contains("by phone"), "{}", seen.body());
    register::kamailio(&mut bench, BOB, 600);
    assert!(bench.hear(&mut seen));
    assert_eq!(seen.state, State::Active);
    assert!(
        seen.body().contains("at home") && seen.body().contains(PHONE),
        "{}",
        seen.body()
    );
    // from now on it is his
    bench.wait(6_000);
    bench.publish("", "elsewhere");
    assert!(bench.hear(&mut seen));
    assert!(seen.body().contains("elsewhere"), "{}", seen.body());
    bench.look_away(7);
}

#[test]
fn a_place_that_is_given_to_somebody_else_shows_nothing_of_who_had_it() {
    let mut bench = Bench::new(settings());
    bench.publish("", "here");
    let bob = bench.watch(onlooker(&bench, 7, ALICE), BOB);
    assert!(bob.body().contains(">here<"));
    let (id, _) = bench.join(7, 0, "sip:carol@ims.test");
    let content = bench.instance(id, Extent::Full).content.unwrap();
    assert!(
        !String::from_utf8(content.bytes.to_vec())
            .unwrap()
            .contains("here")
    );
    bench.look_away(7);
    // what is held too long names nothing, also when another list has come
    bench.watch(onlooker(&bench, 7, BOB), BOB);
    assert_eq!(bench.instance(id, Extent::Full).state, noresource());
    bench.look_away(7);
    bench.wait(3_700_000);
    assert_eq!(bench.node.census(), Census::default(), "nothing is left");
}
