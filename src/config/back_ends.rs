//! `[rls.back_ends]`: members of lists that are not served here.

use super::BadValue;
use super::check::within;
use ims::rls::backend::Bounds;
use ims::sip::Uri;
use ims::time::Seconds;
use serde::Deserialize;

/// RFC 4662 §4.5.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BackEnds {
    /// First hop where the S-CSCF of the watcher is not known: a SIP URI.
    pub core: Option<String>,
    pub max: usize,
    pub max_per_watcher: usize,
    /// At one domain.
    pub max_under_way: usize,
    /// To one domain.
    pub per_second: u32,
    pub expires_s: Seconds,
    /// Bytes.
    pub max_state: usize,
    pub lists: bool,
}

impl Default for BackEnds {
    fn default() -> BackEnds {
        BackEnds {
            core: None,
            max: 100_000,
            max_per_watcher: 1_000,
            max_under_way: 16,
            per_second: 50,
            expires_s: Seconds(3600),
            max_state: 65_536,
            lists: false,
        }
    }
}

impl BackEnds {
    pub(super) fn check(&self) -> Result<(), BadValue> {
        let is_hop = |text: &String| {
            let fine = |b: u8| b.is_ascii_graphic() && !b"<>\"".contains(&b);
            let uri = Uri::parse(text);
            uri.is_some_and(|uri| uri.is_sip() && uri.host().is_some()) && text.bytes().all(fine)
        };
        if let Some(core) = self.core.as_ref().filter(|core| !is_hop(core)) {
            return Err(BadValue {
                key: "rls.back_ends.core".into(),
                expected: format!("a SIP URI, for example sip:icscf.ims.example, not {core}"),
            });
        }
        within("rls.back_ends.max", self.max, 0..=10_000_000)?;
        let own = self.max_per_watcher;
        within("rls.back_ends.max_per_watcher", own, 0..=100_000)?;
        let under_way = self.max_under_way;
        within("rls.back_ends.max_under_way", under_way, 1..=10_000)?;
        within("rls.back_ends.per_second", self.per_second, 1..=1_000)?;
        let expires = self.expires_s.0;
        within("rls.back_ends.expires_s", expires, 60..=86_400)?;
        within("rls.back_ends.max_state", self.max_state, 1_000..=16 << 20)
    }

    pub fn bounds(&self) -> Bounds {
        Bounds {
            core: self.core.clone(),
            capacity: self.max,
            per_watcher: self.max_per_watcher,
            under_way: self.max_under_way,
            per_second: self.per_second,
            lifetime: self.expires_s,
            max_body: self.max_state,
            nested: self.lists,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_service_and_the_first_hop_is_a_sip_uri() {
        assert_eq!(BackEnds::default().bounds(), Bounds::default());
        for (core, good) in [
            ("sip:icscf.ims.example", true),
            ("sip:10.0.0.1:5060;transport=tcp", true),
            ("icscf.ims.example", false),
            ("tel:+1", false),
            ("sip:a>b", false),
        ] {
            let back_ends = BackEnds {
                core: Some(core.to_owned()),
                ..BackEnds::default()
            };
            assert_eq!(back_ends.check().is_ok(), good, "{core}");
        }
    }
}
