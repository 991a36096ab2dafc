//! What the node reads of a request's headers, typed, with the refusal where they are wrong.

use crate::event::notice::Answer;
use crate::event::publication::Etag;
use crate::event::tag::Condition;
use crate::presence::service::{BodyType, Package, Wishes};
use crate::presence::{filter, partial, pidf};
use crate::reject::Reject;
use crate::rls::list::contained::OPTION_TAG;
use crate::rls::service::EVENTLIST;
use crate::rls::{body, rlmi};
use crate::sip::coding::{Coding, Fault};
use crate::sip::header::accept::Accept;
use crate::sip::header::address::NameAddr;
use crate::sip::header::event::Event;
use crate::sip::header::expires as expiry;
use crate::sip::header::media_type::MediaType;
use crate::sip::header::option_tags::OptionTags;
use crate::sip::header::rate::Rates;
use crate::sip::header::retry_after as pause;
use crate::sip::header::sip_etag;
use crate::sip::{Headers, Name, Request, Response};
use crate::time::Seconds;
use crate::xdm::diff;
use std::borrow::Cow;

/// The event packages that are served. Watcher information of watcher information is not announced: only the
/// presentity itself gets it, where the operator allows it.
pub const ALLOW_EVENTS: &str = "presence, presence.winfo, xcap-diff, ua-profile";
/// Longest display name kept of a watcher, in characters; a longer one is dropped, not cut.
const LONGEST_NAME: usize = 128;
/// The methods that are served.
pub const ALLOW: &str = "OPTIONS, PUBLISH, SUBSCRIBE, NOTIFY, REGISTER, CANCEL";

/// `Expires` in seconds, if there is one.
pub fn expires(headers: &Headers<'_>) -> Result<Option<Seconds>, Reject> {
    let Some(text) = headers.get(Name::Expires) else {
        return Ok(None);
    };
    let one = headers.count(Name::Expires) == 1;
    expiry::parse(text)
        .filter(|_| one)
        .map(Some)
        .ok_or(Reject::Bad("Bad Expires"))
}

/// What the final response to a NOTIFY says.
pub fn answer(response: &Response<'_>) -> Answer {
    let event = response.headers.get(Name::Event).and_then(Event::parse);
    let event = event.filter(|event| Package::named(event.package).is_some());
    Answer {
        status: response.status,
        // one that does not parse is none
        retry_after: response
            .headers
            .get(Name::RetryAfter)
            .and_then(pause::parse),
        rates: event.and_then(|event| Rates::parse(&event.params)),
    }
}

/// The packages to which a SUBSCRIBE may come, by the service that tells of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subscribed {
    Presence(Package),
    Documents(diff::Package),
}

/// The `Event` of a request for a package of presence (RFC 3903 §6, step 2).
pub fn event<'a>(request: &Request<'a>) -> Result<(Package, Event<'a>), Reject> {
    match subscribed_event(request)? {
        (Subscribed::Presence(package), event) => Ok((package, event)),
        (Subscribed::Documents(_), _) => Err(Reject::BadEvent),
    }
}

/// The `Event` of a request for a package that is served (RFC 6665 §8.2.1).
pub fn subscribed_event<'a>(request: &Request<'a>) -> Result<(Subscribed, Event<'a>), Reject> {
    let text = request.headers.get(Name::Event).ok_or(Reject::BadEvent)?;
    if request.headers.count(Name::Event) > 1 {
        return Err(Reject::Bad("More Than One Event"));
    }
    let event = Event::parse(text).ok_or(Reject::BadEvent)?;
    let presence = Package::named(event.package).map(Subscribed::Presence);
    let documents = || diff::Package::named(event.package).map(Subscribed::Documents);
    let package = presence.or_else(documents).ok_or(Reject::BadEvent)?;
    Ok((package, event))
}

/// The name under which the network asserts the caller, if it says one (RFC 3325 §9.1).
pub fn display_name(request: &Request<'_>) -> Option<String> {
    let mut values = request.headers.values(Name::PAssertedIdentity);
    let name = values.find_map(|value| NameAddr::parse(value)?.display());
    let fits = |name: &Cow<'_, str>| !name.is_empty() && name.chars().count() <= LONGEST_NAME;
    name.filter(fits).map(Cow::into_owned)
}

