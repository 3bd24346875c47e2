//! Messages over HTTPS.

use std::error::Error;
use std::io::{self, Read as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use hushkeep_vault::VaultId;
use reqwest::blocking::{Client, Response};
use reqwest::header::RETRY_AFTER;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};

use super::address::VaultAddress;
use super::link::{Reply, Transport, TransportError};

/// So long it is waited before a message is sent again, in seconds. What may have arrived is asked for as often as this: an
/// answer that is lost may be one guess less.
const PAUSES: &[u64] = &[1, 2, 4, 8, 15, 30];

/// A message is not sent again later than this: a vault answers the same guess for nothing only for ten minutes, and a device
/// may have slept in between.
const LAST_RETRY: Duration = Duration::from_secs(300);

/// A vault that cannot be connected to got nothing, and is asked so much less often again.
const PAUSES_UNCONNECTED: usize = 2;

/// A vault that answers at all does so in this time.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// From the first byte sent to the last one answered.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// No answer is longer, in bytes.
const MAX_ANSWER: u64 = 8 << 10;

/// The vault cannot answer now (RFC 9110 §15.6.4).
const UNAVAILABLE: u16 = 503;

type AnyError = Box<dyn Error + Send + Sync>;

/// HTTPS with TLS 1.3, and, where the vault can do that, keys that are agreed on so that no quantum computer finds them later.
///
/// A vault is known by the key in its address, and by nothing else: no authority vouches for it. It is followed nowhere else.
pub struct Https {
    provider: Arc<CryptoProvider>,
    pauses: &'static [u64],
    limit: Duration,
    /// A connection to each vault that was spoken to: a recovery makes three requests.
    clients: Mutex<Vec<(VaultId, Client)>>,
}

impl Https {
    /// Nothing is sent yet.
    pub fn new() -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        Self { provider, pauses: PAUSES, limit: TIME_LIMIT, clients: Mutex::default() }
    }

    /// The same, for who tries again by himself.
    pub fn without_retries() -> Self {
        Self { pauses: &[], ..Self::new() }
    }

    /// The same, for who waits no longer than this for an answer.
    pub fn with_limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    fn client(&self, vault: VaultId) -> Result<Client, AnyError> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = clients.iter().find(|(known, _)| *known == vault) {
            return Ok(client.clone());
        }
        let verifier = VaultVerifier { vault, provider: Arc::clone(&self.provider) };
        let config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        let builder = Client::builder().tls_backend_preconfigured(config).https_only(true);
        let builder = builder.connect_timeout(CONNECT_LIMIT);
        let client = builder.redirect(reqwest::redirect::Policy::none()).build()?;
        clients.push((vault, client.clone()));
        Ok(client)
    }
}

impl Default for Https {
    fn default() -> Self {
        Self::new()
    }
}

impl Transport for Https {
    fn post(&self, vault: &VaultAddress, path: &str, message: &[u8]) -> Result<Reply, TransportError> {
        let client = self.client(vault.vault()).map_err(TransportError::Unreachable)?;
        let url = format!("{}{path}", vault.base);
        let (began, mut may_have_arrived) = (SystemTime::now(), false);
        let mut pauses = self.pauses.iter().enumerate();
        loop {
            let answer = client.post(&url).timeout(self.limit).body(message.to_vec()).send();
            let may_be_second = may_have_arrived;
            may_have_arrived |= !answer.as_ref().is_err_and(reqwest::Error::is_connect);
            let answer = answer.map_err(AnyError::from).and_then(|answer| read(answer, may_be_second));
            let is_late = began.elapsed().is_ok_and(|passed| passed > LAST_RETRY);
            let next = pauses.next().filter(|(number, _)| may_have_arrived || *number < PAUSES_UNCONNECTED);
            let next = next.filter(|_| !is_late);
            match (answer, next) {
                (Err(error), _) if is_not_the_vault(&*error) && !may_have_arrived => {
                    return Err(TransportError::NotTheVault(error));
                }
                (Err(error), None) => return Err(TransportError::Unreachable(error)),
                (Ok(reply), None) => return Ok(reply),
                (Ok(reply), _) if reply.status != UNAVAILABLE => return Ok(reply),
                (_, Some((_, seconds))) => thread::sleep(Duration::from_secs(*seconds)),
            }
        }
    }
}

fn read(response: Response, may_be_second: bool) -> Result<Reply, AnyError> {
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let (status, mut body) = (response.status().as_u16(), Vec::new());
    response.take(MAX_ANSWER).read_to_end(&mut body)?;
    Ok(Reply { status, retry_after, body, may_be_second })
}

/// Whether the connection failed because of who answered.
fn is_not_the_vault(error: &(dyn Error + 'static)) -> bool {
    let causes = std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source());
    causes.filter_map(inner).any(|error| matches!(error, rustls::Error::InvalidCertificate(_)))
}

/// What went wrong in TLS, which lies within errors of input and output.
fn inner<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    match error.downcast_ref::<io::Error>() {
        Some(error) => error.get_ref().and_then(|error| inner(error)),
        None => error.downcast_ref(),
    }
}

/// Takes the vault's own key.
#[derive(Debug)]
struct VaultVerifier {
    vault: VaultId,
    provider: Arc<CryptoProvider>,
}

/// How a public key of Ed25519 begins in a certificate (RFC 8410 §4).
const ED25519_KEY: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];

impl ServerCertVerifier for VaultVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let key = ParsedCertificate::try_from(end_entity)?.subject_public_key_info();
        // That the key is at hand, and not only its certificate, is shown by the handshake's signature.
        match key.as_ref().strip_prefix(&ED25519_KEY) == Some(self.vault.as_bytes()) {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
