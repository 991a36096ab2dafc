//! Members of lists that are served elsewhere, by the door of the node: a test plays the core and the other network.

use super::*;

const DAVE: &str = "sip:dave@b.test";
const STATE: &str = "application/pidf+xml";

impl Bench {
    /// Alice is registered at her S-CSCF, and has bob and dave on her list.
    fn with_dave() -> Bench {
        let mut bench = Bench::new(settings());
        let sent = bench.third_party(ALICE, 3600);
        for follow in subscribes(&sent) {
            bench.answer(&follow, 489, "");
        }
        let body = services(&[(FRIENDS, &["bob"])])
            .replace("</list>", &format!("<rl:entry uri=\"{DAVE}\"/></list>"));
        let request = xdm::Request {
            method: xdm::Method::Put,
            target: format!("rls-services/users/{ALICE}/index"),
            query: None,
            content_type: Some("application/rls-services+xml".into()),
            content_encoding: None,
            if_match: None,
            if_none_match: None,
            body: body.into(),
            identity: xdm::Identity::User(ALICE.into()),
        };
        bench.feed(Input::Xcap {
            number: 1,
            request: &request,
        });
        bench.state_of("bob", "here");
        bench
    }

    /// Alice subscribes: the answer, the first NOTIFY, which is answered, and our SUBSCRIBE to dave.
    fn watch_dave(&mut self, more: &str) -> (Sent, Sent, Sent) {
        let mut sent = self.ask_list(ALICE, FRIENDS, &format!("{ACCEPT}{SUPPORTED}{more}"), "");
        assert_eq!(sent[0].status(), 200, "{}", sent[0].text);
        let (opened, told) = (sent.remove(0), sent.remove(0));
        sent.extend(self.answer(&told, 200, ""));
        sent.extend(self.wait(100));
        let asked = subscribes(&sent);
        assert_eq!(asked.len(), 1, "{sent:?}");
        (opened, told, asked[0].clone())
    }

    /// A NOTIFY of dave's server in the dialog of this SUBSCRIBE: its answer, and what alice is told, which is answered.
    fn dave_tells(
        &mut self,
        asked: &Sent,
        cseq: u32,
        state: &str,
        note: &str,
    ) -> (u16, Vec<String>) {
        let body = match note {
            "" => String::new(),
            note => pidf(note).replace(BOB, DAVE),
        };
        self.dave_says(asked, cseq, state, (STATE, &body), "")
    }

    fn dave_says(
        &mut self,
        asked: &Sent,
        cseq: u32,
        state: &str,
        (media_type, body): (&str, &str),
        more: &str,
    ) -> (u16, Vec<String>) {
        let event = if more.contains("Event: ") {
            ""
        } else {
            "Event: presence\r\n"
        };
        let head = format!(
            "From: <{DAVE}>;tag=d\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} NOTIFY\r\nContact: <sip:10.0.0.2:7070>\r\n\
             {event}Subscription-State: {state}\r\nContent-Type: {media_type}\r\n{more}",
            asked.get("From"),
            asked.get("Call-ID"),
        );
        let uri = asked.get("Contact").trim_matches(['<', '>']).to_owned();
        let mut sent = self.ask("NOTIFY", &uri, &head, body);
        let status = sent.remove(0).status();
        let mut told = self.alice_hears(sent);
        let later = self.wait(1_000);
        told.extend(self.alice_hears(later));
        (status, told)
    }

    /// Alice answers what she is told.
    fn alice_hears(&mut self, sent: Vec<Sent>) -> Vec<String> {
        let mut told = Vec::new();
        for notify in sent.iter().filter(|s| s.method() == "NOTIFY") {
            told.push(said(notify));
            let more = self.answer(notify, 200, "");
            told.extend(self.alice_hears(more));
        }
        told
    }
}

/// SUBSCRIBEs of ours, each once: what is sent again has no ticket.
fn subscribes(sent: &[Sent]) -> Vec<Sent> {
    let ours = sent
        .iter()
        .filter(|s| s.method() == "SUBSCRIBE" && s.ticket.is_some());
    ours.cloned().collect()
}

