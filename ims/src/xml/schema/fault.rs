//! What can be wrong with a document, and how it is told to a person.

use crate::xml::guard::shortened;
use roxmltree::{Attribute, Node};
use std::fmt;

/// The first thing found wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    pub fault: Fault,
    /// Line and column in characters, counted from 1.
    pub line: u32,
    pub column: u32,
    /// The element concerned, as `/ruleset/rule[2]/actions`: local names, and the place among siblings of
    /// the same name where there are several.
    pub path: String,
}

/// What is wrong. Texts that quote the document are cut to a bounded length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No schema declares the element, and one is needed here.
    Undeclared {
        element: String,
    },
    /// The element may not stand here; what may is listed, as far as it has names.
    Unexpected {
        element: String,
        expected: Vec<String>,
    },
    /// The content ends too early.
    Incomplete {
        expected: Vec<String>,
    },
    /// Text where only elements may stand.
    Text,
    /// An abstract element or type stands for itself.
    Abstract {
        name: String,
    },
    /// An attribute that the type does not have.
    Attribute {
        name: String,
    },
    /// An attribute that must be there is not.
    Missing {
        attribute: String,
    },
    /// A value that its type does not have; `phrase` completes "the value ...".
    Value {
        of: String,
        value: String,
        phrase: String,
    },
    /// An ID that the document has already used.
    DuplicateId {
        id: String,
    },
    /// An IDREF to an ID that the document does not have.
    DanglingIdRef {
        id: String,
    },
    /// `xsi:type` names no type, or none that is derived from the declared one.
    BadType {
        name: String,
    },
    /// `xsi:nil` on an element that is not nillable.
    Nil,
    TooDeep,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Undeclared { element } => write!(f, "element {element} is not known"),
            Fault::Unexpected { element, expected } if expected.is_empty() => {
                write!(f, "element {element} is not allowed here")
            }
            Fault::Unexpected { element, expected } => {
                write!(
                    f,
                    "element {element} is not allowed here, expected {}",
                    expected.join(", ")
                )
            }
            Fault::Incomplete { expected } => {
                write!(f, "content is missing, expected {}", expected.join(", "))
            }
            Fault::Text => f.write_str("text is not allowed here"),
            Fault::Abstract { name } => write!(f, "{name} is abstract"),
            Fault::Attribute { name } => write!(f, "attribute {name} is not allowed here"),
            Fault::Missing { attribute } => write!(f, "attribute {attribute} is missing"),
            Fault::Value { of, value, phrase } => {
                write!(f, "the value \"{value}\" of {of} {phrase}")
            }
            Fault::DuplicateId { id } => write!(f, "the id \"{id}\" is used twice"),
            Fault::DanglingIdRef { id } => write!(f, "there is no id \"{id}\""),
            Fault::BadType { name } => write!(f, "xsi:type \"{name}\" does not fit"),
            Fault::Nil => f.write_str("xsi:nil is not allowed here"),
            Fault::TooDeep => f.write_str("elements are nested too deep"),
        }
    }
}

/// A phrase for a person: path, what is wrong, and where in the text.
impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} (line {}, column {})",
            self.path, self.fault, self.line, self.column
        )
    }
}

impl std::error::Error for Invalid {}

/// The element's local name, cut to a bounded length.
pub(super) fn label(node: Node<'_, '_>) -> String {
    shortened(node.tag_name().name())
}

pub(super) fn attribute_label(attribute: &Attribute<'_, '_>) -> String {
    shortened(attribute.name())
}

/// Path of an element by local names.
pub(super) fn path(node: Node<'_, '_>) -> String {
    let mut steps: Vec<String> = Vec::new();
    for element in node.ancestors().filter(Node::is_element) {
        let same = |n: &Node<'_, '_>| n.is_element() && n.tag_name() == element.tag_name();
        let before = element.prev_siblings().skip(1).filter(same).count();
        let more = before > 0 || element.next_siblings().skip(1).any(|n| same(&n));
        let name = label(element);
        steps.push(if more {
            format!("/{name}[{}]", before + 1)
        } else {
            format!("/{name}")
        });
    }
    steps.reverse();
    steps.concat()
}
