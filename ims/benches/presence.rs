//! What one PUBLISH costs on its way to the watchers, part by part: `cargo bench -p ims`.
//!
//! The document is one publication of a terminal with three services, a person and a device, about 1.9 KB. Figures and
//! the machine they are from are in docs/performance.md.

#![allow(clippy::expect_used, clippy::panic)]

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use ims::presence::compose::{Composed, Policy, Source, compose};
use ims::presence::content::{Authorized, view};
use ims::presence::filter::Filters;
use ims::presence::partial::{self, Copy, Difference};
use ims::presence::pidf::{self, Contribution, Limits};
use ims::presence::rules::{Context, Permissions, Ruleset, Watcher, decide};
use ims::sip::{Aor, KnownMethod, Method, Name, Transport, write};
use ims::time::Timestamp;
use std::hint::black_box;

const BOB: &str = "sip:bob@home1.test";
const ALICE: &str = "sip:alice@home1.test";

fn document(services: usize, basic: &str) -> String {
    let mut out = format!(
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" \
         xmlns:r=\"urn:ietf:params:xml:ns:pidf:rpid\" xmlns:op=\"urn:oma:xml:prs:pidf:oma-pres\" entity=\"{BOB}\">"
    );
    for n in 0..services {
        out.push_str(&format!(
            "<tuple id=\"t{n}\"><status><basic>{basic}</basic></status>\
             <op:willingness><op:basic>open</op:basic></op:willingness>\
             <op:service-description><op:service-id>org.example:service{n}</op:service-id><op:version>1.0</op:version>\
             </op:service-description><dm:deviceID>urn:uuid:48662e19-5fbf-43fc-a2fd-d23002787599</dm:deviceID>\
             <contact priority=\"0.8\">sip:bob{n}@home1.test</contact><note>here</note></tuple>"
        ));
    }
    out.push_str(
        "<dm:person id=\"p1\"><r:activities><r:meeting/></r:activities><r:mood><r:happy/></r:mood>\
         <r:place-type><r:office xmlns:r=\"urn:ietf:params:xml:ns:pidf:rpid\"/></r:place-type>\
         <dm:note>until noon</dm:note></dm:person>\
         <dm:device id=\"d1\"><op:network-availability><op:network id=\"IMS\"><op:active/></op:network>\
         </op:network-availability><dm:deviceID>urn:uuid:48662e19-5fbf-43fc-a2fd-d23002787599</dm:deviceID></dm:device>\
         </presence>",
    );
    out
}

/// Limits that an operator would raise for documents of a thousand tuples.
fn limits() -> Limits {
    Limits {
        body: 4 << 20,
        components: 2_000,
        elements: 20_000,
    }
}

fn contribution(text: &str) -> Contribution {
    pidf::parse(text.as_bytes(), &limits()).expect("a presence document")
}

fn composed(contributions: &[Contribution]) -> Composed {
    let sources: Vec<Source<'_>> = (1..)
        .zip(contributions)
        .map(|(order, contribution)| Source {
            contribution,
            at: Timestamp(order),
            order,
            mark: order,
        })
        .collect();
    compose(&sources, None, &Policy::default())
}

fn shown(text: &str) -> Authorized {
    view(&composed(&[contribution(text)]), &Permissions::all(), BOB)
}

fn of_publications(c: &mut Criterion) {
    let text = document(3, "open");
    c.bench_function("pidf parse", |b| {
        b.iter(|| pidf::parse(black_box(text.as_bytes()), &limits()));
    });
    let one = [contribution(&text)];
    c.bench_function("compose, one source", |b| {
        b.iter(|| composed(black_box(&one)))
    });
    let three = ["open", "closed", "open"].map(|basic| contribution(&document(3, basic)));
    c.bench_function("compose, three sources", |b| {
        b.iter(|| composed(black_box(&three)))
    });
    let state = composed(&one);
    c.bench_function("view", |b| {
        b.iter(|| view(black_box(&state), &Permissions::all(), BOB))
    });
}

/// Ten rules, of which the last names the watcher: each condition before it is looked at.
fn of_rules(c: &mut Criterion) {
    let mut rules = String::from(
        "<cp:ruleset xmlns:cp='urn:ietf:params:xml:ns:common-policy' xmlns:pr='urn:ietf:params:xml:ns:pres-rules' \
         xmlns:ocp='urn:oma:xml:xdm:common-policy'>",
    );
    for n in 0..10 {
        let identity = match n {
            9 => format!("<cp:identity><cp:one id='{ALICE}'/></cp:identity>"),
            n if n % 3 == 0 => format!(
                "<ocp:external-list><ocp:entry anc='http://xcap.home1.test/list{n}'/></ocp:external-list>"
            ),
            n => format!(
                "<cp:identity><cp:many domain='d{n}.test'/><cp:one id='sip:x{n}@home1.test'/></cp:identity>"
            ),
        };
        rules.push_str(&format!(
            "<cp:rule id='r{n}'><cp:conditions>{identity}</cp:conditions><cp:actions><pr:sub-handling>allow\
             </pr:sub-handling></cp:actions><cp:transformations><pr:provide-services><pr:all-services/>\
             </pr:provide-services><pr:provide-all-attributes/></cp:transformations></cp:rule>"
        ));
    }
    rules.push_str("</cp:ruleset>");
    let ruleset = Ruleset::parse(rules.as_bytes()).expect("rules");
    let (bob, alice) = (
        Aor::parse(BOB).expect("a URI"),
        Aor::parse(ALICE).expect("a URI"),
    );
    let (presentity, identities) = ([bob], [alice]);
    let watcher = Watcher {
        identities: &identities,
        anonymous: false,
    };
    let context = Context {
        now: Timestamp(0),
        presentity: &presentity,
        sphere: None,
        default: None,
        anonymous: None,
        imposed: None,
        external_list: &|_, _| Some(false),
    };
    c.bench_function("decision, ten rules", |b| {
        b.iter(|| decide(black_box(&[&ruleset]), &watcher, &context));
    });
}

