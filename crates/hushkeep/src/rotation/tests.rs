use std::sync::Arc;

use hushkeep_core::name::RepositoryId;
use hushkeep_core::recovery::Parsed;
use hushkeep_core::wrap::KdfParams;
use hushkeep_repo::state::StateKey;
use hushkeep_repo::storage::{Features, Folder, StorageErrorKind};
use hushkeep_repo::{self as repo, LockedRepository, Repository, State, Storage};
use hushkeep_storage::fault::{self, Fault};
use hushkeep_storage::{FaultStorage, MemoryStorage, Operation};
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::*;
use crate::protectors::{self, RemoveError};
use crate::{Ask, Found, Home, OpenedBy, Secret, UnlockError, Ways};

const GEESE: &str = "seven geese cross the frozen canal";

const PROTECTOR: ProtectorId = ProtectorId::from_bytes([7; 4]);

/// A repository in memory, and a device that keeps its key.
struct World {
    folder: TempDir,
    memory: MemoryStorage,
    key: BackupKey,
}

/// An owner who gives these, each once, and remembers what was refused.
struct Owner {
    secrets: Vec<Secret>,
    refused: Vec<Option<SecretError>>,
}

impl Ask for Owner {
    fn secret(&mut self, _: Ways, refused: Option<&SecretError>) -> io::Result<Option<Secret>> {
        self.refused.push(refused.cloned());
        Ok(self.secrets.pop())
    }
}

fn nobody() -> Owner {
    Owner { secrets: Vec::new(), refused: Vec::new() }
}

fn with_key(key: &BackupKey) -> Owner {
    Owner { secrets: vec![Secret::RecoveryKey(RecoveryKey::from_backup_key(key).to_text())], ..nobody() }
}

fn with_passphrase(text: &str) -> Owner {
    Owner { secrets: vec![Secret::Passphrase(Zeroizing::new(text.to_owned()))], ..nobody() }
}

fn geese() -> Passphrase {
    Passphrase::new(GEESE).unwrap()
}

impl World {
    fn new(create_if_absent: bool) -> Self {
        let rng = &mut crate::random();
        let (id, key) = (RepositoryId::generate(rng), BackupKey::generate(rng));
        let memory = MemoryStorage::new(Features { create_if_absent });
        let world = Self { folder: tempfile::tempdir().unwrap(), memory, key };
        let device = world.home("phone").device(&id);
        let (state, now) = (Arc::new(device.clone()), crate::now());
        let made = Repository::create(world.storage(), state, &world.key, id, now, Box::new(crate::random()));
        device.keep_key(&world.key).unwrap();
        let mut repository = made.unwrap();
        let protectors = repository.protectors().to_vec();
        repository.set_protectors(protectors, now).unwrap();
        world
    }

    fn with_passphrase() -> Self {
        let world = Self::new(true);
        let (mut opened, now, rng) = (world.open("phone"), crate::now(), &mut crate::random());
        let (repository, epoch) = (opened.repository.id(), opened.repository.epoch());
        let place = WrapPlace { repository, protector: PROTECTOR, epoch };
        let wrap = PassphraseWrap::seal(&world.key, &geese(), KdfParams::FLOOR, &place, rng).unwrap();
        let kind = ProtectorKind::Passphrase(wrap.encode());
        let passphrase = Protector::new(PROTECTOR, kind, "geese".to_owned(), now);
        let protectors = [opened.repository.protectors(), &[passphrase]].concat();
        opened.repository.set_protectors(protectors, now).unwrap();
        world
    }

    fn home(&self, device: &str) -> Home {
        Home::at(&self.folder.path().join(device))
    }

    fn storage(&self) -> Arc<dyn Storage> {
        Arc::new(self.memory.clone())
    }

    fn found_through(&self, device: &str, storage: Arc<dyn Storage>) -> Found {
        let locked = LockedRepository::find(storage, None).unwrap();
        let home = self.home(device);
        let place = self.folder.path().join("repo").to_str().unwrap().parse().unwrap();
        Found { device: home.device(&locked.id()), locked, home, place }
    }

    fn found(&self, device: &str) -> Found {
        self.found_through(device, self.storage())
    }

