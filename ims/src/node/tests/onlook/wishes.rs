//! What a list subscription asks for: filters, partial documents, and what of it the presentity wants told when.

use super::super::filter::{set, state};
use super::*;
use crate::presence::partial::{self, Copy};

fn with(filter: &str) -> impl Fn(Onlooker) -> Onlooker {
    let document: std::sync::Arc<[u8]> = set(filter).into_bytes().into();
    move |onlooker| Onlooker {
        filter: Some(document.clone()),
        ..onlooker
    }
}

fn filter(id: &str, whom: &str, exclude: &str) -> String {
    format!("<filter id='{id}' {whom}><what><exclude>{exclude}</exclude></what></filter>")
}

const NOTES: &str = "//p:note";
const CONTACTS: &str = "//p:contact";

#[test]
fn each_member_takes_the_filter_that_is_for_it_before_that_of_its_domain_and_that_of_the_list() {
    let list = "uri='sip:friends@ims.test;pres-list=a'";
    for (case, filters, notes, contacts) in [
        ("for whom is not said", filter("a", "", NOTES), false, true),
        ("for the list", filter("a", list, NOTES), false, true),
        (
            "for a list of another parameter",
            filter("a", "uri='sip:friends@ims.test;pres-list=b'", NOTES),
            true,
            true,
        ),
        (
            "for a user under the name of the list",
            filter("a", "uri='sip:friends@ims.test'", NOTES),
            true,
            true,
        ),
        (
            "for the member",
            filter("a", "uri='pres:bob@ims.test'", NOTES),
            false,
            true,
        ),
        (
            "for another",
            filter("a", "uri='sip:carol@ims.test'", NOTES),
            true,
            true,
        ),
        (
            "for his domain",
            filter("a", "domain='ims.test'", NOTES),
            false,
            true,
        ),
        (
            "his own before that of the list",
            filter("a", "", NOTES) + &filter("b", "uri='sip:bob@ims.test'", CONTACTS),
            true,
            false,
        ),
        (
            "that of his domain before that of the list",
            filter("a", list, NOTES) + &filter("b", "domain='IMS.test'", CONTACTS),
            true,
            false,
        ),
        (
            "one that is switched off is none",
            filter("a", "", NOTES)
                + &filter("b", "uri='sip:bob@ims.test' enabled='false'", CONTACTS),
            false,
            true,
        ),
        (
            "an empty one of his own lets everything through",
            filter("a", "", NOTES) + "<filter id='b' uri='sip:bob@ims.test'/>",
            true,
            true,
        ),
    ] {
        let mut bench = Bench::new(settings());
        bench.say("", &state("open", "closed", "hello"));
        let list = with(&filters)(onlooker(&bench, 7, ALICE));
        let seen = bench.watch(list, BOB);
        assert_eq!(
            seen.body().contains("hello"),
            notes,
            "{case}: {}",
            seen.body()
        );
        assert_eq!(
            seen.body().contains("im:im"),
            contacts,
            "{case}: {}",
            seen.body()
        );
    }
}

#[test]
fn a_filter_that_does_not_read_is_refused_and_changes_nothing() {
    for (case, document, status) in [
        ("no XML", "<filter-set".to_owned(), 400),
        ("another document", "<presence/>".to_owned(), 488),
        (
            "two for one member",
            set(&(filter("a", "uri='sip:bob@ims.test'", NOTES)
                + &filter("b", "uri='sip:bob@ims.test'", NOTES))),
            488,
        ),
        (
            "two for the list",
            set(&(filter("a", "", NOTES)
                + &filter("b", "uri='sip:friends@ims.test;pres-list=a'", NOTES))),
            488,
        ),
        (
            "an expression that is none",
            set(&filter("a", "", "//p:[")),
            488,
        ),
    ] {
        let mut bench = Bench::new(settings());
        let (_, sent) = bench.say("", &state("open", "open", "hello"));
        assert!(sent.is_empty());
        let list = with(&filter("n", "", NOTES))(onlooker(&bench, 7, ALICE));
        let mut seen = bench.watch(list, BOB);
        let bad = Onlooker {
            filter: Some(document.as_bytes().into()),
            ..onlooker(&bench, 7, ALICE)
        };
        let refused = bench.look_on(bad.clone()).unwrap_err();
        assert_eq!(refused.status().0, status, "{case}");
        bench.take(&mut seen, Extent::Full);
        assert!(!seen.body().contains("hello"), "{case}: {}", seen.body());
        let new = Onlooker {
            list: SubscriptionId(8),
            ..bad
        };
        assert!(bench.look_on(new).is_err(), "{case}");
        assert_eq!(bench.node.presence.virtual_subscriptions(), 1);
    }
}

