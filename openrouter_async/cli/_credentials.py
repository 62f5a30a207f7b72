"""Where the key comes from: the environment, a file or standard input, never argv."""

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
"""Bytes; no key is that long, and no wrong file should be read whole."""
_OTHERS: Final = stat.S_IRGRP | stat.S_IROTH


def find_key(key_file: Path | None, *, from_stdin: bool) -> Secret:
    """Get the key, without the newline at its end; raises `CommandError`, never showing it."""
    if key_file and from_stdin:
        raise CommandError("--key-file and --key-stdin exclude each other")
    if key_file:
        return key_from_file(key_file, "--key-file")
    if from_stdin:
        return _checked(_from_stdin(), "--key-stdin")
    key = Secret(os.environ.get(VARIABLE, "").strip("\r\n"))
    if not key.reveal():
        raise CommandError(
            f"no key: set {VARIABLE}, or give --key-file PATH or --key-stdin; "
            "--sandbox tries a command without one"
        )
    return _checked(key, VARIABLE)


def key_from_file(path: Path, option: str) -> Secret:
    """Read a key from the file that the option names; raises `CommandError`."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            data = file.read(_LONGEST + 1)
    except OSError as error:
        problem = CommandError(f"{option} {path}: {error.strerror}")
    except ValueError:
        problem = CommandError(f"{option}: not a path")
    else:
        if os.name == "posix" and stat.S_ISREG(status.st_mode) and status.st_mode & _OTHERS:
            warn(f"{option} {path} can be read by others: chmod 600 {path}")
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
    return Secret(data[: _LONGEST + 1].decode("latin-1").rstrip("\r\n"))


def _checked(key: Secret, source: str) -> Secret:
    text = key.reveal()
    if not text:
        raise CommandError(f"{source}: there is no key in it")
    if len(text) > _LONGEST:
        raise CommandError(f"{source}: too long for a key")
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise CommandError(f"{source}: a key has no white space, and only ASCII characters")
    return key
