//! RFC 4826 §3.1, §4.5, rule by rule.

use super::super::sheet::Offer;
use super::*;

fn entry(user: &str) -> String {
    format!("<entry uri=\"sip:{user}@x.test\"/>")
}

/// A document `a` with one list `l` of these members.
fn one(members: &str) -> Places {
    Places::default().with("a", &format!("<list name=\"l\">{members}</list>"))
}

fn read(members: &str) -> String {
    told(&one(members).read("a#l", &Limits::default()))
}

#[test]
fn a_uri_is_a_member_once_whatever_its_spelling() {
    for (case, uris, expected) in [
        (
            "the same text",
            &["sip:a@x.test", "sip:b@x.test", "sip:a@x.test"][..],
            "a b",
        ),
        (
            "another spelling of the same URI",
            &[
                "sip:a@x.test",
                "SIP:%61@X.test",
                " sip:a@x.test ",
                "sip:a@x.test?h=1",
            ],
            "a",
        ),
        (
            "parameters in another order",
            &["sip:a@x.test;p=1;q", "sip:a@x.test;q;P=1"],
            "a@x.test;p=1;q",
        ),
        (
            "the case of a user counts",
            &["sip:a@x.test", "sip:A@x.test"],
            "a A",
        ),
        (
            "a presentity is subscribed to by SIP",
            &["pres:a@x.test", "sip:a@x.test"],
            "pres:a",
        ),
        (
            "a secure URI is another",
            &["sips:a@x.test", "sip:a@x.test"],
            "sips:a a",
        ),
        (
            "separators of a number mean nothing",
            &["tel:+36-1", "tel:+361", "tel:+362"],
            "tel:+36-1 tel:+362",
        ),
        (
            "what cannot be subscribed to is told",
            &[
                "im:a@x.test",
                "mailto:a@x.test",
                "bob",
                "sip:a b@x.test",
                "sip:a@x.test",
            ],
            "im:a!noresource mailto:a!noresource bob!noresource a b!noresource a | a member that cannot be subscribed to",
        ),
        (
            "no URI at all",
            &["", "  "],
            " | a member without a URI, or too long a one",
        ),
    ] {
        let members: String = uris
            .iter()
            .map(|uri| format!("<entry uri=\"{uri}\"/>"))
            .collect();
        assert_eq!(read(&members), expected, "{case}");
    }
}

#[test]
fn references_are_followed_in_their_place() {
    let (a, b, c) = (entry("a"), entry("b"), entry("c"));
    let places = |members: &str| {
        one(members)
            .with("b", &format!("<list name=\"m\">{b}<list name=\"n\">{c}</list></list><list><entry uri='sip:d@x.test'><display-name>D</display-name></entry></list>"))
            .without("later", Absent::Waiting)
            .without("alice", Absent::Foreign)
            .without("down", Absent::Unreadable)
    };
    let external = |anchor: &str| format!("<external anchor=\"{anchor}\"/>");
    let reference = |to: &str| format!("<entry-ref ref=\"{to}\"/>");
    for (case, members, expected) in [
        (
            "a nested list",
            format!("{a}<list>{b}<list>{c}</list></list>"),
            "a b c".to_owned(),
        ),
        (
            "an external list",
            format!("{a}{}{b}", external("b#m")),
            "a b c".into(),
        ),
        ("a list of it", external("b#m/n"), "c".into()),
        ("by its place", external("b#2"), "d".into()),
        (
            "an entry, by its URI and by its place",
            format!("{}{}", reference("b#m>sip:b@x.test"), reference("b#m/n>1")),
            "b c".into(),
        ),
        (
            "an entry in another spelling",
            reference("b#m>sip:%62@X.test"),
            "b".into(),
        ),
        (
            "an entry twice",
            format!("{b}{}", reference("b#m>1")),
            "b".into(),
        ),
        (
            "no such list",
            format!("{a}{}{b}", external("b#x")),
            "a b | an external list is not there".into(),
        ),
        (
            "no such entry",
            format!("{}{b}", reference("b#m>7")),
            "b | an entry that is referred to is not there".into(),
        ),
        (
            "no such document",
            external("z#m"),
            " | an external list is not there".into(),
        ),
        (
            "no anchor",
            "<external/>".into(),
            " | an external list cannot be read".into(),
        ),
        (
            "somebody else's",
            format!("{}{a}", external("alice#m")),
            "a | an external list is somebody else's".into(),
        ),
        (
            "on a server that does not answer",
            format!("{}{a}", reference("down#m>1")),
            "a | an entry that is referred to cannot be read".into(),
        ),
        (
            "on its way",
            format!("{}{a}", external("later#m")),
            "a ...".into(),
        ),
        (
            "its own list",
            format!("{a}{}{b}", external("a#l")),
            "a b | a list is in a loop".into(),
        ),
        (
            "the same list twice",
            format!("{}{}{a}", external("b#m/n"), external("b#m/n")),
            "c a | a list is referred to twice".into(),
        ),
        (
            "elements of others",
            format!("<x xmlns='urn:x'/>{a}<entry xmlns='urn:x' uri='sip:z@x.test'/>"),
            "a".into(),
        ),
    ] {
        let listed = places(&members).read("a#l", &Limits::default());
        assert_eq!(told(&listed), expected, "{case}");
    }
}

