"""Where a new key's plaintext goes: made ready before the key exists, so that it cannot be lost."""

from __future__ import annotations

import errno
import inspect
import logging
import os
import re
import stat
import sys
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import attrs

from openrouter_async import _files
from openrouter_async.errors import ConfigurationError
from openrouter_async.models import APIKey
from openrouter_async.provisioning._dotenv import quoted, values_of, with_entry
from openrouter_async.secret import Secret

_LOG: Final = logging.getLogger("openrouter_async")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_LARGEST: Final = 1024 * 1024
"""Bytes of a file that a sink reads at most."""


@attrs.frozen(kw_only=True)
class ProvisionedKey:
    """A new key whose plaintext was put where it belongs; also what a sink is given."""

    name: str
    hash: str | None
    """None: the record beside the plaintext could not be read."""
    secret: Secret
    sink: str
    """Where the plaintext went, such as `file:/etc/acme.key`."""
    data: APIKey | None = None
    """The record; None if it could not be read, or when an interrupted work was resumed."""


class Sink(ABC):
    """Takes the plaintext of a new key. `work` is the name of the journal, unique to each key.

    Every method is called in a thread. `prepare` and `discard` may be called again by another
    process after a crash.
    """

    where: str
    """What people and journals call it; never part of a secret."""

    @abstractmethod
    def prepare(self, work: str) -> None:
        """Make sure, before a key exists, that it can be taken; raises `OSError`."""

    @abstractmethod
    def deliver(self, work: str, key: ProvisionedKey) -> Awaitable[object] | None:
        """Keep the plaintext for good, also twice; what it gives is awaited. Raises `OSError`."""

    def read_back(self, key: ProvisionedKey) -> None:  # noqa: B027  # functions cannot be read
        """Check that what was delivered can be read; raises `OSError` if it cannot.

        Only then is the plaintext removed from the journal. By default nothing is checked.
        """

    @abstractmethod
    def discard(self, work: str) -> None:
        """Leave nothing behind, since there is no key; raises `OSError`."""

    def describe(self) -> dict[str, Any] | None:
        """Give what a journal keeps, so that `sink_from` makes the same sink; None: impossible."""
        return None


class FileSink(Sink):
    """A file that only its owner can read, with the plaintext and a newline.

    The file must not be there yet, unless `replace` is set: then a regular file is replaced as a
    whole. Symbolic links and folders in which anybody may replace files are refused.
    """

    def __init__(self, path: str | os.PathLike[str], *, replace: bool = False) -> None:
        """Take the path, made absolute; raises `ConfigurationError`."""
        self._path = checked_path(path)
        self._replace = replace
        self.where = f"file:{self._path}"

    def prepare(self, work: str) -> None:
        """Reserve the name and room on the disk."""
        path = self._path
        _files.refuse_open_folder(path.parent)
        if self._replace:
            _files.read(path, 0)  # no link, no device
        else:
            _files.create(path, b"")
        try:
            reserve(path, work, len(_files.RESERVED))
        except BaseException:
            if not self._replace:
                path.unlink(missing_ok=True)
            raise

    def deliver(self, work: str, key: ProvisionedKey) -> None:
        """Put a whole file in place of the reserved one."""
        data = _line(key)
        found = _files.read(self._path, len(data) + 1)
        if found == data:
            self.discard(work)
            return
        if found and not self._replace:
            raise FileExistsError(errno.EEXIST, "something else is in the file by now")
        _files.put(temporary(self._path, work), self._path, data)

    def read_back(self, key: ProvisionedKey) -> None:
        """Compare the whole file."""
        data = _line(key)
        if _files.read(self._path, len(data) + 1) != data:
            raise OSError(errno.EIO, NOT_READ_BACK)

    def discard(self, work: str) -> None:
        """Remove what was reserved, and nothing that has content."""
        _files.remove(temporary(self._path, work))
        if not self._replace and _files.read(self._path, 1) == b"":
            _files.remove(self._path)

    def describe(self) -> dict[str, Any]:
        """Return kind, path and whether it replaces."""
        return {"kind": "file", "path": str(self._path), "replace": self._replace}


def _line(key: ProvisionedKey) -> bytes:
    return f"{key.secret.reveal()}\n".encode()


NOT_READ_BACK: Final = "what was written is not what is read back"


