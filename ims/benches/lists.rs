//! What reading a list costs: `cargo bench -p ims --bench lists`. A document is taken apart once while it is in use; a
//! list is made flat once for all who subscribe to it.

#![allow(clippy::expect_used, clippy::panic)]

use criterion::{Criterion, criterion_group, criterion_main};
use ims::rls::list::sheet::Sheet;
use ims::rls::list::{Absent, Found, Limits, References, read};
use std::hint::black_box;
use std::sync::Arc;

/// Entries that refer to nothing.
struct Nowhere;

impl References for Nowhere {
    fn list(&self, _: u32, _: &str) -> Result<Found, Absent> {
        Err(Absent::Missing)
    }

    fn entry(&self, _: u32, _: &str) -> Result<Found, Absent> {
        Err(Absent::Missing)
    }

    fn service(&self, _: u32, _: &str) -> Result<Option<Found>, Absent> {
        Ok(None)
    }
}

fn document(members: usize, named: bool) -> String {
    let entry = |n| match named {
        true => format!(
            "    <entry uri=\"sip:user{n:04}@home1.test\">\n      <display-name>Somebody of mine {n:04}</display-name>\n    </entry>\n"
        ),
        false => format!("<entry uri=\"sip:user{n:04}@home1.test\"/>"),
    };
    let entries: String = (0..members).map(entry).collect();
    format!(
        "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list>{entries}</list></resource-lists>"
    )
}

fn lists(criterion: &mut Criterion) {
    let limits = Limits {
        members: 20_000,
        ..Limits::default()
    };
    for (members, named) in [(200, false), (200, true), (10_000, true)] {
        let text = document(members, named);
        let names = if named { "with" } else { "without" };
        let of = |what: &str| format!("{what} of {members} {names} names");
        let sheet = || Sheet::read(text.as_bytes(), usize::MAX).expect("a document of lists");
        criterion.bench_function(&of("document"), |bench| bench.iter(|| black_box(sheet())));
        let sheet = Arc::new(sheet());
        let hash = ahash::RandomState::with_seeds(1, 2, 3, 4);
        criterion.bench_function(&of("list"), |bench| {
            bench.iter(|| {
                let found = Found {
                    sheet: sheet.clone(),
                    at: 0,
                    document: 0,
                };
                let uri = black_box("sip:friends@home1.test");
                read(uri, Ok(Some(found)), &Nowhere, &limits, hash.clone())
            });
        });
    }
}

criterion_group!(benches, lists);
criterion_main!(benches);
