//! A view of a file as the bytes on disk.

use std::fs::File;
use std::io::Read;

use hushkeep_repo::RelPath;
use hushkeep_repo::tree::{Consistency, FileView, Layout, Metadata, TreeError};

use crate::database::{Lease, State};
use crate::folder::{FolderTree, Place};
use crate::stat::{Stamp, tree_error};

/// Reads the bytes of a file, and tells afterwards whether anything moved meanwhile.
pub(crate) struct BytesView<'a> {
    /// Keeps a database's writers out.
    lease: Option<Lease<File>>,
    file: File,
    path: RelPath,
    before: Stamp,
    layout: Layout,
    group: Option<Group<'a>>,
}

/// A database, its journals, and the state they must still be in when the view ends.
struct Group<'a> {
    database: Place,
    state: State,
    /// Where to note the state, if the view is of the database itself.
    notes: Option<&'a FolderTree>,
}

impl<'a> BytesView<'a> {
    /// A view of a file that belongs to no database.
    pub(crate) fn plain(file: File, place: Place) -> Result<Self, TreeError> {
        let before = Stamp::of(&file).map_err(|source| tree_error(&place.path, source))?;
        let (lease, group) = (None, None);
        Ok(Self { lease, file, path: place.path, before, layout: Layout::Bytes, group })
    }

    /// A view of a file beside a `database` that was copied in `state`.
    pub(crate) fn beside(file: File, place: Place, database: Place, state: State) -> Result<Self, TreeError> {
        Ok(Self { group: Some(Group { database, state, notes: None }), ..Self::plain(file, place)? })
    }

    /// A view of a database that nobody uses, or that cannot be told to be in use.
    pub(crate) fn database(
        file: File,
        place: Place,
        page_size: u32,
        state: State,
        tree: &'a FolderTree,
    ) -> Result<Self, TreeError> {
        let before = Stamp::of(&file).map_err(|source| tree_error(&place.path, source))?;
        let (lease, layout) = (None, Layout::Pages(page_size));
        let path = place.path.clone();
        let group = Some(Group { database: place, state, notes: Some(tree) });
        Ok(Self { lease, file, path, before, layout, group })
    }

    /// The same view under a reader's lock.
    pub(crate) fn locked(self, lease: Lease<File>) -> Self {
        Self { lease: Some(lease), ..self }
    }
}

impl FileView for BytesView<'_> {
    fn layout(&self) -> Layout {
        self.layout
    }

    fn metadata(&self) -> Metadata {
        self.before.metadata
    }

    fn absorbed(&self) -> &[RelPath] {
        &[]
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, TreeError> {
        loop {
            match self.file.read(buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                other => return other.map_err(|source| tree_error(&self.path, source)),
            }
        }
    }

    fn finish(self: Box<Self>) -> Result<Consistency, TreeError> {
        let Self { lease, file, path, before, group, .. } = *self;
        let failed = |source| tree_error(&path, source);
        let mut consistent = Stamp::of(&file).map_err(failed)? == before;
        let was_locked = lease.is_some_and(Lease::end);
        drop(file);
        if let Some(Group { database, state, notes }) = group {
            consistent &= was_locked || State::read(&database).map_err(failed)? == state;
            if let Some(tree) = notes {
                consistent &= state.is_of(&before);
                if consistent {
                    tree.note_copied(path, state);
                }
            }
        }
        Ok(if consistent { Consistency::Consistent } else { Consistency::ChangedWhileRead })
    }
}
