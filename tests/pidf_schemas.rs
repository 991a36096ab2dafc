//! PIDF in and out against our schemas and against the official schema files, where `PRESENTIA_XSD_DIR` names a folder that holds them and
//! `xmllint` is installed: what we send is valid, and what we accept is valid but for what is listed here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use ims::presence::compose::{Composed, Policy, RegistrationFacts, Source, compose};
use ims::presence::content::view;
use ims::presence::pidf::{Contribution, Limits, PidfError, parse};
use ims::presence::rules::{Attribute, Member, Permissions, Provide, UserInput};
use ims::time::Timestamp;
use ims::xml::guard;
use ims::xml::schema::{Schema, Unknown};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Namespaces and the files that define them, in an order in which they load.
const FILES: &[(&str, &str)] = &[
    ("urn:ietf:params:xml:ns:pidf", "pidf.xsd"),
    ("urn:ietf:params:xml:ns:pidf:data-model", "data-model.xsd"),
    ("urn:ietf:params:xml:ns:pidf:rpid", "rpid.xsd"),
    ("urn:oma:xml:prs:pidf:oma-pres", "prs_pidf_omapres-v1_0.xsd"),
    ("urn:ietf:params:xml:ns:pidf:cipid", "cipid.xsd"),
    ("urn:ietf:params:xml:ns:pidf:caps", "caps.xsd"),
    (
        "urn:ietf:params:xml:ns:pidf:timed-status",
        "timed-status.xsd",
    ),
    ("urn:ietf:params:xml:ns:pidf:geopriv10", "geopriv10.xsd"),
];

const DOCUMENTS: &[&str] = &[
    include_str!("data/pidf/oma-full.xml"),
    include_str!("data/pidf/softphone.xml"),
    include_str!("data/pidf/prefixes.xml"),
    include_str!("data/pidf/elements.xml"),
];

struct Schemas {
    wrapper: PathBuf,
    folder: tempfile::TempDir,
}

impl Schemas {
    /// `None` where the schemas are not at hand.
    fn load() -> Option<Schemas> {
        let official = std::env::var("PRESENTIA_XSD_DIR")
            .ok()
            .filter(|path| Path::new(path).is_dir())?;
        let import = |(ns, file): &(&str, &str)| {
            format!("<xs:import namespace=\"{ns}\" schemaLocation=\"{official}/{file}\"/>")
        };
        let imports: String = FILES.iter().map(import).collect();
        let folder = tempfile::tempdir().unwrap();
        let wrapper = folder.path().join("wrapper.xsd");
        let schema = format!(
            "<xs:schema xmlns:xs=\"http://www.w3.org/2001/XMLSchema\">{imports}</xs:schema>"
        );
        std::fs::write(&wrapper, schema).unwrap();
        Some(Schemas { wrapper, folder })
    }

    /// Faults by position in `documents`; valid ones are absent.
    fn faults(&self, documents: &[String]) -> BTreeMap<usize, String> {
        let paths: Vec<PathBuf> = (0..documents.len())
            .map(|i| self.folder.path().join(format!("{i}.xml")))
            .collect();
        for (path, document) in paths.iter().zip(documents) {
            std::fs::write(path, document).unwrap();
        }
        let output = Command::new("xmllint")
            .args(["--nonet", "--noout", "--schema"])
            .arg(&self.wrapper)
            .args(&paths)
            .output()
            .expect("PRESENTIA_XSD_DIR is set, so xmllint should be installed");
        let report = String::from_utf8_lossy(&output.stderr);
        let mut faults: BTreeMap<usize, String> =
            (0..documents.len()).map(|i| (i, String::new())).collect();
        for line in report.lines() {
            let named = line.strip_prefix(self.folder.path().to_str().unwrap());
            let Some((number, rest)) =
                named.and_then(|rest| rest.strip_prefix('/')?.split_once(".xml"))
            else {
                continue;
            };
            let number: usize = number.parse().unwrap();
            if rest.trim() == "validates" {
                faults.remove(&number);
            } else if let Some(fault) = faults.get_mut(&number).filter(|fault| fault.is_empty()) {
                rest.clone_into(fault);
            }
        }
        assert!(
            faults.len() < documents.len(),
            "xmllint found nothing valid: {report}"
        );
        faults
    }
}

