//! A record, and the row that it is kept in (spec/vault.md §9.2).

use hushkeep_core::symmetric::{ct_eq, hmac_sha256};
use rand_core::CryptoRng;

use super::secrets::Secrets;
use super::slot::{self, SLOTS_LEN, Slots};
use super::store::Row;
use crate::message::{Event, Head, parts};
use crate::name::{RecordId, Version};

/// What a vault keeps of one owner.
pub(super) struct Record {
    /// The number of its last change.
    pub(super) seq: u64,
    pub(super) columns: Columns,
    pub(super) slots: Slots,
}

parts! {
    /// What every guess changes.
    pub(super) struct Columns = 0x22 {
        /// 1 if no guess is answered any more.
        is_destroyed: u8,
        /// Guesses since the last right one.
        used: u8,
        /// Wrong guesses at the password that holds.
        failures: u8,
        /// How many passwords were staged on the day that follows, counted from 1970-01-01.
        stagings: u8,
        staging_day: u32,
        /// The next guess is not answered earlier, in seconds.
        not_before: i64,
        /// The last guess: when, the number of that change, and its hash.
        guessed_at: i64,
        guessed_seq: u64,
        guessed: [u8; 32],
        /// The end of the chain of events.
        chain: [u8; 32],
    }
}

parts! {
    pub(super) struct Sealed = 0x23 {
        kek: u32,
        columns: Columns,
        slots: [u8; SLOTS_LEN],
        /// Over all of the above, the record's id and the number of its last change: who writes to the store cannot give
        /// guesses back.
        mac: [u8; 32],
    }
}
crate::message::nested!(Columns);

/// What may have happened to a record (spec/vault.md §8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Happened {
    Staged = 1,
    Committed = 2,
    Guessed = 3,
    Reset = 4,
    Destroyed = 5,
}

impl Record {
    /// A record that nothing has happened to.
    pub(super) fn new() -> Self {
        let columns = Columns {
            is_destroyed: 0,
            used: 0,
            failures: 0,
            stagings: 0,
            staging_day: 0,
            not_before: 0,
            guessed_at: 0,
            guessed_seq: 0,
            guessed: [0; 32],
            chain: [0; 32],
        };
        Self { seq: 0, columns, slots: Slots::default() }
    }

    /// Opens a row; `None` if anything in it is not as it was written.
    pub(super) fn open(secrets: &Secrets, id: &RecordId, row: &Row) -> Option<Self> {
        let sealed = Sealed::decode(&row.bytes).ok()?;
        let keys = secrets.record_keys(sealed.kek, id)?;
        if !ct_eq(&sealed.mac, &mac(keys.mac.expose(), id, row.seq, &sealed)) {
            return None;
        }
        let slots = Slots::open(&keys, &slot::place(&secrets.id(), id), &sealed.slots)?;
        Some(Self { seq: row.seq, columns: sealed.columns, slots })
    }

    /// The record after a change, and the event to keep with it.
    pub(super) fn after(mut self, happened: Happened, now: i64) -> (Self, Event) {
        self.seq += 1;
        let event = Event { seq: self.seq, time: now, kind: happened as u8 };
        self.columns.chain = event.chained(&self.columns.chain);
        (self, event)
    }

    /// As it is kept, under the newest key.
    pub(super) fn seal(&self, (secrets, id): (&Secrets, &RecordId), rng: &mut dyn CryptoRng) -> Option<Vec<u8>> {
        let kek = secrets.newest();
        let keys = secrets.record_keys(kek, id)?;
        let slots = self.slots.seal(&keys, &slot::place(&secrets.id(), id), rng);
        let mut sealed = Sealed { kek, columns: self.columns.clone(), slots, mac: [0; 32] };
        sealed.mac = mac(keys.mac.expose(), id, self.seq, &sealed);
        Some(sealed.encode())
    }

    /// Under which key a row is sealed; `None` if it is none.
    pub(super) fn kek_of(row: &Row) -> Option<u32> {
        Sealed::decode(&row.bytes).ok().map(|sealed| sealed.kek)
    }

    pub(super) fn head(&self, left: u8) -> Head {
        let version =
            |slot: &Option<slot::Slot>| slot.as_ref().map_or(Version::from_bytes([0; 16]), |slot| slot.version);
        Head {
            seq: self.seq,
            active: version(&self.slots.active),
            pending: version(&self.slots.pending),
            left,
            chain: self.columns.chain,
        }
    }
}

fn mac(key: &[u8; 32], id: &RecordId, seq: u64, sealed: &Sealed) -> [u8; 32] {
    let encoded = sealed.encode();
    let (all_but_mac, _) = encoded.split_at(Sealed::LEN - 32);
    hmac_sha256(key, &[b"hushkeep vault/1 row", id.as_bytes(), &seq.to_le_bytes(), all_but_mac])
}
