//! Copies what is needed of some packs into new ones: each content proven, compressed and sealed again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hushkeep_core::keys::EpochKeys;

use super::plan::Plan;
use super::{PruneError, PruneReport};
use crate::codec::{Compressor, MAX_SEGMENT_LEN};
use crate::error::{Damage, DamageCause, ReadError};
use crate::index::{IndexedPack, SegmentAt};
use crate::objects::{pack_name, store_pack};
use crate::pack::{Body, Class, Coding, PackInfo, PackWriter, Stretch, WrittenList, to_u32};
use crate::progress::Progress;
use crate::refs::{ContentRef, ListNo};
use crate::repository::Repository;
use crate::storage::{Folder, ObjectName};

/// A segment is closed when its contents are this long, in bytes: as in a backup.
const SEGMENT_LEN: usize = 1 << 20;

/// Contents that go into one segment.
#[derive(Default)]
struct Group {
    bytes: Vec<u8>,
    contents: Vec<ContentRef>,
}

/// What kind of segment a content belongs in: as where it comes from.
type Kind = (Class, Coding);

/// The new packs being written.
struct Repacker<'a> {
    repository: &'a Repository,
    keys: Arc<EpochKeys>,
    compressor: Compressor,
    groups: [(Kind, Group); 4],
    pack: Option<OpenPack>,
    written: Vec<PackInfo>,
}

/// One pack being filled, with the lists it speaks of.
struct OpenPack {
    writer: PackWriter,
    numbers: BTreeMap<ListNo, u32>,
    lists: Vec<WrittenList>,
}

impl Repository {
    /// Copies what is needed of the packs that the plan names; returns the new packs. Where a pack is damaged, it stays
    /// as it is, and the plan does not mark it.
    pub(super) fn repack(
        &self,
        plan: &mut Plan,
        report: &mut PruneReport,
        progress: &dyn Progress,
    ) -> Result<Vec<PackInfo>, PruneError> {
        let mut repacker = Repacker::new(self);
        if let Err(error) = repacker.copy_all(plan, report, progress) {
            self.delete_copies(&repacker.written);
            return Err(error);
        }
        repacker.written.iter().for_each(|pack| report.written.add(pack.len));
        Ok(repacker.written)
    }

    /// Deletes new packs that no commit names, nor will: on a full storage they would be in the way for a month. Those that
    /// cannot be deleted stay so long.
    pub(super) fn delete_copies(&self, written: &[PackInfo]) {
        let names: Vec<ObjectName> = written.iter().map(|pack| pack_name(&pack.id)).collect();
        let _ = self.contents.objects.delete_all(&names);
    }
}

impl<'a> Repacker<'a> {
    fn new(repository: &'a Repository) -> Self {
        let kinds = [Class::Data, Class::Metadata].map(|class| [(class, Coding::Plain), (class, Coding::Zstd)]);
        let [[a, b], [c, d]] = kinds;
        let groups = [a, b, c, d].map(|kind| (kind, Group::default()));
        let keys = Arc::clone(repository.contents.objects.keys());
        Self { repository, keys, compressor: Compressor::new(), groups, pack: None, written: Vec::new() }
    }

    /// Copies what is needed of the packs that the plan names.
    fn copy_all(
        &mut self,
        plan: &mut Plan,
        report: &mut PruneReport,
        progress: &dyn Progress,
    ) -> Result<(), PruneError> {
        let rows = std::mem::take(&mut plan.to_repack);
        progress.total(rows.len() as u64, rows.iter().map(|row| row.len).sum());
        let index = &self.repository.contents.index;
        for row in rows {
            let number = index.pack_number(&row.id);
            let Some((number, pack)) = number.and_then(|number| Some((number, index.pack(number)?))) else { continue };
            match self.copy_needed(number, pack, plan) {
                Ok(()) => plan.to_repack.push(row),
                Err(PruneError::Read(ReadError::Damaged(damage))) => {
                    plan.spare(&row.id);
                    report.damage.push(damage);
                }
                Err(error) => return Err(error),
            }
            progress.advance(1, row.len);
        }
        self.finish()
    }

