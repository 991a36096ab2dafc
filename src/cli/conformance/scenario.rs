//! A scenario folder: what `scenario.toml` says of it, and the list of known failures.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a scenario asks of the target or of the machine beyond plain SIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// An XCAP root at which the runner may write pres-rules documents.
    Xcap,
    /// Lifetimes of two seconds are granted, and one second is too brief.
    ShortIntervals,
    /// A second local address that the target does not trust.
    UntrustedAddress,
    /// Only meaningful over UDP.
    Udp,
}

impl Need {
    pub fn as_str(self) -> &'static str {
        match self {
            Need::Xcap => "an XCAP root (--xcap-root)",
            Need::ShortIntervals => "lifetimes of two seconds (--short-intervals)",
            Need::UntrustedAddress => "an address the target does not trust (--untrusted-ip)",
            Need::Udp => "UDP",
        }
    }
}

/// An XCAP document that must be in place before the first message.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// File in `documents/` beside the service folders.
    pub put: String,
    /// Path below the XCAP root.
    pub path: String,
    /// Identity asserted in the request: the owner of the document.
    pub owner: String,
}

/// `scenario.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// One sentence in the present tense.
    title: String,
    /// Requirement and test case ids that this scenario shows.
    ids: Vec<String>,
    /// The part SIPp plays. For the reader.
    #[serde(rename = "side")]
    _side: String,
    #[serde(default)]
    needs: BTreeSet<Need>,
    /// Longest time the scenario may take, in seconds.
    limit: u64,
    #[serde(default)]
    before: Vec<Document>,
}

/// One case of the suite.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// `service/document-section-situation-outcome`.
    pub name: String,
    pub folder: PathBuf,
    pub title: String,
    pub ids: Vec<String>,
    pub needs: BTreeSet<Need>,
    pub limit: Duration,
    pub before: Vec<Document>,
    /// Why a failure is expected, from `SKIP.toml`.
    pub known: Option<String>,
}

/// All scenarios under `root` in the order of their names, or what is wrong with the suite.
pub fn load(root: &Path) -> Result<Vec<Scenario>, String> {
    let mut known = known_failures(&root.join("SKIP.toml"))?;
    let mut found = Vec::new();
    for service in folders(root)? {
        for folder in folders(&service)? {
            if !folder.join("scenario.toml").is_file() {
                continue;
            }
            let name = format!("{}/{}", last(&service), last(&folder));
            found.push(read(name.clone(), folder, known.remove(&name))?);
        }
    }
    if let Some(name) = known.keys().next() {
        return Err(format!(
            "SKIP.toml names {name}, but there is no such scenario"
        ));
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn read(name: String, folder: PathBuf, known: Option<String>) -> Result<Scenario, String> {
    let path = folder.join("scenario.toml");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let file: File = toml::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))?;
    if !folder.join("uac.xml").is_file() {
        return Err(format!("{}: uac.xml is missing", folder.display()));
    }
    let mut needs = file.needs;
    if !file.before.is_empty() {
        needs.insert(Need::Xcap);
    }
    Ok(Scenario {
        name,
        folder,
        title: file.title,
        ids: file.ids,
        needs,
        limit: Duration::from_secs(file.limit),
        before: file.before,
        known,
    })
}

fn known_failures(path: &Path) -> Result<BTreeMap<String, String>, String> {
    if !path.is_file() {
        return Ok(BTreeMap::new());
    }
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    toml::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
}

fn folders(root: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(root).map_err(|e| format!("{}: {e}", root.display()))?;
    Ok(entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir())
        .collect())
}

fn last(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const GOOD: &str = "title = \"t\"\nids = [\"PUB-01\"]\nside = \"presence source\"\nlimit = 5\n";

    fn suite(scenario: &str, skip: &str) -> Result<Vec<Scenario>, String> {
        let root = tempfile::tempdir().map_err(|e| e.to_string())?;
        let folder = root.path().join("presence/rfc3903-6-publish-200");
        fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
        fs::write(folder.join("scenario.toml"), scenario).map_err(|e| e.to_string())?;
        fs::write(folder.join("uac.xml"), "<scenario/>").map_err(|e| e.to_string())?;
        fs::write(root.path().join("SKIP.toml"), skip).map_err(|e| e.to_string())?;
        load(root.path())
    }

    #[test]
    fn a_folder_is_named_by_service_and_case() {
        let found = suite(GOOD, "").expect("a good suite");
        assert_eq!(found[0].name, "presence/rfc3903-6-publish-200");
        assert_eq!(found[0].known, None);
    }

    #[test]
    fn documents_in_place_before_the_first_message_need_xcap() {
        let text =
            format!("{GOOD}[[before]]\nput = \"a.xml\"\npath = \"/p\"\nowner = \"sip:a@b\"\n");
        let found = suite(&text, "").expect("a good suite");
        assert!(found[0].needs.contains(&Need::Xcap));
    }

    #[test]
    fn mistakes_in_the_suite_are_named() {
        for (case, scenario, skip, part) in [
            (
                "an unknown key",
                format!("{GOOD}tittle = 1\n"),
                "",
                "tittle",
            ),
            (
                "an unknown need",
                format!("{GOOD}needs = [\"luck\"]\n"),
                "",
                "luck",
            ),
            (
                "a known failure that does not exist",
                GOOD.into(),
                "\"presence/x\" = \"r\"",
                "presence/x",
            ),
        ] {
            let refusal = suite(&scenario, skip).expect_err(case);
            assert!(refusal.contains(part), "{case}: {refusal}");
        }
    }
}
