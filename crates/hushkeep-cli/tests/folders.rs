//! Real folders and real kills: what is in a folder comes back as it was, whatever happens on the way.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "a test may fail")]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

/// A folder for one test: a repository, and as many devices as wanted.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The program on one device, working on the repository `repo`.
    fn command(&self, device: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hushkeep"));
        command.args(arguments).current_dir(self.0.path()).stdin(Stdio::null());
        command.env("HUSHKEEP_HOME", self.path(device)).env("HUSHKEEP_REPO", "repo").env("TZ", "UTC");
        command
    }

    fn run(&self, device: &str, arguments: &[&str]) -> Output {
        self.command(device, arguments).output().unwrap()
    }

    /// Runs a command that must end with this code; returns standard output.
    fn ends(&self, code: i32, device: &str, arguments: &[&str]) -> String {
        let output = self.run(device, arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs a command that must end with this code; returns what it says of the error.
    fn fails(&self, code: i32, device: &str, arguments: &[&str]) -> String {
        let output = self.run(device, arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("  next: "), "{arguments:?} gives no advice: {said}");
        said
    }

    /// Backs up a folder for the first time, with the recovery key in `key`.
    fn first_backup(&self, folder: &Path) {
        self.ends(0, "phone", &["backup", text(folder), "--init", "--recovery-key-file", "key"]);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/whatsapp")
}

/// Every file below a folder, with its contents and the time it was last changed.
fn contents(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = fs::symlink_metadata(&path).unwrap();
        if kind.is_dir() {
            found.extend(contents(&path));
        } else {
            let bytes = if kind.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
            found.insert(path, (bytes, kind.modified().unwrap()));
        }
    }
    found
}

fn relative(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    contents(folder).into_iter().map(|(path, rest)| (path.strip_prefix(folder).unwrap().to_owned(), rest)).collect()
}

#[test]
fn a_lost_phone_is_a_matter_of_one_key() {
    let desk = Desk::new();
    let before = contents(&example());
    let said = desk.ends(0, "phone", &["backup", text(&example()), "--init", "--recovery-key-file", "key"]);
    assert!(said.contains("what the storage sees") && said.contains("check --read-data"), "{said}");
    let said = desk.ends(0, "phone", &["backup", text(&example()), "--init"]);
    assert!(said.contains("0 new, 0 changed") && said.contains("in 1 object"), "{said}");

    desk.fails(12, "new phone", &["snapshots"]);
    let said = desk.ends(0, "new phone", &["recover", "--recovery-key-file", "key"]);
    assert!(said.contains("number 2"), "{said}");
    desk.ends(0, "new phone", &["restore", "-t", "restored"]);
    assert_eq!(relative(&desk.path("restored/whatsapp")), relative(&example()));
    desk.ends(0, "new phone", &["check", "--read-data"]);
    assert_eq!(contents(&example()), before, "the source was touched");
}

#[cfg(unix)]
#[test]
fn whatever_lies_in_a_folder_is_kept_or_named() {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::PermissionsExt;

    let desk = Desk::new();
    let folder = desk.path("odd");
    fs::create_dir_all(folder.join("empty")).unwrap();
    fs::write(folder.join(OsStr::from_bytes(b"line\nbreak \xff")), "odd name").unwrap();
    fs::write(folder.join("x".repeat(255)), "long name").unwrap();
    fs::write(folder.join("secret"), "mode").unwrap();
    fs::set_permissions(folder.join("secret"), fs::Permissions::from_mode(0o400)).unwrap();
    fs::hard_link(folder.join("secret"), folder.join("secret again")).unwrap();
    std::os::unix::fs::symlink("/nowhere", folder.join("dangling")).unwrap();
    let sparse = fs::File::create(folder.join("sparse")).unwrap();
    sparse.set_len(5 << 20).unwrap();
    assert!(Command::new("mkfifo").arg(folder.join("pipe")).status().unwrap().success());

    let output = desk.run("phone", &["backup", text(&folder), "--init", "--recovery-key-file", "key"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stderr).unwrap().contains("odd/pipe"));
    desk.ends(0, "phone", &["restore", "-t", "restored"]);
    fs::remove_file(folder.join("pipe")).unwrap();
    assert_eq!(relative(&desk.path("restored/odd")), relative(&folder));
    let restored = fs::metadata(desk.path("restored/odd/secret")).unwrap();
    assert_eq!(restored.permissions().mode() & 0o777, 0o400);
    assert!(desk.path("restored/odd/empty").is_dir());
}

#[cfg(unix)]
#[test]
fn a_killed_backup_is_resumed_and_a_killed_restore_leaves_no_half_file() {
    let desk = Desk::new();
    let folder = desk.path("media");
    fs::create_dir(&folder).unwrap();
    let mut seed = 1u64;
    for number in 0..24 {
        let mut bytes = Vec::with_capacity(3_000_000);
        while bytes.len() < 3_000_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            bytes.extend_from_slice(&seed.to_le_bytes());
        }
        fs::write(folder.join(format!("{number:02}.mp4")), bytes).unwrap();
    }
    for pause in [60, 150, 400] {
        let mut child = desk
            .command("phone", &["backup", text(&folder), "--init", "--recovery-key-file", "key", "-q"])
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(pause));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    desk.ends(0, "phone", &["backup", text(&folder), "--init"]);
    desk.ends(0, "phone", &["check", "--read-data"]);

    let mut child = desk.command("phone", &["restore", "-t", "out", "-q"]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(150));
    child.kill().unwrap();
    child.wait().unwrap();
    let own = relative(&folder);
    if desk.path("out/media").exists() {
        for (path, (bytes, _)) in relative(&desk.path("out/media")) {
            let hidden = path.to_str().unwrap().starts_with(".hushkeep-");
            assert!(hidden || own.get(&path).is_some_and(|(original, _)| *original == bytes), "{}", path.display());
        }
    }
    desk.ends(0, "phone", &["restore", "-t", "again"]);
    assert_eq!(relative(&desk.path("again/media")), own);
}

