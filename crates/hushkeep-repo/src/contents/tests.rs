use hushkeep_core::wire::{Reader, put_bytes};

use super::*;
use crate::memory::{self, pack};
use crate::pack::Segment;

/// What an index object tells, in which a table does not decode.
fn with_broken_table(number: u16) -> Vec<u8> {
    let mut told = [pack(number).id.as_bytes(), &[0][..], &[5; 32], &[9]].concat();
    put_bytes(&mut told, &[77; 5]);
    told
}

/// Reads an index object of this body; returns which packs are known then, and the damage.
fn load(body: &[u8], mut tables: Tables) -> (Vec<ObjectId>, Vec<Damage>) {
    let contents = contents(body, &mut tables);
    (known(&contents), contents.damage)
}

fn known(contents: &Contents) -> Vec<ObjectId> {
    contents.packs().map(|(_, pack)| pack.id).collect()
}

/// The contents of which an index object of this body tells. The tables name it then.
fn contents(body: &[u8], tables: &mut Tables) -> Contents {
    let repository = memory::repository();
    let objects = repository.contents.objects;
    let id = ObjectId::from_bytes([1; 16]);
    let mut rng = repository.rng.lock().unwrap();
    let len = objects.write_body(ObjectKind::Index, &index_name(&id), body, &mut **rng).unwrap();
    tables.insert_index(IndexRow { id, level: 0, len, digest: index::digest_of(body), superseded: None });
    Contents::load(objects, tables, BadPacks::default()).unwrap()
}

fn index_damage(cause: impl Into<DamageCause>) -> Damage {
    Damage::new(&index_name(&ObjectId::from_bytes([1; 16])), cause)
}

/// Or hundreds of megabytes of tables that nobody named would be decoded.
#[test]
fn only_a_table_that_a_row_vouches_for_is_decoded() {
    let [first, last] = [pack(1), pack(9)];
    let mut tables = Tables::default();
    [&first, &last].into_iter().for_each(|pack| tables.insert_pack(pack.row()));
    tables.insert_pack(pack(2).row().dropped(1));
    let body = |between: &[Vec<u8>]| [index::encode([&first]), between.concat(), index::encode([&last])].concat();
    let known = vec![first.id, last.id];
    assert_eq!(load(&body(&[with_broken_table(2)]), tables.clone()), (known.clone(), vec![]), "it was dropped");
    // Of the first, something else is told again; of the others, there is no row.
    let wrong = [with_broken_table(1), with_broken_table(3), with_broken_table(4)];
    assert_eq!(load(&body(&wrong), tables), (known, vec![index_damage(DamageCause::Content)]));
}

#[test]
fn a_table_that_is_refused_leaves_the_others() {
    let (broken, sound) = (with_broken_table(1), pack(2));
    let told = EncodedPack::read(&mut Reader::new(&broken)).unwrap();
    let mut tables = Tables::default();
    tables.insert_pack(PackRow::new(told.id, 9, told.digest(), [0; 16]));
    tables.insert_pack(sound.row());
    let missing = Damage::new(&pack_name(&told.id), DamageCause::Missing);
    let body = [broken.clone(), index::encode([&sound])].concat();
    assert_eq!(load(&body, tables), (vec![sound.id], vec![index_damage(WireError::Truncated), missing]));
}

#[test]
fn what_stands_before_a_place_that_does_not_decode_counts() {
    let packs = [pack(1), pack(2)];
    let mut tables = Tables::default();
    packs.iter().for_each(|pack| tables.insert_pack(pack.row()));
    let mut body = index::encode(&packs);
    body.pop();
    let missing = Damage::new(&pack_name(&packs[1].id), DamageCause::Missing);
    assert_eq!(load(&body, tables), (vec![packs[0].id], vec![index_damage(WireError::Truncated), missing]));
}

/// As who opens the repository now would judge.
#[test]
fn a_pack_that_was_taken_in_is_judged_again_when_more_is_told() {
    let (mut first, other) = (pack(1), pack(2));
    // It holds all of the other's contents, too.
    first.table.lists.push(ListEntry { id: other.id, ..first.table.lists[0].clone() });
    for segment in [0, 1] {
        let stretches = vec![Stretch { list: 1, first: 0, count: 5 }];
        first.table.segments.push(Segment { stretches, ..first.table.segments[segment].clone() });
    }
    first.table.segments.swap(1, 2);
    let named = |digest| PackRow::new(other.id, other.len, other.digest(), digest);
    for (row, is_refused) in [(named([3; 16]), false), (named([4; 16]), true)] {
        let mut tables = Tables::default();
        tables.insert_pack(first.row());
        let mut contents = contents(&index::encode([&first]), &mut tables);
        contents.update(&tables, BadPacks::default()).unwrap();
        assert_eq!((known(&contents), &contents.damage), (vec![first.id], &vec![]));
        tables.insert_pack(row);
        contents.update(&tables, BadPacks::default()).unwrap();
        let damaged = contents.damage.contains(&index_damage(DamageCause::Content));
        assert_eq!((known(&contents).is_empty(), damaged), (is_refused, is_refused));
    }
}

#[test]
fn a_pack_that_is_named_as_another_is_known_no_more() {
    let (first, own) = (pack(1), pack(2));
    let renamed = |len, digest| PackRow::new(own.id, len, digest, [3; 16]);
    for (row, is_known) in
        [(own.row(), true), (renamed(own.len, [9; 16]), false), (renamed(own.len + 1, own.digest()), false)]
    {
        let mut tables = Tables::default();
        tables.insert_pack(first.row());
        let mut contents = contents(&index::encode([&first]), &mut tables);
        contents.add_own(vec![own.clone()], []);
        tables.insert_pack(row);
        contents.update(&tables, BadPacks::default()).unwrap();
        let expected = if is_known { vec![first.id, own.id] } else { vec![first.id] };
        assert_eq!(known(&contents), expected, "{row:?}");
    }
}

#[test]
fn the_cache_forgets_what_was_used_longest_ago() {
    let cache = Cache::new(10);
    let read = |key: u32| cache.get_or_read(key, |_| 5, || Ok::<_, ()>(key)).unwrap();
    let kept = |key: u32| cache.get_or_read(key, |_| 0, || Err(())).is_ok();
    read(1);
    read(2);
    read(1);
    read(3);
    assert!(kept(1) && !kept(2) && kept(3));
}