    /// Opens the repository on a device that has its key.
    fn open(&self, device: &str) -> Opened {
        self.found(device).unlock(&mut nobody()).unwrap()
    }

    fn opens_by(&self, mut owner: Owner) -> Result<Opened, UnlockError> {
        self.found("laptop").unlock(&mut owner)
    }
}

fn key_of(rotation: &Rotation) -> BackupKey {
    match RecoveryKey::parse(&rotation.recovery_key().to_text()).unwrap() {
        Parsed::Exact(key) => key,
        Parsed::Repaired(_) => panic!("a key as it was written"),
    }
}

#[test]
fn the_new_key_opens_and_the_old_one_does_not() {
    let world = World::with_passphrase();
    let mut opened = world.open("phone");
    let mut rotation = Rotation::prepare();
    assert_eq!(rotation.dropped(&opened).len(), 1);
    let wrong = Passphrase::new("seven ducks").unwrap();
    assert_eq!(rotation.carry_over(&opened, &wrong), Err(SecretError::WrongPassphrase));
    assert_eq!(rotation.carry_over(&opened, &geese()), Ok(vec![PROTECTOR]));
    assert!(rotation.dropped(&opened).is_empty());
    let (new, file) = (key_of(&rotation), world.folder.path().join("new-key"));
    let rotated = rotation.run(&mut opened, Some(&file)).unwrap();
    assert!(rotated.undeleted.is_empty() && rotated.flaw.is_none() && opened.key.ct_eq(&new));

    assert_eq!(fs::read_to_string(&file).unwrap().trim(), RecoveryKey::from_backup_key(&new).to_lines().as_str());
    let opened = world.open("phone");
    assert!(opened.key.ct_eq(&new) && opened.device.next_keys().unwrap().is_empty());
    assert_eq!(opened.repository.protectors()[1].label, "geese");
    assert!(world.opens_by(with_passphrase(GEESE)).unwrap().key.ct_eq(&new));
    assert!(world.opens_by(with_key(&new)).is_ok());
    let refused = world.opens_by(with_key(&world.key)).err().unwrap();
    assert!(matches!(refused, UnlockError::Refused(SecretError::AnotherRecoveryKey)), "{refused}");
}

#[test]
fn a_passphrase_that_is_not_carried_over_is_gone() {
    let world = World::with_passphrase();
    let mut opened = world.open("phone");
    Rotation::prepare().run(&mut opened, None).unwrap();
    let refused = world.opens_by(with_passphrase(GEESE)).err().unwrap();
    assert!(matches!(refused, UnlockError::Refused(SecretError::NoPassphrase)), "{refused}");
}

#[test]
fn a_key_is_never_kept_nowhere_nor_written_over_a_file() {
    let world = World::new(true);
    let mut opened = world.opens_by(with_key(&world.key)).unwrap();
    assert!(matches!(Rotation::prepare().run(&mut opened, None), Err(RotateError::KeptNowhere)));
    let mut opened = world.open("phone");
    let file = world.folder.path().join("taken");
    fs::write(&file, "mine").unwrap();
    assert!(matches!(Rotation::prepare().run(&mut opened, Some(&file)), Err(RotateError::KeyFile { .. })));
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    assert!(opened.device.next_keys().unwrap().is_empty() && world.open("phone").key.ct_eq(&world.key));
}

#[test]
fn another_device_hears_that_its_key_was_replaced() {
    let world = World::new(true);
    let never = &mut || panic!("nothing was rolled back");
    world.found("tablet").recover(&mut with_key(&world.key), never).unwrap();
    let mut opened = world.open("phone");
    Rotation::prepare().run(&mut opened, None).unwrap();
    let mut owner = nobody();
    let refused = world.found("tablet").unlock(&mut owner).err().unwrap();
    assert!(matches!(refused, UnlockError::Refused(SecretError::OutdatedDeviceKey)), "{refused}");
    assert_eq!(owner.refused, [Some(SecretError::OutdatedDeviceKey)], "told before anything is asked");
    world.found("tablet").recover(&mut with_key(&opened.key), never).unwrap();
    assert_eq!(world.open("tablet").by, OpenedBy::DeviceKey);
}

