//! The side that is connected to: the responder's rows of RFC 6733 §5.6, for one connection.
//!
//! It is what the simulators of charging systems stand on. It answers CER, DWR and DPR, hands over the requests of the
//! applications that it offers, and sends requests of its own to the peer that connected. It looks for no other
//! connection of that peer, so there is no election: who connects twice is served twice. A node that also
//! connects by itself is [`crate::node::Node`]; both judge a CER in the same way.

use crate::base::{Goodbye, Local, Remote, read_cer};
use crate::dictionary::*;
use crate::fault::{Fault, ResultCode};
use crate::grammar;
use crate::message::Message;
use crate::vocabulary::Vocabulary;
use crate::write::{Writer, stamp};
use std::net::IpAddr;

/// State of the connection: §5.6, R-Open and what is around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    WaitCer,
    Open,
    Closing,
    Closed,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    Send(Vec<u8>),
    /// The peer is known and served.
    Opened {
        host: String,
        realm: String,
    },
    /// A request of an application, to be answered with a message made by [`Writer::answer`].
    Request(Vec<u8>),
    /// The answer to a request of ours.
    Answer(Vec<u8>),
    Close,
}

/// One accepted connection.
#[derive(Debug)]
pub struct Acceptor {
    local: Local,
    address: IpAddr,
    state: State,
    /// The peer, from its CER on.
    host: String,
    /// For requests of our own.
    identifier: u32,
}

impl Acceptor {
    /// A connection that has just been accepted at `address`.
    pub fn new(local: Local, address: IpAddr) -> Acceptor {
        let identifier = local.state_id;
        Acceptor {
            local,
            address,
            state: State::WaitCer,
            host: String::new(),
            identifier,
        }
    }

    /// Origin-Host of the peer, once it has said it.
    pub fn peer(&self) -> Option<&str> {
        (self.state != State::WaitCer).then_some(self.host.as_str())
    }

    /// Takes one framed message.
    pub fn received(&mut self, bytes: &[u8]) -> Vec<Output> {
        let message = match Message::parse(bytes) {
            Ok(message) => message,
            Err(fault) => return self.unreadable(bytes, &fault),
        };
        let header = &message.header;
        match (self.state, header.flags.request(), header.command) {
            (State::Closed, ..) => Vec::new(),
            (State::WaitCer, true, CMD_CAPABILITIES_EXCHANGE) => self.introduced(&message),
            // §5.6: anything else before the CER ends the connection
            (State::WaitCer, ..) => self.close(Vec::new()),
            (_, true, _) => self.asked(&message, bytes),
            (State::Closing, false, CMD_DISCONNECT_PEER) => self.close(Vec::new()),
            (_, false, CMD_DEVICE_WATCHDOG | CMD_DISCONNECT_PEER) => Vec::new(),
            (_, false, _) => vec![Output::Answer(bytes.to_vec())],
        }
    }

    /// Sends a request of an application to the peer. Nothing before it is open.
    pub fn request(&mut self, mut bytes: Vec<u8>) -> Vec<Output> {
        if self.state != State::Open {
            return Vec::new();
        }
        let identifier = self.fresh();
        stamp(&mut bytes, identifier, identifier, false);
        vec![Output::Send(bytes)]
    }

    /// Asks whether the peer is still there.
    pub fn watch(&mut self) -> Vec<Output> {
        if self.state != State::Open {
            return Vec::new();
        }
        let identifier = self.fresh();
        vec![Output::Send(self.local.dwr(identifier, identifier))]
    }

    /// Takes leave. The connection ends with the answer.
    pub fn disconnect(&mut self) -> Vec<Output> {
        if self.state != State::Open {
            return self.close(Vec::new());
        }
        self.state = State::Closing;
        let identifier = self.fresh();
        let dpr = self.local.dpr(Goodbye::Rebooting, identifier, identifier);
        vec![Output::Send(dpr)]
    }

    fn fresh(&mut self) -> u32 {
        self.identifier = self.identifier.wrapping_add(1);
        self.identifier
    }

    fn unreadable(&mut self, bytes: &[u8], fault: &Fault) -> Vec<Output> {
        match Message::remains(bytes).filter(|message| message.header.flags.request()) {
            Some(request) if self.state != State::WaitCer => {
                let answer = self.local.answer(&request.header, Some(&request), fault);
                vec![Output::Send(answer)]
            }
            _ if self.state == State::WaitCer => self.close(Vec::new()),
            _ => Vec::new(),
        }
    }

