//! Rules that name lists, on live subscriptions: what happens when only the list changes.

use super::*;

const LISTS: &str = "resource-lists/users/sip:bob@ims.test/index";
const RULES: &str = "pres-rules/users/sip:bob@ims.test/index";

/// Bob's list of this name, as rules name it.
fn anchor(list: &str) -> String {
    format!("http://xcap.ims.test/xcap-root/{LISTS}/~~/resource-lists/list%5B@name=%22{list}%22%5D")
}

fn xcap(bench: &mut Bench, method: xdm::Method, target: &str, kind: &str, body: &str) -> Vec<Sent> {
    let request = xdm::Request {
        method,
        target: target.into(),
        query: None,
        content_type: Some(kind.into()),
        content_encoding: None,
        if_match: None,
        if_none_match: None,
        body: body.to_owned().into(),
        identity: xdm::Identity::User(BOB.into()),
    };
    let sent = bench.feed(Input::Xcap {
        number: 1,
        request: &request,
    });
    let taken =
        |effect: &Effect| matches!(effect, Effect::Xcap { response, .. } if response.status < 300);
    assert!(bench.out.held.iter().any(taken), "{:?}", bench.out);
    sent
}

/// Bob writes his lists: name and members of each.
pub(super) fn put_lists(bench: &mut Bench, lists: &[(&str, &[&str])]) -> Vec<Sent> {
    let list = |(name, members): &(&str, &[&str])| {
        let entries: String = members
            .iter()
            .map(|uri| format!("<entry uri=\"{uri}\"/>"))
            .collect();
        format!("<list name=\"{name}\">{entries}</list>")
    };
    let body = format!(
        "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\">{}</resource-lists>",
        lists.iter().map(list).collect::<String>()
    );
    let kind = "application/resource-lists+xml";
    xcap(bench, xdm::Method::Put, LISTS, kind, &body)
}

fn delete_lists(bench: &mut Bench) -> Vec<Sent> {
    xcap(bench, xdm::Method::Delete, LISTS, "", "")
}

pub(super) fn put_rules(bench: &mut Bench, rules: &str) -> Vec<Sent> {
    let body = format!(
        "<cp:ruleset xmlns:cp=\"urn:ietf:params:xml:ns:common-policy\" xmlns:pr=\"urn:ietf:params:xml:ns:pres-rules\" \
         xmlns:ocp=\"urn:oma:xml:xdm:common-policy\" xmlns:o=\"urn:presentia:xml:ordered-policy\">{rules}</cp:ruleset>"
    );
    let kind = "application/auth-policy+xml";
    xcap(bench, xdm::Method::Put, RULES, kind, &body)
}

/// Members of the list `friends` are handled so, everybody else waits.
pub(super) fn rules(handling: &str) -> String {
    let shown = match handling {
        "allow" => {
            "<cp:transformations><pr:provide-services><pr:all-services/></pr:provide-services>\
             <pr:provide-note>true</pr:provide-note></cp:transformations>"
        }
        _ => "",
    };
    format!(
        "<cp:rule id=\"l\"><cp:conditions><ocp:external-list><ocp:entry anc=\"{}\"/></ocp:external-list>\
         </cp:conditions><cp:actions><pr:sub-handling>{handling}</pr:sub-handling></cp:actions>{shown}</cp:rule>\
         <cp:rule id=\"o\"><cp:conditions><ocp:other-identity/></cp:conditions><cp:actions><pr:sub-handling>confirm\
         </pr:sub-handling></cp:actions></cp:rule>",
        anchor("friends")
    )
}

/// State and body of the NOTIFYs among what was sent, each of which the watcher answers.
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

fn is(told: &[(String, bool)], state: &str, shown: bool) -> bool {
    told == [(state.to_owned(), shown)]
}

