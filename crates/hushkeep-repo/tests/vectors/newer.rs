//! What this program does with a repository of which it understands a part only (spec §14).

use hushkeep_repo::{
    BackupError, BackupOptions, BackupReport, ChangeKind, CheckOptions, Damage, DamageCause, EntryKind, ItemError,
    PruneError, PruneOptions, PruneReport, Quiet, ReadError, ReadFileError, RelPath, Repository, Source,
};

use crate::common::{MemoryTarget, MemoryTree, NOW, Node, at, objects, path, restore_into};
use crate::expected;
use crate::open_forged;
use crate::parts::*;
use crate::sample::*;

fn newer_pack() -> Damage {
    Damage { object: expected::object("packs", &HURT), cause: DamageCause::NewerVersion }
}

pub(crate) fn back_up_hurt(repository: &mut Repository, tree: &MemoryTree) -> Result<BackupReport, BackupError> {
    let source = Source { label: path("hurt"), path: b"/home/owner/hurt".to_vec(), tree };
    repository.backup(&[source], &BackupOptions::new(at(NOW), "phone".into()), &Quiet)
}

pub(crate) fn prune(repository: &mut Repository) -> PruneError {
    try_prune(repository).unwrap_err()
}

fn try_prune(repository: &mut Repository) -> Result<PruneReport, PruneError> {
    let options = PruneOptions { now: at(NOW), max_unused: 0.0, max_repack_bytes: u64::MAX, dry_run: false };
    repository.prune(&options, &Quiet)
}

/// What a check names, with the paths that it says are hurt.
fn findings(repository: &Repository, read_data: f64) -> Vec<(Damage, Vec<RelPath>)> {
    let report = repository.check(&CheckOptions { read_data }, &Quiet).unwrap();
    let paths = |affected: Vec<hushkeep_repo::Affected>| affected.into_iter().flat_map(|snapshot| snapshot.paths);
    report.findings.into_iter().map(|finding| (finding.damage, paths(finding.affected).collect())).collect()
}

/// One file of the second block is of kind 5, and another has a critical field.
const ENTRIES: Edit = Edit::Lines(|lines| {
    lines[7].entry = entry(5, &string(b"of a later version"));
    lines[8].entry[0] |= EXTRA;
    lines[8].entry.splice(1..1, string(&record(&[critical(1, "of a later version")])));
});

#[test]
fn entries_that_are_not_understood_cost_only_themselves() {
    let (repository, _) = open_forged(&build("newer entries", &[ENTRIES]));
    let hurt = vec![path("hurt/packed"), path("hurt/two")];
    for read_data in [0.0, 1.0] {
        assert_eq!(findings(&repository, read_data), [(newer_pack(), hurt.clone())]);
    }
    let snapshot = &repository.snapshots()[1];
    for best_effort in [false, true] {
        let target = MemoryTarget::default();
        let report = restore_into(&repository, snapshot, &target, best_effort).unwrap();
        let given: Vec<RelPath> = target.nodes.into_inner().unwrap().into_keys().collect();
        let is_newer = |error: &ItemError| matches!(error, ItemError::Damaged(damage) if *damage == newer_pack());
        assert!(report.problems.iter().all(|problem| is_newer(&problem.error)), "{:?}", report.problems);
        assert_eq!(report.problems.into_iter().map(|problem| problem.path).collect::<Vec<_>>(), hurt);
        assert!(given.contains(&path("hurt/db")) && hurt.iter().all(|path| !given.contains(path)));
    }
}

/// A file with a second name is of kind 5. Links lead to a folder with a critical field, and to a hard link with one.
const LINKED: Edit = Edit::Lines(|lines| {
    lines[5].entry = entry(5, &string(b"of a later version"));
    let extra = string(&record(&[critical(1, "of a later version")]));
    let newer = |tag: u8, rest: &[u8]| [vec![tag | EXTRA], extra.clone(), metadata(), rest.to_vec()].concat();
    lines.push(line(b"x-folder", newer(FOLDER, &[])));
    lines.push(line(b"x-link", newer(HARD_LINK, &string(b"two"))));
    lines.push(line(b"y", entry(HARD_LINK, &string(b"x-folder"))));
    lines.push(line(b"z", entry(HARD_LINK, &string(b"x-link"))));
});

#[test]
fn a_hard_link_to_what_is_not_understood_is_not_understood() {
    let (repository, _) = open_forged(&build("newer linked entries", &[LINKED]));
    let hurt = ["one", "other-name", "x-folder", "x-link", "y", "z"].map(|name| path(&format!("hurt/{name}")));
    for read_data in [0.0, 1.0] {
        assert_eq!(findings(&repository, read_data), [(newer_pack(), hurt.to_vec())]);
    }
    let snapshot = &repository.snapshots()[1];
    for entry in repository.entries(snapshot).map(Result::unwrap).filter(|entry| hurt.contains(&entry.path)) {
        let read = repository.read_file(&entry, &mut Vec::new());
        assert!(matches!(read, Err(ReadFileError::Read(ReadError::Damaged(damage))) if damage == newer_pack()));
    }
    for dry_run in [true, false] {
        let target = MemoryTarget::default();
        let overwrite = hushkeep_repo::Overwrite::Always;
        let options = hushkeep_repo::RestoreOptions { select: &|_| true, overwrite, best_effort: true, dry_run };
        let report = repository.restore(snapshot, &target, &options, &Quiet).unwrap();
        let is_newer = |error: &ItemError| matches!(error, ItemError::Damaged(damage) if *damage == newer_pack());
        assert!(report.problems.iter().all(|problem| is_newer(&problem.error)), "{:?}", report.problems);
        let mut paths: Vec<RelPath> = report.problems.into_iter().map(|problem| problem.path).collect();
        paths.sort();
        assert_eq!(paths, hurt);
        let given = target.nodes.into_inner().unwrap();
        assert!(hurt.iter().all(|path| !given.contains_key(path)));
    }
}

