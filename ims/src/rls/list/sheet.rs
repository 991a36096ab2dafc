//! One document of lists, taken apart once: a list of ten thousand members may be read for many watchers.

use super::{Name, SERVICES};
use crate::sip::canonical::canonical;
use crate::xml::guard::{self, Limits};
use roxmltree::Node;

/// Namespace of lists and their members, RFC 4826 §3.4.4.
const LISTS: &str = "urn:ietf:params:xml:ns:resource-lists";
/// Namespace of `xml:lang`.
const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// Most display names of one element, and the longest that is kept, in characters; a longer one is dropped, not cut.
const NAMES: usize = 16;
const LONGEST_NAME: usize = 256;
/// Longest language tag that is kept, in bytes.
const LONGEST_LANG: usize = 64;

/// The lists of a document.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sheet {
    /// In the order of the document.
    lists: Vec<Roll>,
    entries: Vec<Entry>,
    /// Length of the document.
    bytes: usize,
}

/// One `<list>`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Roll {
    name: Option<Box<str>>,
    parent: Option<u32>,
    /// Counted from 1 among the lists of its parent.
    nth: u32,
    pub names: Vec<Name>,
    pub items: Vec<Item>,
}

/// A child of a list.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    Entry(u32),
    List(u32),
    /// `<entry-ref>`.
    Reference {
        to: Box<str>,
        names: Vec<Name>,
    },
    /// `<external>`; one without an anchor names nothing.
    External(Option<Box<str>>),
}

/// One `<entry>`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// As it is written, without white space around it.
    pub uri: Box<str>,
    pub names: Vec<Name>,
}

/// A step of a node selector (RFC 4825 §6.3) towards a list, or the last one towards an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step<'a> {
    /// Counted from 1 among the siblings of one name.
    pub position: Option<u32>,
    /// `name` of a list, `uri` of an entry.
    pub value: Option<&'a str>,
}

/// What a `<service>` says of its list.
#[derive(Debug, PartialEq, Eq)]
pub enum Offer {
    /// It stands in the service: the first list of the sheet.
    Inline(Sheet),
    /// An HTTP URI names it.
    At(Box<str>),
}

/// What a document may cost: ten thousand entries with names take six nodes each.
fn limits(bytes: usize) -> Limits {
    Limits {
        bytes,
        nodes: 200_000,
        ..Limits::default()
    }
}

impl Sheet {
    /// Reads a `resource-lists` document of `most` bytes at most; `None` when it is none.
    pub fn read(document: &[u8], most: usize) -> Option<Sheet> {
        let tree = guard::parse(document, &limits(most)).ok()?;
        let root = tree.root_element();
        if !root.has_tag_name((LISTS, "resource-lists")) {
            return None;
        }
        let mut sheet = Sheet {
            bytes: document.len(),
            ..Sheet::default()
        };
        let lang = language(root, None);
        let lists = root.children().filter(|n| n.has_tag_name((LISTS, "list")));
        for (nth, list) in (1..).zip(lists) {
            sheet.list_of(list, (None, nth), lang);
        }
        sheet.entries.shrink_to_fit();
        Some(sheet)
    }

    /// Nesting is bounded by the guard.
    fn list_of(&mut self, node: Node<'_, '_>, place: (Option<u32>, u32), lang: Option<&str>) {
        let lang = language(node, lang);
        let index = self.lists.len();
        self.lists.push(Roll::default());
        let mut roll = Roll {
            name: node.attribute("name").map(Box::from),
            parent: place.0,
            nth: place.1,
            ..Roll::default()
        };
        let mut lists = 0;
        for child in node.children().filter(Node::is_element) {
            let name = child.tag_name();
            if name.namespace() != Some(LISTS) {
                continue;
            }
            match name.name() {
                "entry" => {
                    roll.items.push(Item::Entry(number(self.entries.len())));
                    self.entries.push(Entry {
                        uri: attribute(child, "uri").unwrap_or_default(),
                        names: names(child, language(child, lang)),
                    });
                }
                "list" => {
                    lists += 1;
                    roll.items.push(Item::List(number(self.lists.len())));
                    self.list_of(child, (Some(number(index)), lists), lang);
                }
                "entry-ref" => roll.items.push(Item::Reference {
                    to: attribute(child, "ref").unwrap_or_default(),
                    names: names(child, language(child, lang)),
                }),
                "external" => roll.items.push(Item::External(attribute(child, "anchor"))),
                "display-name" => roll.names.extend(name_of(child, lang)),
                _ => {}
            }
        }
        roll.names.truncate(NAMES);
        if let Some(kept) = self.lists.get_mut(index) {
            *kept = roll;
        }
    }