fn read(document: &str) -> Contribution {
    parse(document.as_bytes(), &Limits::default())
        .unwrap_or_else(|error| panic!("{error:?}: {document}"))
}

fn grants() -> Vec<Permissions> {
    let every = || Permissions::components(Provide::All, Provide::All, Provide::All);
    let attributes = [
        Attribute::Activities,
        Attribute::Class,
        Attribute::Mood,
        Attribute::Note,
        Attribute::Willingness,
        Attribute::NetworkAvailability,
    ];
    let single = attributes.map(|attribute| {
        let mut permissions = every();
        permissions.grant(attribute);
        permissions
    });
    let input = [UserInput::Bare, UserInput::Thresholds, UserInput::Full].map(|level| {
        let mut permissions = every();
        permissions.user_input = level;
        permissions
    });
    let class = Provide::Some([Member::Class("work".into())].into_iter().collect());
    let some = [
        Permissions::none(),
        every(),
        Permissions::all(),
        Permissions::components(class.clone(), class.clone(), class),
    ];
    single.into_iter().chain(input).chain(some).collect()
}

/// Compositions of everything with everything, registered and not.
fn compositions() -> Vec<Composed> {
    let contributions: Vec<Contribution> =
        DOCUMENTS.iter().map(|document| read(document)).collect();
    let registered =
        RegistrationFacts::new("sip:bob@home1.test", None, true, Timestamp(0)).unwrap();
    let mut all = Vec::new();
    for chosen in 0u32..16 {
        let sources: Vec<Source<'_>> = (0u64..)
            .zip(&contributions)
            .filter(|(order, _)| chosen & (1 << order) != 0)
            .map(|(order, contribution)| Source {
                contribution,
                at: Timestamp(order),
                order,
                mark: order,
            })
            .collect();
        all.push(compose(&sources, None, &Policy::default()));
        all.push(compose(&sources, Some(&registered), &Policy::default()));
        // the same publication from two devices: every id collides
        let twice: Vec<Source<'_>> = sources
            .iter()
            .copied()
            .chain(sources.iter().map(|s| Source {
                order: s.order + 16,
                ..*s
            }))
            .collect();
        all.push(compose(&twice, Some(&registered), &Policy::default()));
    }
    all
}

#[test]
fn what_is_sent_is_valid() {
    let compositions = compositions();
    let grants = grants();
    let documents: Vec<String> = compositions
        .iter()
        .flat_map(|composed| {
            grants
                .iter()
                .map(|permissions| view(composed, permissions, "sip:bob@home1.test"))
        })
        .map(|document| String::from_utf8(document.into_bytes().to_vec()).unwrap())
        .collect();
    let ours = Schema::load(&ims::xml::schemas::PRESENCE).unwrap();
    for document in &documents {
        read(document);
        let tree = guard::parse(document.as_bytes(), &guard::Limits::default()).unwrap();
        let verdict = ours.validate(&tree, Unknown::Allowed);
        verdict.unwrap_or_else(|fault| panic!("{fault}\n{document}"));
    }
    let Some(schemas) = Schemas::load() else {
        return;
    };
    let faults = schemas.faults(&documents);
    if let Some((number, fault)) = faults.first_key_value() {
        panic!(
            "{} of {} invalid; {fault}\n{}",
            faults.len(),
            documents.len(),
            documents[*number]
        );
    }
}

