//! A policy as OMA has it: rules about the lists `oma_grantedcontacts` and `oma_blockedcontacts` of a resource-lists
//! document, and about everybody else.

use super::splice::{appended, prefix, replaced, with_text, without};
use super::view::{Change, List, NotUnderstood, View};
use super::xml::{POLICY, RULES, elements, is, read};
use crate::cli::xdmc::address::segment;
use ims::presence::rules::Handling;
use ims::sip::Aor;
use ims::xdm::anchor::{Anchor, Kind};
use ims::xml::Node;
use ims::xml::text::escaped;

const OMA: &str = "urn:oma:xml:xdm:common-policy";
const LISTS: &str = "urn:ietf:params:xml:ns:resource-lists";

/// Everything, for those who are accepted.
const EVERYTHING: &str = "
    <pr:provide-services><pr:all-services/></pr:provide-services>
    <pr:provide-persons><pr:all-persons/></pr:provide-persons>
    <pr:provide-devices><pr:all-devices/></pr:provide-devices>
    <pr:provide-all-attributes/>
  ";

/// Whose documents, and how they name one another.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    pub owner: &'a Aor,
    /// XCAP root in the URIs of lists.
    pub root: &'a str,
}

/// What one rule is about, as far as an edit can keep it right.
#[derive(Clone, Debug, PartialEq, Eq)]
enum About {
    /// The owner alone.
    Owner,
    /// A list of the owner's, by its name.
    List(String),
    Others,
    Anonymous,
}

/// A rule that is understood.
struct Rule<'a, 'i> {
    node: Node<'a, 'i>,
    about: About,
    handling: Handling,
}

