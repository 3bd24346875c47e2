//! The key hierarchy (spec §3).
//!
//! ```text
//! backup key K ──▶ epoch secret S ──▶ names key          names of contents
//!                                 ├─▶ chunker seed       where large files are cut
//!                                 ├─▶ key check          tells a wrong key from a damaged object
//!                                 └─▶ object keys        one per kind; each object derives its own from one
//! ```

use std::fmt;

use hkdf::Hkdf;
use rand_core::CryptoRng;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::Secret;
use crate::name::{ContentName, RepositoryId};

/// The root of every other key of one repository: 32 random bytes made on the owner's device.
///
/// Whoever holds it can read the backup; without it nobody can.
#[derive(Debug)]
pub struct BackupKey(Secret<32>);

impl BackupKey {
    /// Draws a new backup key.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        Self(Secret::generate(rng))
    }

    /// Takes the key from a secret that was parsed or unwrapped.
    pub fn from_secret(secret: Secret<32>) -> Self {
        Self(secret)
    }

    /// The 32 bytes, for writing the recovery key or wrapping.
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// Compares in constant time.
    pub fn ct_eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0)
    }

    /// Derives the secret of `epoch` (spec §3.1).
    pub fn epoch_secret(&self, repository: &RepositoryId, epoch: Epoch) -> EpochSecret {
        let info = [b"hushkeep/1 epoch secret".as_slice(), &epoch.0.to_le_bytes()];
        EpochSecret { epoch, secret: derive(self.expose(), repository.as_bytes(), &info) }
    }
}

/// A period under one backup key. Rotation begins the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u32);

impl Epoch {
    /// The epoch a repository begins with.
    pub const FIRST: Self = Self(0);

    /// The last that a repository can have (spec §2.1): what is kept for every epoch stays small.
    pub const LAST: Self = Self(65_535);

    /// The one after this, if there can be one.
    pub fn next(self) -> Option<Self> {
        (self < Self::LAST).then(|| Self(self.0 + 1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `S`: the secret of one epoch, from which its working keys come.
#[derive(Debug)]
pub struct EpochSecret {
    epoch: Epoch,
    secret: Secret<32>,
}

impl EpochSecret {
    /// Compares two secrets in constant time.
    pub fn ct_eq(&self, other: &Self) -> bool {
        self.secret.ct_eq(&other.secret)
    }

    /// Takes an older epoch's secret that was kept sealed under a newer epoch.
    pub fn from_secret(epoch: Epoch, secret: Secret<32>) -> Self {
        Self { epoch, secret }
    }

    /// The epoch this secret belongs to.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The 32 bytes, for sealing them under a newer epoch.
    pub fn expose(&self) -> &[u8; 32] {
        self.secret.expose()
    }

    /// Derives every working key of this epoch (spec §3.2).
    pub fn working_keys(&self, repository: RepositoryId) -> EpochKeys {
        let key = |label: &str| derive(self.expose(), repository.as_bytes(), &[b"hushkeep/1 ", label.as_bytes()]);
        let seed: Secret<8> = derive(self.expose(), repository.as_bytes(), &[b"hushkeep/1 chunker seed"]);
        let check: Secret<16> = derive(self.expose(), repository.as_bytes(), &[b"hushkeep/1 key check"]);
        EpochKeys {
            repository,
            epoch: self.epoch,
            names: NamesKey(key("content names")),
            chunker_seed: ChunkerSeed(seed),
            check: KeyCheck(*check.expose()),
            objects: ObjectKind::ALL.map(|kind| key(kind.key_label())),
        }
    }
}

/// The working keys of one epoch of one repository.
#[derive(Debug)]
pub struct EpochKeys {
    repository: RepositoryId,
    epoch: Epoch,
    names: NamesKey,
    chunker_seed: ChunkerSeed,
    check: KeyCheck,
    objects: [Secret<32>; ObjectKind::ALL.len()],
}

impl EpochKeys {
    /// The repository these keys belong to.
    pub fn repository(&self) -> &RepositoryId {
        &self.repository
    }

    /// The epoch these keys belong to.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The key that names contents.
    pub fn names(&self) -> &NamesKey {
        &self.names
    }

    /// The seed of the content-defined chunker.
    pub fn chunker_seed(&self) -> &ChunkerSeed {
        &self.chunker_seed
    }

    /// A public value that tells whether a key is the one a config was sealed under.
    pub fn check(&self) -> &KeyCheck {
        &self.check
    }

    /// The key all objects of `kind` derive theirs from (spec §3.3).
    pub(crate) fn object_root(&self, kind: ObjectKind) -> &Secret<32> {
        let [config, commit, index, pack] = &self.objects;
        match kind {
            ObjectKind::Config => config,
            ObjectKind::Commit => commit,
            ObjectKind::Index => index,
            ObjectKind::Pack => pack,
        }
    }
}

/// What an object is for. Each kind has keys of its own, so that none passes for another (spec §2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// Format version, protectors, older epochs' secrets.
    Config,
    /// One change of state.
    Commit,
    /// Where the contents of name lists are.
    Index,
    /// Sealed segments of contents.
    Pack,
}

impl ObjectKind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Config, Self::Commit, Self::Index, Self::Pack];

    /// The number in an object's header.
    pub const fn number(self) -> u8 {
        match self {
            Self::Config => 1,
            Self::Commit => 2,
            Self::Index => 3,
            Self::Pack => 4,
        }
    }

    /// The kind with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    const fn key_label(self) -> &'static str {
        match self {
            Self::Config => "object config",
            Self::Commit => "object commit",
            Self::Index => "object index",
            Self::Pack => "object pack",
        }
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Config => "config",
            Self::Commit => "commit",
            Self::Index => "index",
            Self::Pack => "pack",
        })
    }
}