class DotenvSink(Sink):
    """The entry `name` of the dotenv file at `path`, which is made at 0600 if it is not there.

    Other lines, and the mode of a file that is there, stay as they are. An entry of that name is
    refused unless `replace` is set. Writers who use this class do not lose each other's entries;
    that takes `flock`, which only POSIX has.
    """

    def __init__(self, path: str | os.PathLike[str], name: str, *, replace: bool = False) -> None:
        """Take path and name; raises `ConfigurationError`."""
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConfigurationError("a dotenv name must be letters, digits and _, no digit first")
        self._path = checked_path(path)
        self._name = name
        self._replace = replace
        self.where = f"dotenv:{self._path}:{name}"

    def prepare(self, work: str) -> None:
        """Refuse an entry that is there, and reserve room for a copy of the file."""
        _files.refuse_open_folder(self._path.parent)
        found = self._read()
        if not self._replace and values_of(found, self._name):
            raise FileExistsError(errno.EEXIST, f"{self._name} is in the file already")
        self._warn_of_readers()
        reserve(self._path, work, len(found) + len(_files.RESERVED))

    def deliver(self, work: str, key: ProvisionedKey) -> None:
        """Put a copy with the entry in place of the file."""
        value = quoted(key.secret.reveal()).encode()
        with _files.folder_locked(self._path.parent):
            found = self._read()
            values = values_of(found, self._name)
            if values and all(each == value for each in values):
                self.discard(work)
                return
            if values and not self._replace:
                raise FileExistsError(errno.EEXIST, f"{self._name} is in the file by now")
            changed = with_entry(found, self._name, value)
            _files.put(temporary(self._path, work), self._path, changed, self._mode())

    def read_back(self, key: ProvisionedKey) -> None:
        """Look for the entry, which must have this value wherever it stands."""
        values = values_of(self._read(), self._name)
        if not values or set(values) != {quoted(key.secret.reveal()).encode()}:
            raise OSError(errno.EIO, NOT_READ_BACK)

    def discard(self, work: str) -> None:
        """Remove the copy."""
        _files.remove(temporary(self._path, work))

    def describe(self) -> dict[str, Any]:
        """Return kind, path, name and whether it replaces."""
        return {
            "kind": "dotenv",
            "path": str(self._path),
            "name": self._name,
            "replace": self._replace,
        }

    def _read(self) -> bytes:
        found = _files.read(self._path, _LARGEST + 1) or b""
        if len(found) > _LARGEST:
            raise OSError(errno.EFBIG, "too large for a dotenv file")
        return found

    def _mode(self) -> int | None:
        """Return the mode of the file that is there."""
        try:
            return stat.S_IMODE(self._path.lstat().st_mode)
        except FileNotFoundError:
            return None

    def _warn_of_readers(self) -> None:
        mode = self._mode()
        if os.name == "posix" and mode is not None and mode & (stat.S_IRGRP | stat.S_IROTH):
            _LOG.warning("%s can be read by others; its mode is kept", self._path)


class StdoutSink(Sink):
    """Standard output: the plaintext and a newline."""

    where = "standard output"

    def prepare(self, work: str) -> None:  # noqa: ARG002  # part of the protocol
        """Refuse a closed one; a full disk behind it shows only later, with the journal to help."""
        stream: Any = sys.stdout  # None where it was closed
        if stream is None or stream.closed:
            raise OSError(errno.EBADF, "it is closed")

    def deliver(self, work: str, key: ProvisionedKey) -> None:
        """Write and flush."""
        self.prepare(work)
        sys.stdout.write(f"{key.secret.reveal()}\n")
        sys.stdout.flush()

    def discard(self, work: str) -> None:
        """Do nothing."""

    def describe(self) -> dict[str, Any]:
        """Return the kind."""
        return {"kind": "stdout"}


class CallableSink(Sink):
    """A function, such as one that stores in a secrets manager; it may be async.

    It is called in a thread, with a `ProvisionedKey`; whatever it raises means: not stored. After a
    crash it may be called again for the same key.
    """

    def __init__(self, function: Callable[[ProvisionedKey], object]) -> None:
        self._function = function
        name = getattr(function, "__qualname__", type(function).__qualname__)
        self.where = f"function {name}"

    def prepare(self, work: str) -> None:
        """Do nothing: only the function knows."""

    def deliver(
        self,
        work: str,  # noqa: ARG002  # part of the protocol
        key: ProvisionedKey,
    ) -> Awaitable[object] | None:
        """Call the function."""
        given = self._function(key)
        return given if inspect.isawaitable(given) else None

    def discard(self, work: str) -> None:
        """Do nothing."""


AnySink: TypeAlias = "Sink | Callable[[ProvisionedKey], object]"
"""A sink, or a function (sync or async) that is given the `ProvisionedKey`."""


def as_sink(given: AnySink) -> Sink:
    """Wrap a function; raises `ConfigurationError` for anything else that is no sink."""
    if isinstance(given, Sink):
        return given
    if callable(given):
        return CallableSink(given)
    kind = type(given).__name__
    raise ConfigurationError(f"sink must be a FileSink, DotenvSink, StdoutSink or function: {kind}")


def sink_from(described: Mapping[str, Any] | None) -> Sink | None:
    """Make the sink that a journal describes; None if only the caller can."""
    given = described or {}
    kind, path, name = given.get("kind"), given.get("path"), given.get("name")
    replace = given.get("replace") is True
    if kind == "stdout":
        return StdoutSink()
    try:
        if kind == "file" and isinstance(path, str):
            return FileSink(path, replace=replace)
        if kind == "dotenv" and isinstance(path, str) and isinstance(name, str):
            return DotenvSink(path, name, replace=replace)
    except ConfigurationError:
        pass
    return None


def checked_path(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path of a file; raises `ConfigurationError`."""
    text = os.fspath(path) if isinstance(path, (str, os.PathLike)) else ""
    if not isinstance(text, str) or not text or not text.isprintable():
        raise ConfigurationError("a sink's path must be the path of a file")
    whole = _files.absolute("a sink's path", text)
    absolute = Path(os.path.abspath(whole))  # noqa: PTH100  # resolve() would follow a link
    if not absolute.name or text.endswith(("/", os.sep)):
        raise ConfigurationError("a sink's path must be the path of a file")
    return absolute


def temporary(path: Path, work: str) -> Path:
    """Name the file beside `path` that becomes it."""
    return path.with_name(f".{path.name[:100]}.{work}.tmp")


def reserve(path: Path, work: str, size: int) -> None:
    """Take room for `size` bytes beside `path`, so that a full disk fails now."""
    place = temporary(path, work)
    _files.create(place, b"\n" * size)
    try:
        os.close(_files.open_old(place))  # an odd umask may forbid it
        _files.sync_folder(place.parent)
    except BaseException:
        place.unlink(missing_ok=True)
        raise
