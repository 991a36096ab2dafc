//! TLS against a listener that asks for certificates, with certificates made on the spot.

use super::*;
use crate::charging::socket::Acknowledge;
use std::path::Path;
use std::process::{Command, Stdio};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::server::WebPkiClientVerifier;

fn openssl(folder: &Path, arguments: &str) -> bool {
    let status = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// An authority `ca`, another one `other`, and certificates of the first for `cdf1.test` and for us. `false`: there is
/// no openssl here.
pub(in crate::charging) fn certificates(folder: &Path) -> bool {
    for ca in ["ca", "other"] {
        let made = openssl(
            folder,
            &format!(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={ca} \
                 -keyout {ca}.key -out {ca}.pem"
            ),
        );
        if !made {
            let required =
                std::env::var("PRESENTIA_TEST_PEERS").is_ok_and(|word| word == "required");
            assert!(!required, "not installed: openssl");
            return false;
        }
    }
    for (name, file) in [("cdf1.test", "cdf"), ("ps.test", "ps")] {
        std::fs::write(folder.join("names"), format!("subjectAltName=DNS:{name}\n")).unwrap();
        assert!(openssl(
            folder,
            &format!(
                "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN={name} -keyout {file}.key -out {file}.csr"
            )
        ));
        assert!(openssl(
            folder,
            &format!(
                "x509 -req -in {file}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out {file}.pem"
            )
        ));
    }
    true
}

/// A listener that takes only clients whom `ca` vouches for and sends them one byte.
async fn listen(folder: &Path) -> std::net::SocketAddr {
    let files = Files {
        ca: folder.join("ca.pem"),
        certificate: folder.join("cdf.pem"),
        key: folder.join("cdf.key"),
    };
    let (chain, key) = identity(&files).unwrap();
    let roots = authorities(&std::fs::read(&files.ca).unwrap()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let _ = stream.write_all(b"!").await;
                let _ = stream.shutdown().await;
            }
        }
    });
    address
}

#[tokio::test]
async fn both_sides_must_show_who_they_are() {
    let folder = tempfile::tempdir().unwrap();
    if !certificates(folder.path()) {
        return;
    }
    let address = listen(folder.path()).await;
    for (case, ca, own, name, fine) in [
        ("everything right", "ca", "ps", "cdf1.test", true),
        (
            "another name than the certificate's",
            "ca",
            "ps",
            "cdf2.test",
            false,
        ),
        (
            "its address, which the certificate has not",
            "ca",
            "ps",
            "127.0.0.1",
            false,
        ),
        (
            "an authority that did not vouch",
            "other",
            "ps",
            "cdf1.test",
            false,
        ),
        (
            "without a certificate of ours",
            "ca",
            "",
            "cdf1.test",
            false,
        ),
    ] {
        let file = |name: &str| match name {
            "." => PathBuf::new(),
            name => folder.path().join(name),
        };
        let (certificate, key) = match own {
            "" => (".".to_owned(), ".".to_owned()),
            own => (format!("{own}.pem"), format!("{own}.key")),
        };
        let files = Files {
            ca: file(&format!("{ca}.pem")),
            certificate: file(&certificate),
            key: file(&key),
        };
        let tls = Tls::load(&files).unwrap().unwrap();
        let stream = Socket::new(
            TcpStream::connect(address).await.unwrap(),
            Acknowledge::AtOnce,
        )
        .unwrap();
        let heard = match tls.connect(name, stream).await {
            Ok(mut stream) => stream.read_u8().await.ok(),
            Err(_) => None,
        };
        assert_eq!(heard.is_some(), fine, "{case}");
    }
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    assert!(Tls::load(&Files::default()).unwrap().is_none());
    for content in [None, Some("no certificate")] {
        if let Some(content) = content {
            std::fs::write(&ca, content).unwrap();
        }
        let files = Files {
            ca: ca.clone(),
            ..Files::default()
        };
        let error = Tls::load(&files).unwrap_err().to_string();
        assert!(error.starts_with(&ca.display().to_string()), "{error}");
    }
}

#[tokio::test]
async fn files_that_have_changed_hold_for_the_next_connection_and_broken_ones_do_not() {
    let folder = tempfile::tempdir().unwrap();
    if !certificates(folder.path()) {
        return;
    }
    let address = listen(folder.path()).await;
    let path = |name: &str| folder.path().join(name);
    let copy = |from: &str, to: &str| _ = std::fs::copy(path(from), path(to)).unwrap();
    let files = Files {
        ca: path("trusted.pem"),
        certificate: path("own.pem"),
        key: path("own.key"),
    };
    copy("other.pem", "trusted.pem");
    copy("ps.pem", "own.pem");
    copy("ps.key", "own.key");
    let tls = Tls::load(&files).unwrap().unwrap();
    for (case, change, fine) in [
        ("an authority that did not vouch", None, false),
        ("the right one", Some(("ca.pem", "trusted.pem")), true),
        (
            "a key that is none of ours",
            Some(("names", "own.key")),
            true,
        ),
        ("the key again", Some(("ps.key", "own.key")), true),
        (
            "another authority",
            Some(("other.pem", "trusted.pem")),
            false,
        ),
    ] {
        if let Some((from, to)) = change {
            copy(from, to);
        }
        let stream = Socket::new(
            TcpStream::connect(address).await.unwrap(),
            Acknowledge::AtOnce,
        )
        .unwrap();
        let heard = match tls.connect("cdf1.test", stream).await {
            Ok(mut stream) => stream.read_u8().await.ok(),
            Err(_) => None,
        };
        assert_eq!(heard.is_some(), fine, "{case}");
    }
}