#[test]
fn restore_replaces_as_it_is_told() {
    let desk = Desk::new();
    let folder = desk.path("notes");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("a.txt"), "first").unwrap();
    fs::write(folder.join("b.txt"), "second").unwrap();
    desk.first_backup(&folder);
    desk.ends(0, "phone", &["restore", "-t", "out"]);
    let place = desk.path("out/notes/a.txt");
    fs::write(&place, "changed here").unwrap();
    desk.ends(0, "phone", &["restore", "-t", "out", "--overwrite", "never"]);
    assert_eq!(fs::read_to_string(&place).unwrap(), "changed here");
    let said = desk.ends(0, "phone", &["restore", "-t", "out", "--overwrite", "if-changed"]);
    assert!(said.contains("1 file left as they were"), "{said}");
    assert_eq!(fs::read_to_string(&place).unwrap(), "first");
    fs::write(&place, "changed again").unwrap();
    desk.ends(0, "phone", &["restore", "-t", "out", "--include", "b.txt"]);
    assert_eq!(fs::read_to_string(&place).unwrap(), "changed again");
    desk.ends(0, "phone", &["restore", "-t", "out"]);
    assert_eq!(fs::read_to_string(&place).unwrap(), "first");
}

/// A real WhatsApp folder, if there is one on this machine.
#[test]
fn real_samples_come_back() {
    let Some(samples) = std::env::var_os("HUSHKEEP_SAMPLES").map(PathBuf::from) else {
        eprintln!("skipped: HUSHKEEP_SAMPLES names no folder with real chat files");
        return;
    };
    let desk = Desk::new();
    let before = contents(&samples);
    desk.first_backup(&samples);
    desk.ends(0, "phone", &["restore", "-t", "out"]);
    let name = samples.file_name().unwrap();
    let (restored, original) = (relative(&desk.path("out").join(name)), relative(&samples));
    assert!(restored.keys().eq(original.keys()));
    assert!(restored == original, "a file differs");
    assert_eq!(contents(&samples).len(), before.len());
}
