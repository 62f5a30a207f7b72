"""Content codings: bodies are decompressed, up to a bound on their size.

A proxy that decompresses responses may keep their `Content-Encoding`: the header is only a claim.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

_JSON: Final = re.compile(rb"\s*[\[{]")
"""The beginning of JSON; gzip, zlib's format and raw deflated JSON never begin like this."""
_GZIP: Final = 16 + zlib.MAX_WBITS
_ZLIB: Final = zlib.MAX_WBITS
_BARE_DEFLATE: Final = -zlib.MAX_WBITS
# The lower four bits of the first byte of zlib's format name the method, which is always 8.
_ZLIB_METHOD: Final = 8
_MOST_LAYERS: Final = 2
_STEP: Final = 16 * 1024
_CHECKSUM: Final = 8
"""Bytes at the end that may be a checksum, fed one by one: a step that fails yields nothing."""


class Unpacked(NamedTuple):
    """A decompressed body, as far as it could be read."""

    body: bytes
    """At most one byte more than the bound."""
    cut: bool = False
    """Whether the compressed body ends too early."""
    wrong: bool = False
    """Whether the body does not have the claimed coding, or the coding is not supported."""


def unpack(body: bytes, claimed: str, bound: int) -> Unpacked:
    """Decompress a body as its `Content-Encoding` claims, up to `bound` bytes.

    Plain JSON is returned as it is, whatever is claimed.
    """
    if not body or _JSON.match(body):
        return Unpacked(body)
    layers = [layer for part in claimed.lower().split(",") if (layer := part.strip())]
    if len(layers) > _MOST_LAYERS:
        return Unpacked(body, wrong=True)
    unpacked = Unpacked(body)
    for layer in reversed(layers):
        if layer == "identity":
            continue
        if layer not in ("gzip", "x-gzip", "deflate"):
            return Unpacked(body, wrong=True)
        inner = unpacked.body
        unpacked = _inflate(inner, _GZIP if "gzip" in layer else _deflate(inner), bound)
        if unpacked.cut or unpacked.wrong or len(unpacked.body) > bound:
            break
    return unpacked


def _deflate(body: bytes) -> int:
    """Return zlib's window size for a `deflate` body: some servers omit the zlib header."""
    return _ZLIB if body[:1] and body[0] & 0xF == _ZLIB_METHOD else _BARE_DEFLATE


def _inflate(body: bytes, window: int, bound: int) -> Unpacked:
    machine = zlib.decompressobj(window)
    pieces: list[bytes] = []
    # One byte over the bound shows that the body is too long.
    room = bound + 1
    try:
        for step in _steps(body):
            piece = machine.decompress(step, room)
            pieces.append(piece)
            room -= len(piece)
            if machine.eof or not room:
                break
    except zlib.error:
        return Unpacked(b"".join(pieces) or body, wrong=True)
    return Unpacked(b"".join(pieces), cut=not machine.eof and room > 0)


def _steps(body: bytes) -> Iterator[bytes]:
    end = max(0, len(body) - _CHECKSUM)
    for start in range(0, end, _STEP):
        yield body[start : min(start + _STEP, end)]
    for start in range(end, len(body)):
        yield body[start : start + 1]
