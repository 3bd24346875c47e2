//! Config objects: what a repository is, and the ways to get its key back (spec §12).

use hushkeep_core::keys::{EpochKeys, KeyCheck, ObjectKind};
use hushkeep_core::name::ProtectorId;
use hushkeep_core::seal::{self, Header, MAX_CLEAR_LEN, OpenError};
use hushkeep_core::wire::{MAX_VARINT_LEN, Reader, Record, RecordWriter, UnknownFields, WireError, put_bytes};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::Timestamp;
use crate::error::DamageCause;
use crate::keyring::OlderEpochs;
use crate::pack::digest;

/// Configs are padded to at least this many bytes.
const MIN_CONFIG_LEN: usize = 4096;

/// The most protectors of a config. Their data must fit into a header's clear part, too.
pub(crate) const MAX_PROTECTORS: usize = 32;

/// The newest format that this program reads, and that it writes.
const VERSION: u64 = 1;

/// What a repository is, and the ways to get its key back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// Counts up with every change.
    pub(crate) number: u64,
    /// The ways to get the key back.
    pub(crate) protectors: Vec<Protector>,
    versions: Versions,
    unknown_clear: UnknownFields,
    unknown_sealed: UnknownFields,
}

/// Which programs may use a repository: those that know these versions of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Versions {
    /// To read it.
    reader: u64,
    /// To write to it, if that is more.
    writer: Option<u64>,
}

/// A way to get the backup key back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protector {
    /// Its name.
    pub id: ProtectorId,
    /// What it is.
    pub kind: ProtectorKind,
    /// What the owner calls it.
    pub label: String,
    /// When it was added.
    pub created: Timestamp,
    /// What a newer version said of it.
    unknown: UnknownFields,
}

impl Protector {
    /// A new protector.
    pub fn new(id: ProtectorId, kind: ProtectorKind, label: String, created: Timestamp) -> Self {
        Self { id, kind, label, created, unknown: UnknownFields::new() }
    }
}

/// What a protector is, with what is needed to use it. Readable without a key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtectorKind {
    /// The backup key itself, written for people.
    RecoveryKey,
    /// The key behind a passphrase; the bytes are an encoded wrap.
    Passphrase(Vec<u8>),
    /// A password behind a key vault; the bytes are an encoded pair (`spec/vault.md` §4).
    Vault(Vec<u8>),
    /// A kind that a newer version knows.
    Unknown {
        /// Its number.
        kind: u64,
        /// Its data, kept as it is.
        data: Vec<u8>,
    },
}

impl ProtectorKind {
    fn number(&self) -> u64 {
        match self {
            Self::RecoveryKey => 1,
            Self::Passphrase(_) => 2,
            Self::Vault(_) => 3,
            Self::Unknown { kind, .. } => *kind,
        }
    }

    fn data(&self) -> &[u8] {
        match self {
            Self::RecoveryKey => &[],
            Self::Passphrase(data) | Self::Vault(data) | Self::Unknown { data, .. } => data,
        }
    }

    fn new(kind: u64, data: &[u8]) -> Result<Self, WireError> {
        match kind {
            1 if data.is_empty() => Ok(Self::RecoveryKey),
            1 => Err(WireError::Range),
            2 => Ok(Self::Passphrase(data.to_vec())),
            3 => Ok(Self::Vault(data.to_vec())),
            _ => Ok(Self::Unknown { kind, data: data.to_vec() }),
        }
    }
}

/// How commits name a config. Of two the one with the higher number is newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct ConfigName {
    pub(crate) number: u64,
    pub(crate) digest: [u8; 16],
}

impl ConfigName {
    /// The name of a config with this clear part and this body.
    pub(crate) fn of(number: u64, clear: &[u8], body: &[u8]) -> Self {
        let room = clear.len() + body.len() + 2 * MAX_VARINT_LEN;
        let mut both = Zeroizing::new(Vec::with_capacity(room));
        put_bytes(&mut both, clear);
        put_bytes(&mut both, body);
        Self { number, digest: digest("hushkeep/1 config", &both) }
    }
}

/// The part of a config that can be read without a key. Not to be trusted before the config is opened.
#[derive(Debug, Clone)]
pub(crate) struct ClearConfig {
    pub(crate) key_check: KeyCheck,
    pub(crate) protectors: Vec<(ProtectorId, ProtectorKind)>,
    versions: Versions,
    /// What a newer version said of each protector.
    unknown_of_protectors: Vec<UnknownFields>,
    unknown: UnknownFields,
}

