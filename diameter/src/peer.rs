//! The peer state machine of RFC 6733 §5.6, with its election.
//!
//! A peer may be reached by the connection that we made (the RFC's I-) and by the one that it made to us (R-); an
//! election leaves one of them. `I-Open` is [`State::Open`] of [`Side::Initiated`], `R-Open` of [`Side::Accepted`].

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// We connected.
    Initiated,
    /// The peer connected.
    Accepted,
}

/// State of one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Closed,
    WaitConnAck,
    WaitICea,
    /// The peer has connected and waits for its CEA, while our own attempt is under way.
    WaitConnAckElect,
    /// Both connections stand, and each of the two nodes has said a CER; the election is lost here, or being held.
    WaitReturns,
    Open(Side),
    Closing(Side),
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
    /// A connection of the peer with a CER that passed Process-CER.
    ConnCer,
    /// The election is won: our Origin-Host is the higher one.
    Won,
    Dpr,
    Dpa,
    Stop,
    Timeout,
    /// A connection is over: closed by the peer, or its stream cannot be read any further.
    Gone(Side),
    /// The watchdog has given the open connection up.
    Silent,
}

/// What is to be done, in the words of §5.6.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Connect,
    SendCer,
    /// Lets the peer in on the connection that it made.
    SendCea,
    Elect,
    /// Turns the newest connection of the peer away.
    Reject,
    SendDpr,
    SendDpa,
    Disconnect(Side),
}

impl State {
    /// One row of the table. An event without a row changes nothing.
    ///
    /// Two rows go further than the RFC's. An election is held as soon as the peer's CER is there, also while our
    /// attempt to connect is under way: where it is won that attempt is given up at once, as it would be later. And
    /// an attempt that takes too long while the peer waits for its CEA counts as failed, instead of costing the
    /// connection that stands: whoever can be reached one way only is served.
    #[must_use]
    pub fn step(self, event: Event) -> (State, &'static [Action]) {
        use Action::*;
        use Event::*;
        use Side::*;
        use State::*;
        match (self, event) {
            (Closed, Start) => (WaitConnAck, &[Connect]),
            (Closed, ConnCer) => (Open(Accepted), &[SendCea]),

            (WaitConnAck, ConnAck) => (WaitICea, &[SendCer]),
            (WaitConnAck, ConnNack) => (Closed, &[]),
            (WaitConnAck, ConnCer) => (WaitConnAckElect, &[Elect]),
            (WaitConnAck, Timeout | Stop | Gone(Initiated)) => (Closed, &[Disconnect(Initiated)]),

            (WaitICea, Cea) => (Open(Initiated), &[]),
            (WaitICea, ConnCer) => (WaitReturns, &[Elect]),
            (WaitICea, BadCea | NonCea | Timeout | Stop | Gone(Initiated)) => {
                (Closed, &[Disconnect(Initiated)])
            }

            (WaitConnAckElect, ConnAck) => (WaitReturns, &[SendCer, Elect]),
            (WaitConnAckElect, ConnNack) => (Open(Accepted), &[SendCea]),
            (WaitConnAckElect, Gone(Accepted)) => (WaitConnAck, &[Disconnect(Accepted)]),

            // A refusal on the connection that we made is its end; the other one stands.
            (WaitConnAckElect, Won | Timeout | Gone(Initiated))
            | (WaitReturns, Won | BadCea | NonCea | Gone(Initiated)) => {
                (Open(Accepted), &[Disconnect(Initiated), SendCea])
            }
            (WaitReturns, Cea) => (Open(Initiated), &[Disconnect(Accepted)]),
            (WaitReturns, Gone(Accepted)) => (WaitICea, &[Disconnect(Accepted)]),
            (WaitConnAckElect, Stop) | (WaitReturns, Timeout | Stop) => {
                (Closed, &[Disconnect(Initiated), Disconnect(Accepted)])
            }

            (Open(side), Stop) => (Closing(side), &[SendDpr]),
            (Open(side), Dpr) => (Closing(side), &[SendDpa]),
            // Both sides may say DPR at once; each is still answered.
            (Closing(side), Dpr) => (Closing(side), &[SendDpa]),
            (Open(Initiated) | Closing(Initiated), Silent | Gone(Initiated))
            | (Closing(Initiated), Dpa | Timeout) => (Closed, &[Disconnect(Initiated)]),
            (Open(Accepted) | Closing(Accepted), Silent | Gone(Accepted))
            | (Closing(Accepted), Dpa | Timeout) => (Closed, &[Disconnect(Accepted)]),

            (state, ConnCer) => (state, &[Reject]),
            (state, _) => (state, &[]),
        }
    }
}

