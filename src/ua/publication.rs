//! A publication, from the side of its source (RFC 3903 §4).

use super::Error;
use super::line::{Call, Line, Request, Way};
use super::message::Answer;
use bytes::Bytes;
use ims::sip::header::sip_etag;
use ims::sip::{Aor, Method, Name};
use ims::time::Seconds;
use std::sync::Arc;

const PIDF: &str = "application/pidf+xml";
/// Times an answer may ask for the same in another form (412, 423) before we give up.
const TRIES: usize = 4;

/// State published for a presentity.
#[derive(Debug)]
pub struct Publication {
    line: Arc<Line>,
    call: Call,
    presentity: Aor,
    document: Bytes,
    expires: Seconds,
    /// Entity-tag of what the server holds.
    tag: Option<String>,
}

/// What a PUBLISH came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    pub tag: String,
    pub expires: Seconds,
    /// The whole document was sent, because there was no publication yet or no longer (412).
    pub whole: bool,
}

impl Publication {
    pub fn new(line: Arc<Line>, presentity: Aor, document: Bytes, expires: Seconds) -> Publication {
        let call = line.call();
        Publication {
            line,
            call,
            presentity,
            document,
            expires,
            tag: None,
        }
    }

    /// Publishes, or refreshes what is published.
    pub async fn publish(&mut self) -> Result<Granted, Error> {
        for _ in 0..TRIES {
            let whole = self.tag.is_none();
            let answer = self.ask(self.expires).await?;
            match (answer.status, answer.content.seconds(Name::MinExpires)) {
                (200..300, _) => return self.granted(&answer, whole),
                // §4.4: the server has forgotten it; a new publication takes its place
                (412, _) if !whole => self.tag = None,
                (423, Some(min)) if min > self.expires => self.expires = min, // §4.2
                _ => return Err(Error::Refused(Box::new(answer))),
            }
        }
        Err(Error::Circling(self.line.peer()))
    }

    /// Takes the state back (§4.5). A publication that the server no longer knows is removed already.
    pub async fn remove(&mut self) -> Result<(), Error> {
        if self.tag.is_none() {
            return Ok(());
        }
        let answer = self.ask(Seconds(0)).await?;
        match answer.status {
            200..300 | 412 => {
                self.tag = None;
                Ok(())
            }
            _ => Err(Error::Refused(Box::new(answer))),
        }
    }

    async fn ask(&mut self, expires: Seconds) -> Result<Answer, Error> {
        let mut lines = vec![
            (Name::Event, "presence".to_owned()),
            (Name::Expires, expires.to_string()),
        ];
        lines.extend(self.tag.iter().map(|tag| (Name::SipIfMatch, tag.clone())));
        let request = Request {
            method: Method::PUBLISH,
            uri: self.presentity.as_str(),
            to: format!("<{}>", self.presentity.as_str()),
            way: Way::Initial,
            lines,
            body: self
                .tag
                .is_none()
                .then(|| (PIDF.to_owned(), self.document.clone())),
        };
        self.line.ask(&mut self.call, request).await
    }

    fn granted(&mut self, answer: &Answer, whole: bool) -> Result<Granted, Error> {
        let missing = |what| Error::Incomplete(self.line.peer(), what);
        let tag = answer.content.get(Name::SipEtag).and_then(sip_etag::parse);
        let tag = tag.ok_or_else(|| missing("SIP-ETag"))?.to_owned();
        let expires = answer
            .content
            .seconds(Name::Expires)
            .ok_or_else(|| missing("Expires"))?;
        self.tag = Some(tag.clone());
        Ok(Granted {
            tag,
            expires,
            whole,
        })
    }
}
