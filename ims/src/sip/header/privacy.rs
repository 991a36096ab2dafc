//! `Privacy`, RFC 3323 §4.2 with `id` of RFC 3325 §9.3.

use crate::sip::message::Headers;
use crate::sip::name::Name;
use crate::sip::text::trim;

/// The privacy that is asked for. `none` next to others is a contradiction and protects: it is ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Privacy {
    /// The network is told not to give any privacy.
    pub none: bool,
    pub header: bool,
    pub session: bool,
    pub user: bool,
    /// The asserted identity must not leave the trust domain.
    pub id: bool,
    /// Without the privacy the request must fail.
    pub critical: bool,
}

impl Privacy {
    pub fn parse(headers: &Headers<'_>) -> Privacy {
        let mut privacy = Privacy::default();
        for value in headers
            .lines(Name::Privacy)
            .flat_map(|line| line.split([';', ',']))
            .map(trim)
        {
            match value.to_ascii_lowercase().as_str() {
                "none" => privacy.none = true,
                "header" => privacy.header = true,
                "session" => privacy.session = true,
                "user" => privacy.user = true,
                "id" => privacy.id = true,
                "critical" => privacy.critical = true,
                _ => {}
            }
        }
        privacy.none &= !(privacy.header || privacy.session || privacy.user || privacy.id);
        privacy
    }

    /// Whether the identity of the sender is to be hidden from other users.
    pub fn withholds_identity(&self) -> bool {
        self.id || self.user || self.header
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::Line;

    #[test]
    fn what_hides_the_sender() {
        for (value, hides) in [
            ("none", false),
            ("id", true),
            ("ID;critical", true),
            ("user; header", true),
            ("none;id", true),
            ("session", false),
            ("", false),
        ] {
            let headers = Headers::new(vec![Line {
                name: Name::Privacy,
                text: "Privacy",
                value,
            }]);
            assert_eq!(
                Privacy::parse(&headers).withholds_identity(),
                hides,
                "{value}"
            );
        }
    }
}
