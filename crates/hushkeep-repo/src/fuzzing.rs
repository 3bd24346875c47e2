//! Every parser of the engine as a function of bytes, for `fuzz/`. Not a part of normal builds.
//!
//! Each panics if what must hold of any bytes does not. The properties themselves stand beside the parsers.

pub mod hostile;

/// Cuts a fuzzer's bytes in two: the first two are the length of the first part, the lower first.
pub fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let Some((len, rest)) = bytes.split_first_chunk::<2>() else { return (&[], &[]) };
    rest.split_at(usize::from(u16::from_le_bytes(*len)).min(rest.len()))
}

/// The opposite of [`split`]; `None` if the first part is too long.
pub fn join(first: &[u8], second: &[u8]) -> Option<Vec<u8>> {
    let len = u16::try_from(first.len()).ok()?;
    Some([&len.to_le_bytes(), first, second].concat())
}

/// The clear part of a config, then its body.
pub fn config(bytes: &[u8]) {
    let (clear, body) = split(bytes);
    crate::config::assert_round_trip(clear, body);
}

/// The body of a commit, and of another to join it with.
pub fn commit(bytes: &[u8]) {
    let (first, second) = split(bytes);
    crate::history::assert_commit_round_trips(first);
    crate::history::assert_commits_join(first, second);
}

/// The record of a snapshot.
pub fn snapshot(bytes: &[u8]) {
    crate::snapshot::assert_round_trip(bytes);
}

/// The body of an index object, with the tables of packs.
pub fn index(bytes: &[u8]) {
    crate::index::assert_round_trip(bytes);
}

/// A name list.
pub fn name_list(bytes: &[u8]) {
    crate::pack::assert_name_list_round_trips(bytes);
}

/// The node of a file list, then a block.
pub fn file_list(bytes: &[u8]) {
    let (node, block) = split(bytes);
    crate::node::assert_file_list_round_trips(node, block);
}

/// A full page map, then a delta upon it.
pub fn page_map(bytes: &[u8]) {
    let (full, delta) = split(bytes);
    crate::node::assert_page_maps_round_trip(full, delta);
}

/// The coded body of a commit or an index object.
pub fn body(bytes: &[u8]) {
    crate::codec::assert_round_trip(bytes);
}

/// A device's memory of tips.
pub fn tips(bytes: &[u8]) {
    crate::history::assert_seen_tips_round_trip(bytes);
}

/// A device's journal.
pub fn journal(bytes: &[u8]) {
    crate::backup::assert_journal_round_trips(bytes);
}

/// A device's list of bad packs.
pub fn bad_packs(bytes: &[u8]) {
    crate::bad_packs::assert_round_trip(bytes);
}

/// A body as it is coded in a commit or an index object.
pub fn encode_body(body: &[u8]) -> Vec<u8> {
    crate::codec::encode_body(body).expect("the body is short").to_vec()
}
