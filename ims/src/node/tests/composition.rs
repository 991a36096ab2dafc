//! Several sources of one presentity, as its watchers see them together.

use super::*;

const POC: &str = "sip:poc@as.ims.test";
const IM: &str = "sip:im@as.ims.test";

fn document(inside: &str) -> String {
    format!(
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" \
         xmlns:r=\"urn:ietf:params:xml:ns:pidf:rpid\" xmlns:op=\"urn:oma:xml:prs:pidf:oma-pres\" \
         entity=\"{BOB}\">{inside}</presence>"
    )
}

fn service(id: &str, more: &str) -> String {
    format!(
        "<tuple id=\"{id}\"><status><basic>open</basic></status>{more}<op:service-description>\
         <op:service-id>org.openmobilealliance:{id}</op:service-id><op:version>1.0</op:version>\
         </op:service-description><contact>{BOB}</contact></tuple>"
    )
}

impl Bench {
    /// `publisher` publishes for bob: the answer.
    fn publish_as(&mut self, publisher: &str, more: &str, inside: &str) -> Sent {
        let head = format!(
            "Event: presence\r\nP-Asserted-Identity: <{publisher}>\r\nContent-Type: application/pidf+xml\r\n{more}"
        );
        let body = if inside.is_empty() {
            String::new()
        } else {
            document(inside)
        };
        self.ask("PUBLISH", BOB, &head, &body).remove(0)
    }

    /// What alice sees now.
    fn fetch(&mut self) -> String {
        let sent = self.subscribe("Expires: 0\r\n");
        self.answer(&sent[1], 200, "");
        sent[1].body().to_owned()
    }
}

#[test]
fn an_application_server_that_the_operator_trusts_publishes_for_the_user() {
    let mut trusting = settings();
    trusting.publishers = vec![Aor::parse(POC).unwrap(), Aor::parse(IM).unwrap()];
    for (case, settings, publisher, status) in [
        ("trusted", trusting.clone(), POC, 200),
        ("the user itself", trusting.clone(), BOB, 200),
        ("another one", trusting.clone(), "sip:game@as.ims.test", 403),
        ("another user", trusting.clone(), ALICE, 403),
        ("nobody is trusted", settings(), POC, 403),
    ] {
        let mut bench = Bench::new(settings);
        let answer = bench.publish_as(publisher, "", &service("PoC-session", ""));
        assert_eq!(answer.status(), status, "{case}");
        let seen = bench.fetch().contains("PoC-session");
        assert_eq!(seen, status == 200, "{case}");
    }
    let mut bench = Bench::new(trusting);
    let foreign = document(&service("PoC-session", "")).replace(BOB, POC);
    let head = format!(
        "Event: presence\r\nP-Asserted-Identity: <{POC}>\r\nContent-Type: application/pidf+xml\r\n"
    );
    let answer = bench.ask("PUBLISH", BOB, &head, &foreign).remove(0);
    assert_eq!(answer.status(), 400, "the document is about the presentity");
}

#[test]
fn application_servers_and_the_terminal_stand_side_by_side_and_leave_one_by_one() {
    let mut settings = settings();
    settings.publishers = vec![Aor::parse(POC).unwrap(), Aor::parse(IM).unwrap()];
    let mut bench = Bench::new(settings);
    let session = "<op:session-participation><op:basic>open</op:basic></op:session-participation>";
    let poc = bench.publish_as(POC, "", &service("PoC-session", session));
    bench.publish_as(IM, "", &service("IM-session", ""));
    let willing = "<op:willingness><op:basic>open</op:basic></op:willingness>";
    let own = service("PoC-session", willing)
        + "<dm:person id=\"p\"><r:mood><r:happy/></r:mood></dm:person>";
    bench.publish_as(BOB, "", &own);

    let seen = bench.fetch();
    assert!(seen.contains(&format!("entity=\"{BOB}\"")), "{seen}");
    assert_eq!(
        seen.matches("<tuple").count(),
        2,
        "one PoC service of two sources: {seen}"
    );
    for part in [session, willing, "IM-session", "<r:happy/>"] {
        assert!(seen.contains(part), "{part} in {seen}");
    }

    let gone = format!("SIP-If-Match: {}\r\nExpires: 0\r\n", poc.get("SIP-ETag"));
    assert_eq!(bench.publish_as(POC, &gone, "").status(), 200);
    let seen = bench.fetch();
    assert!(!seen.contains(session) && seen.contains(willing), "{seen}");
    assert_eq!(seen.matches("<tuple").count(), 2, "{seen}");
}

#[test]
fn a_conflict_between_sources_is_settled_as_the_operator_says() {
    let device = |input: &str| {
        format!(
            "<dm:device id=\"d\"><r:user-input>{input}</r:user-input><dm:deviceID>urn:x:y</dm:deviceID></dm:device>"
        )
    };
    let person = |mood: &str| {
        format!(
            "<dm:person id=\"p\"><r:mood><r:{mood}/></r:mood></dm:person>{}",
            device(mood_input(mood))
        )
    };
    for (case, persons, moods) in [
        ("persons apart", compose::Joining::KeepApart, 2),
        ("the newest person", compose::Joining::Newest, 1),
    ] {
        let mut settings = settings();
        settings.presence.composition.persons = persons;
        let mut bench = Bench::new(settings);
        bench.publish_as(BOB, "", &person("sad"));
        bench.now += 1_000;
        bench.publish_as(BOB, "", &person("happy"));
        let seen = bench.fetch();
        assert_eq!(seen.matches("<r:mood>").count(), moods, "{case}: {seen}");
        assert!(seen.contains("<r:happy/>"), "{case}: {seen}");
        assert!(
            seen.contains(">active<") && !seen.contains(">idle<"),
            "{case}, device: {seen}"
        );
    }
}

fn mood_input(mood: &str) -> &'static str {
    if mood == "happy" { "active" } else { "idle" }
}

#[test]
fn of_publications_in_one_millisecond_the_last_is_the_newest() {
    let mut bench = Bench::new(settings());
    for (now, before) in [("idle", "active"), ("active", "idle")].repeat(4) {
        let device = format!(
            "<dm:device id=\"d\"><r:user-input>{now}</r:user-input><dm:deviceID>urn:x:y</dm:deviceID></dm:device>"
        );
        assert_eq!(bench.publish_as(BOB, "", &device).status(), 200);
        let seen = bench.fetch();
        let newest = seen.contains(&format!(">{now}<")) && !seen.contains(&format!(">{before}<"));
        assert!(newest, "{now} in {seen}");
    }
}

#[test]
fn content_of_unknown_namespaces_passes_untouched() {
    let strange =
        "<z:a  xmlns:z='urn:z'\tb = \"&lt;'\"><![CDATA[<&>]]><!-- kept --><z:c/>\u{e9}</z:a >";
    let mut bench = Bench::new(settings());
    bench.publish_as(
        BOB,
        "",
        &format!("<tuple id=\"t\"><status>{strange}</status>{strange}</tuple>{strange}<dm:person id=\"p\">{strange}</dm:person>"),
    );
    for others in [false, true] {
        if others {
            bench.publish_as(BOB, "", "<tuple id=\"t\"><status/></tuple><note>n</note>");
        }
        let seen = bench.fetch();
        assert_eq!(seen.matches(strange).count(), 4, "{seen}");
    }
}
