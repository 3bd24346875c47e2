use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hushkeep_core::keys::BackupKey;
use hushkeep_core::name::RepositoryId;
use hushkeep_core::wrap::Passphrase;
use hushkeep_repo::{LockedRepository, Storage};
use hushkeep_storage::fault;
use hushkeep_storage::{FaultStorage, MemoryStorage};
use hushkeep_vault::client::Recovery;
use hushkeep_vault::message::{GuessRequest, HistoryRequest, LookRequest};
use hushkeep_vault::request::Request as _;
use hushkeep_vault::server::{MemoryStore, Policy, Secrets, Vault};
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::*;
use crate::{Ask, DeviceState, Found, Home, Opened, OpenedBy, Rotation, Secret, SecretError, UnlockError, Ways};

const GEESE: &str = "seven geese cross the frozen canal";
const HERONS: &str = "nine herons wait below the weir";

/// A vault that is reached without a network, until it dies.
struct Served {
    vault: Vault,
    store: MemoryStore,
    calls: AtomicU64,
    /// From this call on nothing comes back; the call itself may take effect.
    dies_at: u64,
    takes_effect: bool,
}

impl Transport for Served {
    fn post(&self, vault: &VaultAddress, path: &str, message: &[u8]) -> Result<Reply, TransportError> {
        assert_eq!(vault.vault(), self.vault.id());
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let lost = || TransportError::Unreachable("the line is dead".into());
        if call > self.dies_at || (call == self.dies_at && !self.takes_effect) {
            return Err(lost());
        }
        let answer = self.vault.answer(&self.store, (path, message), crate::now().seconds, &mut crate::random());
        if call == self.dies_at {
            return Err(lost());
        }
        Ok(match answer {
            Ok(answer) => Reply { status: 200, retry_after: None, body: answer.message, may_be_second: false },
            Err(refused) => Reply {
                status: refused.code.status(),
                retry_after: refused.retry_after,
                body: format!("{{\"code\":\"{}\"}}", refused.code.as_str()).into_bytes(),
                may_be_second: false,
            },
        })
    }
}

impl Served {
    fn new(secrets: &[u8], store: MemoryStore) -> Self {
        let vault = Vault::new(Secrets::decode(secrets).unwrap(), Policy::DEFAULT).unwrap();
        Self { vault, store, calls: AtomicU64::new(0), dies_at: u64::MAX, takes_effect: false }
    }

    fn address(&self) -> VaultAddress {
        format!("https://vault.example.org/#{}", self.vault.id()).parse().unwrap()
    }
}

/// An owner who types a password once, and what was seen of the guess.
struct Owner<T> {
    secret: Option<Secret>,
    transport: Arc<T>,
    ahead: Vec<GuessAhead>,
}

impl<T: Transport + 'static> Ask for Owner<T> {
    fn secret(&mut self, _: Ways, _: Option<&SecretError>) -> io::Result<Option<Secret>> {
        Ok(self.secret.take())
    }

    fn transport(&self) -> Option<Arc<dyn Transport>> {
        Some(Arc::clone(&self.transport) as Arc<dyn Transport>)
    }

    fn may_guess(&mut self, ahead: &GuessAhead) -> io::Result<bool> {
        self.ahead.push(ahead.clone());
        Ok(true)
    }
}

