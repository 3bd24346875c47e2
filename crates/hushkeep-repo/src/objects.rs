//! Sealed objects on a storage: named, written once, opened with the keys of their epoch.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use hushkeep_core::keys::{Epoch, EpochKeys, ObjectKind};
use hushkeep_core::name::ObjectId;
use hushkeep_core::seal::{self, FOOTER_LEN, HEADER_LEN, Header, OpenError, Opener, TAG_LEN, trailer_len};
use hushkeep_core::wire::Reader;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::cache::CacheKey;
use crate::codec;
use crate::error::{Damage, DamageCause, ReadError};
use crate::keyring::Keyring;
use crate::pack::{Class, PackInfo, PackTable};
use crate::storage::{Folder, ObjectName, Storage, StorageError, StorageErrorKind};

/// Commits and index objects are padded to at least this many bytes.
const MIN_OBJECT_LEN: usize = 4096;

/// Ranged reads begin and end at multiples of this many bytes, so that they tell little of what lies where.
const RANGE_STEP: u64 = 64 << 10;

/// A storage, seen with keys.
pub(crate) struct Objects {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) keyring: Keyring,
}

/// A commit that was opened.
pub(crate) struct ReadCommit {
    /// The epoch it was sealed in.
    pub(crate) epoch: Epoch,
    pub(crate) body: Zeroizing<Vec<u8>>,
    /// What is wrong with it on the storage, if it comes from this device.
    pub(crate) damage: Option<Damage>,
}

impl Objects {
    /// Reads a commit's or index's body.
    pub(crate) fn read_body(&self, kind: ObjectKind, name: &ObjectName) -> Result<Zeroizing<Vec<u8>>, ReadError> {
        self.read_body_of_epoch(kind, name).map(|(_, body)| body)
    }

    /// The same, with the epoch it was sealed in.
    pub(crate) fn read_body_of_epoch(
        &self,
        kind: ObjectKind,
        name: &ObjectName,
    ) -> Result<(Epoch, Zeroizing<Vec<u8>>), ReadError> {
        let key = CacheKey::whole(name);
        match self.storage.cache().filter(|cache| !cache.is_due(&key)).and_then(|_| self.kept_body(kind, &key)) {
            Some(opened) => Ok(opened),
            None => self.fetch_body(kind, name),
        }
    }

    /// Reads a commit of which `is_right` tells whether its body is the one that is meant.
    pub(crate) fn read_commit(
        &self,
        name: &ObjectName,
        is_right: impl Fn(&[u8]) -> bool,
    ) -> Result<ReadCommit, ReadError> {
        let key = CacheKey::whole(name);
        let kept = self.storage.cache().filter(|cache| !cache.is_due(&key));
        match kept.and_then(|_| self.kept_body(ObjectKind::Commit, &key)).filter(|(_, body)| is_right(body)) {
            Some((epoch, body)) => Ok(ReadCommit { epoch, body, damage: None }),
            None => self.fetch_commit(name, is_right),
        }
    }

    /// Reads a commit for which no other vouches: from the storage, where another may lie under its name by now.
    pub(crate) fn read_newest_commit(&self, name: &ObjectName) -> Result<ReadCommit, ReadError> {
        self.fetch_commit(name, |_| true)
    }

    /// Reads a commit from the storage. One that is not whole there, or not the right one, comes from this device if that
    /// keeps it, and what is kept stays.
    fn fetch_commit(&self, name: &ObjectName, is_right: impl Fn(&[u8]) -> bool) -> Result<ReadCommit, ReadError> {
        let key = CacheKey::whole(name);
        let fetched = self.storage.get(name).map_err(|error| ReadError::from_storage(error, name)).and_then(|object| {
            let opened = self.open_body(ObjectKind::Commit, &object).map_err(|cause| Damage::new(name, cause))?;
            if is_right(&opened.1) { Ok((object, opened)) } else { Err(Damage::new(name, DamageCause::Content).into()) }
        });
        let damage = match fetched {
            Ok((object, (epoch, body))) => {
                self.keep(&key, &object);
                return Ok(ReadCommit { epoch, body, damage: None });
            }
            // It is of a key that this device does not know: what was kept under its name is not what lies there.
            Err(ReadError::Damaged(damage)) if damage.cause == DamageCause::UnknownEpoch => return Err(damage.into()),
            Err(ReadError::Damaged(damage)) => damage,
            Err(error) => return Err(error),
        };
        match self.kept_body(ObjectKind::Commit, &key).filter(|(_, body)| is_right(body)) {
            Some((epoch, body)) => Ok(ReadCommit { epoch, body, damage: Some(damage) }),
            None => Err(damage.into()),
        }
    }

