//! Content codings of bodies (RFC 3261 §20.12; RFC 9110 §8.4.1): what a peer takes, and bodies to and from them.

use crate::sip::message::Headers;
use crate::sip::name::Name;
use crate::sip::text::{Params, trim};
use flate2::Compression;
use flate2::bufread::{GzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};

/// A coding other than `identity`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Coding {
    /// RFC 1952.
    Gzip,
    /// The zlib format, RFC 1950; not bare deflate data.
    Deflate,
}

/// The codings that are taken, as `Accept-Encoding` says it.
pub const ACCEPT_ENCODING: &str = "gzip, deflate, identity";

/// A body may become this many times larger, whatever the limit on its size: presence documents shrink to a tenth or
/// so, and what shrinks to less than a hundredth was made to hurt.
const MOST_GROWTH: usize = 100;

/// Why a coded body is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `Content-Encoding` names a coding that is not known, or several.
    Unknown,
    /// Larger than allowed when inflated.
    TooLarge,
    /// Not in the coding that it claims, or cut short.
    Broken,
}

impl Coding {
    pub fn name(self) -> &'static str {
        match self {
            Coding::Gzip => "gzip",
            Coding::Deflate => "deflate",
        }
    }

    /// The coding of that name; `x-gzip` is the old one of gzip (RFC 9110 §8.4.1.3).
    fn parse(name: &str) -> Option<Coding> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        match () {
            () if is("gzip") || is("x-gzip") => Some(Coding::Gzip),
            () if is("deflate") => Some(Coding::Deflate),
            () => None,
        }
    }

    /// The coding of a body that came, `None` for identity.
    pub fn of(headers: &Headers<'_>) -> Result<Option<Coding>, Fault> {
        let mut codings = headers
            .values(Name::ContentEncoding)
            .map(trim)
            .filter(|name| !name.eq_ignore_ascii_case("identity"));
        match (codings.next(), codings.next()) {
            (None, _) => Ok(None),
            (Some(name), None) => Coding::parse(name).map(Some).ok_or(Fault::Unknown),
            (Some(_), Some(_)) => Err(Fault::Unknown), // one upon the other: nobody needs it, a bomb might
        }
    }

    /// The coding of a part of a body, from its own `Content-Encoding`.
    pub fn of_part(field: Option<&str>) -> Result<Option<Coding>, Fault> {
        match field.map(trim) {
            None => Ok(None),
            Some(name) if name.eq_ignore_ascii_case("identity") => Ok(None),
            Some(name) => Coding::parse(name).map(Some).ok_or(Fault::Unknown),
        }
    }

    /// The coding to use for a peer: the one that `Accept-Encoding` weighs most, gzip among equals. `None` where there
    /// is no such header, where neither is taken, and where the peer would rather have the body as it is.
    pub fn wanted(headers: &Headers<'_>) -> Option<Coding> {
        let weights = Weights::parse(headers);
        let (gzip, deflate) = (weights.of("gzip"), weights.of("deflate"));
        let (coding, weight) = if deflate > gzip {
            (Coding::Deflate, deflate)
        } else {
            (Coding::Gzip, gzip)
        };
        let plain = weights.named("identity").unwrap_or(0);
        (weight > 0 && weight >= plain).then_some(coding)
    }

    /// The body in this coding.
    pub fn encode(self, body: &[u8]) -> Vec<u8> {
        let room = Vec::with_capacity(body.len() / 4 + 64);
        let level = Compression::default();
        // writing into memory does not fail
        match self {
            Coding::Gzip => {
                let mut encoder = GzEncoder::new(room, level);
                let written = encoder.write_all(body);
                written.and_then(|()| encoder.finish())
            }
            Coding::Deflate => {
                let mut encoder = ZlibEncoder::new(room, level);
                let written = encoder.write_all(body);
                written.and_then(|()| encoder.finish())
            }
        }
        .unwrap_or_default()
    }

    /// The body out of this coding, of `limit` bytes at most. No more than that is ever inflated.
    pub fn decode(self, body: &[u8], limit: usize) -> Result<Vec<u8>, Fault> {
        let limit = limit.min(body.len().saturating_mul(MOST_GROWTH));
        let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        let mut out = Vec::new();
        let (read, rest) = match self {
            Coding::Gzip => {
                let mut decoder = GzDecoder::new(body).take(most);
                let read = decoder.read_to_end(&mut out);
                (read, decoder.into_inner().into_inner())
            }
            Coding::Deflate => {
                let mut decoder = ZlibDecoder::new(body).take(most);
                let read = decoder.read_to_end(&mut out);
                (read, decoder.into_inner().into_inner())
            }
        };
        match read {
            Ok(_) if out.len() > limit => Err(Fault::TooLarge),
            Ok(_) if rest.is_empty() => Ok(out),
            Ok(_) | Err(_) => Err(Fault::Broken), // something behind the end is no part of the body
        }
    }
}

