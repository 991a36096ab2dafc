//! What hostile filters cost, and whatever expressions are made of.

use super::*;

/// With work for each pair of siblings this would take minutes.
#[test]
fn an_expensive_filter_costs_little_on_a_large_document() {
    let many = "<x:a/>".repeat(8000);
    let whole = document(&format!(
        "<tuple id='t'><status/><x:all xmlns:x='urn:x'>{many}</x:all></tuple>"
    ));
    let greedy =
        "<include>//*[..='x' or .='y']//*[..='x']//*[p:a='b' and */*='c']/@*</include>".repeat(20);
    assert_eq!(inside(&what(&greedy).apply(&whole)), "");
    let trigger = filter("<trigger><changed>//*</changed></trigger>");
    let later = document(&format!(
        "<tuple id='t'><status/><x:all xmlns:x='urn:x'>{many}<x:a/></x:all></tuple>"
    ));
    assert!(trigger.fires(&whole, &later));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is selected, the outcome is a presence document, made of elements of the one it comes from, and
    /// selecting from it again changes nothing that is included by name.
    #[test]
    fn a_filtered_document_is_valid_and_never_more(
        includes in vec((any::<bool>(), 0..NAMES.len(), any::<bool>()), 0..3),
        excludes in vec((any::<bool>(), 0..NAMES.len(), any::<bool>()), 0..3),
        rich in any::<bool>(),
    ) {
        let expression = |(deep, at, attribute): &(bool, usize, bool)| format!(
            "{}{}{}",
            if *deep { "//" } else { "/p:presence/*/" },
            NAMES[*at],
            if *attribute { "/@*" } else { "" }
        );
        let mut selection = String::new();
        for include in &includes {
            selection.push_str(&format!("<include>{}</include>", expression(include)));
        }
        for exclude in &excludes {
            selection.push_str(&format!("<exclude>{}</exclude>", expression(exclude)));
        }
        let whole = if rich { authorised(FULL) } else { document(TWO) };
        let set = filters(&format!("<filter id='1'><what>{selection}</what></filter>")).unwrap();
        if let Some(filter) = set.active() {
            let filtered = filter.apply(&whole);
            let text = std::str::from_utf8(filtered.bytes()).unwrap();
            prop_assert!(pidf::parse(filtered.bytes(), &pidf::Limits::default()).is_ok(), "{text}");
            let (all, left) = (tree(whole.bytes()).unwrap(), tree(filtered.bytes()).unwrap());
            let every = |document: &roxmltree::Document<'_>| -> std::collections::BTreeSet<String> {
                document.descendants().filter(|n| n.is_element())
                    .map(|n| format!("{:?}", n.tag_name())).collect()
            };
            prop_assert!(every(&left).is_subset(&every(&all)));
            prop_assert!(filtered.bytes().len() <= whole.bytes().len());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever stands in an expression, it is read or refused, and what is read can be applied.
    #[test]
    fn no_expression_is_too_strange(tokens in vec(0..TOKENS.len(), 0..24), noise in ".{0,12}", at in 0..24usize) {
        let mut expression: String = tokens.iter().map(|token| TOKENS[*token]).collect();
        let at = expression.char_indices().map(|(i, _)| i).nth(at).unwrap_or(0);
        if noise.len() % 3 == 0 {
            expression.insert_str(at, &noise);
        }
        let escaped = crate::xml::text::escaped(&expression);
        let set = filters(&format!(
            "<filter id='1'><what><include>{escaped}</include></what><trigger><changed>{escaped}</changed></trigger></filter>"
        ));
        if let Ok(set) = set && let Some(filter) = set.active() {
            let (two, one) = (document(TWO), state("a", "open", "60", "<r:away/>"));
            filter.fires(&one, &two);
            inside(&filter.apply(&two));
        }
    }
}

/// What expressions are made of.
const TOKENS: &[&str] = &[
    "/",
    "//",
    "*",
    "p:tuple",
    "p:presence",
    "r:class",
    "p:*",
    "q:x",
    ":",
    "@id",
    "@",
    "@*",
    "[",
    "]",
    "[.='IM']",
    "[r:class=\"IM\" or p:note>'1']",
    "=",
    "<",
    ">",
    "'",
    "\"",
    "..",
    ".",
    " and ",
    " or ",
    "60",
    "-",
    "\u{e9}",
    "\n",
    "1.5",
];

const NAMES: &[&str] = &[
    "*",
    "p:tuple",
    "p:status",
    "p:basic",
    "p:contact",
    "p:note",
    "p:timestamp",
    "r:class",
    "r:activities",
    "r:mood",
    "r:*",
    "op:*",
    "op:service-description",
    "op:version",
    "op:network",
    "op:willingness",
    "dm:person",
    "dm:device",
    "dm:deviceID",
    "dm:*",
];
