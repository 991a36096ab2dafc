//! `presentia conformance`: runs the SIPp scenarios of `sipp-scenarios/` in parallel against any server.

mod ladder;
mod report;
mod scenario;
mod sipp;
mod target;

use report::{Outcome, Verdict};
use scenario::{Need, Scenario};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::time::Instant;

/// Run the SIPp conformance scenarios against a server.
///
/// Without --target a server of this binary is started on free ports with an empty store and short lifetimes, and
/// stopped afterwards. Exit code: 0 all passed, 1 a case failed, 2 the run could not be made.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// SIP address of the server under test, HOST:PORT.
    #[arg(long)]
    target: Option<String>,
    /// XCAP root of the server under test, for scenarios that need policy documents.
    #[arg(long, value_name = "URL", requires = "target")]
    xcap_root: Option<String>,
    /// Home domain in which the scenarios make up users.
    #[arg(long, default_value = "ims.test")]
    domain: String,
    /// Run only scenarios whose name or an id contains this text; may be repeated.
    #[arg(long, value_name = "TEXT")]
    filter: Vec<String>,
    /// Scenarios run at the same time. They mostly wait, so more than the number of cores is fine.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
    jobs: u8,
    /// Folder of the suite.
    #[arg(long, value_name = "DIR", default_value = "sipp-scenarios")]
    scenarios: PathBuf,
    /// Transport between SIPp and the server.
    #[arg(long, value_enum, default_value = "udp")]
    transport: Transport,
    /// Local address that the server under test does not trust.
    #[arg(long, value_name = "IP", requires = "target")]
    untrusted_ip: Option<IpAddr>,
    /// The server under test grants lifetimes of two seconds.
    #[arg(long, requires = "target")]
    short_intervals: bool,
    /// Write the result as JUnit XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write the result as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Keep SIPp's traces and the server's log in this folder.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Transport {
    Udp,
    Tcp,
}

impl Transport {
    /// SIPp's `-t`: one socket for all calls.
    fn option(self) -> &'static str {
        match self {
            Transport::Udp => "u1",
            Transport::Tcp => "t1",
        }
    }
}

/// Everything the cases of one run share.
#[derive(Debug)]
pub struct Run {
    /// Part of each user's name, so that a second run against the same server meets no leftovers.
    name: String,
    target: String,
    domain: String,
    scenarios: PathBuf,
    transport: Transport,
    local: IpAddr,
    untrusted: Option<IpAddr>,
    /// Program that is our XCAP client with the root of the target, or what the environment variable `XCAP` names.
    xcap: PathBuf,
    /// XCAP root, for documents that name lists by absolute URIs; empty without one.
    root: String,
    offers: Vec<Need>,
    folder: PathBuf,
}

/// Runs the suite. Problems that are not a case's go to standard error and give exit code 2.
pub fn run(args: &Args) -> ExitCode {
    match conduct(args) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(reason) => {
            eprintln!("presentia conformance: {reason}");
            ExitCode::from(2)
        }
    }
}

/// How many cases failed.
fn conduct(args: &Args) -> Result<usize, String> {
    let sipp = Command::new("sipp")
        .arg("-v")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if sipp.is_err() {
        return Err("sipp is not installed (Debian: apt-get install sip-tester)".to_owned());
    }
    let mut scenarios = scenario::load(&args.scenarios)
        .map_err(|e| format!("{e} (--scenarios names the folder of the suite)"))?;
    scenarios.retain(|case| {
        args.filter.is_empty() || args.filter.iter().any(|text| selects(text, case))
    });
    if scenarios.is_empty() {
        return Err("no scenario matches".to_owned());
    }
    let (folder, _delete) = target::folder(args.keep.as_deref())?;
    let own = match args.target {
        None => Some(target::Own::start(&folder, &args.domain)?),
        Some(_) => None,
    };
    let run = plan(args, own.as_ref(), folder)?;
    let outcomes = all(&run, scenarios, usize::from(args.jobs));
    let (passed, failed, skipped) = report::count(&outcomes);
    println!("conformance: {passed} passed, {failed} failed, {skipped} skipped");
    let write = |path: &Option<PathBuf>, text: String| match path {
        Some(path) => std::fs::write(path, text).map_err(|e| format!("{}: {e}", path.display())),
        None => Ok(()),
    };
    write(&args.junit, report::junit(&outcomes))?;
    write(&args.json, report::json(&run.target, &outcomes))?;
    own.map_or(Ok(()), target::Own::stop)?;
    Ok(failed)
}