impl Frame<'_> {
    /// What the documents say.
    pub fn view(&self, rules: Option<&str>, lists: Option<&str>) -> Result<View, NotUnderstood> {
        let mut view = View::default();
        let Some(rules) = rules else {
            return Ok(view);
        };
        let document = read(rules)?;
        for rule in self.rules(document.root_element())? {
            match rule.about {
                About::Owner => {}
                About::Others => view.default = Some(rule.handling),
                About::Anonymous => view.anonymous = Some(rule.handling),
                About::List(name) => view.lists.push(List {
                    handling: rule.handling,
                    people: members(lists, &name)?,
                    lists: Vec::new(),
                }),
            }
        }
        Ok(view)
    }

    /// The rules and, where they change, the lists with a change made to them.
    pub fn edit(
        &self,
        rules: Option<&str>,
        lists: Option<&str>,
        change: &Change,
    ) -> Result<(String, Option<String>), NotUnderstood> {
        let mut text = rules.map_or_else(|| self.fresh(), str::to_owned);
        let mut lists = lists.map(str::to_owned);
        match change {
            Change::Default(handling) => {
                text = self.stated(&text, &About::Others, *handling)?;
            }
            Change::Anonymous(handling) => {
                text = self.stated(&text, &About::Anonymous, *handling)?;
            }
            Change::List(handling, people) => {
                let (edited, name) = self.ruled(text, *handling)?;
                text = edited;
                for person in people {
                    lists = self.unlisted(&text, lists, person, Some(&name))?;
                    lists = Some(listed(lists, &name, person)?);
                }
            }
            Change::Remove(people) => {
                for person in people {
                    lists = self.unlisted(&text, lists, person, None)?;
                }
            }
        }
        let lists = self.complete(&text, lists)?;
        Ok((text, lists))
    }

    /// The lists with each that the rules are about: one that is not there counts as one that cannot be read, and then
    /// the strictest rule about such a list holds for everybody who is on no other.
    fn complete(
        &self,
        rules: &str,
        lists: Option<String>,
    ) -> Result<Option<String>, NotUnderstood> {
        let mut text = lists.unwrap_or_else(fresh_lists);
        let document = read(rules)?;
        for rule in self.rules(document.root_element())? {
            let About::List(name) = rule.about else {
                continue;
            };
            let document = read(&text)?;
            let root = document.root_element();
            if list_named(root, &name).is_none() {
                let list = format!(
                    "<{}list name=\"{}\"/>",
                    prefix(&text, &root),
                    escaped(&name)
                );
                text = appended(&text, &root, &list);
            }
        }
        Ok(Some(text))
    }

    /// Rules for a user without any: OMA's names for them, and nobody accepted.
    fn fresh(&self) -> String {
        let own = format!(
            "<cp:identity><cp:one id=\"{}\"/></cp:identity>",
            escaped(self.owner.as_str())
        );
        let granted = self.external("oma_grantedcontacts");
        let blocked = self.external("oma_blockedcontacts");
        let mut out = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<cp:ruleset xmlns:cp=\"{POLICY}\" xmlns:pr=\"{RULES}\" \
             xmlns:ocp=\"{OMA}\">"
        );
        for (id, conditions, handling) in [
            ("wp_prs_allow_own", own.as_str(), Handling::Allow),
            ("wp_prs_grantedcontacts", &granted, Handling::Allow),
            ("wp_prs_blockedcontacts", &blocked, Handling::Block),
            ("wp_prs_unlisted", "<ocp:other-identity/>", Handling::Block),
            (
                "wp_prs_block_anonymous",
                "<ocp:anonymous-request/>",
                Handling::Block,
            ),
        ] {
            for line in rule(id, conditions, handling, "").lines() {
                out += &format!("\n  {line}");
            }
        }
        out + "\n</cp:ruleset>\n"
    }

    fn external(&self, list: &str) -> String {
        let anchor = format!(
            "{}/resource-lists/users/{}/index/~~/resource-lists/list%5B@name=%22{}%22%5D",
            self.root.trim_end_matches('/'),
            segment(self.owner.as_str()),
            segment(list)
        );
        format!(
            "<ocp:external-list><ocp:entry anc=\"{}\"/></ocp:external-list>",
            escaped(&anchor)
        )
    }

    /// The rules of a document, if each of them is one that an edit can keep right.
    fn rules<'a, 'i>(&self, root: Node<'a, 'i>) -> Result<Vec<Rule<'a, 'i>>, NotUnderstood> {
        if !is(&root, POLICY, "ruleset") {
            return Err(NotUnderstood::new("it is no rule set of RFC 4745"));
        }
        elements(root).map(|node| self.rule(node)).collect()
    }

    fn rule<'a, 'i>(&self, node: Node<'a, 'i>) -> Result<Rule<'a, 'i>, NotUnderstood> {
        let id = node.attribute("id").unwrap_or("without id");
        let strange =
            || NotUnderstood::new(format!("its rule {id} is none that OMA's clients write"));
        if !is(&node, POLICY, "rule") {
            return Err(strange());
        }
        let parts = |name: &'static str| {
            elements(node)
                .filter(move |p| is(p, POLICY, name))
                .flat_map(elements)
        };
        let conditions: Vec<Node<'_, '_>> = parts("conditions").collect();
        let [condition] = conditions.as_slice() else {
            return Err(strange());
        };
        let handling = parts("actions").find(|action| is(action, RULES, "sub-handling"));
        let handling = handling.and_then(|action| Handling::parse(action.text().unwrap_or("")));
        Ok(Rule {
            node,
            about: self.about(condition).ok_or_else(strange)?,
            handling: handling.unwrap_or(Handling::Block),
        })
    }

    fn about(&self, condition: &Node<'_, '_>) -> Option<About> {
        if is(condition, OMA, "other-identity") {
            return Some(About::Others);
        }
        if is(condition, OMA, "anonymous-request") {
            return Some(About::Anonymous);
        }
        let mut inner = elements(*condition);
        let (one, None) = (inner.next()?, inner.next()) else {
            return None;
        };
        if is(condition, POLICY, "identity") {
            let own = one.attribute("id").and_then(Aor::parse).as_ref() == Some(self.owner);
            return own.then_some(About::Owner);
        }
        let anchor = Anchor::parse(one.attribute("anc")?, &[]).ok()?;
        let mine = anchor.document.owner() == Some(self.owner) && anchor.document.name == "index";
        let steps = anchor
            .steps
            .filter(|_| mine && is(condition, OMA, "external-list"))?;
        match steps.as_slice() {
            [step] if step.kind == Kind::List && step.position.is_none() => {
                Some(About::List(step.value.as_ref()?.to_string()))
            }
            _ => None,
        }
    }

    /// The rules with one that has this handling for a list, and the name of that list.
    fn ruled(&self, text: String, handling: Handling) -> Result<(String, String), NotUnderstood> {
        let document = read(&text)?;
        let rules = self.rules(document.root_element())?;
        let lists = |wanted: Option<Handling>| {
            rules.iter().filter_map(move |rule| match &rule.about {
                About::List(name) if wanted.is_none_or(|w| w == rule.handling) => {
                    Some(name.clone())
                }
                _ => None,
            })
        };
        if let Some(name) = lists(Some(handling)).next() {
            return Ok((text, name));
        }
        let usual = match handling {
            Handling::Allow => "oma_grantedcontacts",
            Handling::Block => "oma_blockedcontacts",
            Handling::PoliteBlock => "politely_blocked",
            Handling::Confirm => "deferred",
        };
        let mut names = (0..).map(|n| match n {
            0 => usual.to_owned(),
            n => format!("{usual}_{n}"),
        });
        let taken = |name: &String| {
            lists(None).any(|list| list == *name)
                || rules
                    .iter()
                    .any(|rule| rule.node.attribute("id") == Some(name))
        };
        let name = names.find(|name| !taken(name)).unwrap_or_default();
        let rule = rule(&name, &self.external(&name), handling, NAMESPACES);
        Ok((appended(&text, &document.root_element(), &rule), name))
    }

    /// The rules with another handling in the one about `about`.
    fn stated(
        &self,
        text: &str,
        about: &About,
        handling: Handling,
    ) -> Result<String, NotUnderstood> {
        let document = read(text)?;
        let root = document.root_element();
        let rules = self.rules(root)?;
        let (conditions, usual) = match about {
            About::Anonymous => ("<ocp:anonymous-request/>", "wp_prs_block_anonymous"),
            _ => ("<ocp:other-identity/>", "wp_prs_unlisted"),
        };
        let Some(present) = rules.iter().find(|rule| rule.about == *about) else {
            let rule = rule(usual, conditions, handling, NAMESPACES);
            return Ok(appended(text, &root, &rule));
        };
        if present.handling == handling {
            return Ok(text.to_owned());
        }
        let part = |name| elements(present.node).find(|p| is(p, POLICY, name));
        let transformed = part("transformations").is_some();
        let word = part("actions")
            .and_then(|actions| elements(actions).find(|a| is(a, RULES, "sub-handling")));
        if let Some(word) = word.filter(|_| !transformed && handling != Handling::Allow) {
            return Ok(with_text(text, &word, handling.word()));
        }
        // what an accepted watcher sees comes or goes with the handling: OMA allows it in no other rule
        let id = present.node.attribute("id").unwrap_or(usual);
        let rule = rule(id, conditions, handling, NAMESPACES);
        Ok(replaced(text, present.node.range(), &rule))
    }

    /// The lists with a person on none of those that rules are about, but for the list `kept`.
    fn unlisted(
        &self,
        rules: &str,
        lists: Option<String>,
        person: &Aor,
        kept: Option<&str>,
    ) -> Result<Option<String>, NotUnderstood> {
        let Some(mut text) = lists else {
            return Ok(None);
        };
        let document = read(rules)?;
        for rule in self.rules(document.root_element())? {
            let About::List(name) = rule.about else {
                continue;
            };
            if kept != Some(&name) {
                text = without_person(text, &name, person)?;
            }
        }
        Ok(Some(text))
    }
}

