//! Contents read back: segments fetched, opened and unpacked, every content proven by its name.

mod slices;
mod told;

use std::collections::{BTreeMap, HashSet};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hushkeep_core::keys::ObjectKind;
use hushkeep_core::name::ObjectId;
use hushkeep_core::wire::WireError;
use lru::LruCache;
use zeroize::Zeroizing;

use crate::bad_packs::BadPacks;
use crate::codec;
use crate::error::{Damage, DamageCause, ReadError};
use crate::history::{History, IndexRow, PackRow, Tables};
use crate::index::{self, Index, SegmentAt};
use crate::node::{Chain, FileListNode, PageMap, PageMapNode};
use crate::objects::{Objects, index_name, pack_name};
use crate::pack::{Class, Coding, EncodedPack, ListEntry, NameList, PackInfo, Stretch};
use crate::refs::{ContentRef, ListNo, NodeName};
use crate::storage::{Folder, ObjectName};
use slices::Part;
pub(crate) use slices::Slices;
use told::ToldPacks;

/// How much of unpacked segments is kept for the next read, in bytes.
const SEGMENT_CACHE_LEN: usize = 32 << 20;

/// How many contents' names are kept: 20 bytes each.
const NAME_CACHE_COUNT: usize = 1 << 20;

/// The most bytes that the nodes of a page map have together (spec §10.5).
const MAX_MAP_LEN: u64 = 256 << 20;

/// One node of a page map, where it is, and its length in bytes.
type ChainNode = (ContentRef, PageMapNode, u64);

/// The packs that are not live, and whether they are dropped.
pub(crate) type Retired = BTreeMap<ObjectId, bool>;

/// The contents of a repository.
pub(crate) struct Contents {
    pub(crate) objects: Objects,
    pub(crate) index: Index,
    /// Index objects that could not be read (what they held was read from the packs), and packs of which nothing is
    /// known.
    pub(crate) damage: Vec<Damage>,
    /// A pack with something that only a newer version knows. That it is there keeps this one from writing (spec §14).
    pub(crate) newer: Option<ObjectId>,
    /// Packs that no commit names, used because commits are damaged. The next commit names them.
    pub(crate) salvaged: Vec<PackInfo>,
    /// Whether there are packs with a row of which no index object told.
    has_untold_packs: bool,
    /// What commits said of packs so far.
    told: ToldPacks,
    /// The index objects that were taken in.
    known_indexes: HashSet<ObjectId>,
    /// What the index ranks behind the others, or leaves out.
    retired: Retired,
    /// The packs that this device found bad: contents are looked up there last.
    bad: BadPacks,
    segments: Cache<SegmentAt, Vec<u8>>,
    names: Cache<ListNo, ProvenNames>,
    made_good: Mutex<MadeGood>,
}

/// Damage that other packs made good, for they held the contents, too.
#[derive(Default)]
struct MadeGood {
    damage: Vec<Damage>,
    /// How often a content was taken from another pack.
    count: u64,
}

/// The names of a list, which are those that a pack's table speaks of.
pub(crate) struct ProvenNames {
    pub(crate) entry: ListEntry,
    pub(crate) list: NameList,
    /// Packs in which they are not whole, as far as those were asked before.
    pub(crate) damaged: Vec<(SegmentAt, Damage)>,
}

impl Contents {
    /// Reads the index objects that `tables` name. If one is damaged, the packs it was about say the same.
    pub(crate) fn load(objects: Objects, tables: &Tables, bad: BadPacks) -> Result<Self, ReadError> {
        let mut contents = Self::new(objects);
        contents.update(tables, bad)?;
        Ok(contents)
    }

    /// Takes in the index objects that `tables` name and that are not known yet, what became of packs, and which were found
    /// bad.
    pub(crate) fn update(&mut self, tables: &Tables, bad: BadPacks) -> Result<(), ReadError> {
        if self.told.update(tables, self.index.packs()) {
            self.forget();
        }
        // A file list may speak of a list of which nothing is left, where a newer one upon it needs none of that.
        for row in tables.all_packs() {
            self.index.announce(row.id);
        }
        for row in tables.indexes() {
            if self.known_indexes.contains(&row.id) {
                continue;
            }
            match read_index(&self.objects, &row) {
                Ok(body) => self.add_told(&body, tables, &index_name(&row.id)),
                Err(ReadError::Damaged(damage)) => self.damage.push(damage),
                Err(error) => return Err(error),
            }
            self.known_indexes.insert(row.id);
        }
        self.read_packs(tables)?;
        self.rank_packs(tables, bad);
        Ok(())
    }

