//! Defects of integers, byte strings and records (spec §1): in a node, where they cost one source.

use super::{Invalid, Lost, in_pack};
use crate::parts::*;
use crate::sample::Edit;

pub(super) fn all() -> Vec<Invalid> {
    let node = |name, comment, edit| in_pack(name, Lost::Source, comment, Edit::Node(edit));
    vec![
        node("varint-not-shortest", "an integer ends in a byte that adds nothing (§1.1)", |node| {
            *value(node, 8) = vec![0x80, 0x00];
        }),
        node("varint-beyond-64-bits", "the tenth byte of an integer is above 1 (§1.1)", |node| {
            *value(node, 8) = [vec![0xff; 9], vec![0x02]].concat();
        }),
        node("varint-of-eleven-bytes", "an integer goes on after ten bytes (§1.1)", |node| {
            *value(node, 8) = [vec![0x80; 10], vec![0x01]].concat();
        }),
        node("varint-cut-short", "an integer ends in a byte that announces another (§1.1)", |node| {
            *value(node, 8) = vec![0x80];
        }),
        node("integer-above-its-range", "the number of a list is 2^32 (§1.1, §10.3)", |node| {
            *value(node, 6) = varints(&[1 << 32, 0]);
        }),
        in_pack(
            "byte-string-longer-than-the-rest",
            Lost::Source,
            "the last field of a node announces more bytes than are left (§1.2)",
            Edit::NodeBytes(|bytes| bytes.truncate(bytes.len() - 1)),
        ),
        node("record-field-twice", "a record has one field twice (§1.3)", |node| node.push(integer(8, 1))),
        node("record-fields-in-wrong-order", "field 8 of a record comes before field 7 (§1.3)", |node| {
            let last = node.len() - 1;
            node.swap(last, last - 1);
        }),
        node("record-field-missing", "a record lacks a field that is not optional (§1.3, §10.2)", |node| {
            node.retain(|field| field.number != 7);
        }),
        node("record-field-number-zero", "a field has the number 0 (§1.3)", |node| node.insert(0, ignorable(0, ""))),
        node("record-field-number-of-33-bits", "a field has the number 2^32 (§1.3)", |node| {
            node.push(ignorable(1 << 32, ""));
        }),
        node("record-integer-with-bytes-after-it", "bytes follow the integer in a field (§1.3)", |node| {
            value(node, 8).push(0);
        }),
        node("record-integer-empty", "an integer field has no byte (§1.3)", |node| value(node, 8).clear()),
    ]
}