/// `Accept-Encoding`, RFC 3261 §20.2: names and their weights in thousandths. What makes no sense is passed over.
struct Weights<'a>(Vec<(&'a str, u16)>);

impl<'a> Weights<'a> {
    fn parse(headers: &Headers<'a>) -> Weights<'a> {
        let elements = headers.values(Name::AcceptEncoding);
        let weights = elements.filter_map(|element| {
            let (name, params) = element.split_at(element.find(';').unwrap_or(element.len()));
            let q = Params::parse(params)?.value("q");
            Some((
                trim(name),
                q.map_or(Some(1000), super::header::accept::weight)?,
            ))
        });
        Weights(weights.collect())
    }

    fn named(&self, name: &str) -> Option<u16> {
        let found = self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|&(_, weight)| weight)
    }

    /// Weight of a coding; what is not named is what `*` says, or not taken.
    fn of(&self, name: &str) -> u16 {
        let any = || self.named("*").unwrap_or(0);
        self.named(name).unwrap_or_else(any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::Line;

    fn headers(name: Name, values: &[&'static str]) -> Headers<'static> {
        let line = |value: &&'static str| Line {
            name,
            text: name.as_str(),
            value,
        };
        Headers::new(values.iter().map(line).collect())
    }

    #[test]
    fn the_coding_that_weighs_most_is_used_and_none_where_none_is_wished() {
        let (gzip, deflate) = (Some(Coding::Gzip), Some(Coding::Deflate));
        for (case, values, wanted) in [
            ("absent", vec![], None),
            ("empty", vec![""], None),
            ("one", vec!["gzip"], gzip),
            ("the other, in any case", vec!["DEFLATE"], deflate),
            ("both", vec!["deflate, gzip"], gzip),
            ("weighed", vec!["gzip;q=0.5, deflate;q=0.8"], deflate),
            ("on two lines", vec!["gzip;q=0.1", "deflate"], deflate),
            ("anything", vec!["*"], gzip),
            ("anything but gzip", vec!["*, gzip;q=0"], deflate),
            ("refused", vec!["gzip;q=0, deflate;q=0.0"], None),
            (
                "plain rather than coded",
                vec!["identity, gzip;q=0.5"],
                None,
            ),
            ("as good as plain", vec!["identity, gzip"], gzip),
            ("plain alone", vec!["identity"], None),
            ("unknown", vec!["br, zstd"], None),
            (
                "a weight that is none",
                vec!["gzip;q=high, deflate"],
                deflate,
            ),
        ] {
            let headers = headers(Name::AcceptEncoding, &values);
            assert_eq!(Coding::wanted(&headers), wanted, "{case}");
        }
    }

    #[test]
    fn one_known_coding_of_a_body_is_taken() {
        for (case, values, coding) in [
            ("absent", vec![], Ok(None)),
            ("identity", vec!["identity"], Ok(None)),
            ("gzip", vec!["GZip"], Ok(Some(Coding::Gzip))),
            ("by its old name", vec!["x-gzip"], Ok(Some(Coding::Gzip))),
            ("deflate", vec!["deflate"], Ok(Some(Coding::Deflate))),
            ("unknown", vec!["br"], Err(Fault::Unknown)),
            ("two", vec!["gzip, gzip"], Err(Fault::Unknown)),
        ] {
            let headers = headers(Name::ContentEncoding, &values);
            assert_eq!(Coding::of(&headers), coding, "{case}");
        }
    }

    #[test]
    fn what_is_encoded_is_decoded_up_to_the_limit_and_what_is_broken_is_not() {
        let body: Vec<u8> = (0..200u32)
            .flat_map(|n| (n * n).to_string().into_bytes())
            .collect();
        for coding in [Coding::Gzip, Coding::Deflate] {
            let coded = coding.encode(&body);
            assert!(coded.len() < body.len());
            assert_eq!(coding.decode(&coded, body.len()), Ok(body.clone()));
            assert_eq!(coding.decode(&coded, body.len() - 1), Err(Fault::TooLarge));
            for end in 1..coded.len() {
                let cut = coding.decode(&coded[..end], 10_000);
                assert!(cut.is_err(), "cut short at {end}: {cut:?}");
            }
            let longer = [coded.as_slice(), b"x"].concat();
            assert_eq!(coding.decode(&longer, 10_000), Err(Fault::Broken));
            assert_eq!(coding.decode(b"<presence/>", 10_000), Err(Fault::Broken));
            assert_eq!(coding.decode(b"", 10_000), Err(Fault::Broken), "empty");
        }
    }

    #[test]
    fn a_bomb_is_refused_however_large_the_limit() {
        let zeros = vec![0; 10 << 20];
        for coding in [Coding::Gzip, Coding::Deflate] {
            let bomb = coding.encode(&zeros);
            assert!(bomb.len() < zeros.len() / MOST_GROWTH);
            assert_eq!(coding.decode(&bomb, usize::MAX), Err(Fault::TooLarge));
        }
    }
}