fn selects(text: &str, case: &Scenario) -> bool {
    case.name.contains(text) || case.ids.iter().any(|id| id.contains(text))
}

fn plan(args: &Args, own: Option<&target::Own>, folder: PathBuf) -> Result<Run, String> {
    let (target, root, untrusted) = match own {
        Some(own) => (
            own.sip.to_string(),
            Some(own.root.clone()),
            Some(target::UNTRUSTED),
        ),
        None => (
            args.target.clone().unwrap_or_default(),
            args.xcap_root.clone(),
            args.untrusted_ip,
        ),
    };
    let mut offers = Vec::new();
    offers.extend(root.is_some().then_some(Need::Xcap));
    offers.extend((own.is_some() || args.short_intervals).then_some(Need::ShortIntervals));
    offers.extend(untrusted.is_some().then_some(Need::UntrustedAddress));
    offers.extend((args.transport == Transport::Udp).then_some(Need::Udp));
    let xcap = target::xcap(&folder, root.as_deref().unwrap_or_default())?;
    Ok(Run {
        name: format!("{:x}", std::process::id()),
        local: local_towards(&target)?,
        target,
        domain: args.domain.clone(),
        scenarios: args.scenarios.clone(),
        transport: args.transport,
        untrusted,
        xcap: std::env::var_os("XCAP").map_or(xcap, PathBuf::from),
        root: root.unwrap_or_default(),
        offers,
        folder,
    })
}

/// The address from which this machine reaches the target.
fn local_towards(target: &str) -> Result<IpAddr, String> {
    let unusable = |e: std::io::Error| format!("--target {target}: {e}");
    let peer: SocketAddr = target
        .to_socket_addrs()
        .map_err(unusable)?
        .next()
        .ok_or(format!("--target {target}: no address"))?;
    let any: IpAddr = if peer.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        std::net::Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((any, 0)).map_err(unusable)?;
    socket.connect(peer).map_err(unusable)?; // sends nothing; asks the routing table
    Ok(socket.local_addr().map_err(unusable)?.ip())
}

/// Runs the cases on `jobs` threads, the longest first, and prints each as it ends.
fn all(run: &Run, mut scenarios: Vec<Scenario>, jobs: usize) -> Vec<Outcome> {
    scenarios.sort_by_key(|case| case.limit); // taken from the end
    let queue = Mutex::new(scenarios);
    let done = Mutex::new(Vec::new());
    let take = || {
        queue
            .lock()
            .ok()
            .and_then(|mut left| left.pop().map(|case| (left.len(), case)))
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some((serial, case)) = take() {
                    let outcome = one(run, case, serial);
                    println!("{}", outcome.line());
                    if let Ok(mut done) = done.lock() {
                        done.push(outcome);
                    }
                }
            });
        }
    });
    let mut outcomes = done.into_inner().unwrap_or_default();
    outcomes.sort_by(|a, b| a.scenario.name.cmp(&b.scenario.name));
    outcomes
}

fn one(run: &Run, scenario: Scenario, serial: usize) -> Outcome {
    let started = Instant::now();
    let missing = scenario
        .needs
        .iter()
        .find(|need| !run.offers.contains(need));
    let verdict = match missing {
        Some(need) => Verdict::Skipped {
            reason: format!("needs {}", need.as_str()),
        },
        None => {
            let folder = run.folder.join(scenario.name.replace('/', "."));
            match std::fs::create_dir_all(&folder) {
                Ok(()) => expected(&scenario, sipp::judge(run, &scenario, &folder, serial)),
                Err(e) => Verdict::Failed {
                    reason: format!("{}: {e}", folder.display()),
                    ladder: String::new(),
                },
            }
        }
    };
    Outcome {
        scenario,
        verdict,
        took: started.elapsed(),
    }
}

/// A known failure is skipped with its reason; one that passes fails the run, so that the list stays true.
fn expected(scenario: &Scenario, verdict: Verdict) -> Verdict {
    match (&scenario.known, verdict) {
        (Some(_), Verdict::Passed) => Verdict::Failed {
            reason: "passes although SKIP.toml lists it: take it off the list".to_owned(),
            ladder: String::new(),
        },
        (Some(reason), Verdict::Failed { .. }) => Verdict::Skipped {
            reason: reason.clone(),
        },
        (_, verdict) => verdict,
    }
}
