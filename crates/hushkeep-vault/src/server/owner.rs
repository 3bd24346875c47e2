//! What only a record's owner may do (spec/vault.md §6): register, change, delete.

use opaque_ke::{RegistrationRequest, RegistrationUpload, ServerRegistration};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::Vault;
use super::record::{Happened, Record};
use super::slot::{self, Slot};
use super::store::{AttemptStore, Row, StoreError};
use super::ticket::{self, Begun};
use crate::message::{
    BeginReply, BeginRequest, ChangeReply, CommitRequest, DeleteRequest, Head, SIGNATURE_LEN, StageRequest,
};
use crate::name::{RecordId, Version};
use crate::owner::{Change, Statement};
use crate::suite::Suite;

const SECONDS_A_DAY: i64 = 86_400;

/// Why a record is not changed. After [`Self::Store`] it may have been.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeRefused {
    /// What is sent is no message of OPAQUE.
    #[error("the registration is malformed")]
    Malformed,
    /// The ticket is none of this vault and record, or too old.
    #[error("the ticket is invalid, or has expired")]
    Ticket,
    /// There is no such record.
    #[error("there is no such record")]
    Unknown,
    /// All guesses at it are spent.
    #[error("all guesses are spent: the record is destroyed")]
    Destroyed,
    /// Its owner did not sign this, or not for the state that the record is in.
    #[error("this is not signed by the record's owner for the state that it is in")]
    Unauthorized,
    /// The record has changed since the registration began, which can begin again.
    #[error("the record has changed since the registration began")]
    Meanwhile,
    /// Another password is staged, or none.
    #[error("another password is staged")]
    AnotherVersion,
    /// Too many passwords were staged today.
    #[error("too many passwords were registered today")]
    TooMany,
    /// The row is not as the vault wrote it.
    #[error("the record is damaged")]
    Damaged,
    /// Somebody else changes it at the same time.
    #[error("the record was changed at the same time")]
    Busy,
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Vault {
    /// Evaluates a new password, under a key that is drawn for it and has never evaluated anything: so nothing is learned
    /// about a password that is registered already, however often this is asked. Nothing is kept.
    pub fn begin(
        &self,
        store: &dyn AttemptStore,
        request: &BeginRequest,
        now: i64,
        rng: &mut dyn CryptoRng,
    ) -> Result<BeginReply, ChangeRefused> {
        let blinded =
            RegistrationRequest::<Suite>::deserialize(&request.blinded).map_err(|_| ChangeRefused::Malformed)?;
        let (_, record) = self.open(store, &request.record, now, rng)?;
        let (version, mut secret) = (Version::generate(rng), Zeroizing::new([0; 32]));
        rng.fill_bytes(&mut *secret);
        // A generator that repeats itself must not have a password evaluated under the key of one that is registered.
        if record.slots.of(&version).is_some() {
            return Err(ChangeRefused::Busy);
        }
        let identifier = slot::identifier(&request.record, &version, &secret);
        let started = ServerRegistration::start(&self.setup, blinded, &identifier);
        let answer = started.map_err(|_| ChangeRefused::Malformed)?.message.serialize();
        let (evaluated, _) = answer.split_first_chunk().ok_or(ChangeRefused::Malformed)?;
        let content = Zeroizing::new(Begun::new(record.seq, version, *secret).encode());
        let ticket =
            ticket::issue(&content, (&self.secrets, &request.record), now, rng).ok_or(ChangeRefused::Damaged)?;
        let signature = [0; SIGNATURE_LEN];
        // Anybody may ask: what follows is what the owner signs, and nothing else of what happened to the record.
        let head = Head { seq: record.seq, active: self.head(&record).active, ..Head::unknown() };
        let (evaluated, opaque_key) = (*evaluated, self.opaque_key());
        let mut reply = BeginReply { head, version, evaluated, opaque_key, ticket, signature };
        reply.signature = self.secrets.sign(&reply.signed(request));
        Ok(reply)
    }

    /// Puts a password beside the one that holds, or into a new record.
    pub fn stage(
        &self,
        store: &dyn AttemptStore,
        request: &StageRequest,
        now: i64,
        rng: &mut dyn CryptoRng,
    ) -> Result<ChangeReply, ChangeRefused> {
        let content =
            ticket::open(&request.ticket, (&self.secrets, &request.record), now).ok_or(ChangeRefused::Ticket)?;
        let begun = Begun::decode(&content).map_err(|_| ChangeRefused::Ticket)?;
        RegistrationUpload::<Suite>::deserialize(&request.staged.password_file)
            .map_err(|_| ChangeRefused::Malformed)?;
        let (row, mut record) = self.open(store, &request.record, now, rng)?;
        let staged = Slot { version: begun.version, secret: begun.secret, staged: request.staged.clone() };
        if record.slots.pending.as_ref() == Some(&staged) {
            return Ok(ChangeReply { head: self.head(&record) });
        }
        // A guess in between, say: the owner has signed for a state that is gone.
        if begun.seq != record.seq {
            return Err(ChangeRefused::Meanwhile);
        }
        let owner = *record.slots.owner().unwrap_or(&request.staged.update_key);
        let head = self.head(&record);
        let change = Change::Stage { head: &head, version: &begun.version, staged: &request.staged };
        self.check(&request.record, change, &owner, &request.signature)?;
        self.count_staging(&mut record, now)?;
        record.slots.pending = Some(staged);
        self.keep(store, &request.record, (row, record), Happened::Staged, now, rng)
    }

    /// Makes the staged password the one that holds, and erases the one before.
    pub fn commit(
        &self,
        store: &dyn AttemptStore,
        request: &CommitRequest,
        now: i64,
        rng: &mut dyn CryptoRng,
    ) -> Result<ChangeReply, ChangeRefused> {
        let (row, mut record) = self.open(store, &request.record, now, rng)?;
        let row = row.ok_or(ChangeRefused::Unknown)?;
        // The owner of the password before has allowed this one when it was staged.
        let slot = record.slots.of(&request.version).ok_or(ChangeRefused::AnotherVersion)?;
        let change = Change::Commit { version: &request.version };
        self.check(&request.record, change, &slot.staged.update_key, &request.signature)?;
        if record.slots.pending.as_ref() != Some(slot) {
            return Ok(ChangeReply { head: self.head(&record) });
        }
        record.slots.active = record.slots.pending.take();
        // Whoever has the backup key needs no guess: the owner has them all again.
        let columns = &mut record.columns;
        (columns.used, columns.failures, columns.not_before, columns.guessed) = (0, 0, 0, [0; 32]);
        self.keep(store, &request.record, (Some(row), record), Happened::Committed, now, rng)
    }

    /// Keeps a record as it is after a password was registered, of the same length, with nothing in it: for measuring stores.
    #[cfg(feature = "bench")]
    pub fn keep_empty(
        &self,
        store: &dyn AttemptStore,
        id: &RecordId,
        now: i64,
        rng: &mut dyn CryptoRng,
    ) -> Result<(), ChangeRefused> {
        let staged = crate::message::Staged::empty();
        let mut record = Record::new();
        record.slots.pending = Some(Slot { version: Version::generate(rng), secret: [0; 32], staged });
        self.keep(store, id, (None, record), Happened::Staged, now, rng)?;
        let (row, mut record) = self.open(store, id, now, rng)?;
        record.slots.active = record.slots.pending.take();
        self.keep(store, id, (row, record), Happened::Committed, now, rng).map(drop)
    }

    /// Deletes a record, also one that is destroyed. One that is not there is deleted.
    pub fn delete(&self, store: &dyn AttemptStore, request: &DeleteRequest) -> Result<(), ChangeRefused> {
        let Some(row) = store.load(&request.record)? else { return Ok(()) };
        let record = Record::open(&self.secrets, &request.record, &row).ok_or(ChangeRefused::Damaged)?;
        let owner = record.slots.owner().ok_or(ChangeRefused::Unknown)?;
        self.check(&request.record, Change::Delete, owner, &request.signature)?;
        if store.delete(&request.record, &row)? { Ok(()) } else { Err(ChangeRefused::Busy) }
    }

    /// Opens a record that is not destroyed, or a new one.
    fn open(
        &self,
        store: &dyn AttemptStore,
        id: &RecordId,
        now: i64,
        rng: &mut dyn CryptoRng,
    ) -> Result<(Option<Row>, Record), ChangeRefused> {
        match self.load(store, id, now, rng)? {
            Some((_, record)) if record.columns.is_destroyed != 0 => Err(ChangeRefused::Destroyed),
            Some((row, record)) => Ok((Some(row), record)),
            None => Ok((None, Record::new())),
        }
    }

    /// Whether the owner of this key wants that.
    pub(super) fn check(
        &self,
        record: &RecordId,
        change: Change<'_>,
        owner: &[u8; 32],
        signature: &[u8; SIGNATURE_LEN],
    ) -> Result<(), ChangeRefused> {
        let statement = Statement { vault: &self.id(), record, change };
        if statement.is_signed_by(owner, signature) { Ok(()) } else { Err(ChangeRefused::Unauthorized) }
    }

    fn count_staging(&self, record: &mut Record, now: i64) -> Result<(), ChangeRefused> {
        let day = u32::try_from(now.div_euclid(SECONDS_A_DAY)).unwrap_or_default();
        let columns = &mut record.columns;
        if columns.staging_day != day {
            (columns.staging_day, columns.stagings) = (day, 0);
        }
        if columns.stagings >= self.policy.stagings_a_day {
            return Err(ChangeRefused::TooMany);
        }
        columns.stagings += 1;
        Ok(())
    }

    fn keep(
        &self,
        store: &dyn AttemptStore,
        id: &RecordId,
        (row, record): (Option<Row>, Record),
        happened: Happened,
        now: i64,
        rng: &mut dyn CryptoRng,
    ) -> Result<ChangeReply, ChangeRefused> {
        let changed = self.after(happened, id, record, now, rng);
        let (record, new, event) = changed.ok_or(ChangeRefused::Damaged)?;
        let is_kept = match row {
            Some(row) => store.replace(id, &row, &new, &event)?,
            None => store.insert(id, &new, &event)?,
        };
        if is_kept { Ok(ChangeReply { head: self.head(&record) }) } else { Err(ChangeRefused::Busy) }
    }
}
