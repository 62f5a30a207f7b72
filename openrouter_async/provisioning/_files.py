"""Files that hold secrets: new, for their owner only, and on the disk before anything goes on.

Only POSIX has `O_NOFOLLOW`, the fsync of a folder, the check of who may write to a folder, and
locks by `flock`; elsewhere these steps are left out, and the rest is done.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
import os
import stat
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

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


async def finished(work: Callable[[], T], *, patience: float | None = None) -> T:
    """Do blocking work in a thread, to its end: who cancels meanwhile waits for it.

    The work is handed over at once, so that not even a cancellation that is already on its way
    comes before it. `patience`: seconds to wait for it then; None: as long as it takes.
    """
    loop = asyncio.get_running_loop()
    future = loop.run_in_executor(None, contextvars.copy_context().run, work)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        with suppress(asyncio.CancelledError):  # a second one changes nothing
            await asyncio.wait({future}, timeout=patience)
        future.add_done_callback(_see)
        raise


def _see(future: asyncio.Future[Any]) -> None:
    """Look at what went wrong; a cancellation goes on in its place."""
    if not future.cancelled():
        future.exception()


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
    with open(descriptor, "rb") as file:  # noqa: PTH123  # a descriptor
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
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
    """Say why a file cannot be used, without its content."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
