//! Identifiers: of repositories, of objects, of contents and of protectors.

use std::fmt;
use std::str::FromStr;

use rand_core::CryptoRng;

/// Declares an identifier that is shown and parsed as lower-case hex digits, two for each byte.
macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $len:literal bytes) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// The length of the identifier in bytes.
            pub const LEN: usize = $len;

            /// Takes the identifier from its bytes.
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The identifier's bytes, as they are written.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                parse_hex(text).map(Self).ok_or(InvalidId)
            }
        }
    };
}

hex_id! {
    /// Names one repository. Random; public; part of every object's header (spec §2.1).
    RepositoryId, 16 bytes
}

hex_id! {
    /// Names one object of a repository. Random, so that it says nothing of what is inside (spec §2.2).
    ObjectId, 16 bytes
}

hex_id! {
    /// The keyed name of a page, chunk or node: BLAKE3 under the epoch's names key, first 16 bytes (spec §3.4).
    ///
    /// Names never leave sealed segments. Without the key nobody can test whether a known content is inside.
    ContentName, 16 bytes
}

hex_id! {
    /// Names one protector of a repository. Random; public; bound to what the protector wraps (spec §5).
    ProtectorId, 4 bytes
}

impl RepositoryId {
    /// Draws a new repository id.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        Self(random(rng))
    }
}

impl ObjectId {
    /// Draws a new object id.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        Self(random(rng))
    }
}

impl ProtectorId {
    /// Draws a new protector id.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        Self(random(rng))
    }
}

/// The text is not lower-case hex digits of the identifier's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an identifier is lower-case hex digits, two for each of its bytes")]
pub struct InvalidId;

fn random<const N: usize>(rng: &mut dyn CryptoRng) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill_bytes(&mut bytes);
    bytes
}

fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = hex_digit(*high)? << 4 | hex_digit(*low)?;
    }
    Some(bytes)
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn text_round_trips() {
        let id = ObjectId::from_bytes(*b"0123456789abcdef");
        assert_eq!(id.to_string(), "30313233343536373839616263646566");
        assert_eq!(id.to_string().parse(), Ok(id));
        let short = ProtectorId::from_bytes([0, 1, 0xab, 0xff]);
        assert_eq!((short.to_string().as_str(), short.to_string().parse()), ("0001abff", Ok(short)));
    }

    #[test]
    fn identifiers_are_drawn() {
        let rng = &mut ChaCha20Rng::seed_from_u64(1);
        let (first, second) = (ObjectId::generate(rng), ObjectId::generate(rng));
        assert_ne!(first, second);
        assert!((0..16).any(|at| first.as_bytes()[at] != first.as_bytes()[0]));
    }

    #[test]
    fn only_the_canonical_text_is_taken() {
        for text in ["", "30", "3031323334353637383961626364656", "3031323334353637383961626364656G"] {
            assert_eq!(text.parse::<ObjectId>(), Err(InvalidId), "{text}");
        }
        assert_eq!("3031323334353637383961626364656A".parse::<ObjectId>(), Err(InvalidId));
        assert_eq!("30313233343536373839616263646566".parse::<ProtectorId>(), Err(InvalidId));
    }
}
