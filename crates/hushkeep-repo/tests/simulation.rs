//! Random histories against a model: several devices with clocks of their own back up, forget, prune and rotate, die at
//! any call, see each other late and come in between each other. After every step everything that should be there is
//! restored and compared.
//!
//! `HUSHKEEP_SEEDS=first..end` runs other seeds than the few that every test run has. A seed that once failed stands in
//! [`REGRESSIONS`].
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "a test may fail")]
#![allow(clippy::cast_possible_truncation, reason = "small numbers")]

mod common;
#[path = "simulation/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use common::*;
use hushkeep_core::Secret;
use hushkeep_core::keys::BackupKey;
use hushkeep_core::name::RepositoryId;
use hushkeep_repo::storage::Folder;
use hushkeep_repo::{
    BackupError, BackupOptions, CheckOptions, DamageCause, FindError, ForgetError, LockedRepository, PruneError,
    PruneOptions, Quiet, ReadError, RelPath, Repository, RotateError, Snapshot, SnapshotId, Source, State, Storage,
    UnlockError,
};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use world::{Fault, Moment, Script, View, World};

/// Seeds that once found a defect.
const REGRESSIONS: &[u64] = &[725, 763, 866, 2935, 5409, 34559, 81322, 81743];

const STEPS: u32 = 40;
const DAY: i64 = 86_400;

/// Others' commits are seen within so many seconds where commits are not exclusive: half of what is waited before
/// anything is dropped, less a day to spare.
const MAX_LAG: i64 = 2 * DAY;

#[test]
fn nothing_is_ever_lost() {
    let given = std::env::var("HUSHKEEP_SEEDS").ok();
    let range = given.as_deref().unwrap_or("0..12");
    let (first, end) = range.split_once("..").expect("HUSHKEEP_SEEDS is a range such as 0..1000");
    let seeds = first.parse().unwrap()..end.parse::<u64>().unwrap();
    let mut tally = BTreeMap::new();
    for seed in seeds.chain(REGRESSIONS.iter().copied()) {
        println!("seed {seed}");
        Simulation::new(seed).run(&mut tally);
    }
    println!("simulation: {tally:?}");
}

/// What should be there.
#[derive(Default)]
struct Model {
    live: BTreeMap<SnapshotId, Expected>,
    forgotten: BTreeMap<SnapshotId, Expected>,
    /// Snapshots that another device forgot before their own had come to the end of its backup.
    forgotten_early: BTreeSet<SnapshotId>,
    /// Trees of backups that failed: their snapshots may be there or not.
    unsure: Vec<Expected>,
    /// Snapshots whose forgetting failed.
    unsure_forgotten: BTreeSet<SnapshotId>,
    /// Keys that may hold: the one after a rotation that failed, and the one before.
    keys: Vec<u8>,
}

#[derive(Clone)]
struct Expected {
    nodes: BTreeMap<RelPath, Node>,
    /// It was published under a key that had been replaced by then, or at the same time: nobody takes it, and its device will
    /// be told. Or it was forgotten in that way, and is there again.
    too_late: bool,
}

impl Model {
    /// A device replaced the key, and saw these snapshots. What others published meanwhile and it did not see counts for
    /// nothing.
    fn part(&mut self, seen: &BTreeSet<SnapshotId>) {
        for (id, expected) in &mut self.live {
            expected.too_late |= !seen.contains(id);
        }
        for id in seen {
            if let Some(expected) = self.forgotten.remove(id) {
                self.live.insert(*id, Expected { too_late: true, ..expected });
            }
        }
    }
}

struct Simulation {
    rng: ChaCha20Rng,
    world: Arc<World>,
    devices: Vec<Arc<SimDevice>>,
    model: Arc<Mutex<Model>>,
    next_key: u8,
}

/// A device of the simulation.
struct SimDevice {
    number: usize,
    device: Device,
    /// How far its clock is from the storage's.
    clock_offset: i64,
    state: Mutex<DeviceState>,
}

struct DeviceState {
    tree: MemoryTree,
    key: u8,
    /// What it sees of others never goes back.
    horizon: i64,
    /// A repository that it has open since some time.
    open: Option<Repository>,
}

#[derive(Debug, Clone)]
enum Operation {
    Backup,
    Forget { share: u32 },
    Prune { max_unused: f64, max_repack_bytes: u64 },
    Rotate { key: u8 },
}

