//! The snapshots that this device published: only against the lists of these do times prove a file unchanged.
//!
//! A snapshot names its device, but whoever has the key can write one that names this device. If the times in its list
//! counted, its contents would stand in this device's own later snapshots, after a change of the key as well.

use crate::snapshot::SnapshotId;
use crate::state::{State, StateError, StateKey};

/// So many are remembered: of folders that are backed up once a month, beside others each hour, the times are still trusted.
const MAX_COUNT: usize = 1024;

/// Ids of snapshots, the newest last. Where the memory is lost or damaged, files are read that need not be.
pub(super) struct Published(Vec<SnapshotId>);

impl Published {
    pub(super) fn load(state: &dyn State) -> Result<Self, StateError> {
        let bytes = state.load(StateKey::Published)?.unwrap_or_default();
        let (ids, _) = bytes.as_chunks::<16>();
        Ok(Self(ids.iter().map(|id| SnapshotId::from_bytes(*id)).collect()))
    }

    pub(super) fn contains(&self, id: &SnapshotId) -> bool {
        self.0.contains(id)
    }

    /// Remembers one that is about to be published: if it is not, no snapshot has its id.
    pub(super) fn remember(state: &dyn State, id: SnapshotId) -> Result<(), StateError> {
        let Self(mut ids) = Self::load(state)?;
        ids.push(id);
        let newest = ids.iter().skip(ids.len().saturating_sub(MAX_COUNT));
        state.store(StateKey::Published, &newest.flat_map(|id| *id.as_bytes()).collect::<Vec<u8>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryState;

    #[test]
    fn the_newest_are_remembered_and_damage_costs_no_more_than_itself() {
        let state = MemoryState::default();
        let id = |number: u16| SnapshotId::from_bytes([number.to_le_bytes(); 8].as_flattened().try_into().unwrap());
        for number in 0..=1024 {
            Published::remember(&state, id(number)).unwrap();
        }
        let published = Published::load(&state).unwrap();
        assert_eq!((published.0.len(), published.contains(&id(0))), (1024, false));
        assert!((1..=1024).all(|number| published.contains(&id(number))));

        state.store(StateKey::Published, &[[1; 16].as_slice(), &[2; 15]].concat()).unwrap();
        assert_eq!(Published::load(&state).unwrap().0, [id(0x0101)]);
    }
}
