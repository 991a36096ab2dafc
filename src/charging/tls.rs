//! TLS towards peers (RFC 6733 §13.1): before the CER, with a certificate of ours and the peer's name checked.
//!
//! The files are looked at for each new connection and read again when they have changed. What does not load leaves what
//! was loaded before in force. A connection that stands keeps what it was made with.

use crate::http::files::{self, FileError, Loaded, Refresh};
use crate::ua::tls::authorities;
use serde::Deserialize;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

/// Longest PEM file, in bytes.
const PEM_MAX: u64 = 1 << 20;

/// Section `[charging.tls]`: files in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Files {
    /// Authorities that vouch for CDFs and OCSs. Default: none, and none is reached over TLS.
    pub ca: PathBuf,
    /// Our certificate, then those above it. Default: none is shown.
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
pub struct Tls(Arc<Loaded<ClientConfig>>);

impl Tls {
    /// Reads the files. `None`: TLS is not configured.
    pub fn load(files: &Files) -> Result<Option<Tls>, FileError> {
        if files.is_empty() {
            return Ok(None);
        }
        let watched = [&files.ca, &files.certificate, &files.key];
        let watched = watched.map(PathBuf::clone).into();
        let files = files.clone();
        let load = Box::new(move || client(&files));
        let loaded = Loaded::new("certificates for charging peers", watched, load)?;
        Ok(Some(Tls(Arc::new(loaded))))
    }

    /// The certificate of the other side must be about `host`, a domain name or an address.
    pub async fn connect(&self, host: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let loaded = self.0.clone();
        let current = move || {
            loaded.refresh(false);
            loaded.current()
        };
        // Files are read beside the thread that charges.
        let config = tokio::task::spawn_blocking(current).await?;
        TlsConnector::from(config).connect(name, stream).await
    }
}

fn client(files: &Files) -> Result<ClientConfig, FileError> {
    let pem = files::read(&files.ca, PEM_MAX)?;
    let of_ca = |why: &dyn ToString| FileError::new(&files.ca, why.to_string());
    let roots = authorities(&pem).map_err(|why| of_ca(&why))?;
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|why| of_ca(&why))?
        .with_root_certificates(roots);
    match files.certificate.as_os_str().is_empty() {
        true => Ok(builder.with_no_client_auth()),
        false => {
            let (chain, key) = identity(files)?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|why| FileError::new(&files.key, why))
        }
    }
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
mod tests;
