//! What an operator should look at when a charging peer is not up: the reason as the node or the system says it, and the
//! first thing that is usually wrong with it.

/// A word of each reason, and what to check. The first that fits is told.
const CHECKS: [(&str, &str); 14] = [
    (
        "refused us with Result-Code 3010",
        "the peer does not know us: origin_host and origin_realm of [charging] must be configured there",
    ),
    (
        "refused us with Result-Code 5010",
        "it does not serve what we offer: a CDF belongs in [[charging.peers]], an OCS in [[charging.online.peers]]",
    ),
    (
        "refused us with Result-Code 5017",
        "it wants TLS, or none: tls of this peer, and [charging.tls]",
    ),
    (
        "refused us",
        "the log of the peer says why; origin_host and origin_realm of [charging] are what it sees",
    ),
    (
        "Connection refused",
        "nothing listens there: is it started, is the address of this peer right, does a firewall reject it",
    ),
    (
        "lookup address",
        "the name in the address of this peer is not in DNS; an IP address serves as well",
    ),
    ("No route", "there is no route to the address of this peer"),
    (
        "no connection",
        "nobody answers there: the address of this peer, and firewalls on the way",
    ),
    (
        "no CEA in time",
        "something takes the connection and does not answer the CER: is it Diameter, or does it want TLS",
    ),
    (
        "certificate",
        "its certificate must name the host of this peer and come from an authority of [charging.tls] ca",
    ),
    (
        "tls",
        "the other side does not speak TLS at this port (5868 is usual), or wants a certificate: [charging.tls]",
    ),
    (
        "closed the connection",
        "it went away without a word: the log of the peer; is it Diameter, and does it know our origin_host",
    ),
    (
        "the peer is ",
        "host of this peer in the configuration must be what it calls itself in its CEA, or the address is another's",
    ),
    (
        "the peer serves neither",
        "a CDF belongs in [[charging.peers]], an OCS in [[charging.online.peers]]",
    ),
];

/// What to look at, for a reason; empty for what is passing.
pub fn what_to_check(why: &str) -> &'static str {
    let known = CHECKS.iter().find(|(word, _)| why.contains(word));
    known.map_or("", |(_, check)| check)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_that_an_operator_can_mend_has_its_advice() {
        let refused = std::io::Error::from_raw_os_error(111).to_string();
        let no_route = std::io::Error::from_raw_os_error(113).to_string();
        for (why, said) in [
            (refused.as_str(), "nothing listens"),
            (&no_route, "no route"),
            (
                "the peer refused us with Result-Code 5010",
                "[[charging.online.peers]]",
            ),
            (
                "the peer refused us with Result-Code 5012",
                "log of the peer",
            ),
            ("the peer is a.test, not b.test", "host of this peer"),
            (
                "invalid peer certificate: UnknownIssuer",
                "[charging.tls] ca",
            ),
            ("tls handshake eof", "5868"),
            ("no CEA in time", "Diameter"),
            ("stopped here", ""),
            ("the peer said goodbye (DPR)", ""),
        ] {
            assert!(what_to_check(why).contains(said), "{why}");
            assert_eq!(what_to_check(why).is_empty(), said.is_empty(), "{why}");
        }
    }
}
