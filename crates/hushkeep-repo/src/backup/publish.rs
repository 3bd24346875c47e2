//! The end of a backup: an index object for the new packs, and the commit that makes them a snapshot.

use hushkeep_core::keys::ObjectKind;
use hushkeep_core::name::ObjectId;

use super::{BackupError, BackupReport};
use crate::Timestamp;
use crate::contents::read_index;
use crate::history::{Action, Change, IndexRow, PackRow, Tables};
use crate::index;
use crate::objects::index_name;
use crate::pack::PackInfo;
use crate::repository::Repository;
use crate::snapshot::{Snapshot, SnapshotSource};

/// So many index objects of one level become one of the next: their number grows with the logarithm of the
/// number of backups.
const MERGE_COUNT: usize = 8;

impl Repository {
    pub(super) fn publish_snapshot(
        &mut self,
        sources: &[SnapshotSource],
        packs: Vec<PackInfo>,
        device: &(ObjectId, String),
        now: Timestamp,
        report: &mut BackupReport,
    ) -> Result<(), BackupError> {
        let mut rows = Tables::default();
        let mut index = None;
        if !packs.is_empty() {
            packs
                .iter()
                .for_each(|pack| rows.insert_pack(PackRow { id: pack.id, len: pack.len, digest: pack.digest() }));
            let row = self.store_index(packs.clone(), &mut rows)?;
            report.objects_stored += 1;
            report.bytes_stored += row.len;
            index = Some(row.id);
        }
        self.contents.add_own(packs, index);

        let problems = report.problems.len() as u64;
        let snapshot = |number| Snapshot::new(number, now, device.clone(), sources.to_vec(), problems);
        let additions = |number| {
            let mut tables = rows.clone();
            tables.insert_snapshot(&snapshot(number));
            tables
        };
        let (number, len) = self.publish(&Change {
            action: Action::Backup,
            time: now,
            config: self.config_name(),
            additions: &additions,
        })?;
        report.objects_stored += 1;
        report.bytes_stored += len;
        report.snapshot = Some(snapshot(number));
        Ok(())
    }

    /// Stores an index object for `packs`, together with the rows of enough earlier ones to keep their number
    /// small. If one of them was found damaged, all are written anew from what is known.
    fn store_index(&mut self, mut packs: Vec<PackInfo>, rows: &mut Tables) -> Result<IndexRow, BackupError> {
        let level = match self.contents.has_damaged_index() {
            true => self.gather_all(&mut packs, rows),
            false => self.gather_levels(&mut packs, rows)?,
        };
        let rng = &mut *self.rng();
        let id = ObjectId::generate(rng);
        let body = index::encode(&packs);
        let len = self.contents.objects.write_body(ObjectKind::Index, &index_name(&id), &body, rng)?;
        let row = IndexRow { id, level, len, digest: index::digest_of(&body) };
        rows.insert_index(row);
        Ok(row)
    }

    /// Adds the rows of every level that is full now; returns the level of the new index object.
    fn gather_levels(&self, packs: &mut Vec<PackInfo>, rows: &mut Tables) -> Result<u64, BackupError> {
        for level in 0.. {
            let peers: Vec<IndexRow> = self.history.tables().indexes().filter(|index| index.level == level).collect();
            if peers.len() + 1 < MERGE_COUNT {
                return Ok(level);
            }
            for peer in peers {
                packs.extend(read_index(&self.contents.objects, &peer)?);
                rows.supersede_index(peer);
            }
        }
        Err(BackupError::Internal)
    }

    /// Adds everything that is known; returns the highest level.
    fn gather_all(&self, packs: &mut Vec<PackInfo>, rows: &mut Tables) -> u64 {
        packs.extend(self.contents.index.packs().cloned());
        let mut level = 0;
        for earlier in self.history.tables().indexes() {
            level = level.max(earlier.level);
            rows.supersede_index(earlier);
        }
        level
    }
}
