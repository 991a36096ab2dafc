//! `Content-Type` of a document (RFC 9110 §8.3, RFC 7303 §3).

/// An element of a document (RFC 4825 §15.2.1).
pub const ELEMENT: &str = "application/xcap-el+xml";

/// The value of an attribute, in quotes (§15.2.2).
pub const ATTRIBUTE: &str = "application/xcap-att+xml";

/// The namespace bindings in scope of an element (§15.2.3).
pub const NAMESPACES: &str = "application/xcap-ns+xml";

/// What a `Content-Type` says of the body it comes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// The expected type, in UTF-8 or silent on the encoding.
    Expected,
    /// The expected type with a charset other than UTF-8, which RFC 7303 §3.2 makes authoritative.
    OtherCharset,
    /// Another type, or no type.
    Other,
}

/// Compares a `Content-Type` with the type that an application usage has. Parameters but `charset` say nothing here.
pub fn compare(content_type: Option<&str>, expected: &str) -> Media {
    let Some(content_type) = content_type else {
        return Media::Other;
    };
    let mut parts = content_type.split(';');
    if !parts
        .next()
        .unwrap_or_default()
        .trim()
        .eq_ignore_ascii_case(expected)
    {
        return Media::Other;
    }
    let charset = parts
        .filter_map(|part| part.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    match charset {
        Some((_, value)) if !value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8") => {
            Media::OtherCharset
        }
        _ => Media::Expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_decides_and_the_charset_counts() {
        for (content_type, expected) in [
            (Some("application/auth-policy+xml"), Media::Expected),
            (
                Some("Application/Auth-Policy+XML ; charset=\"UTF-8\""),
                Media::Expected,
            ),
            (
                Some("application/auth-policy+xml;charset=utf-8;x=y"),
                Media::Expected,
            ),
            (
                Some("application/auth-policy+xml;x=\"charset\""),
                Media::Expected,
            ),
            (
                Some("application/auth-policy+xml; Charset=iso-8859-1"),
                Media::OtherCharset,
            ),
            (Some("application/xml"), Media::Other),
            (Some("application/auth-policy+xmlx"), Media::Other),
            (Some("application/xcap-el+xml"), Media::Other),
            (Some(""), Media::Other),
            (None, Media::Other),
        ] {
            assert_eq!(
                compare(content_type, "application/auth-policy+xml"),
                expected,
                "{content_type:?}"
            );
        }
    }
}
