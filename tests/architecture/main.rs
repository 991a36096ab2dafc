//! The rules of docs/architecture.md that the compiler does not keep, as tests over the text of the sources.
//! Crude, and enough: a rule that is broken on purpose is broken here first, in the open.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod conformance;
mod links;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// One source file: its path below the workspace, and its production text without comments and tests.
struct Source {
    path: String,
    lines: Vec<(usize, String)>,
    length: usize,
}

/// Every Rust file below `folders`.
fn sources(folders: &[&str]) -> Vec<Source> {
    let mut files = Vec::new();
    for folder in folders {
        collect(&root().join(folder), &mut files);
    }
    files.sort();
    assert!(!files.is_empty(), "no source found below {folders:?}");
    files.iter().map(|file| read(file)).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            files.push(path);
        }
    }
}

fn read(file: &Path) -> Source {
    let text = std::fs::read_to_string(file).unwrap();
    let path = file
        .strip_prefix(root())
        .unwrap()
        .to_string_lossy()
        .into_owned();
    let numbered = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    let production = numbered.take_while(|(_, line)| line.trim() != "#[cfg(test)]");
    let code = production.filter(|(_, line)| !line.trim_start().starts_with("//"));
    let is_test = path.ends_with("/tests.rs") || path.contains("/tests/");
    let lines = if is_test {
        Vec::new()
    } else {
        code.map(|(at, line)| (at, line.to_owned())).collect()
    };
    Source {
        path,
        lines,
        length: text.lines().count(),
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether `line` holds `word` as a word or path of its own.
fn names(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(is_word) && !line[at + word.len()..].starts_with(is_word)
    })
}

fn report(broken: Vec<String>) {
    assert!(
        broken.is_empty(),
        "{} places break the rule:\n{}",
        broken.len(),
        broken.join("\n")
    );
}

/// Fails for every line that names one of `words` in a file that is not below one of `homes`.
fn only_in(sources: &[Source], words: &[&str], homes: &[&str]) {
    let mut broken = Vec::new();
    for source in sources
        .iter()
        .filter(|source| !homes.iter().any(|home| source.path.starts_with(home)))
    {
        for (at, line) in &source.lines {
            for word in words.iter().filter(|word| names(line, word)) {
                broken.push(format!(
                    "{}:{at}: {word} belongs to {homes:?} only",
                    source.path
                ));
            }
        }
    }
    report(broken);
}

#[test]
fn dependencies_are_the_ones_agreed() {
    const PROGRAM: &[&str] = &[
        "ahash",
        "bytes",
        "clap",
        "crc32fast",
        "fjall",
        "flate2",
        "getrandom",
        "http-body-util",
        "hyper",
        "hyper-util",
        "ims",
        "indexmap",
        "md-5",
        "presentia-diameter",
        "prometheus-client",
        "rustix",
        "serde",
        "serde_json",
        "sha2",
        "socket2",
        "thiserror",
        "tokio",
        "tokio-rustls",
        "toml",
        "tracing",
        "tracing-subscriber",
    ];
    const IMS: &[&str] = &[
        "ahash",
        "bytes",
        "flate2",
        "indexmap",
        "lz4_flex",
        "memchr",
        "postcard",
        "quick-xml",
        "rand_chacha",
        "regex",
        "roxmltree",
        "rsip",
        "serde",
        "thiserror",
        "tracing",
    ];
    const DIAMETER: &[&str] = &["ahash", "bytes", "indexmap", "rand_chacha", "thiserror"];
    for (manifest, allowed) in [
        ("Cargo.toml", PROGRAM),
        ("ims/Cargo.toml", IMS),
        ("diameter/Cargo.toml", DIAMETER),
    ] {
        let text = std::fs::read_to_string(root().join(manifest)).unwrap();
        let manifest_table: toml::Table = text.parse().unwrap();
        let found: BTreeSet<&str> = manifest_table["dependencies"]
            .as_table()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
        let extra: Vec<_> = found.difference(&allowed).collect();
        assert!(
            extra.is_empty(),
            "{manifest} depends on {extra:?}: say here why it carries its weight"
        );
    }
}

