"""A line of the table: a figure computed round by round, and the goal for its median."""

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from attrs import frozen

from benchmarks.cases import Case
from benchmarks.measure import Sample

Metric = Literal["cpu", "wall", "memory"]
Costs = Mapping[Case, float]
"""What each case cost in one round, in one metric."""


@frozen
class Figure:
    """A number computed from the costs of one round."""

    compute: Callable[[Costs], float]
    cases: tuple[Case, ...]
    """Ours first, what it is compared with second."""

    def of(self, samples: Mapping[Case, Sample], metric: Metric) -> float | None:
        """Compute it for a round; None when that metric was not taken."""
        if not all(metric in samples[case] for case in self.cases):
            return None
        return self.compute({case: samples[case][metric] for case in self.cases})


def share(ours: Case, other: Case) -> Figure:
    """Our cost as a share of the other's: less is better."""
    return Figure(lambda of: of[ours] / of[other], (ours, other))


def times(ours: Case, other: Case) -> Figure:
    """How many times cheaper ours is: more is better."""
    return Figure(lambda of: of[other] / of[ours], (ours, other))


def growth(first: Figure, second: Figure) -> Figure:
    """How far the second share is above the first."""
    return Figure(lambda of: second.compute(of) - first.compute(of), (*second.cases, *first.cases))


def net_share(ours: Case, other: Case, base: Case) -> Figure:
    """Our share after the cost that both have in common was taken off."""
    return Figure(lambda of: (of[ours] - of[base]) / (of[other] - of[base]), (ours, other, base))


@frozen
class Goal:
    """A bound for the median."""

    sign: Literal["≤", "≥"]
    bound: float

    def met_by(self, value: float) -> bool:
        """Tell whether a median reaches it."""
        return value <= self.bound if self.sign == "≤" else value >= self.bound


@frozen
class Row:
    """One line of the table."""

    slug: str
    """`group:row`, for `--only` and for comparing runs."""
    what: str
    against: str
    figure: Figure
    goal: Goal | None = None
    metric: Metric = "cpu"

    @property
    def group(self) -> str:
        """Rows of a group are measured in the same rounds."""
        return self.slug.partition(":")[0]


def groups(rows: Iterable[Row]) -> dict[str, list[Case]]:
    """Collect the cases that are measured in the same rounds, each once."""
    found: dict[str, dict[Case, None]] = {}
    for row in rows:
        found.setdefault(row.group, {}).update(dict.fromkeys(row.figure.cases))
    return {name: list(cases) for name, cases in found.items()}
