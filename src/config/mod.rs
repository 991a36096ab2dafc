//! Configuration: a documented file, checked as a whole before anything starts.

mod back_ends;
mod check;
mod composition;
pub(crate) mod file;
mod http;
mod locate;
mod remote_xdms;
mod rls;
mod sections;
mod summary;
mod watcher_info;
mod xcap;
mod xcap_diff;
mod xcap_proxy;

pub use crate::charging::settings::Settings as Charging;
pub use composition::Composition;
pub use http::Http;
pub use ims::network::{Cidr, any_contains};
pub use remote_xdms::{RemoteXdms, Unreadable, XdmsServer};
pub use rls::Rls;
pub use sections::*;
pub use summary::Summary;
pub use watcher_info::{Observers, WatcherInfo};
pub use xcap::{GlobalTree, Xcap, XcapUsage};
pub use xcap_diff::XcapDiff;
pub use xcap_proxy::{DigestAlgorithm, XcapDigest, XcapRemote};

use serde::Deserialize;
use std::fmt;
use std::path::Path;

/// The complete default file with an explanation of every key, as `presentia config` prints it.
pub const DEFAULT_FILE: &str = include_str!("default.toml");

/// Everything that can be configured. A missing section or key has its default.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub sip: Sip,
    pub trust: Trust,
    pub http: Http,
    pub store: Store,
    pub publication: Publication,
    pub subscription: Subscription,
    pub presence: Presence,
    pub watcher_info: WatcherInfo,
    pub composition: Composition,
    pub registration: Registration,
    pub xcap: Xcap,
    pub remote_xdms: RemoteXdms,
    pub xcap_diff: XcapDiff,
    pub rls: Rls,
    pub charging: Charging,
    pub log: Log,
    pub limits: Limits,
    pub shutdown: Shutdown,
}

/// A value that cannot be served, by its full key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadValue {
    /// As in `publication.expires_min`.
    pub key: String,
    /// What would have been right.
    pub expected: String,
}

