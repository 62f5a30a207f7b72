"""Compute what a rotation's new key gets: everything that the old key had, and never more.

Pure: `_rotate` sends the requests. A limit that resets is copied unchanged. A limit that never
resets is a lifetime cap of the old key, so the new key gets what is left of it.
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
"""USD; less counts as nothing left, since the service could not tell it from 0."""
_CARRIED: Final = (
    "limit_reset", "include_byok_in_limit", "expires_at",
    "workspace_id", "creator_user_id", "external_user",
)  # fmt: skip
_IF_SET: Final = frozenset({"workspace_id", "creator_user_id", "external_user"})
"""Fields that the service fills in if the old key's record lacks them."""
_NOT_CHECKED: Final = (
    "the old key's entries, if any, in allow lists of BYOK credentials, observability "
    "destinations, I/O logging and federation policies: these were not checked"
)


def marked(name: str, today: datetime) -> str:
    """Return the new key's name: the old name with today's date, which replaces an earlier one."""
    return f"{_MARKER.sub('', name)} (rotated {today:%Y-%m-%d})"


def replacement_params(old: APIKey) -> CreateKeys:
    """Return the params of the new key's create."""
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
    """Return what is left of a limit that never resets (USD, at least 0); None: no such limit."""
    if key.limit is None or key.limit_reset is not None:
        return None
    left = key.limit_remaining
    if left is None:
        left = key.limit - spent_by(key)
    left = rounded(min(left, key.limit))  # a reported remainder must not exceed the limit
    return left if left >= _LEAST else 0.0


def spent_by(key: APIKey) -> float:
    """Return the amount that counts toward a lifetime cap (USD)."""
    return rounded(key.usage + (key.byok_usage if key.include_byok_in_limit else 0))


@attrs.frozen(kw_only=True)
class Plan:
    """What a rotation's journal records about the new key, besides its plaintext."""

    limit: float | None = None
    """The limit that it was created with (USD)."""
    lowered_to: float | None = None
    """The limit that a begun lowering was to set (USD); None: no lowering has begun."""
    allow_unguarded: bool = False

    @classmethod
    def read(cls, entries: Sequence[Mapping[str, Any]]) -> Plan:
        """Read a plan from a journal's entries; arbitrary entries raise no error."""
        steps = {entry["step"]: entry for entry in entries}
        intent = steps.get("intent", {})
        return cls(
            limit=amount_in(intent, "limit"),
            lowered_to=amount_in(steps.get("lowering", {}), "limit"),
            allow_unguarded=intent.get("allow_unguarded") is True,
        )

    def allows(self, limit: float | None, old: APIKey) -> bool:
        """Return whether the new key has a limit (USD) that this plan allows."""
        if left_of_cap(old) is None:
            return _same(limit, old.limit)
        if limit is None or self.limit is None:
            return False
        # A lowering that was interrupted may or may not have happened.
        least = self.limit if self.lowered_to is None else min(self.limit, self.lowered_to)
        return rounded(least) <= rounded(limit) <= rounded(self.limit)


def amount_in(entry: Mapping[str, Any], name: str) -> float | None:
    """Return an amount in a journal's entry; None if it is missing or not a number."""
    value = entry.get(name)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def differences(old: APIKey, plan: Plan, new: APIKey | GetCurrentKeyData) -> list[str]:
    """Return the names of the fields in which the new key differs from the old one."""
    fields = [name for name in _CARRIED if _differs(name, old, new)]
    return fields if plan.allows(new.limit, old) else ["limit", *fields]


def _differs(name: str, old: APIKey, new: APIKey | GetCurrentKeyData) -> bool:
    wanted: object = getattr(old, name)
    now: object = getattr(new, name, None)
    if name in _IF_SET and wanted is None:
        return False
    # `GET /key` has no external user, and older responses have only `limit_reset` of these fields.
    if isinstance(new, GetCurrentKeyData) and now is None and name != "limit_reset":
        return False
    if isinstance(wanted, datetime) and isinstance(now, datetime):
        # Times are sent with whole seconds.
        return abs(now - wanted) >= timedelta(seconds=1)
    return wanted != now


def _same(one: float | None, other: float | None) -> bool:
    return one is other if one is None or other is None else rounded(one) == rounded(other)


def left_behind(old: APIKey, limit: float | None, guardrail: str | None) -> tuple[str, ...]:
    """Return what the new key lacks or may lack compared with the old key, a phrase each."""
    found = [guardrail] if guardrail is not None else []
    left, spent = left_of_cap(old), rounded(old.spent_in_window or 0)
    if left is not None and left > rounded(limit or 0):
        more = exactly(left - (limit or 0))
        found.append(f"{more} USD by which the old key's limit was raised during the rotation")
    if left is None and spent > 0:
        found.append(
            f"the amount spent in the current window: the new key's {old.limit_reset} limit starts "
            f"from zero, so up to {exactly(spent)} USD more can be spent before it resets"
        )
    if old.external_user is not None:
        found.append("the partner's own key for the external user, which the service does not show")
    return (*found, _NOT_CHECKED)
