//! Who is in a list, and who depends on which document.

use super::super::lists::Lists;
use super::*;

const ROOT: &str = "http://xcap.ims.test/xcap-root";

/// Documents of lists, put without asking whether they may be.
struct Shelf {
    documents: BTreeMap<DocumentKey, Document>,
    lists: Lists,
    tags: u32,
}

fn aor(text: &str) -> Aor {
    Aor::parse(text).unwrap()
}

fn key(owner: &str, name: &str) -> DocumentKey {
    DocumentKey::user(aor(owner), "resource-lists", name)
}

/// The URI of a list: `owner name selector`, the selector in brackets as in the RFC.
fn uri(owner: &str, name: &str, selector: &str) -> String {
    format!("{ROOT}/resource-lists/users/{owner}/{name}/~~/resource-lists/{selector}")
}

fn own(selector: &str) -> String {
    uri("sip:bob@ims.test", "index", selector)
}

fn entries<'a>(users: impl IntoIterator<Item = &'a str>) -> String {
    let entry = |user: &str| format!("<entry uri='{user}'/>");
    users.into_iter().map(entry).collect()
}

impl Shelf {
    fn new(foreign: bool) -> Shelf {
        let hash = ahash::RandomState::with_seeds(1, 2, 3, 4);
        Shelf {
            documents: BTreeMap::new(),
            lists: Lists::new(vec![ROOT.to_owned()], foreign, hash),
            tags: 0,
        }
    }

    /// Bob's `index` with these lists.
    fn with(lists: &str) -> Shelf {
        let mut shelf = Shelf::new(false);
        shelf.put("sip:bob@ims.test", "index", lists);
        shelf
    }

    fn put(&mut self, owner: &str, name: &str, lists: &str) -> Vec<String> {
        let body = format!(
            "<resource-lists xmlns='urn:ietf:params:xml:ns:resource-lists'>{lists}</resource-lists>"
        );
        self.tags += 1;
        let document = Document::new(self.tags.to_string(), body);
        self.documents.insert(key(owner, name), document);
        self.changed(owner, name)
    }

    fn changed(&mut self, owner: &str, name: &str) -> Vec<String> {
        let (readers, _) = self.lists.changed(&key(owner, name));
        readers.iter().map(|aor| aor.as_str().to_owned()).collect()
    }

    /// Whether a watcher of bob is in a list.
    fn holds(&mut self, anchor: &str, watcher: &[&str]) -> Option<bool> {
        let watcher: Vec<Aor> = watcher.iter().map(|text| aor(text)).collect();
        let bob = aor("sip:bob@ims.test");
        let left = std::cell::Cell::new(4_096);
        self.lists
            .hold(&Stored(&self.documents), &bob, anchor, &watcher, &left)
    }
}

const ALICE: &[&str] = &["sip:alice@ims.test"];

