//! The record of a passphrase wrap: in range, and read again as it is written.
#![no_main]

use hushkeep_core::wrap::{KdfParams, PassphraseWrap};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(wrap) = PassphraseWrap::decode(bytes) else { return };
    let params = wrap.params();
    assert_eq!(KdfParams::new(params.memory_kib(), params.iterations(), params.lanes()), Ok(params));
    let written = wrap.encode();
    assert_eq!(PassphraseWrap::decode(&written).map(|again| again.encode()), Ok(written));
});
