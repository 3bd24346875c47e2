//! What the protocol is made of does what its standards say: the published test vectors of OPAQUE and its OPRF.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::HashMap;

use opaque_ke::ksf::Identity;
use opaque_ke::{
    CipherSuite, ClientLogin, ClientLoginFinishParameters, ClientRegistration, ClientRegistrationFinishParameters,
    CredentialFinalization, CredentialRequest, CredentialResponse, Identifiers, RegistrationRequest,
    RegistrationResponse, RegistrationUpload, Ristretto255, ServerLogin, ServerLoginParameters, ServerRegistration,
    ServerSetup, TripleDh, rand,
};
use voprf::{OprfClient, OprfServer};

type Sha512 = <voprf::Ristretto255 as voprf::CipherSuite>::Hash;

/// The protocol's suite, but for the stretching of keys, which the vectors leave out.
struct Suite;

impl CipherSuite for Suite {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, Sha512>;
    type Ksf = Identity;
}

/// The values of one vector.
struct Vector(HashMap<&'static str, Vec<u8>>);

impl Vector {
    fn all(file: &'static str) -> Vec<Self> {
        let value = |line: &'static str| line.split_once(" = ").map(|(name, digits)| (name, bytes(digits)));
        file.split("\n\n").map(|text| Self(text.lines().filter_map(value).collect())).collect()
    }

    fn get(&self, name: &str) -> &[u8] {
        self.0.get(name).unwrap()
    }

    fn optional(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(Vec::as_slice)
    }

    fn identifiers(&self) -> Identifiers<'_> {
        Identifiers { client: self.optional("client_identity"), server: self.optional("server_identity") }
    }
}

fn bytes(digits: &str) -> Vec<u8> {
    let digit = |digit: u8| u8::try_from(char::from(digit).to_digit(16).unwrap()).unwrap();
    digits.as_bytes().as_chunks().0.iter().map(|[high, low]| digit(*high) << 4 | digit(*low)).collect()
}

/// Gives these bytes and no others, in these pieces.
struct Given<'a>(Vec<&'a [u8]>);

impl<'a> Given<'a> {
    fn new(pieces: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut pieces: Vec<_> = pieces.into_iter().collect();
        pieces.reverse();
        Self(pieces)
    }
}

impl rand::RngCore for Given<'_> {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// A scalar is drawn as twice its length and reduced: what is missing is zeros.
    fn fill_bytes(&mut self, out: &mut [u8]) {
        let piece = self.0.pop().unwrap();
        let (start, rest) = out.split_at_mut(piece.len());
        start.copy_from_slice(piece);
        rest.fill(0);
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rand::Error> {
        self.fill_bytes(out);
        Ok(())
    }
}

impl rand::CryptoRng for Given<'_> {}

#[test]
fn opaque_is_that_of_rfc_9807() {
    let vectors = Vector::all(include_str!("vectors/rfc9807.txt"));
    assert_eq!(vectors.len(), 2);
    for vector in &vectors {
        let third = vector.get("client_public_key");
        let setup = [vector.get("oprf_seed"), vector.get("server_private_key"), third].concat();
        let setup = ServerSetup::<Suite>::deserialize(&setup).unwrap();
        assert_eq!(setup.keypair().public().serialize().as_slice(), vector.get("server_public_key"));
        registers(vector, &setup);
        logs_in(vector, &setup);
    }
}

fn registers(vector: &Vector, setup: &ServerSetup<Suite>) {
    let (password, identifier) = (vector.get("password"), vector.get("credential_identifier"));
    let mut numbers = Given::new([vector.get("blind_registration")]);
    let started = ClientRegistration::<Suite>::start(&mut numbers, password).unwrap();
    assert_eq!(started.message.serialize().as_slice(), vector.get("registration_request"));
    let request = RegistrationRequest::deserialize(vector.get("registration_request")).unwrap();
    let response = ServerRegistration::start(setup, request, identifier).unwrap();
    assert_eq!(response.message.serialize().as_slice(), vector.get("registration_response"));
    let response = RegistrationResponse::deserialize(vector.get("registration_response")).unwrap();
    let parameters = ClientRegistrationFinishParameters::new(vector.identifiers(), None);
    let mut numbers = Given::new([vector.get("envelope_nonce")]);
    let finished = started.state.finish(&mut numbers, password, response, parameters).unwrap();
    assert_eq!(finished.message.serialize().as_slice(), vector.get("registration_upload"));
    assert_eq!(finished.export_key.as_slice(), vector.get("export_key"));
}

fn logs_in(vector: &Vector, setup: &ServerSetup<Suite>) {
    let (password, identifier) = (vector.get("password"), vector.get("credential_identifier"));
    let (context, identifiers) = (vector.get("Context"), vector.identifiers());
    let drawn = ["blind_login", "client_keyshare_seed", "client_nonce"].map(|name| vector.get(name));
    let started = ClientLogin::<Suite>::start(&mut Given::new(drawn), password).unwrap();
    assert_eq!(started.message.serialize().as_slice(), vector.get("KE1"));

    let file = RegistrationUpload::deserialize(vector.get("registration_upload")).unwrap();
    let file = ServerRegistration::finish(file);
    let ke1 = CredentialRequest::deserialize(vector.get("KE1")).unwrap();
    // A masking key is drawn first, for whoever has none.
    let drawn = ["masking_nonce", "server_keyshare_seed", "server_nonce"].map(|name| vector.get(name));
    let mut numbers = Given::new(std::iter::once([7; 64].as_slice()).chain(drawn));
    let parameters = ServerLoginParameters { context: Some(context), identifiers };
    let served = ServerLogin::start(&mut numbers, setup, Some(file), ke1, identifier, parameters).unwrap();
    assert_eq!(served.message.serialize().as_slice(), vector.get("KE2"));

    let ke2 = CredentialResponse::deserialize(vector.get("KE2")).unwrap();
    let parameters = ClientLoginFinishParameters::new(Some(context), vector.identifiers(), None);
    let finished = started.state.finish(&mut Given::new([]), password, ke2, parameters).unwrap();
    assert_eq!(finished.message.serialize().as_slice(), vector.get("KE3"));
    assert_eq!(finished.export_key.as_slice(), vector.get("export_key"));
    assert_eq!(finished.session_key.as_slice(), vector.get("session_key"));

    let ke3 = CredentialFinalization::deserialize(vector.get("KE3")).unwrap();
    let parameters = ServerLoginParameters { context: Some(context), identifiers: vector.identifiers() };
    let served = served.state.finish(ke3, parameters).unwrap();
    assert_eq!(served.session_key.as_slice(), vector.get("session_key"));
}

#[test]
fn the_oprf_is_that_of_rfc_9497() {
    let vectors = Vector::all(include_str!("vectors/rfc9497.txt"));
    assert_eq!(vectors.len(), 2);
    for vector in &vectors {
        let input = vector.get("Input");
        let server =
            OprfServer::<voprf::Ristretto255>::new_from_seed(vector.get("Seed"), vector.get("KeyInfo")).unwrap();
        assert_eq!(server.serialize().as_slice(), vector.get("skSm"));
        let blinded = OprfClient::blind(input, &mut Given::new([vector.get("Blind")])).unwrap();
        assert_eq!(blinded.message.serialize().as_slice(), vector.get("BlindedElement"));
        let evaluated = server.blind_evaluate(&blinded.message);
        assert_eq!(evaluated.serialize().as_slice(), vector.get("EvaluationElement"));
        assert_eq!(blinded.state.finalize(input, &evaluated).unwrap().as_slice(), vector.get("Output"));
    }
}