#[test]
fn a_member_added_to_a_list_is_let_in_at_once_and_one_removed_is_put_off() {
    for restarts in [false, true] {
        let mut bench = Bench::strict();
        put_rules(&mut bench, &rules("allow"));
        bench.publish("", "hello");
        let sent = bench.subscribe("");
        assert!(
            is(&told(&mut bench, &sent), "pending", false),
            "the list is not there"
        );
        let restart = |bench: &mut Bench| {
            if restarts {
                bench.restart(10_000);
                let sent = bench.wait(10_000);
                told(bench, &sent);
            }
        };
        restart(&mut bench);
        let sent = put_lists(&mut bench, &[("friends", &["sip:carol@ims.test"])]);
        assert!(
            told(&mut bench, &sent).is_empty(),
            "nothing changes for alice"
        );
        restart(&mut bench);
        let sent = put_lists(&mut bench, &[("friends", &["sip:carol@ims.test", ALICE])]);
        assert!(
            is(&told(&mut bench, &sent), "active", true),
            "restarts: {restarts}"
        );
        restart(&mut bench);
        let sent = put_lists(&mut bench, &[("friends", &[])]);
        assert!(
            is(&told(&mut bench, &sent), "pending", false),
            "restarts: {restarts}"
        );
        put_lists(&mut bench, &[("friends", &[ALICE])]);
        let sent = bench.wait(10_000);
        told(&mut bench, &sent);
        restart(&mut bench);
        let sent = delete_lists(&mut bench);
        assert!(
            is(&told(&mut bench, &sent), "pending", false),
            "restarts: {restarts}"
        );
    }
}

#[test]
fn a_member_added_to_a_blocked_list_is_sent_away_at_once() {
    let mut bench = Bench::strict();
    let everybody = "<cp:rule id=\"e\"><cp:conditions><ocp:other-identity/></cp:conditions><cp:actions>\
                     <pr:sub-handling>allow</pr:sub-handling></cp:actions></cp:rule>";
    let block = rules("block");
    let (block, _) = block.split_once("<cp:rule id=\"o\">").unwrap();
    put_rules(&mut bench, &format!("{block}{everybody}"));
    assert_eq!(
        bench.subscribe("")[0].status(),
        403,
        "a list that cannot be read may hold her"
    );
    put_lists(&mut bench, &[("friends", &[])]);
    let sent = bench.subscribe("");
    assert!(is(&told(&mut bench, &sent), "active", false));
    let sent = put_lists(&mut bench, &[("friends", &[ALICE])]);
    assert!(is(
        &told(&mut bench, &sent),
        "terminated;reason=rejected",
        false
    ));
}

#[test]
fn a_list_may_know_the_watcher_by_number_and_learns_whose_it_is_while_it_watches() {
    let number = "tel:+3615550002";
    let mut bench = Bench::strict();
    bench.publish("", "hello");
    put_rules(&mut bench, &rules("allow"));
    put_lists(&mut bench, &[("friends", &["tel:+36-1-555-0002"])]);
    let sent = bench.subscribe("");
    assert!(is(&told(&mut bench, &sent), "pending", false));
    let head = format!(
        "To: <{ALICE}>\r\nExpires: 600\r\nContact: <sip:10.0.0.9>\r\nP-Associated-URI: <{ALICE}>, <{number}>\r\n"
    );
    let sent = bench.ask("REGISTER", "sip:ps.ims.test", &head, "");
    assert_eq!(sent[0].status(), 200, "{}", sent[0].text);
    assert!(is(&told(&mut bench, &sent), "active", true));
    put_lists(&mut bench, &[("friends", &[])]);
    bench.wait(10_000);
    let named = rules("allow").replace(
        "<cp:rule id=\"l\">",
        &format!(
            "<cp:rule id=\"n\"><cp:conditions><cp:identity><cp:one id=\"{number}\"/></cp:identity></cp:conditions>\
             <cp:actions><pr:sub-handling>polite-block</pr:sub-handling></cp:actions></cp:rule><cp:rule id=\"l\">"
        ),
    );
    let sent = put_rules(&mut bench, &named);
    assert!(
        is(&told(&mut bench, &sent), "active", false),
        "and so does a rule"
    );
}

/// An order of lists: handling and name of each.
fn order(attributes: &str, lists: &[(&str, &str)]) -> String {
    let list = |(handling, name): &(&str, &str)| {
        format!(
            "<o:list handling=\"{handling}\"><o:entry anc=\"{}\"/></o:list>",
            anchor(name)
        )
    };
    format!(
        "<cp:rule id=\"r\"><cp:actions><o:ordered-policy {attributes}>{}</o:ordered-policy></cp:actions></cp:rule>",
        lists.iter().map(list).collect::<String>()
    )
}

