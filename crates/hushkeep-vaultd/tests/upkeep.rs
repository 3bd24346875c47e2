//! What an operator does: rekey, copies, the fence, doctor, and ending it.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use hushkeep_vault::client::EventKind;
use hushkeep_vault::message::GuessRequest;
use hushkeep_vault::server::{AttemptStore as _, Policy, Vault};
use hushkeep_vaultd::folder::VaultFolder;
use hushkeep_vaultd::store::SqliteStore;

/// A day, in seconds.
const DAY: i64 = 86_400;

/// Runs the program to its end; returns what it printed, and whether it was content.
fn run(command: &str, folder: &Path, more: &[&str]) -> (String, bool) {
    let output = program().arg(command).arg("--dir").arg(folder).args(more).output().unwrap();
    (String::from_utf8([output.stdout, output.stderr].concat()).unwrap(), output.status.success())
}

/// A vault with a record, which is not being served any more.
fn vault_with_record(folder: &Path) -> Owner {
    let served = Served::start(folder, &[]);
    let mut owner = Owner::new();
    owner.register(&served.address).unwrap();
    assert!(served.end(), "it ends when it is asked to");
    owner
}

#[test]
fn a_rekey_leaves_the_records_and_makes_old_copies_useless() {
    let parent = tempfile::tempdir().unwrap();
    let (folder, copy) = (folder(&parent), parent.path().join("copy.db"));
    let owner = vault_with_record(&folder);
    let (said, done) = run("backup", &folder, &["--to", copy.to_str().unwrap()]);
    assert!(done && said.contains("1 record"), "{said}");
    let (said, done) = run("rekey", &folder, &[]);
    assert!(done && said.contains("sealed 1 record"), "{said}");
    let served = Served::start(&folder, &[]);
    assert!(owner.recover(&served.address).ct_eq(&owner.key));
    let (said, done) = run("rekey", &folder, &[]);
    assert!(!done && said.contains("in use"), "{said}");
    assert!(served.end());

    // The key under which the copy was sealed is destroyed: it does not take the place of records that open.
    let (said, done) = run("restore", &folder, &["--from", copy.to_str().unwrap()]);
    assert!(!done && said.contains("1 of 1 records in the copy are under a key"), "{said}");
    let served = Served::start(&folder, &[]);
    assert!(owner.recover(&served.address).ct_eq(&owner.key));
}

/// One that is left there would have every later copy taken for one from before the rekey.
#[test]
fn a_damaged_record_stops_a_rekey_until_it_is_given_up() {
    let parent = tempfile::tempdir().unwrap();
    let (folder, copy) = (folder(&parent), parent.path().join("copy.db"));
    let (owner, mut other) = (vault_with_record(&folder), Owner::new());
    let served = Served::start(&folder, &[]);
    other.register(&served.address).unwrap();
    assert!(served.end());
    {
        let (_, records) = VaultFolder::take(&folder).unwrap().open().unwrap();
        let id = other.pair.as_ref().unwrap().record();
        let row = records.load(&id).unwrap().unwrap();
        let mut damaged = row.clone();
        *damaged.bytes.last_mut().unwrap() ^= 1;
        assert!(records.reseal(&id, &row, &damaged).unwrap());
    }
    let (said, done) = run("doctor", &folder, &[]);
    assert!(!done && said.contains("of 2, 1 are damaged"), "{said}");
    let (said, done) = run("rekey", &folder, &[]);
    assert!(!done && said.contains("--give-up-damaged"), "{said}");
    let (said, done) = run("rekey", &folder, &["--give-up-damaged"]);
    assert!(done && said.contains("deleted 1 record for damage"), "{said}");
    let (said, done) = run("doctor", &folder, &[]);
    assert!(done, "{said}");
    let (said, done) = run("backup", &folder, &["--to", copy.to_str().unwrap()]);
    assert!(done && said.contains("1 record"), "{said}");
    let (said, done) = run("restore", &folder, &["--from", copy.to_str().unwrap()]);
    assert!(done, "{said}");
    let served = Served::start(&folder, &[]);
    assert!(owner.recover(&served.address).ct_eq(&owner.key) && !other.is_there(&served.address));
}

