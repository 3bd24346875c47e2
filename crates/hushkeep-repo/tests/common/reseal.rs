//! Objects of the first epoch as somebody stores them who has the key, and is not this program.
#![allow(dead_code, reason = "each test file uses a part of this")]

use std::sync::Arc;

use hushkeep_core::keys::ObjectKind;
use hushkeep_core::name::ObjectId;
use hushkeep_core::seal::{self, Header};
use hushkeep_core::wire::Reader;
use hushkeep_repo::Storage;
use hushkeep_repo::storage::ObjectName;

use crate::common::{Device, key};

/// Puts something else in the place of an object.
pub(crate) fn change(storage: &Arc<dyn Storage>, name: &ObjectName, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let object = change(storage.get(name).unwrap());
    storage.delete(name).unwrap();
    storage.put(name, &object).unwrap();
}

/// The clear part of an object, and what is sealed.
pub(crate) fn open(kind: ObjectKind, object: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (header, _) = Header::parse(object).unwrap();
    let keys = key().epoch_secret(&header.repository, header.epoch).working_keys(header.repository);
    let body = seal::open_single(&keys, kind, object).unwrap().to_vec();
    (header.clear, body)
}

/// An object of the repository and epoch of another, with other contents.
pub(crate) fn seal_like(object: &[u8], kind: ObjectKind, clear: Vec<u8>, body: &[u8]) -> Vec<u8> {
    let (header, _) = Header::parse(object).unwrap();
    let keys = key().epoch_secret(&header.repository, header.epoch).working_keys(header.repository);
    seal::seal_single(&keys, kind, clear, body, 4096, &mut Device::new(9).rng())
}

/// The same commit with another body, which is not compressed then.
pub(crate) fn with_commit_body(object: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let (clear, coded) = open(ObjectKind::Commit, object);
    let mut reader = Reader::new(&coded);
    let mut body = match reader.byte().unwrap() {
        0 => coded[1..].to_vec(),
        _ => {
            let len = usize::try_from(reader.varint().unwrap()).unwrap();
            zstd::bulk::decompress(reader.take(reader.remaining()).unwrap(), len).unwrap()
        }
    };
    change(&mut body);
    seal_like(object, ObjectKind::Commit, clear, &[&[0], body.as_slice()].concat())
}

/// Where a commit's body has the row of a live pack: there its id stands, and 17 bytes later its status.
pub(crate) fn place_of_pack_row(body: &[u8], id: &ObjectId) -> usize {
    // Behind the row's length: the status, the length of a small pack, two digests.
    const ROW_LEN: u8 = 1 + 3 + 32;
    let begin = [id.as_bytes().as_slice(), &[ROW_LEN, 0]].concat();
    body.windows(begin.len()).position(|bytes| bytes == begin).unwrap()
}
