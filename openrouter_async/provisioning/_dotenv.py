"""One entry of a dotenv file; every other line stays as it is, byte for byte."""

from __future__ import annotations

import errno
import logging
import os
import re
import stat
from typing import Any, Final

from openrouter_async.errors import ConfigurationError
from openrouter_async.provisioning import _files
from openrouter_async.provisioning._sinks import (
    NOT_READ_BACK,
    ProvisionedKey,
    Sink,
    checked_path,
    reserve,
    temporary,
)

_LOG: Final = logging.getLogger("openrouter_async")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ENTRY: Final = re.compile(rb"[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.\-]*)[ \t]*=[ \t]*")
_BARE: Final = re.compile(r"[A-Za-z0-9_\-./:+@%]+")
_LARGEST: Final = 1024 * 1024
"""Bytes; no dotenv file is that long."""


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
        if not self._replace and _values(found, self._name):
            raise FileExistsError(errno.EEXIST, f"{self._name} is in the file already")
        self._warn_of_readers()
        reserve(self._path, work, len(found) + len(_files.RESERVED))

    def deliver(self, work: str, key: ProvisionedKey) -> None:
        """Put a copy with the entry in place of the file."""
        value = quoted(key.secret.reveal()).encode()
        with _files.folder_locked(self._path.parent):
            found = self._read()
            values = _values(found, self._name)
            if values and all(each == value for each in values):
                self.discard(work)
                return
            if values and not self._replace:
                raise FileExistsError(errno.EEXIST, f"{self._name} is in the file by now")
            changed = with_entry(found, self._name, value)
            _files.put(temporary(self._path, work), self._path, changed, self._mode())

    def read_back(self, key: ProvisionedKey) -> None:
        """Look for the entry, which must have this value wherever it stands."""
        values = _values(self._read(), self._name)
        if not values or set(values) != {quoted(key.secret.reveal()).encode()}:
            raise OSError(errno.EIO, NOT_READ_BACK)

    def discard(self, work: str) -> None:
        """Remove the copy."""
        _files.remove(temporary(self._path, work))

    def describe(self) -> dict[str, Any]:
        """Give kind, path, name and whether it replaces."""
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
        """Give the mode of the file that is there."""
        try:
            return stat.S_IMODE(self._path.lstat().st_mode)
        except FileNotFoundError:
            return None

    def _warn_of_readers(self) -> None:
        mode = self._mode()
        if os.name == "posix" and mode is not None and mode & (stat.S_IRGRP | stat.S_IROTH):
            _LOG.warning("%s can be read by others; its mode is kept", self._path)


def quoted(value: str) -> str:
    """Write a value so that shells and dotenv readers read the same; safe ones stay bare."""
    if _BARE.fullmatch(value):
        return value
    if "'" not in value and "\\" not in value:
        return f"'{value}'"
    escaped = re.sub(r'([\\"$`])', r"\\\1", value)
    return f'"{escaped}"'


def with_entry(text: bytes, name: str, value: bytes) -> bytes:
    """Give the file with `name=value` in place of every entry of that name, else at its end."""
    spans = _spans(text, name)
    if spans:
        for start, end in reversed(spans):
            text = text[:start] + value + text[end:]
        return text
    newline = b"\r\n" if b"\r\n" in text else b"\n"
    gap = newline if text and not text.endswith(b"\n") else b""
    return text + gap + name.encode() + b"=" + value + newline


def _values(text: bytes, name: str) -> list[bytes]:
    """Give every value that the file has for a name, quotes included."""
    return [text[start:end] for start, end in _spans(text, name)]


def _spans(text: bytes, name: str) -> list[tuple[int, int]]:
    """Find the values of a name: quoted ones may go over several lines."""
    spans: list[tuple[int, int]] = []
    at = 0
    while at < len(text):
        entry = _ENTRY.match(text, at)
        end = _end_of_value(text, entry.end()) if entry else _end_of_line(text, at)
        if entry and entry[1] == name.encode():
            spans.append((entry.end(), end))
        at = text.find(b"\n", end) + 1 or len(text)
    return spans


def _end_of_value(text: bytes, start: int) -> int:
    quote = text[start : start + 1]
    if quote in (b"'", b'"', b"`"):
        at = start + 1
        while at < len(text):
            if text[at : at + 1] == b"\\":
                at += 1
            elif text[at : at + 1] == quote:
                return at + 1
            at += 1
    comment = re.compile(rb"[ \t]+#").search(text, start, _end_of_line(text, start))
    return comment.start() if comment else _end_of_line(text, start)


def _end_of_line(text: bytes, start: int) -> int:
    end = text.find(b"\n", start)
    end = len(text) if end < 0 else end
    return end - 1 if end > start and text[end - 1 : end] == b"\r" else end
