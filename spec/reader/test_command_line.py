#!/usr/bin/env python3
"""Tests of what the command line tells.

python3 spec/reader/test_command_line.py
"""

import io
import tempfile
import unittest
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

from hushkeep_reader.__main__ import main
from making import Maker, snapshot_row

KEY_TEXT = "08c0 8059 2250 1f99 c041 b654 e6ca 7e71 bbe0 af81 f114 b99f 1bbb 7870 c6b5 dd73 444d 3b54"
KEY = bytes.fromhex(KEY_TEXT.replace(" ", ""))[:32]
LIST = b"\xa1" * 16


class CommandLineTest(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.scratch = Path(scratch.name)
        self.place = self.scratch / "repository"
        self.maker = Maker(self.place, [KEY])
        self.maker.config(1)
        self.key_file = self.scratch / "key"
        self.key_file.write_text(KEY_TEXT)

    def run_with(self, command: str, *arguments: str) -> tuple[int, str, str]:
        """Exit code, and what is told on both ways."""
        words = ["hushkeep_reader", command, str(self.place), *arguments, "--recovery-key-file", str(self.key_file)]
        with patch("sys.argv", words), redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as errors:
            return main(), out.getvalue(), errors.getvalue()

    def test_tells_how_many_snapshots_it_cannot_show(self) -> None:
        first = self.maker.commit("0000000001", [], snapshots=snapshot_row(1))
        self.assertEqual(self.run_with("list")[2], "")
        self.maker.commit("0000000002", [first], snapshots={b"u" * 16: b"\2", b"v" * 16: b"\x80", b"w" * 16: b"\1"})
        exit_code, told, errors = self.run_with("list")
        self.assertEqual((exit_code, len(told.splitlines())), (0, 1))
        self.assertEqual(errors, "not shown: 3 more snapshots, of which this program cannot tell anything\n")

    def test_tells_what_is_too_new_and_gives_the_rest(self) -> None:
        snapshot = self.maker.file_list(LIST, {"x": b"one"}, {"k": b"\5" + bytes(5) + b"\0"})
        pack = self.maker.pack(LIST, [(LIST, 0, 1)], [(LIST, 1, 2)])
        self.maker.commit("0000000001", [], snapshots=snapshot, packs=pack.row(0))
        exit_code, _, errors = self.run_with("restore", str(self.scratch / "target"))
        self.assertEqual(exit_code, 1)
        self.assertIn("not restored: s/k: ", errors)
        self.assertIn("a newer program is needed", errors)
        self.assertEqual((self.scratch / "target" / "s" / "x").read_bytes(), b"one")


if __name__ == "__main__":
    unittest.main()
