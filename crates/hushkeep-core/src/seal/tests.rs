use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use super::*;
use crate::keys::{BackupKey, Epoch};
use crate::name::RepositoryId;

fn keys(repository: u8, epoch: u32) -> EpochKeys {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let repository = RepositoryId::from_bytes([repository; 16]);
    BackupKey::generate(&mut rng).epoch_secret(&repository, Epoch(epoch)).working_keys(repository)
}

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(2)
}

#[test]
fn a_single_segment_object_round_trips() {
    let keys = keys(1, 0);
    let object = seal_single(&keys, ObjectKind::Config, b"clear".to_vec(), b"body", 1024, &mut rng());
    assert_eq!(object.len(), padded_len(1024));
    assert_eq!(Header::parse(&object).unwrap().0.clear, b"clear");
    assert_eq!(*open_single(&keys, ObjectKind::Config, &object).unwrap(), b"body");
}

#[test]
fn only_a_config_may_have_a_clear_part() {
    for kind in ObjectKind::ALL {
        let object = seal_single(&keys(1, 0), kind, b"clear".to_vec(), b"body", 0, &mut rng());
        assert_eq!(open_single(&keys(1, 0), kind, &object).is_ok(), kind == ObjectKind::Config, "{kind}");
    }
}

/// Other programs refuse a longer one (spec §9.1).
#[test]
fn the_longest_table_fills_the_longest_trailer() {
    assert_eq!(MAX_TABLE_LEN, 67_108_844);
}

#[test]
fn every_bit_is_authenticated() {
    let keys = keys(1, 0);
    let object = seal_single(&keys, ObjectKind::Config, b"c".to_vec(), b"body", 0, &mut rng());
    assert!(open_single(&keys, ObjectKind::Config, &object).is_ok());
    for bit in 0..object.len() * 8 {
        let mut bad = object.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(open_single(&keys, ObjectKind::Config, &bad).is_err(), "bit {bit}");
    }
}

proptest! {
    #[test]
    fn headers_round_trip(
        kind in prop::sample::select(ObjectKind::ALL.to_vec()),
        epoch in 0..=Epoch::LAST.0,
        repository: [u8; 16],
        salt: [u8; 32],
        clear in prop::collection::vec(any::<u8>(), 0..99),
        rest: Vec<u8>,
    ) {
        let (epoch, repository) = (Epoch(epoch), RepositoryId::from_bytes(repository));
        let header = Header { kind, epoch, repository, salt, clear };
        let encoded = header.encode();
        let object = [encoded.as_slice(), &rest].concat();
        prop_assert_eq!(Header::parse(&object), Ok((header, encoded.len())));
        for len in 0..encoded.len() {
            prop_assert!(Header::parse(&encoded[..len]).is_err());
        }
    }
}

#[test]
fn every_cut_is_noticed() {
    let keys = keys(1, 0);
    let object = seal_single(&keys, ObjectKind::Commit, Vec::new(), b"body", 0, &mut rng());
    for len in 0..object.len() {
        assert!(open_single(&keys, ObjectKind::Commit, &object[..len]).is_err(), "{len} bytes");
    }
    let longer = [object.as_slice(), &[0]].concat();
    assert!(open_single(&keys, ObjectKind::Commit, &longer).is_err());
}

#[test]
fn another_kind_epoch_or_repository_is_refused() {
    let own = keys(1, 0);
    let object = seal_single(&own, ObjectKind::Commit, Vec::new(), b"body", 0, &mut rng());
    let (expected, found) = (ObjectKind::Index, ObjectKind::Commit);
    assert_eq!(open_single(&own, ObjectKind::Index, &object), Err(OpenError::WrongKind { expected, found }));
    assert_eq!(open_single(&keys(2, 0), ObjectKind::Commit, &object), Err(OpenError::WrongRepository));
    assert_eq!(open_single(&keys(1, 1), ObjectKind::Commit, &object), Err(OpenError::WrongEpoch));
}

#[test]
fn segments_cannot_change_places() {
    let keys = keys(1, 0);
    let mut sealer = Sealer::new(&keys, ObjectKind::Pack, Vec::new(), &mut rng());
    let header = sealer.header().clone();
    let first = sealer.seal_segment(b"one");
    sealer.seal_segment(b"two");
    let object = sealer.finish(b"table", 0);
    let opener = Opener::new(&keys, ObjectKind::Pack, &header).unwrap();
    let parts = Parts::split(&object).unwrap();
    let sealed = &parts.segments[..first];
    assert_eq!(opener.open_segment(0, sealed).unwrap(), b"one");
    assert_eq!(opener.open_segment(1, sealed), Err(OpenError::Damaged));
    assert_eq!(opener.open_trailer(parts.trailer).unwrap().1, b"table");
    assert_eq!(opener.open_trailer(sealed), Err(OpenError::Damaged));
}

#[test]
fn a_segment_is_opened_where_it_lies_in_what_was_read() {
    let keys = keys(1, 0);
    let mut sealer = Sealer::new(&keys, ObjectKind::Pack, Vec::new(), &mut rng());
    let header = sealer.header().clone();
    let begin = sealer.sealed_len();
    assert_eq!(begin, header.encode().len());
    let len = sealer.seal_segment(b"one");
    assert_eq!(sealer.sealed_len(), begin + len);
    let object = sealer.finish(b"table", 0);
    let opener = Opener::new(&keys, ObjectKind::Pack, &header).unwrap();
    let part = begin..begin + len;
    assert_eq!(opener.open_segment_within(0, object.clone(), part.clone()).unwrap(), b"one");
    assert_eq!(opener.open_segment_within(1, object.clone(), part), Err(OpenError::Damaged));
    let beyond = begin..object.len() + 1;
    assert_eq!(opener.open_segment_within(0, object, beyond), Err(OpenError::Truncated));
}

#[test]
fn the_footer_tells_where_the_trailer_begins() {
    let object = seal_single(&keys(1, 0), ObjectKind::Commit, Vec::new(), b"body", 0, &mut rng());
    let trailer = trailer_len(*object.last_chunk().unwrap()).unwrap();
    assert_eq!(trailer, Parts::split(&object).unwrap().trailer.len());
    assert_eq!(trailer, PAD_FIELD_LEN + TAG_LEN);
}

#[test]
fn padded_lengths_are_those_of_the_paper() {
    for (len, padded) in
        [(0, 0), (1, 1), (2, 2), (3, 3), (8, 8), (9, 10), (17, 18), (33, 36), (1000, 1024), (1025, 1088)]
    {
        assert_eq!(padded_len(len), padded, "{len}");
    }
}

proptest! {
    #[test]
    fn padding_grows_by_at_most_an_eighth(len in 16usize..1 << 30) {
        let padded = padded_len(len);
        prop_assert!(padded >= len && padded - len <= len / 8);
        prop_assert_eq!(padded_len(padded), padded);
    }

    #[test]
    fn foreign_bytes_never_panic(bytes: Vec<u8>) {
        let _ = open_single(&keys(1, 0), ObjectKind::Config, &bytes);
    }
}

#[test]
fn an_epoch_above_the_last_is_refused() {
    let header = |epoch| {
        let (kind, repository) = (ObjectKind::Commit, RepositoryId::from_bytes([1; 16]));
        Header { kind, epoch, repository, salt: [2; 32], clear: Vec::new() }.encode()
    };
    assert!(Header::parse(&header(Epoch::LAST)).is_ok());
    assert_eq!(Header::parse(&header(Epoch(65_536))), Err(OpenError::NotAnObject));
    assert_eq!((Epoch(65_534).next(), Epoch::LAST.next()), (Some(Epoch::LAST), None));
}
