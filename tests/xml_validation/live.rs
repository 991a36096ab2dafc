//! Our validator against `xmllint` with the same schema texts, ours: no published file is needed, so it runs wherever
//! xmllint is. Where `PRESENTIA_XSD_DIR` names the published schemas, their verdicts must be the same too.

use crate::{data, known_difference, mutants, official, ours, samples, wrapper, xmllint};
use ims::xml::schema::{Schema, Source};
use ims::xml::schemas;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Changes of documents, by a schema that only tests need and that takes less than the published one.
const XCAP_DIFF: [Source<'static>; 1] = [Source {
    name: "xcap-diff.xsd",
    text: include_str!("../../ims/src/node/tests/documents/xcap-diff.xsd"),
}];

/// Mutants of each sample.
const MUTANTS: u64 = 500;

/// Samples of one kind: our schemas and the published ones.
struct Kind {
    directory: &'static str,
    /// What names of the samples begin with.
    samples: &'static str,
    ours: &'static [Source<'static>],
    official: &'static [(&'static str, &'static str)],
}

const LISTS: (&str, &str) = (
    "urn:ietf:params:xml:ns:resource-lists",
    "resource-lists.xsd",
);

/// Presence documents are not among them: their verdicts with the published schemas are recorded, and xmllint does not take
/// our text of location objects, whose content model is not deterministic.
const KINDS: [Kind; 10] = [
    Kind {
        directory: "xml/documents",
        samples: "resource-lists",
        ours: &schemas::RESOURCE_LISTS,
        official: &[LISTS],
    },
    Kind {
        directory: "xml/documents",
        samples: "group-usage-list",
        ours: &schemas::GROUP_USAGE_LIST,
        official: &[
            LISTS,
            (
                "urn:oma:xml:xdm:resource-list:oma-uriusage",
                "xdm_rsrclst_uriusage-v1_0.xsd",
            ),
        ],
    },
    Kind {
        directory: "xml/documents",
        samples: "rls-services",
        ours: &schemas::RLS_SERVICES,
        official: &[("urn:ietf:params:xml:ns:rls-services", "rls-services.xsd")],
    },
    Kind {
        directory: "xml/documents",
        samples: "xcap-directory",
        ours: &schemas::XCAP_DIRECTORY,
        official: &[(
            "urn:oma:xml:xdm:xcap-directory",
            "xdm_xcapDirectory-v1_0.xsd",
        )],
    },
    Kind {
        directory: "xml/documents",
        samples: "xcap-error",
        ours: &schemas::XCAP_ERROR,
        official: &[("urn:ietf:params:xml:ns:xcap-error", "xcap-error.xsd")],
    },
    Kind {
        directory: "xml/documents",
        samples: "xcap-caps",
        ours: &schemas::XCAP_CAPS,
        official: &[("urn:ietf:params:xml:ns:xcap-caps", "xcap-caps.xsd")],
    },
    Kind {
        directory: "xml/documents",
        samples: "pres-content",
        ours: &schemas::PRES_CONTENT,
        official: &[
            ("http://www.w3.org/XML/1998/namespace", "xml.xsd"),
            ("urn:oma:xml:prs:pres-content", "prs_presContent-v1_0.xsd"),
        ],
    },
    Kind {
        directory: "xml/documents",
        samples: "rlmi",
        ours: &schemas::RLMI,
        official: &[
            ("http://www.w3.org/XML/1998/namespace", "xml.xsd"),
            ("urn:ietf:params:xml:ns:rlmi", "rlmi.xsd"),
        ],
    },
    Kind {
        directory: "xml/documents",
        samples: "xcap-diff",
        ours: &XCAP_DIFF,
        official: &[],
    },
    Kind {
        directory: "xml/valid",
        samples: "",
        ours: &schemas::PRESENCE_RULES,
        official: &[],
    },
];

/// Our schema texts as files in which xmllint finds the others: an import of ours names a namespace and no file.
fn written(directory: &Path, sources: &[Source<'_>]) -> Vec<(String, PathBuf)> {
    let xml = Source {
        name: "xml.xsd",
        text: include_str!("../../ims/src/xml/schemas/xml.xsd"),
    };
    let mut all: Vec<Source<'_>> = sources.to_vec();
    if !all.iter().any(|source| source.name == xml.name) {
        all.push(xml);
    }
    let target = |source: &Source<'_>| {
        let (_, after) = source.text.split_once("targetNamespace=\"")?;
        Some(after.split_once('"')?.0.to_owned())
    };
    let targets: Vec<_> = all.iter().map(|source| target(source).unwrap()).collect();
    let place = |source: &Source<'_>| directory.join(source.name);
    for source in &all {
        let mut text = source.text.to_owned();
        for (space, other) in targets.iter().zip(&all) {
            let bare = format!("<xs:import namespace=\"{space}\"/>");
            let located = format!(
                "<xs:import namespace=\"{space}\" schemaLocation=\"{}\"/>",
                other.name
            );
            text = text.replace(&bare, &located);
        }
        fs::write(place(source), text).unwrap();
    }
    let own = targets.into_iter().zip(all.iter().map(place));
    own.filter(|(space, _)| !space.ends_with("/XML/1998/namespace"))
        .collect()
}

/// What else is settled: `known_difference` holds what the recorded verdicts show too.
fn differences(
    schema: &Schema,
    corpus: &[(String, String)],
    verdicts: &BTreeMap<String, bool>,
) -> (usize, Vec<String>) {
    let (mut known, mut differ) = (0, Vec::new());
    for (name, text) in corpus {
        let ours = ours(schema, text);
        if ours.is_ok() == verdicts[name] {
            continue;
        }
        match known_difference(text, &ours) {
            Some(_) => known += 1,
            None => differ.push(format!(
                "{name}: xmllint says {}, we say {ours:?}\n{text}",
                verdicts[name]
            )),
        }
    }
    (known, differ)
}

#[test]
fn verdicts_on_every_kind_of_document_are_those_of_xmllint_with_the_same_schemas() {
    if Command::new("xmllint").arg("--version").output().is_err() {
        println!("xmllint is not here: nothing compared");
        return;
    }
    for kind in &KINDS {
        let mut samples = samples(&data().join(kind.directory));
        samples.retain(|name, _| name.starts_with(kind.samples));
        let corpus = mutants(&samples, MUTANTS);
        let schema = Schema::load(kind.ours).unwrap();
        let mut sets = Vec::new();
        let scratch = tempfile::tempdir().unwrap();
        sets.push(("ours", written(scratch.path(), kind.ours)));
        if let Some(directory) = official().filter(|_| !kind.official.is_empty()) {
            let published = kind.official.iter();
            let files = published.map(|(space, name)| (space.to_string(), directory.join(name)));
            sets.push(("published", files.collect()));
        }
        for (whose, imports) in sets {
            let directory = tempfile::tempdir().unwrap();
            let verdicts = xmllint(&wrapper(directory.path(), &imports), &corpus);
            let valid = verdicts.values().filter(|valid| **valid).count();
            let (known, differ) = differences(&schema, &corpus, &verdicts);
            println!(
                "{} {} with schemas {whose}: {} documents, {valid} valid, {known} known differences",
                kind.directory,
                kind.samples,
                corpus.len()
            );
            assert!(
                differ.is_empty(),
                "{} of {} with schemas {whose}:\n{}",
                differ.len(),
                corpus.len(),
                differ.join("\n")
            );
            // A corpus that is all of one kind would show nothing.
            assert!(valid > corpus.len() / 50 && valid < corpus.len());
        }
    }
}