    /// Begins anew: something that is not what was taken in has been named.
    fn forget(&mut self) {
        (self.index, self.damage, self.salvaged, self.newer) = (Index::default(), Vec::new(), Vec::new(), None);
        (self.known_indexes, self.has_untold_packs, self.retired) = (HashSet::new(), false, BTreeMap::new());
        (self.segments, self.names) = (Cache::new(SEGMENT_CACHE_LEN), Cache::new(NAME_CACHE_COUNT));
        (self.bad, self.made_good) = (BadPacks::default(), Mutex::default());
    }

    /// Has contents looked up in live packs first, then in those that are marked for removal, then in those that no
    /// commit names yet, last in bad ones.
    fn rank_packs(&mut self, tables: &Tables, bad: BadPacks) {
        let retired = tables.all_packs().filter(|row| !row.is_live()).map(|row| (row.id, row.is_dropped()));
        let retired: Retired = retired.collect();
        if retired == self.retired && bad == self.bad {
            return;
        }
        self.index.rank_packs(|id| match (retired.get(id), tables.pack(id)) {
            (Some(true), _) => None,
            _ if bad.contains(id) => Some(3),
            (Some(false), _) => Some(1),
            (None, Some(_)) => Some(0),
            (None, None) => Some(2),
        });
        if bad != self.bad {
            // What was found bad since is looked up last, and what that brought is another question now.
            self.made_good = Mutex::default();
            self.names = Cache::new(NAME_CACHE_COUNT);
        }
        (self.retired, self.bad) = (retired, bad);
    }

    /// If commits are damaged, takes in packs that the storage has though none that can be read names them: one that is damaged
    /// may have. They are sealed by a writer with the key, as every pack is; but not with an older one, if the history knows
    /// all that was sealed before the newest.
    pub(crate) fn salvage(&mut self, history: &History) -> Result<(), ReadError> {
        let mut salvaged = Vec::new();
        let mut listing = match history.damaged() {
            [] => Vec::new(),
            _ => self.objects.storage.list(Folder::Packs).map_err(ReadError::Storage)?,
        };
        listing.sort_by(|one, other| one.name.cmp(&other.name));
        let (tables, newest) = (history.tables(), self.objects.keyring.newest());
        let may_count = |pack: &PackInfo| pack.epoch == newest || !history.knows_older_packs();
        for info in listing {
            let Ok(id) = info.name.file().parse() else { continue };
            if tables.pack(&id).is_some() {
                continue;
            }
            match self.pack_info(&id, info.len) {
                Ok(pack) if may_count(&pack) && pack.is_sound() && lists_are_known(&pack, tables) => {
                    self.take_in(pack.clone());
                    salvaged.push(pack);
                }
                Ok(_) | Err(ReadError::Damaged(_)) => {}
                Err(error) => return Err(error),
            }
        }
        self.salvaged = salvaged;
        Ok(())
    }

    /// Notes that what was salvaged has rows now: the next backup writes an index object that tells of it, too.
    pub(crate) fn name_salvaged(&mut self) {
        self.has_untold_packs |= !self.salvaged.is_empty();
    }

    /// What a pack of this length says of itself, or was said of it before.
    fn pack_info(&self, id: &ObjectId, len: u64) -> Result<PackInfo, ReadError> {
        let known = self.index.pack_number(id).and_then(|number| self.index.pack(number));
        match known.filter(|pack| pack.info.len == len) {
            Some(pack) => Ok(pack.info.clone()),
            None => self.objects.read_pack_info(id, len),
        }
    }

    /// Takes in packs that this writer stored, with the index objects that tell of them.
    pub(crate) fn add_own(&mut self, packs: Vec<PackInfo>, indexes: impl IntoIterator<Item = ObjectId>) {
        packs.into_iter().for_each(|pack| self.index.add(pack));
        let known = self.known_indexes.len();
        self.known_indexes.extend(indexes);
        // Where packs were untold, the new ones tell of all.
        self.has_untold_packs &= self.known_indexes.len() == known;
    }

