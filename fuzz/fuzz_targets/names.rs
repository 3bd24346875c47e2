//! Names of objects, keys of what a device keeps, ids and paths: each has one form, and none leaves its folder.
#![no_main]

use hushkeep_core::name::{ObjectId, ProtectorId};
use hushkeep_repo::RelPath;
use hushkeep_repo::cache::CacheKey;
use hushkeep_repo::storage::ObjectName;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    path(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(name) = text.parse::<ObjectName>() {
        assert_eq!(name.to_string(), text);
        assert!(!name.file().contains(['/', '.', '\\']));
    }
    if let Some(key) = CacheKey::parse(text) {
        assert_eq!(key.to_string(), text);
        assert!(!text.contains(['/', '\\']));
    }
    assert!(text.parse::<ObjectId>().is_ok_and(|id| id.to_string() == text) || text.parse::<ObjectId>().is_err());
    assert!(text.parse::<ProtectorId>().is_ok_and(|id| id.to_string() == text) || text.parse::<ProtectorId>().is_err());
});

fn path(bytes: &[u8]) {
    let (name, rest) = bytes.split_at(bytes.len() / 2);
    let Ok(path) = RelPath::new(bytes) else { return };
    assert!(path.components().all(|name| !name.is_empty() && name != b"." && name != b".." && !name.contains(&0)));
    assert_eq!(path.components().collect::<Vec<_>>().join(&b'/'), path.as_bytes());
    assert!(!path.to_string().contains(char::is_control));
    if let Some(parent) = path.parent() {
        assert_eq!(parent.join(path.name()).as_ref(), Ok(&path));
        assert!(parent < path && path.starts_with(&parent) && !parent.starts_with(&path));
    }
    if let (Ok(first), Ok(second)) = (RelPath::new(name), RelPath::new(rest)) {
        assert_eq!(first.cmp(&second), second.cmp(&first).reverse());
        assert_eq!(first == second, first.cmp(&second).is_eq());
    }
}
