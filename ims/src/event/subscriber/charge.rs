//! The charging event of a SUBSCRIBE of ours (TS 32.260 §5.2.1: a request that we originate has a record of its own).

use super::wire::{Own, Terms};
use super::{Phase, Subscriber};
use crate::charge::{Besides, BodyFacts, Booked, Chargeable, Event, Role};
use crate::time::Timestamp;

impl Subscriber {
    /// The event of the SUBSCRIBE under way; to be asked before its answer is taken in, which changes what we know.
    pub fn charge(
        &self,
        own: &Own,
        terms: &Terms<'_>,
        (requested_at, answered_at): (Timestamp, Timestamp),
        status: u16,
    ) -> Event {
        let ending = matches!(self.phase, Phase::Ending { .. });
        let package = terms.package.split(';').next().unwrap_or_default();
        let asserted = terms.behalf.map_or(&[][..], |behalf| behalf.asserted);
        let target = self.dialog.as_ref().map(|dialog| dialog.target.to_string());
        Event {
            number: 0,
            method: Chargeable::Subscribe,
            role: Role::Originating,
            package: Some(package.trim().to_owned()),
            expires: Some(if ending { 0 } else { self.lifetime.0 }),
            call_id: self.call_id(),
            calling: match asserted.is_empty() {
                true => vec![terms.identity.to_owned()],
                false => asserted.iter().map(|uri| uri.to_string()).collect(),
            },
            called: target.unwrap_or_else(|| terms.resource.to_owned()),
            requested: self.dialog.is_some().then(|| terms.resource.to_owned()),
            icid: Some(self.icid(own)),
            orig_ioi: Some(own.ioi.clone()),
            term_ioi: None,
            access_network: None,
            service: None,
            associated: Vec::new(),
            requested_at,
            answered_at,
            status,
            body: terms
                .body
                .filter(|_| !ending)
                .map(|(media_type, body)| BodyFacts {
                    content_type: media_type.to_owned(),
                    length: u32::try_from(body.len()).unwrap_or(u32::MAX),
                    disposition: None,
                }),
            ccf: terms
                .charging
                .map(|charging| charging.ccf.iter().map(|a| a.to_string()).collect())
                .unwrap_or_default(),
            booked: Booked::default(),
            besides: Besides::default(),
        }
    }
}
