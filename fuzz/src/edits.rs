//! Edits of a repository, as a fuzzer's bytes.

use hushkeep_repo::fuzzing::hostile::{Edit, Layer};

/// As many edits are made at most: each is a chance to get past one more check.
const MAX_EDITS: usize = 8;

/// The bytes of an edit before those that it inserts: layer, object, part, place, how many go, how many come.
const HEAD_LEN: usize = 8;

/// Reads edits; what is left at the end is one more that inserts less.
pub fn parse(mut bytes: &[u8]) -> Vec<Edit<'_>> {
    let mut edits = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<HEAD_LEN>().filter(|_| edits.len() < MAX_EDITS) {
        let [layer, object, part, at_low, at_high, remove_low, remove_high, insert] = *head;
        let (insert, rest) = rest.split_at(usize::from(insert).min(rest.len()));
        edits.push(Edit {
            layer: Layer::ALL[usize::from(layer) % Layer::ALL.len()],
            object: object.into(),
            part: part.into(),
            at: u16::from_le_bytes([at_low, at_high]).into(),
            remove: u16::from_le_bytes([remove_low, remove_high]).into(),
            insert,
        });
        bytes = rest;
    }
    edits
}

/// Writes what [`parse`] reads as one edit.
pub fn write(layer: Layer, (object, part): (u8, u8), at: u16, remove: u16, insert: &[u8]) -> Vec<u8> {
    let layer = Layer::ALL.iter().position(|known| *known == layer).unwrap_or_default() as u8;
    let [at_low, at_high] = at.to_le_bytes();
    let [remove_low, remove_high] = remove.to_le_bytes();
    let insert = &insert[..insert.len().min(255)];
    [&[layer, object, part, at_low, at_high, remove_low, remove_high, insert.len() as u8], insert].concat()
}
