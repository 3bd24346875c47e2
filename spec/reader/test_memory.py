#!/usr/bin/env python3
"""Tests of what a device remembers, and of how it notices a roll-back (§11.4).

python3 spec/reader/test_memory.py
"""

import unittest
from contextlib import nullcontext
from dataclasses import replace

from hushkeep_reader.encoding import encode_byte_string, encode_varint
from hushkeep_reader.errors import NewerVersion, RolledBack
from hushkeep_reader.memory import LEAST_AGE_OF_DROPPED, SeenTip
from making import snapshot_row
from test_histories import K1, HistoryTest


class MemoryTest(HistoryTest):
    def setUp(self) -> None:
        super().setUp()
        self.maker.config(1)
        self.first = self.back_up("0000000001")

    def test_accepts_what_continues_what_was_seen(self) -> None:
        seen = self.open().tips_to_remember([], now=0)
        self.back_up("0000000002", self.first)
        repository = self.open()
        remembered = repository.tips_to_remember(seen, now=5)
        self.assertEqual(remembered, [SeenTip(repository.history.tips[0].id, "0000000002", 5)])

    def test_refuses_an_ancestor_of_which_a_row_is_missing(self) -> None:
        seen = self.open().tips_to_remember([], now=0)
        row = b"\0" + encode_byte_string(b"0000000001")
        self.maker.commit("0000000002", [], snapshots=snapshot_row(2), commits={self.first.id: row})
        self.assertRaises(RolledBack, self.open().tips_to_remember, seen, 0)

    def test_a_tip_that_was_seen_must_be_continued_as_well(self) -> None:
        pack_id, other_id = bytes([3]) * 16, bytes([4]) * 16
        lasting = encode_varint(300) + bytes(31) + b"\1"
        self.maker.commit("0000000002-b", [self.first], packs={pack_id: b"\0" + encode_varint(300) + bytes(32)})
        seen = self.open().tips_to_remember([], now=0)
        self.maker.commit("0000000002-a", [self.first], packs={other_id: b"\0" + lasting})
        self.assertEqual(len(self.open().tips_to_remember(seen, now=5)), 2)
        # It exchanges what the other tip has of the pack.
        self.maker.commit("0000000002-a", [self.first], packs={pack_id: b"\1" + lasting + b"\2"})
        repository = self.open()
        self.assertEqual(len(repository.history.tips), 2)
        self.assertRaises(RolledBack, repository.tips_to_remember, seen, 5)

    def test_a_tip_that_was_seen_may_have_lost_its_base(self) -> None:
        self.back_up("0000000002", self.first, depth=1)
        seen = self.open().tips_to_remember([], now=0)
        self.change("commits/0000000001")
        repository = self.open()
        [remembered] = repository.tips_to_remember(seen, now=5)
        self.assertEqual((remembered.id, remembered.seen), (seen[0].id, 5))
        self.assertEqual(self.subjects(repository), ["commits/0000000001"])

    def test_a_row_of_a_later_version_must_be_continued(self) -> None:
        key = b"k" * 16
        self.maker.commit("0000000002", [self.first], later_rows={key: b"\1b"})
        seen = self.open().tips_to_remember([], now=0)
        ancestor = {seen[0].id: b"\0" + encode_byte_string(b"0000000002")}
        for row, is_refused in ((b"\1b", False), (b"\1c", False), (b"\2a", False), (b"\1a", True), (b"\0c", True)):
            self.maker.commit("0000000003", [self.first], commits=ancestor, later_rows={key: row})
            with self.subTest(row=row), self.assertRaises(RolledBack) if is_refused else nullcontext():
                self.open().tips_to_remember(seen, now=5)

    def test_an_ancestor_may_be_dropped_when_it_is_old(self) -> None:
        seen = self.open().tips_to_remember([], now=0)
        for status, now, is_refused in (
            (b"\1", LEAST_AGE_OF_DROPPED, False),
            (b"\1", LEAST_AGE_OF_DROPPED - 1, True),
            (b"\0", LEAST_AGE_OF_DROPPED, True),
        ):
            row = status + encode_byte_string(b"0000000001")
            self.maker.commit("0000000002", [self.first], commits={self.first.id: row})
            (self.place / "commits" / "0000000001").unlink(missing_ok=True)
            if is_refused:
                self.assertRaises(RolledBack, self.open().tips_to_remember, seen, now)
            else:
                self.assertEqual(len(self.open().tips_to_remember(seen, now)), 1)

    def test_keeps_what_was_seen_and_is_damaged(self) -> None:
        [seen] = self.open().tips_to_remember([], now=0)
        self.back_up("0000000002", self.first)
        self.change("commits/0000000001")
        repository = self.open()
        self.assertIn(seen, repository.tips_to_remember([seen], now=5))
        self.assertTrue(repository.damage)

    def test_what_went_before_a_late_commit_must_be_there_whatever_it_calls_that(self) -> None:
        self.rotate("0000000002", self.first)
        for called, is_refused in (("x", True), ("0000000009", True), ("0000000001", False)):
            late = self.maker.commit("0000000003", [replace(self.first, file_name=called)])
            seen = SeenTip(late.id, "0000000003", 0)
            with self.subTest(called=called), self.assertRaises(RolledBack) if is_refused else nullcontext():
                self.assertEqual(len(self.open(K1).tips_to_remember([seen], now=5)), 1)

    def test_another_commit_in_its_place_is_a_roll_back_be_it_newer_or_not(self) -> None:
        second = self.back_up("0000000002", self.first)
        self.back_up("0000000003", second)
        for later in (None, {17: b""}):
            other = self.maker.commit("0000000002", [self.first], later=later)
            repository = self.open()
            self.assertRaises(RolledBack, repository.tips_to_remember, [SeenTip(second.id, "0000000002", 0)], 5)
        # If it is the one that was seen, nothing can be said of it.
        self.assertRaises(NewerVersion, repository.tips_to_remember, [SeenTip(other.id, "0000000002", 0)], 5)


