//! Partial documents as a watcher and a publisher see them.

use super::*;

const LIMITS: pidf::Limits = pidf::Limits {
    body: 65_536,
    components: 64,
    elements: 1_024,
};

/// A document as content rules make it.
fn shown(inside: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><presence xmlns=\"{PIDF}\" xmlns:dm=\"{DATA_MODEL}\" \
         xmlns:r=\"{RPID}\" entity=\"sip:bob@home1.test\">{inside}</presence>"
    )
}

fn tuple(id: usize, basic: &str) -> String {
    format!(
        "<tuple id=\"t{id}\"><status><basic>{basic}</basic></status><r:class>forms</r:class>\
         <contact priority=\"0.{id}\">sip:bob{id}@home1.test</contact></tuple>"
    )
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A valid presence document that says what `expected` says.
fn assert_says(document: &str, expected: &str) {
    assert!(
        pidf::parse(document.as_bytes(), &LIMITS).is_ok(),
        "{document}"
    );
    assert!(
        patch::same(document, expected),
        "{document}\nis not\n{expected}"
    );
}

#[test]
fn a_full_document_is_the_presence_document_under_another_name() {
    let document = shown(&(tuple(1, "open") + "<note>x</note>"));
    let body = full_of(&document).numbered(567);
    assert!(
        text(&body).contains(
            "<p:pidf-full version=\"567\" xmlns:p=\"urn:ietf:params:xml:ns:pidf-diff\" xmlns=\""
        ),
        "{}",
        text(&body)
    );
    assert!(text(&body).ends_with("</p:pidf-full>"));
    let mut copy = Copy::default();
    copy.take(&body, &LIMITS).unwrap();
    assert_eq!(copy.version, Some(567));
    assert_says(&copy.document.unwrap(), &document);
}

#[test]
fn a_prefix_of_the_publisher_is_left_alone() {
    let document = shown("<x xmlns=\"urn:x\"/>").replace("xmlns:r=", "xmlns:p=");
    let body = full_of(&document).numbered(1);
    assert!(
        text(&body).contains("<p0:pidf-full version=\"1\""),
        "{}",
        text(&body)
    );
    let mut copy = Copy::default();
    copy.take(&body, &LIMITS).unwrap();
    assert!(patch::same(&copy.document.unwrap(), &document));
}

#[test]
fn a_change_is_told_by_a_few_operations_and_followed() {
    let person = |inside: &str| format!("<dm:person id=\"p1\">{inside}</dm:person>");
    let away = person("<r:activities><r:away/></r:activities>");
    let busy = person("<r:activities><r:busy/></r:activities><dm:note>soon</dm:note>");
    let stages = [
        (
            shown(&(tuple(1, "open") + &tuple(2, "open") + &tuple(3, "open"))),
            "",
        ),
        (
            shown(&(tuple(1, "open") + &tuple(2, "closed") + &tuple(3, "open"))),
            "<p:replace sel=\"*/tuple[@id='t2']/status/basic/text()\">closed</p:replace>",
        ),
        (
            shown(&(tuple(1, "open") + &tuple(3, "open") + &away)),
            "<p:remove sel=\"*/tuple[@id='t2']\"/><p:add sel=\"*\"><dm:person ",
        ),
        (
            shown(&(tuple(1, "open") + &tuple(3, "open") + &busy)),
            "<p:replace sel=\"*/dm:person[@id='p1']\"><dm:person ",
        ),
        (
            shown(&(tuple(0, "open") + &tuple(1, "open") + &tuple(3, "open") + &busy)),
            "<p:add sel=\"*\" pos=\"prepend\"><tuple xmlns:r=\"",
        ),
        (
            shown(
                &(tuple(0, "open")
                    + &tuple(1, "open")
                    + &tuple(4, "open")
                    + &tuple(3, "open")
                    + &busy),
            ),
            "<p:add sel=\"*/tuple[@id='t1']\" pos=\"after\"><tuple xmlns:r=\"",
        ),
        (
            shown(
                &(tuple(0, "open")
                    + &tuple(1, "open")
                    + &tuple(4, "open")
                    + &tuple(3, "open")
                    + &busy)
                    .replace("priority=\"0.4\"", "priority=\"0.5\""),
            ),
            "<p:replace sel=\"*/tuple[@id='t4']/contact/@priority\">0.5</p:replace>",
        ),
    ];
    let mut copy = Copy::default();
    copy.take(&full_of(&stages[0].0).numbered(1), &LIMITS)
        .unwrap();
    for (version, pair) in (2..).zip(stages.windows(2)) {
        let (from, (to, operations)) = (&pair[0].0, &pair[1]);
        let Difference::Patch(body) = difference_of(from, to) else {
            panic!("no patch from {from} to {to}");
        };
        let body = body.numbered(version);
        assert!(text(&body).contains(operations), "{}", text(&body));
        assert!(body.len() < to.len());
        copy.take(&body, &LIMITS).unwrap();
        assert_says(copy.document.as_deref().unwrap(), to);
    }
}

#[test]
fn what_is_no_change_or_no_shorter_is_told_so() {
    let one = shown(&tuple(1, "open"));
    assert_eq!(difference_of(&one, &one), Difference::Nothing);
    let written_otherwise = one.replace("r:class", "q:class").replace(":r=", ":q=");
    assert!(written_otherwise != one);
    assert_eq!(difference_of(&one, &written_otherwise), Difference::Nothing);
    let another = shown(&tuple(2, "closed"));
    assert_eq!(difference_of(&one, &another), Difference::Whole);
}

#[test]
fn a_thousand_tuples_are_compared_and_patched() {
    let many: Vec<String> = (0..1_000).map(|i| tuple(i, "open")).collect();
    let mut changed = many.clone();
    for tuple in changed.iter_mut().step_by(10) {
        *tuple = tuple.replace("open", "closed");
    }
    changed.rotate_left(1);
    let (old, new) = (shown(&many.concat()), shown(&changed.concat()));
    let limits = pidf::Limits {
        body: 1 << 20,
        components: 1_000,
        elements: 10_000,
    };
    let Difference::Patch(body) = difference_of(&old, &new) else {
        panic!("no patch");
    };
    assert!(
        body.len() * 10 < new.len(),
        "{} of {}",
        body.len(),
        new.len()
    );
    let mut copy = Copy::default();
    copy.take(&full_of(&old).numbered(1), &limits).unwrap();
    copy.take(&body.numbered(2), &limits).unwrap();
    assert!(patch::same(&copy.document.unwrap(), &new));
}

#[test]
fn a_copy_follows_the_versions() {
    let (one, two) = (
        shown(&(tuple(1, "open") + &tuple(2, "open"))),
        shown(&(tuple(1, "open") + &tuple(2, "closed"))),
    );
    let Difference::Patch(patch) = difference_of(&one, &two) else {
        panic!("no patch");
    };
    let whole = full_of(&one);
    let mut copy = Copy::default();
    assert_eq!(copy.take(&patch.numbered(1), &LIMITS), Err(Lost::Nothing));
    copy.take(&whole.numbered(4), &LIMITS).unwrap();
    let before = copy.clone();
    for (body, outcome) in [
        (patch.numbered(4), Lost::Old),
        (whole.numbered(3), Lost::Old),
        (patch.numbered(6), Lost::Missing),
        (
            full_of(&one).numbered(9).slice(..40),
            Lost::Failed(Failure::new(
                patch::Error::InvalidDiffFormat,
                "Patch Not Well-Formed",
            )),
        ),
    ] {
        assert_eq!(copy.take(&body, &LIMITS), Err(outcome));
        assert_eq!(copy, before);
    }
    copy.take(&patch.numbered(5), &LIMITS).unwrap();
    assert_says(copy.document.as_deref().unwrap(), &two);
    copy.take(&whole.numbered(9), &LIMITS).unwrap();
    assert_eq!(copy.version, Some(9));
}

#[test]
fn the_example_of_the_document_is_followed() {
    // The operations of RFC 5262 §6 on a document of the same shape.
    let person = |inside: &str| {
        format!("<dm:person id=\"p123\"><r:activities>{inside}</r:activities></dm:person>")
    };
    let note = "<note xml:lang=\"en\">Full state presence document</note>";
    let new = "<tuple id=\"ert4773\"><status><basic>open</basic></status></tuple>";
    let old = shown(&(tuple(1, "closed") + note + &person("<r:on-the-phone/><r:busy/>\n")));
    let diff = format!(
        "<p:pidf-diff xmlns=\"{PIDF}\" xmlns:p=\"{NAMESPACE}\" xmlns:q=\"{RPID}\" xmlns:d=\"{DATA_MODEL}\" \
         entity=\"sip:bob@home1.test\" version=\"568\"><p:add sel=\"presence/note\" pos=\"before\">{new}</p:add>\
         <p:replace sel=\"p:pidf-full/tuple[@id='t1']/status/basic/text()\">open</p:replace>\
         <p:remove sel=\"*/d:person/q:activities/q:busy\" ws=\"after\"/>\
         <p:replace sel=\"id('t1')/contact/@priority\">0.7</p:replace></p:pidf-diff>"
    );
    let Ok(Partial::Diff {
        entity,
        version,
        diff,
    }) = read(diff.as_bytes(), &LIMITS)
    else {
        panic!("not read");
    };
    assert_eq!(
        (entity.as_deref(), version),
        (Some("sip:bob@home1.test"), Some(568))
    );
    let patched = patched(old.as_bytes(), &diff, &LIMITS).unwrap();
    let expected =
        tuple(1, "open").replace("0.1", "0.7") + new + note + &person("<r:on-the-phone/>");
    assert_says(&patched, &shown(&expected));
}

#[test]
fn a_body_that_is_no_partial_document_is_refused() {
    for body in [
        shown(""),
        shown("").replace("presence", "pidf-full"),
        format!("<pidf-move xmlns='{NAMESPACE}'/>"),
        format!("<pidf-diff xmlns='{NAMESPACE}' version='-1'/>"),
        format!("<pidf-diff xmlns='{NAMESPACE}' version='4294967296'/>"),
    ] {
        let failure = read(body.as_bytes(), &LIMITS).expect_err(&body);
        assert_eq!(failure.error, patch::Error::InvalidDiffFormat, "{body}");
    }
}
