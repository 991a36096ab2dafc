use super::*;

fn aor(text: &str) -> Aor {
    Aor::parse(text).unwrap()
}

fn put(handling: Handling, people: &[&str]) -> Change {
    Change::List(handling, people.iter().map(|p| aor(p)).collect())
}

/// An order in a document as somebody else may have written it: other prefixes, comments, rules of their own.
fn foreign(order: &str) -> String {
    format!(
        "<?xml version='1.0'?><!-- mine --><ruleset xmlns=\"urn:ietf:params:xml:ns:common-policy\" \
         xmlns:o='urn:presentia:xml:ordered-policy'>\r\n<rule id='r'><actions>{order}</actions></rule>\
         <rule id=\"own\"><conditions><identity><one id=\"sip:a@x\"/></identity></conditions></rule></ruleset><!-- end -->"
    )
}

#[test]
fn a_first_policy_holds_what_was_asked_and_rejects_the_rest() {
    let text = edit(None, &put(Handling::Allow, &["sip:a@x", "tel:+361"])).unwrap();
    let view = view(&text).unwrap();
    assert_eq!((view.default, view.anonymous), (None, None));
    assert_eq!(view.lists.len(), 1);
    assert_eq!(view.lists[0].people, ["sip:a@x", "tel:+361"]);
    assert!(text.contains(
        "      <ordered-policy xmlns=\"urn:presentia:xml:ordered-policy\">\n        <list handling=\"allow\">\n          \
         <one id=\"sip:a@x\"/>\n          <one id=\"tel:+361\"/>\n        </list>\n      </ordered-policy>\n"
    ), "{text}");
    let empty = "<ruleset xmlns=\"urn:ietf:params:xml:ns:common-policy\"/>";
    assert_eq!(
        edit(Some(empty), &put(Handling::Allow, &["sip:a@x", "tel:+361"])),
        Ok(text)
    );
}

/// The documents of others, before and after: only what was asked for differs.
#[test]
fn an_edit_changes_what_was_asked_and_not_a_byte_more() {
    for (case, before, change, after) in [
        (
            "a person more",
            "<o:ordered-policy><o:list handling='allow'><o:one id='sip:b@x'/></o:list></o:ordered-policy>",
            put(Handling::Allow, &["sip:a@x"]),
            "<o:ordered-policy><o:list handling='allow'><o:one id='sip:b@x'/><o:one id=\"sip:a@x\"/></o:list></o:ordered-policy>",
        ),
        (
            "from one list to another, which is new and goes first",
            "<o:ordered-policy><o:list handling='allow'><o:one id='sip:A@X'/><!-- c --></o:list></o:ordered-policy>",
            put(Handling::Block, &["sip:A@x"]),
            "<o:ordered-policy><o:list handling=\"block\">\n  <o:one id=\"sip:A@x\"/>\n</o:list><o:list handling='allow'>\
             <!-- c --></o:list></o:ordered-policy>",
        ),
        (
            "there already",
            "<o:ordered-policy><o:list handling='allow'><o:one id='sip:a@X'/></o:list></o:ordered-policy>",
            put(Handling::Allow, &["sip:a@x"]),
            "<o:ordered-policy><o:list handling='allow'><o:one id='sip:a@X'/></o:list></o:ordered-policy>",
        ),
        (
            "from every list",
            "<o:ordered-policy><o:list handling='allow'><o:one id='sip:a@x'/></o:list><o:list handling='block'>\n<o:one id='sip:a@x'/>\n\
             </o:list><o:list handling='allow'><o:one id='sip:a@x'/><o:entry anc='l'/></o:list></o:ordered-policy>",
            Change::Remove(vec![aor("sip:a@x")]),
            "<o:ordered-policy><o:list handling='allow'></o:list><o:list handling='block'>\n\
             </o:list><o:list handling='allow'><o:entry anc='l'/></o:list></o:ordered-policy>",
        ),
        (
            "another default",
            "<o:ordered-policy default = 'allow'/>",
            Change::Default(Handling::Confirm),
            "<o:ordered-policy default = 'confirm'/>",
        ),
        (
            "a first word about anonymous watchers",
            "<o:ordered-policy default='allow'/>",
            Change::Anonymous(Handling::PoliteBlock),
            "<o:ordered-policy anonymous=\"polite-block\" default='allow'/>",
        ),
        (
            "a first list",
            "<o:ordered-policy/>",
            put(Handling::Confirm, &["sip:a@x"]),
            "<o:ordered-policy><o:list handling=\"confirm\">\n  <o:one id=\"sip:a@x\"/>\n</o:list></o:ordered-policy>",
        ),
    ] {
        let edited = edit(Some(&foreign(before)), &change).unwrap();
        assert_eq!(edited, foreign(after), "{case}");
        assert_eq!(
            edit(Some(&edited), &change),
            Ok(edited.clone()),
            "{case}, twice"
        );
    }
}

#[test]
fn accepted_anonymous_watchers_get_a_rule_that_shows_something_once() {
    let text = edit(None, &Change::Anonymous(Handling::Allow)).unwrap();
    assert!(text.contains("id=\"anonymous\"") && text.contains("anonymous=\"allow\""));
    assert_eq!(
        edit(Some(&text), &Change::Anonymous(Handling::Allow)),
        Ok(text)
    );
    let taken = foreign("<o:ordered-policy/>").replace("id=\"own\"", "id=\"anonymous\"");
    let text = edit(Some(&taken), &Change::Anonymous(Handling::Allow)).unwrap();
    assert!(text.contains("id=\"anonymous-1\""), "{text}");
}

#[test]
fn what_is_not_understood_is_left_alone() {
    let rule = |inner: &str| {
        format!(
            "<ruleset xmlns=\"urn:ietf:params:xml:ns:common-policy\"><rule id=\"a\">{inner}</rule></ruleset>"
        )
    };
    let order = "<ordered-policy xmlns=\"urn:presentia:xml:ordered-policy\"/>";
    for (case, document, word) in [
        ("no XML", "<x".to_owned(), ""),
        ("another document", "<x/>".to_owned(), "no rule set"),
        (
            "rules of their own",
            rule("<conditions/>"),
            "decide by themselves",
        ),
        (
            "an order under conditions",
            rule(&format!(
                "<conditions><sphere value=\"w\"/></conditions><actions>{order}</actions>"
            )),
            "with conditions",
        ),
        (
            "an order elsewhere",
            rule(&format!("<transformations>{order}</transformations>")),
            "does not stand",
        ),
        (
            "two orders",
            rule(&format!("<actions>{order}{order}</actions>")),
            "two orders",
        ),
        (
            "a list of another kind",
            foreign("<o:ordered-policy><o:list handling='maybe'/></o:ordered-policy>"),
            "not known here",
        ),
        (
            "a member of another kind",
            foreign(
                "<o:ordered-policy><o:list handling='allow'><o:many/></o:list></o:ordered-policy>",
            ),
            "not known here",
        ),
    ] {
        let refused = edit(Some(&document), &put(Handling::Allow, &["sip:a@x"]));
        let why = refused.expect_err(case).to_string();
        assert!(why.contains(word), "{case}: {why}");
    }
}
