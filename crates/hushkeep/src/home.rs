//! What this device remembers, outside of any repository.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hushkeep_core::keys::BackupKey;
use hushkeep_core::name::RepositoryId;
use hushkeep_core::recovery::{Parsed, RecoveryKey};
use hushkeep_repo::State;
use hushkeep_repo::state::{StateError, StateKey};
use hushkeep_vault::RecordId;
use hushkeep_vault::client::Seen;
use zeroize::Zeroizing;

use crate::folder_cache::FolderCache;
use crate::off::Deleting;
use crate::place::Place;
use crate::private_file;

/// How many keys of unfinished rotations are kept.
const MAX_NEXT_KEYS: usize = 16;

/// The folder with what this device remembers of each repository: `<repository id>/` with
///
/// * `key`: the backup key, written like a recovery key, if it is kept on this device;
/// * `key.next`: keys that rotations may have put in its place, as long as this device does not know: one a line, the
///   newest first;
/// * `places`: where the repository was found, each ended by a zero byte;
/// * `vault-<record id>`: where a vault's record was when this device last looked;
/// * `deleting`: that the backups are being deleted, and how far that got;
/// * `tips`, `journal`, `published`, `bad-packs`, `device`: the engine's state, see [`StateKey`].
///
/// Files are for this user alone (0600, folders 0700), and always whole. A run that is killed may leave a temporary file
/// `.hushkeep-…` with what it was about to write: the first run that writes there an hour later removes it.
#[derive(Debug, Clone)]
pub struct Home {
    state: PathBuf,
    /// What is kept of storages, a folder for each repository; `None` to keep nothing.
    cache: Option<PathBuf>,
}

/// This device's own memory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HomeError {
    /// Neither `HUSHKEEP_HOME` nor a home folder is set.
    #[error("this user has no home folder")]
    NoHome,
    /// A file or folder that cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that cannot be written.
    #[error("{} cannot be written", path.display())]
    Write {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The key kept on this device is not whole: its check groups do not fit.
    #[error("the key in {} is damaged", path.display())]
    KeyDamaged {
        /// The file.
        path: PathBuf,
    },
    /// What this device remembers of a password's record at its vault is not whole.
    #[error("what this device remembers of a vault, in {}, is damaged", path.display())]
    VaultDamaged {
        /// The file.
        path: PathBuf,
    },
}

impl Home {
    /// The home of this user: below `HUSHKEEP_HOME` if that is set, else `hushkeep` in the user's folders for
    /// state and caches (`XDG_STATE_HOME`, `~/.local/state`; `XDG_CACHE_HOME`, `~/.cache`; on Windows `LOCALAPPDATA`).
    pub fn from_environment() -> Result<Self, HomeError> {
        let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(home) = set("HUSHKEEP_HOME") {
            return Ok(Self::at(&std::path::absolute(&home).unwrap_or(home)));
        }
        let user_folder = |variable, default| {
            // A relative path is to be ignored (XDG Base Directory Specification).
            let xdg = set(variable).filter(|path| path.is_absolute());
            let windows = || if cfg!(windows) { set("LOCALAPPDATA") } else { None };
            let unix = || env::home_dir().filter(|home| home.is_absolute()).map(|home| home.join(default));
            xdg.or_else(windows).or_else(unix)
        };
        let state = user_folder("XDG_STATE_HOME", ".local/state").ok_or(HomeError::NoHome)?.join("hushkeep");
        let cache = user_folder("XDG_CACHE_HOME", ".cache");
        Ok(Self { state, cache: cache.map(|folder| folder.join("hushkeep").join("cache")) })
    }

    /// A home of its own: every folder with another root is another device.
    pub fn at(root: &Path) -> Self {
        Self { state: root.join("state"), cache: Some(root.join("cache")) }
    }

    /// The same home, but everything is read from the storage itself: for whoever wants to know that it is there.
    pub fn without_cache(self) -> Self {
        Self { cache: None, ..self }
    }

    /// What this device keeps of a repository's storage.
    pub fn cache(&self, repository: &RepositoryId) -> Option<FolderCache> {
        let folder = self.cache.as_ref()?.join(repository.to_string());
        Some(FolderCache::new(folder))
    }

    /// Where the caches are. The folder need not exist.
    pub fn cache_folder(&self) -> Option<&Path> {
        self.cache.as_deref()
    }

