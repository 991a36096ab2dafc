//! `<trigger>`: which changes are told (RFC 4661 §3.6).

use super::instance::{Instances, Step};
use super::number::Decimal;
use super::path::Path;
use roxmltree::Document;

/// One `<trigger>`: all of its changes must have happened.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Trigger(pub Vec<(Path, Change)>);

/// A change of what an expression selects.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    Changed {
        from: Option<Box<str>>,
        to: Option<Box<str>>,
        by: Option<Decimal>,
    },
    Added,
    Removed,
}

impl Trigger {
    pub fn fires(&self, previous: &Document<'_>, current: &Document<'_>) -> bool {
        self.0.iter().all(|(path, change)| {
            let select = |document| Instances::of(document, path.select(document).into_iter());
            let (before, after) = (select(previous), select(current));
            before.steps(&after).iter().any(|step| change.is(step))
        })
    }
}

impl Change {
    /// `None` where `by` is no number, or the others beside it are none (§3.6.1.4).
    pub fn changed(from: Option<&str>, to: Option<&str>, by: Option<&str>) -> Option<Change> {
        let by = match by {
            Some(by) => {
                let mut others = from.iter().chain(&to);
                if others.any(|value| Decimal::parse(value).is_none()) {
                    return None;
                }
                Some(Decimal::parse(by)?)
            }
            None => None,
        };
        Some(Change::Changed {
            from: from.map(Box::from),
            to: to.map(Box::from),
            by,
        })
    }

    fn is(&self, step: &Step<'_>) -> bool {
        match (self, step) {
            (Change::Added, Step::Added) | (Change::Removed, Step::Removed) => true,
            (
                Change::Changed { from, to, by },
                Step::Changed {
                    from: before,
                    to: after,
                },
            ) => {
                let was = |wanted: &Option<Box<str>>, value: &str| {
                    wanted.as_deref().is_none_or(|wanted| same(wanted, value))
                };
                // §3.6.1.1, §3.6.1.2: from or to another value
                let limited = from.is_some() || to.is_some();
                was(from, before)
                    && was(to, after)
                    && (!limited || !same(before, after))
                    && by.is_none_or(|by| moved(before, after).is_some_and(|way| way >= by))
            }
            _ => false,
        }
    }
}

/// Equal numbers, or equal texts. Case does not count: the example of RFC 4661 §6.2 asks for `OPEN` where PIDF has
/// `open`.
fn same(wanted: &str, value: &str) -> bool {
    match (Decimal::parse(wanted), Decimal::parse(value)) {
        (Some(wanted), Some(value)) => wanted == value,
        _ => wanted.eq_ignore_ascii_case(value),
    }
}

fn moved(before: &str, after: &str) -> Option<Decimal> {
    Some(Decimal::parse(before)?.distance(Decimal::parse(after)?))
}
