//! What holds for any document and any change of a part, and hostile requests for parts.

use super::*;
use proptest::prelude::*;

/// Elements with attributes, text, comments and white space, and a few names so that selectors meet something.
fn elements() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["a", "b", "p:a", "q:b"]);
    let attributes = prop::sample::select(vec![
        "",
        " n='1'",
        " n = \"2\"",
        " p:n='&lt;é\"' n='1'",
        "\n m=''",
        " xmlns='urn:o'",
    ]);
    let leaf = (name.clone(), attributes.clone()).prop_map(|(n, a)| format!("<{n}{a}/>"));
    leaf.prop_recursive(3, 24, 5, move |inner| {
        let between = prop::sample::select(vec![
            "",
            " ",
            "\n  ",
            "é&amp;",
            "<!-- </a> -->",
            "<?p x>?>",
            "<![CDATA[</a>]]>",
        ]);
        let children = prop::collection::vec((between.clone(), inner), 0..5);
        (name.clone(), attributes.clone(), children, between).prop_map(|(n, a, children, end)| {
            let children: String = children
                .into_iter()
                .map(|(b, c)| format!("{b}{c}"))
                .collect();
            format!("<{n}{a}>{children}{end}</{n}>")
        })
    })
}

fn documents() -> impl Strategy<Value = String> {
    prop::collection::vec(elements(), 0..4).prop_map(|elements| {
        let content = elements.concat();
        format!("<?xml version='1.0'?>\n<!-- r --><r xmlns='urn:d' xmlns:p='urn:p' xmlns:q='urn:q'>{content}</r>\n")
    })
}

const QUERY: &str = "xmlns(x=urn:p)xmlns(y=urn:q)xmlns(p=urn:p)";

/// A selector that often names something.
fn selectors() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["*", "a", "b", "x:a", "y:b"]);
    let position = prop::sample::select(vec!["", "[1]", "[2]", "[3]"]);
    let test = prop::sample::select(vec![
        "",
        "",
        "",
        "[@n='1']",
        "[@n=\"2\"]",
        "[@p:n='&lt;é\"']",
    ]);
    let step = (name, position, test).prop_map(|(n, p, t)| format!("/{n}{p}{t}"));
    let terminal =
        prop::sample::select(vec!["", "", "", "/@n", "/@p:n", "/@x:new", "/namespace::*"]);
    (prop::collection::vec(step, 0..4), terminal)
        .prop_map(|(steps, end)| format!("r{}{end}", steps.concat()))
}

fn bodies() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => elements(),
        3 => prop::sample::select(vec!["'1'", "\"x 'é' &#60;\"", "''"]).prop_map(str::to_owned),
        1 => "[<>/a&\"' é=]{0,12}",
    ]
}

/// What two texts have in common before and behind the one place where they differ.
fn common(one: &str, other: &str) -> (usize, usize) {
    let equal = |(a, b): &(u8, u8)| a == b;
    let before = one.bytes().zip(other.bytes()).take_while(equal).count();
    let behind = one
        .bytes()
        .rev()
        .zip(other.bytes().rev())
        .take_while(equal)
        .count();
    (before, behind)
}

