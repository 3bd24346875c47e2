//! What others can learn who use the same machine, read the logs, or send the owner files with names of their choice.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

const PASSPHRASE: &str = "seven geese cross the frozen canal";

/// A folder with chats, a repository in `repo`, homes of devices, and a folder for temporary files.
struct World(TempDir);

impl World {
    fn new() -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        for folder in ["chats", "temporary"] {
            fs::create_dir(world.path(folder)).unwrap();
        }
        fs::write(world.path("passphrase"), PASSPHRASE).unwrap();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The program on one device, for a user whose umask takes nothing away.
    fn command(&self, device: &str, args: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", r#"umask 000; exec "$@""#, "sh", env!("CARGO_BIN_EXE_hushkeep")]).args(args);
        command.current_dir(self.0.path()).env("HUSHKEEP_HOME", self.path(device)).env("HUSHKEEP_REPO", "repo");
        command.env("TMPDIR", self.path("temporary")).env("TZ", "UTC").stdin(Stdio::null());
        command
    }

    /// Runs a command; returns its exit code and all that it said.
    fn run(&self, device: &str, args: &[impl AsRef<OsStr>]) -> (i32, Vec<u8>) {
        let output = self.command(device, args).output().unwrap();
        (output.status.code().unwrap(), [output.stdout, output.stderr].concat())
    }

    fn ends(&self, code: i32, device: &str, args: &[&str]) -> String {
        let (ended, said) = self.run(device, args);
        let said = String::from_utf8(said).unwrap();
        assert_eq!(ended, code, "{args:?}: {said}");
        said
    }

    /// The digits of the recovery key in the file `key`, in groups.
    fn groups(&self) -> Vec<String> {
        fs::read_to_string(self.path("key")).unwrap().split_whitespace().map(str::to_owned).collect()
    }
}

/// Everything at and below a path.
fn below(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![path.to_owned()];
    if path.is_dir() {
        let inside = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        found.extend(inside.flat_map(|path| below(&path)));
    }
    found
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn what_is_written_is_for_its_owner_alone_whatever_the_umask() {
    let world = World::new();
    fs::write(world.path("chats/hello.txt"), "hello").unwrap();
    world.ends(0, "phone", &["backup", "chats", "--init", "--recovery-key-file", "key"]);
    world.ends(0, "phone", &["backup", "chats"]);
    world.ends(0, "phone", &["check", "--read-data"]);
    world.ends(0, "phone", &["key", "add", "passphrase", "--new-passphrase-file", "passphrase"]);
    world.ends(0, "laptop", &["recover", "--passphrase-file", "passphrase"]);
    world.ends(0, "laptop", &["restore", "-t", "restored/here"]);
    world.ends(0, "laptop", &["restore", "-t", "nowhere", "-n"]);

    let mut seen = 0;
    let written = ["phone", "laptop", "repo", "key"].into_iter().flat_map(|name| below(&world.path(name)));
    for path in written.chain(["restored", "restored/here"].map(|name| world.path(name))) {
        let found = fs::metadata(&path).unwrap();
        let expected = if found.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(found.mode() & 0o7777, expected, "{}", path.display());
        seen += 1;
    }
    assert!(seen > 30, "{seen}");
    assert_eq!(below(&world.path("temporary")).len(), 1, "nothing is left among temporary files");
}

#[test]
fn what_a_device_keeps_tells_nothing_of_the_files() {
    let world = World::new();
    let markers = ["marker of a message", "marker of a name", "marker of a link", "marker of a folder"];
    let folder = world.path("chats").join(markers[3]);
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join(markers[1]), markers[0].repeat(500)).unwrap();
    symlink(markers[2], folder.join("link")).unwrap();
    world.ends(0, "phone", &["backup", "chats", "--init", "--recovery-key-file", "key"]);
    fs::write(folder.join("short"), markers[0]).unwrap();
    world.ends(0, "phone", &["backup", "chats"]);
    world.ends(0, "phone", &["restore", "-t", "restored"]);

    let (groups, source) = (world.groups(), world.path("chats"));
    let digits: String = groups[..16].concat();
    let key: Vec<u8> = (0..32).map(|at| u8::from_str_radix(&digits[2 * at..][..2], 16).unwrap()).collect();
    let mut with_key = 0;
    for path in ["phone", "repo"].into_iter().flat_map(|name| below(&world.path(name))) {
        let name = path.strip_prefix(world.0.path()).unwrap().to_str().unwrap();
        let bytes = if path.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        for marker in markers.iter().copied().chain([source.to_str().unwrap()]) {
            assert!(!name.contains(marker) && !holds(&bytes, marker.as_bytes()), "{name} shows {marker:?}");
        }
        if path.file_name() == Some(OsStr::new("key")) {
            with_key += 1;
        } else {
            assert!(!holds(&bytes, groups[3..5].join(" ").as_bytes()) && !holds(&bytes, &key), "{name} shows the key");
        }
    }
    assert_eq!(with_key, 1);
}

