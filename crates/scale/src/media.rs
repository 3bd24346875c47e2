//! A chat app's media: files and their contents are made while they are read.

use hushkeep::repo::tree::{
    Consistency, FileView, ItemKind, Layout, Metadata, Tree, TreeError, TreeErrorKind, TreeItem,
};
use hushkeep::repo::{RelPath, Timestamp};

use crate::derived;

/// Contents are made in blocks of this many bytes, so that they do not depend on how they are read.
const BLOCK_LEN: usize = 64 << 10;

/// When the oldest file was last changed: 1 January 2006, in seconds.
const OLDEST: u64 = 1_136_073_600;

/// The files cover ten years of 336 days, so that each month has 28.
const DAYS: u64 = 10 * 336;

/// One sort of files, in a folder of its own.
struct Sort {
    folder: &'static str,
    prefix: &'static str,
    extension: &'static str,
    /// How many of a thousand files are of this sort.
    per_mille: u64,
    /// Lengths in bytes are spread evenly over their orders of magnitude, from here ...
    shortest: f64,
    /// ... to here.
    longest: f64,
}

/// What `benches/corpus` makes: 0.2 MB for a file on average. Folders are in the order of their names.
const SORTS: [Sort; 3] = [
    Sort { folder: "Images", prefix: "IMG", extension: "jpg", per_mille: 745, shortest: 50e3, longest: 400e3 },
    Sort { folder: "Video", prefix: "VID", extension: "mp4", per_mille: 5, shortest: 5e6, longest: 31e6 },
    Sort { folder: "Voice Notes", prefix: "PTT", extension: "opus", per_mille: 250, shortest: 5e3, longest: 60e3 },
];

/// A folder of media that exists nowhere.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MediaTree {
    files: u64,
    new_images: u64,
}

/// One file: its sort and its number within that.
#[derive(Clone, Copy)]
struct File {
    sort: usize,
    number: u64,
}

impl MediaTree {
    /// So many files, and images that came after them.
    pub(crate) fn new(files: u64, new_images: u64) -> Self {
        Self { files, new_images }
    }

    /// How many files of a sort are old.
    fn old(&self, sort: &Sort) -> u64 {
        self.files * sort.per_mille / 1000
    }

    fn count(&self, number: usize, sort: &Sort) -> u64 {
        self.old(sort) + if number == 0 { self.new_images } else { 0 }
    }

    fn folder(&self, number: usize, sort: &'static Sort) -> impl Iterator<Item = TreeItem> {
        let tree = *self;
        let files = (0..self.count(number, sort)).map(move |file| tree.item(sort, File { sort: number, number: file }));
        [directory(sort.folder)].into_iter().chain(files).flatten()
    }

    fn item(&self, sort: &Sort, file: File) -> Option<TreeItem> {
        let path = RelPath::new(self.path(sort, file)).ok()?;
        let kind = ItemKind::File { len: len(sort, file), sparse: false, link: None };
        Some(TreeItem { path, kind, metadata: metadata(file.number) })
    }

    /// Numbers rise with dates, so files come in the order of their names.
    fn path(&self, sort: &Sort, file: File) -> String {
        let day = file.number * DAYS / self.old(sort).max(1);
        let (year, month, day) = (2006 + day / 336, 1 + day / 28 % 12, 1 + day % 28);
        let Sort { folder, prefix, extension, .. } = sort;
        format!("{folder}/{prefix}-{year}{month:02}{day:02}-WA{:06}.{extension}", file.number)
    }
}

impl Tree for MediaTree {
    fn walk(&self) -> Box<dyn Iterator<Item = Result<TreeItem, TreeError>> + Send + '_> {
        let folders = SORTS.iter().enumerate().flat_map(|(number, sort)| self.folder(number, sort));
        Box::new(directory("").into_iter().chain(folders).map(Ok))
    }

    fn open(&self, path: &RelPath) -> Result<Box<dyn FileView + '_>, TreeError> {
        let gone = || TreeError { path: path.clone(), kind: TreeErrorKind::Gone, source: None };
        let (sort, file) = parse(path).ok_or_else(gone)?;
        Ok(Box::new(MediaView { file, len: len(sort, file), at: 0, block: Vec::new() }))
    }
}

