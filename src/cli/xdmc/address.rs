//! Where a resource is: from the readable path that a person writes to the URI of a request (RFC 4825 §6).

use crate::cli::terminal::line;
use crate::cli::{Exit, Failure};
use hyper::Uri;
use ims::sip::Aor;
use ims::sip::text::hex;

/// What parts the document selector from the node selector.
const NODE: &str = "/~~/";

/// A prefix for the steps of a node selector: `p=urn:ietf:params:xml:ns:pres-rules`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    prefix: String,
    uri: String,
}

impl Binding {
    /// Reads an argument.
    pub fn parse(text: &str) -> Result<Binding, String> {
        let named = text.split_once('=').filter(|(prefix, uri)| {
            let name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
            !uri.is_empty() && !prefix.is_empty() && prefix.chars().all(name)
        });
        let (prefix, uri) =
            named.ok_or("expected PREFIX=URI, as in pr=urn:ietf:params:xml:ns:pres-rules")?;
        Ok(Binding {
            prefix: prefix.to_owned(),
            uri: uri.to_owned(),
        })
    }

    /// One part of the query, RFC 4825 §6.4: the `xmlns()` scheme of XPointer, in which a circumflex escapes.
    fn write(&self, out: &mut String) {
        let mut data = String::new();
        for c in self.uri.chars() {
            if matches!(c, '(' | ')' | '^') {
                data.push('^');
            }
            data.push(c);
        }
        let whole = format!("xmlns({}={data})", self.prefix);
        for byte in whole.bytes() {
            push(out, byte, |b| is_pchar(b) || b == b'/');
        }
    }
}

/// The address of a resource. What cannot stand in a URI is escaped; what is escaped already stays.
pub fn url(root: &str, path: &str, bindings: &[Binding]) -> Result<Uri, Failure> {
    let whole = match path.contains("://") && path.starts_with("http") {
        true => path.to_owned(),
        false => format!(
            "{}/{}",
            root.trim_end_matches('/'),
            path.trim_start_matches('/')
        ),
    };
    let (path, query) = parted(&whole);
    let mut out = escaped(path, |b| is_pchar(b) || b == b'/');
    if query.is_some() || !bindings.is_empty() {
        out.push('?');
    }
    out += &escaped(query.unwrap_or(""), |b| {
        is_pchar(b) || matches!(b, b'/' | b'?')
    });
    for binding in bindings {
        binding.write(&mut out);
    }
    out.parse().map_err(|error| {
        let message = format!("{whole}: no address ({error})");
        Failure::new(Exit::Failed, line(&message))
    })
}

/// Path and query. A question mark between the quotes of a node selector belongs to the value.
fn parted(whole: &str) -> (&str, Option<&str>) {
    let node = whole.find(NODE).unwrap_or(whole.len());
    let mut quote = None;
    for (at, c) in whole.char_indices() {
        match (c, quote) {
            ('?', None) => return (&whole[..at], whole.get(at + 1..)),
            ('"' | '\'', None) if at > node => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            _ => {}
        }
    }
    (whole, None)
}

/// RFC 3986 §3.3.
fn is_pchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte)
}

fn push(out: &mut String, byte: u8, stays: impl Fn(u8) -> bool) {
    match stays(byte) {
        true => out.push(char::from(byte)),
        false => *out += &format!("%{byte:02X}"),
    }
}

fn escaped(text: &str, stays: impl Fn(u8) -> bool) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    for (at, &byte) in bytes.iter().enumerate() {
        let pair = (bytes.get(at + 1), bytes.get(at + 2));
        let is_escape = byte == b'%'
            && matches!(pair, (Some(high), Some(low)) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit());
        push(&mut out, byte, |b| is_escape || stays(b));
    }
    out
}

/// A text as a segment of a path, with everything escaped that has a meaning there.
pub fn segment(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        push(&mut out, byte, |b| is_pchar(b) && b != b';');
    }
    out
}

