"""What the walk itself finds, rather than a rule."""

from __future__ import annotations

from typing import Final

import attrs

from openrouter_async.audit._findings import Severity, severity_of


@attrs.frozen(kw_only=True)
class Notice:
    """Something that the walk itself finds, rather than a rule."""

    id: str
    severity: Severity = attrs.field(converter=severity_of)
    doc: str


HIDDEN_WORKSPACES: Final = "workspaces-hidden"
FAILED_WORKSPACE: Final = "workspace-failed"
UNREADABLE_KEY: Final = "unreadable-key"
FOREIGN_KEY: Final = "foreign-key"
UNVERIFIED_WALK: Final = "walk-unverified"

NOTICES: Final = (
    Notice(
        id=HIDDEN_WORKSPACES,
        severity=Severity.CRITICAL,
        doc="The service does not tell the workspaces; only the default one was audited.",
    ),
    Notice(
        id=FAILED_WORKSPACE,
        severity=Severity.CRITICAL,
        doc="A workspace could not be read to its end.",
    ),
    Notice(
        id=UNREADABLE_KEY,
        severity=Severity.WARNING,
        doc="A key's record could not be read, so that no rule saw it.",
    ),
    Notice(
        id=FOREIGN_KEY,
        severity=Severity.WARNING,
        doc="The service listed keys of another workspace than the one asked for.",
    ),
    Notice(
        id=UNVERIFIED_WALK,
        severity=Severity.WARNING,
        doc="A workspace's list changed too much to be sure that no key was missed.",
    ),
)
"""What the walk finds by itself; policies set their severities like those of rules."""
