//! What a device keeps of a storage, so that it need not be fetched again.

use std::fmt;

use crate::storage::ObjectName;

/// Parts of objects that a device keeps, sealed as they lie on the storage: commits, index objects and configs, and of
/// packs the lists and the names.
///
/// Losing it costs time only. What comes back from it is opened like anything else, and fetched from the storage if
/// it does not open. Objects never change, but a storage can lose them, and show others under their names: what nothing
/// else vouches for is read from the storage each time, and the rest when it is due.
pub trait Cache: Send + Sync {
    /// What is kept under a key.
    fn load(&self, key: &CacheKey) -> Option<Vec<u8>>;

    /// Whether what is kept under a key should be read from the storage again, to see that it still is there.
    fn is_due(&self, key: &CacheKey) -> bool;

    /// Keeps something, if it can.
    fn store(&self, key: &CacheKey, sealed: &[u8]);

    /// Drops what is not `wanted` any more.
    fn retain(&self, wanted: &dyn Fn(&CacheKey) -> bool);
}

/// Names what is kept: an object, or one segment of a pack.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CacheKey {
    /// The object.
    pub object: ObjectName,
    /// The segment's number; `None` for the whole object.
    pub segment: Option<u32>,
}

impl CacheKey {
    pub(crate) fn whole(object: &ObjectName) -> Self {
        Self { object: object.clone(), segment: None }
    }

    pub(crate) fn segment(object: &ObjectName, segment: u32) -> Self {
        Self { object: object.clone(), segment: Some(segment) }
    }

    /// Reads what [`Display`](fmt::Display) wrote; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (folder, rest) = text.split_once('.')?;
        let (file, segment) = match rest.split_once('.') {
            Some((file, segment)) => (file, Some(segment.parse().ok()?)),
            None => (rest, None),
        };
        let object = format!("{folder}/{file}").parse().ok()?;
        let key = Self { object, segment };
        // A number has other forms, `+7` and `07`, under which nothing is ever looked up or removed.
        (key.to_string() == text).then_some(key)
    }
}

/// As a file name: `packs.<id>.<segment>`, `commits.<file name>`.
impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.object.folder().name(), self.object.file())?;
        self.segment.map_or(Ok(()), |segment| write!(f, ".{segment}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_key_round_trips(file in "[a-z0-9-]{1,80}", segment: Option<u32>) {
            let key = CacheKey { object: format!("packs/{file}").parse().unwrap(), segment };
            prop_assert_eq!(CacheKey::parse(&key.to_string()), Some(key));
        }

        #[test]
        fn a_key_that_is_read_has_one_form(text in r"packs\.[a-z0-9./-]{0,3}(\.[+0-9]{0,3})?") {
            if let Some(key) = CacheKey::parse(&text) {
                prop_assert_eq!(key.to_string(), text);
            }
        }
    }

    #[test]
    fn keys_round_trip_as_file_names() {
        let object: ObjectName = "packs/0a1b".parse().unwrap();
        for (key, text) in [(CacheKey::whole(&object), "packs.0a1b"), (CacheKey::segment(&object, 17), "packs.0a1b.17")]
        {
            assert_eq!(key.to_string(), text);
            assert_eq!(CacheKey::parse(text), Some(key));
        }
        for text in [
            "",
            "packs",
            "packs.",
            "other.0a",
            "packs.0a.x",
            "packs.../etc",
            "packs.0a.1.2",
            "packs.0a.+1",
            "packs.0a.01",
        ] {
            assert_eq!(CacheKey::parse(text), None, "{text}");
        }
    }
}
