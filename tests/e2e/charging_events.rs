//! CHG-01 from outside, trigger by trigger: what a CDF is told of requests, answers, lists and who pays.

use crate::harness::{Message, Request, SOON, Server, Ua, http, pidf, rules};
use crate::simulators::{Sim, charging_at, spool_is_empty};
use serde_json::Value;

const ALICE: &str = "sip:alice@ims.test";
const BOB: &str = "sip:bob@ims.test";
const ZOE: &str = "sip:zoe@elsewhere.test";
const LIST: &str = "sip:alice@ims.test;pres-list=rcs";

/// What a record says of its trigger: method, event package, role, Cause-Code.
type Trigger = (String, String, i64, i64);

fn ims(record: &Value) -> &Value {
    &record["avps"]["Service-Information"][0]["IMS-Information"][0]
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Values of a simulator are text or numbers.
fn number(value: &Value) -> i64 {
    let written = value.as_str().and_then(|text| text.parse().ok());
    value.as_i64().or(written).unwrap_or(i64::MIN)
}

fn trigger(record: &Value) -> Trigger {
    let kind = &ims(record)["Event-Type"][0];
    (
        text(&kind["SIP-Method"][0]),
        text(&kind["Event"][0]),
        number(&ims(record)["Role-Of-Node"][0]),
        number(&ims(record)["Cause-Code"][0]),
    )
}

fn is(method: &str, package: &str, role: i64, cause: i64) -> Trigger {
    (method.to_owned(), package.to_owned(), role, cause)
}

/// The records that a CDF gets, in the order of what made them.
struct Records {
    sim: Sim,
    seen: usize,
}

impl Records {
    fn start(folder: &std::path::Path) -> Records {
        let sim = Sim::start(folder, &["cdf"]);
        Records { sim, seen: 0 }
    }

    /// The next so many.
    fn next(&mut self, count: usize) -> Vec<Value> {
        let all = self.sim.wait("ACR", self.seen + count);
        let new = all[self.seen..self.seen + count].to_vec();
        self.seen += count;
        new
    }

    #[track_caller]
    fn are(&mut self, case: &str, expected: &[Trigger]) {
        let found: Vec<Trigger> = self.next(expected.len()).iter().map(trigger).collect();
        assert_eq!(found, expected, "{case}");
    }

    /// Nothing else has come when the next record has.
    #[track_caller]
    fn end(&mut self, server: &Server, ua: &mut Ua) {
        published(ua, BOB);
        self.are("nothing else", &[is("PUBLISH", "presence", 1, -1)]);
        assert_eq!(self.sim.requests("ACR").len(), self.seen);
        let report = http(server.http, "GET", "/charging/report", &[], "").body;
        assert!(report.contains("\"adds_up\":true"), "{report}");
    }
}

#[track_caller]
fn published(ua: &mut Ua, user: &str) {
    let answer = ua.ask(&Request::publish(user, &pidf(user, "open", "here")));
    assert_eq!(answer.status(), Some(200), "{answer:?}");
}

fn register(expires: u32) -> Request {
    Request::new("REGISTER", "sip:ps.test")
        .with("From", "<sip:scscf.ims.test>;tag=s")
        .with("To", format!("<{BOB}>"))
        .with("P-Associated-URI", format!("<{BOB}>, <tel:+15551230002>"))
        .with("Contact", "<sip:scscf.ims.test:5070>")
        .with("Expires", expires)
}

/// TS 32.260 §5.2.1: each final response that is received or sent, with what it was.
#[test]
fn each_answer_to_each_method_is_a_record_with_its_cause() {
    let folder = tempfile::tempdir().unwrap();
    let mut records = Records::start(folder.path());
    let server = charging_at(&records.sim, "[registration]\nreg_event = false");
    let mut ua = Ua::new(server.sip);
    assert_eq!(ua.ask(&register(600)).status(), Some(200));
    records.are("registered", &[is("REGISTER", "", 1, -1)]);
    published(&mut ua, BOB);
    records.are("published", &[is("PUBLISH", "presence", 1, -1)]);
    let stale = Request::publish(BOB, "").with("SIP-If-Match", "none");
    assert_eq!(ua.ask(&stale).status(), Some(412));
    let odd = Request::subscribe(BOB, BOB).without("Event");
    assert_eq!(ua.ask(&odd.with("Event", "dialog")).status(), Some(489));
    records.are(
        "refused",
        &[
            is("PUBLISH", "presence", 1, 412),
            is("SUBSCRIBE", "dialog", 1, 489),
        ],
    );
    let (mut own, _) = ua.watch(&Request::subscribe(BOB, BOB));
    let subscribed = is("SUBSCRIBE", "presence", 1, -1);
    let told = is("NOTIFY", "presence", 0, -1);
    records.are("watched", &[subscribed.clone(), told.clone()]);
    assert_eq!(ua.ask(&own.refresh(300)).status(), Some(200));
    ua.notify(&own.call_id);
    records.are("refreshed", &[subscribed, told.clone()]);
    assert_eq!(ua.ask(&own.refresh(0)).status(), Some(200));
    ua.notify(&own.call_id);
    records.are("ended", &[is("SUBSCRIBE", "presence", 1, -2), told]);
    for package in ["presence.winfo", "xcap-diff"] {
        let request = Request::subscribe(BOB, BOB)
            .without("Event")
            .without("Accept")
            .with("Event", package);
        ua.watch(&request);
        let expected = [
            is("SUBSCRIBE", package, 1, -1),
            is("NOTIFY", package, 0, -1),
        ];
        records.are(package, &expected);
    }
    assert_eq!(ua.ask(&register(0)).status(), Some(200));
    let [gone] = &records.next(1)[..] else {
        panic!("one record")
    };
    assert_eq!(trigger(gone), is("REGISTER", "", 1, -3));
    let expires = &ims(gone)["Event-Type"][0]["Expires"][0];
    assert_eq!(number(expires), 0, "de-registration");
    let set = &ims(gone)["Associated-URI"];
    assert_eq!(
        set.to_string(),
        r#"["tel:+15551230002"]"#,
        "the others of the set"
    );
    records.end(&server, &mut ua);
    server.stop();
}

#[test]
fn what_a_watcher_answers_to_a_notify_is_in_its_record() {
    let folder = tempfile::tempdir().unwrap();
    let mut records = Records::start(folder.path());
    let server = charging_at(&records.sim, "");
    let mut ua = Ua::new(server.sip);
    for (answer, cause) in [
        ("202 Accepted", -202),
        ("302 Moved Temporarily", -302),
        ("404 Not Found", 404),
        ("481 Subscription Does Not Exist", 481),
        ("500 Server Internal Error", 500),
        ("603 Decline", 603),
    ] {
        ua.answer = Some(answer);
        ua.watch(&Request::subscribe(BOB, BOB));
        let expected = [
            is("SUBSCRIBE", "presence", 1, -1),
            is("NOTIFY", "presence", 0, cause),
        ];
        records.are(answer, &expected);
        // those who went away for the time being are not to be told again
        ua = Ua::new(server.sip);
    }
    server.stop();
}

/// TS 24.229: a dialog has one icid, and its first request alone names who charges; what follows in it has a handle of
/// ours as Request-URI.
#[test]
fn what_follows_in_a_dialog_is_charged_like_the_request_that_opened_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut records = Records::start(folder.path());
    let server = charging_at(&records.sim, "");
    let mut ua = Ua::new(server.sip);
    let first = Request::subscribe(BOB, BOB).with(
        "P-Charging-Vector",
        "icid-value=dialog-1;orig-ioi=home1.net",
    );
    let (mut own, _) = ua.watch(&first);
    for vector in [None, Some("icid-value=two")] {
        let refresh = own.refresh(300);
        let refresh = match vector {
            Some(vector) => refresh.with("P-Charging-Vector", vector),
            None => refresh,
        };
        assert_eq!(ua.ask(&refresh).status(), Some(200));
        ua.notify(&own.call_id);
    }
    let all = records.next(6);
    let subscribes: Vec<&Value> = all.iter().filter(|r| trigger(r).0 == "SUBSCRIBE").collect();
    let said: Vec<(String, String, String)> = subscribes
        .iter()
        .map(|record| {
            let value = |name: &str| text(&ims(record)[name][0]);
            let ioi = &ims(record)["Inter-Operator-Identifier"][0]["Originating-IOI"][0];
            let called = value("Called-Party-Address");
            (called, value("IMS-Charging-Identifier"), text(ioi))
        })
        .collect();
    let is = |icid: &str, ioi: &str| (BOB.to_owned(), icid.to_owned(), ioi.to_owned());
    let expected = [
        is("dialog-1", "home1.net"),
        is("dialog-1", "home1.net"),
        is("two", ""),
    ];
    assert_eq!(said, expected);
    server.stop();
}

