use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use super::*;

const PLACE: WrapPlace = WrapPlace {
    repository: RepositoryId::from_bytes([1; 16]),
    protector: ProtectorId::from_bytes([2; 4]),
    epoch: Epoch(5),
};

fn key() -> BackupKey {
    BackupKey::generate(&mut ChaCha20Rng::seed_from_u64(1))
}

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text).unwrap()
}

fn wrap() -> PassphraseWrap {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    PassphraseWrap::seal(&key(), &passphrase("correct horse"), KdfParams::FLOOR, &PLACE, &mut rng).unwrap()
}

fn open(wrap: &PassphraseWrap) -> Result<BackupKey, UnwrapError> {
    wrap.open(&passphrase("correct horse"), &PLACE)
}

#[test]
fn the_right_passphrase_gives_the_key_back() {
    let wrap = PassphraseWrap::decode(&wrap().encode()).unwrap();
    assert!(open(&wrap).unwrap().ct_eq(&key()));
    assert_eq!(wrap.params(), KdfParams::FLOOR);
}

/// As when the key is replaced.
#[test]
fn a_wrap_for_another_key_keeps_what_later_versions_say() {
    let rng = &mut ChaCha20Rng::seed_from_u64(3);
    let (mut wrap, other) = (wrap(), BackupKey::generate(rng));
    wrap.unknown.insert(9, b"later".to_vec());
    let resealed = wrap.reseal(&other, &passphrase("correct horse"), &PLACE, rng).unwrap();
    let again = PassphraseWrap::decode(&resealed.encode()).unwrap();
    assert!(open(&again).unwrap().ct_eq(&other));
    assert_ne!(again.salt, wrap.salt);
    assert_eq!((again.params(), again.unknown), (KdfParams::FLOOR, wrap.unknown));
}

#[test]
fn another_passphrase_protector_epoch_or_repository_is_refused() {
    let wrap = wrap();
    let wrong = wrap.open(&passphrase("correct horse "), &PLACE);
    assert_eq!(wrong.unwrap_err(), UnwrapError::WrongPassphrase);
    for (place, refused) in [
        (WrapPlace { protector: ProtectorId::from_bytes([3; 4]), ..PLACE }, UnwrapError::Damaged),
        (WrapPlace { epoch: Epoch(6), ..PLACE }, UnwrapError::Damaged),
        (WrapPlace { repository: RepositoryId::from_bytes([3; 16]), ..PLACE }, UnwrapError::WrongPassphrase),
    ] {
        assert_eq!(wrap.open(&passphrase("correct horse"), &place).unwrap_err(), refused, "{place:?}");
    }
}

/// As where a machine that was stopped goes on twice from one state, once before a rotation: who had the old key would know
/// the new one from the two sealed keys.
#[test]
fn a_salt_that_is_drawn_twice_seals_under_another_key_elsewhere() {
    let seal = |place: &WrapPlace| {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        PassphraseWrap::seal(&key(), &passphrase("correct horse"), KdfParams::FLOOR, place, &mut rng).unwrap()
    };
    let first = seal(&PLACE);
    for other in
        [WrapPlace { epoch: Epoch(6), ..PLACE }, WrapPlace { protector: ProtectorId::from_bytes([3; 4]), ..PLACE }]
    {
        let second = seal(&other);
        assert_eq!(first.salt, second.salt);
        assert_ne!(first.sealed_key[..32], second.sealed_key[..32]);
    }
}

#[test]
fn every_part_is_authenticated() {
    let mut bad = wrap();
    bad.params = KdfParams::new(19 << 10, 3, 1).unwrap();
    assert_eq!(open(&bad).unwrap_err(), UnwrapError::WrongPassphrase);
    let mut bad = wrap();
    bad.salt[15] ^= 1;
    assert_eq!(open(&bad).unwrap_err(), UnwrapError::WrongPassphrase);
    for at in [0, 31, 32, 47] {
        let mut bad = wrap();
        bad.sealed_key[at] ^= 1;
        assert_eq!(open(&bad).unwrap_err(), UnwrapError::Damaged, "byte {at}");
    }
}

/// A wrap whose sealed key opens but whose commitment is another's must not open.
#[test]
fn the_commitment_is_checked_before_the_cipher() {
    let mut forged = wrap();
    forged.commitment[0] ^= 1;
    assert_eq!(open(&forged).unwrap_err(), UnwrapError::WrongPassphrase);
    forged.sealed_key[0] ^= 1;
    assert_eq!(open(&forged).unwrap_err(), UnwrapError::WrongPassphrase);
}

