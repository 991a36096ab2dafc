//! References and conditions of RFC 4661 §5: the part of XPath 1.0 that filters may use, and how it is evaluated.
//!
//! ```text
//! selection = 1*( ("/" / "//") test *( "[" condition "]" ) )
//! test      = name / prefix:name / prefix:* / * / @name / @prefix:name / @*      (attributes as the last step)
//! condition = term *( ("and" / "or") term )                        ("and" binds tighter, as in XPath)
//! term      = ( path / [path "/"] @name / "." / ".." ) ("=" / "<" / ">") value
//! value     = quoted text, or a number
//! ```
//!
//! Evaluation walks the document once for each step, whatever the expression, so its cost is the number of steps and
//! terms ([`Budget`]) times the size of the document.

mod parse;

use super::FilterError;
use super::instance::{Item, text};
use super::mandatory::name;
use super::number::Decimal;
use crate::presence::pidf::lexis::trim;
use roxmltree::{Attribute, Document, Node};
use std::collections::BTreeMap;

/// Longest expression, in bytes.
const LONGEST: usize = 2_048;
/// Most steps and terms in all expressions of one subscription.
const MOST_PARTS: usize = 256;

/// Counts down what expressions of one subscription may cost together.
#[derive(Debug)]
pub(super) struct Budget(usize);

impl Default for Budget {
    fn default() -> Budget {
        Budget(MOST_PARTS)
    }
}

impl Budget {
    fn spend(&mut self) -> Result<(), &'static str> {
        self.0 = self.0.checked_sub(1).ok_or("too many steps")?;
        Ok(())
    }
}

/// Prefixes of expressions, from `<ns-bindings>`: prefix and namespace.
pub(super) type Bindings = [(Box<str>, Box<str>)];

/// An absolute location path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    steps: Vec<Step>,
    /// The last step is one to attributes: of the elements reached, or of those and all below them.
    attribute: Option<(Axis, Name)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    axis: Axis,
    test: Name,
    /// Each must hold.
    conditions: Vec<Condition>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Axis {
    Child,
    Descendant,
}

/// A name test. `None` is a wildcard.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    /// Namespace; empty for none, which is what a name without prefix means (§5, as XPath 1.0 has it).
    space: Option<Box<str>>,
    local: Option<Box<str>>,
}

/// Groups of terms: any group of which every term holds.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Condition(Vec<Vec<Term>>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    operand: Operand,
    comparison: Comparison,
    value: Box<str>,
    /// The value as a number, where it is one.
    number: Option<Decimal>,
}

/// What a term compares, seen from the element that has the condition.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Operand {
    Itself,
    Parent,
    /// Elements below, or attributes of them; with no steps attributes of the element itself.
    Below(Path),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    Less,
    Greater,
}

impl Path {
    /// Reads an expression.
    pub fn parse(
        expression: &str,
        bindings: &Bindings,
        budget: &mut Budget,
    ) -> Result<Path, FilterError> {
        if expression.len() > LONGEST {
            return Err(FilterError::not_accepted("expression too long"));
        }
        parse::selection(expression, bindings, budget).map_err(|why| {
            let shown = crate::xml::guard::shortened(trim(expression));
            FilterError::not_accepted(format!("{why} in expression {shown}"))
        })
    }

    /// What the expression selects in a document, in its order.
    pub fn select<'a, 'input>(&self, document: &'a Document<'input>) -> Vec<Item<'a, 'input>> {
        self.below(document.root())
    }

    /// What the path leads to from `origin`.
    fn below<'a, 'input>(&self, origin: Node<'a, 'input>) -> Vec<Item<'a, 'input>> {
        let mut at = vec![origin];
        for step in &self.steps {
            at = step.from(&at);
        }
        let Some((axis, wanted)) = &self.attribute else {
            return at.into_iter().map(Item::Element).collect();
        };
        if *axis == Axis::Descendant {
            at = outermost(&at).flat_map(|node| node.descendants()).collect();
        }
        let attributes = |node: Node<'a, 'input>| node.attributes().map(move |a| (node, a));
        at.into_iter()
            .flat_map(attributes)
            .filter(|(_, a)| wanted.is_of_attribute(a))
            .map(|(node, a)| Item::Attribute(node, a))
            .collect()
    }
}