/// Faults that this server does not look for: the inside of RPID elements, capabilities, locations and timed status.
fn is_known_leniency(fault: &str) -> bool {
    let open = [
        "rpid",
        "caps",
        "cipid",
        "geopriv10",
        "geopriv10:basicPolicy",
        "timed-status",
    ];
    open.iter()
        .any(|ns| fault.contains(&format!("{{urn:ietf:params:xml:ns:pidf:{ns}}}")))
}

/// Faults that xmllint overlooks: an element of the parent's namespace after a wildcard for others, and, while it
/// validates, a prefix that is not declared.
fn is_fault_of_the_oracle(error: PidfError) -> bool {
    [
        "Elements of presence out of order",
        "Unknown element in OMA element",
        "Namespace prefix not declared",
    ]
    .contains(&error.reason())
}

/// A document with elements dropped, doubled, swapped, and texts and attributes changed.
fn mutants(document: &str) -> Vec<String> {
    let parsed = roxmltree::Document::parse(document).unwrap();
    let elements: Vec<_> = parsed
        .root_element()
        .descendants()
        .filter(|node| node.is_element())
        .collect();
    let mut mutants = Vec::new();
    let mut splice = |range: std::ops::Range<usize>, with: &str| {
        let mut mutant = document.to_owned();
        mutant.replace_range(range, with);
        mutants.push(mutant);
    };
    for (i, element) in elements.iter().enumerate().skip(1) {
        let range = element.range();
        let text = &document[range.clone()];
        splice(range.clone(), "");
        splice(range.clone(), &format!("{text}{text}"));
        splice(range.clone(), &format!("stray{text}"));
        splice(
            range.start..range.start,
            "<y:other xmlns:y='urn:y'>1</y:other>",
        );
        splice(range.start..range.start, "<none xmlns=''/>");
        splice(range.start..range.start, "<wrong/>");
        splice(range.start + 1..range.start + 1, "wrong");
        let name_end = range.start + text.find([' ', '>', '/']).unwrap();
        splice(name_end..name_end, " wrong='x'");
        splice(name_end..name_end, " xml:lang='en'");
        if let Some(next) = elements[i + 1..]
            .iter()
            .find(|next| next.range().start >= range.end && next.parent() == element.parent())
        {
            let between = document[range.end..next.range().start].to_owned();
            splice(
                range.start..next.range().end,
                &format!("{}{between}{text}", &document[next.range()]),
            );
        }
        for attribute in element.attributes() {
            splice(attribute.range(), "");
            for value in ["", "1x", "a b", "0.5", "1.0001", "en-GB", "im"] {
                splice(attribute.range_value(), value);
            }
        }
        if let Some(inner) = element.children().find(|child| child.is_text()) {
            for value in [
                "",
                "open",
                "active",
                "idle",
                "17",
                "2026-02-30T00:00:00Z",
                "2026-02-03T00:00:00.5+14:00",
                " closed ",
                "x",
            ] {
                splice(inner.range(), value);
            }
        }
    }
    mutants
}

#[test]
fn what_is_accepted_is_valid_and_what_is_valid_is_accepted() {
    let Some(schemas) = Schemas::load() else {
        return;
    };
    let documents: Vec<String> = DOCUMENTS
        .iter()
        .flat_map(|document| mutants(document))
        .collect();
    let faults = schemas.faults(&documents);
    let mut wrong = Vec::new();
    for (number, document) in documents.iter().enumerate() {
        match (
            parse(document.as_bytes(), &Limits::default()),
            faults.get(&number),
        ) {
            (Ok(_), Some(fault)) if !is_known_leniency(fault) => {
                wrong.push(format!("accepted though {fault}\n{document}"))
            }
            (Err(error), None) if !is_fault_of_the_oracle(error) => {
                wrong.push(format!("{error:?} though valid\n{document}"))
            }
            _ => {}
        }
    }
    let report: Vec<&str> = wrong.iter().filter_map(|w| w.lines().next()).collect();
    assert!(
        wrong.is_empty(),
        "{} of {} differ: {report:#?}\n{}",
        wrong.len(),
        documents.len(),
        wrong[0]
    );
}
