"""Output to standard error: messages, warnings, logs and progress."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TextIO

from openrouter_async.cli._exits import CommandError
from openrouter_async.errors import OpenRouterError
from openrouter_async.report import count, plain
from openrouter_async.secret import scrub

if TYPE_CHECKING:
    from openrouter_async.audit import AuditProgress

_SHOWN_AS: Final = {"error": "\x1b[1;31merror\x1b[0m", "warning": "\x1b[33mwarning\x1b[0m"}


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether the stream is an open terminal."""
    return stream is not None and not stream.closed and stream.isatty()


def wants_colour(stream: TextIO | None) -> bool:
    """Return whether to use colours: only on a terminal that has them, never with NO_COLOR."""
    plain_terminal = os.environ.get("TERM", "") in ("dumb", "unknown")
    return is_terminal(stream) and not plain_terminal and not os.environ.get("NO_COLOR")


def tell(text: str, kind: str | None = None) -> None:
    """Write a line to standard error; a failure to write is ignored."""
    line = scrub(text)
    if kind is not None:
        line = f"{_SHOWN_AS[kind] if wants_colour(sys.stderr) else kind}: {line}"
    try:
        if sys.stderr is not None:  # None if closed by `2>&-`
            sys.stderr.write(line + "\n")
            sys.stderr.flush()
    except (OSError, ValueError):
        if sys.stderr is not None:
            mute(sys.stderr)


def mute(stream: TextIO) -> None:
    """Redirect a broken stream to devnull so that the flush at exit does not fail."""
    try:
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, stream.fileno())
        os.close(devnull)
    except (OSError, ValueError):
        pass


def complain(error: CommandError) -> None:
    """Write the error that ends the command, and its advice."""
    tell(error.message, "error")
    for line in error.advice:
        tell(line)


def warn(text: str) -> None:
    """Write a warning; the command continues."""
    tell(text, "warning")


class _ToStderr(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if record.levelno >= logging.WARNING:
            warn(plain(record.getMessage()))
        else:
            tell(text)


def set_up_logging(verbosity: int) -> None:
    """Log to standard error: 0 warnings, 1 every attempt, 2 error details too, 3 everything."""
    handler = _ToStderr()
    handler.setFormatter(
        logging.Formatter("%(asctime)s.%(msecs)03d %(name)s: %(message)s", "%H:%M:%S")
    )
    level = logging.DEBUG if verbosity > 2 else logging.WARNING
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("openrouter_async").setLevel(logging.DEBUG if verbosity else logging.WARNING)


def tell_details(error: BaseException, verbosity: int) -> None:
    """Write details of an error from -vv on, a traceback from -vvv on; never a header or a key."""
    if verbosity < 2:
        return
    tell(f"  class       {type(error).__name__}")
    if isinstance(error, OpenRouterError):
        for name in ("operation", "attempts", "status_code", "error_type", "request_id", "body"):
            value = getattr(error, name)
            if value is not None:
                tell(f"  {name:<11} {plain(str(value))}")
    if verbosity > 2:
        for line in "".join(traceback.format_exception(error)).splitlines():
            tell(f"  | {plain(line)}")


@contextmanager
def audit_progress(*, quiet: bool) -> Generator[Callable[[AuditProgress], None] | None]:
    """Yield a callback that shows the progress of an audit; None if it would not be visible."""
    if quiet or not wants_motion():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True, no_color=not wants_colour(sys.stderr))
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=16),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("left", style="dim"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("reading the workspaces", total=None)

        def show(now: AuditProgress) -> None:
            workspaces = f"{now.workspaces_done}/{now.workspaces or '?'} workspaces"
            text = f"{count(now.keys, 'key')}, {count(now.pages, 'page')}, {workspaces}"
            if now.waiting is not None:
                text = f"{text}; {now.waiting.reason}"
            progress.update(
                task, description=text, total=now.workspaces, completed=now.workspaces_done
            )

        yield show


def wants_motion() -> bool:
    """Return whether standard error is a terminal that can overwrite its lines."""
    import os

    return is_terminal(sys.stderr) and os.environ.get("TERM", "") not in ("dumb", "unknown", "")
