//! The event state compositor: publications and their entity-tags (RFC 3903 §6), for any package.

use super::lifetime::Lifetimes;
use crate::reject::Reject;
use crate::sip::header::sip_etag::IfMatch;
use crate::sip::text::push_hex;
use crate::time::{Seconds, Timestamp};
use serde::{Deserialize, Serialize};

/// Entity-tag of a publication. Sixteen hexadecimal digits on the wire; drawn at random from 64 bits, so that
/// a tag is not given twice for a Request-URI (RFC 3903 §6, step 6) and cannot be guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Etag(pub u64);

impl Etag {
    pub fn text(self) -> String {
        let mut text = String::with_capacity(16);
        push_hex(&mut text, self.0, 16);
        text
    }

    /// The tag of a header value; `None` for what was never one of ours.
    pub fn parse(text: &str) -> Option<Etag> {
        let hex = text.len() == 16
            && text
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if hex {
            u64::from_str_radix(text, 16).ok().map(Etag)
        } else {
            None
        }
    }
}

/// One publication of a presentity. It keeps its number when a refresh or modification gives it a new tag.
#[derive(Clone, Debug)]
pub struct Publication<S> {
    pub number: u64,
    pub etag: Etag,
    pub expires_at: Timestamp,
    /// When its state last changed; a refresh leaves it alone.
    pub changed_at: Timestamp,
    pub state: S,
}

/// A publication as stored, without its body. Key: presentity, 0, number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicationRecord {
    pub etag: Etag,
    pub expires_at: Timestamp,
    pub changed_at: Timestamp,
}

/// What the headers of a PUBLISH ask for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub if_match: IfMatch<'a>,
    pub expires: Option<Seconds>,
    pub has_body: bool,
}

/// What a PUBLISH that passed the checks does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// New event state.
    Create { lifetime: Seconds },
    /// New state in place of that of the publication at this index.
    Replace { index: usize, lifetime: Seconds },
    /// A longer life for the publication at this index, state unchanged.
    Refresh { index: usize, lifetime: Seconds },
    /// The publication at this index ends now.
    Remove { index: usize },
}

/// Steps 3 to 5 of RFC 3903 §6: what this PUBLISH does to the publications of one presentity.
///
/// Steps 1 and 2 (Request-URI, Event) come before it and the parsing of the body after it.
pub fn decide<S>(
    now: Timestamp,
    publications: &[Publication<S>],
    asked: &Asked<'_>,
    limits: &Lifetimes,
) -> Result<Action, Reject> {
    // step 3: exactly one entity-tag, or none
    let index = match asked.if_match {
        IfMatch::Absent => None,
        IfMatch::Tag(tag) => {
            let tag = Etag::parse(tag).ok_or(Reject::StaleEtag)?;
            let live = |p: &Publication<S>| p.etag == tag && p.expires_at > now;
            Some(
                publications
                    .iter()
                    .position(live)
                    .ok_or(Reject::StaleEtag)?,
            )
        }
        IfMatch::Bad => return Err(Reject::Bad("Bad SIP-If-Match")),
    };
    // step 4: the lifetime; zero removes
    let lifetime = limits.grant(asked.expires)?;
    // step 5: which operation it is (RFC 3903 §4.1, table 1)
    match index {
        None if !asked.has_body => Err(Reject::Bad("Missing Body")),
        None => Ok(Action::Create { lifetime }),
        Some(index) if lifetime == Seconds(0) => Ok(Action::Remove { index }),
        Some(index) if asked.has_body => Ok(Action::Replace { index, lifetime }),
        Some(index) => Ok(Action::Refresh { index, lifetime }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Lifetimes = Lifetimes {
        min: Seconds(60),
        default: Seconds(3600),
        max: Seconds(7200),
    };
    const NOW: Timestamp = Timestamp(1_000_000);

    fn publication(etag: u64, expires_at: u64) -> Publication<()> {
        Publication {
            number: etag,
            etag: Etag(etag),
            expires_at: Timestamp(expires_at),
            changed_at: NOW,
            state: (),
        }
    }

    #[test]
    fn a_publish_is_judged_in_the_order_of_the_six_steps() {
        let live = [publication(1, 2_000_000), publication(2, 1_000_000)];
        let one = Etag(1).text();
        let expired = Etag(2).text();
        let unknown = Etag(3).text();
        let hour = Seconds(3600);
        for (case, if_match, expires, has_body, outcome) in [
            (
                "a body and no tag is new state",
                IfMatch::Absent,
                None,
                true,
                Ok(Action::Create { lifetime: hour }),
            ),
            (
                "a body with a known tag replaces",
                IfMatch::Tag(&one),
                None,
                true,
                Ok(Action::Replace {
                    index: 0,
                    lifetime: hour,
                }),
            ),
            (
                "a known tag alone refreshes",
                IfMatch::Tag(&one),
                None,
                false,
                Ok(Action::Refresh {
                    index: 0,
                    lifetime: hour,
                }),
            ),
            (
                "a known tag with zero removes",
                IfMatch::Tag(&one),
                Some(0),
                false,
                Ok(Action::Remove { index: 0 }),
            ),
            (
                "zero removes even with a body",
                IfMatch::Tag(&one),
                Some(0),
                true,
                Ok(Action::Remove { index: 0 }),
            ),
            (
                "no body and no tag is a bad request",
                IfMatch::Absent,
                None,
                false,
                Err(Reject::Bad("Missing Body")),
            ),
            (
                "two tags are a bad request",
                IfMatch::Bad,
                None,
                true,
                Err(Reject::Bad("Bad SIP-If-Match")),
            ),
            (
                "an unknown tag is stale",
                IfMatch::Tag(&unknown),
                None,
                true,
                Err(Reject::StaleEtag),
            ),
            (
                "the tag of an expired publication is stale",
                IfMatch::Tag(&expired),
                None,
                false,
                Err(Reject::StaleEtag),
            ),
            (
                "a tag of foreign shape is stale",
                IfMatch::Tag("abc"),
                None,
                true,
                Err(Reject::StaleEtag),
            ),
            (
                "a stale tag is told before a short interval",
                IfMatch::Tag(&unknown),
                Some(1),
                true,
                Err(Reject::StaleEtag),
            ),
            (
                "a short interval is told before a missing body",
                IfMatch::Absent,
                Some(1),
                false,
                Err(Reject::IntervalTooBrief { min: Seconds(60) }),
            ),
        ] {
            let asked = Asked {
                if_match,
                expires: expires.map(Seconds),
                has_body,
            };
            assert_eq!(decide(NOW, &live, &asked, &LIMITS), outcome, "{case}");
        }
    }

    #[test]
    fn an_entity_tag_survives_the_wire_and_nothing_else_parses() {
        assert_eq!(
            Etag::parse(&Etag(0xdead_beef).text()),
            Some(Etag(0xdead_beef))
        );
        for foreign in [
            "",
            "1",
            "+00000000000001f",
            "00000000000000FF",
            "000000000000000g",
            "00000000000000000",
        ] {
            assert_eq!(Etag::parse(foreign), None, "{foreign:?}");
        }
    }
}
