"""Small answers that decompress into large bodies."""

import zlib
from functools import cache

from support.steps import Step, named, reply

_MIB = bytes(1024 * 1024)
_GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_ZLIB_HEAD = b"\x78\x9c"


@named
def gzip_bomb(mib: int = 300) -> Step:
    """Answer with about 1 kB a MiB that is, by gzip's rules, so many MiB of zeros."""
    return reply(body=gzip_zeros(mib), headers={"Content-Encoding": "gzip"})


@named
def deflate_bomb(mib: int = 300) -> Step:
    """Answer with about 1 kB a MiB that is, by zlib's rules, so many MiB of zeros."""
    return reply(body=zlib_zeros(mib), headers={"Content-Encoding": "deflate"})


@cache
def gzip_zeros(mib: int) -> bytes:
    """Compress so many MiB of zeros; checksum and length are right."""
    checksum = 0
    for _ in range(mib):
        checksum = zlib.crc32(_MIB, checksum)
    size = mib * len(_MIB) % 2**32
    return _GZIP_HEAD + _deflated(mib) + checksum.to_bytes(4, "little") + size.to_bytes(4, "little")


@cache
def zlib_zeros(mib: int) -> bytes:
    """Compress so many MiB of zeros in zlib's format; the checksum is right."""
    checksum = 1
    for _ in range(mib):
        checksum = zlib.adler32(_MIB, checksum)
    return _ZLIB_HEAD + _deflated(mib) + checksum.to_bytes(4, "big")


def _deflated(mib: int) -> bytes:
    """Compress one MiB, and repeat it: a full flush leaves no state between blocks."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = packer.compress(_MIB) + packer.flush(zlib.Z_FULL_FLUSH)
    return block * mib + packer.flush(zlib.Z_FINISH)
