"""`python -m benchmarks.instructions`: the cost of a call in instructions, free of noise.

Valgrind counts the client process's instructions, without the kernel's. That shows a change of one
in a thousand, which no clock can; it misses caches, page faults and system calls.
"""

import argparse
import asyncio
import gc
import os
import shutil
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Column, Table

from benchmarks.server import running

SIDES: Final = {"floor": "the floor", "wire": "ours, the wire alone", "ours": "ours"}
WHAT: Final = {"async_get": "get", "async_list": "list of 100 records"}
WORKERS: Final = 8
FEW: Final = 80
MANY: Final = 480


def count(side: str, what: str, url: str) -> float:
    """Return the instructions of one call: the difference between many calls and few, per call."""
    few, many = (_run_counted(side, what, str(calls), url) for calls in (FEW, MANY))
    return (many - few) / (MANY - FEW)


def _run_counted(side: str, what: str, calls: str, url: str) -> int:
    with tempfile.NamedTemporaryFile() as file:
        done = subprocess.run(
            [
                "valgrind", "--tool=cachegrind", "--cache-sim=no", "--quiet",
                f"--cachegrind-out-file={file.name}",
                sys.executable, "-m", "benchmarks.instructions", "--calls", side, what, calls, url,
            ],
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(done.stderr)
        summary = Path(file.name).read_text("utf-8").splitlines()[-1]
    return int(summary.removeprefix("summary:"))


async def make_calls(side: str, what: str, calls: int, url: str) -> None:
    """Make a number of calls from a few tasks."""
    connect = getattr(import_module(f"benchmarks.{side}"), what)
    async with connect(url) as call:

        async def work() -> None:
            for _ in range(calls // WORKERS):
                await call()

        gc.collect()
        gc.freeze()
        await asyncio.gather(*(work() for _ in range(WORKERS)))


def show() -> int:
    """Count everything and print a table."""
    console = Console()
    if shutil.which("valgrind") is None:
        console.print("valgrind is not installed; on Debian, install the package valgrind")
        return 2
    table = Table("what", "by", Column("instructions", justify="right"), "of the floor")
    with running() as url, console.status("") as status:
        for what, title in WHAT.items():
            status.update(title)
            counts = {side: count(side, what, url) for side in SIDES}
            for side, cost in counts.items():
                table.add_row(title, SIDES[side], f"{cost:,.0f}", f"{cost / counts['floor']:.3f}")
    console.print(table)
    return 0


def main() -> int:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    parser.add_argument("--calls", nargs=4, help=argparse.SUPPRESS)  # run under valgrind
    params = parser.parse_args()
    if params.calls:
        side, what, calls, url = params.calls
        asyncio.run(make_calls(side, what, int(calls), url))
        return 0
    return show()


if __name__ == "__main__":
    sys.exit(main())