#[test]
fn a_member_elsewhere_is_asked_for_on_behalf_of_the_watcher_and_told_like_any_other() {
    let mut bench = Bench::with_dave();
    let (_, first, asked) = bench.watch_dave("");
    assert_eq!(said(&first), "0 full bob=here dave@b.test");
    for (name, value) in [
        ("Route", "<sip:10.0.0.2:6060;orig;lr>"),
        ("To", "<sip:dave@b.test>"),
        ("P-Asserted-Identity", "<sip:alice@ims.test>"),
        (
            "P-Served-User",
            "<sip:alice@ims.test>;sescase=orig;regstate=reg",
        ),
        ("Accept", STATE),
    ] {
        assert_eq!(asked.get(name), value, "{}", asked.text);
    }
    bench.answer(&asked, 202, "Expires: 3600\r\n");
    for (cseq, state, note, told) in [
        (1, "pending;expires=3600", "", "1 part dave@b.test/pending"),
        (
            2,
            "active;expires=3600",
            "abroad",
            "2 part dave@b.test=abroad",
        ),
        (
            3,
            "terminated;reason=rejected",
            "",
            "3 part dave@b.test/terminated:rejected",
        ),
    ] {
        let heard = bench.dave_tells(&asked, cseq, state, note);
        assert_eq!(heard, (200, vec![told.to_owned()]), "{state}");
    }
}

#[test]
fn privacy_and_the_charging_vector_of_the_list_go_no_further_than_they_should() {
    let mut bench = Bench::with_dave();
    let vector = "icid-value=front;orig-ioi=ims.test";
    let (_, _, asked) =
        bench.watch_dave(&format!("Privacy: id\r\nP-Charging-Vector: {vector}\r\n"));
    assert_eq!(asked.get("Privacy"), "id");
    let from = asked.get("From");
    assert!(
        from.starts_with("\"Anonymous\" <sip:anonymous@anonymous.invalid>"),
        "{from}"
    );
    assert_eq!(asked.get("P-Asserted-Identity"), "<sip:alice@ims.test>");
    let own = asked.get("P-Charging-Vector");
    assert!(
        !own.contains("front") && own.contains("orig-ioi=ims.test"),
        "{own}"
    );
}

#[test]
fn a_notify_that_cannot_be_taken_gets_its_answer_and_alice_hears_nothing() {
    let mut settings = settings();
    settings.back_ends.max_body = 2_000;
    let mut bench = Bench::with_dave();
    bench.settings = settings;
    bench.restart(0);
    let (_, _, asked) = bench.watch_dave("");
    bench.answer(&asked, 200, "Expires: 3600\r\n");
    let (status, _) = bench.dave_tells(&asked, 1, "active;expires=3600", "abroad");
    assert_eq!(status, 200);
    let long = format!("<p>{}</p>", "x".repeat(2_000));
    let related = "multipart/related;boundary=b";
    for (case, cseq, kind, body, more, status) in [
        ("too large", 2, STATE, long.as_str(), "", 413),
        ("no document", 2, STATE, "<p", "", 400),
        ("another type", 2, "text/plain", "x", "", 415),
        ("a list", 2, related, "--b--", "", 415),
        ("another package", 2, STATE, "<p/>", "Event: reg\r\n", 489),
        (
            "an extension",
            2,
            STATE,
            "<p/>",
            "Require: eventlist\r\n",
            420,
        ),
        (
            "a coding",
            2,
            STATE,
            "<p/>",
            "Content-Encoding: br\r\n",
            415,
        ),
        ("an old one", 0, STATE, "<p/>", "", 500),
        ("the same again", 1, STATE, "<p/>", "", 200),
    ] {
        let heard = bench.dave_says(&asked, cseq, "active", (kind, body), more);
        assert_eq!(heard, (status, vec![]), "{case}");
    }
    bench.peer = "192.0.2.1:5060".parse().unwrap();
    let heard = bench.dave_tells(&asked, 2, "active", "a stranger");
    assert_eq!(heard, (481, vec![]), "not from the core");
}