/// Modules of `ims` from the ground up. A module uses those on lines above its own, never one beside it.
const LAYERS: &[&[&str]] = &[
    &["time", "network"],
    &["record", "xml"],
    &["charge"],
    &["sip"],
    &["reject", "partition"],
    &["transaction"],
    &["dialog"],
    &["isc"],
    &["event"],
    &["presence", "rls", "xdm", "registration"],
    &["node"],
];

#[test]
fn modules_of_ims_use_what_is_below_them() {
    let rank = |module: &str| LAYERS.iter().position(|layer| layer.contains(&module));
    let mut broken = Vec::new();
    for source in sources(&["ims/src"]) {
        let inside = source.path.trim_start_matches("ims/src/");
        let own = inside.split(['/', '.']).next().unwrap();
        if own == "lib" {
            continue;
        }
        let Some(own_rank) = rank(own) else {
            broken.push(format!(
                "{}: module {own} has no place in LAYERS",
                source.path
            ));
            continue;
        };
        for (at, line) in &source.lines {
            for used in used_modules(line) {
                let fine = used == own || rank(&used).is_none_or(|used_rank| used_rank < own_rank);
                if !fine {
                    broken.push(format!("{}:{at}: {own} may not use {used}", source.path));
                }
            }
        }
    }
    report(broken);
}

