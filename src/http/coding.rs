//! gzip of answers (RFC 9110 §8.4, §12.5.3).
//!
//! A strong entity-tag belongs to one sequence of bytes (§8.8.3.3), so a compressed document has that of the document with
//! `-gzip` before the last quote. In conditions both mean the document: XCAP's are about the document and not about its
//! coding, and no tag of a document ends so.

use super::Answer;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::Full;
use hyper::StatusCode;
use hyper::body::Body as _;
use hyper::header::{self, HeaderMap, HeaderValue};
use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

const SUFFIX: &str = "-gzip\"";

/// Whether `Accept-Encoding` names gzip, or everything, with another weight than 0.
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::ACCEPT_ENCODING).iter();
    let texts = lines.filter_map(|value| value.to_str().ok());
    let (mut named, mut any) = (None, None);
    for member in texts.flat_map(|text| text.split(',')) {
        let (coding, weight) = member.split_once(';').unwrap_or((member, ""));
        let weight = weight
            .trim()
            .trim_start_matches(['q', 'Q'])
            .trim_start_matches('=');
        let is_taken = weight.is_empty() || weight.parse::<f32>().is_ok_and(|q| q > 0.0);
        match coding.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => named = Some(is_taken),
            "*" => any = Some(is_taken),
            _ => {}
        }
    }
    named.or(any).unwrap_or(false)
}

/// Conditions with the tags of documents in place of those of their compressed forms.
pub(super) fn without_coding(condition: String) -> String {
    match condition.contains(SUFFIX) {
        true => condition.replace(SUFFIX, "\""),
        false => condition,
    }
}

/// Compresses the body of a 200 to GET or HEAD that is longer than `above` bytes, for a client that takes it. A 304 has
/// the tag that the 200 would have had.
pub(super) fn apply(answer: &mut Answer, above: usize, is_taken: bool) {
    let status = answer.status();
    if above == 0 || !(status == StatusCode::OK || status == StatusCode::NOT_MODIFIED) {
        return;
    }
    let vary = HeaderValue::from_static("Accept-Encoding");
    answer.headers_mut().insert(header::VARY, vary);
    let length = answer.body().size_hint().exact().unwrap_or(0);
    if status != StatusCode::OK || !is_taken || length <= above as u64 {
        return;
    }
    let body = bytes_of(answer.body().clone());
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    let packed = encoder.write_all(&body).and_then(|()| encoder.finish());
    let Ok(packed) = packed else {
        return; // writing into memory cannot fail
    };
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    if let Some(tag) = headers.get(header::ETAG).and_then(marked) {
        headers.insert(header::ETAG, tag);
    }
    *answer.body_mut() = Full::new(packed.into());
}

/// The bytes of a body that is there as a whole.
pub(super) fn bytes_of(mut body: Full<Bytes>) -> Bytes {
    let mut context = Context::from_waker(Waker::noop());
    match Pin::new(&mut body).poll_frame(&mut context) {
        Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
        _ => Bytes::new(),
    }
}

/// Gives a 304 the tag by which the client asked, when that was one of a compressed form.
pub(super) fn as_asked(answer: &mut Answer, asked: Option<&HeaderValue>) {
    let asked = asked.and_then(|value| value.to_str().ok()).unwrap_or("");
    let tag = answer.headers().get(header::ETAG).and_then(marked);
    if let Some(tag) = tag
        && tag.to_str().is_ok_and(|tag| asked.contains(tag))
        && answer.status() == StatusCode::NOT_MODIFIED
    {
        answer.headers_mut().insert(header::ETAG, tag);
    }
}

fn marked(tag: &HeaderValue) -> Option<HeaderValue> {
    let text = tag.to_str().ok()?.strip_suffix('"')?;
    HeaderValue::from_str(&format!("{text}{SUFFIX}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_gzip_is_known_by_accept_encoding() {
        for (value, takes) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("*", true),
            ("gzip;q=0", false),
            ("gzip;q=0.000, *", false),
            ("identity", false),
            ("gzip;q=x", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
            assert_eq!(takes_gzip(&headers), takes, "{value}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn conditions_are_about_the_document() {
        for (given, meant) in [
            ("\"a\"", "\"a\""),
            ("\"a-gzip\", \"b\"", "\"a\", \"b\""),
            ("W/\"a-gzip\"", "W/\"a\""),
            ("*", "*"),
        ] {
            assert_eq!(without_coding(given.into()), meant);
        }
    }
}
