//! Bytes that must not leak by accident.

use std::fmt;

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// `N` secret bytes on the heap, erased when dropped.
///
/// A secret cannot be copied, cloned, printed, serialised or compared with `==`. [`Secret::expose`] is the
/// only way to the bytes, so that every use can be found by searching for one word.
///
/// ```
/// let secret = hushkeep_core::Secret::<32>::from_slice(&[7; 32]).unwrap();
/// assert_eq!(format!("{secret:?}"), "Secret<32>(..)");
/// assert!(secret.ct_eq(&secret));
/// ```
/// ```compile_fail,E0599
/// # let secret = hushkeep_core::Secret::<32>::from_slice(&[7; 32]).unwrap();
/// let copy = secret.clone();
/// ```
/// ```compile_fail,E0369
/// # let secret = hushkeep_core::Secret::<32>::from_slice(&[7; 32]).unwrap();
/// assert!(secret == secret);
/// ```
/// ```compile_fail,E0277
/// # let secret = hushkeep_core::Secret::<32>::from_slice(&[7; 32]).unwrap();
/// println!("{secret}");
/// ```
///
/// # Limits
///
/// Erasing is for memory that is freed, swapped out or dumped later; it does not stop who reads the memory of
/// the running process. And it reaches only what this crate owns: ring does not erase the key inside a cipher,
/// and HKDF, BLAKE3, the Unicode normaliser, the QR encoder and whatever compresses what a secret lies in leave what
/// they worked on until it is overwritten.
pub struct Secret<const N: usize>(Box<[u8; N]>);

impl<const N: usize> Secret<N> {
    /// Fills a new secret from `rng`.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        Self::build(|bytes| rng.fill_bytes(bytes))
    }

    /// Lets `fill` write the secret in place, so that no copy stays on the stack.
    pub fn build(fill: impl FnOnce(&mut [u8; N])) -> Self {
        let mut bytes = Box::new([0; N]);
        fill(&mut bytes);
        Self(bytes)
    }

    /// The same, if `fill` can fail.
    pub fn build_with<E>(fill: impl FnOnce(&mut [u8; N]) -> Result<(), E>) -> Result<Self, E> {
        let mut secret = Self::build(|_| ());
        fill(&mut secret.0)?;
        Ok(secret)
    }

    /// Copies a secret out of a buffer, which stays the caller's to erase. `None` for a wrong length.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == N).then(|| Self::build(|own| own.copy_from_slice(bytes)))
    }

    /// The bytes. Whoever calls this answers for what happens to them.
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }

    /// Compares in time that does not depend on the contents.
    pub fn ct_eq(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret<{N}>(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{keys, recovery, wrap};

    #[test]
    fn debug_shows_no_byte() {
        let secret = Secret::<4>::build(|b| *b = [0xde, 0xad, 0xbe, 0xef]);
        assert_eq!(format!("{secret:?}"), "Secret<4>(..)");
    }

    #[test]
    fn equality_is_by_content() {
        let a = Secret::<2>::build(|b| *b = [1, 2]);
        let b = Secret::<2>::build(|b| *b = [1, 2]);
        let c = Secret::<2>::build(|b| *b = [1, 3]);
        assert!(a.ct_eq(&b));
        assert!(!a.ct_eq(&c));
    }

    /// Compiles only while no type on the list implements a trait that would let it leak or be compared in
    /// variable time: otherwise the compiler cannot tell which `Holds` is meant.
    #[test]
    fn no_secret_can_be_copied_compared_or_printed() {
        trait Holds<Which> {
            fn nothing() {}
        }
        struct CanBeCloned;
        struct CanBeCompared;
        struct CanBePrinted;
        struct CanBeMadeOfNothing;
        struct CanBeBorrowed;
        impl<T> Holds<()> for T {}
        impl<T: Clone> Holds<CanBeCloned> for T {}
        impl<T: PartialEq> Holds<CanBeCompared> for T {}
        impl<T: fmt::Display> Holds<CanBePrinted> for T {}
        impl<T: Default> Holds<CanBeMadeOfNothing> for T {}
        impl<T: AsRef<[u8]>> Holds<CanBeBorrowed> for T {}

        <Secret<32> as Holds<_>>::nothing();
        <keys::BackupKey as Holds<_>>::nothing();
        <keys::EpochSecret as Holds<_>>::nothing();
        <keys::EpochKeys as Holds<_>>::nothing();
        <keys::NamesKey as Holds<_>>::nothing();
        <keys::ChunkerSeed as Holds<_>>::nothing();
        <recovery::RecoveryKey as Holds<_>>::nothing();
        <recovery::Parsed as Holds<_>>::nothing();
        <recovery::Repair as Holds<_>>::nothing();
        <wrap::Passphrase as Holds<_>>::nothing();
    }

    #[test]
    fn wrong_lengths_are_refused() {
        assert!(Secret::<4>::from_slice(&[0; 3]).is_none());
        assert!(Secret::<4>::from_slice(&[0; 5]).is_none());
    }
}
