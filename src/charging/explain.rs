//! The accounting request that a configuration makes of an example, for integrators: nothing of it depends on traffic.

use super::acr::Sender;
use super::online::settings::SubscribeMode;
use super::online::{ccr, settings as online};
use super::settings::{Checked, NotifyPayer};
use diameter::credit::Question;
use diameter::dictionary::{DESTINATION_HOST, DESTINATION_REALM, OC_SUPPORTED_FEATURES};
use diameter::message::Message;
use diameter::ro::{Reason, RequestType, RequestedAction, TerminationCause};
use diameter::tree;
use diameter::vocabulary::Known;
use ims::charge::{Besides, BodyFacts, Booked, Chargeable, Coalescing, Event, Role, Triggers};
use ims::time::Timestamp;

/// When the example happens: 2026-01-01T00:00:00.250Z.
const WHEN: Timestamp = Timestamp(1_767_225_600_250);

/// Who asks and publishes in it, and who is asked about.
const ALICE: &str = "sip:alice@home1.example";
const BOB: &str = "sip:bob@home1.example";

/// What is to be explained.
#[derive(Clone, Debug)]
pub struct Example {
    /// SIP method.
    pub method: String,
    /// Status of its final response, where it has one already.
    pub status: u16,
    /// Whether we sent it, where that is not as usual.
    pub sent: Option<bool>,
    pub icid: Option<String>,
    pub call_id: Option<String>,
}

/// Requests for credit, by what they are for.
pub const QUESTIONS: [&str; 7] = [
    "event",
    "refund",
    "initial",
    "update",
    "termination",
    "price",
    "balance",
];

/// The request for credit: one line for each AVP.
pub fn explain_credit(
    settings: &Checked,
    online: &online::Checked,
    example: &Example,
    question: &str,
) -> Result<Vec<String>, String> {
    let sender = Sender::with_profile(settings, &online.profile);
    let triggers = Triggers::from(&settings.given.triggers);
    let event = event(settings, example, 0, &triggers).ok_or("no such method is charged")?;
    let units = match online.given.subscribe {
        SubscribeMode::Session if event.method == Chargeable::Subscribe => {
            online.given.sessions.wanted()
        }
        _ => 1,
    };
    let asked = asked(question, units).ok_or("no such request for credit")?;
    let session_id = ccr::session_id(&sender, &event);
    let max = settings.given.max_message_bytes as usize;
    let units_in = online.given.units_in();
    let bytes = ccr::write(
        &sender,
        units_in,
        (&event, &session_id),
        (&asked, WHEN),
        max,
    )
    .map_err(|why| why.to_string())?;
    let mut lines = vec![format!(
        "Credit-Control-Request (272), application 4, flags R P; {} bytes before its destination",
        bytes.len()
    )];
    let is_enquiry = matches!(question, "price" | "balance");
    if !is_enquiry && !online.given.asks(event.method) {
        lines.push("not sent: [charging.online] does not charge this".into());
    }
    let realm = online.peers.first().map(|peer| &peer.realm);
    read(settings, &bytes, &mut lines)?;
    lines.push(destination(
        realm.unwrap_or(&settings.destination_realm),
        "OCS",
    ));
    if matches!(question, "update" | "termination") {
        let name = named(&Known::from(&DESTINATION_HOST));
        lines.push(format!("{name}: of the OCS that has the session"));
    }
    lines.extend(overload(settings));
    Ok(lines)
}

/// `units`: how many are asked for at the begin of a charge that lasts.
fn asked(question: &str, units: u64) -> Option<Question> {
    let of = |kind, number| Question::new(kind, number);
    let event = |number, action| Question {
        action: Some(action),
        requested: Some(1),
        ..of(RequestType::Event, number)
    };
    Some(match question {
        "event" => event(0, RequestedAction::DirectDebiting),
        "refund" => event(1, RequestedAction::RefundAccount),
        "price" => event(0, RequestedAction::PriceEnquiry),
        "balance" => event(0, RequestedAction::CheckBalance),
        "initial" => Question {
            requested: Some(units),
            ..of(RequestType::Initial, 0)
        },
        "update" => Question {
            requested: Some(units),
            used: Some(1),
            reason: Some(Reason::QuotaExhausted),
            ..of(RequestType::Update, 1)
        },
        "termination" => Question {
            used: Some(1),
            reason: Some(Reason::Final),
            cause: Some(TerminationCause::Logout),
            ..of(RequestType::Termination, 1)
        },
        _ => return None,
    })
}

