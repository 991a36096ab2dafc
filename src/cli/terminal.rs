//! Text on its way to people, and the signals by which they end a command.

use std::future::Future;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// `text` without what could steer a terminal or turn the reading direction: such characters become U+FFFD.
pub fn plain(text: &str) -> String {
    let steers = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    text.chars()
        .map(|c| if steers(c) { '\u{fffd}' } else { c })
        .collect()
}

/// [`plain`] on one line.
pub fn line(text: &str) -> String {
    plain(text).replace(['\n', '\t'], " ")
}

/// Writes a line of our own making to standard output; false when nobody reads any more.
pub fn say(text: &str) -> bool {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", plain(text))
        .and_then(|()| out.flush())
        .is_ok()
}

/// Writes a body to standard output: as it is to a file or program, made plain for a terminal.
pub fn body(bytes: &[u8]) -> bool {
    let mut out = io::stdout().lock();
    let written = match out.is_terminal() {
        true => writeln!(out, "{}", plain(&String::from_utf8_lossy(bytes))),
        false => out.write_all(bytes),
    };
    written.and_then(|()| out.flush()).is_ok()
}

/// Tells on standard error what is worth knowing but no result.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "presentia: {}", plain(text)); // without a reader it is not worth knowing
}

/// Status of a process that a second SIGINT ends, as shells count it.
const INTERRUPTED: i32 = 130;

/// SIGINT and SIGTERM: the first asks for an orderly end, the second ends at once.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Must run inside a runtime.
    pub fn on_signals() -> io::Result<Stop> {
        let mut int = signal(SignalKind::interrupt())?;
        let mut term = signal(SignalKind::terminate())?;
        let (asked, receiver) = watch::channel(false);
        tokio::spawn(async move {
            for _ in 0..2 {
                tokio::select! { _ = int.recv() => {}, _ = term.recv() => {} }
                if asked.send_replace(true) {
                    std::process::exit(INTERRUPTED);
                }
            }
        });
        Ok(Stop(receiver))
    }

    /// Waits for the first signal; at once when it has come.
    pub async fn asked(&mut self) {
        if self.0.wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await; // the listener ended with the runtime
        }
    }

    /// Waits for `work`, but no longer than `grace` after the signal.
    pub async fn within<T>(&mut self, grace: Duration, work: impl Future<Output = T>) -> Option<T> {
        let over = async {
            self.asked().await;
            tokio::time::sleep(grace).await;
        };
        tokio::select! {
            done = work => Some(done),
            () = over => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_text_cannot_steer_a_terminal() {
        for (case, text, shown) in [
            (
                "plain text stays",
                "in the lab, 5 µm \"ok\"",
                "in the lab, 5 µm \"ok\"",
            ),
            (
                "escape sequences",
                "\u{1b}[2J\u{9b}31m\u{7}",
                "\u{fffd}[2J\u{fffd}31m\u{fffd}",
            ),
            ("a carriage return", "a\rb", "a\u{fffd}b"),
            ("direction", "a\u{202e}b\u{2066}", "a\u{fffd}b\u{fffd}"),
            ("lines stay lines", "a\nb", "a\nb"),
        ] {
            assert_eq!(plain(text), shown, "{case}");
        }
        assert_eq!(line("a\nb\tc"), "a b c");
    }
}
