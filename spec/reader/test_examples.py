"""Tests of the examples that the specification gives."""

import unittest
from typing import Any

from hushkeep_reader.commits import read_commit
from hushkeep_reader.encoding import Time, encode_byte_string
from hushkeep_reader.errors import (
    Damaged,
    Malformed,
    TooNew,
)
from hushkeep_reader.name_lists import name_list_digest, read_name_list
from hushkeep_reader.nodes import NodeName
from hushkeep_reader.pack_tables import ListRow, Stretch, read_table
from hushkeep_reader.packs import Pack
from hushkeep_reader.passphrase import open_wrap, read_wrap
from hushkeep_reader.snapshots import read_snapshots
from making import numbered

LIST_A = b"\xa1" * 16


class ExamplesTest(unittest.TestCase):
    """The examples of §5 and of §8 to §11, and what must be refused beside them."""

    def test_passphrase_wrap(self) -> None:
        """No other protector or epoch has the key of this wrap."""
        wrap = read_wrap(
            bytes.fromhex(
                "0303809801 050102 070101 0910 63479ad69a090b258277ec8fba6f9941"
                "0b20 3aa6b26d9fce3cb21ad54229c033439b6cfaed8a677c3554e7c42038dd00d04d"
                "0d30 6ceaca798c46578aa80e01394c02c4f92acd32857dcd34353a790fdde86f1b2ae41c50077dc0f9b9aa2d6c6ef419d537"
            )
        )
        repository, protector = bytes.fromhex("e2885f2bbe3d7a8b08e328b9abf1e082"), bytes.fromhex("0badcafe")
        key = open_wrap(wrap, "correct horse battery staple", repository, 0, protector)
        self.assertEqual(key.hex(), "08c0805922501f99c041b654e6ca7e71bbe0af81f114b99f1bbb7870c6b5dd73")
        for epoch, other in ((1, protector), (0, b"\x0b\xad\xca\xff")):
            with self.assertRaises(Malformed):
                open_wrap(wrap, "correct horse battery staple", repository, epoch, other)

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
            encoded.replace("10648020", "12648020"),
            encoded.replace("10648020", "10648080808008"),
            encoded[:-2] + "02",
            encoded + "00",
            lists + "01" + "022414" + "01000001",
        ):
            with self.subTest(table=changed), self.assertRaises(Malformed):
                self.sound(changed)
        for later in ("20648020", "13648020", "ff648020"):
            self.sound(encoded.replace("10648020", later))
        self.sound(encoded, length=(1 << 38) - 1)
        for length in (136, 1 << 38):
            with self.assertRaises(Malformed):
                self.sound(encoded, length=length)
        self.sound(encoded, introduced={LIST_A: b"\xd0" * 16, bytes(16): bytes(16)})
        with self.assertRaises(Malformed):
            self.sound(encoded, introduced={LIST_A: bytes(16)})

    def test_table_of_several_lists(self) -> None:
        row = "a2" * 16 + "00" + "d0" * 16
        other = "a3" * 16 + "07" + "d0" * 16
        names = "027060" + "01000005" + "02a0019001" + "01010009"
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
        one_of_two = "01" + row + "02" + "001a0a" + "01" + "000001"
        self.sound(one_of_two + "023020" + "01000002")
        with self.assertRaises(Malformed):
            self.sound(one_of_two + "022f1f" + "01000002")

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
            + "1f0a 30303030303030303031"
        )
        commit = read_commit(body, numbered("0000000001"), epoch=0)
        self.assertEqual((commit.config_number, commit.depth), (1, 0))
        self.assertEqual((commit.own_file_name, commit.is_copy), ("0000000001", False))
        with self.assertRaises(Malformed):
            read_commit(body, numbered("0000000002"), epoch=0)
        with self.assertRaises(TooNew):
            read_commit(body + bytes.fromhex("2300"), numbered("0000000001"), epoch=0)
        parent = bytes(16) + encode_byte_string(b"../x")
        with self.assertRaises(Malformed):
            bad = body.replace(bytes.fromhex("0500"), b"\5" + encode_byte_string(parent), 1)
            read_commit(bad, numbered("0000000001"), epoch=0)
        with self.assertRaises(Malformed):
            read_commit(body.replace(b"\x1f\x0a0", b"\x1f\x0a/"), numbered("0000000001"), epoch=0)

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
        return ListRow(LIST_A, 0, name_list_digest(0, encoded))
