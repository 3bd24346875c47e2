//! From contents to packs on the storage: compressing, sealing and uploading on threads of their own.
//!
//! ```text
//! scanner ─▶ compressors ─▶ packer ─▶ uploaders
//! ```
//!
//! Every queue is short, so memory stays flat however large the backup is. A segment's place is known as soon
//! as it is in a pack, before that pack is uploaded.

use std::sync::mpsc::{Receiver, RecvError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Scope, ScopedJoinHandle};

use hushkeep_core::keys::EpochKeys;
use hushkeep_core::name::ContentName;
use rand_core::CryptoRng;

use super::new_pack::{NewPack, ReadySegment};
use super::segments::SEGMENT_LEN;
use super::{BackupError, Journal};
use crate::codec::Compressor;
use crate::objects::store_pack;
use crate::pack::{Body, Class, Coding, PackInfo, to_u32};
use crate::progress::Progress;
use crate::refs::NodeName;
use crate::storage::Storage;

/// How many segments may wait to be compressed. Behind that each waits where it is until the next stage takes it: one that
/// is a single large content takes 4 MiB.
const QUEUE_LEN: usize = 1;

/// How many packs are uploaded at once.
const UPLOADERS: usize = 2;

/// How many threads compress, at most.
const MAX_COMPRESSORS: usize = 4;

/// A segment as the scanner filled it.
pub(super) struct RawSegment {
    /// Its number in this backup.
    pub(super) number: u32,
    pub(super) class: Class,
    /// Whether compressing it is worth a try.
    pub(super) compress: bool,
    pub(super) data: Vec<u8>,
    pub(super) contents: Vec<(ContentName, u32)>,
}

/// What the stages work with.
pub(super) struct Stages<'a> {
    pub(super) storage: &'a dyn Storage,
    pub(super) keys: &'a EpochKeys,
    pub(super) rng: &'a Mutex<Box<dyn CryptoRng + Send>>,
    pub(super) progress: &'a dyn Progress,
    pub(super) journal: &'a Journal<'a>,
    /// Whether packs are sent to the storage at all: not in a dry run.
    pub(super) upload: bool,
}

/// The running pipeline, as the scanner sees it.
pub(super) struct Pipeline<'scope> {
    raw: SyncSender<RawSegment>,
    shared: Arc<Shared>,
    threads: Vec<ScopedJoinHandle<'scope, ()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The place of each segment's first content, by the segment's number.
    places: Vec<Option<NodeName>>,
    placed: usize,
    packs: Vec<PackInfo>,
    /// Room of packs that are uploaded, for the next ones: so memory stays what the first few packs took.
    pack_buffers: Vec<Vec<u8>>,
    /// Room of segments that are in packs. Given back to the heap it would be cut up by all the small things that a
    /// backup remembers between two segments, and the next segment would not fit.
    segment_buffers: Vec<Vec<u8>>,
    failure: Option<BackupError>,
    failed: bool,
}

