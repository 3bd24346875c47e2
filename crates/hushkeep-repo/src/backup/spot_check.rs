//! What a backup reads again of the packs: a storage that lost or changed something is to be found out before it is
//! needed.

use std::collections::HashSet;

use rand_core::Rng;

use crate::bad_packs::BadPacks;
use crate::error::{DamageCause, ReadError};
use crate::index::SegmentAt;
use crate::repository::Repository;
use crate::state::StateError;

/// One damaged pack is seldom alone: after it so many draws in a row must find no other.
const AFTER_DAMAGE: u32 = 32;

impl Repository {
    /// Opens so many segments, each byte of the packs as likely as any other, but for `missing` packs, which are known not
    /// to be there. Whether they are as they were stored. Packs that are not are added to the bad ones: a backup that
    /// begins now stores anew what they held, as far as it is still in the sources. Those of which another content came back
    /// are remembered at once. Of the rest nothing is known while the storage may just be going away.
    ///
    /// A storage that does not answer tells nothing.
    pub(super) fn spot_check(
        &self,
        count: u32,
        missing: &HashSet<u32>,
        bad_packs: &mut BadPacks,
    ) -> Result<bool, StateError> {
        let (mut is_whole, mut left) = (true, count);
        let mut proven = Vec::new();
        while left > 0 {
            left -= 1;
            let drawn = self.rng().next_u64();
            let Some(at) = self.segment_at(drawn).filter(|at| !missing.contains(&at.pack)) else { continue };
            let Some(indexed) = self.contents.index.pack(at.pack) else { continue };
            let id = indexed.info.id;
            // Once may be by the way.
            if bad_packs.contains(&id) || self.damage_at(at).is_none() {
                continue;
            }
            if let Some(cause) = self.damage_at(at) {
                bad_packs.add(id);
                (is_whole, left) = (false, AFTER_DAMAGE);
                let is_absent = matches!(cause, DamageCause::Missing | DamageCause::Unreadable);
                proven.extend((!is_absent).then_some(id));
            }
        }
        BadPacks::load(self.state.as_ref())?.note(&[], &proven, self.state.as_ref())?;
        Ok(is_whole)
    }

    fn damage_at(&self, SegmentAt { pack, segment }: SegmentAt) -> Option<DamageCause> {
        let indexed = self.contents.index.pack(pack)?;
        let (row, offset) = indexed.segment(segment)?;
        let range = offset..offset + u64::from(row.sealed_len);
        match self.contents.objects.read_segment(&indexed.info, segment, range) {
            Err(ReadError::Damaged(damage)) => Some(damage.cause),
            _ => None,
        }
    }

    /// The segment at a byte of all packs. Of a header the first one, of the padding the last.
    fn segment_at(&self, drawn: u64) -> Option<SegmentAt> {
        let total: u64 = self.contents.packs().map(|(_, pack)| pack.len).sum();
        let mut at = drawn.checked_rem(total)?;
        for (pack, info) in self.contents.packs() {
            if at < info.len {
                let indexed = self.contents.index.pack(pack)?;
                let begins_later = |number: &u32| indexed.segment(*number).is_some_and(|(_, offset)| offset > at);
                let segments = u32::try_from(info.table.segments.len()).ok()?;
                let segment = (1..segments).find(begins_later).unwrap_or(segments).checked_sub(1)?;
                return Some(SegmentAt { pack, segment });
            }
            at -= info.len;
        }
        None
    }
}