    fn kept_body(&self, kind: ObjectKind, key: &CacheKey) -> Option<(Epoch, Zeroizing<Vec<u8>>)> {
        let object = self.storage.cache()?.load(key)?;
        self.open_body(kind, &object).ok()
    }

    fn fetch_body(&self, kind: ObjectKind, name: &ObjectName) -> Result<(Epoch, Zeroizing<Vec<u8>>), ReadError> {
        let object = self.storage.get(name).map_err(|error| ReadError::from_storage(error, name))?;
        let opened = self.open_body(kind, &object).map_err(|cause| Damage::new(name, cause))?;
        self.keep(&CacheKey::whole(name), &object);
        Ok(opened)
    }

    /// Keeps something on this device that was opened, or that it has just stored.
    fn keep(&self, key: &CacheKey, sealed: &[u8]) {
        if let Some(cache) = self.storage.cache() {
            cache.store(key, sealed);
        }
    }

    /// Opens an object that is at hand; returns its epoch and its body.
    pub(crate) fn open_body(
        &self,
        kind: ObjectKind,
        object: &[u8],
    ) -> Result<(Epoch, Zeroizing<Vec<u8>>), DamageCause> {
        let header = Header::parse_as(kind, object)?;
        if header.repository != *self.keyring.repository() {
            return Err(OpenError::WrongRepository.into());
        }
        let keys = self.keyring.epoch(header.epoch).ok_or(DamageCause::UnknownEpoch)?;
        Ok((header.epoch, codec::decode_body(&seal::open_single(keys, kind, object)?)?))
    }

    /// The names and lengths of all packs that are there.
    pub(crate) fn list_packs(&self) -> Result<HashMap<ObjectName, u64>, ReadError> {
        let listing = self.storage.list(Folder::Packs).map_err(ReadError::Storage)?;
        Ok(listing.into_iter().map(|info| (info.name, info.len)).collect())
    }

    /// Deletes objects; returns the names of those that the storage refuses to delete, as one that only ever takes
    /// new objects does.
    pub(crate) fn delete_all(&self, names: &[ObjectName]) -> Result<Vec<String>, StorageError> {
        let mut refused = Vec::new();
        for name in names {
            match self.storage.delete(name) {
                Ok(()) => {}
                Err(error) if error.kind == StorageErrorKind::Denied => refused.push(name.to_string()),
                Err(error) => return Err(error),
            }
        }
        Ok(refused)
    }

