//! What of a snapshot to restore.

use hushkeep_repo::RelPath;
use hushkeep_sources::{InvalidPattern, Patterns};

/// Patterns that choose among the paths of a snapshot, by the rules of [`Patterns`].
///
/// A path is chosen if it, or a folder it lies in, is included, and neither is excluded. Without a pattern to
/// include, everything is.
#[derive(Debug, Clone)]
pub struct Selection {
    include: Option<Patterns>,
    exclude: Patterns,
}

impl Selection {
    /// Takes the patterns.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self, InvalidPattern> {
        let include = if include.is_empty() { None } else { Some(Patterns::new(include)?) };
        Ok(Self { include, exclude: Patterns::new(exclude)? })
    }

    /// Whether a path is chosen.
    pub fn contains(&self, path: &RelPath) -> bool {
        let matches = |patterns: &Patterns| with_parents(path).any(|path| patterns.matches(&path));
        self.include.as_ref().is_none_or(matches) && !matches(&self.exclude)
    }
}

fn with_parents(path: &RelPath) -> impl Iterator<Item = RelPath> {
    std::iter::successors(Some(path.clone()), RelPath::parent).filter(|path| !path.is_root())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(include: &[&str], exclude: &[&str], path: &str) -> bool {
        let owned = |patterns: &[&str]| patterns.iter().map(ToString::to_string).collect::<Vec<_>>();
        Selection::new(&owned(include), &owned(exclude)).unwrap().contains(&RelPath::new(path).unwrap())
    }

    #[test]
    fn folders_stand_for_what_is_inside_and_exclusion_wins() {
        assert!(chosen(&[], &[], "a/b") && !chosen(&[], &["a"], "a/b/c"));
        assert!(chosen(&["a/b"], &[], "a/b/c") && !chosen(&["a/b"], &[], "a/x"));
        assert!(chosen(&["*.db"], &[], "a/x.db") && !chosen(&["*.db"], &["a"], "a/x.db"));
    }
}
