//! Tickets (spec/vault.md §5.2): what a vault has to know again, sealed for itself and carried by its client. So any of its
//! front ends can go on where another began.

use hushkeep_core::symmetric::{BOX_OVERHEAD, open_box, seal_box};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::secrets::Secrets;
use super::{TICKET_SECONDS, slot};
use crate::message::{PAYLOAD_LEN, TICKET_LEN, arrays, erased, nested, parts};
use crate::name::{RecordId, Version};
use crate::suite::len;

const SEALED_LEN: usize = TICKET_LEN - 4;

parts! {
    /// After an evaluation for a registration.
    pub(super) struct Begun = 0x30 {
        /// The number of the record's last change then.
        seq: u64,
        version: Version,
        secret: [u8; 32],
        room: [u8; CONTENT_LEN - 1 - 8 - 16 - 32],
    }
}

parts! {
    /// After a guess.
    pub(super) struct Guessing = 0x31 {
        /// The number of the change by which it was counted.
        seq: u64,
        logins: [Login; 2],
        room: [u8; CONTENT_LEN - 1 - 8 - 2 * Login::LEN],
    }
}

parts! {
    /// A guess at one password that waits for its proof.
    pub(super) struct Login = 0x32 {
        /// 0 if there is none.
        is_there: u8,
        version: Version,
        state: [u8; len::LOGIN_STATE],
        payload: [u8; PAYLOAD_LEN],
    }
}
nested!(Login);

parts! {
    struct Plain = 0x33 {
        record: RecordId,
        issued: i64,
        content: [u8; CONTENT_LEN],
    }
}

const CONTENT_LEN: usize = SEALED_LEN - BOX_OVERHEAD - 1 - 32 - 8;

arrays!(Login: 2);
erased!(Begun, Login, Guessing, Plain);

impl Begun {
    pub(super) fn new(seq: u64, version: Version, secret: [u8; 32]) -> Self {
        Self { seq, version, secret, room: [0; CONTENT_LEN - 1 - 8 - 16 - 32] }
    }
}

impl Guessing {
    pub(super) fn new(seq: u64, logins: [Login; 2]) -> Self {
        Self { seq, logins, room: [0; CONTENT_LEN - 1 - 8 - 2 * Login::LEN] }
    }
}

impl Login {
    /// Of a password that was not guessed at.
    pub(super) fn none() -> Self {
        let version = Version::from_bytes([0; 16]);
        Self { is_there: 0, version, state: [0; len::LOGIN_STATE], payload: [0; PAYLOAD_LEN] }
    }
}

/// Seals a ticket's content for a record.
pub(super) fn issue(
    content: &[u8],
    (secrets, record): (&Secrets, &RecordId),
    now: i64,
    rng: &mut dyn CryptoRng,
) -> Option<[u8; TICKET_LEN]> {
    let epoch = secrets.newest();
    let content = <[u8; CONTENT_LEN]>::try_from(content).ok()?;
    let plain = Zeroizing::new(Plain { record: *record, issued: now, content }.encode());
    let sealed = seal_box(&secrets.ticket_key(epoch, record)?, &slot::place(&secrets.id(), record), &plain, rng);
    <[u8; TICKET_LEN]>::try_from([epoch.to_le_bytes().as_slice(), &sealed].concat()).ok()
}

/// Opens a ticket that was issued for this record, and not too long ago.
pub(super) fn open(
    ticket: &[u8; TICKET_LEN],
    (secrets, record): (&Secrets, &RecordId),
    now: i64,
) -> Option<Zeroizing<Vec<u8>>> {
    let (epoch, sealed) = ticket.split_first_chunk::<4>()?;
    let key = secrets.ticket_key(u32::from_le_bytes(*epoch), record)?;
    let plain = Plain::decode(&open_box(&key, &slot::place(&secrets.id(), record), sealed)?).ok()?;
    let is_fresh = now.abs_diff(plain.issued) <= TICKET_SECONDS.unsigned_abs();
    (plain.record == *record && is_fresh).then(|| Zeroizing::new(plain.content.to_vec()))
}
