//! Patterns that choose files: which to leave out of a backup, which to restore.

use globset::{Candidate, GlobBuilder, GlobSet, GlobSetBuilder};
use hushkeep_repo::RelPath;

use crate::platform::os_name;

/// Patterns that choose files and folders, in the manner of restic's `--exclude`.
///
/// * A pattern without `/` is compared with every name at any depth: `*.tmp`, `.thumbnails`.
/// * A pattern with `/` is compared with the whole path from the root: `Media/Statuses`. A `/` at its beginning
///   only says that (`/cache`: that name directly below the root); one at its end is ignored.
/// * `*` and `?` stop at `/`; `**` does not: `Media/**/*.opus`. `[a-z]` and `{a,b}` work as in a shell.
/// * Upper and lower case are different.
/// * With a folder goes everything inside.
#[derive(Debug, Clone, Default)]
pub struct Patterns {
    names: GlobSet,
    paths: GlobSet,
}

/// A pattern that cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("not a pattern: {pattern}")]
pub struct InvalidPattern {
    /// The pattern.
    pub pattern: String,
    /// What is wrong with it.
    #[source]
    pub source: globset::Error,
}

impl Patterns {
    /// Takes the patterns.
    pub fn new<P: AsRef<str>>(patterns: impl IntoIterator<Item = P>) -> Result<Self, InvalidPattern> {
        let (mut names, mut paths) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        for pattern in patterns {
            let pattern = pattern.as_ref();
            let invalid = |source| InvalidPattern { pattern: pattern.to_owned(), source };
            let trimmed = pattern.trim_end_matches('/');
            let glob = GlobBuilder::new(trimmed.trim_start_matches('/')).literal_separator(true).build();
            let set = if trimmed.contains('/') { &mut paths } else { &mut names };
            set.add(glob.map_err(invalid)?);
        }
        let invalid = |source| InvalidPattern { pattern: String::from("all together"), source };
        Ok(Self { names: names.build().map_err(invalid)?, paths: paths.build().map_err(invalid)? })
    }

    /// Whether a pattern names this very path. The caller leaves out what lies below it.
    pub fn matches(&self, path: &RelPath) -> bool {
        let matches = |set: &GlobSet, bytes: &[u8]| {
            !set.is_empty() && os_name(bytes).is_ok_and(|name| set.is_match_candidate(&Candidate::new(&name)))
        };
        matches(&self.names, path.name()) || matches(&self.paths, path.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excluded(patterns: &[&str], path: &[u8]) -> bool {
        Patterns::new(patterns).unwrap().matches(&RelPath::new(path).unwrap())
    }

    #[test]
    fn names_match_at_any_depth_and_paths_from_the_root() {
        assert!(excluded(&["*.tmp"], b"a/b/x.tmp") && excluded(&["*.tmp"], b"x.tmp"));
        assert!(excluded(&["cache"], b"a/cache") && excluded(&["cache/"], b"a/cache"));
        assert!(excluded(&["/cache"], b"cache") && !excluded(&["/cache"], b"a/cache"));
        assert!(excluded(&["a/b"], b"a/b") && !excluded(&["a/b"], b"x/a/b") && !excluded(&["b"], b"a/bb"));
        assert!(excluded(&["x", "Media/**/*.opus"], b"Media/a/b/c.opus"));
    }

    #[test]
    fn a_star_stays_within_one_folder() {
        assert!(excluded(&["a/*"], b"a/b") && !excluded(&["a/*"], b"a/b/c"));
    }

    #[test]
    fn names_that_are_not_text_can_match() {
        assert!(excluded(&["*.tmp"], b"a/\xff\n.tmp") && !excluded(&["*.tmp"], b"\xff.tmpx"));
    }

    #[test]
    fn case_counts_and_nonsense_is_refused() {
        assert!(!excluded(&["*.TMP"], b"x.tmp"));
        assert_eq!(Patterns::new(["ok", "[z"]).unwrap_err().pattern, "[z");
    }
}