    /// Takes in what an index object says of packs, as far as it is what the commits say of them.
    fn add_told(&mut self, body: &[u8], tables: &Tables, object: &ObjectName) {
        let mut damage = None;
        for told in index::packs_in(body) {
            let added = told.map_err(DamageCause::from).and_then(|told| self.add_encoded(&told, tables));
            // One word for each object: it may be wrong about millions of packs.
            damage = damage.or(added.err());
        }
        self.damage.extend(damage.map(|cause| Damage::new(object, cause)));
    }

    /// Only a table that a row vouches for is decoded: any number of others fit in an object of a few kilobytes.
    fn add_encoded(&mut self, told: &EncodedPack<'_>, tables: &Tables) -> Result<(), DamageCause> {
        match tables.pack(&told.id) {
            Some(row) if row.is_dropped() => Ok(()),
            Some(row) if row.digest == told.digest() => self.add_named(told.decode()?, &row, tables),
            _ => Err(DamageCause::Content),
        }
    }

    /// Takes in a pack that has the digest in its row, if nothing else is wrong with it.
    fn add_named(&mut self, pack: PackInfo, row: &PackRow, tables: &Tables) -> Result<(), DamageCause> {
        if row.len != pack.len || !pack.is_sound() || !lists_are_known(&pack, tables) {
            return Err(DamageCause::Content);
        }
        self.take_in(pack);
        Ok(())
    }

    fn take_in(&mut self, pack: PackInfo) {
        if pack.table.is_newer() {
            self.newer = Some(pack.id);
        }
        self.index.add(pack);
    }

    /// Takes the tables of packs that no index object told of from the packs themselves.
    fn read_packs(&mut self, tables: &Tables) -> Result<(), ReadError> {
        for row in tables.packs() {
            if self.index.pack_number(&row.id).is_some() {
                continue;
            }
            let added = match self.objects.read_pack_info(&row.id, row.len) {
                Ok(pack) if pack.digest() == row.digest => self.add_named(pack, &row, tables),
                Ok(_) => Err(DamageCause::Content),
                Err(ReadError::Damaged(damage)) => Err(damage.cause),
                Err(error) => return Err(error),
            };
            match added {
                Ok(()) => self.has_untold_packs = true,
                Err(cause) => self.damage.push(Damage::new(&pack_name(&row.id), cause)),
            }
        }
        Ok(())
    }

    /// Every pack whose bytes are there, with its number in the index.
    pub(crate) fn packs(&self) -> impl Iterator<Item = (u32, &PackInfo)> {
        let numbered = (0..).zip(self.index.packs());
        numbered.filter(|(_, pack)| self.retired.get(&pack.id) != Some(&true))
    }

    /// The packs that are marked for removal or dropped.
    pub(crate) fn retired(&self) -> &Retired {
        &self.retired
    }

    /// Whether an index object could not be read, or packs are told of by none.
    pub(crate) fn lacks_index(&self) -> bool {
        self.has_untold_packs || self.damage.iter().any(|damage| damage.object.starts_with(Folder::Index.name()))
    }

    /// The contents of a repository that has none yet, or whose index is not wanted.
    pub(crate) fn new(objects: Objects) -> Self {
        let (segments, names) = (Cache::new(SEGMENT_CACHE_LEN), Cache::new(NAME_CACHE_COUNT));
        Self {
            objects,
            index: Index::default(),
            damage: Vec::new(),
            newer: None,
            salvaged: Vec::new(),
            has_untold_packs: false,
            told: ToldPacks::default(),
            known_indexes: HashSet::new(),
            retired: BTreeMap::new(),
            bad: BadPacks::default(),
            segments,
            names,
            made_good: Mutex::default(),
        }
    }

    /// One content, proven by its name, from the first pack in which it is whole.
    pub(crate) fn content(&self, chunk: ContentRef) -> Result<Vec<u8>, ReadError> {
        let at = self.index.locate(chunk).ok_or_else(|| self.nowhere(chunk))?;
        match self.content_at(at, chunk) {
            Err(ReadError::Damaged(damage)) => self.copy(chunk, &damage),
            read => read,
        }
    }

