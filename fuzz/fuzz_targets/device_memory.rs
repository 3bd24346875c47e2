//! What a device remembers: tips, the journal, bad packs.
#![no_main]

use hushkeep_repo::fuzzing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| match bytes.split_first() {
    Some((0, rest)) => fuzzing::tips(rest),
    Some((1, rest)) => fuzzing::journal(rest),
    Some((_, rest)) => fuzzing::bad_packs(rest),
    None => {}
});
