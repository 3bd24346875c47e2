"""Zstandard (RFC 8878), with the care that §7.1 asks for."""

import zstandard

from .errors import Malformed


def decompress(frame: bytes, length: int) -> bytes:
    """What one frame gives, which must be exactly `length` bytes. Nothing is ever produced beyond them."""
    try:
        # The library makes room for what a frame announces of itself, so that is compared first.
        announced = zstandard.get_frame_parameters(frame).content_size
        if announced not in (length, zstandard.CONTENTSIZE_UNKNOWN):
            raise Malformed("compressed data announces another length than is recorded")
        # Of 0 the library would take the length from the frame.
        room = max(length, 1)
        data = zstandard.ZstdDecompressor().decompress(frame, max_output_size=room, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise Malformed("compressed data does not decompress") from error
    if len(data) != length:
        raise Malformed("compressed data has another length than is recorded")
    return data