    /// A content from another pack than the one where it is looked up first, and damaged.
    pub(crate) fn copy(&self, chunk: ContentRef, damage: &Damage) -> Result<Vec<u8>, ReadError> {
        for at in self.index.copies(chunk) {
            match self.content_at(at, chunk) {
                Err(ReadError::Damaged(_)) => {}
                Ok(content) => {
                    self.lock_made_good().note(damage);
                    return Ok(content);
                }
                Err(error) => return Err(error),
            }
        }
        Err(damage.clone().into())
    }

    /// The damage that other packs made good, for they held the contents, too.
    pub(crate) fn made_good(&self) -> Vec<Damage> {
        self.lock_made_good().damage.clone()
    }

    /// How often that was so. Who builds on what he reads is to ask before and after.
    pub(crate) fn count_made_good(&self) -> u64 {
        self.lock_made_good().count
    }

    fn lock_made_good(&self) -> MutexGuard<'_, MadeGood> {
        self.made_good.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn content_at(&self, at: SegmentAt, chunk: ContentRef) -> Result<Vec<u8>, ReadError> {
        let segment = self.segments.get_or_read(at, Vec::len, || self.read_segment(at))?;
        let slices = self.slices(at, &segment)?;
        let content = slices.prove(chunk).ok_or_else(|| self.damaged(at, DamageCause::Content))?;
        Ok(content.to_vec())
    }

    /// The whole contents of a segment, unpacked but not yet proven.
    pub(crate) fn read_segment(&self, at: SegmentAt) -> Result<Vec<u8>, ReadError> {
        let pack = self.index.pack(at.pack).ok_or_else(|| self.damaged(at, DamageCause::UnknownContent))?;
        let (segment, offset) =
            pack.segment(at.segment).ok_or_else(|| self.damaged(at, DamageCause::UnknownContent))?;
        let range = offset..offset + u64::from(segment.sealed_len);
        let mut opened = match segment.class {
            Class::Data | Class::Other(_) => self.objects.read_segment(&pack.info, at.segment, range)?,
            Class::Metadata | Class::Names => self.objects.read_kept_segment(&pack.info, at.segment, range)?,
        };
        match segment.coding {
            Coding::Plain => {
                // What was read around it is not to be kept in memory with it.
                opened.shrink_to_fit();
                Ok(opened)
            }
            Coding::Zstd => codec::decompress(&opened, segment.raw_len as usize)
                .ok_or_else(|| self.damaged(at, DamageCause::Content).into()),
            Coding::Other(_) => Err(self.damaged(at, DamageCause::NewerVersion).into()),
        }
    }

    /// The names of a list, kept for the next time. That they are whole in another pack alone counts each time.
    pub(crate) fn names(&self, list: ListNo) -> Result<Arc<ProvenNames>, ReadError> {
        let names = self.names.get_or_read(list, |names| names.list.len(), || self.read_names(list))?;
        names.damaged.iter().for_each(|(_, damage)| self.lock_made_good().note(damage));
        Ok(names)
    }

    /// The names of a list, from the first pack in which they are whole.
    pub(crate) fn read_names(&self, list: ListNo) -> Result<ProvenNames, ReadError> {
        let mut damaged = Vec::new();
        for (at, entry) in self.index.names_of(list) {
            match self.read_names_at(*at, entry) {
                Ok(list) => {
                    damaged.iter().for_each(|(_, damage)| self.lock_made_good().note(damage));
                    return Ok(ProvenNames { entry: entry.clone(), list, damaged });
                }
                Err(ReadError::Damaged(damage)) => damaged.push((*at, damage)),
                Err(error) => return Err(error),
            }
        }
        let failure = damaged.into_iter().next().map(|(_, damage)| damage);
        Err(failure.unwrap_or_else(|| self.nowhere(ContentRef { list, position: 0 })).into())
    }

    fn read_names_at(&self, at: SegmentAt, entry: &ListEntry) -> Result<NameList, ReadError> {
        let encoded = self.read_segment(at)?;
        if !entry.has_names(&encoded) {
            return Err(self.damaged(at, DamageCause::Content).into());
        }
        let list = NameList::decode(&encoded).map_err(|error| self.damaged(at, error))?;
        let row = self.index.pack(at.pack).and_then(|pack| pack.segment(at.segment));
        if row.is_none_or(|(row, _)| row.count() != list.len() as u64) {
            return Err(self.damaged(at, DamageCause::Length).into());
        }
        Ok(list)
    }