fn key_of(number: u8) -> BackupKey {
    BackupKey::from_secret(Secret::build(|bytes| *bytes = [number; 32]))
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let world = World::new(seed.is_multiple_of(2), NOW);
        let model = Arc::new(Mutex::new(Model { keys: vec![1], ..Model::default() }));
        let devices = (0..3).map(|number| {
            let clock_offset = [0, rng.next_u32() as i64 % (400 * DAY), -(rng.next_u32() as i64 % (400 * DAY))][number];
            let mut tree = MemoryTree::new(&[]);
            change(&mut tree, &mut rng);
            let state = Mutex::new(DeviceState { tree, key: 1, horizon: NOW, open: None });
            Arc::new(SimDevice { number, device: Device::new(seed * 16 + number as u64), clock_offset, state })
        });
        let devices: Vec<_> = devices.collect();
        let storage: Arc<dyn Storage> = View::new(&world, 0, i64::MAX, Script::default());
        let state: Arc<dyn State> = devices[0].device.state.clone();
        let id = RepositoryId::from_bytes([8; 16]);
        Repository::create(storage, state, &key_of(1), id, at(NOW), devices[0].device.rng()).unwrap();
        Self { rng, world, devices, model, next_key: 2 }
    }

    fn below(&mut self, end: u32) -> u32 {
        self.rng.next_u32() % end
    }

    fn run(mut self, tally: &mut BTreeMap<&'static str, u64>) {
        for _ in 0..STEPS {
            self.step(tally);
            self.verify();
        }
        self.clean_up();
        *tally.entry("seeds").or_default() += 1;
    }

    /// One operation of one device, perhaps with a fault, perhaps with another device in between.
    fn step(&mut self, tally: &mut BTreeMap<&'static str, u64>) {
        let wait = [0, 60, 3600, DAY / 2, DAY, 4 * DAY, 8 * DAY, 100 * DAY][self.below(8) as usize];
        let wait = if wait == 100 * DAY && self.below(4) != 0 { DAY } else { wait };
        self.world.wait(wait);
        let device = self.some_device();
        let operation = self.some_operation_of(device.number);
        let mut script = Script { fault: self.some_fault(), between: None };
        if self.below(3) == 0 {
            let moments = [Moment::PutPack, Moment::PutIndex, Moment::PutConfig, Moment::PutCommit];
            let moments = [moments.as_slice(), &[Moment::ListCommits, Moment::Delete]].concat();
            let moment = moments[self.below(6) as usize];
            let other = (device.number + 1 + self.below(2) as usize) % 3;
            let other = self.devices[other].clone();
            let (inner, inner_fault) =
                (self.some_operation_of(other.number), self.some_fault().filter(|_| moment == Moment::PutPack));
            let (world, model, lag) = (Arc::clone(&self.world), Arc::clone(&self.model), self.some_lag());
            change(&mut other.state.lock().unwrap().tree, &mut self.rng);
            let between = move || {
                let script = Script { fault: inner_fault, between: None };
                other.operate(&inner, &world, &model, lag, script);
            };
            script.between = Some((moment, Box::new(between)));
        }
        if self.below(4) != 0 {
            change(&mut device.state.lock().unwrap().tree, &mut self.rng);
        }
        if self.below(4) != 0 {
            device.state.lock().unwrap().open = None;
        }
        let lag = self.some_lag();
        let name = match &operation {
            Operation::Backup => "backups",
            Operation::Forget { .. } => "forgets",
            Operation::Prune { .. } => "prunes",
            Operation::Rotate { .. } => "rotations",
        };
        *tally.entry(name).or_default() += 1;
        let done = device.operate(&operation, &self.world, &self.model, lag, script);
        *tally.entry(if done { "done" } else { "failed" }).or_default() += 1;
    }

    fn some_device(&mut self) -> Arc<SimDevice> {
        let number = self.below(3) as usize;
        self.devices[number].clone()
    }

    /// Two devices do not rotate at once: where each sees the other late, they would part for ever.
    fn some_operation_of(&mut self, device: usize) -> Operation {
        match self.below(if device == 0 { 16 } else { 15 }) {
            0..=7 => Operation::Backup,
            8..=10 => Operation::Forget { share: self.below(100) },
            11..=14 => {
                let max_unused = [0.0, 0.0, 0.3, 1.0][self.below(4) as usize];
                Operation::Prune { max_unused, max_repack_bytes: [u64::MAX, 5000][self.below(2) as usize] }
            }
            _ => {
                self.next_key += 1;
                Operation::Rotate { key: self.next_key }
            }
        }
    }

    fn some_fault(&mut self) -> Option<(u64, Fault)> {
        let fault = [Fault::Refuse, Fault::LoseReply, Fault::DieBefore, Fault::DieAfter][self.below(4) as usize];
        let at = u64::from(self.below(30)) + 1;
        (self.below(3) == 0).then_some((at, fault))
    }

    fn some_lag(&mut self) -> i64 {
        if self.world_is_exclusive() { 0 } else { i64::from(self.below(3)) * i64::from(self.below(MAX_LAG as u32 / 2)) }
    }

    fn world_is_exclusive(&self) -> bool {
        View::new(&self.world, 0, 0, Script::default()).features().create_if_absent
    }

    /// Opens the repository as somebody who has never seen it, and restores everything.
    fn verify(&self) {
        let storage: Arc<dyn Storage> = View::new(&self.world, usize::MAX, i64::MAX, Script::default());
        let model = &mut *self.model.lock().unwrap();
        let (key, repository) = open_by_any(&storage, &model.keys);
        model.keys = vec![key];
        assert_eq!(repository.damaged_commits(), []);
        let numbers: Vec<u64> = repository.snapshots().iter().map(|snapshot| snapshot.number).collect();
        println!("  key {key} opens snapshots {numbers:?}");
        for snapshot in repository.snapshots() {
            let restored = restored_nodes(&repository, snapshot);
            match model.live.get(&snapshot.id) {
                Some(expected) => assert!(expected.nodes == restored, "snapshot {} differs", snapshot.number),
                None => {
                    let place = model.unsure.iter().position(|unsure| unsure.nodes == restored);
                    let place = place.expect("a snapshot that nobody made");
                    model.live.insert(snapshot.id, model.unsure.remove(place));
                }
            }
        }
        let there: BTreeSet<SnapshotId> = repository.snapshots().iter().map(|snapshot| snapshot.id).collect();
        let unsure = std::mem::take(&mut model.unsure_forgotten);
        model.live.retain(|id, expected| {
            let may_be_gone = unsure.contains(id) || expected.too_late;
            assert!(there.contains(id) || may_be_gone, "a snapshot is lost");
            there.contains(id)
        });
        model.unsure.clear();
    }

    /// In the end nothing is left that nobody needs, and all that is left is whole.
    fn clean_up(mut self) {
        let device = self.devices[0].clone();
        for _ in 0..4 {
            self.world.wait(8 * DAY);
            device.state.lock().unwrap().open = None;
            let prune = Operation::Prune { max_unused: 0.0, max_repack_bytes: u64::MAX };
            // The first may only learn that the key was rotated. A backup sets the storage's clock.
            for operation in [Operation::Backup, prune] {
                device.operate(&operation, &self.world, &self.model, 0, Script::default());
                self.verify();
            }
        }
        let storage: Arc<dyn Storage> = View::new(&self.world, usize::MAX, i64::MAX, Script::default());
        let (_, repository) = open_by_any(&storage, &self.model.lock().unwrap().keys.clone());
        let report = repository.check(&CheckOptions { read_data: 1.0 }, &Quiet).unwrap();
        assert!(report.findings.is_empty(), "{:?}", report.findings);
        assert!(self.world.count(Folder::Index) <= 16, "index objects are left");
        let snapshots = self.model.lock().unwrap().live.len();
        assert!(self.world.count(Folder::Packs) <= 16 + snapshots, "packs are left");
        self.rng = ChaCha20Rng::seed_from_u64(0);
    }
}

