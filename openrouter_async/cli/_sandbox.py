"""The command that serves the sandbox until it is stopped."""

from __future__ import annotations

import signal
import threading
from contextlib import suppress
from typing import Annotated

import typer

from openrouter_async.cli._output import standard_output
from openrouter_async.report import count


def sandbox(
    *,
    port: Annotated[int, typer.Option(help="0 takes a free one.", min=0, max=65_535)] = 8080,
    keys: Annotated[int, typer.Option(help="How many keys it has.", min=0)] = 250,
    seed: Annotated[int, typer.Option(help="Which keys it has: the same for a seed.")] = 0,
    rate: Annotated[
        float | None,
        typer.Option(help="Answer 429 beyond so many requests a second.", metavar="N"),
    ] = None,
) -> None:
    """Serve the API on this machine with made-up keys, until Ctrl-C.

    It prints lines to paste into another terminal, so that every client there
    talks to it. Its account is gone when it ends.

    [bold]Examples[/bold]

    openrouter-keys sandbox
    openrouter-keys sandbox --port 0 --keys 10000 --seed 7
    """
    from openrouter_async.sandbox import Sandbox

    box = Sandbox(keys, seed, port=port, requests_per_second=rate)
    stopped = threading.Event()

    def stop(_signal: int, _frame: object) -> None:
        stopped.set()

    with suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, stop)
    with standard_output() as destination, box:
        destination.show(
            f"# sandbox with {count(len(box.keys), 'key')} in "
            f"{count(len(box.workspaces), 'workspace')}; Ctrl-C ends it\n"
            f"export OPENROUTER_BASE_URL={box.url}\n"
            f"export OPENROUTER_API_KEY={box.management_key}\n"
        )
        with suppress(KeyboardInterrupt):
            stopped.wait()