/// The user whose tree a path is in: the segment after `users`.
pub fn owner(path: &str) -> Option<Aor> {
    let mut segments = path.split('/').skip_while(|segment| *segment != "users");
    let user = segments.nth(1)?;
    let user = user.split('?').next().unwrap_or(user);
    Aor::parse(&decoded(user)?)
}

/// A text without percent-encoding.
pub fn decoded(text: &str) -> Option<String> {
    let text = text.as_bytes();
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let pair = (
            text.get(at + 1).copied().and_then(hex),
            text.get(at + 2).copied().and_then(hex),
        );
        match (byte, pair) {
            (b'%', (Some(high), Some(low))) => {
                bytes.push(high * 16 + low);
                at += 3;
            }
            _ => {
                bytes.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

/// What a path selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Document,
    Element,
    Attribute,
    /// Namespace bindings in scope of an element: read only (RFC 4825 §7.10).
    Bindings,
}

impl Kind {
    /// By the last step of the node selector, RFC 4825 §6.3.
    pub fn of(path: &str) -> Kind {
        let (path, _) = parted(path);
        let Some((_, node)) = path.split_once(NODE) else {
            return Kind::Document;
        };
        let step = last_step(node);
        let step = decoded(step).unwrap_or_else(|| step.to_owned());
        match step.as_str() {
            "namespace::*" => Kind::Bindings,
            step if step.starts_with('@') => Kind::Attribute,
            _ => Kind::Element,
        }
    }

    /// In a sentence.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Document => "document",
            Kind::Element => "element",
            Kind::Attribute => "attribute",
            Kind::Bindings => "element whose namespace bindings are asked for",
        }
    }
}

/// The text behind the last slash that is not between quotes.
fn last_step(node: &str) -> &str {
    let (mut start, mut quote) = (0, None);
    for (at, c) in node.char_indices() {
        match (c, quote) {
            ('/', None) => start = at + 1,
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            _ => {}
        }
    }
    &node[start..]
}

/// Types of documents by application usage: those of this server, of OMA's enablers and of TS 24.623.
const TYPES: [(&str, &str); 12] = [
    ("pres-rules", "application/auth-policy+xml"),
    (
        "org.openmobilealliance.pres-rules",
        "application/auth-policy+xml",
    ),
    (
        "org.openmobilealliance.policy",
        "application/auth-policy+xml",
    ),
    ("resource-lists", "application/resource-lists+xml"),
    ("rls-services", "application/rls-services+xml"),
    ("pidf-manipulation", "application/pidf+xml"),
    ("xcap-caps", "application/xcap-caps+xml"),
    (
        "org.openmobilealliance.xcap-directory",
        "application/vnd.oma.xcap-directory+xml",
    ),
    (
        "org.openmobilealliance.group-usage-list",
        "application/vnd.oma.group-usage-list+xml",
    ),
    (
        "org.openmobilealliance.user-profile",
        "application/vnd.oma.user-profile+xml",
    ),
    (
        "org.openmobilealliance.pres-content",
        "application/vnd.oma.pres-content+xml",
    ),
    ("simservs.ngn.etsi.org", "application/vnd.etsi.simservs+xml"),
];