/// RFC 5502, TS 32.260 §5.1: Subscription-Id is the user for whom the S-CSCF asks; else whom it asserts.
#[test]
fn the_served_user_pays_and_else_whom_the_core_asserts() {
    const ASSERTED: &str = "<sip:+15551230001@ims.test;user=phone>, <tel:+1-555-123-0001>";
    let folder = tempfile::tempdir().unwrap();
    let sim = Sim::start(folder.path(), &["cdf"]);
    for (payer, pays_of_bob) in [("served", true), ("requester", false)] {
        let before = sim.requests("ACR").len();
        let settings = format!("payer = \"{payer}\"");
        let server = charging_at(&sim, &settings);
        let mut ua = Ua::new(server.sip);
        let asserted = vec!["2 sip:+15551230001@ims.test;user=phone", "0 15551230001"];
        let bob = vec!["2 sip:bob@ims.test"];
        let cases = [
            ("nobody is served", "", asserted.clone()),
            (
                "the originating user",
                "<tel:+15551230001>;sescase=orig;regstate=reg",
                asserted.clone(),
            ),
            (
                "the terminating user",
                "<sip:bob@ims.test>;sescase=term;regstate=reg",
                match pays_of_bob {
                    true => bob,
                    false => asserted.clone(),
                },
            ),
        ];
        for (_, served, _) in &cases {
            let mut request = Request::subscribe(ALICE, BOB)
                .without("P-Asserted-Identity")
                .with("P-Asserted-Identity", ASSERTED);
            if !served.is_empty() {
                request = request.with("P-Served-User", served);
            }
            assert_eq!(ua.ask(&request).status(), Some(403), "bob has no rules");
        }
        let found = sim.wait("ACR", before + cases.len());
        for ((case, _, pays), record) in cases.iter().zip(&found[before..]) {
            assert_eq!(&payers(record), pays, "{payer}: {case}");
            let calling = &ims(record)["Calling-Party-Address"];
            let calling: Vec<String> = calling.as_array().unwrap().iter().map(text).collect();
            let written = [
                "sip:+15551230001@ims.test;user=phone",
                "tel:+1-555-123-0001",
            ];
            assert_eq!(calling, written, "{case}: who asks stays who asks");
        }
        server.stop();
    }
}

