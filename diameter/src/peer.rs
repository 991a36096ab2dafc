//! The peer state machine of RFC 6733 §5.6 for the side that connects.
//!
//! This node accepts no connections, so the rows for a responder and for an election do not arise.

/// State of one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Closed,
    WaitConnAck,
    WaitCea,
    Open,
    Closing,
}

/// What happened, in the words of §5.6.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Start,
    ConnAck,
    ConnNack,
    /// A CEA that passed Process-CEA.
    Cea,
    /// A CEA that did not: refused, another host, nothing in common.
    BadCea,
    /// Any other message where a CEA was due.
    NonCea,
    Dpr,
    Dpa,
    Stop,
    Timeout,
    PeerDisconnected,
    /// The stream cannot be read, or the watchdog has given it up.
    Broken,
}

/// What is to be done, in the words of §5.6.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Connect,
    SendCer,
    SendDpr,
    SendDpa,
    Disconnect,
}

impl State {
    /// One row of the table. An event without a row changes nothing.
    #[must_use]
    pub fn step(self, event: Event) -> (State, &'static [Action]) {
        use Action::*;
        use Event::*;
        use State::*;
        match (self, event) {
            (Closed, Start) => (WaitConnAck, &[Connect]),
            (WaitConnAck, ConnAck) => (WaitCea, &[SendCer]),
            (WaitConnAck, ConnNack) => (Closed, &[]),
            (WaitConnAck, Timeout | Stop) => (Closed, &[Disconnect]),
            (WaitCea, Cea) => (Open, &[]),
            (WaitCea, BadCea | NonCea | Timeout | Stop | Broken) => (Closed, &[Disconnect]),
            (Open, Stop) => (Closing, &[SendDpr]),
            (Open, Dpr) => (Closing, &[SendDpa]),
            (Open, Broken) => (Closed, &[Disconnect]),
            // Both sides may say DPR at once; each is still answered.
            (Closing, Dpr) => (Closing, &[SendDpa]),
            (Closing, Dpa | Timeout | Broken) => (Closed, &[Disconnect]),
            (WaitConnAck | WaitCea | Open | Closing, PeerDisconnected) => (Closed, &[Disconnect]),
            (state, _) => (state, &[]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Action::*;
    use super::Event::*;
    use super::State::*;
    use super::*;

    #[test]
    fn the_initiators_rows_of_rfc_6733() {
        let rows: &[(State, Event, &[Action], State)] = &[
            (Closed, Start, &[Connect], WaitConnAck),
            (WaitConnAck, ConnAck, &[SendCer], WaitCea),
            (WaitConnAck, ConnNack, &[], Closed),
            (WaitConnAck, Timeout, &[Disconnect], Closed),
            (WaitCea, Cea, &[], Open),
            (WaitCea, PeerDisconnected, &[Disconnect], Closed),
            (WaitCea, NonCea, &[Disconnect], Closed),
            (WaitCea, BadCea, &[Disconnect], Closed),
            (WaitCea, Timeout, &[Disconnect], Closed),
            (Open, Stop, &[SendDpr], Closing),
            (Open, Dpr, &[SendDpa], Closing),
            (Open, PeerDisconnected, &[Disconnect], Closed),
            (Closing, Dpa, &[Disconnect], Closed),
            (Closing, Timeout, &[Disconnect], Closed),
            (Closing, PeerDisconnected, &[Disconnect], Closed),
            // What has no row changes nothing.
            (Closed, Dpa, &[], Closed),
            (Closed, Timeout, &[], Closed),
            (Open, Dpa, &[], Open),
            (Open, Cea, &[], Open),
        ];
        for (before, event, actions, after) in rows {
            assert_eq!(
                before.step(*event),
                (*after, *actions),
                "{before:?} {event:?}"
            );
        }
    }
}
