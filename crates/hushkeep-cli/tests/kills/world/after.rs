//! What must hold after a kill, and when the command was run again.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use super::{DAY, HOUR, World, is_temporary, state_folders, temporary_files};
use crate::chats::{Contents, contents, files};
use crate::command::Command;
use crate::program::{Run, run};
use crate::secrets::check_modes;
use crate::summary::Summary;

impl World {
    /// Finds the recovery keys that were written to files, and learns all keys there are.
    pub(super) fn find_keys(&mut self) {
        let newest = format!("key-{}", self.keys.len());
        if self.path(&newest).exists() {
            self.keys.push(newest);
        }
        let folders = state_folders(&self.path(&self.home));
        let on_device = folders.iter().flat_map(|folder| ["key", "key.next"].map(|name| folder.join(name)));
        let all: Vec<_> = self.keys.iter().map(|key| self.path(key)).chain(on_device).collect();
        all.iter().for_each(|file| self.secrets.add_keys(file));
    }

    /// A device that has nothing but a recovery key gets back every snapshot there must be, and finds no damage.
    /// Returns how many snapshots there are.
    pub(super) fn check_snapshots(&mut self, killed: &Command) -> u64 {
        let fresh = self.fresh_device();
        let listed = snapshot_ids(self.run_at(&fresh, "snapshots --json"));
        self.settle(killed, &listed);
        for (id, original) in &self.kept {
            self.run_at(&fresh, &format!("restore {id} -t checked -q")).expect(0);
            assert!(contents(&self.path("checked/chats")) == *original, "snapshot {id} differs");
            fs::remove_dir_all(self.path("checked")).unwrap();
        }
        self.run_at(&fresh, "check --read-data -q").expect(0);
        self.check_secrets();
        fs::remove_dir_all(self.path(&fresh)).unwrap();
        self.kept.len() as u64
    }

    /// Makes a device that has nothing but a recovery key, and notes which one opens the repository.
    fn fresh_device(&mut self) -> String {
        let fresh = self.name("fresh");
        self.key = self.keys.iter().rev().find(|key| self.opens(&fresh, key)).expect("a recovery key opens").clone();
        fresh
    }

    /// Whether a recovery key opens the repository. One that was replaced, or came to nothing, is refused.
    fn opens(&self, fresh: &str, key: &str) -> bool {
        let run = self.run_at(fresh, &format!("recover --recovery-key-file {key} --json"));
        run.code != Some(12) && run.expect(0).code.is_some()
    }

    /// Compares the snapshots that are there with those that must be: of what was killed, all was done or nothing.
    fn settle(&mut self, killed: &Command, listed: &[String]) {
        let known: BTreeSet<&str> = self.kept.iter().map(|(id, _)| id.as_str()).collect();
        let new: Vec<&String> = listed.iter().filter(|id| !known.contains(id.as_str())).collect();
        assert!(new.len() <= usize::from(killed.backs_up()), "{new:?}");
        let new: Vec<_> = new.into_iter().map(|id| (id.clone(), self.chats.contents())).collect();
        let missing: BTreeSet<String> =
            known.into_iter().map(str::to_owned).filter(|id| !listed.contains(id)).collect();
        assert!(missing.is_empty() || missing == self.forgotten_by(killed), "{missing:?}");
        self.kept.retain(|(id, _)| !missing.contains(id));
        self.kept.extend(new);
    }

    fn forgotten_by(&self, command: &Command) -> BTreeSet<String> {
        command.forgets(self.kept.iter().map(|(id, _)| id.as_str()))
    }

    /// No file under its own name is half restored. Returns whether all are there.
    pub(super) fn check_half_restored(&self, id: &str, target: &str) -> bool {
        let (restored, original) = (self.restored(target), self.original(id));
        let is_whole = |(path, file)| original.get(path) == Some(file);
        assert!(restored.iter().all(is_whole), "a file in {target} is not whole");
        restored.len() == original.len()
    }

    /// What was restored, without what never got its name.
    fn restored(&self, target: &str) -> Contents {
        contents(&self.path(target).join("chats")).into_iter().filter(|(path, _)| !is_temporary(path)).collect()
    }

    fn original(&self, id: &str) -> &Contents {
        let (_, original) = self.kept.iter().find(|(kept, _)| kept == id).unwrap();
        original
    }

    pub(super) fn remembers_key(&self, home: &str) -> bool {
        state_folders(&self.path(home)).iter().any(|folder| folder.join("key").exists())
    }

