//! Slots (spec/vault.md §9.3): the password that holds, and perhaps one beside it.

use hushkeep_core::symmetric::{BOX_OVERHEAD, open_box, seal_box};
use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

use super::secrets::RecordKeys;
use crate::message::{Staged, erased, nested, parts};
use crate::name::{RecordId, VaultId, Version};

/// The length of both slots, sealed, whatever is in them.
pub(super) const SLOTS_LEN: usize = 768;

/// What is kept of one password. There are no copies of it.
#[derive(PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) version: Version,
    /// With it the vault evaluates guesses. Once it is erased, nobody can, not even with all other keys.
    pub(super) secret: [u8; 32],
    pub(super) staged: Staged,
}

/// The slots of a record.
#[derive(Default)]
pub(super) struct Slots {
    pub(super) active: Option<Slot>,
    pub(super) pending: Option<Slot>,
}

parts! {
    struct Plain = 0x20 {
        active: EncodedSlot,
        pending: EncodedSlot,
        room: [u8; ROOM],
    }
}

parts! {
    struct EncodedSlot = 0x21 {
        /// 0 if there is none, and all else is zeros.
        is_there: u8,
        version: Version,
        secret: [u8; 32],
        staged: Staged,
    }
}

/// For what a later version of the protocol keeps.
const ROOM: usize = SLOTS_LEN - BOX_OVERHEAD - 1 - 2 * EncodedSlot::LEN;
nested!(EncodedSlot);
erased!(EncodedSlot);

impl Drop for Slot {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl Slots {
    /// The slot of a version.
    pub(super) fn of(&self, version: &Version) -> Option<&Slot> {
        self.active.iter().chain(&self.pending).find(|slot| slot.version == *version)
    }

    /// Erases the passwords, and what they lead to. Who the owner is stays: he may ask what happened.
    pub(super) fn erase(&mut self) {
        for slot in self.active.iter_mut().chain(&mut self.pending) {
            let update_key = slot.staged.update_key;
            (slot.secret, slot.staged) = ([0; 32], Staged { update_key, ..Staged::empty() });
        }
    }

    /// Whose update key may change the record: that of the password that holds, or of the first one.
    pub(super) fn owner(&self) -> Option<&[u8; 32]> {
        self.active.as_ref().or(self.pending.as_ref()).map(|slot| &slot.staged.update_key)
    }

    pub(super) fn seal(&self, keys: &RecordKeys, place: &[u8], rng: &mut dyn CryptoRng) -> [u8; SLOTS_LEN] {
        let [active, pending] = [&self.active, &self.pending].map(encode);
        let plain = Zeroizing::new(Plain { active, pending, room: [0; ROOM] }.encode());
        let mut sealed = [0; SLOTS_LEN];
        sealed.copy_from_slice(&seal_box(&keys.seal, place, &plain, rng));
        sealed
    }

    /// Opens the slots that were sealed for this place; `None` if they were not.
    pub(super) fn open(keys: &RecordKeys, place: &[u8], sealed: &[u8; SLOTS_LEN]) -> Option<Self> {
        let plain = Plain::decode(&open_box(&keys.seal, place, sealed)?).ok()?;
        Some(Self { active: decode(&plain.active), pending: decode(&plain.pending) })
    }
}

impl Slot {
    /// Names the key under which guesses at this password are evaluated (RFC 9807 §6.1, the credential identifier): no other
    /// registration has or gets it.
    pub(super) fn identifier(&self, record: &RecordId) -> Zeroizing<Vec<u8>> {
        identifier(record, &self.version, &self.secret)
    }
}

/// The same, of a password that is about to be staged.
pub(super) fn identifier(record: &RecordId, version: &Version, secret: &[u8; 32]) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(128));
    bytes.extend_from_slice(b"hushkeep vault/1 password");
    bytes.extend_from_slice(record.as_bytes());
    bytes.extend_from_slice(version.as_bytes());
    bytes.extend_from_slice(secret);
    bytes
}

/// What slots are sealed to.
pub(super) fn place(vault: &VaultId, record: &RecordId) -> Vec<u8> {
    [b"hushkeep vault/1 slots".as_slice(), vault.as_bytes(), record.as_bytes()].concat()
}

fn encode(slot: &Option<Slot>) -> EncodedSlot {
    match slot {
        Some(Slot { version, secret, staged }) => {
            EncodedSlot { is_there: 1, version: *version, secret: *secret, staged: staged.clone() }
        }
        None => {
            EncodedSlot { is_there: 0, version: Version::from_bytes([0; 16]), secret: [0; 32], staged: Staged::empty() }
        }
    }
}

fn decode(slot: &EncodedSlot) -> Option<Slot> {
    let EncodedSlot { is_there, version, secret, staged } = slot;
    (*is_there == 1).then(|| Slot { version: *version, secret: *secret, staged: staged.clone() })
}
