"""Tests of rules that stand by themselves."""

import os
import tempfile
import unittest
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch

import zstandard

from hushkeep_reader.compression import decompress
from hushkeep_reader.encoding import Time, encode_varint, read_record
from hushkeep_reader.errors import (
    Malformed,
    NotPossible,
    TooNew,
    WrongKey,
)
from hushkeep_reader.file_lists import Metadata
from hushkeep_reader.keys import Kind, read_older_secrets
from hushkeep_reader.passphrase import normalize
from hushkeep_reader.paths import refuse_bad_path, show
from hushkeep_reader.rows import IndexRow, PackRow, read_index_row, read_pack_row
from hushkeep_reader.sealing import decode_body
from hushkeep_reader.storage import Storage, read_numbered_name
from hushkeep_reader.tables import Tables
from hushkeep_reader.target import Target
from making import encode_record, numbered

HERE = Path(__file__).parent


class RulesTest(unittest.TestCase):
    """Rules that stand by themselves."""

    def test_paths(self) -> None:
        for path in (b"/a", b"a/", b"a//b", b".", b"a/..", b"a\0", b"a" * 65_537):
            self.assertRaises(Malformed, refuse_bad_path, path)
        for path in (b"", b"a", b"a/b", b"...", b"\xff"):
            refuse_bad_path(path)

    def test_shows_no_path_that_writes_to_the_terminal(self) -> None:
        self.assertEqual(show("a\x1b[2J\u202eé".encode() + b"\xff\\"), "a\\x1b[2J\\xe2\\x80\\xaeé\\xff\\\\")

    def test_a_record_is_newer_only_if_it_is_well_formed_to_its_end(self) -> None:
        known, later = encode_record({1: b"\7"}), encode_record({9: b"x"})
        self.assertRaises(TooNew, read_record, known + later, 1)
        for behind in (later, encode_record({2: b""}), encode_record({1 << 32: b""}), b"\x15\2x", b"\x80"):
            with self.subTest(behind=behind), self.assertRaises(Malformed):
                read_record(known + later + behind, 1)

    def test_names_of_objects(self) -> None:
        for ignored in ("1", "000000001", "00000000010", "0000000001.x", "000000000A", "9" * 19, "desktop"):
            self.assertIsNone(read_numbered_name(ignored))
        self.assertEqual(numbered("10000000000-x-y").number, 10_000_000_000)

    def test_decompression_is_bounded(self) -> None:
        # One run-length block of 131,071 bytes, in a frame that does not announce its length.
        frame = bytes.fromhex("28b52ffd" + "0038" + "fbff0f" + "00")
        self.assertEqual(decompress(frame, 131_071), bytes(131_071))
        for length in (0, 131_070, 131_072):
            self.assertRaises(Malformed, decompress, frame, length)
        self.assertRaises(Malformed, decompress, frame + b"\0", 131_071)
        skippable = bytes.fromhex("502a4d18" + "00000000")
        self.assertRaises(Malformed, decompress, skippable + frame, 131_071)
        self.assertRaises(Malformed, decompress, skippable, 0)

    def test_a_frame_of_nothing_is_one_frame_as_well(self) -> None:
        """Content size of 0, in one byte or four; with a checksum, or without."""
        last = "010000"
        for whole in ("2000" + last, "2000" + "000000" + last, "24000100" + "0099e9d851", "800000000000" + last):
            frame = bytes.fromhex("28b52ffd" + whole)
            self.assertEqual(decompress(frame, 0), b"")
            self.assertRaises(Malformed, decompress, frame, 1)
            for other in (frame[:-1], frame + b"\0", frame + frame, frame[:6]):
                with self.subTest(frame=other.hex()), self.assertRaises(Malformed):
                    decompress(other, 0)
        for wrong in ("2000ffffff", "240001000099e9d852", "20000b000041", "8000000000000b000041"):
            with self.subTest(frame=wrong), self.assertRaises(Malformed):
                decompress(bytes.fromhex("28b52ffd" + wrong), 0)

    def test_a_checksum_is_compared(self) -> None:
        for announces in (True, False):
            packer = zstandard.ZstdCompressor(write_checksum=True, write_content_size=announces)
            frame = packer.compress(b"some text")
            self.assertEqual(decompress(frame, 9), b"some text")
            for other in (frame[:-1] + bytes([frame[-1] ^ 1]), frame[:-1], frame[:-4]):
                self.assertRaises(Malformed, decompress, other, 9)

    def test_a_window_may_be_as_large_as_what_comes_out(self) -> None:
        """Of 144 MiB, in a frame that does not announce its length: run-length blocks of 128 KiB."""
        length = 144 << 20
        block, last = bytes.fromhex("02001000"), bytes.fromhex("03001000")
        frame = bytes.fromhex("28b52ffd" + "0089") + block * ((length >> 17) - 1) + last
        self.assertEqual(len(decompress(frame, length)), length)
        with self.assertRaises(Malformed):
            decompress(frame, length - 1)

    def test_no_frame_asks_for_more_memory_than_8_mib_or_its_length(self) -> None:
        for window, is_refused in (("68", False), ("69", True), ("88", True)):
            frame = bytes.fromhex("28b52ffd" + "00" + window + "fbff0f" + "00")
            with self.assertRaises(Malformed) if is_refused else nullcontext():
                decompress(frame, 131_071)

    def test_a_body_is_bounded(self) -> None:
        with patch("hushkeep_reader.sealing.MAX_BODY_LENGTH", 5):
            self.assertEqual(decode_body(b"\0" + bytes(5)), bytes(5))
            for body in (b"\0" + bytes(6), b"\1\6"):
                self.assertRaises(Malformed, decode_body, body)

    def test_reads_no_more_of_an_object_than_is_there(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            Path(scratch, "packs").mkdir()
            Path(scratch, "packs", "a").write_bytes(b"some bytes")
            storage = Storage(Path(scratch))
            for start, length, expected in (
                (0, 1 << 62, b"some bytes"),
                (5, 3, b"byt"),
                (5, 1 << 40, b"bytes"),
                (10, 1, b""),
                (1 << 62, 1 << 62, b""),
                (1 << 64, 1, b""),
            ):
                self.assertEqual(storage.read_range(Kind.PACK, "a", start, length), expected)

    def test_older_secrets(self) -> None:
        two = b"\0" + bytes(32) + b"\1" + bytes(32)
        self.assertEqual(list(read_older_secrets(two, sealed_under=2)), [0, 1])
        for data, epoch in ((two, 1), (two[:-1], 2), (two[33:] + two[:33], 2)):
            self.assertRaises(Malformed, read_older_secrets, data, epoch)

    def test_joining_takes_the_greater_row(self) -> None:
        earlier, later = Tables(packs={b"k": b"\0a"}), Tables(packs={b"k": b"\1a"}, commits={b"c": b"\0"})
        self.assertEqual(earlier.join(later), later)
        self.assertEqual(later.join(earlier), later)

    def test_what_may_become_of_a_row(self) -> None:
        lasting = encode_varint(300) + bytes(32)
        for earlier, later, goes_on in (
            (b"\0" + lasting, b"\0" + lasting, True),
            (b"\0" + lasting, b"\1" + lasting + b"\5", True),
            (b"\1" + lasting + b"\5", b"\2" + lasting, True),
            (b"\1" + lasting + b"\5", b"\1" + lasting + b"\6", True),
            (b"\1" + lasting + b"\5", b"\1" + lasting + b"\4", False),
            (b"\1" + lasting + b"\5", b"\0" + lasting, False),
            (b"\0" + lasting, b"\0" + lasting + b"\1", True),
            (b"\0" + lasting + b"\1", b"\0" + lasting, False),
            (b"\0" + lasting, b"\0" + lasting[:-1] + b"\1", False),
            (b"\0" + lasting, b"\1" + lasting[:-1] + b"\1", False),
            (b"\0" + lasting, b"\1" + lasting[:-1], False),
        ):
            with self.subTest(earlier=earlier, later=later):
                self.assertIs(Tables(packs={b"k": later}).continue_all(Tables(packs={b"k": earlier})), goes_on)
        self.assertTrue(Tables(snapshots={b"k": b"\1b"}).continue_all(Tables(snapshots={b"k": b"\0a"})))
        self.assertFalse(Tables(snapshots={b"k": b"\0b"}).continue_all(Tables(snapshots={b"k": b"\0a"})))
        self.assertFalse(Tables().continue_all(Tables(commits={b"k": b"\0\1a"})))

    def test_no_snapshot_vanishes_untold(self) -> None:
        told = b"\xac\2" + bytes(16)
        rows = {
            **{b"live": b"\0record", b"forgotten": b"\1" + told, b"cut short": b"\1" + told[:-1]},
            **{b"and more": b"\1" + told + b"\0", b"needed": b"\2", b"not needed": b"\xff" + told},
        }
        tables = Tables(snapshots=rows)
        self.assertEqual(tables.unknown_snapshots, [b"cut short", b"needed", b"not needed"])
        self.assertEqual(list(tables.live_snapshots()), [b"live"])

    def test_statuses_of_packs(self) -> None:
        lasting = bytes(33)
        rows = {bytes([status]): bytes([status]) + lasting + b"\1" for status in (0, 1, 2, 254, 253, 255)}
        rows |= {b"short": b"\0" + lasting[:-1], b"too short": b"\1" + lasting[:-1]}
        read = Tables(packs=rows).pack_rows
        self.assertEqual([key[0] for key, row in read.items() if row.is_live], [0, 2, 254])
        self.assertEqual([key[0] for key, row in read.items() if row.is_dropped], [255])
        self.assertEqual(len(read), 6)

    def test_a_row_without_the_number_of_its_commit_is_one(self) -> None:
        digests, unreadable = b"p" * 16 + b"l" * 16, b"\xff" * 10
        for number in (b"", b"\x80", unreadable):
            for status in (1, 3, 255):
                pack = read_pack_row(bytes([status]) + b"\5" + digests + number)
                self.assertEqual(pack, PackRow(status, 5, b"p" * 16, b"l" * 16))
            index = read_index_row(b"\1\0\5" + digests[:16] + number)
            self.assertEqual(index, IndexRow(1, b"p" * 16))
        self.assertIsNone(read_index_row(b"\1\0\5" + digests[:15]))

    def test_a_passphrase_is_the_first_line_of_its_file(self) -> None:
        for text in ("a b ", "\ufeffa b \n", "a b \n", "a b \r\n", "a b \n\n", "a b \nnot this"):
            self.assertEqual(normalize(text), b"a b ")
        self.assertEqual(normalize("a\r"), b"a\r")
        self.assertRaises(WrongKey, normalize, "\n")
        self.assertRaises(WrongKey, normalize, "\ufeff\n")

    def test_nothing_is_written_through_a_link(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            outside = Path(scratch, "outside")
            outside.mkdir()
            target = Target(Path(scratch, "target"))
            os.symlink(outside, Path(scratch, "target", "x"))
            metadata = Metadata(0o644, Time(0, 0))
            with self.assertRaises(OSError):
                target.write_file(b"x/y", metadata, [b"data"], sparse=False)
            with self.assertRaises(NotPossible):
                target.write_file(b"x", metadata, [b"data"], sparse=False)
            with self.assertRaises(NotPossible):
                target.make_hard_link(b"y", b"x")
            self.assertEqual(list(outside.iterdir()), [])

    def test_the_target_is_new_or_empty(self) -> None:
        self.assertRaises(NotPossible, Target, HERE)
