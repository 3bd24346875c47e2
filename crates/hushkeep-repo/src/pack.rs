//! Packs: sealed segments of contents, the list of their names, and a table of where what is (spec §8.2).

mod names;
mod table;
mod writer;

pub(crate) use names::NameList;
#[cfg(fuzzing)]
pub(crate) use names::assert_round_trip as assert_name_list_round_trips;
pub(crate) use table::{
    Class, Coding, EncodedPack, ListEntry, MAX_SEALED_LEN, PackInfo, PackTable, Segment, Stretch, digest,
};
pub(crate) use writer::{Body, PackWriter, WrittenList, to_u32};

/// The longest pack, in bytes. Storages without multi-part upload take it in one request.
pub(crate) const MAX_PACK_LEN: usize = 16 << 20;

/// The shortest pack, in bytes: below this, sizes tell nothing at all (see `docs/decisions`).
pub(crate) const MIN_PACK_LEN: usize = 32 << 10;
