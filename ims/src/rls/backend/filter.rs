//! The filters of a list subscription that a member is to apply (RFC 4660 §4.1).

use crate::sip::Aor;
use crate::xml::guard;
use crate::xml::text::escaped;
use roxmltree::Node;
use std::ops::Range;
use std::sync::Arc;

const NAMESPACE: &str = "urn:ietf:params:xml:ns:simple-filter";
pub(super) const MEDIA_TYPE: &str = "application/simple-filter+xml";

/// For whom a filter is.
#[derive(Debug, PartialEq, Eq)]
enum Aim {
    /// For the list, hence for each member: the attribute, if there is one, is to name the member.
    List,
    Member,
    /// Somebody else.
    Other,
}

/// The document for one member, or `None` where nothing in it is for him: what is for the list, and what is for him.
/// `lists`: the member may be a list, and takes what is for others of its domain.
pub(super) fn for_member(
    document: &[u8],
    list: &str,
    member: &Aor,
    lists: bool,
) -> Option<Arc<[u8]>> {
    let tree = guard::parse(document, &guard::Limits::default()).ok()?;
    let root = tree.root_element();
    let list = Aor::parse(list);
    let mut cuts: Vec<(Range<usize>, String)> = Vec::new();
    let mut kept = 0usize;
    for filter in root.children().filter(|node| is_filter(*node)) {
        match aim(filter, list.as_ref(), member, lists) {
            Aim::Other => cuts.push((filter.range(), String::new())),
            Aim::Member => kept += 1,
            Aim::List => {
                kept += 1;
                let mut named = filter.attributes();
                let named = named.find(|a| a.namespace().is_none() && a.name() == "uri");
                cuts.extend(named.map(|a| (a.range_value(), escaped(member.as_str()))));
            }
        }
    }
    (kept > 0).then(|| spliced(document, &cuts))
}

fn is_filter(node: Node<'_, '_>) -> bool {
    node.has_tag_name((NAMESPACE, "filter"))
}

fn aim(filter: Node<'_, '_>, list: Option<&Aor>, member: &Aor, lists: bool) -> Aim {
    if let Some(domain) = filter.attribute("domain") {
        let fits = domain.eq_ignore_ascii_case(member.host());
        return if fits { Aim::Member } else { Aim::Other };
    }
    let Some(uri) = filter.attribute("uri") else {
        return Aim::List;
    };
    match Aor::parse(uri) {
        named if named.is_some() && named.as_ref() == list => Aim::List,
        Some(named) if named == *member => Aim::Member,
        Some(named) if lists && !named.is_tel() && named.host() == member.host() => Aim::Member,
        _ => Aim::Other,
    }
}

/// The document with these ranges, in their order, replaced.
fn spliced(document: &[u8], cuts: &[(Range<usize>, String)]) -> Arc<[u8]> {
    let mut bytes = Vec::with_capacity(document.len());
    let mut from = 0;
    for (range, instead) in cuts {
        bytes.extend_from_slice(document.get(from..range.start).unwrap_or_default());
        bytes.extend_from_slice(instead.as_bytes());
        from = range.end;
    }
    bytes.extend_from_slice(document.get(from..).unwrap_or_default());
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(filters: &str, lists: bool) -> Option<String> {
        let document = format!("<filter-set xmlns=\"{NAMESPACE}\">{filters}</filter-set>");
        let member = Aor::parse("sip:bob@b.test").unwrap();
        let bytes = for_member(document.as_bytes(), "sip:friends@ims.test", &member, lists)?;
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let inner = text
            .strip_prefix(&format!("<filter-set xmlns=\"{NAMESPACE}\">"))
            .unwrap();
        Some(inner.strip_suffix("</filter-set>").unwrap().to_owned())
    }

    #[test]
    fn a_member_is_told_what_is_for_the_list_and_what_is_for_him() {
        let for_all = r#"<filter id="1"><what/></filter>"#;
        let for_bob = r#"<filter id="2" uri="sip:bob@b.test"/>"#;
        let for_carol = r#"<filter id="3" uri="sip:carol@b.test"/>"#;
        for (case, filters, lists, wanted) in [
            ("without a URI", for_all, false, Some(for_all)),
            ("of the member", for_bob, false, Some(for_bob)),
            (
                "of the list by its name",
                r#"<filter id="4" uri='SIP:friends@IMS.test'/>"#,
                false,
                Some(r#"<filter id="4" uri='sip:bob@b.test'/>"#),
            ),
            ("of another member", for_carol, false, None),
            (
                "of somebody at a server of lists",
                for_carol,
                true,
                Some(for_carol),
            ),
            (
                "of the member's domain",
                r#"<filter id="5" domain="B.test"/>"#,
                false,
                Some(r#"<filter id="5" domain="B.test"/>"#),
            ),
            (
                "of another domain",
                r#"<filter id="6" domain="c.test"/>"#,
                false,
                None,
            ),
            ("none", "", false, None),
        ] {
            assert_eq!(split(filters, lists).as_deref(), wanted, "{case}");
        }
        let all = format!("{for_carol}{for_all}\n{for_bob}");
        let some = format!("{for_all}\n{for_bob}");
        assert_eq!(
            split(&all, false),
            Some(some),
            "those of others are cut out"
        );
    }

    #[test]
    fn what_does_not_read_is_no_filter() {
        let member = Aor::parse("sip:bob@b.test").unwrap();
        assert_eq!(
            for_member(b"<filter-set", "sip:l@ims.test", &member, false),
            None
        );
    }
}