fn open_by_any(storage: &Arc<dyn Storage>, keys: &[u8]) -> (u8, Repository) {
    let locked = LockedRepository::find(Arc::clone(storage), None).unwrap();
    let nobody = Device::new(99);
    for key in keys {
        match locked.unlock(&key_of(*key), Device::new(99).state.clone(), nobody.rng(), at(NOW)) {
            Ok(repository) => return (*key, repository),
            Err(UnlockError::WrongKey | UnlockError::NotInForce | UnlockError::Read(ReadError::Rotated)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("none of the keys {keys:?} opens the repository")
}

impl SimDevice {
    /// Does something; whether it succeeded. Failures must have a reason.
    fn operate(
        &self,
        operation: &Operation,
        world: &Arc<World>,
        model: &Mutex<Model>,
        lag: i64,
        script: Script,
    ) -> bool {
        // A device that is in the middle of something does not begin something else.
        let Ok(mut state) = self.state.try_lock() else { return false };
        state.horizon = state.horizon.max(world.now() - lag);
        let view = View::new(world, self.number, state.horizon, script);
        let storage: Arc<dyn Storage> = view.clone();
        let (time, name) = (world.now() - NOW, format!("device {}", self.number));
        println!(
            "  {time} s: {name} with key {} that sees {} s late: {operation:?}",
            state.key,
            world.now() - state.horizon
        );
        let now = at(world.now() + self.clock_offset);
        let Some(mut repository) = self.open(&mut state, &storage, &view, model) else { return false };
        let done = match operation {
            Operation::Backup => back_up(&mut repository, &state, now, model, &view),
            Operation::Forget { share } => forget(&mut repository, *share, state.key, now, model, &view),
            Operation::Prune { max_unused, max_repack_bytes } => {
                let (max_unused, max_repack_bytes) = (*max_unused, *max_repack_bytes);
                let options = PruneOptions { now, max_unused, max_repack_bytes, dry_run: false };
                prune(&mut repository, &options, &view)
            }
            Operation::Rotate { key } => rotate(&mut repository, *key, &mut state, now, model, &view),
        };
        println!("  {name} {}", if done { "is done" } else { "failed" });
        done
    }

    fn open(
        &self,
        state: &mut DeviceState,
        storage: &Arc<dyn Storage>,
        view: &View,
        model: &Mutex<Model>,
    ) -> Option<Repository> {
        let locked = match LockedRepository::find(Arc::clone(storage), None) {
            Ok(locked) => locked,
            Err(FindError::Read(error)) if view.has_failed() || is_gone(&error) => return None,
            Err(error) => panic!("{error}"),
        };
        let now = at(view.now() + self.clock_offset);
        match locked.unlock(&key_of(state.key), self.device.state.clone(), self.device.rng(), now) {
            Ok(repository) => Some(repository),
            Err(UnlockError::WrongKey | UnlockError::NotInForce | UnlockError::Read(ReadError::Rotated)) => {
                // The owner types the new recovery key.
                state.key = model.lock().unwrap().keys[0];
                None
            }
            Err(UnlockError::Read(error)) if view.has_failed() || is_gone(&error) => None,
            Err(error) => panic!("device {} cannot open the repository: {error}", self.number),
        }
    }
}

fn back_up(
    repository: &mut Repository,
    state: &DeviceState,
    now: hushkeep_repo::Timestamp,
    model: &Mutex<Model>,
    view: &View,
) -> bool {
    let options = BackupOptions::new(now, "phone".into());
    let source = Source { label: path("chats"), path: b"/data/chats".to_vec(), tree: &state.tree };
    let result = repository.backup(&[source], &options, &Quiet);
    let mut model = model.lock().unwrap();
    let too_late = model.keys.first() != Some(&state.key);
    let expected = Expected { nodes: expected_nodes(&state.tree), too_late };
    match result {
        Ok(report) => {
            assert!(report.problems.is_empty() && report.damage.is_empty(), "{report:?}");
            let id = report.snapshot.unwrap().id;
            if !model.forgotten_early.remove(&id) {
                model.live.insert(id, expected);
            }
            true
        }
        Err(error) => {
            let has_reason = match error {
                BackupError::Overtaken | BackupError::Read(ReadError::Rotated) => true,
                BackupError::Read(ref error) if is_gone(error) => true,
                _ => view.has_failed(),
            };
            assert!(has_reason, "{error}");
            model.unsure.push(expected);
            false
        }
    }
}

fn forget(
    repository: &mut Repository,
    share: u32,
    own_key: u8,
    now: hushkeep_repo::Timestamp,
    model: &Mutex<Model>,
    view: &View,
) -> bool {
    let chosen = |snapshot: &&Snapshot| u32::from(snapshot.id.as_bytes()[0]) % 100 < share;
    let ids: Vec<SnapshotId> = repository.snapshots().iter().filter(chosen).map(|snapshot| snapshot.id).collect();
    let result = repository.forget(&ids, now);
    let mut model = model.lock().unwrap();
    match result {
        // After a rotation that this device has not seen, what it forgets is not forgotten.
        Ok(()) if model.keys.first() != Some(&own_key) => {
            model.unsure_forgotten.extend(ids);
            true
        }
        Ok(()) => {
            for id in ids {
                match model.live.remove(&id) {
                    Some(expected) => drop(model.forgotten.insert(id, expected)),
                    None => drop(model.forgotten_early.insert(id)),
                }
            }
            true
        }
        Err(error) => {
            let has_reason = matches!(error, ForgetError::Read(ReadError::Rotated)) || view.has_failed();
            assert!(has_reason, "{error}");
            model.unsure_forgotten.extend(ids);
            false
        }
    }
}

fn prune(repository: &mut Repository, options: &PruneOptions, view: &View) -> bool {
    match repository.prune(options, &Quiet) {
        Ok(report) => {
            // A device that sees late what others removed may plan with a pack that is gone. What is needed is restored below.
            let only_gone = report.damage.iter().all(|damage| damage.cause == DamageCause::Missing);
            assert!(only_gone && report.undeleted.is_empty(), "{report:?}");
            true
        }
        Err(error) => {
            // For the same reason it may give up.
            let has_reason = match &error {
                PruneError::Read(ReadError::Rotated) => true,
                PruneError::Read(error) => is_gone(error),
                PruneError::Incomplete(damage) => damage.cause == DamageCause::Missing,
                _ => false,
            };
            assert!(has_reason || view.has_failed(), "{error}");
            false
        }
    }
}

fn rotate(
    repository: &mut Repository,
    key: u8,
    state: &mut DeviceState,
    now: hushkeep_repo::Timestamp,
    model: &Mutex<Model>,
    view: &View,
) -> bool {
    let protectors = repository.protectors().to_vec();
    let result = repository.rotate(&key_of(key), protectors, now);
    let mut model = model.lock().unwrap();
    if !view.features().create_if_absent && !matches!(result, Err(RotateError::Unchanged(_))) {
        model.part(&repository.snapshots().iter().map(|snapshot| snapshot.id).collect());
    }
    match result {
        Ok(_) | Err(RotateError::Changed(_)) => {
            model.keys = vec![key];
            state.key = key;
            true
        }
        Err(RotateError::Unchanged(error)) => {
            use hushkeep_repo::ConfigError;
            let has_reason = matches!(error, ConfigError::Conflict | ConfigError::Read(ReadError::Rotated));
            assert!(has_reason || view.has_failed(), "{error}");
            false
        }
        Err(_) => {
            assert!(view.has_failed());
            model.keys.insert(0, key);
            false
        }
    }
}

/// Whether an object is missing: a device that sees deletions late is shown objects that are gone. Nobody else may
/// miss any; `verify` would tell.
fn is_gone(error: &ReadError) -> bool {
    matches!(error, ReadError::Damaged(damage) if damage.cause == DamageCause::Missing)
}

/// Changes a tree in some way.
fn change(tree: &mut MemoryTree, rng: &mut ChaCha20Rng) {
    for _ in 0..1 + rng.next_u32() % 3 {
        let number = rng.next_u32() % 6;
        let content = u64::from(rng.next_u32() % 40);
        match rng.next_u32() % 4 {
            0 => tree.set(&format!("file {number}"), Node::File(random(content, 200 + content as usize * 50))),
            1 => tree.remove(&format!("file {number}")),
            2 => tree.set("notes.txt", Node::File(format!("{content} ").repeat(300).into_bytes())),
            _ => {
                let mut bytes = match tree.nodes.get(&path("chat.db")) {
                    Some(Node::Database { bytes, .. }) => bytes.clone(),
                    _ => random(1, 512 * 12),
                };
                let page = rng.next_u32() as usize % (bytes.len() / 512 + 1) * 512;
                bytes.truncate(bytes.len().max(page));
                bytes.splice(page..(page + 512).min(bytes.len()), random(content, 512));
                tree.set("chat.db", Node::Database { page_size: 512, bytes });
            }
        }
    }
}
