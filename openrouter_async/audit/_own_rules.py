"""Rules of the user's own, made of functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from datetime import datetime

import attrs

from openrouter_async.audit._findings import KeyRule, Remark, Severity, severity_of
from openrouter_async.models import APIKey


def rule(
    name: str, *, severity: Severity | str = Severity.WARNING
) -> Callable[[Callable[[APIKey, datetime], Iterable[Remark]]], KeyRule]:
    """Make a rule of a generator function that takes a key and `now`, and yields remarks.

    ```python
    @rule("team-prefix", severity="info")
    def team_prefix(key, now):
        if "-" not in key.name:
            yield Remark("Its name does not begin with a team.")

    report = await client.audit(policy=Policy().with_rules(team_prefix))
    ```
    """

    def decorate(function: Callable[[APIKey, datetime], Iterable[Remark]]) -> KeyRule:
        return FunctionRule(
            id=name,
            severity=severity_of(severity),
            function=function,
            doc=inspect.getdoc(function) or "",
        )

    return decorate


@attrs.frozen(kw_only=True)
class FunctionRule:
    """A rule made of a function by `rule`."""

    id: str
    severity: Severity
    function: Callable[[APIKey, datetime], Iterable[Remark]]
    doc: str = ""

    def check(self, key: APIKey, now: datetime) -> Iterable[Remark]:
        """Look at one key."""
        return self.function(key, now)
