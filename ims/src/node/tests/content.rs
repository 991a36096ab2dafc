//! Content rules (RFC 5025 §3.3 and OMA's), written over XCAP and seen in what a watcher is sent.

use super::*;

const CAROL: &str = "sip:carol@ims.test";
const FULL: &str = include_str!("../../../../tests/data/pidf/oma-full.xml");

fn full() -> String {
    FULL.replace("sip:bob@home1.test", BOB)
}

impl Bench {
    /// The document that alice is sent under these transformations, from bob's full one.
    fn shown(&mut self, granted: &str) -> String {
        self.transformations(granted);
        self.fetch_document()
    }

    /// One rule for each of these watchers, allowed, with these transformations.
    fn rules_for(&mut self, rules: &[(&str, &str)]) {
        let rule = |(i, (watcher, granted)): (usize, &(&str, &str))| {
            format!(
                "<rule id=\"r{i}\"><conditions><identity><one id=\"{watcher}\"/></identity></conditions><actions>\
                 <pr:sub-handling>allow</pr:sub-handling></actions><transformations>{granted}</transformations></rule>"
            )
        };
        let rules: String = rules.iter().enumerate().map(rule).collect();
        self.put_rules(
            BOB,
            &format!(
                "<ruleset xmlns=\"urn:ietf:params:xml:ns:common-policy\" xmlns:pr=\"urn:ietf:params:xml:ns:pres-rules\" \
                 xmlns:op=\"urn:oma:xml:prs:pres-rules\">{rules}</ruleset>"
            ),
        );
    }

    fn subscribe_as(&mut self, watcher: &str, more: &str) -> Vec<Sent> {
        let head = format!(
            "Event: presence\r\nFrom: <{watcher}>;tag=w\r\nP-Asserted-Identity: <{watcher}>\r\nContact: <sip:10.0.0.2:5060>\r\n{more}"
        );
        self.ask("SUBSCRIBE", BOB, &head, "")
    }
}

fn with_full_document() -> Bench {
    let mut bench = Bench::strict();
    bench.publish_body(&full());
    bench
}

#[test]
fn allowed_without_transformations_is_a_valid_document_without_content() {
    let mut bench = with_full_document();
    let shown = bench.shown("");
    assert!(
        shown.ends_with(&format!(
            "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"{BOB}\"></presence>"
        )),
        "{shown}"
    );
}

#[test]
fn components_are_granted_by_what_names_them() {
    let mut bench = with_full_document();
    let services = |inside: &str| format!("<pr:provide-services>{inside}</pr:provide-services>");
    let persons = |inside: &str| format!("<pr:provide-persons>{inside}</pr:provide-persons>");
    let devices = |inside: &str| format!("<pr:provide-devices>{inside}</pr:provide-devices>");
    let uuid = "urn:uuid:48662e19-5fbf-43fc-a2fd-d23002787599";
    for (case, granted, ids) in [
        (
            "service by scheme",
            services("<pr:service-uri-scheme>mailto</pr:service-uri-scheme>"),
            vec!["mail"],
        ),
        (
            "service by class",
            services("<pr:class>work</pr:class>"),
            vec!["im"],
        ),
        (
            "class in other letters",
            services("<pr:class>Work</pr:class>"),
            vec![],
        ),
        (
            "service by URI",
            services(&format!("<pr:service-uri>{BOB}</pr:service-uri>")),
            vec!["im"],
        ),
        (
            "service by occurrence",
            services("<pr:occurrence-id>mail</pr:occurrence-id>"),
            vec!["mail"],
        ),
        (
            "service by OMA id",
            services("<op:service-id>org.openmobilealliance:IM-session</op:service-id>"),
            vec!["im"],
        ),
        (
            "services by two of these",
            services("<pr:class>work</pr:class><pr:occurrence-id>mail</pr:occurrence-id>"),
            vec!["im", "mail"],
        ),
        (
            "all services",
            services("<pr:all-services/>"),
            vec!["im", "mail"],
        ),
        ("no service", services(""), vec![]),
        (
            "person by class",
            persons("<pr:class>private</pr:class>"),
            vec!["p1"],
        ),
        (
            "person by occurrence",
            persons("<pr:occurrence-id>p1</pr:occurrence-id>"),
            vec!["p1"],
        ),
        (
            "another person",
            persons("<pr:occurrence-id>p2</pr:occurrence-id>"),
            vec![],
        ),
        ("all persons", persons("<pr:all-persons/>"), vec!["p1"]),
        (
            "device by id",
            devices(&format!(
                "<pr:deviceID>{}</pr:deviceID>",
                uuid.to_uppercase()
            )),
            vec!["d1"],
        ),
        (
            "device by occurrence",
            devices("<pr:occurrence-id>d1</pr:occurrence-id>"),
            vec!["d1"],
        ),
        ("all devices", devices("<pr:all-devices/>"), vec!["d1"]),
        (
            "everything",
            services("<pr:all-services/>")
                + &persons("<pr:all-persons/>")
                + &devices("<pr:all-devices/>"),
            vec!["im", "mail", "p1", "d1"],
        ),
    ] {
        let shown = bench.shown(&granted);
        let found: Vec<&str> = ["im", "mail", "p1", "d1"]
            .into_iter()
            .filter(|id| shown.contains(&format!(" id=\"{id}\"")))
            .collect();
        assert_eq!(found, ids, "{case}: {shown}");
    }
}