#[test]
fn keys_are_shown_only_to_who_asks() {
    let world = World::new();
    fs::write(world.path("chats/hello.txt"), "hello").unwrap();
    let mut said = vec![world.ends(0, "phone", &["backup", "chats", "--init", "--recovery-key-file", "key", "-v"])];
    said.push(world.ends(0, "phone", &["key", "add", "passphrase", "--new-passphrase-file", "passphrase"]));
    said.push(world.ends(0, "laptop", &["recover", "--recovery-key-file", "key"]));
    let (groups, wrong) = (world.groups(), world.path("wrong"));
    fs::write(&wrong, format!("0000 1111 {}", groups[2..].join(" "))).unwrap();
    fs::write(world.path("cut"), groups[..17].join(" ")).unwrap();
    for file in ["wrong", "cut", "passphrase"] {
        said.push(world.ends(12, "tablet", &["snapshots", "--recovery-key-file", file]));
    }
    let commands: [&[&str]; 11] = [
        &["backup", "chats"],
        &["restore", "-t", "restored"],
        &["snapshots"],
        &["ls"],
        &["diff", "1", "latest"],
        &["check", "--read-data"],
        &["stats"],
        &["key", "list"],
        &["key", "verify", "--recovery-key-file", "key"],
        &["key", "verify", "--passphrase-file", "passphrase"],
        &["recover", "--passphrase-file", "passphrase"],
    ];
    for command in commands {
        said.push(world.ends(0, "phone", command));
        said.push(world.ends(0, "phone", &[command, &["--json"]].concat()));
    }
    let shows =
        |said: &str| groups.windows(3).any(|three| said.contains(&three.join(" ")) || said.contains(&three.concat()));
    for said in &said {
        assert!(!shows(said) && !said.contains(PASSPHRASE), "{said}");
    }
    assert!(shows(&world.ends(0, "phone", &["key", "show"])));
}

#[test]
fn names_that_others_chose_never_reach_the_terminal_as_they_are() {
    let world = World::new();
    let file = |name: &[u8]| world.path("chats").join(OsStr::from_bytes(name));
    for name in [b"\x1b]0;owned\x07.jpg".as_slice(), "photo\u{202e}gpj.exe".as_bytes(), b"\x9b2J\xff", b"a\rb\nc"] {
        fs::write(file(name), "contents that can be damaged").unwrap();
    }
    fs::create_dir(file(b"folder\x1b[2J")).unwrap();
    symlink("\x1b[2Jtarget", file(b"link\x1b[2J")).unwrap();
    assert!(Command::new("mkfifo").arg(file(b"pipe\x1b[2J")).status().unwrap().success());
    let missing = "missing\x1b[2J";
    let commands: [(i32, &[&str]); 14] = [
        (3, &["backup", "chats", missing, "--init", "--recovery-key-file", "key", "-v"]),
        (3, &["backup", "chats", missing, "--json"]),
        (1, &["backup", missing]),
        (0, &["snapshots", "--json"]),
        (0, &["ls"]),
        (0, &["ls", "--long"]),
        (0, &["ls", "--long", "--json"]),
        (1, &["ls", "latest", missing]),
        (2, &["ls", "latest", "a//\x1b[2J"]),
        (1, &["ls", missing]),
        (1, &["dump", "latest", missing]),
        (0, &["diff", "1", "2"]),
        (0, &["restore", "-t", "restored", "-v"]),
        (0, &["restore", "-t", "restored", "-v", "--json"]),
    ];
    for (code, args) in commands {
        assert_clean(world.run("phone", args), code, args);
    }
    // The same names in what is told of damage.
    for pack in fs::read_dir(world.path("repo/packs")).unwrap().map(|entry| entry.unwrap().path()) {
        let mut bytes = fs::read(&pack).unwrap();
        bytes[70] ^= 1;
        fs::write(&pack, bytes).unwrap();
    }
    for args in [&["restore", "-t", "again", "--best-effort"][..], &["check", "--read-data"]] {
        assert_clean(world.run("phone", args), 14, args);
    }
}

fn assert_clean((ended, said): (i32, Vec<u8>), code: i32, args: &[&str]) {
    let text = String::from_utf8_lossy(&said).into_owned();
    assert_eq!(ended, code, "{args:?}: {text}");
    let is_clean = |char: char| !(char.is_control() && char != '\n') && char != '\u{202e}';
    assert!(std::str::from_utf8(&said).is_ok() && text.chars().all(is_clean), "{args:?}: {text:?}");
}
