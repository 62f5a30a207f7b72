"""The data of the page's script: every key and finding, as compact JSON safe inside HTML. Pure.

Repeated words are stored once in a list; rows hold their indices.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from openrouter_async.audit import AuditReport, Finding, Severity
from openrouter_async.report._columns import KeyRow
from openrouter_async.report._html._facets import Facets, label_of, shown

_USAGES: Final = tuple(
    f"{kind}{window}"
    for kind in ("usage", "byok_usage")
    for window in ("_daily", "_weekly", "_monthly", "")
)
STATES: Final = ("active", "disabled", "expired", "exhausted")


class _Words:
    """A list of distinct words."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}

    def place(self, word: str) -> int:
        """Return the index of a word, adding it if it is new."""
        return self._places.setdefault(word, len(self._places))

    def all(self) -> list[str]:
        return list(self._places)


def script_json(document: Any) -> str:
    """Return JSON for a script element: nothing in it can end the element or start another.

    https://html.spec.whatwg.org/multipage/scripting.html#restrictions-for-contents-of-script-elements
    """
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.translate(_ESCAPES)


_ESCAPES: Final = str.maketrans({char: f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"})


def page_data(report: AuditReport, rows: Sequence[KeyRow], facets: Facets) -> dict[str, Any]:
    """Return the script's data; keys are in the order of the rows."""
    words, rules, sentences = _Words(), _Words(), _Words()
    places = {row.key.hash: place for place, row in enumerate(rows)}
    keys = [list(_key(row, facets, words)) for row in rows]
    findings = [_finding(each, places, rules, sentences) for each in report.findings]
    return {
        "now": _seconds(report.now),
        "facets": [
            {"name": facet.name, "title": facet.title, "choices": facet.choices} for facet in facets
        ],
        "states": STATES,
        "severities": [severity.value for severity in Severity],
        "rules": rules.all(),
        "sentences": sentences.all(),
        "words": words.all(),
        "keys": keys,
        "findings": findings,
    }


def _key(row: KeyRow, facets: Facets, words: _Words) -> Iterator[Any]:
    """Yield name, hash, label; facets; states as bits; limit; amounts; times; the rest."""
    key = row.key
    yield from (shown(key.name), shown(key.hash), label_of(key.label))
    yield from (facet.of(row) for facet in facets)
    yield sum(1 << STATES.index(state) for state in row.state.split())
    yield from (_amount(key.limit), _amount(key.spent_in_window))
    yield words.place(shown(key.limit_reset or ""))
    yield from (_amount(getattr(key, name)) for name in _USAGES)
    times = (key.created_at, key.updated_at, key.last_used_at, key.expires_at)
    yield from map(_seconds, times)
    yield words.place(shown(key.external_user or ""))
    yield int(key.include_byok_in_limit)


def _finding(
    finding: Finding, places: dict[str, int], rules: _Words, sentences: _Words
) -> list[Any]:
    """Return rule, severity, index of the key (-1: none of the list) and sentence.

    A finding about no listed key is followed by its name, hash and workspace.
    """
    place = places.get(finding.hash or "", -1)
    cells: list[Any] = [
        rules.place(shown(finding.rule)),
        finding.severity.rank,
        place,
        sentences.place(shown(finding.sentence)),
    ]
    if place >= 0:
        return cells
    return [
        *cells,
        *(shown(each or "") for each in (finding.name, finding.hash, finding.workspace)),
    ]


def _amount(usd: float | None) -> float | int | None:
    """Round an amount to a millionth of a dollar; whole amounts become integers."""
    if usd is None:
        return None
    short = round(usd, 6)
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