#[test]
fn where_the_operator_says_so_what_cannot_be_read_refuses_the_list() {
    let limits = |refuses| Limits {
        refuses,
        members: 1,
        ..Limits::default()
    };
    for (case, members, refused) in [
        ("all is there", entry("a"), false),
        (
            "a member that is no URI",
            "<entry uri='bob'/>".to_owned(),
            true,
        ),
        (
            "a list that is not there",
            "<external anchor='b#m'/>".into(),
            true,
        ),
        ("a loop", "<external anchor='a#l'/>".into(), true),
        ("too many members", entry("a") + &entry("b"), true),
    ] {
        let places = one(&members);
        assert_eq!(places.read("a#l", &limits(true)).refused, refused, "{case}");
        assert!(!places.read("a#l", &limits(false)).refused, "{case}");
    }
    let later = one("<external anchor='b#m'/>").without("b", Absent::Waiting);
    assert!(
        !later.read("a#l", &limits(true)).refused,
        "what is on its way may be fine"
    );
}

#[test]
fn the_list_itself_may_be_on_its_way_or_nowhere() {
    let places = one(&entry("a"))
        .without("later", Absent::Waiting)
        .without("down", Absent::Unreadable);
    let limits = Limits::default();
    for (anchor, expected) in [
        ("later#l", "none ..."),
        (
            "down#l",
            "none ... | the list of the service cannot be read",
        ),
        ("gone#l", " | the list of the service is not there"),
        ("a#x", " | the list of the service is not there"),
    ] {
        assert_eq!(told(&places.read(anchor, &limits)), expected, "{anchor}");
    }
    let none = super::super::read("sip:l@x.test", Ok(None), &places, &limits, hash());
    assert_eq!(told(&none), "none");
}

#[test]
fn a_member_that_is_a_list_is_kept_or_flattened() {
    let places = one("<entry uri='sip:a@x.test'/><entry uri='sip:s@x.test'><display-name>S</display-name></entry><entry uri='sip:c@x.test'/>")
        .with(
            "b",
            "<list name='m'><display-name>M</display-name><entry uri='sip:b@x.test'/><entry uri='sip:list@x.test'/><entry uri='sip:t@x.test'/>\
             <entry uri='sip:a@x.test'/></list><list name='n'><entry uri='sip:d@x.test'/></list>",
        )
        .service("sip:list@x.test", Ok("a#l"))
        .service("sip:s@x.test", Ok("b#m"))
        .service("sip:t@x.test", Ok("b#n"))
        .service("sip:alices@x.test", Err(Absent::Foreign))
        .service("sip:later@x.test", Err(Absent::Waiting))
        .service("sip:no@x.test;pres-list=x", Err(Absent::Missing))
        .with("c", "<list name='o'><entry uri='sip:alices@x.test'/><entry uri='sip:later@x.test'/><entry uri='sip:no@x.test;pres-list=x'/></list>")
        .with("d", "<list name='p'><entry uri='sip:t@x.test'/><external anchor='b#n'/><entry uri='sip:t@x.test'/></list>");
    let limits = |nesting| Limits {
        nesting,
        ..Limits::default()
    };
    for (anchor, flat, kept) in [
        (
            "a#l",
            "a b list!noresource d c | a list is in a loop",
            "a s(b list!noresource t(d)) c | a list is in a loop",
        ),
        (
            "c#o",
            "alices!rejected no@x.test;pres-list=x!noresource ... | a list that is a member is not there",
            "alices!rejected no@x.test;pres-list=x!noresource ... | a list that is a member is not there",
        ),
        (
            "d#p",
            "d | a list is referred to twice",
            "t(d) | a list is referred to twice",
        ),
    ] {
        assert_eq!(
            told(&places.read(anchor, &limits(Nesting::Flattened))),
            flat
        );
        assert_eq!(told(&places.read(anchor, &limits(Nesting::Kept))), kept);
    }
    let listed = places.read("a#l", &limits(Nesting::Kept));
    let resource = &listed.list.unwrap().resources[1];
    let Kind::List(list) = &resource.kind else {
        panic!("a list")
    };
    assert_eq!(&*resource.names[0].text, "S", "the member's name");
    assert_eq!(&*list.names[0].text, "M", "and the list's own");
    assert_eq!(&*list.uri, "sip:s@x.test");
}

