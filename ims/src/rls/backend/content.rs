//! State in a NOTIFY of a back-end subscription: of the announced type, well-formed, whole, and otherwise opaque.

use crate::event::onlooker::Content;
use crate::reject::Reject;
use crate::sip::header::media_type::MediaType;
use crate::sip::multipart;
use crate::xml::guard;
use bytes::Bytes;
use roxmltree::Document;

/// Most parts of the state of a list at another server.
const MOST_PARTS: usize = 4_096;
const RLMI: &str = "urn:ietf:params:xml:ns:rlmi";

/// What a body says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// There is none.
    Nothing,
    /// All of the state.
    State(Content),
    /// A change of state that is kept whole here: the whole is to be asked for.
    Part,
}

/// A package, as far as its state is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Presence,
    /// RFC 3857, of any package.
    Watchers,
}

impl Kind {
    fn of(package: &str) -> Option<Kind> {
        match package {
            "presence" => Some(Kind::Presence),
            _ => package.ends_with(".winfo").then_some(Kind::Watchers),
        }
    }
}

/// `Accept` of a SUBSCRIBE for this package; `None`: it is not one of which lists are served.
pub(super) fn accept(package: &str, lists: bool) -> Option<&'static str> {
    Some(match (Kind::of(package)?, lists) {
        (Kind::Presence, false) => "application/pidf+xml",
        (Kind::Presence, true) => "application/pidf+xml, multipart/related, application/rlmi+xml",
        (Kind::Watchers, false) => "application/watcherinfo+xml",
        (Kind::Watchers, true) => {
            "application/watcherinfo+xml, multipart/related, application/rlmi+xml"
        }
    })
}

/// Reads a body that is out of its coding and within the bounds. `lists`: the resource may be a list.
pub(super) fn read(
    package: &str,
    media_type: Option<&str>,
    body: &[u8],
    lists: bool,
) -> Result<Told, Reject> {
    if body.is_empty() {
        return Ok(Told::Nothing);
    }
    let kind = Kind::of(package).ok_or(Reject::BadEvent)?;
    let unsupported = Reject::UnsupportedMedia {
        accept: accept(package, lists).unwrap_or_default(),
    };
    let text = media_type.unwrap_or_default();
    let Some(media) = MediaType::parse(text) else {
        return Err(unsupported);
    };
    let is_whole = match kind {
        Kind::Presence if media.is("application", "pidf+xml") => {
            parse(body)?;
            true
        }
        Kind::Watchers if media.is("application", "watcherinfo+xml") => {
            // RFC 3858 §4.1: a partial document lists only the watchers that have changed
            parse(body)?.root_element().attribute("state") == Some("full")
        }
        _ if lists && media.is("multipart", "related") => is_whole_list(&media, body)?,
        _ => return Err(unsupported),
    };
    Ok(match is_whole {
        true => Told::State(Content {
            media_type: text.into(),
            bytes: Bytes::copy_from_slice(body),
        }),
        false => Told::Part,
    })
}

fn parse(body: &[u8]) -> Result<Document<'_>, Reject> {
    let limits = guard::Limits {
        bytes: body.len(),
        ..guard::Limits::default()
    };
    guard::parse(body, &limits).map_err(|refusal| {
        tracing::debug!(%refusal, "state of a back-end subscription refused");
        Reject::Bad("Bad State Document")
    })
}

/// Whether the state of a list is full (RFC 4662 §5.2).
fn is_whole_list(media: &MediaType<'_>, body: &[u8]) -> Result<bool, Reject> {
    const BAD: Reject = Reject::Bad("Bad Resource List State");
    let parts = multipart::parse(media, body, MOST_PARTS).map_err(|_| BAD)?;
    let root = multipart::root(media, &parts).map_err(|_| BAD)?;
    let root = parts.get(root).ok_or(BAD)?;
    let is_rlmi = root
        .media_type()
        .is_some_and(|media| media.is("application", "rlmi+xml"));
    if !is_rlmi || !root.is_plain() {
        return Err(BAD);
    }
    let document = parse(root.body)?;
    let list = document.root_element();
    if !list.has_tag_name((RLMI, "list")) {
        return Err(BAD);
    }
    match list.attribute("fullState") {
        Some("true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        _ => Err(BAD),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(package: &str, media_type: &str, body: &str, lists: bool) -> Result<bool, u16> {
        match read(package, Some(media_type), body.as_bytes(), lists) {
            Ok(Told::State(content)) => {
                assert_eq!(content.bytes, body.as_bytes(), "taken as it is");
                Ok(true)
            }
            Ok(_) => Ok(false),
            Err(reject) => Err(reject.status().0),
        }
    }

    fn list(full: &str) -> String {
        format!(
            "--b\r\nContent-Type: application/rlmi+xml\r\nContent-ID: <r@b>\r\n\r\n\
             <list xmlns=\"{RLMI}\" uri=\"sip:l@b.test\" version=\"3\" fullState=\"{full}\"/>\r\n--b--\r\n"
        )
    }

    #[test]
    fn only_whole_state_of_the_package_is_taken() {
        let related = "multipart/related;boundary=b;type=\"application/rlmi+xml\"";
        let winfo = "application/watcherinfo+xml";
        let pidf = "application/pidf+xml";
        for (case, package, media_type, body, lists, outcome) in [
            ("a document", "presence", pidf, "<p/>", false, Ok(true)),
            ("nothing", "presence", "", "", false, Ok(false)),
            ("no XML", "presence", pidf, "<p>", false, Err(400)),
            (
                "a document type",
                "presence",
                pidf,
                "<!DOCTYPE p><p/>",
                false,
                Err(400),
            ),
            (
                "another type",
                "presence",
                "text/plain",
                "p",
                false,
                Err(415),
            ),
            ("no type", "presence", "", "<p/>", false, Err(415)),
            (
                "of another package",
                "presence",
                winfo,
                "<w/>",
                false,
                Err(415),
            ),
            (
                "all watchers",
                "presence.winfo",
                winfo,
                "<w state=\"full\"/>",
                false,
                Ok(true),
            ),
            (
                "some watchers",
                "presence.winfo",
                winfo,
                "<w state=\"partial\"/>",
                false,
                Ok(false),
            ),
            (
                "a list where none is wanted",
                "presence",
                related,
                &list("true"),
                false,
                Err(415),
            ),
            (
                "a whole list",
                "presence",
                related,
                &list("true"),
                true,
                Ok(true),
            ),
            (
                "a change of a list",
                "presence",
                related,
                &list("0"),
                true,
                Ok(false),
            ),
            (
                "a list that does not say which",
                "presence",
                related,
                &list("?"),
                true,
                Err(400),
            ),
            ("no parts", "presence", related, "x", true, Err(400)),
        ] {
            assert_eq!(told(package, media_type, body, lists), outcome, "{case}");
        }
    }
}
