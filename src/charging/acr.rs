//! One event as an accounting request: the AVP tree of TS 32.260 §6.3 and TS 32.299 §7.2 for an application server.

use super::names::Names;
use super::payers;
use super::profile::Profile;
use super::settings::Checked;
use diameter::dictionary::*;
use diameter::rf::EventRecord;
use diameter::session::session_id;
use diameter::write::{TooLong, Writer};
use ims::charge::{BodyFacts, Chargeable, Event, Role};

/// Node-Functionality AS (TS 32.299 §7.2.109).
const AS: i32 = 6;

/// Originator "Calling Party" (TS 32.299 §7.2.131): bodies come with requests, from whoever sent them.
const CALLING_PARTY: i32 = 0;

/// An event is the only record of its session (RFC 6733 §9.8.3).
pub const RECORD_NUMBER: u32 = 0;

/// Who sends the records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    pub origin_host: String,
    pub origin_realm: String,
    pub service_context_id: String,
    /// SIP URI of this application server.
    pub as_uri: String,
    /// What the charging system wants otherwise.
    pub profile: Profile,
    /// Whom this node was, in the Session-Ids of that time.
    pub names: Names,
}

impl Sender {
    pub fn of(settings: &Checked) -> Sender {
        Sender {
            origin_host: settings.origin_host.clone(),
            origin_realm: settings.origin_realm.clone(),
            service_context_id: settings.given.service_context_id.clone(),
            as_uri: settings.as_uri.clone(),
            profile: settings.profile.clone(),
            names: Names::default(),
        }
    }

    /// As for requests for credit, which have a profile of their own.
    pub fn with_profile(settings: &Checked, profile: &Profile) -> Sender {
        Sender {
            profile: profile.clone(),
            ..Sender::of(settings)
        }
    }

    /// That has been what `names` says.
    pub fn named(self, names: &Names) -> Sender {
        let names = names.clone();
        Sender { names, ..self }
    }

    /// The Session-Id of an event: the same at each sending, so that a duplicate is recognised, also after `origin_host` has
    /// changed. The time of the
    /// event keeps it apart from the event that had this number in a store that has since been replaced.
    pub fn session_id(&self, event: &Event) -> String {
        let name = self.names.of(event.number).unwrap_or(&self.origin_host);
        session_id(name, event.number, event.requested_at.0)
    }

    /// The ACR without its destination, which depends on the peer that takes it. `max` is in bytes.
    pub fn acr(&self, event: &Event, max: usize) -> Result<Vec<u8>, TooLong> {
        let record = EventRecord {
            session_id: &self.session_id(event),
            origin_host: &self.origin_host,
            origin_realm: &self.origin_realm,
            record_number: RECORD_NUMBER,
            service_context_id: &self.service_context_id,
            event_timestamp: event.answered_at.0 / 1000,
        };
        let mut writer = record.acr();
        writer.group(&SERVICE_INFORMATION, |w| {
            for (kind, data) in payers::of(event) {
                w.group(&SUBSCRIPTION_ID, |w| {
                    w.i32(&SUBSCRIPTION_ID_TYPE, kind)
                        .utf8(&SUBSCRIPTION_ID_DATA, &data);
                });
            }
            w.group(&IMS_INFORMATION, |w| self.ims_information(w, event));
        });
        self.finish(writer, max)
    }

    /// The request as the profile has it.
    pub(super) fn finish(&self, writer: Writer, max: usize) -> Result<Vec<u8>, TooLong> {
        if self.profile.is_empty() {
            return writer.finish(max);
        }
        self.profile.apply(writer.finish(max)?).finish(max)
    }

