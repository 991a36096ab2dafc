//! What a server says of itself when it starts.

use super::{Charging, Cidr, Config, EngineKind};
use crate::charging::settings::{Only, PeerSettings, Switch};
use std::fmt;

/// The block an operator reads at start: what is listened on, who is trusted, where the data lie.
#[derive(Debug)]
pub struct Summary<'a>(&'a Config);

impl Config {
    pub fn summary(&self) -> Summary<'_> {
        Summary(self)
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Config {
            sip,
            http,
            trust,
            store,
            charging,
            ..
        } = self.0;
        writeln!(f, "Presentia {}", env!("CARGO_PKG_VERSION"))?;
        line(f, "SIP over UDP", &list(&sip.listen_udp))?;
        line(f, "SIP over TCP", &list(&sip.listen_tcp))?;
        line(f, "own URI", &self.0.as_uri())?;
        line(f, "home domains", &sip.home_domains.join(", "))?;
        line(f, "trusted peers", &sets(&trust.peers))?;
        match http.listen {
            Some(address) => {
                line(f, "XCAP", &format!("http://{address}{}", http.xcap_root))?;
                line(
                    f,
                    "admin",
                    &format!("http://{address}/metrics /healthz /readyz"),
                )?;
                line(f, "HTTP proxies", &sets(&http.trusted_proxies))?;
            }
            None => line(f, "HTTP", "off")?,
        }
        if let Some(address) = http.tls_listen {
            line(
                f,
                "XCAP over TLS",
                &format!("https://{address}{}", http.xcap_root),
            )?;
        }
        match store.engine {
            EngineKind::Journal | EngineKind::Fjall => {
                line(f, "data", &store.path.display().to_string())?
            }
            EngineKind::Memory => {
                line(f, "data", "in memory only: everything is forgotten at exit")?
            }
        }
        line(f, "charging, Rf", &records(charging))?;
        line(f, "credit, Ro", &credit(charging))
    }
}

/// Who gets records of what.
fn records(charging: &Charging) -> String {
    if charging.peers.is_empty() {
        return "off: no [[charging.peers]] is configured".into();
    }
    let given = &charging.triggers;
    let methods = [
        ("PUBLISH", given.publish),
        ("SUBSCRIBE", given.subscribe),
        ("SUBSCRIBE sent", given.subscribe_sent),
        ("NOTIFY", given.notify),
        ("NOTIFY received", given.notify_received),
        ("REGISTER", given.register),
    ];
    let recorded = methods.iter().filter_map(|(method, switch)| match switch {
        Switch::All(true) => Some((*method).to_owned()),
        Switch::All(false) => None,
        Switch::Only(Only::Success) => Some(format!("{method} (2xx)")),
        Switch::Only(Only::Failure) => Some(format!("{method} (failed)")),
    });
    let recorded: Vec<String> = recorded.collect();
    let only = if given.failures { "" } else { ", 2xx only" };
    let what = match recorded.is_empty() {
        true => "nothing: [charging.triggers] are all off".into(),
        false => recorded.join(", ") + only,
    };
    format!("to {}: {what}", peers(&charging.peers))
}

/// Who is asked for credit for what.
fn credit(charging: &Charging) -> String {
    let online = &charging.online;
    let asked: Vec<String> = online
        .modes()
        .iter()
        .filter_map(|(method, mode)| Some(format!("{method} {}", (*mode)?)))
        .collect();
    match (asked.is_empty(), online.peers.is_empty()) {
        (true, true) => "off: no [[charging.online.peers]] is configured".into(),
        (true, false) => format!(
            "{} is connected and asked for prices only: [charging.online] publish, subscribe, register, notify are off",
            peers(&online.peers)
        ),
        (false, true) => format!(
            "of users for whom the core names an OCS (ecf): {}",
            asked.join(", ")
        ),
        (false, false) => format!("from {}: {}", peers(&online.peers), asked.join(", ")),
    }
}

fn peers(peers: &[PeerSettings]) -> String {
    let shown = peers.iter().map(|peer| {
        let tls = if peer.tls { ", TLS" } else { "" };
        let waits = if peer.connect { "" } else { ", connects to us" };
        format!("{} ({}{tls}{waits})", peer.host, peer.address)
    });
    shown.collect::<Vec<_>>().join(", ")
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, value: &str) -> fmt::Result {
    writeln!(f, "  {name:<14} {value}")
}

fn list<T: fmt::Display>(values: &[T]) -> String {
    match values.is_empty() {
        true => "off".into(),
        false => values
            .iter()
            .map(T::to_string)
            .collect::<Vec<_>>()
            .join(", "),
    }
}

fn sets(values: &[Cidr]) -> String {
    match values.is_empty() {
        true => "nobody".into(),
        false => list(values),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_says_where_and_whom() {
        let shown = Config::default().summary().to_string();
        for part in [
            "SIP over UDP   127.0.0.1:5080\n",
            "own URI        sip:127.0.0.1:5080\n",
            "trusted peers  127.0.0.0/8, ::1\n",
            "XCAP           http://127.0.0.1:8080/xcap-root\n",
            "data           ./data\n",
            "charging, Rf   off: no [[charging.peers]]",
            "credit, Ro     off: no [[charging.online.peers]]",
        ] {
            assert!(shown.contains(part), "{part:?} is missing in:\n{shown}");
        }
    }
    #[test]
    fn the_block_says_what_is_charged_and_by_whom() {
        const CDF: &str = "[[charging.peers]]\nhost = 'cdf.test'\naddress = '192.0.2.1:3868'\n";
        const OCS: &str =
            "[[charging.online.peers]]\nhost = 'ocs.test'\naddress = '192.0.2.2:3868'\n";
        for (text, said) in [
            (
                CDF.to_owned(),
                "to cdf.test (192.0.2.1:3868): PUBLISH, SUBSCRIBE, SUBSCRIBE sent, NOTIFY, REGISTER\n",
            ),
            (
                format!(
                    "{CDF}[charging.triggers]\nfailures = false\nsubscribe = 'success'\nnotify = false"
                ),
                ": PUBLISH, SUBSCRIBE (2xx), SUBSCRIBE sent, REGISTER, 2xx only\n",
            ),
            (
                format!("[charging.online]\npublish = 'iec'\nsubscribe = 'session'\n{OCS}"),
                "from ocs.test (192.0.2.2:3868): PUBLISH iec, SUBSCRIBE session\n",
            ),
            (
                "[charging.online]\nnotify = 'ecur'\n".to_owned(),
                "(ecf): NOTIFY ecur\n",
            ),
            (OCS.to_owned(), "prices only"),
        ] {
            let shown = Config::parse(&text, "f").unwrap().summary().to_string();
            assert!(shown.contains(said), "{said:?} is missing in:\n{shown}");
        }
    }
}
