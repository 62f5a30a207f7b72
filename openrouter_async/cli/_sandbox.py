"""The command sandbox."""

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
    port: Annotated[int, typer.Option(help="0 picks a free port.", min=0, max=65_535)] = 8080,
    keys: Annotated[int, typer.Option(help="Number of keys.", min=0)] = 250,
    seed: Annotated[int, typer.Option(help="The same seed gives the same keys.")] = 0,
    rate: Annotated[
        float | None,
        typer.Option(help="Respond with 429 above this many requests a second.", metavar="N"),
    ] = None,
) -> None:
    """Serve the API on this machine with made-up keys, until Ctrl-C.

    Prints lines to paste into another terminal, so that every client there uses
    the sandbox. Its account is discarded when it ends.

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
            f"{count(len(box.workspaces), 'workspace')}; press Ctrl-C to stop\n"
            f"export OPENROUTER_BASE_URL={box.url}\n"
            f"export OPENROUTER_API_KEY={box.management_key}\n"
        )
        with suppress(KeyboardInterrupt):
            stopped.wait()
