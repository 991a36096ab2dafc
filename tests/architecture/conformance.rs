//! docs/conformance.md says which test shows which requirement. These tests keep it true.
//!
//! A row is `| ID | what | references | result |`. A reference stands in backticks: a scenario as its folder
//! below `sipp-scenarios` (with a `/`), a test as its path (the last part is the function). What is not offered says so
//! as its result, and refers to the section of a document that says it to operators (`docs/x.md#section`).

use crate::{collect, root};
use std::collections::BTreeSet;
use std::path::Path;

/// Requirements that must be shown.
fn required() -> Vec<String> {
    let rows = |prefix: &'static str, numbers: Vec<u32>| {
        numbers.into_iter().map(move |n| format!("{prefix}-{n:02}"))
    };
    let mut ids: Vec<String> = rows("PUB", (1..=25).collect()).collect();
    ids.extend(rows("SUB", (1..=26).collect()));
    ids.extend(rows("AUT", (1..=25).collect()));
    ids.extend(rows("CNT", (1..=10).collect()));
    ids.extend(rows("NTF", (1..=2).collect()));
    ids.extend(rows("WIN", (1..=5).collect()));
    ids.extend(rows("REG", (1..=3).collect()));
    ids.extend(rows("CHG", (1..=3).collect()));
    ids.extend(rows("XCP", (1..=10).collect()));
    ids.extend(rows("XDF", (1..=4).collect()));
    ids.extend(rows("RLS", (1..=14).collect()));
    ids.extend(rows("ROB", (1..=4).collect()));
    ids.push("E2E-01".to_owned());
    ids
}

struct Row {
    file: &'static str,
    line: usize,
    id: String,
    references: Vec<String>,
    /// The last cell.
    result: String,
}

const NOT_OFFERED: &str = "not offered";

fn rows() -> Vec<Row> {
    let is_id = |id: &str| {
        let numbered = id.split_once('-').is_some_and(|(name, number)| {
            name.bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
                && !name.is_empty()
                && number.bytes().all(|b| b.is_ascii_digit())
        });
        numbered || id.starts_with("S-")
    };
    let all = table("docs/conformance.md").into_iter();
    all.filter(|row| is_id(&row.id)).collect()
}

/// What docs/features.md answers.
fn features() -> Vec<Row> {
    let all = table("docs/features.md").into_iter();
    all.filter(|row| row.id != "Feature" && !row.id.starts_with("--"))
        .collect()
}

/// The rows of all tables of a document: first cell, and what stands in backticks in the others.
fn table(file: &'static str) -> Vec<Row> {
    let text = std::fs::read_to_string(root().join(file)).expect(file);
    let mut rows = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, l)| l.starts_with('|')) {
        let cells: Vec<&str> = line.trim().trim_matches('|').split('|').collect();
        let id = cells[0].trim().trim_matches('`').to_owned();
        let result = cells[cells.len() - 1].trim().to_owned();
        let cells = cells[1..].join(" ");
        let references = cells.split('`').skip(1).step_by(2);
        let references = references
            .filter(|r| r.contains('/') || r.contains("::"))
            .map(str::to_owned)
            .collect();
        rows.push(Row {
            file,
            line: at + 1,
            id,
            references,
            result,
        });
    }
    rows
}

/// Whether a document has the section that `docs/x.md#section` names.
fn has_section(reference: &str) -> bool {
    let Some((file, section)) = reference.split_once('#') else {
        return false;
    };
    let text = std::fs::read_to_string(root().join(file)).unwrap_or_default();
    let anchor = |heading: &str| heading.trim().to_lowercase().replace(' ', "-");
    let mut headings = text.lines().filter_map(|line| line.strip_prefix("## "));
    headings.any(|heading| anchor(heading) == section)
}

/// Folders of scenarios, as `service/case`.
fn scenarios() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let suite = root().join("sipp-scenarios");
    for service in std::fs::read_dir(&suite)
        .into_iter()
        .flatten()
        .map_while(Result::ok)
    {
        for case in std::fs::read_dir(service.path())
            .into_iter()
            .flatten()
            .map_while(Result::ok)
        {
            if case.path().join("scenario.toml").is_file() {
                let (service, case) = (service.file_name(), case.file_name());
                found.insert(format!(
                    "{}/{}",
                    service.to_string_lossy(),
                    case.to_string_lossy()
                ));
            }
        }
    }
    found
}

/// Names of all test functions of the workspace, and of the scripts of the lab.
fn tests() -> BTreeSet<String> {
    let mut files = Vec::new();
    for folder in [
        "src",
        "ims/src",
        "ims/tests",
        "diameter/src",
        "diameter/tests",
        "tests",
    ] {
        collect(&root().join(folder), &mut files);
    }
    let mut found = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(file).unwrap();
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            if let Some((_, rest)) = line.split_once("fn ").filter(|_| is_test) {
                found.insert(rest.split(['(', '<']).next().unwrap_or("").to_owned());
                is_test = false;
            }
        }
    }
    found
}

#[test]
fn every_required_row_is_there_and_shown() {
    let rows = rows();
    for id in required() {
        let of_id: Vec<&Row> = rows.iter().filter(|row| row.id == id).collect();
        assert!(!of_id.is_empty(), "docs/conformance.md has no row {id}");
        assert!(
            of_id.iter().any(|row| !row.references.is_empty()),
            "{id} names neither a test nor a scenario"
        );
    }
}

#[test]
fn every_feature_is_answered_with_a_test() {
    let features = features();
    assert!(features.len() > 30, "{} features", features.len());
    let silent: Vec<&str> = features
        .iter()
        .filter(|row| row.references.is_empty())
        .map(|row| row.id.as_str())
        .collect();
    assert!(silent.is_empty(), "no test for {silent:?}");
}

#[test]
fn every_reference_exists() {
    let (tests, scenarios) = (tests(), scenarios());
    let mut missing = Vec::new();
    for row in rows().into_iter().chain(features()) {
        for reference in &row.references {
            let name = reference
                .trim_start_matches("sipp-scenarios/")
                .trim_end_matches('/');
            let exists = if row.result == NOT_OFFERED {
                has_section(reference)
            } else if reference.contains("::") {
                tests.contains(reference.rsplit("::").next().unwrap_or(""))
            } else {
                scenarios.contains(name) || Path::new(&root().join(reference)).exists()
            };
            if !exists {
                missing.push(format!(
                    "{}:{}: {} names {reference}",
                    row.file, row.line, row.id
                ));
            }
        }
    }
    assert!(
        missing.is_empty(),
        "these do not exist:\n{}",
        missing.join("\n")
    );
}

#[test]
fn a_row_passes_or_says_that_it_is_not_offered() {
    let rows = rows();
    let odd: Vec<String> = rows
        .iter()
        .filter(|row| row.result != "passes" && row.result != NOT_OFFERED)
        .map(|row| format!("{}:{}: {}", row.file, row.line, row.result))
        .collect();
    assert!(odd.is_empty(), "neither:\n{}", odd.join("\n"));
}

#[test]
fn every_scenario_is_listed() {
    let listed: BTreeSet<String> = rows().into_iter().flat_map(|row| row.references).collect();
    let is_listed =
        |case: &String| listed.contains(case) || listed.contains(&format!("sipp-scenarios/{case}"));
    let unlisted: Vec<String> = scenarios()
        .into_iter()
        .filter(|case| !is_listed(case))
        .collect();
    assert!(
        unlisted.is_empty(),
        "docs/conformance.md does not list:\n{}",
        unlisted.join("\n")
    );
}
