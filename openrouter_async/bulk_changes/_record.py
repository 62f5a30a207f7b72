"""A file of outcomes: one JSON object a line, so that an interrupted run can be gone on with.

An item is announced before it is tried. A create that was announced and has no outcome may have
made a key: it is never tried again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

from openrouter_async import _json
from openrouter_async.bulk_changes._outcomes import Action, Item, Outcome, Status
from openrouter_async.errors import ConfigurationError
from openrouter_async.provisioning import _files
from openrouter_async.secret import scrub

_BEGUN: Final = "begun"
_SHOWN: Final = ("index", "action", "subject", "status", "reason", "hash", "sink")


class Record:
    """What is known of earlier runs, and where this one is written."""

    def __init__(self, descriptor: int, known: dict[str, dict[str, Any]]) -> None:
        self._descriptor = descriptor
        self._known = known

    def earlier(self, item: Item) -> Outcome | None:
        """Give the outcome of an item that must not be tried again."""
        entry = self._known.get(item.id, {})
        status = entry.get("status")
        facts = {name: v for name in ("hash", "sink") if isinstance(v := entry.get(name), str)}
        if status == Status.OK:
            return item.came_to(Status.SKIPPED, reason="done before", **facts)
        if item.action is Action.CREATE and status in (Status.AMBIGUOUS, _BEGUN):
            reason = "a key may have been made before: see recover"
            return item.came_to(Status.AMBIGUOUS, reason=reason, **facts)
        return None

    def was_begun(self, item: Item) -> bool:
        """Say whether an earlier run may have done it."""
        status = self._known.get(item.id, {}).get("status")
        return status in (Status.AMBIGUOUS, _BEGUN)

    def begin(self, item: Item) -> None:
        """Announce an item, and wait until the disk has it; raises `OSError`."""
        entry = {"index": item.index, "action": item.action, "subject": item.subject}
        self._write({"id": item.id, **entry, "status": _BEGUN})
        if item.action is Action.CREATE:
            os.fsync(self._descriptor)

    def end(self, item: Item, outcome: Outcome) -> None:
        """Add an outcome; raises `OSError`."""
        shown = {name: getattr(outcome, name) for name in _SHOWN}
        self._write({"id": item.id, **{k: v for k, v in shown.items() if v is not None}})

    def _write(self, entry: dict[str, Any]) -> None:
        data = (scrub(json.dumps(entry)) + "\n").encode()
        while data:
            data = data[os.write(self._descriptor, data) :]


@contextmanager
def opened(path: str | os.PathLike[str]) -> Generator[Record]:
    """Open the file, which may be there, at 0600; raises `ConfigurationError`."""
    descriptor = _open(Path(path))
    try:
        if not _files.try_lock(descriptor):
            raise ConfigurationError("outcomes_file: another run is at it")
        known = _known_in(descriptor)
        yield Record(descriptor, known)
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    try:
        try:
            return _files.open_new(path)
        except FileExistsError:
            return _files.open_old(path)
    except OSError as error:
        failure = _files.reason(error)
    except ValueError:
        failure = "not a path"
    raise ConfigurationError(f"outcomes_file: {failure}")


def _known_in(descriptor: int) -> dict[str, dict[str, Any]]:
    """Read what is said last of each item, and go to the end; a torn line says nothing."""
    known: dict[str, dict[str, Any]] = {}
    with open(descriptor, "rb", closefd=False) as file:  # a descriptor
        data = file.read()
    for line in data.split(b"\n"):
        try:
            entry: object = _json.parse(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and isinstance(entry.get("id"), str):
            known[entry["id"]] = cast("dict[str, Any]", entry)
    os.lseek(descriptor, 0, os.SEEK_END)
    if data and not data.endswith(b"\n"):
        os.write(descriptor, b"\n")
    return known