impl ClearConfig {
    /// Reads the clear part (spec §12.2).
    pub(crate) fn decode(clear: &[u8]) -> Result<Self, WireError> {
        let record = Record::parse(clear, 4)?;
        let writer = record.optional(4).map(|_| record.int(4)).transpose()?;
        let versions = Versions { reader: record.int(1)?, writer };
        if versions.reader > VERSION {
            return Err(WireError::UnknownCritical(1));
        }
        let key_check = KeyCheck::from_bytes(record.array(2)?);
        let mut reader = Reader::new(record.required(3)?);
        let (mut protectors, mut unknown_of_protectors) = (Vec::new(), Vec::new());
        while !reader.is_empty() {
            let protector = Record::parse(reader.bytes()?, 3)?;
            let id = ProtectorId::from_bytes(protector.array(1)?);
            if protectors.iter().any(|(other, _)| *other == id) {
                return Err(WireError::NotCanonical);
            }
            if protectors.len() == MAX_PROTECTORS {
                return Err(WireError::Range);
            }
            protectors.push((id, ProtectorKind::new(protector.int(2)?, protector.required(3)?)?));
            unknown_of_protectors.push(protector.into_unknown());
        }
        Ok(Self { key_check, protectors, versions, unknown_of_protectors, unknown: record.into_unknown() })
    }
}

/// Reads the header of a config. One of another format version is newer, for nothing else tells of that version (spec §2.1).
pub(crate) fn parse_header(object: &[u8]) -> Result<Header, DamageCause> {
    Header::parse_as(ObjectKind::Config, object).map_err(|error| match error {
        OpenError::UnknownVersion(_) => DamageCause::NewerVersion,
        error => error.into(),
    })
}

impl Config {
    /// A config that follows none.
    pub(crate) fn first(number: u64, recovery_key: Protector) -> Self {
        let unknown = UnknownFields::new();
        let versions = Versions { reader: VERSION, writer: None };
        let protectors = vec![recovery_key];
        Self { number, protectors, versions, unknown_clear: unknown.clone(), unknown_sealed: unknown }
    }

    /// A config that follows this one; `None` if it would have more protectors, or longer ones, than a reader takes.
    pub(crate) fn next(&self, number: u64, protectors: Vec<Protector>) -> Option<Self> {
        let next = Self { number, protectors, ..self.clone() };
        // Every key check has the same length.
        let clear_len = next.encode_clear(&KeyCheck::from_bytes([0; 16])).len();
        (next.protectors.len() <= MAX_PROTECTORS && clear_len <= MAX_CLEAR_LEN).then_some(next)
    }

    /// Opens a config under keys that are known; with it its name. That it is newer is said of one that opens, and so proven;
    /// or the format version says so, and nothing proves that.
    pub(crate) fn open_newer(keys: &EpochKeys, object: &[u8]) -> Result<(Self, ConfigName), DamageCause> {
        let header = parse_header(object)?;
        let body = seal::open_single(keys, ObjectKind::Config, object)?;
        let (config, _) = Self::decode(ClearConfig::decode(&header.clear)?, &body)?;
        let name = ConfigName::of(config.number, &header.clear, &body);
        Ok((config, name))
    }

    /// Whether this program may write to the repository (spec §12.2).
    pub(crate) fn may_write(&self) -> bool {
        self.versions.writer.is_none_or(|writer| writer <= VERSION)
    }

    /// Seals the config (spec §12.1).
    pub(crate) fn seal(&self, keys: &EpochKeys, older_epochs: &OlderEpochs, rng: &mut dyn CryptoRng) -> Vec<u8> {
        let (clear, body) = self.encode(keys.check(), older_epochs);
        seal::seal_single(keys, ObjectKind::Config, clear, &body, MIN_CONFIG_LEN, rng)
    }

    /// How commits will name the config when it is stored: its number, and a digest of both its parts (spec §12.1). One that
    /// was read has the name of what was read.
    pub(crate) fn name(&self, keys: &EpochKeys, older_epochs: &OlderEpochs) -> ConfigName {
        let (clear, body) = self.encode(keys.check(), older_epochs);
        ConfigName::of(self.number, &clear, &body)
    }

    fn encode(&self, key_check: &KeyCheck, older_epochs: &OlderEpochs) -> (Vec<u8>, Zeroizing<Vec<u8>>) {
        let mut body = RecordWriter::new();
        body.critical_int(1, self.number).critical(2, self.encode_labels()).critical(3, older_epochs.as_bytes());
        (self.encode_clear(key_check), Zeroizing::new(body.unknown(&self.unknown_sealed).finish()))
    }

