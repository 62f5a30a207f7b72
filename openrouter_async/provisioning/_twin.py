"""What a rotation's new key gets: all that the old one had, and never more.

Pure: the requests are made in `_rotate`. A limit that resets is carried as it is. One that never
resets is a cap on the old key's life, so the new key gets what is left of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import attrs

from openrouter_async._money import exactly, rounded
from openrouter_async._operations import CreateKeys
from openrouter_async._options import OMITTED
from openrouter_async.models import APIKey, GetCurrentKeyData

_MARKER: Final = re.compile(r" \(rotated \d{4}-\d\d-\d\d\)\Z")
_LEAST: Final = 1e-6
"""USD; less is no limit that the service could tell from none."""
_CARRIED: Final = (
    "limit_reset", "include_byok_in_limit", "expires_at",
    "workspace_id", "creator_user_id", "external_user",
)  # fmt: skip
_IF_SET: Final = frozenset({"workspace_id", "creator_user_id", "external_user"})
"""What the service fills in where the old key's record does not say it."""
_NOT_LOOKED_AT: Final = (
    "its entries in allow lists of BYOK credentials, observability destinations, I/O logging and "
    "federation policies, if it has any: these were not looked at"
)


def marked(name: str, today: datetime) -> str:
    """Return the twin's name: the old one's and the day, which replaces an earlier rotation's."""
    return f"{_MARKER.sub('', name)} (rotated {today:%Y-%m-%d})"


def twin_of(old: APIKey) -> CreateKeys:
    """Return the parameters of the new key's create."""
    left = left_of_cap(old)
    return CreateKeys(
        name=marked(old.name, datetime.now(UTC)),
        limit=old.limit if left is None else left,
        limit_reset=old.limit_reset,
        include_byok_in_limit=old.include_byok_in_limit,
        expires_at=old.expires_at,
        creator_user_id=old.creator_user_id or OMITTED,
        workspace_id=old.workspace_id,
        external={"user": old.external_user} if old.external_user else OMITTED,
    )


def left_of_cap(key: APIKey) -> float | None:
    """Return the USD left of a limit that never resets, at least 0; None if there is none."""
    if key.limit is None or key.limit_reset is not None:
        return None
    left = key.limit_remaining
    if left is None:
        left = key.limit - spent_by(key)
    left = rounded(min(left, key.limit))
    return left if left >= _LEAST else 0.0


def spent_by(key: APIKey) -> float:
    """Return the USD that count against a lifetime cap."""
    return rounded(key.usage + (key.byok_usage if key.include_byok_in_limit else 0))


@attrs.frozen(kw_only=True)
class Plan:
    """What a rotation's journal says of the new key, beside its plaintext."""

    limit: float | None = None
    """USD that it was made with."""
    lowered_to: float | None = None
    """USD that its limit was to be lowered to, where that was begun."""
    allow_unguarded: bool = False

    @classmethod
    def read(cls, entries: Sequence[Mapping[str, Any]]) -> Plan:
        """Read it from a journal's entries; whatever they are, this does not fail."""
        steps = {entry["step"]: entry for entry in entries}
        intent = steps.get("intent", {})
        return cls(
            limit=amount_in(intent, "limit"),
            lowered_to=amount_in(steps.get("lowering", {}), "limit"),
            allow_unguarded=intent.get("allow_unguarded") is True,
        )

    def allows(self, limit: float | None, old: APIKey) -> bool:
        """Whether the new key has the limit that it was to get."""
        if left_of_cap(old) is None:
            return _same(limit, old.limit)
        if limit is None or self.limit is None:
            return False
        least = self.limit if self.lowered_to is None else min(self.limit, self.lowered_to)
        return rounded(least) <= rounded(limit) <= rounded(self.limit)


def amount_in(entry: Mapping[str, Any], name: str) -> float | None:
    """Return an amount that a journal's entry has; None if it has none."""
    value = entry.get(name)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def differences(old: APIKey, plan: Plan, new: APIKey | GetCurrentKeyData) -> list[str]:
    """Return the fields in which the new key is not what the old one is."""
    fields = [name for name in _CARRIED if _differs(name, old, new)]
    return fields if plan.allows(new.limit, old) else ["limit", *fields]


def _differs(name: str, old: APIKey, new: APIKey | GetCurrentKeyData) -> bool:
    wanted: object = getattr(old, name)
    now: object = getattr(new, name, None)
    if name in _IF_SET and wanted is None:
        return False
    # `GET /key` has no external user, and older answers have none of the others but the reset.
    if isinstance(new, GetCurrentKeyData) and now is None and name != "limit_reset":
        return False
    if isinstance(wanted, datetime) and isinstance(now, datetime):
        return abs(now - wanted) >= timedelta(seconds=1)
    return wanted != now


def _same(one: float | None, other: float | None) -> bool:
    return one is other if one is None or other is None else rounded(one) == rounded(other)


def left_behind(old: APIKey, limit: float | None, guardrail: str | None) -> tuple[str, ...]:
    """Return what the new key does not have of the old one, or may not have."""
    found = [guardrail] if guardrail is not None else []
    left, spent = left_of_cap(old), rounded(old.spent_in_window or 0)
    if left is not None and left > rounded(limit or 0):
        more = exactly(left - (limit or 0))
        found.append(f"{more} USD that the old key's limit was raised by meanwhile")
    if left is None and spent > 0:
        found.append(
            f"what was spent in the current window: the new key's {old.limit_reset} limit starts "
            f"anew, so that up to {exactly(spent)} USD more can be spent until it resets"
        )
    if old.external_user is not None:
        found.append("the partner's own key of the external user, which the service does not show")
    return (*found, _NOT_LOOKED_AT)