    fn copy_needed(&mut self, number: u32, pack: &IndexedPack, plan: &Plan) -> Result<(), PruneError> {
        let rows = (0..).zip(&pack.info.table.segments).filter(|(_, row)| row.class != Class::Names);
        for (segment, row) in rows {
            let at = SegmentAt { pack: number, segment };
            let needed: Vec<ContentRef> = self.repository.needed_contents(at, &pack.info, row, &plan.needs).collect();
            if needed.is_empty() {
                continue;
            }
            let contents = &self.repository.contents;
            let opened = contents.read_segment(at)?;
            let slices = contents.slices(at, &opened)?;
            for chunk in needed {
                let damaged = || ReadError::from(Damage::new(&pack_name(&pack.info.id), DamageCause::Content));
                let content = slices.prove(chunk).ok_or_else(damaged)?;
                self.add((row.class, row.coding), chunk, content)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, kind: Kind, chunk: ContentRef, content: &[u8]) -> Result<(), PruneError> {
        // What only a newer version knows is not put together anew by this one.
        let newer = || Damage { object: Folder::Packs.name().to_owned(), cause: DamageCause::NewerVersion };
        let place = self.groups.iter().position(|(other, _)| *other == kind).ok_or_else(|| ReadError::from(newer()))?;
        if self.group(place).is_some_and(|group| group.bytes.len() + content.len() > MAX_SEGMENT_LEN) {
            self.close(place)?;
        }
        let Some(group) = self.group(place) else { return Ok(()) };
        group.bytes.extend_from_slice(content);
        group.contents.push(chunk);
        if group.bytes.len() >= SEGMENT_LEN { self.close(place) } else { Ok(()) }
    }

    fn group(&mut self, place: usize) -> Option<&mut Group> {
        self.groups.get_mut(place).map(|(_, group)| group)
    }

    /// Seals what a group has gathered.
    fn close(&mut self, place: usize) -> Result<(), PruneError> {
        let Some(((class, coding), group)) = self.groups.get_mut(place) else { return Ok(()) };
        let (class, coding, Group { bytes, contents }) = (*class, *coding, std::mem::take(group));
        if contents.is_empty() {
            return Ok(());
        }
        let raw_len = to_u32(bytes.len());
        let packed = if coding == Coding::Zstd { self.compressor.compress(&bytes) } else { None };
        let (coding, bytes) = packed.map_or((Coding::Plain, bytes), |packed| (Coding::Zstd, packed));
        let body = Body { class, coding, raw_len, bytes };
        self.seal(&body, &contents)
    }

    fn seal(&mut self, body: &Body, contents: &[ContentRef]) -> Result<(), PruneError> {
        let mut new_lists = Vec::new();
        for list in lists_of(contents) {
            new_lists.push((list, self.written_list(list)?));
        }
        let is_full = self.pack.as_ref().is_some_and(|pack| !pack.fits(body, contents, &new_lists));
        if is_full {
            self.finish_pack()?;
        }
        let (repository, keys) = (self.repository, &self.keys);
        let pack = self.pack.get_or_insert_with(|| OpenPack {
            writer: PackWriter::new(keys, &mut **repository.rng(), Vec::new()),
            numbers: BTreeMap::new(),
            lists: Vec::new(),
        });
        pack.add(body, contents, new_lists);
        Ok(())
    }

    /// A list as a pack speaks of it.
    fn written_list(&self, list: ListNo) -> Result<WrittenList, PruneError> {
        let contents = &self.repository.contents;
        let proven = contents.names(list)?;
        let (id, epoch) = (proven.entry.id, proven.entry.epoch);
        Ok(WrittenList { id, epoch, names: proven.list.encode(), count: to_u32(proven.list.len()) })
    }

    fn finish_pack(&mut self) -> Result<(), PruneError> {
        let Some(pack) = self.pack.take() else { return Ok(()) };
        let (info, object) = pack.writer.finish(pack.lists);
        store_pack(self.repository.contents.objects.storage.as_ref(), &info, &object)?;
        self.written.push(info);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), PruneError> {
        for place in 0..self.groups.len() {
            self.close(place)?;
        }
        self.finish_pack()
    }
}

impl OpenPack {
    /// Whether a segment with its lists still fits.
    fn fits(&self, body: &Body, contents: &[ContentRef], lists: &[(ListNo, WrittenList)]) -> bool {
        let new = lists.iter().filter(|(list, _)| !self.numbers.contains_key(list));
        let new_len: usize = new.clone().map(|(_, list)| list.names.len()).sum();
        let names_len = new_len + self.lists.iter().map(|list| list.names.len()).sum::<usize>();
        self.writer.fits(body.bytes.len(), contents.len(), self.lists.len() + new.count(), names_len)
    }

    fn add(&mut self, body: &Body, contents: &[ContentRef], lists: Vec<(ListNo, WrittenList)>) {
        for (list, written) in lists {
            let next = to_u32(self.lists.len());
            if *self.numbers.entry(list).or_insert(next) == next {
                self.lists.push(written);
            }
        }
        let mut stretches: Vec<Stretch> = Vec::new();
        for chunk in contents {
            let list = self.numbers.get(&chunk.list).copied().unwrap_or_default();
            match stretches.last_mut() {
                Some(last) if last.list == list && last.end() == chunk.position => last.count += 1,
                _ => stretches.push(Stretch { list, first: chunk.position, count: 1 }),
            }
        }
        self.writer.add(body, stretches);
    }
}

/// The lists that contents belong to, each once.
fn lists_of(contents: &[ContentRef]) -> BTreeSet<ListNo> {
    contents.iter().map(|chunk| chunk.list).collect()
}
