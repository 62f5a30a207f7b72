"""Facets: what the page filters keys by and its charts count, one small number per key. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Final

import attrs

from openrouter_async import _money
from openrouter_async.audit import AuditReport
from openrouter_async.models import APIKey
from openrouter_async.report._columns import KeyRow
from openrouter_async.report._format import plain
from openrouter_async.secret import scrub

_MAX_TEXT: Final = 300
"""Characters of a name or a sentence on the page; the service's own are shorter."""
_MAX_LABEL: Final = 24
"""Characters of a masked key; a longer label may be a whole key."""


def shown(text: str) -> str:
    """Return text fit for the page: no keys, no direction marks or controls, of bounded length."""
    text = plain(scrub(text))
    return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 1]}…"


def label_of(label: str) -> str:
    """Return a masked key as it is, and anything longer scrubbed like any text."""
    return plain(label) if len(label) <= _MAX_LABEL else shown(label)


@attrs.frozen(kw_only=True)
class Facet:
    """A property with a few choices, of which each key has one."""

    name: str
    """The name in the page's elements and data."""
    title: str
    choices: Sequence[str]
    of: Callable[[KeyRow], int]
    """Returns the index in `choices` of a key's choice."""

    def counts(self, rows: Iterable[KeyRow]) -> list[int]:
        """Return the number of keys per choice."""
        counted = Counter(map(self.of, rows))
        return [counted[place] for place in range(len(self.choices))]


@attrs.frozen(kw_only=True)
class Facets:
    """All facets of one report."""

    workspace: Facet
    creator: Facet
    fullness: Facet
    age: Facet
    use: Facet

    def __iter__(self) -> Iterator[Facet]:
        return iter((self.workspace, self.creator, self.fullness, self.age, self.use))


def facets_of(report: AuditReport) -> Facets:
    """Build the facets of a report's keys."""
    return Facets(
        workspace=_listed("workspace", "Workspace", _workspaces(report), _workspace_id),
        creator=_listed("creator", "Creator", _creators(report), _creator_id),
        fullness=Facet(name="fullness", title="Limit", choices=FULLNESS, of=_fullness),
        age=Facet(name="age", title="Age", choices=AGES, of=_age),
        use=Facet(name="use", title="Last use", choices=USES, of=_use),
    )


def _workspace_id(key: APIKey) -> str | None:
    return key.workspace_id


def _creator_id(key: APIKey) -> str | None:
    return key.creator_user_id


def _listed(
    name: str, title: str, names: Mapping[str | None, str], of: Callable[[APIKey], str | None]
) -> Facet:
    places = {each: place for place, each in enumerate(names)}
    return Facet(
        name=name, title=title, choices=list(names.values()), of=lambda row: places[of(row.key)]
    )


def _workspaces(report: AuditReport) -> dict[str | None, str]:
    """Return workspace names by id; names that are not unique get the start of the id."""
    # Groups first and in the report's order, because charts refer to them by index.
    ids = dict.fromkeys([*report.by_workspace, *(key.workspace_id for key in report.keys)])
    names = {each: report.workspaces.get(each or "") or each or "default workspace" for each in ids}
    used = Counter(names.values())
    return {
        each: shown(f"{name} ({each[:8]})" if each and used[name] > 1 else name)
        for each, name in names.items()
    }


def _creators(report: AuditReport) -> dict[str | None, str]:
    ids = dict.fromkeys([*report.by_creator, *(key.creator_user_id for key in report.keys)])
    return {each: shown(each or "unknown") for each in ids}


FULLNESS: Final = (
    "under 25 %", "25 to 50 %", "50 to 75 %", "75 to 90 %", "90 to 100 %",
    "exhausted", "overspent", "no limit",
)  # fmt: skip
_QUARTERS: Final = (25, 50, 75, 90)
_EXHAUSTED, _OVERSPENT, _NO_LIMIT = 5, 6, 7


def _fullness(row: KeyRow) -> int:
    """Return the choice for how much of the limit is spent in the current window."""
    key, spent = row.key, row.key.spent_in_window
    if key.limit is None or spent is None:
        return _NO_LIMIT
    if key.is_exhausted:
        return _OVERSPENT if _money.is_more(spent, key.limit) else _EXHAUSTED
    return sum(_money.reaches(spent, quarter, key.limit) for quarter in _QUARTERS)


_DAY: Final = timedelta(days=1)
AGES: Final = (
    "under 7 days", "7 to 30 days", "30 to 90 days", "90 to 180 days", "180 to 365 days",
    "1 to 2 years", "2 years or more",
)  # fmt: skip
_AGED: Final = (7, 30, 90, 180, 365, 730)
USES: Final = (
    "under a day ago", "1 to 7 days ago", "7 to 30 days ago", "30 to 90 days ago",
    "90 to 365 days ago", "a year ago or more", "not recorded", "never",
)  # fmt: skip
_IDLE: Final = (1, 7, 30, 90, 365)
_NOT_RECORDED, _NEVER = 6, 7


def _age(row: KeyRow) -> int:
    return sum((row.now - row.key.created_at) / _DAY >= days for days in _AGED)


def _use(row: KeyRow) -> int:
    """Return the choice for when a key was last used."""
    # The service has no day for uses before 2026: usage without a day means such a use.
    key = row.key
    if key.last_used_at is None:
        return _NOT_RECORDED if key.usage > 0 or key.byok_usage > 0 else _NEVER
    return sum((row.now - key.last_used_at) / _DAY >= days for days in _IDLE)