    /// Process-CER (§5.3.1, §5.6.4).
    fn introduced(&mut self, cer: &Message<'_>) -> Vec<Output> {
        match read_cer(cer, self.local.applications, &Vocabulary::default()) {
            Ok(Remote { host, realm, .. }) => {
                self.state = State::Open;
                self.host.clone_from(&host);
                let success = Fault::new(ResultCode::SUCCESS);
                let cea = self.local.cea(&cer.header, &success, self.address);
                vec![Output::Send(cea), Output::Opened { host, realm }]
            }
            Err(fault) => {
                let refusal = self.local.cea(&cer.header, &fault, self.address);
                self.close(vec![Output::Send(refusal)])
            }
        }
    }

    fn asked(&mut self, request: &Message<'_>, bytes: &[u8]) -> Vec<Output> {
        let header = &request.header;
        let ours = self.local.applications;
        let result = match (header.command, header.application) {
            (CMD_DEVICE_WATCHDOG, _) => ResultCode::SUCCESS,
            (CMD_DISCONNECT_PEER, _) => {
                let dpa = Fault::new(ResultCode::SUCCESS);
                let dpa = self.local.answer(header, Some(request), &dpa);
                return self.close(vec![Output::Send(dpa)]);
            }
            (CMD_CAPABILITIES_EXCHANGE, _) => ResultCode::UNABLE_TO_COMPLY,
            (CMD_ACCOUNTING, APP_ACCOUNTING) | (CMD_CREDIT_CONTROL, APP_CREDIT_CONTROL)
                if ours.serves(header.application) =>
            {
                return vec![match grammar::check_served(request) {
                    Ok(()) => Output::Request(bytes.to_vec()),
                    Err(fault) => Output::Send(self.local.answer(header, Some(request), &fault)),
                }];
            }
            (_, application) if application == APP_COMMON || ours.serves(application) => {
                ResultCode::COMMAND_UNSUPPORTED
            }
            _ => ResultCode::APPLICATION_UNSUPPORTED,
        };
        let fault = Fault::new(result);
        vec![Output::Send(self.local.answer(
            header,
            Some(request),
            &fault,
        ))]
    }

    fn close(&mut self, mut outputs: Vec<Output>) -> Vec<Output> {
        self.state = State::Closed;
        outputs.push(Output::Close);
        outputs
    }
}

