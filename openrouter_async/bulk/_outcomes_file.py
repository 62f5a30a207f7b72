"""The outcomes file: one JSON object per line, with which an interrupted run can be continued.

The first line identifies the account, because what was done in another account, such as a sandbox,
has not been done in this one. An account is a base URL and the service's ID of the key's
organization or user, so another management key of the same account can continue the file. An item
is announced before it is tried. An announced create without an outcome may have made a key, so it
is never tried again.
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
    """An open outcomes file: the outcomes of earlier runs, to which this run's are appended."""

    def __init__(self, path: Path, descriptor: int, data: bytes) -> None:
        self._path = path
        self._descriptor = descriptor
        self._known, self._account = _parse(data)
        self._torn = bool(data) and not data.endswith(b"\n")
        """Whether the file ends in a partial line, which would make a line after it unreadable."""
        self._writing = threading.Lock()

    def claim(self, account: Mapping[str, str]) -> None:
        """Write the account unless the file has it; the first create's fsync puts it on disk.

        Raises `ConfigurationError` if the file belongs to another account or cannot be written.
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
                f"it has the outcomes of another account ({shown}): use another file or, if you "
                'know that the account is the same, remove the line that begins with {"account"'
            )
        if problem is not None:
            raise ConfigurationError(f"outcomes_file {self._path}: {problem}")

    def earlier(self, item: Item) -> Outcome | None:
        """Return the outcome of an item that must not be tried again; None: it may be tried."""
        entry = self._known.get(item.id, {})
        status = entry.get("status")
        facts = {name: v for name in ("hash", "sink") if isinstance(v := entry.get(name), str)}
        if status == Status.OK:
            return item.outcome(Status.SKIPPED, reason="done by an earlier run", **facts)
        if item.action is Action.CREATE and status in (Status.AMBIGUOUS, _BEGUN):
            reason = "an earlier run may have created a key: see recover"
            return item.outcome(Status.AMBIGUOUS, reason=reason, **facts)
        return None

    def was_begun(self, item: Item) -> bool:
        """Return whether an earlier run may have done the item."""
        status = self._known.get(item.id, {}).get("status")
        return status in (Status.AMBIGUOUS, _BEGUN)

    def begin(self, item: Item) -> None:
        """Announce an item; a create's line is synced to disk. Raises `OSError`."""
        entry = {"index": item.index, "action": item.action, "subject": item.subject}
        self._write({"id": item.id, **entry, "status": _BEGUN})
        # Other changes can be repeated, so after a crash they need no trace.
        if item.action is Action.CREATE:
            os.fsync(self._descriptor)

    def end(self, item: Item, outcome: Outcome) -> None:
        """Append an outcome; raises `OSError`."""
        shown = {name: getattr(outcome, name) for name in _SHOWN}
        self._write({"id": item.id, **{k: v for k, v in shown.items() if v is not None}})

    def _write(self, entry: dict[str, Any]) -> None:
        """Append a line, after a newline if the file ends in a partial line."""
        line = (scrub(json.dumps(entry)) + "\n").encode()
        with self._writing:
            data = b"\n" * self._torn + line
            # Until all of it is written: an error may leave a partial line.
            self._torn = True
            while data:
                data = data[os.write(self._descriptor, data) :]
            self._torn = False


@contextmanager
def opened(path: str | os.PathLike[str]) -> Generator[Record]:
    """Open the file, creating it with mode 0600 if needed; raises `ConfigurationError`."""
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
    """Lock the file, return its content, and seek to its end; raises `ConfigurationError`."""
    try:
        _files.take(path, descriptor)
        data = _files.read_from(descriptor)
        os.lseek(descriptor, 0, os.SEEK_END)
    except BlockingIOError:
        failure = "is in use by another run"
    except OSError as error:
        failure = f"cannot be used: {_files.reason(error)}"
    else:
        return data
    raise ConfigurationError(f"outcomes_file {path} {failure}")


def _parse(data: bytes) -> tuple[dict[str, dict[str, Any]], dict[str, Any] | None]:
    """Return the last entry of each item by its ID, and the account; skip unreadable lines."""
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