/// A repository in memory, a vault, and a phone that has the key.
struct World {
    folder: TempDir,
    memory: MemoryStorage,
    secrets: Zeroizing<Vec<u8>>,
    served: Arc<Served>,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (id, key, now) =
            (RepositoryId::generate(&mut crate::random()), BackupKey::generate(&mut crate::random()), crate::now());
        let memory = MemoryStorage::default();
        let device = Home::at(&folder.path().join("phone")).device(&id);
        let state = Arc::new(device.clone());
        let storage: Arc<dyn Storage> = Arc::new(memory.clone());
        Repository::create(storage, state, &key, id, now, Box::new(crate::random())).unwrap();
        device.keep_key(&key).unwrap();
        let secrets = Secrets::generate(0, &mut crate::random()).encode();
        let served = Arc::new(Served::new(&secrets, MemoryStore::default()));
        Self { folder, memory, secrets, served }
    }

    /// With a password.
    fn with_password() -> Self {
        let world = Self::new();
        let mut opened = world.open();
        add_password(&mut opened, &*world.served, &world.served.address(), &password(GEESE), "geese").unwrap();
        world
    }

    /// The same vault, which dies at a call.
    fn dying(&self, dies_at: u64, takes_effect: bool) -> Arc<Served> {
        let store = MemoryStore::default();
        store.records().clone_from(&self.served.store.records());
        Arc::new(Served { dies_at, takes_effect, ..Served::new(&self.secrets, store) })
    }

    fn found(&self, device: &str, storage: Arc<dyn Storage>) -> Found {
        let locked = LockedRepository::find(storage, None).unwrap();
        let home = Home::at(&self.folder.path().join(device));
        let place = self.folder.path().join("repo").to_str().unwrap().parse().unwrap();
        Found { device: home.device(&locked.id()), locked, home, place }
    }

    fn open(&self) -> Opened {
        self.open_through(Arc::new(self.memory.clone()))
    }

    fn open_through(&self, storage: Arc<dyn Storage>) -> Opened {
        self.found("phone", storage).unlock(&mut self.owner(&self.served, None)).unwrap()
    }

    fn owner(&self, served: &Arc<Served>, text: Option<&str>) -> Owner<Served> {
        let secret = text.map(|text| Secret::Password(Zeroizing::new(text.to_owned())));
        Owner { secret, transport: Arc::clone(served), ahead: Vec::new() }
    }

    /// What a new device gets with a password.
    fn recover(&self, served: &Arc<Served>, text: &str) -> Result<Opened, UnlockError> {
        self.found("laptop", Arc::new(self.memory.clone())).unlock(&mut self.owner(served, Some(text)))
    }
}

/// What the only vault tells.
fn told(opened: &mut Opened, served: &Arc<Served>) -> Result<Attempts, AttemptsError> {
    attempts(opened, &**served).remove(0).attempts
}

fn password(text: &str) -> Passphrase {
    new_password(text, Floor::OneOperator).unwrap()
}

#[test]
fn a_lost_phone_is_replaced_by_the_password_alone() {
    let world = World::with_password();
    let key = world.open().key;
    let mut owner = world.owner(&world.served, Some(HERONS));
    let refused = world.found("laptop", Arc::new(world.memory.clone())).unlock(&mut owner).err().unwrap();
    assert!(matches!(refused, UnlockError::Refused(SecretError::WrongPassword { left: 9, wait: 0 })), "{refused:?}");
    assert_eq!(owner.ahead, [GuessAhead { host: "vault.example.org".to_owned(), left: 10, tried: 0 }]);
    let opened = world.recover(&world.served, GEESE).unwrap();
    assert!(opened.key.ct_eq(&key) && opened.by == OpenedBy::Password);
    assert!(world.recover(&world.served, GEESE).is_ok(), "all guesses are there again");
}

/// Neither the password nor anything that could be held against guesses at it is kept on a device.
#[test]
fn what_a_device_keeps_of_a_password_is_where_its_record_was() {
    let world = World::with_password();
    world.recover(&world.served, GEESE).unwrap();
    for device in ["phone", "laptop"] {
        let state = world.folder.path().join(device).join("state");
        let of_repository = std::fs::read_dir(&state).unwrap().next().unwrap().unwrap().path();
        for file in std::fs::read_dir(of_repository).unwrap().map(|file| file.unwrap()) {
            let (name, bytes) = (file.file_name().into_string().unwrap(), std::fs::read(file.path()).unwrap());
            assert!(!bytes.windows(GEESE.len()).any(|window| window == GEESE.as_bytes()), "{name}");
            let is_known = ["key", "places", "tips", "device"].contains(&name.as_str());
            let is_record = name.starts_with("vault-") && hushkeep_vault::client::Seen::decode(&bytes).is_ok();
            assert!(is_known || is_record, "{device}: {name}");
        }
    }
}