#[test]
fn names_are_in_their_languages() {
    let names = |names: &[Name]| -> Vec<String> {
        let one = |n: &Name| format!("{}:{}", n.lang.as_deref().unwrap_or(""), n.text);
        names.iter().map(one).collect()
    };
    let long = "x".repeat(257);
    let places = Places::default().with(
        "a",
        &format!(
            "<list name='l' xml:lang='hu'><display-name>Barátok</display-name><display-name xml:lang='en'>Friends</display-name>\
             <entry uri='sip:a@x.test'><display-name>Anna</display-name><display-name xml:lang='de'>Änne</display-name>\
             <display-name xml:lang=''> A </display-name><display-name>{long}</display-name><display-name/></entry>\
             <entry uri='sip:b@x.test' xml:lang='fr'><display-name>Bea</display-name></entry>\
             <entry-ref ref='a#m>1'/><entry-ref ref='a#m>2'><display-name>Near</display-name></entry-ref></list>\
             <list name='m'><entry uri='sip:c@x.test'><display-name>C</display-name></entry><entry uri='sip:d@x.test'/></list>"
        ),
    );
    let list = places.read("a#l", &Limits::default()).list.unwrap();
    assert_eq!(names(&list.names), ["hu:Barátok", "en:Friends"]);
    let members: Vec<_> = list.resources.iter().map(|r| names(&r.names)).collect();
    assert_eq!(
        members,
        [
            vec!["hu:Anna", "de:Änne", ":A"],
            vec!["fr:Bea"],
            vec![":C"],
            vec!["hu:Near"]
        ]
    );
}

#[test]
fn a_service_offers_its_list_or_says_where_it_is() {
    let inline = "<service uri='sip:l@x.test' xmlns='urn:ietf:params:xml:ns:rls-services' xmlns:r='urn:ietf:params:xml:ns:resource-lists' \
         xml:lang='hu'><list name='x'><r:display-name>L</r:display-name><r:entry uri='sip:a@x.test'/><r:list><r:entry uri='sip:b@x.test'/></r:list></list>\
         <packages><package>presence</package></packages></service>";
    let Some(Offer::Inline(sheet)) = Offer::read(inline) else {
        panic!("an inline list")
    };
    let found = Found {
        sheet: Arc::new(sheet),
        at: 0,
        document: 0,
    };
    let places = Places::default();
    let limits = Limits::default();
    let listed = super::super::read("sip:l@x.test", Ok(Some(found)), &places, &limits, hash());
    assert_eq!(told(&listed), "a b");
    assert_eq!(listed.list.unwrap().names[0].lang.as_deref(), Some("hu"));

    for (case, service, expected) in [
        (
            "a reference, in the namespace around it",
            "<service uri='x'><packages/><resource-list> http://x/y </resource-list></service>",
            Some(Offer::At("http://x/y".into())),
        ),
        ("nothing", "<service uri='x'/>", None),
        (
            "a list of another kind",
            "<service uri='x'><list xmlns='urn:x'/></service>",
            None,
        ),
        ("no XML", "<service", None),
        ("no element", "", None),
    ] {
        assert_eq!(Offer::read(service), expected, "{case}");
    }
}
