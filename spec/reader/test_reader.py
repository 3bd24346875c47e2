#!/usr/bin/env python3
"""Tests of the reader: BLAKE3's own vectors, those beside the specification, its examples, and a whole repository.

python3 spec/reader/test_reader.py
"""

import json
import os
import shutil
import tempfile
import unittest
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from hushkeep_reader import blake3
from hushkeep_reader.commits import read_commit
from hushkeep_reader.compression import decompress
from hushkeep_reader.contents import Content, ContentRange, Contents
from hushkeep_reader.encoding import Cursor, Time, encode_byte_string, encode_varint, read_record
from hushkeep_reader.errors import (
    Damaged,
    Malformed,
    NewerVersion,
    NoRepository,
    NotPossible,
    ReaderError,
    RolledBack,
    TooNew,
    WrongKey,
)
from hushkeep_reader.file_lists import File, FileList, Folder, Line, Metadata, read_file_list
from hushkeep_reader.keys import EpochKeys, KeyRing, Kind, digest, read_older_secrets
from hushkeep_reader.memory import read_memory, write_memory
from hushkeep_reader.name_lists import read_name_list
from hushkeep_reader.nodes import NodeName
from hushkeep_reader.pack_tables import ListRow, Stretch, read_table
from hushkeep_reader.packs import Pack
from hushkeep_reader.page_maps import Run, read_page_map
from hushkeep_reader.passphrase import normalize, open_wrap, read_wrap
from hushkeep_reader.paths import refuse_bad_path, show
from hushkeep_reader.recovery_key import read_recovery_key
from hushkeep_reader.repository import Repository, open_repository
from hushkeep_reader.restore import Failure, restore
from hushkeep_reader.sealing import open_single, read_header
from hushkeep_reader.snapshots import read_snapshots
from hushkeep_reader.storage import Storage, read_numbered_name
from hushkeep_reader.tables import Tables
from hushkeep_reader.target import Target
from hushkeep_reader.unlocking import key_by_passphrase
from make_test_repository import describe

HERE = Path(__file__).parent
VECTORS = HERE.parent / "vectors" / "core"
MADE_BEFOREHAND = HERE / "test_repository"
LIST_A = b"\xa1" * 16