#[test]
fn records_from_an_old_copy_are_served_only_if_that_is_meant() {
    let parent = tempfile::tempdir().unwrap();
    let (folder, fence) = (folder(&parent), parent.path().join("fence"));
    let fence_text = fence.to_str().unwrap();
    std::fs::create_dir(&fence).unwrap();
    let owner = vault_with_record(&folder);
    assert!(Served::start(&folder, &["--fence", fence_text]).end());
    let old = parent.path().join("old.db");
    std::fs::copy(folder.join("records.db"), &old).unwrap();
    let served = Served::start(&folder, &["--fence", fence_text]);
    post(&served.address, "/v1/guess", &guess(owner.pair.as_ref().unwrap(), "not it")).unwrap();
    assert!(served.end());

    std::fs::copy(&old, folder.join("records.db")).unwrap();
    let (said, done) = run("serve", &folder, &["--listen", "127.0.0.1:0", "--fence", fence_text]);
    assert!(!done && said.contains("older than they were"), "{said}");
    let (said, done) = run("doctor", &folder, &["--fence", fence_text]);
    assert!(!done && said.contains("!!  fence"), "{said}");

    let (said, done) = run("restore", &folder, &["--from", old.to_str().unwrap(), "--fence", fence_text]);
    assert!(done, "{said}");
    let served = Served::start(&folder, &["--fence", fence_text]);
    assert!(owner.recover(&served.address).ct_eq(&owner.key));
}

/// Whoever spent the guesses does not come back to have the record destroyed.
#[test]
fn a_vault_that_is_served_destroys_a_spent_record_by_itself() {
    let parent = tempfile::tempdir().unwrap();
    let folder = folder(&parent);
    let owner = vault_with_record(&folder);
    let pair = owner.pair.as_ref().unwrap();
    let taken = VaultFolder::take(&folder).unwrap();
    let vault = Vault::new(taken.keys().unwrap(), Policy { waits: [0; 9], ..Policy::DEFAULT }).unwrap();
    let records = taken.records(&vault).unwrap();
    for _ in 0..Policy::DEFAULT.guesses {
        let request = GuessRequest::decode(&guess(pair, "not it")).unwrap();
        vault.guess(&records, &request, now() - 700, &mut rng()).unwrap();
    }
    let due = |records: &SqliteStore| records.due(now()..=now() + 700, 9).unwrap();
    assert_eq!(due(&records), [pair.record()]);
    drop((records, taken));
    let served = Served::start(&folder, &[]);
    let records = SqliteStore::open(&folder.join("records.db"), &vault.id()).unwrap();
    let began = Instant::now();
    while !due(&records).is_empty() {
        assert!(began.elapsed() < Duration::from_secs(30), "it is not destroyed");
        thread::sleep(Duration::from_millis(10));
    }
    let told = owner.history(&served.address).since(None).unwrap();
    assert_eq!(told.events.last().unwrap().kind, EventKind::Destroyed);
    assert!(served.end());
}

#[test]
fn the_doctor_says_what_is_well_and_what_is_not() {
    let parent = tempfile::tempdir().unwrap();
    let folder = folder(&parent);
    vault_with_record(&folder);
    let (said, done) = run("doctor", &folder, &[]);
    assert!(done && said.contains("ok  records  1 record, whole") && said.contains("--  fence    none"), "{said}");
    assert!(said.contains("room") && said.contains("MB are free, and the records take 0"), "{said}");
}

#[test]
fn the_doctor_tells_old_keys_from_a_rekey_that_was_broken_off() {
    let parent = tempfile::tempdir().unwrap();
    let folder = folder(&parent);
    let owner = vault_with_record(&folder);
    // A rekey that was killed before it sealed anything under the new key.
    let taken = VaultFolder::take(&folder).unwrap();
    let mut secrets = taken.keys().unwrap();
    secrets.add_kek(now() - 100 * DAY, &mut rng()).unwrap();
    taken.set_keys(&secrets).unwrap();
    drop(taken);
    let (said, done) = run("doctor", &folder, &[]);
    assert!(!done && said.contains("!!  keys     a rekey was broken off"), "{said}");
    assert!(Served::start(&folder, &[]).end(), "it can be served as it is");
    let (said, done) = run("rekey", &folder, &[]);
    assert!(done && said.contains("sealed 1 record"), "{said}");

    let (said, done) = run("doctor", &folder, &[]);
    assert!(!done && said.contains("!!  keys     the oldest key of records is 100 days old: replace it"), "{said}");
    let served = Served::start(&folder, &[]);
    assert!(owner.recover(&served.address).ct_eq(&owner.key));
}