#[test]
fn the_first_list_of_several_of_each_kind_decides() {
    let (reject, accept, second, last) = (
        ("block", "reject"),
        ("allow", "accept"),
        ("block", "reject-too"),
        ("allow", "accept-too"),
    );
    let all = [reject, accept, second, last];
    for (case, attributes, lists, on, state) in [
        ("on the first reject list", "", all, vec!["reject"], "403"),
        (
            "on the first accept list",
            "",
            all,
            vec!["accept"],
            "active",
        ),
        (
            "on the second reject list",
            "",
            all,
            vec!["reject-too"],
            "403",
        ),
        (
            "on the second accept list",
            "",
            all,
            vec!["accept-too"],
            "active",
        ),
        (
            "on a reject list before an accept list",
            "",
            all,
            vec!["reject", "accept"],
            "403",
        ),
        (
            "on an accept list before a reject list",
            "",
            all,
            vec!["accept", "reject-too"],
            "active",
        ),
        (
            "the other order",
            "",
            [accept, reject, last, second],
            vec!["reject", "accept"],
            "active",
        ),
        ("on no list", "", all, vec![], "403"),
        (
            "on no list, accepted by default",
            "default=\"allow\"",
            all,
            vec![],
            "active",
        ),
        (
            "on no list, rejected by default",
            "default=\"block\"",
            all,
            vec![],
            "403",
        ),
        (
            "on no list, deferred by default",
            "default=\"confirm\"",
            all,
            vec![],
            "pending",
        ),
        (
            "on no list, politely blocked by default",
            "default=\"polite-block\"",
            all,
            vec![],
            "active",
        ),
    ] {
        let mut bench = Bench::strict();
        put_rules(&mut bench, &order(attributes, &lists));
        let members = |name| {
            if on.contains(&name) {
                &[ALICE][..]
            } else {
                &[]
            }
        };
        let documents = all.map(|(_, name)| (name, members(name)));
        put_lists(&mut bench, &documents);
        let sent = bench.subscribe("");
        let found = match sent[0].status() {
            403 => "403".to_owned(),
            _ => told(&mut bench, &sent)[0].0.clone(),
        };
        assert_eq!(found, state, "{case}");
    }
}

#[test]
fn rules_of_both_usages_and_under_a_number_apply_together() {
    let number = "tel:+3615550001";
    let mut bench = Bench::strict();
    let head = format!(
        "To: <{BOB}>\r\nExpires: 600\r\nContact: <sip:10.0.0.9>\r\nP-Associated-URI: <{BOB}>, <{number}>\r\n"
    );
    bench.ask("REGISTER", "sip:ps.ims.test", &head, "");
    bench.publish("", "hello");
    put_rules(&mut bench, &rules("confirm"));
    put_lists(&mut bench, &[("friends", &[ALICE])]);
    let sent = bench.subscribe("");
    assert!(is(&told(&mut bench, &sent), "pending", false));
    let allow = rules("allow");
    let (allow, _) = allow.split_once("<cp:rule id=\"o\">").unwrap();
    let body = format!(
        "<cp:ruleset xmlns:cp=\"urn:ietf:params:xml:ns:common-policy\" xmlns:pr=\"urn:ietf:params:xml:ns:pres-rules\" \
         xmlns:ocp=\"urn:oma:xml:xdm:common-policy\">{allow}</cp:ruleset>"
    );
    let target = format!("org.openmobilealliance.pres-rules/users/{number}/pres-rules");
    let kind = "application/auth-policy+xml";
    let sent = xcap(&mut bench, xdm::Method::Put, &target, kind, &body);
    assert!(
        is(&told(&mut bench, &sent), "active", true),
        "the most that any document grants"
    );
    let sent = xcap(&mut bench, xdm::Method::Delete, &target, kind, "");
    assert!(is(&told(&mut bench, &sent), "pending", false));
}
