"""`python -m benchmarks.instructions`: the cost of calls and imports in instructions.

Valgrind counts the client process's instructions, without the kernel's. That shows a change of one
in a hundred or less, which no clock can; it misses caches, page faults and system calls. The table
shows the difference to the figures in `figures.json`, which `--save` replaces.
"""

import argparse
import asyncio
import gc
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Final

import msgspec
from attrs import frozen
from rich.console import Console
from rich.table import Column, Table

from benchmarks import report
from benchmarks.server import Kind, Servers

COMMITTED: Final = Path(__file__).with_name("figures.json")
WORKERS: Final = 8
FEW: Final = 80
MANY: Final = 480


@frozen
class Operation:
    """A call to count, for each of several sides; the first is what others are compared with."""

    name: str
    what: str
    server: Kind
    sides: tuple[str, ...]


OPERATIONS: Final = (
    Operation("get", "async_get", "plain", ("floor", "tuned", "wire", "ours")),
    Operation("page", "async_list", "plain", ("floor", "tuned", "structs", "wire", "ours")),
    Operation("get over TLS", "async_get", "tls", ("floor", "tuned", "ours")),
    Operation("page over TLS", "async_list", "tls", ("floor", "tuned", "ours")),
    Operation("get over gzip", "async_get", "gzip", ("floor", "tuned", "ours")),
    Operation("page over gzip", "async_list", "gzip", ("floor", "tuned", "ours")),
)
IMPORTS: Final = (
    ("official", "IMPORT", "official SDK"),
    ("floor", "IMPORT", "aiohttp, attrs, msgspec"),
    ("ours", "IMPORT", "AsyncOpenRouter"),
    ("ours", "IMPORT_BLOCKING", "OpenRouter"),
    ("ours", "IMPORT_COMMAND", "the command"),
)
"""Sides, their scripts, and what those import; the others are compared with the first."""

Counts = dict[str, dict[str, int]]
"""Instructions by the name of an operation, and then by side."""


@frozen
class Figures:
    """What `figures.json` holds."""

    when: str
    versions: dict[str, str]
    instructions: Counts


def count_call(side: str, what: str, url: str) -> int:
    """Return the instructions of one call: the difference between many calls and few, per call."""
    few, many = (
        _counted("-m", "benchmarks.instructions", "--calls", side, what, str(calls), url)
        for calls in (FEW, MANY)
    )
    return round((many - few) / (MANY - FEW))


def count_import(side: str, script: str) -> int:
    """Return the instructions of an import, without those of an interpreter that does nothing."""
    code = getattr(import_module(f"benchmarks.{side}"), script)
    # The first import after a change compiles the modules.
    subprocess.run((sys.executable, "-c", code), check=True)
    return _counted("-c", code) - _counted("-c", "pass")


def _counted(*arguments: str) -> int:
    """Run Python with these arguments under Valgrind and return its count."""
    with tempfile.NamedTemporaryFile() as file:
        done = subprocess.run(
            [
                "valgrind", "--tool=cachegrind", "--cache-sim=no", "--quiet",
                f"--cachegrind-out-file={file.name}", sys.executable, *arguments,
            ],
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(done.stderr)
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


def count_all(only: list[str]) -> Counts:
    """Count everything whose name contains one of the words, on all cores."""

    def wanted(name: str) -> bool:
        return not only or any(word in name for word in only)

    counts: dict[str, dict[str, Future[int]]] = {}
    with Servers() as servers, ThreadPoolExecutor(os.cpu_count()) as pool:
        for operation in OPERATIONS:
            if wanted(operation.name):
                url = servers.url(operation.server)
                counts[operation.name] = {
                    side: pool.submit(count_call, side, operation.what, url)
                    for side in operation.sides
                }
        if wanted("import"):
            counts["import"] = {
                title: pool.submit(count_import, side, script) for side, script, title in IMPORTS
            }
        return {
            name: {side: future.result() for side, future in sides.items()}
            for name, sides in counts.items()
        }


def rows(counts: Counts, before: Counts) -> Iterable[tuple[str, ...]]:
    """Return the cells of the table: each count, its ratio to the first side, and its change."""
    for name, sides in counts.items():
        first = next(iter(sides.values()))
        for side, cost in sides.items():
            earlier = before.get(name, {}).get(side)
            change = f"{cost / earlier - 1:+.1%}" if earlier else "new"
            yield name, side, f"{cost:,}", f"{cost / first:.3f}", change


def main() -> int:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    parser.add_argument("--calls", nargs=4, help=argparse.SUPPRESS)  # run under valgrind
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="names that contain this"
    )
    parser.add_argument("--save", action="store_true", help=f"replace {COMMITTED.name}")
    params = parser.parse_args()
    if params.calls:
        side, what, calls, url = params.calls
        asyncio.run(make_calls(side, what, int(calls), url))
        return 0
    if params.save and params.only:
        parser.error("--save replaces all figures, so all must be counted")
    return show(params.only, save=params.save)


def show(only: list[str], *, save: bool) -> int:
    """Count, and print a table with the difference to the committed figures."""
    console = Console(soft_wrap=True)
    if shutil.which("valgrind") is None:
        console.print("valgrind is not installed; on Debian, install the package valgrind")
        return 2
    committed = msgspec.json.decode(COMMITTED.read_bytes(), type=Figures)
    with console.status("counting, which takes minutes"):
        counts = count_all(only)
    table = Table(
        "what",
        "by",
        *(Column(heading, justify="right") for heading in ("instructions", "of the first")),
        Column("change", justify="right"),
    )
    for cells in rows(counts, committed.instructions):
        table.add_row(*cells)
    console.print(table)
    versions = report.versions()
    console.print(f"Changes are since {committed.when}.")
    report.show_new_versions(console, committed.versions, versions)
    if save:
        figures = Figures(report.now(), versions, counts)
        COMMITTED.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=1) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
