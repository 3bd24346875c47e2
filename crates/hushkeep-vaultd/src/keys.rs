//! The vault's keys, in a file that its owner alone can read.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use hushkeep_vault::server::{Secrets, SecretsError};
use zeroize::Zeroizing;

use crate::clock;

/// A file of keys that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// It cannot be read or made.
    #[error("{}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others than its owner can read it.
    #[error("{} can be read by others: its mode must be 0600", .0.display())]
    Mode(PathBuf),
    /// It holds something else.
    #[error("{}", .0.display())]
    Content(PathBuf, #[source] SecretsError),
}

/// Draws the keys of a new vault.
pub fn generate() -> Secrets {
    Secrets::generate(clock::now(), &mut UnwrapErr(SysRng))
}

/// Keeps the keys of a new vault. Keys that are there stay.
pub fn create(path: &Path, secrets: &Secrets) -> Result<(), KeysError> {
    write(path, secrets, |new| fs::hard_link(new, path).and_then(|()| fs::remove_file(new)))
}

/// Reads the keys.
pub fn load(path: &Path) -> Result<Secrets, KeysError> {
    let failed = |source| KeysError::File { path: path.to_owned(), source };
    if fs::metadata(path).map_err(failed)?.permissions().mode() & 0o077 != 0 {
        return Err(KeysError::Mode(path.to_owned()));
    }
    let bytes = Zeroizing::new(fs::read(path).map_err(failed)?);
    Secrets::decode(&bytes).map_err(|error| KeysError::Content(path.to_owned(), error))
}

/// Replaces the keys, and overwrites the old ones where they were. A disk that moves its blocks (an SSD) may keep them all the
/// same.
pub fn replace(path: &Path, secrets: &Secrets) -> Result<(), KeysError> {
    let failed = |source| KeysError::File { path: path.to_owned(), source };
    let mut old = OpenOptions::new().write(true).open(path).map_err(failed)?;
    let len = usize::try_from(old.metadata().map_err(failed)?.len()).unwrap_or(0);
    write(path, secrets, |new| fs::rename(new, path))?;
    old.write_all(&vec![0; len]).and_then(|()| old.sync_all()).map_err(failed)
}

/// Writes keys so that a file that is there is whole, and outlives a power cut: records are lost with it.
fn write(path: &Path, secrets: &Secrets, put: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), KeysError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let written = || {
        // What a run left that was killed.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(&secrets.encode())?;
        file.sync_all()?;
        put(&new)?;
        fs::File::open(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))?
            .sync_all()
    };
    written().map_err(|source| KeysError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_kept_for_their_owner_alone_and_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        assert!(matches!(load(&path), Err(KeysError::File { .. })));
        create(&path, &generate()).unwrap();
        let mut secrets = load(&path).unwrap();
        assert!(matches!(create(&path, &generate()), Err(KeysError::File { .. })));
        assert_eq!(*load(&path).unwrap().encode(), *secrets.encode());
        secrets.add_kek(5, &mut UnwrapErr(SysRng)).unwrap();
        fs::write(folder.path().join("keys.new"), "half of").unwrap();
        replace(&path, &secrets).unwrap();
        assert_eq!(load(&path).unwrap().keks().len(), 2);

        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(load(&path), Err(KeysError::Mode(_))));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "no keys").unwrap();
        assert!(matches!(load(&path), Err(KeysError::Content(..))));
    }
}
