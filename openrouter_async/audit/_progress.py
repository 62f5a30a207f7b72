"""How far an audit is, for those who wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import attrs

from openrouter_async._options import Waiting


@attrs.frozen(kw_only=True)
class AuditProgress:
    """How far an audit is."""

    keys: int
    pages: int
    """Pages of keys that were read."""
    requests: int
    findings: int
    """Findings so far, without those of rules that need the whole list."""
    workspaces_done: int
    workspaces: int
    seconds: float
    waiting: Waiting | None = None
    """Why the audit slows down just now: the service's rate limit; None: it does not."""


Progress: TypeAlias = Callable[[AuditProgress], object]
"""What `progress` may be. An async function is awaited; what it raises is only logged."""
