//! Packs that are longer than this program makes them, as other writers may.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hushkeep_core::keys::ObjectKind;
use hushkeep_core::seal::{HEADER_LEN, TAG_LEN};
use hushkeep_repo::storage::{Features, Folder, ObjectInfo, ObjectName, StorageError};
use hushkeep_repo::{CheckOptions, CheckReport, Quiet, Storage};
use hushkeep_storage::MemoryStorage;

use crate::common::{Device, random};
use crate::forge::{Repo, Segment, hex};
use crate::parts::*;
use crate::sample::*;
use crate::unlock;

/// Each file is a content of so many bytes in a segment of its own.
const FILE_LENS: [usize; 6] = [7 << 20, 7 << 20, 20 << 20, 7 << 20, 7 << 20, 7 << 20];
const FILES: u64 = FILE_LENS.len() as u64;

/// A little more than the longest segment, which is longer than a usual pack.
const MOST_AT_ONCE: usize = 21 << 20;

#[test]
fn a_long_pack_is_not_read_at_once_and_every_part_of_it_is_checked() {
    let (mut repo, pack) = long_pack();
    let (report, longest) = check(&repo);
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert!((FILE_LENS[2]..MOST_AT_ONCE).contains(&longest), "{longest} bytes at once");

    let (_, _, [padding_at, trailer_at]) = repo.end_of(&pack, ObjectKind::Pack);
    assert!(repo.objects[&pack].len() > 2 * MOST_AT_ONCE && trailer_at - padding_at > 1000);
    let within = |file: usize| HEADER_LEN + FILE_LENS[..file].iter().map(|len| len + TAG_LEN).sum::<usize>() + 1000;
    let files = (0..FILE_LENS.len()).map(|file| (within(file), 1));
    let frame = [40, padding_at + 50, trailer_at + 9].map(|at| (at, FILE_LENS.len()));
    for (at, files_hurt) in files.chain(frame) {
        repo.objects.get_mut(&pack).unwrap()[at] ^= 1;
        let (report, longest) = check(&repo);
        let [finding] = report.findings.as_slice() else { panic!("byte {at}: {:?}", report.findings) };
        let [affected] = finding.affected.as_slice() else { panic!("byte {at}: {finding:?}") };
        assert_eq!((&finding.damage.object, affected.paths.len()), (&pack, files_hurt), "byte {at}");
        assert!(longest < MOST_AT_ONCE, "byte {at}: {longest} bytes at once");
        repo.objects.get_mut(&pack).unwrap()[at] ^= 1;
    }
}

/// A repository of one pack, and the name of that.
fn long_pack() -> (Repo, String) {
    let mut repo = Repo::new("long pack");
    let contents: Vec<Vec<u8>> = (0..).zip(FILE_LENS).map(|(number, len)| random(number, len)).collect();
    let paths: Vec<String> = (0..FILES).map(|number| format!("file {number}")).collect();
    let mut entries = vec![(&b""[..], folder())];
    for (number, (path, content)) in (0..).zip(paths.iter().zip(&contents)) {
        entries.push((path.as_bytes(), file(FILE, content, &[[0, number, 1]])));
    }
    let block = block(&lines(&entries));
    let node = record(&file_list(KEPT, &[[0, FILES, 1]], block.len()));
    let names = repo.names(0, &[contents.as_slice(), &[block.clone(), node.clone()]].concat()).encode();
    let files = (0..).zip(contents).map(|(number, content)| plain(0, content, vec![[0, number, 1]]));
    let mut segments: Vec<Segment> = files.collect();
    segments.push(plain(1, [block, node].concat(), vec![[0, FILES, 2]]));
    segments.push(plain(2, names.clone(), vec![[0, 0, FILES + 2]]));
    let pack = repo.put_pack(KEPT, 0, &[ListRow::new(KEPT, 0, &names)], &segments, |table| table.encode());
    publish_packs(&mut repo, &[pack], snapshot(1, &[source("s", FILES, (KEPT, FILES + 1))]));
    (repo, format!("packs/{}", hex(&KEPT)))
}

/// What a check of everything finds, and how much of a pack it read at once, at most, in bytes.
fn check(repo: &Repo) -> (CheckReport, usize) {
    let memory = MemoryStorage::new(Features { create_if_absent: true });
    repo.objects.iter().for_each(|(name, bytes)| memory.put(&name.parse().unwrap(), bytes).unwrap());
    let watched = Arc::new(Watched { memory, longest: AtomicUsize::new(0) });
    let storage: Arc<dyn Storage> = watched.clone();
    let repository = unlock(&storage, &repo.key(0), &Device::new(1)).unwrap();
    let report = repository.check(&CheckOptions { read_data: 1.0 }, &Quiet).unwrap();
    (report, watched.longest.load(Ordering::Relaxed))
}

/// A storage that knows how much of a pack was read at once, at most.
struct Watched {
    memory: MemoryStorage,
    longest: AtomicUsize,
}

impl Watched {
    fn note(&self, name: &ObjectName, read: Result<Vec<u8>, StorageError>) -> Result<Vec<u8>, StorageError> {
        if name.folder() == Folder::Packs {
            self.longest.fetch_max(read.as_ref().map_or(0, Vec::len), Ordering::Relaxed);
        }
        read
    }
}

impl Storage for Watched {
    fn features(&self) -> Features {
        self.memory.features()
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StorageError> {
        self.memory.put(name, bytes)
    }

    fn get(&self, name: &ObjectName) -> Result<Vec<u8>, StorageError> {
        self.note(name, self.memory.get(name))
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        self.note(name, self.memory.get_range(name, range))
    }

    fn list(&self, folder: Folder) -> Result<Vec<ObjectInfo>, StorageError> {
        self.memory.list(folder)
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StorageError> {
        self.memory.delete(name)
    }
}
