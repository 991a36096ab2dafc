//! Registrations followed at the S-CSCF: SUBSCRIBE of ours, NOTIFY to us, what watchers see of it.

mod lost;
mod races;

use super::*;

const WORK: &str = "sip:bob.work@ims.test";
const TEL: &str = "tel:+36105550001";
const AS: &str = "sip:as.ims.test";

fn following() -> Settings {
    let mut settings = settings();
    settings.registration.reg_event = true;
    settings.registration.capacity = 10;
    settings.presence.subscriptions_per_presentity = 20;
    settings.presence.notify_interval = Millis(0);
    settings
}

/// A registration element: address, state, contact ids.
fn element(aor: &str, state: &str, contacts: &[&str]) -> String {
    let contacts: String = contacts
        .iter()
        .map(|id| format!("<contact id=\"{id}\" state=\"active\" event=\"registered\" expires=\"600\"><uri>sip:x</uri></contact>"))
        .collect();
    format!("<registration aor=\"{aor}\" id=\"{aor}\" state=\"{state}\">{contacts}</registration>")
}

fn reginfo(version: u32, state: &str, inside: &str) -> String {
    format!(
        "<reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"{version}\" state=\"{state}\">{inside}</reginfo>"
    )
}

impl Bench {
    /// A third-party REGISTER as Kamailio sends it: the answer and what follows it.
    pub(super) fn third_party(&mut self, identity: &str, expires: u32) -> Vec<Sent> {
        let call = self.serial;
        let head = format!(
            "From: <sip:10.0.0.2:6060>;tag=k{call}\r\nTo: <{identity}>\r\nCall-ID: {call}-k\r\nCSeq: 10 REGISTER\r\n\
             Contact: <sip:10.0.0.2:6060>\r\nExpires: {expires}\r\n"
        );
        self.ask("REGISTER", AS, &head, "")
    }

    /// Registers bob; our SUBSCRIBE, answered 200.
    fn followed(&mut self) -> Sent {
        let mut sent = self.third_party(BOB, 600);
        assert_eq!(sent[0].status(), 200);
        let subscribe = sent.remove(1);
        assert_eq!(subscribe.method(), "SUBSCRIBE");
        self.granted(&subscribe);
        subscribe
    }

    fn granted(&mut self, subscribe: &Sent) {
        let expires = format!("Expires: {}\r\n", subscribe.get("Expires"));
        self.answer(subscribe, 200, &expires);
    }

    /// A NOTIFY of the S-CSCF in the dialog of this SUBSCRIBE, whose CSeq is `cseq`.
    fn tell(&mut self, subscribe: &Sent, cseq: u32, state: &str, body: &str) -> Vec<Sent> {
        let head = format!(
            "From: {};tag=scscf\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} NOTIFY\r\nContact: <sip:10.0.0.2:6060>\r\n\
             Event: reg\r\nSubscription-State: {state}\r\n{}",
            subscribe.get("To").split(";tag").next().unwrap(),
            subscribe.get("From"),
            subscribe.get("Call-ID"),
            if body.is_empty() {
                ""
            } else {
                "Content-Type: application/reginfo+xml\r\n"
            },
        );
        let uri = subscribe.get("Contact").trim_matches(['<', '>']).to_owned();
        self.ask("NOTIFY", &uri, &head, body)
    }

    /// Full state of bob alone.
    fn tell_bob(
        &mut self,
        subscribe: &Sent,
        cseq: u32,
        state: &str,
        contacts: &[&str],
    ) -> Vec<Sent> {
        let body = reginfo(cseq, "full", &element(BOB, state, contacts));
        self.tell(subscribe, cseq, "active;expires=3600", &body)
    }

    /// What a watcher of this identity is shown of its registration.
    fn registration_of(&mut self, identity: &str) -> &'static str {
        let head = format!(
            "Event: presence\r\nP-Asserted-Identity: <{ALICE}>\r\nContact: <sip:10.0.0.9:5060>\r\nExpires: 0\r\n"
        );
        let sent = self.ask("SUBSCRIBE", identity, &head, "");
        let notify = sent
            .iter()
            .find(|s| s.method() == "NOTIFY")
            .unwrap()
            .clone();
        self.answer(&notify, 200, "");
        match notify.body() {
            body if body.contains(">active<") => "active",
            body if body.contains(">terminated<") => "terminated",
            _ => "nothing",
        }
    }
}

