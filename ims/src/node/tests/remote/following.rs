//! Changes of documents as another XDMS tells them, and what is done where it does not.

use super::*;

/// The notifier of the other XDMS, by hand.
impl World {
    /// SUBSCRIBEs that the node has sent, and what watchers were told meanwhile.
    fn subscribes(&mut self) -> Vec<Sent> {
        let sent: Vec<Sent> = self.sent.clone();
        self.confirm();
        sent.into_iter()
            .filter(|s| s.method() == "SUBSCRIBE")
            .collect()
    }

    /// The XDMS answers a SUBSCRIBE.
    fn grants(&mut self, subscribe: &Sent, status: u16) {
        let sent = self.bench.answer(subscribe, status, "Expires: 3600\r\n");
        self.sent.extend(sent);
        self.serve();
    }

    /// It tells of documents: path below the root and entity-tag.
    fn tell(
        &mut self,
        subscribe: &Sent,
        cseq: u32,
        state: &str,
        documents: &[(&str, Option<u32>)],
    ) -> u16 {
        let element = |(path, etag): &(&str, Option<u32>)| {
            let sel = path.trim_start_matches("/root/");
            let etag = etag
                .map(|n| format!(" new-etag=\"v{n}\""))
                .unwrap_or_default();
            format!("<document sel=\"{sel}\"{etag}/>")
        };
        let documents: String = documents.iter().map(element).collect();
        let body = format!(
            "<xcap-diff xmlns=\"urn:ietf:params:xml:ns:xcap-diff\" xcap-root=\"http://xdms.ims.test:8000/root/\">{documents}</xcap-diff>"
        );
        let head = format!(
            "From: {};tag=xdms\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} NOTIFY\r\nContact: <sip:10.0.0.2:7060>\r\n\
             Event: xcap-diff\r\nSubscription-State: {state}\r\nContent-Type: application/xcap-diff+xml\r\n",
            subscribe.get("To").split(";tag").next().unwrap(),
            subscribe.get("From"),
            subscribe.get("Call-ID"),
        );
        let uri = subscribe.get("Contact").trim_matches(['<', '>']).to_owned();
        let mut sent = self.bench.ask("NOTIFY", &uri, &head, &body);
        let status = sent.remove(0).status();
        self.sent.extend(sent);
        self.serve();
        status
    }

    /// Alice watches bob, whose rules are followed.
    fn followed(&mut self) -> Sent {
        let subscribe = self.asked_to_follow();
        self.grants(&subscribe, 200);
        subscribe
    }

    /// The same before the XDMS has answered.
    fn asked_to_follow(&mut self) -> Sent {
        self.bench.publish("Expires: 7200\r\n", "hello");
        self.put(RULES, &allow(""));
        self.subscribe("Expires: 7200\r\n");
        let mut subscribes = self.subscribes();
        assert!(!subscribes.is_empty(), "{:?}", self.told);
        subscribes.remove(0)
    }
}

const ACTIVE: &str = "active;expires=3600";

#[test]
fn an_xdms_that_tells_of_changes_is_subscribed_to_and_polled_rarely() {
    let mut world = World::with(remote(Some("sip:xdms.ims.test:7060")));
    let subscribe = world.followed();
    assert!(
        subscribe
            .text
            .starts_with("SUBSCRIBE sip:xdms.ims.test:7060 SIP/2.0\r\n")
    );
    for (name, value) in [
        ("Event", "xcap-diff;diff-processing=no-patching"),
        ("Accept", "application/xcap-diff+xml"),
        ("Content-Type", "application/resource-lists+xml"),
        ("P-Asserted-Identity", "<sip:ps.ims.test>"),
        ("Expires", "3600"),
    ] {
        assert_eq!(subscribe.get(name), value);
    }
    assert!(
        subscribe
            .body()
            .contains("<entry uri=\"pres-rules/users/sip:bob@ims.test/index\"/>")
            || subscribe
                .body()
                .contains("pidf-manipulation/users/sip:bob@ims.test/index")
    );
    assert_eq!(world.tell(&subscribe, 1, ACTIVE, &[(RULES, Some(1))]), 200);
    // the other document came later: the list of a refresh takes the place of the first
    let refresh = world
        .subscribes()
        .pop()
        .expect("a refresh with both documents");
    assert!(refresh.body().contains(&RULES[6..]) && refresh.body().contains(&STATE[6..]));
    world.grants(&refresh, 200);
    assert_eq!(world.tell(&subscribe, 2, ACTIVE, &[(RULES, Some(1))]), 200);
    world.asked.clear();
    world.pass(POLL * 9);
    assert_eq!(
        world.asked.len(),
        2,
        "the polls asked for before it told: {:?}",
        world.asked
    );
    // a change is told and takes effect at once
    world.told.clear();
    world.put(
        RULES,
        &ruleset("polite-block", "<identity><many/></identity>"),
    );
    world.tell(&subscribe, 3, ACTIVE, &[(RULES, Some(2))]);
    world.confirm();
    assert_eq!(world.told.len(), 1, "{:?}", world.told);
    assert!(!world.told[0].contains("hello"));
    // deleted
    world.documents.clear();
    world.tell(&subscribe, 4, ACTIVE, &[(RULES, None)]);
    assert_eq!(world.confirm(), ["terminated;reason=rejected "]);
    // nobody needs it: the subscription is ended
    world.sent.clear();
    let mut ended = false;
    for _ in 0..30 {
        world.bench.now += 30_000;
        let sent = world.bench.feed(Input::Deadline);
        ended |= sent
            .iter()
            .any(|s| s.method() == "SUBSCRIBE" && s.get("Expires") == "0");
        world.sent = sent;
        world.serve();
    }
    assert!(ended);
    assert_eq!(world.bench.node.census().remote.followed, 0);
}

