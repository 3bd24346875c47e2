//! Entries of a file list: what is known of one file, folder or link (spec §10.4).

use hushkeep_core::wire::{Reader, Record, WireError, put_bytes, put_signed, put_varint};

use super::anchor::Anchored;
use crate::refs::Run;
use crate::tree::Metadata;
use crate::{RelPath, Timestamp};

/// One file, folder or link of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<R = Run> {
    /// Where it was, below the root of its source.
    pub path: RelPath,
    /// Its metadata.
    pub metadata: Metadata,
    /// What it is.
    pub kind: EntryKind<R>,
    /// An encoded record of fields that this version does not know, kept as it was. A critical one is in a
    /// [`NewerEntry`] only.
    pub(crate) extra: Vec<u8>,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind<R = Run> {
    /// A folder.
    Directory,
    /// A file with contents.
    File(FileEntry<R>),
    /// A symbolic link.
    Symlink {
        /// Where it points, as raw bytes.
        target: Vec<u8>,
    },
    /// Another name of a file that comes earlier in the list.
    HardLink {
        /// That file.
        original: RelPath,
    },
    /// What only newer versions understand (spec §14): nothing is given at its path, and nothing lies below it.
    Newer(NewerEntry<R>),
}

/// What only newer versions understand, as it was read. A backup copies it into no new node, but reads the path anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewerEntry<R = Run>(Newer<R>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Newer<R> {
    /// A kind that this version does not know, with all flags but that for the extra fields, and what is said of it.
    Kind { tag: u8, data: Vec<u8> },
    /// A kind that this version knows, with a critical extra field that it does not.
    Field(Box<EntryKind<R>>),
}

/// A file with contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry<R = Run> {
    /// Its length in bytes.
    pub len: u64,
    /// Whether it had holes.
    pub sparse: bool,
    /// Whether it is a database that was read under its own locks: what the files beside it held belongs to its
    /// contents, and they have no entries of their own.
    pub merged: bool,
    /// BLAKE3 of the whole contents, where they are more than one piece. A single piece is proven by its name.
    pub hash: Option<[u8; 32]>,
    pub(crate) content: Content<R>,
}

impl<R> NewerEntry<R> {
    /// Whether it surely names no contents (spec §10.4).
    pub(crate) fn needs_nothing(&self) -> bool {
        match &self.0 {
            Newer::Kind { tag, .. } => tag & KIND_MASK == WITHOUT_CONTENTS,
            Newer::Field(_) => false,
        }
    }
}

#[cfg(test)]
impl<R> NewerEntry<R> {
    /// An entry of a kind from 5 to 7, with any flags but the last.
    pub(super) fn of_kind(tag: u8, data: Vec<u8>) -> Self {
        assert!(tag & KIND_MASK >= FIRST_UNKNOWN && tag & EXTRA == 0);
        Self(Newer::Kind { tag, data })
    }

    /// An entry with a critical extra field.
    pub(super) fn of_field(kind: EntryKind<R>) -> Self {
        Self(Newer::Field(Box::new(kind)))
    }
}

impl<R> FileEntry<R> {
    /// How much of the file a content at an offset may be: a page, or the rest.
    fn room(&self, offset: u64) -> u64 {
        let rest = self.len.saturating_sub(offset);
        match &self.content {
            Content::Pages { page_size, .. } => rest.min(u64::from(*page_size)),
            Content::Chunks(_) => rest,
        }
    }

    /// Whether a content of so many bytes belongs at an offset: a page fills its place (spec §10.5).
    pub(crate) fn fits(&self, offset: u64, len: u64) -> bool {
        match &self.content {
            Content::Pages { .. } => len == self.room(offset),
            Content::Chunks(_) => len <= self.room(offset),
        }
    }
}

/// Where a file's contents are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content<R = Run> {
    /// These chunks, one after the other.
    Chunks(Vec<R>),
    /// The pages that a page map names.
    Pages { page_size: u32, map: R },
}

const REMOVED: u8 = 0;
const DIRECTORY: u8 = 1;
const FILE: u8 = 2;
const SYMLINK: u8 = 3;
const HARD_LINK: u8 = 4;
const FIRST_UNKNOWN: u8 = 5;
const KIND_MASK: u8 = 0x07;
/// Whatever later versions mean by it, it names no contents.
const WITHOUT_CONTENTS: u8 = 5;
const SPARSE: u8 = 0x08;
const MERGED: u8 = 0x10;
const PAGES: u8 = 0x20;
const HASHED: u8 = 0x40;
const EXTRA: u8 = 0x80;

