//! What is stored already: the contents of the newest state of each source, by name.
//!
//! Only what a commit names, or the journal and a fresh listing, is ever used: a storage may list objects again
//! that were deleted long ago.

use std::collections::{HashMap, HashSet};

use hushkeep_core::name::{ContentName, ObjectId};

use super::segments::Place;
use crate::RelPath;
use crate::bad_packs::BadPacks;
use crate::contents::Contents;
use crate::error::{Damage, DamageCause, ReadError};
use crate::file_list_reader::FileListReader;
use crate::history::Tables;
use crate::node::{Content, EntryKind};
use crate::objects::pack_name;
use crate::pack::{Class, PackInfo};
use crate::refs::{ContentRef, ListNo, NodeName};
use crate::snapshot::{Snapshot, SnapshotSource};
use crate::storage::Folder;

/// How long before a backup's start a file must have been left alone for its times to be trusted, in seconds.
const YOUNG_SECONDS: i64 = 2;

/// What a backup can build on.
#[derive(Default)]
pub(super) struct Known {
    pub(super) contents: HashMap<ContentName, Place>,
    /// Page maps of stored databases: bases for those of copies under other names.
    pub(super) maps: Vec<StoredMap>,
    /// Packs that are named but not there, or not whole, or found bad by a check, by their numbers in the index.
    missing: HashSet<u32>,
    /// File lists that cannot be read whole, and so are no bases.
    unreadable: HashSet<(ObjectId, u32)>,
    /// What was found damaged on the way.
    pub(super) damage: Vec<Damage>,
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
        let mut wanted: HashMap<ListNo, Vec<u32>> = HashMap::new();
        for root in newest_roots(snapshots) {
            match known.collect(contents, root, &mut wanted) {
                Ok(()) => {}
                Err(ReadError::Damaged(damage)) => {
                    known.damage.push(damage);
                    known.unreadable.insert((root.list, root.position));
                }
                Err(error) => return Err(error),
            }
        }
        for pack in resumed {
            if let Some(list) = contents.index.list(&pack.id) {
                let data = pack.table.segments.iter().filter(|segment| segment.class == Class::Data);
                wanted.entry(list).or_default().extend(data.flat_map(|row| row.first..row.first + row.count));
            }
        }
        for (list, positions) in wanted {
            known.take_names(contents, list, positions)?;
        }
        Ok(known)
    }

    /// The list that a source's new one should be based on: its own newest, else that of a source with the same
    /// label somewhere else, else none.
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
        let (list, trusted_until) = (source.root, own.map(|_| snapshot.time.seconds - YOUNG_SECONDS));
        (!self.unreadable.contains(&(list.list, list.position))).then_some(Base { list, trusted_until })
    }

    /// Whether a content lies in a pack that is there.
    pub(super) fn is_there(&self, contents: &Contents, chunk: ContentRef) -> bool {
        self.missing.is_empty() || contents.index.locate(chunk).is_some_and(|at| !self.missing.contains(&at.pack))
    }

    /// Compares the listing of packs with what the commits name, and with what a check found bad.
    fn find_missing(&mut self, contents: &Contents, tables: &Tables, bad: &BadPacks) -> Result<(), ReadError> {
        let listing = contents.objects.storage.list(Folder::Packs).map_err(ReadError::Storage)?;
        let listed: HashMap<_, _> = listing.into_iter().map(|info| (info.name, info.len)).collect();
        for row in tables.packs() {
            let name = pack_name(&row.id);
            let cause = match listed.get(&name) {
                Some(len) if *len == row.len && bad.contains(&row.id) => DamageCause::Content,
                Some(len) if *len == row.len => continue,
                Some(_) => DamageCause::Length,
                None => DamageCause::Missing,
            };
            self.damage.push(Damage::new(&name, cause));
            self.missing.extend(contents.index.pack_number(&row.id));
        }
        Ok(())
    }

    /// Notes every content that a file list refers to.
    fn collect(
        &mut self,
        contents: &Contents,
        root: NodeName,
        wanted: &mut HashMap<ListNo, Vec<u32>>,
    ) -> Result<(), ReadError> {
        let (reader, _) = FileListReader::open(contents, root)?;
        for entry in reader {
            let EntryKind::File(file) = entry?.kind else { continue };
            match file.content {
                Content::Chunks(runs) => {
                    let chunks = runs.into_iter().flat_map(|run| run.contents());
                    chunks.for_each(|chunk| wanted.entry(chunk.list).or_default().push(chunk.position));
                }
                Content::Pages { page_size, map } => {
                    self.maps.push(StoredMap { node: map.start, page_size });
                    let (map, _, _) = contents.page_map(map.start)?;
                    for page in map.pages {
                        wanted.entry(page.list).or_default().push(page.position);
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes in the names of some contents of a list, if they lie in packs that are there and were named under
    /// the key that names contents today.
    fn take_names(&mut self, contents: &Contents, list: ListNo, positions: Vec<u32>) -> Result<(), ReadError> {
        let epoch = contents.index.list_name(list).map(|(_, epoch)| epoch);
        if epoch != Some(contents.objects.keys().epoch()) {
            return Ok(());
        }
        let names = match contents.names(list) {
            Ok(names) => names,
            Err(ReadError::Damaged(damage)) => {
                self.damage.push(damage);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        for position in positions {
            let chunk = ContentRef { list, position };
            if let Some(name) = names.name(position)
                && self.is_there(contents, chunk)
            {
                self.contents.insert(*name, Place::Stored(chunk));
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