/// Extensions of SUBSCRIBE (RFC 4662 §4.1, RFC 5367 §9.2), and what OPTIONS says of them.
pub const LIST_OPTIONS: &[&str] = &[EVENTLIST, OPTION_TAG];
pub const SUPPORTED: &str = "eventlist, recipient-list-subscribe";

/// RFC 3261 §8.2.2.3: extensions that a request demands and that are not supported.
pub fn require(request: &Request<'_>) -> Result<(), Reject> {
    require_beside(request, &[])
}

/// The same where these are supported.
pub fn require_beside(request: &Request<'_>, supported: &[&str]) -> Result<(), Reject> {
    let known = |tag: &&str| {
        supported
            .iter()
            .any(|known| tag.eq_ignore_ascii_case(known))
    };
    let unsupported: Vec<&str> = OptionTags::parse(&request.headers, Name::Require)
        .filter(|tag| !known(tag))
        .collect();
    if unsupported.is_empty() {
        Ok(())
    } else {
        Err(Reject::BadExtension(unsupported.join(", ")))
    }
}

/// The body out of its coding (RFC 3261 §8.2.3), of `limit` bytes at most before and after.
pub fn body<'a>(request: &'a Request<'a>, limit: usize) -> Result<Cow<'a, [u8]>, Reject> {
    let body = request.body;
    if body.is_empty() {
        return Ok(Cow::Borrowed(body));
    }
    let coding = Coding::of(&request.headers).map_err(refused)?;
    match coding {
        _ if body.len() > limit => Err(Reject::TooLarge),
        None => Ok(Cow::Borrowed(body)),
        Some(coding) => coding.decode(body, limit).map(Cow::Owned).map_err(refused),
    }
}

/// What a body in a coding that is not taken, or that is not what it says, is answered with.
fn refused(fault: Fault) -> Reject {
    match fault {
        Fault::Unknown => Reject::UnsupportedEncoding,
        Fault::TooLarge => Reject::TooLarge,
        Fault::Broken => Reject::Bad("Bad Content-Encoding"),
    }
}

/// The filter in a SUBSCRIBE (RFC 4660 §5.2). A body of another type is refused, unless it says that it may be ignored
/// (RFC 3261 §8.2.3); so is a filter of watcher information, which is all or the watcher's own.
pub fn filter<'b>(
    request: &Request<'_>,
    package: Package,
    body: &'b [u8],
) -> Result<Option<&'b [u8]>, Reject> {
    let media_type = request.headers.get(Name::ContentType);
    filter_of(request, package, media_type.unwrap_or_default(), body)
}

/// The same for a body of this type, which may be a part of that of the request.
pub fn filter_of<'b>(
    request: &Request<'_>,
    package: Package,
    media_type: &str,
    body: &'b [u8],
) -> Result<Option<&'b [u8]>, Reject> {
    let is_filter =
        MediaType::parse(media_type).is_some_and(|m| m.is("application", "simple-filter+xml"));
    let takes_filters = package == Package::Presence;
    if is_filter && takes_filters && !body.is_empty() {
        return Ok(Some(body));
    }
    if body.is_empty() || may_be_ignored(request) {
        Ok(None)
    } else {
        let accept = if takes_filters {
            filter::MEDIA_TYPE
        } else {
            ""
        };
        Err(Reject::UnsupportedMedia { accept })
    }
}

/// Whether there is a body, and of the type that is taken. One of another type is refused, unless it says that it may be
/// ignored.
pub fn is_of_type(request: &Request<'_>, body: &[u8], taken: &'static str) -> Result<bool, Reject> {
    let media_type = request.headers.get(Name::ContentType);
    let (kind, subtype) = taken.split_once('/').unwrap_or((taken, ""));
    let fits = media_type
        .and_then(MediaType::parse)
        .is_some_and(|m| m.is(kind, subtype));
    if body.is_empty() || !fits && may_be_ignored(request) {
        Ok(false)
    } else if fits {
        Ok(true)
    } else {
        Err(Reject::UnsupportedMedia { accept: taken })
    }
}

/// Whether a body that is not understood may be ignored (RFC 3261 §8.2.3).
fn may_be_ignored(request: &Request<'_>) -> bool {
    let disposition = request.headers.get(Name::ContentDisposition);
    disposition.is_some_and(|value| {
        let mut params = value.split(';').skip(1).filter_map(|p| p.split_once('='));
        params.any(|(name, value)| {
            name.trim().eq_ignore_ascii_case("handling")
                && value.trim().eq_ignore_ascii_case("optional")
        })
    })
}

