//! Random histories against a model: several devices with clocks of their own back up, forget, prune and rotate, die at
//! any call, see each other late and come in between each other. After every step everything that should be there is
//! restored and compared.
//!
//! `HUSHKEEP_SEEDS=first..end` runs other seeds than the few that every test run has. A seed that once failed stands in
//! [`FAIR_REGRESSIONS`] or [`ROUGH_REGRESSIONS`].
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "a test may fail")]
#![allow(clippy::cast_possible_truncation, reason = "small numbers")]

mod common;
#[path = "simulation/devices.rs"]
mod devices;
#[path = "simulation/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use common::*;
use devices::{DeviceState, Expected, Model, Operation, SimDevice, Thrift, key_of};
use hushkeep_core::name::RepositoryId;
use hushkeep_repo::storage::Folder;
use hushkeep_repo::{
    CheckOptions, LockedRepository, Quiet, ReadError, Repository, SnapshotId, State, Storage, UnlockError,
};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use world::{Fault, Interruption, Moment, Script, View, World};

/// Seeds that once found a defect, in histories without what makes others rough.
const FAIR_REGRESSIONS: &[u64] = &[725, 763, 866, 2935, 5409, 34559, 81322, 81743];

/// Seeds that once found a defect.
const ROUGH_REGRESSIONS: &[u64] = &[129, 189];

const STEPS: u32 = 40;
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// Others' commits are seen within so many seconds where commits are not exclusive: half of what is waited before
/// anything is dropped, less a day to spare.
const MAX_LAG: i64 = 60 * HOUR;
const FAIR_MAX_LAG: i64 = 2 * DAY;

/// So long, at most, a device may sleep between looking who else published and publishing: it adds to the lag.
const SHORT_PAUSE: i64 = 12 * HOUR;
const LONG_PAUSE: i64 = 10 * DAY;

#[test]
fn nothing_is_ever_lost() {
    let given = std::env::var("HUSHKEEP_SEEDS").ok();
    let range = given.as_deref().unwrap_or("0..6");
    let (first, end) = range.split_once("..").expect("HUSHKEEP_SEEDS is a range such as 0..1000");
    let seeds = first.parse().unwrap()..end.parse::<u64>().unwrap();
    let mut tally = BTreeMap::new();
    for seed in seeds.chain(ROUGH_REGRESSIONS.iter().copied()) {
        println!("seed {seed}");
        Simulation::new(seed, true).run(&mut tally);
    }
    for seed in FAIR_REGRESSIONS {
        println!("seed {seed}, fair");
        Simulation::new(*seed, false).run(&mut tally);
    }
    println!("simulation: {tally:?}");
}

struct Simulation {
    rng: ChaCha20Rng,
    /// Devices sleep in the middle of something, and several act before any sees the others, as late as may be.
    is_rough: bool,
    world: Arc<World>,
    devices: Vec<Arc<SimDevice>>,
    model: Arc<Mutex<Model>>,
    next_key: u8,
}

