//! A name list: it has one form, and a length for every name.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hushkeep_repo::fuzzing::name_list(bytes));
