"""Zstandard (RFC 8878), with the care that §7.1 asks for."""

import zstandard

from .errors import Malformed

MAGIC = bytes.fromhex("28b52ffd")

# §8.1: the window of a frame may be larger than what comes out, but not larger than this.
MAX_SMALL_WINDOW = 8 << 20


def decompress(frame: bytes, length: int) -> bytes:
    """What one frame gives, which must be exactly `length` bytes (§8.1). Nothing is ever produced beyond them."""
    if not frame.startswith(MAGIC):
        raise Malformed("compressed data is not one frame")
    try:
        # The library makes room for what a frame announces of itself, so that is compared first.
        parameters = zstandard.get_frame_parameters(frame)
        if parameters.content_size not in (length, zstandard.CONTENTSIZE_UNKNOWN):
            raise Malformed("compressed data announces another length than is recorded")
        # The library's own limit is lower than what a body may have.
        max_window = max(length, MAX_SMALL_WINDOW)
        if parameters.window_size > max_window or parameters.dict_id:
            raise Malformed("compressed data asks for more memory, or for a dictionary")
        decompressor = zstandard.ZstdDecompressor(max_window_size=max_window)
        if parameters.content_size == 0:
            return _decompress_nothing(decompressor, frame)
        # Of 0 the library would take the length from the frame.
        room = max(length, 1)
        data = decompressor.decompress(frame, max_output_size=room, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise Malformed("compressed data does not decompress") from error
    if len(data) != length:
        raise Malformed("compressed data has another length than is recorded")
    return data


def _decompress_nothing(decompressor: zstandard.ZstdDecompressor, frame: bytes) -> bytes:
    """Of a frame that announces 0 bytes `decompress` does not look at what is behind the header.

    Byte by byte nothing is gone on with after a block that gives something. What follows the frame is refused.
    """
    reader = decompressor.decompressobj()
    for at in range(len(frame)):
        if reader.decompress(frame[at : at + 1]):
            raise Malformed("compressed data has another length than it announces")
    if not reader.eof:
        raise Malformed("compressed data is cut short")
    return b""
