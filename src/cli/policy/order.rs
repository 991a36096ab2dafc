//! A policy as an order of lists: the extension of this server, docs/xcap.md "Lists in an order".

use super::splice::{appended, before, prefix, with_attribute, without};
use super::view::{Change, List, NotUnderstood, View};
use super::xml::{POLICY, elements, is, read};
use ims::presence::rules::{Handling, ORDERED_POLICY};
use ims::sip::Aor;
use ims::xml::text::escaped;
use ims::xml::{Document, Node};

const OMA_POLICY: &str = "urn:oma:xml:xdm:common-policy";

/// A policy of nobody yet: whoever is not on a list is rejected. The second rule says what those see who are accepted;
/// it has no handling of its own, so a server that does not know the order rejects everybody (RFC 5025 §3.2.1).
const FRESH: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<cp:ruleset xmlns:cp=\"urn:ietf:params:xml:ns:common-policy\" xmlns:pr=\"urn:ietf:params:xml:ns:pres-rules\">
  <cp:rule id=\"order\">
    <cp:actions>
      <ordered-policy xmlns=\"urn:presentia:xml:ordered-policy\"/>
    </cp:actions>
  </cp:rule>
  <cp:rule id=\"shown\">
    <cp:transformations>
      <pr:provide-services><pr:all-services/></pr:provide-services>
      <pr:provide-persons><pr:all-persons/></pr:provide-persons>
      <pr:provide-devices><pr:all-devices/></pr:provide-devices>
      <pr:provide-all-attributes/>
    </cp:transformations>
  </cp:rule>
</cp:ruleset>
";

/// What a watcher sees who does not say who it is and is accepted all the same.
const FOR_ANONYMOUS: &str = "<rule xmlns=\"urn:ietf:params:xml:ns:common-policy\" \
    xmlns:pr=\"urn:ietf:params:xml:ns:pres-rules\" id=\"ID\">
  <conditions><anonymous-request xmlns=\"urn:oma:xml:xdm:common-policy\"/></conditions>
  <actions><pr:sub-handling>allow</pr:sub-handling></actions>
  <transformations>
    <pr:provide-services><pr:all-services/></pr:provide-services>
    <pr:provide-persons><pr:all-persons/></pr:provide-persons>
    <pr:provide-devices><pr:all-devices/></pr:provide-devices>
    <pr:provide-all-attributes/>
  </transformations>
</rule>";

/// The document with a change made to it; without a document, a first one.
pub fn edit(document: Option<&str>, change: &Change) -> Result<String, NotUnderstood> {
    let mut text = document.unwrap_or(FRESH).to_owned();
    if parse(&text)?.order.is_none() {
        // a rule set without any rule: nothing decides yet, so an order may
        text = FRESH.to_owned();
    }
    match change {
        Change::List(handling, people) => {
            for person in people {
                text = listed(text, *handling, person)?;
            }
        }
        Change::Remove(people) => {
            for person in people {
                text = unlisted(text, person, None)?;
            }
        }
        Change::Default(handling) => text = stated(&text, "default", *handling)?,
        Change::Anonymous(handling) => {
            text = stated(&text, "anonymous", *handling)?;
            if *handling == Handling::Allow {
                text = shown_to_anonymous(text)?;
            }
        }
    }
    Ok(text)
}

/// What a document says, as far as it is an order.
pub fn view(document: &str) -> Result<View, NotUnderstood> {
    let document = parse(document)?;
    let Some(order) = document.order() else {
        return Ok(View::default());
    };
    let handling = |name| order.attribute(name).and_then(Handling::parse);
    let list = |node: Node<'_, '_>| {
        let (mut people, mut lists) = (Vec::new(), Vec::new());
        for member in elements(node) {
            people.extend(member.attribute("id").map(str::to_owned));
            lists.extend(member.attribute("anc").map(str::to_owned));
        }
        List {
            handling: handling_of(&node).unwrap_or(Handling::Block),
            people,
            lists,
        }
    };
    Ok(View {
        default: handling("default"),
        anonymous: handling("anonymous"),
        lists: elements(order).map(list).collect(),
    })
}

/// A document that is one of ours, or could become one.
struct Parsed<'a> {
    document: Document<'a>,
    /// How many nodes stand before the order.
    order: Option<usize>,
}

impl<'a> Parsed<'a> {
    fn order(&self) -> Option<Node<'_, 'a>> {
        self.document.descendants().nth(self.order?)
    }
}

/// Reads a document and refuses what an edit could get wrong.
fn parse(text: &str) -> Result<Parsed<'_>, NotUnderstood> {
    let document = read(text)?;
    let root = document.root_element();
    if !is(&root, POLICY, "ruleset") {
        return Err(NotUnderstood::new("it is no rule set of RFC 4745"));
    }
    let mut orders = document
        .descendants()
        .enumerate()
        .filter(|(_, node)| is(node, ORDERED_POLICY, "ordered-policy"));
    let order = orders.next();
    if orders.next().is_some() {
        return Err(NotUnderstood::new("it has two orders of lists"));
    }
    match order {
        Some((_, order)) => understood(order)?,
        None if elements(root).next().is_some() => {
            let why = "its rules decide by themselves, without an order of lists; an order would take their place";
            return Err(NotUnderstood::new(why));
        }
        None => {}
    }
    let order = order.map(|(at, _)| at);
    Ok(Parsed { document, order })
}

