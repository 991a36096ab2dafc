//! A conflict report in plain words (RFC 4825 §11).

use ims::xml::guard;
use ims::xml::{Document, Node};
use serde::Serialize;

/// What an XDMS says of a document that it does not store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// Name of the error element, such as `uniqueness-failure`.
    pub condition: String,
    /// What the server says in its own words.
    pub phrase: Option<String>,
    /// `no-parent`: the closest place above that does exist.
    pub ancestor: Option<String>,
    /// `uniqueness-failure`: what is taken, and what would be free.
    pub exists: Vec<Exists>,
}

/// A value that is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Exists {
    pub field: String,
    pub alternatives: Vec<String>,
}

/// Conditions and what they mean to whoever sent the request.
const MEANINGS: [(&str, &str); 11] = [
    (
        "schema-validation-error",
        "with this change the document would not be valid",
    ),
    (
        "not-xml-frag",
        "what was sent is not one XML element, which is what stands at this place",
    ),
    (
        "no-parent",
        "the document or element in which this is to stand does not exist",
    ),
    (
        "cannot-insert",
        "what was sent would not be found again under this path: name, position or attribute in the path and in the \
         element differ",
    ),
    (
        "cannot-delete",
        "after the removal this path would name the next one of the same kind; select it by an attribute",
    ),
    (
        "not-xml-att-value",
        "what was sent cannot stand in an attribute: < and & have to be written as &lt; and &amp;",
    ),
    ("not-well-formed", "what was sent is no XML"),
    ("not-utf-8", "what was sent is not in UTF-8"),
    (
        "uniqueness-failure",
        "a value that may be there once is there already",
    ),
    (
        "constraint-failure",
        "with this change the document would break a rule of its application usage",
    ),
    (
        "local-constraint-failure",
        "with this change the document would break a rule of this server",
    ),
];

impl Conflict {
    /// Reads the body of a 409.
    pub fn read(report: &[u8]) -> Option<Conflict> {
        let document = guard::parse(report, &guard::Limits::default()).ok()?;
        named(&document).map(|node| Conflict {
            condition: node.tag_name().name().to_owned(),
            phrase: node.attribute("phrase").map(str::to_owned),
            ancestor: children(&node, "ancestor").next().map(|a| text(&a)),
            exists: children(&node, "exists")
                .map(|exists| Exists {
                    field: exists.attribute("field").unwrap_or("").to_owned(),
                    alternatives: children(&exists, "alt-value").map(|a| text(&a)).collect(),
                })
                .collect(),
        })
    }

    /// In one sentence: the condition as the RFC names it, what it means, and what the server adds.
    pub fn told(&self) -> String {
        let meaning = MEANINGS.iter().find(|(name, _)| *name == self.condition);
        let mut out = self.condition.clone();
        if let Some((_, meaning)) = meaning {
            out += &format!(": {meaning}");
        }
        if let Some(phrase) = &self.phrase {
            out += &format!(". The server says: {phrase}");
        }
        if let Some(ancestor) = &self.ancestor {
            out += &format!(". What does exist: {ancestor}");
        }
        for exists in &self.exists {
            out += &format!(". Taken: {}", exists.field);
            if !exists.alternatives.is_empty() {
                out += &format!(" (free: {})", exists.alternatives.join(", "));
            }
        }
        out
    }
}

/// The element that names the conflict: below `xcap-error`, or in its extension element.
fn named<'a, 'i>(document: &'a Document<'i>) -> Option<Node<'a, 'i>> {
    let mut elements = document.descendants().filter(Node::is_element);
    let root = elements.next()?;
    if root.tag_name().name() != "xcap-error" {
        return None;
    }
    elements.find(|node| node.tag_name().name() != "extension")
}

fn children<'a, 'i>(node: &Node<'a, 'i>, name: &'static str) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children()
        .filter(move |child| child.is_element() && child.tag_name().name() == name)
}

fn text(node: &Node<'_, '_>) -> String {
    node.text().unwrap_or("").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(inner: &str) -> String {
        let report =
            format!("<xcap-error xmlns=\"urn:ietf:params:xml:ns:xcap-error\">{inner}</xcap-error>");
        Conflict::read(report.as_bytes()).unwrap().told()
    }

    /// XCP-03, as the client tells it: each condition of RFC 4825 §11.2 with its meaning.
    #[test]
    fn each_condition_is_told_with_its_meaning() {
        for (name, meaning) in MEANINGS {
            let said = told(&format!("<{name}/>"));
            assert_eq!(said, format!("{name}: {meaning}"));
        }
        assert_eq!(told("<new-in-another-rfc/>"), "new-in-another-rfc");
    }

    #[test]
    fn what_a_report_adds_is_told() {
        for (inner, end) in [
            (
                "<schema-validation-error phrase=\"no rule\"/>",
                "not be valid. The server says: no rule",
            ),
            (
                "<no-parent><ancestor>http://h/r/lists</ancestor></no-parent>",
                "does not exist. What does exist: http://h/r/lists",
            ),
            (
                "<uniqueness-failure phrase=\"p\"><exists field=\"rls-services/service/@uri\"><alt-value>sip:a@x</alt-value>\
                 <alt-value>sip:b@x</alt-value></exists><exists field=\"other\"/></uniqueness-failure>",
                "The server says: p. Taken: rls-services/service/@uri (free: sip:a@x, sip:b@x). Taken: other",
            ),
            (
                "<extension><local-constraint-failure xmlns=\"urn:oma:xml:xdm:xcap-error\" phrase=\"why\"/></extension>",
                "The server says: why",
            ),
        ] {
            let said = told(inner);
            assert!(said.ends_with(end), "{said}");
        }
    }

    #[test]
    fn what_is_no_report_is_none() {
        for body in [
            "",
            "nothing",
            "<html/>",
            "<xcap-error/>",
            "<!DOCTYPE x><xcap-error/>",
        ] {
            assert_eq!(Conflict::read(body.as_bytes()), None, "{body}");
        }
    }
}
