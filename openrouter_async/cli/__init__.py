"""The command `openrouter-keys`. It needs the extra `cli`, and reports if that is not installed."""

from __future__ import annotations

import sys
from contextlib import suppress

from openrouter_async.cli._about import version_line

_NEEDED = ("rich", "typer")


def main() -> int:
    """Run the command with the process's arguments and return its exit code."""
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        with suppress(OSError):  # the way below reports it
            print(version_line(), flush=True)  # noqa: T201  # typer would take six times as long
            return 0
    try:
        from openrouter_async.cli._app import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _NEEDED:
            raise
        print(  # noqa: T201  # the rest of the command could not be imported
            f"error: {error.name} is not installed; openrouter-keys needs the extra: "
            "pip install 'openrouter_async[cli]'",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        return 130
    return run(arguments)