impl<R> Entry<R> {
    /// The same entry with its references translated.
    pub(crate) fn try_map<S, E>(self, mut translate: impl FnMut(R) -> Result<S, E>) -> Result<Entry<S>, E> {
        let kind = self.kind.try_map(&mut translate)?;
        Ok(Entry { path: self.path, metadata: self.metadata, kind, extra: self.extra })
    }
}

impl<R> EntryKind<R> {
    fn try_map<S, E>(self, translate: &mut dyn FnMut(R) -> Result<S, E>) -> Result<EntryKind<S>, E> {
        Ok(match self {
            Self::Directory => EntryKind::Directory,
            Self::Symlink { target } => EntryKind::Symlink { target },
            Self::HardLink { original } => EntryKind::HardLink { original },
            Self::File(FileEntry { len, sparse, merged, hash, content }) => {
                let content = match content {
                    Content::Chunks(runs) => {
                        Content::Chunks(runs.into_iter().map(translate).collect::<Result<Vec<_>, _>>()?)
                    }
                    Content::Pages { page_size, map } => Content::Pages { page_size, map: translate(map)? },
                };
                EntryKind::File(FileEntry { len, sparse, merged, hash, content })
            }
            Self::Newer(NewerEntry(Newer::Kind { tag, data })) => {
                EntryKind::Newer(NewerEntry(Newer::Kind { tag, data }))
            }
            Self::Newer(NewerEntry(Newer::Field(kind))) => {
                EntryKind::Newer(NewerEntry(Newer::Field(Box::new(kind.try_map(translate)?))))
            }
        })
    }
}

impl Entry<Anchored> {
    /// Writes everything but the path, which the block writes (spec §10.4).
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let extra = if self.extra.is_empty() { 0 } else { EXTRA };
        out.push(self.kind.tag() | extra);
        if !self.extra.is_empty() {
            put_bytes(out, &self.extra);
        }
        write_metadata(&self.metadata, out);
        self.kind.write(out);
    }

    /// Reads what [`write`](Self::write) wrote; `None` stands for a removed path.
    pub(super) fn read(path: RelPath, reader: &mut Reader<'_>) -> Result<Option<Self>, WireError> {
        let tag = reader.byte()?;
        if tag == REMOVED {
            return Ok(None);
        }
        let (extra, is_newer) = if tag & EXTRA == 0 { (Vec::new(), false) } else { read_extra(reader)? };
        let metadata = read_metadata(reader)?;
        let kind = match EntryKind::read(tag & !EXTRA, reader)? {
            EntryKind::Newer(newer) => EntryKind::Newer(newer),
            kind if is_newer => EntryKind::Newer(NewerEntry(Newer::Field(Box::new(kind)))),
            kind => kind,
        };
        Ok(Some(Self { path, metadata, kind, extra }))
    }
}

impl EntryKind<Anchored> {
    /// Kind and flags.
    fn tag(&self) -> u8 {
        match self {
            Self::Directory => DIRECTORY,
            Self::Symlink { .. } => SYMLINK,
            Self::HardLink { .. } => HARD_LINK,
            Self::File(file) => {
                let flag = |on: bool, flag: u8| if on { flag } else { 0 };
                let pages = matches!(file.content, Content::Pages { .. });
                FILE | flag(file.sparse, SPARSE)
                    | flag(file.merged, MERGED)
                    | flag(file.hash.is_some(), HASHED)
                    | flag(pages, PAGES)
            }
            Self::Newer(NewerEntry(Newer::Kind { tag, .. })) => *tag,
            Self::Newer(NewerEntry(Newer::Field(kind))) => kind.tag(),
        }
    }

    /// Writes what comes behind the metadata.
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Directory => {}
            Self::File(file) => file.write(out),
            Self::Symlink { target: bytes } | Self::Newer(NewerEntry(Newer::Kind { data: bytes, .. })) => {
                put_bytes(out, bytes);
            }
            Self::HardLink { original } => put_bytes(out, original.as_bytes()),
            Self::Newer(NewerEntry(Newer::Field(kind))) => kind.write(out),
        }
    }

    /// Reads what [`write`](Self::write) wrote.
    fn read(tag: u8, reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(match tag & KIND_MASK {
            FIRST_UNKNOWN.. => Self::Newer(NewerEntry(Newer::Kind { tag, data: reader.bytes()?.to_vec() })),
            FILE => Self::File(FileEntry::read(tag, reader)?),
            _ if tag & (SPARSE | MERGED | PAGES | HASHED) != 0 => return Err(WireError::NotCanonical),
            DIRECTORY => Self::Directory,
            SYMLINK => Self::Symlink { target: reader.bytes()?.to_vec() },
            HARD_LINK => Self::HardLink { original: read_path(reader)? },
            _ => return Err(WireError::Range),
        })
    }
}