    /// Cuts an unpacked segment into its contents.
    pub(crate) fn slices<'a>(&self, at: SegmentAt, segment: &'a [u8]) -> Result<Slices<'a>, ReadError> {
        let unknown = || self.damaged(at, DamageCause::UnknownContent);
        let pack = self.index.pack(at.pack).ok_or_else(unknown)?;
        let (row, _) = pack.segment(at.segment).ok_or_else(unknown)?;
        let mut parts = Vec::with_capacity(row.stretches.len());
        let mut begin = 0;
        for stretch in &row.stretches {
            let entry = pack.info.table.lists.get(stretch.list as usize).ok_or_else(unknown)?;
            let part = self.cut(at, entry, *stretch, begin)?;
            begin = part.ends.last().copied().unwrap_or(begin);
            parts.push(part);
        }
        if begin != segment.len() {
            return Err(self.damaged(at, DamageCause::Length).into());
        }
        parts.sort_unstable_by_key(|part| part.start);
        Ok(Slices { segment, parts })
    }

    /// Says where the contents of a stretch lie in a segment, if its first lies at `begin`.
    fn cut(&self, at: SegmentAt, entry: &ListEntry, stretch: Stretch, begin: usize) -> Result<Part, ReadError> {
        let list = self.index.list(&entry.id).ok_or_else(|| self.damaged(at, DamageCause::UnknownContent))?;
        let keys = self.objects.keyring.epoch(entry.epoch);
        let keys = Arc::clone(keys.ok_or_else(|| self.damaged(at, DamageCause::UnknownEpoch))?);
        let names = self.names(list)?;
        if names.entry != *entry {
            return Err(self.damaged(at, DamageCause::Content).into());
        }
        let too_few = || self.damaged(at, DamageCause::Length);
        let lens = names.list.lens(stretch.first, stretch.count).ok_or_else(too_few)?;
        let names = names.list.names(stretch.first, stretch.count).ok_or_else(too_few)?.to_vec();
        let mut ends = Vec::with_capacity(lens.len());
        let mut end = begin;
        for len in lens {
            end = end.saturating_add(*len as usize);
            ends.push(end);
        }
        Ok(Part { start: ContentRef { list, position: stretch.first }, begin, ends, names, keys })
    }

    /// The file list that a node names.
    pub(crate) fn file_list_node(&self, node: ContentRef) -> Result<(FileListNode, u64), ReadError> {
        let bytes = self.content(node)?;
        let list = FileListNode::decode(&bytes, &self.index).map_err(|error| self.damaged_content(node, error))?;
        Ok((list, bytes.len() as u64))
    }

    /// A whole page map, with what a delta upon it must know: its chain and the length of its node.
    pub(crate) fn page_map(&self, node: ContentRef) -> Result<(PageMap, Chain, u64), ReadError> {
        let nodes = self.page_map_chain(node)?;
        let map = self.apply_chain(&nodes)?;
        let (chain, len) = nodes.first().map(|(_, top, len)| (top.chain, *len)).unwrap_or_default();
        Ok((map, chain, len))
    }

    /// The nodes that make a page map, each with its length, the newest first.
    pub(crate) fn page_map_chain(&self, node: ContentRef) -> Result<Vec<ChainNode>, ReadError> {
        let (top, len) = self.page_map_node(node)?;
        let mut base = top.chain.base;
        let mut total = len;
        let mut nodes = vec![(node, top, len)];
        while let Some((name, growth)) = base {
            let node = self.node(name)?;
            let (below, len) = self.page_map_node(node)?;
            if below.chain.base.map_or(0, |(_, growth)| growth.depth) + 1 != growth.depth {
                return Err(self.damaged_content(node, DamageCause::Content).into());
            }
            total += len;
            if total > MAX_MAP_LEN {
                return Err(self.damaged_content(node, WireError::Range).into());
            }
            base = below.chain.base;
            nodes.push((node, below, len));
        }
        Ok(nodes)
    }

    /// The map that such nodes make.
    pub(crate) fn apply_chain(&self, nodes: &[ChainNode]) -> Result<PageMap, ReadError> {
        let mut map = None;
        for (node, edits, _) in nodes.iter().rev() {
            map = Some(edits.apply(map).map_err(|error| self.damaged_content(*node, error))?);
        }
        let nothing = || Damage { object: Folder::Packs.name().to_owned(), cause: DamageCause::UnknownContent }.into();
        map.ok_or_else(nothing)
    }

    fn page_map_node(&self, node: ContentRef) -> Result<(PageMapNode, u64), ReadError> {
        let bytes = self.content(node)?;
        let map = PageMapNode::decode(&bytes, &self.index).map_err(|error| self.damaged_content(node, error))?;
        Ok((map, bytes.len() as u64))
    }

    /// The reference of a node that is named on disk.
    pub(crate) fn node(&self, name: NodeName) -> Result<ContentRef, ReadError> {
        let unknown =
            || Damage { object: pack_name(&name.list).to_string(), cause: DamageCause::UnknownContent }.into();
        self.index.node(name).ok_or_else(unknown)
    }

    /// Blames the pack that holds a content.
    pub(crate) fn damaged_content(&self, chunk: ContentRef, cause: impl Into<DamageCause>) -> Damage {
        match self.index.locate(chunk) {
            Some(at) => self.damaged(at, cause),
            None => self.nowhere(chunk),
        }
    }

    /// Blames the pack that a segment is in.
    pub(crate) fn damaged(&self, at: SegmentAt, cause: impl Into<DamageCause>) -> Damage {
        let object = self.index.pack(at.pack).map(|pack| pack_name(&pack.info.id).to_string());
        Damage { object: object.unwrap_or_default(), cause: cause.into() }
    }

    fn nowhere(&self, chunk: ContentRef) -> Damage {
        let object = self.index.list_id(chunk.list).map(|id| pack_name(&id).to_string());
        Damage { object: object.unwrap_or_default(), cause: DamageCause::UnknownContent }
    }
}

