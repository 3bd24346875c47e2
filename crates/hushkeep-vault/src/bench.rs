//! For measuring vaults: what OPAQUE alone costs them.

use opaque_ke::{
    ClientLogin, ClientRegistration, ClientRegistrationFinishParameters, CredentialRequest, Identifiers, ServerLogin,
    ServerLoginParameters, ServerRegistration, ServerSetup,
};
use rand_core::CryptoRng;

use crate::suite::{Numbers, Stretch, Suite};

/// The vault's part of a login, up to its answer, with nothing around it: no message is read, nothing is counted or kept.
pub struct LoginStart {
    setup: ServerSetup<Suite>,
    file: ServerRegistration<Suite>,
    ke1: CredentialRequest<Suite>,
}

const IDENTIFIER: &[u8] = b"one of many";

impl LoginStart {
    /// Prepares a login. `None` if OPAQUE fails.
    pub fn new(rng: &mut dyn CryptoRng) -> Option<Self> {
        let (mut numbers, password, stretch) = (Numbers(rng), b"password", Stretch::none());
        let setup = ServerSetup::<Suite>::new(&mut numbers);
        let registration = ClientRegistration::<Suite>::start(&mut numbers, password).ok()?;
        let reply = ServerRegistration::start(&setup, registration.message, IDENTIFIER).ok()?;
        let parameters = ClientRegistrationFinishParameters::new(Identifiers::default(), Some(&stretch));
        let upload = registration.state.finish(&mut numbers, password, reply.message, parameters).ok()?.message;
        let ke1 = ClientLogin::<Suite>::start(&mut numbers, password).ok()?.message;
        Some(Self { setup, file: ServerRegistration::finish(upload), ke1 })
    }

    /// Does it once. `None` if OPAQUE fails.
    pub fn run(&self, rng: &mut dyn CryptoRng) -> Option<()> {
        let parameters = ServerLoginParameters { context: Some(b"context"), identifiers: Identifiers::default() };
        let (file, ke1) = (Some(self.file.clone()), self.ke1.clone());
        let started = ServerLogin::start(&mut Numbers(rng), &self.setup, file, ke1, IDENTIFIER, parameters).ok()?;
        std::hint::black_box(started.message.serialize());
        Some(())
    }
}