class Blake3Test(unittest.TestCase):
    """With the inputs of the vectors that BLAKE3's authors publish."""

    KEY = b"whats the Elvish word for friend"
    CONTEXT = "BLAKE3 2019-12-27 16:29:52 test vectors context"
    BEGINNINGS = (
        (0, "af1349b9f5f9a1a6a040", "92b2b75604ed3c761f9d", "2cc39783c223154fea8d"),
        (1, "2d3adedff11b61f14c88", "6d7878dfff2f485635d3", "b3e2e340a117a499c6cf"),
        (1023, "10108970eeda3eb932ba", "c951ecdf03288d0fcc96", "74a16c1c3d44368a86e1"),
        (1024, "42214739f095a406f3fc", "75c46f6f3d9eb4f55eca", "7356cd7720d5b66b6d06"),
        (1025, "d00278ae47eb27b34fae", "357dc55de0c7e382c900", "effaa245f065fbf82ac1"),
        (3073, "7124b49501012f81cc7f", "68dede9bef00ba89e43f", "72613c9ec9ff7e40f8f5"),
        (7169, "a003fc7a51754a9b3c7f", "ed9b1a922c046fdb3d42", "554b0a5efea9ef183f2f"),
    )

    @staticmethod
    def message(length: int) -> bytes:
        return bytes(number % 251 for number in range(length))

    def test_gives_the_published_results(self) -> None:
        modes = (blake3.PLAIN, blake3.keyed(self.KEY), blake3.derive_key(self.CONTEXT))
        for length, *beginnings in self.BEGINNINGS:
            for mode, beginning in zip(modes, beginnings, strict=True):
                self.assertEqual(mode.digest(self.message(length)).hex()[:20], beginning)

    def test_gives_the_same_side_by_side(self) -> None:
        messages = [self.message(length) for length, *_ in self.BEGINNINGS]
        self.assertEqual(blake3.PLAIN.digests(messages), [blake3.PLAIN.digest(message) for message in messages])

    def test_gives_the_same_in_pieces(self) -> None:
        piece_length = blake3.MAX_LANES * blake3.CHUNK_LENGTH
        for length in (0, piece_length, 2 * piece_length + 1):
            message = bytes(length)
            hasher = blake3.Hasher()
            hasher.update(message[: length // 3])
            hasher.update(message[length // 3 :])
            self.assertEqual(hasher.digest(), blake3.PLAIN.digest(message))


class VectorsTest(unittest.TestCase):
    """The vectors of §1 to §5. What a writer makes is read back."""

    def test_integers(self) -> None:
        self.check("integers", lambda given: {}, self.read_integer_back)
        self.check("integers-read", lambda given: {"unsigned": str(whole_varint(bytes.fromhex(given["encoding"])))})

    def test_records(self) -> None:
        self.check("records-read", self.read_record)

    def test_keys(self) -> None:
        self.check("keys", self.derive_keys)

    def test_objects(self) -> None:
        self.check("objects", lambda given: {}, self.open_object_back)
        self.check("objects-read", lambda given: {"body": open_object(given, given["object"]).hex()})

    def test_recovery_keys(self) -> None:
        self.check("recovery-keys", lambda given: {}, self.read_recovery_key_back)
        self.check("recovery-keys-read", self.read_recovery_key)

    def test_passphrase_wraps(self) -> None:
        self.check("passphrase-wraps", lambda given: {}, self.open_wrap_back)
        self.check("passphrase-wraps-read", lambda given: {"backup_key": unwrap(given, given["wrap"]).hex()})

    def check(
        self,
        file_stem: str,
        read: Callable[[dict[str, Any]], dict[str, Any]],
        read_back: Callable[[dict[str, Any], dict[str, Any]], None] = lambda given, output: None,
    ) -> None:
        for vector in json.loads((VECTORS / f"{file_stem}.json").read_text("utf-8")):
            with self.subTest(file=file_stem, about=vector["about"]):
                given, output = vector["input"], vector["output"]
                if "refused" in output:
                    self.assertRaises((Malformed, TooNew, ReaderError), read, given)
                else:
                    self.assertLessEqual(read(given).items(), output.items())
                    read_back(given, output)

    def read_integer_back(self, given: dict[str, Any], output: dict[str, Any]) -> None:
        cursor = Cursor(bytes.fromhex(output["encoding"]))
        value = cursor.signed() if "signed" in given else cursor.varint()
        self.assertEqual(str(value), given.get("signed", given.get("unsigned")))

    def read_record(self, given: dict[str, Any]) -> dict[str, Any]:
        last_known = given["last_known"]
        record = read_record(bytes.fromhex(given["record"]), last_known, optional=range(1, last_known + 1))
        return {"unknown": {str(number): value.hex() for number, value in record.unknown.items()}}

    def derive_keys(self, given: dict[str, Any]) -> dict[str, Any]:
        keys = epoch_keys(given)
        return {
            "epoch_secret": keys.secret.hex(),
            "key_check": keys.key_check().hex(),
            "content_name": keys.content_names([bytes.fromhex(given["content"])])[0].hex(),
        }

    def open_object_back(self, given: dict[str, Any], output: dict[str, Any]) -> None:
        if given["table"] or len(given["segments"]) != 1:
            return
        self.assertEqual(open_object(given, output["object"]).hex(), given["segments"][0])

    def read_recovery_key(self, given: dict[str, Any]) -> dict[str, Any]:
        key = read_recovery_key(given["text"])
        if key.repaired_group is None:
            return {"exact": key.backup_key.hex()}
        return {"proposed": key.backup_key.hex(), "wrong_group": key.repaired_group}

    def read_recovery_key_back(self, given: dict[str, Any], output: dict[str, Any]) -> None:
        self.assertEqual(read_recovery_key(output["text"]).backup_key.hex(), given["backup_key"])

    def open_wrap_back(self, given: dict[str, Any], output: dict[str, Any]) -> None:
        self.assertEqual(unwrap(given, output["wrap"]).hex(), given["backup_key"])


class ExamplesTest(unittest.TestCase):
    """The examples of §8 to §11, and what must be refused beside them."""

    def test_table_of_a_pack(self) -> None:
        lists = "01" + "a1" * 16 + "00" + "d0" * 16
        encoded = lists + "02" + "10648020" + "01000001" + "022414" + "01000001"
        data, names = self.sound(encoded).segments
        self.assertEqual((data.start, data.length, names.start, names.stretches[0].count), (68, 4096, 168, 1))
        for changed in (
            encoded.replace(lists, "00"),
            encoded.replace("00" + "d0" * 16, "01" + "d0" * 16),
            encoded.replace("10648020" + "01000001", "10648020" + "01000002"),
            encoded.replace("10648020" + "01000001", "10648020" + "01000101"),
            encoded.replace("10648020" + "01000001", "10648020" + "00"),
            encoded.replace("10648020" + "01000001", "10648020" + "0200000100000001"),
            encoded.replace("022414", "002414"),
            encoded.replace("10648020", "20648020"),
            encoded.replace("10648020", "12648020"),
            encoded.replace("10648020", "10648080808008"),
            encoded[:-2] + "02",
            encoded + "00",
            lists + "01" + "022414" + "01000001",
        ):
            with self.subTest(table=changed), self.assertRaises(Malformed):
                self.sound(changed)
        with self.assertRaises(Malformed):
            self.sound(encoded, length=136)
        self.sound(encoded, introduced={LIST_A: b"\xd0" * 16, bytes(16): bytes(16)})
        with self.assertRaises(Malformed):
            self.sound(encoded, introduced={LIST_A: bytes(16)})

    def test_table_of_several_lists(self) -> None:
        row = "a2" * 16 + "00" + "d0" * 16
        other = "a3" * 16 + "07" + "d0" * 16
        names = "022414" + "01000005" + "022414" + "01010009"
        self.sound("02" + row + other + "03" + "001a0a" + "03" + "000201" + "010801" + "000001" + names)
        for changed in (
            "02" + row + row + "03" + "001a0a" + "02" + "000201" + "010801" + names,
            "02" + row + other + "03" + "001a0a" + "01" + "000201" + names,
            "02" + row + other + "03" + "001a0a" + "02" + "000201" + "010901" + names,
            "02" + row + other + "03" + "001a0a" + "03" + "000202" + "010801" + "000301" + names,
            "02" + row + other + "03" + "001202" + "02" + "000202" + "010801" + names,
            "02" + row + other + "03" + "001a0a" + "02" + "000201" + "010801" + names[14:] + names[:14],
            "02" + row + other + "02" + "001a0a" + "02" + "000201" + "010801" + names[:14],
        ):
            with self.subTest(table=changed), self.assertRaises(Malformed):
                self.sound(changed)

    def test_table_that_announces_more_than_it_has(self) -> None:
        for data in (b"\x02" + bytes(33), b"\x00\x02" + bytes(7), bytes.fromhex("00 01 00 10 00 02 000000")):
            self.assertRaises(Malformed, read_table, data)

    def sound(self, encoded: str, length: int = 32_768, introduced: dict[bytes, bytes] | None = None) -> Any:
        return Pack(LIST_A, 0, bytes(32), length, bytes.fromhex(encoded)).sound_table(introduced or {})

    def test_name_list(self) -> None:
        encoded = bytes.fromhex("03" + "802002" + "6401") + bytes(range(48))
        names = read_name_list(encoded, self.list_row(encoded), 3)
        self.assertEqual(names.lengths(Stretch(0, 0, 3)), [4096, 4096, 100])
        self.assertEqual(names.name(2), bytes(range(32, 48)))
        self.assertRaises(Malformed, names.lengths, Stretch(0, 1, 3))
        for changed in (
            encoded + b"\0",
            encoded.replace(b"\x64\x01", b"\x64\x02"),
            encoded.replace(b"\x80\x20\x02", b"\x64\x02"),
            encoded.replace(b"\x64\x01", b"\x00\x01"),
            b"\x7f" + encoded[1:],
            b"\x02" + encoded[1:4] + bytes(32),
        ):
            with self.subTest(list=changed), self.assertRaises(Malformed):
                read_name_list(changed, self.list_row(changed), 3)
        with self.assertRaises(Malformed):
            read_name_list(encoded, self.list_row(encoded + b"\0"), 3)

    def test_commit(self) -> None:
        body = bytes.fromhex(
            "030101 0500 0703c80107 090101 0b0101 0d00 0f0100 110100 130100 1500 1700 1900 1b00 1d10"
            + "c0" * 16
            + "1f00"
        )
        commit = read_commit(body, numbered("0000000001"), epoch=0)
        self.assertEqual((commit.config_number, commit.depth), (1, 0))
        self.assertEqual(commit.epoch_starts, ())
        with self.assertRaises(Malformed):
            read_commit(body, numbered("0000000002"), epoch=0)
        with self.assertRaises(TooNew):
            read_commit(body + bytes.fromhex("2100"), numbered("0000000001"), epoch=0)
        parent = bytes(16) + encode_byte_string(b"../x")
        with self.assertRaises(Malformed):
            bad = body.replace(bytes.fromhex("0500"), b"\5" + encode_byte_string(parent), 1)
            read_commit(bad, numbered("0000000001"), epoch=0)

    def test_snapshot(self) -> None:
        source = "03056368617473" + "050d2f686f6d652f612f6368617473" + "070101" + "090105" + "0b11" + "a1" * 16 + "03"
        row = bytes.fromhex(
            "030101" + "0503c80107" + "0710" + "d5" * 16 + "090570686f6e65" + "0b30" + "2f" + source + "0d0100"
        )
        snapshot_id = bytes.fromhex("30e33073227a29ec3df5ac95d9483bb6")
        [snapshot] = read_snapshots({snapshot_id: row})
        self.assertEqual((snapshot.device_name, snapshot.time), ("phone", Time(100, 7)))
        self.assertEqual(snapshot.sources[0].file_list, NodeName(LIST_A, 3))
        self.assertRaises(Damaged, read_snapshots, {bytes(16): row})

    def list_row(self, encoded: bytes) -> ListRow:
        return ListRow(LIST_A, 0, digest("hushkeep/1 name list", encoded))


class NodesTest(unittest.TestCase):
    """File lists and page maps, from contents that are only made for them (§10)."""

    FOLDER = bytes.fromhex("01ed03c801070007")
    FILE = bytes.fromhex("02a403c801070007" + "05" + "01000201")

    def test_reads_the_example(self) -> None:
        root, file = self.read_list(line("", self.FOLDER) + line("a", self.FILE))
        metadata = Metadata(0o755, Time(100, 7))
        self.assertEqual(root, Line(b"", Folder(metadata), "a pack"))
        expected = File(Metadata(0o644, Time(100, 7)), 5, None, False, [ContentRange(LIST_A, 2, 1)])
        self.assertEqual(file, Line(b"a", expected, "a pack"))

    def test_merges_deltas(self) -> None:
        full = line("", self.FOLDER) + line("a", self.FILE) + line("b", self.FILE)
        newest = line("a", b"\0") + line("a-b", self.FOLDER) + line("c", self.FILE)
        self.assertEqual([entry.path for entry in self.read_list(newest, full)], [b"", b"a-b", b"b", b"c"])

    def test_refuses_a_chain_that_does_not_count_down(self) -> None:
        full = line("", self.FOLDER)
        for depth in (0, 2, 33):
            with self.assertRaises(Damaged):
                self.read_list(full, full, depth=depth)

    def test_refuses_what_could_leave_the_target(self) -> None:
        link = bytes.fromhex("03ff03c801070007") + encode_byte_string(b"/tmp")
        root = line("", self.FOLDER)
        for whole, lines in (
            ([], line("a", self.FOLDER)),
            ([b"", b"x"], root + line("x", link) + line("x/y", self.FILE)),
            ([b""], root + line("x/y", self.FILE)),
            ([b""], root + line("..", self.FILE)),
            ([b"", b"b"], root + line("b", self.FILE) + line("a", self.FILE)),
            ([b"", b"b"], root + line("b", self.FILE) + line("b", self.FILE)),
            ([b""], root + line("a", bytes.fromhex("04a403c801070007") + encode_byte_string(b"../x"))),
        ):
            with self.subTest(lines=lines):
                file_list = self.read_partly(lines)
                self.assertIsInstance(file_list.failure, Damaged)
                self.assertEqual([entry.path for entry in file_list.entries], whole)

    def test_gives_what_comes_before_damage_in_any_layer(self) -> None:
        root, removed = line("", self.FOLDER), line("..", b"\0")
        full = root + line("a", self.FILE) + line("c", self.FILE)
        for layers, whole in (
            ((line("b", self.FILE) + removed, full), [b"", b"a", b"b"]),
            ((line("b", self.FILE) + line("d", self.FILE), full + removed), [b"", b"a", b"b", b"c"]),
            ((line("b", self.FILE), removed), []),
            ((line("b", self.FILE), b""), []),
        ):
            file_list = self.read_partly(*layers)
            self.assertEqual([entry.path for entry in file_list.entries], whole)
            self.assertIsInstance(file_list.failure, Damaged)

    def test_a_list_may_be_empty(self) -> None:
        contents = FakeContents({0: encode_record({5: "", 6: "", 7: "", 8: "00"})})
        self.assertEqual(read_file_list(contents, NodeName(LIST_A, 0)), FileList([], None))

    def test_refuses_entries_it_would_misread(self) -> None:
        for entry in (
            "08",
            "05ed03c801070007",
            "21ed03c801070007",
            "01802003c80107",
            "810001",
            "01ed03c801808094ebdc0300",
        ):
            with self.assertRaises(Damaged):
                self.read_list(line("", bytes.fromhex(entry)))
        with self.assertRaises(NewerVersion):
            self.read_list(line("", bytes.fromhex("81020300")))

    def test_refuses_references_beyond_the_tables(self) -> None:
        for reference in ("010001", "000000", "00ffffffff0f01"):
            with self.assertRaises(Damaged):
                self.read_list(line("", self.FOLDER) + line("a", self.FILE[:-3] + bytes.fromhex(reference)))

    def test_a_file_of_several_contents_needs_a_hash(self) -> None:
        begin, end = "a403c801070007" + "05", ("01" + "000102", "02" + "000101" + "000101")
        for references in end:
            without, with_hash = "02" + begin + references, "42" + begin + "00" * 32 + references
            self.read_list(line("", self.FOLDER) + line("a", bytes.fromhex(with_hash)))
            with self.assertRaises(Damaged):
                self.read_list(line("", self.FOLDER) + line("a", bytes.fromhex(without)))

    def test_reads_a_page_map(self) -> None:
        full = {5: "8020", 6: "808001", 7: "a1" * 16, 8: "00000a03" + "00000f01"}
        self.assertEqual(self.read_map(full), [self.run_of(0, 5, 3), self.run_of(3, 0, 1)])
        shorter = {**full, 6: "806e", 8: "01001201"}
        expected = [self.run_of(0, 5, 1), self.run_of(1, 9, 1), self.run_of(2, 7, 1), self.run_of(3, 0, 1)]
        self.assertEqual(self.read_map(shorter, full, length=14_080), expected)
        for changed in (
            {5: "8040"},
            {7: "a2" * 16},
            {8: "00000a03"},
            {8: "01000a03"},
            {8: "00000a04" + "00000f01"},
            {8: "00000105"},
            {8: "00010a04"},
            {8: "00000a00" + "00000004"},
        ):
            with self.subTest(changed=changed), self.assertRaises(Damaged):
                self.read_map({**full, **changed})
        with self.assertRaises(Damaged):
            self.read_map(full, length=16_383)

    def test_lays_page_maps_over_one_another(self) -> None:
        full = {5: "8020", 6: "80a006", 7: "a1" * 16, 8: "00000019"}
        longer = {**full, 6: "80c006", 8: "0500c80102" + "00000001" + "10000002"}
        expected = [(0, 0, 5), (5, 100, 2), (7, 102, 1), (8, 8, 16), (24, 103, 2)]
        self.assertEqual(self.read_map(longer, full, length=26 * 4096), [self.run_of(*run) for run in expected])
        with self.assertRaises(Damaged):
            self.read_map({**longer, 8: "1a000001"}, full, length=26 * 4096)
        # The base was longer, and what it had beyond the end of the shorter map between is gone.
        shorter = {**full, 6: "808001", 8: ""}
        with self.assertRaises(Damaged):
            self.read_map({**full, 8: ""}, shorter, full, length=25 * 4096, depth=2)

    def test_a_page_map_of_a_few_bytes_may_claim_billions_of_pages(self) -> None:
        pages = (1 << 32) - 1
        run = "0000" + "00" + encode_varint(pages).hex()
        fields = {5: "8004", 6: encode_varint(pages * 512).hex(), 7: "a1" * 16, 8: run}
        [whole] = read_page_map(FakeContents({0: encode_record(fields)}), NodeName(LIST_A, 0), 512, pages * 512)
        self.assertEqual(whole.end, pages)

    def run_of(self, first: int, position: int, count: int) -> Run:
        return Run(first, ContentRange(LIST_A, position, count))

    def read_list(self, *layers: bytes, depth: int = 1) -> list[Line]:
        """A file list that is whole."""
        file_list = self.read_partly(*layers, depth=depth)
        if file_list.failure:
            raise file_list.failure
        return file_list.entries

    def read_partly(self, *layers: bytes, depth: int = 1) -> FileList:
        """A file list of these layers, the newest first. Node and block of a layer lie beside each other."""
        fields = {5: LIST_A.hex(), 6: "0000", 8: "00"}
        nodes = [{**fields, 7: f"00{2 * number + 1:02x}01"} for number in range(len(layers))]
        contents = FakeContents(chained(nodes, depth))
        for number, block in enumerate(layers):
            contents.data[2 * number + 1] = block
        return read_file_list(contents, NodeName(LIST_A, 0))

    def read_map(self, *nodes: dict[int, str], length: int = 16_384, depth: int = 1) -> list[Run]:
        return read_page_map(FakeContents(chained(list(nodes), depth)), NodeName(LIST_A, 0), 4096, length)


class RulesTest(unittest.TestCase):
    """Rules that stand by themselves."""

    def test_paths(self) -> None:
        for path in (b"/a", b"a/", b"a//b", b".", b"a/..", b"a\0", b"a" * 65_537):
            self.assertRaises(Malformed, refuse_bad_path, path)
        for path in (b"", b"a", b"a/b", b"...", b"\xff"):
            refuse_bad_path(path)

    def test_shows_no_path_that_writes_to_the_terminal(self) -> None:
        self.assertEqual(show("a\x1b[2J\u202eé".encode() + b"\xff\\"), "a\\x1b[2J\\xe2\\x80\\xaeé\\xff\\\\")

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

    def test_no_frame_asks_for_more_memory_than_8_mib_or_its_length(self) -> None:
        for window, is_refused in (("68", False), ("69", True), ("88", True)):
            frame = bytes.fromhex("28b52ffd" + "00" + window + "fbff0f" + "00")
            with self.assertRaises(Malformed) if is_refused else nullcontext():
                decompress(frame, 131_071)

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
            (b"\0" + lasting, b"\0" + lasting + b"\1", False),
            (b"\0" + lasting, b"\1" + lasting[:-1] + b"\1", False),
            (b"\0" + lasting, b"\1" + lasting[:-1], False),
        ):
            with self.subTest(earlier=earlier, later=later):
                self.assertIs(Tables(packs={b"k": later}).continue_all(Tables(packs={b"k": earlier})), goes_on)
        self.assertTrue(Tables(snapshots={b"k": b"\1b"}).continue_all(Tables(snapshots={b"k": b"\0a"})))
        self.assertFalse(Tables(snapshots={b"k": b"\0b"}).continue_all(Tables(snapshots={b"k": b"\0a"})))
        self.assertFalse(Tables().continue_all(Tables(commits={b"k": b"\0\1a"})))

    def test_statuses_of_packs(self) -> None:
        lasting = bytes(33)
        rows = {bytes([status]): bytes([status]) + lasting + b"\1" for status in (0, 1, 2, 254, 253, 255)}
        rows |= {b"short": b"\0" + lasting[:-1], b"no number": b"\1" + lasting}
        read = Tables(packs=rows).pack_rows
        self.assertEqual([key[0] for key, row in read.items() if row.is_live], [0, 2, 254])
        self.assertEqual([key[0] for key, row in read.items() if row.is_dropped], [255])
        self.assertEqual(len(read), 6)

    def test_passphrases_lose_one_line_break_and_nothing_else(self) -> None:
        for text in ("a b ", "a b \n", "a b \r\n"):
            self.assertEqual(normalize(text), b"a b ")
        self.assertEqual(normalize("a\r"), b"a\r")
        self.assertEqual(normalize("a\n\n"), b"a\n")
        self.assertRaises(WrongKey, normalize, "\n")

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


class RepositoryTest(unittest.TestCase):
    """The repository that `make_test_repository.py` made, whole and damaged."""

    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.scratch = Path(scratch.name)
        self.place = self.scratch / "repository"
        shutil.copytree(MADE_BEFOREHAND / "repository", self.place)
        self.expected = json.loads((MADE_BEFOREHAND / "expected.json").read_text("utf-8"))
        self.key = read_recovery_key((MADE_BEFOREHAND / "recovery-key.txt").read_text()).backup_key

    def open(self) -> Repository:
        return open_repository(Storage(self.place), lambda config: self.key)

    def restore(self, repository: Repository, number: int, target: str = "target") -> list[Failure]:
        return restore(repository.contents, repository.snapshots[number], Target(self.scratch / target))

    def test_restores_every_snapshot(self) -> None:
        repository = self.open()
        self.assertEqual(len(repository.snapshots), len(self.expected))
        for number, expected in enumerate(self.expected):
            with self.subTest(snapshot=number):
                self.assertEqual(self.restore(repository, number, f"target{number}"), [])
                self.assertEqual(describe(self.scratch / f"target{number}"), expected)
        self.assertEqual(repository.damage, [])

    def test_opens_with_the_passphrase(self) -> None:
        passphrase = (MADE_BEFOREHAND / "passphrase.txt").read_text()
        open_repository(Storage(self.place), lambda config: key_by_passphrase(config, passphrase))
        with self.assertRaises(WrongKey):
            open_repository(Storage(self.place), lambda config: key_by_passphrase(config, passphrase + "x"))

    def test_finds_snapshots_by_the_beginning_of_their_id(self) -> None:
        repository = self.open()
        newest = repository.snapshots[-1]
        self.assertEqual(repository.find(""), newest)
        self.assertEqual(repository.find(newest.id.hex()[:12].upper()), newest)
        self.assertRaises(NotPossible, repository.find, "no id")

    def test_tells_a_wrong_key_from_no_repository(self) -> None:
        self.key = bytes(32)
        self.assertRaises(WrongKey, self.open)
        shutil.rmtree(self.place / "config")
        self.assertRaises(NoRepository, self.open)
        self.place = self.scratch
        self.assertRaises(NoRepository, self.open)

    def test_ignores_what_others_leave_behind(self) -> None:
        for name in ("commits/desktop.ini", "commits/0000000009.tmp", "config/1", "packs/x", "index/Y"):
            (self.place / name).write_bytes(b"not an object")
        self.assertEqual(self.restore(self.open(), 0), [])

    def test_a_damaged_pack_costs_its_files_only(self) -> None:
        packs = [self.place / "packs" / pack for pack in sorted(os.listdir(self.place / "packs"))]
        whole = max(packs, key=lambda pack: pack.stat().st_size)
        change_byte(whole, 70)
        failures = self.restore(self.open(), -1)
        self.assertTrue(failures)
        self.assertTrue(all(isinstance(failure.error, Damaged) for failure in failures))
        lost = {os.fsdecode(failure.path) for failure in failures}
        restored = describe(self.scratch / "target")
        self.assertEqual(restored.keys() | lost, self.expected[-1].keys())
        for path, about in restored.items():
            self.assertEqual(about.get("sha256"), self.expected[-1][path].get("sha256"))

    def test_reads_without_index_objects(self) -> None:
        shutil.rmtree(self.place / "index")
        repository = self.open()
        self.assertEqual(self.restore(repository, -1), [])
        self.assertEqual(len(repository.damage), 3)

    def test_refuses_an_index_object_in_anothers_place(self) -> None:
        one, other, _ = sorted((self.place / "index").iterdir())
        shutil.copy(one, other)
        repository = self.open()
        self.assertEqual(self.restore(repository, -1), [])
        self.assertEqual([damaged.subject for damaged in repository.damage], [f"index/{other.name}"])

    def test_goes_on_below_a_damaged_commit(self) -> None:
        change_byte(self.place / "commits" / "0000000004", 100)
        repository = self.open()
        self.assertEqual(len(repository.snapshots), len(self.expected) - 1)
        self.assertEqual([damaged.subject for damaged in repository.damage], ["commits/0000000004"])
        self.assertEqual(self.restore(repository, -1), [])

    def test_goes_on_beside_a_damaged_base(self) -> None:
        change_byte(self.place / "commits" / "0000000001", 100)
        repository = self.open()
        self.assertEqual([snapshot.number for snapshot in repository.snapshots], [2, 4])
        self.assertEqual(self.restore(repository, -1), [])

    def test_stops_at_a_newer_commit(self) -> None:
        change_byte(self.place / "commits" / "0000000004", 8)
        self.assertRaises(NewerVersion, self.open)

    def test_stops_at_a_config_that_asks_for_a_newer_reader(self) -> None:
        change_byte(self.newest_configs()[0], 70)
        self.assertRaises(NewerVersion, self.open)

    def test_does_not_trust_a_config_that_was_replaced(self) -> None:
        for config in (self.place / "config").glob("0000000002-*"):
            config.unlink()
        self.assertRaises(Damaged, self.open)

    def test_goes_on_with_another_copy_of_a_damaged_config(self) -> None:
        first = self.newest_configs()[0]
        change_byte(first, 2000)
        self.assertEqual([damaged.subject for damaged in self.open().damage], [f"config/{first.name}"])

    def test_refuses_a_config_under_another_number(self) -> None:
        for config in self.newest_configs():
            config.rename(config.with_name("0000000003" + config.name[10:]))
        self.assertRaises(Damaged, self.open)

    def newest_configs(self) -> list[Path]:
        return sorted((self.place / "config").glob("0000000002-*"), reverse=True)

    def test_notices_a_roll_back(self) -> None:
        memory = self.scratch / "memory"
        self.assertEqual(read_memory(memory), [])
        write_memory(memory, self.open().tips_to_remember([]))
        self.assertEqual(self.open().tips_to_remember(read_memory(memory)), read_memory(memory))
        (self.place / "commits" / "0000000004").unlink()
        self.assertRaises(RolledBack, self.open().tips_to_remember, read_memory(memory))

    def test_accepts_a_history_that_goes_on(self) -> None:
        newest = self.place / "commits" / "0000000004"
        aside = newest.rename(self.scratch / "aside")
        earlier = self.open().tips_to_remember([])
        shutil.move(aside, newest)
        repository = self.open()
        [tip] = repository.tips_to_remember(earlier)
        self.assertEqual(tip.id, repository.history.tips[0].id)
        change_byte(self.place / "commits" / "0000000003", 100)
        repository = self.open()
        self.assertLessEqual({*earlier, tip}, set(repository.tips_to_remember(earlier)))
        self.assertTrue(repository.damage)


class FakeContents(Contents):
    """Contents of one list, by position, that need no storage."""

    def __init__(self, data: dict[int, bytes]) -> None:
        self.data = data

    def refuse_unknown_lists(self, list_ids: list[bytes]) -> None:
        if list_ids not in ([], [LIST_A]):
            raise Malformed("a list is not known")

    def find(self, list_id: bytes, position: int) -> Content:
        if position not in self.data:
            raise Malformed("a content is gone")
        return Content(self.data[position], "a pack")


def chained(nodes: list[dict[int, str]], depth: int) -> dict[int, bytes]:
    """Nodes at every second position, the newest first with this depth, each on the next."""
    data = {}
    for number, fields in enumerate(nodes):
        chain = {}
        if number < len(nodes) - 1:
            base = LIST_A.hex() + f"{2 * number + 2:02x}"
            chain = {1: base, 2: encode_varint(depth - number).hex(), 3: "00", 4: "00"}
        data[2 * number] = encode_record({**chain, **fields})
    return data


def encode_record(fields: dict[int, str]) -> bytes:
    return b"".join(
        encode_varint(2 * number + 1) + encode_byte_string(bytes.fromhex(value))
        for number, value in sorted(fields.items())
    )


def line(path: str, entry: bytes) -> bytes:
    """A line of a block that shares nothing with the one before."""
    return b"\0" + encode_byte_string(path.encode()) + entry


def whole_varint(data: bytes) -> int:
    cursor = Cursor(data)
    value = cursor.varint()
    cursor.end()
    return value


def epoch_keys(given: dict[str, Any]) -> EpochKeys:
    return EpochKeys.of_backup_key(
        bytes.fromhex(given["backup_key"]), bytes.fromhex(given["repository"]), given["epoch"]
    )


def open_object(given: dict[str, Any], encoded: str) -> bytes:
    keys = epoch_keys(given)
    data = bytes.fromhex(encoded)
    header = read_header(data, Kind[given["kind"].upper()])
    return open_single(data, header, KeyRing(keys.repository, {given["epoch"]: keys}))


def unwrap(given: dict[str, Any], encoded: str) -> bytes:
    wrap = read_wrap(bytes.fromhex(encoded))
    repository, protector = bytes.fromhex(given["repository"]), bytes.fromhex(given["protector"])
    return open_wrap(wrap, given["passphrase"], repository, protector)


def numbered(file_name: str) -> Any:
    return read_numbered_name(file_name)


def change_byte(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.write_bytes(data)


if __name__ == "__main__":
    unittest.main()
