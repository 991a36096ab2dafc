//! Records as files, one a line: a local CDF of last resort, or a copy of everything (`[charging.export]`).
//!
//! A file is written as `NAME.part`, synchronised after each batch, and renamed to `NAME` when it is full or old
//! enough: what has no `.part` is complete. The spool gives a record up only when its line is on disk, so after a crash
//! a record may be in two files, with the same Session-Id, and never in none.

use super::cdr::{CSV_COLUMNS, Cdr};
use ims::time::Seconds;
use serde::Deserialize;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use tracing::error;

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Records {
    /// Those that the limits of the spool push out.
    Overflow,
    /// Every record, when it leaves the spool.
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Json,
    Csv,
}

/// Section `[charging.export]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where the files go; made when it is absent. Default: empty, nothing is exported.
    pub directory: PathBuf,
    /// `"overflow"`: what the limits of the spool push out; `"all"`: every record when it leaves the spool.
    /// Default: `"overflow"`.
    pub records: Records,
    /// `"json"` (one object a line) or `"csv"`. Default: `"json"`.
    pub format: Format,
    /// A file is complete at this size, in bytes. Default: 67108864. Range: 4096-17179869184.
    pub file_bytes: u64,
    /// A file is complete at this age, in seconds. Default: 3600. Range: 1-86400.
    pub file_s: Seconds,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            directory: PathBuf::new(),
            records: Records::Overflow,
            format: Format::Json,
            file_bytes: 64 << 20,
            file_s: Seconds(3600),
        }
    }
}

impl Settings {
    pub fn is_on(&self) -> bool {
        !self.directory.as_os_str().is_empty()
    }
}

/// The files.
#[derive(Debug)]
pub struct Export {
    settings: Settings,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    part: PathBuf,
    /// Of whole lines.
    bytes: u64,
    /// Something stands behind the whole lines: a write has failed.
    is_torn: bool,
    /// When it was begun, in milliseconds.
    since: u64,
}

impl Export {
    /// Makes the directory and completes what an earlier run has left: a line that was cut off is not part of it.
    /// `None`: nothing is exported.
    pub fn start(settings: &Settings) -> io::Result<Option<Export>> {
        if !settings.is_on() {
            return Ok(None);
        }
        fs::create_dir_all(&settings.directory)?;
        for entry in fs::read_dir(&settings.directory)? {
            let part = entry?.path();
            let name = part.file_name().and_then(|name| name.to_str());
            if name.is_some_and(|name| name.starts_with("cdr-") && name.ends_with(".part")) {
                cut_off(&part)?;
                complete(&part)?;
            }
        }
        let settings = settings.clone();
        Ok(Some(Export {
            settings,
            open: None,
        }))
    }

    /// Whether records that a CDF has taken, or refused for good, are written too.
    pub fn wants_all(&self) -> bool {
        self.settings.records == Records::All
    }

    /// Writes these records and synchronises them. After an error some may be written; all are to be written again.
    pub fn write(&mut self, cdrs: &[Cdr], now: u64) -> io::Result<()> {
        if cdrs.is_empty() {
            return Ok(());
        }
        let mut lines = String::new();
        for cdr in cdrs {
            lines += &match self.settings.format {
                Format::Json => cdr.to_json(),
                Format::Csv => cdr.to_csv(),
            };
            lines.push('\n');
        }
        self.append(&lines, now)
    }

