#!/usr/bin/env python3
"""Tests that `check_vectors.py` notices what differs, with vectors made up of one small repository.

python3 spec/reader/test_check_vectors.py
"""

import json
import shutil
import tempfile
import unittest
from pathlib import Path
from typing import Any

from check_vectors import check_vector, find_vectors
from hushkeep_reader import blake3
from making import Maker

KEY_TEXT = "08c0 8059 2250 1f99 c041 b654 e6ca 7e71 bbe0 af81 f114 b99f 1bbb 7870 c6b5 dd73 444d 3b54"
KEY = bytes.fromhex(KEY_TEXT.replace(" ", ""))[:32]
LIST = b"\xa1" * 16


class CheckVectorsTest(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.root = Path(scratch.name)
        self.valid, self.invalid = self.root / "valid" / "small", self.root / "invalid" / "small"
        self.maker = maker = Maker(self.valid / "repository", [KEY])
        maker.config(1)
        snapshot = maker.file_list(LIST, {"x": b"s/xs", "%": b"s/%s/"})
        pack = maker.pack(LIST, [(LIST, 0, 1)], [(LIST, 1, 3)])
        self.commit = maker.commit("0000000001", [], snapshots=snapshot, packs=pack.row(0))
        [snapshot_id] = snapshot
        files = {
            "s/x": {"len": 4, "blake3": blake3.PLAIN.digest(b"s/xs").hex()},
            "s/%25": {"len": 5, "blake3": blake3.PLAIN.digest(b"s/%s/").hex()},
        }
        self.snapshot: dict[str, Any] = {
            "number": 1,
            "id": snapshot_id.hex(),
            "files": files,
            "folders": ["s"],
            "links": {},
        }
        (self.valid / "key.txt").write_text(KEY_TEXT)
        shutil.copytree(self.valid, self.invalid)
        self.pack = self.invalid / "repository" / "packs" / LIST.hex()

    def check(self, vector: Path, **expected: Any) -> list[str]:
        (vector / "expected.json").write_text(json.dumps(expected))
        return check_vector(vector)

    def test_finds_vectors_by_walking(self) -> None:
        self.assertEqual(find_vectors(self.root), [])
        self.check(self.valid, snapshots=[self.snapshot])
        self.assertEqual(find_vectors(self.root), [self.valid])

    def test_a_valid_vector(self) -> None:
        self.assertEqual(self.check(self.valid, snapshots=[self.snapshot]), [])
        self.assertEqual(len(self.check(self.valid, snapshots=[])), 1)
        changes: tuple[dict[str, Any], ...] = (
            {"id": "00" * 16},
            {"files": {"s/x": self.snapshot["files"]["s/x"]}},
            {"files": self.snapshot["files"] | {"s/y": {"len": 0, "blake3": ""}}},
            {"files": self.snapshot["files"] | {"s/x": {"len": 4, "blake3": "00" * 32}}},
            {"folders": []},
            {"links": {"s/link": "x"}},
            {"hard_links": {"s/x": "s/%25"}},
        )
        for changed in changes:
            with self.subTest(changed=changed):
                self.assertTrue(self.check(self.valid, snapshots=[self.snapshot | changed]))

    def test_snapshots_of_which_nothing_is_shown(self) -> None:
        unknown = {b"v" * 16: b"\x80", b"u" * 16: b"\1"}
        self.maker.commit("0000000002", [self.commit], snapshots=unknown)
        ids = [b"v".hex() * 16, b"u".hex() * 16]
        self.assertEqual(self.check(self.valid, snapshots=[self.snapshot], unknown_snapshots=ids), [])
        for differs in ({}, {"unknown_snapshots": ids[:1]}, {"unknown_snapshots": [*ids, "00" * 16]}):
            self.assertEqual(len(self.check(self.valid, snapshots=[self.snapshot], **differs)), 1)

    def test_damage_that_costs_a_file(self) -> None:
        data = bytearray(self.pack.read_bytes())
        data[70] ^= 1
        self.pack.write_bytes(data)
        expected: dict[str, Any] = {"object": f"packs/{LIST.hex()}", "class": "damaged", "still_restores": ["s/x"]}
        self.assertEqual(self.check(self.invalid, **expected), [])
        changes: tuple[dict[str, Any], ...] = (
            {"class": "newer"},
            {"object": "packs/other"},
            {"still_restores": ["s/%25", "s/x"]},
            {"still_restores": []},
            {"still_restores": None},
        )
        for changed in changes:
            with self.subTest(changed=changed):
                self.assertTrue(self.check(self.invalid, **expected | changed))

    def test_a_repository_that_must_not_be_opened(self) -> None:
        expected: dict[str, Any] = {"object": None, "still_restores": None}
        self.assertTrue(self.check(self.invalid, **expected, **{"class": "damaged"}))
        shutil.rmtree(self.invalid / "repository" / "config")
        self.assertTrue(self.check(self.invalid, **expected, **{"class": "damaged"}))
        self.assertEqual(self.check(self.invalid, **expected, **{"class": "no-repository"}), [])

    def test_what_the_device_remembers(self) -> None:
        expected: dict[str, Any] = {"class": "rolled-back", "object": None, "still_restores": None}
        for commit_id, is_rolled_back in ((self.commit.id, False), (bytes(16), True)):
            tip = {"id": commit_id.hex(), "name": self.commit.file_name}
            (self.invalid / "memory.json").write_text(json.dumps({"tips": [tip], "seconds": 5}))
            self.assertIs(self.check(self.invalid, **expected) == [], is_rolled_back)


if __name__ == "__main__":
    unittest.main()
