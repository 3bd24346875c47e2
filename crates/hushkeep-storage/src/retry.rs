//! Trying again.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use hushkeep_repo::storage::{Features, Folder, ObjectInfo, ObjectName, Storage, StorageError, StorageErrorKind};

/// Tries again when the storage cannot be reached, with growing pauses, until a time limit is over.
///
/// A put whose reply was lost may have stored the object. When one hears that the name is taken, the stored bytes are
/// compared: its own are a success.
pub struct RetryStorage {
    inner: Arc<dyn Storage>,
    policy: RetryPolicy,
    clock: Arc<dyn Clock>,
}

/// How long to keep trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The first pause. Each one is twice as long as the one before, and shortened at random by up to a half, so
    /// that devices that failed together do not come back together.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// No attempt begins later than this after the first one.
    pub give_up_after: Duration,
}

/// Half a second, doubled up to half a minute, for five minutes.
impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(30),
            give_up_after: Duration::from_secs(300),
        }
    }
}

/// Time, so that tests need not wait.
pub trait Clock: Send + Sync {
    /// The time since some fixed moment. It never runs backwards.
    fn now(&self) -> Duration;

    /// Returns after `duration`.
    fn sleep(&self, duration: Duration);
}

/// The system's clock. It goes on while the machine sleeps: what was decided before must not be done days later.
pub struct SystemClock {
    start: (Instant, SystemTime),
    /// The latest time that it told, in milliseconds.
    latest: AtomicU64,
}

impl SystemClock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self { start: (Instant::now(), SystemTime::now()), latest: AtomicU64::new(0) }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        // The monotonic clock stands still meanwhile; the other may be set.
        let elapsed = self.start.0.elapsed().max(self.start.1.elapsed().unwrap_or_default());
        let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.latest.fetch_max(millis, Ordering::Relaxed).max(millis))
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

impl RetryStorage {
    /// Repeats failed calls to `inner` according to `policy`.
    pub fn new(inner: Arc<dyn Storage>, policy: RetryPolicy, clock: Arc<dyn Clock>) -> Self {
        Self { inner, policy, clock }
    }

    fn retry<T>(&self, mut attempt: impl FnMut() -> Result<T, StorageError>) -> Result<T, StorageError> {
        let deadline = self.clock.now().saturating_add(self.policy.give_up_after);
        let mut pause = self.policy.first_pause;
        loop {
            let error = match attempt() {
                Err(error) if error.kind == StorageErrorKind::Unreachable => error,
                done => return done,
            };
            let shortened = pause.mul_f64(1.0 - fastrand::f64() / 2.0);
            if self.clock.now().saturating_add(shortened) > deadline {
                return Err(error);
            }
            self.clock.sleep(shortened);
            pause = pause.saturating_mul(2).min(self.policy.longest_pause);
        }
    }

    /// Whether the object that took the name is the one that was to be stored.
    fn is_stored(&self, name: &ObjectName, bytes: &[u8]) -> Result<bool, StorageError> {
        match self.inner.get(name) {
            Ok(stored) => Ok(stored == bytes),
            Err(error) if matches!(error.kind, StorageErrorKind::NotFound | StorageErrorKind::TooLong) => Ok(false),
            // It may be that one.
            Err(error) => Err(error),
        }
    }
}