#[test]
fn the_end_of_the_list_is_the_end_of_its_back_ends() {
    let mut bench = Bench::with_dave();
    let (opened, _, asked) = bench.watch_dave("");
    bench.answer(&asked, 200, "Expires: 3600\r\n");
    bench.dave_tells(&asked, 1, "active;expires=3600", "abroad");
    let sent = bench.renew_list(&opened, "Expires: 0\r\n", "");
    bench.alice_hears(sent.clone());
    let mut ends = subscribes(&sent);
    ends.extend(subscribes(&bench.wait(100)));
    assert_eq!(ends.len(), 1);
    assert_eq!(ends[0].get("Expires"), "0");
    assert_eq!(ends[0].get("Call-ID"), asked.get("Call-ID"));
    bench.answer(&ends[0], 200, "Expires: 0\r\n");
    let (status, told) = bench.dave_tells(&asked, 2, "terminated;reason=timeout", "");
    assert_eq!((status, told), (200, vec![]));
    assert_eq!(bench.node.census().back_ends, Default::default());
    assert!(
        !bench
            .store
            .keys()
            .any(|(table, _)| *table == Table::BackEnd)
    );
}

#[test]
fn a_member_who_leaves_the_list_is_asked_for_no_more_and_one_who_comes_is() {
    let mut bench = Bench::with_dave();
    let (_, _, asked) = bench.watch_dave("");
    bench.answer(&asked, 200, "Expires: 3600\r\n");
    bench.dave_tells(&asked, 1, "active;expires=3600", "abroad");
    let mut sent = bench.write_services(&[(FRIENDS, &["bob"])]);
    sent.extend(bench.wait(1_500));
    let ends = subscribes(&sent);
    assert_eq!(ends.len(), 1, "{sent:?}");
    assert_eq!(ends[0].get("Expires"), "0");
    let told = bench.alice_hears(sent);
    assert!(told.iter().any(|t| !t.contains("dave@b.test")), "{told:?}");
}

#[test]
fn a_crash_loses_no_back_end_and_what_changed_meanwhile_is_told() {
    let mut bench = Bench::with_dave();
    let (_, _, asked) = bench.watch_dave("");
    bench.answer(&asked, 200, "Expires: 3600\r\n");
    bench.dave_tells(&asked, 1, "active;expires=3600", "abroad");
    bench.restart(5_000);
    let mut sent = bench.sent(true);
    sent.extend(bench.wait(3_000));
    let refreshes: Vec<Sent> = subscribes(&sent)
        .into_iter()
        .filter(|s| s.get("Call-ID") == asked.get("Call-ID"))
        .collect();
    assert_eq!(refreshes.len(), 1, "{sent:?}");
    assert_eq!(refreshes[0].get("CSeq"), "2 SUBSCRIBE");
    // she may be told again what she has, and nothing else
    for told in bench.alice_hears(sent) {
        assert!(told.ends_with("full bob=here dave@b.test=abroad"), "{told}");
    }
    bench.answer(&refreshes[0], 200, "Expires: 3600\r\n");
    let (status, told) = bench.dave_tells(&asked, 2, "active;expires=3600", "home again");
    assert_eq!(status, 200);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("dave@b.test=home again"), "{told:?}");
    let quiet = bench.wait(300_000);
    let ended = subscribes(&quiet).iter().any(|s| s.get("Expires") == "0");
    assert!(!ended, "it is still wanted");
}

/// The other network: knows the subscription that it has last accepted, and loses what it likes.
struct Network {
    dice: u64,
    /// SUBSCRIBE of the dialog that it has.
    dialog: Option<Sent>,
    cseq: u32,
    state: String,
}

impl Network {
    fn roll(&mut self, sides: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice % sides
    }

    /// Takes what the node has sent. `faults`: whether requests and answers get lost.
    fn take(&mut self, bench: &mut Bench, sent: Vec<Sent>, faults: bool) {
        for sent in sent {
            if sent.method() == "NOTIFY" {
                if !(faults && self.roll(5) == 0) {
                    let more = bench.answer(&sent, 200, "");
                    self.take(bench, more, faults);
                }
            } else if sent.method() == "SUBSCRIBE" && sent.get("To").contains("dave") {
                self.subscribed(bench, &sent, faults);
            }
        }
    }

