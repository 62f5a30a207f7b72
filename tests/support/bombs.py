"""Small responses that decompress into large bodies."""

import zlib
from functools import cache

from support.steps import Step, named, reply

_MIB = bytes(1024 * 1024)
_GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_ZLIB_HEAD = b"\x78\x9c"


@named
def gzip_bomb(mib: int = 300) -> Step:
    """Respond with gzip data that expands to this many MiB of zeros, from about 1 kB a MiB."""
    return reply(body=gzip_zeros(mib), headers={"Content-Encoding": "gzip"})


@named
def deflate_bomb(mib: int = 300) -> Step:
    """Respond with zlib data that expands to this many MiB of zeros, from about 1 kB a MiB."""
    return reply(body=zlib_zeros(mib), headers={"Content-Encoding": "deflate"})


@cache
def gzip_zeros(mib: int) -> bytes:
    """Return this many MiB of zeros as gzip, with correct checksum and length."""
    checksum = 0
    for _ in range(mib):
        checksum = zlib.crc32(_MIB, checksum)
    size = mib * len(_MIB) % 2**32
    return _GZIP_HEAD + _deflated(mib) + checksum.to_bytes(4, "little") + size.to_bytes(4, "little")


@cache
def zlib_zeros(mib: int) -> bytes:
    """Return this many MiB of zeros in zlib's format, with a correct checksum."""
    checksum = 1
    for _ in range(mib):
        checksum = zlib.adler32(_MIB, checksum)
    return _ZLIB_HEAD + _deflated(mib) + checksum.to_bytes(4, "big")


def _deflated(mib: int) -> bytes:
    """Return this many MiB of zeros as a raw deflate stream."""
    # A full flush leaves no state between blocks, so one compressed MiB can be repeated.
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = packer.compress(_MIB) + packer.flush(zlib.Z_FULL_FLUSH)
    return block * mib + packer.flush(zlib.Z_FINISH)
