"""Where a new key's plaintext goes: opened before the key exists, so that it cannot be lost."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

from openrouter_async.cli._exits import CommandError
from openrouter_async.secret import Secret

_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
_RESERVED: Final = b"\n" * 4096
"""Written before the key exists, so that a full disk fails then."""


class Sink(Protocol):
    """Takes one secret; it is open from its making on."""

    where: str
    """What people are told."""

    def store(self, secret: Secret) -> None:
        """Keep the secret so that it survives a crash; raises `OSError`."""
        ...

    def discard(self) -> None:
        """Leave nothing behind, since there is no key."""
        ...


class FileSink:
    """A new file that only its owner can read: the key and a newline."""

    def __init__(self, place: str) -> None:
        """Create the file and reserve its room; raises `CommandError`."""
        if not place:
            raise CommandError("--sink file: needs a path, such as file:./acme.key")
        self.where = place
        self._path = Path(place)
        self._refuse_open_directory()
        try:
            self._descriptor = os.open(self._path, _FLAGS, 0o600)
        except (OSError, ValueError) as error:
            problem = _refused(place, error)
        else:
            self._reserve()
            return
        raise problem

    def _reserve(self) -> None:
        try:
            if hasattr(os, "fchmod"):
                os.fchmod(self._descriptor, 0o600)  # whatever the umask and the directory's ACL
            os.write(self._descriptor, _RESERVED)
            os.fsync(self._descriptor)
            _sync_directory(self._path.parent)
        except OSError as error:
            self.discard()
            problem = _refused(self.where, error)
        else:
            return
        raise problem

    def _refuse_open_directory(self) -> None:
        with suppress(OSError, ValueError):
            mode = self._path.parent.stat().st_mode
            if os.name == "posix" and mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
                raise CommandError(
                    f"--sink {self.where}: anybody may replace files in {self._path.parent}"
                )

    def store(self, secret: Secret) -> None:
        """Write over the reserved room, and wait until the disk has it."""
        data = f"{secret.reveal()}\n".encode()
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        written = os.write(self._descriptor, data)
        if written != len(data):
            raise OSError("written only in part")
        os.ftruncate(self._descriptor, len(data))
        os.fsync(self._descriptor)
        os.close(self._descriptor)

    def discard(self) -> None:
        """Remove the file."""
        with suppress(OSError):
            os.close(self._descriptor)
        with suppress(OSError):
            self._path.unlink()


KINDS: Final[Mapping[str, Callable[[str], Sink]]] = {"file": FileSink}
"""What may stand before the colon of `--sink`."""


@contextmanager
def opened_sink(spec: str) -> Generator[Sink]:
    """Open what `--sink` names; it is discarded if the block fails. Raises `CommandError`."""
    kind, colon, place = spec.partition(":")
    if not colon or kind not in KINDS:
        known = ", ".join(f"{kind}:…" for kind in KINDS)
        raise CommandError(f"--sink must be one of: {known}")
    sink = KINDS[kind](place)
    try:
        yield sink
    except BaseException:
        sink.discard()
        raise


def rescue(secret: Secret, hash: str) -> str | None:
    """Save a secret that could not be delivered into a new file at 0600; None if nothing helps."""
    for directory in (Path.cwd, Path.home, lambda: Path(tempfile.gettempdir())):
        try:
            path = directory() / f"openrouter-key-{hash[:12] or 'new'}"
            sink = FileSink(str(path))
            sink.store(secret)
        except (OSError, RuntimeError, CommandError):
            continue
        return str(path)
    return None


def _refused(place: str, error: OSError | ValueError) -> CommandError:
    reason = getattr(error, "strerror", None) or "not a path"
    return CommandError(f"--sink file:{place}: {reason}; no key was made")


def _sync_directory(directory: Path) -> None:
    """Make the new name survive a crash; only POSIX can."""
    with suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
