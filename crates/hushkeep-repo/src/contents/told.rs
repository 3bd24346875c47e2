//! What commits said of packs when these were taken in: it must still be said.

use std::collections::HashMap;

use hushkeep_core::name::ObjectId;

use crate::history::{PackRow, Tables};
use crate::pack::PackInfo;

/// Of each pack that has a row, what that says of it and never changes.
#[derive(Default)]
pub(super) struct ToldPacks(HashMap<ObjectId, Told>);

/// A pack's length, its digest, and that of its list.
type Told = (u64, [u8; 16], [u8; 16]);

impl ToldPacks {
    /// Takes in what `tables` say. Whether one of these packs, which were taken in before, would be refused now: because it is
    /// named as another, or a list that it speaks of is.
    pub(super) fn update<'a>(&mut self, tables: &Tables, packs: impl IntoIterator<Item = &'a PackInfo>) -> bool {
        let told = |row: &PackRow| (row.len, row.digest, row.list_digest);
        let all = tables.all_packs().map(|row| (row.id, told(&row)));
        // Few are new each time, and only what they speak of is looked at: the digest of a pack is that of its whole table.
        let new: HashMap<ObjectId, Told> = all.filter(|(id, told)| self.0.get(id) != Some(told)).collect();
        self.0.extend(&new);
        let is_another = |pack: &PackInfo| {
            let told = new.get(&pack.id);
            told.is_some_and(|(len, digest, _)| *len != pack.len || *digest != pack.digest())
        };
        let has_other_list = |pack: &PackInfo| {
            let mut lists = pack.table.lists.iter();
            lists.any(|list| new.get(&list.id).is_some_and(|(_, _, digest)| *digest != list.names_digest))
        };
        !new.is_empty() && packs.into_iter().any(|pack| is_another(pack) || has_other_list(pack))
    }
}