/// Declarations for a rule in a document of which the prefixes are not known.
const NAMESPACES: &str = " xmlns:cp=\"urn:ietf:params:xml:ns:common-policy\" xmlns:pr=\"urn:ietf:params:xml:ns:pres-rules\" \
    xmlns:ocp=\"urn:oma:xml:xdm:common-policy\"";

fn rule(id: &str, conditions: &str, handling: Handling, namespaces: &str) -> String {
    let shown = match handling {
        Handling::Allow => format!("\n  <cp:transformations>{EVERYTHING}</cp:transformations>"),
        Handling::Block | Handling::Confirm | Handling::PoliteBlock => String::new(),
    };
    format!(
        "<cp:rule{namespaces} id=\"{}\">\n  <cp:conditions>{conditions}</cp:conditions>\n  \
         <cp:actions><pr:sub-handling>{}</pr:sub-handling></cp:actions>{shown}\n</cp:rule>",
        escaped(id),
        handling.word()
    )
}

fn list_named<'a, 'i>(root: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    elements(root).find(|list| is(list, LISTS, "list") && list.attribute("name") == Some(name))
}

fn entry_of<'a, 'i>(list: Node<'a, 'i>, person: &Aor) -> Option<Node<'a, 'i>> {
    elements(list).find(|entry| {
        is(entry, LISTS, "entry")
            && entry.attribute("uri").and_then(Aor::parse).as_ref() == Some(person)
    })
}

/// Who is on a list.
fn members(lists: Option<&str>, name: &str) -> Result<Vec<String>, NotUnderstood> {
    let Some(text) = lists else {
        return Ok(Vec::new());
    };
    let document = read(text)?;
    let list = list_named(document.root_element(), name);
    let entries = list.into_iter().flat_map(elements);
    Ok(entries
        .filter_map(|entry| entry.attribute("uri").map(str::to_owned))
        .collect())
}

fn without_person(mut text: String, name: &str, person: &Aor) -> Result<String, NotUnderstood> {
    loop {
        let found = {
            let document = read(&text)?;
            let list = list_named(document.root_element(), name);
            list.and_then(|list| entry_of(list, person))
                .map(|entry| entry.range())
        };
        match found {
            Some(range) => text = without(&text, range),
            None => return Ok(text),
        }
    }
}

