//! Copies of the records, and putting one back.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use hushkeep_vault::VaultId;
use hushkeep_vault::server::{Policy, StoreError, Vault};

use crate::fence::{Fence, FenceError};
use crate::folder::{FolderError, VaultFolder, check_user, keys_file, records_file};
use crate::keys;
use crate::store::{RecordsError, SqliteStore};

/// A copy that was not made, or not put back.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A file cannot be read or written.
    #[error("{}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The vault cannot be opened.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The copy is none of this vault's.
    #[error(transparent)]
    Copy(#[from] RecordsError),
    /// The copy is damaged.
    #[error("the copy is damaged: {0}")]
    Damaged(String),
    /// The vault does not have the keys of all that is in the copy.
    #[error(
        "{0} of {1} records in the copy are under a key that is not in vault-keys: the copy is from before the last \
         rekey, or vault-keys is"
    )]
    Sealed(u64, u64),
    /// The vault has records that are newer than the copy.
    #[error(
        "the vault has records, and their last change is {0} s after that of the copy. if they are to be lost, give \
         --replace-newer"
    )]
    Newer(i64),
    /// Somebody reads the records.
    #[error("the records are being read, as by doctor or backup: run this again when that has ended")]
    InUse,
    /// Records cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The fence cannot be moved on.
    #[error(transparent)]
    Fence(#[from] FenceError),
}

/// Copies the records of a vault, which may be being served, to a new file. It opens with the vault's keys alone, which are not
/// in it.
pub fn backup(folder: &Path, to: &Path) -> Result<u64, CopyError> {
    let failed = |source| CopyError::File { path: to.to_owned(), source };
    check_user(folder)?;
    let vault = vault_id(folder)?;
    let records = SqliteStore::open(&records_file(folder), &vault)?;
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = to.with_file_name(name);
    // What a run left that was killed.
    remove_with_log(&new)?;
    let copied = copy_to_new(&records, &vault, &new);
    if copied.is_err() {
        // What is not whole must not pass for a copy.
        let _ = remove_with_log(&new);
    }
    let count = copied?;
    let placed = place(&new, to);
    remove(&new)?;
    placed.and_then(|()| sync_folder_of(to)).map_err(failed)?;
    Ok(count)
}

/// Gives a file its name, which replaces nothing that is there.
fn place(new: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(new, to) {
        // Sticks and shares may have no links; there, a rename must do.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => match to.try_exists()? {
            true => Err(io::ErrorKind::AlreadyExists.into()),
            false => fs::rename(new, to),
        },
        linked => linked,
    }
}

fn copy_to_new(records: &SqliteStore, vault: &VaultId, new: &Path) -> Result<u64, CopyError> {
    let failed = |source| CopyError::File { path: new.to_owned(), source };
    // SQLite writes into an empty file, which others cannot read from the beginning.
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(new).map_err(failed)?;
    records.copy_to(new)?;
    let count = SqliteStore::open(new, vault)?.count()?;
    File::open(new).and_then(|file| file.sync_all()).map_err(failed)?;
    remove_logs(new)?;
    Ok(count)
}

/// Puts a copy in the place of the records of a vault, which is not being served. Guesses that were counted since the copy was
/// made are forgotten: clients will tell their owners that the vault went back. The fence is moved on, for this is meant.
///
/// Records that are there, open, and are newer than the copy are replaced only if `replaces_newer`.
pub fn restore(
    folder: &VaultFolder,
    from: &Path,
    fence: Option<&Path>,
    replaces_newer: bool,
) -> Result<u64, CopyError> {
    let vault = Vault::new(folder.keys()?, Policy::DEFAULT).map_err(FolderError::from)?;
    let place = folder.records_file();
    let new = place.with_extension("new");
    let failed = |source| CopyError::File { path: new.clone(), source };
    // What a run left that was killed.
    remove_with_log(&new)?;
    let mut source = File::open(from).map_err(|source| CopyError::File { path: from.to_owned(), source })?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).map_err(failed)?;
    io::copy(&mut source, &mut file).and_then(|_| file.sync_all()).map_err(failed)?;
    let records = SqliteStore::open(&new, &vault.id())?;
    if let Some(damage) = records.damage()?.into_iter().next() {
        return Err(CopyError::Damaged(damage));
    }
    let (count, unopened) = (records.count()?, records.unopened(&vault)?);
    if unopened.another_key > 0 {
        return Err(CopyError::Sealed(unopened.another_key, count));
    }
    if unopened.damaged > 0 {
        tracing::warn!(damaged = unopened.damaged, "records in the copy are damaged; all others are put back");
    }
    let there = records_there(folder, &vault)?;
    if let Some(there) = there.as_ref().filter(|_| !replaces_newer) {
        check_newest(there, &records)?;
    }
    if let Some(fence) = fence {
        Fence::open(fence, &vault.id())?.advance(&records)?;
    }
    if !records.tidy()? {
        return Err(CopyError::InUse);
    }
    drop(records);
    // What the records before have in their log goes into their file: if this is broken off here, they are whole.
    if there.is_some_and(|there| matches!(there.tidy(), Ok(false))) {
        return Err(CopyError::InUse);
    }
    // Its own log is in the file by now; theirs must not be taken for it.
    remove_logs(&new)?;
    remove_logs(&place)?;
    fs::rename(&new, &place).map_err(failed)?;
    sync_folder_of(&place).map_err(failed)?;
    Ok(count)
}

/// The records that are there; `None` if there are none, or damaged ones: they are what a copy is for. Those of another vault,
/// or of a newer version, are nothing that a copy takes the place of.
fn records_there(folder: &VaultFolder, vault: &Vault) -> Result<Option<SqliteStore>, CopyError> {
    match SqliteStore::open(&folder.records_file(), &vault.id()) {
        Ok(there) => Ok(Some(there)),
        Err(error @ (RecordsError::AnotherVault(_) | RecordsError::Newer(..))) => Err(error.into()),
        Err(_) => Ok(None),
    }
}

/// Refuses to put a copy in the place of newer records.
fn check_newest(there: &SqliteStore, copy: &SqliteStore) -> Result<(), CopyError> {
    let newest = |records: &SqliteStore| Ok::<_, StoreError>(records.newest_event()?.unwrap_or(i64::MIN));
    // Records that cannot be read are what a copy is for.
    let Ok(there) = newest(there) else { return Ok(()) };
    match there.saturating_sub(newest(copy)?) {
        later @ 1.. => Err(CopyError::Newer(later)),
        _ => Ok(()),
    }
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

fn vault_id(folder: &Path) -> Result<VaultId, CopyError> {
    let secrets = keys::load(&keys_file(folder)).map_err(FolderError::from)?;
    Ok(Vault::new(secrets, Policy::DEFAULT).map_err(FolderError::from)?.id())
}

fn remove_with_log(path: &Path) -> Result<(), CopyError> {
    remove_logs(path)?;
    remove(path)
}

fn remove_logs(path: &Path) -> Result<(), CopyError> {
    ["-wal", "-shm"].iter().try_for_each(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        remove(Path::new(&name))
    })
}

fn remove(path: &Path) -> Result<(), CopyError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(CopyError::File { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}
