//! Runs of the program, and their ends.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// What a run of the program came to.
pub(crate) struct Run {
    what: String,
    /// `None` if it was killed.
    pub(crate) code: Option<i32>,
    out: String,
    err: String,
}

/// When a run is killed.
#[derive(Debug)]
pub(crate) enum Moment {
    /// So long after it was started.
    After(Duration),
    /// As soon as it has changed the names in its folders so many times, or a little later.
    Change(u32, Duration),
    /// The same, when a commit is published: all is done that others see, and nothing is told yet.
    Commit(Duration),
}

/// A run that has not ended, as far as is known.
pub(crate) struct Running {
    what: String,
    child: Child,
    begin: Instant,
    watched: Vec<PathBuf>,
    last: BTreeSet<OsString>,
}

/// Runs the program in a world to its end. Tells how long it took, too.
pub(crate) fn run(world: &Path, home: &str, args: &[String]) -> (Run, Duration) {
    let running = start(world, home, args, Vec::new());
    let begin = running.begin;
    let run = running.end();
    (run, begin.elapsed())
}

/// Starts the program. The names in the folders `watched` tell how far it has come.
pub(crate) fn start(world: &Path, home: &str, args: &[String], watched: Vec<PathBuf>) -> Running {
    let last = names(&watched);
    let mut command = Command::new(env!("CARGO_BIN_EXE_hushkeep"));
    command.current_dir(world).args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env("HUSHKEEP_HOME", home).env("HUSHKEEP_REPO", "repo").env("TMPDIR", world.join("tmp")).env("TZ", "UTC");
    for secret in ["HUSHKEEP_RECOVERY_KEY_FILE", "HUSHKEEP_PASSPHRASE_FILE"] {
        command.env_remove(secret);
    }
    let begin = Instant::now();
    Running { what: format!("{home}: {}", args.join(" ")), child: command.spawn().unwrap(), begin, watched, last }
}

impl Running {
    /// Waits until the moment has come, or the run has ended.
    pub(crate) fn wait_until(&mut self, moment: &Moment) {
        match moment {
            Moment::After(delay) => thread::sleep(delay.saturating_sub(self.begin.elapsed())),
            Moment::Change(count, delay) => self.wait_for_changes(*count, *delay),
            Moment::Commit(delay) => self.wait_for_changes(1, *delay),
        }
    }

    fn wait_for_changes(&mut self, count: u32, delay: Duration) {
        let mut left = count;
        while left > 0 && self.child.try_wait().unwrap().is_none() {
            let now = names(&self.watched);
            left -= u32::from(now != self.last);
            self.last = now;
        }
        thread::sleep(delay);
    }

    pub(crate) fn kill(mut self) -> Run {
        self.child.kill().unwrap();
        self.end()
    }

    fn end(self) -> Run {
        let output = self.child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (out, err) = (text(output.stdout), text(output.stderr));
        assert!(output.status.signal().is_none_or(|signal| signal == 9), "{}: {}", self.what, output.status);
        Run { what: self.what, code: output.status.code(), out, err }
    }
}

impl Run {
    /// Fails unless the run ended with this code.
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.what, self.said());
        self
    }

    /// Both outputs together.
    pub(crate) fn said(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    /// The objects of one type that it told.
    pub(crate) fn told(&self, kind: &str) -> Vec<Value> {
        let objects = self.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        objects.filter(|object| object["type"] == kind).collect()
    }
}

/// The paths of what lies in some folders.
fn names(folders: &[PathBuf]) -> BTreeSet<OsString> {
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
    entries.map(|entry| entry.path().into_os_string()).collect()
}