#[test]
fn weak_passwords_are_refused() {
    for weak in ["", "password1234", "hunter2", "qwertyuiop", "20031985"] {
        assert!(new_password(weak, Floor::OneOperator).is_err(), "{weak}");
    }
    assert!(matches!(
        new_password("six words and \u{378} that are strange", Floor::OneOperator),
        Err(UnfitPassword::Unfit(_))
    ));
}

#[test]
fn a_changed_password_replaces_the_old_one() {
    let world = World::with_password();
    let mut opened = world.open();
    let (old, _) = pairs(&opened.repository).remove(0);
    change_password(&mut opened, &*world.served, (&old.to_string(), None), &password(HERONS)).unwrap();
    assert_eq!(pairs(&opened.repository).len(), 1);
    assert!(world.recover(&world.served, HERONS).is_ok());
    let refused = world.recover(&world.served, GEESE).err().unwrap();
    assert!(matches!(refused, UnlockError::Refused(SecretError::WrongPassword { left: 9, .. })), "{refused:?}");
}

#[test]
fn a_removed_password_leaves_nothing_behind() {
    let world = World::with_password();
    let mut opened = world.open();
    let (id, _) = pairs(&opened.repository).remove(0);
    remove_password(&mut opened, &*world.served, &id.to_string(), false).unwrap();
    assert!(world.served.store.records().is_empty());
    let refused = world.recover(&world.served, GEESE).err().unwrap();
    assert!(matches!(refused, UnlockError::Refused(SecretError::NoPassword)), "{refused:?}");
}

/// The vault does not answer any more: a password is removed only if its owner says that the vault is gone.
#[test]
fn without_its_vault_a_password_stays_until_its_owner_gives_the_vault_up() {
    let world = World::with_password();
    let (mut opened, dead) = (world.open(), world.dying(0, false));
    let (id, _) = pairs(&opened.repository).remove(0);
    let refused = remove_password(&mut opened, &*dead, &id.to_string(), false).unwrap_err();
    assert!(matches!(refused, RegisterError::Vault(VaultError::Transport { .. })), "{refused:?}");
    assert_eq!(pairs(&opened.repository).len(), 1);
    remove_password(&mut opened, &*dead, &id.to_string(), true).unwrap();
    assert_eq!(pairs(&opened.repository), []);
}

#[test]
fn a_rotation_takes_the_password_along() {
    let world = World::with_password();
    let mut opened = world.open();
    let (id, _) = pairs(&opened.repository).remove(0);
    let transport: Arc<dyn Transport> = world.served.clone();
    let mut rotation = Rotation::prepare();
    assert!(rotation.carry_over_password(&opened, &transport, &id, &password(HERONS), &mut |_| Ok(true)).is_err());
    rotation.carry_over_password(&opened, &transport, &id, &password(GEESE), &mut |_| Ok(true)).unwrap();
    assert!(rotation.dropped(&opened).is_empty());
    rotation.run(&mut opened, None).unwrap();
    let recovered = world.recover(&world.served, GEESE).unwrap();
    assert!(recovered.key.ct_eq(&opened.key) && recovered.repository.epoch().0 == 1);
    // The new key's update key changes the record.
    let (id, _) = pairs(&opened.repository).remove(0);
    change_password(&mut opened, &*world.served, (&id.to_string(), None), &password(HERONS)).unwrap();
    assert!(world.recover(&world.served, HERONS).is_ok());
}

/// A stranger who can read the storage guesses: the owner sees it.
#[test]
fn guesses_of_others_are_seen_and_a_vault_that_forgets_them_is_found_out() {
    let world = World::with_password();
    let mut opened = world.open();
    assert_eq!(told(&mut opened, &world.served).unwrap().new, 0, "registering was this device's own doing");
    let before = world.served.store.records().clone();
    assert!(world.recover(&world.served, HERONS).is_err());
    let first = told(&mut opened, &world.served).unwrap();
    assert_eq!((first.new, first.left, first.untold), (1, 9, 0));
    assert_eq!(first.events.last().unwrap().kind, EventKind::Guessed);
    assert_eq!(told(&mut opened, &world.served).unwrap().new, 1, "until the owner was told");
    mark_seen(&opened, &first).unwrap();
    assert_eq!(told(&mut opened, &world.served).unwrap().new, 0);

    *world.served.store.records() = before;
    let refused = told(&mut opened, &world.served).unwrap_err();
    assert!(matches!(refused, AttemptsError::AnotherHistory { .. }), "{refused:?}");

    // Whoever has changed the password goes on from what the vault tells now.
    let (id, _) = pairs(&opened.repository).remove(0);
    let changed = change_password(&mut opened, &*world.served, (&id.to_string(), None), &password(HERONS)).unwrap();
    assert!(changed.is_confirmed && changed.went_back);
    assert_eq!(told(&mut opened, &world.served).unwrap().new, 0);
}