const ALL: &str = "<pr:provide-services><pr:all-services/></pr:provide-services><pr:provide-persons>\
    <pr:all-persons/></pr:provide-persons><pr:provide-devices><pr:all-devices/></pr:provide-devices>";

#[test]
fn of_a_granted_component_the_basics_are_always_shown() {
    let mut bench = with_full_document();
    let shown = bench.shown(ALL);
    for basic in [
        "<basic>open</basic>",
        &format!("<contact priority=\"0.8\">{BOB}</contact>"),
        "<rpid:electronic/>",
        "<timestamp>",
        "</pdm:timestamp></pdm:person>",
        "</pdm:deviceID><pdm:timestamp>",
    ] {
        assert!(shown.contains(basic), "{basic}: {shown}");
    }
}

#[test]
fn user_input_is_shown_by_levels() {
    let mut bench = with_full_document();
    for (level, wanted) in [
        ("false", None),
        ("bare", Some(">idle<")),
        ("thresholds", Some(" idle-threshold=\"600\">idle<")),
        (
            "full",
            Some(
                "<rpid:user-input idle-threshold=\"600\" last-input=\"2026-01-02T03:04:05Z\" id=\"ui1\">idle<",
            ),
        ),
    ] {
        let shown = bench.shown(&format!(
            "{ALL}<pr:provide-user-input>{level}</pr:provide-user-input>"
        ));
        assert_eq!(
            shown.contains("user-input"),
            wanted.is_some(),
            "{level}: {shown}"
        );
        assert!(
            wanted.is_none_or(|wanted| shown.contains(wanted)),
            "{level}: {shown}"
        );
        let attributes = [
            shown.contains("idle-threshold"),
            shown.contains("last-input"),
        ];
        assert_eq!(
            attributes,
            [matches!(level, "thresholds" | "full"), level == "full"],
            "{level}"
        );
    }
}

#[test]
fn attributes_of_unknown_namespaces_are_granted_by_name_or_all_together() {
    let mut bench = with_full_document();
    let unknown = |ns: &str, name: &str, value: &str| {
        format!(
            "{ALL}<pr:provide-unknown-attribute ns=\"{ns}\" name=\"{name}\">{value}</pr:provide-unknown-attribute>"
        )
    };
    for (case, granted, seen) in [
        (
            "by its name",
            unknown("urn:example:extension", "secret", "true"),
            true,
        ),
        (
            "withheld by its name",
            unknown("urn:example:extension", "secret", "false"),
            false,
        ),
        (
            "another namespace",
            unknown("urn:example:other", "secret", "true"),
            false,
        ),
        (
            "another name",
            unknown("urn:example:extension", "weather", "true"),
            false,
        ),
        (
            "all attributes",
            format!("{ALL}<pr:provide-all-attributes/>"),
            true,
        ),
        ("no attribute", ALL.to_owned(), false),
    ] {
        let shown = bench.shown(&granted);
        let found = shown.contains("<x:secret level=\"3\">tuple extension</x:secret>");
        assert_eq!(found, seen, "{case}: {shown}");
        assert_eq!(
            shown.contains("urn:example:extension"),
            seen,
            "{case}: no trace of it"
        );
    }
    let mood = bench.shown(&unknown("urn:ietf:params:xml:ns:pidf:rpid", "mood", "true"));
    assert!(
        !mood.contains("mood"),
        "§3.3.2.14: not for attributes that have a permission: {mood}"
    );
}

