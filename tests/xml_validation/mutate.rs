//! Mutants of a valid document: the same ones in every run.

use roxmltree::{Document, Node};

/// A generator of numbers (xorshift64*), so that a mutant is named by its sample and number.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(high).unwrap() % sides
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.roll(from.len())]
    }
}

#[derive(Clone)]
pub struct Element {
    name: String,
    /// As written, namespace declarations included.
    attributes: Vec<(String, String)>,
    children: Vec<Child>,
}

#[derive(Clone)]
enum Child {
    Element(Element),
    Text(String),
}

/// Values of every kind that the schemas know, good and bad at the edges.
const VALUES: [&str; 36] = [
    "",
    " ",
    "true",
    " false ",
    "0",
    "1",
    "2",
    "TRUE",
    "allow",
    " polite-block ",
    "polite block",
    "confirm",
    "Block",
    "full",
    " full ",
    "bare",
    "none",
    "sip:alice@ims.test",
    "sip:a@[2001:db8::1]",
    "tel:+36-1-555",
    "a b",
    "%zz",
    "a%2",
    "a#b#c",
    ":a",
    "http://x.test/?q=1#f",
    "\u{e9}\u{4e2d}",
    "wp_1",
    "1wp",
    "a:b",
    "2026-02-28T24:00:00Z",
    "2026-02-29T00:00:00Z",
    "2028-02-29T00:00:00+14:00",
    "2026-01-01T00:00:00+14:30",
    "2026-01-01T00:00:60Z",
    "2026-01-01",
];

const ATTRIBUTES: [&str; 8] = [
    "id",
    "value",
    "domain",
    "anc",
    "ns",
    "name",
    "xml:lang",
    "xml:space",
];

impl Element {
    pub fn read(text: &str) -> Element {
        let document = Document::parse(text).unwrap();
        Element::of(document.root_element(), text)
    }

    fn of(node: Node<'_, '_>, text: &str) -> Element {
        let tag = &text[node.range().start + 1..];
        let end = tag.find(['>', '/', ' ', '\n']).unwrap();
        let attributes = start_tag(&tag[end..]);
        let children = node.children().filter_map(|child| match child.text() {
            Some(_) if child.is_comment() => None,
            Some(text_) if child.is_text() => Some(Child::Text(text_.to_owned())),
            _ => child
                .is_element()
                .then(|| Child::Element(Element::of(child, text))),
        });
        Element {
            name: tag[..end].to_owned(),
            attributes,
            children: children.collect(),
        }
    }

    /// The document with one to three changes.
    pub fn mutant(&self, dice: &mut Dice) -> String {
        let mut root = self.clone();
        let mut names = Vec::new();
        root.names(&mut names);
        for _ in 0..=dice.roll(3) {
            root.change(dice, &names);
        }
        let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        root.write(&mut out);
        out.push('\n');
        out
    }

    fn names(&self, names: &mut Vec<String>) {
        if !names.contains(&self.name) {
            names.push(self.name.clone());
        }
        for child in &self.children {
            if let Child::Element(element) = child {
                element.names(names);
            }
        }
    }

    fn count(&self) -> usize {
        let inner = self.children.iter().map(|child| match child {
            Child::Element(element) => element.count(),
            Child::Text(_) => 0,
        });
        1 + inner.sum::<usize>()
    }

    /// The nth element in document order, counted down.
    fn nth(&mut self, n: &mut usize) -> Option<&mut Element> {
        if *n == 0 {
            return Some(self);
        }
        *n -= 1;
        self.children.iter_mut().find_map(|child| match child {
            Child::Element(element) => element.nth(n),
            Child::Text(_) => None,
        })
    }

    fn change(&mut self, dice: &mut Dice, names: &[String]) {
        let mut at = dice.roll(self.count());
        let Some(element) = self.nth(&mut at) else {
            return;
        };
        let places: Vec<usize> = (0..element.children.len())
            .filter(|i| matches!(element.children[*i], Child::Element(_)))
            .collect();
        let fresh = |dice: &mut Dice| {
            let name = match dice.roll(6) {
                0 => "f:foreign".to_owned(),
                1 => "unheard-of".to_owned(),
                _ => dice.pick(names).clone(),
            };
            let foreign = name
                .starts_with("f:")
                .then(|| ("xmlns:f".to_owned(), "urn:f".to_owned()));
            Element {
                name,
                attributes: foreign.into_iter().collect(),
                children: Vec::new(),
            }
        };
        match dice.roll(12) {
            0 if !places.is_empty() => {
                element.children.remove(*dice.pick(&places));
            }
            1 if !places.is_empty() => {
                let place = *dice.pick(&places);
                let copy = element.children[place].clone();
                element.children.insert(place, copy);
            }
            2 if places.len() > 1 => {
                let (a, b) = (*dice.pick(&places), *dice.pick(&places));
                element.children.swap(a, b);
            }
            3 | 4 => {
                let place = dice.roll(element.children.len() + 1);
                let mut new = fresh(dice);
                if dice.roll(2) == 0 {
                    new.children
                        .push(Child::Text((*dice.pick(&VALUES)).to_owned()));
                }
                element.children.insert(place, Child::Element(new));
            }
            5 => element.name = fresh(dice).name.replace("f:foreign", "unheard-of"),
            6 | 7 => {
                element
                    .children
                    .retain(|child| matches!(child, Child::Element(_)));
                element
                    .children
                    .push(Child::Text((*dice.pick(&VALUES)).to_owned()));
            }
            8 if !element.attributes.is_empty() => {
                let place = dice.roll(element.attributes.len());
                if !element.attributes[place].0.starts_with("xmlns") {
                    element.attributes.remove(place);
                }
            }
            9 => {
                let name = *dice.pick(&ATTRIBUTES);
                let value = *dice.pick(&VALUES);
                element.attributes.retain(|(n, _)| n != name);
                element.attributes.push((name.to_owned(), value.to_owned()));
            }
            _ => {
                let own: Vec<usize> = (0..element.attributes.len())
                    .filter(|i| !element.attributes[*i].0.starts_with("xmlns"))
                    .collect();
                if !own.is_empty() {
                    element.attributes[*dice.pick(&own)].1 = (*dice.pick(&VALUES)).to_owned();
                }
            }
        }
    }

    fn write(&self, out: &mut String) {
        out.push_str(&format!("<{}", self.name));
        for (name, value) in &self.attributes {
            out.push_str(&format!(" {name}=\"{}\"", escaped(value)));
        }
        if self.children.is_empty() {
            out.push_str("/>");
            return;
        }
        out.push('>');
        for child in &self.children {
            match child {
                Child::Element(element) => element.write(out),
                Child::Text(text) => out.push_str(&escaped(text)),
            }
        }
        out.push_str(&format!("</{}>", self.name));
    }
}

/// Attributes of a start tag, from behind its name.
fn start_tag(tag: &str) -> Vec<(String, String)> {
    let mut attributes = Vec::new();
    let mut rest = tag.trim_start();
    while !rest.starts_with(['>', '/']) {
        let (name, value) = rest.split_once('=').unwrap();
        let quote = value.chars().next().unwrap();
        let (value, after) = value[1..].split_once(quote).unwrap();
        let value = value
            .replace("&quot;", "\"")
            .replace("&lt;", "<")
            .replace("&amp;", "&");
        attributes.push((name.trim().to_owned(), value));
        rest = after.trim_start();
    }
    attributes
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
