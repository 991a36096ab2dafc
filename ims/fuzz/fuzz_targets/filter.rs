//! Any filter of a watcher: it is refused or compiled, and what it leaves of a document is a document that the rules
//! let through before.
#![no_main]

use ims::presence::compose::{Policy, Source, compose};
use ims::presence::content::{Authorized, view};
use ims::presence::filter::Filters;
use ims::presence::pidf::{self, Limits};
use ims::presence::rules::Permissions;
use ims::sip::Aor;
use ims::time::Timestamp;
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

static SHOWN: OnceLock<[Authorized; 2]> = OnceLock::new();

fn shown(basic: &str) -> Authorized {
    let text = format!(
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:r=\"urn:ietf:params:xml:ns:pidf:rpid\" \
         xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" entity=\"sip:bob@ims.test\">\
         <tuple id=\"t1\"><status><basic>{basic}</basic></status><r:class>IM</r:class><contact>sip:bob@ims.test</contact>\
         </tuple><tuple id=\"t2\"><status/></tuple><dm:person id=\"p1\"><r:mood><r:happy/></r:mood></dm:person></presence>"
    );
    let contribution = pidf::parse(text.as_bytes(), &Limits::default()).expect("a document");
    let source = Source {
        contribution: &contribution,
        at: Timestamp(1),
        order: 1,
        mark: 1,
    };
    let composed = compose(&[source], None, &Policy::default());
    view(&composed, &Permissions::all(), "sip:bob@ims.test")
}

fuzz_target!(|data: &[u8]| {
    let [open, closed] = SHOWN.get_or_init(|| ["open", "closed"].map(shown));
    let bob = [Aor::parse("sip:bob@ims.test").expect("a URI")];
    let Ok(filters) = Filters::default().update(data, "presence", &bob) else {
        return;
    };
    let Some(filter) = filters.active() else {
        return;
    };
    let left = filter.apply(open);
    assert!(left.bytes().len() <= open.bytes().len());
    let read = pidf::parse(left.bytes(), &Limits::default());
    assert!(
        read.is_ok(),
        "{read:?}: {}",
        String::from_utf8_lossy(left.bytes())
    );
    filter.fires(open, closed);
    filter.fires(open, open);
});