/// What a SUBSCRIBE asks for besides plain state.
pub fn wishes(
    request: &Request<'_>,
    package: Package,
    event: &Event<'_>,
) -> Result<Wishes, Reject> {
    let condition = match package {
        Package::Presence => condition(request)?,
        // watcher information has no entity-tags, hence no conditions
        Package::Watchers | Package::WatchersOfWatchers => None,
    };
    let partial = package == Package::Presence && prefers_partial(request);
    Ok(Wishes {
        condition,
        rates: Rates::parse(&event.params).ok_or(Reject::Bad("Bad Event Rate"))?,
        coding: Coding::wanted(&request.headers),
        partial,
        counted: partial,
        objects: Accept::parse(&request.headers)
            .named("multipart/related")
            .is_some_and(|weight| weight > 0),
    })
}

/// `Suppress-If-Match` (RFC 5839 §7.2). A tag that was never one of ours matches nothing, which is no condition.
pub fn condition(request: &Request<'_>) -> Result<Option<Condition>, Reject> {
    let mut lines = request.headers.lines(Name::SuppressIfMatch);
    let tag = match (lines.next(), lines.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => sip_etag::parse(value),
        (Some(_), Some(_)) => None, // RFC 5839 §5.2: a single one
    };
    match tag {
        Some("*") => Ok(Some(Condition::Always)),
        Some(tag) => Ok(Etag::parse(tag).map(|tag| Condition::Tag(tag.0))),
        None => Err(Reject::Bad("Bad Suppress-If-Match")),
    }
}

/// What `Content-Type` says of the body of a PUBLISH; `None` when there is no such header.
pub fn body_type<'a>(request: &Request<'a>) -> Option<BodyType<'a>> {
    request.headers.get(Name::ContentType).map(BodyType::of)
}

/// Whether the subscriber takes documents of this type, which is the default one of its package.
pub fn accepts_type(request: &Request<'_>, media_type: &'static str) -> Result<(), Reject> {
    let accept = Accept::parse(&request.headers);
    match !accept.is_present() || accept.accepts(media_type) {
        true => Ok(()),
        false => Err(Reject::NotAcceptable { accept: media_type }),
    }
}

/// Whether the watcher takes the documents of the package: without `Accept` it must (RFC 3856 §6.7, RFC 3857 §4.5).
pub fn accepts(request: &Request<'_>, package: Package) -> Result<(), Reject> {
    let accept = Accept::parse(&request.headers);
    let partial = package == Package::Presence && prefers_partial(request);
    if !accept.is_present() || accept.accepts(package.media_type()) || partial {
        Ok(())
    } else {
        Err(Reject::NotAcceptable {
            accept: package.media_type(),
        })
    }
}

/// Whether the watcher takes what it is told of a list: "a client MUST include" both types (RFC 4662 §4.1) and those of
/// the package.
pub fn accepts_list(request: &Request<'_>, package: Package) -> Result<(), Reject> {
    let accept = Accept::parse(&request.headers);
    let list = accept.accepts(rlmi::MEDIA_TYPE) && accept.accepts(body::MEDIA_TYPE);
    if list && accepts(request, package).is_ok() {
        Ok(())
    } else {
        Err(Reject::NotAcceptable {
            accept: match package {
                Package::Presence => {
                    "multipart/related, application/rlmi+xml, application/pidf+xml"
                }
                Package::Watchers | Package::WatchersOfWatchers => {
                    "multipart/related, application/rlmi+xml, application/watcherinfo+xml"
                }
            },
        })
    }
}

/// Types of bodies of a SUBSCRIBE that may bring a list.
pub fn taken_with_list(package: Package) -> &'static str {
    match package {
        Package::Presence => {
            "application/simple-filter+xml, application/resource-lists+xml, multipart/mixed"
        }
        Package::Watchers | Package::WatchersOfWatchers => {
            "application/resource-lists+xml, multipart/mixed"
        }
    }
}

/// Whether the watcher names partial documents and weighs them no less than whole ones (RFC 5263 §4.1, §4.3). A range
/// such as `*/*` does not name them.
fn prefers_partial(request: &Request<'_>) -> bool {
    let accept = Accept::parse(&request.headers);
    let partial = accept.named(partial::MEDIA_TYPE).unwrap_or(0);
    partial > 0 && partial >= accept.weight(pidf::MEDIA_TYPE)
}
