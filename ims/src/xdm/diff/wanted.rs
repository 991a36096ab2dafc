//! What a SUBSCRIBE asks to be told of: the URIs of its list (RFC 5875 §4.4), or what an `Event` of the time before it
//! names.

use crate::reject::Reject;
use crate::sip::Aor;
use crate::sip::header::event::Event;
use crate::sip::text::unquote;
use crate::xml::guard::{self, Limits};
use serde::{Deserialize, Serialize};

/// Media type of the list.
pub const LIST_TYPE: &str = "application/resource-lists+xml";
/// Its namespace (RFC 4826 §3.2).
const LISTS: &str = "urn:ietf:params:xml:ns:resource-lists";
/// Longest list, in bytes: hundreds of URIs.
const LONGEST: usize = 64 * 1024;
/// Longest value of an `Event` parameter that is looked at.
const PARAMETER: usize = 1024;

/// The event packages that tell of documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Package {
    /// RFC 5875.
    #[default]
    XcapDiff,
    /// Its name before, and the one of OMA XDM 1.0 and 1.1.
    UaProfile,
    /// An older name of that.
    SipProfile,
}

impl Package {
    /// The package of this name (RFC 6665 §8.2.1: case counts).
    pub fn named(name: &str) -> Option<Package> {
        let all = [Package::XcapDiff, Package::UaProfile, Package::SipProfile];
        all.into_iter().find(|package| package.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Package::XcapDiff => "xcap-diff",
            Package::UaProfile => "ua-profile",
            Package::SipProfile => "sip-profile",
        }
    }
}

/// What a subscription is about, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wanted {
    /// These URIs, as the subscriber wrote them.
    Uris(Vec<Box<str>>),
    /// Every document of this user.
    Home(Box<str>),
}

impl Wanted {
    /// The list in a body: the entries of its flat lists (RFC 5875 §4.4). Nested lists and references are not followed,
    /// and what is not understood is left out.
    pub fn list(body: &[u8], most: usize) -> Result<Wanted, Reject> {
        let limits = Limits {
            bytes: LONGEST,
            ..Limits::default()
        };
        if body.len() > LONGEST {
            return Err(Reject::TooLarge);
        }
        let bad = Reject::Bad("Bad Resource List");
        let document = guard::parse(body, &limits).map_err(|_| bad.clone())?;
        let root = document.root_element();
        if !root.has_tag_name((LISTS, "resource-lists")) {
            return Err(bad);
        }
        let lists = root.children().filter(|n| n.has_tag_name((LISTS, "list")));
        let entries = lists.flat_map(|list| {
            let children = list.children();
            children.filter(|n| n.has_tag_name((LISTS, "entry")))
        });
        let mut uris: Vec<Box<str>> = Vec::new();
        for uri in entries.filter_map(|entry| entry.attribute("uri")) {
            if uris.len() >= most {
                return Err(Reject::NotAcceptableHere {
                    why: format!("more than {most} resources").into(),
                });
            }
            // said twice it is told once (RFC 5875 §4.7)
            if !uris.iter().any(|known| **known == *uri) {
                uris.push(uri.into());
            }
        }
        Ok(Wanted::Uris(uris))
    }

    /// What the parameters of `Event` name. `owner`: whose documents they are relative to.
    ///
    /// `auid` (or `app-id`, as some drafts have it) is an application usage; `document` one of its documents, relative
    /// to the owner's tree, to the XCAP root, or absolute. Without a document it is every document of the owner in that
    /// usage. `None`: nothing is named.
    pub fn parameters(
        package: Package,
        event: &Event<'_>,
        owner: Option<&Aor>,
    ) -> Result<Option<Wanted>, Reject> {
        let value = |name: &str| {
            let value = event.params.value(name).map(unquote);
            value.filter(|value| !value.is_empty() && value.len() <= PARAMETER)
        };
        let old = package != Package::XcapDiff;
        let kind = value("profile-type");
        if old && !kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application")) {
            return Err(Reject::BadEvent); // profiles of devices and users are not kept here
        }
        let (auid, document) = (value("auid").or_else(|| value("app-id")), value("document"));
        let missing = Reject::Bad("Event Without auid");
        let absolute = document.as_deref().filter(|text| text.contains("://"));
        if let Some(uri) = absolute {
            return Ok(Some(Wanted::Uris(vec![uri.into()])));
        }
        let uri = match (auid.as_deref(), document.as_deref()) {
            (None, None) if old => return Err(missing),
            (None, None) => return Ok(None),
            (None, Some(path)) if path.contains('/') => path.to_owned(),
            (None, Some(_)) => return Err(missing),
            (Some(auid), Some(path)) if below(path, auid) => path.to_owned(),
            (Some(auid), path) => {
                let owner = owner.ok_or(Reject::NotFound)?;
                let path = path.unwrap_or_default().trim_start_matches('/');
                format!("{auid}/users/{owner}/{path}")
            }
        };
        Ok(Some(Wanted::Uris(vec![uri.into()])))
    }
}

/// Whether a path is one from the XCAP root, below this usage.
fn below(path: &str, auid: &str) -> bool {
    let rest = path.trim_start_matches('/').strip_prefix(auid);
    rest.is_some_and(|rest| rest.starts_with("/users/") || rest.starts_with("/global/"))
}
