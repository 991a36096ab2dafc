//! Digest: the proof of a password, over the text that `ims::sip::header::digest` reads and writes.

use ims::sip::header::digest::{Credentials, Digest};
use md5::Digest as _;
use std::fmt::Write as _;

/// What a server wants to see proved, and how often we have proved it with the same nonce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    /// As it is named in the challenge; none there, none here, and MD5 meant.
    algorithm: Option<String>,
    hash: Hash,
    /// `qop=auth` is offered.
    qop: bool,
    /// Proofs given with this nonce (RFC 7616 §3.4.3).
    count: u32,
    pub is_stale: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    Md5,
    Sha256,
}

impl Hash {
    /// Lower-case hexadecimal hash of the parts, joined by colons.
    pub(crate) fn of(self, parts: &[&str]) -> String {
        let text = parts.join(":");
        match self {
            Hash::Md5 => hex(&md5::Md5::digest(text)),
            Hash::Sha256 => hex(&sha2::Sha256::digest(text)),
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(out, "{byte:02x}"); // writing into a string cannot fail
    }
    out
}

/// What a proof is for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub method: &'a str,
    pub uri: &'a str,
}

impl Challenge {
    /// The first of the challenges that we can meet: the server names the one it likes best first (RFC 8760 §2.4).
    pub fn choose<'a>(values: impl IntoIterator<Item = &'a str>) -> Option<Challenge> {
        values.into_iter().find_map(Challenge::parse)
    }

    fn parse(value: &str) -> Option<Challenge> {
        let digest = Digest::parse(value)?;
        let text = |name: &str| digest.param(name).map(|value| value.into_owned());
        let algorithm = text("algorithm");
        let hash = match algorithm.as_deref() {
            None => Hash::Md5,
            Some(name) if name.eq_ignore_ascii_case("MD5") => Hash::Md5,
            Some(name) if name.eq_ignore_ascii_case("SHA-256") => Hash::Sha256,
            Some(_) => return None,
        };
        if digest.param("qop").is_some() && !digest.offers_auth() {
            return None; // only auth-int: the body would have to be hashed too
        }
        Some(Challenge {
            realm: text("realm")?,
            nonce: text("nonce")?,
            opaque: text("opaque"),
            algorithm,
            hash,
            qop: digest.offers_auth(),
            count: 0,
            is_stale: digest.is_stale(),
        })
    }

    /// Takes the nonce that an `Authentication-Info` names for the next time (RFC 7616 §3.5).
    pub fn renew(&mut self, info: &str) {
        // the header is a list of parameters without a scheme
        let info = format!("Digest {info}");
        if let Some(next) =
            Digest::parse(&info).and_then(|info| info.param("nextnonce").map(|n| n.into_owned()))
        {
            (self.nonce, self.count) = (next, 0);
        }
    }

    /// `Authorization` for one request. `cnonce` is random.
    pub fn prove(
        &mut self,
        request: Request<'_>,
        user: &str,
        password: &str,
        cnonce: &str,
    ) -> String {
        self.count = self.count.saturating_add(1);
        let count = format!("{:08x}", self.count);
        let secret = self.hash.of(&[user, &self.realm, password]);
        let subject = self.hash.of(&[request.method, request.uri]);
        let response = match self.qop {
            true => self
                .hash
                .of(&[&secret, &self.nonce, &count, cnonce, "auth", &subject]),
            false => self.hash.of(&[&secret, &self.nonce, &subject]),
        };
        let credentials = Credentials {
            username: user,
            realm: &self.realm,
            nonce: &self.nonce,
            uri: request.uri,
            response: &response,
            algorithm: self.algorithm.as_deref(),
            opaque: self.opaque.as_deref(),
            qop: self.qop.then_some((cnonce, self.count)),
        };
        credentials.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: (&str, &str) = ("Mufasa", "Circle of Life");
    const GET: Request<'static> = Request {
        method: "GET",
        uri: "/dir/index.html",
    };

    /// The worked examples of RFC 7616 §3.9.1 and RFC 2617 §3.5.
    #[test]
    fn the_proofs_of_the_standards_come_out() {
        let rfc7616 = "realm=\"http-auth@example.org\", qop=\"auth, auth-int\", \
            nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";
        for (case, challenge, user, cnonce, response) in [
            (
                "SHA-256",
                format!("Digest algorithm=SHA-256, {rfc7616}"),
                USER,
                "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ),
            (
                "MD5",
                format!("Digest algorithm=MD5, {rfc7616}"),
                USER,
                "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
                "8ca523f5e9506fed4657c9700eebdbec",
            ),
            (
                "MD5 unnamed",
                "Digest realm=\"testrealm@host.com\",qop=\"auth,auth-int\",nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\""
                    .to_owned(),
                ("Mufasa", "Circle Of Life"),
                "0a4f113b",
                "6629fae49393a05397450978507c4ef1",
            ),
        ] {
            let mut challenge = Challenge::parse(&challenge).unwrap();
            let proof = challenge.prove(GET, user.0, user.1, cnonce);
            assert!(proof.contains(&format!("response=\"{response}\"")), "{case}: {proof}");
            assert!(proof.contains("nc=00000001"), "{case}: {proof}");
            let again = challenge.prove(GET, user.0, user.1, cnonce);
            assert!(again.contains("nc=00000002") && !again.contains(response), "{case}: {again}");
        }
    }

    #[test]
    fn the_first_challenge_that_can_be_met_is_chosen() {
        for (case, values, hash) in [
            (
                "the server's order",
                vec![
                    "Digest realm=\"r\",nonce=\"n\",algorithm=MD5",
                    "Digest realm=\"r\",nonce=\"n\",algorithm=SHA-256",
                ],
                Some(Hash::Md5),
            ),
            (
                "AKA is passed over",
                vec![
                    "Digest realm=\"r\",nonce=\"n\",algorithm=AKAv1-MD5",
                    "Digest realm=\"r\",nonce=\"n\",algorithm=sha-256",
                ],
                Some(Hash::Sha256),
            ),
            (
                "a body that must be hashed",
                vec!["Digest realm=\"r\",nonce=\"n\",qop=\"auth-int\""],
                None,
            ),
            ("no nonce", vec!["Digest realm=\"r\""], None),
            ("another scheme", vec!["Basic realm=\"r\""], None),
        ] {
            assert_eq!(Challenge::choose(values).map(|c| c.hash), hash, "{case}");
        }
    }

    #[test]
    fn the_next_nonce_starts_a_new_count() {
        let mut challenge =
            Challenge::parse("Digest realm=\"r\",nonce=\"n1\",qop=\"auth\"").unwrap();
        challenge.prove(GET, USER.0, USER.1, "c");
        challenge.renew("nextnonce=\"n2\",qop=auth,rspauth=\"x\"");
        assert_eq!((challenge.nonce.as_str(), challenge.count), ("n2", 0));
        challenge.renew("qop=auth");
        assert_eq!((challenge.nonce.as_str(), challenge.count), ("n2", 0));
    }
}
