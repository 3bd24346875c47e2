"""Tests of file lists and page maps (§10)."""

import unittest
from contextlib import nullcontext
from unittest.mock import patch

from hushkeep_reader.contents import Content, ContentRange, Contents
from hushkeep_reader.encoding import Time, encode_byte_string, encode_varint
from hushkeep_reader.errors import (
    Damaged,
    Malformed,
)
from hushkeep_reader.file_lists import File, FileList, Folder, Line, Metadata, Newer, read_file_list
from hushkeep_reader.nodes import NodeName
from hushkeep_reader.page_maps import Run, read_page_map

LIST_A = b"\xa1" * 16


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
            "21ed03c801070007",
            "01802003c80107",
            "8100ed03c801070007",
            "810103ed03c801070007",
            "8500ed03c80107000700",
            "01ed03c801808094ebdc0300",
            "05802003c801070000",
            "05ed03c801070007",
        ):
            with self.assertRaises(Damaged):
                self.read_list(line("", bytes.fromhex(entry)))

    def test_names_entries_of_later_versions_and_reads_on(self) -> None:
        # A kind with every flag for files, and critical fields of a folder, a file and a hard link.
        metadata, critical = bytes(5), bytes.fromhex("020300")
        kinds = {"a": b"\7" + metadata + b"\0", "b": b"\x7d" + metadata + b"\1x"}
        kinds["c"] = b"\x85" + critical + metadata + b"\2xx"
        known = {"d": self.FOLDER, "e": self.FILE, "f": bytes.fromhex("04" + "00" * 5 + "0165")}
        fields = {path: bytes([entry[0] | 0x80]) + critical + entry[1:] for path, entry in known.items()}
        lines = (line(path, entry) for path, entry in (kinds | fields).items())
        root, *later, last = self.read_list(line("", self.FOLDER) + b"".join(lines) + line("g", self.FILE))
        self.assertIsInstance(root.entry, Folder)
        self.assertIsInstance(last.entry, File)
        entries = [one.entry for one in later if isinstance(one.entry, Newer)]
        self.assertEqual(len(entries), 6)

    def test_an_ignorable_field_of_an_entry_is_of_no_use(self) -> None:
        entry = bytes([self.FILE[0] | 0x80]) + bytes.fromhex("020200") + self.FILE[1:]
        _, file = self.read_list(line("", self.FOLDER) + line("a", entry))
        self.assertIsInstance(file.entry, File)

    def test_nothing_lies_in_what_is_of_a_later_kind(self) -> None:
        later = bytes.fromhex("05" + "00" * 5 + "00")
        file_list = self.read_partly(line("", self.FOLDER) + line("a", later) + line("a/b", self.FILE))
        self.assertIsInstance(file_list.failure, Damaged)
        self.assertEqual([entry.path for entry in file_list.entries], [b"", b"a"])

    def test_nothing_lies_below_what_is_not_understood(self) -> None:
        for newer in ("81" + "020300" + "00" * 5, "05" + "00" * 6):
            lines = line("", self.FOLDER) + line("a", bytes.fromhex(newer)) + line("d", self.FILE)
            self.assertEqual([isinstance(one.entry, Newer) for one in self.read_list(lines)], [False, True, False])
            lines = line("", self.FOLDER) + line("a", bytes.fromhex(newer)) + line("a/b", self.FILE)
            self.assertRaises(Damaged, self.read_list, lines)

    def test_a_newer_layer_hides_what_is_not_understood(self) -> None:
        later = bytes.fromhex("05" + "00" * 5 + "00")
        full = line("", self.FOLDER) + line("a", later) + line("b", later) + line("c", self.FILE)
        newest = line("a", self.FILE) + line("b", b"\0") + line("c", later)
        types = [type(one.entry) for one in self.read_list(newest, full)]
        self.assertEqual(types, [Folder, File, Newer])

    def test_a_block_is_a_single_content(self) -> None:
        fields = {5: LIST_A.hex(), 6: "0000", 8: "00"}
        for blocks, is_refused in (("000101", False), ("000101" + "000201", False), ("000101" + "000202", True)):
            contents = FakeContents({0: encode_record({**fields, 7: blocks})})
            contents.data |= {1: line("", self.FOLDER), 2: line("a", self.FILE), 3: line("b", self.FILE)}
            with self.assertRaises(Damaged) if is_refused else nullcontext():
                self.assertIsNone(read_file_list(contents, NodeName(LIST_A, 0)).failure)

    def test_the_paths_of_a_block_are_bounded(self) -> None:
        # Three bytes in the block, and eight in the paths.
        lines = line("", self.FOLDER) + line("aaa", self.FILE) + b"\3" + encode_byte_string(b"bb") + self.FILE
        with patch("hushkeep_reader.file_lists.MAX_BLOCK_PATHS_LENGTH", 8):
            self.assertEqual(len(self.read_list(lines)), 3)
        with patch("hushkeep_reader.file_lists.MAX_BLOCK_PATHS_LENGTH", 7):
            file_list = self.read_partly(lines)
        self.assertIsInstance(file_list.failure, Damaged)
        self.assertEqual([entry.path for entry in file_list.entries], [b"", b"aaa"])

    def test_what_is_held_of_a_list_is_bounded(self) -> None:
        """Two layers, of which the newer one has two blocks."""
        fields = {5: LIST_A.hex(), 6: "0000", 8: "00"}
        contents = FakeContents(chained([{**fields, 7: "000101" + "000301"}, {**fields, 7: "000501"}], depth=1))
        folder, short, long = line("", self.FOLDER), line("b", self.FILE), line("c" * 20, self.FILE)
        contents.data |= {1: short, 3: long, 5: folder}
        nodes = len(contents.data[0]) + len(contents.data[2])
        for limit, whole in (
            (nodes + len(long) + len(folder), [b"", b"b", b"c" * 20]),
            (nodes + len(long) + len(folder) - 1, []),
            (nodes + len(short) + len(folder), [b"", b"b"]),
            (nodes, []),
        ):
            with self.subTest(limit=limit), patch("hushkeep_reader.file_lists.MAX_LIST_LENGTH", limit):
                file_list = read_file_list(contents, NodeName(LIST_A, 0))
                self.assertEqual([entry.path for entry in file_list.entries], whole)
                self.assertEqual(file_list.failure is None, len(whole) == 3)
        with patch("hushkeep_reader.file_lists.MAX_LIST_LENGTH", nodes - 1), self.assertRaises(Damaged):
            read_file_list(contents, NodeName(LIST_A, 0))

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

    def test_the_nodes_of_a_page_map_are_bounded(self) -> None:
        full = {5: "8020", 6: "808001", 7: "a1" * 16, 8: "00000a03" + "00000f01"}
        delta = {**full, 8: "01001201"}
        length = sum(map(len, chained([delta, full], depth=1).values()))
        with patch("hushkeep_reader.page_maps.MAX_MAP_LENGTH", length):
            self.read_map(delta, full)
        with patch("hushkeep_reader.page_maps.MAX_MAP_LENGTH", length - 1), self.assertRaises(Damaged):
            self.read_map(delta, full)

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
