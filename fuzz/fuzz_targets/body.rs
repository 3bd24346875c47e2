//! The coded body of a commit or an index object: as long as it says, or refused.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hushkeep_repo::fuzzing::body(bytes));
