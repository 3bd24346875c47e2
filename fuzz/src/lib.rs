//! What the fuzz targets share.

pub mod edits;
pub mod repository;
pub mod target;
pub mod vault;

use hushkeep_core::keys::{BackupKey, Epoch, EpochKeys};
use hushkeep_core::name::RepositoryId;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

/// Randomness that is the same in every run.
pub fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(5)
}

/// The keys of a repository that stands for all.
pub fn keys() -> EpochKeys {
    let repository = RepositoryId::from_bytes([1; 16]);
    BackupKey::generate(&mut rng()).epoch_secret(&repository, Epoch::FIRST).working_keys(repository)
}
