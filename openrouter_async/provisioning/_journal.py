"""The intent journal: what was begun with a new key, so that no crash can hide or lose one.

One file at 0600 for each work, in a folder at 0700. A line is a checksum and a JSON object, written
and synced before the step that it announces, or after the one that it remembers. Room for them is
reserved at the beginning. The plaintext is in it from the answer to the delivery.

A journal says where a plaintext goes and which key is deleted, so one that others could have
written, or whose folder others can write to, is neither read nor written.
"""

from __future__ import annotations

import json
import os
import secrets
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import attrs

from openrouter_async import _files, _json
from openrouter_async.errors import ConfigurationError
from openrouter_async.secret import Secret

SUFFIX: Final = ".journal"
_ROOM: Final = b"\n" * 8192
_LARGEST: Final = 256 * 1024
"""Bytes; what is longer was not written by us."""
_CHECKSUM: Final = 8

Entry = dict[str, Any]


def default_folder() -> Path:
    """Return `$XDG_STATE_HOME/openrouter_async/journal`, by default below `~/.local/state`.

    Raises `ConfigurationError` if there is no home directory.
    """
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    if not state.is_absolute():  # https://specifications.freedesktop.org/basedir-spec/latest/
        state = _home() / ".local" / "state"
    return state / "openrouter_async" / "journal"


def _home() -> Path:
    try:
        home = Path.home()
    except RuntimeError:  # neither HOME nor an entry in passwd
        home = Path()
    if not home.is_absolute():
        raise ConfigurationError(
            "there is no home directory for the journal: pass journal_dir, or set XDG_STATE_HOME"
        )
    return home


def folder_at(given: str | os.PathLike[str] | None) -> Path:
    """Return the journal's folder, the default one for None; raises `ConfigurationError`."""
    return default_folder() if given is None else _files.absolute("journal_dir", given)


def open_folder(folder: Path) -> None:
    """Make the folder, and those above it, at 0700 if they are not there; raises `OSError`."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    for place in reversed(missing):
        place.mkdir(mode=0o700, exist_ok=True)
        _files.sync_folder(place.parent)
    refuse_foreign_folder(folder)


def refuse_foreign_folder(folder: Path) -> None:
    """Raise `ForeignFileError` if others can write to the folder, `OSError` if it is not there."""
    _files.refuse_foreign("the folder", folder.stat())


@attrs.frozen(kw_only=True)
class JournalContent:
    """What could be read of a journal."""

    entries: list[Entry]
    damaged: bool
    """Whether there is something in it that could not be read."""
    torn: bool = False
    """Whether all there is is the beginning of the intent: its writer died, before any request."""
    end: int
    """Where the next line goes: behind everything that is there but newlines."""


class Journal:
    """One work's journal, held open and locked for as long as this process is at it."""

    def __init__(self, path: Path, descriptor: int, found: JournalContent) -> None:
        self.path = path
        self.entries = list(found.entries)
        self._found = found
        self._descriptor = descriptor
        self._end = found.end

    @property
    def work(self) -> str:
        """The name of the work, unique to it."""
        return self.path.name.removesuffix(SUFFIX)

    @classmethod
    def begin(cls, folder: Path, **intent: Any) -> Journal:
        """Start a journal, with room reserved and the intent on the disk; raises `OSError`."""
        open_folder(folder)
        path = folder / f"{_stamp()}-{secrets.token_hex(4)}{SUFFIX}"
        descriptor = _files.open_new(path)
        journal = cls(path, descriptor, JournalContent(entries=[], damaged=False, end=0))
        try:
            _files.lock(descriptor)
            _files.write_over(descriptor, _ROOM)
            journal.note("intent", **intent)
            os.close(_files.open_old(path))  # an odd umask may forbid it
            _files.sync_folder(folder)
        except BaseException:
            journal.close()
            path.unlink(missing_ok=True)
            raise
        return journal

    @classmethod
    def reopen(cls, path: Path) -> Journal:
        """Take over a journal and read it.

        Raises `BlockingIOError` if another process is at work on it, `FileNotFoundError` if one has
        finished it, `ForeignFileError` if others could have written it, or another `OSError`.
        """
        refuse_foreign_folder(path.parent)
        descriptor = _files.open_old(path)
        try:
            _files.refuse_foreign("the journal", os.fstat(descriptor))
            _files.take(path, descriptor)
            return cls(path, descriptor, parse(_files.read_from(descriptor, _LARGEST)))
        except BaseException:
            os.close(descriptor)
            raise

    def found(self) -> JournalContent:
        """Return what is in it, as a reader would find it."""
        return attrs.evolve(self._found, entries=list(self.entries), end=self._end)

    def note(self, step: str, **facts: Any) -> None:
        """Add a step, and wait until the disk has it; raises `OSError`."""
        entry = {"step": step, "at": datetime.now(UTC).isoformat(), **facts}
        line = b"\n" * bool(self._end) + line_of(entry)
        _files.write_over(self._descriptor, line, at=self._end)
        self._end += len(line) - 1
        self.entries.append(entry)

    def note_without_secret(self, step: str, **facts: Any) -> None:
        """Add a step and take the plaintext out, both or neither; raises `OSError`."""
        entry = {"step": step, "at": datetime.now(UTC).isoformat(), **facts}
        old = [{k: v for k, v in each.items() if k != "secret"} for each in self.entries]
        kept = [*old, entry]
        place = self.path.with_name(f".{self.work}.tmp")
        place.unlink(missing_ok=True)
        descriptor = _files.open_new(place)
        try:
            _files.lock(descriptor)
            data = b"".join(map(line_of, kept))
            _files.write_over(descriptor, data)
            place.replace(self.path)
            _files.sync_folder(self.path.parent)
        except BaseException:
            os.close(descriptor)
            place.unlink(missing_ok=True)
            raise
        self.close()
        self._descriptor, self.entries, self._end = descriptor, kept, len(data) - 1

    def remove(self) -> None:
        """Remove the file, and let go of it; raises `OSError`."""
        try:
            self.path.with_name(f".{self.work}.tmp").unlink(missing_ok=True)
            _files.remove(self.path)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