/// The key under which contents are named.
#[derive(Debug)]
pub struct NamesKey(Secret<32>);

impl NamesKey {
    /// Names a content (spec §3.4).
    pub fn name(&self, content: &[u8]) -> ContentName {
        let hash = blake3::keyed_hash(self.0.expose(), content);
        let mut name = [0; ContentName::LEN];
        name.copy_from_slice(hash.as_bytes().split_at(ContentName::LEN).0);
        ContentName::from_bytes(name)
    }
}

/// The secret seed of content-defined chunking (spec §3.5).
#[derive(Debug)]
pub struct ChunkerSeed(Secret<8>);

impl ChunkerSeed {
    /// The seed as the chunker takes it.
    pub fn expose(&self) -> u64 {
        u64::from_le_bytes(*self.0.expose())
    }
}

/// A public commitment to an epoch's key, kept in the clear part of a config (spec §3.2).
#[derive(Debug, Clone, Copy)]
pub struct KeyCheck([u8; 16]);

impl KeyCheck {
    /// Takes a check value from its bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes, as they are written.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Whether both commit to the same key.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// HKDF-SHA256 (RFC 5869): extracts from `ikm` and `salt`, expands `info` to `N` bytes.
pub(crate) fn derive<const N: usize>(ikm: &[u8], salt: &[u8], info: &[&[u8]]) -> Secret<N> {
    const { assert!(N <= 255 * 32, "RFC 5869 expands to at most 255 blocks") };
    Secret::build(|out| {
        let expanded = Hkdf::<Sha256>::new(Some(salt), ikm).expand_multi_info(info, out);
        debug_assert!(expanded.is_ok(), "the length was checked at compile time");
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> BackupKey {
        BackupKey::from_secret(Secret::build(|bytes| *bytes = [byte; 32]))
    }

    #[test]
    fn keys_are_equal_by_content() {
        assert!(key(1).ct_eq(&key(1)));
        assert!(!key(1).ct_eq(&key(2)));
        let secret = |key: BackupKey| key.epoch_secret(&RepositoryId::from_bytes([9; 16]), Epoch(0));
        assert!(secret(key(1)).ct_eq(&secret(key(1))));
        assert!(!secret(key(1)).ct_eq(&secret(key(2))));
    }

    #[test]
    fn a_check_tells_one_key_and_epoch_from_others() {
        let repository = RepositoryId::from_bytes([7; 16]);
        let check = |byte, epoch| *key(byte).epoch_secret(&repository, Epoch(epoch)).working_keys(repository).check();
        assert!(check(1, 0).matches(&check(1, 0)));
        assert!(!check(1, 0).matches(&check(2, 0)));
        assert!(!check(1, 0).matches(&check(1, 1)));
    }

    #[test]
    fn an_epoch_is_shown_by_its_number() {
        assert_eq!(Epoch(12).to_string(), "12");
    }
}