class SecretsOfTipsTest(HistoryTest):
    """§3.6: the config that holds lacks the secret of the epoch 0, and the tips have it."""

    def setUp(self) -> None:
        super().setUp()
        self.maker.config(1)
        self.first = self.back_up("0000000001")
        self.seen = SeenTip(self.first.id, "0000000001", 0)
        self.maker.config(2, epoch=1, secrets=b"")

    def test_what_is_remembered_is_read_with_them(self) -> None:
        self.maker.commit("0000000002", [self.first], epoch=1, config=2)
        repository = self.open(K1)
        self.assertEqual(len(repository.tips_to_remember([self.seen], now=5)), 1)
        self.assertEqual(repository.damage, [])
        # It must be continued, then.
        row = b"\0" + encode_byte_string(b"0000000001")
        self.maker.commit("0000000002", [], epoch=1, config=2, commits={self.first.id: row})
        self.assertRaises(RolledBack, self.open(K1).tips_to_remember, [self.seen], 5)

    def test_of_two_that_disagree_the_first_counts(self) -> None:
        for number, damage in ((2, []), (4, ["commits/0000000001"])):
            self.maker.commit("0000000003", [self.first], epoch=1, config=2)
            other = self.maker.commit(f"{number:010}", [self.first], epoch=1, config=2, secrets=b"\0" + bytes(32))
            repository = self.open(K1)
            repository.tips_to_remember([self.seen], now=5)
            self.assertEqual(self.subjects(repository), damage)
            (self.place / "commits" / other.file_name).unlink()

    def test_they_open_no_base_of_a_tip(self) -> None:
        second = self.maker.commit("0000000002", [self.first], epoch=1, config=2, depth=1)
        seen = SeenTip(second.id, "0000000002", 0)
        repository = self.open(K1)
        self.assertEqual((self.numbers(repository), self.subjects(repository)), ([], ["commits/0000000001"]))
        self.assertEqual(len(repository.tips_to_remember([seen], now=5)), 1)
        self.assertEqual(self.subjects(repository), ["commits/0000000001"])


if __name__ == "__main__":
    unittest.main()