fn subscribes(sent: &[Sent]) -> Vec<Sent> {
    let ours = sent.iter().filter(|s| s.method() == "SUBSCRIBE");
    ours.cloned().collect()
}

#[test]
fn a_third_party_register_is_followed_once_and_its_refreshes_are_not() {
    let mut bench = Bench::new(following());
    let subscribe = bench.followed();
    for (name, value) in [
        ("Route", "<sip:10.0.0.2:6060;lr>"),
        ("Event", "reg"),
        ("P-Asserted-Identity", "<sip:as.ims.test>"),
        ("Accept", "application/reginfo+xml"),
        ("Expires", "3600"),
        ("To", "<sip:bob@ims.test>"),
    ] {
        assert_eq!(subscribe.get(name), value, "{}", subscribe.text);
    }
    assert!(
        subscribe
            .text
            .starts_with("SUBSCRIBE sip:bob@ims.test SIP/2.0\r\n")
    );
    let icid = subscribe.get("P-Charging-Vector");
    assert!(
        icid.starts_with("icid-value=\"") && icid.ends_with(";orig-ioi=ims.test"),
        "{icid}"
    );

    assert_eq!(
        bench.tell_bob(&subscribe, 4, "active", &["c"])[0].status(),
        200
    );
    assert_eq!(bench.node.census().followed, 1);
    for _ in 0..3 {
        assert_eq!(bench.third_party(BOB, 600).len(), 1, "a refresh is no news");
    }
    let refresh = bench.wait(3_000_000);
    let refresh = subscribes(&refresh);
    assert_eq!(refresh.len(), 1, "600 s before the end: {refresh:?}");
    assert!(
        refresh[0]
            .text
            .starts_with("SUBSCRIBE sip:10.0.0.2:6060 SIP/2.0\r\n")
    );
    assert_eq!(refresh[0].get("CSeq"), "2 SUBSCRIBE");
}

#[test]
fn what_the_network_ends_is_shown_terminated_at_once() {
    let mut bench = Bench::new(following());
    let subscribe = bench.followed();
    bench.tell_bob(&subscribe, 4, "active", &["c"]);
    let watching = bench.subscribe("");
    assert!(
        watching[1].body().contains(">active<"),
        "{}",
        watching[1].text
    );
    bench.answer(&watching[1], 200, "");

    let told = bench.tell_bob(&subscribe, 5, "terminated", &[]);
    assert_eq!(told[0].status(), 200);
    let notify = told.iter().find(|s| s.method() == "NOTIFY").unwrap();
    assert!(notify.body().contains(">terminated<"), "{}", notify.text);
    let ended = subscribes(&told);
    assert_eq!(
        ended[0].get("Expires"),
        "0",
        "nothing more is wanted of the S-CSCF"
    );
    bench.answer(&ended[0], 200, "");
    let last = bench.tell(&subscribe, 6, "terminated;reason=timeout", "");
    assert_eq!(last[0].status(), 200, "{}", last[0].text);
    assert_eq!(bench.tell(&subscribe, 7, "active", "")[0].status(), 481);

    let again = bench.third_party(BOB, 600);
    assert_eq!(
        again.iter().filter(|s| s.method() == "SUBSCRIBE").count(),
        1,
        "and it starts anew"
    );
}

#[test]
fn every_identity_of_the_set_is_followed_and_tel_is_an_alias() {
    let mut bench = Bench::new(following());
    let subscribe = bench.followed();
    let set = |state| {
        [BOB, WORK, TEL]
            .map(|aor| element(aor, state, &["c"]))
            .concat()
    };
    bench.tell(
        &subscribe,
        2,
        "active;expires=3600",
        &reginfo(2, "full", &set("active")),
    );
    for identity in [BOB, WORK, TEL] {
        assert_eq!(bench.registration_of(identity), "active", "{identity}");
    }
    bench.publish("", "by the tel too");
    let head = format!(
        "Event: presence\r\nP-Asserted-Identity: <{ALICE}>\r\nContact: <sip:10.0.0.9>\r\nExpires: 0\r\n"
    );
    assert!(
        bench.ask("SUBSCRIBE", TEL, &head, "")[1]
            .body()
            .contains("by the tel too")
    );
    // a REGISTER of another identity of the set needs no subscription of its own
    assert_eq!(bench.third_party(WORK, 600).len(), 1);
    bench.tell(
        &subscribe,
        3,
        "active;expires=3600",
        &reginfo(3, "full", &set("terminated")),
    );
    for identity in [BOB, WORK, TEL] {
        assert_eq!(bench.registration_of(identity), "terminated", "{identity}");
    }
}

