//! Reading packs whole: every segment opened, every content held against its name.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use hushkeep_core::name::ObjectId;
use hushkeep_core::seal::Opener;

use super::pack_window::PackWindow;
use super::{Affected, CheckError, CheckOptions, CheckReport, Finding};
use crate::bad_packs::BadPacks;
use crate::codec;
use crate::error::{Damage, DamageCause, ReadError};
use crate::index::{IndexedPack, SegmentAt};
use crate::objects::pack_name;
use crate::pack::{Class, Coding, ListEntry, MAX_SEALED_LEN, NameList, PackTable, Segment};
use crate::progress::Progress;
use crate::repository::Repository;
use crate::state::StateError;
use crate::storage::{Folder, ObjectName, StorageError};

/// How many packs are read at once, at most.
const MAX_READERS: usize = 4;

/// Places that hold no whole contents any more, and what is wrong there.
#[derive(Default)]
pub(super) struct BadPlaces {
    damage: Vec<(Damage, Vec<Affected>)>,
    packs: HashMap<u32, usize>,
    segments: BTreeMap<SegmentAt, usize>,
}

impl BadPlaces {
    /// Notes a pack of which nothing can be used.
    pub(super) fn add_pack(&mut self, pack: Option<u32>, damage: Damage) {
        let number = self.damage.len();
        self.damage.push((damage, Vec::new()));
        pack.map(|pack| self.packs.entry(pack).or_insert(number));
    }

    fn add_segment(&mut self, at: SegmentAt, damage: Damage) {
        let known = self.damage.iter().position(|(known, _)| *known == damage);
        let number = known.unwrap_or(self.damage.len());
        if known.is_none() {
            self.damage.push((damage, Vec::new()));
        }
        self.segments.entry(at).or_insert(number);
    }

    /// The damage at a place, by number.
    pub(super) fn at(&self, at: SegmentAt) -> Option<usize> {
        self.packs.get(&at.pack).or_else(|| self.segments.get(&at)).copied()
    }

    /// The number of a damage, noted now if it was not.
    pub(super) fn number(&mut self, damage: Damage) -> usize {
        let is_newer = |damage: &Damage| damage.cause.is_newer_version();
        let is_same = |known: &Damage| known.object == damage.object && is_newer(known) == is_newer(&damage);
        match self.damage.iter().position(|(known, _)| is_same(known)) {
            Some(number) => number,
            None => {
                self.damage.push((damage, Vec::new()));
                self.damage.len() - 1
            }
        }
    }

    pub(super) fn affect(&mut self, number: usize, affected: Affected) {
        if let Some((_, all)) = self.damage.get_mut(number) {
            all.push(affected);
        }
    }

    pub(super) fn into_findings(self) -> impl Iterator<Item = Finding> {
        self.damage.into_iter().map(|(damage, affected)| Finding { damage, affected })
    }
}

