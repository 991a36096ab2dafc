//! Each recipe of docs/charging/recipes.md, as it stands there, between the server and charging systems: it does what its
//! words say. Only places (addresses, files) and what nobody can wait for are put in by the tests.
//!
//! - [`offline`] and [`online`]: what is charged, and how, against `presentia sim`;
//! - [`peers`]: how one is connected, most of it against freeDiameter.

mod offline;
mod online;
mod peers;

use crate::diameter_table::until_up;
use crate::harness::{Request, SOON, Server, Ua, eventually, pidf};
use crate::simulators::Sim;
use serde_json::Value;
use std::path::Path;

const BOB: &str = "sip:bob@ims.test";
const ALICE: &str = "sip:alice@ims.test";

/// A recipe by its heading, and what shows it.
type Shown = (&'static str, fn());

fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/charging/recipes.md");
    std::fs::read_to_string(path).unwrap()
}

/// Headings and configurations of the page; some sections have none.
fn recipes() -> Vec<(String, String)> {
    let page = page();
    let sections = page.split("\n## ").skip(1);
    let recipe = |section: &str| {
        let heading = section.lines().next()?.to_owned();
        let block = section.split("```toml\n").nth(1)?;
        Some((heading, block.split("```").next()?.to_owned()))
    };
    sections.filter_map(recipe).collect()
}

/// The configuration of a recipe, in which places are still to be put.
struct Recipe(String);

fn recipe(heading: &str) -> Recipe {
    let found = recipes().into_iter().find(|(known, _)| known == heading);
    Recipe(found.expect(heading).1)
}

impl Recipe {
    /// Puts something in where the page has something else.
    fn with(self, written: &str, real: &str) -> Recipe {
        assert!(self.0.contains(written), "{written} in\n{}", self.0);
        Recipe(self.0.replace(written, real))
    }

    /// With all places put in, in a home domain like that of the page, and with shorter waits.
    fn start(self) -> Server {
        for place in ["192.0.2.", "198.51.100.", "2001:db8:", "/etc/", "/var/"] {
            assert!(!self.0.contains(place), "{place} in\n{}", self.0);
        }
        let mut server = Server::prepare(&self.0);
        server.change(
            "[sip]\nhome_domains = [\"home1.example\", \"ims.test\"]\n\
             [charging]\nwatchdog_s = 6\nreconnect_min_ms = 100\nreconnect_max_ms = 500\n\
             [shutdown]\ndrain_s = 0\n", // watchers of these tests stop answering
        );
        server.launch();
        server
    }

    /// The same, once these are connected.
    fn start_with(self, hosts: &[&str]) -> Server {
        let server = self.start();
        hosts.iter().for_each(|host| until_up(&server, host, SOON));
        server
    }
}

/// `presentia sim cdf` or `ocs` under this name.
fn sim(folder: &Path, kind: &str, host: &str, more: &[&str]) -> Sim {
    let folder = folder.join(host);
    std::fs::create_dir_all(&folder).unwrap();
    let realm = host.split_once('.').expect("a realm").1;
    let who = [kind, "--host", host, "--realm", realm];
    Sim::start(&folder, &[&who, more].concat())
}

/// The status of a PUBLISH; `false`: of one that names a publication which is not there, 412.
fn publish(server: &Server, user: &str, good: bool) -> Option<u16> {
    let request = Request::publish(user, &pidf(user, "open", "here"));
    let request = match good {
        true => request,
        false => request.with("SIP-If-Match", "gone"),
    };
    Ua::new(server.sip).ask(&request).status()
}

/// All values of this name in a request, at whatever depth, as text.
fn values(message: &Value, name: &str) -> Vec<String> {
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    match message {
        Value::Object(members) => {
            let own = members.get(name).and_then(Value::as_array);
            let own = own.into_iter().flatten().map(text);
            let inner = members.values().flat_map(|value| values(value, name));
            own.chain(inner).collect()
        }
        Value::Array(all) => all.iter().flat_map(|value| values(value, name)).collect(),
        _ => Vec::new(),
    }
}

/// Of each request that came: its values of this name, one after the other.
fn each(requests: &[Value], name: &str) -> Vec<String> {
    requests
        .iter()
        .flat_map(|request| values(request, name))
        .collect()
}

/// Waits until each event has left: nothing more will come to a CDF.
fn all_sent(server: &Server) {
    let empty = || (server.metric("presentia_charging_spool_depth")? == 0).then_some(());
    eventually(SOON, empty).expect("the spool is empty");
}

/// All of these at the same time.
fn show(recipes: &'static [Shown]) {
    let failed: Vec<&str> = std::thread::scope(|scope| {
        let run = |(heading, shown): &'static Shown| (*heading, scope.spawn(shown));
        let running: Vec<_> = recipes.iter().map(run).collect();
        let ended = running
            .into_iter()
            .map(|(heading, thread)| (heading, thread.join().is_err()));
        ended
            .filter(|(_, failed)| *failed)
            .map(|(heading, _)| heading)
            .collect()
    });
    assert_eq!(failed, Vec::<&str>::new(), "what they said is above");
}

#[test]
fn each_recipe_of_the_page_is_shown() {
    let mut shown: Vec<&str> = [offline::SHOWN, online::SHOWN, peers::SHOWN]
        .concat()
        .iter()
        .map(|(heading, _)| *heading)
        .collect();
    let recipes = recipes();
    let mut written: Vec<&str> = recipes
        .iter()
        .map(|(heading, _)| heading.as_str())
        .collect();
    shown.sort_unstable();
    written.sort_unstable();
    assert_eq!(shown, written);
}