    fn append(&mut self, lines: &str, now: u64) -> io::Result<()> {
        self.mend()?;
        if self.is_full() {
            self.rotate()?; // it could not be before
        }
        let open = match &mut self.open {
            Some(open) => open,
            None => {
                let begun = self.begin(now)?;
                self.open.insert(begun)
            }
        };
        open.is_torn = true;
        open.file.write_all(lines.as_bytes())?;
        open.file.sync_data()?;
        open.is_torn = false;
        open.bytes += lines.len() as u64;
        if self.is_full()
            && let Err(why) = self.rotate()
        {
            // the lines are on disk, and the next ones try it again
            error!(%why, "a file of charging records is full and could not be completed");
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        let full = |open: &Open| open.bytes >= self.settings.file_bytes;
        self.open.as_ref().is_some_and(full)
    }

    /// After a write that failed (a full disk, above all) the file goes on behind its last whole line: nothing is put
    /// behind one that was cut off, and not each attempt leaves a file behind.
    fn mend(&mut self) -> io::Result<()> {
        let Some(open) = self.open.as_mut().filter(|open| open.is_torn) else {
            return Ok(());
        };
        match OpenOptions::new().append(true).open(&open.part) {
            Ok(file) => {
                file.set_len(open.bytes)?;
                file.sync_all()?;
                (open.file, open.is_torn) = (file, false);
            }
            Err(why) if why.kind() == io::ErrorKind::NotFound => self.open = None, // somebody has taken it away
            Err(why) => return Err(why),
        }
        Ok(())
    }

    fn begin(&self, now: u64) -> io::Result<Open> {
        let (kind, head) = match self.settings.format {
            Format::Json => ("jsonl", String::new()),
            Format::Csv => ("csv", format!("{CSV_COLUMNS}\n")),
        };
        // names of one millisecond follow each other
        for at in now.. {
            let name = format!("cdr-{at:013}.{kind}");
            let part = self.settings.directory.join(format!("{name}.part"));
            if self.settings.directory.join(name).exists() {
                continue;
            }
            let mut file = match OpenOptions::new().append(true).create_new(true).open(&part) {
                Err(why) if why.kind() == io::ErrorKind::AlreadyExists => continue,
                file => file?,
            };
            let begun = file.write_all(head.as_bytes());
            if let Err(why) = begun.and_then(|()| sync_directory(&self.settings.directory)) {
                let _ = fs::remove_file(&part); // an empty file is no harm
                return Err(why);
            }
            let bytes = head.len() as u64;
            return Ok(Open {
                file,
                part,
                bytes,
                is_torn: false,
                since: now,
            });
        }
        Err(io::Error::other("no name is left for a file"))
    }

    /// When the open file is old enough, in milliseconds.
    pub fn due(&self) -> Option<u64> {
        let age = u64::from(self.settings.file_s.0) * 1_000;
        self.open
            .as_ref()
            .map(|open| open.since.saturating_add(age))
    }

    /// Completes the open file.
    pub fn rotate(&mut self) -> io::Result<()> {
        self.mend()?;
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        let completed = complete(&open.part);
        if completed.is_err() && open.part.exists() {
            self.open = Some(open); // for the next attempt
        }
        completed
    }
}

/// Takes the suffix `.part` away.
fn complete(part: &Path) -> io::Result<()> {
    fs::rename(part, part.with_extension(""))?;
    part.parent().map_or(Ok(()), sync_directory)
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Shortens a file to its last whole line.
fn cut_off(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut end = file.metadata()?.len();
    let mut block = [0; 4_096];
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let part = &mut block[..(end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(part)?;
        if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
            end = start + at as u64 + 1;
            break;
        }
        end = start;
    }
    file.set_len(end)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::super::acr::tests::{full, sender};
    use super::*;

    fn cdr(number: u64) -> Cdr {
        Cdr::new(&sender(), &full(number), "exported")
    }

    fn settings(directory: &Path, change: impl FnOnce(&mut Settings)) -> Settings {
        let mut settings = Settings {
            directory: directory.join("cdrs"),
            ..Settings::default()
        };
        change(&mut settings);
        settings
    }

    /// Names and contents, in order.
    fn files(settings: &Settings) -> Vec<(String, String)> {
        let entries = fs::read_dir(&settings.directory).unwrap();
        let mut found: Vec<_> = entries
            .map(|entry| {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                (name, fs::read_to_string(path).unwrap())
            })
            .collect();
        found.sort();
        found
    }

    #[test]
    fn nothing_is_exported_without_a_directory() {
        assert!(Export::start(&Settings::default()).unwrap().is_none());
    }

    #[test]
    fn lines_are_written_and_the_file_is_complete_when_it_is_full_or_old() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path(), |s| s.file_bytes = 4_096);
        let mut export = Export::start(&settings).unwrap().unwrap();
        export.write(&[cdr(1), cdr(2)], 1_000).unwrap();
        let [(name, text)] = files(&settings).try_into().unwrap();
        assert_eq!(
            (name.as_str(), text.lines().count()),
            ("cdr-0000000001000.jsonl.part", 2)
        );
        assert_eq!(export.due(), Some(3_601_000));
        let many: Vec<Cdr> = (3..20).map(cdr).collect();
        export.write(&many, 1_001).unwrap();
        assert_eq!(files(&settings)[0].0, "cdr-0000000001000.jsonl");
        export.write(&[cdr(20)], 1_000).unwrap();
        assert_eq!(
            files(&settings)[1].0,
            "cdr-0000000001001.jsonl.part",
            "another name"
        );
        export.rotate().unwrap();
        let lines: usize = files(&settings)
            .iter()
            .map(|(_, text)| text.lines().count())
            .sum();
        assert_eq!(lines, 20);
    }

