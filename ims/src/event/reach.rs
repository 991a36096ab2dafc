//! Which next hops take no TCP, so that not every large NOTIFY tries it in vain (RFC 3261 §18.1.1).

use crate::sip::Destination;
use crate::time::{Seconds, Timestamp};
use std::collections::BTreeMap;

/// How long a refusal is remembered: a minute, so that a peer that is restarted is soon asked again.
const REMEMBER: Seconds = Seconds(60);
/// Next hops remembered. An S-CSCF has few addresses; when there are more, all are asked again.
const MOST: usize = 4096;

/// Next hops that refused or did not answer a connection, and until when that is believed.
#[derive(Debug, Default)]
pub struct OnlyUdp(BTreeMap<(Box<str>, Option<u16>), Timestamp>);

impl OnlyUdp {
    pub fn insert(&mut self, now: Timestamp, to: &Destination) {
        let Some(hop) = hop(to) else { return };
        if self.0.len() >= MOST {
            self.0.clear();
        }
        self.0.insert(hop, now + REMEMBER);
    }

    pub fn contains(&self, now: Timestamp, to: &Destination) -> bool {
        !self.0.is_empty()
            && hop(to).is_some_and(|hop| self.0.get(&hop).is_some_and(|until| now < *until))
    }
}

fn hop(to: &Destination) -> Option<(Box<str>, Option<u16>)> {
    match to {
        Destination::Host { host, port, .. } => Some((host.clone(), *port)),
        Destination::Flow(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::Transport;

    #[test]
    fn a_refusal_is_believed_for_a_minute_and_for_that_hop_alone() {
        let hop = |port| Destination::Host {
            host: "192.0.2.1".into(),
            port: Some(port),
            transport: Some(Transport::Tcp),
        };
        let mut only_udp = OnlyUdp::default();
        assert!(!only_udp.contains(Timestamp(0), &hop(5060)));
        only_udp.insert(Timestamp(0), &hop(5060));
        assert!(only_udp.contains(Timestamp(59_999), &hop(5060).over(Transport::Udp)));
        assert!(!only_udp.contains(Timestamp(60_000), &hop(5060)));
        assert!(!only_udp.contains(Timestamp(0), &hop(5061)));
    }
}
