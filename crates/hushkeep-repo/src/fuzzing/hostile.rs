//! A writer that has the key and means harm: a repository is taken apart, changed below its seals, and sealed again, with
//! every name and digest above the change made to fit.

use std::collections::HashMap;
use std::sync::Arc;

use hushkeep_core::keys::{BackupKey, Epoch, EpochKeys, ObjectKind};
use hushkeep_core::seal::{self, Header, Opener, Sealer};
use rand_core::CryptoRng;

use crate::codec::{self, Compressor};
use crate::config::{ClearConfig, Config, ConfigName};
use crate::history::hostile::{Rewriter, number_of_config};
use crate::index;
use crate::keyring::Keyring;
use crate::objects::Objects;
use crate::pack::{Class, Coding, MIN_PACK_LEN, NameList, PackInfo, PackTable};
use crate::storage::{Folder, ObjectName, Storage};

/// Configs, commits and index objects are padded to at least this many bytes.
const MIN_OBJECT_LEN: usize = 4096;

/// Where an edit is made. What lies above is made to fit, what lies below is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// A content in a pack: a chunk, a page, a node or a block.
    Content,
    /// A name list.
    Names,
    /// The table of a pack.
    Table,
    /// The body of an index object.
    Index,
    /// The record of a snapshot.
    Snapshot,
    /// The body of a commit.
    Commit,
    /// The clear part of a config.
    Clear,
    /// The sealed part of a config.
    Config,
    /// The bytes of an object, as somebody without the key can change them.
    Sealed,
}

impl Layer {
    /// Every layer.
    pub const ALL: [Self; 9] = [
        Self::Content,
        Self::Names,
        Self::Table,
        Self::Index,
        Self::Snapshot,
        Self::Commit,
        Self::Clear,
        Self::Config,
        Self::Sealed,
    ];
}

/// Replaces some bytes of one part.
#[derive(Debug, Clone, Copy)]
pub struct Edit<'a> {
    /// What sort of part.
    pub layer: Layer,
    /// Which object; beyond the last it begins with the first again.
    pub object: usize,
    /// Which content or name list of a pack, counted in the same way.
    pub part: usize,
    /// At which byte; beyond the end, at the end.
    pub at: usize,
    /// How many bytes are removed.
    pub remove: usize,
    /// What is put in their place.
    pub insert: &'a [u8],
}

impl Edit<'_> {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let at = self.at.min(bytes.len());
        let end = at.saturating_add(self.remove).min(bytes.len());
        bytes.splice(at..end, self.insert.iter().copied());
    }

    fn concerns(&self, layer: Layer, object: usize, objects: usize) -> bool {
        self.layer == layer && self.object % objects.max(1) == object
    }
}

/// A repository, taken apart.
pub struct Parts {
    objects: Objects,
    configs: Vec<(ObjectName, Vec<u8>, Vec<u8>)>,
    /// By number.
    commits: Vec<(ObjectName, Vec<u8>)>,
    indexes: Vec<(ObjectName, Vec<u8>)>,
    packs: Vec<OpenPack>,
}

struct OpenPack {
    name: ObjectName,
    info: PackInfo,
    /// The unpacked segments, name lists included.
    segments: Vec<Vec<u8>>,
}

impl Parts {
    /// Takes a repository apart, what opens of it; `None` if no config does.
    pub fn open(storage: &Arc<dyn Storage>, key: &BackupKey) -> Option<Self> {
        let mut configs = Vec::new();
        let mut keyring = None;
        for name in list(storage, Folder::Config) {
            // A damaged config, or one of an earlier key: a repository is whole beside it.
            let Some((own, clear, body)) = open_config(storage, key, &name) else { continue };
            configs.push((name, clear, body));
            keyring = Some(own);
        }
        let objects = Objects { storage: Arc::clone(storage), keyring: keyring? };
        let bodies = |folder, kind| {
            let names = list(storage, folder).into_iter();
            names.filter_map(|name| Some((name.clone(), objects.read_body(kind, &name).ok()?.to_vec()))).collect()
        };
        let commits = bodies(Folder::Commits, ObjectKind::Commit);
        let indexes = bodies(Folder::Index, ObjectKind::Index);
        let packs =
            list(storage, Folder::Packs).into_iter().filter_map(|name| OpenPack::read(&objects, name)).collect();
        Some(Self { objects, configs, commits, indexes, packs })
    }

