//! What the server will decide about a watcher: the code of the server, over the documents that it has.

use super::view::told;
use crate::cli::Failure;
use crate::cli::xdmc::access::Xdms;
use crate::cli::xdmc::address::segment;
use crate::driver::Clock;
use ahash::RandomState;
use bytes::Bytes;
use ims::presence::rules::{
    Basis, Context, Decision, Handling, Permissions, Reason, Ruleset, Watcher, basis, decide,
};
use ims::sip::Aor;
use ims::xdm::lists::Lists;
use ims::xdm::{Document, DocumentKey, Documents, Held, Tree};
use ims::xml::guard;
use serde::Serialize;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

/// Application usages whose documents of one subscriber apply together.
const USAGES: [&str; 2] = ["pres-rules", "org.openmobilealliance.pres-rules"];
/// Times that documents are fetched which lists refer to.
const ROUNDS: usize = 16;
/// Documents that are fetched for one answer.
const FETCHED: usize = 256;
/// Lists and references that one decision follows, as in the server.
const FOLLOWED: usize = 4_096;

/// A decision as people and scripts read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `null`: whoever does not say who it is.
    pub watcher: Option<String>,
    /// `allow`, `polite-block`, `confirm` or `block`.
    pub handling: &'static str,
    pub reason: &'static str,
    /// The list of the order that holds the watcher, from 1.
    pub list: Option<usize>,
    /// Ids of the rules that were combined.
    pub rules: Vec<String>,
    /// `everything`, `something` or `nothing`.
    pub shown: &'static str,
    /// A list that could change this cannot be read.
    pub unresolved: bool,
    /// The same in a sentence.
    pub told: String,
}

/// Documents as they were fetched, and those that were asked for and are not there yet.
#[derive(Default)]
struct Copies {
    fetched: BTreeMap<DocumentKey, Option<Document>>,
    wanted: RefCell<BTreeSet<DocumentKey>>,
}

impl Documents for Copies {
    fn document(&self, key: &DocumentKey) -> Option<&Document> {
        let known = self.fetched.get(key);
        if known.is_none() {
            self.wanted.borrow_mut().insert(key.clone());
        }
        known?.as_ref()
    }

    fn held(&self, _owner: &Aor) -> Held {
        Held::default() // nothing is put here
    }

    fn entity_of(&self, _presence: &[u8]) -> Result<String, String> {
        Err("not asked for".into())
    }
}

/// A subscriber's documents, and how they will be decided on.
pub struct Checker<'a> {
    xdms: &'a Xdms<'a>,
    owner: Aor,
    rulesets: Vec<Ruleset>,
    copies: Copies,
}

impl<'a> Checker<'a> {
    /// Reads all rules of the subscriber. `instead` are documents that are not put yet, by their paths.
    pub async fn new(
        xdms: &'a Xdms<'a>,
        owner: &Aor,
        known: &[&str],
        instead: &[(String, String)],
    ) -> Result<Checker<'a>, Failure> {
        let mut copies = Copies::default();
        for (path, text) in instead {
            if let Some(key) = key(path, owner) {
                copies.fetched.insert(key, Some(document(text.as_bytes())));
            }
        }
        let mut checker = Checker {
            xdms,
            owner: owner.clone(),
            rulesets: Vec::new(),
            copies,
        };
        for key in checker.rules(known).await? {
            checker.fetch(&key).await?;
            if let Some(Some(found)) = checker.copies.fetched.get(&key) {
                // as the server does with a document that cannot be read any more
                let ruleset = Ruleset::parse(&found.bytes).unwrap_or_else(|_| Ruleset::closed());
                checker.rulesets.push(ruleset);
            }
        }
        Ok(checker)
    }

    /// The documents of rules: those that the directory lists, where there is one, and those that we know of.
    async fn rules(&self, known: &[&str]) -> Result<BTreeSet<DocumentKey>, Failure> {
        let mut keys: BTreeSet<DocumentKey> = known
            .iter()
            .filter_map(|path| key(path, &self.owner))
            .filter(|key| USAGES.contains(&key.auid.as_str()))
            .collect();
        for (usage, name) in [(USAGES[0], "index"), (USAGES[1], "pres-rules")] {
            keys.insert(DocumentKey::user(self.owner.clone(), usage, name));
        }
        let path = format!(
            "org.openmobilealliance.xcap-directory/users/{}/directory.xml",
            segment(self.owner.as_str())
        );
        // an XDMS without a directory has the documents that we know of
        let listed = self.xdms.read(&path).await.ok().flatten();
        if let Some(listed) = listed
            && let Ok(directory) = guard::parse(&listed.body, &guard::Limits::default())
        {
            let entries = directory.descendants().filter_map(|n| n.attribute("uri"));
            let mine = entries.filter_map(|uri| key(uri, &self.owner));
            keys.extend(mine.filter(|key| USAGES.contains(&key.auid.as_str())));
        }
        Ok(keys)
    }

    async fn fetch(&mut self, key: &DocumentKey) -> Result<(), Failure> {
        if self.copies.fetched.contains_key(key) {
            return Ok(());
        }
        let found = match &key.tree {
            Tree::Global => None,
            Tree::User(user) => {
                let name: Vec<String> = key.name.split('/').map(segment).collect();
                let user = segment(user.as_str());
                let path = format!("{}/users/{user}/{}", key.auid, name.join("/"));
                self.xdms.read(&path).await?
            }
        };
        let found = found.map(|reply| document(&reply.body));
        self.copies.fetched.insert(key.clone(), found);
        Ok(())
    }

    /// The decision about one watcher; `None`: about one who does not say who it is.
    pub async fn decide(&mut self, watcher: Option<&Aor>) -> Result<Finding, Failure> {
        for _ in 0..ROUNDS {
            let finding = self.decide_now(watcher);
            let wanted = std::mem::take(&mut *self.copies.wanted.borrow_mut());
            if wanted.is_empty() || self.copies.fetched.len() >= FETCHED {
                return Ok(finding);
            }
            for key in wanted.iter().take(FETCHED) {
                // a list that may not be read is one that the server may read all the same; here it counts as not there
                if self.fetch(key).await.is_err() {
                    self.copies.fetched.insert(key.clone(), None);
                }
            }
        }
        Ok(self.decide_now(watcher))
    }

    fn decide_now(&self, watcher: Option<&Aor>) -> Finding {
        let lists = Lists::new(Vec::new(), true, RandomState::with_seeds(1, 2, 3, 4));
        let lists = RefCell::new(lists);
        let left = Cell::new(FOLLOWED);
        let in_list = |anchor: &str, identities: &[Aor]| {
            let mut lists = lists.borrow_mut();
            lists.hold(&self.copies, &self.owner, anchor, identities, &left)
        };
        let identities: Vec<Aor> = watcher.cloned().into_iter().collect();
        let asking = Watcher {
            identities: &identities,
            anonymous: watcher.is_none(),
        };
        let ctx = Context {
            now: Clock::start().now(),
            presentity: std::slice::from_ref(&self.owner),
            sphere: None,
            default: None,
            anonymous: None,
            imposed: None,
            external_list: &in_list,
        };
        let rulesets: Vec<&Ruleset> = self.rulesets.iter().collect();
        let decision = decide(&rulesets, &asking, &ctx);
        let basis = basis(&rulesets, &asking, &ctx);
        finding(watcher, &decision, basis)
    }
}

