//! Commits as a hostile writer makes them, for [`fuzzing`](crate::fuzzing).

use std::collections::HashMap;

use hushkeep_core::name::ObjectId;
use hushkeep_core::wire::Record;

use super::commit::Commit;
use super::{CommitId, IndexRow};
use crate::config::ConfigName;
use crate::index::digest_of;
use crate::pack::PackInfo;
use crate::storage::ObjectName;

/// Makes commits fit what was changed in the objects that they name.
pub(crate) struct Rewriter<'a> {
    packs: &'a HashMap<ObjectId, PackInfo>,
    config: ConfigName,
    /// The length and digest of each index object.
    indexes: HashMap<ObjectId, (u64, [u8; 16])>,
    /// The new ids of commits, by file name.
    commits: HashMap<String, CommitId>,
}

impl<'a> Rewriter<'a> {
    pub(crate) fn new(packs: &'a HashMap<ObjectId, PackInfo>, config: ConfigName) -> Self {
        Self { packs, config, indexes: HashMap::new(), commits: HashMap::new() }
    }

    pub(crate) fn add_index(&mut self, name: &ObjectName, object: &[u8], body: &[u8]) {
        if let Ok(id) = name.file().parse() {
            self.indexes.insert(id, (object.len() as u64, digest_of(body)));
        }
    }

    /// The body of a commit with the rows that its objects have now. Its ancestors were rewritten before it.
    pub(crate) fn rewrite(&self, body: &[u8], edit_snapshot: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
        let Ok((mut commit, mut tables)) = Commit::decode(body) else { return body.to_vec() };
        for row in tables.all_packs().collect::<Vec<_>>() {
            if let Some(info) = self.packs.get(&row.id).filter(|_| row.is_live()) {
                tables.insert_pack(info.row());
            }
        }
        for row in tables.all_indexes().collect::<Vec<_>>() {
            if let Some((len, digest)) = self.indexes.get(&row.id) {
                tables.insert_index(IndexRow { len: *len, digest: *digest, ..row });
            }
        }
        tables.edit_snapshots(edit_snapshot);
        for parent in &mut commit.parents {
            if let Some(id) = self.commits.get(parent.name.file()) {
                tables.remove_commits(|_, file| file == parent.name.file());
                tables.insert_commit(id, &parent.name);
                parent.id = *id;
            }
        }
        commit.config = self.config;
        commit.encode(&tables).to_vec()
    }

    /// Notes what became of a commit.
    pub(crate) fn rewritten(&mut self, name: &ObjectName, body: &[u8]) {
        self.commits.insert(name.file().to_owned(), CommitId::of(body));
    }
}

/// The records of the snapshots that a commit's body names.
pub(crate) fn snapshot_records(body: &[u8]) -> Vec<Vec<u8>> {
    let tables = Commit::decode(body).map(|(_, tables)| tables).unwrap_or_default();
    tables.snapshots().flatten().map(|snapshot| snapshot.encode()).collect()
}

/// The number in the body of a config; 0 if there is none.
pub(crate) fn number_of_config(body: &[u8]) -> u64 {
    Record::parse(body, u32::MAX).and_then(|record| record.int(1)).unwrap_or_default()
}
