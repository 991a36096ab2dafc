//! `Route`, `Record-Route`, `Path`, `Service-Route`: lists of addresses whose every octet matters to
//! whoever wrote them. Nothing is normalised: an `iscmark`, a doubled entry or an `r2=on` pair survives.

use crate::sip::header::address::NameAddr;
use crate::sip::message::Headers;
use crate::sip::name::Name;

/// One hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route<'a>(pub NameAddr<'a>);

impl<'a> Route<'a> {
    /// The grammar wants angle brackets, RFC 3261 §20.34.
    pub fn parse(element: &'a str) -> Option<Route<'a>> {
        element
            .contains('<')
            .then(|| NameAddr::parse(element))
            .flatten()
            .map(Route)
    }

    /// Text as it stood.
    pub fn as_str(&self) -> &'a str {
        self.0.as_str()
    }

    /// Whether the hop routes loosely (`lr`), RFC 3261 §16.4.
    pub fn is_loose(&self) -> bool {
        self.0.parsed_uri().is_some_and(|uri| uri.params.has("lr"))
    }
}

/// URI of one hop as it stands in `element`.
pub fn uri(element: &str) -> Option<&str> {
    Route::parse(element).map(|hop| hop.0.uri)
}

/// Every hop under `name` in order; `None` when one of them is no address.
pub fn list<'a>(headers: &Headers<'a>, name: Name) -> Option<Vec<Route<'a>>> {
    headers.values(name).map(Route::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::Line;

    #[test]
    fn hops_keep_order_repetition_and_opaque_parameters() {
        let line = |value| Line {
            name: Name::RecordRoute,
            text: "Record-Route",
            value,
        };
        let mark = "<sip:iscmark@scscf.ims.test:6060;lr;s=1;h=0;d=0;a=7369703a626f62>";
        let headers = Headers::new(vec![
            line("<sip:10.0.0.1;r2=on;lr>, \"x, y\" <sip:10.0.0.1;r2=on;lr>"),
            line(mark),
        ]);
        let Some(hops) = list(&headers, Name::RecordRoute) else {
            panic!("routes")
        };
        let texts: Vec<_> = hops.iter().map(Route::as_str).collect();
        assert_eq!(
            texts,
            [
                "<sip:10.0.0.1;r2=on;lr>",
                "\"x, y\" <sip:10.0.0.1;r2=on;lr>",
                mark
            ]
        );
        assert!(hops.iter().all(Route::is_loose));
        assert_eq!(Route::parse("<sip:a>").map(|r| r.is_loose()), Some(false));
        assert_eq!(Route::parse("sip:a;lr"), None);
    }
}
