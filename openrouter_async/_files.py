"""Files that hold secrets: new, for their owner only, and on the disk before anything goes on.

Only POSIX has `O_NOFOLLOW`, the fsync of a folder, the check of who may write to a folder, and
locks by `flock`; elsewhere these steps are left out, and the rest is done.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from openrouter_async._threads import run_in_daemon_thread
from openrouter_async.errors import ConfigurationError

T = TypeVar("T")

RESERVED: Final = b"\n" * 4096
"""Written before a key exists, so that a full disk fails then."""

_NEW: Final = (
    os.O_RDWR
    | os.O_CREAT
    | os.O_EXCL
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_OLD: Final = _NEW & ~(os.O_CREAT | os.O_EXCL)
_READ: Final = (_OLD & ~os.O_RDWR) | os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)
"""Not to wait for the writer of a pipe."""


PATIENCE: Final = 0.75
"""Seconds that foreign code, such as a sink, is waited for when the work is cancelled."""


async def run_to_end(
    work: Callable[[], T],
    *,
    patience: float | None = None,
    undo: Callable[[T], object] | None = None,
) -> T:
    """Run a function in a thread and wait for it, even if the caller is cancelled meanwhile.

    The function starts at once, so that not even a cancellation that was requested earlier comes
    before it.

    Args:
        work: The function; it sees the caller's context variables.
        patience: Seconds to wait after a cancellation; None: until it returns.
        undo: After a cancellation, called in a thread with what the function returned, also where
            that comes after `patience`.

    """
    first = threading.Lock()
    """Taken by what comes first: the end of the work, or a cancellation."""

    def whole() -> T:
        result = work()
        if undo is not None and not first.acquire(blocking=False):
            undo(result)
        return result

    running = run_in_daemon_thread(whole, name=_NAME)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        ending: asyncio.Future[Any] = running
        if undo is not None and not first.acquire(blocking=False):
            await outlast(running)  # it has ended, and says so in a moment
            ending = run_in_daemon_thread(partial(undo, running.result()), name=_NAME)
        await outlast(ending, patience=patience)
        ending.cancel()  # nobody asks what comes later
        raise


_NAME: Final = "openrouter_async files"


async def outlast(*futures: asyncio.Future[Any], patience: float | None = None) -> None:
    """Wait until all are done, or `patience` seconds, however often this is cancelled meanwhile.

    Their exceptions are retrieved, so that asyncio does not log them.
    """
    loop = asyncio.get_running_loop()
    deadline = None if patience is None else loop.time() + patience
    while pending := {future for future in futures if not future.done()}:
        left = None if deadline is None else deadline - loop.time()
        if left is not None and left <= 0:
            break
        with suppress(asyncio.CancelledError):
            await asyncio.wait(pending, timeout=left)
    for future in futures:
        if future.done() and not future.cancelled():
            future.exception()


def absolute(name: str, given: Any) -> Path:
    """Return a path made absolute; raises `ConfigurationError` that names the parameter."""
    problem = "must be a path"
    try:
        text: object = os.fspath(given)
        if isinstance(text, str) and text and "\0" not in text:
            os.fsencode(text)
            return Path(text).absolute()
    except (TypeError, ValueError):
        pass
    except OSError:
        problem = "is relative, and the current folder does not exist any more"
    raise ConfigurationError(f"{name} {problem}")


def open_new(path: Path) -> int:
    """Create a file that was not there, at 0600 less the umask; raises `OSError`."""
    return os.open(path, _NEW, 0o600)


def open_old(path: Path) -> int:
    """Open a file for reading and writing, but no symbolic link; raises `OSError`."""
    descriptor = os.open(path, _OLD)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file")
    return descriptor


def write_over(descriptor: int, data: bytes, *, at: int = 0) -> None:
    """Write all of `data` from an offset on, and wait until the disk has it."""
    os.lseek(descriptor, at, os.SEEK_SET)
    while data:
        data = data[os.write(descriptor, data) :]
    os.fsync(descriptor)


def create(path: Path, data: bytes) -> None:
    """Create a file with these bytes; nothing is left of it if that fails."""
    descriptor = open_new(path)
    try:
        write_over(descriptor, data)
    except BaseException:
        os.close(descriptor)
        path.unlink(missing_ok=True)
        raise
    os.close(descriptor)


def put(temporary: Path, target: Path, data: bytes, mode: int | None = None) -> None:
    """Make `target` a file with exactly these bytes, all at once, by way of `temporary`.

    The temporary file may be there, with its room reserved. None as `mode`: what it has.
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
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(target)
    sync_folder(target.parent)


def read(path: Path, most: int) -> bytes | None:
    """Read a regular file up to `most` bytes; None if there is none. Raises `OSError`."""
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
    """Read an open file from its beginning, up to `most` bytes, -1: all; raises `OSError`."""
    with open(descriptor, "rb", closefd=False) as file:  # a descriptor
        file.seek(0)
        return file.read(most)


def remove(path: Path) -> None:
    """Remove a file for good; one that is gone is fine."""
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the folder's names; only POSIX can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot
            raise
    finally:
        os.close(descriptor)


def refuse_open_folder(folder: Path) -> None:
    """Raise `PermissionError` where anybody may replace files; only POSIX can tell."""
    mode = folder.stat().st_mode
    if os.name == "posix" and mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise PermissionError(errno.EPERM, f"anybody may replace files in {folder}")


class ForeignFileError(PermissionError):
    """Others may have written the file or folder, so nothing in it can be believed."""


def refuse_foreign(what: str, status: os.stat_result) -> None:
    """Raise `ForeignFileError` if others than this user and root may write; only POSIX can tell."""
    if os.name != "posix":
        return
    problem = None
    if status.st_uid not in (os.geteuid(), 0):
        problem = "belongs to another user"
    elif status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        problem = "can be written by other users (chmod go-w)"
    if problem is not None:
        raise ForeignFileError(errno.EPERM, f"{what} {problem}: nothing in it can be trusted")


def try_lock(descriptor: int) -> bool:
    """Take the file for this process until it is closed; False: another one has it."""
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
    """Take the file at `path`, which this is; raises `BlockingIOError` if another process has it.

    `FileNotFoundError`: it was removed meanwhile.
    """
    if not (try_lock(descriptor) and os.path.samestat(os.fstat(descriptor), path.lstat())):
        raise BlockingIOError(errno.EAGAIN, "another process is at it")


def lock(descriptor: int) -> None:
    """Take the file for this process, waiting for who looks at it; `OSError` if it was removed."""
    try:
        import fcntl
    except ImportError:  # not POSIX
        return
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    if os.fstat(descriptor).st_nlink == 0:
        raise OSError(errno.ENOENT, "somebody removed it")


@contextmanager
def folder_locked(folder: Path) -> Generator[None]:
    """Keep others who do the same away from the folder; only POSIX can."""
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
        os.close(descriptor)


def reason(error: OSError | ValueError) -> str:
    """Explain why a file cannot be used, without its content."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