/// The record: one line for each AVP, with what is to be known about it.
pub fn explain(settings: &Checked, example: &Example) -> Result<Vec<String>, String> {
    let sender = Sender::of(settings);
    let triggers = Triggers::from(&settings.given.triggers);
    let event =
        event(settings, example, example.status, &triggers).ok_or("no such method is charged")?;
    let bytes = sender
        .acr(&event, settings.given.max_message_bytes as usize)
        .map_err(|why| why.to_string())?;
    let mut lines = vec![format!(
        "Accounting-Request (271), application 3, flags R P; {} bytes before its destination",
        bytes.len()
    )];
    if !triggers.charge(&event) {
        lines.push("not sent: [charging.triggers] does not charge this".into());
    }
    read(settings, &bytes, &mut lines)?;
    let realm = settings
        .peers
        .first()
        .map_or(&settings.destination_realm, |peer| &peer.realm);
    lines.push(destination(realm, "CDF"));
    lines.extend(overload(settings));
    Ok(lines)
}

fn overload(settings: &Checked) -> Option<String> {
    let name = named(&Known::from(&OC_SUPPORTED_FEATURES));
    let line = || format!("{name}, algorithm loss");
    settings.given.overload_control.then(line)
}

fn read(settings: &Checked, bytes: &[u8], lines: &mut Vec<String>) -> Result<(), String> {
    let message = Message::parse(bytes).map_err(|_| "the profile makes no message of it")?;
    let vocabulary = &settings.vocabulary;
    lines.extend(tree::lines(&tree::read(&message, vocabulary), vocabulary));
    Ok(())
}

fn destination(realm: &str, who: &str) -> String {
    let name = named(&Known::from(&DESTINATION_REALM));
    format!("{name} = {realm}, put in for the {who} that takes it")
}

fn named(known: &Known<'_>) -> String {
    let flag = if known.mandatory { " M" } else { "" };
    format!("{} ({}{flag})", known.name, known.code)
}

