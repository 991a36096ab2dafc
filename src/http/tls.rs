//! TLS 1.2 and 1.3, as a server and towards other document servers.

use super::files::{self, FileError};
use crate::config::Http;
use crate::ua::digest::hex;
use crate::ua::tls::{Trust, authorities};
use sha2::{Digest as _, Sha256};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ServerConfig, ServerConnection};

/// Longest PEM file, in bytes.
const PEM_MAX: u64 = 1 << 20;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let pem = files::read(file, PEM_MAX)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err(FileError::new(file, "no certificate in PEM")),
        Err(why) => Err(FileError::new(file, why)),
    }
}

/// What the listener shows and asks for, from the files of `[http]`.
pub(super) fn server(settings: &Http) -> Result<ServerConfig, FileError> {
    let chain = certificates(&settings.certificate)?;
    let pem = files::read(&settings.key, PEM_MAX)?;
    let of_key = |why: &dyn ToString| FileError::new(&settings.key, why.to_string());
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|why| of_key(&why))?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|why| of_key(&why))?;
    let builder = match settings.client_ca.as_os_str().is_empty() {
        true => builder.with_no_client_auth(),
        false => {
            let pem = files::read(&settings.client_ca, PEM_MAX)?;
            let of_ca = |why: &dyn ToString| FileError::new(&settings.client_ca, why.to_string());
            let roots = authorities(&pem).map_err(|why| of_ca(&why))?;
            // without a certificate a client is who Digest says it is
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
                .allow_unauthenticated()
                .build()
                .map_err(|why| of_ca(&why))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let config = builder.with_single_cert(chain, key);
    let mut config = config.map_err(|why| of_key(&why))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// SHA-256 of the certificate that the client has shown and proved, in lower-case hexadecimal.
pub(super) fn shown(connection: &ServerConnection) -> Option<String> {
    let certificate = connection.peer_certificates()?.first()?;
    Some(hex(&Sha256::digest(certificate)))
}

/// Authorities that vouch for other servers, from a file.
pub(super) fn trust(ca: &Path) -> Result<Trust, FileError> {
    let pem = files::read(ca, PEM_MAX)?;
    Trust::of(&pem).map_err(|why| FileError::new(ca, why))
}
