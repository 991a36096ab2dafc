//! Links between the documents: the file is there, and so is the heading.

use super::root;
use std::path::{Path, PathBuf};

fn collect(folder: &Path, pages: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, pages);
        } else if path.extension().is_some_and(|kind| kind == "md") {
            pages.push(path);
        }
    }
}

/// The text without what stands in fences, where a bracket is no link and a hash no heading.
fn prose(page: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(page).unwrap_or_default();
    let mut inside = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        match line.trim_start().starts_with("```") {
            true => inside = !inside,
            false if !inside => lines.push(line.to_owned()),
            false => {}
        }
    }
    lines
}

/// What a heading is called in a link: small letters, hyphens for spaces, nothing else.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter_map(|c| match c {
        ' ' => Some('-'),
        '-' | '_' => Some(c),
        c if c.is_alphanumeric() => Some(c.to_ascii_lowercase()),
        _ => None,
    });
    kept.collect()
}

fn has_heading(page: &Path, wanted: &str) -> bool {
    let lines = prose(page);
    let mut headings = lines.iter().filter(|line| line.starts_with('#'));
    headings.any(|line| anchor(line.trim_start_matches('#')) == wanted)
}

/// Targets of `](...)`.
fn targets(line: &str) -> Vec<&str> {
    let after = line.split("](").skip(1);
    after.filter_map(|rest| rest.split(')').next()).collect()
}

#[test]
fn every_link_between_documents_leads_to_a_file_and_a_heading() {
    let mut pages = vec![root().join("README.md")];
    for folder in ["docs", "sipp-scenarios", "tests"] {
        collect(&root().join(folder), &mut pages);
    }
    let (mut broken, mut found) = (Vec::new(), 0);
    for page in &pages {
        let lines = prose(page);
        for target in lines.iter().flat_map(|line| targets(line)) {
            if target.contains("://") || target.contains(' ') {
                continue;
            }
            found += 1;
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let folder = page.parent().unwrap_or(root());
            let file = match file {
                "" => page.clone(),
                file => folder.join(file),
            };
            if !file.exists() || !heading.is_empty() && !has_heading(&file, heading) {
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(found > 60, "{found} links found");
    super::report(broken);
}
