//! Refusals, and the conflict report that explains a 409 (RFC 4825 §11).

use super::request::Response;
use crate::xml::text::escaped;
use bytes::Bytes;

/// Media type of a conflict report.
pub const XCAP_ERROR: &str = "application/xcap-error+xml";

/// What an XCAP document resource takes; the program answers OPTIONS with the same list.
const ALLOW: &str = "GET, HEAD, PUT, DELETE, OPTIONS";

/// What a document takes that the server makes itself.
const READ_ONLY: &str = "GET, HEAD, OPTIONS";

/// Why a request is refused: one variant for each answer on which a client acts differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reject {
    /// Broken percent-encoding, or a condition that makes no sense.
    Malformed,
    /// Nobody trusted says who is asking.
    Unidentified,
    /// Not this user's document.
    Forbidden,
    /// No such document, application usage or tree.
    NotFound,
    /// A method that no XCAP resource has.
    Method,
    /// A change of a document that the server makes itself.
    ReadOnly,
    /// An `If-Match` or `If-None-Match` that does not hold.
    Precondition,
    TooLarge,
    /// Another media type than the application usage has, or a content coding.
    MediaType,
    /// A part of a document. These operations are not offered yet: 501 rather than 404, which would say that
    /// the element is absent, and rather than 409 `no-parent`, which would say that its document is.
    Node,
    /// A document that may not be stored as it is.
    Conflict(Conflict),
}

/// Why a document cannot be stored: elements of the conflict report. Each holds a phrase for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conflict {
    NotWellFormed(String),
    NotUtf8(String),
    SchemaValidation(String),
    /// A rule of the application usage that its schema does not express.
    Constraint(String),
    /// A rule of this server: size, number, what it takes from a network.
    Local(String),
    /// The directory in which the document would stand is not there.
    NoParent(String),
    /// A value that must be unique and is not; `field` is its path below the document.
    Uniqueness {
        field: String,
        phrase: String,
    },
}

impl Reject {
    /// The answer. `unidentified` is the status for requests without an identity: 401 or 403. `oma` says that
    /// the application usage is one of OMA's, whose clients know its extension of the report.
    pub fn response(&self, unidentified: u16, oma: bool) -> Response {
        match self {
            Reject::Malformed => Response::empty(400),
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
            Reject::Node => Response::empty(501),
        }
    }
}

impl Conflict {
    /// The conflict report as a document of `urn:ietf:params:xml:ns:xcap-error`.
    fn report(&self, oma: bool) -> String {
        let (name, phrase) = match self {
            Conflict::NotWellFormed(phrase) => ("not-well-formed", phrase),
            Conflict::NotUtf8(phrase) => ("not-utf-8", phrase),
            Conflict::SchemaValidation(phrase) => ("schema-validation-error", phrase),
            Conflict::Constraint(phrase) => ("constraint-failure", phrase),
            Conflict::NoParent(phrase) => ("no-parent", phrase),
            Conflict::Uniqueness { field, phrase } => {
                return enclosed(&format!(
                    "<uniqueness-failure phrase=\"{}\"><exists field=\"{}\"/></uniqueness-failure>",
                    escaped(phrase),
                    escaped(field)
                ));
            }
            Conflict::Local(phrase) if !oma => ("constraint-failure", phrase),
            Conflict::Local(phrase) => {
                return enclosed(&format!(
                    "<extension><local-constraint-failure xmlns=\"urn:oma:xml:xdm:xcap-error\" phrase=\"{}\"/></extension>",
                    escaped(phrase)
                ));
            }
        };
        enclosed(&format!("<{name} phrase=\"{}\"/>", escaped(phrase)))
    }
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
        for (conflict, oma, name) in [
            (Conflict::NotWellFormed(phrase()), false, "not-well-formed"),
            (Conflict::NotUtf8(phrase()), false, "not-utf-8"),
            (
                Conflict::SchemaValidation(phrase()),
                true,
                "schema-validation-error",
            ),
            (Conflict::Constraint(phrase()), true, "constraint-failure"),
            (Conflict::NoParent(phrase()), false, "no-parent"),
            (
                Conflict::Uniqueness {
                    field: "resource-lists/list%5B2%5D/@name".into(),
                    phrase: phrase(),
                },
                false,
                "uniqueness-failure",
            ),
            (Conflict::Local(phrase()), false, "constraint-failure"),
            (Conflict::Local(phrase()), true, "local-constraint-failure"),
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