#[test]
fn an_old_copy_from_before_the_rotation_is_told_as_what_it_is() {
    let world = World::new(true);
    let all = || Folder::ALL.into_iter().flat_map(|folder| world.memory.list(folder).unwrap());
    let old: Vec<_> = all().map(|info| (info.name.clone(), world.memory.get(&info.name).unwrap())).collect();
    Rotation::prepare().run(&mut world.open("phone"), None).unwrap();
    all().collect::<Vec<_>>().iter().for_each(|info| world.memory.delete(&info.name).unwrap());
    old.iter().for_each(|(name, object)| world.memory.put(name, object).unwrap());
    let refused = world.found("phone").unlock(&mut nobody()).err().unwrap();
    assert!(matches!(refused, UnlockError::Repository(repo::UnlockError::RolledBack)), "{refused}");
}

/// How many calls to the storage opening takes, and opening and rotating.
fn calls(world: &World) -> (u64, u64) {
    let counting = Arc::new(FaultStorage::new(world.storage(), |_| None));
    let mut opened = world.found_through("phone", counting.clone()).unlock(&mut nobody()).unwrap();
    let opening = counting.calls();
    Rotation::prepare().run(&mut opened, None).unwrap();
    assert!(counting.calls() > opening + 10);
    (opening, counting.calls())
}

/// The storage fails or the device loses it at every call in turn, before the call takes effect or after.
#[test]
fn whatever_fails_the_device_opens_the_repository_afterwards() {
    let lost = StorageErrorKind::Unreachable;
    for fault in [Fault::Refuse(lost), Fault::LoseReply(lost), Fault::CrashBefore, Fault::CrashAfter] {
        // Deriving from passphrases takes its time: one kind of fault, which leaves all there can be, is enough.
        let by_passphrase = matches!(fault, Fault::LoseReply(_));
        let new_world = || if by_passphrase { World::with_passphrase() } else { World::new(true) };
        let (opening, all) = calls(&new_world());
        for call in opening..all {
            let world = new_world();
            let failing = Arc::new(FaultStorage::new(world.storage(), fault::once(call, fault)));
            let mut opened = world.found_through("phone", failing).unlock(&mut nobody()).unwrap();
            let mut rotation = Rotation::prepare();
            if by_passphrase {
                rotation.carry_over(&opened, &geese()).unwrap();
            }
            let (new, file) = (key_of(&rotation), world.folder.path().join("new-key"));
            let ended = rotation.run(&mut opened, Some(&file));

            let mut opened = world.open("phone");
            let is_new = opened.key.ct_eq(&new);
            assert!(is_new || opened.key.ct_eq(&world.key), "{fault:?} {call}");
            assert_eq!(is_new, opened.device.key().unwrap().unwrap().ct_eq(&new));
            assert!(world.opens_by(with_key(&opened.key)).is_ok(), "{fault:?} {call}");
            let by_geese = by_passphrase.then(|| world.opens_by(with_passphrase(GEESE)).unwrap());
            assert!(by_geese.is_none_or(|by_geese| by_geese.key.ct_eq(&opened.key)), "{fault:?} {call}");
            match ended {
                Ok(_) => assert!(is_new && file.exists()),
                Err(RotateError::Unchanged(_)) => {
                    assert!(!is_new && !file.exists() && opened.device.next_keys().unwrap().is_empty());
                }
                Err(_) => assert!(file.exists()),
            }

            // What was left over is in nobody's way.
            Rotation::prepare().run(&mut opened, None).unwrap();
            assert!(world.open("phone").key.ct_eq(&opened.key));
            assert!(opened.device.next_keys().unwrap().is_empty());
        }
    }
}

