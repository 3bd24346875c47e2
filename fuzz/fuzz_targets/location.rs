//! Where a storage is: what is shown leads to the same place.
#![no_main]

use hushkeep_storage::Location;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(Location::Folder(path)) = text.parse() else { return };
    assert!(!path.as_os_str().is_empty());
    let shown = Location::Folder(path.clone()).to_string();
    let Ok(Location::Folder(again)) = shown.parse() else { panic!("{shown} is not read") };
    assert_eq!(again.strip_prefix(".").unwrap_or(&again), path.strip_prefix(".").unwrap_or(&path));
});
