#!/usr/bin/env python3
"""Tests of configs, epochs and commits, with repositories that no writer makes (§3.6, §11.4, §12).

python3 spec/reader/test_histories.py
"""

import tempfile
import unittest
from pathlib import Path

from hushkeep_reader.checking import check_objects
from hushkeep_reader.encoding import encode_byte_string
from hushkeep_reader.errors import Damaged, NewerVersion, NoConfigLeft, NoRepository, RolledBack, WrongKey
from hushkeep_reader.memory import SeenTip
from hushkeep_reader.repository import Repository, open_repository
from hushkeep_reader.salvage import salvage_repository
from hushkeep_reader.storage import Storage
from making import Made, Maker, encode_record, snapshot_row

K0, K1, K2 = (bytes([number]) * 32 for number in (0x10, 0x11, 0x12))


class HistoryTest(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.place = Path(scratch.name)
        self.maker = Maker(self.place, [K0, K1, K2])

    def open(self, key: bytes = K0) -> Repository:
        return open_repository(Storage(self.place), lambda config: [key])

    def open_by_config(self, keys: dict[int, bytes]) -> Repository:
        """With keys that are got by the protectors of configs of some numbers."""
        return open_repository(Storage(self.place), lambda config: [keys[config.name.number]])

    def numbers(self, repository: Repository) -> list[int]:
        return [snapshot.number for snapshot in repository.snapshots]

    def back_up(self, file_name: str, *parents: Made, epoch: int = 0, config: int = 1, depth: int = 0) -> Made:
        """A commit with a snapshot that has its number."""
        row = snapshot_row(int(file_name.partition("-")[0]))
        return self.maker.commit(file_name, list(parents), epoch=epoch, config=config, depth=depth, snapshots=row)

    def rotate(self, file_name: str, *parents: Made) -> Made:
        """From epoch 0 to epoch 1, under config 2."""
        self.maker.config(2, epoch=1)
        return self.maker.commit(file_name, list(parents), epoch=1, config=2)

    def subjects(self, repository: Repository) -> list[str]:
        """Of the damage."""
        return [damaged.subject for damaged in repository.damage]

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

    def test_reads_no_base_of_what_is_known_already(self) -> None:
        """Of a copy, or of a commit that an ancestor's row calls otherwise."""
        delta = self.back_up("0000000002", self.first, depth=1)
        row = b"\0" + encode_byte_string(b"x")
        self.maker.commit("0000000003", [], snapshots=snapshot_row(3), commits={self.first.id: row, delta.id: row})
        path = self.place / "commits" / delta.file_name
        path.with_name("0000000002-b").write_bytes(path.read_bytes())
        (self.place / "commits" / self.first.file_name).unlink()
        repository = self.open()
        self.assertEqual((self.numbers(repository), self.subjects(repository)), ([3], []))

    def test_an_ancestor_is_one_whatever_its_status(self) -> None:
        row = b"\7" + encode_byte_string(b"0000000001")
        self.maker.commit("0000000002", [], snapshots=snapshot_row(2), commits={self.first.id: row})
        self.assertEqual(self.numbers(self.open()), [2])

    def test_a_commit_drops_none_that_has_its_number_or_a_higher_one(self) -> None:
        """Not even for those that follow it as a delta."""
        names = (b"0000000001-x", b"0000000002-x", b"0000000003-x", b"9", b"0000000002.x")
        rows = {bytes([at]) * 16: b"\1" + encode_byte_string(name) for at, name in enumerate(names, start=1)}
        second = self.maker.commit("0000000002", [self.first], commits=rows)
        for file_name in ("0000000001-x", "0000000002-x", "0000000003-x"):
            self.back_up(file_name)
        self.back_up("0000000004", second, depth=1)
        history = self.open().history
        self.assertEqual([tip.name.file_name for tip in history.tips], ["0000000004", "0000000003-x", "0000000002-x"])
        kept = history.tables.commits.keys() - {self.first.id, second.id}
        self.assertEqual({key[0] for key in kept}, {1, 4, 5})

    def test_goes_on_without_a_base(self) -> None:
        second = self.back_up("0000000002", self.first, depth=1)
        self.back_up("0000000003", second, depth=2)
        self.change("commits/0000000001")
        repository = self.open()
        self.assertEqual(self.numbers(repository), [2, 3])
        self.assertEqual([damaged.subject for damaged in repository.damage], ["commits/0000000001"])

    def test_a_base_of_another_id_is_damage_be_it_newer_or_not(self) -> None:
        second = self.back_up("0000000002", self.first)
        self.back_up("0000000003", second, depth=1)
        for later in (None, {17: b""}):
            other = self.maker.commit("0000000002", [self.first], later=later)
            repository = self.open()
            self.assertEqual((self.numbers(repository), self.subjects(repository)), ([1, 3], ["commits/0000000002"]))
        self.back_up("0000000003", other, depth=1)
        self.assertRaises(NewerVersion, self.open)

    def test_an_ancestor_that_was_replaced_is_found_when_all_is_read(self) -> None:
        second = self.back_up("0000000002", self.first)
        self.back_up("0000000003", second)
        self.assertEqual(check_objects(self.open()), [])
        for later in (None, {17: b""}):
            self.maker.commit("0000000002", [self.first], later=later)
            [damaged] = check_objects(self.open())
            self.assertIsInstance(damaged, Damaged)
            self.assertEqual(damaged.subject, "commits/0000000002")
        # It is none if that is an ancestor, too.
        other = self.maker.commit("0000000002", [self.first])
        self.maker.commit("0000000003", [second, other])
        self.assertEqual(check_objects(self.open()), [])
        # Where it may be gone, the name may have been used again.
        row = b"\1" + encode_byte_string(b"0000000002")
        self.maker.commit("0000000003", [self.first], commits={second.id: row})
        self.assertEqual(check_objects(self.open()), [])

    def test_a_format_version_that_no_config_tells_of_is_damage(self) -> None:
        self.back_up("0000000002", self.first, depth=1)
        self.change("commits/0000000001", at=8)
        self.assertEqual([damaged.subject for damaged in self.open().damage], ["commits/0000000001"])

    def test_commits_that_are_all_damaged(self) -> None:
        self.change("commits/0000000001")
        self.assertRaises(Damaged, self.open)

    def test_tells_of_snapshots_that_it_cannot_show(self) -> None:
        forgotten, later, unreadable = (bytes([number]) * 16 for number in (3, 2, 1))
        rows = {forgotten: b"\1\5" + bytes(16), later: b"\x80x", unreadable: b"\1\5"}
        self.maker.commit("0000000002", [self.first], snapshots=rows)
        repository = self.open()
        self.assertEqual(self.numbers(repository), [1])
        self.assertEqual(repository.unknown_snapshots, [unreadable, later])
        self.assertEqual(repository.damage, [])

    def test_joins_rows_of_later_versions_and_shows_none(self) -> None:
        [one, two, three] = (bytes([number]) * 16 for number in (1, 2, 3))
        base = self.maker.commit("0000000002", [self.first], later_rows={one: b"\0a", two: b"\2"})
        self.maker.commit("0000000003-a", [base], depth=1, later_rows={one: b"\1a"})
        seen = self.open().tips_to_remember([], now=0)
        self.maker.commit("0000000003-b", [base], later_rows={one: b"\1b", three: b"\xff"})
        repository = self.open()
        self.assertEqual(repository.history.tables.later, {one: b"\1b", two: b"\2", three: b"\xff"})
        self.assertEqual((self.numbers(repository), repository.unknown_snapshots, repository.damage), ([1], [], []))
        self.assertEqual(len(repository.tips_to_remember(seen, now=5)), 2)

    def test_a_table_of_later_versions_is_refused_as_any_other(self) -> None:
        row = encode_byte_string(b"\0")
        for table in (b"k" * 16 + b"\0", (b"k" * 16 + row) * 2, b"l" * 16 + row + b"k" * 16 + row, b"k" * 16):
            self.maker.commit("0000000002", [self.first], later={16: table})
            self.assertEqual(self.subjects(self.open()), ["commits/0000000002"])
        self.maker.commit("0000000002", [self.first], later={16: b""})
        self.assertEqual(self.subjects(self.open()), [])

    def test_a_commit_is_at_most_1_gib_long(self) -> None:
        with (self.place / "commits" / "0000000002").open("xb") as commit:
            commit.truncate((1 << 30) + 1)
        repository = self.open()
        self.assertEqual(self.numbers(repository), [1])
        [damaged] = repository.damage
        self.assertEqual((damaged.subject, damaged.reason), ("commits/0000000002", "it is too long"))


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

    def test_uses_nothing_that_was_written_under_the_old_key(self) -> None:
        self.rotate("0000000002-b", self.first)
        for file_name in ("0000000002-a", "0000000003"):
            self.back_up(file_name, self.first)
        repository = self.open(K1)
        self.assertEqual(self.numbers(repository), [1])
        self.assertEqual(repository.history.outdated_names, ["commits/0000000003", "commits/0000000002-a"])
        self.assertEqual(repository.damage, [])

    def test_an_outdated_commit_hides_no_other(self) -> None:
        rotation = self.rotate("0000000002", self.first)
        self.maker.commit("0000000009", [rotation])
        self.assertEqual([tip.name.number for tip in self.open(K1).history.tips], [2])

    def test_what_a_tip_has_as_an_ancestor_is_not_outdated(self) -> None:
        """The writer of a rotation publishes another commit for what was stored meanwhile (§12.5, 5)."""
        meanwhile = self.back_up("0000000002-a", self.first)
        rotation = self.rotate("0000000002-b", self.first)
        self.maker.commit("0000000003", [rotation, meanwhile], epoch=1, config=2)
        repository = self.open(K1)
        self.assertEqual(self.numbers(repository), [1, 2])
        self.assertEqual(repository.history.outdated_names, [])

    def test_a_name_with_a_higher_number_makes_no_ancestor(self) -> None:
        """A row without such a name has the commit of its key as an ancestor, whatever it calls that."""
        late = self.back_up("0000000008", self.first)
        self.maker.config(2, epoch=1)
        for called, outdated in ((b"x", []), (b"0000000002", [late.file_name]), (b"0000000008", [late.file_name])):
            row = b"\0" + encode_byte_string(called)
            self.maker.commit("0000000002", [self.first], epoch=1, config=2, commits={late.id: row})
            with self.subTest(called=called):
                names = [f"commits/{file_name}" for file_name in outdated]
                self.assertEqual(self.open(K1).history.outdated_names, names)

    def test_reads_outdated_commits_if_the_rotation_is_damaged(self) -> None:
        self.rotate("0000000002", self.first)
        # What its header says of it is gone as well, or is of another repository.
        for place in (-1, 11, 20):
            self.change("commits/0000000002", at=place)
            repository = self.open(K1)
            self.assertEqual(self.numbers(repository), [1])
            self.assertEqual(self.subjects(repository), ["commits/0000000002"])
            self.assertEqual(repository.history.outdated_names, [])

    def test_reads_outdated_commits_if_the_rotation_lies_under_another_name_only(self) -> None:
        self.rotate("0000000002", self.first)
        path = self.place / "commits" / "0000000002"
        path.rename(path.with_name("0000000002-a"))
        repository = self.open(K1)
        self.assertEqual(self.numbers(repository), [1])
        self.assertEqual(self.subjects(repository), ["commits/0000000002-a"])

    def test_reads_outdated_commits_if_the_rotation_is_gone_that_deleted_the_old_configs(self) -> None:
        self.rotate("0000000002", self.first)
        (self.place / "commits" / "0000000002").unlink()
        self.assertRaises(WrongKey, self.open, K1)
        # An old config of another repository says nothing, nor does one of which nothing can be read.
        for place in (20, 11):
            self.change(f"config/{self.old_config.name}", at=place)
            repository = self.open(K1)
            self.assertEqual(self.numbers(repository), [1])
            self.assertIn("commits/", self.subjects(repository))
        self.old_config.unlink()
        repository = self.open(K1)
        self.assertEqual((self.numbers(repository), self.subjects(repository)), ([1], ["commits/"]))

    def test_what_no_commit_is_left_of_is_told(self) -> None:
        self.rotate("0000000002", self.first)
        self.old_config.unlink()
        for number in (1, 2):
            (self.place / "commits" / f"000000000{number}").unlink()
        repository = self.open(K1)
        self.assertEqual((self.numbers(repository), self.subjects(repository)), ([], ["commits/"]))

    def test_a_damaged_commit_of_another_epoch_says_nothing_of_the_rotation(self) -> None:
        self.back_up("0000000002", self.first)
        self.maker.config(2, epoch=1)
        self.change("commits/0000000002")
        self.assertRaises(WrongKey, self.open, K1)
        self.old_config.unlink()
        repository = self.open(K1)
        self.assertEqual(self.numbers(repository), [1])
        self.assertEqual(self.subjects(repository), ["commits/", "commits/0000000002"])

    def test_a_commit_says_of_what_epoch_it_is_however_long_it_is(self) -> None:
        """A header is what an object begins with (§2.1)."""
        self.maker.config(2, epoch=1)
        self.back_up("0000000002", self.first)
        with (self.place / "commits" / "0000000002").open("r+b") as commit:
            commit.truncate((1 << 30) + 1)
        self.assertRaises(WrongKey, self.open, K1)
        self.assertEqual(self.subjects(self.open()), ["commits/0000000002"])

    def test_a_damaged_commit_of_a_later_epoch_may_have_been_the_rotation(self) -> None:
        self.rotate("0000000002", self.first)
        self.change("commits/0000000002", at=13)
        self.assertEqual(self.subjects(self.open(K1)), ["commits/0000000002"])

    def test_outdated_commits_that_are_read_as_tips_hide_what_is_below_them(self) -> None:
        newer = self.maker.commit("0000000002", [self.first], later={17: b""})
        damaged = self.back_up("0000000003", newer)
        self.back_up("0000000004", damaged)
        self.maker.commit("0000000005", [self.first], later={17: b""})
        self.rotate("0000000006", self.first)
        for name in ("commits/0000000003", "commits/0000000006"):
            self.change(name)
        repository = self.open(K1)
        self.assertEqual([tip.name.number for tip in repository.history.tips], [4])
        self.assertEqual(self.subjects(repository), ["commits/0000000006"])
        self.assertEqual(repository.history.outdated_names, ["commits/0000000005"])
        self.assertNotIn("commits/0000000005", [refused.subject for refused in check_objects(repository)])

    def test_what_was_lost_with_the_rotation_is_told_whoever_claims_to_follow_it(self) -> None:
        rotation = self.rotate("0000000002", self.first)
        self.back_up("0000000003", rotation)
        self.change("commits/0000000002")
        repository = self.open(K1)
        self.assertEqual([tip.name.number for tip in repository.history.tips], [3])
        self.assertEqual(self.subjects(repository), ["commits/0000000002"])

    def test_a_device_whose_own_commit_came_too_late_needs_only_what_went_before(self) -> None:
        late = self.back_up("0000000003", self.first)
        seen = SeenTip(late.id, "0000000003", 0)
        self.rotate("0000000002", self.first)
        repository = self.open(K1)
        self.assertEqual([tip.file_name for tip in repository.tips_to_remember([seen], now=5)], ["0000000002"])
        stranger = SeenTip(b"s" * 16, "0000000001", 0)
        self.assertRaises(RolledBack, repository.tips_to_remember, [stranger], 5)

    def test_a_rotation_that_was_not_completed(self) -> None:
        self.maker.config(2, epoch=1)
        self.assertEqual(self.numbers(self.open(K0)), [1])
        self.assertRaises(WrongKey, self.open, K1)
        self.assertEqual(self.numbers(self.open_by_config({1: K0, 2: K1})), [1])

    def test_a_config_whose_key_was_replaced_hides_no_other(self) -> None:
        """Who has an old key stores one with the passphrase of before and a high number (§12.4, 5)."""
        self.rotate("0000000002", self.first)
        forged = self.maker.config(9)
        keys = {9: K0, 2: K1, 1: K0}
        repository = self.open_by_config(keys)
        self.assertEqual((self.numbers(repository), repository.ring.newest_epoch), ([1], 1))
        self.assertRaises(WrongKey, self.open_by_config, {**keys, 2: K0})
        # If there is nothing else, it is told that the key was replaced, and not that one of its configs is damaged.
        for config in (forged, self.old_config):
            self.change(f"config/{config.name}", at=-1)
            self.assertRaises(WrongKey, self.open)
            self.change(f"config/{config.name}", at=-1)
        # It does not help that another commit under the old key is newer, or claims to continue the rotation.
        self.maker.commit("0000000099", [self.first], later={17: b""})
        self.assertEqual(self.open_by_config(keys).ring.newest_epoch, 1)
        self.assertRaises(WrongKey, self.open_by_config, {**keys, 2: K0})
        (self.place / "commits" / "0000000099").unlink()
        # The one that would hold is damaged.
        self.change("config/0000000002-a", at=-1)
        self.assertRaises(Damaged, self.open_by_config, keys)
        forged.unlink()
        self.assertRaises(Damaged, self.open_by_config, keys)


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

    def test_has_at_most_32_protectors(self) -> None:
        protectors = [encode_record({1: bytes([number]) * 4, 2: b"\1", 3: b""}) for number in range(33)]
        self.maker.config(1, protectors=tuple(protectors[:32]))
        self.assertEqual(self.open().damage, [])
        self.maker.config(1, protectors=tuple(protectors))
        self.assertRaises(Damaged, self.open)

    def test_its_number_is_not_0(self) -> None:
        self.maker.config(0)
        self.assertRaises(Damaged, self.open)

    def test_is_at_most_4_mib_long(self) -> None:
        config, copy = self.maker.config(1), self.maker.config(1, suffix="b")
        for path, length in ((config, (4 << 20) + 1), (copy, 4 << 20)):
            with path.open("r+b") as file:
                file.truncate(length)
        with self.assertRaises(NoConfigLeft) as raised:
            self.open()
        damage = {one.subject: one.reason == "it is too long" for one in raised.exception.damage}
        self.assertEqual(damage, {f"config/{config.name}": True, f"config/{copy.name}": False})

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
