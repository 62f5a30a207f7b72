"""Rules that compare keys with each other by name, or with a registry of hashes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime

import attrs

from openrouter_async.audit._findings import Remark, Severity
from openrouter_async.audit._thresholds import choice
from openrouter_async.models import APIKey


@attrs.frozen(kw_only=True)
class DuplicateName:
    """Several keys have the same name, so they cannot be told apart by it."""

    id: str = attrs.field(default="duplicate-name", init=False)
    needs_all: bool = attrs.field(default=True, init=False)
    severity: Severity = Severity.INFO
    within: str = choice("account", "workspace")

    def check_all(self, keys: Sequence[APIKey], _now: datetime) -> Iterator[Remark]:
        """Check all keys."""
        counts = Counter(map(self._place, keys))
        for key in keys:
            others = counts[self._place(key)] - 1
            if others:
                have = "Another key has" if others == 1 else f"{others} other keys have"
                yield Remark(f"{have} the same name.", {"others": others}, hash=key.hash)

    def _place(self, key: APIKey) -> tuple[str, str | None]:
        return key.name, key.workspace_id if self.within == "workspace" else None


@attrs.frozen(kw_only=True)
class NotInRegistry:
    """The account has a key whose hash is not in the registry."""

    id: str = attrs.field(default="registry-unknown", init=False)
    severity: Severity = Severity.WARNING
    registry: frozenset[str] | None = attrs.field(default=None, repr=False)
    """Hashes; None: there is no registry, and the rule finds nothing."""

    def check(self, key: APIKey, _now: datetime) -> Iterator[Remark]:
        """Check one key."""
        if self.registry is not None and key.hash not in self.registry:
            yield Remark("It is not in the registry.")


@attrs.frozen(kw_only=True)
class MissingFromAccount:
    """The registry has a hash that no audited key has."""

    id: str = attrs.field(default="registry-missing", init=False)
    needs_all: bool = attrs.field(default=True, init=False)
    severity: Severity = Severity.CRITICAL
    registry: frozenset[str] | None = attrs.field(default=None, repr=False)
    """Hashes; None: there is no registry, and the rule finds nothing."""

    def check_all(self, keys: Sequence[APIKey], _now: datetime) -> Iterator[Remark]:
        """Check all keys."""
        there = {key.hash for key in keys}
        for hash in sorted((self.registry or frozenset()) - there):
            yield Remark("It is in the registry, but not among the audited keys.", hash=hash)
