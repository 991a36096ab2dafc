//! TLS with charging peers (RFC 6733 §13.1): before the CER, with a certificate of ours and the peer's name checked,
//! whoever connects.
//!
//! The files are looked at for each new connection and read again when they have changed. What does not load leaves what
//! was loaded before in force. A connection that stands keeps what it was made with.

use super::socket::Socket;
use crate::http::files::{self, FileError, Loaded, Refresh};
use crate::ua::tls::authorities;
use serde::Deserialize;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tokio_rustls::rustls::client::verify_server_name;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

/// Longest PEM file, in bytes.
const PEM_MAX: u64 = 1 << 20;

/// Section `[charging.tls]`: files in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Files {
    /// Authorities that vouch for CDFs and OCSs. Default: none, and none is reached over TLS.
    pub ca: PathBuf,
    /// Our certificate, then those above it. Default: none is shown, and nobody connects to us over TLS.
    pub certificate: PathBuf,
    /// The key of `certificate`.
    pub key: PathBuf,
}

impl Files {
    pub fn is_empty(&self) -> bool {
        self.ca.as_os_str().is_empty()
    }
}

/// Who may vouch for a peer, and what we show.
#[derive(Clone, Debug)]
pub struct Tls(Arc<Loaded<Sides>>);

/// What holds where we connect, and where others do.
#[derive(Debug)]
struct Sides {
    client: Arc<ClientConfig>,
    /// Absent without a certificate of ours.
    server: Option<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads the files. `None`: TLS is not configured.
    pub fn load(files: &Files) -> Result<Option<Tls>, FileError> {
        if files.is_empty() {
            return Ok(None);
        }
        let watched = [&files.ca, &files.certificate, &files.key];
        let watched = watched.map(PathBuf::clone).into();
        let files = files.clone();
        let load = Box::new(move || sides(&files));
        let loaded = Loaded::new("certificates for charging peers", watched, load)?;
        Ok(Some(Tls(Arc::new(loaded))))
    }

    /// The certificate of the other side must be about `host`, a domain name or an address.
    pub async fn connect(
        &self,
        host: &str,
        stream: Socket,
    ) -> io::Result<client::TlsStream<Socket>> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let config = self.current().await?.client.clone();
        TlsConnector::from(config).connect(name, stream).await
    }

    /// The other side has connected, and must show a certificate; [`Shown`] says what it is about.
    pub async fn accept(&self, stream: Socket) -> io::Result<(server::TlsStream<Socket>, Shown)> {
        let none = || io::Error::other("no certificate");
        let config = self.current().await?.server.clone().ok_or_else(none)?;
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        let shown = stream.get_ref().1.peer_certificates();
        let shown = shown.and_then(|chain| chain.first()).ok_or_else(none)?;
        let shown = Shown(shown.clone().into_owned());
        Ok((stream, shown))
    }

    async fn current(&self) -> io::Result<Arc<Sides>> {
        let loaded = self.0.clone();
        let current = move || {
            loaded.refresh(false);
            loaded.current()
        };
        // Files are read beside the thread that charges.
        Ok(tokio::task::spawn_blocking(current).await?)
    }
}

/// The certificate of somebody who has connected, for whom an authority vouches.
#[derive(Debug)]
pub struct Shown(CertificateDer<'static>);

impl Shown {
    /// Whether it is about this host.
    pub fn is(&self, host: &str) -> bool {
        let certificate = ParsedCertificate::try_from(&self.0);
        let name = ServerName::try_from(host.to_owned());
        match (certificate, name) {
            (Ok(certificate), Ok(name)) => verify_server_name(&certificate, &name).is_ok(),
            _ => false,
        }
    }
}

fn sides(files: &Files) -> Result<Sides, FileError> {
    let pem = files::read(&files.ca, PEM_MAX)?;
    let of_ca = |why: &dyn ToString| FileError::new(&files.ca, why.to_string());
    let roots = authorities(&pem).map_err(|why| of_ca(&why))?;
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|why| of_ca(&why))?
        .with_root_certificates(roots.clone());
    let (client, server) = match files.certificate.as_os_str().is_empty() {
        true => (builder.with_no_client_auth(), None),
        false => {
            let (chain, key) = identity(files)?;
            let server = server(files, roots, (chain.clone(), key.clone_key()))?;
            let client = builder
                .with_client_auth_cert(chain, key)
                .map_err(|why| FileError::new(&files.key, why))?;
            (client, Some(Arc::new(server)))
        }
    };
    let client = Arc::new(client);
    Ok(Sides { client, server })
}

/// What is shown to those who connect, and who may vouch for them; nobody is let in without a certificate.
fn server(
    files: &Files,
    roots: RootCertStore,
    (chain, key): Identity,
) -> Result<ServerConfig, FileError> {
    let of_ca = |why: &dyn ToString| FileError::new(&files.ca, why.to_string());
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|why| of_ca(&why))?;
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|why| of_ca(&why))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|why| FileError::new(&files.key, why))
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn identity(files: &Files) -> Result<Identity, FileError> {
    let pem = files::read(&files.certificate, PEM_MAX)?;
    let of_chain = |why: &dyn ToString| FileError::new(&files.certificate, why.to_string());
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|why| of_chain(&why))?;
    if chain.is_empty() {
        return Err(of_chain(&"no certificate in PEM"));
    }
    let pem = files::read(&files.key, PEM_MAX)?;
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|why| FileError::new(&files.key, why))?;
    Ok((chain, key))
}

#[cfg(test)]
pub(super) mod tests;
