"""Every rule. They are pure: what one says follows from the key, its own settings, and `now`.

Rules of use (no limit, never used and the like) pass over keys that are disabled or expired; the
states disabled, expired and exhausted are told apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from openrouter_async.audit._findings import Rule
from openrouter_async.audit._list_rules import DuplicateName, MissingFromAccount, NotInRegistry
from openrouter_async.audit._spend_rules import (
    ByokNotCounted,
    Exhausted,
    NearLimit,
    NoLimit,
    Overspent,
    Spike,
)
from openrouter_async.audit._state_rules import (
    Disabled,
    Expired,
    ExpiringSoon,
    Idle,
    NeverUsed,
    NoExpiry,
    Old,
)

BUILT_IN: Final[tuple[Rule, ...]] = (
    NoLimit(), NearLimit(), Exhausted(), Overspent(), NoExpiry(), ExpiringSoon(), Expired(),
    Disabled(), NeverUsed(), Idle(), Old(), ByokNotCounted(), Spike(), DuplicateName(),
    NotInRegistry(), MissingFromAccount(),
)  # fmt: skip
"""Every rule with its defaults, in the order in which findings of one severity are told."""

RULES: Final[Mapping[str, Rule]] = {rule.id: rule for rule in BUILT_IN}
"""The same by identifier."""
