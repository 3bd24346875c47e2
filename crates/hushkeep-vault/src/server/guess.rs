//! Guesses (spec/vault.md §7): counted first, answered then.

use hushkeep_core::symmetric::{ct_eq, hmac_sha256, sha256};
use opaque_ke::{
    CredentialFinalization, CredentialRequest, Identifiers, ServerLogin, ServerLoginParameters, ServerRegistration,
};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::record::{Columns, Happened, Record};
use super::slot::{Slot, Slots};
use super::store::{AttemptStore, StoreError};
use super::ticket::{self, Guessing, Login};
use super::{TICKET_SECONDS, Vault};
use crate::context;
use crate::message::{GuessReply, GuessRequest, Guessed, Head, LookReply, LookRequest, ProofReply, ProofRequest};
use crate::name::RecordId;
use crate::suite::{Numbers, Suite, fixed, len};

/// So often a guess is tried again when others are counted first. No record has as many guesses.
const MAX_RETRIES: usize = 256;

/// Why a guess is not answered. After [`Self::Store`] and [`Self::Damaged`] it may have been counted, else not.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuessRefused {
    /// It is for another vault: this one's keys are not those that the client knows.
    #[error("this is not the vault that is asked for")]
    AnotherVault,
    /// There is no such record.
    #[error("there is no such record")]
    Unknown,
    /// The record has no such password, or another had these parameters.
    #[error("the record has no such password")]
    AnotherVersion,
    /// The parameters are not those with which the password was registered: it could not be right.
    #[error("the parameters are not those that were registered")]
    Changed,
    /// What is sent is no first message of OPAQUE.
    #[error("the guess is malformed")]
    Malformed,
    /// It is too early for another guess.
    #[error("no guess is answered for {seconds} s")]
    Locked {
        /// How long it takes until one is.
        seconds: u32,
    },
    /// All guesses are spent.
    #[error("all guesses are spent: the record is destroyed")]
    Destroyed,
    /// The row is not as the vault wrote it.
    #[error("the record is damaged")]
    Damaged,
    /// Others are counted all the time.
    #[error("too many guesses at once")]
    Busy,
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a proof is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofRefused {
    /// The ticket is none of this vault and record, or too old.
    #[error("the ticket is invalid, or has expired")]
    Ticket,
    /// What is sent is no last message of OPAQUE, or of a password that was not guessed at.
    #[error("the proof is malformed")]
    Malformed,
    /// The password was wrong.
    #[error("the password is wrong")]
    WrongPassword,
}

/// What a proof gives.
pub struct Proven {
    /// What the owner gets.
    pub reply: ProofReply,
    /// Why the guesses could not be given back, if the store did not answer.
    pub not_reset: Option<StoreError>,
}

/// That a guess was counted, durably. Only with one is anything evaluated.
pub struct CountedGuess {
    record: Record,
    /// The number of the change by which it was counted.
    seq: u64,
    time: i64,
}

impl Vault {
    /// Counts a guess and answers it. The same guess within ten minutes is answered in the same way, and not counted again.
    pub fn guess(
        &self,
        store: &dyn AttemptStore,
        request: &GuessRequest,
        now: i64,
        rng: &mut dyn CryptoRng,
    ) -> Result<GuessReply, GuessRefused> {
        if request.vault != self.id() {
            return Err(GuessRefused::AnotherVault);
        }
        let ke1 = CredentialRequest::deserialize(&request.ke1).map_err(|_| GuessRefused::Malformed)?;
        let counted = self.charge(store, request, now, rng)?;
        let mut logins = [Login::none(), Login::none()];
        let mut ke2 = [[0; len::KE2]; 2];
        for ((guessed, login), ke2) in request.guessed.iter().zip(&mut logins).zip(&mut ke2) {
            if let Some(slot) = counted.record.slots.of(&guessed.version) {
                (*login, *ke2) = self.evaluate(&counted, request, slot, &ke1)?;
            }
        }
        let content = Zeroizing::new(Guessing::new(counted.seq, logins).encode());
        let ticket = ticket::issue(&content, (&self.secrets, &request.record), counted.time, rng);
        let columns = &counted.record.columns;
        Ok(GuessReply {
            left: self.left(&counted.record),
            wait: self.wait(columns, now),
            ke2,
            ticket: ticket.ok_or(GuessRefused::Damaged)?,
        })
    }

