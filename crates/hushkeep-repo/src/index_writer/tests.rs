use std::collections::BTreeSet;
use std::ops::Range;

use super::*;
use crate::Timestamp;
use crate::bad_packs::BadPacks;
use crate::contents::Contents;
use crate::error::DamageCause;
use crate::history::{Action, Change, PublishError};
use crate::memory::{self, pack};
use crate::objects::Objects;

/// So many bytes an index object has of each of the packs here.
const PACK_LEN: u64 = 101;

fn packs(numbers: Range<u16>) -> Vec<PackInfo> {
    numbers.map(pack).collect()
}

/// Names packs and index objects in a commit, as a backup does.
fn publish(repository: &mut Repository, packs: &[PackInfo], indexes: &NewIndexes) {
    let change = Change { action: Action::Backup, time: Timestamp::EPOCH, config: None };
    let name_all = |_: &Repository, number| {
        let mut tables = indexes.rows(number);
        packs.iter().for_each(|pack| tables.insert_pack(pack.row()));
        Ok::<_, PublishError>(tables)
    };
    repository.publish(&change, name_all).unwrap();
}

fn back_up(repository: &mut Repository, packs: &[PackInfo], max_len: u64) -> NewIndexes {
    let indexes = repository.store_index_within(packs, max_len).unwrap();
    publish(repository, packs, &indexes);
    indexes
}

/// Every body that counts is within the limit, and together they tell of exactly so many packs: none of them is there itself.
fn assert_told(repository: &Repository, max_len: u64, count: u16) {
    let (tables, objects) = (repository.history.tables(), &repository.contents.objects);
    for row in tables.indexes() {
        assert!(read_index(objects, &row).unwrap().len() as u64 <= max_len);
    }
    let fresh = Objects { storage: objects.storage.clone(), keyring: memory::repository().contents.objects.keyring };
    let contents = Contents::load(fresh, tables, BadPacks::default()).unwrap();
    assert_eq!(contents.damage, []);
    let told: BTreeSet<ObjectId> = contents.packs().map(|(_, pack)| pack.id).collect();
    assert_eq!(told, (0..count).map(|number| pack(number).id).collect());
}

fn levels(repository: &Repository) -> Vec<u64> {
    let mut levels: Vec<u64> = repository.history.tables().indexes().map(|row| row.level).collect();
    levels.sort_unstable();
    levels
}

#[test]
fn merging_makes_no_body_above_the_limit() {
    let mut repository = memory::repository();
    let max_len = 12 * PACK_LEN;
    for number in 0..150 {
        back_up(&mut repository, &[pack(number)], max_len);
        assert_told(&repository, max_len, number + 1);
    }
    // The eighth of level 0 becomes one of level 1, of eight packs; into one of these only four more fit.
    assert!(levels(&repository).len() < 30, "{:?}", levels(&repository));
}

#[test]
fn what_does_not_fit_is_left_out_of_a_merge() {
    let mut repository = memory::repository();
    let max_len = 10 * PACK_LEN;
    for number in 0..7 {
        let first = number * 7;
        back_up(&mut repository, &packs(first..first + 7), max_len);
    }
    let indexes = back_up(&mut repository, &packs(49..52), max_len);
    assert_eq!((indexes.superseded.len(), indexes.last.level), (1, 1));
    assert_eq!(levels(&repository), [0, 0, 0, 0, 0, 0, 1]);
    // Nothing fits beside these.
    let indexes = back_up(&mut repository, &packs(52..56), max_len);
    assert_eq!((indexes.superseded.len(), indexes.last.level), (0, 0));
    let indexes = back_up(&mut repository, &packs(56..60), max_len);
    assert_eq!((indexes.superseded.len(), indexes.last.level), (1, 1));
    assert_told(&repository, max_len, 60);
}

#[test]
fn one_backup_may_take_several_index_objects() {
    let mut repository = memory::repository();
    let indexes = back_up(&mut repository, &packs(0..25), 10 * PACK_LEN);
    assert_eq!(indexes.stored().count(), 3);
    assert_told(&repository, 10 * PACK_LEN, 25);
}

#[test]
fn a_whole_index_takes_as_many_objects_as_hold_it() {
    for (count, packs_in_one, expected) in [(1, 1, 1), (9, 9, 1), (9, 8, 2), (20, 7, 3), (21, 7, 3), (22, 7, 4)] {
        let mut repository = memory::repository();
        let (old, new) = (packs(0..count / 2), packs(count / 2..count));
        back_up(&mut repository, &old, MAX_BODY_LEN);
        let max_len = packs_in_one * PACK_LEN;
        let indexes = repository.store_whole_index_within(&new, max_len).unwrap();
        publish(&mut repository, &new, &indexes);
        assert_eq!((indexes.stored().count(), levels(&repository).len()), (expected, expected), "{count} packs");
        assert_told(&repository, max_len, count);
    }
}

/// A prune that leaves no pack needs one, too: the storage's clock stands at it.
#[test]
fn an_index_of_nothing_is_an_object() {
    let indexes = memory::repository().store_whole_index_within(&[], PACK_LEN).unwrap();
    assert_eq!(indexes.stored().count(), 1);
}

/// The storage's clock is to stand at the latest.
#[test]
fn the_last_index_object_has_a_name() {
    let repository = memory::repository();
    let indexes = repository.store_whole_index_within(&packs(0..5), 2 * PACK_LEN).unwrap();
    let read = read_index(&repository.contents.objects, &indexes.last).unwrap();
    assert_eq!((indexes.last_name(), read.len() as u64), (index_name(&indexes.last.id), PACK_LEN));
}

#[test]
fn beside_a_damaged_index_object_all_packs_are_told_of_anew() {
    let mut repository = memory::repository();
    let max_len = 10 * PACK_LEN;
    let lost = back_up(&mut repository, &packs(0..10), max_len);
    back_up(&mut repository, &packs(10..15), max_len);
    repository.contents.objects.storage.delete(&lost.last_name()).unwrap();
    repository.contents.damage.push(Damage::new(&lost.last_name(), DamageCause::Missing));
    let indexes = back_up(&mut repository, &packs(15..21), max_len);
    assert_eq!((indexes.stored().count(), indexes.superseded.len()), (3, 2));
    assert_told(&repository, max_len, 21);
}
