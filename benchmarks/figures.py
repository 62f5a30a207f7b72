"""A row of the table: a figure computed for each round, and the goal for its median."""

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
    """Ours first, then the one it is compared with."""

    def of(self, samples: Mapping[Case, Sample], metric: Metric) -> float | None:
        """Compute the figure for a round; None if the metric was not measured."""
        if not all(metric in samples[case] for case in self.cases):
            return None
        return self.compute({case: samples[case][metric] for case in self.cases})


def share(ours: Case, other: Case) -> Figure:
    """Return our cost divided by the other's: less is better."""
    return Figure(lambda of: of[ours] / of[other], (ours, other))


def times(ours: Case, other: Case) -> Figure:
    """Return how many times cheaper ours is: more is better."""
    return Figure(lambda of: of[other] / of[ours], (ours, other))


def growth(first: Figure, second: Figure) -> Figure:
    """Return the difference of the second share and the first."""
    return Figure(lambda of: second.compute(of) - first.compute(of), (*second.cases, *first.cases))


def net_share(ours: Case, other: Case, base: Case) -> Figure:
    """Return our share after subtracting a cost common to both."""
    return Figure(lambda of: (of[ours] - of[base]) / (of[other] - of[base]), (ours, other, base))


@frozen
class Goal:
    """A bound for the median."""

    sign: Literal["≤", "≥"]
    bound: float

    def met_by(self, value: float) -> bool:
        """Return whether a median meets the goal."""
        return value <= self.bound if self.sign == "≤" else value >= self.bound


@frozen
class Row:
    """One row of the table."""

    slug: str
    """`group:row`, for `--only` and for comparing runs."""
    what: str
    against: str
    figure: Figure
    goal: Goal | None = None
    metric: Metric = "cpu"

    @property
    def group(self) -> str:
        """The group; its rows are measured in the same rounds."""
        return self.slug.partition(":")[0]


def groups(rows: Iterable[Row]) -> dict[str, list[Case]]:
    """Return the cases of each group, without duplicates."""
    found: dict[str, dict[Case, None]] = {}
    for row in rows:
        found.setdefault(row.group, {}).update(dict.fromkeys(row.figure.cases))
    return {name: list(cases) for name, cases in found.items()}