fn document(bytes: &[u8]) -> Document {
    Document::new("", Bytes::copy_from_slice(bytes))
}

/// The key of a path or URI of a user's document, if it is one of `owner`.
fn key(path: &str, owner: &Aor) -> Option<DocumentKey> {
    let mut parts = path.rsplitn(2, "/users/");
    let (rest, before) = (parts.next()?, parts.next()?);
    let auid = before.rsplit('/').next()?;
    let (user, name) = rest.split_once('/')?;
    let decoded = crate::cli::xdmc::address::decoded;
    let user = Aor::parse(&decoded(user)?)?;
    (user == *owner).then(|| Some(DocumentKey::user(user, auid, &decoded(name)?)))?
}

fn finding(watcher: Option<&Aor>, decision: &Decision, basis: Basis) -> Finding {
    let (reason, why) = match decision.reason {
        Reason::Administrator => ("administrator", "the operator has decided".to_owned()),
        Reason::Own => ("own", "everybody sees himself".to_owned()),
        Reason::Anonymous => (
            "anonymous",
            "so your documents handle those who do not say who they are".to_owned(),
        ),
        Reason::OrderedList => (
            "ordered-list",
            format!("list {} of the order decides", basis.list.unwrap_or(0)),
        ),
        Reason::OrderedDefault => (
            "ordered-default",
            "no list of the order holds this watcher".to_owned(),
        ),
        Reason::Identity => (
            "identity",
            "a rule names this watcher or everybody".to_owned(),
        ),
        Reason::ExternalList => (
            "external-list",
            "a rule names a list that holds this watcher".to_owned(),
        ),
        Reason::OtherIdentity => ("other-identity", "no rule names this watcher".to_owned()),
        Reason::OperatorDefault | Reason::NothingMatches => (
            "nothing-matches",
            "nothing in the documents decides; the operator may have set a default".to_owned(),
        ),
    };
    let shown = match &decision.permissions {
        all if *all == Permissions::all() => "everything",
        none if *none == Permissions::none() => "nothing",
        _ => "something",
    };
    let who = watcher.map_or("an anonymous watcher", Aor::as_str);
    let mut sentence = format!("{who} is {}: {why}", told(decision.handling));
    if !basis.rules.is_empty() {
        let rules: Vec<&str> = basis.rules.iter().map(|id| &**id).collect();
        sentence += &format!("; rules: {}", rules.join(", "));
    }
    if decision.handling == Handling::Allow {
        sentence += match shown {
            "everything" => "; sees everything",
            "nothing" => "; but no rule shows anything",
            _ => "; sees what these rules show",
        };
    }
    if decision.unresolved {
        sentence += "; a list that could change this cannot be read";
    }
    Finding {
        watcher: watcher.map(|watcher| watcher.as_str().to_owned()),
        handling: decision.handling.word(),
        reason,
        list: basis.list,
        rules: basis.rules.into_iter().map(String::from).collect(),
        shown,
        unresolved: decision.unresolved,
        told: sentence,
    }
}
