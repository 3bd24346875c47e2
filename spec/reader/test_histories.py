#!/usr/bin/env python3
"""Tests of configs, epochs and commits, with repositories that no writer makes (§3.6, §11.4, §12).

python3 spec/reader/test_histories.py
"""

import os
import tempfile
import unittest
from pathlib import Path

from hushkeep_reader.encoding import encode_byte_string
from hushkeep_reader.errors import Damaged, NewerVersion, NoRepository, RolledBack, WrongKey
from hushkeep_reader.memory import LEAST_AGE_OF_DROPPED, SeenTip
from hushkeep_reader.repository import Repository, open_repository
from hushkeep_reader.salvage import salvage_repository
from hushkeep_reader.storage import Storage
from making import Made, Maker, encode_record, numbered, snapshot_row

K0, K1, K2 = (bytes([number]) * 32 for number in (0x10, 0x11, 0x12))


class HistoryTest(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.place = Path(scratch.name)
        self.maker = Maker(self.place, [K0, K1, K2])

    def open(self, key: bytes = K0) -> Repository:
        return open_repository(Storage(self.place), lambda config: key)

    def numbers(self, repository: Repository) -> list[int]:
        return [snapshot.number for snapshot in repository.snapshots]

    def back_up(self, file_name: str, *parents: Made, epoch: int = 0, config: int = 1, depth: int = 0) -> Made:
        """A commit with a snapshot that has its number."""
        row = snapshot_row(int(file_name.partition("-")[0]))
        return self.maker.commit(file_name, list(parents), epoch=epoch, config=config, depth=depth, snapshots=row)

    def rotate(self, file_name: str, *parents: Made) -> Made:
        """From epoch 0 to epoch 1, under config 2."""
        self.maker.config(2, epoch=1)
        self.maker.epoch_starts = b""
        rotation = self.maker.commit(file_name, list(parents), epoch=1, config=2)
        self.maker.epoch_starts += rotation.id
        return rotation

    def store_at(self, file_name: str, seconds: int) -> None:
        os.utime(self.place / "commits" / file_name, (seconds, seconds))

    def change(self, name: str, at: int = 100) -> None:
        path = self.place / name
        data = bytearray(path.read_bytes())
        data[at] ^= 4
        path.write_bytes(data)


class TipsTest(HistoryTest):
    """§11.4."""

    def setUp(self) -> None:
        super().setUp()
        self.maker.config(1)
        self.first = self.back_up("0000000001")

    def test_joins_two_tips(self) -> None:
        self.back_up("0000000002-a", self.first)
        self.back_up("0000000002-b", self.first, depth=1)
        repository = self.open()
        self.assertEqual(len(repository.history.tips), 2)
        self.assertEqual(self.numbers(repository), [1, 2])

    def test_passes_over_a_commit_under_a_second_name(self) -> None:
        path = self.place / "commits" / self.first.file_name
        path.with_name("0000000001-b").write_bytes(path.read_bytes())
        self.assertEqual(len(self.open().history.tips), 1)

    def test_an_ancestor_is_one_whatever_its_status(self) -> None:
        row = b"\7" + encode_byte_string(b"0000000001")
        self.maker.commit("0000000002", [], snapshots=snapshot_row(2), commits={self.first.id: row})
        self.assertEqual(self.numbers(self.open()), [2])

    def test_goes_on_without_a_base(self) -> None:
        second = self.back_up("0000000002", self.first, depth=1)
        self.back_up("0000000003", second, depth=2)
        self.change("commits/0000000001")
        repository = self.open()
        self.assertEqual(self.numbers(repository), [2, 3])
        self.assertEqual([damaged.subject for damaged in repository.damage], ["commits/0000000001"])

    def test_a_format_version_that_no_config_tells_of_is_damage(self) -> None:
        self.back_up("0000000002", self.first, depth=1)
        self.change("commits/0000000001", at=8)
        self.assertEqual([damaged.subject for damaged in self.open().damage], ["commits/0000000001"])

    def test_commits_that_are_all_damaged(self) -> None:
        self.change("commits/0000000001")
        self.assertRaises(Damaged, self.open)

    def test_accepts_what_continues_what_was_seen(self) -> None:
        seen = self.open().tips_to_remember([], now=0)
        self.back_up("0000000002", self.first)
        repository = self.open()
        remembered = repository.tips_to_remember(seen, now=5)
        self.assertEqual(remembered, [SeenTip(repository.history.tips[0].id, numbered("0000000002"), 5)])

    def test_refuses_an_ancestor_of_which_a_row_is_missing(self) -> None:
        seen = self.open().tips_to_remember([], now=0)
        row = b"\0" + encode_byte_string(b"0000000001")
        self.maker.commit("0000000002", [], snapshots=snapshot_row(2), commits={self.first.id: row})
        self.assertRaises(RolledBack, self.open().tips_to_remember, seen, 0)

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


class RotationTest(HistoryTest):
    """§11.4 on outdated commits, and §12.5."""

    def setUp(self) -> None:
        super().setUp()
        self.old_config = self.maker.config(1)
        self.first = self.back_up("0000000001")

    def test_reads_what_was_written_before(self) -> None:
        rotation = self.rotate("0000000002", self.first)
        self.back_up("0000000003", rotation, epoch=1, config=2, depth=1)
        repository = self.open(K1)
        self.assertEqual(self.numbers(repository), [1, 3])
        self.assertEqual((repository.history.outdated, repository.damage), ([], []))

    def test_tells_that_the_key_was_changed(self) -> None:
        self.rotate("0000000002", self.first)
        self.assertRaises(WrongKey, self.open)
        self.old_config.unlink()
        self.assertRaises(WrongKey, self.open)

    def test_uses_nothing_that_was_written_under_the_old_key_afterwards(self) -> None:
        self.rotate("0000000002", self.first)
        self.back_up("0000000003", self.first)
        self.store_at("0000000002", 100)
        self.store_at("0000000003", 101)
        repository = self.open(K1)
        self.assertEqual(self.numbers(repository), [1])
        self.assertEqual([commit.name.number for commit in repository.history.outdated], [3])

    def test_an_outdated_commit_hides_no_other(self) -> None:
        rotation = self.rotate("0000000002", self.first)
        self.maker.commit("0000000009", [rotation])
        self.store_at("0000000009", 1 << 40)
        self.assertEqual([tip.name.number for tip in self.open(K1).history.tips], [2])

    def test_takes_what_the_writer_of_the_rotation_saw_too_late(self) -> None:
        late = self.back_up("0000000002-a", self.first)
        later = self.back_up("0000000003-a", late)
        rotation = self.rotate("0000000002-b", self.first)
        self.back_up("0000000004", rotation, epoch=1, config=2)
        for file_name, seconds in (("0000000002-b", 100), (late.file_name, 100), (later.file_name, 101)):
            self.store_at(file_name, seconds)
        repository = self.open(K1)
        self.assertEqual(self.numbers(repository), [1, 2, 4])
        self.assertEqual([commit.name.number for commit in repository.history.outdated], [3])
        repository = open_repository(Storage(self.place, tells_times=False), lambda config: K1)
        self.assertEqual(self.numbers(repository), [1, 4])

    def test_nothing_comes_too_late_for_a_writer_that_took_its_number_alone(self) -> None:
        late = self.back_up("0000000003", self.first)
        self.rotate("0000000002", self.first)
        for file_name, seconds in (("0000000002", 100), (late.file_name, 99)):
            self.store_at(file_name, seconds)
        repository = self.open(K1)
        self.assertEqual(self.numbers(repository), [1])
        self.assertEqual([commit.name.number for commit in repository.history.outdated], [3])

    def test_reads_outdated_commits_if_damage_leaves_no_tip(self) -> None:
        self.rotate("0000000002", self.first)
        # What its header says of it is gone as well.
        for place in (-1, 11):
            self.change("commits/0000000002", at=place)
            repository = self.open(K1)
            self.assertEqual(self.numbers(repository), [1])
            self.assertTrue(repository.damage)

    def test_a_device_whose_own_commit_came_too_late_needs_only_what_went_before(self) -> None:
        late = self.back_up("0000000003", self.first)
        seen = SeenTip(late.id, numbered("0000000003"), 0)
        self.rotate("0000000002", self.first)
        repository = self.open(K1)
        self.assertEqual([tip.name.number for tip in repository.tips_to_remember([seen], now=5)], [2])
        stranger = SeenTip(b"s" * 16, numbered("0000000001"), 0)
        self.assertRaises(RolledBack, repository.tips_to_remember, [stranger], 5)

    def test_a_rotation_that_was_not_completed(self) -> None:
        self.maker.config(2, epoch=1)
        self.assertEqual(self.numbers(self.open(K0)), [1])
        self.assertRaises(WrongKey, self.open, K1)
        keys = {1: K0, 2: K1}
        repository = open_repository(Storage(self.place), lambda config: keys[config.name.number])
        self.assertEqual(self.numbers(repository), [1])


class ConfigsTest(HistoryTest):
    """§12.2 to §12.4."""

    def test_refuses_a_clear_part_that_is_wrong(self) -> None:
        one, data = ({1: b"1234", 2: b"\1", 3: b""}, {1: b"1234", 2: b"\1", 3: b"x"})
        for protectors in ((one, one), (data,)):
            self.maker.config(1, protectors=tuple(map(encode_record, protectors)))
            self.assertRaises(Damaged, self.open)
        self.maker.config(1, protectors=(encode_record(one | {4: b""}),))
        self.assertRaises(NewerVersion, self.open)
        self.maker.config(1, protectors=(encode_record({1: b"1234", 2: b"\x63", 3: b"x"}),))
        self.open()

    def test_of_two_configs_with_one_number_the_tips_tell_which_holds(self) -> None:
        self.maker.config(1, suffix="a")
        digest = self.maker.config_digests[1]
        self.maker.config(1, suffix="b", protectors=(encode_record({1: b"1234", 2: b"\1", 3: b""}),))
        self.maker.config_digests[1] = digest
        self.back_up("0000000001")
        repository = self.open()
        self.assertEqual([damaged.subject for damaged in repository.damage], ["config/0000000001-b"])

    def test_a_withheld_config_is_missed(self) -> None:
        self.maker.config(2).unlink()
        self.maker.config(1)
        self.back_up("0000000001", config=2)
        self.assertRaises(Damaged, self.open)

    def test_a_stray_config_hides_no_other(self) -> None:
        self.maker.config(1)
        for number in (7, 8):
            stray = self.maker.config(number)
            self.change(f"config/{stray.name}", at=20)
        self.back_up("0000000001")
        self.assertEqual(len(self.open().damage), 2)

    def test_a_config_that_looks_newer_hides_no_other(self) -> None:
        first, second = self.maker.config(1), self.maker.config(1, suffix="b")
        self.change(f"config/{first.name}", at=8)
        self.assertEqual([damaged.subject for damaged in self.open().damage], [f"config/{first.name}"])
        self.change(f"config/{second.name}", at=8)
        self.assertRaises(NewerVersion, self.open)


class SalvageTest(HistoryTest):
    """§3.6."""

    def setUp(self) -> None:
        super().setUp()
        self.maker.config(1)
        rotation = self.rotate("0000000002", self.back_up("0000000001"))
        self.back_up("0000000003", rotation, epoch=1, config=2)
        for config in (self.place / "config").iterdir():
            config.unlink()

    def test_goes_on_when_no_config_is_left(self) -> None:
        self.assertRaises(NoRepository, self.open, K1)
        repository = salvage_repository(Storage(self.place), K1)
        self.assertEqual(self.numbers(repository), [1, 3])
        self.assertEqual([damaged.subject for damaged in repository.damage], ["config/"])

    def test_goes_on_beside_a_damaged_commit(self) -> None:
        self.change("commits/0000000003")
        self.assertEqual(self.numbers(salvage_repository(Storage(self.place), K1)), [1])

    def test_needs_the_newest_key(self) -> None:
        self.assertRaises(WrongKey, salvage_repository, Storage(self.place), K2)
        self.assertRaises(WrongKey, salvage_repository, Storage(self.place), K0)


if __name__ == "__main__":
    unittest.main()