/// A request with everything that such a one usually says.
fn event(settings: &Checked, example: &Example, status: u16, triggers: &Triggers) -> Option<Event> {
    let (method, usual) = match example.method.as_str() {
        "PUBLISH" => (Chargeable::Publish, Role::Terminating),
        "SUBSCRIBE" => (Chargeable::Subscribe, Role::Terminating),
        "NOTIFY" => (Chargeable::Notify, Role::Originating),
        "REGISTER" => (Chargeable::Register, Role::Terminating),
        _ => return None,
    };
    let role = match example.sent {
        Some(true) => Role::Originating,
        Some(false) => Role::Terminating,
        None => usual,
    };
    let given = |given: &Option<String>, usual: &str| given.clone().unwrap_or(usual.to_owned());
    let is_ours = role == Role::Originating;
    let has_body = match method {
        Chargeable::Publish => true,
        Chargeable::Notify => status != 0 || !is_ours, // ours has none yet where credit is asked for
        Chargeable::Subscribe | Chargeable::Register => false,
    };
    let shares = method == Chargeable::Notify && is_ours && triggers.coalescing != Coalescing::Each;
    let (calling, called): (&[&str], &str) = match (method, role) {
        (Chargeable::Publish, _) => (&[ALICE, "tel:+15551230001"], ALICE),
        (Chargeable::Register, _) => (&[ALICE], ALICE),
        (Chargeable::Notify, Role::Originating) => (&[BOB], "sip:alice@192.0.2.77:5060"),
        // Nobody asserts who notifies.
        (Chargeable::Notify, Role::Terminating) => (&[], "sip:rls.home1.example"),
        (Chargeable::Subscribe, _) => (&[ALICE, "tel:+15551230001"], BOB),
    };
    // a NOTIFY of ours comes from the presentity, and the watcher pays for it unless the configuration says otherwise
    let is_on_watcher = method == Chargeable::Notify
        && is_ours
        && settings.given.notify_payer == NotifyPayer::Subscription;
    let watcher = [ALICE, "tel:+15551230001"]
        .into_iter()
        .filter(|_| is_on_watcher);
    Some(Event {
        number: WHEN.0 << 20,
        method,
        role,
        package: (method != Chargeable::Register).then(|| "presence".into()),
        expires: (method != Chargeable::Notify).then_some(3600),
        call_id: given(&example.call_id, "8f31c9@ue.home1.example"),
        calling: calling.iter().map(|uri| (*uri).to_owned()).collect(),
        called: called.to_owned(),
        requested: None,
        icid: Some(given(&example.icid, "4f3a9c2e-scscf1")),
        orig_ioi: match is_ours {
            true => Some(settings.own_ioi.clone()),
            false => Some("home1.example".to_owned()),
        },
        term_ioi: (!is_ours).then(|| settings.own_ioi.clone()),
        access_network: (!is_ours)
            .then(|| "3GPP-E-UTRAN-FDD; utran-cell-id-3gpp=2340151d0fce11".into()),
        service: None,
        associated: Vec::new(),
        requested_at: WHEN,
        answered_at: Timestamp(WHEN.0 + 4),
        status,
        body: has_body.then(|| BodyFacts {
            content_type: "application/pidf+xml".into(),
            length: 612,
            disposition: None,
        }),
        ccf: Vec::new(),
        booked: Booked {
            notifies: if shares { 12 } else { 0 },
            ..Booked::default()
        },
        besides: Besides {
            payers: watcher.map(str::to_owned).collect(),
            members: None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::super::settings::Settings;
    use super::*;

    fn checked(extra: &str) -> Checked {
        let text = format!("{extra}\n[[peers]]\nhost = 'cdf1.a.test'\naddress = '192.0.2.1:3868'");
        let settings: Settings = toml::from_str(&text).unwrap();
        settings.complete("a.test").unwrap()
    }

    #[test]
    fn each_method_is_explained_as_it_is_configured() {
        for (extra, method, status, said) in [
            (
                "",
                "PUBLISH",
                200,
                "SIP-Method (824 vendor 10415 M) = PUBLISH",
            ),
            ("", "PUBLISH", 412, "Cause-Code (861 vendor 10415 M) = 412"),
            ("", "NOTIFY", 200, "Role-Of-Node (829 vendor 10415 M) = 0"),
            ("triggers = { publish = false }", "PUBLISH", 200, "not sent"),
            (
                "triggers = { notify_records = 'interval' }",
                "NOTIFY",
                200,
                "Service-Specific-Data (863 vendor 10415 M) = 12",
            ),
            ("", "REGISTER", 200, "Destination-Realm (283 M) = a.test"),
        ] {
            let lines = explain(&checked(extra), &example(method, status)).unwrap();
            assert!(
                lines.iter().any(|line| line.contains(said)),
                "{said}: {lines:#?}"
            );
        }
        assert!(explain(&checked(""), &example("INVITE", 200)).is_err());
    }

    /// As it is in what really comes and leaves.
    #[test]
    fn what_a_request_never_says_is_not_in_its_example() {
        for (method, sent, calling, access, body) in [
            ("PUBLISH", None, 2, 1, 1),
            ("SUBSCRIBE", None, 2, 1, 0),
            ("SUBSCRIBE", Some(true), 2, 0, 0),
            ("NOTIFY", None, 1, 0, 1),
            ("NOTIFY", Some(false), 0, 1, 1),
            ("REGISTER", None, 1, 1, 0),
        ] {
            let example = Example {
                sent,
                ..example(method, 200)
            };
            let lines = explain(&checked(""), &example).unwrap();
            let count = |name: &str| {
                let of = |line: &&String| line.trim_start().starts_with(name);
                lines.iter().filter(of).count()
            };
            let found = [
                count("Calling-Party-Address"),
                count("Access-Network-Information"),
                count("Message-Body"),
            ];
            assert_eq!(found, [calling, access, body], "{method} {sent:?}");
        }
    }

    #[test]
    fn an_example_is_what_the_configuration_makes_of_one() {
        const OVERLOAD: &str = "overload_control = true";
        const SESSION: &str = "subscribe = 'session'\nsessions = { quota = 12 }";
        let settings = |extra| checked(extra);
        let has = |lines: &[String], said: &str| lines.iter().any(|line| line.ends_with(said));
        for (extra, method, said, is_there) in [
            ("", "NOTIFY", "= sip:alice@home1.example", true),
            (
                "notify_payer = 'presentity'",
                "NOTIFY",
                "= sip:alice@home1.example",
                false,
            ),
            (
                "",
                "NOTIFY",
                "Originating-IOI (839 vendor 10415 M) = a.test",
                true,
            ),
            (
                "",
                "PUBLISH",
                "Terminating-IOI (840 vendor 10415 M) = a.test",
                true,
            ),
            (
                OVERLOAD,
                "PUBLISH",
                "OC-Supported-Features (621), algorithm loss",
                true,
            ),
        ] {
            let lines = explain(&settings(extra), &example(method, 200)).unwrap();
            assert_eq!(has(&lines, said), is_there, "{extra}: {said}: {lines:#?}");
        }
        for (extra, online, question, said) in [
            (
                OVERLOAD,
                "",
                "event",
                "OC-Supported-Features (621), algorithm loss",
            ),
            ("", SESSION, "initial", "Units (417 M) = 12"),
            ("", SESSION, "update", "Units (417 M) = 12"),
            ("", "subscribe = 'ecur'", "initial", "Units (417 M) = 1"),
            (
                "",
                SESSION,
                "termination",
                "Destination-Host (293 M): of the OCS that has the session",
            ),
        ] {
            let settings = settings(extra);
            let text = format!("{online}\n[[peers]]\nhost = 'o.test'\naddress = '192.0.2.9:3868'");
            let given: online::Settings = toml::from_str(&text).unwrap();
            let online = given.check(&settings).unwrap().unwrap();
            let lines =
                explain_credit(&settings, &online, &example("SUBSCRIBE", 200), question).unwrap();
            assert!(has(&lines, said), "{question}: {said}: {lines:#?}");
        }
    }

    fn example(method: &str, status: u16) -> Example {
        Example {
            method: method.to_owned(),
            status,
            sent: None,
            icid: None,
            call_id: None,
        }
    }

    #[test]
    fn each_request_for_credit_is_explained_as_it_is_configured() {
        let settings = checked("");
        let online = |text: &str| {
            let text = format!("{text}\n[[peers]]\nhost = 'ocs.test'\naddress = '192.0.2.9:3868'");
            let given: online::Settings = toml::from_str(&text).unwrap();
            given.check(&settings).unwrap().unwrap()
        };
        const IEC: &str = "publish = 'iec'";
        for (extra, question, said) in [
            (IEC, "event", "Requested-Action (436 M) = 0"),
            (IEC, "refund", "CC-Request-Number (415 M) = 1"),
            (IEC, "initial", "Multiple-Services-Indicator (455 M) = 1"),
            (IEC, "update", "Used-Service-Unit (446 M)"),
            (IEC, "termination", "Termination-Cause (295 M) = 1"),
            ("", "price", "Requested-Action (436 M) = 3"),
            ("", "balance", "Requested-Action (436 M) = 2"),
            ("", "event", "not sent"),
            ("rating_group = 100", "event", "Rating-Group (432 M) = 100"),
        ] {
            let online = online(extra);
            let example = Example {
                icid: Some("icid-9".into()),
                ..example("PUBLISH", 200)
            };
            let lines = explain_credit(&settings, &online, &example, question).unwrap();
            for said in [
                said,
                "IMS-Charging-Identifier (841 vendor 10415 M) = icid-9",
            ] {
                let found = lines.iter().any(|line| line.contains(said));
                assert!(found, "{question}: {said}: {lines:#?}");
            }
            let unsent = lines.iter().any(|line| line.starts_with("not sent"));
            assert_eq!(
                unsent,
                said == "not sent" || extra.starts_with("rating"),
                "{lines:#?}"
            );
        }
        assert!(explain_credit(&settings, &online(""), &example("PUBLISH", 200), "x").is_err());
    }
}
