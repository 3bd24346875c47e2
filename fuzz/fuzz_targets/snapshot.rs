//! The record of a snapshot.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hushkeep_repo::fuzzing::snapshot(bytes));
