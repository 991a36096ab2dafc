//! The accounting request that a configuration makes of an example, for integrators: nothing of it depends on traffic.

use super::acr::Sender;
use super::settings::Checked;
use diameter::dictionary::{DESTINATION_REALM, OC_SUPPORTED_FEATURES};
use diameter::message::Message;
use diameter::tree;
use diameter::vocabulary::Known;
use ims::charge::{Besides, BodyFacts, Booked, Chargeable, Coalescing, Event, Role, Triggers};
use ims::time::Timestamp;

/// When the example happens: 2026-01-01T00:00:00.250Z.
const WHEN: Timestamp = Timestamp(1_767_225_600_250);

/// One line for each AVP, with what is to be known about it.
pub fn explain(settings: &Checked, method: &str, status: u16) -> Result<Vec<String>, String> {
    let sender = Sender::of(settings);
    let triggers = Triggers::from(&settings.given.triggers);
    let event = example(method, status, &triggers).ok_or("no such method is charged")?;
    let bytes = sender
        .acr(&event, settings.given.max_message_bytes as usize)
        .map_err(|why| why.to_string())?;
    let message = Message::parse(&bytes).map_err(|_| "the profile makes no message of it")?;
    let vocabulary = &settings.vocabulary;
    let mut lines = vec![format!(
        "Accounting-Request (271), application 3, flags R P; {} bytes before its destination",
        bytes.len()
    )];
    if !triggers.charge(&event) {
        lines.push("not sent: [charging.triggers] does not charge this".into());
    }
    lines.extend(tree::lines(&tree::read(&message, vocabulary), vocabulary));
    let realm = settings
        .peers
        .first()
        .map_or(&settings.destination_realm, |peer| &peer.realm);
    lines.push(format!(
        "{} = {realm}, put in for the CDF that takes it",
        named(&Known::from(&DESTINATION_REALM))
    ));
    if settings.given.overload_control {
        let name = named(&Known::from(&OC_SUPPORTED_FEATURES));
        lines.push(format!("{name}, algorithm loss"));
    }
    Ok(lines)
}

fn named(known: &Known<'_>) -> String {
    let flag = if known.mandatory { " M" } else { "" };
    format!("{} ({}{flag})", known.name, known.code)
}

/// A request with everything that such a one usually says.
fn example(method: &str, status: u16, triggers: &Triggers) -> Option<Event> {
    let (method, role) = match method {
        "PUBLISH" => (Chargeable::Publish, Role::Terminating),
        "SUBSCRIBE" => (Chargeable::Subscribe, Role::Terminating),
        "NOTIFY" => (Chargeable::Notify, Role::Originating),
        "REGISTER" => (Chargeable::Register, Role::Terminating),
        _ => return None,
    };
    let text = |text: &str| Some(text.to_owned());
    let has_body = matches!(method, Chargeable::Publish | Chargeable::Notify);
    let is_register = method == Chargeable::Register;
    let shares = method == Chargeable::Notify && triggers.coalescing != Coalescing::Each;
    Some(Event {
        number: WHEN.0 << 20,
        method,
        role,
        package: if is_register { None } else { text("presence") },
        expires: (method != Chargeable::Notify).then_some(3600),
        call_id: "8f31c9@ue.home1.example".into(),
        calling: vec!["sip:alice@home1.example".into(), "tel:+15551230001".into()],
        called: "sip:bob@home1.example".into(),
        requested: None,
        icid: text("4f3a9c2e-scscf1"),
        orig_ioi: text("home1.example"),
        term_ioi: text("home1.example"),
        access_network: text("3GPP-E-UTRAN-FDD; utran-cell-id-3gpp=2340151d0fce11"),
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
        besides: Besides::default(),
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
            let lines = explain(&checked(extra), method, status).unwrap();
            assert!(
                lines.iter().any(|line| line.contains(said)),
                "{said}: {lines:#?}"
            );
        }
        assert!(explain(&checked(""), "INVITE", 200).is_err());
    }
}
