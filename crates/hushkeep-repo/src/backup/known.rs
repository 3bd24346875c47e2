//! What is stored already: the contents of the newest state of each source, by name.
//!
//! Only what a commit names, or the journal and a fresh listing, is ever used: a storage may list objects again
//! that were deleted long ago.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use hushkeep_core::keys::{Epoch, EpochKeys};
use hushkeep_core::name::{ContentName, ObjectId};

use crate::RelPath;
use crate::bad_packs::BadPacks;
use crate::content_set::ContentSet;
use crate::contents::{Contents, ProvenNames};
use crate::error::{Damage, DamageCause, ReadError};
use crate::file_list_reader::FileListReader;
use crate::history::{PackRow, Tables};
use crate::node::{Content, EntryKind};
use crate::objects::pack_name;
use crate::pack::PackInfo;
use crate::refs::{ContentRef, ListNo, NodeName, Run};
use crate::snapshot::{Snapshot, SnapshotSource};

/// How long before a backup's start a file must have been left alone for its times to be trusted, in seconds.
const YOUNG_SECONDS: i64 = 2;

/// What a backup can build on.
#[derive(Default)]
pub(super) struct Known {
    pub(super) contents: KnownContents,
    /// Page maps of stored databases: bases for those of copies under other names.
    pub(super) maps: Vec<StoredMap>,
    /// Packs to build nothing on, by their numbers in the index: marked for removal, or named but not there, or not
    /// whole, or found bad.
    pub(super) missing: HashSet<u32>,
    /// File lists that are no bases: they cannot be read whole, or only because this device keeps what is gone from the
    /// storage.
    unreadable: HashSet<(ObjectId, u32)>,
    /// Page maps that are no bases, for the same reasons.
    unreadable_maps: HashSet<ContentRef>,
    /// What was found damaged on the way.
    pub(super) damage: Vec<Damage>,
}

/// Stored contents by their names, under the names key of each epoch that any of them was stored in.
#[derive(Default)]
pub(super) struct KnownContents(BTreeMap<Epoch, (Arc<EpochKeys>, BTreeMap<ContentName, ContentRef>)>);

impl KnownContents {
    fn insert(&mut self, keys: &Arc<EpochKeys>, name: ContentName, place: ContentRef) {
        let (_, places) = self.0.entry(keys.epoch()).or_insert_with(|| (Arc::clone(keys), BTreeMap::new()));
        places.insert(name, place);
    }

    /// Where a content is, which `name` names under the keys of `epoch`.
    pub(super) fn find(&self, epoch: Epoch, name: &ContentName, content: &[u8]) -> Option<ContentRef> {
        self.0.values().rev().find_map(|(keys, places)| match keys.epoch() == epoch {
            true => places.get(name).copied(),
            false => places.get(&keys.names().name(content)).copied(),
        })
    }
}

/// What a source's new list is based on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Base {
    pub(super) list: NodeName,
    /// Equal times mean that nothing changed, if they lie before this time, in seconds: what changed later could have
    /// changed again after it was read, within one tick of the file system's clock. `None` for the list of another
    /// source, whose times prove nothing here.
    pub(super) trusted_until: Option<i64>,
}

/// A page map that is stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct StoredMap {
    pub(super) node: ContentRef,
    pub(super) page_size: u32,
}

impl Known {
    /// Reads the newest state of each source, and takes in the `resumed` packs of an unfinished backup.
    pub(super) fn load(
        contents: &Contents,
        tables: &Tables,
        snapshots: &[Snapshot],
        resumed: &[PackInfo],
        bad_packs: &BadPacks,
    ) -> Result<Self, ReadError> {
        let mut known = Self::default();
        known.find_missing(contents, tables, bad_packs)?;
        known.find_bad(contents, resumed, bad_packs);
        let mut wanted = ContentSet::default();
        for root in newest_roots(snapshots) {
            let (before, maps) = (contents.count_made_good(), known.maps.len());
            let collected = known.collect(contents, root, &mut wanted);
            let is_whole = collected.is_ok() && contents.count_made_good() == before;
            match collected {
                Ok(()) => {}
                Err(ReadError::Damaged(damage)) => known.note_damage(damage, tables),
                Err(error) => return Err(error),
            }
            if !is_whole {
                // What was whole in another pack alone is told of, and not built on: that may be dropped.
                contents.made_good().into_iter().for_each(|damage| known.note_damage(damage, tables));
                known.unreadable.insert((root.list, root.position));
                known.unreadable_maps.extend(known.maps.drain(maps..).map(|map| map.node));
            }
        }
        for pack in resumed {
            for run in contents.index.data_of(pack) {
                wanted.insert(run, &contents.index);
            }
        }
        for list in wanted.lists() {
            known.take_names(contents, tables, list, &wanted)?;
        }
        Ok(known)
    }

    /// The list that a source's new one should be based on: its own newest, which `is_same` tells, else that of a source with
    /// the same label somewhere else, else none.
    pub(super) fn base_for(
        &self,
        snapshots: &[Snapshot],
        is_same: impl Fn(&Snapshot, &SnapshotSource) -> bool,
        label: &RelPath,
    ) -> Option<Base> {
        let sources =
            || snapshots.iter().rev().flat_map(|snapshot| snapshot.sources.iter().map(move |s| (snapshot, s)));
        let own = sources().find(|(snapshot, source)| is_same(snapshot, source));
        let base = own.or_else(|| sources().find(|(_, source)| source.label == *label));
        let (snapshot, source) = base?;
        let (list, trusted_until) = (source.root, own.map(|_| snapshot.time.seconds.saturating_sub(YOUNG_SECONDS)));
        (!self.unreadable.contains(&(list.list, list.position))).then_some(Base { list, trusted_until })
    }

