"""A file of outcomes: one JSON object a line, so that an interrupted run can be gone on with.

The first line says which account it is about: what was done in another one, such as a sandbox,
was not done in this one. An account is a base URL and an id that the service gives the key's
organization or user, so a new management key of the same account can go on with the file. An item
is announced before it is tried. A create that was announced and has no outcome may have made a key:
it is never tried again.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

from openrouter_async import _files, _json
from openrouter_async.bulk._outcomes import Action, Item, Outcome, Status
from openrouter_async.errors import ConfigurationError
from openrouter_async.secret import scrub

_BEGUN: Final = "begun"
_SHOWN: Final = ("index", "action", "subject", "status", "reason", "hash", "sink")


class Record:
    """What is known of earlier runs, and where this one is written."""

    def __init__(self, path: Path, descriptor: int, data: bytes) -> None:
        self._path = path
        self._descriptor = descriptor
        self._known, self._account = _said_in(data)
        self._torn = bool(data) and not data.endswith(b"\n")
        """Whether the file ends within a line, behind which nothing can be read."""
        self._writing = threading.Lock()

    def claim(self, account: Mapping[str, str]) -> None:
        """Note the account, on the disk before a create is sent.

        Raises `ConfigurationError` if the file belongs to another one, or cannot be written.
        """
        problem = None
        if self._account is None:
            try:
                self._write({"account": account})
                _files.sync_folder(self._path.parent)
            except OSError as error:
                problem = _files.reason(error)
        elif self._account != account:
            shown = ", ".join(f"{name} {scrub(str(v))}" for name, v in self._account.items())
            problem = (
                f"it has the outcomes of another account ({shown}): use another file, or, if you "
                'know that it is the same one, remove the line that begins with {"account"'
            )
        if problem is not None:
            raise ConfigurationError(f"outcomes_file {self._path}: {problem}")

    def earlier(self, item: Item) -> Outcome | None:
        """Return the outcome of an item that must not be tried again."""
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
        """Return whether an earlier run may have done it."""
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
        """Add a line; behind a torn one it begins on a line of its own."""
        line = (scrub(json.dumps(entry)) + "\n").encode()
        with self._writing:
            data = b"\n" * self._torn + line
            self._torn = True
            while data:
                data = data[os.write(self._descriptor, data) :]
            self._torn = False


@contextmanager
def opened(path: str | os.PathLike[str]) -> Generator[Record]:
    """Open the file, which may be there, at 0600; raises `ConfigurationError`."""
    place = _files.absolute("outcomes_file", path)
    descriptor = _open(place)
    try:
        yield Record(place, descriptor, _locked(place, descriptor))
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
    raise ConfigurationError(f"outcomes_file {path}: {failure}")


def _locked(path: Path, descriptor: int) -> bytes:
    """Lock the file, read it, and go to its end."""
    try:
        _files.take(path, descriptor)
        data = _files.read_from(descriptor)
        os.lseek(descriptor, 0, os.SEEK_END)
    except BlockingIOError:
        failure = "another run is at it"
    except OSError as error:
        failure = _files.reason(error)
    else:
        return data
    raise ConfigurationError(f"outcomes_file {path}: {failure}")


def _said_in(data: bytes) -> tuple[dict[str, dict[str, Any]], dict[str, Any] | None]:
    """Read what is said last of each item, and of the account; a torn line says nothing."""
    known: dict[str, dict[str, Any]] = {}
    account: dict[str, Any] | None = None
    for line in data.split(b"\n"):
        try:
            entry: object = _json.parse(line)
        except ValueError:
            continue
        if not isinstance(entry, dict):
            continue
        if isinstance(entry.get("id"), str):
            known[entry["id"]] = cast("dict[str, Any]", entry)
        elif isinstance(entry.get("account"), dict):
            account = cast("dict[str, Any]", entry["account"])
    return known, account
