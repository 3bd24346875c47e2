//! Writes index objects, and keeps their number small.

use hushkeep_core::keys::ObjectKind;
use hushkeep_core::name::ObjectId;

use crate::codec::MAX_BODY_LEN;
use crate::contents::read_index;
use crate::error::{Damage, ReadError};
use crate::history::{IndexRow, Tables};
use crate::index;
use crate::objects::index_name;
use crate::pack::PackInfo;
use crate::repository::Repository;
use crate::storage::{ObjectName, StorageError};

/// So many index objects of one level become one of the next: their number grows with the logarithm of the
/// number of backups, until they are as long as one may be.
const MERGE_COUNT: usize = 8;

/// Index objects that were stored, and those they replace.
pub(crate) struct NewIndexes {
    /// All but the last: no more fits into them.
    full: Vec<IndexRow>,
    last: IndexRow,
    superseded: Vec<IndexRow>,
}

/// An index object that could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IndexError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl NewIndexes {
    pub(crate) fn stored(&self) -> impl Iterator<Item = &IndexRow> {
        self.full.iter().chain([&self.last])
    }

    /// The name of the one that was stored last.
    pub(crate) fn last_name(&self) -> ObjectName {
        index_name(&self.last.id)
    }

    /// What the commit `number` says of them.
    pub(crate) fn rows(&self, number: u64) -> Tables {
        let mut rows = Tables::default();
        self.stored().for_each(|row| rows.insert_index(*row));
        self.superseded.iter().for_each(|row| rows.insert_index(row.superseded(number)));
        rows
    }
}

impl Repository {
    /// Stores an index object for `packs`, together with the rows of enough earlier ones to keep their number
    /// small. If one of them was found damaged, or none tells of some pack, all packs are told of anew, from what is known.
    pub(crate) fn store_index(&self, packs: &[PackInfo]) -> Result<NewIndexes, IndexError> {
        self.store_index_within(packs, MAX_BODY_LEN)
    }

    /// Stores index objects for `packs` and every other pack that is there, instead of all earlier ones.
    pub(crate) fn store_whole_index(&self, packs: &[PackInfo]) -> Result<NewIndexes, IndexError> {
        self.store_whole_index_within(packs, MAX_BODY_LEN)
    }

    fn store_index_within(&self, packs: &[PackInfo], max_len: u64) -> Result<NewIndexes, IndexError> {
        if self.contents.lacks_index() {
            return self.store_whole_index_within(packs, max_len);
        }
        let (full, mut body) = self.store_full(0, packs, max_len)?;
        let mut superseded = Vec::new();
        let mut level = 0;
        loop {
            let peers: Vec<IndexRow> = self.history.tables().indexes().filter(|index| index.level == level).collect();
            if peers.len() + 1 < MERGE_COUNT {
                break;
            }
            let others = superseded.len();
            for peer in peers {
                if self.append(&mut body, &peer, max_len)? {
                    superseded.push(peer);
                }
            }
            if superseded.len() == others {
                break;
            }
            level += 1;
        }
        let last = self.write_index(level, &body)?;
        Ok(NewIndexes { full, last, superseded })
    }

    fn store_whole_index_within(&self, packs: &[PackInfo], max_len: u64) -> Result<NewIndexes, IndexError> {
        let tables = self.history.tables();
        let superseded: Vec<IndexRow> = tables.indexes().collect();
        let level = superseded.iter().map(|row| row.level).max().unwrap_or_default();
        let known = self.contents.packs().map(|(_, pack)| pack).filter(|pack| tables.pack(&pack.id).is_some());
        let (full, body) = self.store_full(level, packs.iter().chain(known), max_len)?;
        let last = self.write_index(level, &body)?;
        Ok(NewIndexes { full, last, superseded })
    }

    /// Stores an index object whenever `max_len` bytes hold no more; returns their rows, and the body of the one that is
    /// still to be stored.
    fn store_full<'a>(
        &self,
        level: u64,
        packs: impl IntoIterator<Item = &'a PackInfo>,
        max_len: u64,
    ) -> Result<(Vec<IndexRow>, Vec<u8>), IndexError> {
        let (mut rows, mut body) = (Vec::new(), Vec::new());
        for pack in packs {
            let before = body.len();
            pack.encode(&mut body);
            if body.len() as u64 > max_len && before > 0 {
                let next = body.split_off(before);
                rows.push(self.write_index(level, &body)?);
                body = next;
            }
        }
        Ok((rows, body))
    }

    /// Appends what an index object says of packs that are there, unless that makes more than `max_len` bytes. Whether it
    /// did.
    fn append(&self, body: &mut Vec<u8>, index: &IndexRow, max_len: u64) -> Result<bool, ReadError> {
        let before = body.len();
        for told in index::packs_in(&read_index(&self.contents.objects, index)?) {
            let told = told.map_err(|error| Damage::new(&index_name(&index.id), error))?;
            if self.history.tables().pack(&told.id).is_some_and(|row| !row.is_dropped()) {
                body.extend_from_slice(told.bytes);
            }
        }
        let fits = body.len() as u64 <= max_len;
        if !fits {
            body.truncate(before);
        }
        Ok(fits)
    }

    fn write_index(&self, level: u64, body: &[u8]) -> Result<IndexRow, StorageError> {
        let rng = &mut *self.rng();
        let id = ObjectId::generate(rng);
        let len = self.contents.objects.write_body(ObjectKind::Index, &index_name(&id), body, rng)?;
        Ok(IndexRow { id, level, len, digest: index::digest_of(body), superseded: None })
    }
}

#[cfg(test)]
mod tests;
