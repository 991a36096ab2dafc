//! The Presence Information Elements of OMA, each at its place: from PUBLISH to NOTIFY byte for byte where it is
//! granted, and gone where it is not.

use super::*;
use crate::xml::schema::{Schema, Unknown};
use crate::xml::{guard, schemas};

/// What grants an element, as a child of `<transformations>`.
enum Grant {
    /// Goes with its component.
    Always,
    /// A boolean of RFC 5025, by its name without `provide-`.
    Boolean(&'static str),
    /// A boolean of OMA.
    Oma(&'static str),
    Other(&'static str),
    /// `provide-unknown-attribute`: namespace and name.
    Unknown(&'static str, &'static str),
}

use Grant::{Always, Boolean, Oma, Other, Unknown as Named};

impl Grant {
    fn text(&self) -> String {
        match self {
            Always => String::new(),
            Boolean(name) => format!("<pr:provide-{name}>true</pr:provide-{name}>"),
            Oma(name) => format!("<op:provide-{name}>true</op:provide-{name}>"),
            Other(text) => (*text).to_owned(),
            Named(ns, name) => format!(
                "<pr:provide-unknown-attribute ns=\"{ns}\" name=\"{name}\">true</pr:provide-unknown-attribute>"
            ),
        }
    }
}

const GEOPRIV: Grant = Other("<op:provide-geopriv>full</op:provide-geopriv>");
const INPUT: Grant = Other("<pr:provide-user-input>full</pr:provide-user-input>");
const CIPID: &str = "urn:ietf:params:xml:ns:pidf:cipid";
const CAPS: &str = "urn:ietf:params:xml:ns:pidf:caps";
const ALL_COMPONENTS: &str = "<pr:provide-services><pr:all-services/></pr:provide-services>\
    <pr:provide-persons><pr:all-persons/></pr:provide-persons>\
    <pr:provide-devices><pr:all-devices/></pr:provide-devices>";

/// A row: what it is, where it stands (`{}` in its component), how it is written, what grants it.
type Row = (&'static str, &'static str, &'static str, Grant);

const TUPLE: &str = "<tuple id=\"t\"><status/>{}<contact>sip:x@y.test</contact></tuple>";
const BARE_TUPLE: &str = "<tuple id=\"t\"><status/>{}</tuple>";
const STATUS: &str = "<tuple id=\"t\"><status>{}</status></tuple>";
const PERSON: &str = "<dm:person id=\"p\">{}</dm:person>";
const DEVICE: &str = "<dm:device id=\"d\">{}<dm:deviceID>urn:x:y</dm:deviceID></dm:device>";
const BARE_DEVICE: &str = "<dm:device id=\"d\">{}</dm:device>";
const DEVICE_NOTE: &str = "<dm:device id=\"d\"><dm:deviceID>urn:x:y</dm:deviceID>{}</dm:device>";

#[rustfmt::skip] // one line a row
fn of_services() -> Vec<Row> {
    vec![
        ("availability", STATUS, "<basic>open</basic>", Always),
        ("willingness", TUPLE, "<op:willingness><op:basic>open</op:basic><r:user-input>idle</r:user-input></op:willingness>", Oma("willingness")),
        ("session participation", TUPLE, "<op:session-participation><op:basic>closed</op:basic></op:session-participation>", Oma("session-participation")),
        ("registration state", TUPLE, "<op:registration-state>active</op:registration-state>", Oma("registration-state")),
        ("barring state", TUPLE, "<op:barring-state>terminated</op:barring-state>", Oma("barring-state")),
        ("service description", TUPLE, "<op:service-description><op:service-id>org.openmobilealliance:PoC-session</op:service-id><op:version>1.0</op:version><op:description>PoC</op:description></op:service-description>", Always),
        ("communication address", BARE_TUPLE, "<contact priority=\"0.8\">sip:bob@ims.test</contact>", Always),
        ("device reference", TUPLE, "<dm:deviceID>urn:uuid:48662e19-5fbf-43fc-a2fd-d23002787599</dm:deviceID>", Boolean("deviceID")),
        ("class", TUPLE, "<r:class>work</r:class>", Boolean("class")),
        ("privacy", TUPLE, "<r:privacy><r:audio/></r:privacy>", Boolean("privacy")),
        ("relationship", TUPLE, "<r:relationship><r:friend/></r:relationship>", Boolean("relationship")),
        ("service class", TUPLE, "<r:service-class><r:electronic/></r:service-class>", Always),
        ("status icon", TUPLE, "<r:status-icon>http://a.test/i.png</r:status-icon>", Boolean("status-icon")),
        ("user input", TUPLE, "<r:user-input idle-threshold=\"60\" id=\"u\">idle</r:user-input>", INPUT),
        ("capabilities", TUPLE, "<caps:servcaps><caps:audio>true</caps:audio><caps:message>false</caps:message></caps:servcaps>", Named(CAPS, "servcaps")),
        ("timed status", TUPLE, "<ts:timed-status from=\"2026-01-02T03:04:05Z\"><ts:basic>closed</ts:basic></ts:timed-status>", Named("urn:ietf:params:xml:ns:pidf:timed-status", "timed-status")),
        ("contact card of a service", TUPLE, "<ci:card>http://a.test/b.vcf</ci:card>", Named(CIPID, "card")),
        ("location in a status", STATUS, "<gp:geopriv><gp:location-info/><gp:usage-rules/></gp:geopriv>", GEOPRIV),
        ("note", BARE_TUPLE, "<note xml:lang=\"en\">at the desk</note><note xml:lang=\"de\">am Tisch</note>", Boolean("note")),
        ("timestamp", BARE_TUPLE, "<timestamp>2026-01-02T03:04:05Z</timestamp>", Always),
    ]
}

#[rustfmt::skip] // one line a row
fn of_persons() -> Vec<Row> {
    vec![
        ("overriding willingness", PERSON, "<op:overriding-willingness><op:basic>open</op:basic></op:overriding-willingness>", Oma("willingness")),
        ("activities", PERSON, "<r:activities from=\"2026-01-02T03:04:05Z\" id=\"a\"><r:note xml:lang=\"en\">long</r:note><r:meeting/><r:on-the-phone/></r:activities>", Boolean("activities")),
        ("mood", PERSON, "<r:mood><r:happy/></r:mood>", Boolean("mood")),
        ("place-is", PERSON, "<r:place-is><r:audio><r:noisy/></r:audio></r:place-is>", Boolean("place-is")),
        ("place-type", PERSON, "<r:place-type><lt:office/></r:place-type>", Boolean("place-type")),
        ("privacy", PERSON, "<r:privacy><r:unknown/></r:privacy>", Boolean("privacy")),
        ("time offset", PERSON, "<r:time-offset description=\"summer\">120</r:time-offset>", Boolean("time-offset")),
        ("status icon", PERSON, "<r:status-icon>http://a.test/i.png</r:status-icon>", Boolean("status-icon")),
        ("class", PERSON, "<r:class>private</r:class>", Boolean("class")),
        ("sphere", PERSON, "<r:sphere><r:work/></r:sphere>", Boolean("sphere")),
        ("user input", PERSON, "<r:user-input>active</r:user-input>", INPUT),
        ("location", PERSON, "<gp:geopriv><gp:location-info><lt:office/></gp:location-info><gp:usage-rules/></gp:geopriv>", GEOPRIV),
        ("contact card", PERSON, "<ci:card>http://a.test/b.vcf</ci:card>", Named(CIPID, "card")),
        ("display name", PERSON, "<ci:display-name>Bob &amp; Co.</ci:display-name>", Named(CIPID, "display-name")),
        ("homepage", PERSON, "<ci:homepage>http://a.test/</ci:homepage>", Named(CIPID, "homepage")),
        ("icon", PERSON, "<ci:icon>http://a.test/i.png</ci:icon>", Named(CIPID, "icon")),
        ("map", PERSON, "<ci:map>http://a.test/m</ci:map>", Named(CIPID, "map")),
        ("sound", PERSON, "<ci:sound>http://a.test/s.wav</ci:sound>", Named(CIPID, "sound")),
        ("note", PERSON, "<dm:note xml:lang=\"en\">back at three</dm:note>", Boolean("note")),
        ("timestamp", PERSON, "<dm:timestamp>2026-01-02T03:04:05Z</dm:timestamp>", Always),
    ]
}

#[rustfmt::skip] // one line a row
fn of_devices() -> Vec<Row> {
    vec![
        ("network availability", DEVICE, "<op:network-availability><op:network id=\"IMS\"><op:active/></op:network><op:network id=\"CS\"><op:terminated/></op:network></op:network-availability>", Oma("network-availability")),
        ("device id", BARE_DEVICE, "<dm:deviceID>urn:uuid:48662e19-5fbf-43fc-a2fd-d23002787599</dm:deviceID>", Always),
        ("user input", DEVICE, "<r:user-input last-input=\"2026-01-02T03:04:05Z\">idle</r:user-input>", INPUT),
        ("capabilities", DEVICE, "<caps:devcaps><caps:mobility><caps:supported><caps:mobile/></caps:supported></caps:mobility></caps:devcaps>", Named(CAPS, "devcaps")),
        ("location", DEVICE, "<gp:geopriv><gp:location-info/><gp:usage-rules/></gp:geopriv>", GEOPRIV),
        ("class", DEVICE, "<r:class>handset</r:class>", Boolean("class")),
        ("note", DEVICE_NOTE, "<dm:note>in the pocket</dm:note>", Boolean("note")),
        ("timestamp", DEVICE_NOTE, "<dm:timestamp>2026-01-02T03:04:05Z</dm:timestamp>", Always),
    ]
}

fn document(inside: &str) -> String {
    format!(
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" \
         xmlns:r=\"urn:ietf:params:xml:ns:pidf:rpid\" xmlns:op=\"urn:oma:xml:prs:pidf:oma-pres\" \
         xmlns:caps=\"{CAPS}\" xmlns:ci=\"{CIPID}\" xmlns:ts=\"urn:ietf:params:xml:ns:pidf:timed-status\" \
         xmlns:gp=\"urn:ietf:params:xml:ns:pidf:geopriv10\" xmlns:lt=\"urn:ietf:params:xml:ns:location-type\" \
         entity=\"{BOB}\">{inside}</presence>"
    )
}

#[test]
fn each_element_reaches_the_watcher_it_is_granted_to_byte_for_byte_and_nobody_else() {
    let schema = Schema::load(&schemas::PRESENCE).unwrap();
    let mut bench = Bench::strict();
    let rows = [of_services(), of_persons(), of_devices()];
    for (element, place, text, grant) in rows.into_iter().flatten() {
        let case = format!("{element} in {place}");
        // a second source: whatever is composed, the element stays as it is
        let other = "<tuple id=\"z\"><status><basic>closed</basic></status></tuple>";
        bench.publish_body(&document(&place.replace("{}", text)));
        bench.publish_body(&document(other));
        let everything = format!("{ALL_COMPONENTS}<pr:provide-all-attributes/>");
        for (who, granted, seen) in [
            ("everything", everything.as_str(), true),
            (
                "its own permission",
                &format!("{ALL_COMPONENTS}{}", grant.text()),
                true,
            ),
            ("components alone", ALL_COMPONENTS, matches!(grant, Always)),
            ("no component", "<pr:provide-all-attributes/>", false),
        ] {
            bench.transformations(granted);
            let shown = bench.fetch_document();
            assert_eq!(shown.contains(text), seen, "{case}, {who} granted: {shown}");
            let name = text[1..].split([' ', '>', '/']).next().unwrap();
            let trace = shown.contains(&format!("<{name}"));
            assert!(seen || !trace, "{case}, {who} granted: {shown}");
            let tree = guard::parse(shown.as_bytes(), &guard::Limits::default()).unwrap();
            let verdict = schema.validate(&tree, Unknown::Allowed);
            assert_eq!(verdict, Ok(()), "{case}, {who}: {shown}");
        }
        bench.end_publications();
    }
}

impl Bench {
    pub(super) fn publish_body(&mut self, body: &str) -> Sent {
        let head = format!(
            "Event: presence\r\nP-Asserted-Identity: <{BOB}>\r\nContent-Type: application/pidf+xml\r\n"
        );
        let answer = self.ask("PUBLISH", BOB, &head, body).remove(0);
        assert_eq!(answer.status(), 200, "{body}: {}", answer.text);
        answer
    }

    /// Bob allows alice, with these transformations.
    pub(super) fn transformations(&mut self, granted: &str) -> Vec<Sent> {
        self.put_rules(
            BOB,
            &format!(
                "<ruleset xmlns=\"urn:ietf:params:xml:ns:common-policy\" xmlns:pr=\"urn:ietf:params:xml:ns:pres-rules\" \
                 xmlns:op=\"urn:oma:xml:prs:pres-rules\"><rule id=\"r\"><conditions><identity><one id=\"{ALICE}\"/>\
                 </identity></conditions><actions><pr:sub-handling>allow</pr:sub-handling></actions>\
                 <transformations>{granted}</transformations></rule></ruleset>"
            ),
        )
    }

    /// Lets all that bob published run out.
    fn end_publications(&mut self) {
        self.wait(3_600_000);
        assert_eq!(self.node.census().presence.publications, 0);
    }

    pub(super) fn fetch_document(&mut self) -> String {
        let sent = self.subscribe("Expires: 0\r\n");
        self.answer(&sent[1], 200, "");
        sent[1].body().to_owned()
    }
}
