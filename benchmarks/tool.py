"""`python -m benchmarks.tool`: what whole commands cost, in seconds, CPU and peak memory.

Each row is a process of its own, measured by the system when it has ended, and its share of the
plain audit: a program that audits the account with the blocking client and writes nothing. The
sandbox that answers has a process of its own too. Its clients wait for it most of the time, so CPU
says more about a change than seconds.
"""

import argparse
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from attrs import frozen
from rich.console import Console
from rich.table import Column, Table

PYTHON: Final = (sys.executable, "-c")
COMMAND: Final = (sys.executable, "-m", "openrouter_async.cli")
PLAIN: Final = "plain audit"
AUDIT: Final = """
from openrouter_async import OpenRouter
with OpenRouter() as client:
    report = client.audit()
"""
DISABLE_SOME: Final = """
from openrouter_async import OpenRouter
with OpenRouter() as client:
    client.api_keys.disable_many([key.hash for key in client.api_keys.list().data])
"""
"""Between the two audits that `diff` compares."""
FRAME: Final = """
import sys
from openrouter_async.audit import AuditReport
AuditReport.load(sys.argv[1]).to_pandas()
"""
# Linux counts in KiB, macOS in bytes.
MAXRSS: Final = 2**20 if sys.platform == "darwin" else 2**10


@frozen
class Cost:
    """What one process took."""

    seconds: float
    cpu: float
    """Seconds in user space and in the kernel."""
    peak: float
    """MiB of resident memory."""


def run(command: Sequence[str], environment: Mapping[str, str]) -> Cost:
    """Run a command to its end; raises `CalledProcessError` if it fails.

    This process has to stay small: Linux counts the memory of who starts a process as its own.
    """
    began = time.perf_counter()
    process = subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * MAXRSS / 2**20)


@contextmanager
def sandbox(keys: int) -> Iterator[dict[str, str]]:
    """Serve an account, and return the environment in which commands find it."""
    command = (*COMMAND, "sandbox", "--port", "0", "--keys", str(keys))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            process.stdout.readline()
            exports = [shlex.split(process.stdout.readline())[1] for _ in range(2)]
            yield dict(export.split("=", 1) for export in exports)
        finally:
            process.terminate()


def commands(folder: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield names and commands to measure, those that read a file after those that write it.

    Commands without a name only prepare the next ones.
    """
    old, new, output = (str(folder / name) for name in ("old.json", "new.json", "output"))
    yield PLAIN, (*PYTHON, AUDIT)
    for form in ("table", "json", "csv", "ndjson", "html"):
        yield f"audit --format {form}", (*COMMAND, "audit", "--format", form, "--output", output)
    yield "audit --save", (*COMMAND, "audit", "--save", old)
    yield "", (*PYTHON, DISABLE_SOME)
    yield "", (*COMMAND, "audit", "--save", new)
    yield "diff", (*COMMAND, "diff", old, new)
    yield "diff --format json", (*COMMAND, "diff", old, new, "--format", "json")
    yield "AuditReport.load().to_pandas()", (*PYTHON, FRAME, new)
    for form in ("table", "json", "csv"):
        yield f"list --all --format {form}", (*COMMAND, "list", "--all", "--format", form)


def measure(keys: int, rounds: int, only: str, console: Console) -> dict[str, list[Cost]]:
    """Run every command in turn, in each of the rounds."""
    costs: dict[str, list[Cost]] = {}
    with tempfile.TemporaryDirectory() as folder, console.status("") as status:
        for turn in range(rounds):
            status.update(f"{keys:,d} keys, round {turn + 1} of {rounds}: filling the sandbox")
            with sandbox(keys) as environment:  # a new one each time, since some keys are disabled
                for name, command in commands(Path(folder)):
                    if name and name != PLAIN and only not in name:
                        continue
                    status.update(f"{keys:,d} keys, round {turn + 1} of {rounds}: {name}")
                    cost = run(command, environment)
                    if name:
                        costs.setdefault(name, []).append(cost)
    return costs


def median(costs: Sequence[Cost], what: str) -> float:
    """Return the median of one of the costs."""
    return statistics.median(getattr(cost, what) for cost in costs)


def table(keys: int, costs: Mapping[str, Sequence[Cost]]) -> Table:
    """Lay the medians out, and their shares of the plain audit's."""
    table = Table(
        Column("what"),
        *(
            Column(title, justify="right", no_wrap=True)
            for title in ("seconds", "of plain", "CPU s", "of plain", "peak MiB", "of plain")
        ),
        title=f"{keys:,d} keys",
        title_justify="left",
    )
    for name, each in costs.items():
        cells = [name]
        for what, digits in (("seconds", 2), ("cpu", 2), ("peak", 0)):
            value = median(each, what)
            share = value / median(costs[PLAIN], what)
            cells += [f"{value:,.{digits}f}", "" if name == PLAIN else f"{share:.2f}"]
        table.add_row(*cells)
    return table


def main() -> None:
    """Measure, and print a table for each size."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tool", description=__doc__)
    parser.add_argument("--keys", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", metavar="WORD", help="rows whose name has this")
    given = parser.parse_args()
    console = Console() if sys.stdout.isatty() else Console(width=120)
    for keys in given.keys:
        console.print(table(keys, measure(keys, given.rounds, given.only, console)))


if __name__ == "__main__":
    main()
