//! S-CSCFs that refuse SUBSCRIBE to the package: said once, and not asked for each user anew.

use crate::time::{Seconds, Timestamp};
use std::collections::BTreeMap;

/// How long a refusal counts: an hour, after which the operator may have mended the S-CSCF.
const REMEMBER: Seconds = Seconds(3600);
/// S-CSCFs remembered; beyond it all are asked again.
const MOST: usize = 1024;

#[derive(Clone, Copy, Debug)]
struct Refusal {
    until: Timestamp,
    /// The package itself is refused, whoever the user is.
    package: bool,
}

/// Which S-CSCFs refused, by the URI in their third-party REGISTER.
#[derive(Debug, Default)]
pub(super) struct Refusals(BTreeMap<Box<str>, Refusal>);

impl Refusals {
    /// Until when no user's registration is asked of this S-CSCF.
    pub fn until(&self, now: Timestamp, scscf: &str) -> Option<Timestamp> {
        let refusal = self.0.get(scscf)?;
        (refusal.package && now < refusal.until).then_some(refusal.until)
    }

    /// Notes a refusal, and says so in the log when it is the first for a while.
    pub fn refused(&mut self, now: Timestamp, scscf: &str, status: u16) {
        if status == 0 {
            return; // an end with a reason, not a refusal of the S-CSCF
        }
        let package = matches!(status, 405 | 489 | 501);
        let known = self.0.get(scscf).copied();
        let known = known.filter(|refusal| now < refusal.until);
        if known.is_none() {
            tracing::warn!(
                scscf,
                status,
                "the S-CSCF refuses a subscription to the reg event package: third-party REGISTER alone counts"
            );
            if self.0.len() >= MOST {
                self.0.clear();
            }
        }
        let package = package || known.is_some_and(|refusal| refusal.package);
        let until = now + REMEMBER;
        self.0.insert(scscf.into(), Refusal { until, package });
    }

    /// It gave a subscription after all.
    pub fn granted(&mut self, scscf: &str) {
        self.0.remove(scscf);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_refused_is_no_refusal_of_the_package() {
        let mut refusals = Refusals::default();
        let (now, hop) = (Timestamp(0), "sip:scscf");
        refusals.refused(now, hop, 403);
        assert_eq!(refusals.until(now, hop), None);
        refusals.refused(now, hop, 489);
        let hour = Timestamp(3_600_000);
        assert_eq!(refusals.until(now, hop), Some(hour));
        assert_eq!(refusals.until(now, "sip:other"), None);
        assert_eq!(refusals.until(hour, hop), None, "asked again");
        refusals.granted(hop);
        assert_eq!(refusals.until(now, hop), None);
    }
}
