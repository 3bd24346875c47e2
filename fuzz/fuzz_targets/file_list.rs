//! The node and a block of a file list: lines rise, and are read again as they are written.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hushkeep_repo::fuzzing::file_list(bytes));
