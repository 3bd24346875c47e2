"""Tests with a whole repository that Hushkeep made."""

import json
import os
import shutil
import tempfile
import unittest
from pathlib import Path

from hushkeep_reader.errors import (
    Damaged,
    NewerVersion,
    NoRepository,
    NotPossible,
    RolledBack,
    WrongKey,
)
from hushkeep_reader.memory import read_memory, write_memory
from hushkeep_reader.recovery_key import read_recovery_key
from hushkeep_reader.repository import Repository, open_repository
from hushkeep_reader.restore import Failure, restore
from hushkeep_reader.storage import Storage
from hushkeep_reader.target import Target
from hushkeep_reader.unlocking import keys_by_passphrase
from make_test_repository import describe

HERE = Path(__file__).parent
MADE_BEFOREHAND = HERE / "test_repository"


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
        return open_repository(Storage(self.place), lambda config: [self.key])

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
        open_repository(Storage(self.place), lambda config: keys_by_passphrase(config, passphrase))
        with self.assertRaises(WrongKey):
            open_repository(Storage(self.place), lambda config: keys_by_passphrase(config, "x" + passphrase))

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

    def test_stops_where_the_configs_ask_for_a_newer_reader(self) -> None:
        first, second = self.newest_configs()
        change_byte(first, 70)
        self.assertEqual([damaged.subject for damaged in self.open().damage], [f"config/{first.name}"])
        change_byte(second, 70)
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
        write_memory(memory, self.open().tips_to_remember([], now=5))
        self.assertEqual(self.open().tips_to_remember(read_memory(memory), now=5), read_memory(memory))
        (self.place / "commits" / "0000000004").unlink()
        self.assertRaises(RolledBack, self.open().tips_to_remember, read_memory(memory))

    def test_accepts_a_history_that_goes_on(self) -> None:
        newest = self.place / "commits" / "0000000004"
        aside = newest.rename(self.scratch / "aside")
        earlier = self.open().tips_to_remember([], now=5)
        shutil.move(aside, newest)
        repository = self.open()
        [tip] = repository.tips_to_remember(earlier, now=6)
        self.assertEqual(tip.id, repository.history.tips[0].id)
        change_byte(self.place / "commits" / "0000000003", 100)
        repository = self.open()
        self.assertLessEqual({*earlier, tip}, set(repository.tips_to_remember(earlier, now=6)))
        self.assertTrue(repository.damage)


def change_byte(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.write_bytes(data)
