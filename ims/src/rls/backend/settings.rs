//! How back-end subscriptions are made, from the configuration.

use crate::event::subscriber::Own;
use crate::isc::Charging;
use crate::sip::Aor;
use crate::time::{Millis, Seconds};

/// How this node appears, and its bounds.
#[derive(Clone, Debug)]
pub struct Settings {
    pub own: Own,
    /// 64·T1: how long a SUBSCRIBE waits for its NOTIFY (RFC 6665 §4.1.2.4).
    pub timer_n: Millis,
    pub bounds: Bounds,
}

/// What an operator sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// First hop for watchers whose S-CSCF is not known: a SIP URI.
    pub core: Option<String>,
    /// Most back-end subscriptions of the node.
    pub capacity: usize,
    /// Most of one watcher.
    pub per_watcher: usize,
    /// Most at one domain that have been asked for and have not been told of.
    pub under_way: usize,
    /// Most SUBSCRIBEs a second to one domain that open, end or are sent after a restart.
    pub per_second: u32,
    /// Longest lifetime asked for.
    pub lifetime: Seconds,
    /// Largest state taken of one resource, in bytes.
    pub max_body: usize,
    /// Whether a member at another server may be a list itself.
    pub nested: bool,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            core: None,
            capacity: 100_000,
            per_watcher: 1_000,
            under_way: 16,
            per_second: 50,
            lifetime: Seconds(3600),
            max_body: 64 * 1024,
            nested: false,
        }
    }
}

/// Where requests on behalf of a watcher go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The S-CSCF: a URI.
    pub hop: String,
    /// Which of the watcher's identities it serves, by its place.
    pub served: usize,
    pub registered: bool,
    /// What the S-CSCF said of charging.
    pub charging: Charging,
}

/// Who knows the S-CSCF of a watcher.
pub trait Core {
    /// `None`: not known.
    fn way(&self, watcher: &[Aor]) -> Option<Way>;
}

/// The first hop of a request that we originate on behalf of a user (TS 24.229 §5.7.3): his S-CSCF, which the
/// parameter tells to serve him as the caller.
pub(super) fn originating(hop: &str) -> String {
    let mut params = hop.split(';').skip(1);
    if params.any(|param| param.eq_ignore_ascii_case("orig")) {
        hop.to_owned()
    } else {
        format!("{hop};orig")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_hop_is_told_that_the_user_calls() {
        for (hop, written) in [
            ("sip:scscf.ims.test:6060", "sip:scscf.ims.test:6060;orig"),
            ("sip:scscf.ims.test;lr;ORIG", "sip:scscf.ims.test;lr;ORIG"),
            ("sip:orig@scscf.ims.test", "sip:orig@scscf.ims.test;orig"),
        ] {
            assert_eq!(originating(hop), written);
        }
    }
}