#[test]
fn filters_are_changed_one_by_one_and_stay_where_a_refresh_says_nothing_of_them() {
    let mut bench = Bench::new(settings());
    bench.say("", &state("open", "open", "hello"));
    let list = with(&filter("n", "", NOTES))(onlooker(&bench, 7, ALICE));
    let mut seen = bench.watch(list, BOB);
    for (case, change, notes, contacts) in [
        ("nothing", None, false, true),
        (
            "another one beside it",
            Some(filter("c", "uri='sip:bob@ims.test'", CONTACTS)),
            true,
            false,
        ),
        (
            "that one removed",
            Some("<filter id='c' remove='true'/>".to_owned()),
            false,
            true,
        ),
        (
            "the first one switched off",
            Some("<filter id='n' enabled='false'/>".to_owned()),
            true,
            true,
        ),
    ] {
        let refreshed = onlooker(&bench, 7, ALICE);
        let refreshed = match change {
            Some(change) => with(&change)(refreshed),
            None => refreshed,
        };
        bench.look_on(refreshed).unwrap();
        // what is to be kept of them makes the same set, as after a restart
        let kept = bench.local(|local, _| local.filters(SubscriptionId(7))).0;
        let anew = Onlooker {
            filter: kept,
            ..onlooker(&bench, 8, ALICE)
        };
        let other = bench.watch(anew, BOB);
        bench.take(&mut seen, Extent::Full);
        assert_eq!(seen.body(), other.body(), "{case}");
        bench.look_away(8);
        assert_eq!(
            seen.body().contains("hello"),
            notes,
            "{case}: {}",
            seen.body()
        );
        assert_eq!(
            seen.body().contains("im:im"),
            contacts,
            "{case}: {}",
            seen.body()
        );
    }
}

#[test]
fn filters_that_one_document_cannot_hold_are_refused() {
    let mut bench = Bench::new(settings());
    let list = with(&filter("n", "", NOTES))(onlooker(&bench, 7, ALICE));
    bench.look_on(list).unwrap();
    let of = |id: &str, prefix: &str, urn: &str| {
        format!(
            "<filter-set xmlns='urn:ietf:params:xml:ns:simple-filter'><ns-bindings><ns-binding prefix='{prefix}' \
             urn='{urn}'/></ns-bindings><filter id='{id}' uri='sip:{id}@ims.test'><what><include>//{prefix}:note</include>\
             </what></filter></filter-set>"
        )
    };
    for (case, document, taken) in [
        (
            "another prefix",
            of("a", "q", "urn:ietf:params:xml:ns:pidf"),
            true,
        ),
        (
            "the same prefix for the same",
            of("b", "p", "urn:ietf:params:xml:ns:pidf"),
            true,
        ),
        (
            "the same prefix for something else",
            of("c", "p", "urn:x"),
            false,
        ),
    ] {
        let change = Onlooker {
            filter: Some(document.into_bytes().into()),
            ..onlooker(&bench, 7, ALICE)
        };
        assert_eq!(bench.look_on(change).is_ok(), taken, "{case}");
    }
}

