//! Any node selector and query: read without a panic, and what is read is written and read again as the same.
//!
//! Input: a line with the selector, a line with the query, then a document (empty: an ordinary one).
#![no_main]

use ims::xdm::node;
use ims::xdm::selector::NodeSelector;
use ims::xml::guard::{self, Limits};
use libfuzzer_sys::fuzz_target;

const DOCUMENT: &str = "<r xmlns='urn:d' xmlns:p='urn:p'><a n='1'>t</a><!-- c --><p:a p:n=\"2\" n='1'><b/></p:a><a n='&lt;é'/></r>";

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.splitn(3, '\n');
    let (path, query) = (lines.next().unwrap_or_default(), lines.next());
    let document = lines.next().filter(|d| !d.is_empty()).unwrap_or(DOCUMENT);
    let Ok(selector) = NodeSelector::parse(path, query, "urn:d") else {
        return;
    };
    let written = selector.beginning(usize::MAX);
    let (path, query) = match written.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (written.as_str(), None),
    };
    // Percent-encoding can make it longer than is taken.
    if let Ok(again) = NodeSelector::parse(path, query, "urn:d") {
        assert_eq!(again.steps, selector.steps);
    }
    let Ok(document) = guard::parse(document.as_bytes(), &Limits::default()) else {
        return;
    };
    if let Some(found) = node::find(&document, &selector) {
        let content = found.content(&document);
        if let Some(range) = found.range(&document) {
            assert_eq!(document.input_text().get(range), Some(&*content));
        }
    }
});