    /// Joins the two parts of an opened config; returns it with the older epochs' secrets (spec §12.3).
    pub(crate) fn decode(clear: ClearConfig, body: &[u8]) -> Result<(Self, OlderEpochs), WireError> {
        let record = Record::parse(body, 3)?;
        let mut labels = Reader::new(record.required(2)?);
        let mut protectors = Vec::new();
        for ((id, kind), unknown) in clear.protectors.into_iter().zip(clear.unknown_of_protectors) {
            let (label, created) = read_label(&mut labels)?;
            protectors.push(Protector { id, kind, label, created, unknown });
        }
        labels.finish()?;
        let older_epochs = OlderEpochs::from_bytes(record.required(3)?);
        let number = Some(record.int(1)?).filter(|number| *number > 0).ok_or(WireError::Range)?;
        let unknown_sealed = record.into_unknown();
        let versions = clear.versions;
        Ok((Self { number, protectors, versions, unknown_clear: clear.unknown, unknown_sealed }, older_epochs))
    }

    fn encode_clear(&self, key_check: &KeyCheck) -> Vec<u8> {
        let mut protectors = Vec::new();
        for protector in &self.protectors {
            let mut record = RecordWriter::new();
            record.critical(1, *protector.id.as_bytes()).critical_int(2, protector.kind.number());
            record.critical(3, protector.kind.data());
            put_bytes(&mut protectors, &record.unknown(&protector.unknown).finish());
        }
        let mut clear = RecordWriter::new();
        // As they were read: a program of the next version must not lock others out by changing a passphrase.
        clear.critical_int(1, self.versions.reader).critical(2, *key_check.as_bytes()).critical(3, protectors);
        if let Some(writer) = self.versions.writer {
            clear.critical_int(4, writer);
        }
        clear.unknown(&self.unknown_clear).finish()
    }

    /// What is nobody's business but the owner's: the label and time of each protector, in the clear part's order.
    fn encode_labels(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for protector in &self.protectors {
            put_bytes(&mut out, protector.label.as_bytes());
            protector.created.put(&mut out);
        }
        out
    }
}

fn read_label(reader: &mut Reader<'_>) -> Result<(String, Timestamp), WireError> {
    let label = std::str::from_utf8(reader.bytes()?).map_err(|_| WireError::NotCanonical)?.to_owned();
    Ok((label, Timestamp::read(reader)?))
}

/// What is read of the two parts of a config is read again from what it is written as.
#[cfg(any(test, fuzzing))]
pub(crate) fn assert_round_trip(clear: &[u8], body: &[u8]) {
    let Ok(clear) = ClearConfig::decode(clear) else { return };
    let key_check = clear.key_check;
    let Ok((config, older_epochs)) = Config::decode(clear, body) else { return };
    let (clear, body) = config.encode(&key_check, &older_epochs);
    let again = ClearConfig::decode(&clear).and_then(|clear| Config::decode(clear, &body));
    assert_eq!(again, Ok((config, older_epochs)));
}

#[cfg(test)]
mod tests {
    use hushkeep_core::keys::{BackupKey, Epoch};
    use hushkeep_core::name::RepositoryId;
    use hushkeep_core::seal::open_single;
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::properties::{damaged, time, unknown_fields};

    fn arbitrary_protector() -> impl Strategy<Value = Protector> {
        let kind = prop_oneof![
            Just(ProtectorKind::RecoveryKey),
            any::<Vec<u8>>().prop_map(ProtectorKind::Passphrase),
            any::<Vec<u8>>().prop_map(ProtectorKind::Vault),
            (4u64.., any::<Vec<u8>>()).prop_map(|(kind, data)| ProtectorKind::Unknown { kind, data }),
        ];
        (any::<[u8; 4]>(), kind, ".*", time(), unknown_fields(4)).prop_map(|(id, kind, label, created, unknown)| {
            Protector { id: ProtectorId::from_bytes(id), kind, label, created, unknown }
        })
    }

    fn arbitrary_config() -> impl Strategy<Value = Config> {
        let protectors = prop::collection::vec(arbitrary_protector(), 0..4);
        let versions = (0..=VERSION, any::<Option<u64>>()).prop_map(|(reader, writer)| Versions { reader, writer });
        let parts = (1..=u64::MAX, protectors, versions, unknown_fields(5), unknown_fields(4));
        parts.prop_map(|(number, mut protectors, versions, unknown_clear, unknown_sealed)| {
            protectors.sort_unstable_by_key(|protector| *protector.id.as_bytes());
            protectors.dedup_by_key(|protector| protector.id);
            Config { number, protectors, versions, unknown_clear, unknown_sealed }
        })
    }