#[test]
fn one_contact_of_two_that_goes_is_no_deregistration() {
    let mut bench = Bench::new(following());
    let subscribe = bench.followed();
    bench.tell_bob(&subscribe, 4, "active", &["c1", "c2"]);
    let asked = bench.third_party(BOB, 0);
    let refresh = subscribes(&asked).remove(0);
    assert_eq!(
        bench.registration_of(BOB),
        "active",
        "its S-CSCF is asked first"
    );
    bench.granted(&refresh);
    bench.tell_bob(&subscribe, 5, "active", &["c2"]);
    bench.wait(10_000);
    assert_eq!(bench.registration_of(BOB), "active");
}

#[test]
fn a_deregistration_that_nobody_contradicts_is_believed_after_five_seconds() {
    for restarts in [false, true] {
        let mut bench = Bench::new(following());
        let subscribe = bench.followed();
        bench.tell_bob(&subscribe, 4, "active", &["c1"]);
        bench.third_party(BOB, 0);
        if restarts {
            bench.restart(10);
        }
        bench.wait(4_000);
        assert_eq!(bench.registration_of(BOB), "active");
        bench.wait(2_000);
        assert_eq!(
            bench.registration_of(BOB),
            "terminated",
            "restarts: {restarts}"
        );
    }
}

#[test]
fn a_gap_in_the_versions_asks_for_full_state_and_an_old_document_changes_nothing() {
    let mut bench = Bench::new(following());
    let subscribe = bench.followed();
    bench.tell_bob(&subscribe, 7, "active", &["c"]);
    let partial = |version, state| reginfo(version, "partial", &element(BOB, state, &[]));
    let asked = bench.tell(&subscribe, 8, "active;expires=3600", &partial(9, "active"));
    assert_eq!(asked[0].status(), 200);
    assert_eq!(subscribes(&asked).len(), 1, "{asked:?}");
    let old = bench.tell(
        &subscribe,
        9,
        "active;expires=3600",
        &partial(8, "terminated"),
    );
    assert_eq!(old[0].status(), 200);
    assert_eq!(bench.registration_of(BOB), "active");
    // the refresh is answered, and full state never comes: a new subscription brings it
    bench.granted(&subscribes(&asked)[0]);
    let anew = bench.wait(33_000);
    let anew: Vec<Sent> = subscribes(&anew);
    assert!(
        anew.iter().any(|s| !s.get("To").contains("tag=")),
        "{anew:?}"
    );
}

#[test]
fn a_notify_that_is_not_ours_not_trusted_or_not_understood_changes_nothing() {
    let mut bench = Bench::new(following());
    let subscribe = bench.followed();
    bench.tell_bob(&subscribe, 4, "active", &["c"]);
    let gone = reginfo(5, "full", &element(BOB, "terminated", &[]));
    let active = "active;expires=3600";
    let trusted = bench.peer;
    bench.peer = "192.0.2.1:5060".parse().unwrap();
    assert_eq!(
        bench.tell(&subscribe, 5, active, &gone)[0].status(),
        481,
        "a stranger"
    );
    bench.peer = trusted;
    assert_eq!(
        bench.tell(&subscribe, 3, active, &gone)[0].status(),
        500,
        "an old CSeq"
    );
    let again = bench.tell(&subscribe, 4, active, &gone);
    assert_eq!(again[0].status(), 200, "the same CSeq is the same NOTIFY");
    assert_eq!(
        bench.tell(&subscribe, 5, active, "<reginfo/>")[0].status(),
        400
    );
    assert_eq!(
        bench.tell(&subscribe, 5, "", &gone)[0].status(),
        400,
        "no Subscription-State"
    );
    let mut fork = subscribe.clone();
    fork.text = fork
        .text
        .replace("To: <sip:bob@ims.test>", "To: <sip:bob@ims.test>;x=y");
    for (case, from, to, status) in [
        (
            "the S-CSCF's Event package",
            "Event: reg",
            "Event: presence",
            489,
        ),
        (
            "the body's type",
            "application/reginfo+xml",
            "text/plain",
            415,
        ),
        ("another branch of a fork", ";tag=scscf", ";tag=other", 481),
        ("a tag of nobody", ";tag=", ";tag=f", 481),
    ] {
        let head = format!(
            "From: <{BOB}>;tag=scscf\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 5 NOTIFY\r\nContact: <sip:10.0.0.2:6060>\r\n\
             Event: reg\r\nSubscription-State: {active}\r\nContent-Type: application/reginfo+xml\r\n",
            subscribe.get("From"),
            subscribe.get("Call-ID"),
        );
        let head = match case {
            "a tag of nobody" => {
                head.replace("To: <sip:as.ims.test>;tag=", "To: <sip:as.ims.test>;tag=f")
            }
            _ => head.replace(from, to),
        };
        assert_eq!(
            bench.ask("NOTIFY", "sip:p@10.0.0.1", &head, &gone)[0].status(),
            status,
            "{case}"
        );
    }
    let foreign = reginfo(
        6,
        "full",
        &format!(
            "{}{}",
            element(BOB, "active", &["c"]),
            element("sip:x@other.test", "active", &["c"])
        ),
    );
    assert_eq!(bench.tell(&subscribe, 6, active, &foreign)[0].status(), 200);
    assert_eq!(
        bench.node.census().registrations,
        1,
        "an S-CSCF speaks for its own network"
    );
    assert_eq!(bench.registration_of(BOB), "active");
}

