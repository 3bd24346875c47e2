//! The clear and the sealed part of a config: what is read is read again from what it is written as.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hushkeep_repo::fuzzing::config(bytes));