/// Everything of a document but the element or attribute that is edited: what stands before it and behind it.
fn around(document: &str, content: &[u8]) -> Vec<(String, String)> {
    let content = std::str::from_utf8(content).unwrap();
    let places = document.match_indices(content);
    places
        .map(|(at, _)| {
            (
                document[..at].to_owned(),
                document[at + content.len()..].to_owned(),
            )
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_put_is_got_twice_the_same_and_the_rest_stays(document in documents(), selector in selectors(), body in bodies()) {
        let mut sheet = Sheet::new(&document, "urn:d", Limits::default());
        let was = sheet.send("GET", &selector, QUERY, b"");
        let put = sheet.send("PUT", &selector, QUERY, body.as_bytes());
        let result = sheet.text().to_owned();
        if put.status >= 400 {
            prop_assert_eq!(&result, &document, "a refusal changes nothing");
            prop_assert!(put.status != 409 || put.content_type.is_some());
            return Ok(());
        }
        prop_assert_eq!(put.status, if was.status == 200 { 200 } else { 201 });
        prop_assert!(guard::parse(result.as_bytes(), &Limits::default()).is_ok());
        let got = sheet.send("GET", &selector, QUERY, b"");
        prop_assert_eq!((got.status, &got.body[..]), (200, body.as_bytes()));
        prop_assert_eq!(&got.etag, &put.etag);
        let again = sheet.send("PUT", &selector, QUERY, body.as_bytes());
        prop_assert_eq!((again.status, &again.etag), (200, &put.etag));
        prop_assert_eq!(sheet.text(), &result);
        // Bytes outside the node stay.
        if was.status == 200 {
            let before = around(&document, &was.body);
            let after = around(&result, body.as_bytes());
            prop_assert!(before.iter().any(|rest| after.contains(rest)), "{}\n{}", document, result);
        } else {
            let (before, behind) = common(&document, &result);
            // Nothing goes but the slash of an empty element.
            prop_assert!(before + behind + 1 >= document.len(), "{}\n{}", document, result);
        }
    }

    #[test]
    fn what_is_deleted_is_not_found_and_the_rest_stays(document in documents(), selector in selectors()) {
        let mut sheet = Sheet::new(&document, "urn:d", Limits::default());
        let was = sheet.send("GET", &selector, QUERY, b"");
        let deleted = sheet.send("DELETE", &selector, QUERY, b"");
        let result = sheet.text().to_owned();
        if deleted.status >= 400 {
            prop_assert_eq!(&result, &document);
            prop_assert!(matches!(deleted.status, 405 | 409) || was.status == 404);
            return Ok(());
        }
        prop_assert_eq!(was.status, 200);
        prop_assert_eq!(sheet.send("GET", &selector, QUERY, b"").status, 404);
        prop_assert_eq!(sheet.send("DELETE", &selector, QUERY, b"").status, 404);
        let (before, behind) = common(&document, &result);
        prop_assert!(before + behind >= result.len(), "one piece is cut out");
        let kept: Vec<_> = around(&document, &was.body).into_iter().map(|(a, b)| a + &b).collect();
        if !selector.contains("/@") {
            prop_assert!(kept.contains(&result), "{}\n{}", document, result);
        }
        // What was deleted can be put again, by the same selector unless that says another place.
        let put = sheet.send("PUT", &selector, QUERY, &was.body);
        prop_assert!(matches!(put.status, 201 | 409));
    }

    #[test]
    fn no_request_for_a_part_panics(method in prop::sample::select(vec!["GET", "PUT", "DELETE"]), path in "[r/a*@n=\\[\\]'\"12:x().%é~ ]{0,30}",
                                    query in "[xmlns()=^ a%:]{0,30}", body in prop::collection::vec(any::<u8>(), 0..60)) {
        let document = "<r xmlns:p='urn:p'><a n='1'/><a n='2'><b/></a></r>";
        let mut sheet = Sheet::new(document, "", Limits::default());
        let response = sheet.send(method, &path, &query, &body);
        prop_assert!(response.status < 500);
    }
}

#[test]
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the promise is about time on this machine"
)]
fn hostile_requests_for_parts_are_answered_quickly() {
    let wide: String = (0..20_000).map(|i| format!("<a n='{i}'/>")).collect();
    let document = format!("<r>{wide}</r>");
    let deep = |n: usize| format!("{}{}", "<a>".repeat(n), "</a>".repeat(n));
    let attributes = |n: usize| (0..n).map(|i| format!(" a{i}=''")).collect::<String>();
    let started = std::time::Instant::now();
    for (case, method, path, body, status) in [
        (
            "the last of many",
            "GET",
            "r/a[20000]".to_owned(),
            String::new(),
            200,
        ),
        (
            "one by its value",
            "GET",
            "r/*[@n='19999']".into(),
            String::new(),
            200,
        ),
        (
            "one of very many",
            "PUT",
            "r/a[10000]".into(),
            "<a/>".into(),
            200,
        ),
        (
            "a new one behind many",
            "PUT",
            "r/a[20001]".into(),
            "<a/>".into(),
            201,
        ),
        (
            "a thousand brackets",
            "GET",
            "r/".to_owned() + &"[".repeat(4_000),
            String::new(),
            404,
        ),
        (
            "a thousand steps",
            "GET",
            "r/".repeat(1_000) + "r",
            String::new(),
            414,
        ),
        ("a long name", "GET", "r".repeat(4_097), String::new(), 414),
        (
            "digits without end",
            "PUT",
            format!("r/a[{}]", "9".repeat(4_000)),
            "<a/>".into(),
            409,
        ),
        (
            "traversal",
            "GET",
            "../../etc/passwd".into(),
            String::new(),
            404,
        ),
        (
            "an entity bomb",
            "PUT",
            "r/b".into(),
            "<!DOCTYPE a [<!ENTITY b 'bb'>]><a>&b;</a>".into(),
            409,
        ),
        (
            "an entity in a value",
            "PUT",
            "r/a[1]/@m".into(),
            "'&b;&b;'".into(),
            409,
        ),
        (
            "a hundred thousand levels",
            "PUT",
            "r/b".into(),
            deep(30_000),
            409,
        ),
        (
            "twenty thousand attributes",
            "PUT",
            "r/b".into(),
            format!("<b{}/>", attributes(15_000)),
            409,
        ),
        (
            "open brackets",
            "PUT",
            "r/b".into(),
            "<".repeat(200_000),
            409,
        ),
        (
            "a long value",
            "PUT",
            "r/a[1]/@m".into(),
            format!("'{}", "x".repeat(200_000)),
            409,
        ),
        (
            "too much",
            "PUT",
            "r/b".into(),
            format!("<b>{}</b>", "x".repeat(600_000)),
            413,
        ),
    ] {
        let limits = Limits {
            bytes: 512 * 1024,
            ..Limits::default()
        };
        let mut sheet = Sheet::new(&document, "", limits);
        let response = sheet.send(method, &path, "", body.as_bytes());
        assert_eq!(response.status, status, "{case}");
        assert!(response.body.len() < 2_000, "{case}");
        assert_eq!(
            sheet.text() == document,
            !matches!(status, 200 | 201) || method == "GET",
            "{case}"
        );
    }
    // A dozen readings of a document of 300 KB; unoptimised and on a busy machine.
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}
