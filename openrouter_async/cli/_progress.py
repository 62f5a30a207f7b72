"""How far a long walk is, on standard error, if a person looks at it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

from openrouter_async.audit import AuditProgress
from openrouter_async.cli._messages import wants_colour
from openrouter_async.report import count


@contextmanager
def audit_progress(*, quiet: bool) -> Generator[Callable[[AuditProgress], None] | None]:
    """Give what an audit tells its progress to; None where nobody would see it."""
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
        task = progress.add_task("asking for the workspaces", total=None)

        def tell(now: AuditProgress) -> None:
            spaces = f"{now.workspaces_done}/{now.workspaces or '?'} workspaces"
            text = f"{count(now.keys, 'key')}, {count(now.pages, 'page')}, {spaces}"
            if now.waiting is not None:
                text = f"{text}; {now.waiting.reason}"
            progress.update(
                task, description=text, total=now.workspaces, completed=now.workspaces_done
            )

        yield tell


def wants_motion() -> bool:
    """Say whether standard error is a terminal whose lines can be written over."""
    import os

    from openrouter_async.cli._messages import is_terminal

    return is_terminal(sys.stderr) and os.environ.get("TERM", "") not in ("dumb", "unknown", "")
