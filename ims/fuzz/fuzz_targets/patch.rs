//! Any target and any diff: what is patched is well-formed; any two targets: the patch between them makes one of the other.
//!
//! Input: two documents with a NUL between them, which no document contains. The second is both a diff and a target.
#![no_main]

use ims::xml::guard;
use ims::xml::patch::{Diff, Frame, Limits, Rules, generate, same};
use libfuzzer_sys::fuzz_target;

const RULES: fn() -> Rules = || Rules {
    limits: Limits::default(),
    is_id: Some(|_, _, attribute| attribute == "id"),
    root_alias: None,
};

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(2, |b| *b == 0);
    let (Some(one), Some(two)) = (parts.next(), parts.next()) else {
        return;
    };
    let rules = RULES();
    let limits = rules.limits.document;
    let (Ok(old), Ok(new)) = (guard::parse(one, &limits), guard::parse(two, &limits)) else {
        return;
    };
    let (old, new) = (old.input_text(), new.input_text());
    match Diff::read(two, &rules.limits).and_then(|diff| diff.apply(one, &rules)) {
        Ok(patched) => {
            let read = guard::parse(patched.as_bytes(), &limits);
            assert!(read.is_ok(), "{old}\n{new}\n{patched}\n{read:?}");
        }
        Err(failure) => {
            if let Some(report) = failure.document() {
                let read = guard::parse(report.as_bytes(), &limits);
                assert!(read.is_ok(), "{report}\n{read:?}");
            }
        }
    }
    // The generator relies on a default namespace at the root, which every presence document has.
    let root = Diff::own(old).root().0.to_owned();
    let declared = |text: &str| Diff::own(text).default_namespace() == Some(root.as_str());
    if root.is_empty() || !declared(old) || !declared(new) {
        return;
    }
    let frame = Frame {
        default: &root,
        prefix: "p",
        operations: 1_000,
    };
    let Some(operations) = generate(old, new, &frame) else {
        return;
    };
    let escaped = |uri: &str| ims::xml::text::escaped(uri);
    let mut diff = format!("<p:d xmlns=\"{}\" xmlns:p=\"urn:diff\"", escaped(&root));
    for (prefix, uri) in &operations.declarations {
        diff.push_str(&format!(" xmlns:{prefix}=\"{}\"", escaped(uri)));
    }
    diff.push_str(&format!(">{}</p:d>", operations.text));
    let raised = Limits {
        document: guard::Limits {
            bytes: 4 * limits.bytes,
            namespaces: 16 * limits.namespaces,
            ..limits
        },
        ..rules.limits
    };
    let rules = Rules {
        limits: raised,
        ..rules
    };
    let patched = Diff::read(diff.as_bytes(), &raised).and_then(|diff| diff.apply(one, &rules));
    match patched {
        Ok(patched) => assert!(same(&patched, new), "{old}\n{new}\n{diff}\n{patched}"),
        Err(failure) => panic!("{old}\n{new}\n{diff}\n{failure:?}"),
    }
});