#[test]
fn passphrases_are_compared_in_nfkc_with_their_white_space() {
    let normal = |text| passphrase(text).0.to_string();
    assert_eq!(normal("Zu\u{308}rich"), "Z\u{fc}rich");
    assert_eq!(normal("\u{fb01}ve \u{2460}"), "five 1");
    assert_eq!(normal(" two  spaces\u{a0}"), " two  spaces ");
    assert_eq!(normal("\u{fdfa}").len(), "\u{fdfa}".len() * 11);
    assert_eq!(normal("\u{feff}words \u{feff}"), "words \u{feff}", "of editors' making, at the front of a file");
    ["", "\u{feff}"].iter().for_each(|empty| assert_eq!(Passphrase::new(empty).unwrap_err(), EmptyPassphrase));
}

#[test]
fn a_character_that_unicode_does_not_have_yet_may_change() {
    let is_lasting = |text| passphrase(text).is_lasting();
    assert!(is_lasting("шесть слов подряд \u{1f511}\u{fe0f}\t"));
    assert!(is_lasting("\u{e000}\u{f8ff}\u{f0000}\u{ffffd}\u{100000}\u{10fffd}"));
    assert!(!is_lasting("\u{378}"));
    assert!(!is_lasting("words\u{1ffff}"));
    assert!(!is_lasting("words\u{e0080}"));
}

#[test]
fn debug_shows_no_character() {
    assert_eq!(format!("{:?}", passphrase("correct horse")), "Passphrase(..)");
}

#[test]
fn parameters_out_of_range_are_refused_when_read() {
    let extremes = [(19 << 10, 2, 1), (1 << 20, 16, 4)];
    assert!(extremes.iter().all(|(memory, passes, lanes)| KdfParams::new(*memory, *passes, *lanes).is_ok()));
    let outside = [
        ((19 << 10) - 1, 2, 1),
        ((1 << 20) + 1, 2, 1),
        (19 << 10, 1, 1),
        (19 << 10, 17, 1),
        (19 << 10, 2, 0),
        (19 << 10, 2, 5),
        (u32::MAX, u32::MAX, u32::MAX),
    ];
    for (memory_kib, iterations, lanes) in outside {
        assert_eq!(KdfParams::new(memory_kib, iterations, lanes), Err(ParametersOutOfRange));
        let mut hostile = wrap();
        hostile.params = KdfParams { memory_kib, iterations, lanes };
        assert_eq!(PassphraseWrap::decode(&hostile.encode()).unwrap_err(), WireError::Range);
    }
}

#[test]
fn fields_of_a_newer_version_are_refused_or_kept_by_their_mark() {
    let mut newer = wrap();
    newer.unknown.insert(9, b"later".to_vec());
    let bytes = newer.encode();
    assert!(bytes.ends_with(&[9 << 1, 5, b'l', b'a', b't', b'e', b'r']));
    assert_eq!(PassphraseWrap::decode(&bytes).unwrap().encode(), bytes);
    let mut critical = wrap().encode();
    critical.extend_from_slice(&[9 << 1 | 1, 0]);
    assert_eq!(PassphraseWrap::decode(&critical).unwrap_err(), WireError::UnknownCritical(9));
}

proptest! {
    #[test]
    fn records_round_trip(
        (memory_kib, iterations, lanes) in (19 << 10..=1u32 << 20, 2u32..=16, 1u32..=4),
        salt: [u8; SALT_LEN],
        commitment: [u8; COMMITMENT_LEN],
        sealed: u8,
        unknown in prop::collection::btree_map(field::SEALED_KEY + 1.., any::<Vec<u8>>(), 0..3),
    ) {
        let params = KdfParams::new(memory_kib, iterations, lanes).unwrap();
        let wrap = PassphraseWrap { params, salt, commitment, sealed_key: [sealed; SEALED_LEN], unknown };
        let again = PassphraseWrap::decode(&wrap.encode()).unwrap();
        prop_assert_eq!((again.params, again.salt, again.commitment), (params, salt, commitment));
        prop_assert_eq!((again.sealed_key, again.unknown), (wrap.sealed_key, wrap.unknown));
    }

    #[test]
    fn foreign_bytes_never_panic(bytes: Vec<u8>) {
        let _ = PassphraseWrap::decode(&bytes);
    }
}

#[test]
fn parameters_are_what_they_say() {
    let told = |params: KdfParams| (params.memory_kib(), params.iterations(), params.lanes());
    assert_eq!(told(KdfParams::DEFAULT), (64 * 1024, 3, 1));
    assert_eq!(told(KdfParams::FLOOR), (19 * 1024, 2, 1));
    assert_eq!(told(KdfParams::CEILING), (1024 * 1024, 16, 4));
    assert_eq!(KdfParams::new(65_536, 3, 2).map(told), Ok((65_536, 3, 2)));
}
