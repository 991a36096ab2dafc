//! Attributes and texts: values, and what they say about the rest of the document.

use super::fault::{Fault, attribute_label, label};
use super::model::*;
use super::simple::{Meaning, SimpleType, listed};
use super::validate::{Checked, Walk, XSI, at};
use crate::xml::guard::shortened;
use roxmltree::{Attribute, Node};
use std::borrow::Cow;

impl Walk<'_> {
    pub(super) fn no_attributes(&self, node: Node<'_, '_>) -> Checked {
        match node.attributes().find(|a| a.namespace() != Some(XSI)) {
            Some(attribute) => at_attribute(
                &attribute,
                Fault::Attribute {
                    name: attribute_label(&attribute),
                },
            ),
            None => Ok(()),
        }
    }

    pub(super) fn attributes(&mut self, node: Node<'_, '_>, complex: &ComplexType) -> Checked {
        let mut required = 0;
        for attribute in node.attributes() {
            let (space, local) = (attribute.namespace(), attribute.name());
            if space == Some(XSI)
                && matches!(
                    local,
                    "type" | "nil" | "schemaLocation" | "noNamespaceSchemaLocation"
                )
            {
                continue;
            }
            let Some(declared) = complex.attributes.iter().find(|a| a.name.is(space, local)) else {
                self.wild_attribute(node, &attribute, complex)?;
                continue;
            };
            required += usize::from(declared.required);
            self.attribute_value(node, &attribute, declared.kind)?;
            if declared
                .fixed
                .as_deref()
                .is_some_and(|fixed| fixed != attribute.value())
            {
                let fixed = declared.fixed.as_slice();
                return at_attribute(
                    &attribute,
                    bad_value(&attribute, format!("is not {}", listed(fixed))),
                );
            }
        }
        if required == complex.attributes.iter().filter(|a| a.required).count() {
            return Ok(());
        }
        let absent = complex.attributes.iter().find(|a| {
            a.required
                && !node
                    .attributes()
                    .any(|b| a.name.is(b.namespace(), b.name()))
        });
        match absent {
            Some(absent) => at(
                node,
                Fault::Missing {
                    attribute: absent.name.local.clone(),
                },
            ),
            None => Ok(()),
        }
    }

    /// An attribute that the type does not name.
    fn wild_attribute(
        &mut self,
        node: Node<'_, '_>,
        attribute: &Attribute<'_, '_>,
        complex: &ComplexType,
    ) -> Checked {
        let (space, local) = (attribute.namespace(), attribute.name());
        let wildcard = complex
            .any_attribute
            .iter()
            .find(|wildcard| wildcard.takes(space));
        let declared = self.components.global_attributes.get(space, local).copied();
        match (wildcard.map(|w| w.process), declared) {
            (Some(Process::Skip), _) => Ok(()),
            (Some(Process::Strict | Process::Lax), Some(kind)) => {
                self.attribute_value(node, attribute, kind)
            }
            (Some(Process::Lax), None)
                if !self.refuses(space, local, &self.components.declared_attributes) =>
            {
                Ok(())
            }
            _ => at_attribute(
                attribute,
                Fault::Attribute {
                    name: attribute_label(attribute),
                },
            ),
        }
    }

    fn attribute_value(
        &mut self,
        node: Node<'_, '_>,
        attribute: &Attribute<'_, '_>,
        kind: TypeId,
    ) -> Checked {
        let Some(Type::Simple(simple)) = self.components.kind(kind) else {
            return Ok(());
        };
        let offset = attribute.range().start;
        match simple.check(self.components, attribute.value()) {
            Err(phrase) => at_attribute(attribute, bad_value(attribute, phrase)),
            Ok((_, Meaning::Plain)) => Ok(()),
            Ok((value, meaning)) => self.meaning(node, offset, value.into_owned(), meaning),
        }
    }

    /// What a value says about the rest of the document.
    fn meaning(
        &mut self,
        node: Node<'_, '_>,
        offset: usize,
        value: String,
        meaning: Meaning,
    ) -> Checked {
        match meaning {
            Meaning::Plain => {}
            Meaning::Id => {
                let id = shortened(&value);
                if !self.ids.insert(value) {
                    return Err(Box::new((offset, Fault::DuplicateId { id })));
                }
            }
            Meaning::IdRef => self.references.push((offset, value)),
            Meaning::QName => {
                let unbound = |(prefix, _): (&str, &str)| {
                    prefix != "xml" && node.lookup_namespace_uri(Some(prefix)).is_none()
                };
                if value.split_once(':').is_some_and(unbound) {
                    let fault = Fault::Value {
                        of: label(node),
                        value: shortened(&value),
                        phrase: "has a prefix that is not bound".to_owned(),
                    };
                    return Err(Box::new((offset, fault)));
                }
            }
        }
        Ok(())
    }

    /// The text of an element of a simple type.
    pub(super) fn text(
        &mut self,
        node: Node<'_, '_>,
        simple: &SimpleType,
        default: Option<&str>,
    ) -> Checked {
        if let Some(child) = node.children().find(Node::is_element) {
            return at(
                child,
                Fault::Unexpected {
                    element: label(child),
                    expected: Vec::new(),
                },
            );
        }
        let mut pieces = node
            .children()
            .filter_map(|n| n.text_storage().filter(|_| n.is_text()));
        // A comment or an instruction parts the text, but not the value.
        let first: &str = pieces.next().map_or("", |piece| piece.as_str());
        let mut whole = Cow::Borrowed(first);
        for piece in pieces {
            whole.to_mut().push_str(piece.as_str());
        }
        if whole.is_empty() && default.is_some() {
            return Ok(());
        }
        match simple.check(self.components, &whole) {
            Err(phrase) => at(
                node,
                Fault::Value {
                    of: label(node),
                    value: shortened(&whole),
                    phrase,
                },
            ),
            Ok((_, Meaning::Plain)) => Ok(()),
            Ok((value, meaning)) => {
                self.meaning(node, node.range().start, value.into_owned(), meaning)
            }
        }
    }
}

fn at_attribute<T>(attribute: &Attribute<'_, '_>, fault: Fault) -> Result<T, Box<(usize, Fault)>> {
    Err(Box::new((attribute.range().start, fault)))
}

fn bad_value(attribute: &Attribute<'_, '_>, phrase: String) -> Fault {
    Fault::Value {
        of: attribute_label(attribute),
        value: shortened(attribute.value()),
        phrase,
    }
}
