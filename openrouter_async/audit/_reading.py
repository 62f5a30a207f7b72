"""Read the files that users name: policies, registries and saved reports."""

from __future__ import annotations

import codecs
import os
from pathlib import Path
from typing import Final

from openrouter_async.errors import ConfigurationError

LARGEST: Final = 512 * 2**20
"""Bytes; the report of an account with 100,000 keys is smaller."""


def read_file(path: str | os.PathLike[str], *, most: int = LARGEST) -> bytes:
    """Return the content of a file without a byte order mark; raises `ConfigurationError`.

    At most `most` bytes are accepted, so an endless device is an error too.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        problem = error.strerror or type(error).__name__
    except ValueError:  # a NUL, or a character that the file system's encoding lacks
        problem = "no file can have that name"
    except MemoryError:
        problem = "it does not fit into memory"
    else:
        if len(content) <= most:
            return content.removeprefix(codecs.BOM_UTF8)
        problem = f"it has more than {most:,} bytes"
    raise ConfigurationError(f"cannot be read: {problem}")


def read_text(path: str | os.PathLike[str], *, most: int = LARGEST) -> str:
    """Return the content of a UTF-8 file as text; raises `ConfigurationError`."""
    try:
        return read_file(path, most=most).decode()
    except UnicodeDecodeError:
        pass
    raise ConfigurationError("is not UTF-8")
