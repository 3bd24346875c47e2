//! What to back up.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use hushkeep_repo::{RelPath, Source};
use hushkeep_sources::{FolderOptions, FolderTarget, FolderTree, InvalidPattern, Patterns};

use crate::home::Home;
use crate::place::{Place, resolve};

/// The folders and files of one backup.
#[derive(Debug)]
pub struct Sources {
    /// Those that can be opened.
    pub gathered: Vec<Gathered>,
    /// Those that cannot.
    pub unavailable: Vec<Unavailable>,
    /// Folders inside them that are left out of their own accord: the repository, and this device's state and cache.
    pub left_out: Vec<PathBuf>,
}

/// One folder or file to be backed up.
#[derive(Debug)]
pub struct Gathered {
    /// Its name inside the snapshot.
    pub label: RelPath,
    /// Where it is, absolute.
    pub path: PathBuf,
    /// Its contents.
    pub tree: FolderTree,
}

/// A folder or file that cannot be opened.
#[derive(Debug)]
pub struct Unavailable {
    /// Where it should be.
    pub path: PathBuf,
    /// Why not.
    pub error: io::Error,
}

/// How the sources are read.
#[derive(Debug, Clone, Default)]
pub struct SourceOptions {
    /// Patterns of what to leave out, see [`Patterns`].
    pub exclude: Vec<String>,
}

/// The sources make no sense.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatherError {
    /// A pattern that cannot be understood.
    #[error(transparent)]
    Pattern(#[from] InvalidPattern),
    /// The repository, or this device's own state or cache, was to be backed up into the repository.
    #[error("{} belongs to hushkeep itself and cannot be backed up", .0.display())]
    OwnFolder(PathBuf),
}

impl Sources {
    /// Opens the folders and files at `paths`.
    ///
    /// Each gets a label: the last component of its path, made unique by `-2`, `-3`, …; `root` for `/`. The
    /// folders of the repository at `place`, and of this device's state and cache, are left out where they lie inside,
    /// and so is what an interrupted restore left behind.
    pub fn gather(paths: &[PathBuf], options: &SourceOptions, home: &Home, place: &Place) -> Result<Self, GatherError> {
        let own = [place.folder(), Some(home.state_folder().to_owned()), home.cache_folder().map(Path::to_owned)];
        let own: Vec<_> = own.into_iter().flatten().map(|folder| resolve(&folder)).collect();
        let mut sources = Self { gathered: Vec::new(), unavailable: Vec::new(), left_out: Vec::new() };
        let mut seen = HashSet::new();
        for path in paths {
            match path.canonicalize() {
                Ok(resolved) if own.iter().any(|own| resolved.starts_with(own)) => {
                    return Err(GatherError::OwnFolder(path.clone()));
                }
                Ok(resolved) if seen.insert(resolved.clone()) => {
                    sources.add(path, &resolved, &options.exclude, &own)?;
                }
                Ok(_named_twice) => {}
                Err(error) => sources.unavailable.push(Unavailable { path: path.clone(), error }),
            }
        }
        Ok(sources)
    }

    fn add(&mut self, path: &Path, resolved: &Path, exclude: &[String], own: &[PathBuf]) -> Result<(), GatherError> {
        let inside: Vec<_> = own.iter().filter(|own| own.starts_with(resolved)).collect();
        let own_patterns = inside.iter().filter_map(|own| own.strip_prefix(resolved).ok()).map(pattern);
        let unfinished = std::iter::once(FolderTarget::UNFINISHED.to_owned());
        let excludes = Patterns::new(exclude.iter().cloned().chain(own_patterns).chain(unfinished))?;
        match FolderTree::new(path, FolderOptions { excludes, ..FolderOptions::default() }) {
            Ok(tree) => {
                let path = absolute(path, resolved);
                let label = self.unique_label(&path);
                self.left_out.extend(inside.into_iter().filter(|own| own.exists()).cloned());
                self.gathered.push(Gathered { label, path, tree });
            }
            Err(error) => self.unavailable.push(Unavailable { path: path.to_owned(), error }),
        }
        Ok(())
    }