#[test]
fn a_document_that_comes_while_a_subscribe_is_under_way_is_named_whatever_overtakes_what() {
    for notify_first in [false, true] {
        let mut world = World::with(remote(Some("sip:xdms.ims.test:7060")));
        let subscribe = world.asked_to_follow();
        assert_eq!(subscribe.body().matches("<entry").count(), 1);
        if notify_first {
            assert_eq!(world.tell(&subscribe, 1, ACTIVE, &[(RULES, Some(1))]), 200);
            world.grants(&subscribe, 200);
        } else {
            world.grants(&subscribe, 200);
            assert_eq!(world.tell(&subscribe, 1, ACTIVE, &[(RULES, Some(1))]), 200);
        }
        let refreshes = world.subscribes();
        let with_both = |s: &&Sent| s.body().matches("<entry").count() == 2;
        assert_eq!(
            refreshes.iter().filter(with_both).count(),
            1,
            "NOTIFY first: {notify_first}: {refreshes:?}"
        );
    }
}

#[test]
fn an_xdms_that_cannot_tell_is_polled_and_asked_again_later() {
    for status in [489, 404, 403, 408, 503] {
        let mut world = World::with(remote(Some("sip:xdms.ims.test:7060")));
        world.bench.publish("Expires: 7200\r\n", "hello");
        world.put(RULES, &allow(""));
        world.subscribe("Expires: 7200\r\n");
        let subscribe = world.subscribes().remove(0);
        world.grants(&subscribe, status);
        world.told.clear();
        world.put(
            RULES,
            &ruleset("polite-block", "<identity><many/></identity>"),
        );
        world.pass(POLL);
        assert_eq!(world.told.len(), 1, "{status}: {:?}", world.told);
    }
}

#[test]
fn a_subscription_that_the_xdms_ends_is_replaced_and_meanwhile_polled() {
    let mut world = World::with(remote(Some("sip:xdms.ims.test:7060")));
    let subscribe = world.followed();
    world.tell(&subscribe, 1, ACTIVE, &[(RULES, Some(1))]);
    let refresh = world.subscribes().pop().expect("a refresh");
    world.grants(&refresh, 200);
    world.tell(&subscribe, 2, ACTIVE, &[(RULES, Some(1))]);
    world.sent.clear();
    assert_eq!(
        world.tell(&subscribe, 3, "terminated;reason=deactivated", &[]),
        200
    );
    let mut again = world.sent.clone();
    while again.is_empty() {
        let at = world.bench.node.next_deadline().unwrap();
        world.bench.now = at.0;
        let sent = world.bench.feed(Input::Deadline);
        again = sent
            .into_iter()
            .filter(|s| s.method() == "SUBSCRIBE")
            .collect();
        world.serve();
    }
    assert_ne!(again[0].get("Call-ID"), subscribe.get("Call-ID"));
    assert_eq!(
        world.tell(&subscribe, 4, ACTIVE, &[]),
        481,
        "the old one is over"
    );
}

#[test]
fn a_notify_from_elsewhere_or_of_another_package_changes_nothing() {
    let mut world = World::with(remote(Some("sip:xdms.ims.test:7060")));
    let subscribe = world.followed();
    world.tell(&subscribe, 1, ACTIVE, &[(RULES, Some(1))]);
    world.asked.clear();
    world.put(RULES, "garbage");
    let mut other = subscribe.clone();
    other.text = other.text.replace("-sub\r\n", "-other\r\n");
    assert_eq!(world.tell(&other, 2, ACTIVE, &[(RULES, Some(9))]), 481);
    assert_eq!(world.asked.len(), 0);
    world.told.clear();
    assert_eq!(
        world.tell(&subscribe, 3, ACTIVE, &[(LISTS, Some(9))]),
        200,
        "not what was asked for"
    );
    assert!(world.asked.iter().all(|f| f.path != LISTS));
}
