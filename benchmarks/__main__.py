"""`python -m benchmarks`: measure everything in one run; a missed goal is shown, not an error."""

import argparse
import os
import resource
import sys
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.status import Status

from benchmarks import report
from benchmarks.figures import Row, groups
from benchmarks.measure import interleave
from benchmarks.rows import FOR_REFERENCE, UVLOOP, WITH_GOAL
from benchmarks.server import Servers

ROUNDS: Final = 15
SECONDS: Final = 0.25
QUICK_ROUNDS: Final = 2
QUICK_SECONDS: Final = 0.02
LATEST: Final = Path(__file__).with_name("latest.json")
CAPTION: Final = """\
Medians and quartiles of the ratio within a round. "ours" and "other" are medians of one call.
The goal is about CPU time of the client process unless the row says throughput or memory;
"wall" is the same ratio in elapsed time, with the server in a separate process."""


def options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke run of under a minute")
    parser.add_argument("--rounds", type=int, help=f"rounds of interleaved batches ({ROUNDS})")
    parser.add_argument("--seconds", type=float, help=f"length of a batch ({SECONDS})")
    parser.add_argument(
        "--only", action="append", default=[], metavar="ROW", help="rows whose name contains this"
    )
    parser.add_argument("--list", action="store_true", help="list the rows and exit")
    parser.add_argument("--uvloop", action="store_true", help="add a table for uvloop")
    parser.add_argument("--json", type=Path, metavar="FILE", default=LATEST, help="where to write")
    parser.add_argument("--compare", type=Path, metavar="OLD.json", help="an earlier result")
    return parser.parse_args()


def chosen(only: list[str], *, uvloop: bool) -> list[Row]:
    """Return the rows to measure."""
    rows = [*WITH_GOAL, *FOR_REFERENCE, *(UVLOOP if uvloop else ())]
    return [row for row in rows if not only or any(part in row.slug for part in only)]


def measure(rows: list[Row], rounds: int, seconds: float, console: Console) -> list[report.Result]:
    """Measure the groups one by one; every group is one set of interleaved rounds."""
    results: dict[str, report.Result] = {}
    with Servers() as servers, console.status("") as status:
        for group, cases in groups(rows).items():
            measured = interleave(
                {case: partial(case.open, servers) for case in cases},
                rounds=rounds,
                seconds=seconds,
                tell=partial(_tell, status, group),
            )
            for row in rows:
                if row.group == group:
                    results[row.slug] = report.summarise(row, measured)
    return [results[row.slug] for row in rows]


def _tell(status: Status, group: str, text: str) -> None:
    status.update(f"{group}: {text}")


def main() -> int:
    """Run the benchmarks."""
    params = options()
    rows = chosen(params.only, uvloop=params.uvloop)
    console = Console() if sys.stdout.isatty() else Console(width=160)
    if params.list or not rows:
        console.print("\n".join(row.slug for row in rows) or "no row matches that name")
        return 0 if rows else 2
    earlier = report.read(params.compare) if params.compare else None
    rounds = params.rounds or (QUICK_ROUNDS if params.quick else ROUNDS)
    seconds = params.seconds or (QUICK_SECONDS if params.quick else SECONDS)
    _allow_many_sockets()
    load = os.getloadavg()[0]
    results = measure(rows, rounds, seconds, console)
    run = report.Report(
        when=report.now(),
        settings={"rounds": rounds, "seconds": seconds},
        versions=report.versions(),
        load=[load, os.getloadavg()[0]],
        rows=results,
    )
    for title, part in (("Goals", WITH_GOAL), ("For reference", FOR_REFERENCE), ("uvloop", UVLOOP)):
        slugs = {row.slug for row in part}
        if shown := [result for result in results if result.slug in slugs]:
            report.show(console, title, shown)
    console.print(CAPTION)
    console.print(report.footer(run))
    if params.quick:
        console.print(
            "--quick only checks that everything runs; its batches are too short to judge."
        )
    if earlier:
        report.compare(earlier, run, console)
    report.write(run, params.json)
    console.print(f"written to {params.json}")
    return 0


def _allow_many_sockets() -> None:
    """Raise the soft limit on descriptors: several clients hold up to 256 connections each."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8192 if hard == resource.RLIM_INFINITY else min(hard, 8192)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    sys.exit(main())