    fn unique_label(&self, path: &Path) -> RelPath {
        let name = path.file_name().map_or(b"root".as_slice(), OsStr::as_encoded_bytes);
        let label = |suffix: &str| RelPath::new([name, suffix.as_bytes()].concat()).unwrap_or_default();
        let is_free = |label: &RelPath| self.gathered.iter().all(|other| other.label != *label);
        let numbered = (2..).map(|number: usize| label(&format!("-{number}")));
        std::iter::once(label("")).chain(numbered).find(is_free).unwrap_or_default()
    }

    /// The same for [`Repository::backup`](hushkeep_repo::Repository::backup).
    pub fn for_engine(&self) -> Vec<Source<'_>> {
        self.gathered.iter().map(Gathered::for_engine).collect()
    }
}

impl Gathered {
    fn for_engine(&self) -> Source<'_> {
        let path = self.path.as_os_str().as_encoded_bytes().to_vec();
        Source { label: self.label.clone(), path, tree: &self.tree }
    }
}

/// The path as it was written, made absolute; where it goes up (`..`), without its links.
fn absolute(path: &Path, resolved: &Path) -> PathBuf {
    let goes_up = path.components().any(|component| component == std::path::Component::ParentDir);
    match std::path::absolute(path) {
        Ok(absolute) if !goes_up => absolute,
        _ => resolved.to_owned(),
    }
}

/// A pattern that matches this path below the root of a tree. In it, `?` stands for a byte that is no text.
fn pattern(path: &Path) -> String {
    let mut pattern = String::from("/");
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        pattern.push_str(&globset::escape(chunk.valid()));
        pattern.extend(chunk.invalid().iter().map(|_| '?'));
    }
    pattern
}

#[cfg(test)]
mod tests {
    use std::fs;

    use hushkeep_repo::Tree;

    use super::*;

    struct Fixture {
        folder: tempfile::TempDir,
    }

    impl Fixture {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            for path in
                ["a/chats/x", "b/chats/y", "b/chats/re[po]*/packs/z", "b/chats/home/state/key", "b/chats/home/cache/c"]
            {
                let path = folder.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "contents").unwrap();
            }
            Self { folder }
        }

        fn path(&self, path: &str) -> PathBuf {
            self.folder.path().canonicalize().unwrap().join(path)
        }

        fn gather(&self, paths: &[&str]) -> Result<Sources, GatherError> {
            let paths: Vec<_> = paths.iter().map(|path| self.path(path)).collect();
            let place = self.path("b/chats/re[po]*").to_str().unwrap().parse().unwrap();
            let options = SourceOptions { exclude: vec!["*.tmp".into()] };
            Sources::gather(&paths, &options, &Home::at(&self.path("b/chats/home")), &place)
        }
    }

    fn labels(sources: &Sources) -> Vec<String> {
        sources.gathered.iter().map(|gathered| gathered.label.to_string()).collect()
    }

    #[test]
    fn labels_are_last_components_made_unique() {
        let fixture = Fixture::new();
        let sources = fixture.gather(&["a/chats", "b/chats", "a/chats", "a/../a", "b/chats/y"]).unwrap();
        assert_eq!(labels(&sources), ["chats", "chats-2", "a", "y"]);
        assert_eq!(sources.gathered[2].path, fixture.path("a"));
        let missing = fixture.gather(&["a/chats", "nowhere"]).unwrap();
        assert_eq!((missing.gathered.len(), missing.unavailable.len()), (1, 1));
        assert_eq!(missing.unique_label(Path::new("/")).to_string(), "root");
    }

    #[test]
    fn the_repository_and_what_this_device_keeps_are_left_out() {
        let fixture = Fixture::new();
        let sources = fixture.gather(&["b"]).unwrap();
        let walked: Vec<_> = sources.gathered[0].tree.walk().map(|item| item.unwrap().path.to_string()).collect();
        assert_eq!(walked, [".", "chats", "chats/home", "chats/y"]);
        let left_out = ["b/chats/re[po]*", "b/chats/home/state", "b/chats/home/cache"];
        assert_eq!(sources.left_out, left_out.map(|own| fixture.path(own)));
        for own in ["b/chats/re[po]*", "b/chats/re[po]*/packs", "b/chats/home/state", "b/chats/home/cache"] {
            assert!(matches!(fixture.gather(&[own]), Err(GatherError::OwnFolder(_))), "{own}");
        }
    }
}
