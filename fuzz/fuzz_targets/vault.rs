//! Requests to a vault: each is answered or refused, and costs no guess unless one was answered.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hushkeep_fuzz::vault::ask(bytes));
