//! What the devices of a simulated history do, and what must be so after each of their operations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use hushkeep_core::Secret;
use hushkeep_core::keys::BackupKey;
use hushkeep_repo::{
    BackupError, BackupOptions, Clock, ConfigError, DamageCause, FindError, ForgetError, LockedRepository, PruneError,
    PruneOptions, Quiet, ReadError, RelPath, Repository, RotateError, Snapshot, SnapshotId, Source, Storage, Timestamp,
    UnlockError,
};

use crate::common::*;
use crate::world::{Script, View, World};

/// What should be there.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) live: BTreeMap<SnapshotId, Expected>,
    pub(crate) forgotten: BTreeMap<SnapshotId, Expected>,
    /// Snapshots that another device forgot before their own had come to the end of its backup.
    pub(crate) forgotten_early: BTreeSet<SnapshotId>,
    /// Trees of backups that failed: their snapshots may be there or not.
    pub(crate) unsure: Vec<Expected>,
    /// Snapshots whose forgetting failed.
    pub(crate) unsure_forgotten: BTreeSet<SnapshotId>,
    /// Keys that may hold: the one after a rotation that failed, and the one before.
    pub(crate) keys: Vec<u8>,
}

#[derive(Clone)]
pub(crate) struct Expected {
    pub(crate) nodes: BTreeMap<RelPath, Node>,
    /// It was published under a key that had been replaced by then, or at the same time: nobody takes it, and its device will
    /// be told. Or it was forgotten in that way, and is there again.
    pub(crate) too_late: bool,
}

impl Model {
    /// A device replaced the key, and saw these snapshots. What others published meanwhile and it did not see counts for
    /// nothing.
    pub(crate) fn part(&mut self, seen: &BTreeSet<SnapshotId>) {
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

/// A device of the simulation.
pub(crate) struct SimDevice {
    pub(crate) number: usize,
    pub(crate) device: Device,
    /// How far its clock is from the storage's.
    pub(crate) clock_offset: i64,
    pub(crate) state: Mutex<DeviceState>,
}

pub(crate) struct DeviceState {
    pub(crate) tree: MemoryTree,
    pub(crate) key: u8,
    /// What it sees of others never goes back.
    pub(crate) horizon: i64,
}

#[derive(Debug, Clone)]
pub(crate) enum Operation {
    Backup,
    Forget { share: u32 },
    Prune(Thrift),
    ForgetAndPrune { share: u32, thrift: Thrift },
    Rotate { key: u8 },
}

/// How far a prune goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Thrift {
    pub(crate) max_unused: f64,
    pub(crate) max_repack_bytes: u64,
}

pub(crate) fn key_of(number: u8) -> BackupKey {
    BackupKey::from_secret(Secret::build(|bytes| *bytes = [number; 32]))
}

/// A device's clock, off by some seconds.
struct SimClock {
    view: Arc<View>,
    offset: i64,
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        at(self.view.now() + self.offset)
    }
}

impl SimDevice {
    /// Does something; whether it succeeded. Failures must have a reason.
    pub(crate) fn operate(
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
        let view = View::new(world, self.number, (state.horizon, lag), script);
        let (time, name) = (world.now() - NOW, format!("device {}", self.number));
        println!(
            "  {time} s: {name} with key {} that sees {} s late: {operation:?}",
            state.key,
            world.now() - state.horizon
        );
        let done = self.perform(operation, &mut state, model, &view);
        state.horizon = view.horizon();
        println!("  {name} {} at {} s", if done { "is done" } else { "failed" }, world.now() - NOW);
        done
    }

    fn perform(&self, operation: &Operation, state: &mut DeviceState, model: &Mutex<Model>, view: &Arc<View>) -> bool {
        let now = at(view.now() + self.clock_offset);
        let Some(mut repository) = self.open(state, view, model) else { return false };
        match operation {
            Operation::Backup => back_up(&mut repository, state, now, model, view),
            Operation::Forget { share } => forget(&mut repository, *share, state.key, now, model, view),
            Operation::Prune(thrift) => prune(&mut repository, *thrift, now, view),
            Operation::ForgetAndPrune { share, thrift } => {
                forget(&mut repository, *share, state.key, now, model, view)
                    && prune(&mut repository, *thrift, now, view)
            }
            Operation::Rotate { key } => rotate(&mut repository, *key, state, now, model, view),
        }
    }

    fn open(&self, state: &mut DeviceState, view: &Arc<View>, model: &Mutex<Model>) -> Option<Repository> {
        let storage: Arc<dyn Storage> = view.clone();
        let locked = match LockedRepository::find(storage, None) {
            Ok(locked) => locked,
            Err(FindError::Read(error)) if view.has_failed() || is_gone(&error) => return None,
            Err(error) => panic!("{error}"),
        };
        let clock = SimClock { view: Arc::clone(view), offset: self.clock_offset };
        match locked.unlock(&key_of(state.key), self.device.state.clone(), self.device.rng(), clock) {
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
    now: Timestamp,
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
    now: Timestamp,
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

fn prune(repository: &mut Repository, thrift: Thrift, now: Timestamp, view: &View) -> bool {
    let Thrift { max_unused, max_repack_bytes } = thrift;
    match repository.prune(&PruneOptions { now, max_unused, max_repack_bytes, dry_run: false }, &Quiet) {
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
    now: Timestamp,
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
