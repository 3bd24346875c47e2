//! Paths inside a backup.

use std::cmp::Ordering;
use std::fmt;

/// A path relative to the root of a tree or target: raw bytes, components separated by `/`.
///
/// It cannot hold `.`, `..`, an empty component, a NUL or a leading `/`: whatever a snapshot says, a path that
/// parsed stays below the root it is applied to (spec §7.2). The empty path is the root itself.
///
/// Paths are ordered by components, so that everything inside a folder directly follows the folder.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct RelPath(Vec<u8>);

/// The longest path, in bytes.
pub const MAX_PATH_LEN: usize = 1 << 16;

/// A path that does not stay below its root, or cannot be a path at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a path inside a backup")]
pub struct InvalidPath;

impl RelPath {
    /// The root itself.
    pub const fn root() -> Self {
        Self(Vec::new())
    }

    /// Takes a path from its bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, InvalidPath> {
        let bytes = bytes.into();
        let valid = bytes.len() <= MAX_PATH_LEN && (bytes.is_empty() || bytes.split(is_slash).all(is_component));
        if valid { Ok(Self(bytes)) } else { Err(InvalidPath) }
    }

    /// The path of `name` inside this folder.
    pub fn join(&self, name: &[u8]) -> Result<Self, InvalidPath> {
        if self.0.is_empty() {
            return Self::new(name);
        }
        Self::new([self.0.as_slice(), b"/", name].concat())
    }

    /// The folder's path and this one, which lies inside it. Together they may be longer than one path is allowed to be.
    pub(crate) fn below(&self, folder: &Self) -> Self {
        match (folder.is_root(), self.is_root()) {
            (true, _) => self.clone(),
            (_, true) => folder.clone(),
            _ => Self([folder.0.as_slice(), b"/", &self.0].concat()),
        }
    }

    /// The path with `suffix` added to its last component, as in `chat.db` and `chat.db-wal`.
    pub fn with_suffix(&self, suffix: &str) -> Result<Self, InvalidPath> {
        Self::new([self.0.as_slice(), suffix.as_bytes()].concat())
    }

    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the root itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The components from the root down.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(is_slash).filter(|component| !component.is_empty())
    }

    /// The last component; empty for the root.
    pub fn name(&self) -> &[u8] {
        self.0.rsplit(is_slash).next().unwrap_or_default()
    }

    /// The folder this path lies in; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.0.is_empty() {
            return None;
        }
        let len = self.0.iter().rposition(is_slash).unwrap_or(0);
        Some(Self(self.0.get(..len).unwrap_or_default().to_vec()))
    }

    /// Whether this path is `other` or lies below it.
    pub fn starts_with(&self, other: &Self) -> bool {
        match self.0.strip_prefix(other.0.as_slice()) {
            Some(rest) => other.0.is_empty() || rest.is_empty() || rest.first() == Some(&b'/'),
            None => false,
        }
    }
}

impl Ord for RelPath {
    fn cmp(&self, other: &Self) -> Ordering {
        self.components().cmp(other.components())
    }
}

impl PartialOrd for RelPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Shows the path for people: control characters, line breaks and bytes that are not UTF-8 are escaped, so that
/// a hostile name cannot write to the terminal.
impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str(".");
        }
        escape(&self.0, f)
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RelPath({self})")
    }
}

/// Writes `bytes` as text: what is printable as it is, the rest as `\n`, `\t`, `\\` or `\xNN`.
fn escape(bytes: &[u8], out: &mut impl fmt::Write) -> fmt::Result {
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                '\\' | '\n' | '\t' | '\r' => write!(out, "{}", char.escape_default())?,
                _ if char.is_control() || is_direction_mark(char) => write!(out, "{}", char.escape_unicode())?,
                _ => out.write_char(char)?,
            }
        }
        for byte in chunk.invalid() {
            write!(out, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

/// Marks that reorder the text around them: in a file name they can disguise its ending.
fn is_direction_mark(char: char) -> bool {
    matches!(char, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn is_slash(byte: &u8) -> bool {
    *byte == b'/'
}

fn is_component(component: &[u8]) -> bool {
    !component.is_empty() && component != b"." && component != b".." && !component.contains(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::new(text).unwrap()
    }

    #[test]
    fn a_path_below_a_label_may_be_longer_than_either() {
        assert_eq!(path("a/b").below(&path("chats")), path("chats/a/b"));
        assert_eq!(path("").below(&path("chats")), path("chats"));
        assert_eq!(path("a/b").below(&path("")), path("a/b"));
        let longest = RelPath::new(vec![b'a'; MAX_PATH_LEN]).unwrap();
        assert_eq!(longest.below(&path("chats")).as_bytes().len(), MAX_PATH_LEN + 6);
        assert_eq!(RelPath::new(vec![b'a'; MAX_PATH_LEN + 1]), Err(InvalidPath));
    }

    #[test]
    fn a_suffix_goes_behind_the_last_component() {
        assert_eq!(path("a/chat.db").with_suffix("-wal"), Ok(path("a/chat.db-wal")));
        assert_eq!(path("a/b").with_suffix("/../c"), Err(InvalidPath));
    }

    #[test]
    fn nothing_that_leaves_the_root_is_a_path() {
        for text in ["/", "/etc", "..", "a/..", "a/../b", ".", "a/./b", "a//b", "a/", "a\0b"] {
            assert_eq!(RelPath::new(text), Err(InvalidPath), "{text}");
        }
        assert_eq!(path("a").join(b"../b"), Err(InvalidPath));
    }

    #[test]
    fn a_folder_is_directly_followed_by_what_is_inside() {
        let mut paths = ["a-b", "a/c", "a", "a/b/c", "a.b", "a/b", ""].map(path);
        paths.sort();
        assert_eq!(paths, ["", "a", "a/b", "a/b/c", "a/c", "a-b", "a.b"].map(path));
    }

    #[test]
    fn parents_names_and_prefixes() {
        assert_eq!(path("a/b/c").parent(), Some(path("a/b")));
        assert_eq!(path("a").parent(), Some(RelPath::root()));
        assert_eq!(RelPath::root().parent(), None);
        assert_eq!(path("a/b").name(), b"b");
        assert!(path("a/b").starts_with(&path("a")) && path("a").starts_with(&RelPath::root()));
        assert!(!path("ab").starts_with(&path("a")));
    }

    #[test]
    fn names_cannot_write_to_the_terminal() {
        let hostile = RelPath::new(b"a\x1b[2J\n\xffgpj\xe2\x80\xae.exe".to_vec()).unwrap();
        assert_eq!(hostile.to_string(), r"a\u{1b}[2J\n\xffgpj\u{202e}.exe");
    }
}
