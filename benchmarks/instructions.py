"""`python -m benchmarks.instructions`: the cost of calls, imports and first calls in instructions.

Valgrind counts the client process's instructions, without the kernel's. That shows a change of one
in a hundred, however busy the machine is; it misses caches, page faults and system calls. The table
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
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Final

import msgspec
from attrs import frozen
from rich.console import Console
from rich.table import Column, Table

from benchmarks import report, samples
from benchmarks.measure import AsyncCall
from benchmarks.server import Kind, Servers

COMMITTED: Final = Path(__file__).with_name("figures.json")
WORKERS: Final = 8
WARM_UP: Final = 80
CALLS: Final = 400


@frozen
class Operation:
    """A call to count, for each of several sides; the others are compared with the first."""

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
SCRIPTS: Final = {
    "import": (
        ("official SDK", "official", "IMPORT"),
        ("aiohttp, attrs, msgspec", "floor", "IMPORT"),
        ("AsyncOpenRouter", "ours", "IMPORT"),
        ("OpenRouter", "ours", "IMPORT_BLOCKING"),
        ("the command", "ours", "IMPORT_COMMAND"),
    ),
    "import and first call": (
        ("official SDK, blocking", "official", "FIRST_CALL"),
        ("aiohttp, msgspec", "floor", "FIRST_CALL"),
        ("AsyncOpenRouter", "ours", "FIRST_CALL_ASYNC"),
        ("OpenRouter", "ours", "FIRST_CALL"),
        ("openrouter-keys get", "ours", "FIRST_COMMAND"),
    ),
}
"""What fresh interpreters run: a title, the side and the name of its script."""

Counts = dict[str, dict[str, int]]
"""Instructions by the name of an operation, and then by side."""


@frozen
class Figures:
    """What `figures.json` holds."""

    when: str
    versions: dict[str, str]
    instructions: Counts


def count_calls(side: str, operations: Sequence[Operation], servers: Servers) -> list[int]:
    """Return the instructions of one call of each operation."""
    pairs = [text for each in operations for text in (each.what, servers.url(each.server))]
    dumps = _counted("-m", "benchmarks.instructions", "--calls", side, *pairs)
    # Before each operation is its warm-up; the last dump is the interpreter's end.
    return [round(total / CALLS) for total in dumps[1::2]]


def count_script(code: str, url: str) -> int:
    """Return the instructions of a script, without those of an interpreter that does nothing."""
    arguments = (code, samples.API_KEY, url, samples.HASHES[0])
    # The first run after a change of the modules compiles them.
    subprocess.run((sys.executable, "-c", *arguments), check=True, stdout=subprocess.DEVNULL)
    return sum(_counted("-c", *arguments)) - _bare_interpreter()


@cache
def _bare_interpreter() -> int:
    return sum(_counted("-c", "pass"))


def _counted(*arguments: str) -> list[int]:
    """Run Python with these arguments under Valgrind; return the counts between its marks."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [
                "valgrind", "--tool=callgrind", "--quiet", f"--dump-before={mark.__name__}",
                f"--callgrind-out-file={folder}/out", sys.executable, *arguments,
            ],
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(done.stderr)
        last = Path(folder, "out")
        numbered = sorted(last.parent.glob("out.*"), key=lambda file: int(file.suffix[1:]))
        return [
            int(line.removeprefix("totals:"))
            for file in (*numbered, last)
            for line in file.read_text("utf-8").splitlines()
            if line.startswith("totals:")
        ]


mark: Final = os.sched_get_priority_max
"""A C function that nothing else calls: Valgrind writes the count so far, and starts afresh."""


async def make_calls(side: str, pairs: Sequence[str]) -> None:
    """Make calls of each operation and URL from a few tasks, with marks around them."""
    module = import_module(f"benchmarks.{side}")
    for what, url in zip(pairs[::2], pairs[1::2], strict=True):
        async with getattr(module, what)(url) as call:
            await _call(call, WARM_UP)
            gc.collect()
            gc.freeze()
            mark(os.SCHED_OTHER)
            await _call(call, CALLS)
            mark(os.SCHED_OTHER)


async def _call(call: AsyncCall, times: int) -> None:
    async def work() -> None:
        for _ in range(times // WORKERS):
            await call()

    await asyncio.gather(*(work() for _ in range(WORKERS)))


def count_all(only: list[str]) -> Counts:
    """Count everything whose name contains one of the words, on all cores."""

    def wanted(name: str) -> bool:
        return not only or any(word in name for word in only)

    operations = [each for each in OPERATIONS if wanted(each.name)]
    sides = dict.fromkeys(side for each in operations for side in each.sides)
    with Servers() as servers, ThreadPoolExecutor(os.cpu_count()) as pool:
        for kind in ("plain", "tls", "gzip"):  # before there are threads
            servers.url(kind)
        calls = {
            side: pool.submit(
                count_calls, side, [each for each in operations if side in each.sides], servers
            )
            for side in sides
        }
        scripts = {
            name: {
                title: pool.submit(
                    count_script,
                    getattr(import_module(f"benchmarks.{side}"), script),
                    servers.url("plain"),
                )
                for title, side, script in group
            }
            for name, group in SCRIPTS.items()
            if wanted(name)
        }
        counts: Counts = {each.name: dict.fromkeys(each.sides, 0) for each in operations}
        for side, future in calls.items():
            mine = [each for each in operations if side in each.sides]
            for each, cost in zip(mine, future.result(), strict=True):
                counts[each.name][side] = cost
        for name, group in scripts.items():
            counts[name] = {title: future.result() for title, future in group.items()}
        return counts


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
    parser.add_argument("--calls", nargs="+", help=argparse.SUPPRESS)  # run under valgrind
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="names that contain this"
    )
    parser.add_argument("--save", action="store_true", help=f"replace {COMMITTED.name}")
    params = parser.parse_args()
    if params.calls:
        side, *pairs = params.calls
        asyncio.run(make_calls(side, pairs))
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
        *(Column(heading, no_wrap=True) for heading in ("what", "by")),
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
