//! Rows that later versions add to commits: this one keeps them, whatever it does itself (spec §11.2).

use std::collections::BTreeSet;
use std::sync::Arc;

use hushkeep_core::Secret;
use hushkeep_core::keys::{BackupKey, ObjectKind};
use hushkeep_core::seal::{self, Header};
use hushkeep_core::wire::Record;
use hushkeep_repo::storage::{Folder, ObjectName};
use hushkeep_repo::{PruneOptions, Quiet, Repository, Storage};

use crate::common::{Device, MemoryTree, NOW, Node, at, names};
use crate::parts::Cursor;
use crate::{expected, in_memory, newer, unlock, walk};

type Rows = Vec<([u8; 16], Vec<u8>)>;

#[test]
fn rows_of_later_versions_outlive_all_that_this_version_does() {
    let vector = expected::home().join("valid/rows-of-later-versions");
    let (storage, device, key) = (in_memory(&vector), Device::new(1), walk::key(&vector));
    let new_key = BackupKey::from_secret(Secret::build(|bytes| *bytes = [9; 32]));
    let rows = |rows: &[(u8, &[u8])]| -> Rows { rows.iter().map(|(id, row)| ([*id; 16], row.to_vec())).collect() };
    let moved: (u8, &[u8]) = (1, b"\x01moved by the other");
    let all = rows(&[moved, (2, b"\x02of a later version"), (3, &[255]), (4, b"\x00of a later version")]);

    let writing = Writing { storage, device };
    let tree = MemoryTree::new(&[("new", Node::File(b"new".to_vec()))]);
    let backup = writing.publish(&key, |repository| drop(newer::back_up_hurt(repository, &tree).unwrap()));
    assert_eq!(writing.rows_in(&backup, &key), (3, rows(&[moved])), "what the first of two tips lacks");
    let forget = writing.publish(&key, forget_all_but_the_newest);
    assert_eq!(writing.rows_in(&forget, &key), (4, Vec::new()));
    let prune = writing.publish(&key, prune);
    assert_eq!(writing.rows_in(&prune, &key), (0, all.clone()));
    let rotation = writing.publish(&key, |repository| {
        repository.rotate(&new_key, repository.protectors().to_vec(), at(NOW)).unwrap();
    });
    assert_eq!(writing.rows_in(&rotation, &new_key), (0, all));
    assert_eq!(unlock(&writing.storage, &new_key, &writing.device).unwrap().unknown_snapshots().count(), 0);
}

fn forget_all_but_the_newest(repository: &mut Repository) {
    let ids: Vec<_> = repository.snapshots().iter().map(|snapshot| snapshot.id).collect();
    repository.forget(&ids[..ids.len() - 1], at(NOW)).unwrap();
}

fn prune(repository: &mut Repository) {
    let options = PruneOptions { now: at(NOW), max_unused: 0.0, max_repack_bytes: u64::MAX, dry_run: false };
    repository.prune(&options, &Quiet).unwrap();
}

/// A repository that a device writes on, which opens it anew for each change.
struct Writing {
    storage: Arc<dyn Storage>,
    device: Device,
}

impl Writing {
    /// Makes a change; returns the commit that it published.
    fn publish(&self, key: &BackupKey, change: impl FnOnce(&mut Repository)) -> ObjectName {
        let commits = || names(&self.storage, Folder::Commits).into_iter().collect::<BTreeSet<_>>();
        let before = commits();
        change(&mut unlock(&self.storage, key, &self.device).unwrap());
        let new: Vec<ObjectName> = commits().difference(&before).cloned().collect();
        assert_eq!(new.len(), 1, "{new:?}");
        new[0].clone()
    }

    /// The depth of a commit, and its rows of later versions.
    fn rows_in(&self, commit: &ObjectName, key: &BackupKey) -> (u64, Rows) {
        let object = self.storage.get(commit).unwrap();
        let (header, _) = Header::parse(&object).unwrap();
        let keys = key.epoch_secret(&header.repository, header.epoch).working_keys(header.repository);
        let body = decoded(&seal::open_single(&keys, ObjectKind::Commit, &object).unwrap());
        let record = Record::parse(&body, 16).unwrap();
        let mut table = Cursor(record.optional(16).unwrap_or_default());
        let mut rows = Rows::new();
        while !table.0.is_empty() {
            rows.push((table.take(16).try_into().unwrap(), table.string().to_vec()));
        }
        (record.int(7).unwrap(), rows)
    }
}

/// The body of a commit (spec §8.1).
fn decoded(coded: &[u8]) -> Vec<u8> {
    let mut rest = Cursor(&coded[1..]);
    if coded[0] == 0 {
        return rest.0.to_vec();
    }
    let len = usize::try_from(rest.varint()).unwrap();
    zstd::bulk::decompress(rest.0, len).unwrap()
}
