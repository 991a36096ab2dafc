//! What a server says of itself when it starts.

use super::{Cidr, Config, EngineKind};
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
        let peers: Vec<String> = charging
            .peers
            .iter()
            .map(|p| format!("{} ({})", p.host, p.address))
            .collect();
        match peers.is_empty() {
            true => line(f, "charging", "off: no [[charging.peers]] is configured"),
            false => line(f, "charging", &peers.join(", ")),
        }
    }
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
            "charging       off",
        ] {
            assert!(shown.contains(part), "{part:?} is missing in:\n{shown}");
        }
    }
}
