//! Our schema validator against `xmllint --schema`, on samples and generated mutants.
//!
//! The verdicts of xmllint with the officially published schemas are recorded in `tests/data/xml/verdicts.txt`.
//! Where `PRESENTIA_XSD_DIR` names a directory with those schemas and xmllint is installed, its verdicts are
//! taken anew and must be the recorded ones; with `PRESENTIA_XSD_RECORD=1` they are written down instead.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod live;
mod mutate;

use ims::xml::schema::{Schema, Source, Unknown};
use ims::xml::{guard, schemas};
use mutate::{Dice, Element};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Mutants of each sample.
const MUTANTS: u64 = 200;

/// A kind of document: our schemas of it, the published ones by namespace, and where samples and verdicts are.
struct Family {
    ours: &'static [Source<'static>],
    official: &'static [(&'static str, &'static str)],
    samples: &'static str,
    verdicts: &'static str,
}

const RULES: Family = Family {
    ours: &schemas::PRESENCE_RULES,
    official: &[
        ("urn:ietf:params:xml:ns:common-policy", "common-policy.xsd"),
        ("urn:ietf:params:xml:ns:pres-rules", "pres-rules.xsd"),
        ("urn:oma:xml:xdm:common-policy", "xdm_commonPolicy-v1_0.xsd"),
        ("urn:oma:xml:prs:pres-rules", "prs_presRules-v1_0.xsd"),
    ],
    samples: "xml/valid",
    verdicts: "xml/verdicts.txt",
};

const PRESENCE: Family = Family {
    ours: &schemas::PRESENCE,
    official: &[
        ("urn:ietf:params:xml:ns:pidf", "pidf.xsd"),
        ("urn:ietf:params:xml:ns:pidf:data-model", "data-model.xsd"),
        ("urn:ietf:params:xml:ns:pidf:rpid", "rpid.xsd"),
        ("urn:ietf:params:xml:ns:pidf:cipid", "cipid.xsd"),
        ("urn:ietf:params:xml:ns:pidf:caps", "caps.xsd"),
        (
            "urn:ietf:params:xml:ns:pidf:timed-status",
            "timed-status.xsd",
        ),
        ("urn:oma:xml:prs:pidf:oma-pres", "prs_pidf_omapres-v1_0.xsd"),
        ("urn:ietf:params:xml:ns:pidf:geopriv10", "geopriv10.xsd"),
    ],
    samples: "pidf",
    verdicts: "xml/presence-verdicts.txt",
};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// Valid documents by name.
fn samples(directory: &Path) -> BTreeMap<String, String> {
    let files = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let xml = files.filter(|path| path.extension().is_some_and(|e| e == "xml"));
    xml.map(|path| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        (name, fs::read_to_string(path).unwrap())
    })
    .collect()
}

fn corpus(samples: &BTreeMap<String, String>) -> Vec<(String, String)> {
    mutants(samples, MUTANTS)
}

/// Each sample as number 0 and its mutants from 1 on.
fn mutants(samples: &BTreeMap<String, String>, count: u64) -> Vec<(String, String)> {
    let mut corpus = Vec::new();
    for (name, text) in samples {
        corpus.push((format!("{name}-0"), text.clone()));
        let element = Element::read(text);
        let mut dice = Dice::new(fingerprint(name));
        for number in 1..=count {
            corpus.push((format!("{name}-{number}"), element.mutant(&mut dice)));
        }
    }
    corpus
}

/// FNV-1a: tells that a mutant is still the one a verdict was recorded for.
fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

fn ours(schema: &Schema, text: &str) -> Result<(), String> {
    let document =
        guard::parse(text.as_bytes(), &guard::Limits::default()).map_err(|e| e.to_string())?;
    schema
        .validate(&document, Unknown::Allowed)
        .map_err(|invalid| invalid.to_string())
}

/// What xmllint says of each document.
fn xmllint(schema: &Path, corpus: &[(String, String)]) -> BTreeMap<String, bool> {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(format!("{name}.xml"));
    for (name, text) in corpus {
        fs::write(path(name), text).unwrap();
    }
    let mut verdicts = BTreeMap::new();
    for part in corpus.chunks(500) {
        let files = part.iter().map(|(name, _)| path(name));
        let output = Command::new("xmllint")
            .args(["--noout", "--nonet", "--schema"])
            .arg(schema)
            .args(files)
            .output();
        let said = String::from_utf8(output.unwrap().stderr).unwrap();
        for (name, _) in part {
            let file = path(name).display().to_string();
            let valid = said.contains(&format!("{file} validates\n"));
            assert!(
                valid || said.contains(&format!("{file} fails to validate\n")),
                "no verdict on {name}: {said}"
            );
            verdicts.insert(name.clone(), valid);
        }
    }
    verdicts
}

/// A schema that imports the given ones.
fn wrapper(directory: &Path, imports: &[(String, PathBuf)]) -> PathBuf {
    let lines = imports.iter().map(|(space, path)| {
        let space = if space.is_empty() {
            String::new()
        } else {
            format!("namespace=\"{space}\" ")
        };
        format!(
            "<xs:import {space}schemaLocation=\"{}\"/>\n",
            path.display()
        )
    });
    let text = format!(
        "<xs:schema xmlns:xs=\"http://www.w3.org/2001/XMLSchema\" targetNamespace=\"urn:all\">\n{}</xs:schema>\n",
        lines.collect::<String>()
    );
    let path = directory.join("all.xsd");
    fs::write(&path, text).unwrap();
    path
}

/// Where the published schemas are, if they are here and xmllint is too.
fn official() -> Option<PathBuf> {
    let directory = PathBuf::from(env::var_os("PRESENTIA_XSD_DIR")?);
    let xmllint = Command::new("xmllint").arg("--version").output().is_ok();
    (xmllint && directory.join(RULES.official[0].1).exists()).then_some(directory)
}