    /// Tells how many guesses are left and how long the next one waits. Whoever knows the record may guess, and learns it then:
    /// this is for its owner to know before.
    pub fn look(
        &self,
        store: &dyn AttemptStore,
        request: &LookRequest,
        now: i64,
        rng: &mut dyn CryptoRng,
    ) -> Result<LookReply, GuessRefused> {
        let (_, record) = self.load(store, &request.record, now, rng)?.ok_or(GuessRefused::Unknown)?;
        Ok(LookReply { left: self.left(&record), wait: self.wait(&record.columns, now) })
    }

    /// How long the next guess has to wait, in seconds: never longer than it would have had to right after the last one. Far
    /// beyond that the clock was wrong when the last guess was made, and nobody can tell how long ago that was; a little
    /// beyond, a request that began earlier comes later.
    fn wait(&self, columns: &Columns, now: i64) -> u32 {
        let wait = u32::try_from(columns.not_before.saturating_sub(now).max(0)).unwrap_or(u32::MAX);
        let longest = self.policy.wait_before(columns.used.saturating_add(1));
        if wait > longest.saturating_mul(2) { 0 } else { wait.min(longest) }
    }

    /// Counts a guess, unless it is the last one once more.
    fn charge(
        &self,
        store: &dyn AttemptStore,
        request: &GuessRequest,
        now: i64,
        rng: &mut dyn CryptoRng,
    ) -> Result<CountedGuess, GuessRefused> {
        let hash = sha256(&[&request.encode()]);
        for _ in 0..MAX_RETRIES {
            let (row, record) = self.load(store, &request.record, now, rng)?.ok_or(GuessRefused::Unknown)?;
            let columns = &record.columns;
            if columns.is_destroyed != 0 {
                return Err(GuessRefused::Destroyed);
            }
            check_pairs(&record.slots, &request.guessed)?;
            if is_answerable(columns, now) && ct_eq(&columns.guessed, &hash) {
                let (seq, time) = (columns.guessed_seq, columns.guessed_at);
                return Ok(CountedGuess { record, seq, time });
            }
            if self.is_spent(columns) {
                return Err(GuessRefused::Destroyed);
            }
            if let seconds @ 1.. = self.wait(columns, now) {
                return Err(GuessRefused::Locked { seconds });
            }
            let counted = self.counted(record, hash, now);
            let changed = self.after(Happened::Guessed, &request.record, counted, now, rng);
            let (record, new, event) = changed.ok_or(GuessRefused::Damaged)?;
            if store.replace(&request.record, &row, &new, &event)? {
                return Ok(CountedGuess { seq: new.seq, record, time: now });
            }
        }
        Err(GuessRefused::Busy)
    }

    /// The record with one guess more.
    fn counted(&self, mut record: Record, hash: [u8; 32], now: i64) -> Record {
        let columns = &mut record.columns;
        columns.used = columns.used.saturating_add(1);
        columns.failures = columns.failures.saturating_add(1);
        columns.not_before = now.saturating_add(self.policy.wait_before(columns.used.saturating_add(1)).into());
        (columns.guessed, columns.guessed_at, columns.guessed_seq) = (hash, now, record.seq + 1);
        record
    }

    /// Evaluates a guess at one password. The same guess gets the same answer: its random numbers come from the record.
    fn evaluate(
        &self,
        counted: &CountedGuess,
        request: &GuessRequest,
        slot: &Slot,
        ke1: &CredentialRequest<Suite>,
    ) -> Result<(Login, [u8; len::KE2]), GuessRefused> {
        let about = [slot.version.as_bytes().as_slice(), &counted.seq.to_le_bytes(), &request.ke1];
        let seed = Zeroizing::new(hmac_sha256(self.secrets.answers_key(&request.record).expose(), &about));
        let mut numbers = ChaCha20Rng::from_seed(*seed);
        let file = ServerRegistration::deserialize(&slot.staged.password_file).map_err(|_| GuessRefused::Damaged)?;
        let context = context(&self.id(), &request.record, &slot.version);
        let started = ServerLogin::start(
            &mut Numbers(&mut numbers),
            &self.setup,
            Some(file),
            ke1.clone(),
            &slot.identifier(&request.record),
            parameters(&context),
        );
        // The message was read before it was counted: what fails now is the record.
        let started = started.map_err(|_| GuessRefused::Damaged)?;
        let (state, payload) = (fixed(&started.state.serialize()), slot.staged.payload);
        let login = Login { is_there: 1, version: slot.version, state, payload };
        Ok((login, fixed(&started.message.serialize())))
    }