    /// Where the state is. The folder need not exist.
    pub fn state_folder(&self) -> &Path {
        &self.state
    }

    /// What is remembered of one repository.
    pub fn device(&self, repository: &RepositoryId) -> DeviceState {
        DeviceState { folder: self.state.join(repository.to_string()) }
    }

    /// The repository that was last found at a place, if this device knows the place.
    pub fn known(&self, place: &Place) -> Result<Option<RepositoryId>, HomeError> {
        let names = place.names();
        for id in self.repositories()? {
            if self.device(&id).places()?.iter().any(|known| names.contains(known)) {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// Notes that a repository is at a place, and no other.
    pub(crate) fn remember(&self, place: &Place, repository: &RepositoryId) -> Result<(), HomeError> {
        let names = place.names();
        for other in self.repositories()?.into_iter().filter(|id| id != repository) {
            let device = self.device(&other);
            let mut places = device.places()?;
            if places.iter().any(|known| names.contains(known)) {
                places.retain(|known| !names.contains(known));
                device.set_places(&places)?;
            }
        }
        let device = self.device(repository);
        let mut places = device.places()?;
        if names.iter().any(|name| !places.contains(name)) {
            places.retain(|known| !names.contains(known));
            places.extend(names);
            device.set_places(&places)?;
        }
        Ok(())
    }

    fn repositories(&self) -> Result<Vec<RepositoryId>, HomeError> {
        let failed = |source| HomeError::Read { path: self.state.clone(), source };
        let entries = match fs::read_dir(&self.state) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let names = entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>().map_err(failed)?;
        Ok(names.iter().filter_map(|name| name.to_str()?.parse().ok()).collect())
    }
}

/// What this device remembers of one repository.
#[derive(Debug, Clone)]
pub struct DeviceState {
    folder: PathBuf,
}

impl DeviceState {
    /// The backup key, if it is kept on this device.
    pub fn key(&self) -> Result<Option<BackupKey>, HomeError> {
        let path = self.key_file();
        let Some(bytes) = self.read(&path)?.map(Zeroizing::new) else { return Ok(None) };
        let key = str::from_utf8(&bytes).ok().and_then(whole_key);
        key.map(Some).ok_or(HomeError::KeyDamaged { path })
    }

    /// Keeps the backup key on this device.
    pub fn keep_key(&self, key: &BackupKey) -> Result<(), HomeError> {
        self.write(&self.key_file(), &key_file_contents(key))
    }

    /// The file that the backup key is kept in.
    pub fn key_file(&self) -> PathBuf {
        self.folder.join("key")
    }

    /// The keys of rotations of which this device does not know whether they went through, the newest first.
    pub(crate) fn next_keys(&self) -> Result<Vec<BackupKey>, HomeError> {
        let path = self.next_key_file();
        let Some(bytes) = self.read(&path)?.map(Zeroizing::new) else { return Ok(Vec::new()) };
        let keys = str::from_utf8(&bytes).ok().and_then(|text| text.lines().map(whole_key).collect());
        keys.ok_or(HomeError::KeyDamaged { path })
    }

    /// Keeps the key of a rotation that is about to begin, beside the one that holds.
    pub(crate) fn keep_next_key(&self, key: &BackupKey) -> Result<(), HomeError> {
        let earlier = match self.next_keys() {
            // What cannot be read opens nothing.
            Err(HomeError::KeyDamaged { .. }) => Vec::new(),
            earlier => earlier?,
        };
        let keys: Vec<&BackupKey> = [key].into_iter().chain(&earlier).take(MAX_NEXT_KEYS).collect();
        self.set_next_keys(&keys)
    }

    /// Makes the key of a rotation that went through this device's key.
    pub(crate) fn adopt_next_key(&self, key: &BackupKey) -> Result<(), HomeError> {
        self.keep_key(key)?;
        self.set_next_keys(&[])
    }

    /// Forgets the key of a rotation that surely did not go through.
    pub(crate) fn drop_next_key(&self, key: &BackupKey) -> Result<(), HomeError> {
        let keys = self.next_keys()?;
        let others: Vec<&BackupKey> = keys.iter().filter(|other| !other.ct_eq(key)).collect();
        self.set_next_keys(&others)
    }

    pub(crate) fn set_next_keys(&self, keys: &[&BackupKey]) -> Result<(), HomeError> {
        let path = self.next_key_file();
        if keys.is_empty() {
            return self.remove(&path);
        }
        let lines: Vec<_> = keys.iter().map(|key| RecoveryKey::from_backup_key(key).to_text()).collect();
        let mut text = Zeroizing::new(Vec::with_capacity(lines.iter().map(|line| line.len() + 1).sum()));
        lines.iter().for_each(|line| text.extend(line.bytes().chain([b'\n'])));
        self.write(&path, &text)
    }

    fn next_key_file(&self) -> PathBuf {
        self.folder.join("key.next")
    }

    /// Where this device last saw a record of a vault.
    pub(crate) fn seen_at_vault(&self, record: &RecordId) -> Result<Option<Seen>, HomeError> {
        let path = self.vault_file(record);
        let Some(bytes) = self.read(&path)? else { return Ok(None) };
        Seen::decode(&bytes).map(Some).map_err(|_| HomeError::VaultDamaged { path })
    }

    /// Remembers it.
    pub(crate) fn set_seen_at_vault(&self, record: &RecordId, seen: &Seen) -> Result<(), HomeError> {
        self.write(&self.vault_file(record), &seen.encode())
    }

    /// Has the record looked at soon: nothing is known of when it was last.
    pub(crate) fn look_soon_at_vault(&self, record: &RecordId) -> Result<(), HomeError> {
        self.set_looked_at_vault(record, SystemTime::UNIX_EPOCH)
    }

    /// Notes when a record was looked at, of which something is remembered.
    pub(crate) fn set_looked_at_vault(&self, record: &RecordId, when: SystemTime) -> Result<(), HomeError> {
        let path = self.vault_file(record);
        let set = fs::File::options().write(true).open(&path).and_then(|file| file.set_modified(when));
        match set {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(HomeError::Write { path, source }),
            _ => Ok(()),
        }
    }

    /// When that was last written.
    pub(crate) fn looked_at_vault(&self, record: &RecordId) -> Option<SystemTime> {
        fs::metadata(self.vault_file(record)).and_then(|found| found.modified()).ok()
    }

    fn vault_file(&self, record: &RecordId) -> PathBuf {
        self.folder.join(format!("vault-{record}"))
    }

    /// Forgets what this device has seen of the history: what is shown next is taken as it is.
    pub(crate) fn forget_tips(&self) -> Result<(), HomeError> {
        self.remove(&self.folder.join(StateKey::Tips.name()))
    }

    /// Notes that the backups are being deleted.
    pub(crate) fn set_deleting(&self, deleting: Deleting) -> Result<(), HomeError> {
        self.write(
            &self.deleting_file(),
            if deleting == Deleting::AllButConfigs { b"all but configs" } else { b"some" },
        )
    }

    pub(crate) fn deleting(&self) -> Deleting {
        match fs::read(self.deleting_file()) {
            Ok(said) if said == b"all but configs" => Deleting::AllButConfigs,
            Ok(_) => Deleting::Some,
            Err(_) => Deleting::No,
        }
    }

    fn deleting_file(&self) -> PathBuf {
        self.folder.join("deleting")
    }

    /// Removes everything that is remembered of a repository.
    pub(crate) fn forget(&self) -> Result<(), HomeError> {
        match fs::remove_dir_all(&self.folder) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(HomeError::Write { path: self.folder.clone(), source })
            }
            _ => Ok(()),
        }
    }

    fn places(&self) -> Result<Vec<String>, HomeError> {
        let path = self.folder.join("places");
        let Some(bytes) = self.read(&path)? else { return Ok(Vec::new()) };
        if bytes.last() != Some(&0) {
            // Emptied or cut: then this device would no longer know a place, and make a new repository there.
            return Err(HomeError::Read { path, source: io::ErrorKind::InvalidData.into() });
        }
        let places = bytes.split(|byte| *byte == 0).filter(|place| !place.is_empty());
        Ok(places.map(|place| String::from_utf8_lossy(place).into_owned()).collect())
    }

    fn set_places(&self, places: &[String]) -> Result<(), HomeError> {
        let bytes: Vec<u8> = places.iter().flat_map(|place| place.bytes().chain([0])).collect();
        self.write(&self.folder.join("places"), if bytes.is_empty() { &[0] } else { &bytes })
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, HomeError> {
        private_file::read(path).map_err(|source| HomeError::Read { path: path.to_owned(), source })
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), HomeError> {
        private_file::replace(path, bytes).map_err(|source| HomeError::Write { path: path.to_owned(), source })
    }

    fn remove(&self, path: &Path) -> Result<(), HomeError> {
        private_file::remove(path).map_err(|source| HomeError::Write { path: path.to_owned(), source })
    }
}

/// A backup key from the text of its recovery key. One that changes by itself is not to be trusted, nor repaired.
fn whole_key(text: &str) -> Option<BackupKey> {
    match RecoveryKey::parse(text) {
        Ok(Parsed::Exact(key)) => Some(key),
        _ => None,
    }
}

/// A backup key as a text file: the recovery key in three lines.
pub(crate) fn key_file_contents(key: &BackupKey) -> Zeroizing<Vec<u8>> {
    let text = RecoveryKey::from_backup_key(key).to_lines();
    Zeroizing::new([text.as_bytes(), b"\n"].concat())
}

impl State for DeviceState {
    fn load(&self, key: StateKey) -> Result<Option<Vec<u8>>, StateError> {
        let failed = |source: HomeError| StateError { entry: key.name(), action: "read", source: source.into() };
        self.read(&self.folder.join(key.name())).map_err(failed)
    }

    fn store(&self, key: StateKey, value: &[u8]) -> Result<(), StateError> {
        let failed = |source: HomeError| StateError { entry: key.name(), action: "written", source: source.into() };
        self.write(&self.folder.join(key.name()), value).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> RepositoryId {
        RepositoryId::from_bytes([byte; 16])
    }

    fn place(path: &Path) -> Place {
        path.to_str().unwrap().parse().unwrap()
    }

    /// To forget it would take a vault that went back for one that did not.
    #[test]
    fn a_damaged_memory_of_a_vault_is_noticed_until_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let device = Home::at(folder.path()).device(&id(1));
        let record = RecordId::from_bytes([3; 32]);
        assert!(device.seen_at_vault(&record).unwrap().is_none());
        device.write(&device.vault_file(&record), b"half of").unwrap();
        assert!(matches!(device.seen_at_vault(&record), Err(HomeError::VaultDamaged { .. })));
        fs::remove_file(device.vault_file(&record)).unwrap();
        assert!(device.seen_at_vault(&record).unwrap().is_none());
    }

    #[test]
    fn the_key_comes_back_and_a_damaged_one_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let device = Home::at(folder.path()).device(&id(1));
        assert!(device.key().unwrap().is_none());

        let key = BackupKey::generate(&mut crate::random());
        device.keep_key(&key).unwrap();
        assert!(device.key().unwrap().unwrap().ct_eq(&key));

        // One wrong group could be repaired, but a key file that changes by itself is not to be trusted.
        let mut text = fs::read(device.key_file()).unwrap();
        text[0] = if text[0] == b'0' { b'1' } else { b'0' };
        fs::write(device.key_file(), text).unwrap();
        assert!(matches!(device.key(), Err(HomeError::KeyDamaged { .. })));
    }

    #[test]
    fn a_place_is_known_until_another_repository_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(&folder.path().join("home"));
        let (disk, other) = (place(&folder.path().join("disk")), place(&folder.path().join("other")));
        assert_eq!(home.known(&disk).unwrap(), None);

        home.remember(&disk, &id(1)).unwrap();
        home.remember(&other, &id(1)).unwrap();
        assert_eq!((home.known(&disk).unwrap(), home.known(&other).unwrap()), (Some(id(1)), Some(id(1))));

        home.remember(&disk, &id(2)).unwrap();
        home.remember(&disk, &id(2)).unwrap();
        assert_eq!((home.known(&disk).unwrap(), home.known(&other).unwrap()), (Some(id(2)), Some(id(1))));
    }

    #[test]
    fn state_is_kept_apart_for_each_repository() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path());
        home.device(&id(1)).store(StateKey::Tips, b"tips").unwrap();
        assert_eq!(home.device(&id(1)).load(StateKey::Tips).unwrap().unwrap(), b"tips");
        assert_eq!(home.device(&id(1)).load(StateKey::Journal).unwrap(), None);
        assert_eq!(home.device(&id(2)).load(StateKey::Tips).unwrap(), None);
    }
}
