"""Tests of hashing, and of the vectors of §1 to §5, which lie beside the specification."""

import json
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hushkeep_reader import blake3
from hushkeep_reader.encoding import Cursor, read_record
from hushkeep_reader.errors import (
    Malformed,
    ReaderError,
    TooNew,
)
from hushkeep_reader.keys import EpochKeys, KeyRing, Kind
from hushkeep_reader.passphrase import open_wrap, read_wrap
from hushkeep_reader.recovery_key import read_recovery_key
from hushkeep_reader.sealing import open_single, read_header

VECTORS = Path(__file__).parent.parent / "vectors" / "core"


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
        # New vectors have files of their own: "keys.2.json".
        files = [VECTORS / f"{file_stem}.json", *sorted(VECTORS.glob(f"{file_stem}.*.json"))]
        for vector in (vector for file in files for vector in json.loads(file.read_text("utf-8"))):
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
    return open_wrap(wrap, given["passphrase"], repository, given["epoch"], protector)