    fn subscribed(&mut self, bench: &mut Bench, asked: &Sent, faults: bool) {
        if faults && self.roll(4) == 0 {
            return; // lost on its way
        }
        let opens = !asked.get("To").contains(";tag=");
        let ours = self.dialog.as_ref().map(|d| d.get("Call-ID").to_owned());
        if !opens && ours.as_deref() != Some(asked.get("Call-ID")) {
            let more = bench.answer(asked, 481, "");
            return self.take(bench, more, faults);
        }
        if faults && self.roll(6) == 0 {
            let more = bench.answer(asked, 503, "Retry-After: 3\r\n");
            return self.take(bench, more, faults);
        }
        if asked.get("Expires") == "0" {
            self.dialog = None;
        } else {
            if opens {
                (self.dialog, self.cseq) = (Some(asked.clone()), 0);
            }
            self.tell(bench, faults);
        }
        if !(faults && self.roll(5) == 0) {
            let expires = format!("Expires: {}\r\n", asked.get("Expires"));
            let more = bench.answer(asked, 200, &expires);
            self.take(bench, more, faults);
        }
    }

    fn tell(&mut self, bench: &mut Bench, faults: bool) {
        let Some(asked) = self.dialog.clone() else {
            return;
        };
        self.cseq += 1;
        let head = format!(
            "From: <{DAVE}>;tag=d\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {} NOTIFY\r\nContact: <sip:10.0.0.2:7070>\r\n\
             Event: presence\r\nSubscription-State: active;expires=3000\r\nContent-Type: {STATE}\r\n",
            asked.get("From"),
            asked.get("Call-ID"),
            self.cseq,
        );
        let body = pidf(&self.state).replace(BOB, DAVE);
        if faults && self.roll(6) == 0 {
            return; // never arrives: the notifier gives up on us (RFC 6665 §4.2.2)
        }
        let mut sent = bench.ask("NOTIFY", "sip:as@10.0.0.1", &head, &body);
        if sent.remove(0).status() == 481 {
            self.dialog = None;
        }
        self.take(bench, sent, faults);
    }
}

/// Whatever gets lost, and whenever either side starts anew: what alice sees in the end is what dave's server says.
#[test]
fn after_any_faults_the_list_shows_what_the_other_network_says() {
    for seed in 1..=24u64 {
        let mut bench = Bench::with_dave();
        let mut network = Network {
            dice: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            dialog: None,
            cseq: 0,
            state: "first".to_owned(),
        };
        let sent = bench.ask_list(ALICE, FRIENDS, &format!("{ACCEPT}{SUPPORTED}"), "");
        let opened = sent[0].clone();
        network.take(&mut bench, sent, true);
        for step in 0..30 {
            match network.roll(6) {
                0 | 1 => {
                    network.state = format!("step {step}");
                    network.tell(&mut bench, true);
                }
                2 => {
                    bench.restart(1_000 + network.roll(20_000));
                    let sent = bench.sent(true);
                    network.take(&mut bench, sent, true);
                }
                3 => network.dialog = None, // it was started anew, and knows nobody
                _ => {}
            }
            let pause = 1 + network.roll(20_000);
            let sent = bench.wait(pause);
            network.take(&mut bench, sent, true);
        }
        // the faults are over, and the list subscription is refreshed before it ends
        for _ in 0..60 {
            let sent = bench.wait(60_000);
            network.take(&mut bench, sent, false);
        }
        let sent = bench.renew_list(&opened, "", "");
        if sent[0].status() == 481 {
            continue; // a NOTIFY to alice was lost for good, which ends her subscription
        }
        assert_eq!(sent[0].status(), 200, "{seed}");
        network.take(&mut bench, sent, false);
        for _ in 0..90 {
            let sent = bench.wait(10_000);
            network.take(&mut bench, sent, false);
        }
        let sent = bench.renew_list(&opened, "", "");
        let told = sent.iter().find(|s| s.method() == "NOTIFY").map(said);
        let wanted = format!("dave@b.test={}", network.state);
        assert!(
            told.as_ref().is_some_and(|told| told.ends_with(&wanted)),
            "seed {seed}: {told:?}, not {wanted}"
        );
    }
}
