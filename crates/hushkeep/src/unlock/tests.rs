use hushkeep_core::keys::Epoch;
use hushkeep_core::name::RepositoryId;
use hushkeep_core::wrap::KdfParams;
use hushkeep_repo::storage::{Folder, ObjectName};
use hushkeep_repo::{LockedRepository, Protector, Storage};
use hushkeep_storage::MemoryStorage;
use tempfile::TempDir;

use super::*;
use crate::Home;

const GEESE: &str = "seven geese cross the frozen canal";

/// An owner who types this once.
struct Owner(Option<&'static str>);

impl Ask for Owner {
    fn secret(&mut self, _: Ways, _: Option<&SecretError>) -> io::Result<Option<Secret>> {
        Ok(self.0.take().map(|text| Secret::Passphrase(Zeroizing::new(text.to_owned()))))
    }
}

/// A repository with protectors of these kinds beside its recovery key.
fn create(
    storage: &Arc<dyn Storage>,
    home: &Home,
    kinds: impl Fn(&BackupKey, &RepositoryId) -> Vec<Protector>,
) -> Repository {
    let rng = &mut crate::random();
    let (id, key, now) = (RepositoryId::generate(rng), BackupKey::generate(rng), crate::now());
    let state = Arc::new(home.device(&id));
    let made = Repository::create(Arc::clone(storage), state, &key, id, now, Box::new(crate::random()));
    let mut repository = made.unwrap();
    let protectors = [repository.protectors(), &kinds(&key, &id)].concat();
    repository.set_protectors(protectors, now).unwrap();
    repository
}

/// The object of the newest config.
fn newest_config(storage: &Arc<dyn Storage>) -> Vec<u8> {
    let newest = storage.list(Folder::Config).unwrap().into_iter().map(|info| info.name).max().unwrap();
    storage.get(&newest).unwrap()
}

fn protector(id: ProtectorId, wrap: Vec<u8>) -> Protector {
    Protector::new(id, ProtectorKind::Passphrase(wrap), String::new(), crate::now())
}

/// The newest config of a repository that has so many passphrases, all of which open nothing.
fn stray(home: &Home, passphrases: u8) -> Vec<u8> {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::default());
    create(&storage, home, |_, _| {
        (0..passphrases).map(|id| protector(ProtectorId::from_bytes([id; 4]), Vec::new())).collect()
    });
    newest_config(&storage)
}

/// What comes of typing a passphrase where configs of other repositories were put before the right ones.
fn typed(passphrase: &'static str, strays: &[Vec<u8>]) -> Result<(), UnlockError> {
    let folder = TempDir::new().unwrap();
    let home = Home::at(folder.path());
    let (storage, _) = with_geese(&home);
    put(&storage, strays);
    type_in(passphrase, storage, home, &folder)
}

/// A repository with a passphrase.
fn with_geese(home: &Home) -> (Arc<dyn Storage>, Repository) {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::default());
    let repository = create(&storage, home, |key, id| {
        let (geese, protector_id) = (Passphrase::new(GEESE).unwrap(), ProtectorId::from_bytes([7; 4]));
        let place = WrapPlace { repository: *id, protector: protector_id, epoch: Epoch::FIRST };
        let wrap = PassphraseWrap::seal(key, &geese, KdfParams::FLOOR, &place, &mut crate::random());
        vec![protector(protector_id, wrap.unwrap().encode())]
    });
    (storage, repository)
}

/// Puts configs before all others.
fn put(storage: &Arc<dyn Storage>, strays: &[Vec<u8>]) {
    for (number, stray) in (10..).zip(strays.iter().cycle().take(9 * strays.len())) {
        let name = ObjectName::new(Folder::Config, format!("{number:010}-00000000")).unwrap();
        storage.put(&name, stray).unwrap();
    }
}

fn type_in(
    passphrase: &'static str,
    storage: Arc<dyn Storage>,
    home: Home,
    folder: &TempDir,
) -> Result<(), UnlockError> {
    let locked = LockedRepository::find(storage, None).unwrap();
    let place = folder.path().join("repo").to_str().unwrap().parse().unwrap();
    let found = Found { device: home.device(&locked.id()), locked, home, place };
    found.unlock(&mut Owner(Some(passphrase))).map(drop)
}

#[test]
fn who_hides_a_passphrase_behind_many_others_is_not_taken_for_a_wrong_one() {
    let folder = TempDir::new().unwrap();
    let strays = [31, 31, 1, 1].map(|passphrases| stray(&Home::at(folder.path()), passphrases));
    let refusal = |passphrase, strays: &[Vec<u8>]| match typed(passphrase, strays) {
        Ok(()) => None,
        Err(UnlockError::Refused(error)) => Some(error),
        Err(error) => panic!("{error}"),
    };
    // With the right one 64, and 65.
    let (fewer, more) = (&strays[..3], &strays[..]);
    assert_eq!(refusal(GEESE, fewer), None);
    assert_eq!(refusal("seven ducks", fewer), Some(SecretError::WrongPassphrase));
    assert_eq!(refusal(GEESE, more), Some(SecretError::NotAllTried));
}

/// Who stole a key that was replaced can put its config before all others.
#[test]
fn a_key_that_was_replaced_does_not_hide_that_not_all_were_tried() {
    let folder = TempDir::new().unwrap();
    let home = Home::at(folder.path());
    let (storage, mut repository) = with_geese(&home);
    let old = newest_config(&storage);
    let recovery_key = repository.protectors()[..1].to_vec();
    let new_key = BackupKey::generate(&mut crate::random());
    assert!(repository.rotate(&new_key, recovery_key, crate::now()).unwrap().is_empty());
    storage.put(&ObjectName::new(Folder::Config, "0000000999-00000000").unwrap(), &old).unwrap();
    let strays = [31, 31, 31].map(|passphrases| stray(&home, passphrases));
    put(&storage, &strays);
    let result = type_in(GEESE, storage, home, &folder);
    assert!(matches!(result, Err(UnlockError::Refused(SecretError::NotAllTried))), "{result:?}");
}
