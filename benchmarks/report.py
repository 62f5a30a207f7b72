"""The results: a table for people, JSON for later runs, and a comparison with an earlier one."""

import datetime as dt
import os
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Final

import cattrs
import msgspec
from attrs import evolve, frozen
from rich.console import Console
from rich.table import Table

from benchmarks.cases import Case
from benchmarks.figures import Metric, Row
from benchmarks.measure import Rounds, Spread

PACKAGES: Final = (
    "aiohttp",
    "msgspec",
    "attrs",
    "cattrs",
    "tenacity",
    "openrouter",
    "httpx",
    "pydantic",
    "orjson",
    "uvloop",
)
MILLISECONDS_FROM: Final = 0.01
"""Seconds; smaller costs are shown in µs."""


@frozen
class Result:
    """The result of a row."""

    slug: str
    what: str
    against: str
    metric: Metric
    goal: str | None = None
    met: bool | None = None
    value: Spread | None = None
    """The ratio in the row's metric over all rounds."""
    other_metric: float | None = None
    """The median of the same ratio in wall time; in CPU time if the row's metric is wall."""
    ours: float | None = None
    """Median cost of one call of ours in the row's metric: seconds or bytes."""
    theirs: float | None = None
    rounds: int = 0
    missing: str | None = None
    """Why there is no value."""


@frozen
class Report:
    """A whole run."""

    when: str
    settings: dict[str, float]
    versions: dict[str, str]
    load: list[float]
    """Load averages before and after; much above 1 means that other programs add noise."""
    rows: list[Result]


def summarise(row: Row, rounds: Rounds[Case]) -> Result:
    """Compute a row from the rounds of its group."""
    goal = f"{row.goal.sign} {row.goal.bound:g}" if row.goal else None
    result = Result(row.slug, row.what, row.against, row.metric, goal)
    failed = [rounds.failed[case] for case in row.figure.cases if case in rounds.failed]
    if failed:
        return evolve(result, missing=failed[0])
    ours, theirs = row.figure.cases[:2]
    values = _values(row, rounds, row.metric)
    others = _values(row, rounds, "wall" if row.metric == "cpu" else "cpu")
    spread = Spread.of(values)
    return evolve(
        result,
        value=spread,
        met=row.goal.met_by(spread.median) if row.goal else None,
        other_metric=Spread.of(others).median if others else None,
        ours=Spread.of(sample[ours][row.metric] for sample in rounds.samples).median,
        theirs=Spread.of(sample[theirs][row.metric] for sample in rounds.samples).median,
        rounds=len(values),
    )


def _values(row: Row, rounds: Rounds[Case], metric: Metric) -> list[float]:
    values = (row.figure.of(sample, metric) for sample in rounds.samples)
    return [value for value in values if value is not None]


def versions() -> dict[str, str]:
    """Return the versions that the figures depend on."""
    found = {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.machine()}",
        "CPUs": str(os.cpu_count()),
    }
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def now() -> str:
    """Return the current time for the report."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


def show(console: Console, title: str, rows: Sequence[Result]) -> None:
    """Print one table."""
    table = Table(title=title, title_justify="left", caption_justify="left")
    table.add_column("what", min_width=30)
    table.add_column("against", min_width=14)
    for heading in ("goal", "median", "quartiles", "wall", "ours", "other"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("goal met")
    for row in rows:
        table.add_row(row.what, row.against, row.goal or "", *_cells(row))
    console.print(table)
    for reason in dict.fromkeys(row.missing for row in rows if row.missing):
        console.print(f"[yellow]not measured:[/] {reason}", highlight=False)


def footer(report: Report) -> str:
    """Return a description of the versions and settings of the run."""
    named = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    before, after = report.load
    rounds, seconds = report.settings["rounds"], report.settings["seconds"]
    return (
        f"{named}\n{rounds:g} rounds, batches of about {seconds:g} s, "
        f"load average {before:.1f} before, {after:.1f} after; {report.when}"
    )


def _cells(row: Result) -> tuple[str, ...]:
    if row.value is None:
        return ("", "", "", "", "", "[yellow]not measured[/]")
    quartiles = f"{_number(row.value.low)}..{_number(row.value.high)}"
    aside = "" if row.other_metric is None else _number(row.other_metric)
    if row.metric == "wall":
        aside = f"CPU {aside}"
    verdict = {None: "", True: "[green]met[/]", False: "[red]MISSED[/]"}[row.met]
    return (
        f"[bold]{_number(row.value.median)}[/]",
        quartiles,
        aside,
        _cost(row.ours, row.metric),
        _cost(row.theirs, row.metric),
        verdict,
    )


def _number(value: float) -> str:
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _cost(value: float | None, metric: Metric) -> str:
    if value is None:
        return ""
    if metric == "memory":
        return f"{value:,.0f} B"
    return f"{value * 1e6:,.0f} µs" if value < MILLISECONDS_FROM else f"{value * 1e3:,.0f} ms"


def write(report: Report, path: Path) -> None:
    """Write the run as JSON."""
    document = cattrs.unstructure(report)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n")


def read(path: Path) -> Report:
    """Read an earlier run."""
    return msgspec.json.decode(path.read_bytes(), type=Report)


def compare(old: Report, new: Report, console: Console) -> None:
    """Print the changes since an earlier run; changes within both spreads are marked as noise."""
    console.print(f"\nCompared with the run of {old.when}")
    show_new_versions(console, old.versions, new.versions)
    table = Table()
    table.add_column("row")
    for heading in ("then", "now", "change"):
        table.add_column(heading, justify="right")
    table.add_column("")
    before = {row.slug: row.value for row in old.rows}
    for row in new.rows:
        table.add_row(row.slug, *_change(before.get(row.slug), row.value))
    console.print(table)


def show_new_versions(console: Console, then: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Print each version that is not the same as then."""
    for name, version in now.items():
        if then.get(name) != version:
            console.print(f"  {name}: {then.get(name)} then, {version} now")


def _change(then: Spread | None, now: Spread | None) -> tuple[str, ...]:
    """Return the cells for the change of a row."""
    shown = ["" if value is None else _number(value.median) for value in (then, now)]
    if then is None or now is None:
        return (*shown, "", "nothing to compare")
    apart = now.low > then.high or then.low > now.high
    difference = f"{now.median - then.median:+.2f}"
    return (*shown, difference, "" if apart else "within the spread")
