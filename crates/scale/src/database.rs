//! A chat app's database that lives: some of its pages change every day, some are added, now and then most move.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use hushkeep::repo::tree::{
    Consistency, FileView, ItemKind, Layout, Metadata, Tree, TreeError, TreeErrorKind, TreeItem,
};
use hushkeep::repo::{RelPath, Timestamp};

use crate::derived;

/// The length of a page in bytes.
const PAGE_LEN: usize = 4096;

/// Of the pages a day changes, as `benches/corpus` does: 880 of 205,000.
const CHANGED: (u64, u64) = (880, 205_000);

/// Pages that a day adds to a database of 100 MB.
const ADDED: (u64, u64) = (12, 25_600);

/// How many pages stay together when they move.
const VACUUM_RUN: u64 = 64;

/// Of a hundred pages, how many `VACUUM` writes anew: in the corpus a day that ends in it costs 29 % of a first backup.
const VACUUM_NEW_PERCENT: u64 = 29;

/// A file that changes like a chat database; SQLite has no part in it.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    file: PathBuf,
    /// How many pages it began with.
    pages: u64,
    /// So often a day ends in `VACUUM`, in days.
    vacuum_days: u64,
}

impl Database {
    /// The database in `file`, which began with so many pages, and has a `VACUUM` every so many days.
    pub(crate) fn at(file: PathBuf, pages: u64, vacuum_days: u64) -> Self {
        Self { file, pages, vacuum_days }
    }

    /// Makes it as it is on day 0.
    pub(crate) fn create(&self) -> io::Result<()> {
        let mut file = BufWriter::new(File::create(&self.file)?);
        (0..self.pages).try_for_each(|page| file.write_all(&contents(0, page)))?;
        file.flush()
    }

    /// Lives through a day, counted from 1.
    pub(crate) fn live_through(&self, day: u64) -> io::Result<()> {
        if day.is_multiple_of(self.vacuum_days) {
            self.vacuum(day)?;
        }
        let mut file = File::options().write(true).open(&self.file)?;
        let count = file.metadata()?.len() / PAGE_LEN as u64;
        let mut rng = derived(&[day]);
        let changed = (0..self.pages * CHANGED.0 / CHANGED.1).map(|_| rng.u64(..count));
        let added = count..count + (self.pages * ADDED.0).div_ceil(ADDED.1);
        for (number, page) in (0..).zip(changed.chain(added)) {
            file.seek(SeekFrom::Start(page * PAGE_LEN as u64))?;
            file.write_all(&contents(day, number))?;
        }
        Ok(())
    }

    /// Runs of pages change places, and some get new contents.
    fn vacuum(&self, day: u64) -> io::Result<()> {
        let mut before = File::open(&self.file)?;
        let count = before.metadata()?.len() / PAGE_LEN as u64;
        let mut runs: Vec<u64> = (0..count).step_by(usize::try_from(VACUUM_RUN).unwrap_or(1)).collect();
        let mut rng = derived(&[day, self.vacuum_days]);
        rng.shuffle(&mut runs);
        let moved = runs.into_iter().flat_map(|first| first..count.min(first + VACUUM_RUN));

        let path = self.file.with_extension("vacuum");
        let mut after = BufWriter::new(File::create(&path)?);
        for (to, from) in (0..).zip(moved) {
            let mut page = contents(day, u64::MAX - to);
            if rng.u64(..100) >= VACUUM_NEW_PERCENT {
                before.seek(SeekFrom::Start(from * PAGE_LEN as u64))?;
                before.read_exact(&mut page)?;
            }
            after.write_all(&page)?;
        }
        after.flush()?;
        fs::rename(path, &self.file)
    }
}

/// A page that was written on some day. It compresses to 55 %, as those of the corpus do.
fn contents(day: u64, number: u64) -> Vec<u8> {
    const RECORD: &[u8; 29] = b"\x81\x06\x09text/plain; charset=utf-8\0";
    let mut rng = derived(&[day, number, 0]);
    let mut page = vec![0; PAGE_LEN];
    for record in page.chunks_mut(64) {
        let (random, common) = record.split_at_mut(record.len() - RECORD.len());
        rng.fill(random);
        common.copy_from_slice(RECORD);
    }
    page
}

/// A folder with the database in it.
#[derive(Debug, Clone)]
pub(crate) struct DatabaseTree {
    file: PathBuf,
    /// When the database was last written.
    modified: Timestamp,
}

impl DatabaseTree {
    /// The database as it is now, last written at a time of its own world.
    pub(crate) fn new(database: &Database, modified: Timestamp) -> Self {
        Self { file: database.file.clone(), modified }
    }

    fn metadata(&self) -> Metadata {
        Metadata { mode: 0o640, modified: self.modified, changed: self.modified }
    }

    fn items(&self) -> io::Result<Vec<TreeItem>> {
        let name = self.file.file_name().unwrap_or_default().as_encoded_bytes();
        let file = ItemKind::File { len: fs::metadata(&self.file)?.len(), sparse: false, link: None };
        let item = |path, kind| TreeItem { path, kind, metadata: self.metadata() };
        let path = RelPath::new(name).map_err(io::Error::other)?;
        Ok(vec![item(RelPath::root(), ItemKind::Directory), item(path, file)])
    }
}

impl Tree for DatabaseTree {
    fn walk(&self) -> Box<dyn Iterator<Item = Result<TreeItem, TreeError>> + Send + '_> {
        match self.items() {
            Ok(items) => Box::new(items.into_iter().map(Ok)),
            Err(error) => Box::new(std::iter::once(Err(unreadable(error)))),
        }
    }

    fn open(&self, _: &RelPath) -> Result<Box<dyn FileView + '_>, TreeError> {
        let file = File::open(&self.file).map_err(unreadable)?;
        Ok(Box::new(DatabaseView { file, metadata: self.metadata() }))
    }
}

struct DatabaseView {
    file: File,
    metadata: Metadata,
}

impl FileView for DatabaseView {
    fn layout(&self) -> Layout {
        Layout::Pages(4096)
    }

    fn metadata(&self) -> Metadata {
        self.metadata
    }

    fn absorbed(&self) -> &[RelPath] {
        &[]
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, TreeError> {
        self.file.read(buffer).map_err(unreadable)
    }

    fn finish(self: Box<Self>) -> Result<Consistency, TreeError> {
        Ok(Consistency::Consistent)
    }
}

fn unreadable(source: io::Error) -> TreeError {
    TreeError { path: RelPath::root(), kind: TreeErrorKind::Unreadable, source: Some(source) }
}