#[test]
fn a_member_is_found_wherever_the_list_has_it() {
    let far = own("list[@name=\"far\"]");
    let reference = |selector: &str| {
        format!(
            "<entry-ref ref='resource-lists/users/sip:bob@ims.test/index/~~/resource-lists/{selector}'/>"
        )
    };
    let alice = "<entry uri='sip:Alice@IMS.test;user=ip'/><entry uri='sip:alice@ims.test'/>";
    let named = |content: &str| format!("<list name='a'>{content}</list>");
    for (case, lists, found) in [
        ("an entry", named(alice), Some(true)),
        (
            "an entry in another spelling",
            named("<entry uri='sips:alice@IMS.TEST:5061'/>"),
            Some(true),
        ),
        (
            "an entry with another case in the user",
            named("<entry uri='sip:Alice@ims.test'/>"),
            Some(false),
        ),
        ("nobody", named(""), Some(false)),
        (
            "an entry of another list",
            named("") + "<list name='b'>" + alice + "</list>",
            Some(false),
        ),
        (
            "a nested list",
            named(&format!("<list><list name='x'>{alice}</list></list>")),
            Some(true),
        ),
        (
            "an entry that is no watcher",
            named("<entry uri='mailto:alice@ims.test'/>"),
            Some(false),
        ),
        (
            "an external list",
            named(&format!("<external anchor='{far}'/>")) + "<list name='far'>" + alice + "</list>",
            Some(true),
        ),
        (
            "an external list in a nested list",
            named(&format!("<list><external anchor='{far}'/></list>"))
                + "<list name='far'>"
                + alice
                + "</list>",
            Some(true),
        ),
        (
            "a reference to an entry",
            named(&reference(
                "list%5B2%5D/entry%5B@uri=%22sip:alice@ims.test%22%5D",
            )) + "<list>"
                + alice
                + "</list>",
            Some(true),
        ),
        (
            "a reference by position",
            named(&reference("list%5B2%5D/entry%5B2%5D")) + "<list>" + alice + "</list>",
            Some(true),
        ),
        (
            "a reference to somebody else",
            named(&reference("list%5B2%5D/entry%5B1%5D"))
                + "<list><entry uri='sip:carol@ims.test'/>"
                + alice
                + "</list>",
            Some(false),
        ),
        (
            "a reference by position and URI",
            named(&reference(
                "list%5B2%5D/entry%5B2%5D%5B@uri=%22sip:alice@ims.test%22%5D",
            )) + "<list><entry uri='sip:carol@ims.test'/>"
                + "<entry uri='sip:alice@ims.test'/></list>",
            Some(true),
        ),
        (
            "a reference by another position and URI",
            named(&reference(
                "list%5B2%5D/entry%5B1%5D%5B@uri=%22sip:alice@ims.test%22%5D",
            )) + "<list><entry uri='sip:carol@ims.test'/>"
                + "<entry uri='sip:alice@ims.test'/></list>",
            None,
        ),
        (
            "a reference to nothing",
            named(&reference("list%5B2%5D/entry%5B3%5D")) + "<list>" + alice + "</list>",
            None,
        ),
        (
            "a reference to an entry of a nested list",
            named(&reference("list%5B2%5D/entry%5B1%5D"))
                + "<list><list>"
                + alice
                + "</list></list>",
            None,
        ),
        (
            "an external list that is not there, beside the member",
            named(&format!("<external anchor='{far}'/>{alice}")),
            Some(true),
        ),
        (
            "an external list that is not there",
            named(&format!("<external anchor='{far}'/>")),
            None,
        ),
        (
            "an external list on another server",
            named(
                "<external anchor='http://x.example/resource-lists/users/sip:bob@ims.test/index'/>",
            ),
            None,
        ),
        (
            "an external list without an anchor",
            named("<external/>"),
            Some(false),
        ),
        (
            "a list in itself",
            named(&format!(
                "<external anchor='{}'/>",
                own("list[@name=\"a\"]")
            )),
            None,
        ),
        (
            "two lists in one another",
            named(&format!("<external anchor='{far}'/>"))
                + &format!(
                    "<list name='far'><external anchor='{}'/></list>",
                    own("list[1]")
                ),
            None,
        ),
        (
            "one list by two ways is no loop",
            named(&format!(
                "<external anchor='{far}'/><external anchor='{}'/>",
                own("list[2]")
            )) + "<list name='far'/>",
            Some(false),
        ),
        ("no such list", "<list name='b'/>".to_owned(), None),
        ("no list at all", String::new(), None),
    ] {
        let found_now = Shelf::with(&lists).holds(&own("list[@name=%22a%22]"), ALICE);
        assert_eq!(found_now, found, "{case}");
    }
}

#[test]
fn every_identity_of_the_watcher_counts_and_no_other() {
    let mut shelf = Shelf::with("<list><entry uri='tel:+36-1'/></list>");
    let list = own("list[1]");
    assert_eq!(
        shelf.holds(&list, &["sip:a@ims.test", "tel:+361"]),
        Some(true)
    );
    assert_eq!(
        shelf.holds(&list, &["sip:a@ims.test", "tel:+3611"]),
        Some(false)
    );
    assert_eq!(shelf.holds(&list, &[]), Some(false));
}

#[test]
fn a_selector_names_one_list_or_none() {
    let document = "<list name='a'><list name='x'><entry uri='sip:alice@ims.test'/></list></list>\
                    <list name='b'><list name='x'/></list><list><entry uri='sip:alice@ims.test'/></list>";
    for (selector, found) in [
        ("list[1]", Some(true)),
        ("list[2]", Some(false)),
        ("list[3]", Some(true)),
        ("list[4]", None),
        ("list[1]/list[@name='x']", Some(true)),
        ("list[@name='b']/list[1][@name='x']", Some(false)),
        ("list[2][@name='a']", None),
        ("list[@name='x']", None),
        ("list", None),
        ("list[1]/entry[1]", None),
        ("list[@name='A']", None),
    ] {
        assert_eq!(
            Shelf::with(document).holds(&own(selector), ALICE),
            found,
            "{selector}"
        );
    }
}

#[test]
fn lists_of_other_users_are_read_only_where_the_operator_allows_it() {
    let carol = uri("sip:carol@ims.test", "index", "list[1]");
    let number = uri("tel:+36105550001", "index", "list[1]");
    let member = "<list><entry uri='sip:alice@ims.test'/></list>";
    for (foreign, found) in [(false, None), (true, Some(true))] {
        let mut shelf = Shelf::new(foreign);
        shelf.put("sip:carol@ims.test", "index", member);
        shelf.put("tel:+36105550001", "index", member);
        let through = format!("<list><external anchor='{carol}'/></list>");
        shelf.put("sip:bob@ims.test", "index", &through);
        assert_eq!(shelf.holds(&carol, ALICE), found, "named by a rule");
        assert_eq!(
            shelf.holds(&own("list[1]"), ALICE),
            found,
            "named by a list"
        );
        assert_eq!(
            shelf.holds(&number, ALICE),
            Some(true),
            "bob's own under his number"
        );
    }
}

