//! A folder of which some backups are slow, as if it held much more.

use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use hushkeep_repo::tree::{FileView, TreeError, TreeItem};
use hushkeep_repo::{RelPath, Tree};
use hushkeep_sources::FolderTree;

use crate::plan::one_of;

/// A folder whose walk and views take their time, so that more happens between the listing of the folder, the
/// reading of the database, and that of the files beside it.
pub(crate) struct Dawdling {
    tree: FolderTree,
    random: Mutex<fastrand::Rng>,
    longest_ms: u64,
}

impl Dawdling {
    pub(crate) fn new(tree: FolderTree, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let longest_ms = one_of(&mut random, [0, 0, 40]);
        Self { tree, random: Mutex::new(random), longest_ms }
    }

    fn dawdle(&self) {
        let time = self.random.lock().unwrap().u64(0..=self.longest_ms);
        thread::sleep(Duration::from_millis(time));
    }
}

impl Tree for Dawdling {
    fn walk(&self) -> Box<dyn Iterator<Item = Result<TreeItem, TreeError>> + Send + '_> {
        let mut walk = self.tree.walk();
        Box::new(std::iter::from_fn(move || {
            self.dawdle();
            walk.next()
        }))
    }

    fn open(&self, path: &RelPath) -> Result<Box<dyn FileView + '_>, TreeError> {
        let view = self.tree.open(path)?;
        self.dawdle();
        Ok(view)
    }
}
