//! The engine over a folder, with its storage in memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use hushkeep_core::Secret;
use hushkeep_core::keys::BackupKey;
use hushkeep_core::name::RepositoryId;
use hushkeep_repo::state::{StateError, StateKey};
use hushkeep_repo::{
    BackupOptions, BackupReport, Overwrite, Quiet, RelPath, Repository, RestoreOptions, Snapshot, Source, State,
    Timestamp, Tree,
};
use hushkeep_sources::FolderTarget;
use hushkeep_storage::MemoryStorage;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

/// What a backed-up folder is called inside a snapshot.
const LABEL: &str = "chats";

/// A device with a repository of its own.
pub(crate) struct Device {
    repository: Repository,
}

impl Device {
    pub(crate) fn new() -> Self {
        let key = BackupKey::from_secret(Secret::build(|bytes| *bytes = [3; 32]));
        let (storage, state) = (Arc::new(MemoryStorage::default()), Arc::new(MemoryState::default()));
        let (id, rng) = (RepositoryId::from_bytes([8; 16]), Box::new(ChaCha20Rng::seed_from_u64(1)));
        Self { repository: Repository::create(storage, state, &key, id, now(), rng).unwrap() }
    }

    /// Backs up a folder, and publishes that as a snapshot.
    pub(crate) fn back_up(&mut self, tree: &dyn Tree) -> BackupReport {
        let options = BackupOptions::new(now(), "phone".into());
        let source = Source { label: RelPath::new(LABEL).unwrap(), path: b"/data/chats".to_vec(), tree };
        let report = self.repository.backup(&[source], &options, &Quiet).unwrap();
        assert!(report.damage.is_empty(), "{:?}", report.damage);
        report
    }

    /// Restores a snapshot of a folder into another, which does not exist yet.
    pub(crate) fn restore(&self, snapshot: &Snapshot, into: &Path) {
        let above = tempfile::tempdir_in(into.parent().unwrap()).unwrap();
        let options =
            RestoreOptions { select: &|_| true, overwrite: Overwrite::Always, best_effort: false, dry_run: false };
        let target = FolderTarget::new(above.path()).unwrap();
        let report = self.repository.restore(snapshot, &target, &options, &Quiet).unwrap();
        assert!(report.problems.is_empty() && report.set_aside.is_empty(), "{report:?}");
        std::fs::rename(above.path().join(LABEL), into).unwrap();
    }
}

/// The engine trusts the times of files by the time of the backup before.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp { seconds: since.as_secs().cast_signed(), nanos: since.subsec_nanos() }
}

#[derive(Default)]
struct MemoryState(Mutex<BTreeMap<StateKey, Vec<u8>>>);

impl State for MemoryState {
    fn load(&self, key: StateKey) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.0.lock().unwrap().get(&key).cloned())
    }

    fn store(&self, key: StateKey, value: &[u8]) -> Result<(), StateError> {
        self.0.lock().unwrap().insert(key, value.to_vec());
        Ok(())
    }
}
