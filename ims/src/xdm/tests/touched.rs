//! Edits judged by what they touch, held against edits judged by the whole result: the same answers and the same bytes,
//! whatever the document and the change.

mod words;

use super::*;
use crate::xdm::media::{ATTRIBUTE, ELEMENT};
use crate::xdm::selector::Terminal;
use crate::xdm::touched::Touched;
use crate::xdm::usage::Rules;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use words::{DECLARED, Edit, LISTS, Words, content, declaration, edit_of, plans};

/// The rules of a usage, which count what is judged by what it touches alone.
#[derive(Debug)]
struct Counting(Arc<dyn Rules>, AtomicUsize);

impl Rules for Counting {
    fn check(&self, candidate: &Candidate<'_>) -> Result<Standing, Conflict> {
        self.0.check(candidate)
    }

    fn still_obeyed(&self, touched: &Touched<'_, '_>) -> bool {
        let obeyed = self.0.still_obeyed(touched);
        self.1.fetch_add(usize::from(obeyed), Ordering::Relaxed);
        obeyed
    }

    fn namespaces(&self) -> Vec<String> {
        self.0.namespaces()
    }
}

/// One user's document of one usage.
struct Desk {
    xdm: Xdm,
    usage: Usage,
    counting: Arc<Counting>,
}

impl Desk {
    fn new(auid: &str, limits: Limits) -> Desk {
        let settings = Settings {
            declared: vec![declaration()],
            ..Settings::default()
        };
        let xdm = Xdm::new(settings).unwrap();
        let usage = xdm.usages.named(auid).unwrap().clone();
        let counting = Arc::new(Counting(usage.rules.clone(), AtomicUsize::new(0)));
        let rules: Arc<dyn Rules> = counting.clone();
        let usage = Usage {
            rules,
            limits,
            ..usage
        };
        Desk {
            xdm,
            usage,
            counting,
        }
    }

    fn key(&self) -> DocumentKey {
        let bob = Aor::parse("sip:bob@ims.test").unwrap();
        DocumentKey::user(bob, &self.usage.auid, "index")
    }

    /// The document as it is after it was put.
    fn put(&self, text: &str) -> Option<Document> {
        let whole = Request {
            content_type: Some(self.usage.media_type.to_string()),
            ..request("PUT", "", text)
        };
        let nothing = BTreeMap::new();
        let mut new_etag = || "t".to_owned();
        let put = self.xdm.put(
            &whole,
            &self.usage,
            self.key(),
            &Stored(&nothing),
            &mut new_etag,
        );
        match put.ok()?.change? {
            Change::Put { document, .. } => Some(document),
            Change::Delete { .. } => None,
        }
    }

    /// What becomes of the document, and what the client is told.
    fn edited(&self, document: &Document, (path, body): &Edit) -> (Response, Option<Document>) {
        let query = Some("xmlns(x=urn:x)xmlns(y=urn:y)");
        let selector = NodeSelector::parse(path, query, &self.usage.namespace).unwrap();
        let kind = match selector.terminal {
            Some(Terminal::Attribute(_)) => ATTRIBUTE,
            _ => ELEMENT,
        };
        let request = Request {
            content_type: Some(kind.to_owned()),
            ..request("", "", body.as_deref().unwrap_or_default())
        };
        let documents = BTreeMap::from([(self.key(), document.clone())]);
        let part = Part {
            usage: &self.usage,
            key: &self.key(),
            selector: &selector,
            documents: &Stored(&documents),
        };
        let mut new_etag = || "t".to_owned();
        let outcome = match body {
            Some(_) => self.xdm.put_part(&request, &part, &mut new_etag),
            None => self.xdm.delete_part(&request, &part, &mut new_etag),
        };
        match outcome {
            Ok(Outcome { response, change }) => match change {
                Some(Change::Put { document, .. }) => (response, Some(document)),
                _ => (response, None),
            },
            Err(reject) => (reject.response(403, false), None),
        }
    }

    fn judged_by_touch(&self) -> usize {
        self.counting.1.load(Ordering::Relaxed)
    }
}

/// Documents taken through edits in each test.
const CASES: u32 = 800;