/// Old records were put back and guessed at until the number was the same: the owner's own right guess does not cover that up.
#[test]
fn a_right_guess_does_not_hide_that_a_vault_went_back() {
    let world = World::with_password();
    let mut opened = world.open();
    let (_, pair) = pairs(&opened.repository).remove(0);
    let guess_at = |time| {
        let wrong = password(HERONS);
        let (_, request) = Recovery::begin(std::slice::from_ref(&pair), &wrong, &mut crate::random()).unwrap();
        let request = (GuessRequest::PATH, request.encode());
        let (store, vault) = (&world.served.store, &world.served.vault);
        vault.answer(store, (request.0, &request.1), time, &mut crate::random()).unwrap();
    };
    let (before, now) = (world.served.store.records().clone(), crate::now().seconds);
    guess_at(now);
    let seen = told(&mut opened, &world.served).unwrap();
    mark_seen(&opened, &seen).unwrap();
    *world.served.store.records() = before;
    guess_at(now - 1);
    let found = world.found("phone", Arc::new(world.memory.clone()));
    found.unlock_by_asking(&mut world.owner(&world.served, Some(GEESE))).unwrap();
    let refused = told(&mut opened, &world.served).unwrap_err();
    assert!(matches!(refused, AttemptsError::AnotherHistory { .. }), "{refused:?}");
}

/// The device that changed the password is lost before the vault committed it: whoever recovers with the new one has that done.
#[test]
fn a_password_that_waits_is_committed_by_who_recovers_with_it() {
    let (world, back) = with_waiting_password();
    let mut opened = world.recover(&back, HERONS).unwrap();
    let attempts = told(&mut opened, &back).unwrap();
    assert_eq!(attempts.events.last().unwrap().kind, EventKind::Committed);
    assert_eq!(pairs(&opened.repository).len(), 1);
    assert!(world.recover(&back, HERONS).is_ok());
    assert_eq!(told(&mut opened, &back).unwrap().left, 10);
}

/// A vault whose line dies as soon as it has given the key.
#[test]
fn a_key_that_a_vault_gave_is_kept_before_it_is_asked_anything_more() {
    struct Watched {
        served: Arc<Served>,
        device: DeviceState,
        after: AtomicU64,
    }
    impl Transport for Watched {
        fn post(&self, vault: &VaultAddress, path: &str, message: &[u8]) -> Result<Reply, TransportError> {
            if path == HistoryRequest::PATH {
                assert!(self.device.key().unwrap().is_some(), "the key is kept");
                self.after.fetch_add(1, Ordering::Relaxed);
                return Err(TransportError::Unreachable("the line is dead".into()));
            }
            self.served.post(vault, path, message)
        }
    }
    let (world, back) = with_waiting_password();
    let found = world.found("laptop", Arc::new(world.memory.clone()));
    let watched = Arc::new(Watched { served: back, device: found.device.clone(), after: AtomicU64::new(0) });
    let secret = Some(Secret::Password(Zeroizing::new(HERONS.to_owned())));
    let mut owner = Owner { secret, transport: Arc::clone(&watched), ahead: Vec::new() };
    found.recover(&mut owner, &mut || Ok(false)).unwrap();
    assert!(watched.after.load(Ordering::Relaxed) > 0);
}

