"""Destinations of a new key's plaintext, prepared before the key exists so that none is lost."""

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
"""Bytes; a larger dotenv file is refused."""


@attrs.frozen(kw_only=True)
class ProvisionedKey:
    """A new key whose plaintext has been delivered; also the argument of a sink."""

    name: str
    hash: str | None
    """None if the record in the response could not be read."""
    secret: Secret
    sink: str
    """Where the plaintext was delivered, such as `file:/etc/acme.key`."""
    data: APIKey | None = None
    """The record; None if it could not be read, or if an interrupted create was resumed."""


class Sink(ABC):
    """A destination of a new key's plaintext. `work` is the journal's ID, unique to each key.

    Every method is called in a thread. `prepare` and `discard` may be called again by another
    process after a crash.
    """

    where: str
    """Its name in messages and journals; must not contain a secret."""

    @abstractmethod
    def prepare(self, work: str) -> None:
        """Check, before a key exists, that it can be stored; raises `OSError`."""

    @abstractmethod
    def deliver(self, work: str, key: ProvisionedKey) -> Awaitable[object] | None:
        """Store the plaintext durably; an awaitable result is awaited. Raises `OSError`.

        It may be called twice for the same key.
        """

    def read_back(self, key: ProvisionedKey) -> None:  # noqa: B027  # functions cannot be read
        """Check that the delivered plaintext can be read; raises `OSError` if it cannot.

        The plaintext is removed from the journal only after this. The default checks nothing.
        """

    @abstractmethod
    def discard(self, work: str) -> None:
        """Remove what `prepare` reserved, because there is no key; raises `OSError`."""

    def describe(self) -> dict[str, Any] | None:
        """Return the journal's description of this sink, from which it can be rebuilt.

        None if it cannot be rebuilt.
        """
        return None


class FileSink(Sink):
    """A file that only its owner can read, containing the plaintext and a newline.

    The file must not exist, unless `replace` is set: then a regular file is replaced as a whole.
    Symbolic links and folders in which anyone may replace files are refused.
    """

    def __init__(self, path: str | os.PathLike[str], *, replace: bool = False) -> None:
        """Check the path and make it absolute; raises `ConfigurationError`."""
        self._path = checked_path(path)
        self._replace = replace
        self.where = f"file:{self._path}"

    def prepare(self, work: str) -> None:
        """Reserve the name and disk space."""
        path = self._path
        _files.refuse_open_folder(path.parent)
        if self._replace:
            _files.read(path, 0)  # raises for a link or a device
        else:
            os.close(_files.open_new(path))  # `reserve` syncs its name
        try:
            reserve(path, work, len(_files.RESERVED))
        except BaseException:
            if not self._replace:
                path.unlink(missing_ok=True)
            raise

    def deliver(self, work: str, key: ProvisionedKey) -> None:
        """Replace the reserved file atomically."""
        data = _line(key)
        # One byte more, so that a longer file with the same beginning differs.
        found = _files.read(self._path, len(data) + 1)
        if found == data:  # an earlier process delivered it and could not record that
            self.discard(work)
            return
        if found and not self._replace:
            raise FileExistsError(errno.EEXIST, "the file has other content now")
        _files.put(temporary(self._path, work), self._path, data)

    def read_back(self, key: ProvisionedKey) -> None:
        """Compare the whole file."""
        data = _line(key)
        if _files.read(self._path, len(data) + 1) != data:
            raise OSError(errno.EIO, NOT_READ_BACK)

    def discard(self, work: str) -> None:
        """Remove the reserved files, but no file that has content."""
        _files.remove(temporary(self._path, work))
        if not self._replace and _files.read(self._path, 1) == b"":
            _files.remove(self._path)

    def describe(self) -> dict[str, Any]:
        """Return the kind, the path and `replace`."""
        return {"kind": "file", "path": str(self._path), "replace": self._replace}


def _line(key: ProvisionedKey) -> bytes:
    return f"{key.secret.reveal()}\n".encode()


NOT_READ_BACK: Final = "the content read back differs from what was written"


class DotenvSink(Sink):
    """The entry `name` of the dotenv file at `path`, which is created with mode 0600 if missing.

    Other lines and the mode of an existing file stay unchanged. An existing entry of that name is
    refused unless `replace` is set. Concurrent writers that use this class do not lose each other's
    entries; that takes `flock`, which only POSIX has.
    """

    def __init__(self, path: str | os.PathLike[str], name: str, *, replace: bool = False) -> None:
        """Check path and name; raises `ConfigurationError`."""
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConfigurationError(
                "a dotenv name must consist of letters, digits and _, and not begin with a digit"
            )
        self._path = checked_path(path)
        self._name = name
        self._replace = replace
        self.where = f"dotenv:{self._path}:{name}"

    def prepare(self, work: str) -> None:
        """Refuse an existing entry, and reserve disk space for a copy of the file."""
        _files.refuse_open_folder(self._path.parent)
        found = self._read()
        if not self._replace and values_of(found, self._name):
            raise FileExistsError(errno.EEXIST, f"{self._name} is already in the file")
        self._warn_of_readers()
        reserve(self._path, work, len(found) + len(_files.RESERVED))

    def deliver(self, work: str, key: ProvisionedKey) -> None:
        """Replace the file atomically by a copy that has the entry."""
        value = quoted(key.secret.reveal()).encode()
        # The folder, because the file is replaced and a lock on it would exclude nobody.
        with _files.folder_locked(self._path.parent):
            found = self._read()
            values = values_of(found, self._name)
            if values and all(each == value for each in values):
                # An earlier process delivered it and could not record that.
                self.discard(work)
                return
            if values and not self._replace:
                raise FileExistsError(errno.EEXIST, f"{self._name} has been added to the file")
            changed = with_entry(found, self._name, value)
            _files.put(temporary(self._path, work), self._path, changed, self._mode())

    def read_back(self, key: ProvisionedKey) -> None:
        """Check that the entry is there and that every occurrence has this value."""
        values = values_of(self._read(), self._name)
        if not values or set(values) != {quoted(key.secret.reveal()).encode()}:
            raise OSError(errno.EIO, NOT_READ_BACK)

    def discard(self, work: str) -> None:
        """Remove the reserved copy."""
        _files.remove(temporary(self._path, work))

    def describe(self) -> dict[str, Any]:
        """Return the kind, the path, the name and `replace`."""
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
        """Return the mode of the file; None if there is no file."""
        try:
            return stat.S_IMODE(self._path.lstat().st_mode)
        except FileNotFoundError:
            return None

    def _warn_of_readers(self) -> None:
        mode = self._mode()
        if os.name == "posix" and mode is not None and mode & (stat.S_IRGRP | stat.S_IROTH):
            _LOG.warning("%s is readable by other users; its mode is kept", self._path)


