//! What an operator meets: start, stop, and the ways in which a start can fail.

use crate::harness::{Request, SOON, Server, Ua, eventually, http, pidf};
use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

const BOB: &str = "sip:bob@ims.test";

/// The refusal is one line that names `parts`; the exit code is not 0, and nothing looks like a panic.
fn refused(mut server: Server, parts: &[&str]) {
    let (status, said) = server.refuse();
    assert!(!status.success(), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    let line = said
        .lines()
        .rev()
        .find(|line| parts.iter().all(|part| line.contains(part)));
    assert!(line.is_some(), "a sentence with {parts:?} in:\n{said}");
}

#[test]
fn a_port_in_use_is_named() {
    let server = Server::prepare("");
    let _udp = UdpSocket::bind(server.sip).unwrap();
    let port = server.sip.to_string();
    refused(server, &[&port, "in use"]);

    let server = Server::prepare("");
    let _tcp = TcpListener::bind(server.http).unwrap();
    let port = server.http.to_string();
    refused(server, &[&port, "in use"]);
}

#[test]
fn an_unwritable_data_directory_is_named() {
    let server = Server::prepare("[store]\npath = \"/proc/nowhere/data\"");
    refused(server, &["/proc/nowhere/data"]);

    let server = Server::prepare("");
    fs::write(server.data(), "a file, not a directory").unwrap();
    let path = server.data().display().to_string();
    refused(server, &[&path]);
}

#[test]
fn a_store_that_another_server_uses_is_named() {
    let first = Server::start("");
    let second = Server::prepare(&format!("[store]\npath = \"{}\"", first.data().display()));
    let path = first.data().display().to_string();
    refused(second, &[&path]);
    first.stop();
}

/// Every file of the store in turn is overwritten with noise: the server either refuses to start with a sentence that
/// names the directory, or starts and serves; it never panics and never hangs.
#[test]
fn a_corrupted_store_is_named_or_survived() {
    let mut server = Server::start("");
    let mut bob = Ua::new(server.sip);
    for n in 0..50 {
        let user = format!("sip:u{n}@ims.test");
        assert_eq!(
            bob.ask(&Request::publish(&user, &pidf(&user, "open", "kept")))
                .status(),
            Some(200)
        );
    }
    assert!(server.terminate().success());
    let saved = server.folder().join("saved");
    copy(&server.data(), &saved);
    let files = walk(&saved);
    assert!(!files.is_empty(), "the store has files");
    for file in files {
        fs::remove_dir_all(server.data()).unwrap();
        copy(&saved, &server.data());
        let target = server.data().join(file.strip_prefix(&saved).unwrap());
        let mut bytes = fs::read(&target).unwrap();
        bytes.iter_mut().step_by(3).for_each(|byte| *byte ^= 0x5a);
        fs::write(&target, bytes).unwrap();
        let started = server.try_launch();
        let log = server.log();
        assert!(!log.contains("panicked at"), "{}:\n{log}", target.display());
        if started {
            server.healthy();
            server.kill9();
        } else {
            let path = server.data().display().to_string();
            assert!(
                log.lines().any(|line| line.contains(&path)),
                "{}:\n{log}",
                target.display()
            );
        }
    }
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        match entry.path() {
            path if path.is_dir() => found.extend(walk(&path)),
            path if entry.metadata().unwrap().len() > 0 => found.push(path),
            _ => {}
        }
    }
    found.sort();
    found
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// New state is refused with 503 while the disk is below the reserve; everything else goes on.
#[test]
fn below_the_reserve_of_the_disk_new_state_is_refused_and_the_rest_goes_on() {
    let mut server = Server::start("");
    let mut bob = Ua::new(server.sip);
    let etag = bob
        .ask(&Request::publish(BOB, &pidf(BOB, "open", "before")))
        .get("sip-etag")
        .to_owned();
    assert!(!etag.is_empty());
    let (mut watch, _) = bob.watch(&Request::subscribe(BOB, BOB));
    assert!(server.terminate().success());
    server.change("[store]\nmin_free_bytes = 9000000000000000");
    server.launch_degraded();
    let refused = eventually(Duration::from_secs(10), || {
        let new = Request::publish("sip:eve@ims.test", &pidf("sip:eve@ims.test", "open", "new"));
        let answer = bob.ask(&new);
        (answer.status() == Some(503)).then_some(answer)
    });
    let refused = refused.expect("503 as soon as the disk has been looked at");
    assert_ne!(refused.get("retry-after"), "", "says when to come back");
    let modified = Request::publish(BOB, &pidf(BOB, "open", "goes on")).with("SIP-If-Match", etag);
    assert_eq!(
        bob.ask(&modified).status(),
        Some(200),
        "what was acknowledged is served"
    );
    // a start may tell the present state once more before the change
    while !bob.notify(&watch.call_id).body.contains("goes on") {}
    assert_eq!(bob.ask(&watch.refresh(600)).status(), Some(200));
    assert_eq!(http(server.http, "GET", "/healthz", &[], "").status, 200);
    server.stop();
}

/// A disk that is really full, where this machine lets us make one.
#[test]
fn a_full_disk_loses_nothing_acknowledged() {
    let mut server = Server::prepare("[store]\nmin_free_bytes = 0");
    let data = server.data();
    fs::create_dir_all(&data).unwrap();
    let mount = ["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs"];
    let mounted = Command::new(mount[0])
        .args(&mount[1..])
        .arg(&data)
        .output()
        .is_ok_and(|done| done.status.success());
    if !mounted {
        eprintln!("passed over: this user may not mount a small file system");
        return;
    }
    let _unmount = Unmount(data.clone());
    server.launch();
    let mut bob = Ua::new(server.sip);
    let etag = bob
        .ask(&Request::publish(BOB, &pidf(BOB, "open", "kept")))
        .get("sip-etag")
        .to_owned();
    let fill = data.join("fill");
    let mut size = 64 << 20;
    while size >= 1 {
        let more = fs::OpenOptions::new().create(true).append(true).open(&fill);
        if more
            .and_then(|mut file| std::io::Write::write_all(&mut file, &vec![0; size]))
            .is_err()
        {
            size /= 2;
        }
    }
    let note = "x".repeat(20_000);
    let mut refused = 0;
    // the journal has 16 MiB reserved and goes on until they are used up
    for n in 0..2000 {
        let user = format!("sip:u{n}@ims.test");
        let text = bob.write(&Request::publish(&user, &pidf(&user, "open", &note)));
        bob.send(text.as_bytes());
        let answer = bob
            .any_response(Duration::from_secs(2))
            .and_then(|message| message.status());
        refused += u32::from(answer != Some(200));
        if refused > 3 || server.ended().is_some() {
            break;
        }
    }
    assert!(refused > 0, "the disk is full");
    let sentence = server.log();
    assert!(
        !sentence.contains("panicked at") && sentence.contains("full"),
        "{sentence}"
    );
    fs::remove_file(&fill).unwrap();
    if server.ended().is_none() {
        server.kill9();
    }
    server.launch();
    assert_eq!(
        bob.ask(&Request::publish(BOB, "").with("SIP-If-Match", &etag))
            .status(),
        Some(200)
    );
    server.stop();
}

struct Unmount(std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status(); // the directory goes anyway
    }
}