/// The election (§5.6.4): "if the local Origin-Host lexicographically succeeds the received Origin-Host", with
/// letters equal in both cases, the responder wins.
pub fn wins(local: &str, received: &str) -> bool {
    let octets = |host: &str| host.bytes().map(|b| b.to_ascii_lowercase()).collect();
    let (local, received): (Vec<u8>, Vec<u8>) = (octets(local), octets(received));
    local > received
}

#[cfg(test)]
mod tests {
    use super::Action::*;
    use super::Event::*;
    use super::Side::*;
    use super::State::*;
    use super::*;

    const I_DISC: Action = Disconnect(Initiated);
    const R_DISC: Action = Disconnect(Accepted);

    fn check(rows: &[(State, Event, &[Action], State)]) {
        for (before, event, actions, after) in rows {
            assert_eq!(
                before.step(*event),
                (*after, *actions),
                "{before:?} {event:?}"
            );
        }
    }

    #[test]
    fn the_rows_of_rfc_6733_before_a_peer_is_open() {
        check(&[
            (Closed, Start, &[Connect], WaitConnAck),
            (Closed, ConnCer, &[SendCea], Open(Accepted)),
            (WaitConnAck, ConnAck, &[SendCer], WaitICea),
            (WaitConnAck, ConnNack, &[], Closed),
            (WaitConnAck, ConnCer, &[Elect], WaitConnAckElect),
            (WaitConnAck, Timeout, &[I_DISC], Closed),
            (WaitICea, Cea, &[], Open(Initiated)),
            (WaitICea, ConnCer, &[Elect], WaitReturns),
            (WaitICea, Gone(Initiated), &[I_DISC], Closed),
            (WaitICea, NonCea, &[I_DISC], Closed),
            (WaitICea, BadCea, &[I_DISC], Closed),
            (WaitICea, Timeout, &[I_DISC], Closed),
            (WaitConnAckElect, ConnAck, &[SendCer, Elect], WaitReturns),
            (WaitConnAckElect, ConnNack, &[SendCea], Open(Accepted)),
            (WaitConnAckElect, Gone(Accepted), &[R_DISC], WaitConnAck),
            (WaitConnAckElect, ConnCer, &[Reject], WaitConnAckElect),
            (WaitReturns, Won, &[I_DISC, SendCea], Open(Accepted)),
            (
                WaitReturns,
                Gone(Initiated),
                &[I_DISC, SendCea],
                Open(Accepted),
            ),
            (WaitReturns, Cea, &[R_DISC], Open(Initiated)),
            (WaitReturns, Gone(Accepted), &[R_DISC], WaitICea),
            (WaitReturns, ConnCer, &[Reject], WaitReturns),
            (WaitReturns, Timeout, &[I_DISC, R_DISC], Closed),
        ]);
    }

    #[test]
    fn the_rows_of_rfc_6733_from_open_to_closed() {
        for (side, disc) in [(Initiated, [I_DISC]), (Accepted, [R_DISC])] {
            let other = match side {
                Initiated => Accepted,
                Accepted => Initiated,
            };
            check(&[
                (Open(side), ConnCer, &[Reject], Open(side)),
                (Open(side), Stop, &[SendDpr], Closing(side)),
                (Open(side), Dpr, &[SendDpa], Closing(side)),
                (Open(side), Gone(side), &disc, Closed),
                (Open(side), Silent, &disc, Closed),
                (Closing(side), Dpa, &disc, Closed),
                (Closing(side), Timeout, &disc, Closed),
                (Closing(side), Gone(side), &disc, Closed),
                // What has no row changes nothing.
                (Open(side), Gone(other), &[], Open(side)),
                (Open(side), Cea, &[], Open(side)),
                (Open(side), Dpa, &[], Open(side)),
                (Open(side), Won, &[], Open(side)),
            ]);
        }
        check(&[(Closed, Dpa, &[], Closed), (Closed, Timeout, &[], Closed)]);
    }

    #[test]
    fn the_higher_name_wins_whatever_its_case() {
        for (local, received, won) in [
            ("ps.test", "cdf.test", true),
            ("cdf.test", "ps.test", false),
            ("PS.test", "cdf.test", true),
            ("a.test", "B.test", false),
            ("ps10.test", "ps1.test", true),
            ("ps.test", "PS.test", false),
        ] {
            assert_eq!(wins(local, received), won, "{local} {received}");
        }
    }
}