class StdoutSink(Sink):
    """Standard output: the plaintext and a newline."""

    where = "standard output"

    def prepare(self, work: str) -> None:  # noqa: ARG002  # part of the protocol
        """Refuse a closed stream.

        A full disk behind it is noticed only on delivery; the journal has the plaintext then.
        """
        stream: Any = sys.stdout  # None if Python was started with it closed
        if stream is None or stream.closed:
            raise OSError(errno.EBADF, "it is closed")

    def deliver(self, work: str, key: ProvisionedKey) -> None:
        """Write the line and flush."""
        self.prepare(work)
        sys.stdout.write(f"{key.secret.reveal()}\n")
        sys.stdout.flush()

    def discard(self, work: str) -> None:
        """Do nothing."""

    def describe(self) -> dict[str, Any]:
        """Return the kind."""
        return {"kind": "stdout"}


class CallableSink(Sink):
    """A function, sync or async, for example one that writes to a secrets manager.

    It is called in a thread with a `ProvisionedKey`. Any exception means that the key was not
    stored. After a crash it may be called again for the same key.
    """

    def __init__(self, function: Callable[[ProvisionedKey], object]) -> None:
        self._function = function
        name = getattr(function, "__qualname__", type(function).__qualname__)
        self.where = f"function {name}"

    def prepare(self, work: str) -> None:
        """Do nothing: the function cannot be checked in advance."""

    def deliver(
        self,
        work: str,  # noqa: ARG002  # part of the protocol
        key: ProvisionedKey,
    ) -> Awaitable[object] | None:
        """Call the function."""
        result = self._function(key)
        return result if inspect.isawaitable(result) else None

    def discard(self, work: str) -> None:
        """Do nothing."""


AnySink: TypeAlias = "Sink | Callable[[ProvisionedKey], object]"
"""A sink, or a function (sync or async) that takes the `ProvisionedKey`."""


def as_sink(sink: AnySink) -> Sink:
    """Return the sink, wrapping a function; raises `ConfigurationError` for anything else."""
    if isinstance(sink, Sink):
        return sink
    if callable(sink):
        return CallableSink(sink)
    kind = type(sink).__name__
    raise ConfigurationError(
        f"sink must be a FileSink, DotenvSink, StdoutSink or function, not {kind}"
    )


def sink_from(description: Mapping[str, Any] | None) -> Sink | None:
    """Build the sink that a journal describes; None if it cannot be rebuilt."""
    params = description or {}
    kind, path, name = params.get("kind"), params.get("path"), params.get("name")
    replace = params.get("replace") is True
    if kind == "stdout":
        return StdoutSink()
    try:
        if kind == "file" and isinstance(path, str):
            return FileSink(path, replace=replace)
        if kind == "dotenv" and isinstance(path, str) and isinstance(name, str):
            return DotenvSink(path, name, replace=replace)
    except ConfigurationError:  # written by another version or by hand
        pass
    return None


def checked_path(path: str | os.PathLike[str]) -> Path:
    """Check a file's path and return it as absolute; raises `ConfigurationError`."""
    text = os.fspath(path) if isinstance(path, (str, os.PathLike)) else ""
    if not isinstance(text, str) or not text or not text.isprintable():
        raise ConfigurationError("a sink's path must be the path of a file")
    whole = _files.absolute("a sink's path", text)
    absolute = Path(os.path.abspath(whole))  # noqa: PTH100  # resolve() would follow a link
    if not absolute.name or text.endswith(("/", os.sep)):
        raise ConfigurationError("a sink's path must be the path of a file")
    return absolute


def temporary(path: Path, work: str) -> Path:
    """Return the name of the temporary file beside `path` that will be renamed to it."""
    # Cut, because a file name has at most 255 bytes.
    return path.with_name(f".{path.name[:100]}.{work}.tmp")


def reserve(path: Path, work: str, size: int) -> None:
    """Reserve `size` bytes beside `path`, so that a full disk fails before a key exists."""
    place = temporary(path, work)
    _files.create(place, b"\n" * size)
    try:
        os.close(_files.open_old(place))  # an unusual umask may prevent reopening
        _files.sync_folder(place.parent)
    except BaseException:
        place.unlink(missing_ok=True)
        raise
