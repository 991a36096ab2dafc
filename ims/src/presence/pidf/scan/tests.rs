//! Well-formed or not: by hand, and against another parser on texts made at random.

use super::*;
use proptest::prelude::*;

fn scan(text: &str) -> Result<usize, Malformed> {
    let mut scanner = Scanner::new(text);
    let mut tokens = 0;
    loop {
        match scanner.next()? {
            Token::Eof => return Ok(tokens),
            _ => tokens += 1,
        }
    }
}

#[test]
fn well_formed_or_not() {
    for (case, text, accepted) in [
        ("one element", "<a/>", true),
        (
            "declaration, comment, instruction, white space",
            "<?xml version='1.0'?>\n<!-- c --><?p q?><a/> <!-- d -->\n",
            true,
        ),
        (
            "a declaration that is not first",
            " <?xml version='1.0'?><a/>",
            false,
        ),
        ("version 2", "<?xml version='2.0'?><a/>", false),
        (
            "standalone before encoding",
            "<?xml version='1.0' standalone='yes' encoding='UTF-8'?><a/>",
            false,
        ),
        (
            "no white space in the declaration",
            "<?xml version='1.0'encoding='UTF-8'?><a/>",
            false,
        ),
        ("two roots", "<a/><b/>", false),
        ("text outside", "<a/>b", false),
        ("a reference outside", "<a/>&amp;", false),
        ("CDATA outside", "<a/><![CDATA[]]>", false),
        ("tags that cross", "<a><b></a></b>", false),
        ("an end tag too long", "<a></ab>", false),
        ("white space in an end tag", "<a></a \n>", true),
        ("an attribute in an end tag", "<a></a b='c'>", false),
        ("white space before a name", "< a/>", false),
        ("a slash inside a tag", "<a / >", false),
        ("attributes without space", "<a b='c'd='e'/>", false),
        ("an attribute without quotes", "<a b=c/>", false),
        ("an attribute without value", "<a b/>", false),
        ("an attribute twice", "<a b='c' b='d'/>", false),
        (
            "an attribute twice by namespace",
            "<a xmlns:x='u' xmlns:y='u' x:b='c' y:b='d'/>",
            false,
        ),
        (
            "one local name in two namespaces",
            "<a xmlns:x='u' xmlns:y='v' x:b='c' y:b='d' b='e'/>",
            true,
        ),
        ("a declaration twice", "<a xmlns:x='u' xmlns:x='v'/>", false),
        ("< in an attribute", "<a b='<'/>", false),
        ("> in an attribute and in text", "<a b='>'>></a>", true),
        ("an undeclared prefix", "<x:a/>", false),
        (
            "a prefix declared on the way out",
            "<a><x:b xmlns:x='u'/><x:c/></a>",
            false,
        ),
        ("a prefix declared on itself", "<x:a xmlns:x='u'/>", true),
        (
            "a prefix undeclared again",
            "<x:a xmlns:x='u'><b xmlns:x=''/></x:a>",
            false,
        ),
        (
            "the default undeclared",
            "<a xmlns='u'><b xmlns=''/></a>",
            true,
        ),
        ("xml: needs no declaration", "<a xml:lang='en'/>", true),
        (
            "xml bound to another namespace",
            "<a xmlns:xml='u'/>",
            false,
        ),
        (
            "the namespace of xmlns",
            "<a xmlns:x='http://www.w3.org/2000/xmlns/'/>",
            false,
        ),
        ("a name with two colons", "<x:a:b xmlns:x='u'/>", false),
        ("a name that ends in a colon", "<x: xmlns:x='u'/>", false),
        (
            "a local name that begins with a digit",
            "<x:1 xmlns:x='u'/>",
            false,
        ),
        ("a name beyond ASCII", "<\u{e9}l\u{e8}ve/>", true),
        ("a name with a sign in it", "<a\u{d7}/>", false),
        (
            "the predefined entities",
            "<a b='&quot;&apos;'>&amp;&lt;&gt;</a>",
            true,
        ),
        ("another entity", "<a>&nbsp;</a>", false),
        ("a bare ampersand", "<a>b & c</a>", false),
        ("characters by number", "<a>&#65;&#x1F600;&#9;</a>", true),
        ("a character that XML has not", "<a>&#1;</a>", false),
        ("half a surrogate pair", "<a>&#xD800;</a>", false),
        ("a number without digits", "<a>&#;</a>", false),
        ("a signed number", "<a>&#+65;</a>", false),
        ("a control character", "<a>\u{7}</a>", false),
        ("a non-character", "<a>\u{FFFE}</a>", false),
        ("its neighbour", "<a>\u{FFFD}\u{F000}</a>", true),
        ("]]> in text", "<a>]]></a>", false),
        ("]] in text", "<a>]]</a>", true),
        ("CDATA", "<a><![CDATA[<b>&]]></a>", true),
        ("CDATA not closed", "<a><![CDATA[</a>", false),
        ("-- in a comment", "<a><!-- -- --></a>", false),
        ("a comment that ends in ---", "<a><!-- ---></a>", false),
        (
            "an instruction called xml",
            "<a><?xml version='1.0'?></a>",
            false,
        ),
        ("an instruction without target", "<a>< ?></a>", false),
        ("a document type", "<!DOCTYPE a><a/>", false),
        (
            "an entity declaration",
            "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
            false,
        ),
    ] {
        assert_eq!(scan(text).is_ok(), accepted, "{case}: {:?}", scan(text));
    }
}