#[test]
fn a_changed_document_says_who_depends_on_it_also_before_it_exists() {
    let mut shelf = Shelf::new(false);
    let list = own("list[1]");
    assert_eq!(shelf.holds(&list, ALICE), None);
    let through = own("list[1]").replace("index", "other");
    let bob = vec!["sip:bob@ims.test".to_owned()];
    assert_eq!(
        shelf.put(
            "sip:bob@ims.test",
            "index",
            &format!("<list><external anchor='{through}'/></list>")
        ),
        bob
    );
    assert_eq!(
        shelf.put("sip:bob@ims.test", "index", "<list/>"),
        Vec::<String>::new(),
        "nobody has asked since"
    );
    shelf.put(
        "sip:bob@ims.test",
        "index",
        &format!("<list><external anchor='{through}'/></list>"),
    );
    assert_eq!(shelf.holds(&list, ALICE), None);
    assert_eq!(
        shelf.put(
            "sip:bob@ims.test",
            "other",
            "<list><entry uri='sip:alice@ims.test'/></list>"
        ),
        bob,
        "through a list"
    );
    assert_eq!(shelf.holds(&list, ALICE), Some(true));
    shelf.documents.remove(&key("sip:bob@ims.test", "other"));
    assert_eq!(shelf.changed("sip:bob@ims.test", "other"), bob);
    assert_eq!(shelf.holds(&list, ALICE), None);
}

#[test]
fn chains_and_fans_of_lists_end_within_their_bounds() {
    let link = |name: &str| {
        format!(
            "<external anchor='{}'/>",
            own(&format!("list[@name=%22{name}%22]"))
        )
    };
    let chain = |length: usize| -> String {
        let inner =
            (1..length).map(|n| format!("<list name='{}'>{}</list>", n - 1, link(&n.to_string())));
        let last = format!(
            "<list name='{}'>{}</list>",
            length - 1,
            entries(["sip:alice@ims.test"])
        );
        inner.chain([last]).collect()
    };
    let fan = |width: usize| -> String {
        let links: String = (1..width).map(|n| link(&n.to_string())).collect();
        let lists = (1..width).map(|n| format!("<list name='{n}'/>"));
        format!("<list name='0'>{links}</list>") + &lists.collect::<String>()
    };
    // to one entry under different names, and alice behind all of them
    let refs = |count: usize| -> String {
        let to = "resource-lists/users/sip:bob@ims.test/index/~~/resource-lists/list%5B2%5D";
        let refs: String = (1..count)
            .map(|n| format!("<entry-ref ref='{to}/entry%5B1%5D?{n}'/>"))
            .collect();
        let last = format!("<entry-ref ref='{to}/entry%5B2%5D'/>");
        let members = entries(["sip:carol@ims.test", "sip:alice@ims.test"]);
        format!("<list name='0'>{refs}{last}</list><list>{members}</list>")
    };
    for (case, lists, found) in [
        ("the longest chain", chain(16), Some(true)),
        ("one longer", chain(17), None),
        ("the widest fan", fan(256), Some(false)),
        ("one wider", fan(258), None),
        (
            "as many references as a decision follows",
            refs(4_095),
            Some(true),
        ),
        ("one more", refs(4_096), None),
    ] {
        assert_eq!(
            Shelf::with(&lists).holds(&own("list[@name='0']"), ALICE),
            found,
            "{case}"
        );
    }
}

#[test]
#[allow(clippy::disallowed_methods, clippy::disallowed_types)] // measures
fn a_list_of_ten_thousand_is_read_once_and_asked_quickly() {
    let users: Vec<String> = (0..10_000)
        .map(|n| format!("sip:user-{n}@ims.test"))
        .collect();
    let list = format!(
        "<list name='a'>{}</list>",
        entries(users.iter().map(String::as_str))
    );
    let mut shelf = Shelf::with(&list);
    let anchor = own("list[@name='a']");
    let started = std::time::Instant::now();
    assert_eq!(shelf.holds(&anchor, &["sip:user-0@ims.test"]), Some(true));
    let read_once = started.elapsed();
    let started = std::time::Instant::now();
    for n in 0..10_000 {
        let user = format!("sip:user-{n}@ims.test");
        assert_eq!(shelf.holds(&anchor, &[&user]), Some(true));
        assert_eq!(
            shelf.holds(&anchor, &["sip:nobody@ims.test", "tel:+1"]),
            Some(false)
        );
    }
    // By the measure of this machine at this moment: reading the document anew for each would take 20,000 of them.
    let asked = started.elapsed();
    assert!(asked < 1_000 * read_once, "{asked:?}, {read_once:?}");
}
