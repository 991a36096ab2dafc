//! URI equivalence for the components that rules name (RFC 5025 §3.3.1) and that composition joins. Where schemes
//! leave room, the stricter reading: a service or device is shown only when it surely is the one named.

use std::borrow::Cow;

/// One spelling for equivalent device URNs: those of a UUID compare without case (RFC 9562 §4).
pub(super) fn device(urn: &str) -> Cow<'_, str> {
    const UUID: &str = "urn:uuid:";
    match urn.get(..UUID.len()) {
        Some(prefix) if prefix.eq_ignore_ascii_case(UUID) => urn.to_ascii_lowercase().into(),
        _ => urn.into(),
    }
}

/// Equivalent, by the rules of the scheme where this server knows them, else by bytes.
pub(super) fn equivalent(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    let (Some((scheme, a)), Some((other, b))) = (a.split_once(':'), b.split_once(':')) else {
        return false;
    };
    if !scheme.eq_ignore_ascii_case(other) {
        return false;
    }
    match scheme.to_ascii_lowercase().as_str() {
        "sip" | "sips" | "pres" | "im" | "mailto" => mailbox(a, b),
        "tel" => telephone(a, b),
        "urn" => urn(a, b),
        _ => a == b,
    }
}

/// The user compares by case, the host does not; parameters and headers are taken as they are.
fn mailbox(a: &str, b: &str) -> bool {
    let split = |uri: &str| {
        let host = uri.find('@').map_or(0, |at| at + 1);
        let end = uri[host..]
            .find([';', '?', '>'])
            .map_or(uri.len(), |at| host + at);
        (host, end)
    };
    let ((host_a, end_a), (host_b, end_b)) = (split(a), split(b));
    a[..host_a] == b[..host_b]
        && a[host_a..end_a].eq_ignore_ascii_case(&b[host_b..end_b])
        && a[end_a..] == b[end_b..]
}

/// RFC 3966 §4: visual separators mean nothing.
fn telephone(a: &str, b: &str) -> bool {
    let split = |uri: &'_ str| uri.find(';').unwrap_or(uri.len());
    let digits = |text: &str| {
        text.chars()
            .filter(|c| !matches!(c, '-' | '.' | '(' | ')'))
            .collect::<String>()
    };
    let ((number_a, rest_a), (number_b, rest_b)) = (a.split_at(split(a)), b.split_at(split(b)));
    digits(number_a) == digits(number_b) && rest_a.eq_ignore_ascii_case(rest_b)
}

/// RFC 8141 §3.1: the namespace id without case; a UUID without case, too (RFC 9562 §4).
fn urn(a: &str, b: &str) -> bool {
    let (Some((nid_a, a)), Some((nid_b, b))) = (a.split_once(':'), b.split_once(':')) else {
        return false;
    };
    nid_a.eq_ignore_ascii_case(nid_b)
        && (a == b || (nid_a.eq_ignore_ascii_case("uuid") && a.eq_ignore_ascii_case(b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equivalence_by_scheme() {
        for (case, a, b, same) in [
            (
                "host and scheme without case",
                "sip:bob@Home1.test",
                "SIP:bob@home1.TEST",
                true,
            ),
            (
                "user with case",
                "sip:Bob@home1.test",
                "sip:bob@home1.test",
                false,
            ),
            (
                "schemes never equal each other",
                "sip:bob@home1.test",
                "sips:bob@home1.test",
                false,
            ),
            (
                "a parameter makes another URI",
                "sip:bob@home1.test;gr=1",
                "sip:bob@home1.test",
                false,
            ),
            (
                "separators in a number",
                "tel:+1-201-555-0123",
                "tel:+12015550123",
                true,
            ),
            (
                "context of a number",
                "tel:0123;phone-context=a.test",
                "tel:0123;phone-context=b.test",
                false,
            ),
            (
                "hex digits of a UUID",
                "urn:uuid:48662E19-5FBF",
                "URN:UUID:48662e19-5fbf",
                true,
            ),
            ("other URNs by bytes", "urn:x:A", "urn:x:a", false),
            ("no scheme", "bob", "BOB", false),
        ] {
            assert_eq!(equivalent(a, b), same, "{case}");
        }
    }
}
