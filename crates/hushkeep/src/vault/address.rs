//! Where a vault is.

use std::fmt;
use std::str::FromStr;

use hushkeep_vault::{Pair, VaultId};

/// An address as `hushkeep-vaultd serve` prints it: `https://host:port/#key`. The key is the vault's own, in 64 digits: a
/// client that has it takes no other vault for this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultAddress {
    /// `https://host:port`.
    pub(super) base: String,
    pub(super) vault: VaultId,
}

/// A text that is no vault's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It is not `https://host:port/…`.
    #[error("a vault's address begins with https:// and the name of its host")]
    NotHttps,
    /// The key behind the `#` is missing or cut.
    #[error("a vault's address ends with # and the 64 digits of its key")]
    NoKey,
}

impl VaultAddress {
    /// Where a pair says that its vault is. Whoever can write to the storage may have put another address there.
    pub fn of(pair: &Pair) -> Result<Self, AddressError> {
        Ok(Self { base: checked_base(&pair.address)?, vault: pair.vault })
    }

    /// The name of the host, with its port if there is one: for people.
    pub fn host(&self) -> &str {
        self.base.strip_prefix("https://").unwrap_or(&self.base)
    }

    /// Whether no other machine can reach the vault there.
    pub fn is_on_this_machine(&self) -> bool {
        let host = self.host();
        ["localhost", "127.", "[::1]"].iter().any(|local| host.starts_with(local))
    }

    /// The key by which the vault is known.
    pub fn vault(&self) -> VaultId {
        self.vault
    }
}

impl FromStr for VaultAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (base, key) = text.split_once('#').ok_or(AddressError::NoKey)?;
        let base = checked_base(base.strip_suffix('/').unwrap_or(base))?;
        Ok(Self { base, vault: VaultId::from_hex(key).ok_or(AddressError::NoKey)? })
    }
}

impl fmt::Display for VaultAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/#{}", self.base, self.vault)
    }
}

/// Takes `https://host` and `https://host:port`: what is shown to people must be all that there is.
fn checked_base(base: &str) -> Result<String, AddressError> {
    let host = base.strip_prefix("https://").ok_or(AddressError::NotHttps)?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    if host.is_empty() || !host.chars().all(is_plain) {
        return Err(AddressError::NotHttps);
    }
    Ok(base.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_key() {
        let key = "0123456789abcdef".repeat(4);
        for host in ["vault.example.org", "127.0.0.1:8743", "[::1]:8743"] {
            let address: VaultAddress = format!("https://{host}/#{key}").parse().unwrap();
            assert_eq!((address.host(), address.to_string()), (host, format!("https://{host}/#{key}")));
            assert_eq!(address.is_on_this_machine(), host != "vault.example.org");
            assert_eq!(format!("https://{host}#{key}").parse(), Ok(address));
        }
    }

    #[test]
    fn what_would_look_like_another_host_is_refused() {
        let key = "0".repeat(64);
        for base in [
            "http://vault",
            "https://",
            "https://vault@evil",
            "https://vault/../x",
            "https://vault?x",
            "vault",
            "https://va ult",
        ] {
            assert_eq!(format!("{base}/#{key}").parse::<VaultAddress>(), Err(AddressError::NotHttps), "{base}");
        }
        for key in ["", "00", &"g".repeat(64), &"0".repeat(66)] {
            assert_eq!(format!("https://vault/#{key}").parse::<VaultAddress>(), Err(AddressError::NoKey), "{key}");
        }
        assert_eq!("https://vault/".parse::<VaultAddress>(), Err(AddressError::NoKey));
    }
}
