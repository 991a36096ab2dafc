//! Reading notification rules. A document was checked against the schema when it was put; what is not understood here
//! asks for nothing.

use super::quiet::{FARTHEST, Quiet};
use super::{Elements, LONGEST_INTERVAL, MOST, NAMESPACE, Notification};
use crate::presence::pidf::names::PIDF;
use crate::time::Seconds;
use roxmltree::Node;

/// An `<actions>` element: the combined notification rules in it, if there are any.
pub(in crate::presence) fn read(actions: Node<'_, '_>) -> Option<Notification> {
    let mut found = None;
    for node in children(actions, "notification") {
        found
            .get_or_insert_with(Notification::default)
            .combine(&notification(node));
    }
    found
}

fn children<'a, 'input: 'a>(
    node: Node<'a, 'input>,
    name: &'static str,
) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children()
        .filter(move |child| child.has_tag_name((NAMESPACE, name)))
}

fn notification(node: Node<'_, '_>) -> Notification {
    let interval = attribute(node, "interval").and_then(|text| text.parse().ok());
    // several triggers of one rule are alternatives, as elements of one trigger are
    let elements = children(node, "trigger").flat_map(|trigger| children(trigger, "element"));
    let elements: Elements = elements
        .take(MOST)
        .filter_map(|element| {
            let space = attribute(element, "ns").unwrap_or(PIDF);
            Some((space.into(), attribute(element, "name")?.into()))
        })
        .collect();
    Notification {
        triggers: if elements.is_empty() {
            Vec::new()
        } else {
            vec![elements]
        },
        interval: Seconds(interval.unwrap_or(0)).min(LONGEST_INTERVAL),
        quiet: children(node, "quiet")
            .take(MOST)
            .filter_map(quiet)
            .collect(),
    }
}

/// An attribute without white space at its ends.
fn attribute<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.attribute(name).map(str::trim)
}

fn quiet(node: Node<'_, '_>) -> Option<Quiet> {
    let offset = attribute(node, "time-offset").map_or(Some(0), |text| text.parse().ok())?;
    let days = match attribute(node, "days") {
        None => [true; 7],
        Some(text) => days(text)?,
    };
    Some(Quiet {
        from: time_of_day(attribute(node, "from")?)?,
        until: time_of_day(attribute(node, "until")?)?,
        days,
        offset: Some(offset).filter(|o| (-FARTHEST..=FARTHEST).contains(o))?,
    })
}

fn days(text: &str) -> Option<[bool; 7]> {
    let mut days = [false; 7];
    for name in text.split_ascii_whitespace() {
        let week = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        days[week.iter().position(|day| *day == name)?] = true;
    }
    Some(days)
}

/// `hh:mm` in milliseconds after midnight.
fn time_of_day(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |part: &str, below: i64| {
        let digits = part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
        let number = part.parse::<i64>().ok().filter(|_| digits)?;
        (number < below).then_some(number)
    };
    Some((number(hours, 24)? * 60 + number(minutes, 60)?) * 60_000)
}
