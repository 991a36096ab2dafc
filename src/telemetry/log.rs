//! Log lines on standard error: text for people or JSON for collectors.

use crate::config::{Format, Level, Log};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Environment variable that goes before `[log] level`.
pub const LEVEL_VARIABLE: &str = "PRESENTIA_LOG";

/// Target of every line that names a user, in this crate and in `ims`. Such lines are written at `debug`,
/// and they are off unless `[log] identities` is set, whatever the level.
pub const IDENTITY_TARGET: &str = "identity";

/// Target of the lines that say what an operator imposed on users, who and why. They name users, that being what
/// they are for, and are written whatever the level.
pub const AUDIT_TARGET: &str = "audit";

/// The store's engine reports its housekeeping at `info`; what goes wrong comes back as an error anyway.
const QUIET: &str = "fjall=error,lsm_tree=error";

/// Starts logging for the whole process. The first caller wins, so that tests may all call it.
pub fn start(settings: &Log) -> Result<(), LogError> {
    let directives = match std::env::var(LEVEL_VARIABLE) {
        Ok(given) => given,
        Err(_) => level(settings.level).to_owned(),
    };
    let filter = filter(&directives, settings.identities)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // Refused only when a subscriber is set already; then that one stays.
    let _ = match settings.format {
        Format::Json => builder.json().flatten_event(true).try_init(),
        Format::Text => builder
            .with_ansi(std::io::stderr().is_terminal())
            .try_init(),
    };
    Ok(())
}

fn filter(directives: &str, identities: bool) -> Result<EnvFilter, LogError> {
    // Last, so that it goes before a directive of the environment for the same target.
    let own = match identities {
        true => ",audit=info",
        false => ",audit=info,identity=off",
    };
    EnvFilter::try_new(format!("{QUIET},{directives}{own}")).map_err(|_| LogError {
        directives: directives.to_owned(),
    })
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}

/// The environment variable cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error(
    "{LEVEL_VARIABLE}={directives:?} is not understood; expected LEVEL or TARGET=LEVEL, separated by commas"
)]
pub struct LogError {
    directives: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};
    use tracing::{debug, info, subscriber::with_default};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn written(directives: &str, identities: bool) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter(directives, identities).unwrap())
            .with_writer(move || writer.clone())
            .finish();
        with_default(subscriber, || {
            info!("request answered");
            debug!("decided");
            debug!(target: IDENTITY_TARGET, watcher = "sip:alice@ims.test", "subscribed");
            info!(target: AUDIT_TARGET, "override set");
        });
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn users_are_named_only_when_asked_for_and_at_debug() {
        for (case, directives, identities, decided, named) in [
            ("info", "info", false, false, false),
            ("info, identities asked for", "info", true, false, false),
            ("debug", "debug", false, true, false),
            ("debug, identities asked for", "debug", true, true, true),
            (
                "the environment alone does not ask for them",
                "debug,identity=debug",
                false,
                true,
                false,
            ),
        ] {
            let text = written(directives, identities);
            assert!(text.contains("request answered"), "{case}");
            assert_eq!(text.contains("decided"), decided, "{case}");
            assert_eq!(text.contains("alice"), named, "{case}");
        }
    }

    #[test]
    fn nonsense_in_the_environment_is_refused() {
        assert!(filter("info,presentia=loud=er", false).is_err());
    }
}
