"""Content codings: what a body was before it was packed, bounded in size.

A proxy that unpacks answers may leave the label of the package on, so that a label is a claim.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

_JSON: Final = re.compile(rb"\s*[\[{]")
"""How JSON begins, and neither gzip, zlib's format nor JSON that was deflated does."""
_GZIP: Final = 16 + zlib.MAX_WBITS
_ZLIB: Final = zlib.MAX_WBITS
_BARE_DEFLATE: Final = -zlib.MAX_WBITS
_ZLIB_METHOD: Final = 8
_MOST_LAYERS: Final = 2
_STEP: Final = 16 * 1024
_CHECKSUM: Final = 8
"""Bytes at the end that may hold a checksum; fed singly, as a failing step yields nothing."""


class Unpacked(NamedTuple):
    """A body without its coding, as far as it could be read."""

    body: bytes
    """One byte more than the bound if it is longer than that."""
    cut: bool = False
    """The packed body ends too early."""
    wrong: bool = False
    """The body is not what the coding claims, or the coding is none that is read here."""


def unpack(body: bytes, claimed: str, bound: int) -> Unpacked:
    """Undo what a `Content-Encoding` claims, up to `bound` bytes; plain JSON is taken as it is."""
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
    """Return zlib's name for what `deflate` means here: some servers send it without a frame."""
    return _ZLIB if body[:1] and body[0] & 0xF == _ZLIB_METHOD else _BARE_DEFLATE


def _inflate(body: bytes, window: int, bound: int) -> Unpacked:
    machine = zlib.decompressobj(window)
    pieces: list[bytes] = []
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
