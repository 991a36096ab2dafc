//! Accounts that outlive their simulator: every request that an OCS has been asked, as it came, with what the script
//! wanted answered. Read in their order they lead to the same accounts, sessions and answers.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// A request as it came, and the Result-Code that the script wanted.
pub type Asked = (Option<u32>, Vec<u8>);

/// A file with one request a line: what the script wanted or `-`, a space, and the message in hexadecimal.
#[derive(Debug)]
pub struct Journal(File);

impl Journal {
    /// Opens or makes it, with what it holds. A line in whose middle the simulator was killed is passed over: its
    /// request was not answered.
    pub fn open(path: &Path) -> io::Result<(Journal, Vec<Asked>)> {
        let mut file = File::options().create(true).append(true).open(path)?;
        let text = String::from_utf8_lossy(&fs::read(path)?).into_owned();
        if !text.is_empty() && !text.ends_with('\n') {
            file.write_all(b"\n")?;
        }
        Ok((Journal(file), text.lines().filter_map(read).collect()))
    }

    /// Writes a request down. A kill afterwards does not undo it; loss of power may.
    pub fn note(&mut self, told: Option<u32>, message: &[u8]) -> io::Result<()> {
        let mut line = told.map_or("-".to_owned(), |code| code.to_string());
        line.push(' ');
        for octet in message {
            let _ = write!(line, "{octet:02x}"); // a String takes everything
        }
        line.push('\n');
        self.0.write_all(line.as_bytes())
    }
}

fn read(line: &str) -> Option<Asked> {
    let (told, message) = line.split_once(' ')?;
    let told = match told {
        "-" => None,
        code => Some(code.parse().ok()?),
    };
    let octets = message.as_bytes().chunks(2);
    let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    Some((told, octets.map(octet).collect::<Option<_>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_read_again_and_a_line_cut_short_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (mut journal, before) = Journal::open(&path).unwrap();
        assert!(before.is_empty());
        journal.note(None, &[1, 0, 255]).unwrap();
        journal.note(Some(3004), &[]).unwrap();
        fs::write(&path, [&fs::read(&path).unwrap()[..], b"- 01x"].concat()).unwrap();
        let (mut journal, before) = Journal::open(&path).unwrap();
        assert_eq!(before, [(None, vec![1, 0, 255]), (Some(3004), vec![])]);
        journal.note(None, &[7]).unwrap();
        let (_, after) = Journal::open(&path).unwrap();
        assert_eq!(after.last(), Some(&(None, vec![7])));
    }
}
