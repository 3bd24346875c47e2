//! TLS 1.3, with the vault's own key, by which its clients know it.

use std::sync::Arc;

use hushkeep_vault::server::Secrets;
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// A certificate that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the certificate cannot be used")]
pub struct TlsError(#[source] Box<dyn std::error::Error + Send + Sync>);

/// A certificate for the vault's key, signed by itself. Clients compare the key, and nothing else in it.
pub(crate) fn config(secrets: &Secrets) -> Result<Arc<ServerConfig>, TlsError> {
    let key = secrets.identity_pkcs8();
    let der = PrivatePkcs8KeyDer::from(key.to_vec());
    let pair = KeyPair::try_from(&der).map_err(|error| TlsError(error.into()))?;
    let params = CertificateParams::new(vec!["localhost".to_owned()]).map_err(|error| TlsError(error.into()))?;
    let certificate = params.self_signed(&pair).map_err(|error| TlsError(error.into()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| TlsError(error.into()))?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(der));
    let mut config = config.map_err(|error| TlsError(error.into()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
