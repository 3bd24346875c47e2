//! The body of an index object: packs are read as they are written, and sound ones find all they hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hushkeep_repo::fuzzing::index(bytes));
