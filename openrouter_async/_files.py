"""Files that hold secrets: newly created, private to their owner, and synced to disk.

`O_NOFOLLOW`, the fsync of a folder, the check of who may write to a folder, and `flock` exist only
on POSIX. Elsewhere, these steps are skipped.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from openrouter_async.errors import ConfigurationError

RESERVED: Final = b"\n" * 4096
"""Written before a key exists, so that a full disk fails early."""

_NEW: Final = (
    os.O_RDWR
    | os.O_CREAT
    | os.O_EXCL
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_OLD: Final = _NEW & ~(os.O_CREAT | os.O_EXCL)
# With O_NONBLOCK, opening a named pipe does not wait for its writer.
_READ: Final = (_OLD & ~os.O_RDWR) | os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)


def absolute(name: str, path: Any) -> Path:
    """Return an absolute path; raise a `ConfigurationError` that names the parameter."""
    problem = "must be a path"
    try:
        text: object = os.fspath(path)
        if isinstance(text, str) and text and "\0" not in text:
            os.fsencode(text)
            return Path(text).absolute()
    except (TypeError, ValueError):
        pass
    except OSError:
        problem = "is relative, and the current folder no longer exists"
    raise ConfigurationError(f"{name} {problem}")


def open_new(path: Path) -> int:
    """Create a file that must not exist yet, with mode 0600 less the umask; raise `OSError`."""
    return os.open(path, _NEW, 0o600)


def open_old(path: Path) -> int:
    """Open a regular file for reading and writing, but not a symbolic link; raise `OSError`."""
    descriptor = os.open(path, _OLD)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file")
    return descriptor


def write_over(descriptor: int, data: bytes, *, at: int = 0) -> None:
    """Write all of `data` at an offset; it survives the process, but not a power cut."""
    os.lseek(descriptor, at, os.SEEK_SET)
    while data:
        data = data[os.write(descriptor, data) :]


def create(path: Path, data: bytes) -> None:
    """Create a file with some content, synced to disk; remove it again if that fails."""
    descriptor = open_new(path)
    try:
        write_over(descriptor, data)
        os.fsync(descriptor)
    except BaseException:
        os.close(descriptor)
        path.unlink(missing_ok=True)
        raise
    os.close(descriptor)


def put(temporary: Path, target: Path, data: bytes, mode: int | None = None) -> None:
    """Replace the content of `target` atomically, by way of `temporary`.

    The temporary file may exist already, with its space reserved. `mode` None keeps its mode.
    """
    try:
        descriptor = open_old(temporary)
    except FileNotFoundError:
        descriptor = open_new(temporary)
    try:
        write_over(descriptor, data)
        os.ftruncate(descriptor, len(data))
        if mode is not None and hasattr(os, "fchmod"):
            os.fchmod(descriptor, mode)
        # Synced before the rename, so that a power cut leaves either the old content or the new.
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(target)
    sync_folder(target.parent)


def read(path: Path, most: int) -> bytes | None:
    """Read up to `most` bytes of a regular file; None if there is no file. Raises `OSError`."""
    try:
        descriptor = os.open(path, _READ)
    except FileNotFoundError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return read_from(descriptor, most)
    finally:
        os.close(descriptor)


def read_from(descriptor: int, most: int = -1) -> bytes:
    """Read an open file from its beginning, up to `most` bytes (-1: all); raise `OSError`."""
    with open(descriptor, "rb", closefd=False) as file:
        file.seek(0)
        return file.read(most)


def remove(path: Path) -> None:
    """Remove a file durably; do nothing if it is gone already."""
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Wait until the folder's entries are on the disk; only on POSIX."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # as on some network file systems
            raise
    finally:
        os.close(descriptor)


def refuse_open_folder(folder: Path) -> None:
    """Raise `PermissionError` if any user may replace files in a folder; only on POSIX."""
    mode = folder.stat().st_mode
    if os.name == "posix" and mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise PermissionError(errno.EPERM, f"any user may replace files in {folder}")


class ForeignFileError(PermissionError):
    """Other users may have written to a file or folder, so its content cannot be trusted."""


def refuse_foreign(what: str, status: os.stat_result) -> None:
    """Raise `ForeignFileError` if users other than this one and root may write; only on POSIX."""
    if os.name != "posix":
        return
    problem = None
    if status.st_uid not in (os.geteuid(), 0):
        problem = "belongs to another user"
    elif status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        problem = "is writable by other users (chmod go-w)"
    if problem is not None:
        raise ForeignFileError(errno.EPERM, f"{what} {problem}: nothing in it can be trusted")


def try_lock(descriptor: int) -> bool:
    """Lock a file until it is closed; return False if another process has locked it."""
    try:
        import fcntl
    except ImportError:  # not POSIX
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def take(path: Path, descriptor: int) -> None:
    """Lock the file at `path`, which has been opened as `descriptor`.

    Raises `BlockingIOError` if another process has locked or replaced it, and `FileNotFoundError`
    if it was removed in between.
    """
    if not (try_lock(descriptor) and os.path.samestat(os.fstat(descriptor), path.lstat())):
        raise BlockingIOError(errno.EAGAIN, "another process is using it")


def lock(descriptor: int) -> None:
    """Lock a file, waiting for other processes; raise `OSError` if it was removed."""
    try:
        import fcntl
    except ImportError:  # not POSIX
        return
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    # The process that held the lock may have removed the file.
    if os.fstat(descriptor).st_nlink == 0:
        raise OSError(errno.ENOENT, "it was removed")


@contextmanager
def folder_locked(folder: Path) -> Generator[None]:
    """Lock a folder against others that use this function; only on POSIX."""
    try:
        import fcntl
    except ImportError:  # not POSIX
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        # Closing the descriptor releases the lock.
        os.close(descriptor)


def reason(error: OSError | ValueError) -> str:
    """Return why a file cannot be used, without any of its content."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
