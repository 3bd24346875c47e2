//! The owner's authority over a record (spec/vault.md §2.4): who holds the backup key may change it, nobody else.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use hushkeep_core::keys::EpochSecret;
use hushkeep_core::symmetric::{derive, sha256};

use crate::message::{Head, SIGNATURE_LEN, Staged};
use crate::name::{Locator, RecordId, VaultId, Version};

/// Signs changes of a record. Made anew from the backup key whenever it is needed, and kept nowhere.
#[derive(Clone)]
pub struct UpdateKey(SigningKey);

impl UpdateKey {
    /// The key for one record. It comes from an epoch's secret: whoever has a later epoch's key has that, too, and so can put
    /// in order what a rotation left behind.
    pub fn derive(secret: &EpochSecret, vault: &VaultId, locator: &Locator) -> Self {
        let seed = derive(secret.expose(), &[b"hushkeep vault/1 update", vault.as_bytes(), locator.as_bytes()]);
        Self(SigningKey::from_bytes(seed.expose()))
    }

    /// What the vault knows it by.
    pub(crate) fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    pub(crate) fn sign(&self, statement: &Statement<'_>) -> [u8; SIGNATURE_LEN] {
        self.0.sign(&statement.encode()).to_bytes()
    }
}

/// What an owner signs. What stages a password names the state that it is to change, so that it counts once; the others do the
/// same each time.
pub(crate) struct Statement<'a> {
    pub(crate) vault: &'a VaultId,
    pub(crate) record: &'a RecordId,
    pub(crate) change: Change<'a>,
}

/// What is to happen to a record.
pub(crate) enum Change<'a> {
    Stage { head: &'a Head, version: &'a Version, staged: &'a Staged },
    Commit { version: &'a Version },
    Delete,
    History,
}

impl Statement<'_> {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = b"hushkeep vault/1 change".to_vec();
        bytes.extend_from_slice(self.vault.as_bytes());
        bytes.extend_from_slice(self.record.as_bytes());
        match &self.change {
            Change::Stage { head, version, staged } => {
                bytes.push(1);
                bytes.extend_from_slice(&head.seq.to_le_bytes());
                bytes.extend_from_slice(head.active.as_bytes());
                bytes.extend_from_slice(version.as_bytes());
                bytes.extend_from_slice(&sha256(&[&staged.encode()]));
            }
            Change::Commit { version } => {
                bytes.push(2);
                bytes.extend_from_slice(version.as_bytes());
            }
            Change::Delete => bytes.push(3),
            Change::History => bytes.push(4),
        }
        bytes
    }

    /// Whether the owner of this update key has signed it.
    pub(crate) fn is_signed_by(&self, update_key: &[u8; 32], signature: &[u8; SIGNATURE_LEN]) -> bool {
        let key = VerifyingKey::from_bytes(update_key);
        key.is_ok_and(|key| key.verify_strict(&self.encode(), &Signature::from_bytes(signature)).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Else a signature that asks for the history would delete, or one of yesterday stage a password today.
    #[test]
    fn what_is_signed_is_that_and_nothing_else() {
        let vaults = [1, 2].map(|byte| VaultId::from_bytes([byte; 32]));
        let records = [1, 2].map(|byte| RecordId::from_bytes([byte; 32]));
        let versions = [1, 2].map(|byte| Version::from_bytes([byte; 16]));
        let [vault, other_vault] = &vaults;
        let [record, other_record] = &records;
        let [version, other_version] = &versions;
        let head = Head { seq: 1, active: *version, ..Head::unknown() };
        let (later, of_another) = (Head { seq: 2, ..head.clone() }, Head { active: *other_version, ..head.clone() });
        let staged = Staged::empty();
        let other_staged = Staged { pair: [1; 16], ..Staged::empty() };
        let stage = |head, version, staged| Change::Stage { head, version, staged };
        let changes = || {
            [
                stage(&head, version, &staged),
                stage(&later, version, &staged),
                stage(&of_another, version, &staged),
                stage(&head, other_version, &staged),
                stage(&head, version, &other_staged),
                Change::Commit { version },
                Change::Commit { version: other_version },
                Change::Delete,
                Change::History,
            ]
        };
        let places = [(vault, record), (other_vault, record), (vault, other_record)];
        let statements: Vec<Statement<'_>> = places
            .into_iter()
            .flat_map(|(vault, record)| changes().map(|change| Statement { vault, record, change }))
            .collect();
        let [key, other_key] = [1, 2].map(|byte| UpdateKey(SigningKey::from_bytes(&[byte; 32])));
        for (number, statement) in statements.iter().enumerate() {
            let signature = key.sign(statement);
            assert!(!statement.is_signed_by(&other_key.public(), &signature));
            for (other, one) in statements.iter().enumerate() {
                assert_eq!(one.is_signed_by(&key.public(), &signature), number == other, "{number} {other}");
            }
        }
    }
}