#[test]
fn two_watchers_see_two_documents_of_one_state() {
    let mut bench = with_full_document();
    bench.rules_for(&[
        (
            ALICE,
            &format!("{ALL}<pr:provide-mood>true</pr:provide-mood>"),
        ),
        (
            CAROL,
            &format!("{ALL}<pr:provide-activities>true</pr:provide-activities>"),
        ),
    ]);
    let alice = bench.subscribe_as(ALICE, "")[1].body().to_owned();
    let carol = bench.subscribe_as(CAROL, "")[1].body().to_owned();
    assert!(
        alice.contains("<rpid:mood>") && !alice.contains("activities"),
        "{alice}"
    );
    assert!(
        carol.contains("<rpid:activities") && !carol.contains("mood"),
        "{carol}"
    );
}

#[test]
fn what_was_shown_is_shown_alike_when_it_is_published_itself() {
    for granted in [
        ALL.to_owned(),
        format!("{ALL}<pr:provide-user-input>bare</pr:provide-user-input><pr:provide-note>true</pr:provide-note>"),
        "<pr:provide-services><pr:class>work</pr:class></pr:provide-services>".to_owned(),
        "<pr:provide-persons><pr:class>private</pr:class></pr:provide-persons><pr:provide-mood>1</pr:provide-mood>".to_owned(),
        format!("{ALL}<pr:provide-all-attributes/>"),
    ] {
        let mut bench = with_full_document();
        let once = bench.shown(&granted);
        let mut bench = Bench::strict();
        bench.publish_body(&once);
        assert_eq!(bench.shown(&granted), once, "{granted}");
    }
}

#[test]
fn a_change_that_the_watcher_may_not_see_is_not_told() {
    let mut bench = Bench::strict();
    bench.rules_for(&[
        (ALICE, ALL),
        (CAROL, &format!("{ALL}<pr:provide-all-attributes/>")),
    ]);
    let mut published = bench.publish_body(&full());
    for watcher in [ALICE, CAROL] {
        let sent = bench.subscribe_as(watcher, "");
        bench.answer(&sent[1], 200, "");
    }
    bench.wait(10_000);
    for (case, body, told) in [
        (
            "mood",
            full().replace("<rpid:happy/>", "<rpid:sad/>"),
            vec![CAROL],
        ),
        (
            "an unknown namespace",
            full().replace("sunny", "rainy"),
            vec![CAROL],
        ),
        ("back to what it was", full(), vec![CAROL]),
        (
            "status",
            full().replace("<basic>open</basic><x", "<basic>closed</basic><x"),
            vec![ALICE, CAROL],
        ),
    ] {
        bench.now += 10_000;
        let head = format!(
            "Event: presence\r\nP-Asserted-Identity: <{BOB}>\r\nContent-Type: application/pidf+xml\r\nSIP-If-Match: {}\r\n",
            published.get("SIP-ETag")
        );
        let mut sent = bench.ask("PUBLISH", BOB, &head, &body);
        published = sent.remove(0);
        assert_eq!(published.status(), 200, "{case}");
        sent.extend(bench.wait(400));
        let notified: Vec<&Sent> = sent.iter().filter(|s| s.method() == "NOTIFY").collect();
        let mut who: Vec<&str> = [ALICE, CAROL]
            .into_iter()
            .filter(|watcher| notified.iter().any(|s| s.get("To").contains(watcher)))
            .collect();
        who.sort_unstable();
        assert_eq!(who, told, "{case}");
        for notify in notified {
            bench.answer(notify, 200, "");
        }
    }
}

#[test]
fn a_document_is_made_once_for_all_who_see_the_same() {
    let mut bench = Bench::strict();
    let watchers: Vec<String> = (0..8).map(|i| format!("sip:w{i}@ims.test")).collect();
    let all = format!("{ALL}<pr:provide-all-attributes/>");
    let rules: Vec<(&str, &str)> = (0..)
        .zip(&watchers)
        .map(|(i, watcher)| {
            (
                watcher.as_str(),
                if i % 2 == 0 { ALL } else { all.as_str() },
            )
        })
        .collect();
    bench.rules_for(&rules);
    for watcher in &watchers {
        let sent = bench.subscribe_as(watcher, "");
        bench.answer(&sent[1], 200, "");
    }
    bench.wait(10_000);
    let before = bench.node.presence.rendered();
    bench.publish_body(&full());
    let told = bench
        .sent(true)
        .iter()
        .filter(|s| s.method() == "NOTIFY")
        .count();
    assert_eq!(told, watchers.len());
    let rendered = bench.node.presence.rendered() - before;
    assert_eq!(
        rendered, 2,
        "one document for each distinct outcome of the rules"
    );
}
