//! PIDF bodies (RFC 3863) with the presence data model (RFC 4479), RPID (RFC 4480) and the OMA elements.

pub(crate) mod canonical;
pub(crate) mod fragment;
pub(crate) mod lexis;
pub(crate) mod names;
mod read;
pub(crate) mod scan;
mod validate;
mod values;

use super::object::Object;
use fragment::{Parsed, Span};
use std::sync::Arc;

/// Media type of a presence document (RFC 3863 §4).
pub const MEDIA_TYPE: &str = "application/pidf+xml";

/// Bounds on one body; what exceeds one is refused. Nesting, attributes and declarations have fixed bounds
/// (32 levels, 64 attributes on an element, 64 namespace declarations in scope).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest body, in bytes. Default: 65,536.
    pub body: usize,
    /// Most tuples, persons and devices together. Default: 64.
    pub components: usize,
    /// Most elements directly inside components, all together. Default: 1,024.
    pub elements: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            body: 65_536,
            components: 64,
            elements: 1_024,
        }
    }
}

/// Why a body is not accepted. All but `TooLarge` (413) are answered 400 with [`PidfError::reason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PidfError {
    /// Larger than [`Limits::body`].
    TooLarge,
    /// Not well-formed XML in UTF-8, or with a document type declaration.
    NotWellFormed { what: &'static str, at: usize },
    /// Well-formed, but not a PIDF document.
    Invalid { what: &'static str, at: usize },
    /// More of something than [`Limits`] or a fixed bound allows.
    TooMany { what: &'static str },
}

impl PidfError {
    /// Reason phrase for the response: constant text, nothing of the body in it.
    pub fn reason(&self) -> &'static str {
        match self {
            PidfError::TooLarge => "Presence document too large",
            PidfError::NotWellFormed { what, .. }
            | PidfError::Invalid { what, .. }
            | PidfError::TooMany { what } => what,
        }
    }
}

impl From<lexis::Malformed> for PidfError {
    fn from(malformed: lexis::Malformed) -> Self {
        PidfError::NotWellFormed {
            what: malformed.what,
            at: malformed.at,
        }
    }
}

/// One publication's state, checked once. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Contribution {
    parsed: Arc<Parsed>,
    /// What it brings beside its document; `None` for most.
    objects: Option<Arc<[Object]>>,
}

impl Contribution {
    /// The presentity the document names, references resolved, otherwise as written.
    pub fn entity(&self) -> &str {
        self.parsed.slice(self.parsed.entity)
    }

    /// The document as published, the byte order mark left out.
    pub fn document(&self) -> &str {
        let document = Span {
            start: 0,
            end: self.parsed.document,
        };
        self.parsed.slice(document)
    }

    /// The same with these objects in place of those it had.
    pub fn with_objects(mut self, objects: Vec<Object>) -> Contribution {
        self.objects = (!objects.is_empty()).then(|| objects.into());
        self
    }

    /// What it brings beside its document.
    pub fn objects(&self) -> &[Object] {
        self.objects.as_deref().unwrap_or_default()
    }

    /// Bytes of memory held, all included.
    pub fn memory(&self) -> usize {
        let p = &self.parsed;
        size_of::<Parsed>()
            + p.text.len()
            + size_of_val(&*p.components)
            + size_of_val(&*p.pieces)
            + size_of_val(&*p.presence)
            + size_of_val(&*p.bindings)
            + size_of_val(&*p.namespaces)
            + size_of_val(&*p.ids)
            + self
                .objects()
                .iter()
                .map(|object| size_of::<Object>() + object.bytes.len())
                .sum::<usize>()
    }

    pub(crate) fn parsed(&self) -> &Arc<Parsed> {
        &self.parsed
    }
}

