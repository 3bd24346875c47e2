#!/usr/bin/env python3
"""Tests of where contents are found, with packs that no writer makes (§8.3, §9.1, §10.3).

python3 spec/reader/test_packs.py
"""

import tempfile
import unittest
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from hushkeep_reader.checking import check_objects
from hushkeep_reader.encoding import encode_varint
from hushkeep_reader.errors import Damaged, NewerVersion
from hushkeep_reader.repository import Repository, open_repository
from hushkeep_reader.restore import restore
from hushkeep_reader.storage import Storage
from hushkeep_reader.target import Target
from making import FOLDER, MadePack, Maker, Rows, file_entry

KEY = bytes([0x10]) * 32
LIST_A, LIST_B, PACK_C, INDEX = (bytes([number]) * 16 for number in (0xA1, 0xB1, 0xC1, 0xD1))


class PacksTest(unittest.TestCase):
    """A snapshot of two files, `x` and `y`, whose contents have the positions 0 and 1 of list A."""

    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.place = Path(scratch.name)
        self.maker = Maker(self.place / "repository", [KEY])
        self.maker.config(1)
        self.snapshot = self.maker.file_list(LIST_A, {"x": b"one", "y": b"another"})
        self.maker.lists[LIST_B] = [b"of another list"]
        self.own = self.maker.pack(LIST_A, [(LIST_A, 0, 2)], [(LIST_A, 2, 2)])

    def publish(self, packs: Rows, indexes: Rows | None = None) -> None:
        self.maker.commit("0000000001", [], snapshots=self.snapshot, packs=packs, indexes=indexes)

    def open(self) -> Repository:
        return open_repository(Storage(self.place / "repository"), lambda config: [KEY])

    def read(self) -> tuple[dict[str, bytes], set[str]]:
        """The files that come back, and what is blamed for others or found by reading everything."""
        repository = self.open()
        target = Path(tempfile.mkdtemp(dir=self.place))
        failures = restore(repository.contents, repository.snapshots[0], Target(target))
        blamed = {str(failure.error).partition(":")[0] for failure in failures}
        blamed |= {refused.subject for refused in [*check_objects(repository), *repository.damage]}
        files = {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()}
        return files, blamed

    def assert_whole(self) -> None:
        self.assertEqual(self.read(), ({"s/x": b"one", "s/y": b"another"}, set()))

    def drop_own(self) -> Rows:
        (self.place / "repository" / "packs" / LIST_A.hex()).unlink()
        return self.own.row(255)

    def copied(self, first: int = 0) -> MadePack:
        """A pack with contents of list A from a position on, among others."""
        return self.maker.pack(PACK_C, [(LIST_B, 0, 1), (LIST_A, 3, 1), (LIST_A, first, 2 - first)], [(LIST_A, 2, 1)])

    def test_reads_a_pack_from_itself_or_from_an_index_object(self) -> None:
        self.publish(self.own.row(0))
        self.assert_whole()
        self.publish(self.own.row(0), self.maker.index(INDEX, self.own))
        self.assert_whole()

    def test_finds_what_was_copied_beside_contents_of_another_list(self) -> None:
        copied = self.copied()
        self.publish(self.drop_own() | copied.row(0), self.maker.index(INDEX, self.own, copied))
        self.assert_whole()

    def test_what_is_gone_costs_the_files_that_need_it(self) -> None:
        copied = self.copied(first=1)
        self.publish(self.drop_own() | copied.row(0))
        self.assertEqual(self.read(), ({"s/y": b"another"}, {f"packs/{LIST_A.hex()}"}))

    def test_looks_up_live_packs_before_marked_ones(self) -> None:
        copied = self.copied()
        self.publish(self.own.row(1) | copied.row(2))
        places = self.open().contents.catalog.places(LIST_A, 0)
        self.assertEqual([place.pack.id for place in places], [PACK_C, LIST_A])
        self.assert_whole()

    def test_an_index_object_that_says_more_is_damage_and_the_rest_counts(self) -> None:
        self.publish(self.own.row(0), self.maker.index(INDEX, self.copied(), self.own))
        self.assertEqual(self.read(), ({"s/x": b"one", "s/y": b"another"}, {f"index/{INDEX.hex()}"}))

    def test_no_pack_redefines_the_list_of_another(self) -> None:
        self.maker.lists[LIST_A][0] = b"exchanged"
        exchanged = self.copied()
        self.publish(self.drop_own() | exchanged.row(0))
        self.assertEqual(self.read(), ({}, {f"packs/{PACK_C.hex()}", f"packs/{LIST_A.hex()}"}))

    def test_the_digest_of_a_list_binds_without_the_number_of_a_commit(self) -> None:
        self.maker.lists[LIST_A][0] = b"exchanged"
        exchanged = self.copied()
        cut_off = {pack_id: row[:-1] for pack_id, row in self.drop_own().items()}
        self.publish(cut_off | exchanged.row(0))
        self.assertEqual(self.read(), ({}, {f"packs/{PACK_C.hex()}", f"packs/{LIST_A.hex()}"}))

    def test_looks_in_packs_without_a_row_when_a_commit_is_damaged(self) -> None:
        self.publish({})
        self.assertEqual(self.read()[0], {})
        damaged = self.place / "repository" / "commits" / "0000000002"
        damaged.write_bytes(bytes(200))
        self.assertEqual(self.read(), ({"s/x": b"one", "s/y": b"another"}, {"commits/0000000002"}))

    def test_takes_a_class_of_later_versions_like_data(self) -> None:
        made = self.maker.pack(LIST_A, [(LIST_A, 0, 2)], [(LIST_A, 2, 2)], tags={0: 0x03, 1: 0x0F})
        self.publish(made.row(0), self.maker.index(INDEX, made))
        self.assert_whole()

    def test_a_coding_of_later_versions_costs_what_is_in_the_segment(self) -> None:
        made = self.maker.pack(LIST_A, [(LIST_A, 0, 1)], [(LIST_A, 1, 3)], tags={0: 0x20})
        self.publish(made.row(0), self.maker.index(INDEX, made))
        self.assertEqual(self.read(), ({"s/y": b"another"}, {f"packs/{LIST_A.hex()}"}))
        self.assertTrue(all(isinstance(refused, NewerVersion) for refused in check_objects(self.open())))

    def test_takes_from_another_pack_what_is_of_a_later_coding(self) -> None:
        # The contents of one file, and the names of the list.
        for segment in (0, 2):
            made = self.maker.pack(LIST_A, [(LIST_A, 0, 1)], [(LIST_A, 1, 3)], tags={segment: 0xF0 + segment})
            copied = self.copied()
            self.publish(made.row(0) | copied.row(0))
            with self.subTest(segment=segment):
                self.assertEqual(self.read(), ({"s/x": b"one", "s/y": b"another"}, {f"packs/{LIST_A.hex()}"}))

    def test_a_table_that_no_trailer_has_room_for_is_refused(self) -> None:
        self.publish(self.own.row(0), self.maker.index(INDEX, self.own))
        length = len(self.own.pack.encoded_table)
        with patch("hushkeep_reader.pack_tables.MAX_TABLE_LENGTH", length):
            self.assert_whole()
        with patch("hushkeep_reader.pack_tables.MAX_TABLE_LENGTH", length - 1):
            self.assertEqual(self.read(), ({}, {f"packs/{LIST_A.hex()}", f"index/{INDEX.hex()}"}))

    def test_a_pack_that_should_be_longer_than_any_can_be_is_damaged(self) -> None:
        for length in ((1 << 38) - 1, 1 << 38, 1 << 62, (1 << 63) + 5, (1 << 64) - 1):
            pack = replace(self.own.pack, length=length)
            lasting = encode_varint(length) + pack.digest() + self.own.lasting[-16:]
            told = MadePack(pack, lasting)
            for indexes in ({}, self.maker.index(INDEX, told)):
                self.publish(told.row(0), indexes)
                with self.subTest(length=length, is_told=bool(indexes)):
                    files, blamed = self.read()
                    self.assertIn(f"packs/{LIST_A.hex()}", blamed)
                    self.assertTrue(length < 1 << 38 or not files)

    def test_an_index_object_is_at_most_1_gib_long(self) -> None:
        self.publish(self.own.row(0), self.maker.index(INDEX, self.own))
        with (self.place / "repository" / "index" / INDEX.hex()).open("r+b") as index:
            index.truncate((1 << 30) + 1)
        self.assertEqual(self.read(), ({"s/x": b"one", "s/y": b"another"}, {f"index/{INDEX.hex()}"}))
        repository = self.open()
        _ = repository.contents
        self.assertEqual([damaged.reason for damaged in repository.damage], ["it is too long"])

    def test_what_is_not_understood_costs_itself(self) -> None:
        """What is another name of it is not understood, either."""
        extra, metadata = b"\2\3\0", bytes(5)
        others = {
            "d": bytes([0x80 | FOLDER[0]]) + extra + FOLDER[1:],
            "f": b"\x82" + extra + file_entry(0, 3)[1:],
            "g": b"\4" + metadata + b"\1f",
            "h": b"\4" + metadata + b"\1x",
            "k": b"\x0e" + metadata + b"\2??",
            "l": b"\4" + metadata + b"\1k",
            "m": b"\4" + metadata + b"\1d",
            "z": b"\4" + metadata + b"\1x",
        }
        self.snapshot = self.maker.file_list(LIST_A, {"x": b"one", "y": b"another"}, others)
        self.own = self.maker.pack(LIST_A, [(LIST_A, 0, 2)], [(LIST_A, 2, 2)])
        self.publish(self.own.row(0))
        repository = self.open()
        target = self.place / "target"
        failures = restore(repository.contents, repository.snapshots[0], Target(target))
        found = {failure.path.decode(): type(failure.error) for failure in failures}
        # The file that `h` names comes later.
        expected = dict.fromkeys(("s/d", "s/f", "s/g", "s/k", "s/l", "s/m"), NewerVersion) | {"s/h": Damaged}
        self.assertEqual(found, expected)
        self.assertEqual({path.name for path in target.rglob("*")}, {"s", "x", "y", "z"})

    def test_a_changed_bit_anywhere_in_a_pack_is_found(self) -> None:
        self.publish(self.own.row(0), self.maker.index(INDEX, self.own))
        pack = self.place / "repository" / "packs" / LIST_A.hex()
        whole = pack.read_bytes()
        for at in range(0, len(whole), 7):
            pack.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            with self.subTest(at=at):
                self.assertTrue(check_objects(self.open()))


if __name__ == "__main__":
    unittest.main()
