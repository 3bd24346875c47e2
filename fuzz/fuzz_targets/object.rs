//! Objects: a header has one form, and every change of a sealed object is noticed.
#![no_main]

use hushkeep_core::keys::ObjectKind;
use hushkeep_core::seal::{Header, Opener, Parts, open_single, padded_len, seal_single};
use hushkeep_fuzz::{keys, rng};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    foreign(bytes);
    changed(bytes);
});

/// Bytes that come from anywhere.
fn foreign(bytes: &[u8]) {
    if let Ok((header, len)) = Header::parse(bytes) {
        assert_eq!(header.encode(), bytes[..len]);
    }
    if let Ok(parts) = Parts::split(bytes) {
        let rest = parts.segments.len() + parts.trailer.len() + 4;
        assert_eq!(parts.header.encode().len() + rest, bytes.len());
        let opener = Opener::new(&keys(), parts.header.kind, &parts.header);
        assert!(opener.is_err() || opener.is_ok_and(|opener| opener.open_trailer(parts.trailer).is_err()));
    }
}

/// An object of the repository with one byte exchanged, cut short, or longer.
fn changed(bytes: &[u8]) {
    let Some(([at_low, at_high, flip, cut], body)) = bytes.split_first_chunk() else { return };
    let (clear, body) = body.split_at(body.len() / 4);
    let object = seal_single(&keys(), ObjectKind::Config, clear.to_vec(), body, 0, &mut rng());
    assert_eq!(object.len(), padded_len(object.len()));
    assert!(open_single(&keys(), ObjectKind::Config, &object).is_ok_and(|opened| *opened == body));
    let mut bad = object.clone();
    let at = usize::from(u16::from_le_bytes([*at_low, *at_high])) % bad.len();
    bad[at] ^= flip;
    if cut % 4 == 1 {
        bad.truncate(bad.len() - usize::from(cut / 4));
    } else if cut % 4 == 2 {
        bad.extend_from_slice(&body[..usize::from(cut / 4).min(body.len())]);
    }
    assert!(bad == object || open_single(&keys(), ObjectKind::Config, &bad).is_err(), "a change went unnoticed");
}
