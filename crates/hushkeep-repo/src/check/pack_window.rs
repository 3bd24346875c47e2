//! A pack read from its front to its end, a part at a time: it may be longer than memory.

use std::ops::Range;

use crate::error::{Damage, DamageCause, ReadError};
use crate::objects::{Objects, pack_name};
use crate::pack::{MAX_PACK_LEN, PackInfo};
use crate::storage::ObjectName;

/// How much is read at once, in bytes, unless a single segment is longer: a usual pack takes one request.
const READ_LEN: u64 = MAX_PACK_LEN as u64;

/// The part of a pack that was read last.
pub(super) struct PackWindow<'a> {
    objects: &'a Objects,
    name: ObjectName,
    pack_len: u64,
    /// Where in the pack `bytes` begin.
    start: u64,
    bytes: Vec<u8>,
}

impl<'a> PackWindow<'a> {
    pub(super) fn new(objects: &'a Objects, pack: &PackInfo) -> Self {
        Self { objects, name: pack_name(&pack.id), pack_len: pack.len, start: 0, bytes: Vec::new() }
    }

    /// These bytes of the pack. If they are not at hand, they are read with what follows them.
    pub(super) fn get(&mut self, range: Range<u64>) -> Result<&[u8], ReadError> {
        if range.start < self.start || range.end > self.start + self.bytes.len() as u64 {
            self.read(range.start..range.start.saturating_add(READ_LEN).min(self.pack_len).max(range.end))?;
        }
        let place = |at: u64| usize::try_from(at - self.start).unwrap_or(usize::MAX);
        let part = self.bytes.get(place(range.start)..place(range.end));
        part.ok_or_else(|| Damage::new(&self.name, DamageCause::Length).into())
    }

    fn read(&mut self, range: Range<u64>) -> Result<(), ReadError> {
        // Both at once would take twice the memory.
        self.bytes = Vec::new();
        let (bytes, part) = self.objects.read_aligned(&self.name, range.clone(), self.pack_len)?;
        (self.start, self.bytes) = (range.start - part.start as u64, bytes);
        Ok(())
    }
}