#[test]
fn entries_that_are_not_understood_are_listed_and_not_read() {
    let (repository, _) = open_forged(&build("newer entries", &[ENTRIES]));
    let [before, after] = repository.snapshots() else { panic!("two snapshots") };
    let entries: Vec<_> = repository.entries(after).map(Result::unwrap).collect();
    let newer: Vec<_> = entries.iter().filter(|entry| matches!(entry.entry.kind, EntryKind::Newer(_))).collect();
    assert_eq!(newer.len(), 2);
    for entry in newer {
        let read = repository.read_file(entry, &mut Vec::new());
        assert!(matches!(read, Err(ReadFileError::Read(ReadError::Damaged(damage))) if damage == newer_pack()));
    }
    assert_eq!(repository.diff(after, after).count(), 0);
    let added = repository.diff(before, after).map(Result::unwrap);
    assert_eq!(added.filter(|change| change.kind == ChangeKind::Added).count(), entries.len() - 2);
}

/// Nobody knows what they need.
#[test]
fn a_prune_gives_up_where_an_entry_is_not_understood() {
    let (mut repository, storage) = open_forged(&build("newer entries", &[ENTRIES]));
    let before = objects(&storage);
    assert!(matches!(prune(&mut repository), PruneError::Incomplete(damage) if damage == newer_pack()));
    assert_eq!(objects(&storage), before);
}

/// But of one kind it is known that they need nothing.
#[test]
fn a_prune_passes_over_what_names_no_contents() {
    for (vector, may_prune) in [("entry-kind-5", true), ("entry-kind-6", false), ("entry-extra-critical", false)] {
        let vector = expected::home().join("invalid").join(vector);
        let (memory, device) = (crate::in_memory(&vector), crate::common::Device::new(1));
        let mut repository = crate::unlock(&memory, &crate::walk::key(&vector), &device).unwrap();
        let pruned = try_prune(&mut repository);
        assert_eq!(pruned.is_ok(), may_prune, "{pruned:?}");
    }
}

#[test]
fn a_backup_upon_entries_that_are_not_understood_reads_those_anew() {
    let (mut repository, _) = open_forged(&build("newer entries", &[ENTRIES]));
    let tree = MemoryTree::new(&[
        ("one", Node::File(text("hurt/one", 20))),
        ("packed", Node::File(text("hurt/packed", 300))),
        ("two", Node::File(text("hurt/two", 55))),
    ]);
    let report = back_up_hurt(&mut repository, &tree).unwrap();
    assert!(report.damage.is_empty(), "{:?}", report.damage);
    assert_eq!((report.files_unchanged, report.files_changed, report.files_new), (1, 2, 0));
    let target = MemoryTarget::default();
    let problems = restore_into(&repository, &repository.snapshots()[2], &target, false).unwrap().problems;
    assert!(problems.is_empty(), "{problems:?}");
    let nodes = target.nodes.into_inner().unwrap();
    assert_eq!(nodes[&path("hurt/packed")], Node::File(text("hurt/packed", 300)));
}

/// Who cannot read all of a pack would drop what a newer version still needs of it.
#[test]
fn nothing_is_written_beside_a_pack_that_is_not_understood() {
    let class = Edit::Table(|table| table.segments[DATA].tag = 3);
    let coding = Edit::Table(|table| table.segments[ZSTD].tag = 0x20);
    for edit in [class, coding] {
        let (mut repository, storage) = open_forged(&build("newer pack", &[edit]));
        let before = objects(&storage);
        let refused = back_up_hurt(&mut repository, &MemoryTree::new(&[]));
        let is_newer = |error: &ReadError| matches!(error, ReadError::Damaged(damage) if *damage == newer_pack());
        assert!(matches!(refused, Err(BackupError::Read(error)) if is_newer(&error)));
        assert!(matches!(prune(&mut repository), PruneError::Read(error) if is_newer(&error)));
        assert_eq!(objects(&storage), before);
    }
}

#[test]
fn a_coding_that_is_not_understood_costs_what_is_written_in_it() {
    let repo = build("newer coding", &[Edit::Table(|table| table.segments[ZSTD].tag = 0x20)]);
    let (repository, _) = open_forged(&repo);
    // The second time it is not remembered as a pack that was found bad.
    for read_data in [0.0, 1.0, 1.0] {
        assert_eq!(findings(&repository, read_data), [(newer_pack(), vec![path("hurt/packed")])]);
    }
    let repo = build("newer class", &[Edit::Table(|table| table.segments[ZSTD].tag = 0x13)]);
    assert_eq!(findings(&open_forged(&repo).0, 1.0), []);
}
