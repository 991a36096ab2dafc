//! RFC 5261 by examples, by errors, and by the property that a generated patch does what it was made for.

mod errors;
mod examples;
mod property;

use super::{Diff, Failure, Limits, Rules};

const RULES: Rules = Rules {
    limits: Limits {
        document: crate::xml::guard::Limits {
            bytes: 256 * 1024,
            depth: 64,
            attributes: 256,
            namespaces: 1024,
            nodes: 65_536,
        },
        operations: 1_024,
        selector: 1_024,
        visits: 2_000_000,
    },
    is_id: Some(|_, _, attribute| attribute == "id"),
    root_alias: None,
};

fn patched(target: &str, diff: &str, rules: &Rules) -> Result<String, Failure> {
    Diff::read(diff.as_bytes(), &rules.limits)?.apply(target.as_bytes(), rules)
}

/// The patched document without the XML declaration.
fn body(target: &str, diff: &str) -> String {
    let patched = patched(target, diff, &RULES);
    let patched = patched.unwrap_or_else(|failure| panic!("{diff}: {failure:?}"));
    let body = patched.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
    body.unwrap_or(&patched).to_owned()
}