/// Reads one PIDF document.
pub fn parse(body: &[u8], limits: &Limits) -> Result<Contribution, PidfError> {
    if body.len() > limits.body {
        return Err(PidfError::TooLarge);
    }
    let body = std::str::from_utf8(body).map_err(|error| PidfError::NotWellFormed {
        what: "Not UTF-8",
        at: error.valid_up_to(),
    })?;
    let body = body.strip_prefix('\u{FEFF}').unwrap_or(body);
    Ok(Contribution {
        parsed: Arc::new(read::read(body, limits)?),
        objects: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Contribution, PidfError> {
        parse(body.as_bytes(), &Limits::default())
    }

    /// A document with `inside` as the content of `<presence>`.
    fn document(inside: &str) -> String {
        format!(
            "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" \
             xmlns:r=\"urn:ietf:params:xml:ns:pidf:rpid\" xmlns:op=\"urn:oma:xml:prs:pidf:oma-pres\" \
             xmlns:x=\"urn:example:x\" entity=\"sip:bob@home1.test\">{inside}</presence>"
        )
    }

    #[test]
    fn structure_follows_the_schemas() {
        let tuple = |inside: &str| format!("<tuple id='a'>{inside}</tuple>");
        let person = |inside: &str| format!("<dm:person id='a'>{inside}</dm:person>");
        let device = |inside: &str| format!("<dm:device id='a'>{inside}</dm:device>");
        for (case, inside, accepted) in [
            ("nothing at all", String::new(), true),
            ("an empty status", tuple("<status/>"), true),
            ("no status", tuple(""), false),
            ("two statuses", tuple("<status/><status/>"), false),
            ("something before status", tuple("<x:a/><status/>"), false),
            ("no id", "<tuple><status/></tuple>".into(), false),
            (
                "an id that is no name",
                "<tuple id='1a'><status/></tuple>".into(),
                false,
            ),
            ("one id twice", tuple("<status/>") + &person(""), false),
            (
                "one id twice, inside RPID",
                tuple("<status/><r:activities id='a'/>"),
                false,
            ),
            ("open", tuple("<status><basic>open</basic></status>"), true),
            (
                "closed",
                tuple("<status><basic>closed</basic></status>"),
                true,
            ),
            (
                "neither open nor closed",
                tuple("<status><basic>busy</basic></status>"),
                false,
            ),
            (
                "open spelt with a reference",
                tuple("<status><basic>&#111;pen</basic></status>"),
                true,
            ),
            (
                "open with white space",
                tuple("<status><basic> open</basic></status>"),
                false,
            ),
            (
                "basic twice",
                tuple("<status><basic>open</basic><basic>open</basic></status>"),
                false,
            ),
            (
                "basic after an extension",
                tuple("<status><x:a/><basic>open</basic></status>"),
                false,
            ),
            ("text in a tuple", tuple("<status/>hello"), false),
            (
                "white space as CDATA in a tuple",
                tuple("<status/><![CDATA[ ]]>"),
                false,
            ),
            (
                "priority at its bounds",
                tuple("<status/><contact priority='1.000'>a:b</contact>"),
                true,
            ),
            (
                "priority of three decimals",
                tuple("<status/><contact priority='0.123'>a:b</contact>"),
                true,
            ),
            (
                "priority of four decimals",
                tuple("<status/><contact priority='0.1234'>a:b</contact>"),
                false,
            ),
            (
                "priority above one",
                tuple("<status/><contact priority='1.001'>a:b</contact>"),
                false,
            ),
            (
                "contact twice",
                tuple("<status/><contact>a:b</contact><contact>a:c</contact>"),
                false,
            ),
            (
                "contact before an extension",
                tuple("<status/><contact>a:b</contact><x:a/>"),
                false,
            ),
            (
                "notes repeat",
                tuple("<status/><note xml:lang='en'>a</note><note>b</note>"),
                true,
            ),
            (
                "a language that is none",
                tuple("<status/><note xml:lang='!'>a</note>"),
                false,
            ),
            (
                "note after timestamp",
                tuple("<status/><timestamp>2026-01-01T00:00:00Z</timestamp><note/>"),
                false,
            ),
            (
                "a timestamp that is none",
                tuple("<status/><timestamp>now</timestamp>"),
                false,
            ),
            (
                "an element of no namespace",
                tuple("<status/><a xmlns=''/>"),
                false,
            ),
            (
                "an attribute that PIDF has not",
                "<tuple id='a' class='x'><status/></tuple>".into(),
                false,
            ),
            ("an unknown PIDF element", tuple("<status/><sip/>"), false),
            (
                "notes after tuples",
                tuple("<status/>") + "<note>a</note>",
                true,
            ),
            (
                "tuples after notes",
                "<note>a</note>".to_owned() + &tuple("<status/>"),
                false,
            ),
            (
                "tuples after persons",
                person("") + "<tuple id='b'><status/></tuple>",
                false,
            ),
            (
                "a person with a deviceID",
                person("<dm:deviceID>urn:x:y</dm:deviceID>"),
                false,
            ),
            ("a device without deviceID", device("<x:a/>"), false),
            (
                "a device with one",
                device("<dm:deviceID>urn:x:y</dm:deviceID>"),
                true,
            ),
            (
                "a device with two",
                device("<dm:deviceID>urn:x:y</dm:deviceID><dm:deviceID>urn:x:z</dm:deviceID>"),
                false,
            ),
            (
                "a device whose note comes first",
                device("<dm:note>a</dm:note><dm:deviceID>urn:x:y</dm:deviceID>"),
                false,
            ),
            (
                "idle",
                tuple("<status/><r:user-input>idle</r:user-input>"),
                true,
            ),
            (
                "asleep",
                tuple("<status/><r:user-input>asleep</r:user-input>"),
                false,
            ),
            (
                "an offset in minutes",
                person("<r:time-offset>-60</r:time-offset>"),
                true,
            ),
            (
                "an offset in words",
                person("<r:time-offset>one hour</r:time-offset>"),
                false,
            ),
            (
                "a period",
                person("<r:mood from='2026-01-01T00:00:00Z' until=' 2026-01-02T00:00:00+01:00 '/>"),
                true,
            ),
            (
                "a period until whenever",
                person("<r:mood until='whenever'/>"),
                false,
            ),
            (
                "idle for a time",
                tuple(
                    "<status/><r:user-input idle-threshold='60' last-input='2026-01-01T00:00:00Z'>idle</r:user-input>",
                ),
                true,
            ),
            (
                "idle for no time",
                tuple("<status/><r:user-input idle-threshold='0'>idle</r:user-input>"),
                false,
            ),
            (
                "idle since whenever",
                tuple("<status/><r:user-input last-input='whenever'>idle</r:user-input>"),
                false,
            ),
            (
                "an activity nobody knows",
                person("<r:activities><r:juggling until='whenever'/></r:activities>"),
                true,
            ),
            (
                "a status for a time",
                tuple(
                    "<status/><ts:timed-status xmlns:ts='urn:ietf:params:xml:ns:pidf:timed-status' from='2026-01-01T00:00:00Z'/>",
                ),
                true,
            ),
            (
                "a status for no time",
                tuple(
                    "<status/><ts:timed-status xmlns:ts='urn:ietf:params:xml:ns:pidf:timed-status'/>",
                ),
                false,
            ),
            (
                "a visiting card",
                person(
                    "<c:card xmlns:c='urn:ietf:params:xml:ns:pidf:cipid'>http://a.test/b</c:card>",
                ),
                true,
            ),
            (
                "a visiting card that is none",
                person("<c:card xmlns:c='urn:ietf:params:xml:ns:pidf:cipid'><c:name/></c:card>"),
                false,
            ),
            (
                "willing",
                tuple("<status/><op:willingness><op:basic>open</op:basic><x:a/></op:willingness>"),
                true,
            ),
            (
                "willing, perhaps",
                tuple("<status/><op:willingness><op:basic>maybe</op:basic></op:willingness>"),
                false,
            ),
            (
                "basic after others",
                tuple("<status/><op:willingness><x:a/><op:basic>open</op:basic></op:willingness>"),
                false,
            ),
            (
                "registered",
                tuple("<status/><op:registration-state>active</op:registration-state>"),
                true,
            ),
            (
                "half registered",
                tuple("<status/><op:registration-state>half</op:registration-state>"),
                false,
            ),
            (
                "a service with id and version",
                tuple(
                    "<status/><op:service-description><op:service-id>a</op:service-id><op:version>1</op:version></op:service-description>",
                ),
                true,
            ),
            (
                "a service without version",
                tuple(
                    "<status/><op:service-description><op:service-id>a</op:service-id></op:service-description>",
                ),
                false,
            ),
            (
                "two networks",
                device(
                    "<op:network-availability><op:network id='IMS'><op:active/></op:network><op:network id='x'/></op:network-availability><dm:deviceID>urn:x:y</dm:deviceID>",
                ),
                true,
            ),
            (
                "a network both active and terminated",
                device(
                    "<op:network-availability><op:network id='IMS'><op:active/><op:terminated/></op:network></op:network-availability><dm:deviceID>urn:x:y</dm:deviceID>",
                ),
                false,
            ),
            (
                "no network",
                device("<op:network-availability/><dm:deviceID>urn:x:y</dm:deviceID>"),
                false,
            ),
        ] {
            let result = read(&document(&inside));
            assert_eq!(result.is_ok(), accepted, "{case}: {result:?}");
        }
    }

    #[test]
    fn what_is_not_pidf_or_not_xml_is_refused() {
        for (case, body) in [
            ("nothing", ""),
            ("another root", "<presence entity='sip:a@b'/>"),
            (
                "no entity",
                "<presence xmlns='urn:ietf:params:xml:ns:pidf'/>",
            ),
            (
                "an empty entity",
                "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity=''/>",
            ),
            (
                "no end",
                "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:a@b'>",
            ),
            (
                "a second root",
                "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:a@b'/><a/>",
            ),
            (
                "text behind",
                "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:a@b'/>a",
            ),
            (
                "a document type",
                "<!DOCTYPE presence><presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:a@b'/>",
            ),
            (
                "another encoding",
                "<?xml version='1.0' encoding='UTF-16'?><presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:a@b'/>",
            ),
        ] {
            assert!(read(body).is_err(), "{case}");
        }
        assert!(
            parse(
                b"<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='\xFF'/>",
                &Limits::default()
            )
            .is_err()
        );
    }

    #[test]
    fn bounds_hold() {
        let deep = |levels: usize| {
            document(&format!(
                "<x:a>{}{}</x:a>",
                "<x:b>".repeat(levels),
                "</x:b>".repeat(levels)
            ))
        };
        assert!(read(&deep(scan::MAX_DEPTH - 2)).is_ok());
        assert!(read(&deep(scan::MAX_DEPTH - 1)).is_err());
        let tuples = |count: usize| {
            document(
                &(0..count)
                    .map(|i| format!("<tuple id='t{i}'><status/></tuple>"))
                    .collect::<String>(),
            )
        };
        assert!(read(&tuples(64)).is_ok());
        assert_eq!(
            read(&tuples(65)).err(),
            Some(PidfError::TooMany {
                what: "Too many tuples, persons or devices"
            })
        );
        let small = Limits {
            body: 100,
            ..Limits::default()
        };
        assert_eq!(parse(&[b' '; 101], &small).err(), Some(PidfError::TooLarge));
    }

    #[test]
    fn an_ordinary_document_fits_its_budget_of_memory() {
        let body = include_str!("../../../../tests/data/pidf/softphone.xml");
        let contribution = read(body).expect("valid");
        assert!(
            contribution.memory() <= body.len() + 512,
            "{} for {} bytes",
            contribution.memory(),
            body.len()
        );
    }

    #[test]
    fn the_entity_is_read_with_its_references() {
        let body = "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity=' sip:bob@home1.test?a=1&amp;b=2 '/>";
        assert_eq!(
            read(body).expect("valid").entity(),
            "sip:bob@home1.test?a=1&b=2"
        );
    }
}
