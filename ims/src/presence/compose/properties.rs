//! What composition promises whatever is published, on publications and policies made at random.

use super::*;
use crate::presence::content::view;
use crate::presence::pidf::{Limits, parse};
use crate::presence::rules::Permissions;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeSet;

const NAMESPACES: &str = "xmlns='urn:ietf:params:xml:ns:pidf' xmlns:dm='urn:ietf:params:xml:ns:pidf:data-model' \
    xmlns:r='urn:ietf:params:xml:ns:pidf:rpid' xmlns:x='urn:unheard:of' entity='sip:bob@home1.test'";

/// Sort, what it is the same as (contact or device), class, and elements: name and value.
type Part = (u8, u8, u8, Vec<(u8, u8)>);

fn publications() -> impl Strategy<Value = Vec<Vec<Part>>> {
    let elements = vec((0u8..3, 0u8..3), 0..4);
    vec(vec((0u8..3, 0u8..2, 0u8..3, elements), 0..4), 1..5)
}

fn policies() -> impl Strategy<Value = Policy> {
    let joining = || {
        prop_oneof![
            Just(Joining::Separate),
            Just(Joining::KeepApart),
            Just(Joining::Newest)
        ]
    };
    (joining(), joining(), joining()).prop_map(|(services, persons, devices)| Policy {
        services,
        persons,
        devices,
        ..Policy::default()
    })
}

/// An extension that no schema names, written as nobody else would.
fn element((name, value): (u8, u8)) -> String {
    format!("<x:n{name}  b='2' a=\"1\"><!--c--><r:v  id2=''>{value} &amp;\t</r:v></x:n{name}>")
}

fn body(parts: &[Part]) -> String {
    let mut components = [const { String::new() }; 2];
    for (i, (sort, key, class, elements)) in parts.iter().enumerate() {
        let mut inside: String = elements.iter().copied().map(element).collect();
        if *class > 0 {
            inside.push_str(&format!("<r:class>{class}</r:class>"));
        }
        // ids collide between publications on purpose
        match sort {
            0 => components[0].push_str(&format!(
                "<tuple id='c{i}'><status/>{inside}<contact>sip:{key}@home1.test</contact></tuple>"
            )),
            1 => components[1].push_str(&format!("<dm:person id='c{i}'>{inside}</dm:person>")),
            _ => components[1].push_str(&format!(
                "<dm:device id='c{i}'>{inside}<dm:deviceID>urn:x:{key}</dm:deviceID></dm:device>"
            )),
        }
    }
    format!("<presence {NAMESPACES}>{}</presence>", components.concat())
}

fn contributions(publications: &[Vec<Part>]) -> Vec<Contribution> {
    let read = |parts: &Vec<Part>| {
        let body = body(parts);
        parse(body.as_bytes(), &Limits::default()).unwrap_or_else(|e| panic!("{e:?}: {body}"))
    };
    publications.iter().map(read).collect()
}

/// Younger publications have higher numbers; when they last changed is something else.
fn sources(contributions: &[Contribution]) -> Vec<Source<'_>> {
    (1u64..)
        .zip(contributions)
        .map(|(order, contribution)| Source {
            contribution,
            at: Timestamp(order * 7 % 5),
            order,
            mark: order,
        })
        .collect()
}

fn document(composed: &Composed) -> String {
    let bytes = view(composed, &Permissions::all(), "sip:bob@home1.test").into_bytes();
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn ids(composed: &Composed) -> Vec<String> {
    let components = composed.components().iter();
    components
        .map(|component| composed.id(component).to_owned())
        .collect()
}

proptest! {
    #[test]
    fn the_order_in_which_sources_are_given_means_nothing(
        publications in publications(), policy in policies(), turn in 0usize..4,
    ) {
        let contributions = contributions(&publications);
        let mut sources = sources(&contributions);
        let document_before = document(&compose(&sources, None, &policy));
        let turn = turn % sources.len();
        sources.rotate_left(turn);
        prop_assert_eq!(document(&compose(&sources, None, &policy)), document_before);
    }

    #[test]
    fn ids_are_unique(publications in publications(), policy in policies()) {
        let contributions = contributions(&publications);
        let ids = ids(&compose(&sources(&contributions), None, &policy));
        let distinct: BTreeSet<&String> = ids.iter().collect();
        prop_assert_eq!(distinct.len(), ids.len(), "{:?}", ids);
    }

    #[test]
    fn a_younger_publication_changes_no_id_that_watchers_know(
        publications in publications(), policy in policies(),
    ) {
        let contributions = contributions(&publications);
        let sources = sources(&contributions);
        for count in 1..sources.len() {
            let before = ids(&compose(&sources[..count], None, &policy));
            let after = ids(&compose(&sources[..=count], None, &policy));
            prop_assert_eq!(&after[..before.len()], &before[..]);
        }
    }

    #[test]
    fn what_is_composed_composes_to_itself(publications in publications(), policy in policies()) {
        let contributions = contributions(&publications);
        let once = document(&compose(&sources(&contributions), None, &policy));
        let again = parse(once.as_bytes(), &Limits::default()).expect("valid");
        let source = Source { contribution: &again, at: Timestamp(1), order: 1, mark: 1 };
        prop_assert_eq!(document(&compose(&[source], None, &policy)), once);
    }

    #[test]
    fn nothing_is_lost_and_nothing_is_touched_unless_something_newer_stands_in_its_place(
        publications in publications(), policy in policies(),
    ) {
        let contributions = contributions(&publications);
        let sources = sources(&contributions);
        let shown = document(&compose(&sources, None, &policy));
        for (source, parts) in sources.iter().zip(&publications) {
            for (sort, key, class, elements) in parts {
                let joining = [policy.services, policy.persons, policy.devices][usize::from(*sort)];
                let rival = |name: u8| {
                    sources.iter().zip(&publications).any(|(other, parts)| {
                        other.order != source.order
                            && parts.iter().any(|(s, k, c, e)| {
                                (s, c) == (sort, class)
                                    && (*s == 1 || k == key)
                                    && e.iter().any(|(n, _)| *n == name)
                            })
                    })
                };
                for (name, value) in elements {
                    if joining == Joining::Newest && rival(*name) {
                        continue;
                    }
                    let published = element((*name, *value));
                    prop_assert!(shown.contains(&published), "{} in {}", published, shown);
                }
            }
        }
    }
}

#[test]
fn persons_without_number_who_contradict_each_other_cost_no_more_than_their_size() {
    let mut body = String::new();
    for i in 0..64 {
        let elements: String = (0..15).map(|n| format!("<x:n{n}>{i}</x:n{n}>")).collect();
        body.push_str(&format!("<dm:person id='p{i}'>{elements}</dm:person>"));
    }
    let body = format!("<presence {NAMESPACES}>{body}</presence>");
    let contribution = parse(body.as_bytes(), &Limits::default()).expect("valid");
    let sources: Vec<Source<'_>> = (0..16)
        .map(|order| Source {
            contribution: &contribution,
            at: Timestamp(order),
            order,
            mark: order,
        })
        .collect();
    let composed = compose(&sources, None, &Policy::default());
    // each of a source's first persons finds its twin, later ones are beyond what is compared
    assert!(composed.components().len() > 64 * 15 - 16 * 16 && composed.components().len() < 1_024);
}