impl<'scope> Pipeline<'scope> {
    pub(super) fn start<'env>(scope: &'scope Scope<'scope, 'env>, stages: &'scope Stages<'env>) -> Self {
        let shared = Arc::new(Shared::default());
        let (raw, raw_queue) = sync_channel(QUEUE_LEN);
        let (ready, ready_queue) = sync_channel(0);
        let (packs, pack_queue) = sync_channel(0);
        let raw_queue = Arc::new(Mutex::new(raw_queue));
        let pack_queue = Arc::new(Mutex::new(pack_queue));

        let mut threads = Vec::new();
        let compressors = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MAX_COMPRESSORS));
        for _ in 0..compressors {
            let (queue, ready, own) = (Arc::clone(&raw_queue), ready.clone(), Arc::clone(&shared));
            threads.push(scope.spawn(move || compress_all(&queue, &ready, &own)));
        }
        let own = Arc::clone(&shared);
        threads.push(scope.spawn(move || pack_all(&ready_queue, &packs, &own, stages)));
        for _ in 0..UPLOADERS {
            let (queue, own) = (Arc::clone(&pack_queue), Arc::clone(&shared));
            threads.push(scope.spawn(move || upload_all(&queue, &own, stages)));
        }
        Self { raw, shared, threads }
    }

    /// Room for a segment that begins with a content of `len` bytes.
    pub(super) fn segment_buffer(&self, len: usize) -> Vec<u8> {
        let used = self.shared.lock().segment_buffers.pop();
        used.filter(|buffer| buffer.capacity() >= len).unwrap_or_else(|| Vec::with_capacity(len.max(SEGMENT_LEN)))
    }

    /// Hands a segment over. Waits while the stages behind are busy.
    pub(super) fn push(&self, segment: RawSegment) -> Result<(), BackupError> {
        self.raw.send(segment).map_err(|_| self.shared.take_failure())
    }

    /// Waits until the segments numbered below `count` are placed.
    pub(super) fn wait_for(&self, count: u32) -> Result<(), BackupError> {
        let mut state = self.shared.lock();
        while state.placed < count as usize && !state.failed {
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let failed = state.failed;
        drop(state);
        if failed { Err(self.shared.take_failure()) } else { Ok(()) }
    }

    /// The place of a segment's first content, once it is placed.
    pub(super) fn place(&self, segment: u32) -> Option<NodeName> {
        self.shared.lock().places.get(segment as usize).copied().flatten()
    }

    /// Finishes the last pack, waits for the uploads, and returns every pack.
    pub(super) fn finish(self) -> Result<Vec<PackInfo>, BackupError> {
        drop(self.raw);
        for thread in self.threads {
            if thread.join().is_err() {
                return Err(BackupError::Internal);
            }
        }
        let mut state = self.shared.lock();
        match state.failure.take() {
            Some(failure) => Err(failure),
            None => Ok(std::mem::take(&mut state.packs)),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_place(&self, segment: u32, place: NodeName) {
        let mut state = self.lock();
        let number = segment as usize;
        if state.places.len() <= number {
            state.places.resize(number + 1, None);
        }
        if let Some(slot) = state.places.get_mut(number) {
            *slot = Some(place);
        }
        state.placed += 1;
        self.changed.notify_all();
    }

    /// Takes back what [`Pipeline::segment_buffer`] gave; longer ones and others are freed.
    fn recycle(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() == SEGMENT_LEN {
            buffer.clear();
            self.lock().segment_buffers.push(buffer);
        }
    }

    fn fail(&self, error: impl Into<BackupError>) {
        let mut state = self.lock();
        state.failure.get_or_insert(error.into());
        state.failed = true;
        self.changed.notify_all();
    }

    fn failed(&self) -> bool {
        self.lock().failed
    }

    fn take_failure(&self) -> BackupError {
        self.lock().failure.take().unwrap_or(BackupError::Internal)
    }
}

fn compress_all(queue: &Mutex<Receiver<RawSegment>>, ready: &SyncSender<ReadySegment>, shared: &Shared) {
    let mut compressor = Compressor::new();
    while let Ok(segment) = receive(queue) {
        let RawSegment { number, class, compress, data, contents } = segment;
        let raw_len = to_u32(data.len());
        let packed = if compress { compressor.compress(&data) } else { None };
        let (coding, bytes) = match packed {
            Some(packed) => {
                shared.recycle(data);
                (Coding::Zstd, packed)
            }
            None => (Coding::Plain, data),
        };
        let body = Body { class, coding, raw_len, bytes };
        if ready.send(ReadySegment { number, body, contents }).is_err() {
            return;
        }
    }
}

fn pack_all(
    queue: &Receiver<ReadySegment>,
    packs: &SyncSender<(PackInfo, Vec<u8>)>,
    shared: &Shared,
    stages: &Stages<'_>,
) {
    let open = || {
        let buffer = shared.lock().pack_buffers.pop().unwrap_or_default();
        NewPack::new(stages.keys, &mut *stages.rng.lock().unwrap_or_else(PoisonError::into_inner), buffer)
    };
    let mut current: Option<NewPack> = None;
    while let Ok(segment) = queue.recv() {
        if let Some(full) = current.take_if(|pack| !pack.fits(&segment))
            && packs.send(full.finish(stages.keys)).is_err()
        {
            return;
        }
        let place = current.get_or_insert_with(open).add(&segment);
        shared.set_place(segment.number, place);
        shared.recycle(segment.body.bytes);
    }
    if let Some(last) = current {
        // If nobody takes the pack, an uploader has failed and said why.
        let _ = packs.send(last.finish(stages.keys));
    }
}

fn upload_all(queue: &Mutex<Receiver<(PackInfo, Vec<u8>)>>, shared: &Shared, stages: &Stages<'_>) {
    while let Ok((info, object)) = receive(queue) {
        if shared.failed() {
            return;
        }
        if let Err(error) = upload(&info, &object, stages) {
            return shared.fail(error);
        }
        let mut state = shared.lock();
        state.packs.push(info);
        state.pack_buffers.push(object);
    }
}

fn upload(info: &PackInfo, object: &[u8], stages: &Stages<'_>) -> Result<(), BackupError> {
    if stages.upload {
        store_pack(stages.storage, info, object).map_err(BackupError::Storage)?;
        stages.journal.add(info.id, info.len)?;
        stages.progress.transferred(info.len);
    }
    Ok(())
}

/// Takes the next item; the lock is held only while waiting for it.
fn receive<T>(queue: &Mutex<Receiver<T>>) -> Result<T, RecvError> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).recv()
}
