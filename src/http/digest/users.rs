//! The credentials file: who may come with which password, and who they are. A line for each user:
//!
//! ```text
//! name realm MD5=<HA1> SHA-256=<HA1> sip:bob@ims.test tel:+36105550001
//! ```
//!
//! HA1 is the hash of `name:realm:password` (RFC 7616 §3.4.2). One of the two suffices. What follows are the public
//! identities of the user, the first of which is the one meant where a request names none. `#` begins a comment line.

use crate::ua::digest::Hash;
use ims::sip::Aor;
use std::collections::BTreeMap;

/// Most users in a file, and most identities of one.
const USERS: usize = 1_000_000;
const IDENTITIES: usize = 16;

/// One user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    md5: Option<Box<str>>,
    sha256: Option<Box<str>>,
    pub identities: Box<[Box<str>]>,
}

impl User {
    /// HA1, in lower-case hexadecimal.
    pub(super) fn secret(&self, hash: Hash) -> Option<&str> {
        match hash {
            Hash::Md5 => self.md5.as_deref(),
            Hash::Sha256 => self.sha256.as_deref(),
        }
    }
}

/// Whether two URIs are one identity, in any spelling.
pub(crate) fn is_same_identity(one: &str, other: &str) -> bool {
    let one = Aor::parse(one);
    one.is_some() && one == Aor::parse(other)
}

/// Why a file is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: expected {expected}")]
pub(super) struct Mistake {
    line: usize,
    expected: &'static str,
}

/// All users of one realm.
#[derive(Debug, Default)]
pub(super) struct Users(BTreeMap<Box<str>, User>);

impl Users {
    /// Lines of other realms are passed over.
    pub(super) fn parse(text: &str, realm: &str) -> Result<Users, Mistake> {
        let mut users = BTreeMap::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let refused = |expected| Mistake {
                line: at + 1,
                expected,
            };
            let (name, of, user) = parse_line(line).map_err(refused)?;
            if of != realm {
                continue;
            }
            if users.len() >= USERS {
                return Err(refused("no more than 1000000 users"));
            }
            if users.insert(name.into(), user).is_some() {
                return Err(refused("a name that no line above has"));
            }
        }
        Ok(Users(users))
    }

    pub(super) fn get(&self, name: &str) -> Option<&User> {
        self.0.get(name)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Name, realm and what is known of a user.
fn parse_line(line: &str) -> Result<(&str, &str, User), &'static str> {
    let mut words = line.split_ascii_whitespace();
    let (Some(name), Some(realm)) = (words.next(), words.next()) else {
        return Err("a name, a realm, hashes and identities");
    };
    let (mut md5, mut sha256, mut identities) = (None, None, Vec::new());
    for word in words {
        let (kept, value, digits) = if let Some(value) = word.strip_prefix("MD5=") {
            (&mut md5, value, 32)
        } else if let Some(value) = word.strip_prefix("SHA-256=") {
            (&mut sha256, value, 64)
        } else {
            if Aor::parse(word).is_none() || word.contains(['"', ',', '<', '>']) {
                return Err("an identity such as sip:bob@ims.test");
            }
            identities.push(word.into());
            continue;
        };
        if value.len() != digits || !value.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err("a hash of 32 (MD5) or 64 (SHA-256) hexadecimal digits");
        }
        *kept = Some(value.to_ascii_lowercase().into());
    }
    if md5.is_none() && sha256.is_none() {
        return Err("MD5= or SHA-256= with a hash");
    }
    if !(1..=IDENTITIES).contains(&identities.len()) {
        return Err("1 to 16 identities");
    }
    let user = User {
        md5,
        sha256,
        identities: identities.into(),
    };
    Ok((name, realm, user))
}

/// The line of a user; `None` when a part cannot stand in one.
pub(crate) fn line(
    name: &str,
    realm: &str,
    password: &str,
    identities: &[String],
) -> Option<String> {
    let parts = [name, realm, password];
    let line = format!(
        "{name} {realm} MD5={} SHA-256={} {}",
        Hash::Md5.of(&parts),
        Hash::Sha256.of(&parts),
        identities.join(" ")
    );
    let (parsed_name, parsed_realm, user) = parse_line(&line).ok()?;
    // a colon in the name would let one user's hash be another's (RFC 7616 §3.4.4), but for the scheme of a URI
    let is_name = !name.starts_with('#') && (!name.contains(':') || is_uri(name));
    let is_kept = parsed_name == name
        && parsed_realm == realm
        && is_name
        && user.identities.len() == identities.len();
    is_kept.then_some(line)
}

/// Whether the name is the user's public identity, whose one colon stands behind its scheme.
fn is_uri(name: &str) -> bool {
    Aor::parse(name).is_some() && name.matches(':').count() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_written_is_read() {
        let identities = ["sip:bob@ims.test".to_owned(), "tel:+36105550001".to_owned()];
        for name in ["bob", "bob@ims.test", "sip:bob@ims.test"] {
            let text = line(name, "ims.test", "pass word", &identities).unwrap();
            let users = Users::parse(&text, "ims.test").unwrap();
            let user = users.get(name).unwrap();
            let secret = Hash::Md5.of(&[name, "ims.test", "pass word"]);
            assert_eq!(user.secret(Hash::Md5), Some(secret.as_str()));
            assert_eq!(user.identities.len(), 2);
            let own = user.identities.iter();
            let is = |uri| own.clone().any(|one| is_same_identity(uri, one));
            assert!(is("sip:bob@IMS.test") && is("tel:+36-10-555-0001"));
            assert!(!is("sip:eve@ims.test") && !is("") && !is("bob"));
        }
        for (name, identity) in [
            ("b ob", "sip:bob@ims.test"),
            ("#bob", "sip:bob@ims.test"),
            ("", "sip:bob@ims.test"),
            ("bob", "bob"),
            ("a:b", "sip:bob@ims.test"),
        ] {
            let identities = [identity.to_owned()];
            assert_eq!(line(name, "r", "p", &identities), None, "{name} {identity}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        let hash = "0".repeat(32);
        for (text, at) in [
            ("# nobody\n\nbob".to_owned(), 3),
            ("bob r sip:bob@ims.test".to_owned(), 1),
            ("bob r MD5=12 sip:bob@ims.test".to_owned(), 1),
            (format!("bob r SHA-256={hash} sip:bob@ims.test"), 1),
            (format!("bob r MD5={hash}"), 1),
            (format!("bob r MD5={hash} bob"), 1),
            (
                format!("bob r MD5={hash} sip:b@c\nbob r MD5={hash} sip:b@c"),
                2,
            ),
        ] {
            assert_eq!(Users::parse(&text, "r").unwrap_err().line, at, "{text}");
        }
        let text = format!("bob other MD5={hash} sip:b@c\nbob r MD5={hash} sip:b@c");
        assert_eq!(Users::parse(&text, "r").unwrap().len(), 1, "another realm");
    }
}