    fn encoded_config() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
        let key_check = KeyCheck::from_bytes([7; 16]);
        (arbitrary_config(), any::<Vec<u8>>()).prop_map(move |(config, older)| {
            let (clear, body) = config.encode(&key_check, &OlderEpochs::from_bytes(&older));
            (clear, body.to_vec())
        })
    }

    proptest! {
        #[test]
        fn any_config_round_trips(config in arbitrary_config(), older: Vec<u8>) {
            let older = OlderEpochs::from_bytes(&older);
            let (clear, body) = config.encode(&KeyCheck::from_bytes([7; 16]), &older);
            let clear = ClearConfig::decode(&clear).unwrap();
            prop_assert_eq!(Config::decode(clear, &body), Ok((config, older)));
        }

        #[test]
        fn a_damaged_config_is_refused_or_round_trips(
            (clear, body) in encoded_config().prop_flat_map(|(clear, body)| (damaged(clear), damaged(body))),
        ) {
            assert_round_trip(&clear, &body);
        }
    }

    #[test]
    fn a_config_has_32_protectors_at_most_and_a_number() {
        let read = |number, protectors: u8| {
            let protector = |id| {
                let (kind, time) = (ProtectorKind::RecoveryKey, Timestamp { seconds: 0, nanos: 0 });
                Protector::new(ProtectorId::from_bytes([id; 4]), kind, String::new(), time)
            };
            let protectors = (0..protectors).map(protector).collect();
            let config = Config { number, protectors, ..Config::first(1, protector(0)) };
            let (clear, body) = config.encode(&KeyCheck::from_bytes([7; 16]), &OlderEpochs::from_bytes(&[]));
            let read = ClearConfig::decode(&clear).and_then(|clear| Config::decode(clear, &body));
            read.map(|(config, _)| config.protectors.len())
        };
        assert_eq!((read(1, 32), read(1, 33)), (Ok(32), Err(WireError::Range)));
        assert_eq!(read(0, 1), Err(WireError::Range));
    }

    #[test]
    fn no_config_is_made_that_a_reader_would_refuse() {
        let protector = |id: u8, len| {
            let (kind, time) = (ProtectorKind::Passphrase(vec![0; len]), Timestamp { seconds: 0, nanos: 0 });
            Protector::new(ProtectorId::from_bytes([id; 4]), kind, String::new(), time)
        };
        let is_made = |count, len| {
            let config = Config::first(1, protector(0, 0));
            config.next(2, (0..count).map(|id| protector(id, len)).collect()).is_some()
        };
        assert!(is_made(32, 100));
        assert!(!is_made(33, 100), "too many");
        assert!(!is_made(1, MAX_CLEAR_LEN), "too long");
    }

    #[test]
    fn a_higher_version_for_writers_keeps_this_one_away() {
        let protector = Protector::new(
            ProtectorId::from_bytes([1; 4]),
            ProtectorKind::RecoveryKey,
            String::new(),
            Timestamp { seconds: 0, nanos: 0 },
        );
        let mut config = Config::first(1, protector);
        for (writer, may_write) in [(None, true), (Some(1), true), (Some(2), false), (Some(u64::MAX), false)] {
            config.versions.writer = writer;
            assert_eq!(config.may_write(), may_write, "{writer:?}");
        }
    }

    #[test]
    fn configs_round_trip_and_keep_what_they_do_not_know() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let repository = RepositoryId::generate(&mut rng);
        let keys = BackupKey::generate(&mut rng).epoch_secret(&repository, Epoch::FIRST).working_keys(repository);
        let protector = |byte: u8, kind| Protector {
            id: ProtectorId::from_bytes([byte; 4]),
            kind,
            label: format!("number {byte}"),
            created: Timestamp { seconds: 1, nanos: 2 },
            unknown: UnknownFields::from([(8, vec![byte])]),
        };
        let mut config = Config::first(1, protector(1, ProtectorKind::RecoveryKey));
        config.unknown_clear.insert(9, vec![1]);
        config.unknown_sealed.insert(9, vec![2]);
        let config = config.next(
            2,
            vec![
                protector(2, ProtectorKind::Passphrase(vec![3; 99])),
                protector(3, ProtectorKind::Unknown { kind: 77, data: vec![4] }),
            ],
        );
        let config = config.unwrap();

        assert_eq!((config.number, config.protectors.len()), (2, 2));
        let older = OlderEpochs::from_bytes(b"older");
        let object = config.seal(&keys, &older, &mut rng);
        assert_eq!(object.len(), MIN_CONFIG_LEN);
        let clear = ClearConfig::decode(&Header::parse(&object).unwrap().0.clear).unwrap();
        assert!(clear.key_check.matches(keys.check()));
        let body = open_single(&keys, ObjectKind::Config, &object).unwrap();
        assert_eq!(Config::decode(clear, &body).unwrap(), (config, older));
        assert!(!object.windows(8).any(|window| window == b"number 2"), "labels are sealed");
    }
}
