//! AVPs that the operator makes known: TOML files with a name, code, vendor, format and M flag each.

use crate::http::files;
use diameter::dictionary::Kind;
use diameter::vocabulary::{Clash, Vocabulary};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Longest file, in bytes.
const FILE_MAX: u64 = 1 << 20;

/// AVPs of all files at most.
const AVPS_MAX: usize = 4_096;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listing {
    avp: Vec<Avp>,
}

/// One `[[avp]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Avp {
    name: String,
    code: u32,
    /// Private enterprise code; 0: IETF.
    #[serde(default)]
    vendor: u32,
    #[serde(rename = "type")]
    kind: Type,
    /// M flag that is set when it is sent.
    #[serde(default)]
    mandatory: bool,
}

/// Data formats by their names in RFC 6733 §4.2 and §4.3.
#[derive(Clone, Copy, Debug, Deserialize)]
enum Type {
    OctetString,
    UTF8String,
    Unsigned32,
    Unsigned64,
    Integer32,
    Enumerated,
    Time,
    Address,
    DiameterIdentity,
    DiameterURI,
    Grouped,
}

impl From<Type> for Kind {
    fn from(kind: Type) -> Kind {
        match kind {
            Type::OctetString => Kind::Octets,
            Type::UTF8String => Kind::Utf8,
            Type::Unsigned32 => Kind::U32,
            Type::Unsigned64 => Kind::U64,
            Type::Integer32 => Kind::I32,
            Type::Enumerated => Kind::Enumerated,
            Type::Time => Kind::Time,
            Type::Address => Kind::Address,
            Type::DiameterIdentity => Kind::Identity,
            Type::DiameterURI => Kind::Uri,
            Type::Grouped => Kind::Grouped,
        }
    }
}

/// Why a dictionary cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Unread(#[from] files::FileError),
    #[error("{}: {why}", file.display())]
    Toml { file: PathBuf, why: String },
    #[error("{}: {why}", file.display())]
    Clash { file: PathBuf, why: Clash },
    #[error("more than {AVPS_MAX} AVPs")]
    TooMany,
}

/// The AVPs of these files together.
pub fn load(paths: &[PathBuf]) -> Result<Vocabulary, Error> {
    let mut vocabulary = Vocabulary::default();
    for path in paths {
        let text = files::read(path, FILE_MAX)?;
        add(&mut vocabulary, path, &text)?;
    }
    Ok(vocabulary)
}

fn add(vocabulary: &mut Vocabulary, path: &Path, text: &[u8]) -> Result<(), Error> {
    let file = || path.to_path_buf();
    let toml = |why: String| Error::Toml { file: file(), why };
    let text = std::str::from_utf8(text).map_err(|why| toml(why.to_string()))?;
    let Listing { avp } = toml::from_str(text).map_err(|why| toml(why.message().to_owned()))?;
    for Avp {
        name,
        code,
        vendor,
        kind,
        mandatory,
    } in avp
    {
        if vocabulary.len() >= AVPS_MAX {
            return Err(Error::TooMany);
        }
        vocabulary
            .add(&name, code, vendor, kind.into(), mandatory)
            .map_err(|why| Error::Clash { file: file(), why })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vocabulary, Error> {
        let mut vocabulary = Vocabulary::default();
        add(&mut vocabulary, Path::new("x.toml"), text.as_bytes())?;
        Ok(vocabulary)
    }

    #[test]
    fn avps_are_read_with_their_format_and_flag() {
        let text = "[[avp]]\nname = 'Site-Number'\ncode = 7\nvendor = 9999\ntype = 'Unsigned32'\nmandatory = true\n\
                    [[avp]]\nname = 'Site-Name'\ncode = 8\nvendor = 9999\ntype = 'UTF8String'\n";
        let vocabulary = read(text).unwrap();
        let site = vocabulary.named("Site-Number").unwrap();
        assert_eq!(
            (site.code, site.vendor, site.kind, site.mandatory),
            (7, 9_999, Kind::U32, true)
        );
        assert!(!vocabulary.named("Site-Name").unwrap().mandatory);
    }

    #[test]
    fn a_file_that_cannot_be_used_says_where() {
        for (case, text) in [
            ("no TOML", "[[avp"),
            ("an unknown type", "[[avp]]\nname='A'\ncode=1\ntype='Float'"),
            (
                "an unknown key",
                "[[avp]]\nname='A'\ncode=1\ntype='Time'\nflags=1",
            ),
            (
                "a code that is known",
                "[[avp]]\nname='A'\ncode=264\ntype='Time'",
            ),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.starts_with("x.toml: "), "{case}: {error}");
        }
    }
}
