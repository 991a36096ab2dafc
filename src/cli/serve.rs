//! `presentia serve`: the server.

use super::{Exit, Failure};
use crate::config::{self, Config};
use crate::{server, telemetry};
use std::net::SocketAddr;
use std::path::PathBuf;

const AFTER_HELP: &str = "\
Examples:
  presentia serve
  presentia serve --sip 192.0.2.10:5060 --domain ims.example.net --data /var/lib/presentia
  presentia serve --config /etc/presentia.toml

SIGTERM or SIGINT ends it in order: no new work, answers finish, the store is closed.
The environment variable PRESENTIA_LOG sets the log level, as in PRESENTIA_LOG=debug.";

/// Run the server
#[derive(Debug, Default, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Configuration file (TOML); `presentia config` prints one. Without it every default applies
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address for SIP over both UDP and TCP, in place of [sip] listen_udp and listen_tcp; may be repeated
    #[arg(long, value_name = "ADDR:PORT")]
    sip: Vec<SocketAddr>,
    /// Address for XCAP and administration, in place of [http] listen
    #[arg(long, value_name = "ADDR:PORT")]
    http: Option<SocketAddr>,
    /// Directory of the store, in place of [store] path
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Home domain, in place of [sip] home_domains; may be repeated
    #[arg(long, value_name = "NAME", value_parser = config::domain)]
    domain: Vec<String>,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let config = configuration(args)?;
    telemetry::log::start(&config.log).map_err(|error| Failure::new(Exit::Config, error))?;
    // The driver decides on a thread of its own; these move bytes.
    let workers = std::thread::available_parallelism().map_or(2, |n| n.get().clamp(1, 4));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build();
    let runtime = runtime
        .map_err(|error| Failure::new(Exit::Internal, format!("cannot start threads ({error})")))?;
    runtime
        .block_on(server::run(config))
        .map_err(|error| Failure::new(error.exit(), error))
}

/// The file, with what the command line says in place of it.
fn configuration(args: &Args) -> Result<Config, Failure> {
    let mut config = match &args.config {
        Some(path) => Config::load(path).map_err(|error| Failure::new(Exit::Config, error))?,
        None => Config::default(),
    };
    if !args.sip.is_empty() {
        config.sip.listen_udp.clone_from(&args.sip);
        config.sip.listen_tcp.clone_from(&args.sip);
    }
    if args.http.is_some() {
        config.http.listen = args.http;
    }
    if let Some(data) = &args.data {
        config.store.path.clone_from(data);
    }
    if !args.domain.is_empty() {
        config.sip.home_domains.clone_from(&args.domain);
    }
    let checked = config.check();
    checked.map_err(|bad| {
        Failure::new(
            Exit::Config,
            format!("{}: expected {}", bad.key, bad.expected),
        )
    })?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_goes_before_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            &file,
            "[sip]\nhome_domains = ['a.test']\nudp_max = 1400\n[http]\nlisten = ''\n",
        )
        .unwrap();
        let config = configuration(&Args {
            config: Some(file.path().into()),
            sip: vec!["192.0.2.1:5060".parse().unwrap()],
            data: Some("/tmp/elsewhere".into()),
            domain: vec!["b.test".into()],
            ..Args::default()
        });
        let config = config.unwrap();
        assert_eq!(config.sip.listen_udp, config.sip.listen_tcp);
        assert_eq!(config.as_uri(), "sip:192.0.2.1:5060");
        assert_eq!(config.sip.home_domains, ["b.test"]);
        assert_eq!(
            (config.sip.udp_max, config.http.listen),
            (1400, None),
            "the file stands where nothing was said"
        );
        assert_eq!(config.store.path, PathBuf::from("/tmp/elsewhere"));
    }

    #[test]
    fn a_bad_file_is_a_configuration_failure() {
        let args = Args {
            config: Some("/nonexistent/presentia.toml".into()),
            ..Args::default()
        };
        let failure = configuration(&args).unwrap_err();
        assert_eq!(failure.exit, Exit::Config);
        assert!(
            failure
                .message
                .starts_with("/nonexistent/presentia.toml: cannot be read"),
            "{}",
            failure.message
        );
    }
}
