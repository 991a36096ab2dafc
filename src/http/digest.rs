//! Digest at the server's side (RFC 7616): who proves to know a password, and which identity they come with.
//!
//! The order of the checks: who guesses waits; a wrong proof is counted; a right proof with a nonce that is not good, or
//! was used with this count before, gets a new nonce and `stale=true`.

mod nonce;
mod users;

pub(crate) use nonce::Key;
pub(crate) use users::{is_same_identity, line};

use super::files::{self, FileError, Loaded, Refresh};
use super::rates::{Offences, whom};
use crate::config::{DigestAlgorithm, XcapDigest};
use crate::ua::digest::Hash;
use ahash::RandomState;
use ims::sip::header::digest::Digest;
use nonce::{Nonces, Redeemed, is_same};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use users::{User, Users};

/// Longest credentials file, in bytes.
const FILE_MAX: u64 = 256 << 20;

/// Longest user name and client nonce that are looked at, in bytes.
const WORD_MAX: usize = 256;

/// What Digest works with.
pub(super) struct Guard {
    realm: String,
    offered: Vec<Hash>,
    users: Arc<Loaded<Users>>,
    nonces: Nonces,
    /// Wrong passwords for one user from one address, and from one address.
    of_user: Offences<(IpAddr, Box<str>)>,
    of_peer: Offences<IpAddr>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("realm", &self.realm)
            .finish_non_exhaustive()
    }
}

/// The request that credentials come with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub method: &'a str,
    /// Path and query, as the request line has them.
    pub target: &'a str,
    pub peer: IpAddr,
    /// Since the start.
    pub now: Duration,
}

/// What credentials come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Who it is, by all public identities, and the nonce to go on with.
    Known {
        identities: Vec<String>,
        next_nonce: Option<String>,
    },
    /// No or wrong credentials, or right ones that are stale.
    Challenge { is_stale: bool },
    /// The proof is for another resource than the one asked for (RFC 7616 §3.4.6).
    BadRequest,
    /// Too many wrong passwords.
    Wait(Duration),
}

const CHALLENGE: Verdict = Verdict::Challenge { is_stale: false };

/// Credentials as the client sent them, all parts there.
struct Proof {
    name: String,
    hash: Hash,
    nonce: String,
    count_text: String,
    count: u32,
    client_nonce: String,
    uri: String,
    response: String,
}

impl Proof {
    fn parse(value: &str, realm: &str) -> Option<Proof> {
        let digest = Digest::parse(value)?;
        let word = |name: &str| digest.param(name).map(|text| text.into_owned());
        let short = |name: &str| word(name).filter(|text| text.len() <= WORD_MAX);
        let hash = match word("algorithm").as_deref() {
            None => Hash::Md5,
            Some(name) if name.eq_ignore_ascii_case("MD5") => Hash::Md5,
            Some(name) if name.eq_ignore_ascii_case("SHA-256") => Hash::Sha256,
            Some(_) => return None,
        };
        // Without qop there are no counts, so no way to know a replay: RFC 7616 §3.4 has it always.
        if !word("qop")?.eq_ignore_ascii_case("auth") || word("realm")? != realm {
            return None;
        }
        let count_text = word("nc")?;
        let is_count = count_text.len() == 8 && count_text.bytes().all(|b| b.is_ascii_hexdigit());
        let count = u32::from_str_radix(&count_text, 16)
            .ok()
            .filter(|_| is_count)?;
        Some(Proof {
            name: short("username")?,
            hash,
            nonce: short("nonce")?,
            count_text,
            count,
            client_nonce: short("cnonce")?,
            uri: word("uri")?,
            response: short("response")?,
        })
    }

    /// Whether the password is the user's. Takes as long for a user who is not there.
    fn is_right(&self, user: Option<&User>, method: &str) -> bool {
        const NOBODY: &str = "";
        let secret = user.and_then(|user| user.secret(self.hash));
        let subject = self.hash.of(&[method, &self.uri]);
        let expected = self.hash.of(&[
            secret.unwrap_or(NOBODY),
            &self.nonce,
            &self.count_text,
            &self.client_nonce,
            "auth",
            &subject,
        ]);
        let given = self.response.to_ascii_lowercase();
        is_same(expected.as_bytes(), given.as_bytes()) && secret.is_some()
    }

