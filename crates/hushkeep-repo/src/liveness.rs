//! What a snapshot needs: its lists and maps with all that they are based on, and the contents of its files.

use std::collections::HashSet;

use crate::content_set::ContentSet;
use crate::contents::Contents;
use crate::error::{DamageCause, ReadError};
use crate::file_list_reader::FileListReader;
use crate::node::{Content, EntryKind};
use crate::refs::{ContentRef, NodeName, Run};

/// Everything that some file lists need.
///
/// Contents that only an older layer of a list or map speaks of are not needed; that layer itself is.
#[derive(Default)]
pub(crate) struct Needs {
    pub(crate) contents: ContentSet,
    /// Lists and maps that were walked through: many snapshots share them.
    lists: HashSet<ContentRef>,
    maps: HashSet<ContentRef>,
}

impl Needs {
    /// Adds what a file list needs. Damage is an error, and so is what only newer versions understand: who takes it for
    /// granted that nothing more is needed would throw away what is.
    pub(crate) fn add_list(&mut self, root: NodeName, contents: &Contents) -> Result<(), ReadError> {
        if !self.lists.insert(contents.node(root)?) {
            return Ok(());
        }
        let (reader, _) = FileListReader::open(contents, root)?;
        for node in reader.nodes() {
            self.add(Run { start: node, count: 1 }, contents)?;
        }
        for entry in reader {
            match entry?.kind {
                EntryKind::File(file) => self.add_file(file.content, contents)?,
                EntryKind::Directory | EntryKind::Symlink { .. } | EntryKind::HardLink { .. } => {}
                EntryKind::Newer(entry) if entry.needs_nothing() => {}
                EntryKind::Newer(_) => {
                    let list = contents.node(root)?;
                    return Err(contents.damaged_content(list, DamageCause::NewerVersion).into());
                }
            }
        }
        Ok(())
    }

    fn add_file(&mut self, content: Content, contents: &Contents) -> Result<(), ReadError> {
        match content {
            Content::Chunks(runs) => runs.into_iter().try_for_each(|run| self.add(run, contents)),
            Content::Pages { map, .. } => self.add_map(map.start, contents),
        }
    }

    fn add_map(&mut self, node: ContentRef, contents: &Contents) -> Result<(), ReadError> {
        if !self.maps.insert(node) {
            return Ok(());
        }
        let chain = contents.page_map_chain(node)?;
        for (node, _, _) in &chain {
            self.add(Run { start: *node, count: 1 }, contents)?;
        }
        let map = contents.apply_chain(&chain)?;
        map.runs().try_for_each(|run| self.add(run, contents))
    }

    fn add(&mut self, run: Run, contents: &Contents) -> Result<(), ReadError> {
        if self.contents.insert(run, &contents.index) {
            return Ok(());
        }
        Err(contents.damaged_content(run.start, DamageCause::UnknownContent).into())
    }
}
