"""A registry: the hashes that somebody believes to be all keys of the account."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias, cast

from openrouter_async import _checks
from openrouter_async.audit._reading import read_text
from openrouter_async.errors import ConfigurationError, InvalidRequestError

Registry: TypeAlias = str | os.PathLike[str] | Iterable[str]
"""A file's path, or the hashes themselves."""


def read_registry(registry: Registry) -> frozenset[str]:
    """Give the hashes; raises `ConfigurationError` that names the line, never what is in it.

    A file has a hash a line; what follows a comma or white space, empty lines and lines beginning
    with `#` are ignored, and so is a heading `hash` in the first line.
    """
    if isinstance(registry, (str, os.PathLike)):
        return _read_file(Path(registry))
    if not isinstance(registry, Iterable):
        raise ConfigurationError("registry must be a file's path or an iterable of hashes")
    hashes = list(cast("Iterable[object]", registry))
    return frozenset(
        _checked(hash, f"registry[{number}] is no hash") for number, hash in enumerate(hashes)
    )


def _read_file(path: Path) -> frozenset[str]:
    try:
        lines = read_text(path).splitlines()
    except ConfigurationError as error:
        problem = error.message
    else:
        return frozenset(
            _checked(words[0], f"registry {path}: line {number} is no hash")
            for number, line in enumerate(lines, start=1)
            if (words := line.replace(",", " ").split()) and not _is_note(words[0], number)
        )
    raise ConfigurationError(f"registry {path} {problem}")


def _is_note(word: str, line: int) -> bool:
    return word.startswith("#") or (line == 1 and word.strip('"').lower() == "hash")


def _checked(hash: object, problem: str) -> str:
    plain = hash.strip('"') if isinstance(hash, str) else hash
    try:
        return _checks.key_hash("registry", plain)
    except InvalidRequestError:
        pass
    raise ConfigurationError(problem)
