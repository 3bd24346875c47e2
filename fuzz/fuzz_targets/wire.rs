//! Plain values and records: what is read has one form.
#![no_main]

use hushkeep_core::wire::{Reader, Record, RecordWriter, put_bytes, put_signed, put_varint};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    values(rest);
    record(rest, u32::from(*first % 16));
});

/// Reads as many values as there are, each as the byte before it says, and writes them again.
fn values(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    while let Ok(which) = reader.byte() {
        let before = bytes.len() - reader.remaining();
        let mut written = Vec::new();
        let read = match which % 5 {
            0 => reader.varint().map(|value| put_varint(&mut written, value)),
            1 => reader.signed().map(|value| put_signed(&mut written, value)),
            2 => reader.bytes().map(|value| put_bytes(&mut written, value)),
            3 => reader.varint_u32().map(|value| put_varint(&mut written, u64::from(value))),
            _ => reader.count(usize::from(which)).map(|value| {
                assert!(value * usize::from(which) <= reader.remaining());
                put_varint(&mut written, value as u64);
            }),
        };
        match read {
            Ok(()) => assert_eq!(written, bytes[before..bytes.len() - reader.remaining()]),
            Err(_) => return,
        }
    }
}

fn record(bytes: &[u8], last_known: u32) {
    let Ok(record) = Record::parse(bytes, last_known) else { return };
    let mut writer = RecordWriter::new();
    let mut known = Vec::new();
    for field in 1..=last_known {
        if let Some(value) = record.optional(field) {
            writer.critical(field, value);
            known.push((field, value));
        }
    }
    let unknown = record.into_unknown();
    let written = writer.unknown(&unknown).finish();
    let again = Record::parse(&written, last_known).expect("what was written is read");
    known.into_iter().for_each(|(field, value)| assert_eq!(again.optional(field), Some(value)));
    assert_eq!(again.into_unknown(), unknown);
}