#[test]
fn the_doctor_finds_a_clock_that_was_set_back() {
    let parent = tempfile::tempdir().unwrap();
    let folder = folder(&parent);
    let owner = vault_with_record(&folder);
    let (vault, records) = VaultFolder::take(&folder).unwrap().open().unwrap();
    let guess = guess(owner.pair.as_ref().unwrap(), "not it");
    vault.answer(&records, ("/v1/guess", &guess), now() + DAY, &mut rng()).unwrap();
    drop(records);
    let (said, done) = run("doctor", &folder, &[]);
    assert!(!done && said.contains("!!  clock"), "{said}");
    // The owner is not kept out.
    let served = Served::start(&folder, &[]);
    assert!(owner.recover(&served.address).ct_eq(&owner.key));
}

#[test]
fn what_a_restore_that_was_killed_left_is_in_nobodys_way() {
    let parent = tempfile::tempdir().unwrap();
    let (folder, copy) = (folder(&parent), parent.path().join("copy.db"));
    let owner = vault_with_record(&folder);
    assert!(run("backup", &folder, &["--to", copy.to_str().unwrap()]).1);
    for name in ["records.new", "records.new-wal", "records.new-shm"] {
        std::fs::write(folder.join(name), "half of").unwrap();
    }
    let served = Served::start(&folder, &[]);
    assert!(owner.recover(&served.address).ct_eq(&owner.key));
    assert!(served.end());
    // The recovery is newer than the copy, if it took until the next second.
    let (said, done) = run("restore", &folder, &["--replace-newer", "--from", copy.to_str().unwrap()]);
    assert!(done, "{said}");
    assert!(["records.new", "records.new-wal", "records.new-shm"].iter().all(|name| !folder.join(name).exists()));
    let served = Served::start(&folder, &[]);
    assert!(owner.recover(&served.address).ct_eq(&owner.key));
}

#[test]
fn a_copy_does_not_replace_newer_records_unless_that_is_meant() {
    let parent = tempfile::tempdir().unwrap();
    let (folder, copy) = (folder(&parent), parent.path().join("copy.db"));
    let owner = vault_with_record(&folder);
    assert!(run("backup", &folder, &["--to", copy.to_str().unwrap()]).1);
    let (said, done) = run("backup", &folder, &["--to", copy.to_str().unwrap()]);
    assert!(!done && said.contains("exists"), "{said}");
    let (vault, records) = VaultFolder::take(&folder).unwrap().open().unwrap();
    let guess = guess(owner.pair.as_ref().unwrap(), "not it");
    vault.answer(&records, ("/v1/guess", &guess), now() + 7, &mut rng()).unwrap();
    drop(records);
    let (said, done) = run("restore", &folder, &["--from", copy.to_str().unwrap()]);
    assert!(!done && said.contains("--replace-newer"), "{said}");
    let (said, done) = run("restore", &folder, &["--from", copy.to_str().unwrap(), "--replace-newer"]);
    assert!(done && said.contains("put 1 record back"), "{said}");
    let served = Served::start(&folder, &[]);
    assert_eq!(owner.history(&served.address).since(None).unwrap().left, 10);
}

#[test]
fn keys_and_records_that_are_gone_are_not_made_anew() {
    let parent = tempfile::tempdir().unwrap();
    let folder = folder(&parent);
    let (said, done) = run("doctor", &folder, &[]);
    assert!(!done && !folder.exists(), "{said}");
    vault_with_record(&folder);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        ["", "vault-keys", "records.db", "lock"].map(|name| mode(&folder.join(name))),
        [0o700, 0o600, 0o600, 0o600]
    );
    let (keys, kept) = (folder.join("vault-keys"), parent.path().join("kept"));
    std::fs::rename(&keys, &kept).unwrap();
    let (said, done) = run("serve", &folder, &["--listen", "127.0.0.1:0"]);
    assert!(!done && said.contains("vault-keys"), "{said}");
    std::fs::rename(&kept, &keys).unwrap();
    std::fs::remove_file(folder.join("records.db")).unwrap();
    let (said, done) = run("serve", &folder, &["--listen", "127.0.0.1:0"]);
    assert!(!done && said.contains("keys and no records"), "{said}");
}
