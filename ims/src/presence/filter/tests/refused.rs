//! Filters that are not taken.

use super::*;

#[test]
fn a_filter_that_is_not_taken_is_refused_with_its_reason() {
    let include = |expression: &str| {
        filter_set(&format!(
            "<filter id='1'><what><include>{expression}</include></what></filter>"
        ))
    };
    let set = |inside: &str| filter_set(inside);
    let many = "<filter id='x'/>".repeat(MOST_FILTERS + 1);
    let long = format!("/p:presence[p:a='{}']", "x".repeat(3000));
    let steps = "/p:a".repeat(300);
    for (case, body, malformed) in [
        ("no XML", "hello".to_owned(), true),
        (
            "cut off",
            "<filter-set xmlns='urn:ietf:params:xml:ns:simple-filter'>".to_owned(),
            true,
        ),
        (
            "a document type",
            format!("<!DOCTYPE a>{}", set("<filter id='1'/>")),
            true,
        ),
        (
            "too long",
            format!("{}<!--{}-->", set("<filter id='1'/>"), "x".repeat(LONGEST)),
            true,
        ),
        (
            "another document",
            "<presence xmlns='urn:ietf:params:xml:ns:pidf'/>".to_owned(),
            false,
        ),
        ("no filter", set(""), false),
        ("no id", set("<filter/>"), false),
        (
            "twice the same id",
            set("<filter id='1' uri='sip:a@h'/><filter id='1' uri='sip:b@h'/>"),
            false,
        ),
        (
            "uri and domain",
            set("<filter id='1' uri='sip:a@h' domain='h'/>"),
            false,
        ),
        (
            "two for one resource",
            set("<filter id='1'/><filter id='2' uri='sip:bob@home1.test'/>"),
            false,
        ),
        (
            "two for one domain",
            set("<filter id='1' domain='h'/><filter id='2' domain='H'/>"),
            false,
        ),
        (
            "an element nobody knows",
            set("<filter id='1'><when/></filter>"),
            false,
        ),
        (
            "an attribute nobody knows",
            set("<filter id='1' name='x'/>"),
            false,
        ),
        (
            "a boolean that is none",
            set("<filter id='1' remove='yes'/>"),
            false,
        ),
        ("too many", set(&many), false),
        (
            "a type nobody knows",
            set("<filter id='1'><what><include type='xquery'>x</include></what></filter>"),
            false,
        ),
        (
            "by without number",
            set("<filter id='1'><trigger><changed by='x'>//p:a</changed></trigger></filter>"),
            false,
        ),
        (
            "by beside a word",
            set(
                "<filter id='1'><trigger><changed by='1' to='x'>//p:a</changed></trigger></filter>",
            ),
            false,
        ),
        (
            "another package",
            set("<filter id='1'/>").replace("<filter-set ", "<filter-set package='x' "),
            false,
        ),
        ("an empty expression", include(""), false),
        (
            "a relative expression",
            include("p:presence/p:tuple"),
            false,
        ),
        ("a prefix without binding", include("/q:presence"), false),
        (
            "no end of a condition",
            include("/p:presence[p:a='b'"),
            false,
        ),
        ("no end of a text", include("/p:presence[p:a='b]"), false),
        ("a function", include("/p:presence[count(p:a)=1]"), false),
        ("a position", include("/p:presence[1]"), false),
        ("an axis", include("/child::p:presence"), false),
        (
            "a condition in a condition",
            include("/p:presence[p:a[p:b='c']='d']"),
            false,
        ),
        (
            "something behind an attribute",
            include("/p:presence/@a/p:b"),
            false,
        ),
        ("an attribute of nothing", include("/@a"), false),
        ("a union", include("/p:a | /p:b"), false),
        ("an expression too long", include(&long), false),
        ("too many steps", include(&steps), false),
    ] {
        let error = Filters::default()
            .update(body.as_bytes(), "presence", &resource())
            .expect_err(case);
        assert_eq!(
            matches!(error, FilterError::Malformed(_)),
            malformed,
            "{case}: {error}"
        );
    }
}
