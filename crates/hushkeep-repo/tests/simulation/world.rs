//! A storage that several devices share, each with a view of its own: it shows what others did late, loses replies,
//! and dies at any call.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use hushkeep_repo::storage::{Features, Folder, ObjectInfo, ObjectName, StorageError, StorageErrorKind};
use hushkeep_repo::{Storage, Timestamp};

/// What is really there.
pub(crate) struct World {
    exclusive: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    now: i64,
    objects: BTreeMap<ObjectName, Object>,
}

struct Object {
    bytes: Vec<u8>,
    stored: Event,
    deleted: Option<Event>,
}

/// Who did something, and when by the storage's clock.
#[derive(Clone, Copy)]
struct Event {
    device: usize,
    time: i64,
}

impl World {
    pub(crate) fn new(exclusive: bool, now: i64) -> Arc<Self> {
        Arc::new(Self { exclusive, state: Mutex::new(State { now, ..State::default() }) })
    }

    pub(crate) fn now(&self) -> i64 {
        self.state.lock().unwrap().now
    }

    pub(crate) fn wait(&self, seconds: i64) {
        self.state.lock().unwrap().now += seconds;
    }

    pub(crate) fn count(&self, folder: Folder) -> usize {
        let state = self.state.lock().unwrap();
        state.objects.iter().filter(|(name, object)| name.folder() == folder && object.deleted.is_none()).count()
    }
}

/// What goes wrong at a call.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// It has no effect.
    Refuse,
    /// It has its effect, but an error is returned.
    LoseReply,
    /// The process dies before it.
    DieBefore,
    /// The process dies after it.
    DieAfter,
}

/// Where another device comes in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    PutPack,
    PutIndex,
    PutConfig,
    PutCommit,
    ListCommits,
    Delete,
}

/// What another device does before a call of a kind.
pub(crate) struct Interruption {
    pub(crate) moment: Moment,
    /// So many calls of the kind go before.
    pub(crate) calls_before: u32,
    pub(crate) act: Box<dyn FnOnce() + Send>,
}

/// What happens during one operation of one device.
#[derive(Default)]
pub(crate) struct Script {
    /// A fault at the call with this number.
    pub(crate) fault: Option<(u64, Fault)>,
    pub(crate) between: Option<Interruption>,
    /// So many seconds pass before the first call of a kind.
    pub(crate) pause: Option<(Moment, i64)>,
}

/// The storage as one device sees it.
pub(crate) struct View {
    world: Arc<World>,
    device: usize,
    /// What others did until then is seen, by the storage's clock.
    horizon: i64,
    /// And what is so many seconds old.
    lag: i64,
    run: Mutex<Run>,
}

#[derive(Default)]
struct Run {
    script: Script,
    calls: u64,
    is_dead: bool,
    has_failed: bool,
}

impl View {
    pub(crate) fn new(world: &Arc<World>, device: usize, (horizon, lag): (i64, i64), script: Script) -> Arc<Self> {
        let run = Mutex::new(Run { script, ..Run::default() });
        Arc::new(Self { world: Arc::clone(world), device, horizon, lag, run })
    }

    /// The storage as it is.
    pub(crate) fn of_all(world: &Arc<World>) -> Arc<Self> {
        Self::new(world, usize::MAX, (i64::MAX, 0), Script::default())
    }

    /// What others did until now is seen.
    pub(crate) fn horizon(&self) -> i64 {
        self.horizon.max(self.now() - self.lag)
    }

    /// The storage's time.
    pub(crate) fn now(&self) -> i64 {
        self.world.now()
    }

    /// Whether a fault has happened.
    pub(crate) fn has_failed(&self) -> bool {
        self.run.lock().unwrap().has_failed
    }

    /// Whether it sees at the time `now` what was done.
    fn sees(&self, event: Event, now: i64) -> bool {
        event.device == self.device || event.time <= self.horizon.max(now - self.lag)
    }