#[test]
fn what_is_kept_of_filters_means_the_same_whatever_is_in_them() {
    let hostile = "<filter id='a &amp;&quot;&lt;' uri='sip:bob@ims.test'><what><include>//p:note[.=\"&lt;&amp;'\"]</include>\
                   <exclude type='namespace'>urn:&amp;x</exclude></what><trigger><changed from='&lt;1' to='&quot;'>//p:note\
                   </changed></trigger><trigger><added>//p:tuple</added><removed>//p:note</removed></trigger></filter>\
                   <filter id='b' domain='ims.test' enabled='0'/><filter id='c'><what/></filter>";
    let mut bench = Bench::new(settings());
    let list = with(hostile)(onlooker(&bench, 7, ALICE));
    bench.look_on(list).unwrap();
    let kept = |bench: &mut Bench, list| {
        bench
            .local(|local, _| local.filters(SubscriptionId(list)))
            .0
    };
    let first = kept(&mut bench, 7).unwrap();
    let again = Onlooker {
        filter: Some(first.clone()),
        ..onlooker(&bench, 8, ALICE)
    };
    bench.look_on(again).unwrap();
    assert_eq!(kept(&mut bench, 8), Some(first.clone()));
    let text = String::from_utf8(first.to_vec()).unwrap();
    assert!(
        text.contains("id=\"a &amp;&quot;&lt;\"") && text.contains("enabled=\"false\""),
        "{text}"
    );
}

#[test]
fn only_a_change_that_a_trigger_is_about_stirs_the_member() {
    let mut bench = Bench::new(settings());
    let (tag, _) = bench.say("", &state("open", "open", "one"));
    let trigger = "<filter id='f'><trigger><changed>/p:presence/p:tuple/p:status/p:basic</changed></trigger></filter>";
    let list = with(trigger)(onlooker(&bench, 7, ALICE));
    let mut seen = bench.watch(list, BOB);
    bench.wait(6_000);
    let (tag, _) = bench.say(&tag, &state("open", "open", "two"));
    assert!(!bench.hear(&mut seen));
    bench.say(&tag, &state("open", "closed", "three"));
    assert!(bench.hear(&mut seen));
    assert!(seen.body().contains("three"));
}

#[test]
fn partial_documents_are_numbered_for_each_member_and_begin_with_a_whole_one() {
    let mut bench = Bench::new(settings());
    let long = |note: &str| {
        let tuple = |n| {
            format!(
                "<tuple id='t{n}'><status><basic>open</basic></status><contact>im:c{n}</contact></tuple>"
            )
        };
        let tuples: String = (0..20).map(tuple).collect();
        format!(
            "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='{BOB}'>{tuples}<note>{note}</note></presence>"
        )
    };
    let (mut tag, _) = bench.say("", &long("first"));
    let mut list = onlooker(&bench, 7, ALICE);
    list.takes.partial = true;
    let mut seen = bench.watch(list.clone(), BOB);
    let mut copy = Copy::default();
    let mut take = |seen: &Seen, form: &str, version: u32| {
        let (media_type, body) = seen.content.as_ref().unwrap();
        assert_eq!(media_type, partial::MEDIA_TYPE);
        assert!(
            body.contains(form) && body.contains(&format!("version=\"{version}\"")),
            "{body}"
        );
        copy.take(body.as_bytes(), &pidf::Limits::default())
            .unwrap();
        copy.document.clone().unwrap()
    };
    take(&seen, "pidf-full", 1);
    for (note, version) in [("second", 2), ("third", 3)] {
        bench.wait(6_000);
        tag = bench.say(&tag, &long(note)).0;
        assert!(bench.hear(&mut seen));
        assert!(take(&seen, "pidf-diff", version).contains(note));
    }
    bench.look_on(list.clone()).unwrap();
    bench.take(&mut seen, Extent::Full);
    take(&seen, "pidf-full", 4);
    // after a restart versions go on above those that were given
    bench.wait(6_000);
    bench.restart(1_000);
    bench.look_on(list).unwrap();
    seen.id = bench.join(7, 0, BOB).0;
    bench.wait(6_000);
    bench.say(&tag, &long("fourth"));
    assert!(bench.hear(&mut seen));
    let (_, body) = seen.content.clone().unwrap();
    assert!(body.contains("pidf-full"), "{body}");
    assert!(copy.take(body.as_bytes(), &pidf::Limits::default()).is_ok());
    assert!(copy.document.unwrap().contains("fourth"));
}

