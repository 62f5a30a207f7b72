"""What `--sink` means, and a last resort for a key that could not be shown."""

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
    "Where the key goes: file:PATH (only you can read it), dotenv:PATH:NAME or stdout. Killed at "
    "any moment, nothing is lost: see recover."
)


def sink_for(
    spec: str, print_key: Callable[[ProvisionedKey], object], *, replace: bool = False
) -> Sink:
    """Make the sink that `--sink` names; raises `CommandError`."""
    kind, _, place = spec.partition(":")
    try:
        if spec == "stdout":
            return _Printed(print_key)
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


class _Printed(CallableSink):
    """Standard output; a journal remembers it as that."""

    def __init__(self, print_key: Callable[[ProvisionedKey], object]) -> None:
        super().__init__(print_key)
        self.where = "standard output"

    def describe(self) -> dict[str, str]:
        """Return the kind."""
        return {"kind": "stdout"}


def rescue(secret: Secret, hash: str) -> str | None:
    """Save a secret that could not be delivered into a new file at 0600; None if nothing helps."""
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