    /// Whether all contents of a run lie in packs that are there to stay.
    pub(super) fn holds(&self, contents: &Contents, run: Run) -> bool {
        let parts = contents.index.locate_run(run);
        parts.is_some_and(|parts| parts.iter().all(|(at, _)| !self.missing.contains(&at.pack)))
    }

    /// Whether a stored page map can be used, and built on.
    pub(super) fn holds_map(&self, map: ContentRef) -> bool {
        !self.unreadable_maps.contains(&map)
    }

    /// Compares the listing of packs with what the commits name, and with what a check found bad.
    fn find_missing(&mut self, contents: &Contents, tables: &Tables, bad: &BadPacks) -> Result<(), ReadError> {
        let listed = contents.objects.list_packs()?;
        for row in tables.packs() {
            let name = pack_name(&row.id);
            let number = contents.index.pack_number(&row.id);
            if row.marked_since().is_some() {
                self.missing.extend(number);
                continue;
            }
            let cause = match listed.get(&name) {
                Some(len) if *len == row.len && bad.contains(&row.id) => DamageCause::Content,
                Some(len) if *len == row.len => continue,
                Some(_) => DamageCause::Length,
                None => DamageCause::Missing,
            };
            self.damage.push(Damage::new(&name, cause));
            self.missing.extend(number);
        }
        Ok(())
    }

    /// Packs that no commit names are used where commits are damaged: but not those that were found bad.
    fn find_bad(&mut self, contents: &Contents, resumed: &[PackInfo], bad: &BadPacks) {
        for pack in resumed.iter().filter(|pack| bad.contains(&pack.id)) {
            self.damage.push(Damage::new(&pack_name(&pack.id), DamageCause::Content));
            self.missing.extend(contents.index.pack_number(&pack.id));
        }
    }

    /// Notes every content that a file list refers to.
    fn collect(&mut self, contents: &Contents, root: NodeName, wanted: &mut ContentSet) -> Result<(), ReadError> {
        let (reader, _) = FileListReader::open(contents, root)?;
        let mut nodes = reader.nodes();
        if nodes.any(|node| !self.holds(contents, Run { start: node, count: 1 })) {
            self.unreadable.insert((root.list, root.position));
        }
        drop(nodes);
        for entry in reader {
            let EntryKind::File(file) = entry?.kind else { continue };
            let runs = match file.content {
                Content::Chunks(runs) => runs,
                Content::Pages { page_size, map } => {
                    let nodes = contents.page_map_chain(map.start)?;
                    let map_runs: Vec<Run> = contents.apply_chain(&nodes)?.runs().collect();
                    if nodes.iter().all(|(node, ..)| self.holds(contents, Run { start: *node, count: 1 })) {
                        self.maps.push(StoredMap { node: map.start, page_size });
                    } else {
                        self.unreadable_maps.insert(map.start);
                    }
                    map_runs
                }
            };
            for run in runs {
                // What lies nowhere is not known; whoever restores it is told.
                wanted.insert(run, &contents.index);
            }
        }
        Ok(())
    }

    /// Notes damage, unless it is a pack that is gone and was marked: another device has dropped it, and this one does not
    /// see that yet.
    fn note_damage(&mut self, damage: Damage, tables: &Tables) {
        let is_marked =
            |pack: &PackRow| pack.marked_since().is_some() && pack_name(&pack.id).to_string() == damage.object;
        let is_dropped = damage.cause == DamageCause::Missing && tables.packs().any(|pack| is_marked(&pack));
        if !is_dropped && !self.damage.contains(&damage) {
            self.damage.push(damage);
        }
    }

    /// Takes in the names of some contents of a list, if they lie in packs that are there.
    fn take_names(
        &mut self,
        contents: &Contents,
        tables: &Tables,
        list: ListNo,
        wanted: &ContentSet,
    ) -> Result<(), ReadError> {
        if contents.index.names_of(list).is_empty() {
            return Ok(());
        }
        let ProvenNames { entry, list: names, damaged } = match contents.read_names(list) {
            Ok(proven) => proven,
            Err(ReadError::Damaged(damage)) => {
                self.note_damage(damage, tables);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let Some(keys) = contents.objects.keyring.epoch(entry.epoch) else { return Ok(()) };
        for (at, damage) in damaged {
            self.note_damage(damage, tables);
            // What lies there is not built on: without the others' names nobody could read it.
            self.missing.insert(at.pack);
        }
        for chunk in wanted.of_list(list) {
            if let Some(name) = names.name(chunk.position)
                && self.holds(contents, Run { start: chunk, count: 1 })
            {
                self.contents.insert(keys, *name, chunk);
            }
        }
        Ok(())
    }
}

/// The newest file list of each source of each device.
fn newest_roots(snapshots: &[Snapshot]) -> Vec<NodeName> {
    let mut newest = HashMap::new();
    for snapshot in snapshots {
        for source in &snapshot.sources {
            newest.insert((snapshot.device, source.path.as_slice()), source.root);
        }
    }
    newest.into_values().collect()
}
