//! Fault injection, for tests: a storage that fails, lies and dies as planned.
//!
//! A plan is asked before every call and answers with the fault to inject, if any. It is any closure; the functions
//! here make the common ones. The same calls in the same order meet the same faults.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hushkeep_repo::storage::{Features, Folder, ObjectInfo, ObjectName, Storage, StorageError, StorageErrorKind};

use crate::Operation;

/// A call, as a plan sees it.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// How many calls went before.
    pub number: u64,
    /// What is asked for.
    pub operation: Operation,
    /// The object or folder.
    pub subject: &'a str,
    /// How many bytes a put brings; 0 for everything else.
    pub bytes: u64,
}

/// What goes wrong with a call. A fault that cannot happen to an operation leaves it as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call fails and has no effect.
    Refuse(StorageErrorKind),
    /// The call takes effect, and then fails.
    LoseReply(StorageErrorKind),
    /// The process dies before the call: it and every later one fails, and nothing changes any more.
    CrashBefore,
    /// The process dies after the call took effect, before it returns.
    CrashAfter,
    /// A read returns only so many bytes. A put stores only so many and then fails, against the contract.
    Cut(usize),
    /// A read returns one wrong bit: this one, counted around the end.
    FlipBit(usize),
    /// A listing shows its folder as it was before so many writes. Only what went through this wrapper counts.
    Stale(usize),
}

/// A storage that fails as planned. For tests.
pub struct FaultStorage {
    inner: Arc<dyn Storage>,
    state: Mutex<State>,
}

