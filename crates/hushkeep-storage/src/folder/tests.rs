use std::fs::FileTimes;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

use super::*;

fn name(text: &str) -> ObjectName {
    text.parse().unwrap()
}

/// A storage in a folder that is removed with it.
struct Temporary {
    storage: FolderStorage,
    root: TempDir,
}

impl Temporary {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        Self { storage: FolderStorage::create(root.path()).unwrap(), root }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.root.path().join(below)
    }

    /// Everything in the folder, without the folders a repository always has.
    fn files(&self) -> Vec<String> {
        let folders = Folder::ALL.map(Folder::name).into_iter().chain([TMP]);
        let entries = folders.flat_map(|folder| fs::read_dir(self.path(folder)).unwrap().map(move |e| (folder, e)));
        let mut files: Vec<_> =
            entries.map(|(folder, e)| format!("{folder}/{}", e.unwrap().file_name().display())).collect();
        files.sort();
        files
    }
}

impl Storage for Temporary {
    fn features(&self) -> Features {
        self.storage.features()
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StorageError> {
        self.storage.put(name, bytes)
    }

    fn get(&self, name: &ObjectName) -> Result<Vec<u8>, StorageError> {
        self.storage.get(name)
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        self.storage.get_range(name, range)
    }

    fn list(&self, folder: Folder) -> Result<Vec<ObjectInfo>, StorageError> {
        self.storage.list(folder)
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StorageError> {
        self.storage.delete(name)
    }
}

#[test]
fn keeps_the_contract() {
    // The file system of the tests can: else the probe is wrong, and the suite would check less.
    assert_eq!(Temporary::new().features(), Features { create_if_absent: true });
    testkit::storage::conformance(|| Box::new(Temporary::new()));
}

#[test]
fn keeps_the_contract_where_the_file_system_can_only_replace() {
    testkit::storage::conformance(|| {
        let temporary = Temporary::new();
        temporary.storage.exclusive.set(false).unwrap();
        Box::new(temporary)
    });
}

#[test]
fn objects_lie_where_the_specification_says_and_nothing_else_is_left() {
    let folder = Temporary::new();
    let names = ["commits/1", "config/1-ab", "index/i0", "packs/00ff"];
    for text in names {
        folder.put(&name(text), text.as_bytes()).unwrap();
    }
    folder.put(&name("packs/00ff"), b"again").unwrap_err();
    assert_eq!(folder.files(), names);
    assert_eq!(fs::read(folder.path("packs/00ff")).unwrap(), b"packs/00ff");
    assert_eq!(fs::read_dir(folder.root.path()).unwrap().count(), 5);
}

#[test]
fn objects_are_there_when_the_folder_is_opened_again() {
    let folder = Temporary::new();
    let before = SystemTime::now() - Duration::from_secs(5);
    folder.put(&name("packs/a"), b"abc").unwrap();
    let opened = FolderStorage::open(folder.root.path()).unwrap();
    assert_eq!(opened.get(&name("packs/a")).unwrap(), b"abc");
    let listing = opened.list(Folder::Packs).unwrap();
    assert!(listing[0].stored > timestamp(before) && listing[0].stored < timestamp(before + Duration::from_secs(60)));
}

/// A file of a few sectors can say that it is as long as it likes.
#[test]
fn the_length_that_a_file_claims_is_never_believed() {
    let folder = Temporary::new();
    for (text, longest) in [("commits/1", 1 << 30), ("index/a", 1 << 30), ("packs/a", (1 << 38) - 1)] {
        folder.put(&name(text), b"object").unwrap();
        File::options().write(true).open(folder.path(text)).unwrap().set_len(longest + 1).unwrap();
        assert_eq!(folder.get(&name(text)).unwrap_err().kind, StorageErrorKind::TooLong, "{text}");
        assert_eq!(folder.get_range(&name(text), 0..6).unwrap(), b"object");
    }
}

#[test]
fn what_memory_cannot_hold_is_an_error() {
    let folder = Temporary::new();
    folder.put(&name("packs/a"), b"object").unwrap();
    let file = File::open(folder.path("packs/a")).unwrap();
    let failed = read_from(file, 0..1 << 62).unwrap_err();
    assert_eq!(read_error(&name("packs/a"), failed).kind, StorageErrorKind::Failed);
}

#[test]
fn foreign_files_are_not_listed() {
    let folder = Temporary::new();
    folder.put(&name("packs/a"), b"a").unwrap();
    for foreign in ["packs/.DS_Store", "packs/A", "packs/b.tmp", "packs/a (conflicted copy)", "packs/ä", "x"] {
        fs::write(folder.path(foreign), b"foreign").unwrap();
    }
    fs::create_dir(folder.path("packs/folder")).unwrap();
    fs::create_dir(folder.path("other")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(folder.path("packs/a"), folder.path("packs/link")).unwrap();
    let listed: Vec<_> = folder.list(Folder::Packs).unwrap().into_iter().map(|info| info.name).collect();
    assert_eq!(listed, [name("packs/a")]);
}

#[test]
fn what_a_killed_run_left_is_never_listed_and_removed_after_a_day() {
    let folder = Temporary::new();
    let leave = |file: &str, age: Duration| {
        fs::write(folder.path(file), b"torn").unwrap();
        let times = FileTimes::new().set_modified(SystemTime::now() - age);
        File::options().write(true).open(folder.path(file)).unwrap().set_times(times).unwrap();
    };
    leave("tmp/put-old", STALE_AFTER + Duration::from_secs(60));
    leave("tmp/put-new", STALE_AFTER - Duration::from_secs(60));
    leave("tmp/foreign", STALE_AFTER * 2);

    assert!(Folder::ALL.iter().all(|inside| folder.list(*inside).unwrap().is_empty()));
    assert_eq!(folder.files().len(), 3, "reading removes nothing");
    folder.put(&name("packs/a"), b"a").unwrap();
    assert_eq!(folder.files(), ["packs/a", "tmp/foreign", "tmp/put-new"]);
}

#[test]
fn a_missing_folder_is_not_an_empty_one() {
    let parent = tempfile::tempdir().unwrap();
    let missing = parent.path().join("missing");
    assert_eq!(FolderStorage::open(&missing).err().unwrap().kind, StorageErrorKind::NotFound);
    let file = parent.path().join("file");
    fs::write(&file, b"").unwrap();
    assert_eq!(FolderStorage::open(&file).err().unwrap().kind, StorageErrorKind::Failed);
    FolderStorage::create(file.join("below")).err().unwrap();

    let storage = FolderStorage::create(&missing).unwrap();
    fs::remove_dir_all(&missing).unwrap();
    assert_eq!(storage.list(Folder::Packs).unwrap_err().kind, StorageErrorKind::NotFound);
    assert_eq!(storage.put(&name("packs/a"), b"a").unwrap_err().kind, StorageErrorKind::NotFound);
    assert!(!missing.exists());
}

#[test]
fn nothing_is_stored_below_a_disk_that_was_unmounted() {
    let folder = Temporary::new();
    folder.put(&name("packs/a"), b"a").unwrap();
    // What is left of a mounted disk is the empty folder that it was mounted on.
    fs::remove_dir_all(folder.root.path()).unwrap();
    fs::create_dir(folder.root.path()).unwrap();
    for storage in [&folder.storage, &FolderStorage::open(folder.root.path()).unwrap()] {
        assert_eq!(storage.list(Folder::Packs).unwrap(), []);
        assert_eq!(storage.put(&name("packs/b"), b"b").unwrap_err().kind, StorageErrorKind::NotFound);
    }
    assert_eq!(fs::read_dir(folder.root.path()).unwrap().count(), 0);
}

#[test]
fn folders_that_a_copy_left_out_are_made_again() {
    let folder = Temporary::new();
    folder.put(&name("config/1-a"), b"a").unwrap();
    for empty in ["tmp", "packs", "index", "commits"] {
        fs::remove_dir(folder.path(empty)).unwrap();
    }
    assert_eq!(folder.list(Folder::Packs).unwrap(), []);
    let copy = FolderStorage::open(folder.root.path()).unwrap();
    copy.put(&name("packs/b"), b"b").unwrap();
    assert_eq!(copy.get(&name("packs/b")).unwrap(), b"b");
}

#[test]
fn create_changes_nothing_that_is_there() {
    let folder = Temporary::new();
    folder.put(&name("packs/a"), b"a").unwrap();
    fs::write(folder.path("letter.txt"), b"dear").unwrap();
    let again = FolderStorage::create(folder.root.path()).unwrap();
    assert_eq!(again.get(&name("packs/a")).unwrap(), b"a");
    assert_eq!(fs::read(folder.path("letter.txt")).unwrap(), b"dear");
}

#[test]
fn a_reader_of_the_file_system_never_sees_a_part_of_an_object() {
    let folder = Temporary::new();
    let object = vec![7; 1 << 20];
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                let whole = |info: &ObjectInfo| info.len == 1 << 20 && folder.get(&info.name).unwrap() == object;
                assert!(folder.list(Folder::Packs).unwrap().iter().all(whole));
            }
        });
        let written = (0..20).try_for_each(|n| folder.put(&name(&format!("packs/{n}")), &object));
        done.store(true, Ordering::Release);
        reader.join().unwrap();
        written.unwrap();
    });
}