/// RFC 5502: P-Served-User comes with the first SUBSCRIBE, and what follows in its dialog goes on the same account.
#[test]
fn a_notify_is_paid_by_whom_its_subscribe_was_also_after_kill_9() {
    const SERVED: &str = "<sip:bob@ims.test>;sescase=term;regstate=reg";
    let folder = tempfile::tempdir().unwrap();
    let mut records = Records::start(folder.path());
    for (settings, served, of_subscribe, of_notify) in [
        ("", "", ALICE, ALICE),
        ("", SERVED, BOB, BOB),
        ("notify_payer = \"presentity\"", "", ALICE, BOB),
    ] {
        let mut server = charging_at(&records.sim, settings);
        let mut ua = Ua::new(server.sip);
        assert_eq!(server.put_rules(BOB, &rules(ALICE, "allow")), 201);
        let mut request = Request::subscribe(ALICE, BOB);
        if !served.is_empty() {
            request = request.with("P-Served-User", served);
        }
        let (mut watching, _) = ua.watch(&request);
        let mut both = |case: &str| {
            let found = records.next(2);
            let methods: Vec<String> = found.iter().map(|record| trigger(record).0).collect();
            assert_eq!(methods, ["SUBSCRIBE", "NOTIFY"], "{case}");
            let payers: Vec<_> = found.iter().flat_map(payers).collect();
            let expected = [of_subscribe, of_notify].map(|payer| format!("2 {payer}"));
            assert_eq!(payers, expected, "{case} {settings} {served}");
        };
        both("opened");
        spool_is_empty(&server); // what a CDF has and the store has not heard of would come twice
        server.kill9();
        server.launch();
        assert_eq!(ua.ask(&watching.refresh(300)).status(), Some(200));
        ua.notify(&watching.call_id);
        both("refreshed");
        assert_eq!(ua.ask(&watching.refresh(0)).status(), Some(200));
        ua.notify(&watching.call_id);
        both("ended");
        server.stop();
    }
}