fn of_filters(c: &mut Criterion) {
    let filter = "<filter-set xmlns=\"urn:ietf:params:xml:ns:simple-filter\"><ns-bindings>\
                  <ns-binding prefix=\"pidf\" urn=\"urn:ietf:params:xml:ns:pidf\"/></ns-bindings><filter id=\"1\"><what>\
                  <include type=\"xpath\">/pidf:presence/pidf:tuple[@id=\"t1\"]/pidf:status/pidf:basic</include></what>\
                  <trigger><changed from=\"open\">/pidf:presence/pidf:tuple/pidf:status/pidf:basic</changed></trigger>\
                  </filter></filter-set>";
    let bob = [Aor::parse(BOB).expect("a URI")];
    let filters = Filters::default().update(filter.as_bytes(), "presence", &bob);
    let filters = filters.expect("a filter");
    let filter = filters.active().expect("an active filter");
    let (old, new) = (shown(&document(3, "open")), shown(&document(3, "closed")));
    c.bench_function("filter, select", |b| {
        b.iter(|| filter.apply(black_box(&old)))
    });
    c.bench_function("filter, trigger", |b| {
        b.iter(|| filter.fires(black_box(&old), black_box(&new)));
    });
}

fn of_partial_documents(c: &mut Criterion) {
    for (size, services) in [("3 services", 3), ("1,000 services", 1_000)] {
        let old = document(services, "open");
        let new = old.replacen("open", "closed", 1);
        let (old, new) = (shown(&old), shown(&new));
        c.bench_function(&format!("partial, difference, {size}"), |b| {
            b.iter(|| partial::difference(black_box(&old), black_box(&new)));
        });
        c.bench_function(&format!("partial, whole, {size}"), |b| {
            b.iter(|| partial::full(black_box(&new)));
        });
        let Difference::Patch(patch) = partial::difference(&old, &new) else {
            panic!("no patch");
        };
        let patch = patch.numbered(2);
        let mut copy = Copy::default();
        let first = partial::full(&old).numbered(1);
        copy.take(&first, &limits()).expect("a whole document");
        c.bench_function(&format!("partial, apply, {size}"), |b| {
            b.iter(|| copy.clone().take(black_box(&patch), &limits()));
        });
    }
    // A change in each of a thousand services: as many operations as one patch may have.
    let (old, new) = (
        shown(&document(1_000, "open")),
        shown(&document(1_000, "closed")),
    );
    let Difference::Patch(patch) = partial::difference(&old, &new) else {
        panic!("no patch");
    };
    let patch = patch.numbered(2);
    c.bench_function(
        "partial, difference, 1,000 of 1,000 services changed",
        |b| {
            b.iter(|| partial::difference(black_box(&old), black_box(&new)));
        },
    );
    let mut copy = Copy::default();
    let first = partial::full(&old).numbered(1);
    copy.take(&first, &limits()).expect("a whole document");
    c.bench_function("partial, apply, 1,000 of 1,000 services changed", |b| {
        b.iter(|| copy.clone().take(black_box(&patch), &limits()));
    });
}

/// What is left to do for each watcher: the version in its place, and the message around the body.
fn of_notify(c: &mut Criterion) {
    let document = shown(&document(3, "open"));
    let body = partial::full(&document);
    c.bench_function("notify, splice", |b| {
        b.iter(|| black_box(&body).numbered(black_box(42)))
    });
    c.bench_function("notify, write", |b| {
        b.iter(|| notify(black_box(document.bytes())))
    });
}

fn notify(body: &Bytes) -> Bytes {
    let method = Method::Known(KnownMethod::Notify);
    let mut writer = write::request_with_body(method, "sip:alice@10.0.0.2:5060", body.len());
    writer
        .via(
            Transport::Udp,
            "10.0.0.1:5060",
            "z9hG4bK0123456789abcdef0123456789",
        )
        .header(Name::Route, "<sip:mt@scscf.home1.test:6060;lr>")
        .header(Name::Route, "<sip:term@pcscf.home1.test;lr>")
        .number(Name::MaxForwards, 70)
        .parts(
            Name::From,
            &["<sip:bob@home1.test>", ";tag=", "0123456789abcdef"],
        )
        .header(Name::To, "<sip:alice@home1.test>;tag=31415")
        .header(Name::CallId, "b89rjhnedlrfjflslj40a222")
        .cseq(61, method)
        .header(Name::Contact, "<sip:p1a2@10.0.0.1:5060>")
        .header(Name::Event, "presence")
        .header(Name::SubscriptionState, "active;expires=5999")
        .header(
            Name::PChargingVector,
            "icid-value=\"AyretyU0dm+6O2IrT5tAFrbHLso=\";orig-ioi=home1.test",
        )
        .body(pidf::MEDIA_TYPE, body);
    writer.finish()
}

criterion_group! {
    name = presence;
    config = Criterion::default().sample_size(30);
    targets = of_publications, of_rules, of_filters, of_partial_documents, of_notify
}
criterion_main!(presence);
