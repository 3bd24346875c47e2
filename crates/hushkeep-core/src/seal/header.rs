//! The clear header of an object (spec §2.1).

use rand_core::CryptoRng;

use super::OpenError;
use crate::keys::{Epoch, EpochKeys, ObjectKind};
use crate::name::RepositoryId;

/// The version of the format that this program writes.
pub const FORMAT_VERSION: u16 = 1;

/// The length of a header without its clear part, in bytes.
pub const HEADER_LEN: usize = 68;

/// The longest clear part, in bytes.
pub const MAX_CLEAR_LEN: usize = 1 << 16;

const MAGIC: [u8; 8] = *b"HUSHKEEP";

/// What anyone can read of an object. All of it is authenticated by the object's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// What the object is for.
    pub kind: ObjectKind,
    /// The epoch under whose keys it is sealed.
    pub epoch: Epoch,
    /// The repository it belongs to.
    pub repository: RepositoryId,
    /// Random; makes the object's key its own.
    pub salt: [u8; 32],
    /// Bytes readable without a key: in a config the protectors, else nothing.
    pub clear: Vec<u8>,
}

impl Header {
    /// Draws the header of a new object.
    pub(super) fn draw(keys: &EpochKeys, kind: ObjectKind, clear: Vec<u8>, rng: &mut dyn CryptoRng) -> Self {
        let mut salt = [0; 32];
        rng.fill_bytes(&mut salt);
        Self { kind, epoch: keys.epoch(), repository: *keys.repository(), salt, clear }
    }

    /// The header's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let clear_len = u32::try_from(self.clear.len()).unwrap_or(u32::MAX);
        let mut out = Vec::with_capacity(HEADER_LEN + self.clear.len());
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&[self.kind.number(), 0]);
        out.extend_from_slice(&self.epoch.0.to_le_bytes());
        out.extend_from_slice(self.repository.as_bytes());
        out.extend_from_slice(&self.salt);
        out.extend_from_slice(&clear_len.to_le_bytes());
        out.extend_from_slice(&self.clear);
        out
    }

    /// Reads a header from the front of an object; returns it with its length in bytes.
    pub fn parse(object: &[u8]) -> Result<(Self, usize), OpenError> {
        let (magic, rest) = object.split_first_chunk::<8>().ok_or(OpenError::NotAnObject)?;
        if *magic != MAGIC {
            return Err(OpenError::NotAnObject);
        }
        let (version, rest) = take(rest)?;
        let version = u16::from_le_bytes(version);
        if version != FORMAT_VERSION {
            return Err(OpenError::UnknownVersion(version));
        }
        let ([kind, reserved], rest) = take(rest)?;
        let kind = ObjectKind::from_number(kind).filter(|_| reserved == 0).ok_or(OpenError::NotAnObject)?;
        let (epoch, rest) = take(rest)?;
        let (repository, rest) = take(rest)?;
        let (salt, rest) = take(rest)?;
        let (clear_len, rest) = take(rest)?;
        let clear_len = u32::from_le_bytes(clear_len) as usize;
        if clear_len > MAX_CLEAR_LEN {
            return Err(OpenError::NotAnObject);
        }
        let clear = rest.get(..clear_len).ok_or(OpenError::Truncated)?.to_vec();
        let (epoch, repository) = (Epoch(u32::from_le_bytes(epoch)), RepositoryId::from_bytes(repository));
        if epoch > Epoch::LAST {
            return Err(OpenError::NotAnObject);
        }
        Ok((Self { kind, epoch, repository, salt, clear }, HEADER_LEN + clear_len))
    }

    /// Reads the header of what should be an object of this kind. Nobody vouches for it before something of the object opens.
    pub fn parse_as(kind: ObjectKind, object: &[u8]) -> Result<Self, OpenError> {
        let (header, _) = Self::parse(object)?;
        header.must_be(kind)?;
        Ok(header)
    }

    /// Refuses another kind than this, and a clear part where only a config has one.
    pub(super) fn must_be(&self, kind: ObjectKind) -> Result<(), OpenError> {
        if self.kind != kind {
            return Err(OpenError::WrongKind { expected: kind, found: self.kind });
        }
        if kind != ObjectKind::Config && !self.clear.is_empty() {
            return Err(OpenError::NotAnObject);
        }
        Ok(())
    }
}

fn take<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), OpenError> {
    bytes.split_first_chunk().map(|(taken, rest)| (*taken, rest)).ok_or(OpenError::Truncated)
}
