//! The command line, and the documents as tests: each command in them is one of this program, each configuration is accepted by it, and what
//! they show of `charging explain` is what it prints.

use super::{Cli, Command};
use crate::charging::settings::Settings;
use crate::config::Config;
use clap::{CommandFactory, Parser};
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// README, everything below docs and tests, and what stands beside the scenarios: path and text.
fn pages() -> Vec<(PathBuf, String)> {
    let mut files = vec![root().join("README.md")];
    for folder in ["docs", "sipp-scenarios", "tests"] {
        collect(&root().join(folder), "md", &mut files);
    }
    assert!(files.len() > 10, "{files:?}");
    read(files)
}

fn read(files: Vec<PathBuf>) -> Vec<(PathBuf, String)> {
    let text = |file: PathBuf| {
        let text = std::fs::read_to_string(&file).unwrap();
        (file, text)
    };
    files.into_iter().map(text).collect()
}

fn collect(folder: &Path, kind: &str, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, kind, files);
        } else if path.extension().is_some_and(|known| known == kind) {
            files.push(path);
        }
    }
    files.sort();
}

/// The blocks between fences: language and lines without their common indent.
fn blocks(text: &str) -> Vec<(&str, Vec<&str>)> {
    let (mut blocks, mut open): (Vec<(&str, Vec<&str>)>, _) = (Vec::new(), None);
    for line in text.lines() {
        match (line.trim_start().strip_prefix("```"), open) {
            (Some(language), None) => {
                open = Some(line.len() - line.trim_start().len());
                blocks.push((language.trim(), Vec::new()));
            }
            (Some(_), Some(_)) => open = None,
            (None, Some(indent)) => {
                let inside = line.get(indent..).unwrap_or_default();
                blocks.last_mut().unwrap().1.push(inside);
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

/// The words of a shell line up to a comment, pipe or redirection.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (c, quote) {
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, Some(open)) if c == open => quote = None,
            ('#' | '|' | '>' | '&' | ';', None) if word.is_none() => break,
            (';', None) => break,
            (' ', None) => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// The command of a line of a block, however it is called there, with lines that go on in the next.
fn commands(block: &[&str]) -> Vec<String> {
    const CALLED: [&str; 3] = [
        "presentia ",
        "cargo run --release -- ",
        "./target/release/presentia ",
    ];
    let (mut commands, mut begun) = (Vec::new(), None::<String>);
    for line in block {
        let line = line.trim().trim_start_matches("$ ");
        let called = CALLED.iter().find_map(|called| line.strip_prefix(called));
        let command = match (begun.take(), called) {
            (Some(begun), _) => begun + line,
            (None, Some(rest)) => format!("presentia {rest}"),
            (None, None) => continue,
        };
        match command.strip_suffix('\\') {
            Some(begin) => begun = Some(begin.to_owned()),
            None => commands.push(command),
        }
    }
    commands
}

fn understood(line: &str) -> Cli {
    // an overview shows a command and, two spaces on, what it does
    let line = line.split("  ").next().unwrap_or(line);
    Cli::try_parse_from(words(line)).unwrap_or_else(|error| panic!("{line}: {error}"))
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_in_the_documents_and_the_help_is_understood() {
    let command = Cli::command();
    let mut helps: Vec<String> = vec![command.get_after_help().unwrap().to_string()];
    let examples = command.get_subcommands().filter_map(|c| c.get_after_help());
    helps.extend(examples.map(ToString::to_string));
    let mut lines: Vec<String> = helps
        .iter()
        .flat_map(|text| text.lines().map(str::trim))
        .filter(|line| line.starts_with("presentia "))
        .map(str::to_owned)
        .collect();
    for (_, text) in pages() {
        lines.extend(blocks(&text).iter().flat_map(|(_, block)| commands(block)));
    }
    assert!(lines.len() > 80, "{} commands found", lines.len());
    for line in lines {
        understood(&line);
    }
}

/// A text with the places of the examples in it put to where the examples lie.
fn placed(text: &str) -> String {
    let examples = root().join("docs/examples/");
    text.replace("/etc/presentia/", &examples.display().to_string())
}

/// What a text in TOML is for.
fn is_about(text: &str, tables: &[&str]) -> bool {
    let first = text.lines().find(|line| line.starts_with('['));
    first.is_some_and(|first| tables.iter().any(|table| first.starts_with(table)))
}

const RULES: [&str; 5] = ["[[copy]]", "[[drop]]", "[[set]]", "[[map]]", "[[add]]"];

/// Takes a text in TOML as what it is; for a profile, with the dictionary of the examples.
fn take(text: &str, origin: &str) {
    let charging = |key: &str, text: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, text).unwrap();
        let site = root().join("docs/examples/site.avps.toml");
        let file = file.path().display().to_string();
        let settings = match key {
            "dictionary" => format!("dictionary = ['{file}']"),
            _ => format!("dictionary = ['{}']\n{key} = '{file}'", site.display()),
        };
        let settings: Settings = toml::from_str(&settings).unwrap();
        settings
            .complete("ims.test")
            .map(|_| ())
            .unwrap_or_else(|bad| panic!("{origin}: {bad}"));
    };
    if is_about(text, &RULES) {
        charging("profile", text);
    } else if is_about(text, &["[[avp]]"]) {
        charging("dictionary", text);
    } else if !text.starts_with("title = ") {
        // a scenario of the suite has a test of its own
        Config::parse(&placed(text), origin).unwrap_or_else(|error| panic!("{error}\n{text}"));
    }
}

#[test]
fn every_configuration_in_the_documents_and_the_examples_is_accepted() {
    let mut found = 0;
    for (page, text) in pages() {
        for (_, block) in blocks(&text)
            .iter()
            .filter(|(language, _)| *language == "toml")
        {
            take(&block.join("\n"), &page.display().to_string());
            found += 1;
        }
    }
    assert!(found > 15, "{found} blocks of TOML");
    let mut examples = Vec::new();
    collect(&root().join("docs/examples"), "toml", &mut examples);
    assert!(examples.len() > 4, "{examples:?}");
    for (page, text) in read(examples) {
        take(&text, &page.display().to_string());
    }
}

/// What `explain` prints for the command of a line; paths are those of the examples.
fn explained(line: &str) -> Option<Vec<String>> {
    let at_root = |word: String| match word.starts_with("docs/") {
        true => root().join(word).display().to_string(),
        false => placed(&word),
    };
    let words = words(line).into_iter().map(at_root);
    let Ok(Cli {
        command: Command::Charging(args),
    }) = Cli::try_parse_from(words)
    else {
        return None;
    };
    let explained = args.explained()?;
    Some(explained.unwrap_or_else(|failure| panic!("{line}: {}", failure.message)))
}

#[test]
fn what_the_documents_show_of_explain_is_what_it_prints() {
    let mut found = 0;
    for (page, text) in pages() {
        for (_, block) in blocks(&text) {
            let Some(line) = block.first().and_then(|line| line.strip_prefix("$ ")) else {
                continue;
            };
            let Some(printed) = explained(line).filter(|_| block.len() > 1) else {
                continue;
            };
            let mut rest = printed.iter();
            for shown in block[1..]
                .iter()
                .filter(|shown| !shown.trim().starts_with('…'))
            {
                assert!(
                    rest.any(|line| line == shown),
                    "{}: {line}\ndoes not print, or not here: {shown}\nbut:\n{}",
                    page.display(),
                    printed.join("\n")
                );
            }
            found += 1;
        }
    }
    assert!(found >= 10, "{found} examples found");
}

#[test]
fn each_profile_that_comes_with_the_program_does_what_its_first_lines_say() {
    const SITE: &str = "--dictionary docs/examples/site.avps.toml";
    for (command, there, gone) in [
        (
            "PUBLISH --profile docs/examples/profiles/base-accounting.toml",
            &[
                "User-Name (1 M) = sip:alice@home1.example",
                "Acct-Multi-Session-Id (50 M) = 8f31c9@ue.home1.example",
            ][..],
            &["vendor", "Service-Context-Id", "Subscription-Id"][..],
        ),
        (
            &format!("PUBLISH --profile docs/examples/profiles/operator-avp.toml {SITE}"),
            &[
                "  Site-Number (7 vendor 9999) = 42",
                "  Site-Charging-Id (8 vendor 9999) = 4f3a9c2e-scscf1",
            ],
            &["Message-Body"],
        ),
        (
            "SUBSCRIBE --credit initial --profile docs/examples/profiles/ocs-services.toml",
            &[
                "Service-Context-Id (461 M) = 001.01.15.32260@3gpp.org",
                "  Service-Identifier (439 M) = 17",
                "  Rating-Group (432 M) = 100",
                "User-Name (1 M) = sip:alice@home1.example",
            ],
            &["Access-Network-Information"],
        ),
    ] {
        let printed = explained(&format!("presentia charging explain {command}")).unwrap();
        for line in there {
            assert!(
                printed.iter().any(|printed| printed == line),
                "{command}: {line}: {printed:#?}"
            );
        }
        for word in gone {
            assert!(
                !printed.iter().any(|line| line.contains(word)),
                "{command}: {word}: {printed:#?}"
            );
        }
    }
}
