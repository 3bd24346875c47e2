//! What goes wrong in a life with backups, and what the program says: whole runs of the program, each device with
//! a home of its own.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod world;

use std::fs;

use world::{World, copy};

/// Flips a bit in the middle of the largest object: the pack with the video.
fn damage_video(world: &World) {
    let packs = fs::read_dir(world.path("repo/packs")).unwrap().map(|entry| entry.unwrap().path());
    let largest = packs.max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let mut bytes = fs::read(&largest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(&largest).unwrap();
    fs::write(&largest, bytes).unwrap();
}

#[test]
fn a_new_device_gets_everything_back_by_the_recovery_key() {
    let world = World::with_backup();
    let refused = world.run("laptop", &["restore", "-t", "restored"]).expect(12);
    assert!(refused.contains("recover"), "{refused}");
    world.run("laptop", &["recover", "--recovery-key-file", "recovery-key"]).expect(0);
    world.run("laptop", &["restore", "-t", "restored"]).expect(0);
    for file in ["chats/hello.txt", "chats/video.mp4"] {
        assert_eq!(fs::read(world.path(file)).unwrap(), fs::read(world.path("restored").join(file)).unwrap());
    }
}

/// Nobody can write below `/proc`, as on a full disk.
#[cfg(target_os = "linux")]
#[test]
fn a_device_that_cannot_write_anything_down_can_restore_and_look() {
    let world = World::with_backup();
    let restore = ["restore", "latest", "--target", "restored", "--recovery-key-file", "recovery-key"];
    let said = world.run("/proc/hushkeep", &restore).expect(0);
    assert!(said.contains("cannot note that there is a repository here"), "{said}");
    assert!(said.contains("cannot remember what it has seen here"), "{said}");
    assert_eq!(fs::read(world.path("restored/chats/hello.txt")).unwrap(), b"hello");
    world.run("/proc/hushkeep", &["check", "--read-data", "--recovery-key-file", "recovery-key"]).expect(0);
    world.run("/proc/hushkeep", &["backup", "chats", "--recovery-key-file", "recovery-key"]).expect(1);
}

#[test]
fn a_wrong_key_is_told_before_anything_is_written() {
    let world = World::with_backup();
    world.run("phone", &["backup", "chats", "--init", "-r", "other", "--recovery-key-file", "other-key"]).expect(0);
    for device in ["phone", "laptop"] {
        let run = world.run(device, &["restore", "-t", "restored", "--recovery-key-file", "other-key"]);
        assert!(run.expect(12).contains("another repository"));
    }
    assert!(!world.path("restored").exists() && !world.path("laptop").exists());
}

#[test]
fn one_wrong_group_is_repaired_and_two_are_not() {
    let world = World::with_backup();
    let key = fs::read_to_string(world.path("recovery-key")).unwrap();
    let changed = |group: usize| if key[5 * group..].starts_with("0000") { "1111" } else { "0000" };
    world.write("one-wrong", format!("{}{}", changed(0), &key[4..]).as_bytes());
    world.write("two-wrong", format!("{} {}{}", changed(0), changed(1), &key[9..]).as_bytes());
    let said = world.run("laptop", &["key", "verify", "--recovery-key-file", "one-wrong"]).expect(0);
    assert!(said.contains(&format!("group 1 should read {}", &key[..4])), "{said}");
    world.run("laptop", &["key", "verify", "--recovery-key-file", "two-wrong"]).expect(12);
}

#[test]
fn a_disk_that_is_not_mounted_never_becomes_a_new_repository() {
    let world = World::with_backup();
    fs::rename(world.path("repo"), world.path("elsewhere")).unwrap();
    world.run("phone", &["backup", "chats", "--init"]).expect(10);
    fs::create_dir(world.path("repo")).unwrap();
    world.run("phone", &["backup", "chats", "--init"]).expect(10);
    assert_eq!(fs::read_dir(world.path("repo")).unwrap().count(), 0);

    copy(&world.path("elsewhere"), &world.path("repo"));
    world.run("phone", &["backup", "chats", "--init"]).expect(0);
}

#[test]
fn another_repository_in_the_known_place_is_not_written_to() {
    let world = World::with_backup();
    fs::rename(world.path("repo"), world.path("elsewhere")).unwrap();
    world.run("laptop", &["backup", "chats", "--init"]).expect(0);
    let said = world.run("phone", &["backup", "chats", "--init"]).expect(10);
    assert!(said.contains("not the repository that this device knows"), "{said}");
}

#[test]
fn a_folder_with_other_things_is_not_made_a_repository() {
    let world = World::with_backup();
    let said = world.run("phone", &["backup", "repo", "--init", "-r", "chats"]).expect(1);
    assert!(said.contains("not empty"), "{said}");
    assert_eq!(fs::read_dir(world.path("chats")).unwrap().count(), 2);
}

#[test]
fn a_history_that_was_rolled_back_is_noticed() {
    let world = World::with_backup();
    copy(&world.path("repo"), &world.path("old"));
    world.write("chats/new.txt", b"new");
    world.run("phone", &["backup", "chats"]).expect(0);
    fs::remove_dir_all(world.path("repo")).unwrap();
    copy(&world.path("old"), &world.path("repo"));
    for command in [&["backup", "chats"][..], &["snapshots"]] {
        world.run("phone", command).expect(13);
    }
}

#[test]
fn damage_is_named_and_everything_else_restored() {
    let world = World::with_backup();
    damage_video(&world);
    world.run("phone", &["check", "-q"]).expect(0);
    assert!(world.run("phone", &["check", "--read-data"]).expect(14).contains("chats/video.mp4"));
    world.run("phone", &["restore", "-t", "restored"]).expect(14);
    let run = world.run("phone", &["restore", "-t", "restored", "--best-effort", "--json"]);
    let problems: Vec<_> = run.objects().into_iter().filter(|object| object["type"] == "problem").collect();
    assert!(problems.len() == 1 && problems[0]["path"] == "chats/video.mp4", "{problems:?}");
    run.expect(14);
    assert_eq!(fs::read(world.path("restored/chats/hello.txt")).unwrap(), b"hello");
    assert!(!world.path("restored/chats/video.mp4").exists());
}

#[test]
fn what_cannot_be_read_is_named() {
    let world = World::with_backup();
    let said = world.run("phone", &["backup", "chats", "nowhere"]).expect(3);
    assert!(said.contains("nowhere") && said.contains("number 2"), "{said}");
    let said = world.run("phone", &["backup", "nowhere"]).expect(1);
    assert!(!said.contains("number 3"), "no snapshot of nothing: {said}");
}

#[test]
fn a_passphrase_opens_until_it_is_removed() {
    let world = World::with_backup();
    world.write("weak", b"password\n");
    world.write("passphrase", b"seven geese cross the frozen canal\n");
    world.run("phone", &["key", "add", "passphrase", "--new-passphrase-file", "weak"]).expect(1);
    world
        .run("phone", &["key", "add", "passphrase", "--new-passphrase-file", "passphrase", "--label", "geese"])
        .expect(0);
    world.run("laptop", &["recover", "--passphrase-file", "passphrase"]).expect(0);
    world.run("laptop", &["snapshots"]).expect(0);
    world.run("laptop", &["key", "verify", "--passphrase-file", "weak"]).expect(12);

    let listed = world.run("phone", &["key", "list", "--json"]).objects();
    let id = |kind: &str| listed.iter().find(|key| key["kind"] == kind).unwrap()["id"].as_str().unwrap();
    world.run("phone", &["key", "remove", id("recovery-key")]).expect(1);
    world.run("phone", &["key", "remove", id("passphrase")]).expect(0);
    world.run("tablet", &["recover", "--passphrase-file", "passphrase"]).expect(12);
}

#[test]
fn the_recovery_key_opens_a_repository_that_lost_its_configs() {
    let world = World::with_backup();
    fs::remove_dir_all(world.path("repo/config")).unwrap();
    let recover = ["recover", "--recovery-key-file", "recovery-key"];
    let said = world.run("laptop", &recover).expect(14);
    assert!(said.contains("recover --without-config"), "{said}");
    world.write("passphrase", b"a passphrase of the config\n");
    let said = world.run("laptop", &["recover", "--without-config", "--passphrase-file", "passphrase"]).expect(12);
    assert!(said.contains("only the recovery key"), "{said}");
    let said = world.run("laptop", &[recover.as_slice(), &["--without-config"]].concat()).expect(0);
    assert!(said.contains("a config was made"), "{said}");
    world.run("laptop", &["restore", "-t", "restored"]).expect(0);
    assert_eq!(fs::read(world.path("restored/chats/hello.txt")).unwrap(), b"hello");
    world.run("laptop", &["backup", "chats"]).expect(0);
    world.run("phone", &["backup", "chats"]).expect(0);
    world.run("tablet", &recover).expect(0);
    let said = world.run("tablet", &[recover.as_slice(), &["--without-config"]].concat()).expect(0);
    assert!(!said.contains("a config was made"), "{said}");

    // This device has the key: its owner need not.
    fs::remove_dir_all(world.path("repo/config")).unwrap();
    let said = world.run("tablet", &["recover", "--without-config"]).expect(0);
    assert!(said.contains("a config was made"), "{said}");
    // Nothing is lost where a config of which this device has a copy is only damaged.
    world.run("tablet", &["backup", "chats"]).expect(0);
    world.run("tablet", &["snapshots"]).expect(0);
    for config in fs::read_dir(world.path("repo/config")).unwrap() {
        fs::write(config.unwrap().path(), b"damaged").unwrap();
    }
    let said = world.run("tablet", &[recover.as_slice(), &["--without-config"]].concat()).expect(0);
    assert!(!said.contains("a config was made"), "{said}");
}

/// A device that did not see a rotation has an old key, and an owner may bring back an old config.
#[test]
fn the_recovery_key_that_is_named_counts_where_configs_are_lost() {
    let world = World::with_backup();
    let config = world.path("repo/config");
    let older: Vec<_> = fs::read_dir(&config).unwrap().map(|entry| entry.unwrap().path()).collect();
    let older: Vec<_> = older.into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect();
    world.run("laptop", &["recover", "--recovery-key-file", "recovery-key"]).expect(0);
    world.run("phone", &["key", "rotate", "--yes", "--new-recovery-key-file", "new-key"]).expect(0);

    fs::remove_dir_all(&config).unwrap();
    let recover = ["recover", "--without-config"];
    let said = world.run("laptop", &recover).expect(12);
    assert!(said.contains("newer key"), "{said}");
    let named = [recover.as_slice(), &["--recovery-key-file", "new-key"]].concat();
    let said = world.run("laptop", &named).expect(0);
    assert!(said.contains("a config was made"), "{said}");

    fs::remove_dir_all(&config).unwrap();
    fs::create_dir(&config).unwrap();
    older.iter().for_each(|(object, path)| fs::write(path, object).unwrap());
    let said = world.run("tablet", &named).expect(0);
    assert!(said.contains("a config was made"), "{said}");
    world.run("tablet", &["restore", "-t", "restored"]).expect(0);
    assert_eq!(fs::read(world.path("restored/chats/hello.txt")).unwrap(), b"hello");
}

#[test]
fn a_key_is_never_kept_nowhere_nor_written_over_a_file() {
    let world = World::with_backup();
    let key = fs::read(world.path("recovery-key")).unwrap();
    world.run("phone", &["backup", "chats", "--init", "-r", "new", "--no-device-key"]).expect(2);
    world.run("phone", &["backup", "chats", "--init", "-r", "new", "--recovery-key-file", "recovery-key"]).expect(1);
    world.run("phone", &["backup", "chats", "--init", "-r", "new", "--recovery-key-file", "-"]).expect(2);
    assert!(!world.path("new").exists());
    assert_eq!(fs::read(world.path("recovery-key")).unwrap(), key);

    let args = ["backup", "chats", "--init", "-r", "new", "--no-device-key", "--recovery-key-file", "new-key"];
    let said = world.run("phone", &args).expect(0);
    let group = String::from_utf8(fs::read(world.path("new-key")).unwrap()).unwrap()[..14].to_owned();
    assert!(!said.contains(&group), "the key is shown to a terminal only");
    world.run("phone", &["snapshots", "-r", "new"]).expect(12);
    world.run("phone", &["snapshots", "-r", "new", "--recovery-key-file", "new-key"]).expect(0);
}

#[test]
fn a_script_may_go_on_naming_the_recovery_key_file_that_was_moved_away() {
    let world = World::with_backup();
    fs::remove_file(world.path("recovery-key")).unwrap();
    world.run("phone", &["backup", "chats", "--init", "--recovery-key-file", "recovery-key"]).expect(0);
    world.run("laptop", &["backup", "chats", "--init", "--recovery-key-file", "recovery-key"]).expect(12);
    assert!(!world.path("recovery-key").exists());
}

#[test]
fn the_repository_is_not_backed_up_into_itself() {
    let world = World::with_backup();
    world.run("phone", &["backup", "."]).expect(0);
    let listed = world.run("phone", &["ls", "latest"]).expect(0);
    assert!(listed.contains("/chats/hello.txt") && !listed.contains("/repo/") && !listed.contains("/phone/state/"));
    world.run("phone", &["backup", "repo"]).expect(2);
}

#[test]
fn dry_runs_write_nothing() {
    let world = World::with_backup();
    world.write("chats/new.txt", b"new");
    assert!(world.run("phone", &["backup", "chats", "-n"]).expect(0).contains("1 new"));
    assert_eq!(world.run("phone", &["snapshots", "--json"]).objects().len(), 1);
    world.run("phone", &["restore", "-t", "restored", "-n"]).expect(0);
    world.run("phone", &["backup", "chats", "-n", "--init", "-r", "new"]).expect(10);
    assert!(!world.path("restored").exists() && !world.path("new").exists());
}

#[test]
fn patterns_choose_what_is_restored() {
    let world = World::with_backup();
    world.run("phone", &["restore", "-t", "only", "--include", "*.txt"]).expect(0);
    world.run("phone", &["restore", "-t", "without", "--exclude", "chats/*.txt"]).expect(0);
    assert!(world.path("only/chats/hello.txt").exists() && !world.path("only/chats/video.mp4").exists());
    assert!(!world.path("without/chats/hello.txt").exists() && world.path("without/chats/video.mp4").exists());
}

#[test]
fn every_line_of_json_has_a_type() {
    let world = World::with_backup();
    let commands: [&[&str]; 9] = [
        &["backup", "chats", "nowhere"],
        &["restore", "-t", "restored"],
        &["snapshots"],
        &["ls"],
        &["diff", "1", "latest"],
        &["check"],
        &["stats"],
        &["key", "list"],
        &["ls", "nosuch"],
    ];
    for command in commands {
        let run = world.run("phone", &[command, &["--json"]].concat());
        let objects = run.objects();
        assert!(!objects.is_empty() && objects.iter().all(|object| object["type"].is_string()), "{command:?}");
        let error = objects.last().filter(|object| object["type"] == "error");
        assert_eq!(error.map_or(Some(0), |error| error["exit_code"].as_i64()), Some(i64::from(run.code)));
    }
}
