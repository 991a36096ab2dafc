//! `Contact`, RFC 3261 §20.10.

use crate::sip::header::address::NameAddr;
use crate::sip::header::expires;
use crate::sip::message::Headers;
use crate::sip::name::Name;
use crate::sip::text::trim;
use crate::time::Seconds;

/// What the Contact headers of a message say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contact<'a> {
    /// `*`: every binding; only sound in a REGISTER with `Expires: 0`.
    All,
    /// Addresses in order, perhaps none.
    List(Vec<NameAddr<'a>>),
}

impl<'a> Contact<'a> {
    /// `None` when an element is no address or `*` stands beside others.
    pub fn of(headers: &Headers<'a>) -> Option<Contact<'a>> {
        if headers.lines(Name::Contact).any(|v| trim(v) == "*") {
            return (headers.count(Name::Contact) == 1).then_some(Contact::All);
        }
        headers
            .values(Name::Contact)
            .map(NameAddr::parse)
            .collect::<Option<Vec<_>>>()
            .map(Contact::List)
    }

    /// The single address that makes or refreshes a dialog (§12.1.1: exactly one SIP URI).
    pub fn single(&self) -> Option<&NameAddr<'a>> {
        match self {
            Contact::List(list) => match list.as_slice() {
                [one] => Some(one),
                _ => None,
            },
            Contact::All => None,
        }
    }
}

/// `expires` parameter of one contact.
pub fn expires(contact: &NameAddr<'_>) -> Option<Seconds> {
    contact.params.value("expires").and_then(expires::parse)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::Line;

    fn contact(values: &[&'static str]) -> Option<Contact<'static>> {
        let lines = values.iter().map(|value| Line {
            name: Name::Contact,
            text: "m",
            value,
        });
        Contact::of(&Headers::new(lines.collect()))
    }

    #[test]
    fn lists_stars_and_feature_tags() {
        assert_eq!(contact(&[]), Some(Contact::List(vec![])));
        assert_eq!(contact(&["*"]), Some(Contact::All));
        assert_eq!(contact(&["*", "<sip:a@x>"]), None);
        assert_eq!(contact(&["<sip:a@x>, *"]), None);
        let tagged = "<sip:a@10.0.0.1>;+sip.instance=\"<urn:uuid:1>\";+g.3gpp.smsip;expires=600";
        let Some(one) = contact(&[tagged]) else {
            panic!("a contact")
        };
        assert_eq!(one.single().and_then(expires), Some(Seconds(600)));
        let two = contact(&["<sip:a@x>, \"b, c\" <sip:b@x>"]);
        assert_eq!(
            two.as_ref().and_then(Contact::single),
            None,
            "two are not one"
        );
        assert!(matches!(two, Some(Contact::List(list)) if list.len() == 2));
    }
}
