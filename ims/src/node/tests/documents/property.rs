//! Whatever is edited, and whenever the node falls over: a copy that is kept by what is told is the document.

use super::*;
use crate::event::turn::Random;
use crate::xml::patch::{Diff, Limits, Rules, same};

const DOCUMENTS: [&str; 3] = [
    LIST,
    "resource-lists/users/sip:bob@ims.test/index2",
    "resource-lists/users/sip:bob@ims.test/old%20ones",
];
const NAMESPACE: &str = "urn:ietf:params:xml:ns:xcap-diff";

/// A subscriber with copies of what it is told of.
#[derive(Default)]
struct Copies {
    /// Entity-tag and text, by selector.
    held: BTreeMap<String, (String, String)>,
    patched: usize,
    got: usize,
}

impl Copies {
    /// Takes in a body; `versions` is what a GET would give for an entity-tag.
    fn take(&mut self, body: &str, versions: &BTreeMap<String, String>) {
        valid(body);
        let document = roxmltree::Document::parse(body).unwrap();
        for n in document
            .root_element()
            .children()
            .filter(|n| n.is_element())
        {
            let sel = n.attribute("sel").unwrap().to_owned();
            let Some(new) = n.attribute("new-etag") else {
                assert!(n.attribute("previous-etag").is_some());
                self.held.remove(&sel);
                continue;
            };
            let held = self.held.get(&sel);
            if held.is_some_and(|(etag, _)| etag == new) {
                continue; // told twice
            }
            let previous = n.attribute("previous-etag");
            let fits = held.filter(|(etag, _)| Some(etag.as_str()) == previous);
            let text = match fits.filter(|_| n.has_children()) {
                Some((_, old)) => {
                    self.patched += 1;
                    patched(old, n)
                }
                None => {
                    self.got += 1;
                    versions[new].clone()
                }
            };
            assert!(
                same(&text, &versions[new]),
                "{body}\n{text}\n{}",
                versions[new]
            );
            self.held.insert(sel, (new.to_owned(), text));
        }
    }
}

/// A text with the operations of a `<document>`.
fn patched(old: &str, document: roxmltree::Node<'_, '_>) -> String {
    if document
        .first_element_child()
        .unwrap()
        .has_tag_name((NAMESPACE, "body-not-changed"))
    {
        return old.to_owned();
    }
    let source = &document.document().input_text()[document.range()];
    let source = source.replacen(" sel=", &format!(" xmlns:xd=\"{NAMESPACE}\" sel="), 1);
    let rules = Rules {
        limits: Limits::default(),
        is_id: None,
        root_alias: None,
    };
    let diff =
        Diff::read(source.as_bytes(), &rules.limits).unwrap_or_else(|f| panic!("{f:?}: {source}"));
    diff.apply(old.as_bytes(), &rules)
        .unwrap_or_else(|f| panic!("{f:?}: {source}\n{old}"))
}

/// A document of lists within lists, some with words and names of their own.
fn random_lists(dice: &mut impl FnMut(u64) -> u64) -> String {
    let mut lists = String::new();
    for n in 0..1 + dice(3) {
        let prefix = ["", "<!-- c -->", " "][dice(3) as usize];
        lists.push_str(&format!("{prefix}<list name=\"l{n}\">"));
        if dice(3) == 0 {
            lists.push_str(&format!(
                "<display-name>w{} &amp; x</display-name>",
                dice(4)
            ));
        }
        let first = dice(3);
        for entry in first..first + dice(5) {
            let more =
                ["", " x:a=\"1\" xmlns:x=\"urn:x\"", " d=\"&lt;\""][dice(8).min(2) as usize % 3];
            let more = if more.starts_with(" d") { "" } else { more };
            lists.push_str(&format!("<entry uri=\"sip:e{entry}@ims.test\"{more}>"));
            if dice(3) == 0 {
                lists.push_str(&format!("<display-name>n{}</display-name>", dice(3)));
            }
            if dice(6) == 0 {
                lists.push_str("<y:z xmlns:y=\"urn:y\" xmlns=\"urn:z\"><q/></y:z>");
            }
            lists.push_str("</entry>");
        }
        lists.push_str("</list>");
    }
    let root = [
        "xmlns=\"urn:ietf:params:xml:ns:resource-lists\"",
        "xmlns=\"urn:ietf:params:xml:ns:resource-lists\" xmlns:u=\"urn:u\"",
    ];
    // what never changes makes a patch worth its while
    let filler: String = (0..20)
        .map(|n| format!("<entry uri=\"sip:somebody-who-never-leaves{n}@ims.test\"/>"))
        .collect();
    let filler = format!("<list name=\"filler\">{filler}</list>");
    format!(
        "<resource-lists {}>{lists}{filler}</resource-lists>",
        root[dice(2) as usize]
    )
}

