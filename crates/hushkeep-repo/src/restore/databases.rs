//! Databases and the files beside them: only together they are what their application committed.

use std::collections::HashMap;

use crate::RelPath;
use crate::node::{Content, Entry, EntryKind};

/// What SQLite adds to a database's name for the files that belong to it.
pub(crate) const SIDECARS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// The databases of a restore that were met, and what became of them.
#[derive(Default)]
pub(super) struct Databases(HashMap<RelPath, Fate>);

/// What becomes of a database in the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is restored.
    Restored,
    /// What lies there stays, as the options say: no file of the snapshot belongs beside it.
    Kept,
    /// What lies there stays, because the one in the snapshot is damaged or cannot be written.
    Failed,
}

impl Databases {
    /// Whether an entry is to be restored: it is `selected`, or lies beside a database that is. Entries are to be shown in
    /// the order of their paths, in which a database comes before what is beside it.
    pub(super) fn selects(&mut self, path: &RelPath, entry: &Entry, selected: bool) -> bool {
        let selected = selected || self.fate_beside(path).is_some();
        if selected && is_database(entry) {
            self.0.insert(path.clone(), Fate::Restored);
        }
        selected
    }

    /// Notes what became of a database; of any other file nothing.
    pub(super) fn set(&mut self, path: &RelPath, fate: Fate) {
        self.0.entry(path.clone()).and_modify(|known| *known = fate);
    }

    /// What becomes of the database that a file lies beside, if it does.
    pub(super) fn fate_beside(&self, path: &RelPath) -> Option<Fate> {
        self.0.get(&database_of(path)?).copied()
    }
}

/// The path of the database that a file belongs to by its name.
pub(crate) fn database_of(path: &RelPath) -> Option<RelPath> {
    let database = SIDECARS.iter().find_map(|suffix| path.as_bytes().strip_suffix(suffix.as_bytes()))?;
    RelPath::new(database).ok()
}

/// Whether an entry is a file that was read as a database.
pub(crate) fn is_database(entry: &Entry) -> bool {
    matches!(&entry.kind, EntryKind::File(file) if matches!(file.content, Content::Pages { .. }))
}
