#!/usr/bin/env python3
"""Tests of which key opens a repository, where protectors give several (§12.4).

python3 spec/reader/test_unlocking.py
"""

import unittest

from hushkeep_reader.errors import Damaged, NewerVersion, WrongKey
from hushkeep_reader.repository import Repository, open_repository
from hushkeep_reader.storage import Storage
from hushkeep_reader.unlocking import keys_by_passphrase
from making import Maker
from test_histories import K0, K1, K2, HistoryTest

PASSPHRASE = "correct horse battery staple"


class PassphraseTest(HistoryTest):
    """§5 and §12.4: several protectors of one config open under one passphrase."""

    def setUp(self) -> None:
        super().setUp()
        self.stray = self.maker.passphrase(b"1111", PASSPHRASE, K2)
        self.right = self.maker.passphrase(b"2222", PASSPHRASE, K0)
        self.damaged = self.maker.passphrase(b"3333", PASSPHRASE, K0).replace(b"3333", b"4444", 1)
        self.other = self.maker.passphrase(b"5555", "another", K0)

    def open_by_passphrase(self) -> Repository:
        return open_repository(Storage(self.place), lambda config: keys_by_passphrase(config, PASSPHRASE))

    def test_tries_the_key_of_each_protector(self) -> None:
        for protectors in (
            (self.stray, self.right),
            (self.right, self.stray),
            (self.damaged, self.other, self.stray, self.right),
        ):
            self.maker.config(1, protectors=protectors)
            self.assertEqual(self.open_by_passphrase().damage, [])

    def test_goes_on_to_the_next_protector_if_a_key_was_replaced(self) -> None:
        self.maker.config(1)
        first = self.back_up("0000000001")
        protectors = [self.maker.passphrase(key[:1] * 4, PASSPHRASE, key, epoch=1) for key in (K0, K1)]
        self.maker.config(2, epoch=1, protectors=tuple(protectors))
        self.maker.commit("0000000002", [first], epoch=1, config=2)
        self.assertEqual(self.open_by_passphrase().ring.newest_epoch, 1)

    def test_the_key_is_wrong_if_none_of_them_gives_it(self) -> None:
        for protectors in ((self.stray,), (self.stray, self.other), ()):
            self.maker.config(1, protectors=protectors)
            self.assertRaises(WrongKey, self.open_by_passphrase)

    def test_a_damaged_protector_is_told_rather_than_a_wrong_key(self) -> None:
        for protectors in ((self.damaged, self.stray), (self.stray, self.damaged, self.other)):
            self.maker.config(1, protectors=protectors)
            self.assertRaises(Damaged, self.open_by_passphrase)


class DamagedRepositoryTest(HistoryTest):
    """§12.4, 5: beside a repository, configs of another one are tried first, whose commits cannot be read."""

    def setUp(self) -> None:
        super().setUp()
        self.maker.config(1)
        self.first = self.back_up("0000000001")
        self.stray = Maker(self.place, [K2], repository=b"s" * 16)
        self.stray.config(8)
        self.stray.config(9)
        self.keys = {9: K2, 8: K2, 1: K0}

    def test_the_keys_of_other_configs_are_tried(self) -> None:
        repository = self.open_by_config(self.keys)
        damage = ["config/0000000009-a", "config/0000000008-a"]
        self.assertEqual((self.numbers(repository), self.subjects(repository)), ([1], damage))
        # Nothing can be opened either where a snapshot is refused.
        self.stray.commit("0000000002", [], snapshots={b"s" * 16: b"\0"})
        repository = self.open_by_config(self.keys)
        damage.append("commits/0000000002")
        self.assertEqual((self.numbers(repository), self.subjects(repository)), ([1], damage))

    def test_that_a_repository_is_damaged_is_told_rather_than_a_wrong_key(self) -> None:
        for keys in ({9: K2, 8: K2, 1: K1}, {9: K1, 8: K2, 1: K1}):
            self.assert_tells_of_commits(keys)
        self.rotate("0000000003", self.first)
        self.assert_tells_of_commits({2: K0, **self.keys})

    def test_that_a_repository_is_damaged_is_told_rather_than_that_a_config_is(self) -> None:
        self.change("config/0000000001-a", at=-1)
        self.assert_tells_of_commits(self.keys)

    def test_what_is_newer_is_told_rather_than_that_a_repository_is_damaged(self) -> None:
        self.maker.commit("0000000002", [self.first], later={17: b""})
        self.assertRaises(NewerVersion, self.open_by_config, self.keys)

    def assert_tells_of_commits(self, keys: dict[int, bytes]) -> None:
        with self.assertRaises(Damaged) as raised:
            self.open_by_config(keys)
        self.assertEqual(raised.exception.subject, "commits/")


if __name__ == "__main__":
    unittest.main()
