//! Any body of a PUBLISH: what is taken is well-formed to another reader too, is composed and shown as a document that is
//! taken again and says the same, and needs no patch to itself.
#![no_main]

use ims::presence::compose::{Policy, Source, compose};
use ims::presence::content::view;
use ims::presence::partial::{Copy, Difference, difference, full};
use ims::presence::pidf::{self, Limits};
use ims::presence::rules::Permissions;
use ims::time::Timestamp;
use ims::xml::guard;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let limits = Limits::default();
    let Ok(contribution) = pidf::parse(data, &limits) else {
        return;
    };
    let wide = guard::Limits {
        namespaces: 65_536,
        ..guard::Limits::default()
    };
    let own = contribution.document().as_bytes();
    assert!(
        guard::parse(own, &wide).is_ok(),
        "ours takes what another reader does not"
    );
    let source = Source {
        contribution: &contribution,
        at: Timestamp(1),
        order: 1,
        mark: 1,
    };
    let composed = compose(&[source], None, &Policy::default());
    let shown = view(&composed, &Permissions::all(), "sip:bob@ims.test");
    let again = pidf::parse(shown.bytes(), &limits);
    assert!(again.is_ok(), "what is shown is not taken again: {again:?}");
    assert_eq!(difference(&shown, &shown), Difference::Nothing);
    let mut copy = Copy::default();
    let raised = Limits {
        body: limits.body * 4,
        ..limits
    };
    copy.take(&full(&shown).numbered(1), &raised)
        .expect("a whole document of our own");
});