/// A password was changed, and the vault did not get the commit; then it is back.
fn with_waiting_password() -> (World, Arc<Served>) {
    let commit = {
        let world = World::with_password();
        let served = world.dying(u64::MAX, true);
        change(&mut world.open(), &served);
        // The last call asks for the history.
        served.calls.load(Ordering::Relaxed) - 2
    };
    let world = World::with_password();
    let served = world.dying(commit, false);
    change(&mut world.open(), &served);
    let back = Arc::new(Served::new(&world.secrets, MemoryStore::default()));
    back.store.records().clone_from(&served.store.records());
    (world, back)
}

fn change(opened: &mut Opened, served: &Arc<Served>) {
    let (id, _) = pairs(&opened.repository).remove(0);
    let _ = change_password(opened, &**served, (&id.to_string(), None), &password(HERONS));
}

/// A commit that got no answer leaves a password that waits, and the config names it: to stage another must not erase it.
#[test]
fn a_password_that_waits_is_committed_before_another_is_staged() {
    for doing in [Doing::Adding, Doing::Rotating] {
        let commit = {
            let world = doing.world();
            let served = world.dying(u64::MAX, true);
            doing.run(&mut world.open(), &served);
            served.calls.load(Ordering::Relaxed) - 1
        };
        let world = doing.world();
        let served = world.dying(commit, false);
        doing.run(&mut world.open(), &served);
        let back = Arc::new(Served::new(&world.secrets, MemoryStore::default()));
        back.store.records().clone_from(&served.store.records());

        let opened = world.open();
        let (id, _) = pairs(&opened.repository).remove(0);
        let transport: Arc<dyn Transport> = back.clone();
        let mut rotation = Rotation::prepare();
        rotation.carry_over_password(&opened, &transport, &id, &password(GEESE), &mut |_| Ok(true)).unwrap();
        // The owner thinks better of it.
        drop(rotation);
        let recovered = world.recover(&back, GEESE).unwrap();
        assert!(recovered.key.ct_eq(&opened.key), "{doing:?}");
    }
}

#[test]
fn a_vault_that_says_no_is_understood() {
    let world = World::with_password();
    for _ in 0..3 {
        assert!(world.recover(&world.served, HERONS).is_err());
    }
    let refused = world.recover(&world.served, GEESE).err().unwrap();
    let is_locked = matches!(
        &refused,
        UnlockError::Guess(GuessError::Vault(VaultError::Refused {
            refusal: Refusal::Locked { seconds: 50..=60 },
            ..
        }))
    );
    assert!(is_locked, "{refused:?}");
    world.served.store.records().clear();
    let refused = world.recover(&world.served, GEESE).err().unwrap();
    let is_unknown = matches!(
        &refused,
        UnlockError::Guess(GuessError::Vault(VaultError::Refused { refusal: Refusal::NoRecord, .. }))
    );
    assert!(is_unknown, "{refused:?}");
}

/// The vault may find that out before it counts a guess, or behind that.
#[test]
fn a_guess_at_a_damaged_record_is_told_as_perhaps_counted() {
    struct Rotting(Arc<Served>);
    impl Transport for Rotting {
        fn post(&self, vault: &VaultAddress, path: &str, message: &[u8]) -> Result<Reply, TransportError> {
            let reply = self.0.post(vault, path, message);
            if path == LookRequest::PATH {
                self.0.store.records().values_mut().for_each(|(row, _)| row.bytes[100] ^= 1);
            }
            reply
        }
    }
    let world = World::with_password();
    let secret = Some(Secret::Password(Zeroizing::new(GEESE.to_owned())));
    let mut owner = Owner { secret, transport: Arc::new(Rotting(Arc::clone(&world.served))), ahead: Vec::new() };
    let found = world.found("laptop", Arc::new(world.memory.clone()));
    let failed = found.unlock(&mut owner).err().unwrap();
    let is_told = matches!(
        &failed,
        UnlockError::Guess(GuessError::Unanswered(VaultError::Refused { refusal: Refusal::DamagedRecord, .. }))
    );
    assert!(is_told, "{failed:?}");
    // A record that is known to be damaged is guessed at no more.
    let failed = world.recover(&world.served, GEESE).err().unwrap();
    let is_told = matches!(
        &failed,
        UnlockError::Guess(GuessError::Vault(VaultError::Refused { refusal: Refusal::DamagedRecord, .. }))
    );
    assert!(is_told, "{failed:?}");
}