#[test]
fn bounds_are_held() {
    let nested = |levels: usize| format!("{}{}", "<a>".repeat(levels), "</a>".repeat(levels));
    assert!(scan(&nested(MAX_DEPTH)).is_ok());
    assert!(scan(&nested(MAX_DEPTH + 1)).is_err());
    let attributes = |count: usize| {
        format!(
            "<a {}/>",
            (0..count).map(|i| format!("b{i}='' ")).collect::<String>()
        )
    };
    assert!(scan(&attributes(MAX_ATTRIBUTES)).is_ok());
    assert!(scan(&attributes(MAX_ATTRIBUTES + 1)).is_err());
    let declarations = |count: usize| {
        format!(
            "<a {}/>",
            (0..count)
                .map(|i| format!("xmlns:b{i}='u' "))
                .collect::<String>()
        )
    };
    assert!(scan(&declarations(MAX_BINDINGS - 2)).is_ok());
    assert!(scan(&declarations(MAX_BINDINGS - 1)).is_err());
}

/// Pieces that make texts which are nearly XML.
const SHREDS: &[&str] = &[
    "<a>",
    "</a>",
    "<b/>",
    "<x:c xmlns:x='u'>",
    "</x:c>",
    "<x:d/>",
    "<e f='g'>",
    "</e>",
    "<",
    ">",
    "/>",
    "</",
    "&",
    "&amp;",
    "&#x41;",
    "&#0;",
    "'",
    "\"",
    "=",
    " ",
    "\n",
    "xmlns='v' ",
    "xmlns:x=\"w\" ",
    "x:h='i' ",
    "f='j' ",
    "text",
    "]]>",
    "]]",
    "<![CDATA[",
    "<!--",
    "-->",
    "--",
    "<?p",
    "?>",
    "<?xml version='1.0'?>",
    "\u{e9}",
    "\u{FFFE}",
    "\u{1}",
    ":",
    "1",
    "<!DOCTYPE a>",
];

/// Some well-formed text, with shreds put in and bytes taken out.
fn nearly_xml() -> impl Strategy<Value = String> {
    let base = prop_oneof![
        Just(include_str!("../../../../../tests/data/pidf/softphone.xml").to_owned()),
        Just(
            "<a xmlns:x='u'><b c='d' x:e=\"f\">g&lt;h</b><x:i/><!-- j --><![CDATA[k]]></a>"
                .to_owned()
        ),
        proptest::collection::vec(proptest::sample::select(SHREDS), 0..12)
            .prop_map(|shreds| shreds.concat()),
    ];
    let edits = proptest::collection::vec(
        (
            any::<prop::sample::Index>(),
            0usize..6,
            proptest::sample::select(SHREDS),
        ),
        0..4,
    );
    (base, edits).prop_map(|(mut text, edits)| {
        for (at, remove, insert) in edits {
            let positions: Vec<usize> = text
                .char_indices()
                .map(|(i, _)| i)
                .chain([text.len()])
                .collect();
            let first = at.index(positions.len());
            let last = (first + remove).min(positions.len() - 1);
            text.replace_range(positions[first]..positions[last], insert);
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_accepted_is_well_formed_to_another_parser(text in nearly_xml()) {
        if scan(&text).is_ok() {
            let verdict = roxmltree::Document::parse(&text);
            prop_assert!(verdict.is_ok(), "{:?} in {}", verdict.err(), text);
        }
    }

    /// roxmltree takes a few things that XML forbids: surrogate references, a prefix bound to nothing, names with a
    /// colon too many, `</:b>` as the end of `<b>`, a default namespace declared twice.
    #[test]
    fn what_another_parser_refuses_is_refused_and_little_else(text in nearly_xml()) {
        if let Err(malformed) = scan(&text)
            && roxmltree::Document::parse(&text).is_ok()
        {
            let stricter = ["Namespace declaration not understood", "Name with misplaced colon", "XML declaration not understood",
                "Processing instruction not accepted", "Namespace name not accepted", "Entity reference not accepted", "End tag does not match",
                "Attribute given twice"];
            prop_assert!(stricter.contains(&malformed.what), "{:?} in {}", malformed, text);
        }
    }
}