    /// In the order of the grammar, TS 32.299 §7.2.73.
    /// A request that is still to be answered has the status 0: then neither the response's time nor a cause is known.
    /// An enquiry is about no request, which has neither Call-ID nor target.
    pub(super) fn ims_information(&self, w: &mut Writer, event: &Event) {
        let answered = event.status != 0;
        w.group(&EVENT_TYPE, |w| {
            w.utf8(&SIP_METHOD, event.method.as_str());
            text(w, &EVENT, event.package.as_deref());
            if let Some(expires) = event.expires {
                w.u32(&EXPIRES, expires);
            }
        });
        w.i32(&ROLE_OF_NODE, role_of_node(event.role));
        w.i32(&NODE_FUNCTIONALITY, AS);
        if !event.call_id.is_empty() {
            w.utf8(&USER_SESSION_ID, &event.call_id);
        }
        for identity in &event.calling {
            w.utf8(&CALLING_PARTY_ADDRESS, identity);
        }
        if !event.called.is_empty() {
            w.utf8(&CALLED_PARTY_ADDRESS, &event.called);
        }
        text(w, &REQUESTED_PARTY_ADDRESS, event.requested.as_deref());
        for identity in &event.associated {
            w.utf8(&ASSOCIATED_URI, identity);
        }
        w.group(&TIME_STAMPS, |w| {
            w.time(&SIP_REQUEST_TIMESTAMP, event.requested_at.0 / 1000);
            if answered {
                w.time(&SIP_RESPONSE_TIMESTAMP, event.answered_at.0 / 1000);
            }
            w.u32(
                &SIP_REQUEST_TIMESTAMP_FRACTION,
                millis(event.requested_at.0),
            );
            if answered {
                let fraction = millis(event.answered_at.0);
                w.u32(&SIP_RESPONSE_TIMESTAMP_FRACTION, fraction);
            }
        });
        w.group(&APPLICATION_SERVER_INFORMATION, |w| {
            _ = w.utf8(&APPLICATION_SERVER, &self.as_uri)
        });
        if event.orig_ioi.is_some() || event.term_ioi.is_some() {
            w.group(&INTER_OPERATOR_IDENTIFIER, |w| {
                text(w, &ORIGINATING_IOI, event.orig_ioi.as_deref());
                text(w, &TERMINATING_IOI, event.term_ioi.as_deref());
            });
        }
        text(w, &IMS_CHARGING_IDENTIFIER, event.icid.as_deref());
        if let Some(body) = &event.body {
            message_body(w, body);
        }
        if answered {
            w.i32(&CAUSE_CODE, cause_code(event));
        }
        if let Some(access) = &event.access_network {
            w.octets(&ACCESS_NETWORK_INFORMATION, access.as_bytes());
        }
        text(
            w,
            &IMS_COMMUNICATION_SERVICE_IDENTIFIER,
            event.service.as_deref(),
        );
        if event.booked.notifies > 0 {
            counted(w, NOTIFIES, event.booked.notifies);
        }
        if let Some(members) = event.besides.members {
            counted(w, MEMBERS, members);
        }
    }
}

/// Service-Specific-Type; the values are the operator's (TS 32.299 §7.2.194). How many NOTIFYs the record stands for.
const NOTIFIES: u32 = 1;

/// How many members the list has.
const MEMBERS: u32 = 2;

fn counted(w: &mut Writer, what: u32, count: u32) {
    w.group(&SERVICE_SPECIFIC_INFO, |w| {
        w.utf8(&SERVICE_SPECIFIC_DATA, &count.to_string())
            .u32(&SERVICE_SPECIFIC_TYPE, what);
    });
}

fn text(w: &mut Writer, def: &Def, value: Option<&str>) {
    if let Some(value) = value {
        w.utf8(def, value);
    }
}

/// Milliseconds within the second (TS 32.299 §7.2.198A).
fn millis(timestamp: u64) -> u32 {
    (timestamp % 1000) as u32
}

fn role_of_node(role: Role) -> i32 {
    match role {
        Role::Originating => 0,
        Role::Terminating => 1,
    }
}

