//! The `<identity>` condition, RFC 4745 §7.1, for watchers with one or several asserted identities.

use crate::sip::Aor;

/// TRUE when any of its members is (RFC 4745 §7.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity(pub Vec<Matcher>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Matcher {
    One(Aor),
    Many {
        domain: Option<Box<str>>,
        except: Vec<Except>,
    },
    /// Not understood: FALSE.
    Nobody,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Except {
    One(Aor),
    Domain(Box<str>),
    /// Not understood: whoever was meant stays excluded.
    Everybody,
}

impl Identity {
    /// Any of the watcher's identities may match; any may exclude (RFC 5025 §3.1.1.2).
    pub(super) fn matches(&self, identities: &[Aor]) -> bool {
        self.0.iter().any(|matcher| matcher.matches(identities))
    }
}

impl Matcher {
    fn matches(&self, identities: &[Aor]) -> bool {
        match self {
            Matcher::One(id) => identities.contains(id),
            Matcher::Many { domain, except } => {
                let inside = |aor: &Aor| {
                    domain
                        .as_deref()
                        .is_none_or(|domain| in_domain(aor, domain))
                };
                identities.iter().any(inside)
                    && !except.iter().any(|except| except.matches(identities))
            }
            Matcher::Nobody => false,
        }
    }
}

impl Except {
    fn matches(&self, identities: &[Aor]) -> bool {
        match self {
            Except::One(id) => identities.contains(id),
            Except::Domain(domain) => identities.iter().any(|aor| in_domain(aor, domain)),
            Except::Everybody => true,
        }
    }
}

/// RFC 4745 §7.1.3: labels compare as ASCII without case. A `tel:` identity is in no domain.
fn in_domain(aor: &Aor, domain: &str) -> bool {
    let host = aor.host();
    let host = match host.rfind(':') {
        Some(colon) if !host.ends_with(']') => &host[..colon],
        _ => host,
    };
    !host.is_empty()
        && host
            .trim_end_matches('.')
            .eq_ignore_ascii_case(domain.trim().trim_end_matches('.'))
}
