"""The report: everything an audit found, as frozen records and as plain data."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence, Sized
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import attrs

from openrouter_async import _money
from openrouter_async._converter import to_dict
from openrouter_async.audit._findings import Finding, Severity
from openrouter_async.audit._totals import Totals
from openrouter_async.errors import OpenRouterError
from openrouter_async.models import APIKey

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

SCHEMA: Final = 1
"""The version of `AuditReport.to_dict()`; it changes when a reader of the old one would fail."""


SCOPES: Final = ("all", "chosen", "default")
"""What an audit looked at."""


@attrs.frozen(kw_only=True)
class AuditFailure:
    """A workspace that could not be read, or not to its end."""

    workspace_id: str | None
    """None: the default workspace, asked for without its id."""
    workspace: str | None
    """Its name; None where that is not known."""
    error: str
    """The class of the error, such as `InternalServerResponseError`."""
    message: str
    status_code: int | None = None
    request_id: str | None = None

    @classmethod
    def of(
        cls, error: OpenRouterError, workspace_id: str | None, workspace: str | None
    ) -> AuditFailure:
        """Keep what can be told of an error."""
        return cls(
            workspace_id=workspace_id,
            workspace=workspace,
            error=type(error).__name__,
            message=str(error),
            status_code=error.status_code,
            request_id=error.request_id,
        )


def _how_many(things: Sized) -> str:
    return f"<{len(things)}>"


@attrs.frozen(kw_only=True)
class AuditReport:
    """Every key of the audited workspaces, and what is the matter with them."""

    keys: Sequence[APIKey] = attrs.field(repr=_how_many)
    """By workspace, each newest first; empty when the run was told not to keep them."""
    findings: Sequence[Finding] = attrs.field(repr=_how_many)
    """The gravest first."""
    counts: Mapping[str, int]
    """How many findings each rule has, kept or not."""
    severities: Mapping[Severity, int]
    """How many findings each severity has, kept or not, the gravest first."""
    totals: Totals = attrs.field(repr=False)
    by_workspace: Mapping[str | None, Totals] = attrs.field(repr=_how_many)
    """By workspace id, in the service's order; None: the service did not say."""
    by_creator: Mapping[str | None, Totals] = attrs.field(repr=_how_many)
    """By `creator_user_id`; None: the service did not say."""
    scope: str
    """`all` workspaces, those `chosen`, or the `default` one, since the others are hidden."""
    workspaces: Mapping[str, str]
    """The names of the audited workspaces by id; empty where the service hides them."""
    now: datetime
    """What the rules went by (UTC)."""
    started: datetime
    """When the audit began (UTC)."""
    finished: datetime
    """When it ended, or this partial report was made (UTC)."""
    seconds: float
    """How long it took."""
    by: str | None
    """The masked label of the management key; None where `GET /key` did not answer."""
    complete: bool
    """Whether no key can be missing: all workspaces were read, every seam of pages was verified."""
    partial: bool
    """Whether the audit was still under way, or was ended early."""
    refetched: int
    """How many pages were fetched again because a list changed meanwhile."""
    pages: int
    """How many pages of keys were read."""
    requests: int
    """How many calls were made, those for workspaces and the key's label included."""
    errors: Sequence[AuditFailure]
    """Workspaces that could not be read."""
    skipped: Sequence[str]
    """Rules that could not run, since the keys were not kept, or may not be all."""

    @property
    def worst(self) -> Severity | None:
        """The gravest severity; None without findings."""
        return next((severity for severity, count in self.severities.items() if count), None)

    def reaches(self, severity: Severity | str) -> bool:
        """Say whether there is a finding of this severity or a graver one."""
        return self.worst is not None and self.worst.rank >= Severity(severity).rank

    def by_key(self) -> dict[str, list[Finding]]:
        """Give each key's findings by hash, the gravest first; keys without any are left out."""
        found: dict[str, list[Finding]] = defaultdict(list)
        for finding in self.findings:
            if finding.hash is not None:
                found[finding.hash].append(finding)
        return dict(found)

    def covers(self, workspace_id: str | None) -> bool:
        """Say whether the report would have a key of this workspace."""
        if self.partial or any(
            failure.workspace_id in (None, workspace_id) for failure in self.errors
        ):
            return False
        return self.scope == "all" or workspace_id in self.by_workspace or workspace_id is None

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> AuditReport:
        """Read the JSON of `to_dict()` from a file; raises `ConfigurationError`."""
        from openrouter_async.audit._saved import load_report

        return load_report(path)

    def rows(self) -> list[dict[str, Any]]:
        """Give a flat dict for each key, for any frame library.

        Values are str, float, bool, aware UTC datetimes or None, of one type in each column.
        """
        findings = self.by_key()
        return [self._row(key, findings.get(key.hash, ())) for key in self.keys]

    def _row(self, key: APIKey, findings: Sequence[Finding]) -> dict[str, Any]:
        spent = key.spent_in_window
        return {
            **{name: getattr(key, name) for name in _KEY_FIELDS},
            "workspace": self.workspaces.get(key.workspace_id or ""),
            "state": state_of(key, self.now),
            "spent_in_window": spent,
            "used": _money.share(spent, key.limit),
            "severity": findings[0].severity.value if findings else None,
            "findings": " ".join(finding.rule for finding in findings),
        }

    def to_pandas(self) -> pd.DataFrame:
        """Give `rows()` as a frame; raises `ConfigurationError` without the extra `pandas`.

        Columns are nullable: `string`, `Float64`, `boolean`, and UTC datetimes.
        """
        from openrouter_async.audit._frames import to_pandas

        return to_pandas(self.rows())

    def chart(self, by: str = "workspace", window: str = "monthly") -> alt.Chart:
        """Chart what was spent, credits and provider keys (BYOK), the greatest first.

        `by` is `workspace`, `creator_user_id`, `name` or another column of names, `window` is
        `daily`, `weekly`, `monthly` or `ever`. Raises `ConfigurationError` for others, and without
        the extra `pandas`.
        """
        from openrouter_async.audit._frames import chart

        return chart(self.rows(), by, window)

    def _repr_html_(self) -> str:
        """Show totals, findings by rule and the keys that need a look, in a notebook."""
        from openrouter_async.audit._notebook import report_html

        return report_html(self)

    def to_dict(self) -> dict[str, Any]:
        """Give JSON-ready data, without any secret; `schema` is its version."""
        plain = ("scope", "seconds", "by", "complete", "partial", "refetched", "pages", "requests")
        times = ("now", "started", "finished")
        return {
            "schema": SCHEMA,
            **{name: instant(getattr(self, name)) for name in times},
            **{name: getattr(self, name) for name in plain},
            "workspaces": [{"id": space, "name": name} for space, name in self.workspaces.items()],
            "totals": self.totals.to_dict(),
            "by_workspace": [
                {
                    "workspace_id": space,
                    "workspace": self.workspaces.get(space or ""),
                    **totals.to_dict(),
                }
                for space, totals in self.by_workspace.items()
            ],
            "by_creator": [
                {"creator_user_id": creator, **totals.to_dict()}
                for creator, totals in self.by_creator.items()
            ],
            "counts": dict(self.counts),
            "severities": dict(self.severities),
            "findings": [to_dict(finding) for finding in self.findings],
            "errors": [to_dict(error) for error in self.errors],
            "skipped": list(self.skipped),
            "keys": [to_dict(key) for key in self.keys],
        }


_KEY_FIELDS: Final = tuple(field.name for field in attrs.fields(APIKey))


def instant(moment: datetime) -> str:
    """Write an instant as the service does."""
    return moment.isoformat().replace("+00:00", "Z")


def state_of(key: APIKey, now: datetime) -> str:
    """Say `active`, or each of `disabled`, `expired` and `exhausted` that holds."""
    reasons = {
        "disabled": key.disabled,
        "expired": key.is_expired(now),
        "exhausted": key.is_exhausted,
    }
    return " ".join(reason for reason, holds in reasons.items() if holds) or "active"
