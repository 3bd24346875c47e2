//! Whom damage hurts: every snapshot walked through, every reference held against what is bad.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::CheckReport;
use super::packs::BadPlaces;
use hushkeep_core::name::ObjectId;

use crate::RelPath;
use crate::error::{DamageCause, ReadError};
use crate::node::{Content, EntryKind};
use crate::refs::ContentRef;
use crate::repository::Repository;
use crate::snapshot::{SnapshotEntry, SnapshotId, SnapshotSource};

/// A snapshot that damage hurts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Affected {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Its number.
    pub number: u64,
    /// The files in it that cannot be restored whole. None: the whole list of some source is damaged.
    pub paths: Vec<RelPath>,
}

/// The bad places that each file list needs, with the paths that need them: lists are shared by snapshots.
type Walked = HashMap<NodeKey, BTreeMap<usize, Vec<RelPath>>>;
type NodeKey = (ObjectId, u32, RelPath);

impl Repository {
    /// Walks through every snapshot.
    pub(super) fn find_affected(&self, bad: &mut BadPlaces, report: &mut CheckReport) -> Result<(), ReadError> {
        let mut walked = Walked::new();
        let mut whole_maps = HashSet::new();
        for snapshot in self.snapshots() {
            report.snapshots += 1;
            let mut hurt: BTreeMap<usize, Vec<RelPath>> = BTreeMap::new();
            for source in &snapshot.sources {
                let key = (source.root.list, source.root.position, source.label.clone());
                if !walked.contains_key(&key) {
                    let found = self.walk_source(source, bad, &mut whole_maps)?;
                    walked.insert(key.clone(), found);
                }
                for (number, paths) in walked.get(&key).into_iter().flatten() {
                    hurt.entry(*number).or_default().extend(paths.iter().cloned());
                }
            }
            for (number, paths) in hurt {
                bad.affect(number, Affected { snapshot: snapshot.id, number: snapshot.number, paths });
            }
        }
        Ok(())
    }

    /// The bad places that one source's list needs. If the list itself is bad: that place, and no path.
    fn walk_source(
        &self,
        source: &SnapshotSource,
        bad: &mut BadPlaces,
        whole_maps: &mut HashSet<ContentRef>,
    ) -> Result<BTreeMap<usize, Vec<RelPath>>, ReadError> {
        let mut hurt: BTreeMap<usize, Vec<RelPath>> = BTreeMap::new();
        for entry in self.source_entries(source) {
            let found = entry.and_then(|entry| Ok((self.walk_entry(&entry, bad, whole_maps)?, entry.path)));
            match found {
                Ok((numbers, path)) => {
                    for number in numbers {
                        hurt.entry(number).or_default().push(path.clone());
                    }
                }
                Err(ReadError::Damaged(damage)) => drop(hurt.entry(bad.number(damage)).or_default()),
                Err(error) => return Err(error),
            }
        }
        Ok(hurt)
    }

    /// The bad places that one entry needs.
    fn walk_entry(
        &self,
        entry: &SnapshotEntry,
        bad: &mut BadPlaces,
        whole_maps: &mut HashSet<ContentRef>,
    ) -> Result<HashSet<usize>, ReadError> {
        let mut numbers = HashSet::new();
        let EntryKind::File(file) = &entry.entry.kind else { return Ok(numbers) };
        if let Content::Pages { map, .. } = &file.content
            && whole_maps.contains(&map.start)
        {
            return Ok(numbers);
        }
        let runs = match self.contents_of(file) {
            Ok(runs) => runs,
            Err(ReadError::Damaged(damage)) => {
                numbers.insert(bad.number(damage));
                return Ok(numbers);
            }
            Err(error) => return Err(error),
        };
        for run in runs {
            match self.contents.index.locate_run(run) {
                Some(parts) => numbers.extend(parts.into_iter().filter_map(|(at, _)| bad.at(at))),
                None => {
                    let damage = self.contents.damaged_content(run.start, DamageCause::UnknownContent);
                    numbers.insert(bad.number(damage));
                }
            }
        }
        if let Content::Pages { map, .. } = &file.content
            && numbers.is_empty()
        {
            whole_maps.insert(map.start);
        }
        Ok(numbers)
    }
}