#[test]
fn errors_are_sorted_by_what_can_be_done() {
    for (system, expected) in [
        (ErrorKind::StorageFull, StorageErrorKind::Full),
        (ErrorKind::QuotaExceeded, StorageErrorKind::Full),
        (ErrorKind::PermissionDenied, StorageErrorKind::Denied),
        (ErrorKind::ReadOnlyFilesystem, StorageErrorKind::Denied),
        (ErrorKind::StaleNetworkFileHandle, StorageErrorKind::Unreachable),
        (ErrorKind::WouldBlock, StorageErrorKind::Unreachable),
        (ErrorKind::Other, StorageErrorKind::Failed),
    ] {
        assert_eq!(kind(system), expected, "{system:?}");
    }
    let bad_sector = if cfg!(windows) { 27 } else { 5 };
    assert!(is_unreadable(&io::Error::from_raw_os_error(bad_sector)));
    assert!(!is_unreadable(&io::Error::from_raw_os_error(2)) && !is_unreadable(&ErrorKind::Other.into()));
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn files_and_folders_are_private() {
        let parent = tempfile::tempdir().unwrap();
        let root = parent.path().join("above/root");
        FolderStorage::create(&root).unwrap().put(&name("packs/a"), b"a").unwrap();
        for folder in [&root, &root.join("packs"), &root.join("tmp"), &parent.path().join("above")] {
            assert_eq!(mode(folder), 0o700, "{}", folder.display());
        }
        assert_eq!(mode(&root.join("packs/a")), 0o600);
    }

    #[test]
    fn the_root_may_be_a_symbolic_link() {
        let folder = Temporary::new();
        let parent = tempfile::tempdir().unwrap();
        let link = parent.path().join("link");
        symlink(folder.root.path(), &link).unwrap();
        FolderStorage::create(&link).unwrap().put(&name("packs/a"), b"a").unwrap();
        assert_eq!(FolderStorage::open(&link).unwrap().get(&name("packs/a")).unwrap(), b"a");
        assert_eq!(folder.files(), ["packs/a"]);
    }

    /// What is wrong with reading an object whole, and a part of it. A reader that waits fails the test.
    #[cfg(target_os = "linux")]
    fn refusals(folder: &Temporary, object: &str) -> [StorageErrorKind; 2] {
        let (storage, object) = (FolderStorage::open(folder.root.path()).unwrap(), name(object));
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let refused = [storage.get(&object), storage.get_range(&object, 0..5)];
            sender.send(refused.map(|read| read.unwrap_err().kind))
        });
        receiver.recv_timeout(Duration::from_secs(20)).unwrap()
    }

    /// Opening a named pipe waits for somebody who writes, for ever if nobody does.
    #[test]
    #[cfg(target_os = "linux")]
    fn what_is_no_file_is_unreadable_at_once() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};

        let folder = Temporary::new();
        let pipe = folder.path("index/pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        fs::create_dir(folder.path("index/folder")).unwrap();
        symlink("/dev/zero", folder.path("index/zeros")).unwrap();
        symlink(&pipe, folder.path("index/to-pipe")).unwrap();
        for object in ["index/pipe", "index/folder", "index/zeros", "index/to-pipe"] {
            assert_eq!(refusals(&folder, object), [StorageErrorKind::Unreadable; 2], "{object}");
        }
        assert_eq!(refusals(&folder, "index/none"), [StorageErrorKind::NotFound; 2]);
    }

    #[test]
    fn an_object_may_be_a_symbolic_link_to_a_file() {
        let folder = Temporary::new();
        fs::write(folder.path("elsewhere"), b"object").unwrap();
        symlink(folder.path("elsewhere"), folder.path("packs/a")).unwrap();
        assert_eq!(folder.get(&name("packs/a")).unwrap(), b"object");
        assert_eq!(folder.get_range(&name("packs/a"), 1..3).unwrap(), b"bj");
    }

    #[test]
    fn a_read_only_folder_can_be_read_and_refuses_writes() {
        let folder = Temporary::new();
        folder.put(&name("packs/a"), b"a").unwrap();
        for below in ["tmp", "packs"] {
            fs::set_permissions(folder.path(below), fs::Permissions::from_mode(0o500)).unwrap();
        }
        // Permissions do not stop root.
        if File::create(folder.path("packs/probe")).is_ok() {
            return;
        }
        let storage = FolderStorage::open(folder.root.path()).unwrap();
        assert!(!storage.features().create_if_absent);
        assert_eq!(storage.get(&name("packs/a")).unwrap(), b"a");
        assert_eq!(storage.put(&name("packs/b"), b"b").unwrap_err().kind, StorageErrorKind::Denied);
        assert_eq!(storage.delete(&name("packs/a")).unwrap_err().kind, StorageErrorKind::Denied);
        for below in ["tmp", "packs"] {
            fs::set_permissions(folder.path(below), fs::Permissions::from_mode(0o700)).unwrap();
        }
    }
}
