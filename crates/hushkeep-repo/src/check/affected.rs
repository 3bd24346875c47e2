//! Whom damage hurts: every snapshot walked through, every reference held against what is bad.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::CheckReport;
use super::packs::BadPlaces;
use hushkeep_core::name::ObjectId;

use crate::RelPath;
use crate::error::{DamageCause, ReadError};
use crate::index::SegmentAt;
use crate::node::{Content, EntryKind, FileEntry};
use crate::refs::{ContentRef, NodeName, Run};
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
    /// Walks through every snapshot. If `measures`, also whether the contents of each file fit what is said of it, for
    /// which the names of all contents are read.
    pub(super) fn find_affected(
        &self,
        measures: bool,
        bad: &mut BadPlaces,
        report: &mut CheckReport,
    ) -> Result<(), ReadError> {
        let (whole_maps, newer, originals) = (HashSet::new(), HashSet::new(), HashMap::new());
        let mut walk = Walk { repository: self, measures, bad, whole_maps, newer, originals };
        let mut walked = Walked::new();
        for snapshot in self.snapshots() {
            report.snapshots += 1;
            let mut hurt: BTreeMap<usize, Vec<RelPath>> = BTreeMap::new();
            for source in &snapshot.sources {
                let key = (source.root.list, source.root.position, source.label.clone());
                if !walked.contains_key(&key) {
                    let found = walk.source(source)?;
                    walked.insert(key.clone(), found);
                }
                for (number, paths) in walked.get(&key).into_iter().flatten() {
                    hurt.entry(*number).or_default().extend(paths.iter().cloned());
                }
            }
            for (number, paths) in hurt {
                walk.bad.affect(number, Affected { snapshot: snapshot.id, number: snapshot.number, paths });
            }
        }
        Ok(())
    }
}

/// A walk through file lists.
struct Walk<'a> {
    repository: &'a Repository,
    measures: bool,
    bad: &'a mut BadPlaces,
    /// Page maps of which nothing is bad, with the page size and the length of a file that has them.
    whole_maps: HashSet<(ContentRef, u32, u64)>,
    /// What of the source at hand only newer versions understand: hard links to it, too.
    newer: HashSet<RelPath>,
    /// The files of the source at hand that hard links are other names of, and the bad places that each needs once it was
    /// met. A link comes after its file (spec §10.4).
    originals: HashMap<RelPath, Option<HashSet<usize>>>,
}

impl Walk<'_> {
    /// The bad places that one source's list needs. If the list itself is bad: that place, and no path.
    fn source(&mut self, source: &SnapshotSource) -> Result<BTreeMap<usize, Vec<RelPath>>, ReadError> {
        let mut hurt: BTreeMap<usize, Vec<RelPath>> = BTreeMap::new();
        self.newer.clear();
        self.originals = if self.measures { self.originals_of(source) } else { HashMap::new() };
        for entry in self.repository.source_entries(source) {
            let found = entry.and_then(|entry| Ok((self.entry(&entry)?, entry.path)));
            match found {
                Ok((numbers, path)) => {
                    for number in numbers {
                        hurt.entry(number).or_default().push(path.clone());
                    }
                }
                Err(ReadError::Damaged(damage)) => drop(hurt.entry(self.bad.number(damage)).or_default()),
                Err(error) => return Err(error),
            }
        }
        Ok(hurt)
    }

    /// Which files hard links speak of. What cannot be read of a list is told when it is walked through.
    fn originals_of(&self, source: &SnapshotSource) -> HashMap<RelPath, Option<HashSet<usize>>> {
        let entries = self.repository.source_entries(source).flatten();
        let originals = entries.filter_map(|entry| match entry.entry.kind {
            EntryKind::HardLink { original } => Some((original, None)),
            _ => None,
        });
        originals.collect()
    }

    /// The bad places that one entry needs.
    fn entry(&mut self, entry: &SnapshotEntry) -> Result<HashSet<usize>, ReadError> {
        let found = match &entry.entry.kind {
            EntryKind::File(file) => self.file(file, entry.list),
            EntryKind::HardLink { original } if self.newer.contains(original) => {
                Err(self.repository.newer_entry(entry).into())
            }
            EntryKind::HardLink { original } if self.measures => {
                let met = self.originals.get(original).cloned().flatten();
                met.ok_or_else(|| Repository::damaged_link(entry).into())
            }
            EntryKind::Newer(_) => {
                self.newer.insert(entry.entry.path.clone());
                Err(self.repository.newer_entry(entry).into())
            }
            EntryKind::Directory | EntryKind::Symlink { .. } | EntryKind::HardLink { .. } => Ok(HashSet::new()),
        };
        let numbers = match found {
            Err(ReadError::Damaged(damage)) => HashSet::from([self.bad.number(damage)]),
            found => found?,
        };
        if let EntryKind::File(_) = entry.entry.kind
            && let Some(met) = self.originals.get_mut(&entry.entry.path)
        {
            *met = Some(numbers.clone());
        }
        Ok(numbers)
    }

    /// The bad place that contents are in, unless other packs hold them all.
    fn bad_without_copy(&self, at: SegmentAt, run: Run) -> Option<usize> {
        let number = self.bad.at(at)?;
        let index = &self.repository.contents.index;
        let has_copy = |content| index.copies(content).any(|copy| self.bad.at(copy).is_none());
        (!run.contents().all(has_copy)).then_some(number)
    }

    fn file(&mut self, file: &FileEntry, list: NodeName) -> Result<HashSet<usize>, ReadError> {
        let map = match &file.content {
            Content::Pages { page_size, map } => Some((map.start, *page_size, file.len)),
            Content::Chunks(_) => None,
        };
        if map.is_some_and(|map| self.whole_maps.contains(&map)) {
            return Ok(HashSet::new());
        }
        let contents = &self.repository.contents;
        let runs = self.repository.contents_of(file)?;
        let mut numbers = HashSet::new();
        for run in &runs {
            match contents.index.locate_run(*run) {
                Some(parts) => numbers.extend(parts.into_iter().filter_map(|(at, run)| self.bad_without_copy(at, run))),
                None => {
                    let damage = contents.damaged_content(run.start, DamageCause::UnknownContent);
                    numbers.insert(self.bad.number(damage));
                }
            }
        }
        if self.measures && numbers.is_empty() {
            self.repository.measure(file, &runs, list)?;
        }
        if numbers.is_empty() {
            self.whole_maps.extend(map);
        }
        Ok(numbers)
    }
}