/// Why our verdict may differ from xmllint's. Each has been settled with the text of the standard.
fn known_difference(text: &str, ours: &Result<(), String>) -> Option<&'static str> {
    match ours {
        Ok(()) if text.contains("[2001:db8::1]") => {
            Some("libxml2 refuses the brackets of RFC 2732 in xs:anyURI")
        }
        // XML 1.0 §2.12 takes an empty one, which ends what an element around it says.
        Ok(()) if text.contains("xml:lang=\"\"") => {
            Some("an older schema of the xml: attributes takes no empty xml:lang")
        }
        // XML Schema part 1 §3.10.1: ##other leaves out the target namespace, wherever the wildcard stands.
        Err(why) if why.contains("expected an element of another namespace (") => {
            Some("libxml2 takes an element of the target namespace behind a ##other wildcard")
        }
        Err(why) if why.starts_with("an unknown namespace prefix") => {
            Some("xmllint goes on after a prefix that is not declared")
        }
        _ => None,
    }
}

#[test]
fn verdicts_on_presence_rules_are_those_of_xmllint() {
    compare(&RULES);
}

#[test]
fn verdicts_on_presence_documents_are_those_of_xmllint() {
    compare(&PRESENCE);
}

/// Takes the verdicts of xmllint anew where the published schemas are here.
fn record(family: &Family, corpus: &[(String, String)], file: &Path) {
    let Some(directory) = official() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let imports: Vec<_> = family
        .official
        .iter()
        .map(|(space, name)| (space.to_string(), directory.join(name)))
        .collect();
    let verdicts = xmllint(&wrapper(scratch.path(), &imports), corpus);
    let lines = corpus.iter().map(|(name, text)| {
        let verdict = if verdicts[name] { "valid" } else { "invalid" };
        format!("{name} {:016x} {verdict}\n", fingerprint(text))
    });
    let header =
        "# document, FNV-1a of its text, verdict of xmllint --schema with the published schemas\n";
    let text = header.to_owned() + &lines.collect::<String>();
    if env::var_os("PRESENTIA_XSD_RECORD").is_some() {
        fs::write(file, text).unwrap();
    } else {
        assert!(
            fs::read_to_string(file).unwrap() == text,
            "recorded verdicts are out of date"
        );
    }
}

fn compare(family: &Family) {
    let schema = Schema::load(family.ours).unwrap();
    let corpus = corpus(&samples(&data().join(family.samples)));
    let file = data().join(family.verdicts);
    record(family, &corpus, &file);
    let recorded = fs::read_to_string(&file).unwrap();
    let recorded: Vec<&str> = recorded
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    assert_eq!(recorded.len(), corpus.len());
    let (mut valid, mut known) = (0, 0);
    for (line, (name, text)) in recorded.iter().zip(&corpus) {
        let (named, verdict) = line.rsplit_once(' ').unwrap();
        assert_eq!(
            named,
            format!("{name} {:016x}", fingerprint(text)),
            "another mutant than the recorded one"
        );
        let ours = ours(&schema, text);
        valid += usize::from(verdict == "valid");
        if ours.is_ok() != (verdict == "valid") {
            assert!(
                known_difference(text, &ours).is_some(),
                "{name}: xmllint says {verdict}, we say {ours:?}\n{text}"
            );
            known += 1;
        }
    }
    // A corpus that is all of one kind would show nothing.
    assert!(
        valid > corpus.len() / 10 && valid < corpus.len() * 9 / 10,
        "{valid} of {}",
        corpus.len()
    );
    println!(
        "{} documents, {valid} valid, {known} with a known difference",
        corpus.len()
    );
}

#[test]
fn the_published_schemas_load_and_their_samples_are_valid() {
    let Some(directory) = official() else { return };
    let mut texts = Vec::new();
    for entry in fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "xsd") {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            texts.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
    texts.sort();
    let sources: Vec<_> = texts
        .iter()
        .map(|(name, text)| Source { name, text })
        .collect();
    let schema = Schema::load(&sources).unwrap();
    let beside = directory.join("../samples");
    if !beside.exists() {
        return;
    }
    let samples = samples(&beside);
    for (name, text) in &samples {
        assert_eq!(ours(&schema, text), Ok(()), "{name}");
    }
    let included = |name: &str| {
        texts
            .iter()
            .any(|(_, text)| text.contains(&format!("include schemaLocation=\"{name}\"")))
    };
    // xdm_xcapError refers to xml:lang without importing its namespace, which xmllint refuses.
    let wanted = texts
        .iter()
        .filter(|(name, _)| !included(name) && name != "xdm_xcapError-v1_0.xsd");
    let imports = wanted.map(|(name, text)| {
        let target = text
            .split_once("targetNamespace=\"")
            .and_then(|(_, after)| after.split_once('"'));
        (
            target.map_or("", |(space, _)| space).to_owned(),
            directory.join(name),
        )
    });
    let imports: Vec<_> = imports.collect();
    let scratch = tempfile::tempdir().unwrap();
    let corpus = corpus(&samples);
    let verdicts = xmllint(&wrapper(scratch.path(), &imports), &corpus);
    let differ: Vec<_> = corpus
        .iter()
        .filter_map(|(name, text)| {
            let ours = ours(&schema, text);
            let differs = ours.is_ok() != verdicts[name] && known_difference(text, &ours).is_none();
            differs.then(|| format!("{name}: xmllint says {}, we say {ours:?}", verdicts[name]))
        })
        .collect();
    assert!(
        differ.is_empty(),
        "{} of {}:\n{}",
        differ.len(),
        corpus.len(),
        differ.join("\n")
    );
}