#[test]
fn sigterm_ends_with_code_0_while_clients_are_busy() {
    let mut server = Server::start("[shutdown]\ndrain_s = 3");
    let mut bob = Ua::new(server.sip);
    let mut silent = Ua::new(server.sip);
    silent.answer = None;
    let (_dialog, _) = silent.watch(&Request::subscribe(BOB, BOB)); // its NOTIFY is never answered
    let _idle = std::net::TcpStream::connect(server.sip).unwrap();
    let _idle_http = std::net::TcpStream::connect(server.http).unwrap();
    assert_eq!(
        bob.ask(&Request::publish(BOB, &pidf(BOB, "open", "x")))
            .status(),
        Some(200)
    );
    let started = Instant::now();
    assert!(server.terminate().success(), "{}", server.log());
    assert!(
        started.elapsed() < Duration::from_secs(3) + SOON,
        "within the bound: {:?}",
        started.elapsed()
    );
}

#[test]
fn a_mistake_in_the_configuration_is_named_with_file_line_and_key() {
    let mut server = Server::prepare("");
    for (wrong, parts) in [
        (
            "[sip]\nlisten_upd = []\n",
            ["presentia.toml:2", "listen_upd"],
        ),
        (
            "[publication]\nexpires_min = \"soon\"\n",
            ["presentia.toml:2", "publication.expires_min"],
        ),
        (
            "[publication]\nexpires_min = 0\n",
            ["presentia.toml:2", "publication.expires_min"],
        ),
        ("[store\n", ["presentia.toml:1", ""]),
    ] {
        server.write_config(wrong);
        let (status, said) = server.refuse();
        assert!(!status.success(), "{wrong}");
        assert!(
            said.lines()
                .any(|line| parts.iter().all(|part| line.contains(part))),
            "{parts:?} in:\n{said}"
        );
    }
}

#[test]
fn the_start_says_where_it_listens_whom_it_trusts_and_where_the_data_lie() {
    let mut server = Server::start("");
    let said = server.log();
    for part in [
        server.sip.to_string(),
        server.http.to_string(),
        "127.0.0.0/8".to_owned(),
        "data".to_owned(),
    ] {
        assert!(said.contains(&part), "{part} in:\n{said}");
    }
    server.healthy();
    server.stop();
}

#[test]
fn metrics_count_what_was_done() {
    let server = Server::start("");
    let mut bob = Ua::new(server.sip);
    assert_eq!(
        bob.ask(&Request::publish(BOB, &pidf(BOB, "open", "x")))
            .status(),
        Some(200)
    );
    let (_dialog, _) = bob.watch(&Request::subscribe(BOB, BOB));
    let said = eventually(Duration::from_secs(5), || {
        let page = http(server.http, "GET", "/metrics", &[], "").body;
        let line = |parts: &[&str]| {
            page.lines()
                .any(|l| !l.starts_with('#') && parts.iter().all(|p| l.contains(p)))
        };
        let counted = line(&["PUBLISH", "200", " 1"]) && line(&["SUBSCRIBE", "200", " 1"]);
        let held = line(&["subscriptions", " 1"]) && line(&["publications", " 1"]);
        (counted && held).then_some(())
    });
    assert!(
        said.is_some(),
        "{}",
        http(server.http, "GET", "/metrics", &[], "").body
    );
    server.stop();
}

/// Names of people are written only where the operator asked for them.
#[test]
fn the_log_names_nobody_by_default() {
    let server = Server::start("[log]\nlevel = \"debug\"");
    let mut bob = Ua::new(server.sip);
    let secret = "sip:somebody.secret@ims.test";
    assert_eq!(
        bob.ask(&Request::publish(secret, &pidf(secret, "open", "x")))
            .status(),
        Some(200)
    );
    let (_dialog, _) = bob.watch(&Request::subscribe(secret, secret));
    let mut plain = Request::publish(secret, "broken");
    plain.body = "<broken".to_owned();
    assert_eq!(bob.ask(&plain).status(), Some(400));
    assert!(
        !server.log().contains("somebody.secret"),
        "{}",
        server.log()
    );
    server.stop();
}