/// Marks a path as removed (spec §10.4).
pub(super) fn write_removed(out: &mut Vec<u8>) {
    out.push(REMOVED);
}

impl FileEntry<Anchored> {
    fn write(&self, out: &mut Vec<u8>) {
        put_varint(out, self.len);
        if let Some(hash) = &self.hash {
            out.extend_from_slice(hash);
        }
        match &self.content {
            Content::Chunks(runs) => {
                put_varint(out, runs.len() as u64);
                runs.iter().for_each(|run| run.write(out));
            }
            Content::Pages { page_size, map } => {
                put_varint(out, u64::from(*page_size));
                map.write(out);
            }
        }
    }

    fn read(tag: u8, reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let len = reader.varint()?;
        let hash = if tag & HASHED == 0 { None } else { Some(reader.array()?) };
        let content = if tag & PAGES == 0 {
            let runs = reader.count(3)?;
            let runs = (0..runs).map(|_| Anchored::read(reader)).collect::<Result<Vec<_>, _>>()?;
            if hash.is_none() && runs.iter().map(|run| u64::from(run.count)).sum::<u64>() > 1 {
                return Err(WireError::NotCanonical);
            }
            Content::Chunks(runs)
        } else {
            let page_size = reader.varint_u32()?;
            if !is_page_size(page_size) || hash.is_none() {
                return Err(WireError::Range);
            }
            let map = Anchored::read(reader)?;
            if map.count != 1 {
                return Err(WireError::Range);
            }
            Content::Pages { page_size, map }
        };
        Ok(Self { len, sparse: tag & SPARSE != 0, merged: tag & MERGED != 0, hash, content })
    }
}

/// Whether SQLite has pages of this size.
pub(super) fn is_page_size(size: u32) -> bool {
    size.is_power_of_two() && (512..=65536).contains(&size)
}

/// Mode; time of the contents; time of the metadata, as a distance from it.
fn write_metadata(metadata: &Metadata, out: &mut Vec<u8>) {
    let Metadata { mode, modified, changed } = metadata;
    put_varint(out, u64::from(*mode));
    put_signed(out, modified.seconds);
    put_varint(out, u64::from(modified.nanos));
    put_signed(out, changed.seconds.wrapping_sub(modified.seconds));
    put_varint(out, u64::from(changed.nanos));
}

fn read_metadata(reader: &mut Reader<'_>) -> Result<Metadata, WireError> {
    let mode = reader.varint_u32()?;
    let seconds = reader.signed()?;
    let modified = Timestamp::new(seconds, reader.varint_u32()?).ok_or(WireError::Range)?;
    let changed = seconds.wrapping_add(reader.signed()?);
    let changed = Timestamp::new(changed, reader.varint_u32()?).ok_or(WireError::Range)?;
    if mode > 0o7777 {
        return Err(WireError::Range);
    }
    Ok(Metadata { mode, modified, changed })
}

fn read_path(reader: &mut Reader<'_>) -> Result<RelPath, WireError> {
    RelPath::new(reader.bytes()?).map_err(|_| WireError::Range)
}

/// A record of which this version knows no field, and whether one of them is critical.
fn read_extra(reader: &mut Reader<'_>) -> Result<(Vec<u8>, bool), WireError> {
    let extra = reader.bytes()?;
    // Whether it is a record at all, whatever is in it.
    Record::parse(extra, u32::MAX)?;
    let is_newer = Record::parse(extra, 0).is_err();
    if extra.is_empty() { Err(WireError::NotCanonical) } else { Ok((extra.to_vec(), is_newer)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_kind_that_never_has_contents_surely_needs_nothing() {
        let needs_nothing = |tag| NewerEntry::<Run>::of_kind(tag, Vec::new()).needs_nothing();
        assert_eq!([5, 5 | HASHED | SPARSE, 6, 7].map(needs_nothing), [true, true, false, false]);
        // A folder needs nothing, but the field may name contents.
        assert!(!NewerEntry::<Run>::of_field(EntryKind::Directory).needs_nothing());
    }

    #[test]
    fn folders_and_links_have_no_flags() {
        let read = |tag| EntryKind::read(tag, &mut Reader::new(b"\x01a")).map(|kind| kind.tag());
        for kind in [DIRECTORY, SYMLINK, HARD_LINK] {
            assert_eq!(read(kind), Ok(kind));
            for flag in [SPARSE, MERGED, PAGES, HASHED] {
                assert_eq!(read(kind | flag), Err(WireError::NotCanonical));
            }
        }
        assert_eq!(read(FIRST_UNKNOWN | HASHED), Ok(FIRST_UNKNOWN | HASHED));
    }
}