    /// Whether the proof is for `target`, in origin or in absolute form.
    fn is_for(&self, target: &str) -> bool {
        let path = match self.uri.split_once("://") {
            // a path, in which a node selector may well name a URI
            _ if self.uri.starts_with('/') => Some(self.uri.as_str()),
            Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)),
            None => Some(self.uri.as_str()),
        };
        path == Some(target)
    }
}

impl Guard {
    /// `realm`: what to take where the configuration names none.
    pub(super) fn new(
        settings: &XcapDigest,
        realm: &str,
        key: Key,
        hash: &RandomState,
    ) -> Result<Guard, FileError> {
        let realm = settings.realm.as_deref().unwrap_or(realm).to_owned();
        let offered = settings.algorithms.iter().map(|algorithm| match algorithm {
            DigestAlgorithm::Md5 => Hash::Md5,
            DigestAlgorithm::Sha256 => Hash::Sha256,
        });
        let (file, of) = (settings.users.clone(), realm.clone());
        let load = move || {
            let bytes = files::read(&file, FILE_MAX)?;
            let text = String::from_utf8(bytes).map_err(|why| FileError::new(&file, why))?;
            Users::parse(&text, &of).map_err(|why| FileError::new(&file, why))
        };
        let files = vec![settings.users.clone()];
        let users = Loaded::new("credentials", files, Box::new(load))?;
        tracing::info!(users = users.current().len(), "credentials loaded");
        Ok(Guard {
            offered: offered.collect(),
            users: Arc::new(users),
            nonces: Nonces::new(key, Duration::from_secs(settings.nonce_s.0.into())),
            of_user: Offences::new(settings.max_failures, hash.clone()),
            of_peer: Offences::new(settings.max_failures.saturating_mul(10), hash.clone()),
            realm,
        })
    }

    pub(super) fn file(&self) -> Arc<dyn Refresh> {
        self.users.clone()
    }

    /// What the credentials in `value` come to.
    pub(super) fn judge(&self, value: &str, asked: Asked<'_>) -> Verdict {
        let Some(proof) = Proof::parse(value, &self.realm) else {
            return CHALLENGE;
        };
        if !self.offered.contains(&proof.hash) {
            return CHALLENGE; // the weaker one must not be chosen by who stands in between (RFC 7616 §5.8)
        }
        let peer = whom(asked.peer);
        let offender = (peer, Box::from(proof.name.as_str()));
        let waits = [
            self.of_user.check(&offender, asked.now),
            self.of_peer.check(&peer, asked.now),
        ];
        if let Some(wait) = waits.into_iter().filter_map(Result::err).max() {
            return Verdict::Wait(wait);
        }
        let users = self.users.current();
        let user = users.get(&proof.name);
        if !proof.is_right(user, asked.method) {
            self.of_user.add(offender, asked.now);
            self.of_peer.add(peer, asked.now);
            return CHALLENGE;
        }
        if !proof.is_for(asked.target) {
            return Verdict::BadRequest;
        }
        self.of_user.forgive(&offender);
        let next_nonce = match self.nonces.redeem(&proof.nonce, proof.count, asked.now) {
            Redeemed::Stale => return Verdict::Challenge { is_stale: true },
            Redeemed::Aging => Some(self.nonces.issue(asked.now)),
            Redeemed::Good => None,
        };
        let identities = user.map(|user| user.identities.iter().map(|one| one.to_string()));
        Verdict::Known {
            identities: identities.into_iter().flatten().collect(),
            next_nonce,
        }
    }

    /// Values of `WWW-Authenticate`, the best first; one nonce serves for all.
    pub(super) fn challenges(&self, now: Duration, is_stale: bool) -> Vec<String> {
        let nonce = self.nonces.issue(now);
        let stale = if is_stale { ", stale=true" } else { "" };
        let challenge = |hash: &Hash| {
            let name = match hash {
                Hash::Md5 => "MD5",
                Hash::Sha256 => "SHA-256",
            };
            let realm = &self.realm;
            format!(
                "Digest realm=\"{realm}\", qop=\"auth\", algorithm={name}, nonce=\"{nonce}\"{stale}"
            )
        };
        self.offered.iter().map(challenge).collect()
    }
}

#[cfg(test)]
mod tests;