/// The program is killed: it does not even hear what the storage says. Both keys are on the device then.
#[test]
fn wherever_it_is_killed_the_device_opens_the_repository_afterwards() {
    let calls_of = |create_if_absent| {
        let (opening, all) = calls(&World::new(create_if_absent));
        (opening..=all).map(move |call| (call, create_if_absent))
    };
    for (call, create_if_absent) in calls_of(true).chain(calls_of(false)) {
        let world = World::new(create_if_absent);
        let dying = Arc::new(FaultStorage::new(world.storage(), fault::crash_at(call)));
        let mut opened = world.found_through("phone", dying).unlock(&mut nobody()).unwrap();
        let rotation = Rotation::prepare();
        let new = key_of(&rotation);
        let device = opened.device.clone();
        let _ = rotation.run(&mut opened, None);
        device.keep_key(&world.key).unwrap();
        device.set_next_keys(&[&new]).unwrap();

        let opened = world.open("phone");
        assert_eq!(opened.by, OpenedBy::DeviceKey);
        let is_new = opened.key.ct_eq(&new);
        assert!(is_new || opened.key.ct_eq(&world.key));
        assert_eq!(is_new, device.next_keys().unwrap().is_empty(), "kept until it is known");
        assert!(device.key().unwrap().unwrap().ct_eq(&opened.key));
        assert!(world.open("phone").key.ct_eq(&opened.key));
    }
}

/// A storage that never deletes keeps the old configs: the old key still opens those, and nothing else.
#[test]
fn where_old_configs_stay_the_old_key_is_refused_all_the_same() {
    let world = World::with_passphrase();
    world.found("tablet").recover(&mut with_key(&world.key), &mut || Ok(false)).unwrap();
    let no_deletes = |call: &fault::Call<'_>| {
        (call.operation == Operation::Delete).then_some(Fault::Refuse(StorageErrorKind::Denied))
    };
    let keeping = Arc::new(FaultStorage::new(world.storage(), no_deletes));
    let mut opened = world.found_through("phone", keeping).unlock(&mut nobody()).unwrap();
    assert!(!Rotation::prepare().run(&mut opened, None).unwrap().undeleted.is_empty());
    let is_rotated = |refused: Result<Opened, UnlockError>| {
        matches!(refused, Err(UnlockError::Repository(repo::UnlockError::Read(repo::ReadError::Rotated))))
    };
    assert!(is_rotated(world.found("tablet").unlock(&mut nobody())));
    assert!(is_rotated(world.opens_by(with_key(&world.key))));
    assert!(is_rotated(world.opens_by(with_passphrase(GEESE))));
    assert!(world.open("phone").key.ct_eq(&opened.key));
}

/// On a storage that never deletes, a mistyped id is not told as removed: the passphrase is still there.
#[test]
fn where_old_configs_stay_a_mistyped_id_removes_nothing() {
    let world = World::with_passphrase();
    let no_deletes = |call: &fault::Call<'_>| {
        (call.operation == Operation::Delete).then_some(Fault::Refuse(StorageErrorKind::Denied))
    };
    let keeping = || world.found_through("phone", Arc::new(FaultStorage::new(world.storage(), no_deletes)));
    let open = || keeping().unlock(&mut nobody()).unwrap();
    let mistyped = protectors::remove(&mut open(), "ffffffff");
    assert!(matches!(mistyped, Err(RemoveError::NotFound(_))), "{mistyped:?}");
    let geese = PROTECTOR.to_string();
    assert!(!protectors::remove(&mut open(), &geese).unwrap().is_empty());
    for id in [&geese, "ffffffff"] {
        let again = protectors::remove(&mut open(), id);
        assert!(matches!(again, Err(RemoveError::MayBeLeft(_))), "{again:?}");
    }
}

/// A rotation of this device died before its commit, and another device completed one; what opens under neither key is no
/// reason to go on with that of the first.
#[test]
fn anothers_rotation_is_not_taken_for_a_damaged_one_of_this_device() {
    let world = World::new(true);
    world.found("tablet").recover(&mut with_key(&world.key), &mut || Ok(false)).unwrap();
    let refusing = |operation: Operation, folder: &'static str| {
        let refuses = move |call: &fault::Call<'_>| call.operation == operation && call.subject.starts_with(folder);
        let plan = move |call: &fault::Call<'_>| refuses(call).then_some(Fault::Refuse(StorageErrorKind::Denied));
        Arc::new(FaultStorage::new(world.storage(), plan))
    };
    let mut opened = world.found_through("phone", refusing(Operation::Put, "commits/")).unlock(&mut nobody()).unwrap();
    assert!(matches!(Rotation::prepare().run(&mut opened, None), Err(RotateError::Unknown(_))));
    assert_eq!(opened.device.next_keys().unwrap().len(), 1);
    let keeping = refusing(Operation::Delete, "config/");
    let mut opened = world.found_through("tablet", keeping).unlock(&mut nobody()).unwrap();
    Rotation::prepare().run(&mut opened, None).unwrap();

    let refused = world.found("phone").unlock(&mut nobody()).err().unwrap();
    let is_rotated = matches!(refused, UnlockError::Repository(repo::UnlockError::Read(repo::ReadError::Rotated)));
    assert!(is_rotated, "{refused}");
    assert!(world.open("tablet").key.ct_eq(&opened.key));
}

