//! Writes index objects, and keeps their number small.

use hushkeep_core::keys::ObjectKind;
use hushkeep_core::name::ObjectId;

use crate::contents::read_index;
use crate::error::ReadError;
use crate::history::{IndexRow, Tables};
use crate::index;
use crate::objects::index_name;
use crate::pack::PackInfo;
use crate::repository::Repository;
use crate::storage::StorageError;

/// So many index objects of one level become one of the next: their number grows with the logarithm of the
/// number of backups.
const MERGE_COUNT: usize = 8;

/// An index object that was stored, and those it replaces.
pub(crate) struct NewIndex {
    pub(crate) row: IndexRow,
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

impl NewIndex {
    /// What the commit `number` says of it.
    pub(crate) fn rows(&self, number: u64) -> Tables {
        let mut rows = Tables::default();
        rows.insert_index(self.row);
        self.superseded.iter().for_each(|row| rows.insert_index(row.superseded(number)));
        rows
    }
}

impl Repository {
    /// Stores an index object for `packs`, together with the rows of enough earlier ones to keep their number
    /// small. If one of them was found damaged, or none tells of some pack, one for all is written from what is known.
    pub(crate) fn store_index(&self, packs: &[PackInfo]) -> Result<NewIndex, IndexError> {
        if self.contents.lacks_index() {
            return self.store_whole_index(packs);
        }
        let mut packs = packs.to_vec();
        let mut superseded = Vec::new();
        let mut level = 0;
        loop {
            let peers: Vec<IndexRow> = self.history.tables().indexes().filter(|index| index.level == level).collect();
            if peers.len() + 1 < MERGE_COUNT {
                return self.write_index(level, packs, superseded);
            }
            for peer in peers {
                let is_there =
                    |pack: &PackInfo| self.history.tables().pack(&pack.id).is_some_and(|row| !row.is_dropped());
                packs.extend(read_index(&self.contents.objects, &peer)?.into_iter().filter(is_there));
                superseded.push(peer);
            }
            level += 1;
        }
    }

    /// Stores one index object for `packs` and every other pack that is there, instead of all earlier ones.
    pub(crate) fn store_whole_index(&self, packs: &[PackInfo]) -> Result<NewIndex, IndexError> {
        let mut packs = packs.to_vec();
        let tables = self.history.tables();
        let known = self.contents.packs().filter(|(_, pack)| tables.pack(&pack.id).is_some());
        packs.extend(known.map(|(_, pack)| pack.clone()));
        let superseded: Vec<IndexRow> = tables.indexes().collect();
        let level = superseded.iter().map(|row| row.level).max().unwrap_or_default();
        self.write_index(level, packs, superseded)
    }

    fn write_index(&self, level: u64, packs: Vec<PackInfo>, superseded: Vec<IndexRow>) -> Result<NewIndex, IndexError> {
        let rng = &mut *self.rng();
        let id = ObjectId::generate(rng);
        let body = index::encode(&packs);
        let len = self.contents.objects.write_body(ObjectKind::Index, &index_name(&id), &body, rng)?;
        let row = IndexRow { id, level, len, digest: index::digest_of(&body), superseded: None };
        Ok(NewIndex { row, superseded })
    }
}