impl Simulation {
    fn new(seed: u64, is_rough: bool) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let world = World::new(seed.is_multiple_of(2), NOW);
        let model = Arc::new(Mutex::new(Model { keys: vec![1], ..Model::default() }));
        let devices = (0..3).map(|number| {
            let clock_offset = [0, rng.next_u32() as i64 % (400 * DAY), -(rng.next_u32() as i64 % (400 * DAY))][number];
            let mut tree = MemoryTree::new(&[]);
            change(&mut tree, &mut rng);
            let state = Mutex::new(DeviceState { tree, key: 1, horizon: NOW });
            Arc::new(SimDevice { number, device: Device::new(seed * 16 + number as u64), clock_offset, state })
        });
        let devices: Vec<_> = devices.collect();
        let storage: Arc<dyn Storage> = View::of_all(&world);
        let state: Arc<dyn State> = devices[0].device.state.clone();
        let id = RepositoryId::from_bytes([8; 16]);
        Repository::create(storage, state, &key_of(1), id, at(NOW), devices[0].device.rng()).unwrap();
        let mut simulation = Self { rng, is_rough, world, devices, model, next_key: 2 };
        if is_rough && seed % 8 < 2 {
            simulation.grow_old();
        }
        simulation
    }

    /// One device has long been away, another has made enough commits that old ones are dropped.
    fn grow_old(&mut self) {
        for number in std::iter::once(2).chain([0; 40]) {
            let device = self.devices[number].clone();
            change(&mut device.state.lock().unwrap().tree, &mut self.rng);
            device.operate(&Operation::Backup, &self.world, &self.model, 0, Script::default());
        }
        self.world.wait(91 * DAY);
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

    /// One operation of one device, or some of several that do not see each other.
    fn step(&mut self, tally: &mut BTreeMap<&'static str, u64>) {
        let wait = [0, 60, HOUR, DAY / 2, DAY, 4 * DAY, 8 * DAY, 100 * DAY][self.below(8) as usize];
        let wait = if wait == 100 * DAY && self.below(4) != 0 { DAY } else { wait };
        self.world.wait(wait);
        if self.is_rough && self.below(4) == 0 {
            // Just before and after what is waited for is over.
            let waits = [MAX_LAG - HOUR, 3 * DAY + 11 * HOUR, 7 * DAY - HOUR, 7 * DAY + HOUR];
            let wait = waits[self.below(4) as usize];
            self.world.wait(wait);
        }
        if !self.is_rough || self.below(4) != 0 {
            let (device, lag) = (self.some_device(), None);
            return self.act(device, lag, tally);
        }
        for _ in 0..2 + self.below(3) {
            let device = self.some_device();
            self.act(device, Some(MAX_LAG), tally);
        }
    }

    /// One operation of one device, perhaps with a fault, perhaps with another device in between.
    fn act(&mut self, device: Arc<SimDevice>, lag: Option<i64>, tally: &mut BTreeMap<&'static str, u64>) {
        let operation = self.some_operation_of(device.number);
        let mut script = Script { fault: self.some_fault(), between: None, pause: self.some_pause() };
        if self.below(3) == 0 {
            script.between = Some(self.some_interruption(&device));
        }
        if self.below(4) != 0 {
            change(&mut device.state.lock().unwrap().tree, &mut self.rng);
        }
        if !self.is_rough {
            // The kept seeds were found with one more number here.
            self.below(4);
        }
        let some_lag = self.some_lag();
        let name = match &operation {
            Operation::Backup => "backups",
            Operation::Forget { .. } => "forgets",
            Operation::Prune(_) => "prunes",
            Operation::ForgetAndPrune { .. } => "forgets and prunes",
            Operation::Rotate { .. } => "rotations",
        };
        *tally.entry(name).or_default() += 1;
        let lag = lag.filter(|_| !self.world_is_exclusive()).unwrap_or(some_lag);
        let done = device.operate(&operation, &self.world, &self.model, lag, script);
        *tally.entry(if done { "done" } else { "failed" }).or_default() += 1;
    }

    /// What another device does before a call of this one.
    fn some_interruption(&mut self, device: &SimDevice) -> Interruption {
        let moments = [Moment::PutPack, Moment::PutIndex, Moment::PutConfig, Moment::PutCommit];
        let moments = [moments.as_slice(), &[Moment::ListCommits, Moment::Delete]].concat();
        let moment = moments[self.below(6) as usize];
        let other = (device.number + 1 + self.below(2) as usize) % 3;
        let other = self.devices[other].clone();
        let (inner, fault) =
            (self.some_operation_of(other.number), self.some_fault().filter(|_| moment == Moment::PutPack));
        let (world, model, lag) = (Arc::clone(&self.world), Arc::clone(&self.model), self.some_lag());
        change(&mut other.state.lock().unwrap().tree, &mut self.rng);
        let calls_before = if self.is_rough { self.below(3) } else { 0 };
        let act = move || {
            other.operate(&inner, &world, &model, lag, Script { fault, ..Script::default() });
        };
        Interruption { moment, calls_before, act: Box::new(act) }
    }

    fn some_device(&mut self) -> Arc<SimDevice> {
        let number = self.below(3) as usize;
        self.devices[number].clone()
    }

    /// Two devices do not rotate at once: where each sees the other late, they would part for ever.
    fn some_operation_of(&mut self, device: usize) -> Operation {
        if self.is_rough && self.below(8) == 0 {
            return match device {
                0 => self.rotation(),
                _ => Operation::ForgetAndPrune { share: self.below(100), thrift: self.some_thrift() },
            };
        }
        match self.below(if device == 0 { 16 } else { 15 }) {
            0..=7 => Operation::Backup,
            8..=10 => Operation::Forget { share: self.below(100) },
            11..=14 => Operation::Prune(self.some_thrift()),
            _ => self.rotation(),
        }
    }

    fn some_thrift(&mut self) -> Thrift {
        let max_unused = [0.0, 0.0, 0.3, 1.0][self.below(4) as usize];
        Thrift { max_unused, max_repack_bytes: [u64::MAX, 5000][self.below(2) as usize] }
    }

    fn rotation(&mut self) -> Operation {
        self.next_key += 1;
        Operation::Rotate { key: self.next_key }
    }

    /// A device sleeps before a call.
    fn some_pause(&mut self) -> Option<(Moment, i64)> {
        if !self.is_rough || self.below(3) != 0 {
            return None;
        }
        let (moment, longest) = [
            (Moment::PutPack, LONG_PAUSE),
            (Moment::PutIndex, LONG_PAUSE),
            (Moment::Delete, LONG_PAUSE),
            (Moment::PutConfig, SHORT_PAUSE),
            (Moment::ListCommits, SHORT_PAUSE),
            (Moment::PutCommit, SHORT_PAUSE),
        ][self.below(6) as usize];
        Some((moment, i64::from(self.below(longest as u32))))
    }

    fn some_fault(&mut self) -> Option<(u64, Fault)> {
        let fault = [Fault::Refuse, Fault::LoseReply, Fault::DieBefore, Fault::DieAfter][self.below(4) as usize];
        let at = u64::from(self.below(30)) + 1;
        (self.below(3) == 0).then_some((at, fault))
    }

    fn some_lag(&mut self) -> i64 {
        if self.world_is_exclusive() {
            return 0;
        }
        if !self.is_rough {
            return i64::from(self.below(3)) * i64::from(self.below(FAIR_MAX_LAG as u32 / 2));
        }
        [0, i64::from(self.below(MAX_LAG as u32)), MAX_LAG][self.below(3) as usize]
    }

    fn world_is_exclusive(&self) -> bool {
        View::of_all(&self.world).features().create_if_absent
    }

    /// Opens the repository as somebody who has never seen it, and restores everything.
    fn verify(&self) {
        let storage: Arc<dyn Storage> = View::of_all(&self.world);
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
        for (id, expected) in std::mem::take(&mut model.live) {
            let (is_there, may_be_gone) = (there.contains(&id), unsure.contains(&id) || expected.too_late);
            assert!(is_there || may_be_gone, "a snapshot is lost");
            // However late it came, it counts now. What is gone may come back: who rotates may not have seen it go.
            let expected = Expected { too_late: expected.too_late && !is_there, ..expected };
            if is_there { &mut model.live } else { &mut model.forgotten }.insert(id, expected);
        }
        model.unsure.clear();
    }

    /// In the end nothing is left that nobody needs, and all that is left is whole.
    fn clean_up(mut self) {
        let device = self.devices[0].clone();
        for _ in 0..4 {
            self.world.wait(8 * DAY);
            let prune = Operation::Prune(Thrift { max_unused: 0.0, max_repack_bytes: u64::MAX });
            // The first may only learn that the key was rotated. A backup sets the storage's clock.
            for operation in [Operation::Backup, prune] {
                device.operate(&operation, &self.world, &self.model, 0, Script::default());
                self.verify();
            }
        }
        let storage: Arc<dyn Storage> = View::of_all(&self.world);
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
