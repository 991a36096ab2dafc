//! Keys of `[charging.online]` that would have no effect beside the others: refused, since whoever wrote them expects
//! one. A key with the value that it has by default may stand anywhere.

use super::sessions::{self, Unit};
use super::settings::{Mode, OnDebitFailure, Reason, Settings, SubscribeMode};
use crate::charging::settings::{self, BadValue, bad};

/// The first key that has no effect.
pub(super) fn check(given: &Settings, charging: &settings::Settings) -> Result<(), BadValue> {
    let default = Settings::default();
    let modes = [given.publish, given.register, given.notify];
    let subscribe = given.subscribe;
    let debits = modes.contains(&Mode::Iec) || subscribe == SubscribeMode::Iec;
    let has_session = subscribe == SubscribeMode::Session;
    let reserves = modes.contains(&Mode::Ecur) || subscribe == SubscribeMode::Ecur || has_session;
    let withdraws = has_session || given.notify != Mode::Off;
    let names = |key: Option<u32>| key.is_some() && !given.multiple_services;
    let in_services = "no value with multiple_services = false, where no AVP carries it";
    let parting = "its default: only subscribe = \"session\" and notify end a subscription";
    for (key, unused, expected) in [
        ("rating_group", names(given.rating_group), in_services),
        (
            "service_identifier",
            names(given.service_identifier),
            in_services,
        ),
        (
            "ddfh",
            given.ddfh != OnDebitFailure::default() && !debits,
            "its default: no method is charged as \"iec\", and ccfh is for the others",
        ),
        (
            "ccfh",
            given.ccfh != default.ccfh && !reserves,
            "its default: no method is charged as \"ecur\" or \"session\", and ddfh is for \"iec\"",
        ),
        (
            "withdrawn_reason",
            given.withdrawn_reason != default.withdrawn_reason && !withdraws,
            parting,
        ),
        (
            "withdrawn_retry_after_s",
            given.withdrawn_retry_after_s != default.withdrawn_retry_after_s && !withdraws,
            parting,
        ),
        (
            "withdrawn_retry_after_s",
            given.withdrawn_retry_after_s != default.withdrawn_retry_after_s
                && given.withdrawn_reason == Reason::Deactivated,
            "its default: only withdrawn_reason = \"probation\" has a retry-after",
        ),
    ] {
        if unused {
            return Err(bad(&format!("online.{key}"), expected));
        }
    }
    of_sessions(&given.sessions, has_session)?;
    has_somebody_to_ask(given, charging)
}

fn of_sessions(given: &sessions::Settings, has_session: bool) -> Result<(), BadValue> {
    let default = sessions::Settings::default();
    let counts = given.unit == Unit::Notify;
    for (key, changed, counted) in [
        ("unit", given.unit != default.unit, false),
        ("quota", given.quota != default.quota, true),
        (
            "early_percent",
            given.early_percent != default.early_percent,
            true,
        ),
        ("max", given.max != default.max, false),
        ("lag_units", given.lag_units != default.lag_units, true),
        ("given_max", given.given_max != default.given_max, true),
        ("holding_s", given.holding_s != default.holding_s, true),
        ("lag_ms", given.lag_ms != default.lag_ms, true),
        ("grace_s", given.grace_s != default.grace_s, false),
        ("again_s", given.again_s != default.again_s, false),
    ] {
        let expected = match (changed, has_session) {
            (true, false) => "its default: only subscribe = \"session\" opens sessions",
            (true, true) if counted && !counts => {
                "its default: unit = \"subscription\" is one unit, used at the end"
            }
            _ => continue,
        };
        return Err(bad(&format!("online.sessions.{key}"), expected));
    }
    Ok(())
}

/// Methods that ask, and nobody to ask: they would be free of charge without a word.
fn has_somebody_to_ask(given: &Settings, charging: &settings::Settings) -> Result<(), BadValue> {
    let may_name = given.use_ecf && charging.dynamic_peers > 0;
    if !given.peers.is_empty() || may_name {
        return Ok(());
    }
    let asks = given.modes().into_iter().find(|(_, mode)| mode.is_some());
    asks.map_or(Ok(()), |(method, _)| {
        let key = format!("online.{}", method.to_lowercase());
        let expected = "\"off\", or an OCS: there is none in [[charging.online.peers]], and the core may not name one \
                        (use_ecf, charging.dynamic_peers)";
        Err(bad(&key, expected))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str, charging: &str) -> Option<String> {
        let given: Settings = toml::from_str(text).unwrap();
        let charging: settings::Settings = toml::from_str(charging).unwrap();
        check(&given, &charging).err().map(|bad| bad.key)
    }

    #[test]
    fn a_key_without_effect_is_refused_and_its_default_is_not() {
        for (key, text, fits) in [
            (
                "rating_group",
                "multiple_services = false\nrating_group = 7",
                "rating_group = 7",
            ),
            (
                "service_identifier",
                "multiple_services = false\nservice_identifier = 7",
                "service_identifier = 7",
            ),
            (
                "ddfh",
                "publish = 'ecur'\nddfh = 'continue'",
                "subscribe = 'iec'\nddfh = 'continue'",
            ),
            (
                "ccfh",
                "publish = 'iec'\nccfh = 'continue'",
                "publish = 'iec'\nsubscribe = 'session'\nccfh = 'continue'",
            ),
            (
                "withdrawn_reason",
                "subscribe = 'ecur'\nwithdrawn_reason = 'deactivated'",
                "notify = 'iec'\nwithdrawn_reason = 'deactivated'",
            ),
            (
                "withdrawn_retry_after_s",
                "withdrawn_retry_after_s = 7",
                "subscribe = 'session'\nwithdrawn_retry_after_s = 7",
            ),
            (
                "withdrawn_retry_after_s",
                "notify = 'iec'\nwithdrawn_reason = 'deactivated'\nwithdrawn_retry_after_s = 7",
                "notify = 'iec'\nwithdrawn_reason = 'deactivated'\nwithdrawn_retry_after_s = 300",
            ),
            (
                "sessions.quota",
                "subscribe = 'ecur'\nsessions.quota = 7",
                "subscribe = 'session'\nsessions.quota = 7",
            ),
            (
                "sessions.early_percent",
                "subscribe = 'session'\nsessions.unit = 'subscription'\nsessions.early_percent = 7",
                "subscribe = 'session'\nsessions.early_percent = 7",
            ),
        ] {
            assert_eq!(refused(text, ""), Some(format!("online.{key}")), "{text}");
            assert_eq!(refused(fits, ""), None, "{fits}");
        }
        assert_eq!(refused("", ""), None);
    }

    #[test]
    fn a_method_that_nobody_can_be_asked_about_is_refused() {
        const PEER: &str = "[[peers]]\nhost = 'ocs.test'\naddress = '127.0.0.1:3868'\n";
        let key = Some("online.register".to_owned());
        for (text, charging, key) in [
            ("register = 'iec'", "", None),
            ("register = 'iec'", "dynamic_peers = 0", key.clone()),
            ("register = 'iec'\nuse_ecf = false", "", key),
            ("use_ecf = false", "", None),
        ] {
            assert_eq!(refused(text, charging), key, "{text}, {charging}");
            assert_eq!(
                refused(&format!("{text}\n{PEER}"), charging),
                None,
                "{text}"
            );
        }
    }
}