/// What of a change is on its way when everything ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Adding,
    Changing,
    Rotating,
}

impl Doing {
    /// Does it, as far as it gets.
    fn run(self, opened: &mut Opened, served: &Arc<Served>) {
        let transport: Arc<dyn Transport> = served.clone();
        match self {
            Self::Adding => {
                let _ = add_password(opened, &*transport, &served.address(), &password(GEESE), "");
            }
            Self::Changing => {
                let (id, _) = pairs(&opened.repository).remove(0);
                let _ = change_password(opened, &*transport, (&id.to_string(), None), &password(HERONS));
            }
            Self::Rotating => {
                let (id, _) = pairs(&opened.repository).remove(0);
                let mut rotation = Rotation::prepare();
                if rotation.carry_over_password(opened, &transport, &id, &password(GEESE), &mut |_| Ok(true)).is_ok() {
                    let _ = rotation.run(opened, None);
                }
            }
        }
    }

    fn world(self) -> World {
        if self == Self::Adding { World::new() } else { World::with_password() }
    }
}

/// Wherever it ends, the old password or the new one leads to the key that holds, and the next look puts the rest in order.
fn assert_not_stranded(world: &World, served: &Arc<Served>, doing: Doing, what: &str) {
    let mut opened = world.open();
    let leads = |text: &str, key: &BackupKey| world.recover(served, text).is_ok_and(|opened| opened.key.ct_eq(key));
    let passwords = pairs(&opened.repository).len();
    match doing {
        Doing::Adding if passwords == 0 => return,
        Doing::Changing => assert!(leads(GEESE, &opened.key) || leads(HERONS, &opened.key), "{doing:?} {what}"),
        _ => assert!(leads(GEESE, &opened.key), "{doing:?} {what}"),
    }
    told(&mut opened, served).unwrap_or_else(|error| panic!("{doing:?} {what}: {error:?}"));
    assert_eq!(pairs(&opened.repository).len(), 1, "{doing:?} {what}");
    let last = told(&mut opened, served).unwrap();
    assert!(last.events.iter().any(|event| event.kind == EventKind::Committed), "{doing:?} {what}");
    assert!(leads(GEESE, &opened.key) || leads(HERONS, &opened.key), "{doing:?} {what}");
}

#[test]
fn wherever_the_vault_is_lost_nobody_is_stranded() {
    for doing in [Doing::Adding, Doing::Changing, Doing::Rotating] {
        let all = {
            let world = doing.world();
            let served = world.dying(u64::MAX, true);
            doing.run(&mut world.open(), &served);
            served.calls.load(Ordering::Relaxed)
        };
        assert!(all >= 3);
        for (call, takes_effect) in (0..all).flat_map(|call| [(call, false), (call, true)]) {
            let world = doing.world();
            let served = world.dying(call, takes_effect);
            doing.run(&mut world.open(), &served);
            // The vault is there again, with what it kept.
            let back = Served::new(&world.secrets, MemoryStore::default());
            back.store.records().clone_from(&served.store.records());
            assert_not_stranded(&world, &Arc::new(back), doing, &format!("vault call {call} {takes_effect}"));
        }
    }
}

#[test]
fn wherever_the_device_dies_at_the_storage_nobody_is_stranded() {
    for doing in [Doing::Adding, Doing::Changing, Doing::Rotating] {
        let (opening, all) = {
            let world = doing.world();
            let counting = Arc::new(FaultStorage::new(Arc::new(world.memory.clone()), |_| None));
            let mut opened = world.open_through(counting.clone());
            let opening = counting.calls();
            doing.run(&mut opened, &world.served);
            (opening, counting.calls())
        };
        let step = if cfg!(debug_assertions) { 7 } else { 1 };
        for call in (opening..all).step_by(step) {
            let world = doing.world();
            let dying = Arc::new(FaultStorage::new(Arc::new(world.memory.clone()), fault::crash_at(call)));
            let mut opened = world.open_through(dying);
            doing.run(&mut opened, &world.served);
            assert_not_stranded(&world, &world.served, doing, &format!("storage call {call}"));
        }
    }
}