impl Repository {
    /// Reads the share of packs that the options ask for.
    pub(super) fn read_packs(
        &self,
        options: &CheckOptions,
        progress: &dyn Progress,
        bad: &mut BadPlaces,
        report: &mut CheckReport,
    ) -> Result<(), CheckError> {
        let packs: Vec<u32> = self.packs_to_read(options.read_data, bad);
        let len_of = |pack: &u32| self.contents.index.pack(*pack).map_or(0, |pack| pack.info.len);
        progress.total(packs.len() as u64, packs.iter().map(len_of).sum());
        let next = AtomicUsize::new(0);
        let found = Mutex::new((Vec::new(), None));
        let lock = || found.lock().unwrap_or_else(PoisonError::into_inner);
        let readers = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MAX_READERS));
        std::thread::scope(|scope| {
            for _ in 0..readers.min(packs.len()) {
                scope.spawn(|| {
                    while let Some(number) = packs.get(next.fetch_add(1, Ordering::Relaxed)) {
                        match self.verify_pack(*number) {
                            Ok(damage) => lock().0.extend(damage),
                            Err(error) => {
                                lock().1.get_or_insert(error);
                                return;
                            }
                        }
                        progress.advance(1, len_of(number));
                    }
                });
            }
        });
        let (found, failure) = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        failure.map_or(Ok(()), Err)?;
        let found = self.look_again(found)?;
        report.bytes_read += packs.iter().map(len_of).sum::<u64>();
        self.note_bad_packs(&packs, &found)?;
        for (at, damage) in found {
            match at {
                PlaceInPack::Segment(at) => bad.add_segment(at, damage),
                PlaceInPack::Whole(pack) => bad.add_pack(Some(pack), damage),
            }
        }
        Ok(())
    }

    /// Notes damage that the walk met and that other packs made good: it did no harm, yet.
    pub(super) fn note_made_good(&self, bad: &mut BadPlaces) -> Result<(), StateError> {
        let made_good = self.contents.made_good();
        let name = |damage: &Damage| damage.object.parse::<ObjectName>().ok();
        // What cannot be read just now may be read again.
        let lasts = |damage: &&Damage| damage.cause != DamageCause::Unreadable && !damage.cause.is_newer_version();
        let lasting = made_good.iter().filter(lasts);
        let ids: Vec<ObjectId> = lasting.filter_map(|damage| name(damage)?.file().parse().ok()).collect();
        for damage in made_good {
            bad.number(damage);
        }
        BadPacks::load(self.state.as_ref())?.note(&[], &ids, self.state.as_ref())
    }

    /// Notes what only newer versions can read: whoever needs it is to be named.
    pub(super) fn note_newer_segments(&self, bad: &mut BadPlaces) {
        for (pack, info) in self.contents.packs() {
            let rows = (0..).zip(&info.table.segments);
            for (segment, _) in rows.filter(|(_, row)| matches!(row.coding, Coding::Other(_))) {
                let damage = Damage::new(&pack_name(&info.id), DamageCause::NewerVersion);
                bad.add_segment(SegmentAt { pack, segment }, damage);
            }
        }
    }

    /// Reads again what the storage could not read. One that reads nothing else either went away: that is no damage.
    fn look_again(&self, found: Vec<(PlaceInPack, Damage)>) -> Result<Vec<(PlaceInPack, Damage)>, ReadError> {
        let is_unreadable = |(_, damage): &(PlaceInPack, Damage)| damage.cause == DamageCause::Unreadable;
        let (unreadable, mut found): (Vec<_>, Vec<_>) = found.into_iter().partition(is_unreadable);
        if unreadable.is_empty() {
            return Ok(found);
        }
        self.read_anything().map_err(ReadError::Storage)?;
        for (place, _) in unreadable {
            found.extend(self.verify_pack(place.pack())?);
        }
        Ok(found)
    }

    /// Reads small objects until one is read.
    fn read_anything(&self) -> Result<(), StorageError> {
        let storage = &self.contents.objects.storage;
        let mut failure = None;
        for folder in [Folder::Index, Folder::Commits, Folder::Config] {
            for info in storage.list(folder)? {
                match storage.get(&info.name) {
                    Ok(_) => return Ok(()),
                    Err(error) => failure = Some(error),
                }
            }
        }
        failure.map_or(Ok(()), Err)
    }

    fn note_bad_packs(&self, read: &[u32], found: &[(PlaceInPack, Damage)]) -> Result<(), StateError> {
        let bad_numbers: HashSet<u32> = found.iter().map(|(place, _)| place.pack()).collect();
        let id_of = |number: &u32| self.contents.index.pack(*number).map(|pack| pack.info.id);
        let good: Vec<ObjectId> =
            read.iter().filter(|number| !bad_numbers.contains(number)).filter_map(id_of).collect();
        let bad: Vec<ObjectId> = bad_numbers.iter().filter_map(id_of).collect();
        BadPacks::load(self.state.as_ref())?.note(&good, &bad, self.state.as_ref())
    }

    /// Packs that are there, as many as asked for, chosen anew each time.
    fn packs_to_read(&self, share: f64, bad: &BadPlaces) -> Vec<u32> {
        let mut rng = self.rng();
        let mut chosen = || f64::from(rng.next_u32()) < share * f64::from(u32::MAX);
        let there = |pack: &u32| bad.at(SegmentAt { pack: *pack, segment: 0 }).is_none();
        let packs = self.contents.packs().map(|(number, _)| number);
        packs.filter(|pack| there(pack) && (share >= 1.0 || chosen())).collect()
    }

    /// Everything that is wrong with one pack. A failing storage is an error.
    fn verify_pack(&self, number: u32) -> Result<Vec<(PlaceInPack, Damage)>, ReadError> {
        let Some(pack) = self.contents.index.pack(number) else { return Ok(Vec::new()) };
        let name = pack_name(&pack.info.id);
        match self.open_pack(pack, number) {
            Ok(bad) => {
                Ok(bad.into_iter().map(|(at, cause)| (PlaceInPack::Segment(at), Damage::new(&name, cause))).collect())
            }
            Err(PackError::Bad(cause)) => Ok(vec![(PlaceInPack::Whole(number), Damage::new(&name, cause))]),
            Err(PackError::Storage(error)) => Err(error),
        }
    }

    /// Opens a whole pack, of which no more than a window is in memory; returns the segments that are bad. An error means that
    /// the frame itself is.
    fn open_pack(&self, pack: &IndexedPack, number: u32) -> Result<Vec<(SegmentAt, DamageCause)>, PackError> {
        let (objects, info) = (&self.contents.objects, &pack.info);
        let mut window = PackWindow::new(objects, info);
        let (told, padding) = objects.open_frame(&info.id, info.len, |range| window.get(range).map(<[u8]>::to_vec))?;
        if told != *info {
            return Err(DamageCause::Content.into());
        }
        let opener = objects.opener(info)?;
        let mut bad = Vec::new();
        for segment in (0..).take(info.table.segments.len()) {
            let at = SegmentAt { pack: number, segment };
            let (row, offset) = pack.segment(segment).ok_or(DamageCause::UnknownContent)?;
            let sealed = window.get(offset..offset + u64::from(row.sealed_len))?;
            match self.open_segment(&opener, at, sealed, &info.table, row) {
                Ok(()) => {}
                Err(PackError::Bad(cause)) => bad.push((at, cause)),
                Err(error) => return Err(error),
            }
        }
        // Writers stay below 2³² bytes, and so padding below this (spec §2.5, §8.3). For longer one no room is made: nobody
        // reads anything from it.
        if padding.end - padding.start <= u64::from(MAX_SEALED_LEN) {
            let opened = opener.open_segment(info.table.segments.len() as u64, window.get(padding)?)?;
            if opened.iter().any(|byte| *byte != 0) {
                return Err(DamageCause::Content.into());
            }
        }
        Ok(bad)
    }

    fn open_segment(
        &self,
        opener: &Opener,
        at: SegmentAt,
        sealed: &[u8],
        table: &PackTable,
        row: &Segment,
    ) -> Result<(), PackError> {
        let opened = opener.open_segment(u64::from(at.segment), sealed)?;
        let contents = match row.coding {
            Coding::Plain => opened,
            Coding::Zstd => codec::decompress(&opened, row.raw_len as usize).ok_or(DamageCause::Content)?,
            // It is as whole as anyone can tell who does not know the coding.
            Coding::Other(_) => return Ok(()),
        };
        if row.class == Class::Names {
            let is_of_list = list_of(table, row).is_some_and(|list| list.has_names(&contents));
            let is_right = is_of_list && NameList::decode(&contents)?.len() as u64 == row.count();
            return if is_right { Ok(()) } else { Err(DamageCause::Content.into()) };
        }
        let slices = self.contents.slices(at, &contents)?;
        let whole = slices.contents().all(|chunk| slices.prove(chunk).is_some());
        if whole { Ok(()) } else { Err(DamageCause::Content.into()) }
    }
}

/// The list whose names a segment holds.
fn list_of<'a>(table: &'a PackTable, row: &Segment) -> Option<&'a ListEntry> {
    table.lists.get(row.stretches.first()?.list as usize)
}

/// Why a pack, or a segment of it, did not verify.
enum PackError {
    Bad(DamageCause),
    Storage(ReadError),
}

impl<C: Into<DamageCause>> From<C> for PackError {
    fn from(cause: C) -> Self {
        Self::Bad(cause.into())
    }
}

impl From<ReadError> for PackError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Damaged(damage) => Self::Bad(damage.cause),
            error => Self::Storage(error),
        }
    }
}

/// Where in the index a damage is.
enum PlaceInPack {
    Segment(SegmentAt),
    Whole(u32),
}

impl PlaceInPack {
    fn pack(&self) -> u32 {
        match self {
            Self::Segment(at) => at.pack,
            Self::Whole(pack) => *pack,
        }
    }
}