/// Killed between its last two writes, or with a key of an earlier rotation that nobody knows the end of.
#[test]
fn what_lies_beside_the_key_does_not_hide_it() {
    let world = World::new(true);
    let mut opened = world.open("phone");
    opened.device.keep_next_key(&BackupKey::generate(&mut crate::random())).unwrap();
    assert!(world.open("phone").key.ct_eq(&world.key));
    assert_eq!(opened.device.next_keys().unwrap().len(), 1, "its commit may still come to light");

    Rotation::prepare().run(&mut opened, None).unwrap();
    opened.device.keep_next_key(&opened.key).unwrap();
    assert!(world.open("phone").key.ct_eq(&opened.key));
    assert!(opened.device.next_keys().unwrap().is_empty());

    fs::write(opened.device.key_file().with_extension("next"), "torn").unwrap();
    assert!(world.open("phone").key.ct_eq(&opened.key));
    fs::remove_file(opened.device.key_file()).unwrap();
    assert!(matches!(world.found("phone").unlock(&mut nobody()), Err(UnlockError::Home(_))));
}

/// Beside damaged commits it may be that the new key holds, or that it never came to that: the old one goes on while it opens,
/// and neither is given up.
#[test]
fn beside_damage_no_key_is_given_up() {
    let world = World::new(true);
    let commits_fail = |call: &fault::Call<'_>| {
        let is_commit = call.operation == Operation::Put && call.subject.starts_with("commits/");
        is_commit.then_some(Fault::Refuse(StorageErrorKind::Unreachable))
    };
    let failing = Arc::new(FaultStorage::new(world.storage(), commits_fail));
    let mut opened = world.found_through("phone", failing).unlock(&mut nobody()).unwrap();
    let rotation = Rotation::prepare();
    let new = key_of(&rotation);
    assert!(matches!(rotation.run(&mut opened, None), Err(RotateError::Unknown(_))));
    let stray = "commits/0000000009".parse().unwrap();
    world.memory.put(&stray, b"damaged").unwrap();
    let opened = world.open("phone");
    assert!(opened.key.ct_eq(&world.key));
    assert!(opened.device.next_keys().unwrap().iter().any(|key| key.ct_eq(&new)));
    assert!(world.opens_by(with_key(&new)).is_ok());
}

#[test]
fn an_old_copy_is_taken_only_if_its_owner_says_so() {
    let world = World::new(true);
    let mut opened = world.open("phone");
    let before = world.memory.list(Folder::Commits).unwrap();
    let protectors = opened.repository.protectors().to_vec();
    opened.repository.set_protectors(protectors, crate::now()).unwrap();
    for info in world.memory.list(Folder::Commits).unwrap() {
        if before.iter().all(|kept| kept.name != info.name) {
            world.memory.delete(&info.name).unwrap();
        }
    }
    let rolled_back = |refused: Result<Opened, UnlockError>| {
        matches!(refused, Err(UnlockError::Repository(repo::UnlockError::RolledBack)))
    };
    assert!(rolled_back(world.found("phone").unlock(&mut nobody())));
    assert!(rolled_back(world.found("phone").recover(&mut with_key(&world.key), &mut || Ok(false))));
    assert!(opened.device.load(StateKey::Tips).unwrap().is_some());
    world.found("phone").recover(&mut with_key(&world.key), &mut || Ok(true)).unwrap();
    assert_eq!(world.open("phone").by, OpenedBy::DeviceKey);
}
