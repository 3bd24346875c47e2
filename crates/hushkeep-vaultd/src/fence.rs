//! A fence: a number that only rises, kept away from the vault's machine.
//!
//! Who puts an old copy of the records back gives guesses back with it. The records have the number, too; where they are behind
//! the fence, they are older than they were, and are not served.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use hushkeep_vault::VaultId;

/// Under which name the records keep the number.
const NUMBER: &str = "fence";

/// So many of the newest numbers stay in the folder.
const KEPT: u64 = 4;

/// A fence in a folder that another machine keeps.
pub struct Fence {
    folder: PathBuf,
    /// One at a time moves it on: else two of this program would take each other for another.
    moving: Mutex<()>,
    /// How the names of this vault's numbers begin.
    prefix: String,
}

/// Records that must not be served, or a fence that cannot tell.
#[derive(Debug, thiserror::Error)]
pub enum FenceError {
    /// The folder cannot be read or written: it may not be mounted.
    #[error("cannot use the fence {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The records are older than they were.
    #[error(
        "the records are older than they were: they are at {records}, and the fence at {fence}. if you put a copy back, do it \
         again with \"restore --fence\""
    )]
    Behind {
        /// The number that the records have.
        records: u64,
        /// The number of the fence.
        fence: u64,
    },
    /// The fence has no number of this vault, but the records have one.
    #[error("the fence {} has no number of this vault, but its records have: it may not be mounted. to move a fence, move its \
         files; if they are gone, \"backup\" the records and \"restore --fence\" them to a new one", .0.display())]
    Lost(PathBuf),
    /// Somebody else has moved the fence on at this moment.
    #[error("another vault with the same keys moves the fence {} on: it is served twice", .0.display())]
    Shared(PathBuf),
    /// The records' own number cannot be read or kept.
    #[error(transparent)]
    Records(#[from] hushkeep_vault::server::StoreError),
}

/// Where the records keep their number.
pub trait Numbered {
    /// What is kept under a name.
    fn number(&self, name: &str) -> Result<u64, hushkeep_vault::server::StoreError>;

    /// Keeps it, durably.
    fn set_number(&self, name: &str, number: u64) -> Result<(), hushkeep_vault::server::StoreError>;
}

impl Fence {
    /// The fence of a vault in a folder, which must be there: one that is made where a disk is not mounted would know nothing.
    pub fn open(folder: &Path, vault: &VaultId) -> Result<Self, FenceError> {
        let prefix = format!("hushkeep-fence-{vault}-");
        let fence = Self { folder: folder.to_owned(), moving: Mutex::default(), prefix };
        fence.newest()?;
        Ok(fence)
    }

    /// Lets records pass that are not behind, and moves both on.
    pub fn pass(&self, records: &dyn Numbered) -> Result<(), FenceError> {
        let _moving = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
        let (number, fence) = (records.number(NUMBER)?, self.newest()?);
        match (number, fence) {
            (1.., 0) => Err(FenceError::Lost(self.folder.clone())),
            _ if number < fence => Err(FenceError::Behind { records: number, fence }),
            _ => self.move_on(records),
        }
    }

    /// Moves records and fence on, wherever the records are: for whoever has put them back.
    pub fn advance(&self, records: &dyn Numbered) -> Result<(), FenceError> {
        let _moving = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
        self.move_on(records)
    }

    /// The records first: if this is broken off, they are ahead, and no harm is done.
    fn move_on(&self, records: &dyn Numbered) -> Result<(), FenceError> {
        let next = records.number(NUMBER)?.max(self.newest()?).saturating_add(1);
        records.set_number(NUMBER, next)?;
        self.put(next).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => FenceError::Shared(self.folder.clone()),
            _ => self.failed(source),
        })
    }

    /// Whether an error means that the records must not be served, and not only that the fence could not be reached.
    pub fn forbids(error: &FenceError) -> bool {
        matches!(error, FenceError::Behind { .. } | FenceError::Lost(_) | FenceError::Shared(_))
    }

    /// The number of the fence; 0 if it never was used.
    pub fn newest(&self) -> Result<u64, FenceError> {
        let numbers = self.numbers().map_err(|source| self.failed(source))?;
        Ok(numbers.into_iter().max().unwrap_or_default())
    }

    fn numbers(&self) -> io::Result<Vec<u64>> {
        let names = fs::read_dir(&self.folder)?.map(|entry| Ok(entry?.file_name()));
        let names = names.collect::<io::Result<Vec<_>>>()?;
        let number =
            |name: &std::ffi::OsString| u64::from_str_radix(name.to_str()?.strip_prefix(&self.prefix)?, 16).ok();
        Ok(names.iter().filter_map(number).collect())
    }

    fn put(&self, number: u64) -> io::Result<()> {
        OpenOptions::new().write(true).create_new(true).open(self.name(number))?.sync_all()?;
        File::open(&self.folder)?.sync_all()?;
        for old in self.numbers()?.into_iter().filter(|old| old.saturating_add(KEPT) <= number) {
            // What cannot be removed is in nobody's way.
            let _ = fs::remove_file(self.name(old));
        }
        Ok(())
    }

    fn name(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{}{number:016x}", self.prefix))
    }

    fn failed(&self, source: io::Error) -> FenceError {
        FenceError::Folder { path: self.folder.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use hushkeep_vault::server::StoreError;

    use super::*;

    struct Records(Cell<u64>);

    impl Numbered for Records {
        fn number(&self, _: &str) -> Result<u64, StoreError> {
            Ok(self.0.get())
        }

        fn set_number(&self, _: &str, number: u64) -> Result<(), StoreError> {
            self.0.set(number);
            Ok(())
        }
    }

    #[test]
    fn older_records_do_not_pass() {
        let folder = tempfile::tempdir().unwrap();
        let fence = Fence::open(folder.path(), &VaultId::from_bytes([1; 32])).unwrap();
        let records = Records(Cell::new(0));
        for _ in 0..10 {
            fence.pass(&records).unwrap();
        }
        let old = records.0.get();
        fence.advance(&records).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count() as u64, KEPT);
        records.0.set(old);
        assert!(matches!(fence.pass(&records), Err(FenceError::Behind { records, fence }) if records + 1 == fence));
        // Ahead of the fence, as when the last number did not get there.
        records.0.set(old + 5);
        fence.pass(&records).unwrap();
        let other = Fence::open(folder.path(), &VaultId::from_bytes([2; 32])).unwrap();
        assert_eq!((fence.newest().unwrap(), other.newest().unwrap()), (old + 6, 0));
        assert!(matches!(other.pass(&records), Err(FenceError::Lost(_))));
    }

    #[test]
    fn a_fence_that_is_not_there_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let missing = Fence::open(&folder.path().join("unmounted"), &VaultId::from_bytes([1; 32]));
        assert!(matches!(missing, Err(FenceError::Folder { .. })));
    }
}
