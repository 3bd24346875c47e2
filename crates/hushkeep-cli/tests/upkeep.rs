//! Keeping a backup in order over the years: what is forgotten, what is given back, and what a new key changes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod world;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use world::{Run, World, copy};

const RECOVERY_KEY: [&str; 2] = ["--recovery-key-file", "recovery-key"];

/// A world with this many backups, each with a file of its own that the next one has no more.
fn with_backups(count: u64) -> World {
    let world = World::with_backup();
    for number in 2..=count {
        world.write("chats/day.jpg", &noise(number));
        world.run("phone", &["backup", "chats", "-q"]).expect(0);
    }
    world
}

/// Bytes that cannot be compressed (xorshift).
fn noise(seed: u64) -> Vec<u8> {
    let next = |state: &u64| {
        let state = state ^ (state << 13);
        let state = state ^ (state >> 7);
        Some(state ^ (state << 17))
    };
    std::iter::successors(Some(seed), next).skip(16).map(|state| state.to_le_bytes()[3]).take(100_000).collect()
}

/// Every file below a folder.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

/// Lets time pass for the repository: a folder's clock are the times of its files.
fn wait(world: &World, seconds: u64) {
    for path in files(&world.path("repo")).keys() {
        let then = SystemTime::now() - Duration::from_secs(seconds);
        fs::File::open(path).unwrap().set_modified(then).unwrap();
    }
}

/// The objects of one type, of a run that must end well.
fn told(run: Run, kind: &str) -> Vec<Value> {
    let objects = run.objects().into_iter().filter(|object| object["type"] == kind).collect();
    run.expect(0);
    objects
}

fn numbers(objects: &[Value]) -> Vec<u64> {
    objects.iter().map(|object| object["number"].as_u64().unwrap()).collect()
}

fn snapshots(world: &World) -> Vec<u64> {
    numbers(&told(world.run("phone", &["snapshots", "--json"]), "snapshot"))
}

#[test]
fn a_policy_keeps_the_newest_of_a_day_and_says_why() {
    let world = with_backups(3);
    let said = world.run("phone", &["forget", "--keep-daily", "7", "--keep-within", "1h", "-n"]).expect(0);
    assert!(said.contains("would forget 0 snapshots") && said.contains("daily snapshot, within 1h"), "{said}");
    let objects = world.run("phone", &["forget", "--keep-weekly", "1", "--json"]).objects();
    let of = |kind: &str| objects.iter().filter(|object| object["type"] == kind).cloned().collect::<Vec<_>>();
    assert_eq!((numbers(&of("forgotten")), numbers(&of("kept"))), (vec![1, 2], vec![3]));
    assert_eq!(of("kept")[0]["reasons"][0], "weekly snapshot");
    assert_eq!((&objects[3]["forgotten"], &objects[3]["kept"]), (&2.into(), &1.into()));
    assert_eq!(snapshots(&world), [3]);

    let listed = told(world.run("phone", &["snapshots", "--forgotten", "--json"]), "forgotten");
    assert_eq!(numbers(&listed), [1, 2]);
    assert!(listed[0]["forgotten_by"].is_string() && listed[0]["id"].is_string());
    let said = world.run("phone", &["forget", "--keep-weekly", "1"]).expect(0);
    assert!(said.contains("forgot 0 snapshots, kept 1"), "{said}");
}

#[test]
fn each_device_has_its_own_policy_unless_they_are_thrown_together() {
    let world = with_backups(2);
    world.run("tablet", &[&["recover"], &RECOVERY_KEY[..]].concat()).expect(0);
    for _ in 0..2 {
        world.run("tablet", &["backup", "chats"]).expect(0);
    }
    let forget = |by: &[&str]| {
        let args = [&["forget", "--keep-last", "1", "-n", "--json"], by].concat();
        numbers(&told(world.run("phone", &args), "kept"))
    };
    assert_eq!((forget(&[]), forget(&["--group-by", "device"])), (vec![2, 4], vec![2, 4]));
    assert_eq!((forget(&["--group-by", "paths"]), forget(&["--group-by", ""])), (vec![4], vec![4]));
    world.run("phone", &["forget", "--keep-last", "1", "--group-by", "tags"]).expect(2);
}

