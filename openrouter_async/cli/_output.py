"""Destinations of results: standard output, or a file replaced as a whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from openrouter_async.cli._console import mute, wants_colour
from openrouter_async.cli._exits import CommandError, Exit
from openrouter_async.report import utf8

_NARROWEST: Final = 40
_USUAL_WIDTH: Final = 80


class OutputGoneError(Exception):
    """The reader of standard output has gone, as with `| head`: end quietly."""


class Destination:
    """A stream for text; a failure to write always raises, and is never ignored."""

    def __init__(self, stream: BinaryIO, name: str, *, is_stdout: bool) -> None:
        self._stream = stream
        self._name = name
        self._is_stdout = is_stdout
        self.partial = False
        """Set if the text is incomplete: the file then gets the suffix `.partial`."""

    @property
    def colour(self) -> bool:
        """Whether the text may contain colours."""
        return self._is_stdout and wants_colour(sys.stdout)

    @property
    def width(self) -> int:
        """The width in columns: COLUMNS, else the terminal's, else 80; at least 40."""
        columns = shutil.get_terminal_size((_USUAL_WIDTH, 24)).columns
        return max(_NARROWEST, columns)

    def show(self, text: str) -> None:
        """Write text for people, limited to the characters of the terminal's encoding."""
        if self._is_stdout:
            self._write([_encoded(text, sys.stdout.encoding)])
        else:
            self.write(text)

    def write(self, text: str) -> None:
        """Write text for programs, in UTF-8 whatever the locale."""
        self._write([utf8(text)])

    def write_pieces(self, pieces: Iterable[str]) -> None:
        """Write text for programs piece by piece, so that memory never holds all of it."""
        self._write(map(utf8, pieces))

    def _write(self, pieces: Iterable[bytes]) -> None:
        for data in pieces:
            self._try(self._write_all, data)
        self._try(self._stream.flush)

    def _write_all(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:  # an unbuffered stream may write only a part if a signal arrives
            rest = rest[self._stream.write(rest) or 0 :]

    def _try(self, write: Callable[..., None], *data: bytes) -> None:
        try:
            write(*data)
        except OSError as error:
            problem = _problem(self._name, error)
        except ValueError:
            problem = CommandError(f"{self._name} is closed", Exit.FAILED)
        else:
            return
        if self._is_stdout:
            mute(sys.stdout)
        raise problem


def _problem(name: str, error: OSError) -> Exception:
    if error.errno == errno.EPIPE:
        return OutputGoneError()
    return CommandError(f"{name}: {error.strerror or type(error).__name__}", Exit.FAILED)


_ASCII: Final = str.maketrans({"─": "-", "…": "~", "·": "-"})


def _encoded(text: str, encoding: str) -> bytes:
    if not encoding.lower().replace("-", "").startswith("utf"):
        text = text.translate(_ASCII)
    return text.encode(encoding, "backslashreplace")


@contextmanager
def standard_output() -> Generator[Destination]:
    """Open standard output.

    Raises `CommandError` at once if it is closed, `OutputGoneError` if its reader has gone.
    """
    if _closed:
        raise CommandError("standard output is closed", Exit.FAILED)
    # Check before any request, so that no key is created for a reader that has gone.
    if _reader_has_gone(sys.stdout.fileno()):
        mute(sys.stdout)
        raise OutputGoneError
    yield Destination(sys.stdout.buffer, "standard output", is_stdout=True)


_closed = False


def guard_descriptors() -> None:
    """Open closed standard descriptors on devnull, so that no socket of ours gets their numbers."""
    global _closed  # noqa: PLW0603  # the state belongs to the process
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
            _closed = _closed or number == 1
    if sys.stdout is None:  # closed by `>&-`
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123  # never closed


def _reader_has_gone(descriptor: int) -> bool:
    """Return whether a pipe has lost its reader; False where poll is not available."""
    try:
        import select

        poll = select.poll()
    except (ImportError, AttributeError):
        return False
    poll.register(descriptor, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


@contextmanager
def file_output(path: Path) -> Generator[Destination]:
    """Open a destination that replaces the file if the block ends without an error.

    It is opened at once, so that an unwritable path fails before any request. A device or a pipe
    is written directly.
    """
    name = f"--output {path}"
    target, temporary, stream = _opened(path, name)
    destination = Destination(stream, name, is_stdout=False)
    try:
        yield destination
        if temporary is not None:
            place = target.with_name(f"{target.name}.partial") if destination.partial else target
            _put_in_place(stream, temporary, place, name)
    except BaseException:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise
    finally:
        with suppress(OSError):
            stream.close()


def _opened(path: Path, name: str) -> tuple[Path, Path | None, BinaryIO]:
    """Return the target, a temporary file beside it and its stream; None for a device or a pipe."""
    try:
        target = path.resolve()
        # Renaming over a device or a pipe would replace it.
        if target.exists() and not target.is_file():
            return target, None, target.open("wb")
        descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        return target, Path(temporary), open(descriptor, "wb")  # noqa: PTH123  # a descriptor
    except OSError as error:
        reason = error.strerror
    except (ValueError, RuntimeError):
        reason = "not a path"
    raise CommandError(f"{name}: {reason}")


def _put_in_place(stream: BinaryIO, temporary: Path, place: Path, name: str) -> None:
    try:
        # mkstemp creates files with mode 0600, whatever the umask.
        temporary.chmod(_mode_for(place))
        # Without fsync, a crash after the rename could leave an empty file in place of the old one.
        os.fsync(stream.fileno())
        stream.close()
        temporary.replace(place)
    except OSError as error:
        problem = _problem(name, error)
    else:
        return
    raise problem


def _mode_for(path: Path) -> int:
    """Return the permissions of the old file, or those that a new file would get."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        # The umask can only be read by setting it.
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask
