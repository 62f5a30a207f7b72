"""The intent journal: a record of each new key's progress, so that no crash can hide or lose one.

Each provision or rotation has one file (0600) in the journal folder (0700). A line is a checksum
and a JSON object, written and synced before the step that it announces or after the step that it
records. Disk space is reserved at the start. The journal holds the plaintext from the response
until the delivery.

A journal decides where a plaintext goes and which key is deleted, so a journal that other users
could have written, or whose folder they can write to, is neither read nor written.
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
from openrouter_async._concurrency import run_to_end
from openrouter_async.errors import ConfigurationError
from openrouter_async.secret import Secret

SUFFIX: Final = ".journal"
_ROOM: Final = b"\n" * 8192
_LARGEST: Final = 256 * 1024
"""Bytes; a longer file was not written by this package."""
_CHECKSUM: Final = 8

Entry = dict[str, Any]


def default_folder() -> Path:
    """Return `$XDG_STATE_HOME/openrouter_async/journal`, by default under `~/.local/state`.

    Raises `ConfigurationError` if there is no home directory.
    """
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    # Relative paths are to be ignored: https://specifications.freedesktop.org/basedir-spec/latest/
    if not state.is_absolute():
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


def folder_at(path: str | os.PathLike[str] | None) -> Path:
    """Return the journal folder (None: the default one); raises `ConfigurationError`."""
    return default_folder() if path is None else _files.absolute("journal_dir", path)


def open_folder(folder: Path) -> None:
    """Create the folder and any missing parents with mode 0700; raises `OSError`."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    for place in reversed(missing):
        place.mkdir(mode=0o700, exist_ok=True)
        _files.sync_folder(place.parent)
    refuse_foreign_folder(folder)


def refuse_foreign_folder(folder: Path) -> None:
    """Raise `ForeignFileError` if others can write to the folder, `OSError` if it is missing."""
    _files.refuse_foreign("the folder", folder.stat())


@attrs.frozen(kw_only=True)
class JournalContent:
    """The readable content of a journal."""

    entries: list[Entry]
    damaged: bool
    """Whether part of the journal could not be read."""
    torn: bool = False
    """Whether there is only a partial intent: its writer died before any request was sent."""
    end: int
    """Offset of the next line: after everything except trailing newlines."""


class Journal:
    """The journal of one provision or rotation, open and locked while this process works on it."""

    def __init__(self, path: Path, descriptor: int, content: JournalContent) -> None:
        self.path = path
        self.entries = list(content.entries)
        self._content = content
        self._descriptor = descriptor
        self._end = content.end

    @property
    def journal_id(self) -> str:
        """The file name without its suffix; unique."""
        return self.path.name.removesuffix(SUFFIX)

    @classmethod
    def begin(cls, folder: Path, **intent: Any) -> Journal:
        """Create a journal with reserved space and the intent synced to disk; raises `OSError`."""
        open_folder(folder)
        path = folder / f"{_stamp()}-{secrets.token_hex(4)}{SUFFIX}"
        descriptor = _files.open_new(path)
        journal = cls(path, descriptor, JournalContent(entries=[], damaged=False, end=0))
        try:
            _files.lock(descriptor)
            # Synced with the intent: whatever a power cut leaves before that, no request was sent.
            _files.write_over(descriptor, _ROOM)
            journal.note("intent", **intent)
            # An unusual umask may prevent reopening; find out now, before a key exists.
            os.close(_files.open_old(path))
            _files.sync_folder(folder)
        except BaseException:
            journal.close()
            path.unlink(missing_ok=True)
            raise
        return journal

    @classmethod
    def reopen(cls, path: Path) -> Journal:
        """Open, lock and read a journal.

        Raises `BlockingIOError` if another process is using it, `FileNotFoundError` if another
        process has finished it, `ForeignFileError` if other users could have written it, or
        another `OSError`.
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

    def content(self) -> JournalContent:
        """Return the content as a reader of the file would see it."""
        return attrs.evolve(self._content, entries=list(self.entries), end=self._end)

    def note(self, step: str, *, synced: bool = True, **facts: Any) -> None:
        """Append a step and, by default, sync it to disk; raises `OSError`."""
        entry = {"step": step, "at": datetime.now(UTC).isoformat(), **facts}
        # `_end` is before the last line's newline, or after a torn line, which has none.
        line = b"\n" * bool(self._end) + line_of(entry)
        _files.write_over(self._descriptor, line, at=self._end)
        if synced:
            os.fsync(self._descriptor)
        self._end += len(line) - 1
        self.entries.append(entry)

    def note_without_secret(self, step: str, **facts: Any) -> None:
        """Append a step and remove the plaintext, atomically; raises `OSError`."""
        entry = {"step": step, "at": datetime.now(UTC).isoformat(), **facts}
        old = [{k: v for k, v in each.items() if k != "secret"} for each in self.entries]
        kept = [*old, entry]
        place = self.path.with_name(f".{self.journal_id}.tmp")
        place.unlink(missing_ok=True)
        descriptor = _files.open_new(place)
        try:
            _files.lock(descriptor)  # before the rename, so that the journal is never unlocked
            data = b"".join(map(line_of, kept))
            _files.write_over(descriptor, data)
            os.fsync(descriptor)
            place.replace(self.path)
            _files.sync_folder(self.path.parent)
        except BaseException:
            os.close(descriptor)
            place.unlink(missing_ok=True)
            raise
        self.close()
        self._descriptor, self.entries, self._end = descriptor, kept, len(data) - 1

    def remove(self) -> None:
        """Delete the file and close it; raises `OSError`."""
        try:
            self.path.with_name(f".{self.journal_id}.tmp").unlink(missing_ok=True)
            _files.remove(self.path)
        finally:
            self.close()

    def close(self) -> None:
        """Close the file, which releases its lock; may be called again."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


async def reopen(path: Path) -> Journal:
    """Call `Journal.reopen` in a thread; the caller closes the journal."""
    return await run_to_end(partial(Journal.reopen, path), undo=Journal.close)


def read(path: Path) -> JournalContent:
    """Read a journal without locking it; raises `OSError` only if the file cannot be read."""
    return parse(_files.read(path, _LARGEST) or b"")


def parse(data: bytes) -> JournalContent:
    """Parse the intact lines of a journal; arbitrary bytes raise no error."""
    lines = [line for line in data.split(b"\n") if line]
    read = [_entry_in(line) for line in lines]
    # Torn rather than damaged: a single partial line, still followed by reserved newlines.
    return JournalContent(
        entries=[entry for entry in read if entry is not None],
        damaged=None in read or len(data) >= _LARGEST,
        torn=read == [None] and not lines[0].endswith(b"}") and data.endswith(b"\n\n"),
        end=len(data.rstrip(b"\n")),
    )


def line_of(entry: Mapping[str, Any]) -> bytes:
    """Return an entry as one ASCII line after its checksum; a `Secret` is revealed here."""
    text = json.dumps(entry, default=Secret.reveal).encode()
    return b"%08x %b\n" % (zlib.crc32(text), text)


def _entry_in(line: bytes) -> Entry | None:
    """Parse a line; return None if its checksum does not match or it is not an entry."""
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
    """Return the journals in a folder, oldest first; an empty list if the folder does not exist.

    Raises `OSError` if the folder cannot be read.
    """
    try:
        names = os.listdir(folder)  # noqa: PTH208  # Path.glob hides what cannot be read
    except FileNotFoundError:
        return []
    # Names begin with the time of creation.
    return [folder / name for name in sorted(names) if name.endswith(SUFFIX)]


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
