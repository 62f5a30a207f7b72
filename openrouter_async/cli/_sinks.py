"""Parse `--sink`, and save a key that could not be shown."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from openrouter_async import _files
from openrouter_async.cli._exits import CommandError
from openrouter_async.errors import ConfigurationError
from openrouter_async.provisioning import DotenvSink, FileSink, ProvisionedKey, Sink
from openrouter_async.provisioning._sinks import CallableSink
from openrouter_async.secret import Secret

KINDS: Final = "file:PATH, dotenv:PATH:NAME or stdout"
HELP: Final = (
    "Where to store the key: file:PATH (readable only by you), dotenv:PATH:NAME or stdout. "
    "Nothing is lost even if the process is killed: see recover."
)


def sink_for(
    spec: str, print_key: Callable[[ProvisionedKey], object], *, replace: bool = False
) -> Sink:
    """Build the sink that `--sink` names; raises `CommandError`."""
    kind, _, place = spec.partition(":")
    try:
        if spec == "stdout":
            return _StdoutSink(print_key)
        if kind == "file":
            return FileSink(place, replace=replace)
        if kind == "dotenv":
            path, _, name = place.rpartition(":")
            return DotenvSink(path, name, replace=replace)
    except ConfigurationError as error:
        problem = CommandError(f"--sink {spec}: {error.message}")
    else:
        problem = CommandError(f"--sink must be {KINDS}")
    raise problem


class _StdoutSink(CallableSink):
    """A sink that prints the key; a journal records it as standard output."""

    def __init__(self, print_key: Callable[[ProvisionedKey], object]) -> None:
        super().__init__(print_key)
        self.where = "standard output"

    def describe(self) -> dict[str, str]:
        """Return the kind."""
        return {"kind": "stdout"}


def rescue(secret: Secret, hash: str) -> str | None:
    """Save an undelivered secret to a new file with mode 0600; returns its path, None on failure.

    Tries the working directory, the home directory and the temporary directory in turn.
    """
    for directory in (Path.cwd, Path.home, lambda: Path(tempfile.gettempdir())):
        try:
            path = directory() / f"openrouter-key-{hash[:12] or 'new'}"
            _files.refuse_open_folder(path.parent)
            _files.create(path, f"{secret.reveal()}\n".encode())
            _files.sync_folder(path.parent)
        except (OSError, RuntimeError):
            continue
        return str(path)
    return None
