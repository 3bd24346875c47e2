//! The bodies of two commits: they are read again as they are written, and their tables can be joined.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hushkeep_repo::fuzzing::commit(bytes));
