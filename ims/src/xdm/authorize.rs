//! Who may do what to which document (RFC 4825 §5.7).

use super::document::Documents;
use super::key::{DocumentKey, Tree};
use super::request::Identity;
use super::usage::{Readers, Usage};
use crate::sip::Aor;
use std::collections::BTreeSet;

/// Most identities of one subscriber in an asserted-identity header.
const IDENTITIES: usize = 16;

/// Identities that may do more than a subscriber, as a trusted proxy asserts them. Empty: nobody may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Privileged {
    /// Presence Servers and Resource List Servers: read every tree.
    pub servers: BTreeSet<Aor>,
    /// Read and write every tree.
    pub administrators: BTreeSet<Aor>,
    /// Read global documents that show what all users have.
    pub global_readers: BTreeSet<Aor>,
}

/// What the requester may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Granted,
    /// Granted for what the requester is, not for whose the document is: the operator wants to know.
    Privileged,
    /// Nobody says who is asking.
    Unidentified,
    Denied,
}

/// Whether a request on a document of `usage` may be made. `reads`: it changes nothing.
///
/// Users reach their own tree only and read what is global for everybody; servers of the operator read every tree;
/// administrators, and the program itself, also write.
pub fn access(
    privileged: &Privileged,
    identity: &Identity,
    usage: &Usage,
    key: &DocumentKey,
    reads: bool,
    documents: &dyn Documents,
) -> Access {
    let asserted = match identity {
        Identity::Server => return Access::Granted,
        Identity::Unknown => return Access::Unidentified,
        Identity::User(asserted) => identities(asserted),
    };
    let is_in = |set: &BTreeSet<Aor>| asserted.iter().any(|user| set.contains(user));
    // Each identity is one of the same subscriber, so one that owns the tree is enough.
    let owns = |owner: &Aor| asserted.iter().any(|user| documents.same_user(user, owner));
    match &key.tree {
        _ if asserted.is_empty() => Access::Unidentified,
        Tree::User(owner) if owns(owner) => Access::Granted,
        Tree::Global if reads && usage.readers == Readers::Everybody => Access::Granted,
        _ if is_in(&privileged.administrators) => Access::Privileged,
        _ if reads && is_in(&privileged.servers) => Access::Privileged,
        Tree::Global if reads && is_in(&privileged.global_readers) => Access::Privileged,
        Tree::User(owner) if reads && usage.shown => match documents.shows(owner, &asserted) {
            true => Access::Granted,
            false => Access::Denied,
        },
        Tree::Global | Tree::User(_) => Access::Denied,
    }
}

/// The addresses of record in an asserted-identity header (TS 24.109 §6.4.2.1): URIs parted by commas, each
/// in double quotes; unquoted ones and ones in angle brackets are seen too.
pub(super) fn identities(header: &str) -> Vec<Aor> {
    let mut found = Vec::new();
    let mut quoted = false;
    let members = header.split(|c: char| {
        quoted ^= c == '"';
        c == ',' && !quoted
    });
    for member in members.take(IDENTITIES) {
        let uri = member.trim().trim_matches('"').trim();
        let uri = uri
            .strip_prefix('<')
            .and_then(|u| u.strip_suffix('>'))
            .unwrap_or(uri);
        found.extend(Aor::parse(uri));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::document::{Document, Held};
    use super::super::usage::Usages;
    use super::*;

    /// Bob is known under a telephone number as well.
    struct Registered;

    impl Documents for Registered {
        fn document(&self, _: &DocumentKey) -> Option<&Document> {
            None
        }

        fn held(&self, _: &Aor) -> Held {
            Held::default()
        }

        fn entity_of(&self, _: &[u8]) -> Result<String, String> {
            Err(String::new())
        }

        fn same_user(&self, one: &Aor, other: &Aor) -> bool {
            let bob = |aor: &Aor| ["sip:bob@ims.test", "tel:+36105550001"].contains(&aor.as_str());
            one == other || (bob(one) && bob(other))
        }
    }

    fn set(users: &[&str]) -> BTreeSet<Aor> {
        users.iter().map(|user| Aor::parse(user).unwrap()).collect()
    }

    fn asked(identity: &Identity, key: &DocumentKey, reads: bool) -> Access {
        let privileged = Privileged {
            servers: set(&["sip:ps.ims.test"]),
            administrators: set(&["sip:root@ims.test"]),
            global_readers: set(&["sip:rls.ims.test"]),
        };
        let usages = Usages::load(&super::super::Settings::default()).unwrap();
        let usage = usages.named(&key.auid).unwrap();
        access(&privileged, identity, usage, key, reads, &Registered)
    }

    #[test]
    fn users_reach_their_own_tree_and_servers_every_tree() {
        let user = |header: &str| Identity::User(header.to_owned());
        let own = DocumentKey::user(
            Aor::parse("sip:bob@ims.test").unwrap(),
            "pres-rules",
            "index",
        );
        let global = DocumentKey {
            tree: Tree::Global,
            auid: "xcap-caps".into(),
            name: "index".into(),
        };
        for (case, identity, key, expected) in [
            (
                "the owner",
                user("\"sip:bob@ims.test\""),
                &own,
                Access::Granted,
            ),
            (
                "the owner, unquoted",
                user("sip:bob@ims.test"),
                &own,
                Access::Granted,
            ),
            (
                "the owner in brackets",
                user("<sip:Bob@ims.test>, <sip:bob@IMS.test>"),
                &own,
                Access::Granted,
            ),
            (
                "the owner's second identity",
                user("\"tel:+36105550009\", \"sip:bob@ims.test\""),
                &own,
                Access::Granted,
            ),
            (
                "an alias of the owner",
                user("\"tel:+36-10-555-0001\""),
                &own,
                Access::Granted,
            ),
            (
                "another user",
                user("\"sip:alice@ims.test\""),
                &own,
                Access::Denied,
            ),
            (
                "a name in other case",
                user("\"sip:BOB@ims.test\""),
                &own,
                Access::Denied,
            ),
            (
                "a comma inside quotes",
                user("\"sip:x,sip:bob@ims.test\""),
                &own,
                Access::Denied,
            ),
            ("no URI", user("bob"), &own, Access::Unidentified),
            ("an empty header", user(""), &own, Access::Unidentified),
            ("nobody", Identity::Unknown, &own, Access::Unidentified),
            ("a server", Identity::Server, &own, Access::Granted),
            (
                "a user who would change the global tree",
                user("sip:bob@ims.test"),
                &global,
                Access::Denied,
            ),
            (
                "a server on the global tree",
                Identity::Server,
                &global,
                Access::Granted,
            ),
        ] {
            assert_eq!(asked(&identity, key, false), expected, "{case}");
        }
        let reader = user("sip:bob@ims.test");
        assert_eq!(
            asked(&reader, &global, true),
            Access::Granted,
            "everybody reads the global tree"
        );
    }
}
