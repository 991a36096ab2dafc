//! Registration at an S-CSCF or any registrar (RFC 3261 §10.2, TS 24.229 §5.1.1).

use super::Error;
use super::line::{Call, Line, Request, Way};
use super::message::Answer;
use ims::sip::header::{address::NameAddr, contact};
use ims::sip::{Method, Name};
use ims::time::Seconds;
use std::sync::Arc;

/// Times a registrar may ask for a longer lifetime before we give up.
const TRIES: usize = 3;

/// The registration of a line's identity.
#[derive(Debug)]
pub struct Registration {
    line: Arc<Line>,
    call: Call,
    expires: Seconds,
}

impl Registration {
    pub fn new(line: Arc<Line>, expires: Seconds) -> Registration {
        let call = line.call();
        Registration {
            line,
            call,
            expires,
        }
    }

    /// Registers, or refreshes; gives the lifetime granted. From then on the line uses the Service-Route.
    pub async fn register(&mut self) -> Result<Seconds, Error> {
        for _ in 0..TRIES {
            let answer = self.ask(self.expires).await?;
            match (answer.status, answer.content.seconds(Name::MinExpires)) {
                (200..300, _) => {
                    let route = answer.content.values(Name::ServiceRoute).map(str::to_owned);
                    self.line.set_service_route(route.collect());
                    return Ok(self.granted(&answer));
                }
                (423, Some(min)) if min > self.expires => self.expires = min, // RFC 3261 §10.2.8
                _ => return Err(Error::Refused(Box::new(answer))),
            }
        }
        Err(Error::Circling(self.line.peer()))
    }

    /// Takes the binding back.
    pub async fn deregister(&mut self) -> Result<(), Error> {
        let answer = self.ask(Seconds(0)).await?;
        match answer.is_success() {
            true => Ok(()),
            false => Err(Error::Refused(Box::new(answer))),
        }
    }

    async fn ask(&mut self, expires: Seconds) -> Result<Answer, Error> {
        let identity = self.line.identity();
        let registrar = format!("sip:{}", identity.host());
        let request = Request {
            method: Method::REGISTER,
            uri: &registrar,
            to: format!("<{}>", identity.as_str()),
            way: Way::Registrar,
            lines: vec![
                (
                    Name::Contact,
                    format!("{};expires={expires}", self.line.contact()),
                ),
                (Name::Expires, expires.to_string()),
                (Name::Supported, "path".into()),
            ],
            body: None,
        };
        self.line.ask(&mut self.call, request).await
    }

    /// The lifetime of our binding: that of our Contact, else of the whole answer, else what was asked (§10.2.4).
    fn granted(&self, answer: &Answer) -> Seconds {
        let own = self.line.contact();
        let own = own.trim_matches(['<', '>']);
        let ours = answer
            .content
            .values(Name::Contact)
            .filter_map(NameAddr::parse)
            .find(|one| one.uri == own);
        let granted = ours.as_ref().and_then(contact::expires);
        granted
            .or_else(|| answer.content.seconds(Name::Expires))
            .unwrap_or(self.expires)
    }
}