#[test]
fn snapshots_are_forgotten_by_name_and_never_the_last_one_by_accident() {
    let world = with_backups(4);
    world.run("phone", &["forget", "2", "latest~2", "2"]).expect(0);
    assert_eq!(snapshots(&world), [1, 3, 4], "latest~2 is number 2 as well");
    world.run("phone", &["forget", "2"]).expect(1);
    for wrong in [
        &["forget"][..],
        &["forget", "--keep-last", "0"],
        &["forget", "--keep-within", "1w"],
        &["forget", "1", "--keep-last", "1"],
        &["forget", "2100-01-01"],
        &["forget", "1", "3", "4"],
    ] {
        world.run("phone", wrong).expect(2);
    }
    assert_eq!(snapshots(&world), [1, 3, 4]);
    world.run("phone", &["forget", "1", "3", "4", "--allow-remove-all"]).expect(0);
    assert_eq!(snapshots(&world), [0; 0]);
    world.run("phone", &["backup", "chats"]).expect(0);
    world.run("phone", &["forget", "--keep-last", "0", "--allow-remove-all"]).expect(0);
    assert_eq!(snapshots(&world), [0; 0]);
}

#[test]
fn dry_runs_change_nothing() {
    let world = with_backups(3);
    let before = files(&world.path("repo"));
    for command in [&["forget", "1", "-n"][..], &["forget", "--keep-last", "1", "--prune", "-n"], &["prune", "-n"]] {
        world.run("phone", command).expect(0);
        assert_eq!(files(&world.path("repo")), before, "{command:?}");
    }
    let report = &told(world.run("phone", &["forget", "1", "2", "--prune", "-n", "--json"]), "prune")[0];
    assert_eq!(report["marked"]["packs"], 1, "as if they were forgotten");
    world.run("phone", &["forget", "1", "2", "-q"]).expect(0);
    let before = files(&world.path("repo"));
    let report = &told(world.run("phone", &["prune", "-n", "--json"]), "summary")[0];
    assert!(report["marked"]["packs"] == 1 && report["dry_run"] == true, "{report}");
    assert!(files(&world.path("repo")) == before);
}

#[test]
fn what_was_forgotten_is_given_back_when_it_has_waited() {
    let world = with_backups(3);
    let bytes = || files(&world.path("repo/packs")).values().map(Vec::len).sum::<usize>();
    let before = bytes();
    let said = world.run("phone", &["forget", "--keep-last", "1", "--prune"]).expect(0);
    assert!(said.contains("forgot 2") && said.contains("marked") && said.contains("other devices"), "{said}");
    assert!(bytes() >= before, "another device may be reading it");
    let report = &told(world.run("phone", &["prune", "--json"]), "summary")[0];
    let seconds = report["wait_seconds"].as_u64().unwrap();
    assert!(report["waiting"]["packs"] == 1 && report["dropped"]["packs"] == 0, "{report}");
    assert!(report["next_drop_seconds"].as_u64().unwrap() <= seconds);

    wait(&world, seconds + 60);
    let report = &told(world.run("phone", &["prune", "-n", "--json"]), "summary")[0];
    assert_eq!(report["dropped"]["packs"], 1);
    let said = world.run("phone", &["prune"]).expect(0);
    assert!(said.contains("gave back: ") && !said.contains("other devices"), "{said}");
    assert!(bytes() < before);
    assert!(world.run("phone", &["prune"]).expect(0).contains("nothing to give back"));
    world.run("phone", &["check", "--read-data"]).expect(0);
    world.run("phone", &["restore", "-t", "restored"]).expect(0);
    assert_eq!(fs::read(world.path("restored/chats/day.jpg")).unwrap(), fs::read(world.path("chats/day.jpg")).unwrap());
}