/// Whether an order is as the schema has it, so that what we write into it means what it says.
fn understood(order: Node<'_, '_>) -> Result<(), NotUnderstood> {
    let refused = |why: &str| Err(NotUnderstood::new(why));
    let actions = order.parent().filter(|p| is(p, POLICY, "actions"));
    let rule = actions.and_then(|a| a.parent());
    let Some(rule) = rule.filter(|r| is(r, POLICY, "rule")) else {
        return refused("its order does not stand in the actions of a rule");
    };
    let conditions = elements(rule).filter(|part| is(part, POLICY, "conditions"));
    if conditions.flat_map(elements).next().is_some() {
        return refused("its order stands in a rule with conditions");
    }
    for list in elements(order) {
        let known = is(&list, ORDERED_POLICY, "list")
            && handling_of(&list).is_some()
            && elements(list).all(|member| {
                is(&member, ORDERED_POLICY, "one") && member.has_attribute("id")
                    || is(&member, ORDERED_POLICY, "entry") && member.has_attribute("anc")
            });
        if !known {
            return refused("its order has a list of a kind that is not known here");
        }
    }
    Ok(())
}

/// The first list of the order with a handling.
fn list_of<'a, 'i>(order: Node<'a, 'i>, handling: Handling) -> Option<Node<'a, 'i>> {
    elements(order).find(|list| handling_of(list) == Some(handling))
}

fn handling_of(list: &Node<'_, '_>) -> Option<Handling> {
    list.attribute("handling").and_then(Handling::parse)
}

fn names(member: &Node<'_, '_>, person: &Aor) -> bool {
    member.attribute("id").and_then(Aor::parse).as_ref() == Some(person)
}

/// The person on the first list with this handling, and on no other.
fn listed(text: String, handling: Handling, person: &Aor) -> Result<String, NotUnderstood> {
    let text = unlisted(text, person, Some(handling))?;
    let parsed = parse(&text)?;
    let Some(order) = parsed.order() else {
        return Ok(text);
    };
    let one = |prefix: &str| format!("<{prefix}one id=\"{}\"/>", escaped(person.as_str()));
    let Some(list) = list_of(order, handling) else {
        let prefix = prefix(&text, &order);
        let (word, one) = (handling.word(), one(prefix));
        let list = format!("<{prefix}list handling=\"{word}\">\n  {one}\n</{prefix}list>");
        // the stricter list goes first, so that a person on two of them is not shown by mistake
        let looser = elements(order).find(|other| handling_of(other) > Some(handling));
        return Ok(match looser {
            Some(looser) => before(&text, &looser, &list),
            None => appended(&text, &order, &list),
        });
    };
    if elements(list).any(|member| names(&member, person)) {
        return Ok(text);
    }
    Ok(appended(&text, &list, &one(prefix(&text, &list))))
}

/// The person on no list, but for the first with the handling `kept`.
fn unlisted(
    mut text: String,
    person: &Aor,
    kept: Option<Handling>,
) -> Result<String, NotUnderstood> {
    loop {
        let found = {
            let parsed = parse(&text)?;
            let Some(order) = parsed.order() else {
                return Ok(text);
            };
            let kept = kept.and_then(|kept| list_of(order, kept));
            let mut lists = elements(order).filter(|list| Some(*list) != kept);
            let found = lists.find_map(|list| elements(list).find(|member| names(member, person)));
            found.map(|member| member.range())
        };
        match found {
            Some(range) => text = without(&text, range),
            None => return Ok(text),
        }
    }
}

fn stated(text: &str, name: &str, handling: Handling) -> Result<String, NotUnderstood> {
    let parsed = parse(text)?;
    let Some(order) = parsed.order() else {
        return Ok(text.to_owned());
    };
    if order.attribute(name).and_then(Handling::parse) == Some(handling) {
        return Ok(text.to_owned());
    }
    Ok(with_attribute(text, &order, name, handling.word()))
}

/// The document with a rule that shows everything to accepted anonymous watchers, unless it has rules for them.
fn shown_to_anonymous(text: String) -> Result<String, NotUnderstood> {
    let parsed = parse(&text)?;
    let asks = |node: Node<'_, '_>| is(&node, OMA_POLICY, "anonymous-request");
    if parsed.document.descendants().any(asks) {
        return Ok(text);
    }
    let root = parsed.document.root_element();
    let taken = |id: &str| elements(root).any(|rule| rule.attribute("id") == Some(id));
    let mut ids = (0..).map(|n| match n {
        0 => "anonymous".to_owned(),
        n => format!("anonymous-{n}"),
    });
    let id = ids.find(|id| !taken(id)).unwrap_or_default();
    let rule = FOR_ANONYMOUS.replace("\"ID\"", &format!("\"{id}\""));
    Ok(appended(&text, &root, &rule))
}

#[cfg(test)]
mod tests;