    /// The list at the end of `steps`; a selector that names none or several is invalid (RFC 4825 §6.3).
    pub fn list(&self, steps: &[Step<'_>]) -> Option<u32> {
        let mut at = None;
        for step in steps {
            let fits = |roll: &Roll| {
                roll.parent == at
                    && step.position.is_none_or(|n| roll.nth == n)
                    && step.value.is_none_or(|v| roll.name.as_deref() == Some(v))
            };
            let mut found = (0..).zip(&self.lists).filter(|(_, roll)| fits(roll));
            let list = found.next()?.0;
            if found.next().is_some() {
                return None;
            }
            at = Some(list);
        }
        at
    }

    /// The entry that the last step names in the list of the others.
    pub fn entry(&self, steps: &[Step<'_>]) -> Option<u32> {
        let (last, lists) = steps.split_last()?;
        let roll = self.roll(self.list(lists)?)?;
        let own = roll.items.iter().filter_map(|item| match item {
            Item::Entry(at) => Some(*at),
            _ => None,
        });
        let named = last.value.map(canonical);
        let fits = |nth: u32, at: u32| {
            let uri = self.entries.get(at as usize).map(|entry| &*entry.uri);
            last.position.is_none_or(|n| n == nth)
                && (last.value.is_none() || last.value == uri || named == uri.map(canonical))
        };
        let mut found = (1..).zip(own).filter(|(nth, at)| fits(*nth, *at));
        let (_, at) = found.next()?;
        let alone = last.position.is_some() || last.value.is_some() || found.next().is_none();
        alone.then_some(at)
    }

    pub(super) fn roll(&self, list: u32) -> Option<&Roll> {
        self.lists.get(list as usize)
    }

    pub(super) fn member(&self, entry: u32) -> Option<&Entry> {
        self.entries.get(entry as usize)
    }

    /// The lists that stand in no other.
    pub(super) fn topmost(&self) -> impl Iterator<Item = u32> + '_ {
        let all = (0..).zip(&self.lists);
        all.filter(|(_, roll)| roll.parent.is_none())
            .map(|(at, _)| at)
    }

    /// How many entries stand in it.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Length of the document, in bytes: it takes about as much in memory, and 64 bytes for each entry.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn weight(&self) -> usize {
        size_of::<Sheet>() + self.bytes + 64 * (self.entries.len() + self.lists.len())
    }
}

impl Offer {
    /// Reads a `<service>` element of `rls-services` (RFC 4826 §4.1), which need not declare that namespace itself.
    pub fn read(service: &str) -> Option<Offer> {
        let text = format!("<rls-services xmlns=\"{SERVICES}\">{service}</rls-services>");
        let tree = guard::parse(text.as_bytes(), &limits(text.len())).ok()?;
        let service = tree.root_element().first_element_child()?;
        let mut parts = service.children().filter(Node::is_element);
        parts.find_map(|part| {
            let name = part.tag_name();
            let known = matches!(name.namespace(), Some(SERVICES | LISTS));
            match name.name() {
                "list" if known => {
                    let mut sheet = Sheet {
                        bytes: text.len(),
                        ..Sheet::default()
                    };
                    sheet.list_of(part, (None, 1), language(service, None));
                    Some(Offer::Inline(sheet))
                }
                "resource-list" if known => {
                    Some(Offer::At(part.text().unwrap_or_default().trim().into()))
                }
                _ => None,
            }
        })
    }
}

fn attribute(node: Node<'_, '_>, name: &str) -> Option<Box<str>> {
    node.attribute(name).map(|value| value.trim().into())
}

/// The language of an element, which is that of the one around it unless it says another (XML 1.0 §2.12).
fn language<'a>(node: Node<'a, '_>, around: Option<&'a str>) -> Option<&'a str> {
    match node.attribute((XML, "lang")) {
        Some(own) => Some(own.trim()).filter(|own| !own.is_empty() && own.len() <= LONGEST_LANG),
        None => around,
    }
}

/// The display names of a member.
fn names(node: Node<'_, '_>, lang: Option<&str>) -> Vec<Name> {
    let names = node
        .children()
        .filter(|n| n.has_tag_name((LISTS, "display-name")));
    let named = names.filter_map(|name| name_of(name, lang));
    named.take(NAMES).collect()
}

fn name_of(node: Node<'_, '_>, around: Option<&str>) -> Option<Name> {
    let text = node.text().unwrap_or_default().trim();
    let fits = !text.is_empty() && text.chars().nth(LONGEST_NAME).is_none();
    fits.then(|| Name {
        lang: language(node, around).map(Box::from),
        text: text.into(),
    })
}

/// Members and lists of a document are far fewer: its length is bounded.
fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