#[test]
fn forgetting_and_pruning_at_once_is_two_objects() {
    let world = with_backups(3);
    let objects = world.run("phone", &["forget", "--keep-last", "1", "--prune", "--json"]).objects();
    let kinds: Vec<_> = objects.iter().map(|object| object["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["kept", "forgotten", "forgotten", "summary", "prune"]);
    for wrong in [&["prune", "--max-unused", "5"][..], &["prune", "--max-repack-size", "5GB"]] {
        world.run("phone", wrong).expect(2);
    }
}

#[test]
fn nothing_is_pruned_beside_damage() {
    let world = with_backups(3);
    let commit = files(&world.path("repo/commits")).into_keys().next_back().unwrap();
    fs::remove_file(&commit).unwrap();
    fs::write(commit, b"damaged").unwrap();
    let said = world.run("phone", &["prune"]).expect(14);
    assert!(said.contains("nothing was given back"), "{said}");
}

/// The old packs are there until they have waited.
#[test]
fn what_a_new_pack_lost_comes_back_from_the_old_ones_and_is_told() {
    let world = World::with_backup();
    world.write("chats/hello.txt", b"good morning");
    world.run("phone", &["backup", "chats", "-q"]).expect(0);
    world.run("phone", &["forget", "1"]).expect(0);
    let before = files(&world.path("repo/packs"));
    world.run("phone", &["prune", "--max-unused", "0%"]).expect(0);
    let new = files(&world.path("repo/packs")).into_keys().find(|pack| !before.contains_key(pack)).unwrap();
    fs::write(&new, vec![0; fs::read(&new).unwrap().len()]).unwrap();
    for command in [
        &["restore", "-t", "restored"][..],
        &["ls"],
        &["diff", "latest", "latest"],
        &["dump", "latest", "chats/hello.txt"],
    ] {
        let said = world.run("tablet", &[command, &RECOVERY_KEY[..]].concat()).expect(0);
        assert!(said.contains(new.file_name().unwrap().to_str().unwrap()), "{command:?}: {said}");
    }
    world.run("tablet", &[&["check", "--read-data"], &RECOVERY_KEY[..]].concat()).expect(14);
}

#[test]
fn after_a_rotation_the_old_recovery_key_is_refused_and_other_devices_hear_what_to_do() {
    let world = with_backups(2);
    world.run("tablet", &[&["recover"], &RECOVERY_KEY[..]].concat()).expect(0);
    let args = ["key", "rotate", "--yes", "--new-recovery-key-file", "new-key", "--json"];
    let summary = &told(world.run("phone", &args), "summary")[0];
    assert!(summary["device_key"] == true && summary["recovery_key_file"] == "new-key", "{summary}");

    world.run("laptop", &[&["key", "verify"], &RECOVERY_KEY[..]].concat()).expect(12);
    world.run("laptop", &["key", "verify", "--recovery-key-file", "new-key"]).expect(0);
    let said = world.run("tablet", &["backup", "chats"]).expect(12);
    assert!(said.contains("replaced on another device") && said.contains("recover"), "{said}");
    world.run("tablet", &["recover", "--recovery-key-file", "new-key"]).expect(0);
    for device in ["tablet", "phone"] {
        let said = world.run(device, &["backup", "chats"]).expect(0);
        assert!(said.contains("of it 0 B new"), "nothing is sent again: {said}");
    }
    world.run("phone", &["restore", "1", "-t", "restored"]).expect(0);
    world.run("phone", &["check", "--read-data"]).expect(0);
    let key = fs::read_to_string(world.path("new-key")).unwrap();
    assert_eq!(world.run("phone", &["key", "show"]).expect(0), key);
}

#[test]
fn a_rotation_that_cannot_be_meant_changes_nothing() {
    let world = World::with_backup();
    world.write("geese", b"seven geese cross the frozen canal\n");
    world.write("ducks", b"seven ducks cross the frozen canal\n");
    world.run("phone", &["key", "add", "passphrase", "--new-passphrase-file", "geese"]).expect(0);
    let before = files(&world.path("repo"));
    let rotate = |rest: &[&str]| world.run("phone", &[&["key", "rotate"], rest].concat());
    assert!(rotate(&[]).expect(2).contains("--yes"));
    assert!(rotate(&["--yes"]).expect(2).contains("--keep-passphrase-file"));
    rotate(&["--yes", "--keep-passphrase-file", "ducks"]).expect(12);
    rotate(&["--yes", "--keep-passphrase-file", "nowhere"]).expect(1);
    rotate(&["--yes", "--drop-passphrases", "--new-recovery-key-file", "recovery-key"]).expect(1);
    rotate(&["--yes", "--drop-passphrases", "--new-recovery-key-file", "-"]).expect(2);
    let by_key = [&["key", "rotate", "--yes", "--drop-passphrases"], &RECOVERY_KEY[..]].concat();
    assert!(world.run("laptop", &by_key).expect(2).contains("kept nowhere"));
    assert_eq!(files(&world.path("repo")), before);
    world.run("phone", &["snapshots"]).expect(0);
    assert_eq!(files(&world.path("phone/state")).keys().filter(|path| path.ends_with("key.next")).count(), 0);
}

#[test]
fn passphrases_are_kept_or_dropped_as_their_owner_says() {
    let world = World::with_backup();
    world.write("geese", b"seven geese cross the frozen canal\n");
    world.write("ducks", b"seven ducks cross the frozen canal\n");
    for file in ["geese", "ducks"] {
        let add = ["key", "add", "passphrase", "--new-passphrase-file", file, "--label", file];
        world.run("phone", &add).expect(0);
    }
    let keep = ["--yes", "--drop-passphrases", "--keep-passphrase-file", "ducks"];
    // A device without a key of its own needs a file for the new one.
    let by_phrase = ["key", "rotate", "--passphrase-file", "geese", "--new-recovery-key-file", "new-key"];
    let said = world.run("laptop", &[&by_phrase[..], &keep].concat()).expect(0);
    assert!(said.contains("(ducks) leads to the new key") && said.contains("(geese) opens this repository no more"));
    world.run("tablet", &["snapshots", "--passphrase-file", "geese"]).expect(12);
    world.run("tablet", &["recover", "--passphrase-file", "ducks"]).expect(0);
    let listed = told(world.run("tablet", &["key", "list", "--json"]), "protector");
    assert_eq!(listed.iter().map(|key| key["label"].as_str().unwrap()).collect::<Vec<_>>(), ["", "ducks"]);
}

#[test]
fn what_this_version_cannot_keep_is_dropped_only_if_its_owner_says_so() {
    let vector = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors/repositories/valid/protectors");
    let world = World::with_backup();
    fs::remove_dir_all(world.path("repo")).unwrap();
    copy(&vector.join("repository"), &world.path("repo"));
    fs::copy(vector.join("key.txt"), world.path("recovery-key")).unwrap();
    let before = files(&world.path("repo"));
    let rotate = |rest: &[&str]| {
        let args = ["key", "rotate", "--yes", "--drop-passphrases", "--new-recovery-key-file", "new-key", "--json"];
        world.run("laptop", &[&args[..], rest, &RECOVERY_KEY].concat())
    };
    let said = rotate(&[]).expect(2);
    assert!(said.contains("protector 03030303") && said.contains("--drop-unknown"), "{said}");
    assert_eq!(files(&world.path("repo")), before);
    let dropped = told(rotate(&["--drop-unknown"]), "summary")[0]["dropped"].clone();
    assert_eq!(dropped, serde_json::json!(["02020202", "03030303"]));
    let listed = world.run("laptop", &["key", "list", "--json", "--recovery-key-file", "new-key"]);
    assert_eq!(told(listed, "protector").len(), 1);
}

/// Somebody with the old key stores a config with a high number, in which the passphrase of before still gives that key.
#[test]
fn a_config_under_the_old_key_does_not_stand_before_the_owners_passphrase() {
    let world = World::with_backup();
    world.write("geese", b"seven geese cross the frozen canal\n");
    world.run("phone", &["key", "add", "passphrase", "--new-passphrase-file", "geese"]).expect(0);
    copy(&world.path("repo"), &world.path("stolen"));
    for own in ["ducks", "goats"] {
        world.write(own, format!("seven {own} cross the frozen canal\n").as_bytes());
        let add = ["key", "add", "passphrase", "--new-passphrase-file", own, "-r", "stolen"];
        world.run("thief", &[&add[..], &RECOVERY_KEY].concat()).expect(0);
    }
    world.run("phone", &["key", "rotate", "--yes", "--keep-passphrase-file", "geese"]).expect(0);
    let forged = files(&world.path("stolen/config")).into_keys().next_back().unwrap();
    fs::copy(&forged, world.path("repo/config").join(forged.file_name().unwrap())).unwrap();
    world.run("tablet", &["recover", "--passphrase-file", "geese"]).expect(0);
    world.run("laptop", &["snapshots", "--passphrase-file", "ducks"]).expect(12);
}

/// Somebody with the old key goes on where the owner has a new one.
#[test]
fn what_is_written_under_the_old_key_counts_for_nothing_and_is_told() {
    let world = with_backups(3);
    copy(&world.path("repo"), &world.path("stolen"));
    let thief = |args: &[&str]| {
        let all = [args, &["-r", "stolen"], &RECOVERY_KEY[..]].concat();
        world.run("thief", &all).expect(0);
    };
    thief(&["forget", "2"]);
    thief(&["prune", "--max-unused", "0%"]);
    world.run("phone", &["key", "rotate", "--yes"]).expect(0);
    for (path, bytes) in files(&world.path("stolen")) {
        let to = world.path("repo").join(path.strip_prefix(world.path("stolen")).unwrap());
        if !to.exists() && !path.to_str().unwrap().contains("config") {
            fs::write(to, bytes).unwrap();
        }
    }
    let run = world.run("phone", &["snapshots", "--json"]);
    assert_eq!(numbers(&run.objects()), [1, 2, 3]);
    assert_eq!(run.err.matches("under an old key").count(), 1, "{}", run.err);
    run.expect(0);
}

#[test]
fn an_old_copy_that_was_put_back_is_taken_if_its_owner_says_so() {
    let world = World::with_backup();
    copy(&world.path("repo"), &world.path("old"));
    world.run("phone", &["backup", "chats"]).expect(0);
    fs::remove_dir_all(world.path("repo")).unwrap();
    copy(&world.path("old"), &world.path("repo"));
    let said = world.run("phone", &["backup", "chats"]).expect(13);
    assert!(said.contains("recover --accept-rollback"), "{said}");
    let recover = [&["recover"], &RECOVERY_KEY[..]].concat();
    world.run("phone", &recover).expect(13);
    world.run("phone", &["snapshots"]).expect(13);
    let args = [recover.as_slice(), &["--accept-rollback", "--json"]].concat();
    assert_eq!(told(world.run("phone", &args), "summary")[0]["accepted_rollback"], true);
    assert_eq!(told(world.run("phone", &args), "summary")[0]["accepted_rollback"], false, "it is as it was seen");
    world.run("phone", &["backup", "chats"]).expect(0);
}

/// What only a newer version understands is no damage, whichever command meets it.
#[test]
fn what_is_newer_is_told_apart_from_damage() {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors/repositories/invalid");
    for (vector, code) in [("entry-kind-5", 1), ("file-content-nowhere", 14)] {
        let world = World::with_backup();
        fs::remove_dir_all(world.path("repo")).unwrap();
        copy(&vectors.join(vector).join("repository"), &world.path("repo"));
        fs::copy(vectors.join(vector).join("key.txt"), world.path("recovery-key")).unwrap();
        let best_effort = &["restore", "latest", "-t", "rest", "--best-effort"];
        for args in [&["check"][..], &["check", "--read-data"], &["restore", "latest", "-t", "restored"], best_effort] {
            let told = world.run("tablet", &[args, &RECOVERY_KEY[..]].concat()).expect(code);
            assert_eq!(told.contains("install the newest version"), code == 1, "{told}");
        }
        // Only damage ends a restore that is to be whole.
        assert_eq!(world.path("restored/hurt/two").exists(), code == 1);
    }
}