fn payers(record: &Value) -> Vec<String> {
    let groups = record["avps"]["Service-Information"][0]["Subscription-Id"].as_array();
    let one = |group: &Value| {
        let kind = number(&group["Subscription-Id-Type"][0]);
        format!("{kind} {}", text(&group["Subscription-Id-Data"][0]))
    };
    groups.into_iter().flatten().map(one).collect()
}

/// The list of alice: bob, who is served here, and zoe, who is not.
fn serve_list(server: &Server) {
    let body = format!(
        "<rls-services xmlns=\"urn:ietf:params:xml:ns:rls-services\" \
         xmlns:rl=\"urn:ietf:params:xml:ns:resource-lists\"><service uri=\"{LIST}\"><list>\
         <rl:entry uri=\"{BOB}\"/><rl:entry uri=\"{ZOE}\"/></list>\
         <packages><package>presence</package></packages></service></rls-services>"
    );
    let path = format!("/xcap-root/rls-services/users/{ALICE}/index");
    let asserted = format!("\"{ALICE}\"");
    let headers = [
        ("Content-Type", "application/rls-services+xml"),
        ("X-3GPP-Asserted-Identity", asserted.as_str()),
    ];
    let answer = http(server.http, "PUT", &path, &headers, &body);
    assert_eq!(answer.status, 201, "{answer:?}");
}

/// Answers the SUBSCRIBE of the list server as zoe's server does, and tells of her.
fn tell_of_zoe(core: &mut Ua, subscribe: &Message) {
    let tagged = format!("{};tag=z", subscribe.get("to"));
    let answer = subscribe.answer("200 OK").replace(
        "Content-Length: 0\r\n",
        &format!(
            "Contact: <sip:{}>\r\nExpires: 3600\r\nContent-Length: 0\r\n",
            core.me()
        ),
    );
    let plain = format!("to: {}\r\n", subscribe.get("to"));
    assert!(answer.contains(&plain), "{answer}");
    core.send(
        answer
            .replace(&plain, &format!("to: {tagged}\r\n"))
            .as_bytes(),
    );
    let notify = Request::new("NOTIFY", &subscribe.uri("contact"))
        .with("From", tagged)
        .with("To", subscribe.get("from"))
        .with("Call-ID", subscribe.get("call-id"))
        .with("Event", "presence")
        .with("Subscription-State", "active;expires=3600")
        .with("P-Charging-Vector", "icid-value=icid-zoe")
        .body("application/pidf+xml", &pidf(ZOE, "open", "far away"));
    assert_eq!(core.ask(&notify).status(), Some(200));
}

