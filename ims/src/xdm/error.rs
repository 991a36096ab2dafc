//! Refusals, and the conflict report that explains a 409 (RFC 4825 §11).

use super::request::Response;
use crate::xml::text::escaped;
use bytes::Bytes;

/// Media type of a conflict report.
pub const XCAP_ERROR: &str = "application/xcap-error+xml";

/// What an XCAP document resource takes; the program answers OPTIONS with the same list.
const ALLOW: &str = "GET, HEAD, PUT, DELETE, OPTIONS";

/// What a document takes that the server makes itself, and what bindings take (RFC 4825 §8.2, §8.4).
const READ_ONLY: &str = "GET, HEAD, OPTIONS";

/// Why a request is refused: one variant for each answer on which a client acts differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reject {
    /// Broken percent-encoding, a prefix that the query does not bind, or a condition that makes no sense.
    Malformed,
    /// A path, node selector or query that is longer than any that names something.
    UriTooLong,
    /// Nobody trusted says who is asking.
    Unidentified,
    /// Not this user's document.
    Forbidden,
    /// No such document, application usage or tree.
    NotFound,
    /// A method that no XCAP resource has.
    Method,
    /// A change of a document that the server makes itself, or of namespace bindings.
    ReadOnly,
    /// An `If-Match` or `If-None-Match` that does not hold.
    Precondition,
    TooLarge,
    /// Another media type than the application usage, an element or an attribute has, or a content coding.
    MediaType,
    /// A document that may not be stored as it is.
    Conflict(Conflict),
}

/// Why a document cannot be stored or changed: elements of the conflict report. Each holds a phrase for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conflict {
    NotWellFormed(String),
    NotUtf8(String),
    /// The body of a PUT of an element is not one element.
    NotXmlFrag(String),
    /// The body of a PUT of an attribute is not a quoted value.
    NotXmlAttValue(String),
    /// After the PUT its URI would not give what was put.
    CannotInsert(String),
    /// After the DELETE its URI would name another node.
    CannotDelete(String),
    SchemaValidation(String),
    /// A rule of the application usage that its schema does not express.
    Constraint(String),
    /// A rule of this server: size, number, what it takes from a network.
    Local(Local),
    /// The directory, document or element in which it would stand is not there.
    NoParent {
        phrase: String,
        /// The closest element that is there, as a node selector, percent-encoded, with its query (§11.1: relative to
        /// the document).
        ancestor: Option<String>,
    },
    /// Values that must be unique and are not.
    Uniqueness {
        exists: Vec<Exists>,
        phrase: String,
    },
}

/// A value that must be unique and is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exists {
    /// The element or attribute, as a node selector, percent-encoded.
    pub field: String,
    /// Values that are free at this moment.
    pub alternatives: Vec<String>,
}

/// A rule of this server that is broken, in the words of OMA XDM 1.1 (`local-constraint-failure`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    pub phrase: String,
    /// Values that would be taken, each with the node selector of the place where.
    pub alternatives: Vec<(String, String)>,
}

impl Conflict {
    /// A rule of this server, with nothing to propose.
    pub fn local(phrase: String) -> Conflict {
        Conflict::Local(Local {
            phrase,
            alternatives: Vec::new(),
        })
    }

    /// One value that is not unique.
    pub fn uniqueness(field: String, alternatives: Vec<String>, phrase: String) -> Conflict {
        Conflict::Uniqueness {
            exists: vec![Exists {
                field,
                alternatives,
            }],
            phrase,
        }
    }
}

impl Reject {
    /// The answer. `unidentified` is the status for requests without an identity: 401 or 403. `oma` says that
    /// the application usage is one of OMA's, whose clients know its extension of the report.
    pub fn response(&self, unidentified: u16, oma: bool) -> Response {
        match self {
            Reject::Malformed => Response::empty(400),
            Reject::UriTooLong => Response::empty(414), // RFC 9110 §15.5.15
            Reject::Unidentified => Response::empty(unidentified),
            Reject::Forbidden => Response::empty(403),
            Reject::NotFound => Response::empty(404), // RFC 4825 §8
            // RFC 4825 §8.1, RFC 9110 §15.5.6
            Reject::Method => Response {
                allow: Some(ALLOW),
                ..Response::empty(405)
            },
            Reject::ReadOnly => Response {
                allow: Some(READ_ONLY),
                ..Response::empty(405)
            },
            Reject::Conflict(conflict) => Response {
                content_type: Some(XCAP_ERROR.into()),
                body: Bytes::from(conflict.report(oma)),
                ..Response::empty(409)
            },
            Reject::Precondition => Response::empty(412),
            Reject::TooLarge => Response::empty(413),
            Reject::MediaType => Response::empty(415), // RFC 4825 §8.2.2
        }
    }
}