async def reopen(path: Path) -> Journal:
    """Take over a journal as `Journal.reopen` does, in a thread; the caller closes it."""
    return await _files.run_to_end(partial(Journal.reopen, path), undo=Journal.close)


def read(path: Path) -> JournalContent:
    """Read a journal; raises `OSError` only where the file itself cannot be read."""
    return parse(_files.read(path, _LARGEST) or b"")


def parse(data: bytes) -> JournalContent:
    """Read what is whole in a journal's bytes, whatever they are."""
    lines = [line for line in data.split(b"\n") if line]
    read = [_entry_in(line) for line in lines]
    return JournalContent(
        entries=[entry for entry in read if entry is not None],
        damaged=None in read or len(data) >= _LARGEST,
        torn=read == [None] and not lines[0].endswith(b"}") and data.endswith(b"\n\n"),
        end=len(data.rstrip(b"\n")),
    )


def line_of(entry: Mapping[str, Any]) -> bytes:
    """Write an entry, in ASCII and on one line, behind its checksum; here a `Secret` is shown."""
    text = json.dumps(entry, default=Secret.reveal).encode()
    return b"%08x %b\n" % (zlib.crc32(text), text)


def _entry_in(line: bytes) -> Entry | None:
    """Read a line; None if a single bit of it is wrong."""
    checksum, text = line[:_CHECKSUM], line[_CHECKSUM + 1 :]
    if line[_CHECKSUM : _CHECKSUM + 1] != b" " or checksum != b"%08x" % zlib.crc32(text):
        return None
    try:
        entry: object = _json.parse(text)
    except ValueError:
        return None
    if not isinstance(entry, dict) or not isinstance(entry.get("step"), str):
        return None
    if "secret" in entry:
        entry["secret"] = Secret(str(entry["secret"]))
    return cast("Entry", entry)


def paths(folder: Path) -> list[Path]:
    """Return the journals of a folder, oldest first; none if there is no folder.

    Raises `OSError` if it cannot be read.
    """
    try:
        names = os.listdir(folder)  # noqa: PTH208  # Path.glob hides what cannot be read
    except FileNotFoundError:
        return []
    return [folder / name for name in sorted(names) if name.endswith(SUFFIX)]


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