/// One life of a subscription: edits, answers, refusals, crashes.
fn live(seed: u8, mode: &str) -> Copies {
    let mut random = Random::new([seed; 32]);
    let mut dice = move |below: u64| random.number() % below;
    let mut settings = with(|xdm| xdm.diff.max_changes = 4);
    settings.presence.notify_interval = Millis(1_000);
    let mut bench = Bench::new(settings);
    let mut versions = BTreeMap::new();
    let mut copies = Copies::default();
    let uris = match dice(3) {
        0 => vec!["resource-lists/users/sip:bob@ims.test/"],
        1 => vec![LIST, "resource-lists/users/"],
        _ => DOCUMENTS.to_vec(),
    };
    let event = format!("xcap-diff;diff-processing={mode}");
    let mut waiting = bench.ask_for(BOB, &event, "", &wanted(&uris)).split_off(1);
    for _ in 0..60 {
        match dice(10) {
            0..=4 => {
                let target = DOCUMENTS[dice(3) as usize];
                let there = bench.edits_there(target);
                let body = if there && dice(6) == 0 {
                    String::new()
                } else {
                    random_lists(&mut dice)
                };
                let (etag, sent) = bench.edit(BOB, target, &body);
                if !body.is_empty() {
                    versions.insert(etag, body);
                }
                waiting.extend(sent);
            }
            5..=7 => {
                let Some(notify) = waiting.pop() else {
                    continue;
                };
                assert!(waiting.is_empty(), "one at a time");
                let refused = dice(8) == 0;
                if !refused || dice(2) == 0 {
                    copies.take(notify.body(), &versions);
                }
                waiting.extend(bench.answer(&notify, if refused { 503 } else { 200 }, ""));
            }
            8 => {
                let sent = bench.wait(dice(3_000));
                waiting.extend(sent.into_iter().filter(|s| s.ticket.is_some()));
            }
            _ => {
                // what was on its way may have arrived, and its answer is lost
                if let Some(notify) = waiting.pop().filter(|_| dice(2) == 0) {
                    copies.take(notify.body(), &versions);
                }
                bench.serial += 1; // other numbers in each process
                bench.restart(dice(2_000));
            }
        }
    }
    // what is owed is told in the end
    for _ in 0..40 {
        for notify in std::mem::take(&mut waiting) {
            copies.take(notify.body(), &versions);
            waiting.extend(bench.answer(&notify, 200, ""));
        }
        let sent = bench.wait(1_000);
        waiting.extend(sent.into_iter().filter(|s| s.ticket.is_some()));
    }
    let truth: BTreeMap<String, String> = bench.documents();
    let held: BTreeMap<String, String> = copies
        .held
        .iter()
        .map(|(sel, (etag, _))| (sel.clone(), etag.clone()))
        .collect();
    assert_eq!(held, truth, "seed {seed}, {mode}");
    copies
}

impl Bench {
    fn edits_there(&self, target: &str) -> bool {
        self.documents().contains_key(target)
    }

    /// Bob's documents with their entity-tags.
    fn documents(&self) -> BTreeMap<String, String> {
        let all = self
            .store
            .iter()
            .filter(|((t, _), _)| *t == Table::Document);
        all.map(|((_, key), value)| {
            let key = xdm::DocumentKey::decode(key).unwrap();
            let document = xdm::Document::decode(value).unwrap();
            (key.to_string().replace(' ', "%20"), document.etag)
        })
        .collect()
    }
}

#[test]
fn a_copy_that_is_kept_by_what_is_told_is_the_document() {
    for mode in ["no-patching", "xcap-patching", "aggregate"] {
        let (mut patched, mut got) = (0, 0);
        for seed in 0..24 {
            let copies = live(seed, mode);
            patched += copies.patched;
            got += copies.got;
        }
        assert_eq!(patched > 20, mode != "no-patching", "{mode}: {patched}");
        assert!(got > 0, "{mode}");
    }
}
