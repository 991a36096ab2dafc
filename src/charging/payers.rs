//! Who pays, as Subscription-Id (RFC 8506 §8.46, §8.47): the identities of one user, as SIP URI and as E.164 number.
//!
//! IMSI, NAI and private identities are not made up: nothing that reaches an application server says them.

use ims::charge::Event;
use std::borrow::Cow;

const END_USER_E164: i32 = 0;
const END_USER_SIP_URI: i32 = 2;

/// Subscription-Id-Type and Subscription-Id-Data.
pub type Payer<'e> = (i32, Cow<'e, str>);

/// Those of an event, each once.
pub fn of(event: &Event) -> Vec<Payer<'_>> {
    let mut payers = Vec::with_capacity(2);
    for payer in event.payers().iter().flat_map(|uri| identities(uri)) {
        if !payers.contains(&payer) {
            payers.push(payer);
        }
    }
    payers
}

/// What an identity says of the account. A local number and other schemes identify no subscriber.
pub fn identities(identity: &str) -> impl Iterator<Item = Payer<'_>> {
    let (scheme, rest) = identity.split_once(':').unwrap_or_default();
    let is = |name: &str| scheme.eq_ignore_ascii_case(name);
    let is_sip = is("sip") || is("sips");
    let number: Option<Cow<'_, str>> = match () {
        () if is("tel") => e164(rest),
        () if is_sip => phone(rest),
        () => None,
    };
    let uri = is_sip.then_some((END_USER_SIP_URI, Cow::Borrowed(identity)));
    let number = number.map(|digits| (END_USER_E164, digits));
    uri.into_iter().chain(number)
}

/// The number of a SIP URI that is one: `+15551230001@ims.test;user=phone` (RFC 3261 §19.1.6).
fn phone(rest: &str) -> Option<Cow<'_, str>> {
    let (user, host) = rest.rsplit_once('@')?;
    let host = host.split('?').next()?;
    let is_phone = |param: &str| param.eq_ignore_ascii_case("user=phone");
    host.split(';').skip(1).any(is_phone).then(|| e164(user))?
}

/// The digits of a global number, `+1-555-123-0001;ext=7` as `15551230001`: E.164 format has neither `+` nor
/// the separators of RFC 3966 §5.1.1.
fn e164(number: &str) -> Option<Cow<'_, str>> {
    let number = number.split(';').next()?.strip_prefix('+')?;
    let is_visual = |c: char| matches!(c, '-' | '.' | '(' | ')');
    let is_digit = |byte: u8| byte.is_ascii_digit();
    // a core writes numbers without separators, and then nothing is copied
    let digits = match number.bytes().all(is_digit) {
        true => Cow::Borrowed(number),
        false => Cow::Owned(number.replace(is_visual, "")),
    };
    (!digits.is_empty() && digits.bytes().all(is_digit)).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charging::acr::tests::full;

    #[test]
    fn an_identity_becomes_a_subscription_when_it_is_one() {
        for (identity, expected) in [
            ("sip:a@b", &["2 sip:a@b"][..]),
            ("SIPS:a@b", &["2 SIPS:a@b"]),
            (
                "sip:+15551230@ims.test;user=phone",
                &["2 sip:+15551230@ims.test;user=phone", "0 15551230"],
            ),
            (
                "sip:+1-555;ext=7@ims.test;lr;USER=Phone?x=y",
                &["2 sip:+1-555;ext=7@ims.test;lr;USER=Phone?x=y", "0 1555"],
            ),
            ("sip:+15551230@ims.test", &["2 sip:+15551230@ims.test"]),
            (
                "sip:7042@ims.test;user=phone",
                &["2 sip:7042@ims.test;user=phone"],
            ),
            ("tel:+1(555)12.3-0;npdi", &["0 15551230"]),
            ("tel:7042;phone-context=ims.test", &[]),
            ("tel:+", &[]),
            ("tel:+1x", &[]),
            ("mailto:a@b", &[]),
            ("", &[]),
        ] {
            let found: Vec<String> = identities(identity)
                .map(|(kind, data)| format!("{kind} {data}"))
                .collect();
            assert_eq!(found, expected, "{identity}");
        }
    }

    #[test]
    fn each_identity_of_who_pays_stands_once() {
        let mut event = full(1);
        event.calling = ["sip:+1555@a.test;user=phone", "tel:+1-555", "tel:+1666"]
            .map(str::to_owned)
            .into();
        let numbers = |event: &Event| -> Vec<String> {
            of(event)
                .into_iter()
                .map(|(_, data)| data.into_owned())
                .collect()
        };
        assert_eq!(
            numbers(&event),
            ["sip:+1555@a.test;user=phone", "1555", "1666"]
        );
        event.besides.payers = vec!["tel:+1777".into()];
        assert_eq!(numbers(&event), ["1777"]);
    }
}