impl Local {
    /// An answer of an application up to what is particular to it: Session-Id, Result-Code, Origin-Host and
    /// Origin-Realm, in the order of their grammars (RFC 6733 §9.7.2, RFC 8506 §3.2).
    pub fn application_answer(&self, request: &Message<'_>, result: ResultCode) -> Writer {
        let mut w = Writer::answer(&request.header, result);
        if let Some(id) = request.find(&SESSION_ID).and_then(|avp| avp.text()) {
            w.utf8(&SESSION_ID, id);
        }
        w.u32(&RESULT_CODE, result.0)
            .utf8(&ORIGIN_HOST, &self.host)
            .utf8(&ORIGIN_REALM, &self.realm);
        w
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Applications;

    fn local(host: &str, applications: Applications) -> Local {
        Local {
            host: host.into(),
            realm: "test".into(),
            product: "test".into(),
            state_id: 7,
            applications,
        }
    }

    fn client(applications: Applications) -> Local {
        local("ps.test", applications)
    }

    fn acceptor(applications: Applications) -> Acceptor {
        Acceptor::new(local("ocs.test", applications), [127, 0, 0, 1].into())
    }

    fn cer(applications: Applications) -> Vec<u8> {
        client(applications).cer([127, 0, 0, 1].into(), 1, 2)
    }

    fn open() -> Acceptor {
        let mut acceptor = acceptor(Applications::BOTH);
        let outputs = acceptor.received(&cer(Applications::BOTH));
        let opened = Output::Opened {
            host: "ps.test".into(),
            realm: "test".into(),
        };
        assert_eq!(outputs[1], opened);
        assert_eq!(acceptor.peer(), Some("ps.test"));
        acceptor
    }

    /// The Result-Code that is sent first, and whether the connection then ends.
    fn result(outputs: &[Output]) -> (Option<u32>, bool) {
        let sent = outputs.iter().find_map(|output| match output {
            Output::Send(bytes) => Message::parse(bytes).ok()?.find(&RESULT_CODE)?.u32(),
            _ => None,
        });
        (sent, outputs.last() == Some(&Output::Close))
    }

    #[test]
    fn a_peer_is_let_in_when_something_is_in_common() {
        use Applications as A;
        for (ours, theirs, told) in [
            (A::BOTH, A::BOTH, (Some(2001), false)),
            (A::CREDIT_CONTROL, A::BOTH, (Some(2001), false)),
            (A::CREDIT_CONTROL, A::ACCOUNTING, (Some(5010), true)),
        ] {
            let outputs = acceptor(ours).received(&cer(theirs));
            assert_eq!(result(&outputs), told, "{ours:?} {theirs:?}");
        }
        let anything = client(A::BOTH).dwr(1, 2);
        assert_eq!(acceptor(A::BOTH).received(&anything), [Output::Close]);
    }

    #[test]
    fn what_it_offers_is_what_a_node_reads() {
        for offered in [Applications::ACCOUNTING, Applications::CREDIT_CONTROL] {
            let outputs = acceptor(offered).received(&cer(Applications::BOTH));
            let Some(Output::Send(cea)) = outputs.first() else {
                panic!("{outputs:?}");
            };
            let cea = Message::parse(cea).unwrap();
            let read = crate::base::read_cea(&cea, Some("ocs.test"), Applications::BOTH);
            assert_eq!(read.unwrap().applications, offered);
        }
    }

    #[test]
    fn neighbours_are_answered_and_applications_served() {
        let request = |command, application| {
            let w = Writer::request(command, application);
            w.finish(100).unwrap()
        };
        let us = client(Applications::BOTH);
        for (case, message, told) in [
            ("DWR", us.dwr(1, 2), (Some(2001), false)),
            ("DPR", us.dpr(Goodbye::Rebooting, 1, 2), (Some(2001), true)),
            ("a second CER", cer(Applications::BOTH), (Some(5012), false)),
            ("an unknown command", request(999, 4), (Some(3001), false)),
            (
                "an unknown application",
                request(272, 9),
                (Some(3007), false),
            ),
            (
                "a command of another application",
                request(272, 3),
                (Some(3001), false),
            ),
        ] {
            assert_eq!(result(&open().received(&message)), told, "{case}");
        }
    }

    #[test]
    fn a_request_with_what_it_must_have_is_served_and_one_without_refused() {
        const MUST: [Def; 4] = [SESSION_ID, ORIGIN_HOST, ORIGIN_REALM, DESTINATION_REALM];
        let acr = [ACCOUNTING_RECORD_TYPE, ACCOUNTING_RECORD_NUMBER];
        let ccr = [
            AUTH_APPLICATION_ID,
            SERVICE_CONTEXT_ID,
            CC_REQUEST_TYPE,
            CC_REQUEST_NUMBER,
        ];
        for (command, application, own) in [(271, 3, &acr[..]), (272, 4, &ccr[..])] {
            let all: Vec<&Def> = MUST.iter().chain(own).collect();
            let request = |without: Option<usize>, twice: Option<usize>| {
                let mut w = Writer::request(command, application);
                for (place, def) in all.iter().enumerate() {
                    let times =
                        usize::from(without != Some(place)) + usize::from(twice == Some(place));
                    for _ in 0..times {
                        match def.kind {
                            Kind::U32 => w.u32(def, 4),
                            Kind::Enumerated => w.i32(def, 4),
                            _ => w.utf8(def, "a"),
                        };
                    }
                }
                w.finish(1_000).unwrap()
            };
            let complete = request(None, None);
            assert_eq!(
                open().received(&complete),
                [Output::Request(complete.clone())]
            );
            for (place, def) in all.iter().enumerate() {
                for (without, twice, code) in [(Some(place), None, 5005), (None, Some(place), 5009)]
                {
                    let outputs = open().received(&request(without, twice));
                    assert_eq!(result(&outputs), (Some(code), false), "{}", def.name);
                }
            }
        }
    }

    #[test]
    fn it_asks_and_leaves_in_good_order() {
        let mut acceptor = open();
        let rar = Writer::request(CMD_RE_AUTH, 4).finish(100).unwrap();
        let sent = acceptor.request(rar);
        let [Output::Send(rar)] = &sent[..] else {
            panic!("{sent:?}");
        };
        let us = client(Applications::BOTH);
        let header = Message::parse(rar).unwrap().header;
        let raa = us.answer(&header, None, &Fault::new(ResultCode::SUCCESS));
        assert_eq!(acceptor.received(&raa), [Output::Answer(raa)]);
        let left = acceptor.disconnect();
        let [Output::Send(dpr)] = &left[..] else {
            panic!("{left:?}");
        };
        let header = Message::parse(dpr).unwrap().header;
        let dpa = us.answer(&header, None, &Fault::new(ResultCode::SUCCESS));
        assert_eq!(acceptor.received(&dpa), [Output::Close]);
        assert_eq!(acceptor.received(&us.dwr(1, 2)), []);
        assert_eq!(acceptor.watch(), []);
    }
}
