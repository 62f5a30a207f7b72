"""A program that does work and is killed at one of its steps; it forks for each kill.

A step is one call of `os` that changes a file, half of each write, and each side of a request.

    python -m support.killed URL KEY     # then, a line each:  WORK STEP FOLDER [HASH]

For each line it prints the child's exit status: -9 if it was killed, 0 if the work has fewer steps
than that. With a step of 0 it is never killed.
"""

import asyncio
import os
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from openrouter_async import AsyncOpenRouter, _call, _shared, _transport
from openrouter_async.provisioning import DotenvSink, FileSink, Sink

IMPORTED = (_call, _shared, _transport)  # import once here instead of in each child
CHANGING = ("open", "fsync", "replace", "unlink", "ftruncate", "mkdir", "fchmod")
NAME = "killed"


class Steps:
    """Counts steps and kills this process at one of them."""

    def __init__(self, fatal: int) -> None:
        self.left = fatal

    def __call__(self) -> bool:
        """Count a step and return whether it is the fatal one."""
        self.left -= 1
        return self.left == 0

    def step(self) -> None:
        """Count a step, and kill the process at the fatal one."""
        if self():
            os.kill(os.getpid(), signal.SIGKILL)

    def install(self) -> None:
        """Count changes to files, and both sides of each request."""
        for name in CHANGING:
            setattr(os, name, self._counted(getattr(os, name)))
        write = os.write

        def half_a_write(descriptor: int, data: bytes) -> int:
            self.step()
            if self():
                write(descriptor, data[: len(data) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return write(descriptor, data)

        os.write = half_a_write  # type: ignore[assignment]
        for name in ("call",):
            setattr(AsyncOpenRouter, name, self._around(getattr(AsyncOpenRouter, name)))

    def _counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.step()
            return function(*args, **kwargs)

        return counted

    def _around(self, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def around(*args: Any, **kwargs: Any) -> Any:
            self.step()
            result = await method(*args, **kwargs)
            self.step()
            return result

        return around


def sink_in(folder: Path, work: str) -> Sink:
    """Return the sink for a kind of work."""
    if work.endswith("-dotenv"):
        return DotenvSink(folder / ".env", "KEY")
    return FileSink(folder / "sink.key")


async def do(client: AsyncOpenRouter, work: str, folder: Path, rest: list[str]) -> None:
    """Do one kind of work."""
    keys, journal = client.api_keys, folder / "journal"
    match work:
        case "provision" | "provision-dotenv":
            await keys.provision(NAME, sink=sink_in(folder, work), limit=5, journal_dir=journal)
        case "rotate":
            await keys.rotate(rest[0], sink=sink_in(folder, work), journal_dir=journal)
        case "finish":
            await keys.finish_rotations(grace=0, journal_dir=journal)
        case "roll_back":
            await keys.roll_back(rest[0], journal_dir=journal)
        case "resume":
            for item in await keys.recover(journal_dir=journal):
                await keys.resume(item)
        case _:
            raise ValueError(work)


async def run(url: str, key: str, work: str, folder: Path, rest: list[str]) -> None:
    """Do the work with a new client."""
    async with AsyncOpenRouter(key, server_url=url) as client:
        await do(client, work, folder, rest)


def main() -> None:
    """Print one line for each line of standard input."""
    url, key = sys.argv[1:]
    for line in sys.stdin:
        work, fatal, folder, *rest = line.split()
        child = os.fork()
        if not child:
            try:
                Steps(int(fatal)).install()
                asyncio.run(run(url, key, work, Path(folder), rest))
                os._exit(0)
            finally:
                traceback.print_exc()
                os._exit(1)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