impl Conflict {
    /// The conflict report as a document of `urn:ietf:params:xml:ns:xcap-error`.
    fn report(&self, oma: bool) -> String {
        enclosed(&match self {
            Conflict::NotWellFormed(phrase) => element("not-well-formed", phrase, ""),
            Conflict::NotUtf8(phrase) => element("not-utf-8", phrase, ""),
            Conflict::NotXmlFrag(phrase) => element("not-xml-frag", phrase, ""),
            Conflict::NotXmlAttValue(phrase) => element("not-xml-att-value", phrase, ""),
            Conflict::CannotInsert(phrase) => element("cannot-insert", phrase, ""),
            Conflict::CannotDelete(phrase) => element("cannot-delete", phrase, ""),
            Conflict::SchemaValidation(phrase) => element("schema-validation-error", phrase, ""),
            Conflict::Constraint(phrase) => element("constraint-failure", phrase, ""),
            Conflict::NoParent { phrase, ancestor } => {
                let ancestor = ancestor.as_ref();
                let ancestor = ancestor.map(|uri| format!("<ancestor>{}</ancestor>", escaped(uri)));
                element("no-parent", phrase, &ancestor.unwrap_or_default())
            }
            Conflict::Uniqueness { exists, phrase } => {
                let exists: String = exists.iter().map(Exists::element).collect();
                element("uniqueness-failure", phrase, &exists)
            }
            Conflict::Local(local) if !oma => element("constraint-failure", &local.phrase, ""),
            Conflict::Local(local) => format!("<extension>{}</extension>", local.element()),
        })
    }
}

impl Exists {
    fn element(&self) -> String {
        let values = self.alternatives.iter();
        let values: String = values
            .map(|value| format!("<alt-value>{}</alt-value>", escaped(value)))
            .collect();
        format!(
            "<exists field=\"{}\">{values}</exists>",
            escaped(&self.field)
        )
    }
}

impl Local {
    fn element(&self) -> String {
        let values = self.alternatives.iter().map(|(field, value)| {
            let (field, value) = (escaped(field), escaped(value));
            format!("<alt-value field=\"{field}\">{value}</alt-value>")
        });
        format!(
            "<local-constraint-failure xmlns=\"urn:oma:xml:xdm:xcap-error\" phrase=\"{}\">{}</local-constraint-failure>",
            escaped(&self.phrase),
            values.collect::<String>()
        )
    }
}

/// One error condition, with its phrase and content.
fn element(name: &str, phrase: &str, content: &str) -> String {
    let phrase = escaped(phrase);
    if content.is_empty() {
        return format!("<{name} phrase=\"{phrase}\"/>");
    }
    format!("<{name} phrase=\"{phrase}\">{content}</{name}>")
}

fn enclosed(element: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <xcap-error xmlns=\"urn:ietf:params:xml:ns:xcap-error\">{element}</xcap-error>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::schema::{Schema, Unknown};
    use crate::xml::{guard, schemas};

    #[test]
    fn every_report_is_valid_and_says_its_phrase() {
        let schema = Schema::load(&schemas::XCAP_ERROR).unwrap();
        let phrase = || "a \"<b>\" & '\u{e9}'\n\u{1}".to_owned();
        let uniqueness = Conflict::Uniqueness {
            exists: ["resource-lists/list%5B2%5D/@name", "a?xmlns(p=u)"]
                .map(|field| Exists {
                    field: field.into(),
                    alternatives: vec![phrase(), "b".into()],
                })
                .into(),
            phrase: phrase(),
        };
        let local = Conflict::Local(Local {
            phrase: phrase(),
            alternatives: vec![("a/@b".into(), phrase())],
        });
        let no_parent = Conflict::NoParent {
            phrase: phrase(),
            ancestor: Some("a:b/c%5B@d=%22e&f%22%5D?xmlns(a=urn:x)".into()),
        };
        for (conflict, oma, name) in [
            (Conflict::NotWellFormed(phrase()), false, "not-well-formed"),
            (Conflict::NotUtf8(phrase()), false, "not-utf-8"),
            (Conflict::NotXmlFrag(phrase()), false, "not-xml-frag"),
            (
                Conflict::NotXmlAttValue(phrase()),
                false,
                "not-xml-att-value",
            ),
            (Conflict::CannotInsert(phrase()), false, "cannot-insert"),
            (Conflict::CannotDelete(phrase()), true, "cannot-delete"),
            (
                Conflict::SchemaValidation(phrase()),
                true,
                "schema-validation-error",
            ),
            (Conflict::Constraint(phrase()), true, "constraint-failure"),
            (no_parent, false, "no-parent"),
            (
                Conflict::uniqueness("a/@b".into(), vec![], phrase()),
                false,
                "uniqueness-failure",
            ),
            (uniqueness, false, "uniqueness-failure"),
            (Conflict::local(phrase()), false, "constraint-failure"),
            (Conflict::local(phrase()), true, "local-constraint-failure"),
            (local, true, "local-constraint-failure"),
        ] {
            let response = Reject::Conflict(conflict).response(401, oma);
            assert_eq!(
                (response.status, response.content_type.as_deref()),
                (409, Some(XCAP_ERROR))
            );
            let document = guard::parse(&response.body, &guard::Limits::default()).unwrap();
            assert_eq!(
                schema.validate(&document, Unknown::Allowed),
                Ok(()),
                "{name}"
            );
            let named = document
                .descendants()
                .find(|n| n.tag_name().name() == name)
                .unwrap();
            assert_eq!(
                named.attribute("phrase"),
                Some("a \"<b>\" & '\u{e9}'\n\u{fffd}"),
                "{name}"
            );
        }
    }
}