    /// Stores a commit or index under a name; returns the object's length.
    pub(crate) fn write_body(
        &self,
        kind: ObjectKind,
        name: &ObjectName,
        body: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<u64, StorageError> {
        let coded = codec::encode_body(body).ok_or_else(|| StorageError::new(StorageErrorKind::TooLong, name))?;
        let object = seal::seal_single(self.keys(), kind, Vec::new(), &coded, MIN_OBJECT_LEN, rng);
        self.storage.put(name, &object)?;
        self.keep(&CacheKey::whole(name), &object);
        Ok(object.len() as u64)
    }

    /// The keys that new objects are sealed under.
    #[expect(clippy::expect_used, reason = "a keyring is made with its current epoch and never loses one")]
    pub(crate) fn keys(&self) -> &Arc<EpochKeys> {
        self.keyring.current().expect("the current epoch is in the keyring")
    }

    /// Opens a segment of a pack that the index knows, by its number and its place in the pack.
    pub(crate) fn read_segment(&self, pack: &PackInfo, number: u32, range: Range<u64>) -> Result<Vec<u8>, ReadError> {
        let name = pack_name(&pack.id);
        let damaged = |cause: DamageCause| ReadError::from(Damage::new(&name, cause));
        let opener = self.opener(pack).map_err(damaged)?;
        let (read, part) = self.read_aligned(&name, range, pack.len)?;
        opener.open_segment_within(u64::from(number), read, part).map_err(|error| damaged(error.into()))
    }

    /// The same for a segment that is read again and again: it is kept on this device.
    pub(crate) fn read_kept_segment(
        &self,
        pack: &PackInfo,
        number: u32,
        range: Range<u64>,
    ) -> Result<Vec<u8>, ReadError> {
        let name = pack_name(&pack.id);
        let key = CacheKey::segment(&name, number);
        let Some(cache) = self.storage.cache() else { return self.read_segment(pack, number, range) };
        let damaged = |cause: DamageCause| ReadError::from(Damage::new(&name, cause));
        let opener = self.opener(pack).map_err(damaged)?;
        let kept = cache.load(&key).and_then(|sealed| opener.open_segment(u64::from(number), &sealed).ok());
        if let Some(opened) = kept {
            return Ok(opened);
        }
        let (read, part) = self.read_aligned(&name, range, pack.len)?;
        let sealed = read.get(part).unwrap_or_default();
        let opened = opener.open_segment(u64::from(number), sealed).map_err(|error| damaged(error.into()))?;
        cache.store(&key, sealed);
        Ok(opened)
    }

    /// Opens the segments of a pack that the index knows.
    pub(crate) fn opener(&self, pack: &PackInfo) -> Result<Opener, DamageCause> {
        let keys = self.keyring.epoch(pack.epoch).ok_or(DamageCause::UnknownEpoch)?;
        let header = Header {
            kind: ObjectKind::Pack,
            epoch: pack.epoch,
            repository: *self.keyring.repository(),
            salt: pack.salt,
            clear: Vec::new(),
        };
        Ok(Opener::new(keys, ObjectKind::Pack, &header)?)
    }

    /// Reads a pack's table from the pack itself: its header and its trailer.
    pub(crate) fn read_pack_info(&self, id: &ObjectId, len: u64) -> Result<PackInfo, ReadError> {
        let name = pack_name(id);
        self.open_frame(id, len, |range| {
            let (mut read, part) = self.read_aligned(&name, range, len)?;
            read.truncate(part.end);
            Ok(read.split_off(part.start))
        })
        .map(|(pack, _)| pack)
    }

    /// Opens header and trailer of a pack, of which `read` returns ranges; returns what they say of the pack, and where its
    /// sealed padding is.
    pub(crate) fn open_frame(
        &self,
        id: &ObjectId,
        len: u64,
        mut read: impl FnMut(Range<u64>) -> Result<Vec<u8>, ReadError>,
    ) -> Result<(PackInfo, Range<u64>), ReadError> {
        let name = pack_name(id);
        let damaged = |cause: DamageCause| ReadError::from(Damage::new(&name, cause));
        let header = read(0..HEADER_LEN as u64)?;
        let header = Header::parse_as(ObjectKind::Pack, &header).map_err(|error| damaged(error.into()))?;
        let keys = self.keyring.epoch(header.epoch).ok_or_else(|| damaged(DamageCause::UnknownEpoch))?;
        let opener = Opener::new(keys, ObjectKind::Pack, &header).map_err(|error| damaged(error.into()))?;

        let footer_at = len.saturating_sub(FOOTER_LEN as u64);
        let footer = read(footer_at..len)?;
        let footer = footer.first_chunk().ok_or_else(|| damaged(DamageCause::Length))?;
        let trailer_len = trailer_len(*footer).map_err(|error| damaged(error.into()))?;
        let trailer_at = footer_at.checked_sub(trailer_len as u64);
        let trailer_at = trailer_at.ok_or_else(|| damaged(OpenError::Truncated.into()))?;
        let trailer = read(trailer_at..footer_at)?;
        let (pad_len, table) = opener.open_trailer(&trailer).map_err(|error| damaged(error.into()))?;
        let table = decode_table(&table).map_err(damaged)?;
        // Segments, padding and trailer fill the pack (spec §2.5).
        let segments: u64 = table.segments.iter().map(|segment| u64::from(segment.sealed_len)).sum();
        let padding_at = segments + HEADER_LEN as u64;
        if padding_at.checked_add(pad_len as u64 + TAG_LEN as u64) != Some(trailer_at) {
            return Err(damaged(DamageCause::Length));
        }
        Ok((PackInfo { id: *id, epoch: header.epoch, salt: header.salt, len, table }, padding_at..trailer_at))
    }

    /// Reads `range` of an object of `len` bytes by a request that is aligned; returns what was read, and which
    /// part of it is the range.
    pub(crate) fn read_aligned(
        &self,
        name: &ObjectName,
        range: Range<u64>,
        len: u64,
    ) -> Result<(Vec<u8>, Range<usize>), ReadError> {
        let start = range.start - range.start % RANGE_STEP;
        let end = range.end.checked_next_multiple_of(RANGE_STEP).unwrap_or(range.end).min(len.max(range.end));
        let read = self.read_range(name, start..end)?;
        let skip = usize::try_from(range.start - start).unwrap_or(usize::MAX);
        let wanted = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        match skip.checked_add(wanted) {
            Some(part_end) if part_end <= read.len() => Ok((read, skip..part_end)),
            _ => Err(Damage::new(name, DamageCause::Length).into()),
        }
    }

    fn read_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, ReadError> {
        self.storage.get_range(name, range).map_err(|error| ReadError::from_storage(error, name))
    }
}

/// Stores a pack, and keeps of it on this device what the next backup reads again: all but the contents of files.
pub(crate) fn store_pack(storage: &dyn Storage, pack: &PackInfo, object: &[u8]) -> Result<(), StorageError> {
    let name = pack_name(&pack.id);
    storage.put(&name, object)?;
    let Some(cache) = storage.cache() else { return Ok(()) };
    let mut rest = object.get(HEADER_LEN..).unwrap_or_default();
    for (number, row) in (0..).zip(&pack.table.segments) {
        let Some((sealed, after)) = rest.split_at_checked(row.sealed_len as usize) else { break };
        if row.class != Class::Data {
            cache.store(&CacheKey::segment(&name, number), sealed);
        }
        rest = after;
    }
    Ok(())
}

/// The name of a pack (spec §2.2).
pub(crate) fn pack_name(id: &ObjectId) -> ObjectName {
    id_name(Folder::Packs, id)
}

/// The name of an index object (spec §2.2).
pub(crate) fn index_name(id: &ObjectId) -> ObjectName {
    id_name(Folder::Index, id)
}

#[expect(clippy::expect_used, reason = "hex digits are allowed in names")]
fn id_name(folder: Folder, id: &ObjectId) -> ObjectName {
    ObjectName::new(folder, id.to_string()).expect("an id can be a name")
}

/// A fresh numbered name: `<number>-<random>`, or `<number>` alone (spec §2.2).
#[expect(clippy::expect_used, reason = "digits and dashes are allowed in names")]
pub(crate) fn numbered_name(folder: Folder, number: u64, random: Option<&mut dyn CryptoRng>) -> ObjectName {
    let file = match random {
        Some(rng) => format!("{number:010}-{:08x}", rng.next_u32()),
        None => format!("{number:010}"),
    };
    ObjectName::new(folder, file).expect("a number can be a name")
}

/// The highest number that a name may have: so high that none is ever reached by counting.
pub(crate) const MAX_NUMBER: u64 = u64::MAX / 2;

/// The number in a name that [`numbered_name`] made; `None` for any other file.
pub(crate) fn number_of(name: &ObjectName) -> Option<u64> {
    let file = name.file();
    let digits = file.split_once('-').map_or(file, |(digits, _)| digits);
    let canonical = digits.len() == 10 || (digits.len() > 10 && !digits.starts_with('0'));
    digits.parse().ok().filter(|number| canonical && *number <= MAX_NUMBER)
}

/// Whether a numbered name is the number and nothing else, so that only one writer can have taken it (spec §11.1).
pub(crate) fn is_number_alone(name: &ObjectName) -> bool {
    number_of(name).is_some() && !name.file().contains('-')
}

fn decode_table(bytes: &[u8]) -> Result<PackTable, DamageCause> {
    let mut reader = Reader::new(bytes);
    let table = PackTable::decode(&mut reader)?;
    reader.finish()?;
    Ok(table)
}