fn fresh_lists() -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<resource-lists xmlns=\"{LISTS}\">\n</resource-lists>\n"
    )
}

/// The lists with a person on one of them, which is made where it is not there.
fn listed(lists: Option<String>, name: &str, person: &Aor) -> Result<String, NotUnderstood> {
    let text = lists.unwrap_or_else(fresh_lists);
    let document = read(&text)?;
    let root = document.root_element();
    if !is(&root, LISTS, "resource-lists") {
        return Err(NotUnderstood::new(
            "the document of lists is none of RFC 4826",
        ));
    }
    let entry = |prefix: &str| format!("<{prefix}entry uri=\"{}\"/>", escaped(person.as_str()));
    let Some(list) = list_named(root, name) else {
        let prefix = prefix(&text, &root);
        let (name, entry) = (escaped(name), entry(prefix));
        let list = format!("<{prefix}list name=\"{name}\">\n  {entry}\n</{prefix}list>");
        return Ok(appended(&text, &root, &list));
    };
    if entry_of(list, person).is_some() {
        return Ok(text);
    }
    Ok(appended(&text, &list, &entry(prefix(&text, &list))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "http://h/xcap-root";

    fn aor(text: &str) -> Aor {
        Aor::parse(text).unwrap()
    }

    fn accept(handling: Handling, person: &str) -> Change {
        Change::List(handling, vec![aor(person)])
    }

    #[test]
    fn a_first_policy_and_its_changes() {
        let owner = aor("sip:bob@x");
        let frame = Frame {
            owner: &owner,
            root: ROOT,
        };
        let (rules, lists) = frame
            .edit(None, None, &accept(Handling::Allow, "sip:a@x"))
            .unwrap();
        let lists = lists.unwrap();
        assert!(
            lists.contains(
                "<list name=\"oma_grantedcontacts\">\n    <entry uri=\"sip:a@x\"/>\n  </list>"
            ),
            "{lists}"
        );
        let view = frame.view(Some(&rules), Some(&lists)).unwrap();
        assert_eq!(view.lists[0].people, ["sip:a@x"]);
        assert_eq!(
            (view.default, view.anonymous),
            (Some(Handling::Block), Some(Handling::Block))
        );
        // to the other list, and nothing else changes
        let (same, moved) = frame
            .edit(
                Some(&rules),
                Some(&lists),
                &accept(Handling::Block, "sip:a@x"),
            )
            .unwrap();
        assert_eq!(same, rules);
        let view = frame.view(Some(&rules), moved.as_deref()).unwrap();
        assert_eq!(
            (view.lists[0].people.len(), view.lists[1].people.len()),
            (0, 1)
        );
        // a handling without a list gets one
        let (more, deferred) = frame
            .edit(
                Some(&rules),
                Some(&lists),
                &accept(Handling::Confirm, "sip:a@x"),
            )
            .unwrap();
        let view = frame.view(Some(&more), deferred.as_deref()).unwrap();
        let last = view.lists.last().unwrap();
        assert_eq!(
            (last.handling, last.people.as_slice()),
            (Handling::Confirm, &["sip:a@x".to_owned()][..])
        );
        assert!(
            more.starts_with(
                rules
                    .trim_end()
                    .trim_end_matches("</cp:ruleset>")
                    .trim_end()
            )
        );
        for handling in [Handling::Allow, Handling::Confirm, Handling::Block] {
            let (text, _) = frame
                .edit(Some(&more), None, &Change::Default(handling))
                .unwrap();
            assert_eq!(
                frame.view(Some(&text), None).unwrap().default,
                Some(handling)
            );
            assert_eq!(
                text.matches("<cp:rule ").count(),
                more.matches("<cp:rule ").count()
            );
        }
    }

    #[test]
    fn rules_that_are_not_of_this_kind_are_left_alone() {
        let owner = aor("sip:bob@x");
        let frame = Frame {
            owner: &owner,
            root: ROOT,
        };
        for inner in [
            "<rule id=\"a\"/>",
            "<rule id=\"a\"><conditions><identity><one id=\"sip:other@x\"/></identity></conditions></rule>",
            "<rule id=\"a\"><conditions><identity><one id=\"sip:bob@x\"/></identity><sphere value=\"w\"/></conditions></rule>",
            "<rule id=\"a\"><conditions><e:external-list xmlns:e=\"urn:oma:xml:xdm:common-policy\"><e:entry anc=\"http://h/x\"/>\
             </e:external-list></conditions></rule>",
        ] {
            let text = format!("<ruleset xmlns=\"{POLICY}\">{inner}</ruleset>");
            let refused = frame.edit(Some(&text), None, &accept(Handling::Allow, "sip:a@x"));
            assert!(refused.is_err(), "{inner}");
        }
    }
}