#[test]
fn objects_come_with_the_state_of_a_member_where_they_are_taken() {
    let mut bench = Bench::new(settings());
    let icon = inline::with_icon("i@x", inline::PNG);
    let answer = bench.publish_typed(inline::RELATED, "", &icon).remove(0);
    assert_eq!(answer.status(), 200, "{}", answer.text);
    for (list, objects) in [(7, true), (8, false)] {
        let mut taking = onlooker(&bench, list, ALICE);
        taking.takes.objects = objects;
        bench.look_on(taking).unwrap();
        let (id, _) = bench.join(list, 0, BOB);
        let content = bench.instance(id, Extent::Full).content.unwrap();
        let is_related = content.media_type.starts_with("multipart/related");
        let body = String::from_utf8_lossy(&content.bytes);
        assert_eq!(
            (is_related, body.contains(inline::PNG)),
            (objects, objects),
            "{body}"
        );
    }
}

#[test]
fn quiet_hours_hold_back_what_is_new_and_not_what_is_asked_for() {
    // the bench begins at 14:13:20Z
    let rules = |handling: &str| {
        format!(
            "<cp:rule id=\"a\"><cp:conditions><cp:identity><cp:one id=\"{ALICE}\"/></cp:identity></cp:conditions><cp:actions>\
         <pr:sub-handling>{handling}</pr:sub-handling><n:notification xmlns:n=\"urn:presentia:xml:notification-rules\">\
         <n:quiet from=\"14:14\" until=\"15:00\" days=\"mon tue wed thu fri sat sun\"/></n:notification></cp:actions>\
         <cp:transformations><pr:provide-services><pr:all-services/></pr:provide-services><pr:provide-note>true</pr:provide-note>\
         </cp:transformations></cp:rule>"
        )
    };
    let mut bench = Bench::strict();
    lists::put_rules(&mut bench, &rules("allow"));
    let (tag, _) = bench.say("", &state("open", "open", "before"));
    let mut seen = bench.watch(onlooker(&bench, 7, ALICE), BOB);
    assert!(seen.body().contains("im:im"), "{}", seen.body());
    // it is stirred before the quiet hours, and taken in them
    bench.wait(30_000);
    let (tag, _) = bench.say(&tag, &state("open", "closed", "stirred"));
    assert!(bench.node.presence.is_stirred(seen.id));
    bench.wait(30_000);
    let told = seen.tag;
    assert!(bench.hear(&mut seen));
    assert_eq!((seen.state, seen.tag), (State::Active, told), "nothing new");
    let (tag, _) = bench.say(&tag, &state("closed", "closed", "later"));
    assert!(!bench.hear(&mut seen));
    // a SUBSCRIBE is answered in them
    bench.take(&mut seen, Extent::Full);
    assert!(seen.body().contains("<basic>closed"), "{}", seen.body());
    // what they hold back is told as soon as the presentity wants no quiet any more
    bench.wait(6_000);
    bench.say(&tag, &state("open", "closed", "held back"));
    assert!(!bench.hear(&mut seen));
    let loud = rules("allow")
        .replace("14:14", "03:00")
        .replace("15:00", "04:00");
    lists::put_rules(&mut bench, &loud);
    assert!(bench.hear(&mut seen));
    assert!(seen.body().contains("<basic>open"), "{}", seen.body());
    // a change of right waits for nothing
    bench.wait(6_000);
    lists::put_rules(&mut bench, &rules("allow"));
    lists::put_rules(&mut bench, &rules("confirm"));
    assert!(bench.hear(&mut seen));
    assert_eq!(seen.state, State::Pending);
}