/// Facts about the body and nothing of its content.
fn message_body(w: &mut Writer, body: &BodyFacts) {
    w.group(&MESSAGE_BODY, |w| {
        w.utf8(&CONTENT_TYPE, &body.content_type)
            .u32(&CONTENT_LENGTH, body.length);
        text(w, &CONTENT_DISPOSITION, body.disposition.as_deref());
        w.i32(&ORIGINATOR, CALLING_PARTY);
    });
}

/// Cause-Code (TS 32.299 §7.2.35): zero and below for success, where 2xx other than 200 and 3xx are the status with a
/// minus before it; the status itself for failure.
pub fn cause_code(event: &Event) -> i32 {
    const SUCCESSFUL_TRANSACTION: i32 = -1;
    const END_OF_SUBSCRIBE_DIALOG: i32 = -2;
    const END_OF_REGISTER_DIALOG: i32 = -3;
    const UNSPECIFIED_ERROR: i32 = 1;
    match event.status {
        // RFC 6665 §4.1.2.3: a SUBSCRIBE that asks for nothing more ends its dialog.
        200..=299 if event.method == Chargeable::Subscribe && event.expires == Some(0) => {
            END_OF_SUBSCRIBE_DIALOG
        }
        // The standard's word for a REGISTER that ends the registration.
        200..=299 if event.method == Chargeable::Register && event.expires == Some(0) => {
            END_OF_REGISTER_DIALOG
        }
        200 => SUCCESSFUL_TRANSACTION,
        status @ 201..=399 => -i32::from(status),
        status @ 400..=699 => i32::from(status),
        _ => UNSPECIFIED_ERROR,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use diameter::message::{Avps, Message};
    use ims::charge::{Besides, Booked};
    use ims::time::Timestamp;

    pub(crate) fn sender() -> Sender {
        Sender {
            origin_host: "ps.ims.test".into(),
            origin_realm: "ims.test".into(),
            service_context_id: "32260@3gpp.org".into(),
            as_uri: "sip:ps.ims.test".into(),
            profile: Profile::default(),
            names: Names::default(),
        }
    }

    /// A SUBSCRIBE with everything that an event can say.
    pub(crate) fn full(number: u64) -> Event {
        Event {
            number,
            method: Chargeable::Subscribe,
            role: Role::Terminating,
            package: Some("presence".into()),
            expires: Some(3600),
            call_id: "4fa3c2b1@ue".into(),
            calling: vec!["sip:alice@ims.test".into(), "tel:+1-555-123-0001".into()],
            called: "tel:+15551230002".into(),
            requested: Some("sip:bob@ims.test".into()),
            icid: Some("icid-1".into()),
            orig_ioi: Some("a.test".into()),
            term_ioi: Some("b.test".into()),
            access_network: Some("3GPP-E-UTRAN-FDD".into()),
            service: Some("urn:urn-7:3gpp-service.ims.icsi.presence".into()),
            associated: vec!["sip:alice2@ims.test".into()],
            requested_at: Timestamp(1_700_000_000_123),
            answered_at: Timestamp(1_700_000_001_045),
            status: 200,
            body: Some(BodyFacts {
                content_type: "application/simple-filter+xml".into(),
                length: 912,
                disposition: Some("render".into()),
            }),
            ccf: vec!["cdf1.ims.test".into()],
            booked: Booked::default(),
            besides: Besides::default(),
        }
    }

    /// The least that an event says.
    fn bare() -> Event {
        let full = full(1);
        Event {
            call_id: full.call_id,
            called: full.called,
            answered_at: full.answered_at,
            status: full.status,
            ..Event::bare(1, full.method, full.role, full.requested_at)
        }
    }

    /// The tree as indented lines, one AVP each.
    fn tree(event: &Event) -> Vec<String> {
        fn walk(avps: Avps<'_>, depth: usize, lines: &mut Vec<String>) {
            for avp in avps {
                let def = avp.def().unwrap();
                let value = match def.kind {
                    Kind::Grouped => String::new(),
                    Kind::Time => format!(" @{}", avp.time().unwrap()),
                    Kind::U32 => format!(" {}", avp.u32().unwrap()),
                    Kind::I32 | Kind::Enumerated => format!(" {}", avp.i32().unwrap()),
                    _ => format!(" {}", avp.text().unwrap()),
                };
                assert!(avp.mandatory(), "{}", def.name);
                lines.push(format!("{}{}{value}", "  ".repeat(depth), def.name));
                if def.kind == Kind::Grouped {
                    walk(avp.group(), depth + 1, lines);
                }
            }
        }
        let bytes = sender().acr(event, 65_536).unwrap();
        let mut lines = Vec::new();
        walk(Message::parse(&bytes).unwrap().avps(), 0, &mut lines);
        lines
    }

    #[test]
    fn everything_an_event_says_has_its_place() {
        let expected = "\
Session-Id ps.ims.test;0;42;1700000000123
Origin-Host ps.ims.test
Origin-Realm ims.test
Accounting-Record-Type 1
Accounting-Record-Number 0
Acct-Application-Id 3
Event-Timestamp @1700000001
Service-Context-Id 32260@3gpp.org
Service-Information
  Subscription-Id
    Subscription-Id-Type 2
    Subscription-Id-Data sip:alice@ims.test
  Subscription-Id
    Subscription-Id-Type 0
    Subscription-Id-Data 15551230001
  IMS-Information
    Event-Type
      SIP-Method SUBSCRIBE
      Event presence
      Expires 3600
    Role-Of-Node 1
    Node-Functionality 6
    User-Session-Id 4fa3c2b1@ue
    Calling-Party-Address sip:alice@ims.test
    Calling-Party-Address tel:+1-555-123-0001
    Called-Party-Address tel:+15551230002
    Requested-Party-Address sip:bob@ims.test
    Associated-URI sip:alice2@ims.test
    Time-Stamps
      SIP-Request-Timestamp @1700000000
      SIP-Response-Timestamp @1700000001
      SIP-Request-Timestamp-Fraction 123
      SIP-Response-Timestamp-Fraction 45
    Application-Server-Information
      Application-Server sip:ps.ims.test
    Inter-Operator-Identifier
      Originating-IOI a.test
      Terminating-IOI b.test
    IMS-Charging-Identifier icid-1
    Message-Body
      Content-Type application/simple-filter+xml
      Content-Length 912
      Content-Disposition render
      Originator 0
    Cause-Code -1
    Access-Network-Information 3GPP-E-UTRAN-FDD
    IMS-Communication-Service-Identifier urn:urn-7:3gpp-service.ims.icsi.presence";
        assert_eq!(tree(&full(42)), expected.lines().collect::<Vec<_>>());
    }

    #[test]
    fn what_an_event_does_not_say_is_left_out() {
        let service: Vec<String> = tree(&bare()).split_off(8);
        let expected = "\
Service-Information
  IMS-Information
    Event-Type
      SIP-Method SUBSCRIBE
    Role-Of-Node 1
    Node-Functionality 6
    User-Session-Id 4fa3c2b1@ue
    Called-Party-Address tel:+15551230002
    Time-Stamps
      SIP-Request-Timestamp @1700000000
      SIP-Response-Timestamp @1700000001
      SIP-Request-Timestamp-Fraction 123
      SIP-Response-Timestamp-Fraction 45
    Application-Server-Information
      Application-Server sip:ps.ims.test
    Cause-Code -1";
        assert_eq!(service, expected.lines().collect::<Vec<_>>());
    }

    #[test]
    fn a_record_of_several_notifies_says_how_many_they_were() {
        let mut event = bare();
        event.booked.notifies = 12;
        let lines = tree(&event).split_off(24);
        let expected = "    Service-Specific-Info\n      Service-Specific-Data 12\n      Service-Specific-Type 1";
        assert_eq!(lines.join("\n"), expected);
    }

    #[test]
    fn each_method_is_named_with_its_role() {
        for (method, role, lines) in [
            (
                Chargeable::Publish,
                Role::Terminating,
                ["      SIP-Method PUBLISH", "    Role-Of-Node 1"],
            ),
            (
                Chargeable::Subscribe,
                Role::Terminating,
                ["      SIP-Method SUBSCRIBE", "    Role-Of-Node 1"],
            ),
            (
                Chargeable::Notify,
                Role::Originating,
                ["      SIP-Method NOTIFY", "    Role-Of-Node 0"],
            ),
            (
                Chargeable::Register,
                Role::Terminating,
                ["      SIP-Method REGISTER", "    Role-Of-Node 1"],
            ),
        ] {
            let tree = tree(&Event {
                method,
                role,
                ..bare()
            });
            for line in lines {
                assert!(tree.iter().any(|l| l == line), "{line} in {tree:#?}");
            }
        }
    }

    #[test]
    fn the_cause_says_how_the_transaction_ended() {
        use Chargeable::*;
        for (case, method, expires, status, cause) in [
            ("success", Publish, Some(3600), 200, -1),
            ("another success", Notify, None, 202, -202),
            ("the last of the successes", Notify, None, 299, -299),
            ("a new subscription", Subscribe, Some(3600), 200, -1),
            ("an unsubscription", Subscribe, Some(0), 200, -2),
            (
                "a removed publication ends no dialog",
                Publish,
                Some(0),
                200,
                -1,
            ),
            (
                "an unsubscription that failed",
                Subscribe,
                Some(0),
                481,
                481,
            ),
            ("a deregistration", Register, Some(0), 200, -3),
            ("a deregistration that failed", Register, Some(0), 403, 403),
            ("the first of the redirections", Notify, None, 300, -300),
            ("redirection", Register, None, 302, -302),
            ("the first of the failures", Publish, None, 400, 400),
            ("no response", Notify, None, 408, 408),
            ("the last of the failures", Subscribe, None, 699, 699),
            ("no final response at all", Notify, None, 100, 1),
            ("no status", Notify, None, 0, 1),
        ] {
            assert_eq!(
                cause_code(&Event {
                    method,
                    expires,
                    status,
                    ..bare()
                }),
                cause,
                "{case}"
            );
        }
    }

    #[test]
    fn who_pays_is_the_served_user_where_he_is_another_and_stays_no_caller() {
        let mut event = full(1);
        event.besides.payers = vec!["sip:carol@ims.test".into()];
        event.besides.members = Some(7);
        let tree = tree(&event);
        let all = |name: &str| -> Vec<String> {
            let lines = tree.iter().map(|line| line.trim_start());
            let values = lines.filter_map(|line| line.strip_prefix(name));
            values.map(|value| value.trim().to_owned()).collect()
        };
        assert_eq!(all("Subscription-Id-Data"), ["sip:carol@ims.test"]);
        assert_eq!(all("Calling-Party-Address"), event.calling);
        assert_eq!(all("Service-Specific-Data"), ["7"]);
        assert_eq!(all("Service-Specific-Type"), ["2"]);
    }

    #[test]
    fn a_record_has_one_session_for_ever_and_no_other_record_has_it() {
        let event = full((1 << 32) + 5);
        assert_eq!(sender().session_id(&event), "ps.ims.test;1;5;1700000000123");
        assert_eq!(
            sender().session_id(&event),
            sender().session_id(&event.clone())
        );
        let later = Event {
            requested_at: Timestamp(1_800_000_000_000),
            ..event.clone()
        };
        assert_ne!(
            sender().session_id(&event),
            sender().session_id(&later),
            "a new store that counts anew"
        );
    }

    #[test]
    fn a_record_that_cannot_be_framed_is_refused() {
        let event = Event {
            called: "x".repeat(70_000),
            ..bare()
        };
        assert!(sender().acr(&event, 65_536).is_err());
    }
}