/// Those of `nodes`, which are in the order of the document, that lie in no other of them.
fn outermost<'a, 'input, 'n>(
    nodes: &'n [Node<'a, 'input>],
) -> impl Iterator<Item = Node<'a, 'input>> + 'n {
    let mut covered = 0; // end of the last one
    nodes.iter().copied().filter(move |node| {
        let apart = node.range().start >= covered;
        if apart {
            covered = node.range().end;
        }
        apart
    })
}

/// Texts of parents by node number, each gathered once however many children ask.
type Parents = BTreeMap<usize, String>;

impl Step {
    /// The elements that this step reaches from the nodes `at`; both in the order of the document. Each element below
    /// them is looked at once, however the nodes lie in each other.
    fn from<'a, 'input>(&self, at: &[Node<'a, 'input>]) -> Vec<Node<'a, 'input>> {
        let mut parents = Parents::new();
        let mut found = Vec::new();
        match self.axis {
            Axis::Child => {
                let below = at.iter().flat_map(|node| node.children());
                found.extend(below.filter(|child| self.takes(*child, &mut parents)));
                found.sort_by_key(|node| node.id().get_usize()); // children of nested nodes come out of order
            }
            Axis::Descendant => {
                let below = outermost(at).flat_map(|node| node.descendants().skip(1));
                found.extend(below.filter(|node| self.takes(*node, &mut parents)));
            }
        }
        found
    }

    fn takes(&self, node: Node<'_, '_>, parents: &mut Parents) -> bool {
        let holds = |condition: &Condition, parents: &mut Parents| condition.holds(node, parents);
        node.is_element()
            && self.test.is_of(name(node))
            && self.conditions.iter().all(|c| holds(c, parents))
    }
}

impl Name {
    fn is_of(&self, (space, local): (&str, &str)) -> bool {
        self.space.as_deref().is_none_or(|wanted| wanted == space)
            && self.local.as_deref().is_none_or(|wanted| wanted == local)
    }

    fn is_of_attribute(&self, attribute: &Attribute<'_, '_>) -> bool {
        self.is_of((attribute.namespace().unwrap_or(""), attribute.name()))
    }
}

impl Condition {
    fn holds(&self, node: Node<'_, '_>, parents: &mut Parents) -> bool {
        let Condition(groups) = self;
        let mut groups = groups.iter();
        groups.any(|group| group.iter().all(|term| term.holds(node, parents)))
    }
}

impl Term {
    /// XPath 1.0 §3.4: a set of nodes compares as true when any of its nodes does.
    fn holds(&self, node: Node<'_, '_>, parents: &mut Parents) -> bool {
        match &self.operand {
            Operand::Itself => self.compare(&text(node)),
            Operand::Parent => node.parent_element().is_some_and(|parent| {
                let known = parents
                    .entry(parent.id().get_usize())
                    .or_insert_with(|| text(parent));
                self.compare(known)
            }),
            Operand::Below(path) => path.below(node).into_iter().any(|item| match item {
                Item::Element(element) => self.compare(&text(element)),
                Item::Attribute(_, attribute) => self.compare(attribute.value()),
            }),
        }
    }

    fn compare(&self, found: &str) -> bool {
        let number = || Some((Decimal::parse(found)?, self.number?));
        match self.comparison {
            Comparison::Equal => trim(found) == &*self.value,
            Comparison::Less => number().is_some_and(|(found, wanted)| found < wanted),
            Comparison::Greater => number().is_some_and(|(found, wanted)| found > wanted),
        }
    }
}