    /// Takes the proof that a guess was right, and gives what the owner has sealed. If it was at the password that holds, and
    /// nothing happened since, all guesses are there again; if that cannot be kept, the owner gets the key all the same.
    pub fn prove(
        &self,
        store: &dyn AttemptStore,
        request: &ProofRequest,
        now: i64,
        rng: &mut dyn CryptoRng,
    ) -> Result<Proven, ProofRefused> {
        let content = ticket::open(&request.ticket, (&self.secrets, &request.record), now);
        let guessing = Guessing::decode(&content.ok_or(ProofRefused::Ticket)?).map_err(|_| ProofRefused::Ticket)?;
        let login = guessing.logins.get(usize::from(request.which)).filter(|login| login.is_there == 1);
        let login = login.ok_or(ProofRefused::Malformed)?;
        let ke3 = CredentialFinalization::deserialize(&request.ke3).map_err(|_| ProofRefused::Malformed)?;
        let state = ServerLogin::<Suite>::deserialize(&login.state).map_err(|_| ProofRefused::Ticket)?;
        let context = context(&self.id(), &request.record, &login.version);
        state.finish(ke3, parameters(&context)).map_err(|_| ProofRefused::WrongPassword)?;
        let reset = self.reset(store, &request.record, &guessing, login, now, rng);
        let ((is_reset, head), not_reset) = match reset {
            Ok(reset) => (reset, None),
            Err(error) => ((false, Head::unknown()), Some(error)),
        };
        let reply = ProofReply { payload: login.payload, is_reset: u8::from(is_reset), head };
        Ok(Proven { reply, not_reset })
    }

    /// Gives all guesses back after a right one, if it was the last. Whether it did, and where the record stands.
    fn reset(
        &self,
        store: &dyn AttemptStore,
        id: &RecordId,
        guessing: &Guessing,
        login: &Login,
        now: i64,
        rng: &mut dyn CryptoRng,
    ) -> Result<(bool, Head), StoreError> {
        let Some(row) = store.load(id)? else { return Ok((false, Head::unknown())) };
        let damaged = || StoreError("the record is damaged".into());
        let record = Record::open(&self.secrets, id, &row).ok_or_else(damaged)?;
        let head = self.head(&record);
        // Without one that holds, the first password is its owner's as well: he has not got to committing it.
        let holds = record.slots.active.as_ref().or(record.slots.pending.as_ref());
        let is_active = holds.is_some_and(|slot| slot.version == login.version);
        if record.seq != guessing.seq || !is_active {
            return Ok((false, head));
        }
        let mut reset = record;
        reset.columns.used = 0;
        reset.columns.failures = reset.columns.failures.saturating_sub(1);
        (reset.columns.not_before, reset.columns.guessed) = (0, [0; 32]);
        let changed = self.after(Happened::Reset, id, reset, now, rng);
        let (record, new, event) = changed.ok_or_else(damaged)?;
        match store.replace(id, &row, &new, &event)? {
            true => Ok((true, self.head(&record))),
            false => Ok((false, head)),
        }
    }
}

/// Whether the answer to the last guess still holds.
pub(super) fn is_answerable(columns: &Columns, now: i64) -> bool {
    now.abs_diff(columns.guessed_at) <= TICKET_SECONDS.unsigned_abs()
}

/// Whether a password that is guessed at is there, and each that is was registered with the parameters that the client has. The
/// other of two may be gone: a config has both while a password is changed.
fn check_pairs(slots: &Slots, guessed: &[Guessed; 2]) -> Result<(), GuessRefused> {
    let [first, second] = guessed;
    if first.version == second.version {
        return Err(GuessRefused::AnotherVersion);
    }
    let mut found = guessed.iter().filter_map(|guessed| Some((slots.of(&guessed.version)?, guessed))).peekable();
    found.peek().ok_or(GuessRefused::AnotherVersion)?;
    if found.all(|(slot, guessed)| slot.staged.pair == guessed.pair) { Ok(()) } else { Err(GuessRefused::Changed) }
}

/// What a login is bound to, besides the password.
fn parameters(context: &[u8]) -> ServerLoginParameters<'_, '_> {
    ServerLoginParameters { context: Some(context), identifiers: Identifiers::default() }
}
