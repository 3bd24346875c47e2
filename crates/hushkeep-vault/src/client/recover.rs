//! Getting the key back (spec/vault.md §7).

use hushkeep_core::keys::BackupKey;
use hushkeep_core::wrap::Passphrase;
use opaque_ke::errors::ProtocolError;
use opaque_ke::{ClientLogin, ClientLoginFinishParameters, CredentialResponse, Identifiers};
use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

use super::open_payload;
use crate::context;
use crate::message::{GuessReply, GuessRequest, Guessed, LookRequest, ProofReply, ProofRequest};
use crate::pair::Pair;
use crate::suite::{Numbers, Stretch, Suite, fixed, len};

impl Pair {
    /// Asks how many guesses are left.
    pub fn look(&self) -> LookRequest {
        LookRequest { record: self.record() }
    }
}

/// A guess on its way.
pub struct Recovery<'a> {
    state: ClientLogin<Suite>,
    password: &'a Passphrase,
    pairs: Vec<Pair>,
    /// If not that of the pair.
    stretch: Option<Stretch>,
}

/// Why a guess cannot be made, or was not right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecoveryError {
    /// One or two passwords of one record can be guessed at once.
    #[error("one guess is for one or two passwords of one record")]
    Pairs,
    /// The password is wrong, or who answered is not the vault at which it was registered.
    #[error("the password is wrong")]
    WrongPassword {
        /// How many guesses are left, as the vault says.
        left: u8,
    },
    /// The answer is not a valid message of OPAQUE.
    #[error("the answer is malformed")]
    Malformed,
    /// The password cannot be stretched: there is no memory.
    #[error("there is no memory for the password")]
    OutOfMemory,
}

impl<'a> Recovery<'a> {
    /// Makes a guess at the password that holds, and at the one beside it if the config has two.
    pub fn begin(
        pairs: &[Pair],
        password: &'a Passphrase,
        rng: &mut dyn CryptoRng,
    ) -> Result<(Self, GuessRequest), RecoveryError> {
        let guessed = |pair: &Pair| Guessed { version: pair.version, pair: pair.digest() };
        let (first, second) = match pairs {
            [one] => (one, Guessed::none()),
            [one, two] if one.record() == two.record() && one.vault == two.vault => (one, guessed(two)),
            _ => return Err(RecoveryError::Pairs),
        };
        let started = ClientLogin::start(&mut Numbers(rng), password.expose().as_bytes());
        let started = started.map_err(|_| RecoveryError::Malformed)?;
        let ke1 = fixed(&started.message.serialize());
        let guessed = [guessed(first), second];
        let request = GuessRequest { vault: first.vault, record: first.record(), guessed, ke1 };
        Ok((Self { state: started.state, password, pairs: pairs.to_vec(), stretch: None }, request))
    }

    /// The same for a password that was registered unstretched.
    #[cfg(feature = "bench")]
    pub fn unstretched(self) -> Self {
        Self { stretch: Some(Stretch::none()), ..self }
    }

    /// Tries the password on the answer. The proof that it was right leaves only after the vault has proven that it has the
    /// password's record: a stranger who answers in its place learns nothing to test other passwords with.
    ///
    /// A guess at two passwords may be right for both: then there are two proofs, of which each gives its key.
    pub fn prove(
        self,
        reply: &GuessReply,
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<(AwaitingKey, ProofRequest)>, RecoveryError> {
        let mut proofs = Vec::new();
        for (which, (pair, ke2)) in (0..).zip(self.pairs.iter().zip(&reply.ke2)) {
            // The vault has this one no more, or not yet.
            if *ke2 != [0; len::KE2] {
                proofs.extend(self.prove_one(reply, (which, pair, ke2), rng)?);
            }
        }
        if proofs.is_empty() { Err(RecoveryError::WrongPassword { left: reply.left }) } else { Ok(proofs) }
    }

    /// The proof for one password; `None` if it is wrong.
    fn prove_one(
        &self,
        reply: &GuessReply,
        (which, pair, ke2): (u8, &Pair, &[u8; len::KE2]),
        rng: &mut dyn CryptoRng,
    ) -> Result<Option<(AwaitingKey, ProofRequest)>, RecoveryError> {
        let answer = CredentialResponse::deserialize(ke2).map_err(|_| RecoveryError::Malformed)?;
        let context = context(&pair.vault, &pair.record(), &pair.version);
        let stretch = self.stretch.unwrap_or(Stretch::new(pair.params));
        let parameters = ClientLoginFinishParameters::new(Some(&context), Identifiers::default(), Some(&stretch));
        let password = self.password.expose().as_bytes();
        let mut finished = match self.state.clone().finish(&mut Numbers(rng), password, answer, parameters) {
            Ok(finished) => finished,
            Err(ProtocolError::InvalidLoginError) => return Ok(None),
            Err(ProtocolError::LibraryError(_)) => return Err(RecoveryError::OutOfMemory),
            Err(_) => return Err(RecoveryError::Malformed),
        };
        // It stands in the envelope as well, which only the password opens: the config and the vault must mean the same.
        if *finished.server_s_pk.serialize() != pair.opaque_key {
            return Err(RecoveryError::Malformed);
        }
        let ke3 = fixed(&finished.message.serialize());
        let request = ProofRequest { record: pair.record(), ticket: reply.ticket, which, ke3 };
        let export_key = Zeroizing::new(finished.export_key.to_vec());
        finished.export_key.zeroize();
        finished.session_key.zeroize();
        Ok(Some((AwaitingKey { export_key, pair: pair.clone() }, request)))
    }
}

/// A guess that was right, and whose proof is on its way.
pub struct AwaitingKey {
    export_key: Zeroizing<Vec<u8>>,
    pair: Pair,
}

/// What the vault gave is not what was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the vault gave back something else than the key that was sealed")]
pub struct PayloadError;

impl AwaitingKey {
    /// Which password it was.
    pub fn pair(&self) -> &Pair {
        &self.pair
    }

    /// The backup key.
    pub fn open(self, reply: &ProofReply) -> Result<BackupKey, PayloadError> {
        open_payload(&self.export_key, &reply.payload, &self.pair).ok_or(PayloadError)
    }
}
