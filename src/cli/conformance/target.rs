//! The server a run starts for itself: this binary, an empty store, free ports, short lifetimes.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Source of requests that our own server must not believe: loopback, but not the one address it is told to trust.
pub const UNTRUSTED: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));

/// Longest wait until a started server is ready, and until a stopped one has ended.
const PATIENCE: Duration = Duration::from_secs(20);

/// Removes a temporary folder when the run is over.
#[derive(Debug)]
pub struct Delete(Option<PathBuf>);

impl Drop for Delete {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = fs::remove_dir_all(path); // a leftover in the temporary folder harms nobody
        }
    }
}

/// Where traces, documents and the store go: a folder of the operator's choice, or a temporary one.
pub fn folder(keep: Option<&Path>) -> Result<(PathBuf, Delete), String> {
    let path = match keep {
        Some(path) => path.to_owned(),
        None => std::env::temp_dir().join(format!("presentia-conformance-{}", std::process::id())),
    };
    fs::create_dir_all(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let path = fs::canonicalize(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let delete = Delete(keep.is_none().then(|| path.clone()));
    Ok((path, delete))
}

/// Writes a program that is our XCAP client with this root, for SIPp to call on the way. It is named from the folder of a
/// case: SIPp hands its name to a shell without quotes, and no other path is sure to have no space in it.
pub fn xcap(folder: &Path, root: &str) -> Result<PathBuf, String> {
    let binary = std::env::current_exe().map_err(|e| format!("own path: {e}"))?;
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
    let script = format!(
        "#!/bin/sh\nexec {} xcap --root {} \"$@\"\n",
        quoted(&binary.to_string_lossy()),
        quoted(root)
    );
    let path = folder.join("xcap");
    let written = fs::write(&path, script)
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o700)));
    written.map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(PathBuf::from("../xcap"))
}

/// A running server of our own.
#[derive(Debug)]
pub struct Own {
    pub sip: SocketAddr,
    /// XCAP root.
    pub root: String,
    child: Child,
}

impl Own {
    pub fn start(folder: &Path, domain: &str) -> Result<Own, String> {
        let (sip, http) = (free(true)?, free(false)?);
        let config = folder.join("presentia.toml");
        let data = folder.join("data");
        let _ = fs::remove_dir_all(&data); // of an earlier run with --keep
        fs::write(&config, configuration(sip, http, domain, &data))
            .map_err(|e| format!("{}: {e}", config.display()))?;
        let log =
            File::create(folder.join("server.log")).map_err(|e| format!("server.log: {e}"))?;
        let binary = std::env::current_exe().map_err(|e| format!("own path: {e}"))?;
        let child = Command::new(binary)
            .args(["serve", "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::from(
                log.try_clone().map_err(|e| format!("server.log: {e}"))?,
            ))
            .stderr(Stdio::from(log))
            .spawn()
            .map_err(|e| format!("the server did not start: {e}"))?;
        let mut own = Own {
            sip,
            root: format!("http://{http}/xcap-root"),
            child,
        };
        let end = Instant::now() + PATIENCE;
        while !ready(http) {
            let ended = own.child.try_wait().ok().flatten().is_some();
            if ended || Instant::now() > end {
                let log = fs::read_to_string(folder.join("server.log")).unwrap_or_default();
                return Err(format!("the server did not become ready:\n{log}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(own)
    }

    /// Stops the server as an operator would; anything but exit code 0 in good time is a failure of the run.
    pub fn stop(mut self) -> Result<(), String> {
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        let pid = pid.ok_or("the server's process id is out of range")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)
            .map_err(|e| format!("stopping the server: {e}"))?;
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            match self.child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(format!("the server ended with {status}")),
                Ok(None) => std::thread::sleep(Duration::from_millis(20)),
                Err(e) => return Err(format!("waiting for the server: {e}")),
            }
        }
        Err(format!(
            "the server did not stop within {} s of SIGTERM",
            PATIENCE.as_secs()
        ))
    }
}

impl Drop for Own {
    /// A run that ends early leaves no server behind.
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _ = self.child.kill(); // it may have ended in between
            let _ = self.child.wait();
        }
    }
}

/// The server's configuration: everything default but addresses, trust, lifetimes and the pace of NOTIFY.
fn configuration(sip: SocketAddr, http: SocketAddr, domain: &str, data: &Path) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let (domain, data) = (quoted(domain), quoted(&data.to_string_lossy()));
    format!(
        "[sip]\nlisten_udp = [\"{sip}\"]\nlisten_tcp = [\"{sip}\"]\nhome_domains = [{domain}]\n\
         [trust]\npeers = [\"{}\"]\n\
         [http]\nlisten = \"{http}\"\n\
         [store]\npath = {data}\n\
         [publication]\nexpires_min = 2\n\
         [subscription]\nexpires_min = 2\nnotify_interval_ms = 0\n\
         [rls]\nnotify_interval_ms = 0\n\
         [registration]\nterminated_retention_s = 60\n",
        sip.ip()
    )
}

/// A loopback address with a port free now, for UDP as well where `udp` says so.
fn free(udp: bool) -> Result<SocketAddr, String> {
    for _ in 0..64 {
        let tcp =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr());
        let address = tcp.map_err(|e| format!("no free port: {e}"))?;
        if !udp || UdpSocket::bind(address).is_ok() {
            return Ok(address);
        }
    }
    Err("no port is free for both UDP and TCP".to_owned())
}

fn ready(http: SocketAddr) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&http, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream
            .write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}