    #[test]
    fn csv_begins_with_its_columns() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path(), |s| s.format = Format::Csv);
        let mut export = Export::start(&settings).unwrap().unwrap();
        export.write(&[cdr(1)], 5).unwrap();
        let text = &files(&settings)[0].1;
        assert_eq!(text.lines().next(), Some(CSV_COLUMNS));
        assert_eq!(text.lines().count(), 2);
    }

    #[test]
    fn what_a_crash_has_left_is_completed_without_the_line_that_was_cut_off() {
        for (left, kept) in [
            ("", ""),
            ("{\"a\":1", ""),
            ("{}\n{}\n", "{}\n{}\n"),
            ("{}\n{\"b", "{}\n"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let settings = settings(folder.path(), |_| {});
            fs::create_dir_all(&settings.directory).unwrap();
            fs::write(settings.directory.join("cdr-1.jsonl.part"), left).unwrap();
            fs::write(settings.directory.join("other.part"), "not ours").unwrap();
            Export::start(&settings).unwrap();
            let expected = [("cdr-1.jsonl", kept), ("other.part", "not ours")];
            let expected = expected.map(|(name, text)| (name.to_owned(), text.to_owned()));
            assert_eq!(files(&settings), expected, "{left:?}");
        }
    }

    #[test]
    fn after_writes_that_failed_the_same_file_goes_on_behind_its_last_whole_line() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path(), |_| {});
        let mut export = Export::start(&settings).unwrap().unwrap();
        export.write(&[cdr(1)], 5).unwrap();
        for number in 2..5 {
            let open = export.open.as_mut().unwrap();
            // what a full disk leaves: a piece of the line, and an error
            open.file.write_all(b"{\"number\":\"2\",").unwrap();
            open.file = File::open(&open.part).unwrap();
            assert!(export.write(&[cdr(number)], 6).is_err());
            export.write(&[cdr(number)], 7).unwrap();
        }
        export.rotate().unwrap();
        let [(name, text)] = files(&settings).try_into().unwrap();
        assert_eq!(name, "cdr-0000000000005.jsonl");
        let lines: Vec<Cdr> = text
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect();
        assert_eq!(lines, [1, 2, 3, 4].map(cdr));
    }

    #[test]
    fn a_file_that_cannot_be_completed_goes_on_and_is_completed_later_without_a_line_twice() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path(), |s| s.file_bytes = 1);
        let mut export = Export::start(&settings).unwrap().unwrap();
        let inside = settings
            .directory
            .join("cdr-0000000000005.jsonl/in-the-way");
        export.write(&[], 5).unwrap();
        // a directory of the name that the file is to have, and not empty
        export.open = Some(export.begin(5).unwrap());
        fs::create_dir_all(&inside).unwrap();
        export.write(&[cdr(1)], 5).unwrap();
        assert!(export.write(&[cdr(2)], 6).is_err() && export.rotate().is_err());
        fs::remove_dir_all(inside.parent().unwrap()).unwrap();
        export.write(&[cdr(2)], 7).unwrap();
        let texts: Vec<String> = files(&settings).into_iter().map(|(_, text)| text).collect();
        let line = |number| cdr(number).to_json() + "\n";
        assert_eq!(texts, [line(1), line(2)]);
    }

    #[test]
    fn after_a_write_that_failed_nothing_stands_behind_it() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path(), |_| {});
        let mut export = Export::start(&settings).unwrap().unwrap();
        fs::remove_dir_all(&settings.directory).unwrap();
        assert!(export.write(&[cdr(1)], 5).is_err());
        fs::create_dir_all(&settings.directory).unwrap();
        export.write(&[cdr(1)], 6).unwrap();
        assert_eq!(files(&settings)[0].1.lines().count(), 1);
    }
}
