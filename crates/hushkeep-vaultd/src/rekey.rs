//! Rekeying: every record is sealed under a new key, and the old one is destroyed. Copies of the records from before open no
//! more.

use std::thread;

use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use hushkeep_vault::RecordId;
use hushkeep_vault::server::{AttemptStore as _, Policy, ResealError, Vault};

use crate::clock;
use crate::folder::{FolderError, VaultFolder};
use crate::store::{PAGE, SqliteStore};

/// So many records are sealed at the same time: they go to the disk together.
const AT_ONCE: usize = 32;

/// The old keys still are there, and so are the new ones. The same again goes on.
#[derive(Debug, thiserror::Error)]
pub enum RekeyError {
    /// The vault cannot be opened, or its keys not be written.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Somebody reads the records: what the older keys open stays in their log until that ends.
    #[error("the records are being read, as by doctor or backup: run the rekey again when that has ended")]
    InUse,
    /// A record cannot be sealed.
    #[error(transparent)]
    Reseal(#[from] ResealError),
}

/// What a rekey did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rekeyed {
    /// So many records were sealed.
    pub sealed: u64,
    /// So many were damaged, and deleted.
    pub damaged: u64,
}

/// Seals all records of a vault, which is not being served, under a new key, and destroys the older ones. Records that are
/// damaged stop it, unless they are `given_up`: those are deleted. (A copy from before could mend them, under the older keys.)
pub fn rekey(folder: &VaultFolder, given_up: bool) -> Result<Rekeyed, RekeyError> {
    let mut secrets = folder.keys()?;
    // Two keys are left of a run that was broken off: it is gone on with.
    if secrets.keks().len() < 2 {
        secrets.add_kek(clock::now(), &mut UnwrapErr(SysRng)).map_err(FolderError::from)?;
        folder.set_keys(&secrets)?;
    }
    let vault = Vault::new(folder.keys()?, Policy::DEFAULT).map_err(FolderError::from)?;
    let records = folder.records(&vault)?;
    let mut rekeyed = Rekeyed::default();
    // Until none is left: without the older key, one that was overlooked would be lost.
    loop {
        let pass = reseal_all(&vault, &records, given_up)?;
        rekeyed = Rekeyed { sealed: rekeyed.sealed + pass.sealed, damaged: rekeyed.damaged + pass.damaged };
        if pass.sealed == 0 {
            break;
        }
    }
    // What the old key opens is overwritten in the log, too, before that key goes.
    if !records.tidy().map_err(ResealError::from)? {
        return Err(RekeyError::InUse);
    }
    secrets.drop_older_keks();
    folder.set_keys(&secrets)?;
    Ok(rekeyed)
}

/// Goes through all records once.
fn reseal_all(vault: &Vault, records: &SqliteStore, given_up: bool) -> Result<Rekeyed, ResealError> {
    let (mut rekeyed, mut last) = (Rekeyed::default(), 0);
    loop {
        let page = records.records_after(last, PAGE)?;
        let Some((newest, _)) = page.last() else { return Ok(rekeyed) };
        last = *newest;
        let ids: Vec<RecordId> = page.into_iter().map(|(_, id)| id).collect();
        let page = reseal(vault, records, &ids, given_up)?;
        rekeyed = Rekeyed { sealed: rekeyed.sealed + page.sealed, damaged: rekeyed.damaged + page.damaged };
    }
}

fn reseal(vault: &Vault, records: &SqliteStore, ids: &[RecordId], given_up: bool) -> Result<Rekeyed, ResealError> {
    let share = ids.len().div_ceil(AT_ONCE).max(1);
    thread::scope(|scope| {
        let all: Vec<_> =
            ids.chunks(share).map(|ids| scope.spawn(move || reseal_each(vault, records, ids, given_up))).collect();
        let mut rekeyed = Rekeyed::default();
        for thread in all {
            let one = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            rekeyed = Rekeyed { sealed: rekeyed.sealed + one.sealed, damaged: rekeyed.damaged + one.damaged };
        }
        Ok(rekeyed)
    })
}

fn reseal_each(vault: &Vault, records: &SqliteStore, ids: &[RecordId], given_up: bool) -> Result<Rekeyed, ResealError> {
    let mut rekeyed = Rekeyed::default();
    for id in ids {
        match vault.reseal(records, id, clock::now(), &mut UnwrapErr(SysRng)) {
            Err(ResealError::Damaged(_)) if given_up => {
                // Without the older key nothing would tell it from a record of before the rekey, and no copy with it be taken.
                if let Some(row) = records.load(id)? {
                    records.delete(id, &row)?;
                }
                rekeyed.damaged += 1;
            }
            sealed => rekeyed.sealed += u64::from(sealed?),
        }
    }
    Ok(rekeyed)
}