    /// Others come in between, and time passes.
    fn interrupt(&self, moment: Option<Moment>) {
        let (between, pause) = {
            let script = &mut self.run.lock().unwrap().script;
            let between = script.between.take_if(|between| {
                let is_due = Some(between.moment) == moment && between.calls_before == 0;
                between.calls_before -= u32::from(Some(between.moment) == moment && !is_due);
                is_due
            });
            (between, script.pause.take_if(|(at, _)| Some(*at) == moment))
        };
        if let Some(between) = between {
            (between.act)();
        }
        if let Some((_, seconds)) = pause {
            self.world.wait(seconds);
        }
    }

    /// Runs a call with what the script says of it.
    fn call<T>(
        &self,
        moment: Option<Moment>,
        subject: &str,
        effect: impl FnOnce(&mut State) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.interrupt(moment);
        let unreachable = || StorageError::new(StorageErrorKind::Unreachable, subject);
        let fault = {
            let mut run = self.run.lock().unwrap();
            if run.is_dead {
                return Err(unreachable());
            }
            run.calls += 1;
            let calls = run.calls;
            let fault = run.script.fault.filter(|(at, _)| *at == calls).map(|(_, fault)| fault);
            run.has_failed |= fault.is_some();
            run.is_dead |= matches!(fault, Some(Fault::DieBefore | Fault::DieAfter));
            fault
        };
        match fault {
            Some(Fault::Refuse | Fault::DieBefore) => Err(unreachable()),
            Some(Fault::LoseReply | Fault::DieAfter) => {
                let _ = effect(&mut self.world.state.lock().unwrap());
                Err(unreachable())
            }
            None => effect(&mut self.world.state.lock().unwrap()),
        }
    }
}

impl Storage for View {
    fn features(&self) -> Features {
        Features { create_if_absent: self.world.exclusive }
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StorageError> {
        let moment = match name.folder() {
            Folder::Packs => Moment::PutPack,
            Folder::Index => Moment::PutIndex,
            Folder::Config => Moment::PutConfig,
            Folder::Commits => Moment::PutCommit,
        };
        self.call(Some(moment), &name.to_string(), |state| {
            let stored = Event { device: self.device, time: state.now };
            let is_taken = state.objects.get(name).is_some_and(|object| object.deleted.is_none());
            if self.world.exclusive && is_taken {
                return Err(StorageError::new(StorageErrorKind::AlreadyExists, name));
            }
            state.objects.insert(name.clone(), Object { bytes: bytes.to_vec(), stored, deleted: None });
            Ok(())
        })
    }

    fn get(&self, name: &ObjectName) -> Result<Vec<u8>, StorageError> {
        self.get_range(name, 0..u64::MAX)
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        self.call(None, &name.to_string(), |state| {
            let object = state.objects.get(name).filter(|object| object.deleted.is_none());
            let object = object.ok_or_else(|| StorageError::new(StorageErrorKind::NotFound, name))?;
            let len = object.bytes.len() as u64;
            let range = range.start.min(len) as usize..range.end.min(len) as usize;
            Ok(object.bytes.get(range).unwrap_or_default().to_vec())
        })
    }

    fn list(&self, folder: Folder) -> Result<Vec<ObjectInfo>, StorageError> {
        let moment = (folder == Folder::Commits).then_some(Moment::ListCommits);
        self.call(moment, folder.name(), |state| {
            let inside = state.objects.iter().filter(|(name, _)| name.folder() == folder);
            let visible = inside.filter(|(_, object)| {
                self.sees(object.stored, state.now)
                    && !object.deleted.is_some_and(|deleted| self.sees(deleted, state.now))
            });
            let info = |(name, object): (&ObjectName, &Object)| ObjectInfo {
                name: name.clone(),
                len: object.bytes.len() as u64,
                stored: Timestamp::new(object.stored.time, 0),
            };
            Ok(visible.map(info).collect())
        })
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StorageError> {
        self.call(Some(Moment::Delete), &name.to_string(), |state| {
            let deleted = Event { device: self.device, time: state.now };
            if let Some(object) = state.objects.get_mut(name) {
                object.deleted.get_or_insert(deleted);
            }
            Ok(())
        })
    }
}