    /// The clear and the sealed part of every config.
    pub fn configs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.configs.iter().map(|(_, clear, body)| (clear.as_slice(), body.as_slice()))
    }

    /// The bodies of commits, by number.
    pub fn commits(&self) -> impl Iterator<Item = &[u8]> {
        self.commits.iter().map(|(_, body)| body.as_slice())
    }

    /// The records of snapshots.
    pub fn snapshots(&self) -> Vec<Vec<u8>> {
        self.commits().flat_map(crate::history::hostile::snapshot_records).collect()
    }

    /// The bodies of index objects.
    pub fn indexes(&self) -> impl Iterator<Item = &[u8]> {
        self.indexes.iter().map(|(_, body)| body.as_slice())
    }

    /// Name lists.
    pub fn name_lists(&self) -> impl Iterator<Item = &[u8]> {
        self.packs.iter().flat_map(|pack| pack.of_class(Class::Names)).map(Vec::as_slice)
    }

    /// Nodes and blocks of file lists.
    pub fn nodes(&self) -> Vec<Vec<u8>> {
        let contents = self.packs.iter().flat_map(OpenPack::contents);
        contents.filter(|content| content.class == Class::Metadata).map(|content| content.bytes).collect()
    }

    /// How many packs there are.
    pub fn pack_count(&self) -> usize {
        self.packs.len()
    }

    /// The repository's objects, changed by `edits` and sealed again.
    pub fn edited(&self, edits: &[Edit<'_>], rng: &mut dyn CryptoRng) -> Vec<(ObjectName, Vec<u8>)> {
        let mut out = Vec::new();
        let mut packs = HashMap::new();
        for (number, pack) in self.packs.iter().enumerate() {
            let own = edits.iter().filter(|edit| edit.object % self.packs.len() == number);
            let (info, object) = pack.edited(&own.copied().collect::<Vec<_>>(), &self.objects.keyring, rng);
            out.push((pack.name.clone(), object));
            packs.insert(info.id, info);
        }
        let keys = self.objects.keys();
        let mut rewriter = Rewriter::new(&packs, self.config(edits));
        for (number, (name, body)) in self.indexes.iter().enumerate() {
            let infos = index::decode(body).unwrap_or_default();
            let mut body = index::encode(infos.iter().map(|info| packs.get(&info.id).unwrap_or(info)));
            apply(edits, Layer::Index, (number, self.indexes.len()), &mut body);
            let object =
                seal(keys, ObjectKind::Index, Vec::new(), &codec::encode_body(&body).expect("the body was read"), rng);
            rewriter.add_index(name, &object, &body);
            out.push((name.clone(), object));
        }
        for (number, (name, body)) in self.commits.iter().enumerate() {
            let place = (number, self.commits.len());
            let edit_snapshot = |record: &mut Vec<u8>| apply(edits, Layer::Snapshot, place, record);
            let mut body = rewriter.rewrite(body, edit_snapshot);
            apply(edits, Layer::Commit, place, &mut body);
            rewriter.rewritten(name, &body);
            out.push((
                name.clone(),
                seal(keys, ObjectKind::Commit, Vec::new(), &codec::encode_body(&body).expect("the body was read"), rng),
            ));
        }
        for (name, clear, body) in &self.configs {
            let (clear, body) = edited_config(clear, body, edits);
            // A longer clear part cannot be sealed: nobody can write it.
            if clear.len() <= seal::MAX_CLEAR_LEN {
                out.push((name.clone(), seal(keys, ObjectKind::Config, clear, &body, rng)));
            }
        }
        let count = out.len();
        for (number, (_, object)) in out.iter_mut().enumerate() {
            apply(edits, Layer::Sealed, (number, count), object);
        }
        out
    }

    /// How commits are to name the config after the edits.
    fn config(&self, edits: &[Edit<'_>]) -> ConfigName {
        let Some((_, clear, body)) = self.configs.last() else { return ConfigName::default() };
        let (clear, body) = edited_config(clear, body, edits);
        ConfigName::of(number_of_config(&body), &clear, &body)
    }
}

/// A content of a pack, with its place in the list `list` of the pack's table.
struct OpenContent {
    class: Class,
    segment: usize,
    list: usize,
    position: u32,
    bytes: Vec<u8>,
}

impl OpenPack {
    fn read(objects: &Objects, name: ObjectName) -> Option<Self> {
        let object = objects.storage.get(&name).ok()?;
        let info = objects.read_pack_info(&name.file().parse().ok()?, object.len() as u64).ok()?;
        let (header, header_len) = Header::parse(&object).ok()?;
        let opener = Opener::new(objects.keyring.epoch(info.epoch)?, ObjectKind::Pack, &header).ok()?;
        let mut rest = object.get(header_len..)?;
        let mut segments = Vec::new();
        for (number, row) in (0..).zip(&info.table.segments) {
            let (sealed, after) = rest.split_at_checked(row.sealed_len as usize)?;
            let opened = opener.open_segment(number, sealed).ok()?;
            segments.push(match row.coding {
                Coding::Plain => opened,
                Coding::Zstd => codec::decompress(&opened, row.raw_len as usize)?,
                Coding::Other(_) => return None,
            });
            rest = after;
        }
        Some(Self { name, info, segments })
    }

    fn of_class(&self, class: Class) -> impl Iterator<Item = &Vec<u8>> {
        let rows = self.info.table.segments.iter().zip(&self.segments);
        rows.filter(move |(row, _)| row.class == class).map(|(_, segment)| segment)
    }

    /// The name lists, in the order of the lists in the table.
    fn lists(&self) -> Vec<NameList> {
        self.of_class(Class::Names).filter_map(|encoded| NameList::decode(encoded).ok()).collect()
    }

    fn contents(&self) -> Vec<OpenContent> {
        let lists = self.lists();
        let mut contents = Vec::new();
        for (number, (row, segment)) in self.info.table.segments.iter().zip(&self.segments).enumerate() {
            let mut rest = segment.as_slice();
            for stretch in row.stretches.iter().filter(|_| row.class != Class::Names) {
                let list = stretch.list as usize;
                let lens = lists.get(list).and_then(|list| list.lens(stretch.first, stretch.count)).unwrap_or_default();
                for (position, len) in (stretch.first..).zip(lens) {
                    let (content, after) = rest.split_at(*len as usize);
                    let (class, bytes) = (row.class, content.to_vec());
                    contents.push(OpenContent { class, segment: number, list, position, bytes });
                    rest = after;
                }
            }
        }
        contents
    }

    /// What an index says of the pack after some edits, and the pack.
    fn edited(&self, edits: &[Edit<'_>], keyring: &Keyring, rng: &mut dyn CryptoRng) -> (PackInfo, Vec<u8>) {
        let mut lists = self.lists();
        let mut contents = self.contents();
        let count = contents.len();
        let mut segments = vec![Vec::new(); self.segments.len() - lists.len()];
        for (number, content) in contents.iter_mut().enumerate() {
            let before = content.bytes.clone();
            let own = edits.iter().filter(|edit| edit.layer == Layer::Content && edit.part % count == number);
            own.for_each(|edit| edit.apply(&mut content.bytes));
            if content.bytes.is_empty() {
                content.bytes = before;
            }
            let keys = keyring.epoch(self.info.table.lists[content.list].epoch).expect("the pack was read");
            let name = keys.names().name(&content.bytes);
            lists[content.list].replace(content.position, name, content.bytes.len() as u32);
            segments[content.segment].extend_from_slice(&content.bytes);
        }
        let mut info = self.info.clone();
        for (number, (list, entry)) in lists.iter().zip(&mut info.table.lists).enumerate() {
            let mut encoded = list.encode();
            let own = edits.iter().filter(|edit| edit.layer == Layer::Names && edit.part % lists.len() == number);
            own.for_each(|edit| edit.apply(&mut encoded));
            entry.names_digest = NameList::digest(entry.epoch, &encoded);
            segments.push(encoded);
        }
        self.sealed(info, &segments, edits, keyring, rng)
    }

    fn sealed(
        &self,
        mut info: PackInfo,
        segments: &[Vec<u8>],
        edits: &[Edit<'_>],
        keyring: &Keyring,
        rng: &mut dyn CryptoRng,
    ) -> (PackInfo, Vec<u8>) {
        let keys = keyring.epoch(info.epoch).expect("the pack was read");
        let mut sealer = Sealer::new(keys, ObjectKind::Pack, Vec::new(), rng);
        for (segment, row) in segments.iter().zip(&mut info.table.segments) {
            let packed = Compressor::new().compress(segment).filter(|_| row.coding == Coding::Zstd);
            row.coding = if packed.is_some() { Coding::Zstd } else { Coding::Plain };
            row.raw_len = segment.len() as u32;
            row.sealed_len = sealer.seal_segment(packed.as_ref().unwrap_or(segment)) as u32;
        }
        let mut table = info.table.encode();
        edits.iter().filter(|edit| edit.layer == Layer::Table).for_each(|edit| edit.apply(&mut table));
        if let Ok(table) = PackTable::decode(&mut hushkeep_core::wire::Reader::new(&table)) {
            info.table = table;
        }
        info.salt = sealer.header().salt;
        let object = sealer.finish(&table, MIN_PACK_LEN);
        info.len = object.len() as u64;
        (info, object)
    }
}

fn list(storage: &Arc<dyn Storage>, folder: Folder) -> Vec<ObjectName> {
    let mut names: Vec<_> = storage.list(folder).unwrap_or_default().into_iter().map(|info| info.name).collect();
    names.sort_unstable();
    names
}

/// A config's keys, its clear part and its body.
fn open_config(storage: &Arc<dyn Storage>, key: &BackupKey, name: &ObjectName) -> Option<(Keyring, Vec<u8>, Vec<u8>)> {
    let object = storage.get(name).ok()?;
    let header = Header::parse(&object).ok()?.0;
    let mut own = Keyring::new(key, header.repository, header.epoch);
    let body = seal::open_single(own.current()?, ObjectKind::Config, &object).ok()?;
    own.add_older(&Config::decode(ClearConfig::decode(&header.clear).ok()?, &body).ok()?.1).ok()?;
    Some((own, header.clear, body.to_vec()))
}

fn apply(edits: &[Edit<'_>], layer: Layer, (object, objects): (usize, usize), bytes: &mut Vec<u8>) {
    edits.iter().filter(|edit| edit.concerns(layer, object, objects)).for_each(|edit| edit.apply(bytes));
}

fn edited_config(clear: &[u8], body: &[u8], edits: &[Edit<'_>]) -> (Vec<u8>, Vec<u8>) {
    let (mut clear, mut body) = (clear.to_vec(), body.to_vec());
    apply(edits, Layer::Clear, (0, 1), &mut clear);
    apply(edits, Layer::Config, (0, 1), &mut body);
    (clear, body)
}

fn seal(keys: &EpochKeys, kind: ObjectKind, clear: Vec<u8>, body: &[u8], rng: &mut dyn CryptoRng) -> Vec<u8> {
    debug_assert!(keys.epoch() >= Epoch::FIRST);
    seal::seal_single(keys, kind, clear, body, MIN_OBJECT_LEN, rng)
}