/// The type of what is put at a path: by node selector (RFC 4825 §8.2.2) or application usage.
pub fn media_type(path: &str) -> Option<&'static str> {
    match Kind::of(path) {
        Kind::Element => return Some("application/xcap-el+xml"),
        Kind::Attribute => return Some("application/xcap-att+xml"),
        Kind::Bindings => return Some("application/xcap-ns+xml"),
        Kind::Document => {}
    }
    let usage = path
        .split('/')
        .rev()
        .skip_while(|segment| !matches!(*segment, "users" | "global"))
        .nth(1)?;
    let named = TYPES.iter().find(|(auid, _)| *auid == usage);
    named.map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_an_address() {
        for (root, path, want) in [
            (
                "http://h/xcap-root",
                "pres-rules/users/sip:bob@ims.test/index",
                "http://h/xcap-root/pres-rules/users/sip:bob@ims.test/index",
            ),
            (
                "http://h:8080/xcap-root/",
                "/a/global/b",
                "http://h:8080/xcap-root/a/global/b",
            ),
            (
                "http://h",
                "a/b c/~~/ruleset/rule[@id=\"1\"]",
                "http://h/a/b%20c/~~/ruleset/rule%5B@id=%221%22%5D",
            ),
            (
                "http://h",
                "a/sip%3abob@x?xmlns(p=urn:x)",
                "http://h/a/sip%3abob@x?xmlns(p=urn:x)",
            ),
            (
                "http://h",
                "a/d/~~/l/e[@uri=\"sip:a@x?b\"]?xmlns(p=urn:x)",
                "http://h/a/d/~~/l/e%5B@uri=%22sip:a@x%3Fb%22%5D?xmlns(p=urn:x)",
            ),
            ("http://h", "a/100%/50%zz", "http://h/a/100%25/50%25zz"),
            ("http://h", "a/sip:é@x", "http://h/a/sip:%C3%A9@x"),
            ("http://h", "http://other/x", "http://other/x"),
        ] {
            assert_eq!(url(root, path, &[]).unwrap().to_string(), want, "{path}");
        }
    }

    #[test]
    fn prefixes_are_bound_in_the_query() {
        let bindings = |texts: &[&str]| -> Vec<Binding> {
            texts
                .iter()
                .map(|text| Binding::parse(text).unwrap())
                .collect()
        };
        for (given, path, want) in [
            (
                &["a=urn:x"][..],
                "d/~~/a:b",
                "http://h/d/~~/a:b?xmlns(a=urn:x)",
            ),
            (
                &["a=urn:x", "b=urn:y z"],
                "d/~~/a:b/b:c",
                "http://h/d/~~/a:b/b:c?xmlns(a=urn:x)xmlns(b=urn:y%20z)",
            ),
            (
                &["b=u(^)%41"],
                "d/~~/a?xmlns(a=x)",
                "http://h/d/~~/a?xmlns(a=x)xmlns(b=u%5E(%5E%5E%5E)%2541)",
            ),
        ] {
            assert_eq!(
                url("http://h", path, &bindings(given)).unwrap().to_string(),
                want
            );
        }
        for wrong in ["a", "=x", "a=", "a b=x"] {
            assert!(Binding::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_path_says_whose_it_is_and_what_type_it_has() {
        const RULES: &str = "application/auth-policy+xml";
        for (path, user, kind) in [
            (
                "pres-rules/users/sip:bob@ims.test/index",
                Some("sip:bob@ims.test"),
                Some(RULES),
            ),
            (
                "http://h/xcap-root/resource-lists/users/sip%3Abob@ims.test/index",
                Some("sip:bob@ims.test"),
                Some("application/resource-lists+xml"),
            ),
            (
                "pres-rules/users/tel:+361/index/~~/ruleset/rule%5b1%5d",
                Some("tel:+361"),
                Some("application/xcap-el+xml"),
            ),
            (
                "pres-rules/users/sip:b@x/index/~~/ruleset/rule/@id",
                Some("sip:b@x"),
                Some("application/xcap-att+xml"),
            ),
            (
                "resource-lists/users/sip:b@x/index/~~/resource-lists/list/external[@anchor=\"http://h/@x\"]",
                Some("sip:b@x"),
                Some("application/xcap-el+xml"),
            ),
            (
                "resource-lists/users/sip:b@x/index/~~/resource-lists/namespace::*",
                Some("sip:b@x"),
                Some("application/xcap-ns+xml"),
            ),
            ("pres-rules/global/index", None, Some(RULES)),
            ("own-usage/users/bob/doc", None, None),
        ] {
            assert_eq!(
                (owner(path).as_ref().map(Aor::as_str), media_type(path)),
                (user, kind),
                "{path}"
            );
        }
    }
}