/// Takes valid documents through edits, each judged both ways.
fn the_same(desk: &Desk, words: Words, cases: u32) -> (usize, usize) {
    let (changed, refused) = (Cell::new(0), Cell::new(0));
    let mut runner = TestRunner::new(Config {
        cases,
        max_global_rejects: u32::MAX,
        failure_persistence: None,
        ..Config::default()
    });
    let (start, end) = words.around;
    let valid = content(words, 0).prop_map(move |content| format!("{start}{content}{end}"));
    let several = prop::collection::vec(plans(words), 1..12);
    let outcome = runner.run(&(valid, several), |(text, plans)| {
        let Some(mut document) = desk.put(&text) else {
            return Err(TestCaseError::reject("no valid document"));
        };
        for plan in plans {
            let edit = edit_of(&String::from_utf8_lossy(&document.bytes), &plan);
            let whole = Document {
                standing: Standing::Unknown,
                ..document.clone()
            };
            let (told, by_touch) = desk.edited(&document, &edit);
            let (expected, by_whole) = desk.edited(&whole, &edit);
            let shown = String::from_utf8_lossy(&document.bytes).into_owned();
            prop_assert_eq!(&told, &expected, "{:?}\n{}", &edit, &shown);
            let bytes = |document: &Option<Document>| document.as_ref().map(|d| d.bytes.clone());
            prop_assert_eq!(
                bytes(&by_touch),
                bytes(&by_whole),
                "{:?}\n{}",
                &edit,
                &shown
            );
            match by_touch {
                Some(next) => {
                    changed.set(changed.get() + 1);
                    document = next;
                }
                None => refused.set(refused.get() + 1),
            }
        }
        Ok(())
    });
    outcome.expect("the same");
    (changed.get(), refused.get())
}

#[test]
fn an_edit_of_lists_is_judged_by_what_it_touches_as_by_the_whole() {
    let desk = Desk::new("resource-lists", Limits::default());
    let (changed, refused) = the_same(&desk, LISTS, CASES);
    let touched = desk.judged_by_touch();
    assert!(
        touched > 100 && changed > touched && refused > 500,
        "{touched} of {changed}, {refused} refused"
    );
}

#[test]
fn an_edit_under_any_schema_is_judged_by_what_it_touches_as_by_the_whole() {
    let desk = Desk::new("t", Limits::default());
    let (changed, refused) = the_same(&desk, DECLARED, CASES);
    let touched = desk.judged_by_touch();
    assert!(
        touched > 100 && changed > touched && refused > 500,
        "{touched} of {changed}, {refused} refused"
    );
}

#[test]
fn a_document_of_which_nothing_is_known_is_judged_whole_once() {
    let desk = Desk::new("resource-lists", Limits::default());
    let (start, end) = LISTS.around;
    let put = desk.put(&format!(
        "{start}<list name='a'><entry uri='sip:a@x'/></list>{end}"
    ));
    let stored = Document::decode(&put.unwrap().encode()).unwrap();
    let entry = |uri: &str, body: &str| {
        let path = format!("resource-lists/list/entry[@uri='{uri}']");
        (path, Some(body.to_owned()))
    };
    let first = entry(
        "sip:a@x",
        "<entry uri='sip:a@x'><display-name>A</display-name></entry>",
    );
    let (told, document) = desk.edited(&stored, &first);
    assert_eq!((told.status, desk.judged_by_touch()), (200, 0));
    let (told, document) = desk.edited(
        &document.unwrap(),
        &entry("sip:b@x", "<entry uri='sip:b@x'/>"),
    );
    assert_eq!((told.status, desk.judged_by_touch()), (201, 1));
    let (told, _) = desk.edited(
        &document.unwrap(),
        &entry("sip:b@x", "<entry uri='sip:b@x' more=''/>"),
    );
    assert_eq!((told.status, desk.judged_by_touch()), (409, 1));
}

#[test]
fn limits_of_the_whole_document_hold_for_what_is_judged_by_touch() {
    let (start, end) = LISTS.around;
    let text = format!("{start}<list name='a'>{}</list>{end}", "<entry uri='c'/>");
    let entry = |n: usize| {
        let path = format!("resource-lists/list/entry[@uri='{n}']");
        (path, Some(format!("<entry uri='{n}' xmlns:p{n}='urn:p'/>")))
    };
    for (case, limits) in [
        (
            "bytes",
            Limits {
                bytes: 700,
                ..Limits::default()
            },
        ),
        (
            "nodes",
            Limits {
                nodes: 20,
                ..Limits::default()
            },
        ),
        (
            "namespaces",
            Limits {
                namespaces: 9,
                ..Limits::default()
            },
        ),
    ] {
        let desk = Desk::new("resource-lists", limits);
        let mut document = desk.put(&text).unwrap();
        let mut taken = 0;
        let refused = loop {
            let whole = Document::new("t", document.bytes.clone());
            let (told, next) = desk.edited(&document, &entry(taken));
            assert_eq!(
                told,
                desk.edited(&whole, &entry(taken)).0,
                "{case} at {taken}"
            );
            match next {
                Some(next) => document = next,
                None => break told.status,
            }
            taken += 1;
            assert!(taken < 100, "{case}: no end");
        };
        assert_eq!(refused, 409, "{case}");
        assert!(taken > 1 && desk.judged_by_touch() > 0, "{case}: {taken}");
    }
}
