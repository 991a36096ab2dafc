//! One operation as its element says it.

use super::tree::{Element, Kind, NodeId, Tree};
use super::{Error, Failure};

/// Where added nodes go (RFC 5261 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// Behind the last child: no `pos`.
    Append,
    /// In front of the first child.
    Prepend,
    Before,
    After,
}

/// White space that a removal takes along (§4.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Space {
    pub before: bool,
    pub after: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change<'d> {
    AddNodes(Position),
    /// `type="@name"`.
    AddAttribute(&'d str),
    /// `type="namespace::prefix"`.
    AddNamespace(&'d str),
    Replace,
    Remove(Space),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Operation<'d> {
    pub id: NodeId,
    pub selector: &'d str,
    pub change: Change<'d>,
}

fn invalid<T>(phrase: &'static str) -> Result<T, Failure> {
    Err(Failure::new(Error::InvalidAttributeValue, phrase))
}

impl<'d> Operation<'d> {
    /// Reads the operation element `id`.
    pub(super) fn read(tree: &'d Tree<'_>, id: NodeId) -> Result<Operation<'d>, Failure> {
        let unknown = || Failure::new(Error::InvalidPatchDirective, "Operation Not Understood");
        let element = tree.element(id).ok_or_else(unknown)?;
        let (change, allowed): (_, &[&str]) = match element.local.as_ref() {
            "add" => (added(element)?, &["sel", "pos", "type"]),
            "replace" => (Change::Replace, &["sel"]),
            "remove" => (Change::Remove(space(element)?), &["sel", "ws"]),
            _ => return Err(unknown()),
        };
        let known = |name: &str| allowed.contains(&name);
        let mut own = element.attributes.iter().filter(|a| a.prefix.is_empty());
        if !own.all(|attribute| known(&attribute.local)) {
            return Err(unknown());
        }
        let Some(selector) = element.attribute("sel") else {
            return Err(Failure::new(Error::InvalidDiffFormat, "Missing Selector"));
        };
        if matches!(change, Change::Remove(_)) {
            // The type of <remove> has no content (§8); white space is no harm.
            let mut children = element.children.iter();
            if !children.all(|child| super::is_blank(tree.kind(*child))) {
                return Err(Failure::new(
                    Error::InvalidDiffFormat,
                    "Removal With Content",
                ));
            }
        }
        Ok(Operation {
            id,
            selector,
            change,
        })
    }
}

fn added<'d>(element: &'d Element<'_>) -> Result<Change<'d>, Failure> {
    let position = match element.attribute("pos") {
        None => Position::Append,
        Some("prepend") => Position::Prepend,
        Some("before") => Position::Before,
        Some("after") => Position::After,
        Some(_) => return invalid("Position Not Understood"),
    };
    let Some(kind) = element.attribute("type") else {
        return Ok(Change::AddNodes(position));
    };
    if position != Position::Append {
        // §4.3: "pos" is not used when adding attributes or namespaces.
        return invalid("Position Of An Attribute");
    }
    if let Some(name) = kind.strip_prefix('@') {
        Ok(Change::AddAttribute(name))
    } else if let Some(prefix) = kind.strip_prefix("namespace::") {
        Ok(Change::AddNamespace(prefix))
    } else {
        invalid("Type Not Understood")
    }
}

fn space(element: &Element<'_>) -> Result<Space, Failure> {
    let (before, after) = match element.attribute("ws") {
        None => (false, false),
        Some("before") => (true, false),
        Some("after") => (false, true),
        Some("both") => (true, true),
        Some(_) => return invalid("White Space Directive Not Understood"),
    };
    Ok(Space { before, after })
}

/// The content of an operation that must be text, as written; empty for none.
pub(super) fn text_content<'t>(tree: &'t Tree<'_>, id: NodeId) -> Result<&'t str, Failure> {
    let text = |child: &NodeId| match tree.kind(*child) {
        Some(Kind::Text(raw)) => Some(raw.as_ref()),
        _ => None,
    };
    match tree.children(id) {
        [] => Ok(""),
        [one] => text(one).ok_or_else(not_text),
        _ => Err(not_text()),
    }
}

fn not_text() -> Failure {
    Failure::new(Error::InvalidNodeTypes, "Text Expected")
}