type Plan = Box<dyn FnMut(&Call<'_>) -> Option<Fault> + Send>;

struct State {
    plan: Plan,
    calls: u64,
    crashed: bool,
    changes: Vec<Change>,
}

enum Change {
    Added(ObjectName),
    Removed(ObjectInfo),
}

/// Only one call goes wrong.
pub fn once(number: u64, fault: Fault) -> impl FnMut(&Call<'_>) -> Option<Fault> + Send {
    move |call| (call.number == number).then_some(fault)
}

/// The process dies before call `number`.
pub fn crash_at(number: u64) -> impl FnMut(&Call<'_>) -> Option<Fault> + Send {
    once(number, Fault::CrashBefore)
}

/// The storage has room for `bytes` more bytes. Nothing that is deleted makes room.
pub fn full_after(bytes: u64) -> impl FnMut(&Call<'_>) -> Option<Fault> + Send {
    let mut room = bytes;
    move |call| match room.checked_sub(call.bytes) {
        Some(rest) => {
            room = rest;
            None
        }
        None => Some(Fault::Refuse(StorageErrorKind::Full)),
    }
}

/// Any call goes wrong with this probability, in one of these ways.
pub fn random(
    seed: u64,
    probability: f64,
    faults: &[Fault],
) -> impl FnMut(&Call<'_>) -> Option<Fault> + Send + 'static {
    let mut rng = fastrand::Rng::with_seed(seed);
    let faults = faults.to_vec();
    move |_| if rng.f64() < probability { rng.choice(&faults).copied() } else { None }
}

impl FaultStorage {
    /// Injects the faults of `plan` into calls to `inner`.
    pub fn new(inner: Arc<dyn Storage>, plan: impl FnMut(&Call<'_>) -> Option<Fault> + Send + 'static) -> Self {
        let state = State { plan: Box::new(plan), calls: 0, crashed: false, changes: Vec::new() };
        Self { inner, state: Mutex::new(state) }
    }

    /// How many calls were made, those after a crash not counted.
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// Whether the planned crash has happened.
    pub fn has_crashed(&self) -> bool {
        self.lock().crashed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes one call, with what is planned for it. A call that is under way at a crash loses its reply.
    fn run<T>(
        &self,
        operation: Operation,
        subject: &str,
        bytes: usize,
        act: impl FnOnce(Option<Fault>) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let failed = |kind| Err(StorageError::new(kind, subject));
        let fault = {
            let mut state = self.lock();
            if state.crashed {
                return failed(StorageErrorKind::Unreachable);
            }
            let call = Call { number: state.calls, operation, subject, bytes: bytes as u64 };
            state.calls += 1;
            let fault = (state.plan)(&call);
            state.crashed = fault == Some(Fault::CrashBefore);
            fault
        };
        match fault {
            Some(Fault::Refuse(kind)) => return failed(kind),
            Some(Fault::CrashBefore) => return failed(StorageErrorKind::Unreachable),
            _ => {}
        }
        let result = act(fault);
        let mut state = self.lock();
        state.crashed |= fault == Some(Fault::CrashAfter);
        match fault {
            _ if state.crashed => failed(StorageErrorKind::Unreachable),
            Some(Fault::LoseReply(kind)) => failed(kind),
            _ => result,
        }
    }

    /// The listing without the last `writes` changes.
    fn list_before(&self, folder: Folder, writes: usize) -> Result<Vec<ObjectInfo>, StorageError> {
        let mut listing = self.inner.list(folder)?;
        for change in self.lock().changes.iter().rev().take(writes) {
            match change {
                Change::Added(name) => listing.retain(|info| info.name != *name),
                Change::Removed(info) if info.name.folder() == folder => listing.push(info.clone()),
                Change::Removed(_) => {}
            }
        }
        Ok(listing)
    }
}

impl Storage for FaultStorage {
    fn features(&self) -> Features {
        self.inner.features()
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StorageError> {
        self.run(Operation::Put, &name.to_string(), bytes.len(), |fault| {
            let stored = match fault {
                Some(Fault::Cut(len)) => bytes.get(..len).unwrap_or(bytes),
                _ => bytes,
            };
            self.inner.put(name, stored)?;
            self.lock().changes.push(Change::Added(name.clone()));
            match fault {
                Some(Fault::Cut(_)) => Err(StorageError::new(StorageErrorKind::Unreachable, name)),
                _ => Ok(()),
            }
        })
    }

    fn get(&self, name: &ObjectName) -> Result<Vec<u8>, StorageError> {
        self.run(Operation::Get, &name.to_string(), 0, |fault| Ok(damage(self.inner.get(name)?, fault)))
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        self.run(Operation::GetRange, &name.to_string(), 0, |fault| {
            Ok(damage(self.inner.get_range(name, range)?, fault))
        })
    }

    fn list(&self, folder: Folder) -> Result<Vec<ObjectInfo>, StorageError> {
        self.run(Operation::List, folder.name(), 0, |fault| match fault {
            Some(Fault::Stale(writes)) => self.list_before(folder, writes),
            _ => self.inner.list(folder),
        })
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StorageError> {
        self.run(Operation::Delete, &name.to_string(), 0, |_| {
            let removed = self.inner.list(name.folder())?.into_iter().find(|info| info.name == *name);
            self.inner.delete(name)?;
            self.lock().changes.extend(removed.map(Change::Removed));
            Ok(())
        })
    }
}

fn damage(mut bytes: Vec<u8>, fault: Option<Fault>) -> Vec<u8> {
    match fault {
        Some(Fault::Cut(len)) => bytes.truncate(len),
        Some(Fault::FlipBit(bit)) => {
            let at = (bit / 8).checked_rem(bytes.len()).unwrap_or(0);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << (bit % 8);
            }
        }
        _ => {}
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStorage;

    fn name(text: &str) -> ObjectName {
        text.parse().unwrap()
    }

    fn over(memory: &MemoryStorage, plan: impl FnMut(&Call<'_>) -> Option<Fault> + Send + 'static) -> FaultStorage {
        FaultStorage::new(Arc::new(memory.clone()), plan)
    }

    fn always(fault: Fault) -> impl FnMut(&Call<'_>) -> Option<Fault> + Send {
        move |_| Some(fault)
    }

    #[test]
    fn without_faults_keeps_the_contract() {
        testkit::storage::conformance(|| Box::new(over(&MemoryStorage::default(), |_: &Call<'_>| None)));
    }

    /// Tests the conformance suite: each of these faults is a broken promise, and the suite must notice.
    #[test]
    fn the_conformance_suite_notices_a_storage_that_lies() {
        let broken =
            [Fault::FlipBit(12_345), Fault::Cut(1_000), Fault::Stale(1), Fault::Refuse(StorageErrorKind::Full)];
        for fault in broken {
            let run = || testkit::storage::conformance(|| Box::new(over(&MemoryStorage::default(), always(fault))));
            assert!(std::panic::catch_unwind(run).is_err(), "{fault:?} went unnoticed");
        }
    }

    #[test]
    fn refused_calls_have_no_effect_and_lost_replies_have() {
        let memory = MemoryStorage::default();
        let refused = over(&memory, always(Fault::Refuse(StorageErrorKind::Denied)));
        assert_eq!(refused.put(&name("packs/a"), b"a").unwrap_err().kind, StorageErrorKind::Denied);
        memory.get(&name("packs/a")).unwrap_err();

        let lost = over(&memory, always(Fault::LoseReply(StorageErrorKind::Unreachable)));
        assert_eq!(lost.put(&name("packs/a"), b"a").unwrap_err().kind, StorageErrorKind::Unreachable);
        assert_eq!(memory.get(&name("packs/a")).unwrap(), b"a");
    }

    #[test]
    fn after_a_crash_nothing_works_and_nothing_changes() {
        for (fault, stored) in [(Fault::CrashBefore, 1), (Fault::CrashAfter, 2)] {
            let memory = MemoryStorage::default();
            let storage = over(&memory, once(1, fault));
            storage.put(&name("packs/a"), b"").unwrap();
            for object in ["packs/b", "packs/c"] {
                assert_eq!(storage.put(&name(object), b"").unwrap_err().kind, StorageErrorKind::Unreachable);
            }
            assert_eq!(storage.list(Folder::Packs).unwrap_err().kind, StorageErrorKind::Unreachable);
            assert_eq!(memory.list(Folder::Packs).unwrap().len(), stored);
            assert!(storage.has_crashed() && storage.calls() == 2);
        }
    }

    #[test]
    fn reads_are_cut_and_damaged_and_puts_torn() {
        let memory = MemoryStorage::default();
        memory.put(&name("packs/a"), &[0, 0, 0]).unwrap();
        assert_eq!(over(&memory, always(Fault::Cut(2))).get(&name("packs/a")).unwrap(), [0, 0]);
        assert_eq!(over(&memory, always(Fault::FlipBit(9))).get(&name("packs/a")).unwrap(), [0, 2, 0]);
        assert_eq!(over(&memory, always(Fault::FlipBit(8))).get_range(&name("packs/a"), 2..3).unwrap(), [1]);
        assert_eq!(over(&memory, always(Fault::FlipBit(8))).get_range(&name("packs/a"), 3..9).unwrap(), []);
        over(&memory, always(Fault::Cut(1))).put(&name("packs/b"), b"torn").unwrap_err();
        assert_eq!(memory.get(&name("packs/b")).unwrap(), b"t");
    }

    #[test]
    fn stale_listings_show_the_past() {
        let memory = MemoryStorage::default();
        let storage = over(&memory, |call: &Call<'_>| {
            let stale = |call: &Call<'_>| Fault::Stale(usize::try_from(call.number).unwrap() - 4);
            (call.operation == Operation::List).then(|| stale(call))
        });
        storage.put(&name("packs/a"), b"a").unwrap();
        storage.put(&name("index/i"), b"").unwrap();
        storage.put(&name("packs/b"), b"bb").unwrap();
        storage.delete(&name("packs/a")).unwrap();

        let listed = || {
            let mut listing = storage.list(Folder::Packs).unwrap();
            listing.sort_by(|a, b| a.name.cmp(&b.name));
            listing.into_iter().map(|info| format!("{} {}", info.name, info.len)).collect::<Vec<_>>()
        };
        assert_eq!(listed(), ["packs/b 2"]);
        assert_eq!(listed(), ["packs/a 1", "packs/b 2"]);
        assert_eq!(listed(), ["packs/a 1"]);
        assert_eq!(listed(), ["packs/a 1"]);
        assert!(listed().is_empty());
    }

    #[test]
    fn a_full_storage_still_reads_and_deletes() {
        let storage = over(&MemoryStorage::default(), full_after(5));
        storage.put(&name("packs/a"), b"123").unwrap();
        assert_eq!(storage.put(&name("packs/b"), b"456").unwrap_err().kind, StorageErrorKind::Full);
        assert_eq!(storage.get(&name("packs/a")).unwrap(), b"123");
        storage.delete(&name("packs/a")).unwrap();
    }

    #[test]
    fn one_seed_gives_one_history() {
        let faults = [Fault::CrashAfter, Fault::Cut(0), Fault::FlipBit(1)];
        let history = |seed| {
            let mut plan = random(seed, 0.5, &faults);
            let call = Call { number: 0, operation: Operation::Get, subject: "packs/a", bytes: 0 };
            (0..100).map(|_| plan(&call)).collect::<Vec<_>>()
        };
        assert_eq!(history(7), history(7));
        assert_ne!(history(7), history(8));
        for fault in faults.map(Some).into_iter().chain([None]) {
            assert!(history(7).contains(&fault), "{fault:?}");
        }
    }
}
