//! Collections: everything below one place of the tree (RFC 5875 §4.1), and which of them hold a document.

use crate::sip::Aor;
use crate::xdm::{DocumentKey, Tree};

/// Which documents a collection holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope {
    pub branch: Branch,
    /// Application usage; `None`: all of them.
    pub auid: Option<String>,
    /// What their names begin with: empty, or a path that ends in `/`.
    pub directory: String,
}

/// Whose documents.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Branch {
    Any,
    Users,
    Global,
    User(Aor),
}

impl Scope {
    /// Everything of one user.
    pub fn home(owner: Aor) -> Scope {
        Scope {
            branch: Branch::User(owner),
            auid: None,
            directory: String::new(),
        }
    }

    pub fn contains(&self, key: &DocumentKey) -> bool {
        let branch = match (&self.branch, &key.tree) {
            (Branch::Any, _) | (Branch::Users, Tree::User(_)) | (Branch::Global, Tree::Global) => {
                true
            }
            (Branch::User(own), Tree::User(owner)) => own == owner,
            (Branch::Users | Branch::User(_), Tree::Global) | (Branch::Global, Tree::User(_)) => {
                false
            }
        };
        branch
            && self.auid.as_ref().is_none_or(|auid| *auid == key.auid)
            && key.name.starts_with(&self.directory)
    }

    /// Every collection that holds the document; there are as many as its path has steps, times two.
    pub fn around(key: &DocumentKey) -> Vec<Scope> {
        let (wide, own) = match &key.tree {
            Tree::Global => (None, Branch::Global),
            Tree::User(owner) => (Some(Branch::Users), Branch::User(owner.clone())),
        };
        let mut found = Vec::new();
        for auid in [None, Some(&key.auid)] {
            for branch in [Some(Branch::Any), wide.clone(), Some(own.clone())] {
                found.extend(branch.map(|branch| Scope {
                    branch,
                    auid: auid.cloned(),
                    directory: String::new(),
                }));
            }
        }
        for (at, _) in key.name.match_indices('/') {
            found.push(Scope {
                branch: own.clone(),
                auid: Some(key.auid.clone()),
                directory: key.name.get(..=at).unwrap_or_default().to_owned(),
            });
        }
        found
    }

    /// What of the collection these users could read: the whole is theirs to ask for, and need not be looked through.
    pub fn narrowed(self, users: &[Aor]) -> Vec<Scope> {
        let global = matches!(self.branch, Branch::Any).then_some(Branch::Global);
        match self.branch {
            Branch::Global | Branch::User(_) => vec![self],
            Branch::Any | Branch::Users => {
                let own = users.iter().map(|user| Branch::User(user.clone()));
                own.chain(global)
                    .map(|branch| Scope {
                        branch,
                        auid: self.auid.clone(),
                        directory: self.directory.clone(),
                    })
                    .collect()
            }
        }
    }

    /// The key from which on the documents of the collection stand.
    pub fn first(&self) -> DocumentKey {
        let tree = match &self.branch {
            Branch::User(owner) => Tree::User(owner.clone()),
            // global documents stand before those of all users
            Branch::Any | Branch::Users | Branch::Global => Tree::Global,
        };
        DocumentKey {
            tree,
            auid: self.auid.clone().unwrap_or_default(),
            name: self.directory.clone(),
        }
    }

    /// Whether documents of the collection may stand at this key or behind it.
    pub fn goes_on(&self, key: &DocumentKey) -> bool {
        match (&self.branch, &key.tree) {
            (Branch::Any | Branch::Users, _) => true,
            (Branch::Global, Tree::Global) => self.until(key),
            (Branch::User(own), Tree::User(owner)) => own == owner && self.until(key),
            (Branch::Global, Tree::User(_)) | (Branch::User(_), Tree::Global) => false,
        }
    }

    fn until(&self, key: &DocumentKey) -> bool {
        self.auid
            .as_ref()
            .is_none_or(|auid| *auid == key.auid && key.name.starts_with(&self.directory))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> Aor {
        Aor::parse(&format!("sip:{name}@ims.test")).unwrap()
    }

    fn scope(branch: Branch, auid: &str, directory: &str) -> Scope {
        Scope {
            branch,
            auid: (!auid.is_empty()).then(|| auid.to_owned()),
            directory: directory.to_owned(),
        }
    }

    #[test]
    fn the_collections_around_a_document_are_those_that_hold_it() {
        let bob = DocumentKey::user(user("bob"), "a", "d/e/f");
        let global = DocumentKey {
            tree: Tree::Global,
            ..bob.clone()
        };
        let branches = || {
            [
                Branch::Any,
                Branch::Users,
                Branch::Global,
                Branch::User(user("bob")),
                Branch::User(user("eve")),
            ]
        };
        for key in [&bob, &global] {
            let around = Scope::around(key);
            for branch in branches() {
                for (auid, directory) in [
                    ("", ""),
                    ("a", ""),
                    ("b", ""),
                    ("a", "d/"),
                    ("a", "d/e/"),
                    ("a", "e/"),
                ] {
                    if !directory.is_empty() && matches!(branch, Branch::Any | Branch::Users) {
                        continue; // no URI names such a one
                    }
                    let scope = scope(branch.clone(), auid, directory);
                    assert_eq!(
                        around.contains(&scope),
                        scope.contains(key),
                        "{scope:?} {key}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_wide_collection_is_narrowed_to_what_its_reader_owns() {
        let own = [user("bob")];
        let wide = scope(Branch::Any, "a", "").narrowed(&own);
        assert_eq!(
            wide,
            [
                scope(Branch::User(user("bob")), "a", ""),
                scope(Branch::Global, "a", "")
            ]
        );
        let users = scope(Branch::Users, "a", "").narrowed(&own);
        assert_eq!(users, [scope(Branch::User(user("bob")), "a", "")]);
        let eve = scope(Branch::User(user("eve")), "a", "d/");
        assert_eq!(eve.clone().narrowed(&own), [eve], "asked for by name");
    }
}