#[test]
fn a_registration_lasts_while_its_s_cscf_says_so_and_ends_with_its_last_contact() {
    let mut bench = Bench::new(following());
    let subscribe = bench.followed();
    let always = element(BOB, "active", &[]).replace("></registration>", "><contact id=\"c\" state=\"active\" event=\"registered\"><uri>sip:x</uri></contact></registration>");
    bench.tell(
        &subscribe,
        1,
        "active;expires=3600",
        &reginfo(1, "full", &always),
    );
    bench.wait(2_000_000);
    assert_eq!(
        bench.registration_of(BOB),
        "active",
        "beyond the 600 s of its REGISTER"
    );
    let ended = reginfo(2, "full", &element(BOB, "terminated", &[]));
    bench.tell(&subscribe, 2, "active;expires=1600", &ended);
    assert_eq!(bench.registration_of(BOB), "terminated");
}

#[test]
fn the_whole_set_is_one_presentity_where_the_operator_wants_it() {
    let mut settings = following();
    settings.registration.aliases = registration::Aliases::Set;
    let mut bench = Bench::new(settings);
    let watch = |bench: &mut Bench, of: &str| {
        let head = format!(
            "Event: presence\r\nP-Asserted-Identity: <{ALICE}>\r\nContact: <sip:10.0.0.9>\r\n"
        );
        let sent = bench.ask("SUBSCRIBE", of, &head, "");
        bench.answer(&sent[1], 200, "");
        sent
    };
    let early = watch(&mut bench, WORK);
    bench.publish("", "at the first identity");
    let subscribe = bench.followed();
    let set = |state| {
        [BOB, WORK, TEL]
            .map(|aor| element(aor, state, &["c"]))
            .concat()
    };
    let told = bench.tell(
        &subscribe,
        1,
        "active;expires=3600",
        &reginfo(1, "full", &set("active")),
    );
    let moved = told.iter().find(|s| s.method() == "NOTIFY").unwrap();
    assert_eq!(
        moved.get("Subscription-State"),
        "terminated;reason=deactivated"
    );
    assert_eq!(moved.get("Call-ID"), early[0].get("Call-ID"));
    bench.answer(moved, 200, "");
    for restarts in [false, true] {
        if restarts {
            bench.restart(10);
            for owed in bench.wait(1_000) {
                bench.answer(&owed, 200, "");
            }
        }
        for identity in [BOB, WORK, TEL] {
            let sent = watch(&mut bench, identity);
            assert!(
                sent[1].body().contains("at the first identity"),
                "{identity} {}",
                sent[1].text
            );
            assert!(
                sent[1].body().contains(&format!("entity=\"{identity}\"")),
                "{}",
                sent[1].text
            );
        }
    }
    let ended = bench.tell(
        &subscribe,
        2,
        "active;expires=3600",
        &reginfo(2, "full", &set("terminated")),
    );
    let notifies = ended.iter().filter(|s| s.method() == "NOTIFY");
    assert_eq!(
        notifies.count(),
        6,
        "every watcher of every identity: {ended:#?}"
    );
    // with tel aliases alone, the SIP identities are several again
    bench.settings.registration.aliases = registration::Aliases::Tel;
    bench.restart(10);
    assert!(
        !watch(&mut bench, WORK)[1]
            .body()
            .contains("at the first identity")
    );
}
