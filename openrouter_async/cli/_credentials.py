"""Read the key from the environment, a file or standard input, never from argv."""

from __future__ import annotations

import getpass
import os
import stat
import sys
from pathlib import Path
from typing import Final

from openrouter_async.cli._console import is_terminal, warn
from openrouter_async.cli._exits import CommandError
from openrouter_async.secret import Secret

VARIABLE: Final = "OPENROUTER_API_KEY"
_LONGEST: Final = 4096
"""Bytes. No key is that long, and a large file named by mistake should not be read whole."""
_OTHERS: Final = stat.S_IRGRP | stat.S_IROTH


def find_key(key_file: Path | None, *, from_stdin: bool) -> Secret:
    """Return the key without its trailing newline; raises `CommandError`, which never shows it."""
    if key_file and from_stdin:
        raise CommandError("--key-file and --key-stdin are mutually exclusive")
    if key_file:
        return key_from_file(key_file, "--key-file")
    if from_stdin:
        return _checked(_from_stdin(), "--key-stdin")
    key = Secret(os.environ.get(VARIABLE, "").strip("\r\n"))
    if not key.reveal():
        raise CommandError(
            f"no key: set {VARIABLE}, or pass --key-file PATH or --key-stdin; "
            "use --sandbox to try a command without a key"
        )
    return _checked(key, VARIABLE)


def key_from_file(path: Path, option: str) -> Secret:
    """Read a key from the file that the option names; raises `CommandError`."""
    try:
        with path.open("rb") as file:
            # Of the open file: the path may be replaced in between.
            status = os.fstat(file.fileno())
            data = file.read(_LONGEST + 1)
    except OSError as error:
        problem = CommandError(f"{option} {path}: {error.strerror}")
    except ValueError:
        problem = CommandError(f"{option}: not a path")
    else:
        if os.name == "posix" and stat.S_ISREG(status.st_mode) and status.st_mode & _OTHERS:
            warn(f"{option} {path} is readable by other users: chmod 600 {path}")
        return _checked(_decoded(data), f"{option} {path}")
    raise problem


def _from_stdin() -> Secret:
    if sys.stdin is None:  # closed by `<&-`
        raise CommandError("--key-stdin: standard input is closed")
    if is_terminal(sys.stdin):
        try:
            return Secret(getpass.getpass("key: "))
        except EOFError:
            return Secret("")
    return _decoded(sys.stdin.buffer.read(_LONGEST + 1))


def _decoded(data: bytes) -> Secret:
    # Latin-1 never fails to decode; `_checked` refuses all that is not ASCII.
    return Secret(data[: _LONGEST + 1].decode("latin-1").rstrip("\r\n"))


def _checked(key: Secret, source: str) -> Secret:
    text = key.reveal()
    if not text:
        raise CommandError(f"{source} contains no key")
    if len(text) > _LONGEST:
        raise CommandError(f"{source}: too long for a key")
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise CommandError(f"{source}: a key contains only ASCII characters and no whitespace")
    return key