/// A file being read.
struct MediaView {
    file: File,
    len: u64,
    at: u64,
    block: Vec<u8>,
}

impl FileView for MediaView {
    fn layout(&self) -> Layout {
        Layout::Bytes
    }

    fn metadata(&self) -> Metadata {
        metadata(self.file.number)
    }

    fn absorbed(&self) -> &[RelPath] {
        &[]
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, TreeError> {
        let block = self.at / BLOCK_LEN as u64;
        let skip = usize::try_from(self.at % BLOCK_LEN as u64).unwrap_or_default();
        if skip == 0 {
            self.block.resize(BLOCK_LEN, 0);
            derived(&[self.file.sort as u64, self.file.number, block]).fill(&mut self.block);
        }
        let left = usize::try_from(self.len - self.at).unwrap_or(usize::MAX);
        let count = buffer.len().min(BLOCK_LEN - skip).min(left);
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), self.block.get(skip..skip + count)) {
            to.copy_from_slice(from);
        }
        self.at += count as u64;
        Ok(count)
    }

    fn finish(self: Box<Self>) -> Result<Consistency, TreeError> {
        Ok(Consistency::Consistent)
    }
}

fn directory(path: &str) -> Option<TreeItem> {
    Some(TreeItem { path: RelPath::new(path).ok()?, kind: ItemKind::Directory, metadata: metadata(0) })
}

/// Times rise with the number: some ten minutes from one file to the next.
fn metadata(number: u64) -> Metadata {
    let seconds = i64::try_from(OLDEST + number * 600).unwrap_or_default();
    let modified = Timestamp { seconds, nanos: 0 };
    Metadata { mode: 0o640, modified, changed: modified }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "lengths are a few megabytes at most")]
fn len(sort: &Sort, file: File) -> u64 {
    let spread = derived(&[file.sort as u64, file.number]).f64();
    (sort.shortest * (sort.longest / sort.shortest).powf(spread)) as u64
}

/// What [`MediaTree::path`] wrote.
fn parse(path: &RelPath) -> Option<(&'static Sort, File)> {
    let (folder, name) = str::from_utf8(path.as_bytes()).ok()?.split_once('/')?;
    let (number, sort) = SORTS.iter().enumerate().find(|(_, sort)| sort.folder == folder)?;
    let (digits, _) = name.split_once("-WA")?.1.split_once('.')?;
    Some((sort, File { sort: number, number: digits.parse().ok()? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tree: &MediaTree, path: &RelPath, step: usize) -> Vec<u8> {
        let mut view = tree.open(path).unwrap();
        let (mut bytes, mut buffer) = (Vec::new(), vec![0; step]);
        loop {
            match view.read(&mut buffer).unwrap() {
                0 => return bytes,
                count => bytes.extend_from_slice(&buffer[..count]),
            }
        }
    }

    #[test]
    fn a_walk_is_in_order_and_says_what_files_hold() {
        let tree = MediaTree::new(400, 15);
        let items: Vec<TreeItem> = tree.walk().map(Result::unwrap).collect();
        assert!(items.is_sorted_by(|a, b| a.path < b.path));
        let files: Vec<_> = items.iter().filter(|item| item.kind != ItemKind::Directory).collect();
        assert_eq!(files.len(), 415);
        for item in files.iter().step_by(97) {
            let bytes = read(&tree, &item.path, 1000);
            assert!(matches!(item.kind, ItemKind::File { len, .. } if len == bytes.len() as u64));
            assert!(read(&tree, &item.path, 1 << 20) == bytes, "contents depend on how they are read");
        }
    }
}