/// First names after `crate::` in a line, in `crate::{a, b::c}` too.
fn used_modules(line: &str) -> Vec<String> {
    let mut used = Vec::new();
    for (at, found) in line.match_indices("crate::") {
        let rest = &line[at + found.len()..];
        match rest.strip_prefix('{') {
            None => used.push(rest.chars().take_while(|c| is_word(*c)).collect()),
            Some(group) => {
                let mut depth = 0;
                let mut name = String::new();
                for c in group.chars().chain([',']) {
                    match c {
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        ',' if depth <= 0 => used.push(std::mem::take(&mut name)),
                        _ if depth == 0 => name.push(c),
                        _ => {}
                    }
                }
            }
        }
    }
    let first = |path: String| path.trim().split("::").next().unwrap_or("").to_owned();
    used.into_iter()
        .map(first)
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn the_reader_of_imports_reads_imports() {
    for (line, used) in [
        ("use crate::time::Timestamp;", vec!["time"]),
        (
            "use crate::{record, sip::{uri, Aor}, xml::guard};",
            vec!["record", "sip", "xml"],
        ),
        (
            "let x = crate::sip::uri(crate::time::now());",
            vec!["sip", "time"],
        ),
        ("pub(crate) fn f() {}", vec![]),
    ] {
        assert_eq!(used_modules(line), used, "{line}");
    }
}

#[test]
fn the_deciding_crates_touch_no_world() {
    const WORLD: &[&str] = &[
        "tokio",
        "std::fs",
        "std::thread",
        "std::process",
        "std::env",
        "std::io::stdin",
        "std::io::stdout",
        "UdpSocket",
        "TcpStream",
        "TcpListener",
        "std::time::Instant",
        "SystemTime",
        "HashMap",
        "HashSet",
        "println",
        "eprintln",
        "static mut",
        "thread_local",
        "OnceLock",
        "LazyLock",
    ];
    only_in(&sources(&["ims/src", "diameter/src"]), WORLD, &[]);
}

#[test]
fn the_deciding_crates_do_not_know_each_other_or_the_program() {
    only_in(&sources(&["ims/src"]), &["diameter", "presentia::"], &[]);
    only_in(&sources(&["diameter/src"]), &["ims", "presentia::"], &[]);
}

#[test]
fn sockets_are_where_they_belong() {
    const SOCKETS: &[&str] = &[
        "tokio::net",
        "socket2",
        "UdpSocket",
        "TcpStream",
        "TcpListener",
        "TcpSocket",
    ];
    const HOMES: &[&str] = &[
        "src/transport/",
        "src/http.rs",
        "src/http/",
        "src/charging/link.rs",
        "src/charging/listen.rs",
        "src/charging/socket.rs",
        "src/charging/tls.rs",
        "src/sim/",
        "src/cli/sim.rs",
        "src/ua/",
        "src/cli/conformance/",
    ];
    only_in(&sources(&["src"]), SOCKETS, HOMES);
}

#[test]
fn files_are_where_they_belong() {
    const FILES: &[&str] = &["std::fs", "tokio::fs", "File", "OpenOptions"];
    only_in(
        &sources(&["src"]),
        FILES,
        &[
            "src/store/",
            "src/config/",
            "src/charging/export.rs",
            "src/http/access.rs",
            "src/http/files.rs",
            "src/server/documents.rs",
            "src/cli/",
            "src/sim/serve.rs",   // what passes, for Wireshark
            "src/sim/journal.rs", // accounts of an OCS over its death
        ],
    );
}

#[test]
fn libraries_stay_behind_their_walls() {
    let all = sources(&["src", "ims/src", "diameter/src"]);
    only_in(&all, &["rsip"], &["ims/src/sip/"]);
    only_in(&all, &["fjall"], &["src/store/", "src/telemetry/log.rs"]);
    only_in(
        &all,
        &["hyper", "hyper_util", "http_body_util"],
        &["src/http.rs", "src/http/", "src/ua/", "src/cli/"],
    );
    only_in(&all, &["prometheus_client"], &["src/telemetry/"]);
    only_in(&all, &["clap"], &["src/cli/"]);
    only_in(
        &all,
        &["toml::de", "toml::from_str", "toml::Table"],
        &[
            "src/charging/dictionary.rs",
            "src/charging/profile.rs",
            "src/config/",
            "src/cli/conformance/",
        ],
    );
    let program = sources(&["src"]);
    only_in(
        &program,
        &[
            "store::journal",
            "store::fjall",
            "store::memory",
            "EngineKind",
        ],
        &["src/store/", "src/server.rs", "src/config/"],
    );
    only_in(
        &program,
        &["diameter"],
        &[
            "src/charging/",
            "src/sim/",
            "src/cli/sim.rs",
            "src/cli/sim/",
        ],
    );
}

#[test]
fn every_crate_forbids_unsafe_code() {
    for file in ["src/lib.rs", "ims/src/lib.rs", "diameter/src/lib.rs"] {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        assert!(text.contains("#![forbid(unsafe_code)]"), "{file}");
    }
}

#[test]
fn nothing_unfinished_is_committed() {
    only_in(
        &sources(&["src", "ims/src", "diameter/src"]),
        &["todo!", "unimplemented!", "dbg!", "FIXME", "XXX"],
        &[],
    );
}

/// Longest file, in lines, its tests included; longest file of nothing but tests; longest function.
const FILE_MAX: usize = 700;
const TEST_FILE_MAX: usize = 900;
const FUNCTION_MAX: usize = 90;

#[test]
fn a_file_is_one_idea_and_a_function_fits_a_screen() {
    let mut broken = Vec::new();
    for source in sources(&["src", "ims/src", "diameter/src", "tests"]) {
        let is_test = source.path.starts_with("tests/"); // a table of cases may be long
        let max = if source.lines.is_empty() || is_test {
            TEST_FILE_MAX
        } else {
            FILE_MAX
        };
        if source.length > max {
            broken.push(format!(
                "{}: {} lines, at most {max}",
                source.path, source.length
            ));
        }
        // rustfmt closes a function at the indentation of its `fn`.
        let mut open: Option<(usize, String)> = None;
        for (at, line) in &source.lines {
            let indent = line.len() - line.trim_start().len();
            let starts =
                names(line, "fn") && line.trim_end().ends_with(['{', '(']) && open.is_none();
            if starts {
                open = Some((*at, format!("{}}}", " ".repeat(indent))));
            } else if let Some((from, end)) = &open
                && line == end
            {
                if at - from > FUNCTION_MAX && !is_test {
                    broken.push(format!(
                        "{}:{from}: a function of {} lines",
                        source.path,
                        at - from
                    ));
                }
                open = None;
            }
        }
    }
    report(broken);
}