/// RFC 4662 servers: the SUBSCRIBE to the list, each NOTIFY about it, and both directions of each member elsewhere.
#[test]
fn each_step_of_a_list_is_a_record_of_its_watcher() {
    let folder = tempfile::tempdir().unwrap();
    let mut records = Records::start(folder.path());
    let mut core = Ua::new(([127, 0, 0, 1], 9).into());
    let settings = format!(
        "[charging.triggers]\nnotify_received = true\n[rls]\nnotify_interval_ms = 0\n\
         [rls.back_ends]\ncore = \"sip:{}\"\n",
        core.me()
    );
    let server = charging_at(&records.sim, &settings);
    core.server = server.sip;
    core.answer = None;
    let mut ua = Ua::new(server.sip);
    assert_eq!(server.put_rules(BOB, &rules(ALICE, "allow")), 201);
    serve_list(&server);
    let request = Request::subscribe(ALICE, LIST)
        .without("Accept")
        .with("Supported", "eventlist")
        .with("P-Charging-Vector", "icid-value=icid-alice")
        .with(
            "Accept",
            "application/pidf+xml, application/rlmi+xml, multipart/related",
        );
    let (watching, _) = ua.watch(&request);
    let subscribe = core.request(SOON).expect("a SUBSCRIBE to zoe");
    assert!(subscribe.is_request("SUBSCRIBE"), "{subscribe:?}");
    tell_of_zoe(&mut core, &subscribe);
    ua.notify(&watching.call_id);
    let mut found = records.next(5);
    found.sort_by_key(|record| {
        (
            trigger(record),
            text(&ims(record)["IMS-Charging-Identifier"][0]),
        )
    });
    let triggers: Vec<Trigger> = found.iter().map(trigger).collect();
    let expected = [
        is("NOTIFY", "presence", 0, -1),
        is("NOTIFY", "presence", 0, -1),
        is("NOTIFY", "presence", 1, -1),
        is("SUBSCRIBE", "presence", 0, -1),
        is("SUBSCRIBE", "presence", 1, -1),
    ];
    assert_eq!(triggers, expected);
    let icids: Vec<String> = found
        .iter()
        .map(|record| text(&ims(record)["IMS-Charging-Identifier"][0]))
        .collect();
    let watcher = "icid-alice";
    assert_eq!([&icids[0], &icids[1], &icids[4]], [watcher; 3]);
    assert_eq!(icids[2], "icid-zoe", "as her server says");
    assert!(!icids[3].is_empty() && icids[3] != watcher, "a new dialog");
    for (at, members) in [
        (0, Some(2)),
        (1, Some(2)),
        (2, None),
        (3, None),
        (4, Some(2)),
    ] {
        let facts = &ims(&found[at])["Service-Specific-Info"][0];
        let said = match facts["Service-Specific-Type"][0].is_null() {
            true => None,
            false => Some(number(&facts["Service-Specific-Data"][0])),
        };
        assert_eq!(said, members, "{:#?}", ims(&found[at]));
    }
    for at in [0, 1, 3, 4] {
        assert_eq!(payers(&found[at]), [format!("2 {ALICE}")], "{at}");
    }
    assert_eq!(text(&ims(&found[3])["Called-Party-Address"][0]), ZOE);
    server.stop();
}

/// What the network asks for itself is nobody's to pay: the subscription to a registration, and its NOTIFYs.
#[test]
fn what_the_server_asks_for_itself_makes_no_record() {
    let folder = tempfile::tempdir().unwrap();
    let mut records = Records::start(folder.path());
    let triggers = "[charging.triggers]\nnotify_received = true";
    let server = charging_at(&records.sim, triggers);
    let mut ua = Ua::new(server.sip);
    let mut core = Ua::new(server.sip);
    let registered = Request::new("REGISTER", "sip:ps.test")
        .with("From", "<sip:scscf.ims.test>;tag=s")
        .with("To", format!("<{BOB}>"))
        .with("Contact", format!("<sip:{}>", core.me()))
        .with("Expires", 600);
    assert_eq!(ua.ask(&registered).status(), Some(200));
    let subscribe = core.request(SOON).expect("a SUBSCRIBE of the server");
    assert_eq!(subscribe.get("event"), "reg");
    records.are("the REGISTER alone", &[is("REGISTER", "", 1, -1)]);
    records.end(&server, &mut ua);
    server.stop();
}