impl Storage for RetryStorage {
    fn features(&self) -> Features {
        self.inner.features()
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StorageError> {
        self.retry(|| match self.inner.put(name, bytes) {
            // An attempt whose answer was lost may have stored it: one from here, or one that the system itself repeated, as it
            // does on network file systems.
            Err(taken) if taken.kind == StorageErrorKind::AlreadyExists => {
                if self.is_stored(name, bytes)? {
                    Ok(())
                } else {
                    Err(taken)
                }
            }
            done => done,
        })
    }

    fn get(&self, name: &ObjectName) -> Result<Vec<u8>, StorageError> {
        self.retry(|| self.inner.get(name))
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        self.retry(|| self.inner.get_range(name, range.clone()))
    }

    fn list(&self, folder: Folder) -> Result<Vec<ObjectInfo>, StorageError> {
        self.retry(|| self.inner.list(folder))
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StorageError> {
        self.retry(|| self.inner.delete(name))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::fault::{self, Fault, FaultStorage};
    use crate::{MemoryStorage, Operation};

    /// A clock that jumps instead of sleeping, and remembers the pauses.
    #[derive(Default)]
    struct TestClock {
        pauses: Mutex<Vec<Duration>>,
    }

    impl Clock for TestClock {
        fn now(&self) -> Duration {
            self.pauses.lock().unwrap().iter().sum()
        }

        fn sleep(&self, duration: Duration) {
            self.pauses.lock().unwrap().push(duration);
        }
    }

    fn retry(inner: impl Storage + 'static) -> (RetryStorage, Arc<TestClock>) {
        retry_for(RetryPolicy::default().give_up_after, inner)
    }

    fn retry_for(give_up_after: Duration, inner: impl Storage + 'static) -> (RetryStorage, Arc<TestClock>) {
        let clock = Arc::new(TestClock::default());
        let policy = RetryPolicy { give_up_after, ..RetryPolicy::default() };
        (RetryStorage::new(Arc::new(inner), policy, clock.clone()), clock)
    }

    fn name() -> ObjectName {
        "packs/a".parse().unwrap()
    }

    #[test]
    fn keeps_the_contract_over_a_storage_that_often_fails_and_loses_replies() {
        use StorageErrorKind::Unreachable;
        for (seed, create_if_absent) in [(1, true), (2, false)] {
            testkit::storage::conformance(|| {
                let memory = MemoryStorage::new(Features { create_if_absent });
                let faults = fault::random(seed, 0.3, &[Fault::Refuse(Unreachable), Fault::LoseReply(Unreachable)]);
                Box::new(retry_for(Duration::MAX, FaultStorage::new(Arc::new(memory), faults)).0)
            });
        }
    }

    #[test]
    fn gives_up_in_time_with_growing_pauses() {
        let dead = FaultStorage::new(Arc::new(MemoryStorage::default()), fault::crash_at(0));
        let (storage, clock) = retry(dead);
        assert_eq!(storage.get(&name()).unwrap_err().kind, StorageErrorKind::Unreachable);

        let policy = RetryPolicy::default();
        let pauses = clock.pauses.lock().unwrap().clone();
        let mut longest = policy.first_pause;
        for pause in &pauses {
            assert!((longest / 2..=longest).contains(pause), "{pause:?} of {longest:?}");
            longest = (longest * 2).min(policy.longest_pause);
        }
        let total: Duration = pauses.iter().sum();
        assert!(total <= policy.give_up_after && total + policy.longest_pause > policy.give_up_after, "{total:?}");
    }

    #[test]
    fn what_trying_again_cannot_help_is_not_tried_again() {
        use StorageErrorKind::{AlreadyExists, Denied, Failed, Full, NotFound};
        for kind in [AlreadyExists, Denied, Failed, Full, NotFound] {
            let inner = FaultStorage::new(Arc::new(MemoryStorage::default()), fault::once(0, Fault::Refuse(kind)));
            let (storage, clock) = retry(inner);
            assert_eq!(storage.put(&name(), b"").unwrap_err().kind, kind);
            assert!(clock.pauses.lock().unwrap().is_empty());
        }
    }

    #[test]
    fn a_lost_reply_is_told_from_a_name_that_another_took() {
        let lose_first_reply = || fault::once(0, Fault::LoseReply(StorageErrorKind::Unreachable));
        let memory = MemoryStorage::default();
        let (storage, _) = retry(FaultStorage::new(Arc::new(memory.clone()), lose_first_reply()));
        storage.put(&name(), b"mine").unwrap();

        let (storage, _) = retry(FaultStorage::new(Arc::new(memory.clone()), lose_first_reply()));
        assert_eq!(storage.put(&name(), b"other").unwrap_err().kind, StorageErrorKind::AlreadyExists);
        assert_eq!(memory.get(&name()).unwrap(), b"mine");
    }

    #[test]
    fn a_put_that_the_system_repeated_is_a_success() {
        let repeated = fault::once(0, Fault::LoseReply(StorageErrorKind::AlreadyExists));
        let (storage, _) = retry(FaultStorage::new(Arc::new(MemoryStorage::default()), repeated));
        storage.put(&name(), b"mine").unwrap();
        assert_eq!(storage.get(&name()).unwrap(), b"mine");
    }

    #[test]
    fn a_comparison_that_cannot_be_reached_is_repeated() {
        let memory = MemoryStorage::default();
        let mut gets = 0;
        let inner = FaultStorage::new(Arc::new(memory), move |call: &fault::Call<'_>| match call.operation {
            Operation::Put => (call.number == 0).then_some(Fault::LoseReply(StorageErrorKind::Unreachable)),
            _ => {
                gets += 1;
                (gets <= 2).then_some(Fault::Refuse(StorageErrorKind::Unreachable))
            }
        });
        let (storage, clock) = retry(inner);
        storage.put(&name(), b"mine").unwrap();
        assert_eq!(clock.pauses.lock().unwrap().len(), 3);
    }
}
