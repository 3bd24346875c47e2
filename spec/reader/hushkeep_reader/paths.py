"""§7.2 Paths."""

import unicodedata

from .errors import Malformed

MAX_PATH_LENGTH = 65_536
SEPARATOR = b"/"
ROOT = b""

# Control characters, bytes that are not UTF-8 (which Python decodes to surrogates), and separators of lines.
HIDDEN_CATEGORIES = ("Cc", "Cs", "Zl", "Zp")
DIRECTION_MARKS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def refuse_bad_path(path: bytes) -> None:
    """Refuses a path that could leave the place it is restored to."""
    if len(path) > MAX_PATH_LENGTH:
        raise Malformed("a path is too long")
    if path == ROOT:
        return
    if b"\0" in path or any(component in (b"", b".", b"..") for component in components(path)):
        raise Malformed("a path has a component that is empty, has a zero byte, or would lead out of its folder")


def components(path: bytes) -> list[bytes]:
    """Its components; lists of them compare in the order of paths. None for the root."""
    return path.split(SEPARATOR) if path != ROOT else []


def parent(path: bytes) -> bytes:
    return path.rpartition(SEPARATOR)[0]


def show(path: bytes) -> str:
    """A name as text that cannot write to the terminal or disguise its ending."""
    text = path.decode("utf-8", "surrogateescape")
    return "".join(_escape(character) if _is_hidden(character) else character for character in text)


def _is_hidden(character: str) -> bool:
    return character in "\\" + DIRECTION_MARKS or unicodedata.category(character) in HIDDEN_CATEGORIES


def _escape(character: str) -> str:
    raw = character.encode("utf-8", "surrogateescape")
    return "\\\\" if character == "\\" else "".join(f"\\x{byte:02x}" for byte in raw)
