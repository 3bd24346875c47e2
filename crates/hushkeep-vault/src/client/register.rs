//! Registering a password (spec/vault.md §6).

use hushkeep_core::keys::BackupKey;
use hushkeep_core::wire::UnknownFields;
use hushkeep_core::wrap::{KdfParams, Passphrase};
use opaque_ke::errors::ProtocolError;
use opaque_ke::{ClientRegistration, ClientRegistrationFinishParameters, Identifiers, RegistrationResponse};
use rand_core::CryptoRng;
use zeroize::Zeroize;

use super::seal_payload;
use crate::message::{BeginReply, BeginRequest, CommitRequest, DeleteRequest, HistoryRequest, StageRequest, Staged};
use crate::name::{Locator, RecordId, VaultId, Version};
use crate::owner::{Change, Statement, UpdateKey};
use crate::pair::Pair;
use crate::suite::{Numbers, Stretch, Suite, fixed};

/// A registration that has begun.
pub struct Registration<'a> {
    state: ClientRegistration<Suite>,
    password: &'a Passphrase,
    address: String,
    vault: VaultId,
    locator: Locator,
    params: KdfParams,
    stretch: Stretch,
    request: BeginRequest,
}

/// The keys of whoever may change a record.
#[derive(Clone, Copy)]
pub struct UpdateKeys<'a> {
    /// The key that may change it as it is; of a record that is not there yet, the next one.
    pub owner: &'a UpdateKey,
    /// The key that may change it from then on.
    pub next: &'a UpdateKey,
}

/// A vault's answer that must not be gone on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistrationError {
    /// Not the vault that is known by its key has answered.
    #[error("the answer is not signed by the vault's key")]
    AnotherVault,
    /// The answer is not a valid message of OPAQUE.
    #[error("the answer is malformed")]
    Malformed,
    /// The password cannot be stretched: there is no memory.
    #[error("there is no memory for the password")]
    OutOfMemory,
}

impl<'a> Registration<'a> {
    /// Begins to register a password at a vault that is known by its key. What is sent tells nothing of the password.
    pub fn begin(
        (address, vault): (String, VaultId),
        locator: Locator,
        password: &'a Passphrase,
        params: KdfParams,
        rng: &mut dyn CryptoRng,
    ) -> Result<(Self, BeginRequest), RegistrationError> {
        let started = ClientRegistration::start(&mut Numbers(rng), password.expose().as_bytes());
        let started = started.map_err(|_| RegistrationError::Malformed)?;
        let blinded = fixed(&started.message.serialize());
        let request = BeginRequest { record: RecordId::of(&locator, &vault), blinded };
        Ok((
            Self {
                state: started.state,
                password,
                address,
                vault,
                locator,
                params,
                stretch: Stretch::new(params),
                request: request.clone(),
            },
            request,
        ))
    }

    /// The same without the work that each guess at a real password costs its client.
    #[cfg(feature = "bench")]
    pub fn unstretched(self) -> Self {
        Self { stretch: Stretch::none(), ..self }
    }

    /// Goes on with the vault's answer: seals the backup key under what the password gives.
    pub fn stage(
        self,
        reply: &BeginReply,
        key: &BackupKey,
        UpdateKeys { owner, next }: UpdateKeys<'_>,
        rng: &mut dyn CryptoRng,
    ) -> Result<(StagedPassword, StageRequest), RegistrationError> {
        if !reply.is_signed(&self.request, &self.vault) {
            return Err(RegistrationError::AnotherVault);
        }
        let answer = [reply.evaluated, reply.opaque_key].concat();
        let answer = RegistrationResponse::deserialize(&answer).map_err(|_| RegistrationError::Malformed)?;
        let parameters = ClientRegistrationFinishParameters::new(Identifiers::default(), Some(&self.stretch));
        let finished = self.state.finish(&mut Numbers(rng), self.password.expose().as_bytes(), answer, parameters);
        let mut finished = finished.map_err(|error| match error {
            ProtocolError::LibraryError(_) => RegistrationError::OutOfMemory,
            _ => RegistrationError::Malformed,
        })?;
        let pair = Pair {
            address: self.address,
            vault: self.vault,
            opaque_key: reply.opaque_key,
            locator: self.locator,
            version: reply.version,
            params: self.params,
            unknown: UnknownFields::new(),
        };
        let record = self.request.record;
        let staged = Staged {
            password_file: fixed(&finished.message.serialize()),
            payload: seal_payload(&finished.export_key, key, &pair, rng),
            update_key: next.public(),
            pair: pair.digest(),
        };
        finished.export_key.zeroize();
        let change = Change::Stage { head: &reply.head, version: &pair.version, staged: &staged };
        let signature = owner.sign(&Statement { vault: &pair.vault, record: &record, change });
        let request = StageRequest { record, ticket: reply.ticket, staged, signature };
        let active = (*reply.head.active.as_bytes() != [0; 16]).then_some(reply.head.active);
        Ok((StagedPassword { pair, active }, request))
    }
}

/// A password that the vault keeps beside the one that holds. Its pair belongs into the config before it is committed.
pub struct StagedPassword {
    pair: Pair,
    active: Option<Version>,
}

impl StagedPassword {
    /// What the config must say, stored and read back, before [`Self::commit`].
    pub fn pair(&self) -> &Pair {
        &self.pair
    }

    /// The password that holds until then, if there is one.
    pub fn active(&self) -> Option<Version> {
        self.active
    }

    /// Makes it the password that holds.
    pub fn commit(self, next: &UpdateKey) -> (Pair, CommitRequest) {
        let request = self.pair.commit(next);
        (self.pair, request)
    }
}

impl Pair {
    /// Asks the vault to make this password, which it was given before, the one that holds.
    pub fn commit(&self, next: &UpdateKey) -> CommitRequest {
        let (record, version) = (self.record(), self.version);
        let change = Change::Commit { version: &version };
        let signature = next.sign(&Statement { vault: &self.vault, record: &record, change });
        CommitRequest { record, version, signature }
    }

    /// Asks the vault to delete the record.
    pub fn delete(&self, owner: &UpdateKey) -> DeleteRequest {
        let record = self.record();
        let signature = owner.sign(&Statement { vault: &self.vault, record: &record, change: Change::Delete });
        DeleteRequest { record, signature }
    }

    /// Asks the vault what happened to the record.
    pub fn history(&self, owner: &UpdateKey) -> HistoryRequest {
        let record = self.record();
        let signature = owner.sign(&Statement { vault: &self.vault, record: &record, change: Change::History });
        HistoryRequest { record, signature }
    }
}
