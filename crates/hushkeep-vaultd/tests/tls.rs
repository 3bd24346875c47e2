//! Below the requests: TLS 1.3 and nothing older, keys that no quantum computer finds later, and an end that waits for whoever
//! is being answered.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod common;

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use common::*;
use hushkeep::vault::{Https, Reply, Transport as _, TransportError, VaultAddress};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::{default_provider, kx_group::X25519MLKEM768};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, NamedGroup, ServerConfig, ServerConnection,
    SignatureScheme, StreamOwned, SupportedProtocolVersion,
};

/// Takes any certificate: what is looked at here is how keys are agreed on.
#[derive(Debug)]
struct TakesAll;

impl ServerCertVerifier for TakesAll {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

fn with_groups(kx_groups: Vec<&'static dyn SupportedKxGroup>) -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider { kx_groups, ..default_provider() })
}

/// A connection to a vault, by which anything can be sent.
fn connect(
    vault: &VaultAddress,
    provider: Arc<CryptoProvider>,
    version: &'static SupportedProtocolVersion,
) -> StreamOwned<ClientConnection, TcpStream> {
    let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(TakesAll)).with_no_client_auth();
    let address = vault.to_string();
    let host = address.trim_start_matches("https://").split('/').next().unwrap().to_owned();
    let client = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    StreamOwned::new(client, TcpStream::connect(host).unwrap())
}

#[test]
fn a_vault_agrees_on_keys_that_no_quantum_computer_finds_and_speaks_nothing_old() {
    let parent = tempfile::tempdir().unwrap();
    let served = Served::start(&folder(&parent), &[]);
    let mut stream = connect(&served.address, with_groups(vec![X25519MLKEM768]), &rustls::version::TLS13);
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(
        stream.conn.negotiated_key_exchange_group().is_some_and(|group| group.name() == NamedGroup::X25519MLKEM768)
    );
    let mut old = connect(&served.address, default_provider().into(), &rustls::version::TLS12);
    assert!(old.write_all(b"GET").and_then(|()| old.flush()).is_err());
}

/// The server takes nothing else, so that a request which arrives shows what the client can do.
#[test]
fn a_client_agrees_on_keys_that_no_quantum_computer_finds() {
    let reply = ask_a_server(Https::without_retries(), |stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
    });
    assert_eq!(reply.unwrap().body, b"ok");
}

/// Sends a request to a server that agrees on keys by X25519MLKEM768 alone, and answers as it likes.
fn ask_a_server(
    https: Https,
    answer: impl FnOnce(&mut StreamOwned<ServerConnection, TcpStream>) -> io::Result<()> + Send,
) -> Result<Reply, TransportError> {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let certificate = rcgen::CertificateParams::default().self_signed(&pair).unwrap();
    let key = PrivateKeyDer::try_from(pair.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(with_groups(vec![X25519MLKEM768]))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let id: String = pair.public_key_raw().iter().map(|byte| format!("{byte:02x}")).collect();
    let address: VaultAddress = format!("https://{}/#{id}", listener.local_addr().unwrap()).parse().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            let (tcp, _) = listener.accept().unwrap();
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), tcp);
            let mut request = [0; 1024];
            let len = stream.read(&mut request).unwrap();
            assert!(request.get(..len).is_some_and(|request| request.starts_with(b"POST /v1/look")));
            // Whoever asks may be gone.
            let _ = answer(&mut stream);
        });
        https.post(&address, "/v1/look", &[])
    })
}

/// A vault that gives a byte now and then keeps nobody waiting.
#[test]
fn an_answer_that_does_not_end_is_given_up() {
    let limit = Duration::from_millis(800);
    let reply = ask_a_server(Https::without_retries().with_limit(limit), |stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")?;
        (0..100).try_for_each(|_| {
            thread::sleep(limit / 10);
            stream.write_all(b".")?;
            stream.flush()
        })
    });
    assert!(matches!(reply, Err(TransportError::Unreachable(_))), "{reply:?}");
}

#[test]
fn a_vault_that_is_ended_answers_what_it_is_being_asked() {
    let parent = tempfile::tempdir().unwrap();
    let served = Served::start(&folder(&parent), &[]);
    let mut stream = connect(&served.address, default_provider().into(), &rustls::version::TLS13);
    stream.write_all(b"POST /v1/look HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n\r\nha").unwrap();
    stream.flush().unwrap();
    // So that the request is known before the end is.
    thread::sleep(Duration::from_millis(300));
    served.ask_to_end();
    thread::sleep(Duration::from_millis(300));
    stream.write_all(b"lf").unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400");
    drop(stream);
    assert!(served.has_ended());
}