    /// Nothing of the chats or the keys is where it does not belong, and nobody else may read what devices remember.
    pub(super) fn check_secrets(&self) {
        let first = |path: &Path| path.iter().next().unwrap().to_str().unwrap().to_owned();
        let holds_chats = |path: &Path| first(path) == "chats" || first(path).starts_with("restored-");
        let holds_key = |path: &Path| {
            let is_named = self.keys.iter().any(|key| Path::new(key) == path);
            let in_state = path.iter().count() == 4 && path.iter().nth(1).is_some_and(|folder| folder == "state");
            let is_key = path.ends_with("key") || path.ends_with("key.next") || is_temporary(path);
            is_named || in_state && is_key
        };
        self.secrets.check(self.folder.path(), holds_chats, holds_key);
        for home in fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path()) {
            if home.join("state").exists() {
                check_modes(&home);
            }
        }
    }

    /// The device is put back to the copy of its state. All it may miss is that the key was replaced since.
    pub(super) fn go_on_with_copy(&mut self, key_before: &str) {
        fs::remove_dir_all(self.path(&self.home)).unwrap();
        fs::rename(self.path("copy"), self.path(&self.home)).unwrap();
        let run = self.run("snapshots");
        if run.code == Some(12) && self.key != key_before {
            let said = run.said();
            assert!(said.contains("replaced on another device") && said.contains("recover"), "{said}");
            self.run(&format!("recover --recovery-key-file {}", self.key)).expect(0);
        } else {
            run.expect(0);
        }
    }

    /// Runs a command again that was killed, to its end: then everything is as if it had never been killed.
    pub(super) fn run_again(&mut self, command: &Command, summary: &mut Summary) {
        let home = if let Command::Recover { home } = command { home } else { &self.home };
        // A file with a recovery key is never replaced.
        let new_key = format!("key-{}", self.keys.len());
        let has_nothing_left = match command {
            Command::Forget { ids } => self.kept.iter().all(|(id, _)| !ids.contains(id)),
            Command::RemovePassphrase { id } => !self.passphrases().contains(id),
            _ => false,
        };
        let (run, took) = run(self.folder.path(), home, &command.args(&self.key, &new_key));
        if has_nothing_left {
            let said = run.said();
            assert!(said.contains("there is no snapshot") || said.contains("no protector has the id"), "{said}");
        } else {
            self.find_keys();
            let run = run.expect(0);
            summary.note_pruned(&run);
            self.check_done(command, run);
            self.paces.insert(command.name(), took);
        }
        let listed = snapshot_ids(self.run("snapshots --json"));
        assert!(listed.iter().eq(self.kept.iter().map(|(id, _)| id)), "{listed:?}");
    }

    /// What a command that ended well should have done, it has done.
    fn check_done(&mut self, command: &Command, run: Run) {
        match command {
            Command::Init | Command::Backup => {
                let id = run.told("summary")[0]["snapshot"].as_str().unwrap().to_owned();
                self.kept.push((id, self.chats.contents()));
                self.check_leftovers();
                self.fresh_device();
            }
            Command::Forget { .. } | Command::ForgetByPolicy { .. } => {
                let forgotten = self.forgotten_by(command);
                self.kept.retain(|(id, _)| !forgotten.contains(id));
            }
            Command::Prune { max_unused } => {
                // How old stray packs are only shows by the time of what was just stored.
                self.run(&format!("prune --max-unused {max_unused}")).expect(0);
                let told = self.run(&format!("prune -n --max-unused {max_unused} --json")).expect(0).told("summary");
                assert!(told[0]["marked"]["packs"] == 0 && told[0]["dropped"]["packs"] == 0, "{told:?}");
            }
            Command::Rotate { keep_passphrase } => self.check_rotated(*keep_passphrase),
            Command::AddPassphrase => {
                self.run("key verify --passphrase-file passphrase").expect(0);
            }
            Command::RemovePassphrase { id } => assert!(!self.passphrases().contains(id)),
            Command::Restore { id, target } => {
                assert!(self.restored(target) == *self.original(id), "{target} differs");
                fs::remove_dir_all(self.path(target)).unwrap();
            }
            Command::Recover { home } => {
                let gone =
                    if self.random.bool() { std::mem::replace(&mut self.home, home.clone()) } else { home.clone() };
                fs::remove_dir_all(self.path(&gone)).unwrap();
            }
        }
    }

    fn check_rotated(&mut self, keep_passphrase: bool) {
        let newest = self.keys.last().unwrap().clone();
        let old = std::mem::replace(&mut self.key, newest);
        self.run(&format!("key verify --recovery-key-file {}", self.key)).expect(0);
        self.run(&format!("key verify --recovery-key-file {old}")).expect(12);
        self.run("key verify --passphrase-file passphrase").expect(if keep_passphrase { 0 } else { 12 });
        self.check_leftovers();
    }

    /// What killed runs left for longer than a run takes is gone, wherever something was written since. Where a repository
    /// was never made, a key to nothing may stay on the device.
    fn check_leftovers(&self) {
        let age = |path: &Path| SystemTime::now().duration_since(path.metadata().unwrap().modified().unwrap());
        let is_old = |path: &Path, limit| age(path).is_ok_and(|age| age > limit);
        assert!(!files(&self.path("repo/tmp")).iter().any(|path| is_old(path, DAY)));
        let is_in_use = |path: &Path| path.with_file_name("tips").exists();
        assert!(!temporary_files(&self.path(&self.home)).any(|path| is_in_use(&path) && is_old(&path, HOUR)));
    }

    /// When nothing is killed any more, nothing stays that no snapshot needs.
    pub(super) fn check_that_all_is_given_back(mut self) {
        // What was begun and never named stays for 30 days.
        for days in [31, 8, 8] {
            self.let_pass(days * DAY);
            // The repository's clock stands at the newest object.
            self.run("backup chats -q").expect(0);
            self.run("prune --max-unused 0%").expect(0);
        }
        let told = self.run("check --json").expect(0).told("summary");
        assert!(told[0]["unreferenced"] == 0, "{told:?} {:?}", files(&self.path("repo")));
        assert_eq!(files(&self.path("repo/tmp")), Vec::<std::path::PathBuf>::new());
        self.check_secrets();
    }
}

fn snapshot_ids(run: Run) -> Vec<String> {
    let listed = run.expect(0).told("snapshot");
    listed.iter().map(|snapshot| snapshot["id"].as_str().unwrap().to_owned()).collect()
}
