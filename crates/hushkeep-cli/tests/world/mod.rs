//! A world for whole runs of the program: chats, a repository, and devices that each have a home of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// A folder with chats, a repository and the homes of some devices.
pub(crate) struct World {
    folder: TempDir,
}

/// What a run of the program said.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl World {
    /// A world with one backup, made by the device `phone`, and its recovery key in `recovery-key`.
    pub(crate) fn with_backup() -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap() };
        world.write("chats/hello.txt", b"hello");
        // Random enough not to be compressed away: damage in the middle must hit it.
        let noise: Vec<u8> = (0..300_000_u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
        world.write("chats/video.mp4", &noise);
        world.run("phone", &["backup", "chats", "--init", "--recovery-key-file", "recovery-key"]).expect(0);
        world
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub(crate) fn write(&self, path: &str, contents: &[u8]) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), contents).unwrap();
    }

    /// Runs a command on a device, with the repository in `repo`.
    pub(crate) fn run(&self, device: &str, args: &[&str]) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hushkeep"));
        self.set(command.args(args), device);
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Run { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
    }

    /// Where a command runs, and what it finds there.
    pub(crate) fn set(&self, command: &mut Command, device: &str) {
        command.current_dir(self.folder.path()).env("HUSHKEEP_HOME", device).env("HUSHKEEP_REPO", "repo");
        for secret in ["HUSHKEEP_RECOVERY_KEY_FILE", "HUSHKEEP_PASSPHRASE_FILE", "HUSHKEEP_PASSWORD_FILE"] {
            command.env_remove(secret);
        }
    }
}

impl Run {
    /// Fails unless the run ended with this code; returns what was said, both outputs together.
    pub(crate) fn expect(self, code: i32) -> String {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        self.out + &self.err
    }

    pub(crate) fn objects(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Copies a folder with all that is in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}
