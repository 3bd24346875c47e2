//! A world with chats, a repository and a device, in which commands are killed.

mod after;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fastrand::Rng;
use tempfile::TempDir;

use crate::chats::{Chats, Contents, files};
use crate::command::Command;
use crate::program::{Moment, Run, run, start};
use crate::secrets::Secrets;
use crate::summary::Summary;

/// How many commands are to be killed in one world.
const ROUNDS: u32 = 14;

/// Above this number of snapshots some are forgotten: each kill is followed by a restore of each.
const MOST_SNAPSHOTS: usize = 4;

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Commits are given back after 90 days; this device, whose clock does not move, would not take them to be so old.
const LONGEST_AGE: Duration = Duration::from_secs(40 * 24 * 60 * 60);

/// How long a command takes before that is known.
const FIRST_GUESS: Duration = Duration::from_millis(40);

pub(crate) struct World {
    seed: u64,
    random: Rng,
    folder: TempDir,
    chats: Chats,
    /// The device's home.
    home: String,
    /// The files with recovery keys, oldest first. The last may have come to nothing.
    keys: Vec<String>,
    /// Which of them opens the repository.
    key: String,
    secrets: Secrets,
    /// The snapshots that must be there, oldest first.
    kept: Vec<(String, Contents)>,
    /// How long commands take that are not killed.
    paces: BTreeMap<&'static str, Duration>,
    /// How far the repository's clock is ahead.
    age: Duration,
    names: u32,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let folder = tempfile::tempdir().unwrap();
        for made in ["tmp", "chats"] {
            fs::create_dir(folder.path().join(made)).unwrap();
        }
        fs::write(folder.path().join("passphrase"), "seven geese cross the frozen canal\n").unwrap();
        let chats = Chats::new(folder.path().join("chats"), random.fork());
        let secrets = Secrets::new(&chats.brand);
        let (home, keys, key) = ("home".to_owned(), Vec::new(), String::new());
        let (kept, paces, age, names) = (Vec::new(), BTreeMap::new(), Duration::ZERO, 0);
        Self { seed, random, folder, chats, home, keys, key, secrets, kept, paces, age, names }
    }

    /// Kills commands until there are as many kills in all as wanted.
    pub(crate) fn live(mut self, kills: u64, summary: &mut Summary) {
        self.round(Command::Init, summary);
        if self.seed % 4 == 3 {
            self.make_small_packs();
        }
        for _ in 1..ROUNDS {
            if summary.kills() >= kills {
                break;
            }
            let command = self.draw();
            self.round(command, summary);
        }
        self.check_that_all_is_given_back();
    }

    /// Kills a command, or lets the device go on with a copy that was made of its state meanwhile; looks at what
    /// is left behind, and runs it again.
    fn round(&mut self, command: Command, summary: &mut Summary) {
        let has_state = !matches!(command, Command::Init | Command::Recover { .. });
        let copies_state = has_state && self.random.u8(..5) == 0;
        let moment = self.draw_moment(command.name());
        // A round that fails is the last that is shown.
        let how = if copies_state { "state copied" } else { "killed" };
        println!("seed {}: {command:?}, {moment:?}, {how}", self.seed);
        let (key_before, commits_before) = (self.key.clone(), files(&self.path("repo/commits")));
        let run = self.kill(&command, &moment, copies_state);
        let was_killed = run.code.is_none();
        if !was_killed {
            run.expect(0);
        }
        self.find_keys();
        let took_effect = match &command {
            Command::Restore { id, target } => self.check_half_restored(id, target),
            Command::Recover { home } => self.remembers_key(home),
            _ => files(&self.path("repo/commits")) != commits_before,
        };
        summary.add(if copies_state { "copy of state" } else { command.name() }, was_killed, took_effect);
        summary.note_left([files(&self.path("repo/tmp")).len(), temporary_files(&self.path(&self.home)).count()]);
        // Before the first commit there may be no repository yet.
        if files(&self.path("repo/commits")).is_empty() {
            self.check_secrets();
        } else {
            summary.restores += self.check_snapshots(&command);
        }
        if copies_state {
            self.go_on_with_copy(&key_before);
        }
        self.run_again(&command, summary);
    }

    fn kill(&mut self, command: &Command, moment: &Moment, copies_state: bool) -> Run {
        let home = if let Command::Recover { home } = command { home.clone() } else { self.home.clone() };
        let new_key = format!("key-{}", self.keys.len());
        let mut watched = vec![self.path("repo/commits")];
        if matches!(moment, Moment::Change(..)) {
            watched
                .extend(["repo/tmp", "repo/packs", "repo/index", "repo/config", "."].map(|folder| self.path(folder)));
            watched.extend(state_folders(&self.path(&home)));
        }
        if let Command::Restore { target, .. } = command {
            watched.extend(["chats", "chats/Media"].map(|folder| self.path(target).join(folder)));
        }
        let mut running = start(self.folder.path(), &home, &command.args(&self.key, &new_key), watched);
        running.wait_until(moment);
        if copies_state {
            copy(&self.path(&home), &self.path("copy"));
            let rest = self.pace(command.name()).mul_f64(self.random.f64());
            running.wait_until(&Moment::After(rest));
        }
        running.kill()
    }

    fn pace(&self, command: &str) -> Duration {
        self.paces.get(command).copied().unwrap_or(FIRST_GUESS)
    }

    /// Early, anywhere, or just when something has changed.
    fn draw_moment(&mut self, command: &str) -> Moment {
        let pace = self.pace(command);
        match self.random.u8(..8) {
            0 => Moment::After(pace.mul_f64(0.2 * self.random.f64())),
            1..4 => Moment::After(pace.mul_f64(1.2 * self.random.f64())),
            4..6 => Moment::Change(self.random.u32(1..12), Duration::from_micros(self.random.u64(..400))),
            _ => Moment::Commit(Duration::from_micros(self.random.u64(..1000))),
        }
    }

    /// Draws a command, and prepares the world for it.
    fn draw(&mut self) -> Command {
        if self.kept.len() > MOST_SNAPSHOTS {
            return Command::ForgetByPolicy { keep: self.random.usize(2..4), prune: self.random.bool() };
        }
        match self.random.u8(..20) {
            0..5 => {
                self.chats.change();
                Command::Backup
            }
            5 | 6 if self.kept.len() > 2 => {
                let first = self.random.usize(..self.kept.len() - 1);
                Command::Forget { ids: self.kept[first..].iter().take(2).map(|(id, _)| id.clone()).collect() }
            }
            7..9 if self.kept.len() > 2 => {
                self.grow_older();
                let keep = self.random.usize(1..self.kept.len());
                Command::ForgetByPolicy { keep, prune: self.random.u8(..3) > 0 }
            }
            9..12 => {
                self.grow_older();
                Command::Prune { max_unused: if self.random.bool() { "5%" } else { "0%" } }
            }
            12 | 13 => Command::Rotate { keep_passphrase: !self.passphrases().is_empty() && self.random.u8(..4) > 0 },
            14 => Command::AddPassphrase,
            15 => match self.passphrases().pop() {
                Some(id) => Command::RemovePassphrase { id },
                None => Command::AddPassphrase,
            },
            16 | 17 => Command::Recover { home: self.name("home") },
            _ => {
                let (id, _) = &self.kept[self.random.usize(..self.kept.len())];
                Command::Restore { id: id.clone(), target: self.name("restored") }
            }
        }
    }

    /// A name that is new in this world.
    fn name(&mut self, kind: &str) -> String {
        self.names += 1;
        format!("{kind}-{}", self.names)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Runs a command on the device to its end.
    fn run(&self, args: &str) -> Run {
        self.run_at(&self.home, args)
    }

    fn run_at(&self, home: &str, args: &str) -> Run {
        let args: Vec<String> = args.split_whitespace().map(str::to_owned).collect();
        run(self.folder.path(), home, &args).0
    }

    fn passphrases(&self) -> Vec<String> {
        let listed = self.run("key list --json").expect(0).told("protector");
        let listed = listed.iter().filter(|protector| protector["kind"] == "passphrase");
        listed.map(|protector| protector["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Many small backups of which everything is still needed: pruning puts their packs together.
    fn make_small_packs(&mut self) {
        for _ in 0..16 {
            self.chats.add_note();
            self.run("backup chats -q").expect(0);
        }
        self.run("forget --keep-last 1 --group-by= -q").expect(0);
        let listed = self.run("snapshots --json").expect(0).told("snapshot");
        self.kept = vec![(listed[0]["id"].as_str().unwrap().to_owned(), self.chats.contents())];
    }

    /// Lets some days pass for the repository, within limits.
    fn grow_older(&mut self) {
        let step = DAY + HOUR * self.random.u32(1..160);
        if self.age + step <= LONGEST_AGE {
            self.let_pass(step);
        }
    }

    /// Lets time pass for the repository, whose clock are the times of its files, and for what killed runs left.
    fn let_pass(&mut self, step: Duration) {
        self.age += step;
        for path in files(&self.path("repo")).into_iter().chain(temporary_files(&self.path(&self.home))) {
            let file = fs::File::open(&path).unwrap();
            file.set_modified(file.metadata().unwrap().modified().unwrap() - step).unwrap();
        }
    }
}

/// The folders in which a device keeps its state of each repository.
fn state_folders(home: &Path) -> Vec<PathBuf> {
    fs::read_dir(home.join("state")).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}

/// What a device was about to write to its state.
fn temporary_files(home: &Path) -> impl Iterator<Item = PathBuf> {
    files(&home.join("state")).into_iter().filter(|path| is_temporary(path))
}

fn is_temporary(path: &Path) -> bool {
    path.file_name().unwrap().to_str().unwrap().starts_with(".hushkeep-")
}

/// Copies a folder while somebody writes there: files may go, and are whole else.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
            continue;
        }
        match fs::copy(entry.path(), to) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            copied => assert!(copied.is_ok(), "{copied:?}"),
        }
    }
}