impl MadeGood {
    fn note(&mut self, damage: &Damage) {
        self.count += 1;
        if !self.damage.contains(damage) {
            self.damage.push(damage.clone());
        }
    }
}

/// Reads an index object's body, which must be the one that the commits name.
pub(crate) fn read_index(objects: &Objects, row: &IndexRow) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let name = index_name(&row.id);
    let body = objects.read_body(ObjectKind::Index, &name)?;
    if index::digest_of(&body) == row.digest { Ok(body) } else { Err(Damage::new(&name, DamageCause::Content).into()) }
}

/// Whether a pack speaks of no list otherwise than the commit that named the list's own pack.
pub(crate) fn lists_are_known(pack: &PackInfo, tables: &Tables) -> bool {
    let is_known = |list: &ListEntry| tables.pack(&list.id).is_none_or(|row| row.list_digest == list.names_digest);
    pack.table.lists.iter().all(is_known)
}

/// Keeps what was read last, up to a total weight.
struct Cache<K, V>(Mutex<CacheState<K, V>>);

struct CacheState<K, V> {
    entries: LruCache<K, (Arc<V>, usize)>,
    weight: usize,
    limit: usize,
}

impl<K: Hash + Eq + Copy, V> Cache<K, V> {
    fn new(limit: usize) -> Self {
        Self(Mutex::new(CacheState { entries: LruCache::unbounded(), weight: 0, limit }))
    }

    /// What is kept under `key`, else what `read` returns, which is kept from then on.
    fn get_or_read<E>(
        &self,
        key: K,
        weigh: impl Fn(&V) -> usize,
        read: impl FnOnce() -> Result<V, E>,
    ) -> Result<Arc<V>, E> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((value, _)) = lock().entries.get(&key) {
            return Ok(Arc::clone(value));
        }
        let value = Arc::new(read()?);
        let weight = weigh(&value);
        let mut state = lock();
        if let Some((_, replaced)) = state.entries.put(key, (Arc::clone(&value), weight)) {
            state.weight -= replaced;
        }
        state.weight += weight;
        while state.weight > state.limit && state.entries.len() > 1 {
            let Some((_, (_, evicted))) = state.entries.pop_lru() else { break };
            state.weight -= evicted;
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests;
