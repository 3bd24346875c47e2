use hushkeep_core::wire::{Reader, put_bytes};

use super::*;
use crate::memory::{self, pack};

/// What an index object tells, in which a table does not decode.
fn with_broken_table(number: u16) -> Vec<u8> {
    let mut told = [pack(number).id.as_bytes(), &[0][..], &[5; 32], &[9]].concat();
    put_bytes(&mut told, &[77; 5]);
    told
}

/// Reads an index object of this body; returns which packs are known then, and the damage.
fn load(body: &[u8], mut tables: Tables) -> (Vec<ObjectId>, Vec<Damage>) {
    let repository = memory::repository();
    let objects = repository.contents.objects;
    let id = ObjectId::from_bytes([1; 16]);
    let mut rng = repository.rng.lock().unwrap();
    let len = objects.write_body(ObjectKind::Index, &index_name(&id), body, &mut **rng).unwrap();
    tables.insert_index(IndexRow { id, level: 0, len, digest: index::digest_of(body), superseded: None });
    let contents = Contents::load(objects, &tables, BadPacks::default()).unwrap();
    (contents.packs().map(|(_, pack)| pack.id).collect(), contents.damage)
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
