//! Finds the global components of a set of schema documents, before any of them is resolved.

use super::LoadError;
use super::model::{Name, Table};
use roxmltree::{Document, Node};

/// The namespace of XML Schema itself.
pub(super) const XS: &str = "http://www.w3.org/2001/XMLSchema";

/// Most documents in one set, included ones counted each time.
const UNITS: usize = 256;

/// A schema document in the role it plays for one target namespace.
#[derive(Clone, Debug)]
pub(super) struct Unit<'a> {
    pub source: &'a str,
    pub document: &'a Document<'a>,
    pub target: Option<String>,
    /// Whether the document has no target namespace of its own and took that of the one including it.
    pub chameleon: bool,
    pub qualified_elements: bool,
    pub qualified_attributes: bool,
}

/// A node of a schema document, with the unit that says how to read its names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub node: Node<'a, 'a>,
    pub unit: usize,
}

impl<'a> Place<'a> {
    pub fn attribute(&self, name: &str) -> Option<&'a str> {
        self.node.attribute(name)
    }

    /// Whether this is the XML Schema element of that name.
    pub fn is(&self, name: &str) -> bool {
        self.node.tag_name().name() == name
    }

    /// Child elements of XML Schema, annotations left out.
    pub fn children(&self) -> impl Iterator<Item = Place<'a>> + use<'a> {
        let unit = self.unit;
        let schema = |n: &Node<'a, 'a>| n.is_element() && n.tag_name().namespace() == Some(XS);
        let children = self
            .node
            .children()
            .filter(schema)
            .filter(|n| n.tag_name().name() != "annotation");
        children.map(move |node| Place { node, unit })
    }

    pub fn child(&self, names: &[&str]) -> Option<Place<'a>> {
        self.children()
            .find(|child| names.contains(&child.node.tag_name().name()))
    }
}

/// Global components by kind and name.
#[derive(Default)]
pub(super) struct Globals<'a> {
    pub elements: Table<Place<'a>>,
    pub types: Table<Place<'a>>,
    pub attributes: Table<Place<'a>>,
    pub groups: Table<Place<'a>>,
    pub attribute_groups: Table<Place<'a>>,
}

/// The units of the set, chameleon inclusions resolved.
pub(super) fn units<'a>(
    documents: &'a [(&'a str, Document<'a>)],
) -> Result<Vec<Unit<'a>>, LoadError> {
    let mut units: Vec<Unit<'a>> = Vec::new();
    let included: Vec<&str> = documents
        .iter()
        .flat_map(|(_, document)| includes(document))
        .collect();
    for (source, document) in documents {
        let root = document.root_element();
        if root.tag_name().namespace() != Some(XS) || root.tag_name().name() != "schema" {
            return Err(LoadError::new(source, 1, "this is no XML Schema document"));
        }
        let target = root.attribute("targetNamespace");
        if target.is_some() || !included.contains(source) {
            units.push(unit(source, document, target.map(str::to_owned), false));
        }
    }
    // The list grows while it is walked: an included document can include further ones.
    let mut next = 0;
    while let Some(Unit {
        source,
        document,
        target,
        ..
    }) = units.get(next).cloned()
    {
        next += 1;
        for location in includes(document) {
            let Some((name, other)) = documents.iter().find(|(name, _)| *name == location) else {
                return Err(LoadError::new(
                    source,
                    1,
                    &format!("the included \"{location}\" is not there"),
                ));
            };
            let own = other.root_element().attribute("targetNamespace");
            if own.is_some() && own != target.as_deref() {
                return Err(LoadError::new(
                    source,
                    1,
                    &format!("\"{location}\" has another target namespace"),
                ));
            }
            if !units
                .iter()
                .any(|u| u.source == *name && u.target == target)
            {
                units.push(unit(name, other, target.clone(), own.is_none()));
            }
        }
        if units.len() > UNITS {
            return Err(LoadError::new(
                source,
                1,
                &format!("more than {UNITS} schema documents"),
            ));
        }
    }
    Ok(units)
}

fn unit<'a>(
    source: &'a str,
    document: &'a Document<'a>,
    target: Option<String>,
    chameleon: bool,
) -> Unit<'a> {
    let qualified = |name: &str| document.root_element().attribute(name) == Some("qualified");
    Unit {
        source,
        document,
        target,
        chameleon,
        qualified_elements: qualified("elementFormDefault"),
        qualified_attributes: qualified("attributeFormDefault"),
    }
}

/// File names that a document includes, without the path in front.
fn includes<'a>(document: &'a Document<'a>) -> impl Iterator<Item = &'a str> {
    let children = document.root_element().children();
    let include = children
        .filter(|n| n.tag_name().namespace() == Some(XS) && n.tag_name().name() == "include");
    include
        .filter_map(|n| n.attribute("schemaLocation"))
        .filter_map(|l| l.rsplit('/').next())
}

/// Every global component by its name.
pub(super) fn globals<'a>(units: &[Unit<'a>]) -> Result<Globals<'a>, LoadError> {
    let mut globals = Globals::default();
    for (index, unit) in units.iter().enumerate() {
        let root = Place {
            node: unit.document.root_element(),
            unit: index,
        };
        for place in root.children() {
            let table = match place.node.tag_name().name() {
                "import" | "include" => continue,
                "element" => &mut globals.elements,
                "simpleType" | "complexType" => &mut globals.types,
                "attribute" => &mut globals.attributes,
                "group" => &mut globals.groups,
                "attributeGroup" => &mut globals.attribute_groups,
                other => {
                    return Err(unit.error(place.node, &format!("xs:{other} is not supported")));
                }
            };
            let Some(local) = place.attribute("name") else {
                return Err(unit.error(place.node, "a global component without a name"));
            };
            if !table.add(&Name::new(unit.target.as_deref(), local), place) {
                return Err(unit.error(place.node, &format!("\"{local}\" is defined twice")));
            }
        }
    }
    Ok(globals)
}

impl Unit<'_> {
    pub fn error(&self, node: Node<'_, '_>, what: &str) -> LoadError {
        let line = self.document.text_pos_at(node.range().start).row;
        LoadError::new(self.source, line, what)
    }
}
