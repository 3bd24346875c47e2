//! A full page map and a delta upon it: every page has a content, and no map takes more than its nodes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hushkeep_repo::fuzzing::page_map(bytes));