/// Why a configuration is refused: one line that names file, line, key and what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// File, or where else the value came from.
    pub origin: String,
    /// First line is 1; `None` when the value is not in the file.
    pub line: Option<usize>,
    pub key: Option<String>,
    pub problem: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(key) = &self.key {
            write!(f, ": {key}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads, parses and checks a file.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let origin = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|e| ConfigError {
            origin: origin.clone(),
            line: None,
            key: None,
            problem: format!("cannot be read ({e}); name a readable TOML file with --config"),
        })?;
        Config::parse(&text, &origin)
    }

    /// Parses and checks a text; `origin` is named in errors.
    pub fn parse(text: &str, origin: &str) -> Result<Config, ConfigError> {
        let config: Config = toml::from_str(text).map_err(|e| {
            let at = e.span().map(|span| span.start);
            ConfigError {
                origin: origin.to_owned(),
                line: at.map(|at| locate::line_of(text, at)),
                key: at.and_then(|at| locate::key_at(text, at)),
                problem: e.message().replace('\n', ", "),
            }
        })?;
        match check::check(&config) {
            Ok(()) => Ok(config),
            Err(bad) => Err(ConfigError {
                origin: origin.to_owned(),
                line: locate::line_of_key(text, &bad.key),
                problem: format!("expected {}", bad.expected),
                key: Some(bad.key),
            }),
        }
    }

    /// Checks values that were changed after parsing, on the command line for instance.
    pub fn check(&self) -> Result<(), BadValue> {
        check::check(self)
    }

    /// The URI of this server: `[sip] as_uri`, or else `sip:` and the first address listened on.
    pub fn as_uri(&self) -> String {
        let listened = self.sip.listen_udp.first().or(self.sip.listen_tcp.first());
        match (&self.sip.as_uri, listened) {
            (Some(uri), _) => uri.clone(),
            (None, Some(address)) => format!("sip:{address}"),
            (None, None) => "sip:127.0.0.1:5080".into(), // `check` refuses a server that listens nowhere
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_printed_file_says_the_defaults() {
        assert_eq!(
            Config::parse(DEFAULT_FILE, "default").unwrap(),
            Config::default()
        );
        assert_eq!(Config::parse("", "empty").unwrap(), Config::default());
    }

    /// Every key a section knows, as serde lists them when it meets one that it does not know.
    fn known_keys(section: &str) -> Vec<String> {
        let probe = format!("{section}\nno-such-key = 1\n");
        let refused = toml::from_str::<Config>(&probe).unwrap_err();
        refused
            .message()
            .split('`')
            .skip(1)
            .step_by(2)
            .skip(1)
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn the_printed_file_explains_every_key() {
        let mut sections: Vec<String> = known_keys("").iter().map(|s| format!("[{s}]")).collect();
        sections.extend(
            [
                "[charging.online]",
                "[[charging.online.peers]]",
                "[charging.online.sessions]",
                "[charging.tls]",
                "[charging.export]",
                "[charging.triggers]",
                "[[charging.peers]]",
                "[[remote_xdms.servers]]",
                "[xcap.digest]",
                "[rls.back_ends]",
            ]
            .map(String::from),
        );
        for section in sections {
            let start = DEFAULT_FILE
                .find(&format!("{section}\n"))
                .unwrap_or_else(|| panic!("{section} is missing"));
            let body = &DEFAULT_FILE[start..];
            for key in known_keys(&section) {
                if [
                    ("[charging]", "triggers"),
                    ("[charging]", "online"),
                    ("[charging.online]", "peers"),
                    ("[charging.online]", "sessions"),
                    ("[charging]", "tls"),
                    ("[charging]", "export"),
                    ("[xcap]", "digest"),
                    ("[rls]", "back_ends"),
                ]
                .contains(&(section.as_str(), key.as_str()))
                {
                    continue; // a section of its own
                }
                let shown = body.lines().any(|line| {
                    line.trim_start_matches("# ")
                        .starts_with(&format!("{key} = "))
                });
                assert!(shown, "{section} {key} is not in the default file");
            }
        }
    }

    #[test]
    fn the_manual_shows_the_same_file() {
        let manual = include_str!("../../docs/configuration.md");
        assert!(
            manual.contains(DEFAULT_FILE),
            "docs/configuration.md differs from `presentia config`"
        );
    }

    #[test]
    fn a_mistake_is_named_with_line_key_and_what_was_expected() {
        for (case, text, said) in [
            (
                "an unknown section",
                "\n[sipp]\n",
                "f:2: sipp: unknown field `sipp`, expected one of `sip`, `trust`",
            ),
            (
                "an unknown key",
                "[sip]\nlisten_upd = []\n",
                "f:2: sip.listen_upd: unknown field `listen_upd`, expected one of",
            ),
            (
                "a wrong type",
                "[sip]\n\nudp_max = \"big\"\n",
                "f:3: sip.udp_max: invalid type: string \"big\", expected usize",
            ),
            (
                "an address without a port",
                "[http]\nlisten = \"localhost\"\n",
                "f:2: http.listen: expected ADDRESS:PORT",
            ),
            (
                "no such choice",
                "[log]\nlevel = \"loud\"\n",
                "f:2: log.level: unknown variant `loud`, expected one of `error`",
            ),
            (
                "a value out of range",
                "[sip]\nudp_max = 100\n",
                "f:2: sip.udp_max: expected a number from 200 to 65535, not 100",
            ),
            (
                "a nonsense peer",
                "[trust]\npeers = [\"10.0.0.0/99\"]\n",
                "f:2: trust.peers: expected an IP address or ADDRESS/BITS",
            ),
            (
                "lifetimes out of order",
                "[publication]\nexpires_max = 100\n",
                "f:2: publication.expires_max: expected a number of seconds from 3600",
            ),
            ("a broken file", "[sip\n", "f:1: "),
            (
                "the same key twice",
                "[sip]\nudp_max = 1\nudp_max = 2\n",
                "f:3: ",
            ),
            (
                "a header injected",
                "[sip]\nserver = \"a\\r\\nX: y\"\n",
                "f:2: sip.server: expected up to 200 printable",
            ),
            (
                "charging out of range",
                "[charging]\nmax_in_flight = 0\n",
                "f:2: charging.max_in_flight: expected a number",
            ),
            (
                "a key that would have no effect",
                "[charging.online]\nmultiple_services = false\nrating_group = 7\n",
                "f:3: charging.online.rating_group: expected no value with multiple_services",
            ),
        ] {
            let error = Config::parse(text, "f").unwrap_err().to_string();
            assert!(error.starts_with(said), "{case}: {error}");
            assert_eq!(error.lines().count(), 1, "{case}: one line");
        }
    }

    #[test]
    fn the_servers_own_uri_follows_the_first_address() {
        for (text, uri) in [
            ("", "sip:127.0.0.1:5080"),
            (
                "sip.listen_udp = []\nsip.listen_tcp = ['[::1]:5070']",
                "sip:[::1]:5070",
            ),
            ("sip.as_uri = 'sip:ps.ims.test'", "sip:ps.ims.test"),
        ] {
            assert_eq!(Config::parse(text, "f").unwrap().as_uri(), uri);
        }
    }
}
